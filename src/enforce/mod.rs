//! The layers of the box.

pub mod cgroup;
pub mod limits;
pub mod sweep;
pub mod userns_limits;
