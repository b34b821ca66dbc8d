#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::sys::testing::scratch;
use std::os::unix::fs::{PermissionsExt, symlink};

const LONG: Duration = Duration::from_secs(10);

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn plant(dir: &Path, name: &str, bits: u32) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "x").unwrap();
    chmod(&path, bits);
    path
}

#[test]
fn bits_are_taken_and_nothing_else() {
    let dir = scratch("sweep");
    let outside = scratch("outside");
    let far = plant(outside.path(), "suid", 0o4755);
    let planted = [
        plant(dir.path(), "a", 0o4755),
        plant(dir.path(), "b/c/d", 0o6711),
        plant(dir.path(), "b/e", 0o2755),
    ];
    let plain = plant(dir.path(), "b/plain", 0o755);
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink(&far, dir.path().join("file-link")).unwrap();
    // On a directory the bit hands down the group and gives nobody anything.
    chmod(&dir.path().join("b"), 0o2755);

    let mut found = sweep(&[dir.path().to_owned()], (0, 0), LONG);
    found.stripped.sort();
    let expected: Vec<_> = [(0, 0o4000), (1, 0o6000), (2, 0o2000)]
        .into_iter()
        .map(|(index, bits)| {
            (
                OsText::from(planted.get::<usize>(index).unwrap().as_path()),
                bits,
            )
        })
        .collect();
    assert_eq!(
        found,
        Found {
            stripped: expected,
            failed: vec![],
            extent: Extent::Whole
        }
    );
    assert_eq!(
        planted.each_ref().map(|path| mode(path)),
        [0o755, 0o711, 0o755]
    );
    assert_eq!(
        (mode(&plain), mode(&far), mode(&dir.path().join("b"))),
        (0o755, 0o4755, 0o2755)
    );
    assert_eq!(
        sweep(&[dir.path().to_owned()], (0, 0), LONG),
        Found::default()
    );
}

#[test]
fn what_was_there_before_stays() {
    let dir = scratch("sweep");
    let old = plant(dir.path(), "old", 0o4755);
    std::thread::sleep(Duration::from_millis(20));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let since = (
        i64::try_from(now.as_secs()).unwrap(),
        i64::from(now.subsec_nanos()),
    );
    std::thread::sleep(Duration::from_millis(20));
    let new = plant(dir.path(), "new", 0o4755);
    let found = sweep(&[dir.path().to_owned()], since, LONG);
    assert_eq!(found.stripped, [(OsText::from(new.as_path()), 0o4000)]);
    assert_eq!((mode(&old), mode(&new)), (0o4755, 0o755));
}

#[test]
fn a_granted_file_is_looked_at_by_itself() {
    let dir = scratch("sweep");
    let file = plant(dir.path(), "tool", 0o4700);
    let other = plant(dir.path(), "other", 0o4700);
    let found = sweep(std::slice::from_ref(&file), (0, 0), LONG);
    assert_eq!(found.stripped.len(), 1);
    assert_eq!((mode(&file), mode(&other)), (0o700, 0o4700));
}

#[test]
fn an_unreadable_file_is_stripped_too() {
    let dir = scratch("sweep");
    let file = plant(dir.path(), "tool", 0o4111);
    let found = sweep(&[dir.path().to_owned()], (0, 0), LONG);
    assert_eq!((found.stripped.len(), mode(&file)), (1, 0o111), "{found:?}");
}

#[test]
fn time_is_bounded_and_said() {
    let dir = scratch("sweep");
    plant(dir.path(), "a", 0o4755);
    let found = sweep(&[dir.path().to_owned()], (0, 0), Duration::ZERO);
    assert_eq!((found.extent, found.stripped), (Extent::Part, vec![]));
    assert_eq!(
        sweep(&[dir.path().join("missing")], (0, 0), LONG),
        Found::default()
    );
}

#[test]
fn other_file_systems_are_not_entered() {
    // /dev/shm or /proc below / are other devices: a walk over /dev must not reach them.
    let inside = Path::new("/dev/shm");
    let (Ok(dev), Ok(shm)) = (std::fs::metadata("/dev"), std::fs::metadata(inside)) else {
        return crate::sys::testing::skip("shm");
    };
    use std::os::unix::fs::MetadataExt;
    if dev.dev() == shm.dev() {
        return crate::sys::testing::skip("shm");
    }
    let name = format!(
        "agentbox-test-{:016x}",
        u64::from_le_bytes(crate::sys::random::bytes().unwrap())
    );
    let file = plant(inside, &name, 0o4755);
    let over = sweep(&[PathBuf::from("/dev")], (0, 0), LONG);
    let left = mode(&file);
    let into = sweep(std::slice::from_ref(&file), (0, 0), LONG);
    std::fs::remove_file(&file).unwrap();
    assert!(over.stripped.is_empty(), "{over:?}");
    assert_eq!((left, into.stripped.len()), (0o4755, 1));
}
