//! `/etc/profile` of the box: the host's, which leaves PATH as it is.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::MountOp;
use std::path::Path;

/// What login shells read first.
pub(super) const PROFILE: &str = "/etc/profile";

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
