//! `under`: what the organisation's floor leaves of a merged policy. It comes after everything, the command line too, and
//! only forbids. A flag that it would make mean nothing is a [`Breach`], for which nothing starts; what a file says against
//! it is left out, and a notice says so.

#![forbid(unsafe_code)]

use super::egress::{EgressWishes, Ports};
use super::merge;
use super::pattern::{is_pattern, matches};
use super::tighten::{harm, width};
use super::{CommandWishes, EnvWishes, FileWishes, Fragment, LimitWish, Origin, Wish};
use crate::plan::net::cover::covers;
use crate::plan::rung::{Nested, Rung};
use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
use std::fmt;

/// A flag that asks for what the floor forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The flag with its value: `--net host`.
    pub flag: String,
    /// What the floor says of it.
    pub says: String,
    /// Its line.
    pub floor: Origin,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.flag, self.says, self.floor)?;
        f.write_str("; only who administers this machine can change that: leave the flag out")
    }
}

/// Lays the floor under everything that is wished. `memory` is the host's in bytes, where it is known: one source may speak of
/// a share of it and the other of a size. Destructured in full: a new field breaks the build here, where it has to be decided
/// what a floor says with it.
pub(super) fn under(into: &mut Fragment, floor: Fragment, memory: Option<f64>) -> Vec<Breach> {
    let Fragment {
        name: _,
        authority: _,
        description: _,
        commands: _,
        files,
        hard_links,
        programs,
        env,
        network,
        egress,
        limits,
        stop_grace: _,
        require,
        allow_missing: _,
        layers_off: _,
        rung,
        nested,
        stop_files,
        hangup: _,
        remotes,
        team,
        notices: _,
        arguments: _,
        when: _,
        conditions: _,
    } = floor;
    let mut out = Overruled::default();

    // Names are decided where paths are known: there the floor's rules come last, and a grant on the command line of what
    // they hide is refused.
    let FileWishes { hide, protect, .. } = files;
    into.files.hide.extend(hide);
    into.files.protect.extend(protect);

    if let Some(wish) = hard_links {
        hard_links_under(into, wish, &mut out);
    }
    programs_under(&mut into.programs, programs, &mut out);
    env_under(&mut into.env, env, &mut out);
    if let Some(wish) = network {
        network_under(into, wish, &mut out);
    }
    egress_under(&mut into.egress, egress, &mut out);
    for (name, wish) in limits {
        limit_under(into, name, wish, memory, &mut out);
    }
    for wish in &require {
        for (flag, list) in [
            ("--allow-missing", &into.allow_missing),
            ("off", &into.layers_off),
        ] {
            let said = list.iter().filter(|known| known.value == wish.value);
            for known in said {
                let layer = wish.value.name();
                out.say(
                    &known.origin,
                    &format!("{flag} {layer}"),
                    "the layer is required",
                    &wish.origin,
                );
            }
        }
    }
    merge::add_layers(into, require, Vec::new(), Vec::new());
    if let Some(wish) = nested.filter(|wish| wish.value == Nested::Refuse) {
        nested_under(into, &wish.origin, "it is refused", &mut out);
    }
    if let Some(wish) = rung {
        if wish.value < Rung::Nested {
            let says = format!("the lowest rung that is allowed is {}", wish.value);
            nested_under(into, &wish.origin, &says, &mut out);
        }
        rung_under(into, wish, &mut out);
    }
    into.stop_files.extend(stop_files);
    into.remotes.extend(remotes);
    if let Some(wish) = team {
        if let Some(known) = into.team.as_ref().filter(|known| known.value != wish.value) {
            let what = format!("kill-switch.team \"{}\"", known.value);
            out.say(
                &known.origin,
                &what,
                &format!("the team is \"{}\"", wish.value),
                &wish.origin,
            );
        }
        into.team = Some(wish);
    }
    into.notices.extend(out.notices);
    out.breaches
}

/// No sandbox within the box, whoever allows one.
fn nested_under(into: &mut Fragment, floor: &Origin, says: &str, out: &mut Overruled) {
    let allowed = into.nested.as_ref();
    if let Some(known) = allowed.filter(|known| known.value == Nested::Allow) {
        let flag = format!("--nested {}", known.value.word());
        out.say(&known.origin, &flag, says, floor);
        into.nested = Some(Wish {
            value: Nested::Refuse,
            origin: floor.clone(),
        });
    }
}

/// Without a word nothing below the full rung is accepted, and a floor lowers nothing.
fn rung_under(into: &mut Fragment, wish: Wish<Rung>, out: &mut Overruled) {
    let Some(known) = into.rung.as_ref().filter(|known| known.value > wish.value) else {
        return;
    };
    let says = format!("the lowest rung that is allowed is {}", wish.value);
    let flag = format!("--rung {}", known.value);
    out.say(&known.origin, &flag, &says, &wish.origin);
    into.rung = Some(wish);
}

fn hard_links_under(into: &mut Fragment, wish: Wish<HardLinks>, out: &mut Overruled) {
    let now = into.hard_links.as_ref();
    let (value, origin) = match now {
        Some(now) => (now.value, Some(&now.origin)),
        None => (HardLinks::default(), None),
    };
    if harm(wish.value) >= harm(value) {
        return;
    }
    if let Some(origin) = origin {
        let says = format!("at most \"{}\" is allowed", word(wish.value));
        out.say(
            origin,
            &format!("--hard-links {}", word(value)),
            &says,
            &wish.origin,
        );
    }
    into.hard_links = Some(wish);
}

fn word(rule: HardLinks) -> &'static str {
    let mut all = HardLinks::ALL.iter();
    all.find(|(_, known)| *known == rule)
        .map_or("", |(word, _)| word)
}

fn programs_under(into: &mut CommandWishes, floor: CommandWishes, out: &mut Overruled) {
    for deny in &floor.deny {
        let lifted = into.allow.iter();
        for allow in lifted.filter(|allow| matches(&deny.value, allow.value.as_bytes())) {
            let says = format!(
                "the program is refused by [commands] deny \"{}\"",
                deny.value
            );
            out.say(
                &allow.origin,
                &format!("--allow-command {}", allow.value),
                &says,
                &deny.origin,
            );
        }
    }
    let deny = floor.deny;
    merge::add_programs(
        into,
        CommandWishes {
            deny,
            ..CommandWishes::default()
        },
    );
}

fn env_under(into: &mut EnvWishes, floor: EnvWishes, out: &mut Overruled) {
    for deny in &floor.deny {
        let hit = |name: &OsText| matches(&deny.value, name.bytes());
        let says = format!("the variable is kept out by [env] deny \"{}\"", deny.value);
        let kept = into.keep.iter().filter(|keep| {
            // A pattern is let in as far as the floor leaves it.
            keep.value == deny.value
                || !is_pattern(&keep.value) && matches(&deny.value, keep.value.as_bytes())
        });
        for keep in kept {
            out.say(
                &keep.origin,
                &format!("--env {}", keep.value),
                &says,
                &deny.origin,
            );
        }
        for given in into.given.iter().filter(|given| hit(&given.value)) {
            out.say(
                &given.origin,
                &format!("--env {}", given.value),
                &says,
                &deny.origin,
            );
        }
        for (name, wish) in into.set.iter().filter(|(name, _)| hit(name)) {
            out.say(
                &wish.origin,
                &format!("env.set {name}"),
                &says,
                &deny.origin,
            );
        }
        into.set.retain(|(name, _)| !hit(name));
        into.given.retain(|given| !hit(&given.value));
    }
    let deny = floor.deny;
    merge::add_env(
        into,
        EnvWishes {
            deny,
            ..EnvWishes::default()
        },
    );
}

fn network_under(into: &mut Fragment, wish: Wish<NetworkMode>, out: &mut Overruled) {
    // Nobody asked for a network: there is none.
    let Some(now) = into
        .network
        .as_ref()
        .filter(|now| width(now.value) > width(wish.value))
    else {
        return;
    };
    let says = format!("the network is at most \"{}\"", wish.value.name());
    // The mode may have been meant by another flag (`--allow HOST`): that one is named.
    let flag = match &now.origin {
        Origin::Cli { flag } if flag != "--net" => flag.clone(),
        _ => format!("--net {}", now.value.name()),
    };
    out.say(&now.origin, &flag, &says, &wish.origin);
    into.network = Some(wish);
}

fn egress_under(into: &mut EgressWishes, floor: EgressWishes, out: &mut Overruled) {
    for deny in floor.deny {
        let covered = into.allow.iter();
        for allow in covered.filter(|allow| covers(&deny.value.to, &deny.value.ports, &allow.value))
        {
            let says = format!("the host is denied by [network] deny \"{}\"", deny.value.to);
            out.say(
                &allow.origin,
                &format!("--allow {}", allow.value.to),
                &says,
                &deny.origin,
            );
        }
        into.deny.push(deny);
    }
    if let Some(only) = floor.only_host_ports {
        let flag = |port: &u16| (*port, format!("--host-port {port}"));
        let says = "host-ports of the floor has no such port";
        only_ports(&mut into.host_ports, &only, says, flag, out);
        into.only_host_ports = Some(only);
    }
    if let Some(only) = floor.only_publish {
        let flag = |ports: &Ports| {
            let Ports { host, inside } = ports;
            (*host, format!("--publish {host}:{inside}"))
        };
        let says = "publish of the floor has no such port of the host";
        only_ports(&mut into.publish, &only, says, flag, out);
        into.only_publish = Some(only);
    }
}

/// What of the ports is in the floor's list stays.
fn only_ports<T>(
    wishes: &mut Vec<Wish<T>>,
    only: &Wish<Vec<u16>>,
    says: &str,
    port_and_flag: impl Fn(&T) -> (u16, String),
    out: &mut Overruled,
) {
    wishes.retain(|wish| {
        let (port, flag) = port_and_flag(&wish.value);
        let stays = only.value.contains(&port);
        if !stays {
            out.say(
                &wish.origin,
                &flag,
                &format!("{says} as {port}"),
                &only.origin,
            );
        }
        stays
    });
}

fn limit_under(
    into: &mut Fragment,
    name: LimitName,
    wish: Wish<LimitWish>,
    memory: Option<f64>,
    out: &mut Overruled,
) {
    let at = into.limits.iter().rposition(|(known, _)| *known == name);
    let now = at.and_then(|at| into.limits.get(at)).map(|(_, wish)| wish);
    let fits = now.is_some_and(|now| {
        let (now, most) = (absolute(now.value, memory), absolute(wish.value, memory));
        matches!((now, most), (Some(now), Some(most)) if now <= most)
    });
    if fits || wish.value == LimitWish::Unlimited {
        return;
    }
    if let Some(now) = now {
        let flag = format!("--limit {}", name.word());
        out.say(
            &now.origin,
            &flag,
            "the floor's limit is lower",
            &wish.origin,
        );
    }
    into.limits.retain(|(known, _)| *known != name);
    into.limits.push((name, wish));
}

/// In the unit of the limit; `None` for no limit, or for a share of what is not known.
fn absolute(wish: LimitWish, memory: Option<f64>) -> Option<f64> {
    let share = |percent: f64| memory.map(|memory| memory * percent / 100.0);
    match wish {
        LimitWish::Value(value) => Some(value),
        LimitWish::Percent(percent) => share(percent),
        LimitWish::Least { percent, value } => {
            Some(share(percent).map_or(value, |share| share.min(value)))
        }
        LimitWish::Unlimited => None,
    }
}

/// What does not count any more.
#[derive(Default)]
struct Overruled {
    breaches: Vec<Breach>,
    notices: Vec<Wish<String>>,
}

impl Overruled {
    /// A wish that the floor is stronger than. Of a built-in profile it is no news: it was written for everybody.
    fn say(&mut self, origin: &Origin, what: &str, says: &str, floor: &Origin) {
        match origin {
            Origin::Cli { .. } => self.breaches.push(Breach {
                flag: what.to_owned(),
                says: says.to_owned(),
                floor: floor.clone(),
            }),
            Origin::File { .. } | Origin::Project { .. } => self.notices.push(Wish {
                value: format!("left out of {origin}: {says} ({floor})"),
                origin: Origin::agentbox("the floor"),
            }),
            Origin::Builtin { .. } | Origin::Agentbox { .. } | Origin::Floor { .. } => {}
        }
    }
}

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
