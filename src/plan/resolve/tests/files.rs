//! Grants: what is shown where, what is dropped, what is refused.

use super::world::{World, at, builtin, cli, granted, sound};
use crate::host::FileType;
use crate::plan::{GrantKind, LandlockAccess};
use crate::policy::Origin;
use std::path::Path;

fn rule(plan: &crate::plan::Plan, path: &str) -> Option<LandlockAccess> {
    plan.landlock
        .iter()
        .find(|r| r.path.path() == Path::new(path))
        .map(|r| r.access)
}

#[test]
fn the_frame() {
    let plan = World::new().plan();
    for (path, want) in [
        ("/usr", "r dir"),
        ("/bin", "-> usr/bin"),
        ("/lib", "-> usr/lib"),
        ("/proc", "proc"),
        ("/dev", "dev"),
        ("/tmp", "tmpfs"),
        ("/var/tmp", "-> /tmp"),
        ("/home/u", "tmpfs"),
        ("/home/u/proj", "w dir"),
        ("/etc/passwd", "own file"),
        ("/etc/group", "own file"),
        ("/etc/hosts", "copy"),
        ("/run", "own dir"),
        ("/run/agentbox/policy.md", "own file"),
        ("/etc/shadow", "-"),
        ("/etc", "-"),
    ] {
        assert_eq!(at(&plan, path), want, "{path}");
    }
    for (path, want) in [
        ("/", Some(LandlockAccess::List)),
        ("/usr", Some(LandlockAccess::Read)),
        ("/home/u", Some(LandlockAccess::Full)),
        ("/home/u/proj", Some(LandlockAccess::Full)),
        ("/tmp", Some(LandlockAccess::Full)),
        ("/dev/shm", Some(LandlockAccess::Full)),
        ("/dev/mqueue", Some(LandlockAccess::Full)),
        ("/dev", Some(LandlockAccess::Device)),
        ("/proc", Some(LandlockAccess::Device)),
        ("/run/agentbox/policy.md", Some(LandlockAccess::Read)),
        ("/run/agentbox", None),
        ("/run", None),
        ("/run/agentbox/canary", None),
    ] {
        assert_eq!(rule(&plan, path), want, "{path}");
    }
}

#[test]
fn links_are_shown_as_they_are() {
    let mut world = World::new();
    world
        .fs
        .file("/run/systemd/resolve/stub-resolv.conf", "")
        .link(
            "/etc/resolv.conf",
            "../run/systemd/resolve/stub-resolv.conf",
        )
        .file("/usr/share/zoneinfo/UTC", "")
        .link("/etc/localtime", "/usr/share/zoneinfo/UTC")
        .dir("/usr/share/ca")
        .link("/etc/ca", "/usr/share/ca")
        .dir("/home/u/dotfiles/claude")
        .link("/home/u/.claude", "dotfiles/claude")
        .file("/home/u/dotfiles/gitconfig", "")
        .link("/home/u/.gitconfig", "dotfiles/gitconfig")
        .link("/etc/mtab", "/proc/self/mounts")
        .link("/proc/self", "77")
        .file("/proc/77/mounts", "");
    world
        .read("/etc/resolv.conf", builtin())
        .read("/etc/localtime", builtin())
        .read("/etc/ca", builtin());
    world
        .read("~/.gitconfig", builtin())
        .write("~/.claude/", builtin())
        .read("/etc/mtab", builtin());
    let plan = world.plan();
    for (path, want) in [
        // The target is not in the box: shown as a file.
        (
            "/etc/resolv.conf",
            "copy of /run/systemd/resolve/stub-resolv.conf",
        ),
        ("/run/systemd/resolve/stub-resolv.conf", "-"),
        // The target is visible: the link itself.
        ("/etc/localtime", "-> /usr/share/zoneinfo/UTC"),
        ("/etc/ca", "-> /usr/share/ca"),
        ("/usr/share/ca", "-"),
        // A directory keeps both names.
        ("/home/u/.claude", "-> dotfiles/claude"),
        ("/home/u/dotfiles/claude", "w dir create"),
        (
            "/home/u/.gitconfig",
            "r file from /home/u/dotfiles/gitconfig",
        ),
        // What the box has of its own is linked, never bound from the host.
        ("/etc/mtab", "-> /proc/self/mounts"),
        ("/proc/self", "-"),
        ("/proc/77/mounts", "-"),
    ] {
        assert_eq!(at(&plan, path), want, "{path}");
    }
}

#[test]
fn a_link_inside_a_granted_tree_leads_to_the_real_place() {
    let mut world = World::new();
    world
        .fs
        .dir("/home/u/proj/vendor")
        .file("/data/conf", "")
        .link("/home/u/proj/vendor/conf", "/data/conf");
    world.read("/data/conf", cli("--read"));
    let plan = world.plan();
    assert_eq!(at(&plan, "/home/u/proj/vendor/conf"), "-");
    assert_eq!(at(&plan, "/data/conf"), "r file");
    // By the link's name the word would be the link's, which an agent can write, whoever says that name.
    for origin in [builtin(), cli("--read")] {
        let mut world = world.clone();
        world.read("${workspace}/vendor/conf", origin);
        let problems = world.resolve().unwrap_err();
        assert!(
            problems
                .iter()
                .any(|p| p.what.contains("the agent can write")),
            "{problems:?}"
        );
    }
}

#[test]
fn nested_grants() {
    let mut world = World::new();
    world.fs.dir("/data/a/b/c").dir("/data/a/w/x");
    world
        .read("/data/a", cli("--read"))
        .read("/data/a/b", cli("--read"))
        .read("/usr/lib", builtin());
    world
        .write("/data/a/w", cli("--write"))
        .read("/data/a/w/x", cli("--read"));
    world
        .read("${workspace}/src", builtin())
        .write("${workspace}/src", builtin());
    let plan = world.plan();
    for (path, want) in [
        ("/data/a", "r dir"),
        ("/data/a/b", "-"),
        ("/data/a/w", "w dir"),
        ("/data/a/w/x", "-"),
        ("/usr/lib", "-"),
        ("/home/u/proj/src", "-"),
    ] {
        assert_eq!(at(&plan, path), want, "{path}");
    }
}

#[test]
fn home_below_a_granted_tree_is_still_the_boxs_own() {
    let mut world = World::new();
    world
        .fs
        .dir("/usr/games/h/proj")
        .file("/usr/games/h/.netrc", "")
        .dir("/usr/games/h/.tool");
    world.host.home = "/usr/games/h".into();
    world.host.cwd = "/usr/games/h/proj".into();
    world.read("~/.tool", builtin());
    let plan = world.plan();
    assert_eq!(at(&plan, "/usr/games/h"), "tmpfs");
    assert_eq!(
        at(&plan, "/usr/games/h/.tool"),
        "r dir",
        "not dropped as part of /usr"
    );
    assert_eq!(at(&plan, "/usr/games/h/proj"), "w dir");
    world.read("/usr/games", cli("--read"));
    assert!(world.refused().contains("holds HOME"));
}

#[test]
fn refused_grants() {
    let mut world = World::new();
    for dir in [
        "/etc/sudoers.d",
        "/home/other",
        "/etc/ssh",
        "/var/lib/docker",
        "/etc/kubernetes",
        "/home/u/.config",
    ] {
        world.fs.dir(dir);
    }
    world
        .fs
        .file("/etc/ssh/ssh_host_ed25519_key", "")
        .file("/etc/ssh/ssh_host_ed25519_key.pub", "")
        .file("/etc/sudoers", "");
    world
        .fs
        .link("/home/u/innocent", "/etc/shadow")
        .link("/home/u/up", "/home")
        .file("/etc/krb5.keytab", "");
    world
        .fs
        .other("/run/docker.sock", FileType::Socket)
        .other("/home/u/fifo", FileType::Other)
        .dir("/sys/kernel");
    world
        .fs
        .link("/home/u/loop", "loop")
        .file("/home/u/file", "");
    // Would be followed if what holds it could be written; that it is not is no news where the whole of it is refused.
    world
        .fs
        .link("/etc/localtime", "/usr/share/zoneinfo/UTC")
        .file("/usr/share/zoneinfo/UTC", "");
    let rows = [
        ("/", "never granted as a whole"),
        ("/etc", "never granted as a whole"),
        ("/run", "never granted as a whole"),
        ("/tmp", "never granted as a whole"),
        ("/proc", "never granted as a whole"),
        ("~", "is HOME"),
        ("/home/u", "is HOME"),
        ("/home", "holds HOME"),
        ("~/up", "holds HOME"),
        ("~/.config", "holds agentbox's own"),
        ("~/.config/agentbox/", "agentbox's own"),
        ("~/.local/state/agentbox/", "agentbox's own"),
        ("/etc/shadow", "secret of the system"),
        ("~/innocent", "secret of the system"),
        ("/etc/sudoers", "secret of the system"),
        ("/etc/sudoers.d", "secret of the system"),
        ("/etc/ssl/private", "secret of the system"),
        ("/etc/ssh/ssh_host_ed25519_key", "host key"),
        ("/etc/krb5.keytab", "secret of the system"),
        ("/etc/kubernetes", "secret of the system"),
        ("/var/lib/docker", "secret of the system"),
        ("/run/docker.sock", "is a socket"),
        ("~/fifo", "device or a fifo"),
        ("/nowhere", "does not exist"),
        ("~/loop", "loop"),
        ("~/file/", "is not a directory"),
        ("relative/x", "relative path"),
        ("~root/x", "another user"),
        ("${nonsense}/x", "unknown variable"),
        ("", "empty path"),
    ];
    for (path, why) in rows {
        for write in [false, true] {
            let mut world = world.clone();
            if write {
                world.write(path, builtin());
            } else {
                world.read(path, builtin());
            }
            // "/home" may be asked for by the program itself, where the box's own HOME covers it.
            if why == "holds HOME" {
                let files = &mut world.policy.wishes.files;
                for wish in files.read.iter_mut().chain(&mut files.write).skip(1) {
                    wish.origin = cli("--read");
                }
            }
            world.read("/etc/localtime", builtin());
            let text = world.refused();
            assert!(text.contains(why), "{path}: {text}");
            assert!(text.contains("; "), "{path} without remedy: {text}");
            assert_eq!(
                text.lines().count(),
                1,
                "{path}: more than the cause: {text}"
            );
        }
    }
    let mut writing = world.clone();
    writing.write("/sys/kernel", cli("--write"));
    assert!(writing.refused().contains("never writable"));
    writing.policy.wishes.files.write.pop();
    writing.write("/etc/shadow", cli("--write"));
    assert!(writing.refused().contains("secret of the system"));
    // The allowed twins.
    for path in [
        "/etc/shadow",
        "/etc/ssh/ssh_host_ed25519_key",
        "/home/other",
        "/etc/ssh/ssh_host_ed25519_key.pub",
    ] {
        let mut world = world.clone();
        world.read(path, cli("--read"));
        let shown = at(&world.plan(), path);
        assert!(shown == "copy" || shown.starts_with("r "), "{path}");
    }
    for path in ["/nowhere?", "~/loop?", "~/nothing/"] {
        let mut world = world.clone();
        world.write(path, builtin());
        world.plan();
    }
}

#[test]
fn every_problem_at_once() {
    let mut world = World::new();
    world
        .read("/nowhere", builtin())
        .write("/etc/shadow", builtin())
        .read("~", builtin())
        .run("nothing");
    let problems = world.resolve().unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn secrets_in_a_wider_grant_are_masked() {
    let mut world = World::new();
    world
        .fs
        .dir("/etc/ssl/certs")
        .file("/etc/ssh/ssh_config", "");
    world
        .fs
        .file("/etc/ssh/ssh_host_rsa_key", "")
        .file("/etc/ssh/ssh_host_rsa_key.pub", "");
    world
        .read("/etc/ssl", builtin())
        .read("/etc/ssh", builtin());
    let plan = world.plan();
    for (path, want) in [
        ("/etc/ssl", "r dir"),
        ("/etc/ssl/private", "mask dir"),
        ("/etc/ssh", "r dir"),
        ("/etc/ssh/ssh_host_rsa_key", "mask file"),
        ("/etc/ssh/ssh_host_rsa_key.pub", "-"),
    ] {
        assert_eq!(at(&plan, path), want, "{path}");
    }
    assert!(granted(&plan, "/etc/ssl/private", GrantKind::Hidden));
}

#[test]
fn made_directories() {
    let mut world = World::new();
    world.fs.dir("/home/u/.there");
    world
        .write("~/.claude/", builtin())
        .write("~/.there/", builtin())
        .write("${xdg_cache}/x/", builtin());
    world.var("XDG_CACHE_HOME", "/home/u/cache");
    let plan = world.plan();
    assert_eq!(at(&plan, "/home/u/.claude"), "w dir create");
    assert_eq!(at(&plan, "/home/u/.there"), "w dir create");
    assert_eq!(at(&plan, "/home/u/cache/x"), "w dir create");
}

#[test]
fn private_places_share_one_mount() {
    let mut world = World::new();
    world.fs.dir("/home/u/.cache/ms-playwright/chrome");
    world
        .private("~/.cache")
        .private("~/.npm")
        .private("~/.cache/pip")
        .private("~/.cache/");
    world.read("~/.cache/ms-playwright", builtin());
    let plan = world.plan();
    let root = "/home/u/.local/share/agentbox/private";
    assert_eq!(at(&plan, root), "w dir create");
    assert_eq!(at(&plan, "/home/u/.cache"), format!("-> {root}/.cache"));
    assert_eq!(at(&plan, "/home/u/.npm"), format!("-> {root}/.npm"));
    assert_eq!(at(&plan, "/home/u/.cache/pip"), "-", "part of .cache");
    assert_eq!(
        at(&plan, format!("{root}/.cache/ms-playwright")),
        "r dir from /home/u/.cache/ms-playwright"
    );
    let dirs: Vec<String> = plan.private_dirs.iter().map(ToString::to_string).collect();
    assert_eq!(
        dirs,
        [".cache", ".npm", ".cache/ms-playwright/.mounted"].map(|d| format!("{root}/{d}"))
    );
    // Elsewhere by XDG_DATA_HOME.
    world.fs.dir("/data/share");
    world.var("XDG_DATA_HOME", "/data/share");
    let plan = world.plan();
    assert_eq!(
        at(&plan, "/home/u/.npm"),
        "-> /data/share/agentbox/private/.npm"
    );
    assert_eq!(at(&plan, "/data/share/agentbox/private"), "w dir create");
}

#[test]
fn a_private_place_in_a_directory_of_the_host_covers_it() {
    let mut world = World::new();
    world.private("~/proj/target");
    let plan = world.plan();
    let root = "/home/u/.local/share/agentbox/private";
    assert_eq!(
        at(&plan, "/home/u/proj/target"),
        format!("w dir from {root}/proj/target create")
    );
    // The mount point is a directory of the host.
    let dirs: Vec<String> = plan.private_dirs.iter().map(ToString::to_string).collect();
    let own = format!("{root}/proj/target");
    assert_eq!(dirs, [own.as_str(), "/home/u/proj/target"]);
}

#[test]
fn private_places_of_a_profile_are_its_own() {
    let mut world = World::new();
    let data = "/home/u/.local/share/agentbox";
    let builtin = |profile: &str| Origin::Builtin {
        profile: profile.to_owned(),
        line: 1,
    };
    let file = |path: &str| Origin::File {
        path: path.to_owned(),
        line: 1,
    };
    for (path, origin) in [
        ("~/.cache", builtin("base")),
        ("~/.npm", builtin("toolchains")),
        ("~/.aider", builtin("aider")),
        ("~/.mine", file("~/.config/agentbox/profiles/mine.toml")),
        ("~/.all", file("~/.config/agentbox/config.toml")),
        // Part of what is there for all.
        ("~/.cache/aider", builtin("aider")),
    ] {
        world.private_by(path, origin);
    }
    let plan = world.plan();
    for (place, target) in [
        (".cache", "private/.cache"),
        (".npm", "private/.npm"),
        (".all", "private/.all"),
        (".aider", "private-of/aider/.aider"),
        (".mine", "private-of/mine/.mine"),
    ] {
        let link = format!("-> {data}/{target}");
        assert_eq!(at(&plan, format!("/home/u/{place}")), link);
    }
    for mount in ["private", "private-of/aider", "private-of/mine"] {
        assert_eq!(at(&plan, format!("{data}/{mount}")), "w dir create");
    }
    assert_eq!(at(&plan, format!("{data}/private-of")), "-");
}

#[test]
fn private_places_that_cannot_be() {
    let mut world = World::new();
    world
        .fs
        .dir("/home/u/.npm")
        .file("/home/u/.cache/one", "")
        .link("/home/u/.cache/two", "/data/two")
        .file("/data/two", "");
    for (private, read, why) in [
        ("/data/x", "", "not below HOME"),
        ("~", "", "it is HOME"),
        ("~/.local", "", "agentbox's own"),
        ("~/.npm/_cacache", "~/.npm", "which is granted"),
        ("~/.cache", "~/.cache/one", "single file"),
        ("~/.cache", "~/.cache/two", "which is private"),
    ] {
        let mut world = world.clone();
        world.private(private);
        if !read.is_empty() {
            world.read(read, builtin());
        }
        let text = world.refused();
        assert!(text.contains(why), "{private} {read}: {text}");
    }
}

#[test]
fn state_files() {
    let mut world = World::new();
    world.state("~/.claude.json").state("~/.linked.json");
    world
        .fs
        .file("/home/u/dot/linked.json", "{}")
        .link("/home/u/.linked.json", "dot/linked.json");
    let plan = world.plan();
    assert_eq!(plan.state.len(), 2);
    assert_eq!(plan.state[0].source.to_string(), "/home/u/.claude.json");
    assert_eq!(plan.state[0].target.to_string(), "/home/u/.claude.json");
    assert_eq!(plan.state[1].source.to_string(), "/home/u/dot/linked.json");
    assert_eq!(plan.state[1].target.to_string(), "/home/u/.linked.json");
    assert_eq!(at(&plan, "/home/u/.linked.json"), "-");
    for (state, other, why) in [
        ("/data/x.json", "", "not below HOME"),
        ("~/proj", "", "not a regular file"),
        ("~/.x/y.json", "private", "which is private"),
        ("~/.x/y.json", "read", "which is granted"),
    ] {
        let mut world = world.clone();
        world.fs.dir("/home/u/.x");
        world.state(state);
        match other {
            "private" => {
                world.private("~/.x");
            }
            "read" => {
                world.read("~/.x", builtin());
            }
            _ => {}
        }
        let text = world.refused();
        assert!(text.contains(why), "{state}: {text}");
    }
    // In a directory that is writable anyway it is the host's own file.
    world.state("~/proj/x.json");
    assert_eq!(world.plan().state.len(), 2);
}

#[test]
fn names_that_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let mut world = World::new();
    let name = std::ffi::OsStr::from_bytes(b"/data/\xff\xfe \n");
    world.fs.dir(Path::new(name));
    let wish = super::world::bytes_wish(name.as_bytes(), cli("--write"));
    world.policy.wishes.files.write.push(wish);
    assert_eq!(at(&world.plan(), Path::new(name)), "w dir");
    world.host.cwd = Path::new(name).into();
    assert_eq!(world.plan().workspace.path.bytes(), name.as_bytes());
}

#[test]
fn cgroup_hierarchies_are_mounted_afresh_and_once() {
    let mut world = World::new();
    world
        .fs
        .dir("/sys/fs/cgroup/memory")
        .dir("/sys/fs/cgroup/cpu,cpuacct")
        .dir("/sys/fs/cgroup/devices");
    world
        .fs
        .link("/sys/fs/cgroup/cpu", "cpu,cpuacct")
        .link("/sys/fs/cgroup/cpuacct", "cpu,cpuacct");
    let plan = world.plan();
    sound(&plan);
    for (path, expected) in [
        ("/sys/fs/cgroup", "-"),
        ("/sys/fs/cgroup/memory", "cgroup memory"),
        ("/sys/fs/cgroup/cpu,cpuacct", "cgroup cpu+cpuacct"),
        ("/sys/fs/cgroup/cpu", "-> /sys/fs/cgroup/cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuacct", "-> /sys/fs/cgroup/cpu,cpuacct"),
        ("/sys/fs/cgroup/devices", "-"),
    ] {
        assert_eq!(at(&plan, path), expected, "{path}");
    }
    // Version 2 is one tree, and wins.
    world
        .fs
        .file("/sys/fs/cgroup/cgroup.controllers", "memory pids\n");
    assert_eq!(at(&world.plan(), "/sys/fs/cgroup"), "cgroup ");
    assert_eq!(at(&world.plan(), "/sys/fs/cgroup/memory"), "-");
    // Whoever asks for the host's tree gets it.
    world.read("/sys/fs/cgroup", cli("--read"));
    assert_eq!(at(&world.plan(), "/sys/fs/cgroup"), "r dir");
}
