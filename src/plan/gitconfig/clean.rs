//! Git's configuration without what lets somebody act in the user's name.

#![forbid(unsafe_code)]

use super::{Config, Entry, parse, write};
use crate::plan::credential;
use crate::plan::net::ssh::decode;

/// A text that git would not read, or what is left of it: `None` if nothing had to go.
pub(in crate::plan) fn clean(text: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let Config { entries, comments } = parse(text).map_err(|_| ())?;
    if entries.iter().all(is_clean) && !comments.iter().any(|text| is_credential(text)) {
        return Ok(None);
    }
    Ok(Some(without(&entries)))
}

/// A configuration that holds a credential which `base` does not: the text without any of them. Not one that holds only what is
/// `known`, whose values the box has, and a program that hands out passwords is none by itself.
#[must_use]
pub fn comes_to_hold(base: &[u8], now: &[u8], known: &[Vec<u8>]) -> Option<Vec<u8>> {
    let Config { entries, comments } = parse(now).ok()?;
    let old = parse(base).unwrap_or_default();
    let entry = entries.iter().any(|entry| {
        let is_old = old.entries.iter().any(|old| old.same_as(entry));
        let parts = [&entry.subsection, &entry.value];
        let mut parts = parts.into_iter().flatten();
        !is_old && !is_clean(entry) && !is_helper(entry) && !parts.any(|text| says(text, known))
    });
    let comment = comments
        .iter()
        .any(|text| is_credential(text) && !old.comments.contains(text) && !says(text, known));
    (entry || comment).then(|| without(&entries))
}

/// Does it have one of these values in it, also in base64 (`basic` of RFC 7617)?
fn says(text: &[u8], known: &[Vec<u8>]) -> bool {
    let has = |text: &[u8]| {
        let mut known = known.iter().filter(|value| !value.is_empty());
        known.any(|value| text.windows(value.len()).any(|part| part == *value))
    };
    let mut words = text.split(u8::is_ascii_whitespace);
    has(text)
        || words.any(|word| {
            let decoded = std::str::from_utf8(word).ok().and_then(decode);
            decoded.is_some_and(|decoded| has(&decoded))
        })
}

/// The text without what is secret.
fn without(entries: &[Entry]) -> Vec<u8> {
    let kept: Vec<Entry> = entries.iter().filter_map(cleaned).collect();
    write(&kept)
}

fn is_clean(entry: &Entry) -> bool {
    cleaned(entry).as_ref() == Some(entry)
}

/// What is left of an entry.
fn cleaned(entry: &Entry) -> Option<Entry> {
    if is_secret(entry) {
        return None;
    }
    let branch = entry.section == b"branch";
    let names = branch && (entry.key == b"merge" || entry.key.ends_with(b"merge-base"));
    let mut entry = entry.clone();
    if let Some(text) = &mut entry.subsection {
        *text = without_passwords(text);
        if !branch && is_credential(text) {
            return None;
        }
    }
    if let Some(text) = &mut entry.value {
        *text = without_passwords(text);
        if !names && !is_of_refs(text) && is_credential(text) {
            return None;
        }
    }
    Some(entry)
}

/// A reference or a refspec. What branches are called is no secret, and `sk-` are somebody's initials as well as the beginning of a key.
fn is_of_refs(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    text.starts_with(b"refs/") && !text.iter().any(is_blank)
}

/// Is there a credential in it by its form? In this file stand names of repositories and directories, too, and one in small letters
/// (`sk-learn-pipelines`) is none of the keys that begin so.
fn is_credential(text: &[u8]) -> bool {
    let is_of_a_word = |b: &u8| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.');
    let is_of_a_token =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b'~');
    let words = text.chunk_by(|a, b| is_of_a_token(a) == is_of_a_token(b));
    let kept = words.filter(|word| !word.starts_with(b"sk-") || !word.iter().all(is_of_a_word));
    credential::value(&kept.collect::<Vec<_>>().concat())
}

fn is_helper(entry: &Entry) -> bool {
    entry.section == b"credential" && entry.key == b"helper"
}

/// By its name. `credential.helper` runs a program that hands out passwords; outside of the box it is the user's.
fn is_secret(variable: &Entry) -> bool {
    let key = variable.key.as_slice();
    let ends: [&[u8]; 8] = [
        b"token",
        b"password",
        b"passwd",
        b"secret",
        b"apikey",
        b"api-key",
        b"smtppass",
        b"extraheader",
    ];
    key == b"pass" || ends.iter().any(|end| key.ends_with(end)) || is_helper(variable)
}

/// A name in a URL that is this long is no name, unless it is somebody's address (`me%40example.com`).
const NAME: usize = 20;

fn is_address(user: &[u8]) -> bool {
    let mut at = user.windows(3).filter(|part| *part == b"%40");
    at.next().is_some() && at.next().is_none() && user.contains(&b'.')
}

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
                let long = user.len() >= NAME && !is_address(user);
                let odd = http && (colon.is_some() || long || is_credential(info));
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
