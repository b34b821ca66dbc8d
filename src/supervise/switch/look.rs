//! What is known of a stop file: whether it is there, who made it, when, and why. Its content may be an agent's: opaque
//! bytes, few of them, escaped.

#![forbid(unsafe_code)]

use super::file::MARK;
use crate::outcome::Trigger;
use crate::plan::stop::{StopFile, StopScope};
use crate::plan::text::write_escaped;
use crate::record::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, lstat};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// The most bytes of a stop file that are read.
const MAX: u64 = 512;

/// How often, and after which pauses, a file that was just made is asked for its content. The box is dead by then.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(2);

/// Whether a path names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    There,
    Nothing,
    /// Nobody can say.
    Unknown(Errno),
}

/// Any entry counts: it is not followed.
pub(super) fn look(path: &Path) -> Look {
    match lstat(path) {
        Ok(_) => Look::There,
        Err(Errno::ENOENT | Errno::ENOTDIR) => Look::Nothing,
        Err(errno) => Look::Unknown(errno),
    }
}

/// Why a switch stops the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It was made.
    Made,
    /// It is there.
    Found,
    /// Whether it is there cannot be said.
    Unknown(Errno),
    /// Events were lost, and it may have been among them.
    Overflow,
    /// The directory that it would be in is replaced faster than anybody can look.
    Replaced,
    /// It cannot be watched any more.
    Blind(String),
}

/// A switch that stops the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// The stop file; `None` if there is none to name.
    pub file: Option<StopFile>,
    /// Why.
    pub cause: Cause,
}

impl Tripped {
    pub(super) fn new(file: Option<&StopFile>, cause: Cause) -> Tripped {
        Tripped {
            file: file.cloned(),
            cause,
        }
    }

    pub(super) fn blind(file: Option<&StopFile>, why: String) -> Tripped {
        Tripped::new(file, Cause::Blind(why))
    }
}

/// What is recorded and said of it. To be asked when the box is dead or not begun: this reads the file. `caller` is a uid and
/// its name.
#[must_use]
pub fn trigger(tripped: &Tripped, caller: (u32, &str)) -> Trigger {
    let Some(stop) = &tripped.file else {
        return Trigger::Lost {
            what: "the watch of stop files".to_owned(),
        };
    };
    let path = stop.file.path();
    let name = format!("the stop file {}", stop.file);
    let remove = match stop.scope {
        StopScope::User => format!("`agentbox start`, or remove {}", stop.file),
        StopScope::Host => format!("`agentbox start --global` as root, or remove {}", stop.file),
        StopScope::Workspace | StopScope::Repository => format!("remove {}", stop.file),
    };
    let which = match &tripped.cause {
        Cause::Made | Cause::Found => name,
        Cause::Unknown(errno) => format!("{name}, which cannot be looked for ({})", errno.desc()),
        Cause::Overflow => format!(
            "{name}, which may have been made: so much happened around it that events were lost"
        ),
        Cause::Replaced => format!(
            "{name}, which cannot be watched: its directory was replaced by another again and again"
        ),
        Cause::Blind(why) => format!("{name}, which cannot be watched: {why}"),
    };
    let (owner, since, reason) = match lstat(path) {
        Ok(stat) => {
            let millis = stat.st_mtime.saturating_mul(1000) + stat.st_mtime_nsec / 1_000_000;
            let owner = match stat.st_uid {
                0 => "root".to_owned(),
                uid if uid == caller.0 => caller.1.to_owned(),
                uid => format!("uid {uid}"),
            };
            (
                Some(owner),
                u64::try_from(millis).ok(),
                reason(path, &tripped.cause),
            )
        }
        Err(_) => (None, None, None),
    };
    let resume = match (&tripped.cause, &owner) {
        (Cause::Made, None) => "it is gone again: nothing has to be removed".to_owned(),
        (Cause::Made | Cause::Found, _) => format!("to start again: {remove}"),
        (Cause::Unknown(_), _) => "let its directory be searched (chmod a+x)".to_owned(),
        (Cause::Overflow | Cause::Replaced | Cause::Blind(_), _) => String::new(),
    };
    Trigger::Switch {
        which,
        owner,
        since,
        reason,
        resume,
    }
}

/// Whether it is there now, and what is to be said of it then.
#[must_use]
pub fn state(stop: &StopFile, caller: (u32, &str)) -> Option<Trigger> {
    let cause = match look(stop.file.path()) {
        Look::Nothing => return None,
        Look::There => Cause::Found,
        Look::Unknown(errno) => Cause::Unknown(errno),
    };
    Some(trigger(&Tripped::new(Some(stop), cause), caller))
}

/// What is said of a switch, at the start and at the end: which, whose, since when, why, and what lifts it.
#[must_use]
pub fn sentence(trigger: &Trigger) -> String {
    let Trigger::Switch {
        which,
        owner,
        since,
        reason,
        resume,
    } = trigger
    else {
        return String::new();
    };
    let mut out = which.clone();
    let since = since.map(|millis| Timestamp::from_millis(millis).to_string());
    let facts: Vec<&str> = [owner.as_deref(), since.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    if !facts.is_empty() {
        out.push_str(&format!(" ({})", facts.join(", ")));
    }
    if let Some(reason) = reason {
        out.push_str(&format!(": \"{reason}\""));
    }
    if !resume.is_empty() {
        out.push_str("; ");
        out.push_str(resume);
    }
    out
}

/// What the file says. `echo why > FILE` makes it before it writes: it is given a moment.
fn reason(path: &Path, cause: &Cause) -> Option<String> {
    let tries = if *cause == Cause::Made { TRIES } else { 1 };
    (0..tries).find_map(|number| {
        if number > 0 {
            std::thread::sleep(PAUSE);
        }
        content(path)
    })
}

/// The first bytes of a regular file, as one line; `None` for anything else and for an empty one.
fn content(path: &Path) -> Option<String> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    // lstat first: to open a fifo or a device has effects.
    let regular = |mode: u32| mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    if !regular(lstat(path).ok()?.st_mode) {
        return None;
    }
    let file = open(path, flags, Mode::empty()).ok()?;
    if !regular(fstat(&file).ok()?.st_mode) {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    // The second line of `agentbox stop` says what the rest of this sentence says.
    let mark = format!("\n{MARK}");
    let own = bytes
        .windows(mark.len())
        .position(|at| at == mark.as_bytes());
    let trimmed = own
        .and_then(|at| bytes.get(..at))
        .unwrap_or(&bytes)
        .trim_ascii();
    if trimmed.is_empty() {
        return None;
    }
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _never = write_escaped(&mut out, trimmed);
    Some(out)
}
