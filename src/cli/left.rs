//! Files of the working copy, as an agent may have left them: one that never ends or never begins (a link to /dev/zero, a fifo) must
//! not hold who reads it.

#![forbid(unsafe_code)]

use crate::host::open_regular;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// The most bytes that are read.
const MAX: u64 = 4 << 20;

/// The text of a regular file.
///
/// # Errors
/// It cannot be read, is none, or is larger than anything that a human writes.
pub(super) fn text(path: &Path) -> Result<String> {
    let file = open_regular(path)?;
    let mut text = String::new();
    let read = file.take(MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX) {
        return Ok(text);
    }
    Err(Error::new(ErrorKind::InvalidInput, "larger than 4 MiB"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::profile::testing::Dir;
    use nix::sys::stat::Mode;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_never_ends_or_never_begins_holds_nobody() {
        let dir = Dir::new();
        let at = |name: &str| dir.path(name);
        std::fs::write(at("plain"), "text").unwrap();
        symlink(at("plain"), at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        let large = File::create(at("large")).unwrap();
        large.set_len(MAX + 1).unwrap();
        for name in ["plain", "link"] {
            assert_eq!(text(&at(name)).unwrap(), "text");
        }
        for name in ["zero", "fifo", "large", "."] {
            let kind = text(&at(name)).map_err(|e| e.kind());
            assert_eq!(kind, Err(ErrorKind::InvalidInput), "{name}");
        }
        assert_eq!(text(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
