//! The poll loop that owns a running box.
