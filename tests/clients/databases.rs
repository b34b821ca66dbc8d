//! Protocols in which the server may speak first, or that begin without TLS.

use crate::common;
use crate::world::*;
use std::os::unix::process::CommandExt as _;

#[test]
fn redis_is_reached_by_name_and_by_port() {
    if absent(&["redis-check-rdb", "redis-cli"]) {
        return;
    }
    let port = free_port();
    // The server under another name, which comes without a service.
    let server = tool("redis-check-rdb")
        .arg0("redis-server")
        .args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &port.to_string(),
        ])
        .spawn();
    let _server = Server(server.unwrap());
    listens("redis", port);
    let (b, profile) = granted(port);
    let profile = profile.as_str();
    let ask = |options: &[&str], host: &str| {
        let at = port.to_string();
        let mut words = vec!["run"];
        words.extend(options);
        words.extend(["--", "redis-cli", "-h", host, "-p", &at, "ping"]);
        common::run(b.agentbox(words))
    };
    let by_port = format!("--host-port={port}");
    assert_eq!(ask(&["-p", profile], "db.test").ok().trim(), "PONG");
    assert_eq!(
        ask(&["--net=filtered", &by_port], "127.0.0.1").ok().trim(),
        "PONG"
    );
    for (options, host) in [
        (&["-p", profile][..], "other.test"),
        (&["-p", profile][..], "127.0.0.1"),
        (&["--net=filtered"][..], "127.0.0.1"),
        (&["--net=filtered"][..], "db.test"),
    ] {
        let ran = ask(options, host);
        assert_ne!(ran.code(), 0, "{host}: {ran:?}");
        assert!(!ran.text().contains("PONG"), "{host}: {ran:?}");
    }
}

/// A server of PostgreSQL of its own, by whoever may run one: it refuses root.
fn postgres(b: &common::TestBox, port: u16) -> Server {
    let bin = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .map(|version| version.unwrap().path().join("bin"))
        .max()
        .unwrap();
    let data = b.root().join("data");
    std::fs::create_dir(&data).unwrap();
    let (uid, gid) = match b.ids() {
        (0, _) => (65534, 65534),
        ids => ids,
    };
    common::world::give(&data, uid, gid);
    let program = |name: &str| {
        let mut command = std::process::Command::new(bin.join(name));
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        command.arg("-D").arg(&data);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.uid(uid).gid(gid);
        }
        command
    };
    did(program("initdb").args([
        "-U",
        "agent",
        "-A",
        "trust",
        "--no-sync",
        "--no-instructions",
    ]));
    let mut server = program("postgres");
    server
        .args(["-h", "127.0.0.1", "-k", "", "-F", "-p"])
        .arg(port.to_string());
    let server = Server(server.spawn().unwrap());
    listens("postgres", port);
    server
}

#[test]
#[ignore = "needs postgresql"]
fn psql_asks_a_database_by_name_and_by_port() {
    if absent(&["psql"]) || common::missing(common::Feature::Tool("pg_ctlcluster")) {
        return;
    }
    let port = free_port();
    let (b, profile) = granted(port);
    let _server = postgres(&b, port);
    let ask = |options: &[&str], host: &str| {
        let at = port.to_string();
        let mut words = vec!["run"];
        words.extend(options);
        words.extend([
            "--", "psql", "-h", host, "-p", &at, "-U", "agent", "-d", "postgres",
        ]);
        words.extend([
            "-Atc",
            "select 'ro'||'ws', count(*) from generate_series(1, 100000)",
        ]);
        common::run(b.agentbox(words))
    };
    let by_port = format!("--host-port={port}");
    let ran = ask(&["-p", &profile], "db.test");
    assert_eq!(ran.ok().trim(), "rows|100000", "{ran:?}");
    let ran = ask(&["--net=filtered", &by_port], "localhost");
    assert_eq!(ran.ok().trim(), "rows|100000", "{ran:?}");
    for (options, host) in [
        (&["-p", profile.as_str()][..], "other.test"),
        (&["-p", profile.as_str()][..], "127.0.0.1"),
        (&["--net=filtered"][..], "localhost"),
    ] {
        let ran = ask(options, host);
        assert_ne!(ran.code(), 0, "{host}: {ran:?}");
        assert!(!ran.text().contains("rows"), "{host}: {ran:?}");
    }
}
