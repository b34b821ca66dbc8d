//! Resolving names outside: `[network.hosts]`, the host's /etc/hosts, the host's name servers. The gate opens no file; the
//! supervisor hands it /etc/resolv.conf and /etc/hosts when it asks, so that a VPN that changes them is followed.

#![forbid(unsafe_code)]

use super::address;
use super::dns_client::{self, Answer, Kind, MAX_UDP};
use super::message::{FromGate, ResolverFile};
use super::state::Gate;
use crate::sys::{errno_of, random};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the host's files are taken for what they were.
const FRESH: Duration = Duration::from_secs(2);
/// How long the supervisor may take to send them.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a name server may take, the first and the second time.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];
/// The same where the host's proxy resolves as well, after a name went without any answer.
const BRIEF: [Duration; 1] = [Duration::from_millis(500)];
/// What is said where none answers.
const SILENCE: &str = "no name server answers";
/// How long the other family is waited for when one has answered.
const OTHER: Duration = Duration::from_millis(500);
/// Bounds of how long an answer is kept, and of how many.
const KEEP: (u32, u32) = (1, 300);
const KEEP_NOTHING: Duration = Duration::from_secs(2);
const MAX_KEPT: usize = 1024;
/// The most bytes of a file that are read.
const MAX_FILE: u64 = 1 << 20;

/// Who else can find a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Else {
    /// Nobody.
    Nobody,
    /// The host's proxy: what the host finds is only judged.
    Proxy,
}

/// What is known of the host's resolver.
#[derive(Debug, Default)]
pub struct Resolver {
    state: Mutex<State>,
    files: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    servers: Vec<SocketAddr>,
    hosts: HashMap<String, Vec<IpAddr>>,
    read: Option<Instant>,
    requested: Option<Instant>,
    /// The last name that was asked for in vain had no answer at all: where only a proxy gets out, often none ever comes.
    is_silent: bool,
    kept: HashMap<String, Kept>,
    /// Names that are being asked for: one question for all who wait.
    asking: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    found: Result<Vec<IpAddr>, String>,
    until: Instant,
}

impl Resolver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The supervisor's files.
    pub fn files_came(&self, has: &[ResolverFile], files: Vec<OwnedFd>) {
        let (mut servers, mut hosts) = (Vec::new(), HashMap::new());
        for (file, fd) in has.iter().zip(files) {
            let mut bytes = Vec::new();
            // What cannot be read is as if it were not there: as every resolver does it.
            let _ = File::from(fd).take(MAX_FILE).read_to_end(&mut bytes);
            let text = String::from_utf8_lossy(&bytes);
            match file {
                ResolverFile::ResolvConf => servers = name_servers(&text),
                ResolverFile::Hosts => hosts = hosts_file(&text),
            }
        }
        if servers.is_empty() {
            servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        let mut state = self.state();
        if state.servers != servers {
            // Another network: what was true in the old one need not be true here.
            state.kept.clear();
            state.is_silent = false;
        }
        state.servers = servers;
        state.hosts = hosts;
        state.read = Some(Instant::now());
        drop(state);
        self.files.send_modify(|n| *n += 1);
    }

    /// The addresses of a name, in the order of their source.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn resolve(
        &self,
        gate: &Gate,
        name: &str,
        or_else: Else,
    ) -> Result<Vec<IpAddr>, String> {
        if let Some((_, addresses)) = gate.config().hosts.iter().find(|(own, _)| own == name) {
            return Ok(addresses.clone());
        }
        self.refresh(gate).await;
        if let Some(known) = self.known(name) {
            return known;
        }
        let turn = {
            let mut state = self.state();
            if state.asking.len() >= MAX_KEPT {
                // Left behind by connections that ended while they waited.
                state.asking.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            state.asking.entry(name.to_owned()).or_default().clone()
        };
        let _turn = turn.lock().await;
        if let Some(known) = self.known(name) {
            return known;
        }
        let (servers, is_silent) = {
            let state = self.state();
            (state.servers.clone(), state.is_silent)
        };
        // Each connection would wait for nothing: programs outside of the box ask the proxy only.
        let patience: &[Duration] = match (is_silent, or_else) {
            (true, Else::Proxy) => &BRIEF,
            _ => &PATIENCE,
        };
        let found = ask(&servers, name, patience).await;
        let is_silent = matches!(&found, Err(why) if why == SILENCE);
        let (found, seconds) = match found {
            Ok((addresses, ttl)) => (
                Ok(addresses),
                Duration::from_secs(u64::from(ttl.clamp(KEEP.0, KEEP.1))),
            ),
            Err(why) => (Err(why), KEEP_NOTHING),
        };
        let now = Instant::now();
        let mut state = self.state();
        state.asking.remove(name);
        state.is_silent = is_silent;
        if state.kept.len() >= MAX_KEPT {
            state.kept.retain(|_, kept| kept.until > now);
        }
        if state.kept.len() < MAX_KEPT {
            let kept = Kept {
                found: found.clone(),
                until: now + seconds,
            };
            state.kept.insert(name.to_owned(), kept);
        }
        found
    }

    fn known(&self, name: &str) -> Option<Result<Vec<IpAddr>, String>> {
        let state = self.state();
        if let Some(addresses) = state.hosts.get(name) {
            return Some(Ok(addresses.clone()));
        }
        let kept = state.kept.get(name)?;
        (kept.until > Instant::now()).then(|| kept.found.clone())
    }

    /// Asks for the files if the ones that were read are old.
    async fn refresh(&self, gate: &Gate) {
        let fresh = |at: Instant| at.elapsed() < FRESH;
        let mut files = self.files.subscribe();
        {
            let mut state = self.state();
            if state.read.is_some_and(fresh) {
                return;
            }
            // One request for all who wait.
            if state.requested.is_none_or(|at| at.elapsed() >= ANSWER) {
                state.requested = Some(Instant::now());
                gate.outbox.request(FromGate::NeedResolver);
            }
        }
        // Without an answer the old ones are used.
        let _ = timeout(ANSWER, files.changed()).await;
    }
}

/// The name servers of a resolv.conf(5); at most three, as it says.
pub(crate) fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let is = words.next() == Some("nameserver");
            words.next().filter(|_| is)
        })
        // A zone (fe80::1%eth0) would need the number of the interface, which a confined process cannot ask for.
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .take(3)
        .map(|addr| SocketAddr::from((addr, 53)))
        .collect()
}

/// A hosts(5).
pub(crate) fn hosts_file(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(addr) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words.filter_map(address::normal) {
            hosts.entry(name).or_default().push(addr);
        }
    }
    hosts
}

/// Addresses and for how many seconds, or why there is none.
type Found = Result<(Vec<IpAddr>, u32), String>;

/// Asks for both families at once.
async fn ask(servers: &[SocketAddr], name: &str, patience: &[Duration]) -> Found {
    let mut v4 = std::pin::pin!(ask_kind(servers, name, Kind::A, patience));
    let mut v6 = std::pin::pin!(ask_kind(servers, name, Kind::Aaaa, patience));
    let (first, second) = tokio::select! {
        first = &mut v4 => {
            let second = other(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = other(&first, v4).await;
            (second, first)
        }
    };
    match (first, second) {
        (Ok((mut found, ttl)), Ok((more, other))) => {
            found.extend(more);
            if found.is_empty() {
                return Err("it has no address".to_owned());
            }
            Ok((found, ttl.min(other)))
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.0.is_empty() => Ok(found),
        (Err(why), _) | (_, Err(why)) => Err(why),
    }
}

/// The other family's answer. That a name has no address of the one (with DNS64: none but those that the name server still
/// has to make) is no reason to wait less.
async fn other(first: &Found, second: impl Future<Output = Found>) -> Found {
    if !first.as_ref().is_ok_and(|(found, _)| !found.is_empty()) {
        return second.await;
    }
    timeout(OTHER, second).await.unwrap_or(Err(String::new()))
}

async fn ask_kind(servers: &[SocketAddr], name: &str, kind: Kind, rounds: &[Duration]) -> Found {
    let mut why = SILENCE.to_owned();
    for patience in rounds.iter().copied() {
        for server in servers {
            let answer = match timeout(patience, ask_udp(*server, name, kind)).await {
                Ok(Ok(Answer::Truncated)) => {
                    match timeout(patience, ask_tcp(*server, name, kind)).await {
                        Ok(answer) => answer,
                        Err(_) => continue,
                    }
                }
                Ok(answer) => answer,
                Err(_) => continue,
            };
            match answer {
                Ok(Answer::Addresses(found, ttl)) => return Ok((found, ttl)),
                Ok(Answer::NoName) => return Err("no such name".to_owned()),
                Ok(Answer::Truncated | Answer::Failed) => {
                    why = format!("the name server {} failed", server.ip());
                }
                Err(e) => {
                    let words = errno_of(&e).desc();
                    why = format!("the name server {}: {words}", server.ip());
                }
            }
        }
    }
    Err(why)
}

fn random_id() -> std::io::Result<u16> {
    random::bytes::<2>().map(u16::from_be_bytes)
}

async fn ask_udp(server: SocketAddr, name: &str, kind: Kind) -> std::io::Result<Answer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A new socket, hence a new random port, for each question: with the number 32 bits to guess. Connected, so that the
    // kernel takes answers from this server only.
    let socket = UdpSocket::bind(SocketAddr::from((any, 0))).await?;
    socket.connect(server).await?;
    let id = random_id()?;
    socket.send(&dns_client::question(id, name, kind)).await?;
    let mut buf = vec![0; usize::from(MAX_UDP)];
    loop {
        let len = socket.recv(&mut buf).await?;
        let message = buf.get(..len).unwrap_or_default();
        if let Some(answer) = dns_client::parse(message, id, name, kind) {
            return Ok(answer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, name: &str, kind: Kind) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    let question = dns_client::question(id, name, kind);
    let len = u16::try_from(question.len()).unwrap_or(0);
    let mut message = len.to_be_bytes().to_vec();
    message.extend_from_slice(&question);
    stream.write_all(&message).await?;
    let len = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await?;
    Ok(dns_client::parse(&answer, id, name, kind).unwrap_or(Answer::Failed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn resolv_conf_is_read() {
        let text = "# c\nsearch corp\nnameserver 127.0.0.53\n nameserver ::1 \nnameserver fe80::1%eth0\nnameservers 1.1.1.1\nnameserver x\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n";
        let got: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(got, ["127.0.0.53:53", "[::1]:53", "9.9.9.9:53"]);
    }

    #[test]
    fn hosts_are_read() {
        let got =
            hosts_file("127.0.0.1 localhost # x y\n10.0.0.1\tDB.corp db\n::1 localhost\nbad z\n");
        assert_eq!(got.len(), 3);
        assert_eq!(got.get("localhost").unwrap().len(), 2);
        assert_eq!(
            got.get("db.corp").unwrap(),
            &["10.0.0.1".parse::<IpAddr>().unwrap()]
        );
    }
}
