//! What can be asked of the operations of a view.

#![forbid(unsafe_code)]

use super::{Access, Kind, MountOp, OsText, View};

impl View {
    /// What of the host's the box may write, and what it is.
    pub fn written(&self) -> impl Iterator<Item = (&OsText, Kind)> {
        self.ops.iter().filter_map(|op| match op {
            MountOp::Bind {
                source,
                access: Access::Write,
                kind,
                ..
            } => Some((source, *kind)),
            _ => None,
        })
    }
}
