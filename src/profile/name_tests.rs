#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn patterns() {
    for (text, want) in [
        (
            "${workspace}/**/.env",
            Some(("${workspace}/**/.env", Verdict::Applies)),
        ),
        (
            "!${workspace}/**/.env.example",
            Some(("${workspace}/**/.env.example", Verdict::Lifted)),
        ),
        ("~/.ssh", Some(("~/.ssh", Verdict::Applies))),
        ("~/.ssh/", Some(("~/.ssh", Verdict::Applies))),
        (
            "/srv/keys/*.pem",
            Some(("/srv/keys/*.pem", Verdict::Applies)),
        ),
        ("", None),
        ("!", None),
        ("/", None),
        ("~", None),
        ("${workspace}", None),
        (".env", None),
        ("**/.env", None),
        ("~other/.ssh", None),
        ("~/.ssh?", None),
        ("~/[a]", None),
        ("~/{a,b}", None),
        ("${workspace}/**", None),
        ("${workspace}/**/**", None),
        ("${workspace}/a**", None),
        ("${workspace}/../x", None),
        ("${workspace}//x", None),
        ("/a/${home}/x", None),
        ("/a\\", None),
        ("/a\\\\", Some(("/a\\\\", Verdict::Applies))),
        ("/a\0", None),
    ] {
        let got = pattern(text).ok();
        let got = got
            .as_ref()
            .map(|w| (w.pattern.os().to_str().unwrap(), w.verdict));
        assert_eq!(got, want, "{text:?}");
    }
}
