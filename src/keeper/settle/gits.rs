//! What is settled in git directories: configuration, hooks, and the files that say where git finds them.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::baseline::Kept;
use crate::keeper::confined::{clean, comes_to_hold, leads_elsewhere};
use crate::keeper::files::{self, Locked};
use crate::keeper::git::{self, Pointer};
use crate::keeper::gitconfig;
use crate::keeper::listing;
use crate::keeper::quarantine::Why;
use crate::keeper::strayed;
use crate::plan::OsText;
use nix::errno::Errno;
use nix::fcntl::openat;
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::Duration;

/// How often a git configuration is read anew because somebody else writes it, and the pause before.
const CONFIG_TRIES: u32 = 60;
const CONFIG_PAUSE: Duration = Duration::from_millis(5);

/// How many pauses one job makes for all its files: hundreds that nobody can read must not use up its time. In the end only
/// the host can still be writing one.
pub(super) const PAUSES: u32 = 300;
pub(super) const PAUSES_AT_END: u32 = 60;

impl Settler<'_> {
    /// May a file that says where git finds something, or what it runs, be as it is?
    pub(super) fn may_say(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        pointer: Pointer,
        base: &[u8],
    ) -> bool {
        let Ok(Some((now, _))) = files::read(dir, name) else {
            return false;
        };
        match pointer {
            Pointer::GitFile => git::target(file, &now).is_some_and(|to| {
                // What is not there yet may be a link tomorrow: each session's end looks at that again.
                let real = match files::open_path(self.root.as_fd(), &to) {
                    Ok(_) | Err(Errno::ENOENT) => true,
                    Err(_) => false,
                };
                // A directory that was a repository's is no work tree of another one now, by whose commits it would be judged.
                let taken_over =
                    base.is_empty() && file.parent().is_some_and(|top| self.stood_in_git(top));
                real && git::is_looked_at(&self.names, &to) && !taken_over
            }),
            Pointer::CommonDir => git::is_common_dir(file, &now),
            Pointer::Strategy => git::is_strategy(&now),
            Pointer::Options => git::are_options(&now),
            Pointer::Todo => git::runs(&now).all(|line| git::runs(base).any(|known| known == line)),
        }
    }

    /// What a git configuration was, without remotes that lead through a link of the session now.
    pub(super) fn base(&self, file: &Path, kept: &Kept) -> Vec<u8> {
        let base = self.baseline.bytes(kept).unwrap_or_default();
        if !self.strayed.contains(file) {
            return base.to_vec();
        }
        let taken = self.baseline.taken;
        let gone = |path: &[u8]| strayed::is_astray(&self.names, file, path, taken);
        gitconfig::without_paths(base, gone)
    }

    /// A git configuration: entries that run things and were not there are undone. While the session runs git may write it
    /// at the same time, so what was read has to be there still when it is replaced.
    pub(super) fn config(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path, base: &[u8]) {
        self.undo(dir, name, file, base);
        self.hold(dir, name, file, base);
        // That is no entry which runs something, and whoever pushes or pulls should know.
        if self.at_end
            && !base.is_empty()
            && let Ok(Some((now, _))) = files::read(dir, name)
            && now != base
            && leads_elsewhere(base, &now, |branch| self.had_branch(file, branch))
        {
            self.say(file, Did::Led);
        }
    }

    /// The box that runs may read a configuration: not a credential that somebody writes into it.
    fn hold(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path, base: &[u8]) {
        let Some(sees) = self.sees.filter(|sees| !sees.covered.contains(file)) else {
            return;
        };
        if let Ok(Some((now, _))) = files::read(dir, name)
            && now != base
            && let Some(text) = comes_to_hold(base, &now, &sees.known)
        {
            let text = OsText::from(OsString::from_vec(text));
            self.say(file, Did::Holding { text });
        }
    }

    /// Was that branch there when the session began, in the repository of this configuration (`.git/worktrees/NAME` is below its)?
    fn had_branch(&self, file: &Path, branch: &[u8]) -> bool {
        let own = self.baseline.repositories.iter();
        let own = own.filter(|r| file.starts_with(r.dir.path()));
        let own = own.max_by_key(|r| r.dir.path().as_os_str().len());
        own.zip(std::str::from_utf8(branch).ok())
            .is_some_and(|(r, branch)| r.refs.contains_key(&format!("refs/heads/{branch}")))
    }

    fn undo(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path, base: &[u8]) {
        for attempt in 0..CONFIG_TRIES {
            let (now, stat) = match files::read(dir, name) {
                Ok(Some((now, stat))) => (now, stat),
                // A link, or larger than git configuration is: nothing of it can be kept.
                Ok(None) => return self.not_a_config(dir, name, file, base),
                Err(Errno::ENOENT) => return,
                Err(errno) => return self.failed(file, errno),
            };
            let work_tree = git::work_tree(file)
                .filter(|(tree, _)| {
                    // A link on the way would lead git to another directory. One that is not there leads nowhere.
                    let there = files::open_path(self.root.as_fd(), tree);
                    matches!(there, Ok(_) | Err(Errno::ENOENT))
                })
                .map(|(_, said)| said);
            let leads = |path: &[u8]| self.leads(file, path);
            let (text, keys) = match clean(base, &now, work_tree.as_deref(), leads) {
                Ok(None) if self.is_being_written(dir, name) => {
                    return self.detach(dir, name, file, &now, &stat);
                }
                Ok(None) => return,
                Ok(Some(cleaned)) => (cleaned.text, cleaned.taken),
                // Git could not have read it either; but it may be half written by something that is not git.
                Err(_) if attempt + 1 < CONFIG_TRIES && self.paused() => continue,
                Err(_) => return self.not_a_config(dir, name, file, base),
            };
            let written = if attempt + 1 < CONFIG_TRIES {
                files::replace(dir, name, &now, &text, stat.st_mode)
            } else {
                // A lock that nobody gives back is no reason to leave it.
                files::write(dir, name, &text, stat.st_mode).map(|()| Locked::Written)
            };
            match written {
                Ok(Locked::Written) => {
                    let kept = self.quarantine().and_then(|quarantine| {
                        let kept = quarantine.keep(&now, file, Why::Undone);
                        kept.map_err(|e| e.to_string())
                    });
                    let keys = keys.into_iter().map(str::to_owned).collect();
                    self.say(file, Did::Undone { keys });
                    if let Err(why) = kept {
                        self.failed(file, why);
                    }
                    return;
                }
                Ok(Locked::Changed | Locked::Busy) => {
                    self.paused();
                }
                Err(_) => {
                    return self.taken_and_written(
                        dir,
                        name,
                        file,
                        base,
                        &text,
                        stat.st_mode,
                        keys,
                    );
                }
            }
        }
    }

    /// A configuration that cannot be written as it should be (a full disk) must not stay as it is: it is moved away, which may
    /// make room for the other one. Where that cannot be written all the same, what was there comes back the next time.
    #[expect(clippy::too_many_arguments, reason = "one step of `undo`")]
    fn taken_and_written(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        base: &[u8],
        text: &[u8],
        mode: u32,
        keys: Vec<&'static str>,
    ) {
        if base.is_empty() {
            self.take(dir, name, file, Why::Made);
            return;
        }
        if !self.take(dir, name, file, Why::Changed) {
            return;
        }
        match files::write(dir, name, text, mode) {
            Ok(()) => {
                let keys = keys.into_iter().map(str::to_owned).collect();
                self.say(file, Did::Undone { keys });
            }
            Err(e) => self.failed(file, format!("{e}; the changed one was moved away")),
        }
    }

    /// Waits for whoever writes a file, if there is still time for that.
    pub(super) fn paused(&mut self) -> bool {
        let Some(left) = self.pauses.checked_sub(1) else {
            return false;
        };
        self.pauses = left;
        std::thread::sleep(CONFIG_PAUSE);
        true
    }

    /// Does the path of a URL lead to where git directories are looked for, and through no link?
    fn leads(&self, config: &Path, path: &[u8]) -> bool {
        strayed::ways(&self.names, config, path)
            .iter()
            .all(|at| self.is_plain(at))
    }

    fn is_plain(&self, at: &Path) -> bool {
        let roots = self.names.rules.iter().map(|rule| rule.root.path());
        if roots.into_iter().any(|root| at.starts_with(root)) && !git::is_looked_at(&self.names, at)
        {
            return false;
        }
        // As enter_repo of git tries them.
        strayed::ENDS.iter().all(|end| {
            let mut path = at.as_os_str().to_owned();
            path.push(end);
            matches!(
                files::open_path(self.root.as_fd(), Path::new(&path)),
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR)
            )
        })
    }

    /// What git could not read goes as a whole; what was there before comes back.
    fn not_a_config(&mut self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path, base: &[u8]) {
        if base.is_empty() {
            self.take(dir, name, file, Why::Made);
            return;
        }
        if !self.take(dir, name, file, Why::Changed) {
            return;
        }
        match files::write(dir, name, base, 0o644) {
            Ok(()) => self.say(file, Did::Undone { keys: Vec::new() }),
            Err(e) => self.failed(file, e),
        }
    }

    /// A git directory that was born in the session: what runs by itself is taken out of it.
    pub(super) fn repository(&mut self, path: &Path) {
        let Ok(dir) = files::open_path(self.root.as_fd(), path) else {
            return;
        };
        let common = path.join("commondir");
        if files::exists(dir.as_fd(), OsStr::new("commondir")) {
            self.file(&common);
        }
        for name in ["config", "config.worktree"] {
            if files::exists(dir.as_fd(), OsStr::new(name)) {
                self.config(dir.as_fd(), OsStr::new(name), &path.join(name), b"");
                self.part(&path.join(name));
            }
        }
        // What is in there says where a remote leads, and is older than configuration.
        for name in ["remotes", "branches"] {
            match openat(&dir, name, files::DIR, Mode::empty()) {
                Ok(inner) => {
                    let at = path.join(name);
                    for file in files::names(inner.as_fd()).unwrap_or_default() {
                        self.take(inner.as_fd(), &file, &at.join(&file), Why::Made);
                    }
                }
                Err(Errno::ENOENT) => {}
                Err(_) => {
                    self.take(dir.as_fd(), OsStr::new(name), &path.join(name), Why::Made);
                }
            }
        }
        let hooks = path.join("hooks");
        match openat(&dir, "hooks", files::DIR, Mode::empty()) {
            Ok(inner) => {
                for name in files::names(inner.as_fd()).unwrap_or_default() {
                    // Git runs none of those.
                    if !name.as_encoded_bytes().ends_with(b".sample") {
                        self.take(inner.as_fd(), &name, &hooks.join(&name), Why::Made);
                    }
                }
            }
            Err(Errno::ENOENT) => {}
            // A link to where hooks are.
            Err(_) => {
                self.take(dir.as_fd(), OsStr::new("hooks"), &hooks, Why::Made);
            }
        }
    }
}

/// Is it the configuration of a git directory, by its path or by what stands beside it?
pub(super) fn is_config(dir: BorrowedFd<'_>, file: &Path) -> bool {
    git::is_config(file) || git::is_named_config(file) && listing::is_git(dir)
}
