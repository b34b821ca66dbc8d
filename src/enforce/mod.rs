//! The layers of the box.

pub mod seccomp;
