#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::super::testing::mutate;
use super::*;

fn connect(name: &[u8], port: u16) -> Vec<u8> {
    let mut out = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name);
    out.extend_from_slice(&port.to_be_bytes());
    out
}

fn ask(bytes: &[u8]) -> Ask {
    match request(bytes) {
        Step::Whole(ask, len) if len == bytes.len() => ask,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

#[test]
fn greetings() {
    assert_eq!(greeting(&[5, 1, 0]), Step::Whole(Method::None, 3));
    assert_eq!(greeting(&[5, 2, 2, 0, 9]), Step::Whole(Method::None, 4));
    assert_eq!(greeting(&[5, 1, 2]), Step::Whole(Method::Password, 3));
    assert_eq!(greeting(&[5, 1, 1]), Step::Whole(Method::Unacceptable, 3));
    assert_eq!(greeting(&[5, 0]), Step::Whole(Method::Unacceptable, 2));
    assert_eq!(greeting(&[5, 2, 0]), Step::More);
    assert_eq!(greeting(&[4, 1]), Step::Bad);
    assert_eq!(password(&[1, 1, b'u', 1, b'p']), Step::Whole((), 5));
    assert_eq!(password(&[1, 0, 0, 7]), Step::Whole((), 3));
    assert_eq!(password(&[1, 1, b'u', 2, b'p']), Step::More);
    assert_eq!(password(&[5, 1]), Step::Bad);
}

#[test]
fn requests() {
    let name = |text: &str| Host::Name(text.to_owned());
    let addr = |text: &str| Host::Address(text.parse().unwrap());
    assert_eq!(
        ask(&connect(b"A.Example", 443)),
        Ask::Connect(name("a.example"), 443)
    );
    // Addresses, also as names, also mapped.
    assert_eq!(
        ask(&[5, 1, 0, 1, 8, 8, 4, 4, 0, 53]),
        Ask::Connect(addr("8.8.4.4"), 53)
    );
    assert_eq!(
        ask(&connect(b"8.8.4.4", 53)),
        Ask::Connect(addr("8.8.4.4"), 53)
    );
    let mut mapped = vec![5, 1, 0, 4];
    mapped.extend_from_slice(&[
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 0, 80,
    ]);
    assert_eq!(ask(&mapped), Ask::Connect(addr("127.0.0.1"), 80));
    for odd in [
        b"2130706433" as &[u8],
        b"0x7f.1",
        b"a b",
        b"",
        b"\xff",
        b"127.1",
    ] {
        assert_eq!(ask(&connect(odd, 1)), Ask::Odd(odd.to_vec(), 1), "{odd:?}");
    }
    // BIND and UDP ASSOCIATE.
    for command in [2, 3, 9] {
        assert_eq!(
            ask(&[5, command, 0, 1, 8, 8, 8, 8, 0, 53]),
            Ask::Unsupported
        );
    }
    assert_eq!(request(&[4, 1, 0, 1, 8, 8, 8, 8, 0, 53]), Step::Bad);
    assert_eq!(request(&[5, 1, 0, 9]), Step::Bad);
    let whole = connect(b"a.example", 443);
    for len in 0..whole.len() {
        assert_eq!(request(&whole[..len]), Step::More, "{len}");
    }
}

#[test]
fn no_bytes_panic() {
    let seeds: &[&[u8]] = &[
        &connect(b"a.example", 443),
        &[5, 2, 0, 2],
        &[1, 1, b'u', 1, b'p'],
        &[5, 1, 0, 1, 8, 8, 8, 8, 0, 53],
    ];
    mutate(seeds, 20_000, |bytes| {
        drop(greeting(bytes));
        drop(password(bytes));
        drop(request(bytes));
    });
}
