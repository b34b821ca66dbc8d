//! Links of before the session, and where they led: one that says the same leads elsewhere when something on its way is another one.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use crate::plan::names::is_never_searched;
use serde::{Deserialize, Serialize};
use std::fs::read_link;
use std::path::{Path, PathBuf};

/// A link, and what there was to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Link {
    pub(super) name: OsText,
    said: OsText,
    led: OsText,
}

impl Link {
    /// What there is to it now; `None` if it is no link.
    pub(super) fn of(name: &OsText) -> Option<Link> {
        Some(Link {
            name: name.clone(),
            said: read_link(name.path()).ok()?.into(),
            led: behind(name.path()).into(),
        })
    }

    /// Is it there, with the same text?
    pub(super) fn says_the_same(&self) -> bool {
        read_link(self.name.path()).is_ok_and(|says| says == self.said.path())
    }

    /// Is the same name behind it? What is installed there (`node_modules`) changes its place with its version.
    pub(super) fn leads_the_same(&self) -> bool {
        let top = self.name.path().parent().unwrap_or(Path::new("/"));
        let is_installed = |led: &Path| {
            let top = top.ancestors().find(|above| led.starts_with(above));
            top.zip(top.and_then(|top| led.strip_prefix(top).ok()))
                .is_some_and(|(top, way)| is_never_searched(top, way))
        };
        let led = self.led.path();
        is_installed(led) || behind(self.name.path()) == led
    }
}

/// Where a link leads, also if nothing is there yet.
pub(super) fn behind(link: &Path) -> PathBuf {
    let mut at = link.to_owned();
    for _ in 0..40 {
        if let Ok(real) = std::fs::canonicalize(&at) {
            return real;
        }
        // What is above it is there; the name itself is a link to what is not, or is not there.
        let mut missing = Vec::new();
        let mut above = at.as_path();
        while std::fs::symlink_metadata(above).is_err() {
            missing.extend(above.file_name());
            match above.parent() {
                Some(parent) => above = parent,
                None => return at,
            }
        }
        let mut next = match std::fs::read_link(above) {
            Ok(said) => above.parent().unwrap_or(above).join(said),
            // As it is written there may be links and `..` on the way to the directory in which nothing is.
            Err(_) => {
                let mut real = std::fs::canonicalize(above).unwrap_or_else(|_| above.to_owned());
                real.extend(missing.into_iter().rev());
                return real;
            }
        };
        next.extend(missing.into_iter().rev());
        at = next;
    }
    at
}
