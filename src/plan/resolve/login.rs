//! Files of the box's own that shells read at their start: `/etc/profile`, which is the host's and leaves PATH as it is, and an
//! empty `~/.zshrc`.

#![forbid(unsafe_code)]

use super::pathmap::PathMap;
use super::scene::Scene;
use crate::plan::{Identity, MountOp, OsText};
use std::ffi::OsStr;
use std::path::Path;

/// What login shells read first.
pub(super) const PROFILE: &str = "/etc/profile";

/// What an interactive zsh reads, in HOME.
pub(super) const ZSHRC: &str = ".zshrc";

/// A longer one is shown as it is.
const MOST: usize = 256 << 10;

/// Debian's begins by setting PATH anew, and what puts `~/.cargo/bin` and the like back is in the files of HOME, which the box has
/// not. Agents run their commands as `bash -lc`: without this they find neither what the user has installed nor what refuses programs.
const FIRST: &str = "# agentbox: what PATH has at the start stays in front of what is set here.\nagentbox_path=${PATH-}\n";
const LAST: &str = r#"
if [ -n "$agentbox_path" ]; then
  agentbox_more=${PATH-}:
  PATH=$agentbox_path
  while [ -n "$agentbox_more" ]; do
    case ":$PATH:" in
      *:"${agentbox_more%%:*}":*) ;;
      *) [ -z "${agentbox_more%%:*}" ] || PATH=$PATH:${agentbox_more%%:*} ;;
    esac
    agentbox_more=${agentbox_more#*:}
  done
  export PATH
fi
unset agentbox_path agentbox_more
"#;

/// The box's own file, if it is that one and a text.
pub(super) fn profile(scene: &Scene<'_>, target: &Path, source: &Path) -> Option<MountOp> {
    if target != Path::new(PROFILE) {
        return None;
    }
    let text = scene.walk.look.read(source, MOST)?;
    if text.len() >= MOST {
        return None;
    }
    let text = String::from_utf8(text).ok()?;
    Some(MountOp::File {
        target: PROFILE.into(),
        mode: 0o644,
        content: format!("{FIRST}{text}{LAST}"),
    })
}

/// An interactive zsh without one of these asks what to put there, in each session anew, and takes the first keys for the answer. A
/// program that types for the agent (tmux, expect) does not know that.
pub(super) fn zshrc(scene: &Scene<'_>, id: &Identity, ops: &PathMap<MountOp>) -> Option<MountOp> {
    let is_zsh = |program: &OsStr| Path::new(program).file_name() == Some(OsStr::new("zsh"));
    let command = scene.policy.request.argv.first();
    if !is_zsh(id.shell.os()) && !command.is_some_and(|name| is_zsh(name.os())) {
        return None;
    }
    let at = |name: &str| scene.home.real.join(name);
    let known = [ZSHRC, ".zshenv", ".zprofile", ".zlogin"];
    (!known.iter().any(|name| ops.get(&at(name)).is_some())).then(|| MountOp::File {
        target: OsText::from(at(ZSHRC).as_path()),
        mode: 0o644,
        content: String::new(),
    })
}
