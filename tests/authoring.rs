//! Who writes profiles: bad input with its place and remedy, the JSON Schema, new, diff, import, init.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn world() -> TestBox {
    TestBox::new()
        .file("{ws}/package.json", "{}")
        .file("{ws}/.env", "SECRET=1")
}

fn agentbox(b: &TestBox, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
    run(b.agentbox(words))
}

/// Each mistake is said with place and remedy, by `validate` (1) and by a start (125, nothing runs), and several at once.
#[test]
fn a_bad_profile_is_said_with_its_place() {
    let rows: &[(&str, &[&str])] = &[
        (
            "[files]\nwirte = [\"~/x\"]\n",
            &[
                "p.toml:2:1: unknown key `wirte` in [files]",
                "did you mean `write`?",
            ],
        ),
        (
            "[fiels]\nread = []\n",
            &["p.toml:1:2:", "did you mean `files`?"],
        ),
        (
            "[files]\nread = \"~/x\"\n",
            &["p.toml:2:8: a list of texts is expected"],
        ),
        (
            "[limits]\nmemory = \"8GiX\"\n",
            &["p.toml:2:10: `8GiX` is not a size", "\"8GiB\""],
        ),
        (
            "[files]\nhide = [\"${workspace}/[ab]\"]\n",
            &["p.toml:2:9:", "only `*` and `**` are known"],
        ),
        ("[network]\nallow = [\"http://x.com\"]\n", &["p.toml:2:10:"]),
        (
            "[network]\nallow = [\"*.com\"]\n",
            &["p.toml:2:10:", "wide"],
        ),
        (
            "extends = [\"no-such\"]\n",
            &["p.toml:1:12: there is no profile `no-such`"],
        ),
        ("extends = [\"claud\"]\n", &["did you mean `claude`?"]),
        (
            "extends = [\"./p.toml\"]\n",
            &["p.toml:1:12: profiles extend each other in a circle"],
        ),
        (
            "extends = [\"./q.toml\"]\n",
            &["q.toml:1:12: profiles extend each other in a circle"],
        ),
        (
            "a = 1\nb = 2\n[files]\nc = 3\nread = [\"x\"]\n",
            &[":1:1:", ":2:1:", ":4:1:", ":5:9:"],
        ),
        ("x = \"\n", &["p.toml:1:"]),
        (
            "[review]\nx = 1\n",
            &["not enforced by this version", "remove the line"],
        ),
        (
            "[[test]]\nread = \"~/x\"\n",
            &["p.toml:1:1: a test has a question and an answer"],
        ),
        (
            "[[when]]\nexists = \"${workspace}/package.json\"\nnetwork.allow = [\"x.com\"]\n",
            &["p.toml:3:9:", "the agent can make it true"],
        ),
    ];
    for (text, words) in rows {
        let b = world()
            .file("p.toml", *text)
            .file("q.toml", "extends = [\"./p.toml\"]\n");
        let checked = agentbox(&b, &["profiles", "validate", "{t}/p.toml"]);
        assert_eq!(checked.code(), 1, "{text}: {checked:?}");
        let started = agentbox(
            &b,
            &["run", "-p", "{t}/p.toml", "--", "sh", "-c", "touch started"],
        );
        assert_eq!(started.code(), 125, "{text}: {started:?}");
        assert!(!b.ws().join("started").exists(), "{text}");
        for said in [checked.complaint(), started.complaint()] {
            for word in *words {
                assert!(said.contains(word), "{text}: {word}: {said}");
            }
            assert!(
                said.lines().all(|line| line.starts_with("agentbox: ")),
                "{said}"
            );
        }
    }
}

/// The line and a caret below the place, in every kind of file, from `validate` and from a start: several mistakes at once,
/// long lines cut around the place, and nothing of the file that a terminal would obey.
#[test]
fn the_place_is_shown_with_its_line_in_every_kind_of_file() {
    let text = format!(
        "[env]\ndeny = [\"a b\"] # \u{1b}[31m\n[limits] # 日本\n\"x\\nagentbox: 日本\" = 1\nmemory = \"{}\"\n",
        "9".repeat(400)
    );
    // A control character is no TOML, and such a text is not looked at further.
    let legal = text.replace('\u{1b}', "");
    let said_of = |b: &TestBox, words: &[&str], status: u8| {
        let ran = agentbox(b, words);
        assert_eq!(ran.code(), i32::from(status), "{words:?}: {ran:?}");
        let said = ran.complaint();
        assert!(
            !said.contains(|c: char| c.is_control() && c != '\n'),
            "{said:?}"
        );
        said
    };
    let places: &[(&str, &[&str])] = &[
        ("p.toml", &["run", "-p", "{t}/p.toml", "--", "true"]),
        ("{home}/.config/agentbox/config.toml", &["run", "true"]),
        ("{ws}/.agentbox.toml", &["run", "true"]),
        // A start asks for it in /etc alone: tests/floor.rs.
        ("floor.toml", &["profiles", "validate", "{t}/floor.toml"]),
    ];
    for (file, start) in places {
        let b = world().file(file, &legal);
        let named = if file.starts_with('{') {
            (*file).to_owned()
        } else {
            format!("{{t}}/{file}")
        };
        let checked = said_of(&b, &["profiles", "validate", &named], 1);
        let status = if start[0] == "run" { 125 } else { 1 };
        let started = said_of(&b, start, status);
        for said in [checked, started] {
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines.len(), 9, "{file}: {said}");
            let numbers: Vec<String> = lines.iter().step_by(3).map(|l| place_of(l)).collect();
            assert_eq!(numbers, ["2:9", "4:1", "5:10"], "{file}: {said}");
            assert_eq!(
                lines[1], "agentbox:   2 | deny = [\"a b\"] # [31m",
                "{file}"
            );
            assert_eq!(
                lines[2].trim_end_matches(|c| c != '^'),
                "agentbox:     |         ^^^^^",
                "{file}"
            );
            // A key cannot write a line of its own, and a caret counts columns, not characters.
            assert!(
                lines[3].contains("unknown key `x\\nagentbox: 日本`"),
                "{said}"
            );
            let carets = |line: &str| line.matches('^').count();
            assert!(lines[6].len() < 500 && lines[6].ends_with("9` is not a size"));
            assert_eq!(carets(lines[5]), 19, "{said}");
            assert!(lines[7].ends_with("999..."), "{said}");
            assert!(lines[7].len() < 120 && carets(lines[8]) < 100, "{said}");
        }
        let b = world().file(file, &text);
        let said = said_of(&b, &["profiles", "validate", &named], 1);
        assert!(
            said.contains("deny = [\"a b\"] # \\u{1b}[31m"),
            "{file}: {said}"
        );
    }
}

/// `LINE:COLUMN` of a message that begins with its file.
fn place_of(line: &str) -> String {
    let rest = line.split_once(".toml:").map_or("", |(_, rest)| rest);
    let mut parts = rest.splitn(3, ':');
    [parts.next(), parts.next()]
        .map(Option::unwrap_or_default)
        .join(":")
}

#[test]
fn a_file_that_is_no_text_is_said_with_its_name() {
    let b = world();
    let at = |name: &str| b.root().join(name);
    fs::write(at("bytes.toml"), b"a = \"\xff\"\n").unwrap();
    fs::write(at("big.toml"), vec![b'#'; 10 << 20]).unwrap();
    symlink("loop.toml", at("loop.toml")).unwrap();
    symlink("nowhere", at("dangling.toml")).unwrap();
    fs::create_dir(at("dir.toml")).unwrap();
    nix::unistd::mkfifo(&at("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, words) in [
        ("bytes.toml", "bytes.toml:1:6: not UTF-8"),
        ("big.toml", "10485760 bytes, more than a profile may have"),
        ("loop.toml", "Too many symbolic links"),
        ("dangling.toml", "No such file"),
        ("dir.toml", "not a regular file"),
        ("fifo.toml", "not a regular file"),
        ("none.toml", "No such file"),
    ] {
        let path = at(name);
        if path.symlink_metadata().is_ok() {
            b.chown(&path);
        }
        let path = path.to_str().unwrap();
        for (words_of, status) in [
            (&["profiles", "validate", path][..], 1),
            (&["run", "-p", path, "--", "true"], 125),
            (&["explain", "-p", path, "--", "true"], 1),
        ] {
            let ran = agentbox(&b, words_of);
            assert_eq!(ran.code(), status, "{name}: {ran:?}");
            assert!(ran.complaint().contains(words), "{name}: {words}: {ran:?}");
        }
    }
    // A slip of the finger in a name, and in a subcommand.
    let ran = agentbox(&b, &["run", "-p", "claud", "--", "true"]);
    assert!(
        ran.code() == 125 && ran.complaint().contains("did you mean `claude`?"),
        "{ran:?}"
    );
    let ran = agentbox(&b, &["profils"]);
    assert!(
        ran.code() == 2 && ran.complaint().contains("profiles"),
        "{ran:?}"
    );
    let ran = agentbox(&b, &["profiles", "vaildate", "x"]);
    assert!(
        ran.code() == 2 && ran.complaint().contains("validate"),
        "{ran:?}"
    );
}

/// What an editor accepts is what the program accepts: every built-in profile, and mistakes of each kind, by a validator that
/// is not ours.
#[test]
fn the_schema_knows_what_the_parser_knows() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let check = "import json, sys, tomllib\ntry:\n import jsonschema\nexcept ImportError:\n sys.exit(77)\n\
                 schema = json.load(open(sys.argv[1]))\njsonschema.Draft7Validator.check_schema(schema)\n\
                 v = jsonschema.Draft7Validator(schema)\nfor path in sys.argv[2:]:\n\
                 \x20errors = list(v.iter_errors(tomllib.load(open(path, 'rb'))))\n\
                 \x20print('bad' if errors else 'good', path, [e.message for e in errors][:1])\n";
    let b = world();
    let schema = agentbox(&b, &["profiles", "schema"]).ok();
    let at = |name: &str| b.root().join(name);
    fs::write(at("schema.json"), schema).unwrap();
    let mut files: Vec<std::path::PathBuf> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
    files.sort();
    let good = files.len();
    for (number, text) in [
        "[files]\nwirte = [\"/x\"]\n",
        "[files]\nread = \"/x\"\n",
        "[files]\nread = [\"x\"]\n",
        "[files]\nhide = [\"${workspace}\"]\n",
        "[network]\nmode = \"open\"\n",
        "[network]\nhost-ports = [70000]\n",
        "[limits]\nmemory = \"8GiX\"\n",
        "[limits]\nprocesses = 0\n",
        "[layers]\nrequire = [\"magic\"]\n",
        "[[test]]\nread = \"/x\"\n",
        "[[test]]\nread = \"/x\"\nexpect = \"gone\"\n",
        "[[when]]\nexists = \"/x\"\nextends = [\"y\"]\n",
        "[review]\nx = 1\n",
        "description = 1\n",
    ]
    .iter()
    .enumerate()
    {
        let path = at(&format!("bad{number}.toml"));
        fs::write(&path, text).unwrap();
        assert_eq!(
            agentbox(&b, &["profiles", "validate", path.to_str().unwrap()]).code(),
            1,
            "{text}"
        );
        files.push(path);
    }
    // Outside of every box, by whatever Python who runs the tests has.
    let mut command = Command::new("python3");
    command
        .arg("-c")
        .arg(check)
        .arg(at("schema.json"))
        .args(&files);
    let ran = run(command);
    if ran.code() == 77 {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIP jsonschema the_schema_knows_what_the_parser_knows\n",
        );
        return;
    }
    let text = ran.ok();
    for (number, line) in text.lines().enumerate() {
        let want = if number < good { "good " } else { "bad " };
        assert!(line.starts_with(want), "{line}");
    }
    assert_eq!(text.lines().count(), files.len());
}

#[test]
fn a_new_profile_is_begun_compared_and_tested() {
    let b = world();
    let printed = agentbox(&b, &["profiles", "new", "--agent", "claude"]).ok();
    assert!(
        printed.contains("package.json") && printed.contains("extends = [\"builtin:claude\"]"),
        "{printed}"
    );
    let ran = agentbox(&b, &["profiles", "new", "work", "--agent", "claude"]);
    let file = b.home().join(".config/agentbox/profiles/work.toml");
    assert!(ran.ok().contains(file.to_str().unwrap()), "{ran:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("#:schema ../schema.json\n"), "{text}");
    let schema = file.parent().unwrap().join("../schema.json");
    assert_eq!(
        fs::read_to_string(schema).unwrap(),
        agentbox(&b, &["profiles", "schema"]).ok() + "\n"
    );
    // Of a stranger's eyes, and not written over.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(file.parent().unwrap()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0);
    let again = agentbox(&b, &["profiles", "new", "work"]);
    assert!(
        again.code() == 1 && again.complaint().contains("exists already"),
        "{again:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(agentbox(&b, &["profiles", "validate", "work"]).code(), 0);
    assert_eq!(
        agentbox(&b, &["profiles", "diff", "claude", "work"]).code(),
        0,
        "it grants nothing"
    );
    fs::write(
        &file,
        text.replace(
            "# read = [\"~/shared-docs?\"]",
            "read = [\"~/shared-docs?\"]",
        ),
    )
    .unwrap();
    let differs = agentbox(&b, &["profiles", "diff", "claude", "work"]);
    assert_eq!(differs.code(), 1, "{differs:?}");
    let line = format!("+ files.read ~/shared-docs?  [{}:", file.display());
    assert!(
        differs.text().starts_with(&line) && differs.text().lines().count() == 1,
        "{differs:?}"
    );
    assert!(
        agentbox(&b, &["profiles", "diff", "work", "claude"])
            .text()
            .starts_with("- files.read")
    );
    assert_eq!(
        agentbox(&b, &["profiles", "diff", "work", "no-such"]).code(),
        2
    );
    for (words, status) in [
        (&["profiles", "new", "a/b"][..], 2),
        (&["profiles", "new", "x", "--agent", "no-such"], 2),
    ] {
        assert_eq!(agentbox(&b, words).code(), status, "{words:?}");
    }
    // Its tests are asked: one that does not hold is said with its line.
    let more = fs::read_to_string(&file).unwrap()
        + "[[test]]\nread = \"~/.aws/credentials\"\nexpect = \"allowed\"\n";
    fs::write(&file, more).unwrap();
    let failed = agentbox(&b, &["profiles", "validate", "work"]);
    assert_eq!(failed.code(), 1, "{failed:?}");
    assert!(
        failed
            .complaint()
            .contains("`allowed` is expected, and the answer is no"),
        "{failed:?}"
    );
}

/// It extended the first agent that is installed, or `shell`, and took the place of the built-in one: every `agentbox run codex` went
/// without codex's login and hosts.
#[test]
fn a_new_profile_with_the_name_of_an_agent_extends_that_agent() {
    let b = world();
    let said = agentbox(&b, &["profiles", "new", "codex"]).ok();
    assert!(said.contains("no longer the built-in one"), "{said}");
    let difference = agentbox(&b, &["profiles", "diff", "builtin:codex", "codex"]);
    assert_eq!(difference.ok(), "");
    // Any other name replaces nothing.
    let said = agentbox(&b, &["profiles", "new", "work"]).ok();
    assert!(!said.contains("built-in"), "{said}");
}

/// Where no agent is installed it named a command `shell`, which there is none of.
#[test]
fn the_next_command_of_a_new_profile_can_be_typed() {
    let b = world().env("PATH", "/usr/bin:/bin");
    for (agent, command) in [("shell", "sh"), ("ci", "sh"), ("codex", "codex")] {
        let name = format!("of-{agent}");
        let said = agentbox(&b, &["profiles", "new", &name, "--agent", agent]).ok();
        let next = format!("agentbox explain -p {name} -- {command}");
        assert!(said.ends_with(&next), "{said}");
    }
    let looked = agentbox(&b, &["explain", "-p", "of-shell", "--", "sh"]);
    assert_eq!(looked.code(), 0, "{looked:?}");
    assert!(!looked.complaint().contains("not found"), "{looked:?}");
}

/// A profile without tests was valid whatever it granted, and no box started with it.
#[test]
fn what_is_never_granted_is_said_by_validate_without_a_test() {
    for (grant, words) in [
        ("read = [\"/\"]", "/ is never granted as a whole"),
        ("write = [\"/etc\"]", "/etc is never granted as a whole"),
        ("read = [\"~/\"]", "HOME is never granted as a whole"),
        ("read = [\"${xdg_data}/agentbox\"]", "is agentbox's own"),
    ] {
        let b = world().file(
            "p.toml",
            format!("extends = [\"shell\"]\n[files]\n{grant}\n"),
        );
        let checked = agentbox(&b, &["profiles", "validate", "{t}/p.toml"]);
        assert_eq!(checked.code(), 1, "{grant}: {checked:?}");
        let said = checked.complaint();
        assert!(said.contains(words) && said.contains("p.toml:3"), "{said}");
        let started = agentbox(&b, &["run", "-p", "{t}/p.toml", "--", "true"]);
        started.refused(&["p.toml:3"]);
    }
    // What only another host has is no mistake.
    for grant in [
        "[files]\nread = [\"/srv/nobody-has-this\", \"~/nor/that\"]\nwrite = [\"~/made/\", \"/srv/a-file\"]\nstate = [\"~/.x.json\"]",
        "[ssh]\nhosts = [\"github.com\"]\nkeys = [\"~/.ssh/nobody.pub\"]",
    ] {
        for start in ["extends = [\"shell\"]\n", ""] {
            let b = world().file("p.toml", format!("{start}{grant}\n"));
            let checked = agentbox(&b, &["profiles", "validate", "{t}/p.toml"]);
            assert_eq!(checked.code(), 0, "{start}{grant}: {checked:?}");
        }
    }
}

#[test]
fn claudes_settings_become_a_profile() {
    let b = world().file(
        "{ws}/.claude/settings.json",
        "{\"permissions\":{\"deny\":[\"Read(./private/**)\",\"Bash(git push:*)\"]},\"sandbox\":{\"network\":{\"allowedDomains\":[\"api.example.com\"]}}}",
    );
    let ran = agentbox(&b, &["profiles", "import", "claude"]);
    let text = ran.ok() + "\n";
    assert!(
        ran.complaint().contains("1 settings were not translated"),
        "{ran:?}"
    );
    let b = b.file("p.toml", &text).file("{ws}/private/x", "PRIVATE");
    assert_eq!(
        agentbox(&b, &["profiles", "validate", "{t}/p.toml"]).code(),
        0,
        "{text}"
    );
    let why =
        |words: &[&str]| agentbox(&b, &[&["why", "-p", "{t}/p.toml"][..], words].concat()).code();
    assert_eq!(why(&["read", "{ws}/private/x"]), 1);
    assert_eq!(why(&["read", "{ws}/package.json"]), 0);
    assert_eq!(why(&["connect", "api.example.com:443"]), 0);
    let none = agentbox(&TestBox::new(), &["profiles", "import", "claude"]);
    assert!(
        none.code() == 1 && none.complaint().contains("name a file"),
        "{none:?}"
    );
    let b = b.file("bad.json", "{");
    let bad = agentbox(&b, &["profiles", "import", "claude", "{t}/bad.json"]);
    assert!(
        bad.code() == 1 && bad.complaint().contains("bad.json"),
        "{bad:?}"
    );
}

#[test]
fn init_writes_once_and_asks_only_a_terminal() {
    let b = world();
    let nobody = agentbox(&b, &["init"]);
    assert!(
        nobody.code() == 2 && nobody.complaint().contains("--yes"),
        "{nobody:?}"
    );
    let file = b.home().join(".config/agentbox/config.toml");
    assert!(!file.exists());
    let ran = agentbox(&b, &["init", "--yes"]);
    assert!(ran.ok().contains("next: agentbox run "), "{ran:?}");
    assert_eq!(
        agentbox(&b, &["profiles", "validate", file.to_str().unwrap()]).code(),
        0
    );
    let before = agentbox(&world(), &["explain", "--json", "--", "true"]);
    assert_eq!(before.code(), 0);
    let again = agentbox(&b, &["init", "--yes"]);
    assert!(
        again.code() == 1 && again.complaint().contains("exists"),
        "{again:?}"
    );
    // A box cannot change what boxes may do.
    if missing(Feature::Userns) {
        return;
    }
    let inside = b.sh("agentbox init --yes");
    assert!(
        inside.code() == 1 && inside.complaint().contains("this is a box"),
        "{inside:?}"
    );
}

/// Names of what was found, and what becomes of it; never a content.
#[test]
fn check_names_what_it_finds() {
    if missing(Feature::Userns) {
        return;
    }
    let b = world()
        .file("home/.aws/credentials", "aws_secret_access_key = THESECRET")
        .file("home/.cargo/bin/x", "")
        .script("home/bin/claude", "#!/bin/sh\n")
        .env("GITHUB_TOKEN", "ghp_0123456789abcdefghijklmnopqrstuvwxyz");
    let path = format!("{}/bin:/usr/bin:/bin", b.home().display());
    let b = b.env("PATH", path);
    let ran = agentbox(&b, &["check"]);
    let text = ran.ok();
    for words in [
        "yes  claude",
        "(profile claude)",
        "not installed:",
        "~/.aws",
        "$GITHUB_TOKEN",
        "~/.cargo/bin",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&agentbox(&b, &["check", "--json"]).ok()).unwrap();
    let agents = json["agents"].as_array().unwrap();
    let of = |name: &str| {
        agents
            .iter()
            .find(|agent| agent["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("claude")["tried"], true);
    assert_eq!(of("aider")["tried"], false);
    assert!(of("aider")["program"].is_null() && of("claude")["program"].is_string());
    assert!(of("claude")["missing"].as_array().unwrap().is_empty());
    let all = text + &json.to_string();
    for secret in ["THESECRET", "ghp_0123"] {
        assert!(!all.contains(secret), "{secret}");
    }
    // A profile of the user's with a mistake would refuse that agent's start: said, and the default run is not touched.
    let b = b.file(
        "home/.config/agentbox/profiles/claude.toml",
        "[agent]\ncommands = [\"claude\"]\n[files]\nraed = []\n",
    );
    let ran = agentbox(&b, &["check"]);
    assert!(
        ran.text().contains("no   claude") && ran.text().contains("unknown key `raed`"),
        "{ran:?}"
    );
}

/// A part under a condition counts in the box where the condition holds, and a condition that the agent could change ends the
/// start.
#[test]
fn a_condition_that_the_agent_could_change_ends_the_start() {
    if missing(Feature::Userns) {
        return;
    }
    let profile = |condition: &str, part: &str| {
        world()
            .file("extra/x", "EXTRA")
            .profile(&format!("extends = [\"shell\"]\n[files]\nwrite = [\"{{home}}/kept/\"]\n[[when]]\n{condition}\n{part}\n"))
    };
    let read = "files.read = [\"{t}/extra\"]";
    let shows = |b: &TestBox| b.sh("cat {t}/extra/x").text() == "EXTRA";
    assert!(shows(&profile("exists = \"/usr\"", read)));
    assert!(!shows(&profile("exists = \"/nowhere\"", read)));
    assert!(shows(&profile("missing = \"/nowhere\"", read)));
    for condition in ["exists = \"{home}/kept/x\"", "missing = \"{home}/kept/x\""] {
        let ran = profile(condition, read).sh("true");
        ran.refused(&["could be changed by the agent", "kept/x"]);
    }
    // Of the working copy a part may forbid.
    let hide = "files.hide = [\"${workspace}/package.json\"]";
    let hidden = |condition: &str| {
        profile(condition, hide)
            .sh("cat package.json")
            .text()
            .is_empty()
    };
    assert!(hidden("exists = \"${workspace}/package.json\""));
    assert!(!hidden("exists = \"${workspace}/Cargo.toml\""));
}

/// What the profile adds to its command stands before the caller's arguments, and is nobody else's.
#[test]
fn a_profile_says_what_its_command_is_told() {
    if missing(Feature::Userns) {
        return;
    }
    let b = world()
        .script("home/bin/my-agent", "#!/bin/sh\nfor word; do echo \"<$word>\"; done\n")
        .file(
            "home/.config/agentbox/profiles/mine.toml",
            "extends = [\"shell\"]\n[agent]\ncommands = [\"my-agent\"]\narguments = [\"--append-system-prompt\", \"in a box\"]\n",
        );
    let told = b.run(["{home}/bin/my-agent", "go on"].map(|word| b.fill(word)));
    assert_eq!(told.ok(), "<--append-system-prompt>\n<in a box>\n<go on>");
    let other = agentbox(&b, &["run", "--net=none", "-p", "mine", "--", "echo", "x"]);
    assert_eq!(other.ok(), "x");
    // A project's file says nothing of that: no agent writes what the next one is told.
    let b = b.file("{ws}/.agentbox.toml", "[agent]\narguments = [\"x\"]\n");
    let refused = agentbox(&b, &["run", "--", "true"]);
    assert!(
        refused.code() == 125 && refused.complaint().contains("has no place"),
        "{refused:?}"
    );
}

/// What an editor with Taplo in it says (Even Better TOML, and the like): it follows the `#:schema` line that `profiles new`
/// writes, takes every built-in profile, and refuses what agentbox refuses.
#[test]
#[ignore = "needs taplo of npm: scripts/test --all"]
fn taplo_follows_the_schema_line() {
    let taplo = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/taplo/node_modules/.bin/taplo");
    let b = world();
    let started = agentbox(&b, &["profiles", "new", "work"]);
    assert_eq!(started.code(), 0, "{started:?}");
    let dir = b.home().join(".config/agentbox/profiles");
    let line = fs::read_to_string(dir.join("work.toml")).unwrap();
    let line = line.lines().next().unwrap().to_owned();
    assert!(line.starts_with("#:schema "), "{line}");
    // A run of taplo takes ten seconds, most of them idle: all files of a kind at once.
    let lint = |files: &[String]| {
        let mut command = Command::new(&taplo);
        command.arg("lint").args(files).current_dir(&dir);
        run(command)
    };
    let write = |name: String, line: &str, text: &str| {
        fs::write(dir.join(&name), format!("{line}\n{text}\n")).unwrap();
        name
    };
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let texts: Vec<(String, String)> = fs::read_dir(profiles)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let lines = fs::read_to_string(&path).unwrap();
            let lines = lines.lines().filter(|line| !line.starts_with("#:schema"));
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    assert!(texts.len() >= 20, "{}", texts.len());
    let mut fine: Vec<String> = texts
        .iter()
        .map(|(name, text)| write(format!("a-{name}"), &line, text))
        .collect();
    fine.push("work.toml".to_owned());
    let wrong = [
        ("[network]\nmode = \"wide\"\n", "\"wide\" is not one of"),
        ("[netwrk]\nmode = \"none\"\n", "netwrk"),
        ("[files]\nread = \"~/x\"\n", "is not of type"),
        ("[limits]\nmemroy = \"1GiB\"\n", "memroy"),
    ];
    // Without the line nobody checks them, so the line is what is followed.
    let number = |i: usize, kind: &str| format!("{kind}-{i}.toml");
    fine.extend((0..wrong.len()).map(|i| write(number(i, "free"), "", wrong[i].0)));
    let ran = lint(&fine);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("ERROR"), "{ran:?}");
    let all: Vec<String> = (0..wrong.len())
        .map(|i| write(number(i, "wrong"), &line, wrong[i].0))
        .collect();
    let ran = lint(&all);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let said = ran.complaint();
    for (file, (text, words)) in all.iter().zip(wrong) {
        assert!(said.contains(&format!("{file}:")), "{text}: {said}");
        assert!(said.contains(words), "{text}: {said}");
    }
    // A schema that is wrong is found out by the profiles: one that forgot a table, and one that takes a list for a text.
    let schema = |change: &dyn Fn(&mut serde_json::Value), name: &str| {
        let text_of = agentbox(&b, &["profiles", "schema"]).ok();
        let mut value: serde_json::Value = serde_json::from_str(&text_of).unwrap();
        change(&mut value);
        fs::write(dir.join(name), value.to_string()).unwrap();
        let (profile, text) = &texts
            .iter()
            .find(|(name, _)| name == "claude.toml")
            .unwrap();
        let file = write(
            format!("{name}-{profile}"),
            &format!("#:schema ./{name}"),
            text,
        );
        lint(&[file])
    };
    let ran = schema(
        &|value| {
            let tables = value["properties"].as_object_mut().unwrap();
            tables.remove("network").unwrap();
        },
        "forgot.json",
    );
    assert!(
        ran.code() == 1 && ran.complaint().contains("network"),
        "{ran:?}"
    );
    let ran = schema(
        &|value| value["properties"]["extends"] = serde_json::json!({"type": "string"}),
        "text.json",
    );
    assert!(
        ran.code() == 1 && ran.complaint().contains("is not of type \"string\""),
        "{ran:?}"
    );
    assert_eq!(schema(&|_| (), "same.json").code(), 0);
}
