//! Links of the session to where nobody looks for git directories: `cd lib; git status` goes by what is behind a link, and what
//! the agent has made there runs.

#![forbid(unsafe_code)]

use super::Settler;
use crate::keeper::git::Whose;
use crate::keeper::led::behind;
use crate::keeper::outward::outward;
use crate::keeper::quarantine::Why;
use crate::keeper::{files, git, listing, search, strayed};
use crate::plan::names::NameKind;
use crate::plan::names::git::in_dot_git;
use crate::plan::names::matcher::Matcher;
use nix::fcntl::{openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Directories that are looked through behind one link. Behind one with more of them there may be anything.
const DIRECTORIES: u32 = 20_000;

impl Settler<'_> {
    /// Is it a link of this session on the way to a name that a rule spells out (`core.hooksPath`, `include.path`)? What is behind
    /// it has other names than that rule knows.
    pub(super) fn is_on_the_way(&self, file: &Path) -> bool {
        search::is_on_the_way(&self.names.rules, file)
            && strayed::goes(&self.names, file, self.baseline.taken)
    }

    /// Is it a link that was there when the session began? Neither the link nor a directory above it, up to the place of the rules,
    /// has changed since: no call sets a ctime. One whose own name a rule is about has to lead to what was there or has a name that
    /// says as much, so that its content is looked at. One on the way to such names (`.claude -> .agents`) is left as it is where nothing was lost, too.
    pub(super) fn is_old_link(&self, file: &Path, stat: &FileStat, kind: Option<NameKind>) -> bool {
        let roots = self.names.rules.iter().map(|rule| rule.root.path());
        let Some(root) = roots
            .filter(|root| file.starts_with(root))
            .max_by_key(|root| root.as_os_str().len())
        else {
            return false;
        };
        let is_known = || {
            let real = behind(file);
            let mut frozen = self.baseline.frozen.iter();
            self.baseline.of(&real).is_some()
                || frozen.any(|dir| dir.path() == real)
                // What is made there in the session has a name of its own that says as much.
                || self.is_looked_at(&real, kind)
        };
        (kind.is_none() || is_known()) && self.is_as_it_was(file, stat, root)
    }

    /// Has it followed its branch: a link that a commit of the start has under that name, to what is looked at, and as strictly, by a
    /// name of its own (`.claude/skills -> ../.agents/skills`)?
    pub(super) fn is_followed_link(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        kind: Option<NameKind>,
    ) -> bool {
        let Ok(said) = readlinkat(dir, Path::new(name)) else {
            return false;
        };
        self.is_looked_at(&behind(file), kind) && self.is_named(file, said.as_bytes())
    }

    /// Is what is made under this name looked at as strictly as what is made under one of that kind?
    fn is_looked_at(&self, file: &Path, kind: Option<NameKind>) -> bool {
        match self.kinds.of(file) {
            Some(NameKind::Freeze) => true,
            Some(NameKind::Track) => kind == Some(NameKind::Track),
            Some(NameKind::Hide) | None => false,
        }
    }

    /// Has neither this name nor a directory above it, up to that one, changed since the session began? A directory changes with each
    /// file that is made in it, so of a link it is enough that it says there what it said, and leads
    /// to where it led.
    pub(super) fn is_as_it_was(&self, file: &Path, stat: &FileStat, top: &Path) -> bool {
        if files::is(stat, SFlag::S_IFLNK)
            && let Some(link) = self.baseline.link(file)
        {
            return link.says_the_same() && link.leads_the_same();
        }
        let taken = self.baseline.taken;
        let old = |meta: std::fs::Metadata| (meta.ctime(), meta.ctime_nsec()) < taken;
        let mut above = file.ancestors().skip(1).take_while(|dir| *dir != top);
        (stat.st_ctime, stat.st_ctime_nsec) < taken
            && above.all(|dir| std::fs::symlink_metadata(dir).is_ok_and(old))
    }

    /// Is it where the box could make nothing? A search goes through all of HOME that rules are about, and what is new there, or a link
    /// on the way to such a name (`~/.claude -> dotfiles/claude`), is the user's.
    pub(super) fn is_out_of_reach(&self, file: &Path) -> bool {
        // One that does not say it was written by an older version.
        !self.baseline.writable.is_empty() && self.writable_place(file).is_none()
    }

    /// Is it a link that no rule is about, neither by its name nor because of what is beside it?
    pub(super) fn is_plain_link(&self, file: &Path) -> bool {
        let git = git::is_gits(file)
            && file.ancestors().skip(1).take(2).any(|dir| {
                files::open_path(self.root.as_fd(), dir)
                    .is_ok_and(|dir| listing::is_git(dir.as_fd()))
            });
        !git && !self.is_gits_own(file) && !self.is_inside(file)
    }

    /// Is it git's own probe for links, or what git has made since where a link was?
    pub(super) fn is_of_git(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        stat: &FileStat,
    ) -> bool {
        let is_link = files::is(stat, SFlag::S_IFLNK);
        is_probe(dir, name, file) || !is_link && !git::is_gits(file) && self.is_gits_own(file)
    }

    /// Is it in `.git`, or does git write there in a git directory with another name?
    pub(super) fn is_gits_own(&self, file: &Path) -> bool {
        let is_written = |dir: &Path| {
            let whose = match self.baseline.repository(dir) {
                Some(_) => Whose::Known,
                None => Whose::New,
            };
            let rel = file.strip_prefix(dir).unwrap_or(file);
            git::is_written(rel, whose)
                && files::open_path(self.root.as_fd(), dir)
                    .is_ok_and(|dir| listing::is_git(dir.as_fd()))
        };
        in_dot_git(file) || file.ancestors().skip(1).any(is_written)
    }

    /// Has a rule's directory been entered by its name?
    fn is_inside(&self, file: &Path) -> bool {
        let dot = file
            .file_name()
            .is_some_and(|name| name.as_bytes().first() == Some(&b'.'));
        dot && self.names.rules.iter().any(|rule| {
            let root = rule.root.path();
            let Ok(rel) = file.strip_prefix(root) else {
                return false;
            };
            let matcher = Matcher::new(&self.names.rules, root);
            let mut cursor = Some(matcher.start());
            for name in rel.iter() {
                cursor = cursor.and_then(|at| matcher.enter(&at, name.as_bytes()));
            }
            cursor.is_some_and(|at| matcher.is_inside(&at))
        })
    }

    /// Takes links of the session out of the git directories, through which git would write somewhere else.
    pub(super) fn outward(&mut self, born: &[PathBuf]) {
        let known = self.baseline.repositories.iter();
        for dir in known.map(|known| known.dir.path()) {
            self.outward_in(dir);
        }
        for dir in born {
            self.outward_in(dir);
        }
    }

    fn outward_in(&mut self, git: &Path) {
        let found = outward(self.root.as_fd(), &self.names, self.baseline.taken, git);
        if let Some((dir, why)) = found.unseen {
            self.failed(&dir, format!("it was not looked at: {why}"));
        }
        for file in found.links {
            let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
                continue;
            };
            if self.is_later(&file) {
                continue;
            }
            match self.unlocked.open_to_write(self.root.as_fd(), parent) {
                Ok(dir) => drop(self.take(dir.as_fd(), name, &file, Why::Made)),
                Err(errno) => self.failed(&file, errno),
            }
            self.unlocked.lock();
        }
    }

    /// Does a link of this session lead to a directory that the box may write and in which nobody looks for git directories?
    /// Where a project's tools write (`node_modules`), in an agent's state and in what was granted besides, only if there is
    /// one. The box's own caches are no place for a link of the working copy: it leads there outside of the box only, and what is
    /// behind it is another one tomorrow.
    pub(super) fn is_led_out(&self, file: &Path) -> bool {
        if !strayed::goes(&self.names, file, self.baseline.taken) {
            return false;
        }
        let to = behind(file);
        if git::is_looked_at(&self.names, &to) || std::fs::metadata(&to).is_ok_and(|m| !m.is_dir())
        {
            return false;
        }
        if is_private(&to) {
            return true;
        }
        let roots = self.names.rules.iter().map(|rule| rule.root.path());
        let looked_at = roots.filter(|root| git::is_looked_at(&self.names, root));
        let granted = self.baseline.writable.iter().map(|place| place.path());
        let mut places = looked_at.chain(granted);
        let place = places.find(|place| to.starts_with(place));
        place.is_some_and(|place| self.holds_git(&to, place))
    }

    /// Is there a git directory in it, or is it in one of that place that is not looked at?
    fn holds_git(&self, to: &Path, place: &Path) -> bool {
        let is_git = |dir: &OwnedFd| {
            listing::is_git(dir.as_fd()) || files::exists(dir.as_fd(), OsStr::new(".git"))
        };
        let open = |path: &Path| files::open_path(self.root.as_fd(), path);
        let mut above = to
            .ancestors()
            .take_while(|dir| dir.starts_with(place) && !git::is_looked_at(&self.names, dir));
        if above.any(|dir| open(dir).is_ok_and(|dir| is_git(&dir))) {
            return true;
        }
        let Ok(top) = open(to) else { return false };
        let (mut left, mut rest) = (DIRECTORIES, vec![top]);
        while let Some(dir) = rest.pop() {
            left -= 1;
            if left == 0 || is_git(&dir) {
                return true;
            }
            for name in files::names(dir.as_fd()).unwrap_or_default() {
                let is_dir = files::stat(dir.as_fd(), &name)
                    .is_ok_and(|stat| files::is(&stat, SFlag::S_IFDIR));
                if is_dir
                    && let Ok(inner) = openat(&dir, name.as_os_str(), files::DIR, Mode::empty())
                {
                    rest.push(inner);
                }
            }
        }
        false
    }
}

/// Is it git's own, by which a `git init` learns whether there can be links, and which it removes at once (`tXXXXXX ->
/// testing` in the new git directory)? It leads nowhere but to a name beside it, which the rules know as one in a git directory.
fn is_probe(dir: BorrowedFd<'_>, name: &OsStr, file: &Path) -> bool {
    let is_named = match name.as_bytes() {
        [b't', rest @ ..] => rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric),
        _ => false,
    };
    is_named && in_dot_git(file) && readlinkat(dir, Path::new(name)).is_ok_and(|to| to == "testing")
}

/// Is it where the private directories of boxes are?
pub(super) fn is_private(path: &Path) -> bool {
    let names: Vec<&OsStr> = path.iter().collect();
    let pair = [OsStr::new("agentbox"), OsStr::new("private")];
    names.windows(2).any(|two| two == pair)
}
