//! `scripts/release` and `cargo install`: what is given away. Slow: each builds the program as it is released, the first twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, missing};
use common::{Ran, TestBox, run_within};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Compilers may wait for each other.
const LONG: Duration = Duration::from_secs(3600);

fn sh(dir: &Path, script: &str) -> Ran {
    let mut shell = Command::new("/bin/bash");
    shell.args(["-euo", "pipefail", "-c", script]);
    shell.current_dir(dir).stdin(std::process::Stdio::null());
    let ran = run_within(shell, None, LONG);
    assert_eq!(ran.code(), 0, "{script}\n{ran:?}");
    ran
}

/// The commit that is checked out, without what is being changed.
fn clone(b: &TestBox) -> PathBuf {
    let from = env!("CARGO_MANIFEST_DIR");
    sh(
        b.root(),
        &format!("git clone -q --no-hardlinks '{from}' clone"),
    );
    b.root().join("clone")
}

/// `AGENTBOX_RELEASE` names files that scripts/release has made already.
fn files(b: &TestBox) -> PathBuf {
    if let Some(made) = std::env::var_os("AGENTBOX_RELEASE") {
        return made.into();
    }
    let clone = clone(b);
    let files = b.root().join("files");
    let ran = sh(&clone, &format!("scripts/release '{}'", files.display()));
    assert!(ran.text().contains("the same bit for bit"), "{ran:?}");
    files
}

#[test]
#[ignore = "builds the release twice"]
fn a_release_is_reproducible_and_whole() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new();
    let files = files(&b);
    let version = env!("CARGO_PKG_VERSION");
    let arch = std::env::consts::ARCH;
    sh(&files, "sha256sum --strict -c SHA256SUMS");
    let program = files.join(format!("agentbox-{arch}-linux"));
    assert!(fs::metadata(&program).unwrap().len() < 10_000_000);

    // The tarball and the package have the same program in it, and their pages and completions lie where it looks.
    let tarball = files.join(format!("agentbox-{version}-{arch}-linux.tar.gz"));
    let home = b.root().join("tarball");
    sh(
        b.root(),
        &format!(
            "HOME={0} sh '{1}/install.sh' --prefix {0} '{2}'; mkdir deb; dpkg-deb -x '{1}'/agentbox_{version}*.deb deb",
            home.display(),
            files.display(),
            tarball.display()
        ),
    );
    for prefix in [home, b.root().join("deb/usr")] {
        let at = prefix.join("bin/agentbox");
        assert!(
            fs::read(&at).unwrap() == fs::read(&program).unwrap(),
            "{at:?}"
        );
        let ran = sh(b.root(), &format!("'{}' self check --json", at.display()));
        let json: serde_json::Value = serde_json::from_str(&ran.text()).unwrap();
        assert_eq!(json["program"]["linkage"], "static");
        assert_eq!(json["program"]["commit"].as_str().map(str::len), Some(40));
        let what = json["checks"].to_string();
        assert!(what.contains("installed: man"), "{what}");
        assert!(what.contains("installed: bash, zsh, fish"), "{what}");
    }
    let listed = sh(
        &files,
        &format!("tar --numeric-owner -tvzf '{}'", tarball.display()),
    );
    assert!(
        listed.text().lines().all(|line| line.contains(" 0/0 ")),
        "{listed:?}"
    );

    // The list of parts names what cargo links, and no path of who made it.
    let parts = fs::read_to_string(files.join(format!("agentbox-{version}.cdx.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&parts).unwrap();
    assert_eq!(json["bomFormat"], "CycloneDX");
    let names: BTreeSet<String> = json["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            format!(
                "{} v{}",
                part["name"].as_str().unwrap(),
                part["version"].as_str().unwrap()
            )
        })
        .collect();
    let tree = sh(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        "cargo tree --locked --offline -e normal --prefix none --target \"$(rustc -vV | sed -n 's/^host: //p')\"",
    );
    for line in tree.text().lines().skip(1) {
        let name: Vec<&str> = line.split(' ').take(2).collect();
        assert!(names.contains(&name.join(" ")), "{line} is not in it");
    }
    for path in ["/root/", "/home/", "/tmp/"] {
        assert!(!parts.contains(path), "{path}");
    }
}

#[test]
#[ignore = "builds the release"]
fn cargo_installs_it() {
    if missing(Feature::Root) {
        return;
    }
    let b = TestBox::new();
    let clone = clone(&b);
    sh(
        &clone,
        "cargo install --quiet --locked --path . --root ../scratch",
    );
    let ran = sh(b.root(), "scratch/bin/agentbox self check");
    assert!(
        ran.text().lines().next().unwrap().ends_with(", static"),
        "{ran:?}"
    );
}
