//! The messages of ssh agents (draft-ietf-sshm-ssh-agent, OpenSSH's PROTOCOL.agent), as far as the gate lets them through. Pure.
//!
//! A key in an agent signs whatever it is given. What makes a signature good for one server only is that the signed bytes
//! begin with the session's identifier, and that this identifier is bound to the key of that server by a signature which
//! only the server can make (`session-bind@openssh.com`).

#![forbid(unsafe_code)]

/// The most bytes of a message, without its length: several times what a key and what is signed by it have.
pub const MAX: usize = 64 * 1024;

/// SSH_AGENT_FAILURE.
pub const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// SSH_AGENT_SUCCESS.
pub const SUCCESS: [u8; 5] = [0, 0, 0, 1, 6];
/// SSH_AGENTC_REQUEST_IDENTITIES.
pub const LIST: u8 = 11;

const IDENTITIES: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;
const EXTENSION: u8 = 27;
const BIND: &[u8] = b"session-bind@openssh.com";
/// SSH_MSG_USERAUTH_REQUEST.
const USERAUTH: u8 = 50;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Which keys are there?
    List,
    /// Sign these bytes with this key.
    Sign {
        /// The public key.
        key: &'a [u8],
        /// The bytes.
        data: &'a [u8],
    },
    /// This connection is to the server with that key.
    Bind(Bind<'a>),
    /// Anything else: keys are added, removed, locked.
    Other(u8),
}

/// What binds a connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The server's key.
    pub host_key: &'a [u8],
    /// The identifier of the session.
    pub session: &'a [u8],
    /// Is the agent passed on to that server?
    pub forwarded: bool,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).and_then(|bytes| bytes.first().copied())
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Reads a message without its length; `None` for one that has not the form of its kind.
#[must_use]
pub fn read(message: &[u8]) -> Option<Message<'_>> {
    let mut reader = Reader(message);
    match reader.byte()? {
        LIST => {
            reader.end()?;
            Some(Message::List)
        }
        SIGN => {
            let (key, data) = (reader.string()?, reader.string()?);
            reader.number()?;
            reader.end()?;
            Some(Message::Sign { key, data })
        }
        EXTENSION => {
            if reader.string()? != BIND {
                return Some(Message::Other(EXTENSION));
            }
            let (host_key, session) = (reader.string()?, reader.string()?);
            let _signature = reader.string()?;
            let forwarded = reader.byte()? != 0;
            reader.end()?;
            Some(Message::Bind(Bind {
                host_key,
                session,
                forwarded,
            }))
        }
        other => Some(Message::Other(other)),
    }
}

/// The same message about another session: an agent that takes it does not look at the signature.
#[must_use]
pub fn spoiled(message: &[u8]) -> Option<Vec<u8>> {
    let Some(Message::Bind(bind)) = read(message) else {
        return None;
    };
    // The kind, two lengths and two strings are before the session's own length.
    let at = 1 + 4 + BIND.len() + 4 + bind.host_key.len() + 4;
    let mut out = message.to_vec();
    *out.get_mut(at..at + bind.session.len())?.first_mut()? ^= 0xff;
    Some(out)
}

/// Why something is not signed.
pub type Why = &'static str;

/// Are these bytes a log-in to that server in that session, with that key? (RFC 4252 7, and OpenSSH's `publickey-hostbound`.)
///
/// # Errors
/// What they are not.
pub fn logs_in(data: &[u8], key: &[u8], session: &[u8], host_key: &[u8]) -> Result<(), Why> {
    const FORM: Why = "the bytes are not a log-in by ssh";
    let mut reader = Reader(data);
    let mut read = || -> Option<Result<(), Why>> {
        if reader.string()? != session {
            return Some(Err("the bytes are of another session than the bound one"));
        }
        if reader.byte()? != USERAUTH {
            return None;
        }
        let _user = reader.string()?;
        if reader.string()? != b"ssh-connection" {
            return None;
        }
        let hostbound = match reader.string()? {
            b"publickey" => false,
            b"publickey-hostbound-v00@openssh.com" => true,
            _ => return None,
        };
        if reader.byte()? != 1 {
            return None;
        }
        let _algorithm = reader.string()?;
        if reader.string()? != key {
            return Some(Err("the log-in is with another key"));
        }
        if hostbound && reader.string()? != host_key {
            return Some(Err("the log-in is to another server than the bound one"));
        }
        reader.end()?;
        Some(Ok(()))
    };
    read().unwrap_or(Err(FORM))
}

/// The answer to [`LIST`] with the granted keys only; `None` if it is none.
#[must_use]
pub fn only_granted(answer: &[u8], granted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut reader = Reader(answer);
    if reader.byte()? != IDENTITIES {
        return None;
    }
    let count = reader.number()?;
    let mut kept = Vec::new();
    let mut keys = 0_u32;
    for _ in 0..count {
        let start = reader.0;
        let key = reader.string()?;
        let _comment = reader.string()?;
        if granted(key) {
            keys += 1;
            kept.extend_from_slice(start.get(..start.len() - reader.0.len())?);
        }
    }
    reader.end()?;
    let mut out = vec![IDENTITIES];
    out.extend(keys.to_be_bytes());
    out.extend(kept);
    Some(framed(&out))
}

/// Is it a signature?
#[must_use]
pub fn is_signature(answer: &[u8]) -> bool {
    answer.first() == Some(&SIGNED)
}

/// With its length in front.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(4 + message.len());
    out.extend(length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

#[cfg(test)]
#[path = "ssh_tests.rs"]
mod tests;
