//! Hidden names of the session that hand over what is written to them: a link to a name that the box can read, a second name of
//! a file that has such a name, a pipe. The user writes `.env`, and the box reads `notes.txt`. A mask over the name does not
//! change what is behind it, and the box may have it open; so the name goes away at once, and the next who writes makes a file
//! of his own, which is hidden.

#![forbid(unsafe_code)]

use super::Settler;
use super::links::is_private;
use crate::keeper::led::behind;
use crate::keeper::{files, strayed};
use crate::plan::names::NameKind;
use crate::plan::names::is_never_searched;
use nix::errno::Errno;
use nix::fcntl::{openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::geteuid;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Names that are looked at for other names of a file, and directories that wait for it, open. Where there are more, it may have
/// any.
const ENTRIES: u32 = 500_000;
const OPEN: usize = 512;

/// Files with several names.
pub(super) enum Several {
    /// By their inodes.
    All(HashMap<(u64, u64), Vec<PathBuf>>),
    /// There is too much to look at.
    Unknown,
}

impl Settler<'_> {
    /// Would a secret that is written to this hidden name be read by the box? Of what was there before the session nothing is
    /// said: the start has looked at that.
    pub(super) fn is_lure(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        stat: &FileStat,
    ) -> bool {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        // The names of a plain file and of a directory, which are nearly all, need no more than this.
        let plain = kind == SFlag::S_IFDIR || (kind == SFlag::S_IFREG && stat.st_nlink < 2);
        if plain || self.is_of_the_start(file, stat) || !self.kinds.is_hidden(file) {
            return false;
        }
        // What git has anyway is not hidden.
        if self.names.shown.iter().any(|shown| shown.path() == file) {
            return false;
        }
        match kind {
            SFlag::S_IFLNK => self.leads_to_the_box(dir, name, file),
            SFlag::S_IFREG => self.has_a_plain_name(file, stat),
            _ => true,
        }
    }

    /// Does a link lead to where the box may write, under a name that is not hidden? Git's own links are the repository's.
    fn leads_to_the_box(&self, dir: BorrowedFd<'_>, name: &OsStr, file: &Path) -> bool {
        let Ok(said) = readlinkat(dir, Path::new(name)) else {
            return false;
        };
        let first = file.parent().unwrap_or(file).join(&said);
        let first = strayed::joined(Path::new("/"), &first);
        let ways = [first, behind(file)];
        ways.iter().any(|to| self.is_open_to_the_box(to, file))
            && !self.is_gits(file, said.as_bytes())
    }

    /// May the box read and write what has this name?
    fn is_open_to_the_box(&self, to: &Path, file: &Path) -> bool {
        // By /proc/PID/root and /proc/PID/fd it leads into the box itself.
        if to.starts_with("/proc") || is_private(to) {
            return true;
        }
        let granted = |place: &crate::plan::OsText| to.starts_with(place.path());
        self.baseline.writable.iter().any(granted) && self.is_open(to, file)
    }

    /// Has a file a name beside this one that is not hidden? Each place is a mount of its own, and no link leads from one into
    /// another one.
    pub(super) fn has_a_plain_name(&mut self, file: &Path, stat: &FileStat) -> bool {
        let Some(place) = self.writable_place(file).map(Path::to_owned) else {
            return false;
        };
        if !self.several.contains_key(&place) {
            let names = self.several(&place);
            self.several.insert(place.clone(), names);
        }
        match self.several.get(&place) {
            Some(Several::All(names)) => names
                .get(&(stat.st_dev, stat.st_ino))
                .is_some_and(|names| names.iter().any(|name| self.is_open(name, file))),
            Some(Several::Unknown) | None => true,
        }
    }

    /// May the box read this, and not what is written to that one? A rule about the content (`.npmrc`) says the same of both or of
    /// none.
    fn is_open(&self, file: &Path, for_what: &Path) -> bool {
        match self.kinds.of(for_what) {
            Some(NameKind::Hide) => !self.is_masked(file),
            _ => !self.kinds.is_hidden(file) || self.is_never_searched(file),
        }
    }

    /// Is it a hidden name where the keeper looks for such? The start hides what a hidden link leads to as well, and all names of a
    /// hidden file.
    fn is_masked(&self, file: &Path) -> bool {
        let mut found = self.names.found.iter();
        self.kinds.of(file) == Some(NameKind::Hide) && !self.is_never_searched(file)
            || found.any(|it| it.kind == NameKind::Hide && it.host.path() == file)
    }

    /// Is it in a directory like `node_modules`, in which no pattern hides anything?
    fn is_never_searched(&self, file: &Path) -> bool {
        let Some(place) = self.writable_place(file) else {
            return false;
        };
        let way = file.parent().and_then(|dir| dir.strip_prefix(place).ok());
        way.is_some_and(|way| is_never_searched(place, way))
    }

    /// Was it there under this name when the session began, so that the start has looked at it? No call sets a ctime; but what lies
    /// in a directory that is moved keeps its own (`mv old .aws`, with a link in it from an earlier session).
    pub(super) fn is_of_the_start(&self, file: &Path, stat: &FileStat) -> bool {
        let taken = self.baseline.taken;
        let Some(place) = self.writable_place(file) else {
            return (stat.st_ctime, stat.st_ctime_nsec) < taken;
        };
        self.is_as_it_was(file, stat, place)
    }

    pub(super) fn writable_place(&self, file: &Path) -> Option<&Path> {
        let places = self.baseline.writable.iter().map(|place| place.path());
        places
            .filter(|place| file.starts_with(place))
            .max_by_key(|place| place.as_os_str().len())
    }

    /// All names of the files below a place that have several: the box can make thousands, and each would be looked for.
    fn several(&self, place: &Path) -> Several {
        let Ok(top) = files::open_path(self.root.as_fd(), place) else {
            return Several::Unknown;
        };
        let mut all: HashMap<(u64, u64), Vec<PathBuf>> = HashMap::new();
        let (mut left, mut rest) = (ENTRIES, vec![(top, place.to_owned())]);
        while let Some((dir, path)) = rest.pop() {
            for name in files::names(dir.as_fd()).unwrap_or_default() {
                let found = match files::stat(dir.as_fd(), &name) {
                    Ok(found) => found,
                    // A directory that only lists: whoever gave it that mode can give it another one.
                    Err(Errno::EACCES) if is_own(dir.as_fd()) => return Several::Unknown,
                    Err(_) => continue,
                };
                left -= 1;
                if left == 0 {
                    return Several::Unknown;
                }
                let at = path.join(&name);
                if files::is(&found, SFlag::S_IFDIR) {
                    match openat(&dir, name.as_os_str(), files::DIR, Mode::empty()) {
                        Ok(inner) if rest.len() < OPEN => rest.push((inner, at)),
                        Ok(_) => return Several::Unknown,
                        // As above; the box is this user, and closes a directory around a name of a file for a while.
                        Err(Errno::EACCES) if found.st_uid == geteuid().as_raw() => {
                            return Several::Unknown;
                        }
                        Err(_) => {}
                    }
                } else if files::is(&found, SFlag::S_IFREG) && found.st_nlink > 1 {
                    all.entry((found.st_dev, found.st_ino))
                        .or_default()
                        .push(at);
                }
            }
        }
        Several::All(all)
    }
}

/// Is it this user's?
fn is_own(dir: BorrowedFd<'_>) -> bool {
    fstat(dir).is_ok_and(|stat| stat.st_uid == geteuid().as_raw())
}
