//! [`Matcher`]: which rule is about a name. Pure and without an allocation for names that no rule knows: a search asks it
//! for every file of a working copy, and the keeper for every event.

#![forbid(unsafe_code)]

use super::git::in_dot_git;
use super::{Decision, Holds, NameKind, NameRule, Verdict};
use crate::plan::Kind;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Directories that are not searched and not watched: what package managers and builds make, and git's own store. Each is
/// (the name of the directory that holds it, or "" for any; its name).
const HEAVY: [(&str, &str); 17] = [
    ("", "node_modules"),
    ("", ".venv"),
    ("", "__pycache__"),
    ("", ".mypy_cache"),
    ("", ".pytest_cache"),
    ("", ".ruff_cache"),
    ("", ".tox"),
    ("", ".nox"),
    ("", ".gradle"),
    ("", ".pnpm-store"),
    ("", ".turbo"),
    ("target", "debug"),
    ("target", "release"),
    (".git", "objects"),
    (".git", "refs"),
    (".git", "lfs"),
    (".terraform", "providers"),
];

/// Is the directory `name` in `parent` one that is never searched?
#[must_use]
pub fn heavy(parent: &[u8], name: &[u8]) -> bool {
    HEAVY.iter().any(|(above, heavy)| {
        heavy.as_bytes() == name && (above.is_empty() || above.as_bytes() == parent)
    })
}

/// The names of [`heavy`], for people.
#[must_use]
pub fn heavy_names() -> String {
    let names = HEAVY.iter().map(|(above, name)| match *above {
        "" => (*name).to_owned(),
        above => format!("{above}/{name}"),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`
    Deep,
    /// A name without `*`.
    Exact(Vec<u8>),
    /// A name with `*`: the pieces between them.
    Glob(Vec<Vec<u8>>),
}

impl Part {
    fn new(text: &[u8]) -> Part {
        if text == b"**" {
            return Part::Deep;
        }
        let mut pieces: Vec<Vec<u8>> = vec![Vec::new()];
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                b'\\' => bytes.next().unwrap_or(byte),
                other => other,
            };
            if let Some(last) = pieces.last_mut() {
                last.push(*byte);
            }
        }
        match pieces.as_mut_slice() {
            [one] => Part::Exact(std::mem::take(one)),
            _ => Part::Glob(pieces),
        }
    }

    /// As it is written.
    fn text(&self) -> Vec<u8> {
        match self {
            Part::Deep => b"**".to_vec(),
            Part::Exact(name) => literal(name),
            Part::Glob(pieces) => {
                let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| literal(piece)).collect();
                pieces.join(&b'*')
            }
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        match self {
            Part::Deep => true,
            Part::Exact(exact) => exact == name,
            Part::Glob(pieces) => glob(pieces, name),
        }
    }
}

/// Do the pieces come in this order, the first at the start and the last at the end? Linear but for the search of each piece.
fn glob(pieces: &[Vec<u8>], name: &[u8]) -> bool {
    let [first, middle @ .., last] = pieces else {
        return false;
    };
    let Some(mut rest) = name.strip_prefix(first.as_slice()) else {
        return false;
    };
    for piece in middle.iter().filter(|piece| !piece.is_empty()) {
        let Some(at) = rest
            .windows(piece.len())
            .position(|w| w == piece.as_slice())
        else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// One pattern.
struct Compiled {
    /// Its place among the plan's rules.
    rule: usize,
    kind: NameKind,
    verdict: Verdict,
    holds: Option<Holds>,
    parts: Vec<Part>,
}

/// A place in a pattern that the way down to a directory has reached: which pattern, and the part that a name in that
/// directory has to match.
type Place = (u16, u16);

/// Where a search is: the patterns of which a beginning has been passed. Patterns that begin with `**` are always also at
/// their beginning and are not listed for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    places: Vec<Place>,
    way: Way,
}

/// What a directory is entered for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    /// Whatever rules are about.
    #[default]
    Any,
    /// It is never searched, or in one that is not: only what a rule spells out from its root to the name.
    Spelled,
}

impl Cursor {
    /// Is it in a directory that is entered for names only that a rule spells out?
    #[must_use]
    pub fn is_spelled(&self) -> bool {
        self.way == Way::Spelled
    }
}

/// The rules of one root.
pub struct Matcher {
    patterns: Vec<Compiled>,
    /// `**/x...`: those whose first name begins with that byte, and those whose first name begins with `*`, by the last byte;
    /// what has neither is in every list.
    by_first: Vec<Vec<u16>>,
    by_last: Vec<Vec<u16>>,
}

/// The most rules that one root can have.
pub const MOST: usize = u16::MAX as usize;

impl Matcher {
    /// The rules about names below `root`, no more than [`MOST`].
    #[must_use]
    pub fn new(rules: &[NameRule], root: &Path) -> Matcher {
        let patterns: Vec<Compiled> = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.root.path() == root)
            .take(MOST)
            .map(|(index, rule)| Compiled {
                rule: index,
                kind: rule.kind,
                verdict: rule.verdict,
                holds: rule.holds,
                parts: parts(rule.pattern.bytes()),
            })
            .collect();
        let mut matcher = Matcher {
            patterns,
            by_first: vec![Vec::new(); 256],
            by_last: vec![Vec::new(); 256],
        };
        for (pattern, number) in matcher.patterns.iter().zip(0u16..) {
            let [Part::Deep, head, ..] = pattern.parts.as_slice() else {
                continue;
            };
            let (first, last) = match head {
                Part::Exact(name) => (name.first(), None),
                Part::Glob(pieces) => (
                    pieces.first().and_then(|piece| piece.first()),
                    pieces.last().and_then(|piece| piece.last()),
                ),
                Part::Deep => (None, None),
            };
            match (first, last) {
                (Some(byte), _) => push(&mut matcher.by_first, *byte, number),
                (None, Some(byte)) => push(&mut matcher.by_last, *byte, number),
                (None, None) => {
                    for list in &mut matcher.by_first {
                        list.push(number);
                    }
                }
            }
        }
        matcher
    }

    /// No rule is about anything below this root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The root itself.
    #[must_use]
    pub fn start(&self) -> Cursor {
        let numbered = self.patterns.iter().zip(0u16..);
        let plain = numbered.filter(|(pattern, _)| !floats(pattern));
        Cursor {
            places: plain.map(|(_, number)| (number, 0)).collect(),
            way: Way::Any,
        }
    }

    /// The directory `name`, which is in one called `parent`, for who searches or watches: as [`Matcher::enter`], but one that
    /// is [never searched](heavy) only as far as a rule spells out a name in it (`core.hooksPath` in `node_modules/.hooks`).
    #[must_use]
    pub fn search(&self, from: &Cursor, parent: &[u8], name: &[u8]) -> Option<Cursor> {
        let cursor = self.enter(from, name)?;
        if cursor.is_spelled() || !heavy(parent, name) {
            return Some(cursor);
        }
        self.spelled(cursor)
    }

    /// Of a cursor only what rules without `*` go on with; `None` where none does.
    fn spelled(&self, cursor: Cursor) -> Option<Cursor> {
        let pattern = |(number, _): &Place| self.patterns.get(usize::from(*number));
        let mut places = cursor.places;
        places.retain(|place| pattern(place).is_some_and(|pattern| !floats(pattern)));
        let goes_on = places
            .iter()
            .filter_map(pattern)
            .any(|pattern| pattern.verdict == Verdict::Applies && is_spelled(pattern));
        goes_on.then_some(Cursor {
            places,
            way: Way::Spelled,
        })
    }

    /// The directory `name` of the one that `from` is about; `None` where no rule can match anything below it.
    #[must_use]
    pub fn enter(&self, from: &Cursor, name: &[u8]) -> Option<Cursor> {
        let mut next: Vec<Place> = Vec::new();
        self.step(from, name, |number, at, pattern| {
            if at < pattern.parts.len() {
                let place = (number, u16::try_from(at).unwrap_or(u16::MAX));
                if !next.contains(&place) {
                    next.push(place);
                }
            }
        });
        let cursor = Cursor {
            places: next,
            way: from.way,
        };
        if cursor.is_spelled() {
            return self.spelled(cursor);
        }
        let floating = self.patterns.iter().any(floats);
        (floating || !cursor.places.is_empty()).then_some(cursor)
    }

    /// Has a pattern that names directories been entered, so that a link to a directory would have to be followed?
    #[must_use]
    pub fn is_inside(&self, cursor: &Cursor) -> bool {
        !cursor.places.is_empty()
    }

    /// What is left of the patterns that go on in a directory: by the rule, as a pattern of its own. Not of those that may begin there
    /// as anywhere.
    #[must_use]
    pub fn rest(&self, at: &Cursor) -> Vec<(usize, Vec<u8>)> {
        let rest = |(number, from): &Place| {
            let pattern = self.patterns.get(usize::from(*number))?;
            let parts = pattern.parts.get(usize::from(*from)..)?;
            let text: Vec<Vec<u8>> = parts.iter().map(Part::text).collect();
            Some((pattern.rule, text.join(&b'/')))
        };
        at.places.iter().filter_map(rest).collect()
    }

    /// Where a directory is that is a git directory by its [shape](super::git::Shape): also where `.git` is. Outside of
    /// a `.git` only what is tracked counts: such directories are test data as often, and change with their branch.
    #[must_use]
    pub fn as_git(&self, at: &Cursor, dir: &Path) -> Cursor {
        let frozen_too = in_dot_git(dir);
        let mut cursor = at.clone();
        if cursor.is_spelled() {
            return cursor;
        }
        self.step(&Cursor::default(), b".git", |number, at, pattern| {
            let place = (number, u16::try_from(at).unwrap_or(u16::MAX));
            if at < pattern.parts.len()
                && (frozen_too || pattern.kind == NameKind::Track)
                && !cursor.places.contains(&place)
            {
                cursor.places.push(place);
            }
        });
        cursor
    }

    /// What the rules say of `name` in that directory, where it is known what it is: of `.git` only a file is tracked, since
    /// it says where the git directory is.
    #[must_use]
    pub fn entry_of(&self, at: &Cursor, name: &[u8], kind: Kind) -> Decision {
        let mut decision = self.entry(at, name);
        if kind == Kind::Dir && name == b".git" {
            decision.track = None;
        }
        decision
    }

    /// What the rules say of `name` in that directory.
    #[must_use]
    pub fn entry(&self, at: &Cursor, name: &[u8]) -> Decision {
        let mut last: [Option<(usize, Verdict)>; 4] = [None; 4];
        self.step(at, name, |_, at, pattern| {
            if at < pattern.parts.len() {
                return;
            }
            let slot = match (pattern.kind, pattern.verdict, pattern.holds) {
                // Apart: it says nothing where the content is another, and must not stand in for a rule that does.
                (NameKind::Hide, Verdict::Applies, Some(_)) => 3,
                (NameKind::Hide, ..) => 0,
                (NameKind::Freeze, ..) => 1,
                (NameKind::Track, ..) => 2,
            };
            if let Some(slot) = last.get_mut(slot)
                && slot.is_none_or(|(rule, _)| rule < pattern.rule)
            {
                *slot = Some((pattern.rule, pattern.verdict));
            }
        });
        let lift = match last {
            [Some((rule, Verdict::Lifted)), ..] => Some(rule),
            _ => None,
        };
        let [hide, freeze, track, content] = last.map(|found| match found {
            Some((rule, Verdict::Applies)) => Some(rule),
            _ => None,
        });
        Decision {
            hide,
            hide_if: content.filter(|rule| hide.is_none() && lift.is_none_or(|lift| lift < *rule)),
            freeze,
            track,
        }
    }

    /// Calls `each` with every pattern that goes on with `name`, and the part that comes next.
    fn step(&self, from: &Cursor, name: &[u8], mut each: impl FnMut(u16, usize, &Compiled)) {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return;
        };
        let lists = [
            self.by_first.get(usize::from(*first)),
            self.by_last.get(usize::from(*last)),
        ];
        let floating = lists.into_iter().filter(|_| !from.is_spelled());
        for number in floating.flatten().flatten() {
            // Past the `**` at the beginning.
            self.go(*number, 1, name, &mut each);
        }
        for (number, at) in &from.places {
            self.go(*number, usize::from(*at), name, &mut each);
        }
    }

    fn go(
        &self,
        number: u16,
        at: usize,
        name: &[u8],
        each: &mut impl FnMut(u16, usize, &Compiled),
    ) {
        let Some(pattern) = self.patterns.get(usize::from(number)) else {
            return;
        };
        match pattern.parts.get(at) {
            None => {}
            Some(Part::Deep) => {
                // Any number of directories: this one, ...
                each(number, at, pattern);
                // ... or none, so that the next part is about `name`. At the end it stands for everything below.
                match pattern.parts.get(at + 1) {
                    None => each(number, at + 1, pattern),
                    Some(_) => self.go(number, at + 1, name, each),
                }
            }
            Some(part) if part.is(name) => each(number, at + 1, pattern),
            Some(_) => {}
        }
    }
}

fn push(lists: &mut [Vec<u16>], byte: u8, number: u16) {
    if let Some(list) = lists.get_mut(usize::from(byte)) {
        list.push(number);
    }
}

/// Can the pattern begin in any directory?
fn floats(pattern: &Compiled) -> bool {
    matches!(pattern.parts.as_slice(), [Part::Deep, _, ..])
}

/// Is every name of it written out?
fn is_spelled(pattern: &Compiled) -> bool {
    let mut parts = pattern.parts.iter();
    parts.all(|part| matches!(part, Part::Exact(_)))
}

/// The components; several `**` in a row are one.
fn parts(pattern: &[u8]) -> Vec<Part> {
    let mut parts: Vec<Part> = pattern
        .split(|b| *b == b'/')
        .filter(|text| !text.is_empty())
        .map(Part::new)
        .collect();
    parts.dedup_by(|a, b| *a == Part::Deep && *b == Part::Deep);
    parts
}

/// The path that a pattern without `*` names, without its escapes.
#[must_use]
pub fn spelled(pattern: &[u8]) -> PathBuf {
    let names = parts(pattern).into_iter().filter_map(|part| match part {
        Part::Exact(name) => Some(OsString::from_vec(name)),
        Part::Deep | Part::Glob(_) => None,
    });
    names.collect()
}

/// `name` as a pattern that matches nothing else.
#[must_use]
pub fn literal(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        if matches!(byte, b'*' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
#[path = "matcher_tests.rs"]
mod tests;
