//! What variables of the caller's name in the working copy: credentials under names that no rule knows, and what runs outside
//! because a variable says so. Each beside a file that no variable names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::TestBox;
use std::fs;

fn boxed(files: &[&str]) -> TestBox {
    let b = TestBox::new().profile("extends = [\"base\", \"git\", \"toolchains\"]\n");
    files
        .iter()
        .fold(b.file("{ws}/ops/plain", "old\n"), |b, file| {
            b.file(&format!("{{ws}}/{file}"), "old\n")
        })
}

fn text(b: &TestBox, file: &str) -> String {
    fs::read_to_string(b.ws().join(file)).unwrap_or_default()
}

#[test]
fn credentials_that_a_variable_names_are_hidden() {
    for (var, value, file) in [
        ("KUBECONFIG", "{ws}/ops/cluster.yaml", "ops/cluster.yaml"),
        (
            "KUBECONFIG",
            "/nowhere:ops/cluster.yaml",
            "ops/cluster.yaml",
        ), // a list; relative
        (
            "KUBECONFIG",
            "{ws}/ops/../ops/cluster.yaml",
            "ops/cluster.yaml",
        ),
        ("AWS_SHARED_CREDENTIALS_FILE", "{ws}/ops/aws", "ops/aws"),
        (
            "GOOGLE_APPLICATION_CREDENTIALS",
            "{ws}/ops/robot.json",
            "ops/robot.json",
        ),
        ("DOCKER_CONFIG", "{ws}/ops/docker", "ops/docker/config.json"),
        ("PGPASSFILE", "{ws}/ops/pg", "ops/pg"),
    ] {
        let b = boxed(&[file]);
        let b = {
            let value = b.fill(value);
            b.env(var, value)
        };
        let read = format!(
            "cat {file}; ln {file} l && cat l; cp -r ops o && cat o/${{FILE#ops/}}; cat ops/plain"
        );
        let ran = b.sh(&format!("FILE={file}; {read}"));
        assert_eq!(ran.ok(), "old", "{var}={value}: only the twin: {ran:?}");
        assert!(ran.complaint().contains("hidden: ops/"), "{var}: {ran:?}");
        // Replaced by its tool, or made while the box runs.
        let mut live = b.start([
            "/bin/sh",
            "-c",
            &format!("echo ready; until [ -e go ]; do sleep 0.01; done; cat {file}; cat ops/plain"),
        ]);
        live.wait_line("ready");
        b.on_host(&format!("echo new > t; mv t {file}; sleep 0.3; touch go"))
            .ok();
        assert_eq!(live.end().text(), "ready\nold", "{var}={value}");
        // A flag shows it.
        let b = b
            .option("--read")
            .option(file.strip_suffix("/config.json").unwrap_or(file));
        assert_eq!(b.sh(&format!("cat {file}")).ok(), "new", "{var}={value}");
    }
}

#[test]
fn what_runs_because_of_a_variable_is_frozen() {
    for (var, value, file) in [
        ("BASH_ENV", "{ws}/env.sh", "env.sh"),
        ("GIT_CONFIG_GLOBAL", "{ws}/git.cfg", "git.cfg"),
        ("GIT_SSH_COMMAND", "{ws}/ssh.sh -v", "ssh.sh"),
        ("EDITOR", "{ws}/edit.sh --wait", "edit.sh"),
        ("ZDOTDIR", "{ws}/zsh", "zsh/.zshrc"),
        ("PYTHONPATH", "{ws}/lib:{ws}/src", "src/sitecustomize.py"),
    ] {
        // There before, and not.
        for there in [true, false] {
            let files = [file];
            let b = boxed(if there { &files } else { &[] })
                .dir("{ws}/src")
                .dir("{ws}/zsh");
            let b = {
                let value = b.fill(value);
                b.env(var, value)
            };
            let ran = b.sh(&format!(
                "for f in {file} ops/plain; do echo evil >> $f; done; mv ops/plain t; cp t {file}; mv t ops/plain; sleep 0.3; true"
            ));
            ran.ok();
            let expected = if there { "old\n" } else { "" };
            assert_eq!(text(&b, file), expected, "{var}, {there}: {ran:?}");
            assert_eq!(text(&b, "ops/plain"), "old\nevil\n", "the twin");
        }
    }
}

#[test]
fn variables_that_name_no_file_of_the_work_change_nothing() {
    let b = boxed(&["src/main.py"])
        .env("ENV", "src")
        .env("KUBECONFIG", "/dev/null")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("EDITOR", "vim")
        .env("PAGER", "/usr/bin/less -R")
        .env("BASH_ENV", "")
        .env("DOCKER_CONFIG", "..")
        .env("ZDOTDIR", "/")
        .env("PGPASSFILE", ".");
    let ran =
        b.sh("echo new >> src/main.py; echo x > /dev/null; test -c /dev/null; cat src/main.py");
    assert_eq!(ran.ok(), "old\nnew", "{ran:?}");
    assert!(!ran.complaint().contains("hidden"), "{ran:?}");
}

/// Values as people write them: quotes, an interpreter before the file, `$HOME`, a blank in the name.
#[test]
fn what_runs_is_found_in_whatever_words() {
    for (var, value, file) in [
        ("EDITOR", "'{ws}/edit.sh' --wait", "edit.sh"),
        ("EDITOR", "\"{ws}/edit.sh\"", "edit.sh"),
        ("EDITOR", "sh {ws}/edit.sh", "edit.sh"),
        ("VISUAL", "env A=1 ~/ws/edit.sh", "edit.sh"),
        ("GIT_SSH_COMMAND", "ssh -F{ws}/ssh.cfg", "ssh.cfg"),
        ("GIT_ASKPASS", "{ws}/my dir/ask", "my dir/ask"),
        ("PYTHONSTARTUP", "{ws}/my dir/start.py", "my dir/start.py"),
        ("BASH_ENV", "$HOME/ws/env.sh", "env.sh"),
        ("LESSOPEN", "|{ws}/less.sh %s", "less.sh"),
        ("NODE_OPTIONS", "--require={ws}/hook.js", "hook.js"),
        ("LD_LIBRARY_PATH", "{ws}/lib", "lib/libc.so.6"),
        ("PERL5LIB", "{ws}/lib", "lib/strict.pm"),
    ] {
        let b = boxed(&[]).dir("{ws}/lib").dir("{ws}/my dir");
        let value = b.fill(value);
        let b = b.env(var, value.clone());
        let ran = b.sh(&format!(
            "for f in '{file}' lib/libmine.so; do echo evil > \"$f\"; done; sleep 0.3"
        ));
        // With a libc of its own not even sleep(1) runs, until that is moved away.
        assert!(!b.ws().join(file).exists(), "{var}={value}: {ran:?}");
        assert_eq!(text(&b, "lib/libmine.so"), "evil\n", "{var}: the twin");
    }
}
