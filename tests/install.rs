//! `scripts/install.sh` against a server on loopback: it installs what has the right checksum, and otherwise changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARBALL: &str = "agentbox-9.9.9-test-linux.tar.gz";

/// A release in a directory, and a server of it.
struct Release {
    b: TestBox,
    dir: PathBuf,
    url: String,
}

impl Release {
    /// With a program that only says its version, as the tarball's.
    fn new() -> Release {
        let tree = "release/agentbox-9.9.9-test-linux";
        let b = TestBox::new()
            .script(
                &format!("{tree}/bin/agentbox"),
                "#!/bin/sh\necho agentbox 9.9.9\n",
            )
            .file(&format!("{tree}/share/man/man1/agentbox.1"), "page")
            .file(
                &format!("{tree}/share/bash-completion/completions/agentbox"),
                "complete",
            );
        let dir = b.root().join("release");
        let script = format!(
            "cd {} && tar -czf {TARBALL} agentbox-9.9.9-test-linux && sha256sum {TARBALL} >SHA256SUMS",
            dir.display()
        );
        let done = run(b.through(&script, &b.agentbox(["ps"])));
        assert_eq!(done.code(), 0, "{done:?}");
        let url = serve(dir.clone());
        Release { b, dir, url }
    }

    /// `install.sh ARGS TARBALL`, with HOME of the world.
    fn install(&self, args: &[&str], from: &str) -> Ran {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install.sh");
        // The checkout may lie where the test user cannot look.
        let copy = self.b.root().join("install.sh");
        fs::write(&copy, fs::read(script).unwrap()).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.arg(&copy).args(args).arg(from);
        self.b.around(&mut shell, &self.b.agentbox(["ps"]));
        run(shell)
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    fn installed(&self) -> bool {
        self.b.home().join(".local").exists()
    }

    /// Ends with 1, says why, and has made nothing at all.
    #[track_caller]
    fn refused(&self, ran: &Ran, says: &str) {
        assert_eq!(ran.code(), 1, "{ran:?}");
        assert!(ran.complaint().contains(says), "{ran:?}");
        assert!(!self.installed(), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

/// An HTTP server of the files in a directory. A name that ends with `?short` says its whole length and sends half.
fn serve(dir: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    common::helper(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|l| !l.is_empty()))
            {}
            let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
            let (name, short) = match path.trim_start_matches('/').split_once('?') {
                Some((name, _)) => (name.to_owned(), true),
                None => (path.trim_start_matches('/').to_owned(), false),
            };
            let answer = match fs::read(dir.join(name)) {
                Ok(bytes) => {
                    let sent = if short { bytes.len() / 2 } else { bytes.len() };
                    let mut all = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        bytes.len()
                    )
                    .into_bytes();
                    all.extend(&bytes[..sent]);
                    all
                }
                Err(_) => {
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        .to_vec()
                }
            };
            let _ = stream.write_all(&answer);
        }
    });
    url
}

fn lacks() -> bool {
    missing(Feature::Tool("curl")) || missing(Feature::Tool("tar"))
}

#[test]
fn what_has_the_right_checksum_is_installed_once_or_again() {
    if lacks() {
        return;
    }
    let release = Release::new();
    let prefix = release.b.home().join(".local");
    for _ in 0..2 {
        let ran = release.install(&[], &release.at(TARBALL));
        let text = ran.ok();
        let said = format!("agentbox 9.9.9 is in {}/bin", prefix.display());
        assert!(text.starts_with(&said), "{ran:?}");
        // PATH of the test lacks it, and that is told.
        assert!(text.contains("not on PATH: export PATH="), "{ran:?}");
        let names: Vec<_> = fs::read_dir(prefix.join("bin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["agentbox"]);
        assert!(prefix.join("share/man/man1/agentbox.1").exists());
    }
    assert_eq!(
        run(Command::new(prefix.join("bin/agentbox"))).ok(),
        "agentbox 9.9.9"
    );
    // A file, another place, and one that is on PATH.
    let elsewhere = release.b.root().join("elsewhere").display().to_string();
    let b = &release.b;
    let ran = release.install(
        &["--prefix", &elsewhere],
        &release.dir.join(TARBALL).display().to_string(),
    );
    // The world's root is the test user's.
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        b.root()
            .join("elsewhere/share/man/man1/agentbox.1")
            .exists()
    );
    let script = format!(
        "PATH={elsewhere}/bin:$PATH; exec /bin/sh {} --prefix {elsewhere} {}",
        b.root().join("install.sh").display(),
        release.at(TARBALL)
    );
    let ran = run(b.through(&script, &b.agentbox(["ps"])));
    assert!(!ran.ok().contains("not on PATH"), "{ran:?}");
}

#[test]
fn anything_else_changes_nothing() {
    if lacks() {
        return;
    }
    let release = Release::new();
    let tarball = release.dir.join(TARBALL);
    let good = fs::read(&tarball).unwrap();
    // Truncated on the way: the transfer fails.
    let short = format!("{}?short", release.at(TARBALL));
    let ran = release.install(&["--sums", &release.at("SHA256SUMS")], &short);
    release.refused(&ran, "cannot be fetched");
    // Truncated where it lies, corrupted in one bit, another file of the same length.
    for bytes in [
        good[..good.len() / 2].to_vec(),
        {
            let mut bytes = good.clone();
            bytes[good.len() / 2] ^= 1;
            bytes
        },
        vec![0; good.len()],
    ] {
        fs::write(&tarball, bytes).unwrap();
        let ran = release.install(&[], &release.at(TARBALL));
        release.refused(&ran, "nothing was unpacked");
    }
    fs::write(&tarball, &good).unwrap();
    // No checksum: no file of them, none of this name, none that is one.
    let sums = release.dir.join("SHA256SUMS");
    let right = fs::read_to_string(&sums).unwrap();
    for (text, says) in [
        (None, "without a checksum nothing is installed"),
        (
            Some(right.replace(TARBALL, "another.tar.gz")),
            "has no checksum of",
        ),
        (
            Some(right.replace(TARBALL, &format!("x{TARBALL}"))),
            "has no checksum of",
        ),
        (Some(format!("abc  {TARBALL}\n")), "is no SHA-256"),
        (Some(format!("{right}{right}")), "is no SHA-256"),
    ] {
        match text {
            Some(text) => fs::write(&sums, text).unwrap(),
            None => fs::remove_file(&sums).unwrap(),
        }
        let ran = release.install(&[], &release.at(TARBALL));
        release.refused(&ran, says);
    }
    let ran = release.install(&["--sha256", &"0".repeat(64)], &release.at(TARBALL));
    release.refused(&ran, "nothing was unpacked");
    let ran = release.install(&[], &release.at("missing.tar.gz"));
    release.refused(&ran, "cannot be fetched");
    let ran = release.install(&["--what"], &release.at(TARBALL));
    assert_eq!(ran.code(), 2, "{ran:?}");
    // And the twin of all of them.
    let sum = right.split(' ').next().unwrap();
    let ran = release.install(&["--sha256", sum], &release.at(TARBALL));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(release.installed());
}
