//! One plan with everything in it, as people see it.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::plan::{
    Command, Env, EnvPass, EnvSet, EnvStripped, Identity, LayerOff, Limits, Network, VERSION, View,
    Workspace,
};
use crate::policy::Origin;

pub(in crate::report) fn builtin(profile: &str, line: u32) -> Origin {
    Origin::Builtin {
        profile: profile.into(),
        line,
    }
}

pub(in crate::report) fn plan() -> Plan {
    let grant = |path: &str, kind, origin, note: Option<&str>| Grant {
        path: path.into(),
        kind,
        origin,
        note: note.map(str::to_owned),
    };
    let stripped = |name: &str, why, credential| EnvStripped {
        name: name.into(),
        why,
        credential,
        origin: None,
    };
    let cli = |flag: &str| Origin::Cli { flag: flag.into() };
    Plan {
        version: VERSION,
        command: Command {
            name: "claude".into(),
            program: Some("/usr/bin/claude".into()),
            argv: vec!["claude".into(), "-p".into(), "hi\x1b[31m".into()],
            cwd: "/home/a/w".into(),
            profiles: vec!["claude".into(), "base".into()],
        },
        workspace: Workspace {
            path: "/home/a/w".into(),
            real: "/data/w".into(),
        },
        identity: Identity {
            mode: IdentityMode::Same,
            caller_uid: 1000,
            caller_gid: 1000,
            inner_uid: 1000,
            inner_gid: 1000,
            outer_uid: 1000,
            outer_gid: 1000,
            user: "a".into(),
            home: "/home/a".into(),
            home_real: None,
            shell: "/bin/bash".into(),
        },
        view: View::default(),
        refused: Default::default(),
        landlock: Vec::new(),
        env: Env {
            pass: vec![
                EnvPass {
                    name: "PATH".into(),
                    origin: builtin("base", 9),
                },
                EnvPass {
                    name: "CC".into(),
                    origin: builtin("toolchains", 9),
                },
                EnvPass {
                    name: "HOME".into(),
                    origin: builtin("base", 10),
                },
            ],
            set: vec![EnvSet {
                name: "IS_SANDBOX".into(),
                value: "1".into(),
                origin: builtin("claude", 30),
            }],
            given: vec!["GIVEN".into()],
            stripped: vec![
                stripped("AWS_SECRET_ACCESS_KEY", Stripped::NotListed, true),
                stripped("ANTHROPIC_CUSTOM", Stripped::LooksLikeCredential, true),
                stripped("TMUX", Stripped::Denied, false),
                stripped("FOO", Stripped::NotListed, false),
            ],
        },
        network: Network::of(NetworkMode::Host, builtin("claude", 40)),
        limits: Limits {
            list: vec![
                Limit {
                    name: LimitName::Memory,
                    value: 8.0 * 1024.0 * 1024.0 * 1024.0,
                    by: LimitBy::Rlimit,
                    meaning: "per process".into(),
                    origin: builtin("base", 90),
                },
                Limit {
                    name: LimitName::Time,
                    value: 5400.0,
                    by: LimitBy::Timer,
                    meaning: String::new(),
                    origin: cli("--limit"),
                },
            ],
            stop_grace: 3.0,
        },
        private_dirs: Vec::new(),
        links: Default::default(),
        names: crate::plan::Names::default(),
        state: Vec::new(),
        require: Layer::ALL
            .into_iter()
            .filter(|l| !matches!(l, Layer::Keyring | Layer::Limits | Layer::Network))
            .collect(),
        off: vec![LayerOff {
            layer: Layer::Keyring,
            origin: Origin::File {
                path: "/x.toml".into(),
                line: 2,
            },
        }],
        grants: vec![
            grant("/usr", GrantKind::Read, builtin("base", 9), None),
            grant("/etc/hosts", GrantKind::Read, builtin("base", 20), None),
            grant("/etc/services", GrantKind::Read, builtin("base", 21), None),
            grant(
                "/opt/c",
                GrantKind::Read,
                Origin::agentbox("the command"),
                Some("the package of claude"),
            ),
            grant("/home/a/w", GrantKind::Write, builtin("base", 60), None),
            grant(
                "/home/a/.claude",
                GrantKind::Write,
                builtin("claude", 12),
                None,
            ),
            grant(
                "/home/a/.claude.json",
                GrantKind::State,
                builtin("claude", 15),
                None,
            ),
            grant(
                "/home/a/.cache",
                GrantKind::Private,
                builtin("base", 63),
                None,
            ),
        ],
        stop_files: Vec::new(),
        standing: crate::plan::rung::Standing::default(),
        hangup: crate::plan::Hangup::End,
        remotes: Vec::new(),
        drill: None,
        path_dropped: vec!["/opt/secret/bin".into()],
        notices: vec!["signing is off\x1b".into()],
        notes: Vec::new(),
    }
}

const STEPS: [&str; 4] = ["filter", "namespaces", "view", "seccomp"];

/// The whole of it, so that a change of a word is a change of this test.
#[test]
fn the_text_is_this() {
    let want = r"command
  runs       claude -p hi\u{1b}[31m
  program    /usr/bin/claude
  profiles   claude base
  workspace  /home/a/w (/data/w)
  directory  /home/a/w
  user       a (uid 1000)
  home       /home/a

reads
  /usr    [profile base:9]
  /opt/c  [agentbox (the command)] the package of claude
  /etc: hosts services
    [profile base]

writes
  /home/a/w        [profile base:60]
  /home/a/.claude  [profile claude:12]

state (a copy, written back)
  /home/a/.claude.json  [profile claude:15]

private (persistent, the box's own)
  /home/a/.cache  [profile base:63]

variables
  in [profile base]: PATH HOME
  in [profile toolchains]: CC
  given [--env]: GIVEN
  set [profile claude]: IS_SANDBOX=1
  out, looks like a credential: AWS_SECRET_ACCESS_KEY ANTHROPIC_CUSTOM
  out, denied: TMUX
  out, not listed: FOO
  PATH without: /opt/secret/bin

network
  host: the host's network. This is NOT a boundary  [profile claude:40]

limits
  memory 8GiB  by rlimit  [profile base:90] per process
  time 1h30m   by timer   [--limit]
  stop-grace 3s

layers, in the order of their enforcement
  namespaces    must hold
  view          must hold
  seccomp       must hold
  identity      must hold
  network       the host's, as asked for
  limits        may be missing
  descriptors   must hold
  keyring       OFF  [/x.toml:2]
  capabilities  must hold
  landlock      must hold
  environment   must hold

notices
  signing is off\u{1b}
";
    let got = text(&plan(), &STEPS);
    assert!(got.contains("\x1b[1mcommand\x1b[0m\n"), "{got:?}");
    assert_eq!(anstream::adapter::strip_str(&got).to_string(), want);
}

#[test]
fn json_reads_back_as_the_same_plan() {
    let plan = plan();
    let text = json(&plan).unwrap();
    assert!(text.ends_with("}\n"));
    let back: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(back, plan);
}

#[test]
fn every_stripped_variable_is_named_once() {
    let text = text(&plan(), &STEPS);
    for name in ["AWS_SECRET_ACCESS_KEY", "ANTHROPIC_CUSTOM", "TMUX", "FOO"] {
        assert_eq!(text.matches(name).count(), 1, "{name}");
    }
    // Whatever the reason is: none is lost between the groups.
    for why in [
        Stripped::NotListed,
        Stripped::Denied,
        Stripped::LooksLikeCredential,
        Stripped::NotThere,
    ] {
        for credential in [true, false] {
            let mut plan = plan();
            plan.env.stripped = vec![EnvStripped {
                name: "ODD_ONE".into(),
                why,
                credential,
                origin: None,
            }];
            let text = super::text(&plan, &STEPS);
            assert_eq!(text.matches("ODD_ONE").count(), 1, "{why:?} {credential}");
        }
    }
}

#[test]
fn numbers() {
    for (value, want) in [
        (700.0, "700B"),
        (1536.0, "1.5KiB"),
        (8_589_934_592.0, "8GiB"),
        (1e15, "909.5TiB"),
    ] {
        assert_eq!(bytes(value), want);
    }
    for (value, want) in [
        (0.0, "0s"),
        (0.5, "0.5s"),
        (90.0, "1m30s"),
        (7200.0, "2h"),
        (5400.0, "1h30m"),
    ] {
        assert_eq!(seconds(value), want);
    }
}
