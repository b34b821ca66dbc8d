//! SOCKS5 (RFC 1928), the server's side. Pure. Only CONNECT; a name and a password are taken and ignored: the socket is
//! on the box's own loopback, and what may be reached does not depend on who asks.

#![forbid(unsafe_code)]

use super::address::{self, Host};
use super::dns::Reader;

/// The bytes so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// Not whole yet.
    More,
    /// Whole, and how many bytes it had.
    Whole(T, usize),
    /// Not SOCKS5.
    Bad,
}

/// The method that the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// No authentication.
    None,
    /// A name and a password.
    Password,
    /// None that it offers.
    Unacceptable,
}

impl Method {
    /// What it is told.
    #[must_use]
    pub fn reply(self) -> [u8; 2] {
        match self {
            Method::None => [5, 0],
            Method::Password => [5, 2],
            Method::Unacceptable => [5, 0xff],
        }
    }
}

/// The greeting.
#[must_use]
pub fn greeting(bytes: &[u8]) -> Step<Method> {
    match bytes {
        [] | [5] => Step::More,
        [5, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            None => Step::More,
            Some(offered) => {
                let method = if offered.contains(&0) {
                    Method::None
                } else if offered.contains(&2) {
                    Method::Password
                } else {
                    Method::Unacceptable
                };
                Step::Whole(method, 2 + offered.len())
            }
        },
        _ => Step::Bad,
    }
}

/// A name and a password (RFC 1929); answered by `[1, 0]`.
#[must_use]
pub fn password(bytes: &[u8]) -> Step<()> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.u8() {
        None => return Step::More,
        Some(1) => {}
        Some(_) => return Step::Bad,
    }
    for _ in 0..2 {
        let Some(len) = reader.u8() else {
            return Step::More;
        };
        if reader.take(usize::from(len)).is_none() {
            return Step::More;
        }
    }
    Step::Whole((), reader.at)
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A connection.
    Connect(Host, u16),
    /// A connection to what is no host, as it was written.
    Odd(Vec<u8>, u16),
    /// BIND, UDP ASSOCIATE or anything else.
    Unsupported,
}

/// The request.
#[must_use]
pub fn request(bytes: &[u8]) -> Step<Ask> {
    let mut reader = Reader { bytes, at: 0 };
    let whole = (|| {
        let (version, command, _, kind) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        if version != 5 {
            return Some(Err(()));
        }
        let host = match kind {
            1 => Ok(Host::Address(
                <[u8; 4]>::try_from(reader.take(4)?).ok()?.into(),
            )),
            4 => {
                let v6 = <[u8; 16]>::try_from(reader.take(16)?).ok()?;
                Ok(Host::Address(std::net::IpAddr::from(v6).to_canonical()))
            }
            3 => {
                let len = reader.u8()?;
                let name = reader.take(usize::from(len))?;
                let text = std::str::from_utf8(name).unwrap_or_default();
                // Clients send literals as names, too.
                address::host(text).map_err(|_| name.to_vec())
            }
            _ => return Some(Err(())),
        };
        let port = reader.u16()?;
        Some(Ok(match (command, host) {
            (1, Ok(host)) => Ask::Connect(host, port),
            (1, Err(odd)) => Ask::Odd(odd, port),
            _ => Ask::Unsupported,
        }))
    })();
    match whole {
        None => Step::More,
        Some(Err(())) => Step::Bad,
        Some(Ok(ask)) => Step::Whole(ask, reader.at),
    }
}

/// What a client is told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is connected.
    Granted = 0,
    /// Not allowed by the rules.
    NotAllowed = 2,
    /// The host cannot be reached.
    Unreachable = 4,
    /// Not a command of this server.
    Unsupported = 7,
}

impl Reply {
    /// The bytes; the bound address, which nobody needs, is 0.0.0.0:0.
    #[must_use]
    pub fn bytes(self) -> [u8; 10] {
        [5, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

#[cfg(test)]
#[path = "socks_tests.rs"]
mod tests;
