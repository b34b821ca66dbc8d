//! [`PathMap`]: paths in the order of their components, parents first, compared by bytes. A `BTreeMap<PathBuf>` takes both
//! paths apart at each comparison, and that was a third of what resolving a policy cost.

#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A sorted map of some hundred paths at most. Its keys are absolute, without "." and doubled slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathMap<V> {
    entries: Vec<(PathBuf, V)>,
}

impl<V> Default for PathMap<V> {
    fn default() -> Self {
        PathMap {
            entries: Vec::new(),
        }
    }
}

impl<V> PathMap<V> {
    pub(super) fn new() -> Self {
        PathMap::default()
    }

    fn find(&self, path: &Path) -> Result<usize, usize> {
        self.entries.binary_search_by(|(at, _)| order(at, path))
    }

    pub(super) fn get(&self, path: &Path) -> Option<&V> {
        self.get_key_value(path).map(|(_, value)| value)
    }

    pub(super) fn get_key_value(&self, path: &Path) -> Option<(&PathBuf, &V)> {
        let at = self.find(path).ok()?;
        self.entries.get(at).map(|(path, value)| (path, value))
    }

    pub(super) fn contains_key(&self, path: &Path) -> bool {
        self.find(path).is_ok()
    }

    /// Replaces what was there.
    pub(super) fn insert(&mut self, path: PathBuf, value: V) {
        match self.find(&path) {
            Ok(at) => {
                if let Some((_, old)) = self.entries.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) => self.entries.insert(at, (path, value)),
        }
    }

    /// What is there; if there is nothing, the value is put there first.
    pub(super) fn get_or_insert_with(
        &mut self,
        path: &Path,
        make: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        let at = match self.find(path) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (path.to_owned(), make()));
                at
            }
        };
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Changes what is there by `change`; if there is nothing, puts the value there. It is handed to whichever is right.
    pub(super) fn merge(&mut self, path: PathBuf, value: V, change: impl FnOnce(&mut V, V)) {
        match self.find(&path) {
            Ok(at) => {
                if let Some((_, old)) = self.entries.get_mut(at) {
                    change(old, value);
                }
            }
            Err(at) => self.entries.insert(at, (path, value)),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &PathBuf> {
        self.entries.iter().map(|(path, _)| path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathBuf, &V)> {
        self.entries.iter().map(|(path, value)| (path, value))
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        self.entries.retain(|(path, _)| keep(path));
    }
}

impl<V> IntoIterator for PathMap<V> {
    type Item = (PathBuf, V);
    type IntoIter = std::vec::IntoIter<(PathBuf, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// Hashes names of files for tables that live for one resolution: multiply and rotate, eight bytes at a time. Collisions that somebody made up
/// would cost that somebody's own start some time, nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByBytes;

/// The state of [`ByBytes`].
pub(super) struct Bytes(u64);

impl BuildHasher for ByBytes {
    type Hasher = Bytes;

    fn build_hasher(&self) -> Bytes {
        Bytes(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        let mut step = |word: u64| {
            // The rotation brings the upper bits, where the multiplication mixes best, to the lower ones.
            self.0 = (self.0 ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        };
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            step(u64::from_le_bytes(*word));
        }
        for byte in rest {
            step(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// As `Path::cmp` orders absolute paths without "." and doubled slashes: a slash is less than every other byte, since a
/// component that ends is less than one that goes on.
fn order(a: &Path, b: &Path) -> Ordering {
    let (a, b) = (a.as_os_str().as_bytes(), b.as_os_str().as_bytes());
    // Most of what is compared shares a long beginning: eight bytes at a time.
    let (words_a, _) = a.as_chunks::<8>();
    let (words_b, _) = b.as_chunks::<8>();
    let same = words_a
        .iter()
        .zip(words_b)
        .take_while(|(x, y)| x == y)
        .count()
        * 8;
    let rest_a = a.get(same..).unwrap_or_default();
    let rest_b = b.get(same..).unwrap_or_default();
    match rest_a.iter().zip(rest_b).find(|(x, y)| x != y) {
        None => a.len().cmp(&b.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((x, y)) => x.cmp(y),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    /// Every absolute path of at most three components of this alphabet; with bytes below, at and above the slash.
    fn paths() -> Vec<PathBuf> {
        let names = [
            "a",
            "a.b",
            "a!",
            "ab",
            "a0",
            "B",
            "\u{1}",
            "longer-than-8",
            "longer-than-9",
        ];
        let mut all = vec![PathBuf::from("/")];
        let mut level = all.clone();
        for _ in 0..3 {
            level = level
                .iter()
                .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
                .collect();
            all.extend(level.iter().cloned());
        }
        all
    }

    #[test]
    fn the_order_is_that_of_paths() {
        let all = paths();
        for (i, a) in all.iter().enumerate() {
            // Each with every seventh: all pairs would be half a million.
            for b in all.iter().skip(i % 7).step_by(7) {
                assert_eq!(order(a, b), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn it_is_a_map() {
        let (mut ours, mut theirs) = (PathMap::new(), BTreeMap::new());
        for (i, path) in paths().into_iter().enumerate().rev() {
            if i % 3 == 0 {
                ours.insert(path.clone(), i);
                theirs.insert(path, i);
            }
        }
        let again = PathBuf::from("/");
        ours.merge(again.clone(), 5, |old, new| *old += new);
        theirs.entry(again).and_modify(|old| *old += 5).or_insert(5);
        *ours
            .get_or_insert_with(Path::new("/new/place"), || 1)
            .unwrap() += 1;
        theirs.insert("/new/place".into(), 2);
        ours.retain(|path| !path.ends_with("ab"));
        theirs.retain(|path, _| !path.ends_with("ab"));
        assert!(ours.iter().eq(theirs.iter()));
        for path in paths() {
            assert_eq!(ours.get(&path), theirs.get(&path), "{path:?}");
            assert_eq!(ours.contains_key(&path), theirs.contains_key(&path));
        }
        assert!(ours.into_iter().eq(theirs));
    }
}
