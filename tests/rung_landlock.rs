//! The rung `landlock`: places in which no namespace can be had. Each test runs where docker's default filter is (made by `probe
//! enter docker`, without an engine), and the suite once more in a chroot where root starts the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, as_root, missing, token};
use common::{Errno, PATIENCE, Ran, TestBox, run, until};
use std::process::Command;

fn lacks() -> bool {
    missing(Feature::Landlock(6))
}

/// A box that accepts it.
fn accepting() -> TestBox {
    TestBox::new().option("--rung").option("landlock")
}

/// `agentbox ARGS` in such a place.
fn there(b: &TestBox, inner: &Command) -> Command {
    b.through("exec {probe} enter docker -- \"$@\"", inner)
}

/// `agentbox run OPTIONS -- WORDS` in such a place.
fn inside(b: &TestBox, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
    run(there(b, &b.command(&words)))
}

/// The answers of `probe batch`, by name: `ok` or the errno.
fn answers(b: &TestBox, lines: &[&str]) -> Vec<String> {
    let mut words = vec!["{probe}", "batch"];
    words.extend(lines);
    let ran = inside(b, &words);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let all: Vec<String> = ran
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|answer| answer["name"].as_str().unwrap_or("ok").to_owned())
        .collect();
    assert_eq!(all.len(), lines.len(), "{ran:?}");
    all
}

/// One row each: the operation and what it has to say.
fn table(b: &TestBox, rows: &[(&str, &str)]) {
    let lines: Vec<&str> = rows.iter().map(|(line, _)| *line).collect();
    for ((line, want), got) in rows.iter().zip(answers(b, &lines)) {
        assert!(
            want.split('|').any(|want| want == got),
            "{line}: {got}, not {want}"
        );
    }
}

#[test]
fn by_itself_it_is_refused_with_the_flag() {
    if lacks() {
        return;
    }
    inside(&TestBox::new(), &["true"]).refused(&["--rung landlock", "check --rungs"]);
    let b = TestBox::new().option("--rung").option("container-proc");
    inside(&b, &["true"]).refused(&["only the rung `landlock`", "--rung landlock"]);
    let ran = inside(&accepting(), &["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("rung landlock"), "{ran:?}");
    let b = accepting().option("--allow-missing").option("landlock");
    inside(&b, &["true"]).refused(&["is nothing without the layer landlock"]);
    let b = accepting().option("--require").option("namespaces");
    inside(&b, &["true"]).refused(&["the layer namespaces is required"]);
}

#[test]
fn check_predicts_it() {
    if lacks() {
        return;
    }
    let b = TestBox::new().dir("tmp");
    let place = b.root().join("tmp");
    let b = b.env("TMPDIR", &place);
    let ran = run(there(&b, &b.agentbox(["check"])));
    assert!(
        std::fs::read_dir(&place).unwrap().next().is_none(),
        "{ran:?}"
    );
    assert_eq!(ran.code(), 1, "{ran:?}");
    let text = ran.text();
    assert!(text.contains("at most the rung `landlock`"), "{ran:?}");
    assert!(text.contains("yes  a run with --rung landlock"), "{ran:?}");
}

/// The exit status, the environment, a HOME of its own and its end.
#[test]
fn the_command_runs_and_nothing_is_left() {
    if lacks() {
        return;
    }
    let b = accepting().env("PASSWORD_X", "hunter2");
    let ran = inside(
        &b,
        &[
            "sh",
            "-c",
            "echo one >new && cat new && echo two >\"$HOME/x\" && cat \"$HOME/x\" && echo three >\"$TMPDIR/y\" && \
             cat \"$TMPDIR/y\" && echo \"$HOME\" && env && exit 7",
        ],
    );
    assert_eq!(ran.code(), 7, "{ran:?}");
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["one", "two", "three"], "{ran:?}");
    assert!(!text.contains("hunter2"), "{ran:?}");
    let home = std::path::Path::new(lines[3]);
    assert!(home.ends_with("home") && home != b.home(), "{ran:?}");
    assert!(!home.parent().unwrap().exists(), "{ran:?}");
    assert!(b.ws().join("new").exists());
    let b = accepting();
    assert_eq!(inside(&b, &["no-such-command"]).code(), 127);
    assert_eq!(inside(&b, &["sh", "-c", "kill -15 $$"]).code(), 143);
}

/// What is not granted is forbidden, next to what is.
#[test]
fn files_that_are_not_granted_are_closed() {
    if lacks() {
        return;
    }
    let b = accepting()
        .file("home/.ssh/id_ed25519", "secret")
        .file("home/.aws/credentials", "secret")
        .file("home/.docker/config.json", "secret")
        .file("home/notes", "mine")
        .file("other/file", "not mine");
    table(
        &b,
        &[
            ("read {ws}/../notes", "EACCES"),
            ("read {home}/.ssh/id_ed25519", "EACCES"),
            ("listdir {home}/.ssh", "EACCES"),
            ("read {home}/.aws/credentials", "EACCES"),
            ("read {home}/.docker/config.json", "EACCES"),
            ("read {t}/other/file", "EACCES"),
            ("write {t}/other/file x", "EACCES"),
            ("create {t}/other/new 420", "EACCES"),
            ("create /tmp/agentbox-test-new 420", "EACCES"),
            ("listdir /", "EACCES"),
            ("listdir /tmp", "EACCES"),
            ("read /etc/shadow", "EACCES"),
            ("listdir /run", "EACCES"),
            ("listdir /root", "EACCES"),
            ("listdir /dev/shm", "EACCES"),
            ("write /proc/sys/kernel/core_pattern x", "EACCES|EROFS"),
            ("create {ws}/new 420", "ok"),
            ("read {ws}/new", "ok"),
            ("rename {ws}/new {ws}/newer", "ok"),
            ("rename {ws}/newer {t}/other/newer", "EACCES|EXDEV"),
            ("link {ws}/newer {ws}/again", "ok"),
            ("unlink {ws}/newer", "ok"),
            ("listdir /usr", "ok"),
            ("read /etc/passwd", "ok"),
            ("write /dev/null x", "ok"),
            ("create {ws}/link-dir 420", "ok"),
            ("symlink {home}/notes {ws}/link", "ok"),
            ("read {ws}/link", "EACCES"),
        ],
    );
    assert_eq!(
        std::fs::read_to_string(b.root().join("other/file")).unwrap(),
        "not mine"
    );
}

/// A hidden name in a granted tree: what is beside it stays, and nothing of it can be had by another name.
#[test]
fn hidden_names_are_closed_and_their_neighbours_are_not() {
    if lacks() {
        return;
    }
    let b = accepting()
        .file("{ws}/.env", "SECRET")
        .file("{ws}/src/main.c", "int")
        .file("{ws}/deep/er/prod.tfstate", "SECRET")
        .file("{ws}/deep/er/readme", "text");
    table(
        &b,
        &[
            ("read {ws}/.env", "EACCES"),
            ("write {ws}/.env x", "EACCES"),
            ("unlink {ws}/.env", "EACCES"),
            ("rename {ws}/.env {ws}/src/env", "EACCES|EXDEV"),
            ("link {ws}/.env {ws}/src/env", "EACCES|EXDEV"),
            ("read {ws}/deep/er/prod.tfstate", "EACCES"),
            ("rename {ws}/deep {ws}/src/deep", "EACCES|EXDEV"),
            ("read {ws}/deep/er/readme", "ok"),
            ("read {ws}/src/main.c", "ok"),
            ("create {ws}/src/new 420", "ok"),
            ("write {ws}/src/main.c x", "ok"),
            ("create {ws}/beside 420", "EACCES"),
            ("listdir {ws}", "ok"),
        ],
    );
}

/// Protected names are a guard-rail here: put back at the end, and said.
#[test]
fn protected_names_are_put_back() {
    if lacks() {
        return;
    }
    let b = accepting()
        .file("{ws}/.mcp.json", "{}")
        .file("{ws}/.github/workflows/ci.yml", "on: push");
    let script = "echo evil >.mcp.json; echo evil >.github/workflows/ci.yml; mkdir -p .claude; echo x >.claude/settings.json";
    let ran = inside(&b, &["sh", "-c", script]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let read = |name: &str| std::fs::read_to_string(b.ws().join(name));
    assert_eq!(read(".mcp.json").unwrap(), "{}", "{ran:?}");
    assert_eq!(
        read(".github/workflows/ci.yml").unwrap(),
        "on: push",
        "{ran:?}"
    );
    assert!(read(".claude/settings.json").is_err(), "{ran:?}");
    assert!(ran.complaint().contains("agentbox restore"), "{ran:?}");
}

/// Refused programs are EACCES, by every way to execute them; their neighbours run.
#[test]
fn refused_programs_do_not_run() {
    if lacks() {
        return;
    }
    let b = accepting()
        .script("{ws}/tools/terraform", "#!/bin/sh\necho ran\n")
        .script("bin2/terraform", "#!/bin/sh\necho ran\n")
        .script("bin2/fine", "#!/bin/sh\necho fine\n")
        .option("--read")
        .option("{t}/bin2")
        .env("PATH", "{t}/bin2:/usr/bin:/bin");
    let path = b.fill("{t}/bin2:/usr/bin:/bin");
    let b = b.env("PATH", path);
    let ran = inside(
        &b,
        &[
            "sh",
            "-c",
            "{t}/bin2/fine; {t}/bin2/terraform; echo $?; cat {t}/bin2/terraform || echo closed",
        ],
    );
    assert!(ran.text().starts_with("fine\n126"), "{ran:?}");
    assert!(ran.text().ends_with("closed"), "{ran:?}");
}

/// No socket of any kind but pairs; System V IPC; other processes' settings.
#[test]
fn sockets_and_ipc_of_the_place_are_refused() {
    if lacks() {
        return;
    }
    let b = accepting();
    table(
        &b,
        &[
            ("socket unix stream", "EPERM"),
            ("socket unix dgram", "EPERM"),
            ("connect-unix /var/run/docker.sock", "EPERM"),
            ("connect-abstract agentbox-none", "EPERM"),
            ("socket inet stream", "EPERM"),
            ("socket inet dgram", "EPERM"),
            ("socket inet6 stream", "EPERM"),
            ("socket inet raw", "EPERM"),
            ("socket vsock stream", "EPERM"),
            ("socket packet raw", "EPERM"),
            ("shm 77", "EPERM"),
            ("msgq 77", "EPERM"),
            ("mq-open /agentbox-none", "EPERM"),
            ("socketpair", "ok"),
            ("userns-mount / /", "EPERM"),
            ("clone 0x10000000", "EPERM"),
        ],
    );
    // With the host's network there are IP sockets, and still no unix ones.
    let b = accepting().net("host");
    table(
        &b,
        &[
            ("socket inet stream", "ok"),
            ("socket inet dgram", "ok"),
            ("socket unix stream", "EPERM"),
            ("connect-unix /var/run/docker.sock", "EPERM"),
        ],
    );
}

/// A process of the same user beside the box, with a secret in its environment and memory, and agentbox's own.
#[test]
fn other_processes_are_closed() {
    if lacks() {
        return;
    }
    let b = accepting().env("PASSWORD", "hunter2-of-the-caller");
    let inner = b.fill(
        "touch up; until [ -e pids ]; do sleep 0.02; done; read beside client <pids; \
         exec {probe} batch 'read /proc/self/environ' 'readlink /proc/self/cwd' 'listdir /proc/self/fd' \
         \"read /proc/$beside/environ\" \"mem-read $beside\" \"readlink /proc/$beside/cwd\" \"readlink /proc/$beside/root\" \
         \"readlink /proc/$beside/exe\" \"readlink /proc/$beside/fd/0\" \"read /proc/$beside/maps\" \
         \"ptrace-attach $beside\" \"ptrace-seize $beside\" \"vm-read $beside\" \"kill $beside 15\" \"kill $beside 0\" \
         \"syscall setpriority 0 $beside 19\" \"syscall sched_setscheduler $beside 5 z:4\" \"syscall sched_setparam $beside z:4\" \
         \"syscall sched_setaffinity $beside 8 q:1\" \"syscall sched_setattr $beside z:48 0\" \
         \"read /proc/$client/environ\" \"mem-read $client\" \"kill $client 9\" \"read /proc/$PPID/environ\" \"mem-read $PPID\"",
    );
    let script = "PASSWORD=hunter2-beside sleep 300 & beside=$!; \
        {probe} enter docker -- \"$@\" & client=$!; \
        until [ -e up ] || ! kill -0 $client; do sleep 0.02; done; \
        echo $beside $client >pids.new; mv pids.new pids; \
        wait $client; status=$?; kill $beside || exit 99; exit $status";
    let ran = run(b.through(script, &b.command(["sh", "-c", &inner])));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.text().contains("hunter2"), "{ran:?}");
    let names: Vec<String> = ran
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|answer| answer["name"].as_str().unwrap_or("ok").to_owned())
        .collect();
    assert_eq!(names.len(), 25, "{ran:?}");
    assert_eq!(names[..3], ["ok", "ok", "ok"], "{ran:?}");
    for (number, name) in names.iter().enumerate().skip(3) {
        assert!(
            ["EACCES", "EPERM"].contains(&name.as_str()),
            "{number}: {name}: {ran:?}"
        );
    }
}

/// Whatever it starts, and however it lets go of it, ends with it: daemons, orphans, ignored signals, a bomb; and also when
/// the supervisor is killed.
#[test]
fn nothing_outlives_the_box() {
    if lacks() {
        return;
    }
    let alive = |token: &str| !common::live::with_token(token).is_empty();
    for how in ["daemon", "nohup", "ignore"] {
        let token = token();
        let b = accepting();
        let script = match how {
            "daemon" => format!(
                "(setsid sh -c 'sleep 300; true' {token} &) ; (setsid setsid sh -c 'sleep 300; true' {token} &) ; sleep 0.2"
            ),
            "nohup" => format!(
                "nohup sh -c 'while :; do sleep 1; done' {token} >/dev/null 2>&1 & sleep 0.2"
            ),
            _ => format!(
                "sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' {token} & sleep 0.2"
            ),
        };
        let ran = inside(&b, &["sh", "-c", &script]);
        assert_eq!(ran.code(), 0, "{how}: {ran:?}");
        assert!(!alive(&token), "{how}: {ran:?}");
    }
    // A bomb, within a limit, and the limit of time ends it.
    let token = token();
    let b = accepting()
        .option("--limit")
        .option("time=2s")
        .option("--limit")
        .option("processes=300");
    let script = format!(
        "while :; do sh -c 'while :; do sh -c \"sleep 30; true\" {token} & done' {token} & done"
    );
    if !as_root() {
        let ran = inside(&b, &["sh", "-c", &script]);
        // The first shell may be the one that cannot fork any more.
        assert!(ran.complaint().contains("fork"), "{ran:?}");
        assert!(!alive(&token), "{ran:?}");
    }
}

/// The supervisor is killed: the warden ends the box.
#[test]
fn a_killed_supervisor_takes_the_box_with_it() {
    if lacks() {
        return;
    }
    let token = token();
    let b = accepting();
    let b = b.dir("tmp");
    let place = b.root().join("tmp");
    let b = b.env("TMPDIR", &place);
    let script = format!("touch up; setsid sh -c 'sleep 301; true' {token} & sleep 300");
    let mut command = there(&b, &b.command(["sh", "-c", &script]));
    let mut child = common::spawn(&mut command);
    until("the box runs", || {
        b.ws().join("up").exists() || child.try_wait().unwrap().is_some()
    });
    let client = i32::try_from(child.id()).unwrap();
    let supervisor = agentbox::sys::procfs::processes()
        .into_iter()
        .find(|p| p.parent == client)
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(supervisor.pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    common::wait(&mut child, PATIENCE).unwrap();
    let place = b.root().join("tmp");
    until("its directory is gone", || {
        std::fs::read_dir(&place).unwrap().next().is_none()
    });
    until("all of it is dead", || {
        common::live::with_token(&token).is_empty()
    });
    let _ = Errno::EPERM;
}

/// Granted names by the gate's proxy, which every program is told of; nothing past it, by TCP, UDP or a socket that listens.
#[test]
fn a_filtered_network_is_the_proxy() {
    use std::io::{Read as _, Write as _};
    if lacks() || missing(Feature::Tool("curl")) {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ngranted",
            );
        }
    });
    let b = TestBox::new().net("filtered").file(
        "filtered.toml",
        format!(
            "extends = [\"shell\"]\n[layers]\nrung = \"landlock\"\n[network]\nallow = [\"web.test:{port}+private\"]\n\
             [network.hosts]\n\"web.test\" = \"127.0.0.1\"\n\"other.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("filtered.toml");
    let b = b.option("-p").option(profile.to_str().unwrap());
    let script = format!(
        "curl -sS -m 20 http://web.test:{port}/; echo; curl -s -m 20 -o /dev/null -w '%{{http_code}}\\n' http://other.test:{port}/; \
         curl -s -m 5 --noproxy '*' http://127.0.0.1:{port}/; echo $?"
    );
    let ran = inside(&b, &["sh", "-c", &script]);
    assert_eq!(
        ran.text().lines().collect::<Vec<_>>(),
        ["granted", "403", "7"],
        "{ran:?}"
    );
    let listen = if cfg!(target_arch = "x86_64") {
        "syscall 50 0 1"
    } else {
        "syscall 201 0 1"
    };
    let there = format!("connect-tcp 127.0.0.1:{port}");
    table(
        &b,
        &[
            (&there, "EACCES"),
            ("connect-tcp 192.0.2.1:443", "EACCES"),
            ("send-udp 192.0.2.1:53", "EPERM"),
            ("bind-tcp 127.0.0.1:0", "EACCES|EPERM"),
            ("socket inet stream", "ok"),
            ("socket unix stream", "EPERM"),
            (listen, "EPERM"),
        ],
    );
}
