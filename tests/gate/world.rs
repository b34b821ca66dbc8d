//! A gate of its own in two network namespaces: the host's, where servers are, and the box's, where every address leads to
//! the gate. Each test runs again as a child in a user namespace, where an ordinary user may make them.

use crate::common::{Feature, missing, run_within};
use agentbox::gate::message::{
    Config, Family, FromGate, GateEvent, Refused, ResolverFile, ToGate, send_rules,
};
use agentbox::gate::rules::{Allowlist, Deny, Grant, Mark, Target};
use agentbox::launch::channel::{self, Channel};
use agentbox::sys::{listen, netlink, process};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::AddressFamily;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const INSIDE: &str = "AGENTBOX_GATE_TEST";
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test's body in namespaces of its own.
pub fn in_namespaces(name: &str, body: fn()) {
    in_namespaces_within(name, crate::common::PATIENCE, body);
}

/// The same with another patience.
pub fn in_namespaces_within(name: &str, patience: Duration, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        // The servers' namespace. Every address is this host's, so that a server can be anywhere.
        process::interface_up(c"lo").unwrap();
        netlink::everything_is_local(netlink::Family::V4).unwrap();
        return body();
    }
    if missing(Feature::Userns) || missing(Feature::Tool("unshare")) {
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(["-Urn", "--"])
        .arg(crate::common::world::test_program())
        .args(["--exact", name, "--include-ignored"])
        .args(["--nocapture", "--test-threads=1"])
        .env(INSIDE, crate::common::world::agentbox())
        .stdin(Stdio::null());
    crate::common::world::User::get().become_it(&mut command);
    let ran = run_within(command, None, patience);
    assert!(ran.status.success(), "{name}: {ran:?}");
    assert!(
        ran.text().contains("1 passed"),
        "{name} did not run: {ran:?}"
    );
    // What it measured, for who wants to know.
    if std::env::var_os("AGENTBOX_TEST_NUMBERS").is_some() {
        for line in ran.text().lines().filter(|line| line.contains("load: ")) {
            let line = format!("{line}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    }
}

/// A gate and its supervisor.
pub struct World {
    gate: Child,
    channel: Arc<Channel>,
    log: Arc<Log>,
    net: File,
    resolver: Arc<Mutex<(String, String)>>,
    config: Config,
    rules: Allowlist,
    told: u32,
    known: Mutex<std::collections::HashMap<String, IpAddr>>,
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<FromGate>>,
    came: Condvar,
}

impl World {
    /// A gate without a rule, and the listeners that every box has.
    pub fn new() -> World {
        let (ours, theirs) = channel::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let gate = Command::new(std::env::var_os(INSIDE).unwrap())
            .arg0("agentbox: gate")
            .arg(theirs.as_raw_fd().to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        drop(theirs);
        let (net, sockets) = box_side();
        let channel = Arc::new(ours);
        let log = Arc::new(Log::default());
        let resolver = Arc::new(Mutex::new((String::new(), String::new())));
        let mut world = World {
            gate,
            channel,
            log,
            net,
            resolver,
            config: Config::default(),
            rules: Allowlist::default(),
            told: 0,
            known: Mutex::default(),
        };
        world.supervise();
        world.wait("Ready", |event| matches!(event, FromGate::Ready));
        for (message, socket) in sockets {
            world.channel.send(&message, &[socket.as_fd()]).unwrap();
        }
        world.configure();
        world
    }

    /// Grants a name on these ports; it is at that address of the host.
    pub fn name(&mut self, name: &str, ports: &[u16], marks: &[Mark], addr: [u8; 4]) -> &mut World {
        self.config
            .hosts
            .push((name.to_owned(), vec![Ipv4Addr::from(addr).into()]));
        self.grant(Target::Name(name.to_owned()), ports, marks)
    }

    pub fn grant(&mut self, to: Target, ports: &[u16], marks: &[Mark]) -> &mut World {
        self.rules.allow.push(Grant {
            to,
            ports: ports.to_vec(),
            marks: marks.to_vec(),
            rule: "allow, test".to_owned(),
        });
        self
    }

    pub fn deny(&mut self, to: Target) -> &mut World {
        self.rules.deny.push(Deny {
            to,
            ports: vec![],
            rule: "deny, test".to_owned(),
        });
        self
    }

    pub fn config(&mut self, change: impl FnOnce(&mut Config)) -> &mut World {
        change(&mut self.config);
        self
    }

    /// What the host's /etc/resolv.conf and /etc/hosts say.
    pub fn resolver(&mut self, resolv_conf: &str, hosts: &str) -> &mut World {
        *self.resolver.lock().unwrap() = (resolv_conf.to_owned(), hosts.to_owned());
        self
    }

    /// Tells the gate, and waits until it obeys: a name that only these rules have exists then.
    pub fn configure(&mut self) {
        self.told += 1;
        let mark = format!("told-{}.test", self.told);
        let mut rules = self.rules.clone();
        rules.allow.push(Grant {
            to: Target::Name(mark.clone()),
            ports: vec![80],
            marks: vec![],
            rule: String::new(),
        });
        self.channel
            .send(&ToGate::Config(self.config.clone()), &[])
            .unwrap();
        send_rules(&self.channel, &rules).unwrap();
        let until = Instant::now() + PATIENCE;
        while self.inside(|| ask(&mark)).is_none() {
            assert!(Instant::now() < until, "the gate does not obey");
        }
    }

    /// One more listener of the box.
    pub fn listener(&mut self, addr: &str) -> &mut World {
        let addr = addr.parse().unwrap();
        let socket = self.inside(|| listen::tcp_on(addr).unwrap());
        self.channel
            .send(&ToGate::Listener, &[socket.as_fd()])
            .unwrap();
        self
    }

    /// Sends a socket that was made on the host.
    pub fn publish(&mut self, box_port: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        self.channel
            .send(&ToGate::Publish { box_port }, &[listener.as_fd()])
            .unwrap();
        addr
    }

    pub fn pid(&self) -> u32 {
        self.gate.id()
    }

    /// A line of the gate's /proc/PID/status.
    pub fn status(&self, field: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    /// A size in that file, in KiB.
    pub fn kib(&self, field: &str) -> u64 {
        let value = self.status(field);
        value.trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors the gate has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    fn supervise(&self) {
        let (channel, log, net, resolver) = (
            self.channel.clone(),
            self.log.clone(),
            self.net.try_clone().unwrap(),
            self.resolver.clone(),
        );
        std::thread::spawn(move || {
            setns(&net, CloneFlags::CLONE_NEWNET).unwrap();
            while let Ok(Some((message, _))) = channel.recv::<FromGate>() {
                match &message {
                    FromGate::NeedSocket { id, bind, family } => {
                        let family = match family {
                            Family::V4 => AddressFamily::Inet,
                            Family::V6 => AddressFamily::Inet6,
                        };
                        let made = match bind {
                            Some(addr) => listen::tcp_on(*addr),
                            None => listen::tcp(family),
                        };
                        let _ = match made {
                            Ok(fd) => channel.send(&ToGate::Socket { id: *id }, &[fd.as_fd()]),
                            Err(e) => channel.send(
                                &ToGate::NoSocket {
                                    id: *id,
                                    errno: e as i32,
                                },
                                &[],
                            ),
                        };
                    }
                    FromGate::NeedResolver => {
                        let texts = resolver.lock().unwrap().clone();
                        let files = [file(&texts.0), file(&texts.1)];
                        let has = vec![ResolverFile::ResolvConf, ResolverFile::Hosts];
                        let fds = [files[0].as_fd(), files[1].as_fd()];
                        let _ = channel.send(&ToGate::Resolver { has }, &fds);
                    }
                    _ => {}
                }
                log.events.lock().unwrap().push(message);
                log.came.notify_all();
            }
        });
    }

    /// Waits for something that the gate said, now or before.
    pub fn wait(&self, what: &str, is: impl Fn(&FromGate) -> bool) -> FromGate {
        let until = Instant::now() + PATIENCE;
        let mut events = self.log.events.lock().unwrap();
        loop {
            if let Some(found) = events.iter().find(|event| is(event)) {
                return found.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in {events:#?}");
            events = self.log.came.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Waits for the refusal of this.
    pub fn refusal(&self, to: &str) -> Refused {
        let found = self.wait(
            &format!("refusal of {to}"),
            |event| matches!(event, FromGate::Event(GateEvent::Refused(r)) if r.to.as_str() == to),
        );
        match found {
            FromGate::Event(GateEvent::Refused(refused)) => refused,
            _ => unreachable!(),
        }
    }

    pub fn events(&self) -> Vec<FromGate> {
        self.log.events.lock().unwrap().clone()
    }

    /// Does something as a program in the box.
    pub fn inside<R: Send>(&self, act: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.net, CloneFlags::CLONE_NEWNET).unwrap();
                    act()
                })
                .join()
                .unwrap()
        })
    }

    /// What of a thread in the box is needed to be one.
    pub fn net(&self) -> File {
        self.net.try_clone().unwrap()
    }

    /// Connects to a name in the box as a program does: asks, then connects.
    pub fn connect(&self, name: &str, port: u16) -> TcpStream {
        self.inside(|| {
            let addr = ask(name).expect("the name exists");
            dial(addr, port).expect("somebody listens")
        })
    }
}

impl World {
    /// [`connect`](Self::connect) without a question, for a name that was asked for before: its address is kept.
    pub fn connect_known(&self, name: &str, port: u16) -> TcpStream {
        let addr = *self
            .known
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_insert_with(|| self.inside(|| ask(name)).expect("the name exists"));
        self.inside(|| dial(addr, port).expect("somebody listens"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.gate.kill();
        let _ = self.gate.wait();
    }
}

/// A namespace as a box has it, and its listeners.
fn box_side() -> (File, Vec<(ToGate, OwnedFd)>) {
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        process::interface_up(c"lo").unwrap();
        netlink::everything_is_local(netlink::Family::V4).unwrap();
        netlink::everything_is_local(netlink::Family::V6).unwrap();
        let any = |port| SocketAddr::new("::".parse().unwrap(), port);
        let mut sockets = vec![
            (ToGate::DnsUdp, listen::udp_on(any(53)).unwrap()),
            (ToGate::DnsTcp, listen::tcp_on(any(53)).unwrap()),
            (
                ToGate::Proxy { pass: None },
                listen::tcp_on("127.0.0.1:1023".parse().unwrap()).unwrap(),
            ),
        ];
        for port in [22, 80, 443] {
            sockets.push((ToGate::Listener, listen::tcp_on(any(port)).unwrap()));
        }
        let net = File::open("/proc/thread-self/ns/net").unwrap();
        (net, sockets)
    })
    .join()
    .unwrap()
}

fn file(text: &str) -> File {
    let name = c"resolver";
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// A question to the box's DNS by UDP, answered as bytes.
pub fn exchange(question: &[u8], server: &str) -> Vec<u8> {
    let server: SocketAddr = server.parse().unwrap();
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = std::net::UdpSocket::bind(any).unwrap();
    // Connected: an answer from another address than the asked one is not seen.
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(question).unwrap();
    let mut buf = [0; 2048];
    let len = socket.recv(&mut buf).unwrap();
    buf[..len].to_vec()
}

/// The IPv4 address of a name in the box.
pub fn ask(name: &str) -> Option<IpAddr> {
    use agentbox::gate::dns_client::{Answer, Kind, parse, question};
    let answer = exchange(&question(7, name, Kind::A), "1.1.1.1:53");
    match parse(&answer, 7, name, Kind::A).unwrap() {
        Answer::Addresses(found, _) => found.first().copied(),
        Answer::NoName => None,
        other => panic!("{other:?}"),
    }
}

pub fn dial(addr: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(addr, port).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A server of the host that handles each connection in a thread.
pub fn server(addr: [u8; 4], port: u16, handle: impl Fn(TcpStream) + Send + Sync + 'static) {
    // As many may wait as in the gate: std has room for 128.
    let listener = listen::tcp_on((Ipv4Addr::from(addr), port).into()).unwrap();
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(false).unwrap();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, handle) = (stream.unwrap(), handle.clone());
            std::thread::spawn(move || handle(stream));
        }
    });
}

/// Sends everything back, and ends when the client has.
pub fn echo(mut stream: TcpStream) {
    let mut buf = vec![0; 65536];
    while let Ok(len @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..len]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
}

/// Everything until the end of file, or why it did not come to it.
pub fn rest(stream: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => Ok(all),
        Err(e) => Err(e.kind()),
    }
}

/// A ClientHello as clients send it, cut into records of at most `record` bytes.
pub fn client_hello(sni: Option<&str>, record: usize) -> Vec<u8> {
    let mut extensions = Vec::new();
    // GREASE, then a server name, then some key share.
    extensions.extend_from_slice(&[0x1a, 0x1a, 0, 0]);
    if let Some(name) = sni {
        let len = u16::try_from(name.len()).unwrap();
        extensions.extend_from_slice(&[0, 0]);
        extensions.extend_from_slice(&(len + 5).to_be_bytes());
        extensions.extend_from_slice(&(len + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend_from_slice(&len.to_be_bytes());
        extensions.extend_from_slice(name.as_bytes());
    }
    extensions.extend_from_slice(&[0, 51, 0, 4, 1, 2, 3, 4]);
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&extensions);
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut message = vec![1, len[1], len[2], len[3]];
    message.extend_from_slice(&body);
    let mut out = Vec::new();
    for part in message.chunks(record) {
        out.extend_from_slice(&[0x16, 3, 1]);
        out.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Reads until the bytes so far satisfy this.
pub fn until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    while !enough(&all) {
        let len = stream.read(&mut buf).unwrap();
        assert!(len > 0, "ended after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buf[..len]);
    }
    all
}

/// The JSON body of a refusal by HTTP, which must have this status.
pub fn refusal_json(response: &[u8], status: &str) -> serde_json::Value {
    let text = String::from_utf8_lossy(response);
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("X-Agentbox: "), "{text}");
    serde_json::from_str(body).unwrap()
}
