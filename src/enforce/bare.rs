//! The steps of the rung `landlock`: what they do where there are no namespaces. No view is built: a directory of the session's
//! own has HOME and TMPDIR, and Landlock says on the host's own paths what the view would show. A hole in a granted tree is made
//! by granting what is beside it.

#![forbid(unsafe_code)]

use super::StepError;
use super::build::Build;
use super::landlock::Tcp;
use super::newroot::LateFile;
use crate::outcome::{Evidence, Layer};
use crate::plan::refused::BARE_PLAN;
use crate::plan::rung::Bare;
use crate::plan::{LandlockAccess, LandlockRule, NetworkMode};
use crate::sys::errno_of;
use crate::sys::listen;
use nix::errno::Errno;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The most rules that a tree with holes becomes.
const MOST: usize = 50_000;

/// A file of the session's directory that no rule grants: that it cannot be read is Landlock's doing.
pub(super) const CANARY: &str = "canary";

fn made(b: &Build<'_>) -> Result<Bare, StepError> {
    let bare = b.plan.standing.bare.clone();
    bare.ok_or_else(|| StepError::new("find", "the session's directory in the plan", Errno::ENOENT))
}

/// There are none.
pub(super) fn namespaces() -> Evidence {
    Evidence::absent(
        Layer::Namespaces,
        "none can be had here: other processes can be seen by name and command line",
    )
}

/// The ids stay those of the caller.
pub(super) fn identity(b: &Build<'_>) -> Evidence {
    match b.plan.identity.outer_uid {
        0 => Evidence::absent(
            Layer::Identity,
            "the kernel's uid is 0, without a capability: Landlock alone keeps root's files",
        ),
        uid => Evidence::partial(
            Layer::Identity,
            format!("uid {uid}, without a user namespace"),
        ),
    }
}

/// Makes the session's directory: HOME with its links, TMPDIR, the briefing.
pub(super) fn view(b: &mut Build<'_>) -> Result<Evidence, StepError> {
    let bare = made(b)?;
    // Sockets without a name here: there are no unix sockets to reach them by.
    drop((b.report.take(), b.agent.take()));
    let place = bare.place.path();
    let failed = |call, path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| {
            StepError::new(call, path, errno_of(&e)).remedy("TMPDIR names another directory for it")
        }
    };
    let dir = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
    // Never one that is there already: somebody else could have made it.
    dir(place).map_err(failed("mkdir", place))?;
    for name in ["home", "tmp", "run"] {
        let path = place.join(name);
        dir(&path).map_err(failed("mkdir", &path))?;
    }
    let write = |path: &Path, content: &[u8]| -> Result<fs::File, StepError> {
        if let Some(above) = path.parent() {
            let mut all = fs::DirBuilder::new();
            all.recursive(true).mode(0o700);
            all.create(above).map_err(failed("mkdir", above))?;
        }
        let mut options = fs::File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed("create", path))?;
        file.write_all(content).map_err(failed("write", path))?;
        Ok(file)
    };
    write(
        &place.join(CANARY),
        b"a Landlock rule is missing where this can be read\n",
    )?;
    for file in &bare.files {
        write(&place.join(file.path.path()), file.content.bytes())?;
    }
    b.extract = Some(LateFile::of(write(&place.join(BARE_PLAN), b"")?));
    for (at, to) in &bare.links {
        let at = place.join("home").join(at.path());
        if let Some(above) = at.parent() {
            fs::create_dir_all(above).map_err(failed("mkdir", above))?;
        }
        match symlink(to.path(), &at) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => done.map_err(failed("symlink", &at))?,
        }
    }
    for (target, content) in std::mem::take(&mut b.state) {
        write(target.path(), &content)?;
    }
    Ok(Evidence::partial(
        Layer::View,
        "none: what is not granted is forbidden (EACCES) and can be seen to exist; protected names are put back at the end",
    )
    .proven(format!("HOME and TMPDIR in {}", bare.place)))
}

/// The listener of the gate's proxy, on the loopback that the box shares.
pub(super) fn network(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    use crate::plan::net::listen::{Listener, On, Serves};
    let none = "there is no network namespace";
    match b.plan.network.mode {
        NetworkMode::Host => Ok(None),
        NetworkMode::None => Ok(Some(Evidence::partial(
            Layer::Network,
            format!("{none}: the filter refuses every IP socket, loopback too"),
        ))),
        NetworkMode::Filtered => {
            let port = made(b)?.port.unwrap_or_default();
            let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            let socket = listen::tcp_on(address).map_err(|errno| {
                StepError::new("listen on", address, errno)
                    .remedy("try again: another port is chosen")
            })?;
            let listener = Listener {
                serves: Serves::Proxy,
                on: On::Loopback4,
                port,
            };
            b.listeners.push((listener, socket));
            Ok(Some(Evidence::partial(
                Layer::Network,
                format!("{none}: only programs that use a proxy reach granted names"),
            )))
        }
    }
}

/// Whether Landlock refuses every TCP connection and every bound port. To the gate the connector connects, outside of it.
pub(super) fn tcp(b: &Build<'_>) -> Tcp {
    match b.plan.network.mode {
        NetworkMode::Host => Tcp::Unjudged,
        NetworkMode::None | NetworkMode::Filtered => Tcp::Refused,
    }
}

/// The rules without what is in the holes: a tree that has one is replaced by what is in it.
pub(super) fn rules(b: &Build<'_>) -> Result<Vec<LandlockRule>, StepError> {
    let bare = made(b)?;
    let holes: Vec<PathBuf> = bare
        .holes
        .iter()
        .map(|hole| hole.path().to_owned())
        .collect();
    let mut out = Vec::new();
    for rule in &b.plan.landlock {
        split(rule.path.path(), rule.access, &holes, &mut out)?;
    }
    if let Some(pty) = &b.pty {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&pty.slave);
        // Opened again by /dev/stdin and the like.
        if let Ok(name) = fs::read_link(format!("/proc/self/fd/{fd}")) {
            out.push(LandlockRule {
                path: name.into(),
                access: LandlockAccess::Device,
            });
        }
    }
    Ok(out)
}

fn split(
    path: &Path,
    access: LandlockAccess,
    holes: &[PathBuf],
    out: &mut Vec<LandlockRule>,
) -> Result<(), StepError> {
    if out.len() >= MOST {
        let why = format!(
            "{}: more than {MOST} rules for what is beside hidden names",
            path.display()
        );
        return Err(StepError::new("landlock_add_rule", why, Errno::E2BIG));
    }
    let inside: Vec<PathBuf> = holes
        .iter()
        .filter(|hole| hole.starts_with(path))
        .cloned()
        .collect();
    if inside.iter().any(|hole| hole == path) {
        return Ok(());
    }
    let rule = |access| LandlockRule {
        path: path.into(),
        access,
    };
    if inside.is_empty() {
        out.push(rule(access));
        return Ok(());
    }
    // Names can be listed, also of what is hidden below: the right is for the whole tree. Nothing else is: a file that was
    // made here would be as closed as the hidden one, and a hidden one could be removed.
    out.push(rule(LandlockAccess::List));
    let entries =
        fs::read_dir(path).map_err(|e| StepError::new("list", path.display(), errno_of(&e)))?;
    for entry in entries.flatten() {
        // What a link leads to is granted by its own name or not at all.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            split(&entry.path(), access, &inside, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_hole_is_made_of_what_is_beside_it() {
        let base = std::env::temp_dir().join(format!("agentbox-bare-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("src/deep")).unwrap();
        for name in ["a", ".env", "src/b", "src/deep/key.pem"] {
            fs::write(base.join(name), "x").unwrap();
        }
        symlink("/etc", base.join("etc")).unwrap();
        let holes = [base.join(".env"), base.join("src/deep/key.pem")];
        let mut out = Vec::new();
        split(&base, LandlockAccess::Full, &holes, &mut out).unwrap();
        let mut got: Vec<(PathBuf, LandlockAccess)> = out
            .into_iter()
            .map(|rule| (rule.path.path().to_owned(), rule.access))
            .collect();
        got.sort();
        let want = [
            (base.clone(), LandlockAccess::List),
            (base.join("a"), LandlockAccess::Full),
            (base.join("src"), LandlockAccess::List),
            (base.join("src/b"), LandlockAccess::Full),
            (base.join("src/deep"), LandlockAccess::List),
        ];
        assert_eq!(got, want);
        // A tree that is a hole itself is nothing.
        let mut out = Vec::new();
        split(
            &base,
            LandlockAccess::Full,
            std::slice::from_ref(&base),
            &mut out,
        )
        .unwrap();
        assert!(out.is_empty());
        fs::remove_dir_all(&base).unwrap();
    }
}
