//! The rung `landlock`: places in which no namespace can be had. Each test runs where docker's default filter is (made by `probe
//! enter docker`, without an engine), and the suite once more in a chroot where root starts the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::pty::Terminal;
use common::world::{Feature, as_root, missing, token};
use common::{Errno, PATIENCE, Ran, TestBox, run, until};
use std::os::unix::fs::PermissionsExt as _;
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

/// A place whose owner listens to its system calls leaves no room for the connector's listener: it is foreseen, refused with the
/// way out, and without a network there is a box.
#[test]
fn a_place_that_is_listened_to_has_no_filtered_network() {
    if lacks() {
        return;
    }
    let b = filtered(1);
    let place = |b: &TestBox, inner: &Command| {
        run(b.through("exec {probe} enter listened -- \"$@\"", inner))
    };
    let check = place(&b, &b.agentbox(["check"]));
    let text = check.text();
    for line in [
        "no   a run with --rung landlock: ",
        "yes  a run with --rung landlock and without network",
    ] {
        assert!(text.contains(line), "{line}: {check:?}");
    }
    place(&b, &b.command(["true"])).refused(&["listens to its system calls already", "--net none"]);
    let b = accepting();
    let ran = place(&b, &b.command(["true"]));
    assert_eq!(ran.code(), 0, "{ran:?}");
    // Where nobody listens both are had.
    let check = run(there(&b, &b.agentbox(["check"])));
    assert_eq!(
        check
            .text()
            .matches("yes  a run with --rung landlock")
            .count(),
        2,
        "{check:?}"
    );
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

/// A working copy below HOME is a link to the host's own, in which no copy of a file can stand: it started, and git failed.
#[test]
fn a_credential_in_git_configuration_below_home_is_refused() {
    if lacks() {
        return;
    }
    let config = |url: &str| {
        let text = format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {url}\n");
        accepting()
            .file("home/ws/.git/HEAD", "ref: refs/heads/main\n")
            .dir("home/ws/.git/objects")
            .dir("home/ws/.git/refs")
            .file("home/ws/.git/config", text)
    };
    let ask = ["git", "remote", "get-url", "origin"];
    let b = config("https://gitlab-ci-token:glcbt-64_c0ffee@gitlab.example/p.git");
    inside(&b, &ask).refused(&["holds a credential", "git remote set-url"]);
    let plain = "https://gitlab.example/p.git";
    assert_eq!(inside(&config(plain), &ask).ok(), plain);
    // HOME's own file is shown by a copy that stands in the HOME of the box.
    let b = config(plain).file(
        "home/.gitconfig",
        "[user]\n\tname = me\n[http]\n\textraheader = AUTHORIZATION: basic S3CRET\n",
    );
    let ran = inside(&b, &["git", "config", "--global", "--list"]);
    assert_eq!(ran.ok(), "user.name=me", "{ran:?}");
}

/// The system's configuration of git names a helper for credentials, as in Codespaces: it could not be read at all, and git failed.
#[test]
fn a_credential_in_the_systems_git_configuration_is_cut_out() {
    let is_there = std::path::Path::new("/etc/gitconfig").exists();
    if lacks() || missing(Feature::Tool("bwrap")) || missing(Feature::Userns) || !is_there {
        return;
    }
    let b = accepting().file(
        "{t}/gitconfig",
        "[credential]\n\thelper = store\n[user]\n\tname = of-the-system\n",
    );
    let words = ["git", "config", "--show-origin", "--list"];
    let place = "exec bwrap --dev-bind / / --ro-bind {t}/gitconfig /etc/gitconfig {probe} enter docker -- \"$@\"";
    let ran = run(b.through(place, &b.command(words)));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.text().contains("user.name=of-the-system"), "{ran:?}");
    assert!(!ran.text().contains("helper"), "{ran:?}");
    let ran = run(b.through(place, &b.command(["cat", "/etc/gitconfig"])));
    assert_eq!(ran.code(), 1, "the file itself stays closed: {ran:?}");
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

/// Directories that cannot be written (a module cache of Go's) kept the session's directory, and copies of state files with it.
#[test]
fn directories_that_are_only_read_are_removed_with_the_session() {
    if lacks() {
        return;
    }
    let b = accepting();
    let script = "mkdir -p $TMPDIR/mod/a ~/out; touch $TMPDIR/mod/a/f; mkdir kept; ln -s {ws}/kept ~/out/kept; \
                  chmod 555 $TMPDIR/mod/a ~/out; chmod 500 kept; echo $TMPDIR";
    let ran = inside(&b, &["sh", "-c", script]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let tmp = std::path::PathBuf::from(ran.text().trim_end());
    assert!(!tmp.exists(), "{ran:?}");
    let place = tmp.parent().unwrap();
    assert!(!place.exists(), "{ran:?}");
    assert!(!ran.complaint().contains("left behind"), "{ran:?}");
    // Behind a link nothing is touched.
    let mode = std::fs::metadata(b.ws().join("kept"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o500, "{ran:?}");
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

/// At each end a repository that is only read, on the way to a name of a rule, was taken for one that the session had made, and lost
/// its remote and its hooks.
#[test]
fn repositories_that_are_only_read_stay_as_they_are() {
    if lacks() {
        return;
    }
    let b = accepting()
        .profile(
            "extends = [\"shell\"]\n[files]\nread = [\"~/.tool\"]\nhide = [\"~/.tool/run/it\"]\n",
        )
        .file("{home}/.tool/run/it", "x");
    let made = "set -e; git init -q {home}/.tool; mkdir -p {home}/.tool/.git/hooks; \
                echo mine > {home}/.tool/.git/hooks/post-merge; git -C {home}/.tool config branch.main.remote origin";
    b.on_host(made).ok();
    let config = std::fs::read(b.home().join(".tool/.git/config")).unwrap();
    let script = "git init -q own; mkdir -p own/.git/hooks; echo evil > own/.git/hooks/post-merge";
    let ran = inside(&b, &["sh", "-c", script]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let now = std::fs::read(b.home().join(".tool/.git/config")).unwrap();
    assert_eq!(now, config, "{ran:?}");
    let hook = ".git/hooks/post-merge";
    assert!(b.home().join(".tool").join(hook).exists(), "{ran:?}");
    let made = b.ws().join("own").join(hook);
    assert!(!made.exists(), "the twin: {ran:?}");
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

/// A pair of datagram sockets could be sent from to any path although each has its peer, and Landlock is not asked: the host's
/// log, an agent, whoever takes descriptors there.
#[test]
fn a_pair_of_datagram_sockets_reaches_no_socket_of_the_place() {
    if lacks() {
        return;
    }
    for net in ["none", "host"] {
        let b = accepting().net(net).dir("engine");
        let path = b.root().join("engine/d.sock");
        let log = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        b.chown(&path);
        log.set_nonblocking(true).unwrap();
        let b = b.option("--write").option("{t}/engine");
        let line = format!("socketpair-dgram {}", path.display());
        let heard = || log.recv(&mut [0; 16]).is_ok();
        assert_eq!(b.outside(&line).json()["ok"], true, "{line}");
        assert!(heard(), "{net}");
        table(
            &b,
            &[
                (&line, "EPERM"),
                ("socketpair-dgram", "EPERM"),
                ("socketpair", "ok"),
                ("socketpair-seqpacket", "ok"),
            ],
        );
        // To another address than its peer's a connected one sends nothing either.
        answers(&b, &[&format!("socketpair-seqpacket {}", path.display())]);
        assert!(!heard(), "{net}");
    }
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

/// A web server that says "granted" to everybody: its port.
fn server() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ngranted",
            );
        }
    });
    port
}

/// A box that reaches web.test, which is this port here.
fn filtered(port: u16) -> TestBox {
    let b = TestBox::new().net("filtered").file(
        "filtered.toml",
        format!(
            "extends = [\"shell\"]\n[layers]\nrung = \"landlock\"\n[network]\nallow = [\"web.test:{port}+private\"]\n\
             [network.hosts]\n\"web.test\" = \"127.0.0.1\"\n\"other.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("filtered.toml");
    b.option("-p").option(profile.to_str().unwrap())
}

/// Granted names by the gate's proxy, which every program is told of; nothing past it, by TCP, UDP or a socket that listens.
#[test]
fn a_filtered_network_is_the_proxy() {
    if lacks() || missing(Feature::Tool("curl")) {
        return;
    }
    let port = server();
    let b = filtered(port);
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

/// A command that joins has the same network: the granted name by the proxy that it is told of, and nothing past it.
#[test]
fn a_command_that_joins_has_the_proxy_and_no_more() {
    if lacks() || missing(Feature::Tool("curl")) {
        return;
    }
    let port = server();
    let b = filtered(port);
    let script = format!(
        "curl -sS -m 20 http://web.test:{port}/; echo; curl -s -m 20 -o /dev/null -w '%{{http_code}}\\n' http://other.test:{port}/; \
         curl -s -m 5 --noproxy '*' http://127.0.0.1:{port}/; echo $?; \
         exec {{probe}} batch 'connect-tcp 127.0.0.1:{port}' 'send-udp 192.0.2.1:53' 'socket unix stream' 'own-listener'"
    );
    let (ran, joined) = met(&b, "exit 7", |_, _| {
        let id = run(b.agentbox(["ps", "-q"])).ok();
        let inner = b.agentbox(["exec", id.trim(), "--", "sh", "-c", &b.fill(&script)]);
        run(there(&b, &inner))
    });
    assert_eq!(ran.code(), 7, "{ran:?}");
    let text = joined.text();
    let lines: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(lines, ["granted", "403", "7"], "{joined:?}");
    let names: Vec<String> = parsed(&joined)
        .iter()
        .filter_map(|answer| answer["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(names, ["EACCES", "EPERM", "EPERM", "EPERM"], "{joined:?}");
}

/// What listens there listens on the network of the host: a name that was allowed later took ports 22, 53, 80 and 443 of all its addresses
/// where root ran the box, and a port that was published led to itself until no descriptor was left.
#[test]
fn a_live_change_of_the_network_listens_nowhere() {
    if lacks() || missing(Feature::Tool("curl")) {
        return;
    }
    let port = server();
    let b = filtered(port);
    // proc(5), net/tcp6: what listens (0A) on every address, on ports of the box's first listeners.
    let every = || {
        let table = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
        let listens = |line: &&str| line.contains(" 0A ");
        let ports = ["0016", "0035", "0050", "01BB"];
        let ours = |line: &&str| {
            ports
                .iter()
                .any(|port| line.contains(&format!("{}:{port} ", "0".repeat(32))))
        };
        table.lines().filter(listens).filter(ours).count()
    };
    let live = live_there(&b, "echo ready; exec sleep 60", "ready");
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    let before = every();
    let allowed = format!("other.test:{port}+private");
    run(b.agentbox(["allow", "--session", &id, &allowed])).ok();
    let url = format!("http://other.test:{port}/");
    let inner = b.agentbox(["exec", &id, "--", "curl", "-sS", "-m", "20", &url]);
    assert_eq!(run(there(&b, &inner)).ok(), "granted");
    assert_eq!(every(), before);
    let published = run(b.agentbox(["publish", "--session", &id, "30123"]));
    assert_ne!(published.code(), 0, "{published:?}");
    let words = "nothing of the box listens on the rung landlock";
    assert!(published.complaint().contains(words), "{published:?}");
    run(b.agentbox(["kill", &id])).ok();
    live.end();
}

/// Terminals are the place's, and Landlock lets nobody in the box open one by its name: the command is given its own, and so is one
/// that joins, also where the session has none.
#[test]
fn a_terminal_of_its_own_and_no_other() {
    if lacks() {
        return;
    }
    let script = "tty; stty size; (: <>/dev/tty) && echo own; \
                  for t in /dev/pts/[0-9]*; do (: <>$t) 2>/dev/null && echo other; done; echo end";
    let seen = |terminal: &mut Terminal| {
        for text in ["/dev/pts/", "31 99", "own", "end"] {
            terminal.expect(text);
        }
        assert!(!terminal.text().contains("other"), "{}", terminal.text());
        assert_eq!(terminal.end().code(), Some(0), "{}", terminal.text());
    };
    let b = accepting();
    let inner = b.command(["/bin/sh", "-c", script]);
    seen(&mut Terminal::start(there(&b, &inner), 31, 99));
    let b = filtered(1);
    let (ran, ()) = met(&b, "exit 7", |_, _| {
        let id = run(b.agentbox(["ps", "-q"])).ok();
        let inner = b.agentbox(["exec", "-t", id.trim(), "--", "/bin/sh", "-c", script]);
        seen(&mut Terminal::start(there(&b, &inner), 31, 99));
        // Keys of that terminal are for that command.
        let script = "trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done";
        let inner = b.agentbox(["exec", "-t", id.trim(), "--", "/bin/sh", "-c", script]);
        let mut keys = Terminal::start(there(&b, &inner), 31, 99);
        keys.expect("ready");
        keys.send("\x03");
        assert_eq!(keys.end().code(), Some(5), "{}", keys.text());
    });
    assert_eq!(ran.code(), 7, "{ran:?}");
}

/// The proxy listens on the loopback of the place, which other users have too: who is not of the box has nothing of its grants.
#[test]
fn the_gate_serves_no_other_program_of_the_place() {
    use std::io::{Read as _, Write as _};
    if lacks() || missing(Feature::Tool("curl")) {
        return;
    }
    let port = server();
    let b = filtered(port);
    let script = format!("curl -sS -m 20 http://web.test:{port}/");
    let (ran, answers) = met(&b, &script, |gate, _| {
        let request = format!("GET http://web.test:{port}/ HTTP/1.1\r\nHost: web.test\r\n\r\n");
        // As it is, and behind something as long as the pass that the box's connections begin with.
        let prefixes: [&[u8]; 3] = [b"", &[0; 32], &[b'\r'; 32]];
        prefixes.map(|prefix| {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", gate)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(prefix).unwrap();
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
    });
    assert_eq!(answers, ["", "", ""], "{ran:?}");
    assert_eq!(ran.text(), "granted", "{ran:?}");
}

/// Connections for which the gate's queue has no room wait for their turn, and are made when it comes to them.
#[test]
fn connections_wait_where_the_gate_has_no_room() {
    use nix::sys::signal::{Signal, kill};
    if lacks() {
        return;
    }
    // More than the queue of 1024 holds, in processes of which each waits for its own.
    let b = filtered(1).option("--limit").option("open-files=4096");
    let script = "{probe} connect-many $g 60 20 >answer & touch begun; wait; [ ! -e resumed ] || echo waited; cat answer";
    let (ran, gate) = met(&b, script, |_, child| {
        let client = i32::try_from(child.id()).unwrap();
        let gate = agentbox::sys::procfs::below(client).into_iter().find(|p| {
            std::fs::read_to_string(format!("/proc/{}/comm", p.pid))
                .is_ok_and(|name| name == "agentbox-gate\n")
        });
        let pid = nix::unistd::Pid::from_raw(gate.expect("no gate").pid);
        kill(pid, Signal::SIGSTOP).unwrap();
        let (begun, resumed) = (b.ws().join("begun"), b.ws().join("resumed"));
        common::helper(move || {
            until("it has begun", || begun.exists());
            std::thread::sleep(std::time::Duration::from_secs(3));
            std::fs::write(resumed, "").unwrap();
            kill(pid, Signal::SIGCONT).unwrap();
        })
    });
    gate.join().unwrap();
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(parsed(&ran)[0]["whole"], 60, "{ran:?}");
    // They did wait, for a gate that stood still.
    assert!(ran.text().starts_with("waited\n"), "{ran:?}");
}

/// Writes the gate's address to `up` and waits for `go`.
const MEET: &str = "g=${http_proxy#http://}; g=${g%/}; p=${g#*:}; echo $p >up.new; mv up.new up; \
    until [ -e go ]; do sleep 0.02; done; ";

/// Runs `MEET` and this script; between the two `meet` gets the gate's port.
fn met<T>(
    b: &TestBox,
    script: &str,
    meet: impl FnOnce(u16, &mut std::process::Child) -> T,
) -> (Ran, T) {
    let words = [
        "sh".to_owned(),
        "-c".to_owned(),
        b.fill(&(MEET.to_owned() + script)),
    ];
    let mut command = there(b, &b.command(&words));
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let begun = std::time::Instant::now();
    let mut child = common::spawn(&mut command);
    until("the box is there", || {
        b.ws().join("up").exists() || child.try_wait().unwrap().is_some()
    });
    let port = std::fs::read_to_string(b.ws().join("up")).unwrap_or_default();
    let met = meet(port.trim().parse().unwrap_or(0), &mut child);
    std::fs::write(b.ws().join("go"), "").unwrap();
    let done = child.wait_with_output().unwrap();
    let ran = Ran {
        status: done.status,
        stdout: done.stdout,
        stderr: done.stderr,
        took: begun.elapsed(),
    };
    (ran, met)
}

/// The answers of a batch that ran in it.
fn parsed(ran: &Ran) -> Vec<serde_json::Value> {
    let text = ran.text();
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Who serves the gate's port at another address is not reached: by no address of his, by no call, and by no thread that
/// changes the address while it is looked at. The gate is, with the flags that the socket has.
#[test]
fn connections_are_made_to_the_gate_alone() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static REACHED: AtomicUsize = AtomicUsize::new(0);
    if lacks() {
        return;
    }
    let b = filtered(1);
    let script = "exec {probe} batch \"connect-tcp 127.0.0.2:$p\" \"connect-mapped 127.0.0.2:$p\" \"fastopen 127.0.0.2:$p\" \
        \"send-to 127.0.0.2:$p\" \"fastopen $g\" \"connect-family 0 2\" \"connect-family 2 2\" \"connect-family 10 10\" \
        \"connect-family 16 16\" \"own-listener\" \"connect-race $g 127.0.0.2:$p 3000\" \"connect-flags $g\" \
        \"connect-mapped $g\" \"connect-signals $g 300\" \"connect-many $g 40 10\"";
    let (ran, port) = met(&b, script, |port, _| {
        let elsewhere = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
        // Reached by whom nothing keeps from it.
        std::net::TcpStream::connect(("127.0.0.2", port)).unwrap();
        common::helper(move || {
            for _ in elsewhere.incoming() {
                REACHED.fetch_add(1, Ordering::SeqCst);
            }
        });
        until("the twin is taken", || REACHED.load(Ordering::SeqCst) == 1);
        port
    });
    assert_eq!(ran.code(), 0, "{ran:?}");
    let answers = parsed(&ran);
    let want = [
        "EACCES", "EACCES", "EPERM", "EPIPE", "EPERM", "EACCES", "EACCES", "EACCES", "EACCES",
        "EPERM", "ok", "ok", "ok", "ok", "ok",
    ];
    let names: Vec<&str> = answers
        .iter()
        .map(|answer| answer["name"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(names, want, "{ran:?}");
    // Both were seen, and only one of them was made.
    assert!(answers[10]["made"].as_u64() > Some(0), "{ran:?}");
    assert!(answers[10]["refused"].as_u64() > Some(0), "{ran:?}");
    assert_eq!(REACHED.load(Ordering::SeqCst), 1, "{ran:?}");
    let gate = format!("127.0.0.1:{port}");
    let flags = serde_json::json!({"ok": true, "ready": 1, "nonblock": true, "cloexec": true, "peer": gate});
    assert_eq!(answers[11], flags, "{ran:?}");
    assert_eq!(answers[12]["peer"], format!("[::ffff:127.0.0.1]:{port}"));
    assert_eq!(answers[13]["made"], 300, "{ran:?}");
    assert_eq!(answers[14]["whole"], 40, "{ran:?}");
}

/// Without the connector there is less network and not more.
#[test]
fn a_dead_connector_is_no_network() {
    if lacks() {
        return;
    }
    let b = filtered(1);
    let script = "exec {probe} batch \"connect-flags $g\" \"connect-tcp 127.0.0.1:$p\" \"own-listener\" \"socketpair\"";
    let (ran, ()) = met(&b, script, |_, child| {
        let client = i32::try_from(child.id()).unwrap();
        let below = agentbox::sys::procfs::below(client);
        let connector = below.iter().find(|p| {
            std::fs::read_to_string(format!("/proc/{}/comm", p.pid))
                .is_ok_and(|name| name == "agentbox-connec\n")
        });
        let pid = nix::unistd::Pid::from_raw(connector.expect("no connector").pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        until("it is gone", || {
            !std::fs::exists(format!("/proc/{pid}")).unwrap()
        });
    });
    assert_eq!(ran.code(), 0, "{ran:?}");
    let names: Vec<String> = parsed(&ran)
        .iter()
        .map(|answer| answer["name"].as_str().unwrap_or("ok").to_owned())
        .collect();
    assert_eq!(names, ["ENOSYS", "ENOSYS", "EPERM", "ok"], "{ran:?}");
}

/// Who asks all the time does not keep the end from coming.
#[test]
fn a_flood_of_connections_ends_in_time() {
    if lacks() {
        return;
    }
    let token = token();
    let b = filtered(1).option("--limit").option("time=2s");
    let script = format!(
        "g=${{http_proxy#http://}}; while :; do {{probe}} connect-many $g 30 1000 {token} >/dev/null; done"
    );
    let ran = inside(&b, &["sh", "-c", &b.fill(&script)]);
    assert_eq!(ran.code(), 124, "{ran:?}");
    assert!(common::live::with_token(&token).is_empty(), "{ran:?}");
}

/// What a container has of others: sockets with a path and without one, as those of docker and of agents, also where the path
/// is granted; memory that the kernel writes to a file.
#[test]
fn sockets_and_core_dumps_of_the_place() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    if lacks() {
        return;
    }
    let b = accepting().dir("engine");
    let path = b.root().join("engine/docker.sock");
    let docker = UnixListener::bind(&path).unwrap();
    b.chown(&path);
    let name = token();
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let hidden = UnixListener::bind_addr(&address).unwrap();
    let b = b.option("--write").option("{t}/engine");
    let lines = [
        format!("connect-unix {}", path.display()),
        format!("connect-abstract {name}"),
    ];
    for (line, listener) in lines.iter().zip([docker, hidden]) {
        let serve = common::helper(move || listener.accept().map(drop));
        assert_eq!(b.outside(line).json()["ok"], true, "{line}");
        serve.join().unwrap().unwrap();
    }
    table(
        &b,
        &[
            (&lines[0], "EPERM"),
            (&lines[1], "EPERM"),
            ("socketpair", "ok"),
        ],
    );
    let dump = "ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls";
    let ran = inside(&b, &["sh", "-c", dump]);
    assert!(!ran.text().contains("core"), "{ran:?}");
}

/// agentbox is the first process of a container, whose environment has secrets.
#[test]
fn the_entrypoint_is_closed_to_its_box() {
    if lacks() || missing(Feature::Userns) {
        return;
    }
    let b = accepting().env("PASSWORD", "hunter2-of-the-entrypoint");
    let words = [
        "{probe}",
        "batch",
        "read /proc/1/cmdline",
        "read /proc/1/environ",
        "mem-read 1",
        "readlink /proc/1/root",
        "readlink /proc/1/cwd",
        "kill 1 0",
        "kill 1 15",
        "read /proc/self/environ",
    ];
    let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
    let place = "exec {probe} enter masked-proc -- {probe} enter docker -- \"$@\"";
    let ran = run(b.through(place, &b.command(&words)));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.text().contains("hunter2"), "{ran:?}");
    let answers = parsed(&ran);
    let names: Vec<&str> = answers
        .iter()
        .map(|answer| answer["name"].as_str().unwrap_or("ok"))
        .collect();
    let want = [
        "ok", "EACCES", "EACCES", "EACCES", "EACCES", "EPERM", "EPERM", "ok",
    ];
    assert_eq!(names, want, "{ran:?}");
    assert!(
        answers[0]["text"]
            .as_str()
            .unwrap()
            .starts_with("agentbox: client"),
        "{ran:?}"
    );
}

/// `agentbox why` in such a box answers by the plan of that box.
#[test]
fn why_knows_the_plan_in_the_box() {
    if lacks() {
        return;
    }
    let b = accepting()
        .file("granted/file", "x")
        .file("other/file", "x")
        .file("{ws}/file", "x")
        .option("--read")
        .option("{t}/granted");
    let agentbox = common::world::agentbox().to_str().unwrap();
    for (thing, status) in [
        ("{t}/granted/file", 0),
        ("{t}/other/file", 1),
        ("/etc/shadow", 1),
        ("{ws}/file", 0),
    ] {
        let ran = inside(&b, &[agentbox, "why", "read", thing]);
        assert_eq!(ran.code(), status, "{thing}: {ran:?}");
    }
    // The flags are those of this box.
    let ran = inside(
        &b,
        &[agentbox, "why", "--net", "host", "read", "/etc/shadow"],
    );
    assert_eq!(ran.code(), 2, "{ran:?}");
}

/// A box in such a box is not tried, and the reason is not looked for on the host.
#[test]
fn a_box_in_the_box_is_not_needed() {
    if lacks() {
        return;
    }
    let agentbox = common::world::agentbox().to_str().unwrap();
    for options in [&[][..], &["--rung", "landlock"]] {
        let inner = [&[agentbox, "run"][..], options, &["--", "true"]].concat();
        let ran = inside(&accepting(), &inner);
        assert_eq!(ran.code(), 125, "{ran:?}");
        let said = ran.complaint();
        assert!(
            said.contains("this is a box of agentbox already"),
            "{ran:?}"
        );
    }
    inside(&accepting(), &["true"]).ok();
}

/// What boxes may do is said outside of them, and a box without a view of its own is one, too.
#[test]
fn nothing_is_granted_for_later_in_the_box() {
    if lacks() {
        return;
    }
    let agentbox = common::world::agentbox().to_str().unwrap();
    let project = "[network]\nallow = [\"a.test\"]\n";
    for words in [
        &["allow", "a.test", "--save"][..],
        &["trust", "--yes"],
        &["init", "--yes"],
    ] {
        let b = accepting().file("{ws}/.agentbox.toml", project);
        let inner = [&[agentbox][..], words].concat();
        let ran = inside(&b, &inner);
        assert_eq!(ran.code(), 1, "{words:?}: {ran:?}");
        assert!(
            ran.complaint().contains("this is a box"),
            "{words:?}: {ran:?}"
        );
        // With another HOME it is not known to be a box; what counts is never reached.
        let home = [
            &["env", "HOME={ws}/fake", "XDG_CONFIG_HOME={home}/.config"][..],
            &inner,
        ]
        .concat();
        assert_ne!(inside(&b, &home).code(), 0, "{words:?}");
        let config = b.home().join(".config/agentbox");
        let made: Vec<_> = ["config.toml", "trusted"]
            .into_iter()
            .filter(|name| config.join(name).exists())
            .collect();
        assert!(made.is_empty(), "{words:?}: {made:?}");
        // The twin: the same outside.
        let ran = run(there(&b, &b.agentbox(words.iter().copied())));
        assert_eq!(ran.code(), 0, "{words:?}: {ran:?}");
        assert!(config.exists(), "{words:?}");
    }
}

/// Root's chroot to a bind of the root directory: a place in which the kernel makes no user namespace. `$@` runs in it as the
/// test user, with /proc or without.
fn in_chroot(b: &TestBox, mounts: &str, inner: &Command) -> Ran {
    let (uid, gid) = b.ids();
    let root = b.root().join("root");
    let script = format!(
        "mount --make-rprivate / && {mounts} && cd {ws} && exec chroot --userspec={uid}:{gid} --groups={gid} {root} \
         env -C {ws} \"$@\"",
        root = root.display(),
        ws = b.ws().display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    let env = inner.get_envs().filter_map(|(n, v)| Some((n, v?)));
    command
        .env_clear()
        .envs(env)
        .stdin(std::process::Stdio::null());
    run(command)
}

#[test]
fn a_chroot_is_such_a_place() {
    if lacks() || missing(Feature::HostRoot) {
        return;
    }
    let b = accepting()
        .dir("root")
        .file("{ws}/.env", "SECRET")
        .file("{ws}/src/main.c", "int")
        .file("home/.aws/credentials", "secret")
        .file("other/file", "x");
    let whole = b.fill("mount --rbind / {t}/root");
    let ran = in_chroot(&b, &whole, &b.agentbox(["check", "--json"]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.text().contains("\"rung\": \"landlock\""), "{ran:?}");
    let lines = [
        ("read {ws}/.env", "EACCES"),
        ("read {home}/.aws/credentials", "EACCES"),
        ("read {t}/other/file", "EACCES"),
        ("read /etc/shadow", "EACCES"),
        ("listdir /", "EACCES"),
        ("socket unix stream", "EPERM"),
        ("socket inet stream", "EPERM"),
        ("read /proc/1/environ", "EACCES"),
        ("kill 1 0", "EPERM"),
        ("clone 0x10000000", "EPERM"),
        ("read {ws}/src/main.c", "ok"),
        ("create {ws}/src/new 420", "ok"),
        ("read /proc/self/environ", "ok"),
        ("write /dev/null x", "ok"),
    ];
    let words = ["{probe}", "batch"]
        .into_iter()
        .chain(lines.iter().map(|(line, _)| *line));
    let words: Vec<String> = words.map(|word| b.fill(word)).collect();
    let ran = in_chroot(&b, &whole, &b.command(&words));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("rung landlock"), "{ran:?}");
    let answers = parsed(&ran);
    assert_eq!(answers.len(), lines.len(), "{ran:?}");
    for ((line, want), answer) in lines.iter().zip(&answers) {
        assert_eq!(
            answer["name"].as_str().unwrap_or("ok"),
            *want,
            "{line}: {ran:?}"
        );
    }
    // Without /proc there is nothing that processes could be found by: no rung, and what to do.
    let bare = b.fill("mount --bind / {t}/root && mount --bind /dev {t}/root/dev");
    let ran = in_chroot(&b, &bare, &b.agentbox(["check", "--json"]));
    assert!(ran.text().contains("\"rung\": null"), "{ran:?}");
    let ran = in_chroot(&b, &bare, &b.command(["touch", "ran"]));
    ran.refused(&["/proc is not mounted", "mount -t proc"]);
    assert!(!b.ws().join("ran").exists(), "{ran:?}");
}

/// `agentbox run` in such a place, in the background; its first line.
fn live_there(b: &TestBox, script: &str, first: &str) -> common::Live {
    let mut live = common::Live::start(there(b, &b.command(["/bin/bash", "-c", script])));
    live.wait_line(first);
    live
}

/// Who was in a call that no signal interrupts when the pause came was told nothing, and went on.
#[test]
fn a_pause_stops_who_waits_for_the_disk() {
    if lacks() || missing(Feature::Tool("python3")) {
        return;
    }
    let b = accepting();
    let script = "import os\nf=os.open('disk',os.O_CREAT|os.O_RDWR)\nprint('ready',flush=True)\nn=0\n\
        while True:\n n+=1; os.pwrite(f,str(n).encode(),0); os.fsync(f)\n";
    let writers =
        format!("for n in 1 2 3; do mkdir -p $n; (cd $n; python3 -c \"{script}\") & done; wait");
    let live = live_there(&b, &writers, "ready");
    let counts =
        || ["1", "2", "3"].map(|n| std::fs::read(b.ws().join(n).join("disk")).unwrap_or_default());
    let id = run(b.agentbox(["ps", "-q"])).ok().trim().to_owned();
    for _ in 0..5 {
        let before = counts();
        common::until("they write", || {
            counts()
                .iter()
                .zip(&before)
                .all(|(now, before)| now != before)
        });
        let paused = run(b.agentbox(["pause", &id]));
        assert_eq!(paused.code(), 0, "{paused:?}");
        // The call that it was in may come to its end.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let before = counts();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(counts(), before);
        assert_eq!(run(b.agentbox(["resume", &id])).code(), 0);
    }
    assert_eq!(run(b.agentbox(["kill", &id])).code(), 0);
    live.end();
}

/// Landlock does not judge chmod(2): an agent closed the directories by which it is listed, killed and stopped.
#[test]
fn directories_that_the_agent_closes_are_opened_and_end_it() {
    if lacks() || as_root() {
        return;
    }
    for dirs in [
        "~/.local/state/agentbox/sessions",
        "~/.local/state/agentbox",
        "~/.local/state",
        "~/.local/state/agentbox/sessions/$AGENTBOX_SESSION",
        "~/.local/state/agentbox/sessions/$AGENTBOX_SESSION/control",
        "~/.config/agentbox",
        "~/.local/state/agentbox/sessions ~/.config/agentbox",
    ] {
        let b = accepting().file("{home}/.config/agentbox/config.toml", "");
        let b = b.file("{ws}/.mcp.json", "{}");
        let home = b.home().display().to_string();
        // The box's own HOME may be another one.
        let dirs = dirs.replace('~', &home);
        // Without a fork: another test beside this one takes all processes that the user may have.
        let script = format!(
            "echo evil >.mcp.json; echo ready; exec python3 -c 'import os, sys, time\n\
             for name in sys.argv[1:]: os.chmod(name, 0)\ntime.sleep(60)' {dirs}"
        );
        let dirs_open = || run(b.agentbox(["ps", "-q"])).code() == 0;
        let live = live_there(&b, &script, "ready");
        let ran = live.end();
        assert_eq!(ran.code(), 137, "{dirs}: {ran:?}");
        assert!(
            ran.complaint().contains("was closed by its mode"),
            "{dirs}: {ran:?}"
        );
        assert!(dirs_open(), "{dirs}");
        assert_eq!(
            std::fs::read_to_string(b.ws().join(".mcp.json")).unwrap(),
            "{}",
            "{dirs}: {ran:?}"
        );
        // As the last thing that it does.
        let script = format!("echo evil >.mcp.json; chmod 000 {dirs}");
        let ran = inside(&b, &["/bin/bash", "-c", &script]);
        assert_eq!(
            std::fs::read_to_string(b.ws().join(".mcp.json")).unwrap(),
            "{}",
            "{dirs}: {ran:?}"
        );
        assert!(dirs_open(), "{dirs}");
        assert_eq!(inside(&b, &["true"]).code(), 0, "{dirs}");
    }
    // The twin: what is the agent's own to close.
    let b = accepting();
    let ran = inside(
        &b,
        &[
            "/bin/bash",
            "-c",
            "mkdir d; chmod 000 d; chmod 700 d; echo fine",
        ],
    );
    assert_eq!((ran.code(), ran.text()), (0, "fine".into()), "{ran:?}");
}

/// `kill` and `stop` find what was closed when nobody watched.
#[test]
fn kill_and_stop_open_what_was_closed() {
    if as_root() {
        return;
    }
    let b = TestBox::new().dir("{home}/.config/agentbox");
    assert_eq!(b.run(["true"]).code(), 0);
    let close = |dir: &str| {
        let mode = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(b.home().join(dir), mode).unwrap();
    };
    close(".local/state/agentbox/sessions");
    let killed = run(b.agentbox(["kill", "--all"]));
    assert!(!killed.complaint().contains("denied"), "{killed:?}");
    close(".local/state/agentbox");
    assert_eq!(run(b.agentbox(["ps"])).code(), 0);
    close(".config/agentbox");
    let stopped = run(b.agentbox(["stop"]));
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert_eq!(run(b.agentbox(["start"])).code(), 0);
}

/// The place of private directories that the agent had closed made every later start fail.
#[test]
fn private_places_that_the_agent_closed_are_opened() {
    if lacks() || as_root() {
        return;
    }
    let b = accepting().profile("extends = [\"base\"]\n[files]\nprivate = [\"~/.cache/x\"]\n");
    assert_eq!(inside(&b, &["true"]).code(), 0);
    let home = b.home().display().to_string();
    for dir in ["private", "."] {
        let place = format!("{home}/.local/share/agentbox/{dir}");
        assert!(std::path::Path::new(&place).is_dir());
        let ran = inside(&b, &["chmod", "0", &place]);
        assert_eq!(ran.code(), 0, "{ran:?}");
        let ran = inside(&b, &["true"]);
        assert_eq!(ran.code(), 0, "{dir}: {ran:?}");
    }
}

/// A profile's value below /tmp means the box's own, and /tmp is the host's there.
#[test]
fn what_a_profile_sets_below_tmp_can_be_written() {
    if lacks() {
        return;
    }
    let script = "for dir in \"$SCREENDIR\" \"$UV_TOOL_DIR\"; do mkdir -p \"$dir\" && : >\"$dir/x\" && echo made; done; \
                  mkdir /tmp/agentbox-not-here || echo refused";
    let ran = inside(&accepting(), &["sh", "-c", script]);
    assert_eq!(ran.ok(), "made\nmade\nrefused", "{ran:?}");
}

/// Whoever has the address of a model on the loopback in the environment was told to leave a port out that nobody had typed.
#[test]
fn a_model_on_the_loopback_is_refused_by_the_name_of_its_variable() {
    if lacks() {
        return;
    }
    let with = |address: &str| {
        let b = accepting()
            .net("filtered")
            .option("-p")
            .option("claude")
            .env("ANTHROPIC_BASE_URL", address);
        inside(&b, &["true"])
    };
    let words = [
        "ANTHROPIC_BASE_URL names it",
        "not the loopback",
        "unset it",
    ];
    with("http://127.0.0.1:18770").refused(&words);
    assert_eq!(with("http://192.0.2.9:18770").code(), 0);
}
