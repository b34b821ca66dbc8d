//! The command is found as a shell finds it and made runnable wherever it is.

use super::world::{World, at};
use crate::plan::Plan;
use crate::plan::problem::ProblemKind;
use crate::plan::resolve::resolve_all;

fn program(plan: &Plan) -> String {
    plan.command.program.as_ref().unwrap().to_string()
}

fn path(plan: &Plan) -> String {
    let set = plan.env.set.iter().find(|s| s.name.bytes() == b"PATH");
    let all = set.unwrap().value.to_string();
    // First comes what the box has of its own.
    all.strip_prefix("/run/agentbox/bin:").unwrap().to_owned()
}

#[test]
fn found_as_a_shell_finds_it() {
    let mut world = World::new();
    world
        .fs
        .program("/home/u/proj/run.sh", "#!/bin/sh\n")
        .file("/usr/local/bin/true", "not executable");
    world
        .fs
        .dir("/usr/local/bin/bash")
        .file("/usr/bin/data", "");
    world.var("PATH", ".:bin::/usr/local/bin:/usr/bin:/bin");
    for (name, want) in [
        ("bash", "/usr/bin/bash"),
        ("true", "/usr/bin/true"),
        ("/bin/bash", "/bin/bash"),
        ("./run.sh", "/home/u/proj/run.sh"),
        ("src/../run.sh", "/home/u/proj/run.sh"),
        ("sh", "/usr/bin/sh"),
    ] {
        world.run(name);
        let plan = world.plan();
        assert_eq!(program(&plan), want, "{name}");
        assert_eq!(plan.command.argv[0].to_string(), name);
        assert_eq!(path(&plan), "/usr/local/bin:/usr/bin:/bin");
    }
    for (name, kind) in [
        ("nothing", ProblemKind::CommandNotFound),
        // In the workspace, but "." of PATH is not followed.
        ("run.sh", ProblemKind::CommandNotFound),
        ("./nothing", ProblemKind::CommandNotFound),
        ("data", ProblemKind::NotExecutable),
        ("/usr", ProblemKind::NotExecutable),
        ("./src", ProblemKind::NotExecutable),
        ("", ProblemKind::Refused),
    ] {
        world.run(name);
        let problems = world.resolve().unwrap_err();
        assert_eq!(problems[0].kind, kind, "{name}: {problems:?}");
        // A directory is not made a program by chmod(1).
        let executes = problems[0].remedy.contains("chmod");
        assert_eq!(executes, name == "data", "{name}: {problems:?}");
        let plan = resolve_all(&world.policy, &world.host, &world.fs).plan;
        if kind == ProblemKind::Refused {
            assert!(plan.is_none(), "{name}");
        } else {
            // explain works for what is not installed.
            assert_eq!(plan.unwrap().command.program, None, "{name}");
        }
    }
}

/// nvm: node and an agent from npm, whose native part is in a sibling package.
fn nvm() -> World {
    let mut world = World::new();
    let base = "/home/u/.nvm/versions/node/v20";
    world
        .fs
        .program(format!("{base}/bin/node"), "\x7fELF")
        .dir(format!("{base}/include"))
        .program(
            format!("{base}/lib/node_modules/@openai/codex/bin/codex.js"),
            "#!/usr/bin/env node\n",
        )
        .program(
            format!("{base}/lib/node_modules/@openai/codex-linux-x64/codex"),
            "\x7fELF",
        )
        .link(
            format!("{base}/bin/codex"),
            "../lib/node_modules/@openai/codex/bin/codex.js",
        )
        .file("/home/u/.npmrc", "//registry/:_authToken=x");
    world.var("PATH", &format!("{base}/bin:/home/u/.local/bin:/usr/bin"));
    world.fs.dir("/home/u/.local/bin");
    world
}

#[test]
fn npm_under_nvm() {
    let mut world = nvm();
    world.run("codex");
    let plan = world.plan();
    let base = "/home/u/.nvm/versions/node/v20";
    assert_eq!(program(&plan), format!("{base}/bin/codex"));
    // node brings its prefix, which holds the rest.
    assert_eq!(at(&plan, base), "r dir");
    assert_eq!(path(&plan), format!("{base}/bin:/usr/bin"));
    assert_eq!(plan.path_dropped.len(), 1);
    assert_eq!(plan.path_dropped[0].to_string(), "/home/u/.local/bin");
    let notes: Vec<&String> = plan.grants.iter().filter_map(|g| g.note.as_ref()).collect();
    assert!(
        notes.iter().any(|n| n.contains("npm packages")),
        "{notes:?}"
    );
    assert_eq!(at(&plan, "/home/u/.npmrc"), "-");
}

#[test]
fn npm_prefix_with_the_systems_node() {
    let mut world = World::new();
    let modules = "/home/u/.npm-global/lib/node_modules";
    world
        .fs
        .program("/usr/bin/node", "\x7fELF")
        .program(
            format!("{modules}/x/cli.js"),
            "#!/usr/bin/env -S node --flag\n",
        )
        .program(
            format!("{modules}/x/node_modules/y/y.js"),
            "#!/usr/bin/env node\n",
        )
        .link("/home/u/.npm-global/bin/x", "../lib/node_modules/x/cli.js")
        .link("/home/u/bin/x", "../.npm-global/bin/x");
    world.run("/home/u/bin/x");
    let plan = world.plan();
    assert_eq!(at(&plan, modules), "r dir");
    assert_eq!(at(&plan, "/home/u/bin/x"), "-> ../.npm-global/bin/x");
    assert_eq!(
        at(&plan, "/home/u/.npm-global/bin/x"),
        "-> ../lib/node_modules/x/cli.js"
    );
    assert_eq!(at(&plan, "/home/u/.npm-global"), "-");
    // The outermost one.
    world.run(&format!("{modules}/x/node_modules/y/y.js"));
    assert_eq!(at(&world.plan(), modules), "r dir");
}

#[test]
fn a_pnpm_shim() {
    let mut world = World::new();
    let pnpm = "/home/u/.local/share/pnpm";
    world
        .fs
        .program("/usr/bin/node", "\x7fELF")
        .program(
            format!("{pnpm}/tool"),
            "#!/bin/sh\nif [ -x \"$basedir/node\" ]; then\n exec \"$basedir/node\" \"$basedir/global/5/node_modules/tool/cli.js\" \"$@\"\nfi\n",
        )
        .file(format!("{pnpm}/global/5/.pnpm/tool@1/node_modules/tool/cli.js"), "#!/usr/bin/env node\n")
        .link(format!("{pnpm}/global/5/node_modules/tool"), "../.pnpm/tool@1/node_modules/tool");
    world.var("PATH", &format!("{pnpm}:/usr/bin"));
    world.run("tool");
    let plan = world.plan();
    assert_eq!(at(&plan, format!("{pnpm}/tool")), "r file");
    assert_eq!(at(&plan, format!("{pnpm}/global/5/.pnpm")), "r dir");
    assert_eq!(
        at(&plan, format!("{pnpm}/global/5/node_modules/tool")),
        "-> ../.pnpm/tool@1/node_modules/tool"
    );
    assert_eq!(at(&plan, pnpm), "-");
    assert_eq!(path(&plan), format!("{pnpm}:/usr/bin"));
}

#[test]
fn a_venv_brings_its_python() {
    let mut world = World::new();
    let python = "/home/u/.local/share/uv/python/cpython-3.12";
    world
        .fs
        .program(format!("{python}/bin/python3.12"), "\x7fELF")
        .dir(format!("{python}/lib"))
        .file(
            "/home/u/envs/a/pyvenv.cfg",
            format!("version = 3.12\nhome = {python}/bin\n"),
        )
        .link(
            "/home/u/envs/a/bin/python",
            &format!("{python}/bin/python3.12"),
        )
        .program("/home/u/envs/a/bin/tool", "#!/home/u/envs/a/bin/python\n")
        .link("/home/u/.local/bin/tool", "/home/u/envs/a/bin/tool")
        .program("/home/u/.local/bin/other", "");
    world.run("/home/u/.local/bin/tool");
    let plan = world.plan();
    assert_eq!(at(&plan, "/home/u/envs/a"), "r dir");
    assert_eq!(at(&plan, python), "r dir");
    assert_eq!(
        at(&plan, "/home/u/.local/bin/tool"),
        "-> /home/u/envs/a/bin/tool"
    );
    assert_eq!(at(&plan, "/home/u/.local/bin/other"), "-");
}

#[test]
fn shebang_chains_are_bounded() {
    let mut world = World::new();
    // a -> b -> c -> d -> e -> f -> g, and a loop.
    for (name, next) in [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("d", "e"),
        ("e", "f"),
        ("f", "g"),
        ("l", "l"),
    ] {
        world
            .fs
            .program(format!("/data/{name}"), &format!("#!/data/{next} -x\n"));
    }
    world.fs.program("/data/g", "\x7fELF");
    world.run("/data/a");
    let plan = world.plan();
    for (name, want) in [
        ("a", "r file"),
        ("b", "r file"),
        ("e", "r file"),
        ("f", "-"),
        ("g", "-"),
    ] {
        assert_eq!(at(&plan, format!("/data/{name}")), want, "{name}");
    }
    world.run("/data/l");
    world.plan();
}

#[test]
fn what_comes_with_a_program() {
    // (program, other files, what is granted, what is not)
    let rows: &[(&str, &[&str], &str, &str, &str)] = &[
        (
            "/opt/idea/bin/idea",
            &["/opt/idea/lib/x.jar"],
            "/opt/idea",
            "r dir",
            "/opt",
        ),
        ("/opt/one/tool", &[], "/opt/one", "r dir", "/opt"),
        ("/opt/tool", &[], "/opt/tool", "r file", "/opt"),
        (
            "/home/u/.local/bin/x",
            &["/home/u/.local/lib/y"],
            "/home/u/.local/bin/x",
            "r file",
            "/home/u/.local",
        ),
        (
            "/home/u/bin/x",
            &["/home/u/lib/y"],
            "/home/u/bin/x",
            "r file",
            "/home/u/bin",
        ),
        (
            "/home/u/.cargo/bin/x",
            &["/home/u/.cargo/lib/y"],
            "/home/u/.cargo/bin/x",
            "r file",
            "/home/u/.cargo",
        ),
        (
            "/home/u/go/bin/x",
            &["/home/u/go/share/x"],
            "/home/u/go/bin/x",
            "r file",
            "/home/u/go",
        ),
        (
            "/home/u/.sdkman/candidates/java/21/bin/java",
            &["/home/u/.sdkman/candidates/java/21/lib/m"],
            "/home/u/.sdkman/candidates/java/21",
            "r dir",
            "/home/u/.sdkman",
        ),
        (
            "/home/u/.local/share/claude/versions/1.0",
            &[],
            "/home/u/.local/share/claude/versions/1.0",
            "r file",
            "/home/u/.local/share/claude/versions",
        ),
        (
            "/nix/store/abc-tool/bin/tool",
            &[],
            "/nix/store",
            "r dir",
            "/nix",
        ),
        (
            "/home/linuxbrew/.linuxbrew/Cellar/t/1/bin/t",
            &[],
            "/home/linuxbrew/.linuxbrew",
            "r dir",
            "/home/linuxbrew",
        ),
        ("/srv/tool", &["/srv/lib/x"], "/srv/tool", "r file", "/srv"),
        (
            "/home/u/proj/tool",
            &[],
            "/home/u/proj",
            "w dir",
            "/home/u/proj/tool",
        ),
        (
            "/usr/local/bin/tool",
            &[],
            "/usr",
            "r dir",
            "/usr/local/bin/tool",
        ),
    ];
    for (program, others, granted, how, not) in rows {
        let mut world = World::new();
        world.fs.program(program, "\x7fELF");
        for other in *others {
            world.fs.file(other, "");
        }
        world.run(program);
        let plan = world.plan();
        assert_eq!(at(&plan, granted), *how, "{program}");
        assert_eq!(at(&plan, not), "-", "{program}");
    }
}

#[test]
fn a_script_of_the_system_with_an_interpreter_elsewhere() {
    let mut world = World::new();
    world
        .fs
        .program("/usr/local/bin/tool", "#!/opt/py/bin/python3\n")
        .program("/opt/py/bin/python3", "\x7fELF");
    world.run("tool");
    assert_eq!(at(&world.plan(), "/opt/py"), "r dir");
}

#[test]
fn a_command_in_a_place_that_is_never_granted() {
    let mut world = World::new();
    world.fs.program("/home/u/.config/agentbox/tool", "\x7fELF");
    world.run("/home/u/.config/agentbox/tool");
    assert!(world.refused().contains("never granted"));
}

/// With the line ends of Windows the kernel looks for `/bin/sh\r`, and said no more than "No such file or directory".
#[test]
fn an_interpreter_that_is_not_there_is_named() {
    let said = |line: &str| {
        let mut world = World::new();
        world
            .fs
            .program("/home/u/proj/run.sh", &format!("{line}\necho\n"));
        world.policy.request.argv = vec!["./run.sh".into()];
        let notices = world.plan().notices;
        notices.into_iter().find(|n| n.contains("`#!` line"))
    };
    assert_eq!(
        said("#!/bin/sh\r").unwrap(),
        "the `#!` line of /home/u/proj/run.sh names /bin/sh\\r, which is not there"
    );
    assert!(said("#! /opt/none/python -u").is_some());
    for fine in [
        "#!/bin/sh",
        "#! /bin/sh -e",
        "#!/usr/bin/env none",
        "#!",
        "echo",
    ] {
        assert_eq!(said(fine), None, "{fine}");
    }
}

/// `agentbox run "npm test"` and `agentbox run FOO=1 make` were told to install it.
#[test]
fn what_is_no_command_is_told_what_it_is() {
    let said = |argv: &[&str]| {
        let mut world = World::new();
        world.policy.request.argv = argv.iter().map(|a| (*a).into()).collect();
        world
            .resolve()
            .err()
            .map_or_else(String::new, |p| p[0].remedy.clone())
    };
    assert!(said(&["npm test"]).contains("sh -c"));
    assert!(said(&["FOO_1=2", "bash"]).contains("--env NAME=VALUE"));
    assert!(said(&["nosuch"]).contains("install it"));
    assert_eq!(said(&["bash", "-c", "A=1 true"]), "");
}
