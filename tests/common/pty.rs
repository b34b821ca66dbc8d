//! A terminal for the box: a pseudo-terminal whose other end is the test.

use super::{PATIENCE, until_within, wait};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A command on a terminal of its own, as a login shell would start it.
pub struct Terminal {
    pub child: Child,
    master: File,
    slave: File,
    seen: Arc<Mutex<Vec<u8>>>,
    before: (u32, u32, u32),
}

impl Terminal {
    /// Starts a command as the leader of a session whose controlling terminal this is.
    #[track_caller]
    pub fn start(mut command: Command, rows: u16, cols: u16) -> Terminal {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let (master, slave) = (File::from(master), File::from(slave));
        let before = settings(&slave);
        let dup = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(dup()).stdout(dup()).stderr(dup());
        // SAFETY: setsid and TIOCSCTTY are plain system calls and touch no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                if libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = super::spawn(&mut command);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, sink) = (master.try_clone().unwrap(), seen.clone());
        super::helper(move || {
            let mut bytes = [0u8; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                sink.lock().unwrap().extend(&bytes[..count]);
            }
        });
        Terminal {
            child,
            master,
            slave,
            seen,
            before,
        }
    }

    /// The settings before the command was started.
    pub fn settings_before(&self) -> (u32, u32, u32) {
        self.before
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen()).into_owned()
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the text has come, once more than `before` times.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        self.expect_count(text, 1);
    }

    /// Waits until the text has come `count` times.
    #[track_caller]
    pub fn expect_count(&self, text: &str, count: usize) {
        let come = until_within(PATIENCE, || self.text().matches(text).count() >= count);
        assert!(
            come,
            "no {text:?} ({count} times) on the terminal: {:?}",
            self.text()
        );
    }

    /// A new size of the window.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: TIOCSWINSZ reads one `winsize`, which lives for the call.
        let result =
            unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(result, 0);
    }

    /// The settings of the terminal, for comparison: local and input flags.
    pub fn settings(&self) -> (u32, u32, u32) {
        settings(&self.slave)
    }

    /// The name of the terminal on the host.
    pub fn name(&self) -> String {
        std::fs::read_link(format!("/proc/self/fd/{}", self.slave.as_raw_fd()))
            .unwrap()
            .into_os_string()
            .into_string()
            .unwrap()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        match wait(&mut self.child, PATIENCE) {
            Some(status) => {
                self.settle();
                status
            }
            None => panic!("still there: {:?}", self.text()),
        }
    }

    /// Lets the reader take what the kernel still holds: until there is nothing to read for some looks. One was not enough on a busy
    /// machine, where the reader has its turn later.
    fn settle(&self) {
        const LOOKS: u32 = 4;
        let (mut last, mut same) = (usize::MAX, 0);
        until_within(Duration::from_secs(5), || {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.seen.lock().unwrap().len();
            let mut set = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let waits = poll(&mut set, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
                && set[0].revents() == Some(PollFlags::POLLIN);
            same = if now == last && !waits { same + 1 } else { 0 };
            last = now;
            same == LOOKS
        });
    }
}

fn settings(slave: &File) -> (u32, u32, u32) {
    let settings = nix::sys::termios::tcgetattr(slave.as_fd()).unwrap();
    (
        settings.local_flags.bits(),
        settings.input_flags.bits(),
        settings.output_flags.bits(),
    )
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
