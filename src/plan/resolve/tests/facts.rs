//! What depends on the host: identity, limits, layers.

use super::world::{World, at, builtin, cli};
use crate::host::{Cgroup, Idmap};
use crate::outcome::Layer;
use crate::plan::{IdentityMode, LimitBy, LimitName, MountOp, NetworkMode};
use crate::policy::{LimitWish, Origin, Wish};

fn layer(layer: Layer, origin: Origin) -> Wish<Layer> {
    Wish {
        value: layer,
        origin,
    }
}

#[test]
fn an_ordinary_caller_stays() {
    let plan = World::new().plan();
    let id = &plan.identity;
    assert_eq!(id.mode, IdentityMode::Same);
    assert_eq!(
        (id.inner_uid, id.outer_uid, id.inner_gid, id.outer_gid),
        (1000, 1000, 1000, 1000)
    );
    assert_eq!(id.user, "u");
    assert!(
        !serde_json::to_string(&plan.view)
            .unwrap()
            .contains("\"idmap\":true")
    );
    let passwd = plan.view.ops.iter().find_map(|op| match op {
        MountOp::File {
            target, content, ..
        } if target.to_string() == "/etc/passwd" => Some(content.clone()),
        _ => None,
    });
    assert_eq!(
        passwd.unwrap(),
        "root:x:0:0:root:/root:/usr/sbin/nologin\nu:x:1000:1000::/home/u:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
}

/// git's index remembers owners, which differ inside and outside for root.
#[test]
fn git_compares_no_owners_where_they_differ() {
    let set = |world: &World, name: &str| {
        let plan = world.plan();
        let found = plan.env.set.iter().find(|set| set.name.os() == name);
        found.map(|set| set.value.to_string())
    };
    let counted = |world: &mut World| {
        let count = Wish {
            value: "2".into(),
            origin: builtin(),
        };
        world.policy.wishes.env.set = vec![("GIT_CONFIG_COUNT".into(), count)];
    };
    let mut root = World::root();
    assert_eq!(set(&root, "GIT_CONFIG_COUNT").as_deref(), Some("1"));
    assert_eq!(
        set(&root, "GIT_CONFIG_KEY_0").as_deref(),
        Some("core.checkStat")
    );
    counted(&mut root);
    assert_eq!(set(&root, "GIT_CONFIG_COUNT").as_deref(), Some("3"));
    assert_eq!(set(&root, "GIT_CONFIG_VALUE_2").as_deref(), Some("minimal"));
    let mut user = World::new();
    counted(&mut user);
    assert_eq!(set(&user, "GIT_CONFIG_COUNT").as_deref(), Some("2"));
}

#[test]
fn root_in_roots_workspace_is_shifted() {
    let mut world = World::root();
    world
        .fs
        .dir("/root/.tool")
        .dir("/data/x")
        .owned("/data/theirs", 1000)
        .dir("/root/.nvm/versions/node/v/lib");
    world
        .fs
        .program("/root/.nvm/versions/node/v/bin/node", "\x7fELF");
    world
        .read("~/.tool", builtin())
        .write("/data/x", cli("--write"))
        .write("/data/theirs", cli("--write"));
    world
        .read("/data", cli("--read"))
        .private("~/.cache")
        .run("/root/.nvm/versions/node/v/bin/node");
    let plan = world.plan();
    let id = &plan.identity;
    assert_eq!(id.mode, IdentityMode::Shifted);
    assert_eq!((id.inner_uid, id.inner_gid), (1000, 1000));
    assert_eq!((id.outer_uid, id.outer_gid), (2_000_000_000, 2_000_000_000));
    assert_eq!(id.user, "agentbox");
    for (path, want) in [
        ("/root/proj", "w dir idmap"),
        ("/root/.tool", "r dir idmap"),
        ("/root/.nvm/versions/node/v", "r dir idmap"),
        ("/root/.local/share/agentbox/private", "w dir idmap create"),
        ("/data/x", "w dir idmap"),
        ("/data/theirs", "w dir"),
        ("/data", "r dir"),
        ("/usr", "r dir"),
        ("/etc/hosts", "copy"),
    ] {
        assert_eq!(at(&plan, path), want, "{path}");
    }
    // The id is somebody's.
    world.fs.file(
        "/etc/passwd",
        "root:x:0:0::/root:/bin/bash\nbig:x:2000000000:1::/:/bin/sh\n",
    );
    assert_eq!(world.plan().identity.outer_uid, 2_000_000_001);
    // A rootless container.
    world.host.uids = vec![(0, 65536)];
    world.host.gids = vec![(0, 65536)];
    assert_eq!(world.plan().identity.outer_uid, 65535);
    world.host.uids = vec![(0, 1)];
    assert!(world.refused().contains("no uid to spare"));
}

#[test]
fn root_elsewhere_is_the_owner() {
    let mut world = World::root();
    world.fs.owned("/root/.tool", 0).owned("/srv/p", 1000);
    world.host.cwd = "/srv/p".into();
    world.read("~/.tool", builtin());
    let plan = world.plan();
    let id = &plan.identity;
    assert_eq!(id.mode, IdentityMode::Owner);
    assert_eq!(
        (id.inner_uid, id.outer_uid, id.inner_gid, id.outer_gid),
        (1000, 1000, 1000, 1000)
    );
    assert_eq!(id.user, "u");
    assert_eq!(at(&plan, "/srv/p"), "w dir");
    assert_eq!(at(&plan, "/root/.tool"), "r dir idmap");
    assert!(plan.notices.iter().any(|n| n.contains("uid 1000")));
    world.fs.owned("/srv/p", 4242);
    assert_eq!(world.plan().identity.user, "agentbox");
    world.host.idmap = Idmap::Refused("EINVAL".into());
    assert_eq!(at(&world.plan(), "/root/.tool"), "r dir");
}

#[test]
fn root_without_id_mapping() {
    let mut world = World::root();
    world.host.idmap = Idmap::Refused("EINVAL on overlay".into());
    world.host.cgroup = Cgroup::V1 {
        controllers: vec![("pids".into(), "/x".into())],
    };
    let text = world.refused();
    assert!(
        text.contains("EINVAL on overlay") && text.contains("--allow-missing identity"),
        "{text}"
    );
    world.policy.wishes.allow_missing = vec![layer(Layer::Identity, cli("--allow-missing"))];
    let plan = world.plan();
    assert_eq!(plan.identity.mode, IdentityMode::KernelRoot);
    assert_eq!(
        (plan.identity.inner_uid, plan.identity.outer_uid),
        (1000, 0)
    );
    assert_eq!(at(&plan, "/root/proj"), "w dir");
    assert!(plan.notices.iter().any(|n| n.contains("kernel uid is 0")));
    assert!(!plan.require.contains(&Layer::Identity));
    // Without pids nothing stops a fork bomb of kernel uid 0.
    world.host.cgroup = Cgroup::None;
    assert!(world.refused().contains("number of processes"));
    world
        .policy
        .wishes
        .allow_missing
        .push(layer(Layer::Limits, cli("--allow-missing")));
    world.plan();
}

#[test]
fn limits_by_what_there_is() {
    let v2 = Cgroup::V2 {
        dir: "/x".into(),
        controllers: vec!["memory".into(), "pids".into()],
    };
    let v1 = Cgroup::V1 {
        controllers: vec![("pids".into(), "/x".into()), ("cpu".into(), "/y".into())],
    };
    use LimitBy::{Affinity, CgroupV1, CgroupV2, Rlimit, Timer, Tmpfs};
    use LimitName::{Cpu, Disk, FileSize, Memory, OpenFiles, Processes, Time};
    for (name, cgroup, want) in [
        (Memory, &Cgroup::None, Rlimit),
        (Memory, &v2, CgroupV2),
        (Memory, &v1, Rlimit),
        (Processes, &Cgroup::None, Rlimit),
        (Processes, &v2, CgroupV2),
        (Processes, &v1, CgroupV1),
        (Cpu, &Cgroup::None, Affinity),
        (Cpu, &v2, Affinity),
        (Cpu, &v1, CgroupV1),
        (FileSize, &v2, Rlimit),
        (OpenFiles, &v2, Rlimit),
        (Disk, &v2, Tmpfs),
        (Time, &v2, Timer),
    ] {
        let mut world = World::new();
        world.host.cgroup = cgroup.clone();
        let wish = |value| Wish {
            value: LimitWish::Value(value),
            origin: builtin(),
        };
        world.policy.wishes.limits = vec![(name, wish(1.0)), (name, wish(4_194_304.0))];
        let plan = world.plan();
        let limit = plan.limits.get(name).unwrap();
        assert_eq!(limit.by, want, "{name:?} {cgroup:?}");
        assert_eq!(
            limit.value.to_bits(),
            4_194_304.0f64.to_bits(),
            "the last one"
        );
        assert!(!limit.meaning.is_empty());
        if by_data(limit.by) && name == Memory {
            assert!(limit.meaning.contains("RLIMIT_DATA"));
        }
        if name == Disk {
            for op in &plan.view.ops {
                if let MountOp::Tmpfs { size, .. } = op {
                    assert_eq!(*size, 4_194_304);
                }
            }
        }
        world.policy.wishes.limits.push((
            name,
            Wish {
                value: LimitWish::Unlimited,
                origin: cli("--limit"),
            },
        ));
        assert!(world.plan().limits.get(name).is_none(), "none");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            world.policy.wishes.limits = vec![(name, wish(bad))];
            assert!(world.refused().contains("not above 0"), "{bad}");
        }
    }
}

fn by_data(by: LimitBy) -> bool {
    by == LimitBy::Rlimit
}

#[test]
fn layers_that_must_hold() {
    let mut world = World::new();
    assert_eq!(world.plan().require, Layer::ALL);
    world.policy.wishes.allow_missing = vec![
        layer(Layer::Limits, builtin()),
        layer(Layer::Keyring, builtin()),
    ];
    world.policy.wishes.require = vec![layer(Layer::Keyring, cli("--require"))];
    let plan = world.plan();
    assert!(!plan.require.contains(&Layer::Limits));
    assert!(plan.require.contains(&Layer::Keyring), "asked for by name");
    world.policy.wishes.layers_off = vec![layer(Layer::Seccomp, builtin())];
    let plan = world.plan();
    assert!(!plan.require.contains(&Layer::Seccomp));
    assert_eq!(plan.off.len(), 1);
    assert!(
        plan.notices
            .iter()
            .any(|n| n.contains("seccomp is switched off"))
    );
    world
        .policy
        .wishes
        .require
        .push(layer(Layer::Seccomp, cli("--require")));
    assert!(
        world
            .refused()
            .contains("seccomp is required, and switched off")
    );
}

#[test]
fn the_network() {
    let mut world = World::new();
    world.policy.wishes.network = None;
    assert_eq!(world.plan().network.mode, NetworkMode::None, "nobody asked");
    world.policy.wishes.network = Some(Wish {
        value: NetworkMode::Host,
        origin: builtin(),
    });
    let plan = world.plan();
    assert!(!plan.require.contains(&Layer::Network));
    assert!(
        plan.notices
            .iter()
            .any(|n| n.contains("network is the host's"))
    );
    world.policy.wishes.require = vec![layer(Layer::Network, cli("--require"))];
    assert!(world.refused().contains("--net none"));
}
