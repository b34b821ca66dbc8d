//! The stubs of refused programs: a directory of the host's, outside of everything that a box can write, with one file and a
//! link to it for each name. Made once for each set of rules and then only bound: some hundred links at each start would cost
//! more than the whole of the mounts.

#![forbid(unsafe_code)]

use super::StepError;
use super::prepare::Prepare;
use crate::plan::refused::{BIN, PROGRAM, RULES, Refused, STUB, stub_text};
use nix::errno::Errno;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// Makes the directory if it is not there.
pub(super) fn apply(p: &mut Prepare<'_>) -> Result<(), StepError> {
    let refused = &p.plan.refused;
    let dir = refused.stubs.path();
    if dir.is_dir() {
        return Ok(());
    }
    make(refused, dir).map_err(|e| {
        StepError::new("make the stubs in", dir.display(), crate::sys::errno_of(&e))
            .remedy("the directory of agentbox's state must be writable")
    })
}

/// Whole or not at all: made beside its place and renamed. Two starts at once make the same.
fn make(refused: &Refused, dir: &Path) -> std::io::Result<()> {
    let parent = dir.parent().ok_or(Errno::EINVAL)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    let half = parent.join(format!(".half.{}", std::process::id()));
    let _ = fs::remove_dir_all(&half);
    DirBuilder::new().mode(0o755).create(&half)?;
    // A root caller's agent has another uid, and an umask of 077 is no reason to hide a refusal.
    fs::set_permissions(&half, fs::Permissions::from_mode(0o755))?;
    file(&half, STUB, 0o555, &stub_text())?;
    file(&half, RULES, 0o444, &refused.rules_text())?;
    symlink(PROGRAM, half.join("agentbox"))?;
    let stub = name_of(STUB);
    for name in refused.stub_names() {
        symlink(stub, half.join(name))?;
    }
    match fs::rename(&half, dir) {
        // Somebody else was faster.
        Err(_) if dir.is_dir() => fs::remove_dir_all(&half),
        renamed => renamed,
    }
}

/// The name in [`BIN`].
fn name_of(path: &str) -> &str {
    path.strip_prefix(BIN)
        .unwrap_or(path)
        .trim_start_matches('/')
}

fn file(dir: &Path, at: &str, mode: u32, content: &str) -> std::io::Result<()> {
    let path = dir.join(name_of(at));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path)?;
    file.write_all(content.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
