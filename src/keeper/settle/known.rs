//! What git knows of a content: from before the session, under the same name, or at all; and what its references came to name.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::baseline::Kept;
use crate::keeper::history::refs::{self, Repository};
use crate::keeper::history::staged;
use crate::keeper::history::{Back, Staged};
use crate::keeper::message::Until;
use crate::keeper::quarantine::Why;
use crate::keeper::{files, git, history, listing, objects};
use crate::plan::OsText;
use crate::plan::names::content;
use crate::plan::names::id::Id;
use crate::plan::names::index::{self, Format};
use nix::errno::Errno;
use nix::sys::stat::FileStat;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// A file that the box can read in an object store.
struct Readable {
    home: objects::Home,
    id: Id,
    stat: FileStat,
}

impl Settler<'_> {
    /// Is a file gone because what is checked out has none, as a branch of the start had none? What was not in git stays when
    /// another branch is checked out.
    pub(super) fn is_gone_with_its_branch(&self, file: &Path) -> bool {
        let root = self.root.as_fd();
        // What no branch has ever had: a git directory that is still one has its configuration.
        if git::is_named_config(file)
            && let Some(dir) = file.parent()
            && files::open_path(root, dir).is_ok_and(|dir| listing::is_git(dir.as_fd()))
        {
            return false;
        }
        let gone = nix::sys::stat::lstat(file).is_err();
        let home = objects::home(root, &self.names, file).filter(|_| gone);
        home.is_some_and(|home| {
            // A linked worktree has a HEAD of its own.
            let main = home.git.parent().map(|top| top.join(&home.rel));
            let known = self.baseline.repository(&home.git);
            main.as_deref() == Some(file)
                && known.is_some_and(|known| {
                    history::was_checked_out(root, known, &home.rel)
                        && history::named(root, known, &home.rel, None, Back::Tips)
                })
        })
    }

    /// Had a commit that a reference named when the session began this content under this name? Then it is the user's own.
    pub(super) fn is_named(&self, file: &Path, bytes: &[u8]) -> bool {
        let root = self.root.as_fd();
        let home = self.home(file);
        home.is_some_and(|home| {
            let known = self.baseline.repository(&home.git);
            known.is_some_and(|known| {
                history::named(root, known, &home.rel, Some(bytes), Back::Tips)
            })
        })
    }

    /// The repository that says whose a file is. A directory that was there and has got a `.git` file in the session is not of the one
    /// that it leads to: the box would choose by whose commits its files are judged.
    fn home(&self, file: &Path) -> Option<objects::Home> {
        let home = objects::home(self.root.as_fd(), &self.names, file)?;
        let top = top_of(file, &home)?;
        let dot_git = top.join(".git");
        let was = home.git == dot_git || self.baseline.of(&dot_git).is_some();
        (was || !self.stood(top)).then_some(home)
    }

    /// Is it content that was there before the session: under the same name in a commit behind a reference of the start, so that
    /// the file has followed its branch, or in a file of the same name, of which a worktree has a copy?
    pub(super) fn is_gits(&self, file: &Path, bytes: &[u8]) -> bool {
        let root = self.root.as_fd();
        let Some(home) = self.home(file) else {
            return false;
        };
        // Under the same name in the same repository, or in one that is new in a place of its own (a submodule): what an earlier
        // session has left in a clone is not the working copy's.
        let is_new = self.baseline.repository(&home.git).is_none()
            && top_of(file, &home).is_some_and(|top| !self.stood(top));
        let copy = |kept: &Kept| {
            kept.file.path().ends_with(&home.rel)
                && self.baseline.bytes(kept) == Some(bytes)
                && objects::home(root, &self.names, kept.file.path())
                    .is_some_and(|of| of.rel == home.rel && (is_new || of.git == home.git))
        };
        if self.baseline.files.iter().any(copy) {
            return true;
        }
        // That the store had it is not enough: any earlier session can have put it there, for this one to use.
        let id = Id::name(self.format(&home.git), "blob", bytes);
        let had = objects::store(root, &home)
            .is_some_and(|store| objects::had(store.as_fd(), &id, self.baseline.taken));
        let back = if had { Back::History } else { Back::Tips };
        self.baseline
            .repository(&home.git)
            .is_some_and(|known| history::named(root, known, &home.rel, Some(bytes), back))
    }

    /// Is the content of files under hidden names in the object store of their repository? Then the box can read it there,
    /// and git in the box needs it: who has the id of a content had the content.
    /// Of a file that a rule hides for its content that is looked for first.
    pub(super) fn judge(&mut self, files: &[PathBuf]) {
        let mut rest = Vec::new();
        for file in files {
            match self.harmless(file) {
                Some(did) => self.say(file, did),
                None => rest.push(file.clone()),
            }
        }
        let files = rest.as_slice();
        let found: Vec<_> = files.iter().map(|file| self.in_store(file)).collect();
        let mut at: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (number, readable) in found.iter().enumerate() {
            if let Some(readable) = readable {
                at.entry(&readable.home.git).or_default().push(number);
            }
        }
        let mut committed = vec![false; files.len()];
        for (git, numbers) in at {
            let names = numbers.iter().filter_map(|number| {
                let readable = found.get(*number)?.as_ref()?;
                Some((readable.home.rel.as_path(), readable.id))
            });
            let names: Vec<_> = names.collect();
            let root = self.root.as_fd();
            let named = match self.baseline.repository(git) {
                Some(known) => history::each_named(root, known, &names),
                // It was born in the session, and is the box's own.
                None => history::each_named(root, &refs::as_they_are(root, git), &names),
            };
            for (number, named) in numbers.iter().zip(named) {
                if let Some(committed) = committed.get_mut(*number) {
                    *committed = named;
                }
            }
        }
        let stats: Vec<_> = found.into_iter().map(|it| it.map(|it| it.stat)).collect();
        for ((file, stat), committed) in files.iter().zip(stats).zip(committed) {
            let until = match committed {
                true => Until::Replaced,
                false => Until::Written,
            };
            // What is written into another name of it would be seen there alone.
            let did = match stat.filter(|stat| committed || stat.st_nlink == 1) {
                Some(stat) => Did::Known {
                    inode: (stat.st_dev, stat.st_ino),
                    changed: (stat.st_ctime, stat.st_ctime_nsec),
                    until,
                },
                None => Did::Secret,
            };
            self.say(file, did);
        }
    }

    /// Is it there for a rule about its content, and has nothing of that kind? One that cannot be read may have.
    fn harmless(&self, file: &Path) -> Option<Did> {
        let what = self.kinds.content(&self.names.rules, file)?;
        let most = u64::try_from(content::MOST).unwrap_or(u64::MAX);
        let (parent, name) = (file.parent()?, file.file_name()?);
        let look = files::open_path(self.root.as_fd(), parent).and_then(|dir| {
            match files::read_first(dir.as_fd(), name, most)? {
                Some((text, stat)) => Ok((content::holds(what, &text), stat)),
                // A link, a fifo.
                None => Ok((false, files::stat(dir.as_fd(), name)?)),
            }
        });
        match look {
            Ok((true, _)) => None,
            Ok((false, stat)) => Some(Did::Harmless {
                inode: (stat.st_dev, stat.st_ino),
                changed: (stat.st_ctime, stat.st_ctime_nsec),
            }),
            // It is gone. There is no such inode, so that nothing is taken for it.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Some(Did::Harmless {
                inode: (0, 0),
                changed: (0, 0),
            }),
            Err(_) => None,
        }
    }

    /// How the repository with that git directory names objects. Before its first commit its configuration says so, which the box
    /// may have changed: then nothing is known of it.
    fn format(&self, git: &Path) -> Format {
        let known = self.baseline.repository(git);
        known.and_then(Repository::format).unwrap_or_else(|| {
            let dir = files::open_path(self.root.as_fd(), git).ok();
            let read = dir.and_then(|dir| files::read(dir.as_fd(), OsStr::new("config")).ok()?);
            index::format(&read.map(|(text, _)| text).unwrap_or_default())
        })
    }

    fn in_store(&self, file: &Path) -> Option<Readable> {
        let root = self.root.as_fd();
        let dir = files::open_path(root, file.parent()?).ok()?;
        let (bytes, stat) = files::read(dir.as_fd(), file.file_name()?).ok()??;
        // An empty file has no content to be known.
        if bytes.is_empty() {
            return None;
        }
        let home = objects::home(root, &self.names, file)?;
        let store = objects::store(root, &home)?;
        let id = Id::name(self.format(&home.git), "blob", &bytes);
        objects::has(store.as_fd(), &id).then_some(Readable { home, id, stat })
    }

    /// `refs/replace/ID` has git read another object wherever that one is named: the next checkout writes what no commit has.
    fn replacements(&mut self, repository: &Repository) {
        let dir = repository.dir.path();
        let now = refs::read(self.root.as_fd(), dir);
        for name in replacing(&now, repository) {
            let file = dir.join(name);
            if let (Some(parent), Some(last)) = (file.parent(), file.file_name())
                && let Ok(parent) = files::open_path(self.root.as_fd(), parent)
                && files::exists(parent.as_fd(), last)
            {
                self.take(parent.as_fd(), last, &file, Why::Made);
            }
        }
    }

    /// What was committed and staged.
    pub(super) fn commits(&mut self) {
        for repository in self.baseline.moved() {
            self.history(repository);
        }
        for (repository, indexes) in self.baseline.restaged() {
            self.staged(repository, &indexes);
        }
    }

    /// What of protected files the indexes of a repository came to have.
    fn staged(&mut self, repository: &Repository, indexes: &[OsText]) {
        for index in indexes {
            let look = staged::Look {
                root: self.root.as_fd(),
                names: &self.names,
                baseline: self.baseline,
                repository,
            };
            let (found, unknown) = look.at(index);
            for (file, what) in found {
                self.say(&file, Did::Staged { what });
            }
            if let Some(why) = unknown {
                let file = repository.dir.path().join(index.path());
                let what = Staged::Unknown { why };
                self.say(&file, Did::Staged { what });
            }
        }
    }

    /// What the references of a repository came to name.
    fn history(&mut self, repository: &Repository) {
        self.replacements(repository);
        let taken = self.baseline.taken;
        let report = history::look(self.root.as_fd(), &self.names, repository, taken);
        for found in report.commits {
            let did = Did::Committed {
                reference: found.reference,
                commit: found.commit,
                how: found.how,
            };
            self.say(&found.file, did);
        }
        // What is packed with others stays, and is said.
        let now = refs::read(self.root.as_fd(), repository.dir.path());
        if let Some(name) = replacing(&now, repository).next() {
            let why = format!("{name} has git read another object for that one: `git replace -l`");
            self.say(repository.dir.path(), Did::Unread { why });
        }
        if let Some(why) = report.unknown {
            self.say(repository.dir.path(), Did::Unread { why });
        }
    }
}

/// The top of the working copy that a file is in.
fn top_of<'a>(file: &'a Path, home: &objects::Home) -> Option<&'a Path> {
    file.ancestors().nth(home.rel.iter().count())
}

/// Replacements that were not there.
fn replacing<'a>(
    now: &'a BTreeMap<String, String>,
    repository: &'a Repository,
) -> impl Iterator<Item = &'a String> {
    now.iter()
        .filter(|(name, id)| {
            name.starts_with(refs::REPLACE) && repository.refs.get(*name) != Some(*id)
        })
        .map(|(name, _)| name)
}
