//! The layers of the box.
