//! [`Queue`]: bytes on their way from one descriptor to another, bounded. When it is full nothing more is read, which is
//! how back-pressure goes through the relay to the writer.

#![forbid(unsafe_code)]

use nix::errno::Errno;

/// Bytes that one queue holds at most.
pub(super) const CAPACITY: usize = 64 * 1024;

/// A bounded queue of bytes.
#[derive(Debug)]
pub(super) struct Queue {
    /// Empty until first used (a session without a terminal does not pay for it), then of one length for good.
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

/// What came of moving bytes between a queue and a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Some bytes.
    Some,
    /// None: it would have had to wait.
    Wait,
    /// End of file, or the descriptor is of no more use.
    End,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            buf: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn has_space(&self) -> bool {
        self.is_empty() || self.end < CAPACITY
    }

    /// The bytes that wait.
    pub(super) fn pending(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// How many bytes fit behind those that wait.
    pub(super) fn room(&self) -> usize {
        if self.is_empty() {
            CAPACITY
        } else {
            CAPACITY.saturating_sub(self.end)
        }
    }

    /// Appends bytes, whatever the bound: who has to keep it asks for [`Queue::room`].
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.is_empty() {
            self.clear();
        }
        self.buf.truncate(self.end);
        self.buf.extend_from_slice(bytes);
        self.end = self.buf.len();
    }

    /// Fills free space by one call of `read`. The new bytes are the last `n` of [`Queue::pending`], `n` being returned.
    pub(super) fn fill(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> (Moved, usize) {
        if self.is_empty() {
            self.clear();
        }
        if self.end >= CAPACITY {
            return (Moved::Wait, 0);
        }
        if self.buf.len() < CAPACITY {
            self.buf.resize(CAPACITY, 0);
        }
        let done = loop {
            match read(self.buf.get_mut(self.end..CAPACITY).unwrap_or_default()) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        match done {
            Ok(0) => (Moved::End, 0),
            Ok(n) => {
                self.end = self.end.saturating_add(n).min(CAPACITY);
                (Moved::Some, n)
            }
            Err(Errno::EAGAIN) => (Moved::Wait, 0),
            Err(_) => (Moved::End, 0),
        }
    }

    /// Takes bytes out by one call of `write`.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> Result<usize, Errno>) -> Moved {
        if self.is_empty() {
            return Moved::Wait;
        }
        let done = loop {
            match write(self.pending()) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        match done {
            Ok(n) => {
                self.start = self.start.saturating_add(n).min(self.end);
                if self.is_empty() {
                    self.clear();
                }
                Moved::Some
            }
            Err(Errno::EAGAIN) => Moved::Wait,
            Err(_) => Moved::End,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_keep_their_order_through_partial_reads_and_writes() {
        let mut queue = Queue::new();
        let (mut sent, mut out) = (0u32, Vec::new());
        for round in 0..5000usize {
            let (_, n) = queue.fill(|room| {
                let n = room.len().min(round % 97 + 1);
                for byte in &mut room[..n] {
                    *byte = u8::try_from(sent % 251).unwrap();
                    sent += 1;
                }
                Ok(n)
            });
            assert!(n > 0 || !queue.has_space());
            queue.flush(|bytes| {
                let n = bytes.len().min(round % 61 + 1);
                out.extend_from_slice(&bytes[..n]);
                Ok(n)
            });
        }
        out.extend_from_slice(queue.pending());
        let expected: Vec<u8> = (0..sent).map(|i| u8::try_from(i % 251).unwrap()).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn it_is_bounded_and_tells_ends_from_waits() {
        let mut queue = Queue::new();
        assert_eq!(queue.fill(|room| Ok(room.len())).1, CAPACITY);
        assert!(!queue.has_space());
        assert_eq!(queue.fill(|_| Ok(1)), (Moved::Wait, 0));
        assert_eq!(queue.flush(|_| Err(Errno::EAGAIN)), Moved::Wait);
        assert_eq!(queue.flush(|_| Err(Errno::EPIPE)), Moved::End);
        assert_eq!(queue.pending().len(), CAPACITY, "an error loses nothing");
        queue.clear();
        assert_eq!(queue.fill(|_| Ok(0)), (Moved::End, 0));
        assert_eq!(queue.fill(|_| Err(Errno::EIO)), (Moved::End, 0));
        let mut first = true;
        let (moved, n) = queue.fill(|_| {
            if std::mem::take(&mut first) {
                Err(Errno::EINTR)
            } else {
                Ok(3)
            }
        });
        assert_eq!((moved, n), (Moved::Some, 3));
    }
}
