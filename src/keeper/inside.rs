//! [`Inside`]: the box's namespaces, for what has to be made in it while it runs. The keeper that has joined them writes no file;
//! a child of the supervisor's that lives for one of them does.

#![forbid(unsafe_code)]

use super::place::c_path;
use crate::enforce::mounts::MASKS;
use crate::sys::mount::{self, Reach};
use crate::sys::process::{self, Fork};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, fchmod, fstat, stat};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Uid, UnlinkatFlags, setfsgid, setfsuid, unlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// Namespaces of a box.
#[derive(Debug)]
pub struct Inside {
    user: OwnedFd,
    mnt: OwnedFd,
}

impl Inside {
    /// From what init has handed out, in the order of `enforce::build::NAMESPACES`. `None` if it has none of its own.
    #[must_use]
    pub fn of(namespaces: &[OwnedFd]) -> Option<Inside> {
        let [user, mnt, ..] = namespaces else {
            return None;
        };
        Some(Inside {
            user: user.try_clone().ok()?,
            mnt: mnt.try_clone().ok()?,
        })
    }

    /// Makes a file of that name among the masks, which the box has read-only, so that the keeper can put it over something.
    ///
    /// # Errors
    /// The errno of the call that failed: ENOSPC where there is no room for so much text.
    pub fn put(&self, name: &CStr, text: &[u8]) -> Result<(), Errno> {
        match process::fork_into(0)? {
            Fork::Child => {
                let status = match self.put_here(name, text) {
                    Ok(()) => 0,
                    Err(errno) => u8::try_from(errno as i32).unwrap_or(u8::MAX),
                };
                process::exit_now(status)
            }
            Fork::Parent(pid, _) => match waitpid(pid, None)? {
                WaitStatus::Exited(_, 0) => Ok(()),
                WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno)),
                _ => Err(Errno::ECHILD),
            },
        }
    }

    fn put_here(&self, name: &CStr, text: &[u8]) -> Result<(), Errno> {
        // Files of the box's file systems can belong to none but its users. Where it has the user namespace that we are in, there is
        // nothing to join (EINVAL).
        let (theirs, ours) = (fstat(&self.user)?, stat("/proc/self/ns/user")?);
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino) {
            setns(&self.user, CloneFlags::CLONE_NEWUSER)?;
        }
        setns(&self.mnt, CloneFlags::CLONE_NEWNS)?;
        process::set_undumpable()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open("/", flags, Mode::empty())?;
        let masks = c_path(Path::new(MASKS.trim_start_matches('/')))?;
        let masks = mount::open_beneath(root.as_fd(), &masks, libc::O_PATH | libc::O_DIRECTORY)?;
        let owner = fstat(&masks)?;
        setfsgid(Gid::from_raw(owner.st_gid));
        setfsuid(Uid::from_raw(owner.st_uid));
        // A mount that nobody in the box ever sees.
        let writable = mount::clone_tree(masks.as_fd(), c"", Reach::One)?;
        mount::make_writable(writable.as_fd())?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(&writable, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // As the plan's own, whatever the umask is.
        fchmod(&file, Mode::from_bits_truncate(0o644))?;
        let written = File::from(file).write_all(text);
        written.map_err(|e| {
            // The room is for the next ones.
            let _ = unlinkat(&writable, name, UnlinkatFlags::NoRemoveDir);
            crate::sys::errno_of(&e)
        })
    }
}
