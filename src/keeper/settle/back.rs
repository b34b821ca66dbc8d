//! A file as it was, at its place again.

#![forbid(unsafe_code)]

use super::{Did, Settler};
use crate::keeper::baseline::{Content, Kept};
use crate::keeper::files;
use crate::keeper::quarantine::Why;
use nix::errno::Errno;
use nix::unistd::symlinkat;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

impl Settler<'_> {
    pub(super) fn put_back(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        file: &Path,
        kept: &Kept,
        did: Did,
    ) {
        let done = match &kept.content {
            Content::File { mode, .. } => {
                let bytes = self.baseline.bytes(kept).unwrap_or_default();
                files::write(dir, name, bytes, *mode).map_err(|e| e.to_string())
            }
            Content::Link { to } => {
                symlinkat(to.os(), dir, Path::new(name)).map_err(|e| e.to_string())
            }
            Content::Unread => {
                let why = "it was too large to be kept".to_owned();
                return self.say(file, Did::Beyond { why });
            }
        };
        match done {
            Ok(()) => self.say(file, did),
            Err(why) => self.failed(file, why),
        }
    }

    /// The directory, made again where it is missing. What stands in its way (a link, a file) goes to the quarantine.
    pub(super) fn parent_of(&mut self, path: &Path) -> Result<OwnedFd, String> {
        for _ in 0..32 {
            match self.unlocked.open_to_write(self.root.as_fd(), path) {
                Ok(dir) => return Ok(dir),
                Err(Errno::ENOENT) => {
                    // The first one that is there has to let the next one be made.
                    let root = self.root.as_fd();
                    let mut above = path.ancestors().skip(1);
                    let _ = above.find(|dir| self.unlocked.open_to_write(root, dir).is_ok());
                    return files::make_path(self.root.as_fd(), path).map_err(|e| e.to_string());
                }
                Err(Errno::ELOOP | Errno::ENOTDIR) => {}
                Err(errno) => return Err(errno.to_string()),
            }
            // The first component from the top that is no directory.
            let mut above: Vec<&Path> = path.ancestors().collect();
            above.reverse();
            let wrong = above
                .into_iter()
                .find(|dir| files::open_path(self.root.as_fd(), dir).is_err());
            let (Some(dir), Some(name)) = (
                wrong.and_then(Path::parent),
                wrong.and_then(Path::file_name),
            ) else {
                continue;
            };
            let holder =
                files::open_path(self.root.as_fd(), dir).map_err(|errno| errno.to_string())?;
            if !self.take(holder.as_fd(), name, &dir.join(name), Why::Made) {
                break;
            }
        }
        Err("its directory cannot be had".to_owned())
    }
}
