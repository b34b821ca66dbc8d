//! What terminals need beyond nix's termios: pseudo-terminal ioctls (ioctl_tty(2), pty(7)), the window size, and an
//! edge-triggered watch (epoll(7)) on a terminal that is not ours at the moment.

#![allow(unsafe_code)]

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The size of a window, in characters and pixels. All zero is "not known".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Winsize {
    /// Rows of text.
    pub rows: u16,
    /// Columns of text.
    pub cols: u16,
    /// Pixels across.
    pub xpixel: u16,
    /// Pixels down.
    pub ypixel: u16,
}

/// TIOCGWINSZ.
pub fn window_size(tty: BorrowedFd<'_>) -> Result<Winsize, Errno> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one struct winsize; `size` is one, live and writable.
    Errno::result(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(Winsize {
        rows: size.ws_row,
        cols: size.ws_col,
        xpixel: size.ws_xpixel,
        ypixel: size.ws_ypixel,
    })
}

/// TIOCSWINSZ. On a master the foreground group of the slave gets SIGWINCH if the size is another than before.
pub fn set_window_size(tty: BorrowedFd<'_>, size: Winsize) -> Result<(), Errno> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: size.xpixel,
        ws_ypixel: size.ypixel,
    };
    // SAFETY: TIOCSWINSZ reads one struct winsize; `size` is one and lives for the call.
    Errno::result(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

/// TIOCSPTLCK with 0: the slave of this master may be opened.
pub fn unlock(master: BorrowedFd<'_>) -> Result<(), Errno> {
    let locked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int; `locked` is one and lives for the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
    Ok(())
}

/// TIOCGPTPEER: opens the slave of this master without a path (O_RDWR, O_NOCTTY, O_CLOEXEC).
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags by value and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that only we know.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// TIOCSCTTY: the terminal becomes the controlling one of the calling session leader. Never stolen from another session.
pub fn set_controlling(tty: BorrowedFd<'_>) -> Result<(), Errno> {
    let steal: libc::c_int = 0;
    // SAFETY: TIOCSCTTY takes an int by value and touches no memory of ours.
    Errno::result(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSCTTY, steal) })?;
    Ok(())
}

/// Becomes readable once for each arrival of input on a terminal, without reading it. poll(2) is level-triggered: on a
/// terminal whose input belongs to another program it would spin until that program reads.
#[derive(Debug)]
pub struct EdgeWatch(OwnedFd);

impl EdgeWatch {
    /// Watches `tty`.
    pub fn new(tty: BorrowedFd<'_>) -> Result<Self, Errno> {
        // SAFETY: takes a flag by value.
        let fd = Errno::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call succeeded, so `fd` is a new descriptor that only we know.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(),
            u64: 0,
        };
        // SAFETY: both descriptors are open; the kernel copies the one event, which lives for the call.
        Errno::result(unsafe {
            libc::epoll_ctl(
                epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                tty.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(EdgeWatch(epoll))
    }

    /// Takes the edge: true if input arrived since the last call.
    pub fn take(&self) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for exactly the one event that is asked for; a timeout of 0 does not wait.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, 0) };
        count > 0
    }
}

impl AsFd for EdgeWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<EdgeWatch> for OwnedFd {
    fn from(watch: EdgeWatch) -> OwnedFd {
        watch.0
    }
}
