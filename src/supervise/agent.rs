//! The supervisor's half of the box's ssh agent: the socket that the box reaches, and connections to the caller's agent.

#![forbid(unsafe_code)]

use crate::launch::Inputs;
use crate::plan::net;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

/// What of the caller's ssh agent the box has.
pub(super) struct Agent {
    /// The caller's agent.
    path: PathBuf,
    /// Made here; named by init, in the box, where it listens from then on.
    listener: OwnedFd,
}

impl Agent {
    /// The socket, and for init the same one to be named; `None` where nothing is granted.
    pub(super) fn new(network: &net::Network, inputs: &mut Inputs) -> Option<Agent> {
        network.ssh.as_ref()?;
        let mut variables = inputs.caller_env.iter();
        let (_, path) = variables.find(|(name, _)| name == "SSH_AUTH_SOCK")?;
        let listener = unix().ok()?;
        let copy = listener.try_clone().ok()?;
        let path = PathBuf::from(path);
        inputs.agent = Some(copy);
        Some(Agent { path, listener })
    }

    /// The socket, which has its name and listens by now.
    pub(super) fn listener(&self) -> Option<OwnedFd> {
        self.listener.try_clone().ok()
    }

    /// A connection to the caller's agent. Never waits: one that has no room now is one that does not answer.
    pub(super) fn connect(&self) -> Result<OwnedFd, Errno> {
        let socket = unix()?;
        let address = UnixAddr::new(&self.path)?;
        connect(socket.as_raw_fd(), &address)?;
        Ok(socket)
    }
}

fn unix() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}
