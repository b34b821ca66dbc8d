//! The rung `landlock`: there is no view, so what the view would be is said by Landlock rules on the host's own paths. HOME is a
//! directory that is made for the session, with links to what is granted of the caller's.

#![forbid(unsafe_code)]

use super::expand::within;
use super::login::PROFILE;
use super::scene::{Scene, show};
use crate::plan::names::{How, NameKind, Names};
use crate::plan::refused::Refused;
use crate::plan::rung::{Bare, BareFile};
use crate::plan::{
    Access, Env, EnvSet, Identity, LandlockAccess, LandlockRule, MountOp, Network, NetworkMode,
    OsText, StateFile, View,
};
use crate::policy::Origin;
use std::path::{Path, PathBuf};

/// Device nodes that programs need. Other terminals of the user are not among them: who could open one could read what is typed
/// there.
const DEVICES: [&str; 7] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
];

/// What a view has as files of its own, and here is the place's.
const NAMES: [&str; 7] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/host.conf",
];

/// The name of the briefing in the session's directory.
const BRIEFING: &str = "/run/agentbox/policy.md";

/// The system's configuration of git, where a copy without credentials is shown in its place: git fails where it may not read that
/// file, and takes another one by a variable.
const GIT_SYSTEM: &str = "/etc/gitconfig";
const OWN_GIT_SYSTEM: &str = "run/gitconfig";

/// Turns the operations of the view into rules, links and holes.
pub(super) fn bare(
    scene: &mut Scene<'_>,
    view: &View,
    refused: &Refused,
    network: &Network,
) -> (Bare, Vec<LandlockRule>) {
    let place = scene.host.scratch.clone();
    let home = scene.home.real.clone();
    let in_home = |at: &Path| {
        let rest = at.strip_prefix(&home).ok()?;
        (!rest.as_os_str().is_empty()).then(|| rest.to_owned())
    };
    let mut rules: Vec<(PathBuf, LandlockAccess)> = Vec::new();
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut files: Vec<BareFile> = Vec::new();
    let mut holes: Vec<PathBuf> = Vec::new();
    let mut link = |at: PathBuf, to: PathBuf| {
        // What is below a link is reached by it. Operations come with parents first.
        if !links.iter().any(|(above, _)| within(&at, above)) {
            links.push((at, to));
        }
    };
    let mut covers = Vec::new();
    let mut own: Vec<(&Path, OsText)> = Vec::new();
    for op in &view.ops {
        match op {
            MountOp::Bind {
                source,
                target,
                access,
                ..
            } => {
                let access = match access {
                    Access::Read => LandlockAccess::Read,
                    Access::Write => LandlockAccess::Full,
                };
                rules.push((source.path().to_owned(), access));
                if let Some(at) = in_home(target.path()) {
                    link(at, source.path().to_owned());
                }
            }
            MountOp::Copy { source, .. } => {
                rules.push((source.path().to_owned(), LandlockAccess::Read));
            }
            MountOp::Symlink { target, to } => {
                if let Some(at) = in_home(target.path()) {
                    let above = target.path().parent().unwrap_or(Path::new("/"));
                    link(at, above.join(to.path()));
                }
            }
            MountOp::MaskFile { target } | MountOp::MaskDir { target } => {
                holes.push(target.path().to_owned());
            }
            MountOp::Refuse { target, .. } => holes.push(target.path().to_owned()),
            MountOp::Cover { target, content } => {
                holes.push(target.path().to_owned());
                covers.push((target.path(), content));
            }
            MountOp::File {
                target, content, ..
            } => {
                if target.path() == Path::new(BRIEFING) {
                    files.push(BareFile {
                        path: "run/policy.md".into(),
                        content: content.as_str().into(),
                    });
                } else if target.path() == Path::new(GIT_SYSTEM) {
                    files.push(BareFile {
                        path: OWN_GIT_SYSTEM.into(),
                        content: content.as_str().into(),
                    });
                } else if target.path() == Path::new(PROFILE) {
                    // Without a view it is the place's.
                    rules.push((target.path().to_owned(), LandlockAccess::Read));
                } else {
                    own.push((target.path(), content.as_str().into()));
                }
            }
            MountOp::Dir { .. }
            | MountOp::Tmpfs { .. }
            | MountOp::Cgroup { .. }
            | MountOp::Proc
            | MountOp::ContainerProc
            | MountOp::Dev => {}
        }
    }
    // The box's HOME can have a file of its own, but not in a directory that is a link to the host's.
    let file = |target: &Path, content: &OsText| {
        let at = in_home(target)?;
        let beneath = links
            .iter()
            .any(|(above, _)| at != *above && within(&at, above));
        (!beneath).then(|| BareFile {
            path: OsText::from(Path::new("home").join(at)),
            content: content.clone(),
        })
    };
    let shown = own
        .iter()
        .filter_map(|(target, content)| file(target, content));
    files.extend(shown);
    for (target, content) in covers {
        match file(target, content) {
            Some(file) => files.push(file),
            None => scene.problem(
                format!("{} holds a credential, and no rule of Landlock can show the rest of it", show(target)),
                "take it out (`git remote set-url`, `git config --unset-all`; actions/checkout: `persist-credentials: false`)",
                None,
            ),
        }
    }
    for publish in &network.publish {
        let what = format!(
            "port {} cannot be published: nothing of the box listens",
            publish.box_port
        );
        scene.problem(what, NO_PORTS, Some(&publish.origin));
    }
    for host in &network.host_ports {
        let mut what = format!(
            "port {} of the host cannot be reached past the proxy",
            host.port
        );
        // Nobody has typed that one: the address of a model in the caller's environment.
        let help = match &host.note {
            Some(note) => {
                what.push_str(", and ");
                what.push_str(note);
                "name an address there that is not the loopback, unset it, use --net host, or run where namespaces can be had"
            }
            None => NO_PORTS,
        };
        scene.problem(what, help, Some(&host.origin));
    }
    if network.ssh.is_some() {
        scene.notices.push(
            "[ssh] has no effect on the rung landlock: the agent's socket would be a unix socket"
                .to_owned(),
        );
    }
    for at in &refused.places {
        // A link cannot be refused; what it leads to can.
        let real = scene.real_of(at.path.path());
        holes.push(at.path.path().to_owned());
        holes.push(real);
    }
    for name in NAMES {
        if scene.walk.stat(Path::new(name)).is_some() {
            rules.push((scene.real_of(Path::new(name)), LandlockAccess::Read));
        }
    }
    for device in DEVICES {
        if scene.walk.stat(Path::new(device)).is_some() {
            rules.push((scene.real_of(Path::new(device)), LandlockAccess::Device));
        }
    }
    rules.push(("/proc".into(), LandlockAccess::Read));
    for (dir, access) in [
        ("home", LandlockAccess::Full),
        ("tmp", LandlockAccess::Full),
        ("run", LandlockAccess::Read),
    ] {
        rules.push((place.join(dir), access));
    }
    holes.sort();
    holes.dedup();
    rules.sort();
    rules.dedup();
    let text = |path: PathBuf| OsText::from(path);
    let bare = Bare {
        port: (network.mode == NetworkMode::Filtered).then_some(scene.host.port),
        links: links
            .into_iter()
            .map(|(at, to)| (text(at), text(to)))
            .collect(),
        files,
        holes: holes.into_iter().map(text).collect(),
        place: place.into(),
    };
    let rules = rules.into_iter().map(|(path, access)| LandlockRule {
        path: path.into(),
        access,
    });
    (bare, rules.collect())
}

/// Of what the rung has no part.
const NO_PORTS: &str = "leave it out, use --net host, or run where namespaces can be had";

/// HOME and TMPDIR are in the session's directory.
pub(super) fn into(bare: &Bare, identity: &mut Identity, env: &mut Env) {
    let origin = Origin::agentbox("the session's directory, on the rung landlock");
    identity.home = bare.place.path().join("home").into();
    identity.home_real = None;
    let tmp: OsText = bare.place.path().join("tmp").into();
    // A profile's `/tmp/.screen` means the box's own, and /tmp is the host's there.
    for set in &mut env.set {
        if let Ok(below) = set.value.path().strip_prefix("/tmp") {
            set.value = tmp.path().join(below).into();
        }
    }
    let git = Path::new(OWN_GIT_SYSTEM);
    let has_git = bare.files.iter().any(|file| file.path.path() == git);
    let git: OsText = bare.place.path().join(git).into();
    let ours = [
        ("HOME", Some(&identity.home)),
        ("TMPDIR", Some(&tmp)),
        ("GIT_CONFIG_SYSTEM", has_git.then_some(&git)),
    ];
    let ours = ours
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    for (name, value) in ours {
        let name = OsText::from(name);
        env.pass.retain(|pass| pass.name != name);
        env.set.retain(|set| set.name != name);
        if !env.given.contains(&name) {
            env.set.push(EnvSet {
                name,
                value: value.clone(),
                origin: origin.clone(),
            });
        }
    }
}

/// Nothing can be frozen: what would be is looked at in the end, like what is tracked.
pub(super) fn guard(names: &mut Names) {
    for (number, rule) in names.rules.iter_mut().enumerate() {
        if rule.kind == NameKind::Freeze {
            rule.kind = NameKind::Track;
            names.guarded.push(number);
        }
    }
    for found in &mut names.found {
        if found.kind == NameKind::Freeze {
            (found.kind, found.how) = (NameKind::Track, How::Tracked);
        }
    }
}

/// State files are in the HOME that there is.
pub(super) fn state(scene: &Scene<'_>, state: &mut [StateFile]) {
    let home = scene.host.scratch.join("home");
    for file in state {
        for old in [&scene.home.path, &scene.home.real] {
            if let Ok(rest) = file.target.path().strip_prefix(old) {
                file.target = home.join(rest).into();
                break;
            }
        }
    }
}
