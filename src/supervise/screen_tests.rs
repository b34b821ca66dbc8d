//! The pump of the terminal, with one viewer and with several.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::supervise::relay::wait;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// A raw pseudo-terminal, a relay on its master, and the client's end.
fn world() -> (Screen, OwnedFd, UnixStream) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut termios = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut termios);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &termios).unwrap();
    let (ours, clients) = UnixStream::pair().unwrap();
    let relay = Screen::with_viewer(pty.master, ours.into()).unwrap();
    (relay, pty.slave, clients)
}

/// The supervisor's loop, until `done`.
fn turn(relay: &mut Screen, mut done: impl FnMut(&Screen) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done(relay) {
        assert!(Instant::now() < end, "the relay does not get on");
        if let Some(found) = wait(&relay.wishes(), PollTimeout::from(50u16)) {
            relay.moved(&found);
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from(i * 7 % 253).unwrap())
        .collect()
}

#[test]
fn all_output_reaches_a_slow_client_and_the_end_is_told() {
    let (mut relay, slave, mut client) = world();
    let sent = pattern(10 * 1024 * 1024);
    let expected = sent.clone();
    let writer = std::thread::spawn(move || {
        std::fs::File::from(slave).write_all(&sent).unwrap();
    });
    let reader = std::thread::spawn(move || {
        let (mut all, mut buf) = (Vec::new(), [0; 50_000]);
        loop {
            let n = client.read(&mut buf).unwrap();
            if n == 0 {
                return all;
            }
            all.extend_from_slice(&buf[..n]);
            if all.len() % 64 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    turn(&mut relay, |_| writer.is_finished());
    // The writer is dead and part of its output is still in the terminal.
    assert_eq!(relay.drain(Duration::from_secs(5)), Drained::Complete);
    assert!(relay.finished());
    assert!(
        reader.join().unwrap() == expected,
        "bytes were lost or changed"
    );
}

#[test]
fn keys_reach_a_slow_command_byte_for_byte() {
    let (mut relay, slave, mut client) = world();
    let sent = pattern(300_000);
    let expected = sent.clone();
    let typist = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client
    });
    let reader = std::thread::spawn(move || {
        let (mut file, mut all) = (std::fs::File::from(slave), vec![0; 300_000]);
        for piece in all.chunks_mut(30_000) {
            std::thread::sleep(Duration::from_millis(2));
            file.read_exact(piece).unwrap();
        }
        (all, file)
    });
    turn(&mut relay, |_| reader.is_finished());
    assert!(
        reader.join().unwrap().0 == expected,
        "keys were lost or changed"
    );
    typist.join().unwrap();
}

#[test]
fn a_client_that_does_not_read_stops_the_writer_and_not_the_supervisor() {
    let (mut relay, slave, mut client) = world();
    set_nonblocking(&slave).unwrap();
    let mut slave = std::fs::File::from(slave);
    let mut written = 0usize;
    let mut quiet = 0;
    // Until neither side moves any more.
    while quiet < 20 {
        match slave.write(&[b'x'; 4096]) {
            Ok(n) => (written, quiet) = (written + n, 0),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                quiet += 1;
            }
        }
        assert!(written < 8 << 20, "there is no back-pressure");
        if let Some(found) = wait(&relay.wishes(), PollTimeout::from(1u16)) {
            relay.moved(&found);
        }
    }
    // Nothing to do but wait for the client: no wake-up although the terminal is full.
    assert_eq!(wait(&relay.wishes(), PollTimeout::from(100u16)), None);
    assert!(!relay.settle());
    assert_eq!(relay.drain(Duration::from_millis(50)), Drained::Stuck);
    // What was handed over is still there for it.
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(!got.is_empty() && got.len() <= written);
}

#[test]
fn a_client_that_is_gone_does_not_block_the_box() {
    let (mut relay, slave, client) = world();
    drop(client);
    let writer = std::thread::spawn(move || {
        std::fs::File::from(slave)
            .write_all(&pattern(1024 * 1024))
            .unwrap();
    });
    turn(&mut relay, |_| writer.is_finished());
    assert!(!relay.has_client());
    assert_eq!(relay.drain(Duration::from_secs(1)), Drained::ClientGone);
}

#[test]
fn settle_hands_over_what_was_written_before() {
    let (mut relay, slave, mut client) = world();
    nix::unistd::write(&slave, b"\x1b[?1049l").unwrap();
    assert!(relay.settle());
    let mut buf = [0; 8];
    client.set_nonblocking(true).unwrap();
    client.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"\x1b[?1049l");
    let size = Winsize {
        rows: 5,
        cols: 6,
        ..Winsize::default()
    };
    relay.set_winsize(size).unwrap();
    assert_eq!(tty::window_size(slave.as_fd()).unwrap(), size);
}
