//! Answers of name servers.
#![no_main]

use agentbox::gate::dns_client::{Answer, Kind, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::A, Kind::Aaaa] {
        if let Some(Answer::Addresses(found, _)) = parse(bytes, 5, "a.example", kind) {
            assert!(found.len() <= 32);
        }
    }
});
