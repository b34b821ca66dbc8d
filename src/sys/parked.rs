//! Descriptors whose last reference the kernel lets go of in a thread of its own: closing them waits, and somebody waits for
//! whoever closes them.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

/// One more reference to a descriptor, in a message that nobody ever reads (unix(7), SCM_RIGHTS). The message lies in the queue
/// of `inner` and carries `inner` too, so that both outlive the descriptors of all processes, until the kernel's collector
/// of such cycles (net/unix/garbage.c) finds them. It works in a thread of the kernel's, for which nobody waits, and it is
/// woken by the end of a socket: that of `outer`. That has to be dropped last.
#[derive(Debug)]
pub struct Parked {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "held, and dropped before the other one")
    )]
    inner: OwnedFd,
    _outer: OwnedFd,
}

impl Parked {
    /// Parks one more reference to what this is.
    ///
    /// # Errors
    /// The errno of socketpair(2) or sendmsg(2); ETOOMANYREFS: the user has too many descriptors in flight.
    pub fn new(descriptor: BorrowedFd<'_>) -> Result<Parked, Errno> {
        let (outer, inner) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        sendmsg::<()>(
            outer.as_raw_fd(),
            &[IoSlice::new(&[0])],
            &[ControlMessage::ScmRights(&[
                inner.as_raw_fd(),
                descriptor.as_raw_fd(),
            ])],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(Parked {
            inner,
            _outer: outer,
        })
    }

    /// The socket with the message in its queue.
    #[cfg(test)]
    pub(super) fn inner(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.inner.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn what_was_parked_is_collected() {
        // A pipe: its end tells when the last reference to the other side is gone.
        for _ in 0..50 {
            let (end, fd) = nix::unistd::pipe().unwrap();
            let parked = Parked::new(fd.as_fd()).unwrap();
            drop((fd, parked));
            assert_eq!(nix::unistd::read(&end, &mut [0]), Ok(0));
        }
    }
}
