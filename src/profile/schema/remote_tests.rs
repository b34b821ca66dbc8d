//! `[[kill-switch.remote]]`.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::{Place, Role, parse};
use crate::plan::remote::{OnUnreachable, RemoteSwitch, Target, TokenFrom};

fn read(text: &str) -> Result<Vec<RemoteSwitch>, Vec<String>> {
    let place = Place::File("p.toml".into());
    let text = format!("[[kill-switch.remote]]\n{text}");
    match parse(&text, "p", &place, Role::Profile) {
        Ok(parsed) => Ok(parsed
            .fragment
            .remotes
            .into_iter()
            .map(|w| w.value)
            .collect()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn one(text: &str) -> RemoteSwitch {
    match read(text) {
        Ok(mut list) => list.remove(0),
        Err(problems) => panic!("{text}: {problems:?}"),
    }
}

#[test]
fn every_kind_of_url_is_read() {
    let rest = "name = \"a\"\non-unreachable = \"stop\"\n";
    for (url, shown) in [
        ("url = \"file:///share/stop\"", "file:///share/stop"),
        ("url = \"exec:/usr/bin/x\"", "exec:/usr/bin/x"),
        (
            "url = \"https://Flags.corp/v1/${team}?k=v\"",
            "https://flags.corp/v1/${team}",
        ),
        ("url = \"http://127.0.0.1:80/x\"", "http://127.0.0.1/x"),
        (
            "url = \"redis://r.corp/3\"\nkeys = [\"a\", \"b:${user}\"]",
            "redis://r.corp/3 a, b:${user}",
        ),
        (
            "url = \"rediss://r.corp:7000\"\nkeys = [\"a\"]\nuser = \"u\"\ntoken-file = \"/t\"",
            "rediss://r.corp:7000/0 a",
        ),
        (
            "url = \"s3://bucket/agents/stop\"\ntoken-command = \"/c\"",
            "s3://bucket/agents/stop",
        ),
        (
            "url = \"s3://b/k\"\ntoken-file = \"/c\"\nendpoint = \"http://localhost:9\"",
            "s3://b/k at localhost:9",
        ),
    ] {
        assert_eq!(one(&format!("{rest}{url}")).target.to_string(), shown);
    }
}

#[test]
fn values_and_defaults() {
    let got = one(
        "name = \"ops\"\nurl = \"https://h/x\"\non-unreachable = \"pause\"\ninterval = 2\ntimeout = \"500ms\"\ntoken-file = \"/t\"\nca = \"/ca\"\nfield = \"a.b\"\ndrill-max-age = \"30d\"\npublish = \"/s/${user}/${session}\"",
    );
    assert_eq!(
        (got.interval, got.timeout, got.jitter, got.grace),
        (2.0, 0.5, 0.2, 60.0)
    );
    assert_eq!(got.on_unreachable, OnUnreachable::Pause);
    assert_eq!(got.token, Some(TokenFrom::File("/t".into())));
    assert_eq!(
        (got.field.as_deref(), got.drill_max_age),
        (Some("a.b"), Some(2_592_000.0))
    );
    assert!(matches!(got.target, Target::Https { .. }));
    assert_eq!(got.publish.as_deref(), Some("/s/${user}/${session}"));
    let got = one(
        "name = \"ops\"\nurl = \"https://h/x\"\non-unreachable = \"continue\"\ninterval = \"1m\"",
    );
    assert_eq!((got.timeout, got.jitter, got.grace), (5.0, 6.0, 195.0));
}

#[test]
fn what_could_be_misunderstood_is_refused() {
    let rest = "name = \"a\"\non-unreachable = \"stop\"\n";
    for (text, word) in [
        (
            "name = \"a\"\nurl = \"https://h/x\"",
            "without `on-unreachable`",
        ),
        (
            "on-unreachable = \"stop\"\nurl = \"https://h/x\"",
            "without `name`",
        ),
        (
            "name = \"a/b\"\non-unreachable = \"stop\"\nurl = \"https://h\"",
            "not a name",
        ),
        (
            "name = \"a\"\non-unreachable = \"die\"\nurl = \"https://h\"",
            "no policy",
        ),
        ("url = \"https://u:p@h/x\"", "no place in a URL"),
        (
            "url = \"redis://:p@h\"\nkeys = [\"k\"]",
            "no place in a URL",
        ),
        ("url = \"http://h/x\"", "only to this machine"),
        ("url = \"redis://h\"", "needs `keys`"),
        ("url = \"https://h/x\"\nkeys = [\"k\"]", "means nothing"),
        ("url = \"file:///a/../b\"", "absolute path"),
        ("url = \"exec:x\"", "absolute path"),
        ("url = \"ftp://h/x\"", "no switch"),
        ("url = \"https://h/${x}\"", "is not known"),
        ("url = \"https://h/x\"\ninterval = \"1ms\"", "interval"),
        ("url = \"https://h/x\"\ngrace = \"5s\"", "shorter than"),
        ("url = \"https://h/x\"\ntoken-file = \"t\"", "absolute path"),
        (
            "url = \"https://h/x\"\ntoken-file = \"/t\"\ntoken-command = \"/c\"",
            "choose one",
        ),
        ("url = \"https://h/x\"\ntoken = \"t\"", "unknown key"),
        ("url = \"s3://b/k\"", "needs `token-file`"),
        ("url = \"https://h/a b\"", "spaces"),
        (
            "url = \"https://h/x\"\npublish = \"/s/${host}\"",
            "overwrite",
        ),
        (
            "url = \"https://h/x\"\npublish = \"s/${session}\"",
            "begins with `/`",
        ),
        (
            "url = \"https://h/x\"\npublish = \"/s/${what}/${session}\"",
            "is not known",
        ),
        (
            "url = \"file:///a/b\"\npublish = \"/s/${session}\"",
            "means nothing",
        ),
        (
            "url = \"https://h/x\"\npublish = \"/s?x=${session}\"",
            "signs",
        ),
    ] {
        let whole = if text.contains("name =") || text.contains("on-unreachable") {
            text.to_owned()
        } else {
            format!("{rest}{text}")
        };
        let problems = read(&whole).unwrap_err().join("\n");
        assert!(problems.contains(word), "{whole}\n{problems}");
    }
}
