//! `agentbox init PLACE`: the files by which a CI runner or a development container runs its commands in a box. A file that is
//! there is never replaced: what belongs into it is printed, or (devcontainer.json) put between what it says.

#![forbid(unsafe_code)]

mod jsonc;
mod places;
mod user;

use super::args::init::{InitArgs, PlaceName};
use super::left;
use super::say::{self, Said};
use crate::exit;
use places::File;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the files of a place, or says what belongs into those that are there.
#[must_use]
pub(super) fn init(args: &InitArgs) -> u8 {
    let result = match args.place {
        None => return user::init(args.yes),
        Some(PlaceName::Devcontainer) => devcontainer(args.print),
        Some(place) => runner(&places::of(place), args.print),
    };
    match result {
        Ok(text) => match say::out(&text) {
            Said::Fine => 0,
            Said::Lost => exit::NO,
        },
        Err(why) => {
            say::error(&why);
            exit::NO
        }
    }
}

/// The working copy is the agent's to change: a link of its there would lead what is written to any place of the user's.
fn no_links(path: &Path) -> Result<(), String> {
    let all: Vec<&Path> = path.ancestors().collect();
    for each in all.into_iter().rev() {
        if each.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
            return Err(format!(
                "{} is a link, and nothing is written to where it leads: replace it by what it shall be",
                each.display()
            ));
        }
    }
    Ok(())
}

/// Makes a file and what is missing above it, and never replaces one. False if there is one.
fn make(path: &Path, content: &[u8], mode: u32) -> Result<bool, String> {
    let failed = |e: io::Error| format!("{}: {e}", path.display());
    no_links(path)?;
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    let mut options = fs::File::options();
    match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file.write_all(content).map(|()| true).map_err(failed),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

fn runner(file: &File, print: bool) -> Result<String, String> {
    if print {
        return Ok(file.content.to_owned());
    }
    if make(Path::new(file.path), file.content.as_bytes(), 0o644)? {
        Ok(format!("wrote {}\n{}\n", file.path, file.then))
    } else {
        Err(format!(
            "{} is there already and was not changed; `agentbox init {} --print` prints what would be in it",
            file.path, file.name
        ))
    }
}

const CONFIG: &str = ".devcontainer/devcontainer.json";
const FEATURE: &str = "./agentbox";

/// A Feature of the project's own beside devcontainer.json, and the line that uses it.
fn devcontainer(print: bool) -> Result<String, String> {
    let path = ["devcontainer.json", ".devcontainer.json"];
    let other = path
        .iter()
        .skip(1)
        .map(Path::new)
        .find(|path| path.exists());
    if let Some(other) = other {
        return Err(format!(
            "{} is outside of .devcontainer, where a Feature of the project's own has to be: move it to {CONFIG}",
            other.display()
        ));
    }
    no_links(Path::new(CONFIG))?;
    let before = match left::text(Path::new(CONFIG)) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(format!("{CONFIG}: {e}")),
    };
    let after = match &before {
        None => places::DEVCONTAINER.to_owned(),
        Some(text) => {
            jsonc::with_feature(text, FEATURE).map_err(|why| format!("{CONFIG}: {why}"))?
        }
    };
    if print {
        return Ok(after);
    }
    let mut said = String::new();
    for (name, content, mode) in places::FEATURE {
        let path = Path::new(".devcontainer/agentbox").join(name);
        let word = if make(&path, content.as_bytes(), mode)? {
            "wrote"
        } else {
            "kept "
        };
        said.push_str(&format!("{word} {}\n", path.display()));
    }
    let config = Path::new(CONFIG);
    match &before {
        None => {
            make(config, after.as_bytes(), 0o644)?;
            said.push_str(&format!("wrote {CONFIG}\n"));
        }
        Some(text) if *text == after => {
            said.push_str(&format!("kept  {CONFIG}: it names the Feature\n"))
        }
        Some(_) => {
            replace(config, after.as_bytes())?;
            said.push_str(&format!(
                "added \"{FEATURE}\" to the features of {CONFIG}\n"
            ));
        }
    }
    said.push_str(
        "put the program itself beside it: cp \"$(command -v agentbox)\" .devcontainer/agentbox/ (a static build runs in every image)\n\
         then rebuild the container, and in it: agentbox run --profile devcontainer -- bash\n",
    );
    Ok(said)
}

/// By another file and rename, so that an editor never sees half of it.
fn replace(path: &Path, content: &[u8]) -> Result<(), String> {
    let failed = |e: io::Error| format!("{}: {e}", path.display());
    let real = path.canonicalize().map_err(failed)?;
    let new = real.with_extension("json.agentbox-new");
    let mode = fs::metadata(&real).map_err(failed)?.permissions();
    let mut options = fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .open(&new)
        .map_err(failed)?;
    let written = file
        .write_all(content)
        .and_then(|()| fs::set_permissions(&new, mode))
        .and_then(|()| fs::rename(&new, &real));
    written.map_err(|e| {
        let _ = fs::remove_file(&new);
        failed(e)
    })
}
