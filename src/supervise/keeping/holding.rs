//! Git's configuration that comes to hold a credential while the box runs (`git remote set-url` with a token in the URL, what
//! actions/checkout leaves): the box sees a copy without it from then on, as of one that held some at the start. Who writes there
//! nobody tells us, so what the box has in its environment is left alone: it may be the one that wrote it.
//!
//! A guard-rail: what is written can be read for the milliseconds until then.

#![forbid(unsafe_code)]

use super::Keeping;
use crate::keeper::inside::Inside;
use crate::keeper::message::Cover;
use crate::keeper::settle::{Act, Did, Sees};
use crate::launch::Inputs;
use crate::plan::resolve::looks_like_credential;
use crate::plan::{MountOp, OsText, Plan};
use crate::supervise::running::Running;
use nix::errno::Errno;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What covers are made of.
#[derive(Default)]
pub(super) struct Holding {
    /// `None` until the box runs, and from its end on.
    inside: Option<Inside>,
    pub(super) sees: Sees,
    /// The box ends.
    over: bool,
    /// Copies that could not be made.
    failed: usize,
}

/// Of how many copies that could not be made it is said which.
const SAID: usize = 4;

impl Holding {
    /// Of the box with these namespaces, which has these credentials in its environment.
    pub(super) fn new(plan: &Plan, namespaces: &[OwnedFd], known: Vec<Vec<u8>>) -> Holding {
        Holding {
            inside: Inside::of(namespaces),
            sees: Sees {
                covered: covered(plan),
                known,
            },
            ..Holding::default()
        }
    }

    /// Its namespaces are let go.
    pub(super) fn end(&mut self) {
        self.inside = None;
        self.over = true;
    }

    /// Without what would be shown to a box that is at its end, and sees nothing more.
    pub(super) fn of_the_living(&self, mut acts: Vec<Act>) -> Vec<Act> {
        acts.retain(|act| !self.over || !matches!(act.did, Did::Holding { .. }));
        acts
    }
}

/// What the box sees a copy of from its start on, by the host's paths.
fn covered(plan: &Plan) -> BTreeSet<PathBuf> {
    let targets = plan.view.ops.iter().filter_map(|op| match op {
        MountOp::Cover { target, .. } => Some(target.path()),
        _ => None,
    });
    let hosts = |target: &Path| {
        let binds = plan.view.ops.iter().filter_map(move |op| match op {
            MountOp::Bind {
                source, target: at, ..
            } => {
                let rel = target.strip_prefix(at.path()).ok()?;
                Some(source.path().join(rel))
            }
            _ => None,
        });
        binds.collect::<Vec<_>>()
    };
    targets.flat_map(hosts).collect()
}

/// The shortest value that is looked for: a shorter one is found in anything.
const SHORTEST: usize = 8;

/// Credentials that the plan lets into the box.
pub(in crate::supervise) fn known(plan: &Plan, inputs: &Inputs) -> Vec<Vec<u8>> {
    let all = crate::enforce::env::build(&plan.env, &inputs.caller_env, &inputs.given, "");
    let all = all.iter().map(|variable| variable.as_bytes());
    let values = all.filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        let (name, value) = variable.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        let text = std::str::from_utf8;
        let looks = looks_like_credential(text(name).ok()?, text(value).ok()?);
        (value.len() >= SHORTEST && looks).then(|| value.to_vec())
    });
    values.collect()
}

impl Keeping {
    /// The box is to see this instead of that file. `None`: it does already.
    pub(super) fn cover(
        &mut self,
        file: &OsText,
        text: &OsText,
        running: &mut Running,
    ) -> Option<Cover> {
        let number = self.holding.sees.covered.len();
        if !self.holding.sees.covered.insert(file.path().to_owned()) {
            return None;
        }
        let name = format!("later.{number}");
        let made = match (&self.holding.inside, CString::new(name.as_str())) {
            (Some(inside), Ok(name)) => inside.put(&name, text.bytes()),
            _ => Err(Errno::EBADF),
        };
        if let Err(errno) = made {
            self.holding.failed += 1;
            match self.holding.failed.cmp(&SAID) {
                Ordering::Less => running.say(&format!(
                    "that copy of {file} could not be made ({}): nothing in the box can open the file",
                    errno.desc()
                )),
                Ordering::Equal => running.say(&format!(
                    "that copy of {file} and more could not be made ({}): nothing in the box can open these files",
                    errno.desc()
                )),
                Ordering::Greater => {}
            }
        }
        Some(Cover {
            file: file.clone(),
            with: made.is_ok().then_some(name),
        })
    }
}
