//! `[ssh]`: public keys and host keys are looked up here, so that the plan says exactly what may be signed for whom.

#![forbid(unsafe_code)]

use super::authors;
use super::expand::expand;
use super::scene::{Scene, show};
use crate::plan::net::ssh::{CONFIG, HostKey, Key, PORT, SOCKET, Server, Ssh, decode, label};
use crate::plan::net::{Network, Rule, Target};
use crate::plan::{Env, EnvSet, NetworkMode, OsText};
use crate::policy::{Origin, PathWish, Wish};
use sha1::{Digest as _, Sha1};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The most bytes of a file of public keys.
const MOST: usize = 1024 * 1024;

const VARIABLE: &str = "SSH_AUTH_SOCK";

/// Is anything wished that a filtered network has?
pub(super) fn is_wished(scene: &Scene<'_>) -> bool {
    let wishes = &scene.policy.wishes.egress;
    !wishes.ssh_hosts.is_empty() && !wishes.ssh_keys.is_empty()
}

/// The file that the box then has of its own.
pub(super) const FILE: [&str; 1] = [CONFIG];

/// What of the agent the box has. The servers are granted to the network by this, too.
pub(super) fn ssh(scene: &mut Scene<'_>, network: &mut Network) {
    let (hosts, keys) = {
        let wishes = &scene.policy.wishes.egress;
        (wishes.ssh_hosts.clone(), wishes.ssh_keys.clone())
    };
    let (first, missing) = match (hosts.first(), keys.first()) {
        (None, None) => return,
        (Some(host), None) => (&host.origin, "keys"),
        (_, Some(key)) if hosts.is_empty() => (&key.origin, "hosts"),
        (Some(host), Some(_)) => (&host.origin, ""),
        (None, Some(key)) => (&key.origin, "hosts"),
    };
    if !missing.is_empty() {
        return scene.problem(
            format!("[ssh] names no {missing}"),
            "hosts = [\"github.com\"] and keys = [\"~/.ssh/id_ed25519.pub\"] belong together",
            Some(first),
        );
    }
    if network.mode != NetworkMode::Filtered {
        return scene.notices.push(format!(
            "[ssh] of {first} needs the filtered network: the box has no ssh agent"
        ));
    }
    if scene.host.var(VARIABLE).is_none() {
        return scene.notices.push(format!(
            "no ssh agent runs outside ({VARIABLE} is not set): the box has none, whatever {first} says"
        ));
    }
    let known = known_hosts(scene, first);
    let mut ssh = Ssh {
        hosts: Vec::new(),
        keys: Vec::new(),
    };
    for wish in hosts {
        let (name, port) = wish.value;
        let label = label(&name, port);
        let keys = keys_of(&known, &label);
        if keys.is_empty() {
            let ask = if port == PORT {
                format!("ssh {name}")
            } else {
                format!("ssh -p {port} {name}")
            };
            scene.problem(
                format!("the key of {label} is not known: neither ~/.ssh/known_hosts nor /etc/ssh/ssh_known_hosts has one"),
                format!("connect once outside and compare its fingerprint: {ask}"),
                Some(&wish.origin),
            );
            continue;
        }
        let rule = Rule {
            to: Target::Name(name.clone()),
            ports: vec![port],
            marks: Vec::new(),
        };
        super::network::add(network, &rule, &wish.origin, Some("for [ssh]".to_owned()));
        ssh.hosts.push(Server {
            name,
            port,
            keys,
            origin: wish.origin,
        });
    }
    for wish in keys {
        ssh.keys.extend(public_key(scene, &wish));
    }
    if !ssh.hosts.is_empty() && !ssh.keys.is_empty() {
        network.ssh = Some(ssh);
    }
}

/// The box's own agent in the place of the caller's.
pub(super) fn variable(env: &mut Env, network: &Network) {
    if network.ssh.is_none() {
        return;
    }
    let name: OsText = VARIABLE.into();
    env.pass.retain(|pass| pass.name != name);
    env.stripped.retain(|stripped| stripped.name != name);
    env.set.retain(|set| set.name != name);
    env.set.push(EnvSet {
        name,
        value: SOCKET.into(),
        origin: Origin::agentbox("the keys that [ssh] grants, in the place of the caller's agent"),
    });
}

/// `PATH.pub`, or `PATH` if it ends so: the private half is never read.
fn public_key(scene: &mut Scene<'_>, wish: &Wish<PathWish>) -> Option<Key> {
    let path = expand(scene, wish)?;
    let path = match path.extension() {
        Some(end) if end == "pub" => path,
        _ => {
            let mut name = OsString::from(path);
            name.push(".pub");
            PathBuf::from(name)
        }
    };
    check(scene, "the public key", &path, &wish.origin);
    let bytes = scene.walk.look.read(&path, MOST);
    if bytes.is_none() && wish.value.optional {
        return None;
    }
    let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let key = words
        .next()
        .and_then(|kind| words.next().filter(|key| is_key(kind, key)));
    if key.is_none() {
        scene.problem(
            format!("{} is not the public half of an ssh key", path.display()),
            "name PATH.pub, or make it: ssh-keygen -y -f PATH > PATH.pub (ssh-add -L for a key that is only in the agent)",
            Some(&wish.origin),
        );
    }
    key.map(|key| Key {
        file: path.display().to_string(),
        key: key.to_owned(),
        origin: wish.origin.clone(),
    })
}

/// A key says its kind itself, as its first string (RFC 4253 6.6).
fn is_key(kind: &str, key: &str) -> bool {
    decode(key).is_some_and(|blob| {
        let length = blob.get(..4).and_then(|b| b.try_into().ok());
        let length = length.map_or(0, u32::from_be_bytes);
        let end = usize::try_from(length).ok().and_then(|l| l.checked_add(4));
        end.and_then(|end| blob.get(4..end)) == Some(kind.as_bytes())
    })
}

/// Refuses a file that the box can write: the next session would sign with whichever of the caller's keys, or for whichever server, it
/// says.
fn check(scene: &mut Scene<'_>, what: &str, path: &Path, wish: &Origin) {
    let Some(dir) = authors::writable(scene, path) else {
        return;
    };
    scene.problem(
        format!("{what} {} lies in {}, which the agent can write", show(path), show(&dir)),
        "look whose key it has by now, and keep it where no box can write (~/.ssh): a plain file and no link",
        Some(wish),
    );
}

/// The lines of all files in which ssh looks for host keys.
fn known_hosts(scene: &mut Scene<'_>, wish: &Origin) -> Vec<String> {
    let user = scene.host.home.join(".ssh/known_hosts");
    let machine = Path::new("/etc/ssh/ssh_known_hosts");
    let files = [user.as_path(), machine];
    for path in files {
        check(scene, "the file of host keys", path, wish);
    }
    files
        .into_iter()
        .filter_map(|path| scene.walk.look.read(path, MOST))
        .flat_map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The host keys of one name (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), without those that are revoked. Lines that stand for many
/// names (patterns, certificate authorities) are left out: what is granted is one server.
fn keys_of(lines: &[String], label: &str) -> Vec<HostKey> {
    let mut found: Vec<HostKey> = Vec::new();
    let mut revoked = Vec::new();
    for line in lines {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (Some(names), Some(kind), Some(key)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if names.starts_with('#') || !is_key(kind, key) {
            continue;
        }
        let key = HostKey {
            kind: kind.to_owned(),
            key: key.to_owned(),
        };
        match marker {
            Some("@revoked") => revoked.push(key),
            None if is_for(names, label) && !found.contains(&key) => found.push(key),
            _ => {}
        }
    }
    found.retain(|key| !revoked.iter().any(|gone| gone.key == key.key));
    found
}

fn is_for(names: &str, label: &str) -> bool {
    names.split(',').any(|name| match name.strip_prefix("|1|") {
        Some(hashed) => hashed.split_once('|').is_some_and(|(salt, hash)| {
            let (salt, hash) = (decode(salt), decode(hash));
            salt.is_some_and(|salt| hash.is_some_and(|hash| hmac_sha1(&salt, label) == hash))
        }),
        None => name.eq_ignore_ascii_case(label),
    })
}

/// RFC 2104; what `HashKnownHosts` writes.
fn hmac_sha1(key: &[u8], text: &str) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = if key.len() > BLOCK {
        Sha1::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    block.resize(BLOCK, 0);
    let pad = |with: u8| block.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let inner = Sha1::new()
        .chain_update(pad(0x36))
        .chain_update(text.as_bytes())
        .finalize();
    let outer = Sha1::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ED: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn a_hashed_name_is_found() {
        // RFC 2202, test case 2.
        let hash = hmac_sha1(b"Jefe", "what do ya want for nothing?");
        assert_eq!(hash[..4], [0xef, 0xfc, 0xdf, 0x6a]);
        assert!(!is_for("|1|AAAA|AAAA", "github.com"));
    }

    #[test]
    fn lines_of_known_hosts() {
        let lines: Vec<String> = [
            format!("github.com,192.0.2.1 ssh-ed25519 {ED} comment"),
            format!("GitHub.com ssh-ed25519 {ED}"),
            format!("[git.test]:2222 ssh-ed25519 {ED}"),
            format!("# hash.test ssh-ed25519 {ED}"),
            format!("*.many.test ssh-ed25519 {ED}"),
            format!("@cert-authority ca.test ssh-ed25519 {ED}"),
            format!("odd.test ssh-rsa {ED}"),
            "short.test ssh-ed25519".to_owned(),
        ]
        .into();
        for (label, count) in [
            ("github.com", 1),
            ("[git.test]:2222", 1),
            ("git.test", 0),
            ("hash.test", 0),
            ("a.many.test", 0),
            ("ca.test", 0),
            ("odd.test", 0),
            ("short.test", 0),
        ] {
            assert_eq!(keys_of(&lines, label).len(), count, "{label}");
        }
        let gone = [lines, vec![format!("@revoked * ssh-ed25519 {ED}")]].concat();
        assert!(keys_of(&gone, "github.com").is_empty());
    }
}
