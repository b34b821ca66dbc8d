//! What the probe answered, and what it has to be.

use super::{Errno, Layer, Ran, TestBox, run};
use serde_json::Value;
use std::ffi::OsString;

/// The two layers that can be taken away without taking the box away: what still holds without them is the view's, the
/// namespaces' or the capabilities'.
const FILTERS: [Layer; 2] = [Layer::Landlock, Layer::Seccomp];

/// An operation that ran in the box.
pub struct Probed<'a> {
    test: &'a TestBox,
    words: Vec<OsString>,
    ran: Ran,
}

impl<'a> Probed<'a> {
    pub fn new(test: &'a TestBox, words: Vec<OsString>) -> Self {
        let ran = test.run(&words);
        Probed { test, words, ran }
    }

    /// The answer; a box that was not built, or a probe that crashed, is never an answer.
    #[track_caller]
    pub fn value(&self) -> Value {
        answer(&self.ran)
    }

    /// The kernel must have said yes.
    #[track_caller]
    pub fn allowed(&self) -> Value {
        let value = self.value();
        assert_eq!(
            value["ok"], true,
            "must be allowed: {:?}: {:?}",
            self.words, self.ran
        );
        value
    }

    /// The kernel must have said no with this errno, and `layer` alone must be able to do so; without the layer (and
    /// without the other filter) it must not be this errno.
    #[track_caller]
    pub fn denied(&self, errno: Errno, layer: Layer) {
        self.denied_deep(errno, layer);
        if FILTERS.contains(&layer) {
            let ran = self.again(&FILTERS);
            assert_ne!(
                errno_of(&answer(&ran)),
                Some(errno),
                "{:?}: something else than {} refuses this too: {ran:?}",
                self.words,
                layer.name()
            );
        }
    }

    /// The same where another wall behind that layer gives the same errno.
    #[track_caller]
    pub fn denied_deep(&self, errno: Errno, layer: Layer) {
        self.refused(errno);
        let off: Vec<Layer> = FILTERS.into_iter().filter(|l| *l != layer).collect();
        let ran = self.again(&off);
        assert_eq!(
            errno_of(&answer(&ran)),
            Some(errno),
            "{:?}: {} alone does not refuse this: {ran:?}",
            self.words,
            layer.name()
        );
    }

    /// The kernel must have said no with this errno, whoever it was.
    #[track_caller]
    pub fn refused(&self, errno: Errno) {
        let value = self.value();
        assert_eq!(
            errno_of(&value),
            Some(errno),
            "{:?}: {:?}",
            self.words,
            self.ran
        );
    }

    /// The probe must have died of this signal.
    #[track_caller]
    pub fn killed(&self, signal: i32) {
        assert_eq!(
            self.ran.code(),
            128 + signal,
            "{:?}: {:?}",
            self.words,
            self.ran
        );
        assert!(
            self.ran.stdout.is_empty(),
            "{:?}: {:?}",
            self.words,
            self.ran
        );
    }

    fn again(&self, off: &[Layer]) -> Ran {
        run(self.test.command_without(off, &self.words))
    }
}

#[track_caller]
fn answer(ran: &Ran) -> Value {
    assert_eq!(ran.code(), 0, "no answer: {ran:?}");
    ran.json()
}

/// The errno of an answer; `None` if it was a yes.
pub fn errno_of(value: &Value) -> Option<Errno> {
    let errno = value["errno"].as_i64()?;
    (value["ok"] != true).then(|| Errno::from_raw(i32::try_from(errno).unwrap()))
}
