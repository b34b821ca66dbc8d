//! The operations of the mount view, and the Landlock rules that say the same.

#![forbid(unsafe_code)]

use super::briefing::briefing;
use super::cgroups;
use super::expand::{same, within};
use super::gitconfig;
use super::grants::{self, GENERATED};
use super::hosts;
use super::identity::databases;
use super::limits::tmpfs_size;
use super::login;
use super::names::{self, Again, Cover, Named};
use super::network as net;
use super::pathmap::PathMap;
use super::scene::{Scene, show};
use super::tree::Shown;
use crate::plan::net::ssh::{CONFIG, KNOWN_HOSTS, config, known_hosts};
use crate::plan::refused::{BIN, PLAN, PROGRAM, Refused};
use crate::plan::rung::Rung;
use crate::plan::{
    Access, Identity, IdentityMode, Kind, LandlockAccess, LandlockRule, Limits, MountOp, Network,
    NetworkMode, OsText, View,
};
use crate::policy::Origin;
use std::path::{Path, PathBuf};

/// What the view is made of, when nothing is added any more.
pub(super) struct Settled {
    /// Links: where, and what each says.
    pub(super) links: PathMap<PathBuf>,
    masks: Vec<(PathBuf, Kind)>,
    /// What is hidden or frozen by name.
    pub(super) named: Named,
    /// Git's configuration without its credentials.
    cleaned: Vec<(PathBuf, MountOp)>,
    cgroups: Vec<MountOp>,
}

/// The host's merged /usr: without these links no program starts.
const USR_LINKS: [&str; 6] = ["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"];

/// What runtimes read to size themselves (libuv, JVM, Go, Chromium); besides the box's own
/// cgroups nothing else of /sys is in it.
const SYS: [&str; 3] = [
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Without these two a host does not know its own name.
const NAMES: [&str; 2] = ["/etc/hostname", "/etc/hosts"];

/// Where the briefing is.
const BRIEFING: &str = "/run/agentbox/policy.md";

/// What every box has.
pub(super) fn base(scene: &mut Scene<'_>) {
    for link in USR_LINKS {
        if let Some(walked) = scene.walk.follow(Path::new(link))
            && walked.stat.is_some()
        {
            scene.tree.links(&walked);
        }
    }
    for path in [scene.home.path.clone(), scene.workspace.path.clone()] {
        if let Some(walked) = scene.walk.follow(&path) {
            scene.tree.links(&walked);
        }
    }
    for (paths, why) in [
        (&SYS[..], "runtimes size themselves by it"),
        (&NAMES[..], "the host's name"),
    ] {
        let origin = Origin::agentbox(why);
        for path in paths {
            let path = Path::new(path);
            if scene.walk.lstat(path).is_some() && !grants::is_generated(scene, path) {
                grants::give(scene, path, Access::Read, &origin, None);
            }
        }
    }
}

/// Nothing is added to the tree after this.
pub(super) fn settle(scene: &mut Scene<'_>, private: Vec<(PathBuf, PathBuf)>) -> Settled {
    let mut places: Vec<PathBuf> = ["/proc", "/dev", "/tmp", "/var/tmp", BRIEFING]
        .into_iter()
        .chain(grants::generated(scene))
        .map(PathBuf::from)
        .collect();
    places.push(scene.home.real.clone());
    let mut links = scene
        .tree
        .settle(&|at| places.iter().any(|place| within(place, at)));
    links.retain(|at| !within(at, Path::new("/proc")) && !within(at, Path::new("/dev")));
    // The box's own link wins over the host's of the same name.
    for (at, to) in &private {
        links.insert(at.clone(), to.clone());
    }
    behind_private(scene, &mut links, &private);
    let masks = grants::masks(scene);
    let named = names::find(scene);
    gitconfig::nested(scene, &named.names);
    let mut cleaned = Vec::new();
    gitconfig::cover(scene, &mut cleaned);
    let cgroups = cgroups::mounts(scene);
    Settled {
        links,
        masks,
        named,
        cleaned,
        cgroups,
    }
}

/// What single files and links were found late to lie in a private place: nothing can be put "behind" its link.
fn behind_private(
    scene: &mut Scene<'_>,
    links: &mut PathMap<PathBuf>,
    private: &[(PathBuf, PathBuf)],
) {
    let place_of = |at: &Path| {
        private
            .iter()
            .map(|(place, _)| place)
            .find(|place| within(at, place) && !same(at, place))
    };
    let binds = scene.tree.binds().keys();
    let behind: Vec<(PathBuf, String)> = binds
        .chain(links.keys())
        .filter(|at| !scene.tree.is_behind(links, at))
        .filter_map(|at| Some((at.clone(), show(place_of(at)?))))
        .collect();
    for (at, place) in behind {
        scene.problem(
            format!("{} is in {place}, which is private", show(&at)),
            "put what it leads to in its place, take the private path out, or grant what it leads to by its own name",
            None,
        );
    }
    links.retain(|at| place_of(at).is_none());
}

/// The operations in order, and the Landlock rules.
pub(super) fn view(
    scene: &Scene<'_>,
    settled: Settled,
    id: &Identity,
    limits: &Limits,
    network: &Network,
    refused: &Refused,
    rung: Rung,
) -> (View, Vec<LandlockRule>) {
    let size = tmpfs_size(scene.host, limits);
    let binds = scene.tree.binds();
    let mut ops: PathMap<MountOp> = PathMap::new();
    let mut rules: PathMap<LandlockAccess> = PathMap::new();
    let mut tmpfs = |ops: &mut PathMap<MountOp>, path: &Path, mode: u32| {
        let target = OsText::from(path);
        rules.insert(path.to_owned(), LandlockAccess::Full);
        ops.insert(path.to_owned(), MountOp::Tmpfs { target, mode, size });
    };
    tmpfs(&mut ops, Path::new("/tmp"), 0o1777);
    tmpfs(&mut ops, &scene.home.real, 0o700);
    // Something of the host is shown below /var/tmp: then it cannot be a link.
    let var_tmp = Path::new("/var/tmp");
    let below_var_tmp = |at: &PathBuf| within(at, var_tmp) && !same(at, var_tmp);
    if binds.keys().chain(settled.links.keys()).any(below_var_tmp) {
        tmpfs(&mut ops, var_tmp, 0o1777);
    } else {
        ops.insert(var_tmp.into(), link(var_tmp, Path::new("/tmp")));
    }
    let proc = match rung {
        Rung::Full | Rung::Nested | Rung::Landlock => MountOp::Proc,
        Rung::ContainerProc => MountOp::ContainerProc,
    };
    ops.insert("/proc".into(), proc);
    ops.insert("/dev".into(), MountOp::Dev);
    for (path, access) in [
        ("/", LandlockAccess::List),
        (
            "/proc",
            match rung {
                // Who writes oom_score_adj, coredump_filter or autogroup of another process is asked for its owner only.
                Rung::ContainerProc => LandlockAccess::Read,
                Rung::Full | Rung::Nested | Rung::Landlock => LandlockAccess::Device,
            },
        ),
        ("/dev", LandlockAccess::Device),
        ("/dev/shm", LandlockAccess::Full),
        ("/dev/mqueue", LandlockAccess::Full),
        // /etc is the box's own directory: what is in it was granted name by name.
        ("/etc", LandlockAccess::Read),
    ] {
        rules.insert(path.into(), access);
    }
    let (passwd, group) = databases(id);
    for (path, content) in GENERATED.into_iter().zip([passwd, group]) {
        file(&mut ops, &mut rules, path, content);
    }
    if network.mode == NetworkMode::Filtered {
        let files = net::files(hosts::hosts(scene, network));
        for (path, content) in net::FILES.into_iter().zip(files) {
            file(&mut ops, &mut rules, path, content);
        }
    }
    if let Some(ssh) = &network.ssh {
        file(&mut ops, &mut rules, CONFIG, config());
        file(&mut ops, &mut rules, KNOWN_HOSTS, known_hosts(ssh));
    }
    ops.insert("/run".into(), dir("/run"));
    ops.insert("/run/agentbox".into(), dir("/run/agentbox"));
    file(&mut ops, &mut rules, BRIEFING, briefing(scene, id, network));
    // Made by init, since it says what this is all about.
    rules.insert(PLAN.into(), LandlockAccess::Read);
    for op in own_programs(scene, id.mode, refused) {
        if let MountOp::Bind { target, .. } = &op {
            rules.insert(target.path().to_owned(), LandlockAccess::Read);
            ops.insert(target.path().to_owned(), op);
        }
    }
    // Where a grant shows the host's tree, that is what was asked for.
    let granted = binds
        .keys()
        .any(|at| Path::new(cgroups::ROOT).starts_with(at));
    if !granted && !settled.cgroups.is_empty() {
        rules.insert(cgroups::ROOT.into(), LandlockAccess::Read);
        for op in settled.cgroups {
            if let MountOp::Cgroup { target, .. } | MountOp::Symlink { target, .. } = &op {
                ops.insert(target.path().to_owned(), op);
            }
        }
    }
    let gone = |target: &&PathBuf| settled.named.gone.contains(target);
    for (target, shown) in binds.iter().filter(|(target, _)| !gone(target)) {
        let access = match shown.access {
            Access::Read => LandlockAccess::Read,
            Access::Write => LandlockAccess::Full,
        };
        rules.merge(target.clone(), access, |a, access| *a = (*a).max(access));
        let (source, at) = (shown.source.clone().into(), target.as_path().into());
        let idmap = idmap(scene, id.mode, shown);
        let file = shown.kind == Kind::File && shown.access == Access::Read;
        let op = if file && !idmap && target.starts_with("/etc") {
            let own = login::profile(scene, target, &shown.source);
            own.unwrap_or(MountOp::Copy { source, target: at })
        } else {
            MountOp::Bind {
                source,
                target: at,
                access: shown.access,
                kind: shown.kind,
                idmap,
                create: shown.create,
            }
        };
        ops.insert(target.clone(), op);
    }
    for (at, to) in settled.links.iter() {
        ops.get_or_insert_with(at, || link(at, to));
    }
    if let Some(op) = login::zshrc(scene, id, &ops) {
        ops.insert(scene.home.real.join(login::ZSHRC), op);
    }
    for (at, kind) in settled.masks {
        let target = OsText::from(&*at);
        let op = match kind {
            Kind::Dir => MountOp::MaskDir { target },
            Kind::File => MountOp::MaskFile { target },
        };
        ops.insert(at, op);
    }
    gitconfig::put(&mut ops, settled.cleaned);
    for (at, cover) in settled.named.covers {
        covered(scene, id.mode, &mut ops, at, cover);
    }
    let redundant = |path: &Path, access: LandlockAccess| {
        let above = path.ancestors().skip(1);
        // A rule for writing stays where the work is: what an open costs grows with the way to the rule that grants it.
        access == LandlockAccess::Read
            && above
                .filter_map(|dir| rules.get(dir))
                .any(|wider| *wider == access)
    };
    let rules = rules
        .iter()
        .filter(|(path, access)| !redundant(path, **access))
        .map(|(path, access)| (path.clone(), *access))
        .map(|(path, access)| LandlockRule {
            path: path.into(),
            access,
        })
        .collect();
    // Sorted by component: parents come before what is in them.
    let ops = ops.into_iter().map(|(_, op)| op).collect();
    (View { ops }, rules)
}

/// Puts what is hidden or frozen over what is there. Hidden wins; a mount that was asked for by itself is not replaced by one
/// that only keeps a directory where it is.
fn covered(
    scene: &Scene<'_>,
    mode: IdentityMode,
    ops: &mut PathMap<MountOp>,
    at: PathBuf,
    cover: Cover,
) {
    let target = OsText::from(&*at);
    let again = |again: &Again, access| MountOp::Bind {
        source: again.source.as_path().into(),
        target: target.clone(),
        access,
        kind: again.kind,
        // As the mount that it is a part of.
        idmap: scene
            .tree
            .binds()
            .get(&again.of)
            .is_some_and(|shown| idmap(scene, mode, shown)),
        create: false,
    };
    let op = match cover {
        Cover::Empty(Kind::Dir) => MountOp::MaskDir { target },
        Cover::Empty(Kind::File) => MountOp::MaskFile { target },
        Cover::Refused(kind) => MountOp::Refuse { target, kind },
        Cover::Frozen(part) => again(&part, Access::Read),
        Cover::Pinned(part) => {
            let op = again(&part, Access::Write);
            ops.get_or_insert_with(&at, || op);
            return;
        }
    };
    ops.insert(at, op);
}

/// agentbox itself and the stubs of what is refused.
fn own_programs(scene: &Scene<'_>, mode: IdentityMode, refused: &Refused) -> [MountOp; 2] {
    let bind = |source: OsText, target: &str, kind, idmap| MountOp::Bind {
        source,
        target: target.into(),
        access: Access::Read,
        kind,
        idmap,
        create: false,
    };
    let exe = &scene.host.exe;
    // Only for root can it be that the agent may not execute it: then it is shown as the agent's own.
    let idmap = mode == IdentityMode::Shifted
        && (scene.walk.stat(exe)).is_some_and(|stat| stat.uid == 0 && stat.mode & 0o005 != 0o005);
    [
        bind(exe.clone().into(), PROGRAM, Kind::File, idmap),
        bind(refused.stubs.clone(), BIN, Kind::Dir, false),
    ]
}

fn link(at: &Path, to: &Path) -> MountOp {
    MountOp::Symlink {
        target: at.into(),
        to: to.into(),
    }
}

fn dir(target: &str) -> MountOp {
    MountOp::Dir {
        target: target.into(),
        mode: 0o755,
    }
}

fn file(
    ops: &mut PathMap<MountOp>,
    rules: &mut PathMap<LandlockAccess>,
    path: &str,
    content: String,
) {
    rules.insert(path.into(), LandlockAccess::Read);
    let op = MountOp::File {
        target: path.into(),
        mode: 0o644,
        content,
    };
    ops.insert(path.into(), op);
}

/// Is the mount id-mapped? Only what belongs to root, and only where the agent is to be its owner.
fn idmap(scene: &Scene<'_>, mode: IdentityMode, shown: &Shown) -> bool {
    if matches!(mode, IdentityMode::Same | IdentityMode::KernelRoot) {
        return false;
    }
    // What is made at the start is made by root.
    let roots = shown.owner.is_none_or(|uid| uid == 0);
    let in_home = within(&shown.source, &scene.home.real) || scene.is_private(&shown.source);
    match mode {
        IdentityMode::Same | IdentityMode::KernelRoot => false,
        IdentityMode::Shifted => {
            roots
                && (in_home
                    || shown.access == Access::Write
                    || within(&shown.source, &scene.workspace.real))
        }
        IdentityMode::Owner => {
            let refused = matches!(scene.host.idmap, crate::host::Idmap::Refused(_));
            roots && in_home && !refused
        }
    }
}
