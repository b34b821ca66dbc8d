//! What is kept of HOME without being the host's own: `private` places, which persist, and `state` files, which are copies.

#![forbid(unsafe_code)]

use super::expand::{expand, within};
use super::grants::forbidden;
use super::project;
use super::scene::{Scene, shell_word, show};
use super::tree::Shown;
use crate::host::FileType;
use crate::plan::rung::Rung;
use crate::plan::{Access, Grant, GrantKind, Kind, StateFile};
use crate::policy::{Origin, PathWish, Wish};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Whose private places every box has, and which share one mount, so that links and renames work among them: caches of tools.
const SHARED: [&str; 2] = ["base", "toolchains"];

/// A place of the box's own.
struct Own<'p> {
    wish: &'p Wish<PathWish>,
    kind: GrantKind,
    /// The directory of the host that holds what is behind it.
    root: PathBuf,
}

impl Own<'_> {
    /// Does nothing have to be there? Of a file only the directory: its program makes it.
    fn is_file(&self) -> bool {
        self.kind == GrantKind::Project && !self.wish.value.make_dir
    }
}

/// What is behind the places of this wish. A profile's own (one may hold a login) are for boxes with that profile alone.
fn root_of(scene: &Scene<'_>, wish: &Wish<PathWish>, kind: GrantKind) -> PathBuf {
    if kind == GrantKind::Project {
        let profile = match &wish.origin {
            Origin::Builtin { profile, .. } => profile.as_ref(),
            Origin::File { path, .. } => Path::new(path).file_stem().unwrap_or_default(),
            _ => OsStr::new("any"),
        };
        let store = project::store(&profile.to_string_lossy(), &scene.workspace.real);
        return scene.private_own.join(store);
    }
    let of = |name: &OsStr| scene.private_own.join(name);
    match &wish.origin {
        Origin::Builtin { profile, .. } if !SHARED.contains(&profile.as_str()) => {
            of(profile.as_ref())
        }
        Origin::File { path, .. } => match Path::new(path).file_stem() {
            // The user's settings for every box.
            Some(name) if name != "config" => of(name),
            _ => scene.private_root.clone(),
        },
        _ => scene.private_root.clone(),
    }
}

/// Says that a cache is not in the box, unless there is none or it was granted.
fn elsewhere(scene: &mut Scene<'_>, place: &Path) {
    if scene.walk.lstat(place).is_some() && scene.tree.access(place).is_none() {
        scene.notices.push(format!(
            "{} is not below HOME, and the box has no such place of its own; --write {} grants yours",
            show(place),
            shell_word(place)
        ));
    }
}

/// What is granted below a place that is covered is shown in it by itself; a mount of its own needs a directory there.
fn shown_in(scene: &mut Scene<'_>, place: &Path, target: &Path, dirs: &mut Vec<PathBuf>) {
    let granted = scene.writable.clone();
    for source in granted {
        let stat = scene.walk.lstat(&source);
        let is_dir = stat.is_none_or(|stat| stat.file_type == FileType::Dir);
        let rest = source.strip_prefix(place).ok();
        let Some(rest) = rest.filter(|rest| is_dir && !rest.as_os_str().is_empty()) else {
            continue;
        };
        dirs.push(target.join(rest));
        if !scene.tree.binds().keys().any(|at| *at == source) {
            let shown = Shown {
                source: source.clone(),
                access: Access::Write,
                kind: Kind::Dir,
                create: true,
                owner: stat.map(|stat| stat.uid),
            };
            scene.tree.bind(source, shown);
        }
    }
}

/// `private` and `project` wishes: links into persistent directories of the box's own. Returns the links and the host directories that have
/// to be made.
pub(super) fn private(
    scene: &mut Scene<'_>,
    rung: Rung,
) -> (Vec<(PathBuf, PathBuf)>, Vec<PathBuf>) {
    let mut asked: Vec<(PathBuf, Own<'_>)> = Vec::new();
    let files = &scene.policy.wishes.files;
    let private = files.private.iter().map(|wish| (wish, GrantKind::Private));
    let project = files.project.iter().map(|wish| (wish, GrantKind::Project));
    for (wish, kind) in private.chain(project) {
        let Some(path) = expand(scene, wish) else {
            continue;
        };
        // The name itself is the box's own; only what leads to it is followed.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            scene.problem(
                format!("{} cannot be private", show(&path)),
                "name a directory below HOME",
                Some(&wish.origin),
            );
            continue;
        };
        let Some(walked) = scene.walk.follow(parent) else {
            scene.problem(
                format!("{} is a loop of symlinks", show(parent)),
                "name another path",
                Some(&wish.origin),
            );
            continue;
        };
        let place = walked.real.join(name);
        scene.tree.links(&walked);
        if !asked.iter().any(|(other, _)| *other == place) {
            let root = root_of(scene, wish, kind);
            asked.push((place, Own { wish, kind, root }));
        }
    }
    asked.sort_by(|a, b| a.0.cmp(&b.0));
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut dirs = Vec::new();
    let mut roots = Vec::new();
    // In a directory that is granted for writing no link can be made, since it would be the host's: such a place is covered.
    let mut covers = Vec::new();
    for (place, own) in asked {
        let wish = own.wish;
        let name = show(&place);
        let Ok(rest) = place.strip_prefix(&scene.home.real) else {
            // `~/.cargo` leads to another disk: no reason to begin nothing.
            let named = expand(scene, wish);
            let is_led = named.is_some_and(|path| path.starts_with(&scene.home.path));
            if is_led && matches!(wish.origin, Origin::Builtin { .. }) {
                elsewhere(scene, &place);
                continue;
            }
            scene.problem(
                format!("{name} cannot be private: it is not below HOME"),
                "only places below HOME can be",
                Some(&wish.origin),
            );
            continue;
        };
        if rest.as_os_str().is_empty() {
            scene.problem(
                format!("{name} cannot be private: it is HOME"),
                "HOME in the box is private already; name a directory in it that shall persist",
                Some(&wish.origin),
            );
            continue;
        }
        let holds = [&scene.private_root, &scene.private_own];
        if holds.iter().any(|root| within(root, &place))
            || scene.own_dirs.iter().any(|d| within(d, &place))
        {
            scene.problem(
                format!("{name} cannot be private: it holds agentbox's own directories"),
                "name a directory in it",
                Some(&wish.origin),
            );
            continue;
        }
        let is_project = own.kind == GrantKind::Project;
        // Who grants it by name, or all around it for writing, means what is there of all projects.
        let all = |grant: &Grant| {
            let at = grant.path.path();
            let holds = grant.kind == GrantKind::Write && within(&place, at);
            !grant.is_built_in() && (holds || at == place)
        };
        if is_project && scene.grants.iter().any(all) {
            continue;
        }
        let target = own.root.join(rest);
        if let Some((holder, shown)) = scene.tree.holder(&place) {
            let coverable = (is_project || shown.access == Access::Write)
                && shown.kind == Kind::Dir
                && shown.source == holder
                && holder != place
                && !own.is_file();
            if coverable {
                covers.push((place, target, own));
                continue;
            }
            // What the human gave (`--write ~/.claude/plans`, `--read ~/.m2`) or works on (dotfiles) is the box's: that a profile of
            // ours would have it apart is no reason to begin nothing.
            let is_given = |grant: &Grant| !grant.is_built_in() && grant.path.path() == holder;
            if matches!(wish.origin, Origin::Builtin { .. })
                && (is_project || scene.grants.iter().any(is_given))
            {
                continue;
            }
            let holder = show(holder);
            scene.problem(
                format!("{name} cannot be private: it lies in {holder}, which is granted"),
                "grant less of that, or take the private path out",
                Some(&wish.origin),
            );
            continue;
        }
        if links.iter().any(|(other, _)| within(&place, other)) {
            continue;
        }
        // What is granted below the link would be the box's own directory there and not the host's, where nothing can be mounted
        // behind it: without mounts, and where the host has a link, too.
        let grants_in = |place: &Path| scene.tree.binds().keys().any(|at| within(at, place));
        let leads = scene.walk.follow(&place).map(|walked| walked.real.clone());
        let is_lost = |real: &Path| rung == Rung::Landlock || real != place;
        if is_project && leads.is_some_and(|real| is_lost(&real) && grants_in(&real)) {
            continue;
        }
        scene.grant(&place, own.kind, &wish.origin, None);
        dirs.push(match target.parent() {
            Some(parent) if own.is_file() => parent.to_owned(),
            _ => target.clone(),
        });
        if !roots.contains(&own.root) {
            roots.push(own.root);
        }
        links.push((place, target));
    }
    for (place, target, own) in covers {
        scene.grant(&place, own.kind, &own.wish.origin, None);
        shown_in(scene, &place, &target, &mut dirs);
        dirs.extend([target.clone(), place.clone()]);
        let owner = scene.walk.lstat(&target).map(|stat| stat.uid);
        scene.tree.bind(
            place,
            Shown {
                source: target,
                access: Access::Write,
                kind: Kind::Dir,
                create: true,
                owner,
            },
        );
    }
    for root in roots {
        let stat = scene.walk.lstat(&root);
        scene.tree.bind(
            root.clone(),
            Shown {
                source: root,
                access: Access::Write,
                kind: Kind::Dir,
                create: true,
                owner: stat.map(|stat| stat.uid),
            },
        );
    }
    if !links.is_empty() {
        move_grants(scene, &links, &mut dirs);
    }
    (links, dirs)
}

/// A grant below a private place hangs where the link leads: nothing can be mounted "behind" a link.
fn move_grants(scene: &mut Scene<'_>, links: &[(PathBuf, PathBuf)], dirs: &mut Vec<PathBuf>) {
    for (target, shown) in scene.tree.take_binds() {
        let Some((place, to)) = links.iter().find(|(place, _)| within(&target, place)) else {
            scene.tree.bind(target, shown);
            continue;
        };
        let moved = target
            .strip_prefix(place)
            .map_or_else(|_| to.clone(), |rest| to.join(rest));
        // The mount point has to be there, and the private place is a directory of the host.
        match shown.kind {
            // Something is in it: in a box of the same working copy that was started elsewhere nothing is mounted there, and to
            // remove an empty directory would take the mount from under the other one (rmdir(2), since Linux 3.18).
            Kind::Dir => dirs.push(moved.join(".mounted")),
            Kind::File => {
                let (name, place) = (show(&target), show(place));
                scene.problem(
                    format!("{name} is a single file in {place}, which is private"),
                    "grant the directory that holds the file, or take the private path out",
                    None,
                );
                continue;
            }
        }
        scene.tree.bind(moved, shown);
    }
}

/// `state` wishes. `private` are the links of [`private`].
pub(super) fn state(scene: &mut Scene<'_>, private: &[(PathBuf, PathBuf)]) -> Vec<StateFile> {
    let mut out: Vec<StateFile> = Vec::new();
    for wish in &scene.policy.wishes.files.state {
        let Some(path) = expand(scene, wish) else {
            continue;
        };
        let name = show(&path);
        let origin = Some(&wish.origin);
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
            scene.problem(
                format!("{name} is no file"),
                "name a file below HOME",
                origin,
            );
            continue;
        };
        let (Some(walked), Some(above)) = (scene.walk.follow(&path), scene.walk.follow(parent))
        else {
            scene.problem(
                format!("{name} is a loop of symlinks"),
                "name another file",
                origin,
            );
            continue;
        };
        if walked.stat.is_some_and(|s| s.file_type != FileType::File) {
            scene.problem(
                format!("{name} is not a regular file"),
                "`state` is for single files; use `write` for a directory",
                origin,
            );
            continue;
        }
        if let Some((what, remedy)) = forbidden(scene, &path, &walked, wish, Access::Write) {
            scene.problem(what, remedy, origin);
            continue;
        }
        let target = above.real.join(file);
        if !within(&target, &scene.home.real) {
            scene.problem(
                format!("{name} is not below HOME"),
                "`state` is for files of HOME; use `write` with its directory",
                origin,
            );
            continue;
        }
        if let Some((place, _)) = private.iter().find(|(place, _)| within(&target, place)) {
            let place = show(place);
            scene.problem(
                format!("{name} cannot be a copy: it lies in {place}, which is private"),
                "take one of the two out",
                origin,
            );
            continue;
        }
        // Granted with its directory: the program can replace the host's own file.
        if let Some((holder, shown)) = scene.tree.holder(&target) {
            if shown.access == Access::Write && shown.kind == Kind::Dir {
                continue;
            }
            let holder = show(holder);
            scene.problem(
                format!("{name} cannot be a copy: it lies in {holder}, which is granted"),
                "grant less of that, or grant it for writing",
                origin,
            );
            continue;
        }
        scene.tree.links(&above);
        let file = StateFile {
            source: walked.real.clone().into(),
            target: target.into(),
            origin: wish.origin.clone(),
        };
        let note = (!file.travels()).then(|| "not written back: it goes with the box".to_owned());
        scene.grant(&path, GrantKind::State, &wish.origin, note);
        if !out.contains(&file) {
            out.push(file);
        }
    }
    out
}
