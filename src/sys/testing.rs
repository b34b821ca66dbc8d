//! What several tests need.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A directory that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new empty directory (0700) with a canonical path.
pub(crate) fn scratch(name: &str) -> Scratch {
    use std::os::unix::fs::DirBuilderExt;
    let unique = u64::from_le_bytes(super::random::bytes().unwrap());
    let parent = std::env::temp_dir().canonicalize().unwrap();
    let path = parent.join(format!("agentbox-test-{name}-{unique:016x}"));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .unwrap();
    Scratch(path)
}
