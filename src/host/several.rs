//! Many names of one directory at once. Most of them are not there, and a small directory says so faster by being listed once
//! than by being asked for each.

#![forbid(unsafe_code)]

use super::Stat;
use super::lookup::from_raw;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::sys::statfs::{self, FsType, fstatfs};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of linux/magic.h; nix has it for glibc alone.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// File systems whose listings have every name that a look-up finds. Others (network, FUSE) may know more than they list.
const LISTED: [FsType; 4] = [
    statfs::EXT4_SUPER_MAGIC,
    statfs::TMPFS_MAGIC,
    statfs::OVERLAYFS_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
];

/// A directory of so many bytes for each name that is asked for is not listed: an entry costs about a third of a look-up and
/// takes some 40 bytes of a directory of ext4.
const BYTES_FOR_A_NAME: usize = 64;

/// lstat(2) of each of these names that is there, with its index.
pub(super) fn lstat_each(dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // From the directory's descriptor: the way to it is walked once and not once for each name.
    let (dir, readable) = match open(dir, flags | OFlag::O_RDONLY, Mode::empty()) {
        Ok(dir) => (dir, true),
        // It may be searched all the same.
        Err(Errno::EACCES) => match open(dir, flags | OFlag::O_PATH, Mode::empty()) {
            Ok(dir) => (dir, false),
            Err(_) => return Vec::new(),
        },
        Err(_) => return Vec::new(),
    };
    let candidates = if readable {
        candidates(&dir, names)
    } else {
        None
    };
    // A listing says what may be there; what is there is asked in any case.
    match candidates {
        Some(few) => each_of(&dir, names, few),
        None => each_of(&dir, names, 0..names.len()),
    }
}

/// lstat(2) of those of the names that are at these places.
fn each_of(
    dir: &OwnedFd,
    names: &[&OsStr],
    places: impl IntoIterator<Item = usize>,
) -> Vec<(usize, Stat)> {
    let stat = |name: &OsStr| fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok();
    let one = |at: usize| Some((at, from_raw(&stat(names.get(at)?)?)));
    places.into_iter().filter_map(one).collect()
}

/// The same of names that it has, as far as one knows: nothing is gained by listing it.
pub(super) fn lstat_listed(dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
    // A tree that is known asks for nothing in most of its directories.
    if names.is_empty() {
        return Vec::new();
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_PATH;
    let Ok(dir) = open(dir, flags, Mode::empty()) else {
        return Vec::new();
    };
    each_of(&dir, names, 0..names.len())
}

/// The names that a directory may have, by listing it. `None` where that costs more or could miss one.
fn candidates(dir: &OwnedFd, names: &[&OsStr]) -> Option<Vec<usize>> {
    let size = usize::try_from(fstat(dir).ok()?.st_size).ok()?;
    let few = size <= names.len().saturating_mul(BYTES_FOR_A_NAME);
    if !few || !LISTED.contains(&fstatfs(dir).ok()?.filesystem_type()) {
        return None;
    }
    if !names.iter().all(|name| name.is_ascii()) {
        return None;
    }
    // What is the same is looked at only where length and ends are, since nearly no entry is one of them. Or nearly all are:
    // whoever looks for other names of a file asks for everything that is there.
    let kinds = names.iter().map(|name| likeness(name.as_bytes()));
    let mut kinds: Vec<(usize, usize)> = kinds.zip(0..).collect();
    kinds.sort_unstable();
    let mut like = [false; LIKE];
    for (kind, _) in &kinds {
        if let Some(like) = like.get_mut(*kind) {
            *like = true;
        }
    }
    let mut listed = Dir::from_fd(dir.as_fd().try_clone_to_owned().ok()?).ok()?;
    let mut found = Vec::new();
    for entry in listed.iter() {
        let entry = entry.ok()?;
        let name = entry.file_name().to_bytes();
        // A directory may ignore case (ext4's casefold, XFS's ascii-ci), so here case counts for nothing; and of what is
        // not ASCII only the kernel knows what it folds to.
        if !name.is_ascii() {
            return None;
        }
        let kind = likeness(name);
        if like.get(kind) != Some(&true) {
            continue;
        }
        let from = kinds.partition_point(|(other, _)| *other < kind);
        let alike = kinds.iter().skip(from).take_while(|(k, _)| *k == kind);
        let same = |at: &usize| {
            let asked = names.get(*at).map(|asked| asked.as_bytes());
            asked.is_some_and(|asked| asked.eq_ignore_ascii_case(name))
        };
        found.extend(alike.map(|(_, at)| *at).filter(same));
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// How many kinds of names are told apart.
const LIKE: usize = 4096;

/// The kind of a name: names that differ by case only are of one kind.
fn likeness(name: &[u8]) -> usize {
    let lower = |at: Option<&u8>| usize::from(at.map_or(0, u8::to_ascii_lowercase));
    let (first, last, middle) = (name.first(), name.last(), name.get(name.len() / 2));
    (name.len() + lower(first) * 5 + lower(last) * 37 + lower(middle) * 211) % LIKE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    fn place(name: &str) -> PathBuf {
        let at = std::env::temp_dir().join(format!("agentbox-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&at);
        std::fs::create_dir_all(&at).unwrap();
        at
    }

    /// What is there, by asking for each.
    fn one_by_one(dir: &Path, names: &[&OsStr]) -> Vec<(usize, Stat)> {
        let each = names.iter().enumerate();
        each.filter_map(|(at, name)| {
            let stat = nix::sys::stat::lstat(&dir.join(name)).ok()?;
            Some((at, from_raw(&stat)))
        })
        .collect()
    }

    #[test]
    fn a_listing_finds_what_look_ups_find() {
        let dir = place("several");
        let names: Vec<String> = (0..100).map(|n| format!("name{n}")).collect();
        let asked: Vec<&OsStr> = names.iter().map(OsStr::new).collect();
        for name in ["name3", "name42", "other", "NAME7", ".hidden"] {
            std::fs::write(dir.join(name), name).unwrap();
        }
        symlink("nowhere", dir.join("name5")).unwrap();
        std::fs::create_dir(dir.join("name99")).unwrap();
        let opened = open(&dir, OFlag::O_RDONLY, Mode::empty()).unwrap();
        // NAME7 is a candidate for name7 and, on most file systems, not it.
        assert_eq!(candidates(&opened, &asked), Some(vec![3, 5, 7, 42, 99]));
        let found = lstat_each(&dir, &asked);
        assert_eq!(found, one_by_one(&dir, &asked));
        let at: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [3, 5, 42, 99]);

        // The listing is no answer any more, and the result is the same.
        std::fs::write(dir.join("namé"), "").unwrap();
        assert_eq!(candidates(&opened, &asked), None);
        assert_eq!(lstat_each(&dir, &asked), found);
        assert_eq!(candidates(&opened, asked.get(..1).unwrap()), None);
        assert_eq!(lstat_each(&dir, asked.get(..4).unwrap()).len(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn everything_that_is_there_is_found_at_once() {
        let dir = place("everything");
        let names: Vec<String> = (0..2000).map(|n| format!("program-{n}")).collect();
        for name in &names {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let asked: Vec<&OsStr> = names.iter().map(OsStr::new).collect();
        let opened = open(&dir, OFlag::O_RDONLY, Mode::empty()).unwrap();
        let all = (0..names.len()).collect();
        assert_eq!(candidates(&opened, &asked), Some(all));
        assert_eq!(lstat_each(&dir, &asked), one_by_one(&dir, &asked));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_directory_that_may_only_be_searched_is_searched() {
        let dir = place("searched");
        let asked: Vec<&OsStr> = ["a", "b", "c"].iter().map(OsStr::new).collect();
        std::fs::write(dir.join("b"), "").unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o311)).unwrap();
        let at: Vec<usize> = lstat_each(&dir, &asked).iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [1]);
        // Who may not list it cannot empty it.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(lstat_each(&dir, &asked), []);
    }

    #[test]
    fn what_the_kernel_makes_up_is_not_listed() {
        let proc = open("/proc/self", OFlag::O_RDONLY, Mode::empty()).unwrap();
        let asked = [OsStr::new("status"); 100];
        assert_eq!(candidates(&proc, &asked), None);
    }
}
