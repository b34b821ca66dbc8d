//! The box's own proxy on its loopback, for programs that were told of one: HTTP and SOCKS5, told apart by the first byte.
//! The same rules as for everything else; here the name comes from the client's request.

#![forbid(unsafe_code)]

use super::address::Host;
use super::connect::{self, Outside, Speaks};
use super::http::{Form, Last, Request};
use super::message::{Refused, Text, Why};
use super::relay;
use super::rules::Refusal;
use super::serve::{self, Spoken};
use super::socks::{self, Ask, Method, Reply, Step};
use super::state::{Gate, Place};
use super::tunnel::{End, PATIENCE, Track, read_some};
use super::web::{self, Pending};
use super::words;
use crate::plan::net::listen::Pass;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What `agentbox why` in the box asks for, as of a server, with the host it means in the Host field.
const QUESTION: &str = crate::plan::net::QUESTION;

/// Whether a connection would be allowed by the rules in force: they may have changed since the box was told its plan. Nothing is
/// connected, resolved or recorded.
fn answer(gate: &Gate, request: &Request) -> Vec<u8> {
    let port = request.port.unwrap_or(443);
    let decided = match place(gate, &request.host) {
        Some(place) => gate.decide(&place, port),
        None => Err(Refusal::of(Why::NotGranted)),
    };
    match decided {
        Ok(terms) => words::granted(&terms.rule),
        Err(refusal) => {
            let refused = Refused {
                to: text(&request.host),
                port: Some(port),
                why: refusal.why,
                rule: Text::of(&refusal.rule),
            };
            words::http(&refused, &request.method)
        }
    }
}

/// The time that a connection has to show its pass. The connector writes it before the box has the socket.
const AT_THE_DOOR: Duration = Duration::from_secs(5);

/// Whether a connection begins with the pass, which is read then, and no byte more.
pub async fn passes(client: &TcpStream, pass: &Pass) -> bool {
    let mut shown = [0; Pass::LEN];
    let mut len = 0;
    let read = async {
        while len < Pass::LEN {
            client.readable().await?;
            match client.try_read(shown.get_mut(len..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    };
    let done = timeout(AT_THE_DOOR, read).await;
    // Every byte is looked at: how long it takes says nothing of how many were right.
    let pairs = shown.iter().zip(pass.bytes());
    let differs = pairs.fold(0, |differs, (a, b)| differs | (a ^ b));
    matches!(done, Ok(Ok(()))) && len == Pass::LEN && differs == 0
}

/// Serves a connection to the proxy.
pub async fn proxy(gate: Arc<Gate>, client: TcpStream) {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, read_some(&client, &mut bytes)).await;
    if !matches!(read, Ok(Ok(1..))) {
        return;
    }
    if bytes.first() == Some(&5) {
        socks(&gate, client, bytes).await;
    } else {
        http(&gate, client, Pending(bytes)).await;
    }
}

/// The place that a client names.
fn place(gate: &Gate, host: &Host) -> Option<Place> {
    match host {
        Host::Name(name) => Some(Place::of_name(name)),
        Host::Address(addr) => gate.place(*addr),
    }
}

fn text(host: &Host) -> Text {
    match host {
        Host::Name(name) => Text::of(name),
        Host::Address(addr) => Text::of(addr.to_string()),
    }
}

async fn http(gate: &Arc<Gate>, client: TcpStream, mut pending: Pending) {
    let request = match web::first_request(&client, &mut pending).await {
        Ok(Some(request)) => request,
        Ok(None) | Err(End::Gone | End::Broken | End::Done) => return,
        Err(End::Refused(mut refusal)) => {
            // Whom it was for, as it was written: what is no request was not taken out.
            let line = pending.0.split(|b| *b == b'\r').next().unwrap_or_default();
            let target = line.split(|b| *b == b' ').nth(1).unwrap_or(b"the proxy");
            if let Why::NotHttp { what } = &refusal.why
                && what.as_str() == "a host that is no host"
            {
                refusal.why = Why::OddHost;
            }
            let refused = gate.refused_text(Text::lossy(target), None, &refusal);
            return relay::say_and_close(client, &words::http(&refused, "GET")).await;
        }
    };
    if request.form == Form::Origin && request.target == QUESTION {
        return relay::say_and_close(client, &answer(gate, &request)).await;
    }
    if request.form == Form::Origin {
        let what = Text::of("this is a proxy, not a server");
        let refusal = Refusal::of(Why::NotHttp { what });
        let refused = gate.refused_text(text(&request.host), request.port, &refusal);
        return relay::say_and_close(client, &words::http(&refused, &request.method)).await;
    }
    let port = match request.form {
        Form::Authority => request.port.unwrap_or(443),
        _ => request.port.unwrap_or(80),
    };
    let Some(place) = place(gate, &request.host) else {
        let refusal = Refusal::of(Why::NotGranted);
        let refused = gate.refused_text(text(&request.host), Some(port), &refusal);
        return relay::say_and_close(client, &words::http(&refused, &request.method)).await;
    };
    let ended = tokio::select! {
        biased;
        // Its first look is the decision.
        refusal = gate.revoked(&place, port) => {
            (End::Refused(refusal), Spoken::Http(request.method.clone()))
        }
        ended = async {
            match request.form {
                Form::Authority => tunnel(gate, &client, &place, port, pending).await,
                _ => one_request(gate, &client, &place, port, &request, pending).await,
            }
        } => ended,
    };
    serve::finish(gate, client, &place, port, ended).await;
}

/// CONNECT.
async fn tunnel(
    gate: &Arc<Gate>,
    client: &TcpStream,
    place: &Place,
    port: u16,
    pending: Pending,
) -> (End, Spoken) {
    let spoken = Spoken::Http("CONNECT".to_owned());
    let (outside, terms) = match reach(gate, place, port, Speaks::Anything).await {
        Ok(reached) => reached,
        Err(refusal) => return (End::Refused(refusal), spoken),
    };
    let granted = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let count = AtomicU64::new(0);
    if relay::write_all(client, granted, &count).await.is_err() {
        return (End::Broken, Spoken::Unknown);
    }
    serve::tunneled(gate, client, outside, place, port, &terms, pending.0).await
}

async fn reach(
    gate: &Gate,
    place: &Place,
    port: u16,
    speaks: Speaks,
) -> Result<(Outside, super::rules::Terms), Refusal> {
    let terms = gate.decide(place, port)?;
    let outside = connect::connect(gate, place, port, &terms, speaks).await?;
    Ok((outside, terms))
}

/// A request with a whole URL. One to a connection: the next one may be for somebody else.
async fn one_request(
    gate: &Arc<Gate>,
    client: &TcpStream,
    place: &Place,
    port: u16,
    request: &Request,
    mut pending: Pending,
) -> (End, Spoken) {
    let spoken = Spoken::Http(request.method.clone());
    if port == 443 {
        return (End::Refused(Refusal::of(Why::NotTls)), spoken);
    }
    if let Err(refusal) = web::judge(request, place, port) {
        return (End::Refused(refusal), spoken);
    }
    let outside = match reach(gate, place, port, Speaks::Http).await {
        Ok((outside, _)) => outside,
        Err(refusal) => return (End::Refused(refusal), spoken),
    };
    let track = Track::open(gate, place, port, outside.address);
    let head = web::written(request, &outside, Last::Yes);
    let up = async {
        web::pass(
            client,
            &outside.stream,
            request,
            &head,
            &mut pending,
            &track,
        )
        .await?;
        // The server may answer before the end of the body; a client that goes ends it all.
        let mut rest = Vec::new();
        while read_some(client, &mut rest)
            .await
            .map_err(|_| End::Broken)?
            > 0
        {
            rest.clear();
        }
        // End of file of a client that still reads.
        std::future::pending::<Result<(), End>>().await
    };
    let down = async {
        relay::copy(&outside.stream, client, &track.received)
            .await
            .map_err(|_| End::Broken)
    };
    let end = tokio::select! {
        biased;
        done = down => done,
        done = up => done,
    };
    match end {
        Ok(()) => {
            relay::shut(client);
            (End::Done, spoken)
        }
        Err(end) => (end, Spoken::Unknown),
    }
}

async fn socks(gate: &Arc<Gate>, client: TcpStream, mut bytes: Vec<u8>) {
    let talk = async {
        let method = whole(&client, &mut bytes, socks::greeting).await?;
        say(&client, &method.reply()).await?;
        match method {
            Method::None => {}
            Method::Unacceptable => return None,
            Method::Password => {
                whole(&client, &mut bytes, socks::password).await?;
                say(&client, &[1, 0]).await?;
            }
        }
        whole(&client, &mut bytes, socks::request).await
    };
    let Ok(Some(ask)) = timeout(PATIENCE, talk).await else {
        return;
    };
    let (host, port) = match ask {
        Ask::Connect(host, port) => (host, port),
        Ask::Odd(name, port) => {
            let refusal = Refusal::of(Why::OddHost);
            gate.refused_text(Text::lossy(&name), Some(port), &refusal);
            return relay::say_and_close(client, &Reply::NotAllowed.bytes()).await;
        }
        Ask::Unsupported => {
            return relay::say_and_close(client, &Reply::Unsupported.bytes()).await;
        }
    };
    let Some(place) = place(gate, &host) else {
        gate.refused_text(text(&host), Some(port), &Refusal::of(Why::NotGranted));
        return relay::say_and_close(client, &Reply::NotAllowed.bytes()).await;
    };
    match reach(gate, &place, port, Speaks::Anything).await {
        Err(refusal) => {
            let refused = gate.refused(&place, Some(port), &refusal);
            let reply = if refused.why.is_policy() {
                Reply::NotAllowed
            } else {
                Reply::Unreachable
            };
            relay::say_and_close(client, &reply.bytes()).await;
        }
        Ok((outside, terms)) => {
            if say(&client, &Reply::Granted.bytes()).await.is_none() {
                return;
            }
            let ended = tokio::select! {
                biased;
                refusal = gate.revoked(&place, port) => (End::Refused(refusal), Spoken::Unknown),
                ended = serve::tunneled(gate, &client, outside, &place, port, &terms, bytes) => ended,
            };
            serve::finish(gate, client, &place, port, ended).await;
        }
    }
}

/// Reads until a part of the talk is whole. `None`: it never will be.
async fn whole<T>(
    client: &TcpStream,
    bytes: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Step<T>,
) -> Option<T> {
    loop {
        match parse(bytes) {
            Step::Whole(part, len) => {
                bytes.drain(..len);
                return Some(part);
            }
            Step::Bad => return None,
            Step::More => {}
        }
        if read_some(client, bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn say(client: &TcpStream, bytes: &[u8]) -> Option<()> {
    relay::write_all(client, bytes, &AtomicU64::new(0))
        .await
        .ok()
}
