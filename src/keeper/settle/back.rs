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

    /// Is the tree gone that it was in? The box cannot move that: somebody outside has removed it, or has it elsewhere now, and
    /// nothing is made in the old place.
    pub(super) fn is_gone_with_its_tree(&mut self, file: &Path) -> bool {
        let Some(root) = self.tree_of(file).map(Path::to_owned) else {
            return false;
        };
        if nix::sys::stat::lstat(&root).err() != Some(Errno::ENOENT) {
            return false;
        }
        // While the session runs it is found out where that is.
        if self.at_end && self.done.insert(root.clone()) {
            let why = "it is gone, so that protected files in it were not compared: if it is elsewhere now, look at its .git/config and \
                       hooks before you run git there";
            let why = why.to_owned();
            self.say(&root, Did::Beyond { why });
        }
        true
    }

    /// The tree of the rules that it is in.
    fn tree_of(&self, file: &Path) -> Option<&Path> {
        let roots = self.names.rules.iter().map(|rule| rule.root.path());
        roots
            .filter(|root| file.starts_with(root))
            .max_by_key(|root| root.as_os_str().len())
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
                    // By the tree as it is now: it may be moved in this moment.
                    let tree = self.tree_of(path).unwrap_or(Path::new("/"));
                    return files::make_path(root, tree, path).map_err(|e| e.to_string());
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
