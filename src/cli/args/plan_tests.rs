//! What is typed and what it means.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::cli::args::{Cli, Command, RunArgs, parse};
use crate::policy::Authority;
use clap::CommandFactory as _;

fn argv(line: &[&str]) -> Vec<OsString> {
    std::iter::once("agentbox")
        .chain(line.iter().copied())
        .map(OsString::from)
        .collect()
}

fn run_args(line: &[&str]) -> RunArgs {
    match parse(argv(line))
        .unwrap_or_else(|e| panic!("{line:?}: {e}"))
        .command
    {
        Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

fn error(line: &[&str]) -> String {
    match parse(argv(line)) {
        Ok(cli) => panic!("{line:?} was accepted: {cli:?}"),
        Err(e) => e.render().to_string(),
    }
}

fn wishes(line: &[&str]) -> (Fragment, GivenValues) {
    run_args(line).plan.wishes(Path::new("/cwd")).unwrap()
}

fn usage(line: &[&str]) -> String {
    run_args(line)
        .plan
        .wishes(Path::new("/cwd"))
        .unwrap_err()
        .to_string()
}

#[test]
fn clap_agrees_with_itself() {
    Cli::command().debug_assert();
}

#[test]
fn everything_behind_the_command_is_the_commands() {
    for (line, want) in [
        (
            &["run", "claude", "-p", "hi"][..],
            &["claude", "-p", "hi"][..],
        ),
        (
            &["run", "-q", "claude", "-q", "--net", "none"],
            &["claude", "-q", "--net", "none"],
        ),
        (
            &["run", "--", "claude", "--", "-x"],
            &["claude", "--", "-x"],
        ),
        (&["run", "-q", "--", "-odd", "x"], &["-odd", "x"]),
        (&["run", "sh", "--help"], &["sh", "--help"]),
        (&["run", "sh", "--version"], &["sh", "--version"]),
        (&["run", "sh", "-c", "", "a=b"], &["sh", "-c", "", "a=b"]),
        (&["run", "run", "run"], &["run", "run"]),
    ] {
        let args = run_args(line);
        assert_eq!(args.plan.command, want, "{line:?}");
    }
    assert!(run_args(&["run", "-q", "x"]).quiet);
    assert!(!run_args(&["run", "x", "-q"]).quiet);
}

#[test]
fn arguments_are_bytes() {
    let odd = OsString::from_vec(b"\xff\xfe".to_vec());
    let mut line = argv(&["run", "--read"]);
    line.extend([odd.clone(), odd.clone(), odd.clone()]);
    let Command::Run(args) = parse(line).unwrap().command else {
        panic!()
    };
    assert_eq!(args.plan.command, [odd.clone(), odd.clone()]);
    assert_eq!(
        args.plan.request().argv,
        [OsText::from(odd.clone()), OsText::from(odd)]
    );
    let (fragment, _) = args.plan.wishes(Path::new("/cwd")).unwrap();
    assert_eq!(fragment.files.read[0].value.path.bytes(), b"/cwd/\xff\xfe");
}

#[test]
fn every_flag_becomes_a_wish_with_its_origin() {
    let (fragment, given) = wishes(&[
        "run",
        "-p",
        "x",
        "-C",
        "w",
        "--read",
        "/r",
        "--write",
        "o/",
        "--env",
        "A",
        "--env",
        "B=c=d",
        "--env",
        "E=",
        "--net",
        "none",
        "--limit",
        "memory=8GiB",
        "--limit=time=none",
        "--limit",
        "stop-grace=5s",
        "--allow-command",
        "terraform",
        "--hangup",
        "detach",
        "--hard-links",
        "refuse",
        "--require",
        "landlock,seccomp",
        "--allow-missing",
        "limits",
        "--nested",
        "allow",
        "--rung",
        "container-proc",
        "--",
        "c",
    ]);
    let Fragment {
        name,
        authority,
        description,
        commands,
        files,
        hard_links,
        programs,
        env,
        network,
        limits,
        stop_grace,
        require,
        allow_missing,
        layers_off,
        rung,
        nested,
        stop_files,
        hangup,
        remotes,
        team,
        notices,
        egress,
        arguments,
        when,
        conditions,
    } = fragment;
    assert!(arguments.is_empty());
    assert!(when.is_empty() && conditions.is_empty());
    assert_eq!(authority, Authority::Full);
    assert!(remotes.is_empty() && team.is_none());
    assert!(egress.is_empty());
    let from = |flag: &str| Origin::Cli { flag: flag.into() };
    assert_eq!(name, "command line");
    assert_eq!(
        nested.map(|w| (w.value, w.origin)),
        Some((crate::plan::rung::Nested::Allow, from("--nested")))
    );
    assert_eq!(
        rung.map(|w| (w.value, w.origin)),
        Some((crate::plan::rung::Rung::ContainerProc, from("--rung")))
    );
    assert_eq!(
        (programs.allow[0].value.as_str(), &programs.allow[0].origin),
        ("terraform", &from("--allow-command"))
    );
    assert_eq!(
        (
            description,
            commands.len(),
            layers_off.len(),
            stop_files.len(),
            notices.len()
        ),
        (None, 0, 0, 0, 0)
    );
    assert_eq!(
        (&files.read[0].value.path, &files.read[0].origin),
        (&OsText::from("/r"), &from("--read"))
    );
    let write = &files.write[0];
    assert_eq!(
        (&write.value.path, write.value.make_dir, &write.origin),
        (&OsText::from("/cwd/o"), true, &from("--write"))
    );
    assert_eq!(
        (env.keep[0].value.as_str(), &env.keep[0].origin),
        ("A", &from("--env"))
    );
    assert_eq!(
        env.given.iter().map(|w| &w.value).collect::<Vec<_>>(),
        [&OsText::from("B"), &OsText::from("E")]
    );
    assert!(env.set.is_empty() && env.deny.is_empty());
    assert_eq!(given[&OsText::from("B")], OsText::from("c=d"));
    assert_eq!(given[&OsText::from("E")], OsText::from(""));
    assert_eq!(
        hard_links.map(|w| (w.value, w.origin)),
        Some((crate::plan::HardLinks::Refuse, from("--hard-links")))
    );
    assert_eq!(network.map(|w| w.value), Some(NetworkMode::None));
    assert_eq!(
        limits
            .iter()
            .map(|(n, w)| (*n, w.value))
            .collect::<Vec<_>>(),
        [
            (LimitName::Memory, LimitWish::Value(8_589_934_592.0)),
            (LimitName::Time, LimitWish::Unlimited)
        ]
    );
    assert_eq!(stop_grace.map(|w| w.value), Some(5.0));
    assert_eq!(
        hangup.map(|w| (w.value, w.origin)),
        Some((crate::policy::OnHangup::Detach, from("--hangup")))
    );
    assert_eq!(
        require.iter().map(|w| w.value).collect::<Vec<_>>(),
        [Layer::Landlock, Layer::Seccomp]
    );
    assert_eq!(allow_missing[0].value, Layer::Limits);
    let args = run_args(&["run", "-C", "w", "c"]);
    assert_eq!(
        args.plan.request().workspace.as_deref(),
        Some(Path::new("w"))
    );
}

/// `--env NAME=SECRET` must not be found in anything that is kept.
#[test]
fn a_given_value_is_not_in_the_policy() {
    let (fragment, given) = wishes(&["run", "--env", "TOKEN=hunter2hunter2", "c"]);
    assert!(!format!("{fragment:?}").contains("hunter2"));
    assert!(format!("{given:?}").contains("hunter2"));
    assert!(!usage(&["run", "--env", "=hunter2hunter2", "c"]).contains("hunter2"));
}

#[test]
fn paths_are_names_and_no_patterns() {
    for (typed, want, make) in [
        ("/a", "/a", false),
        ("/", "/", false),
        ("///", "/", false),
        ("a?", "/cwd/a?", false),
        ("a*", "/cwd/a*", false),
        ("./a/../b", "/cwd/./a/../b", false),
        ("~", "~", false),
        ("~/x/", "~/x", true),
        ("~x", "/cwd/~x", false),
        ("${workspace}/x", "${workspace}/x", false),
        ("${workspace}x", "/cwd/${workspace}x", false),
    ] {
        let (fragment, _) = wishes(&["run", "--write", typed, "c"]);
        let got = &fragment.files.write[0].value;
        assert_eq!(got.path, OsText::from(want), "{typed}");
        // "/" and "///" have nothing in front of the slash.
        assert_eq!(got.make_dir, make || typed == "///", "{typed}");
        assert!(!got.optional, "{typed}");
    }
}

#[test]
fn who_names_a_host_means_the_filtered_network() {
    for (line, want) in [
        (&["run", "--allow", "a.com", "x"][..], "--allow"),
        (&["run", "--host-port", "5432", "x"], "--host-port"),
        (&["run", "--publish", "8080:3000", "x"], "--publish"),
        (
            &["run", "--net", "filtered", "--allow", "a.com", "x"],
            "--net",
        ),
    ] {
        let network = wishes(line).0.network.unwrap();
        assert_eq!(network.value, NetworkMode::Filtered, "{line:?}");
        assert_eq!(
            network.origin,
            Origin::Cli { flag: want.into() },
            "{line:?}"
        );
    }
    let (fragment, _) = wishes(&[
        "run",
        "--allow",
        "A.com:22+private",
        "--allow=*.b.com",
        "--host-port=5432",
        "--publish=8080:3000",
        "--publish=4000",
        "x",
    ]);
    let egress = fragment.egress;
    let allow: Vec<String> = egress
        .allow
        .iter()
        .map(|w| w.value.to.to_string())
        .collect();
    assert_eq!(allow, ["a.com", "*.b.com"]);
    assert_eq!(egress.allow[0].value.ports, [22]);
    assert_eq!(egress.host_ports[0].value, 5432);
    let ports: Vec<_> = egress
        .publish
        .iter()
        .map(|w| (w.value.host, w.value.inside))
        .collect();
    assert_eq!(ports, [(8080, 3000), (4000, 4000)]);
    for (line, want) in [
        (
            &["run", "--net", "none", "--allow", "a.com", "x"][..],
            "--net none",
        ),
        (
            &["run", "--net", "host", "--publish", "3000", "x"],
            "--net host",
        ),
    ] {
        assert!(usage(line).contains(want), "{line:?}: {}", usage(line));
    }
}

/// The value of `--env` is not policy, but where it says the service is has to be reachable.
#[test]
fn a_base_url_on_the_command_line_is_granted() {
    let url = |text: &str| wishes(&["run", "--env", text, "x"]).0;
    let local = url("ANTHROPIC_BASE_URL=http://user:hunter2@127.0.0.1:4000/v1");
    assert_eq!(local.egress.host_ports[0].value, 4000);
    assert!(!format!("{local:?}").contains("hunter2"));
    assert_eq!(local.network, None, "the mode is the profile's");
    let far = url("OPENAI_BASE_URL=https://llm.corp.example/v1").egress;
    assert_eq!(far.allow[0].value.to.to_string(), "llm.corp.example");
    assert_eq!(
        far.allow[0].origin,
        Origin::Cli {
            flag: "--env OPENAI_BASE_URL".into()
        }
    );
    assert!(url("OTHER=http://127.0.0.1:4000").egress.is_empty());
}

#[test]
fn bad_usage_is_said() {
    for (line, want) in [
        (&["run"][..], "COMMAND"),
        (&["explain"], "COMMAND"),
        (&["nope"], "unrecognized subcommand"),
        (&[], "Usage: agentbox"),
        (&["expalin", "x"], "'explain'"),
        (&["run", "--nett", "none", "x"], "--net"),
        (
            &["run", "--net", "hots", "x"],
            "`none`, `filtered` or `host`",
        ),
        (
            &["run", "--allow", "localhost:5432", "y"],
            "--host-port 5432",
        ),
        (&["run", "--allow", "*.com", "y"], "+wide"),
        (&["run", "--allow=", "y"], "a part of the name is empty"),
        (&["run", "--host-port", "0", "y"], "not a port"),
        (&["run", "--host-port", "53", "y"], "the box's own"),
        (&["run", "--publish", "x:80", "y"], "not a port"),
        (&["run", "--publish", "8080:80", "y"], "from 1024 on"),
        (
            &["run", "--review", "y"],
            "--review is not enforced by this version",
        ),
        (&["run", "--ssh", "y"], "[ssh] hosts"),
        (&["exec", "--detach", "7fab", "y"], "only `agentbox run`"),
        (&["run", "--limit", "memory", "x"], "NAME=VALUE is expected"),
        (
            &["run", "--limit", "memroy=1", "x"],
            "did you mean `memory`?",
        ),
        (&["run", "--limit", "memory=big", "x"], "not a size"),
        (&["run", "--limit", "zzz=1", "x"], "limits: memory"),
        (
            &["run", "--require", "landlok", "x"],
            "did you mean `landlock`?",
        ),
        (&["run", "--status-fd", "x", "y"], "invalid"),
        (&["profiles", "validate"], "FILE"),
    ] {
        let text = error(line);
        assert!(text.contains(want), "{line:?}: {text}");
    }
    for (line, want) in [
        (
            &["run", "--read", "", "x"][..],
            "--read \"\": an empty path",
        ),
        (&["run", "--env", "", "x"], "name of a variable is missing"),
        (
            &["run", "--env", "=v", "x"],
            "name of a variable is missing",
        ),
        (&["run", "--env", "A B", "x"], "not a name of a variable"),
        (&["run", "--env", "*", "x"], "nearly the whole environment"),
        (
            &["run", "--require", "view", "--allow-missing", "view", "x"],
            "choose one",
        ),
    ] {
        let text = usage(line);
        assert!(text.contains(want), "{line:?}: {text}");
    }
}

/// As one calls sudo or env: the way to say it is told.
#[test]
fn a_command_without_run_is_told_how() {
    let said = |argv: &[&str]| {
        parse(argv.iter().map(OsString::from))
            .unwrap_err()
            .to_string()
    };
    let text = said(&["agentbox", "claude"]);
    assert!(
        text.contains("to run it in the box: agentbox run claude"),
        "{text}"
    );
    for (word, tip) in [
        ("help", "agentbox COMMAND --help"),
        ("version", "agentbox --version"),
        ("list", "agentbox ps"),
        ("ls", "agentbox run ls"),
        ("sessions", "agentbox ps"),
    ] {
        let text = said(&["agentbox", word, "run"]);
        assert!(text.contains(tip), "{word}: {text}");
    }
    let text = said(&["agentbox", "profile"]);
    assert!(
        text.contains("profiles") && !text.contains("to run it"),
        "{text}"
    );
}
