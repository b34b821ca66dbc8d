//! Boxes that are still running, and processes that are looked for from outside.

use super::{PATIENCE, Ran, until, until_within, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A box that runs. Killed when dropped, so that a failed test leaves nothing.
pub struct Live {
    pub child: Child,
    lines: Receiver<Vec<u8>>,
    stderr: Option<std::thread::JoinHandle<Vec<u8>>>,
    seen: Vec<u8>,
    begun: Instant,
}

impl Live {
    #[track_caller]
    pub fn start(mut command: Command) -> Live {
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = super::spawn(&mut command);
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (send, lines) = channel();
        super::helper(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                if !matches!(reader.read_until(b'\n', &mut line), Ok(1..))
                    || send.send(line).is_err()
                {
                    return;
                }
            }
        });
        let stderr = super::helper(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            bytes
        });
        Live {
            child,
            lines,
            stderr: Some(stderr),
            seen: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Waits for a line of stdout that has this text; the line.
    #[track_caller]
    pub fn wait_line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.extend(&line);
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = kill(Pid::from_raw(-self.raw_pid()), Signal::SIGKILL);
                    let stderr = self
                        .stderr
                        .take()
                        .map(|t| t.join().unwrap())
                        .unwrap_or_default();
                    panic!(
                        "ended before {text:?}: {}",
                        String::from_utf8_lossy(&stderr)
                    );
                }
            }
        }
    }

    fn raw_pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The process that was started: the client.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.raw_pid())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ran {
        let Some(status) = wait(&mut self.child, PATIENCE) else {
            panic!("still there after {PATIENCE:?}");
        };
        let took = self.begun.elapsed();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(10)) {
            self.seen.extend(line);
        }
        let stderr = self
            .stderr
            .take()
            .map(|t| t.join().unwrap())
            .unwrap_or_default();
        Ran {
            status,
            stdout: std::mem::take(&mut self.seen),
            stderr,
            took,
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes of this machine whose argv has that word, those first that none of the others has started: pids begin
/// anew at `pid_max`, so a child's may be lower than its parent's.
pub fn with_token(token: &str) -> Vec<Pid> {
    // Read once: the launcher, which carries the whole command line of the test, wipes its own in the meantime.
    let is_it = |pid: &Pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let has = |wanted: &[u8]| command.split(|b| *b == 0).any(|word| word == wanted);
        has(token.as_bytes()) && !has(b"run")
    };
    let mut found: Vec<Pid> = all().into_iter().filter(is_it).collect();
    let children: Vec<Pid> = found
        .iter()
        .filter(|pid| parent(**pid).is_some_and(|above| found.contains(&above)))
        .copied()
        .collect();
    found.sort_by_key(|pid| children.contains(pid));
    found
}

/// Every process that is not a zombie.
pub fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| {
        std::str::from_utf8(e.file_name().as_bytes())
            .ok()?
            .parse()
            .ok()
    });
    pids.map(Pid::from_raw)
        .filter(|pid| state(*pid).is_some_and(|s| s != 'Z' && s != 'X'))
        .collect()
}

/// A field of /proc/PID/status.
pub fn status_field(pid: Pid, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The state letter of a process.
pub fn state(pid: Pid) -> Option<char> {
    status_field(pid, "State")?.chars().next()
}

/// The parent of a process.
pub fn parent(pid: Pid) -> Option<Pid> {
    Some(Pid::from_raw(status_field(pid, "PPid")?.parse().ok()?))
}

/// All that descends from a process.
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = all()
        .into_iter()
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(above) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == above).map(|(c, _)| *c));
        at += 1;
    }
    found.split_off(1)
}

/// The pid namespace of a process, by its inode; `None` where we may not look.
pub fn pid_namespace(pid: Pid) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// The process of that token; waits until it is there.
#[track_caller]
pub fn find(token: &str) -> Pid {
    let mut found = Vec::new();
    until("the process with the token", || {
        found = with_token(token);
        !found.is_empty()
    });
    found[0]
}

/// init of the box that a process is in: the ancestor that is pid 1 of its own namespace.
#[track_caller]
pub fn init_of(agent: Pid) -> Pid {
    let mut pid = agent;
    loop {
        let inner = status_field(pid, "NSpid").unwrap_or_default();
        let numbers: Vec<&str> = inner.split_whitespace().collect();
        if numbers.len() > 1 && numbers.last() == Some(&"1") {
            return pid;
        }
        pid = parent(pid)
            .filter(|p| p.as_raw() > 1)
            .expect("an ancestor that is pid 1 inside");
    }
}

/// Ends the box with that token as a crash does: its supervisor is killed, and nobody settles what it has left.
pub fn crash(live: Live, token: &str) -> Ran {
    let supervisor = parent(init_of(find(token))).unwrap();
    kill(supervisor, Signal::SIGKILL).unwrap();
    let ran = live.end();
    gone(token);
    ran
}

/// Nothing with that token is left.
#[track_caller]
pub fn gone(token: &str) {
    until(&format!("everything with {token} is gone"), || {
        with_token(token).is_empty()
    });
}

/// These processes are no more.
#[track_caller]
pub fn all_gone(pids: &[Pid]) {
    for pid in pids {
        let gone = until_within(PATIENCE, || {
            state(*pid).is_none_or(|s| s == 'Z' || s == 'X')
        });
        let name = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        assert!(gone, "process {pid} is left: {name}");
    }
}
