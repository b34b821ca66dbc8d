//! inotify(7) without an allocation per event: a flood of names has to be read faster than it comes.

#![allow(unsafe_code)]

use super::cvt;
use super::parked::Parked;
use nix::errno::Errno;
use std::ffi::{CString, OsStr, c_int, c_long};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The length of `struct inotify_event` without its name: wd, mask, cookie, len, four bytes each.
const HEAD: usize = 16;

/// An inotify instance. A user has 128 of them as a rule (fs.inotify.max_user_instances).
///
/// Whoever drops the last reference to an instance with watches waits for a grace period of SRCU (`fsnotify_destroy_group` in
/// fs/notify/group.c): 10 to 20 ms, asleep, in close(2) or in the exit of the process, for which in turn its parent waits. So
/// the last reference is not this process's: see [`Parked`].
#[derive(Debug)]
pub struct Inotify {
    // The order is that of the drops: first a reference that is not the last one, then the one behind which the rest goes.
    fd: OwnedFd,
    _parked: Option<Parked>,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// What [`Inotify::watch`] gave; -1 for `IN_Q_OVERFLOW`.
    pub watch: i32,
    /// `IN_CREATE`, ...
    pub mask: u32,
    /// The name in the watched directory; empty for an event of the watched file itself.
    pub name: &'a OsStr,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// There may be more.
    Some,
    /// There was nothing.
    Nothing,
}

impl Inotify {
    /// A new instance, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// EMFILE: the user's instances (or the descriptors of this process) are used up.
    pub fn new() -> Result<Inotify, Errno> {
        // SAFETY: the call takes flags only.
        let fd = cvt(c_long::from(unsafe {
            libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK)
        }))?;
        let fd = c_int::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Without it the end is slower, and that is all.
        let parked = Parked::new(fd.as_fd()).ok();
        Ok(Inotify {
            fd,
            _parked: parked,
        })
    }

    /// Watches what the path names; with `IN_MASK_ADD` beside what is watched of it already. The same inode has the same number.
    ///
    /// # Errors
    /// ENOSPC: the user's watches are used up. EACCES: it may not be read. The rest is that of a look-up.
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the path is a NUL-terminated string that lives until after the call, and the descriptor is open.
        let number = unsafe { libc::inotify_add_watch(self.fd.as_raw_fd(), path.as_ptr(), mask) };
        let number = cvt(c_long::from(number))?;
        i32::try_from(number).map_err(|_| Errno::EOVERFLOW)
    }

    /// Watches no longer. A number that is gone already is no harm.
    pub fn unwatch(&self, watch: i32) {
        // SAFETY: the call takes two integers. It fails (EINVAL) where the kernel has removed the watch itself.
        let _ = unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), watch) };
    }

    /// Reads as much as the buffer holds (4 KiB at least) and hands it out, event by event.
    ///
    /// # Errors
    /// The errno of read(2) but EAGAIN.
    pub fn read(&self, buffer: &mut [u8], mut seen: impl FnMut(Seen<'_>)) -> Result<Read, Errno> {
        let bytes = match nix::unistd::read(&self.fd, buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Read::Nothing),
            other => other?,
        };
        let mut rest = buffer.get(..bytes).unwrap_or_default();
        while let Some((event, behind)) = first(rest) {
            seen(event);
            rest = behind;
        }
        Ok(Read::Some)
    }
}

/// The first event of what the kernel wrote, and the rest.
fn first(bytes: &[u8]) -> Option<(Seen<'_>, &[u8])> {
    let field = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let watch = i32::from_ne_bytes(field(0)?);
    let mask = u32::from_ne_bytes(field(4)?);
    let length = usize::try_from(u32::from_ne_bytes(field(12)?)).ok()?;
    let end = HEAD.checked_add(length)?;
    let name = bytes.get(HEAD..end)?;
    // The kernel fills the name up with NULs.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let seen = Seen {
        watch,
        mask,
        name: OsStr::from_bytes(name),
    };
    Some((seen, bytes.get(end..)?))
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::fs;

    #[test]
    fn names_come_in_order_and_whole() {
        let dir = std::env::temp_dir().join(format!("agentbox-inotify-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify
            .watch(&dir, libc::IN_CREATE | libc::IN_DELETE_SELF)
            .unwrap();
        assert_eq!(
            inotify.watch(
                &dir,
                libc::IN_CREATE | libc::IN_DELETE_SELF | libc::IN_MASK_ADD
            ),
            Ok(watch)
        );
        let mut buffer = [0; 4096];
        let nothing = inotify.read(&mut buffer, |_| panic!("no event yet"));
        assert_eq!(nothing, Ok(Read::Nothing));
        let long = "n".repeat(255);
        for name in ["a", "sixteen bytes ok", long.as_str()] {
            fs::write(dir.join(name), "").unwrap();
        }
        let mut names = Vec::new();
        let read = inotify.read(&mut buffer, |seen| {
            assert_eq!((seen.watch, seen.mask), (watch, libc::IN_CREATE));
            names.push(seen.name.to_str().unwrap().to_owned());
        });
        assert_eq!(read, Ok(Read::Some));
        assert_eq!(names, ["a", "sixteen bytes ok", &long]);
        fs::remove_dir_all(&dir).unwrap();
        let mut masks = Vec::new();
        let _ = inotify.read(&mut buffer, |seen| masks.push(seen.mask));
        assert_eq!(masks, [libc::IN_DELETE_SELF, libc::IN_IGNORED]);
        inotify.unwatch(watch);
    }

    #[test]
    fn the_last_reference_is_not_ours() {
        let inotify = Inotify::new().unwrap();
        inotify.watch(Path::new("/"), libc::IN_CREATE).unwrap();
        let parked = inotify._parked.as_ref().unwrap();
        // What lies in the queue is the instance with its watches, so that closing ours destroys nothing.
        let mut byte = [0];
        let packet = crate::sys::socket::receive(parked.inner(), &mut byte, 0).unwrap();
        let [inner, instance] = packet.fds.as_slice() else {
            panic!("{packet:?}");
        };
        let info = |fd: &OwnedFd| {
            fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap()
        };
        assert!(info(instance).contains("inotify wd:"), "{}", info(instance));
        assert_eq!(info(instance), info(&inotify.fd));
        let stat = |fd: BorrowedFd<'_>| nix::sys::stat::fstat(fd).unwrap().st_ino;
        assert_eq!(stat(inner.as_fd()), stat(parked.inner()));
    }

    #[test]
    fn half_an_event_is_none() {
        let mut bytes = [0u8; 40];
        bytes[12] = 200;
        assert_eq!(first(&bytes), None);
        assert_eq!(first(&bytes[..15]), None);
    }
}
