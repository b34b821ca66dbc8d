//! Which directory is the workspace, and what is refused.

use super::world::{World, at};
use std::path::PathBuf;

#[test]
fn the_repository_or_the_directory() {
    // (cwd, -C, workspace, working directory)
    let rows = [
        ("/home/u/proj", "", "/home/u/proj", "/home/u/proj"),
        ("/home/u/proj/src", "", "/home/u/proj", "/home/u/proj/src"),
        (
            "/home/u/plain/sub",
            "",
            "/home/u/plain/sub",
            "/home/u/plain/sub",
        ),
        ("/home/u", "proj", "/home/u/proj", "/home/u/proj"),
        ("/home/u", "proj/", "/home/u/proj", "/home/u/proj"),
        (
            "/home/u/plain",
            "../proj/src",
            "/home/u/proj/src",
            "/home/u/proj/src",
        ),
        (
            "/home/u/proj/src",
            "/home/u/proj",
            "/home/u/proj",
            "/home/u/proj/src",
        ),
        ("/tmp/x", "", "/tmp/x", "/tmp/x"),
        ("/srv/x", "", "/srv/x", "/srv/x"),
        ("/opt/x", "", "/opt/x", "/opt/x"),
        ("/mnt/disk/x", "", "/mnt/disk/x", "/mnt/disk/x"),
        ("/var/www/site", "", "/var/www/site", "/var/www/site"),
        ("/usr/src/app", "", "/usr/src/app", "/usr/src/app"),
        ("/workspaces/x", "", "/workspaces/x", "/workspaces/x"),
        // A .git without a HEAD is none.
        (
            "/home/u/fake/sub",
            "",
            "/home/u/fake/sub",
            "/home/u/fake/sub",
        ),
        ("/home/u/sub/work", "", "/home/u/sub", "/home/u/sub/work"),
    ];
    let mut world = World::new();
    for dir in [
        "/home/u/plain/sub",
        "/tmp/x",
        "/srv/x",
        "/opt/x",
        "/mnt/disk/x",
        "/var/www/site",
        "/usr/src/app",
        "/workspaces/x",
        "/home/u/fake/sub",
        "/home/u/fake/.git",
        "/home/u/sub/work",
    ] {
        world.fs.dir(dir);
    }
    world.fs.file("/home/u/sub/.git", "gitdir: nowhere");
    for (cwd, asked, want, inside) in rows {
        world.host.cwd = cwd.into();
        world.policy.request.workspace = (!asked.is_empty()).then(|| PathBuf::from(asked));
        let plan = world.plan();
        assert_eq!(
            plan.workspace.path.path(),
            PathBuf::from(want),
            "{cwd} {asked}"
        );
        assert_eq!(
            plan.command.cwd.path(),
            PathBuf::from(inside),
            "{cwd} {asked}"
        );
        assert_eq!(plan.command.cwd.to_string(), inside, "as it is written");
        assert!(
            at(&plan, want).starts_with("w dir"),
            "{cwd}: {}",
            at(&plan, want)
        );
    }
}

#[test]
fn refused_with_a_remedy() {
    let rows = [
        ("/", "the whole system"),
        ("/home/u", "it is HOME"),
        ("/home", "holds HOME"),
        ("/usr", "system directory"),
        ("/usr/lib", "system directory"),
        ("/usr/local/bin", "system directory"),
        ("/etc", "system directory"),
        ("/etc/ssl", "system directory"),
        ("/var", "system"),
        ("/var/lib/dpkg", "state"),
        ("/var/log", "state"),
        ("/bin", "system directory"),
        ("/lib", "system directory"),
        ("/boot", "system directory"),
        ("/dev", "system directory"),
        ("/proc", "system directory"),
        ("/sys", "system directory"),
        ("/run", "system directory"),
        ("/opt", "shares"),
        ("/tmp", "shares"),
        ("/var/tmp", "shares"),
        ("/srv", "shares"),
        ("/mnt", "shares"),
        ("/media", "shares"),
        ("/root", "shares"),
        ("/home/u/.config", "holds agentbox's own"),
        ("/home/u/.config/agentbox", "agentbox's own"),
        ("/home/u/.local", "holds agentbox's own"),
        ("/home/u/.local/state/agentbox/x", "agentbox's own"),
        ("/home/u/.local/share/agentbox/private", "agentbox's own"),
        ("/home/u/link-home", "it is HOME"),
        ("/home/u/dotfiles", "holds agentbox's own"),
        ("/home/u/nothing", "does not exist"),
        ("/home/u/file", "is not a directory"),
    ];
    let mut world = World::new();
    for dir in [
        "/var/lib/dpkg",
        "/var/log",
        "/boot",
        "/srv",
        "/mnt",
        "/media",
        "/root",
        "/home/u/.config/agentbox",
        "/home/u/.local/state/agentbox/x",
        "/home/u/.local/share/agentbox/private",
    ] {
        world.fs.dir(dir);
    }
    world
        .fs
        .file("/home/u/file", "")
        .link("/home/u/link-home", ".");
    for (dir, why) in rows {
        let mut world = world.clone();
        if dir == "/home/u/dotfiles" {
            world
                .fs
                .dir("/home/u/dotfiles/ab")
                .link("/home/u/.config/agentbox", "../dotfiles/ab");
        }
        world.policy.request.workspace = Some(dir.into());
        let text = world.refused();
        assert!(text.contains(why), "{dir}: {text}");
        assert!(text.contains("-C DIR"), "{dir}: no remedy: {text}");
        // The same as the current directory.
        if !why.contains("is not a dir") && !why.contains("exist") {
            world.policy.request.workspace = None;
            world.host.cwd = dir.into();
            let text = world.refused();
            assert!(text.contains(why), "cwd {dir}: {text}");
        }
    }
}

#[test]
fn a_home_that_is_a_repository() {
    let mut world = World::new();
    world
        .fs
        .file("/home/u/.git/HEAD", "x")
        .dir("/home/u/notes/today")
        .file("/.git/HEAD", "x");
    world.host.cwd = "/home/u/notes/today".into();
    let plan = world.plan();
    assert_eq!(plan.workspace.path.to_string(), "/home/u/notes/today");
    world.host.cwd = "/home/u".into();
    assert!(world.refused().contains("it is HOME"));
    // A repository inside of it is one.
    world.host.cwd = "/home/u/proj/src".into();
    assert_eq!(world.plan().workspace.path.to_string(), "/home/u/proj");
}

#[test]
fn a_workspace_reached_by_a_link_has_both_names() {
    let mut world = World::new();
    world
        .fs
        .file("/data/real/.git/HEAD", "x")
        .dir("/data/real/sub");
    world
        .fs
        .link("/home/u/w", "/data/real")
        .link("/home/u/s", "/data/real/sub");
    world.host.cwd = "/home/u/w/sub".into();
    let plan = world.plan();
    assert_eq!(plan.workspace.path.to_string(), "/home/u/w");
    assert_eq!(plan.workspace.real.to_string(), "/data/real");
    assert_eq!(plan.command.cwd.to_string(), "/home/u/w/sub");
    assert_eq!(at(&plan, "/home/u/w"), "-> /data/real");
    assert_eq!(at(&plan, "/data/real"), "w dir");
    // Into the middle of it: the root has no typed name.
    world.host.cwd = "/home/u/s".into();
    let plan = world.plan();
    assert_eq!(plan.workspace.path.to_string(), "/data/real");
    assert_eq!(plan.command.cwd.to_string(), "/data/real/sub");
}

#[test]
fn a_typed_name_in_a_place_of_the_boxs_own() {
    // The host's /tmp is a link, the box has its own there: a second mount makes the typed name work.
    let mut world = World::new();
    world.fs.dir("/data/tmp/proj").link("/tmp", "/data/tmp");
    world.host.cwd = "/tmp/proj".into();
    let plan = world.plan();
    assert_eq!(at(&plan, "/tmp"), "tmpfs");
    assert_eq!(at(&plan, "/data/tmp/proj"), "w dir");
    assert_eq!(at(&plan, "/tmp/proj"), "w dir from /data/tmp/proj");
    // And /var/tmp is a link to /tmp unless something is shown below it.
    assert_eq!(at(&plan, "/var/tmp"), "-> /tmp");
    world.fs.dir("/var/tmp/proj");
    world.host.cwd = "/var/tmp/proj".into();
    let plan = world.plan();
    assert_eq!(at(&plan, "/var/tmp"), "tmpfs");
    assert_eq!(at(&plan, "/var/tmp/proj"), "w dir");
}

#[test]
fn home_is_checked() {
    let rows = [
        ("", "not set"),
        ("relative", "absolute"),
        ("/nowhere", "does not exist"),
        ("/etc/hosts", "not a directory"),
        ("/", "HOME is /"),
        ("/proc", "file system of the kernel"),
        ("/loop", "loop"),
    ];
    for (home, why) in rows {
        let mut world = World::new();
        world.fs.link("/loop", "loop");
        world.host.home = home.into();
        let text = world.refused();
        assert!(
            text.contains(why) && text.contains("set HOME"),
            "{home}: {text}"
        );
    }
    // By a link, as on systems with /home -> /var/home: both names work.
    let mut world = World::new();
    world.fs.dir("/var/home/v/p").link("/h", "var/home");
    world.host.home = "/h/v".into();
    world.host.cwd = "/h/v/p".into();
    let plan = world.plan();
    assert_eq!(at(&plan, "/h"), "-> var/home");
    assert_eq!(at(&plan, "/var/home/v"), "tmpfs");
    assert_eq!(at(&plan, "/var/home/v/p"), "w dir");
    assert_eq!(plan.identity.home.to_string(), "/h/v");
    assert_eq!(plan.command.cwd.to_string(), "/h/v/p");
}
