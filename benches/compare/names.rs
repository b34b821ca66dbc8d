//! What names cost at the start of a large tree, and how long a name is open while the host replaces it.

use crate::Setting;
use crate::measure::median;
use crate::table;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files of the large tree, and files of one directory.
const FILES: usize = 50_000;
const IN_ONE: usize = 20;

/// Rounds of each start.
const ROUNDS: usize = 15;

/// How often the host replaces the name.
const REPLACEMENTS: usize = 1000;

/// Nanoseconds of CLOCK_MONOTONIC, which is the same for every process.
fn now() -> u64 {
    let time =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("clock_gettime");
    u64::try_from(time.tv_sec()).expect("a time") * 1_000_000_000
        + u64::try_from(time.tv_nsec()).expect("a time")
}

/// Prints the tables of names.
pub(crate) fn compare(setting: &Setting) {
    starts(setting);
    window(setting);
}

fn boxed(setting: &Setting, home: &Path, workspace: &Path, argv: &[&str]) -> Command {
    let mut command = Command::new(&setting.agentbox);
    command
        .args(["run", "-q", "--net", "none", "--"])
        .args(argv)
        .current_dir(workspace)
        .env("HOME", home)
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_CONFIG_HOME");
    command
}

/// A tree of that many files in directories as a project has them, some of them with a name of a rule.
fn tree(top: &Path, files: usize) {
    for number in 0..files.div_ceil(IN_ONE) {
        let dir = top.join(format!("m{}/n{}", number / 50, number % 50));
        fs::create_dir_all(&dir).expect("a directory");
        for file in 0..IN_ONE {
            // As few as a project has: each is a mount.
            let name = match (number % 500, file) {
                (0, 0) => ".env".to_owned(),
                (1, 0) => "server.pem".to_owned(),
                _ => format!("f{file}.txt"),
            };
            fs::write(dir.join(name), "x\n").expect("a file");
        }
    }
}

/// What is remembered of a tree before a start.
#[derive(Clone, Copy, PartialEq)]
enum Memory {
    Kept,
    WithoutNames,
    WithoutLinks,
    Nothing,
}

/// Milliseconds until the command in the box has said something. Its end is another matter: what was not watched by then
/// is searched.
fn first_byte(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let begin = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut byte = [0];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut byte).expect("a byte");
    let wall = begin.elapsed().as_secs_f64() * 1000.0;
    assert!(child.wait().expect("wait").success(), "{command:?}");
    wall
}

fn starts(setting: &Setting) {
    let home = setting.place.join("names-home");
    let (small, large) = (
        setting.place.join("names-small"),
        setting.place.join("names-large"),
    );
    for dir in [&home, &small, &large] {
        fs::create_dir(dir).expect("a directory");
    }
    let files = if setting.quick { FILES / 10 } else { FILES };
    tree(&large, files);
    // What changed in the last seconds is not remembered: the clock of a file system is coarse.
    std::thread::sleep(Duration::from_millis(2_500));
    let cases: [(&str, &PathBuf, Memory); 5] = [
        ("an empty tree", &small, Memory::Kept),
        ("large, index warm", &large, Memory::Kept),
        ("large, names cold", &large, Memory::WithoutNames),
        ("large, links cold", &large, Memory::WithoutLinks),
        ("large, both cold", &large, Memory::Nothing),
    ];
    let rounds = if setting.quick { 3 } else { ROUNDS };
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for round in 0..rounds + 2 {
        for ((_, workspace, memory), list) in cases.iter().zip(&mut costs) {
            let state = home.join(".local/state/agentbox");
            for (dir, gone) in [
                ("names", [Memory::WithoutNames, Memory::Nothing]),
                ("links", [Memory::WithoutLinks, Memory::Nothing]),
            ] {
                if gone.contains(memory) {
                    let _ = fs::remove_dir_all(state.join(dir));
                }
            }
            let cost = first_byte(&mut boxed(setting, &home, workspace, &["echo", "x"]));
            if round >= 2 {
                list.push(cost);
            }
        }
    }
    let wall = |list: &[f64]| median(list.iter().copied());
    let base = wall(&costs[0]);
    let rows: Vec<Vec<String>> = cases
        .iter()
        .zip(&costs)
        .map(|((name, _, _), list)| {
            let wall = wall(list);
            vec![
                (*name).to_owned(),
                format!("{wall:.2}"),
                format!("{:+.2}", wall - base),
                format!("{:.2}", wall / base),
            ]
        })
        .collect();
    table::print(
        &format!(
            "from the start to the first byte of `echo`, with the defaults: {files} files in {} directories, {rounds} rounds, medians",
            files / IN_ONE
        ),
        &["", "wall ms", "more", "x empty"],
        &rows,
    );
    for dir in [&home, &small, &large] {
        fs::remove_dir_all(dir).expect("the directory can be removed");
    }
}

/// The attacker's loop, in the box: opens the name as fast as it can, and says which contents it saw, from when to when. What
/// it could not read in between ends such a time: the mask of a file goes with its name when another one is renamed over it, a
/// moment before that one is there.
pub(crate) fn inner(arguments: &[OsString]) {
    let [name, stop] = arguments else {
        panic!("names-spin NAME STOP");
    };
    table::line("ready");
    let mut seen: Vec<(u64, u64, u64)> = Vec::new();
    let mut goes_on = false;
    let mut reads = 0u64;
    loop {
        for _ in 0..64 {
            reads += 1;
            let text = fs::read_to_string(name).unwrap_or_default();
            let Ok(number) = text.trim().parse::<u64>() else {
                goes_on = false;
                continue;
            };
            let at = now();
            match seen.last_mut() {
                Some((known, _, last)) if *known == number && goes_on => *last = at,
                _ => seen.push((number, at, at)),
            }
            goes_on = true;
        }
        if Path::new(stop).exists() {
            break;
        }
    }
    let mut text = format!("reads {reads}\n");
    for (number, first, last) in seen {
        let _ = writeln!(text, "{number} {first} {last}");
    }
    table::line(text.trim_end());
}

/// What one loop saw, in milliseconds.
#[derive(Default)]
struct Seen {
    /// From each rename until what it brought could not be read any more.
    new: Vec<f64>,
    /// How long what a rename takes away could be read again.
    old: Vec<f64>,
    reads: u64,
}

impl Seen {
    /// `made` says when each was renamed to its place.
    fn of(lines: impl Iterator<Item = String>, made: &[u64]) -> Seen {
        let ms = |from: u64, to: u64| {
            Duration::from_nanos(to.saturating_sub(from)).as_secs_f64() * 1000.0
        };
        let mut seen = Seen::default();
        let mut told = None;
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
            match (words.as_slice(), numbers.as_slice()) {
                (["reads", _], [reads]) => seen.reads = *reads,
                (_, [number, first, last]) => {
                    let at = usize::try_from(*number).expect("a number");
                    let next = made.get(at + 1).copied().unwrap_or(u64::MAX);
                    if *first < next && told != Some(at) {
                        told = Some(at);
                        seen.new.push(ms(made[at], (*last).min(next)));
                    }
                    if *last > next {
                        seen.old.push(ms((*first).max(next), *last));
                    }
                }
                _ => panic!("{line}"),
            }
        }
        seen.new.sort_by(f64::total_cmp);
        seen.old.sort_by(f64::total_cmp);
        seen
    }
}

/// How many, and their median, 99th percentile and longest.
fn shares(sorted: &[f64]) -> [String; 4] {
    let at = |share: usize| {
        let at = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
        format!("{:.3}", sorted.get(at).copied().unwrap_or(0.0))
    };
    [sorted.len().to_string(), at(50), at(99), at(100)]
}

fn window(setting: &Setting) {
    let mut rows = Vec::new();
    for (what, pause) in [
        ("one every 5 ms", Some(Duration::from_millis(5))),
        ("one after the other", None),
    ] {
        let (home, workspace) = (
            setting.place.join("window-home"),
            setting.place.join("window"),
        );
        for dir in [&home, &workspace] {
            fs::create_dir(dir).expect("a directory");
        }
        fs::write(workspace.join(".env"), "old\n").expect("a file");
        let program = setting.itself.display().to_string();
        let mut command = Command::new(&setting.agentbox);
        let dir = setting
            .itself
            .parent()
            .expect("a directory")
            .display()
            .to_string();
        command
            .args([
                "run",
                "-q",
                "--net",
                "none",
                "--read",
                &dir,
                "--",
                &program,
                "names-spin",
                ".env",
                "stop",
            ])
            .current_dir(&workspace)
            .env("HOME", &home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        let count = if setting.quick {
            REPLACEMENTS / 10
        } else {
            REPLACEMENTS
        };
        let mut made = vec![0u64; count];
        for (number, at) in made.iter_mut().enumerate() {
            fs::write(workspace.join(".new"), format!("{number}\n")).expect("a file");
            *at = now();
            fs::rename(workspace.join(".new"), workspace.join(".env")).expect("rename");
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
        }
        fs::write(workspace.join("stop"), "").expect("a file");
        let seen = Seen::of(lines.map(|line| line.expect("text")), &made);
        assert!(
            child.wait().expect("wait").success(),
            "{what}: the loop failed"
        );
        for (which, times) in [
            ("what was written", &seen.new),
            ("what it replaced", &seen.old),
        ] {
            let [read, median, p99, longest] = shares(times);
            rows.push(vec![
                format!("{what}: {which}"),
                count.to_string(),
                read,
                median,
                p99,
                longest,
                format!("{:.0}", seen.reads as f64 / 1000.0),
            ]);
        }
        for dir in [&home, &workspace] {
            fs::remove_dir_all(dir).expect("the directory can be removed");
        }
    }
    table::print(
        "a loop in the box on a hidden name that the host replaces: how many it read, and for how many ms",
        &[
            "",
            "replaced",
            "read",
            "median",
            "p99",
            "longest",
            "1000 opens",
        ],
        &rows,
    );
}
