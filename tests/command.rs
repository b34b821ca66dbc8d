//! How a command is found and made runnable, wherever it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Feature, Layer, TestBox, missing, run};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const HELLO: &str = "#!/bin/sh\necho hello \"$@\"\n";

#[test]
fn a_script_of_the_workspace() {
    let b = TestBox::new().script("home/ws/tool", HELLO);
    assert_eq!(b.run(["./tool", "a b"]).ok(), "hello a b");
    let absolute = b.ws().join("tool");
    assert_eq!(b.run([absolute]).ok(), "hello");
}

#[test]
fn a_program_outside_of_every_grant() {
    let b = TestBox::new()
        .script("opt/thing/bin/thing", HELLO)
        .file("opt/thing/share/data", "x")
        .file("opt/secret", "y");
    let program = b.root().join("opt/thing/bin/thing");
    assert_eq!(b.run([&program]).ok(), "hello");
    // Only its own package came with it.
    b.probe("read {t}/opt/secret")
        .denied_deep(Errno::ENOENT, Layer::View);
}

#[test]
fn found_on_path_by_name() {
    let b = TestBox::new().script("apps/bin/mytool", HELLO);
    let path = format!("{}:/usr/bin:/bin", b.root().join("apps/bin").display());
    let b = b.env("PATH", path);
    assert_eq!(b.run(["mytool", "x"]).ok(), "hello x");
}

/// `agentbox run tool` with `.` on PATH must not run the workspace's `tool` in the place of the system's.
#[test]
fn a_relative_path_entry_is_dropped() {
    let b = TestBox::new()
        .script("home/ws/ls", "#!/bin/sh\necho planted\n")
        .script("home/ws/env", HELLO);
    let b = b.env("PATH", ".::/usr/bin:/bin");
    assert_ne!(b.run(["ls"]).ok(), "planted");
    let inside = b.run(["/bin/sh", "-c", "printf %s \"$PATH\""]).ok();
    assert!(
        inside.split(':').all(|dir| dir.starts_with('/')),
        "{inside}"
    );
}

#[test]
fn a_chain_of_symlinks() {
    let b = TestBox::new()
        .script("store/pkg-1.0/bin/real", HELLO)
        .dir("links")
        .dir("more");
    symlink(
        b.root().join("store/pkg-1.0/bin/real"),
        b.root().join("links/one"),
    )
    .unwrap();
    symlink("../links/one", b.root().join("more/two")).unwrap();
    let b = b.env("PATH", "/usr/bin:/bin");
    let program = b.root().join("more/two");
    assert_eq!(b.run([program]).ok(), "hello");
}

#[test]
fn npm_layout_with_the_native_part_in_a_sibling_package() {
    if missing(Feature::Tool("node")) {
        return;
    }
    let launcher = "#!/usr/bin/env node
        const path = require('path').join(__dirname, '..', '..', '@vendor', 'native', 'bin', 'native');
        const r = require('child_process').spawnSync(path, process.argv.slice(2), { stdio: 'inherit' });
        process.exit(r.status);";
    let b = TestBox::new()
        .script("npm/lib/node_modules/agent/bin/agent.js", launcher)
        .script("npm/lib/node_modules/@vendor/native/bin/native", HELLO)
        .dir("npm/bin");
    symlink(
        "../lib/node_modules/agent/bin/agent.js",
        b.root().join("npm/bin/agent"),
    )
    .unwrap();
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        b.root().join("npm/bin").display()
    );
    let b = b.env("PATH", path);
    assert_eq!(b.run(["agent", "world"]).ok(), "hello world");
}

#[test]
fn a_venv() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let b = TestBox::new()
        .dir("venv/bin")
        .file("venv/pyvenv.cfg", "home = /usr/bin\n");
    symlink("/usr/bin/python3", b.root().join("venv/bin/python3")).unwrap();
    let program = b.root().join("venv/bin/python3");
    let prefix = b
        .run([
            program.as_os_str(),
            "-c".as_ref(),
            "import sys; print(sys.prefix)".as_ref(),
        ])
        .ok();
    assert_eq!(prefix, b.root().join("venv").display().to_string());
}

/// `~/venv`, whose packages were missing: only directories deeper in HOME were granted. Not what lies beside Python's own.
#[test]
fn a_venv_directly_in_home() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let version = "import sys; print('python%d.%d' % sys.version_info[:2])";
    let python = std::process::Command::new("/usr/bin/python3")
        .args(["-c", version])
        .output()
        .unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    for place in ["venv", "work/site"] {
        let packages = format!("{{home}}/{place}/lib/{}/site-packages", python.trim());
        let b = TestBox::new()
            .file(&format!("{{home}}/{place}/pyvenv.cfg"), "home = /usr/bin\n")
            .file(&format!("{{home}}/{place}/.env"), "SECRET")
            .file(&format!("{{home}}/{place}/lib/own.key"), "SECRET")
            .file(&format!("{packages}/tool.py"), "print('tool runs')\n")
            .dir(&format!("{{home}}/{place}/bin"))
            .dir(&format!("{{home}}/{place}/.git"));
        let venv = b.home().join(place);
        symlink("/usr/bin/python3", venv.join("bin/python3")).unwrap();
        let script = format!(
            "#!{}/bin/python3\nimport sys, tool\nfor name in sys.argv[1:]:\n  try: print(open(name).read())\n  except OSError as e: print(e.errno)\n",
            venv.display()
        );
        let b = b.script(&format!("{{home}}/{place}/bin/tool"), &script);
        let path = format!("{}/bin:/usr/bin:/bin", venv.display());
        let b = b.env("PATH", path);
        let mut words = vec![OsString::from("tool")];
        words.extend(
            [
                venv.join("pyvenv.cfg"),
                venv.join(".env"),
                venv.join("lib/own.key"),
            ]
            .map(OsString::from),
        );
        let ran = b.run(words);
        assert_eq!(
            ran.ok(),
            "tool runs\nhome = /usr/bin\n\n2",
            "{place}: {ran:?}"
        );
    }
}

/// `~/jdk-21/bin/java`, which did not find its libraries. Of a project directly in HOME the program alone is there.
#[test]
fn a_program_that_was_unpacked_directly_in_home() {
    let tool = "#!/bin/sh\ncd \"${0%/bin/*}\"; cat lib/words; cat notes 2>/dev/null; ls -A\n";
    for (mark, there) in [
        ("x", "LIBRARY\nbin\nlib"),
        (".hg", "bin"),
        ("go.mod", "bin"),
    ] {
        let b = TestBox::new()
            .file("{home}/tool-1.0/lib/words", "LIBRARY\n")
            .file("{home}/tool-1.0/notes", "SECRET\n")
            .script("{home}/tool-1.0/bin/tool", tool);
        let b = b.dir(&format!("{{home}}/tool-1.0/{mark}"));
        let ran = b.run([b.home().join("tool-1.0/bin/tool")]);
        assert_eq!(ran.ok(), there, "{ran:?}");
    }
}

/// With `HOME=/tmp/ci` the user's own `~/bin/tool` brought all of the real one into the box, `.ssh` with it, where `~/lib` was there;
/// and a program with a directory of its own below `~/.config` what else lies there.
#[test]
fn what_lies_beside_a_program_in_another_home_or_among_settings() {
    let tool = "#!/bin/sh\nfor name; do cat \"$name\" || echo none; done 2>/dev/null\n";
    for (dir, secret, word, there) in [
        ("other", ".ssh/id", "lib/word", "none\nnone"),
        ("other/.local", "share/keyrings/x", "lib/word", "none\nnone"),
        ("other/.config/tool", "token", "lib/word", "none\nWORD"),
        ("other/jdk", "notes", "lib/word", "none\nWORD"),
        ("other/apps/tool", "notes", "lib/word", "SECRET\nWORD"),
        ("{home}/.config/tool", "token", "lib/word", "none\nWORD"),
        ("{home}/.config/x/tool", "notes", "lib/word", "SECRET\nWORD"),
    ] {
        let b = TestBox::new()
            .dir("other/.ssh")
            .file(&format!("{dir}/{secret}"), "SECRET\n")
            .file(&format!("{dir}/{word}"), "WORD\n")
            .script(&format!("{dir}/bin/tool"), tool);
        let dir = b.root().join(b.fill(dir));
        let ran = b.run([dir.join("bin/tool"), dir.join(secret), dir.join(word)]);
        assert_eq!(ran.ok(), there, "{}: {ran:?}", dir.display());
    }
}

/// A script of the working copy, which an agent of an earlier session may have made, named root's `/srv/app/bin/tool`: the next box saw
/// all of `/srv/app`. The caller's own word for that program is one for its directory.
#[test]
fn a_program_that_the_workspace_names_brings_what_programs_have() {
    if missing(Feature::HostRoot) {
        return;
    }
    let tool = "#!/bin/sh\n[ -x \"$1\" ] && shift\nfor name; do cat \"$name\" || echo none; done 2>/dev/null\n";
    let b = TestBox::new()
        .file("srv/app/lib/word", "WORD\n")
        .file("srv/app/config/passwords", "SECRET\n")
        .script("srv/app/bin/tool", tool);
    let app = b.root().join("srv/app");
    for dir in ["", "bin", "bin/tool", "lib", "config"] {
        std::os::unix::fs::lchown(app.join(dir), Some(0), Some(0)).unwrap();
    }
    let shebang = format!("#!{}\n", app.join("bin/tool").display());
    let b = b.script("{ws}/run", &shebang);
    symlink(app.join("bin/tool"), b.ws().join("link")).unwrap();
    for (command, there) in [
        (b.ws().join("run"), "WORD\nnone"),
        (b.ws().join("link"), "WORD\nnone"),
        (app.join("bin/tool"), "WORD\nSECRET"),
    ] {
        let ran = b.run([command, app.join("lib/word"), app.join("config/passwords")]);
        assert_eq!(ran.ok(), there, "{ran:?}");
    }
}

/// An agent of an earlier session, whose working copy it was, wrote another project into `pyvenv.cfg`: the next program of that
/// environment saw all of it.
#[test]
fn the_python_of_an_environment_is_one() {
    for (python, there) in [("run", "none\nnone"), ("python3", "SOURCE")] {
        let b = TestBox::new()
            .file("{home}/work/other/.env", "SECRET\n")
            .file("{home}/work/other/main.go", "SOURCE\n")
            .dir("{home}/work/other/lib");
        let b = b.script(&format!("{{home}}/work/other/bin/{python}"), HELLO);
        let home = b.fill("home = {home}/work/other/bin\n");
        let b = b.file("{home}/work/mine/venv/pyvenv.cfg", home).script(
            "{home}/work/mine/venv/bin/tool",
            "#!/bin/sh\nfor name; do cat \"$name\" || echo none; done 2>/dev/null\n",
        );
        let work = b.home().join("work");
        let ran = b.run([
            work.join("mine/venv/bin/tool"),
            work.join("other/.env"),
            work.join("other/main.go"),
        ]);
        assert_eq!(ran.ok(), there, "{python}: {ran:?}");
    }
}

/// `gem install --user-install`, `composer global require`: the program was there alone, and ended with "can't find gem" and
/// "Failed opening".
#[test]
fn programs_of_gems_and_of_composer_find_their_packages() {
    let tool = "#!/bin/sh\ncat \"${0%/bin/*}/$1\"\n";
    for (dir, file) in [
        (
            ".local/share/gem/ruby/3.1.0",
            "specifications/tool-1.0.gemspec",
        ),
        (".config/composer/vendor", "autoload.php"),
    ] {
        let b = TestBox::new()
            .file(&format!("{{home}}/{dir}/{file}"), "PACKAGE\n")
            .file(&format!("{{home}}/{dir}/../credentials"), "SECRET\n")
            .script(&format!("{{home}}/{dir}/bin/tool"), tool);
        let program = b.home().join(dir).join("bin/tool");
        let run = |file: &str| b.run([program.as_os_str(), file.as_ref()]);
        assert_eq!(run(file).ok(), "PACKAGE", "{dir}");
        assert_eq!(run("../credentials").code(), 1, "{dir}");
    }
}

#[test]
fn what_cannot_be_run() {
    let b = TestBox::new()
        .file("home/ws/plain", "no program")
        .dir("home/ws/dir")
        .script("home/ws/nointerp", "#!/no/such/interpreter\n");
    let table = [
        ("no-such-command", 127),
        ("./missing", 127),
        ("./plain", 126),
        ("./dir", 126),
        ("./nointerp", 127),
        ("/usr", 126),
    ];
    for (command, status) in table {
        let ran = b.run([command]);
        assert!(
            ran.code() == status || (command == "./nointerp" && ran.code() == 126),
            "{command}: {ran:?}"
        );
        assert!(ran.complaint().contains("agentbox: "), "{command}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{command}: {ran:?}");
    }
    assert_eq!(b.run(["true"]).code(), 0);
}

/// It was handed to /bin/sh, which said `1: ELF: not found` and ended with 127; a script without `#!` is, as by every shell.
#[test]
fn a_program_for_another_machine_is_no_script() {
    // A header of an ELF file for a machine that nobody has (EM_M32).
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x01\0\x01\0\0\0".to_vec();
    elf.resize(200, 0);
    let b = TestBox::new()
        .script("home/ws/other", "")
        .script("home/ws/plain", "echo script\n");
    fs::write(b.ws().join("other"), elf).unwrap();
    let ran = b.run(["./other"]);
    assert_eq!(ran.code(), 126, "{ran:?}");
    assert!(
        ran.complaint().contains("another kind of machine"),
        "{ran:?}"
    );
    assert_eq!(b.run(["./plain"]).ok(), "script");
}

/// peers.md, traps 10: helpers that are looked up on PATH, or in the workspace, would run outside of the box.
#[test]
fn nothing_of_the_workspace_runs_outside() {
    let names = [
        "git",
        "sh",
        "bash",
        "ip",
        "newuidmap",
        "newgidmap",
        "bwrap",
        "mount",
        "agentbox",
        "id",
        "getent",
        "node",
        "env",
        "uname",
    ];
    let mut b = TestBox::new()
        .dir("home/ws/.git")
        .file("home/ws/.git/HEAD", "ref: refs/heads/main\n");
    b = b.file(
        "home/ws/.git/config",
        "[core]\n\tfsmonitor = touch {t}/ran-fsmonitor\n\thooksPath = hooks\n",
    );
    for name in names {
        let script = b.fill(&format!("#!/bin/sh\ntouch {{t}}/ran-{name}\n"));
        b = b.script(&format!("home/ws/{name}"), &script);
    }
    let path = format!("{}:.:/usr/bin:/bin", b.ws().display());
    let b = b.env("PATH", path).dir("marks");
    fs::set_permissions(
        b.root(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    b.run(["/bin/true"]).ok();
    let ran: Vec<_> = fs::read_dir(b.root())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .filter(|n| n.to_string_lossy().starts_with("ran-"))
        .collect();
    assert!(ran.is_empty(), "executed outside: {ran:?}");
}

/// nohup and shells that ignore SIGCHLD: what the caller ignored the command ignores, and nothing else.
#[test]
fn signals_that_the_caller_ignored() {
    let b = TestBox::new();
    let inner = b.command(["/bin/grep", "SigIgn", "/proc/self/status"]);
    for ignored in ["", "HUP", "CHLD", "HUP,CHLD,QUIT,USR1,TERM"] {
        let with = match ignored {
            "" => "/usr/bin/env".to_owned(),
            _ => format!("/usr/bin/env --ignore-signal={ignored}"),
        };
        let bare = b.through(
            &format!("exec {with} /bin/grep SigIgn /proc/self/status"),
            &inner,
        );
        let boxed = b.through(&format!("exec {with} \"$@\""), &inner);
        assert_eq!(run(boxed).ok(), run(bare).ok(), "{ignored}");
    }
}

/// "install it" was said of a program that is there, and of one with a space in its name that it is a line for a shell.
#[test]
fn a_path_that_is_one_from_the_working_copy_is_told_where_it_is() {
    let b = TestBox::new()
        .file("{ws}/tool", "#!/bin/sh\necho ran\n")
        .file("{ws}/my tool", "#!/bin/sh\necho ran\n");
    for name in ["tool", "my tool"] {
        let file = b.ws().join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let from = |program: &str| {
            let mut command = b.agentbox(["run", "-q", "-C", b.ws().to_str().unwrap(), program]);
            command.current_dir("/");
            run(command)
        };
        let ran = from(&format!("./{name}"));
        assert_eq!(ran.code(), 127, "{ran:?}");
        let words = "from the current directory, and `-C` names the working copy: it is ";
        assert!(ran.complaint().contains(words), "{ran:?}");
        assert!(ran.complaint().contains(file.to_str().unwrap()), "{ran:?}");
        assert_eq!(from(file.to_str().unwrap()).ok(), "ran");
        let ran = from("./nosuch");
        assert!(ran.complaint().contains("install it"), "{ran:?}");
    }
}

/// `agentbox run .` spoke of `.` in the first directory of PATH.
#[test]
fn a_directory_is_no_command() {
    let b = TestBox::new().dir("{ws}/bin");
    for (name, said) in [
        (".", ". is a directory"),
        ("..", ".. is a directory"),
        ("./bin", "./bin is a directory"),
    ] {
        let ran = b.run([name]);
        assert_eq!(ran.code(), 126, "{ran:?}");
        let said = format!("agentbox: {said}; name a program; `agentbox run -C DIR COMMAND`");
        assert!(ran.complaint().starts_with(&said), "{ran:?}");
    }
    assert_eq!(b.run(["true"]).code(), 0, "the twin");
}
