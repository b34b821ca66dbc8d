//! The same scripts, without the box and in it.

#![forbid(unsafe_code)]

use super::scenes::{ENDLESS, LATE, SCENES, STARTED, STOP, Scene, Shell};
use super::world::World;
use crate::report::demo::{Kind, Row, Verdict};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The most that one script may take in the box.
const LIMIT: &str = "time=20s";
/// After this what was left running has acted, if it lives.
const LATER: Duration = Duration::from_millis(400);
/// How long an endless one is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one goes on that heeds nothing, before that is taken for an answer.
const HEEDLESS: Duration = Duration::from_millis(300);
/// How often it is looked.
const PAUSE: Duration = Duration::from_micros(200);

/// How it is played.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another profile for the box than the shell's.
    pub profile: Option<OsString>,
}

/// Why it is not played to the end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The scratch world cannot be made or run in.
    #[error("the scratch world {path}: {source}", path = path.display())]
    World {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no box.
    #[error("{0}")]
    NoBox(String),
    /// The caller wants no more of it.
    #[error("interrupted")]
    Interrupted,
}

/// A demonstration that can be played.
#[derive(Debug)]
pub struct Demo {
    outside: World,
    inside: World,
    options: Options,
    program: PathBuf,
}

/// What a script left behind.
#[derive(Debug)]
pub(super) struct Ran {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// On which side of the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Outside,
    Inside,
}

impl Demo {
    /// Makes the two worlds below `root`, which must be an empty directory of the caller's.
    ///
    /// # Errors
    /// [`DemoError::World`].
    pub fn new(root: &Path, options: Options) -> Result<Demo, DemoError> {
        let make = |name: &str| {
            let path = root.join(name);
            World::new(path.clone()).map_err(|source| DemoError::World { path, source })
        };
        Ok(Demo {
            outside: make("without")?,
            inside: make("box")?,
            options,
            program: PathBuf::from("/proc/self/exe"),
        })
    }

    /// Plays every scene; each row is handed out as soon as it is known.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn play(&mut self, mut each: impl FnMut(Row) -> ControlFlow<()>) -> Result<(), DemoError> {
        let mut tell = |row| match each(row) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(DemoError::Interrupted),
        };
        for scene in &SCENES {
            let without = self.scene(scene, Side::Outside)?;
            let within = self.scene(scene, Side::Inside)?;
            tell(row(scene, without, within))?;
        }
        let mut ran = Vec::new();
        for scene in &LATE {
            let without = self.run(scene, Side::Outside)?;
            ran.push((scene, without, self.run(scene, Side::Inside)?));
        }
        sleep(LATER);
        for (scene, without, within) in ran {
            let without = (scene.judge)(&mut self.outside, &without);
            let within = (scene.judge)(&mut self.inside, &within);
            tell(row(scene, without, within))?;
        }
        let without = self.stop(Side::Outside)?;
        let within = self.stop(Side::Inside)?;
        tell(Row {
            title: STOP,
            kind: Kind::Harm,
            without,
            within,
        })
    }

    fn scene(&mut self, scene: &Scene, side: Side) -> Result<Verdict, DemoError> {
        if scene.shell == Shell::Bash && !has_bash() {
            return Ok(Verdict::Untried("needs bash".to_owned()));
        }
        let ran = self.run(scene, side)?;
        Ok((scene.judge)(self.world(side), &ran))
    }

    fn run(&mut self, scene: &Scene, side: Side) -> Result<Ran, DemoError> {
        let script = (scene.script)(self.world(side));
        let output = self.command(scene.shell, &script, side).output();
        let ran = output.map(|output| Ran {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        });
        let ran = ran.map_err(|source| self.failed(side, source))?;
        match (side, ran.status.code()) {
            (Side::Inside, Some(125)) => Err(DemoError::NoBox(ran.complaint())),
            _ => Ok(ran),
        }
    }

    fn world(&mut self, side: Side) -> &mut World {
        match side {
            Side::Outside => &mut self.outside,
            Side::Inside => &mut self.inside,
        }
    }

    fn failed(&self, side: Side, source: io::Error) -> DemoError {
        let world = match side {
            Side::Outside => &self.outside,
            Side::Inside => &self.inside,
        };
        DemoError::World {
            path: world.workspace(),
            source,
        }
    }

    /// A script, with the same environment on both sides.
    fn command(&self, shell: Shell, script: &str, side: Side) -> Command {
        let (world, mut command) = match side {
            Side::Outside => (&self.outside, Command::new(shell.name())),
            Side::Inside => {
                let mut command = Command::new(&self.program);
                command.args(["run", "--quiet", "--limit", LIMIT]);
                if let Some(profile) = &self.options.profile {
                    command.arg("--profile").arg(profile);
                }
                command.args(["--", shell.name()]);
                (&self.inside, command)
            }
        };
        let mut path = world.programs().into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        command
            .args(["-c", script])
            .current_dir(world.workspace())
            .stdin(Stdio::null())
            .env_clear()
            .env("HOME", world.home())
            .env("PATH", path)
            .env("LANG", "C")
            .env("DATABASE_PASSWORD", super::world::Secret::Variable.text());
        command
    }

    /// Something that would go on for ever, and then there is the stop file.
    fn stop(&mut self, side: Side) -> Result<Verdict, DemoError> {
        let mut command = self.command(Shell::Sh, ENDLESS, side);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut running = Endless(child.map_err(|source| self.failed(side, source))?);
        let workspace = self.world(side).workspace();
        let begun = Instant::now();
        while !workspace.join(STARTED).exists() {
            if running.is_over() || begun.elapsed() > PATIENCE {
                return Err(DemoError::NoBox(running.complaint()));
            }
            sleep(PAUSE);
        }
        File::create(workspace.join(".claude-stop")).map_err(|source| self.failed(side, source))?;
        let begun = Instant::now();
        while begun.elapsed() < HEEDLESS {
            if running.is_over() {
                let took = begun.elapsed().as_secs_f64() * 1000.0;
                return Ok(Verdict::Stopped(format!(
                    "all of it was dead {took:.0} ms later"
                )));
            }
            sleep(PAUSE);
        }
        Ok(Verdict::Through(format!(
            "still runs {} ms later",
            HEEDLESS.as_millis()
        )))
    }
}

fn row(scene: &Scene, without: Verdict, within: Verdict) -> Row {
    Row {
        title: scene.title,
        kind: scene.kind,
        without,
        within,
    }
}

fn has_bash() -> bool {
    ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]
        .iter()
        .any(|path| fs::metadata(path).is_ok())
}

impl Ran {
    pub(super) fn is_fine(&self) -> bool {
        self.status.success()
    }

    pub(super) fn is_silent(&self) -> bool {
        self.stdout.iter().all(u8::is_ascii_whitespace)
    }

    pub(super) fn printed(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.stdout).contains(text)
    }

    /// What agentbox said.
    fn complaint(&self) -> String {
        complaint(&self.stderr)
    }

    /// The last word of whatever failed.
    pub(super) fn why(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let mut own = text.lines().filter(|line| line.starts_with("agentbox: "));
        if self.status.code() == Some(126)
            && own.any(|line| line.contains("is refused in this box"))
        {
            return "refused, with the reason".to_owned();
        }
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty() && !line.starts_with("agentbox: "));
        match (last, self.status.code(), self.status.signal()) {
            (Some(line), ..) => line.rsplit(": ").next().unwrap_or(line).trim().to_owned(),
            (None, Some(code), _) => format!("status {code}"),
            (None, None, signal) => format!("signal {}", signal.unwrap_or(0)),
        }
    }
}

fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("agentbox: ").unwrap_or(line))
        .collect();
    match lines.is_empty() {
        true => "the box said nothing".to_owned(),
        false => lines.join("\n"),
    }
}

/// A program that does not end by itself.
struct Endless(Child);

impl Endless {
    fn is_over(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it and says what it had to say.
    fn complaint(&mut self) -> String {
        let _ = self.0.kill();
        let mut text = Vec::new();
        if let Some(stderr) = &mut self.0.stderr {
            let _ = io::Read::read_to_end(stderr, &mut text);
        }
        complaint(&text)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
