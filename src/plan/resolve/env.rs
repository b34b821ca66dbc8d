//! The environment of the box, built from nothing: names that pass, names that are set, and why the rest does not.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::credential;
use crate::plan::{
    Command, Env, EnvPass, EnvSet, EnvStripped, Identity, IdentityMode, OsText, Stripped,
};
use crate::policy::pattern::{is_pattern, matches};
use crate::policy::{Origin, Wish};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names that agentbox sets itself; a wish for them changes nothing.
const OWN: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "AGENTBOX",
    "AGENTBOX_SESSION",
];

/// Names that make programs run or load something else. A pattern never lets them in, an exact name does.
const STEERING: [&str; 24] = [
    "BASH_ENV",
    "BASHOPTS",
    "CDPATH",
    "DYLD_INSERT_LIBRARIES",
    "ENV",
    "GCONV_PATH",
    "GIT_CONFIG",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "LOCPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
];

/// Who is stronger: the floor, the command line, a file, the program itself.
fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Agentbox { .. } | Origin::Builtin { .. } => 0,
        Origin::File { .. } | Origin::Project { .. } => 1,
        Origin::Cli { .. } => 2,
        Origin::Floor { .. } => 3,
    }
}

/// What is said of one name.
enum Verdict<'a> {
    Pass(&'a Origin),
    Strip(Stripped, Option<&'a Origin>),
}

/// Builds the environment. `path` is the PATH of the box.
pub(super) fn env(scene: &mut Scene<'_>, id: &Identity, command: &Command, path: OsString) -> Env {
    let wishes = &scene.policy.wishes.env;
    let mut out = Env {
        set: own(id, command, path),
        ..Env::default()
    };
    for wish in &wishes.given {
        // The last one of a name counts, and the launcher has the values: the name is enough.
        if is_own(wish.value.os()) {
            let what = format!("--env {} is set by agentbox itself", wish.value);
            scene.problems.push(super::scene::refused(
                what,
                "leave it out",
                Some(&wish.origin),
            ));
        } else if !out.given.contains(&wish.value) {
            out.given.push(wish.value.clone());
        }
    }
    for wish in &wishes.keep {
        let name = OsStr::new(&wish.value);
        let is_set = scene.host.env.iter().any(|(n, _)| n == name)
            || wishes.set.iter().any(|(n, _)| n.os() == name)
            || out.given.iter().any(|n| n.os() == name);
        if rank(&wish.origin) == 2 && !is_pattern(&wish.value) && !is_set && !is_own(name) {
            scene.notices.push(format!(
                "--env {}: the caller has no such variable",
                OsText::from(name)
            ));
        }
    }
    for (name, wish) in &wishes.set {
        if is_own(name.os())
            || out.given.contains(name)
            || named_by_cli(&wishes.keep, name.os(), scene)
        {
            continue;
        }
        out.set.retain(|set| set.name != *name);
        out.set.push(EnvSet {
            name: name.clone(),
            value: wish.value.clone(),
            origin: wish.origin.clone(),
        });
    }
    if matches!(id.mode, IdentityMode::Shifted | IdentityMode::KernelRoot) {
        compare_no_owners(&mut out);
    }
    for (name, value) in &scene.host.env {
        let text = OsText::from(name.as_os_str());
        if out.given.contains(&text) || out.set.iter().any(|set| set.name == text) {
            continue;
        }
        if is_own(name) {
            continue;
        }
        let verdict = match judge(&wishes.keep, &wishes.deny, name, value) {
            Verdict::Pass(_) if !usable(scene, command, name, value) => {
                Verdict::Strip(Stripped::NotThere, None)
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Pass(origin) => out.pass.push(EnvPass {
                name: text,
                origin: origin.clone(),
            }),
            Verdict::Strip(why, origin) => out.stripped.push(EnvStripped {
                credential: credential::name(name.as_bytes())
                    || credential::value(value.as_bytes()),
                name: text,
                why,
                origin: origin.cloned(),
            }),
        }
    }
    out.pass.sort_by(|a, b| a.name.cmp(&b.name));
    out.pass.dedup_by(|a, b| a.name == b.name);
    out.stripped.sort_by(|a, b| a.name.cmp(&b.name));
    out.stripped.dedup_by(|a, b| a.name == b.name);
    out
}

/// A root caller's files have another owner inside than outside, and git's index remembers owners: every `git status` on
/// either side would read all files again after the other's (measured: 3.9 times). `core.checkStat = minimal` leaves owners
/// out of the comparison (git-config(1)).
fn compare_no_owners(out: &mut Env) {
    const COUNT: &str = "GIT_CONFIG_COUNT";
    if out.given.iter().any(|name| name.os() == COUNT) {
        return;
    }
    let count = out.set.iter().find(|set| set.name.os() == COUNT);
    let count = count.map_or(Some(0), |set| set.value.os().to_str()?.parse::<u32>().ok());
    // A count that is not a number is git's to complain of.
    let Some(count) = count else { return };
    let origin = Origin::agentbox("owners differ inside and outside");
    out.set.retain(|set| set.name.os() != COUNT);
    for (name, value) in [
        (COUNT.to_owned(), (count + 1).to_string()),
        (
            format!("GIT_CONFIG_KEY_{count}"),
            "core.checkStat".to_owned(),
        ),
        (format!("GIT_CONFIG_VALUE_{count}"), "minimal".to_owned()),
    ] {
        out.set.push(EnvSet {
            name: name.into(),
            value: value.into(),
            origin: origin.clone(),
        });
    }
}

fn is_own(name: &OsStr) -> bool {
    OWN.iter().any(|own| name == *own)
}

/// What the box cannot be without.
fn own(id: &Identity, command: &Command, path: OsString) -> Vec<EnvSet> {
    let origin = Origin::agentbox("the box's own");
    let set = |name: &str, value: OsText| EnvSet {
        name: name.into(),
        value,
        origin: origin.clone(),
    };
    vec![
        set("AGENTBOX", "1".into()),
        set("HOME", id.home.clone()),
        set("LOGNAME", id.user.as_str().into()),
        set("PATH", path.into()),
        set("PWD", command.cwd.clone()),
        set("SHELL", id.shell.clone()),
        set("USER", id.user.as_str().into()),
    ]
}

/// `--env NAME` is stronger than what a profile sets, if the caller has the variable.
fn named_by_cli(keep: &[Wish<String>], name: &OsStr, scene: &Scene<'_>) -> bool {
    keep.iter()
        .any(|wish| rank(&wish.origin) == 2 && OsStr::new(&wish.value) == name)
        && scene.host.env.iter().any(|(n, _)| n == name)
}

fn judge<'a>(
    keep: &'a [Wish<String>],
    deny: &'a [Wish<String>],
    name: &OsStr,
    value: &OsStr,
) -> Verdict<'a> {
    let name = name.as_bytes();
    let exact = keep
        .iter()
        .filter(|wish| wish.value.as_bytes() == name)
        .max_by_key(|wish| rank(&wish.origin));
    // Of the same strength, a rule for exactly this name is the stronger one.
    let strength = |wish: &&Wish<String>| (rank(&wish.origin), !is_pattern(&wish.value));
    let denied = deny
        .iter()
        .filter(|wish| matches(&wish.value, name))
        .max_by_key(strength);
    let by = |deny: &'a Wish<String>| Verdict::Strip(Stripped::Denied, Some(&deny.origin));
    if let Some(wish) = exact {
        let stronger = |deny: &&Wish<String>| strength(deny) >= (rank(&wish.origin), true);
        return denied
            .filter(stronger)
            .map_or(Verdict::Pass(&wish.origin), by);
    }
    if let Some(deny) = denied {
        return by(deny);
    }
    let pattern = keep
        .iter()
        .filter(|wish| is_pattern(&wish.value) && matches(&wish.value, name))
        .max_by_key(|wish| rank(&wish.origin));
    match pattern {
        None => Verdict::Strip(Stripped::NotListed, None),
        Some(_) if steering(name) => Verdict::Strip(Stripped::Denied, None),
        Some(_) if credential::value(value.as_bytes()) => {
            Verdict::Strip(Stripped::LooksLikeCredential, None)
        }
        Some(wish) => Verdict::Pass(&wish.origin),
    }
}

fn steering(name: &[u8]) -> bool {
    name.starts_with(b"LD_")
        || name.starts_with(b"GIT_CONFIG_")
        || name.starts_with(b"BASH_FUNC_")
        || STEERING.iter().any(|s| s.as_bytes() == name)
}

/// Where a push keeps what it brings until the hook pre-receive has agreed, and the store beside it (git-receive-pack(1)).
const STORES: [&str; 3] = [
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
];

/// Does the box have what these name? Of others that it has not the notices speak (`astray`), and their programs say what is missing.
fn usable(scene: &Scene<'_>, command: &Command, name: &OsStr, value: &OsStr) -> bool {
    match name.to_str() {
        Some("TMPDIR") => usable_tmpdir(scene, value),
        Some("GIT_INDEX_FILE") => usable_index(scene, command, value),
        Some(name) if STORES.contains(&name) => usable_stores(scene, command),
        _ => true,
    }
}

/// All of them or none: to git a store without the one beside it is a repository that has lost its objects, and without the third it
/// would let references name what the push may yet lose.
fn usable_stores(scene: &Scene<'_>, command: &Command) -> bool {
    let seen = |path: &Path| {
        let real = meant(scene, command, path).and_then(|path| scene.walk.canonical(&path));
        real.is_some_and(|real| scene.tree.access(&real).is_some())
    };
    let values = scene.host.env.iter().filter_map(|(name, value)| {
        let name = STORES.iter().find(|store| name == **store)?;
        Some((*name, value.as_bytes()))
    });
    let mut paths = values.flat_map(|(name, value)| {
        let many = name == "GIT_ALTERNATE_OBJECT_DIRECTORIES";
        // git's own quoting of a path with a colon in it is no path that is there.
        let paths = value.split(move |byte| many && *byte == b':');
        paths.filter(move |path| !many || !path.is_empty())
    });
    paths.all(|path| !path.is_empty() && seen(Path::new(OsStr::from_bytes(path))))
}

/// What the caller means by a path: a relative one that the command would look for elsewhere (`-C`) means nothing to it.
fn meant(scene: &Scene<'_>, command: &Command, path: &Path) -> Option<PathBuf> {
    let cwd = &scene.host.cwd;
    let real = |path: &Path| scene.walk.canonical(path);
    let same = path.is_absolute() || real(Path::new(command.cwd.os())) == real(cwd);
    same.then(|| cwd.join(path))
}

/// An index in a directory that the box can write. To git one that is not there is an empty one, and all files are deleted in it.
fn usable_index(scene: &Scene<'_>, command: &Command, value: &OsStr) -> bool {
    let path = meant(scene, command, Path::new(value)).filter(|_| !value.is_empty());
    let dir = path.and_then(|path| scene.walk.canonical(path.parent()?));
    dir.is_some_and(|dir| scene.tree.access(&dir) == Some(crate::plan::Access::Write))
}

/// A TMPDIR that the box has: /tmp itself, or a directory in something that is granted for writing.
fn usable_tmpdir(scene: &Scene<'_>, value: &OsStr) -> bool {
    let path = Path::new(value);
    path == Path::new("/tmp")
        || scene
            .walk
            .canonical(path)
            .is_some_and(|real| scene.tree.access(&real) == Some(crate::plan::Access::Write))
}
