//! The addresses of a name, asked of the host's name servers within a deadline. Search domains are not applied.

#![forbid(unsafe_code)]

use super::reader::Names;
use super::tls::Timed;
use crate::gate::dns_client::{Answer, Kind, MAX_UDP, parse, question};
use crate::sys::random;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long one server may take before the next one is asked.
const EACH: Duration = Duration::from_millis(1500);

/// The addresses, IPv4 first.
///
/// # Errors
/// Why there is none.
pub(super) fn resolve(name: &str, names: &Names, until: Instant) -> Result<Vec<IpAddr>, String> {
    if !names.addresses.is_empty() {
        return Ok(names.addresses.clone());
    }
    let mut why = "no name server answers".to_owned();
    // In turns: a name server that is dead takes the time of one question, not of all.
    for round in 0..3 {
        for server in &names.servers {
            let now = Instant::now();
            if now >= until {
                return Err(format!("{name}: {why}"));
            }
            let limit = (now + EACH * (round + 1)).min(until);
            match both(*server, name, limit) {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => return Err(format!("{name} has no address")),
                Err(Failure::NoName) => return Err(format!("there is no name {name}")),
                Err(Failure::Other(what)) => {
                    why = format!("the name server {}: {what}", server.ip())
                }
            }
        }
    }
    Err(format!("{name}: {why}"))
}

enum Failure {
    NoName,
    Other(String),
}

fn both(server: SocketAddr, name: &str, until: Instant) -> Result<Vec<IpAddr>, Failure> {
    let mut found = one(server, name, Kind::A, until)?;
    // The second family is a bonus: a server that swallows its question must not cost the first.
    if found.is_empty() {
        found.extend(one(server, name, Kind::Aaaa, until)?);
    }
    Ok(found)
}

fn one(server: SocketAddr, name: &str, kind: Kind, until: Instant) -> Result<Vec<IpAddr>, Failure> {
    let other = |e: std::io::Error| Failure::Other(e.to_string());
    let answer = match by_udp(server, name, kind, until).map_err(other)? {
        Answer::Truncated => by_tcp(server, name, kind, until).map_err(other)?,
        answer => answer,
    };
    match answer {
        Answer::Addresses(found, _) => Ok(found),
        Answer::NoName => Err(Failure::NoName),
        Answer::Truncated | Answer::Failed => Err(Failure::Other("it failed".to_owned())),
    }
}

/// A new socket, hence a new random port, for each question.
fn by_udp(server: SocketAddr, name: &str, kind: Kind, until: Instant) -> std::io::Result<Answer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::from((any, 0)))?;
    socket.connect(server)?;
    let id = random::bytes::<2>().map(u16::from_be_bytes)?;
    socket.send(&question(id, name, kind))?;
    let mut buffer = vec![0; usize::from(MAX_UDP)];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let count = match socket.recv(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            other => other?,
        };
        let message = buffer.get(..count).unwrap_or_default();
        if let Some(answer) = parse(message, id, name, kind) {
            return Ok(answer);
        }
    }
}

fn by_tcp(server: SocketAddr, name: &str, kind: Kind, until: Instant) -> std::io::Result<Answer> {
    let mut stream = Timed::connect(server, until)?;
    let id = random::bytes::<2>().map(u16::from_be_bytes)?;
    let question = question(id, name, kind);
    let length = u16::try_from(question.len()).unwrap_or(0);
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&question)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(parse(&answer, id, name, kind).unwrap_or(Answer::Failed))
}
