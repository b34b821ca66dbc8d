//! The URL of a remote switch, with the keys that belong to its kind.

#![forbid(unsafe_code)]

use super::remote::Texts;
use crate::plan::OsText;
use crate::plan::remote::{Host, S3Style, Target, Wire, fill};

/// Where a switch is, by its URL and the keys that belong to the kind of URL.
pub(super) fn target(url: &str, keys: &[String], texts: &Texts) -> Result<Target, String> {
    if url
        .chars()
        .any(|c| c.is_control() || c == ' ' || !c.is_ascii())
        || url.len() > 2000
    {
        return Err(
            "spaces, control characters and letters beyond ASCII have no place in a URL".to_owned(),
        );
    }
    let (scheme, rest) = url.split_once(':').ok_or("not a URL")?;
    let only = |names: &[&str]| -> Result<(), String> {
        for name in [
            "ca",
            "db",
            "endpoint",
            "field",
            "publish",
            "region",
            "token-command",
            "token-file",
            "user",
        ] {
            if texts.get(name).is_some() && !names.contains(&name) {
                return Err(format!("`{name}` means nothing to {scheme}:"));
            }
        }
        if !keys.is_empty() && !names.contains(&"keys") {
            return Err(format!("`keys` means nothing to {scheme}:"));
        }
        Ok(())
    };
    let behind = rest.strip_prefix("//");
    match (scheme, behind) {
        ("file", Some(path)) => {
            only(&[])?;
            absolute(path).map(|path| Target::File { path })
        }
        ("exec", None) => {
            only(&[])?;
            absolute(rest).map(|program| Target::Exec { program })
        }
        ("https" | "http", Some(rest)) => {
            only(&["ca", "field", "publish", "token-command", "token-file"])?;
            let (authority, path) = split(rest);
            let (wire, port) = if scheme == "https" {
                (Wire::Tls, 443)
            } else {
                (Wire::Plain, 80)
            };
            let host = host(authority, wire, port)?;
            if path.contains('#') {
                return Err("a fragment (`#`) is never sent".to_owned());
            }
            Ok(Target::Https {
                host,
                path: path.to_owned(),
            })
        }
        ("redis" | "rediss", Some(rest)) => {
            only(&[
                "ca",
                "db",
                "keys",
                "publish",
                "token-command",
                "token-file",
                "user",
            ])?;
            let (authority, path) = split(rest);
            let wire = if scheme == "rediss" {
                Wire::Tls
            } else {
                Wire::Plain
            };
            no_secret(authority)?;
            let host = Host::parse(authority, wire, 6379)?;
            let db = match (path.trim_matches('/'), texts.get("db")) {
                ("", None) => 0,
                ("", Some(text)) | (text, None) => text
                    .parse()
                    .map_err(|_| format!("`{text}` is not the number of a database"))?,
                _ => return Err("the database is given twice".to_owned()),
            };
            if keys.is_empty()
                || keys.iter().any(|key| key.is_empty() || key.len() > 500)
                || keys.len() > 16
            {
                return Err(
                    "a Redis needs `keys`, one to 16 of them: keys = [\"agentbox:stop\"]"
                        .to_owned(),
                );
            }
            Ok(Target::Redis {
                host,
                user: texts.get("user").map(str::to_owned),
                db,
                keys: keys.to_vec(),
            })
        }
        ("s3", Some(rest)) => {
            only(&[
                "ca",
                "endpoint",
                "publish",
                "region",
                "token-command",
                "token-file",
            ])?;
            let (bucket, key) = rest.split_once('/').ok_or("s3://BUCKET/KEY")?;
            let fine =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
            if bucket.is_empty() || !bucket.chars().all(fine) || key.is_empty() {
                return Err("s3://BUCKET/KEY".to_owned());
            }
            let region = texts.get("region").unwrap_or("us-east-1").to_owned();
            if !region
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-')
            {
                return Err(format!("`{region}` is not a region"));
            }
            let (host, style) = match texts.get("endpoint") {
                None => (
                    Host::parse(
                        &format!("{bucket}.s3.{region}.amazonaws.com"),
                        Wire::Tls,
                        443,
                    )?,
                    S3Style::Host,
                ),
                Some(endpoint) => (self::endpoint(endpoint)?, S3Style::Path),
            };
            if texts.get("token-file").is_none() && texts.get("token-command").is_none() {
                return Err("an S3 switch needs `token-file` or `token-command`: a credentials file, or what credential_process prints".to_owned());
            }
            Ok(Target::S3 {
                host,
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                region,
                style,
            })
        }
        _ => Err(format!("`{scheme}:` is no switch that agentbox knows")),
    }
}

fn endpoint(text: &str) -> Result<Host, String> {
    let (wire, port, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (Wire::Tls, 443, rest),
        (None, Some(rest)) => (Wire::Plain, 80, rest),
        (None, None) => return Err("an endpoint is https://HOST".to_owned()),
    };
    host(rest.trim_end_matches('/'), wire, port)
}

/// Plain HTTP is for this machine alone: whoever is between could say "clear" for ever.
fn host(authority: &str, wire: Wire, port: u16) -> Result<Host, String> {
    no_secret(authority)?;
    let host = Host::parse(authority, wire, port)?;
    if wire == Wire::Plain && !host.is_loopback() {
        return Err("http:// only to this machine itself: use https://".to_owned());
    }
    Ok(host)
}

fn no_secret(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err(
            "a user or password has no place in a URL: `user`, `token-file`, `token-command`"
                .to_owned(),
        );
    }
    Ok(())
}

fn split(rest: &str) -> (&str, &str) {
    match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes().get(at) == Some(&b'/') => rest.split_at(at),
        Some(at) => (rest.get(..at).unwrap_or(rest), "/"),
        None => (rest, "/"),
    }
}

fn absolute(path: &str) -> Result<OsText, String> {
    let bad = || Err(format!("`{path}` is not an absolute path without `..`"));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if !path.starts_with('/')
        || parts
            .iter()
            .any(|part| part.is_empty() || *part == "." || *part == "..")
    {
        return bad();
    }
    // Only to see that it can be filled.
    fill(path, &|_| Some("x".to_owned())).map_err(|why| why.to_string())?;
    Ok(OsText::from(path))
}
