//! [`Channel`]: typed messages between the processes of one session. One message is one packet of a SOCK_SEQPACKET
//! socket (unix(7)), JSON by serde; descriptors ride along by SCM_RIGHTS. What does not fit its type, its size or its number
//! of descriptors is an error, after which the connection is of no more use.

#![forbid(unsafe_code)]

use super::message::MAX;
use crate::sys::socket;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, recv, sendmsg,
    socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The most descriptors of one message.
pub const MAX_FDS: usize = socket::MAX_FDS;

/// One end of a connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// Why a message was not sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A system call failed.
    #[error("{call} on a channel: {errno}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The other end is closed.
    #[error("the other end of the channel is closed")]
    Closed,
    /// More than `message::MAX` bytes.
    #[error("a message of {len} bytes; at most {MAX} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// More than [`MAX_FDS`] descriptors.
    #[error("{count} descriptors with one message; at most {MAX_FDS} are allowed")]
    TooManyFds {
        /// How many.
        count: usize,
    },
    /// The kernel cut bytes or descriptors off (too many of them, or our table of descriptors is full).
    #[error("EMFILE: a message came without its descriptors")]
    Truncated,
    /// Not a message of the expected type.
    #[error("not a message of the expected type: {0}")]
    Malformed(#[source] serde_json::Error),
    /// The message cannot be written as JSON.
    #[error("cannot encode a message: {0}")]
    Encode(#[source] serde_json::Error),
}

/// What [`Channel::try_recv`] found.
#[derive(Debug)]
pub enum Received<T> {
    /// A message and its descriptors.
    Message(T, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// End of file: the other end is closed, and all that it sent has been read.
    End,
}

/// What became of a message given to [`Channel::try_send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// The queue is full; nothing was sent. Poll for POLLOUT.
    Full,
}

#[derive(Clone, Copy)]
enum Wait {
    Yes,
    No,
}

impl Wait {
    fn flags(self) -> MsgFlags {
        match self {
            Wait::Yes => MsgFlags::empty(),
            // Per call and not O_NONBLOCK: that flag would be shared with every process that inherited the descriptor.
            Wait::No => MsgFlags::MSG_DONTWAIT,
        }
    }
}

/// Two connected ends, both close-on-exec.
pub fn pair() -> io::Result<(Channel, Channel)> {
    let (a, b) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    Ok((Channel(a), Channel(b)))
}

/// Two connected ends for the bytes of a pseudo-terminal, both close-on-exec.
///
/// # Errors
/// The errno of socketpair(2).
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

impl Channel {
    /// Sends one message; waits while the queue is full.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        loop {
            // A blocking send only says Full when somebody set O_NONBLOCK; then wait for room as it would have.
            match self.send_with(message, fds, Wait::Yes)? {
                Sent::Yes => return Ok(()),
                Sent::Full => wait_writable(self.0.as_fd())?,
            }
        }
    }

    /// Sends one message if there is room for it.
    pub fn try_send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, ChannelError> {
        self.send_with(message, fds, Wait::No)
    }

    /// Waits for one message; `None` is end of file.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        match self.recv_with(Wait::Yes)? {
            Received::Message(message, fds) => Ok(Some((message, fds))),
            Received::End => Ok(None),
            Received::Nothing => Err(ChannelError::Call {
                call: "recvmsg",
                errno: Errno::EAGAIN,
            }),
        }
    }

    /// Takes one message if there is one.
    pub fn try_recv<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        self.recv_with(Wait::No)
    }

    fn send_with<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> Result<Sent, ChannelError> {
        if fds.len() > MAX_FDS {
            return Err(ChannelError::TooManyFds { count: fds.len() });
        }
        let bytes = serde_json::to_vec(message).map_err(ChannelError::Encode)?;
        if bytes.len() > MAX {
            return Err(ChannelError::TooLong { len: bytes.len() });
        }
        let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() { &[][..] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL | wait.flags();
        loop {
            let done = sendmsg::<UnixAddr>(
                self.0.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                control,
                flags,
                None,
            );
            match done {
                Ok(_) => return Ok(Sent::Yes),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Sent::Full),
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Err(errno) => {
                    return Err(ChannelError::Call {
                        call: "sendmsg",
                        errno,
                    });
                }
            }
        }
    }

    fn recv_with<T: DeserializeOwned>(&self, wait: Wait) -> Result<Received<T>, ChannelError> {
        let call = |call: &'static str| move |errno| ChannelError::Call { call, errno };
        // The length first, so that the usual message of some dozen bytes does not cost a buffer of `MAX`. No message is
        // empty (JSON), so 0 is end of file.
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | wait.flags();
        let len = match retry(|| recv(self.0.as_raw_fd(), &mut [], peek)) {
            Ok(0) => return Ok(Received::End),
            Ok(len) => len,
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(errno) => return Err(call("recv")(errno)),
        };
        let mut buf = vec![0; len.min(MAX)];
        let packet = retry(|| socket::receive(self.0.as_fd(), &mut buf, libc::MSG_DONTWAIT))
            .map_err(call("recvmsg"))?;
        if len > MAX {
            return Err(ChannelError::TooLong { len });
        }
        if packet.truncated {
            return Err(ChannelError::Truncated);
        }
        let message = serde_json::from_slice(buf.get(..packet.len).unwrap_or_default())
            .map_err(ChannelError::Malformed)?;
        Ok(Received::Message(message, packet.fds))
    }
}

/// Repeats a receive that a signal interrupted, and once more after ECONNRESET: the peer closed while packets of ours
/// were unread. The kernel reports that once and before the packets that the peer had sent, which must not be lost.
fn retry<R>(mut receive: impl FnMut() -> Result<R, Errno>) -> Result<R, Errno> {
    loop {
        match receive() {
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            other => return other,
        }
    }
}

fn wait_writable(fd: BorrowedFd<'_>) -> Result<(), ChannelError> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    match poll(
        &mut [PollFd::new(fd, PollFlags::POLLOUT)],
        PollTimeout::NONE,
    ) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(ChannelError::Call {
            call: "poll",
            errno,
        }),
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

/// Takes over a SOCK_SEQPACKET socket that came from elsewhere (an inherited descriptor).
impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Channel {
        Channel(socket)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::launch::message::{FromClient, SignalTo, ToClient};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (a, b) = pair().unwrap();
        let sent = [
            FromClient::Continued,
            FromClient::Resize {
                rows: 50,
                cols: 132,
                xpixel: 1,
                ypixel: 2,
            },
            FromClient::Signal {
                signal: 2,
                to: SignalTo::Foreground,
            },
        ];
        for message in &sent {
            a.send(message, &[]).unwrap();
        }
        drop(a);
        for message in sent {
            let (got, fds) = b.recv::<FromClient>().unwrap().unwrap();
            assert_eq!(got, message);
            assert!(fds.is_empty());
        }
        assert!(b.recv::<FromClient>().unwrap().is_none());
    }

    #[test]
    fn descriptors_ride_along_and_are_close_on_exec() {
        let (a, b) = pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        a.send(&"take", &[far.as_fd(), far.as_fd()]).unwrap();
        drop(far);
        let (text, fds) = b.recv::<String>().unwrap().unwrap();
        assert_eq!((text.as_str(), fds.len()), ("take", 2));
        for fd in &fds {
            let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        }
        let [first, second] = <[OwnedFd; 2]>::try_from(fds).unwrap();
        UnixStream::from(first).write_all(b"over").unwrap();
        drop(second);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "over");
    }

    #[test]
    fn nothing_to_read_and_no_room_are_told() {
        let (a, b) = pair().unwrap();
        assert!(matches!(a.try_recv::<ToClient>(), Ok(Received::Nothing)));
        let mut count = 0;
        while a.try_send(&FromClient::Continued, &[]).unwrap() == Sent::Yes {
            count += 1;
            assert!(count < 100_000, "the queue never fills");
        }
        for _ in 0..count {
            assert!(matches!(
                b.try_recv::<FromClient>(),
                Ok(Received::Message(FromClient::Continued, _))
            ));
        }
        assert!(matches!(b.try_recv::<FromClient>(), Ok(Received::Nothing)));
        drop(a);
        assert!(matches!(b.try_recv::<FromClient>(), Ok(Received::End)));
    }

    #[test]
    fn the_last_word_of_a_peer_that_left_packets_unread_is_not_lost() {
        let (client, supervisor) = pair().unwrap();
        client.send(&FromClient::Continued, &[]).unwrap();
        supervisor
            .send(&ToClient::Ended { status: 7 }, &[])
            .unwrap();
        drop(supervisor);
        let (got, _) = client.recv::<ToClient>().unwrap().unwrap();
        assert_eq!(got, ToClient::Ended { status: 7 });
        assert!(client.recv::<ToClient>().unwrap().is_none());
        assert!(matches!(
            client.send(&FromClient::Continued, &[]),
            Err(ChannelError::Closed)
        ));
    }

    #[test]
    fn what_is_not_a_message_is_an_error() {
        let (a, b) = pair().unwrap();
        a.send(&"neither", &[]).unwrap();
        assert!(matches!(
            b.recv::<ToClient>(),
            Err(ChannelError::Malformed(_))
        ));
        // The largest that is allowed passes, one byte more does not: neither by us nor from a peer that does not care.
        let most = "x".repeat(MAX - 2);
        a.send(&most, &[]).unwrap();
        assert_eq!(b.recv::<String>().unwrap().unwrap().0, most);
        assert!(matches!(
            a.send(&format!("{most}x"), &[]),
            Err(ChannelError::TooLong { .. })
        ));
        nix::sys::socket::send(a.0.as_raw_fd(), &vec![b'1'; MAX + 1], MsgFlags::empty()).unwrap();
        assert!(matches!(
            b.recv::<u64>(),
            Err(ChannelError::TooLong { len }) if len == MAX + 1
        ));
    }

    #[test]
    fn too_many_descriptors_are_refused_at_both_ends_and_do_not_leak() {
        let (a, b) = pair().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let five = [far.as_fd(); MAX_FDS + 1];
        assert!(matches!(
            a.send(&1, &five),
            Err(ChannelError::TooManyFds { count: 9 })
        ));
        let numbers: Vec<RawFd> = vec![far.as_raw_fd(); 40];
        sendmsg::<UnixAddr>(
            a.0.as_raw_fd(),
            &[IoSlice::new(b"1")],
            &[ControlMessage::ScmRights(&numbers)],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        assert!(matches!(b.recv::<u64>(), Err(ChannelError::Truncated)));
        // If one copy of `far` had leaked, its peer would not see end of file. A child of another test may have one until it executes.
        drop((far, a, b));
        near.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert_eq!((&near).read(&mut [0; 1]).unwrap(), 0);
    }
}
