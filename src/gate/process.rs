//! The entry of the stage: confine, then serve what the supervisor sends until its end of the channel is closed.

#![forbid(unsafe_code)]

use super::message::{FromGate, Text, Then, ToGate, Why};
use super::rules::{Allowlist, Refusal};
use super::state::Gate;
use super::{agent, answer, confine, proxy, relay, serve};
use crate::launch::channel::{Channel, ChannelError, Received, Sent};
use crate::plan::net::listen::Pass;
use crate::sys::process;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// The gate, until its channel ends.
pub fn main(channel: RawFd) -> ExitCode {
    // Nothing can be said without it: whoever starts this by hand has no channel.
    let Ok(channel) = process::take_descriptor(channel) else {
        return ExitCode::FAILURE;
    };
    let channel = Channel::from(channel);
    // Before the confinement, which leaves no way to make an epoll descriptor.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime.map_err(|e| e.to_string()).and_then(|runtime| {
        let connections = confine::confine()?;
        runtime.block_on(run(&channel, Arc::new(Gate::new(connections))))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let why = Text::of(why);
            let _ = channel.send(&FromGate::Failed { why }, &[]);
            ExitCode::FAILURE
        }
    }
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Connections of the box, for the address that they were made to.
    Box,
    /// The box's proxy; with a pass, for connections that begin with it.
    Proxy(Option<Pass>),
    /// The box's name server.
    Dns,
    /// Connections of the host, for this port of the box.
    Publish(u16),
}

async fn run(channel: &Channel, gate: Arc<Gate>) -> Result<(), String> {
    // Only to be woken: messages go by the channel. (A stream to tokio, which knows no SOCK_SEQPACKET.)
    let ready = channel
        .as_fd()
        .try_clone_to_owned()
        .map(std::os::unix::net::UnixStream::from)
        .and_then(|socket| {
            socket.set_nonblocking(true)?;
            UnixStream::from_std(socket)
        })
        .map_err(|e| format!("the channel: {e}"))?;
    channel
        .send(&FromGate::Ready, &[])
        .map_err(|e| e.to_string())?;
    let mut rules = Allowlist::default();
    let receive = async {
        loop {
            ready.readable().await.map_err(|e| e.to_string())?;
            match channel.try_recv::<ToGate>() {
                Ok(Received::Nothing) => clear(&ready, Interest::READABLE),
                Ok(Received::End) => {
                    // The box is gone. What has happened is told: the record is exact.
                    while let Some(message) = gate.outbox.take() {
                        let _ = channel.try_send(&message, &[]);
                    }
                    return Ok(());
                }
                Ok(Received::Message(message, fds)) => {
                    obey(&gate, message, fds, &mut rules)?;
                }
                Err(e) => return Err(e.to_string()),
            }
        }
    };
    let send = async {
        loop {
            let message = gate.outbox.next().await;
            loop {
                match channel.try_send(&message, &[]) {
                    Ok(Sent::Yes) => break,
                    Ok(Sent::Full) => {
                        clear(&ready, Interest::WRITABLE);
                        ready.writable().await.map_err(|e| e.to_string())?;
                    }
                    Err(ChannelError::Closed) => return Ok(()),
                    Err(e) => return Err(e.to_string()),
                }
            }
        }
    };
    tokio::select! {
        done = receive => done,
        done = send => done,
    }
}

/// Tells tokio that the channel has nothing, or no room: the next wait is for a change.
fn clear(ready: &UnixStream, interest: Interest) {
    let _ = ready.try_io(interest, || {
        Err::<(), _>(std::io::ErrorKind::WouldBlock.into())
    });
}

/// Does what the supervisor says.
fn obey(
    gate: &Arc<Gate>,
    message: ToGate,
    fds: Vec<OwnedFd>,
    rules: &mut Allowlist,
) -> Result<(), String> {
    let mut sockets = fds.into_iter();
    let mut serve = |serves| {
        sockets
            .by_ref()
            .for_each(|socket| listen(gate, socket, serves))
    };
    match message {
        ToGate::Config(config) => gate.configure(config)?,
        ToGate::Rules { allow, deny, then } => {
            rules.allow.extend(allow);
            rules.deny.extend(deny);
            if then == Then::Done {
                gate.set_rules(std::mem::take(rules));
                // Names that the box knows already may have new ports.
                for (index, ports) in gate.known() {
                    if !gate.missing(index, &ports).is_empty() {
                        let gate = gate.clone();
                        tokio::spawn(async move {
                            answer::make_sockets(&gate, index, &ports).await;
                        });
                    }
                }
            }
        }
        ToGate::Agent => sockets.for_each(|socket| agent_listen(gate, socket)),
        ToGate::Listener => serve(Serves::Box),
        ToGate::Proxy { pass } => serve(Serves::Proxy(pass)),
        ToGate::DnsTcp => serve(Serves::Dns),
        ToGate::Publish { box_port } => serve(Serves::Publish(box_port)),
        ToGate::DnsUdp => {
            for socket in sockets {
                let _ = nonblocking(&socket);
                tokio::spawn(answer::udp(gate.clone(), socket));
            }
        }
        ToGate::Socket { id } => gate.socket_came(id, sockets.next()),
        ToGate::NoSocket { id, .. } => gate.socket_came(id, None),
        ToGate::Resolver { has } => gate.resolver.files_came(&has, sockets.collect()),
    }
    Ok(())
}

fn nonblocking(socket: &OwnedFd) -> nix::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// Serves the box's ssh agent until the end of the gate.
fn agent_listen(gate: &Arc<Gate>, socket: OwnedFd) {
    let listener = nonblocking(&socket)
        .map_err(std::io::Error::from)
        .and_then(|()| UnixListener::from_std(socket.into()));
    let Ok(listener) = listener else { return };
    let gate = gate.clone();
    let places = Arc::new(Semaphore::new(agent::MOST));
    tokio::spawn(async move {
        // Too many wait in the queue of the socket until another one ends.
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let gate = gate.clone();
            tokio::spawn(async move {
                agent::serve(gate, stream).await;
                drop(place);
            });
        }
    });
}

/// Serves a listening socket until the end of the gate.
pub fn listen(gate: &Arc<Gate>, socket: OwnedFd, serves: Serves) {
    let listener = nonblocking(&socket)
        .map_err(std::io::Error::from)
        .and_then(|()| TcpListener::from_std(socket.into()));
    if let Ok(listener) = listener {
        tokio::spawn(accept(gate.clone(), listener, serves));
    }
}

async fn accept(gate: Arc<Gate>, listener: TcpListener, serves: Serves) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // Of the one connection (it is gone already), or no more descriptors: those come back.
                if !matches!(e.raw_os_error(), Some(libc::ECONNABORTED | libc::EPROTO)) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        let Ok(permit) = gate.connections.clone().try_acquire_owned() else {
            let what = Text::of("connections at the same time");
            let to = Text::of(local.ip().to_canonical().to_string());
            gate.refused_text(to, Some(local.port()), &Refusal::of(Why::TooMany { what }));
            relay::reset(stream);
            continue;
        };
        let gate = gate.clone();
        tokio::spawn(async move {
            one(gate, stream, local, peer, serves).await;
            drop(permit);
        });
    }
}

async fn one(
    gate: Arc<Gate>,
    stream: TcpStream,
    local: SocketAddr,
    _peer: SocketAddr,
    serves: Serves,
) {
    match serves {
        Serves::Box => serve::transparent(gate, stream, local).await,
        Serves::Proxy(None) => proxy::proxy(gate, stream).await,
        Serves::Proxy(Some(pass)) if proxy::passes(&stream, &pass).await => {
            proxy::proxy(gate, stream).await;
        }
        // Not of the box, which has no part in it: not a word in its record either.
        Serves::Proxy(Some(_)) => relay::reset(stream),
        Serves::Dns => answer::tcp(gate, stream).await,
        Serves::Publish(port) => serve::publish(gate, stream, port).await,
    }
}
