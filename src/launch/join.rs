//! Commands that join a box that stands (`agentbox exec`): children of init beside the command, so that everything that
//! confines init confines them, and the same limits count them.

#![forbid(unsafe_code)]

use super::channel::{Channel, Sent};
use super::command::{self, Inherited};
use super::message::{PtyFrom, ToClient, Told};
use crate::enforce::pty::{self, Pty};
use crate::outcome::How;
use crate::plan::OsText;
use crate::sys::process::{self, CloseRange};
use crate::sys::spawn::{self, Strings};
use crate::sys::tty::Winsize;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::stat::Mode;
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::Path;

/// How many may be in one box at a time.
const MOST: usize = 64;

/// The size of a window, in characters and pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Size {
    /// Rows of text.
    pub rows: u16,
    /// Columns of text.
    pub cols: u16,
    /// Pixels across.
    pub xpixel: u16,
    /// Pixels down.
    pub ypixel: u16,
}

/// A command that joins a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Join {
    /// argv; the program is looked for on the box's PATH.
    pub argv: Vec<OsText>,
    /// Its directory in the box; the session's own if nothing is said.
    pub cwd: Option<OsText>,
    /// A pseudo-terminal of its own.
    pub terminal: Option<Settings>,
    /// What its descriptors 0 to 2 become.
    pub stdio: [Stdio; 3],
}

/// One of the descriptors 0 to 2 of a command that joins a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// Its pseudo-terminal.
    Terminal,
    /// /dev/null of the box.
    Null,
    /// The next descriptor of the message.
    Given,
}

/// The settings of a terminal (termios(3)) as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// c_iflag.
    pub input: u32,
    /// c_oflag.
    pub output: u32,
    /// c_cflag.
    pub control: u32,
    /// c_lflag.
    pub local: u32,
    /// c_cc.
    pub keys: Vec<u8>,
    /// The size of the window.
    pub size: Size,
}

impl From<Size> for Winsize {
    fn from(size: Size) -> Winsize {
        Winsize {
            rows: size.rows,
            cols: size.cols,
            xpixel: size.xpixel,
            ypixel: size.ypixel,
        }
    }
}

impl From<Winsize> for Size {
    fn from(size: Winsize) -> Size {
        Size {
            rows: size.rows,
            cols: size.cols,
            xpixel: size.xpixel,
            ypixel: size.ypixel,
        }
    }
}

impl Settings {
    /// Of these settings and this size.
    #[must_use]
    pub fn of(termios: &Termios, size: Winsize) -> Settings {
        Settings {
            input: termios.input_flags.bits(),
            output: termios.output_flags.bits(),
            control: termios.control_flags.bits(),
            local: termios.local_flags.bits(),
            keys: termios.control_chars.to_vec(),
            size: size.into(),
        }
    }

    fn set(&self, pty: &Pty) -> Result<(), Errno> {
        let mut termios = tcgetattr(&pty.slave)?;
        termios.input_flags = InputFlags::from_bits_retain(self.input);
        termios.output_flags = OutputFlags::from_bits_retain(self.output);
        termios.control_flags = ControlFlags::from_bits_retain(self.control);
        termios.local_flags = LocalFlags::from_bits_retain(self.local);
        for (key, wanted) in termios.control_chars.iter_mut().zip(&self.keys) {
            *key = *wanted;
        }
        tcsetattr(&pty.slave, SetArg::TCSANOW, &termios)?;
        crate::sys::tty::set_window_size(pty.slave.as_fd(), self.size.into())
    }
}

/// Init's list of the commands that joined and have not ended.
#[derive(Debug, Default)]
pub(super) struct Joins {
    list: Vec<Joined>,
    /// /dev/null, once one needed it.
    null: Option<OwnedFd>,
}

/// One of them.
#[derive(Debug)]
struct Joined {
    id: u32,
    pid: Pid,
    /// Who asked for it, where the end may be told directly: what it wrote to a terminal of its own has to come first, and that
    /// the supervisor hands over.
    asker: Option<Channel>,
}

/// What every command of the box is started with.
pub(super) struct Surroundings<'a> {
    pub(super) envp: &'a [CString],
    pub(super) cwd: &'a CStr,
    pub(super) inherited: &'a Inherited,
}

impl Joins {
    /// Starts one. Returns the master of its pseudo-terminal, if it has one.
    ///
    /// # Errors
    /// What could not be done; of execve(2), the errno as execvp(3) chooses it.
    pub(super) fn start(
        &mut self,
        id: u32,
        join: &Join,
        from: PtyFrom,
        fds: Vec<OwnedFd>,
        around: &Surroundings<'_>,
    ) -> Result<Option<OwnedFd>, Failed> {
        if self.list.len() >= MOST {
            return Err(Failed::Refused(format!(
                "{MOST} commands of `agentbox exec` run in this session already; wait until one has ended"
            )));
        }
        let mut fds = fds;
        let asker = fds.pop().ok_or(Errno::EBADF)?;
        let c = |text: &OsText| CString::new(text.bytes()).map_err(|_| Errno::EINVAL);
        let argv = join.argv.iter().map(c).collect::<Result<Vec<_>, _>>()?;
        let name = argv.first().ok_or(Errno::ENOENT)?;
        let cwd = join.cwd.as_ref().map(c).transpose()?;
        let pty = match (&join.terminal, from) {
            (None, _) => None,
            (Some(settings), PtyFrom::Init) => {
                let pty = pty::open_new(Path::new(pty::OWN)).map_err(|e| e.errno())?;
                settings.set(&pty)?;
                Some(pty)
            }
            (Some(settings), PtyFrom::Message) => {
                let (Some(slave), Some(master)) = (fds.pop(), fds.pop()) else {
                    return Err(Errno::EBADF.into());
                };
                let pty = Pty { master, slave };
                settings.set(&pty)?;
                Some(pty)
            }
        };
        if self.null.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
            self.null = Some(open("/dev/null", flags, Mode::empty())?);
        }
        let null = self.null.as_ref().ok_or(Errno::EBADF)?;
        let mut given = fds.iter();
        let mut stdio = [null.as_fd(); 3];
        for (becomes, wanted) in stdio.iter_mut().zip(&join.stdio) {
            match wanted {
                Stdio::Null => {}
                Stdio::Terminal => *becomes = pty.as_ref().ok_or(Errno::ENOTTY)?.slave.as_fd(),
                Stdio::Given => *becomes = given.next().ok_or(Errno::EBADF)?.as_fd(),
            }
        }
        let programs = programs(name, around.envp)?;
        // Written by the child, which runs in this memory.
        let mut no_dir = None;
        let mut take_place = || {
            // A session of its own: the first command's terminal is not its terminal.
            nix::unistd::setsid()?;
            if let Some(pty) = &pty {
                crate::sys::tty::set_controlling(pty.slave.as_fd())?;
            }
            for (number, fd) in (0..).zip(&stdio) {
                process::dup_to(*fd, number)?;
            }
            process::close_range(3, RawFd::MAX, CloseRange::OnExec)?;
            nix::unistd::chdir(cwd.as_deref().unwrap_or(around.cwd))
                .inspect_err(|errno| no_dir = Some(*errno))?;
            nix::sys::stat::umask(around.inherited.umask);
            command::own_signals(&around.inherited.ignored);
            let mask = Some(&around.inherited.mask);
            sigprocmask(SigmaskHow::SIG_SETMASK, mask, None)
        };
        let (words, envp) = (Strings::of(&argv), Strings::of(around.envp));
        let rest = || argv.iter().skip(1).map(CString::as_c_str);
        let tries: Vec<_> = programs
            .iter()
            .map(|program| {
                let script = [c"/bin/sh", program.as_c_str()].into_iter().chain(rest());
                (program, Strings::new(script))
            })
            .collect();
        let pid = spawn::spawn(&mut || {
            if let Err(errno) = take_place() {
                return errno;
            }
            let mut worst = Errno::ENOENT;
            for (program, script) in &tries {
                match spawn::execute(program, &words, &envp) {
                    Errno::ENOENT | Errno::ENOTDIR => {}
                    Errno::EACCES => worst = Errno::EACCES,
                    Errno::ENOEXEC => return command::as_script(program, script, &envp),
                    errno => return errno,
                }
            }
            worst
        });
        let pid = pid.map_err(|errno| match no_dir {
            Some(errno) => Failed::Refused(no_directory(join.cwd.as_ref(), errno)),
            None => Failed::Call(errno),
        })?;
        let asker = join.terminal.is_none().then(|| Channel::from(asker));
        self.list.push(Joined { id, pid, asker });
        Ok(pty.map(|pty| pty.master))
    }

    /// The number of the command whose process that was, and whether who asked for it was told; it is forgotten.
    pub(super) fn ended(&mut self, pid: Pid, how: &How) -> Option<(u32, Told)> {
        let at = self.list.iter().position(|joined| joined.pid == pid)?;
        let Joined { id, asker, .. } = self.list.swap_remove(at);
        let status = crate::exit::status(how);
        // From here and not by way of the supervisor, which is one more process to wake.
        let sent = asker.map(|asker| asker.try_send(&ToClient::Ended { status }, &[]));
        match sent {
            Some(Ok(Sent::Yes)) => Some((id, Told::Already)),
            _ => Some((id, Told::NotYet)),
        }
    }

    /// Sends a signal to its process group. One that asks it to end is followed by SIGCONT: a command that something in the box
    /// has stopped would else never hear it, and no shell is there that would continue it. Not in a pause, which it would break.
    pub(super) fn signal(&self, id: u32, signal: i32, paused: bool) {
        let found = self.list.iter().find(|joined| joined.id == id);
        if let (Some(joined), Ok(signal)) = (found, Signal::try_from(signal)) {
            let group = Pid::from_raw(-joined.pid.as_raw());
            let _ = kill(group, signal);
            let ends = matches!(
                signal,
                Signal::SIGTERM | Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT
            );
            if ends && !paused {
                let _ = kill(group, Signal::SIGCONT);
            }
        }
    }
}

/// Why a command did not start.
#[derive(Debug)]
pub(super) enum Failed {
    /// A call, or execve(2) itself.
    Call(Errno),
    /// It has no directory to start in, or there are enough: for people.
    Refused(String),
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Failed {
        Failed::Call(errno)
    }
}

fn no_directory(wanted: Option<&OsText>, errno: Errno) -> String {
    let why = match errno {
        Errno::ENOENT | Errno::ENOTDIR => "no such directory in the box",
        errno => errno.desc(),
    };
    match wanted {
        Some(dir) => format!("-C {dir}: {why}"),
        None => format!("the session's directory: {why} (-C DIR names another)"),
    }
}

/// What execvp(3) would try: the name itself if it has a `/`, else every directory of the box's PATH.
fn programs(name: &CStr, envp: &[CString]) -> Result<Vec<CString>, Errno> {
    if name.to_bytes().contains(&b'/') {
        return Ok(vec![name.to_owned()]);
    }
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = envp
        .iter()
        .find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    path.split(|byte| *byte == b':')
        // An empty entry means the current directory, which here nobody asked for.
        .filter(|dir| !dir.is_empty())
        .map(|dir| CString::new([dir, b"/", name.to_bytes()].concat()).map_err(|_| Errno::EINVAL))
        .collect()
}
