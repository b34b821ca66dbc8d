//! The kill switch, measured from outside: from the stop file to the death of the last process of the box.
//!
//! Every process of the box holds the writing end of a fifo, so its end is the death of the last one. Beside it, in turns, a
//! bare SIGKILL of init of the same kind of box: what the kernel's own teardown takes.

use crate::Setting;
use crate::measure::median;
use crate::table;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How a box is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    StopFile,
    Sigkill,
}

/// Milliseconds from the deed.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// To the last instruction of a process of the box, to its heart-beat of a millisecond.
    last: f64,
    /// To the death of the last one.
    dead: f64,
}

/// Prints the tables of the kill switch.
pub(crate) fn compare(setting: &Setting) {
    let mut rows = Vec::new();
    for (count, rounds) in [(1, 100), (500, 15)] {
        let rounds = if setting.quick { rounds / 5 } else { rounds };
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let both = [By::StopFile, By::Sigkill];
            for by in if round % 2 == 0 {
                both
            } else {
                [both[1], both[0]]
            } {
                let took = one(setting, count, by);
                match by {
                    By::StopFile => ours.push(took),
                    By::Sigkill => bare.push(took),
                }
            }
        }
        for (name, list) in [("stop file", &ours), ("bare SIGKILL", &bare)] {
            let dead = || list.iter().map(|took| took.dead);
            let mut sorted: Vec<f64> = dead().collect();
            sorted.sort_by(f64::total_cmp);
            let p99 = sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)];
            rows.push(vec![
                format!(
                    "{count} process{}, {name}",
                    if count == 1 { "" } else { "es" }
                ),
                format!("{:.2}", median(list.iter().map(|took| took.last))),
                format!("{:.2}", median(dead())),
                format!("{p99:.2}"),
                format!(
                    "{:.2}",
                    median(dead()) / median(bare.iter().map(|took| took.dead))
                ),
            ]);
        }
    }
    table::print(
        "kill switch, milliseconds from the deed",
        &["", "last instruction", "all dead", "p99", "ratio"],
        &rows,
    );
    many(setting);
}

/// One box of so many processes, from its start to its end.
fn one(setting: &Setting, count: usize, by: By) -> Took {
    let work = setting.place.join("kill");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir(&work).expect("a workspace");
    let fifo = work.join("alive");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let mut child = Command::new(&setting.agentbox)
        .args(["run", "-q", "--net", "none", "--read"])
        .arg(setting.itself.parent().expect("a directory"))
        .arg("--")
        .arg(&setting.itself)
        .args(["kill", &count.to_string()])
        .current_dir(&work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("agentbox");
    // Until somebody opens it for writing.
    let mut alive = File::open(&fifo).expect("the fifo");
    let mut byte = [0];
    assert_eq!(alive.read(&mut byte).expect("read"), 1, "all are there");
    let init = (by == By::Sigkill).then(|| init_of(child.id()));
    let begun = now();
    match init {
        Some(init) => {
            nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).expect("kill");
        }
        None => drop(File::create(work.join(".claude-stop")).expect("the stop file")),
    }
    while alive.read(&mut byte).expect("read") > 0 {}
    let dead = now();
    let status = child.wait().expect("wait");
    assert_eq!(status.code(), Some(137), "{by:?}");
    let beats = fs::read(work.join("beats")).expect("beats");
    let last = beats
        .chunks_exact(8)
        .filter_map(|beat| Some(u64::from_ne_bytes(beat.try_into().ok()?)))
        .max()
        .expect("a beat");
    let milliseconds =
        |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from)).as_secs_f64() * 1000.0;
    Took {
        last: milliseconds(begun, last),
        dead: milliseconds(begun, dead),
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, which is the same in the box.
fn now() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let time = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock"));
    u64::try_from(time.as_nanos()).expect("a time")
}

/// Init of the box that this client runs: the descendant that is pid 1 of its own namespace.
fn init_of(client: u32) -> nix::unistd::Pid {
    let mut family = vec![client];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        next += 1;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let numbers: Vec<&str> = own.unwrap_or_default().split_whitespace().collect();
        if numbers.len() > 1 && numbers.last() == Some(&"1") {
            return nix::unistd::Pid::from_raw(pid.cast_signed());
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        family.extend(
            children
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    panic!("no init below {client}");
}

/// In the box: so many processes, each with a heart-beat; the first of them says when all are there.
pub(crate) fn inner(arguments: &[OsString]) {
    let count: u64 = arguments[0]
        .to_str()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    let beats = File::create("beats").expect("beats");
    let alive = File::options().write(true).open("alive").expect("the fifo");
    let beat = |slot: u64| {
        beats
            .write_all_at(&now().to_ne_bytes(), slot * 8)
            .expect("a beat")
    };
    for slot in 0..count {
        beat(slot);
    }
    let me = std::env::current_exe().expect("this program");
    let mut children: Vec<Child> = Vec::new();
    for slot in 1..count {
        children.push(
            Command::new(&me)
                .args(["kill-beat", &slot.to_string()])
                .stdin(alive.try_clone().expect("dup"))
                .spawn()
                .expect("a child"),
        );
    }
    // The last of them has begun to beat by itself.
    if count > 1 {
        let first = fs::metadata("beats").expect("beats").modified().ok();
        while fs::metadata("beats").expect("beats").modified().ok() == first {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(300));
    }
    std::io::Write::write_all(&mut &alive, b"x").expect("the fifo");
    loop {
        beat(0);
        sleep(Duration::from_millis(1));
    }
}

/// One of many.
pub(crate) fn beat(arguments: &[OsString]) {
    let slot: u64 = arguments[0]
        .to_str()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    let beats = File::options().write(true).open("beats").expect("beats");
    loop {
        beats
            .write_all_at(&now().to_ne_bytes(), slot * 8)
            .expect("a beat");
        sleep(Duration::from_millis(1));
    }
}

/// A hundred boxes and one `agentbox stop`.
fn many(setting: &Setting) {
    let count = if setting.quick { 20 } else { 100 };
    let home = setting.place.join("many");
    fs::create_dir(&home).expect("a home");
    let agentbox = || {
        let mut command = Command::new(&setting.agentbox);
        command
            .env("HOME", &home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::null());
        command
    };
    let mut boxes: Vec<(PathBuf, Child)> = Vec::new();
    for number in 0..count {
        let work = home.join(number.to_string());
        fs::create_dir(&work).expect("a workspace");
        let child = agentbox()
            .args([
                "run",
                "-q",
                "--net",
                "none",
                "--",
                "sh",
                "-c",
                ": > up; exec sleep 600",
            ])
            .current_dir(&work)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("agentbox");
        boxes.push((work, child));
    }
    let begun = Instant::now();
    while !boxes.iter().all(|(work, _)| work.join("up").exists()) {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "not all boxes came up"
        );
        sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    let stop = agentbox()
        .arg("stop")
        .current_dir(&home)
        .output()
        .expect("stop");
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    assert!(stop.status.success(), "{stop:?}");
    let dead = boxes.iter_mut().filter_map(|(_, child)| child.wait().ok());
    let killed = dead.filter(|status| status.code() == Some(137)).count();
    let refused = agentbox()
        .args(["run", "-q", "--net", "none", "true"])
        .current_dir(&boxes[0].0)
        .stderr(Stdio::null())
        .status()
        .expect("run");
    let lifted = agentbox()
        .arg("start")
        .output()
        .expect("start")
        .status
        .success();
    table::line("");
    table::line(&format!(
        "{count} boxes, one `agentbox stop`: {killed} killed in {took:.0} ms by its own clock and start; the next start: status \
         {}; lifted again: {lifted}",
        refused.code().unwrap_or(-1)
    ));
    table::line(&format!(
        "it says: {}",
        String::from_utf8_lossy(&stop.stdout).trim_end()
    ));
    remove(&home);
}

fn remove(dir: &Path) {
    // A supervisor may still write its record for an instant.
    for _ in 0..100 {
        if fs::remove_dir_all(dir).is_ok() {
            return;
        }
        sleep(Duration::from_millis(20));
    }
}
