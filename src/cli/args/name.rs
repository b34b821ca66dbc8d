//! `--hide PATTERN` and `--protect PATTERN`.

#![forbid(unsafe_code)]

use super::UsageError;
use super::plan::cli;
use crate::plan::OsText;
use crate::plan::names::{Verdict, matcher};
use crate::policy::{NameWish, Wish};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A name as typed, in which only `*` means more than itself, after a `!` that lifts what weaker sources say, as in a profile. A
/// relative one starts at the current directory. What a shell would make several names of is refused, since nothing would be called
/// so and nothing be hidden; `[` is left, since directories are called `[id]`.
pub(super) fn name_wish(
    typed: &OsStr,
    flag: &'static str,
    cwd: &Path,
) -> Result<Wish<NameWish>, UsageError> {
    let (bytes, verdict) = match typed.as_bytes().strip_prefix(b"!") {
        Some(rest) => (rest, Verdict::Lifted),
        None => (typed.as_bytes(), Verdict::Applies),
    };
    let wrong = |why: &str| UsageError::Flag {
        flag,
        value: OsText::from(typed).to_string(),
        why: why.to_owned(),
    };
    let variable = ["~".as_bytes(), b"${workspace}"].into_iter().find(|start| {
        bytes
            .strip_prefix(*start)
            .is_some_and(|r| r.starts_with(b"/"))
    });
    let typed = variable.map_or(bytes, |start| &bytes[start.len()..]);
    let mut pattern = match variable {
        Some(start) => start.to_vec(),
        None if bytes.starts_with(b"/") => Vec::new(),
        None => matcher::literal(cwd.as_os_str().as_bytes()),
    };
    let mut named = false;
    for name in typed.split(|b| *b == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => return Err(wrong("`..` hides what is named: write the path out")),
            b"**" => {}
            _ if is_shells(name) => {
                return Err(wrong(
                    "only `*` and `**` are known in patterns: write the flag once for each name",
                ));
            }
            _ => named = true,
        }
        pattern.push(b'/');
        for byte in name {
            if *byte == b'\\' {
                pattern.push(b'\\');
            }
            pattern.push(*byte);
        }
    }
    if !named {
        return Err(wrong("it names no file"));
    }
    let name = NameWish {
        pattern: OsText::from(OsString::from_vec(pattern)),
        verdict,
        holds: None,
    };
    Ok(cli(name, flag))
}

/// `secret?.txt`, `*.{pem,key}`.
fn is_shells(name: &[u8]) -> bool {
    let has = |byte| name.contains(byte);
    has(&b'?') || (has(&b'{') && has(&b',') && has(&b'}'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns() {
        for (typed, want) in [
            (".env", Some("/c\\*d/.env")),
            ("./a//b/", Some("/c\\*d/a/b")),
            ("**/*.pem", Some("/c\\*d/**/*.pem")),
            ("/srv/x", Some("/srv/x")),
            ("~/.ssh", Some("~/.ssh")),
            ("${workspace}/**/x", Some("${workspace}/**/x")),
            ("~x", Some("/c\\*d/~x")),
            ("a\\b", Some("/c\\*d/a\\\\b")),
            ("app/[id]/{x}.ts", Some("/c\\*d/app/[id]/{x}.ts")),
            ("secret?.txt", None),
            ("**/*.{pem,key}", None),
            ("", None),
            (".", None),
            ("/", None),
            ("**", None),
            ("../x", None),
            ("~/", None),
        ] {
            let wish = name_wish(OsStr::new(typed), "--hide", Path::new("/c*d")).ok();
            let got = wish.map(|w| w.value.pattern.os().to_str().unwrap().to_owned());
            assert_eq!(got.as_deref(), want, "{typed:?}");
        }
        for (typed, want) in [
            ("!.env", Some(("/c\\*d/.env", Verdict::Lifted))),
            ("!~/x", Some(("~/x", Verdict::Lifted))),
            ("./!x", Some(("/c\\*d/!x", Verdict::Applies))),
            ("!", None),
            ("!**", None),
        ] {
            let wish = name_wish(OsStr::new(typed), "--hide", Path::new("/c*d")).ok();
            let got =
                (wish.as_ref()).map(|w| (w.value.pattern.os().to_str().unwrap(), w.value.verdict));
            assert_eq!(got, want, "{typed:?}");
        }
    }
}
