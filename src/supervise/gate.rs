//! The supervisor's side of a filtered network: starts the gate, hands it sockets and rules, starts it again when it ends,
//! and writes down what it says. Nothing here waits for the gate: what cannot be sent at once is kept, and a gate that does
//! not read loses its network, not the kill path.

#![forbid(unsafe_code)]

use super::agent::Agent;
use super::control::Asked;
use super::control::message::{Change, Reply, Request};
use super::gate_words::{Say, Told};
use super::listeners::Listeners;
use super::part::{Part, PollSet, Ready};
use super::running::Running;
use crate::gate::message::{Family, FromGate, ResolverFile, ToGate};
use crate::gate::{self, HostProxies, Process};
use crate::launch::channel::{Received, Sent};
use crate::launch::message::{self as init, ToInit};
use crate::plan::net::listen::{Listener, On, Pass, listeners};
use crate::plan::net::{self, NetworkMode};
use crate::record::Event;
use crate::sys::{listen, process};
use nix::errno::Errno;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// How often a gate may end within [`SOON`] before the next one is started only after a [`PAUSE`].
const MANY: usize = 5;
const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(10);

/// The most messages that wait for a gate that does not read.
const MOST: usize = 4096;

/// How long the gate may take to say what it still knows when the box is gone.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The caller's own proxies, which the gate uses on its way out.
pub(super) fn proxies(network: &net::Network, env: &[(OsString, OsString)]) -> HostProxies {
    if network.mode != NetworkMode::Filtered {
        return HostProxies::default();
    }
    HostProxies::of(|name| {
        let found = env.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str().map(str::to_owned))
    })
}

/// The network of a box while it runs.
pub(super) struct Network {
    agent: Option<Agent>,
    network: net::Network,
    proxies: HostProxies,
    gate: Option<Process>,
    listeners: Listeners,
    /// What the gate has to be told.
    out: VecDeque<(ToGate, Vec<OwnedFd>)>,
    /// What init was asked for, in order.
    wanted: VecDeque<Wanted>,
    /// When gates ended.
    ended: VecDeque<Instant>,
    again: Option<Instant>,
    told: Told,
}

/// What a socket of the box is for.
enum Wanted {
    /// The gate asked for it: with that number, bound there.
    ByGate(u32, Option<SocketAddr>),
    /// A listener that a new rule needs.
    Listener(Listener, SocketAddr),
    /// A gate asked for it that is gone.
    Nobody,
}

const CHANNEL: usize = 0;
const GONE: usize = 1;

impl Network {
    /// Starts a gate if the network is filtered, and takes the ports of the host that are published.
    ///
    /// # Errors
    /// What cannot be had, in words.
    pub(super) fn start(
        network: &net::Network,
        proxies: HostProxies,
        agent: Option<Agent>,
    ) -> Result<Network, String> {
        proxies.check()?;
        let mut out = Network {
            agent,
            network: network.clone(),
            proxies,
            gate: None,
            listeners: Listeners::default(),
            out: VecDeque::new(),
            wanted: VecDeque::new(),
            ended: VecDeque::new(),
            again: None,
            told: Told::default(),
        };
        if network.mode == NetworkMode::Filtered {
            out.gate = Some(gate::start()?);
            for ports in &network.publish {
                // Told with the others when the box stands.
                out.listeners
                    .publish(ports.host_port, ports.box_port)
                    .map_err(|why| format!("{why} (published by {})", ports.origin))?;
            }
        }
        Ok(out)
    }

    /// Hands the gate what it serves. Until it has read that, connections of the command wait in the listeners' queues.
    pub(super) fn serve(
        &mut self,
        listeners: Vec<(Listener, OwnedFd)>,
        pass: Option<Pass>,
        say: Say,
    ) {
        self.told.say = say;
        self.listeners.stand(listeners, pass);
        self.introduce();
    }

    /// Everything that a new gate has to know.
    fn introduce(&mut self) {
        self.out.clear();
        self.rules();
        let sockets = self.listeners.all();
        self.out
            .extend(sockets.map(|(message, socket)| (message, vec![socket])));
        if let Some(socket) = self.agent.as_ref().and_then(Agent::listener) {
            self.out.push_back((ToGate::Agent, vec![socket]));
        }
        self.send();
    }

    fn rules(&mut self) {
        let messages = gate::configuration(&self.network, &self.proxies);
        self.out
            .extend(messages.into_iter().map(|message| (message, Vec::new())));
    }

    /// Sends what there is room for.
    fn send(&mut self) {
        let Some(gate) = &self.gate else {
            self.out.clear();
            return;
        };
        while let Some((message, fds)) = self.out.front() {
            let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
            match gate.channel.try_send(message, &fds) {
                Ok(Sent::Yes) => {
                    self.out.pop_front();
                }
                Ok(Sent::Full) if self.out.len() <= MOST => return,
                // It is gone, which its pidfd tells, or it does not read: then it has to go.
                Ok(Sent::Full) => {
                    let _ = process::signal_child(gate.pid, gate.pidfd.as_fd(), libc::SIGKILL);
                    self.out.clear();
                    return;
                }
                Err(_) => {
                    self.out.clear();
                    return;
                }
            }
        }
    }

    fn tell(&mut self, message: ToGate, fds: Vec<OwnedFd>) {
        self.out.push_back((message, fds));
        self.send();
    }

    fn hear(&mut self, running: &mut Running) {
        loop {
            let Some(gate) = &self.gate else { return };
            match gate.channel.try_recv::<FromGate>() {
                Ok(Received::Message(message, _)) => self.obey(message, running),
                Ok(Received::Nothing | Received::End) => return,
                // Not what a gate says: it is not one any more.
                Err(_) => {
                    let _ = process::signal_child(gate.pid, gate.pidfd.as_fd(), libc::SIGKILL);
                    return;
                }
            }
        }
    }

    fn obey(&mut self, message: FromGate, running: &mut Running) {
        match message {
            FromGate::Ready => self.told.serves(),
            FromGate::Failed { why } => {
                running.say(&format!("the gate cannot serve the network: {why}"));
            }
            FromGate::NeedSocket { id, bind, family } => {
                let family = match (bind, family) {
                    (Some(SocketAddr::V4(_)), _) | (None, Family::V4) => init::Family::V4,
                    (Some(SocketAddr::V6(_)), _) | (None, Family::V6) => init::Family::V6,
                };
                self.want(Wanted::ByGate(id, bind), family, running);
            }
            FromGate::NeedAgent { id } => {
                let agent = self.agent.as_ref().ok_or(Errno::ENOTCONN);
                match agent.and_then(Agent::connect) {
                    Ok(socket) => self.tell(ToGate::Socket { id }, vec![socket]),
                    Err(errno) => {
                        let errno = errno as i32;
                        self.tell(ToGate::NoSocket { id, errno }, Vec::new());
                    }
                }
            }
            FromGate::NeedResolver => self.resolver(),
            FromGate::Event(event) => self.told.event(event, running),
        }
    }

    /// Asks init for a socket.
    fn want(&mut self, wanted: Wanted, family: init::Family, running: &mut Running) {
        if self.wanted.len() < MOST
            && running.tell_init(&ToInit::Socket { family }, &[]) == Sent::Yes
        {
            self.wanted.push_back(wanted);
        } else if let Wanted::ByGate(id, _) = wanted {
            let errno = libc::EAGAIN;
            self.tell(ToGate::NoSocket { id, errno }, Vec::new());
        }
    }

    /// What init made. Binding is done here: this process has every right over the box's namespace, and init has none left.
    fn made(&mut self, socket: Result<OwnedFd, i32>) {
        let bound = |socket: OwnedFd, address: Option<SocketAddr>| match address {
            None => Ok(socket),
            Some(address) => listen::listen_on(socket.as_fd(), address)
                .map(|()| socket)
                .map_err(|errno| errno as i32),
        };
        match self.wanted.pop_front() {
            Some(Wanted::ByGate(id, address)) => match socket.and_then(|s| bound(s, address)) {
                Ok(socket) => self.tell(ToGate::Socket { id }, vec![socket]),
                Err(errno) => self.tell(ToGate::NoSocket { id, errno }, Vec::new()),
            },
            Some(Wanted::Listener(listener, address)) => {
                if let Ok(socket) = socket.and_then(|s| bound(s, Some(address)))
                    && let Some((message, copy)) = self.listeners.add(listener, socket)
                {
                    self.tell(message, vec![copy]);
                }
            }
            Some(Wanted::Nobody) | None => {}
        }
    }

    /// The files by which the host resolves names, as they are now.
    fn resolver(&mut self) {
        let (mut has, mut fds) = (Vec::new(), Vec::new());
        for (what, path) in [
            (ResolverFile::ResolvConf, "/etc/resolv.conf"),
            (ResolverFile::Hosts, "/etc/hosts"),
        ] {
            if let Ok(file) = std::fs::File::open(path) {
                has.push(what);
                fds.push(OwnedFd::from(file));
            }
        }
        self.tell(ToGate::Resolver { has }, fds);
    }

    /// The gate has ended: no network until there is another one.
    fn lost(&mut self, running: &mut Running) {
        let Some(gate) = self.gate.take() else { return };
        let why = match nix::sys::wait::waitpid(gate.pid, None) {
            Ok(nix::sys::wait::WaitStatus::Signaled(_, signal, _)) => format!("killed by {signal}"),
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => format!("exit status {code}"),
            _ => "it is gone".to_owned(),
        };
        for wanted in &mut self.wanted {
            if matches!(wanted, Wanted::ByGate(..)) {
                *wanted = Wanted::Nobody;
            }
        }
        let now = Instant::now();
        self.ended.push_back(now);
        self.ended.retain(|at| now.duration_since(*at) < SOON);
        let often = self.ended.len() >= MANY;
        running.say(&format!(
            "the gate has ended ({why}); connections through it are cut, and it is started again{}",
            if often { " in 10 seconds" } else { "" }
        ));
        running.note(&Event::GateLost { why });
        if often {
            self.again = Some(now + PAUSE);
        } else {
            self.restart(running);
        }
    }

    fn restart(&mut self, running: &Running) {
        self.again = None;
        match gate::start() {
            Ok(gate) => {
                self.gate = Some(gate);
                self.introduce();
            }
            Err(e) => {
                running.say(&format!("there is no network: {e}"));
                self.again = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// Answers what the control socket was asked about the network.
    fn asked(&mut self, running: &mut Running) {
        let is_ours = |asked: &Asked| matches!(asked.request, Request::Network(_) | Request::Rules);
        let (ours, others) = std::mem::take(&mut running.asked)
            .into_iter()
            .partition(is_ours);
        running.asked = others;
        for asked in ours {
            let asked: Asked = asked;
            let Request::Network(change) = &asked.request else {
                let network = Box::new(self.network.clone());
                let _ = asked.channel.try_send(&Reply::Network(network), &[]);
                continue;
            };
            match self.change(change, running) {
                Ok(change) => {
                    running.note(&Event::NetworkChanged { change });
                    let _ = asked.channel.try_send(&Reply::Done, &[]);
                }
                Err(why) => asked.refuse(&why),
            }
        }
    }

    fn change(&mut self, change: &Change, running: &mut Running) -> Result<String, String> {
        match self.network.mode {
            NetworkMode::Filtered => {}
            NetworkMode::None => {
                return Err("the session has no network; start it with --net filtered".to_owned());
            }
            NetworkMode::Host => {
                return Err("the session has the host's network, without rules".to_owned());
            }
        }
        let said = |bad: net::BadRule| format!("{}; {}", bad.what, bad.help);
        let what = match change {
            Change::Allow(text) => self.network.allow_now(text).map_err(said)?,
            Change::Deny(text) => self.network.deny_now(text).map_err(said)?,
            Change::Publish {
                host_port,
                box_port,
            } => {
                self.network.publish_now(*host_port).map_err(said)?;
                if self.listeners.are_hosts() {
                    return Err(format!(
                        "port {box_port} cannot be published: nothing of the box listens on the rung landlock"
                    ));
                }
                let (message, copy) = self.listeners.publish(*host_port, *box_port)?;
                self.tell(message, vec![copy]);
                return Ok(format!("publish {host_port}:{box_port}"));
            }
        };
        self.new_listeners(running);
        self.rules();
        self.send();
        Ok(what)
    }

    /// A new rule may need listeners on every address, as the first ones are.
    fn new_listeners(&mut self, running: &mut Running) {
        if self.listeners.are_hosts() {
            return;
        }
        let v6 = std::path::Path::new("/proc/net/if_inet6").exists();
        for listener in listeners(&self.network) {
            if self.listeners.has(listener) || listener.on != On::Every {
                continue;
            }
            let (ip, family): (IpAddr, _) = if v6 {
                (Ipv6Addr::UNSPECIFIED.into(), init::Family::V6)
            } else {
                (Ipv4Addr::UNSPECIFIED.into(), init::Family::V4)
            };
            let address = SocketAddr::new(ip, listener.port);
            self.want(Wanted::Listener(listener, address), family, running);
        }
    }
}

impl Part for Network {
    fn pollfds<'a>(&'a self, set: &mut PollSet<'a>) {
        if let Some(gate) = &self.gate {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !self.out.is_empty());
            set.add(CHANNEL, gate.channel.as_fd(), flags);
            set.add(GONE, gate.pidfd.as_fd(), PollFlags::POLLIN);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.again
    }

    fn on_ready(&mut self, ready: &Ready<'_>, running: &mut Running) {
        if ready.readable(CHANNEL) {
            self.hear(running);
        }
        if ready.of(CHANNEL).contains(PollFlags::POLLOUT) {
            self.send();
        }
        while let Some(socket) = running.sockets.pop_front() {
            self.made(socket);
        }
        self.asked(running);
        if ready.readable(GONE) {
            self.hear(running);
            self.lost(running);
        }
        if self.again.is_some_and(|at| at <= Instant::now()) {
            self.restart(running);
        }
    }

    fn finish(&mut self, running: &mut Running) {
        self.hear(running);
        let Some(gate) = self.gate.take() else { return };
        // Its end of file: it says what it still knows, and goes. Who has not served yet has nothing to say.
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&gate.channel.as_fd()),
            nix::sys::socket::Shutdown::Write,
        );
        let until = Instant::now() + LAST_WORDS;
        while self.told.may_know_more() && Instant::now() < until {
            match gate.channel.try_recv::<FromGate>() {
                Ok(Received::Message(FromGate::Event(event), _)) => self.told.event(event, running),
                Ok(Received::Message(..)) => {}
                Ok(Received::Nothing) => {
                    let mut set = [nix::poll::PollFd::new(
                        gate.channel.as_fd(),
                        PollFlags::POLLIN,
                    )];
                    let _ = nix::poll::poll(&mut set, 10u8);
                }
                Ok(Received::End) | Err(_) => break,
            }
        }
        let _ = process::signal_child(gate.pid, gate.pidfd.as_fd(), libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(gate.pid, None);
        self.told.at_the_end(running);
    }
}
