//! The harness itself can fail: each assertion is tried on the opposite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Errno, Layer, TestBox};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn fails(what: &str, check: impl FnOnce()) {
    let result = catch_unwind(AssertUnwindSafe(check));
    assert!(result.is_err(), "{what} must fail and did not");
}

/// birdcage's harness returned success for whatever happened: each of these must panic.
#[test]
fn assertions_can_fail() {
    let b = TestBox::new().file("home/ws/a", "content");
    b.probe("read a").allowed();
    fails("denied on an allowed operation", || {
        b.probe("read a").denied(Errno::EACCES, Layer::Landlock)
    });
    fails("refused on an allowed operation", || {
        b.probe("read a").refused(Errno::EACCES)
    });
    fails("killed on an allowed operation", || {
        b.probe("read a").killed(31)
    });
    fails("allowed on a refused operation", || {
        b.probe("read missing").allowed();
    });
    fails("the wrong errno", || {
        b.probe("read missing").refused(Errno::EACCES)
    });
    fails("the wrong layer", || {
        b.probe("read /etc/shadow")
            .denied(Errno::ENOENT, Layer::Landlock)
    });
    fails("an operation that the probe does not know", || {
        b.probe("no-such-operation").value();
    });
    fails("a batch with a crash", || {
        b.batch(&["true", "no-such-operation"]);
    });
}

/// A box that was not built must never pass for a denial.
#[test]
fn a_refused_start_is_not_a_denial() {
    let b = TestBox::new().option("--no-such-option");
    fails("value", || {
        b.probe("read a").value();
    });
    fails("refused", || b.probe("read a").refused(Errno::ENOENT));
    b.run(["true"]).refused(&["--no-such-option"]);
}
