//! The layers of the box.

pub mod cgroup;
pub mod limits;
pub mod userns_limits;
