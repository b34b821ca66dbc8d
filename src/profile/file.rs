//! Opens profile files: regular, small, UTF-8, and not written by somebody whose word does not count.

#![forbid(unsafe_code)]

use super::MAX_SIZE;
use super::error::{Diagnostic, ProfileError};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// How a file came to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Found in a configuration directory: it must belong to the caller or to root, and nobody else may write it.
    Searched {
        /// The caller.
        uid: u32,
    },
    /// The floor: root's, and nobody else may write it.
    Root,
    /// Named on the command line: the caller vouches for it, whoever owns it (a container's checkout has another owner
    /// than its root). Only a file that everybody may write is refused.
    Named,
    /// It may be anybody's: nothing is granted for what it says alone.
    Anybody,
}

/// What is done with a symbolic link as the last component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Followed,
    Refused,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Text {
    /// Its content.
    pub(crate) text: String,
    /// Device and inode: the same file by whatever path.
    pub(crate) id: (u64, u64),
}

/// Reads that file; `None` when there is none (ENOENT, or ENOTDIR on the way).
pub(crate) fn read(path: &Path, trust: Trust) -> Result<Option<Text>, ProfileError> {
    read_with(path, trust, Links::Followed)
}

/// The same, with a word about links.
pub(crate) fn read_with(
    path: &Path,
    trust: Trust,
    links: Links,
) -> Result<Option<Text>, ProfileError> {
    let failed = |call: &'static str, error: &io::Error| ProfileError::Io {
        path: path.to_owned(),
        call,
        errno: error.raw_os_error().unwrap_or(0),
    };
    // O_NONBLOCK: open(2) of a fifo without a writer would wait for ever; it does nothing for a regular file.
    let nofollow = match links {
        Links::Followed => 0,
        Links::Refused => libc::O_NOFOLLOW,
    };
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | nofollow)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Ok(None);
        }
        // What open(2) says of a link that is not followed.
        Err(error) if links == Links::Refused && error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(ProfileError::NotRegular {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(failed("open", &error)),
    };
    // Of the descriptor, not of the path: nothing can be swapped between the look and the use.
    let meta = file.metadata().map_err(|error| failed("fstat", &error))?;
    if !meta.is_file() {
        return Err(ProfileError::NotRegular {
            path: path.to_owned(),
        });
    }
    trusted(path, &meta, trust)?;
    if meta.len() > MAX_SIZE {
        return Err(ProfileError::TooLarge {
            path: path.to_owned(),
            size: meta.len(),
        });
    }
    let bytes = content(&file).map_err(|error| failed("read", &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_SIZE {
        return Err(ProfileError::TooLarge {
            path: path.to_owned(),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Text {
            text,
            id: (meta.dev(), meta.ino()),
        })),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            // Everything before the first bad byte is unchanged by the lossy conversion, so the offset still holds.
            Err(ProfileError::Invalid(vec![Diagnostic::new(
                &path.display().to_string(),
                &text,
                at..at + 1,
                "not UTF-8",
                "TOML is UTF-8",
            )]))
        }
    }
}

/// One byte more than is allowed at most: a file that grows meanwhile is still found out.
fn content(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn trusted(path: &Path, meta: &std::fs::Metadata, trust: Trust) -> Result<(), ProfileError> {
    let no = |why: String, remedy: &str| {
        Err(ProfileError::NotTrusted {
            path: path.to_owned(),
            why,
            remedy: remedy.to_owned(),
        })
    };
    if trust == Trust::Anybody {
        return Ok(());
    }
    let (group, others) = (meta.mode() & 0o020 != 0, meta.mode() & 0o002 != 0);
    if others {
        return no("everybody may write this file".to_owned(), "chmod go-w it");
    }
    if trust == Trust::Root && meta.uid() != 0 {
        return no(
            format!("it belongs to uid {}, not to root", meta.uid()),
            "look at it, then chown it",
        );
    }
    if trust == Trust::Root && group {
        return no(
            format!("the group {} may write this file", meta.gid()),
            "chmod g-w it",
        );
    }
    if let Trust::Searched { uid } = trust {
        if meta.uid() != uid && meta.uid() != 0 {
            return no(
                format!(
                    "it belongs to uid {}, not to you (uid {uid}) or root",
                    meta.uid()
                ),
                match uid {
                    // Most often by `sudo` with the HOME of its user, who could not use it after a chown.
                    0 => "start agentbox as that user, without sudo",
                    _ => "look at what it grants, then chown it",
                },
            );
        }
        if group {
            return no(
                format!("the group {} may write this file", meta.gid()),
                "chmod g-w it",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::profile::testing::Dir;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn mine() -> Trust {
        Trust::Searched {
            uid: nix::unistd::geteuid().as_raw(),
        }
    }

    #[test]
    fn what_is_not_there_is_not_an_error() {
        let dir = Dir::new();
        dir.write("plain", "x");
        assert!(read(&dir.path("none"), mine()).unwrap().is_none());
        assert!(read(&dir.path("plain/below"), mine()).unwrap().is_none());
        assert_eq!(read(&dir.path("plain"), mine()).unwrap().unwrap().text, "x");
    }

    #[test]
    fn who_may_write_it_decides() {
        let dir = Dir::new();
        for (mode, searched, named) in [
            (0o600, true, true),
            (0o644, true, true),
            (0o664, false, true),
            (0o646, false, false),
        ] {
            let path = dir.write("p.toml", "");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, mine()).is_ok(), searched, "{mode:o} searched");
            assert_eq!(read(&path, Trust::Named).is_ok(), named, "{mode:o} named");
        }
        let path = dir.write("q.toml", "");
        let (me, other) = (nix::unistd::geteuid().as_raw(), 12345);
        // Seen by another caller, a file of ours is not trusted, unless we are root.
        let foreign = read(&path, Trust::Searched { uid: other });
        assert_eq!(foreign.is_err(), me != 0, "{foreign:?}");
        if me == 0 {
            chown(&path, Some(other), None).unwrap();
            let error = read(&path, mine()).unwrap_err().to_string();
            assert!(error.contains("uid 12345"), "{error}");
            assert!(read(&path, Trust::Named).is_ok());
        }
    }

    #[test]
    fn what_is_not_a_small_text_is_refused() {
        let dir = Dir::new();
        let text = |result: Result<Option<Text>, ProfileError>| result.unwrap_err().to_string();
        let fifo = dir.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(text(read(&fifo, mine())).contains("not a regular file"));
        assert!(text(read(&dir.path(""), mine())).contains("not a regular file"));
        let big = dir.write("big", &"#".repeat(usize::try_from(MAX_SIZE).unwrap() + 1));
        assert!(text(read(&big, mine())).contains("more than"));
        let full = dir.write("full", &"#".repeat(usize::try_from(MAX_SIZE).unwrap()));
        assert!(read(&full, mine()).is_ok());
        let bytes = dir.path("bytes");
        std::fs::write(&bytes, b"a = 1\nb = \"\xff\"\n").unwrap();
        let error = text(read(&bytes, mine()));
        assert!(error.contains(":2:6: not UTF-8"), "{error}");
        let looped = dir.path("loop");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        assert!(text(read(&looped, mine())).contains("open"));
    }
}
