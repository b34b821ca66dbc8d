//! `https://`: a document. Without `field` its existence is the switch (200 is on, 404 is clear); with it a member of the JSON
//! decides. An answer that is neither is no answer.
//!
//! A server that knows `Prefer: wait=N` (RFC 7240) holds the answer back until the document differs from `If-None-Match`, and
//! says so by `Preference-Applied`: then the switch acts at once, and costs no more than asking in each interval.

#![forbid(unsafe_code)]

use super::http::{Client, Request, Response};
use super::message::{By, Notice};
use super::peer::Peer;
use super::source::{Answer, Next, Patience, Said, Source};
use crate::gate::message::Text;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A document.
pub(super) struct Flag {
    peer: Peer,
    client: Client,
    path: String,
    field: Option<String>,
    needs_token: bool,
    token: Option<String>,
    /// The tag of the last answer, and what it said.
    last: Option<(String, Said)>,
    /// Whether the other side holds answers back is known.
    tried: bool,
}

impl Flag {
    pub(super) fn new(peer: Peer, path: &str, field: Option<&str>, needs_token: bool) -> Flag {
        Flag {
            peer,
            client: Client::new(),
            path: path.to_owned(),
            field: field.map(str::to_owned),
            needs_token,
            token: None,
            last: None,
            tried: false,
        }
    }

    /// Asks, and once more with a new token where the old one is refused.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, String)],
        body: Option<&str>,
        until: Instant,
    ) -> Result<Response, String> {
        loop {
            let fresh = self.needs_token && self.token.is_none();
            if fresh {
                self.token = Some(self.peer.reader.token()?);
            }
            let mut headers: Vec<(&str, String)> = vec![
                ("Accept", "application/json".to_owned()),
                ("Cache-Control", "no-cache".to_owned()),
            ];
            headers.extend(
                self.token
                    .iter()
                    .map(|token| ("Authorization", format!("Bearer {token}"))),
            );
            headers.extend(more.iter().cloned());
            let request = Request {
                method,
                path,
                headers,
                body,
            };
            let response = self.client.ask(&self.peer, &request, until)?;
            if matches!(response.status, 401 | 403) && self.token.take().is_some() && !fresh {
                continue;
            }
            return Ok(response);
        }
    }
}

impl Source for Flag {
    fn ask(&mut self, patience: Patience, timeout: Duration) -> Result<Answer, String> {
        // After an answer that was wanted at once it is not known (any more), and found out by the next question.
        self.tried = patience != Patience::None;
        let mut headers = Vec::new();
        let mut until = Instant::now() + timeout;
        if let Some((tag, _)) = &self.last {
            headers.push(("If-None-Match", tag.clone()));
            // In whole seconds, as the header is: a shorter interval is not worth waiting.
            if let Patience::For(time) = patience
                && time.as_secs() > 0
            {
                headers.push(("Prefer", format!("wait={}", time.as_secs())));
                until += Duration::from_secs(time.as_secs());
            }
        }
        let response = self.exchange("GET", &self.path.clone(), &headers, None, until)?;
        let said = match (response.status, &self.last) {
            (304, Some((_, said))) => said.clone(),
            _ => read(&response, self.field.as_deref())?,
        };
        match response.header("etag") {
            Some(tag) => self.last = Some((tag.to_owned(), said.clone())),
            // A 304 need not repeat it.
            None if response.status == 304 => {}
            None => self.last = None,
        }
        let held = response.header("preference-applied");
        let held =
            held.is_some_and(|value| value.split(',').any(|one| one.trim().starts_with("wait")));
        Ok(if held && self.last.is_some() {
            Answer {
                said,
                next: Next::Now,
                by: By::Push,
            }
        } else if !self.tried && self.last.is_some() {
            Answer {
                said,
                next: Next::Now,
                by: By::Asking,
            }
        } else {
            Answer::asked(said)
        })
    }

    fn set(&mut self, to: Option<&str>, until: Instant) -> Result<(), String> {
        let json = ("Content-Type", "application/json".to_owned());
        let path = self.path.clone();
        let response = match (to, self.field.clone()) {
            (Some(text), None) => self.exchange("PUT", &path, &[json], Some(text), until)?,
            (None, None) => self.exchange("DELETE", &path, &[], None, until)?,
            (to, Some(field)) => {
                let body = with_field(to, &field);
                self.exchange("PUT", &path, &[json], Some(&body), until)?
            }
        };
        written(&response, to.is_none())
    }

    fn publish(&mut self, to: &str, body: &str, until: Instant) -> Result<(), String> {
        let json = ("Content-Type", "application/json".to_owned());
        let response = self.exchange("PUT", to, &[json], Some(body), until)?;
        written(&response, false)
    }

    fn forget(&mut self, until: Instant) -> Result<(), String> {
        let path = self.path.clone();
        let response = self.exchange("DELETE", &path, &[], None, until)?;
        written(&response, true)
    }
}

fn written(response: &Response, absence: bool) -> Result<(), String> {
    match response.status {
        200..=299 => Ok(()),
        404 if absence => Ok(()),
        status => Err(format!("the server answered {status}{}", hint(status))),
    }
}

/// What is written where a member says it: `true` or `false` at that place, with who and why beside it.
fn with_field(to: Option<&str>, field: &str) -> String {
    let mut whole = to.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut whole = whole
        .take()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let Some(members) = whole.as_object_mut() {
        members.remove("stop");
    }
    let mut at = &mut whole;
    for part in field.split('.') {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = &mut at[part];
    }
    *at = Value::Bool(to.is_some());
    whole.to_string()
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => ": the token is refused",
        301..=308 => ": redirects are not followed",
        404 => ": there is no such document",
        405 | 501 => ": it cannot be written there",
        429 => ": it is asked too often",
        _ => "",
    }
}

fn read(response: &Response, field: Option<&str>) -> Result<Said, String> {
    let refused = |status: u16| Err(format!("the server answered {status}{}", hint(status)));
    let Some(field) = field else {
        return match response.status {
            200 => Ok(Said::Stop(Notice::read(&response.body))),
            204 => Ok(Said::Stop(Notice::default())),
            404 | 410 => Ok(Said::Clear),
            status => refused(status),
        };
    };
    if response.status != 200 {
        return refused(response.status);
    }
    let whole: Value =
        serde_json::from_slice(&response.body).map_err(|_| "the answer is not JSON".to_owned())?;
    let mut at = &whole;
    for part in field.split('.') {
        at = at
            .get(part)
            .ok_or_else(|| format!("the answer has no member `{field}`"))?;
    }
    let on = match at {
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "on" | "stop" | "true" | "yes" | "1" => true,
            "off" | "clear" | "false" | "no" | "0" | "" => false,
            _ => {
                return Err(format!(
                    "`{field}` is neither on nor off: {}",
                    Text::of(text)
                ));
            }
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(format!("`{field}` is neither on nor off"));
        }
    };
    Ok(if on {
        Said::Stop(Notice::read(&response.body))
    } else {
        Said::Clear
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn existence_or_a_member_decides_and_the_rest_is_no_answer() {
        let stop = |reason: Option<&str>| {
            Ok(Said::Stop(Notice {
                by: None,
                reason: reason.map(Text::of),
            }))
        };
        for (status, body, field, want) in [
            (200, "the bill", None, stop(Some("the bill"))),
            (204, "", None, stop(None)),
            (404, "", None, Ok(Said::Clear)),
            (
                200,
                "{\"a\":{\"b\":true},\"reason\":\"x\"}",
                Some("a.b"),
                stop(Some("x")),
            ),
            (200, "{\"a\":false}", Some("a"), Ok(Said::Clear)),
            (200, "{\"a\":0}", Some("a"), Ok(Said::Clear)),
            (200, "{\"a\":\"off\"}", Some("a"), Ok(Said::Clear)),
            (200, "{\"a\":\"STOP\"}", Some("a"), stop(None)),
            (200, "{\"a\":1}", Some("a"), stop(None)),
        ] {
            assert_eq!(read(&answer(status, body), field), want, "{status} {body}");
        }
        for (status, body, field) in [
            (500, "", None),
            (302, "", None),
            (403, "", None),
            (404, "", Some("a")),
            (200, "<html>", Some("a")),
            (200, "{\"b\":true}", Some("a")),
            (200, "{\"a\":null}", Some("a")),
            (200, "{\"a\":\"maybe\"}", Some("a")),
        ] {
            assert!(
                read(&answer(status, body), field).is_err(),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_member_is_written_where_it_is_read() {
        let text = Notice::written("why", "me", "now");
        for (to, want) in [(Some(text.as_str()), true), (None, false)] {
            let body = with_field(to, "kill.agents");
            let said = read(&answer(200, &body), Some("kill.agents")).unwrap();
            assert_eq!(matches!(said, Said::Stop(_)), want, "{body}");
        }
    }
}
