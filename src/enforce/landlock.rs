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
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::AsFd as _;

/// The oldest ABI that agentbox takes for Landlock at all: without refer (ABI 2, Linux 5.19) no file could be renamed or
/// linked into another directory, and git and most builds would fail. Truncate (ABI 3) is held by the read-only mounts.
const OLDEST: i32 = 2;

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

/// Restricts this process and everything it starts to `rules`.
///
/// # Errors
/// The rule or call that failed, or that the kernel enforces less than it was asked for.
pub fn apply(rules: &[LandlockRule], network: NetworkMode) -> Result<Evidence, StepError> {
    let abi = match abi() {
        Ok(abi) => abi,
        Err(why) => return Ok(Evidence::absent(Layer::Landlock, why)),
    };
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
    let mut created = ruleset
        .create()
        .map_err(failed("landlock_create_ruleset"))?;
    for rule in rules {
        let fd = PathFd::new(rule.path.path()).map_err(|e| {
            StepError::new(
                "landlock_add_rule",
                format!("{}: {e}", rule.path),
                Errno::ENOENT,
            )
        })?;
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
    let evidence = match (scopes.is_empty(), network) {
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
