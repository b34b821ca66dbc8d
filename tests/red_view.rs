//! Ways out of the box by what lies in a grant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

const CONNECT: &str = "import socket,sys
s=socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1]); print('connected')
except OSError as e: print(e.errno)";

#[test]
fn a_socket_of_the_host_in_the_workspace_does_not_answer() {
    for place in ["host.sock", "deep/er/with space.sock"] {
        let b = TestBox::new().dir("home/ws/deep/er");
        let path = b.ws().join(place);
        let _listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        b.chown(&path);
        let ran = b.run(["/usr/bin/python3", "-c", CONNECT, path.to_str().unwrap()]);
        assert_eq!(ran.ok(), libc::ECONNREFUSED.to_string(), "{ran:?}");
        assert!(ran.complaint().contains("it is hidden"), "{ran:?}");
        // The twin: a socket of the box's own at another name there.
        let own = "import socket,os
a=socket.socket(socket.AF_UNIX); a.bind('own.sock'); a.listen(1)
s=socket.socket(socket.AF_UNIX); s.connect('own.sock'); print('connected')";
        assert_eq!(b.run(["/usr/bin/python3", "-c", own]).ok(), "connected");
    }
}

/// The kernel's table has the name as it was bound, and only absolute ones were looked for.
#[test]
fn a_socket_that_was_bound_by_a_relative_name_does_not_answer() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let b = TestBox::new().dir("home/ws/deep");
    let bind = "import socket,sys
s=socket.socket(socket.AF_UNIX); s.bind('deep/host.sock'); s.listen(5)
print('up',flush=True); sys.stdin.read()";
    let mut server = Command::new("/usr/bin/python3")
        .args(["-c", bind])
        .current_dir(b.ws())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = server.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let path = b.ws().join("deep/host.sock");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    b.chown(&path);
    let ran = b.run(["/usr/bin/python3", "-c", CONNECT, path.to_str().unwrap()]);
    drop(server.stdin.take());
    server.wait().unwrap();
    assert_eq!(ran.ok(), libc::ECONNREFUSED.to_string(), "{ran:?}");
    assert!(ran.complaint().contains("it is hidden"), "{ran:?}");
}

#[test]
fn a_socket_in_a_read_grant_does_not_answer() {
    let b = TestBox::new().dir("home/data");
    let path = b.home().join("data/agent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    b.chown(&path);
    let b = b.option("--read").option("{home}/data");
    let ran = b.run(["/usr/bin/python3", "-c", CONNECT, path.to_str().unwrap()]);
    assert_eq!(ran.ok(), libc::ECONNREFUSED.to_string(), "{ran:?}");
}

/// The start covers those that are bound by then: one that came later answered.
#[test]
fn a_socket_that_is_bound_later_does_not_answer() {
    use std::io::Read as _;
    if missing(Feature::UnixDiag) {
        return;
    }
    let script = format!(
        "import os, socket, sys, time, threading\n\
         def tried(name):\n\
         \x20   s = socket.socket(socket.AF_UNIX)\n\
         \x20   try:\n\
         \x20       s.connect(name)\n\
         \x20       return 'connected'\n\
         \x20   except OSError as e:\n\
         \x20       return os.strerror(e.errno)\n\
         own = socket.socket(socket.AF_UNIX); own.bind('own.sock'); own.listen()\n\
         print('own', tried('own.sock'), flush=True)\n\
         open('up', 'w').close()\n\
         while not os.path.exists('go'): time.sleep(0.01)\n\
         for name in {NAMES:?}: print(name, tried(name), flush=True)\n\
         again = socket.socket(socket.AF_UNIX); again.bind('again.sock'); again.listen()\n\
         time.sleep(0.2)\n\
         print('again', tried('again.sock'), 'own', tried('own.sock'))\n"
    );
    const NAMES: [&str; 4] = [
        "later.sock",
        "dir/moved.sock",
        "dir/relative.sock",
        "link.sock",
    ];
    for net in ["none", "filtered"] {
        let b = TestBox::new().net(net).dir("home/ws/dir");
        let mut command = b.command(["/usr/bin/python3", "-c", &script]);
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let child = common::spawn(&mut command);
        common::until("the box is there", || b.ws().join("up").exists());
        let _later = UnixListener::bind(b.ws().join("later.sock")).unwrap();
        let elsewhere = b.root().join("elsewhere.sock");
        let _moved = UnixListener::bind(&elsewhere).unwrap();
        fs::rename(&elsewhere, b.ws().join("dir/moved.sock")).unwrap();
        fs::hard_link(b.ws().join("later.sock"), b.ws().join("link.sock")).unwrap();
        // By a relative name, in a directory that nobody knows.
        let mut server = std::process::Command::new("/usr/bin/python3")
            .args(["-c", "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('relative.sock'); s.listen(); print('up', flush=True); sys.stdin.read()"])
            .current_dir(b.ws().join("dir"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        server
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 2])
            .unwrap();
        for name in NAMES {
            let path = b.ws().join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            b.chown(&path);
        }
        // The window of a guard-rail: it is milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::write(b.ws().join("go"), "").unwrap();
        let done = child.wait_with_output().unwrap();
        drop(server.stdin.take());
        server.wait().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let mut want = "own connected\n".to_owned();
        for name in NAMES {
            want += &format!("{name} Connection refused\n");
        }
        want += "again connected own connected\n";
        assert_eq!(
            said,
            want,
            "{net}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn no_set_gid_file_is_left_behind() {
    let b = TestBox::new().dir("home/ws/dir");
    // Long enough that a hundredth of it is enough for the look: an emulated processor needs some seconds.
    let left = |seconds: &f64| {
        let script =
            format!("echo x > dir/tool; chmod 2755 dir/tool; chmod g+s dir; sleep {seconds}");
        b.sh(&script).ok();
        let mode = fs::metadata(b.ws().join("dir/tool")).unwrap().mode();
        mode & 0o7777
    };
    let lives = [0.5, 5.0, 15.0];
    assert!(
        lives.iter().any(|seconds| left(seconds) == 0o755),
        "still set-gid after boxes of {lives:?} seconds"
    );
    // A directory keeps it: work trees that a group shares are made like that.
    let mode = fs::metadata(b.ws().join("dir")).unwrap().mode();
    assert_eq!(mode & 0o2000, 0o2000, "{mode:o}");
}
