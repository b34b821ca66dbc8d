#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::testing::mutate;
use super::*;

fn follow(body: Body, bytes: &[u8]) -> Result<(usize, bool), &'static str> {
    let mut follow = Follow::new(body);
    let len = follow.advance(bytes)?;
    Ok((len, follow.is_done()))
}

#[test]
fn bodies_end_where_they_say() {
    assert!(Follow::new(Body::Length(0)).is_done());
    assert_eq!(follow(Body::Length(3), b"abcdef"), Ok((3, true)));
    assert_eq!(follow(Body::Length(9), b"abc"), Ok((3, false)));
    let next = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1";
    assert_eq!(follow(Body::Chunked, next), Ok((30, true)));
    let trailer = b"0\r\nX: y\r\nZ: 1\r\n\r\nrest";
    assert_eq!(follow(Body::Chunked, trailer), Ok((17, true)));
    // However it is cut.
    for cut in 0..next.len() {
        let mut parts = Follow::new(Body::Chunked);
        let first = parts.advance(&next[..cut]).unwrap();
        let second = parts.advance(&next[first..]).unwrap();
        assert_eq!((first + second, parts.is_done()), (30, true), "{cut}");
    }
}

#[test]
fn chunks_that_servers_disagree_on_are_refused() {
    for bad in [
        b"\r\nx" as &[u8],
        b"5\nhello",
        b"5;a=b\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n",
        b"0000000000000005\r\nhello\r\n",
        b"ffffffffffffffffff\r\n",
        b"0\r\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
    ] {
        assert!(follow(Body::Chunked, bad).is_err(), "{bad:?}");
    }
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000));
    assert!(follow(Body::Chunked, long.as_bytes()).is_err());
}

#[test]
fn no_bytes_panic() {
    let seeds: &[&[u8]] = &[
        b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET",
        b"0\r\n\r\n",
    ];
    mutate(seeds, 20_000, |bytes| {
        if let Ok((len, _)) = follow(Body::Chunked, bytes) {
            assert!(len <= bytes.len());
        }
    });
}
