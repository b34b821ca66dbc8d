#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// Of a file that holds state.
fn merge(base: Option<&str>, boxed: &str, host: Option<&str>) -> Result<Merged, MergeError> {
    super::merge(base, boxed, host, Holds::State)
}

/// The host's text afterwards.
fn result(base: &str, boxed: &str, host: &str) -> String {
    merge(Some(base), boxed, Some(host))
        .unwrap()
        .text
        .unwrap_or_else(|| host.to_owned())
}

#[test]
fn three_ways() {
    for (name, base, boxed, host, expected) in [
        (
            "nothing changed",
            r#"{"a":1}"#,
            r#"{"a":1}"#,
            r#"{"a":1}"#,
            r#"{"a":1}"#,
        ),
        (
            "box changed",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":1}"#,
            r#"{"a":2}"#,
        ),
        (
            "host changed",
            r#"{"a":1}"#,
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":2}"#,
        ),
        (
            "both the same",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":2}"#,
            r#"{"a":2}"#,
        ),
        (
            "both: host wins",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":3}"#,
            r#"{"a":3}"#,
        ),
        ("box added", r#"{}"#, r#"{"a":1}"#, r#"{}"#, r#"{"a":1}"#),
        ("host added", r#"{}"#, r#"{}"#, r#"{"a":1}"#, r#"{"a":1}"#),
        (
            "both added, other keys",
            r#"{}"#,
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"b":1,"a":1}"#,
        ),
        (
            "both added, one key",
            r#"{}"#,
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":2}"#,
        ),
        (
            "box deleted",
            r#"{"a":1,"b":1}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"b":1}"#,
        ),
        (
            "host deleted",
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"b":1}"#,
            r#"{"b":1}"#,
        ),
        (
            "box deleted, host changed",
            r#"{"a":1}"#,
            r#"{}"#,
            r#"{"a":2}"#,
            r#"{"a":2}"#,
        ),
        (
            "host deleted, box changed",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{}"#,
            r#"{}"#,
        ),
        (
            "deeper",
            r#"{"o":{"a":1,"b":1}}"#,
            r#"{"o":{"a":2,"b":1}}"#,
            r#"{"o":{"a":1,"b":2}}"#,
            r#"{"o":{"a":2,"b":2}}"#,
        ),
        (
            "deeper, both new",
            r#"{}"#,
            r#"{"o":{"a":1,"c":1}}"#,
            r#"{"o":{"b":1,"c":2}}"#,
            r#"{"o":{"b":1,"c":2,"a":1}}"#,
        ),
        (
            "deleted deeper",
            r#"{"o":{"a":1,"b":1}}"#,
            r#"{"o":{"b":1}}"#,
            r#"{"o":{"a":1,"b":1}}"#,
            r#"{"o":{"b":1}}"#,
        ),
        (
            "a whole object deleted",
            r#"{"o":{"a":1},"p":1}"#,
            r#"{"p":1}"#,
            r#"{"o":{"a":1},"p":1}"#,
            r#"{"p":1}"#,
        ),
        (
            "deleted, changed deeper on the host",
            r#"{"o":{"a":1}}"#,
            r#"{}"#,
            r#"{"o":{"a":2}}"#,
            r#"{"o":{"a":2}}"#,
        ),
        (
            "arrays are leaves",
            r#"{"l":[1]}"#,
            r#"{"l":[1,2]}"#,
            r#"{"l":[1,3]}"#,
            r#"{"l":[1,3]}"#,
        ),
        (
            "array of the box",
            r#"{"l":[1]}"#,
            r#"{"l":[1,2]}"#,
            r#"{"l":[1]}"#,
            r#"{"l":[1,2]}"#,
        ),
        (
            "kind changed in the box",
            r#"{"a":{"b":1}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":[1]}"#,
        ),
        (
            "kind changed on the host",
            r#"{"a":{"b":1}}"#,
            r#"{"a":{"b":2}}"#,
            r#"{"a":1}"#,
            r#"{"a":1}"#,
        ),
        (
            "leaf became object in the box",
            r#"{"a":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1}"#,
            r#"{"a":{"b":1}}"#,
        ),
        (
            "order of the host",
            r#"{"a":1,"b":1}"#,
            r#"{"b":2,"a":1,"c":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"b":2,"c":1}"#,
        ),
        (
            "only the order changed",
            r#"{"a":1,"b":1}"#,
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"b":1}"#,
        ),
        (
            "numbers are text",
            r#"{"n":1}"#,
            r#"{"n":12345678901234567890123}"#,
            r#"{"n":1,"m":1.10}"#,
            r#"{"n":12345678901234567890123,"m":1.10}"#,
        ),
        (
            "another spelling of a name",
            r#"{"ab":1}"#,
            r#"{"\u0061b":2}"#,
            r#"{"ab":1}"#,
            r#"{"ab":2}"#,
        ),
        (
            "null is a value",
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
            r#"{"a":null}"#,
        ),
        (
            "base is not JSON",
            "x",
            r#"{"a":1,"b":1}"#,
            r#"{"a":2}"#,
            r#"{"a":2,"b":1}"#,
        ),
        ("empty host file", r#"{}"#, r#"{"a":1}"#, "", r#"{"a":1}"#),
    ] {
        assert_eq!(result(base, boxed, host), expected, "{name}");
    }
}

#[test]
fn nothing_to_do_writes_nothing() {
    let same = merge(Some(r#"{"a": 1}"#), r#"{"a":1}"#, Some(r#"{ "a" : 1 }"#)).unwrap();
    assert_eq!(same.text, None, "another layout is no change");
    assert_eq!(
        merge(None, "{}", None).unwrap().text,
        None,
        "no file for nothing"
    );
    assert_eq!(merge(None, r#"{"hooks":{}}"#, None).unwrap().text, None);
}

#[test]
fn layout_is_kept() {
    let host = "{\n  \"a\": 1,\n  \"o\": {\n    \"b\": [\n      1\n    ]\n  }\n}\n";
    let merged = merge(Some(host), r#"{"a":2,"o":{"b":[1]}}"#, Some(host))
        .unwrap()
        .text
        .unwrap();
    assert_eq!(merged, host.replace("\"a\": 1", "\"a\": 2"));
    let new = merge(None, "{\n  \"a\": 1\n}", None).unwrap().text.unwrap();
    assert_eq!(
        new, "{\n  \"a\": 1\n}",
        "a new file looks as the program wrote it"
    );
}

#[test]
fn what_runs_things_never_travels() {
    for (name, base, boxed, host, expected) in [
        (
            "added",
            r#"{}"#,
            r#"{"mcpServers":{"x":{"command":"sh"}},"a":1}"#,
            r#"{}"#,
            r#"{"a":1}"#,
        ),
        (
            "changed",
            r#"{"hooks":1}"#,
            r#"{"hooks":2}"#,
            r#"{"hooks":1}"#,
            r#"{"hooks":1}"#,
        ),
        (
            "deleted",
            r#"{"permissions":{"deny":["x"]}}"#,
            r#"{}"#,
            r#"{"permissions":{"deny":["x"]}}"#,
            r#"{"permissions":{"deny":["x"]}}"#,
        ),
        (
            "changed on the host",
            r#"{"env":1}"#,
            r#"{"env":2}"#,
            r#"{"env":3}"#,
            r#"{"env":3}"#,
        ),
        (
            "host deleted it",
            r#"{"env":1}"#,
            r#"{"env":1}"#,
            r#"{}"#,
            r#"{}"#,
        ),
        (
            "in a new object",
            r#"{}"#,
            r#"{"projects":{"/w":{"allowedTools":["Bash"],"n":1}}}"#,
            r#"{}"#,
            r#"{"projects":{"/w":{"n":1}}}"#,
        ),
        (
            "in a known object",
            r#"{"projects":{"/w":{}}}"#,
            r#"{"projects":{"/w":{"hasTrustDialogAccepted":true,"n":1}}}"#,
            r#"{"projects":{"/w":{}}}"#,
            r#"{"projects":{"/w":{"n":1}}}"#,
        ),
        (
            "in an array",
            r#"{}"#,
            r#"{"l":[{"apiKeyHelper":"sh","n":1},[{"hooks":1}]]}"#,
            r#"{}"#,
            r#"{"l":[{"n":1},[{}]]}"#,
        ),
        (
            "with escapes",
            r#"{}"#,
            r#"{"mcp\u0053ervers":1,"\u0068ooks":2}"#,
            r#"{}"#,
            r#"{}"#,
        ),
        (
            "twice",
            r#"{}"#,
            r#"{"a":1,"a":{"hooks":1}}"#,
            r#"{}"#,
            r#"{"a":{}}"#,
        ),
        (
            "by prototype",
            r#"{}"#,
            r#"{"__proto__":{"a":1},"a":{"__proto__":{"hooks":1}}}"#,
            r#"{}"#,
            r#"{"a":{}}"#,
        ),
        (
            "leaf replaced by an object",
            r#"{"a":1}"#,
            r#"{"a":{"hooks":1,"b":1}}"#,
            r#"{"a":1}"#,
            r#"{"a":{"b":1}}"#,
        ),
        // The host's values under an object that the box removes or replaces stay; the rest goes.
        (
            "object deleted",
            r#"{"p":{"/w":{"n":1,"allowedTools":[]}}}"#,
            r#"{}"#,
            r#"{"p":{"/w":{"n":1,"allowedTools":[]}}}"#,
            r#"{"p":{"/w":{"allowedTools":[]}}}"#,
        ),
        (
            "object emptied",
            r#"{"p":{"n":1,"hooks":1}}"#,
            r#"{"p":{}}"#,
            r#"{"p":{"n":1,"hooks":1}}"#,
            r#"{"p":{"hooks":1}}"#,
        ),
        (
            "object replaced",
            r#"{"p":{"n":1,"hooks":1}}"#,
            r#"{"p":7}"#,
            r#"{"p":{"n":1,"hooks":1}}"#,
            r#"{"p":{"n":1,"hooks":1}}"#,
        ),
        (
            "array that holds one",
            r#"{"l":[{"env":1}]}"#,
            r#"{"l":[]}"#,
            r#"{"l":[{"env":1}]}"#,
            r#"{"l":[{"env":1}]}"#,
        ),
        (
            "array without one",
            r#"{"l":[{"n":1}]}"#,
            r#"{"l":[]}"#,
            r#"{"l":[{"n":1}]}"#,
            r#"{"l":[]}"#,
        ),
        // The login travels.
        (
            "login",
            r#"{}"#,
            r#"{"oauthAccount":{"id":1},"primaryApiKey":"k"}"#,
            r#"{"a":1}"#,
            r#"{"a":1,"oauthAccount":{"id":1},"primaryApiKey":"k"}"#,
        ),
        (
            "log-out",
            r#"{"oauthAccount":{"id":1},"a":1}"#,
            r#"{"a":1}"#,
            r#"{"oauthAccount":{"id":1},"a":1}"#,
            r#"{"a":1}"#,
        ),
    ] {
        assert_eq!(result(base, boxed, host), expected, "{name}");
    }
}

/// Every name of the list, at three depths, added, changed and deleted: the host's text must not change at all.
#[test]
fn every_name_of_the_list_stays() {
    for name in crate::supervise::never::NAMES {
        for (before, after) in [("{", "}"), (r#"{"a":{"#, "}}"), (r#"{"a":[{"b":{"#, "}}]}")] {
            let with = |value: &str| format!("{before}\"{name}\":{value},\"z\":1{after}");
            let without = format!("{before}\"z\":1{after}");
            for (base, boxed) in [
                (without.clone(), with("1")),
                (with("1"), with("2")),
                (with("1"), without.clone()),
            ] {
                let merged = merge(Some(&base), &boxed, Some(&base)).unwrap();
                assert_eq!(merged.text, None, "{base} -> {boxed}");
                assert!(
                    merged.withheld.contains(name),
                    "{name}: {:?}",
                    merged.withheld
                );
            }
        }
    }
}

#[test]
fn what_is_withheld_is_said() {
    let names = |base: &str, boxed: &str| -> Vec<&str> {
        merge(Some(base), boxed, Some(base))
            .unwrap()
            .withheld
            .into_iter()
            .collect()
    };
    assert_eq!(
        names("{}", r#"{"hooks":1,"o":{"fooHelper":1},"hasTrustX":1}"#),
        ["Helper", "hasTrust", "hooks"]
    );
    assert!(
        names(r#"{"hooks":1}"#, r#"{"hooks":1,"a":1}"#).is_empty(),
        "unchanged is not withheld"
    );
}

#[test]
fn errors_name_the_side() {
    for (boxed, host, expected) in [
        ("{", Some("{}"), "the box's copy is not JSON (at byte 1)"),
        ("", Some("{}"), "the box's copy is not JSON (at byte 0)"),
        ("[]", Some("{}"), "the box's copy is not a JSON object"),
        ("{}", Some("{,"), "the host's file is not JSON (at byte 1)"),
        ("{}", Some("[1]"), "the host's file is not a JSON object"),
        ("null", None, "the box's copy is not a JSON object"),
    ] {
        assert_eq!(merge(None, boxed, host).unwrap_err().to_string(), expected);
    }
}

/// Whatever the box writes: what only the host has is never lost, and nothing of the list arrives.
#[test]
fn random_boxes_cannot_take_or_plant() {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |below: u64| {
        // xorshift64 (Marsaglia), seeded: a failure can be repeated.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    fn tree(random: &mut impl FnMut(u64) -> u64, depth: u32) -> String {
        let names = ["a", "b", "c", "hooks", "mcpServers", "h\\u006foks", "env"];
        match random(if depth == 0 { 2 } else { 6 }) {
            0 => "1".to_owned(),
            1 => "\"x\"".to_owned(),
            2 => {
                let items: Vec<_> = (0..random(3)).map(|_| tree(random, depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let count = random(4);
                let members: Vec<_> = (0..count)
                    .map(|_| {
                        let name = usize::try_from(random(7)).unwrap();
                        format!(
                            "\"{}\":{}",
                            names.get(name).unwrap(),
                            tree(random, depth - 1)
                        )
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
    fn listed(value: &Value<'_>, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Leaf(_) => {}
            Value::Array(items) => items
                .iter()
                .for_each(|item| listed(item, &format!("{path}[]"), out)),
            Value::Object(members) => {
                for (key, value) in members {
                    let path = format!("{path}/{}", String::from_utf8_lossy(key.name()));
                    if travels_not(key.name(), Holds::State).is_some() {
                        out.insert(format!("{path}={value:?}"));
                    } else {
                        listed(value, &path, out);
                    }
                }
            }
        }
    }
    let (mut merged_ones, mut changed) = (0, 0);
    for _ in 0..20_000 {
        let base = tree(&mut random, 4);
        let (boxed, host) = (
            tree(&mut random, 4),
            if random(2) == 0 {
                base.clone()
            } else {
                tree(&mut random, 4)
            },
        );
        let Ok(merged) = merge(Some(&base), &boxed, Some(&host)) else {
            continue;
        };
        merged_ones += 1;
        let Some(text) = merged.text else { continue };
        changed += 1;
        let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
        listed(&json::parse(&host).unwrap(), "", &mut before);
        listed(&json::parse(&text).unwrap(), "", &mut after);
        assert_eq!(before, after, "{base} {boxed} {host} -> {text}");
        // A second round with the box in step changes nothing.
        let again = merge(Some(&boxed), &boxed, Some(&text)).unwrap();
        assert_eq!(again.text, None, "{base} {boxed} {host} -> {text}");
    }
    assert!(
        merged_ones > 2_000 && changed > 500,
        "{merged_ones} {changed}"
    );
}

/// Logged in in the box, gemini asked again at each start how to.
#[test]
fn the_way_of_logging_in_is_kept() {
    let boxed = r#"{"security":{"auth":{"selectedType":"oauth-personal","useExternal":true},"folderTrust":{"enabled":false}},"theme":"light"}"#;
    let merged = super::merge(Some("{}"), boxed, Some("{}"), Holds::Settings).unwrap();
    assert_eq!(
        merged.text.unwrap(),
        r#"{"security":{"auth":{"selectedType":"oauth-personal"}},"theme":"light"}"#
    );
}

#[test]
fn settings_that_nobody_knows_stay_the_hosts() {
    let host = r#"{"theme":"dark","general":{"vimMode":true,"checkpointing":{"enabled":false}},"experimental":{"a":1}}"#;
    let boxed = r#"{"theme":"light","general":{"vimMode":false,"checkpointing":{"enabled":true}},"later":["sh","-c","id"],"ui":{"x":1}}"#;
    let merged = super::merge(Some(host), boxed, Some(host), Holds::Settings).unwrap();
    assert_eq!(
        merged.text.unwrap(),
        r#"{"theme":"light","general":{"vimMode":false,"checkpointing":{"enabled":false}},"experimental":{"a":1},"ui":{}}"#
    );
    assert_eq!(
        merged.withheld.into_iter().collect::<Vec<_>>(),
        [crate::supervise::never::OTHER]
    );
}
