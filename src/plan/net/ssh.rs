//! Git over ssh without a key in the box: which keys of the caller's agent may sign, and for which servers.

#![forbid(unsafe_code)]

use crate::policy::Origin;
use serde::{Deserialize, Serialize};

/// Where the box's end of the agent is.
pub const SOCKET: &str = "/run/agentbox/ssh-agent";

/// The file of the box with the keys of the granted servers.
pub const KNOWN_HOSTS: &str = "/run/agentbox/known_hosts";

/// The client's configuration in the box.
pub const CONFIG: &str = "/etc/ssh/ssh_config";

/// The port of a server that names none.
pub const PORT: u16 = 22;

/// What of the caller's agent the box has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ssh {
    /// For which servers is signed; never empty.
    pub hosts: Vec<Server>,
    /// With which keys; never empty.
    pub keys: Vec<Key>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// Its name, normalised.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its host keys as known_hosts has them: kind and base64; never empty.
    pub keys: Vec<HostKey>,
    /// Who grants it.
    pub origin: Origin,
}

/// A public key of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostKey {
    /// `ssh-ed25519`, ...
    pub kind: String,
    /// The key in base64.
    pub key: String,
}

/// A key of the caller's: its public half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Key {
    /// The file that it was read from, for people.
    pub file: String,
    /// The key in base64.
    pub key: String,
    /// Who grants it.
    pub origin: Origin,
}

impl Server {
    /// The name as known_hosts writes it.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.name, self.port)
    }
}

/// A server as known_hosts writes it: `NAME`, or `[NAME]:PORT`.
#[must_use]
pub fn label(name: &str, port: u16) -> String {
    if port == PORT {
        name.to_owned()
    } else {
        format!("[{name}]:{port}")
    }
}

/// The content of [`KNOWN_HOSTS`].
#[must_use]
pub fn known_hosts(ssh: &Ssh) -> String {
    let mut out = String::new();
    for server in &ssh.hosts {
        for key in &server.keys {
            out.push_str(&format!("{} {} {}\n", server.label(), key.kind, key.key));
        }
    }
    out
}

/// The content of [`CONFIG`]: nothing of the caller's, since `ProxyCommand` and `Match exec` run programs.
#[must_use]
pub fn config() -> String {
    format!(
        "# Written by agentbox. The agent signs for the servers of known_hosts, and no other.\n\
         Host *\n    GlobalKnownHostsFile {KNOWN_HOSTS}\n    UserKnownHostsFile none\n    StrictHostKeyChecking yes\n    \
         UpdateHostKeys no\n    IdentityAgent {SOCKET}\n    ForwardAgent no\n"
    )
}

/// The bytes of a text in base64 (RFC 4648), padded; `None` if it is none.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, want) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmFy", Some("foobar")),
            ("Zm9", None),
            ("Zm 9", None),
            ("Z===", None),
        ] {
            let want = want.map(|want| want.as_bytes().to_vec());
            assert_eq!(decode(text), want, "{text}");
        }
    }
}
