//! Descriptors whose last reference the kernel lets go of in a thread of its own: closing them waits, and somebody waits for
//! whoever closes them.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// A descriptor that nobody waits for when it is let go of: with one more reference to it in a message that nobody ever reads
/// (unix(7), SCM_RIGHTS). The message lies in the queue of `inner` and carries `inner` too, so that both outlive the
/// descriptors of all processes, until the kernel's collector of such cycles (net/unix/garbage.c) finds them. It works in a
/// thread of the kernel's, for which nobody waits, and it is woken by the end of a socket: that of `outer`.
///
/// The message is sent at the end only ([`Parked::park`], or the drop): while one is on its way, *every* end of a unix socket,
/// of whichever program, wakes that thread (20 us each on a virtual machine).
#[derive(Debug)]
pub struct Parked {
    // The order is that of the drops: first a reference that is not the last one, then the one behind which the rest goes,
    // at last who wakes the collector.
    descriptor: OwnedFd,
    place: Option<Place>,
    is_parked: Cell<bool>,
}

#[derive(Debug)]
struct Place {
    inner: OwnedFd,
    outer: OwnedFd,
}

impl Parked {
    /// Of this one. Where no sockets are to be had the end is slower, and that is all.
    #[must_use]
    pub fn new(descriptor: OwnedFd) -> Parked {
        let pair = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC,
        );
        Parked {
            descriptor,
            // The lower number ends later, should the process end without the drop.
            place: pair.map(|(outer, inner)| Place { inner, outer }).ok(),
            is_parked: Cell::new(false),
        }
    }

    /// Sends the message. For who ends without dropping it, shortly before.
    pub fn park(&self) {
        if self.is_parked.replace(true) {
            return;
        }
        if let Some(place) = &self.place {
            // Without it (ETOOMANYREFS: the user has too many descriptors on their way) the end is slower.
            let _ = self.send(place);
        }
    }

    fn send(&self, Place { inner, outer }: &Place) -> Result<usize, Errno> {
        sendmsg::<()>(
            outer.as_raw_fd(),
            &[IoSlice::new(&[0])],
            &[ControlMessage::ScmRights(&[
                inner.as_raw_fd(),
                self.descriptor.as_raw_fd(),
            ])],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )
    }

    /// The socket with the message in its queue.
    #[cfg(test)]
    pub(super) fn inner(&self) -> Option<BorrowedFd<'_>> {
        self.place.as_ref().map(|place| place.inner.as_fd())
    }
}

impl AsFd for Parked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.park();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_was_parked_is_collected() {
        // A pipe: its end tells when the last reference to the other side is gone.
        for early in [true, false].repeat(25) {
            let (end, fd) = nix::unistd::pipe().unwrap();
            let parked = Parked::new(fd);
            if early {
                parked.park();
            }
            drop(parked);
            assert_eq!(nix::unistd::read(&end, &mut [0]), Ok(0));
        }
    }

    /// A message on its way makes every end of a unix socket on the machine dearer.
    #[test]
    fn nothing_is_on_its_way_before_the_end() {
        let (_end, fd) = nix::unistd::pipe().unwrap();
        let parked = Parked::new(fd);
        let mut byte = [0];
        let nothing =
            super::super::socket::receive(parked.inner().unwrap(), &mut byte, libc::MSG_DONTWAIT);
        assert_eq!(nothing.err(), Some(Errno::EAGAIN));
        parked.park();
        parked.park();
        super::super::socket::receive(parked.inner().unwrap(), &mut byte, libc::MSG_DONTWAIT)
            .unwrap();
        let nothing =
            super::super::socket::receive(parked.inner().unwrap(), &mut byte, libc::MSG_DONTWAIT);
        assert_eq!(nothing.err(), Some(Errno::EAGAIN));
    }
}
