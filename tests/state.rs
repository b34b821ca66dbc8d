//! What a program keeps between sessions: state files, directories of its own, private caches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Live, TestBox, run, until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const PROFILE: &str = "extends = [\"base\"]
[files]
state = [\"~/.tool.json\"]
write = [\"~/.tool/\"]
private = [\"~/.store\", \"~/.links\"]
";

fn tool() -> TestBox {
    TestBox::new().profile(PROFILE)
}

fn on_host(b: &TestBox) -> Value {
    serde_json::from_slice(&fs::read(b.home().join(".tool.json")).unwrap()).unwrap()
}

/// As the agents do it: lock directory, temporary file, rename.
fn replace_script(text: &str) -> String {
    format!(
        "set -e; mkdir ~/.tool.json.lock; echo '{text}' > ~/.tool.json.tmp.1; mv ~/.tool.json.tmp.1 ~/.tool.json; rmdir ~/.tool.json.lock"
    )
}

#[test]
fn a_login_survives_the_session() {
    let b = tool();
    b.sh(&replace_script("{\"token\":\"abc\"}")).ok();
    assert_eq!(on_host(&b)["token"], "abc");
    let meta = fs::metadata(b.home().join(".tool.json")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), b.ids());
    assert_eq!(
        meta.mode() & 0o077,
        0,
        "nobody else reads it: {:o}",
        meta.mode()
    );
    assert_eq!(
        b.sh("cat ~/.tool.json").ok().replace([' ', '\n'], ""),
        "{\"token\":\"abc\"}"
    );
    b.sh(&replace_script("{\"token\":\"def\"}")).ok();
    assert_eq!(on_host(&b)["token"], "def");
    let names: Vec<_> = fs::read_dir(b.home())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .filter(|n| n.to_string_lossy().starts_with(".tool.json."))
        .collect();
    assert!(names.is_empty(), "left behind: {names:?}");
}

/// Codex begins in a new project when it has saved that the folder is trusted: a file that cannot be replaced kept it at the question.
/// Settings with programs in them are no login, and nothing of them comes back.
#[test]
fn settings_in_toml_are_a_copy_that_goes_with_the_box() {
    let b = TestBox::new()
        .profile("extends = [\"base\"]\n[files]\nstate = [\"~/.tool/config.toml\"]\n")
        .file("home/.tool/config.toml", "model = \"x\"\n");
    let script = "cat ~/.tool/config.toml; echo 'trust = 1' >~/.tool/new; mv ~/.tool/new ~/.tool/config.toml; cat ~/.tool/config.toml; sleep 0.5";
    let ran = b.sh(script);
    assert_eq!(ran.ok(), "model = \"x\"\ntrust = 1");
    let host = fs::read_to_string(b.home().join(".tool/config.toml")).unwrap();
    assert_eq!(host, "model = \"x\"\n", "{ran:?}");
    // So is what a human trusts.
    let b = TestBox::new()
        .profile("extends = [\"base\"]\n[files]\nstate = [\"~/.tool/trustedFolders.json\", \"~/.tool/twin.json\"]\n")
        .file("home/.tool/trustedFolders.json", "{}")
        .file("home/.tool/twin.json", "{}")
        .dir("home/.tool");
    let script = "for f in trustedFolders twin; do echo '{\"x\": 1}' >~/.tool/new; mv ~/.tool/new ~/.tool/$f.json; done; cat ~/.tool/*.json";
    b.sh(script).ok();
    let host = |name| fs::read_to_string(b.home().join(".tool").join(name)).unwrap();
    assert_eq!(host("trustedFolders.json"), "{}");
    assert!(host("twin.json").contains("\"x\""), "the twin");
    // Where the host has none, the box may make one.
    let b = TestBox::new()
        .profile("extends = [\"base\"]\n[files]\nstate = [\"~/.tool/config.toml\"]\n")
        .dir("home/.tool");
    b.sh("mkdir -p ~/.tool; echo new >~/.tool/config.toml").ok();
    assert!(!b.home().join(".tool/config.toml").exists());
}

/// A first log-in in a box, of an agent that never ran outside: its directory was missing, and the log-in was gone at the end.
/// `/home -> /var/home`: no agent started there.
#[test]
fn a_login_survives_where_home_is_a_link() {
    for way in ["way/home", "link"] {
        let b = tool();
        std::os::unix::fs::symlink(b.root(), b.root().join("way")).unwrap();
        std::os::unix::fs::symlink(b.home(), b.root().join("link")).unwrap();
        let home = b.root().join(way);
        let b = b.env("HOME", &home);
        b.sh(&replace_script("{\"token\":\"abc\"}")).ok();
        assert_eq!(on_host(&b)["token"], "abc", "{way}");
        let ran = b.sh("echo $HOME; cat ~/.tool.json; echo x > ~/.tool/x; echo x > ~/other");
        let text = ran.ok();
        assert_eq!(text.lines().next(), home.to_str(), "{way}");
        assert!(text.contains("abc"), "{ran:?}");
        assert!(b.home().join(".tool/x").exists(), "{way}");
        assert!(
            !b.home().join("other").exists(),
            "{way}: HOME is the box's own"
        );
    }
}

#[test]
fn a_first_login_makes_the_directory_of_its_file() {
    let profile = "extends = [\"base\"]\n[files]\nstate = [\"~/.tool/auth.json\", \"~/.conf/deep/login.json\", \"~/.else/x.json\"]\n";
    let b = TestBox::new().profile(profile);
    let ran = b.sh("mkdir -p ~/.tool ~/.conf/deep; echo '{\"token\":1}' | tee ~/.tool/auth.json >~/.conf/deep/login.json");
    assert!(!ran.complaint().contains("written back"), "{ran:?}");
    for file in [".tool/auth.json", ".conf/deep/login.json"] {
        let text = fs::read(b.home().join(file)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["token"], 1);
    }
    for dir in [".tool", ".conf", ".conf/deep"] {
        let meta = fs::metadata(b.home().join(dir)).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (b.ids().0, 0o700));
    }
    // Where nothing was written there is nothing.
    assert!(!b.home().join(".else").exists());
    assert_eq!(
        b.sh("cat ~/.tool/auth.json").ok().replace([' ', '\n'], ""),
        "{\"token\":1}"
    );

    // Nor is anything made behind a link that leads nowhere.
    let b = TestBox::new().profile(profile);
    std::os::unix::fs::symlink(b.root().join("nowhere"), b.home().join(".tool")).unwrap();
    b.sh("mkdir ~/.tool; echo '{\"token\":1}' >~/.tool/auth.json");
    assert!(!b.root().join("nowhere").exists());
}

#[test]
fn an_unchanged_file_is_not_touched() {
    let b = tool().file("home/.tool.json", "{ \"a\": 1 }  \n");
    let before = fs::metadata(b.home().join(".tool.json")).unwrap();
    b.sh("cat ~/.tool.json >/dev/null").ok();
    let after = fs::metadata(b.home().join(".tool.json")).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
    assert_eq!(
        fs::read_to_string(b.home().join(".tool.json")).unwrap(),
        "{ \"a\": 1 }  \n"
    );
}

/// The keys that run things outside at the next start: a box must not write them into the host's file.
#[test]
fn keys_that_run_things_do_not_come_out() {
    let b = tool().file(
        "home/.tool.json",
        r#"{"token":"old","mcpServers":{"mine":{"command":"good"}},"hooks":{"h":"mine"}}"#,
    );
    let text = r#"{"token":"new","mcpServers":{"evil":{"command":"sh"}},"hooks":{"h":"evil"},"apiKeyHelper":"sh -c evil","projects":{"/x":{"mcpServers":{"evil":{"command":"sh"}},"hasTrustDialogAccepted":true,"allowedTools":["Bash"],"lastCost":3}}}"#;
    b.sh(&replace_script(text)).ok();
    let host = on_host(&b);
    assert_eq!(host["token"], "new", "the twin: {host}");
    assert_eq!(
        host["mcpServers"],
        json!({"mine": {"command": "good"}}),
        "{host}"
    );
    assert_eq!(host["hooks"], json!({"h": "mine"}), "{host}");
    assert!(!host.to_string().contains("evil"), "{host}");
    assert!(
        host["projects"]["/x"]["hasTrustDialogAccepted"] != true,
        "{host}"
    );
    assert!(
        host["projects"]["/x"]["allowedTools"]
            .as_array()
            .is_none_or(Vec::is_empty),
        "{host}"
    );
}

/// Claude Code moves an accepted warning from one file to another and writes down that it has. Neither half of the move travels;
/// the note did, so that it asked at each later start, in the box and outside.
#[test]
fn what_was_rewritten_in_the_copy_alone_is_done_again() {
    let before = r#"{"bypassPermissionsModeAccepted":true,"migrationVersion":3,"theme":"dark"}"#;
    let b = tool().file("home/.tool.json", before);
    b.sh(&replace_script(
        r#"{"migrationVersion":15,"theme":"light"}"#,
    ))
    .ok();
    let host = on_host(&b);
    assert_eq!(host["theme"], "light", "the twin: {host}");
    assert_eq!(host["bypassPermissionsModeAccepted"], true, "{host}");
    assert_eq!(host["migrationVersion"], 3, "{host}");
}

/// Written back while the session runs, not only at its end: a crash must not lose a login.
#[test]
fn a_change_is_written_back_at_once() {
    let b = tool();
    let mut live = b.start([
        "/bin/sh",
        "-c",
        &format!(
            "{}; echo written; sleep 600",
            replace_script("{\"token\":\"early\"}")
        ),
    ]);
    live.wait_line("written");
    until("the host's file", || {
        fs::read_to_string(b.home().join(".tool.json")).is_ok_and(|t| t.contains("early"))
    });
    drop(live);
}

/// The host's file changed meanwhile: merged by top-level key, and the host wins.
#[test]
fn changes_on_both_sides() {
    let b = tool().file("home/.tool.json", r#"{"a":1,"b":1,"c":1}"#);
    let mut command = b.command([
        "/bin/sh",
        "-c",
        &format!(
            "echo ready; read line; {}",
            replace_script(r#"{"a":1,"b":2,"c":2,"box":true}"#)
        ),
    ]);
    command.stdin(std::process::Stdio::piped());
    let mut live = Live::start(command);
    live.wait_line("ready");
    fs::write(
        b.home().join(".tool.json"),
        r#"{"a":9,"b":9,"c":1,"host":true}"#,
    )
    .unwrap();
    use std::io::Write;
    live.stdin().write_all(b"go\n").unwrap();
    assert_eq!(live.end().code(), 0);
    assert_eq!(
        on_host(&b),
        json!({"a": 9, "b": 9, "c": 2, "host": true, "box": true})
    );
}

/// Two sessions and one bare agent at once: nobody's key is lost.
#[test]
fn two_sessions_and_a_bare_agent() {
    let b = tool().file("home/.tool.json", "{\"start\":1}");
    let begin = |name: &str| {
        let text = format!(
            "echo ready; read line; python3 - <<E\nimport json,os\np=os.path.expanduser('~/.tool.json')\nd=json.load(open(p)); d['{name}']=1\njson.dump(d,open(p+'.t','w')); os.rename(p+'.t',p)\nE"
        );
        let mut command = b.command(["/bin/sh", "-c", &text]);
        command.stdin(std::process::Stdio::piped());
        let mut live = Live::start(command);
        live.wait_line("ready");
        live
    };
    if common::missing(common::Feature::Tool("python3")) {
        return;
    }
    let (mut one, mut two) = (begin("one"), begin("two"));
    fs::write(b.home().join(".tool.json"), "{\"start\":1,\"bare\":1}").unwrap();
    use std::io::Write;
    one.stdin().write_all(b"go\n").unwrap();
    two.stdin().write_all(b"go\n").unwrap();
    assert_eq!((one.end().code(), two.end().code()), (0, 0));
    assert_eq!(
        on_host(&b),
        json!({"start": 1, "bare": 1, "one": 1, "two": 1})
    );
}

/// What is written back is data, never a way to another file of the host.
#[test]
fn a_state_file_that_is_something_else() {
    for script in [
        "rm -f ~/.tool.json; ln -s {t}/victim ~/.tool.json",
        "rm -f ~/.tool.json; mkdir ~/.tool.json",
        "rm -f ~/.tool.json; mkfifo ~/.tool.json",
        "echo 'no json at all' > ~/.tool.json",
        "rm -f ~/.tool.json",
        "head -c 300000000 /dev/zero > ~/.tool.json; true",
        "printf '{\"a\":' > ~/.tool.json",
    ] {
        let b = tool()
            .file("home/.tool.json", "{\"mine\":1}")
            .file("victim", "untouched");
        let ran = b.sh(script);
        assert!(ran.code() == 0, "{script}: {ran:?}");
        assert_eq!(
            fs::read_to_string(b.root().join("victim")).unwrap(),
            "untouched",
            "{script}"
        );
        let meta = fs::symlink_metadata(b.home().join(".tool.json")).unwrap();
        assert!(
            meta.is_file() && meta.len() < 100_000_000,
            "{script}: {meta:?}"
        );
        assert_eq!(on_host(&b)["mine"], 1, "{script}: the host's file stands");
    }
    // A symlink on the host: a dotfile manager's. Its target is the state; the link stays.
    let b = tool().file("dotfiles/tool.json", "{\"mine\":1}");
    std::os::unix::fs::symlink(
        b.root().join("dotfiles/tool.json"),
        b.home().join(".tool.json"),
    )
    .unwrap();
    let ran = b.sh(&replace_script("{\"mine\":2}"));
    if ran.code() == 0 {
        assert!(
            fs::symlink_metadata(b.home().join(".tool.json"))
                .unwrap()
                .is_symlink(),
            "the link stays"
        );
        assert_eq!(on_host(&b)["mine"], 2);
    } else {
        assert_eq!(ran.code(), 125, "{ran:?}");
    }
}

#[test]
fn a_directory_is_made_for_its_owner_only() {
    let b = tool();
    b.sh("echo kept > ~/.tool/history; mkdir -p ~/.tool/a/b")
        .ok();
    let meta = fs::metadata(b.home().join(".tool")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (b.ids().0, 0o700));
    assert_eq!(
        fs::read_to_string(b.home().join(".tool/history")).unwrap(),
        "kept\n"
    );
    assert_eq!(b.sh("cat ~/.tool/history").ok(), "kept");
    // Next to it there is nothing.
    b.probe("read {home}/.other").refused(Errno::ENOENT);
}

/// Caches are the box's own: the host's cannot be poisoned, and they are there again the next time.
#[test]
fn private_caches() {
    let b = tool()
        .file("home/.cache/pip/wheel", "host's")
        .file("home/.store/pkg", "host's");
    b.probe("read {home}/.cache/pip/wheel")
        .refused(Errno::ENOENT);
    b.sh("mkdir -p ~/.cache/pip ~/.store; echo poison > ~/.cache/pip/wheel; echo poison > ~/.store/pkg; echo mine > ~/.cache/own").ok();
    assert_eq!(
        fs::read_to_string(b.home().join(".cache/pip/wheel")).unwrap(),
        "host's"
    );
    assert_eq!(
        fs::read_to_string(b.home().join(".store/pkg")).unwrap(),
        "host's"
    );
    assert_eq!(b.sh("cat ~/.cache/own ~/.store/pkg").ok(), "mine\npoison");
    // One mount for what one profile names, and one for the caches of tools: pnpm, uv and bun link from their store into other
    // places.
    b.sh("echo x > ~/.links/f && ln ~/.links/f ~/.store/f && mv ~/.store/pkg ~/.links/moved && test $(stat -c %h ~/.store/f) = 2").ok();
    b.sh("mv ~/.cache/own ~/.store/moved && cat ~/.store/moved")
        .ok();
    let tools = "mkdir -p ~/.cache/uv && echo x > ~/.cache/uv/f && ln ~/.cache/uv/f ~/.npm/f && test $(stat -c %h ~/.npm/f) = 2";
    run(b.agentbox([
        "run", "--net", "none", "-p", "shell", "--", "sh", "-c", tools,
    ]))
    .ok();
}

/// `.pnp.cjs` of a project names archives in `~/.yarn/berry/cache`: the box after the one that had installed them had none of them, and
/// nothing of the project ran.
#[test]
fn the_next_box_has_the_packages_of_yarn_that_the_last_one_fetched() {
    let b = TestBox::new()
        .option("-p")
        .option("shell")
        .file("home/.yarn/berry/cache/pkg", "host's");
    b.sh("mkdir -p ~/.yarn/berry/cache; echo fetched > ~/.yarn/berry/cache/pkg; echo x > ~/.yarn/other").ok();
    assert_eq!(
        b.sh("cat ~/.yarn/berry/cache/pkg; cat ~/.yarn/other || true")
            .text(),
        "fetched"
    );
    let host = fs::read_to_string(b.home().join(".yarn/berry/cache/pkg"));
    assert_eq!(host.unwrap(), "host's");
}

/// Caches and environments that package managers keep outside of `~/.cache` ended with each box.
#[test]
fn the_next_box_has_what_package_managers_of_many_languages_kept() {
    let kept = [
        ".nuget/packages",
        ".local/share/NuGet/http-cache",
        ".pub-cache/hosted",
        ".hex/packages",
        ".cabal/store",
        ".stack/snapshots",
        ".julia/packages",
        ".conan2/p",
        ".ivy2/cache",
        ".sbt/boot",
        ".local/share/hatch/env",
        ".terraform.d/plugin-cache",
    ];
    let mut b = TestBox::new().option("-p").option("shell");
    for place in kept {
        b = b.file(&format!("home/{place}/pkg"), "host's");
    }
    // Beside them: what ends with the box as before, and is not the host's either.
    for secret in [
        ".nuget/NuGet/NuGet.Config",
        ".sbt/.credentials",
        ".ivy2/.credentials",
        ".terraform.d/credentials.tfrc.json",
    ] {
        b = b.file(&format!("home/{secret}"), "CANARY");
    }
    let all = kept.join(" ");
    b.sh(&format!(
        "cd; for d in {all}; do mkdir -p $d && echo fetched >$d/pkg; done; echo x >~/.sbt/other"
    ))
    .ok();
    let ran = b.sh(&format!(
        "cd; for d in {all}; do cat $d/pkg; done; cat .sbt/other; grep -r CANARY . 2>/dev/null"
    ));
    let fetched = vec!["fetched"; kept.len()].join("\n");
    assert_eq!(ran.text().trim(), fetched, "{ran:?}");
    for place in kept {
        let host = fs::read_to_string(b.home().join(place).join("pkg"));
        assert_eq!(host.unwrap(), "host's");
    }
}

/// `--read ~/.m2` and `--write ~/.m2` ended the start: "cannot be private", with nothing that the caller could take out.
#[test]
fn a_cache_that_the_caller_grants_is_the_hosts() {
    let world = || {
        TestBox::new()
            .option("-p")
            .option("shell")
            .file("home/.m2/pkg", "host's")
    };
    let own = world();
    assert_eq!(own.sh("cat ~/.m2/pkg || echo none").ok().trim(), "none");
    let read = world();
    let place = read.home().join(".m2");
    let read = read.option("--read").option(place.to_str().unwrap());
    let ran = read.sh("cat ~/.m2/pkg; echo x >~/.m2/other || echo refused");
    assert_eq!(ran.ok().trim(), "host'srefused", "{ran:?}");
    let write = world();
    let place = write.home().join(".m2");
    let write = write.option("--write").option(place.to_str().unwrap());
    write.sh("echo changed >~/.m2/pkg").ok();
    assert_eq!(fs::read_to_string(place.join("pkg")).unwrap(), "changed\n");
}

/// poetry keeps environments in `~/.cache`, which is the box's own: from `poetry shell` nothing of the environment ran, and not with
/// `--read "$VIRTUAL_ENV"` either.
#[test]
fn an_environment_in_the_cache_runs() {
    let b = TestBox::new()
        .option("-p")
        .option("shell")
        .file(
            "home/.cache/pypoetry/virtualenvs/p/pyvenv.cfg",
            "home = /usr/bin\n",
        )
        .file("home/.cache/pypoetry/other", "CANARY");
    let venv = b.home().join(".cache/pypoetry/virtualenvs/p");
    let bin = venv.join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bin.join("python3")).unwrap();
    let script = format!(
        "#!{}/python3\necho ran; cat ~/.cache/pypoetry/other\n",
        bin.display()
    );
    fs::write(bin.join("tool"), script).unwrap();
    fs::set_permissions(bin.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = b.run([bin.join("tool").to_str().unwrap()]);
    assert_eq!(ran.text().trim(), "ran", "{ran:?}");
    let path = format!("PATH={}:$PATH exec \"$@\"", bin.display());
    let read = b.option("--read").option(venv.to_str().unwrap());
    let ran = run(read.through(
        &path,
        &read.command(["sh", "-c", "tool; echo x >~/.cache/own"]),
    ));
    assert_eq!(ran.text().trim(), "ran", "{ran:?}");
    assert!(!venv.join("own").exists());
}

/// `~/.cargo` as a link to another disk: "cannot be private: it is not below HOME" ended each start.
#[test]
fn a_directory_of_home_that_leads_to_another_disk_ends_no_start() {
    let b = TestBox::new().option("-p").option("shell");
    let disk = b.root().join("disk");
    fs::create_dir_all(disk.join("registry")).unwrap();
    fs::write(disk.join("registry/pkg"), "host's").unwrap();
    for made in ["", "registry", "registry/pkg"] {
        b.chown(&disk.join(made));
    }
    std::os::unix::fs::symlink(&disk, b.home().join(".cargo")).unwrap();
    let ran = b.sh("cat ~/.cargo/registry/pkg || echo none");
    assert_eq!(ran.ok().trim(), "none", "{ran:?}");
    let registry = disk.join("registry");
    let flag = format!("--write {}", registry.display());
    assert!(ran.complaint().contains(&flag), "{ran:?}");
    // The way out is one.
    let b = b.option("--write").option(registry.to_str().unwrap());
    let ran = b.sh("cat ~/.cargo/registry/pkg; echo x >~/.cargo/registry/new");
    assert_eq!(ran.ok().trim(), "host's", "{ran:?}");
    assert!(!ran.complaint().contains("not below HOME"), "{ran:?}");
    assert!(registry.join("new").exists());
}

/// Programs of a language whose installer puts them into HOME were not there; what lies beside them is not.
#[test]
fn languages_that_their_installers_put_into_home_run_and_logins_beside_them_are_not_read() {
    let programs = [
        ".dotnet/dotnet",
        ".dotnet/sdk/8.0/tool",
        ".dotnet/tools/tool",
        ".rye/shims/tool",
        ".ghcup/bin/tool",
        ".opam/default/bin/tool",
        ".rvm/rubies/ruby-3/bin/tool",
        ".local/share/pypoetry/venv/bin/tool",
        ".local/share/coursier/bin/tool",
        "Android/Sdk/platform-tools/tool",
        "perl5/bin/tool",
    ];
    let logins = [
        ".dotnet/corefx/cryptography/x509stores/my/cert.pfx",
        ".rye/credentials",
        ".conan2/credentials.json",
        ".conan2/remotes.json",
        ".ghcup/config.yaml",
    ];
    let mut b = TestBox::new().option("-p").option("shell");
    for program in programs {
        b = b.file(&format!("home/{program}"), "#!/bin/sh\necho ran\n");
    }
    for login in logins {
        b = b.file(&format!("home/{login}"), "CANARY");
    }
    for program in programs {
        let file = b.home().join(program);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for program in programs {
        let ran = b.sh(&format!("~/{program} && ! echo x >>~/{program}"));
        assert_eq!(ran.ok().trim(), "ran", "{program}: {ran:?}");
    }
    for login in logins {
        let ran = b.sh(&format!("cat ~/{login}"));
        assert_ne!(ran.code(), 0, "{login}: {ran:?}");
        assert!(!ran.text().contains("CANARY"), "{login}: {ran:?}");
    }
}

/// A box had the places of all profiles by their paths: a login that another agent keeps in its own could be read and changed.
#[test]
fn private_places_of_other_profiles_are_not_there() {
    let other = "extends = [\"base\"]\n[files]\nprivate = [\"~/.other\", \"~/.cache/sub\"]\n";
    let b = tool().file("{home}/other.toml", other);
    let as_other = |script: &str| {
        let profile = b.fill("{home}/other.toml");
        let args = ["run", "--net", "none", "-p", &profile, "--"];
        run(b.agentbox([&args[..], &["/bin/sh", "-c", script]].concat()))
    };
    as_other("echo CANARY > ~/.other/login; mkdir -p ~/.cache/sub; echo sub > ~/.cache/sub/x").ok();
    b.sh("echo shared > ~/.cache/shared; echo own > ~/.store/own")
        .ok();
    let data = b.fill("{home}/.local/share/agentbox");
    assert_eq!(
        fs::read_to_string(format!("{data}/private-of/other/.other/login")).unwrap(),
        "CANARY\n"
    );
    let spy = format!(
        "cd {data}; cat */.other/login */*/.other/login; echo evil >> private-of/other/.other/login; \
         rm -rf private-of/other; mkdir private-of/new; find . -name .other -o -name login"
    );
    let ran = b.sh(&spy);
    let text = ran.text();
    assert!(
        !text.contains("CANARY") && !text.contains(".other\n"),
        "{ran:?}"
    );
    assert!(!std::path::Path::new(&format!("{data}/private-of/new")).exists());
    // The twins: its own, and the caches that both have.
    assert_eq!(
        as_other("cat ~/.other/login ~/.cache/shared").ok(),
        "CANARY\nshared"
    );
    assert_eq!(b.sh("cat ~/.store/own ~/.cache/sub/x").ok(), "own\nsub");
}

/// What an agent leaves in a place of its own must not lead the next session elsewhere: agentbox opens these places
/// outside, with the caller's rights.
#[test]
fn private_places_turned_into_links() {
    let b = tool()
        .file("home/.ssh/id", "CANARY")
        .file("victim/f", "CANARY");
    let sabotage = "set -e; P={home}/.local/share/agentbox/private; ls -A $P >&2
        for place in $P $P/..; do cd $place 2>/dev/null || continue; for d in $(ls -A); do
          mv $d ~/ws/moved-$d-$(date +%N) 2>/dev/null || continue; ln -s {home}/.ssh $d; done; done; true";
    for round in 0..3 {
        assert_eq!(b.sh(sabotage).code(), 0, "round {round}");
        let ran = b.sh("cat ~/.cache/id ~/.store/id ~/.cache/*/id 2>/dev/null; echo evil > ~/.cache/authorized_keys; echo evil > ~/.store/authorized_keys; echo end");
        assert!(ran.code() == 0 || ran.code() == 125, "{ran:?}");
        assert!(!ran.text().contains("CANARY"), "{ran:?}");
        let names: Vec<_> = fs::read_dir(b.home().join(".ssh"))
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(names, ["id"], "written outside");
    }
}

/// The same for a directory that a profile grants: the agent may fill it, but not turn it into a way out.
#[test]
fn a_granted_directory_turned_into_a_link() {
    let text = "extends = [\"base\"]\n[files]\nwrite = [\"~/.tool/\", \"~/.tool/sub/\"]\nread = [\"~/.tool/conf?\"]\n";
    let b = TestBox::new().profile(text).file("home/.ssh/id", "CANARY");
    b.sh("rm -rf ~/.tool/sub ~/.tool/conf; ln -s {home}/.ssh ~/.tool/sub; ln -s {home}/.ssh ~/.tool/conf; echo end");
    let ran = b.sh(
        "cat ~/.tool/sub/id ~/.tool/conf/id; echo evil > ~/.tool/sub/authorized_keys; echo end",
    );
    assert!(ran.code() == 0 || ran.code() == 125, "{ran:?}");
    assert!(!ran.text().contains("CANARY"), "{ran:?}");
    assert!(!b.home().join(".ssh/authorized_keys").exists(), "{ran:?}");
}
