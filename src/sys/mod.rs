//! System calls that nix, caps, landlock and seccompiler do not wrap. The one place for `unsafe`; no decisions.

pub mod job;
pub mod random;
pub mod sigaction;
pub mod socket;
#[cfg(test)]
pub(crate) mod testing;
pub mod tty;
