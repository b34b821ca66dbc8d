#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
use super::*;
use crate::keeper::history::testing::{damaged, dice};
use crate::sys::testing::skip;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
    let out = command.current_dir(dir).args(args).output().unwrap();
    assert!(out.status.success(), "{args:?} {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// A repository with so many branches; every other one in a table of its own, some removed again.
fn repository(name: &str, format: &str, branches: usize) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("agentbox-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let format = format!("--object-format={format}");
    git(&dir, &["init", "-q", "--ref-format=reftable", &format]);
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let mut text = String::new();
    for n in 0..branches {
        text.push_str(&format!("create refs/heads/b{n}/with/a/long/name HEAD\n"));
    }
    let file = dir.join("updates");
    std::fs::write(&file, text).unwrap();
    let status = Command::new("git")
        .current_dir(&dir)
        .args(["update-ref", "--stdin"])
        .stdin(File::open(&file).unwrap())
        .status();
    assert!(status.unwrap().success());
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "y"]);
    git(&dir, &["tag", "-a", "t", "-m", "t"]);
    git(
        &dir,
        &[
            "symbolic-ref",
            "refs/heads/other",
            "refs/heads/b0/with/a/long/name",
        ],
    );
    git(&dir, &["branch", "gone"]);
    git(&dir, &["branch", "-qD", "gone"]);
    dir
}

/// Debian 12 has an older git.
fn git_cannot() -> bool {
    let help = Command::new("git").args(["init", "-h"]).output().unwrap();
    let cannot = !String::from_utf8_lossy(&help.stdout).contains("--[no-]ref-format");
    if cannot {
        skip("reftable");
    }
    cannot
}

#[test]
fn every_reference_is_what_git_says() {
    if git_cannot() {
        return;
    }
    for (format, branches) in [("sha1", 3), ("sha1", 900), ("sha1", 12_000), ("sha256", 40)] {
        for packed in [false, true] {
            let dir = repository("reftable", format, branches);
            if packed {
                git(&dir, &["pack-refs", "--all"]);
            }
            let found = read(File::open(dir.join(".git")).unwrap().as_fd()).unwrap();
            let list = git(
                &dir,
                &[
                    "for-each-ref",
                    "--format=%(objectname) %(refname) %(symref)",
                ],
            );
            let mut count = 0;
            for line in list.lines() {
                let mut words = line.splitn(3, ' ');
                let (id, name, to) = (words.next().unwrap(), words.next().unwrap(), words.next());
                let wanted = match to.filter(|to| !to.is_empty()) {
                    Some(to) => Value::Symbolic(to.to_owned()),
                    None => Value::Id(id.to_owned()),
                };
                assert_eq!(found.get(name), Some(&wanted), "{name}");
                count += 1;
            }
            assert_eq!(
                found
                    .keys()
                    .filter(|name| name.starts_with("refs/"))
                    .count(),
                count
            );
            assert!(count > branches, "{count}");
            let head = git(&dir, &["symbolic-ref", "HEAD"]);
            let head = Value::Symbolic(head.trim().to_owned());
            assert_eq!(found.get("HEAD"), Some(&head));
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// Seeded: bytes changed, cut and doubled. Whatever comes of it ends, and no place is believed that was not read in order.
#[test]
fn damaged_tables_are_not_read() {
    if git_cannot() {
        return;
    }
    let dir = repository("reftable-damaged", "sha1", 600);
    git(&dir, &["pack-refs", "--all"]);
    let tables = std::fs::read_dir(dir.join(".git/reftable")).unwrap();
    let table_of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|e| e == "ref").then_some(path)
    };
    let file = tables.filter_map(table_of).next().unwrap();
    let whole = std::fs::read(file).unwrap();
    let right = table(&whole).unwrap();
    assert!(right.len() > 600);
    let mut next = dice();
    for _ in 0..3_000 {
        let bytes = damaged(&whole, &mut next);
        let _ = table(&bytes);
    }
    // Where an index or a restart leads is not taken from it.
    let foot = whole.len() - 68;
    let index = usize::try_from(be(&whole[foot + 24..foot + 32])).unwrap();
    assert_eq!(whole[index], b'i');
    let length = usize::try_from(be(&whole[index + 1..index + 4])).unwrap();
    for at in index + 4..index + length {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_ne!(table(&bytes).as_ref(), Some(&Vec::new()));
        if let Some(read) = table(&bytes) {
            // Only the restarts of the index, which then are other beginnings that are right.
            assert_eq!(read, right, "{at}");
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
