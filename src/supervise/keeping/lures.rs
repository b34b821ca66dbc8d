//! Hidden names that the box makes again as soon as they are taken away, or opens again as soon as they are copies: between two
//! times what the user writes to one would be read. No ordinary program does that, and there is no other end to it than the
//! session's.

#![forbid(unsafe_code)]

use super::Keeping;
use crate::keeper::settle::Whose;
use crate::outcome::Trigger;
use crate::plan::OsText;
use crate::supervise::running::Running;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Device and number.
type Inode = (u64, u64);

/// How often one name may be taken away ...
const TIMES: u32 = 20;
/// ... within this time. An hour's work of a program's tests may well make such a link now and then.
pub(super) const LURED: Duration = Duration::from_secs(10);
/// The same of files that the box has open, for which it is looked every two seconds at most.
const HELD: Duration = Duration::from_secs(600);
/// How often a file becomes a copy because the box may have it open. Its sockets may have other reasons to hold descriptors.
const DOUBTED: u32 = 3;
/// The most names that are counted at once.
const MOST: usize = 20_000;

/// What was taken away lately.
#[derive(Default)]
pub(super) struct Lures {
    names: HashMap<PathBuf, (Instant, u32)>,
    /// Those that became copies because the box may have them open, which nobody can tell: which inode each is now, and how often
    /// that was. Another inode under the name is another file, of which nothing was said.
    doubted: HashMap<PathBuf, (Inode, u32)>,
}

impl Lures {
    /// A name was taken away: was that once too often?
    fn taken(&mut self, file: &Path, now: Instant, within: Duration) -> bool {
        if self.names.len() >= MOST {
            self.names.retain(|_, (since, _)| now < *since + HELD);
        }
        if self.names.len() >= MOST {
            return true;
        }
        let (since, times) = self.names.entry(file.to_owned()).or_insert((now, 0));
        if now >= *since + within {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        *times > TIMES
    }

    /// A file became a copy because the box may have it open.
    fn doubted(&mut self, file: &Path, was: Inode, copy: Inode) {
        if self.doubted.len() >= MOST && !self.doubted.contains_key(file) {
            return;
        }
        let (inode, times) = self.doubted.entry(file.to_owned()).or_insert((was, 0));
        if *inode != was {
            *times = 0;
        }
        (*inode, *times) = (copy, *times + 1);
    }
}

impl Keeping {
    /// A hidden file has become a copy: of that inode this one.
    pub(super) fn renewed(
        &mut self,
        file: &OsText,
        whose: Whose,
        (was, copy): (Inode, Option<Inode>),
        running: &mut Running,
    ) {
        match whose {
            Whose::Box => self.lured(file, HELD, running),
            // Without a copy there is no inode that would be settled.
            Whose::Perhaps => self.lures.doubted(file.path(), was, copy.unwrap_or(was)),
        }
    }

    /// Inodes that are copies of copies because the box may have had each open: it is not asked whether it may, only whether it has.
    pub(super) fn settled_inodes(&self) -> HashSet<Inode> {
        let often = self.lures.doubted.values();
        let often = often.filter(|(_, times)| *times >= DOUBTED);
        often.map(|(inode, _)| *inode).collect()
    }

    /// A hidden name was taken away from the box.
    pub(super) fn lured(&mut self, file: &OsText, within: Duration, running: &mut Running) {
        let what = "a hidden name that the box made or opened again and again so that it can read what you write to it";
        self.too_often(file, within, what, running);
    }

    /// A file that runs something was taken away from who had it open for writing.
    pub(super) fn detached(&mut self, file: &OsText, running: &mut Running) {
        let what = "a protected name that the box held open for writing again and again so that it can change what you run";
        self.too_often(file, HELD, what, running);
    }

    /// A link was taken away through which git would write.
    pub(super) fn diverted(&mut self, file: &OsText, running: &mut Running) {
        let what = "a link that the box made again and again so that git writes where it leads";
        self.too_often(file, LURED, what, running);
    }

    /// A protected file was given a second name, and has one again.
    pub(super) fn parted(&mut self, file: &OsText, running: &mut Running) {
        let what = "a protected name whose file the box gave a second name again and again";
        self.too_often(file, HELD, what, running);
    }

    /// Once too often is the end.
    fn too_often(&mut self, file: &OsText, within: Duration, what: &str, running: &mut Running) {
        if self.lures.taken(file.path(), Instant::now(), within) {
            running.stop(Trigger::Lost {
                what: format!("{file}, {what}"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_doubted_anew() {
        let (mut lures, file) = (Lures::default(), Path::new("/w/.env"));
        for number in 0..3 {
            lures.doubted(file, (1, number), (1, number + 1));
        }
        assert_eq!(lures.doubted.get(file), Some(&((1, 3), DOUBTED)));
        lures.doubted(file, (1, 9), (1, 10));
        assert_eq!(lures.doubted.get(file), Some(&((1, 10), 1)));
    }

    #[test]
    fn only_the_same_name_again_and_again_is_too_often() {
        let (mut lures, now) = (Lures::default(), Instant::now());
        let file = Path::new("/w/.env");
        for _ in 0..TIMES {
            assert!(!lures.taken(file, now, LURED));
            assert!(!lures.taken(Path::new("/w/a.pem"), now, HELD));
        }
        assert!(!lures.taken(Path::new("/w/.env.local"), now, LURED));
        assert!(lures.taken(file, now, LURED));
        assert!(!lures.taken(file, now + LURED, LURED));
        assert!(lures.taken(Path::new("/w/a.pem"), now + LURED, HELD));
    }
}
