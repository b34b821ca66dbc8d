//! What a search leaves for the next one, outside of the box: the directories with their times, and the inodes of what is
//! hidden. The first saves time. The second finds what was hidden by its place and is somewhere else now: a directory can be
//! renamed with what is hidden in it.

#![forbid(unsafe_code)]

use crate::host::{FileType, Lookup};
use std::path::Path;

/// The beginning of the file: another version is no memory.
const MAGIC: &[u8; 8] = b"abnames3";

/// The most bytes that are read back.
pub(super) const LARGEST: usize = 64 << 20;

/// What says that a directory holds the same names as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) modified: i128,
    pub(super) changed: i128,
}

impl Stamp {
    /// Of a directory, as it is now.
    pub(super) fn of(look: &dyn Lookup, dir: &Path) -> Option<Stamp> {
        look.times(dir).map(|id| Stamp {
            dev: id.dev,
            ino: id.ino,
            modified: id.modified,
            changed: id.changed,
        })
    }
}

/// An entry that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) file_type: FileType,
}

/// A directory that was searched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    /// `None` if it has to be read again in any case.
    pub(super) stamp: Option<Stamp>,
    pub(super) entries: Vec<Entry>,
    pub(super) dirs: Vec<Record>,
    /// Where its files are asked for by another thread: all its directories. Not kept.
    pub(super) listed: Option<Listed>,
}

/// What a directory was just listed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) dirs: Vec<Vec<u8>>,
    /// How many entries it has.
    pub(super) count: u64,
}

/// A hidden file or directory, whatever its name is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) born: i128,
    /// The pattern of the rule that hid it.
    pub(super) pattern: Vec<u8>,
    /// Where it was.
    pub(super) path: Vec<u8>,
    /// Whether it was moved there, so that the rule does not match that path.
    pub(super) moved: bool,
    /// The device and inode of the directory that it was in.
    pub(super) parent: (u64, u64),
}

/// What is remembered of one root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// The root: two may share a file name.
    pub(super) root: Vec<u8>,
    /// What the rules were, as a hash: a tree that was searched by other rules says nothing.
    pub(super) rules: u64,
    pub(super) secrets: Vec<Secret>,
    pub(super) tree: Option<Record>,
}

impl Memory {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        text(&mut out, &self.root);
        out.extend(self.rules.to_le_bytes());
        number(&mut out, self.secrets.len());
        for secret in &self.secrets {
            out.extend(secret.dev.to_le_bytes());
            out.extend(secret.ino.to_le_bytes());
            out.extend(secret.born.to_le_bytes());
            text(&mut out, &secret.pattern);
            text(&mut out, &secret.path);
            out.push(u8::from(secret.moved));
            out.extend(secret.parent.0.to_le_bytes());
            out.extend(secret.parent.1.to_le_bytes());
        }
        if let Some(tree) = &self.tree {
            record(&mut out, tree);
        }
        out
    }

    /// `None` if that is no memory of this version.
    pub(super) fn read(bytes: &[u8]) -> Option<Memory> {
        let mut from = Reader(bytes.strip_prefix(MAGIC)?);
        let root = from.text()?;
        let rules = from.u64()?;
        let mut secrets = Vec::new();
        for _ in 0..from.number()? {
            secrets.push(Secret {
                dev: from.u64()?,
                ino: from.u64()?,
                born: from.i128()?,
                pattern: from.text()?,
                path: from.text()?,
                moved: from.take::<1>()? != [0],
                parent: (from.u64()?, from.u64()?),
            });
        }
        let tree = if from.0.is_empty() {
            None
        } else {
            Some(from.record(0)?)
        };
        Some(Memory {
            root,
            rules,
            secrets,
            tree,
        })
    }
}

fn number(out: &mut Vec<u8>, value: usize) {
    out.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, text.len());
    out.extend(text);
}

fn record(out: &mut Vec<u8>, record: &Record) {
    text(out, &record.name);
    match record.stamp {
        Some(stamp) => {
            out.push(1);
            out.extend(stamp.dev.to_le_bytes());
            out.extend(stamp.ino.to_le_bytes());
            out.extend(stamp.modified.to_le_bytes());
            out.extend(stamp.changed.to_le_bytes());
        }
        None => out.push(0),
    }
    number(out, record.entries.len());
    for entry in &record.entries {
        out.push(match entry.file_type {
            FileType::Dir => 0,
            FileType::File => 1,
            FileType::Symlink => 2,
            FileType::Socket => 3,
            FileType::Other => 4,
        });
        text(out, &entry.name);
    }
    number(out, record.dirs.len());
    for dir in &record.dirs {
        self::record(out, dir);
    }
}

/// Deeper than any search goes.
const DEEPEST: usize = 128;

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i128(&mut self) -> Option<i128> {
        self.take().map(i128::from_le_bytes)
    }

    /// A count or a length; never more than what is left, so that a damaged file cannot ask for memory.
    fn number(&mut self) -> Option<usize> {
        let value = usize::try_from(self.take().map(u32::from_le_bytes)?).ok()?;
        (value <= self.0.len()).then_some(value)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head.to_vec())
    }

    fn record(&mut self, depth: usize) -> Option<Record> {
        if depth > DEEPEST {
            return None;
        }
        let name = self.text()?;
        let stamp = match self.take::<1>()? {
            [0] => None,
            _ => Some(Stamp {
                dev: self.u64()?,
                ino: self.u64()?,
                modified: self.i128()?,
                changed: self.i128()?,
            }),
        };
        let mut entries = Vec::new();
        for _ in 0..self.number()? {
            let file_type = match self.take::<1>()? {
                [0] => FileType::Dir,
                [1] => FileType::File,
                [2] => FileType::Symlink,
                [3] => FileType::Socket,
                _ => FileType::Other,
            };
            entries.push(Entry {
                name: self.text()?,
                file_type,
            });
        }
        let mut dirs = Vec::new();
        for _ in 0..self.number()? {
            dirs.push(self.record(depth + 1)?);
        }
        Some(Record {
            name,
            stamp,
            entries,
            dirs,
            listed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn memory() -> Memory {
        let stamp = Stamp {
            dev: 1,
            ino: 2,
            modified: -3,
            changed: 1 << 70,
        };
        let entry = |name: &[u8], file_type| Entry {
            name: name.to_vec(),
            file_type,
        };
        Memory {
            root: b"/w".to_vec(),
            rules: 7,
            secrets: vec![Secret {
                dev: 1,
                ino: 9,
                born: 5,
                pattern: b"**/.env".to_vec(),
                path: b"/w/.env".to_vec(),
                moved: true,
                parent: (1, 2),
            }],
            tree: Some(Record {
                name: b"w".to_vec(),
                stamp: Some(stamp),
                entries: vec![
                    entry(b".env", FileType::File),
                    entry(b"l\xff", FileType::Symlink),
                ],
                dirs: vec![Record {
                    name: b"sub".to_vec(),
                    ..Record::default()
                }],
                listed: None,
            }),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Memory::read(&memory().bytes()).unwrap(), memory());
        assert_eq!(
            Memory::read(&Memory::default().bytes()).unwrap(),
            Memory::default()
        );
    }

    #[test]
    fn a_damaged_memory_is_none_and_no_panic() {
        let bytes = memory().bytes();
        for cut in 0..bytes.len() {
            // Without its tree it is whole, with a part of it it is not.
            if let Some(read) = Memory::read(&bytes[..cut]) {
                assert!(read.tree.is_none(), "{cut}");
            }
        }
        for at in 8..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            let _ = Memory::read(&bytes);
        }
        let mut deep = Memory::default().bytes();
        for _ in 0..100_000 {
            deep.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        }
        assert!(Memory::read(&deep).is_none());
    }
}
