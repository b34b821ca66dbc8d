//! Rules that are about the content of a file. The text may be anybody's: a bounded look, no parser.

#![forbid(unsafe_code)]

use super::Holds;
use crate::plan::credential;

/// What is read of a file, in bytes.
pub const MOST: usize = 256 * 1024;

/// Is there what the rule is about?
#[must_use]
pub fn holds(what: Holds, text: &[u8]) -> bool {
    match what {
        Holds::Token => text.split(|b| *b == b'\n').any(is_token),
        Holds::ServiceAccount => {
            let has = |needle: &[u8]| text.windows(needle.len()).any(|w| w == needle);
            has(b"\"private_key\"") && (has(b"service_account") || has(b"PRIVATE KEY"))
        }
    }
}

/// `//registry/:_authToken=...`, `_auth=`, `_password=` (npm), `password = ` (pip, twine), `export API_KEY=` (direnv); not one that
/// only names a variable of the environment, and whatever has the shape of a credential.
fn is_token(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
        return credential::value(line);
    }
    let Some(at) = line.iter().position(|b| matches!(b, b'=' | b':')) else {
        return credential::value(line);
    };
    // In an .npmrc the key itself holds colons: the last word before the first `=`.
    let at = line.iter().position(|b| *b == b'=').unwrap_or(at);
    let (key, value) = line.split_at(at);
    let exported = key.strip_prefix(b"export ").is_some_and(credential::name);
    let key = key.trim_ascii().to_ascii_lowercase();
    let key = key
        .rsplit(|b| matches!(b, b':' | b'/'))
        .next()
        .unwrap_or_default();
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let secret = exported
        || matches!(
            key,
            b"_authtoken"
                | b"_auth"
                | b"_password"
                | b"password"
                | b"token"
                | b"_secret"
                | b"npmauthtoken"
                | b"npmauthident"
        );
    secret && !value.is_empty() && !value.starts_with(b"${") && !value.starts_with(b"$")
        || credential::value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (text, want) in [
            ("registry=https://registry.npmjs.org/\n", false),
            ("//registry.npmjs.org/:_authToken=abc\n", true),
            ("//registry.npmjs.org/:_authToken=${NPM_TOKEN}\n", false),
            ("//r/:_authToken=\"abc\"", true),
            ("_auth=YWJj", true),
            ("//r/:_password=YWJj", true),
            ("save-exact=true\nengine-strict=true\n", false),
            ("# _authToken=abc\n", false),
            ("# npm_abcdefghijklmnopqrstuvwxyz0123456789\n", true),
            ("[pypi]\nusername = __token__\npassword = pypi-x\n", true),
            ("export AWS_SECRET_ACCESS_KEY=abc", true),
            ("  export DB_PASSWORD='abc'", true),
            ("export GITHUB_TOKEN=\"$(gh auth token)\"", false),
            ("export PATH=$PWD/bin:$PATH\nuse flake", false),
            ("export API_KEY=", false),
            (
                "[pypi]\nrepository = https://upload.pypi.org/legacy/\n",
                false,
            ),
            ("[x]\nrepository = https://u:p4ssw0rd@host/\n", true),
            ("npmScopes:\n  a:\n    npmAuthToken: \"abc\"\n", true),
            ("npmAuthToken: ${TOKEN}\n", false),
            ("yarnPath: .yarn/releases/yarn-4.cjs\n", false),
            ("[registries.a]\ntoken = \"x\"\n", true),
            ("password =\n", false),
            ("", false),
        ] {
            assert_eq!(holds(Holds::Token, text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn service_accounts() {
        let key = br#"{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\n"}"#;
        assert!(holds(Holds::ServiceAccount, key));
        assert!(!holds(
            Holds::ServiceAccount,
            br#"{"type": "service_account"}"#
        ));
        assert!(!holds(Holds::ServiceAccount, br#"{"name": "x"}"#));
    }
}
