//! The poll loop that owns a running box, and what runs beside it.

pub mod hostfile;
pub mod json;
pub mod merge;
pub mod never;
pub mod state;
pub mod syncjob;
