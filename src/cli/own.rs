//! `agentbox self check`: is this installation whole, and may it be trusted with what it is for?

#![forbid(unsafe_code)]

use super::args::{OwnArgs, OwnCommand};
use super::inline;
use super::say::{self, Said};
use crate::exit;
use crate::host::Place;
use crate::launch::place;
use crate::plan::text::hex;
use crate::profile::{self, Places, builtin};
use crate::report::own::{Answer, Program, json, text};
use crate::sys::{landlock, xattr};
use nix::sys::utsname::uname;
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where nobody has profiles: the built-in ones are looked at as they are, whatever the caller's or the machine's replace.
const NOWHERE: &str = "/nonexistent/agentbox";

/// Prints what was found. 1 if anything is not as it has to be.
#[must_use]
pub fn own(args: &OwnArgs) -> u8 {
    let OwnCommand::Check { json: as_json } = args.command;
    // Without /proc nobody can say it: then the answer about the file is a no.
    let path = std::env::current_exe();
    let file = path.as_ref().ok().and_then(|path| File::open(path).ok());
    let program = Program {
        agentbox: env!("CARGO_PKG_VERSION"),
        // Set by scripts/release. A build script that asks git would build all anew with each commit.
        commit: option_env!("AGENTBOX_COMMIT").filter(|commit| !commit.is_empty()),
        target: target(),
        linkage: if cfg!(target_feature = "crt-static") {
            "static"
        } else {
            "dynamic"
        },
        path: path
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        sha256: file.as_ref().and_then(sum),
    };
    let mut answers = vec![of_file(path.as_deref().ok(), file.as_ref()), profiles()];
    answers.extend(pages(path.as_deref().ok()));
    answers.push(kernel());
    let report = if as_json {
        json(&program, &answers)
    } else {
        text(&program, &answers)
    };
    match say::out(&report) {
        Said::Fine if answers.iter().all(|answer| answer.ok) => 0,
        _ => exit::NO,
    }
}

/// As cargo calls it.
fn target() -> String {
    let environment = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    format!("{}-unknown-linux-{environment}", std::env::consts::ARCH)
}

fn sum(file: &File) -> Option<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut &*file, &mut HashWriter(&mut hash)).ok()?;
    Some(hex(&hash.finalize()))
}

/// A hash is no writer by itself without one more feature of its crate.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Can nobody but its owner, who is root or the caller, change the file or put another in its place, and is it without rights of
/// its own?
fn of_file(path: Option<&Path>, file: Option<&File>) -> Answer {
    let name = "file";
    let no = |what: String| Answer {
        name,
        ok: false,
        what,
    };
    let (Some(path), Some(file)) = (path, file) else {
        return no("which file this program is cannot be told: is /proc mounted?".to_owned());
    };
    let mut wrong = Vec::new();
    match file.metadata() {
        Ok(meta) => wrong.extend(faults(path, &meta)),
        Err(e) => wrong.push(format!("{}: {e}", path.display())),
    }
    if xattr::has(file.as_fd(), c"security.capability") {
        wrong.push(format!(
            "{} has file capabilities: `setcap -r` takes them off",
            path.display()
        ));
    }
    for dir in path.ancestors().skip(1) {
        match std::fs::metadata(dir) {
            Ok(meta) => wrong.extend(faults(dir, &meta)),
            Err(e) => wrong.push(format!("{}: {e}", dir.display())),
        }
    }
    if wrong.is_empty() {
        let what = "only root or you can change it, and it has no rights of its own";
        return Answer {
            name,
            ok: true,
            what: what.to_owned(),
        };
    }
    no(wrong.join("; "))
}

/// What is wrong with the owner and the mode of the program, or of a directory above it.
fn faults(path: &Path, meta: &Metadata) -> Vec<String> {
    let me = nix::unistd::geteuid().as_raw();
    let shown = path.display();
    let mode = meta.mode();
    let mut wrong = Vec::new();
    if meta.uid() != 0 && meta.uid() != me {
        wrong.push(format!(
            "{shown} is of another user (uid {}), who can change it",
            meta.uid()
        ));
    }
    // In a sticky directory others make names of their own, and cannot touch these.
    let sticky = meta.is_dir() && mode & libc::S_ISVTX != 0;
    // On many systems each user has a group of the same number with nobody else in it.
    let group = mode & 0o020 != 0 && meta.gid() != 0 && meta.gid() != meta.uid();
    if (mode & 0o002 != 0 || group) && !sticky {
        wrong.push(format!(
            "{shown} can be written by others (mode {:04o}): `chmod go-w`",
            mode & 0o7777
        ));
    }
    if meta.is_file() && mode & 0o6000 != 0 {
        wrong.push(format!(
            "{shown} is set-uid or set-gid (mode {:04o}): `chmod ug-s`",
            mode & 0o7777
        ));
    }
    wrong
}

/// Are the built-in profiles valid, and do their own tests hold?
fn profiles() -> Answer {
    let places = Places {
        system: PathBuf::from(NOWHERE),
        user: None,
        uid: nix::unistd::geteuid().as_raw(),
    };
    let (mut tests, mut wrong) = (0, Vec::new());
    for builtin in builtin::ALL {
        match profile::tested(OsStr::new(builtin.name), &places) {
            Ok(profile) => {
                tests += profile.tests.len();
                wrong.extend(inline::failed(&profile).iter().map(ToString::to_string));
            }
            Err(error) => wrong.push(error.to_string()),
        }
    }
    let ok = wrong.is_empty() && tests > 0;
    let what = if ok {
        format!(
            "{} are built in, and their {tests} tests hold",
            builtin::ALL.len()
        )
    } else {
        wrong.join("; ")
    };
    Answer {
        name: "profiles",
        ok,
        what,
    }
}

/// Manual pages and completions: what is built in, and what is installed beside the program.
#[cfg(feature = "pages")]
fn pages(path: Option<&Path>) -> Vec<Answer> {
    let manual = super::man::pages();
    let empty = manual.iter().filter(|(_, page)| page.is_empty()).count();
    let man = Answer {
        name: "man",
        ok: empty == 0 && !manual.is_empty(),
        what: format!(
            "{} pages are built in (`agentbox man --dir DIR`){}",
            manual.len() - empty,
            installed(path, &[("man", "man/man1/agentbox.1")])
        ),
    };
    let shells = super::completions::shells();
    let names: Vec<&str> = shells.iter().map(|(name, _)| *name).collect();
    let completions = Answer {
        name: "completions",
        ok: shells.iter().all(|(_, script)| !script.is_empty()),
        what: format!(
            "for {} (`agentbox completions SHELL`){}",
            names.join(", "),
            installed(
                path,
                &[
                    ("bash", "bash-completion/completions/agentbox"),
                    ("zsh", "zsh/site-functions/_agentbox"),
                    ("zsh", "zsh/vendor-completions/_agentbox"),
                    ("fish", "fish/vendor_completions.d/agentbox.fish"),
                ]
            )
        ),
    };
    vec![man, completions]
}

/// Left out of this build, as its features say: nothing is missing that was meant to be there.
#[cfg(not(feature = "pages"))]
fn pages(_: Option<&Path>) -> Vec<Answer> {
    let what = "not in this build (feature `pages`)".to_owned();
    vec![Answer {
        name: "man",
        ok: true,
        what,
    }]
}

/// Which of these are in the `share` beside the program's `bin`, compressed or not.
#[cfg(feature = "pages")]
fn installed(path: Option<&Path>, files: &[(&str, &str)]) -> String {
    let share = path.and_then(|path| Some(path.parent()?.parent()?.join("share")));
    let is_there = |file: &str| {
        share.as_ref().is_some_and(|share| {
            share.join(file).exists() || share.join(format!("{file}.gz")).exists()
        })
    };
    let found: Vec<&str> = files
        .iter()
        .filter_map(|(name, file)| is_there(file).then_some(*name))
        .collect();
    if found.is_empty() {
        return String::new();
    }
    format!(", installed: {}", found.join(", "))
}

/// What this kernel gives, in one line; `agentbox check` builds a box to find out.
fn kernel() -> Answer {
    let release = uname().map_or(String::new(), |name| {
        name.release().to_string_lossy().into_owned()
    });
    let found = place::look();
    let namespaces = match &found {
        Place::Untried => "namespaces cannot be tried".to_owned(),
        Place::Whole => "every namespace (rung full)".to_owned(),
        Place::NoProc(why) => {
            format!("namespaces without a /proc of their own (rung container-proc: {why})")
        }
        Place::Nothing(why) => format!("no namespaces (rung landlock: {why})"),
        Place::Unfit(cause) => format!("no rung ({})", cause.what()),
    };
    let abi = landlock::abi_version();
    let landlock = match abi {
        Ok(abi) => format!("Landlock ABI {abi}"),
        Err(errno) => format!("no Landlock ({errno})"),
    };
    Answer {
        name: "kernel",
        ok: abi.is_ok() && !matches!(found, Place::Unfit(_)),
        what: format!("Linux {release}: {namespaces}, {landlock}; `agentbox check` builds a box"),
    }
}
