//! Several hundred random questions, about files, variables and hosts, under random profiles and flags: what `agentbox why`
//! says beside what happens in the box. The seed is fixed and printed where the two differ.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::dice::Dice;
use common::{Feature, TestBox, missing, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

const SEED: u64 = 20_261_126;

const PROFILES: [&str; 5] = ["claude", "codex", "gemini", "opencode", "shell"];

/// What was said, what happened, and whether both are the same.
#[derive(Default)]
struct Tally {
    wrong: String,
    number: usize,
    seen: BTreeMap<(String, bool), usize>,
}

impl Tally {
    fn add(
        &mut self,
        about: &str,
        verb: &str,
        thing: &str,
        said: &Value,
        happened: bool,
        how: &Value,
    ) {
        self.number += 1;
        *self.seen.entry((verb.to_owned(), happened)).or_default() += 1;
        if said["allowed"].as_bool() != Some(happened) {
            let _ = writeln!(
                self.wrong,
                "{verb} {thing} ({about}): said {} because {}, happened {how}",
                said["allowed"], said["because"]
            );
        }
    }

    /// Everything was the same, and each answer to each verb came up this often.
    fn end(self, seed: u64, verbs: &[&str], least: usize) {
        let (wrong, number) = (self.wrong, self.number);
        let lines = wrong.lines().count();
        assert!(
            wrong.is_empty(),
            "seed {seed}: {lines} of {number} differ:\n{wrong}"
        );
        for verb in verbs {
            for happened in [true, false] {
                let times = self.seen.get(&((*verb).to_owned(), happened));
                let times = times.copied().unwrap_or(0);
                assert!(
                    times >= least,
                    "{verb} {happened}: {times} of {:?}",
                    self.seen
                );
            }
        }
    }
}

fn why(b: &TestBox, options: &[String], verb: &str, thing: &str) -> Value {
    let mut argv = vec!["why".to_owned(), "--json".into()];
    argv.extend(options.iter().cloned());
    argv.extend([verb.to_owned(), thing.to_owned()]);
    let ran = run(b.agentbox(argv));
    let said: Value = serde_json::from_str(&ran.text()).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let allowed = said["allowed"].as_bool().unwrap();
    assert_eq!(ran.code(), i32::from(!allowed), "{ran:?}");
    said
}

/// A home and a working copy with what profiles and rules are about.
fn files() -> TestBox {
    let world = TestBox::new()
        .script("tools/terraform", "#!/bin/sh\n")
        .script("tools/fine", "#!/bin/sh\n")
        .file("tools/plain", "x")
        .file("home/.ssh/id_rsa", "secret")
        .file("home/.ssh/known_hosts", "x")
        .file("home/.aws/credentials", "secret")
        .file("home/.npmrc", "//registry.npmjs.org/:_authToken=npm_abc\n")
        .file("home/.netrc", "machine x password y")
        .file("home/.gitconfig", "[user]\n\tname = x\n")
        .file("home/.config/tool/conf", "x")
        .file("home/.config/git/ignore", "x")
        .file("home/.config/gh/hosts.yml", "secret")
        .file("home/.claude/settings.json", "{}")
        .file("home/.claude/history.jsonl", "{}")
        .file("home/.claude/ide/lock", "secret")
        .file("home/.claude.json", "{}")
        .file("home/.codex/config.toml", "")
        .file("home/.codex/auth.json", "{}")
        .file("home/.gemini/settings.json", "{}")
        .file("home/.config/opencode/opencode.json", "{}")
        .file("home/.cargo/config.toml", "")
        .file("home/.cargo/credentials.toml", "secret")
        .script("home/.local/bin/tool", "#!/bin/sh\n")
        .file("home/.cache/thing/x", "x")
        .file("home/.bash_history", "secret")
        .file("home/kept/file", "x")
        .file("home/kept/deep/file", "x")
        .file("home/other/file", "x")
        .file("{ws}/a/b/c", "x")
        .file("{ws}/a/.env", "SECRET=1")
        .file("{ws}/.env", "SECRET=1")
        .file("{ws}/.env.example", "SECRET=")
        .file("{ws}/infra/terraform.tfstate", "{}")
        .file("{ws}/infra/main.tf", "")
        .file("{ws}/server.key", "secret")
        .file("{ws}/.mcp.json", "{}")
        .file("{ws}/.claude/settings.json", "{}")
        .file("{ws}/.claude/notes.md", "x")
        .file("{ws}/.vscode/settings.json", "{}")
        .file("{ws}/.vscode/mcp.json", "{}")
        .file("{ws}/.github/workflows/ci.yml", "x")
        .file("{ws}/.git/HEAD", "ref: refs/heads/main\n")
        .file("{ws}/.git/config", "[core]\n\tbare = false\n")
        .script("{ws}/.git/hooks/pre-commit", "#!/bin/sh\n")
        .dir("{ws}/.git/objects")
        .dir("{ws}/.git/refs/heads")
        .file("{ws}/read-only", "x")
        .script("{ws}/run", "#!/bin/sh\n")
        .dir("{ws}/closed")
        .file("{ws}/nobody", "x");
    for (path, mode) in [
        ("{t}/tools/plain", 0o600),
        ("{ws}/read-only", 0o444),
        ("{ws}/closed", 0o555),
        ("{ws}/nobody", 0),
    ] {
        std::fs::set_permissions(world.fill(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for (path, to) in [
        ("{ws}/to-tool", "{t}/tools/fine"),
        ("{ws}/to-secret", "{home}/.ssh/id_rsa"),
        ("{ws}/to-env", ".env"),
        ("{ws}/to-dir", "a"),
        ("{ws}/dangling", "nothing"),
        ("{ws}/loop", "loop"),
        ("{t}/tools/tf", "terraform"),
        ("{home}/kept/link", "../ws/run"),
    ] {
        symlink(world.fill(to), world.fill(path)).unwrap();
        world.chown(Path::new(&world.fill(path)));
    }
    world
}

/// Every file and directory of the world, and some of the machine.
fn places(world: &TestBox) -> Vec<String> {
    let mut out: Vec<String> = [
        "/",
        "/usr",
        "/etc",
        "/home",
        "/root",
        "/tmp",
        "/var",
        "/run",
        "/opt",
        "/dev/null",
        "/dev/shm",
        "/etc/shadow",
        "/etc/passwd",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/bin/sh",
        "/usr/bin/su",
        "/usr/bin/env",
        "/usr/bin/git",
        "/usr/bin/ls",
        "/usr/bin/cat",
        "/usr/bin/sort",
        "/run/agentbox/policy.md",
        "/nowhere",
        "/var/lib/dpkg/status",
        "/root/.bashrc",
        "/etc/ssl/certs",
        "/proc/version",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut todo = vec![world.home(), world.root().join("tools")];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            out.push(path.to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                todo.push(path);
            }
        }
    }
    out.sort();
    out
}

const FILE_OPTIONS: [&str; 12] = [
    "--read={t}/tools",
    "--write={home}/kept",
    "--read={home}/other/file",
    "--read={home}/.config/tool/conf",
    "--hide={ws}/a/b",
    "--hide={home}/kept/file",
    "--protect={ws}/a",
    "--allow-command=terraform",
    "--read={ws}/.env",
    "--write={ws}/.git/hooks",
    "--write={ws}/.vscode/mcp.json",
    "--read={home}/.npmrc",
];

#[test]
fn files_are_as_why_says() {
    if missing(Feature::Userns) || missing(Feature::ExecveCheck) {
        return;
    }
    let mut dice = Dice::new(SEED);
    let mut tally = Tally::default();
    for round in 0..10 {
        let profile = PROFILES[round % PROFILES.len()];
        let mut world = files().option("--profile").option(profile);
        let mut options = vec!["--net=none".to_owned(), "--profile".into(), profile.into()];
        options.extend(["--read".into(), world.fill("{t}/bin")]);
        for option in dice.some(&FILE_OPTIONS, 3) {
            options.push(world.fill(option));
            world = world.option(option);
        }
        let places = places(&world);
        let mut questions: Vec<(&str, String)> = Vec::new();
        while questions.len() < 40 {
            let verb = *dice.pick(&["read", "write", "write", "exec"]);
            let path = dice.pick(&places).clone();
            let path = match dice.below(8) {
                0 => format!("{path}/new"),
                1 => format!("{path}/../"),
                2 => path.replacen('/', "/./", 1),
                _ => path,
            };
            questions.push((verb, path));
        }
        // Asked before: what is written by the questions themselves must not change the answers.
        let said: Vec<Value> = questions
            .iter()
            .map(|(verb, path)| why(&world, &options, verb, path))
            .collect();
        let lines = |with: &dyn Fn(&str) -> String| -> Vec<String> {
            questions
                .iter()
                .map(|(verb, path)| format!("may {} {path}", with(verb)))
                .collect()
        };
        let happened = world.batch(&lines(&str::to_owned));
        let looks = world.batch(&lines(&|_| "read".to_owned()));
        for (((verb, path), said), (happened, look)) in
            questions.iter().zip(&said).zip(happened.iter().zip(&looks))
        {
            let mut allowed = happened["ok"] == true;
            // Reading and executing a stub works, and is not reading or executing the program.
            if *verb != "write" && look["stub"] == true {
                allowed = false;
            }
            let because = said["because"].as_str().unwrap();
            if *verb != "write" && because.contains("hidden") {
                assert!(look["ok"] != true || look["bytes"] == 0, "{path}: {look}");
                allowed = false;
            }
            // Whether the bytes are a program is not asked.
            if *verb == "exec" && happened["name"] == "ENOEXEC" {
                allowed = true;
            }
            tally.add(
                &options[1..].join(" "),
                verb,
                path,
                said,
                allowed,
                &serde_json::json!([happened, look]),
            );
        }
    }
    tally.end(SEED, &["read", "write", "exec"], 8);
}

/// What a caller may have, some of it with a value that looks like a credential.
const VARIABLES: [(&str, &str); 32] = [
    (
        "ANTHROPIC_API_KEY",
        "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
    ),
    ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "1000"),
    ("CLAUDE_CODE_SSE_PORT", "1234"),
    ("CLAUDE_CONFIG_DIR", "/nowhere"),
    (
        "OPENAI_API_KEY",
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789abcd",
    ),
    ("CODEX_HOME", "/nowhere"),
    ("GEMINI_API_KEY", "AIzaSyA0123456789abcdefghijklmnopqrstuv"),
    ("GOOGLE_CLOUD_PROJECT", "x"),
    ("OPENCODE_CONFIG", "x"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ),
    ("AWS_PROFILE", "production"),
    ("GITHUB_TOKEN", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("LC_ALL", "C.UTF-8"),
    ("LC_ODD", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("TERM", "xterm"),
    ("COLORTERM", "truecolor"),
    ("EDITOR", "vi"),
    ("CI", "true"),
    ("NODE_OPTIONS", "--max-old-space-size=100"),
    ("NODE_ENV", "test"),
    ("PYTHONPATH", "/x"),
    ("GIT_AUTHOR_NAME", "x"),
    ("GIT_SSH_COMMAND", "ssh"),
    ("GIT_CONFIG_PARAMETERS", "x"),
    ("BASH_ENV", "/x"),
    ("SSH_AUTH_SOCK", "/run/x"),
    ("DISPLAY", ":0"),
    ("TMPDIR", "/nowhere"),
    ("OLDPWD", "/"),
    ("MY_APP_MODE", "x"),
    ("MY_APP_TOKEN", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("RUST_LOG", "debug"),
];

const ENV_PROFILES: [&str; 3] = [
    "[env]\nkeep = [\"MY_APP_*\", \"AWS_PROFILE\"]\n",
    "[env]\ndeny = [\"LC_*\", \"CI\", \"MY_*\"]\nset = { NODE_ENV = \"box\", NEW_ONE = \"1\" }\n",
    "[env]\nkeep = [\"MY_APP_TOKEN\", \"GIT_*\", \"BASH_ENV\"]\ndeny = [\"RUST_*\", \"TERM\"]\n",
];

#[test]
fn variables_are_as_why_says() {
    if missing(Feature::Userns) {
        return;
    }
    let mut dice = Dice::new(SEED + 1);
    let mut tally = Tally::default();
    for round in 0..9 {
        let extends = PROFILES[round % PROFILES.len()];
        let own = ENV_PROFILES[round % ENV_PROFILES.len()];
        let mut world = TestBox::new().file("p.toml", format!("extends = [\"{extends}\"]\n{own}"));
        let profile = world.fill("{t}/p.toml");
        world = world.option("--profile").option(&profile);
        for (name, value) in VARIABLES.iter().filter(|_| dice.below(4) > 0) {
            world = world.env(name, value);
        }
        let mut options = vec!["--net=none".to_owned(), "--profile".into(), profile];
        for (name, _) in dice.some(&VARIABLES, 10) {
            let option = match dice.below(2) {
                _ if *name == "OLDPWD" => continue,
                0 => format!("--env={name}"),
                _ => format!("--env={name}=given"),
            };
            options.push(option.clone());
            world = world.option(&option);
        }
        let env = world.probe("env").allowed()["env"].clone();
        let names = VARIABLES.iter().map(|(name, _)| *name);
        let own = [
            "NEW_ONE",
            "PATH",
            "HOME",
            "USER",
            "SHELL",
            "PWD",
            "LANG",
            "AGENTBOX",
            "AGENTBOX_SESSION",
            "IS_SANDBOX",
            "NEVER",
        ];
        for name in names.chain(own) {
            let said = why(&world, &options, "env", name);
            // Asked for as if it were set: there is nothing in the box to compare that with.
            if said["because"]
                .as_str()
                .unwrap()
                .contains("the caller has not set it")
                && env[name].is_null()
            {
                continue;
            }
            let about = options[1..].join(" ") + " " + own_first_line(&world);
            tally.add(&about, "env", name, &said, !env[name].is_null(), &env[name]);
        }
    }
    tally.end(SEED + 1, &["env"], 60);
}

fn own_first_line(world: &TestBox) -> &'static str {
    let text = std::fs::read_to_string(world.root().join("p.toml")).unwrap();
    ENV_PROFILES
        .iter()
        .find(|own| text.contains(**own))
        .map_or("", |own| own.lines().nth(1).unwrap_or(""))
}

/// A server of the host that says `REACHED` to whoever asks.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        for mut stream in listener.incoming().flatten() {
            common::helper(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nREACHED",
                );
            });
        }
    });
    port
}

#[test]
fn connections_are_as_why_says() {
    if missing(Feature::Userns) {
        return;
    }
    let mut dice = Dice::new(SEED + 2);
    let mut tally = Tally::default();
    let ports = [server(), server()];
    let names = ["a.test", "b.test", "x.b.test", "deep.x.b.test", "c.test"];
    for round in 0..12 {
        let (p, q) = (ports[0], ports[1]);
        let pool = [
            format!("allow \"a.test:{p}+private\""),
            format!("allow \"a.test:{p},{q}+private\""),
            format!("allow \"a.test:{q}\""),
            format!("allow \"*.b.test:{p}+private\""),
            format!("allow \"b.test:{p},{q}+private\""),
            format!("allow \"c.test:{q}+private\""),
            format!("allow \"0.0.0.0/0:{p}\""),
            "allow \"c.test\"".to_owned(),
            "deny \"a.test\"".to_owned(),
            "deny \"*.x.b.test\"".to_owned(),
            format!("deny \"b.test:{q}\""),
            format!("host {p}"),
        ];
        let rules = dice.some(&pool, 2);
        let list = |word: &str| -> String {
            let rules = rules.iter().filter_map(|rule| rule.strip_prefix(word));
            rules.collect::<Vec<_>>().join(",")
        };
        let mode = [
            "filtered", "filtered", "filtered", "filtered", "none", "host",
        ][round % 6];
        let hosts: String = names
            .iter()
            .map(|name| format!("\"{name}\" = \"127.0.0.1\"\n"))
            .collect();
        let text = format!(
            "extends = [\"shell\"]\n[network]\nallow = [{}]\ndeny = [{}]\nhost-ports = [{}]\n[network.hosts]\n{hosts}",
            list("allow "),
            list("deny "),
            list("host "),
        );
        let world = TestBox::new().net(mode).file("p.toml", &text);
        let profile = world.fill("{t}/p.toml");
        let world = world.option("--profile").option(&profile);
        let options = vec![format!("--net={mode}"), "--profile".into(), profile];
        let mut questions = Vec::new();
        for port in ports {
            let own = ["127.0.0.1", "localhost", "host.agentbox.internal", "[::1]"];
            let far = ["nobody.test", "192.0.2.1", "10.0.0.1", "169.254.169.254"];
            let open = rules.iter().any(|rule| rule.contains("0.0.0.0/0"));
            for host in names.iter().chain(&own).chain(&far) {
                // The host's own names are not in a box with the host's network, and nothing outside is asked.
                // And nobody is where a granted network leads.
                let skip = mode == "host" && !["127.0.0.1", "localhost"].contains(host)
                    || open && ["192.0.2.1", "10.0.0.1"].contains(host);
                // These servers of the host are on 127.0.0.1 alone.
                if !(skip || *host == "[::1]" && mode == "host") {
                    questions.push((*host, port));
                }
            }
        }
        let lines: Vec<String> = questions
            .iter()
            .map(|(host, port)| format!("reach {host} {port}"))
            .collect();
        let happened = world.batch(&lines);
        for ((host, port), happened) in questions.iter().zip(&happened) {
            let said = why(&world, &options, "connect", &format!("{host}:{port}"));
            let reached = happened["text"]
                .as_str()
                .is_some_and(|text| text.contains("REACHED"));
            tally.add(
                &format!("{mode} {rules:?}"),
                "connect",
                &format!("{host}:{port}"),
                &said,
                reached,
                happened,
            );
        }
    }
    tally.end(SEED + 2, &["connect"], 25);
}
