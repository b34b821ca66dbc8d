//! A repository of dotfiles as the working copy: HOME has links to what lies in it, as stow(8) or a script makes them. The box cannot
//! write HOME, and by the other name it could write what the user's shell, git and agents run outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::TestBox;
use std::fs;
use std::os::unix::fs::symlink;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

/// A repository with these files, and HOME's links into it.
fn dotfiles(links: &[(&str, &str)]) -> TestBox {
    let mut b = TestBox::new().profile(BASE).file("{ws}/notes", "old\n");
    for (_, file) in links {
        b = b.file(&format!("{{ws}}/{file}"), "old\n");
    }
    for (link, file) in links {
        linked(&b, link, file);
    }
    b
}

fn linked(b: &TestBox, link: &str, file: &str) {
    let at = b.home().join(link);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    symlink(b.ws().join(file), &at).unwrap();
    for dir in at.ancestors().skip(1).take_while(|dir| *dir != b.home()) {
        b.chown(dir);
    }
}

fn text(b: &TestBox, file: &str) -> String {
    fs::read_to_string(b.ws().join(file)).unwrap_or_default()
}

const EROFS: &str = "Read-only file system";

#[test]
fn what_links_of_home_lead_to_is_frozen() {
    let links = [
        (".bashrc", "bashrc"),
        (".gitconfig", "git/config"),
        (".config/fish", "fish/config.fish"),
        (".config/systemd/user/x.service", "x.service"),
        (".claude/settings.json", "claude.json"),
        (".tool/deep/er/rc", "rc"), // found since there are others
    ];
    for (link, file) in links {
        let mut with = links.to_vec();
        with.retain(|(other, _)| *other == link || *other == ".bashrc");
        let b = dotfiles(&with);
        if link == ".config/fish" {
            // A directory.
            fs::remove_file(b.home().join(link)).unwrap();
            linked(&b, link, "fish");
        }
        let ran = b.sh(&format!(
            "cat {file}; for f in {file} notes; do echo evil >> $f; done; cp {file} t; mv t {file}; rm -f {file}; mv {file} u; \
             echo told"
        ));
        assert!(ran.text().starts_with("old\n"), "{link}: readable");
        assert!(
            ran.complaint().contains(EROFS),
            "{link}: {}",
            ran.complaint()
        );
        assert_eq!(text(&b, file), "old\n", "{link}");
        assert_eq!(text(&b, "notes"), "old\nevil\n", "{link}: the twin");
        let said = "read-only, since links of your HOME lead there: ";
        assert!(
            ran.complaint().contains(said),
            "{link}: {}",
            ran.complaint()
        );
    }
}

#[test]
fn a_link_that_leads_nowhere_yet() {
    let b = dotfiles(&[(".bashrc", "bashrc")]);
    linked(&b, ".profile", "profile");
    let ran = b.sh("echo evil > profile; echo mine > other; sleep 0.3; echo told");
    assert!(ran.text().contains("told"));
    assert_eq!(text(&b, "other"), "mine\n");
    assert!(!b.ws().join("profile").exists(), "{}", ran.complaint());
    assert!(
        ran.complaint().contains("agentbox restore"),
        "{}",
        ran.complaint()
    );
}

#[test]
fn other_links_of_home_freeze_nothing() {
    let b = dotfiles(&[(".venv", ".venv/pyvenv.cfg"), ("current", "src/main.c")]);
    linked(&b, ".local/bin/tool", "tool.sh");
    fs::write(b.ws().join("tool.sh"), "old\n").unwrap();
    b.chown(&b.ws().join("tool.sh"));
    let ran = b.sh("for f in .venv/pyvenv.cfg src/main.c tool.sh; do echo new >> $f; done");
    ran.ok();
    assert!(
        !ran.complaint().contains("links of your HOME"),
        "{}",
        ran.complaint()
    );
    for file in [".venv/pyvenv.cfg", "src/main.c", "tool.sh"] {
        assert_eq!(text(&b, file), "old\nnew\n", "{file}");
    }
}

#[test]
fn a_directory_of_path_that_is_a_link_takes_no_new_program() {
    for link in [".local/bin", "bin"] {
        let b = dotfiles(&[(".bashrc", "bashrc")]).file("{ws}/programs/tool", "old\n");
        linked(&b, link, "programs");
        let ran = b.sh("echo evil > programs/git; echo mine > here; echo told");
        assert!(
            ran.complaint().contains(EROFS),
            "{link}: {}",
            ran.complaint()
        );
        assert!(!b.ws().join("programs/git").exists(), "{link}");
        assert_eq!(text(&b, "here"), "mine\n", "{link}");
    }
}

#[test]
fn the_state_of_an_agent_stays_writable() {
    let profile = format!("{BASE}[files]\nwrite = [\"~/.tool/state/\"]\n");
    let b = dotfiles(&[(".bashrc", "bashrc")])
        .profile(&profile)
        .file("{ws}/tool/state/now", "old\n")
        .file("{ws}/tool/settings", "old\n");
    linked(&b, ".tool", "tool");
    let ran = b.sh(
        "echo new >> ~/.tool/state/now; echo more > tool/state/next; echo evil >> tool/settings; echo told",
    );
    assert!(ran.complaint().contains(EROFS), "{}", ran.complaint());
    assert_eq!(
        text(&b, "tool/state/now"),
        "old\nnew\n",
        "{}",
        ran.complaint()
    );
    assert_eq!(text(&b, "tool/state/next"), "more\n");
    assert_eq!(text(&b, "tool/settings"), "old\n");
}

#[test]
fn a_flag_lifts_it() {
    let links = [
        (".bashrc", "bashrc"),
        (".zshrc", "zshrc"),
        (".vimrc", "vimrc"),
    ];
    for (options, free) in [
        (["--write", "bashrc"], &["bashrc"][..]),
        (["--protect", "!*shrc"], &["bashrc", "zshrc"][..]),
    ] {
        let b = options.iter().fold(dotfiles(&links), |b, o| b.option(o));
        b.sh("for f in bashrc zshrc vimrc; do echo new >> $f; done; echo told");
        for (_, file) in links {
            let new = if free.contains(&file) { "new\n" } else { "" };
            assert_eq!(text(&b, file), format!("old\n{new}"), "{options:?} {file}");
        }
    }
}

#[test]
fn a_link_to_the_working_copy_itself_is_named() {
    let b = dotfiles(&[]);
    linked(&b, ".emacs.d", "");
    let ran = b.sh("echo new >> notes");
    ran.ok();
    assert_eq!(text(&b, "notes"), "old\nnew\n");
    let said = ".emacs.d is a link to this directory";
    assert!(ran.complaint().contains(said), "{}", ran.complaint());
}

#[test]
fn what_is_hidden_in_home_is_hidden_where_a_link_leads() {
    let token = "//registry.npmjs.org/:_authToken=npm_0123456789abcdefghijklmnopqrstuvwxyz\n";
    for (link, to, file, content) in [
        (".aws", "aws", "aws/credentials", "secret\n"),
        (".aws/credentials", "awscreds", "awscreds", "secret\n"),
        (".ssh", "ssh", "ssh/work", "secret\n"),
        (".kube/config", "k", "k", "secret\n"),
        (".config/gcloud", "gcloud", "gcloud/x.db", "secret\n"),
        (".npmrc", "npmrc", "npmrc", token),
    ] {
        let b = TestBox::new()
            .profile(BASE)
            .file("{ws}/notes", "old\n")
            .file(&format!("{{ws}}/{file}"), content);
        linked(&b, link, to);
        let ran = b.sh(&format!("cat {file} notes"));
        assert_eq!(ran.text(), "old", "{link}: only the twin: {ran:?}");
        let b = b.option("--read").option(to);
        assert!(b.sh(&format!("cat {file}")).ok().len() > 5, "{link}");
    }
    // One without a token is no secret, and frozen.
    let b = dotfiles(&[(".npmrc", "npmrc")]);
    let ran = b.sh("cat npmrc; echo evil >> npmrc");
    assert_eq!(ran.text(), "old");
    assert!(ran.complaint().contains(EROFS), "{ran:?}");
}

/// What is hidden by a built-in rule and is committed is shown: it was writable then.
#[test]
fn a_hidden_name_that_git_has_is_frozen() {
    let b = dotfiles(&[(".ssh/config", "ssh_config"), (".aws/config", "awsconf")]);
    b.git(&["init", "-q"]);
    b.git(&["add", "-A"]);
    b.git(&["commit", "-qm", "one"]);
    let ran = b.sh(
        "for f in ssh_config awsconf notes; do cat $f; echo evil >> $f; mv $f t; done; echo told",
    );
    assert_eq!(ran.text(), "old\nold\nold\ntold", "{ran:?}");
    for file in ["ssh_config", "awsconf"] {
        assert_eq!(text(&b, file), "old\n", "{file}: {ran:?}");
    }
    assert_eq!(text(&b, "t"), "old\nevil\n", "the twin");
}

#[test]
fn what_a_start_up_file_reads_is_frozen() {
    for (file, line) in [
        (".bashrc", "source {ws}/rc"),
        (".zshrc", "[ -f ~/ws/rc ] && . ~/ws/rc"),
        (
            ".profile",
            "if test -r \"$HOME/ws/rc\"; then . \"$HOME/ws/rc\"; fi",
        ),
        (".ssh/config", "Include ~/ws/rc"),
        (".ssh/config", "Include ~/ws/r*"),
        (".tmux.conf", "source-file -q ~/ws/rc"),
        (".bashrc", "alias x=~/ws/rc"), // the twin: the work's own program
        (".bashrc", "alias x='find . ~/ws/rc -newer ~/x'"), // a directory and a file
    ] {
        let b = TestBox::new().profile(BASE).file("{ws}/rc", "old\n");
        let line = b.fill(line);
        let b = b.file(&format!("home/{file}"), format!("{line}\n"));
        let ran = b.sh("echo evil >> rc; true");
        let reads = !line.starts_with("alias");
        let expected = if reads { "old\n" } else { "old\nevil\n" };
        assert_eq!(text(&b, "rc"), expected, "{line}: {ran:?}");
        assert_eq!(ran.complaint().contains(EROFS), reads, "{line}: {ran:?}");
        let said = "start-up files of yours read it: r";
        assert_eq!(ran.complaint().contains(said), reads, "{line}: {ran:?}");
    }
}

/// What that file reads in turn, in the working copy or by one of HOME's own.
#[test]
fn what_a_start_up_file_reads_by_another_file_is_frozen() {
    let b = TestBox::new()
        .profile(BASE)
        .file("home/.bashrc", ". ~/.shell/all\n")
        .file("home/.shell/all", ". ~/ws/rc; . ~/.bashrc\n")
        .file("{ws}/rc", ". ~/ws/more\n")
        .file("{ws}/more", "old\n")
        .file("{ws}/other", "old\n");
    let ran = b.sh("for f in more other; do echo evil >> $f; done; true");
    assert_eq!(text(&b, "more"), "old\n", "{ran:?}");
    assert_eq!(text(&b, "other"), "old\nevil\n", "the twin: {ran:?}");
}

/// `~/dots -> ws`, and in it `rc -> rc.linux`: the file was frozen, and the link could be replaced.
#[test]
fn a_link_on_the_way_to_what_a_start_up_file_reads_is_frozen() {
    let b = TestBox::new().profile(BASE).file("{ws}/rc.linux", "old\n");
    symlink("ws", b.home().join("dots")).unwrap();
    symlink("rc.linux", b.ws().join("rc")).unwrap();
    let b = b.file("home/.bashrc", "source ~/dots/rc\n");
    let ran =
        b.sh("echo evil > e; ln -s e n; mv -T n rc; echo evil >> rc.linux; sleep 0.3; echo told");
    assert_eq!(ran.text(), "told", "{ran:?}");
    assert_eq!(text(&b, "e"), "evil\n", "the twin: {ran:?}");
    assert!(!text(&b, "rc").contains("evil"), "{ran:?}");
    assert_eq!(text(&b, "rc.linux"), "old\n", "{ran:?}");
}

/// A link of HOME that goes on by a link of the working copy: the file at the end was frozen, and the link could be replaced.
#[test]
fn links_of_the_working_copy_on_the_way_are_frozen() {
    let evil = "mkdir e; for f in e/rc plain; do echo evil > $f; done";
    for (way, to, link, replace) in [
        ("a", "b", "a", "rm -f a; echo evil > a"),
        ("a", "b", "a", "ln -s plain m; mv m a"),
        ("a", "/etc/hostname", "a", "ln -sfn plain a"),
        ("d/rc", "real", "d", "rm d; mkdir d; echo evil > d/rc"),
        ("d/rc", "real", "d", "rm d; mv e d"),
        ("d/rc", "real", "d", "ln -sfn e d"),
    ] {
        let b = dotfiles(&[])
            .file("{ws}/b", "old\n")
            .file("{ws}/real/rc", "old\n")
            .file("{ws}/real/other", "old\n");
        symlink(to, b.ws().join(link)).unwrap();
        b.chown(&b.ws().join(link));
        linked(&b, ".bashrc", way);
        let ran = b.sh(&format!(
            "{evil}; echo new >> real/other; {replace}; sleep 0.3; echo told"
        ));
        let said = ran.complaint();
        let rc = fs::read_to_string(b.home().join(".bashrc")).unwrap_or_default();
        assert!(!rc.contains("evil"), "{way}, {replace}: {said}");
        assert!(said.contains("agentbox restore"), "{replace}: {said}");
        assert_eq!(text(&b, "plain"), "evil\n", "the twin");
        assert_eq!(text(&b, "real/other"), "old\nnew\n", "the twin");
    }
}

/// `~/.claude -> dotfiles/claude`: the login could not be renewed, since it was frozen with the rest.
#[test]
fn a_login_is_renewed_where_its_directory_is_a_link_to_the_working_copy() {
    let profile = format!("{BASE}[files]\nstate = [\"~/.claude/.credentials.json\"]\n");
    let b = dotfiles(&[])
        .profile(&profile)
        .file("{ws}/claude/.credentials.json", "old\n")
        .file("{ws}/claude/settings.json", "old\n");
    linked(&b, ".claude", "claude");
    let ran = b.sh(
        "cd claude; echo new > t; mv t .credentials.json; echo evil > settings.json; echo told",
    );
    assert_eq!(text(&b, "claude/.credentials.json"), "new\n", "{ran:?}");
    assert_eq!(text(&b, "claude/settings.json"), "old\n", "{ran:?}");
}

/// Codex in the repository that `~/.codex` leads into: its places of the box's own are there, the start waited for each as for a
/// name that changes again and again, and ended (`EAGAIN`). And beside what is an agent's own a new file is not frozen by itself.
#[test]
fn an_agent_whose_directory_is_a_link_to_the_working_copy() {
    for (agent, existing, new) in [
        ("codex", "config.toml", "hooks.json"),
        ("codex", "config.toml", "rules/x"),
        ("claude", "CLAUDE.md", "settings.json"),
        ("claude", "CLAUDE.md", "agents/x.md"),
    ] {
        let sessions = match agent {
            "codex" => "sessions",
            _ => "plans",
        };
        let b = dotfiles(&[])
            .profile(&format!("extends = [\"{agent}\"]\n"))
            .file(&format!("{{ws}}/dir/{existing}"), "old\n")
            .file(&format!("{{ws}}/dir/{sessions}/other"), "CANARY\n");
        let key = b
            .ws()
            .to_string_lossy()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let b = match (agent, new) {
            ("claude", "settings.json") => b.file(&format!("{{ws}}/dir/projects/{key}/s"), "OWN\n"),
            _ => b,
        };
        linked(&b, &format!(".{agent}"), "dir");
        let ran = b.sh(&format!(
            "cd dir; mkdir -p $(dirname {new}); echo evil > {new}; echo evil > {existing}; cat {sessions}/other; \
             echo mine > {sessions}/own; cat ~/.{agent}/{sessions}/own; echo told >> ../notes"
        ));
        assert_eq!(ran.text(), "mine", "{agent}: {ran:?}");
        assert_eq!(text(&b, &format!("dir/{new}")), "", "{agent}: {ran:?}");
        assert_eq!(text(&b, &format!("dir/{existing}")), "old\n", "{ran:?}");
        assert_eq!(text(&b, &format!("dir/{sessions}/own")), "", "{ran:?}");
        assert_eq!(text(&b, "notes"), "old\ntold\n", "{ran:?}");
        if agent == "claude" {
            let script =
                format!("cat ~/.claude/projects/{key}/s; echo NEW > ~/.claude/projects/{key}/new");
            let ran = b.sh(&script);
            let had = text(&b, &format!("dir/projects/{key}/s"));
            assert_eq!(ran.text(), had.trim_end(), "{ran:?}");
            assert_eq!(text(&b, &format!("dir/projects/{key}/new")), "NEW\n");
        }
    }
}
