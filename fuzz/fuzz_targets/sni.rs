//! The first bytes of a TLS client.
#![no_main]

use agentbox::gate::sni::{Hello, MAX, look};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let found = look(bytes);
    assert!(bytes.len() < MAX || found != Hello::More);
    // What is decided stays decided, whatever follows.
    if bytes.len() + 6 < MAX && found != Hello::More {
        let mut longer = bytes.to_vec();
        longer.extend_from_slice(&[0x16, 3, 1, 0, 1, 1]);
        assert_eq!(look(&longer), found);
    }
});
