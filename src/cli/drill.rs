//! `agentbox drill`: proves that a switch kills. A box is started that watches one switch under a name of the drill's own, the
//! switch is tripped under that name, and the time is taken until `run` returns, which is when nothing of the box is left.
//! Nobody else watches that name.

#![forbid(unsafe_code)]

use super::args::DrillArgs;
use super::remote::{self, Set};
use super::say::{self, Said};
use super::{CliError, exit};
use crate::host::Host;
use crate::plan::remote::{Remote, RemoteSwitch};
use crate::plan::stop::{NAME, WORKSPACE_NAME};
use crate::plan::text::hex;
use crate::plan::{OsText, Plan};
use crate::record::Timestamp;
use crate::supervise::switch::file::{Holder, make, unmake};
use crate::sys::random;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a box may take to be up, and a local switch or the rest of the way to kill.
const START: Duration = Duration::from_secs(60);
const KILL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(200);

/// What is drilled.
enum Which {
    /// `.agentbox-stop` in a working copy.
    Workspace,
    /// `~/.config/agentbox/stop`.
    User(PathBuf),
    /// A remote one.
    Remote(Box<RemoteSwitch>),
}

/// One line of `drills.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    at: Timestamp,
    switch: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    killed_after_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// Drills. Returns the exit status: 1 if a switch did not kill.
#[must_use]
pub fn drill(args: &DrillArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(e) => {
            e.lines().iter().for_each(say::error);
            e.status()
        }
    }
}

fn flow(args: &DrillArgs) -> Result<u8, CliError> {
    let host = Host::gather()?;
    let mut all = vec![
        ("workspace".to_owned(), Which::Workspace),
        (
            "user".to_owned(),
            Which::User(host.home.join(".config/agentbox")),
        ),
    ];
    let remotes = remote::configured(&host)?.into_iter();
    all.extend(
        remotes.map(|Remote { switch, .. }| (switch.name.clone(), Which::Remote(Box::new(switch)))),
    );
    if let Some(unknown) = args
        .names
        .iter()
        .find(|name| !all.iter().any(|(known, _)| known == *name))
    {
        let names: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        return Err(CliError::NoRemote(unknown.clone(), names.join(", ")));
    }
    all.retain(|(name, _)| args.names.is_empty() || args.names.contains(name));
    let mut status = 0;
    for (name, which) in &all {
        let done = one(name, which, &host);
        let target = match which {
            Which::Workspace => WORKSPACE_NAME.to_owned(),
            Which::User(dir) => OsText::from(dir.join(NAME)).to_string(),
            Which::Remote(switch) => switch.target.to_string(),
        };
        let line = match &done {
            Ok(took) => format!("{name}: killed in {:.1} ms ({target})\n", ms(*took)),
            Err(why) => format!("{name}: FAILED: {why} ({target})\n"),
        };
        let printed = say::out(&line);
        if done.is_err() || printed == Said::Lost {
            status = exit::NO;
        }
        let entry = Entry {
            at: Timestamp::now(),
            switch: name.clone(),
            target,
            killed_after_ms: done.as_ref().ok().map(|took| ms(*took)),
            failed: done.err(),
        };
        if let Err(e) = note(&host, &entry) {
            say::error(format!("the drill is not recorded: {e}"));
            status = exit::NO;
        }
    }
    Ok(status)
}

fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Where drills are recorded.
fn path(host: &Host) -> PathBuf {
    let state = host.var("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|dir| dir.is_absolute());
    let state = state.unwrap_or_else(|| host.home.join(".local/state"));
    state.join("agentbox/drills.jsonl")
}

fn note(host: &Host, entry: &Entry) -> std::io::Result<()> {
    let path = path(host);
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&line)
}

/// Whether every switch that demands it was drilled lately.
///
/// # Errors
/// The one that was not.
pub(super) fn recent(plan: &Plan, host: &Host) -> Result<(), CliError> {
    let demands = |remote: &&Remote| remote.switch.drill_max_age.is_some();
    if plan.drill.is_some() || !plan.remotes.iter().any(|remote| demands(&remote)) {
        return Ok(());
    }
    let text = std::fs::read_to_string(path(host)).unwrap_or_default();
    let entries: Vec<Entry> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    for remote in plan.remotes.iter().filter(demands) {
        let switch = &remote.switch;
        let target = switch.target.to_string();
        let good = |entry: &&Entry| entry.switch == switch.name && entry.target == target;
        // The last word counts: a switch that failed its last drill is not one.
        let last = entries
            .iter()
            .rfind(good)
            .filter(|entry| entry.failed.is_none());
        let age = last.map(|entry| entry.at.until(Timestamp::now()).as_secs_f64());
        if age.is_none_or(|age| age > switch.drill_max_age.unwrap_or(f64::MAX)) {
            return Err(CliError::NotDrilled(switch.name.clone()));
        }
    }
    Ok(())
}

/// Drills one: how long it took.
fn one(name: &str, which: &Which, host: &Host) -> Result<Duration, String> {
    let id = random::bytes::<5>().map_err(|e| e.to_string())?;
    let id = hex(&id);
    let dir = std::env::temp_dir().join(format!("agentbox-drill-{id}"));
    DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?;
    let drilled = match which {
        Which::Remote(switch) => {
            let mut own = switch.as_ref().clone();
            own.target = own.target.drilled(&id).ok_or(
                "agentbox cannot trip what a program says: trip it there, and watch `agentbox ps`",
            )?;
            Some(own)
        }
        Which::Workspace | Which::User(_) => None,
    };
    let trip = Trip {
        which,
        drilled,
        id: &id,
        dir: &dir,
    };
    let done = trip.run(name, host);
    let cleared = trip.clear();
    let _ = std::fs::remove_dir_all(&dir);
    let took = done?;
    cleared
        .map_err(|why| format!("it killed, but the drill's own switch cannot be cleared: {why}"))?;
    Ok(took)
}

/// A switch under the drill's own name.
struct Trip<'a> {
    which: &'a Which,
    drilled: Option<RemoteSwitch>,
    id: &'a str,
    dir: &'a Path,
}

impl Trip<'_> {
    fn file(&self) -> PathBuf {
        match self.which {
            Which::User(dir) => dir.join(format!("{NAME}.drill-{}", self.id)),
            Which::Workspace | Which::Remote(_) => {
                self.dir.join(format!("{WORKSPACE_NAME}.drill-{}", self.id))
            }
        }
    }

    fn set(&self) -> Result<(), String> {
        match &self.drilled {
            Some(switch) => {
                remote::set(switch, Some(("a drill", "agentbox drill"))).map(|_set: Set| ())
            }
            None => {
                let holder = match self.which {
                    Which::User(_) => Holder::Own(0o700),
                    Which::Workspace | Which::Remote(_) => Holder::Other,
                };
                make(&self.file(), "a drill", "agentbox drill", holder)
                    .map(|_made| ())
                    .map_err(|e| e.to_string())
            }
        }
    }

    fn clear(&self) -> Result<(), String> {
        match &self.drilled {
            Some(switch) => remote::forget(switch),
            None => unmake(&self.file())
                .map(|_unmade| ())
                .map_err(|e| e.to_string()),
        }
    }

    fn run(&self, name: &str, host: &Host) -> Result<Duration, String> {
        if let Some(switch) = &self.drilled
            && switch.field.is_some()
        {
            // A document whose member decides has to be there.
            remote::set(switch, None)?;
        }
        let mut child = self.start(name, host)?;
        let errors = lines(child.stderr.take());
        let outputs = lines(child.stdout.take());
        let until = Instant::now() + START;
        while !outputs.try_iter().any(|line| line == "up") {
            if let Ok(Some(_)) = child.try_wait() {
                return Err(said(&errors));
            }
            if Instant::now() > until {
                let _ = child.kill();
                return Err("the box did not start".to_owned());
            }
            sleep(PAUSE);
        }
        let begun = Instant::now();
        let set = self.set();
        let patience = KILL
            + self.drilled.as_ref().map_or(Duration::ZERO, |switch| {
                Duration::try_from_secs_f64(switch.interval + switch.jitter + switch.timeout)
                    .unwrap_or(KILL)
            });
        while set.is_ok() && begun.elapsed() < patience {
            if let Ok(Some(status)) = child.try_wait() {
                let took = begun.elapsed();
                let words = said(&errors);
                let it = match &self.drilled {
                    Some(switch) => format!("killed: the remote switch {}", switch.name),
                    None => format!("killed: the stop file {}", OsText::from(self.file())),
                };
                if status.code() != Some(137)
                    || !words.contains(&it)
                    || words.contains("no proof of life")
                {
                    return Err(format!("the box ended by something else: {words}"));
                }
                if words.contains("no inotify instance is left") {
                    return Err(format!(
                        "killed in {:.1} ms, but by looking five times a second: {words}",
                        ms(took)
                    ));
                }
                return Ok(took);
            }
            sleep(PAUSE);
        }
        let _ = child.kill();
        let _ = child.wait();
        set?;
        Err(format!(
            "the box was alive after {:.0} s",
            patience.as_secs_f64()
        ))
    }

    fn start(&self, name: &str, host: &Host) -> Result<Child, String> {
        let mut command = Command::new(&host.exe);
        command
            .args(["run", "--drill"])
            .arg(format!("{}/{name}", self.id));
        command.args([
            "--net",
            "none",
            "-p",
            "shell",
            "--",
            "/bin/sh",
            "-c",
            "echo up; exec sleep 3600",
        ]);
        command.current_dir(self.dir).env("PWD", self.dir);
        // What it says is read here.
        command.env("NO_COLOR", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
            .spawn()
            .map_err(|e| format!("{}: {e}", host.exe.display()))
    }
}

/// The lines of a pipe, read beside.
fn lines(pipe: Option<impl std::io::Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe.take(1 << 20))
                .lines()
                .map_while(Result::ok)
            {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receive
}

/// What the box's agentbox said, in one line.
fn said(errors: &mpsc::Receiver<String>) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|line| line.trim_start_matches("agentbox: ").to_owned())
        .collect();
    let shown = lines.iter().filter(|line| {
        line.starts_with("killed") || line.starts_with("not started") || line.contains("five times")
    });
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    if shown.is_empty() {
        lines.join("; ")
    } else {
        shown.join("; ")
    }
}
