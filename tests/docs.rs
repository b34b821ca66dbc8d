//! Every command that README.md and docs/ show is run, in a home of its own with agents that are scripts of their names. What
//! cannot be says why, in a comment before its block: `<!-- run: network: ... -->` or `<!-- run: terminal: ... -->`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing, run};
use std::fs;
use std::path::{Path, PathBuf};

/// A block of shell.
struct Block {
    file: String,
    line: usize,
    /// Why it is not run.
    not: Option<String>,
    script: String,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let mut all: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == "md"));
    all.push(root.join("README.md"));
    all.sort();
    all
}

fn blocks(path: &Path) -> Vec<Block> {
    let text = fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut out: Vec<Block> = Vec::new();
    let mut note: Option<String> = None;
    let mut inside: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        match (inside, trimmed.strip_prefix("```")) {
            (None, Some(info)) => {
                inside = Some(info == "sh");
                if info == "sh" {
                    out.push(Block {
                        file: file.clone(),
                        line: number + 1,
                        not: note.take(),
                        script: String::new(),
                    });
                }
                note = None;
            }
            (Some(_), Some("")) => inside = None,
            (Some(true), _) => {
                let block = out.last_mut().unwrap();
                block.script.push_str(line);
                block.script.push('\n');
            }
            (Some(false), _) => {}
            (None, None) => {
                if let Some(why) = trimmed.strip_prefix("<!-- run: ") {
                    let why = why.strip_suffix(" -->").expect("a comment of one line");
                    let kind = why.split(':').next().unwrap();
                    assert!(["network", "terminal"].contains(&kind), "{file}: {why}");
                    note = Some(why.to_owned());
                } else if !trimmed.is_empty() {
                    note = None;
                }
            }
        }
    }
    assert!(inside.is_none(), "{file}: a fence that does not end");
    out
}

/// What a new user has: a project, and agents (here only their names).
fn world() -> TestBox {
    let mut world = TestBox::new()
        .file("{ws}/package.json", "{}")
        .file("{ws}/Makefile", "test:\n\t@echo tested\n")
        .file("{ws}/.env", "SECRET=1\n")
        .file(
            "{ws}/.claude/settings.json",
            "{\"permissions\":{\"deny\":[\"Read(*.pem)\"]}}",
        )
        .file("{ws}/my-profile.toml", "extends = [\"shell\"]\n");
    for agent in [
        "claude", "codex", "gemini", "opencode", "aider", "goose", "npm", "cargo",
    ] {
        world = world.script(&format!("home/bin/{agent}"), "#!/bin/sh\necho \"$0 $*\"\n");
    }
    let bin = common::world::agentbox().parent().unwrap().to_owned();
    let path = format!(
        "{}:{}/bin:/usr/local/bin:/usr/bin:/bin",
        bin.display(),
        world.home().display()
    );
    // What a runner gives its steps.
    let output = world.home().join("github-output");
    fs::write(&output, "").unwrap();
    world.env("PATH", path).env("GITHUB_OUTPUT", output)
}

#[test]
fn every_command_that_is_shown_is_run() {
    if missing(Feature::Userns) {
        return;
    }
    let (mut ran, mut not) = (0, Vec::new());
    for path in documents() {
        // The blocks of one page may build on each other.
        let world = world();
        for block in blocks(&path) {
            if let Some(why) = &block.not {
                not.push(format!("SKIP {}:{} {why}\n", block.file, block.line));
                continue;
            }
            let inner = world.agentbox(Vec::<String>::new());
            let script = format!("set -eu\n{}", block.script);
            let done = run(world.through(&script, &inner));
            assert_eq!(
                done.code(),
                0,
                "{}:{}:\n{}{done:?}",
                block.file,
                block.line,
                block.script
            );
            ran += 1;
        }
    }
    // Not by a print macro: the harness would swallow it.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), not.concat().as_bytes());
    assert!(ran >= 20, "only {ran} blocks were run");
    assert!(not.len() <= 8, "{} blocks are not run", not.len());
}

/// The test above can fail.
#[test]
fn a_command_that_fails_is_seen() {
    let dir = std::env::temp_dir().join(format!("agentbox-docs-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let page = dir.join("page.md");
    fs::write(
        &page,
        "a\n<!-- run: network: x -->\n\n```sh\none\n```\n```sh\ntwo\n```\n```toml\nx = 1\n```\n",
    )
    .unwrap();
    let found = blocks(&page);
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].not.as_deref(), Some("network: x"));
    assert!(found[1].not.is_none() && found[1].script == "two\n");
}

/// What is to be looked for in the troubleshooting is what the program says.
#[test]
fn every_message_in_the_troubleshooting_is_one_of_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    let mut todo = vec![root.join("src")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                // A literal may go on in the next line.
                let text = fs::read_to_string(&path).unwrap();
                for line in text.lines() {
                    match line.strip_suffix('\\') {
                        Some(start) => source.push_str(start),
                        None => {
                            source.push_str(line.trim_start());
                            source.push('\n');
                        }
                    }
                }
            }
        }
    }
    let text = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let mut number = 0;
    for line in text.lines() {
        let Some(message) = line
            .strip_prefix("### `")
            .and_then(|rest| rest.strip_suffix('`'))
        else {
            continue;
        };
        assert!(source.contains(message), "nothing says {message:?}");
        number += 1;
    }
    assert!(number >= 15, "{number}");
}

/// A link between the documents leads somewhere.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let has = text
                    .lines()
                    .filter_map(|line| line.strip_prefix('#'))
                    .any(|title| {
                        let title = title.trim_start_matches('#').trim().to_lowercase();
                        let slug: String = title
                            .chars()
                            .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
                            .collect();
                        slug.replace(' ', "-") == anchor
                    });
                assert!(has, "{}: {link}", path.display());
            }
        }
    }
    assert!(root.join("docs").exists());
}
