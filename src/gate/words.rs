//! Refusals in the words of the protocol. Pure.

#![forbid(unsafe_code)]

use super::message::{Refused, Why};
use serde::Serialize;

/// The body of an HTTP refusal.
#[derive(Serialize)]
struct Body<'a> {
    error: &'static str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    why: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    hint: &'static str,
}

/// An HTTP response: 403 for what the rules refuse, 502 for what cannot be reached. `method` is that of the request:
/// an answer to HEAD has no body.
#[must_use]
pub fn http(refused: &Refused, method: &str) -> Vec<u8> {
    let (status, error) = if refused.why.is_policy() {
        ("403 Forbidden", "refused by agentbox")
    } else {
        ("502 Bad Gateway", "agentbox could not connect")
    };
    let body = Body {
        error,
        to: refused.to.as_str(),
        port: refused.port,
        why: refused.why.to_string(),
        rule: refused.rule.as_str(),
        remedy: refused.remedy(),
        hint: "this box reaches only what its human granted; the human can allow more, nothing in the box can",
    };
    let mut body = serde_json::to_string(&body).unwrap_or_default();
    body.push('\n');
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Agentbox: {}\r\nCache-Control: no-store\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        refused.why,
        body.len()
    );
    if method != "HEAD" {
        out.push_str(&body);
    }
    out.into_bytes()
}

/// The answer to `agentbox why`: a rule grants it.
#[must_use]
pub fn granted(rule: &str) -> Vec<u8> {
    let body = serde_json::json!({"rule": rule}).to_string() + "\n";
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A fatal TLS alert: unrecognized_name for a wrong or missing server name, access_denied for the other rules,
/// internal_error for what cannot be reached.
#[must_use]
pub fn tls(why: &Why) -> [u8; 7] {
    let alert = match why {
        Why::Sni { .. } | Why::NoSni => 112,
        why if why.is_policy() => 49,
        _ => 80,
    };
    [0x15, 3, 3, 0, 2, 2, alert]
}

/// An SSH server's version and SSH_MSG_DISCONNECT (RFC 4253 11.1), which may come before any key exchange.
#[must_use]
pub fn ssh(refused: &Refused) -> Vec<u8> {
    // SSH_DISCONNECT_HOST_NOT_ALLOWED_TO_CONNECT, or SSH_DISCONNECT_CONNECTION_LOST.
    let reason: u32 = if refused.why.is_policy() { 1 } else { 10 };
    let text = format!("agentbox {refused}");
    let mut payload = vec![1];
    payload.extend_from_slice(&reason.to_be_bytes());
    for string in [text.as_str(), ""] {
        payload.extend_from_slice(&u32::try_from(string.len()).unwrap_or(0).to_be_bytes());
        payload.extend_from_slice(string.as_bytes());
    }
    // Length, padding length, payload and padding are a multiple of 8; at least 4 bytes of padding.
    let mut padding = 8 - (payload.len() + 5) % 8;
    if padding < 4 {
        padding += 8;
    }
    let length = u32::try_from(payload.len() + padding + 1).unwrap_or(0);
    let mut out = b"SSH-2.0-agentbox\r\n".to_vec();
    out.extend_from_slice(&length.to_be_bytes());
    out.push(u8::try_from(padding).unwrap_or(8));
    out.extend_from_slice(&payload);
    out.resize(out.len() + padding, 0);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::address::Special;
    use super::super::message::Text;
    use super::*;

    fn refused(why: Why) -> Refused {
        Refused {
            to: Text::of("example.com"),
            port: Some(22),
            why,
            rule: Text::default(),
        }
    }

    #[test]
    fn http_is_whole_and_says_what_to_do() {
        let bytes = http(&refused(Why::NotGranted), "GET");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["remedy"], "--allow example.com:22");
        assert_eq!(json["why"], "no rule grants it");
        let head_only = http(&refused(Why::NotGranted), "HEAD");
        assert!(head_only.ends_with(b"\r\n\r\n"));
        let what = Text::of("Connection refused");
        let down = http(&refused(Why::Unreachable { what }), "GET");
        assert!(down.starts_with(b"HTTP/1.1 502 "));
    }

    /// They were keys of a profile where a flag does, and `--allow 2001:db8::1:22` is another address.
    #[test]
    fn what_is_offered_is_a_flag_and_grants_what_was_refused() {
        let (address, kind) = (std::net::Ipv4Addr::LOCALHOST.into(), Special::Loopback);
        for (to, port, why, remedy) in [
            ("a.test", 443, Why::NotGranted, "--allow a.test"),
            ("2001:db8::1", 443, Why::NotGranted, "--allow 2001:db8::1"),
            (
                "2001:db8::1",
                22,
                Why::NotGranted,
                "--allow '[2001:db8::1]:22'",
            ),
            ("a.test", 8443, Why::NoSni, "--allow a.test:8443+no-sni"),
            ("a.test", 80, Why::Upgrade, "--allow a.test:80+plain"),
            (
                "2001:db8::1",
                443,
                Why::NotTls,
                "--allow '[2001:db8::1]:443+plain'",
            ),
            (
                "a.test",
                443,
                Why::Private { address, kind },
                "--allow a.test+private",
            ),
        ] {
            let mut what = refused(why);
            (what.to, what.port) = (Text::of(to), Some(port));
            assert_eq!(what.remedy().as_deref(), Some(remedy));
            let rule = remedy.trim_start_matches("--allow ").trim_matches('\'');
            let rule = crate::plan::net::Rule::allow(rule).unwrap();
            let usual = rule.ports.is_empty() && matches!(port, 80 | 443);
            assert!(usual || rule.ports == [port], "{remedy}");
            assert!(rule.to.to_string().starts_with(to), "{remedy}");
        }
        let mut other = refused(Why::Sni {
            found: Text::of("b.test"),
        });
        other.port = Some(8443);
        let remedy = other.remedy().unwrap();
        assert!(remedy.ends_with("(--allow b.test:8443)"), "{remedy}");
    }

    /// Chromium asks for `_8080._https.HOST` beside a granted HOST: nobody should be told to grant that.
    #[test]
    fn a_service_record_is_not_offered() {
        let mut name = refused(Why::NotGranted);
        name.port = None;
        assert_eq!(name.remedy().as_deref(), Some("--allow example.com"));
        name.to = Text::of("_8080._https.example.com");
        assert_eq!(name.remedy(), None);
        assert_eq!(
            name.to_string(),
            "refused _8080._https.example.com: no rule grants it"
        );
    }

    /// What is no request has no host: a remedy made of it was a rule that the box had written.
    #[test]
    fn no_rule_of_the_box_is_offered() {
        for (to, why) in [
            ("*", Why::NotGranted),
            ("evil.test\", private = true }, { host = \"*", Why::NotTls),
            ("/ --allow-everything", Why::NoSni),
        ] {
            let mut forged = refused(why);
            forged.to = Text::of(to);
            assert_eq!(forged.remedy(), None, "{to}");
        }
        let found = Text::of("*) or --allow-all (");
        assert_eq!(refused(Why::Host { found }).remedy(), None);
        let found = Text::of("other.test");
        assert_eq!(
            refused(Why::Host { found }).remedy().as_deref(),
            Some("connect to other.test by its own name (--allow other.test:22)")
        );
    }

    #[test]
    fn no_word_of_the_box_can_break_a_header() {
        let found = Text::of("a\r\nSet-Cookie: b\u{e9}");
        let text = String::from_utf8(http(&refused(Why::Host { found }), "GET")).unwrap();
        assert!(!text.contains("\r\nSet-Cookie"), "{text}");
    }

    #[test]
    fn an_ssh_packet_is_well_formed_for_every_length() {
        for len in 0..40 {
            let mut refused = refused(Why::NotGranted);
            refused.rule = Text::of("x".repeat(len));
            let bytes = ssh(&refused);
            let packet = bytes.strip_prefix(b"SSH-2.0-agentbox\r\n").unwrap();
            let length = u32::from_be_bytes(packet[..4].try_into().unwrap());
            assert_eq!(packet.len(), 4 + length as usize);
            assert_eq!(packet.len() % 8, 0);
            assert!((4..12).contains(&packet[4]));
            assert_eq!(packet[5], 1);
        }
    }
}
