//! Moving bytes between two sockets. One buffer for all connections of the process: bytes are kept per connection only
//! while the receiver is slow, so an idle connection holds none.

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The first read of a direction, and the largest one: it doubles while reads fill it. Measured: wake-ups and system calls
/// are what a relay costs, not copies, and beyond half a MiB the copies leave the core's cache.
const FIRST: usize = 64 * 1024;
const LARGEST: usize = 512 * 1024;

/// A yield that takes longer than this has let somebody in who wants the processor for himself, and then so many moves go
/// by before the next yield.
const QUICK: Duration = Duration::from_micros(500);
const BUSY: u32 = 32;

/// The most bytes that all slow receivers together may have waiting before every read becomes small, and how small.
const MOST_WAITING: usize = 16 * 1024 * 1024;
const SMALL: usize = 8 * 1024;

/// Bytes that were read and wait for slow receivers.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes in [`WAITING`] while it lives, also when its connection is cut.
struct Waits(usize);

impl Waits {
    fn new(len: usize) -> Waits {
        WAITING.fetch_add(len, Ordering::Relaxed);
        Waits(len)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.0, Ordering::Relaxed);
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Moves that are still to be made without a yield.
    static NO_YIELD: Cell<u32> = const { Cell::new(0) };
}

/// Why a direction ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The socket that is read from.
    Source,
    /// The socket that is written to.
    Sink,
}

/// Copies until end of file; counts what was written. Does not shut `to` down.
///
/// # Errors
/// Which end broke.
pub async fn copy(from: &TcpStream, to: &TcpStream, count: &AtomicU64) -> Result<(), Broken> {
    let mut size = FIRST;
    loop {
        from.readable().await.map_err(|_| Broken::Source)?;
        if WAITING.load(Ordering::Relaxed) > MOST_WAITING {
            size = SMALL;
        }
        let (len, rest) = match once(from, to, size) {
            Ok(Once::Nothing) => continue,
            Ok(Once::End) => return Ok(()),
            Ok(Once::Moved(len, rest)) => (len, rest),
            Err(broken) => return Err(broken),
        };
        count.fetch_add((len - rest.len()) as u64, Ordering::Relaxed);
        if !rest.is_empty() {
            // Back-pressure: nothing more is read before this is gone.
            let _waits = Waits::new(rest.len());
            write_all(to, &rest, count).await?;
        }
        if len >= FIRST {
            let_others_run();
        }
        if len == size {
            size = (size * 2).min(LARGEST);
        } else if len < size / 4 {
            size = (size / 2).max(FIRST);
        }
        // A fast pair of sockets must not keep the others waiting.
        tokio::task::coop::consume_budget().await;
    }
}

/// Lets the receiver drain and the sender fill its socket before the next read, which is larger for it: on two processors a
/// stream is 1.3 times as fast as without. Where others compute it would cost a time slice, so it is left out there.
fn let_others_run() {
    let left = NO_YIELD.get();
    if left > 0 {
        return NO_YIELD.set(left - 1);
    }
    let before = Instant::now();
    std::thread::yield_now();
    if before.elapsed() > QUICK {
        NO_YIELD.set(BUSY);
    }
}

/// One read of at most `size` bytes into the buffer of all connections; how many there were.
///
/// # Errors
/// Of the read, also that nothing is there.
pub fn read_shared(from: &TcpStream, size: usize, took: impl FnOnce(&[u8])) -> io::Result<usize> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let len = from.try_read(buffer.get_mut(..size).unwrap_or_default())?;
        took(buffer.get(..len).unwrap_or_default());
        Ok(len)
    })
}

enum Once {
    Nothing,
    End,
    /// So many bytes were read, and these of them could not be written yet.
    Moved(usize, Vec<u8>),
}

/// One read, and as much writing as works without waiting.
fn once(from: &TcpStream, to: &TcpStream, size: usize) -> Result<Once, Broken> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let len = match from.try_read(buffer.get_mut(..size).unwrap_or_default()) {
            Ok(0) => return Ok(Once::End),
            Ok(len) => len,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Once::Nothing),
            Err(_) => return Err(Broken::Source),
        };
        let mut rest = buffer.get(..len).unwrap_or_default();
        while !rest.is_empty() {
            match to.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Broken::Sink),
            }
        }
        Ok(Once::Moved(len, rest.to_vec()))
    })
}

/// Writes everything.
///
/// # Errors
/// The sink broke.
pub async fn write_all(to: &TcpStream, bytes: &[u8], count: &AtomicU64) -> Result<(), Broken> {
    let mut rest = bytes;
    while !rest.is_empty() {
        to.writable().await.map_err(|_| Broken::Sink)?;
        match to.try_write(rest) {
            Ok(written) => {
                count.fetch_add(written as u64, Ordering::Relaxed);
                rest = rest.get(written..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken::Sink),
        }
    }
    Ok(())
}

/// Tells the other end that nothing more comes.
pub fn shut(stream: &TcpStream) {
    let _ = nix::sys::socket::shutdown(
        std::os::fd::AsRawFd::as_raw_fd(stream),
        nix::sys::socket::Shutdown::Write,
    );
}

/// Closes with a reset, so that the other end knows that this was not the end.
pub fn reset(stream: TcpStream) {
    let now = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &now);
}

/// Says something and closes so that it arrives: a close with unread bytes would be a reset that overtakes it.
pub async fn say_and_close(mut stream: TcpStream, words: &[u8]) {
    let say = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut left: usize = 256 * 1024;
        while left > 0 {
            stream.readable().await?;
            match read_shared(&stream, FIRST, |_| ()) {
                Ok(0) => break,
                Ok(len) => left = left.saturating_sub(len),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok::<_, io::Error>(())
    };
    let _ = timeout(Duration::from_secs(2), say).await;
}
