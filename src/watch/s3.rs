//! `s3://`: an object. It is on when the object exists; what it holds is told as the reason. A bucket that does not exist, and
//! a refusal, are no answer: without `s3:ListBucket` AWS says 403 for an object that is not there.
//!
//! Requests are signed here with [signature version 4](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html):
//! one GET, PUT or DELETE without a query is two hashes and five HMACs, and the SDK's crates for it are ten times this file.

#![forbid(unsafe_code)]

use super::http::{Client, Request, Response};
use super::message::Notice;
use super::peer::Peer;
use super::source::{Answer, Patience, Said, Source};
use crate::gate::message::Text;
use crate::plan::remote::{S3Style, Wire};
use crate::plan::text::hex;
use crate::record::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};

/// An object.
pub(super) struct Object {
    peer: Peer,
    client: Client,
    /// `/`, or `/bucket/`.
    prefix: String,
    /// With the key, encoded.
    path: String,
    region: String,
    credentials: Option<Credentials>,
}

/// As a credentials file or credential_process says it.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    id: String,
    secret: String,
    session: Option<String>,
}

impl Object {
    pub(super) fn new(peer: Peer, bucket: &str, key: &str, region: &str, style: S3Style) -> Object {
        let prefix = match style {
            S3Style::Host => "/".to_owned(),
            S3Style::Path => format!("/{bucket}/"),
        };
        Object {
            peer,
            client: Client::new(),
            path: format!("{prefix}{}", encode(key)),
            prefix,
            region: region.to_owned(),
            credentials: None,
        }
    }

    /// Asks, and once more with new credentials where the old ones are refused: they expire.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        until: Instant,
    ) -> Result<Response, String> {
        loop {
            let kept = self.credentials.take();
            let fresh = kept.is_none();
            let credentials = match kept {
                Some(kept) => kept,
                None => Credentials::read(&self.peer.reader.token()?)?,
            };
            let default = match self.peer.host.wire {
                Wire::Tls => 443,
                Wire::Plain => 80,
            };
            let date = stamp(Timestamp::now());
            let headers = sign(&Signed {
                method,
                host: &self.peer.host.authority(default),
                path,
                body: body.unwrap_or_default().as_bytes(),
                date: &date,
                region: &self.region,
                service: "s3",
                credentials: &credentials,
            });
            let request = Request {
                method,
                path,
                headers,
                body,
            };
            let response = self.client.ask(&self.peer, &request, until)?;
            if matches!(response.status, 400 | 401 | 403) && !fresh {
                continue;
            }
            if response.status < 400 || response.status == 404 {
                self.credentials = Some(credentials);
            }
            return Ok(response);
        }
    }
}

impl Source for Object {
    fn ask(&mut self, _: Patience, timeout: Duration) -> Result<Answer, String> {
        let response = self.exchange("GET", &self.path.clone(), None, Instant::now() + timeout)?;
        read(&response).map(Answer::asked)
    }

    fn set(&mut self, to: Option<&str>, until: Instant) -> Result<(), String> {
        let path = self.path.clone();
        let response = match to {
            Some(text) => self.exchange("PUT", &path, Some(text), until)?,
            None => self.exchange("DELETE", &path, None, until)?,
        };
        written(&response)
    }

    fn publish(&mut self, to: &str, body: &str, until: Instant) -> Result<(), String> {
        let path = format!("{}{}", self.prefix, encode(to));
        written(&self.exchange("PUT", &path, Some(body), until)?)
    }
}

fn written(response: &Response) -> Result<(), String> {
    match response.status {
        200..=299 => Ok(()),
        _ => Err(refused(response)),
    }
}

fn read(response: &Response) -> Result<Said, String> {
    match (response.status, code(&response.body).as_str()) {
        (200, _) => Ok(Said::Stop(Notice::read(&response.body))),
        (404, "NoSuchKey") => Ok(Said::Clear),
        _ => Err(refused(response)),
    }
}

fn refused(response: &Response) -> String {
    let code = code(&response.body);
    let hint = match code.as_str() {
        "AccessDenied" => ": it needs s3:GetObject on the object and s3:ListBucket on the bucket",
        "RequestTimeTooSkewed" => ": the clock of this machine is wrong",
        _ => "",
    };
    format!(
        "the server answered {} {}{hint}",
        response.status,
        Text::of(code)
    )
}

/// What an error's body says between `<Code>` and `</Code>`.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(String::new, |(code, _)| code.chars().take(60).collect())
}

impl Credentials {
    /// The JSON of credential_process, or the first profile of a credentials file.
    fn read(text: &str) -> Result<Credentials, String> {
        let bad = || {
            "these are no credentials: the JSON of credential_process or a credentials file"
                .to_owned()
        };
        let (id, secret, session) = match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json) => {
                let member = |name: &str| json.get(name)?.as_str().map(str::to_owned);
                (
                    member("AccessKeyId"),
                    member("SecretAccessKey"),
                    member("SessionToken"),
                )
            }
            Err(_) => {
                let value = |name: &str| {
                    text.lines().find_map(|line| {
                        let (key, value) = line.split_once('=')?;
                        (key.trim() == name).then(|| value.trim().to_owned())
                    })
                };
                (
                    value("aws_access_key_id"),
                    value("aws_secret_access_key"),
                    value("aws_session_token"),
                )
            }
        };
        Ok(Credentials {
            id: id.ok_or_else(bad)?,
            secret: secret.ok_or_else(bad)?,
            session,
        })
    }
}

/// `20260102T030405Z`.
fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let second = text.split('.').next().unwrap_or_default();
    second
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .chain(['Z'])
        .collect()
}

/// What a signature covers.
struct Signed<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
    body: &'a [u8],
    date: &'a str,
    region: &'a str,
    service: &'a str,
    credentials: &'a Credentials,
}

/// The headers that sign a request.
fn sign(of: &Signed<'_>) -> Vec<(&'static str, String)> {
    let hash = hex(&Sha256::digest(of.body));
    let mut headers = vec![
        ("host", of.host.to_owned()),
        ("x-amz-content-sha256", hash.clone()),
        ("x-amz-date", of.date.to_owned()),
    ];
    headers.extend(
        of.credentials
            .session
            .iter()
            .map(|token| ("x-amz-security-token", token.clone())),
    );
    let authorization = authorization(of, &headers, &hash);
    // Host is sent anyway.
    headers.remove(0);
    headers.push(("authorization", authorization));
    headers
}

fn authorization(of: &Signed<'_>, headers: &[(&str, String)], hash: &str) -> String {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let names = headers
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(";");
    let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{hash}", of.method, of.path);
    let day = of.date.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/{}/aws4_request", of.region, of.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        of.date,
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{}", of.credentials.secret).into_bytes();
    for part in [day, of.region, of.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, text.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        of.credentials.id
    )
}

fn mac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // A key of any length is one: it cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

/// Percent-encoded, as the signature wants it: letters, digits, `-._~` and `/` stay.
fn encode(key: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/');
    key.bytes()
        .map(|b| {
            if keep(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn credentials() -> Credentials {
        Credentials::read("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n").unwrap()
    }

    /// The example `get-vanilla` of AWS's own test suite for signature version 4.
    #[test]
    fn a_published_example_is_signed_as_published() {
        let credentials = credentials();
        let of = Signed {
            method: "GET",
            host: "example.amazonaws.com",
            path: "/",
            body: b"",
            date: "20150830T123600Z",
            region: "us-east-1",
            service: "service",
            credentials: &credentials,
        };
        let hash = hex(&Sha256::digest(b""));
        assert_eq!(
            hash,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let headers = [
            ("host", of.host.to_owned()),
            ("x-amz-date", of.date.to_owned()),
        ];
        assert_eq!(
            authorization(&of, &headers, &hash),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn credentials_of_both_kinds() {
        let json = "{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"SessionToken\":\"c\"}";
        let got = Credentials::read(json).unwrap();
        assert_eq!(
            (got.id.as_str(), got.secret.as_str(), got.session.as_deref()),
            ("a", "b", Some("c"))
        );
        assert_eq!(credentials().id, "AKIDEXAMPLE");
        assert!(Credentials::read("nothing").is_err());
    }

    #[test]
    fn only_a_missing_object_is_clear() {
        let answer = |status, body: &str| Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let error = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        assert_eq!(read(&answer(404, &error("NoSuchKey"))), Ok(Said::Clear));
        assert!(matches!(read(&answer(200, "x")), Ok(Said::Stop(_))));
        for (status, code) in [
            (404, "NoSuchBucket"),
            (403, "AccessDenied"),
            (404, ""),
            (500, "InternalError"),
            (301, "PermanentRedirect"),
        ] {
            assert!(
                read(&answer(status, &error(code))).is_err(),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn dates_and_keys_in_the_form_of_the_signature() {
        assert_eq!(
            stamp(Timestamp::from_millis(1_440_938_160_123)),
            "20150830T123600Z"
        );
        assert_eq!(encode("a b/ü~"), "a%20b/%C3%BC~");
    }
}
