//! `agentbox restore`: what sessions moved to their quarantine, and giving it back.

#![forbid(unsafe_code)]

use super::args::RestoreArgs;
use super::say::{self, Said};
use crate::exit;
use crate::host::Host;
use crate::keeper::quarantine::{Item, Quarantine};
use crate::plan::OsText;
use crate::session::{SessionId, Sessions};
use crate::supervise::keeping;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// Lists or gives back. Returns the exit status.
#[must_use]
pub fn restore(args: &RestoreArgs) -> u8 {
    match flow(args) {
        Ok(status) => status,
        Err(why) => {
            say::error(why);
            exit::NO
        }
    }
}

fn flow(args: &RestoreArgs) -> Result<u8, String> {
    let host = Host::gather().map_err(|e| e.to_string())?;
    let state = host.var("XDG_STATE_HOME").map(OsString::as_os_str);
    let sessions = Sessions::open(&host.home, state).map_err(|e| e.to_string())?;
    // What a crash kept from being done is done now.
    for line in keeping::settle_dead(&sessions) {
        say::error(line);
    }
    let Some(text) = &args.session else {
        let ids = sessions.ids().map_err(|e| e.to_string())?;
        return list(&sessions, &ids);
    };
    let id = find(&sessions, text)?;
    if args.files.is_empty() && !args.all {
        return list(&sessions, &[id]);
    }
    give_back(&sessions, &id, args, &host.cwd)
}

fn find(sessions: &Sessions, text: &str) -> Result<SessionId, String> {
    let ids = sessions.ids().map_err(|e| e.to_string())?;
    let mut matching = ids.into_iter().filter(|id| id.fits(text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(format!(
            "several sessions begin or end with {text:?}; `agentbox restore` lists them"
        )),
        (None, _) => Err(format!(
            "no session begins or ends with {text:?}; `agentbox restore` lists those that moved files away"
        )),
    }
}

fn session_dir(sessions: &Sessions, id: &SessionId) -> Result<OwnedFd, String> {
    let path = sessions.path().join(id.as_str());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(&path, flags, Mode::empty()).map_err(|errno| format!("{}: {errno}", OsText::from(path)))
}

fn list(sessions: &Sessions, ids: &[SessionId]) -> Result<u8, String> {
    let mut out = String::new();
    for id in ids {
        let dir = session_dir(sessions, id)?;
        let Some(quarantine) = Quarantine::find(dir.as_fd()).map_err(|e| e.to_string())? else {
            continue;
        };
        for item in quarantine
            .items()
            .iter()
            .filter(|item| quarantine.holds(item))
        {
            out.push_str(&format!(
                "{}  {:>3}  {}  ({})\n",
                id.as_str(),
                item.n,
                item.file,
                item.why.words()
            ));
        }
    }
    if out.is_empty() {
        "nothing was moved away\n".clone_into(&mut out);
    }
    Ok(match say::out(&out) {
        Said::Fine => 0,
        Said::Lost => exit::NO,
    })
}

fn give_back(
    sessions: &Sessions,
    id: &SessionId,
    args: &RestoreArgs,
    cwd: &Path,
) -> Result<u8, String> {
    let dir = session_dir(sessions, id)?;
    let found = Quarantine::find(dir.as_fd()).map_err(|e| e.to_string())?;
    let mut quarantine =
        found.ok_or_else(|| format!("session {} moved nothing away", id.as_str()))?;
    let held: Vec<Item> = quarantine
        .items()
        .iter()
        .filter(|item| quarantine.holds(item))
        .cloned()
        .collect();
    let wanted: Vec<Item> = if args.all {
        held
    } else {
        args.files
            .iter()
            .map(|name| choose(&held, name, cwd))
            .collect::<Result<_, _>>()?
    };
    for item in wanted {
        let instead = quarantine
            .restore(item.n)
            .map_err(|e| format!("{}: {e}", item.file))?;
        let mut line = format!("{} is back", item.file);
        if let Some(n) = instead {
            line.push_str(&format!("; what stood there is number {n} now"));
        }
        say::error(line);
    }
    Ok(0)
}

/// By its number, or by its path: of several the last one.
fn choose(held: &[Item], name: &OsStr, cwd: &Path) -> Result<Item, String> {
    let number = name.to_str().and_then(|text| text.parse::<u32>().ok());
    let path: PathBuf = cwd.join(name);
    held.iter()
        .rev()
        .find(|item| Some(item.n) == number || item.file.path() == path)
        .cloned()
        .ok_or_else(|| {
            format!(
                "{} is not in the quarantine of that session",
                OsText::from(name)
            )
        })
}
