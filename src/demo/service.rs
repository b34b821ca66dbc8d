//! A service on the host's loopback, as a cloud's metadata service or a collector of stolen code would be one.

#![forbid(unsafe_code)]

use super::world::Secret;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is kept of one client.
const MOST: usize = 4096;

/// Answers every client with a secret and keeps what it was sent.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Service {
    pub(super) fn start() -> io::Result<Service> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let service = Service {
            address: listener.local_addr()?,
            heard: Arc::default(),
        };
        let heard = service.heard.clone();
        thread::Builder::new().spawn(move || serve(&listener, &heard))?;
        Ok(service)
    }

    /// Its port of 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Did somebody send this?
    pub(super) fn has_heard(&self, text: &str) -> bool {
        self.heard
            .lock()
            .is_ok_and(|heard| String::from_utf8_lossy(&heard).contains(text))
    }
}

impl Drop for Service {
    /// An empty connection ends it.
    fn drop(&mut self) {
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
    }
}

fn serve(listener: &TcpListener, heard: &Mutex<Vec<u8>>) {
    for client in listener.incoming().flatten() {
        match answer(client) {
            Ok(sent) if sent.is_empty() => return,
            Ok(sent) => {
                if let Ok(mut heard) = heard.lock() {
                    heard.extend_from_slice(&sent);
                }
            }
            Err(_) => {}
        }
    }
}

/// Reads until the client says no more, then answers.
fn answer(mut client: TcpStream) -> io::Result<Vec<u8>> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut sent = Vec::new();
    let mut buffer = [0; 512];
    while sent.len() < MOST && !sent.ends_with(b"\r\n\r\n") {
        let len = client.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        sent.extend_from_slice(buffer.get(..len).unwrap_or_default());
    }
    if !sent.is_empty() {
        write!(
            client,
            "HTTP/1.0 200 OK\r\n\r\n{}\n",
            Secret::Metadata.text()
        )?;
    }
    client.shutdown(Shutdown::Both)?;
    Ok(sent)
}
