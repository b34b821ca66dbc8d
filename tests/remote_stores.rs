//! Remote kill switches in a Redis and in an S3: real servers on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::live::gone;
use common::switched::{config, killed, start};
use common::switches::{Authority, Moto, Redis};
use common::world::token;
use common::{Feature, Live, TestBox, missing, run};
use std::fs;
use std::time::{Duration, Instant};

fn redis(port: u16, more: &str) -> String {
    format!(
        "[kill-switch]\nteam = \"pay ments\"\n[[kill-switch.remote]]\nname = \"ops\"\nurl = \"redis://127.0.0.1:{port}\"\nkeys = [\"stop:all\", \"stop:team:${{team}}\", \"stop:user:${{user}}\"]\non-unreachable = \"stop\"\n{more}\n"
    )
}

/// Slow to ask: what is killed sooner was told.
const SLOW: &str = "interval = \"30s\"\ntimeout = \"2s\"\njitter = \"10ms\"\n";
const FAST: &str =
    "interval = \"300ms\"\ntimeout = \"1500ms\"\njitter = \"10ms\"\ngrace = \"4s\"\n";

#[test]
fn a_key_kills_at_once_whether_it_is_told_by_a_channel_or_by_the_keyspace() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    for (options, publish) in [
        (&[][..], true),
        (&["--notify-keyspace-events", "K$gxe"][..], false),
    ] {
        let server = Redis::start(options, None);
        let b = config(TestBox::new(), &redis(server.port, SLOW));
        let name = token();
        let live = start(&b, &name);
        let begun = Instant::now();
        server.tell(&["SET", "stop:team:pay-ments", "the bill"]);
        if publish {
            server.tell(&["PUBLISH", "stop:team:pay-ments", "x"]);
        }
        let ran = live.end();
        let took = begun.elapsed();
        killed(
            &ran,
            &[
                "killed: the remote switch ops (redis://127.0.0.1:",
                "\"the bill\"",
            ],
        );
        gone(&name);
        assert!(took < Duration::from_secs(10), "{took:?}");
        b.sh("echo ran")
            .refused(&["not started: the remote switch ops"]);
        server.tell(&["DEL", "stop:team:pay-ments"]);
        // The twin: another team's key, and news about nothing.
        let mut live = b.start([
            "/bin/sh",
            "-c",
            "echo up; while ! test -e go; do sleep 0.02; done; exit 6",
        ]);
        live.wait_line("up");
        server.tell(&["SET", "stop:team:other", "x"]);
        server.tell(&["PUBLISH", "stop:all", "x"]);
        fs::write(b.ws().join("go"), "").unwrap();
        assert_eq!(common::shell_status(live.end().status), 6);
    }
}

/// `${repo}` is where `origin` is, or the name of the working copy: one key for all of its boxes, wherever they are.
#[test]
fn a_key_of_a_repository_kills_its_boxes_alone() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"redis://127.0.0.1:{}\"\nkeys = [\"stop:repo:${{repo}}\"]\non-unreachable = \"stop\"\n{SLOW}",
        server.port
    );
    let world = |config_of_git: &str| {
        let b = TestBox::new().file("{ws}/.git/HEAD", "ref: refs/heads/main\n");
        let b = b.dir("{ws}/.git/objects").dir("{ws}/.git/refs");
        let b = b.file("{ws}/.git/config", config_of_git);
        config(b, &text)
    };
    let a = world("[remote \"origin\"]\n\turl = git@git.test:acme/shop.git\n");
    let other = world("");
    let (name, second) = (token(), token());
    let live = start(&a, &name);
    let spared = start(&other, &second);
    server.tell(&["SET", "stop:repo:acme-shop", "the bill"]);
    server.tell(&["PUBLISH", "stop:repo:acme-shop", "x"]);
    killed(&live.end(), &["\"the bill\""]);
    gone(&name);
    // The twin, whose key is the name of its directory.
    assert!(!common::live::with_token(&second).is_empty());
    let own = other.ws().file_name().unwrap().to_str().unwrap().to_owned();
    server.tell(&["SET", &format!("stop:repo:{own}"), "this one"]);
    server.tell(&["PUBLISH", &format!("stop:repo:{own}"), "x"]);
    killed(&spared.end(), &["\"this one\""]);
}

#[test]
fn a_key_of_any_type_counts() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    let b = config(TestBox::new(), &redis(server.port, FAST));
    server.tell(&["LPUSH", "stop:all", "x"]);
    b.sh("echo ran")
        .refused(&["not started: the remote switch ops"]);
    server.tell(&["DEL", "stop:all"]);
    assert_eq!(b.sh("echo ran").ok(), "ran");
}

#[test]
fn stop_and_start_set_one_key_with_reason_and_author() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let server = Redis::start(&[], None);
    let b = config(TestBox::new(), &redis(server.port, SLOW));
    // Which of three would be meant?
    let ran = run(b.agentbox(["stop", "--remote", "ops"]));
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    assert!(ran.complaint().contains("stop:team:pay-ments"), "{ran:?}");
    let name = token();
    let live = start(&b, &name);
    let ran = run(b.agentbox([
        "stop", "--remote", "ops", "--key", "stop:all", "--reason", "enough",
    ]));
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    gone(&name);
    killed(&live.end(), &["\"enough\"", "@"]);
    let held = server.tell(&["GET", "stop:all"]);
    assert!(
        held.contains("\"reason\":\"enough\"") && held.contains("\"by\":"),
        "{held}"
    );
    let ran = run(b.agentbox(["start", "--remote", "ops", "--key", "stop:all"]));
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    assert_eq!(b.sh("echo ran").ok(), "ran");
}

#[test]
fn a_password_in_tls_and_the_wrong_ones() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let server = Redis::start(&["--requirepass", "pass-1"], Some(&authority));
    let text = redis(server.port, FAST).replace("redis://", "rediss://");
    let text = format!(
        "{text}ca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\n"
    );
    let b = config(b, &text).file("{home}/.config/agentbox/token", "pass-1\n");
    assert_eq!(b.sh("echo ran").ok(), "ran");
    let token = b.home().join(".config/agentbox/token");
    fs::write(&token, "pass-2").unwrap();
    b.sh("echo ran").refused(&["is unreachable", "WRONGPASS"]);
    fs::write(&token, "pass-1").unwrap();
    let _other = Authority::new(&b, "a", "IP:127.0.0.1");
    b.sh("echo ran").refused(&["is unreachable", "certificate"]);
}

#[test]
fn a_redis_that_restarts_is_found_again_and_one_that_does_not_kills() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let mut server = Redis::start(&[], None);
    let b = config(TestBox::new(), &redis(server.port, FAST));
    let name = token();
    let live = start(&b, &name);
    server.kill();
    server.again();
    // Frozen: nothing is closed and nothing answers.
    server.tell(&["PING"]);
    std::thread::sleep(Duration::from_millis(700));
    assert!(run(b.agentbox(["ps", "-q"])).stdout.len() > 5, "it lives");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.server.child.id()).unwrap());
    let begun = Instant::now();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let ran = live.end();
    killed(&ran, &["which has given no proof of life for 4 s"]);
    gone(&name);
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
}

#[test]
fn one_that_is_no_redis_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        use std::io::Write;
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let b = config(TestBox::new(), &redis(port, FAST));
    b.sh("echo ran")
        .refused(&["is unreachable: not an answer of a Redis"]);
}

#[test]
#[ignore = "needs moto, which scripts/test --all installs"]
fn an_object_kills_within_an_interval_and_renewed_credentials_are_found() {
    let mut moto = Moto::start();
    let b = TestBox::new();
    let text = format!(
        "[[kill-switch.remote]]\nname = \"ops\"\nurl = \"s3://ops/agents/stop\"\nendpoint = \"http://127.0.0.1:{}\"\non-unreachable = \"stop\"\ntoken-file = \"{{home}}/.config/agentbox/aws\"\ninterval = \"500ms\"\ntimeout = \"2s\"\ngrace = \"5s\"\npublish = \"sessions/${{session}}\"\n",
        moto.port
    );
    let file = |id: &str, secret: &str| {
        format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
    };
    let b = config(b, &text).file("{home}/.config/agentbox/aws", file(&moto.id, &moto.secret));
    assert_eq!(b.sh("echo ran").ok(), "ran");
    let name = token();
    let live = start(&b, &name);
    let begun = Instant::now();
    assert_eq!(moto.tell("put the bill"), "done");
    killed(
        &live.end(),
        &[
            "the remote switch ops (s3://ops/agents/stop",
            "\"the bill\"",
        ],
    );
    gone(&name);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(moto.tell("del"), "done");
    // The head of its record is an object beside it.
    let sessions = fs::read_dir(b.home().join(".local/state/agentbox/sessions")).unwrap();
    let published = sessions.flatten().filter(|session| {
        let head = moto.tell(&format!(
            "read sessions/{}",
            session.file_name().to_str().unwrap()
        ));
        head.contains("\"state\":\"ended\"") && head.contains("\"exit-status\":137")
    });
    assert_eq!(published.count(), 1);
    // Credentials that are taken away while the box runs, and renewed: nothing is lost.
    let live = start(&b, &name);
    let renewed = moto.tell("rotate");
    let (id, secret) = renewed.split_once(' ').unwrap();
    fs::write(b.home().join(".config/agentbox/aws"), file(id, secret)).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let set = run(b.agentbox(["stop", "--remote", "ops", "--reason", "enough"]));
    assert_eq!(common::shell_status(set.status), 0, "{set:?}");
    assert!(moto.tell("get").contains("\"reason\":\"enough\""));
    killed(&live.end(), &["\"enough\""]);
    gone(&name);
    let lifted = run(b.agentbox(["start", "--remote", "ops"]));
    assert_eq!(common::shell_status(lifted.status), 0, "{lifted:?}");
    // And those that stay wrong.
    fs::write(
        b.home().join(".config/agentbox/aws"),
        file("AKIAWRONG", secret),
    )
    .unwrap();
    b.sh("echo ran")
        .refused(&["is unreachable: the server answered 403"]);
}

#[test]
#[ignore = "a hundred boxes; scripts/test --all"]
fn one_key_kills_a_hundred_boxes() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    const BOXES: usize = 100;
    let server = Redis::start(&[], None);
    let b = config(TestBox::new(), &redis(server.port, SLOW));
    let name = token();
    let live: Vec<Live> = (0..BOXES).map(|_| start(&b, &name)).collect();
    let begun = Instant::now();
    let ran = run(b.agentbox([
        "stop",
        "--remote",
        "ops",
        "--key",
        "stop:all",
        "--reason",
        "all of you",
    ]));
    let returned = begun.elapsed();
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    gone(&name);
    let dead = begun.elapsed();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        said.contains(&format!("{BOXES} sessions here stopped in")),
        "{said}"
    );
    for one in live {
        killed(&one.end(), &["\"all of you\""]);
    }
    let line = format!(
        "{BOXES} boxes, one key: stop returned after {returned:?}, last process gone after {dead:?}; {}",
        said.trim()
    );
    // For who runs it with --nocapture; the harness keeps it otherwise.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
}
