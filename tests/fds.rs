//! Descriptors: none above 2 comes in, and 0 to 2 are harmless.

#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Ran, TestBox, inherit, run, run_with};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Trap 6, CVE-2024-21626 (runc's leaked /sys/fs/cgroup): an open directory of the host is the whole host.
#[test]
fn an_open_directory_does_not_come_in() {
    let b = TestBox::new()
        .file("secret/canary", "CANARY")
        .file("home/ws/a", "x");
    let dir = File::open(b.root().join("secret")).unwrap();
    for (at, name) in [(3, "3"), (9, "9"), (200, "200")] {
        let mut command = b.command(b.probe_words(&format!("fd-read-at {name} canary")));
        inherit(&mut command, dir.as_raw_fd(), at);
        assert_eq!(run(command).json()["name"], "EBADF", "descriptor {at}");
        let mut twin = Command::new(b.probe_program());
        twin.args(["fd-read-at", name, "canary"]);
        inherit(&mut twin, dir.as_raw_fd(), at);
        assert_eq!(run(twin).json()["text"], "CANARY", "the twin at {at}");
    }
}

#[test]
fn sockets_and_files_do_not_come_in() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    let b = TestBox::new().file("secret", "CANARY");
    let file = File::open(b.root().join("secret")).unwrap();
    let mut command = b.command(b.probe_words("fds"));
    for (fd, at) in [
        (listener.as_raw_fd(), 10),
        (connected.as_raw_fd(), 11),
        (pair.as_raw_fd(), 12),
        (file.as_raw_fd(), 13),
        (file.as_raw_fd(), 500),
    ] {
        inherit(&mut command, fd, at);
    }
    let fds = run(command).json()["fds"].clone();
    let numbers: Vec<&String> = fds.as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["0", "1", "2"], "{fds}");
}

/// Also what is beyond RLIMIT_NOFILE, where a loop up to the limit ends too early.
#[test]
fn descriptors_beyond_the_limit() {
    let b = TestBox::new();
    let file = File::open("/etc/hostname").unwrap();
    let mut command = b.command(b.probe_words("fds"));
    inherit(&mut command, file.as_raw_fd(), 900);
    // SAFETY: setrlimit is a plain system call and reads one struct of ours.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 256,
                rlim_max: 256,
            };
            match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let fds = run(command).json()["fds"].clone();
    assert_eq!(fds.as_object().unwrap().len(), 3, "{fds}");
}

fn with_stdin(stdin: impl Into<Stdio>) -> Ran {
    let b = TestBox::new();
    let mut command = b.command(["/bin/cat"]);
    command.stdin(stdin);
    run(command)
}

/// A directory as stdin is a descriptor of the host like any other.
#[test]
fn standard_descriptors_that_are_refused() {
    with_stdin(File::open("/").unwrap()).refused(&["directory"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    with_stdin(OwnedFd::from(connected)).refused(&["socket"]);
    with_stdin(OwnedFd::from(listener)).refused(&["socket"]);
    let b = TestBox::new();
    let path = b.root().join("named.sock");
    let named = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    with_stdin(OwnedFd::from(client)).refused(&["socket"]);
    drop(named);
    if let Ok(disk) = File::open("/dev/vda").or_else(|_| File::open("/dev/loop0")) {
        with_stdin(disk).refused(&["block device"]);
    }
    with_stdin(Stdio::null()).ok();
    // The same for stdout and stderr.
    let b = TestBox::new();
    let mut command = b.command(["/bin/true"]);
    command
        .stdout(File::open("/").unwrap())
        .stderr(Stdio::piped());
    let output = common::spawn(&mut command).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

/// Node and sshd give an unnamed socket pair as stdio: relayed, byte for byte, with the end of file.
#[test]
fn an_unnamed_socket_pair_works() {
    let b = TestBox::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (mut out, their_out) = UnixStream::pair().unwrap();
    let mut command = b.command([
        "/bin/sh",
        "-c",
        "cat; echo end; ls -l /proc/self/fd/0 /proc/self/fd/1 >&2",
    ]);
    command
        .stdin(OwnedFd::from(theirs))
        .stdout(OwnedFd::from(their_out))
        .stderr(Stdio::piped());
    let child = common::spawn(&mut command);
    drop(command);
    let sent: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let copy = sent.clone();
    let writer = common::helper(move || {
        ours.write_all(&copy).unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        ours
    });
    let mut got = Vec::new();
    out.read_to_end(&mut got).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(writer.join().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(got.len(), sent.len() + 4);
    assert!(got.starts_with(&sent) && got.ends_with(b"end\n"));
    let links = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!links.contains("socket:"), "relayed through pipes: {links}");
}

#[test]
fn pipes_are_passed_byte_for_byte() {
    let b = TestBox::new();
    let sent: Vec<u8> = (0..=255u8).cycle().take(2_000_000).collect();
    let ran = run_with(b.command(b.probe_words("cat")), Some(sent.clone()));
    assert_eq!(ran.code(), 0);
    assert!(ran.stdout == sent, "{} bytes came back", ran.stdout.len());
    let spam = b.run(b.probe_words("spam 3000000"));
    assert_eq!(spam.stdout.len(), 3_000_000);
    // stdout and stderr stay apart.
    let ran = b.sh("echo out; echo err >&2");
    assert_eq!(ran.text(), "out");
    assert!(ran.complaint().lines().any(|l| l == "err"), "{ran:?}");
}

/// A file that the caller opened is read and written by way of a pipe: the box has nothing that it could open again for more,
/// whether Landlock would refuse that or not.
#[test]
fn files_of_the_caller_as_stdio() {
    for off in [&[][..], &[common::Layer::Landlock]] {
        let b = TestBox::new().off(off).file("input", "from a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(b.root().join("input"), mode).unwrap();
        let script = "cat; cat /dev/stdin >/dev/null || echo !; printf + >> /proc/self/fd/0";
        let mut command = b.command(["/bin/sh", "-c", script]);
        command.stdin(File::open(b.root().join("input")).unwrap());
        let ran = run(command);
        assert_eq!(ran.text(), "from a file", "{ran:?}");
        let after = std::fs::read_to_string(b.root().join("input")).unwrap();
        assert_eq!(after, "from a file", "without {off:?}: {ran:?}");
    }
    // The pipe may be opened again, as scripts do that write to /dev/stderr.
    let b = TestBox::new().file("log", "old");
    let log = File::options()
        .write(true)
        .open(b.root().join("log"))
        .unwrap();
    b.chown(&b.root().join("log"));
    let mut command = b.command(["/bin/sh", "-c", "echo new > /dev/stdout"]);
    command.stdout(log).stderr(Stdio::piped());
    let output = common::spawn(&mut command).wait_with_output().unwrap();
    let after = std::fs::read_to_string(b.root().join("log")).unwrap();
    assert_eq!(after, "new\n", "{output:?}");
    // A log that others append to is neither read nor emptied. A pipe that is one's own is waited at.
    let b = TestBox::new().file("log", "what others said\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(b.root().join("log"), mode).unwrap();
    let log = File::options()
        .append(true)
        .open(b.root().join("log"))
        .unwrap();
    let mut command = b.command([
        "/bin/sh",
        "-c",
        "exec 3>&1; timeout 1 cat /proc/self/fd/3 >&2; : > /proc/self/fd/3; echo mine",
    ]);
    command.stdout(log).stderr(Stdio::piped());
    let output = common::spawn(&mut command).wait_with_output().unwrap();
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("what others said"),
        "{output:?}"
    );
    let after = std::fs::read_to_string(b.root().join("log")).unwrap();
    assert_eq!(after, "what others said\nmine\n");
}

/// Closed descriptors are a trap of their own: the next file that anybody opens becomes stdin.
#[test]
fn closed_standard_descriptors() {
    let b = TestBox::new();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let inner = b.command(b.probe_words("fds"));
        let ran = run(b.through(&format!("\"$@\" {closed}"), &inner));
        assert!(
            ran.code() == 0 || ran.code() == 125 || ran.code() == 99,
            "{closed}: {ran:?}"
        );
        if ran.text().contains("\"ok\":true") {
            let fds = ran.json()["fds"].clone();
            for (number, to) in fds.as_object().unwrap() {
                let to = to.as_str().unwrap();
                assert!(
                    to == "/dev/null" || to.starts_with("pipe:"),
                    "{closed}: {number} is {to}"
                );
            }
        }
    }
    b.probe("fd-read-at 0 etc/passwd").refused(Errno::ENOTDIR);
}
