//! References in git's other format: `reftable` (gitformat-reftable, Documentation/technical/reftable.adoc of git). A stack of
//! tables, each with sorted names in blocks. All of it may be the agent's work: what git would look up by an index or by the
//! restarts of a block has to be what is there in order, else nothing is read.

#![forbid(unsafe_code)]

use super::reader::offset;
use crate::keeper::files;
use crate::plan::text::hex;
use nix::fcntl::openat;
use nix::sys::stat::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};

/// The directory of a stack.
pub(super) const DIR: &str = "reftable";
/// Its tables, from the oldest to the youngest.
const LIST: &str = "tables.list";

/// The most tables of a stack; git keeps it below ten.
const TABLES: usize = 256;
/// The largest table: some 200,000 references.
const LARGEST: u64 = 16 << 20;
/// The most names of a table.
const NAMES: usize = 400_000;
/// Git replaces the tables while it packs them.
const TRIES: u32 = 5;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An object, in hexadecimal digits.
    Id(String),
    /// Another name.
    Symbolic(String),
}

/// All names of the stack in a git directory. `None` if there is one that is not understood; nothing if there is none.
pub(super) fn read(git: BorrowedFd<'_>) -> Option<BTreeMap<String, Value>> {
    if !files::exists(git, OsStr::new(DIR)) {
        return Some(BTreeMap::new());
    }
    (0..TRIES).find_map(|_| stack(git))
}

fn stack(git: BorrowedFd<'_>) -> Option<BTreeMap<String, Value>> {
    let dir = openat(git, DIR, files::DIR, Mode::empty()).ok()?;
    let (list, _) = files::read(dir.as_fd(), OsStr::new(LIST)).ok()??;
    let mut all = BTreeMap::new();
    let list = std::str::from_utf8(&list).ok()?;
    for name in list.lines().take(TABLES + 1).enumerate() {
        let (number, name) = name;
        // A name of its own directory, and no way out of it.
        if number == TABLES || name.is_empty() || name.contains('/') || name.starts_with('.') {
            return None;
        }
        let (bytes, stat) = files::read_most(dir.as_fd(), OsStr::new(name), LARGEST).ok()??;
        if u64::try_from(stat.st_size).ok()? > LARGEST {
            return None;
        }
        for (name, value) in table(&bytes)? {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(&name),
            };
        }
    }
    Some(all)
}

/// The names of one table; `None` is one that is gone.
type Records = Vec<(String, Option<Value>)>;

/// What a block of names was, for whoever looks it up.
struct Block {
    at: usize,
    last: String,
}

fn table(file: &[u8]) -> Option<Records> {
    let version = *file.get(4)?;
    let (head, ids) = match (file.get(..4)?, version) {
        (b"REFT", 1) => (24, 20),
        (b"REFT", 2) => match file.get(24..28)? {
            b"sha1" => (28, 20),
            b"s256" => (28, 32),
            _ => return None,
        },
        _ => return None,
    };
    // The header again, five places of sections, a checksum.
    let foot = file.len().checked_sub(head + 5 * 8 + 4)?;
    if file.get(foot..foot + head)? != file.get(..head)? {
        return None;
    }
    let place = |number: usize| {
        let at = foot + head + number * 8;
        usize::try_from(u64::from_be_bytes(file.get(at..at + 8)?.try_into().ok()?)).ok()
    };
    let index = place(0)?;
    let size = usize::try_from(be(file.get(5..8)?)).ok()?;
    let body = file.get(..foot)?;
    let (mut records, mut blocks) = (Records::new(), Vec::new());
    let mut at = 0;
    loop {
        // The first block begins with the file: its numbers count from there.
        let start = if at == 0 { head } else { at };
        if body.get(start) != Some(&b'r') {
            break;
        }
        let length = usize::try_from(be(body.get(start + 1..start + 4)?)).ok()?;
        let block = body.get(at..at.checked_add(length)?)?;
        names(block, start - at, ids, &mut records)?;
        let last = records.last()?.0.clone();
        blocks.push(Block { at, last });
        at += if size == 0 { length } else { size };
        if records.len() > NAMES || length == 0 || (size != 0 && length > size) {
            return None;
        }
    }
    let sorted = records.windows(2).all(|pair| match pair {
        [(a, _), (b, _)] => a < b,
        _ => true,
    });
    let found = match index {
        0 => true,
        index => leads_there(body, index, size, &blocks)?,
    };
    (sorted && found).then_some(records)
}

/// The places of a block: where its records end, and where reading may begin.
struct Places {
    end: usize,
    restarts: BTreeSet<usize>,
}

fn places(block: &[u8]) -> Option<Places> {
    let tail = block.len().checked_sub(2)?;
    let count = usize::try_from(be(block.get(tail..)?)).ok()?;
    let end = tail.checked_sub(count.checked_mul(3)?)?;
    let restarts = block.get(end..tail)?.chunks(3);
    let restarts = restarts.map(|place| usize::try_from(be(place)).ok());
    Some(Places {
        end,
        restarts: restarts.collect::<Option<_>>()?,
    })
}

/// Reads the records of one block, whose own head is at `start` of it.
fn names(block: &[u8], start: usize, ids: usize, out: &mut Records) -> Option<()> {
    let Places { end, restarts } = places(block)?;
    let (mut at, mut last) = (start + 4, Vec::new());
    let mut whole = BTreeSet::new();
    while at < end {
        let place = at;
        let kind = key(block, &mut at, &mut last, |prefix| {
            if prefix == 0 {
                whole.insert(place);
            }
        })?;
        varint(block, &mut at)?;
        let mut take = |length: usize| {
            let bytes = block.get(at..at.checked_add(length)?)?;
            at += length;
            Some(bytes)
        };
        let value = match kind {
            0 => None,
            1 => Some(Value::Id(hex(take(ids)?))),
            2 => {
                let id = hex(take(ids)?);
                take(ids)?;
                Some(Value::Id(id))
            }
            3 => {
                let length = usize::try_from(varint(block, &mut at)?).ok()?;
                let name = block.get(at..at.checked_add(length)?)?;
                at += length;
                Some(Value::Symbolic(String::from_utf8(name.to_vec()).ok()?))
            }
            _ => return None,
        };
        out.push((String::from_utf8(last.clone()).ok()?, value));
    }
    (at == end && restarts.is_subset(&whole)).then_some(())
}

/// Does an index lead to these blocks, and nowhere else? One of several levels is not read.
fn leads_there(body: &[u8], index: usize, size: usize, blocks: &[Block]) -> Option<bool> {
    let mut wanted = blocks.iter();
    let mut at = index;
    loop {
        let length = usize::try_from(be(body.get(at + 1..at.checked_add(4)?)?)).ok()?;
        index_block(body.get(at..at.checked_add(length)?)?, &mut wanted)?;
        at = at.checked_add(if size == 0 { length } else { size })?;
        if length == 0 || body.get(at) != Some(&b'i') {
            return Some(wanted.next().is_none());
        }
    }
}

fn index_block<'a>(block: &[u8], wanted: &mut impl Iterator<Item = &'a Block>) -> Option<()> {
    if block.first() != Some(&b'i') {
        return None;
    }
    let Places { end, restarts } = places(block)?;
    let (mut at, mut last) = (4, Vec::new());
    let mut whole = BTreeSet::new();
    while at < end {
        let place = at;
        key(block, &mut at, &mut last, |prefix| {
            if prefix == 0 {
                whole.insert(place);
            }
        })?;
        let to = usize::try_from(varint(block, &mut at)?).ok()?;
        let block = wanted.next()?;
        if block.at != to || block.last.as_bytes() != last {
            return None;
        }
    }
    (at == end && restarts.is_subset(&whole)).then_some(())
}

/// The next name, of which only the end is written: `last` becomes it. Returns the three bits beside its length.
fn key(
    block: &[u8],
    at: &mut usize,
    last: &mut Vec<u8>,
    prefix_is: impl FnOnce(usize),
) -> Option<u64> {
    let prefix = usize::try_from(varint(block, at)?).ok()?;
    let both = varint(block, at)?;
    let suffix = usize::try_from(both >> 3).ok()?;
    let end = at.checked_add(suffix)?;
    if prefix > last.len() {
        return None;
    }
    prefix_is(prefix);
    last.truncate(prefix);
    last.extend(block.get(*at..end)?);
    *at = end;
    Some(both & 7)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    offset(&mut || {
        let byte = *bytes.get(*at)?;
        *at += 1;
        Some(byte)
    })
}

fn be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
#[path = "reftable_tests.rs"]
mod tests;
