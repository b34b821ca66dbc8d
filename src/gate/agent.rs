//! The box's end of the caller's ssh agent: lists the granted keys, and passes on what logs in to a granted server with one of
//! them. Each connection of the box has one of its own to the agent outside, which the supervisor makes.
//!
//! A boundary: without the private keys, and without a signature that any other server would take. What the agent of the box
//! does on a granted server, it does with the caller's rights there.

#![forbid(unsafe_code)]

use super::message::{GateEvent, Text, Why};
use super::rules::Refusal;
use super::ssh::{self, Bind, FAILURE, LIST, Message, SUCCESS, framed};
use super::state::Gate;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Connections at a time. Each is one to the agent outside, whose descriptors the caller's other programs need as well.
pub const MOST: usize = 32;

/// What of the agent is granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// Servers: name and key.
    pub hosts: Vec<(String, Vec<u8>)>,
    /// Keys: name and public key.
    pub keys: Vec<(String, Vec<u8>)>,
}

impl Granted {
    fn host(&self, key: &[u8]) -> Option<&str> {
        let mut hosts = self.hosts.iter();
        hosts
            .find(|(_, known)| known == key)
            .map(|(name, _)| name.as_str())
    }

    fn key(&self, key: &[u8]) -> Option<&str> {
        let mut keys = self.keys.iter();
        keys.find(|(_, known)| known == key)
            .map(|(name, _)| name.as_str())
    }
}

/// The session that a connection is bound to.
struct Bound {
    session: Vec<u8>,
    host_key: Vec<u8>,
    host: String,
}

/// One connection of the box.
struct Client<'g> {
    gate: &'g Gate,
    granted: Arc<Granted>,
    outside: Option<UnixStream>,
    bound: Option<Bound>,
}

/// Serves a connection until its end.
pub async fn serve(gate: Arc<Gate>, mut stream: UnixStream) {
    let mut client = Client {
        gate: &gate,
        granted: gate.granted_keys(),
        outside: None,
        bound: None,
    };
    while let Some(message) = frame(&mut stream).await {
        let answer = client.answer(&message).await;
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The next message without its length; `None` at the end and for one that is too long.
async fn frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await.ok()?).ok()?;
    if length == 0 || length > ssh::MAX {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

impl Client<'_> {
    async fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        match self.judge(message).await {
            Ok(answer) => answer,
            Err(what) => {
                let what = Text::of(what);
                let refusal = Refusal::of(Why::Agent { what });
                self.gate
                    .refused_text(Text::of("the ssh agent"), None, &refusal);
                FAILURE.to_vec()
            }
        }
    }

    async fn judge(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        match ssh::read(message) {
            None => Err("a message of no known form".to_owned()),
            Some(Message::Other(kind)) => Err(format!(
                "it only lists keys and signs, and this is message {kind}"
            )),
            Some(Message::List) => {
                let answer = self.ask(&[LIST]).await?;
                let granted = self.granted.clone();
                ssh::only_granted(&answer, |key| granted.key(key).is_some())
                    .ok_or_else(|| "the agent outside does not list its keys".to_owned())
            }
            Some(Message::Bind(bind)) => self.bind(message, &bind).await,
            Some(Message::Sign { key, data }) => self.sign(message, key, data).await,
        }
    }

    async fn bind(&mut self, message: &[u8], bind: &Bind<'_>) -> Result<Vec<u8>, String> {
        if self.bound.is_some() {
            return Err("a connection is bound to one server".to_owned());
        }
        if bind.forwarded {
            return Err("it is not passed on to a server".to_owned());
        }
        let Some(host) = self.granted.host(bind.host_key).map(str::to_owned) else {
            return Err("the server's key is none of a granted server".to_owned());
        };
        // The signature of the server is the agent's to verify. One that takes it for another session as well does not.
        let spoiled = ssh::spoiled(message).ok_or("a session without an identifier")?;
        if self.ask(&spoiled).await? == SUCCESS[4..] {
            return Err("the agent outside does not verify which server it signs for; OpenSSH's does, from 8.9 on".to_owned());
        }
        if self.ask(message).await? != SUCCESS[4..] {
            return Err("the agent outside does not take the server's signature; OpenSSH's does, from 8.9 on".to_owned());
        }
        self.bound = Some(Bound {
            session: bind.session.to_vec(),
            host_key: bind.host_key.to_vec(),
            host,
        });
        Ok(SUCCESS.to_vec())
    }

    async fn sign(&mut self, message: &[u8], key: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
        let granted = self.granted.clone();
        let Some(name) = granted.key(key) else {
            return Err("the key is not granted".to_owned());
        };
        let Some(bound) = &self.bound else {
            return Err("it signs only for a granted server (session-bind@openssh.com)".to_owned());
        };
        ssh::logs_in(data, key, &bound.session, &bound.host_key)?;
        let (host, key) = (Text::of(&bound.host), Text::of(name));
        let answer = self.ask(message).await?;
        if !ssh::is_signature(&answer) {
            return Err("the agent outside does not sign".to_owned());
        }
        self.gate.outbox.event(GateEvent::Signed { host, key });
        Ok(framed(&answer))
    }

    /// Asks the agent outside.
    async fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        const GONE: &str = "the agent outside does not answer";
        let mut outside = match self.outside.take() {
            Some(outside) => outside,
            None => {
                let socket = self.gate.agent().await;
                socket.and_then(stream).ok_or(GONE)?
            }
        };
        outside
            .write_all(&framed(message))
            .await
            .map_err(|_| GONE)?;
        let answer = frame(&mut outside).await.ok_or(GONE)?;
        self.outside = Some(outside);
        Ok(answer)
    }
}

fn stream(socket: OwnedFd) -> Option<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true).ok()?;
    UnixStream::from_std(socket).ok()
}
