#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::testing::mutate;
use super::*;

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend_from_slice(data);
    out
}

fn names(list: &[(u8, &[u8])]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (kind, name) in list {
        entries.push(*kind);
        entries.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
        entries.extend_from_slice(name);
    }
    let mut data = u16::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
    data.extend_from_slice(&entries);
    extension(0, &data)
}

fn hello(extensions: Option<&[Vec<u8>]>, record: usize) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.push(32);
    body.extend_from_slice(&[8; 32]);
    body.extend_from_slice(&[0, 4, 0x0a, 0x0a, 0x13, 1, 1, 0]);
    if let Some(extensions) = extensions {
        let all = extensions.concat();
        body.extend_from_slice(&u16::try_from(all.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&all);
    }
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut message = vec![1, len[1], len[2], len[3]];
    message.extend_from_slice(&body);
    records(&message, record)
}

fn records(message: &[u8], record: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in message.chunks(record) {
        out.extend_from_slice(&[0x16, 3, 1]);
        out.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn good(record: usize) -> Vec<u8> {
    // GREASE before and after, as Chrome sends it.
    let list = [
        extension(0x2a2a, &[]),
        names(&[(0, b"Example.COM")]),
        extension(51, &[1; 1200]),
        extension(0xfafa, &[0]),
    ];
    hello(Some(&list), record)
}

#[test]
fn the_name_is_found_however_it_is_cut() {
    let want = Hello::Name("example.com".to_owned());
    for record in [1, 2, 3, 5, 100, 16384] {
        assert_eq!(look(&good(record)), want, "records of {record}");
    }
    let whole = good(700);
    for len in 0..whole.len() {
        assert_eq!(look(&whole[..len]), Hello::More, "{len} bytes");
    }
    // OpenSSL reads a hello whatever the minor version of its record is, Go whatever the version below 16, JSSE any.
    for (major, minor) in [
        (3, 0),
        (3, 4),
        (3, 5),
        (3, 0xff),
        (2, 0),
        (0, 0),
        (4, 1),
        (15, 0xff),
        (16, 0),
        (0xff, 0xff),
    ] {
        let mut odd = whole.clone();
        [odd[1], odd[2]] = [major, minor];
        assert_eq!(look(&odd), want, "a record of version {major}.{minor}");
    }
    // Early data may follow.
    let mut more = whole;
    more.extend_from_slice(&[0x17, 3, 3, 0, 1, 0]);
    assert_eq!(look(&more), want);
}

#[test]
fn what_has_no_name_or_two_is_told() {
    assert_eq!(look(&hello(None, 999)), Hello::Nameless);
    assert_eq!(look(&hello(Some(&[]), 999)), Hello::Nameless);
    let rows = [
        vec![names(&[(0, b"a.example")]), names(&[(0, b"b.example")])],
        vec![names(&[(0, b"a.example"), (0, b"b.example")])],
        vec![names(&[(1, b"a.example")])],
        vec![names(&[])],
        vec![names(&[(0, b"")])],
        vec![names(&[(0, b"a\0.example")])],
        vec![names(&[(0, b"a example")])],
        vec![extension(0, &[])],
        vec![extension(0, &[0, 99, 0, 0, 1, b'a'])],
    ];
    for row in rows {
        assert_eq!(look(&hello(Some(&row), 999)), Hello::Bad, "{row:?}");
    }
    // An address is no server name (RFC 6066); it is compared like one and matches none.
    let addr = hello(Some(&[names(&[(0, b"10.0.0.1")])]), 999);
    assert_eq!(look(&addr), Hello::Name("10.0.0.1".to_owned()));
    // ECH (0xfe0d): the outer name.
    let ech = [
        names(&[(0, b"front.example")]),
        extension(0xfe0d, &[0; 200]),
    ];
    assert_eq!(
        look(&hello(Some(&ech), 999)),
        Hello::Name("front.example".to_owned())
    );
}

#[test]
fn what_is_no_hello_is_told_at_once() {
    for other in [
        b"GET / HTTP/1.1\r\n" as &[u8],
        b"SSH-2.0-x",
        b"\0",
        // An alert that is none, another message, a record that is too long for any.
        b"\x15\x03\x01\x01",
        b"\x15\x03\x01\0\x02\x02",
        b"\x16\x03\x01\0\x04\0",
        b"\x16\x03\xc4\x10\x12\x35",
        b"\x16\x03\x01\x48\x01\x01",
    ] {
        assert_eq!(look(other), Hello::Other, "{other:?}");
    }
    assert_eq!(look(&records(&[2, 0, 0, 1, 0], 1)[..6]), Hello::Other);
    // As much is known without the first byte of the message.
    assert_eq!(look(&[0x16, 0x5b, 1, 0x50, 3]), Hello::Other);
    assert_eq!(look(&[0x16, 0x5b, 1, 0x40, 3]), Hello::More);
    // A record of another kind in the middle, one that is too long, another message behind.
    for at in [55, 110] {
        let mut mixed = good(50);
        mixed[at] = 0x15;
        assert_eq!(look(&mixed), Hello::Bad);
    }
    assert_eq!(look(&[0x16, 3, 1, 0x40, 1, 1]), Hello::Bad);
    let twice = [good(16384), good(16384)].map(|hello| hello[5..].to_vec());
    assert_eq!(look(&records(&twice.concat(), 16384)), Hello::Bad);
    // More than will be read.
    assert_eq!(look(&records(&[1, 0, 0x40, 0], 99)), Hello::Bad);
    assert_eq!(look(&records(&[1, 1, 0, 0], 99)), Hello::Bad);
}

/// Servers drop some records before the hello: the name behind them was not compared on ports other than 443.
#[test]
fn a_hello_behind_what_servers_drop_is_refused() {
    for version in [[3, 1], [3, 3], [0, 0], [15, 1], [0xff, 0xff]] {
        for (kind, rest) in [
            (0x15, &[0, 2, 1, 90][..]),
            (0x16, &[0, 0]),
            (0x14, &[0, 0]),
            (0x14, &[0, 1, 1]),
        ] {
            let before = [&[kind], &version[..], rest].concat();
            for times in [1, 3] {
                let mut bytes = before.repeat(times);
                for len in 1..=bytes.len() {
                    assert_eq!(look(&bytes[..len]), Hello::More, "{before:?}, {len} bytes");
                }
                // By chance.
                let other = [&bytes[..], b"\0and so on"].concat();
                assert_eq!(look(&other), Hello::Other, "{before:?}");
                bytes.extend(good(999));
                assert_eq!(look(&bytes), Hello::Bad, "{before:?}");
            }
            assert_eq!(look(&before.repeat(MAX)), Hello::Bad, "{before:?}");
        }
    }
}

fn answer(random: &[u8; 32], record: usize) -> Vec<u8> {
    let mut message = vec![2, 0, 0, 84, 3, 3];
    message.extend_from_slice(random);
    message.resize(88, 0);
    records(&message, record)
}

#[test]
fn a_second_hello_is_asked_for_by_one_random_alone() {
    let warning = [0x15, 3, 3, 0, 2, 1, 112];
    for record in [1, 7, 16384] {
        let retry = answer(&RETRY, record);
        assert_eq!(is_retry(&retry), Some(true), "records of {record}");
        assert_eq!(is_retry(&[&warning[..], &retry].concat()), Some(true));
        assert_eq!(is_retry(&answer(&[7; 32], record)), Some(false));
    }
    let retry = answer(&RETRY, 16384);
    assert_eq!(is_retry(&retry[..5 + 37]), None);
    assert_eq!(is_retry(&retry[..5 + 38]), Some(true));
    for other in [
        &b"220 smtp\r\n"[..],
        &[0x17, 3, 3, 0, 1, 0],
        &[0x16, 3, 3, 0, 0],
        &[0x16, 3, 3, 0, 4, 1],
    ] {
        assert_eq!(is_retry(other), Some(false), "{other:?}");
    }
}

#[test]
fn the_second_hello_is_found_behind_what_servers_drop() {
    let want = Hello::Name("example.com".to_owned());
    let before: [&[u8]; 4] = [
        &[],
        &[0x14, 3, 3, 0, 1, 1],
        &[0x17, 3, 3, 0, 2, 9, 9, 0x17, 3, 3, 0, 1, 9],
        &[0x15, 3, 3, 0, 2, 1, 90],
    ];
    for before in before {
        let all = [before, &good(100)].concat();
        for len in 0..all.len() {
            assert_eq!(
                look_again(&all[..len]),
                Hello::More,
                "{before:?}, {len} bytes"
            );
        }
        assert_eq!(look_again(&all), want, "{before:?}");
    }
    for bad in [
        &b"GET / HTTP/1.1"[..],
        &[0x16, 3, 3, 0, 0],
        &[0x16, 3, 3, 0, 4, 2, 0, 0, 0],
        &[0x18, 3, 3, 0, 1, 1],
    ] {
        assert_eq!(look_again(bad), Hello::Bad, "{bad:?}");
    }
}

#[test]
fn the_gate_s_patience_has_an_end() {
    let endless = records(&[1, 0, 0x3f, 0xf0, 3, 3, 0, 0], 1).repeat(3000);
    assert_ne!(look(&endless[..MAX]), Hello::More);
}

#[test]
fn no_bytes_panic() {
    let (one, two, none) = (good(16384), good(7), hello(None, 50));
    mutate(&[&one, &two, &none], 3_000, |bytes| {
        drop(look(bytes));
        drop(look_again(bytes));
        let _ = is_retry(bytes);
    });
}
