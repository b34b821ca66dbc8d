//! The keeper's process: forked by the supervisor beside the building of the box, joins it when it stands, and then waits for
//! what happens. It dies with the supervisor; when it dies the supervisor ends the box.

#![forbid(unsafe_code)]

use super::confine;
use super::message::{FromKeeper, ToKeeper};
use super::tree::Filled;
use super::watchman::Watchman;
use crate::enforce::build::close_all_but;
use crate::enforce::limits::OpenFiles;
use crate::launch::channel::{self, Channel, Received};
use crate::plan::Plan;
use crate::plan::names::Watch;
use crate::sys::process::{self, Fork};
use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the watching of directories may keep the command waiting; what is left follows while it runs. What existed at the
/// start is covered in any case.
const BEFORE_GO: Duration = Duration::from_micros(300);

/// A keeper that was started.
#[derive(Debug)]
pub struct Keeper {
    /// Its pid.
    pub pid: Pid,
    /// Readable when it is gone.
    pub pidfd: OwnedFd,
    /// To it.
    pub channel: Channel,
}

/// Does this plan need a keeper?
#[must_use]
pub fn is_needed(plan: &Plan) -> bool {
    !plan.names.is_empty() || !plan.refused.searched.is_empty()
}

/// Starts the keeper; it begins to watch at once.
///
/// # Errors
/// The errno of socketpair(2) or clone3(2).
pub fn start(plan: &Plan) -> Result<Keeper, Errno> {
    let (ours, theirs) = channel::pair().map_err(|e| crate::sys::errno_of(&e))?;
    match process::fork_into(0)? {
        Fork::Child => {
            drop(ours);
            let status = u8::from(main(plan, &theirs).is_err());
            process::exit_now(status)
        }
        Fork::Parent(pid, pidfd) => Ok(Keeper {
            pid,
            pidfd,
            channel: ours,
        }),
    }
}

impl Keeper {
    /// Lets it join the box that stands. It says when it has: [`Keeper::joined`].
    ///
    /// # Errors
    /// It is gone.
    pub fn join(&self, user: &OwnedFd, mnt: &OwnedFd, init: BorrowedFd<'_>) -> Result<(), String> {
        self.channel
            .send(&ToKeeper::Join, &[user.as_fd(), mnt.as_fd(), init])
            .map_err(|e| e.to_string())
    }

    /// Waits until everything that existed is covered. Says what it cannot watch.
    ///
    /// # Errors
    /// Why it cannot do its work: the command must not be started.
    pub fn joined(&self) -> Result<Option<String>, String> {
        match self.channel.recv::<FromKeeper>() {
            Ok(Some((FromKeeper::Armed { gap }, _))) => Ok(gap),
            Ok(Some((FromKeeper::Failed { why }, _))) => Err(why),
            Ok(_) => Err("the keeper ended before it had begun".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = process::signal_child(self.pid, self.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::reap_killed(self.pid);
    }
}

/// Descriptors 0 to 2 become /dev/null. One that cannot is kept, which makes nothing less safe.
fn let_go_of_stdio() {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    if let Ok(null) = null {
        for number in 0..3 {
            let _ = process::dup_to(null.as_fd(), number);
        }
    }
}

/// The supervisor is gone, or was told why not.
struct Over;

fn main(plan: &Plan, channel: &Channel) -> Result<(), Over> {
    // It outlives the caller's wait for them (`ID=$(agentbox run --detach ...)`) and says nothing there.
    let_go_of_stdio();
    let over = |_: Errno| Over;
    process::die_with_parent().map_err(over)?;
    process::set_undumpable().map_err(over)?;
    let _ = process::set_name(c"agentbox-keeper");
    // Best effort: a name is closed the sooner on a busy machine.
    let _ = process::short_turns();
    let _ = process::wipe_startup_block(c"agentbox: keeper");
    // For good: a place has some descriptors for each nested repository, and nothing is executed here.
    let _open_files = OpenFiles::raised();
    close_all_but(vec![channel.as_fd().as_raw_fd()]).map_err(over)?;
    let mut watchman = Watchman::new(plan);
    let before = match plan.names.watch {
        Watch::OrLook => BEFORE_GO,
        Watch::Always => Duration::MAX,
    };
    match serve(&mut watchman, channel, before) {
        Ok(()) => watchman.outbox.finish(channel).map_err(|_| Over),
        Err(why) => {
            let _ = channel.send(&FromKeeper::Failed { why }, &[]);
            Err(Over)
        }
    }
}

enum Step {
    Building,
    Joined(Instant),
    Running,
}

/// Until the session is over.
fn serve(
    watchman: &mut Watchman<'_>,
    channel: &Channel,
    before_go: Duration,
) -> Result<(), String> {
    let gone = |e: channel::ChannelError| e.to_string();
    let mut step = Step::Building;
    let mut init = None;
    let mut lost = false;
    loop {
        if let Step::Joined(at) = step
            && (!watchman.tree.is_behind() || at.elapsed() >= before_go)
        {
            let gap = watchman.tree.why_polled().map(str::to_owned);
            watchman.run();
            channel
                .send(&FromKeeper::Armed { gap }, &[])
                .map_err(gone)?;
            confine::apply()?;
            step = Step::Running;
        }
        if matches!(step, Step::Running) {
            watchman.outbox.flush(channel).map_err(gone)?;
            if let Some(why) = watchman.tree.why_polled() {
                watchman.outbox.gap(channel, why).map_err(gone)?;
            }
        }
        let (word, events) = wait(watchman, channel)?;
        if word {
            match channel.try_recv::<ToKeeper>().map_err(gone)? {
                Received::Message(ToKeeper::Join, fds) => {
                    init = Some(join(watchman, fds)?);
                    step = Step::Joined(Instant::now());
                }
                Received::Message(
                    ToKeeper::Settled {
                        known,
                        secret,
                        covers,
                    },
                    _,
                ) => {
                    watchman.outbox.settled();
                    // What happened meanwhile comes first: it may be about one of them.
                    lost |= watchman.events()? == Filled::Lost && tell_loss(channel)?;
                    watchman.show(&known)?;
                    watchman.close_secrets(&secret)?;
                    watchman.cover_from_now(&covers)?;
                }
                Received::Message(ToKeeper::Finish, _) => {
                    if let Some(init) = &init {
                        dead(init)?;
                    }
                    last_look(watchman)?;
                    return Ok(());
                }
                Received::Nothing => {}
                Received::End => return Err("the supervisor is gone".to_owned()),
            }
        }
        if (events || watchman.tree.has_read()) && watchman.events()? == Filled::Lost {
            lost = tell_loss(channel)?;
        }
        watchman.poll()?;
        // One directory at a time: what happens meanwhile comes first.
        watchman.step()?;
        if lost && !watchman.tree.is_behind() {
            lost = false;
            channel.send(&FromKeeper::LookedAgain, &[]).map_err(gone)?;
        }
    }
}

/// Events were lost: the box has to stand still until everything was looked at again.
fn tell_loss(channel: &Channel) -> Result<bool, String> {
    let sent = channel.send(&FromKeeper::Overflow, &[]);
    sent.map(|()| true).map_err(|e| e.to_string())
}

/// How long the last look may take: the supervisor waits for it. Only the host can make events by then.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Everything that happened until the box was dead.
fn last_look(watchman: &mut Watchman<'_>) -> Result<(), String> {
    let until = Instant::now() + LAST_LOOK;
    loop {
        match watchman.events()? {
            Filled::All => break,
            Filled::Part if Instant::now() < until => {}
            Filled::Part | Filled::Lost => {
                watchman.outbox.missed();
                break;
            }
        }
    }
    // Asked last, since an event can be of a tree that has to be looked at.
    if watchman.tree.is_behind() {
        // The rest of the tree was never looked at.
        watchman.outbox.missed();
    }
    Ok(())
}

/// Waits until the init of that pidfd is dead: the kernel has reaped everybody in its pid namespace by then.
fn dead(init: &OwnedFd) -> Result<(), String> {
    let mut set = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(format!("poll: {errno}")),
        }
    }
}

/// Returns the pidfd of init.
fn join(watchman: &mut Watchman<'_>, fds: Vec<OwnedFd>) -> Result<OwnedFd, String> {
    let Ok([user, mnt, init]) = <[OwnedFd; 3]>::try_from(fds) else {
        return Err("no namespaces to join".to_owned());
    };
    let failed = |call: &'static str| move |errno: Errno| format!("{call}: {errno}");
    // Root has the power over the box's mounts already, and keeps its own over the files that are watched. A container's root
    // has neither.
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false) {
        setns(user, CloneFlags::CLONE_NEWUSER).map_err(failed("setns to the user namespace"))?;
    }
    setns(mnt, CloneFlags::CLONE_NEWNS).map_err(failed("setns to the mount namespace"))?;
    // A change of credentials makes the process dumpable again, or not, by the kernel's own rules.
    process::set_undumpable().map_err(failed("prctl DUMPABLE"))?;
    watchman.join()?;
    Ok(init)
}

/// Sleeps until something happens: a word of the supervisor, an event of a directory.
fn wait(watchman: &Watchman<'_>, channel: &Channel) -> Result<(bool, bool), String> {
    let mut set = vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    if let Some(fd) = watchman.tree.fd() {
        set.push(PollFd::new(fd, PollFlags::POLLIN));
    }
    let timeout = if watchman.tree.is_behind() || watchman.tree.has_read() {
        PollTimeout::ZERO
    } else {
        match watchman.deadline() {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        }
    };
    match poll(&mut set, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(format!("poll: {errno}")),
    }
    let ready = |at: usize| set.get(at).and_then(PollFd::any).unwrap_or(false);
    Ok((ready(0), ready(1)))
}
