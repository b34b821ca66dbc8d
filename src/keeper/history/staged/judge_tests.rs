#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
use super::*;
use crate::keeper::history::testing::{damaged, dice};

/// A store without anything.
struct Empty;

impl Bytes for Empty {
    fn loose(&mut self, _: &Id) -> Option<Vec<u8>> {
        None
    }
    fn index(&mut self, _: u32, _: u64, _: u32) -> Option<Vec<u8>> {
        None
    }
    fn pack(&mut self, _: u32, _: u64, _: u32) -> Option<Vec<u8>> {
        None
    }
    fn packs(&self) -> u32 {
        0
    }
}

/// Everything that begins with `p` is protected.
struct P;

impl Known for P {
    fn had(&mut self, _: &Id) -> bool {
        false
    }
    fn is_protected(&mut self, path: &[u8]) -> bool {
        path.first() == Some(&b'p')
    }
    fn is_hidden(&mut self, _: &[u8]) -> bool {
        false
    }
}

/// An index of these paths, each with an id of one byte again and again.
fn index(format: Format, files: &[(&str, u8)]) -> Vec<u8> {
    let length = if format == Format::Sha1 { 20 } else { 32 };
    let mut out = b"DIRC\0\0\0\x02".to_vec();
    out.extend((files.len() as u32).to_be_bytes());
    for (path, id) in files {
        let begin = out.len();
        out.extend([0; 40]);
        out.extend(vec![*id; length]);
        out.extend((path.len() as u16).to_be_bytes());
        out.extend(path.as_bytes());
        out.push(0);
        while !(out.len() - begin).is_multiple_of(8) {
            out.push(0);
        }
    }
    out.extend(vec![0; length]);
    out
}

fn told(format: Format, was: &[u8], now: &[u8]) -> Told {
    let own = HashMap::from([(b"p/own".to_vec(), vec![9; 20])]);
    let now = Now {
        bytes: now,
        format,
        own: &own,
        tips: &[],
        head: None,
    };
    judge(&mut Reader::new(Empty), &mut P, was, &now)
}

#[test]
fn only_what_is_new_and_protected_is_told() {
    for format in [Format::Sha1, Format::Sha256] {
        let was = index(format, &[("a", 1), ("p/a", 1), ("p/b", 1)]);
        let now = index(format, &[("a", 2), ("p/a", 1), ("p/b", 2), ("p/c", 1)]);
        let found = told(format, &was, &now);
        assert_eq!(
            found.content,
            BTreeSet::from([b"p/b".to_vec(), b"p/c".to_vec()])
        );
        assert_eq!(found.unknown, None);
        assert_eq!(told(format, &now, &now), Told::default());
        // Nothing was staged at all.
        assert_eq!(told(format, b"", &now).content.len(), 3);
    }
    let now = index(Format::Sha1, &[("p/own", 9), ("p/x", 9)]);
    let found = told(Format::Sha1, b"", &now);
    assert_eq!(found.content, BTreeSet::from([b"p/x".to_vec()]));
}

/// Seeded: bytes changed, cut and doubled. Whatever comes of it ends, and an index that says less is said not to be whole.
#[test]
fn broken_indexes_end() {
    let was = index(Format::Sha1, &[("p/a", 1)]);
    let whole = index(
        Format::Sha1,
        &[("a", 1), ("p/a", 1), ("p/b/c", 2), ("z/", 3)],
    );
    let mut next = dice();
    for _ in 0..20_000 {
        let bytes = damaged(&whole, &mut next);
        for format in [Format::Sha1, Format::Sha256] {
            let found = told(format, &was, &bytes);
            assert!(found.content.len() <= FINDINGS);
        }
    }
    for at in 1..whole.len() - 20 {
        let found = told(Format::Sha1, &was, &whole[..at]);
        assert!(found.unknown.is_some(), "{at}");
    }
}

/// Git asks neither for the version of an extended entry nor for the end of a name: an index that says one thing to git and another
/// one here is none that is understood.
#[test]
fn an_index_that_git_reads_otherwise_is_not_understood() {
    let plain = index(Format::Sha1, &[("p/a", 1), ("b", 2)]);
    assert!(listed(&plain, Format::Sha1).whole);
    // The flags of the first entry, behind the header, what stat(2) said and the id.
    let at = 12 + 40 + 20;
    let mut shorter = plain.clone();
    shorter[at + 1] = 1;
    assert!(!listed(&shorter, Format::Sha1).whole);
    let mut extended = plain.clone();
    extended[at] |= 0x40;
    assert!(!listed(&extended, Format::Sha1).whole);
    // As git reads it: two more bytes of flags, and the name behind them.
    let mut extended = b"DIRC\0\0\0\x02\0\0\0\x01".to_vec();
    extended.extend([0; 60]);
    extended.extend(b"\x40\x03\x40\0p/a\0\0\0\0\0");
    extended.extend([0; 20]);
    let listed = listed(&extended, Format::Sha1);
    assert!(listed.whole && listed.unseen.contains(b"p/a".as_slice()));
}
