//! Who the agent is, inside and for the kernel.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::host::Idmap;
use crate::outcome::Layer;
use crate::plan::rung::Rung;
use crate::plan::{Identity, IdentityMode};
use std::path::Path;

/// The kernel uid of a root caller's agent: high, so that no file of the host belongs to it.
const HIGH: u32 = 2_000_000_000;
/// The uid that such an agent sees.
const INNER: u32 = 1000;
/// Its name.
const NAME: &str = "agentbox";
/// The overflow uid of the kernel: nobody's, and everybody's who is not mapped.
const NOBODY: u32 = 65534;

/// Chooses the ids.
pub(super) fn identity(scene: &mut Scene<'_>, rung: Rung) -> Identity {
    let host = scene.host;
    let (mode, user, inner, outer) = if host.uid == 0 && rung == Rung::Landlock {
        // Without a user namespace there is no other uid to be had that the files would belong to.
        scene
            .notices
            .push("the agent's kernel uid is 0, root, without a capability".to_owned());
        (
            IdentityMode::KernelRoot,
            host.user.clone(),
            (0, host.gid),
            (0, host.gid),
        )
    } else if host.uid == 0 {
        root(scene)
    } else {
        let ids = (host.uid, host.gid);
        (IdentityMode::Same, host.user.clone(), ids, ids)
    };
    if mode == IdentityMode::KernelRoot && rung == Rung::Nested {
        // No mount keeps an inner sandbox's own /proc read-only, and the kernel asks for the uid alone there.
        scene.problem(
            "a sandbox within the box would have the kernel's uid 0, and write the machine's sysctls",
            "run agentbox as an ordinary user, give the workspace to one (chown), or leave it out (--nested refuse)",
            None,
        );
    }
    Identity {
        mode,
        caller_uid: host.uid,
        caller_gid: host.gid,
        inner_uid: inner.0,
        inner_gid: inner.1,
        outer_uid: outer.0,
        outer_gid: outer.1,
        user: clean_name(&user),
        home: scene.home.path.clone().into(),
        home_real: (scene.home.real != scene.home.path).then(|| scene.home.real.clone().into()),
        shell: shell(scene).into(),
    }
}

type Ids = (u32, u32);

fn root(scene: &mut Scene<'_>) -> (IdentityMode, String, Ids, Ids) {
    let workspace = scene.walk.stat(&scene.workspace.real);
    if let Some(stat) = workspace
        && stat.uid != 0
    {
        let passwd = passwd(scene);
        let name = passwd
            .iter()
            .find(|(uid, _)| *uid == stat.uid)
            .map_or_else(|| NAME.to_owned(), |(_, name)| name.clone());
        scene.notices.push(format!(
            "the workspace belongs to uid {}: the command runs as that user, not as root",
            stat.uid
        ));
        // A container's root that has checked out into the runner's own directory: git's own errors do not say why.
        let git = scene.walk.lstat(&scene.workspace.real.join(".git"));
        if let Some(git) = git.filter(|git| git.uid != stat.uid) {
            scene.notices.push(format!(
                "its .git belongs to uid {}, and that user cannot write there: `chown -R {}:{}` the workspace, or give its top to root",
                git.uid, stat.uid, stat.gid
            ));
        }
        let ids = (stat.uid, if stat.gid == 0 { stat.uid } else { stat.gid });
        return (IdentityMode::Owner, name, ids, ids);
    }
    if let Idmap::Refused(why) = &scene.host.idmap {
        let accepted = scene.policy.wishes.rung.as_ref().map(|wish| wish.value);
        let allowed = accepted.unwrap_or_default() > Rung::Nested
            || scene
                .policy
                .wishes
                .allow_missing
                .iter()
                .any(|wish| wish.value == Layer::Identity);
        if allowed {
            scene.notices.push(format!(
                "id-mapped mounts are refused here ({why}): the agent's kernel uid is 0, root"
            ));
        } else {
            scene.problem(
                format!("root's agent needs id-mapped mounts, and they are refused here ({why})"),
                "run agentbox as an ordinary user, give the workspace to one (chown), or pass --allow-missing identity",
                None,
            );
        }
        return (
            IdentityMode::KernelRoot,
            NAME.into(),
            (INNER, INNER),
            (0, 0),
        );
    }
    let passwd = passwd(scene);
    let taken: Vec<u32> = passwd.into_iter().map(|(uid, _)| uid).collect();
    let outer = (
        free_id(&scene.host.uids, &taken),
        free_id(&scene.host.gids, &taken),
    );
    match outer {
        (Some(uid), Some(gid)) => (
            IdentityMode::Shifted,
            NAME.into(),
            (INNER, INNER),
            (uid, gid),
        ),
        _ => {
            scene.problem(
                "this user namespace has no uid to spare for root's agent",
                "run agentbox as an ordinary user, or give the workspace to one (chown)",
                None,
            );
            (
                IdentityMode::Shifted,
                NAME.into(),
                (INNER, INNER),
                (HIGH, HIGH),
            )
        }
    }
}

/// An id that exists in this namespace and belongs to nobody: [`HIGH`], else the last one of the largest range.
fn free_id(ranges: &[(u32, u32)], taken: &[u32]) -> Option<u32> {
    let free = |id: &u32| *id != 0 && *id != NOBODY && *id != u32::MAX && !taken.contains(id);
    let exists = |id: &u32| {
        ranges.is_empty()
            || ranges
                .iter()
                .any(|(first, count)| id >= first && id - first < *count)
    };
    if let Some(id) = (HIGH..HIGH + 64).find(|id| exists(id) && free(id)) {
        return Some(id);
    }
    let (first, count) = *ranges.iter().max_by_key(|(_, count)| *count)?;
    let end = first.checked_add(count.checked_sub(1)?)?;
    // Ids below INNER are the system's.
    (first.max(INNER + 1)..=end).rev().take(4096).find(free)
}

/// (uid, name) of passwd(5).
fn passwd(scene: &Scene<'_>) -> Vec<(u32, String)> {
    let text = scene
        .walk
        .look
        .read(Path::new("/etc/passwd"), 1 << 20)
        .unwrap_or_default();
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = fields.next()?;
            let uid = fields.nth(1)?;
            Some((
                std::str::from_utf8(uid).ok()?.parse().ok()?,
                std::str::from_utf8(name).ok()?.to_owned(),
            ))
        })
        .collect()
}

/// The login shell if the box shows it, else /bin/sh: an agent runs its commands with SHELL.
fn shell(scene: &Scene<'_>) -> std::path::PathBuf {
    let shell = &scene.host.shell;
    let visible = scene
        .walk
        .canonical(shell)
        .is_some_and(|real| scene.tree.access(&real).is_some());
    // nologin and false are no shells, whatever passwd says.
    let usable = !matches!(
        shell.file_name().and_then(|n| n.to_str()),
        Some("nologin" | "false" | "sync" | "halt" | "shutdown") | None
    );
    if visible && usable {
        shell.clone()
    } else {
        "/bin/sh".into()
    }
}

/// What cannot be part of a line of passwd(5) is replaced.
fn clean_name(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c == ':' || c.is_control() { '_' } else { c })
        .collect();
    if clean.is_empty() {
        "user".into()
    } else {
        clean
    }
}

/// The generated passwd(5) and group(5).
pub(super) fn databases(id: &Identity) -> (String, String) {
    let field = |text: &crate::plan::OsText| {
        text.os()
            .to_str()
            .filter(|t| !t.contains([':', '\n']))
            .unwrap_or("/")
            .to_owned()
    };
    let (home, shell) = (field(&id.home), field(&id.shell));
    let user = &id.user;
    let mut passwd = String::from("root:x:0:0:root:/root:/usr/sbin/nologin\n");
    let mut group = String::from("root:x:0:\n");
    if user != "root" {
        passwd.push_str(&format!(
            "{user}:x:{}:{}::{home}:{shell}\n",
            id.inner_uid, id.inner_gid
        ));
        group.push_str(&format!("{user}:x:{}:\n", id.inner_gid));
    }
    if id.inner_uid != NOBODY {
        passwd.push_str("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    }
    if id.inner_gid != NOBODY {
        group.push_str("nogroup:x:65534:\n");
    }
    (passwd, group)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_id_that_is_nobodys() {
        type Row = (
            &'static str,
            &'static [(u32, u32)],
            &'static [u32],
            Option<u32>,
        );
        let rows: &[Row] = &[
            ("nothing known", &[], &[], Some(HIGH)),
            ("everything", &[(0, u32::MAX)], &[], Some(HIGH)),
            ("taken", &[(0, u32::MAX)], &[HIGH], Some(HIGH + 1)),
            (
                "rootless container",
                &[(0, 1), (1, 65536)],
                &[],
                Some(65536),
            ),
            ("64k", &[(0, 65536)], &[], Some(65535)),
            ("64k taken", &[(0, 65536)], &[65535], Some(65533)),
            ("root alone", &[(0, 1)], &[], None),
            ("too few", &[(0, 1000)], &[], None),
        ];
        for (name, ranges, taken, want) in rows {
            assert_eq!(free_id(ranges, taken), *want, "{name}");
        }
    }

    #[test]
    fn names_cannot_break_passwd() {
        assert_eq!(clean_name("a:0:0\nroot"), "a_0_0_root");
        assert_eq!(clean_name(""), "user");
    }
}
