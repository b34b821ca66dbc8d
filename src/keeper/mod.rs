//! The keeper: names that change later. A mask and a read-only mount follow the inode, not the name; so when the host replaces
//! a file (an editor saves by rename, git switches branches), or a name of a rule appears, somebody outside has to put them
//! there again.
//!
//! Two halves that share no power:
//! - [`process`]: the keeper proper. It has joined the box's user and mount namespaces from outside, watches the host's
//!   directories and makes mounts in the box. It opens nothing for writing, reads no content, follows no symlink and
//!   parses nothing: names it compares, files it leaves to
//! - [`settle`]: short-lived jobs of the supervisor, outside of the box, that compare files with what they were at the start
//!   ([`baseline`]), put them back or move them to the [`quarantine`]. What has to be parsed is parsed in a confined child.
//!
//! A name is closed a moment after it appears: a guard-rail with a window. A descriptor that was opened in the window stays
//! usable. What is hidden or frozen from the start, and not replaced by the host, is a boundary.

#![forbid(unsafe_code)]

pub mod baseline;
mod confine;
mod confined;
mod covers;
pub mod distrust;
mod files;
mod git;
pub mod gitconfig;
pub mod history;
pub mod inherit;
mod inodes;
pub mod inside;
pub mod job;
mod led;
pub mod links;
mod listing;
pub mod message;
mod objects;
mod outbox;
mod outward;
mod place;
mod precedence;
pub mod process;
mod programs;
pub mod quarantine;
mod search;
pub mod settle;
mod strayed;
mod tree;
mod unlocked;
mod view;
mod watchman;
