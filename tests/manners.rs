//! How agentbox speaks: the banner's four lines, colours where they are wanted, and the questions of `agentbox init`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use clap::CommandFactory as _;
use common::pty::Terminal;
use common::{Feature, Ran, TestBox, missing, run};
use std::process::Command;

/// The lines of agentbox.
fn said(ran: &Ran) -> Vec<String> {
    let complaint = ran.complaint();
    let lines = complaint.lines().map(str::to_owned);
    lines.filter(|line| line.starts_with("agentbox:")).collect()
}

/// A box about which there is much to say.
fn odd() -> TestBox {
    TestBox::new()
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        )
        .file("{ws}/.env", "A=b")
        .file("home/.gitconfig", "[commit]\n\tgpgsign = true\n")
        .option("-p")
        .option("codex")
        .option("--allow-command")
        .option("terraform")
        .option("--allow-missing")
        .option("keyring")
}

#[test]
fn the_banner_has_four_lines_at_most_whatever_there_is_to_say() {
    if missing(Feature::Userns) || missing(Feature::Landlock(6)) {
        return;
    }
    let b = odd();
    let full = run(b.command(["true"]));
    assert_eq!(full.code(), 0, "{full:?}");
    let b = b.option("--rung").option("landlock");
    let inner = b.command(["true"]);
    let bare = run(b.through("exec {probe} enter docker -- \"$@\"", &inner));
    assert_eq!(bare.code(), 0, "{bare:?}");
    for ran in [&full, &bare] {
        let lines = said(ran);
        assert!((2..=4).contains(&lines.len()), "{lines:#?}");
        let all = lines.join("\n");
        for words in [
            "AWS_SECRET_ACCESS_KEY",
            "--env NAME",
            "terraform",
            "dangerously-bypass",
            "does not sign",
            "agentbox explain",
        ] {
            assert!(all.contains(words), "{words}: {lines:#?}");
        }
    }
    // The layers are one line, and it says where to ask.
    let lines = said(&bare);
    let weak: Vec<&String> = lines
        .iter()
        .filter(|l| l.contains("layers that do not"))
        .collect();
    let [weak] = weak.as_slice() else {
        panic!("{lines:#?}")
    };
    for words in [
        "namespaces",
        "view",
        "network",
        "rung landlock",
        "check --rungs",
    ] {
        assert!(weak.contains(words), "{words}: {weak}");
    }
    assert!(
        !said(&full)
            .iter()
            .any(|l| l.contains("do not hold in full: "))
    );
}

/// Who does not sign is not bothered with it.
#[test]
fn that_git_does_not_sign_is_said_to_who_signs() {
    let rows = [
        ("", "", false),
        ("[user]\n\tsigningkey = abc\n", "", false),
        ("[commit]\n\tgpgSign = no\n", "", false),
        ("[commit]\n\tgpgSign = true\n", "", true),
        ("[include]\n\tpath = more\n", "", true),
        ("", "[tag]\n\tgpgsign\n", true),
    ];
    for (own, repository, said) in rows {
        let b = TestBox::new()
            .file("home/.gitconfig", own)
            .file("home/more", "[commit]\n\tgpgsign = yes\n")
            .file("{ws}/.git/HEAD", "ref: refs/heads/main\n")
            .dir("{ws}/.git/objects")
            .dir("{ws}/.git/refs")
            .file("{ws}/.git/config", repository);
        let plan = run(b.agentbox(["explain", "--", "true"])).ok();
        assert_eq!(
            plan.contains("git does not sign here"),
            said,
            "{own}{repository}: {plan}"
        );
        // What turns it off is there in any case.
        assert!(plan.contains("GIT_CONFIG_KEY_0=commit.gpgsign"), "{plan}");
    }
}

/// What an agent prints to be resumed by would run without a box.
#[test]
fn after_an_agent_it_is_said_how_to_resume_in_a_box() {
    if missing(Feature::Userns) {
        return;
    }
    let says = "#!/bin/sh\necho Resume this session with: claude --resume 1\n";
    let mut b = TestBox::new()
        .script("home/bin/claude", says)
        .script("home/bin/other", says)
        .file("home/bin/broken", "#!/nonexistent\n");
    let path = format!("{}:/usr/bin:/bin", b.fill("{home}/bin"));
    b = b.env("PATH", path);
    let on_terminal = |words: &[&str]| {
        let mut all = vec!["run", "--net", "none"];
        all.extend(words);
        let mut terminal = Terminal::start(b.agentbox(&all), 24, 200);
        terminal.end();
        (terminal.text(), run(b.agentbox(&all)).complaint())
    };
    let word = "to resume, put `agentbox run` before what claude says";
    for words in [&["claude"][..], &["{home}/bin/claude"]] {
        let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (seen, piped) = on_terminal(&words);
        assert!(seen.contains(word), "{seen}");
        // Behind what it printed.
        assert!(seen.find(word) > seen.find("claude --resume 1"), "{seen}");
        assert!(!piped.contains("to resume"), "{piped}");
    }
    for words in [
        &["-q", "claude"][..],
        &["other"],
        &["-p", "claude", "other"],
    ] {
        let (seen, _) = on_terminal(words);
        assert!(seen.contains("claude --resume 1"), "{seen}");
        assert!(!seen.contains("to resume, "), "{words:?}: {seen}");
    }
}

#[test]
fn quiet_is_silent() {
    if missing(Feature::Userns) {
        return;
    }
    let ran = run(TestBox::new().option("-q").command(["true"]));
    assert_eq!((ran.code(), ran.complaint()), (0, String::new()), "{ran:?}");
}

/// `agentbox WORDS` with one more variable, or none.
fn with(b: &TestBox, variable: Option<(&str, &str)>, words: &[&str]) -> Ran {
    let mut command = b.agentbox(words);
    command.envs(variable);
    run(command)
}

#[test]
fn colours_are_for_terminals_and_for_who_wants_them() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().dir("elsewhere");
    let rows: [&[&str]; 6] = [
        &["explain", "--", "true"],
        &["why", "read", "/etc/shadow", "--", "true"],
        &["run", "--net", "none", "--", "true"],
        &["run", "--net", "nine", "--", "true"],
        &["ps"],
        &["--help"],
    ];
    for words in rows {
        for (variable, coloured) in [
            (None, false),
            (Some(("CLICOLOR_FORCE", "1")), true),
            (Some(("NO_COLOR", "1")), false),
        ] {
            let ran = with(&b, variable, words);
            let all = format!("{}{}", ran.text(), ran.complaint());
            assert!(!all.is_empty(), "{words:?}");
            assert_eq!(
                all.contains("\u{1b}["),
                coloured,
                "{words:?} {variable:?}: {ran:?}"
            );
        }
    }
    // NO_COLOR is stronger, and JSON has no colours.
    let mut command = b.agentbox(["explain", "--", "true"]);
    command.env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1");
    assert!(!run(command).text().contains('\u{1b}'));
    let json = with(
        &b,
        Some(("CLICOLOR_FORCE", "1")),
        &["explain", "--json", "--", "true"],
    );
    assert!(!json.text().contains('\u{1b}'), "{json:?}");
    // A refusal does not look like a word.
    let forced = Some(("CLICOLOR_FORCE", "1"));
    let refused = with(
        &b,
        forced,
        &["run", "--net", "none", "--", "no-such-command"],
    );
    let word = with(&b, forced, &["run", "--net", "none", "--", "true"]);
    let prefix = |ran: &Ran| {
        ran.complaint()
            .split("agentbox:")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(refused.code(), 127, "{refused:?}");
    assert_ne!(prefix(&refused), prefix(&word));
}

#[test]
fn a_terminal_has_colours_unless_it_can_not_or_shall_not() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().net("none");
    let on = |term: &str, variable: Option<(&str, &str)>| {
        let mut command = b.command(["true"]);
        command.env("TERM", term).envs(variable);
        let mut terminal = Terminal::start(command, 24, 80);
        let status = terminal.end();
        assert!(status.success(), "{}", terminal.text());
        terminal.expect("agentbox:");
        terminal.text()
    };
    let coloured = on("xterm-256color", None);
    assert!(coloured.contains("\u{1b}[36magentbox:"), "{coloured:?}");
    for (term, variable) in [("dumb", None), ("xterm-256color", Some(("NO_COLOR", "1")))] {
        let plain = on(term, variable);
        assert!(plain.contains("agentbox: true in "), "{plain:?}");
    }
}

/// One call of each subcommand; what needs a session is told that there is none of that name.
const CALLS: [&[&str]; 34] = [
    &["run", "--net", "none", "--", "true"],
    &["run", "--net", "none", "--", "no-such-command"],
    &["run", "--dry-run", "--", "true"],
    &["ps"],
    &["exec", "zzzz", "--", "true"],
    &["attach", "zzzz"],
    &["detach", "zzzz"],
    &["kill", "zzzz"],
    &["pause", "zzzz"],
    &["resume", "zzzz"],
    &["allow", "a.example"],
    &["deny", "a.example"],
    &["publish", "3000"],
    &["ask"],
    &["logs"],
    &["explain", "--", "true"],
    &["why", "read", "/etc/shadow", "--", "true"],
    &["check"],
    &["check", "--layers"],
    &["demo"],
    &["profiles", "list"],
    &["profiles", "show", "shell"],
    &["profiles", "diff", "shell", "claude"],
    &["trust", "--list"],
    &["drill", "nobody"],
    &["restore"],
    &["init", "--yes"],
    &["self", "check"],
    &["completions", "zsh"],
    &["man", "run"],
    &["stop", "--reason", "why not"],
    &["status"],
    &["run", "--", "true"],
    &["start"],
];

#[test]
fn nothing_but_a_terminal_is_written_to_in_colour() {
    if missing(Feature::Userns) {
        return;
    }
    let called: Vec<&str> = CALLS.iter().map(|words| words[0]).collect();
    for sub in agentbox::cli::args::Cli::command().get_subcommands() {
        assert!(called.contains(&sub.get_name()), "{}", sub.get_name());
    }
    let forced = ("CLICOLOR_FORCE", "1");
    let rows = [
        ("a pipe", vec![], false),
        ("a pipe, NO_COLOR", vec![("NO_COLOR", "1"), forced], false),
        ("a pipe, CLICOLOR_FORCE", vec![forced], true),
    ];
    for (row, variables, coloured) in rows {
        let b = TestBox::new();
        let mut painted = 0;
        for words in CALLS {
            // Seconds, and nothing that the others do not have: once.
            if words == ["self", "check"] && !variables.is_empty() {
                continue;
            }
            let mut command = b.agentbox(words);
            command.envs(variables.iter().copied());
            let ran = run(command);
            let all = format!("{}{}", ran.text(), ran.complaint());
            assert!(!all.is_empty(), "{row}: {words:?}");
            painted += usize::from(all.contains('\u{1b}'));
            assert!(
                coloured || !all.contains('\u{1b}'),
                "{row}: {words:?}: {ran:?}"
            );
        }
        assert_eq!(coloured, painted > 10, "{row}: {painted}");
    }
}

#[test]
fn a_terminal_that_takes_no_colours_gets_none() {
    if missing(Feature::Userns) {
        return;
    }
    for (term, no_color) in [("dumb", None), ("xterm-256color", Some(("NO_COLOR", "1")))] {
        let b = TestBox::new();
        for words in CALLS {
            // The box's command has the terminal as it is; the banner is looked at above. The other one takes seconds.
            if words[0] == "run" && words.contains(&"true") || words == ["self", "check"] {
                continue;
            }
            let mut command = b.agentbox(words);
            command.env("TERM", term).envs(no_color);
            let mut terminal = Terminal::start(command, 24, 80);
            terminal.end();
            let text = terminal.text();
            assert!(!text.contains('\u{1b}'), "{term}: {words:?}: {text:?}");
        }
    }
}

/// Paths stand in one piece, however long, so that they can be copied.
#[test]
fn long_paths_are_not_broken() {
    if missing(Feature::Userns) {
        return;
    }
    let long = format!(
        "{{home}}/{}",
        ["a-rather-long-name-of-a-directory"; 6].join("/")
    );
    let b = TestBox::new().file(&format!("{long}/.env"), "A=b");
    let dir = b.fill(&long);
    let calls: [&[&str]; 4] = [
        &["run", "--net", "none", "-C", &dir, "--", "true"],
        &["explain", "-C", &dir, "--", "true"],
        &["why", "-C", &dir, "write", &dir, "--", "true"],
        &["run", "--read", &format!("{dir}/none"), "--", "true"],
    ];
    for words in calls {
        let piped = run(b.agentbox(words));
        let mut terminal = Terminal::start(b.agentbox(words), 24, 80);
        terminal.end();
        for text in [
            format!("{}{}", piped.text(), piped.complaint()),
            terminal.text(),
        ] {
            assert!(text.contains(&dir), "{words:?}: {text}");
        }
    }
}

/// `agentbox init` of a user without a configuration, on a terminal.
fn asking(b: &TestBox) -> Terminal {
    let mut command: Command = b.agentbox(["init"]);
    command.env("NO_COLOR", "1");
    let terminal = Terminal::start(command, 24, 80);
    terminal.expect("how much memory may a box use [75%]? ");
    terminal
}

fn config(b: &TestBox) -> std::path::PathBuf {
    b.home().join(".config/agentbox/config.toml")
}

#[test]
fn init_asks_and_writes_what_was_answered() {
    let b = TestBox::new();
    let mut terminal = asking(&b);
    terminal.send("4GiB\n");
    terminal.expect("how long may a session run [none]? ");
    // What is no answer is asked again, with what would be one.
    terminal.send("soon\n");
    terminal.expect("not understood: ");
    terminal.expect_count("how long may a session run [none]? ", 2);
    terminal.send("2h\n");
    terminal.expect("[none]? ");
    terminal.send("*.dump\n");
    terminal.expect("a closed window: ");
    terminal.send("detach\n");
    assert!(terminal.end().success(), "{}", terminal.text());
    terminal.expect("next: agentbox run ");
    let text = std::fs::read_to_string(config(&b)).unwrap();
    for line in [
        "memory = \"4GiB\"",
        "time = \"2h\"",
        "hide = [\"${workspace}/**/*.dump\"]",
        "hangup = \"detach\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
    }
    // It counts.
    let plan = run(b.agentbox(["explain", "--", "true"]));
    assert!(plan.ok().contains("memory 4GiB"), "{plan:?}");
}

#[test]
fn init_takes_the_defaults_for_empty_answers() {
    let (asked, yes) = (TestBox::new(), TestBox::new());
    let mut terminal = asking(&asked);
    terminal.send("\n");
    terminal.expect("how long may a session run");
    terminal.send("none\n");
    terminal.expect("names to hide");
    terminal.send("\n");
    terminal.expect("a closed window: ");
    terminal.send("\n");
    assert!(terminal.end().success(), "{}", terminal.text());
    let ran = run(yes.agentbox(["init", "--yes"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let read = |b: &TestBox| std::fs::read_to_string(config(b)).unwrap();
    assert_eq!(read(&asked), read(&yes));
    assert!(!read(&yes).lines().any(|l| l.starts_with("memory")));
}

/// However the questions end early, nothing is left, and the next time asks again.
#[test]
fn init_that_is_broken_off_leaves_nothing() {
    let b = TestBox::new();
    let rows: [(&str, &str); 3] = [
        ("ctrl-c", "\u{3}"),
        ("ctrl-d", "\u{4}"),
        ("nonsense", "much\nmuch\nmuch\n"),
    ];
    for (row, keys) in rows {
        let mut terminal = asking(&b);
        terminal.send(keys);
        let status = terminal.end();
        assert!(!status.success(), "{row}: {}", terminal.text());
        if row != "ctrl-c" {
            terminal.expect("nothing was written");
        }
        // Not at the first question only.
        let mut terminal = asking(&b);
        terminal.send("1GiB\n");
        terminal.expect("how long may a session run");
        terminal.send(keys);
        assert!(!terminal.end().success(), "{row}: {}", terminal.text());
        assert!(!b.home().join(".config/agentbox").exists(), "{row}");
    }
}
