//! What the filter leaves out on the rung `nested`, where a sandbox may be made within the box: bubblewrap's calls, and those of
//! Chromium's and Codex' own. Whoever makes a user namespace has every capability in it, and meets the kernel's code for
//! mounts, networks and cgroups there.
//!
//! What the kernel has newer ways for stays refused, since nothing needs them: the mount API of descriptors, joining a namespace
//! (setns), opening by handle.

#![forbid(unsafe_code)]

use super::Program;
use super::compile::{Arch, CompileError, compile};
use super::rules::{RULES, Rule};

/// The calls that are free again. Each is judged by the kernel alone: none does anything without a capability, which only an own
/// namespace gives.
pub const FREE: [&str; 8] = [
    "chroot",
    "clone",
    "mount",
    "pivot_root",
    "setdomainname",
    "sethostname",
    "umount2",
    "unshare",
];

/// Compiles the filter of this rung.
///
/// # Errors
///
/// As [`super::prepare`].
pub fn prepare() -> Result<Program, CompileError> {
    Ok(Program {
        instructions: compile(table(), Arch::NATIVE)?,
        asks: false,
    })
}

/// All rules, for a process that compiles them once.
fn table() -> &'static [Rule] {
    let kept = RULES.iter().filter(|rule| !FREE.contains(&rule.name));
    Vec::leak(kept.copied().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_free_has_a_rule_elsewhere_and_both_machines_compile() {
        for name in FREE {
            assert!(RULES.iter().any(|rule| rule.name == name), "{name}");
        }
        assert_eq!(table().len() + FREE.len(), RULES.len());
        for arch in [Arch::X86_64, Arch::Aarch64] {
            assert!(!compile(table(), arch).unwrap().is_empty());
        }
    }
}
