#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::super::dns_client::{self, Answer, Kind};
use super::super::testing::mutate;
use super::*;

fn raw(name: &[&[u8]], kind: u16) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label);
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out
}

fn asks(name: &[&[u8]], kind: u16) -> Asks {
    parse(&raw(name, kind)).unwrap().asks
}

fn code(message: &[u8]) -> Code {
    match parse(message) {
        Err(Bad::Code { id: 0x1234, code }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn questions_are_read() {
    let name = || "example.com".to_owned();
    let labels: &[&[u8]] = &[b"ExAmPle", b"COM"];
    assert_eq!(asks(labels, A), Asks::V4(name()));
    assert_eq!(asks(labels, AAAA), Asks::V6(name()));
    // TXT, HTTPS, SVCB, NULL
    for kind in [16, 65, 64, 10] {
        assert_eq!(asks(labels, kind), Asks::Other(name()), "{kind}");
    }
    let v4: &[&[u8]] = &[b"1", b"2", b"18", b"198", b"in-addr", b"arpa"];
    assert_eq!(asks(v4, PTR), Asks::Name("198.18.2.1".parse().unwrap()));
    let v6 = "1.0.0.0.2.1.6.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
    let labels: Vec<&[u8]> = v6.split('.').map(str::as_bytes).collect();
    assert_eq!(
        asks(&labels, PTR),
        Asks::Name("fd00::c612:1".parse().unwrap())
    );
    let short: &[&[u8]] = &[b"1", b"2", b"in-addr", b"arpa"];
    assert!(matches!(asks(short, PTR), Asks::Other(_)));
}

#[test]
fn names_that_cannot_be_names_are_nonsense() {
    // A dot inside a label must not make a.b of one label.
    for name in [
        &[b"a.b".as_slice(), b"example"] as &[&[u8]],
        &[b"a b", b"example"],
        &[b"a\0", b"example"],
        &[b"\xff\xfe", b"example"],
        &[b"a/b"],
        &[],
    ] {
        assert_eq!(asks(name, A), Asks::Nonsense, "{name:?}");
    }
}

#[test]
fn what_is_malformed_is_said_or_ignored() {
    let good = raw(&[b"a"], A);
    assert_eq!(parse(&good[..1]), Err(Bad::Silent));
    assert_eq!(parse(&good[..3]), Err(Bad::Silent));
    for len in 4..good.len() {
        assert_eq!(code(&good[..len]), Code::FormErr, "{len}");
    }
    let change = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    assert_eq!(parse(&change(2, 0x81)), Err(Bad::Silent), "an answer");
    assert_eq!(code(&change(2, 0x28)), Code::NotImp, "an update");
    assert_eq!(code(&change(5, 2)), Code::FormErr, "two questions");
    assert_eq!(code(&change(5, 0)), Code::FormErr, "no question");
    assert_eq!(code(&change(7, 1)), Code::FormErr, "with an answer");
    assert_eq!(
        code(&change(12, 0xc0)),
        Code::FormErr,
        "a pointer to itself"
    );
    assert_eq!(code(&change(12, 64)), Code::FormErr, "a label of 64");
    assert_eq!(
        code(&change(good.len() - 1, 3)),
        Code::Refused,
        "class CHAOS"
    );
    let long: Vec<&[u8]> = vec![&[b'a'; 63]; 5];
    assert_eq!(code(&raw(&long, A)), Code::FormErr, "a name of 320 bytes");
    let mut padded = good.clone();
    padded.resize(MAX_QUERY + 1, 0);
    assert_eq!(code(&padded), Code::FormErr, "too long");
    assert_eq!(answer_bad(Bad::Silent), None);
    let said = answer_bad(Bad::Code {
        id: 7,
        code: Code::FormErr,
    })
    .unwrap();
    assert_eq!(said, [0, 7, 0x80, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn answers_are_what_clients_read() {
    let question = dns_client::question(99, "a.example", Kind::A);
    let query = parse(&question).unwrap();
    let read = |code, records: &[Record]| {
        dns_client::parse(&answer(&query, code, records), 99, "a.example", Kind::A)
    };
    let addr = [198, 18, 0, 1];
    let found = read(Code::NoError, &[Record::V4(addr.into())]);
    assert_eq!(found, Some(Answer::Addresses(vec![addr.into()], TTL)));
    assert_eq!(
        read(Code::NoError, &[]),
        Some(Answer::Addresses(vec![], u32::MAX))
    );
    assert_eq!(read(Code::NxDomain, &[]), Some(Answer::NoName));
    assert_eq!(read(Code::ServFail, &[]), Some(Answer::Failed));
    // The case of the question comes back as it was.
    let mixed = raw(&[b"wWw", b"Example"], A);
    let bytes = answer(&parse(&mixed).unwrap(), Code::NxDomain, &[]);
    assert_eq!(&bytes[12..], &mixed[12..]);
    assert_eq!(&bytes[..4], &[0x12, 0x34, 0x81, 0x83]);
}

#[test]
fn no_bytes_panic_and_every_answer_is_small() {
    let edns = dns_client::question(1, "a.example", Kind::Aaaa);
    let plain = raw(&[b"www", b"example", b"com"], A);
    let pointer = raw(&[b"1", b"0", b"18", b"198", b"in-addr", b"arpa"], PTR);
    mutate(&[&edns, &plain, &pointer], 20_000, |bytes| {
        match parse(bytes) {
            Ok(query) => {
                let name = Record::Name("a".repeat(63));
                assert!(answer(&query, Code::NoError, &[name]).len() <= 512);
            }
            Err(bad) => drop(answer_bad(bad)),
        }
    });
}
