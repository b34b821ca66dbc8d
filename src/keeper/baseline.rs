//! [`Baseline`]: what tracked and frozen files were when the session began. It is in the session's directory, outside of the
//! box, so that the comparison can be made by whoever comes after a crash.

#![forbid(unsafe_code)]

use super::distrust::Distrust;
use super::files;
use super::history::refs::{self, Repository};
use super::history::staged;
use super::led::Link;
use super::outward;
use super::precedence;
use super::strayed::strayed;
use crate::plan::names::{NameKind, Names};
use crate::plan::{Kind, OsText, Plan};
use crate::record::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// Its name in the session's directory.
pub const FILE: &str = "baseline";
/// What one baseline holds at most.
const FILES: usize = 4096;
const BYTES: usize = 32 << 20;
/// Repositories whose references are remembered.
const REPOSITORIES: usize = 256;
/// How deep a tracked directory is followed.
const DEPTH: u32 = 16;

/// What a file was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Content {
    /// A regular file.
    File {
        /// Its permission bits.
        mode: u32,
        /// Where its bytes begin in the baseline, and how many they are.
        at: (usize, usize),
    },
    /// A symlink.
    Link {
        /// What it says.
        to: OsText,
    },
    /// A file that is too large, or not to be read: a change is seen, and cannot be put back.
    Unread,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kept {
    /// The host's path.
    pub(super) file: OsText,
    /// The kind of its rule.
    pub(super) kind: NameKind,
    /// What it was.
    pub(super) content: Content,
    /// Device, inode, size, mtime and ctime in seconds and nanoseconds: where they are the same nothing was changed, since no
    /// call sets a ctime.
    stamp: [i64; 7],
    /// The host has put it there in the session. Unlike what was frozen from the start it may be open in the box, or linked
    /// there, by the name that it had before.
    #[serde(default)]
    renewed: bool,
}

impl Kept {
    /// Is this the very same file, unchanged?
    pub(super) fn is_untouched(&self, stat: &FileStat) -> bool {
        self.stamp == stamp(stat)
    }
}

pub(super) fn stamp(stat: &FileStat) -> [i64; 7] {
    [
        stat.st_dev.cast_signed(),
        stat.st_ino.cast_signed(),
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    ]
}

/// What files were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Baseline {
    pub(super) files: Vec<Kept>,
    /// Frozen directories that existed: their content cannot change.
    pub(super) frozen: Vec<OsText>,
    /// Links that rules are about, or behind which one goes on.
    #[serde(default)]
    links: Vec<Link>,
    /// When it was taken: git objects that are older are none of the session's.
    pub(super) taken: (i64, i64),
    /// What did not fit.
    pub(super) left_out: usize,
    /// Files whose content did not fit, and the first of both.
    #[serde(skip)]
    unread: usize,
    #[serde(skip)]
    first_left_out: Option<PathBuf>,
    /// Repositories that did not fit, and the first of them.
    #[serde(skip)]
    unknown: (usize, Option<PathBuf>),
    /// Repositories, with what their references named.
    #[serde(default)]
    pub(super) repositories: Vec<Repository>,
    /// Directories of the host's that the box may write.
    #[serde(default)]
    pub(super) writable: Vec<OsText>,
    #[serde(skip)]
    pub(super) bytes: Vec<u8>,
}

impl Baseline {
    /// Reads what the plan has found, for the session whose directory that is.
    #[must_use]
    pub fn take(plan: &Plan, session: BorrowedFd<'_>) -> Baseline {
        // The times of inodes come from the kernel's coarse clock, which is up to a tick behind.
        let taken = Timestamp::now().millis().saturating_sub(20);
        let mut baseline = Baseline {
            taken: (
                i64::try_from(taken / 1000).unwrap_or(0),
                i64::try_from(taken % 1000).unwrap_or(0) * 1_000_000,
            ),
            ..Baseline::default()
        };
        let dirs = plan.view.written().filter(|(_, kind)| *kind == Kind::Dir);
        baseline.writable.extend(dirs.map(|(dir, _)| dir.clone()));
        let Ok(root) = openat(AT_FDCWD, "/", files::DIR, Mode::empty()) else {
            return baseline;
        };
        let links = plan.names.links.iter().take(FILES);
        baseline.links.extend(links.filter_map(Link::of));
        baseline.links.sort();
        for found in precedence::of(root.as_fd(), &plan.names) {
            let whole = found.kind == NameKind::Track;
            if found.kind == NameKind::Freeze && found.dir == Kind::Dir {
                baseline.frozen.push(found.host.clone());
            }
            if found.kind == NameKind::Hide || (found.dir == Kind::Dir && !whole) {
                continue;
            }
            let file = found.host.path();
            let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
                continue;
            };
            let is_repository = found.kind == NameKind::Track && name == "config";
            if is_repository && baseline.repositories.len() >= REPOSITORIES {
                baseline.unknown.0 += 1;
                baseline.unknown.1.get_or_insert_with(|| parent.to_owned());
            } else if is_repository {
                let refs = refs::read(root.as_fd(), parent);
                baseline.repositories.push(Repository {
                    dir: OsText::from(parent),
                    distrust: Distrust::of(session, parent, &refs),
                    head: refs::head(root.as_fd(), parent, parent),
                    refs,
                    indexes: Vec::new(),
                    beside: BTreeMap::new(),
                });
            }
            if let Ok(parent) = files::open_path(root.as_fd(), parent) {
                baseline.add(parent.as_fd(), name, file, found.kind, DEPTH);
            }
        }
        for repository in &mut baseline.repositories {
            let dir = repository.dir.path();
            repository.indexes = staged::take(root.as_fd(), dir, &mut baseline.bytes);
        }
        baseline
    }

    fn add(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        kind: NameKind,
        depth: u32,
    ) {
        if self.files.len() >= FILES || depth == 0 {
            self.left_out += 1;
            self.first_left_out.get_or_insert_with(|| file.to_owned());
            return;
        }
        let Ok(stat) = files::stat(parent, name) else {
            return;
        };
        if files::is(&stat, SFlag::S_IFDIR) {
            let Ok(dir) = openat(parent, name, files::DIR, Mode::empty()) else {
                return;
            };
            for inner in files::names(dir.as_fd()).unwrap_or_default() {
                self.add(dir.as_fd(), &inner, &file.join(&inner), kind, depth - 1);
            }
            return;
        }
        let content = if files::is(&stat, SFlag::S_IFLNK) {
            match readlinkat(parent, Path::new(name)) {
                Ok(to) => Content::Link { to: to.into() },
                Err(_) => return,
            }
        } else {
            match files::read(parent, name) {
                Ok(Some((bytes, _))) if self.bytes.len() + bytes.len() <= BYTES => {
                    let at = (self.bytes.len(), bytes.len());
                    self.bytes.extend(bytes);
                    Content::File {
                        mode: stat.st_mode & 0o777,
                        at,
                    }
                }
                Ok(Some(_)) => {
                    self.unread += 1;
                    self.first_left_out.get_or_insert_with(|| file.to_owned());
                    Content::Unread
                }
                _ => Content::Unread,
            }
        };
        self.files.push(Kept {
            file: OsText::from(file),
            kind,
            content,
            stamp: stamp(&stat),
            renewed: false,
        });
    }

    /// What to say of what did not fit.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let files = self.first_left_out.as_ref().map(|first| {
            format!(
                "there are more files under protected names than are remembered ({FILES}, or {} MiB): {} and {} more are not put back where \
                 the session changes or removes them",
                BYTES >> 20,
                first.display(),
                (self.left_out + self.unread).saturating_sub(1)
            )
        });
        let (more, first) = &self.unknown;
        let repositories = first.as_ref().map(|first| {
            format!(
                "there are more than {REPOSITORIES} repositories: what the session commits in {} and {} more is not looked at",
                first.display(),
                more - 1
            )
        });
        files.into_iter().chain(repositories).collect()
    }

    /// The host has put another file there, and no process of the box could write to it: from now on this is what it was.
    pub fn renew(&mut self, file: &Path, inode: (u64, u64)) {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return;
        };
        let now = openat(AT_FDCWD, "/", files::DIR, Mode::empty())
            .and_then(|root| files::open_path(root.as_fd(), parent))
            .and_then(|parent| files::read(parent.as_fd(), name));
        // Another one is there already: that one will be told as well.
        let Ok(Some((bytes, stat))) = now else { return };
        if (stat.st_dev, stat.st_ino) != inode || self.bytes.len() + bytes.len() > 2 * BYTES {
            return;
        }
        let kept = Kept {
            file: OsText::from(file),
            kind: NameKind::Freeze,
            content: Content::File {
                mode: stat.st_mode & 0o777,
                at: (self.bytes.len(), bytes.len()),
            },
            stamp: stamp(&stat),
            renewed: true,
        };
        self.bytes.extend(bytes);
        self.files.retain(|known| known.file.path() != file);
        self.files.push(kept);
    }

    /// Nothing to compare with; what is made in the session is still looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, kept: &Kept) -> Option<&[u8]> {
        match &kept.content {
            Content::File { at, .. } => self.part(*at),
            Content::Link { .. } | Content::Unread => None,
        }
    }

    /// Bytes by where they begin, and how many they are.
    pub(super) fn part(&self, (from, length): (usize, usize)) -> Option<&[u8]> {
        self.bytes.get(from..from.checked_add(length)?)
    }

    /// What that file was.
    pub(super) fn of(&self, file: &Path) -> Option<&Kept> {
        self.files.iter().find(|kept| kept.file.path() == file)
    }

    /// That link, if it is remembered.
    pub(super) fn link(&self, name: &Path) -> Option<&Link> {
        let found = self
            .links
            .binary_search_by(|link| link.name.os().cmp(name.as_os_str()));
        self.links.get(found.ok()?)
    }

    /// Links that say what they said, and lead elsewhere: something on the way is another one.
    pub(super) fn led_elsewhere(&self) -> Vec<PathBuf> {
        let links = self.links.iter();
        links
            .filter(|link| link.says_the_same() && !link.leads_the_same())
            .map(|link| link.name.path().to_owned())
            .collect()
    }

    /// Was there something that is remembered in that directory?
    pub(super) fn knows_below(&self, dir: &Path) -> bool {
        let files = self.files.iter().map(|kept| &kept.file);
        let repositories = self.repositories.iter().map(|known| &known.dir);
        files
            .chain(&self.frozen)
            .chain(repositories)
            .any(|known| known.path().starts_with(dir))
    }

    /// The directories above everything that is remembered of files.
    pub(super) fn above(&self) -> BTreeSet<&Path> {
        let files = self.files.iter();
        files
            .flat_map(|kept| kept.file.path().ancestors().skip(1))
            .collect()
    }

    /// Files whose stamp is not what it was, by looking at each once.
    #[must_use]
    pub fn changed(&self) -> Vec<PathBuf> {
        let same = |kept: &&Kept| {
            let file = kept.file.path();
            nix::sys::stat::lstat(file).is_ok_and(|stat| kept.is_untouched(&stat))
        };
        let frozen = |kept: &&Kept| kept.kind == NameKind::Freeze && !kept.renewed;
        let files = self
            .files
            .iter()
            .filter(|kept| !frozen(kept) && !same(kept));
        files.map(|kept| kept.file.path().to_owned()).collect()
    }

    /// What is known of the repository with that git directory.
    pub(super) fn repository(&self, dir: &Path) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|known| known.dir.path() == dir)
    }

    /// Repositories of which a reference names something else than it did.
    pub(super) fn moved(&self) -> Vec<&Repository> {
        let Ok(root) = openat(AT_FDCWD, "/", files::DIR, Mode::empty()) else {
            return Vec::new();
        };
        let all = self.repositories.iter();
        all.filter(|repository| refs::read(root.as_fd(), repository.dir.path()) != repository.refs)
            .collect()
    }

    /// Repositories in which something else is staged than was, each with the indexes that changed.
    pub(super) fn restaged(&self) -> Vec<(&Repository, Vec<OsText>)> {
        let Ok(root) = openat(AT_FDCWD, "/", files::DIR, Mode::empty()) else {
            return Vec::new();
        };
        let all = self.repositories.iter();
        all.map(|repository| (repository, staged::changed(root.as_fd(), repository)))
            .filter(|(_, changed)| !changed.is_empty())
            .collect()
    }

    /// Is there something that the end of the session has to look at?
    #[must_use]
    pub fn has_changed(&self, names: &Names) -> bool {
        !self.changed().is_empty()
            || !self.moved().is_empty()
            || !self.restaged().is_empty()
            || !strayed(self, names).is_empty()
            || !self.led_elsewhere().is_empty()
            || outward::any(self, names)
    }

    /// The same with other paths, as `change` says.
    #[must_use]
    pub fn followed(&self, change: impl FnOnce(&Baseline) -> Option<Baseline>) -> Option<Baseline> {
        let changed = change(self)?;
        // What is not in its text.
        let bytes = self.bytes.clone();
        Some(Baseline { bytes, ..changed })
    }

    /// Writes it into a session's directory.
    ///
    /// # Errors
    /// The errno of the call that failed.
    pub fn write(&self, session: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(session, FILE, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut text = serde_json::to_vec(self).map_err(|_| Errno::EINVAL)?;
        text.push(b'\n');
        text.extend(&self.bytes);
        File::from(file)
            .write_all(&text)
            .map_err(|e| crate::sys::errno_of(&e))
    }

    /// Reads the one of a session; `None` if it has none, or was cut off by a crash of the host.
    #[must_use]
    pub fn read(session: BorrowedFd<'_>) -> Option<Baseline> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(session, FILE, flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).ok()?;
        let line = text.iter().position(|b| *b == b'\n')?;
        let mut baseline: Baseline = serde_json::from_slice(text.get(..line)?).ok()?;
        baseline.bytes = text.split_off(line + 1);
        Some(baseline)
    }

    /// Removes the one of a session whose files were compared: nobody asks for it again, and it has megabytes where a repository has
    /// tens of thousands of files, for each of the up to 2,000 sessions that are kept. What cannot be removed goes with the record.
    pub fn forget(session: BorrowedFd<'_>) {
        let _ = unlinkat(session, FILE, UnlinkatFlags::NoRemoveDir);
    }

    /// Could the session of that baseline write in one of these directories, or in one that holds them? Yes, where it does not say.
    pub(super) fn may_reach(session: BorrowedFd<'_>, roots: &BTreeSet<&Path>) -> bool {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            writable: Vec<OsText>,
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Ok(file) = openat(session, FILE, flags, Mode::empty()) else {
            // Its command does not run yet.
            return false;
        };
        let mut line = Vec::new();
        let read = BufReader::new(File::from(file)).read_until(b'\n', &mut line);
        let head = read.is_ok().then(|| serde_json::from_slice::<Head>(&line));
        let Some(Ok(Head { writable })) = head else {
            return true;
        };
        let meets = |dir: &Path| {
            let near = |root: &&Path| root.starts_with(dir) || dir.starts_with(root);
            roots.iter().any(near)
        };
        writable.is_empty() || writable.iter().any(|dir| meets(dir.path()))
    }
}
