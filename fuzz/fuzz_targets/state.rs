//! What a box made of a state file, merged into the host's: what runs things stays the host's.
#![no_main]

use agentbox::supervise::json::{Value, parse};
use agentbox::supervise::merge::merge;
use agentbox::supervise::never::{Holds, travels_not};
use std::collections::BTreeSet;

/// What stands under the names that do not travel.
fn kept(value: &Value<'_>, holds: Holds, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| kept(item, holds, &format!("{path}[]"), out)),
        Value::Object(members) => {
            for (key, value) in members {
                let path = format!("{path}/{:?}", key.name());
                if travels_not(key.name(), holds).is_some() {
                    out.insert(format!("{path}={value:?}"));
                } else {
                    kept(value, holds, &path, out);
                }
            }
        }
        _ => {}
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut parts = text.splitn(3, '\0');
    let (Some(boxed), Some(host)) = (parts.next(), parts.next()) else { return };
    let base = parts.next();
    for holds in [Holds::State, Holds::Settings, Holds::Logins] {
        look(base, boxed, host, holds);
    }
});

fn look(base: Option<&str>, boxed: &str, host: &str, holds: Holds) {
    let Ok(merged) = merge(base, boxed, Some(host), holds) else { return };
    let Some(text) = merged.text else { return };
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    if let Ok(host) = parse(host) {
        kept(&host, holds, "", &mut before);
    }
    kept(&parse(&text).expect("what is written can be read"), holds, "", &mut after);
    assert_eq!(before, after, "{holds:?}");
}
