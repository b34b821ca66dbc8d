//! Signals and stops in the life of a session: each test is named after what went wrong once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::TestBox;

/// Init reaped the command without learning that it was the command, and the session waited for ever.
#[test]
fn death_by_a_real_time_signal_ends_the_session() {
    let b = TestBox::new();
    for signal in [34, 40, 64] {
        let ran = b.run(["/bin/bash", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(ran.code(), 128 + signal, "{ran:?}");
    }
    // The twin: a child that dies of one is reaped, and the command goes on.
    let ran = b.run(["/bin/bash", "-c", "bash -c 'kill -40 $$'; exit $?"]);
    assert_eq!(ran.code(), 168, "{ran:?}");
}
