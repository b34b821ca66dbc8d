//! The README and docs/ say what the program does: the layer table, each command, the exit statuses, each profile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use agentbox::cli::args;
use agentbox::exit;
use agentbox::outcome::{How, Layer, Trigger};
use agentbox::profile::value::LIMITS;
use clap::CommandFactory as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

const README: &str = include_str!("../README.md");
const DOCS: [(&str, &str); 8] = [
    ("docs/everywhere.md", include_str!("../docs/everywhere.md")),
    ("README.md", README),
    ("docs/profiles.md", include_str!("../docs/profiles.md")),
    ("docs/cookbook.md", include_str!("../docs/cookbook.md")),
    ("docs/network.md", include_str!("../docs/network.md")),
    (
        "docs/kill-switch.md",
        include_str!("../docs/kill-switch.md"),
    ),
    ("docs/fleet.md", include_str!("../docs/fleet.md")),
    (
        "docs/threat-model.md",
        include_str!("../docs/threat-model.md"),
    ),
];

fn agentbox(args: &[&str]) -> Output {
    let home = std::env::temp_dir();
    Command::new(env!("CARGO_BIN_EXE_agentbox"))
        .args(args)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

fn stdout(args: &[&str]) -> String {
    let ran = agentbox(args);
    assert!(ran.status.success(), "{args:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The fenced blocks of that language, indented ones too.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(info)) => Some((info == language, String::new())),
            (None, None) => None,
            (Some((wanted, block)), Some("")) => {
                if wanted {
                    found.push(block);
                }
                None
            }
            (Some((wanted, mut block)), _) => {
                block.push_str(line);
                block.push('\n');
                Some((wanted, block))
            }
        };
    }
    assert!(open.is_none(), "a fence that does not end");
    found
}

/// The cells of the table whose header starts with that cell, without the marks of code.
fn table(header: &str) -> Vec<Vec<String>> {
    let start = format!("| {header} |");
    let rows: Vec<Vec<String>> = README
        .lines()
        .skip_while(|line| !line.starts_with(&start))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().replace('`', ""))
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table {header}");
    rows
}

/// The commands of a line of shell, as words. Knows quotes, comments, `&&` and `||`; that is all that the documents may use.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '&' | '|') if chars.peek() == Some(&c) => {
                chars.next();
                all.last_mut().unwrap().extend(word.take());
                all.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => all.last_mut().unwrap().extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quote that does not end: {line}");
    all.last_mut().unwrap().extend(word);
    all.retain(|command| !command.is_empty());
    all
}

#[test]
fn the_layer_table_is_what_the_program_prints() {
    let printed = stdout(&["check", "--layers"]);
    let (_, after) = README.split_once("<!-- layers -->").unwrap();
    assert_eq!(blocks(after, "text")[0], printed);
    for layer in Layer::ALL {
        let lines = printed.lines();
        let named = lines.filter(|l| l.split_whitespace().next() == Some(layer.name()));
        assert_eq!(named.count(), 1, "{layer:?} stands once in\n{printed}");
    }
}

#[test]
fn the_rungs_are_what_the_program_prints() {
    let text = include_str!("../docs/everywhere.md");
    let (_, after) = text.split_once("<!-- rungs -->").unwrap();
    assert_eq!(blocks(after, "text")[0], stdout(&["check", "--rungs"]));
}

/// `agentbox check --layers` does not try anything, so `--json`, which is what was tried, has no meaning beside it.
#[test]
fn layers_and_json_exclude_each_other() {
    assert_eq!(
        agentbox(&["check", "--layers", "--json"]).status.code(),
        Some(2)
    );
}

#[test]
fn every_command_parses() {
    let mut seen = 0;
    for (file, text) in DOCS {
        for line in blocks(text, "sh").concat().lines() {
            // What is asked for by `name=$(...)`.
            let asked = line.split_once("=$(");
            let line = asked.map_or(line, |(_, rest)| rest.strip_suffix(')').unwrap());
            for command in commands(line) {
                match command[0].as_str() {
                    "agentbox" => {
                        let argv = command.iter().map(OsString::from);
                        if let Err(e) = args::parse(argv) {
                            panic!("{file}: {line}: {e}");
                        }
                        seen += 1;
                    }
                    "git" | "cd" | "cargo" | "sudo" | "redis-cli" | "aws" | "true" => {}
                    script => assert!(
                        script.starts_with("scripts/") && Path::new(script).exists(),
                        "{file}: {line}: what is {script}?"
                    ),
                }
            }
        }
    }
    assert!(seen >= 12, "only {seen} commands: were the blocks found?");
}

/// The test above can fail.
#[test]
fn a_wrong_command_would_be_seen() {
    let words = commands("cargo x && agentbox run --bogus 'a b' \"$(c || d)\"  # e");
    assert_eq!(words[1], ["agentbox", "run", "--bogus", "a b", "$(c || d)"]);
    assert!(args::parse(words[1].iter().map(OsString::from)).is_err());
}

/// What is called in running text between backquotes parses: with what is optional, and each of what is said for several.
#[test]
fn every_command_in_the_text_parses() {
    let docs = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let mut files: Vec<_> = docs.map(|entry| entry.unwrap().path()).collect();
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let mut seen = 0;
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "md"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        for span in text
            .replace("```", "")
            .replace('\n', " ")
            .split('`')
            .skip(1)
            .step_by(2)
        {
            let Some(rest) = span.strip_prefix("agentbox ") else {
                continue;
            };
            // What another program is given, what may be left out, and how many of them, are not of the words.
            let plain = rest.split(" | ").next().unwrap().replace(['[', ']'], "");
            let plain = plain
                .replace("...", "")
                .replace("HOSTPORT", "80")
                .replace("PORT", "8080");
            for words in alternatives(&plain) {
                let argv = words.iter().map(OsString::from);
                let argv = std::iter::once("agentbox".into()).chain(argv);
                let named = |e: &str| e.contains("required arguments were not provided");
                if let Err(e) = args::parse(argv).map_err(|e| e.to_string())
                    && !named(&e)
                {
                    panic!("{}: `{span}`: {e}", file.display());
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} commands: were they found?");
}

/// The help of every subcommand shows how it is called, and each example parses as what it is an example of.
#[test]
fn every_help_has_examples_that_parse() {
    let mut todo = vec![(String::new(), args::Cli::command())];
    let mut seen = 0;
    while let Some((name, command)) = todo.pop() {
        for sub in command.get_subcommands() {
            todo.push((format!("{name}{} ", sub.get_name()), sub.clone()));
        }
        if name.is_empty() {
            continue;
        }
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        assert!(!lines.is_empty(), "{name}has no examples");
        for line in lines {
            let words = &commands(line)[0];
            let called = format!("agentbox {name}");
            assert!(
                line.trim_start().starts_with(called.trim_end()),
                "{name}: {line}"
            );
            if let Err(e) = args::parse(words.iter().map(OsString::from)) {
                panic!("{name}: {line}: {e}");
            }
            assert!(line.len() <= 100, "{name}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} examples");
}

/// Each way to read words of which some are `one|another`.
fn alternatives(text: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for word in text.split_whitespace() {
        let ways: Vec<&str> = word.split('|').collect();
        all = all
            .iter()
            .flat_map(|line: &Vec<String>| {
                ways.iter().map(|way| {
                    let mut line = line.clone();
                    line.push((*way).to_owned());
                    line
                })
            })
            .collect();
    }
    all
}

/// What is named in running text between backquotes parses, too.
#[test]
fn flags_in_the_text_exist() {
    let help = ["run", "check", "explain", "ps", "kill", "logs", "exec"]
        .map(|sub| stdout(&[sub, "--help"]))
        .concat();
    // --hide is named as what is refused; the others are flags of other programs.
    let others = [
        "--hide",
        "--locked",
        "--path",
        "--all",
        "--user",
        "--scope",
        "--security-opt",
        "--no-deps",
        "--open",
        "--yolo",
        "--resume",
        "--dangerously-skip-permissions",
        "--dangerously-bypass-approvals-and-sandbox",
    ];
    for word in README.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        if word.starts_with("--") && word.len() > 3 && !word.starts_with("---") {
            assert!(
                help.contains(&format!("{word} ")) || others.contains(&word),
                "{word}"
            );
        }
    }
}

#[test]
fn exit_statuses_agree() {
    let rows: BTreeMap<String, String> = table("status")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let killed = |trigger| exit::status(&How::Killed { trigger });
    let which = String::new();
    for (status, word) in [
        (
            exit::status(&How::Refused { why: which.clone() }),
            "refused",
        ),
        (
            exit::status(&How::CannotExecute { errno: 13 }),
            "not executable",
        ),
        (exit::status(&How::NotFound { errno: 2 }), "not found"),
        (killed(Trigger::TimeLimit), "time"),
        (killed(Trigger::Memory), "memory"),
        (killed(Trigger::Lost { what: which }), "lost"),
    ] {
        let row = rows.get(&status.to_string());
        assert!(
            row.is_some_and(|text| text.contains(word)),
            "{status}: {row:?}"
        );
    }
    for (status, row) in [
        (exit::status(&How::Exited { code: 7 }), "0-255"),
        (exit::status(&How::Signaled { signal: 9 }) - 9, "128+N"),
    ] {
        assert!(rows.contains_key(row), "{status}: {row}");
        assert!(row.starts_with(&status.to_string()) || status == 7, "{row}");
    }
    assert_eq!(rows.len(), 7, "a status that no test knows: {rows:?}");
    let text = "2 for bad usage and 1 for \"no\"";
    assert!(README.contains(text), "{text}");
    assert_eq!((exit::USAGE, exit::NO), (2, 1));
}

#[test]
fn limits_are_the_ones_that_exist_with_their_defaults() {
    let rows = table("limit");
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let mut known: Vec<&str> = LIMITS.iter().map(|(name, _)| *name).collect();
    known.push("stop-grace");
    assert_eq!(names, known);
    let base = stdout(&["profiles", "show", "base"]);
    for row in &rows {
        let set = base.lines().find_map(|line| {
            let (name, value) = line.split_once(" = ")?;
            let value = value.split('#').next()?.trim().trim_matches('"');
            (name == row[0]).then(|| value.to_owned())
        });
        assert_eq!(set.as_deref().unwrap_or("none"), row[1], "{}", row[0]);
    }
}

#[test]
fn every_profile_is_named_and_no_other() {
    let text: String = table("profile")
        .iter()
        .map(|row| format!("{} ", row[0]))
        .collect();
    let mut named: Vec<&str> = text.split([',', ' ']).filter(|n| !n.is_empty()).collect();
    named.sort_unstable();
    let listed = stdout(&["profiles", "list"]);
    let mut builtin: Vec<&str> = listed
        .lines()
        .filter(|line| line.contains("built in"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    builtin.sort_unstable();
    assert_eq!(named, builtin);
}

#[test]
fn every_profile_in_the_documents_is_valid() {
    let dir = std::env::temp_dir().join(format!("agentbox-readme-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    files.extend(
        docs.map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for block in blocks(&text, "toml") {
            let path = dir.join(format!("{seen}.toml"));
            std::fs::write(&path, &block).unwrap();
            let ran = agentbox(&["profiles", "validate", path.to_str().unwrap()]);
            assert!(
                ran.status.success(),
                "{}:\n{block}\n{ran:?}",
                file.display()
            );
            seen += 1;
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(seen >= 18, "the blocks were not found: {seen}");
}

#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 300);
}
