//! Plain data into text.
