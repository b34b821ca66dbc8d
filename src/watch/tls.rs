//! A connection with a deadline, plain or in TLS. Every read and write waits until the deadline and no longer, whatever
//! trickles in.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::linux::net::TcpStreamExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A TCP connection with a deadline.
pub(super) struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    /// Connects.
    pub(super) fn connect(address: SocketAddr, until: Instant) -> io::Result<Timed> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Stream, flags, None)?;
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let timed = Timed {
            stream: TcpStream::from(fd),
            until,
        };
        timed.wait(PollFlags::POLLOUT)?;
        if let Some(error) = timed.stream.take_error()? {
            return Err(error);
        }
        let _ = timed.stream.set_nodelay(true);
        Ok(timed)
    }

    /// Until when the next reads and writes may take.
    pub(super) fn set_until(&mut self, until: Instant) {
        self.until = until;
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1));
            let mut set = [PollFd::new(self.stream.as_fd(), flags)];
            match poll(&mut set, left.unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // Many servers write the head and the body one by one, and the kernel there keeps the second back until the
                    // first is acknowledged (RFC 896): without this, 40 ms later. It does not last.
                    let _ = self.stream.set_quickack(true);
                    self.wait(PollFlags::POLLIN)?;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::POLLOUT)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection.
pub(super) enum Conn {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Conn {
    /// Until when the next reads and writes may take.
    pub(super) fn until(&mut self, until: Instant) {
        match self {
            Conn::Plain(timed) => timed.until = until,
            Conn::Tls(stream) => stream.sock.until = until,
        }
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Conn::Plain(timed) => timed.stream.as_fd(),
            Conn::Tls(stream) => stream.sock.stream.as_fd(),
        }
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(timed) => timed.read(buffer),
            Conn::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(timed) => timed.write(bytes),
            Conn::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Conn::Plain(timed) => timed.flush(),
            Conn::Tls(stream) => stream.flush(),
        }
    }
}

/// Whom TLS believes: the authorities of that file and no other, or the usual ones and the system's own.
///
/// # Errors
/// The file cannot be read, or no certificate is in it.
pub(super) fn config(ca: Option<&OsText>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let failed = |e: &dyn std::fmt::Display| format!("ca {file}: {e}");
            let found = CertificateDer::pem_file_iter(file.path()).map_err(|e| failed(&e))?;
            for certificate in found {
                let certificate = certificate.map_err(|e| failed(&e))?;
                roots.add(certificate).map_err(|e| failed(&e))?;
            }
            if roots.is_empty() {
                return Err(failed(&"no certificate is in it"));
            }
        }
        None => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            // A company's own authority is in the system's store, where it has one.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Speaks TLS on a connection, and verifies who answers before anything is sent.
pub(super) fn over(timed: Timed, config: &Arc<ClientConfig>, name: &str) -> Result<Conn, String> {
    let server = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
    let session = ClientConnection::new(config.clone(), server).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(session, timed);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(e) => return Err(format!("TLS: {e}")),
        }
    }
    Ok(Conn::Tls(Box::new(stream)))
}
