#![allow(clippy::unwrap_used, clippy::panic)]
use super::super::testing::mutate;
use super::*;

fn good(text: &str) -> Request {
    match head(text.as_bytes()) {
        Head::Whole(request, len) => {
            assert_eq!(len, text.len());
            *request
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn bad(text: &str) -> &'static str {
    match head(text.as_bytes()) {
        Head::Bad(what) => what,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

#[test]
fn requests_are_read() {
    let get = good("GET /a?b=c HTTP/1.1\r\nHost: Example.COM\r\nAccept: */*\r\n\r\n");
    assert_eq!(
        (get.method.as_str(), get.target.as_str()),
        ("GET", "/a?b=c")
    );
    assert_eq!((get.host, get.port), (name("example.com"), None));
    assert_eq!((get.form, get.body), (Form::Origin, Body::Length(0)));
    let port = good("GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n");
    assert_eq!(port.host, Host::Address("::1".parse().unwrap()));
    assert_eq!(port.port, Some(8080));
    let url = good("GET HTTP://a.example?x HTTP/1.0\r\nHost: a.example:80\r\n\r\n");
    assert_eq!((url.form, url.target.as_str()), (Form::Absolute, "/?x"));
    assert_eq!(url.port, None);
    let options = good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(options.target, "*");
    let connect = good("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
    assert_eq!((connect.form, connect.port), (Form::Authority, Some(443)));
    let post = good("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    assert_eq!(post.body, Body::Length(12));
    let chunked = good("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_eq!(chunked.body, Body::Chunked);
    let first_empty = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(good(first_empty).host, name("a"));
}

#[test]
fn a_request_of_one_line_is_refused_at_once() {
    for text in [
        "GET /\r\n",
        "GET /\n",
        "\r\nGET / HTTP/0.9\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        assert!(!bad(text).is_empty(), "{text:?}");
    }
    for text in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET /",
        "\r\n",
        "\r",
    ] {
        assert!(matches!(head(text.as_bytes()), Head::More), "{text:?}");
    }
}

#[test]
fn what_has_two_meanings_is_refused() {
    let with = |fields: &str| bad(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
    for fields in [
        // Two of a kind, or two kinds.
        "Host: a\r\nHost: a",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1",
        "Host: a\r\nContent-Length: 1, 1",
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Host: a\r\nTransfer-Encoding: gzip, chunked",
        "Host: a\r\nTransfer-Encoding: xchunked",
        "Host: a\r\nTransfer-Encoding: \"chunked\"",
        "Host: a\r\nTransfer-Encoding:",
        "Host: a\r\nTransfer_Encoding: chunked",
        "Host: a\r\nContent_Length: 5",
        // Numbers that are none.
        "Host: a\r\nContent-Length: +1",
        "Host: a\r\nContent-Length: 0x10",
        "Host: a\r\nContent-Length: -1",
        "Host: a\r\nContent-Length:",
        "Host: a\r\nContent-Length: 99999999999999999999",
        // Lines that some join and others do not.
        "Host: a\r\nX: y\r\n z: 1",
        "Host: a\r\n\tHost: b",
        "Host : a",
        "Host: a\r\nTransfer-Encoding : chunked",
        "Host: a\nX: y",
        "Host: a\rX: y",
        "Host: a\r\nX: \0",
        "Host: a\r\nX\r\nY: 1",
        "Host: a\r\n: x",
        // A hop that takes the framing away.
        "Host: a\r\nConnection: close, Content-Length\r\nContent-Length: 1",
        "Host: a\r\nConnection: host",
        // Hosts that are none.
        "Host:",
        "Host: a b",
        "Host: a@b",
        "Host: a/b",
        "Host: a, b",
        "Host: a:80:80",
        "Host: a:",
        "Host: a:x",
        "Host: a:99999",
        "Host: ::1",
        "Host: 0x7f.1",
        "Host: 2130706433",
        "Host: [::1",
        "X: y",
    ] {
        let _ = with(fields);
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET / HTTP/0.9",
        "GET ftp://a/ HTTP/1.1",
        "GET https://a/ HTTP/1.1",
        "GET http:/a HTTP/1.1",
        "GET a HTTP/1.1",
        "GET http://b/ HTTP/1.1",
        "GET http://a:81/ HTTP/1.1",
        "GET http://x@a/ HTTP/1.1",
        "GE(T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "PRI * HTTP/2.0",
        "CONNECT / HTTP/1.1",
        "CONNECT a.example:x HTTP/1.1",
    ] {
        let _ = bad(&format!("{line}\r\nHost: a\r\n\r\n"));
    }
    let chunked_1_0 = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = bad(chunked_1_0);
}

#[test]
fn heads_are_bounded_and_nonsense_is_seen_early() {
    assert_eq!(head(b""), Head::More);
    assert_eq!(head(b"GET / HTTP/1.1\r\nHost: a\r\n"), Head::More);
    for early in [
        b"\x16\x03\x01" as &[u8],
        b"SSH-2.0-x\r\n",
        b"\0",
        b"\r\n\r\n",
        b"<a>",
    ] {
        assert!(matches!(head(early), Head::Bad(_)), "{early:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(MAX_HEAD));
    let _ = bad(&long);
    let _ = bad(&format!("{long}\r\n\r\n"));
    let many = "X: y\r\n".repeat(129);
    let _ = bad(&format!("GET / HTTP/1.1\r\n{many}\r\n"));
}

#[test]
fn upgrades_are_seen_and_the_offer_of_http2_is_dropped() {
    let socket = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(good(socket).upgrade, Upgrade::Asked);
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let request = good(h2c);
    assert_eq!(request.upgrade, Upgrade::No);
    let text = String::from_utf8(request.write(Pass::Server, Last::No)).unwrap();
    assert_eq!(
        text,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    );
}

#[test]
fn requests_are_written_for_whoever_gets_them() {
    let url = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\r\n";
    let request = good(url);
    let text = |pass, last| String::from_utf8(request.write(pass, last)).unwrap();
    assert_eq!(
        text(Pass::Server, Last::Yes),
        "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
    );
    let pass = Pass::Proxy {
        authority: "a.example",
        authorization: Some("Basic eA=="),
    };
    assert_eq!(
        text(pass, Last::No),
        "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Basic eA==\r\n\r\n"
    );
}

#[test]
fn what_is_written_is_read_the_same_and_no_bytes_panic() {
    let seeds: &[&[u8]] = &[
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        b"POST http://a.example:8080/ HTTP/1.1\r\nHost: a.example:8080\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
        b"PUT / HTTP/1.0\r\nhost: a\r\ncontent-length: 3\r\nUpgrade: h2c\r\n\r\nabc",
    ];
    let mut whole = 0;
    mutate(seeds, 20_000, |bytes| {
        if let Head::Whole(request, len) = head(bytes) {
            assert!(len <= bytes.len());
            if request.form == Form::Authority {
                return;
            }
            whole += 1;
            let written = request.write(Pass::Server, Last::No);
            let Head::Whole(again, all) = head(&written) else {
                panic!("{:?}", String::from_utf8_lossy(&written));
            };
            assert_eq!(all, written.len());
            assert_eq!((again.host, again.body), (request.host, request.body));
        }
    });
    assert!(whole > 1000, "only {whole} of the mutations were requests");
}
