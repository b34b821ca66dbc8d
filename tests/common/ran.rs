//! Commands that ran to their end, and what has to be said of them.

use super::{PATIENCE, wait, world};
use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a command left behind.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub took: Duration,
}

impl Ran {
    /// The exit status.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Must have ended with 0; stdout without the last newline.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.status.code(), Some(0), "{self:?}");
        self.text()
    }

    /// stdout without the last newline.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// stderr.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// agentbox must have refused (125) with a message that has all of these words.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.status.code(), Some(125), "{self:?}");
        assert!(self.stdout.is_empty(), "nothing was executed: {self:?}");
        let complaint = self.complaint();
        assert!(complaint.starts_with("agentbox: "), "prefix: {self:?}");
        for word in words {
            assert!(
                complaint.contains(word),
                "{word:?} is not in the message: {self:?}"
            );
        }
    }

    /// The last line of stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.chars().take(4000).collect::<String>()
        };
        write!(f, "{} in {:?}", self.status, self.took)?;
        write!(
            f,
            "\n--- stdout\n{}\n--- stderr\n{}",
            short(&self.stdout),
            short(&self.stderr)
        )
    }
}

/// Runs a command to its end; a hang is a failure and leaves nothing behind.
#[track_caller]
pub fn run(command: Command) -> Ran {
    run_with(command, None)
}

/// The same with these bytes as stdin.
#[track_caller]
pub fn run_with(command: Command, input: Option<Vec<u8>>) -> Ran {
    run_within(command, input, PATIENCE)
}

/// The same with another patience.
#[track_caller]
pub fn run_within(mut command: Command, input: Option<Vec<u8>>, patience: Duration) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let begun = Instant::now();
    let mut child = spawn(&mut command);
    let feeder = input.map(|bytes| {
        let mut pipe = child.stdin.take().unwrap();
        helper(move || pipe.write_all(&bytes).map_err(drop).ok())
    });
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let status = wait(&mut child, patience).unwrap_or_else(|| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("hung for {patience:?}: {command:?}");
    });
    let took = begun.elapsed();
    if let Some(feeder) = feeder {
        let _ = feeder.join();
    }
    Ran {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
        took,
    }
}

/// A thread that serves a test. That there is no room for one is "not now" (EAGAIN of clone(2), also for its stack): it is asked for
/// again for a while, with a word about the machine, since a test is not about its own helpers.
#[track_caller]
pub fn helper<T, F>(work: F) -> JoinHandle<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let work = Arc::new(Mutex::new(Some(work)));
    let begun = Instant::now();
    loop {
        let taken = Arc::clone(&work);
        let started = std::thread::Builder::new().spawn(move || {
            let work = taken.lock().unwrap_or_else(|e| e.into_inner()).take();
            work.unwrap()()
        });
        match started {
            Ok(thread) => return thread,
            Err(e) => {
                let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
                let own = read("/proc/self/status");
                let own = own
                    .lines()
                    .filter(|line| line.starts_with("VmSize") || line.starts_with("Threads"));
                let own = own.collect::<Vec<_>>().join(" ");
                let (load, groups) = (read("/proc/loadavg"), read("/proc/self/cgroup"));
                let line = format!("NO ROOM for a thread ({e}): {load} {own} {groups}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                assert!(begun.elapsed() < PATIENCE, "no room for a thread: {e}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Spawns under the lock that keeps executables from being busy (see [`world::World::write`]).
#[track_caller]
pub fn spawn(command: &mut Command) -> Child {
    heed_signals();
    let _lock = world::FORK.lock().unwrap_or_else(|e| e.into_inner());
    command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

/// A suite that was started in the background of a script, or by nohup(1), has SIGINT, SIGQUIT or SIGHUP ignored, and so would
/// everything that is started here.
fn heed_signals() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
            // SAFETY: the default action runs no code of this process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    });
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    helper(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Gives the command a copy of `fd` as number `at`, without close-on-exec.
pub fn inherit(command: &mut Command, fd: RawFd, at: RawFd) {
    // SAFETY: dup2 is a plain system call and touches no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            // dup2 onto itself would leave close-on-exec as it is.
            let done = if fd == at {
                libc::fcntl(fd, libc::F_SETFD, 0)
            } else {
                libc::dup2(fd, at)
            };
            match done {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
}
