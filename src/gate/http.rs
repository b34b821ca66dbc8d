//! Heads and bodies of HTTP/1 requests (RFC 9112). Pure. A request that two programs could read in two ways is refused:
//! what is let through means the same to the gate and to the server behind it, so no second request hides in it.

#![forbid(unsafe_code)]

use super::address::{self, Host};

/// The most bytes of a head.
pub const MAX_HEAD: usize = 32 * 1024;

/// The most header fields.
const MAX_FIELDS: usize = 128;

/// A request that has one meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// What follows the authority: a path with its query, or `*`.
    pub target: String,
    /// For whom it is.
    pub host: Host,
    /// The port in the Host field or the URL, if there is one.
    pub port: Option<u16>,
    /// Was the target a whole URL (as proxies get it)?
    pub form: Form,
    /// How the body ends.
    pub body: Body,
    /// Something else than HTTP/1 is wanted after it.
    pub upgrade: Upgrade,
    minor: u8,
    fields: Vec<(String, Vec<u8>)>,
}

/// How the target is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/path`.
    Origin,
    /// `http://host/path`.
    Absolute,
    /// `host:port`, of CONNECT.
    Authority,
}

/// How the body of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes; 0: there is none.
    Length(u64),
    /// After the chunk of length 0.
    Chunked,
}

/// Is another protocol asked for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// No, or only the offer of HTTP/2 that may be ignored, and is.
    No,
    /// Yes (a WebSocket).
    Asked,
}

/// The bytes so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// The head is not whole yet.
    More,
    /// A request and how many bytes its head had.
    Whole(Box<Request>, usize),
    /// Not a request, or one with more than one meaning: what is wrong with it.
    Bad(&'static str),
}

/// Reads a head from the start of `bytes`.
#[must_use]
pub fn head(bytes: &[u8]) -> Head {
    // RFC 9112 2.2: a server ignores an empty line before a request.
    let skip = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let rest = bytes.get(skip..).unwrap_or_default();
    let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else {
        // What cannot become a request is refused before the rest of it comes.
        let method = rest.iter().take_while(|b| is_token(**b)).count();
        if method == 0 && !rest.is_empty() && rest != b"\r" || method > 32 {
            return Head::Bad("no method");
        }
        if rest.get(method).is_some_and(|b| *b != b' ') && rest != b"\r" {
            return Head::Bad("no method");
        }
        // Of HTTP/0.9 nothing but the first line would ever come.
        if let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line = rest.get(..end).unwrap_or_default();
            if let Err(what) = request_line(line.strip_suffix(b"\r").unwrap_or(line)) {
                return Head::Bad(what);
            }
        }
        if bytes.len() > MAX_HEAD {
            return Head::Bad("a head of more than 32 KiB");
        }
        return Head::More;
    };
    if end > MAX_HEAD {
        return Head::Bad("a head of more than 32 KiB");
    }
    match request(rest.get(..end).unwrap_or_default()) {
        Ok(request) => Head::Whole(Box::new(request), skip + end + 4),
        Err(what) => Head::Bad(what),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Everything but the empty line.
fn request(head: &[u8]) -> Result<Request, &'static str> {
    let mut lines = Vec::new();
    let mut from = 0;
    while let Some(len) = head.get(from..).and_then(|rest| {
        rest.windows(2)
            .position(|w| w == b"\r\n")
            .or_else(|| (!rest.is_empty()).then_some(rest.len()))
    }) {
        let line = head.get(from..from + len).unwrap_or_default();
        if line.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 127) {
            return Err("a control character in the head");
        }
        lines.push(line);
        from += len + 2;
    }
    let (first, rest) = lines.split_first().ok_or("an empty head")?;
    let (method, target, minor) = request_line(first)?;
    if rest.len() > MAX_FIELDS {
        return Err("more than 128 header fields");
    }
    let fields = rest
        .iter()
        .map(|line| field(line))
        .collect::<Result<Vec<_>, _>>()?;
    let body = framing(&fields, minor)?;
    let upgrade = upgrade(&fields)?;
    let (form, authority, target) = split_target(&method, &target)?;
    let field = host_field(&fields)?;
    let url = authority
        .as_deref()
        .map(|a| authority_of(a.as_bytes()))
        .transpose()?;
    let (host, port) = match (form, field, url) {
        // A CONNECT of HTTP/1.0 has no Host, and some clients leave the port out of it: the target decides.
        (Form::Authority, _, Some(url)) => url,
        (_, None, _) => return Err("no Host field"),
        (_, Some(field), None) => field,
        (_, Some(field), Some(url)) => {
            if field.0 != url.0 || field.1.unwrap_or(80) != url.1.unwrap_or(80) {
                return Err("the URL and the Host field differ");
            }
            url
        }
    };
    Ok(Request {
        method,
        target,
        host,
        port,
        form,
        body,
        upgrade,
        minor,
        fields,
    })
}

fn host_field(fields: &[(String, Vec<u8>)]) -> Result<Option<(Host, Option<u16>)>, &'static str> {
    let mut hosts = values(fields, "host");
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err("more than one Host field");
    }
    field.map(authority_of).transpose()
}

fn request_line(line: &[u8]) -> Result<(String, String, u8), &'static str> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a request line that is not three words");
    };
    if method.is_empty() || method.len() > 32 || !method.iter().all(|b| is_token(*b)) {
        return Err("no method");
    }
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        b"HTTP/2.0" => return Err("HTTP/2 without TLS"),
        _ => return Err("not HTTP/1"),
    };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned);
    let (Ok(method), Ok(target)) = (text(method), text(target)) else {
        return Err("a target that is not text");
    };
    if target.is_empty() || target.contains('\t') {
        return Err("no target");
    }
    Ok((method, target, minor))
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
    let colon = line
        .iter()
        .position(|b| *b == b':')
        .ok_or("a header field without a colon")?;
    let (name, value) = line.split_at(colon);
    // Also folded lines (which start with a blank) and blanks before the colon.
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err("a header field whose name is no name");
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, value.to_vec()))
}

fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// The words of a list in all fields of this name, in lower case.
fn words(fields: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    values(fields, name)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(|word| String::from_utf8_lossy(word.trim_ascii()).to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

fn framing(fields: &[(String, Vec<u8>)], minor: u8) -> Result<Body, &'static str> {
    let mut lengths = values(fields, "content-length");
    let mut codings = values(fields, "transfer-encoding");
    let (length, coding) = (lengths.next(), codings.next());
    if lengths.next().is_some() || codings.next().is_some() {
        return Err("more than one length of the body");
    }
    // Names that lax parsers take for one of these.
    let lookalike = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "host"
        )
    };
    if fields.iter().any(|(n, _)| n.contains('_') && lookalike(n)) {
        return Err("a header field that looks like one of the framing");
    }
    match (length, coding) {
        (None, None) => Ok(Body::Length(0)),
        (Some(_), Some(_)) => Err("two lengths of the body"),
        (Some(length), None) => {
            if length.is_empty() || length.len() > 18 || !length.iter().all(u8::is_ascii_digit) {
                return Err("a length that is not a number");
            }
            let number = std::str::from_utf8(length)
                .ok()
                .and_then(|t| t.parse().ok());
            number
                .map(Body::Length)
                .ok_or("a length that is not a number")
        }
        (None, Some(coding)) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Body::Chunked)
        }
        (None, Some(_)) => Err("a transfer coding other than chunked"),
    }
}

fn upgrade(fields: &[(String, Vec<u8>)]) -> Result<Upgrade, &'static str> {
    // A hop that takes these away would leave another request than the one that was judged.
    let hop = words(fields, "connection");
    let vital = ["host", "content-length", "transfer-encoding"];
    if hop.iter().any(|word| vital.contains(&word.as_str())) {
        return Err("a Connection field that removes the framing");
    }
    let wanted = words(fields, "upgrade");
    let asked = wanted.iter().any(|word| word != "h2c");
    Ok(if asked { Upgrade::Asked } else { Upgrade::No })
}

/// Form, authority and the rest of a target.
fn split_target(
    method: &str,
    target: &str,
) -> Result<(Form, Option<String>, String), &'static str> {
    if method == "CONNECT" {
        return Ok((Form::Authority, Some(target.to_owned()), String::new()));
    }
    if target.starts_with('/') || target == "*" {
        return Ok((Form::Origin, None, target.to_owned()));
    }
    let scheme = target
        .get(..7)
        .filter(|s| s.eq_ignore_ascii_case("http://"));
    let rest = scheme
        .and_then(|s| target.get(s.len()..))
        .ok_or("a target that is neither a path nor an http URL")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok((Form::Absolute, Some(authority.to_owned()), path))
}

/// `host` or `host:port`.
fn authority_of(bytes: &[u8]) -> Result<(Host, Option<u16>), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a host that is no host")?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None => None,
        Some(port) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| "a port that is none")?)
        }
        Some(_) => return Err("a port that is none"),
    };
    // IPv6 without brackets would have its last group taken for a port.
    if host.contains(':') && !host.starts_with('[') {
        return Err("a host that is no host");
    }
    let host = address::host(host).map_err(|_| "a host that is no host")?;
    Ok((host, port))
}

/// To whom a request is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass<'a> {
    /// To the server itself.
    Server,
    /// To the host's proxy, for this authority, with this `Proxy-Authorization`.
    Proxy {
        /// `host` or `host:port`.
        authority: &'a str,
        /// The field's value.
        authorization: Option<&'a str>,
    },
}

/// Is it the last request of its connection?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Yes: the answer must end the connection.
    Yes,
    /// The client decides.
    No,
}

impl Request {
    /// The head as it is passed on.
    #[must_use]
    pub fn write(&self, pass: Pass<'_>, last: Last) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let url = match pass {
            // `OPTIONS *` of a proxy is a URL without a path (RFC 9112 3.2.4).
            Pass::Proxy { authority, .. } if self.target == "*" => format!("http://{authority}"),
            Pass::Proxy { authority, .. } => format!("http://{authority}{}", self.target),
            Pass::Server => self.target.clone(),
        };
        out.extend_from_slice(
            format!("{} {url} HTTP/1.{}\r\n", self.method, self.minor).as_bytes(),
        );
        for (name, value) in &self.fields {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // The offer of HTTP/2 is not passed on, nor what is meant for a proxy.
            let ours = is("upgrade") && self.upgrade == Upgrade::No
                || is("http2-settings")
                || is("proxy-connection")
                || is("proxy-authorization")
                || is("connection");
            if !ours {
                put(&mut out, name, value);
            }
        }
        let mut hop = words(&self.fields, "connection");
        if self.upgrade == Upgrade::No {
            hop.retain(|word| word != "upgrade" && word != "http2-settings");
        }
        if last == Last::Yes {
            hop = vec!["close".to_owned()];
        }
        if !hop.is_empty() {
            put(&mut out, "Connection", hop.join(", ").as_bytes());
        }
        // The answer to a TRACE is the request as it came, by which the box would read the password (RFC 9110 9.3.8).
        // In any case: Squid takes `trace` for one.
        if let Pass::Proxy {
            authorization: Some(value),
            ..
        } = pass
            && !self.method.eq_ignore_ascii_case("TRACE")
        {
            put(&mut out, "Proxy-Authorization", value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
