//! The filtered network from end to end: the real gate, real clients, servers of the host that `[network.hosts]` names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Feature, Layer, Ran, TestBox, missing};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// A server on the host's 127.0.0.1 that answers each HTTP request with `text`, or just says it where nobody asks.
fn server(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, text));
        }
    });
    port
}

fn answer(mut stream: TcpStream, text: &str) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let length = text.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
}

/// Says back what it hears, until the end of what it hears.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes);
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

/// A box with these rules; `web.test` and `other.test` are 127.0.0.1 of the host.
fn filtered(network: &str) -> TestBox {
    let b = TestBox::new().net("filtered").file(
        "filtered.toml",
        format!(
            "extends = [\"shell\"]\n[network]\n{network}\n[network.hosts]\n\"web.test\" = \"127.0.0.1\"\n\
             \"other.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("filtered.toml");
    b.option("-p").option(profile.to_str().unwrap())
}

fn curl(b: &TestBox, script: &str) -> Ran {
    b.run(["sh", "-c", script])
}

#[test]
fn a_granted_name_is_reached_and_another_is_not() {
    if missing(Feature::Tool("curl")) {
        return;
    }
    let port = server("granted");
    let b = filtered(&format!("allow = [\"web.test:{port}+private\"]"));
    let ran = curl(&b, &format!("curl -sS -m 20 http://web.test:{port}/"));
    assert_eq!(ran.ok(), "granted");
    // The same server under a name that no rule names: the name does not exist.
    let ran = curl(&b, &format!("curl -sS -m 20 http://other.test:{port}/"));
    assert_eq!(ran.code(), 6, "could not resolve: {ran:?}");
    assert!(ran.complaint().contains("--allow other.test"), "{ran:?}");
    // Without `private` it resolves to an address that a name must not lead to.
    let b = filtered(&format!("allow = [\"web.test:{port}\"]"));
    let ran = curl(&b, &format!("curl -sS -m 20 http://web.test:{port}/"));
    assert_ne!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("loopback"), "{ran:?}");
}

#[test]
fn a_raw_address_is_refused_with_words() {
    if missing(Feature::Tool("curl")) {
        return;
    }
    let b = filtered("allow = [\"web.test\"]");
    for address in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "10.0.0.1",
    ] {
        let ran = curl(&b, &format!("curl -gsS -m 20 'http://{address}/latest/'"));
        assert!(
            ran.text().contains("refused by agentbox"),
            "{address}: {ran:?}"
        );
        assert!(
            ran.complaint().contains("network: refused"),
            "{address}: {ran:?}"
        );
    }
    let ran = curl(&b, "curl -ksS -m 20 https://192.0.2.1/");
    assert_eq!(ran.code(), 35, "a TLS alert: {ran:?}");
    assert!(
        ran.complaint().contains("refused 192.0.2.1 port 443"),
        "{ran:?}"
    );
}

/// What a refusal says is a flag: with it the same request is answered. It was keys of a profile for what takes a mark, and of an IPv6
/// address another address (`--allow 2001:db8::1:22`).
#[test]
fn what_a_refusal_offers_lets_it_through() {
    if missing(Feature::Tool("curl")) {
        return;
    }
    let way_out = |ran: &Ran| {
        let line = ran.complaint();
        let (_, flag) = line.split_once("to allow it: --allow ").expect(&line);
        flag.lines().next().unwrap().trim_matches('\'').to_owned()
    };
    let port = server("granted");
    let rule = format!("web.test:{port}");
    let get = format!("curl -sS -m 20 http://{rule}/");
    let refused = curl(&filtered(&format!("allow = [\"{rule}\"]")), &get);
    assert_eq!(way_out(&refused), format!("{rule}+private"));
    let b = filtered(&format!("allow = [\"{rule}\"]")).option("--allow");
    assert_eq!(curl(&b.option(&way_out(&refused)), &get).ok(), "granted");
    // Nobody is at that address: granted, it is not refused.
    let dial = "curl -gsS -m 5 'telnet://[2001:db8::1]:22' </dev/null";
    let refused = curl(&filtered(""), dial);
    assert_eq!(way_out(&refused), "[2001:db8::1]:22");
    let b = filtered("").option("--allow").option(&way_out(&refused));
    let ran = b.run(["sh", "-c", dial]);
    assert!(!ran.complaint().contains("refused 2001:db8::1"), "{ran:?}");
}

/// A port on which nobody serves is refused by the kernel of the box, at once and for every address.
#[test]
fn nothing_else_leaves() {
    let b = TestBox::new().net("filtered").option("--allow=web.test");
    for address in ["192.0.2.1:9999", "10.0.0.1:5432", "[2001:db8::1]:9999"] {
        b.probe(&format!("connect-tcp {address}"))
            .denied_deep(Errno::ECONNREFUSED, Layer::Network);
    }
    b.probe("serve-self 127.0.0.1:0").allowed();
    b.probe("serve-self 0.0.0.0:3000").allowed();
}

#[test]
fn a_port_of_the_host_is_reached_only_if_granted() {
    let (granted, other) = (server("host service"), server("other"));
    let b = TestBox::new()
        .net("filtered")
        .option("--host-port")
        .option(&granted.to_string());
    for host in ["127.0.0.1", "[::1]", "localhost", "host.agentbox.internal"] {
        if missing(Feature::Tool("curl")) {
            return;
        }
        let ran = curl(&b, &format!("curl -gsS -m 20 http://{host}:{granted}/"));
        assert_eq!(ran.ok(), "host service", "{host}");
    }
    b.probe(&format!("connect-tcp 127.0.0.1:{other}"))
        .denied_deep(Errno::ECONNREFUSED, Layer::Network);
}

/// A half-closed connection keeps its other half, and every byte arrives.
#[test]
fn bytes_arrive_exactly() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let port = echo();
    let b = filtered(&format!("allow = [\"web.test:{port}+private\"]"));
    let script = format!(
        "import socket,hashlib\ndata=bytes(range(256))*40000\ns=socket.create_connection(('web.test',{port}),30)\n\
         s.sendall(data); s.shutdown(socket.SHUT_WR)\ngot=b''\nwhile True:\n    c=s.recv(1<<20)\n    if not c: break\n    got+=c\n\
         print(len(got), got==data)"
    );
    assert_eq!(
        b.run(["python3", "-c", &script]).ok().trim(),
        "10240000 True"
    );
}

#[test]
fn a_published_port_is_seen_by_the_host() {
    if missing(Feature::Tool("python3")) || missing(Feature::Tool("curl")) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let b = TestBox::new()
        .net("filtered")
        .option("--publish")
        .option(&format!("{port}:3000"));
    let script = "import socket\ns=socket.socket(); s.bind(('127.0.0.1',3000)); s.listen()\nprint('up',flush=True)\n\
                  c,_=s.accept(); c.sendall(b'from the box'); c.close()";
    let mut command = b.command(["python3", "-c", script]);
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the box");
    assert!(child.wait().unwrap().success());
    // Taken: a clear refusal, and nothing was executed.
    let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    b.run(["true"]).refused(&["another program listens there"]);
}

/// It was said of a flood that all of it is in the record, which has some hundred a second; and of its last second nothing.
#[test]
fn what_was_only_counted_is_not_said_to_be_in_the_record() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let b = TestBox::new().net("filtered");
    let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53))\nfor i in range(3000):\n    \
                  n = b'x%d' % i\n    s.send(b'\\0\\7\\1\\0\\0\\1' + bytes(6) + bytes([len(n)]) + n + b'\\4evil\\0\\0\\1\\0\\1')\n    s.recv(512)";
    let ran = b.run(["python3", "-c", script]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let complaint = ran.complaint();
    let line = complaint.lines().last().unwrap();
    let number = |before: &str, after: &str| -> usize {
        let found = line.split_once(before).unwrap().1.split_once(after);
        found.unwrap().0.parse().unwrap()
    };
    let more = number(
        "network: ",
        " more refusals are in the record (agentbox logs ",
    );
    let counted = number("); ", " came too fast and were only counted");
    let record = common::run(b.agentbox(["logs", "--json"])).ok();
    let of_flood = |line: &&str| line.contains("\"unreached\"") && line.contains(".evil\"");
    assert_eq!(record.lines().filter(of_flood).count(), 20 + more, "{line}");
    assert_eq!(20 + more + counted, 3000, "{line}");
}

/// No server of the box can listen there, and where the gate did, it answered: that the host's own port 80 has to be granted.
#[test]
fn a_port_where_no_server_can_be_is_not_published() {
    let b = TestBox::new();
    for ports in ["8080:80", "443", "8080:1023"] {
        let ran = common::run(b.agentbox(["run", "--publish", ports, "--", "true"]));
        assert_eq!(ran.code(), 125, "{ran:?}");
        assert!(ran.complaint().contains("from 1024 on"), "{ran:?}");
    }
    let b = TestBox::new().net("filtered");
    let script = "import socket\nfor port in (80, 1023, 1024):\n    try: socket.socket().bind(('127.0.0.1', port)); print(port)\n    \
                  except OSError: pass";
    if !missing(Feature::Tool("python3")) {
        assert_eq!(b.run(["python3", "-c", script]).ok(), "1024");
    }
    let b = b.file(
        "low.toml",
        "extends = [\"shell\"]\n[network]\npublish = [\"8080:80\"]\n",
    );
    let profile = b.root().join("low.toml");
    let ran = common::run(b.agentbox(["profiles", "validate", profile.to_str().unwrap()]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(
        ran.text().contains("from 1024 on") || ran.complaint().contains("from 1024 on"),
        "{ran:?}"
    );
}

#[test]
fn ports_of_the_host_are_no_hosts() {
    let b = TestBox::new();
    let ran = common::run(b.agentbox(["run", "--allow", "localhost:5432", "--", "true"]));
    ran.refused(&["--host-port 5432"]);
}

/// `agentbox why connect` beside a connection: the same answer outside, inside and by the gate.
#[test]
fn why_says_what_the_gate_does() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let (port, closed, service) = (server("granted"), server("granted"), server("granted"));
    let b = filtered(&format!(
        "allow = [\"web.test:{port}+private\", \"other.test:{port}\", \"*.below.test\"]\n\
         deny = [\"bad.below.test\"]\nhost-ports = [{service}]"
    ));
    let rows = [
        (format!("web.test:{port}"), true, "allow has web.test"),
        (format!("WEB.test.:{port}"), true, "allow has web.test"),
        (format!("web.test:{closed}"), false, "granted on port"),
        (
            format!("other.test:{port}"),
            false,
            "leads to 127.0.0.1, a loopback address",
        ),
        (format!("third.test:{port}"), false, "no rule grants it"),
        (
            "below.test:80".to_owned(),
            false,
            "every name below below.test",
        ),
        (
            "bad.below.test:80".to_owned(),
            false,
            "deny has bad.below.test",
        ),
        (
            "192.0.2.1:80".to_owned(),
            false,
            "no rule grants the address",
        ),
        (
            "2852039166:80".to_owned(),
            false,
            "the address (cloud metadata)",
        ),
        (format!("127.0.0.1:{service}"), true, "host-ports has"),
        (format!("localhost:{service}"), true, "host-ports has"),
        (format!("localhost:{closed}"), false, "host's loopback"),
    ];
    let script = "import socket,subprocess,sys,json\n\
        for place in sys.argv[1:]:\n\
        \x20   host,_,port=place.rpartition(':')\n\
        \x20   said=json.loads(subprocess.run(['agentbox','why','--json','connect',place],capture_output=True).stdout)\n\
        \x20   try:\n\
        \x20       s=socket.create_connection((host,int(port)),20)\n\
        \x20       s.sendall(b'GET / HTTP/1.1\\r\\nHost: '+host.encode()+b'\\r\\n\\r\\n')\n\
        \x20       data=b''\n\
        \x20       while c:=s.recv(65536): data+=c\n\
        \x20       did=b'granted' in data and b'200 OK' in data\n\
        \x20   except OSError: did=False\n\
        \x20   print(place,said['allowed'],did,said['because'],sep='|')\n";
    let mut argv = vec!["python3".to_owned(), "-c".into(), script.into()];
    argv.extend(rows.iter().map(|(place, ..)| place.clone()));
    let ran = b.run(&argv);
    let text = ran.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), rows.len(), "{ran:?}");
    let word = |yes: bool| if yes { "True" } else { "False" };
    for ((place, allowed, because), line) in rows.iter().zip(lines) {
        let fields: Vec<&str> = line.split('|').collect();
        assert_eq!(fields[1], word(*allowed), "{line}");
        assert_eq!(fields[2], word(*allowed), "what happened: {line}");
        assert!(fields[3].contains(because), "{line}");
        let profile = b.root().join("filtered.toml");
        let profile = profile.to_str().unwrap();
        let said = common::run(b.agentbox(["why", "-p", profile, "connect", place]));
        assert_eq!(said.code(), i32::from(!allowed), "{said:?}");
        assert!(said.text().contains(because), "{said:?}");
    }
    // A server of the agent's on every address of a granted port has it, and inside that is seen.
    let script = format!(
        "import socket,subprocess\ns=socket.socket(); s.bind(('0.0.0.0',{port})); s.listen()\n\
         print(subprocess.run(['agentbox','why','connect','web.test:{port}'],capture_output=True,text=True).stdout)"
    );
    let ran = b.run(["python3", "-c", &script]);
    assert!(
        ran.ok()
            .contains("a server of the box listens on every address"),
        "{ran:?}"
    );
    // Bad usage is no answer.
    for bad in ["web.test:0", "web.test:1,2", "ftp://web.test", ""] {
        let said = common::run(b.agentbox(["why", "connect", bad]));
        assert_eq!(said.code(), 2, "{bad}: {said:?}");
    }
}

/// Whoever asks for a name while its listeners are made for another question waits for them: the answer came at once, and the
/// connection found nobody (npm, which opens several at a time: ECONNREFUSED).
#[test]
fn many_who_ask_for_a_new_name_at_once_are_all_served() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    const NAMES: usize = 40;
    let port = server("served");
    let allow: Vec<String> = (0..NAMES)
        .map(|n| format!("\"n{n}.test:{port}+private\""))
        .collect();
    let mut profile = format!(
        "extends = [\"shell\"]\n[network]\nallow = [{}]\n[network.hosts]\n",
        allow.join(", ")
    );
    for n in 0..NAMES {
        profile += &format!("\"n{n}.test\" = \"127.0.0.1\"\n");
    }
    let b = TestBox::new().net("filtered").file("many.toml", profile);
    let profile = b.root().join("many.toml");
    let b = b.option("-p").option(profile.to_str().unwrap());
    let script = format!(
        "exec python3 -c '
import socket, threading
done, failed = [], []
def one(name, start):
    start.wait()
    try:
        socket.create_connection((name, {port}), 20).close()
        done.append(name)
    except OSError as e:
        failed.append((name, str(e)))
for n in range({NAMES}):
    start = threading.Barrier(6)
    threads = [threading.Thread(target=one, args=(\"n%d.test\" % n, start)) for _ in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
print(len(done), failed)'"
    );
    let ran = b.sh(&script);
    assert_eq!(ran.ok(), format!("{} []", NAMES * 6), "{ran:?}");
}
