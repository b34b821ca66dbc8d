//! Git's configuration without what lets somebody act in the user's name.

#![forbid(unsafe_code)]

use crate::plan::credential;
use crate::plan::gitconfig::{Config, Entry, parse, write};

/// A text that git would not read, or what is left of it: `None` if nothing had to go.
pub(super) fn clean(text: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let Config {
        entries: mut all,
        comments,
    } = parse(text).map_err(|_| ())?;
    let before = all.clone();
    all.retain(|variable| !is_secret(variable));
    for variable in &mut all {
        let parts = [&mut variable.subsection, &mut variable.value];
        for text in parts.into_iter().flatten() {
            *text = without_passwords(text);
        }
    }
    all.retain(|variable| {
        let parts = [&variable.subsection, &variable.value];
        !parts
            .into_iter()
            .flatten()
            .any(|text| credential::value(text))
    });
    if all == before && !comments.iter().any(|text| credential::value(text)) {
        return Ok(None);
    }
    Ok(Some(write(&all)))
}

/// By its name. `credential.helper` runs a program that hands out passwords; outside of the box it is the user's.
fn is_secret(variable: &Entry) -> bool {
    let key = variable.key.as_slice();
    let secret = matches!(
        key,
        b"extraheader"
            | b"token"
            | b"oauthtoken"
            | b"accesstoken"
            | b"password"
            | b"passwd"
            | b"pass"
            | b"smtppass"
            | b"secret"
            | b"apikey"
    );
    secret || key.ends_with(b"token") || variable.section == b"credential" && key == b"helper"
}

/// A name in a URL that is this long is no name.
const NAME: usize = 20;

/// Every `scheme://user:password@host` without the password; over HTTP, where tokens are used as names, without both.
fn without_passwords(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|w| w == b"://") {
        let (scheme, after) = rest.split_at(at + 3);
        out.extend(scheme);
        let end = after
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#' | b' ' | b'\n' | b'\t'))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.iter().rposition(|b| *b == b'@') {
            Some(split) => {
                let (info, host) = authority.split_at(split);
                let http = scheme.ends_with(b"http://") || scheme.ends_with(b"https://");
                let colon = info.iter().position(|b| *b == b':');
                let user = info.get(..colon.unwrap_or(info.len())).unwrap_or_default();
                let odd =
                    http && (colon.is_some() || user.len() >= NAME || credential::value(info));
                if odd {
                    out.extend(host.get(1..).unwrap_or_default());
                } else {
                    out.extend(user);
                    out.extend(host);
                }
            }
            None => out.extend(authority),
        }
        let (url, after) = tail.split_at(tail.iter().position(is_blank).unwrap_or(tail.len()));
        let kept = without_secret_query(url);
        rest = tail;
        if kept.len() < url.len() {
            // There may be another URL in this one.
            out.extend(without_passwords(kept));
            rest = after;
        }
    }
    out.extend(rest);
    out
}

fn is_blank(byte: &u8) -> bool {
    byte.is_ascii_whitespace()
}

/// Path, query and fragment of a URL without the last two, if they say a token by a name: `?access_token=...`.
fn without_secret_query(url: &[u8]) -> &[u8] {
    const NAMES: [&[u8]; 12] = [
        b"token",
        b"secret",
        b"password",
        b"passwd",
        b"pass",
        b"pwd",
        b"key",
        b"auth",
        b"authorization",
        b"credential",
        b"sig",
        b"signature",
    ];
    let Some(at) = url.iter().position(|b| matches!(b, b'?' | b'#')) else {
        return url;
    };
    let (path, said) = url.split_at(at);
    let is_secret = |part: &[u8]| {
        let Some(end) = part.iter().position(|b| *b == b'=') else {
            return false;
        };
        let name = part.get(..end).unwrap_or_default().to_ascii_lowercase();
        end + 1 < part.len() && NAMES.iter().any(|known| name.ends_with(known))
    };
    let mut parts = said.split(|b| matches!(b, b'?' | b'#' | b'&' | b';'));
    if parts.any(is_secret) { path } else { url }
}

#[cfg(test)]
#[path = "clean_tests.rs"]
mod tests;
