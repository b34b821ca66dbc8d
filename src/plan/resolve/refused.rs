//! Where the programs of `[commands] deny` are: in the directories of PATH, in those of `[commands] search`, and under every
//! other name that leads to the same file there. Only what the box cannot write is covered: in the workspace a cover would
//! break whoever tidies up, and an agent can fetch a copy of its own there anyhow.

#![forbid(unsafe_code)]

use super::command;
use super::expand::{expand, parent};
use super::pathmap::{ByBytes, PathMap};
use super::scene::{Scene, show};
use crate::host::{FileType, Stat};
use crate::plan::refused::{AllowedName, Covers, RefuseRule, Refused, RefusedPlace};
use crate::plan::{Access, Kind, OsText};
use crate::policy::Wish;
use crate::policy::pattern;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Programs that are many: covering one because of one of its names would take the others away.
const MULTI_CALL: [&str; 6] = [
    "busybox",
    "toybox",
    "coreutils",
    "uutils",
    "sbase-box",
    "ubase-box",
];

/// So many names that are not refused make a file a program of many.
const MANY: usize = 3;

/// The most directories that a `*` stands for.
const MATCHES_MAX: usize = 512;

/// Finds them.
pub(super) fn refused(scene: &mut Scene<'_>) -> Refused {
    let mut out = rules(scene);
    out.stubs = stubs(scene, &out).into();
    if out.rules.is_empty() {
        return out;
    }
    let dirs = directories(scene);
    let mut search = Search {
        scene,
        refused: &out,
        dirs: &dirs,
        places: PathMap::new(),
        linked: Vec::new(),
    };
    search.names();
    search.single_files();
    search.other_names();
    let Search { places, .. } = search;
    out.places = places.into_iter().map(|(_, place)| place).collect();
    out.searched = dirs.into_iter().map(OsText::from).collect();
    out
}

/// A command that is refused itself is no start at all.
pub(super) fn refuse_command(
    scene: &mut Scene<'_>,
    refused: &Refused,
    command: &crate::plan::Command,
) {
    let name = Path::new(command.name.os()).file_name().unwrap_or_default();
    let covered = command.program.as_ref().and_then(|program| {
        let real = scene.real_of(program.path());
        let hit = |at: &Path| refused.places.iter().find(|place| place.path.path() == at);
        hit(program.path()).or_else(|| hit(&real))
    });
    let rule = refused.rule(name.as_bytes()).or_else(|| {
        let place = covered?;
        refused.rules.iter().find(|rule| rule.name == place.rule)
    });
    if let Some(rule) = rule {
        let name = OsText::from(name);
        scene.problem(
            format!("{name} is refused in the box"),
            if rule.origin.is_floor() {
                "only who administers this machine can change the floor".to_owned()
            } else {
                let always = match rule.origin.is_over_profiles() {
                    true => "that line is stronger than a profile",
                    false => "a profile says it with [commands] allow",
                };
                format!("--allow-command {name} lets it run; {always}")
            },
            Some(&rule.origin),
        );
    }
}

/// The rules that are left, and what the banner says of those that are lifted.
fn rules(scene: &mut Scene<'_>) -> Refused {
    let wishes = &scene.policy.wishes.programs;
    let mut out = Refused::default();
    // Some four hundred names: comparing each with each was a tenth of what a plan costs.
    let mut known = HashSet::with_capacity_and_hasher(wishes.deny.len(), ByBytes);
    // Of two that say the same, the floor's is the one to name.
    let (floor, rest): (Vec<_>, Vec<_>) = (wishes.deny.iter()).partition(|w| w.origin.is_floor());
    for Wish { value, origin } in floor.into_iter().chain(rest) {
        if known.insert(value.as_str()) {
            out.rules.push(RefuseRule {
                name: value.clone(),
                origin: origin.clone(),
            });
        }
    }
    for Wish { value, origin } in &wishes.allow {
        if !out.allowed.iter().any(|allowed| allowed.name == *value) {
            scene
                .notices
                .push(format!("the program {value} is not refused, by {origin}"));
            out.allowed.push(AllowedName {
                name: value.clone(),
                origin: origin.clone(),
            });
        }
    }
    out
}

/// The host's directory with the stubs of these rules: each set of rules has its own, made once.
fn stubs(scene: &Scene<'_>, refused: &Refused) -> PathBuf {
    // FNV-1a; whoever could choose the rules to make two sets alike could as well write the directory.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let texts = [refused.rules_text(), crate::plan::refused::stub_text()];
    let allowed = refused.allowed.iter().map(|allowed| allowed.name.as_str());
    for text in texts.iter().map(String::as_str).chain(allowed) {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let state = scene.xdg("XDG_STATE_HOME", ".local/state");
    scene.real_of(&state.join(format!("agentbox/refused/{hash:016x}")))
}

/// The directories that are searched, canonical, each once: they are shown in the box as they are on the host, and the box
/// cannot write them.
fn directories(scene: &mut Scene<'_>) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = Vec::new();
    let mut add = |scene: &Scene<'_>, path: &Path| {
        if let Some(walked) = scene.walk.follow(path)
            && walked.is_dir()
            && scene.tree.access(&walked.real) == Some(Access::Read)
            && !out.contains(&walked.real)
        {
            out.push(walked.real.clone());
        }
    };
    for entry in command::entries(scene) {
        add(scene, Path::new(&entry));
    }
    let policy = scene.policy;
    for wish in &policy.wishes.programs.search {
        let Some(path) = expand(scene, wish) else {
            continue;
        };
        for path in matching(scene, &path) {
            add(scene, &path);
        }
    }
    // What was granted besides: the directory itself and its `bin`.
    let elsewhere = |at: &Path| {
        !["/usr", "/etc", "/sys", "/var", "/run", "/nix", "/gnu"]
            .iter()
            .any(|dir| at.starts_with(dir))
    };
    let granted: Vec<PathBuf> = scene
        .tree
        .binds()
        .iter()
        .filter(|(at, shown)| shown.kind == Kind::Dir && elsewhere(at))
        .map(|(at, _)| at.clone())
        .collect();
    for at in granted {
        add(scene, &at.join("bin"));
        add(scene, &at);
    }
    out
}

/// The paths that a pattern stands for, as far as the box can see them: nothing else is looked at.
fn matching(scene: &Scene<'_>, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str();
        if !name.as_bytes().contains(&b'*') {
            found.iter_mut().for_each(|path| path.push(name));
            continue;
        }
        let Some(text) = name.to_str() else {
            return Vec::new();
        };
        let mut next = Vec::new();
        for dir in found {
            // By name first: most of these places do not exist, and each look costs.
            if scene.tree.holder(&dir).is_none() {
                continue;
            }
            let names = scene.walk.look.read_dir(&dir);
            let hits = names
                .iter()
                .filter(|n| pattern::matches(text, n.as_bytes()));
            next.extend(hits.map(|n| dir.join(n)));
        }
        next.truncate(MATCHES_MAX);
        found = next;
    }
    // On an unmerged or a merged /usr alike: a link as /bin is followed later, and is no mount of its own.
    found.retain(|path| scene.tree.holder(path).is_some() || path.components().count() == 2);
    found
}

struct Search<'a, 's> {
    scene: &'a Scene<'s>,
    refused: &'a Refused,
    dirs: &'a [PathBuf],
    places: PathMap<RefusedPlace>,
    /// Files with several names: device, inode, the place that is refused and its rule.
    linked: Vec<(u64, u64, PathBuf, String)>,
}

impl Search<'_, '_> {
    /// By name, in every directory.
    fn names(&mut self) {
        let (patterns, exact): (Vec<_>, Vec<_>) = self
            .refused
            .rules
            .iter()
            .map(|rule| rule.name.as_str())
            .partition(|name| pattern::is_pattern(name));
        let exact: Vec<&OsStr> = exact.into_iter().map(OsStr::new).collect();
        for dir in self.dirs {
            for (at, stat) in self.scene.walk.look.lstat_each(dir, &exact) {
                if let Some(name) = exact.get(at) {
                    self.found(&dir.join(name), stat);
                }
            }
            if patterns.is_empty() {
                continue;
            }
            for name in self.scene.walk.look.read_dir(dir) {
                let hit = |pattern: &&str| pattern::matches(pattern, name.as_bytes());
                if patterns.iter().any(hit)
                    && let Some(stat) = self.scene.walk.look.lstat(&dir.join(&name))
                {
                    self.found(&dir.join(&name), stat);
                }
            }
        }
    }

    /// Files that were granted one by one.
    fn single_files(&mut self) {
        let files: Vec<PathBuf> = self
            .scene
            .tree
            .binds()
            .iter()
            .filter(|(_, shown)| shown.kind == Kind::File && shown.access == Access::Read)
            .map(|(at, _)| at.clone())
            .collect();
        for at in files {
            let name = at.file_name().unwrap_or_default();
            if let Some(rule) = self.refused.rule(name.as_bytes()) {
                let rule = rule.name.clone();
                self.cover(&at, &rule, Covers::Program, None);
            }
        }
    }

    /// A refused name is in a directory.
    fn found(&mut self, path: &Path, stat: Stat) {
        let name = path.file_name().unwrap_or_default();
        let Some(rule) = self.refused.rule(name.as_bytes()) else {
            return;
        };
        let rule = rule.name.clone();
        match stat.file_type {
            FileType::File => self.file(path, &rule, stat, None),
            FileType::Symlink => self.link(path, &rule),
            FileType::Dir | FileType::Socket | FileType::Other => {}
        }
    }

    fn file(&mut self, path: &Path, rule: &str, stat: Stat, found: Option<&Path>) {
        self.cover(path, rule, Covers::Program, found);
        if stat.nlink > 1 {
            self.linked
                .push((stat.dev, stat.ino, path.to_owned(), rule.to_owned()));
        }
    }

    /// A link: what it leads to is the program, unless that is something else besides.
    fn link(&mut self, path: &Path, rule: &str) {
        let walked = self.scene.walk.follow(path);
        let target = walked.filter(|walked| {
            walked.stat.is_some_and(|stat| stat.file_type == FileType::File)
                // Elsewhere there is nothing that could be covered, or that should be.
                && self.scene.tree.access(&walked.real) == Some(Access::Read)
        });
        let Some(walked) = target else {
            return self.cover(path, rule, Covers::Program, None);
        };
        let Some(stat) = walked.stat else {
            return;
        };
        let real = &walked.real;
        let name = real.file_name().unwrap_or_default().as_bytes();
        let own = self.refused.rule(name).is_some() || version_of(name, rule.as_bytes());
        if own || !self.is_used_otherwise(real) {
            self.file(real, rule, stat, Some(path));
        } else {
            self.cover(path, rule, Covers::Name, Some(real));
        }
    }

    /// Is this file a program under a name that is not refused?
    fn is_used_otherwise(&self, real: &Path) -> bool {
        let searched = |at: &Path| parent(at).is_some_and(|dir| self.dirs.iter().any(|d| d == dir));
        searched(real) || self.leads_to(real)
    }

    /// Does a name of the directories that is not refused lead to it?
    fn leads_to(&self, real: &Path) -> bool {
        self.dirs.iter().any(|dir| {
            let names = self.scene.walk.look.read_dir(dir);
            names.iter().any(|name| {
                let at = dir.join(name);
                self.refused.rule(name.as_bytes()).is_none()
                    && self.scene.walk.look.read_link(&at).is_some()
                    && self.scene.walk.look.canonicalize(&at).as_deref() == Some(real)
            })
        })
    }

    /// The other names of files that have several: they are the same program, unless they are many.
    fn other_names(&mut self) {
        let linked = std::mem::take(&mut self.linked);
        if linked.is_empty() {
            return;
        }
        // All files of all directories, looked at once.
        let look = self.scene.walk.look;
        let mut aliases: Vec<(PathBuf, Stat)> = Vec::new();
        for dir in self.dirs {
            let names = look.read_dir(dir);
            let each: Vec<&OsStr> = names.iter().map(OsString::as_os_str).collect();
            for (at, stat) in look.lstat_each(dir, &each) {
                let several = stat.file_type == FileType::File && stat.nlink > 1;
                if let Some(name) = each.get(at).filter(|_| several) {
                    aliases.push((dir.join(name), stat));
                }
            }
        }
        for (dev, ino, place, rule) in linked {
            let same = aliases
                .iter()
                .filter(|(at, stat)| (stat.dev, stat.ino) == (dev, ino) && *at != place);
            let others: Vec<&PathBuf> = same
                .map(|(at, _)| at)
                .filter(|at| !self.places.contains_key(at))
                .collect();
            let multi = |at: &&PathBuf| {
                let name = at.file_name().unwrap_or_default();
                MULTI_CALL.iter().any(|multi| name == *multi)
            };
            if others.len() >= MANY || others.iter().any(multi) {
                let other = others.first().map(|at| at.as_path());
                self.cover(&place, &rule, Covers::Name, other);
                continue;
            }
            for other in others {
                self.cover(other, &rule, Covers::Program, Some(&place));
            }
        }
    }

    fn cover(&mut self, path: &Path, rule: &str, covers: Covers, found: Option<&Path>) {
        let place = RefusedPlace {
            path: path.into(),
            rule: rule.to_owned(),
            covers,
            found: found.filter(|found| *found != path).map(OsText::from),
        };
        self.places.merge(path.to_owned(), place, |old, new| {
            // The weaker word is the honest one.
            if new.covers == Covers::Name {
                old.covers = Covers::Name;
                old.found = new.found;
            }
        });
    }
}

/// `terraform-1.9`, `kubectl1.29`, `at.real`: the same program under the name of a version.
fn version_of(name: &[u8], rule: &[u8]) -> bool {
    name.strip_prefix(rule)
        .and_then(<[u8]>::first)
        .is_some_and(|next| !next.is_ascii_alphabetic())
}

/// What the plan says of names that are refused by name only, for people.
pub(super) fn notices(scene: &mut Scene<'_>, refused: &Refused) {
    for place in &refused.places {
        if place.covers == Covers::Name {
            let file = place.found.as_ref().unwrap_or(&place.path);
            scene.notices.push(format!(
                "{} is refused by this name only: {file} has other uses and stays",
                show(place.path.path())
            ));
        }
    }
}
