//! The history at the end of a session: which references came to name commits in which protected files are not what they
//! were. Git's plumbing makes such commits without ever touching the working copy (`hash-object`, `commit-tree`, `update-ref`),
//! so nothing else would tell. Nothing is undone: commits are the agent's work; they are named, before somebody pushes them.
//!
//! This process looks up bytes of the object store; a confined child understands them.

#![forbid(unsafe_code)]

mod reader;
pub(super) mod refs;
mod reftable;
pub(super) mod staged;
#[cfg(test)]
mod testing;
mod walk;

use self::reader::{Bytes, Id, Reader};
use self::refs::Repository;
pub use self::staged::Staged;
pub(super) use self::walk::Back;
pub use self::walk::How;
use self::walk::{Known, Moved, Told};
use super::objects::{self, Moment};
use super::search::Kinds;
use super::{files, git};
use crate::enforce::cell::Bounds;
use crate::enforce::consult::{Asker, consult};
use crate::plan::OsText;
use crate::plan::names::index::Format;
use crate::plan::names::{NameKind, Names};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Packs of one store that are read.
const PACKS: usize = 1_024;
/// References that are looked at.
const MOVED: usize = 64;
/// The largest file of a loose object.
const LOOSE: u64 = 16 << 20;

/// What is told of a protected file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commits {
    pub(super) file: PathBuf,
    pub(super) reference: OsText,
    pub(super) commit: String,
    pub(super) how: How,
}

/// What a look at a repository came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) commits: Vec<Commits>,
    /// References of which not everything could be read, or why nothing could.
    pub(super) unknown: Option<String>,
}

/// Compares a repository's references with what they were.
pub(super) fn look(
    root: BorrowedFd<'_>,
    names: &Names,
    repository: &Repository,
    taken: Moment,
) -> Report {
    let dir = repository.dir.path();
    let now = refs::read(root, dir);
    let changed = |(name, id): &(&String, &String)| repository.refs.get(*name) != Some(*id);
    let changed: Vec<(&String, &String)> = now.iter().filter(changed).collect();
    if !refs::are_read(root, dir) {
        return Report {
            unknown: Some("its references are in a format that is not read".to_owned()),
            ..Report::default()
        };
    }
    if changed.is_empty() {
        return Report::default();
    }
    let id = |text: &String| Id::parse(text.as_bytes());
    let mut moved: Vec<Moved> = Vec::new();
    let mut unread: Vec<String> = Vec::new();
    for (name, new) in &changed {
        if *new == refs::UNREAD {
            unread.push((*name).clone());
            continue;
        }
        let Some(new) = id(new) else {
            return Report {
                unknown: Some("its objects have names that are not read".to_owned()),
                ..Report::default()
            };
        };
        moved.push(Moved {
            name: (*name).clone(),
            old: repository.refs.get(*name).and_then(id),
            new,
        });
    }
    let left_out = moved.len().saturating_sub(MOVED);
    moved.truncate(MOVED);
    let before = repository.tips();
    let top = git::work_tree_of(dir);
    let about = About {
        root,
        names,
        dir,
        top: &top,
        taken,
    };
    let told: Told = match ask(&about, |reader, rules| {
        walk::look(reader, rules, &moved, &before)
    }) {
        Ok(told) => told,
        Err(why) => {
            return Report {
                unknown: Some(why),
                ..Report::default()
            };
        }
    };
    let commits = told.findings.into_iter().map(|found| Commits {
        file: top.join(OsStr::from_bytes(&found.path)),
        reference: refs::plain(found.reference.as_bytes()),
        commit: found.commit,
        how: found.how,
    });
    let mut unknown = told.unknown;
    unknown.extend(unread);
    if left_out > 0 {
        unknown.push(format!("{left_out} more references"));
    }
    Report {
        commits: commits.collect(),
        unknown: (!unknown.is_empty())
            .then(|| format!("not all could be read of {}", unknown.join(", "))),
    }
}

/// Had a branch of the start that content under that name? Asked where the time of git's files says nothing, since they were
/// packed anew. Without a content: had one no such file, and has what is checked out none?
pub(super) fn named(
    root: BorrowedFd<'_>,
    repository: &Repository,
    path: &Path,
    content: Option<&[u8]>,
    back: Back,
) -> bool {
    let Some(store) = Store::open(root, repository.dir.path()) else {
        return false;
    };
    let tips = repository.trusted_tips();
    let format = repository.format().unwrap_or(Format::Sha1);
    let id = content.map(|content| Id::name(format, "blob", content));
    let head = refs::head(root, repository.dir.path(), repository.dir.path())
        .and_then(|id| Id::parse(id.as_bytes()));
    let path = path.as_os_str().as_bytes();
    let answer = store.asked(|reader| walk::named(reader, &tips, head, path, id.as_ref(), back));
    answer == Some(true)
}

/// Of files and the ids of their contents: which have that content under their name in a commit that a reference names?
pub(super) fn each_named(
    root: BorrowedFd<'_>,
    repository: &Repository,
    names: &[(&Path, Id)],
) -> Vec<bool> {
    let none = vec![false; names.len()];
    let Some(store) = Store::open(root, repository.dir.path()) else {
        return none;
    };
    let tips = repository.trusted_tips();
    let answer = store.asked_each(|reader| {
        let named = names.iter().map(|(path, id)| {
            let path = path.as_os_str().as_bytes();
            walk::named(reader, &tips, None, path, Some(id), Back::Tips)
        });
        named.collect()
    });
    answer
        .filter(|answer| answer.len() == names.len())
        .unwrap_or(none)
}

/// Had what was checked out at the start a file of that name?
pub(super) fn was_checked_out(root: BorrowedFd<'_>, repository: &Repository, path: &Path) -> bool {
    let Some(store) = Store::open(root, repository.dir.path()) else {
        return false;
    };
    let head = repository
        .head
        .as_ref()
        .and_then(|id| Id::parse(id.as_bytes()));
    let path = path.as_os_str().as_bytes();
    store.asked(|reader| walk::at(reader, head, path).is_some()) == Some(true)
}

/// Had a branch of the start a directory of that name? Where not even what was checked out can be read it might have been there.
pub(super) fn stood(root: BorrowedFd<'_>, repository: &Repository, path: &Path) -> bool {
    let Some(store) = Store::open(root, repository.dir.path()) else {
        return true;
    };
    let tips = repository.tips();
    let head = repository
        .head
        .as_ref()
        .and_then(|id| Id::parse(id.as_bytes()));
    let path = path.as_os_str().as_bytes();
    store.asked(|reader| walk::stood(reader, &tips, head, path)) != Some(false)
}

fn bounds() -> Bounds {
    Bounds {
        who: "the process that reads git's history",
        time: Duration::from_secs(20),
        answer: 1 << 20,
    }
}

/// Whose objects are read, and which names are protected in it.
struct About<'a> {
    root: BorrowedFd<'a>,
    names: &'a Names,
    /// The git directory, ...
    dir: &'a Path,
    /// ... and whose files it keeps.
    top: &'a Path,
    taken: Moment,
}

/// What a confined child says that looks at a repository.
fn ask<T: Serialize + DeserializeOwned>(
    about: &About<'_>,
    look: impl FnOnce(&mut Reader<Remote<'_, '_>>, &mut Rules<'_, '_>) -> T,
) -> Result<T, String> {
    let store = Store::open(about.root, about.dir).ok_or("its object store cannot be opened")?;
    let packs = u32::try_from(store.packs.len()).unwrap_or(0);
    let answer = consult(
        bounds(),
        |question| store.answer(question, about.taken),
        |asker| {
            let kinds = Kinds::new(about.names);
            let asker = std::cell::RefCell::new(asker);
            let mut reader = Reader::new(Remote {
                asker: &asker,
                packs,
            });
            let mut rules = Rules {
                asker: &asker,
                kinds: &kinds,
                top: about.top,
            };
            serde_json::to_vec(&look(&mut reader, &mut rules)).unwrap_or_default()
        },
    )?;
    serde_json::from_slice(&answer).map_err(|_| "an answer that cannot be read".to_owned())
}

/// The questions of the child: one letter, then what it is about.
const QUESTION_LOOSE: u8 = b'l';
const QUESTION_INDEX: u8 = b'i';
const QUESTION_PACK: u8 = b'p';
const QUESTION_HAD: u8 = b'h';

/// The child's side.
struct Remote<'a, 'b> {
    asker: &'a std::cell::RefCell<&'b mut Asker>,
    packs: u32,
}

impl Remote<'_, '_> {
    fn part(&mut self, what: u8, pack: u32, at: u64, length: u32) -> Option<Vec<u8>> {
        let mut question = vec![what];
        question.extend(pack.to_le_bytes());
        question.extend(at.to_le_bytes());
        question.extend(length.to_le_bytes());
        self.asker.borrow_mut().ask(&question)
    }
}

fn about(what: u8, id: &Id) -> Vec<u8> {
    let mut question = vec![what];
    question.extend(id.bytes());
    question
}

impl Bytes for Remote<'_, '_> {
    fn loose(&mut self, id: &Id) -> Option<Vec<u8>> {
        self.asker.borrow_mut().ask(&about(QUESTION_LOOSE, id))
    }

    fn index(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>> {
        self.part(QUESTION_INDEX, pack, at, length)
    }

    fn pack(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>> {
        self.part(QUESTION_PACK, pack, at, length)
    }

    fn packs(&self) -> u32 {
        self.packs
    }
}

struct Rules<'a, 'b> {
    asker: &'a std::cell::RefCell<&'b mut Asker>,
    kinds: &'a Kinds,
    top: &'a Path,
}

impl Known for Rules<'_, '_> {
    fn had(&mut self, id: &Id) -> bool {
        self.asker
            .borrow_mut()
            .ask(&about(QUESTION_HAD, id))
            .is_some()
    }

    fn is_protected(&mut self, path: &[u8]) -> bool {
        let file = self.top.join(OsStr::from_bytes(path));
        matches!(
            self.kinds.of(&file),
            Some(NameKind::Freeze | NameKind::Track)
        )
    }

    fn is_hidden(&mut self, path: &[u8]) -> bool {
        let file = self.top.join(OsStr::from_bytes(path));
        self.kinds.is_hidden(&file)
    }
}

/// The object store, and the packs in it: index and pack.
struct Store {
    dir: OwnedFd,
    packs: Vec<(File, File)>,
}

impl Store {
    /// Asks one thing in a confined child. `None`: it did not say.
    fn asked(&self, look: impl FnOnce(&mut Reader<Remote<'_, '_>>) -> bool) -> Option<bool> {
        let answer = self.asked_each(|reader| vec![look(reader)])?;
        answer.first().copied()
    }

    /// Asks for several.
    fn asked_each(
        &self,
        look: impl FnOnce(&mut Reader<Remote<'_, '_>>) -> Vec<bool>,
    ) -> Option<Vec<bool>> {
        let packs = u32::try_from(self.packs.len()).unwrap_or(0);
        let answer = consult(
            bounds(),
            |question| self.answer(question, (0, 0)),
            |asker| {
                let asker = std::cell::RefCell::new(asker);
                let asker = &asker;
                let mut reader = Reader::new(Remote { asker, packs });
                look(&mut reader).into_iter().map(u8::from).collect()
            },
        );
        let said = answer.ok()?.into_iter();
        said.map(|byte| match byte {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
        .collect()
    }

    fn open(root: BorrowedFd<'_>, git: &Path) -> Option<Store> {
        let dir = files::open_path(root, &git.join("objects")).ok()?;
        let mut packs = Vec::new();
        if let Ok(place) = openat(&dir, "pack", files::DIR, Mode::empty()) {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let open = |name: &str| openat(&place, name, flags, Mode::empty()).map(File::from);
            for name in files::names(place.as_fd()).unwrap_or_default() {
                if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".idx"))
                    && packs.len() < PACKS
                    && let (Ok(index), Ok(pack)) =
                        (open(&format!("{stem}.idx")), open(&format!("{stem}.pack")))
                {
                    packs.push((index, pack));
                }
            }
        }
        Some(Store { dir, packs })
    }

    /// Looks bytes up.
    fn answer(&self, question: &[u8], taken: Moment) -> Option<Vec<u8>> {
        let (what, rest) = question.split_first()?;
        match *what {
            QUESTION_LOOSE => objects::loose_file(self.dir.as_fd(), &Id::of(rest)?, LOOSE),
            QUESTION_HAD => objects::had(self.dir.as_fd(), &Id::of(rest)?, taken).then(Vec::new),
            QUESTION_INDEX | QUESTION_PACK => {
                let pack = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
                let at = u64::from_le_bytes(rest.get(4..12)?.try_into().ok()?);
                let length = u32::from_le_bytes(rest.get(12..16)?.try_into().ok()?);
                let (index, body) = self.packs.get(usize::try_from(pack).ok()?)?;
                let file = if *what == QUESTION_INDEX { index } else { body };
                let mut bytes = vec![0; usize::try_from(length.min(64 << 20)).ok()?];
                let mut filled = 0;
                while filled < bytes.len() {
                    let offset = at.checked_add(u64::try_from(filled).ok()?)?;
                    match file.read_at(bytes.get_mut(filled..)?, offset) {
                        Ok(0) => break,
                        Ok(n) => filled += n,
                        Err(_) => return None,
                    }
                }
                bytes.truncate(filled);
                Some(bytes)
            }
            _ => None,
        }
    }
}
