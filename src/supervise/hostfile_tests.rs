#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::sys::testing::scratch;
use std::os::unix::fs::{PermissionsExt, symlink};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn replacing_keeps_the_mode_and_leaves_nothing_else() {
    let dir = scratch("host");
    let path = dir.path().join("state.json");
    let file = HostFile::find(&path).unwrap();
    assert!(file.read().unwrap().is_none());
    file.replace(b"one", None).unwrap();
    assert_eq!(
        (std::fs::read(&path).unwrap(), mode(&path)),
        (b"one".to_vec(), 0o600)
    );
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let before = file.read().unwrap().unwrap();
    assert_eq!(before.bytes, b"one");
    file.replace(b"two", Some(&before)).unwrap();
    assert_eq!(
        (std::fs::read(&path).unwrap(), mode(&path)),
        (b"two".to_vec(), 0o640)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn root_leaves_the_file_to_its_owner() {
    if !geteuid().is_root() {
        return; // Only root can; the suite runs as root and as a user.
    }
    let dir = scratch("host");
    let path = dir.path().join("state.json");
    std::os::unix::fs::chown(dir.path(), Some(4242), Some(4343)).unwrap();
    let file = HostFile::find(&path).unwrap();
    file.replace(b"one", None).unwrap();
    let meta = path.metadata().unwrap();
    assert_eq!(
        (meta.uid(), meta.gid()),
        (4242, 4343),
        "a new one belongs to the owner of the directory"
    );
    std::os::unix::fs::chown(&path, Some(77), Some(78)).unwrap();
    file.replace(b"two", file.read().unwrap().as_ref()).unwrap();
    let meta = path.metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid()), (77, 78));
}

#[test]
fn a_symlink_is_written_through() {
    let dir = scratch("host");
    let (real, link) = (
        dir.path().join("dotfiles/real.json"),
        dir.path().join("link.json"),
    );
    std::fs::create_dir(dir.path().join("dotfiles")).unwrap();
    std::fs::write(&real, "one").unwrap();
    symlink("dotfiles/real.json", &link).unwrap();
    let file = HostFile::find(&link).unwrap();
    let locks = file.lock(Duration::ZERO).unwrap();
    assert_eq!(locks.len(), 2);
    assert!(
        dir.path().join("link.json.lock").is_dir()
            && dir.path().join("dotfiles/real.json.lock").is_dir()
    );
    file.replace(b"two", file.read().unwrap().as_ref()).unwrap();
    drop(locks);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read(&real).unwrap(), b"two");
    assert!(
        !dir.path().join("link.json.lock").exists()
            && !dir.path().join("dotfiles/real.json.lock").exists()
    );
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    assert!(HostFile::find(&dir.path().join("dangling")).is_err());
}

#[test]
fn what_is_not_a_file_is_not_read() {
    let dir = scratch("host");
    let path = dir.path().join("x");
    std::fs::create_dir(&path).unwrap();
    let kind = |path: &Path| {
        HostFile::find(path)
            .unwrap()
            .read()
            .unwrap_err()
            .to_string()
    };
    assert!(kind(&path).ends_with("is not a regular file"));
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    assert!(kind(&fifo).ends_with("is not a regular file"));
    let large = dir.path().join("large");
    File::create(&large).unwrap().set_len(MAX + 1).unwrap();
    assert!(kind(&large).ends_with("is larger than 16 MiB"));
    File::create(&large).unwrap().set_len(MAX).unwrap();
    assert!(HostFile::find(&large).unwrap().read().is_ok());
}

#[test]
fn the_lock_is_the_programs_own() {
    let dir = scratch("host");
    let path = dir.path().join("state.json");
    let file = HostFile::find(&path).unwrap();
    let lock_dir = dir.path().join("state.json.lock");
    std::fs::create_dir(&lock_dir).unwrap();
    let begin = Instant::now();
    assert!(
        matches!(file.lock(Duration::from_millis(30)), Err(HostFileError::Busy { path }) if path == lock_dir)
    );
    assert!(begin.elapsed() < Duration::from_secs(1));
    // Given back while we wait.
    let other = lock_dir.clone();
    let giver = std::thread::spawn(move || {
        sleep(Duration::from_millis(40));
        std::fs::remove_dir(other).unwrap();
    });
    let locks = file.lock(Duration::from_secs(2)).unwrap();
    giver.join().unwrap();
    assert!(lock_dir.is_dir());
    drop(locks);
    assert!(!lock_dir.exists());
}

#[test]
fn a_dead_programs_lock_is_broken_after_ten_seconds() {
    let dir = scratch("host");
    let path = dir.path().join("state.json");
    let lock_dir = dir.path().join("state.json.lock");
    std::fs::create_dir(&lock_dir).unwrap();
    let age = |seconds| {
        let at = SystemTime::now() - Duration::from_secs(seconds);
        File::open(&lock_dir).unwrap().set_modified(at).unwrap();
    };
    let file = HostFile::find(&path).unwrap();
    age(8);
    assert!(file.lock(Duration::ZERO).is_err());
    age(11);
    let locks = file.lock(Duration::from_millis(100)).unwrap();
    // Taken from us in turn: giving back must not remove the other's.
    std::fs::rename(&lock_dir, dir.path().join("elsewhere")).unwrap();
    std::fs::create_dir(&lock_dir).unwrap();
    drop(locks);
    assert!(lock_dir.is_dir());
}
