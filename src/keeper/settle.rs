//! Files at the end of a session, and names that run things at once: compared with what they were, put back, or moved to the
//! quarantine. Runs in a job of the supervisor, outside of the box, and after a crash in whoever comes next. The session's
//! processes may still run while a name is settled at once, so nothing is trusted between two calls: everything goes by
//! descriptors, and what is moved away is what had the name.

#![forbid(unsafe_code)]

mod act;
mod back;
mod clones;
mod gits;
mod held;
mod known;
mod links;
mod lures;
mod openers;
mod rest;
mod worktrees;
mod writers;

pub use self::act::{Act, Did, Held, Scope, Search, Sees, Whose, is_complete};
use self::clones::Theirs;
use self::gits::is_config;
use self::lures::Several;
use self::rest::Rest;
pub use self::rest::was_looked_at;
use super::baseline::{Baseline, Content, Kept};
use super::files;
use super::git::{self, Pointer};
use super::quarantine::{Quarantine, Why};
use super::search::Kinds;
use super::unlocked::Unlocked;
use super::{search, strayed};
use crate::plan::OsText;
use crate::plan::names::{NameKind, Names};
use crate::sys::unlock;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, openat};
use nix::sys::stat::{Mode, SFlag};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Does a name run something by itself, or say what git runs?
fn runs(kinds: &Kinds, file: &Path) -> bool {
    kinds.is_frozen(file) || git::is_named_config(file) || Pointer::of(file).is_some()
}

/// Settles files.
pub struct Settler<'a> {
    /// With rules about what the session has added.
    names: Cow<'a, Names>,
    /// The same, for looking up.
    kinds: Rc<Kinds>,
    baseline: &'a Baseline,
    session: BorrowedFd<'a>,
    root: OwnedFd,
    quarantine: Option<Quarantine>,
    unlocked: Unlocked,
    /// How often it may still wait for somebody who writes a file.
    pauses: u32,
    acts: Vec<Act>,
    /// Where remotes lead is told once.
    at_end: bool,
    done: BTreeSet<PathBuf>,
    /// Files that lead through a link of the session, whatever they say.
    strayed: BTreeSet<PathBuf>,
    /// What an earlier one has left.
    rest: Option<Rest>,
    /// Files with several names, by their place.
    several: HashMap<PathBuf, Several>,
    /// What the box that runs sees of git's configuration.
    sees: Option<&'a Sees>,
}

impl<'a> Settler<'a> {
    /// For the session whose directory this is.
    ///
    /// # Errors
    /// The host's root cannot be opened.
    pub fn new(
        names: &'a Names,
        baseline: &'a Baseline,
        session: BorrowedFd<'a>,
    ) -> Result<Settler<'a>, Errno> {
        Ok(Settler {
            names: Cow::Borrowed(names),
            kinds: Rc::new(Kinds::new(names)),
            baseline,
            session,
            root: openat(AT_FDCWD, "/", files::DIR, Mode::empty())?,
            quarantine: None,
            unlocked: Unlocked::default(),
            pauses: gits::PAUSES,
            acts: Vec::new(),
            at_end: false,
            done: BTreeSet::new(),
            strayed: BTreeSet::new(),
            rest: None,
            several: HashMap::new(),
            sees: None,
        })
    }

    /// Does it, and says what was done.
    #[must_use]
    pub fn settle(mut self, scope: &'a Scope) -> Vec<Act> {
        self.at_end = matches!(scope, Scope::End { .. });
        match scope {
            Scope::Now {
                names,
                judge,
                held,
                sees,
            } => {
                self.sees = Some(sees);
                let kinds = Rc::clone(&self.kinds);
                let (first, rest) = names.iter().cloned().partition(|file| runs(&kinds, file));
                self.files(first);
                self.files(rest);
                self.judge(judge);
                self.held(held);
            }
            Scope::End {
                touched,
                born,
                search,
            } => {
                self.pauses = gits::PAUSES_AT_END;
                self.rest = Rest::read(self.session);
                let mut touched = touched.clone();
                let mut born = born.clone();
                if *search == Search::Yes {
                    let found = search::search(self.root.as_fd(), &self.names, self.baseline);
                    touched.extend(found.names);
                    born.extend(found.born);
                    for (dir, why) in found.unseen {
                        self.failed(&dir, format!("it was not looked at: {why}"));
                    }
                }
                born.sort();
                born.dedup();
                born.retain(|dir| !self.is_born_later(dir) && !self.is_out_of_reach(dir));
                let clones = self.clones(&born);
                let added = self.added_hooks(&touched);
                touched.extend(added);
                let kinds = Rc::clone(&self.kinds);
                let theirs = Theirs::new(&born, &clones);
                touched.retain(|file| !theirs.has(&kinds, file));
                self.strayed = strayed::strayed(self.baseline, &self.names);
                let mut known = self.baseline.changed();
                known.extend(self.strayed.iter().cloned());
                known.extend(self.baseline.led_elsewhere());
                // Should the time or the disk not be enough for all: what was there before comes first, since the user goes on with
                // that and the box can make as much else as it likes; of both what runs things at once.
                let by_itself = |files: Vec<PathBuf>| -> (Vec<PathBuf>, Vec<PathBuf>) {
                    files.into_iter().partition(|file| runs(&kinds, file))
                };
                // What may stand on the way to it comes before it.
                let above = self.baseline.above();
                let (way, touched): (Vec<PathBuf>, Vec<PathBuf>) = touched
                    .into_iter()
                    .partition(|file| above.contains(file.as_path()));
                let ((known, calm), (first, rest)) = (by_itself(known), by_itself(touched));
                self.files(way);
                self.files(known);
                self.files(calm);
                self.files(first);
                self.outward(&born);
                for dir in born {
                    // The modes that the box gave it are no reason to leave it.
                    let root = self.root.as_fd();
                    match self.unlocked.open_to_write(root, &dir) {
                        Err(Errno::EACCES) => self.failed(&dir, Errno::EACCES),
                        Ok(_) | Err(_) => self.repository(&dir),
                    }
                    self.unlocked.lock();
                }
                self.files(rest);
                // Told once; what was committed since is the user's.
                if self.rest.is_none() {
                    self.commits();
                }
                self.leave_rest();
            }
        }
        self.acts
    }

    fn say(&mut self, file: &Path, did: Did) {
        self.acts.push(Act {
            file: OsText::from(file),
            did,
        });
    }

    fn failed(&mut self, file: &Path, why: impl ToString) {
        self.say(
            file,
            Did::Failed {
                why: why.to_string(),
            },
        );
    }

    fn files(&mut self, files: Vec<PathBuf>) {
        for file in files {
            self.file(&file);
            self.unlocked.lock();
        }
    }

    /// One name.
    fn file(&mut self, file: &Path) {
        if !self.done.insert(file.to_owned()) || self.is_later(file) {
            return;
        }
        match self.baseline.of(file) {
            Some(kept) => self.compare(file, kept),
            None => self.made(file),
        }
        self.part(file);
    }

    /// A name that was not there when the session began.
    fn made(&mut self, file: &Path) {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return;
        };
        let dir = match self.unlocked.open_to_write(self.root.as_fd(), parent) {
            Ok(dir) => dir,
            // A parent is gone; or it has become a link, which is looked at as a name of its own.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return,
            Err(errno) => return self.failed(file, errno),
        };
        let stat = match files::stat(dir.as_fd(), name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return,
            Err(errno) => return self.failed(file, errno),
        };
        if self.is_out_of_reach(file) {
            return;
        }
        if self.is_lure(dir.as_fd(), name, file, &stat) {
            self.take(dir.as_fd(), name, file, Why::Lure);
            return;
        }
        let kind = self.kinds.of(file);
        let is_link = files::is(&stat, SFlag::S_IFLNK);
        // Nobody in the box could write it, and it may be the user's.
        if kind == Some(NameKind::Hide)
            || (kind.is_none() && !is_link && self.kinds.is_hidden(file))
        {
            return;
        }
        if kind.is_none() && is_link && self.is_plain_link(file) {
            if self.is_on_the_way(file) || self.is_led_out(file) {
                self.take(dir.as_fd(), name, file, Why::Made);
            }
            return;
        }
        if kind.is_none() && self.is_of_git(dir.as_fd(), name, file, &stat) {
            return;
        }
        if is_link
            && (self.is_old_link(file, &stat, kind)
                || self.is_followed_link(dir.as_fd(), name, file, kind))
        {
            return;
        }
        if is_config(dir.as_fd(), file) {
            let _ = unlock::widen(dir.as_fd(), name);
            return self.config(dir.as_fd(), name, file, b"");
        }
        if let Some(pointer) = Pointer::of(file)
            && self.may_say(dir.as_fd(), name, file, pointer, b"")
        {
            return;
        }
        let tracked = match kind {
            // Told of a git directory with another name than `.git`.
            None => git::is_gits(file),
            Some(kind) => kind == NameKind::Track,
        };
        if tracked && files::is(&stat, SFlag::S_IFDIR) {
            let inner = match self.unlocked.open(self.root.as_fd(), file) {
                Ok(inner) => inner,
                Err(errno) => return self.failed(file, errno),
            };
            match files::names(inner.as_fd()) {
                Ok(children) => {
                    for child in children {
                        self.file(&file.join(child));
                    }
                }
                Err(errno) => self.failed(file, errno),
            }
            files::remove_if_empty(dir.as_fd(), name);
            return;
        }
        // What a file says that leads somewhere depends on where it is: no copy of another one is as good as that.
        if tracked
            && Pointer::of(file).is_none()
            && let Ok(Some((bytes, _))) = files::read(dir.as_fd(), name)
            && self.is_gits(file, &bytes)
        {
            return;
        }
        if !tracked
            && let Some((bytes, stat)) = self.written(dir.as_fd(), name)
            && self.is_named(file, &bytes)
            && self.is_still(dir.as_fd(), name, &stat)
        {
            let did = Did::Followed {
                inode: (stat.st_dev, stat.st_ino),
                changed: (stat.st_ctime, stat.st_ctime_nsec),
            };
            return self.say(file, did);
        }
        let diverts = kind.is_none() && is_link && self.is_gits_own(file);
        let why = if diverts { Why::Diverts } else { Why::Made };
        self.take(dir.as_fd(), name, file, why);
    }

    fn take(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path, why: Why) -> bool {
        self.unlocked.write(dir);
        // A directory that moves has to be writable itself. Its new mode goes with it.
        let _ = unlock::widen(dir, name);
        let taken = self.quarantine().and_then(|quarantine| {
            let taken = quarantine.take(dir, name, file, why);
            taken.map_err(|e| e.to_string())
        });
        let Err(reason) = taken else {
            if let Some(did) = Did::taken(why) {
                self.say(file, did);
            }
            return true;
        };
        // Whatever it was that failed (a full disk, a tree that is too deep): under this name it would be run.
        match files::put_aside(dir, name) {
            Ok(new) => {
                let why = format!("{reason}; it is called {} now", new.display());
                self.say(file, Did::Beyond { why });
                true
            }
            // It went away itself.
            Err(_) if !files::exists(dir, name) => true,
            Err(_) => {
                self.failed(file, reason);
                false
            }
        }
    }

    fn quarantine(&mut self) -> Result<&mut Quarantine, String> {
        let opened = match self.quarantine.take() {
            Some(quarantine) => quarantine,
            None => Quarantine::open(self.session).map_err(|e| e.to_string())?,
        };
        Ok(self.quarantine.insert(opened))
    }

    /// A file that existed when the session began.
    fn compare(&mut self, file: &Path, kept: &Kept) {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return;
        };
        if self.is_gone_with_its_tree(file) {
            return;
        }
        // A directory that cannot be searched is not one in which nothing is.
        let _ = self.unlocked.open_to_write(self.root.as_fd(), parent);
        if self.is_gone_with_its_branch(file) {
            return;
        }
        let dir = match self.parent_of(parent) {
            Ok(dir) => dir,
            Err(why) => return self.failed(file, why),
        };
        let stat = match files::stat(dir.as_fd(), name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => {
                return self.put_back(dir.as_fd(), name, file, kept, Did::Restored);
            }
            Err(errno) => return self.failed(file, errno),
        };
        let strayed = self.strayed.contains(file);
        if kept.is_untouched(&stat) && !strayed {
            let runs = kept.kind == NameKind::Freeze || is_config(dir.as_fd(), file);
            if runs && self.is_being_written(dir.as_fd(), name) {
                self.detach_writers(dir.as_fd(), name, file);
            }
            return;
        }
        if is_config(dir.as_fd(), file) {
            let base = self.base(file, kept);
            let _ = unlock::widen(dir.as_fd(), name);
            return self.config(dir.as_fd(), name, file, &base);
        }
        if let Some(pointer) = Pointer::of(file)
            && let base = self.baseline.bytes(kept).unwrap_or_default()
            && self.may_say(dir.as_fd(), name, file, pointer, base)
        {
            return;
        }
        // What it was is no better now.
        if strayed {
            self.take(dir.as_fd(), name, file, Why::Made);
            return;
        }
        if kept.kind == NameKind::Freeze {
            self.let_write(dir.as_fd(), name);
        }
        let same = match &kept.content {
            Content::File { mode, .. } => match files::read(dir.as_fd(), name) {
                Ok(Some((bytes, stat))) => {
                    // Who may execute it is part of what it is.
                    let alike = (stat.st_mode & 0o111) == (mode & 0o111);
                    let known = alike && self.baseline.bytes(kept) == Some(&bytes);
                    match kept.kind {
                        // Or the host has checked out another branch: in the box nobody replaces what is frozen.
                        NameKind::Freeze => {
                            (known || self.is_named(file, &bytes))
                                && self.is_still(dir.as_fd(), name, &stat)
                        }
                        NameKind::Track => {
                            known
                                || alike
                                    && Pointer::of(file).is_none()
                                    && self.is_gits(file, &bytes)
                        }
                        NameKind::Hide => known,
                    }
                }
                _ => false,
            },
            Content::Link { to } => nix::fcntl::readlinkat(&dir, Path::new(name))
                .is_ok_and(|now| now.as_os_str() == to.os()),
            Content::Unread => {
                let why = "it was changed, and is too large to be put back".to_owned();
                return self.say(file, Did::Beyond { why });
            }
        };
        if !same && self.take(dir.as_fd(), name, file, Why::Changed) {
            self.put_back(dir.as_fd(), name, file, kept, Did::PutBack);
        }
    }
}
