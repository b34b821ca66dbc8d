//! The controlling terminal.

use crate::raw::{Args, sys};
use crate::{Answer, At, last};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "tty" => tty(),
        "tiocsti" => ioctl(args, 0x5412, "X"),
        "tioclinux" => ioctl(args, 0x541c, "\u{2}"),
        "ioctl" => plain_ioctl(args),
        "steal-tty" => steal(args),
        _ => return None,
    })
}

fn name_of(fd: i32) -> Value {
    std::fs::read_link(format!("/proc/self/fd/{fd}"))
        .map_or(Value::Null, |p| p.to_string_lossy().into())
}

/// What the terminal looks like from here.
fn tty() -> Answer {
    // SAFETY: these calls take numbers and touch no memory of ours.
    let (ttys, session, group) = unsafe {
        (
            [0, 1, 2].map(|fd| libc::isatty(fd) == 1),
            libc::getsid(0),
            libc::getpgrp(),
        )
    };
    let device = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let foreground = device.as_ref().ok().map(|tty| {
        // SAFETY: the descriptor is open for the call.
        unsafe { libc::tcgetpgrp(tty.as_raw_fd()) }
    });
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which lives for the call.
    let sized = unsafe { libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) } == 0;
    Ok(
        json!({"isatty": ttys, "session": session, "group": group, "foreground": foreground,
        "tty": device.is_ok(), "tty-errno": device.err().and_then(|e| e.raw_os_error()),
        "rows": sized.then_some(size.ws_row), "cols": sized.then_some(size.ws_col),
        "names": [name_of(0), name_of(1), name_of(2)]}),
    )
}

/// `tiocsti [UPPER]`: pushes a byte into the terminal's input; UPPER is put into the upper half of the request, which the
/// kernel drops (CVE-2019-10063: a filter that compares 64 bits lets it through).
fn ioctl(args: &Args<'_>, request: usize, text: &str) -> Answer {
    let tty = File::open("/dev/tty")
        .or_else(|_| File::open("/dev/stdin"))
        .at("open")?;
    let upper = usize::try_from(args.num_or(0, 0)).unwrap() << 32;
    let fd = usize::try_from(tty.as_raw_fd()).unwrap();
    sys(
        libc::SYS_ioctl,
        [fd, upper | request, text.as_ptr() as usize, 0, 0, 0],
    )?;
    Ok(Value::Null)
}

/// `ioctl PATH REQUEST [NUMBER]`.
fn plain_ioctl(args: &Args<'_>) -> Answer {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(args.os(0))
        .at("open")?;
    let word = |n: i64| usize::from_ne_bytes(n.to_ne_bytes());
    let mut buffer = [0u8; 256];
    let argument = if args.len() > 2 {
        word(args.num(2))
    } else {
        buffer.as_mut_ptr() as usize
    };
    let fd = usize::try_from(file.as_raw_fd()).unwrap();
    let result = sys(libc::SYS_ioctl, [fd, word(args.num(1)), argument, 0, 0, 0])?;
    Ok(json!({"result": result}))
}

/// `steal-tty PATH`: a new session that makes PATH its controlling terminal.
fn steal(args: &Args<'_>) -> Answer {
    let pid = crate::kernel::fork()?;
    if pid == 0 {
        let stolen = (|| {
            nix::unistd::setsid().at("setsid")?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(args.os(0))
                .at("open")?;
            // SAFETY: TIOCSCTTY takes a number.
            if unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCSCTTY, 1) } != 0 {
                return last("TIOCSCTTY");
            }
            Ok(())
        })();
        crate::kernel::leave(stolen.map_or_else(|refused| refused.errno, |()| 0));
    }
    match nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).at("wait")? {
        nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(Value::Null),
        nix::sys::wait::WaitStatus::Exited(_, errno) => crate::refused(errno, "steal"),
        other => Ok(json!({"unexpected": format!("{other:?}")})),
    }
}
