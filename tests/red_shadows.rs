//! Directories of PATH in the working copy: what the box puts there under the name of a program that the user types outside
//! (`.venv/bin/ls`) is moved away at once. Each beside a program that no rule knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing};
use std::ffi::OsString;
use std::fs;

/// A working copy with these directories, of which the first ones are on the caller's PATH.
fn with_path(on_path: &[&str], more: &[&str]) -> TestBox {
    let mut b = TestBox::new().profile("extends = [\"base\", \"git\"]\n");
    let mut path = OsString::new();
    for dir in on_path {
        b = b.dir(&format!("{{ws}}/{dir}"));
        path.push(match *dir {
            "." => ".".into(),
            dir => b.ws().join(dir).into_os_string(),
        });
        path.push(":");
    }
    for dir in more {
        b = b.dir(&format!("{{ws}}/{dir}"));
    }
    path.push("/usr/local/bin:/usr/bin:/bin");
    b.env("PATH", path)
}

const TOLD: &str = "was made in the session under a protected name, and moved away";

#[test]
fn no_program_of_the_system_is_shadowed() {
    for (dir, on_path, more) in [
        ("tools", &["tools"][..], &[][..]),
        ("node_modules/.bin", &["node_modules/.bin"], &[]),
        (".", &["."], &[]),
        (".venv/bin", &[], &[".venv/bin"]), // activated by an editor
    ] {
        let b = with_path(on_path, more);
        let ran = b.sh(&format!(
            "for n in ls mine; do echo evil > {dir}/$n; done; \
             until [ ! -e {dir}/ls ]; do sleep 0.01; done; echo x > other; mv other {dir}/sudo; ln -s mine {dir}/git; sleep 0.3"
        ));
        ran.ok();
        for name in ["ls", "sudo", "git"] {
            let there = fs::symlink_metadata(b.ws().join(dir).join(name));
            assert!(there.is_err(), "{dir}/{name}: {}", ran.complaint());
        }
        assert!(ran.complaint().contains(TOLD), "{dir}: {}", ran.complaint());
        let mine = fs::read_to_string(b.ws().join(dir).join("mine")).unwrap();
        assert_eq!(mine, "evil\n", "the twin in {dir}");
    }
}

#[test]
fn the_directory_itself_is_no_way() {
    for way in [
        "mkdir y; echo evil > y/ls; mv .venv/bin x; mv y .venv/bin",
        "mkdir y; echo evil > y/ls; mv .venv x; mkdir .venv; mv y .venv/bin",
        "mkdir y; echo evil > y/ls; mv .venv/bin x; ln -s ../y .venv/bin",
        "mkdir -p y/bin; echo evil > y/bin/ls; mv .venv x; ln -s y .venv",
    ] {
        let b = with_path(&[".venv/bin"], &[]);
        let ran = b.sh(&format!("{way}; sleep 0.3; echo mine > plain"));
        ran.ok();
        assert!(
            !b.ws().join(".venv/bin/ls").exists(),
            "{way}: {}",
            ran.complaint()
        );
        assert!(b.ws().join("plain").exists(), "{way}: the twin");
    }
}

#[test]
fn a_directory_that_is_not_on_path_is_the_works() {
    let b = with_path(&["tools"], &["bin"]);
    let ran = b.sh("echo mine > bin/ls; sleep 0.2");
    ran.ok();
    assert_eq!(fs::read_to_string(b.ws().join("bin/ls")).unwrap(), "mine\n");
    assert!(!ran.complaint().contains(TOLD), "{}", ran.complaint());
}

#[test]
fn what_was_there_before_stays_the_works() {
    let b = with_path(&["tools"], &[]).script("{ws}/tools/docker", "echo old");
    let ran = b.sh("echo new >> tools/docker; rm tools/docker; echo new > tools/docker; sleep 0.2");
    ran.ok();
    assert_eq!(
        fs::read_to_string(b.ws().join("tools/docker")).unwrap(),
        "new\n"
    );
}

#[test]
fn a_flag_leaves_it() {
    for option in ["!tools/ls", "!tools/*"] {
        let b = with_path(&["tools"], &[])
            .option("--protect")
            .option(option);
        b.sh("echo mine > tools/ls; sleep 0.2").ok();
        assert!(b.ws().join("tools/ls").exists(), "{option}");
    }
    let b = with_path(&["tools"], &[]).option("--write").option("tools");
    b.sh("echo mine > tools/ls; sleep 0.2").ok();
    assert!(b.ws().join("tools/ls").exists());
}

/// conda's and pixi's environments have ncurses in them: `clear` was moved away as soon as it was installed.
#[test]
fn what_every_environment_has_is_installed() {
    let b = with_path(&["envs/bin"], &[]);
    let ran = b.sh("for n in clear reset tput ls; do echo mine > envs/bin/$n; done; sleep 0.2");
    ran.ok();
    for name in ["clear", "reset", "tput"] {
        assert!(
            b.ws().join("envs/bin").join(name).exists(),
            "{name}: {ran:?}"
        );
    }
    assert!(!b.ws().join("envs/bin/ls").exists(), "the twin: {ran:?}");
}

#[test]
fn an_environment_is_made_anew() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let b = with_path(&[".venv/bin"], &[]);
    let ran = b.sh("python3 -m venv --without-pip --clear .venv && . .venv/bin/activate && python -c 'print(1)'; ls");
    assert_eq!(ran.ok(), "1", "{ran:?}");
    assert!(!ran.complaint().contains(TOLD), "{}", ran.complaint());
    assert!(b.ws().join(".venv/bin/python").exists());
}

/// The directory of PATH was frozen where it is, and the link to it could be replaced.
#[test]
fn a_directory_of_path_that_is_a_link_is_no_way() {
    for way in [
        "ln -sfn evil link",
        "rm link; mkdir link; cp evil/ls link/",
        "rm link; mv evil link",
    ] {
        let b = with_path(&[], &["programs"]);
        std::os::unix::fs::symlink("programs", b.ws().join("link")).unwrap();
        b.chown(&b.ws().join("link"));
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            b.ws().join("link").display()
        );
        let b = b.env("PATH", path);
        let ran = b.sh(&format!(
            "mkdir evil; echo evil > evil/ls; {way}; sleep 0.3; echo mine > plain"
        ));
        ran.ok();
        assert!(!b.ws().join("link/ls").exists(), "{way}: {ran:?}");
        assert!(ran.complaint().contains(TOLD), "{way}: {ran:?}");
        assert!(b.ws().join("plain").exists(), "{way}: the twin");
    }
}

/// It was looked after only where it was there when the box started.
#[test]
fn a_directory_of_path_that_is_made_in_the_session() {
    for (dir, on_path) in [("tools", true), (".venv/bin", false), ("tools", false)] {
        let b = with_path(&[], &[]).file("{ws}/pyproject.toml", "");
        let path = match on_path {
            true => format!("{}:/usr/bin:/bin", b.ws().join(dir).display()),
            false => "/usr/bin:/bin".to_owned(),
        };
        let b = b.env("PATH", path);
        let ran = b.sh(&format!(
            "mkdir -p {dir}; for n in ls mine; do echo x > {dir}/$n; done; sleep 0.3"
        ));
        ran.ok();
        assert!(b.ws().join(dir).join("mine").exists(), "{dir}: {ran:?}");
        let free = dir == "tools" && !on_path;
        assert_eq!(b.ws().join(dir).join("ls").exists(), free, "{dir}: {ran:?}");
    }
    // A project in another language has none.
    let b = with_path(&[], &[]);
    b.sh("mkdir -p .venv/bin; echo x > .venv/bin/ls; sleep 0.3")
        .ok();
    assert!(b.ws().join(".venv/bin/ls").exists());
}

/// So many rules that some were left out without a word, and a program with checks panicked.
#[test]
fn thousands_of_directories_of_path() {
    let dirs: Vec<String> = (0..1_000).map(|n| format!("q/{n}")).collect();
    let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
    let b = with_path(&dirs, &[]).file("{ws}/secret", "secret\n");
    let b = b.option("--hide").option("secret");
    let ran = b.sh("cat secret; echo evil > .git; echo told");
    assert_eq!(ran.text(), "told", "{ran:?}");
    assert!(
        ran.complaint()
            .contains("directories of PATH lie in the working copy"),
        "{ran:?}"
    );
}
