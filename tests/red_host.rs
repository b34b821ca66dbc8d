//! What a box must not take away from the rest of the machine, and what it needs of the caller.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{Feature, Layer, TestBox, missing, run};
use std::process::Stdio;

fn python(b: &TestBox, script: &str) -> String {
    b.run(["/usr/bin/python3", "-c", script])
        .ok()
        .trim()
        .to_owned()
}

/// Runs this Python in the box, and once more without seccomp: what is refused and what a box without it could do.
fn twins(script: &str) -> (String, String) {
    let with = python(&TestBox::new(), script);
    let without = python(&TestBox::new().off(&[Layer::Seccomp]), script);
    (with, without)
}

#[test]
fn no_lease_holds_a_program_of_the_host() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    // F_SETLEASE with F_WRLCK: whoever opens the file outside waits for lease-break-time. And in a private place, since
    // Linux 5.19 itself refuses it on an id-mapped mount, as root's workspace is.
    let script = "import fcntl,os
for name in '/tmp/x','package.json':
    open(name,'w').close()
    fd=os.open(name,os.O_RDWR)
    try:
        fcntl.fcntl(fd,1024,fcntl.F_WRLCK); print('taken')
    except OSError as e: print(e.errno)
fcntl.lockf(fd,fcntl.LOCK_EX); fcntl.flock(fd,fcntl.LOCK_EX); print(fcntl.fcntl(fd,fcntl.F_GETFL)&3)";
    let (with, without) = twins(script);
    assert_eq!(with, format!("{0}\n{0}\n2", libc::EINVAL));
    assert!(
        without.starts_with("taken\n") && without.ends_with("\n2"),
        "the twin: {without}"
    );
}

#[test]
fn the_machines_pot_of_asynchronous_reads_stays_the_hosts() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let script = "import ctypes
l=ctypes.CDLL(None,use_errno=True); c=ctypes.c_ulong(0)
r=l.syscall(ctypes.c_long(NUMBER),ctypes.c_long(16),ctypes.byref(c))
print(ctypes.get_errno() if r else 'taken')";
    let script = script.replace("NUMBER", &libc::SYS_io_setup.to_string());
    let (with, without) = twins(&script);
    assert_eq!(with, libc::ENOSYS.to_string());
    assert_eq!(without, "taken", "the twin");
}

#[test]
fn a_rename_leaves_no_device_in_the_working_copy() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let script = "import ctypes,os,stat
l=ctypes.CDLL(None,use_errno=True); open('a','w').close(); open('b','w').close()
r=l.renameat2(-100,b'a',-100,b'c',4)
print(ctypes.get_errno() if r else stat.S_ISCHR(os.lstat('a').st_mode))
print(l.renameat2(-100,b'b',-100,b'd',1))";
    let (with, without) = twins(script);
    assert_eq!(with, format!("{}\n0", libc::EPERM));
    assert_eq!(without, "True\n0", "the twin");
}

/// With a core_pattern that is a pipe the kernel starts that program, as root and outside, at every core limit but 1.
#[test]
fn no_crash_starts_a_program_of_the_host() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let script = "import resource as r
print(r.getrlimit(r.RLIMIT_CORE))
r.setrlimit(r.RLIMIT_CORE,(0,0)); r.prlimit(0,r.RLIMIT_CORE,(0,0))
print(r.getrlimit(r.RLIMIT_CORE))
r.setrlimit(r.RLIMIT_NOFILE,(64,64)); print(r.getrlimit(r.RLIMIT_NOFILE))";
    let (with, without) = twins(script);
    assert_eq!(with, "(1, 1)\n(1, 1)\n(64, 64)");
    assert_eq!(without, "(1, 1)\n(0, 0)\n(64, 64)", "the twin");
}

#[test]
fn half_of_the_users_signals_and_message_queues_stay_outside() {
    let b = TestBox::new();
    let mut command = b.command(["/bin/bash", "-c", "ulimit -i; ulimit -q"]);
    let mut outside = std::process::Command::new("/bin/bash");
    outside.args(["-c", "ulimit -Hi; ulimit -Hq"]);
    b.around(&mut outside, &command);
    let (inside, outside) = (run_text(&mut command), run_text(&mut outside));
    for (inside, outside) in inside.lines().zip(outside.lines()) {
        match outside.parse::<u64>() {
            Ok(all) => assert_eq!(inside.parse(), Ok(all / 2), "of {all}"),
            Err(_) => assert_eq!(inside, outside, "unlimited"),
        }
    }
    assert_eq!(inside.lines().count(), 2);
}

fn run_text(command: &mut std::process::Command) -> String {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A pipe can be opened again by its owner only, and a root caller's agent is not root.
#[test]
fn the_callers_pipes_can_be_opened_by_their_names() {
    let b = TestBox::new();
    let script = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr";
    let inner = b.command(["/bin/sh", "-c", script]);
    // Pipes of the caller's own.
    let ran = run(b.through("printf 'in\\n' | \"$@\" 2>&1 | cat", &inner));
    let all = ran.ok();
    let lines: Vec<&str> = all
        .lines()
        .filter(|l| !l.starts_with("agentbox: "))
        .collect();
    assert_eq!(lines, ["in", "out", "err"], "{ran:?}");
    // A command that joins has them, too.
    let mut live = b.start(["/bin/sh", "-c", "echo up; sleep 60"]);
    live.wait_line("up");
    let id = run(b.agentbox(["ps", "-q"])).ok();
    let id = id.trim();
    let join = b.agentbox(["exec", id, "--", "/bin/sh", "-c", script]);
    let ran = run(b.through("printf 'in\\n' | \"$@\" 2>&1 | cat", &join));
    assert_eq!(ran.ok(), "in\nout\nerr", "{ran:?}");
}

#[test]
fn a_low_limit_of_open_files_is_named_as_the_reason() {
    let b = TestBox::new();
    let inner = b.command(["true"]);
    let ran = run(b.through("ulimit -n 24; exec \"$@\"", &inner));
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(
        ran.complaint()
            .contains("256 are enough, and ten more for each nested repository"),
        "{ran:?}"
    );
    for untrue in ["container", "user namespaces"] {
        assert!(!ran.complaint().contains(untrue), "{untrue}: {ran:?}");
    }
    let ran = run(b.through("ulimit -n 256; exec \"$@\"", &inner));
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// With the soft limit that most users have, a directory of 150 repositories could not be the working copy.
#[test]
fn many_repositories_need_no_higher_limit_of_open_files() {
    let b = TestBox::new().profile("extends = [\"base\", \"git\"]\n");
    b.on_host("for i in $(seq 60); do mkdir -p $i/.git/hooks $i/.git/objects $i/.git/refs; echo 'ref: refs/heads/a' > $i/.git/HEAD; done")
        .ok();
    let inner = b.command([
        "/bin/sh",
        "-c",
        "ulimit -Sn; ulimit -Hn; echo x > 60/.git/hooks/pre-push",
    ]);
    let ran = run(b.through("ulimit -Hn; ulimit -Sn 128; exec \"$@\"", &inner));
    let text = ran.text();
    let said: Vec<&str> = text.lines().collect();
    // The command has the limits of the caller.
    assert_eq!(said, [said[0], "128", said[0]], "{ran:?}");
    assert!(!b.ws().join("60/.git/hooks/pre-push").exists(), "{ran:?}");
    let ran = run(b.through("ulimit -n 128; exec \"$@\"", &inner));
    assert_eq!(ran.code(), 125, "{ran:?}");
    assert!(
        ran.complaint().contains("256 are enough, and ten more"),
        "{ran:?}"
    );
    // A limit of the plan is the command's, also above the caller's soft one.
    let b = b.option("--limit=open-files=600");
    let inner = b.command(["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    let ran = run(b.through("ulimit -Sn 128; exec \"$@\"", &inner));
    assert_eq!(ran.ok(), "600\n600", "{ran:?}");
}

/// A file that an agent could have written is cited, and does not write on the terminal.
#[test]
fn a_projects_file_writes_nothing_on_the_terminal() {
    let file = "[files]\nread = [\"/etc/\\u001b]0;title\\u0007*\"]\n\"\\u009b2J\" = 1\n";
    let b = TestBox::new().file("home/ws/.agentbox.toml", file);
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 125, "{ran:?}");
    let said = ran.complaint();
    assert!(said.contains("\\u{1b}]0;title\\u{7}"), "{ran:?}");
    assert!(
        !said.contains(|c: char| c.is_control() && c != '\n'),
        "{ran:?}"
    );
}

/// The rules say `.claude/settings.json`: with `.claude` itself as the working copy none of them would hold.
#[test]
fn a_directory_of_settings_is_no_working_copy() {
    let b = TestBox::new()
        .file("home/.claude/settings.json", "{}")
        .file("home/ws/.claude/hooks/x.sh", "")
        .file("home/.ssh/id", "")
        .dir("home/ws/.claude/worktrees/one");
    let touch = |dir: &str| {
        let dir = b.fill(dir);
        run(b.agentbox([
            "run",
            "--net",
            "none",
            "-C",
            &dir,
            "--",
            "/usr/bin/touch",
            "made",
        ]))
    };
    for dir in [
        "{home}/.claude",
        "{ws}/.claude",
        "{ws}/.claude/hooks",
        "{ws}/.claude/worktrees",
        "{home}/.ssh",
    ] {
        touch(dir).refused(&["cannot be the workspace"]);
        assert!(!std::path::Path::new(&b.fill(dir)).join("made").exists());
    }
    let ran = touch("{ws}/.claude/worktrees/one");
    assert_eq!(ran.code(), 0, "an agent's work tree is one: {ran:?}");
}

/// An agent's program that resumes a session outside writes where the session's files are: not through links. Also where
/// `~/.claude` is a link into a repository of dotfiles: what was granted behind a link was not looked at.
#[test]
fn no_link_out_of_an_agents_directory_stays() {
    for dotfiles in [false, true] {
        let b = TestBox::new()
            .file("home/.bashrc", "host")
            .dir("home/dot/claude");
        if dotfiles {
            std::os::unix::fs::symlink("dot/claude", b.home().join(".claude")).unwrap();
        }
        let script = "cd {home}/.claude/projects && cd ./$(echo {ws} | sed 's/[^A-Za-z0-9]/-/g') && mkdir -p p/q && ln -s {home}/.bashrc p/a.jsonl \
            && ln -s ../../../.bashrc p/q/b.jsonl && ln -s a.jsonl p/inside && mkfifo p/q/fifo && ln -s /etc/passwd {ws}/of-the-work";
        let script = b.fill(script);
        let ran = run(b.agentbox([
            "run", "--net", "none", "-p", "claude", "--", "/bin/sh", "-c", &script,
        ]));
        assert_eq!(ran.code(), 0, "{ran:?}");
        let of = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let project: String = b.fill("{ws}").chars().map(of).collect();
        let sessions = format!("home/.claude/projects/{project}/p");
        let there = |path: &str| std::fs::symlink_metadata(b.root().join(path)).is_ok();
        for gone in ["a.jsonl", "q/b.jsonl", "q/fifo"] {
            assert!(!there(&format!("{sessions}/{gone}")), "{gone}: {ran:?}");
        }
        for stays in [&format!("{sessions}/inside"), "home/ws/of-the-work"] {
            assert!(there(stays), "{stays}, the twin: {ran:?}");
        }
        assert!(
            ran.complaint()
                .contains("a link out of the agent's directory"),
            "{ran:?}"
        );
    }
}

/// Init's death is the end of the box. Idle and behind two hundred processes that computed it took seconds to die.
#[test]
fn no_process_of_the_box_makes_init_wait() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let script = "import ctypes,os
l=ctypes.CDLL(None,use_errno=True); zero=ctypes.create_string_buffer(64); one=ctypes.c_ulong(1)
limit=(ctypes.c_ulong*2)(64,64)
def ask(r): return ctypes.get_errno() if r else 0
def both(call): return [ask(call(1)),ask(call(0))]
print(both(lambda p: l.sched_setscheduler(p,0x40000000,zero)),both(lambda p: l.sched_setparam(p,zero)),
 both(lambda p: l.sched_setaffinity(p,8,ctypes.byref(one))),both(lambda p: l.setpriority(0,p,0)),both(lambda p: l.prlimit(p,7,limit,None)))
print(ask(l.setpriority(2,os.getuid(),0)),ask(l.setpriority(1,0,0)))
print(ask(l.sched_setscheduler(os.getpid(),0x40000003,zero)))";
    let (with, without) = twins(script);
    assert_eq!(
        with, "[1, 0] [1, 0] [1, 0] [1, 0] [1, 0]\n1 1\n0",
        "EPERM for init"
    );
    assert_eq!(
        without, "[0, 0] [0, 0] [0, 0] [0, 0] [0, 0]\n0 0\n0",
        "the twin"
    );
}

/// Beside 250 processes that compute a stop file took 0.4 to 1.2 s: each who had to act on it waited for its turn.
#[test]
fn who_ends_a_box_has_short_turns_and_the_box_has_not() {
    if missing(Feature::Tool("python3")) || missing(Feature::Slices) {
        return;
    }
    // sched_getattr(2); the ninth word and the next are sched_runtime: of an ordinary process the slice that it asked for.
    let script = "import ctypes,sys
l=ctypes.CDLL(None,use_errno=True); b=(ctypes.c_uint*14)()
for p in sys.argv[1:]:
    assert l.syscall(ctypes.c_long(NUMBER),int(p),ctypes.byref(b),56,0)==0,p
    print(b[6])";
    let script = script.replace("NUMBER", &libc::SYS_sched_getattr.to_string());
    let b = TestBox::new();
    let slices = |command: &mut std::process::Command| -> Vec<u32> {
        let text = run_text(command);
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    let mut live = b.start(["/bin/sh", "-c", "echo up; sleep 600"]);
    live.wait_line("up");
    let rows = run(b.agentbox(["ps", "--json"]));
    let rows: serde_json::Value = serde_json::from_slice(&rows.stdout).unwrap();
    let supervisor = rows[0]["supervisor"].as_i64().unwrap();
    let init = agentbox::sys::procfs::processes();
    let is_init = |pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name == "agentbox-init\n")
    };
    let init = init
        .iter()
        .find(|p| i64::from(p.parent) == supervisor && is_init(p.pid));
    let init = init.unwrap().pid;
    let mut outside = std::process::Command::new("/usr/bin/python3");
    outside.args([
        "-c",
        &script,
        &supervisor.to_string(),
        &init.to_string(),
        "0",
    ]);
    let found = slices(&mut outside);
    let usual = found[2];
    assert_eq!(found[..2], [100_000; 2], "{found:?}");
    assert_ne!(usual, 100_000);
    let mut inside = b.command(["/usr/bin/python3", "-c", &script, "0"]);
    assert_eq!(slices(&mut inside), [usual]);
}

/// The key of an encrypted home belongs to its file system: who takes it away locks what is outside of the box, too.
#[test]
fn no_key_of_an_encrypted_file_system_is_taken_away() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    // FS_IOC_REMOVE_ENCRYPTION_KEY, the same for all users, FS_IOC_ADD_ENCRYPTION_KEY; FS_IOC_GETFLAGS as what stays.
    let script = "import fcntl,os
fd=os.open('.',os.O_RDONLY)
def ask(call):
    try: fcntl.ioctl(fd,call,bytearray(80)); return 0
    except OSError as e: return e.errno
print([ask(c) for c in (0xc0406618,0xc0406619,0xc0506617)],ask(0x80086601))";
    let (with, without) = twins(script);
    let refused = libc::EPERM;
    assert_eq!(with, format!("[{refused}, {refused}, {refused}] 0"));
    // The kernel's own word about a file system without keys, or about no key at all.
    assert!(
        !without.starts_with(&format!("[{refused}")) && without.ends_with("] 0"),
        "the twin: {without}"
    );
}

/// Where agentbox lies in what the box writes (`./bin/agentbox` of the work, a build of its own), the box put another program in
/// its place, and the user's next `agentbox ps` ran that one outside.
#[test]
fn the_box_does_not_replace_agentbox_itself() {
    let b = TestBox::new();
    let program = common::world::agentbox();
    let copy = format!("mkdir -p bin && cp {} bin/agentbox", program.display());
    b.on_host(&copy).ok();
    let whole = std::fs::metadata(program).unwrap().len();
    let there = || std::fs::metadata(b.ws().join("bin/agentbox")).is_ok_and(|it| it.len() == whole);
    let evil = "printf '#!/bin/sh\\ntouch pwned\\n' > evil; chmod +x evil; cp evil bin/agentbox; cp evil bin/other; \
                mv evil bin/agentbox; rm -f bin/agentbox; mv bin gone; ls bin";
    let ran = b.on_host(&format!("bin/agentbox run --net none -- sh -c \"{evil}\""));
    assert!(there(), "{ran:?}");
    assert!(ran.text().contains("agentbox"), "{ran:?}");
    b.on_host("bin/agentbox ps").ok();
    assert!(!b.ws().join("pwned").exists(), "{ran:?}");
    // The twins: what lies beside it, and who says so.
    assert!(b.ws().join("bin/other").exists(), "{ran:?}");
    let ran = b.on_host("bin/agentbox run --net none --write bin -- rm bin/agentbox");
    assert!(!there(), "{ran:?}");
}

/// Whoever writes to /dev/null while it is gone makes a file there: `ENODEV` was all that was said, and that this is a container.
#[test]
fn a_plain_file_as_dev_null_is_named_with_the_way_out() {
    // A mount over it takes root's capability, in a mount namespace of this test's own.
    if missing(Feature::HostRoot) || !as_root() {
        return;
    }
    let b = TestBox::new();
    let covered = "unshare -m --propagation private sh -c ': >dev-null; mount --bind dev-null /dev/null; exec \"$@\"' sh \"$@\"";
    let ran = run(b.through(covered, &b.command(["true"])));
    ran.refused(&[
        "not the device of that name",
        "mknod -m 666 /dev/null c 1 3",
    ]);
    let device = "unshare -m --propagation private sh -c 'exec \"$@\"' sh \"$@\"";
    assert_eq!(run(b.through(device, &b.command(["true"]))).code(), 0);
}
