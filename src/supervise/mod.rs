//! The supervisor: one poll loop in a session of its own that owns a running box from the first step to the last line of its
//! record. It parses no byte that the agent chose. When it dies, the kernel kills init and with it the box.

#![forbid(unsafe_code)]

mod again;
mod agent;
mod answers;
pub mod client;
mod clients;
pub mod control;
pub mod ear;
mod ending;
mod flow;
mod gate;
mod gate_words;
mod heads;
mod holds;
pub mod hostfile;
mod joins;
pub mod json;
pub mod keeping;
mod keeping_words;
pub mod kill;
mod listeners;
pub mod merge;
mod modes;
pub mod never;
pub(crate) mod part;
mod queue;
mod quiet;
pub mod relay;
mod remote;
mod remote_words;
mod replay;
mod reports;
pub(crate) mod running;
mod screen;
mod seen;
mod settling;
mod signals;
mod start;
pub mod state;
pub mod status_lines;
pub mod switch;
pub mod syncjob;
mod terminal;
mod trees;
mod voice;
mod watch;
mod whereabouts;

use crate::enforce::build::MNT;
use crate::enforce::cgroup::BoxCgroup;
use crate::enforce::forecast;
use crate::keeper::links::Copied;
use crate::launch::channel::Channel;
use crate::launch::message::{ToClient, ToInit};
use crate::launch::{Inputs, Ready, diagnose};
use crate::outcome::{Evidence, How, Outcome};
use crate::paint::Tone;
use crate::plan::{OsText, Plan};
use crate::record::Event;
use crate::session::{Session, SessionError, Sessions};
use crate::sys::parked::Parked;
use crate::watch::way::Way;
use again::Again;
use agent::Agent;
use clients::Clients;
use control::Control;
use ear::Ear;
use gate_words::Say;
use heads::Heads;
use joins::Joins;
use part::Part;
use quiet::Meter;
use relay::RelayPipe;
use remote::Remotes;
pub use remote_words::stopped as remote_stopped;
use reports::{Reports, Verbose};
use running::Running;
use screen::Screen;
use seen::Seen;
use start::{Started, accept, build};
use state::{Initial, StateSync};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;
use switch::StopFiles;
use voice::{Voice, say_directly};
use watch::{Signals, State};
use whereabouts::Whereabouts;

/// Whether the client that starts a session stays with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    /// It shows the terminal, passes signals on, and its end is a hang-up.
    Stays,
    /// It leaves when the command runs (`run --detach`).
    Leaves,
}

/// Makes the lines to say before the command starts: of the plan, of what was found to hold, and of what there is to say of the
/// whole session besides.
pub type Banner = fn(&Plan, &[Evidence], &[String]) -> Vec<String>;

/// What the supervisor is told.
pub struct Job {
    /// What shall hold.
    pub plan: Plan,
    /// What the launch needs besides. Its session and state are filled in here.
    pub inputs: Inputs,
    /// The cgroup that limits can use.
    pub cgroup: crate::host::Cgroup,
    /// Where sessions are kept.
    pub sessions: Sessions,
    /// What to say before the command starts; `None`: nothing is said of what is only good to know (`--quiet`).
    pub banner: Option<Banner>,
    /// `--status-fd`.
    pub status: Option<File>,
    /// To the terminal client.
    pub client: Channel,
    /// Whether the client stays.
    pub attendance: Attendance,
    /// The supervisor's end of the pseudo-terminal's bytes, if the client stays and there is one.
    pub data: Option<OwnedFd>,
    /// Sockets of the caller that are relayed through pipes, with what is relayed.
    pub pipes: Vec<RelayPipe>,
    /// Where the namespaces come from that are made while the supervisor plans.
    pub nursery: Option<Channel>,
    /// Where the forecast of such a view is kept.
    pub forecast: Option<PathBuf>,
}

/// For a client whose supervisor was killed: its session is marked as lost and its cgroup removed. The box itself is the
/// kernel's work.
pub fn lost(sessions: &Sessions, cgroup: &crate::host::Cgroup) {
    ending::after_loss(sessions, cgroup);
}

/// Sessions whose supervisor was killed are marked as lost, and what is left of them is removed.
pub fn clean_up_after_crashes(sessions: &Sessions, cgroup: &crate::host::Cgroup) {
    ending::clean_up(sessions, cgroup);
}

/// Runs a session from the first step to the last. Returns the exit status of `agentbox run`.
#[must_use]
pub fn run(job: Job) -> u8 {
    let begun = Instant::now();
    let Job {
        plan,
        mut inputs,
        cgroup,
        sessions,
        banner,
        status,
        client,
        attendance,
        data,
        pipes,
        nursery,
        forecast,
    } = job;
    // Init needs the name; the record is written while it builds.
    let reserved = match Session::reserve(&sessions) {
        Ok(reserved) => reserved,
        Err(e) => return refuse_early(&client, status, &no_record(&e)),
    };
    inputs.session = reserved.id().as_str().to_owned();
    inputs.outside = reserved.path().to_owned();
    let verbose = Verbose::of(banner);
    let reports = Reports::new(verbose, &mut inputs.report);
    let proxies = gate::proxies(&plan.network, &inputs.caller_env);
    let way = Way::of_env(&inputs.caller_env);
    let agent = Agent::new(&plan.network, &mut inputs);
    let known = keeping::known(&plan, &inputs);
    let building = build(&plan, inputs, &cgroup, nursery.as_ref());
    drop(nursery);
    let network = gate::Network::start(&plan.network, proxies, agent);
    // Asked while the box is built; their first answers are waited for before the command runs.
    let mut remotes = Remotes::start(&plan.remotes, &way);
    // Beside the building, and before anybody takes for granted what files are.
    for line in keeping::settle_dead(&sessions) {
        say_directly(Tone::Word, &line);
    }
    // Begun also when there is nothing to build: a refusal is recorded.
    let mut session = match reserved.begin(&plan) {
        Ok(session) => session,
        Err(e) => {
            if let Ok(building) = building {
                building.spawned.destroy();
            }
            return refuse_early(&client, status, &no_record(&e));
        }
    };
    let mut voice = Voice::new(client, status);
    let refuse = |voice: Voice, session: Session, begun: Instant, why: &str| {
        let status = refuse(voice, session, begun, why);
        ending::sweep_if_due(&sessions, &cgroup);
        status
    };
    let control = match control::socket::open(session.dir()) {
        Ok(listener) => Some(listener),
        Err(errno) => {
            voice.say(&format!(
                "this session cannot be listed, joined or killed by other commands: no socket in {}: {errno}",
                session.path().display()
            ));
            None
        }
    };
    // While init builds. Before the command exists: what is made from here on is an event.
    let mut stop_files = match StopFiles::arm(&plan) {
        Ok(armed) => armed,
        Err(why) => {
            if let Ok(building) = building {
                building.spawned.destroy();
            }
            return refuse(voice, session, begun, &why);
        }
    };
    let whereabouts = Whereabouts::watch(&plan, &session, &mut stop_files);
    let Started {
        ready,
        group,
        state,
        keeping,
        settling,
        copied,
    } = match building.and_then(|building| accept(&plan, &session, building)) {
        Ok(started) => started,
        Err(e) => {
            // What is said first is what happened; what the host says of itself may be why.
            let what = e.to_string();
            let hints = diagnose::hints(&what);
            let why = std::iter::once(what).chain(hints);
            return refuse(voice, session, begun, &why.collect::<Vec<_>>().join("\n"));
        }
    };
    let mut polled = Vec::new();
    for (event, line) in stop_files.polled() {
        voice.note(&mut session, &event);
        polled.push(line);
    }
    if let Some(banner) = banner {
        for line in banner(&plan, &ready.evidence, &polled) {
            voice.direct(Tone::Word, &line);
        }
    }
    if copied.files > 0 {
        let Copied { files, bytes } = copied;
        voice.note(&mut session, &Event::LinksCopied { files, bytes });
    }
    let enforced = Event::Enforced {
        evidence: ready.evidence.clone(),
    };
    voice.note(&mut session, &enforced);
    if let Some((_, Some(event))) = &keeping {
        voice.note(&mut session, event);
    }
    let Ready {
        mut spawned,
        extract,
        pty,
        home,
        namespaces,
        listeners,
        evidence,
        ..
    } = ready;
    let has_pty = pty.is_some();
    let (screen, state) = match attend(&plan, pty, home.zip(Some(state)), stop_files.ear()) {
        Ok((screen, state, events)) => {
            for event in &events {
                voice.note(&mut session, event);
            }
            (screen, state)
        }
        Err(why) => {
            spawned.destroy();
            return refuse(voice, session, begun, &why);
        }
    };
    let mut network = match network {
        Ok(network) => network,
        Err(why) => {
            spawned.destroy();
            return refuse(voice, session, begun, &why);
        }
    };
    match remotes.first_answers() {
        Ok(answers) => {
            for (event, line) in answers {
                voice.note(&mut session, &event);
                if verbose == Verbose::Yes {
                    voice.direct(Tone::Word, &line);
                }
            }
        }
        Err(why) => {
            spawned.destroy();
            return refuse(voice, session, begun, &why);
        }
    }
    let unrecorded = session.failing().map(running::lost_record);
    let whereabouts = match unrecorded.map_or_else(|| whereabouts.and_then(Whereabouts::still), Err)
    {
        Ok(whereabouts) => whereabouts,
        Err(what) => {
            spawned.destroy();
            return refuse(voice, session, begun, &format!("not started: lost {what}"));
        }
    };
    if let Err(why) = stop_files.still_none() {
        spawned.destroy();
        return refuse(voice, session, begun, &why);
    }
    if spawned.channel.send(&ToInit::Go, &[]).is_err() {
        spawned.destroy();
        let why = "init of the box ended before it was told to go on";
        return refuse(voice, session, begun, why);
    }
    voice.tell(&ToClient::Started { pty: has_pty });
    start::tell_box(extract, &plan, &session);
    // The last one to leave a mount namespace takes its mounts apart, one grace period of RCU after the other: not this
    // process, for whose end the caller waits. Without it the end is slower, and that is all.
    let _parked = (namespaces.get(MNT)).and_then(|fd| Parked::new(fd.as_fd()).ok());
    let keeping = keeping.map(|(it, _)| it.with_rules(&plan, &namespaces, known));
    drop(namespaces);
    session.prepare_end();
    if let (Some(text), Some(place)) = (spawned.forecast.take(), &forecast) {
        forecast::keep(place, &text);
    }
    let say = if has_pty { Say::AtTheEnd } else { Say::AtOnce };
    network.serve(listeners, spawned.pass, say);
    ending::sweep_if_due(&sessions, &cgroup);
    let control = control.map(|listener| {
        let dirs = group.iter().flat_map(BoxCgroup::paths);
        let dirs = dirs.map(|dir| OsText::from(dir.as_os_str())).collect();
        Control::new(listener, &plan, session.started(), dirs)
    });
    let heads = Heads::start(&plan, &session, way);
    let mut running = Running::new(&plan, spawned, voice, session, group, begun);
    running.far = !polled.is_empty();
    // Stop files first: nothing that another part does may delay them. Then the socket: what it hands over is taken in the
    // same turn.
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(stop_files)];
    let remotes = (!plan.remotes.is_empty()).then_some(remotes);
    parts.extend(remotes.map(|remotes| Box::new(remotes) as Box<dyn Part>));
    parts.extend(heads.map(|heads| Box::new(heads) as Box<dyn Part>));
    parts.extend(control.map(|control| Box::new(control) as Box<dyn Part>));
    parts.push(Box::new(whereabouts));
    parts.push(Box::new(State(state)));
    parts.push(Box::new(Clients::new(
        screen,
        data,
        attendance,
        plan.hangup.clone(),
        Meter::new(&plan, begun),
    )));
    parts.push(Box::new(Joins::new(&plan)));
    parts.push(Box::new(network));
    parts.extend(
        pipes
            .into_iter()
            .map(|pipe| Box::new(pipe) as Box<dyn Part>),
    );
    parts.extend(reports.map(|reports| Box::new(reports) as Box<dyn Part>));
    parts.extend(keeping.map(|keeping| Box::new(keeping) as Box<dyn Part>));
    parts.extend(settling.map(|settling| Box::new(settling) as Box<dyn Part>));
    let again = Again::new(&plan, has_pty, verbose);
    parts.extend(again.map(|again| Box::new(again) as Box<dyn Part>));
    parts.extend(Signals::new().map(|signals| Box::new(signals) as Box<dyn Part>));
    let seen = watch::run(&mut running, &mut parts);
    ending::finish(ending::End {
        plan: &plan,
        evidence: &evidence,
        seen,
        running,
        parts,
        begun,
    })
}

type Attended = (Option<Screen>, Option<StateSync>, Vec<Event>);

/// Takes the terminal and the state files in hand, before the command can touch either.
fn attend(
    plan: &Plan,
    terminal: Option<OwnedFd>,
    state: Option<(OwnedFd, Vec<Initial>)>,
    ear: Option<Ear>,
) -> Result<Attended, String> {
    let screen = terminal
        .map(Screen::new)
        .transpose()
        .map_err(|e| format!("the terminal cannot be relayed: {e}"))?;
    let Some((home, files)) = state else {
        return Ok((screen, None, Vec::new()));
    };
    let (sync, events) = StateSync::new(files, home, plan.identity.real_home(), ear)
        .map_err(|e| format!("state files cannot be written back: {e}"))?;
    Ok((screen, Some(sync), events))
}

fn no_record(e: &SessionError) -> String {
    format!("the session's record cannot be written: {e}")
}

/// Nothing was executed and there is no session to record it in.
fn refuse_early(client: &Channel, lines: Option<File>, why: &str) -> u8 {
    say_directly(Tone::Refusal, why);
    status_lines::not_begun(client, lines, why, crate::exit::REFUSED)
}

/// Nothing was executed.
fn refuse(mut voice: Voice, mut session: Session, begun: Instant, why: &str) -> u8 {
    // What files are may be remembered already: what changes in them from here on is the user's, and nobody puts it back.
    settling::Settled::Yes.done(&session);
    why.lines()
        .for_each(|line| voice.direct(Tone::Refusal, line));
    let refused = Event::Refused {
        why: why.to_owned(),
    };
    voice.note(&mut session, &refused);
    let how = How::Refused {
        why: why.to_owned(),
    };
    let outcome = Outcome {
        exit_status: crate::exit::status(&how),
        how,
        wall_ms: ending::ms(begun.elapsed()),
        cpu_ms: 0,
        max_rss_kib: 0,
    };
    voice.status(&Event::Ended {
        outcome: outcome.clone(),
    });
    control::socket::remove(session.dir());
    let _ = session.close(&outcome);
    voice.drain_status(running::PATIENCE);
    voice.tell(&ToClient::Ended {
        status: outcome.exit_status,
    });
    outcome.exit_status
}
