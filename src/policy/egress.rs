//! What is wished of a filtered network, and how one source's wishes are added to those of weaker ones.

#![forbid(unsafe_code)]

use super::{PathWish, Wish};
use crate::plan::net::{Rule, Target};
use std::net::IpAddr;

/// What is wished of a filtered network. The mode is apart: rules mean nothing in the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressWishes {
    /// `allow`, `--allow`.
    pub allow: Vec<Wish<Rule>>,
    /// `deny`: stronger than `allow`, but for an exact name that a later source allows.
    pub deny: Vec<Wish<Rule>>,
    /// `host-ports`, `--host-port`.
    pub host_ports: Vec<Wish<u16>>,
    /// `publish`, `--publish`.
    pub publish: Vec<Wish<Ports>>,
    /// `[network.hosts]`: a name (normalised) and its addresses; later ones of the same name win.
    pub hosts: Vec<(String, Wish<Vec<IpAddr>>)>,
    /// `[ssh] hosts`: names (normalised) and ports of servers that the caller's agent signs for.
    pub ssh_hosts: Vec<Wish<(String, u16)>>,
    /// `[ssh] keys`: files of public keys, the keys that it signs with.
    pub ssh_keys: Vec<Wish<PathWish>>,
    /// `host-ports` of a floor: there are no others.
    pub only_host_ports: Option<Wish<Vec<u16>>>,
    /// `publish` of a floor: no other ports of the host.
    pub only_publish: Option<Wish<Vec<u16>>>,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// On the host.
    pub host: u16,
    /// In the box.
    pub inside: u16,
}

impl EgressWishes {
    /// Whether nothing is wished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == EgressWishes::default()
    }

    /// Adds the wishes of a stronger source. Destructured in full: a new field breaks the build here, where its rule is due.
    pub(super) fn add(&mut self, stronger: EgressWishes) {
        let EgressWishes {
            allow,
            deny,
            host_ports,
            publish,
            hosts,
            ssh_hosts,
            ssh_keys,
            // Only a floor has them, and that is not added but laid under.
            only_host_ports: _,
            only_publish: _,
        } = stronger;
        // As for variables: whoever names exactly what a weaker source denies has read that rule. A pattern lifts nothing.
        self.deny.retain(|denied| {
            let exact = matches!(denied.value.to, Target::Name(_) | Target::Net(_));
            !exact || !allow.iter().any(|wish| wish.value.to == denied.value.to)
        });
        self.allow.extend(allow);
        self.deny.extend(deny);
        self.host_ports.extend(host_ports);
        self.ssh_hosts.extend(ssh_hosts);
        self.ssh_keys.extend(ssh_keys);
        for wish in publish {
            self.publish
                .retain(|known| known.value.host != wish.value.host);
            self.publish.push(wish);
        }
        for (name, wish) in hosts {
            self.hosts.retain(|(known, _)| *known != name);
            self.hosts.push((name, wish));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    fn wishes(allow: &[&str], deny: &[&str]) -> EgressWishes {
        let wish = |value: Rule| Wish {
            value,
            origin: Origin::agentbox("test"),
        };
        let rules = |list: &[&str]| {
            list.iter()
                .filter_map(|t| Rule::deny(t).ok())
                .map(wish)
                .collect()
        };
        EgressWishes {
            allow: rules(allow),
            deny: rules(deny),
            ..EgressWishes::default()
        }
    }

    #[test]
    fn only_an_exact_name_of_a_later_source_lifts_a_deny() {
        type Source<'a> = (&'a [&'a str], &'a [&'a str]);
        let rows: [(&str, &[Source<'_>], &[&str]); 6] = [
            ("deny stays", &[(&[], &["a.com"])], &["a.com"]),
            ("exact", &[(&[], &["a.com"]), (&["a.com"], &[])], &[]),
            ("same source", &[(&["a.com"], &["a.com"])], &["a.com"]),
            (
                "a pattern lifts nothing",
                &[(&[], &["b.a.com"]), (&["*.a.com"], &[])],
                &["b.a.com"],
            ),
            (
                "a denied pattern stays",
                &[(&[], &["*.a.com"]), (&["b.a.com", "*.a.com"], &[])],
                &["*.a.com"],
            ),
            (
                "denied again",
                &[(&[], &["a.com"]), (&["a.com"], &[]), (&[], &["a.com"])],
                &["a.com"],
            ),
        ];
        for (row, sources, want) in rows {
            let mut all = EgressWishes::default();
            for (allow, deny) in sources {
                all.add(wishes(allow, deny));
            }
            let got: Vec<String> = all.deny.iter().map(|w| w.value.to.to_string()).collect();
            assert_eq!(got, want, "{row}");
        }
    }
}
