//! Connections that are passed on as they are, but for their first bytes.

#![forbid(unsafe_code)]

use super::message::{GateEvent, Text, Why};
use super::relay::{self, Broken};
use super::rules::{Mark, Refusal, Terms};
use super::sni::{self, Hello};
use super::state::{Gate, Place};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a client may take from its connection to the end of its ClientHello or head. Browsers and package managers
/// connect ahead of need.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The most that is held of a client which goes on before it sends its second ClientHello (early data).
const EARLY: usize = 64 * 1024;

/// A connection in the record, from its opening to its end.
#[derive(Debug)]
pub struct Track {
    gate: Arc<Gate>,
    id: u64,
    /// Bytes out of the box.
    pub sent: AtomicU64,
    /// Bytes into the box.
    pub received: AtomicU64,
}

impl Track {
    /// Tells that a connection was made.
    #[must_use]
    pub fn open(gate: &Arc<Gate>, place: &Place, port: u16, address: Option<SocketAddr>) -> Track {
        let id = gate.connection_id();
        gate.outbox.event(GateEvent::Opened {
            id,
            to: place.text(),
            port,
            address,
        });
        Track {
            gate: gate.clone(),
            id,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.gate.outbox.event(GateEvent::Closed {
            id: self.id,
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        });
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Both directions are over.
    Done,
    /// An end broke: the other one is told.
    Broken,
    /// What the client sent is refused.
    Refused(Refusal),
    /// The client sent nothing that could be judged and went, or waited for too long.
    Gone,
}

/// The judgement of a client's first bytes.
///
/// # Errors
/// The refusal.
pub fn judge(
    hello: &Hello,
    place: &Place,
    port: u16,
    terms: &Terms,
) -> Result<Option<()>, Refusal> {
    let refuse = |why| Err(Refusal::of(why));
    match (hello, place) {
        (Hello::More, _) => Ok(None),
        (Hello::Other, _) if port == 443 && !terms.has(Mark::Plain) && *place != Place::Host => {
            refuse(Why::NotTls)
        }
        (Hello::Other, _) => Ok(Some(())),
        // Only a name can be compared. What was granted as an address is whatever answers there.
        (_, Place::Host | Place::Address(_)) => Ok(Some(())),
        (Hello::Name(found), Place::Name(name)) if found == name => Ok(Some(())),
        (Hello::Name(found), _) => refuse(Why::Sni {
            found: Text::of(found),
        }),
        (Hello::Nameless, _) if terms.has(Mark::NoSni) => Ok(Some(())),
        (Hello::Nameless, _) => refuse(Why::NoSni),
        (Hello::Bad, _) => refuse(Why::Sni {
            found: Text::of("no readable server name"),
        }),
    }
}

/// Reads until the first bytes of a client are judged, and gives them back.
///
/// # Errors
/// [`End::Refused`] or [`End::Gone`].
pub async fn first_bytes(
    client: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
    mut bytes: Vec<u8>,
) -> Result<Vec<u8>, End> {
    loop {
        if !bytes.is_empty() {
            match judge(&sni::look(&bytes), place, port, terms) {
                Ok(Some(())) => return Ok(bytes),
                Ok(None) => {}
                Err(refusal) => return Err(End::Refused(refusal)),
            }
        }
        if read_some(client, &mut bytes).await.map_err(|_| End::Gone)? == 0 {
            // Whatever came: a hello that ends in the middle is none.
            return if bytes.is_empty() {
                Ok(bytes)
            } else {
                Err(End::Gone)
            };
        }
    }
}

/// Reads what is there, at most 16 KiB; 0 is end of file. By the buffer of all connections, so that one that waits keeps only
/// what came.
///
/// # Errors
/// The source broke.
pub async fn read_some(from: &TcpStream, bytes: &mut Vec<u8>) -> Result<usize, Broken> {
    loop {
        from.readable().await.map_err(|_| Broken::Source)?;
        match relay::read_shared(from, sni::MAX, |read| bytes.extend_from_slice(read)) {
            Ok(len) => return Ok(len),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken::Source),
        }
    }
}

/// What of the client's bytes is known.
#[derive(Debug)]
pub enum First {
    /// These were judged and have to be sent.
    Judged(Vec<u8>),
    /// Nothing was read; the server may speak first.
    Unread,
}

/// Passes both directions on until both are over.
pub async fn run(
    client: &TcpStream,
    server: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
    first: First,
    track: &Track,
) -> End {
    let (answered, answer) = oneshot::channel();
    let up = async {
        let mut bytes = match first {
            First::Judged(bytes) => bytes,
            First::Unread if *place == Place::Host => Vec::new(),
            First::Unread => first_bytes(client, place, port, terms, Vec::new()).await?,
        };
        if let (Place::Name(_), Some(end)) = (place, sni::end(&bytes)) {
            let later = bytes.split_off(end);
            send(server, &bytes, track).await?;
            bytes = second(client, place, port, terms, later, answer).await?;
        } else {
            drop(answer);
        }
        send(server, &bytes, track).await?;
        drop(bytes);
        let copied = relay::copy(client, server, &track.sent).await;
        copied.map_err(|_| End::Broken)?;
        relay::shut(server);
        Ok::<(), End>(())
    };
    let down = async {
        let done = async {
            first_answer(server, client, answered, track).await?;
            relay::copy(server, client, &track.received).await
        };
        done.await.map_err(|_| End::Broken)?;
        relay::shut(client);
        Ok::<(), End>(())
    };
    match tokio::try_join!(up, down) {
        Ok(_) => End::Done,
        Err(end) => end,
    }
}

async fn send(server: &TcpStream, bytes: &[u8], track: &Track) -> Result<(), End> {
    let sent = relay::write_all(server, bytes, &track.sent).await;
    sent.map_err(|_| End::Broken)
}

/// Whether the server wants another ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Retry,
    Other,
}

/// Passes the server's first bytes on, as long as somebody waits for what they are.
async fn first_answer(
    server: &TcpStream,
    client: &TcpStream,
    answered: oneshot::Sender<Answer>,
    track: &Track,
) -> Result<(), Broken> {
    let mut seen = Vec::new();
    loop {
        let from = seen.len();
        if answered.is_closed() {
            return Ok(());
        }
        if read_some(server, &mut seen).await? == 0 {
            return Ok(());
        }
        let new = seen.get(from..).unwrap_or_default();
        relay::write_all(client, new, &track.received).await?;
        let answer = match sni::is_retry(&seen) {
            Some(true) => Answer::Retry,
            Some(false) => Answer::Other,
            None if seen.len() < sni::MAX => continue,
            None => Answer::Other,
        };
        // Nobody waits where the client has gone.
        let _gone = answered.send(answer);
        return Ok(());
    }
}

/// What a client sends behind its ClientHello is held until the server has answered: after a HelloRetryRequest it is a second
/// ClientHello, and servers go by the name in that one (OpenSSL does).
async fn second(
    client: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
    mut bytes: Vec<u8>,
    answer: oneshot::Receiver<Answer>,
) -> Result<Vec<u8>, End> {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(Answer::Retry)) => {}
        Ok(_) => return Ok(bytes),
        // Nobody reads the client meanwhile: that it went would not be seen.
        Err(_) => return Err(End::Gone),
    }
    let judged = async {
        loop {
            let hello = sni::look_again(&bytes);
            if judge(&hello, place, port, terms)
                .map_err(End::Refused)?
                .is_some()
            {
                return Ok(bytes);
            }
            if bytes.len() > EARLY {
                return Err(End::Gone);
            }
            if read_some(client, &mut bytes).await.map_err(|_| End::Gone)? == 0 {
                return Err(End::Gone);
            }
        }
    };
    timeout(PATIENCE, judged).await.unwrap_or(Err(End::Gone))
}

/// [`first_bytes`] within [`PATIENCE`].
///
/// # Errors
/// As there; [`End::Gone`] when it took too long.
pub async fn first_bytes_in_time(
    client: &TcpStream,
    place: &Place,
    port: u16,
    terms: &Terms,
) -> Result<Vec<u8>, End> {
    timeout(
        PATIENCE,
        first_bytes(client, place, port, terms, Vec::new()),
    )
    .await
    .unwrap_or(Err(End::Gone))
}
