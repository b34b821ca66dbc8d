//! The organisation's floor: what it forbids is forbidden to everybody, and a floor that cannot be used lets nothing start.
//! Each box here is started in a mount namespace of its own in which /etc/agentbox is a directory of the test: there is no
//! other way to move the floor.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run};
use std::process::Command;

const FLOOR: &str = r#"description = "what Example Ltd. forbids"
[files]
hide = ["~/payroll", "${workspace}/**/*.secret", "/opt"]
protect = ["${workspace}/deploy"]
hard-links = "refuse"
[commands]
deny = ["terra*", "deploy-now"]
[env]
deny = ["CORP_*"]
[network]
mode = "filtered"
deny = ["*.pastebin.example"]
[limits]
open-files = 512
memory = "50%"
[layers]
require = ["landlock"]
[kill-switch]
files = ["CORP-STOP"]
"#;

fn world() -> TestBox {
    TestBox::new()
        .file("floor.toml", FLOOR)
        .file("home/payroll/list", "PAYROLL")
        .file("{ws}/db.secret", "PASSWORD")
        .file("{ws}/deploy/plan", "PLAN")
        .file("{ws}/plain", "PLAIN")
        .env("CORP_TOKEN", "TOKEN")
}

/// The command with that floor over /etc/agentbox. `prepare` is done to it in its directory.
fn under(b: &TestBox, prepare: &str, inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    let script = "mkdir -p /etc/agentbox; mount -t tmpfs -o mode=755 none /etc/agentbox; \
                  cp {t}/floor.toml /etc/agentbox/floor.toml; cd /etc/agentbox; chown 0:0 floor.toml; \
                  chmod 644 floor.toml;";
    let script = b.fill(&format!("{script} {prepare}\ncd \"$OLDPWD\"\nexec \"$@\""));
    command.arg(script).arg("sh");
    let (uid, gid) = b.ids();
    if uid != 0 {
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let words = [
            "setpriv",
            "--reuid",
            &uid,
            "--regid",
            &gid,
            "--clear-groups",
        ];
        command.args(words);
    }
    command.arg(inner.get_program()).args(inner.get_args());
    let env = inner.get_envs().filter_map(|(n, v)| Some((n, v?)));
    command.env_clear().envs(env).current_dir(b.ws());
    command
}

fn sh(b: &TestBox, script: &str) -> Ran {
    run(under(b, "", &b.command(["/bin/sh", "-c", &b.fill(script)])))
}

fn asked(b: &TestBox, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
    run(under(b, "", &b.agentbox(words)))
}

#[test]
fn what_it_forbids_is_forbidden_in_the_box() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let script = "cat plain db.secret; cat ~/payroll/list; echo x >>deploy/plan; echo x >>plain && echo wrote; \
                  echo [$CORP_TOKEN]; ulimit -n; ls /opt | wc -l; true";
    let open = world()
        .option("--env=CORP_TOKEN")
        .option("--read={home}/payroll");
    let text = open.sh(script).ok();
    for word in ["PLAIN", "PASSWORD", "PAYROLL", "[TOKEN]", "wrote"] {
        assert!(text.contains(word), "without a floor: {word}: {text}");
    }
    let b = world();
    let ran = sh(&b, script);
    let text = ran.text();
    assert!(text.contains("PLAIN") && text.contains("wrote"), "{ran:?}");
    for word in ["PASSWORD", "PAYROLL", "TOKEN"] {
        assert!(!text.contains(word), "{word}: {ran:?}");
    }
    assert!(text.contains("[]\n512\n"), "{ran:?}");
    assert!(ran.complaint().contains("deploy/plan"), "{ran:?}");
    assert_eq!(
        std::fs::read_to_string(b.ws().join("deploy/plan")).unwrap(),
        "PLAN"
    );
    // And its stop file stops.
    let ran = sh(&b, "touch CORP-STOP; sleep 60");
    assert_eq!(ran.code(), 137, "{ran:?}");
}

/// Neither a profile, nor the user's configuration, nor a trusted project can grant what it forbids; each is said.
#[test]
fn no_file_relaxes_it() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let wide = "[files]\nread = [\"~/payroll\"]\nwrite = [\"${workspace}/deploy\"]\nhide = [\"!${workspace}/db.secret\"]\n\
                hard-links = \"allow\"\n[commands]\nallow = [\"terraform\"]\n\
                [env]\nkeep = [\"CORP_TOKEN\"]\n[network]\nmode = \"host\"\nallow = [\"a.pastebin.example\"]\n\
                [limits]\nopen-files = 1024\nmemory = \"none\"\n[layers]\nallow-missing = [\"landlock\"]\n";
    let script = "cat db.secret; cat ~/payroll/list; echo x >>deploy/plan; echo [$CORP_TOKEN]; ulimit -n; true";
    let places = [
        ("home/.config/agentbox/config.toml", wide.to_owned()),
        ("{ws}/.agentbox.toml", wide.to_owned()),
    ];
    for (place, text) in places {
        let b = world().file(place, &text);
        if place.ends_with(".agentbox.toml") {
            assert_eq!(run(b.agentbox(["trust", "--yes"])).code(), 0);
        }
        let run_it = |script: &str| {
            run(under(
                &b,
                "",
                &b.agentbox(["run", "--", "sh", "-c", script]),
            ))
        };
        let ran = run_it(script);
        let text = ran.text();
        for word in ["PASSWORD", "PAYROLL", "TOKEN"] {
            assert!(!text.contains(word), "{place}: {word}: {ran:?}");
        }
        assert!(text.contains("[]\n512"), "{place}: {ran:?}");
        let said = ran.complaint();
        // One notice each, with the line of the floor.
        for line in [3, 4, 5, 7, 9, 11, 12, 14, 15, 17] {
            let words = format!("floor /etc/agentbox/floor.toml:{line}");
            assert!(said.contains(&words), "{place}: {words}: {said}");
        }
        let plan = run(under(
            &b,
            "",
            &b.agentbox(["explain", "--json", "--", "true"]),
        ))
        .ok();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(plan["network"]["mode"], "filtered", "{place}");
        assert_eq!(plan["network"]["origin"]["from"], "floor", "{place}");
        let require = plan["require"].as_array().unwrap();
        assert!(require.iter().any(|layer| layer == "landlock"), "{place}");
    }
}

/// A flag that would mean nothing is an error that names the floor's line; the same flag without a floor is fine.
#[test]
fn a_flag_against_it_is_refused_with_its_line() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let b = world();
    let rows: &[(&[&str], &str, u32)] = &[
        (&["--net", "host"], "--net host", 11),
        (
            &["--allow", "x.pastebin.example"],
            "--allow x.pastebin.example",
            12,
        ),
        (
            &["--allow-command", "terraform"],
            "--allow-command terraform",
            7,
        ),
        (&["--env", "CORP_TOKEN"], "--env CORP_TOKEN", 9),
        (&["--env", "CORP_TOKEN=given"], "--env CORP_TOKEN", 9),
        (&["--read", "{home}/payroll"], "--read {home}/payroll", 3),
        (
            &["--read", "{home}/payroll/list"],
            "--read {home}/payroll/list",
            3,
        ),
        (&["--read", "{ws}/db.secret"], "--read {ws}/db.secret", 3),
        (&["--hide", "!db.secret"], "--hide \"!{ws}/db.secret\"", 3),
        (
            &["--hide", "!**/*.secret"],
            "--hide \"!{ws}/**/*.secret\"",
            3,
        ),
        (&["--protect", "!deploy"], "--protect \"!{ws}/deploy\"", 4),
        (&["--write", "{ws}/deploy"], "--write {ws}/deploy", 4),
        (
            &["--write", "{ws}/deploy/plan"],
            "--write {ws}/deploy/plan",
            4,
        ),
        (&["--hard-links", "allow"], "--hard-links allow", 5),
        (&["--limit", "open-files=1024"], "--limit open-files", 14),
        (&["--limit", "memory=none"], "--limit memory", 15),
        (&["--limit", "memory=900TiB"], "--limit memory", 15),
        (
            &["--allow-missing", "landlock"],
            "--allow-missing landlock",
            17,
        ),
    ];
    for (flags, named, line) in rows {
        let words = [&["run", "-q"][..], flags, &["--", "true"]].concat();
        let ran = asked(&b, &words);
        assert_eq!(ran.code(), 125, "{flags:?}: {ran:?}");
        let said = ran.complaint();
        for word in [
            &b.fill(named),
            &format!("floor /etc/agentbox/floor.toml:{line}"),
        ] {
            assert!(said.contains(word.as_str()), "{flags:?}: {word}: {said}");
        }
        assert!(
            said.contains("who administers this machine"),
            "{flags:?}: {said}"
        );
        let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
        let free = run(b.agentbox(words));
        // The host's network is refused for another reason before Landlock has scopes.
        if flags.contains(&"host") && missing(Feature::Landlock(6)) {
            continue;
        }
        assert_eq!(free.code(), 0, "without a floor: {flags:?}: {free:?}");
    }
    // Several at once, and what asks for less is fine.
    let ran = asked(&b, &["run", "--net=host", "--env=CORP_TOKEN", "--", "true"]);
    assert!(ran.complaint().contains("floor.toml:11") && ran.complaint().contains("floor.toml:9"));
    let less = [
        "run",
        "-q",
        "--net=none",
        "--limit=open-files=100",
        "--limit=memory=64MiB",
        "--",
        "true",
    ];
    assert_eq!(asked(&b, &less).code(), 0);
}

#[test]
fn why_and_explain_name_it_and_offer_no_way_out() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let b = world()
        .script("tools/terraform", "#!/bin/sh\n")
        .option("--read={t}/tools");
    let rows: &[(&str, &str, u32)] = &[
        ("read", "{ws}/db.secret", 3),
        ("write", "{ws}/deploy/plan", 4),
        ("exec", "terraform", 7),
        ("env", "CORP_TOKEN", 9),
        ("connect", "a.pastebin.example:443", 12),
    ];
    for (verb, thing, line) in rows {
        let ran = asked(
            &b,
            &["why", "--net=filtered", "--read={t}/tools", verb, thing],
        );
        assert_eq!(ran.code(), 1, "{verb} {thing}: {ran:?}");
        let text = ran.text();
        let place = format!("[floor /etc/agentbox/floor.toml:{line}]");
        assert!(text.contains(&place), "{verb} {thing}: {place}: {text}");
        assert!(text.contains("only who administers this machine"), "{text}");
        assert!(
            !text.contains("agentbox run"),
            "no way out is offered: {text}"
        );
    }
    let text = asked(&b, &["explain", "--", "true"]).ok();
    for word in [
        "floor /etc/agentbox/floor.toml:14",
        "floor /etc/agentbox/floor.toml:12",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // The stub says the same in the box.
    let ran = sh(&b, "terraform destroy");
    assert_eq!(ran.code(), 126, "{ran:?}");
    let said = ran.complaint();
    assert!(
        said.contains("floor.toml:7") && !said.contains("--allow-command"),
        "{said}"
    );
}

/// Each way in which a floor can be useless ends the start, before the command, with the place.
#[test]
fn a_floor_that_cannot_be_used_lets_nothing_start() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let b = world();
    let rows: &[(&str, &str)] = &[
        ("chmod 666 floor.toml", "everybody may write this file"),
        ("chmod 664 floor.toml", "the group 0 may write this file"),
        (
            "chown 12345 floor.toml",
            "it belongs to uid 12345, not to root",
        ),
        ("chmod 777 .", "take the floor away"),
        ("chown 12345 .", "this directory belongs to uid 12345"),
        ("rm floor.toml; ln -s nowhere floor.toml", "No such file"),
        (
            "rm floor.toml; ln -s floor.toml floor.toml",
            "Too many symbolic links",
        ),
        ("rm floor.toml; mkdir floor.toml", "not a regular file"),
        ("rm floor.toml; mkfifo floor.toml", "not a regular file"),
        ("echo 'x = \"' >>floor.toml", "floor.toml:20:"),
        ("printf '\\377' >>floor.toml", "not UTF-8"),
        (
            "sed -i 's/hide/hied/' floor.toml",
            "floor.toml:3:1: unknown key `hied`",
        ),
        (
            "sed -i 's/\\[env\\]/[agent]/' floor.toml",
            "has no place in a floor",
        ),
        (
            "head -c 2000000 /dev/zero | tr '\\0' '#' >floor.toml",
            "more than a profile may have",
        ),
    ];
    let (uid, _) = b.ids();
    for (prepare, words) in rows {
        let ran = run(under(
            &b,
            prepare,
            &b.command(["sh", "-c", "touch started"]),
        ));
        assert_eq!(ran.code(), 125, "{prepare}: {ran:?}");
        assert!(
            ran.complaint().contains(words),
            "{prepare}: {words}: {ran:?}"
        );
        assert!(!b.ws().join("started").exists(), "{prepare}");
        for words in [&["explain", "--", "true"][..], &["check"]] {
            let ran = run(under(&b, prepare, &b.agentbox(words)));
            assert_eq!(ran.code(), 1, "{prepare}: {words:?}: {ran:?}");
        }
    }
    if uid != 0 {
        let unreadable = run(under(&b, "chmod 600 floor.toml", &b.command(["true"])));
        assert_eq!(unreadable.code(), 125, "{unreadable:?}");
        let hidden = run(under(&b, "chmod 700 .", &b.command(["true"])));
        assert_eq!(hidden.code(), 125, "{hidden:?}");
    }
    // The twins: as it should be, by a link of root's, and none at all.
    for prepare in [
        "true",
        "mv floor.toml real; ln -s real floor.toml",
        "rm floor.toml",
        "chmod 444 floor.toml",
    ] {
        let ran = run(under(&b, prepare, &b.command(["true"])));
        assert_eq!(ran.code(), 0, "{prepare}: {ran:?}");
    }
    // `check` asks for the default run, which a floor without `--net host` does not refuse.
    let ran = run(under(&b, "true", &b.agentbox(["check"])));
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// Ports between box and host: a list of the floor is all that can be had, for flags, files, variables and live sessions.
#[test]
fn ports_are_the_floors_and_no_others() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let (mine, other) = (common::switches::free_port(), common::switches::free_port());
    let floor = format!("[network]\nhost-ports = [{mine}]\npublish = [{mine}]\n");
    let b = TestBox::new().file("floor.toml", &floor).net("filtered");
    let start = |flag: &str, port: u16| {
        let b = TestBox::new().file("floor.toml", &floor).net("filtered");
        let b = b.option(flag).option(&port.to_string());
        run(under(&b, "", &b.command(["true"])))
    };
    for (flag, line) in [("--host-port", 2), ("--publish", 3)] {
        start(flag, other).refused(&[&format!("floor.toml:{line}"), &other.to_string()]);
        let ran = start(flag, mine);
        assert_eq!(ran.code(), 0, "{flag}: {ran:?}");
    }
    // A file's wish is left out and said; the twin counts.
    let config = format!("[network]\nhost-ports = [{mine}, {other}]\npublish = [{other}]\n");
    let b = b.file("home/.config/agentbox/config.toml", &config);
    let ran = run(under(&b, "", &b.command(["true"])));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.complaint().contains("floor.toml:2") && ran.complaint().contains("floor.toml:3"),
        "{ran:?}"
    );
    let why = |port: u16| {
        let thing = format!("127.0.0.1:{port}");
        run(under(
            &b,
            "",
            &b.agentbox(["why", "connect", &thing, "--", "true"]),
        ))
    };
    let (yes, no) = (why(mine), why(other));
    assert_eq!(yes.code(), 0, "{yes:?}");
    assert!(
        no.code() == 1 && no.text().contains("floor.toml:2"),
        "{no:?}"
    );
    assert!(
        !no.text().contains("--host-port"),
        "no way out that is none: {no:?}"
    );
    // What a variable names is no way around it.
    let named = |port: u16| {
        let url = format!("http://127.0.0.1:{port}");
        let b = TestBox::new().file("floor.toml", &floor).net("filtered");
        let b = b
            .env("ANTHROPIC_BASE_URL", &url)
            .option("-p")
            .option("claude");
        run(under(&b, "", &b.command(["true"])))
    };
    let (ran, refused) = (named(mine), named(other));
    assert!(ran.complaint().contains("may be reached, since"), "{ran:?}");
    assert!(
        refused
            .complaint()
            .contains("cannot be reached: host-ports of the floor"),
        "{refused:?}"
    );
    // Nor is a granted name that leads there; the twin has no floor.
    let names = format!(
        "extends = [\"shell\"]\n[network]\nallow = [{{ host = \"web.test:{other}\", private = true }}]\n\
         [network.hosts]\n\"web.test\" = \"127.0.0.1\"\n"
    );
    let listener = std::net::TcpListener::bind(("127.0.0.1", other)).unwrap();
    common::helper(move || {
        listener.incoming().flatten().for_each(|mut s| {
            use std::io::Write as _;
            let _ = s.write_all(b"reached");
        })
    });
    for (prepare, reached) in [("", false), ("rm floor.toml", true)] {
        let b = TestBox::new()
            .file("floor.toml", &floor)
            .file("names.toml", &names);
        let b = b.net("filtered").option("-p").option("{t}/names.toml");
        let script = format!("exec 3<>/dev/tcp/web.test/{other} && head -c 7 <&3");
        let ran = run(under(&b, prepare, &b.command(["bash", "-c", &script])));
        assert_eq!(
            ran.text().contains("reached"),
            reached,
            "{prepare}: {ran:?}"
        );
        assert_eq!(
            ran.complaint().contains("floor.toml:2"),
            !reached,
            "{prepare}: {ran:?}"
        );
    }
    // Live.
    let inner = b.command(b.probe_words("sleep 600"));
    let mut live = common::Live::start(under(&b, "", &inner));
    live.wait_line("ready");
    let publish = |port: u16| run(b.agentbox(["publish", &format!("{port}:3000")]));
    let no = publish(other);
    assert!(
        no.code() == 1 && no.complaint().contains("floor.toml:3"),
        "{no:?}"
    );
    let yes = publish(mine);
    assert_eq!(yes.code(), 0, "{yes:?}");
}

/// A live session is under it as well.
#[test]
fn a_live_session_is_not_relaxed_either() {
    if missing(Feature::HostRoot) || missing(Feature::Userns) {
        return;
    }
    let b = world().net("filtered");
    let inner = b.command(b.probe_words("sleep 600"));
    let mut live = common::Live::start(under(&b, "", &inner));
    live.wait_line("ready");
    let allow = |host: &str| run(b.agentbox(["allow", host]));
    let no = allow("x.pastebin.example");
    assert_eq!(no.code(), 1, "{no:?}");
    assert!(no.complaint().contains("floor.toml:12"), "{no:?}");
    let yes = allow("fine.example");
    assert_eq!(yes.code(), 0, "{yes:?}");
    let wide = allow("*.pastebin.example");
    assert_eq!(wide.code(), 1, "{wide:?}");
}
