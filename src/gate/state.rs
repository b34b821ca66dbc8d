//! What all tasks of the gate share. One thread, so the locks are never waited for; none is held across an await.

#![forbid(unsafe_code)]

use super::agent::Granted;
use super::message::{Config, Family, FromGate, GateEvent, Refused, Text};
use super::names::{self, Names};
use super::outbox::Outbox;
use super::resolver::Resolver;
use super::rules::{Allowlist, Refusal, Request, Terms};
use super::upstream::Proxies;
use crate::plan::net::ssh::decode;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

/// How long a socket of the box is waited for.
const SOCKET_WAIT: Duration = Duration::from_secs(2);

/// The most listening sockets that names on ports from 1024 on may need.
const MAX_BOUND: usize = 1024;

/// Shared by all tasks.
#[derive(Debug)]
pub struct Gate {
    shared: Mutex<Shared>,
    /// To the supervisor.
    pub outbox: Outbox,
    /// The host's resolver.
    pub resolver: Resolver,
    /// Connections that may still be made.
    pub connections: Arc<Semaphore>,
    generation: watch::Sender<u64>,
    /// A socket that was asked for came, or will not.
    came: Notify,
    next_request: AtomicU32,
    next_connection: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Arc<Allowlist>,
    config: Arc<Config>,
    granted: Arc<Granted>,
    proxies: Arc<Proxies>,
    names: Names,
    /// Sockets that were asked for.
    waiting: HashMap<u32, oneshot::Sender<Option<OwnedFd>>>,
    /// Addresses of the box at which somebody listens for us, or is about to.
    bound: HashMap<SocketAddr, Bound>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Asked,
    Listening,
}

/// What an address of the box stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A name.
    Name(String),
    /// The host's loopback.
    Host,
    /// Itself.
    Address(IpAddr),
}

impl Place {
    /// For messages.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Place::Name(name) => Text::of(name),
            Place::Host => Text::of("127.0.0.1"),
            Place::Address(addr) => Text::of(addr.to_string()),
        }
    }

    /// A name's own place: names for loopback are places of the host.
    #[must_use]
    pub fn of_name(name: &str) -> Place {
        if is_local_name(name) {
            Place::Host
        } else {
            Place::Name(name.to_owned())
        }
    }
}

pub use crate::plan::net::is_local_name;

impl Gate {
    /// With no rules: nothing is allowed.
    #[must_use]
    pub fn new(connections: usize) -> Gate {
        Gate {
            shared: Mutex::default(),
            outbox: Outbox::default(),
            resolver: Resolver::default(),
            connections: Arc::new(Semaphore::new(connections)),
            generation: watch::Sender::new(0),
            came: Notify::new(),
            next_request: AtomicU32::new(1),
            next_connection: AtomicU64::new(1),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic ends the process; a poisoned lock is never seen.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a configuration in force.
    ///
    /// # Errors
    /// What cannot be used of it.
    pub fn configure(&self, config: Config) -> Result<(), String> {
        let proxies = Proxies::of(&config)?;
        let granted = granted(&config)?;
        let mut shared = self.shared();
        shared.proxies = Arc::new(proxies);
        shared.config = Arc::new(config);
        shared.granted = Arc::new(granted);
        drop(shared);
        self.generation.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Puts rules in force; connections look whether they are still allowed.
    pub fn set_rules(&self, rules: Allowlist) {
        self.shared().rules = Arc::new(rules);
        self.generation.send_modify(|n| *n += 1);
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Allowlist> {
        self.shared().rules.clone()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.shared().config.clone()
    }

    /// What of the caller's ssh agent is granted.
    #[must_use]
    pub fn granted_keys(&self) -> Arc<Granted> {
        self.shared().granted.clone()
    }

    /// The host's proxies.
    #[must_use]
    pub fn proxies(&self) -> Arc<Proxies> {
        self.shared().proxies.clone()
    }

    /// What somebody in the box who connected to this address wants.
    #[must_use]
    pub fn place(&self, addr: IpAddr) -> Option<Place> {
        let addr = addr.to_canonical();
        // A connection to 0.0.0.0 or :: is one to loopback.
        if addr.is_loopback() || addr.is_unspecified() {
            return Some(Place::Host);
        }
        if names::index_of(addr).is_some() {
            return self
                .shared()
                .names
                .name(addr)
                .map(|name| Place::Name(name.to_owned()));
        }
        Some(Place::Address(addr))
    }

    /// May the box connect to this place?
    ///
    /// # Errors
    /// The refusal.
    pub fn decide(&self, place: &Place, port: u16) -> Result<Terms, Refusal> {
        match place {
            Place::Name(name) => self.rules().decide(&Request::Name(name, port)),
            Place::Address(addr) => self.rules().decide(&Request::Address(*addr, port)),
            Place::Host if self.config().host_ports.contains(&port) => Ok(Terms::default()),
            Place::Host => Err(Refusal::of(super::message::Why::NotGranted)),
        }
    }

    /// Waits until a connection is no longer allowed.
    pub async fn revoked(&self, place: &Place, port: u16) -> Refusal {
        let mut generation = self.generation.subscribe();
        loop {
            if let Err(refusal) = self.decide(place, port) {
                return refusal;
            }
            if generation.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the supervisor of a refusal.
    pub fn refused(&self, place: &Place, port: Option<u16>, refusal: &Refusal) -> Refused {
        self.refused_text(place.text(), port, refusal)
    }

    /// The same for what is no place.
    pub fn refused_text(&self, to: Text, port: Option<u16>, refusal: &Refusal) -> Refused {
        let refused = Refused {
            to,
            port,
            why: refusal.why.clone(),
            rule: Text::of(&refusal.rule),
        };
        self.outbox.event(GateEvent::Refused(refused.clone()));
        refused
    }

    /// A number for a connection.
    pub fn connection_id(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// The index of a granted name; a new one is told.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<u32> {
        let mut shared = self.shared();
        let before = shared.names.all().count();
        let index = shared.names.index(name)?;
        let new = shared.names.all().count() > before;
        drop(shared);
        if new {
            self.outbox.event(GateEvent::Resolved {
                name: Text::of(name),
                address: names::synthetic(index).0.into(),
            });
        }
        Some(index)
    }

    /// The name of an address, for PTR.
    #[must_use]
    pub fn name_of(&self, addr: IpAddr) -> Option<String> {
        self.shared().names.name(addr).map(str::to_owned)
    }

    /// Every name with an address: its index and ports.
    #[must_use]
    pub fn known(&self) -> Vec<(u32, Vec<u16>)> {
        let rules = self.rules();
        let shared = self.shared();
        shared
            .names
            .all()
            .map(|(index, name)| (index, rules.ports(name)))
            .collect()
    }

    /// Where sockets have to be made before the addresses of a name can be told: on ports below 1024, where no server of
    /// the agent's can be, one socket serves every address.
    #[must_use]
    pub fn missing(&self, index: u32, ports: &[u16]) -> Vec<SocketAddr> {
        let (v4, v6) = names::synthetic(index);
        let shared = self.shared();
        ports
            .iter()
            .filter(|port| **port >= 1024)
            .flat_map(|port| [SocketAddr::from((v4, *port)), SocketAddr::from((v6, *port))])
            .filter(|addr| shared.bound.get(addr) != Some(&Bound::Listening))
            .collect()
    }

    /// Asks for a listening socket, unless somebody has or there are too many. Where somebody has asked, waits until that one
    /// came: whoever is told an address earlier finds nobody there.
    pub async fn bind(&self, addr: SocketAddr) -> Option<OwnedFd> {
        if self.is_asked_for(addr) {
            loop {
                let came = self.came.notified();
                if !self.is_asked_for(addr) {
                    return None;
                }
                came.await;
            }
        }
        {
            let mut shared = self.shared();
            if shared.bound.contains_key(&addr) || shared.bound.len() >= MAX_BOUND {
                return None;
            }
            shared.bound.insert(addr, Bound::Asked);
        }
        let socket = self.socket(Some(addr), family(addr)).await;
        match &socket {
            Some(_) => self.shared().bound.insert(addr, Bound::Listening),
            // Asked again with the next question: the agent's server may be gone by then.
            None => self.shared().bound.remove(&addr),
        };
        self.came.notify_waiters();
        socket
    }

    fn is_asked_for(&self, addr: SocketAddr) -> bool {
        self.shared().bound.get(&addr) == Some(&Bound::Asked)
    }

    /// Asks the supervisor for a socket of the box.
    pub async fn socket(&self, bind: Option<SocketAddr>, family: Family) -> Option<OwnedFd> {
        self.wait_for(|id| FromGate::NeedSocket { id, bind, family })
            .await
    }

    /// Asks the supervisor for a connection to the caller's ssh agent.
    pub async fn agent(&self) -> Option<OwnedFd> {
        self.wait_for(|id| FromGate::NeedAgent { id }).await
    }

    async fn wait_for(&self, request: impl FnOnce(u32) -> FromGate) -> Option<OwnedFd> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        self.shared().waiting.insert(id, answer);
        self.outbox.request(request(id));
        let got = tokio::time::timeout(SOCKET_WAIT, wait).await;
        self.shared().waiting.remove(&id);
        got.ok()?.ok()?
    }

    /// The supervisor's answer.
    pub fn socket_came(&self, id: u32, socket: Option<OwnedFd>) {
        if let Some(waiting) = self.shared().waiting.remove(&id) {
            // Not waited for any more: the socket is closed.
            let _ = waiting.send(socket);
        }
    }
}

fn granted(config: &Config) -> Result<Granted, String> {
    let blobs = |list: &[(String, String)]| {
        let blob = |(name, key): &(String, String)| {
            let blob = decode(key).ok_or_else(|| format!("the key of {name} is not base64"))?;
            Ok((name.clone(), blob))
        };
        list.iter().map(blob).collect::<Result<Vec<_>, String>>()
    };
    Ok(Granted {
        hosts: blobs(&config.ssh_hosts)?,
        keys: blobs(&config.ssh_keys)?,
    })
}

fn family(addr: SocketAddr) -> Family {
    match addr {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    }
}
