//! From argv to the plan, and the statuses.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::profile::testing::Dir;
use args::Cli;

fn parse(line: &[&str]) -> Cli {
    args::parse(
        std::iter::once("agentbox")
            .chain(line.iter().copied())
            .map(OsString::from),
    )
    .unwrap()
}

fn policy(line: &[&str], dir: &Dir) -> Result<(Policy, GivenValues), CliError> {
    let Command::Run(args) = parse(line).command else {
        panic!()
    };
    let host = Host {
        cwd: "/cwd".into(),
        ..Host::default()
    };
    policy_for(&args.plan, &host, &dir.places())
}

fn problem(kind: ProblemKind) -> Problem {
    Problem {
        what: "w".into(),
        remedy: "r".into(),
        origin: None,
        kind,
    }
}

#[test]
fn the_command_line_is_the_strongest_source() {
    let dir = Dir::new();
    dir.write("user/config.toml", "[network]\nmode = \"host\"\n[limits]\nprocesses = 7\nmemory = \"1GiB\"\n[env]\ndeny = [\"CI\", \"KEPT\"]\n");
    let (policy, given) = policy(
        &[
            "run",
            "--net",
            "none",
            "--limit",
            "processes=9",
            "--env",
            "KEPT",
            "--env",
            "A=sesame-given",
            "claude",
            "-p",
        ],
        &dir,
    )
    .unwrap();
    assert_eq!(policy.profiles[0], "claude");
    assert_eq!(policy.request.argv.len(), 2);
    let wishes = &policy.wishes;
    assert_eq!(wishes.network.as_ref().unwrap().origin.to_string(), "--net");
    let limit = |name| {
        wishes
            .limits
            .iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1
            .origin
            .to_string()
    };
    assert_eq!(limit(crate::plan::LimitName::Processes), "--limit");
    assert!(limit(crate::plan::LimitName::Memory).ends_with("config.toml:5"));
    assert_eq!(
        limit(crate::plan::LimitName::Disk).split(':').next(),
        Some("profile base")
    );
    let keeps = |name: &str| wishes.env.keep.iter().any(|w| w.value == name);
    assert!(keeps("KEPT") && keeps("TERM") && !keeps("CI"));
    assert!(!format!("{policy:?}").contains("sesame-given"));
    assert_eq!(given.len(), 1);
}

#[test]
fn claude_gets_its_variables_and_no_bridge() {
    let dir = Dir::new();
    let (policy, _) = policy(&["run", "claude"], &dir).unwrap();
    let env = &policy.wishes.env;
    let verdict = |name: &str| {
        let hits = |list: &[crate::policy::Wish<String>]| {
            list.iter()
                .any(|w| crate::policy::pattern::matches(&w.value, name.as_bytes()))
        };
        let exact = env.keep.iter().any(|w| w.value == name);
        exact || (hits(&env.keep) && !hits(&env.deny))
    };
    for name in [
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "LC_ALL",
        "https_proxy",
    ] {
        assert!(verdict(name), "{name}");
    }
    for name in [
        "CLAUDE_CODE_SSE_PORT",
        "SSH_AUTH_SOCK",
        "TMUX",
        "TMUX_PANE",
        "VSCODE_IPC_HOOK_CLI",
        "GIT_ASKPASS",
        "DBUS_SESSION_BUS_ADDRESS",
        "AWS_SECRET_ACCESS_KEY",
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "NODE_OPTIONS",
    ] {
        assert!(!verdict(name), "{name}");
    }
    let set: Vec<String> = env
        .set
        .iter()
        .map(|(n, w)| format!("{n}={}", w.value))
        .collect();
    for want in [
        "IS_SANDBOX=1",
        "DISABLE_AUTOUPDATER=1",
        "GIT_CONFIG_COUNT=2",
    ] {
        assert!(set.iter().any(|s| s == want), "{want}: {set:?}");
    }
    assert!(
        policy
            .wishes
            .notices
            .iter()
            .any(|n| n.value.contains("update"))
    );
}

#[test]
fn a_profile_that_cannot_be_used_ends_the_run() {
    let dir = Dir::new();
    let error = policy(&["run", "-p", "claud", "x"], &dir).unwrap_err();
    assert!(
        error.to_string().contains("did you mean `claude`?"),
        "{error}"
    );
    assert_eq!((error.run_status(), error.status()), (125, 1));
    dir.write("etc/config.toml", "[review]\nkeys = []\n");
    let error = policy(&["run", "x"], &dir).unwrap_err();
    assert!(error.to_string().contains("not enforced"), "{error}");
    let error = policy(&["run", "--read", "", "x"], &dir).unwrap_err();
    assert_eq!((error.run_status(), error.status()), (125, 2));
}

#[test]
fn statuses_of_run() {
    use ProblemKind::{CommandNotFound, NotExecutable, Refused};
    for (kinds, want) in [
        (&[][..], 125),
        (&[Refused], 125),
        (&[CommandNotFound], 127),
        (&[NotExecutable], 126),
        (&[CommandNotFound, Refused], 125),
        (&[CommandNotFound, NotExecutable], 125),
    ] {
        let error = CliError::Problems(kinds.iter().map(|k| problem(*k)).collect());
        assert_eq!(error.run_status(), want, "{kinds:?}");
    }
}

#[test]
fn bad_usage_of_run_has_its_own_status() {
    let status = |line: &[&str]| {
        let argv: Vec<OsString> = line.iter().map(OsString::from).collect();
        usage_status(&argv)
    };
    for (line, want) in [
        (&["agentbox", "run", "--nope"][..], 125),
        (&["agentbox", "explain", "--nope"], 2),
        (&["agentbox", "explain", "run"], 2),
        (&["agentbox"], 2),
        (&[], 2),
    ] {
        assert_eq!(status(line), want, "{line:?}");
    }
}

/// The whole way on this machine: a percentage must not be lost between the profile and the plan.
#[test]
fn a_real_host_gets_a_plan_with_the_limits_of_base() {
    let dir = Dir::new();
    dir.write("home/w/x", "");
    let Command::Run(args) =
        parse(&["run", "--limit", "time=90s", "--net", "none", "/bin/sh"]).command
    else {
        panic!()
    };
    let mut host = Host::gather().unwrap();
    host.home = dir.path("home");
    host.cwd = dir.path("home/w");
    host.memory = 1_000_000_001;
    host.env = vec![
        ("PATH".into(), "/usr/bin:/bin".into()),
        ("TMUX".into(), "x".into()),
    ];
    let (policy, _) = policy_for(&args.plan, &host, &dir.places()).unwrap();
    let plan =
        resolve(&policy, &host, &crate::host::RealLookup).unwrap_or_else(|p| panic!("{p:#?}"));
    let limit = |name| {
        plan.limits
            .get(name)
            .unwrap_or_else(|| panic!("{name:?} is lost"))
            .value
    };
    use crate::plan::LimitName::{Disk, Memory, Processes, Time};
    assert_eq!(limit(Memory), 750_000_000.0);
    assert_eq!(limit(Processes), 4096.0);
    assert_eq!(limit(Disk), 2_147_483_648.0);
    assert_eq!(limit(Time), 90.0);
    assert_eq!(plan.network.mode, crate::plan::NetworkMode::None);
    assert!(plan.env.stripped.iter().any(|s| s.name.os() == "TMUX"));
    assert!(!crate::report::banner::banner(&plan, &[], &[]).is_empty());
    let host_net = parse(&["run", "--net", "host", "/bin/sh"]).command;
    let Command::Run(args) = host_net else {
        panic!()
    };
    let (policy, _) = policy_for(&args.plan, &host, &dir.places()).unwrap();
    let plan = resolve(&policy, &host, &crate::host::RealLookup).unwrap();
    let banner = crate::report::banner::banner(&plan, &[], &[]).join("\n");
    assert!(banner.contains("the network is the host's"), "{banner}");
}
