//! [`RemoteSwitch`]: a kill switch that is somewhere else: a key, an object, a flag, a file on a share, a command.

#![forbid(unsafe_code)]

use super::OsText;
use crate::policy::Origin;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A remote switch, as a profile names it. In a plan its patterns are filled in. No secret is in it, only where to get one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoteSwitch {
    /// Its name, for people and for `stop --remote NAME`.
    pub name: String,
    /// Where it is.
    pub target: Target,
    /// How often it is asked, in seconds.
    pub interval: f64,
    /// How long one question may take.
    pub timeout: f64,
    /// Up to so much is added to each interval at random, so that ten thousand boxes do not ask in the same second.
    pub jitter: f64,
    /// How long it may give no proof of life before `on-unreachable` is done.
    pub grace: f64,
    /// What is done then.
    pub on_unreachable: OnUnreachable,
    /// Where the token is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFrom>,
    /// The only authorities that are trusted, instead of the usual ones: a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<OsText>,
    /// The member of the answer that says it, `a.b.c`; without it the existence of the document does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// No session starts when the last good drill of it is longer ago, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_max_age: Option<f64>,
    /// Where the head of each session's record is written: a key, an object, the path of a document. In a plan all of it is
    /// filled in but [`SESSION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
}

/// A remote switch of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remote {
    /// The switch.
    #[serde(flatten)]
    pub switch: RemoteSwitch,
    /// Who asked for it.
    pub origin: Origin,
    /// What is told of this session, where something is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// What patterns are filled in with, for who reads what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// `${team}`, if it is configured.
    pub team: Option<String>,
    /// `${repo}`.
    pub repo: Option<String>,
    /// `${host}`.
    pub host: String,
    /// `${user}`.
    pub user: String,
}

/// A session whose switches are watched under names that nobody else watches, so that they can be tripped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drill {
    /// What is added to each name.
    pub id: String,
    /// The one remote switch that is watched, if it is the name of one.
    pub switch: String,
}

impl Drill {
    /// The name of a stop file in a drill.
    #[must_use]
    pub fn file(&self, file: &Path) -> OsText {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".drill-{}", self.id));
        OsText::from(name)
    }
}

/// What is done when a switch has given no proof of life for its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnreachable {
    /// It is said.
    Continue,
    /// Everything in the box stands still until the switch answers again.
    Pause,
    /// The box is killed.
    Stop,
}

impl OnUnreachable {
    /// Every one.
    pub const ALL: [OnUnreachable; 3] = [
        OnUnreachable::Continue,
        OnUnreachable::Pause,
        OnUnreachable::Stop,
    ];

    /// The word of profiles.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OnUnreachable::Continue => "continue",
            OnUnreachable::Pause => "pause",
            OnUnreachable::Stop => "stop",
        }
    }
}

/// Where a token comes from. Never from the command line, the environment or a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenFrom {
    /// A file.
    File(OsText),
    /// The output of a program, by its absolute path.
    Command(OsText),
}

/// Where a switch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Target {
    /// A name on a shared file system: it is on when it exists.
    File {
        /// The absolute path.
        path: OsText,
    },
    /// A document.
    Https {
        /// The host and its port.
        host: Host,
        /// Path and query.
        path: String,
    },
    /// Keys of a Redis: it is on when one of them exists.
    Redis {
        /// The host and its port.
        host: Host,
        /// The user, if it is not the default one.
        user: Option<String>,
        /// The number of the database.
        db: u32,
        /// The keys.
        keys: Vec<String>,
    },
    /// An object: it is on when it exists.
    S3 {
        /// The host and its port.
        host: Host,
        /// The bucket, where the host's name does not say it.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The region that requests are signed for.
        region: String,
        /// Where the name of the bucket stands.
        style: S3Style,
    },
    /// A program that says it.
    Exec {
        /// The absolute path.
        program: OsText,
    },
}

/// Where the name of a bucket stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum S3Style {
    /// In the host's name: AWS.
    Host,
    /// In the path: most others.
    Path,
}

/// A host, its port, and whether it is spoken to in TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// A name or an address.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Plain or TLS.
    pub wire: Wire,
}

/// How bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// As they are.
    Plain,
    /// In TLS, verified.
    Tls,
}

impl Host {
    /// `host`, `host:port`, `[::1]:port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, wire: Wire, default: u16) -> Result<Host, String> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or("`[` without `]`")?;
                (address, rest.strip_prefix(':'))
            }
            None => match text.rsplit_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None => default,
            Some(port) => port
                .parse()
                .map_err(|_| format!("`{port}` is not a port"))?,
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if name.is_empty() || name.len() > 253 || !name.chars().all(fine) {
            return Err(format!("`{name}` is not the name of a host"));
        }
        Ok(Host {
            name: name.to_ascii_lowercase(),
            port,
            wire,
        })
    }

    /// Is it this machine by its name?
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.name.parse::<std::net::IpAddr>();
        self.name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// As in a URL, without the default port.
    #[must_use]
    pub fn authority(&self, default: u16) -> String {
        let name = if self.name.contains(':') {
            format!("[{}]", self.name)
        } else {
            self.name.clone()
        };
        if self.port == default {
            name
        } else {
            format!("{name}:{}", self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File { path } => write!(f, "file://{path}"),
            Target::Https { host, path } => {
                let (scheme, port) = match host.wire {
                    Wire::Tls => ("https", 443),
                    Wire::Plain => ("http", 80),
                };
                // What is behind the `?` may be meant for the server alone.
                let path = path.split('?').next().unwrap_or_default();
                write!(f, "{scheme}://{}{path}", host.authority(port))
            }
            Target::Redis { host, db, keys, .. } => {
                let scheme = match host.wire {
                    Wire::Tls => "rediss",
                    Wire::Plain => "redis",
                };
                let keys = keys.join(", ");
                write!(f, "{scheme}://{}/{db} {keys}", host.authority(6379))
            }
            Target::S3 {
                host,
                bucket,
                key,
                style,
                ..
            } => {
                write!(f, "s3://{bucket}/{key}")?;
                match style {
                    S3Style::Host => Ok(()),
                    S3Style::Path => write!(f, " at {}", host.authority(443)),
                }
            }
            Target::Exec { program } => write!(f, "exec:{program}"),
        }
    }
}

/// The variables of patterns.
pub const VARIABLES: [&str; 4] = ["team", "repo", "host", "user"];

/// Fills in `${team}` and the like, in what names a key, an object or a document.
///
/// # Errors
/// The variable that is unknown, or that has no value here.
pub fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("`${` without `}`")?;
        if !VARIABLES.contains(&name) {
            return Err(format!("`${{{name}}}` is not known"));
        }
        let value = value(name).ok_or_else(|| format!("`${{{name}}}` has no value here"))?;
        out.push_str(before);
        out.push_str(&plain(&value));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The variable of `publish` that has no value before the session has a name.
pub const SESSION: &str = "${session}";

/// Fills in all but [`SESSION`], which has to be there.
///
/// # Errors
/// As [`fill`], and where sessions would overwrite what others wrote.
pub fn fill_publish(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let parts = text.split(SESSION).map(|part| fill(part, value));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    if parts.len() < 2 {
        return Err(
            "`publish` without `${session}`: each session would overwrite the others'".to_owned(),
        );
    }
    Ok(parts.join(SESSION))
}

/// A value that cannot say more than a name: what is not a letter, a digit, `.`, `_` or `-` is a `-`.
fn plain(value: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text: String = value
        .chars()
        .take(200)
        .map(|c| if keep(c) { c } else { '-' })
        .collect();
    if text.chars().all(|c| c == '.') {
        "-".repeat(text.len().max(1))
    } else {
        text
    }
}

impl Target {
    /// The same with the patterns filled in.
    ///
    /// # Errors
    /// As [`fill`].
    pub fn filled(&self, value: &dyn Fn(&str) -> Option<String>) -> Result<Target, String> {
        let mut out = self.clone();
        match &mut out {
            Target::File { path } | Target::Exec { program: path } => {
                if let Some(text) = path.os().to_str() {
                    *path = OsText::from(fill(text, value)?);
                }
            }
            Target::Https { path, .. } => *path = fill(path, value)?,
            Target::S3 { key, .. } => *key = fill(key, value)?,
            Target::Redis { keys, .. } => {
                for key in keys {
                    *key = fill(key, value)?;
                }
            }
        }
        Ok(out)
    }
}

impl Target {
    /// The same under a name of a drill's own; `None` if it cannot have one.
    #[must_use]
    pub fn drilled(mut self, id: &str) -> Option<Target> {
        match &mut self {
            Target::Exec { .. } => return None,
            Target::File { path } => {
                let mut name = path.os().to_owned();
                name.push(format!(".drill-{id}"));
                *path = OsText::from(name);
            }
            Target::Https { path, .. } => {
                let at = path.find('?').unwrap_or(path.len());
                path.insert_str(at, &format!(".drill-{id}"));
            }
            Target::S3 { key, .. } => key.push_str(&format!(".drill-{id}")),
            Target::Redis { keys, .. } => keys
                .iter_mut()
                .for_each(|key| key.push_str(&format!(":drill:{id}"))),
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_are_filled_and_say_no_more_than_a_name() {
        let value = |name: &str| match name {
            "team" => Some("a b/../c".to_owned()),
            "user" => Some("..".to_owned()),
            _ => None,
        };
        assert_eq!(fill("x:${team}:${user}", &value).unwrap(), "x:a-b-..-c:--");
        assert_eq!(fill("plain", &value).unwrap(), "plain");
        for (bad, word) in [
            ("${repo}", "has no value here"),
            ("${x}", "is not known"),
            ("${team", "without `}`"),
        ] {
            let why = fill(bad, &value).unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
        let publish = |text| fill_publish(text, &value);
        assert_eq!(publish("h:${user}:${session}").unwrap(), "h:--:${session}");
        assert!(publish("h:${user}").unwrap_err().contains("overwrite"));
        assert!(publish("${sess}").unwrap_err().contains("not known"));
    }

    #[test]
    fn hosts() {
        let host = |text| Host::parse(text, Wire::Tls, 443);
        let got = host("Flags.example:8443").unwrap();
        assert_eq!((got.name.as_str(), got.port), ("flags.example", 8443));
        assert_eq!(host("[::1]:9").unwrap().authority(443), "[::1]:9");
        assert_eq!(host("a").unwrap().authority(443), "a");
        for bad in ["", "a:x", "a b", "[::1", "user@a", ":1"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
