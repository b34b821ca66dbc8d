//! Does a variable look like a credential? By its name for reports, by its value for what a pattern may let through.
//! A guard-rail: a secret without a known shape passes it. What is not listed does not pass at all.

#![forbid(unsafe_code)]

/// Shapes that begin a token: the prefix, and how many characters of a token have to follow.
const PREFIXES: [(&[u8], usize); 44] = [
    (b"AKIA", 12),
    (b"ASIA", 12),
    (b"ABIA", 12),
    (b"ACCA", 12),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghu_", 20),
    (b"ghs_", 20),
    (b"ghr_", 20),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"gldt-", 16),
    (b"glrt-", 16),
    (b"glcbt-", 16),
    (b"glptt-", 16),
    (b"xoxa-", 8),
    (b"xoxb-", 8),
    (b"xoxe-", 8),
    (b"xoxp-", 8),
    (b"xoxr-", 8),
    (b"xoxs-", 8),
    (b"xapp-", 8),
    (b"sk-", 16),
    (b"sk_live_", 8),
    (b"rk_live_", 8),
    (b"sk_test_", 8),
    (b"AIza", 30),
    (b"ya29.", 16),
    (b"GOCSPX-", 16),
    (b"npm_", 20),
    (b"hf_", 20),
    (b"dckr_pat_", 16),
    (b"pypi-", 32),
    (b"rubygems_", 20),
    (b"dop_v1_", 32),
    (b"SG.", 32),
    (b"shpat_", 20),
    (b"lin_api_", 20),
    (b"hvs.", 16),
    (b"sbp_", 20),
    (b"ATATT3", 20),
    (b"pul-", 32),
    (b"tskey-", 12),
    (b"AGE-SECRET-KEY-1", 20),
];

/// Does the value hold something with the shape of a credential?
pub(in crate::plan) fn value(value: &[u8]) -> bool {
    tokens(value).any(is_token)
        || holds(value, b"-----BEGIN ") && holds(value, b"PRIVATE KEY")
        || has_password(value)
        || bearer(value)
}

/// Does the name of a variable say that it holds a credential?
pub(in crate::plan) fn name(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 17] = [
        b"TOKEN",
        b"TOKENS",
        b"SECRET",
        b"SECRETS",
        b"PASSWORD",
        b"PASSWD",
        b"PASS",
        b"PASSPHRASE",
        b"PWD",
        b"CREDENTIAL",
        b"CREDENTIALS",
        b"CREDS",
        b"APIKEY",
        b"KEY",
        b"KEYS",
        b"AUTH",
        b"PAT",
    ];
    const INSIDE: [&[u8]; 6] = [
        b"TOKEN",
        b"SECRET",
        b"PASSWORD",
        b"CREDENTIAL",
        b"APIKEY",
        b"ACCESSKEY",
    ];
    let upper = name.to_ascii_uppercase();
    if upper == b"PWD" || upper == b"OLDPWD" {
        return false;
    }
    upper
        .split(|b| !b.is_ascii_alphanumeric())
        .any(|word| WORDS.contains(&word))
        || INSIDE.iter().any(|word| holds(&upper, word))
}

/// The parts of a value that could be a token each.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'~')))
        .filter(|t| !t.is_empty())
}

fn is_token(token: &[u8]) -> bool {
    let known = PREFIXES.iter().any(|(prefix, least)| {
        token
            .strip_prefix(*prefix)
            .is_some_and(|rest| rest.len() >= *least)
    });
    known || is_jwt(token)
}

/// Three parts of base64url, the first one an object: `{"` is `eyJ` (RFC 7519).
fn is_jwt(token: &[u8]) -> bool {
    let parts: Vec<&[u8]> = token.split(|b| *b == b'.').collect();
    matches!(parts.as_slice(), [head, body, _, ..]
        if head.starts_with(b"eyJ") && head.len() >= 12 && body.len() >= 8)
}

/// `scheme://user:password@host`.
fn has_password(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = rest.windows(3).position(|w| w == b"://") {
        rest = rest.get(at + 3..).unwrap_or_default();
        let authority = rest
            .split(|b| matches!(b, b'/' | b'?' | b'#' | b' ' | b'\n' | b'\t' | b'"' | b'\''))
            .next()
            .unwrap_or_default();
        // The last "@" ends the user information; a password may hold another.
        if let Some(end) = authority.iter().rposition(|b| *b == b'@')
            && let Some(info) = authority.get(..end)
            && let Some(colon) = info.iter().position(|b| *b == b':')
            && info.len() > colon + 1
        {
            return true;
        }
    }
    false
}

/// `Authorization: Bearer ...`, `Basic ...` as some tools take it in a variable.
fn bearer(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    [&b"bearer "[..], b"basic "].iter().any(|scheme| {
        lower
            .windows(scheme.len())
            .position(|w| w == *scheme)
            .and_then(|at| lower.get(at + scheme.len()..))
            .is_some_and(|rest| rest.iter().take_while(|b| b.is_ascii_graphic()).count() >= 16)
    })
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Put together at run time, so that no scanner of repositories takes a row for a leak.
    fn join(parts: &[&str]) -> String {
        parts.concat()
    }

    #[test]
    fn values() {
        let a = |n: usize| "a1B2".repeat(n);
        let yes = [
            join(&["AK", "IAIOSFODNN7EXAMPLE"]),
            join(&["AS", "IAIOSFODNN7EXAMPLE"]),
            join(&["gh", "p_", &a(9)]),
            join(&["gh", "s_", &a(9)]),
            join(&["github", "_pat_", &a(9)]),
            join(&["gl", "pat-", &a(5)]),
            join(&["xo", "xb-", &a(5)]),
            join(&["s", "k-ant-api03-", &a(9)]),
            join(&["s", "k-proj-", &a(9)]),
            join(&["AI", "za", &a(9)]),
            join(&["np", "m_", &a(9)]),
            join(&["h", "f_", &a(9)]),
            join(&["dckr", "_pat_", &a(9)]),
            join(&["-----BEGIN ", "OPENSSH PRIVATE KEY-----\nabc"]),
            join(&["ey", "JhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxIn0.", "c2ln"]),
            join(&["https://user:", "pass@example.org/x"]),
            join(&["postgres://app:", "p@ss@db:5432/x"]),
            join(&["Authorization: Bea", "rer ", &a(5)]),
            join(&["one two ", "gh", "p_", &a(9), " three"]),
            join(&["token=", "gh", "p_", &a(9)]),
        ];
        for row in yes {
            assert!(value(row.as_bytes()), "{row}");
        }
        let no = [
            "",
            "en_US.UTF-8",
            "https://api.example.org/v1",
            "https://user@example.org/",
            "https://user:@example.org/",
            "https://example.org/a:b@c",
            "/usr/bin:/bin",
            "sk-",
            "task-list",
            "risk-assessment-of-something-long",
            "npm_config",
            "AKIA",
            "xterm-256color",
            "v1.2.3",
            "-----BEGIN CERTIFICATE-----",
            "truecolor",
            "basic auth",
        ];
        for row in no {
            assert!(!value(row.as_bytes()), "{row}");
        }
    }

    #[test]
    fn names() {
        for yes in [
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "PGPASSWORD",
            "DB_PASS",
            "OPENAI_API_KEY",
            "my_secret",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "NPM_AUTH",
            "CLIENTSECRET",
            "SSHPASSWORD",
        ] {
            assert!(name(yes.as_bytes()), "{yes}");
        }
        for no in [
            "PATH",
            "PWD",
            "OLDPWD",
            "HOME",
            "LANG",
            "KEYBOARD",
            "PASSENGER_HOME",
            "MONKEY",
            "COMPASS_DIR",
        ] {
            assert!(!name(no.as_bytes()), "{no}");
        }
    }
}
