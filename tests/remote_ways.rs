//! What happens on the way to a remote switch: a proxy, name servers that are gone, clocks that disagree, credentials that
//! expire, a supervisor that was suspended. Each by the policy, within the grace, said once and counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::gone;
use common::switched::{config, count, killed, records, start, supervisor};
use common::switches::{Authority, Flags};
use common::world::token;
use common::{Feature, Live, TestBox, missing, run, until};
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const FAST: &str =
    "interval = \"300ms\"\ntimeout = \"1500ms\"\njitter = \"10ms\"\ngrace = \"4s\"\n";

/// All that is recorded of all sessions.
fn everything(b: &TestBox) -> String {
    records(b, "session.json") + &records(b, "events.jsonl")
}

// --- a proxy -----------------------------------------------------------------------------------------------------

/// A proxy of a company's: it wants a password, alone knows `flags.test`, and leads from there to the flag server.
struct Proxy {
    port: u16,
    tunnels: Arc<AtomicU32>,
}

/// `corp:p@ss`.
const PASSWORD: &str = "Proxy-Authorization: Basic Y29ycDpwQHNz";

impl Proxy {
    fn start(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tunnels = Arc::new(AtomicU32::new(0));
        let counted = tunnels.clone();
        common::helper(move || {
            for client in listener.incoming().flatten() {
                let counted = counted.clone();
                common::helper(move || tunnel(client, to, &counted));
            }
        });
        Proxy { port, tunnels }
    }
}

fn tunnel(mut client: TcpStream, to: u16, counted: &AtomicU32) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let answer = if !head.contains(PASSWORD) {
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    } else if !head.starts_with("CONNECT flags.test:443 HTTP/1.1\r\nHost: flags.test:443\r\n") {
        "HTTP/1.1 403 Forbidden\r\n\r\n"
    } else {
        counted.fetch_add(1, Ordering::Relaxed);
        "HTTP/1.1 200 Connection established\r\nVia: 1.1 corp\r\n\r\n"
    };
    client.write_all(answer.as_bytes()).ok()?;
    if !answer.contains(" 200 ") {
        return None;
    }
    let server = TcpStream::connect(("127.0.0.1", to)).ok()?;
    let (mut from, mut back) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let mut server = server;
    common::helper(move || {
        let _ = std::io::copy(&mut from, &mut server);
        let _ = server.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut back, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}

fn behind_the_proxy(url: &str) -> (TestBox, Flags, Proxy) {
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "DNS:flags.test");
    let flags = Flags::start(&authority, "secret", 0);
    let proxy = Proxy::start(flags.port);
    let b = b
        .file("{home}/.config/agentbox/token", "secret")
        .env("HTTPS_PROXY", url.replace("PORT", &proxy.port.to_string()));
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://flags.test/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\non-unreachable = \"stop\"\n{FAST}"
    );
    (config(b, &text), flags, proxy)
}

#[test]
fn a_switch_behind_the_companys_proxy_kills() {
    let (b, mut flags, proxy) = behind_the_proxy("http://corp:p%40ss@127.0.0.1:PORT");
    let name = token();
    let live = start(&b, &name);
    flags.tell("set /stop the bill");
    killed(
        &live.end(),
        &["the remote switch ops (https://flags.test/stop): \"the bill\""],
    );
    gone(&name);
    assert!(proxy.tunnels.load(Ordering::Relaxed) > 0);
    // Humans' commands go the same way.
    let ran = run(b.agentbox(["start", "--remote", "ops"]));
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    let before = proxy.tunnels.load(Ordering::Relaxed);
    assert_eq!(b.sh("echo ran").ok(), "ran");
    assert!(proxy.tunnels.load(Ordering::Relaxed) > before);
    // Its password is in no record.
    let all = everything(&b);
    assert!(!all.contains("p%40ss") && !all.contains("Y29ycDpwQHNz"));
}

#[test]
fn a_proxy_that_refuses_is_an_unreachable_switch() {
    let (b, _flags, proxy) = behind_the_proxy("http://corp:wrong@127.0.0.1:PORT");
    b.sh("echo ran").refused(&[
        "is unreachable: the proxy 127.0.0.1:",
        "it wants another user or password (407)",
    ]);
    // Who is excepted is asked directly, and there that name is not known.
    let (b, _flags, _) = behind_the_proxy("http://corp:p%40ss@127.0.0.1:PORT");
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), 0);
    let b = b.env("NO_PROXY", ".other,flags.test");
    b.sh("echo ran")
        .refused(&["is unreachable: ", "flags.test"]);
    // One that cannot be used is not gone without.
    let b = b
        .env("NO_PROXY", "")
        .env("HTTPS_PROXY", "socks5://corp:p%40ss@127.0.0.1:1");
    let ran = b.sh("echo ran");
    ran.refused(&["is unreachable: HTTPS_PROXY: only proxies"]);
    assert!(!ran.complaint().contains("p%40ss"), "{ran:?}");
}

#[test]
fn this_machine_is_not_behind_a_proxy() {
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let flags = Flags::start(&authority, "secret", 0);
    let b = b
        .file("{home}/.config/agentbox/token", "secret")
        .env("HTTPS_PROXY", "http://127.0.0.1:1");
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://127.0.0.1:{}/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\non-unreachable = \"stop\"\n{FAST}",
        flags.port
    );
    let b = config(b, &text);
    assert_eq!(b.sh("echo ran").ok(), "ran");
}

// --- name servers ------------------------------------------------------------------------------------------------

/// A name server that answers 127.0.0.1 to everything, until it is dropped.
struct Names(Arc<AtomicU32>);

impl Names {
    fn start(at: &str) -> Option<Names> {
        let socket = UdpSocket::bind((at, 53)).ok()?;
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let lives = Arc::new(AtomicU32::new(1));
        let asked = lives.clone();
        common::helper(move || {
            let mut buffer = [0; 600];
            while asked.load(Ordering::Relaxed) == 1 {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                // The header and the question, without what is behind it.
                let end = 12 + buffer[12..count].iter().position(|b| *b == 0).unwrap() + 5;
                let mut answer = buffer[..end].to_vec();
                let a = buffer[end - 3] == 1;
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(a), 0, 0, 0, 0]);
                if a {
                    answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        Some(Names(lives))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[test]
fn name_servers_that_are_gone_are_a_loss_by_policy() {
    if missing(Feature::HostRoot) {
        return;
    }
    for (policy, status) in [("stop", 137), ("continue", 6)] {
        // An address of loopback that no other test's server has.
        let at = format!("127.53.{}.{}", std::process::id() % 200 + 1, status);
        let names = Names::start(&at).expect("port 53 of an address of loopback");
        let b = TestBox::new();
        let authority = Authority::new(&b, "a", "DNS:flags.example");
        let mut flags = Flags::start(&authority, "secret", 0);
        let b = b
            .file("{t}/resolv.conf", format!("nameserver {at}\n"))
            .file("{home}/.config/agentbox/token", "secret");
        let text = format!(
            "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"https://flags.example:{}/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\non-unreachable = \"{policy}\"\n{FAST}",
            flags.port
        );
        let b = config(b, &text);
        let inner = b.command([
            "/bin/sh",
            "-c",
            "echo up; while ! test -e go; do sleep 0.02; done; exit 6",
        ]);
        let bind = "mount --bind {t}/resolv.conf $(readlink -f /etc/resolv.conf)";
        let script = if common::world::as_root() {
            format!("exec unshare -m sh -euc '{bind}; exec \"$@\"' sh \"$@\"")
        } else {
            format!(
                "exec unshare -m --user --map-root-user sh -euc '{bind}; exec unshare --user --map-user={{uid}} --map-group={{uid}} \"$@\"' sh \"$@\""
            )
        };
        let mut live = Live::start(b.through(&script, &inner));
        live.wait_line("up");
        drop(names);
        std::thread::sleep(Duration::from_millis(100));
        // Another connection, for which the name has to be asked for.
        flags.tell("mode reset");
        std::thread::sleep(Duration::from_millis(500));
        flags.tell("mode ok");
        let begun = Instant::now();
        if policy == "continue" {
            until("the grace is over", || count(&b, "switch-grace-over") == 1);
            fs::write(b.ws().join("go"), "").unwrap();
        }
        let ran = live.end();
        assert_eq!(common::shell_status(ran.status), status, "{ran:?}");
        assert!(begun.elapsed() < Duration::from_secs(12));
        let said = ran.complaint();
        assert_eq!(said.matches("unreachable: ").count(), 1, "{said}");
        assert_eq!(count(&b, "switch-unreachable"), 1, "{said}");
        if policy == "stop" {
            assert!(said.contains("name server"), "{said}");
        }
    }
}

// --- clocks and credentials --------------------------------------------------------------------------------------

/// As much of an S3 as says what a clock, or credentials, have to do with it. Its own clock may be wrong by so many minutes.
struct Store {
    port: u16,
    /// 0: the object does not exist. 1: the credentials have expired. 2: its clock has jumped by an hour.
    mode: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
}

impl Store {
    fn start() -> Store {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, asked) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let store = Store {
            port,
            mode: mode.clone(),
            asked: asked.clone(),
        };
        common::helper(move || {
            for stream in listener.incoming().flatten() {
                let (mode, asked) = (mode.clone(), asked.clone());
                common::helper(move || serve(stream, &mode, &asked));
            }
        });
        store
    }
}

fn serve(mut stream: TcpStream, mode: &AtomicU32, asked: &AtomicU32) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).ok()?;
        assert!(head.contains("authorization: AWS4-HMAC-SHA256"), "{head}");
        asked.fetch_add(1, Ordering::Relaxed);
        let jump = if mode.load(Ordering::Relaxed) == 2 {
            3600
        } else {
            0
        };
        let (status, code) = match mode.load(Ordering::Relaxed) {
            1 => ("403 Forbidden", "ExpiredToken"),
            // As S3 does: a quarter of an hour either way.
            _ if (now() + jump - dated(&head)).abs() > 900 => {
                ("403 Forbidden", "RequestTimeTooSkewed")
            }
            _ => ("404 Not Found", "NoSuchKey"),
        };
        let body = format!("<Error><Code>{code}</Code></Error>");
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// Seconds of this day, which is enough but around midnight: then it waits.
fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(seconds % 86400).unwrap()
}

/// The same of `x-amz-date: 20260102T030405Z`.
fn dated(head: &str) -> i64 {
    let (_, rest) = head.split_once("x-amz-date: ").unwrap();
    let time = &rest[9..15];
    let part = |at: usize| time[at..at + 2].parse::<i64>().unwrap();
    part(0) * 3600 + part(2) * 60 + part(4)
}

fn stored(policy: &str) -> (TestBox, Store) {
    let store = Store::start();
    let b = TestBox::new().file(
        "{home}/.config/agentbox/aws",
        "aws_access_key_id = AKIA\naws_secret_access_key = s3cr3t\n",
    );
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"s3://ops/stop\"\nendpoint = \"http://127.0.0.1:{}\"\ntoken-file = \"{{home}}/.config/agentbox/aws\"\non-unreachable = \"{policy}\"\n{FAST}",
        store.port
    );
    (config(b, &text), store)
}

#[test]
fn credentials_that_expire_and_clocks_that_jump_kill_at_the_end_of_the_grace() {
    // Not where the day changes.
    until("it is not midnight", || (10..86390).contains(&now()));
    for (mode, words) in [
        (1, "the server answered 403 ExpiredToken"),
        (
            2,
            "the server answered 403 RequestTimeTooSkewed: the clock of this machine is wrong",
        ),
    ] {
        let (b, store) = stored("stop");
        let name = token();
        let live = start(&b, &name);
        let begun = Instant::now();
        store.mode.store(mode, Ordering::Relaxed);
        let ran = live.end();
        killed(&ran, &["which has given no proof of life for 4 s: ", words]);
        gone(&name);
        let took = begun.elapsed();
        let (least, most) = (Duration::from_millis(1500), Duration::from_secs(12));
        assert!((least..most).contains(&took), "{took:?}");
        assert_eq!(count(&b, "switch-unreachable"), 1);
        b.sh("echo ran").refused(&["is unreachable: ", words]);
        assert!(!everything(&b).contains("s3cr3t"));
    }
}

#[test]
fn a_clock_that_jumps_and_comes_back_costs_nothing_but_a_word() {
    until("it is not midnight", || (10..86390).contains(&now()));
    let (b, store) = stored("continue");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.02; done; exit 6",
    ]);
    live.wait_line("up");
    store.mode.store(2, Ordering::Relaxed);
    until("the grace is over", || count(&b, "switch-grace-over") == 1);
    store.mode.store(0, Ordering::Relaxed);
    until("it is back", || count(&b, "switch-reachable") == 1);
    fs::write(b.ws().join("go"), "").unwrap();
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 6, "{ran:?}");
    let said = ran.complaint();
    assert_eq!(said.matches("unreachable: ").count(), 1, "{said}");
    assert_eq!(said.matches("answers again after").count(), 1, "{said}");
    // How often it was asked in vain is counted.
    let back = everything(&b);
    let back = back
        .lines()
        .find(|line| line.contains("\"event\":\"switch-reachable\""))
        .unwrap();
    let back: serde_json::Value = serde_json::from_str(back).unwrap();
    let failures = back["failures"].as_u64().unwrap();
    assert!((2..=u64::from(store.asked.load(Ordering::Relaxed))).contains(&failures));
}

#[test]
fn a_supervisor_that_was_suspended_believes_what_it_was_told_meanwhile() {
    let (b, store) = stored("stop");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do sleep 0.02; done; exit 6",
    ]);
    live.wait_line("up");
    let supervisor = supervisor(&b);
    // Longer than the grace, as a laptop that was closed: nothing is lost when it goes on.
    kill(supervisor, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_millis(5500));
    kill(supervisor, Signal::SIGCONT).unwrap();
    let asked = store.asked.load(Ordering::Relaxed);
    until("it is asked on", || {
        store.asked.load(Ordering::Relaxed) > asked + 3
    });
    assert_eq!(count(&b, "switch-unreachable"), 0);
    // And when the other side went away meanwhile, it is known at once.
    kill(supervisor, Signal::SIGSTOP).unwrap();
    // A last good answer that is read late is old all the same.
    let asked = store.asked.load(Ordering::Relaxed);
    until("it is asked meanwhile", || {
        store.asked.load(Ordering::Relaxed) > asked + 1
    });
    store.mode.store(1, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(5500));
    let begun = Instant::now();
    kill(supervisor, Signal::SIGCONT).unwrap();
    killed(&live.end(), &["ExpiredToken"]);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3500), "{took:?}");
}
