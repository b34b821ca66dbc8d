//! What an agent leaves in its own settings must not run outside at its next start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Live, Ran, TestBox, run};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

/// The agent of that name is a script: the profile is chosen by the name.
fn agent(b: TestBox, name: &str, script: &str) -> (TestBox, Ran) {
    let script = b.fill(script);
    let b = b.script(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}"));
    let program = b.root().join("bin").join(name);
    let ran = b.run([program]);
    (b, ran)
}

/// The same agent in another working copy.
fn agent_in(b: TestBox, name: &str, dir: &str) -> (TestBox, Ran) {
    let program = b.root().join("bin").join(name).display().to_string();
    let dir = b.root().join(dir).display().to_string();
    let ran = run(b.agentbox(["run", "--net", "none", "-C", &dir, "--", &program]));
    (b, ran)
}

/// Writes to every place of its own directory from which something is executed or allowed outside.
const POISON: &str = "for f in {places}; do mkdir -p $(dirname $f); echo POISON > $f; done; true";

/// Everything below a directory of the host that holds the poison.
fn poisoned(b: &TestBox, dir: &str) -> Vec<String> {
    fn walk(dir: &std::path::Path, found: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                walk(&path, found);
            } else if fs::read_to_string(&path).is_ok_and(|text| text.contains("POISON")) {
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(&b.home().join(dir), &mut found);
    found
}

/// Returns the box with files of the user's in all places, in which the agent has been.
fn nothing_arrives(name: &str, dir: &str, places: &[&str]) -> TestBox {
    let places: Vec<String> = places
        .iter()
        .map(|p| format!("{{home}}/{dir}/{p}"))
        .collect();
    let script = POISON.replace("{places}", &places.join(" "));
    // Once with nothing there, once with a file of the user's in each place.
    let (b, ran) = agent(TestBox::new(), name, &script);
    ran.ok();
    assert_eq!(poisoned(&b, dir), Vec::<String>::new());
    let mut b = TestBox::new();
    for place in &places {
        let place = place.replace("{home}", "home");
        b = b.file(&place, "of the user");
    }
    let (b, ran) = agent(b, name, &script);
    ran.ok();
    assert_eq!(poisoned(&b, dir), Vec::<String>::new());
    b
}

#[test]
fn claude_leaves_nothing_that_runs() {
    let places = [
        "settings.json",
        "settings.local.json",
        "CLAUDE.md",
        "hooks/x.sh",
        "commands/x.md",
        "agents/x.md",
        "skills/x/SKILL.md",
        "plugins/x/hooks.json",
        "local/claude",
        "shell-snapshots/x.sh",
        "session-env/x/hook.sh",
        "statusline.sh",
        "anything-new",
    ];
    nothing_arrives("claude", ".claude", &places);
    // The twin: sessions of this working copy do.
    let b = TestBox::new();
    let session = format!(".claude/projects/{}/session.jsonl", project(&b));
    let (b, ran) = agent(b, "claude", &format!("echo STATE > ~/{session}"));
    ran.ok();
    let kept = fs::read_to_string(b.home().join(session)).unwrap();
    assert_eq!(kept, "STATE\n");
}

/// How Claude Code calls the directory of this working copy.
fn project(b: &TestBox) -> String {
    let of = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    b.ws().to_string_lossy().chars().map(of).collect()
}

/// What was typed, pasted, edited and answered in every other project was in each box, to be read (it holds what tools printed),
/// and the memory and plans of each to be written: instructions to the next session there.
#[test]
fn nothing_of_other_projects_is_in_an_agents_box() {
    let others = [
        "projects/-srv-other/s.jsonl",
        "projects/-srv-other/memory/MEMORY.md",
        "file-history/0b1c/x@v1",
        "paste-cache/ab.txt",
        "plans/theirs.md",
        "tasks/0b1c/1.json",
        "todos/0b1c.json",
        "history.jsonl",
    ];
    let mut b = TestBox::new();
    for other in others {
        b = b.file(&format!("home/.claude/{other}"), "CANARY");
    }
    let own = project(&b);
    let b = b.file(&format!("home/.claude/projects/{own}/own.jsonl"), "OWN");
    let beside = format!("home/.claude/projects/{own}-beside/s.jsonl");
    let b = b.file(&beside, "CANARY");
    let script = format!(
        "cd ~/.claude; cat projects/{own}/own.jsonl; grep -rl CANARY . ~/.local; \
         for f in {} projects/{own}-beside/s.jsonl; do mkdir -p $(dirname $f); echo POISON > $f; done; true",
        others.join(" ")
    );
    let (b, ran) = agent(b, "claude", &script);
    assert_eq!(ran.ok(), "OWN");
    assert_eq!(poisoned(&b, ".claude"), Vec::<String>::new());
    for other in others
        .map(|o| format!("home/.claude/{o}"))
        .iter()
        .chain([&beside])
    {
        let text = fs::read_to_string(b.root().join(other)).unwrap();
        assert_eq!(text, "CANARY", "{other}");
    }
    // The twins: this working copy's are there the next time, and in a box of another they are not.
    let script = "cat ~/.claude/history.jsonl ~/.claude/plans/theirs.md";
    let (b, ran) = agent(b, "claude", script);
    assert_eq!(ran.ok(), "POISON\nPOISON");
    let script = "ls -A ~/.claude/plans ~/.claude/tasks; cat ~/.claude/history.jsonl; ls -A ~/.local/share/agentbox/private-of";
    let b = b
        .dir("home/second")
        .script("bin/claude", &format!("#!/bin/sh\n{script}"));
    let (_, ran) = agent_in(b, "claude", "home/second");
    let text = ran.text();
    assert!(text.contains("claude@"), "{ran:?}");
    assert_eq!(text.matches("claude@").count(), 1, "{ran:?}");
    assert!(
        !text.contains("theirs") && !text.contains("0b1c"),
        "{ran:?}"
    );
}

/// Who wants all projects in the box says so, and a grant of one's own is no error.
#[test]
fn a_grant_of_the_users_shows_all_projects() {
    let read = "cat ~/.claude/projects/-srv-other/s.jsonl ~/.claude/history.jsonl";
    for (flag, place, both) in [
        ("--write", "{home}/.claude", true),
        ("--write", "{home}/.claude/projects", false),
        ("--read", "{home}/.claude/projects", false),
    ] {
        let b = TestBox::new()
            .file("home/.claude/projects/-srv-other/s.jsonl", "THEIRS")
            .file("home/.claude/history.jsonl", "TYPED")
            .script("bin/claude", &format!("#!/bin/sh\n{read}"));
        let program = b.root().join("bin/claude").display().to_string();
        let place = b.fill(place);
        let ran = run(b.agentbox(["run", "--net", "none", flag, &place, "--", &program]));
        assert!(ran.text().contains("THEIRS"), "{place}: {ran:?}");
        assert_eq!(ran.text().contains("TYPED"), both, "{place}: {ran:?}");
    }
}

/// `/w/a/b` is called as `/w/a-b` is, and a box of `/w/a` had the sessions of that one at its next start, when it had made `/w/a/b` a
/// repository and named that in a `.git` of its own: for the main work tree of a linked one.
#[test]
fn a_repository_that_the_box_made_is_not_the_main_one() {
    let b = TestBox::new();
    let beside = format!("home/.claude/projects/{}-b/memory/MEMORY.md", project(&b));
    let b = b.file(&beside, "CANARY");
    let (b, ran) = agent(b, "claude", "git init -q b && echo gitdir: b/.git > .git");
    ran.ok();
    let script = "git rev-parse --git-dir && cat ~/.claude/projects/*/memory/MEMORY.md";
    let (_, ran) = agent(b, "claude", script);
    assert!(ran.text().contains("b/.git"), "{ran:?}");
    assert!(!ran.text().contains("CANARY"), "{ran:?}");
    // The twin: where the host has made the work tree.
    let b = TestBox::new();
    let main = b.root().join("home/main");
    let b = b.dir("home/main");
    let key = main
        .to_string_lossy()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let b = b.file(
        &format!("home/.claude/projects/{key}/memory/MEMORY.md"),
        "OF MAIN",
    );
    b.on_host(&format!(
        "git init -q {main}; git -C {main} -c user.name=a -c user.email=a@b commit -q --allow-empty -m one; \
         git -C {main} worktree add -q -f {ws}",
        main = main.display(),
        ws = b.ws().display()
    )).ok();
    let (_, ran) = agent(b, "claude", "cat ~/.claude/projects/*/memory/MEMORY.md");
    assert_eq!(ran.ok(), "OF MAIN");
}

/// `--write ~/.claude/plans`, a profile of the user's with `~/.claude/projects/`: each start was refused, since a place that was
/// granted could not be the working copy's own.
#[test]
fn what_the_human_gives_of_an_agents_memory_is_given() {
    for (option, place) in [
        ("--write", "plans"),
        ("--read", "projects"),
        ("--write", "history.jsonl"),
    ] {
        let file = match place {
            "history.jsonl" => place.to_owned(),
            dir => format!("{dir}/x/y.md"),
        };
        let b = TestBox::new().file(&format!("home/.claude/{file}"), "GIVEN");
        let b = b
            .option(option)
            .option(&format!("{{home}}/.claude/{place}"));
        let (b, ran) = agent(b, "claude", &format!("cat ~/.claude/{file}"));
        assert_eq!(ran.ok(), "GIVEN", "{option} {place}");
        // The twin: what is not given.
        let b = b.file("home/.claude/todos/x.json", "CANARY");
        let (_, ran) = agent(b, "claude", "ls ~/.claude/todos");
        assert_eq!(ran.ok(), "", "{option} {place}");
    }
}

/// `~/.claude/projects -> ~/synced`: sessions went into a place of the box's own, and those of the host were not there.
#[test]
fn sessions_are_the_hosts_where_their_directory_is_a_link() {
    let b = TestBox::new();
    let own = project(&b);
    let b = b
        .file(&format!("home/synced/{own}/s.jsonl"), "OWN")
        .file("home/synced/-srv-other/s.jsonl", "CANARY")
        .dir("home/.claude");
    std::os::unix::fs::symlink("../synced", b.home().join(".claude/projects")).unwrap();
    let script = format!("cd ~/.claude/projects; cat ./*/s.jsonl; echo NEW > ./{own}/new.jsonl");
    let (b, ran) = agent(b, "claude", &script);
    assert_eq!(ran.ok(), "OWN");
    let new = fs::read_to_string(b.home().join("synced").join(&own).join("new.jsonl"));
    assert_eq!(new.unwrap(), "NEW\n");
}

/// Two boxes of one repository, one of them started in a directory of it: the sessions' directory of that one is an empty directory
/// to the other, which took the mount from under it by removing that.
#[test]
fn a_box_does_not_take_the_sessions_of_the_one_beside_it_away() {
    let b = TestBox::new()
        .file("{ws}/.git/HEAD", "ref: refs/heads/main\n")
        .dir("{ws}/.git/objects")
        .dir("{ws}/.git/refs")
        .dir("{ws}/sub")
        .script("bin/claude", "#!/bin/sh\neval \"$1\"");
    let program = b.root().join("bin/claude").display().to_string();
    let key = format!("{}-sub", project(&b));
    let started = |dir: &str, script: &str| {
        let mut command = b.agentbox(["run", "-q", "--net", "none", "--", &program, script]);
        command.current_dir(b.ws().join(dir));
        command
    };
    let script = format!("echo ready; read x; echo KEPT > ~/.claude/projects/{key}/s.jsonl");
    let mut first = started("sub", &script);
    first.stdin(std::process::Stdio::piped());
    let mut first = Live::start(first);
    first.wait_line("ready");
    let script = format!("cd ~/.claude/projects && mkdir ./own && rmdir ./own && rmdir ./{key}");
    let ran = run(started(".", &script));
    assert!(ran.complaint().contains("not empty"), "{ran:?}");
    first.stdin().write_all(b"go\n").unwrap();
    first.end().ok();
    let kept = fs::read_to_string(b.home().join(".claude/projects").join(&key).join("s.jsonl"));
    assert_eq!(kept.unwrap(), "KEPT\n");
}

/// The same of Codex's, Gemini CLI's and opencode's, which are the box's own: a box read and wrote what one of another project had.
#[test]
fn sessions_of_a_box_are_not_in_one_of_another_project() {
    for (name, place) in [
        ("codex", ".codex/sessions/2026/x.jsonl"),
        ("codex", ".codex/history.jsonl"),
        ("gemini", ".gemini/tmp/x/logs.json"),
        ("opencode", ".local/share/opencode/storage/x.json"),
        ("copilot", ".copilot/session-state/x/events.jsonl"),
        ("goose", ".local/share/goose/sessions/sessions.db"),
        ("cursor-agent", ".cursor/chats/x/store.db"),
        ("qwen", ".qwen/tmp/x/logs.json"),
    ] {
        let b = TestBox::new().file(&format!("home/{place}"), "of the host");
        let leave = format!("mkdir -p $(dirname ~/{place}); cat ~/{place}; echo MINE > ~/{place}");
        let (b, ran) = agent(b, name, &leave);
        assert!(!ran.text().contains("of the host"), "{name}: {ran:?}");
        let host = fs::read_to_string(b.home().join(place)).unwrap();
        assert_eq!(host, "of the host", "{name}");
        let (b, ran) = agent(b, name, &format!("cat ~/{place}"));
        assert_eq!(ran.ok(), "MINE", "{name}");
        let (_, ran) = agent_in(b.dir("home/second"), name, "home/second");
        assert!(ran.complaint().contains("No such file"), "{name}: {ran:?}");
    }
}

#[test]
fn codex_leaves_nothing_that_runs() {
    let places = [
        "config.toml",
        "AGENTS.md",
        "prompts/x.md",
        "rules/default.rules",
        "hooks.json",
        "skills/x/SKILL.md",
        ".env",
        "packages/x",
        "anything-new",
        // `codex resume` takes approvals and sandbox from it: a session of a box went on outside with full access.
        "sessions/2026/x.jsonl",
        "archived_sessions/x.jsonl",
    ];
    let b = nothing_arrives("codex", ".codex", &places);
    // The twin: its sessions are in a place of the box's own, and there the next time.
    let (b, ran) = agent(b, "codex", "cat ~/.codex/sessions/2026/x.jsonl");
    assert_eq!(ran.ok(), "POISON");
    drop(b);
}

#[test]
fn gemini_leaves_nothing_that_runs() {
    let places = [
        "settings.json",
        "GEMINI.md",
        ".env",
        "commands/x.toml",
        "extensions/x/gemini-extension.json",
        "skills/x/SKILL.md",
        "policies/x.toml",
        "trustedFolders.json",
        "projects.json",
        "tmp/bin/rg",
        "history/x/.git/config",
        "anything-new",
    ];
    let dir = ".gemini";
    let list: Vec<String> = places
        .iter()
        .map(|p| format!("{{home}}/{dir}/{p}"))
        .collect();
    let script = POISON.replace("{places}", &list.join(" "));
    let (b, ran) = agent(TestBox::new(), "gemini", &script);
    ran.ok();
    assert_eq!(poisoned(&b, dir), Vec::<String>::new());
    // Its sessions are in a place of the box's own, and there the next time.
    let (b, ran) = agent(b, "gemini", "cat ~/.gemini/tmp/bin/rg");
    assert_eq!(ran.ok(), "POISON");
    drop(b);
}

#[test]
fn opencode_leaves_nothing_that_runs() {
    let places = [
        "bin/rg",
        "snapshot/x/config",
        "worktree/x/f",
        "opencode.db",
        "opencode-beta.db",
        "storage/project/x.json",
        "plans/x.md",
        "auth.json",
        "anything-new",
    ];
    let list: Vec<String> = places
        .iter()
        .map(|p| format!("{{home}}/.local/share/opencode/{p}"))
        .collect();
    let script = POISON.replace("{places}", &list.join(" "));
    let (b, ran) = agent(TestBox::new(), "opencode", &script);
    ran.ok();
    assert_eq!(poisoned(&b, ".local/share/opencode"), Vec::<String>::new());
    // Its sessions are in a place of the box's own, and there the next time.
    let script = "cd ~/.local/share/opencode && echo SESSIONS > $OPENCODE_DB";
    let (b, ran) = agent(b, "opencode", script);
    ran.ok();
    let script = "cd ~/.local/share/opencode && cat $OPENCODE_DB bin/rg";
    let (b, ran) = agent(b, "opencode", script);
    assert_eq!(ran.ok(), "SESSIONS\nPOISON");
    drop(b);
    let places = [
        "opencode.json",
        "plugin/x.js",
        "plugins/x.js",
        "tool/x.ts",
        "command/x.md",
        "agent/x.md",
        "node_modules/x/index.js",
        "AGENTS.md",
    ];
    let list: Vec<String> = places
        .iter()
        .map(|p| format!("{{home}}/.config/opencode/{p}"))
        .collect();
    let script = POISON.replace("{places}", &list.join(" "));
    let (b, ran) = agent(TestBox::new(), "opencode", &script);
    ran.ok();
    assert_eq!(poisoned(&b, ".config/opencode"), Vec::<String>::new());
}

#[test]
fn claude_settings_come_back_without_what_runs() {
    let b = TestBox::new().file("home/.claude/settings.json", "{\"theme\": \"dark\"}");
    let new = "{\"theme\": \"light\", \"env\": {\"A\": \"b\"}, \"apiKeyHelper\": \"x\", \
               \"hooks\": {\"Stop\": []}, \"permissions\": {\"allow\": [\"*\"]}}";
    let (b, ran) = agent(
        b,
        "claude",
        &format!("cat ~/.claude/settings.json; echo '{new}' > ~/.claude/settings.json"),
    );
    assert_eq!(ran.ok(), "{\"theme\": \"dark\"}");
    let text = fs::read_to_string(b.home().join(".claude/settings.json")).unwrap();
    assert!(text.contains("light"), "{text}");
    for word in ["env", "apiKeyHelper", "hooks", "permissions"] {
        assert!(!text.contains(word), "{text}");
    }
}

/// `processWrapper` is a program that claude puts before its own background processes, `gemmaModelRouter.binaryPath` one that
/// gemini starts; both were missing in the list of names that do not travel.
#[test]
fn settings_that_run_under_a_new_name_do_not_come_back() {
    for (name, dir, file, boxed) in [
        (
            "claude",
            ".claude",
            "settings.json",
            r#"{"theme": "light", "processWrapper": ["/tmp/x"], "additionalMarketplaces": {"m": {}}, "crossSessionInbound": "accept"}"#,
        ),
        (
            "gemini",
            ".gemini",
            "settings.json",
            r#"{"ui": {"theme": "light"}, "experimental": {"gemmaModelRouter": {"binaryPath": "/tmp/x", "autoStartServer": true}}}"#,
        ),
        (
            "claude",
            "",
            ".claude.json",
            r#"{"theme": "light", "cachedFeatureFlags": {"tengu": true}, "clientDataCacheSlots": {"a": {}}, "someWrapper": "/tmp/x"}"#,
        ),
    ] {
        let path = PathBuf::from(dir).join(file);
        let b = TestBox::new().file(
            &format!("home/{}", path.display()),
            r#"{"theme": "dark", "ui": {"theme": "dark"}}"#,
        );
        let script = format!("echo '{boxed}' > ~/{}", path.display());
        let (b, ran) = agent(b, name, &script);
        ran.ok();
        let text = fs::read_to_string(b.home().join(&path)).unwrap();
        assert!(text.contains("light"), "{name}: {text}");
        for word in [
            "/tmp/x",
            "additionalMarketplaces",
            "crossSessionInbound",
            "autoStartServer",
            "cachedFeatureFlags",
            "clientData",
        ] {
            assert!(!text.contains(word), "{name}: {text}");
        }
    }
}

/// opencode loads settings, plugins and MCP servers from the URL of a login `wellknown` at its next start, without a question.
#[test]
fn opencode_logins_that_bring_settings_do_not_come_back() {
    let b = TestBox::new().file(
        "home/.local/share/opencode/auth.json",
        r#"{"anthropic": {"type": "api", "key": "old"}}"#,
    );
    let new = r#"{"anthropic": {"type": "api", "key": "new"}, "https://evil.example": {"type": "wellknown", "key": "A", "token": "b"},
        "https\u003aevil.example": {"type": "wellknown", "key": "A", "token": "b"},
        "github-copilot": {"type": "oauth", "refresh": "r", "access": "a", "expires": 1, "enterpriseUrl": "evil.example"}}"#;
    let script = format!(
        "cat ~/.local/share/opencode/auth.json; cat > ~/.local/share/opencode/auth.json <<'E'\n{new}\nE"
    );
    let (b, ran) = agent(b, "opencode", &script);
    assert!(ran.ok().contains("old"));
    let text = fs::read_to_string(b.home().join(".local/share/opencode/auth.json")).unwrap();
    assert!(
        text.contains("\"new\"") && text.contains("github-copilot"),
        "{text}"
    );
    assert!(
        !text.contains("evil") && !text.contains("wellknown"),
        "{text}"
    );
}

/// The name of a project's directory may be `../../x`: outside, gemini would keep its checkpoints in a repository of the box's.
#[test]
fn gemini_names_of_projects_do_not_come_back() {
    let b = TestBox::new().file("home/.gemini/state.json", r#"{"tips": 1}"#);
    let script = r#"echo '{"projects": {"/x": "../../evil"}}' > ~/.gemini/projects.json; echo '{"tips": 2}' > ~/.gemini/state.json"#;
    let (b, ran) = agent(b, "gemini", script);
    ran.ok();
    assert!(!b.home().join(".gemini/projects.json").exists());
    // The twin: other state does.
    let state = fs::read_to_string(b.home().join(".gemini/state.json")).unwrap();
    assert!(state.contains('2'), "{state}");
}
