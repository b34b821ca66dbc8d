//! Init: PID 1 of the box. Builds it, proves it, starts the command as its child, forwards signals, reaps, and takes the box
//! with it when it ends. It ends when the command ends and when the supervisor is gone.

#![forbid(unsafe_code)]

use super::Inputs;
use super::channel::{Channel, ChannelError};
use super::command::{Exec, Inherited, Stdio, ended, failed_exec, let_go_of_stdio};
use super::hangup::Hangup;
use super::join::{Failed, Join, Joins, Surroundings};
use super::keyboard::{BoxTerminal, go_on, word_of_stop};
use super::message::{FromInit, PtyFrom, SignalTo, ToInit, Told};
use super::sockets::{hand_out, hand_out_socket};
use super::still::{Looked, Still};
use crate::enforce::build::{self, Build};
use crate::enforce::cgroup;
use crate::enforce::identity::Maps;
use crate::enforce::mounts;
use crate::enforce::nest::Nest;
use crate::enforce::prepare::Prepare;
use crate::enforce::{StepError, env};
use crate::outcome::How;
use crate::plan::Plan;
use crate::plan::rung::Rung;
use crate::sys::process::{self, CloseRange};
use crate::sys::wait::{self, Change};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// How init came to be.
pub(super) struct Start {
    /// The supervisor has to do something (maps, cgroup) before init goes on.
    pub(super) waits: bool,
    /// A cgroup is joined after the clone.
    pub(super) own_cgroup: bool,
    /// Who writes the id maps.
    pub(super) maps: Maps,
    /// What the nursery has built of the view.
    pub(super) nest: Option<Nest>,
    /// What it moves itself into its cgroup by.
    pub(super) doors: Vec<File>,
    /// To the connector, on the rung `landlock` with a filtered network.
    pub(super) connector: Option<Channel>,
}

/// Runs init; never returns.
pub(super) fn main(
    plan: &Plan,
    inputs: Inputs,
    prepare: Prepare<'_>,
    channel: &Channel,
    start: Start,
) -> ! {
    let status = match build_box(plan, inputs, prepare, channel, start) {
        Ok(built) => built.serve(plan, channel),
        Err((step, e)) => {
            let (why, errno) = (e.to_string(), e.errno as i32);
            let _ = channel.send(
                &FromInit::Failed {
                    step: step.to_owned(),
                    why,
                    errno,
                },
                &[],
            );
            1
        }
    };
    process::exit_now(status)
}

/// A box that stands, and what is needed to start commands in it.
struct Built {
    exec: Exec,
    envp: Vec<CString>,
    stdio: Stdio,
    terminal: Option<BoxTerminal>,
    inherited: Inherited,
    signals: SignalFd,
    /// Commands that joined.
    joins: Joins,
    /// Everything is stopped.
    still: Option<Still>,
    /// The terminal is gone, and the command does not know.
    hangup: Option<Hangup>,
}

type StepFailed = (&'static str, StepError);

fn build_box(
    plan: &Plan,
    inputs: Inputs,
    prepare: Prepare<'_>,
    channel: &Channel,
    Start {
        waits,
        own_cgroup,
        maps,
        nest,
        doors,
        connector,
    }: Start,
) -> Result<Built, StepFailed> {
    let start = |call: &'static str| move |errno| ("start", StepError::new(call, "", errno));
    process::die_with_parent().map_err(start("prctl PDEATHSIG"))?;
    if plan.standing.rung == Rung::Landlock {
        // In a pid namespace its init is one by itself.
        process::set_subreaper().map_err(start("prctl CHILD_SUBREAPER"))?;
    }
    let _ = (process::set_name(c"agentbox-init"), process::short_turns());
    cgroup::go_in(doors)
        .map_err(|errno| ("limits", StepError::new("join", "the cgroup", errno)))?;
    // When the host runs out of memory the box goes first. Not a layer: the limits hold without it.
    let _ = crate::enforce::limits::volunteer_for_oom();
    // Everything is blocked: a pid namespace's init gets no signal from inside that it has no handler for, and what comes
    // from outside is read from a descriptor.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
        .map_err(start("sigprocmask"))?;
    // Modes of what the box is made of are meant as they are written.
    umask(Mode::empty());

    let Inputs {
        caller_env,
        given,
        session,
        outside,
        terminal,
        stdio,
        state,
        inherited,
        report,
        agent,
        relayed,
        limits,
    } = inputs;
    // They would count against the limit of open files while the view is made.
    for number in relayed {
        process::close_range(number, number, CloseRange::Now).map_err(start("close_range"))?;
    }
    let host = terminal.clone();
    let exec = Exec::new(&plan.command).map_err(start("take the command"))?;
    let envp = env::build(&plan.env, &caller_env, &given, &session);
    let filter = prepare
        .filter
        .ok_or(("filter", StepError::new("compile", "", Errno::EINVAL)))?;
    let keep = stdio.iter().filter_map(|d| match d {
        super::command::Descriptor::Pipe(fd) => Some(fd.as_raw_fd()),
        _ => None,
    });
    let wait = || match waits.then(|| channel.recv::<ToInit>()) {
        None | Some(Ok(Some((ToInit::Mapped, _)))) => Ok(()),
        Some(_) => Err(StepError::new("wait for", "the supervisor", Errno::EPIPE)),
    };
    let rooted = |namespaces: &[OwnedFd]| {
        let fds: Vec<BorrowedFd<'_>> = namespaces.iter().map(AsFd::as_fd).collect();
        channel
            .send(&FromInit::Rooted, &fds)
            .map_err(|e| StepError::new("send", e, Errno::EPIPE))
    };
    let connector = RefCell::new(connector);
    let hand_over = |listener: OwnedFd| {
        let failed = |e| StepError::new("hand over", e, Errno::EPIPE);
        let taken = connector.borrow_mut().take();
        let to = taken.ok_or(ChannelError::Closed).map_err(failed)?;
        to.send(&(), &[listener.as_fd()]).map_err(failed)
    };
    let door = connector.borrow().as_ref().map(|to| to.as_fd().as_raw_fd());
    let mut b = Build {
        plan,
        wait_for_supervisor: &wait,
        rooted: &rooted,
        hand_over: &hand_over,
        maps,
        own_cgroup,
        limits,
        sources: prepare.sources,
        nest,
        state,
        report,
        agent,
        filter,
        disk: mounts::disk(plan),
        terminal,
        outside: &outside,
        envp: &envp,
        caller_env,
        keep: keep
            .chain([channel.as_fd().as_raw_fd()])
            .chain(door)
            .collect(),
        extract: None,
        pty: None,
        home: None,
        namespaces: Vec::new(),
        listeners: Vec::new(),
        open_files: prepare.open_files,
        evidence: Vec::new(),
    };
    build::run(&mut b)?;
    let (extract, pty) = (b.extract.iter(), b.pty.iter());
    let fds: Vec<BorrowedFd<'_>> = extract
        .map(AsFd::as_fd)
        .chain(pty.map(|pty| pty.master.as_fd()))
        .chain(b.home.iter().map(AsFd::as_fd))
        .collect();
    let evidence = std::mem::take(&mut b.evidence);
    hand_out(&b.listeners, channel)
        .map_err(|e| ("report", StepError::new("send", e, Errno::EPIPE)))?;
    channel
        .send(&FromInit::Ready { evidence }, &fds)
        .map_err(|e| ("report", StepError::new("send", e, Errno::EPIPE)))?;
    let pty = b.pty.take().zip(host);
    let terminal = pty.map(|(pty, host)| BoxTerminal::new(pty.slave, &host));
    // The rest of what was sent is the supervisor's now; nothing of it may stay open beside the command.
    if let Some(file) = b.extract.take() {
        file.let_go();
    }
    drop(b.home.take());
    drop(std::mem::take(&mut b.listeners));
    drop(b);

    let mut set = terminal
        .as_ref()
        .map_or_else(SigSet::empty, BoxTerminal::signals);
    set.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&set, flags).map_err(start("signalfd"))?;
    Ok(Built {
        exec,
        envp,
        stdio,
        terminal,
        inherited,
        signals,
        joins: Joins::default(),
        still: None,
        hangup: None,
    })
}

impl Built {
    /// Waits for the word, starts the command and stays until it ends. Returns init's own exit status.
    fn serve(mut self, plan: &Plan, channel: &Channel) -> u8 {
        if !matches!(channel.recv::<ToInit>(), Ok(Some((ToInit::Go, _)))) {
            return 1;
        }
        let started = self.exec.start(
            &self.envp,
            &self.stdio,
            self.terminal.as_ref(),
            &self.inherited,
        );
        let command = match started {
            Ok(pid) => pid,
            Err(errno) => {
                self.end(channel, failed_exec(errno));
                return 0;
            }
        };
        // The command has them; init holding a pipe open would keep the reader at its other end waiting.
        self.stdio = [const { super::command::Descriptor::Inherit }; 3];
        let_go_of_stdio();
        if channel.send(&FromInit::Started, &[]).is_err() {
            return 1;
        }
        loop {
            let still = self.still.as_ref();
            let hung = self.hangup.as_ref().filter(|_| still.is_none());
            let mut fds = vec![channel.as_fd(), self.signals.as_fd()];
            fds.extend(hung.and_then(Hangup::fd));
            let mut fds: Vec<PollFd<'_>> = (fds.into_iter())
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            let rests = [still.map(Still::rest), hung.map(Hangup::rest)];
            let rest = rests.into_iter().flatten().min();
            let rest = rest.map_or(PollTimeout::NONE, |rest| {
                // Rounded up: a wait of nothing would be a loop.
                let ms = u16::try_from(rest.as_millis() + 1).unwrap_or(u16::MAX);
                PollTimeout::from(ms)
            });
            match poll(&mut fds, rest) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return 1,
            }
            let ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any().unwrap_or(true));
            let (word, child) = (ready(0), ready(1));
            // Of a paused box nobody is told: what it owes is told when it goes on, or dies with it.
            if self.still.is_none() && self.hangup.take_if(|h| h.tell(command)).is_some() {
                let _ = channel.send(&FromInit::HungUp, &[]);
            }
            if let Some(still) = &mut self.still
                && still.look() == Looked::Restless
            {
                let _ = channel.send(&FromInit::Restless, &[]);
            }
            if child && let Some(how) = self.reap(channel, command) {
                self.end(channel, how);
                return 0;
            }
            if word {
                match channel.recv::<ToInit>() {
                    Ok(Some((ToInit::Pause, _))) => {
                        if self.still.is_none() {
                            self.still = Some(Still::stop(plan));
                        }
                        let _ = channel.send(&FromInit::Still, &[]);
                    }
                    Ok(Some((ToInit::Resume, _))) => {
                        if let Some(how) = self.go_on(channel, command) {
                            self.end(channel, how);
                            return 0;
                        }
                    }
                    Ok(Some((ToInit::Join { id, join, pty }, fds))) => {
                        self.join(channel, id, &join, pty, fds);
                    }
                    Ok(Some((message, _))) => self.obey(&message, (command, plan), channel),
                    // The supervisor is gone: nobody watches, so nothing may run.
                    _ => return 1,
                }
            }
        }
    }

    /// Takes the status of every child that ended; the command's own ends the loop.
    fn reap(&mut self, channel: &Channel, command: Pid) -> Option<How> {
        // Of each signal at most one is pending, and what comes after it is read in the next turn.
        while let Ok(Some(told)) = self.signals.read_signal() {
            match &self.terminal {
                Some(terminal) if told.ssi_signo != Signal::SIGCHLD as u32 => {
                    terminal.pass_on(command, told.ssi_signo);
                }
                // Without a terminal there is no other signal, and no second read that finds nothing.
                _ => break,
            }
        }
        loop {
            match wait::next_change() {
                Ok(Some(Change::Exited(pid, code))) if pid == command => {
                    return Some(How::Exited { code });
                }
                Ok(Some(Change::Signaled(pid, signal))) if pid == command => {
                    return Some(How::Signaled { signal });
                }
                // Of a pause nobody is told: it is no stop of the terminal's.
                Ok(Some(Change::Stopped(pid, signal)))
                    if pid == command && self.still.is_none() =>
                {
                    if let Some(word) = word_of_stop(self.terminal.as_mut(), signal) {
                        let _ = channel.send(&word, &[]);
                    }
                }
                Ok(Some(Change::Exited(pid, code))) => {
                    self.join_ended(channel, pid, How::Exited { code });
                }
                Ok(Some(Change::Signaled(pid, signal))) => {
                    self.join_ended(channel, pid, How::Signaled { signal });
                }
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn join_ended(&mut self, channel: &Channel, pid: Pid, how: How) {
        if let Some((id, told)) = self.joins.ended(pid, &how) {
            let _ = channel.send(&FromInit::JoinEnded { id, how, told }, &[]);
        }
    }

    fn join(&mut self, channel: &Channel, id: u32, join: &Join, pty: PtyFrom, fds: Vec<OwnedFd>) {
        let around = Surroundings {
            envp: &self.envp,
            cwd: self.exec.cwd(),
            inherited: &self.inherited,
        };
        let _ = match self.joins.start(id, join, pty, fds, &around) {
            // Each word that wakes somebody now takes turns from the command: who has no terminal is only told the end.
            Ok(None) => Ok(()),
            Ok(Some(master)) => channel.send(&FromInit::Joined { id }, &[master.as_fd()]),
            Err(failed) => {
                let how = match failed {
                    Failed::Call(errno) => failed_exec(errno),
                    Failed::Refused(why) => How::Refused { why },
                };
                let told = Told::NotYet;
                channel.send(&FromInit::JoinEnded { id, how, told }, &[])
            }
        };
    }

    fn go_on(&mut self, channel: &Channel, command: Pid) -> Option<How> {
        // The stops are taken here, while they are known to be the pause's.
        let ended = self.reap(channel, command);
        if let Some(still) = self.still.take() {
            still.go_on();
        }
        ended
    }

    fn obey(&mut self, message: &ToInit, (command, plan): (Pid, &Plan), channel: &Channel) {
        let front = self
            .terminal
            .as_ref()
            .and_then(BoxTerminal::foreground)
            .unwrap_or(command);
        let group = Pid::from_raw(-front.as_raw());
        match message {
            ToInit::Signal { signal, to } => {
                if let Ok(signal) = Signal::try_from(*signal) {
                    let to = match to {
                        SignalTo::Command => command,
                        SignalTo::Foreground => group,
                    };
                    let _ = kill(to, signal);
                    if (signal, to) == (Signal::SIGHUP, group) && front != command {
                        self.hangup = Some(Hangup::after(front, plan));
                    }
                }
            }
            ToInit::Continue => go_on(command, group),
            ToInit::Keyboard => self.terminal.iter_mut().for_each(|t| t.give(command)),
            ToInit::JoinSignal { id, signal } => {
                self.joins.signal(*id, *signal, self.still.is_some());
            }
            ToInit::Socket { family } => hand_out_socket(*family, channel),
            ToInit::Go | ToInit::Mapped | ToInit::Pause | ToInit::Resume | ToInit::Join { .. } => {}
        }
    }

    /// Says how it ended, before the kernel takes the rest of the box down: that is faster to know than the reaping.
    fn end(&self, channel: &Channel, how: How) {
        let _ = channel.send(&ended(how), &[]);
    }
}
