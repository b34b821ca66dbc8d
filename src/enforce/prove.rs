//! The self-proof: before the command's first instruction init, confined as the command will be, tries what must not work.
//! A try that succeeds, or fails for another reason than the layer under test, is a failed step.

#![forbid(unsafe_code)]

use super::build::Build;
use super::{StepError, mounts};
use crate::outcome::{Evidence, Layer, Status};
use crate::plan::NetworkMode;
use crate::plan::rung::Rung;
use crate::sys::probe;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::path::Path;

/// One try: what it is, what must come out of it, what came out.
fn expect(
    b: &mut Build<'_>,
    layer: Layer,
    what: &'static str,
    must: Errno,
    got: Result<(), Errno>,
) -> Result<(), StepError> {
    match got {
        Err(errno) if errno == must => {
            if let Some(evidence) = b.evidence.iter_mut().find(|e| e.layer == layer) {
                evidence.proof.push(format!("{what}: {must:?}"));
            }
            Ok(())
        }
        got => {
            let errno = got.err().unwrap_or(Errno::UnknownErrno);
            let on = format!(
                "{what} must fail with {must:?}: layer {} does not hold",
                layer.name()
            );
            Err(StepError::new("try", on, errno))
        }
    }
}

fn open_for_reading(path: &Path) -> Result<(), Errno> {
    open(
        path,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK,
        Mode::empty(),
    )
    .map(drop)
}

/// Tries each layer.
pub(super) fn apply(b: &mut Build<'_>) -> Result<Option<Evidence>, StepError> {
    let holds = |b: &Build<'_>, layer| {
        b.evidence
            .iter()
            .any(|e| e.layer == layer && e.status == Status::Full)
    };
    if b.plan.standing.rung == Rung::Landlock {
        return bare(b).map(|()| None);
    }
    let outside = open_for_reading(b.outside);
    expect(
        b,
        Layer::View,
        "open the session's directory outside",
        Errno::ENOENT,
        outside,
    )?;
    if holds(b, Layer::Landlock) {
        let canary = open_for_reading(Path::new(mounts::CANARY));
        expect(
            b,
            Layer::Landlock,
            "read a file that is visible but not granted",
            Errno::EACCES,
            canary,
        )?;
    }
    let inner = b.plan.standing.rung == Rung::Nested;
    // EPERM whichever wall is asked first: the filter, Landlock, or the missing capability.
    expect(
        b,
        Layer::Capabilities,
        "mount",
        Errno::EPERM,
        probe::mount_tmpfs(c"/tmp"),
    )?;
    if inner || holds(b, Layer::Seccomp) {
        // Without the filter the kernel's own answer to a null clone_args is EINVAL, and to AF_VSOCK a socket or
        // EAFNOSUPPORT: these two errnos can only be the filter's.
        expect(
            b,
            Layer::Seccomp,
            "clone3",
            Errno::ENOSYS,
            probe::clone3_invalid(),
        )?;
        expect(
            b,
            Layer::Seccomp,
            "socket AF_VSOCK",
            Errno::EPERM,
            probe::socket(libc::AF_VSOCK),
        )?;
        expect(b, Layer::Seccomp, "keyctl", Errno::EPERM, probe::keyctl())?;
    }
    if inner {
        inner_sandbox(b)?;
    } else {
        let again = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
        let must = if holds(b, Layer::Seccomp) {
            Errno::EPERM
        } else {
            Errno::ENOSPC
        };
        let what = "unshare another user namespace";
        expect(b, Layer::Namespaces, what, must, again)?;
    }
    if b.plan.network.mode == NetworkMode::None {
        let far = probe::connect_udp([192, 0, 2, 1]);
        expect(
            b,
            Layer::Network,
            "route to 192.0.2.1",
            Errno::ENETUNREACH,
            far,
        )?;
    }
    if b.plan.network.mode == NetworkMode::Filtered {
        // Answered by this namespace itself, and at once: on its way to anywhere else it would still be under way.
        let far = probe::connect_tcp([192, 0, 2, 1]);
        expect(
            b,
            Layer::Network,
            "reach 192.0.2.1",
            Errno::ECONNREFUSED,
            far,
        )?;
    }
    if b.plan.identity.outer_uid != 0 {
        let sysctl = open(
            "/proc/sys/kernel/core_pattern",
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        match sysctl.map(drop) {
            // The mount says EROFS, the uid EACCES; either alone is enough, and Landlock may be asked first.
            Err(Errno::EROFS | Errno::EACCES | Errno::ENOENT | Errno::EPERM) => {}
            got => expect(b, Layer::Identity, "write a sysctl", Errno::EROFS, got)?,
        }
    }
    Ok(None)
}

/// What the rung is for has to work: a process of the box makes namespaces of its own, and mounts a procfs there.
fn inner_sandbox(b: &mut Build<'_>) -> Result<(), StepError> {
    probe::inner_sandbox()
        .map_err(|(call, errno)| StepError::new(call, "as an inner sandbox does", errno))?;
    let layer = |e: &&mut Evidence| e.layer == Layer::Namespaces;
    if let Some(evidence) = b.evidence.iter_mut().find(layer) {
        let proof = "an inner sandbox made its namespaces and its /proc";
        evidence.proof.push(proof.to_owned());
    }
    Ok(())
}

/// The tries of the rung without namespaces.
fn bare(b: &mut Build<'_>) -> Result<(), StepError> {
    let canary = b.plan.standing.bare.as_ref();
    let canary = canary.map(|bare| bare.place.path().join(super::bare::CANARY));
    for (what, path) in [
        (
            "open the session's directory outside",
            Some(b.outside.to_owned()),
        ),
        (
            "read a file of the session's own that is not granted",
            canary,
        ),
        ("list /", Some("/".into())),
    ] {
        let got = open_for_reading(&path.unwrap_or_default());
        expect(b, Layer::Landlock, what, Errno::EACCES, got)?;
    }
    let mount = probe::mount_tmpfs(c"/tmp");
    expect(b, Layer::Capabilities, "mount", Errno::EPERM, mount)?;
    let tries = [
        ("clone3", Errno::ENOSYS, probe::clone3_invalid()),
        (
            "socket AF_VSOCK",
            Errno::EPERM,
            probe::socket(libc::AF_VSOCK),
        ),
        ("socket AF_UNIX", Errno::EPERM, probe::socket(libc::AF_UNIX)),
        ("keyctl", Errno::EPERM, probe::keyctl()),
        (
            "unshare a user namespace",
            Errno::EPERM,
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER),
        ),
    ];
    for (what, must, got) in tries {
        expect(b, Layer::Seccomp, what, must, got)?;
    }
    match b.plan.network.mode {
        NetworkMode::None => {
            let got = probe::socket(libc::AF_INET);
            expect(b, Layer::Network, "socket AF_INET", Errno::EPERM, got)?;
        }
        NetworkMode::Filtered => {
            let far = probe::connect_tcp([192, 0, 2, 1]);
            expect(b, Layer::Network, "reach 192.0.2.1", Errno::EACCES, far)?;
        }
        NetworkMode::Host => {}
    }
    Ok(())
}

/// A layer that the plan requires and that was not found to hold in full is a failure.
pub(super) fn check(b: &Build<'_>) -> Result<(), StepError> {
    super::verify::required(b.plan, &b.evidence)
        .map_err(|why| StepError::new("require", why, Errno::EPERM))
}
