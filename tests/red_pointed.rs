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
        ("HISTFILE", "ops/typed", "ops/typed"),
        ("CARGO_HOME", "{ws}/ops", "ops/credentials.toml"),
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
        ("RUBYOPT", "-W0 -r{ws}/pry.rb", "pry.rb"),
        ("RUBYLIB", "{ws}/src", "src/rubygems.rb"),
        ("JAVA_TOOL_OPTIONS", "-javaagent:src/a.jar", "src/a.jar"),
        ("LUA_INIT", "@src/init.lua", "src/init.lua"),
        ("VIMINIT", "source {ws}/vimrc", "vimrc"),
        ("R_PROFILE_USER", "{ws}/profile.R", "profile.R"),
        (
            "XDG_DATA_DIRS",
            "/usr/share:{ws}/src",
            "src/fish/vendor_conf.d/x.fish",
        ),
        ("CLAUDE_CONFIG_DIR", "{ws}/src", "src/settings.json"),
        ("GRADLE_USER_HOME", "{ws}/src", "src/init.gradle"),
    ] {
        // There before, and not.
        for there in [true, false] {
            let files = [file];
            let b = boxed(if there { &files } else { &[] })
                .dir("{ws}/src/fish/vendor_conf.d")
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
fn what_git_runs_because_of_a_variable_is_frozen() {
    let given = |key: &str, value: &str| {
        [
            ("GIT_CONFIG_COUNT".to_owned(), "2".to_owned()),
            ("GIT_CONFIG_KEY_0".to_owned(), "safe.directory".to_owned()),
            ("GIT_CONFIG_VALUE_0".to_owned(), "{ws}/ops".to_owned()),
            ("GIT_CONFIG_KEY_1".to_owned(), key.to_owned()),
            ("GIT_CONFIG_VALUE_1".to_owned(), value.to_owned()),
        ]
        .to_vec()
    };
    let parameters = |text: &str| [("GIT_CONFIG_PARAMETERS".to_owned(), text.to_owned())].to_vec();
    for (vars, file) in [
        (given("core.hooksPath", "tools"), "tools/pre-commit"),
        (given("CORE.FSMONITOR", "{ws}/tools/fs"), "tools/fs"),
        (given("include.path", "{ws}/tools/cfg"), "tools/cfg"),
        (given("filter.x.clean", "tools/st.sh -x"), "tools/st.sh"),
        (parameters("'core.hookspath'='tools'"), "tools/pre-commit"),
        (
            parameters("'a.b'='c d' 'core.pager={ws}/tools/p -R'"),
            "tools/p",
        ),
    ] {
        for there in [true, false] {
            let files = [file];
            let b = boxed(if there { &files } else { &[] }).dir("{ws}/tools");
            b.on_host("git init -q .").ok();
            let b = vars.iter().fold(b, |b, (var, value)| {
                let value = b.fill(value);
                b.env(var, value)
            });
            let ran = b.sh(&format!(
                "for f in {file} ops/plain; do echo evil >> $f; done; sleep 0.3; true"
            ));
            ran.ok();
            let expected = if there { "old\n" } else { "" };
            assert_eq!(text(&b, file), expected, "{vars:?}, {there}: {ran:?}");
            assert_eq!(text(&b, "ops/plain"), "old\nevil\n", "the twin");
        }
    }
}

#[test]
fn settings_that_a_variable_names_are_hidden_with_a_token() {
    for (var, text, seen) in [
        ("NPM_CONFIG_USERCONFIG", "//r/:_authToken=abc", ""),
        (
            "NPM_CONFIG_USERCONFIG",
            "save-exact=true",
            "save-exact=true",
        ),
        (
            "PIP_CONFIG_FILE",
            "[global]\nindex-url = https://u:p4ssw0rd@h/\n",
            "",
        ),
    ] {
        let b = TestBox::new().file("{ws}/ops/rc", text);
        let path = b.fill("{ws}/ops/rc");
        assert_eq!(b.env(var, path).sh("cat ops/rc").ok(), seen, "{var}");
    }
}

/// An agent whose directory is in the working copy logs in there; what its settings run is not its own.
#[test]
fn an_agent_that_gets_its_directory_logs_in_there() {
    let write = "mkdir -p .cfg; echo a > .cfg/.credentials.json; echo b > .cfg/settings.json; sleep 0.3; cat .cfg/.credentials.json";
    let b = TestBox::new().file("{ws}/.cfg/settings.json", "{}\n");
    let dir = b.fill("{ws}/.cfg");
    let b = b.env("CLAUDE_CONFIG_DIR", dir);
    let ran = b.sh(write);
    assert_eq!(ran.code(), 1, "without it the login is the user's: {ran:?}");
    let b = b.option("--env").option("CLAUDE_CONFIG_DIR");
    let ran = b.sh(write);
    assert_eq!((ran.code(), ran.text()), (0, "a".to_owned()), "{ran:?}");
    assert_eq!(text(&b, ".cfg/settings.json"), "{}\n");
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

/// A directory of a command's was read-only as a whole (`fd . src/`, `-Ilib`), and one of Java's options that was not there yet was moved
/// away when a build made it (`-Dmaven.repo.local=.m2`, as CI has it).
#[test]
fn what_a_command_works_on_is_no_program() {
    for (var, value, file) in [
        ("FZF_DEFAULT_COMMAND", "fd --type f . ./src", "src/new"),
        ("FZF_DEFAULT_COMMAND", "fd --type f . later/", "later/new"),
        ("RUBYOPT", "-I{ws}/src", "src/new.rb"),
        ("EDITOR", "code --user-data-dir {ws}/src --wait", "src/new"),
        (
            "MAVEN_OPTS",
            "-Dmaven.repo.local={ws}/.m2/repo",
            ".m2/repo/a",
        ),
        (
            "JAVA_TOOL_OPTIONS",
            "-Djava.io.tmpdir={ws}/later",
            "later/a",
        ),
        ("JAVA_TOOL_OPTIONS", "-Xlog:gc:{ws}/gc/log", "gc/log"),
    ] {
        let b = boxed(&["src/main.rb", "src/hook.js", "src/pry.rb"]);
        let value = b.fill(value);
        let b = b.env(var, value);
        let ran = b.sh(&format!(
            "mkdir -p $(dirname {file}); echo mine > {file}; echo mine > src/main.rb; sleep 0.3; echo more >> {file}"
        ));
        assert_eq!(text(&b, file), "mine\nmore\n", "{var}: {ran:?}");
        assert_eq!(text(&b, "src/main.rb"), "mine\n", "{var}: {ran:?}");
    }
    // The twins: with the end that is not written, and a property that names a file.
    for (var, value, file) in [
        ("NODE_OPTIONS", "--require ./src/hook", "src/hook.js"),
        ("RUBYOPT", "-W0 -r./src/pry", "src/pry.rb"),
        (
            "MAVEN_OPTS",
            "-Dmaven.ext.class.path=src/a.jar",
            "src/a.jar",
        ),
    ] {
        let b = boxed(&[file]).env(var, value);
        let ran = b.sh(&format!("echo evil >> {file}; true"));
        assert_eq!(text(&b, file), "old\n", "{var}: {ran:?}");
    }
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

/// What an allowed `.envrc` reads is in no hash of direnv's: the next prompt in the directory runs it.
#[test]
fn what_an_envrc_reads_is_frozen() {
    let text_of = "source ./env.sh\nsource_env sub\nuse flake ./nix\neval \"$(tools/env)\"\n";
    for is_used in [true, false] {
        let b = boxed(&["env.sh", "nix/flake.nix", "tools/env", "tools/other"])
            .file("{ws}/.envrc", text_of)
            .file("{ws}/sub/.envrc", "source in/b\n")
            .file("{ws}/sub/in/b", "dotenv vars\n");
        let b = if is_used {
            b.dir("{home}/.local/share/direnv/allow")
        } else {
            b
        };
        let ran = b.sh(
            "for f in env.sh nix/flake.nix tools/env tools/other sub/vars; do echo evil >> $f; done; sleep 0.3; true",
        );
        ran.ok();
        let expected = if is_used { "old\n" } else { "old\nevil\n" };
        for file in ["env.sh", "nix/flake.nix", "tools/env"] {
            assert_eq!(text(&b, file), expected, "{file}, {is_used}: {ran:?}");
        }
        assert_eq!(text(&b, "tools/other"), "old\nevil\n", "the twin");
        let made = if is_used { "" } else { "evil\n" };
        assert_eq!(text(&b, "sub/vars"), made, "{ran:?}");
        let said = "read-only, since an .envrc of yours reads it: env.sh, nix/flake.nix, ";
        assert_eq!(ran.complaint().contains(said), is_used, "{ran:?}");
        // A flag lifts one.
        let b = b.option("--write").option("env.sh");
        b.sh("echo more >> env.sh").ok();
        assert!(text(&b, "env.sh").ends_with("more\n"));
    }
}

/// direnv reads a link's target where the link is.
#[test]
fn what_an_envrc_that_is_a_link_reads_is_frozen() {
    let b = boxed(&["env.sh", "conf/env.sh"])
        .file("{ws}/conf/rc", "source ./env.sh\n")
        .dir("{home}/.config/direnv");
    std::os::unix::fs::symlink("conf/rc", b.ws().join(".envrc")).unwrap();
    let ran = b.sh("for f in env.sh conf/env.sh ops/plain; do echo evil >> $f; done; true");
    assert_eq!(text(&b, "env.sh"), "old\n", "{ran:?}");
    assert_eq!(text(&b, "ops/plain"), "old\nevil\n", "the twin: {ran:?}");
}

/// `mise trust` is about a path: what stands in the file later runs at the next prompt where mise is active.
#[test]
fn settings_that_mise_trusts_are_frozen() {
    for trusts in ["mise.toml", "plain", ""] {
        let b = boxed(&["mise.toml", "sub/.config/mise/config.toml", "sub/plain"])
            .dir("{home}/.local/state/mise/trusted-configs");
        let link = b.home().join(".local/state/mise/trusted-configs/x");
        std::os::unix::fs::symlink(b.ws().join(trusts), link).unwrap();
        let files = "mise.toml sub/.config/mise/config.toml sub/plain";
        let ran = b.sh(&format!(
            "for f in {files}; do echo evil >> $f; done; cat {files}"
        ));
        let seen = |file: &str, frozen: bool| {
            let expected = if frozen { "old\n" } else { "old\nevil\n" };
            (file.to_owned(), expected.to_owned())
        };
        let expected = [
            seen("mise.toml", trusts != "plain"),
            seen("sub/.config/mise/config.toml", trusts.is_empty()),
            seen("sub/plain", false),
        ];
        let text: String = expected.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(ran.text(), text.trim_end(), "{trusts:?}: {ran:?}");
        // What is tracked is put back in the end.
        assert_eq!(crate::text(&b, "mise.toml"), "old\n", "{trusts:?}");
    }
}
