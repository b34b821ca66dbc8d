//! The environment: what passes, what is set, why the rest does not.

use super::world::{World, builtin, cli};
use crate::plan::{Plan, Stripped};
use crate::policy::{Origin, Wish};

fn names(list: &[&str], origin: &Origin) -> Vec<Wish<String>> {
    list.iter()
        .map(|name| Wish {
            value: (*name).to_owned(),
            origin: origin.clone(),
        })
        .collect()
}

fn passes(plan: &Plan, name: &str) -> bool {
    plan.env.pass.iter().any(|p| p.name.to_string() == name)
}

fn value(plan: &Plan, name: &str) -> Option<String> {
    let set = plan.env.set.iter().find(|s| s.name.to_string() == name);
    set.map(|s| s.value.to_string())
}

fn stripped(plan: &Plan, name: &str) -> Option<(Stripped, bool)> {
    let found = plan
        .env
        .stripped
        .iter()
        .find(|s| s.name.to_string() == name);
    found.map(|s| (s.why, s.credential))
}

#[test]
fn a_variable_that_the_caller_has_not_is_told() {
    let mut world = World::new();
    world.var("THERE", "1");
    world.policy.wishes.env.keep = names(&["THERE", "NOT_THERE", "NOT_*"], &cli("--env"));
    world
        .policy
        .wishes
        .env
        .keep
        .extend(names(&["BUILT_IN"], &builtin()));
    let plan = world.plan();
    let said: Vec<_> = plan
        .notices
        .iter()
        .filter(|n| n.contains("--env"))
        .collect();
    assert_eq!(said, ["--env NOT_THERE: the caller has no such variable"]);
}

#[test]
fn the_table() {
    let mut world = World::new();
    let token = ["gh", "p_", "abcdefghijklmnopqrstuvwxyz0123456789"].concat();
    let file = Origin::File {
        path: "config.toml".into(),
        line: 1,
    };
    let env = &mut world.policy.wishes.env;
    env.keep = names(
        &[
            "LANG",
            "LC_*",
            "CLAUDE_CODE_*",
            "ANTHROPIC_API_KEY",
            "TMPDIR",
            "LD_*",
            "SSH_AUTH_SOCK",
            "VSCODE_IPC",
            "BOTH",
            "A*X",
        ],
        &builtin(),
    );
    env.keep.extend(names(
        &["NAMED", "LD_PRELOAD", "BASH_ENV", "BYUSER"],
        &cli("--env"),
    ));
    env.deny = names(
        &["CLAUDE_CODE_SSE_PORT", "VSCODE_*", "BOTH", "NAMED"],
        &builtin(),
    );
    env.deny
        .extend(names(&["SSH_AUTH_SOCK", "LC_PAPER"], &file));
    for (name, value) in [
        ("LANG", "C"),
        ("LC_ALL", "C"),
        ("LC_PAPER", "C"),
        ("LC_TOKEN", &*token),
        ("CLAUDE_CODE_X", "1"),
        ("CLAUDE_CODE_SSE_PORT", "99"),
        (
            "ANTHROPIC_API_KEY",
            &*["s", "k-ant-", "abcdefghijklmnopqrstuvwxyz"].concat(),
        ),
        ("LD_PRELOAD", "/x.so"),
        ("LD_LIBRARY_PATH", "/x"),
        ("BASH_ENV", "/x"),
        ("ENV", "/x"),
        ("SSH_AUTH_SOCK", "/run/x"),
        ("VSCODE_IPC", "/run/y"),
        ("VSCODE_OTHER", "/run/y"),
        ("BOTH", "1"),
        ("NAMED", &*token),
        ("BYUSER", "1"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("INNOCENT", &*token),
        ("EDITORISH", "vi"),
        ("AX", "1"),
        ("AXY", "1"),
    ] {
        world.var(name, value);
    }
    let plan = world.plan();
    for name in [
        "LANG",
        "LC_ALL",
        "CLAUDE_CODE_X",
        "ANTHROPIC_API_KEY",
        "LD_PRELOAD",
        "BASH_ENV",
        "NAMED",
        "BYUSER",
        // Named exactly, against a pattern of the same strength.
        "VSCODE_IPC",
        "AX",
    ] {
        assert!(passes(&plan, name), "{name}: {:?}", stripped(&plan, name));
        assert_eq!(stripped(&plan, name), None, "{name}");
    }
    for (name, want) in [
        ("LC_PAPER", (Stripped::Denied, false)),
        ("LC_TOKEN", (Stripped::LooksLikeCredential, true)),
        ("CLAUDE_CODE_SSE_PORT", (Stripped::Denied, false)),
        ("LD_LIBRARY_PATH", (Stripped::Denied, false)),
        ("ENV", (Stripped::NotListed, false)),
        ("SSH_AUTH_SOCK", (Stripped::Denied, true)),
        ("VSCODE_OTHER", (Stripped::Denied, false)),
        ("BOTH", (Stripped::Denied, false)),
        ("AWS_SECRET_ACCESS_KEY", (Stripped::NotListed, true)),
        ("INNOCENT", (Stripped::NotListed, true)),
        ("EDITORISH", (Stripped::NotListed, false)),
        ("AXY", (Stripped::NotListed, false)),
    ] {
        assert_eq!(stripped(&plan, name), Some(want), "{name}");
        assert!(!passes(&plan, name), "{name}");
    }
    let json = serde_json::to_string(&plan).unwrap();
    assert!(
        !json.contains(&token),
        "a value of the caller's is in the plan"
    );
}

#[test]
fn what_agentbox_sets() {
    let mut world = World::new();
    world
        .var("HOME", "/elsewhere")
        .var("USER", "x")
        .var("SHELL", "/evil")
        .var("AGENTBOX", "0")
        .var("OLDPWD", "/");
    world.policy.wishes.env.keep = names(&["HOME", "SHELL", "PATH", "AGENTBOX"], &cli("--env"));
    world.policy.wishes.env.set = vec![
        (
            "HOME".into(),
            Wish {
                value: "/no".into(),
                origin: builtin(),
            },
        ),
        (
            "IS_SANDBOX".into(),
            Wish {
                value: "1".into(),
                origin: builtin(),
            },
        ),
        (
            "IS_SANDBOX".into(),
            Wish {
                value: "2".into(),
                origin: builtin(),
            },
        ),
    ];
    world.host.cwd = "/home/u/proj/src".into();
    let plan = world.plan();
    for (name, want) in [
        ("AGENTBOX", "1"),
        ("HOME", "/home/u"),
        ("USER", "u"),
        ("LOGNAME", "u"),
        ("SHELL", "/bin/bash"),
        ("PWD", "/home/u/proj/src"),
        ("IS_SANDBOX", "2"),
    ] {
        assert_eq!(value(&plan, name).as_deref(), Some(want), "{name}");
        assert!(!passes(&plan, name), "{name}");
    }
    assert_eq!(stripped(&plan, "HOME"), None);
    world.policy.wishes.env.given = vec![Wish {
        value: "PATH".into(),
        origin: cli("--env"),
    }];
    assert!(world.refused().contains("set by agentbox"));
}

#[test]
fn given_and_set() {
    let mut world = World::new();
    let env = &mut world.policy.wishes.env;
    env.set = vec![
        (
            "A".into(),
            Wish {
                value: "profile".into(),
                origin: builtin(),
            },
        ),
        (
            "B".into(),
            Wish {
                value: "profile".into(),
                origin: builtin(),
            },
        ),
        (
            "C".into(),
            Wish {
                value: "profile".into(),
                origin: builtin(),
            },
        ),
    ];
    env.given = vec![Wish {
        value: "A".into(),
        origin: cli("--env"),
    }];
    env.keep = names(&["B", "C"], &cli("--env"));
    world.var("A", "caller").var("B", "caller");
    let plan = world.plan();
    assert_eq!(plan.env.given.len(), 1);
    assert_eq!(value(&plan, "A"), None, "the value of the command line");
    assert!(!passes(&plan, "A"));
    assert!(
        passes(&plan, "B"),
        "--env NAME is stronger than a profile's value"
    );
    assert_eq!(value(&plan, "B"), None);
    assert_eq!(
        value(&plan, "C").as_deref(),
        Some("profile"),
        "the caller has none"
    );
}

#[test]
fn tmpdir_passes_when_it_is_there() {
    for (dir, want) in [
        ("/tmp", true),
        ("/home/u/proj/src", true),
        ("/tmp/mine", false),
        ("/usr", false),
        ("/nowhere", false),
        ("relative", false),
    ] {
        let mut world = World::new();
        world.fs.dir("/tmp/mine");
        world.policy.wishes.env.keep = names(&["TMPDIR"], &builtin());
        world.var("TMPDIR", dir);
        assert_eq!(passes(&world.plan(), "TMPDIR"), want, "{dir}");
    }
}

#[test]
fn an_index_of_git_passes_when_the_box_can_write_it() {
    for (index, want) in [
        (".git/index.lock", true),
        ("/home/u/proj/.git/index.lock", true),
        ("/home/u/other/.git/index", false),
        ("../other/.git/index", false),
        ("/tmp/index", false),
        ("/nowhere/index", false),
        ("", false),
    ] {
        let mut world = World::new();
        world
            .fs
            .dir("/home/u/proj/.git")
            .dir("/home/u/other/.git")
            .dir("/tmp");
        world.policy.wishes.env.keep = names(&["GIT_INDEX_FILE"], &builtin());
        world.var("GIT_INDEX_FILE", index);
        let plan = world.plan();
        assert_eq!(passes(&plan, "GIT_INDEX_FILE"), want, "{index}");
        let stripped = plan.env.stripped.iter();
        let why: Vec<_> = stripped.map(|stripped| stripped.why).collect();
        assert_eq!(why == [Stripped::NotThere], !want, "{index}: {why:?}");
    }
}

#[test]
fn stores_of_a_push_pass_when_the_box_has_all_of_them() {
    let names3 = [
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_QUARANTINE_PATH",
    ];
    let new = "/home/u/proj/objects/new";
    for (store, others, want) in [
        (new, "/home/u/proj/./objects", true),
        (new, "/home/u/proj/objects:objects/new:", true),
        ("objects/new", "", true),
        (new, "/home/u/other/objects", false),
        (new, "/home/u/proj/objects:/home/u/other/objects", false),
        (new, "\"/home/u/proj/objects\"", false),
        ("/home/u/other/objects", "/home/u/proj/objects", false),
        ("/nowhere", "/home/u/proj/objects", false),
        ("", "/home/u/proj/objects", false),
    ] {
        let mut world = World::new();
        world
            .fs
            .dir("/home/u/proj/objects/new")
            .dir("/home/u/other/objects");
        world.policy.wishes.env.keep = names(&names3, &builtin());
        world.var(names3[0], store);
        world.var(names3[1], others);
        world.var(names3[2], new);
        let plan = world.plan();
        for name in names3 {
            assert_eq!(passes(&plan, name), want, "{name}: {store} {others}");
        }
    }
}

/// `SSL_CERT_FILE=~/corp.pem` passed and the file was not there: every connection failed "certificate verify failed", and nobody
/// said why.
#[test]
fn variables_that_name_what_is_not_in_the_box_are_told() {
    let said = |pairs: &[(&str, &str)], read: &[&str]| {
        let mut world = World::new();
        world
            .fs
            .file("/home/u/corp.pem", "")
            .dir("/home/u/jdk/bin")
            .dir("/home/u/.cargo/bin")
            .file("/home/u/proj/ca.crt", "")
            .file("/tmp/ca", "");
        world.fs.link("/home/u/current", "jdk");
        for (name, value) in pairs {
            world.var(name, value);
        }
        let keep: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
        world.policy.wishes.env.keep = names(&keep, &builtin());
        world.read("/home/u/.cargo/bin", builtin());
        for path in read {
            world.read(path, cli("--read"));
        }
        let notes = world.plan().notes;
        notes
            .into_iter()
            .find(|note| note.contains("not in the box"))
    };
    let all = [
        ("SSL_CERT_FILE", "/home/u/corp.pem"),
        ("JAVA_HOME", "/home/u/jdk"),
    ];
    assert_eq!(
        said(&all, &[]).unwrap(),
        "JAVA_HOME and SSL_CERT_FILE name what is not in the box; --read \"$JAVA_HOME\" shows it"
    );
    assert_eq!(
        said(&all, &["/home/u/jdk"]).unwrap(),
        "SSL_CERT_FILE names what is not in the box; --read \"$SSL_CERT_FILE\" shows it"
    );
    assert_eq!(said(&all, &["/home/u/jdk", "/home/u/corp.pem"]), None);
    // By a link that the box has, or that has to be granted by itself; and the host's /tmp is not the box's.
    let linked = [("JAVA_HOME", "/home/u/current")];
    assert!(said(&linked, &["/home/u/jdk"]).is_some());
    assert_eq!(said(&linked, &["/home/u/current"]), None);
    assert!(said(&[("CA", "/tmp/ca")], &[]).is_some());
    // What is visible, in part visible, missing outside as well, no path, or a list of them.
    for (name, value) in [
        ("CA", "/home/u/proj/ca.crt"),
        ("EDITOR", "/usr/bin/true"),
        ("CARGO_HOME", "/home/u/.cargo"),
        ("NOWHERE", "/home/u/none"),
        ("TEMP", "/tmp"),
        ("TTY", "/dev"),
        ("RELATIVE", "corp.pem"),
        ("LIST", "/home/u/jdk:/home/u"),
        ("EMPTY", ""),
    ] {
        assert_eq!(said(&[(name, value)], &[]), None, "{name}");
    }
}

/// With two accounts the agent was the other one in the box, and nobody said so.
#[test]
fn an_agent_whose_place_is_kept_out_is_said() {
    let said = |profile: &str, value: &str, keep: &[&str]| {
        let mut world = World::new();
        world.fs.dir("/home/u/work-account").dir("/home/u/.claude");
        world.var("CLAUDE_CONFIG_DIR", value);
        world.policy.profiles = vec![profile.to_owned()];
        world.policy.wishes.env.keep = names(keep, &cli("--env"));
        let mut notes = world.plan().notes.into_iter();
        notes.find(|note| note.contains("CLAUDE_CONFIG_DIR is kept out"))
    };
    let other = "/home/u/work-account";
    let note = said("claude", other, &[]).unwrap();
    assert!(note.contains("the box has ~/.claude"), "{note}");
    assert_eq!(said("claude", other, &["CLAUDE_CONFIG_DIR"]), None);
    assert_eq!(said("claude", "/home/u/.claude", &[]), None);
    assert_eq!(said("claude", "", &[]), None);
    assert_eq!(said("shell", other, &[]), None);
}
