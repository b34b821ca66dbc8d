//! The network of the box.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Feature, Layer, TestBox, missing};
use std::io::Write;
use std::net::TcpListener;

fn host_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"host service");
        }
    });
    port
}

#[test]
fn none_has_loopback_only() {
    let b = TestBox::new();
    assert_eq!(
        b.probe("interfaces").allowed()["names"],
        serde_json::json!(["lo"])
    );
    b.probe("serve-self 127.0.0.1:0").allowed();
    b.probe("serve-self [::1]:0").allowed();
    b.probe("serve-self 0.0.0.0:3000").allowed();
}

#[test]
fn host_loopback_is_not_reached() {
    let port = host_server();
    let line = format!("connect-tcp 127.0.0.1:{port}");
    let b = TestBox::new();
    assert_eq!(b.outside(&line).json()["text"], "host service");
    b.probe(&line)
        .denied_deep(Errno::ECONNREFUSED, Layer::Network);
    assert_eq!(
        TestBox::new().net("host").probe(&line).allowed()["text"],
        "host service"
    );
}

/// Metadata services, private ranges, names of resolvers: nothing is routed.
#[test]
fn nothing_leaves() {
    let b = TestBox::new();
    for address in [
        "169.254.169.254:80",
        "10.0.0.1:80",
        "192.168.1.1:53",
        "1.1.1.1:443",
        "8.8.8.8:53",
        "[2606:4700:4700::1111]:443",
        "[fd00::1]:80",
    ] {
        b.probe(&format!("connect-tcp {address}"))
            .denied_deep(Errno::ENETUNREACH, Layer::Network);
    }
    // DNS as a channel (httpjail#53), UDP in general (every TCP-only design leaks by it).
    for address in ["1.1.1.1:53", "169.254.169.254:53", "255.255.255.255:9"] {
        let answer = b.probe(&format!("send-udp {address}")).value();
        assert!(
            ["ENETUNREACH", "EACCES", "EPERM"].contains(&answer["name"].as_str().unwrap_or("ok")),
            "{address}: {answer}"
        );
    }
}

/// ping passed one peer's block (nono#909): ICMP and raw sockets are sockets too.
#[test]
fn raw_and_icmp_sockets() {
    for mode in ["none", "host"] {
        let b = TestBox::new().net(mode);
        b.probe("socket inet stream").allowed();
        b.probe("socket inet raw 1").refused(Errno::EPERM);
        b.probe("socket inet6 raw 58").refused(Errno::EPERM);
        b.probe("socket packet raw 3").refused(Errno::EPERM);
        b.probe("socket vsock stream")
            .denied_deep(Errno::EPERM, Layer::Seccomp);
    }
}

#[test]
fn the_network_cannot_be_changed() {
    let b = TestBox::new();
    // SIOCSIFFLAGS, SIOCADDRT, SIOCSIFADDR, SIOCBRADDBR on a socket made for it are capabilities of the namespace.
    b.probe("socket netlink raw 0").allowed();
    let ran = b.sh("ip link add dummy0 type dummy 2>/dev/null && echo added; ip addr add 10.0.0.1/8 dev lo 2>/dev/null && echo added; echo end");
    assert_eq!(ran.ok(), "end");
}

#[test]
fn host_mode_says_so() {
    let ran = TestBox::new().net("host").run(["true"]);
    ran.ok();
    assert!(
        ran.complaint().contains("network"),
        "the banner must say that the network is the host's: {ran:?}"
    );
}

#[test]
fn a_mode_that_is_not_there_is_refused() {
    for mode in ["filterd", "all", ""] {
        let b = TestBox::new();
        let ran = common::run(b.agentbox(["run", "--net", mode, "--", "true"]));
        ran.refused(&["--net"]);
    }
}

/// It was only "clone3: Function not implemented".
#[test]
fn a_box_in_a_box_is_refused_with_the_way_out() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let ran = b.sh("agentbox run --net none -- echo twice; echo status $?");
    assert_eq!(ran.text(), "status 125", "{ran:?}");
    let said = ran.complaint();
    assert!(said.contains("this is a box of agentbox already"), "{said}");
    assert!(said.contains("without `agentbox run`"), "{said}");
    assert!(!said.contains("sysctl"), "{said}");
    // The way out, and the twin outside.
    assert_eq!(b.sh("echo once").text(), "once");
}
