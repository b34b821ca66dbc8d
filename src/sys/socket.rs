//! Receiving a packet together with descriptors (recvmsg(2), unix(7) SCM_RIGHTS). nix hands descriptors out as plain
//! numbers, and not at all when the control data was cut, so that they leak; here they become owned before anything fails.

#![allow(unsafe_code)]

use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The most descriptors that one packet may carry.
pub const MAX_FDS: usize = 8;

/// Room for one SCM_RIGHTS message of [`MAX_FDS`] descriptors, aligned as a cmsghdr must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

const CONTROL: usize = 64;

/// One packet as it came.
#[derive(Debug)]
pub struct Packet {
    /// Bytes written to the buffer; 0 is end of file.
    pub len: usize,
    /// The descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Bytes or descriptors were lost (MSG_TRUNC, MSG_CTRUNC).
    pub truncated: bool,
}

/// Takes the next connection of a listening socket (accept4(2)); close-on-exec and non-blocking.
///
/// # Errors
/// EAGAIN when there is none, and what accept4(2) says of a full table of descriptors.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: null asks for no address; accept4(2) takes integers besides.
    let fd = Errno::result(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    })?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that only we know.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Receives one packet with up to [`MAX_FDS`] descriptors. `flags` (MSG_*) are added to MSG_CMSG_CLOEXEC.
pub fn receive(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: libc::c_int,
) -> Result<Packet, Errno> {
    let mut control = Control([0; CONTROL]);
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: msghdr is a plain C struct (musl pads it with private fields); all zeroes is a valid, empty value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL as _;
    // SAFETY: `iov` describes `buf`, which is borrowed mutably for the call; `msg_control` is CONTROL writable bytes with
    // the alignment of a cmsghdr; both outlive the call.
    let done = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            flags | libc::MSG_CMSG_CLOEXEC,
        )
    };
    let len = usize::try_from(done).map_err(|_| Errno::last())?;
    Ok(Packet {
        len,
        fds: rights(&message),
        truncated: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

/// Takes the descriptors out of a message that recvmsg has filled.
fn rights(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: recvmsg has set msg_control and msg_controllen to the control data it wrote; `message` still borrows it.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !at.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a pointer to a whole, aligned cmsghdr inside the buffer.
        let header = unsafe { &*at };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: CMSG_LEN only computes; CMSG_DATA points just behind the header, inside the buffer.
            let (head, data) = unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_DATA(at)) };
            #[allow(clippy::unnecessary_cast)] // size_t with glibc, socklen_t with musl
            let count = (header.cmsg_len as usize).saturating_sub(head)
                / std::mem::size_of::<libc::c_int>();
            for index in 0..count.min(CONTROL / std::mem::size_of::<libc::c_int>()) {
                // SAFETY: cmsg_len says that `count` ints lie behind the header; read_unaligned asks for no alignment.
                let number = unsafe { data.cast::<libc::c_int>().add(index).read_unaligned() };
                // SAFETY: the kernel has just installed this number in our table for this message and nobody else
                // knows it, so we are its only owner.
                fds.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; `at` is a header of this message.
        at = unsafe { libc::CMSG_NXTHDR(message, at) };
    }
    fds
}
