//! Whole paths: what the rules of a root say of one below it, and whether it is searched at all.

#![forbid(unsafe_code)]

use super::NameKind;
use super::matcher::{Matcher, heavy};
use crate::plan::Kind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Does this way down from `top` lead through a directory that is never searched?
#[must_use]
pub fn is_never_searched(top: &Path, way: &Path) -> bool {
    let mut above = top.file_name();
    way.iter().any(|name| {
        let parent = above.replace(name).unwrap_or_default();
        heavy(parent.as_bytes(), name.as_bytes())
    })
}

impl Matcher {
    /// The strongest rule about a path below the root, also one about a directory above it.
    #[must_use]
    pub fn strongest(&self, way: &Path) -> Option<(NameKind, usize)> {
        let mut strongest: Option<(NameKind, usize)> = None;
        let mut cursor = Some(self.start());
        let mut names = way.iter().map(OsStr::as_bytes).peekable();
        while let (Some(at), Some(name)) = (cursor.take(), names.next()) {
            let kind = match names.peek() {
                Some(_) => Kind::Dir,
                None => Kind::File,
            };
            if let Some(said) = self.entry_of(&at, name, kind).strongest()
                && strongest.is_none_or(|known| said.0 < known.0)
            {
                strongest = Some(said);
            }
            cursor = self.enter(&at, name);
        }
        strongest
    }

    /// The rule that may hide what has this path below the root, for its content.
    #[must_use]
    pub fn may_hide(&self, way: &Path) -> Option<usize> {
        let (parent, name) = (way.parent()?, way.file_name()?);
        let mut names = parent.iter();
        let cursor = names.try_fold(self.start(), |at, part| self.enter(&at, part.as_bytes()));
        let said = self.entry_of(&cursor?, name.as_bytes(), Kind::File);
        said.hide_if
    }
}
