#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn allow(text: &str, rule: &str) -> Result<Edited, EditError> {
    add(text, "config.toml", Role::Config, List::Allow, rule)
}

#[test]
fn the_rest_stays_as_it_is() {
    let rows = [
        ("nothing", "", "[network]\nallow = [\"x.test:22\"]\n", 2),
        (
            "another table",
            "# mine\n[limits]\ntime = \"2h\" # long",
            "# mine\n[limits]\ntime = \"2h\" # long\n\n[network]\nallow = [\"x.test:22\"]\n",
            6,
        ),
        (
            "no list",
            "[network] # net\nmode = \"filtered\"\n\n[limits]\ntime = \"2h\"\n",
            "[network] # net\nallow = [\"x.test:22\"]\nmode = \"filtered\"\n\n[limits]\ntime = \"2h\"\n",
            2,
        ),
        (
            "only a table below it",
            "[network.hosts]\n\"a.test\" = \"10.0.0.1\"\n",
            "[network.hosts]\n\"a.test\" = \"10.0.0.1\"\n\n[network]\nallow = [\"x.test:22\"]\n",
            5,
        ),
        (
            "empty",
            "[network]\nallow = []\n",
            "[network]\nallow = [\"x.test:22\"]\n",
            2,
        ),
        (
            "on one line",
            "[network]\nallow = [ 'a.test', {host = \"b.test\", ports = [1, 2]} ] # two, both\n",
            "[network]\nallow = [ 'a.test', {host = \"b.test\", ports = [1, 2]}, \"x.test:22\" ] # two, both\n",
            2,
        ),
        (
            "on one line with a comma at the end",
            "[network]\nallow = [\"a.test\", ]\n",
            "[network]\nallow = [\"a.test\", \"x.test:22\" ]\n",
            2,
        ),
        (
            "on several lines",
            "[network]\nallow = [\n  \"a.test\", # one, first\n  # \"b.test\",\n  \"c.test\"  # no comma, yet\n]\nmode = \"filtered\"\n",
            "[network]\nallow = [\n  \"a.test\", # one, first\n  # \"b.test\",\n  \"c.test\",  # no comma, yet\n  \"x.test:22\",\n]\nmode = \"filtered\"\n",
            6,
        ),
        (
            "on several lines with a comma and a comment at the end",
            "[network]\nallow = [\n\t\"a.test\", # ]\n\t# the end\n]\n",
            "[network]\nallow = [\n\t\"a.test\", # ]\n\t# the end\n\t\"x.test:22\",\n]\n",
            5,
        ),
        (
            "empty on several lines",
            "[network]\nallow = [\n    # none yet\n]\n",
            "[network]\nallow = [\n    # none yet\n    \"x.test:22\",\n]\n",
            4,
        ),
        (
            "the bracket behind the last item",
            "[network]\nallow = [\"a.test\",\n         \"b.test\"]\n",
            "[network]\nallow = [\"a.test\",\n         \"b.test\", \"x.test:22\"]\n",
            3,
        ),
        (
            "carriage returns",
            "[network]\r\nmode = \"filtered\"\r\n",
            "[network]\r\nallow = [\"x.test:22\"]\r\nmode = \"filtered\"\r\n",
            2,
        ),
        (
            "dotted keys, with a list",
            "network.mode = \"filtered\"\nnetwork.allow = [\"a.test\"]\n",
            "network.mode = \"filtered\"\nnetwork.allow = [\"a.test\", \"x.test:22\"]\n",
            2,
        ),
        (
            "an inline table, with a list",
            "network = { allow = [\"a.test\"] }\n",
            "network = { allow = [\"a.test\", \"x.test:22\"] }\n",
            1,
        ),
    ];
    for (row, old, new, at) in rows {
        match allow(old, "x.test:22") {
            Ok(Edited::Added { text, line }) => {
                assert_eq!(text, new, "{row}");
                assert_eq!(line, at, "{row}");
                // Once more changes nothing.
                let again = allow(&text, "x.test:22");
                assert_eq!(again, Ok(Edited::Known { line }), "{row}");
            }
            other => panic!("{row}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for (row, text) in [
        ("an inline table", "network = { mode = \"filtered\" }\n"),
        ("dotted keys", "network.mode = \"filtered\"\n"),
        (
            "a header in a text",
            "description = \"\"\"\n[network]\n\"\"\"\nnetwork.mode = \"none\"\n",
        ),
    ] {
        assert_eq!(allow(text, "x.test"), Err(EditError::ByHand), "{row}");
    }
    for text in ["[network\n", "[network]\nallow = 1\n", "[nothing]\n"] {
        let got = allow(text, "x.test");
        assert!(matches!(got, Err(EditError::Invalid(_))), "{text}: {got:?}");
    }
    let bare = allow("[network]", "x.test");
    assert_eq!(
        bare,
        Err(EditError::ByHand),
        "no line ends behind the header"
    );
}

#[test]
fn what_is_there_is_known_in_every_spelling() {
    let text = "[network]\nallow = [\n  \"X.test.\",\n  { host = \"y.test\", ports = [22], private = true },\n]\ndeny = [\"z.test\"]\n";
    for (rule, line) in [
        ("x.test", 3),
        ("x.test:443,80", 3),
        ("y.test:22+private", 4),
    ] {
        assert_eq!(allow(text, rule), Ok(Edited::Known { line }), "{rule}");
    }
    for rule in ["x.test:22", "y.test:22", "x.test+private"] {
        let got = allow(text, rule);
        assert!(matches!(got, Ok(Edited::Added { .. })), "{rule}: {got:?}");
    }
    let deny = |rule| add(text, "c", Role::Config, List::Deny, rule);
    assert_eq!(deny("z.test"), Ok(Edited::Known { line: 6 }));
    assert!(matches!(deny("x.test"), Ok(Edited::Added { line: 6, .. })));
}

#[test]
fn a_deny_beside_it_would_be_stronger() {
    let text = "[network]\ndeny = [\"a.test\", \"*.b.test\", \"c.test:22\", \"10.0.0.0/8\"]\n";
    for (rule, by) in [
        ("a.test", Some("a.test")),
        ("x.b.test:22", Some("*.b.test")),
        ("*.b.test", Some("*.b.test")),
        ("c.test:22", Some("c.test")),
        ("10.1.2.3", Some("10.0.0.0/8")),
        ("c.test", None),
        ("b.test", None),
    ] {
        let got = allow(text, rule);
        match by {
            Some(by) => {
                let rule = by.to_owned();
                assert_eq!(got, Err(EditError::Denied { rule, line: 2 }));
            }
            None => assert!(matches!(got, Ok(Edited::Added { .. })), "{rule}: {got:?}"),
        }
    }
}

/// It was said to be there already, and went on being refused.
#[test]
fn what_is_there_in_vain_is_not_called_known() {
    let text = "[network]\nallow = [\"a.test\", \"b.test\"]\ndeny = [\"a.test\"]\n";
    let rule = "a.test".to_owned();
    let denied = EditError::Denied { rule, line: 3 };
    assert_eq!(allow(text, "a.test"), Err(denied));
    assert_eq!(allow(text, "b.test"), Ok(Edited::Known { line: 2 }));
}
