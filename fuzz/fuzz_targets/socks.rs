//! A SOCKS5 client.
#![no_main]

use agentbox::gate::socks::{greeting, password, request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop((greeting(bytes), password(bytes), request(bytes)));
});
