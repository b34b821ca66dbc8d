//! [`Peer`]: the other side of a switch behind the network, and the connection to it.

#![forbid(unsafe_code)]

use super::dns;
use super::reader::Reader;
use super::tls::{self, Conn, Timed};
use super::way::Way;
use crate::gate::address;
use crate::gate::upstream::Proxy;
use crate::plan::OsText;
use crate::plan::remote::{Host, Wire};
use rustls::ClientConfig;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The most bytes of the head of a proxy's answer.
const MAX_HEAD: usize = 16 * 1024;

/// The other side.
pub(super) struct Peer {
    pub(super) host: Host,
    pub(super) reader: Reader,
    /// The proxy that leads there.
    proxy: Option<Proxy>,
    config: Option<Arc<ClientConfig>>,
}

impl Peer {
    /// Reads the authorities that are trusted.
    ///
    /// # Errors
    /// They cannot be read, or the proxy cannot be used.
    pub(super) fn new(
        host: Host,
        ca: Option<&OsText>,
        reader: Reader,
        way: &Way,
    ) -> Result<Peer, String> {
        let proxy = way.to(&host)?;
        let config = match host.wire {
            Wire::Plain => None,
            Wire::Tls => Some(tls::config(ca)?),
        };
        Ok(Peer {
            host,
            reader,
            proxy,
            config,
        })
    }

    /// Connects, to the first of its addresses that answers, or through the proxy.
    ///
    /// # Errors
    /// Why none does.
    pub(super) fn connect(&self, until: Instant) -> Result<Conn, String> {
        let name = self.host.name.as_str();
        let timed = match &self.proxy {
            None => self.dial(name, self.host.port, until)?,
            Some(proxy) => self.through(proxy, until)?,
        };
        match &self.config {
            None => Ok(Conn::Plain(timed)),
            Some(config) => tls::over(timed, config, name),
        }
    }

    fn dial(&self, name: &str, port: u16, until: Instant) -> Result<Timed, String> {
        let addresses = match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => dns::resolve(name, &self.reader.names(name)?, until)?,
        };
        let count = u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut why = format!("{name} has no address");
        for (number, address) in (0..count).zip(addresses) {
            let now = Instant::now();
            // A share of what is left for each, so that one dead address does not take it all.
            let share = until.saturating_duration_since(now) / (count - number);
            let address = SocketAddr::new(address, port);
            match Timed::connect(address, now + share) {
                Ok(mut timed) => {
                    timed.set_until(until);
                    return Ok(timed);
                }
                Err(e) => why = format!("{address}: {e}"),
            }
        }
        Err(why)
    }

    /// A tunnel (CONNECT). Only the proxy has to know the name's address.
    fn through(&self, proxy: &Proxy, until: Instant) -> Result<Timed, String> {
        let name = match &proxy.host {
            address::Host::Name(name) => name.clone(),
            address::Host::Address(address) => address.to_string(),
        };
        let failed =
            |what: &dyn std::fmt::Display| format!("the proxy {name}:{}: {what}", proxy.port);
        let mut timed = self
            .dial(&name, proxy.port, until)
            .map_err(|why| failed(&why))?;
        // With the port always: 0 is no port's default.
        let to = self.host.authority(0);
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(value) = &proxy.authorization {
            request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
        }
        request.push_str("\r\n");
        timed
            .write_all(request.as_bytes())
            .map_err(|e| failed(&e))?;
        let status = tunnel(&mut timed).map_err(|e| failed(&e))?;
        match status {
            200..=299 => Ok(timed),
            407 => Err(failed(&"it wants another user or password (407)")),
            status => Err(failed(&format!("it answered {status}"))),
        }
    }
}

/// The status of a proxy's answer. Byte by byte: what is behind its head is the server's.
fn tunnel(timed: &mut Timed) -> std::io::Result<u16> {
    let bad = || std::io::Error::new(ErrorKind::InvalidData, "its answer is not HTTP");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        timed.read_exact(&mut byte)?;
        head.extend(byte);
        if head.len() > MAX_HEAD {
            return Err(bad());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&head).map_err(|_| bad())?;
    response.code.ok_or_else(bad)
}
