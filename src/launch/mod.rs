//! From a plan to a running box.

pub mod message;
