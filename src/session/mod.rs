//! Session directories.
