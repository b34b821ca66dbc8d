//! Which unix sockets have a name, by sock_diag(7): of a network namespace, and as the inodes that they are bound to.

#![forbid(unsafe_code)]

use super::netlink::{HEADER, verdict};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendmsg,
    socket,
};
use std::collections::HashSet;
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// SOCK_DIAG_BY_FAMILY (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// UDIAG_SHOW_VFS (linux/unix_diag.h).
const SHOW_VFS: u32 = 2;
/// UNIX_DIAG_VFS: struct unix_diag_vfs, the inode and the device.
const VFS: u16 = 1;
/// struct unix_diag_msg.
const BODY: usize = 16;
/// More answers than any host has sockets.
const MOST: usize = 100_000;

/// Asks about the network namespace in which it was made.
#[derive(Debug)]
pub struct SockDiag(OwnedFd);

impl SockDiag {
    /// In the network namespace of the caller.
    ///
    /// # Errors
    /// The errno of socket(2): EPROTONOSUPPORT where the kernel has no CONFIG_NETLINK_DIAG.
    pub fn new() -> Result<SockDiag, Errno> {
        socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )
        .map(SockDiag)
    }

    /// The device and the lower half of the inode's number, of each unix socket that is bound to a file.
    ///
    /// # Errors
    /// What the kernel answered: ENOENT where it has no CONFIG_UNIX_DIAG.
    pub fn bound(&self) -> Result<HashSet<(u64, u32)>, Errno> {
        let ask = request();
        let no_control: [ControlMessage<'_>; 0] = [];
        sendmsg::<()>(
            self.0.as_raw_fd(),
            &[IoSlice::new(&ask)],
            &no_control,
            MsgFlags::empty(),
            None,
        )?;
        let mut found = HashSet::new();
        let mut buffer = vec![0; 32 << 10];
        // The kernel makes the answers while they are read; one that waits for nothing is an error of ours.
        while found.len() < MOST {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            if read(buffer.get(..length).unwrap_or_default(), &mut found)? == More::No {
                return Ok(found);
            }
        }
        Err(Errno::E2BIG)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// struct nlmsghdr and struct unix_diag_req, of all states.
fn request() -> [u8; 40] {
    let mut out = [0; 40];
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).unwrap_or_default();
    let parts: [(usize, &[u8]); 6] = [
        (0, &40u32.to_ne_bytes()),
        (4, &BY_FAMILY.to_ne_bytes()),
        (6, &flags.to_ne_bytes()),
        (HEADER, &[1]),
        (HEADER + 4, &u32::MAX.to_ne_bytes()),
        (HEADER + 12, &SHOW_VFS.to_ne_bytes()),
    ];
    for (at, bytes) in parts {
        if let Some(place) = out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    out
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    part.try_into().ok().map(u16::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    part.try_into().ok().map(u32::from_ne_bytes)
}

/// Messages and attributes stand at multiples of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// The messages of one answer.
fn read(mut bytes: &[u8], found: &mut HashSet<(u64, u32)>) -> Result<More, Errno> {
    while let (Some(length), Some(kind)) = (word(bytes, 0), short(bytes, 4)) {
        let length = length as usize;
        let message = bytes.get(..length).ok_or(Errno::EPROTO)?;
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(More::No),
            libc::NLMSG_ERROR => verdict(message)?,
            _ => found.extend(inode(message.get(HEADER + BODY..).unwrap_or_default())),
        }
        bytes = bytes.get(aligned(length).max(HEADER)..).unwrap_or_default();
    }
    Ok(More::Yes)
}

/// The UNIX_DIAG_VFS of a socket's attributes.
fn inode(mut attributes: &[u8]) -> Option<(u64, u32)> {
    while let (Some(length), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
        if kind == VFS {
            let (number, device) = (word(attributes, 4)?, word(attributes, 8)?);
            // The kernel's own dev_t (linux/kdev_t.h), which is not the one of stat(2).
            let (major, minor) = (u64::from(device >> 20), u64::from(device & 0xf_ffff));
            return Some((nix::sys::stat::makedev(major, minor), number));
        }
        attributes = attributes.get(aligned(usize::from(length)).max(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_bound_socket_is_found_by_its_inode() {
        let dir = std::env::temp_dir().join(format!("agentbox-diag.{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let diag = SockDiag::new().unwrap();
        let inode = |name: &str| {
            let stat = std::fs::metadata(dir.join(name)).unwrap();
            (stat.dev(), u32::try_from(stat.ino() & 0xffff_ffff).unwrap())
        };
        let _one = std::os::unix::net::UnixListener::bind(dir.join("one")).unwrap();
        let _two = std::os::unix::net::UnixDatagram::bind(dir.join("two")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(dir.join("closed")).unwrap());
        let bound = diag.bound().unwrap();
        let found = ["one", "two", "closed"].map(|name| bound.contains(&inode(name)));
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn what_the_kernel_never_says_is_no_panic() {
        let mut found = HashSet::new();
        for bytes in [&[][..], &[0; 3], &[0xff; 64], &[16, 0, 0, 0], &[1; 40]] {
            let _ = read(bytes, &mut found);
            let _ = inode(bytes);
        }
        // A message that says that it has no length.
        assert_eq!(read(&[0; 64], &mut found), Ok(More::Yes));
    }
}
