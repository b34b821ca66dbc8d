//! [`StopFile`]: a name whose mere existence ends the session.

#![forbid(unsafe_code)]

use super::OsText;
use crate::policy::Origin;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The file that `agentbox stop --workspace` makes, and that counts in every workspace.
pub const WORKSPACE_NAME: &str = ".agentbox-stop";
/// Its name in `~/.config/agentbox`, `/run/agentbox` and `/etc/agentbox`.
pub const NAME: &str = "stop";
/// Where the switch of the whole machine is that a restart of it lifts.
pub const RUN_DIR: &str = "/run/agentbox";
/// Where the switch of the whole machine is that lasts.
pub const ETC_DIR: &str = "/etc/agentbox";

/// A name whose mere existence ends the session: a file, a directory, a symlink, also a dangling one, a fifo, a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StopFile {
    /// The absolute path, with the host's symlinks.
    pub file: OsText,
    /// Whose sessions it ends.
    pub scope: StopScope,
    /// Who asked for it.
    pub origin: Origin,
}

/// Whose sessions a stop file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopScope {
    /// Those in this working copy.
    Workspace,
    /// Those in this repository, whatever directory or work tree of it they are in.
    Repository,
    /// All of this user.
    User,
    /// All of this machine.
    Host,
}

impl StopScope {
    /// For the record and for `status --json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StopScope::Workspace => "workspace",
            StopScope::Repository => "repository",
            StopScope::User => "user",
            StopScope::Host => "host",
        }
    }
}

impl fmt::Display for StopScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The stop files of every session: the user's, in the default place and where `XDG_CONFIG_HOME` says, and the machine's.
#[must_use]
pub fn everywhere(home: &Path, config: &Path) -> Vec<StopFile> {
    let file = |dir: &Path, scope| StopFile {
        file: dir.join(NAME).into(),
        scope,
        origin: Origin::agentbox("the kill switch"),
    };
    // The default place always: whoever says stop may not have the variable.
    let default = home.join(".config");
    let mut out = vec![file(&default.join("agentbox"), StopScope::User)];
    if config != default {
        out.push(file(&config.join("agentbox"), StopScope::User));
    }
    out.extend([RUN_DIR, ETC_DIR].map(|dir| file(Path::new(dir), StopScope::Host)));
    out
}
