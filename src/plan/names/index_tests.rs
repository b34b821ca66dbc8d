//! Against git itself: what it writes has to be understood.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::id::Id;
use super::*;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

struct Repo(PathBuf);

impl Repo {
    fn new(name: &str, init: &[&str]) -> Repo {
        let dir =
            std::env::temp_dir().join(format!("agentbox-index-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let repo = Repo(dir);
        repo.git(&[&["init", "-q"], init].concat());
        repo
    }

    fn git(&self, args: &[&str]) -> String {
        let out = Command::new("git")
            .current_dir(&self.0)
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .env("HOME", &self.0)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, format: Format) -> (Vec<(String, Vec<u8>)>, Option<String>) {
        let bytes = fs::read(self.0.join(".git/index")).unwrap();
        let mut list = Vec::new();
        let shared = entries(&bytes, format, &mut |path, id| {
            list.push((String::from_utf8(path.to_vec()).unwrap(), id.to_vec()));
        });
        (list, shared.unwrap())
    }
}

impl Drop for Repo {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn holds(list: &[(String, Vec<u8>)], path: &str, content: &str, format: Format) {
    let id = Id::name(format, "blob", content.as_bytes());
    assert!(
        list.iter()
            .any(|(p, i)| p == path && i.as_slice() == id.bytes()),
        "{path} in {list:?}"
    );
}

#[test]
fn every_version_that_git_writes() {
    for version in ["2", "3", "4"] {
        let repo = Repo::new(&format!("v{version}"), &[]);
        for number in 0..60 {
            repo.write(
                &format!("dir{}/a/file{number:03}", number % 7),
                &format!("text {number}\n"),
            );
        }
        repo.write(".env", "A=1\n");
        repo.git(&["add", "-A"]);
        // An extended entry: the only thing that version 3 is for.
        repo.write("later", "x\n");
        repo.git(&["add", "-N", "later"]);
        repo.git(&["update-index", "--index-version", version]);
        let (list, shared) = repo.read(Format::Sha1);
        let names: Vec<String> = list.iter().map(|(path, _)| path.clone()).collect();
        let git = repo.git(&["ls-files"]);
        assert_eq!(names, git.lines().collect::<Vec<_>>(), "version {version}");
        holds(&list, ".env", "A=1\n", Format::Sha1);
        holds(&list, "dir3/a/file003", "text 3\n", Format::Sha1);
        assert_eq!(shared, None);
    }
}

#[test]
fn a_split_index_names_its_other_half() {
    let repo = Repo::new("split", &[]);
    repo.write("a", "1\n");
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--split-index"]);
    let (_, shared) = repo.read(Format::Sha1);
    let other = repo.0.join(".git").join(shared.unwrap());
    let mut found = false;
    let bytes = fs::read(other).unwrap();
    entries(&bytes, Format::Sha1, &mut |path, _| found |= path == b"a").unwrap();
    assert!(found);
}

#[test]
fn a_repository_with_sha256() {
    let repo = Repo::new("sha256", &["--object-format=sha256"]);
    repo.write("a/b", "1\n");
    repo.git(&["add", "-A"]);
    let (list, _) = repo.read(Format::Sha256);
    holds(&list, "a/b", "1\n", Format::Sha256);
}

#[test]
fn what_is_no_index_is_none_and_no_panic() {
    let repo = Repo::new("bad", &[]);
    repo.write("a/long/name", "1\n");
    repo.write("a/long/other", "2\n");
    repo.git(&["add", "-A"]);
    for version in ["2", "4"] {
        repo.git(&["update-index", "--index-version", version]);
        let bytes = fs::read(repo.0.join(".git/index")).unwrap();
        for cut in 0..bytes.len() {
            let _ = entries(&bytes[..cut], Format::Sha1, &mut |_, _| {});
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            let _ = entries(&bytes, Format::Sha1, &mut |_, _| {});
        }
    }
    assert!(entries(b"", Format::Sha1, &mut |_, _| {}).is_none());
    assert!(entries(b"DIRC\0\0\0\x09\0\0\0\0", Format::Sha1, &mut |_, _| {}).is_none());
}

/// An index of version 4 whose entries are all of the same long path.
fn repeated(length: usize, count: u32) -> Vec<u8> {
    let mut bytes = b"DIRC\0\0\0\x04".to_vec();
    bytes.extend(count.to_be_bytes());
    for number in 0..count {
        bytes.extend([0; 40 + 20]);
        let said = u16::try_from(length.min(0xfff)).unwrap();
        bytes.extend(said.to_be_bytes());
        // Nothing of the one before is dropped, and nothing is added.
        bytes.push(0);
        if number == 0 {
            bytes.extend(vec![b'x'; length]);
        }
        bytes.push(0);
    }
    bytes.extend([0; 20]);
    bytes
}

/// A small index that is long when it is unfolded kept the reader busy, and who kept its paths had no memory left.
#[test]
fn a_small_index_does_not_become_a_large_one() {
    let read = |bytes: &[u8]| {
        let mut sum = 0;
        let read = entries(bytes, Format::Sha1, &mut |path, _| sum += path.len());
        assert!(sum <= ALL, "{sum}");
        read.is_some()
    };
    assert!(read(&repeated(LONGEST, 1000)));
    assert!(!read(&repeated(LONGEST + 1, 1)));
    assert!(!read(&repeated(LONGEST, 100_000)));
}
