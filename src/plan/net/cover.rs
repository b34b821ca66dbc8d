//! Whether one rule is about everything that another one is about.

#![forbid(unsafe_code)]

use super::{Cidr, Deny, Rule, Target};

impl Deny {
    /// Whether nothing of what the rule would allow is left.
    #[must_use]
    pub fn covers(&self, allow: &Rule) -> bool {
        covers(&self.to, &self.ports, allow)
    }
}

/// Whether a deny of this target on these ports (none: all) leaves nothing of what `allow` would allow.
#[must_use]
pub fn covers(to: &Target, ports: &[u16], allow: &Rule) -> bool {
    let on = ports.is_empty() || allow.ports_or_default().iter().all(|p| ports.contains(p));
    on && target(to, &allow.to)
}

fn target(wide: &Target, narrow: &Target) -> bool {
    match (wide, narrow) {
        _ if wide == narrow => true,
        (Target::Any, Target::Under(_)) => true,
        (_, Target::Name(name)) => wide.names(name),
        (Target::Under(above), Target::Under(below)) => {
            let rest = below.strip_suffix(above.as_str());
            rest.is_some_and(|rest| rest.ends_with('.'))
        }
        (Target::Net(above), Target::Net(below)) => net(above, below),
        _ => false,
    }
}

fn net(above: &Cidr, below: &Cidr) -> bool {
    above.contains(below.address) && above.prefix <= below.prefix
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rule_covers_what_is_within_it() {
        for (deny, allow, want) in [
            ("a.com", "a.com", true),
            ("a.com", "b.a.com", false),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", "*.b.a.com", true),
            ("*.b.a.com", "*.a.com", false),
            ("*.a.com", "*.ba.com", false),
            ("*", "a.com", true),
            ("*", "10.0.0.1", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("a.com:443", "a.com", false),
            ("a.com:443", "a.com:443", true),
            ("a.com:22,443", "a.com:443", true),
        ] {
            let deny_rule = Rule::deny(deny).unwrap();
            let allow_rule = Rule::deny(allow).unwrap();
            let got = covers(&deny_rule.to, &deny_rule.ports, &allow_rule);
            assert_eq!(got, want, "{deny} covers {allow}");
        }
    }
}
