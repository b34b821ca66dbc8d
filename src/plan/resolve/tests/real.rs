//! Against the running kernel.

use super::world::{World, at, builtin, sound};
use crate::host::{Host, Lookup, RealLookup};
use crate::plan::resolve::resolve;
use crate::plan::resolve::walk::Walker;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Temp {
        let dir = std::env::temp_dir().join(format!("agentbox-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Temp(fs::canonicalize(dir).unwrap())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn this_machine_runs_sh() {
    let temp = Temp::new("sh");
    let mut host = Host::gather().unwrap();
    host.cwd.clone_from(&temp.0);
    let mut policy = World::new().policy;
    policy.request.argv = vec!["sh".into()];
    let plan = resolve(&policy, &host, &RealLookup).unwrap();
    sound(&plan);
    assert!(at(&plan, &temp.0).starts_with("w dir"));
    assert!(plan.command.program.is_some());
}

#[test]
fn a_home_in_a_temporary_directory() {
    let temp = Temp::new("home");
    let home = temp.0.join("home");
    let real = temp.0.join("disk/proj");
    let package = home.join(".nvm/versions/node/v1");
    for dir in [
        home.join(".cache"),
        real.join(".git"),
        real.join("sub"),
        package.join("bin"),
        package.join("lib/node_modules/x"),
    ] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(real.join(".git/HEAD"), "ref: x").unwrap();
    symlink(&real, home.join("proj")).unwrap();
    for (file, text) in [
        ("bin/node", "#!/bin/sh\n"),
        ("lib/node_modules/x/x.js", "#!/usr/bin/env node\n"),
    ] {
        fs::write(package.join(file), text).unwrap();
        fs::set_permissions(package.join(file), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("../lib/node_modules/x/x.js", package.join("bin/x")).unwrap();
    let mut world = World::new();
    world.host = Host::gather().unwrap();
    world.host.home.clone_from(&home);
    world.host.cwd = home.join("proj/sub");
    let path = format!("{}:/usr/bin:/bin", package.join("bin").display());
    world
        .var("PATH", &path)
        .var("XDG_DATA_HOME", "")
        .private("~/.cache")
        .write("~/.agent/", builtin())
        .run("x");
    let plan = resolve(&world.policy, &world.host, &RealLookup).unwrap();
    sound(&plan);
    assert_eq!(plan.workspace.path.path(), home.join("proj"));
    assert_eq!(plan.command.cwd.path(), home.join("proj/sub"));
    assert_eq!(
        at(&plan, home.join("proj")),
        format!("-> {}", real.display())
    );
    assert!(at(&plan, &real).starts_with("w dir"));
    assert!(at(&plan, &package).starts_with("r dir"));
    assert!(at(&plan, home.join(".agent")).ends_with("create"));
    assert_eq!(plan.command.program.unwrap().path(), package.join("bin/x"));
    assert!(
        plan.private_dirs[0]
            .path()
            .starts_with(home.join(".local/share/agentbox/private"))
    );
}

#[test]
fn the_walker_agrees_with_the_kernel() {
    let temp = Temp::new("walk");
    let d = &temp.0;
    fs::create_dir_all(d.join("a/b/c")).unwrap();
    fs::write(d.join("a/file"), "").unwrap();
    for (to, name) in [
        ("a/b", "rel"),
        ("../a", "a/up"),
        ("loop", "loop"),
        ("nowhere", "dangling"),
        ("rel/../b/c", "dots"),
        ("a/file", "tofile"),
    ] {
        symlink(to, d.join(name)).unwrap();
    }
    symlink(d.join("rel"), d.join("abs")).unwrap();
    for name in [
        "",
        "a",
        "a/b/c",
        "rel",
        "rel/c",
        "rel/..",
        "rel/../up/up/b",
        "loop",
        "loop/x",
        "dangling",
        "dots",
        "tofile",
        "tofile/x",
        "abs/c",
        "abs/./c/../",
        "a/file/..",
        "none/../a",
    ] {
        let path = d.join(name);
        let walker = Walker::new(&RealLookup);
        let kernel = RealLookup.canonicalize(&path);
        assert_eq!(walker.canonical(&path), kernel, "{name}");
    }
}

#[test]
fn only_regular_files_are_read() {
    let temp = Temp::new("read");
    let fifo = temp.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::write(temp.0.join("file"), "0123456789").unwrap();
    assert_eq!(RealLookup.read(&fifo, 10), None);
    assert_eq!(RealLookup.read(&temp.0, 10), None);
    assert_eq!(RealLookup.read(&temp.0.join("file"), 4).unwrap(), b"0123");
}
