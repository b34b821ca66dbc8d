//! The JSON Schema of profiles, made from the table of keys: what an editor (Taplo, VS Code) knows of the format is what the
//! parser knows.

#![forbid(unsafe_code)]

use super::keys::{Form, Item, Key, KeyStatus, keys_of};
use super::value::PATH_VARIABLES;
use crate::outcome::Layer;
use serde_json::{Map, Value, json};

/// Which draft editors know.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of profiles, of `config.toml` and of `.agentbox.toml`, with a newline at the end.
#[must_use]
pub fn schema() -> String {
    let mut top = table("", false);
    if let Value::Object(fields) = &mut top {
        fields.insert("$schema".into(), DRAFT.into());
        fields.insert("title".into(), "agentbox profile".into());
    }
    // Its keys are all texts, so this cannot fail.
    serde_json::to_string_pretty(&top).unwrap_or_default() + "\n"
}

/// The tables that a part under a condition may have.
const PARTS: [&str; 9] = [
    "files",
    "commands",
    "env",
    "network",
    "ssh",
    "limits",
    "layers",
    "kill-switch",
    "session",
];

fn table(name: &str, part: bool) -> Value {
    let mut properties = Map::new();
    let keys = keys_of(name).iter();
    for key in keys.filter(|key| key.status == KeyStatus::Known) {
        properties.insert(key.name.to_owned(), of_key(name, key));
    }
    if name == "when" {
        let tops = keys_of("").iter().filter(|key| PARTS.contains(&key.name));
        for key in tops {
            properties.insert(key.name.to_owned(), of_key("", key));
        }
    }
    let mut out = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if part && let Value::Object(fields) = &mut out {
        let needed: &[&str] = match name {
            "test" => &["expect"],
            "kill-switch.remote" => &["name", "url", "on-unreachable"],
            _ => &[],
        };
        fields.insert("required".into(), json!(needed));
    }
    out
}

fn of_key(parent: &str, key: &Key) -> Value {
    let below = match parent {
        "" => key.name.to_owned(),
        parent => format!("{parent}.{}", key.name),
    };
    let mut value = match key.form {
        Form::Text => json!({"type": "string"}),
        Form::Word(words) => json!({"enum": words}),
        Form::List(item) => json!({"type": "array", "items": of_item(item)}),
        Form::OneOrMore(item) => {
            let one = of_item(item);
            json!({"anyOf": [one.clone(), {"type": "array", "items": one}]})
        }
        Form::Table => table(&below, false),
        Form::Tables => json!({"type": "array", "items": table(&below, true)}),
        Form::Values => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Form::Hosts => {
            let address = json!({"type": "string", "minLength": 2});
            let value = json!({"anyOf": [address.clone(), {"type": "array", "items": address}]});
            json!({"type": "object", "additionalProperties": value})
        }
        Form::Size => number_or(r"^(none|[0-9]+(\.[0-9]+)? *[kKmMgGtT]?i?[bB]?)$"),
        Form::Memory => number_or(r"^(none|[0-9]+(\.[0-9]+)? *(%|[kKmMgGtT]?i?[bB]?))$"),
        Form::Duration => {
            number_or(r"^(none|([0-9]+(\.[0-9]+)?(ms|s|min|m|h|d))+|[0-9]+(\.[0-9]+)?)$")
        }
        Form::Count => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^(none|[1-9][0-9]*)$"},
        ]}),
        Form::Number => number_or(r"^(none|[0-9]+(\.[0-9]+)?)$"),
    };
    if let Value::Object(fields) = &mut value {
        fields.insert("description".into(), key.doc.into());
    }
    value
}

fn number_or(pattern: &str) -> Value {
    json!({"anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": pattern},
    ]})
}

/// The variables that a path may start with, for a regular expression: `\$\{(workspace|home|...)\}`.
fn variables() -> String {
    let names = PATH_VARIABLES.map(|name| name.trim_matches(['$', '{', '}']).to_owned());
    format!(r"\$\{{({})\}}", names.join("|"))
}

fn of_item(item: Item) -> Value {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    match item {
        Item::Text | Item::Profile => json!({"type": "string", "minLength": 1}),
        Item::Command => text("^[^/]+$"),
        Item::Path => text(&format!(r"^(/|~(/|\??$)|{})", variables())),
        Item::Name => {
            let pattern = text(&format!("^!?(/|~/|{}/)", variables()));
            json!({"anyOf": [pattern.clone(), {
                "type": "object",
                "additionalProperties": false,
                "required": ["name", "holds"],
                "properties": {"name": pattern, "holds": {"enum": ["token", "service-account"]}},
            }]})
        }
        Item::Variable => text("^[A-Za-z0-9_*]+$"),
        Item::Program => text("^[^/]+$"),
        Item::Rule => json!({"anyOf": [{"type": "string", "minLength": 1}, {
            "type": "object",
            "additionalProperties": false,
            "required": ["host"],
            "properties": {
                "host": {"type": "string"},
                "ports": {"type": "array", "items": of_item(Item::Port)},
                "private": {"type": "boolean"},
                "plain": {"type": "boolean"},
                "no-sni": {"type": "boolean"},
                "wide": {"type": "boolean"},
            },
        }]}),
        Item::Host => json!({"type": "string", "minLength": 1}),
        Item::Port => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "pattern": "^[0-9]+$"},
        ]}),
        Item::Publish => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "pattern": "^[0-9]+(:[0-9]+)?$"},
        ]}),
        Item::Layer => json!({"enum": Layer::ALL.map(Layer::name)}),
    }
}

#[cfg(test)]
#[path = "json_schema_tests.rs"]
mod tests;
