//! Connecting outside: resolve, judge what was found, try the addresses (RFC 8305), or ask the host's proxy.

#![forbid(unsafe_code)]

use super::address::Host;
use super::message::{Text, Why};
use super::resolver::Else;
use super::rules::{Refusal, Terms};
use super::state::{Gate, Place};
use super::upstream::Proxy;
use nix::sys::socket::{setsockopt, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long one address may take before the next one is tried beside it (RFC 8305 5).
const NEXT: Duration = Duration::from_millis(250);
/// How long all of them may take.
const ALL: Duration = Duration::from_secs(60);
/// Seconds of silence before a probe, as SDKs, curl and ssh ask for: routers and clouds forget a connection after 4 to 6 minutes.
const PROBE: u32 = 60;
/// So many probes without an answer end it: 15 minutes, as long as the kernel waits where data goes out (tcp_retries2).
const PROBES: u32 = 15;
/// The most bytes of a proxy's answer.
const MAX_ANSWER: usize = 16 * 1024;

/// A connection outside.
#[derive(Debug)]
pub struct Outside {
    /// The connection.
    pub stream: TcpStream,
    /// Where it leads; `None` behind a proxy.
    pub address: Option<SocketAddr>,
    /// The proxy behind which a plain HTTP request has to name its host.
    pub through: Option<Proxy>,
}

/// What will be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Requests that the gate reads: a proxy gets them as they are.
    Http,
    /// Anything: a proxy is asked for a tunnel.
    Anything,
}

/// Connects to a place that the rules allow.
///
/// # Errors
/// The refusal: it leads where it must not, or cannot be reached.
pub async fn connect(
    gate: &Gate,
    place: &Place,
    port: u16,
    terms: &Terms,
    speaks: Speaks,
) -> Result<Outside, Refusal> {
    let proxies = gate.proxies();
    let host = match place {
        Place::Host => {
            let loopback = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ];
            return race(&loopback, port).await.map(direct);
        }
        Place::Name(name) => Host::Name(name.clone()),
        Place::Address(addr) => Host::Address(*addr),
    };
    let proxy = match speaks {
        Speaks::Http => proxies.http.as_ref(),
        Speaks::Anything => proxies.https.as_ref(),
    };
    let proxy = proxy.filter(|_| !proxies.is_direct(&host, port));
    let or_else = match proxy {
        Some(_) => Else::Proxy,
        None => Else::Nobody,
    };
    let addresses = match &host {
        Host::Address(addr) => Ok(vec![*addr]),
        Host::Name(name) => gate.resolver.resolve(gate, name, or_else).await,
    };
    let addresses = match (addresses, proxy) {
        (Ok(found), _) => judged(gate, terms, &found, port)?,
        // Where everything goes through a proxy only that one may be able to resolve.
        (Err(_), Some(_)) => Vec::new(),
        (Err(what), None) => {
            let what = Text::of(what);
            return Err(Refusal::of(Why::Unresolved { what }));
        }
    };
    let Some(proxy) = proxy else {
        return race(&addresses, port).await.map(direct);
    };
    let refusal = match through(gate, proxy, &host, port, speaks).await {
        Ok(outside) => return Ok(outside),
        Err(refusal) => refusal,
    };
    // Programs of other ports (ssh, psql) ask no proxy outside, and many a proxy refuses them.
    if WEB.contains(&port) || addresses.is_empty() {
        return Err(refusal);
    }
    race(&addresses, port)
        .await
        .map(direct)
        .map_err(|_| refusal)
}

/// Where a proxy's no is the last word.
const WEB: [u16; 2] = [80, 443];

fn direct(stream: TcpStream) -> Outside {
    Outside {
        address: stream.peer_addr().ok(),
        stream,
        through: None,
    }
}

/// The addresses that may be used; the refusal of the first one if there is none.
fn judged(gate: &Gate, terms: &Terms, found: &[IpAddr], port: u16) -> Result<Vec<IpAddr>, Refusal> {
    let rules = gate.rules();
    let mut good = Vec::new();
    let mut refusal = None;
    for addr in found {
        match rules.judge(terms, *addr, port, || is_own(*addr)) {
            Ok(()) => good.push(addr.to_canonical()),
            Err(why) => {
                refusal.get_or_insert(why);
            }
        }
    }
    match refusal {
        Some(refusal) if good.is_empty() => Err(refusal),
        _ => Ok(good),
    }
}

/// Is it an address of this host? The kernel chooses the address itself as the source of what goes to it; nothing is sent.
fn is_own(addr: IpAddr) -> bool {
    let any: IpAddr = match addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = std::net::UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((addr, 9)).and_then(|()| socket.local_addr()));
    match source {
        Ok(source) => source.ip() == addr,
        // No route and no such family: the connection will say so. Whatever else keeps the answer back (no descriptor is
        // left) must not look like a no.
        Err(e) => !matches!(
            e.raw_os_error(),
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
        ),
    }
}

/// IPv6 and IPv4 by turns, beginning with the family of the first one.
fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (Vec<IpAddr>, Vec<IpAddr>) = addresses
        .iter()
        .partition(|addr| addr.is_ipv6() == first_is_v6);
    one.reverse();
    other.reverse();
    let mut out = Vec::with_capacity(addresses.len());
    while let Some(addr) = one.pop() {
        out.push(addr);
        out.extend(other.pop());
    }
    other.reverse();
    out.extend(other);
    out
}

/// Connects to one of these addresses.
async fn race(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Refusal> {
    let failed = |what: String| {
        let what = Text::of(what);
        Refusal::of(Why::Unreachable { what })
    };
    let attempt = |addr: IpAddr| TcpStream::connect(SocketAddr::from((addr, port)));
    let order = interleaved(addresses);
    // The usual case without a task of its own.
    if let [only] = order.as_slice() {
        return match timeout(ALL, attempt(*only)).await {
            Ok(Ok(stream)) => Ok(ready(stream)),
            Ok(Err(e)) => Err(failed(words(&e))),
            Err(_) => Err(failed("no answer".to_owned())),
        };
    }
    let mut waiting = order.into_iter();
    let mut running = JoinSet::new();
    let mut why = "no answer".to_owned();
    let run = async {
        loop {
            if let Some(addr) = waiting.next() {
                running.spawn(attempt(addr));
            }
            let done = if waiting.len() > 0 {
                timeout(NEXT, running.join_next()).await.ok()
            } else {
                Some(running.join_next().await)
            };
            match done {
                // Slow: the next one beside it.
                None => {}
                Some(Some(Ok(Ok(stream)))) => return Some(ready(stream)),
                Some(Some(Ok(Err(e)))) => why = words(&e),
                Some(Some(Err(_))) => {}
                Some(None) if waiting.len() == 0 => return None,
                Some(None) => {}
            }
        }
    };
    let won = timeout(ALL, run).await.ok().flatten();
    won.ok_or_else(|| failed(why))
}

/// The kernel's word without the number that std adds.
fn words(error: &std::io::Error) -> String {
    crate::sys::errno_of(error).desc().to_owned()
}

/// Small writes go out at once, and a silent connection is probed: the client's kernel probes no further than the gate.
fn ready(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(&stream, sockopt::TcpKeepIdle, &PROBE);
    let _ = setsockopt(&stream, sockopt::TcpKeepInterval, &PROBE);
    let _ = setsockopt(&stream, sockopt::TcpKeepCount, &PROBES);
    let _ = setsockopt(&stream, sockopt::KeepAlive, &true);
    stream
}

/// A connection by the host's proxy, whose own address is not the box's choice and need not be granted.
async fn through(
    gate: &Gate,
    proxy: &Proxy,
    host: &Host,
    port: u16,
    speaks: Speaks,
) -> Result<Outside, Refusal> {
    let failed = |what: String| {
        let what = Text::of(format!("the host's proxy: {what}"));
        Refusal::of(Why::Unreachable { what })
    };
    let addresses = match &proxy.host {
        Host::Address(addr) => vec![*addr],
        Host::Name(name) => {
            let found = gate.resolver.resolve(gate, name, Else::Nobody).await;
            found.map_err(failed)?
        }
    };
    let mut stream = race(&addresses, proxy.port).await.map_err(|refusal| {
        failed(match refusal.why {
            Why::Unreachable { what } => what.to_string(),
            other => other.to_string(),
        })
    })?;
    if speaks == Speaks::Http {
        return Ok(Outside {
            stream,
            address: None,
            through: Some(proxy.clone()),
        });
    }
    let target = match host {
        Host::Name(name) => format!("{name}:{port}"),
        Host::Address(IpAddr::V4(addr)) => format!("{addr}:{port}"),
        Host::Address(IpAddr::V6(addr)) => format!("[{addr}]:{port}"),
    };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(value) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    request.push_str("\r\n");
    let status = timeout(ALL, async {
        stream.write_all(request.as_bytes()).await?;
        // Byte by byte: what comes behind the head is the server's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_ANSWER {
            head.push(stream.read_u8().await?);
        }
        Ok::<_, std::io::Error>(head)
    })
    .await;
    let head = match status {
        Ok(Ok(head)) => head,
        Ok(Err(e)) => return Err(failed(words(&e))),
        Err(_) => return Err(failed("no answer".to_owned())),
    };
    if !head.ends_with(b"\r\n\r\n") {
        // The rest of it would be the server's first bytes.
        return Err(failed("a head of more than 16 KiB".to_owned()));
    }
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let granted = matches!(line.get(..12), Some(line) if line.starts_with(b"HTTP/1.") && line.ends_with(b" 200"));
    if !granted {
        return Err(failed(String::from_utf8_lossy(line).into_owned()));
    }
    Ok(Outside {
        stream,
        address: None,
        through: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn families_take_turns() {
        let list =
            |text: &str| -> Vec<IpAddr> { text.split(' ').map(|t| t.parse().unwrap()).collect() };
        let rows = [
            ("1.1.1.1", "1.1.1.1"),
            ("1.1.1.1 1.1.1.2 ::1 ::2", "1.1.1.1 ::1 1.1.1.2 ::2"),
            ("::1 1.1.1.1 1.1.1.2 1.1.1.3", "::1 1.1.1.1 1.1.1.2 1.1.1.3"),
            ("::1 ::2 ::3 1.1.1.1", "::1 1.1.1.1 ::2 ::3"),
        ];
        for (given, want) in rows {
            assert_eq!(interleaved(&list(given)), list(want), "{given}");
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_known() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
