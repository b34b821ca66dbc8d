//! Messages to an ssh agent, bytes to be signed, and the answer with its keys.
#![no_main]

use agentbox::gate::ssh::{Message, logs_in, only_granted, read, spoiled};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(Message::Bind(bind)) = read(bytes)
        && !bind.session.is_empty()
    {
        let other = spoiled(bytes).unwrap();
        let Some(Message::Bind(other)) = read(&other) else {
            panic!("a spoiled bind is none");
        };
        assert!(other.host_key == bind.host_key && other.session != bind.session);
    }
    let _ = logs_in(bytes, b"key", b"session", b"host");
    if let Some(answer) = only_granted(bytes, |key| key.len() % 2 == 0) {
        let again = only_granted(&answer[4..], |_| true);
        assert_eq!(again, Some(answer));
    }
});
