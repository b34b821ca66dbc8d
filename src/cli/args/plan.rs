//! What the box is: the flags that `run`, `explain` and the like share, and from there one [`Fragment`] with [`Origin::Cli`].

#![forbid(unsafe_code)]

use super::name::name_wish;
use crate::outcome::Layer;
use crate::plan::names::Verdict;
use crate::plan::net::Rule;
use crate::plan::net::endpoint::{Endpoint, endpoint, names_one};
use crate::plan::rung::{Nested, Rung};
use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
use crate::policy::egress::Ports;
use crate::policy::{Fragment, LimitWish, OnHangup, Origin, PathWish, Request, Wish};
use crate::profile::value::{self, ProgramList, VariableList};
use clap::Args;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Values that were given on the command line. Never part of the policy, the plan or the record.
pub type GivenValues = BTreeMap<OsText, OsText>;

/// What the box is: the same for `run` and `explain`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct PlanArgs {
    /// Another profile than the one that COMMAND's name selects
    #[arg(short, long, value_name = "NAME|FILE")]
    pub profile: Option<OsString>,
    /// The working copy [default: the repository root or the current directory]
    #[arg(short = 'C', long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Let PATH be read and executed
    #[arg(long, value_name = "PATH")]
    pub read: Vec<OsString>,
    /// Let PATH be written; a `/` at the end: a directory, made when missing
    #[arg(long, value_name = "PATH")]
    pub write: Vec<OsString>,
    /// Hide what PATTERN names: it reads as empty (`*`: any part of a name, `**`: any directories); `!PATTERN` shows it, also when it appears later
    #[arg(long, value_name = "PATTERN")]
    pub hide: Vec<OsString>,
    /// Let nobody change what PATTERN names; `!PATTERN` lifts that
    #[arg(long, value_name = "PATTERN")]
    pub protect: Vec<OsString>,
    /// Files with hard links outside (pnpm, uv): copy each at the start, refuse to start, or let them be changed
    #[arg(long, value_name = "copy|refuse|allow", value_parser = hard_links)]
    pub hard_links: Option<HardLinks>,
    /// Let a program run that the profile refuses (terraform, kubectl, ...)
    #[arg(long, value_name = "NAME")]
    pub allow_command: Vec<OsString>,
    /// Let a variable in, or set one
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// The network: `none`, `filtered` (the hosts that are granted), or `host` (not a boundary)
    #[arg(long, value_name = "none|filtered|host", value_parser = network)]
    pub net: Option<NetworkMode>,
    /// Let HOST be reached, on 443 and 80 or on PORT; `*.HOST` is every name below it
    #[arg(long, value_name = "HOST[:PORT]", value_parser = allow)]
    pub allow: Vec<Rule>,
    /// Let the service on that port of the host's loopback be reached
    #[arg(long, value_name = "PORT", value_parser = host_port)]
    pub host_port: Vec<u16>,
    /// Let the host reach PORT of the box, on its 127.0.0.1
    #[arg(long, value_name = "[HOSTPORT:]PORT", value_parser = publish)]
    pub publish: Vec<Ports>,
    /// memory, processes, cpu, file-size, open-files, disk, time, idle, output, stop-grace; VALUE `none` lifts it
    #[arg(long, value_name = "NAME=VALUE", value_parser = limit)]
    pub limit: Vec<CliLimit>,
    /// When the window is closed: `end` the session, or `detach`: it goes on without one
    #[arg(long, value_name = "end|detach", value_parser = hangup)]
    pub hangup: Option<OnHangup>,
    /// Layers that must hold (`agentbox check --layers` names them)
    #[arg(long, value_name = "LAYER,...", value_delimiter = ',', value_parser = layer)]
    pub require: Vec<Layer>,
    /// Layers that may be missing [default: all must hold]
    #[arg(long, value_name = "LAYER,...", value_delimiter = ',', value_parser = layer)]
    pub allow_missing: Vec<Layer>,
    /// The lowest rung that is accepted: full, nested, container-proc, landlock (`agentbox check --rungs`)
    #[arg(long, value_name = "RUNG", value_parser = rung)]
    pub rung: Option<Rung>,
    /// `allow`: a sandbox (bubblewrap, an agent's own) can be made within the box, which stands on the rung `nested` for it
    #[arg(long, value_name = "refuse|allow", value_parser = nested)]
    pub nested: Option<Nested>,
    /// What to run, with its arguments; everything behind COMMAND is COMMAND's
    #[arg(value_names = ["COMMAND", "ARG"], required = true, num_args = 1.., trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// One `--limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CliLimit {
    /// A limit.
    Limit(LimitName, LimitWish),
    /// `stop-grace` in seconds.
    StopGrace(f64),
}

/// For clap: a sentence and its remedy.
fn said(bad: value::BadValue) -> String {
    if bad.help.is_empty() {
        bad.what
    } else {
        format!("{}; {}", bad.what, bad.help)
    }
}

fn network(text: &str) -> Result<NetworkMode, String> {
    value::network(text).map_err(said)
}

fn rung(text: &str) -> Result<Rung, String> {
    value::rung(text).map_err(said)
}

fn nested(text: &str) -> Result<Nested, String> {
    value::nested(text).map_err(said)
}

fn hard_links(text: &str) -> Result<HardLinks, String> {
    value::hard_links(text).map_err(said)
}

fn allow(text: &str) -> Result<Rule, String> {
    value::allow(text).map_err(said)
}

fn host_port(text: &str) -> Result<u16, String> {
    value::host_port(text).map_err(said)
}

fn publish(text: &str) -> Result<Ports, String> {
    value::publish(text).map_err(said)
}

fn hangup(text: &str) -> Result<OnHangup, String> {
    value::hangup(text).map_err(said)
}

fn layer(text: &str) -> Result<Layer, String> {
    value::layer(text).map_err(said)
}

fn limit(text: &str) -> Result<CliLimit, String> {
    let Some((name, rest)) = text.split_once('=') else {
        return Err("NAME=VALUE is expected, as in memory=8GiB".to_owned());
    };
    if name == "stop-grace" {
        return value::duration(rest).map(CliLimit::StopGrace).map_err(said);
    }
    let names = || value::LIMITS.iter().map(|(name, _)| *name);
    match value::LIMITS.iter().find(|(known, _)| *known == name) {
        Some((_, limit)) => value::limit(*limit, rest)
            .map(|wish| CliLimit::Limit(*limit, wish))
            .map_err(said),
        None => Err(match crate::profile::closest(name, names()) {
            Some(near) => format!("there is no limit `{name}`; did you mean `{near}`?"),
            None => format!(
                "there is no limit `{name}`; limits: {}, stop-grace",
                names().collect::<Vec<_>>().join(", ")
            ),
        }),
    }
}

/// Flags that mean something no profile or plan can say: bad usage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A flag with a value that cannot be used.
    #[error("{flag} {value}: {why}")]
    Flag {
        /// `--read`.
        flag: &'static str,
        /// Its value, for people; of `--env` only the name.
        value: String,
        /// Why not.
        why: String,
    },
}

impl PlanArgs {
    /// The wishes of the command line and the values that were given.
    ///
    /// `cwd` (absolute) is what relative paths are relative to.
    ///
    /// # Errors
    /// An empty path, an impossible name of a variable, a layer that is both required and allowed to be missing.
    pub fn wishes(&self, cwd: &Path) -> Result<(Fragment, GivenValues), UsageError> {
        let mut fragment = Fragment {
            name: "command line".to_owned(),
            ..Fragment::default()
        };
        for path in &self.read {
            let wish = path_wish(path, "--read", cwd)?;
            fragment.files.read.push(wish);
        }
        for path in &self.write {
            let wish = path_wish(path, "--write", cwd)?;
            fragment.files.write.push(wish);
        }
        for pattern in &self.hide {
            let wish = name_wish(pattern, "--hide", cwd)?;
            fragment.files.hide.push(wish);
        }
        for pattern in &self.protect {
            let wish = name_wish(pattern, "--protect", cwd)?;
            // What is moved away at the end is a protected name as well, to whoever reads of it.
            if wish.value.verdict == Verdict::Lifted {
                fragment.files.track.push(wish.clone());
            }
            fragment.files.protect.push(wish);
        }
        fragment.hard_links = self.hard_links.map(|rule| cli(rule, "--hard-links"));
        for name in &self.allow_command {
            let wish = program(name)?;
            fragment.programs.allow.push(wish);
        }
        let mut given = GivenValues::new();
        for text in &self.env {
            env(text, &mut fragment, &mut given)?;
        }
        self.network(&mut fragment, &given)?;
        for limit in &self.limit {
            match *limit {
                CliLimit::Limit(name, wish) => {
                    fragment.limits.push((name, cli(wish, "--limit")));
                }
                CliLimit::StopGrace(seconds) => {
                    fragment.stop_grace = Some(cli(seconds, "--limit"));
                }
            }
        }
        if let Some(layer) = self.require.iter().find(|l| self.allow_missing.contains(l)) {
            return Err(UsageError::Flag {
                flag: "--allow-missing",
                value: layer.name().to_owned(),
                why: "--require names the same layer; choose one".to_owned(),
            });
        }
        let layers = |list: &[Layer], flag| list.iter().map(|l| cli(*l, flag)).collect();
        fragment.require = layers(&self.require, "--require");
        fragment.allow_missing = layers(&self.allow_missing, "--allow-missing");
        fragment.rung = self.rung.map(|rung| cli(rung, "--rung"));
        fragment.nested = self.nested.map(|nested| cli(nested, "--nested"));
        fragment.hangup = self.hangup.map(|hangup| cli(hangup, "--hangup"));
        Ok((fragment, given))
    }

    /// The network. Who names a host or a port means the filtered one; together with another one it would mean nothing.
    fn network(&self, fragment: &mut Fragment, given: &GivenValues) -> Result<(), UsageError> {
        let flags = [
            (
                "--allow",
                self.allow.first().map(|rule| rule.to.to_string()),
            ),
            ("--host-port", self.host_port.first().map(u16::to_string)),
            (
                "--publish",
                self.publish.first().map(|ports| ports.inside.to_string()),
            ),
        ];
        let named = flags
            .into_iter()
            .find_map(|(flag, value)| Some((flag, value?)));
        fragment.network = match (self.net, named) {
            (Some(NetworkMode::Filtered) | None, Some((flag, _))) => {
                let flag = if self.net.is_some() { "--net" } else { flag };
                Some(cli(NetworkMode::Filtered, flag))
            }
            (Some(mode), Some((flag, value))) => {
                let why = match mode {
                    NetworkMode::Host => {
                        "with --net host everything can be reached; leave one of the two out"
                    }
                    _ => "with --net none there is no network; leave it out, or use --net filtered",
                };
                return Err(UsageError::Flag {
                    flag,
                    value,
                    why: why.to_owned(),
                });
            }
            (mode, None) => mode.map(|mode| cli(mode, "--net")),
        };
        let egress = &mut fragment.egress;
        let allow = self.allow.iter().cloned();
        egress.allow.extend(allow.map(|rule| cli(rule, "--allow")));
        let ports = self.host_port.iter();
        egress
            .host_ports
            .extend(ports.map(|port| cli(*port, "--host-port")));
        let publish = self.publish.iter();
        egress
            .publish
            .extend(publish.map(|ports| cli(*ports, "--publish")));
        for (name, value) in given {
            let (Some(name), Some(value)) = (name.os().to_str(), value.os().to_str()) else {
                continue;
            };
            if !names_one(name) {
                continue;
            }
            let flag = format!("--env {name}");
            match endpoint(value) {
                Some(Endpoint::HostPort(port)) => egress.host_ports.push(cli(port, &flag)),
                Some(Endpoint::Rule(rule)) => egress.allow.push(cli(rule, &flag)),
                None => {}
            }
        }
        Ok(())
    }

    /// Arguments for a trial run in that directory, as `agentbox check` makes them.
    #[must_use]
    pub fn for_check(workspace: &Path, net: NetworkMode, command: Vec<OsString>) -> PlanArgs {
        PlanArgs {
            workspace: Some(workspace.to_owned()),
            net: Some(net),
            command,
            ..PlanArgs::default()
        }
    }

    /// Whether the command line lets that layer be missing.
    #[must_use]
    pub fn may_be_missing(&self, layer: Layer) -> bool {
        self.allow_missing.contains(&layer)
    }

    /// What is to be run.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            argv: self
                .command
                .iter()
                .map(|a| OsText::from(a.as_os_str()))
                .collect(),
            workspace: self.workspace.clone(),
            drill: None,
        }
    }
}

pub(super) fn cli<T>(value: T, flag: &str) -> Wish<T> {
    Wish {
        value,
        origin: Origin::Cli {
            flag: flag.to_owned(),
        },
    }
}

/// A path as typed is a name of the file system and no pattern: no `?` at the end, any bytes. `~/` and `${workspace}` mean
/// what they mean in a profile (a shell does not expand `--read=~/x`); a relative path starts at the current directory.
fn path_wish(typed: &OsStr, flag: &'static str, cwd: &Path) -> Result<Wish<PathWish>, UsageError> {
    let bytes = typed.as_bytes();
    if bytes.is_empty() {
        return Err(UsageError::Flag {
            flag,
            value: "\"\"".to_owned(),
            why: "an empty path".to_owned(),
        });
    }
    let end = bytes
        .iter()
        .rposition(|b| *b != b'/')
        .map_or(1, |at| at + 1);
    let path = OsStr::from_bytes(&bytes[..end]);
    let known = ["~".as_bytes(), b"${workspace}"].iter().any(|start| {
        bytes[..end]
            .strip_prefix(*start)
            .is_some_and(|r| r.is_empty() || r[0] == b'/')
    });
    let path = if known {
        OsText::from(path)
    } else {
        OsText::from(cwd.join(path))
    };
    Ok(cli(
        PathWish {
            path,
            optional: false,
            make_dir: flag == "--write" && end < bytes.len(),
        },
        flag,
    ))
}

fn program(typed: &OsStr) -> Result<Wish<String>, UsageError> {
    const FLAG: &str = "--allow-command";
    let wrong = |why: String| UsageError::Flag {
        flag: FLAG,
        value: OsText::from(typed).to_string(),
        why,
    };
    let text = typed
        .to_str()
        .ok_or_else(|| wrong("not the name of a program".to_owned()))?;
    let name = value::program(text, ProgramList::Allow).map_err(|bad| wrong(said(bad)))?;
    Ok(cli(name, FLAG))
}

fn env(typed: &OsStr, fragment: &mut Fragment, given: &mut GivenValues) -> Result<(), UsageError> {
    let bytes = typed.as_bytes();
    let (name, value) = match bytes.iter().position(|b| *b == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let shown = OsText::from(OsStr::from_bytes(name));
    let wrong = |why: String| UsageError::Flag {
        flag: "--env",
        value: shown.to_string(),
        why,
    };
    if name.is_empty() {
        return Err(wrong("a name of a variable is missing".to_owned()));
    }
    match value {
        Some(value) => {
            // Any name that execve(2) can carry: some tools do use odd ones.
            let value = OsString::from_vec(value.to_vec());
            given.insert(shown.clone(), OsText::from(value));
            fragment.env.given.push(cli(shown, "--env"));
        }
        None => {
            let text = std::str::from_utf8(name)
                .map_err(|_| wrong("not a name of a variable".to_owned()))?;
            let name = value::variable(text, VariableList::Keep).map_err(|b| wrong(said(b)))?;
            fragment.env.keep.push(cli(name, "--env"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
