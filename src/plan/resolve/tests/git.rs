//! Repositories elsewhere and borrowed objects.

use super::world::{Memory, World, at};

fn repository(fs: &mut Memory, dir: &str) {
    fs.file(format!("{dir}/HEAD"), "ref: refs/heads/main\n")
        .dir(format!("{dir}/objects"))
        .dir(format!("{dir}/refs"));
}

/// A worktree of /home/u/main at /home/u/tree.
fn worktree() -> World {
    let mut world = World::new();
    repository(&mut world.fs, "/home/u/main/.git");
    world
        .fs
        .file("/home/u/main/.git/worktrees/tree/HEAD", "x")
        .file("/home/u/main/.git/worktrees/tree/commondir", "../..\n")
        .file(
            "/home/u/main/.git/worktrees/tree/gitdir",
            "/home/u/tree/.git\n",
        )
        .file(
            "/home/u/tree/.git",
            "gitdir: /home/u/main/.git/worktrees/tree\n",
        );
    world.host.cwd = "/home/u/tree".into();
    world
}

#[test]
fn a_worktree_brings_its_repository() {
    let plan = worktree().plan();
    assert_eq!(plan.workspace.path.to_string(), "/home/u/tree");
    assert_eq!(at(&plan, "/home/u/main/.git"), "w dir");
    assert_eq!(at(&plan, "/home/u/main"), "-");
    assert!(
        plan.notices
            .iter()
            .any(|n| n.contains("/home/u/main/.git is writable"))
    );
}

#[test]
fn a_git_file_that_an_agent_could_have_written() {
    // It points to another repository, which does not point back.
    let mut world = worktree();
    world
        .fs
        .file(
            "/home/u/main/.git/worktrees/tree/gitdir",
            "/home/u/other/.git\n",
        )
        .file("/home/u/other/.git", "");
    let plan = world.plan();
    assert_eq!(at(&plan, "/home/u/main/.git"), "-");
    assert!(
        plan.notices
            .iter()
            .any(|n| n.contains("does not point back") && n.contains("--write"))
    );
    // It points to a repository itself, as for a submodule.
    let mut world = worktree();
    world.fs.file("/home/u/tree/.git", "gitdir: ../main/.git\n");
    assert_eq!(at(&world.plan(), "/home/u/main/.git"), "-");
    // It points to no repository.
    for target in ["/home/u/.ssh", "/home/u", "/", "/nowhere", ""] {
        let mut world = worktree();
        world
            .fs
            .dir("/home/u/.ssh")
            .file("/home/u/tree/.git", format!("gitdir: {target}\n"));
        let plan = world.plan();
        assert_eq!(at(&plan, "/home/u/.ssh"), "-", "{target}");
        assert_eq!(at(&plan, "/home/u"), "tmpfs", "{target}");
    }
    // HOME itself is a repository of worktrees: never as a whole.
    let mut world = worktree();
    repository(&mut world.fs, "/home/u");
    world
        .fs
        .file("/home/u/main/.git/worktrees/tree/commondir", "/home/u\n");
    let plan = world.plan();
    assert_eq!(at(&plan, "/home/u"), "tmpfs");
    assert!(
        plan.notices.iter().any(|n| n.contains("not its own")),
        "{:?}",
        plan.notices
    );
    // A directory of the agent's own that names a repository of the user as its common one.
    let mut world = worktree();
    world
        .fs
        .file("/home/u/tree/.git", "gitdir: fake\n")
        .file("/home/u/tree/fake/HEAD", "ref: refs/heads/x\n")
        .file("/home/u/tree/fake/gitdir", "/home/u/tree/.git\n")
        .file("/home/u/tree/fake/commondir", "/home/u/main/.git\n");
    assert_eq!(at(&world.plan(), "/home/u/main/.git"), "-");
}

#[test]
fn a_submodule_points_back_by_its_config() {
    let mut world = World::new();
    repository(&mut world.fs, "/home/u/super/.git/modules/sub");
    world
        .fs
        .file("/home/u/super/sub/.git", "gitdir: ../.git/modules/sub\n");
    world.host.cwd = "/home/u/super/sub".into();
    for (config, want) in [
        (
            "[core]\n\tbare = false\n\tworktree = ../../../sub\n",
            "w dir",
        ),
        ("[core]\n\tworktree = \"../../../sub\"\n", "w dir"),
        ("[core]\n\tworktree = ../../../other\n", "-"),
        ("[other]\n\tworktree = ../../../sub\n", "-"),
        ("", "-"),
    ] {
        world
            .fs
            .file("/home/u/super/.git/modules/sub/config", config);
        assert_eq!(
            at(&world.plan(), "/home/u/super/.git/modules/sub"),
            want,
            "{config}"
        );
    }
}

#[test]
fn borrowed_objects_are_named_and_not_granted() {
    let mut world = World::new();
    repository(&mut world.fs, "/srv/mirror.git");
    repository(&mut world.fs, "/srv/base.git");
    repository(&mut world.fs, "/home/u/proj/.git");
    world.fs.dir("/home/u/.ssh/objects");
    world.fs.file(
        "/srv/mirror.git/objects/info/alternates",
        "../../base.git/objects\n",
    );
    world.fs.file(
        "/home/u/proj/.git/objects/info/alternates",
        "# a comment\n/srv/mirror.git/objects\n/home/u/.ssh\n/home/u/.ssh/objects\n/nowhere\n",
    );
    let plan = world.plan();
    for path in [
        "/srv/mirror.git/objects",
        "/srv/base.git/objects",
        "/srv/mirror.git",
        "/home/u/.ssh",
        "/home/u/.ssh/objects",
    ] {
        assert_eq!(at(&plan, path), "-", "{path}");
    }
    let remedy = "add --read /srv/mirror.git/objects";
    assert!(
        plan.notices.iter().any(|n| n.contains(remedy)),
        "{:?}",
        plan.notices
    );
}

/// `-C packages/web` of a repository: git said "not a git repository", and nobody why.
#[test]
fn a_part_of_a_repository_is_told() {
    let said = |world: &mut World| {
        let notices = world.plan().notices;
        notices
            .into_iter()
            .find(|n| n.contains("will not work here"))
    };
    let mut world = World::new();
    assert_eq!(said(&mut world), None);
    world.policy.request.workspace = Some("src".into());
    assert_eq!(
        said(&mut world).unwrap(),
        "git will not work here: the working copy is a part of /home/u/proj; -C /home/u/proj takes all of it"
    );
    // A repository of its own, with a work tree and bare.
    repository(&mut world.fs, "/home/u/proj/src/.git");
    assert_eq!(said(&mut world), None);
    let mut world = World::new();
    world.policy.request.workspace = Some("src".into());
    repository(&mut world.fs, "/home/u/proj/src");
    assert_eq!(said(&mut world), None);
    // Others' working copies are not looked for, and HOME is none.
    for (mark, program) in [(".hg", "hg"), (".svn", "svn"), (".jj", "jj")] {
        let mut world = World::new();
        world.fs.dir(format!("/home/u/x/{mark}"));
        world
            .fs
            .dir("/home/u/x/y")
            .dir("/home/u/z")
            .dir(format!("/home/u/{mark}"));
        repository(&mut world.fs, "/home/u/.git");
        world.host.cwd = "/home/u/x/y".into();
        let line = said(&mut world).unwrap();
        assert!(line.starts_with(&format!("{program} will not")), "{line}");
        assert!(line.contains("-C /home/u/x "), "{line}");
        for fine in ["/home/u/x", "/home/u/z"] {
            world.host.cwd = fine.into();
            assert_eq!(said(&mut world), None, "{mark} {fine}");
        }
    }
}
