//! As much of an HTTP/1.1 client as one question in an interval needs: no pool, no redirects, no compression, bodies of some
//! kilobytes. The head is parsed by httparse.

#![forbid(unsafe_code)]

use super::peer::Peer;
use super::tls::Conn;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Instant;

/// The most bytes of a head, and of a body.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024;

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The first header of that name (in lower case).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Besides Host, User-Agent and Content-Length. Without a line break: see [`bytes`].
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Option<&'a str>,
}

/// Asks on a connection that is kept for the next question.
pub(super) struct Client {
    conn: Option<Conn>,
}

impl Client {
    pub(super) fn new() -> Client {
        Client { conn: None }
    }

    /// Asks. A connection that was kept and turns out to be closed is made anew, once.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn ask(
        &mut self,
        peer: &Peer,
        request: &Request<'_>,
        until: Instant,
    ) -> Result<Response, String> {
        let bytes = bytes(peer, request)?;
        if let Some(conn) = self.conn.take() {
            match exchange(conn, &bytes, request.method, until) {
                Ok((response, conn)) => {
                    self.conn = conn;
                    return Ok(response);
                }
                Err(Failure::Stale) => {}
                Err(Failure::Other(why)) => return Err(why),
            }
        }
        let conn = peer.connect(until)?;
        match exchange(conn, &bytes, request.method, until) {
            Ok((response, conn)) => {
                self.conn = conn;
                Ok(response)
            }
            Err(Failure::Stale) => Err("the connection was closed without an answer".to_owned()),
            Err(Failure::Other(why)) => Err(why),
        }
    }
}

enum Failure {
    /// Closed before the first byte of an answer.
    Stale,
    Other(String),
}

fn bytes(peer: &Peer, request: &Request<'_>) -> Result<Vec<u8>, String> {
    use crate::plan::remote::Wire;
    let default = match peer.host.wire {
        Wire::Tls => 443,
        Wire::Plain => 80,
    };
    let mut out = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: agentbox/{}\r\n",
        request.method,
        request.path,
        peer.host.authority(default),
        env!("CARGO_PKG_VERSION")
    );
    for (name, value) in &request.headers {
        if value.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err(format!("the value of {name} is not one line of ASCII"));
        }
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = request.body {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    out.push_str(request.body.unwrap_or_default());
    Ok(out.into_bytes())
}

fn exchange(
    mut conn: Conn,
    bytes: &[u8],
    method: &str,
    until: Instant,
) -> Result<(Response, Option<Conn>), Failure> {
    conn.until(until);
    let stale = |e: &std::io::Error| {
        matches!(
            e.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::UnexpectedEof
        )
    };
    if let Err(e) = conn.write_all(bytes).and_then(|()| conn.flush()) {
        return Err(if stale(&e) { Failure::Stale } else { other(&e) });
    }
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let (head, mut response) = loop {
            if let Some(found) = parse_head(&buffer)? {
                break found;
            }
            if buffer.len() > MAX_HEAD {
                return Err(Failure::Other(
                    "the head of the answer is too long".to_owned(),
                ));
            }
            match more(&mut conn, &mut buffer) {
                Ok(0) if buffer.is_empty() => return Err(Failure::Stale),
                Ok(0) => return Err(Failure::Other("the answer ends in its head".to_owned())),
                Ok(_) => {}
                Err(e) if buffer.is_empty() && stale(&e) => return Err(Failure::Stale),
                Err(e) => return Err(other(&e)),
            }
        };
        buffer.drain(..head);
        // Informational answers come before the one that was asked for.
        if (100..200).contains(&response.status) && response.status != 101 {
            continue;
        }
        let keep = body(&mut conn, &mut buffer, &mut response, method)?;
        let keep = keep && buffer.is_empty();
        return Ok((response, keep.then_some(conn)));
    }
}

fn other(e: &std::io::Error) -> Failure {
    Failure::Other(match e.kind() {
        ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => e.to_string(),
    })
}

fn more(conn: &mut Conn, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut some = [0; 4096];
    let count = conn.read(&mut some)?;
    buffer.extend_from_slice(some.get(..count).unwrap_or_default());
    Ok(count)
}

fn parse_head(buffer: &[u8]) -> Result<Option<(usize, Response)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let bad = |e: httparse::Error| Failure::Other(format!("the answer is not HTTP: {e}"));
    match response.parse(buffer).map_err(bad)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let headers = response.headers.iter().map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            });
            let found = Response {
                status: response.code.unwrap_or(0),
                headers: headers.collect(),
                body: Vec::new(),
            };
            Ok(Some((length, found)))
        }
    }
}

/// Reads the body. Whether the connection can be used again.
fn body(
    conn: &mut Conn,
    buffer: &mut Vec<u8>,
    response: &mut Response,
    method: &str,
) -> Result<bool, Failure> {
    let bad = |what: &str| Failure::Other(what.to_owned());
    let close = response
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if matches!(response.status, 204 | 304) || method == "HEAD" {
        return Ok(!close);
    }
    if let Some(coding) = response.header("transfer-encoding") {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(bad("the answer has an unknown transfer coding"));
        }
        response.body = chunks(conn, buffer)?;
        return Ok(!close);
    }
    match response.header("content-length") {
        Some(length) => {
            let length: usize = length
                .trim()
                .parse()
                .map_err(|_| bad("the answer's length is no number"))?;
            if length > MAX_BODY {
                return Err(bad("the answer is too long"));
            }
            fill(conn, buffer, length)?;
            response.body = buffer.drain(..length).collect();
            Ok(!close)
        }
        None => {
            loop {
                match more(conn, buffer) {
                    Ok(0) => break,
                    Ok(_) if buffer.len() > MAX_BODY => return Err(bad("the answer is too long")),
                    Ok(_) => {}
                    Err(e) => return Err(other(&e)),
                }
            }
            response.body = std::mem::take(buffer);
            Ok(false)
        }
    }
}

fn fill(conn: &mut Conn, buffer: &mut Vec<u8>, length: usize) -> Result<(), Failure> {
    while buffer.len() < length {
        if more(conn, buffer).map_err(|e| other(&e))? == 0 {
            return Err(Failure::Other("the answer ends too early".to_owned()));
        }
    }
    Ok(())
}

fn chunks(conn: &mut Conn, buffer: &mut Vec<u8>) -> Result<Vec<u8>, Failure> {
    let bad = |what: &str| Failure::Other(what.to_owned());
    let mut out = Vec::new();
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => {
                    let length = buffer.len() + 1;
                    fill(conn, buffer, length)?;
                }
                _ => return Err(bad("a chunk of the answer has no size")),
            }
        };
        buffer.drain(..line);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MAX_BODY || out.len() + size > MAX_BODY {
            return Err(bad("the answer is too long"));
        }
        if size == 0 {
            return trailers(conn, buffer).map(|()| out);
        }
        fill(conn, buffer, size + 2)?;
        out.extend(buffer.drain(..size));
        if buffer.drain(..2).ne(*b"\r\n") {
            return Err(bad("a chunk of the answer is longer than it says"));
        }
    }
}

/// Up to the empty line at the end.
fn trailers(conn: &mut Conn, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        if let Some(end) = buffer.windows(2).position(|at| at == b"\r\n") {
            buffer.drain(..end + 2);
            if end == 0 {
                return Ok(());
            }
        } else if buffer.len() > MAX_HEAD {
            return Err(Failure::Other("the answer is too long".to_owned()));
        } else {
            let length = buffer.len() + 1;
            fill(conn, buffer, length)?;
        }
    }
}
