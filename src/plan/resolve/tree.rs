//! [`Tree`]: everything that the box shows, by place. What is asked for twice, or lies in something already shown, is one
//! mount: each costs about 10 us, and rename(2) across two of them is EXDEV.

#![forbid(unsafe_code)]

use super::expand::{below, same, upward};
use super::pathmap::PathMap;
use super::walk::Walked;
use crate::plan::{Access, Kind};
use std::path::{Path, PathBuf};

/// A mount of a host path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) source: PathBuf,
    pub(super) access: Access,
    pub(super) kind: Kind,
    pub(super) create: bool,
    /// The owner of the source, for id-mapping; `None` when it does not exist yet.
    pub(super) owner: Option<u32>,
}

/// A file or directory reached through a link: how it is shown depends on what else is shown.
struct ThroughLink {
    link: PathBuf,
    shown: Shown,
}

/// A link and the directory that it leads to, should a place of the box's own be where the link is on the host.
struct Link {
    to: PathBuf,
    /// The path as typed, what it leads to.
    instead: Option<(PathBuf, Shown)>,
}

/// What the box shows.
#[derive(Default)]
pub(super) struct Tree {
    binds: PathMap<Shown>,
    through: Vec<ThroughLink>,
    links: PathMap<Link>,
    /// Places of the box's own (HOME, /tmp, ...): what lies around them on the host does not reach into them.
    fences: Vec<PathBuf>,
}

impl Tree {
    pub(super) fn new(fences: Vec<PathBuf>) -> Self {
        Tree {
            fences,
            ..Tree::default()
        }
    }

    /// `path` and its parents, as far as a mount there reaches down to `path`.
    fn reach<'p>(&self, path: &'p Path) -> impl Iterator<Item = &'p Path> {
        upward(path).take_while(|dir| !self.fences.iter().any(|fence| same(fence, dir)))
    }

    /// Adds what `walked` found. Returns the path in the box.
    pub(super) fn show(&mut self, typed: &Path, walked: &Walked, shown: Shown) {
        let link_of_file = walked
            .last_link
            .as_ref()
            .filter(|_| shown.kind == Kind::File);
        for (at, to) in &walked.links {
            let link = self.links.get_or_insert_with(at, || Link {
                to: to.clone(),
                instead: None,
            });
            if let Some(link) = link {
                link.instead
                    .get_or_insert_with(|| (typed.to_owned(), shown.clone()));
            }
        }
        match link_of_file {
            Some(link) => self.through.push(ThroughLink {
                link: link.clone(),
                shown,
            }),
            None => self.bind(walked.real.clone(), shown),
        }
    }

    /// Adds a mount at `target`; the wider of two wishes wins.
    pub(super) fn bind(&mut self, target: PathBuf, shown: Shown) {
        self.binds.merge(target, shown, |old, shown| {
            old.access = old.access.max(shown.access);
            old.create |= shown.create;
        });
    }

    /// Adds the links that lead to something which is shown anyway.
    pub(super) fn links(&mut self, walked: &Walked) {
        for (at, to) in &walked.links {
            self.links.get_or_insert_with(at, || Link {
                to: to.clone(),
                instead: None,
            });
        }
    }

    /// The widest access with which a canonical path of the host is visible at the same path in the box.
    pub(super) fn access(&self, real: &Path) -> Option<Access> {
        self.reach(real)
            .filter_map(|dir| self.binds.get_key_value(dir))
            .filter(|(target, shown)| same(target, &shown.source))
            .map(|(_, shown)| shown.access)
            .max()
    }

    /// The directory mount that shows `path` or holds it.
    pub(super) fn holder(&self, path: &Path) -> Option<(&Path, &Shown)> {
        self.reach(path).find_map(|dir| {
            self.binds
                .get_key_value(dir)
                .filter(|(_, shown)| shown.kind == Kind::Dir || same(dir, path))
                .map(|(target, shown)| (target.as_path(), shown))
        })
    }

    /// Are the links on the way in the box, made or in a tree that is shown?
    pub(super) fn has_links(&self, walked: &Walked, made: &PathMap<PathBuf>) -> bool {
        walked.links.iter().all(|(at, _)| {
            made.contains_key(at) || self.holder(at).is_some() || self.is_behind(made, at)
        })
    }

    /// Is a canonical path of the host in a tree that is shown behind a link of the box's own, which leads elsewhere than to what
    /// the host has there? No other link can be above such a path.
    pub(super) fn is_behind(&self, links: &PathMap<PathBuf>, real: &Path) -> bool {
        let moved = real.ancestors().skip(1).find_map(|dir| {
            let rest = real.strip_prefix(dir).ok()?;
            Some(links.get(dir)?.join(rest))
        });
        let shown = moved.as_deref().and_then(|at| {
            let (target, shown) = self.holder(at)?;
            Some(shown.source.join(at.strip_prefix(target).ok()?))
        });
        shown.is_some_and(|shown| shown == real)
    }

    /// The mounts, parents first.
    pub(super) fn binds(&self) -> &PathMap<Shown> {
        &self.binds
    }

    /// The mounts, for the last changes.
    pub(super) fn take_binds(&mut self) -> PathMap<Shown> {
        std::mem::take(&mut self.binds)
    }

    /// Decides what is left open, now that everything is known. `own` says whether a place is the box's own, where no link
    /// of the host's can be. Returns the links that have to be made.
    pub(super) fn settle(&mut self, own: &dyn Fn(&Path) -> bool) -> PathMap<PathBuf> {
        for ThroughLink { link, shown } in std::mem::take(&mut self.through) {
            let visible = self
                .access(&shown.source)
                .is_some_and(|access| access >= shown.access);
            if visible {
                continue;
            }
            if self.holder(&link).is_some() {
                // The link itself is in a tree that is shown: it leads to the real path.
                self.bind(shown.source.clone(), shown);
            } else {
                // Shown as a file at the link's place: nothing else of where it leads has to be in the box.
                self.links.retain(|at| !same(at, &link));
                self.bind(link, shown);
            }
        }
        let mut out = PathMap::new();
        let links = std::mem::take(&mut self.links);
        for (at, link) in links {
            if self.holder(&at).is_some() {
                continue;
            }
            if !own(&at) {
                out.insert(at, link.to);
            } else if let Some((typed, shown)) = link.instead {
                self.bind(typed, shown);
            }
        }
        self.prune();
        out
    }

    /// Drops a mount inside another of at least the same access.
    fn prune(&mut self) {
        let all = std::mem::take(&mut self.binds);
        let mut kept: PathMap<Shown> = PathMap::new();
        for (target, shown) in all {
            // The nearest: a place of the box's own between the two covers what the wider one shows.
            let holder = self.reach(&target).skip(1).find_map(|dir| {
                let parent = kept.get(dir).filter(|parent| parent.kind == Kind::Dir);
                parent.map(|parent| (dir, parent))
            });
            let inside = holder.is_some_and(|(dir, parent)| {
                // The same file: the parent's source and the child's continue alike.
                parent.access >= shown.access
                    && continues(&parent.source, dir, &shown.source, &target)
            });
            // A directory that has to be made first stays, unless it is there.
            if !inside || (shown.create && shown.owner.is_none()) {
                kept.insert(target, shown);
            }
        }
        self.binds = kept;
    }
}

/// Does `inner` continue `source` as `target`, which lies in `dir`, continues `dir`?
fn continues(source: &Path, dir: &Path, inner: &Path, target: &Path) -> bool {
    below(target, dir)
        .zip(below(inner, source))
        .is_some_and(|(a, b)| a == b)
}
