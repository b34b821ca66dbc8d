//! What the gate costs: one stream and one short connection at a time, beside the same without it, and beside slirp4netns,
//! pasta and a proxy in Node (the usual way of other sandboxes) where they are installed. In a user namespace of its own, so that an ordinary user can make the networks.

use crate::Setting;
use crate::measure::{median, on_path};
use crate::table;
use agentbox::gate::dns_client::{Answer, Kind, parse, question};
use agentbox::gate::message::{Config, FromGate, ToGate, send_rules};
use agentbox::gate::rules::{Allowlist, Grant, Mark, Target};
use agentbox::launch::channel::{self, Channel};
use agentbox::sys::{listen, netlink, process};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The port of the server: one where the gate has a listener for every address.
const PORT: u16 = 80;
/// The port of the box's proxy.
const PROXY: u16 = 1023;
const NAME: &str = "bench.example";

/// How much client and server read and write at a time, in bytes: what curl, git, Node and most servers do, and what is best for
/// the kernel's loopback, which hardly any program does.
const BLOCKS: [usize; 2] = [64 << 10, 1 << 20];
/// What is measured: a short connection, and up and down for each size of blocks.
const FIGURES: usize = 1 + 2 * BLOCKS.len();

/// Starts this program again in a user and network namespace.
pub(crate) fn compare(setting: &Setting) {
    let Some(unshare) = on_path("unshare") else {
        table::line("\ngate: no unshare(1)");
        return;
    };
    let status = Command::new(unshare)
        .args(["-Urn", "--"])
        .arg(&setting.itself)
        .arg("gate")
        .arg(&setting.agentbox)
        .arg(if setting.quick { "quick" } else { "full" })
        .status()
        .expect("unshare");
    if !status.success() {
        table::line("\ngate: no user namespace");
    }
}

/// A network from which the server can be reached.
struct Contender {
    name: &'static str,
    /// The namespace of the client; none is the server's own.
    net: Option<File>,
    server: SocketAddr,
    /// What has to be said before the server is there: CONNECT.
    connect: Option<String>,
    /// What has to live meanwhile.
    _processes: Vec<Killed>,
}

/// A process that ends with its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The measurement itself, in the namespace of the server.
pub(crate) fn inner(arguments: &[OsString]) {
    let (agentbox, quick) = (&arguments[0], arguments[1] == "quick");
    process::interface_up(c"lo").expect("lo");
    let listener = TcpListener::bind(("127.0.0.1", PORT)).expect("a server");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            std::thread::spawn(move || serve(stream));
        }
    });
    let mut contenders = vec![Contender {
        name: "direct loopback",
        net: None,
        server: (Ipv4Addr::LOCALHOST, PORT).into(),
        connect: None,
        _processes: Vec::new(),
    }];
    contenders.extend(gate(agentbox));
    contenders.extend(slirp());
    contenders.extend(pasta());
    contenders.extend(node_proxy());
    let (rounds, mib, short) = if quick { (3, 64, 50) } else { (7, 512, 500) };
    let mut seen: Vec<Vec<[f64; FIGURES]>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (contender, seen) in contenders.iter().zip(&mut seen) {
            seen.push(one_round(contender, mib, short));
        }
    }
    let direct = seen[0].clone();
    let mut rows = Vec::new();
    for (contender, seen) in contenders.iter().zip(&seen) {
        let mut row = vec![contender.name.to_owned()];
        for i in 0..FIGURES {
            let ratio = median(
                seen.iter()
                    .zip(&direct)
                    .map(|(ours, theirs)| ours[i] / theirs[i]),
            );
            let unit = if i == 0 { "us" } else { "GB/s" };
            row.push(format!("{:.2} {unit}", median(seen.iter().map(|s| s[i]))));
            row.push(format!("x{ratio:.2}"));
        }
        rows.push(row);
    }
    let head = [
        "",
        "connect + 1 byte",
        "",
        "up, 64 KiB",
        "",
        "down, 64 KiB",
        "",
        "up, 1 MiB",
        "",
        "down, 1 MiB",
        "",
    ];
    table::print("gate: one connection to a server of the host", &head, &rows);
}

/// Microseconds of a short connection, then GB/s up and down with each of [`BLOCKS`].
fn one_round(contender: &Contender, mib: usize, short: usize) -> [f64; FIGURES] {
    let net = contender
        .net
        .as_ref()
        .map(|net| net.try_clone().expect("dup"));
    let server = contender.server;
    let tunnel = contender.connect.clone();
    std::thread::spawn(move || {
        if let Some(net) = net {
            setns(net, CloneFlags::CLONE_NEWNET).expect("setns");
        }
        let connect = || {
            let stream = TcpStream::connect_timeout(&server, Duration::from_secs(10));
            let mut stream = stream.unwrap_or_else(|e| panic!("{server}: {e}"));
            stream.set_nodelay(true).expect("nodelay");
            if let Some(words) = &tunnel {
                stream.write_all(words.as_bytes()).expect("CONNECT");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).expect("the proxy's answer");
                    head.push(byte[0]);
                }
                assert!(head.starts_with(b"HTTP/1.1 200"), "{head:?}");
            }
            stream
        };
        let times = (0..short).map(|_| {
            let begin = Instant::now();
            let mut stream = connect();
            stream.write_all(b"e").expect("a byte");
            stream.read_exact(&mut [0]).expect("a byte");
            begin.elapsed().as_secs_f64() * 1e6
        });
        let latency = median(times.collect::<Vec<_>>());
        let mut figures = vec![latency];
        for block in BLOCKS {
            let mut buf = vec![0; block];
            let total = mib << 20;
            let per_second = |begin: Instant| total as f64 / begin.elapsed().as_secs_f64() / 1e9;
            let word = |way: u8| {
                let [a, b, c, d] = number(block);
                let [e, f, g, h] = number(total / block);
                [way, a, b, c, d, e, f, g, h]
            };

            let mut stream = connect();
            let begin = Instant::now();
            stream.write_all(&word(b'u')).expect("a word");
            for _ in 0..total / block {
                stream.write_all(&buf).expect("a block");
            }
            stream.shutdown(Shutdown::Write).expect("shutdown");
            stream.read_exact(&mut [0]).expect("the end");
            figures.push(per_second(begin));

            let mut stream = connect();
            let begin = Instant::now();
            stream.write_all(&word(b'd')).expect("a word");
            let mut got = 0;
            while got < total {
                match stream.read(&mut buf).expect("a block") {
                    0 => panic!("ended after {got}"),
                    len => got += len,
                }
            }
            figures.push(per_second(begin));
        }
        figures.try_into().expect("all figures")
    })
    .join()
    .expect("a round")
}

fn number(size: usize) -> [u8; 4] {
    u32::try_from(size).expect("a size").to_be_bytes()
}

/// `e`: one byte back. `u`, the size of a block and their number: takes everything, then one byte back. `d` and the same: sends
/// them.
fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut word = [0; 1];
    if stream.read_exact(&mut word).is_err() {
        return;
    }
    if word == *b"e" {
        return drop(stream.write_all(b"e"));
    }
    let mut sizes = [0; 8];
    if stream.read_exact(&mut sizes).is_err() {
        return;
    }
    let [block, count] = [0, 4].map(|at| {
        let size = sizes[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(size)
    });
    let mut buf = vec![0; block as usize];
    if word == *b"u" {
        while let Ok(1..) = stream.read(&mut buf) {}
        let _ = stream.write_all(b"u");
        return;
    }
    for _ in 0..count {
        if stream.write_all(&buf).is_err() {
            return;
        }
    }
}

/// The gate as programs reach it that know nothing of it, and as a proxy.
fn gate(agentbox: &OsString) -> [Contender; 2] {
    let (ours, theirs) = channel::pair().expect("a channel");
    let theirs = OwnedFd::from(theirs);
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).expect("fcntl");
    let child = Command::new(agentbox)
        .arg0("agentbox: gate")
        .arg(theirs.as_raw_fd().to_string())
        .env_clear()
        .stdin(Stdio::null())
        .spawn()
        .expect("the gate");
    drop(theirs);
    let config = Config {
        hosts: vec![(NAME.to_owned(), vec![IpAddr::from(Ipv4Addr::LOCALHOST)])],
        ..Config::default()
    };
    ours.send(&ToGate::Config(config), &[]).expect("the gate");
    let rules = Allowlist {
        allow: vec![Grant {
            to: Target::Name(NAME.to_owned()),
            ports: vec![PORT],
            marks: vec![Mark::Private, Mark::Plain],
            rule: String::new(),
        }],
        deny: Vec::new(),
    };
    send_rules(&ours, &rules).expect("the gate");
    let (net, server) = boxed(&ours);
    // The record of the connections is not what is measured, but has to be read.
    std::thread::spawn(move || while let Ok(Some(_)) = ours.recv::<FromGate>() {});
    let by_proxy = Contender {
        name: "the gate, CONNECT",
        net: Some(net.try_clone().expect("dup")),
        server: (Ipv4Addr::LOCALHOST, PROXY).into(),
        connect: Some(format!("CONNECT {NAME}:{PORT} HTTP/1.1\r\n\r\n")),
        _processes: Vec::new(),
    };
    let by_name = Contender {
        name: "the gate",
        net: Some(net),
        server: (server, PORT).into(),
        connect: None,
        _processes: vec![Killed(child)],
    };
    [by_name, by_proxy]
}

/// A CONNECT proxy as other sandboxes have one, in the server's own network: at its fastest.
fn node_proxy() -> Option<Contender> {
    let node = on_path("node")?;
    let script = "const net=require('net'),s=require('http').createServer();\
        s.on('connect',(q,c,h)=>{const[a,p]=q.url.split(':'),u=net.connect(p,a,()=>{\
        c.write('HTTP/1.1 200 OK\\r\\n\\r\\n');u.write(h);u.pipe(c);c.pipe(u)});\
        u.on('error',()=>c.destroy());c.on('error',()=>u.destroy())});\
        s.listen(0,'127.0.0.1',()=>console.log(s.address().port))";
    let mut child = Command::new(node)
        .args(["-e", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut line = String::new();
    let said = child.stdout.take().expect("a pipe");
    let _ = BufReader::new(said).read_line(&mut line);
    let child = Killed(child);
    let Ok(port) = line.trim().parse::<u16>() else {
        table::line("\ngate: node cannot be used here");
        return None;
    };
    Some(Contender {
        name: "a proxy in Node",
        net: None,
        server: (Ipv4Addr::LOCALHOST, port).into(),
        connect: Some(format!("CONNECT 127.0.0.1:{PORT} HTTP/1.1\r\n\r\n")),
        _processes: vec![child],
    })
}

/// A box's network and the name's address in it.
fn boxed(gate: &Channel) -> (File, IpAddr) {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            process::interface_up(c"lo").expect("lo");
            netlink::everything_is_local(netlink::Family::V4).expect("a route");
            netlink::everything_is_local(netlink::Family::V6).expect("a route");
            let any = |port| SocketAddr::new("::".parse().expect("an address"), port);
            let dns = listen::udp_on(any(53)).expect("DNS");
            let tcp = listen::tcp_on(any(PORT)).expect("a listener");
            let proxy = listen::tcp_on((Ipv4Addr::LOCALHOST, PROXY).into()).expect("a listener");
            gate.send(&ToGate::Proxy { pass: None }, &[proxy.as_fd()])
                .expect("the gate");
            gate.send(&ToGate::DnsUdp, &[dns.as_fd()])
                .expect("the gate");
            gate.send(&ToGate::Listener, &[tcp.as_fd()])
                .expect("the gate");
            let client = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            client.connect("1.1.1.1:53").expect("DNS");
            client
                .send(&question(1, NAME, Kind::A))
                .expect("a question");
            let mut answer = [0; 512];
            let len = client.recv(&mut answer).expect("an answer");
            let Some(Answer::Addresses(found, _)) = parse(&answer[..len], 1, NAME, Kind::A) else {
                panic!("no address");
            };
            (
                File::open("/proc/thread-self/ns/net").expect("a namespace"),
                found[0],
            )
        });
        made.join().expect("the box's network")
    })
}

/// A process in a network namespace of its own, and that namespace.
fn bystander() -> (Child, File) {
    let child = Command::new("unshare")
        .args(["-n", "--", "sleep", "600"])
        .spawn()
        .expect("unshare");
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    let path = format!("/proc/{}/ns/net", child.id());
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_link(&path).is_ok_and(|net| net == own) {
        assert!(Instant::now() < until, "no namespace");
    }
    let net = File::open(&path).expect("a namespace");
    (child, net)
}

fn slirp() -> Option<Contender> {
    let program = on_path("slirp4netns")?;
    let (bystander, net) = bystander();
    let child = Command::new(program)
        .args(["--configure", "--mtu=65520"])
        .arg(bystander.id().to_string())
        .arg("tap0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let server = (Ipv4Addr::new(10, 0, 2, 2), PORT).into();
    reached(
        "slirp4netns",
        net,
        server,
        vec![Killed(bystander), Killed(child)],
    )
}

/// Its fastest way: a port of its loopback that is the host's.
fn pasta() -> Option<Contender> {
    let program = on_path("pasta")?;
    let (bystander, net) = bystander();
    let child = Command::new(program)
        .args(["-f", "-q", "-t", "none", "-u", "none", "-U", "none", "-T"])
        .arg(PORT.to_string())
        .arg(bystander.id().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let server = (Ipv4Addr::LOCALHOST, PORT).into();
    reached(
        "pasta, spliced port",
        net,
        server,
        vec![Killed(bystander), Killed(child)],
    )
}

/// Waits until the server can be reached; says so if that never happens.
fn reached(
    name: &'static str,
    net: File,
    server: SocketAddr,
    processes: Vec<Killed>,
) -> Option<Contender> {
    let inside = net.try_clone().expect("dup");
    let there = std::thread::spawn(move || {
        setns(inside, CloneFlags::CLONE_NEWNET).expect("setns");
        let _ = process::interface_up(c"lo");
        let until = Instant::now() + Duration::from_secs(3);
        while TcpStream::connect_timeout(&server, Duration::from_millis(200)).is_err() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    });
    if !there.join().expect("a thread") {
        table::line(&format!("\ngate: {name} cannot be used here"));
        return None;
    }
    Some(Contender {
        name,
        net: Some(net),
        server,
        connect: None,
        _processes: processes,
    })
}
