//! `file://`: a name on a share. Any entry of that name is on. The directory has to be there: a share that is not mounted is
//! unreachable, not clear.

#![forbid(unsafe_code)]

use super::message::Notice;
use super::source::{Answer, Patience, Said, Source};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most bytes of it that are read.
const MAX: u64 = 4096;

/// A name in a directory.
pub struct Share {
    path: PathBuf,
    /// The file system that the directory was on when it was first seen.
    device: Option<u64>,
}

impl Share {
    /// That one.
    #[must_use]
    pub fn new(path: &Path) -> Share {
        Share {
            path: path.to_owned(),
            device: None,
        }
    }

    /// What is there: `None` is nothing. The directory is opened each time: that is when a network file system asks its
    /// server (close-to-open), and not its memory.
    fn look(&mut self) -> Result<Option<Notice>, String> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let failed = |errno: Errno| format!("{}: {}", dir.display(), errno.desc());
        let at = open(dir, flags, Mode::empty()).map_err(failed)?;
        let device = fstat(&at).map_err(failed)?.st_dev;
        if *self.device.get_or_insert(device) != device {
            return Err(format!(
                "another file system is mounted at {}",
                dir.display()
            ));
        }
        match fstatat(&at, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let regular = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
                Ok(Some(if regular {
                    content(&at, name)
                } else {
                    Notice::default()
                }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// What the file says.
fn content(dir: &OwnedFd, name: &std::ffi::OsStr) -> Notice {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut bytes = Vec::new();
    if let Ok(file) = openat(dir, name, flags, Mode::empty()) {
        let _ = File::from(file).take(MAX).read_to_end(&mut bytes);
    }
    Notice::read(&bytes)
}

impl Source for Share {
    fn ask(&mut self, _: Patience, _: Duration) -> Result<Answer, String> {
        let said = self.look()?.map_or(Said::Clear, Said::Stop);
        Ok(Answer::asked(said))
    }

    fn set(&mut self, _: Option<&str>, _: Instant) -> Result<(), String> {
        Err("a file is made and removed as every stop file is".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gate::message::Text;

    #[test]
    fn a_missing_directory_is_not_a_clear_switch() {
        let dir = std::env::temp_dir().join(format!("agentbox-share.{}", std::process::id()));
        let mut share = Share::new(&dir.join("stop"));
        let ask = |share: &mut Share| share.ask(Patience::None, Duration::ZERO).map(|a| a.said);
        assert!(ask(&mut share).unwrap_err().contains("No such file"));
        std::fs::create_dir(&dir).unwrap();
        assert_eq!(ask(&mut share), Ok(Said::Clear));
        std::fs::write(dir.join("stop"), "the bill\n").unwrap();
        let Ok(Said::Stop(notice)) = ask(&mut share) else {
            unreachable!("it is there");
        };
        assert_eq!(notice.reason, Some(Text::of("the bill")));
        std::fs::remove_file(dir.join("stop")).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.join("stop")).unwrap();
        assert_eq!(ask(&mut share), Ok(Said::Stop(Notice::default())));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(ask(&mut share).is_err());
    }
}
