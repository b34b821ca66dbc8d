//! [`Peer`]: the other side of a switch behind the network, and the connection to it.

#![forbid(unsafe_code)]

use super::dns;
use super::reader::Reader;
use super::tls::{self, Conn, Timed};
use crate::plan::OsText;
use crate::plan::remote::{Host, Wire};
use rustls::ClientConfig;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The other side.
pub(super) struct Peer {
    pub(super) host: Host,
    pub(super) reader: Reader,
    config: Option<Arc<ClientConfig>>,
}

impl Peer {
    /// Reads the authorities that are trusted.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn new(host: Host, ca: Option<&OsText>, reader: Reader) -> Result<Peer, String> {
        let config = match host.wire {
            Wire::Plain => None,
            Wire::Tls => Some(tls::config(ca)?),
        };
        Ok(Peer {
            host,
            reader,
            config,
        })
    }

    /// Connects, to the first of its addresses that answers.
    ///
    /// # Errors
    /// Why none does.
    pub(super) fn connect(&self, until: Instant) -> Result<Conn, String> {
        let name = self.host.name.as_str();
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
            let address = SocketAddr::new(address, self.host.port);
            match Timed::connect(address, now + share) {
                Ok(mut timed) => {
                    timed.set_until(until);
                    return match &self.config {
                        None => Ok(Conn::Plain(timed)),
                        Some(config) => tls::over(timed, config, name),
                    };
                }
                Err(e) => why = format!("{address}: {e}"),
            }
        }
        Err(why)
    }
}
