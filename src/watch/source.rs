//! [`Source`]: a switch that can be asked, and some of them be set.

#![forbid(unsafe_code)]

use super::message::{By, Notice};
use super::reader::Reader;
use super::way::Way;
use super::{exec, file};
use crate::plan::remote::{RemoteSwitch, Target};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a switch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is not on.
    Clear,
    /// It is on.
    Stop(Notice),
}

/// When it is to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// When the interval is over, or the descriptor of [`Source::wakes`] is readable.
    Later,
    /// Now: the other side holds the answer back until there is news.
    Now,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub said: Said,
    /// When to ask again.
    pub next: Next,
    /// How a change is learnt.
    pub by: By,
}

impl Answer {
    /// Of something that has to be asked each time.
    #[must_use]
    pub fn asked(said: Said) -> Answer {
        Answer {
            said,
            next: Next::Later,
            by: By::Asking,
        }
    }
}

/// Whether the other side may hold the answer back until there is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// At once: the first question, and a human who waits.
    None,
    /// So long.
    For(Duration),
}

/// A switch that can be asked.
pub trait Source {
    /// Asks.
    ///
    /// # Errors
    /// Why there is no answer that could be one: it is unreachable.
    fn ask(&mut self, patience: Patience, timeout: Duration) -> Result<Answer, String>;

    /// What becomes readable when there may be news.
    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Switches it on (`Some`, with what it shall hold) or off.
    ///
    /// # Errors
    /// Why not.
    fn set(&mut self, to: Option<&str>, until: Instant) -> Result<(), String>;

    /// Writes a document beside the switch: at that key, object or path.
    ///
    /// # Errors
    /// Why not.
    fn publish(&mut self, _to: &str, _body: &str, _until: Instant) -> Result<(), String> {
        Err("nothing can be published there".to_owned())
    }

    /// Removes it altogether.
    ///
    /// # Errors
    /// Why not.
    fn forget(&mut self, until: Instant) -> Result<(), String> {
        self.set(None, until)
    }
}

/// Makes one. Reads the authorities that are trusted, so before the confinement.
///
/// # Errors
/// What is missing for it.
pub fn open(switch: &RemoteSwitch, reader: Reader, way: &Way) -> Result<Box<dyn Source>, String> {
    match &switch.target {
        Target::File { path } => Ok(Box::new(file::Share::new(path.path()))),
        Target::Exec { program } => Ok(Box::new(exec::Program::new(program.path()))),
        #[cfg(feature = "remote-switch")]
        Target::Https { host, path } => {
            let peer = super::peer::Peer::new(host.clone(), switch.ca.as_ref(), reader, way)?;
            let flag =
                super::flag::Flag::new(peer, path, switch.field.as_deref(), switch.token.is_some());
            Ok(Box::new(flag))
        }
        #[cfg(feature = "remote-switch")]
        Target::Redis {
            host,
            user,
            db,
            keys,
        } => {
            // A Redis is not behind a proxy for HTTP.
            let way = &Way::default();
            let peer = super::peer::Peer::new(host.clone(), switch.ca.as_ref(), reader, way)?;
            let token = switch.token.is_some();
            let redis = super::redis::Redis::new(peer, user.as_deref(), *db, keys, token);
            Ok(Box::new(redis))
        }
        #[cfg(feature = "remote-switch")]
        Target::S3 {
            host,
            bucket,
            key,
            region,
            style,
        } => {
            let peer = super::peer::Peer::new(host.clone(), switch.ca.as_ref(), reader, way)?;
            Ok(Box::new(super::s3::Object::new(
                peer, bucket, key, region, *style,
            )))
        }
        #[cfg(not(feature = "remote-switch"))]
        other => {
            drop((reader, way));
            Err(format!(
                "{other}: this agentbox was built without `remote-switch`"
            ))
        }
    }
}
