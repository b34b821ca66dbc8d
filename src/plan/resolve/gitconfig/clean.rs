//! Git's configuration without what lets somebody act in the user's name.

#![forbid(unsafe_code)]

use super::super::credential;
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
        rest = tail;
    }
    out.extend(rest);
    out
}

#[cfg(test)]
#[path = "clean_tests.rs"]
mod tests;
