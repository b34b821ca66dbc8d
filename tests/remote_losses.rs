//! Every way to lose the back end of a remote switch, for every kind of back end and every policy. With `stop` the box is dead
//! at the end of the grace; with `pause` it stands still until the back end is there again, whatever else is asked for; with
//! `continue` it goes on, and the banner, `ps`, `status` and the record say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::gone;
use common::switched::{config, count};
use common::switches::{Authority, Flags, Redis};
use common::world::token;
use common::{Feature, Live, TestBox, missing, run, until};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const TIMES: &str =
    "interval = \"300ms\"\ntimeout = \"1500ms\"\njitter = \"10ms\"\ngrace = \"4s\"\n";

/// What may be done to the connections of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    /// Nothing.
    Well,
    /// Connections break, new ones are closed.
    Cut,
    /// Connections stay, and nothing comes any more: half-open.
    HalfOpen,
    /// One byte in 600 ms: the shortest answer, of four, takes longer than the timeout.
    Slow,
    /// What comes back is not the protocol.
    Garbage,
}

/// A path to a server that can be damaged.
struct Tap {
    port: u16,
    way: Arc<AtomicU8>,
}

impl Tap {
    fn to(server: u16) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(AtomicU8::new(Way::Well as u8));
        let shared = way.clone();
        common::helper(move || {
            for client in listener.incoming().flatten() {
                if shared.load(Ordering::Relaxed) == Way::Cut as u8 {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                for (from, to, back) in [(&client, &server, false), (&server, &client, true)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let way = shared.clone();
                    common::helper(move || carry(from, to, back, &way));
                }
            }
        });
        Tap { port, way }
    }

    fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, back: bool, way: &AtomicU8) {
    from.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0; 4096];
    let mut broken = false;
    loop {
        let now = way.load(Ordering::Relaxed);
        if now == Way::Cut as u8 || (broken && now == Way::Well as u8) {
            break;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock) => continue,
            Err(_) => break,
        };
        let now = way.load(Ordering::Relaxed);
        let sent = if now == Way::HalfOpen as u8 {
            broken = true;
            Ok(())
        } else if back && now == Way::Garbage as u8 {
            broken = true;
            to.write_all(b"\x00\xfe*!$%&/ 7\r\n\r\n")
        } else if back && now == Way::Slow as u8 {
            broken = true;
            buffer.iter().take(count).try_for_each(|byte| {
                std::thread::sleep(Duration::from_millis(600));
                if way.load(Ordering::Relaxed) == Way::Slow as u8 {
                    to.write_all(&[*byte])
                } else {
                    Err(std::io::ErrorKind::ConnectionReset.into())
                }
            })
        } else {
            to.write_all(&buffer[..count])
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A back end, what breaks it, and what mends it.
struct Back {
    b: TestBox,
    lose: Box<dyn FnMut()>,
    mend: Box<dyn FnMut()>,
    /// What is said of it.
    word: &'static str,
}

type Make = fn(&'static str) -> Back;

fn world(b: TestBox, url: &str, more: &str, policy: &str) -> TestBox {
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"{url}\"\non-unreachable = \"{policy}\"\n{TIMES}{more}"
    );
    config(b, &text)
}

fn flags(policy: &str) -> (TestBox, Flags, Tap) {
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let flags = Flags::start(&authority, "secret", 0);
    let tap = Tap::to(flags.port);
    let url = format!("https://127.0.0.1:{}/stop", tap.port);
    let more =
        "ca = \"{t}/a-ca.pem\"\ntoken-file = \"{home}/.config/agentbox/token\"\nfield = \"stop\"\n";
    let b = b.file("{home}/.config/agentbox/token", "secret");
    (world(b, &url, more, policy), flags, tap)
}

/// By a command of the flag server, and `word`.
fn told(policy: &str, lose: &'static str, mend: &'static str, word: &'static str) -> Back {
    let (b, mut flags, _) = flags(policy);
    flags.tell("set /stop {\"stop\": false}");
    let flags = Arc::new(std::sync::Mutex::new(flags));
    let other = flags.clone();
    Back {
        b,
        lose: Box::new(move || drop(flags.lock().unwrap().tell(lose))),
        mend: Box::new(move || drop(other.lock().unwrap().tell(mend))),
        word,
    }
}

/// By what happens between the two, with what has to live as long.
fn tapped<T: 'static>(b: TestBox, tap: Tap, held: T, way: Way) -> Back {
    let tap = Arc::new(tap);
    let other = tap.clone();
    Back {
        b,
        lose: Box::new(move || tap.set(way)),
        mend: Box::new(move || {
            let _held = &held;
            other.set(Way::Well);
        }),
        word: "",
    }
}

fn https(policy: &str, way: Way) -> Back {
    let (b, mut flags, tap) = flags(policy);
    flags.tell("set /stop {\"stop\": false}");
    tapped(b, tap, flags, way)
}

fn certificate(policy: &str) -> Back {
    let b = TestBox::new();
    let good = Authority::new(&b, "a", "IP:127.0.0.1");
    let bad = Authority::new(&b, "other", "IP:127.0.0.1");
    let flags = Flags::start(&good, "secret", 0);
    let port = flags.port;
    let url = format!("https://127.0.0.1:{port}/stop");
    let more = "ca = \"{t}/a-ca.pem\"\ntoken-file = \"{home}/.config/agentbox/token\"\n";
    let b = b.file("{home}/.config/agentbox/token", "secret");
    let server = Arc::new(std::sync::Mutex::new(Some(flags)));
    let other = server.clone();
    let put = move |place: &std::sync::Mutex<Option<Flags>>, authority: &Authority| {
        let mut place = place.lock().unwrap();
        drop(place.take());
        *place = Some(Flags::start(authority, "secret", port));
    };
    Back {
        b: world(b, &url, more, policy),
        lose: Box::new(move || put(&server, &bad)),
        mend: Box::new(move || put(&other, &good)),
        word: "certificate",
    }
}

fn redis(policy: &str) -> (TestBox, Redis, Tap) {
    let server = Redis::start(&[], None);
    let tap = Tap::to(server.port);
    let url = format!("redis://127.0.0.1:{}", tap.port);
    let b = world(TestBox::new(), &url, "keys = [\"stop\"]\n", policy);
    (b, server, tap)
}

fn by_redis(policy: &str, way: Way) -> Back {
    let (b, server, tap) = redis(policy);
    tapped(b, tap, server, way)
}

/// The credentials are not those any more.
fn by_password(policy: &str) -> Back {
    let (b, server, _tap) = redis(policy);
    let server = Arc::new(server);
    let other = server.clone();
    Back {
        b,
        lose: Box::new(move || {
            server.tell_all(&[
                &["CONFIG", "SET", "requirepass", "another"],
                &["CLIENT", "KILL", "TYPE", "pubsub"],
                &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
            ]);
        }),
        mend: Box::new(move || {
            other.tell_as("another", &["CONFIG", "SET", "requirepass", ""]);
        }),
        word: "NOAUTH",
    }
}

fn by_s3(policy: &str, way: Way) -> Back {
    // Nothing of S3 but that the object is not there: requests arrive, and answers are read.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        for mut client in listener.incoming().flatten() {
            common::helper(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while client.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let body = "<Error><Code>NoSuchKey</Code></Error>";
                        let length = body.len();
                        let _ = client.write_all(
                            format!(
                                "HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}"
                            )
                            .as_bytes(),
                        );
                    }
                }
            });
        }
    });
    let tap = Tap::to(port);
    let b = TestBox::new().file(
        "{home}/.config/agentbox/aws",
        "aws_access_key_id = AKIA\naws_secret_access_key = s3cr3t\n",
    );
    let more = format!(
        "endpoint = \"http://127.0.0.1:{}\"\ntoken-file = \"{{home}}/.config/agentbox/aws\"\n",
        tap.port
    );
    tapped(world(b, "s3://ops/stop", &more, policy), tap, (), way)
}

fn by_share(policy: &str) -> Back {
    let b = TestBox::new().dir("{t}/share/ops");
    let b = world(b, "file://{t}/share/ops/stop", "", policy);
    let (here, there) = (b.root().join("share/ops"), b.root().join("share/gone"));
    let (back, from) = (here.clone(), there.clone());
    Back {
        b,
        lose: Box::new(move || fs::rename(&here, &there).unwrap()),
        mend: Box::new(move || fs::rename(&from, &back).unwrap()),
        word: "No such file or directory",
    }
}

/// A program that says `clear`, until it is another one.
fn by_program(policy: &str, other: &'static str, word: &'static str) -> Back {
    let b = TestBox::new().script("{t}/bin/ask", "#!/bin/sh\necho clear\n");
    let b = world(b, "exec:{t}/bin/ask", "", policy);
    let at = b.root().join("bin/ask");
    let place = at.clone();
    let put = |at: &std::path::Path, text: &str| {
        let new = at.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, at).unwrap();
    };
    Back {
        b,
        lose: Box::new(move || put(&at, other)),
        mend: Box::new(move || put(&place, "echo clear")),
        word,
    }
}

const HTTPS: [(&str, Make); 12] = [
    ("https cut off", |p| https(p, Way::Cut)),
    ("https half-open", |p| https(p, Way::HalfOpen)),
    ("https slow", |p| https(p, Way::Slow)),
    ("https garbage", |p| https(p, Way::Garbage)),
    ("500s", |p| told(p, "mode 500", "mode ok", "answered 500")),
    ("hang", |p| told(p, "mode hang", "mode ok", "")),
    ("no HTTP", |p| told(p, "mode garbage", "mode ok", "")),
    ("a portal", |p| told(p, "mode html", "mode ok", "JSON")),
    ("elsewhere", |p| told(p, "mode redirect", "mode ok", "302")),
    ("drip", |p| told(p, "mode drip", "mode ok", "")),
    ("expired", |p| {
        told(p, "token new", "token secret", "answered 401")
    }),
    ("wrong certificate", certificate),
];

const REDIS: [(&str, Make); 5] = [
    ("redis cut off", |p| by_redis(p, Way::Cut)),
    ("redis half-open", |p| by_redis(p, Way::HalfOpen)),
    ("redis slow", |p| by_redis(p, Way::Slow)),
    ("redis garbage", |p| by_redis(p, Way::Garbage)),
    ("redis password", by_password),
];

const OTHERS: [(&str, Make); 7] = [
    ("s3 cut off", |p| by_s3(p, Way::Cut)),
    ("s3 half-open", |p| by_s3(p, Way::HalfOpen)),
    ("s3 slow", |p| by_s3(p, Way::Slow)),
    ("s3 garbage", |p| by_s3(p, Way::Garbage)),
    ("the share is gone", by_share),
    ("the program fails", |p| {
        by_program(p, "echo clear; exit 3", "3")
    }),
    ("the program hangs", |p| by_program(p, "sleep 30", "")),
];

fn out(b: &TestBox, words: &[&str]) -> String {
    let ran = run(b.agentbox(words));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A box that counts, and ends with 6 when it is told to.
fn counting(b: &TestBox) -> Live {
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "echo up; while ! test -e go; do echo >> ticks; sleep 0.02; done; exit 6",
    ]);
    live.wait_line("up");
    live
}

fn ticks(b: &TestBox) -> usize {
    fs::read(b.ws().join("ticks")).unwrap_or_default().len()
}

fn stops(what: &str, back: &mut Back) {
    let name = token();
    let live = back.b.start_probe(&format!("orphans 3 600 {name}"));
    let begun = Instant::now();
    (back.lose)();
    let ran = live.end();
    let took = begun.elapsed();
    assert_eq!(common::shell_status(ran.status), 137, "{what}: {ran:?}");
    let said = ran.complaint();
    for word in [
        "the remote switch ops",
        "which has given no proof of life for 4 s: ",
        back.word,
    ] {
        assert!(said.contains(word), "{what}: {word:?}: {said}");
    }
    gone(&name);
    // The grace counts from the last proof of life, which was up to an interval and an answer ago.
    assert!(
        (Duration::from_millis(1500)..Duration::from_secs(12)).contains(&took),
        "{what}: {took:?}"
    );
    assert_eq!(said.matches(": unreachable: ").count(), 1, "{what}: {said}");
    assert_eq!(count(&back.b, "switch-unreachable"), 1, "{what}");
    assert_eq!(count(&back.b, "switch-grace-over"), 1, "{what}");
    back.b
        .sh("echo ran")
        .refused(&["not started: the remote switch ops", "is unreachable"]);
    (back.mend)();
    until("it starts again", || {
        common::shell_status(back.b.sh("true").status) == 0
    });
}

fn continues(what: &str, back: &mut Back) {
    let live = counting(&back.b);
    (back.lose)();
    until("the grace is over", || {
        count(&back.b, "switch-grace-over") == 1
    });
    let before = ticks(&back.b);
    until("it goes on", || ticks(&back.b) > before + 5);
    let rows: serde_json::Value = serde_json::from_str(&out(&back.b, &["ps", "--json"])).unwrap();
    let known = &rows[0]["switches"][0];
    assert!(
        known["unreachable"].as_str().unwrap().contains(back.word),
        "{what}: {known}"
    );
    assert!(known["age-ms"].as_u64().unwrap() >= 3000, "{what}: {known}");
    let table = out(&back.b, &["ps"]);
    assert!(table.contains("ops!"), "{what}: {table}");
    let status = out(&back.b, &["status"]);
    assert!(status.contains("UNREACHABLE"), "{what}: {status}");
    // The banner of the next one says it, which starts.
    let next = back.b.sh("echo ran");
    assert_eq!(next.ok(), "ran", "{what}");
    assert!(
        next.complaint().contains("unreachable: ")
            && next.complaint().contains("the session goes on without it"),
        "{what}: {next:?}"
    );
    (back.mend)();
    until("it is back", || count(&back.b, "switch-reachable") == 1);
    fs::write(back.b.ws().join("go"), "").unwrap();
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 6, "{what}: {ran:?}");
    let said = ran.complaint();
    assert_eq!(said.matches(": unreachable: ").count(), 1, "{what}: {said}");
    assert_eq!(
        said.matches("answers again after").count(),
        1,
        "{what}: {said}"
    );
}

fn pauses(what: &str, back: &mut Back) {
    let live = counting(&back.b);
    (back.lose)();
    until("it is paused", || count(&back.b, "paused") == 1);
    let mut last = ticks(&back.b);
    until("it stands still", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = ticks(&back.b);
        std::mem::replace(&mut last, now) == now
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks(&back.b), last, "{what}");
    (back.mend)();
    until("it goes on", || count(&back.b, "resumed") == 1);
    until("it moves", || ticks(&back.b) > last);
    fs::write(back.b.ws().join("go"), "").unwrap();
    assert_eq!(common::shell_status(live.end().status), 6, "{what}");
}

/// Each row in a world of its own, some at a time.
fn each(rows: &[(&'static str, Make)], policy: &'static str, check: fn(&str, &mut Back)) {
    for some in rows.chunks(4) {
        std::thread::scope(|scope| {
            for (what, make) in some {
                scope.spawn(move || check(what, &mut make(policy)));
            }
        });
    }
}

#[test]
fn every_loss_of_a_server_kills_at_the_end_of_the_grace() {
    each(&HTTPS, "stop", stops);
}

#[test]
fn every_loss_of_a_server_is_survived_and_said_where_that_is_the_policy() {
    each(&HTTPS, "continue", continues);
}

#[test]
fn every_loss_of_a_redis_is_by_policy() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    each(&REDIS, "stop", stops);
    each(&REDIS, "continue", continues);
}

#[test]
fn every_loss_of_a_store_a_share_and_a_program_is_by_policy() {
    each(&OTHERS, "stop", stops);
    each(&OTHERS, "continue", continues);
}

#[test]
fn a_loss_pauses_where_that_is_the_policy() {
    each(&HTTPS[..4], "pause", pauses);
    each(&OTHERS[4..], "pause", pauses);
}

/// A box that a human had paused went on at `agentbox resume` although the switch was gone; and the halt of the keeper's that
/// ended let go of what somebody else held.
#[test]
fn a_resume_does_not_let_go_what_an_unreachable_switch_holds() {
    let mut back = by_share("pause");
    let live = counting(&back.b);
    let id = out(&back.b, &["ps", "-q"]).trim().to_owned();
    let ask = |verb: &str| run(back.b.agentbox([verb, &id]));
    assert_eq!(common::shell_status(ask("pause").status), 0);
    (back.lose)();
    until("the grace is over", || {
        count(&back.b, "switch-grace-over") == 1
    });
    let still = ticks(&back.b);
    let ran = ask("resume");
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    assert!(
        ran.complaint().contains("a remote switch is unreachable"),
        "{ran:?}"
    );
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks(&back.b), still);
    // The twin: that human has let go, so it goes on with the switch.
    (back.mend)();
    until("it moves", || ticks(&back.b) > still);
    // And the other way round: the human holds it longer.
    (back.lose)();
    until("the grace is over", || {
        count(&back.b, "switch-grace-over") == 2
    });
    assert_eq!(common::shell_status(ask("pause").status), 0);
    (back.mend)();
    until("it is back", || count(&back.b, "switch-reachable") == 2);
    let still = ticks(&back.b);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks(&back.b), still);
    assert_eq!(common::shell_status(ask("resume").status), 0);
    until("it moves", || ticks(&back.b) > still);
    fs::write(back.b.ws().join("go"), "").unwrap();
    assert_eq!(common::shell_status(live.end().status), 6);
}
