#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::testing::mutate;
use super::*;

/// An answer with these records: owner, type, TTL and data, whose names are given as bytes.
fn message(records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
    let mut out = question(5, "a.example", Kind::A);
    out.truncate(out.len() - 11);
    out[2..12].copy_from_slice(&[
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    for (owner, kind, ttl, data) in records {
        out.extend_from_slice(owner);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(data);
    }
    out
}

const SELF: &[u8] = &[0xc0, 12];

fn read(bytes: &[u8]) -> Option<Answer> {
    parse(bytes, 5, "a.example", Kind::A)
}

fn found(list: &[[u8; 4]], ttl: u32) -> Option<Answer> {
    let list = list.iter().map(|addr| IpAddr::from(*addr)).collect();
    Some(Answer::Addresses(list, ttl))
}

#[test]
fn addresses_and_aliases_are_followed() {
    let one = message(&[(SELF, A, 60, &[1, 2, 3, 4])]);
    assert_eq!(read(&one), found(&[[1, 2, 3, 4]], 60));
    // An alias, out of order, and an address of somebody else.
    let b = b"\x01b\x07example\0";
    let chain = message(&[
        (b, A, 30, &[5, 6, 7, 8]),
        (b"\x01c\x07example\0", A, 9, &[9, 9, 9, 9]),
        (SELF, CNAME, 20, b),
    ]);
    assert_eq!(read(&chain), found(&[[5, 6, 7, 8]], 20));
    // Aliases in a circle have no address, and no end either.
    let circle = message(&[(SELF, CNAME, 20, b), (b, CNAME, 20, SELF)]);
    assert_eq!(read(&circle), found(&[], 20));
    // Somebody else's address alone is none.
    assert_eq!(
        read(&message(&[(b, A, 30, &[5, 6, 7, 8])])),
        found(&[], u32::MAX)
    );
}

#[test]
fn another_question_s_answer_is_none() {
    let good = message(&[(SELF, A, 60, &[1, 2, 3, 4])]);
    assert_eq!(parse(&good, 6, "a.example", Kind::A), None);
    assert_eq!(parse(&good, 5, "b.example", Kind::A), None);
    assert_eq!(parse(&good, 5, "a.example", Kind::Aaaa), None);
    let mut query = good.clone();
    query[2] = 1;
    assert_eq!(read(&query), None);
}

#[test]
fn malformed_answers_fail_and_end() {
    let odd = message(&[(SELF, A, 60, &[1, 2, 3])]);
    assert_eq!(read(&odd), Some(Answer::Failed));
    // A pointer to itself, forwards, and a name that ends outside.
    for owner in [&[0xc0u8, 27] as &[u8], &[0xc0, 200], &[5, b'a']] {
        let bytes = message(&[(owner, A, 60, &[1, 2, 3, 4])]);
        assert_eq!(read(&bytes), Some(Answer::Failed), "{owner:?}");
    }
    let mut cut = message(&[(SELF, A, 60, &[1, 2, 3, 4])]);
    cut[2] |= 2;
    assert_eq!(read(&cut), Some(Answer::Truncated));
    let many: Vec<(&[u8], u16, u32, &[u8])> = vec![(SELF, A, 1, &[1, 1, 1, 1]); 100];
    assert!(matches!(read(&message(&many)), Some(Answer::Addresses(list, 1)) if list.len() == 32));
}

#[test]
fn no_bytes_panic() {
    let b = b"\x01b\x07example\0";
    let chain = message(&[(SELF, CNAME, 20, b), (b, A, 30, &[5, 6, 7, 8])]);
    let one = message(&[(SELF, A, 60, &[1, 2, 3, 4])]);
    mutate(&[&chain, &one], 20_000, |bytes| drop(read(bytes)));
}
