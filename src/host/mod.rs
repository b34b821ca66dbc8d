//! [`Host`]: facts about this machine and this caller, gathered once. `plan::resolve` is a function of the policy and of
//! this struct; `agentbox check` prints it. No decisions here.

#![forbid(unsafe_code)]

mod cause;
mod cgroup;
mod gather;
mod lookup;
mod pretend;
mod several;
pub mod usage;

pub use cause::{Cause, Cgroups, Limit, Need};
pub use gather::HostError;
pub use lookup::{RealLookup, open_regular};
pub use pretend::Pretend;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Facts about this machine and this caller.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// The name of this machine.
    pub name: String,
    /// The caller's name (passwd, else USER, else the number).
    pub user: String,
    /// The program that runs: agentbox itself.
    pub exe: PathBuf,
    /// HOME of the environment, else of passwd; not yet checked.
    pub home: PathBuf,
    /// The login shell of passwd, else SHELL, else /bin/sh.
    pub shell: PathBuf,
    /// The current directory as the caller knows it: PWD where it names the same directory, else getcwd(3).
    pub cwd: PathBuf,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// Bytes of physical memory.
    pub memory: u64,
    /// Processors this process may use.
    pub cpus: u32,
    /// Where limits can be enforced.
    pub cgroup: Cgroup,
    /// What is known of id-mapped mounts (root callers).
    pub idmap: Idmap,
    /// What this place allows of namespaces, as far as it was tried.
    pub place: Place,
    /// Where a session can have a directory of its own, and a port on loopback: for the rung that has no namespaces. Nothing is
    /// made yet.
    pub scratch: PathBuf,
    /// The port.
    pub port: u16,
    /// The uids that exist in the caller's user namespace, as (first, count) of /proc/self/uid_map. Read for root callers
    /// only; empty means that nothing is known, and then all of them are taken to exist.
    pub uids: Vec<(u32, u32)>,
    /// The gids, likewise.
    pub gids: Vec<(u32, u32)>,
}

/// Where limits can be enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cgroup {
    /// Nowhere: rlimits only.
    #[default]
    None,
    /// A cgroup v2 directory that this process may make children in.
    V2 {
        /// The directory below which the box's own is made.
        dir: PathBuf,
        /// `memory`, `pids`, `cpu`: what can be enabled for children.
        controllers: Vec<String>,
    },
    /// cgroup v1 directories (root only), by controller.
    V1 {
        /// (`memory`, /sys/fs/cgroup/memory/...), ...
        controllers: Vec<(String, PathBuf)>,
    },
}

/// What this place allows of namespaces and mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Not tried: assume everything; the launch finds out.
    #[default]
    Untried,
    /// Everything.
    Whole,
    /// Everything but a procfs of one's own, with the reason.
    NoProc(String),
    /// No namespaces, or no mounts in them, with the reason.
    Nothing(String),
    /// Nothing at all: something is missing that every rung needs. By /proc, agentbox finds what it has to end.
    Unfit(Cause),
}

/// What is known of id-mapped mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Idmap {
    /// Not tried yet: assume that they work; the launch finds out.
    #[default]
    Untried,
    /// Tried and refused, with the reason.
    Refused(String),
}

impl Host {
    /// The value of a variable of the caller's environment.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&OsString> {
        self.env.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// What `plan::resolve` may ask of the file system. Nothing of it is trusted across time: `enforce` opens the paths again
/// without following a symlink.
pub trait Lookup {
    /// stat(2): follows symlinks.
    fn stat(&self, path: &Path) -> Option<Stat>;
    /// lstat(2).
    fn lstat(&self, path: &Path) -> Option<Stat>;
    /// readlink(2).
    fn read_link(&self, path: &Path) -> Option<PathBuf>;
    /// realpath(3); `None` when a component is missing or a loop.
    fn canonicalize(&self, path: &Path) -> Option<PathBuf>;
    /// The names in a directory, sorted; empty if it cannot be read.
    fn read_dir(&self, path: &Path) -> Vec<OsString>;
    /// At most the first `max` bytes of a regular file.
    fn read(&self, path: &Path, max: usize) -> Option<Vec<u8>>;
    /// lstat(2) of each of these names in a directory; those that are there, by their position.
    fn lstat_each(&self, dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
        let each = names.iter().enumerate();
        each.filter_map(|(at, name)| Some((at, self.lstat(&dir.join(name))?)))
            .collect()
    }
    /// The same of names that the directory was just listed with.
    fn lstat_listed(&self, dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
        self.lstat_each(dir, names)
    }
    /// What another thread may ask at the same time; `None` where only this one may.
    fn shared(&self) -> Option<Arc<dyn Lookup + Send + Sync>> {
        None
    }
    /// Do the file's own permissions allow this to the effective user? Follows symlinks.
    fn permits(&self, path: &Path, want: Want) -> bool;
    /// Would execve(2) find execute permission?
    fn executable(&self, path: &Path) -> bool;
    /// Calls `each` for every entry of a directory, in no order, with its type and the inode that the directory says (on some
    /// stacked file systems not the one that lstat(2) says). `false` if the directory cannot be read.
    fn scan(&self, dir: &Path, each: &mut dyn FnMut(&OsStr, FileType, u64)) -> bool {
        for name in self.read_dir(dir) {
            if let Some(stat) = self.lstat(&dir.join(&name)) {
                each(&name, stat.file_type, stat.ino);
            }
        }
        true
    }
    /// lstat(2), with what says whether a file is still the same.
    fn identity(&self, path: &Path) -> Option<Identity> {
        let stat = self.lstat(path)?;
        Some(Identity {
            file_type: stat.file_type,
            dev: stat.dev,
            ino: stat.ino,
            uid: stat.uid,
            links: 1,
            size: 0,
            modified: 0,
            changed: 0,
            born: 0,
        })
    }
    /// The same without the time of birth, for which statx(2) takes longer than lstat(2).
    fn times(&self, path: &Path) -> Option<Identity> {
        self.identity(path)
    }
    /// The time, in nanoseconds since 1970.
    fn now(&self) -> i128 {
        i128::MAX
    }
    /// What an earlier start left at `path`, a place of agentbox's own.
    fn recall(&self, _path: &Path) -> Option<Vec<u8>> {
        None
    }
    /// Leaves something for a later start. Nothing depends on it but speed and what is found of files that were moved.
    fn remember(&self, _path: &Path, _bytes: &[u8]) {}
}

/// What tells one file from another, and whether it was changed. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// A directory, a regular file, ...
    pub file_type: FileType,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Owner.
    pub uid: u32,
    /// Hard links.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// When the content was changed; can be set to anything by the owner.
    pub modified: i128,
    /// When anything was changed; set by the kernel alone.
    pub changed: i128,
    /// When it was made (0 if the file system does not say); never changes.
    pub born: i128,
}

/// What permissions can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Read a file, list a directory.
    Read,
    /// Write a file, make and remove entries of a directory.
    Write,
    /// Execute a file, search a directory.
    Search,
}

/// What [`Lookup`] says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// A directory, a regular file, a symlink, ... (`S_IFMT` bits).
    pub file_type: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Names of the file (hard links).
    pub nlink: u64,
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
    /// A device, a fifo.
    Other,
}
