//! What a box answers to the subcommands that are for outside of it. Sessions, switches and settings are not there: whatever
//! else is said of them would be untrue, and what is written is gone at the end.

#![forbid(unsafe_code)]

use super::args::{Command, ProfilesCommand};
use super::say;
use crate::exit;
use crate::launch::diagnose::{NESTED, is_box};

/// What the human looks after and the box does not see.
const SESSIONS: &str = "this is a box, which sees no sessions, its own included: they are listed, joined and ended outside of it";
const REACH: &str = "this is a box, and what it may reach is said outside of it; `agentbox why connect HOST` says what it is";
const STOP: &str = "this is a box, and what it stops is what works in a directory: `agentbox stop --workspace DIR`; everything else \
                    is stopped outside of it";
const SWITCHES: &str = "this is a box, and switches are lifted and looked at outside of it; none that stops this box is on";
const MACHINE: &str = "this is a box of agentbox already, and a machine is tried and looked at outside of it; `agentbox why` says what \
                       this box allows";
const SETTINGS: &str = "this is a box, and what boxes may do is said outside of it";
const TRUST: &str = "this is a box, and what is trusted is said outside of it";
const MOVED: &str =
    "this is a box, and what was moved away in one is listed and given back outside of it";

/// Where this is a box and the command is none for it: says so, and returns the exit status.
pub(super) fn refused(command: &Command) -> Option<u8> {
    let (why, status) = answer(command)?;
    // Asked last: most starts are of commands that have an answer, and outside.
    is_box().then(|| {
        say::error(why);
        status
    })
}

/// What the command is told in a box. One that is not in the list works there, or says more itself.
fn answer(command: &Command) -> Option<(&'static str, u8)> {
    let no = |why| Some((why, exit::NO));
    match command {
        Command::Run(_) => Some((NESTED, exit::REFUSED)),
        Command::Exec(_) => Some((SESSIONS, exit::REFUSED)),
        Command::Ps(_)
        | Command::Attach(_)
        | Command::Detach(_)
        | Command::Kill(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Logs(_) => no(SESSIONS),
        Command::Allow(_) | Command::Deny(_) | Command::Publish(_) | Command::Ask(_) => no(REACH),
        // The file of a working copy is seen on both sides.
        Command::Stop(args) if args.which.workspace.is_some() && !args.pause => None,
        Command::Stop(_) => no(STOP),
        Command::Start(_) | Command::Status(_) => no(SWITCHES),
        Command::Check(args) if args.layers || args.rungs => None,
        Command::Check(_) | Command::Demo(_) | Command::Drill(_) | Command::Own(_) => no(MACHINE),
        Command::Restore(_) => no(MOVED),
        Command::Profiles(args) => match args.command {
            Some(ProfilesCommand::New { name: Some(_), .. }) => no(SETTINGS),
            _ => None,
        },
        Command::Trust(_) => no(TRUST),
        // With a place it writes files of the project.
        Command::Init(args) if args.place.is_none() => no(SETTINGS),
        Command::Why(_) | Command::Explain(_) | Command::Init(_) => None,
        #[cfg(feature = "pages")]
        Command::Completions(_) | Command::Man(_) => None,
    }
}
