//! Profile files: text into [`Fragment`]s. Finds the profile by name, file or command, follows `extends`, adds the
//! configuration files, and hands everything over weakest first. Knows nothing of what a wish means for the system.

#![forbid(unsafe_code)]

mod baked;
pub mod builtin;
pub mod edit;
pub mod error;
mod file;
pub mod floor;
mod graph;
pub mod inline;
pub mod json_schema;
pub mod keys;
mod layer;
pub mod name;
pub mod project;
pub mod schema;
pub mod value;

use crate::policy::Fragment;
pub use error::{Diagnostic, ProfileError, closest};
use file::{Trust, read};
use schema::{Place, Role, parse};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes of a profile file.
pub const MAX_SIZE: u64 = 1024 * 1024;

/// Which profile.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// `-p NAME|FILE`.
    Named(&'a OsStr),
    /// The one that lists the base name of COMMAND.
    ByCommand(&'a OsStr),
}

/// Where profiles are looked for.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/etc/agentbox`.
    pub system: PathBuf,
    /// `~/.config/agentbox`; `None` if the caller has no absolute home.
    pub user: Option<PathBuf>,
    /// The caller, whose files are trusted besides root's.
    pub uid: u32,
}

impl Places {
    /// Of the caller with that uid and HOME: `xdg_config_home` counts where it is absolute (a relative one is to be
    /// ignored, says its specification).
    #[must_use]
    pub fn of(uid: u32, home: &Path, xdg_config_home: Option<&OsStr>) -> Places {
        let xdg = xdg_config_home
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let user = xdg.or_else(|| {
            let config = home.join(".config");
            config.is_absolute().then_some(config)
        });
        Places {
            system: PathBuf::from("/etc/agentbox"),
            user: user.map(|config| config.join("agentbox")),
            uid,
        }
    }

    /// The configuration directories, strongest first.
    fn dirs(&self) -> impl Iterator<Item = (&Path, Rank)> {
        self.user
            .iter()
            .map(|dir| (dir.as_path(), Rank::User))
            .chain(std::iter::once((self.system.as_path(), Rank::System)))
    }
}

/// How strong a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Part of the program.
    Builtin,
    /// `/etc/agentbox`.
    System,
    /// `~/.config/agentbox`, or a file named on the command line.
    User,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The chosen profile and what it extends, the chosen one first.
    pub profiles: Vec<String>,
    /// Every fragment, weakest first. Built-in profiles come before the system's files and those before the user's; within
    /// each of these, what is extended comes before what extends it. `config.toml` is the weakest of the system's and the
    /// strongest of the user's.
    pub fragments: Vec<Fragment>,
}

/// Loads the chosen profile, what it extends, and the configuration files.
///
/// # Errors
/// No such profile, a file that is not trusted, or everything that is wrong in the first bad file.
pub fn load(choice: Choice<'_>, places: &Places) -> Result<Loaded, ProfileError> {
    let chosen = match choice {
        Choice::Named(name) => graph::named(name, places)?,
        Choice::ByCommand(command) => by_command(command, places)?,
    };
    let graph = graph::follow(chosen, places)?;

    let mut fragments = graph.fragments;
    if let Some(config) = config(&places.system, places)? {
        fragments.push((Rank::System, Position::First, config));
    }
    if let Some(dir) = &places.user
        && let Some(config) = config(dir, places)?
    {
        fragments.push((Rank::User, Position::Last, config));
    }
    // Stable: what is extended stays before what extends it.
    fragments.sort_by_key(|(rank, position, _)| (*rank, *position));
    Ok(Loaded {
        profiles: graph.names,
        fragments: fragments.into_iter().map(|(_, _, f)| f).collect(),
    })
}

/// The text of a file in a configuration directory, if it is one that a start would use; `None` if there is none.
///
/// # Errors
/// It is not trusted, too large or not a text.
pub fn trusted_text(path: &Path, uid: u32) -> Result<Option<String>, ProfileError> {
    Ok(read(path, Trust::Searched { uid })?.map(|text| text.text))
}

/// Whether a profile can have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    graph::is_name(name)
}

/// Where in its rank a fragment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    First,
    Profile,
    Last,
}

/// `config.toml` of that directory.
fn config(dir: &Path, places: &Places) -> Result<Option<Fragment>, ProfileError> {
    let path = dir.join("config.toml");
    let Some(text) = read(&path, Trust::Searched { uid: places.uid })? else {
        return Ok(None);
    };
    let label = path.display().to_string();
    parse(
        &text.text,
        &label,
        &Place::File(label.clone()),
        Role::Config,
    )
    .map(|parsed| Some(parsed.fragment))
    .map_err(ProfileError::Invalid)
}

/// The profile whose `[agent] commands` lists the base name of that command, as typed: the user's first, then the system's,
/// then the built-in ones, else [`builtin::FALLBACK`].
fn by_command(command: &OsStr, places: &Places) -> Result<graph::Found, ProfileError> {
    let base = base_name(command);
    for (dir, _) in places.dirs() {
        let mut found = Vec::new();
        for (name, path) in profiles_in(dir) {
            let Some(text) = read(&path, Trust::Searched { uid: places.uid })? else {
                continue;
            };
            // A text without the name (and without an escape that could spell it) is not parsed: most starts see no file.
            if !contains(text.text.as_bytes(), base) && !text.text.contains('\\') {
                continue;
            }
            let label = path.display().to_string();
            let parsed = parse(&text.text, &name, &Place::File(label), Role::Profile)
                .map_err(ProfileError::Invalid)?;
            if parsed
                .fragment
                .commands
                .iter()
                .any(|c| c.as_bytes() == base)
            {
                found.push((name, path));
            }
        }
        match found.as_slice() {
            [] => {}
            [(name, _)] => return graph::named(OsStr::new(name), places),
            several => {
                return Err(ProfileError::Ambiguous {
                    command: String::from_utf8_lossy(base).into_owned(),
                    profiles: several
                        .iter()
                        .map(|(_, p)| p.display().to_string())
                        .collect(),
                });
            }
        }
    }
    let name = builtin::by_command(base).map_or(builtin::FALLBACK, |builtin| builtin.name);
    graph::named(OsStr::new(name), places)
}

/// The base name of a command as typed; trailing slashes do not count.
fn base_name(command: &OsStr) -> &[u8] {
    let bytes = command.as_bytes();
    let end = bytes
        .iter()
        .rposition(|b| *b != b'/')
        .map_or(0, |at| at + 1);
    let bytes = &bytes[..end];
    bytes
        .iter()
        .rposition(|b| *b == b'/')
        .map_or(bytes, |at| &bytes[at + 1..])
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && text.windows(word.len()).any(|window| window == word)
}

/// `profiles/NAME.toml` of a configuration directory, sorted by name; empty if there is no such directory.
pub(crate) fn profiles_in(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(dir.join("profiles"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name();
            let name = file.to_str()?.strip_suffix(".toml")?;
            graph::is_name(name).then(|| (name.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// One profile for `agentbox profiles list`.
#[derive(Debug, Clone)]
pub struct Listed {
    /// NAME.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// How strong its source is.
    pub rank: Rank,
    /// A stronger source has a profile of the same name.
    pub replaced: bool,
    /// What is in it.
    pub parsed: Result<Fragment, ProfileError>,
}

/// Every profile that can be found by name, sorted by name, the one that is used first.
#[must_use]
pub fn list(places: &Places) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    for (dir, rank) in places.dirs() {
        for (name, path) in profiles_in(dir) {
            let place = Place::File(path.display().to_string());
            let parsed = match read(&path, Trust::Searched { uid: places.uid }) {
                Ok(Some(text)) => parse(&text.text, &name, &place, Role::Profile)
                    .map(|parsed| parsed.fragment)
                    .map_err(ProfileError::Invalid),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            all.push(Listed {
                name,
                place,
                rank,
                replaced: false,
                parsed,
            });
        }
    }
    for builtin in builtin::ALL {
        let place = Place::Builtin(builtin.name);
        all.push(Listed {
            name: builtin.name.to_owned(),
            parsed: parse(builtin.text, builtin.name, &place, Role::Profile)
                .map(|parsed| parsed.fragment)
                .map_err(ProfileError::Invalid),
            place,
            rank: Rank::Builtin,
            replaced: false,
        });
    }
    all.sort_by(|a, b| (&a.name, b.rank).cmp(&(&b.name, a.rank)));
    let mut last: Option<String> = None;
    for listed in &mut all {
        listed.replaced = last.as_deref() == Some(&listed.name);
        last = Some(listed.name.clone());
    }
    all
}

/// The text of a profile by NAME or FILE, as it is.
///
/// # Errors
/// No such profile, or a file that cannot be read or is not trusted.
pub fn text(name: &OsStr, places: &Places) -> Result<String, ProfileError> {
    graph::named(name, places).map(|found| found.text.into_owned())
}

/// A profile with its own tests: without the configuration files, so that the answers are its own.
#[derive(Debug, Clone)]
pub struct Tested {
    /// NAME, or the file, for people.
    pub label: String,
    /// Its text.
    pub text: String,
    /// What it and what it extends wish, weakest first.
    pub fragments: Vec<Fragment>,
    /// Its own questions.
    pub tests: Vec<inline::InlineTest>,
}

/// The profile of that NAME or FILE, with its tests.
///
/// # Errors
/// Everything that is wrong with it.
pub fn tested(name: &OsStr, places: &Places) -> Result<Tested, ProfileError> {
    let found = graph::named(name, places)?;
    let (label, text) = (found.label(), found.text.to_string());
    let tests = found.tests()?;
    let graph = graph::follow(found, places)?;
    let mut fragments = graph.fragments;
    fragments.sort_by_key(|(rank, position, _)| (*rank, *position));
    Ok(Tested {
        label,
        text,
        fragments: fragments.into_iter().map(|(_, _, f)| f).collect(),
        tests,
    })
}

/// Whether a file of that name is no profile, but counts for every run.
#[must_use]
pub fn is_configuration(path: &Path) -> bool {
    let names = ["config.toml", project::NAME, floor::NAME];
    path.file_name()
        .is_some_and(|name| names.iter().any(|known| name == *known))
}

/// Checks one file, as a profile (or as a configuration file, if that is its name), and what it extends.
///
/// # Errors
/// Everything that is wrong with it.
pub fn validate(path: &Path, places: &Places) -> Result<(), ProfileError> {
    let Some(text) = read(path, Trust::Named)? else {
        return Err(ProfileError::Io {
            path: path.to_owned(),
            call: "open",
            errno: libc::ENOENT,
        });
    };
    let label = path.display().to_string();
    if path.file_name().is_some_and(|name| name == floor::NAME) {
        return floor::understood(&text.text, path).map(drop);
    }
    if is_configuration(path) {
        return parse(
            &text.text,
            &label,
            &Place::File(label.clone()),
            Role::Config,
        )
        .map(drop)
        .map_err(ProfileError::Invalid);
    }
    graph::follow(graph::file(path, text, Trust::Named, Rank::User), places).map(drop)
}

#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
