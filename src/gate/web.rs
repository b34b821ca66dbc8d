//! Plain HTTP/1 connections: every request is read, judged and written again; answers pass as they are.

#![forbid(unsafe_code)]

use super::address::Host;
use super::chunked::Follow;
use super::connect::Outside;
use super::http::{self, Form, Head, Last, Pass, Request, Upgrade};
use super::message::{Text, Why};
use super::relay;
use super::rules::Refusal;
use super::state::Place;
use super::tunnel::{End, PATIENCE, Track, read_some};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to finish its answers after a later request was refused.
const FINISH: Duration = Duration::from_secs(30);

/// Bytes of a client that were read and not yet passed on.
#[derive(Debug, Default)]
pub struct Pending(pub Vec<u8>);

/// Reads the next request. `None`: the client is done.
///
/// # Errors
/// [`End::Refused`], and [`End::Gone`] when it goes in the middle of one.
pub async fn next_request(
    client: &TcpStream,
    pending: &mut Pending,
) -> Result<Option<Request>, End> {
    loop {
        match http::head(&pending.0) {
            Head::Whole(request, len) => {
                pending.0.drain(..len);
                return Ok(Some(*request));
            }
            Head::Bad(what) => {
                let what = Text::of(what);
                return Err(End::Refused(Refusal::of(Why::NotHttp { what })));
            }
            Head::More => {}
        }
        if pending.0.is_empty() {
            // Nothing is kept for a connection that is silent between its requests.
            pending.0 = Vec::new();
        }
        let read = read_some(client, &mut pending.0).await;
        if read.map_err(|_| End::Gone)? == 0 {
            return if pending.0.is_empty() {
                Ok(None)
            } else {
                Err(End::Gone)
            };
        }
    }
}

/// Is this request for the place that it was sent to?
///
/// # Errors
/// The refusal.
pub fn judge(request: &Request, place: &Place, port: u16) -> Result<(), Refusal> {
    if request.form == Form::Authority {
        let what = Text::of("CONNECT to a server that is no proxy of this box");
        return Err(Refusal::of(Why::NotHttp { what }));
    }
    let same_host = match (place, &request.host) {
        (Place::Name(name), Host::Name(host)) => name == host,
        (Place::Name(_), Host::Address(_)) => false,
        // What was granted as an address is whatever answers there.
        (Place::Address(_) | Place::Host, _) => true,
    };
    if !same_host || request.port.unwrap_or(80) != port {
        let host = match &request.host {
            Host::Name(name) => name.clone(),
            Host::Address(addr) => addr.to_string(),
        };
        let found = match request.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        return Err(Refusal::of(Why::Host {
            found: Text::of(found),
        }));
    }
    if request.upgrade == Upgrade::Asked {
        return Err(Refusal::of(Why::Upgrade));
    }
    Ok(())
}

/// How a connection of requests ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub end: End,
    /// The method of the request that was refused.
    pub method: String,
    /// May a refusal still be written, that is, has the answer of every earlier request gone through?
    pub may_answer: bool,
}

/// Passes requests on, beginning with `first`, and answers back.
pub async fn run(
    client: &TcpStream,
    outside: &Outside,
    place: &Place,
    port: u16,
    first: Request,
    mut pending: Pending,
    track: &Track,
) -> Ended {
    let server = &outside.stream;
    let method = Mutex::new(String::new());
    let up = async {
        let mut next = Some(first);
        while let Some(request) = next {
            if let Ok(mut last) = method.lock() {
                last.clone_from(&request.method);
            }
            judge(&request, place, port).map_err(End::Refused)?;
            let head = written(&request, outside, Last::No);
            pass(client, server, &request, &head, &mut pending, track).await?;
            next = next_request(client, &mut pending).await?;
        }
        Ok::<(), End>(())
    };
    let down = relay::copy(server, client, &track.received);
    let end = both(client, server, up, down).await;
    let may_answer = matches!(end, End::Refused(_));
    let method = method.lock().map(|last| last.clone()).unwrap_or_default();
    Ended {
        end,
        method,
        may_answer,
    }
}

/// Runs both directions. A refusal comes back only when the answers to all earlier requests have gone through.
async fn both(
    client: &TcpStream,
    server: &TcpStream,
    up: impl Future<Output = Result<(), End>>,
    down: impl Future<Output = Result<(), relay::Broken>>,
) -> End {
    let mut down = std::pin::pin!(down);
    let mut up = std::pin::pin!(up);
    let mut answered = false;
    loop {
        tokio::select! {
            done = &mut down, if !answered => {
                answered = true;
                if done.is_err() {
                    return End::Broken;
                }
                relay::shut(client);
            }
            done = &mut up => {
                let end = done.err().unwrap_or(End::Done);
                if end == End::Broken {
                    return end;
                }
                relay::shut(server);
                if answered {
                    // Too late for words.
                    return match end {
                        End::Refused(_) => End::Gone,
                        end => end,
                    };
                }
                if end == End::Done {
                    let done = down.await;
                    relay::shut(client);
                    return done.map_or(End::Broken, |()| End::Done);
                }
                return match timeout(FINISH, down).await {
                    Ok(Ok(())) => end,
                    _ => End::Gone,
                };
            }
        }
    }
}

/// The head for whoever is at the other end.
#[must_use]
pub fn written(request: &Request, outside: &Outside, last: Last) -> Vec<u8> {
    let Some(proxy) = &outside.through else {
        return request.write(Pass::Server, last);
    };
    let host = match &request.host {
        Host::Name(name) => name.clone(),
        Host::Address(std::net::IpAddr::V6(addr)) => format!("[{addr}]"),
        Host::Address(addr) => addr.to_string(),
    };
    let authority = match request.port {
        Some(port) if port != 80 => format!("{host}:{port}"),
        _ => host,
    };
    let pass = Pass::Proxy {
        authority: &authority,
        authorization: proxy.authorization.as_deref(),
    };
    request.write(pass, last)
}

/// Passes one request on, with its body.
///
/// # Errors
/// [`End`].
pub async fn pass(
    client: &TcpStream,
    server: &TcpStream,
    request: &Request,
    head: &[u8],
    pending: &mut Pending,
    track: &Track,
) -> Result<(), End> {
    let broken = |_| End::Broken;
    relay::write_all(server, head, &track.sent)
        .await
        .map_err(broken)?;
    let mut body = Follow::new(request.body);
    while !body.is_done() {
        if pending.0.is_empty() && read_some(client, &mut pending.0).await.map_err(broken)? == 0 {
            // In the middle of a body: the server must not take it for a whole one.
            return Err(End::Broken);
        }
        let len = body.advance(&pending.0).map_err(|what| {
            let what = Text::of(what);
            End::Refused(Refusal::of(Why::NotHttp { what }))
        })?;
        let part = pending.0.get(..len).unwrap_or_default();
        relay::write_all(server, part, &track.sent)
            .await
            .map_err(broken)?;
        pending.0.drain(..len);
    }
    Ok(())
}

/// [`next_request`] within [`PATIENCE`].
///
/// # Errors
/// As there; [`End::Gone`] when it took too long.
pub async fn first_request(
    client: &TcpStream,
    pending: &mut Pending,
) -> Result<Option<Request>, End> {
    timeout(PATIENCE, next_request(client, pending))
        .await
        .unwrap_or(Err(End::Gone))
}
