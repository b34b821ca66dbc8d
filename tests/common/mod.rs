//! The house of the tests: [`TestBox`] makes a fresh world (HOME, workspace, profile) and runs the real binary in it.
//!
//! Rules: a denial stands next to its allowed twin and names errno and layer; nothing is skipped without a `SKIP` line;
//! no test waits for an amount of time, only for an event with a generous deadline.

#![allow(dead_code, unused_imports, unreachable_pub, unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod dice;
pub mod live;
pub mod network;
pub mod probed;
pub mod pty;
pub mod ran;
pub mod switched;
pub mod switches;
pub mod world;

pub use agentbox::outcome::Layer;
pub use live::Live;
pub use nix::errno::Errno;
pub use probed::Probed;
pub use ran::{Ran, helper, inherit, run, run_with, run_within, spawn};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
pub use world::{Feature, missing};

/// After this a command of the product counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// For a script: who commits.
pub const COMMITTER: &str =
    "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b;";

/// For a script: git takes submodules from directories, and the first branch is `main`.
pub const GIT: &str = "export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=protocol.file.allow GIT_CONFIG_VALUE_0=always \
                       GIT_CONFIG_KEY_1=init.defaultBranch GIT_CONFIG_VALUE_1=main;";

/// A world of its own for one test, and how `agentbox run` is to be called in it. Gone when dropped.
pub struct TestBox {
    world: world::World,
    profile: Option<String>,
    off: Vec<Layer>,
    net: &'static str,
    options: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
}

impl TestBox {
    /// A fresh HOME (0700) and an empty workspace `HOME/ws`, both the test user's.
    pub fn new() -> Self {
        TestBox {
            world: world::World::new(),
            profile: None,
            off: Vec::new(),
            net: "none",
            options: Vec::new(),
            env: Vec::new(),
            cwd: None,
        }
    }

    /// The text of a profile (without `[layers]`), given by `--profile FILE`.
    pub fn profile(mut self, toml: &str) -> Self {
        self.profile = Some(self.fill(toml));
        self
    }

    /// Layers that are switched off: for attribution only.
    pub fn off(mut self, layers: &[Layer]) -> Self {
        self.off = layers.to_vec();
        self
    }

    /// The mode of `--net`; `none` unless said otherwise.
    pub fn net(mut self, mode: &'static str) -> Self {
        self.net = mode;
        self
    }

    /// One more option of `run`, with placeholders filled in.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(self.fill(option).into());
        self
    }

    /// A variable of the caller.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.env.push((name.as_ref().to_owned(), value));
        self
    }

    /// The directory in which `agentbox` is called, instead of the workspace.
    pub fn cwd(mut self, path: impl Into<PathBuf>) -> Self {
        self.cwd = Some(path.into());
        self
    }

    /// A file below the world's root, with its directories, owned by the test user. Placeholders work.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.world
            .write(Path::new(&self.fill(path)), content.as_ref(), 0o644);
        self
    }

    /// The same, executable.
    pub fn script(self, path: &str, content: &str) -> Self {
        self.world
            .write(Path::new(&self.fill(path)), content.as_bytes(), 0o755);
        self
    }

    /// A directory, owned by the test user.
    pub fn dir(self, path: &str) -> Self {
        self.world.mkdir(Path::new(&self.fill(path)));
        self
    }

    /// The world's own directory.
    pub fn root(&self) -> &Path {
        &self.world.root
    }

    /// HOME of the caller.
    pub fn home(&self) -> PathBuf {
        self.world.root.join("home")
    }

    /// The workspace.
    pub fn ws(&self) -> PathBuf {
        self.world.root.join("home/ws")
    }

    /// The host's copy of the probe.
    pub fn probe_program(&self) -> PathBuf {
        self.world.root.join("bin/probe")
    }

    /// `{ws}`, `{home}`, `{t}` (the world's root), `{probe}`, `{uid}`.
    pub fn fill(&self, text: &str) -> String {
        let name = |path: PathBuf| path.into_os_string().into_string().unwrap();
        text.replace("{ws}", &name(self.ws()))
            .replace("{home}", &name(self.home()))
            .replace("{probe}", &name(self.probe_program()))
            .replace("{t}", &name(self.world.root.clone()))
            .replace("{uid}", &self.world.user.uid.to_string())
    }

    /// `agentbox ARGS...` as the test user, with a clean environment.
    pub fn agentbox<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(world::agentbox());
        command.args(args).env_clear();
        for (name, value) in self.world.environment() {
            command.env(name, value);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.cwd.clone().unwrap_or_else(|| self.ws()));
        command.stdin(Stdio::null());
        self.world.user.become_it(&mut command);
        command
    }

    /// `agentbox run OPTIONS -- ARGV...`.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, argv: I) -> Command {
        self.command_without(&self.off, argv)
    }

    /// The same with these layers off instead.
    pub fn command_without<I, S>(&self, off: &[Layer], argv: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut args: Vec<OsString> = vec!["run".into(), "--net".into(), self.net.into()];
        if self.profile.is_some() || !off.is_empty() {
            args.push("--profile".into());
            args.push(self.write_profile(off).into());
        }
        // The probe is there for scripts too, not only where it is the command.
        args.push("--read".into());
        args.push(self.world.root.join("bin").into());
        // Refused otherwise (tests/landlock_abi.rs): abstract sockets of the host could be reached.
        if self.net == "host" && world::landlock_abi() < 6 {
            args.extend(["--allow-missing", "landlock"].map(OsString::from));
        }
        args.extend(self.options.iter().cloned());
        args.push("--".into());
        args.extend(argv.into_iter().map(|a| a.as_ref().to_owned()));
        self.agentbox(args)
    }

    fn write_profile(&self, off: &[Layer]) -> PathBuf {
        let mut text = self
            .profile
            .clone()
            .unwrap_or_else(|| "extends = [\"shell\"]\n".to_owned());
        if !off.is_empty() {
            let names: Vec<&str> = off.iter().map(|l| l.name()).collect();
            text.push_str(&format!("\n[layers]\noff = {names:?}\n"));
        }
        let name = off
            .iter()
            .map(|l| l.name())
            .fold("profile".to_owned(), |n, l| n + "-" + l);
        let path = self.world.root.join(name + ".toml");
        self.world.write(&path, text.as_bytes(), 0o644);
        path
    }

    /// Runs a command in the box to its end.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, argv: I) -> Ran {
        run(self.command(argv))
    }

    /// Runs `sh -c SCRIPT` in the box.
    pub fn sh(&self, script: &str) -> Ran {
        self.run(["/bin/sh", "-c", &self.fill(script)])
    }

    /// Starts a command in the box and leaves it running.
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, argv: I) -> Live {
        Live::start(self.command(argv))
    }

    /// Starts `probe LINE` and waits until it says `ready`.
    pub fn start_probe(&self, line: &str) -> Live {
        let mut live = self.start(self.probe_words(line));
        live.wait_line("ready");
        live
    }

    /// argv of `probe LINE`: words separated by spaces, placeholders filled in.
    pub fn probe_words(&self, line: &str) -> Vec<OsString> {
        let line = self.fill(line);
        let words = line.split_whitespace().map(OsString::from);
        std::iter::once(self.probe_program().into_os_string())
            .chain(words)
            .collect()
    }

    /// One operation of the probe in the box.
    pub fn probe(&self, line: &str) -> Probed<'_> {
        Probed::new(self, self.probe_words(line))
    }

    /// Several operations in one box, in children of one probe.
    pub fn batch<S: AsRef<str>>(&self, lines: &[S]) -> Vec<serde_json::Value> {
        let mut words = self.probe_words("batch");
        words.extend(
            lines
                .iter()
                .map(|line| OsString::from(self.fill(line.as_ref()))),
        );
        let ran = self.run(words);
        let answers: Vec<_> = ran
            .stdout
            .split(|b| *b == b'\n')
            .filter_map(|l| serde_json::from_slice(l).ok())
            .collect();
        assert_eq!(
            answers.len(),
            lines.len(),
            "one answer for each operation: {ran:?}"
        );
        answers
    }

    /// The world outside: the same probe without a box, as the test user. The twin of what only a box refuses.
    pub fn outside(&self, line: &str) -> Ran {
        let words = self.probe_words(line);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.ws())
            .stdin(Stdio::null());
        self.world.user.become_it(&mut command);
        run(command)
    }

    /// What git says outside, in the working copy and with the box's environment.
    pub fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        self.around(&mut command, &self.command(["true"]));
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        command.args(["-c", "init.defaultBranch=main"]).args(args);
        run(command).ok()
    }

    /// `agentbox` where the user has no inotify instance left: in a user namespace of its own with that limit, for the tests of
    /// others go on beside this one.
    pub fn exhausted(&self, argv: &[&str]) -> Command {
        let inner = self.command(argv);
        let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-current-user",
            "--keep-caps",
            "sh",
            "-c",
            script,
            "sh",
        ]);
        command.arg(inner.get_program()).args(inner.get_args());
        self.around(&mut command, &inner);
        command
    }

    /// Does something on the host, as the test user, in the working copy: a script for sh.
    pub fn on_host(&self, script: &str) -> Ran {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(self.fill(script));
        self.around(&mut command, &self.command(["true"]));
        run(command)
    }

    /// Makes another command (a shell around `agentbox`) run as the test user, in the workspace, with the environment
    /// of `inner`.
    pub fn around(&self, command: &mut Command, inner: &Command) {
        let env = inner.get_envs().filter_map(|(n, v)| Some((n, v?)));
        command.env_clear().envs(env).current_dir(self.ws());
        command.stdin(Stdio::null());
        self.world.user.become_it(command);
    }

    /// `sh -c SCRIPT` around the same command, which is "$@" there.
    pub fn through(&self, script: &str, inner: &Command) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(self.fill(script)).arg("sh");
        shell.arg(inner.get_program()).args(inner.get_args());
        self.around(&mut shell, inner);
        shell
    }

    /// Gives a path to the test user.
    pub fn chown(&self, path: &Path) {
        self.world.user.own(path);
    }

    /// uid and gid of the test user.
    pub fn ids(&self) -> (u32, u32) {
        (self.world.user.uid, self.world.user.gid)
    }
}

/// waitpid(2) with a deadline.
pub fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let mut status = None;
    until_within(patience, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status
}

/// Asks again and again until it is so; false after `patience`.
pub fn until_within(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if is_so() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Asks until it is so; panics after [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(
        until_within(PATIENCE, is_so),
        "did not happen within {PATIENCE:?}: {what}"
    );
}

/// Bytes as an `OsString`.
pub fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// Is `needle` somewhere in `haystack`?
pub fn has_bytes(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

/// What ended a process: its status as a shell says it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The bytes of a path.
pub fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Makes a command the leader of a session of its own, so that signals to its group are the test's business alone.
pub fn own_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}
