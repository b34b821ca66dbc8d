//! Who is at the other end of a connection. The uid alone does not tell: an agent has its user's own. So a peer that is in
//! another pid namespace than the supervisor, as everything in a box is, may ask for nothing, should it ever reach the socket.

#![forbid(unsafe_code)]

use super::message::Who;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;

/// The process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its uid.
    pub uid: u32,
    /// Its process id, as this process sees it.
    pub pid: i32,
}

/// Why a peer gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// The kernel does not say who it is, or it is gone.
    #[error("who asks cannot be told")]
    Unknown,
    /// It is in another pid namespace.
    #[error("who asks is in another pid namespace: a box or a container cannot control sessions")]
    Boxed,
    /// It is another user.
    #[error("the session belongs to another user")]
    Uid,
}

impl Peer {
    /// As the kernel noted it when the connection was made (SO_PEERCRED, unix(7)).
    ///
    /// # Errors
    /// [`Stranger::Unknown`] and [`Stranger::Boxed`].
    pub fn of(socket: BorrowedFd<'_>) -> Result<Peer, Stranger> {
        let found = getsockopt(&socket, PeerCredentials).map_err(|_| Stranger::Unknown)?;
        let peer = Peer {
            uid: found.uid(),
            pid: found.pid(),
        };
        // 0: a process of a namespace that cannot be seen from here.
        if peer.pid <= 0 {
            return Err(Stranger::Boxed);
        }
        // One read: the line is among the first, and the kernel writes the file anew for whoever opens it.
        let mut status = [0; 4096];
        let file = File::open(format!("/proc/{}/status", peer.pid));
        let count = file.and_then(|mut file| file.read(&mut status));
        let count = count.map_err(|_| Stranger::Unknown)?;
        let status = String::from_utf8_lossy(status.get(..count).unwrap_or_default());
        match depth(&status) {
            Some(1) => Ok(peer),
            Some(_) => Err(Stranger::Boxed),
            None => Err(Stranger::Unknown),
        }
    }

    /// May this peer ask for what is `who`'s, of a session of the user `owner`?
    ///
    /// # Errors
    /// [`Stranger::Uid`].
    pub fn may(&self, who: Who, owner: u32) -> Result<(), Stranger> {
        let root = who == Who::OwnerOrRoot && self.uid == 0;
        if self.uid == owner || root {
            Ok(())
        } else {
            Err(Stranger::Uid)
        }
    }
}

/// In how many pid namespaces below the reader's procfs a process has a number (`NSpid`, proc_pid_status(5)), its own one
/// included.
fn depth(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(line.split_whitespace().count())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::launch::channel;
    use std::os::fd::AsFd as _;

    #[test]
    fn this_process_is_known_and_a_box_is_not() {
        let (a, _b) = channel::pair().unwrap();
        let me = Peer::of(a.as_fd()).unwrap();
        assert_eq!(me.pid, i32::try_from(std::process::id()).unwrap());
        assert_eq!(depth("Name:\tx\nNSpid:\t12\n"), Some(1));
        assert_eq!(depth("Name:\tNSpid:\t\nNSpid:\t12\t1\n"), Some(2));
        assert_eq!(depth("Name:\tx\n"), None);
    }

    #[test]
    fn the_table_says_who() {
        let peer = |uid| Peer { uid, pid: 2 };
        assert_eq!(peer(7).may(Who::Owner, 7), Ok(()));
        assert_eq!(peer(8).may(Who::OwnerOrRoot, 7), Err(Stranger::Uid));
        assert_eq!(peer(0).may(Who::OwnerOrRoot, 7), Ok(()));
        assert_eq!(peer(0).may(Who::Owner, 7), Err(Stranger::Uid));
        assert_eq!(peer(0).may(Who::Owner, 0), Ok(()));
    }
}
