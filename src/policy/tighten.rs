//! What a project's own file may say: an agent could have written it, so it may only make the box narrower. Everything else
//! of it is left out, and named.

#![forbid(unsafe_code)]

use super::egress::EgressWishes;
use super::merge;
use super::{CommandWishes, EnvWishes, FileWishes, Fragment, LimitWish, NameWish, Origin, Wish};
use crate::plan::names::Verdict;
use crate::plan::rung::{Nested, Rung};
use crate::plan::{HardLinks, LimitName, NetworkMode};

/// Adds what makes `into` narrower and says what was left out: `files.read (line 3)`. Destructured in full: a new field
/// breaks the build here, where it has to be decided which way is narrower.
pub(super) fn tighten(into: &mut Fragment, project: Fragment) -> Vec<String> {
    let Fragment {
        name: _,
        authority: _,
        description: _,
        commands: _,
        files,
        programs,
        env,
        network,
        egress,
        limits,
        stop_grace,
        require,
        allow_missing,
        layers_off,
        rung,
        nested,
        stop_files,
        remotes,
        team,
        hangup,
        hard_links,
        notices,
        arguments,
        when,
        conditions: _,
    } = project;
    let mut out = Left::default();
    // What nobody decided is refused later: it may forbid something.
    into.when.extend(when);

    let FileWishes {
        read,
        write,
        state,
        private,
        project,
        hide,
        protect,
        track,
    } = files;
    for (key, list) in [
        ("files.read", read),
        ("files.write", write),
        ("files.state", state),
        ("files.private", private),
        ("files.project", project),
    ] {
        out.all(key, &list);
    }
    into.files.hide.extend(narrow("files.hide", hide, &mut out));
    let protect = narrow("files.protect", protect, &mut out);
    into.files.protect.extend(protect);
    // What is tracked may be written while the box runs: a frozen name must not become one of these.
    out.all("files.track", &track);

    if let Some(wish) = hard_links {
        let now = into.hard_links.as_ref();
        let now = now.map_or(HardLinks::default(), |now| now.value);
        if harm(wish.value) < harm(now) {
            into.hard_links = Some(wish);
        } else if wish.value != now {
            out.one("files.hard-links", &wish.origin);
        }
    }

    let CommandWishes {
        deny,
        allow,
        search,
    } = programs;
    out.all("commands.allow", &allow);
    out.all("commands.search", &search);
    let deny = CommandWishes {
        deny,
        ..CommandWishes::default()
    };
    merge::add_programs(&mut into.programs, deny);

    let EnvWishes {
        keep,
        deny,
        set,
        given: _,
    } = env;
    out.all("env.keep", &keep);
    out.each("env.set", set.iter().map(|(_, wish)| &wish.origin));
    let deny = EnvWishes {
        deny,
        ..EnvWishes::default()
    };
    merge::add_env(&mut into.env, deny);

    if let Some(wish) = network {
        // Nobody asked for a network: there is none.
        let now = into
            .network
            .as_ref()
            .map_or(NetworkMode::None, |now| now.value);
        if width(wish.value) < width(now) {
            into.network = Some(wish);
        } else if now != wish.value {
            out.one("network.mode", &wish.origin);
        }
    }
    let EgressWishes {
        allow,
        deny,
        host_ports,
        publish,
        hosts,
        ssh_hosts,
        ssh_keys,
        only_host_ports: _,
        only_publish: _,
    } = egress;
    out.all("network.allow", &allow);
    out.all("network.host-ports", &host_ports);
    out.all("network.publish", &publish);
    out.each("network.hosts", hosts.iter().map(|(_, wish)| &wish.origin));
    out.all("ssh.hosts", &ssh_hosts);
    out.all("ssh.keys", &ssh_keys);
    into.egress.deny.extend(deny);

    for (name, wish) in limits {
        limit(into, name, wish, &mut out);
    }
    out.each(
        "limits.stop-grace",
        stop_grace.iter().map(|wish| &wish.origin),
    );
    let allowed = (into.nested.as_ref()).is_some_and(|now| now.value == Nested::Allow);
    match nested {
        Some(wish) if wish.value == Nested::Refuse => into.nested = Some(wish),
        Some(wish) if !allowed => out.one("layers.nested", &wish.origin),
        _ => {}
    }
    if let Some(wish) = rung {
        if allowed && wish.value < Rung::Nested {
            into.nested = Some(Wish {
                value: Nested::Refuse,
                origin: wish.origin.clone(),
            });
        }
        // Without a word the full one is wanted: nothing is higher.
        let now = into.rung.as_ref().map_or(Rung::Full, |now| now.value);
        if wish.value < now {
            into.rung = Some(wish);
        } else if wish.value != now {
            out.one("layers.rung", &wish.origin);
        }
    }
    out.each("session.hangup", hangup.iter().map(|wish| &wish.origin));
    merge::add_layers(into, require, Vec::new(), Vec::new());
    out.all("layers.allow-missing", &allow_missing);
    out.all("layers.off", &layers_off);
    into.stop_files.extend(stop_files);
    // It could name a program, or a place that says who works here.
    out.all("kill-switch.remote", &remotes);
    out.each("kill-switch.team", team.iter().map(|wish| &wish.origin));
    out.all("agent.notices", &notices);
    out.all("agent.arguments", &arguments);
    out.0
}

/// Names of the working copy, without a condition and without `!`: in each of the others a weaker rule might end.
fn narrow(key: &str, list: Vec<Wish<NameWish>>, out: &mut Left) -> Vec<Wish<NameWish>> {
    list.into_iter()
        .filter(|wish| {
            let NameWish {
                pattern,
                verdict,
                holds,
            } = &wish.value;
            let fits = *verdict == Verdict::Applies
                && holds.is_none()
                && pattern.bytes().starts_with(b"${workspace}/");
            if !fits {
                out.one(key, &wish.origin);
            }
            fits
        })
        .collect()
}

pub(super) fn harm(links: HardLinks) -> u8 {
    match links {
        HardLinks::Refuse => 0,
        HardLinks::Copy => 1,
        HardLinks::Allow => 2,
    }
}

pub(super) fn width(mode: NetworkMode) -> u8 {
    match mode {
        NetworkMode::None => 0,
        NetworkMode::Filtered => 1,
        NetworkMode::Host => 2,
    }
}

/// The lower one of two limits.
fn limit(into: &mut Fragment, name: LimitName, wish: Wish<LimitWish>, out: &mut Left) {
    let at = into.limits.iter().position(|(known, _)| *known == name);
    let now = at
        .and_then(|at| into.limits.get(at))
        .map(|(_, wish)| wish.value);
    use LimitWish::{Least, Percent, Unlimited, Value};
    let lower = match (now.unwrap_or(Unlimited), wish.value) {
        (_, Unlimited) => None,
        (Unlimited, new) => Some(new),
        (Value(now), Value(new)) => (new < now).then_some(Value(new)),
        (Percent(now), Percent(new)) => (new < now).then_some(Percent(new)),
        (Percent(percent), Value(value)) | (Value(value), Percent(percent)) => {
            Some(Least { percent, value })
        }
        (Least { percent, value }, Value(new)) => (new < value).then_some(Least {
            percent,
            value: new,
        }),
        (Least { percent, value }, Percent(new)) => (new < percent).then_some(Least {
            percent: new,
            value,
        }),
        (_, Least { .. }) => None,
    };
    let Some(value) = lower else {
        if now != Some(wish.value) {
            out.one("limits", &wish.origin);
        }
        return;
    };
    let wish = Wish {
        value,
        origin: wish.origin,
    };
    match at.and_then(|at| into.limits.get_mut(at)) {
        Some((_, known)) => *known = wish,
        None => into.limits.push((name, wish)),
    }
}

/// What was left out, for people.
#[derive(Default)]
struct Left(Vec<String>);

impl Left {
    fn one(&mut self, key: &str, origin: &Origin) {
        let text = match origin {
            Origin::Project { line, .. } => format!("{key} (line {line})"),
            _ => key.to_owned(),
        };
        if !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    fn each<'a>(&mut self, key: &str, origins: impl Iterator<Item = &'a Origin>) {
        for origin in origins {
            self.one(key, origin);
        }
    }

    fn all<T>(&mut self, key: &str, list: &[Wish<T>]) {
        self.each(key, list.iter().map(|wish| &wish.origin));
    }
}

#[cfg(test)]
#[path = "tighten_tests.rs"]
mod tests;
