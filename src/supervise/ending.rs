//! The end of a session: nothing of the box is left, all output has arrived, state is written back, the record is closed.

#![forbid(unsafe_code)]

use super::control::message::State;
use super::part::Part;
use super::running::{LOST_INIT, Running, laggards};
use super::{Seen, answers, kill, switch};
use crate::enforce::{cgroup, leavings, sweep};
use crate::host::Cgroup;
use crate::launch::diagnose::NO_PROCESS;
use crate::launch::message::ToClient;
use crate::outcome::{Evidence, How, Outcome, Trigger};
use crate::plan::{OsText, Plan};
use crate::record::{Event, Timestamp};
use crate::session::{Retention, SessionId, Sessions, Swept};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// How long a cgroup may take to become empty after its last process was reaped.
const GONE: Duration = Duration::from_secs(2);

/// How long links in the agents' own directories are looked for: these are small.
const LINKS: Duration = Duration::from_secs(2);

/// How long the look for set-uid bits may take.
const SWEEP: Duration = Duration::from_secs(20);

/// Milliseconds that an inode's time may be behind the clock of the record.
const COARSE: u64 = 20;

/// How often, and after which pauses, a client looks for the session of its dead supervisor.
const LOSS_TRIES: u32 = 50;
const LOSS_PAUSE: Duration = Duration::from_millis(10);

/// How many milliseconds after its beginning a session has its init, or never will.
const STARTED: u64 = 60_000;

/// How often old sessions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What is left to end.
pub(super) struct End<'a> {
    pub(super) plan: &'a Plan,
    pub(super) evidence: &'a [Evidence],
    pub(super) seen: Seen,
    pub(super) running: Running,
    pub(super) parts: Vec<Box<dyn Part>>,
    pub(super) begun: Instant,
}

/// Milliseconds, for the record.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Ends the session and the supervisor, with the exit status of `agentbox run`.
pub(super) fn finish(end: End<'_>) -> ! {
    let End {
        plan,
        evidence,
        seen,
        mut running,
        mut parts,
        begun,
    } = end;
    for part in &mut parts {
        part.ending();
    }
    // Init has said its last word or is gone; SIGKILL takes what is left of the box, and waiting for init is waiting for all:
    // the kernel reaps the whole pid namespace before init itself.
    kill::kill(&running.spawned, running.group.as_ref());
    laggards::wait(&running.spawned);
    running.voice.box_is_dead();
    let Seen {
        mut how,
        cpu_ms,
        max_rss_kib,
    } = seen;
    if let Some(group) = running.group.take() {
        if may_be_oom(&how) && group.oom_kills() > 0 {
            how = How::Killed {
                trigger: Trigger::Memory,
            };
        }
        if let Err(e) = group.remove(GONE) {
            running.say(&format!("a cgroup was left behind: {e}"));
        }
    }
    running.exit_status = crate::exit::status(&how);
    let work = plan.workspace.real.path();
    running.silent = running.far && !answers::does(work);
    if running.silent {
        running.say(&format!(
            "{}: its file system does not answer, so nothing was looked at there; what was changed is compared at the next start",
            plan.workspace.real
        ));
    }
    for part in &mut parts {
        part.finish(&mut running);
    }
    if !running.silent {
        strip_set_id_bits(plan, evidence, begun.elapsed(), &mut running);
    }
    remove_links(plan, &mut running);
    if !running.silent {
        tell_lost_trees(plan, &mut running);
    }
    if let Some(line) = last_line(&how, plan) {
        running.say(&line);
    }
    let outcome = Outcome {
        exit_status: crate::exit::status(&how),
        how,
        wall_ms: ms(begun.elapsed()),
        cpu_ms,
        max_rss_kib,
    };
    running.voice.status(&Event::Ended {
        outcome: outcome.clone(),
    });
    // As for its output: of a command that ended by itself nothing is lost, however slowly it is read.
    let patience = match running.state() {
        State::Ending => running.patience(),
        _ => Duration::MAX,
    };
    let Running {
        session, mut voice, ..
    } = running;
    if let Err(e) = session.close(&outcome) {
        voice.say(&format!("the session's record is not complete: {e}"));
    }
    voice.drain_status(patience);
    if outcome.how == (How::Signaled { signal: 2 }) {
        voice.tell(&ToClient::Interrupted);
    }
    voice.ended(outcome.exit_status);
    // The client waits for this process. What destructors would give back piece by piece, the kernel takes at once.
    crate::sys::process::exit_now(outcome.exit_status)
}

/// Whether that is what is seen of a box without memory: the kernel kills one process (cgroup v1), or all of them and init too
/// (memory.oom.group).
fn may_be_oom(how: &How) -> bool {
    match how {
        How::Signaled { signal } => *signal == 9,
        How::Killed {
            trigger: Trigger::Lost { what },
        } => what == LOST_INIT,
        _ => false,
    }
}

/// Set-uid and set-gid bits that got through are taken away: they would give others the caller's rights. Where no more than
/// a set-gid bit of an ordinary user can be there, the look costs at most a hundredth of what the session took, and what it
/// does not reach is not said.
fn strip_set_id_bits(plan: &Plan, evidence: &[Evidence], took: Duration, running: &mut Running) {
    let whole = sweep::worth(plan, evidence) == sweep::Worth::Yes;
    let patience = if whole { SWEEP } else { SWEEP.min(took / 100) };
    let mut roots = sweep::writable(plan);
    // The work first: the private places are large, and nobody runs anything there.
    roots.sort_by_key(|root| root != plan.workspace.real.path());
    let found = sweep::sweep(&roots, since_start(running), patience);
    for (file, bits) in found.stripped {
        let what = format!("mode bits {bits:04o} were taken away");
        running.say(&format!("{file}: {what}"));
        running.note(&Event::Swept { file, what });
    }
    if !whole {
        return;
    }
    for (file, errno) in found.failed {
        running.say(&format!(
            "{file}: cannot be checked for set-uid bits: {errno}"
        ));
    }
    if found.extent == sweep::Extent::Part {
        running.say("not every file was checked for set-uid bits: there are too many");
    }
}

/// Since when an inode is of this session.
fn since_start(running: &Running) -> (i64, i64) {
    // The times of inodes come from the kernel's coarse clock, which is up to a tick (10 ms) behind.
    let since = running.session.started().millis().saturating_sub(COARSE);
    let seconds = i64::try_from(since / 1000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(since % 1000).unwrap_or(0) * 1_000_000;
    (seconds, nanos)
}

/// Links out of the agent's own directories, by which its program would write elsewhere when it runs outside.
fn remove_links(plan: &Plan, running: &mut Running) {
    let found = leavings::remove(&leavings::Places::of(plan), since_start(running), LINKS);
    if let Some((dir, why)) = found.unseen {
        running.say(&format!(
            "{dir} was not searched for links out of the agent's directory ({why}): look at it before you run the agent outside"
        ));
    }
    for (file, gone) in found.removed {
        match gone {
            Ok(()) => {
                let what = "a link out of the agent's directory, or no file, was removed".to_owned();
                running.say(&format!("{file}: {what}"));
                running.note(&Event::Swept { file, what });
            }
            Err(errno) => running.say(&format!(
                "{file} is a link out of the agent's directory, or no file, and cannot be removed: {errno}"
            )),
        }
    }
}

/// Work trees that went with the box.
fn tell_lost_trees(plan: &Plan, running: &mut Running) {
    let gone = super::trees::gone(plan, since_start(running));
    let Some(first) = gone.first() else { return };
    let others = match gone.len() {
        1 => String::new(),
        more => format!(" and {} more", more - 1),
    };
    running.say(&format!(
        "gone with the directories of the box's own: the work tree {}{others}, and what was not committed there; below the working \
         copy one stays, `git worktree prune` forgets this",
        OsText::from(first.as_path())
    ));
}

/// Why a command that was to join was never started, if so. Its name was looked for in the box, as that of `run` is outside.
pub(super) fn not_started(name: &str, how: &How) -> Option<String> {
    match how {
        How::Refused { why } => Some(why.clone()),
        How::NotFound { .. } if !name.contains('/') => {
            Some(format!("{name}: command not found in PATH"))
        }
        how => not_executed(name, how),
    }
}

/// What execve(2) may not have found. A profile of one's own that extends nothing has no loader, and every program is "not there".
const ABSENT: &str = " (the command, its dynamic loader or the interpreter of its `#!` line; those of the system are in the box \
                      where the profile extends `base`)";

/// What the kernel does not take for a program, and a shell not for a script.
const OF_ANOTHER: &str =
    " (a program for another kind of machine than this one, or a damaged one; `file` says which)";

/// Why this command was never started, if so: what the kernel said to execve(2), or to the fork before it.
fn not_executed(name: impl std::fmt::Display, how: &How) -> Option<String> {
    let (errno, of) = match how {
        How::NotFound { errno } => (errno, ABSENT),
        How::CannotExecute { errno } => (errno, ""),
        _ => return None,
    };
    Some(match Errno::from_raw(*errno) {
        Errno::EAGAIN => format!("{name}: {NO_PROCESS}"),
        Errno::ENOEXEC => format!("{name}: {}{OF_ANOTHER}", Errno::ENOEXEC.desc()),
        errno => format!("{name}: {}{of}", errno.desc()),
    })
}

/// What is said at the end, where the status alone would not tell.
fn last_line(how: &How, plan: &Plan) -> Option<String> {
    let name = &plan.command.name;
    match how {
        How::Exited { .. } | How::Signaled { .. } => None,
        How::NotFound { .. } | How::CannotExecute { .. } => not_executed(name, how),
        How::Refused { why } => Some(why.clone()),
        How::Killed { trigger } => Some(match trigger {
            Trigger::TimeLimit => {
                "killed: the time limit is over (`--limit time=none` lifts it)".to_owned()
            }
            Trigger::Signal { signal } => {
                format!(
                    "killed: signal {signal} did not end it within the grace (`[limits] stop-grace`), or came twice"
                )
            }
            Trigger::Memory => {
                "killed: out of memory (`--limit memory=VALUE` sets the limit)".to_owned()
            }
            Trigger::Idle => {
                "killed: nothing happened for too long (`--limit idle=none` lifts it)".to_owned()
            }
            Trigger::Output => {
                "killed: it wrote too much (`--limit output=VALUE` sets the limit)".to_owned()
            }
            Trigger::Kill { by } => format!("killed by `agentbox kill` of uid {by}"),
            Trigger::Switch { .. } => format!("killed: {}", switch::sentence(trigger)),
            Trigger::Lost { what } => format!("killed: lost {what}"),
        }),
    }
}

/// The same where there is no command: a refusal leaves a record, too, and a thousand of them do.
pub(super) fn sweep_if_due(sessions: &Sessions, host: &Cgroup) {
    if sessions.due(SWEEP_EVERY) {
        sweep_sessions(sessions, host);
    }
}

/// Old sessions go while the command starts, so that nobody waits for it; and of those whose supervisor was killed, the cgroup.
/// Returns how many such there were.
fn sweep_sessions(sessions: &Sessions, host: &Cgroup) -> usize {
    let Ok(swept) = sessions.sweep(Timestamp::now(), &Retention::default()) else {
        return 0;
    };
    clean_up_groups(&swept, host);
    let now = Timestamp::now();
    // One of another home, or of a user who does not come back, nobody would find by its record.
    cgroup::remove_empty(host, &|id| {
        let began = SessionId::try_from(id).map(|id| id.began().millis());
        began.is_ok_and(|began| began.saturating_add(STARTED) <= now.millis())
    });
    swept.lost.len()
}

/// The same at once and for every session, for commands that list them.
pub(super) fn clean_up(sessions: &Sessions, host: &Cgroup) {
    if let Ok(swept) = sessions.mark_all_lost(Timestamp::now()) {
        clean_up_groups(&swept, host);
    }
}

fn clean_up_groups(swept: &Swept, host: &Cgroup) {
    // Only what this very sweep found to have no supervisor: a group whose session is not known here is somebody else's.
    let gone: Vec<&str> = swept
        .lost
        .iter()
        .chain(&swept.removed)
        .map(SessionId::as_str)
        .collect();
    if !gone.is_empty() {
        let _ = cgroup::clean_up_after_crash(host, &|id| !gone.contains(&id));
    }
}

/// For a client whose supervisor was killed: what that one could not do any more, as far as another process can.
pub(super) fn after_loss(sessions: &Sessions, host: &Cgroup) {
    // The session's lock is free when the last process of the box is dead, which is a moment after its supervisor is.
    for _ in 0..LOSS_TRIES {
        if sweep_sessions(sessions, host) > 0 {
            return;
        }
        std::thread::sleep(LOSS_PAUSE);
    }
}
