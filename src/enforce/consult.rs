//! A confined child that needs more than it was given at first: it asks the process that started it, which only looks up
//! bytes and understands none. For what the agent wrote and is too large to be handed over as a whole.

#![forbid(unsafe_code)]

use super::cell::{self, Bounds, NOT_CONFINED, wait_readable};
use crate::sys::job::{self, Stdio};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Instant;

/// A question, or the last word.
const QUESTION: u8 = b'?';
const ANSWER: u8 = b'!';
/// The most bytes of a question.
const LONGEST: u32 = 4096;
/// Instead of a length: there is nothing.
const NOTHING: u32 = u32::MAX;

/// The child's way to ask.
pub struct Asker(OwnedFd);

impl Asker {
    /// Asks and waits for the answer; `None` where there is none.
    pub fn ask(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        self.say(QUESTION, question)?;
        let mut head = [0; 4];
        self.hear(&mut head)?;
        let length = u32::from_le_bytes(head);
        if length == NOTHING {
            return None;
        }
        let mut answer = vec![0; usize::try_from(length).ok()?];
        self.hear(&mut answer)?;
        Some(answer)
    }

    fn say(&mut self, kind: u8, bytes: &[u8]) -> Option<()> {
        let mut frame = vec![kind];
        frame.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
        frame.extend(bytes);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match nix::unistd::write(&self.0, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    fn hear(&mut self, buffer: &mut [u8]) -> Option<()> {
        let mut at = 0;
        while at < buffer.len() {
            match nix::unistd::read(&self.0, buffer.get_mut(at..)?) {
                Ok(0) => return None,
                Ok(n) => at += n,
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
        Some(())
    }
}

/// Runs `work` in a confined child, answers its questions by `answer`, and returns what it came to.
///
/// # Errors
/// Why there is no result, in words: as [`cell::compute`].
pub fn consult(
    bounds: Bounds,
    answer: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    work: impl FnOnce(&mut Asker) -> Vec<u8>,
) -> Result<Vec<u8>, String> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|errno| format!("socketpair: {errno}"))?;
    let pid = job::fork(theirs, Stdio::Close, |socket| {
        if cell::confine().is_err() {
            return NOT_CONFINED;
        }
        let mut asker = Asker(socket);
        let result = work(&mut asker);
        let said = asker.say(ANSWER, &result);
        // Not closed here: a debug build of the library asks fcntl(2) before it closes, which the filter does not know.
        std::mem::forget(asker);
        u8::from(said.is_none())
    })
    .map_err(|error| format!("fork: {error}"))?;
    let result = listen(&ours, bounds, answer);
    cell::reap(bounds.who, pid, result)
}

fn listen(
    socket: &OwnedFd,
    bounds: Bounds,
    mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + bounds.time;
    let who = bounds.who;
    loop {
        let head = take(socket, 5, deadline, who)?;
        let (kind, length) = match head.as_slice() {
            [kind, a, b, c, d] => (*kind, u32::from_le_bytes([*a, *b, *c, *d])),
            _ => return Err(format!("{who} said nothing")),
        };
        let most = match kind {
            QUESTION => u64::from(LONGEST),
            ANSWER => bounds.answer,
            _ => return Err(format!("{who} said something else")),
        };
        if u64::from(length) > most {
            return Err(format!("{who} answered too much"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let words = take(socket, length, deadline, who)?;
        if kind == ANSWER {
            return Ok(words);
        }
        let mut reply = Vec::new();
        match answer(&words) {
            None => reply.extend(NOTHING.to_le_bytes()),
            Some(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(NOTHING);
                reply.extend(length.to_le_bytes());
                if length != NOTHING {
                    reply.extend(bytes);
                }
            }
        }
        give(socket, &reply, deadline, who)?;
    }
}

/// So many bytes from the child.
fn take(socket: &OwnedFd, length: usize, deadline: Instant, who: &str) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length];
    let mut at = 0;
    while at < length {
        wait_readable(socket.as_fd(), deadline);
        if Instant::now() >= deadline {
            return Err(format!("{who} took too long"));
        }
        let rest = bytes.get_mut(at..).unwrap_or_default();
        match recv(socket.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Err(format!("{who} ended without an answer")),
            Ok(n) => at += n,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(format!("recv: {errno}")),
        }
    }
    Ok(bytes)
}

/// Never waits beyond the deadline for a child that does not read.
fn give(socket: &OwnedFd, bytes: &[u8], deadline: Instant, who: &str) -> Result<(), String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(socket.as_raw_fd(), rest, flags) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if Instant::now() >= deadline {
                    return Err(format!("{who} does not listen"));
                }
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let _ = poll(
                    &mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)],
                    timeout,
                );
            }
            Err(errno) => return Err(format!("send: {errno}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn bounds() -> Bounds {
        Bounds {
            who: "the child of the test",
            time: Duration::from_secs(20),
            answer: 1 << 20,
        }
    }

    #[test]
    fn a_confined_child_gets_answers_and_gives_one() {
        let big = vec![7u8; 1 << 20];
        let given = consult(
            bounds(),
            |question| match question {
                b"big" => Some(big.clone()),
                b"empty" => Some(Vec::new()),
                _ => None,
            },
            |asker| {
                let big = asker.ask(b"big").map_or(0, |b| b.len());
                let empty = asker.ask(b"empty").map_or(1, |b| b.len());
                let none = asker.ask(b"x").is_none();
                format!("{big} {empty} {none}").into_bytes()
            },
        );
        assert_eq!(given.unwrap(), b"1048576 0 true");
    }

    #[test]
    fn what_it_does_beside_asking_ends_it() {
        let opened = consult(
            bounds(),
            |_| None,
            |_| {
                u8::from(std::fs::File::open("/dev/null").is_ok())
                    .to_string()
                    .into()
            },
        );
        assert!(opened.unwrap_err().contains("without an answer"));
        let too_much = consult(bounds(), |_| None, |_| vec![0; (1 << 20) + 1]);
        assert!(too_much.unwrap_err().contains("too much"));
        let late = Bounds {
            time: Duration::from_millis(200),
            ..bounds()
        };
        let never = consult(
            late,
            |_| None,
            |_| loop {
                std::hint::spin_loop();
            },
        );
        assert!(never.unwrap_err().contains("too long"));
    }
}
