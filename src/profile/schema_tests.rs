//! Every key and every mistake.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::plan::{LimitName, NetworkMode};
use crate::policy::{Authority, LimitWish};
use crate::profile::keys::TABLES;

fn place() -> Place {
    Place::File("p.toml".into())
}

fn good(text: &str) -> Parsed {
    parse(text, "p", &place(), Role::Profile).unwrap_or_else(|e| panic!("{text}\n{e:#?}"))
}

fn wrong(text: &str) -> Vec<Diagnostic> {
    match parse(text, "p", &place(), Role::Profile) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => problems,
    }
}

#[test]
fn nothing_is_fine() {
    let parsed = good("");
    assert_eq!(
        parsed.fragment,
        Fragment {
            name: "p".into(),
            ..Fragment::default()
        }
    );
}

#[test]
fn every_key_is_read() {
    let parsed = good(
        r#"
description = "d"
extends = ["base", 'x']
[agent]
commands = ["c"]
notices = ["n"]
[files]
read = ["/r?"]
write = ["~/w/"]
state = ["~/s"]
private = ["~/p"]
hard-links = "refuse"
[env]
keep = ["K_*"]
deny = ["D"]
set = { S = "v" }
[network]
mode = "host"
[limits]
memory = "75%"
processes = 4096
cpu = 1.5
file-size = "1GiB"
open-files = "none"
disk = "2GiB"
time = "2h"
idle = "30m"
output = "1MiB"
stop-grace = 3
[layers]
require = ["landlock"]
allow-missing = ["limits"]
off = ["keyring"]
rung = "landlock"
nested = "allow"
[commands]
deny = ["te*"]
allow = ["tf"]
search = ["~/x/*/bin"]
[kill-switch]
files = [".stop here"]
[session]
hangup = "detach"
"#,
    );
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
    } = parsed.fragment;
    assert!(arguments.is_empty());
    assert!(when.is_empty() && conditions.is_empty());
    assert_eq!(authority, Authority::Full);
    assert_eq!(rung.unwrap().value, crate::plan::rung::Rung::Landlock);
    assert_eq!(nested.unwrap().value, crate::plan::rung::Nested::Allow);
    assert!(remotes.is_empty() && team.is_none());
    assert!(egress.is_empty());
    assert_eq!((name.as_str(), description.as_deref()), ("p", Some("d")));
    assert_eq!(commands, ["c"]);
    let at = |line| Origin::File {
        path: "p.toml".into(),
        line,
    };
    assert_eq!(
        (notices[0].value.as_str(), &notices[0].origin),
        ("n", &at(6))
    );
    assert_eq!(
        (stop_files[0].value.as_str(), &stop_files[0].origin),
        (".stop here", &at(41))
    );
    assert_eq!(files.read[0].origin, at(8));
    assert!(files.read[0].value.optional && files.write[0].value.make_dir);
    assert_eq!(files.state[0].value.path, OsText::from("~/s"));
    assert_eq!(
        (&files.private[0].value.path, &files.private[0].origin),
        (&OsText::from("~/p"), &at(11))
    );
    assert_eq!(
        (env.keep[0].value.as_str(), &env.keep[0].origin),
        ("K_*", &at(14))
    );
    assert_eq!(env.deny[0].value, "D");
    assert_eq!(
        env.set,
        [(
            OsText::from("S"),
            Wish {
                value: OsText::from("v"),
                origin: at(16)
            }
        )]
    );
    assert_eq!(
        (&programs.deny[0].value, &programs.deny[0].origin),
        (&"te*".to_owned(), &at(37))
    );
    assert_eq!(programs.allow[0].value, "tf");
    assert_eq!(programs.search[0].value.path, OsText::from("~/x/*/bin"));
    assert!(env.given.is_empty());
    assert_eq!(network.unwrap().value, NetworkMode::Host);
    for (name, want) in [
        (LimitName::Memory, LimitWish::Percent(75.0)),
        (LimitName::Processes, LimitWish::Value(4096.0)),
        (LimitName::Cpu, LimitWish::Value(1.5)),
        (LimitName::FileSize, LimitWish::Value(1_073_741_824.0)),
        (LimitName::OpenFiles, LimitWish::Unlimited),
        (LimitName::Disk, LimitWish::Value(2_147_483_648.0)),
        (LimitName::Time, LimitWish::Value(7200.0)),
        (LimitName::Idle, LimitWish::Value(1800.0)),
        (LimitName::Output, LimitWish::Value(1_048_576.0)),
    ] {
        let got = limits.iter().find(|(n, _)| *n == name).unwrap();
        assert_eq!(got.1.value, want, "{name:?}");
    }
    assert_eq!(limits.len(), 9);
    assert_eq!(
        (
            hard_links.as_ref().unwrap().value,
            &hard_links.unwrap().origin
        ),
        (crate::plan::HardLinks::Refuse, &at(12))
    );
    assert_eq!(stop_grace.unwrap().value, 3.0);
    let hangup = hangup.unwrap();
    assert_eq!(
        (hangup.value, hangup.origin),
        (crate::policy::OnHangup::Detach, at(43))
    );
    assert_eq!(require[0].value, crate::outcome::Layer::Landlock);
    assert_eq!(allow_missing[0].value, crate::outcome::Layer::Limits);
    assert_eq!(layers_off[0].value, crate::outcome::Layer::Keyring);
    assert_eq!(parsed.extends.len(), 2);
}

/// TABLES is what `check` trusts: a key in it that nothing reads, or one that is read and not in it, is a hole.
#[test]
fn every_key_of_the_table_is_read_or_refused() {
    // Of a remote switch other keys are missing then; `remote_tests` has all of them.
    for (table, keys) in TABLES.iter().filter(|(table, _)| !table.contains('.')) {
        for key in *keys {
            // A value of a type that no key takes: a known key must complain about it.
            let text = match *table {
                "" => format!("{} = 1979-05-27", key.name),
                "test" | "when" => format!("[[{table}]]\n{} = 1979-05-27", key.name),
                table => format!("[{table}]\n{} = 1979-05-27", key.name),
            };
            let problems = wrong(&text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            let refused = problems[0].what.contains("not enforced by this version");
            assert_eq!(
                refused,
                key.status == KeyStatus::NotEnforced,
                "{text}: {problems:?}"
            );
            assert!(
                refused || problems[0].what.contains("expected"),
                "{text}: {problems:?}"
            );
        }
    }
}

#[test]
fn the_network_is_read() {
    let parsed = good(
        r#"
[network]
mode = "filtered"
allow = [
    "API.example.com",
    { host = "db.corp", ports = [5432, "5433"], private = true, plain = false },
]
deny = ["*.evil.example"]
host-ports = [5432, "6379"]
publish = [3000, "80:8080"]
[network.hosts]
"Db.corp" = "10.0.0.5"
two = ["10.0.0.6", "::1"]
"#,
    );
    assert_eq!(
        parsed.fragment.network.unwrap().value,
        NetworkMode::Filtered
    );
    let egress = parsed.fragment.egress;
    let allow: Vec<String> = egress
        .allow
        .iter()
        .map(|w| {
            format!(
                "{} {:?} {:?} {}",
                w.value.to, w.value.ports, w.value.marks, w.origin
            )
        })
        .collect();
    assert_eq!(
        allow,
        [
            "api.example.com [] [] p.toml:5",
            "db.corp [5432, 5433] [Private] p.toml:6"
        ]
    );
    assert_eq!(egress.deny[0].value.to.to_string(), "*.evil.example");
    let ports: Vec<u16> = egress.host_ports.iter().map(|w| w.value).collect();
    assert_eq!(ports, [5432, 6379]);
    let publish: Vec<_> = egress
        .publish
        .iter()
        .map(|w| (w.value.host, w.value.inside))
        .collect();
    assert_eq!(publish, [(3000, 3000), (80, 8080)]);
    let hosts: Vec<_> = egress
        .hosts
        .iter()
        .map(|(n, w)| (n.as_str(), w.value.len()))
        .collect();
    assert_eq!(hosts, [("db.corp", 1), ("two", 2)]);
}

#[test]
fn servers_and_keys_of_ssh() {
    let parsed = good(
        "[ssh]\nhosts = [\"GitHub.com\", \"git.corp.example:2222\"]\nkeys = [\"~/.ssh/id\", \"/keys/b.pub?\"]\n",
    );
    let egress = parsed.fragment.egress;
    let hosts: Vec<_> = egress.ssh_hosts.iter().map(|w| &w.value).collect();
    assert_eq!(
        hosts,
        [
            &("github.com".to_owned(), 22),
            &("git.corp.example".to_owned(), 2222)
        ]
    );
    let keys: Vec<_> = egress
        .ssh_keys
        .iter()
        .map(|w| (w.value.path.to_string(), w.value.optional))
        .collect();
    assert_eq!(
        keys,
        [
            ("~/.ssh/id".to_owned(), false),
            ("/keys/b.pub".to_owned(), true)
        ]
    );
}

#[test]
fn mistakes_in_the_network_are_shown() {
    for (text, what) in [
        ("ssh.hosts = [\"*.test\"]", "is not one server"),
        ("ssh.hosts = [\"a.test:1,2\"]", "is not one server"),
        ("ssh.hosts = [\"10.0.0.1\"]", "is not one server"),
        ("ssh.keys = [\"id\"]", ""),
        ("network.mode = \"filterd\"", "not a network mode"),
        ("network.allow = \"a.com\"", "a list of rules is expected"),
        (
            "network.allow = [1]",
            "a rule (a text, or a table with `host`) is expected",
        ),
        ("network.allow = [\"localhost:1\"]", "this machine itself"),
        ("network.allow = [\"*.com\"]", "as good as any name"),
        ("network.allow = [{}]", "a rule without `host`"),
        (
            "network.allow = [{ host = \"a.com\", port = 1 }]",
            "unknown key `port`",
        ),
        (
            "network.allow = [{ host = \"a.com\", private = 1 }]",
            "true or false is expected",
        ),
        (
            "network.allow = [{ host = \"a.com:1\", ports = [2] }]",
            "ports are given twice",
        ),
        (
            "network.allow = [{ host = \"127.0.0.1\", ports = [2] }]",
            "this machine itself",
        ),
        ("network.deny = [\"a.com+plain\"]", "means nothing"),
        ("network.host-ports = [0]", "not a port"),
        ("network.host-ports = [53]", "the box's own"),
        ("network.publish = [\"a:b\"]", "not a port"),
        (
            "network.hosts = { \"a b\" = \"10.0.0.1\" }",
            "not the name of a host",
        ),
        ("network.hosts = { a = \"b\" }", "not an address"),
        ("network.hosts = { a = [] }", "no address"),
        (
            "network.hosts = { a = 1 }",
            "an address (a text) is expected",
        ),
    ] {
        let problems = wrong(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(
            problems[0].what.contains(what),
            "{text}: {}",
            problems[0].what
        );
    }
}

#[test]
fn what_is_not_enforced_is_refused_and_never_ignored() {
    for text in ["[aws]\nkeys = []", "[review]\nx = 1"] {
        let problems = wrong(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(
            problems[0]
                .what
                .contains("is not enforced by this version of agentbox"),
            "{text}"
        );
        assert_eq!(problems[0].help, "remove the line", "{text}");
    }
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    for (text, line, column, what, help) in [
        (
            "discription = \"x\"",
            1,
            1,
            "unknown key `discription`",
            "did you mean `description`?",
        ),
        (
            "[files]\nwirte = []",
            2,
            1,
            "unknown key `wirte` in [files]",
            "did you mean `write`?",
        ),
        (
            "memory = 1",
            1,
            1,
            "unknown key `memory`",
            "`memory` belongs in [limits]",
        ),
        (
            "[env]\nextends = []",
            2,
            1,
            "unknown key `extends` in [env]",
            "belongs at the top",
        ),
        (
            "[zzz]\na = 1",
            1,
            2,
            "unknown key `zzz`",
            "known here: description",
        ),
        (
            "[limits]\nmemory = \"8 gibbons\"",
            2,
            10,
            "is not a size",
            "8GiB",
        ),
        (
            "[limits]\ntime = \"soon\"",
            2,
            8,
            "is not a duration",
            "90s",
        ),
        ("[limits]\nprocesses = -1", 2, 13, "whole number", "4096"),
        (
            "[limits]\nprocesses = 0x10",
            2,
            13,
            "a number or a text is expected",
            "",
        ),
        ("[limits]\ncpu = true", 2, 7, "not a TOML boolean", ""),
        (
            "[limits]\nstop-grace = \"none\"",
            2,
            14,
            "is not a duration",
            "",
        ),
        (
            "[files]\nread = [\n  \"/a\",\n  \"b\",\n]",
            4,
            3,
            "`b` is not absolute",
            "`~/`",
        ),
        (
            "[files]\nread = \"/a\"",
            2,
            8,
            "a list of texts is expected",
            "",
        ),
        ("[files]\nread = [1]", 2, 9, "a text is expected", ""),
        ("files = 1", 1, 9, "a table is expected", ""),
        (
            "[env]\nkeep = [\"*\"]",
            2,
            9,
            "nearly the whole environment",
            "name what is needed",
        ),
        (
            "[env]\nset = { A = 1 }",
            2,
            13,
            "a text (in quotes) is expected",
            "",
        ),
        ("[env.set]\n\"A=B\" = \"x\"", 2, 1, "not a name", ""),
        (
            "[network]\nmode = \"hots\"",
            2,
            8,
            "not a network mode",
            "`none`, `filtered` or `host`",
        ),
        (
            "[layers]\noff = [\"seccomb\"]",
            2,
            8,
            "no layer `seccomb`",
            "did you mean `seccomp`?",
        ),
        (
            "[layers]\nrequire = [\"view\"]\noff = [\"view\"]",
            3,
            1,
            "in `require` and in `off`",
            "choose one",
        ),
        ("[agent]\ncommands = [\"/bin/x\"]", 2, 13, "base name", ""),
        ("a = ", 1, 5, "", ""),
        ("x = \"\u{1b}\"", 1, 6, "", ""),
        ("[files]\nread = []\nread = []", 3, 1, "duplicate key", ""),
    ] {
        let problems = wrong(text);
        let d = &problems[0];
        assert_eq!((d.line, d.column), (line, column), "{text}\n{d}");
        assert!(d.what.contains(what), "{text}\n{d}");
        assert!(d.help.contains(help), "{text}\n{d}");
    }
}

#[test]
fn all_mistakes_of_a_text_are_reported_in_its_order() {
    let problems = wrong(
        "zip = 1\n[limits]\nmemory = \"x\"\ncpu = \"y\"\n[files]\nread = [\"a\", \"/b\", \"c\"]\nhide = [\"x\"]\n",
    );
    let lines: Vec<u32> = problems.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 3, 4, 6, 6, 7], "{problems:#?}");
    let many = "[env]\nkeep = [".to_owned() + &"\"a b\",".repeat(10_000) + "]";
    assert_eq!(wrong(&many).len(), MOST + 1);
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    assert!(!wrong(&("a = ".to_owned() + &"[".repeat(100_000))).is_empty());
    assert!(!wrong(&("a = ".to_owned() + &"{a=".repeat(50_000))).is_empty());
    assert!(!wrong(&("[a".to_owned() + &".a".repeat(50_000) + "]")).is_empty());
}

#[test]
fn a_stop_file_is_a_plain_name() {
    for name in [".claude-stop", "STOP", "halt bitte", "stöp"] {
        let parsed = good(&format!("[kill-switch]\nfiles = [\"{name}\"]"));
        assert_eq!(parsed.fragment.stop_files[0].value, name);
    }
    let long = "x".repeat(256);
    for name in [
        "",
        ".",
        "..",
        ".git",
        ".agentbox.toml",
        "a/b",
        "/etc/x",
        " a",
        "a\\t",
        "\\u0000",
        "a\\u007f",
        &long,
    ] {
        let problems = wrong(&format!("[kill-switch]\nfiles = [\"{name}\"]"));
        assert_eq!(problems.len(), 1, "{name}");
        assert!(problems[0].what.contains("is not the name of a stop file"));
        assert!(problems[0].help.contains(".claude-stop"));
    }
    assert!(
        wrong("[kill-switch]\nfile = [\"x\"]")[0]
            .help
            .contains("`files`")
    );
}

#[test]
fn questions_and_parts_are_read() {
    use crate::policy::Condition;
    use crate::profile::inline::{Expect, Verb};
    let parsed = good(
        "[[test]]\nread = \"~/.aws\"\nexpect = \"absent\"\n[[test]]\nexpect = \"allowed\"\nconnect = \"a.com:22\"\n\
         [[when]]\nexists = \"/nix\"\nfiles.read = [\"/nix/var?\"]\n[when.env]\nkeep = [\"NIX_PATH\"]\n\
         [[when]]\nmissing = [\"~/a\", \"${workspace}/b\"]\nlayers.require = [\"landlock\"]\n",
    );
    let tests: Vec<(Verb, &str, Expect)> = parsed
        .tests
        .iter()
        .map(|t| (t.verb, t.thing.as_str(), t.expect))
        .collect();
    assert_eq!(
        tests,
        [
            (Verb::Read, "~/.aws", Expect::Absent),
            (Verb::Connect, "a.com:22", Expect::Allowed)
        ]
    );
    let [nix, none] = parsed.fragment.when.as_slice() else {
        panic!("{:?}", parsed.fragment.when);
    };
    assert_eq!(nix.conditions[0].value, Condition::Exists("/nix".into()));
    assert_eq!(nix.fragment.files.read[0].origin.line(), Some(9));
    assert_eq!(nix.fragment.env.keep[0].value, "NIX_PATH");
    assert_eq!(none.conditions.len(), 2);
    assert_eq!(none.fragment.require.len(), 1);
    assert!(
        parsed.fragment.files.read.is_empty(),
        "nothing of a part is wished without its condition"
    );

    for (text, words) in [
        (
            "[[test]]\nread = \"x\"\nexpect = \"absent\"",
            "is not absolute",
        ),
        (
            "[[test]]\nread = \"/x\"\nexpect = \"gone\"",
            "`gone` is no answer",
        ),
        ("[[test]]\nread = \"/x\"", "a question and an answer"),
        ("[[test]]\nexpect = \"absent\"", "a question and an answer"),
        (
            "[[test]]\nread = \"/x\"\nwrite = \"/x\"\nexpect = \"absent\"",
            "asks one question",
        ),
        (
            "[[test]]\nraed = \"/x\"\nexpect = \"absent\"",
            "did you mean `read`?",
        ),
        ("[test]\nread = \"/x\"", "a list of tables, `[[test]]`"),
        (
            "[[when]]\nfiles.read = [\"/x\"]",
            "a part without a condition",
        ),
        ("[[when]]\nexists = \"/x?\"", "a `?` means nothing"),
        (
            "[[when]]\nexists = \"/x\"\nextends = [\"x\"]",
            "unknown key `extends`",
        ),
        (
            "[[when]]\nexists = \"/x\"\n[[when.when]]\nexists = \"/y\"",
            "unknown key `when`",
        ),
        // The agent makes package.json, and the next session grants.
        (
            "[[when]]\nexists = \"${workspace}/package.json\"\nfiles.read = [\"~/.npmrc\"]",
            "the agent can make it true",
        ),
        (
            "[[when]]\nmissing = \"${workspace}/x\"\nnetwork.mode = \"none\"",
            "the agent can make it true",
        ),
        (
            "[[when]]\nexists = [\"/x\", \"${workspace}/x\"]\ncommands.allow = [\"aws\"]",
            "the agent can make it true",
        ),
        (
            "[[when]]\nexists = \"${workspace}/x\"\nfiles.hide = [\"!${workspace}/.env\"]",
            "a pattern that lifts",
        ),
    ] {
        let said: Vec<String> = wrong(text).iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|s| s.contains(words)), "{text}: {said:?}");
    }
}
