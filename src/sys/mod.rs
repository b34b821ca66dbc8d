//! System calls that nix, caps, landlock and seccompiler do not wrap. The one place for `unsafe`; no decisions.

pub mod seccomp;
#[cfg(test)]
pub(crate) mod testing;
