//! [`Watchman`]: what is done about a name that appears or changes. Decides; [`super::place`] mounts, the
//! [`Tree`] watches, the [`Outbox`] tells.

#![forbid(unsafe_code)]

mod frozen;
mod gits;
mod lures;
mod rules;
mod secrets;
mod sockets;
mod stubs;
mod writers;

use self::secrets::Secrets;
use self::sockets::Sockets;
use self::stubs::Stubs;
use self::writers::{Told, Writers};
use super::git;
use super::listing::{What, linked};
use super::outbox::Outbox;
use super::place::{self, Place, Purpose};
use super::tree::{Filled, Happened, Spot, Tree, Within, below, still_below};
use super::view::{BoxView, Covered, Inode, Stay};
use crate::plan::names::git::{Shape, in_dot_git};
use crate::plan::names::{NameKind, NameRule};
use crate::plan::refused::Refused;
use crate::plan::{OsText, Plan};
use nix::errno::Errno;
use nix::sys::inotify::AddWatchFlags;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Why a name is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Its directory was listed.
    Listed,
    /// It was made.
    Made,
    /// It was moved there: in the box nobody can move something onto a name that is frozen.
    MovedIn,
}

/// The agent may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    Running,
}

/// A name on its way through the rules.
pub(super) struct Name<'a> {
    pub(super) spot: &'a Spot,
    pub(super) name: &'a OsStr,
    what: What,
    cause: Cause,
    /// Its inode, where that has other names.
    linked: Option<Inode>,
}

impl<'a> Name<'a> {
    /// What is there, a file as far as is known.
    fn listed(spot: &'a Spot, name: &'a OsStr) -> Name<'a> {
        Name {
            spot,
            name,
            what: What::Other,
            cause: Cause::Listed,
            linked: None,
        }
    }

    /// Below its place.
    pub(super) fn rel(&self) -> PathBuf {
        self.spot.rel.join(self.name)
    }
}

pub(super) struct Watchman<'a> {
    pub(super) places: Vec<Place>,
    rules: &'a [NameRule],
    /// Host paths whose content is committed.
    shown: BTreeSet<PathBuf>,
    /// Host paths that existed at the start: the session's end compares them.
    tracked: BTreeSet<PathBuf>,
    /// Frozen names, by the host's path, and what they were when they were last known to be the host's.
    frozen: HashMap<PathBuf, Option<Inode>>,
    /// Those that the host has replaced since. The box may have had the file open, or linked, under the name that it had before.
    renewed: HashSet<PathBuf>,
    /// Hidden files.
    secrets: Secrets,
    /// Git directories that did not exist at the start.
    born: BTreeSet<PathBuf>,
    /// What is shown as a copy of the plan's own, by its path in the box.
    pub(super) covers: HashMap<PathBuf, CString>,
    /// Programs that are refused, and where some were found.
    pub(super) refused: &'a Refused,
    pub(super) tree: Tree,
    pub(super) view: Option<BoxView>,
    /// Names that were met before there was a box.
    early: BTreeSet<(usize, PathBuf, NameKind)>,
    pub(super) phase: Phase,
    pub(super) outbox: Outbox,
    stubs: Option<Stubs>,
    writers: Writers,
    sockets: Sockets,
}

impl<'a> Watchman<'a> {
    pub(super) fn new(plan: &'a Plan) -> Watchman<'a> {
        let mut places = place::places(plan);
        places.extend(place::program_places(plan));
        let mut tree = Tree::new();
        for (number, place) in places.iter().enumerate() {
            tree.later(Spot {
                place: number,
                rel: PathBuf::new(),
                cursor: place.start.clone(),
                within: Within::Rules,
            });
        }
        let of = |kind| {
            let found = plan.names.found.iter();
            found
                .filter(move |found| found.kind == kind)
                .map(|found| found.host.path().to_owned())
        };
        let own = |path: &OsText| path.path().to_owned();
        let shown = plan.names.shown.iter().map(own).collect();
        Watchman {
            rules: &plan.names.rules,
            shown,
            tracked: of(NameKind::Track).collect(),
            frozen: of(NameKind::Freeze).map(|path| (path, None)).collect(),
            renewed: HashSet::new(),
            secrets: Secrets::of(&plan.names, &places),
            born: BTreeSet::new(),
            covers: place::covers(plan),
            refused: &plan.refused,
            early: place::early(plan, &places),
            places,
            tree,
            view: None,
            phase: Phase::Before,
            outbox: Outbox::default(),
            stubs: Stubs::of(plan),
            writers: Writers::new(),
            sockets: Sockets::of(plan),
        }
    }

    /// This process has joined the box: covers what was met before, and looks once more at what the plan has covered.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn join(&mut self) -> Result<(), String> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |errno: Errno| format!("{what}: {errno}")
        };
        let (view, root) = BoxView::open().map_err(failed("the box's root"))?;
        for place in &mut self.places {
            place
                .join(root.as_fd())
                .map_err(failed(&place.path.display().to_string()))?;
        }
        self.view = Some(view);
        self.cover_all()?;
        for (place, rel, kind) in std::mem::take(&mut self.early) {
            self.close(place, &rel, kind)
                .map_err(failed(&rel.display().to_string()))?;
        }
        Ok(())
    }

    /// From now on the agent may be there.
    pub(super) fn run(&mut self) {
        self.phase = Phase::Running;
    }

    /// Watches and lists one more directory.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let Some(spot) = self.tree.next() else {
            return Ok(());
        };
        // What is there was covered by the plan a moment ago; thousands of names need no second look.
        if self.purpose(&spot) == Purpose::Programs && self.phase == Phase::Before {
            self.tree.watch(&self.places, &spot);
            return Ok(());
        }
        let names = self.tree.watch_and_list(&self.places, &spot);
        self.secrets.listing();
        let spot = self.as_git(spot, &names);
        self.names(&spot, names)
    }

    /// Looks at what cannot be watched, if it is time.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn poll(&mut self) -> Result<(), String> {
        self.look_into_the_rest();
        for spot in self.tree.due() {
            self.outbox.missed();
            // Thousands of programs, of which only names matter, and there may be a hundred boxes that poll.
            let programs = self.purpose(&spot) == Purpose::Programs;
            if programs && self.tree.is_as_listed(&self.places, &spot) {
                continue;
            }
            let names = self.tree.list_again(&self.places, &spot);
            self.names(&spot, names)?;
        }
        self.look_at_writers();
        self.look_at_sockets()?;
        self.look_at_stubs()
    }

    /// When to look at a name that nothing happens to.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.tree.deadline(),
            self.outbox.deadline(),
            self.stubs_due(),
            self.writers.due(),
            self.sockets.due().filter(|_| self.view.is_some()),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn names(&mut self, spot: &Spot, names: Vec<(OsString, What)>) -> Result<(), String> {
        for (name, what) in names {
            let listed = Name::listed(spot, &name);
            self.name(&Name { what, ..listed })?;
        }
        Ok(())
    }

    /// Acts upon what happened, as much as one read takes. Events that were lost are told by the answer.
    ///
    /// # Errors
    /// A name that cannot be closed.
    pub(super) fn events(&mut self) -> Result<Filled, String> {
        let filled = self.tree.fill();
        while let Some(event) = self.tree.event() {
            if event.name.is_empty() {
                self.inode_event(&event);
            }
            for spot in self.tree.spots(&event) {
                self.event(&event, &spot)?;
            }
        }
        if self.tree.take_unopened() {
            self.outbox.missed();
        }
        // Also those of a read that was made on the way.
        if self.tree.take_lost() {
            self.outbox.missed();
            self.everything_again();
            return Ok(Filled::Lost);
        }
        Ok(filled)
    }

    fn everything_again(&mut self) {
        for (number, place) in self.places.iter().enumerate() {
            self.tree.later(Spot {
                place: number,
                rel: PathBuf::new(),
                cursor: place.start.clone(),
                within: Within::Rules,
            });
        }
    }

    fn event(&mut self, event: &Happened, spot: &Spot) -> Result<(), String> {
        use AddWatchFlags as Mask;
        let name = event.name.as_os_str();
        if event.has(Mask::IN_CREATE | Mask::IN_MOVED_TO) {
            let Some((what, linked)) = self.what(spot, name) else {
                return Ok(());
            };
            let cause = if event.has(Mask::IN_MOVED_TO) {
                Cause::MovedIn
            } else {
                Cause::Made
            };
            self.name(&Name {
                spot,
                name,
                what,
                cause,
                linked,
            })?;
            if Shape::decides(name.as_bytes()) && self.purpose(spot) == Purpose::Names {
                self.shapes(spot)?;
            }
            return Ok(());
        }
        let file = self.host_path(spot, name);
        if event.has(Mask::IN_DELETE | Mask::IN_MOVED_FROM) {
            // Only the host can: in the box a frozen name is a mount point. What comes next under that name may be anybody's.
            self.frozen.remove(&file);
            self.renewed.remove(&file);
            self.forget_writers(spot, &file);
        }
        if event.has(Mask::IN_MODIFY | Mask::IN_CLOSE_WRITE) && self.renewed.contains(&file) {
            self.outbox.now(file.clone());
        }
        if event.has(Mask::IN_CLOSE_WRITE) {
            self.written(&file);
            if self.purpose(spot) == Purpose::Names {
                let it = Name {
                    cause: Cause::Made,
                    ..Name::listed(spot, name)
                };
                let said = self.said(spot, name, What::Other);
                self.look_into(&it, &file, &said);
            }
        }
        if event.has(Mask::IN_MODIFY | Mask::IN_CLOSE_WRITE) {
            self.overwritten(event, spot, &file)?;
        }
        if event.has(Mask::IN_DELETE | Mask::IN_MOVED_FROM) {
            self.secrets.forget(&file);
        }
        if event.has(Mask::IN_CLOSE_WRITE | Mask::IN_DELETE | Mask::IN_MOVED_FROM)
            && self.phase == Phase::Running
            && matches!(
                self.rule(spot, name, What::Other),
                Some((NameKind::Track, _))
            )
        {
            self.track(spot, &file, Cause::Made);
        }
        Ok(())
    }

    fn what(&mut self, spot: &Spot, name: &OsStr) -> Option<(What, Option<Inode>)> {
        let dir = self.tree.open(&self.places, spot)?;
        linked(dir.as_fd(), name)
    }

    fn host_path(&self, spot: &Spot, name: &OsStr) -> PathBuf {
        let place = self.places.get(spot.place);
        place.map_or_else(PathBuf::new, |place| place.path.join(&spot.rel).join(name))
    }

    fn name(&mut self, it: &Name<'_>) -> Result<(), String> {
        let file = self.host_path(it.spot, it.name);
        if self.purpose(it.spot) == Purpose::Programs {
            return self.program(it, &file);
        }
        if it.what == What::Socket {
            self.meet(it);
        }
        self.cover(it, &file)?;
        let said = self.said(it.spot, it.name, it.what);
        self.look_into(it, &file, &said);
        self.lure(it, &file, &said);
        let mut within = it.spot.within;
        match self.strongest(said, it.spot, it.name) {
            Some((NameKind::Hide, rule)) if self.hides(it, rule, &file) => {
                return self.hide(it, &file, rule);
            }
            _ if self.alias(it, &file)? => return Ok(()),
            Some((NameKind::Hide, _)) => {}
            None => self.link(it, &file),
            Some((NameKind::Freeze, _)) => {
                self.tree.watch_closely(&self.places, it.spot);
                if !self.leaves(it, &file) && self.freeze(it, &file)? == Covered::Link {
                    self.suspect(it, &file);
                }
                return Ok(());
            }
            Some((NameKind::Track, _)) => {
                self.tree.watch_closely(&self.places, it.spot);
                if self.is_config(it.spot, &file) {
                    self.watch_config(it, &file);
                }
                self.track(it.spot, &file, it.cause);
                within = Within::Tracked;
            }
        }
        let inner = below(&self.places, it.spot, it.name, within);
        let Some(inner) = inner.or_else(|| self.moved(it)) else {
            return Ok(());
        };
        match it.what {
            What::Dir => {
                if git::is_git_dir(&file) {
                    self.birth(&file);
                }
                if it.cause == Cause::Listed {
                    self.tree.later(inner);
                } else {
                    self.at_once(inner)?;
                }
            }
            // `.git -> elsewhere`, `.git/modules/x -> elsewhere`: what is behind it has other names than the rules know.
            What::Link if it.name.as_bytes().first() == Some(&b'.') || in_dot_git(&it.spot.rel) => {
                let inside = self
                    .places
                    .get(it.spot.place)
                    .is_some_and(|place| place.matcher.is_inside(&inner.cursor));
                if inside {
                    self.suspect(it, &file);
                }
            }
            What::Link | What::Socket | What::Pipe | What::Other => {}
        }
        Ok(())
    }

    /// A directory that was searched, and has got a name now that is not: the box may have put a link in its place.
    fn moved(&mut self, it: &Name<'_>) -> Option<Spot> {
        let is_new = it.what == What::Dir && it.cause == Cause::MovedIn;
        let spot = still_below(&self.places, it.spot, it.name).filter(|_| is_new)?;
        let watched = self.tree.is_watched(&self.places, &spot);
        watched.then_some(spot)
    }

    /// A directory that was just made or moved in: all of it, before anything else.
    fn at_once(&mut self, spot: Spot) -> Result<(), String> {
        let mut rest = vec![spot];
        // A tree that is larger waits in the queue with the others.
        for _ in 0..2_000 {
            let Some(spot) = rest.pop() else {
                return Ok(());
            };
            let names = self.tree.watch_and_list(&self.places, &spot);
            self.secrets.listing();
            let spot = self.as_git(spot, &names);
            for (name, what) in names {
                let listed = Name::listed(&spot, &name);
                self.name(&Name { what, ..listed })?;
            }
            // `name` has queued what is below.
            while let Some(next) = self.tree.next_below(&spot) {
                rest.push(next);
            }
        }
        for spot in rest {
            self.tree.later(spot);
        }
        Ok(())
    }

    fn close(&self, number: usize, rel: &Path, kind: NameKind) -> Result<Covered, Errno> {
        let (Some(view), Some(place)) = (&self.view, self.places.get(number)) else {
            return Ok(Covered::Gone);
        };
        match kind {
            NameKind::Hide => {
                let file = place.path.join(rel);
                self.mask(number, rel, &file).map(|(covered, _)| covered)
            }
            NameKind::Freeze => {
                let frozen = view.freeze(place, rel, Stay::Here);
                frozen.map(|(covered, _)| covered)
            }
            NameKind::Track => Ok(Covered::Already),
        }
    }
}
