//! The DNS server of the box: names that are granted have synthetic addresses, others do not exist. Nothing leaves the
//! machine because of a question.

#![forbid(unsafe_code)]

use super::dns::{self, Asks, Code, Query, Record};
use super::message::{Text, Why};
use super::names;
use super::rules::Refusal;
use super::state::{Gate, is_local_name};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Questions that wait for sockets at the same time.
const MAX_WAITING: usize = 256;
/// How long a TCP client may be silent.
const IDLE: Duration = Duration::from_secs(10);

/// What the answer to a question is.
#[derive(Debug)]
enum Found {
    /// This, now.
    Now(Code, Vec<Record>),
    /// The addresses of this granted name, when its sockets are there.
    Later(u32, Vec<u16>, Vec<Record>),
}

/// Looks a question up.
fn look(gate: &Gate, query: &Query) -> Found {
    let nothing = |code| Found::Now(code, Vec::new());
    let (name, kind) = match &query.asks {
        Asks::V4(name) => (name, Some(true)),
        Asks::V6(name) => (name, Some(false)),
        Asks::Other(name) => (name, None),
        Asks::Name(addr) => {
            return match gate.name_of(*addr) {
                Some(name) => Found::Now(Code::NoError, vec![Record::Name(name)]),
                None => nothing(Code::NxDomain),
            };
        }
        Asks::Nonsense => {
            gate.refused_text(Text::lossy(&query.raw), None, &Refusal::of(Why::OddHost));
            return nothing(Code::NxDomain);
        }
    };
    if is_local_name(name) {
        let record = kind.map(|v4| match v4 {
            true => Record::V4(Ipv4Addr::LOCALHOST),
            false => Record::V6(Ipv6Addr::LOCALHOST),
        });
        return Found::Now(Code::NoError, record.into_iter().collect());
    }
    let rules = gate.rules();
    let ports = rules.ports(name);
    if ports.is_empty() {
        let refusal = rules
            .decide(&super::rules::Request::Name(name, 443))
            .err()
            .unwrap_or_else(|| Refusal::of(Why::NotGranted));
        gate.refused_text(Text::of(name), None, &refusal);
        return nothing(Code::NxDomain);
    }
    let Some(v4) = kind else {
        return nothing(Code::NoError);
    };
    let Some(index) = gate.index(name) else {
        let what = Text::of("names in one session");
        gate.refused_text(Text::of(name), None, &Refusal::of(Why::TooMany { what }));
        return nothing(Code::ServFail);
    };
    let addresses = names::synthetic(index);
    let record = if v4 {
        Record::V4(addresses.0)
    } else {
        Record::V6(addresses.1)
    };
    if gate.missing(index, &ports).is_empty() {
        Found::Now(Code::NoError, vec![record])
    } else {
        Found::Later(index, ports, vec![record])
    }
}

/// Asks for the sockets that a name needs and serves them. Where one cannot be had the kernel, or a server of the agent's,
/// answers the connection; the name has its addresses all the same.
pub async fn make_sockets(gate: &Arc<Gate>, index: u32, ports: &[u16]) {
    let mut making = JoinSet::new();
    for addr in gate.missing(index, ports) {
        let gate = gate.clone();
        making.spawn(async move {
            if let Some(socket) = gate.bind(addr).await {
                super::process::listen(&gate, socket, super::process::Serves::Box);
            }
        });
    }
    while making.join_next().await.is_some() {}
}

/// What a message gets.
#[derive(Debug)]
enum Reply {
    /// No answer.
    Silence,
    /// This.
    Now(Vec<u8>),
    /// An answer with these records, when the sockets of the name are there.
    Later {
        query: Box<Query>,
        index: u32,
        ports: Vec<u16>,
        records: Vec<Record>,
    },
}

fn reply(gate: &Gate, message: &[u8]) -> Reply {
    let query = match dns::parse(message) {
        Ok(query) => query,
        Err(bad) => return dns::answer_bad(bad).map_or(Reply::Silence, Reply::Now),
    };
    match look(gate, &query) {
        Found::Now(code, records) => Reply::Now(dns::answer(&query, code, &records)),
        Found::Later(index, ports, records) => Reply::Later {
            query: Box::new(query),
            index,
            ports,
            records,
        },
    }
}

/// Where a datagram came from, and to which address.
#[derive(Debug)]
struct Envelope {
    from: SockaddrStorage,
    to: Option<To>,
}

#[derive(Debug, Clone, Copy)]
enum To {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Serves a UDP socket for ever.
pub async fn udp(gate: Arc<Gate>, socket: OwnedFd) {
    let Ok(socket) = UdpSocket::from_std(socket.into()) else {
        return;
    };
    let socket = Arc::new(socket);
    let waiting = Arc::new(Semaphore::new(MAX_WAITING));
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        // One byte more than a question may have, so that a longer one is seen to be longer.
        let mut buf = vec![0; dns::MAX_QUERY + 1];
        let got = socket.try_io(Interest::READABLE, || receive(&socket, &mut buf));
        let Ok((len, envelope)) = got else {
            continue;
        };
        buf.truncate(len);
        // Most answers are known at once and cost no task.
        match reply(&gate, &buf) {
            Reply::Silence => {}
            Reply::Now(answer) => send(&socket, &answer, &envelope),
            Reply::Later {
                query,
                index,
                ports,
                records,
            } => {
                let Ok(permit) = waiting.clone().try_acquire_owned() else {
                    let busy = dns::answer(&query, Code::ServFail, &[]);
                    send(&socket, &busy, &envelope);
                    continue;
                };
                let (gate, socket) = (gate.clone(), socket.clone());
                tokio::spawn(async move {
                    make_sockets(&gate, index, &ports).await;
                    let answer = dns::answer(&query, Code::NoError, &records);
                    send(&socket, &answer, &envelope);
                    drop(permit);
                });
            }
        }
    }
}

fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<(usize, Envelope)> {
    let mut control = cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
    let mut parts = [IoSliceMut::new(buf)];
    let got = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let mut to = None;
    for message in got.cmsgs()? {
        match message {
            // A dual-stack socket has both for IPv4; the IPv6 one says ::ffff:a.b.c.d and is what goes back.
            ControlMessageOwned::Ipv6PacketInfo(info) => to = Some(To::V6(info)),
            ControlMessageOwned::Ipv4PacketInfo(info) if to.is_none() => to = Some(To::V4(info)),
            _ => {}
        }
    }
    let from = got.address.ok_or(Errno::EINVAL)?;
    Ok((got.bytes, Envelope { from, to }))
}

/// From the address that was asked, or resolvers take the answer for somebody else's.
fn send(socket: &UdpSocket, answer: &[u8], envelope: &Envelope) {
    let parts = [IoSlice::new(answer)];
    let (v4, v6);
    let control = match envelope.to {
        None => None,
        Some(To::V4(mut info)) => {
            info.ipi_spec_dst = info.ipi_addr;
            info.ipi_ifindex = 0;
            v4 = info;
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(To::V6(mut info)) => {
            info.ipi6_ifindex = 0;
            v6 = info;
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
    };
    // Nobody waits for ever for a lost answer: it is UDP.
    let _ = sendmsg(
        socket.as_raw_fd(),
        &parts,
        control.as_slice(),
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        Some(&envelope.from),
    );
}

/// Serves a TCP connection.
pub async fn tcp(gate: Arc<Gate>, mut stream: TcpStream) {
    while let Ok(Ok(len)) = timeout(IDLE, stream.read_u16()).await {
        let len = usize::from(len);
        // No question is longer, and room for 64 KiB on every connection is more than the gate may have: it would end.
        if len > dns::MAX_QUERY {
            return;
        }
        let mut message = vec![0; len];
        if !matches!(
            timeout(IDLE, stream.read_exact(&mut message)).await,
            Ok(Ok(_))
        ) {
            return;
        }
        let answer = match reply(&gate, &message) {
            Reply::Silence => return,
            Reply::Now(answer) => answer,
            Reply::Later {
                query,
                index,
                ports,
                records,
            } => {
                make_sockets(&gate, index, &ports).await;
                dns::answer(&query, Code::NoError, &records)
            }
        };
        let mut framed = u16::try_from(answer.len())
            .unwrap_or(0)
            .to_be_bytes()
            .to_vec();
        framed.extend_from_slice(&answer);
        if !matches!(timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}
