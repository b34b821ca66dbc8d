//! Finding, following, ordering.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

use super::testing::Dir;
use super::*;
use std::os::unix::fs::symlink;

fn load_named(name: &str, dir: &Dir) -> Result<Loaded, ProfileError> {
    load(Choice::Named(OsStr::new(name)), &dir.places())
}

fn chosen(command: &str, dir: &Dir) -> String {
    load(Choice::ByCommand(OsStr::new(command)), &dir.places())
        .unwrap()
        .profiles[0]
        .clone()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.fragments.iter().map(|f| f.name.as_str()).collect()
}

#[test]
fn the_index_of_commands_agrees_with_the_files() {
    for b in builtin::ALL {
        let parsed = parse(b.text, b.name, &Place::Builtin(b.name), Role::Profile)
            .unwrap_or_else(|e| panic!("{}: {e:?}", b.name));
        assert_eq!(parsed.fragment.commands, b.commands, "{}", b.name);
        assert!(parsed.fragment.description.is_some(), "{}", b.name);
        assert_eq!(builtin::get(b.name).unwrap().name, b.name);
        for command in b.commands {
            assert_eq!(
                builtin::by_command(command.as_bytes()).unwrap().name,
                b.name
            );
        }
    }
    let files: Vec<String> = {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let all: Vec<String> = builtin::ALL
        .iter()
        .map(|b| format!("{}.toml", b.name))
        .collect();
    assert_eq!(
        files, all,
        "a file is not embedded, or the list is not sorted"
    );
    assert!(builtin::get(builtin::FALLBACK).is_some());
}

/// Every entry of every list of a built-in profile stands on a line with a reason: a comment on the line itself, or (for a
/// long list of one kind) on one of the same block before it.
#[test]
fn every_grant_says_who_needs_it() {
    for b in builtin::ALL {
        let mut in_list = false;
        for (number, line) in b.text.lines().enumerate() {
            let line = line.trim();
            if line.ends_with("= [") {
                in_list = !line.starts_with("notices") && !line.starts_with("extends");
            } else if line == "]" {
                in_list = false;
            } else if in_list && line.starts_with('"') {
                assert!(line.contains("# "), "{}:{}: {line}", b.name, number + 1);
            }
        }
    }
}

#[test]
fn no_builtin_grants_a_place_where_secrets_live() {
    let dir = Dir::new();
    for b in builtin::ALL {
        let loaded = load_named(b.name, &dir).unwrap();
        for f in &loaded.fragments {
            let granted = f.files.read.iter().chain(&f.files.write);
            for wish in granted {
                let path = wish.value.path.os().to_str().unwrap();
                for secret in [
                    "~/.ssh/id_ed25519",
                    "~/.aws/credentials",
                    "~/.gnupg/x",
                    "~/.netrc",
                    "~/.npmrc",
                    "~/.pypirc",
                    "~/.git-credentials",
                    "~/.config/git/credentials",
                    "~/.config/gh/hosts.yml",
                    "~/.config/gcloud/x",
                    "~/.kube/config",
                    "~/.docker/config.json",
                    "~/.cargo/credentials.toml",
                    "~/.bash_history",
                    "~/.m2/settings.xml",
                    "~/.gradle/gradle.properties",
                    "~/.local/share/keyrings/x",
                    "/etc/shadow",
                    "/etc/sudoers",
                    "/etc/ssl/private/x",
                    "/etc/ssh/ssh_host_rsa_key",
                    "/etc/npmrc",
                    "/etc/krb5.keytab",
                    "/var/lib/x",
                    "/var/run/docker.sock",
                    "/run/docker.sock",
                    "/root/x",
                ] {
                    assert!(
                        secret != path && !secret.starts_with(&format!("{path}/")),
                        "{} grants {path}, and with it {secret}",
                        f.name
                    );
                }
            }
        }
    }
    // The twin: the same comparison finds a grant that covers one.
    assert!("~/.aws/credentials".starts_with(&format!("{}/", "~/.aws")));
}

#[test]
fn the_profile_is_chosen_by_the_base_name() {
    let dir = Dir::new();
    for (command, want) in [
        ("claude", "claude"),
        ("/opt/x/bin/codex", "codex"),
        ("./gemini", "gemini"),
        ("opencode/", "opencode"),
        ("bash", "shell"),
        ("claude.sh", "shell"),
        ("", "shell"),
        ("/", "shell"),
    ] {
        assert_eq!(chosen(command, &dir), want, "{command:?}");
    }
    let odd = OsStr::from_bytes(b"/x/\xff\xfe");
    let loaded = load(Choice::ByCommand(odd), &dir.places()).unwrap();
    assert_eq!(loaded.profiles[0], "shell");
}

#[test]
fn the_users_profile_is_chosen_first_and_replaces() {
    let dir = Dir::new();
    dir.write(
        "etc/profiles/sys.toml",
        "[agent]\ncommands = [\"claude\", \"make\"]\n",
    );
    assert_eq!(chosen("claude", &dir), "sys");
    dir.write(
        "user/profiles/mine.toml",
        "[agent]\ncommands = [\"cl\\u0061ude\"]\n",
    );
    assert_eq!(
        chosen("claude", &dir),
        "mine",
        "an escape spells the name as well"
    );
    assert_eq!(chosen("make", &dir), "sys");

    dir.write(
        "user/profiles/other.toml",
        "[agent]\ncommands = [\"claude\"]\n",
    );
    let error = load(Choice::ByCommand(OsStr::new("claude")), &dir.places())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("mine.toml") && error.contains("other.toml"),
        "{error}"
    );

    // A built-in one is replaced by name, and can be extended.
    let dir = Dir::new();
    dir.write(
        "user/profiles/codex.toml",
        "extends = [\"builtin:codex\"]\n[limits]\nprocesses = 5\n",
    );
    let loaded = load(Choice::ByCommand(OsStr::new("codex")), &dir.places()).unwrap();
    assert_eq!(
        loaded.profiles,
        [
            "codex",
            "codex",
            "base",
            "toolchains",
            "git",
            "registries",
            "git-hosting",
            "docs"
        ]
    );
    assert_eq!(
        names(&loaded),
        [
            "base",
            "toolchains",
            "git",
            "registries",
            "git-hosting",
            "docs",
            "codex",
            "codex"
        ]
    );
    assert!(!loaded.fragments[7].limits.is_empty());
    // A replaced `base` is what the built-in profiles extend from then on.
    dir.write("user/profiles/base.toml", "description = \"mine\"\n");
    let loaded = load_named("builtin:gemini", &dir).unwrap();
    assert_eq!(
        names(&loaded),
        [
            "toolchains",
            "git",
            "registries",
            "git-hosting",
            "docs",
            "gemini",
            "base"
        ]
    );
}

#[test]
fn sources_come_weakest_first() {
    let dir = Dir::new();
    let system = dir.write("etc/config.toml", "[limits]\nprocesses = 1\n");
    let user = dir.write("user/config.toml", "[limits]\nprocesses = 2\n");
    dir.write("etc/profiles/s.toml", "extends = [\"base\"]\n");
    dir.write("user/profiles/u.toml", "extends = [\"s\", \"git\"]\n");
    let loaded = load_named("u", &dir).unwrap();
    let (system, user) = (system.display().to_string(), user.display().to_string());
    assert_eq!(names(&loaded), ["base", "git", &system, "s", "u", &user]);
    assert_eq!(loaded.profiles, ["u", "s", "base", "git"]);
}

#[test]
fn a_config_file_is_no_profile() {
    let dir = Dir::new();
    dir.write(
        "user/config.toml",
        "extends = [\"git\"]\n[agent]\ncommands = [\"x\"]\n",
    );
    let error = load_named("base", &dir).unwrap_err().to_string();
    assert!(
        error.contains(":1:1: `extends`") && error.contains(":2:2: `agent`"),
        "{error}"
    );
}

#[test]
fn extends_finds_files_beside_it_and_each_once() {
    let dir = Dir::new();
    let path = dir.write("x/a.toml", "extends = [\"./b.toml\", \"c.toml\"]\n");
    dir.write("x/b.toml", "extends = [\"c.toml\"]\n");
    dir.write("x/c.toml", "");
    let loaded = load_named(path.to_str().unwrap(), &dir).unwrap();
    assert_eq!(loaded.profiles.len(), 3);
    assert!(loaded.profiles[1].ends_with("x/./b.toml") || loaded.profiles[1].ends_with("x/b.toml"));
}

#[test]
fn circles_are_named() {
    let dir = Dir::new();
    dir.write("user/profiles/a.toml", "extends = [\"b\"]\n");
    dir.write(
        "user/profiles/b.toml",
        "description = \"x\"\nextends = [\"base\", \"c\"]\n",
    );
    dir.write("user/profiles/c.toml", "extends = [\"a\"]\n");
    let error = load_named("a", &dir).unwrap_err().to_string();
    assert!(
        error.contains("a -> b -> c -> a") && error.contains("c.toml:1:12"),
        "{error}"
    );
    // Itself, and itself by another path.
    dir.write("user/profiles/claude.toml", "extends = [\"claude\"]\n");
    let error = load_named("claude", &dir).unwrap_err().to_string();
    assert!(
        error.contains("claude -> claude") && error.contains("builtin:NAME"),
        "{error}"
    );
    let path = dir.write("x/loop.toml", "extends = [\"./l/../again.toml\"]\n");
    std::fs::create_dir(dir.path("x/l")).unwrap();
    symlink(&path, dir.path("x/again.toml")).unwrap();
    let error = load_named(path.to_str().unwrap(), &dir)
        .unwrap_err()
        .to_string();
    assert!(error.contains("circle"), "{error}");
}

#[test]
fn a_chain_that_never_ends_is_cut() {
    let dir = Dir::new();
    for n in 0..100 {
        dir.write(
            &format!("user/profiles/p{n}.toml"),
            &format!("extends = [\"p{}\"]\n", n + 1),
        );
    }
    let error = load_named("p0", &dir).unwrap_err().to_string();
    assert!(error.contains("levels of `extends`"), "{error}");
}

#[test]
fn what_is_not_there_is_said_with_a_suggestion() {
    let dir = Dir::new();
    dir.write(
        "user/profiles/work.toml",
        "extends = [\"bsae\", \"zzzz\"]\n",
    );
    for (name, wants) in [
        ("claud", &["did you mean `claude`?"][..]),
        ("wrok", &["did you mean `work`?"]),
        (
            "xyzzy",
            &["there are: aider, amp, base, ci, claude", "work"],
        ),
        ("builtin:nope", &["no profile `builtin:nope`"]),
        ("", &["no profile ``"]),
        ("..", &["no profile `..`"]),
        ("./none.toml", &["./none.toml: open: No such file"]),
        ("work", &["1:12", "did you mean `base`?", "`zzzz`"]),
    ] {
        let error = load_named(name, &dir).unwrap_err().to_string();
        for want in wants {
            assert!(error.contains(want), "{name}: {error}");
        }
    }
}

#[test]
fn a_file_of_somebody_else_is_refused_wherever_it_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    for file in [
        "user/config.toml",
        "etc/config.toml",
        "user/profiles/shell.toml",
    ] {
        let path = dir.write(file, "");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let result = load(Choice::ByCommand(OsStr::new("sh")), &dir.places());
        assert!(
            matches!(result, Err(ProfileError::NotTrusted { .. })),
            "{file}: {result:?}"
        );
        std::fs::remove_file(path).unwrap();
        assert!(load(Choice::ByCommand(OsStr::new("sh")), &dir.places()).is_ok());
    }
}

#[test]
fn the_list_shows_what_replaces_what() {
    let dir = Dir::new();
    dir.write("user/profiles/claude.toml", "description = \"mine\"\n");
    dir.write("etc/profiles/claude.toml", "nope = 1\n");
    let all = list(&dir.places());
    let claude: Vec<(Rank, bool, bool)> = all
        .iter()
        .filter(|l| l.name == "claude")
        .map(|l| (l.rank, l.replaced, l.parsed.is_ok()))
        .collect();
    assert_eq!(
        claude,
        [
            (Rank::User, false, true),
            (Rank::System, true, false),
            (Rank::Builtin, true, true)
        ]
    );
    assert_eq!(all.len(), builtin::ALL.len() + 2);
}

#[test]
fn validate_knows_profiles_and_configuration() {
    let dir = Dir::new();
    let good = dir.write("p.toml", "extends = [\"base\"]\n");
    assert!(validate(&good, &dir.places()).is_ok());
    let config = dir.write("config.toml", "extends = [\"base\"]\n");
    assert!(validate(&config, &dir.places()).is_err());
    assert!(validate(&dir.path("none.toml"), &dir.places()).is_err());
}

#[test]
fn places_honour_an_absolute_xdg_config_home_only() {
    for (xdg, home, want) in [
        ("/x", "/home/a", Some("/x/agentbox")),
        ("x", "/home/a", Some("/home/a/.config/agentbox")),
        ("", "/home/a", Some("/home/a/.config/agentbox")),
        ("", "", None),
    ] {
        assert_eq!(
            Places::of(0, Path::new(home), Some(OsStr::new(xdg)))
                .user
                .as_deref(),
            want.map(Path::new),
            "{xdg:?}"
        );
    }
}
