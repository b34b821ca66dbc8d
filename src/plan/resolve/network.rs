//! The network of the plan: the mode, and the rules of a filtered one.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::plan::net::endpoint::{Endpoint, endpoint, names_one};
use crate::plan::net::{Allow, Deny, HostEntry, HostPort, Only, PROXY_PORT, Publish, Rule, Target};
use crate::plan::{Env, EnvSet, Network, NetworkMode, Stripped};
use crate::policy::{Origin, Wish};

/// The mode that is wished, else none.
pub(super) fn mode(scene: &Scene<'_>) -> NetworkMode {
    scene
        .policy
        .wishes
        .network
        .as_ref()
        .map_or(NetworkMode::None, |wish| wish.value)
}

/// The network: what was wished, else none.
pub(super) fn network(scene: &mut Scene<'_>) -> Network {
    let wish = scene.policy.wishes.network.as_ref();
    let origin = wish.map_or_else(
        || Origin::agentbox("nobody asked for a network"),
        |wish| wish.origin.clone(),
    );
    let mut network = Network::of(mode(scene), origin);
    match network.mode {
        NetworkMode::None => {}
        NetworkMode::Host => scene.notices.push(
            "the network is the host's: the agent can reach everything that this machine can"
                .into(),
        ),
        NetworkMode::Filtered => rules(scene, &mut network),
    }
    network
}

fn rules(scene: &mut Scene<'_>, network: &mut Network) {
    let wishes = &scene.policy.wishes.egress;
    for wish in &wishes.allow {
        match &wish.value.to {
            Target::Any => scene.notices.push(format!(
                "every host by its name may be reached, by {}",
                wish.origin
            )),
            Target::Net(net) if !net.is_single() => scene.notices.push(format!(
                "every address of {net} may be reached without a name, by {}",
                wish.origin
            )),
            _ => {}
        }
        add(network, &wish.value, &wish.origin, None);
    }
    network.deny = wishes
        .deny
        .iter()
        .map(|wish| Deny {
            to: wish.value.to.clone(),
            ports: wish.value.ports.clone(),
            origin: wish.origin.clone(),
        })
        .collect();
    let only = |wish: &Wish<Vec<u16>>| Only {
        ports: wish.value.clone(),
        origin: wish.origin.clone(),
    };
    network.only_host_ports = wishes.only_host_ports.as_ref().map(only);
    network.only_publish = wishes.only_publish.as_ref().map(only);
    if let Some(only) = &wishes.only_host_ports {
        // A granted name that leads to loopback would be a way around the list.
        let nets = ["127.0.0.0/8", "::1/128"].map(Rule::deny);
        network
            .deny
            .extend(nets.into_iter().flatten().map(|rule| Deny {
                to: rule.to,
                ports: Vec::new(),
                origin: only.origin.clone(),
            }));
    }
    for Wish { value, origin } in &wishes.host_ports {
        add_host_port(network, *value, origin, None);
    }
    network.publish = wishes
        .publish
        .iter()
        .map(|wish| Publish {
            host_port: wish.value.host,
            box_port: wish.value.inside,
            origin: wish.origin.clone(),
        })
        .collect();
    network.hosts = wishes
        .hosts
        .iter()
        .map(|(name, wish)| HostEntry {
            name: name.clone(),
            addresses: wish.value.clone(),
            origin: wish.origin.clone(),
        })
        .collect();
    let taken: Vec<Wish<u16>> = wishes
        .host_ports
        .iter()
        .filter(|wish| matches!(wish.value, 53 | PROXY_PORT))
        .cloned()
        .collect();
    for wish in taken {
        scene.problem(
            format!("port {} of the box's loopback is the box's own", wish.value),
            "let the service of the host listen on another port",
            Some(&wish.origin),
        );
    }
}

/// Adds a rule, once: a later one of the same host with the same marks adds its ports.
pub(super) fn add(network: &mut Network, rule: &Rule, origin: &Origin, note: Option<String>) {
    let ports = rule.ports_or_default();
    let same = |allow: &&Allow| allow.to == rule.to && allow.marks == rule.marks;
    let known: Vec<u16> = network
        .allow
        .iter()
        .filter(same)
        .flat_map(|allow| allow.ports.iter().copied())
        .collect();
    let ports: Vec<u16> = ports
        .into_iter()
        .filter(|port| !known.contains(port))
        .collect();
    if !ports.is_empty() {
        network.allow.push(Allow {
            to: rule.to.clone(),
            ports,
            marks: rule.marks.clone(),
            origin: origin.clone(),
            note,
        });
    }
}

fn add_host_port(network: &mut Network, port: u16, origin: &Origin, note: Option<String>) {
    if !network.host_ports.iter().any(|known| known.port == port) {
        network.host_ports.push(HostPort {
            port,
            origin: origin.clone(),
            note,
        });
    }
}

/// Grants what variables name that let an agent find its service. The caller has set them, and what was granted is said.
pub(super) fn endpoints(scene: &mut Scene<'_>, env: &Env, network: &mut Network) {
    if network.mode != NetworkMode::Filtered {
        return;
    }
    for passed in &env.pass {
        let Some(name) = passed.name.os().to_str().filter(|name| names_one(name)) else {
            continue;
        };
        let value = scene.host.var(name).and_then(|value| value.to_str());
        let Some(endpoint) = value.and_then(endpoint) else {
            continue;
        };
        let note = Some(format!("the caller's {name} names it"));
        match endpoint {
            Endpoint::HostPort(port) => {
                let only = network.only_host_ports.as_ref();
                if let Some(only) = only.filter(|only| !only.ports.contains(&port)) {
                    scene.notices.push(format!(
                        "port {port} of the host's loopback, which {name} names, cannot be reached: host-ports of the floor has no such port ({})",
                        only.origin
                    ));
                    continue;
                }
                scene.notices.push(format!(
                    "port {port} of the host's loopback may be reached, since {name} names it"
                ));
                add_host_port(network, port, &passed.origin, note);
            }
            Endpoint::Rule(rule) => {
                scene
                    .notices
                    .push(format!("{} may be reached, since {name} names it", rule.to));
                add(network, &rule, &passed.origin, note);
            }
        }
    }
}

/// A program that the caller has told to use a proxy uses the box's: the caller's own is not reached from inside, the gate
/// uses it on its way out. Programs that were told nothing need none, every connection arrives at the gate.
pub(super) fn proxies(env: &mut Env, network: &Network, bare: Option<u16>) {
    const PROXIES: [&str; 6] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ];
    const NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];
    if network.mode != NetworkMode::Filtered {
        return;
    }
    let is = |names: &[&str], name: &crate::plan::OsText| names.iter().any(|n| name.os() == *n);
    let passed: Vec<_> = env
        .pass
        .extract_if(.., |pass| is(&PROXIES, &pass.name) || is(&NONE, &pass.name))
        .map(|pass| pass.name)
        .collect();
    // A URL with a password does not pass, but the box's takes its place all the same.
    let withheld = env.stripped.extract_if(.., |stripped| {
        stripped.why == Stripped::LooksLikeCredential && is(&PROXIES, &stripped.name)
    });
    let passed: Vec<_> = passed
        .into_iter()
        .chain(withheld.map(|stripped| stripped.name))
        .collect();
    // Without a network namespace nothing arrives at the gate by itself: every program is told.
    let passed = match bare {
        Some(_) => PROXIES.map(crate::plan::OsText::from).into(),
        None => passed,
    };
    if !passed.iter().any(|name| is(&PROXIES, name)) {
        return;
    }
    let mut set = |name: crate::plan::OsText, value: &str| {
        if !env.given.contains(&name) && !env.set.iter().any(|set| set.name == name) {
            env.set.push(EnvSet {
                name,
                value: value.into(),
                origin: Origin::agentbox("the box's proxy in the place of the caller's"),
            });
        }
    };
    let port = bare.unwrap_or(PROXY_PORT);
    let url = format!("http://127.0.0.1:{port}");
    for name in passed.into_iter().filter(|name| is(&PROXIES, name)) {
        set(name, &url);
    }
    for name in NONE {
        set(
            name.into(),
            "localhost,127.0.0.1,::1,.localhost,host.agentbox.internal",
        );
    }
    set("NODE_USE_ENV_PROXY".into(), "1");
}

/// The files by which programs of a filtered box find names: loopback and its other name from the file, everything else
/// from the gate's responder, which answers on every address.
pub(super) const FILES: [&str; 3] = ["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"];

/// Their content, in the order of [`FILES`].
pub(super) fn files(hosts: String) -> [String; 3] {
    [
        hosts,
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
         protocols: files\nservices: files\nethers: files\nrpc: files\n"
            .to_owned(),
        "# Served by agentbox: names that were granted, and no others.\n\
         nameserver 127.0.0.1\noptions timeout:3 attempts:2\n"
            .to_owned(),
    ]
}
