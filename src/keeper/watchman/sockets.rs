//! Sockets that programs outside bind in what the box sees, once it runs: whoever answers there acts outside of the box, and
//! neither a read-only mount nor Landlock refuses a connect(2). They are covered as those of the start are.
//!
//! Whose socket is it? Those of the box are in a network namespace of its own, and sock_diag(7) names the inodes of one
//! namespace's sockets: what is bound in the one from which the keeper came is the host's. One that is not is left to the box.
//! The kernel makes the name first and binds the socket after that, so that who is not found is looked for again.

#![forbid(unsafe_code)]

use super::{Name, Phase, Watchman};
use crate::keeper::place;
use crate::keeper::view::{Covered, Mask};
use crate::plan::{NetworkMode, Plan};
use crate::sys::sock_diag::SockDiag;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The most names that wait to be looked at.
const MOST: usize = 10_000;
/// How long after it was met a name is looked at.
const LOOKS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(50),
];
/// A box that binds without end has this part of the keeper's time: one of so many.
const PART: u32 = 5;

/// A name that is a socket.
struct Met {
    place: usize,
    rel: PathBuf,
    at: Instant,
    /// How often it was looked at.
    looks: usize,
}

/// Sockets that may be the host's.
pub(super) struct Sockets {
    diag: Option<SockDiag>,
    met: Vec<Met>,
    not_before: Instant,
}

impl Sockets {
    /// Where the box has the network of the host, its sockets are not told from those of others.
    pub(super) fn of(plan: &Plan) -> Sockets {
        let own = plan.network.mode != NetworkMode::Host;
        Sockets {
            diag: own.then(SockDiag::new).and_then(Result::ok),
            met: Vec::new(),
            not_before: Instant::now(),
        }
    }

    /// When somebody has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = |met: &Met| met.at + LOOKS.get(met.looks).copied().unwrap_or_default();
        let first = self.met.iter().map(due).min()?;
        Some(first.max(self.not_before))
    }
}

impl Watchman<'_> {
    /// There is a socket of that name.
    pub(super) fn meet(&mut self, it: &Name<'_>) {
        let sockets = &mut self.sockets;
        if sockets.diag.is_some() && sockets.met.len() < MOST {
            sockets.met.push(Met {
                place: it.spot.place,
                rel: it.rel(),
                at: Instant::now(),
                looks: 0,
            });
        }
    }

    /// Covers those that are the host's, if it is time to look.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn look_at_sockets(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let (Some(diag), Some(_)) = (&self.sockets.diag, &self.view) else {
            return Ok(());
        };
        if self.sockets.due().is_none_or(|due| due > begun) {
            return Ok(());
        }
        // Without an answer it is asked again, as often as for one that is not found.
        let bound = diag.bound().unwrap_or_default();
        let mut left = Vec::new();
        for mut met in std::mem::take(&mut self.sockets.met) {
            let Some(place) = self.places.get(met.place) else {
                continue;
            };
            let Ok((device, number)) = place::inode(place, &met.rel) else {
                continue;
            };
            let low = u32::try_from(number & 0xffff_ffff).unwrap_or_default();
            if bound.contains(&(device, low)) {
                self.cover_socket(met.place, &met.rel)?;
                continue;
            }
            met.looks += 1;
            if met.looks < LOOKS.len() {
                left.push(met);
            }
        }
        self.sockets.met = left;
        self.sockets.not_before = begun + begun.elapsed() * PART;
        Ok(())
    }

    fn cover_socket(&mut self, number: usize, rel: &std::path::Path) -> Result<(), String> {
        let (Some(view), Some(place)) = (&self.view, self.places.get(number)) else {
            return Ok(());
        };
        let file = place.path.join(rel);
        let (covered, _) = view
            .mask(place, rel, Mask::Empty)
            .map_err(|errno| format!("{} cannot be hidden: {errno}", file.display()))?;
        if covered == Covered::Now && self.phase == Phase::Running {
            self.outbox.masked(file);
        }
        Ok(())
    }
}
