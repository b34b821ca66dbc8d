//! Objects of a git store: loose ones, and packs with their deltas (gitformat-pack(5)). Pure: the bytes come from [`Bytes`].
//! All of it may be the agent's work, so every number is looked at before it is believed, and the whole is bounded.

#![forbid(unsafe_code)]

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use sha1::{Digest as _, Sha1};
use std::collections::HashMap;

/// The name of an object: SHA-1.
pub(super) type Id = [u8; 20];

/// The largest object that is read.
const LARGEST: usize = 16 << 20;
/// The longest chain of deltas; git makes 50.
const CHAIN: u32 = 512;
/// The most objects of one look.
const OBJECTS: u32 = 50_000;

/// Where the bytes are.
pub(super) trait Bytes {
    /// The file of a loose object.
    fn loose(&mut self, id: &Id) -> Option<Vec<u8>>;
    /// A part of a pack's index; less than was asked for where it ends.
    fn index(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>>;
    /// A part of a pack.
    fn pack(&mut self, pack: u32, at: u64, length: u32) -> Option<Vec<u8>>;
    /// How many packs there are.
    fn packs(&self) -> u32;
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// Why there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is not in the store, or not to be understood.
    Object,
    /// More than one look may read.
    Bounded,
}

/// Reads objects.
pub(super) struct Reader<B> {
    pub(super) bytes: B,
    left: u32,
    /// Where in each pack's index the ids begin with which byte.
    fans: HashMap<u32, Vec<u8>>,
}

impl<B: Bytes> Reader<B> {
    pub(super) fn new(bytes: B) -> Reader<B> {
        Reader {
            bytes,
            left: OBJECTS,
            fans: HashMap::new(),
        }
    }

    /// One object.
    pub(super) fn read(&mut self, id: &Id) -> Result<(Kind, Vec<u8>), Missing> {
        self.left = self.left.checked_sub(1).ok_or(Missing::Bounded)?;
        let found = match self.bytes.loose(id) {
            Some(file) => loose(&file),
            None => self.packed(id),
        };
        // The store is the agent's to write: an id that was known before leads to what it was then, or nowhere.
        found
            .filter(|(kind, content)| name_of(*kind, content) == *id)
            .ok_or(Missing::Object)
    }

    fn packed(&mut self, id: &Id) -> Option<(Kind, Vec<u8>)> {
        for pack in 0..self.bytes.packs() {
            if let Some(at) = self.find(pack, id) {
                return self.entry(pack, at, CHAIN);
            }
        }
        None
    }

    /// Where in a pack an object is.
    fn find(&mut self, pack: u32, id: &Id) -> Option<u64> {
        const FAN: u64 = 8;
        const IDS: u64 = FAN + 1024;
        if !self.fans.contains_key(&pack) {
            let fan = self.bytes.index(pack, 0, 8 + 1024)?;
            self.fans.insert(pack, fan);
        }
        let fan = self.fans.get(&pack)?;
        if fan.get(..8)? != [0xff, b't', b'O', b'c', 0, 0, 0, 2] {
            return None;
        }
        let count = |byte: usize| -> Option<u64> { be32(fan.get(8 + byte * 4..)?) };
        let first = usize::from(*id.first()?);
        let mut low = match first.checked_sub(1) {
            Some(before) => count(before)?,
            None => 0,
        };
        let mut high = count(first)?;
        let all = count(255)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.bytes.index(pack, IDS + middle * 20, 20)?;
            match found.as_slice().cmp(id.as_slice()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let offsets = IDS + all * 24;
                    let short = self.bytes.index(pack, offsets + middle * 4, 4)?;
                    let short = be32(&short)?;
                    if short & 0x8000_0000 == 0 {
                        return Some(short);
                    }
                    let large = offsets + all * 4 + (short & 0x7fff_ffff) * 8;
                    let large = self.bytes.index(pack, large, 8)?;
                    return Some(u64::from_be_bytes(large.try_into().ok()?));
                }
            }
        }
        None
    }

    /// The object at that place of a pack.
    fn entry(&mut self, pack: u32, at: u64, chain: u32) -> Option<(Kind, Vec<u8>)> {
        let chain = chain.checked_sub(1)?;
        let head = self.bytes.pack(pack, at, 64)?;
        let mut bytes = head.iter();
        let mut used = 0u64;
        let mut byte = || {
            used += 1;
            bytes.next().copied()
        };
        let first = byte()?;
        let mut size = usize::from(first & 0x0f);
        let (mut more, mut shift) = (first & 0x80 != 0, 4u32);
        while more {
            let next = byte()?;
            size |= usize::from(next & 0x7f).checked_shl(shift)?;
            (more, shift) = (next & 0x80 != 0, shift + 7);
        }
        if size > LARGEST {
            return None;
        }
        let kind = match (first >> 4) & 7 {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Blob,
            4 => Kind::Tag,
            6 => {
                let mut next = byte()?;
                let mut back = u64::from(next & 0x7f);
                while next & 0x80 != 0 {
                    next = byte()?;
                    back = back.checked_add(1)?.checked_mul(128)? | u64::from(next & 0x7f);
                }
                let delta = self.inflate(pack, at + used, size)?;
                let (kind, base) =
                    self.entry(pack, at.checked_sub(back).filter(|_| back > 0)?, chain)?;
                return Some((kind, patched(&base, &delta)?));
            }
            7 => {
                let mut base = [0; 20];
                for slot in &mut base {
                    *slot = byte()?;
                }
                let delta = self.inflate(pack, at + used, size)?;
                // Only within one pack: what git leaves on a disk is complete.
                let place = self.find(pack, &base)?;
                let (kind, base) = self.entry(pack, place, chain)?;
                return Some((kind, patched(&base, &delta)?));
            }
            _ => return None,
        };
        Some((kind, self.inflate(pack, at + used, size)?))
    }

    /// The bytes of a compressed stream of which only the length behind it is known.
    fn inflate(&mut self, pack: u32, at: u64, size: usize) -> Option<Vec<u8>> {
        let mut length = u32::try_from(size / 2 + 1024).ok()?;
        loop {
            let part = self.bytes.pack(pack, at, length)?;
            let all = part.len() < usize::try_from(length).ok()?;
            match decompress_to_vec_zlib_with_limit(&part, size) {
                Ok(out) => return (out.len() == size).then_some(out),
                // More of it, unless that was all.
                Err(_) if !all && length < 64 << 20 => length *= 2,
                Err(_) => return None,
            }
        }
    }
}

/// The id of an object with that content.
fn name_of(kind: Kind, content: &[u8]) -> Id {
    let kind = match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::Blob => "blob",
        Kind::Tag => "tag",
    };
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", content.len()));
    hash.update(content);
    hash.finalize().into()
}

fn be32(bytes: &[u8]) -> Option<u64> {
    Some(u64::from(u32::from_be_bytes(
        bytes.get(..4)?.try_into().ok()?,
    )))
}

/// `KIND LENGTH\0CONTENT`, compressed.
fn loose(file: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let mut bytes = decompress_to_vec_zlib_with_limit(file, LARGEST + 64).ok()?;
    let end = bytes.iter().take(64).position(|byte| *byte == 0)?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let (kind, length) = head.split_once(' ')?;
    let kind = match kind {
        "commit" => Kind::Commit,
        "tree" => Kind::Tree,
        "blob" => Kind::Blob,
        "tag" => Kind::Tag,
        _ => return None,
    };
    let length: usize = length.parse().ok()?;
    let content = bytes.split_off(end + 1);
    (content.len() == length).then_some((kind, content))
}

/// What a delta makes of its base.
fn patched(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = delta.iter().copied();
    let mut length = || -> Option<usize> {
        let (mut value, mut shift) = (0usize, 0u32);
        loop {
            let byte = bytes.next()?;
            value |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    };
    let (from, to) = (length()?, length()?);
    if from != base.len() || to > LARGEST {
        return None;
    }
    let mut out = Vec::with_capacity(to);
    while let Some(op) = bytes.next() {
        if op & 0x80 != 0 {
            let mut number = |bits: u8, count: u32| -> Option<usize> {
                let mut value = 0usize;
                for at in 0..count {
                    if bits & (1 << at) != 0 {
                        value |= usize::from(bytes.next()?) << (8 * at);
                    }
                }
                Some(value)
            };
            let offset = number(op & 0x0f, 4)?;
            let size = match number((op >> 4) & 7, 3)? {
                0 => 0x10000,
                size => size,
            };
            out.extend(base.get(offset..offset.checked_add(size)?)?);
        } else if op != 0 {
            for _ in 0..op {
                out.push(bytes.next()?);
            }
        } else {
            return None;
        }
        if out.len() > to {
            return None;
        }
    }
    (out.len() == to).then_some(out)
}

/// Forty hexadecimal digits as an id.
pub(super) fn id_of(text: &[u8]) -> Option<Id> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut id = [0; 20];
    if text.len() != 40 {
        return None;
    }
    for (slot, pair) in id.iter_mut().zip(text.chunks(2)) {
        let [high, low] = pair else { return None };
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(id)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
