//! `[layers]`.

#![forbid(unsafe_code)]

use super::{Form, Item, Key, known};

/// Its keys.
pub(super) const KEYS: &[Key] = &[
    known(
        "require",
        Form::List(Item::Layer),
        "Layers without which nothing starts.",
    ),
    known(
        "allow-missing",
        Form::List(Item::Layer),
        "Layers that may be missing on this host; the banner says so.",
    ),
    known("off", Form::List(Item::Layer), "Layers that are not tried."),
    known(
        "rung",
        Form::Word(&["full", "nested", "container-proc", "landlock"]),
        "The lowest rung of enforcement that is accepted, where a box cannot be had whole.",
    ),
    known(
        "nested",
        Form::Word(&["refuse", "allow"]),
        "`allow`: a sandbox can be made within the box, for which it stands on the rung `nested`.",
    ),
];
