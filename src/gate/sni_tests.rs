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
    // OpenSSL and Go read a hello whatever the minor version of its record is.
    for minor in [0, 4, 5, 0x7f, 0xff] {
        let mut odd = whole.clone();
        odd[2] = minor;
        assert_eq!(look(&odd), want, "a record of version 3.{minor}");
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
        b"\x16\x02",
        b"\x16\x04",
    ] {
        assert_eq!(look(other), Hello::Other, "{other:?}");
    }
    // A ServerHello, a record without content, one of another kind in the middle, one that is too long.
    assert_eq!(look(&records(&[2, 0, 0, 1, 0], 99)), Hello::Bad);
    assert_eq!(look(&records(&[2, 0, 0, 1, 0], 1)[..6]), Hello::Bad);
    assert_eq!(look(&[0x16, 3, 1, 0, 0]), Hello::Bad);
    let mut mixed = good(50);
    mixed[55] = 0x15;
    assert_eq!(look(&mixed), Hello::Bad);
    assert_eq!(look(&[0x16, 3, 1, 0x40, 1]), Hello::Bad);
    // More than will be read.
    assert_eq!(look(&records(&[1, 0, 0x40, 0], 99)), Hello::Bad);
    assert_eq!(look(&records(&[1, 1, 0, 0], 99)), Hello::Bad);
}

#[test]
fn the_gate_s_patience_has_an_end() {
    let endless = records(&[1, 0, 0x3f, 0xf0, 3, 3, 0, 0], 1).repeat(3000);
    assert_ne!(look(&endless[..MAX]), Hello::More);
}

#[test]
fn no_bytes_panic() {
    let (one, two, none) = (good(16384), good(7), hello(None, 50));
    mutate(&[&one, &two, &none], 3_000, |bytes| drop(look(bytes)));
}
