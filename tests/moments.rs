//! Every name by every way at every moment: before the start, replaced by the host, made by the host, made by the box, and in
//! the next box. Each denial beside a name that no rule knows, which the same way leads to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Live, TestBox, run, until};
use serde_json::Value;
use std::fs;

/// Names that are hidden, and their twins.
const HIDDEN: [&str; 8] = [
    ".env",
    "a/b/.env.local",
    "infra/terraform.tfstate",
    "tls/server.pem",
    "tls/server.key",
    "kubeconfig",
    // Rules about the content of `*-*.json` are about these, too, and do not stand in for those about their names.
    "kubeconfig-prod.json",
    "infra/prod-eu.tfvars.json",
];
const PLAIN: [&str; 2] = ["a/b/plain.txt", "tls/server.crt"];

/// Names that are frozen, and a twin.
const FROZEN: [&str; 4] = [
    ".mcp.json",
    "a/b/.claude/settings.json",
    "a/.cursor/mcp.json",
    ".codex/config.toml",
];
const FREE: [&str; 2] = ["a/b/.claude/notes.md", "a/mcp.json"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    BeforeStart,
    ReplacedByHost,
    MadeByHost,
    MadeByBox,
    NextBox,
}

const MOMENTS: [Moment; 5] = [
    Moment::BeforeStart,
    Moment::ReplacedByHost,
    Moment::MadeByHost,
    Moment::MadeByBox,
    Moment::NextBox,
];

fn boxed() -> TestBox {
    let b = TestBox::new().profile("extends = [\"base\", \"git\"]\n");
    fs::write(b.root().join("bin/ways.py"), include_str!("names/ways.py")).unwrap();
    fs::write(
        b.root().join("bin/changes.py"),
        include_str!("names/changes.py"),
    )
    .unwrap();
    b
}

fn host(b: &TestBox, script: &str) {
    b.on_host(&format!("set -e; {script}")).ok();
}

fn events(b: &TestBox, what: &str, name: &str) -> usize {
    let text = run(b.agentbox(["logs"])).text();
    let about = |line: &&str| line.contains(what) && line.contains(&format!("/{name}"));
    text.lines().filter(about).count()
}

/// Shell: makes every one of the names with this content, each by a rename.
fn make(names: &[&str], content: &str) -> String {
    let each = names.iter().map(|name| {
        format!("mkdir -p $(dirname {name}); echo {content} > made.tmp; mv made.tmp {name}; ")
    });
    each.collect()
}

/// Starts `script` of the directory of programs on these names when the file `go` is there.
fn waiting(b: &TestBox, first: &str, script: &str, names: &[&str]) -> Live {
    let all: Vec<String> = names
        .iter()
        .map(|name| b.fill(&format!("{{ws}}/{name}")))
        .collect();
    let text = format!(
        "{first} echo ready; until [ -e go ]; do sleep 0.01; done; python3 {}/bin/{script} {}",
        b.root().display(),
        all.join(" ")
    );
    let mut live = b.start(["/bin/sh", "-c", &text]);
    live.wait_line("ready");
    live
}

fn answers(live: Live, count: usize) -> Vec<Value> {
    let ran = live.end();
    let lines = ran.stdout.split(|b| *b == b'\n');
    let answers: Vec<Value> = lines
        .filter_map(|l| serde_json::from_slice(l).ok())
        .collect();
    assert_eq!(answers.len(), count, "{ran:?}");
    answers
}

#[test]
fn a_hidden_name_is_closed_by_every_way_at_every_moment() {
    for moment in MOMENTS {
        let names: Vec<&str> = HIDDEN.iter().chain(&PLAIN).copied().collect();
        let b = boxed();
        let before = matches!(
            moment,
            Moment::BeforeStart | Moment::ReplacedByHost | Moment::NextBox
        );
        if before {
            host(&b, &make(&names, "S3CRET-old"));
        }
        let first = match moment {
            Moment::MadeByBox => make(&names, "S3CRET-own"),
            _ => String::new(),
        };
        if moment == Moment::NextBox {
            // One box in which the host replaces them, and then another one.
            let live = waiting(&b, "", "ways.py", &[]);
            host(&b, &make(&names, "S3CRET-new"));
            host(&b, "touch go");
            live.end();
            fs::remove_file(b.ws().join("go")).unwrap();
        }
        let live = waiting(&b, &first, "ways.py", &names);
        if matches!(moment, Moment::ReplacedByHost | Moment::MadeByHost) {
            host(&b, &make(&names, "S3CRET-new"));
        }
        if !matches!(moment, Moment::BeforeStart | Moment::NextBox) {
            for name in HIDDEN {
                until(&format!("{moment:?}: {name} is closed"), || {
                    events(&b, "closed", name) > 0
                });
            }
        }
        host(&b, "touch go");
        for answer in answers(live, names.len()) {
            let name = answer["name"].as_str().unwrap();
            let is_plain = PLAIN.iter().any(|plain| name.ends_with(plain));
            for (way, out) in answer["ways"].as_object().unwrap() {
                let out = out.as_str().unwrap();
                if is_plain {
                    let denied = matches!(way.as_str(), "proc_1_root" | "executed");
                    assert!(
                        denied || out.contains("S3CRET"),
                        "{moment:?} {name} by {way}: {out}"
                    );
                } else {
                    assert!(
                        matches!(
                            out,
                            "" | "EMPTY"
                                | "EBUSY"
                                | "EXDEV"
                                | "EROFS"
                                | "EACCES"
                                | "ENOENT"
                                | "EPERM"
                        ) || way == "executed" && !out.contains("S3CRET"),
                        "{moment:?} {name} by {way}: {out}"
                    );
                }
            }
        }
        // The host's are the host's, whatever was tried.
        for name in names {
            let text = fs::read_to_string(b.ws().join(name)).unwrap();
            assert!(text.starts_with("S3CRET-"), "{moment:?} {name}: {text}");
        }
    }
}

/// `npm login` writes a new `.npmrc` and renames it over the old one: the mask goes with the old file.
#[test]
fn what_its_content_hid_stays_closed_when_the_host_replaces_it() {
    let b = boxed();
    let token = "//r.test/:_authToken=";
    let names = [".npmrc", "a/.npmrc"];
    let script = format!(
        "mkdir a; echo {token}S3CRET-old > .npmrc; echo registry=https://r.test/PLAIN > a/.npmrc"
    );
    host(&b, &script);
    let live = waiting(&b, "", "ways.py", &names);
    host(
        &b,
        &format!(
            "echo {token}S3CRET-new > t; mv t .npmrc; echo registry=https://r.test/PLAIN > t; mv t a/.npmrc"
        ),
    );
    until(".npmrc is closed", || events(&b, "closed", ".npmrc") > 0);
    host(&b, "touch go");
    for answer in answers(live, names.len()) {
        let is_plain = answer["name"].as_str().unwrap().ends_with("a/.npmrc");
        for (way, out) in answer["ways"].as_object().unwrap() {
            let out = out.as_str().unwrap();
            let denied = matches!(way.as_str(), "proc_1_root" | "executed");
            assert!(!out.contains("S3CRET"), "{way}: {out}");
            assert!(!is_plain || denied || out.contains("PLAIN"), "{way}: {out}");
        }
    }
    let text = fs::read_to_string(b.ws().join(".npmrc")).unwrap();
    assert!(text.contains("S3CRET-new"), "{text}");
}

#[test]
fn a_frozen_name_stays_what_the_host_made_of_it_at_every_moment() {
    for moment in MOMENTS {
        let names: Vec<&str> = FROZEN.iter().chain(&FREE).copied().collect();
        let b = boxed();
        let before = matches!(
            moment,
            Moment::BeforeStart | Moment::ReplacedByHost | Moment::NextBox
        );
        if before {
            host(&b, &make(&names, "old"));
        }
        if moment == Moment::NextBox {
            let live = waiting(&b, "", "changes.py", &[]);
            host(&b, "touch go");
            live.end();
            fs::remove_file(b.ws().join("go")).unwrap();
        }
        let first = match moment {
            // Not of a directory that is taken away as soon as it is there.
            Moment::MadeByBox => make(&names, "evil").replace("mkdir", "mkdir 2>/dev/null"),
            _ => String::new(),
        };
        let live = waiting(&b, &first, "changes.py", &names);
        if matches!(moment, Moment::ReplacedByHost | Moment::MadeByHost) {
            let replaced: Vec<&str> = names
                .iter()
                .filter(|n| !n.contains("cursor") && !n.contains("codex"))
                .copied()
                .collect();
            host(&b, &make(&replaced, "new"));
        }
        let gone = matches!(moment, Moment::MadeByHost | Moment::MadeByBox);
        for name in [".mcp.json", "a/b/.claude/settings.json"] {
            match moment {
                Moment::ReplacedByHost => until(&format!("{moment:?}: {name} is closed"), || {
                    events(&b, "closed", name) + events(&b, "put back", name) > 0
                }),
                _ if gone => until(&format!("{moment:?}: {name} is gone"), || {
                    events(&b, "moved", name) > 0
                }),
                _ => {}
            }
        }
        host(&b, "touch go");
        for answer in answers(live, names.len()) {
            let name = answer["name"].as_str().unwrap();
            let is_free = FREE.iter().any(|free| name.ends_with(free));
            for (way, out) in answer["ways"].as_object().unwrap() {
                let out = out.as_str().unwrap();
                if is_free {
                    assert_eq!(out, "ok", "{moment:?} {name} by {way}");
                } else if !gone {
                    assert!(
                        matches!(out, "EROFS" | "EBUSY" | "EXDEV" | "EACCES" | "EPERM"),
                        "{moment:?} {name} by {way}: {out}"
                    );
                }
            }
        }
        for name in FROZEN {
            let text = fs::read_to_string(b.ws().join(name)).unwrap_or_default();
            match moment {
                Moment::BeforeStart | Moment::NextBox => {
                    assert_eq!(text, "old\n", "{moment:?} {name}")
                }
                Moment::ReplacedByHost => {
                    assert!(matches!(text.as_str(), "old\n" | "new\n"), "{name}: {text}")
                }
                // Whoever made it: it is in the quarantine, and nothing that the box wrote stands there.
                _ => assert_eq!(text, "", "{moment:?} {name}"),
            }
        }
    }
}
