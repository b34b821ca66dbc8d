//! Landlock (landlock(7)): the grants of the view once more, at the highest ABI of the running kernel. It judges a file by
//! where it hangs, so it is no second wall against a wrong bind; it is one against a hole in the view that shows something
//! beside the grants, and against abstract sockets and signals, which no mount can hide.
//!
//! TCP ports are not handled: in mode `none` the namespace is the boundary and servers on localhost have to work, in mode
//! `host` there is none.

#![forbid(unsafe_code)]

use super::StepError;
use crate::outcome::{Evidence, Layer};
use crate::plan::{LandlockAccess, LandlockRule, NetworkMode};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus,
    Scope,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use std::os::fd::{AsFd as _, BorrowedFd};

/// The oldest ABI that agentbox takes for Landlock at all: without refer (ABI 2, Linux 5.19) no file could be renamed or
/// linked into another directory, and git and most builds would fail. Truncate (ABI 3) is held by the read-only mounts.
const OLDEST: i32 = 2;

/// What Landlock says of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// Nothing.
    Unjudged,
    /// No port may be connected to, and none bound.
    Refused,
}

/// What this kernel's Landlock can do, at most what the landlock crate knows.
///
/// # Errors
/// Why there is none.
pub fn abi() -> Result<ABI, String> {
    let version = crate::sys::landlock::abi_version().map_err(|errno| match errno {
        Errno::ENOSYS => "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK)".to_owned(),
        Errno::EOPNOTSUPP => {
            "Landlock is switched off at boot (`lsm=` without landlock)".to_owned()
        }
        errno => format!("landlock_create_ruleset: {errno}"),
    })?;
    if version < OLDEST {
        return Err(format!(
            "Landlock ABI {version}; at least {OLDEST} (Linux 5.19) is needed"
        ));
    }
    Ok(ABI::from(version))
}

fn failed(what: &'static str) -> impl Fn(landlock::RulesetError) -> StepError {
    move |e| StepError::new(what, e, Errno::EINVAL)
}

/// Restricts this process and everything it starts to `rules`, and to what `own` descriptors were opened for: `/dev/stdin` of a
/// file that the caller redirected is opened anew, by a path that no rule knows.
///
/// # Errors
/// The rule or call that failed, or that the kernel enforces less than it was asked for.
pub fn apply(
    rules: &[LandlockRule],
    network: NetworkMode,
    own: &[BorrowedFd<'_>],
) -> Result<Evidence, StepError> {
    let abi = match abi() {
        Ok(abi) => abi,
        Err(why) => return Ok(Evidence::absent(Layer::Landlock, why)),
    };
    restrict(rules, abi, Tcp::Unjudged, own, |rule| {
        let fd = PathFd::new(rule.path.path()).map_err(|e| {
            StepError::new(
                "landlock_add_rule",
                format!("{}: {e}", rule.path),
                Errno::ENOENT,
            )
        })?;
        Ok(Some(fd))
    })?;
    let evidence = match (Scope::from_all(abi).is_empty(), network) {
        (false, _) => Evidence::full(Layer::Landlock),
        // An abstract socket belongs to its network namespace, and signals stop at the pid namespace.
        (true, NetworkMode::None | NetworkMode::Filtered) => Evidence::full(Layer::Landlock)
            .proven("no scopes before ABI 6: the namespaces alone hold these"),
        (true, NetworkMode::Host) => Evidence::partial(
            Layer::Landlock,
            "the host's abstract sockets (X11, D-Bus) can be reached: scopes need ABI 6 (Linux 6.12), or run with --net none",
        ),
    };
    Ok(evidence.proven(format!("{abi:?}, {} rules, fully enforced", rules.len())))
}

/// Scopes alone (abstract sockets, signals): a rule about files would forbid mount(2) and pivot_root(2) to an inner sandbox,
/// whatever it grants.
///
/// # Errors
/// As [`apply`].
pub fn apply_scopes(network: NetworkMode) -> Result<Evidence, StepError> {
    let why = "it has no rules about files, which would forbid an inner sandbox to mount";
    let abi = match abi() {
        Ok(abi) => abi,
        Err(why) => return Ok(Evidence::absent(Layer::Landlock, why)),
    };
    let scopes = Scope::from_all(abi);
    if scopes.is_empty() {
        return Ok(match network {
            NetworkMode::None | NetworkMode::Filtered => Evidence::partial(Layer::Landlock, why),
            NetworkMode::Host => Evidence::partial(
                Layer::Landlock,
                format!(
                    "{why}, and the host's abstract sockets (X11, D-Bus) can be reached: scopes need ABI 6 (Linux 6.12)"
                ),
            ),
        });
    }
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(scopes)
        .map_err(failed("landlock scope"))?
        .create()
        .map_err(failed("landlock_create_ruleset"))?;
    enforce(created)?;
    Ok(Evidence::partial(Layer::Landlock, why)
        .proven(format!("{abi:?}, scopes alone, fully enforced")))
}

/// The same where there is nothing but Landlock: the paths are the host's, and no symlink is followed; what is gone or cannot be
/// looked up by the agent's uid is not granted.
///
/// # Errors
/// As [`apply`].
pub fn apply_bare(rules: &[LandlockRule], tcp: Tcp) -> Result<Evidence, StepError> {
    // No evidence of an absent layer: without this one the rung is nothing, and nobody can say that it may be missing.
    let missing = |why: String| StepError::new("landlock_create_ruleset", why, Errno::ENOTSUP);
    let abi = abi().map_err(missing)?;
    if Scope::from_all(abi).is_empty() {
        return Err(missing(format!(
            "{abi:?}: signals would reach every process of this user: scopes need ABI 6 (Linux 6.12)"
        )));
    }
    let root = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| StepError::new("open", "/", errno))?;
    restrict(rules, abi, tcp, &[], |rule| {
        let path = super::newroot::relative(rule.path.path())?;
        match crate::sys::mount::open(root.as_fd(), &path, libc::O_PATH) {
            Ok(place) => Ok(Some(place)),
            Err(Errno::ENOENT | Errno::EACCES | Errno::ELOOP | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(StepError::new("open", &rule.path, errno)),
        }
    })?;
    let found = format!("{abi:?}, {} rules, fully enforced", rules.len());
    Ok(Evidence::full(Layer::Landlock).proven(found))
}

fn restrict<F: std::os::fd::AsFd>(
    rules: &[LandlockRule],
    abi: ABI,
    tcp: Tcp,
    own: &[BorrowedFd<'_>],
    place: impl Fn(&LandlockRule) -> Result<Option<F>, StepError>,
) -> Result<(), StepError> {
    let all = AccessFs::from_all(abi);
    let scopes = Scope::from_all(abi);
    // Hard: what the kernel said it can, it has to do.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)
        .map_err(failed("landlock handle_access"))?;
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(failed("landlock scope"))?;
    }
    if tcp == Tcp::Refused {
        ruleset = ruleset
            .handle_access(AccessNet::from_all(abi))
            .map_err(failed("landlock handle_access"))?;
    }
    let mut created = ruleset
        .create()
        .map_err(failed("landlock_create_ruleset"))?;
    for rule in rules {
        let Some(fd) = place(rule)? else {
            continue;
        };
        let stat = fstat(fd.as_fd()).map_err(|errno| StepError::new("fstat", &rule.path, errno))?;
        let mut access = rights(rule.access, abi);
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFDIR.bits() {
            // The kernel refuses a right that only directories have on anything else.
            access &= AccessFs::from_file(abi);
        }
        created = created
            .add_rule(PathBeneath::new(fd, access))
            .map_err(|e| {
                StepError::new(
                    "landlock_add_rule",
                    format!("{}: {e}", rule.path),
                    Errno::EINVAL,
                )
            })?;
    }
    for fd in own {
        let access = opened_for(*fd) & all;
        if !access.is_empty() {
            created = created
                .add_rule(PathBeneath::new(fd, access))
                .map_err(|e| {
                    StepError::new("landlock_add_rule", format!("0 to 2: {e}"), Errno::EINVAL)
                })?;
        }
    }
    enforce(created)
}

/// From here on, for this process and everything it starts.
fn enforce(created: RulesetCreated) -> Result<(), StepError> {
    let status = created
        .restrict_self()
        .map_err(failed("landlock_restrict_self"))?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(StepError::new(
            "landlock_restrict_self",
            format!("{:?}", status.ruleset),
            Errno::EPERM,
        ));
    }
    Ok(())
}

/// What may be done with a file of somebody's file system by this descriptor. Nothing where it appends: to open that again
/// would be more. Pipes and memory need no rule, and take none.
fn opened_for(fd: BorrowedFd<'_>) -> BitFlags<AccessFs> {
    let none = BitFlags::EMPTY;
    let (Ok(stat), Ok(flags)) = (fstat(fd), fcntl(fd, FcntlArg::F_GETFL)) else {
        return none;
    };
    let flags = OFlag::from_bits_retain(flags);
    let in_memory = fstatfs(fd).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC);
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits()
        || flags.intersects(OFlag::O_APPEND | OFlag::O_PATH)
        || in_memory && stat.st_nlink == 0
    {
        return none;
    }
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => AccessFs::ReadFile.into(),
        OFlag::O_WRONLY => write,
        _ => write | AccessFs::ReadFile,
    }
}

/// The kernel's rights for a word of the plan.
fn rights(access: LandlockAccess, abi: ABI) -> BitFlags<AccessFs> {
    match access {
        LandlockAccess::List => AccessFs::ReadDir.into(),
        LandlockAccess::Read => AccessFs::from_read(abi),
        LandlockAccess::Device => {
            // What can be done with a file that is there: /proc/self/oom_score_adj, /dev/null, a terminal.
            let write = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
            (AccessFs::from_read(abi) | write) & AccessFs::from_all(abi)
        }
        // All of them: a rule that leaves one out makes the kernel's walk go on to the root at every open.
        LandlockAccess::Full => AccessFs::from_all(abi),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// What each ABI adds (landlock(7)): the rights of files, of TCP ports, and the scopes.
    const ADDED: [(ABI, &[AccessFs], bool, bool); 7] = [
        (
            ABI::V1,
            &[
                AccessFs::Execute,
                AccessFs::WriteFile,
                AccessFs::ReadFile,
                AccessFs::ReadDir,
                AccessFs::RemoveDir,
                AccessFs::RemoveFile,
                AccessFs::MakeChar,
                AccessFs::MakeDir,
                AccessFs::MakeReg,
                AccessFs::MakeSock,
                AccessFs::MakeFifo,
                AccessFs::MakeBlock,
                AccessFs::MakeSym,
            ],
            false,
            false,
        ),
        (ABI::V2, &[AccessFs::Refer], false, false),
        (ABI::V3, &[AccessFs::Truncate], false, false),
        (ABI::V4, &[], true, false),
        (ABI::V5, &[AccessFs::IoctlDev], true, false),
        (ABI::V6, &[], true, true),
        (ABI::V7, &[], true, true),
    ];

    /// Of each ABI all is handled, and a rule never has a right that the kernel does not know: it would be EINVAL.
    #[test]
    fn each_abi_is_handled_in_full() {
        let mut known: BitFlags<AccessFs> = BitFlags::EMPTY;
        for (abi, added, ports, scopes) in ADDED {
            for right in added {
                known |= *right;
            }
            assert_eq!(AccessFs::from_all(abi), known, "{abi:?}");
            assert_eq!(!AccessNet::from_all(abi).is_empty(), ports, "{abi:?}");
            assert_eq!(!Scope::from_all(abi).is_empty(), scopes, "{abi:?}");
            assert_eq!(rights(LandlockAccess::Full, abi), known, "{abi:?}");
            let list = rights(LandlockAccess::List, abi);
            assert_eq!(list, AccessFs::ReadDir, "{abi:?}");
            let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
            assert_eq!(rights(LandlockAccess::Read, abi), read, "{abi:?}");
            let device = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
            let device = (device | read) & known;
            assert_eq!(rights(LandlockAccess::Device, abi), device, "{abi:?}");
        }
    }
}
