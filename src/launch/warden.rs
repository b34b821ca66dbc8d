//! The warden: the parent of init where there is no pid namespace whose end the kernel would make the end of all. It is a
//! subreaper (PR_SET_CHILD_SUBREAPER): whatever becomes an orphan in the box becomes a child of init or, when init is gone, of
//! the warden, so everything that the box has started is below it. It is not in the box's Landlock domain, and so no signal of
//! the box reaches it.
//!
//! It ends the box when init has ended, when it is told to (SIGTERM), and when the supervisor is gone (PR_SET_PDEATHSIG), and
//! ends itself when nothing is left below it.

#![forbid(unsafe_code)]

use super::channel::{self, Channel};
use super::connector;
use crate::plan::net::listen::Pass;
use crate::plan::rung::Bare;
use crate::sys::own;
use crate::sys::process::{self, Fork};
use crate::sys::procfs;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The signal that ends the box.
pub(super) const END: i32 = libc::SIGTERM;

/// Starts the warden and, below it, `init`. Returns the warden.
///
/// # Errors
/// The errno of the clone.
pub(super) fn spawn(
    bare: Option<&Bare>,
    pass: Option<Pass>,
    init: impl FnOnce(Option<Channel>),
) -> Result<(Pid, OwnedFd), Errno> {
    let place = bare.map(|bare| bare.place.path().to_owned());
    let gate = bare.and_then(|bare| bare.port).zip(pass);
    let supervisor = nix::unistd::getpid();
    match process::fork_into(0)? {
        Fork::Parent(pid, pidfd) => Ok((pid, pidfd)),
        Fork::Child => {
            let status = watch(supervisor, gate, init);
            // Else it is the supervisor's, which still writes state files back.
            if nix::unistd::getppid() != supervisor
                && let Some(place) = place
            {
                let _ = own::remove_tree(&place);
            }
            process::exit_now(status)
        }
    }
}

fn watch(supervisor: Pid, gate: Option<(u16, Pass)>, init: impl FnOnce(Option<Channel>)) -> u8 {
    let _ = process::set_name(c"agentbox-warden");
    let _ = process::short_turns();
    // Blocked signals wait until they are asked for. Before the kernel is told to send one.
    if sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).is_err()
        || process::signal_when_parent_dies(END).is_err()
        || process::set_subreaper().is_err()
        || process::set_undumpable().is_err()
        || nix::unistd::getppid() != supervisor
    {
        return 1;
    }
    let Ok((ours, theirs)) = gate.map(|_| channel::pair()).transpose().map(Option::unzip) else {
        return 1;
    };
    let child = match process::fork_into(0) {
        Ok(Fork::Child) => {
            drop(ours);
            init(theirs);
            process::exit_now(1)
        }
        Ok(Fork::Parent(child, _)) => child,
        Err(_) => return 1,
    };
    drop(theirs);
    // Without it init has nobody to hand its listener to, and there is no box.
    if let (Some((port, pass)), Some(door)) = (gate, ours)
        && matches!(process::fork_into(0), Ok(Fork::Child))
    {
        process::exit_now(connector::serve(door, port, pass));
    }
    let _ = process::wipe_startup_block(c"agentbox: warden");
    super::command::let_go_of_stdio();
    let _ = crate::enforce::build::close_all_but(Vec::new());
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGCHLD);
    let init = loop {
        match set.wait() {
            Ok(Signal::SIGCHLD) if reap(Some(child)) => break None,
            Ok(Signal::SIGTERM) | Err(_) => break Some(child),
            Ok(_) => {}
        }
    };
    // Its number is known and still its own: the one kill that needs no procfs.
    if let Some(init) = init {
        let _ = kill(init, Signal::SIGKILL);
    }
    end_all();
    0
}

/// Takes the status of every child that ended; true if that one is among them.
fn reap(wanted: Option<Pid>) -> bool {
    let mut found = false;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => {
                found |= Some(pid) == wanted;
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return found,
            Ok(_) => {}
        }
    }
}

/// Kills everything below this process, again and again until there is nothing: what was being forked appears later. Each is
/// first forbidden to fork (which does not bind kernel uid 0), so that a bomb has an end.
fn end_all() {
    let me = nix::unistd::getpid().as_raw();
    let me = procfs::own_number().unwrap_or(me);
    loop {
        reap(None);
        let below = procfs::below(me);
        let alive: Vec<_> = below
            .iter()
            .filter(|p| !matches!(p.state, b'Z' | b'X'))
            .collect();
        if alive.is_empty()
            && matches!(
                waitpid(None, Some(WaitPidFlag::WNOHANG)),
                Err(Errno::ECHILD)
            )
        {
            return;
        }
        for process in &alive {
            let _ = process::forbid_forks(process.pid);
        }
        for process in &alive {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}
