//! What the box needs while nothing happens: memory and wake-ups of each of its own processes.

use crate::Setting;
use crate::table;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long nothing happens.
const SPAN: Duration = Duration::from_secs(5);

/// Prints the table of what lies idle.
pub(crate) fn compare(setting: &Setting) {
    let workspace = setting.place.join("idle");
    fs::create_dir(&workspace).expect("a workspace");
    let mut rows = Vec::new();
    for terminal in [false, true] {
        // The command takes longer than everything here and ends by itself should this program die.
        let mut command = Command::new(&setting.agentbox);
        command
            .args(["run", "-q", "--net", "none", "--", "sleep", "60"])
            .current_dir(&workspace);
        // Held open to the end: a terminal without its other side is a hang-up.
        let pair = terminal.then(|| nix::pty::openpty(None, None).expect("a pseudo-terminal"));
        let (stdin, stdout, stderr) = match &pair {
            Some(pair) => {
                let slave = || Stdio::from(pair.slave.try_clone().expect("dup"));
                (slave(), slave(), slave())
            }
            None => {
                let null = || {
                    Stdio::from(
                        File::options()
                            .read(true)
                            .write(true)
                            .open("/dev/null")
                            .expect("null"),
                    )
                };
                (null(), null(), null())
            }
        };
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        sleep(Duration::from_millis(500));
        let ours = own_processes(child.id());
        if child.try_wait().expect("wait").is_some() {
            table::line("idle: agentbox ended at once, nothing to measure");
            continue;
        }
        let first: Vec<u64> = ours.iter().map(|&pid| switches(pid)).collect();
        sleep(SPAN);
        for (&pid, first) in ours.iter().zip(first) {
            rows.push(vec![
                format!(
                    "{} {}{}",
                    if terminal { "terminal" } else { "no terminal" },
                    field(pid, "Name"),
                    if pid == child.id() { " (started)" } else { "" }
                ),
                field(pid, "VmHWM"),
                field(pid, "RssAnon"),
                format!("{}", switches(pid).saturating_sub(first)),
            ]);
        }
        end(&mut child);
    }
    table::print(
        &format!("idle for {} s", SPAN.as_secs()),
        &["process", "peak", "anonymous", "wake-ups"],
        &rows,
    );
}

fn end(child: &mut Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
    child.wait().expect("wait");
}

/// agentbox's own processes of one session: what was started and its descendants, without the command. Init is not
/// dumpable, so its `exe` cannot be read: the name has to do.
fn own_processes(started: u32) -> Vec<u32> {
    let everybody: Vec<u32> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut family = vec![started];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        next += 1;
        let children = everybody
            .iter()
            .filter(|&&pid| field(pid, "PPid") == parent.to_string());
        family.extend(children);
    }
    family.retain(|&pid| field(pid, "Name").starts_with("agentbox"));
    family
}

/// A field of `/proc/PID/status` (proc(5)); empty if the process is gone.
fn field(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// How often the threads of a process were given the processor: each wake-up ends in one voluntary switch.
fn switches(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .filter_map(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .sum()
}
