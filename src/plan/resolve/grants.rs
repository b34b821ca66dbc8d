//! The `read` and `write` wishes of `[files]` become grants, and what must never be granted is refused.

#![forbid(unsafe_code)]

use super::expand::{expand_each, expand_for, from_cli, same, within};
use super::network;
use super::places::{NEVER_WHOLE, SECRETS, is_host_key, secret};
use super::project;
use super::scene::{Scene, shell_word, show};
use super::ssh;
use super::tree::Shown;
use super::walk::Walked;
use crate::host::FileType;
use crate::plan::{Access, GrantKind, Kind, NetworkMode, OsText};
use crate::policy::{Origin, PathWish, Wish};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Read and write wishes.
pub(super) fn files(scene: &mut Scene<'_>) {
    let files = &scene.policy.wishes.files;
    for wish in &files.write {
        for path in expand_each(scene, wish) {
            if let Some(walked) = scene.walk.follow(&path)
                // What is refused is told by itself, and not once more for each link that it holds.
                && never(scene, &path, &walked, wish, Access::Write).is_none()
            {
                scene.writable.push(walked.real.clone());
            }
        }
    }
    for (wishes, access) in [(&files.read, Access::Read), (&files.write, Access::Write)] {
        for wish in wishes {
            for path in expand_each(scene, wish) {
                ask(scene, &path, wish, access);
            }
        }
    }
    if scene.tree.access(&scene.workspace.real).is_none() && scene.problems.is_empty() {
        let workspace = scene.workspace.path.clone();
        let origin = Origin::agentbox("the workspace");
        give(scene, &workspace, Access::Write, &origin, None);
    }
}

/// A linked work tree is a project of the repository that it proved to belong to: Claude Code keeps its memory by the main work
/// tree. Not of one that the box writes anyway: an agent can have made it where its name is that of another project.
pub(super) fn main_project(scene: &mut Scene<'_>) {
    let Some(main) = scene.main.clone() else {
        return;
    };
    for wish in &scene.policy.wishes.files.write {
        if project::is_in(&wish.value.path)
            && let Some(path) = expand_for(scene, wish, &main)
        {
            ask(scene, &path, wish, Access::Write);
        }
    }
}

fn ask(scene: &mut Scene<'_>, path: &Path, wish: &Wish<PathWish>, access: Access) {
    let Some(walked) = scene.walk.follow(path) else {
        return missing(scene, path, wish, "is a loop of symlinks");
    };
    if is_generated(scene, path) {
        return;
    }
    match walked.stat {
        None if wish.value.make_dir => {}
        None => return missing(scene, path, wish, "does not exist"),
        Some(stat) => match stat.file_type {
            FileType::Dir => {}
            _ if wish.value.make_dir => {
                let what = format!("{} is not a directory", show(path));
                let remedy = "take the trailing / away, or move the file".to_owned();
                return scene.problem(what, remedy, Some(&wish.origin));
            }
            FileType::Socket => {
                return scene.problem(
                    format!("{} is a socket: whoever answers there acts outside of the box", show(path)),
                    "take it out of the profile; a service of the host is reached through the network",
                    Some(&wish.origin),
                );
            }
            FileType::Other if !is_box_own(&walked.real) => {
                return scene.problem(
                    format!("{} is a device or a fifo", show(path)),
                    "take it out of the profile; the box has a /dev of its own",
                    Some(&wish.origin),
                );
            }
            _ => {}
        },
    }
    if let Some((what, remedy)) = forbidden(scene, path, &walked, wish, access) {
        return scene.problem(what, remedy, Some(&wish.origin));
    }
    let mut note = None;
    if walked.real != path && walked.last_link.is_some() {
        note = Some(format!("a link to {}", show(&walked.real)));
    }
    put(
        scene,
        path,
        &walked,
        access,
        wish.value.make_dir,
        &wish.origin,
        note,
    );
}

/// Files that the box has of its own whatever is wished.
pub(super) const GENERATED: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// Whether the box has that file of its own, whatever the host has.
pub(super) fn is_generated(scene: &Scene<'_>, path: &Path) -> bool {
    generated(scene).any(|file| same(path, Path::new(file)))
}

/// Every such file.
pub(super) fn generated(scene: &Scene<'_>) -> impl Iterator<Item = &'static str> + use<> {
    let names: &[&str] = match network::mode(scene) {
        NetworkMode::Filtered => &network::FILES,
        NetworkMode::None | NetworkMode::Host => &[],
    };
    let ssh: &[&str] = match network::mode(scene) {
        NetworkMode::Filtered if ssh::is_wished(scene) => &ssh::FILE,
        _ => &[],
    };
    let more = names.iter().chain(ssh).copied();
    GENERATED.into_iter().chain(more)
}

/// Shown by the box's own /proc or /dev.
fn is_box_own(real: &Path) -> bool {
    within(real, Path::new("/proc")) || within(real, Path::new("/dev"))
}

fn missing(scene: &mut Scene<'_>, path: &Path, wish: &Wish<PathWish>, why: &str) {
    if wish.value.optional {
        return;
    }
    let remedy = if from_cli(&wish.origin) {
        let hidden = format!("!{}", show(path));
        match path.starts_with(&scene.workspace.real) {
            true => format!(
                "name a path that exists; what is made in the session under a hidden name is shown by `--hide {0}`, and left under a protected one by `--protect {0}`",
                OsText::from(hidden.as_str()).shell_word()
            ),
            false => "name a path that exists".to_owned(),
        }
    } else {
        format!(
            "make it, or write \"{}?\" if it may be missing",
            wish.value.path
        )
    };
    scene.problem(format!("{} {why}", show(path)), remedy, Some(&wish.origin));
}

/// What is never granted, with the remedy.
pub(super) fn forbidden(
    scene: &Scene<'_>,
    path: &Path,
    walked: &Walked,
    wish: &Wish<PathWish>,
    access: Access,
) -> Option<(String, String)> {
    // A link that an agent can replace would make the next session grant whatever it says; also where the user names it:
    // `--write src` means the directory that was there, not what an earlier session has put in its place.
    if let Some((link, _)) = walked.links.iter().find(|(at, _)| {
        let mut roots = scene.writable.iter().chain([&scene.workspace.real]);
        roots.any(|root| at != root && within(at, root) && !within(&walked.real, root))
    }) {
        let (name, link, real) = (show(path), show(link), show(&walked.real));
        return Some((
            format!("{name} leads to {real} by the link {link}, which the agent can write"),
            "name the real path".to_owned(),
        ));
    }
    never(scene, path, walked, wish, access)
}

/// What is never granted whoever can write what.
fn never(
    scene: &Scene<'_>,
    path: &Path,
    walked: &Walked,
    wish: &Wish<PathWish>,
    access: Access,
) -> Option<(String, String)> {
    // Nearly every path is fine: its name for a message is made where it is needed.
    let narrower = || "grant only what is needed of it".to_owned();
    for place in [path, &walked.real] {
        if NEVER_WHOLE.iter().any(|dir| same(place, Path::new(dir))) {
            return Some((
                format!("{} is never granted as a whole", show(path)),
                narrower(),
            ));
        }
        if same(place, &scene.home.path) || same(place, &scene.home.real) {
            return Some((
                format!(
                    "{} is HOME, and HOME is never granted as a whole",
                    show(path)
                ),
                narrower(),
            ));
        }
        if let Some(dir) = scene.own_dirs.iter().find(|dir| within(place, dir)) {
            return Some((
                format!("{} is agentbox's own ({})", show(path), show(dir)),
                "take it out".into(),
            ));
        }
        // What holds HOME as well is judged by that below.
        let in_home = |dir: &Path| {
            within(&scene.home.real, place) && within(dir, &scene.home.real)
                || within(&scene.home.path, place) && within(dir, &scene.home.path)
        };
        if let Some(dir) = scene
            .own_dirs
            .iter()
            .find(|dir| within(dir, place) && !in_home(dir))
        {
            return Some((
                format!("{} holds agentbox's own {}", show(path), show(dir)),
                narrower(),
            ));
        }
    }
    // HOME in the box is the box's own, whatever is around it. So a built-in `/usr` is harmless to a user who lives below.
    if within(&scene.home.real, &walked.real) && !matches!(wish.origin, Origin::Builtin { .. }) {
        return Some((format!("{} holds HOME", show(path)), narrower()));
    }
    let exact = from_cli(&wish.origin) && access == Access::Read;
    if let Some(what) = secret(&walked.real).or_else(|| secret(path))
        && !exact
    {
        return Some((
            format!("{} is or holds a secret of the system ({what})", show(path)),
            format!(
                "it is never part of a profile; `--read {}` shows it for one run",
                shell_word(path)
            ),
        ));
    }
    if access == Access::Write && within(&walked.real, Path::new("/sys")) {
        return Some((
            format!("{} is in /sys, which is never writable", show(path)),
            "grant it for reading".into(),
        ));
    }
    None
}

/// Shows what agentbox itself found to be needed. The caller has made sure that it exists. `false` if it is never granted.
pub(super) fn give(
    scene: &mut Scene<'_>,
    path: &Path,
    access: Access,
    origin: &Origin,
    note: Option<String>,
) -> bool {
    let Some(walked) = scene.walk.follow(path) else {
        return false;
    };
    let wish = Wish {
        value: PathWish {
            path: OsText::from(path),
            optional: false,
            make_dir: false,
        },
        origin: origin.clone(),
    };
    if walked.stat.is_none() || forbidden(scene, path, &walked, &wish, access).is_some() {
        return false;
    }
    put(scene, path, &walked, access, false, origin, note);
    true
}

fn put(
    scene: &mut Scene<'_>,
    path: &Path,
    walked: &Walked,
    access: Access,
    create: bool,
    origin: &Origin,
    note: Option<String>,
) {
    let kind = match access {
        Access::Read => GrantKind::Read,
        Access::Write => GrantKind::Write,
    };
    scene.grant(path, kind, origin, note);
    if is_box_own(&walked.real) {
        return scene.tree.links(walked);
    }
    let shown = Shown {
        source: walked.real.clone(),
        access,
        kind: if walked.is_dir() || walked.stat.is_none() {
            Kind::Dir
        } else {
            Kind::File
        },
        create,
        owner: walked.stat.map(|stat| stat.uid),
    };
    scene.tree.show(path, walked, shown);
}

/// The path of a line of /proc/net/unix; none of the heading, of one without a name and of an abstract one.
fn socket_name(line: &[u8]) -> Option<&Path> {
    // Num RefCount Protocol Flags Type St Inode Path; a path may hold spaces.
    let mut rest = line;
    for _ in 0..7 {
        let from = rest.iter().position(|b| *b != b' ')?;
        let word = rest.get(from..)?;
        let end = word.iter().position(|b| *b == b' ')?;
        rest = word.get(end..)?;
    }
    let name = rest.get(1..).filter(|name| !name.is_empty())?;
    let heading = line.starts_with(b"Num");
    (!heading && name.first() != Some(&b'@')).then(|| Path::new(OsStr::from_bytes(name)))
}

/// More than /proc has of sockets on any host that is not under attack.
const SOCKETS_MAX: usize = 4 << 20;

/// Sockets of running programs that lie in a grant: whoever answers there acts outside of the box, and neither a read-only
/// mount nor Landlock refuses a connect(2). What is bound later, or under a relative name elsewhere than in the work, is not
/// known here: the keeper looks for it.
fn sockets(scene: &Scene<'_>) -> Vec<PathBuf> {
    let table = scene
        .walk
        .look
        .read(Path::new("/proc/net/unix"), SOCKETS_MAX)
        .unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for line in table.split(|b| *b == b'\n') {
        let Some(name) = socket_name(line) else {
            continue;
        };
        // A relative name is one in the directory in which its program ran when it was bound, which nobody says: as a rule
        // that of the work.
        let path = scene.workspace.real.join(name);
        let path = path.as_path();
        // By name first: most of a desktop's sockets are nowhere near a grant, and each look costs.
        if scene.tree.holder(path).is_none() && !within(path, &scene.workspace.path) {
            continue;
        }
        let Some(walked) = scene.walk.follow(path) else {
            continue;
        };
        let is_socket = walked
            .stat
            .is_some_and(|stat| stat.file_type == FileType::Socket);
        let shown = scene
            .tree
            .holder(&walked.real)
            .is_some_and(|(target, shown)| target == shown.source);
        if is_socket && shown && !found.contains(&walked.real) {
            found.push(walked.real.clone());
        }
    }
    found
}

/// The secrets that lie in a grant and are not granted themselves: they read as empty. Each is (path, kind).
pub(super) fn masks(scene: &mut Scene<'_>) -> Vec<(PathBuf, Kind)> {
    let mut found = Vec::new();
    let mut places: Vec<PathBuf> = SECRETS.iter().map(PathBuf::from).collect();
    if scene.tree.holder(Path::new("/etc/ssh")).is_some() {
        let names = scene.walk.look.read_dir(Path::new("/etc/ssh"));
        places.extend(
            names
                .iter()
                .map(|name| Path::new("/etc/ssh").join(name))
                .filter(|path| is_host_key(path)),
        );
    }
    for place in places {
        if scene.tree.binds().contains_key(&place) || scene.tree.holder(&place).is_none() {
            continue;
        }
        let Some(stat) = scene.walk.lstat(&place) else {
            continue;
        };
        let kind = match stat.file_type {
            FileType::Dir => Kind::Dir,
            // A link is not masked but what it leads to, and that is visible only by a grant of its own.
            FileType::Symlink => continue,
            _ => Kind::File,
        };
        scene.grant(
            &place,
            GrantKind::Hidden,
            &Origin::agentbox("a secret of the system"),
            None,
        );
        found.push((place, kind));
    }
    for place in sockets(scene) {
        scene.notices.push(format!(
            "{} is a socket of a program outside: it is hidden",
            show(&place)
        ));
        let origin = Origin::agentbox("a socket of a program outside");
        scene.grant(&place, GrantKind::Hidden, &origin, None);
        found.push((place, Kind::File));
    }
    found
}
