//! [`Pretend`]: a host on which some files are there that may not be: what a profile says of `~/.aws/credentials` can be asked
//! on a machine that has none.

#![forbid(unsafe_code)]

use super::{FileType, Lookup, Stat, Want};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The real file system, and what is pretended.
pub struct Pretend<'l> {
    real: &'l dyn Lookup,
    files: BTreeMap<PathBuf, FileType>,
    owner: (u32, u32),
}

impl<'l> Pretend<'l> {
    /// Nothing is pretended yet. What will be belongs to that uid and gid.
    #[must_use]
    pub fn new(real: &'l dyn Lookup, owner: (u32, u32)) -> Pretend<'l> {
        Pretend {
            real,
            files: BTreeMap::new(),
            owner,
        }
    }

    /// A directory, with everything above it. What is there stays as it is.
    pub fn dir(&mut self, path: &Path) {
        self.add(path, FileType::Dir);
    }

    /// A file that is empty, readable and executable, in its directory.
    pub fn file(&mut self, path: &Path) {
        self.add(path, FileType::File);
    }

    fn add(&mut self, path: &Path, file_type: FileType) {
        if let Some(dir) = path.parent()
            && self.real.stat(dir).is_none()
            && !self.files.contains_key(dir)
        {
            self.add(dir, FileType::Dir);
        }
        if self.real.lstat(path).is_none() {
            self.files.insert(path.to_owned(), file_type);
        }
    }

    fn pretended(&self, path: &Path) -> Option<Stat> {
        let file_type = *self.files.get(path)?;
        let number = self.files.keys().position(|known| known == path);
        Some(Stat {
            file_type,
            mode: 0o755,
            uid: self.owner.0,
            gid: self.owner.1,
            // No real device has this number, and no two of these files are the same one.
            dev: u64::MAX,
            ino: number.and_then(|at| u64::try_from(at).ok()).unwrap_or(0),
            nlink: 1,
        })
    }
}

impl Lookup for Pretend<'_> {
    fn stat(&self, path: &Path) -> Option<Stat> {
        self.pretended(path).or_else(|| self.real.stat(path))
    }

    fn lstat(&self, path: &Path) -> Option<Stat> {
        self.pretended(path).or_else(|| self.real.lstat(path))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        self.real.read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> Option<PathBuf> {
        if !self.files.contains_key(path) {
            return self.real.canonicalize(path);
        }
        Some(self.canonicalize(path.parent()?)?.join(path.file_name()?))
    }

    fn read_dir(&self, path: &Path) -> Vec<OsString> {
        let mut names = self.real.read_dir(path);
        let below = self.files.keys().filter(|file| file.parent() == Some(path));
        names.extend(below.filter_map(|file| file.file_name().map(OsString::from)));
        names.sort();
        names.dedup();
        names
    }

    fn read(&self, path: &Path, max: usize) -> Option<Vec<u8>> {
        match self.files.get(path) {
            Some(FileType::File) => Some(Vec::new()),
            Some(_) => None,
            None => self.real.read(path, max),
        }
    }

    fn permits(&self, path: &Path, want: Want) -> bool {
        self.files.contains_key(path) || self.real.permits(path, want)
    }

    fn executable(&self, path: &Path) -> bool {
        self.files.contains_key(path) || self.real.executable(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::RealLookup;

    #[test]
    fn what_is_pretended_is_there_and_the_rest_is_real() {
        let mut look = Pretend::new(&RealLookup, (1000, 1000));
        let file = Path::new("/nowhere-at-all/a/b");
        assert!(look.stat(file).is_none());
        look.file(file);
        assert_eq!(look.stat(file).unwrap().file_type, FileType::File);
        assert_eq!(
            look.stat(Path::new("/nowhere-at-all")).unwrap().file_type,
            FileType::Dir
        );
        assert_eq!(look.canonicalize(file).unwrap(), file);
        assert_eq!(look.read_dir(Path::new("/nowhere-at-all/a")), ["b"]);
        assert!(
            look.read_dir(Path::new("/"))
                .contains(&"nowhere-at-all".into())
        );
        assert!(
            look.stat(Path::new("/usr")).is_some(),
            "the real ones as they are"
        );
        look.dir(Path::new("/usr"));
        assert_ne!(look.stat(Path::new("/usr")).unwrap().dev, u64::MAX);
    }
}
