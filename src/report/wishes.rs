//! What a source wishes, as rows of text: for the difference between two profiles.

#![forbid(unsafe_code)]

use crate::plan::names::Verdict;
use crate::plan::net::{Allow, Deny, Rule};
use crate::plan::{HardLinks, LimitName, NetworkMode};
use crate::policy::{
    CommandWishes, EgressWishes, EnvWishes, FileWishes, Fragment, LimitWish, NameWish, OnHangup,
    Origin, PathWish, Wish,
};

/// One wish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// `files.read`.
    pub key: &'static str,
    /// As a profile writes it.
    pub value: String,
    /// Who says so.
    pub origin: String,
}

/// The lines of a difference: what only the first wishes with `-`, what only the second wishes with `+`; empty if both wish
/// the same.
#[must_use]
pub fn difference(first: &Fragment, second: &Fragment) -> String {
    let (first, second) = (rows(first), rows(second));
    let without = |rows: &[Row], other: &[Row]| -> Vec<Row> {
        let same = |a: &Row, b: &Row| a.key == b.key && a.value == b.value;
        let only = rows
            .iter()
            .filter(|row| !other.iter().any(|o| same(row, o)));
        only.cloned().collect()
    };
    let mut lines: Vec<(Row, char)> = Vec::new();
    lines.extend(without(&first, &second).into_iter().map(|row| (row, '-')));
    lines.extend(without(&second, &first).into_iter().map(|row| (row, '+')));
    lines.sort_by(|(a, x), (b, y)| (a.key, x != &'-', &a.value).cmp(&(b.key, y != &'-', &b.value)));
    let mut out = String::new();
    for (row, sign) in lines {
        let text = format!("{sign} {} {}", row.key, row.value);
        out.push_str(&format!(
            "{}  [{}]\n",
            super::plan::clean(text),
            super::plan::clean(&row.origin)
        ));
    }
    out
}

/// Every wish of a merged source. Destructured in full: a new field breaks the build here, where it has to be shown.
#[must_use]
pub fn rows(fragment: &Fragment) -> Vec<Row> {
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
        stop_grace,
        require,
        allow_missing,
        layers_off,
        rung,
        nested,
        stop_files,
        hangup,
        remotes,
        team,
        notices: _,
        arguments,
        when,
        conditions: _,
    } = fragment;
    let mut out = Rows::default();
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
        out.all(key, list, path);
    }
    for (key, list) in [
        ("files.hide", hide),
        ("files.protect", protect),
        ("files.track", track),
    ] {
        out.all(key, list, name);
    }
    out.one(
        "files.hard-links",
        hard_links.as_ref(),
        |rule: &HardLinks| {
            HardLinks::ALL
                .iter()
                .find(|(_, known)| known == rule)
                .map_or("", |(word, _)| word)
                .to_owned()
        },
    );
    let CommandWishes {
        deny,
        allow,
        search,
    } = programs;
    out.all("commands.deny", deny, String::clone);
    out.all("commands.allow", allow, String::clone);
    out.all("commands.search", search, path);
    let EnvWishes {
        keep,
        deny,
        set,
        given: _,
    } = env;
    out.all("env.keep", keep, String::clone);
    out.all("env.deny", deny, String::clone);
    for (name, wish) in set {
        out.push(
            "env.set",
            format!("{name} = {:?}", wish.value.to_string()),
            &wish.origin,
        );
    }
    out.one("network.mode", network.as_ref(), |mode: &NetworkMode| {
        mode.name().to_owned()
    });
    let EgressWishes {
        allow,
        deny,
        host_ports,
        publish,
        hosts,
        ssh_hosts,
        ssh_keys,
        only_host_ports,
        only_publish,
    } = egress;
    out.all("network.allow", allow, rule);
    for wish in deny {
        let Rule {
            to,
            ports,
            marks: _,
        } = wish.value.clone();
        let origin = wish.origin.clone();
        out.push(
            "network.deny",
            Deny { to, ports, origin }.to_string(),
            &wish.origin,
        );
    }
    let ports = |ports: &Vec<u16>| format!("{ports:?}, no other");
    out.one("network.host-ports", only_host_ports.as_ref(), ports);
    out.one("network.publish", only_publish.as_ref(), ports);
    out.all("network.host-ports", host_ports, u16::to_string);
    out.all("network.publish", publish, |p| {
        format!("{}:{}", p.host, p.inside)
    });
    for (name, wish) in hosts {
        let addresses: Vec<String> = wish.value.iter().map(ToString::to_string).collect();
        out.push(
            "network.hosts",
            format!("{name} = {}", addresses.join(", ")),
            &wish.origin,
        );
    }
    out.all("ssh.hosts", ssh_hosts, |(name, port)| {
        format!("{name}:{port}")
    });
    out.all("ssh.keys", ssh_keys, path);
    for (name, wish) in limits {
        out.push(
            "limits",
            format!("{} = {}", name.word(), limit(*name, wish.value)),
            &wish.origin,
        );
    }
    out.one("limits.stop-grace", stop_grace.as_ref(), |seconds: &f64| {
        format!("{seconds}s")
    });
    for (key, list) in [
        ("layers.require", require),
        ("layers.allow-missing", allow_missing),
        ("layers.off", layers_off),
    ] {
        out.all(key, list, |layer| layer.name().to_owned());
    }
    out.one("layers.rung", rung.as_ref(), |rung| rung.name().to_owned());
    out.one("layers.nested", nested.as_ref(), |nested| {
        nested.word().to_owned()
    });
    out.all("kill-switch.files", stop_files, String::clone);
    out.all("kill-switch.remote", remotes, |remote| remote.name.clone());
    out.one("kill-switch.team", team.as_ref(), String::clone);
    out.one("session.hangup", hangup.as_ref(), |hangup: &OnHangup| {
        match hangup {
            OnHangup::End => "end",
            OnHangup::Detach => "detach",
        }
        .to_owned()
    });
    out.all("agent.arguments", arguments, String::clone);
    for part in when {
        let conditions: Vec<String> = part
            .conditions
            .iter()
            .map(|wish| format!("{:?}", wish.value))
            .collect();
        for row in rows(&part.fragment) {
            let value = format!("{} {} where {}", row.key, row.value, conditions.join(", "));
            out.0.push(Row {
                key: "when",
                value,
                ..row
            });
        }
    }
    out.0
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn push(&mut self, key: &'static str, value: String, origin: &Origin) {
        self.0.push(Row {
            key,
            value,
            origin: origin.to_string(),
        });
    }

    fn all<T>(&mut self, key: &'static str, list: &[Wish<T>], text: impl Fn(&T) -> String) {
        for wish in list {
            self.push(key, text(&wish.value), &wish.origin);
        }
    }

    fn one<T>(&mut self, key: &'static str, wish: Option<&Wish<T>>, text: impl Fn(&T) -> String) {
        if let Some(wish) = wish {
            self.push(key, text(&wish.value), &wish.origin);
        }
    }
}

fn path(wish: &PathWish) -> String {
    let end = match (wish.optional, wish.make_dir) {
        (true, _) => "?",
        (_, true) => "/",
        _ => "",
    };
    format!("{}{end}", wish.path)
}

fn name(wish: &NameWish) -> String {
    let lifts = if wish.verdict == Verdict::Lifted {
        "!"
    } else {
        ""
    };
    let holds = wish.holds.map_or(String::new(), |holds| {
        format!(" that holds a {}", holds.name())
    });
    format!("{lifts}{}{holds}", wish.pattern)
}

fn rule(rule: &Rule) -> String {
    Allow {
        to: rule.to.clone(),
        ports: rule.ports_or_default(),
        marks: rule.marks.clone(),
        origin: Origin::agentbox(""),
        note: None,
    }
    .to_string()
}

fn limit(name: LimitName, wish: LimitWish) -> String {
    let value = |value: f64| match name {
        LimitName::Memory | LimitName::FileSize | LimitName::Disk | LimitName::Output => {
            super::plan::bytes(value)
        }
        LimitName::Time | LimitName::Idle => super::plan::seconds(value),
        LimitName::Processes | LimitName::Cpu | LimitName::OpenFiles => format!("{value}"),
    };
    match wish {
        LimitWish::Value(number) => value(number),
        LimitWish::Percent(percent) => format!("{percent}%"),
        LimitWish::Least {
            percent,
            value: number,
        } => format!("{percent}% or {}", value(number)),
        LimitWish::Unlimited => "none".to_owned(),
    }
}
