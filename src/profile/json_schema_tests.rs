//! What is shipped is what is generated: the schema, and the reference of the format.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::profile::keys::TABLES;
use std::fmt::Write as _;

fn shipped(path: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("AGENTBOX_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{}: AGENTBOX_BLESS=1 cargo test --lib profile::json_schema",
        path.display()
    );
}

#[test]
fn the_schema_that_is_shipped_is_this_one() {
    shipped("docs/profile.schema.json", &schema());
}

#[test]
fn the_reference_that_is_shipped_is_of_these_keys() {
    shipped("docs/profile-reference.md", &reference());
}

fn reference() -> String {
    let mut out = "# The keys of profiles\n\n\
        Generated from the table that the parser and `agentbox profiles schema` use; [profiles.md](profiles.md) explains the \
        format. Every key may be left out, and one that is not here is an error.\n"
        .to_owned();
    for (table, keys) in TABLES {
        let title = match *table {
            "" => "The top of the file".to_owned(),
            "kill-switch.remote" | "test" | "when" => format!("`[[{table}]]`"),
            table => format!("`[{table}]`"),
        };
        write!(out, "\n## {title}\n\n| key | is | |\n|---|---|---|\n").unwrap();
        for key in keys.iter().filter(|key| key.status == KeyStatus::Known) {
            writeln!(out, "| `{}` | {} | {} |", key.name, form(key.form), key.doc).unwrap();
        }
        if *table == "when" {
            writeln!(
                out,
                "\nBeside these: {}.",
                PARTS.map(|p| format!("`{p}`")).join(", ")
            )
            .unwrap();
        }
    }
    let layers = Layer::ALL
        .map(|layer| format!("`{}`", layer.name()))
        .join(", ");
    writeln!(out, "\nLayers: {layers}.").unwrap();
    let later: Vec<String> = keys_of("")
        .iter()
        .filter(|key| key.status == KeyStatus::NotEnforced)
        .map(|key| format!("`[{}]`", key.name))
        .collect();
    writeln!(
        out,
        "\nPart of the format, and refused by this version, which does not enforce them: {}.",
        later.join(", ")
    )
    .unwrap();
    out
}

fn form(form: Form) -> String {
    match form {
        Form::Text => "a text".to_owned(),
        Form::Word(words) => words
            .iter()
            .map(|w| format!("`\"{w}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
        Form::List(item) => format!("a list of {}", item_words(item)),
        Form::OneOrMore(item) => format!("one of, or a list of {}", item_words(item)),
        Form::Table => "a table".to_owned(),
        Form::Tables => "a list of tables".to_owned(),
        Form::Values => "`NAME = \"value\"`".to_owned(),
        Form::Hosts => "`\"NAME\" = \"ADDRESS\"`, or a list".to_owned(),
        Form::Size => "`\"512MiB\"`".to_owned(),
        Form::Memory => "`\"8GiB\"`, `\"75%\"`".to_owned(),
        Form::Duration => "`\"90s\"`, `\"1h30m\"`".to_owned(),
        Form::Count => "a whole number".to_owned(),
        Form::Number => "a number".to_owned(),
    }
}

fn item_words(item: Item) -> &'static str {
    match item {
        Item::Text => "texts",
        Item::Profile => "profiles",
        Item::Command => "base names",
        Item::Path => "paths",
        Item::Name => "patterns",
        Item::Variable => "names of variables",
        Item::Program => "names of programs",
        Item::Rule => "`HOST:PORTS+MARK`",
        Item::Host => "`HOST:PORTS`",
        Item::Port => "ports",
        Item::Publish => "`HOSTPORT:PORT`",
        Item::Layer => "layers",
    }
}

/// A word of a key is one that the parser takes.
#[test]
fn the_words_of_keys_are_those_of_the_parser() {
    use crate::profile::schema::{Place, Role, parse};
    let place = Place::File("p".into());
    let mut number = 0;
    for (table, keys) in TABLES
        .iter()
        .filter(|(table, _)| !table.contains('.') && !["", "test", "when"].contains(table))
    {
        for key in *keys {
            let Form::Word(words) = key.form else {
                continue;
            };
            for word in words {
                let text = format!("[{table}]\n{} = {word:?}\n", key.name);
                assert!(parse(&text, "p", &place, Role::Profile).is_ok(), "{text}");
                number += 1;
            }
            let text = format!("[{table}]\n{} = \"no-such\"\n", key.name);
            assert!(parse(&text, "p", &place, Role::Profile).is_err(), "{text}");
        }
    }
    assert!(number >= 8);
    let remote = keys_of("kill-switch.remote")
        .iter()
        .find(|key| key.name == "on-unreachable");
    let Some(Form::Word(words)) = remote.map(|key| key.form) else {
        panic!("no words");
    };
    for word in words {
        let text = format!(
            "[[kill-switch.remote]]\nname = \"a\"\nurl = \"file:///a/b\"\non-unreachable = {word:?}\n"
        );
        assert!(parse(&text, "p", &place, Role::Profile).is_ok(), "{text}");
    }
}
