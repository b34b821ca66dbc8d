//! Layers and rungs by their names.

#![forbid(unsafe_code)]

use super::value::BadValue;
use crate::outcome::Layer;
use crate::plan::rung::{Nested, Rung};

/// A rung of the ladder by its name.
///
/// # Errors
/// There is no such rung.
pub fn rung(text: &str) -> Result<Rung, BadValue> {
    Rung::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Rung::ALL.iter().map(|rung| rung.name()).collect();
        BadValue {
            what: format!("there is no rung `{text}`"),
            help: match super::error::closest(text, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("rungs: {}", names.join(", ")),
            },
        }
    })
}

/// Whether a sandbox may be made within the box.
///
/// # Errors
/// It is neither word.
pub fn nested(text: &str) -> Result<Nested, BadValue> {
    Nested::from_word(text).ok_or_else(|| BadValue {
        what: format!("`{text}` says nothing of an inner sandbox"),
        help: "refuse, or allow".to_owned(),
    })
}

/// A layer by its name.
///
/// # Errors
/// There is no such layer.
pub fn layer(text: &str) -> Result<Layer, BadValue> {
    Layer::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Layer::ALL.iter().map(|layer| layer.name()).collect();
        BadValue {
            what: format!("there is no layer `{text}`"),
            help: match super::error::closest(text, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("layers: {}", names.join(", ")),
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_gets_the_right_one() {
        assert_eq!(rung("landlock").ok(), Some(Rung::Landlock));
        let bad = rung("landlok").err();
        let help = bad.map(|bad| bad.help).unwrap_or_default();
        assert_eq!(help, "did you mean `landlock`?");
        assert_eq!(nested("allow").ok(), Some(Nested::Allow));
        assert!(nested("true").is_err());
        let bad = layer("x").err();
        assert!(bad.is_some_and(|bad| bad.help.starts_with("layers: ")));
    }
}
