//! A second repository that is granted (`--write ../lib`): what is hidden, protected and tracked in the working copy is so
//! there. Nothing was: its `.env` could be read, and its hooks written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Live, TestBox};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

const SECRETS: [&str; 3] = [".env", "conf/prod.env", "server.key"];
const FROZEN: [&str; 2] = [".git/hooks/pre-commit", ".claude/settings.json"];
const TRACKED: [&str; 2] = [".github/workflows/ci.yml", ".envrc"];

/// A working copy, a repository beside it and a directory of data, which is none.
fn two() -> TestBox {
    let mut b = TestBox::new()
        .profile("extends = [\"base\", \"git\", \"toolchains\"]\n")
        .file("{ws}/work", "old\n")
        .file("{home}/lib/.git/HEAD", "ref: refs/heads/main\n")
        .file("{home}/lib/.git/config", "[core]\n\tbare = false\n")
        .dir("{home}/lib/.git/objects")
        .dir("{home}/lib/.git/refs")
        .file("{home}/lib/src/lib.rs", "old\n")
        .file("{home}/data/.env", "DATA\n")
        .file("{home}/data/.claude/settings.json", "old\n");
    for name in SECRETS {
        b = b.file(&format!("{{home}}/lib/{name}"), "SECRET\n");
    }
    for name in FROZEN.iter().chain(&TRACKED) {
        b = b.file(&format!("{{home}}/lib/{name}"), "old\n");
    }
    b
}

fn granted(b: TestBox, flag: &str, dirs: &[&str]) -> TestBox {
    dirs.iter().fold(b, |b, dir| {
        let dir = b.fill(dir);
        b.option(flag).option(&dir)
    })
}

fn lib(b: &TestBox) -> PathBuf {
    b.home().join("lib")
}

fn text(b: &TestBox, name: &str) -> String {
    fs::read_to_string(lib(b).join(name)).unwrap_or_default()
}

#[test]
fn names_in_a_second_repository_are_as_in_the_first() {
    let b = granted(two(), "--write", &["{home}/lib", "{home}/data"]);
    let names = [&FROZEN[..], &TRACKED[..]].concat().join(" ");
    let ran = b.sh(&format!(
        "cd {{home}}/lib; cat {} src/lib.rs ../data/.env; for f in {names}; do echo evil > $f; done 2>/dev/null; \
         mv .claude .gone 2>/dev/null; echo new > src/lib.rs; echo new > ../data/.claude/settings.json; true",
        SECRETS.join(" ")
    ));
    assert_eq!(ran.ok(), "old\nDATA", "only the twins: {ran:?}");
    for name in [&FROZEN[..], &TRACKED[..]].concat() {
        assert_eq!(text(&b, name), "old\n", "{name}: {ran:?}");
    }
    assert_eq!(text(&b, "src/lib.rs"), "new\n", "the twin");
    let data = b.home().join("data/.claude/settings.json");
    assert_eq!(fs::read_to_string(data).unwrap(), "new\n", "the twin");
    assert!(
        ran.complaint().contains("lib/.github/workflows/ci.yml"),
        "{ran:?}"
    );
    assert!(!lib(&b).join(".gone").exists());
}

/// What comes while the box runs: the host replaces a hidden file, and the box makes what would run outside.
#[test]
fn what_comes_into_a_second_repository_is_closed_or_moved_away() {
    let b = granted(two(), "--write", &["{home}/lib"]);
    let script = b.fill(
        "cd {home}/lib; echo evil > .mcp.json; mkdir -p new; echo mine > new/file; echo ready; read x; \
         cat .env late.key src/lib.rs; git config core.fsmonitor ./evil; true",
    );
    let mut command = b.command(["/bin/sh", "-c", &script]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.wait_line("ready");
    fs::write(lib(&b).join("other"), "SECRET again\n").unwrap();
    fs::rename(lib(&b).join("other"), lib(&b).join(".env")).unwrap();
    fs::write(lib(&b).join("late.key"), "SECRET late\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    live.stdin().write_all(b"go\n").unwrap();
    let ran = live.end();
    assert!(
        ran.text().contains("old") && !ran.text().contains("SECRET"),
        "{ran:?}"
    );
    assert!(!lib(&b).join(".mcp.json").exists(), "{ran:?}");
    assert_eq!(text(&b, "new/file"), "mine\n", "the twin");
    assert!(!text(&b, ".git/config").contains("fsmonitor"), "{ran:?}");
    assert_eq!(text(&b, ".env"), "SECRET again\n", "the host's own");
}

/// A grant of exactly one name lifts, as in the working copy; that of the repository does not.
#[test]
fn a_grant_of_one_name_in_a_second_repository_lifts_it() {
    let b = granted(two(), "--write", &["{home}/lib", "{home}/lib/.claude"]);
    let b = granted(b, "--read", &["{home}/lib/.env"]);
    let ran = b.sh("cd {home}/lib; cat .env; cat server.key; echo new > .claude/settings.json");
    assert_eq!(ran.ok(), "SECRET", "{ran:?}");
    assert_eq!(text(&b, ".claude/settings.json"), "new\n");
}

/// What is only read needs no protection, and its secrets are not there; a part of a repository and a directory of some are as one.
#[test]
fn secrets_of_a_repository_that_is_only_read_are_hidden() {
    for (dir, at) in [("lib", "lib"), ("lib/conf", "lib"), ("many", "many/lib")] {
        let b = two().dir("{home}/many");
        if at != "lib" {
            fs::rename(lib(&b), b.home().join(at)).unwrap();
        }
        let b = granted(b, "--read", &[&format!("{{home}}/{dir}")]);
        let ran = b.sh(&format!("cd {{home}}/{at}/conf; cat prod.env; ls"));
        assert_eq!(ran.ok(), "prod.env", "{dir}: {ran:?}");
        let host = fs::read_to_string(b.home().join(at).join("conf/prod.env"));
        assert_eq!(host.unwrap(), "SECRET\n", "{dir}");
    }
}

/// A box that moved `.git` away in an earlier session does not find its secrets: a project is one without it. A directory that
/// is neither is data.
#[test]
fn a_project_needs_no_repository() {
    for (mark, hidden) in [
        ("package.json", true),
        ("main.tf", true),
        ("app.csproj", true),
        ("compose.yaml", true),
        ("notes.txt", false),
    ] {
        let b = TestBox::new()
            .profile("extends = [\"base\"]\n")
            .file(&format!("{{home}}/site/{mark}"), "{}")
            .file("{home}/site/conf/prod.tfvars", "SECRET\n");
        let b = granted(b, "--write", &["{home}/site"]);
        let read = b
            .sh("cat {home}/site/conf/prod.tfvars; ls -A {home}/site")
            .ok();
        assert_eq!(read.contains("SECRET"), !hidden, "{mark}: {read}");
        assert!(read.contains(mark), "the twin: {read}");
    }
}

/// A command that lies in another project brings that project's directory into the box (its libraries are there), and so its `.env` and
/// the token in its git configuration.
#[test]
fn the_project_of_the_command_keeps_its_secrets() {
    let b = TestBox::new()
        .profile("extends = [\"base\"]\n")
        .file("{home}/work/other/lib/words", "LIBRARY\n")
        .file("{home}/work/other/.env", "SECRET\n")
        .file("{home}/work/other/certs/own.key", "SECRET\n")
        .file(
            "{home}/work/other/.git/config",
            "[remote \"o\"]\n\turl = https://me:SECRET@git.test/x\n",
        )
        .file("{home}/work/other/.git/HEAD", "ref: refs/heads/main\n")
        .dir("{home}/work/other/.git/objects")
        .dir("{home}/work/other/.git/refs")
        .script(
            "{home}/work/other/bin/tool",
            "#!/bin/sh\ncd \"${0%/bin/*}\"; cat lib/words .git/HEAD .env certs/own.key .git/config; ls -A\n",
        );
    let tool = b.home().join("work/other/bin/tool");
    let ran = b.run([tool]);
    let read = ran.ok();
    assert!(!read.contains("SECRET"), "{ran:?}");
    for there in ["LIBRARY", "ref: refs/heads/main", "git.test/x", ".env"] {
        assert!(read.contains(there), "the twin, {there}: {ran:?}");
    }
    // No repository.
    let b = TestBox::new()
        .file("{home}/own/tool/lib/words", "LIBRARY\n")
        .file("{home}/own/tool/.env", "SECRET\n")
        .script(
            "{home}/own/tool/bin/tool",
            "#!/bin/sh\ncd \"${0%/bin/*}\"; cat lib/words .env\n",
        );
    let ran = b.run([b.home().join("own/tool/bin/tool")]);
    assert_eq!(ran.ok(), "LIBRARY", "{ran:?}");
}

/// Only a direct call (`~/work/site/bin/tool`) granted the parts that are Python's: by a link, as people put one into a directory of
/// PATH, all of the project was open. So was a clone below `~/.local/share`, with its token.
#[test]
fn the_project_that_a_link_leads_to_keeps_its_secrets() {
    let project = |place: &str, more: &str| {
        let b = TestBox::new()
            .profile("extends = [\"base\"]\n")
            .file(&format!("{{home}}/{place}/{more}"), "home = /usr/bin\n")
            .file(&format!("{{home}}/{place}/lib/words"), "LIBRARY\n")
            .file(&format!("{{home}}/{place}/.env"), "SECRET\n")
            .file(&format!("{{home}}/{place}/own.key"), "SECRET\n")
            .file(
                &format!("{{home}}/{place}/.git/config"),
                "[remote \"o\"]\n\turl = https://me:SECRET@git.test/x\n",
            )
            .file(
                &format!("{{home}}/{place}/.git/HEAD"),
                "ref: refs/heads/main\n",
            )
            .dir(&format!("{{home}}/{place}/.git/objects"))
            .dir(&format!("{{home}}/{place}/.git/refs"))
            .dir("{home}/links");
        let script = b.fill(&format!(
            "#!/bin/sh\ncd {{home}}/{place}; cat lib/words .env own.key .git/config; true\n"
        ));
        let b = b.script(&format!("{{home}}/{place}/bin/tool"), &script);
        let tool = b.home().join(place).join("bin/tool");
        std::os::unix::fs::symlink(tool, b.home().join("links/tool")).unwrap();
        b
    };
    for (place, more) in [
        ("work/site", "pyvenv.cfg"),
        (".local/share/tool", "share/x"),
    ] {
        let b = project(place, more);
        let ran = b.run([b.home().join("links/tool")]);
        let read = ran.ok();
        assert!(!read.contains("SECRET"), "{place}: {ran:?}");
        assert!(read.contains("LIBRARY"), "the twin, {place}: {ran:?}");
    }
}

/// The directory around the working copy (`--write ~/work`): all that was in it beside the working copy was open, and less was when
/// it was granted in parts. The working copy keeps its own rules, and what is lifted in it stays lifted.
#[test]
fn what_holds_the_working_copy_is_a_tree_as_well() {
    let around = || {
        two()
            .file("{ws}/.env", "SECRET\n")
            .file("{ws}/tests/own.key", "test\n")
            .file("{ws}/.vscode/tasks.json", "old\n")
            .file("{home}/group/far/.env", "SECRET\n")
            .file("{home}/group/.claude/settings.json", "old\n")
            .file("{home}/group/far/.envrc", "old\n")
            .file("{home}/group/notes", "old\n")
    };
    let script = "cd {home}/group; cat far/.env lib/.env {ws}/.env late.key 2>/dev/null; cat {ws}/tests/own.key notes; \
        for f in .claude/settings.json far/.envrc lib/.git/hooks/pre-commit {ws}/.vscode/tasks.json notes; do echo new > $f; done 2>/dev/null; true";
    for flag in ["--write", "--read"] {
        let b = around();
        fs::rename(lib(&b), b.home().join("group/lib")).unwrap();
        let inside = b.home().join("group/ws");
        fs::rename(b.ws(), &inside).unwrap();
        let b = b.cwd(&inside);
        let b = granted(b, flag, &["{home}/group"]);
        let b = granted(b, "--write", &[".vscode"]);
        let b = b.option("--hide").option("!tests/**");
        let script = b
            .fill(script)
            .replace(&b.ws().display().to_string(), &inside.display().to_string());
        let mut command = b.command(["/bin/sh", "-c", &format!("echo ready; read x; {script}")]);
        command.stdin(Stdio::piped());
        let mut live = Live::start(command);
        live.wait_line("ready");
        let at = |name: &str| b.home().join("group").join(name);
        fs::write(at("late.key"), "SECRET late\n").unwrap();
        fs::write(at("other"), "SECRET again\n").unwrap();
        fs::rename(at("other"), at("lib/.env")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        live.stdin().write_all(b"go\n").unwrap();
        let ran = live.end();
        assert!(!ran.text().contains("SECRET"), "{flag}: {ran:?}");
        assert!(
            ran.text().contains("test\nold"),
            "{flag}: the twins: {ran:?}"
        );
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        for name in [
            ".claude/settings.json",
            "far/.envrc",
            "lib/.git/hooks/pre-commit",
        ] {
            assert_eq!(text(name), "old\n", "{flag} {name}: {ran:?}");
        }
        assert_eq!(text("ws/.vscode/tasks.json"), "new\n", "{flag}: lifted");
        let twin = if flag == "--write" { "new\n" } else { "old\n" };
        assert_eq!(text("notes"), twin, "{flag}");
    }
}

/// `why` said of what `--write ../lib` gives that the box had it of its own, also of what is put back in the end.
#[test]
fn a_grant_with_dots_in_it_goes_by_its_canonical_name() {
    let b = two().file("{home}/lib/.envrc", "old\n");
    for (name, said) in [
        ("src/lib.rs", "[files] write has {home}/lib  [--write]"),
        (
            ".envrc",
            "but it is tracked: a change is put back in the end",
        ),
        (
            ".git/config",
            "but it is tracked: what it comes to say of programs that run is undone",
        ),
        (".git/hooks/pre-commit", "it is protected"),
    ] {
        let path = b.home().join("lib").join(name);
        let mut why = b.agentbox(["why", "write"]);
        why.arg(path)
            .args(["--write", "../lib", "-p", "shell", "--", "/bin/sh"]);
        let ran = common::run(why);
        assert!(ran.text().contains(&b.fill(said)), "{name}: {ran:?}");
    }
}
/// A relative `core.hooksPath` (husky, lefthook, `.githooks`) and programs that the repository's configuration names: what the box
/// wrote there ran outside.
#[test]
fn what_a_second_repository_s_configuration_names_is_protected() {
    let config = "[core]\n\thooksPath = tools/hooks\n[filter \"x\"]\n\tclean = tools/clean\n[include]\n\tpath = ../tools/inc\n";
    let mut b = two()
        .file("{home}/lib/.git/config", config)
        .file("{home}/lib/tools/other", "old\n");
    let named = ["tools/hooks/pre-commit", "tools/clean", "tools/inc"];
    for name in named {
        b = b.file(&format!("{{home}}/lib/{name}"), "[alias]\n");
    }
    let b = granted(b, "--write", &["{home}/lib"]);
    let ran = b.sh(&format!(
        "cd {{home}}/lib; for f in {}; do echo evil >> $f; done 2>/dev/null; echo evil > tools/hooks/post-commit; \
         mv tools moved 2>/dev/null; echo new > tools/other; true",
        named.join(" ")
    ));
    for name in named {
        assert_eq!(text(&b, name), "[alias]\n", "{name}: {ran:?}");
    }
    assert!(!lib(&b).join("tools/hooks/post-commit").exists(), "{ran:?}");
    assert_eq!(text(&b, "tools/other"), "new\n", "the twin");
}

/// A bare one has no `.git`, and those of `~/src/github.com/OWNER/NAME` lie deep: nothing was hidden or protected there.
#[test]
fn bare_and_deep_repositories_are_repositories() {
    let mut b = two();
    for git in ["{home}/lib.git", "{home}/src/host/owner/name/.git"] {
        b = b
            .file(&format!("{git}/HEAD"), "ref: refs/heads/main\n")
            .file(&format!("{git}/config"), "[core]\n")
            .dir(&format!("{git}/objects"))
            .dir(&format!("{git}/refs"))
            .dir(&format!("{git}/hooks"));
    }
    b = b
        .file("{home}/src/host/owner/name/.env", "SECRET\n")
        .file("{home}/src/notes.txt", "old\n");
    let b = granted(b, "--write", &["{home}/lib.git", "{home}/src"]);
    let ran = b.sh(
        "cd {home}; cat src/host/owner/name/.env src/notes.txt; for git in lib.git src/host/owner/name/.git; do \
         echo evil > $git/hooks/post-receive; printf '\\tfsmonitor = ./evil\\n' >> $git/config; echo mine > $git/description; done; true",
    );
    assert_eq!(ran.ok(), "old", "only the twin: {ran:?}");
    for git in ["lib.git", "src/host/owner/name/.git"] {
        let read =
            |name: &str| fs::read_to_string(b.home().join(git).join(name)).unwrap_or_default();
        assert_eq!(read("hooks/post-receive"), "", "{git}: {ran:?}");
        assert!(!read("config").contains("evil"), "{git}: {ran:?}");
        assert_eq!(read("description"), "mine\n", "the twin");
    }
}

/// Of what is only read, too: the remote's password could be read by `--read ../lib`.
#[test]
fn no_token_is_in_the_configuration_of_a_repository_that_is_read() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let url = format!("[remote \"origin\"]\n\turl = https://x:{token}@example.com/a/b\n");
    for git in ["lib/.git", "src/host/owner/name/.git", "lib.git"] {
        let b = two()
            .file(&format!("{{home}}/{git}/HEAD"), "ref: refs/heads/main\n")
            .dir(&format!("{{home}}/{git}/objects"))
            .dir(&format!("{{home}}/{git}/refs"))
            .file(&format!("{{home}}/{git}/config"), &url);
        let top = format!("{{home}}/{}", git.split('/').next().unwrap());
        let b = granted(b, "--read", &[&top]);
        let read = b.sh(&format!("cat {{home}}/{git}/config")).ok();
        assert!(!read.contains(&token), "{git}: {read}");
        assert!(read.contains("example.com/a/b"), "the twin: {read}");
        let b = granted(b, "--read", &[&format!("{{home}}/{git}/config")]);
        let read = b.sh(&format!("cat {{home}}/{git}/config")).ok();
        assert!(read.contains(&token), "as it was asked for: {read}");
    }
}

/// direnv(1) and mise(1) ask about the file that they were allowed, and not about what that reads or says later: both run at the
/// next prompt outside, in a second repository as well.
#[test]
fn what_direnv_and_mise_run_in_a_second_repository_is_frozen() {
    let b = two()
        .file("{home}/.local/share/direnv/allow/x", "")
        .file("{home}/lib/.envrc", "source_env conf/env.sh\n")
        .file("{home}/lib/conf/env.sh", "old\n")
        .file("{home}/lib/conf/other.sh", "old\n")
        .file("{home}/lib/mise.toml", "old\n")
        .dir("{home}/.local/state/mise/trusted-configs");
    let trusted = b.home().join(".local/state/mise/trusted-configs/x");
    std::os::unix::fs::symlink(lib(&b).join("mise.toml"), trusted).unwrap();
    let b = granted(b, "--write", &["{home}/lib"]);
    let ran = b.sh(
        "cd {home}/lib; for f in conf/env.sh conf/other.sh mise.toml; do (echo evil > $f) 2>/dev/null || echo no $f; done",
    );
    assert_eq!(ran.ok(), "no conf/env.sh\nno mise.toml", "{ran:?}");
    assert_eq!(text(&b, "conf/other.sh"), "evil\n", "the twin");
}

/// A repository of dotfiles that is granted beside the work: what HOME leads to, what start-up files read and what PATH finds there
/// first was open.
#[test]
fn what_home_and_path_lead_to_in_a_second_repository_is_frozen() {
    for dir in ["lib", "."] {
        let b = two()
            .file("{home}/lib/bashrc", "old\n")
            .file("{home}/lib/more.sh", "old\n")
            .file("{home}/lib/pyproject.toml", "")
            .file("{home}/lib/free.sh", "old\n")
            .dir("{home}/lib/bin")
            .dir("{home}/lib/.venv/bin")
            .file("{home}/.profile", "if true; then . ~/lib/more.sh; fi\n");
        std::os::unix::fs::symlink("lib/bashrc", b.home().join(".bashrc")).unwrap();
        let path = b.fill("{home}/lib/bin:/usr/local/bin:/usr/bin:/bin");
        let b = if dir == "lib" {
            granted(b, "--write", &["{home}/lib"]).env("PATH", path)
        } else {
            // The directory around both.
            let inside = b.home().join("group");
            fs::create_dir(&inside).unwrap();
            for name in ["lib", "ws"] {
                fs::rename(b.home().join(name), inside.join(name)).unwrap();
            }
            std::os::unix::fs::symlink("group/lib", b.home().join("lib")).unwrap();
            let b = b.cwd(inside.join("ws"));
            b.chown(&inside);
            granted(b, "--write", &["{home}/group"]).env("PATH", path)
        };
        let script = "cd ../lib; for f in bashrc more.sh free.sh; do echo evil > $f; done; touch bin/tool bin/ls .venv/bin/ls; true";
        let ran = b.sh(script);
        assert_eq!(text(&b, "free.sh"), "evil\n", "{dir}: the twin: {ran:?}");
        for name in ["bashrc", "more.sh"] {
            assert_eq!(text(&b, name), "old\n", "{dir} {name}: {ran:?}");
        }
        assert!(
            lib(&b).join("bin/tool").exists(),
            "{dir}: the twin: {ran:?}"
        );
        // An environment is looked for at the top of what is granted, as in the working copy.
        let made = ["bin/ls", ".venv/bin/ls"].into_iter();
        for name in made.take(if dir == "lib" { 2 } else { 1 }) {
            assert!(!lib(&b).join(name).exists(), "{dir} {name}: {ran:?}");
        }
    }
}

/// `--hide '!tests/**'` lifted nothing where a directory on the way has a `*` in its name.
#[test]
fn a_star_in_the_name_of_a_directory_is_no_pattern() {
    for (dir, flag) in [
        ("a*b", "!tests/**"),
        ("a*b", "!*.key"),
        ("a\\*b", "!tests/*.key"),
    ] {
        let b = two()
            .file(&format!("home/{dir}/w/tests/own.key"), "test\n")
            .file(&format!("home/{dir}/w/other.pem"), "SECRET\n");
        let cwd = b.home().join(dir).join("w");
        let b = b.cwd(if flag == "!*.key" {
            cwd.join("tests")
        } else {
            cwd
        });
        let b = b.option("--hide").option(flag);
        let ran = b.sh(
            "cat tests/own.key own.key 2>/dev/null; cat other.pem ../other.pem 2>/dev/null; true",
        );
        assert_eq!(ran.ok(), "test", "{dir} {flag}: {ran:?}");
    }
}
