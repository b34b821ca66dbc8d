//! From the name of a profile to its text, and from there along `extends`.

#![forbid(unsafe_code)]

use super::error::{Diagnostic, ProfileError, closest};
use super::file::{Text, Trust, read};
use super::inline::InlineTest;
use super::schema::{Place, Role, parse};
use super::{Places, Position, Rank, baked, builtin, profiles_in};
use crate::policy::Fragment;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A profile that was found and not yet parsed.
#[derive(Debug)]
pub(super) struct Found {
    /// NAME, or the path of the file.
    pub(super) name: String,
    /// Its TOML.
    pub(super) text: Cow<'static, str>,
    place: Place,
    rank: Rank,
    id: Id,
    /// How files that it extends by path are read, and from where.
    base: Option<(PathBuf, Trust)>,
}

impl Found {
    /// For people, before `:LINE`.
    pub(super) fn label(&self) -> String {
        self.place.label()
    }

    /// Its `[[test]]`s: of a built-in profile they are in the text alone.
    pub(super) fn tests(&self) -> Result<Vec<InlineTest>, ProfileError> {
        parse(&self.text, &self.name, &self.place, Role::Profile)
            .map(|parsed| parsed.tests)
            .map_err(ProfileError::Invalid)
    }
}

/// The same profile by whatever name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    Builtin(&'static str),
    File((u64, u64)),
}

/// The chosen profile and all that it extends.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// The chosen one first.
    pub(super) names: Vec<String>,
    /// What is extended before what extends it.
    pub(super) fragments: Vec<(Rank, Position, Fragment)>,
}

/// The most levels of `extends`. Cycles are found by identity; this bounds what a chain of distinct files can cost.
const DEPTH: usize = 32;

/// Whether that can be the NAME of a profile.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !is_toml(name.as_bytes())
}

fn is_toml(name: &[u8]) -> bool {
    name.ends_with(b".toml")
}

/// A name with a `/` or one that ends in `.toml` is a file.
fn is_file(name: &[u8]) -> bool {
    name.contains(&b'/') || is_toml(name)
}

/// The profile that `-p` names.
pub(super) fn named(name: &OsStr, places: &Places) -> Result<Found, ProfileError> {
    if is_file(name.as_bytes()) {
        return by_path(Path::new(name), Trust::Named, Rank::User)?.ok_or_else(|| {
            ProfileError::Io {
                path: PathBuf::from(name),
                call: "open",
                errno: libc::ENOENT,
            }
        });
    }
    let shown = name.to_string_lossy();
    match search(&shown, places)? {
        Some(found) => Ok(found),
        None => Err(ProfileError::NotFound {
            help: not_found(&shown, places),
            name: shown.into_owned(),
        }),
    }
}

/// A file that was read, as a profile.
pub(super) fn file(path: &Path, text: Text, trust: Trust, rank: Rank) -> Found {
    let label = path.display().to_string();
    Found {
        name: label.clone(),
        text: Cow::Owned(text.text),
        place: Place::File(label),
        rank,
        id: Id::File(text.id),
        base: Some((path.parent().unwrap_or(Path::new("")).to_owned(), trust)),
    }
}

fn by_path(path: &Path, trust: Trust, rank: Rank) -> Result<Option<Found>, ProfileError> {
    Ok(read(path, trust)?.map(|text| file(path, text, trust, rank)))
}

/// The profile of that name: the user's, the system's, the built-in one. `builtin:NAME` is the last alone.
fn search(name: &str, places: &Places) -> Result<Option<Found>, ProfileError> {
    let embedded = |name: &str| {
        builtin::get(name).map(|builtin| Found {
            name: builtin.name.to_owned(),
            text: Cow::Borrowed(builtin.text),
            place: Place::Builtin(builtin.name),
            rank: Rank::Builtin,
            id: Id::Builtin(builtin.name),
            base: None,
        })
    };
    if let Some(name) = name.strip_prefix("builtin:") {
        return Ok(embedded(name));
    }
    if !is_name(name) {
        return Ok(None);
    }
    for (dir, rank) in places.dirs() {
        let path = dir.join("profiles").join(format!("{name}.toml"));
        if let Some(found) = by_path(&path, Trust::Searched { uid: places.uid }, rank)? {
            return Ok(Some(Found {
                name: name.to_owned(),
                ..found
            }));
        }
    }
    Ok(embedded(name))
}

fn not_found(name: &str, places: &Places) -> String {
    let mut names: Vec<String> = places
        .dirs()
        .flat_map(|(dir, _)| profiles_in(dir))
        .map(|(name, _)| name)
        .chain(builtin::ALL.iter().map(|builtin| builtin.name.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    match closest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names.join(", ")),
    }
}

/// Parses the chosen profile and, depth first, everything that it extends, each once.
pub(super) fn follow(chosen: Found, places: &Places) -> Result<Graph, ProfileError> {
    let mut walk = Follow {
        places,
        graph: Graph::default(),
        path: Vec::new(),
        done: Vec::new(),
    };
    walk.visit(chosen)?;
    Ok(walk.graph)
}

struct Follow<'a> {
    places: &'a Places,
    graph: Graph,
    /// From the chosen profile to the one at hand.
    path: Vec<(Id, String)>,
    done: Vec<Id>,
}

impl Follow<'_> {
    fn visit(&mut self, found: Found) -> Result<(), ProfileError> {
        let baked = match found.id {
            Id::Builtin(name) => baked::parsed(name),
            Id::File(_) => None,
        };
        let parsed = match baked {
            Some(parsed) => parsed,
            None => parse(&found.text, &found.name, &found.place, Role::Profile)
                .map_err(ProfileError::Invalid)?,
        };
        self.graph.names.push(found.name.clone());
        self.path.push((found.id.clone(), found.name.clone()));
        let mut problems = Vec::new();
        for (name, at) in parsed.extends {
            let mut problem = |what: String, help: String| {
                let label = found.place.label();
                problems.push(Diagnostic::new(&label, &found.text, at.clone(), what, help));
            };
            match self.parent(&name, &found)? {
                None => problem(
                    format!("there is no profile `{name}`"),
                    not_found(&name, self.places),
                ),
                Some(parent) if self.path.iter().any(|(id, _)| *id == parent.id) => {
                    let mut chain: Vec<&str> = self
                        .path
                        .iter()
                        .skip_while(|(id, _)| *id != parent.id)
                        .map(|(_, name)| name.as_str())
                        .collect();
                    chain.push(&parent.name);
                    problem(
                        format!(
                            "profiles extend each other in a circle: {}",
                            chain.join(" -> ")
                        ),
                        "a profile that replaces a built-in one extends it as `builtin:NAME`"
                            .into(),
                    );
                }
                Some(_) if self.path.len() >= DEPTH => {
                    problem(
                        format!("more than {DEPTH} levels of `extends`"),
                        String::new(),
                    );
                }
                Some(parent) if self.done.contains(&parent.id) => {}
                Some(parent) => self.visit(parent)?,
            }
        }
        if !problems.is_empty() {
            return Err(ProfileError::Invalid(problems));
        }
        self.path.pop();
        self.done.push(found.id);
        self.graph
            .fragments
            .push((found.rank, Position::Profile, parsed.fragment));
        Ok(())
    }

    /// What an entry of `extends` names: a profile, or a file relative to the one that says so.
    fn parent(&self, name: &str, child: &Found) -> Result<Option<Found>, ProfileError> {
        match &child.base {
            Some((dir, trust)) if is_file(name.as_bytes()) => {
                by_path(&dir.join(name), *trust, child.rank)
            }
            _ => search(name, self.places),
        }
    }
}
