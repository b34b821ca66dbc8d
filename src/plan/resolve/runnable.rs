//! Makes a program runnable wherever it is installed: the chain of links that leads to it, the package it is a part of, and
//! the interpreter of a script. What is added is read-only and noted in the plan.
//!
//! A script or a link in the workspace may be an agent's work, of an earlier session. What it names is added only if it is
//! software that everybody on this machine may run; else `#!/home/me/.ssh/id_rsa` would open that file to the next session.

#![forbid(unsafe_code)]

use super::command::find;
use super::grants::give;
use super::names;
use super::places::system_workspace;
use super::scene::{Scene, shell_word, show};
use crate::host::{FileType, Stat};
use crate::plan::Access;
use crate::policy::Origin;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many interpreters of interpreters are followed. The kernel's own limit is 5 (BINPRM_MAX_RECURSION).
const MAX_DEPTH: u32 = 4;

/// How much of a script is looked at: BINPRM_BUF_SIZE is 256, the shims of package managers are below 2 KiB.
const HEAD: usize = 2048;

/// Whose word it is that a program is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    /// The caller's, or that of a file which no agent can write.
    Caller,
    /// Perhaps an agent's.
    Agent,
}

/// Makes `path`, which exists, runnable.
pub(super) fn make(scene: &mut Scene<'_>, path: &Path) {
    let origin = Origin::agentbox("the command");
    one(scene, path, &origin, NamedBy::Caller, 0);
}

fn one(scene: &mut Scene<'_>, path: &Path, origin: &Origin, by: NamedBy, depth: u32) {
    let Some(walked) = scene.walk.follow(path) else {
        return;
    };
    let Some(stat) = walked.stat else {
        return;
    };
    let known = scene.tree.access(&walked.real).is_some();
    let by_agent = by == NamedBy::Agent || walked.links.iter().any(|(at, _)| agents(scene, at));
    if !known && by_agent && !is_public(scene, &walked.real, stat) {
        let real = show(&walked.real);
        scene.notices.push(format!(
            "{} leads to {real}, which is not in the box: the agent can write what names it; if it is yours, add --read {}",
            show(path),
            shell_word(&walked.real)
        ));
        return;
    }
    if !by_agent {
        let places = walked.links.iter().map(|(at, _)| at.as_path());
        let found: Vec<PathBuf> = std::iter::once(path)
            .chain(places)
            .filter_map(|place| venv_of(scene, place))
            .collect();
        for venv in found {
            environment(scene, &venv, path, origin);
        }
    }
    scene.tree.links(&walked);
    let real = walked.real.clone();
    // A part of an environment is there by now.
    if !known && scene.tree.access(&real) != Some(Access::Read) {
        let by = if by_agent { NamedBy::Agent } else { by };
        package(scene, &real, origin, by);
    }
    // Programs of the system are native or have an interpreter of the system: reading each would cost for nothing. A script
    // that somebody put there by hand (/usr/local/bin) may have its interpreter anywhere.
    if depth < MAX_DEPTH && !(known && is_system_bin(&real)) {
        script(scene, &real, origin, depth);
    }
}

/// Can an agent write this place?
fn agents(scene: &Scene<'_>, place: &Path) -> bool {
    scene.tree.access(place) == Some(Access::Write)
}

/// Software that was installed for everybody: root's, executable by all, and not in HOME.
fn is_public(scene: &Scene<'_>, real: &Path, stat: Stat) -> bool {
    let below_home = real.starts_with(&scene.home.real);
    stat.file_type == FileType::File && stat.uid == 0 && stat.mode & 0o005 == 0o005 && !below_home
}

fn is_system_bin(real: &Path) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|dir| real.parent() == Some(Path::new(dir)))
}

/// Grants the package of a program, or the program alone.
fn package(scene: &mut Scene<'_>, real: &Path, origin: &Origin, by: NamedBy) {
    if let Some((dir, what)) = package_dir(scene, real) {
        let whole = match what {
            // Root's `/srv/app/bin/tool`, which an agent names to see what lies in `/srv/app`.
            Package::Program if by == NamedBy::Agent => {
                // /opt/bin and /srv/bin have no prefix of their own.
                let prefix = prefix(real).filter(|prefix| acceptable(scene, prefix));
                let prefix = prefix.unwrap_or(&dir).to_owned();
                scene.packages.push(prefix.clone());
                program(scene, &prefix, real, origin);
                None
            }
            Package::Environment => {
                environment(scene, &dir, real, origin);
                None
            }
            Package::Program => {
                scene.packages.push(dir.clone());
                Some(PACKAGE)
            }
            Package::Installed(what) => Some(what),
        };
        if let Some(what) = whole {
            let note = format!("{what} of {}", show(real));
            give(scene, &dir, Access::Read, origin, Some(note));
        }
        if scene.tree.access(real).is_some() {
            return;
        }
    }
    if let Some(prefix) = directly_in_home(scene, real) {
        program(scene, &prefix, real, origin);
        return;
    }
    let note = "the program alone: it is not in a directory of its own".to_owned();
    if !give(scene, real, Access::Read, origin, Some(note)) {
        scene.problem(
            format!("{} is in a place that is never granted", show(real)),
            "install it elsewhere",
            Some(origin),
        );
    }
}

/// Grants what programs have beside their `bin`.
fn program(scene: &mut Scene<'_>, prefix: &Path, real: &Path, origin: &Origin) {
    let note = format!("{PACKAGE} of {}", show(real));
    parts(scene, prefix, &PROGRAM, origin, &note);
    if exists(scene, &prefix.join(JAVA.0)) {
        parts(scene, prefix, &[JAVA.1], origin, &note);
    }
}

/// The directory above the `bin` that a program lies in.
fn prefix(real: &Path) -> Option<&Path> {
    let dir = real.parent()?;
    let is_bin = matches!(dir.file_name()?.as_bytes(), b"bin" | b"sbin" | b"libexec");
    dir.parent().filter(|_| is_bin)
}

/// What such a directory is called.
const PACKAGE: &str = "the package";

/// What the directory is that a program needs to run.
enum Package {
    /// A package manager's: nobody's project.
    Installed(&'static str),
    /// It looks like a program's, and may be a project of somebody's as well.
    Program,
    /// ... or has a `bin` of Python's.
    Environment,
}

/// The directory that a program needs to run: its package.
fn package_dir(scene: &Scene<'_>, real: &Path) -> Option<(PathBuf, Package)> {
    // The outermost of both: pnpm's packages are links to their siblings below .pnpm.
    if let Some(dir) = outermost(real, &["node_modules", ".pnpm"]) {
        return Some((dir, Package::Installed("the npm packages")));
    }
    for store in ["/nix/store", "/gnu/store"] {
        if real.starts_with(store) {
            return Some((store.into(), Package::Installed("the package store")));
        }
    }
    if let Some(dir) = outermost(real, &[".linuxbrew"]) {
        return Some((dir, Package::Installed("the Homebrew prefix")));
    }
    let dir = real.parent()?;
    if let Some(prefix) = prefix(real) {
        if exists(scene, &prefix.join("pyvenv.cfg")) && may_be_given(scene, prefix) {
            return Some((prefix.to_owned(), Package::Environment));
        }
        if acceptable(scene, prefix) && looks_like_package(scene, prefix) {
            return Some((prefix.to_owned(), Package::Program));
        }
    }
    if let Ok(rest) = real.strip_prefix("/opt")
        && let Some(Component::Normal(name)) = rest.components().next()
        && rest.components().count() > 1
    {
        return Some((Path::new("/opt").join(name), Package::Program));
    }
    (acceptable(scene, dir) && looks_like_package(scene, dir))
        .then(|| (dir.to_owned(), Package::Program))
}

/// What programs have beside their `bin`, and Java's; `conf/logging` is Maven's.
const PROGRAM: [&str; 11] = [
    "bin",
    "boot",
    "conf/logging",
    "include",
    "jmods",
    "jre",
    "lib",
    "lib64",
    "libexec",
    "release",
    "share",
];

/// ... and where Java's own is: `conf` of other programs has passwords.
const JAVA: (&str, &str) = ("lib/modules", "conf");

/// The directory of a program that was unpacked directly in HOME (`~/jdk-21/bin/java`): of it the parts are granted that programs
/// have, since a project of the user's may look like it. What is known for one is none. So of one that lies among settings.
fn directly_in_home(scene: &Scene<'_>, real: &Path) -> Option<PathBuf> {
    let prefix = real.parent().filter(|dir| dir.ends_with("bin"))?.parent()?;
    let name = prefix.file_name()?.as_bytes();
    let place = prefix.parent()?;
    let home = home_of(scene, place)?;
    let is_program = (place == home || place == home.join(SETTINGS))
        && !name.starts_with(b".")
        && !names::is_top(scene, prefix)
        && ["lib", "lib64", "libexec"]
            .iter()
            .any(|name| exists(scene, &prefix.join(name)));
    is_program.then(|| prefix.to_owned())
}

/// The shortest prefix of `path` that ends with one of these names.
fn outermost(path: &Path, names: &[&str]) -> Option<PathBuf> {
    path.ancestors()
        .skip(1)
        .filter(|dir| {
            dir.file_name()
                .is_some_and(|name| names.iter().any(|n| name == *n))
        })
        .last()
        .map(Path::to_owned)
}

/// May a directory be granted because a program lies in it? Never what holds more than one thing of the user's.
fn acceptable(scene: &Scene<'_>, dir: &Path) -> bool {
    let depth = |base: &Path| dir.strip_prefix(base).map(|rest| rest.components().count());
    if system_workspace(dir).is_some() || scene.home.real.starts_with(dir) {
        return false;
    }
    let Some(home) = home_of(scene, dir) else {
        return dir.components().count() >= 3;
    };
    // ~/.cargo, ~/.bun, ~/go hold tokens and caches beside their bin/, and so does ~/.config/NAME.
    depth(home).is_ok_and(|depth| depth >= 2)
        && dir.parent() != Some(&home.join(SETTINGS))
        && !SHARED.iter().any(|s| dir == home.join(s))
}

/// Where programs keep their settings.
const SETTINGS: &str = ".config";

/// What only a HOME has, wherever it is.
const OF_HOME: [&str; 5] = [".ssh", ".gnupg", ".aws", ".netrc", ".bash_history"];

/// The HOME that `dir` is or lies in, also another's, and the user's where the variable HOME says something else.
fn home_of<'d>(scene: &'d Scene<'_>, dir: &'d Path) -> Option<&'d Path> {
    if dir.starts_with(&scene.home.real) {
        return Some(&scene.home.real);
    }
    let is_home = |dir: &Path| {
        let place = dir.parent().and_then(Path::to_str);
        dir == Path::new("/root")
            || matches!(place, Some("/home" | "/var/home"))
            || OF_HOME.iter().any(|name| exists(scene, &dir.join(name)))
    };
    dir.ancestors().find(|dir| is_home(dir))
}

/// Directories of HOME that belong to many programs.
const SHARED: [&str; 9] = [
    ".local/share",
    ".local/state",
    ".local/lib",
    ".local/bin",
    ".config/yarn",
    ".cache/yarn",
    ".local/opt",
    ".local/src",
    ".local/etc",
];

/// What directories of installed programs have and project directories of people mostly have not.
fn looks_like_package(scene: &Scene<'_>, dir: &Path) -> bool {
    [
        "lib",
        "lib64",
        "libexec",
        "share",
        "include",
        "package.json",
        "release",
        "jre",
        "resources",
        "specifications", // of RubyGems
        "autoload.php",   // of Composer
    ]
    .iter()
    .any(|name| exists(scene, &dir.join(name)))
}

fn exists(scene: &Scene<'_>, path: &Path) -> bool {
    scene.walk.lstat(path).is_some()
}

/// The venv that a place belongs to: its python is a link to the system's, and finds the venv by the name that it was called
/// by (PEP 405), so that the link's own directory has to be there.
fn venv_of(scene: &mut Scene<'_>, place: &Path) -> Option<PathBuf> {
    let bin = place.parent()?;
    if bin.file_name() != Some(OsStr::new("bin")) {
        return None;
    }
    let prefix = bin.parent()?;
    if !exists(scene, &prefix.join("pyvenv.cfg")) {
        return None;
    }
    let prefix = scene.walk.canonical(prefix)?;
    let is_known = scene.tree.access(&prefix.join("pyvenv.cfg")).is_some();
    (may_be_given(scene, &prefix) && !is_known).then_some(prefix)
}

/// What Python and pip put into an environment.
const ENVIRONMENT: [&str; 8] = [
    "bin",
    "etc",
    "include",
    "lib",
    "lib64",
    "libexec",
    "pyvenv.cfg",
    "share",
];

/// As a whole, or in its parts: directly in HOME.
fn may_be_given(scene: &Scene<'_>, venv: &Path) -> bool {
    acceptable(scene, venv)
        || venv
            .parent()
            .is_some_and(|dir| home_of(scene, dir) == Some(dir))
}

/// Grants a venv. Of one that lies directly in HOME, and of one that is a project as well, what belongs to Python.
fn environment(scene: &mut Scene<'_>, venv: &Path, program: &Path, origin: &Origin) {
    let note = format!("the Python environment of {}", show(program));
    let is_project = names::is_top(scene, venv);
    if is_project {
        scene.packages.push(venv.to_owned());
    }
    if acceptable(scene, venv) && !is_project {
        give(scene, venv, Access::Read, origin, Some(note));
    } else {
        parts(scene, venv, &ENVIRONMENT, origin, &note);
    }
    python_of(scene, venv, origin);
}

/// Grants what of `names` is there.
fn parts(scene: &mut Scene<'_>, dir: &Path, names: &[&str], origin: &Origin, note: &str) {
    for name in names {
        let note = Some(note.to_owned());
        give(scene, &dir.join(name), Access::Read, origin, note);
    }
}

/// Grants the Python that a venv was made with.
fn python_of(scene: &mut Scene<'_>, venv: &Path, origin: &Origin) {
    if let Some(base) = python_base(scene, venv)
        && scene.tree.access(&base).is_none()
    {
        let note = format!("the Python that {} was made with", show(venv));
        scene.packages.push(base.clone());
        give(scene, &base, Access::Read, origin, Some(note));
    }
}

/// The prefix of the Python that a venv was made with: `home = /prefix/bin` of pyvenv.cfg.
fn python_base(scene: &Scene<'_>, venv: &Path) -> Option<PathBuf> {
    let text = scene.walk.look.read(&venv.join("pyvenv.cfg"), HEAD)?;
    let home = text.split(|b| *b == b'\n').find_map(|line| {
        let at = line.iter().position(|b| *b == b'=')?;
        let (key, value) = line.split_at(at);
        (key.trim_ascii() == b"home").then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })?;
    let bin = scene.walk.canonical(Path::new(OsStr::from_bytes(home)))?;
    if bin.file_name() != Some(OsStr::new("bin")) {
        return None;
    }
    let prefix = bin.parent()?;
    // An agent may have written the file, in a session about another project.
    let is_python = exists(scene, &bin.join("python3")) || exists(scene, &bin.join("python"));
    (is_python && acceptable(scene, prefix)).then(|| prefix.to_owned())
}

/// The interpreter of a script, and the file that a package manager's shim starts.
fn script(scene: &mut Scene<'_>, real: &Path, origin: &Origin, depth: u32) {
    let Some(head) = scene.walk.look.read(real, HEAD) else {
        return;
    };
    let Some(line) = head
        .strip_prefix(b"#!")
        .and_then(|rest| rest.split(|b| *b == b'\n').next())
    else {
        return;
    };
    let mut words = line
        .split(|b| b.is_ascii_whitespace())
        .filter(|w| !w.is_empty());
    let Some(interpreter) = words.next() else {
        return;
    };
    let interpreter = Path::new(OsStr::from_bytes(interpreter)).to_owned();
    let by = if agents(scene, real) {
        NamedBy::Agent
    } else {
        NamedBy::Caller
    };
    // Only these two end a word for the kernel: with the line ends of Windows the name has a `\r`.
    let literal = line
        .split(|b| matches!(b, b' ' | b'\t'))
        .find(|w| !w.is_empty());
    let literal = literal.map(|word| Path::new(OsStr::from_bytes(word)));
    if let Some(name) = literal.filter(|name| name.is_absolute() && scene.walk.stat(name).is_none())
    {
        scene.notices.push(format!(
            "the `#!` line of {} names {}, which is not there",
            show(real),
            show(name)
        ));
    }
    if interpreter.is_absolute() {
        one(scene, &interpreter, origin, by, depth + 1);
    }
    if interpreter.file_name() == Some(OsStr::new("env")) {
        // env(1): options and assignments come before the command.
        let command = words.find(|w| !w.starts_with(b"-") && !w.contains(&b'='));
        let command = command.map(OsStr::from_bytes);
        // Found in a directory that the caller has in PATH: that is the caller's word. A name with a slash is not.
        let by = match command {
            Some(name) if !name.as_bytes().contains(&b'/') => NamedBy::Caller,
            _ => by,
        };
        if let Some(path) = command.and_then(|name| find(scene, name).ok()) {
            one(scene, &path, origin, by, depth + 1);
        }
    }
    for target in shim_targets(&head) {
        let Some(dir) = real.parent() else { continue };
        // Not its canonical path: the links on the way have to be in the box.
        let path = dir.join(OsStr::from_bytes(target));
        one(scene, &path, origin, by, depth + 1);
    }
}

/// npm's and pnpm's shims: `exec node "$basedir/../lib/x.js" "$@"`.
fn shim_targets(head: &[u8]) -> Vec<&[u8]> {
    const MARK: &[u8] = b"\"$basedir/";
    let mut out: Vec<&[u8]> = Vec::new();
    let mut rest = head;
    while let Some(at) = rest.windows(MARK.len()).position(|w| w == MARK) {
        rest = rest.get(at + MARK.len()..).unwrap_or_default();
        let target = rest.split(|b| *b == b'"').next().unwrap_or_default();
        // "$basedir/node" is the interpreter beside the shim, which is tried first and mostly absent.
        if !target.is_empty() && target.len() < rest.len() && !out.contains(&target) {
            out.push(target);
        }
    }
    out
}
