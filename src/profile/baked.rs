//! The built-in profiles as data of the program: every start needs some of them, and parsing their TOML would cost a tenth
//! of it. [`tables`], a file for each profile, is generated from `profiles/*.toml`; a test holds both together, and with the environment variable
//! `AGENTBOX_BLESS=1` it writes the files anew: `AGENTBOX_BLESS=1 cargo test --lib profile::baked`.

#![forbid(unsafe_code)]

#[rustfmt::skip]
mod tables;

use super::schema::Parsed;
use crate::outcome::Layer;
use crate::plan::names::{Holds, Verdict};
use crate::plan::net::{Mark, Rule, Target};
use crate::plan::rung::Rung;
use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
use crate::policy::{
    Authority, CommandWishes, EgressWishes, EnvWishes, FileWishes, Fragment, LimitWish, NameWish,
    Origin, PathWish, Wish,
};

/// A text and its line.
type Line = (&'static str, u32);

/// A path, `?`, trailing `/`, its line.
type PathLine = (&'static str, bool, bool, u32);

/// A pattern, what it says, a condition, its line.
type NameLine = (&'static str, Verdict, Option<Holds>, u32);

/// A rule of the network: what its name is, the name, ports, marks, its line.
type RuleLine = (Named, &'static str, &'static [u16], &'static [Mark], u32);

/// What of [`Target`] a built-in profile uses.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// The name itself.
    Exactly,
    /// What is below it.
    Under,
}

/// What [`Fragment`] and [`Parsed`] hold, without an allocation.
struct Table {
    name: &'static str,
    description: Option<&'static str>,
    /// With the range of bytes in the TOML.
    extends: &'static [(&'static str, usize, usize)],
    commands: &'static [&'static str],
    read: &'static [PathLine],
    write: &'static [PathLine],
    state: &'static [PathLine],
    private: &'static [PathLine],
    project: &'static [PathLine],
    refuse: &'static [Line],
    allow: &'static [Line],
    search: &'static [PathLine],
    hide: &'static [NameLine],
    protect: &'static [NameLine],
    track: &'static [NameLine],
    hard_links: Option<(HardLinks, u32)>,
    keep: &'static [Line],
    deny: &'static [Line],
    set: &'static [(&'static str, &'static str, u32)],
    network: Option<(NetworkMode, u32)>,
    reach: &'static [RuleLine],
    shun: &'static [RuleLine],
    limits: &'static [(LimitName, LimitWish, u32)],
    stop_grace: Option<(f64, u32)>,
    require: &'static [(Layer, u32)],
    allow_missing: &'static [(Layer, u32)],
    layers_off: &'static [(Layer, u32)],
    rung: Option<(Rung, u32)>,
    stop_files: &'static [Line],
    notices: &'static [Line],
}

/// The built-in profile of that name, as [`super::schema::parse`] understands its text.
pub(super) fn parsed(name: &str) -> Option<Parsed> {
    tables::ALL
        .into_iter()
        .find(|table| table.name == name)
        .map(Table::parsed)
}

impl Table {
    fn parsed(&self) -> Parsed {
        Parsed {
            fragment: Fragment {
                name: self.name.to_owned(),
                authority: Authority::Full,
                description: self.description.map(str::to_owned),
                commands: self.commands.iter().map(|c| (*c).to_owned()).collect(),
                files: FileWishes {
                    read: self.paths(self.read),
                    write: self.paths(self.write),
                    state: self.paths(self.state),
                    private: self.paths(self.private),
                    project: self.paths(self.project),
                    hide: self.names(self.hide),
                    protect: self.names(self.protect),
                    track: self.names(self.track),
                },
                hard_links: self.hard_links.map(|(rule, line)| self.wish(rule, line)),
                programs: CommandWishes {
                    deny: self.texts(self.refuse),
                    allow: self.texts(self.allow),
                    search: self.paths(self.search),
                },
                env: EnvWishes {
                    keep: self.texts(self.keep),
                    deny: self.texts(self.deny),
                    set: self
                        .set
                        .iter()
                        .map(|(name, value, line)| {
                            (OsText::from(*name), self.wish(OsText::from(*value), *line))
                        })
                        .collect(),
                    given: Vec::new(),
                },
                network: self.network.map(|(mode, line)| self.wish(mode, line)),
                egress: EgressWishes {
                    allow: self.rules(self.reach),
                    deny: self.rules(self.shun),
                    ..EgressWishes::default()
                },
                limits: self
                    .limits
                    .iter()
                    .map(|(name, wish, line)| (*name, self.wish(*wish, *line)))
                    .collect(),
                stop_grace: self.stop_grace.map(|(secs, line)| self.wish(secs, line)),
                require: self.layers(self.require),
                allow_missing: self.layers(self.allow_missing),
                layers_off: self.layers(self.layers_off),
                rung: self.rung.map(|(rung, line)| self.wish(rung, line)),
                nested: None,
                stop_files: self.texts(self.stop_files),
                // No built-in profile says it.
                hangup: None,
                // Whose switch it would be is known to no built-in profile.
                remotes: Vec::new(),
                team: None,
                notices: self.texts(self.notices),
                // What an agent is told beside its own words is for its user to say.
                arguments: Vec::new(),
                // What is built in holds everywhere.
                when: Vec::new(),
                conditions: Vec::new(),
            },
            extends: self
                .extends
                .iter()
                .map(|(name, from, to)| ((*name).to_owned(), *from..*to))
                .collect(),
            // They are read from the text by who asks them.
            tests: Vec::new(),
        }
    }

    fn wish<T>(&self, value: T, line: u32) -> Wish<T> {
        Wish {
            value,
            origin: Origin::Builtin {
                profile: self.name.to_owned(),
                line,
            },
        }
    }

    fn paths(&self, list: &[PathLine]) -> Vec<Wish<PathWish>> {
        list.iter()
            .map(|(path, optional, make_dir, line)| {
                let path = PathWish {
                    path: OsText::from(*path),
                    optional: *optional,
                    make_dir: *make_dir,
                };
                self.wish(path, *line)
            })
            .collect()
    }

    fn names(&self, list: &[NameLine]) -> Vec<Wish<NameWish>> {
        list.iter()
            .map(|(pattern, verdict, holds, line)| {
                let name = NameWish {
                    pattern: OsText::from(*pattern),
                    verdict: *verdict,
                    holds: *holds,
                };
                self.wish(name, *line)
            })
            .collect()
    }

    fn texts(&self, list: &[Line]) -> Vec<Wish<String>> {
        list.iter()
            .map(|(text, line)| self.wish((*text).to_owned(), *line))
            .collect()
    }

    fn rules(&self, list: &[RuleLine]) -> Vec<Wish<Rule>> {
        list.iter()
            .map(|(named, name, ports, marks, line)| {
                let to = match named {
                    Named::Exactly => Target::Name((*name).to_owned()),
                    Named::Under => Target::Under((*name).to_owned()),
                };
                let rule = Rule {
                    to,
                    ports: ports.to_vec(),
                    marks: marks.to_vec(),
                };
                self.wish(rule, *line)
            })
            .collect()
    }

    fn layers(&self, list: &[(Layer, u32)]) -> Vec<Wish<Layer>> {
        list.iter()
            .map(|(layer, line)| self.wish(*layer, *line))
            .collect()
    }
}

#[cfg(test)]
#[path = "baked_tests.rs"]
mod tests;
