//! What a live session says of its network now, which may not be what its plan said at the start: outside by its supervisor, in
//! the box by the gate.

#![forbid(unsafe_code)]

use super::{CliError, live};
use crate::plan::net::{FIRST_FREE_PORT, NetworkMode, PROXY_PORT, QUESTION};
use crate::plan::why::connect::{OwnServer, Wanted};
use crate::plan::why::rules::is_granted;
use crate::plan::why::{Answer, Verdict};
use crate::plan::{OsText, Plan};
use crate::supervise::control::client;
use serde::Deserialize;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long the gate may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The plan of a live session, with the rules that its network has now.
pub(super) fn plan(session: &str) -> Result<Plan, CliError> {
    let sessions = live::sessions()?;
    let id = client::find(&sessions, session)?;
    let mut plan = sessions.read(&id)?.plan;
    plan.network = client::rules(&sessions, &id)?;
    Ok(plan)
}

/// In the box: corrects what the plan of the start says of a host outside, where a human has changed it since.
pub(super) fn correct(answer: &mut Answer, plan: &Plan, wanted: &Wanted) {
    let is_loopback = match wanted.host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => crate::plan::net::is_local_name(&wanted.host),
    };
    // A server of the box answers by itself, whatever the rules are; no rule says so.
    let is_own = answer.allowed && answer.origin.is_none()
        || wanted.server == OwnServer::Everywhere && wanted.port >= FIRST_FREE_PORT;
    if plan.network.mode != NetworkMode::Filtered || is_loopback || is_own {
        return;
    }
    let port = plan.standing.bare.as_ref().and_then(|bare| bare.port);
    let Some((allowed, said)) = gate(port.unwrap_or(PROXY_PORT), wanted) else {
        let note = "the gate did not answer: so it was at the start of this box; `agentbox allow` and `deny` outside may have changed it";
        return answer.notes.push(note.to_owned());
    };
    // The gate was asked for its rules alone. A host that they grant may still lead to an address that is refused: that is
    // what the plan's answer says then, and nothing has changed.
    if allowed == answer.allowed || allowed == is_granted(&plan.network, wanted) {
        return;
    }
    answer.allowed = allowed;
    answer.verdict = match allowed {
        true => Verdict::Allowed,
        false => Verdict::Refused,
    };
    answer.because = format!("changed while the box runs: {said}");
    answer.origin = None;
    answer.remedy = None;
    answer.notes.clear();
}

/// What a reply of the gate says.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    rule: String,
    #[serde(default)]
    why: String,
}

fn gate(port: u16, wanted: &Wanted) -> Option<(bool, OsText)> {
    let host = match wanted.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => wanted.host.clone(),
    };
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "GET {QUESTION} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n",
        wanted.port
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.take(1 << 16).read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let allowed = match head.split(' ').nth(1)? {
        "200" => true,
        "403" => false,
        _ => return None,
    };
    let body: Body = serde_json::from_str(body).ok()?;
    let said = match body.rule.is_empty() {
        true => body.why,
        false => body.rule,
    };
    Some((allowed, OsText::from(said)))
}
