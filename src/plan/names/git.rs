//! What a git directory is: not a name but a shape. Whatever has a `HEAD`, `objects` and `refs` in it is one for git, under
//! any name (`x.git`, `.git/modules/NAME`, what a `.git` file or `commondir` points to), and git runs what its configuration and
//! its hooks say. Pure.

#![forbid(unsafe_code)]

use std::path::Path;

/// What the names in a directory say about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape(u8);

impl Shape {
    const HEAD: u8 = 1;
    const OBJECTS: u8 = 2;
    const REFS: u8 = 4;
    const COMMON: u8 = 8;

    /// The names that decide.
    pub const NAMES: [&'static str; 4] = ["HEAD", "objects", "refs", "commondir"];

    /// A name that is there.
    pub fn see(&mut self, name: &[u8]) {
        self.0 |= match name {
            b"HEAD" => Shape::HEAD,
            b"objects" => Shape::OBJECTS,
            b"refs" => Shape::REFS,
            b"commondir" => Shape::COMMON,
            _ => 0,
        };
    }

    /// Does git take it for a git directory? With `commondir` the rest is in the directory that it names.
    #[must_use]
    pub fn is_git(self) -> bool {
        let has = |bits| self.0 & bits == bits;
        has(Shape::HEAD | Shape::COMMON) || has(Shape::HEAD | Shape::OBJECTS | Shape::REFS)
    }

    /// Is it one of the names that decide?
    #[must_use]
    pub fn decides(name: &[u8]) -> bool {
        Shape::NAMES.iter().any(|known| known.as_bytes() == name)
    }
}

/// Does a path go through a directory that is called `.git`?
#[must_use]
pub fn in_dot_git(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == ".git")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_directory_is_known_by_what_is_in_it() {
        for (names, is) in [
            ("HEAD objects refs", true),
            ("HEAD objects refs config hooks", true),
            ("HEAD commondir", true),
            ("HEAD objects", false),
            ("HEAD refs", false),
            ("objects refs commondir", false),
            ("head objects refs", false),
            ("", false),
        ] {
            let mut shape = Shape::default();
            for name in names.split_whitespace() {
                shape.see(name.as_bytes());
            }
            assert_eq!(shape.is_git(), is, "{names}");
        }
    }
}
