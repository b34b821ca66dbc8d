//! Objects of a git store: loose ones, and packs with their deltas (gitformat-pack(5)). Pure: the bytes come from [`Bytes`].
//! All of it may be the agent's work, so every number is looked at before it is believed, and the whole is bounded.

#![forbid(unsafe_code)]

use crate::plan::names::index::Format;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::collections::HashMap;

pub(super) use crate::plan::names::id::Id;

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
            .filter(|(kind, content)| Id::name(id.format(), kind.name(), content) == *id)
            .ok_or(Missing::Object)
    }

    fn packed(&mut self, id: &Id) -> Option<(Kind, Vec<u8>)> {
        for pack in 0..self.bytes.packs() {
            if let Some(at) = self.find(pack, id) {
                return self.entry(pack, at, id.format(), CHAIN);
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
        let id = id.bytes();
        let length = u64::try_from(id.len()).ok()?;
        let first = usize::from(*id.first()?);
        let mut low = match first.checked_sub(1) {
            Some(before) => count(before)?,
            None => 0,
        };
        let mut high = count(first)?;
        let all = count(255)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let at = IDS + middle * length;
            let found = self.bytes.index(pack, at, u32::try_from(length).ok()?)?;
            match found.as_slice().cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    // Behind the ids and a checksum of each.
                    let offsets = IDS + all * (length + 4);
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
    fn entry(&mut self, pack: u32, at: u64, format: Format, chain: u32) -> Option<(Kind, Vec<u8>)> {
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
                let back = offset(&mut byte)?;
                let delta = self.inflate(pack, at + used, size)?;
                let (kind, base) = self.entry(
                    pack,
                    at.checked_sub(back).filter(|_| back > 0)?,
                    format,
                    chain,
                )?;
                return Some((kind, patched(&base, &delta)?));
            }
            7 => {
                let base = (0..format.length()).map(|_| byte());
                let base = Id::of(&base.collect::<Option<Vec<u8>>>()?)?;
                let delta = self.inflate(pack, at + used, size)?;
                // Only within one pack: what git leaves on a disk is complete.
                let place = self.find(pack, &base)?;
                let (kind, base) = self.entry(pack, place, format, chain)?;
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

impl Kind {
    /// As it stands before an object's content.
    fn name(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        }
    }
}

/// A number as a delta says how far back its base is, and as tables of references have all of theirs: each further byte counts
/// from one more.
pub(super) fn offset(next: &mut impl FnMut() -> Option<u8>) -> Option<u64> {
    let mut byte = next()?;
    let mut value = u64::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        byte = next()?;
        value = value.checked_add(1)?.checked_mul(128)? | u64::from(byte & 0x7f);
    }
    Some(value)
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

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
