//! `agentbox why` says what happens: its answers beside what the kernel does in the box.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::dice::Dice;
use common::{Feature, TestBox, missing, run};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A world with everything that an answer can depend on.
fn world() -> TestBox {
    let world = TestBox::new()
        .script("tools/terraform", "#!/bin/sh\n")
        .script("tools/fine", "#!/bin/sh\n")
        .script("tools/shut/inner", "#!/bin/sh\n")
        .file("tools/plain", "x")
        .file("apart/file", "x")
        .file("home/.ssh/id_rsa", "secret")
        .file("home/.config/tool/conf", "x")
        .file("home/kept/file", "x")
        .file("{ws}/a/b/c", "x")
        .file("{ws}/read-only", "x")
        .script("{ws}/run", "#!/bin/sh\n")
        .dir("{ws}/closed")
        .file("{ws}/nobody", "x")
        .option("--read={t}/tools")
        .option("--write={home}/kept")
        .option("--read={home}/.config/tool/conf");
    let at = |path: &str| PathBuf::from(world.fill(path));
    for (path, mode) in [
        ("{t}/tools/plain", 0o600),
        ("{t}/tools/shut", 0o600),
        ("{ws}/read-only", 0o444),
        ("{ws}/closed", 0o555),
        ("{ws}/nobody", 0o000),
    ] {
        std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for (path, to) in [
        ("{ws}/to-tool", "{t}/tools/fine"),
        ("{ws}/to-refused", "{t}/tools/terraform"),
        ("{ws}/to-secret", "{home}/.ssh/id_rsa"),
        ("{ws}/to-dir", "a"),
        ("{ws}/dangling", "nothing"),
        ("{ws}/loop", "loop"),
        ("{ws}/up", ".."),
        ("{t}/tools/tf", "terraform"),
        ("{t}/tools/away", "{t}/apart/file"),
        ("{home}/kept/link", "../ws/run"),
    ] {
        symlink(world.fill(to), at(path)).unwrap();
        world.chown(&at(path));
    }
    world
}

/// Paths that exist somewhere, inside or outside.
fn paths(world: &TestBox) -> Vec<String> {
    let mut out: Vec<String> = [
        "/",
        "/usr",
        "/etc",
        "/home",
        "/root",
        "/tmp",
        "/var",
        "/var/tmp",
        "/run",
        "/run/agentbox",
        "/opt",
        "/bin",
        "/lib",
        "/dev/null",
        "/dev/shm",
        "/etc/shadow",
        "/etc/passwd",
        "/etc/hosts",
        "/etc/sudoers",
        "/bin/sh",
        "/usr/bin/su",
        "/usr/bin/env",
        "/run/agentbox/policy.md",
        "/run/agentbox/agentbox",
        "/nowhere",
        "/usr/nowhere",
        "/tmp/new",
        "/var/lib/dpkg/status",
        "/sys/kernel",
        "/boot",
        "/srv",
        "/root/.bashrc",
        "/etc/ssl/private",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut take = |dir: &Path, most: usize| {
        let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
            .map(|entries| entries.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        names.sort();
        let step = (names.len() / most).max(1);
        let texts = names
            .into_iter()
            .step_by(step)
            .filter_map(|p| p.to_str().map(str::to_owned));
        out.extend(texts.filter(|text| !text.contains(' ')));
    };
    for dir in [
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/share",
        "/usr/local/bin",
        "/etc",
    ] {
        take(Path::new(dir), 60);
    }
    for dir in [
        "{t}",
        "{t}/tools",
        "{t}/tools/shut",
        "{home}",
        "{home}/kept",
        "{ws}",
        "{ws}/a",
        "{ws}/a/b",
        "{home}/.config/tool",
    ] {
        take(Path::new(&world.fill(dir)), 60);
    }
    out
}

/// Some way of writing a path, and sometimes a path that is not there.
fn vary(dice: &mut Dice, path: &str) -> String {
    match dice.below(8) {
        0 => format!("{path}/new"),
        1 => format!("{path}.new"),
        2 => format!("{path}/../"),
        3 => path.replacen('/', "/./", 1),
        4 => format!("/usr/..{path}"),
        _ => path.to_owned(),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    allowed: bool,
    because: String,
}

fn said(text: &str) -> Said {
    let answer: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    Said {
        allowed: answer["allowed"].as_bool().unwrap(),
        because: answer["because"].as_str().unwrap().to_owned(),
    }
}

fn outside(world: &TestBox, verb: &str, thing: &str) -> Said {
    let options = [
        "--read={t}/tools",
        "--write={home}/kept",
        "--read={home}/.config/tool/conf",
        "--net=none",
    ];
    let mut argv = vec!["why".to_owned(), "--json".into()];
    argv.extend(options.map(|o| world.fill(o)));
    argv.extend(["--read".into(), world.fill("{t}/bin")]);
    argv.extend([verb.to_owned(), thing.to_owned()]);
    let ran = run(world.agentbox(argv));
    let said = said(&ran.text());
    assert_eq!(ran.code(), i32::from(!said.allowed), "{ran:?}");
    said
}

const SEED: u64 = 20_261_125;
const QUESTIONS: usize = 300;

#[test]
fn what_it_says_is_what_happens() {
    if missing(Feature::Userns) || missing(Feature::ExecveCheck) {
        return;
    }
    let world = world();
    let mut dice = Dice::new(SEED);
    let paths = paths(&world);
    let mut questions: Vec<(&str, String)> = Vec::new();
    while questions.len() < QUESTIONS {
        let verb = *dice.pick(&["read", "write", "exec"]);
        let mut path = dice.pick(&paths).clone();
        // Most of a host cannot be written.
        if verb == "write" && dice.below(2) == 0 {
            path = world.fill(dice.pick::<&str>(&[
                "{ws}/a",
                "{ws}/a/b/c",
                "{ws}/run",
                "{home}/kept/file",
                "/tmp",
                "{ws}",
                "{ws}/to-dir",
            ]));
        }
        let path = vary(&mut dice, &path);
        // What the box's own /proc and /dev hold is not the plan's.
        if !["/proc", "/sys"].iter().any(|dir| path.starts_with(dir)) {
            questions.push((verb, path));
        }
    }
    let lines: Vec<String> = questions
        .iter()
        .map(|(verb, path)| format!("may {verb} {path}"))
        .collect();
    let happened = world.batch(&lines);
    let reads: Vec<String> = questions
        .iter()
        .map(|(_, path)| format!("may read {path}"))
        .collect();
    let looks = world.batch(&reads);
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for (((verb, path), happened), look) in questions.iter().zip(&happened).zip(&looks) {
        let said = outside(&world, verb, path);
        let stub = look["stub"] == true;
        let mut allowed = happened["ok"] == true;
        if *verb != "write" && stub {
            // Reading and executing a stub works, and is not reading or executing the program.
            allowed = false;
        }
        if said.because.contains("hidden") {
            assert!(look["ok"] == true && look["bytes"] == 0, "{path}: {look}");
            allowed = false;
        }
        // Whether the bytes are a program is not asked.
        if *verb == "exec" && happened["name"] == "ENOEXEC" {
            allowed = true;
        }
        *seen.entry((verb, allowed)).or_default() += 1;
        if said.allowed != allowed {
            wrong.push(format!(
                "{verb} {path}: said {said:?}, happened {happened} {look}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "seed {SEED}, {} of {}:\n{}",
        wrong.len(),
        questions.len(),
        wrong.join("\n")
    );
    // Both answers to each question came up, and often.
    for verb in ["read", "write", "exec"] {
        for allowed in [true, false] {
            let times = seen.get(&(verb, allowed)).copied().unwrap_or(0);
            assert!(times >= 10, "{verb} {allowed}: {times} of {seen:?}");
        }
    }
}

/// A file that is shown as a copy without its credentials is there: what is below it is no hidden thing, but nothing.
#[test]
fn below_a_shown_git_configuration_nothing_is_hidden() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new()
        .file("home/.gitconfig", "[user]\n\tname = x\n")
        .file("home/.ssh/id_rsa", "secret");
    let ask = |thing: &str| {
        let argv = ["why", "--json", "--profile=shell", "read", thing];
        said(&run(world.agentbox(argv.map(|a| world.fill(a)))).text())
    };
    assert!(ask("{home}/.gitconfig").allowed);
    for below in ["{home}/.gitconfig/x", "{home}/.gitconfig/../"] {
        let said = ask(below);
        assert!(
            !said.allowed && said.because == "it does not exist",
            "{below}: {said:?}"
        );
    }
    let said = ask("{home}/.ssh/id_rsa/../x");
    assert!(!said.allowed, "{said:?}");
}

#[test]
fn inside_it_says_the_same() {
    if missing(Feature::Userns) {
        return;
    }
    let world = world();
    let mut dice = Dice::new(SEED + 1);
    let paths = paths(&world);
    let mut argv = vec!["/bin/sh".to_owned(), "-c".into()];
    argv.push(
        "while test $# -gt 0; do agentbox why --json $1 $2 | tr -d '\\n'; echo; shift 2; done"
            .into(),
    );
    argv.push("sh".into());
    let mut questions = Vec::new();
    while questions.len() < 60 {
        let verb = *dice.pick(&["read", "write", "exec"]);
        let path = dice.pick(&paths).clone();
        let path = vary(&mut dice, &path);
        if !["/proc", "/sys", "/dev"]
            .iter()
            .any(|dir| path.starts_with(dir))
        {
            argv.extend([verb.to_owned(), path.clone()]);
            questions.push((verb, path));
        }
    }
    let ran = world.run(&argv);
    let text = ran.ok();
    assert_eq!(text.lines().count(), questions.len(), "{ran:?}");
    for ((verb, path), line) in questions.iter().zip(text.lines()) {
        let outside = outside(&world, verb, path);
        assert_eq!(
            said(line).allowed,
            outside.allowed,
            "{verb} {path}: inside {line}, outside {outside:?}"
        );
    }
    // What is missing in the working copy is not missing for want of a grant.
    let ran = world.sh("agentbox why read {ws}/no-such; agentbox why read {home}/no-such");
    let (there, elsewhere) = ran
        .text()
        .split_once('\n')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert!(there.contains("it does not exist"), "{ran:?}");
    assert!(elsewhere.contains("nothing grants it"), "the twin: {ran:?}");
    // In the box there is nothing to choose.
    let ran = world.sh("agentbox why read --write /x /y");
    assert_eq!(ran.code(), 2, "{ran:?}");
}

#[test]
fn each_no_names_its_rule_and_what_changes_it() {
    if missing(Feature::Userns) {
        return;
    }
    let world = world()
        .env("MY_TOKEN", "ghp_0123456789abcdefghijklmnopqrstuvwxyz")
        .env("PLAIN", "1");
    let base = ["--net=none", "--read={t}/tools"].map(|o| world.fill(o));
    // (verb, thing, words of the answer, the flag that changes it)
    let rows: &[(&str, &str, &[&str], Option<&str>)] = &[
        (
            "read",
            "{home}/.ssh/id_rsa",
            &["nothing grants it"],
            Some("--read={home}/.ssh/id_rsa"),
        ),
        (
            "write",
            "{t}/tools/fine",
            &["readable and no more", "--read"],
            Some("--write={t}/tools/fine"),
        ),
        (
            "write",
            "{home}/kept/file",
            &["nothing grants it"],
            Some("--write={home}/kept/file"),
        ),
        (
            "exec",
            "{t}/tools/terraform",
            &["[commands] deny", "profile base:"],
            Some("--allow-command=terraform"),
        ),
        (
            "exec",
            "{t}/tools/tf",
            &["[commands] deny", "profile base:"],
            Some("--allow-command=terraform"),
        ),
        (
            "read",
            "{t}/tools/terraform",
            &["a stub is in its place"],
            Some("--allow-command=terraform"),
        ),
        (
            "exec",
            "pulumi",
            &["[commands] deny", "profile base:"],
            None,
        ),
        (
            "exec",
            "no-such-program",
            &["no directory of the box's PATH"],
            None,
        ),
        (
            "env",
            "PLAIN",
            &["no rule of [env] keep"],
            Some("--env=PLAIN"),
        ),
        ("env", "MY_TOKEN", &["[env]"], Some("--env=MY_TOKEN")),
        ("env", "UNSET_ONE", &["the caller has not set it"], None),
        ("read", "{ws}/loop", &["loop of symlinks"], None),
        ("read", "/nowhere/at/all", &["does not exist"], None),
        ("write", "/etc/hosts", &["the box's own"], None),
        // Not there yet.
        (
            "write",
            "{ws}/.mcp.json",
            &["moved away at once", "--protect '!", "profile base:"],
            None,
        ),
        (
            "write",
            "{ws}/new.pem",
            &["cannot be opened", "--hide '!", "profile base:"],
            None,
        ),
    ];
    for (verb, thing, words, flag) in rows {
        let thing = world.fill(thing);
        let ask = |flags: &[String]| {
            let mut argv = vec!["why".to_owned()];
            argv.extend(base.iter().cloned());
            argv.extend(flags.iter().cloned());
            argv.extend([(*verb).to_owned(), thing.clone()]);
            run(world.agentbox(argv))
        };
        let no = ask(&[]);
        assert_eq!(no.code(), 1, "{verb} {thing}: {no:?}");
        assert!(no.text().starts_with("no: "), "{no:?}");
        for word in *words {
            assert!(no.text().contains(word), "{word}: {no:?}");
        }
        if let Some(flag) = flag {
            let flag = world.fill(flag);
            let told = flag.replacen('=', " ", 1);
            assert!(no.text().contains(&told), "{told}: {no:?}");
            let yes = ask(std::slice::from_ref(&flag));
            assert_eq!(yes.code(), 0, "{verb} {thing} with {flag}: {yes:?}");
            assert!(yes.text().starts_with("yes: "), "{yes:?}");
        }
    }
    for (flag, verb) in [("hide", "read"), ("protect", "write")] {
        let (flag, name) = (format!("--{flag}"), world.ws().join("a/b/c"));
        let ask = [
            "why",
            "--net=none",
            &format!("{flag}=a/b/c"),
            verb,
            name.to_str().unwrap(),
        ];
        let no = run(world.agentbox(ask));
        assert_eq!(no.code(), 1, "{no:?}");
        let told = format!("start without {flag}");
        assert!(
            no.text().contains(&told) && !no.text().contains("agentbox run"),
            "{no:?}"
        );
    }
    for (flag, name) in [("protect", ".mcp.json"), ("hide", "new.pem")] {
        let (flag, name) = (format!("--{flag}=!{name}"), world.ws().join(name));
        let ask = ["why", "--net=none", &flag, "write", name.to_str().unwrap()];
        let yes = run(world.agentbox(ask));
        assert_eq!(yes.code(), 0, "{flag}: {yes:?}");
    }
    let bad = run(world.agentbox(["why", "frobnicate", "/x"]));
    assert_eq!(bad.code(), 2, "{bad:?}");
    let bad = run(world.agentbox(["why", "--profile", "no-such", "read", "/x"]));
    assert_eq!(bad.code(), 2, "1 is an answer: {bad:?}");
}

/// It named `--write` of a file that does not exist yet, of agentbox's own directories and of what its permissions close, which no start
/// takes, and of a link in the working copy, where only the real path is taken. What stands in HOME itself did "not exist".
#[test]
fn a_way_out_is_one() {
    if missing(Feature::Userns) {
        return;
    }
    let world = world()
        .dir("{ws}/.git/hooks")
        .file("{ws}/.git/HEAD", "ref: refs/heads/main\n");
    symlink(world.fill("{home}/kept"), world.fill("{ws}/to-kept")).unwrap();
    std::fs::write(world.fill("{home}/note"), "x").unwrap();
    let base = ["--net=none"].map(str::to_owned);
    for (verb, thing, way_out) in [
        (
            "write",
            "{ws}/.git/hooks/new",
            Some("--write={ws}/.git/hooks"),
        ),
        ("read", "{ws}/to-kept", Some("--read={home}/kept")),
        ("read", "{home}/note", Some("--read={home}/note")),
        ("read", "{home}/no-note", None),
        ("read", "{home}/.local/state/agentbox", None),
        ("write", "/sys/new", None),
        ("write", "/etc/hosts", None),
    ] {
        let thing = world.fill(thing);
        let ask = |flags: &[String]| {
            let words = [&["why".to_owned()], &base[..], flags].concat();
            run(world.agentbox([words, vec![verb.to_owned(), thing.clone()]].concat()))
        };
        let no = ask(&[]);
        assert_eq!(no.code(), 1, "{verb} {thing}: {no:?}");
        let Some(flag) = way_out.map(|flag| world.fill(flag)) else {
            assert!(!no.text().contains("agentbox run"), "{thing}: {no:?}");
            continue;
        };
        let told = format!("agentbox run {},", flag.replacen('=', " ", 1));
        assert!(no.text().contains(&told), "{told}: {no:?}");
        assert_eq!(ask(&[flag]).code(), 0, "{verb} {thing}");
    }
}

/// `why write ../note` named the working copy's grant as the reason for what lies beside it and is gone at the end, or as the way out a
/// line of a profile with a `..` in it, which is refused.
#[test]
fn what_lies_beside_a_grant_is_not_of_the_grant() {
    if missing(Feature::Userns) {
        return;
    }
    let world = world().file("{home}/other/note", "x").dir("{ws}/sub");
    let ask = |verb: &str, thing: &str| {
        let words = ["why", "--net=none", verb, &world.fill(thing)].map(str::to_owned);
        run(world.agentbox(words.to_vec()))
    };
    let home = world.fill("{home}");
    // Beside: the session's own. The twin, which climbs and stays: the work's.
    let beside = ask("write", "../new");
    let own = format!("yes: {home}/new: it is the session's own");
    assert!(beside.text().starts_with(&own), "{beside:?}");
    let within = ask("write", "sub/../new");
    let works = world.fill("yes: {ws}/new: [files] write has {ws} ");
    assert!(within.text().starts_with(&works), "{within:?}");
    assert_eq!(within.code(), 0, "{within:?}");
    // The way out has no `..`, so that it is one in a profile, too.
    for (verb, thing) in [
        ("read", "../other/note"),
        ("write", "{ws}/sub/../../other/note"),
    ] {
        let no = ask(verb, thing);
        let told =
            format!("agentbox run --{verb} {home}/other/note, or in a profile: [files] {verb}");
        assert!(no.text().contains(&told), "{verb} {thing}: {no:?}");
        assert!(!no.text().contains(".."), "{verb} {thing}: {no:?}");
    }
    // What the box has not is not gone through either, and what is missing is named.
    let through = ask("read", "{home}/other/../nothing");
    let told = format!("no: {home}/other: it is not in the box");
    assert!(through.text().starts_with(&told), "{through:?}");
}

/// What the user's own `config.toml` forbids a profile does not lift, and the way out named a line of a profile.
#[test]
fn against_the_users_config_a_profile_is_no_way_out() {
    if missing(Feature::Userns) {
        return;
    }
    let config = "[commands]\ndeny = [\"fine\"]\n[files]\nhide = [\"${workspace}/a/b/c\"]\nread = [\"{t}/tools\"]\n\
                  [env]\ndeny = [\"PLAIN\"]\n[network]\nmode = \"filtered\"\ndeny = [\"a.test\"]\n";
    let lifts = "extends = [\"builtin:shell\"]\n[commands]\nallow = [\"fine\"]\n[files]\nread = [\"${workspace}/a/b/c\"]\n\
                 [env]\nkeep = [\"PLAIN\"]\n[network]\nallow = [\"a.test\"]\n";
    let b = world().env("PLAIN", "1");
    let config = config.replace("{t}", &b.fill("{t}"));
    let b = b
        .file("home/.config/agentbox/config.toml", &config)
        .file("home/.config/agentbox/profiles/lifts.toml", lifts);
    let ask = |words: &[&str]| {
        let words = words.iter().map(|word| b.fill(word));
        run(b.agentbox(std::iter::once("why".to_owned()).chain(words)))
    };
    let no_profile = "a change of that line, which is stronger than a profile";
    for (verb, thing) in [
        ("exec", "fine"),
        ("read", "{ws}/a/b/c"),
        ("env", "PLAIN"),
        ("connect", "a.test:443"),
    ] {
        for profile in ["shell", "lifts"] {
            let no = ask(&["-p", profile, verb, thing]);
            assert_eq!(no.code(), 1, "{verb} {thing}: {no:?}");
            assert!(no.text().contains(no_profile), "{no:?}");
        }
    }
    // Its twin: what is only read by the file's word, a profile can let be written.
    let no = ask(&["write", "{t}/tools/plain"]);
    assert!(
        no.text().contains("or in a profile: [files] write"),
        "{no:?}"
    );
    // The stub, and the refusal to start it, say the same.
    let ran = b.sh("{t}/tools/fine");
    assert_eq!(ran.code(), 126, "{ran:?}");
    assert!(
        ran.complaint().contains("change that line, which is"),
        "{ran:?}"
    );
    let ran = b.run([b.fill("{t}/tools/fine")]);
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(
        ran.complaint().contains("stronger than a profile"),
        "{ran:?}"
    );
}

/// A configuration of git's that is shown without its token is a copy: `why` knew no way out, and the briefing said that it reads as empty.
#[test]
fn a_git_configuration_without_its_token_has_a_way_out() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().file("{ws}/.env", "SECRET=1");
    b.git(&["init", "-q"]);
    let config = b.fill("{ws}/.git/config");
    let ask = |flags: &[&str], verb: &str| {
        run(b.agentbox([&["why", "--net=none"], flags, &[verb, &config]].concat()))
    };
    let flag = format!("--write={config}");
    // The twin: without a token it is the repository's own, and can be written.
    let plain = ask(&[], "write");
    assert_eq!(plain.code(), 0, "{plain:?}");
    b.git(&[
        "remote",
        "add",
        "origin",
        "https://me:ghp_0123456789abcdefghij0123456789abcdef@a.test/x",
    ]);
    let copy = "it is a copy without its credentials";
    let told = format!("agentbox run --write {config},");
    let outside = ask(&[], "write");
    assert_eq!(outside.code(), 1, "{outside:?}");
    assert!(outside.text().contains(copy), "{outside:?}");
    assert!(outside.text().contains(&told), "{outside:?}");
    assert_eq!(ask(&[&flag], "write").code(), 0);
    let read = ask(&[], "read");
    assert!(
        read.text().starts_with("yes: ") && read.text().contains(copy),
        "{read:?}"
    );
    let inside = b.sh("agentbox why write {ws}/.git/config; cat /run/agentbox/policy.md");
    let text = inside.text();
    assert!(text.contains(copy) && text.contains(&told), "{inside:?}");
    let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap();
    let (shown, empty) = (
        line("- A copy without credentials"),
        line("- Reads as empty"),
    );
    assert!(shown.contains(&config), "{shown}");
    assert!(
        empty.contains("/.env`") && !empty.contains(&config),
        "{empty}"
    );
}

/// What git tracks cannot be opened from the start on, and was said to have appeared in the session.
#[test]
fn what_was_hidden_at_the_start_did_not_appear() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().file("{ws}/note", "x").option("--hide=note");
    b.git(&["init", "-q"]);
    b.git(&["add", "note"]);
    let ran = b.sh("cat note; agentbox why read note; touch new.pem; \
                    while cat new.pem 2>/dev/null; do sleep 0.05; done; agentbox why read new.pem");
    let text = ran.text();
    assert!(
        ran.complaint().contains("note: Permission denied"),
        "{ran:?}"
    );
    assert!(text.contains("note: it is hidden: "), "{ran:?}");
    let appeared = "new.pem: it is a hidden name that appeared";
    assert!(text.contains(appeared), "{ran:?}");
}

/// `explain` shows the box of an agent that is not installed, and `why` knew nothing of it.
#[test]
fn an_agent_that_is_not_installed_can_be_asked_about() {
    if missing(Feature::Userns) {
        return;
    }
    let b = world();
    let ask = |command: &str| run(b.agentbox(["why", "write", &b.fill("{ws}/run"), "--", command]));
    let yes = ask("no-such-agent");
    assert_eq!(yes.code(), 0, "{yes:?}");
    assert!(yes.complaint().contains("command not found"), "{yes:?}");
    // Its twin: a command that no box starts.
    assert_eq!(ask("terraform").code(), 2);
}

#[test]
fn what_the_box_is_told_holds_no_secret() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new()
        .env("MY_TOKEN", "ghp_TheSecretValue0123456789abcdefghijkl")
        .option("--env=GIVEN=TheGivenValue");
    let ran = world.sh("until test -s /run/agentbox/plan.json && agentbox why read / >/dev/null; do :; done; cat /run/agentbox/plan.json");
    let text = ran.ok();
    assert!(
        text.contains("MY_TOKEN") && text.contains("GIVEN"),
        "names are told"
    );
    for secret in ["TheSecretValue", "TheGivenValue", "agentbox/sessions"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert_ne!(world.sh("echo x >/run/agentbox/plan.json").code(), 0);
}

/// `why exec tool` said that no directory of the box's PATH has it, and not that the caller's has: no remedy, where `--read` is one.
#[test]
fn a_program_in_a_directory_of_path_that_the_box_has_not_has_a_remedy() {
    let b = TestBox::new();
    let path = b.fill("{home}/tools:/usr/bin:/bin");
    let b = b
        .env("PATH", path)
        .script("home/tools/tool", "#!/bin/sh\necho ran\n")
        .file("home/tools/notes", "no program");
    let why = |b: &TestBox, name: &str| run(b.agentbox(["why", "exec", name]));
    let said = why(&b, "tool");
    let remedy = b.fill("--read {home}/tools/tool");
    assert_eq!(said.code(), 1, "{said:?}");
    assert!(said.text().contains(&remedy), "{said:?}");
    for name in ["notes", "no-such-program"] {
        let said = why(&b, name);
        assert!(
            said.text().contains("no directory of the box's PATH"),
            "{said:?}"
        );
    }
    assert_ne!(b.sh("tool").code(), 0);
    let b = b.option("--read").option("{home}/tools/tool");
    assert_eq!(b.sh("tool").ok(), "ran", "the remedy is one");
}
