//! What this process is, and processes that misbehave.

use crate::kernel::{fork, leave, reap};
use crate::raw::Args;
use crate::{Answer, At, last, usage};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "true" => Ok(Value::Null),
        "ids" => ids(),
        "status" => status(args),
        "prctl" => prctl(),
        "env" => env(),
        "args" => {
            Ok(json!({"args": args.rest(0).iter().map(|a| hex(a.as_bytes())).collect::<Vec<_>>()}))
        }
        "args-size" => Ok(json!({"count": args.len(),
            "bytes": args.rest(0).iter().map(|a| a.len()).sum::<usize>()})),
        "cwd" => std::env::current_dir()
            .at("getcwd")
            .map(|d| json!({"cwd": d.to_string_lossy()})),
        "fds" => fds(),
        "mounts" => mounts(),
        "processes" => processes(),
        "limits" => limits(),
        "exit" => std::process::exit(i32::try_from(args.num(0)).unwrap()),
        "die" => die(args),
        "sleep" => sleep(args),
        "ignore" => ignore(args),
        "on-signal" => on_signal(args),
        "daemon" => daemon(args),
        "orphans" => orphans(args),
        "zombies" => zombies(),
        "fork-bomb" => fork_bomb(args),
        "threads" => threads(args),
        "memory" => memory(args),
        "spam" => spam(args),
        "cat" => cat(),
        "inotify" => inotify(args),
        "inotify-see" => inotify_see(args),
        "open-files" => open_files(args),
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn ids() -> Answer {
    let (mut ruid, mut euid, mut suid) = (0, 0, 0);
    let (mut rgid, mut egid, mut sgid) = (0, 0, 0);
    // SAFETY: each call writes three numbers that live for it.
    unsafe {
        libc::getresuid(&raw mut ruid, &raw mut euid, &raw mut suid);
        libc::getresgid(&raw mut rgid, &raw mut egid, &raw mut sgid);
    }
    let groups = nix::unistd::getgroups().at("getgroups")?;
    let groups: Vec<u32> = groups.iter().map(|g| g.as_raw()).collect();
    // SAFETY: umask takes a number; it is put back at once.
    let umask = unsafe {
        let mask = libc::umask(0o77);
        libc::umask(mask);
        mask
    };
    Ok(
        json!({"uid": [ruid, euid, suid], "gid": [rgid, egid, sgid], "groups": groups, "umask": umask,
        "pid": std::process::id(), "ppid": std::os::unix::process::parent_id(),
        "uid-map": fs::read_to_string("/proc/self/uid_map").unwrap_or_default()}),
    )
}

/// `status [PID]`: the fields of /proc/PID/status.
fn status(args: &Args<'_>) -> Answer {
    let pid = if args.len() > 0 { args.text(0) } else { "self" };
    let text = fs::read_to_string(format!("/proc/{pid}/status")).at("open")?;
    let fields = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), Value::from(value.trim())));
    Ok(Value::Object(fields.collect::<Map<_, _>>()))
}

fn prctl() -> Answer {
    // SAFETY: these requests take numbers and return one.
    let ask = |request| unsafe { libc::prctl(request, 0, 0, 0, 0) };
    Ok(
        json!({"no-new-privs": ask(libc::PR_GET_NO_NEW_PRIVS), "dumpable": ask(libc::PR_GET_DUMPABLE),
        "seccomp": ask(libc::PR_GET_SECCOMP), "securebits": ask(libc::PR_GET_SECUREBITS)}),
    )
}

fn env() -> Answer {
    let all = std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned().into(),
        )
    });
    Ok(json!({"env": all.collect::<Map<_, _>>()}))
}

/// Every open descriptor and what it is, except the one that lists them.
fn fds() -> Answer {
    let mut found = Map::new();
    for entry in fs::read_dir("/proc/self/fd").at("open")? {
        let name = entry.at("getdents")?.file_name();
        if let Ok(to) = fs::read_link(std::path::Path::new("/proc/self/fd").join(&name)) {
            if to.to_string_lossy().starts_with("/proc/") && to.to_string_lossy().ends_with("/fd") {
                continue;
            }
            found.insert(
                name.to_string_lossy().into_owned(),
                to.to_string_lossy().into(),
            );
        }
    }
    Ok(json!({"fds": found}))
}

fn mounts() -> Answer {
    let text = fs::read_to_string("/proc/self/mountinfo").at("open")?;
    Ok(json!({"lines": text.lines().collect::<Vec<_>>()}))
}

fn processes() -> Answer {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").at("open")? {
        if let Ok(pid) = entry
            .at("getdents")?
            .file_name()
            .to_string_lossy()
            .parse::<u32>()
        {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            pids.push(json!({"pid": pid, "cmdline": String::from_utf8_lossy(&command)}));
        }
    }
    Ok(json!({"pids": pids}))
}

fn limits() -> Answer {
    let text = fs::read_to_string("/proc/self/limits").at("open")?;
    let oom = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    Ok(json!({"text": text, "oom-score-adj": oom.trim()}))
}

fn signal_of(number: i64) -> Signal {
    match Signal::try_from(i32::try_from(number).unwrap()) {
        Ok(signal) => signal,
        Err(_) => usage("no such signal"),
    }
}

/// `die SIGNAL`: with the default action.
fn die(args: &Args<'_>) -> Answer {
    let number = signal_of(args.num(0));
    // SAFETY: SIG_DFL runs no code of ours.
    let _ = unsafe { signal(number, SigHandler::SigDfl) };
    raise(number).at("raise")?;
    std::thread::sleep(Duration::from_secs(10));
    Ok(Value::Null)
}

/// Says that it is ready: a test waits for this line, never for an amount of time.
fn ready() {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready");
    let _ = out.flush();
}

/// `sleep SECONDS [TOKEN]`: TOKEN makes the process findable from outside.
fn sleep(args: &Args<'_>) -> Answer {
    ready();
    std::thread::sleep(Duration::from_secs_f64(args.text(0).parse().unwrap()));
    Ok(Value::Null)
}

/// `ignore SIGNAL,SIGNAL SECONDS [TOKEN]`.
fn ignore(args: &Args<'_>) -> Answer {
    for number in args.text(0).split(',') {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { signal(signal_of(crate::raw::number(number)), SigHandler::SigIgn) }
            .at("sigaction")?;
    }
    ready();
    std::thread::sleep(Duration::from_secs_f64(args.text(1).parse().unwrap()));
    Ok(Value::Null)
}

/// `on-signal SIGNAL STATUS [TOKEN]`: waits for the signal, says it and ends with STATUS.
fn on_signal(args: &Args<'_>) -> Answer {
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(signal_of(args.num(0)));
    set.thread_block().at("sigprocmask")?;
    ready();
    let got = set.wait().at("sigwait")?;
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", json!({"ok": true, "got": got as i32}));
    let _ = out.flush();
    std::process::exit(i32::try_from(args.num(1)).unwrap())
}

/// `daemon SECONDS TOKEN`: the classic double fork with setsid; the first process ends when the daemon stands.
fn daemon(args: &Args<'_>) -> Answer {
    let (mut from, to) = std::io::pipe().at("pipe")?;
    if fork()? == 0 {
        let _ = nix::unistd::setsid();
        if fork().is_ok_and(|pid| pid == 0) {
            let mut to = to;
            if let Ok(null) = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
            {
                let _ = nix::unistd::dup2_stdin(&null);
                let _ = nix::unistd::dup2_stdout(&null);
                let _ = nix::unistd::dup2_stderr(&null);
            }
            let _ = to.write_all(&std::process::id().to_ne_bytes());
            drop(to);
            std::thread::sleep(Duration::from_secs_f64(args.text(0).parse().unwrap_or(1.0)));
            leave(0);
        }
        leave(0);
    }
    drop(to);
    let mut pid = [0u8; 4];
    from.read_exact(&mut pid).at("read")?;
    Ok(json!({"daemon": u32::from_ne_bytes(pid)}))
}

/// `orphans COUNT SECONDS TOKEN`: COUNT children that ignore every signal they may, then waits with them.
fn orphans(args: &Args<'_>) -> Answer {
    for _ in 0..args.num(0) {
        if fork()? == 0 {
            for number in 1..32 {
                if let Ok(number) = Signal::try_from(number) {
                    // SAFETY: SIG_IGN runs no code of ours.
                    let _ = unsafe { signal(number, SigHandler::SigIgn) };
                }
            }
            std::thread::sleep(Duration::from_secs_f64(args.text(1).parse().unwrap_or(1.0)));
            leave(0);
        }
    }
    ready();
    std::thread::sleep(Duration::from_secs_f64(args.text(1).parse().unwrap()));
    Ok(Value::Null)
}

/// Leaves twenty grandchildren to pid 1 and waits until it has reaped them all.
fn zombies() -> Answer {
    let (mut from, to) = std::io::pipe().at("pipe")?;
    let child = fork()?;
    if child == 0 {
        let mut to = to;
        for _ in 0..20 {
            match fork() {
                Ok(0) => leave(0),
                Ok(pid) => {
                    let _ = to.write_all(&pid.to_ne_bytes());
                }
                Err(_) => leave(1),
            }
        }
        leave(0);
    }
    drop(to);
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).at("read")?;
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).at("wait")?;
    let pids: Vec<i32> = bytes
        .chunks_exact(4)
        .map(|b| i32::from_ne_bytes(b.try_into().unwrap()))
        .collect();
    let started = std::time::Instant::now();
    loop {
        let left = pids
            .iter()
            .filter(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(true))
            .count();
        if left == 0 || started.elapsed() > Duration::from_secs(20) {
            return Ok(json!({"made": pids.len(), "left": left}));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `fork-bomb MOST`: children that wait, until the kernel refuses or MOST are there; all are killed again.
fn fork_bomb(args: &Args<'_>) -> Answer {
    let mut children = Vec::new();
    let mut errno = 0;
    while children.len() < usize::try_from(args.num(0)).unwrap() {
        match fork() {
            Ok(0) => {
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                std::thread::sleep(Duration::from_secs(60));
                leave(0);
            }
            Ok(pid) => children.push(pid),
            Err(refused) => {
                errno = refused.errno;
                break;
            }
        }
    }
    let count = children.len();
    children.into_iter().for_each(reap);
    Ok(json!({"count": count, "errno": errno}))
}

/// `threads COUNT`: that many at once, each adds one.
fn threads(args: &Args<'_>) -> Answer {
    let total = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut all = Vec::new();
    for _ in 0..args.num(0) {
        let total = total.clone();
        let thread = std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || {
                total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
        all.push(thread.at("clone")?);
    }
    for thread in all {
        let _ = thread.join();
    }
    Ok(json!({"total": total.load(std::sync::atomic::Ordering::Relaxed)}))
}

/// `memory BYTES`: maps and touches 16 MiB at a time until BYTES are there or the kernel refuses.
fn memory(args: &Args<'_>) -> Answer {
    const STEP: usize = 16 << 20;
    let want = usize::try_from(args.num(0)).unwrap();
    let mut got = 0;
    while got < want {
        // SAFETY: an anonymous mapping at an address of the kernel's choice overlaps nothing of ours.
        let at = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(
                std::ptr::null_mut(),
                STEP,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            let errno = nix::errno::Errno::last_raw();
            return Ok(json!({"bytes": got, "errno": errno}));
        }
        // SAFETY: STEP bytes at `at` are mapped writable and belong to nobody else.
        unsafe { std::ptr::write_bytes(at.cast::<u8>(), 0x5a, STEP) };
        got += STEP;
    }
    Ok(json!({"bytes": got, "errno": 0}))
}

/// `spam BYTES`: that many bytes on stdout, every value in turn.
fn spam(args: &Args<'_>) -> Answer {
    let block: Vec<u8> = (0..=255u8).cycle().take(64 * 1024).collect();
    let mut left = usize::try_from(args.num(0)).unwrap();
    let mut out = std::io::stdout().lock();
    while left > 0 {
        let count = left.min(block.len());
        out.write_all(&block[..count]).at("write")?;
        left -= count;
    }
    out.flush().at("write")?;
    leave(0)
}

/// stdin to stdout, byte for byte.
fn cat() -> Answer {
    std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).at("copy")?;
    std::io::stdout().flush().at("write")?;
    leave(0)
}

/// `inotify MOST`: how many instances there are to be had.
fn inotify(args: &Args<'_>) -> Answer {
    let mut all = Vec::new();
    while all.len() < usize::try_from(args.num(0)).unwrap() {
        match nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::empty()) {
            Ok(instance) => all.push(instance),
            Err(errno) => return Ok(json!({"count": all.len(), "errno": errno as i32})),
        }
    }
    Ok(json!({"count": all.len(), "errno": 0}))
}

/// `inotify-see DIR`: watches DIR, makes a file in it and reads the event (dev servers and test watchers need this).
fn inotify_see(args: &Args<'_>) -> Answer {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let instance = Inotify::init(InitFlags::empty()).at("inotify_init1")?;
    instance
        .add_watch(args.os(0), AddWatchFlags::IN_CREATE)
        .at("inotify_add_watch")?;
    fs::write(std::path::Path::new(args.os(0)).join("seen"), "x").at("write")?;
    let events = instance.read_events().at("read")?;
    Ok(
        json!({"names": events.iter().filter_map(|e| e.name.as_ref()).map(|n| n.to_string_lossy()).collect::<Vec<_>>()}),
    )
}

/// `open-files MOST`: how many descriptors one process may have.
fn open_files(args: &Args<'_>) -> Answer {
    let mut all = Vec::new();
    while all.len() < usize::try_from(args.num(0)).unwrap() {
        match fs::File::open("/dev/null") {
            Ok(file) => all.push(file),
            Err(error) => return Ok(json!({"count": all.len(), "errno": error.raw_os_error()})),
        }
    }
    if all.is_empty() {
        return last("open");
    }
    Ok(json!({"count": all.len(), "errno": 0}))
}
