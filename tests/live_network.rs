//! The network of a session that runs: rules that change, a gate that is killed, the files and variables by which programs
//! find their way, and the host's own proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::{all, parent};
use common::{Feature, Live, Ran, TestBox, missing, run, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// Answers each HTTP request with `text`; remembers the heads.
fn server(text: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = heard.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let all = all.clone();
            thread::spawn(move || {
                while let Some(head) = head(&mut stream) {
                    all.lock().unwrap().push(head);
                    let length = text.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
                    );
                }
            });
        }
    });
    (port, heard)
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A program in a box that connects as it is told: one word of an answer for each line.
const DRIVER: &str = "import socket,sys\n\
    sys.stdin=open('in')\n\
    sys.stdout=open('out','w')\n\
    kept=None\n\
    def get(s):\n\
    \x20   s.settimeout(10); s.sendall(b'GET / HTTP/1.1\\r\\nHost: web.test\\r\\nConnection: close\\r\\n\\r\\n'); data=b''\n\
    \x20   while b'granted' not in data:\n\
    \x20       c=s.recv(65536)\n\
    \x20       if not c: break\n\
    \x20       data+=c\n\
    \x20   return 'granted' if b'granted' in data else 'nothing'\n\
    print('up',flush=True)\n\
    for line in sys.stdin:\n\
    \x20   w=line.split()\n\
    \x20   try:\n\
    \x20       if w[0]=='get':\n\
    \x20           said=get(socket.create_connection((w[1],int(w[2])),float(w[3]) if len(w)>3 else 10))\n\
    \x20       elif w[0]=='keep':\n\
    \x20           kept=socket.create_connection((w[1],int(w[2])),10); said=get(kept)\n\
    \x20       elif w[0]=='cut':\n\
    \x20           kept.settimeout(20); said='cut' if not kept.recv(1) else 'more'\n\
    \x20   except ConnectionResetError: said='cut'\n\
    \x20   except socket.gaierror: said='noname'\n\
    \x20   except OSError as e: said='failed'\n\
    \x20   print(said,flush=True)\n";

/// Told and heard by pipes in the workspace: what it has as stdin and stdout stands still with the supervisor.
struct Driven {
    live: Live,
    stdin: Option<File>,
    answers: BufReader<File>,
}

impl Driven {
    fn start(b: &TestBox) -> Driven {
        for name in ["in", "out"] {
            let path = b.ws().join(name);
            let _ = std::fs::remove_file(&path);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_retain(0o666)).unwrap();
            b.chown(&path);
        }
        let live = Live::start(b.command(["python3", "-c", DRIVER]));
        let mut stdin = None;
        until("the driver is there", || {
            let mut options = File::options();
            let options = options.write(true).custom_flags(libc::O_NONBLOCK);
            stdin = options.open(b.ws().join("in")).ok();
            stdin.is_some()
        });
        let mut answers = BufReader::new(File::open(b.ws().join("out")).unwrap());
        answers.read_line(&mut String::new()).unwrap();
        Driven {
            live,
            stdin,
            answers,
        }
    }

    fn tell(&mut self, line: &str) -> String {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    fn end(mut self) -> Ran {
        self.stdin = None;
        self.live.end()
    }
}

/// A filtered box whose profile names `web.test` and `other.test`, and has these lines in `[network]`.
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

fn agentbox(b: &TestBox, args: &[&str]) -> Ran {
    run(b.agentbox(args))
}

fn events(b: &TestBox, id: &str) -> String {
    agentbox(b, &["logs", id]).ok()
}

fn id(b: &TestBox) -> String {
    agentbox(b, &["ps", "-q"]).ok().trim().to_owned()
}

#[test]
fn allow_and_deny_change_a_live_session() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let (port, _) = server("granted");
    let b = filtered("");
    let rule = format!("web.test:{port}+private");
    assert_eq!(agentbox(&b, &["allow", &rule]).code(), 1, "nobody is live");
    let mut box_ = Driven::start(&b);
    let get = format!("get web.test {port}");
    assert_eq!(box_.tell(&get), "noname");
    assert_eq!(agentbox(&b, &["allow", &rule]).code(), 0);
    assert_eq!(box_.tell(&get), "granted");
    assert_eq!(box_.tell(&format!("get other.test {port}")), "noname");
    // What is denied is cut and not only refused from then on.
    assert_eq!(box_.tell(&format!("keep web.test {port}")), "granted");
    let denied = agentbox(&b, &["deny", &format!("web.test:{port}")]);
    assert_eq!(denied.code(), 0, "{denied:?}");
    assert_eq!(box_.tell("cut"), "cut");
    assert_ne!(box_.tell(&get), "granted");
    // The same target lifts it.
    assert_eq!(agentbox(&b, &["allow", &rule]).code(), 0);
    assert_eq!(box_.tell(&get), "granted");
    for bad in ["localhost:1", "*.com", "web.test:0", "https://web.test/"] {
        assert_eq!(agentbox(&b, &["allow", bad]).code(), 2, "{bad}");
    }
    let nobody = agentbox(&b, &["allow", &rule, "--session", "zzzz"]);
    assert_eq!(nobody.code(), 1, "{nobody:?}");
    // With a second session it has to be said which.
    let other = Driven::start(&b);
    let which = agentbox(&b, &["allow", &rule]);
    assert_eq!(which.code(), 1, "{which:?}");
    assert!(which.complaint().contains("--session"), "{which:?}");
    assert_eq!(other.end().code(), 0);
    let id = id(&b);
    let log = events(&b, &id);
    for change in [
        format!("allow web.test:{port}+private"),
        format!("deny web.test:{port}"),
    ] {
        assert!(log.contains(&change), "{change}: {log}");
    }
    assert_eq!(box_.end().code(), 0);
}

#[test]
fn a_saved_rule_holds_for_the_next_session_and_no_longer_file() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let (port, _) = server("granted");
    let b = filtered("").file(
        "home/.config/agentbox/config.toml",
        "# mine\n[network]\nallow = [\n  \"kept.test\", # a comment\n]\n",
    );
    let file = b.home().join(".config/agentbox/config.toml");
    let shown = file.to_str().unwrap();
    let text = || std::fs::read_to_string(&file).unwrap();
    let rule = format!("web.test:{port}+private");
    let get = format!("get web.test {port}");
    // A live session obeys at once, and the next one from its start.
    let mut box_ = Driven::start(&b);
    assert_eq!(box_.tell(&get), "noname");
    let saved = agentbox(&b, &["allow", &rule, "--save"]);
    assert!(
        saved.ok().contains(&format!("{shown}:5: allow has")),
        "{saved:?}"
    );
    assert_eq!(box_.tell(&get), "granted");
    assert_eq!(box_.end().code(), 0);
    let want =
        format!("# mine\n[network]\nallow = [\n  \"kept.test\", # a comment\n  \"{rule}\",\n]\n");
    assert_eq!(text(), want);
    let mut next = Driven::start(&b);
    assert_eq!(next.tell(&get), "granted");
    assert_eq!(next.end().code(), 0);
    let (uid, gid) = b.ids();
    let meta = std::fs::metadata(&file).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o777),
        (uid, gid, 0o644)
    );
    // Without a live session it is saved all the same; what is there is not added again.
    let again = agentbox(&b, &["allow", &rule, "--save"]);
    assert!(again.ok().contains(":5: allow has"), "{again:?}");
    assert!(again.text().contains("already"), "{again:?}");
    assert_eq!(text(), want);
    let denied = agentbox(&b, &["deny", "bad.test", "--save"]);
    assert!(denied.ok().contains("deny has \"bad.test\""), "{denied:?}");
    let stronger = agentbox(&b, &["allow", "bad.test", "--save"]);
    assert_eq!(stronger.code(), 1, "{stronger:?}");
    assert!(stronger.complaint().contains("stronger"), "{stronger:?}");
    let why = agentbox(&b, &["why", "connect", "bad.test:443"]);
    assert!(why.text().contains(&format!("{shown}:3")), "{why:?}");
    // What is not a rule, or not a profile, changes nothing.
    let before = text();
    assert_eq!(agentbox(&b, &["allow", "*.com", "--save"]).code(), 2);
    let none = agentbox(&b, &["allow", "a.test", "--save", "-p", "work"]);
    assert!(
        none.complaint().contains("work.toml does not exist"),
        "{none:?}"
    );
    let odd = agentbox(&b, &["allow", "a.test", "--save", "-p", "../x"]);
    assert_eq!(odd.code(), 1, "{odd:?}");
    assert_eq!(text(), before);
    std::fs::write(&file, "[network\n").unwrap();
    let broken = agentbox(&b, &["allow", "a.test", "--save"]);
    assert_eq!(broken.code(), 1, "{broken:?}");
    assert_eq!(text(), "[network\n");
}

/// A box may be given what a link leads to: nothing is written there. And a box has no session to change.
#[test]
fn nothing_is_saved_where_a_box_could_write() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new()
        .dir("home/.config/agentbox")
        .file("{ws}/dotfiles/config.toml", "# mine\n");
    let real = b.ws().join("dotfiles/config.toml");
    let link = b.home().join(".config/agentbox/config.toml");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let refused = agentbox(&b, &["allow", "a.test", "--save"]);
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.complaint().contains("by hand"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "# mine\n");
    // The twin: a file of its own, made anew.
    std::fs::remove_file(&link).unwrap();
    let saved = agentbox(&b, &["allow", "a.test", "--save"]);
    assert!(saved.ok().contains("config.toml:2:"), "{saved:?}");
    assert_eq!(
        std::fs::read_to_string(&link).unwrap(),
        "[network]\nallow = [\"a.test\"]\n"
    );
    let inside = b.sh("agentbox allow b.test --save; echo status $?");
    assert!(inside.text().contains("status 1"), "{inside:?}");
    assert!(inside.complaint().contains("this is a box"), "{inside:?}");
    assert!(!std::fs::read_to_string(&link).unwrap().contains("b.test"));
}

#[test]
fn a_port_is_published_while_it_runs() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let b = filtered("");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let taken = agentbox(&b, &["publish", &format!("{port}:3000")]);
    assert_eq!(taken.code(), 1, "nobody is live: {taken:?}");
    let script = "import socket\ns=socket.socket(); s.bind(('127.0.0.1',3000)); s.listen()\nprint('up',flush=True)\n\
                  c,_=s.accept(); c.sendall(b'from the box'); c.close()";
    let mut live = b.start(["python3", "-c", script]);
    live.wait_line("up");
    let ports = format!("{port}:3000");
    let taken = agentbox(&b, &["publish", &ports]);
    assert!(
        taken.complaint().contains("another program listens there"),
        "{taken:?}"
    );
    drop(free);
    assert_eq!(agentbox(&b, &["publish", &ports]).code(), 0);
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the box");
    assert_eq!(live.end().code(), 0);
}

/// The gate of a session.
fn gate(supervisor: Pid) -> Pid {
    let is_gate = |pid: &Pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent(*pid) == Some(supervisor) && words.starts_with(b"agentbox: gate")
    };
    let mut found = None;
    until("the gate", || {
        found = all().into_iter().find(is_gate);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_killed_gate_means_no_network_until_there_is_another() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let (port, _) = server("granted");
    let b = filtered(&format!("allow = [\"web.test:{port}+private\"]"));
    let mut box_ = Driven::start(&b);
    let get = format!("get web.test {port}");
    assert_eq!(box_.tell(&format!("keep web.test {port}")), "granted");
    let ps: serde_json::Value =
        serde_json::from_str(&agentbox(&b, &["ps", "--json"]).ok()).unwrap();
    let number = ps[0]["supervisor"].as_i64().unwrap();
    let supervisor = Pid::from_raw(i32::try_from(number).unwrap());
    let first = gate(supervisor);
    // While the supervisor cannot start another one nothing is reached, whatever waits in the listeners.
    kill(supervisor, Signal::SIGSTOP).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    assert_eq!(box_.tell("cut"), "cut");
    let without = box_.tell(&format!("{get} 3"));
    kill(supervisor, Signal::SIGCONT).unwrap();
    assert!(
        ["noname", "failed"].contains(&without.as_str()),
        "{without}"
    );
    let second = gate(supervisor);
    assert_ne!(first, second);
    until("the network works again", || box_.tell(&get) == "granted");
    let id = id(&b);
    let ran = box_.end();
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.complaint()
            .contains("the gate has ended (killed by SIGKILL)"),
        "{ran:?}"
    );
    assert!(
        events(&b, &id).contains("gate-lost") || events(&b, &id).contains("gate"),
        "recorded"
    );
}

/// Does the host's own file have `::1 localhost`?
fn hosts_v6_localhost() -> bool {
    let text = std::fs::read_to_string("/etc/hosts").unwrap();
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        words.next() == Some("::1") && words.any(|word| word == "localhost")
    })
}

/// A server on `localhost` was one on ::1 only, which who asks 127.0.0.1 as outside did not find.
#[test]
fn localhost_is_the_same_address_as_outside() {
    if missing(Feature::Userns) || missing(Feature::Tool("getent")) {
        return;
    }
    let b = filtered("allow = [\"web.test\"]");
    let name = "$(cat /proc/sys/kernel/hostname)";
    for name in ["localhost", name] {
        let script = format!("getent ahosts {name}");
        let mut outside = Command::new("/bin/sh");
        let outside = outside.args(["-c", &script]).output().unwrap();
        let outside = String::from_utf8(outside.stdout).unwrap();
        let inside = b.sh(&script).text();
        if outside.is_empty() {
            // The box knows its own name, also where the host has none for itself.
            assert!(inside.starts_with("127.0.1.1 "), "{name}: {inside}");
        } else {
            assert_eq!(inside.trim(), outside.trim(), "{name}");
        }
    }
    if missing(Feature::Tool("python3")) {
        return;
    }
    let ran = b.sh("exec python3 -c '
import socket
family, kind, _, _, address = socket.getaddrinfo(\"localhost\", 0, type=socket.SOCK_STREAM)[0]
server = socket.create_server(address[:2], family=family)
where = \"127.0.0.1\" if family == socket.AF_INET else \"::1\"
socket.create_connection((where, server.getsockname()[1])).close()
socket.create_connection((\"localhost\", server.getsockname()[1])).close()
print(\"connected\")'");
    assert_eq!(ran.ok().trim(), "connected");
}

/// `host.agentbox.internal` was an alias of `localhost`, and the only one with a dot: the box took it for its own full name.
#[test]
fn the_full_name_of_the_machine_is_what_it_is_outside() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let b = filtered("");
    let asked = "import socket\nprint(socket.getfqdn(\"127.0.0.1\"), socket.gethostbyaddr(\"127.0.0.1\")[1])";
    let ran = b.sh(&format!("exec python3 -c '{asked}'"));
    assert!(!ran.ok().contains("agentbox"), "{ran:?}");
    // Its allowed twin: both addresses are still found by that name.
    let ran =
        b.sh("getent ahostsv4 host.agentbox.internal; getent ahostsv6 host.agentbox.internal");
    let text = ran.ok();
    assert!(text.contains("127.0.0.1") && text.contains("::1"), "{text}");
}

#[test]
fn the_files_of_the_box_lead_to_the_gate() {
    if missing(Feature::Userns) || missing(Feature::Tool("getent")) {
        return;
    }
    let b = filtered("allow = [\"web.test\"]");
    let ran = b.sh("cat /etc/resolv.conf /etc/hosts; grep ^hosts: /etc/nsswitch.conf");
    let text = ran.ok();
    let v6 = match hosts_v6_localhost() {
        true => "::1 localhost ip6-localhost ip6-loopback",
        false => "::1 ip6-localhost ip6-loopback",
    };
    for line in [
        "nameserver 127.0.0.1",
        "127.0.0.1 localhost",
        v6,
        "127.0.0.1 host.agentbox.internal",
        "::1 host.agentbox.internal",
        "hosts: files dns",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    // Names of the host are not there, also not as the host's own file knows them.
    assert_eq!(text.matches("nameserver").count(), 1, "{text}");
    let ran = b.sh(
        "getent ahostsv4 web.test && getent ahostsv6 web.test && getent ahostsv4 localhost; getent hosts other.test || echo no other",
    );
    let text = ran.ok();
    // Asked as programs do that want addresses of one family which this host has (AI_ADDRCONFIG).
    assert!(text.contains("198.18."), "{text}");
    assert!(text.contains("fd61:"), "{text}");
    assert!(text.contains("127.0.0.1"), "{text}");
    assert!(text.contains("no other"), "{text}");
    let ran = b.sh("a=$(getent ahostsv4 web.test | head -n1 | cut -d' ' -f1); getent hosts $a");
    assert!(ran.ok().contains("web.test"), "the way back: {ran:?}");
    // Nothing in the box can change them.
    let ran = b.sh("echo nameserver 8.8.8.8 > /etc/resolv.conf");
    assert_ne!(ran.code(), 0, "{ran:?}");
}

#[test]
fn the_callers_proxy_is_the_gates_and_its_password_stays_outside() {
    if missing(Feature::Userns) || missing(Feature::Tool("curl")) {
        return;
    }
    let (proxy, heard) = server("by proxy");
    let (port, _) = server("direct");
    let b = filtered(&format!(
        "allow = [\"web.test\", \"other.test:{port}+private+plain\", \"web.test+private\"]"
    ))
    .env(
        "HTTP_PROXY",
        format!("http://me:s3cret-word@127.0.0.1:{proxy}"),
    )
    .env(
        "http_proxy",
        format!("http://me:s3cret-word@127.0.0.1:{proxy}"),
    )
    .env("NO_PROXY", "other.test");
    let ran = b.sh("env; cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n'");
    let text = ran.ok();
    assert!(!text.contains("s3cret-word"), "{text}");
    for line in [
        "HTTP_PROXY=http://127.0.0.1:1023",
        "http_proxy=http://127.0.0.1:1023",
        "NODE_USE_ENV_PROXY=1",
        "NO_PROXY=localhost,127.0.0.1,::1,.localhost,host.agentbox.internal",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    // By the box's proxy and without it; both go out by the host's, which is told who asks.
    for curl in [
        "curl -sS -m 20 http://web.test/x",
        "curl -sS -m 20 --noproxy '*' http://web.test/x",
    ] {
        let ran = b.sh(curl);
        assert_eq!(ran.ok(), "by proxy", "{curl}: {ran:?}");
        let heads = std::mem::take(&mut *heard.lock().unwrap());
        let head = heads.last().unwrap();
        assert!(
            head.starts_with("GET http://web.test/x HTTP/1.1\r\n"),
            "{head}"
        );
        // me:s3cret-word
        let auth = "Proxy-Authorization: Basic bWU6czNjcmV0LXdvcmQ=\r\n";
        assert!(head.contains(auth), "{head}");
    }
    // What is not granted does not reach it.
    let ran = b.sh("curl -sS -m 20 http://third.test/x");
    assert!(ran.text().contains("refused by agentbox"), "{ran:?}");
    assert!(heard.lock().unwrap().is_empty());
    // NO_PROXY of the host is obeyed.
    let ran = b.sh(&format!("curl -sS -m 20 http://other.test:{port}/"));
    assert_eq!(ran.ok(), "direct");
    assert!(heard.lock().unwrap().is_empty());
}

/// A gate that cannot use the caller's proxy ends at once, as each one after it does: there were two lines every ten seconds, and
/// connections hung.
#[test]
fn a_proxy_that_no_gate_can_use_is_refused_at_the_start() {
    if missing(Feature::Userns) || missing(Feature::Tool("curl")) {
        return;
    }
    let (port, _) = server("direct");
    let socks = |b: TestBox| b.env("ALL_PROXY", "socks5h://me:s3cret-word@127.0.0.1:1");
    let rules = format!("allow = [\"web.test:{port}+private\"]");
    let ran = socks(filtered(&rules)).sh("echo ran");
    assert_eq!(ran.code(), 125, "{ran:?}");
    let text = ran.complaint();
    assert!(!text.contains("s3cret-word"), "{text}");
    assert!(text.contains("ALL_PROXY"), "{text}");
    assert_eq!(text.matches("http://...").count(), 1, "{text}");
    // Where it is not needed: both have proxies of their own, or there is no gate.
    let own = socks(filtered(&rules))
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", "web.test");
    let ran = own.sh(&format!("curl -sS -m 20 http://web.test:{port}/"));
    assert_eq!(ran.ok(), "direct", "{ran:?}");
    assert_eq!(socks(TestBox::new()).sh("echo ran").ok(), "ran");
}

/// `filtered` where nothing can be resolved, or reached: an error that says so, and not a hang.
#[test]
fn a_host_without_a_network_says_so() {
    if missing(Feature::Root) || missing(Feature::Tool("curl")) || missing(Feature::Tool("unshare"))
    {
        return;
    }
    let b = filtered("allow = [\"web.test+private\", \"far.test\", \"192.0.2.1\"]");
    let inner = b.command([
        "sh",
        "-c",
        "curl -sS -m 20 http://web.test/; curl -sS -m 20 http://192.0.2.1/; curl -sS -m 20 http://far.test/",
    ]);
    // A network namespace with nothing, not even loopback. A user could make one only with a user namespace around it.
    let command = b.through("exec unshare -n -- \"$@\"", &inner);
    let ran = run(command);
    let text = ran.text();
    assert_eq!(
        text.matches("agentbox could not connect").count(),
        2,
        "{ran:?}"
    );
    assert!(text.contains("cannot be resolved"), "{ran:?}");
    // What was granted as an address may speak anything, so there it is said outside only.
    let said = ran.complaint();
    for to in ["web.test", "192.0.2.1"] {
        let line = format!("failed {to} port 80: it cannot be reached: Network is unreachable");
        assert!(said.contains(&line), "{ran:?}");
    }
}

/// `why connect` knows what a human has changed since the start: outside with `--session`, in the box by itself.
#[test]
fn why_knows_the_live_rules() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let b = filtered("allow = [\"kept.test\"]");
    let box_ = Driven::start(&b);
    let id = id(&b);
    let outside = |host: &str| agentbox(&b, &["why", "--session", &id, "connect", host]);
    let inside = |host: &str| {
        let script = format!("agentbox why connect {host}");
        agentbox(&b, &["exec", &id, "--", "sh", "-c", &script])
    };
    let both = |host: &str, code: i32, words: &str| {
        let (out, inn) = (outside(host), inside(host));
        assert_eq!(
            (out.code(), inn.code()),
            (code, code),
            "{host}: {out:?} {inn:?}"
        );
        assert!(out.text().contains(words), "{host}: {words}: {out:?}");
        inn
    };
    both("kept.test:443", 0, "kept.test");
    both("new.test:443", 1, "no");
    for change in [["allow", "new.test"], ["deny", "kept.test"]] {
        assert_eq!(agentbox(&b, &change).code(), 0, "{change:?}");
    }
    let yes = both("new.test:443", 0, "agentbox allow");
    assert!(
        yes.text()
            .contains("changed while the box runs: allow new.test"),
        "{yes:?}"
    );
    let no = both("kept.test:443", 1, "agentbox deny");
    assert!(
        no.text()
            .contains("changed while the box runs: deny kept.test"),
        "{no:?}"
    );
    // Only what was changed.
    both("new.test:22", 1, "443");
    both("other.test:443", 1, "no");
    let other = inside("other.test:443");
    assert!(!other.text().contains("changed while"), "{other:?}");
    // Asking is no connection and no refusal.
    let log = events(&b, &id);
    let about = log.lines().filter(|line| line.contains("other.test"));
    for line in about.filter(|line| !line.contains("planned ")) {
        assert!(line.contains("joined "), "{line}");
    }
    // Of one that runs nothing can be wished, and one that does not run cannot be asked.
    let wish = agentbox(
        &b,
        &[
            "why",
            "--session",
            &id,
            "--net",
            "none",
            "connect",
            "a.test:1",
        ],
    );
    assert!(
        wish.code() == 2 && wish.complaint().contains("as it is"),
        "{wish:?}"
    );
    assert_eq!(box_.end().code(), 0);
    let over = outside("new.test:443");
    assert!(
        over.code() == 2 && over.complaint().contains("no live session"),
        "{over:?}"
    );
}

/// `agentbox ask` on a terminal of its own: what is refused is asked about once, and the answer counts at once.
#[test]
fn a_human_is_asked_in_another_terminal() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let b = filtered("deny = [\"bad.test\"]");
    let nobody = agentbox(&b, &["ask"]);
    assert!(
        nobody.code() == 2 && nobody.complaint().contains("no terminal"),
        "{nobody:?}"
    );
    let mut box_ = Driven::start(&b);
    let get = |host: &str| format!("get {host} 443");
    assert_eq!(box_.tell(&get("one.test")), "noname");
    let mut command = b.agentbox(["ask"]);
    command.env("NO_COLOR", "1");
    let mut terminal = common::pty::Terminal::start(command, 24, 100);
    // What was refused before is asked about, too. What is no answer does not count.
    terminal.expect("it wants to reach one.test: allow?");
    let why = |host: &str| {
        let id = id(&b);
        agentbox(&b, &["why", "--session", &id, "connect", host]).code()
    };
    terminal.send("perhaps\n");
    terminal.expect_count("it wants to reach one.test: allow?", 2);
    assert_eq!(why("one.test:443"), 1);
    terminal.expect("y, a, n or q");
    terminal.send("y\n");
    terminal.expect("one.test is allowed");
    assert_eq!(why("one.test:443"), 0);
    // A deny is no missing rule: nobody is asked. The next one is.
    assert_eq!(box_.tell(&get("bad.test")), "noname");
    assert_eq!(box_.tell(&get("two.test")), "noname");
    terminal.expect("it wants to reach two.test: allow?");
    terminal.send("n\n");
    assert_eq!(box_.tell(&get("three.test")), "noname");
    terminal.expect("it wants to reach three.test: allow?");
    terminal.send("a\n");
    terminal.expect("allow has \"three.test\"");
    let config = b.home().join(".config/agentbox/config.toml");
    let text = std::fs::read_to_string(config).unwrap();
    assert!(
        text.contains("three.test") && !text.contains("one.test"),
        "{text}"
    );
    assert_eq!((why("two.test:443"), why("three.test:443")), (1, 0));
    // Once each, and it ends with the session.
    assert_eq!(box_.tell(&get("two.test")), "noname");
    assert_eq!(box_.end().code(), 0);
    terminal.expect("has ended");
    assert!(terminal.end().success(), "{}", terminal.text());
    let seen = terminal.text();
    assert_eq!(
        seen.matches("it wants to reach two.test").count(),
        1,
        "{seen}"
    );
    assert!(!seen.contains("bad.test"), "{seen}");
    // Not from inside.
    let inside = b.sh("agentbox ask");
    assert!(
        inside.code() == 1 && inside.complaint().contains("this is a box"),
        "{inside:?}"
    );
}
