//! [`Walker`]: follows a path through the host's symlinks and remembers which ones it met, so that the box can show the
//! same. Each directory on the way is walked once: most paths share their parents, and each look costs a system call.

#![forbid(unsafe_code)]

use super::expand::parent;
use super::pathmap::ByBytes;
use crate::host::{FileType, Lookup, Stat};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// The kernel's own limit of links in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walked {
    /// The canonical path. Where `stat` is `None`, the canonical path of what exists and the rest as typed.
    pub(super) real: PathBuf,
    /// The symlinks that were met: where each is (canonical parent) and what it says.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// The file at the end, or `None` when something of the path is missing or cannot be searched.
    pub(super) stat: Option<Stat>,
    /// The last component as typed was a symlink at this place.
    pub(super) last_link: Option<PathBuf>,
    /// To go on from here: what is at `real`, whatever was missing before a "..", ...
    at: Option<Stat>,
    /// ... whether nothing was, ...
    alive: bool,
    /// ... and how many links were followed. Not `links.len()`: a loop meets the same link again and again.
    followed: usize,
}

impl Walked {
    pub(super) fn is_dir(&self) -> bool {
        self.stat.is_some_and(|s| s.file_type == FileType::Dir)
    }
}

/// Follows paths.
pub(super) struct Walker<'a> {
    pub(super) look: &'a dyn Lookup,
    /// lstat(2) of canonical places.
    seen: RefCell<HashMap<OsString, Option<Stat>, ByBytes>>,
    /// Paths that were followed; `None` is a loop.
    walked: RefCell<HashMap<OsString, Option<Rc<Walked>>, ByBytes>>,
}

/// Enough for a start with the usual profiles, so that the tables need not grow.
const USUAL: usize = 256;

impl<'a> Walker<'a> {
    pub(super) fn new(look: &'a dyn Lookup) -> Self {
        Walker {
            look,
            seen: RefCell::new(HashMap::with_capacity_and_hasher(USUAL, ByBytes)),
            walked: RefCell::new(HashMap::with_capacity_and_hasher(USUAL, ByBytes)),
        }
    }

    /// lstat(2) of a path whose parent is canonical, remembered.
    pub(super) fn lstat(&self, path: &Path) -> Option<Stat> {
        if let Some(known) = self.seen.borrow().get(path.as_os_str()) {
            return *known;
        }
        let stat = self.look.lstat(path);
        self.seen
            .borrow_mut()
            .insert(path.as_os_str().to_owned(), stat);
        stat
    }

    /// stat(2) through the same memory.
    pub(super) fn stat(&self, path: &Path) -> Option<Stat> {
        self.follow(path).and_then(|w| w.stat)
    }

    /// The canonical path of something that exists.
    pub(super) fn canonical(&self, path: &Path) -> Option<PathBuf> {
        self.follow(path)
            .filter(|w| w.stat.is_some())
            .map(|w| w.real.clone())
    }

    /// Follows an absolute path. `None` for a relative one and for a loop of links.
    pub(super) fn follow(&self, path: &Path) -> Option<Rc<Walked>> {
        if let Some(known) = self.walked.borrow().get(path.as_os_str()) {
            return known.clone();
        }
        let found = match plain(path) {
            Plain::Root => self.walk(self.root(), path),
            Plain::Name(name) => match parent(path).and_then(|dir| self.follow(dir)) {
                Some(dir) => {
                    let from = Walked {
                        last_link: None,
                        ..(*dir).clone()
                    };
                    self.walk(from, Path::new(name))
                }
                None => None,
            },
            Plain::Not if path.is_absolute() => self.walk(self.root(), path),
            Plain::Not => None,
        }
        .map(Rc::new);
        self.walked
            .borrow_mut()
            .insert(path.as_os_str().to_owned(), found.clone());
        found
    }

    fn root(&self) -> Walked {
        let root = PathBuf::from("/");
        let stat = self.lstat(&root);
        Walked {
            real: root,
            links: Vec::new(),
            stat,
            last_link: None,
            at: stat,
            alive: true,
            followed: 0,
        }
    }

    /// Goes on from `from` along `path`.
    fn walk(&self, from: Walked, path: &Path) -> Option<Walked> {
        let Walked {
            mut real,
            mut links,
            mut last_link,
            at: mut stat,
            mut alive,
            mut followed,
            ..
        } = from;
        let mut todo: Vec<OsString> = Vec::new();
        push(&mut todo, path);
        // As long as more than this is left, what is looked at is not the last component as typed.
        let mut in_typed = todo.len();
        while let Some(name) = todo.pop() {
            if name == ".." {
                // ".." of what is missing or no directory is missing too; it is not its parent.
                alive &= stat.is_some_and(|s| s.file_type == FileType::Dir);
                real.pop();
                stat = self.lstat(&real);
                in_typed = in_typed.min(todo.len());
                continue;
            }
            let place = real.join(&name);
            let found = if stat.is_some() {
                self.lstat(&place)
            } else {
                None
            };
            match found {
                Some(s) if s.file_type == FileType::Symlink => {
                    followed += 1;
                    if followed > MAX_LINKS {
                        return None;
                    }
                    let to = self.look.read_link(&place)?;
                    if todo.is_empty() && in_typed == 1 {
                        last_link = Some(place.clone());
                    }
                    in_typed = in_typed.min(todo.len());
                    if to.is_absolute() {
                        real = PathBuf::from("/");
                        stat = self.lstat(&real);
                    }
                    push(&mut todo, &to);
                    if !links.iter().any(|(at, _)| *at == place) {
                        links.push((place, to));
                    }
                }
                other => {
                    real = place;
                    stat = other;
                    in_typed = in_typed.min(todo.len());
                }
            }
        }
        Some(Walked {
            real,
            links,
            stat: stat.filter(|_| alive),
            last_link,
            at: stat,
            alive,
            followed,
        })
    }
}

/// Longer paths are walked from the root.
const LONG: usize = 1024;

/// How a path is written.
pub(super) enum Plain<'p> {
    /// "/".
    Root,
    /// Absolute, without ".", "..", doubled slashes and a slash at the end. Its last component.
    Name(&'p OsStr),
    /// Anything else.
    Not,
}

/// How is it written?
pub(super) fn plain(path: &Path) -> Plain<'_> {
    let bytes = path.as_os_str().as_bytes();
    let Some(rest) = bytes.strip_prefix(b"/") else {
        return Plain::Not;
    };
    if rest.is_empty() {
        return Plain::Root;
    }
    // Each directory on the way is one level of recursion and one entry: a variable can hold a path of any length.
    if rest.len() > LONG {
        return Plain::Not;
    }
    let mut last: &[u8] = b"";
    for name in rest.split(|b| *b == b'/') {
        if matches!(name, b"" | b"." | b"..") {
            return Plain::Not;
        }
        last = name;
    }
    Plain::Name(OsStr::from_bytes(last))
}

/// Components in reverse, so that the next one is popped. "." and double slashes vanish.
fn push(todo: &mut Vec<OsString>, path: &Path) {
    todo.extend(
        path.components()
            .rev()
            .filter_map(|component| match component {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
            }),
    );
}
