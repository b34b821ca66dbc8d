//! `agentbox demo`: what the box stops, seen.

#![forbid(unsafe_code)]

use super::args::DemoArgs;
use super::say::{self, Said};
use crate::demo::{Demo, DemoError, Options};
use crate::exit;
use crate::profile::builtin;
use crate::report::demo::{self as report, Row};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Plays it. Exit status 1 if something got through the box, or honest work did not.
#[must_use]
pub fn demo(args: &DemoArgs) -> u8 {
    match play(args) {
        Ok(status) => status,
        Err(Failure::Told) => exit::NO,
        Err(Failure::Signal(signal)) => 128u8.saturating_add(signal),
        Err(Failure::Error(error)) => {
            say::error(&error);
            if matches!(error, DemoError::NoBox(_)) {
                say::error(
                    "no box was built, and the line above says why; `agentbox check` says what can be enforced here",
                );
            }
            exit::NO
        }
    }
}

enum Failure {
    /// It was said already.
    Told,
    Signal(u8),
    Error(DemoError),
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Failure {
        Failure::Error(error)
    }
}

fn play(args: &DemoArgs) -> Result<u8, Failure> {
    let begun = Instant::now();
    let mut signals = Interrupts::block().map_err(|errno| world("signalfd", errno))?;
    let scratch = Scratch::new(args.world.as_deref())?;
    let mut cast = args.record.as_deref().map(Cast::create).transpose()?;
    let mut show = |text: &str| -> Result<(), Failure> {
        if let Some(cast) = &mut cast {
            cast.write(begun, text)?;
        }
        match args.json || say::painted(text) == Said::Fine {
            true => Ok(()),
            false => Err(Failure::Told),
        }
    };
    let options = Options {
        profile: args.profile.clone(),
    };
    let mut demo = Demo::new(&scratch.path, options)?;
    show(&report::head())?;
    let mut rows: Vec<Row> = Vec::new();
    let mut lost = None;
    let played = demo.play(|row| {
        if let Err(failure) = show(&report::row(&row)) {
            lost = Some(failure);
            return ControlFlow::Break(());
        }
        rows.push(row);
        match signals.arrived() {
            None => ControlFlow::Continue(()),
            Some(signal) => {
                lost = Some(Failure::Signal(signal));
                ControlFlow::Break(())
            }
        }
    });
    if let Some(failure) = lost {
        return Err(failure);
    }
    played?;
    // Before it is said that nothing is left.
    drop(demo);
    drop(scratch);
    let next = format!("agentbox run {}", agent());
    show(&report::tail(&rows, begun.elapsed(), &next))?;
    if args.json && say::out(&report::json(&rows, begun.elapsed(), &next)) == Said::Lost {
        return Ok(exit::NO);
    }
    match rows.iter().all(Row::is_good) {
        true => Ok(0),
        false => Ok(exit::NO),
    }
}

/// An agent that is installed, else a shell.
fn agent() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    builtin::agents().find(is_there).unwrap_or("bash")
}

fn world(path: impl Into<PathBuf>, errno: nix::errno::Errno) -> Failure {
    Failure::Error(DemoError::World {
        path: path.into(),
        source: errno.into(),
    })
}

/// The directory of the worlds; it goes when it is dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// `wanted` is made; else one in the directory for temporary files.
    fn new(wanted: Option<&Path>) -> Result<Scratch, Failure> {
        let path = match wanted {
            Some(path) => {
                let mode = nix::sys::stat::Mode::from_bits_truncate(0o700);
                nix::unistd::mkdir(path, mode).map_err(|errno| world(path, errno))?;
                path.to_owned()
            }
            None => {
                let template = std::env::temp_dir().join("agentbox-demo-XXXXXX");
                nix::unistd::mkdtemp(&template).map_err(|errno| world(template, errno))?
            }
        };
        let path =
            std::path::absolute(&path).map_err(|source| DemoError::World { path, source })?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Signals that end it, but not before its worlds are gone. The scripts, of the same process group, end by them at once.
struct Interrupts(SignalFd);

impl Interrupts {
    fn block() -> Result<Interrupts, nix::errno::Errno> {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        // Threads that are started later inherit it; std gives children an empty mask.
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        SignalFd::with_flags(&set, flags).map(Interrupts)
    }

    fn arrived(&mut self) -> Option<u8> {
        let signal = self.0.read_signal().ok().flatten()?.ssi_signo;
        u8::try_from(signal).ok()
    }
}

/// A recording (asciicast v2): a line of what it is, then a line for each piece of output.
struct Cast {
    file: std::fs::File,
    path: PathBuf,
}

impl Cast {
    fn create(path: &Path) -> Result<Cast, DemoError> {
        let mut cast = Cast {
            file: std::fs::File::create(path).map_err(|source| DemoError::World {
                path: path.to_owned(),
                source,
            })?,
            path: path.to_owned(),
        };
        let head = serde_json::json!({
            "version": 2, "width": 126, "height": 24, "title": "agentbox demo",
            "env": {"SHELL": "/bin/sh", "TERM": "xterm-256color"},
        });
        cast.line(&head)?;
        Ok(cast)
    }

    fn write(&mut self, begun: Instant, text: &str) -> Result<(), DemoError> {
        let text = text.replace('\n', "\r\n");
        self.line(&serde_json::json!([
            begun.elapsed().as_secs_f64(),
            "o",
            text
        ]))
    }

    fn line(&mut self, value: &serde_json::Value) -> Result<(), DemoError> {
        writeln!(self.file, "{value}").map_err(|source| DemoError::World {
            path: self.path.clone(),
            source,
        })
    }
}
