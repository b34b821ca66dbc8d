#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
use super::*;
use crate::plan::text::hex;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A store on the disk, read without any care: it is the test's own.
struct Disk {
    objects: PathBuf,
    packs: Vec<PathBuf>,
}

impl Disk {
    fn open(git: &Path) -> Disk {
        let objects = git.join("objects");
        let packs = std::fs::read_dir(objects.join("pack")).unwrap();
        let packs = packs
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "idx"))
            .map(|path| path.with_extension(""))
            .collect();
        Disk { objects, packs }
    }

    fn part(path: PathBuf, at: u64, length: u32) -> Option<Vec<u8>> {
        let bytes = std::fs::read(path).ok()?;
        let at = usize::try_from(at).ok()?.min(bytes.len());
        let end = (at + usize::try_from(length).ok()?).min(bytes.len());
        Some(bytes[at..end].to_vec())
    }
}

impl Bytes for Disk {
    fn loose(&mut self, id: &Id) -> Option<Vec<u8>> {
        let hex = hex(id.bytes());
        std::fs::read(self.objects.join(&hex[..2]).join(&hex[2..])).ok()
    }
    fn index(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>> {
        Disk::part(self.packs[pack as usize].with_extension("idx"), at, length)
    }
    fn pack(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>> {
        Disk::part(self.packs[pack as usize].with_extension("pack"), at, length)
    }
    fn packs(&self) -> u32 {
        self.packs.len() as u32
    }
}

/// Every object of a repository with loose objects, packs and long chains of deltas is what git says that it is.
#[test]
fn every_object_is_what_git_says() {
    for format in ["sha1", "sha256"] {
        objects_are_what_git_says(format);
    }
}

fn objects_are_what_git_says(format: &str) {
    let name = format!("agentbox-objects-{}-{format}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        let out = command.current_dir(&dir).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?} {out:?}");
        out.stdout
    };
    git(&["init", "-q", &format!("--object-format={format}")]);
    let mut text = String::new();
    for n in 0..30 {
        text.push_str(&format!("line {n} {}\n", "x".repeat(n * 7)));
        std::fs::write(dir.join("a"), &text).unwrap();
        std::fs::write(dir.join("b"), vec![n as u8; 40_000]).unwrap();
        git(&["add", "-A"]);
        git(&["commit", "-qm", "x"]);
        if n == 20 {
            git(&["repack", "-adqf", "--depth=40", "--window=40"]);
        }
    }
    git(&["tag", "-a", "t", "-m", "t"]);
    let list = git(&["cat-file", "--batch-check", "--batch-all-objects"]);
    let mut reader = Reader::new(Disk::open(&dir.join(".git")));
    let mut count = 0;
    for line in String::from_utf8(list).unwrap().lines() {
        let mut words = line.split(' ');
        let (id, kind) = (words.next().unwrap(), words.next().unwrap());
        let (is, content) = reader.read(&Id::parse(id.as_bytes()).unwrap()).unwrap();
        assert_eq!(format!("{is:?}").to_lowercase(), kind, "{id}");
        assert!(git(&["cat-file", kind, id]) == content, "{id}");
        count += 1;
    }
    assert!(count > 100, "{count}");
    assert_eq!(reader.read(&Id::Sha1([7; 20])), Err(Missing::Object));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Cut off, turned over and filled with other bytes: an answer or none, and no panic.
#[test]
fn damaged_packs_are_no_objects() {
    struct Broken(Vec<u8>);
    impl Bytes for Broken {
        fn loose(&mut self, _: &Id) -> Option<Vec<u8>> {
            None
        }
        fn index(&mut self, _: u32, _: u64, length: u32) -> Option<Vec<u8>> {
            let mut index = vec![0xff, b't', b'O', b'c', 0, 0, 0, 2];
            index.resize(8 + 1024, 0);
            for at in 0..256 {
                index[8 + at * 4 + 3] = 1;
            }
            // The one id, and its place.
            Some(match length {
                20 => vec![0; 20],
                4 => vec![0; 4],
                _ => index,
            })
        }
        fn pack(&mut self, _: u32, at: u64, length: u32) -> Option<Vec<u8>> {
            let at = usize::try_from(at).ok()?.min(self.0.len());
            let end = (at + length as usize).min(self.0.len());
            Some(self.0[at..end].to_vec())
        }
        fn packs(&self) -> u32 {
            1
        }
    }
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..round % 90 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push((state >> 24) as u8);
        }
        let _ = Reader::new(Broken(bytes.clone())).read(&Id::Sha1([0; 20]));
        let _ = patched(&bytes, &bytes);
        let _ = loose(&bytes);
    }
}
