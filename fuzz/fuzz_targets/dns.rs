//! Questions of the box.
#![no_main]

use agentbox::gate::dns::{Code, Record, answer, answer_bad, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(query) => {
            let record = Record::Name("a.example".to_owned());
            assert!(answer(&query, Code::NoError, &[record]).len() <= 512);
        }
        Err(bad) => drop(answer_bad(bad)),
    }
});
