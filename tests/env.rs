//! The environment: built from nothing, and credentials only by their exact name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{COMMITTER, Errno, TestBox, bytes, has_bytes, run};
use serde_json::{Value, json};

fn env(b: &TestBox) -> Value {
    b.probe("env").allowed()["env"].clone()
}

#[test]
fn what_a_program_needs_is_there() {
    let b = TestBox::new()
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "Europe/Berlin")
        .env("COLORTERM", "truecolor")
        .env("EDITOR", "vi")
        .env("NO_COLOR", "1")
        .env("CI", "true");
    let env = env(&b);
    let (home, user) = (b.home(), env["USER"].clone());
    assert_eq!(env["HOME"], home.display().to_string());
    assert_eq!(env["USER"], env["LOGNAME"]);
    assert!(user.is_string(), "{env}");
    for (name, value) in [
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "Europe/Berlin"),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("EDITOR", "vi"),
        ("NO_COLOR", "1"),
        ("CI", "true"),
        ("AGENTBOX", "1"),
    ] {
        assert_eq!(env[name], value, "{name}");
    }
    assert!(env["PATH"].as_str().unwrap().contains("/usr/bin"), "{env}");
}

/// Names that people export, and values that look like what they are.
const SECRETS: [(&str, &str); 24] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ),
    ("AWS_SESSION_TOKEN", "FwoGZXIvYXdzE"),
    ("AWS_PROFILE", "production"),
    ("GITHUB_TOKEN", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("GH_TOKEN", "github_pat_11AAAAAAA0abcdefghij_xyz"),
    ("GITLAB_TOKEN", "glpat-abcdefghij0123456789"),
    ("NPM_TOKEN", "npm_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("DATABASE_URL", "postgres://admin:hunter2@prod/db"),
    ("REDIS_URL", "redis://:hunter2@prod:6379"),
    ("SLACK_TOKEN", "xoxb-123456789012-abcdef"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/home/x/key.json"),
    ("KUBECONFIG", "/home/x/.kube/config"),
    ("VAULT_TOKEN", "hvs.abcdef"),
    ("TF_TOKEN_app_terraform_io", "abc.atlasv1.def"),
    ("TF_VAR_db_password", "hunter2"),
    ("PULUMI_ACCESS_TOKEN", "pul-abcdef"),
    ("ARM_CLIENT_SECRET", "abc~def"),
    ("DOCKER_AUTH_CONFIG", "{\"auths\":{}}"),
    ("HEROKU_API_KEY", "01234567-89ab-cdef"),
    ("CARGO_REGISTRY_TOKEN", "cioabcdef"),
    ("SSH_PRIVATE_KEY", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ("STRIPE_SECRET_KEY", "sk_live_abcdefghij"),
    ("SOME_UNKNOWN_NAME", "whatever"),
];

fn with_secrets() -> TestBox {
    SECRETS
        .iter()
        .fold(TestBox::new(), |b, (name, value)| b.env(name, value))
}

#[test]
fn credentials_do_not_come_in() {
    let b = with_secrets();
    let outside = b.command(["true"]);
    assert!(
        outside
            .get_envs()
            .any(|(n, _)| n == "AWS_SECRET_ACCESS_KEY"),
        "the twin"
    );
    let inside = env(&b);
    for (name, value) in SECRETS {
        assert!(inside[name].is_null(), "{name} came in");
        assert!(
            !inside.to_string().contains(value) || value == "whatever",
            "{name} came in under another name"
        );
    }
}

/// Nor by any other file of /proc.
#[test]
fn credentials_are_in_no_file_of_proc() {
    let b = with_secrets();
    let ran =
        b.sh("cat /proc/*/environ /proc/*/cmdline /proc/*/task/*/environ 2>/dev/null; env; exit 0");
    for (name, value) in SECRETS {
        assert!(
            !has_bytes(&ran.stdout, value.as_bytes()) || value == "whatever",
            "{name}: {ran:?}"
        );
    }
}

/// A pattern lets a name in, but not a value that looks like a credential; the exact name does.
#[test]
fn a_pattern_does_not_pass_a_credential() {
    let values = [
        ("KEY_AWS", "AKIAIOSFODNN7EXAMPLE"),
        ("KEY_GITHUB", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        (
            "KEY_PAT",
            "github_pat_11AAAAAAA0abcdefghijkl_abcdefghijklmnopqrstuvwxyz",
        ),
        ("KEY_SLACK", "xoxb-123456789012-1234567890123-abcdefghij"),
        (
            "KEY_OPENAI",
            "sk-abcdefghijklmnopqrstuvwxyz0123456789abcdefghij",
        ),
        (
            "KEY_PEM",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        ),
        (
            "KEY_JWT",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        ),
        ("KEY_URL", "postgres://admin:hunter2@db.example.com/prod"),
    ];
    let text = "extends = [\"shell\"]\n[env]\nkeep = [\"KEY_*\"]\n";
    let b = values
        .iter()
        .fold(TestBox::new().profile(text), |b, (n, v)| b.env(n, v))
        .env("KEY_PLAIN", "harmless");
    let inside = env(&b);
    assert_eq!(inside["KEY_PLAIN"], "harmless", "the twin");
    for (name, _) in values {
        assert!(inside[name].is_null(), "{name} came in by a pattern");
    }
    let exact = values.iter().fold(TestBox::new(), |b, (n, v)| {
        b.env(n, v).option("--env").option(n)
    });
    let inside = env(&exact);
    for (name, value) in values {
        assert_eq!(inside[name], value, "{name} by its exact name");
    }
}

#[test]
fn names_are_said_and_values_never() {
    let b = with_secrets()
        .option("--env")
        .option("GIVEN=value-of-given");
    let ran = b.run(["true"]);
    ran.ok();
    assert!(
        ran.complaint().contains("AWS_SECRET_ACCESS_KEY"),
        "what was stripped is said: {ran:?}"
    );
    let explained = common::run(b.agentbox([
        "explain",
        "--net",
        "none",
        "--env",
        "GIVEN=value-of-given",
        "--",
        "true",
    ]));
    let json = common::run(b.agentbox([
        "explain",
        "--json",
        "--net",
        "none",
        "--env",
        "GIVEN=value-of-given",
        "--",
        "true",
    ]));
    explained.ok();
    json.ok();
    for text in [
        &ran.stderr,
        &explained.stdout,
        &explained.stderr,
        &json.stdout,
    ] {
        for (name, value) in SECRETS {
            assert!(
                !has_bytes(text, value.as_bytes()) || value == "whatever",
                "the value of {name} is shown"
            );
        }
        assert!(
            !has_bytes(text, b"value-of-given"),
            "the value of --env is shown: {}",
            String::from_utf8_lossy(text)
        );
    }
    assert!(
        has_bytes(&explained.stdout, b"AWS_SECRET_ACCESS_KEY"),
        "{explained:?}"
    );
}

#[test]
fn values_of_the_command_line() {
    let b = TestBox::new()
        .env("CALLERS", "its value")
        .option("--env")
        .option("CALLERS")
        .option("--env")
        .option("SET=a=b c");
    let inside = env(&b);
    assert_eq!(inside["CALLERS"], "its value");
    assert_eq!(inside["SET"], "a=b c");
    let b = TestBox::new()
        .option("--env")
        .option("EMPTY=")
        .env("KEPT_EMPTY", "")
        .option("--env")
        .option("KEPT_EMPTY");
    assert_eq!(
        b.sh("printf '%s|%s|' \"${EMPTY-unset}\" \"${KEPT_EMPTY-unset}\"")
            .ok(),
        "||"
    );
}

#[test]
fn bytes_pass_unchanged() {
    let b = TestBox::new()
        .env("ODD", bytes(b"\xff\xfe=\n x"))
        .option("--env")
        .option("ODD");
    let ran = b.sh("printf %s \"$ODD\"");
    ran.ok();
    assert_eq!(ran.stdout, b"\xff\xfe=\n x");
}

/// Variables that make the loader, shells and languages run something else.
#[test]
fn variables_that_run_things() {
    let names = [
        "LD_PRELOAD",
        "LD_AUDIT",
        "BASH_ENV",
        "ENV",
        "PYTHONSTARTUP",
        "PERL5OPT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "GIT_SSH_COMMAND",
        "PROMPT_COMMAND",
        "GCONV_PATH",
    ];
    let b = names
        .iter()
        .fold(TestBox::new(), |b, name| b.env(name, "/tmp/planted"));
    let inside = env(&b);
    for name in names {
        assert_ne!(inside[name], "/tmp/planted", "{name}");
    }
}

#[test]
fn path_has_only_what_is_visible() {
    let b = TestBox::new()
        .dir("home/bin")
        .env("PATH", "relative:/no/such/dir:/usr/bin::/bin:.");
    let inside = env(&b);
    let path = inside["PATH"].as_str().unwrap();
    for dir in path.split(':') {
        assert!(dir.starts_with('/'), "{path}");
        b.probe(&format!("listdir {dir}")).allowed();
    }
    let at = |dir: &str| path.split(':').position(|d| d == dir);
    assert!(at("/usr/bin") < at("/bin"), "the caller's order: {path}");
    b.probe("listdir /no/such/dir").refused(Errno::ENOENT);
}

#[test]
fn git_signing_is_off() {
    let inside = env(&TestBox::new());
    let count: usize = inside["GIT_CONFIG_COUNT"]
        .as_str()
        .and_then(|c| c.parse().ok())
        .unwrap_or(0);
    let key = |i: usize| {
        inside[format!("GIT_CONFIG_KEY_{i}")]
            .as_str()
            .unwrap_or_default()
            .to_lowercase()
    };
    let value = |i: usize| {
        inside[format!("GIT_CONFIG_VALUE_{i}")]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        (0..count).any(|i| key(i) == "commit.gpgsign" && value(i) == "false"),
        "{inside}"
    );
}

/// Terminals of editors, of tmux and of ssh: what a program needs to draw passes, and no handle of what is outside: sockets of the
/// editor, its helper for passwords, the multiplexer, the agent of keys.
#[test]
fn a_terminal_of_an_editor_brings_no_handle_of_it() {
    let handles = [
        ("VSCODE_IPC_HOOK_CLI", "/run/user/1000/vscode-ipc-1.sock"),
        ("VSCODE_GIT_IPC_HANDLE", "/run/user/1000/vscode-git-1.sock"),
        ("VSCODE_GIT_ASKPASS_NODE", "/opt/code/node"),
        ("VSCODE_GIT_ASKPASS_MAIN", "/opt/code/askpass-main.js"),
        ("GIT_ASKPASS", "/opt/code/askpass.sh"),
        ("SSH_ASKPASS", "/opt/code/askpass.sh"),
        ("SSH_AUTH_SOCK", "/tmp/ssh-1/agent.1"),
        ("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22"),
        ("SSH_TTY", "/dev/pts/9"),
        ("TMUX", "/tmp/tmux-1000/default,1,0"),
        ("TMUX_PANE", "%1"),
        ("STY", "1.pts-0.host"),
    ];
    let looks = [
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TERM_PROGRAM", "vscode"),
    ];
    let mut b = TestBox::new();
    for (name, value) in handles.iter().chain(&looks) {
        b = b.env(name, value);
    }
    let env = env(&b);
    for (name, _) in handles {
        assert!(env[name].is_null(), "{name} came in: {env}");
    }
    for (name, value) in looks {
        assert_eq!(env[name], value, "{name}");
    }
}

/// uvx and `pipx run` could not start for whoever has used them outside: they write where tools are installed.
#[test]
fn installers_of_tools_have_a_place_of_their_own() {
    let b = TestBox::new()
        .file("home/.local/share/uv/tools/.gitignore", "*")
        .file("home/.local/share/pipx/venvs/x", "y")
        .dir("home/.local/bin");
    let ran = b.sh(
        "for dir in \"$UV_TOOL_DIR\" \"$UV_TOOL_BIN_DIR\" \"$PIPX_HOME\" \"$PIPX_BIN_DIR\"; do\n\
         mkdir -p \"$dir\" && : >\"$dir/x\" && echo made; done\n\
         for dir in ~/.local/share/uv/tools ~/.local/share/pipx ~/.local/bin; do touch $dir/x || echo kept; done",
    );
    assert_eq!(ran.ok(), "made\nmade\nmade\nmade\nkept\nkept\nkept");
}

/// A cache is a mount of its own, so nothing of it can be linked into the working copy: `uv sync` and `uv add` warned of that in three
/// lines each time.
#[test]
fn uv_does_not_try_to_link_from_its_cache() {
    let script = "mkdir ~/.cache/uv && : >~/.cache/uv/x; ln ~/.cache/uv/x x || echo copies; echo $UV_LINK_MODE";
    assert_eq!(TestBox::new().sh(script).text(), "copies\ncopy");
    // Who names another one has it.
    let named = TestBox::new()
        .option("--env")
        .option("UV_LINK_MODE=symlink");
    assert_eq!(named.sh("echo $UV_LINK_MODE").text(), "symlink");
}

/// pnpm 11 and later look whether they can link from their store, and where they cannot put another one at the top of the mount: a
/// `.pnpm-store` in the working copy of a project with its packages in `web/`, which `git add -A` took.
#[test]
fn pnpm_does_not_put_a_store_into_the_working_copy() {
    let script = "mkdir ~/.local/share/pnpm/store/v && : >~/.local/share/pnpm/store/x; ln ~/.local/share/pnpm/store/x x || \
                  echo copies; echo \"$pnpm_config_store_dir\"";
    let ran = TestBox::new().sh(script);
    assert_eq!(ran.text(), "copies\n~/.local/share/pnpm/store");
    // Who names another one has it.
    let named = TestBox::new()
        .option("--env")
        .option("pnpm_config_store_dir=/tmp/store");
    let ran = named.sh("echo $pnpm_config_store_dir");
    assert_eq!(ran.text(), "/tmp/store");
}

/// `git commit -a` and `git commit FILE` have an index of their own and a work tree always has: a check in the box that a hook started
/// looked at the usual one, saw nothing staged and passed, and its `git add` failed.
#[test]
fn a_git_hook_in_the_box_sees_the_index_of_its_commit() {
    let b = TestBox::new();
    let script =
        "git diff --cached --name-only; git diff --name-only; git show :a; git add b; echo done";
    let inner = b.command(["sh", "-c", &format!("({script}) >>seen 2>&1")]);
    let host = format!(
        "{COMMITTER} set -e; git init -q; echo one >a; git add a; git commit -qm one; git worktree add -q wt -b wt; \
         hook=.git/hooks/pre-commit; printf '#!/bin/sh\necho new >b\nexec' >$hook; printf \" '%s'\" \"$@\" >>$hook; chmod +x $hook; \
         echo two >a; git commit -qam two; git show --name-only --format=; cat seen; rm seen; echo; \
         echo three >a; git commit -qm three a; cat seen; rm seen; echo; \
         cd wt; echo four >a; git commit -qam four; git show --name-only --format=; cat seen"
    );
    let ran = run(b.through(&host, &inner));
    assert_eq!(
        ran.ok(),
        "a\nb\na\ntwo\ndone\n\na\nthree\ndone\n\na\nb\na\nfour\ndone",
        "{ran:?}"
    );
    // One that the box has not would be an empty one to git, and all files deleted.
    let b = b.env("GIT_INDEX_FILE", "../other/index").dir("other");
    assert_eq!(b.sh("git diff --cached --name-only").text(), "");
}

/// What a push brings lies in a store of its own until pre-receive has agreed: a check in the box found no such commit.
#[test]
fn a_pre_receive_hook_in_the_box_sees_what_is_pushed() {
    let b = TestBox::new();
    let inner = b.command([
        "sh",
        "-c",
        "(git show --name-only --format=%s main2; git update-ref refs/heads/x main2; git rev-parse -q --verify x; env | grep -c ^GIT_Q) >>seen 2>&1",
    ]);
    let host = format!(
        "{COMMITTER} set -e; git init -q --bare .; git init -q from; cd from; echo one >a; git add a; git commit -qm one; \
         hook=../hooks/pre-receive; printf '#!/bin/sh\nread old new ref\nexec' >$hook; printf \" '%s'\" \"$@\" >>$hook; \
         sed -i \"s/main2/'\\$new'/g\" $hook; chmod +x $hook; git push -q .. HEAD:main 2>/dev/null; cd ..; cat seen; git rev-parse -q --verify x || echo none"
    );
    let ran = run(b.through(&host, &inner));
    let said = ran.ok().replace('\'', "");
    assert!(said.starts_with("one\n\na\n"), "{ran:?}");
    assert!(
        said.contains("ref updates forbidden inside quarantine environment"),
        "{ran:?}"
    );
    assert!(said.ends_with("\n1\nnone"), "{ran:?}");
    // One that the box has not: the usual store is read, and not an empty one.
    let b = TestBox::new()
        .env("GIT_OBJECT_DIRECTORY", "../other")
        .dir("other");
    let script = "git init -q; git hash-object -w --stdin </dev/null; ls .git/objects";
    assert!(b.sh(script).text().contains("e6"), "the box's own store");
}

/// An alias for dotfiles, a script: git in the box worked on the repository of the directory, not on the one of `GIT_DIR`, and nobody
/// said so.
#[test]
fn a_repository_of_the_caller_that_is_kept_out_is_told() {
    let b = TestBox::new();
    let inner = b.command(["true"]);
    let host = format!(
        "{COMMITTER} set -e; git init -q; git init -q --bare ../other.git; \
         printf '#!/bin/sh\nexec 2>>told' >.git/hooks/pre-commit; printf \" '%s'\" \"$@\" >>.git/hooks/pre-commit; \
         chmod +x .git/hooks/pre-commit; touch told; \
         git commit -q --allow-empty -m one; git worktree add -q wt -b wt; (cd wt; git commit -q --allow-empty -m two); \
         GIT_DIR=.git \"$@\" 2>>told; GIT_DIR=../none \"$@\" 2>>told; cat told; (cd wt; GIT_DIR=.git \"$@\" 2>>told; cat told); \
         GIT_DIR=../other.git \"$@\" 2>&1"
    );
    let told = run(b.through(&host, &inner)).ok();
    assert_eq!(told.matches("GIT_DIR is kept out").count(), 1, "{told}");
    assert!(
        told.lines()
            .last()
            .is_some_and(|last| last.contains("GIT_DIR")),
        "{told}"
    );
}

/// Claude Code goes on where a hook is not found: one in `~/tools` that refuses commands outside refused nothing in the box.
#[test]
fn a_hook_of_the_settings_that_is_not_in_the_box_is_told() {
    let hook = |command: &str| json!({ "matcher": "Bash", "hooks": [{ "type": "command", "command": command }] });
    let settings = json!({ "hooks": { "PreToolUse": [
        hook("~/.claude/hooks/here.py"),
        hook("python3 \"$HOME/tools/guard.py\" --strict"),
        hook("~/never/was; /usr/bin/true"),
    ] } });
    let said = |options: &[&str]| {
        let b = TestBox::new()
            .file("home/.claude/settings.json", settings.to_string())
            .file("home/.claude/hooks/here.py", "")
            .file("home/tools/guard.py", "");
        let guard = b.home().join("tools/guard.py").display().to_string();
        let b = options
            .iter()
            .fold(b, |b, word| b.option(&word.replace("GUARD", &guard)));
        let ran = b.sh("cat ~/tools/guard.py && echo shown");
        let shown = ran.code() == 0;
        (ran.complaint().replace(&guard, "GUARD"), shown)
    };
    let told = "hooks of ~/.claude/settings.json will not run: GUARD is not in the box";
    let (stderr, shown) = said(&["-p", "claude"]);
    assert!(stderr.contains(told) && !shown, "{stderr}");
    let (stderr, shown) = said(&["-p", "claude", "--read", "GUARD"]);
    assert!(!stderr.contains("will not run") && shown, "{stderr}");
    let (stderr, _) = said(&["-p", "shell"]);
    assert!(!stderr.contains("will not run"), "{stderr}");
}

/// What `/statusline` wrote was not in the box, and the line was missing there. So was, without a word, what a server of the user's or the helper
/// for the key was to be run from.
#[test]
fn a_status_line_is_shown_and_servers_and_helpers_that_are_not_are_told() {
    let said = |options: &[&str]| {
        let b = TestBox::new();
        let tools = b.home().join("tools").display().to_string();
        let server = |name: &str| json!({ "command": "python3", "args": [format!("{tools}/{name}"), "--all"] });
        let project = b.ws().display().to_string();
        let settings = json!({
            "statusLine": { "type": "command", "command": "bash ~/.claude/statusline-command.sh" },
            "apiKeyHelper": "~/tools/key.sh --fresh",
        });
        let state = json!({
            "mcpServers": { "everywhere": server("one.py"), "bare": { "command": "true" }, "remote": { "url": "https://x.example" } },
            "projects": {
                project: { "mcpServers": { "here": server("two.py") } },
                "/elsewhere": { "mcpServers": { "there": server("three.py") } },
            },
        });
        let b = b
            .file("home/.claude/settings.json", settings.to_string())
            .file("home/.claude.json", state.to_string())
            .file("home/.claude/statusline-command.sh", "echo line-shown")
            .file("home/tools/key.sh", "")
            .file("home/tools/one.py", "")
            .file("home/tools/two.py", "")
            .file("home/tools/three.py", "");
        let b = options
            .iter()
            .fold(b, |b, word| b.option(&word.replace("TOOLS", &tools)));
        let ran = b.sh(
            "bash ~/.claude/statusline-command.sh; ! echo changed >~/.claude/statusline-command.sh",
        );
        assert_eq!(ran.code(), 0);
        (ran.complaint().replace(&tools, "TOOLS"), ran.text())
    };
    let (stderr, stdout) = said(&["-p", "claude"]);
    assert_eq!(stdout, "line-shown", "{stderr}");
    for told in [
        "`apiKeyHelper` of ~/.claude/settings.json will not run: TOOLS/key.sh is not in the box",
        "MCP servers of ~/.claude.json may fail: TOOLS/one.py and TOOLS/two.py are not in the box",
    ] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert!(
        !stderr.contains("three.py") && !stderr.contains("statusLine"),
        "{stderr}"
    );
    let (stderr, _) = said(&["-p", "claude", "--read", "TOOLS"]);
    assert!(
        !stderr.contains("is not in the box") && !stderr.contains("are not in the box"),
        "{stderr}"
    );
}

/// A terminal that is described in `~/.terminfo` alone (kitty's and Ghostty's ssh put it there) was unknown in the box: no vim, no
/// less, no tmux.
#[test]
fn a_terminal_that_only_home_describes_is_known() {
    let tput = || TestBox::new().env("TERM", "x-only-here");
    let described = tput();
    described
        .on_host("infocmp xterm | sed 's/^xterm|/x-only-here|/' > d && TERMINFO=$HOME/.terminfo tic -x -o $HOME/.terminfo d")
        .ok();
    assert_eq!(
        described
            .sh("tput cols; touch ~/.terminfo/x 2>/dev/null || echo read-only")
            .text(),
        "80\nread-only"
    );
    assert_ne!(tput().sh("tput cols").code(), 0);
}
