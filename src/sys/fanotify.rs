//! fanotify(7) as an ordinary user has it (Linux 5.13): marks of single files and directories, events with the handle of
//! the directory and the name. The kernel counts its groups apart from inotify's instances, so it is what is left to a user
//! who has used those up.

#![allow(unsafe_code)]

use super::cvt;
use super::inotify::{Read, Seen};
use super::parked::Parked;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::fstatfs;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, OsStr, c_int, c_long};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The length of `struct fanotify_event_metadata`: event_len, vers, reserved, metadata_len, mask, fd, pid.
const HEAD: usize = 24;
/// FANOTIFY_METADATA_VERSION.
const VERSION: u8 = 3;
/// FAN_EVENT_INFO_TYPE_FID: the object itself. FAN_EVENT_INFO_TYPE_DFID_NAME: a directory, and a name in it.
const OBJECT: u8 = 1;
const NAMED: u8 = 2;
/// Before the handle in a record: info_type, pad, len, and fsid, then `struct file_handle`.
const RECORD: usize = 4;
const FSID: usize = 8;
const HANDLE: usize = 8;
/// MAX_HANDLE_SZ.
const MAX_HANDLE: usize = 128;
/// AT_HANDLE_FID (Linux 6.5): a handle that need not be opened again, which more file systems have.
const HANDLE_FID: c_int = 0x200;
/// The events that mean the same to both, bit by bit (linux/fanotify.h, linux/inotify.h).
const COMMON: u32 = 0xfff;

/// A fanotify group. A user has 128 of them as a rule (fs.fanotify.max_user_groups).
#[derive(Debug)]
pub struct Fanotify {
    // As in `Inotify`: the last reference is not this process's.
    fd: OwnedFd,
    _parked: Option<Parked>,
    known: RefCell<Known>,
}

/// What is watched.
#[derive(Debug, Default)]
struct Known {
    last: i32,
    /// By fsid and `struct file_handle`, as they are in an event.
    numbers: HashMap<Vec<u8>, i32>,
    /// How it was found, for who watches it no longer.
    paths: HashMap<i32, (PathBuf, OFlag)>,
}

/// `struct file_handle` with room for any.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; MAX_HANDLE],
}

impl Fanotify {
    /// A new group, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// EMFILE: the user's groups are used up. EPERM: the kernel is older than 5.13. ENOSYS: it has none.
    pub fn new() -> Result<Fanotify, Errno> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_REPORT_FID
            | libc::FAN_REPORT_DFID_NAME;
        let events = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE;
        // SAFETY: the call takes two integers.
        let fd = unsafe { libc::fanotify_init(flags, events.cast_unsigned()) };
        let fd = cvt(c_long::from(fd))?;
        let fd = c_int::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let parked = Parked::new(fd.as_fd()).ok();
        Ok(Fanotify {
            fd,
            _parked: parked,
            known: RefCell::default(),
        })
    }

    /// Watches what the path names, beside what is watched of it already; `mask` as inotify's. The same inode has the same
    /// number.
    ///
    /// # Errors
    /// ENOSPC: the user's marks are used up. EACCES: it may not be read. ENODEV, EOPNOTSUPP, EXDEV: its file system has no
    /// handles by which events could be told apart. The rest is that of a look-up.
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        flags.set(OFlag::O_NOFOLLOW, mask & libc::IN_DONT_FOLLOW != 0);
        flags.set(OFlag::O_DIRECTORY, mask & libc::IN_ONLYDIR != 0);
        // One look-up for the mark and the handle: what is named may be replaced at any moment.
        let object = open(path, flags, Mode::empty())?;
        let key = key(object.as_fd())?;
        self.mark(object.as_fd(), libc::FAN_MARK_ADD, mask)?;
        let mut known = self.known.borrow_mut();
        let number = match known.numbers.get(&key) {
            Some(number) => *number,
            None => {
                known.last = known.last.checked_add(1).ok_or(Errno::EOVERFLOW)?;
                let number = known.last;
                known.numbers.insert(key, number);
                number
            }
        };
        known.paths.insert(number, (path.to_owned(), flags));
        Ok(number)
    }

    fn mark(&self, object: BorrowedFd<'_>, how: u32, mask: u32) -> Result<(), Errno> {
        let link = format!("/proc/self/fd/{}", object.as_raw_fd());
        let link = CString::new(link).map_err(|_| Errno::EINVAL)?;
        // Whether a file or a directory is made, moved or gone: both count.
        let mask = u64::from(mask & COMMON) | libc::FAN_ONDIR;
        // SAFETY: the path is a NUL-terminated string that lives until after the call, and both descriptors are open.
        let done = unsafe {
            let group = self.fd.as_raw_fd();
            libc::fanotify_mark(group, how, mask, libc::AT_FDCWD, link.as_ptr())
        };
        cvt(c_long::from(done)).map(|_| ())
    }

    /// Watches no longer. Of something that has moved meanwhile the mark stays, and its events are not handed out.
    pub fn unwatch(&self, watch: i32) {
        let mut known = self.known.borrow_mut();
        known.numbers.retain(|_, number| *number != watch);
        let Some((path, flags)) = known.paths.remove(&watch) else {
            return;
        };
        if let Ok(object) = open(&path, flags, Mode::empty())
            && let Ok(key) = key(object.as_fd())
            && !known.numbers.contains_key(&key)
        {
            // It fails (ENOENT) where there is none, which is as well.
            let _ = self.mark(object.as_fd(), libc::FAN_MARK_REMOVE, COMMON);
        }
    }

    /// Reads as much as the buffer holds (4 KiB at least) and hands it out, event by event.
    ///
    /// # Errors
    /// The errno of read(2) but EAGAIN; EPROTO for events of another form than this kernel's documented one.
    pub fn read(&self, buffer: &mut [u8], mut seen: impl FnMut(Seen<'_>)) -> Result<Read, Errno> {
        let bytes = match nix::unistd::read(&self.fd, buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Read::Nothing),
            other => other?,
        };
        let mut rest = buffer.get(..bytes).unwrap_or_default();
        while !rest.is_empty() {
            let (event, behind) = first(rest).ok_or(Errno::EPROTO)?;
            rest = behind;
            if event.mask & libc::IN_Q_OVERFLOW != 0 {
                seen(Seen {
                    watch: -1,
                    mask: libc::IN_Q_OVERFLOW,
                    name: OsStr::new(""),
                });
                continue;
            }
            let number = self.known.borrow().numbers.get(event.key).copied();
            let Some(watch) = number else { continue };
            let (mask, name) = (event.mask, event.name);
            seen(Seen { watch, mask, name });
            if mask & libc::IN_DELETE_SELF != 0 {
                // The mark went with the inode; inotify says that of itself.
                self.known.borrow_mut().numbers.remove(event.key);
                seen(Seen {
                    watch,
                    mask: libc::IN_IGNORED,
                    name: OsStr::new(""),
                });
            }
        }
        Ok(Read::Some)
    }
}

impl AsFd for Fanotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What tells an object from all others in an event: fsid and handle.
fn key(object: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut handle = Handle {
        bytes: 0,
        kind: 0,
        handle: [0; MAX_HANDLE],
    };
    let room = u32::try_from(MAX_HANDLE).map_err(|_| Errno::EOVERFLOW)?;
    let mut ask = |flags: c_int| {
        handle.bytes = room;
        let mut mount: c_int = 0;
        // SAFETY: the path is an empty C string, the descriptor is open, and the handle says how much room it has.
        let done = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                object.as_raw_fd(),
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount,
                flags,
            )
        };
        cvt(done)
    };
    match ask(libc::AT_EMPTY_PATH | HANDLE_FID) {
        // Before 6.5.
        Err(Errno::EINVAL) => ask(libc::AT_EMPTY_PATH)?,
        other => other?,
    };
    let fsid = fstatfs(object)?.filesystem_id();
    // SAFETY: fsid_t is two integers without padding, whose fields libc keeps to itself.
    let fsid: [u8; FSID] = unsafe { std::mem::transmute(fsid) };
    let length = usize::try_from(handle.bytes).map_err(|_| Errno::EOVERFLOW)?;
    let mut key = fsid.to_vec();
    key.extend(handle.bytes.to_ne_bytes());
    key.extend(handle.kind.to_ne_bytes());
    key.extend(handle.handle.get(..length).ok_or(Errno::EOVERFLOW)?);
    Ok(key)
}

/// One event as it is read.
#[derive(Debug, PartialEq, Eq)]
struct Event<'a> {
    mask: u32,
    key: &'a [u8],
    name: &'a OsStr,
}

/// The first event of what the kernel wrote, and the rest.
fn first(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let length = usize::try_from(number(bytes, 0)?).ok()?;
    let head = usize::from(u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?));
    if *bytes.get(4)? != VERSION || head < HEAD || length < head {
        return None;
    }
    // All bits that matter are in the lower half.
    let mask = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    let mask = u32::try_from(mask & u64::from(u32::MAX)).ok()?;
    let (mut records, rest) = (bytes.get(head..length)?, bytes.get(length..)?);
    let mut event = Event {
        mask,
        key: &[],
        name: OsStr::new(""),
    };
    while !records.is_empty() {
        let length = usize::from(u16::from_ne_bytes(records.get(2..4)?.try_into().ok()?));
        let record = records.get(..length).filter(|_| length >= RECORD)?;
        records = records.get(length..)?;
        let kind = *record.first()?;
        if kind != OBJECT && kind != NAMED {
            continue;
        }
        let size = usize::try_from(number(record, RECORD + FSID)?).ok()?;
        let end = (RECORD + FSID + HANDLE).checked_add(size)?;
        let key = record.get(RECORD..end)?;
        // Of something that moves or goes, which the second kind names as an entry of its directory, the first is meant.
        if kind == OBJECT {
            (event.key, event.name) = (key, OsStr::new(""));
            break;
        }
        let name = record.get(end..)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // A directory as an entry of itself.
        let name = if name == b"." { &b""[..] } else { name };
        (event.key, event.name) = (key, OsStr::from_bytes(name));
    }
    Some((event, rest))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::fs;

    #[test]
    fn the_bits_are_those_of_inotify() {
        for (ours, theirs) in [
            (libc::IN_ATTRIB, libc::FAN_ATTRIB),
            (libc::IN_CREATE, libc::FAN_CREATE),
            (libc::IN_MOVED_TO, libc::FAN_MOVED_TO),
            (libc::IN_MOVED_FROM, libc::FAN_MOVED_FROM),
            (libc::IN_DELETE, libc::FAN_DELETE),
            (libc::IN_DELETE_SELF, libc::FAN_DELETE_SELF),
            (libc::IN_MOVE_SELF, libc::FAN_MOVE_SELF),
            (libc::IN_CLOSE_WRITE, libc::FAN_CLOSE_WRITE),
            (libc::IN_Q_OVERFLOW, libc::FAN_Q_OVERFLOW),
        ] {
            assert_eq!(u64::from(ours), theirs);
        }
    }

    #[test]
    fn entries_by_name_and_objects_by_themselves() {
        let dir = std::env::temp_dir().join(format!("agentbox-fanotify-{}", std::process::id()));
        fs::create_dir_all(dir.join("in")).unwrap();
        let link = dir.join("link");
        std::os::unix::fs::symlink("in", &link).unwrap();
        let fanotify = Fanotify::new().unwrap();
        let entries = libc::IN_CREATE | libc::IN_MOVED_TO;
        let itself = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF;
        let inner = fanotify.watch(&dir.join("in"), entries | itself).unwrap();
        // By another path: the same inode has the same number.
        assert_eq!(fanotify.watch(&link, entries), Ok(inner));
        let of_link = fanotify
            .watch(&link, itself | libc::IN_DONT_FOLLOW)
            .unwrap();
        assert_ne!(of_link, inner);
        let mut buffer = [0; 4096];
        let mut read = || {
            let mut all = Vec::new();
            while fanotify.read(&mut buffer, |seen| {
                let name = seen.name.to_str().unwrap().to_owned();
                all.push((seen.watch, seen.mask & COMMON, name));
            }) == Ok(Read::Some)
            {}
            all
        };
        assert_eq!(read(), []);
        fs::write(dir.join("in/a file"), "").unwrap();
        fs::create_dir(dir.join("in/a directory")).unwrap();
        fs::rename(dir.join("in/a file"), dir.join("in/moved")).unwrap();
        let named = |mask: u32, name: &str| (inner, mask, name.to_owned());
        assert_eq!(
            read(),
            [
                named(libc::IN_CREATE, "a file"),
                named(libc::IN_CREATE, "a directory"),
                named(libc::IN_MOVED_TO, "moved"),
            ]
        );
        fs::rename(&link, dir.join("turned")).unwrap();
        assert_eq!(read(), [(of_link, libc::IN_MOVE_SELF, String::new())]);
        fs::rename(dir.join("in"), dir.join("out")).unwrap();
        assert_eq!(read(), [named(libc::IN_MOVE_SELF, "")]);
        fs::remove_dir_all(dir.join("out")).unwrap();
        assert_eq!(read().first(), Some(&named(libc::IN_DELETE_SELF, "")));
        fanotify.unwatch(of_link);
        fs::remove_file(dir.join("turned")).unwrap();
        assert_eq!(read(), []);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(first(&[0; 10]), None);
        let mut bytes = [0u8; 64];
        (bytes[0], bytes[4], bytes[6]) = (60, VERSION, 24);
        // A record that says that it has no length.
        assert_eq!(first(&bytes), None);
        // One whose handle is longer than it.
        (bytes[24], bytes[26], bytes[36]) = (NAMED, 36, 200);
        assert_eq!(first(&bytes), None);
        bytes[36] = 8;
        let (event, rest) = first(&bytes).unwrap();
        assert_eq!((event.key.len(), rest.len()), (24, 4));
    }
}
