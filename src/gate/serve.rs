//! One connection of the box: decide, connect, pass on, or refuse in the words of its protocol.

#![forbid(unsafe_code)]

use super::connect::{self, Outside, Speaks};
use super::message::{Family, Refused, Text, Why};
use super::relay;
use super::rules::{Mark, Refusal, Terms};
use super::state::{Gate, Place};
use super::tunnel::{self, End, First, Track};
use super::web::{self, Pending};
use super::words;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// What the client speaks, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// TLS.
    Tls,
    /// HTTP; with the method of its last request.
    Http(String),
    /// SSH.
    Ssh,
    /// Not known, or the moment for words is over.
    Unknown,
}

impl Spoken {
    /// What is usual on a port.
    fn usual(port: u16) -> Spoken {
        match port {
            443 => Spoken::Tls,
            80 => Spoken::Http(String::new()),
            22 => Spoken::Ssh,
            _ => Spoken::Unknown,
        }
    }
}

/// Serves a connection that somebody in the box made to `local`.
pub async fn transparent(gate: Arc<Gate>, client: TcpStream, local: SocketAddr) {
    let (addr, port) = (local.ip().to_canonical(), local.port());
    let Some(place) = gate.place(addr) else {
        // An address that could be a name's, but is not.
        let refusal = Refusal::of(Why::NotGranted);
        let refused = gate.refused(&Place::Address(addr), Some(port), &refusal);
        return refuse(client, Spoken::usual(port), &refused).await;
    };
    let terms = match gate.decide(&place, port) {
        Ok(terms) => terms,
        Err(refusal) => {
            let refused = gate.refused(&place, Some(port), &refusal);
            return refuse(client, Spoken::usual(port), &refused).await;
        }
    };
    let ended = tokio::select! {
        biased;
        refusal = gate.revoked(&place, port) => (End::Refused(refusal), Spoken::Unknown),
        ended = pass(&gate, &client, &place, port, &terms) => ended,
    };
    finish(&gate, client, &place, port, ended).await;
}

/// Tells of the end of a connection, and the client of a refusal.
pub async fn finish(
    gate: &Gate,
    client: TcpStream,
    place: &Place,
    port: u16,
    (end, spoken): (End, Spoken),
) {
    match end {
        End::Done => {}
        End::Gone | End::Broken => relay::reset(client),
        End::Refused(refusal) => {
            let refused = gate.refused(place, Some(port), &refusal);
            refuse(client, spoken, &refused).await;
        }
    }
}

/// Closes with words where the protocol has some, else with a reset.
pub async fn refuse(client: TcpStream, spoken: Spoken, refused: &Refused) {
    match spoken {
        Spoken::Tls => relay::say_and_close(client, &words::tls(&refused.why)).await,
        Spoken::Ssh => relay::say_and_close(client, &words::ssh(refused)).await,
        Spoken::Http(method) if method.is_empty() => {
            // An answer to HEAD has no body, so wait for what it is.
            let mut bytes = Vec::new();
            let wait = tunnel::read_some(&client, &mut bytes);
            let _ = timeout(Duration::from_secs(1), wait).await;
            let method = bytes.split(|b| *b == b' ').next().unwrap_or_default();
            let words = words::http(refused, &String::from_utf8_lossy(method));
            relay::say_and_close(client, &words).await;
        }
        Spoken::Http(method) => {
            relay::say_and_close(client, &words::http(refused, &method)).await;
        }
        Spoken::Unknown => relay::reset(client),
    }
}

/// Does the gate read the requests of this connection?
fn reads_http(place: &Place, port: u16, terms: &Terms) -> bool {
    port == 80 && !terms.has(Mark::Plain) && matches!(place, Place::Name(_))
}

/// Must a client of this connection speak TLS?
fn wants_tls(place: &Place, port: u16, terms: &Terms) -> bool {
    port == 443 && !terms.has(Mark::Plain) && *place != Place::Host
}

/// Passes an allowed connection on. What is judged by its first bytes is connected after them.
async fn pass(
    gate: &Arc<Gate>,
    client: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
) -> (End, Spoken) {
    if reads_http(place, port, terms) {
        return requests(gate, client, place, port, terms, Pending::default(), None).await;
    }
    if wants_tls(place, port, terms) {
        let bytes = match tunnel::first_bytes_in_time(client, place, port, terms).await {
            Ok(bytes) if bytes.is_empty() => return (End::Done, Spoken::Unknown),
            Ok(bytes) => bytes,
            Err(end) => {
                let spoken = match &end {
                    End::Refused(Refusal {
                        why: Why::NotTls, ..
                    }) => Spoken::Unknown,
                    _ => Spoken::Tls,
                };
                return (end, spoken);
            }
        };
        return match connect::connect(gate, place, port, terms, Speaks::Anything).await {
            Ok(outside) => {
                let first = First::Judged(bytes);
                through(gate, client, &outside, place, port, terms, first).await
            }
            Err(refusal) => (End::Refused(refusal), Spoken::Tls),
        };
    }
    match connect::connect(gate, place, port, terms, Speaks::Anything).await {
        Ok(outside) => through(gate, client, &outside, place, port, terms, First::Unread).await,
        Err(refusal) => {
            let spoken = match Spoken::usual(port) {
                Spoken::Ssh => Spoken::Ssh,
                _ => Spoken::Unknown,
            };
            (End::Refused(refusal), spoken)
        }
    }
}

/// A tunnel over a connection that is made.
async fn through(
    gate: &Arc<Gate>,
    client: &TcpStream,
    outside: &Outside,
    place: &Place,
    port: u16,
    terms: &Terms,
    first: First,
) -> (End, Spoken) {
    let track = Track::open(gate, place, port, outside.address);
    let end = tunnel::run(client, &outside.stream, place, port, terms, first, &track).await;
    close_broken(&end, outside);
    (end, Spoken::Tls)
}

/// The server must see a reset when the client's stream did not end.
fn close_broken(end: &End, outside: &Outside) {
    if matches!(end, End::Broken | End::Gone) {
        let now = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        let linger = nix::sys::socket::sockopt::Linger;
        let _ = nix::sys::socket::setsockopt(&outside.stream, linger, &now);
    }
}

/// Requests of HTTP, to a connection that is made already or will be with the first one.
async fn requests(
    gate: &Arc<Gate>,
    client: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
    mut pending: Pending,
    outside: Option<Outside>,
) -> (End, Spoken) {
    let first = match web::first_request(client, &mut pending).await {
        Ok(Some(request)) => request,
        Ok(None) => return (End::Done, Spoken::Unknown),
        Err(end) => {
            let is_tls = pending.0.first() == Some(&0x16);
            let spoken = if is_tls {
                Spoken::Tls
            } else {
                Spoken::Http("GET".to_owned())
            };
            return (end, spoken);
        }
    };
    let method = first.method.clone();
    if let Err(refusal) = web::judge(&first, place, port) {
        return (End::Refused(refusal), Spoken::Http(method));
    }
    let outside = match outside {
        Some(outside) => outside,
        None => match connect::connect(gate, place, port, terms, Speaks::Http).await {
            Ok(outside) => outside,
            Err(refusal) => return (End::Refused(refusal), Spoken::Http(method)),
        },
    };
    let track = Track::open(gate, place, port, outside.address);
    let ended = web::run(client, &outside, place, port, first, pending, &track).await;
    close_broken(&ended.end, &outside);
    let spoken = if ended.may_answer {
        Spoken::Http(ended.method)
    } else {
        Spoken::Unknown
    };
    (ended.end, spoken)
}

/// The rest of a connection that came by the box's proxy: the tunnel stands, the client was told, and these bytes of it
/// were read already.
pub async fn tunneled(
    gate: &Arc<Gate>,
    client: &TcpStream,
    outside: Outside,
    place: &Place,
    port: u16,
    terms: &Terms,
    read: Vec<u8>,
) -> (End, Spoken) {
    if reads_http(place, port, terms) {
        let pending = Pending(read);
        return requests(gate, client, place, port, terms, pending, Some(outside)).await;
    }
    let first = if read.is_empty() && !wants_tls(place, port, terms) {
        First::Unread
    } else {
        let judged = tunnel::first_bytes(client, place, port, terms, read);
        match timeout(tunnel::PATIENCE, judged).await {
            Ok(Ok(bytes)) => First::Judged(bytes),
            Ok(Err(end)) => return (end, Spoken::Tls),
            Err(_) => return (End::Gone, Spoken::Unknown),
        }
    };
    through(gate, client, &outside, place, port, terms, first).await
}

/// Relays a connection of the host to a port of the box's loopback.
pub async fn publish(gate: Arc<Gate>, client: TcpStream, port: u16) {
    for (family, addr) in [
        (Family::V4, IpAddr::from(Ipv4Addr::LOCALHOST)),
        (Family::V6, Ipv6Addr::LOCALHOST.into()),
    ] {
        let Some(socket) = gate.socket(None, family).await else {
            continue;
        };
        let Ok(server) = dial(socket, SocketAddr::from((addr, port))).await else {
            continue;
        };
        let _ = server.set_nodelay(true);
        let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
        let up = async {
            relay::copy(&client, &server, &sent).await?;
            relay::shut(&server);
            Ok::<(), relay::Broken>(())
        };
        let down = async {
            relay::copy(&server, &client, &received).await?;
            relay::shut(&client);
            Ok(())
        };
        if tokio::try_join!(up, down).is_err() {
            relay::reset(client);
            relay::reset(server);
        }
        return;
    }
    let what = Text::of(format!("nothing listens on port {port} of the box"));
    let refusal = Refusal::of(Why::Unreachable { what });
    let refused = gate.refused_text(Text::of("the box"), Some(port), &refusal);
    refuse(client, Spoken::Unknown, &refused).await;
}

async fn dial(socket: OwnedFd, addr: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    TcpSocket::from_std_stream(socket).connect(addr).await
}
