//! TLS and HTTP: the name inside must be the name that was connected to.

use crate::world::*;
use agentbox::gate::message::{Text, Why};
use agentbox::gate::rules::{Mark, Target};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An alert as the gate sends it.
fn alert(kind: u8) -> Result<Vec<u8>, std::io::ErrorKind> {
    Ok(vec![0x15, 3, 3, 0, 2, 2, kind])
}

/// A server that counts its connections and echoes.
fn counted(addr: [u8; 4], port: u16) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    server(addr, port, move |stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        echo(stream);
    });
    count
}

#[test]
fn tls_goes_to_the_name_in_its_hello_or_nowhere() {
    in_namespaces("web::tls_goes_to_the_name_in_its_hello_or_nowhere", || {
        let count = counted([127, 0, 0, 2], 443);
        let also = counted([127, 0, 0, 2], 8443);
        let mut world = World::new();
        world.name("a.example", &[443, 8443], &[Mark::Private], [127, 0, 0, 2]);
        let marks = [Mark::Private, Mark::NoSni];
        world.name("nosni.example", &[443], &marks, [127, 0, 0, 2]);
        let marks = [Mark::Private, Mark::Plain];
        world.name("plain.example", &[443], &marks, [127, 0, 0, 2]);
        world.configure();
        let talk = |name: &str, port, bytes: &[u8]| {
            let mut stream = world.connect(name, port);
            stream.write_all(bytes).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream)
        };
        for port in [443, 8443] {
            for record in [16384, 3] {
                let good = client_hello(Some("A.example"), record);
                assert_eq!(talk("a.example", port, &good).unwrap(), good);
            }
            let other = client_hello(Some("b.example"), 16384);
            assert_eq!(talk("a.example", port, &other), alert(112), "{port}");
            let none = client_hello(None, 16384);
            assert_eq!(talk("a.example", port, &none), alert(112), "{port}");
        }
        let none = client_hello(None, 16384);
        assert_eq!(talk("nosni.example", 443, &none).unwrap(), none);
        // A name that is there has to be the right one all the same.
        let other = client_hello(Some("b.example"), 16384);
        assert_eq!(talk("nosni.example", 443, &other), alert(112));
        assert_eq!(talk("plain.example", 443, &other), alert(112));
        // Not TLS.
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        assert_eq!(talk("a.example", 443, b"SSH-2.0-x\r\n"), reset);
        assert_eq!(
            talk("plain.example", 443, b"SSH-2.0-x\r\n").unwrap(),
            b"SSH-2.0-x\r\n"
        );
        assert_eq!(talk("a.example", 8443, b"hello").unwrap(), b"hello");
        // Of what was refused on 443 the server has seen nothing, not even a connection.
        assert_eq!(count.load(Ordering::SeqCst), 2 + 1 + 1 + 1);
        assert!(also.load(Ordering::SeqCst) >= 3);
        let found = Text::of("b.example");
        world.wait("refusal by name", |event| {
            format!("{event:?}").contains(&format!(
                "{:?}",
                Why::Sni {
                    found: found.clone()
                }
            ))
        });
        for why in [Why::NoSni, Why::NotTls] {
            world.wait("refusal", |event| {
                format!("{event:?}").contains(&format!("{why:?}"))
            });
        }
    });
}

/// The `random` by which a ServerHello asks for a second ClientHello (RFC 8446 4.1.3).
const RETRY: &str = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";

fn server_hello(random: &[u8]) -> Vec<u8> {
    let mut all = vec![0x16, 3, 3, 0, 88, 2, 0, 0, 84, 3, 3];
    all.extend_from_slice(random);
    all.resize(93, 0);
    all
}

/// OpenSSL's servers go by the name in the second hello, which nobody looked at: one that is granted gave any other at its
/// address.
#[test]
fn a_second_hello_names_the_same_server() {
    in_namespaces("web::a_second_hello_names_the_same_server", || {
        let hello = |name| client_hello(Some(name), 16384);
        let first = hello("a.example");
        let random: Vec<u8> = (0..RETRY.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&RETRY[at..at + 2], 16).unwrap())
            .collect();
        let answers = [server_hello(&random), server_hello(&[7; 32])];
        // Each answers the first hello and sends the rest back.
        for (port, answer) in [443, 8443].into_iter().zip(&answers) {
            let (answer, len) = (answer.clone(), first.len());
            server([127, 0, 0, 2], port, move |mut stream| {
                stream.read_exact(&mut vec![0; len]).unwrap();
                stream.write_all(&answer).unwrap();
                echo(stream);
            });
        }
        let mut world = World::new();
        world.name("a.example", &[443, 8443], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let [retry, plain] = &answers;
        let talk = |port, answer: &[u8], together: bool, then: &[u8]| {
            let mut stream = world.connect("a.example", port);
            if together {
                stream.write_all(&[&first, then].concat()).unwrap();
            } else {
                stream.write_all(&first).unwrap();
                let mut got = vec![0; answer.len()];
                stream.read_exact(&mut got).unwrap();
                assert_eq!(got, answer);
                stream.write_all(then).unwrap();
            }
            let _ = stream.shutdown(Shutdown::Write);
            let got = rest(&mut stream)?;
            Ok(got[if together { answer.len() } else { 0 }..].to_vec())
        };
        let middle_boxes: &[u8] = &[0x14, 3, 3, 0, 1, 1];
        let cancelled: &[u8] = &[0x15, 3, 3, 0, 2, 1, 90];
        for together in [false, true] {
            for before in [&[], middle_boxes, cancelled] {
                let good = [before, &hello("a.example")[..], b"and so on"].concat();
                assert_eq!(talk(443, retry, together, &good).unwrap(), good);
                let other = [before, &hello("b.example")[..]].concat();
                let said = talk(443, retry, together, &other);
                assert_eq!(said, alert(112), "{together} {before:?}");
            }
            // A server that asks for none reads none.
            for then in [&b"anything"[..], &hello("b.example")] {
                assert_eq!(talk(8443, plain, together, then).unwrap(), then);
            }
        }
    });
}

/// Behind a record that servers drop before the first hello (OpenSSL, nginx and JSSE an empty one, GnuTLS a ChangeCipherSpec, Go a
/// warning), or in one of a version that JSSE takes, any name got through on ports other than 443.
#[test]
fn nothing_before_a_hello_hides_its_name() {
    in_namespaces("web::nothing_before_a_hello_hides_its_name", || {
        server([127, 0, 0, 2], 8443, echo);
        let mut world = World::new();
        world.name("a.example", &[8443], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let talk = |bytes: &[u8]| {
            let mut stream = world.connect("a.example", 8443);
            stream.write_all(bytes).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream)
        };
        let hello = |name| client_hello(Some(name), 16384);
        for before in [
            &[0x15, 3, 3, 0, 2, 1, 90][..],
            &[0x16, 3, 1, 0, 0],
            &[0x14, 3, 1, 0, 0],
            &[0x14, 3, 3, 0, 1, 1],
        ] {
            let all = [before, &hello("b.example")[..]].concat();
            assert_eq!(talk(&all), alert(112), "{before:?}");
            // A protocol that begins so by chance.
            let all = [before, b"\0and so on"].concat();
            assert_eq!(talk(&all).unwrap(), all, "{before:?}");
        }
        for (name, is_let) in [("a.example", true), ("b.example", false)] {
            let mut odd = hello(name);
            odd[1] = 0x7f;
            let said = talk(&odd);
            assert!(
                if is_let {
                    said == Ok(odd)
                } else {
                    said == alert(112)
                },
                "{name}"
            );
        }
    });
}

#[test]
fn servers_that_speak_first_are_heard() {
    in_namespaces("web::servers_that_speak_first_are_heard", || {
        server([127, 0, 0, 2], 22, |mut stream| {
            stream.write_all(b"SSH-2.0-server\r\n").unwrap();
            echo(stream);
        });
        let mut world = World::new();
        world.name("git.example", &[22], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let mut stream = world.connect("git.example", 22);
        let banner = until(&mut stream, |all| all.ends_with(b"\n"));
        assert_eq!(banner, b"SSH-2.0-server\r\n");
        stream.write_all(b"SSH-2.0-client\r\n").unwrap();
        until(&mut stream, |all| all.ends_with(b"SSH-2.0-client\r\n"));
    });
}

/// Reads requests and answers each with its target; remembers all that came.
fn web_server(mut stream: TcpStream) {
    let mut all: Vec<u8> = Vec::new();
    let mut buf = [0; 4096];
    loop {
        while let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(all.drain(..end + 4).collect()).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            while all.len() < length {
                let len = stream.read(&mut buf).unwrap();
                assert!(len > 0);
                all.extend_from_slice(&buf[..len]);
            }
            let body: Vec<u8> = all.drain(..length).collect();
            let body = format!("<{target} {}>", String::from_utf8(body).unwrap());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut buf) {
            Ok(len @ 1..) => all.extend_from_slice(&buf[..len]),
            _ => return,
        }
    }
}

#[test]
fn every_request_of_a_connection_is_for_its_host() {
    in_namespaces("web::every_request_of_a_connection_is_for_its_host", || {
        server([127, 0, 0, 2], 80, web_server);
        let mut world = World::new();
        world.name("a.example", &[80], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        // Many requests, also pipelined, with bodies and as whole URLs.
        let mut stream = world.connect("a.example", 80);
        stream
            .write_all(b"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nPOST /2 HTTP/1.1\r\nHost: A.EXAMPLE:80\r\nContent-Length: 3\r\n\r\nabcGET http://a.example/3 HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .unwrap();
        let got = until(&mut stream, |all| all.ends_with(b"</3 >"));
        let text = String::from_utf8(got).unwrap();
        assert!(
            text.contains("</1 >") && text.contains("</2 abc>"),
            "{text}"
        );
        // One for somebody else: what came before is answered, then the refusal.
        stream
            .write_all(b"GET /4 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /5 HTTP/1.1\r\nHost: b.example\r\n\r\n")
            .unwrap();
        let all = rest(&mut stream).unwrap();
        let text = String::from_utf8(all).unwrap();
        let (first, second) = text.split_once("</4 >").unwrap();
        assert!(first.starts_with("HTTP/1.1 200"), "{text}");
        let json = refusal_json(second.as_bytes(), "403");
        assert_eq!(json["why"], "the HTTP request is for b.example");
        let refused = world.refusal("a.example");
        let found = Text::of("b.example");
        assert_eq!((refused.why, refused.port), (Why::Host { found }, Some(80)));
    });
}

#[test]
fn requests_with_two_meanings_go_nowhere() {
    in_namespaces("web::requests_with_two_meanings_go_nowhere", || {
        let count = counted([127, 0, 0, 2], 80);
        let mut world = World::new();
        world.name("a.example", &[80], &[Mark::Private], [127, 0, 0, 2]);
        let marks = [Mark::Private, Mark::Plain];
        world.name("plain.example", &[80], &marks, [127, 0, 0, 2]);
        world.configure();
        let websocket: &[u8] =
            b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let talk = |name: &str, bytes: &[u8]| {
            let mut stream = world.connect(name, 80);
            stream.write_all(bytes).unwrap();
            rest(&mut stream).unwrap()
        };
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n" as &[u8],
            b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a.example:81\r\n\r\n",
            b"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"nonsense\r\n",
            websocket,
        ] {
            let json = refusal_json(&talk("a.example", bytes), "403");
            assert_eq!(json["to"], "a.example", "{json}");
        }
        // No body for HEAD.
        let head = talk("a.example", b"HEAD / HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 403 ") && head.ends_with(b"\r\n\r\n"));
        // TLS to port 80 is told in its own words.
        assert_eq!(
            Ok(talk("a.example", &client_hello(Some("a.example"), 999))),
            alert(49)
        );
        assert_eq!(count.load(Ordering::SeqCst), 0, "nothing of it got through");
        // With the mark the bytes pass as they are.
        let mut stream = world.connect("plain.example", 80);
        stream.write_all(websocket).unwrap();
        until(&mut stream, |all| all == websocket);
    });
}

#[test]
fn raw_addresses_are_refused_with_words() {
    in_namespaces("web::raw_addresses_are_refused_with_words", || {
        server([10, 1, 2, 3], 80, echo);
        let mut world = World::new();
        let net = Target::Net {
            address: "10.1.0.0".parse().unwrap(),
            prefix: 16,
        };
        world.grant(net, &[80], &[]);
        world.configure();
        let talk = |addr: &str, port, bytes: &[u8]| {
            let mut stream = world.inside(|| dial(addr.parse().unwrap(), port)).unwrap();
            stream.write_all(bytes).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream)
        };
        let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for addr in [
            "169.254.169.254",
            "8.8.8.8",
            "10.2.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            let json = refusal_json(&talk(addr, 80, get).unwrap(), "403");
            assert_eq!(json["why"], "no rule grants it", "{addr}");
            assert_eq!(json["port"], 80);
        }
        assert_eq!(world.refusal("169.254.169.254").port, Some(80));
        let hello = client_hello(Some("a.example"), 999);
        assert_eq!(talk("8.8.8.8", 443, &hello), alert(49));
        // An address that could be a name's and is none.
        assert_eq!(talk("198.19.7.7", 443, &hello), alert(49));
        let ssh = talk("8.8.8.8", 22, b"SSH-2.0-client\r\n").unwrap();
        assert!(ssh.starts_with(b"SSH-2.0-agentbox\r\n"), "{ssh:?}");
        let text = String::from_utf8_lossy(&ssh);
        assert!(
            text.contains("agentbox refused 8.8.8.8 port 22: no rule grants it"),
            "{text}"
        );
        assert!(text.contains("--allow 8.8.8.8:22"), "{text}");
        // The granted network.
        assert_eq!(talk("10.1.2.3", 80, b"hello").unwrap(), b"hello");
    });
}
