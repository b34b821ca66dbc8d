//! [`Reader`]: the half of a watch that can open files. It is forked off before the other half is confined, and reads what it
//! is asked for and nothing else: the token, and how the host resolves names. So a token that is renewed is found, and a VPN
//! that changes the name servers is followed.

#![forbid(unsafe_code)]

use super::command;
use crate::gate::address;
use crate::gate::resolver::{hosts_file, name_servers};
use crate::launch::channel::{self, Channel};
use crate::plan::remote::TokenFrom;
use crate::sys::job::{self, Stdio};
use crate::sys::process;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// The most bytes of a token.
const MAX_TOKEN: u64 = 16 * 1024;
/// The most bytes of /etc/hosts and /etc/resolv.conf.
const MAX_FILE: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
enum Need {
    Token,
    Name(String),
}

#[derive(Serialize, Deserialize)]
enum Given {
    Token(Result<String, String>),
    Name(Names),
}

/// How the host resolves a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// What /etc/hosts says.
    pub addresses: Vec<IpAddr>,
    /// The name servers.
    pub servers: Vec<SocketAddr>,
}

/// The channel to it. Without one (a human's command, which is not confined) it is done here.
pub struct Reader {
    token: Option<TokenFrom>,
    timeout: Duration,
    other: Option<Channel>,
}

impl Reader {
    /// In this very process.
    #[must_use]
    pub fn here(token: Option<TokenFrom>, timeout: Duration) -> Reader {
        Reader {
            token,
            timeout,
            other: None,
        }
    }

    /// In a process of its own, that ends with this one and has nothing of it but the channel.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn forked(token: Option<TokenFrom>, timeout: Duration) -> Result<Reader, String> {
        let (ours, theirs) = channel::pair().map_err(|e| format!("socketpair: {e}"))?;
        let work = |channel: OwnedFd| {
            let _ = process::set_name(c"agentbox-reader");
            if process::die_with_parent().is_ok() && process::set_undumpable().is_ok() {
                serve(&Channel::from(channel), token.as_ref(), timeout);
            }
            0
        };
        job::fork(theirs.into(), Stdio::Keep, work).map_err(|e| format!("fork: {e}"))?;
        Ok(Reader {
            token: None,
            timeout,
            other: Some(ours),
        })
    }

    fn ask(&self, need: &Need) -> Result<Given, String> {
        let Some(other) = &self.other else {
            return Ok(give(need, self.token.as_ref(), self.timeout));
        };
        let lost = |_| "the half that reads files is gone".to_owned();
        other.send(need, &[]).map_err(lost)?;
        match other.recv::<Given>().map_err(lost)? {
            Some((given, _)) => Ok(given),
            None => Err("the half that reads files is gone".to_owned()),
        }
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// Why there is none.
    pub fn token(&self) -> Result<String, String> {
        match self.ask(&Need::Token)? {
            Given::Token(token) => token,
            Given::Name(_) => Err("not a token".to_owned()),
        }
    }

    /// How that name is resolved.
    ///
    /// # Errors
    /// The other half is gone.
    pub fn names(&self, name: &str) -> Result<Names, String> {
        match self.ask(&Need::Name(name.to_owned()))? {
            Given::Name(names) => Ok(names),
            Given::Token(_) => Err("not a name".to_owned()),
        }
    }
}

fn serve(channel: &Channel, token: Option<&TokenFrom>, timeout: Duration) {
    while let Ok(Some((need, _))) = channel.recv::<Need>() {
        if channel.send(&give(&need, token, timeout), &[]).is_err() {
            return;
        }
    }
}

fn give(need: &Need, token: Option<&TokenFrom>, timeout: Duration) -> Given {
    match need {
        Need::Token => Given::Token(read_token(token, timeout)),
        Need::Name(name) => Given::Name(names(name)),
    }
}

fn read_token(from: Option<&TokenFrom>, timeout: Duration) -> Result<String, String> {
    let bytes = match from {
        None => return Err("no token is configured".to_owned()),
        Some(TokenFrom::Command(program)) => command::output(program.path(), timeout)?,
        Some(TokenFrom::File(path)) => {
            read(path.path(), MAX_TOKEN).map_err(|e| format!("the token file {path}: {e}"))?
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| "the token is not text".to_owned())?;
    let text = text.trim();
    if text.is_empty() {
        return Err("the token is empty".to_owned());
    }
    Ok(text.to_owned())
}

fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn names(name: &str) -> Names {
    let text = |path: &str| {
        let bytes = read(Path::new(path), MAX_FILE).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let name = address::normal(name).unwrap_or_default();
    let mut hosts = hosts_file(&text("/etc/hosts"));
    let mut servers = name_servers(&text("/etc/resolv.conf"));
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    }
    let mut addresses = hosts.remove(&name).unwrap_or_default();
    addresses.truncate(32);
    Names { addresses, servers }
}
