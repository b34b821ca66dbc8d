#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const COMPACT: Style = Style {
    indent: None,
    newline: false,
};

#[test]
fn texts_come_back_unchanged() {
    for text in [
        "{}",
        "[]",
        "null",
        "\"\"",
        r#"{"a":1,"b":[true,false,null,"x"],"c":{"d":{}}}"#,
        // Beyond 64 bits and beyond a double.
        r#"[12345678901234567890123,-0,1.10,1e400,1E-7,-0.0e+05]"#,
        // Escapes as they are written, a lone surrogate among them.
        r#"{"\u0061\ud800":"\ud83d\ude00 \/ \u00e9 é"}"#,
    ] {
        assert_eq!(write(&parse(text).unwrap(), &COMPACT), text);
    }
}

#[test]
fn what_javascript_writes_is_laid_out_the_same() {
    // JSON.stringify(x, null, 2), and a newline as editors add it.
    let text =
        "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    {\n      \"c\": []\n    }\n  ],\n  \"d\": {}\n}\n";
    assert_eq!(write(&parse(text).unwrap(), &Style::of(text)), text);
    let tabs = "{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}";
    assert_eq!(write(&parse(tabs).unwrap(), &Style::of(tabs)), tabs);
    assert_eq!(Style::of("{\"a\":1}"), COMPACT);
    let wide = format!("{{\n{}\"a\": 1\n}}", " ".repeat(1 << 20));
    let out = write(&parse(&wide).unwrap(), &Style::of(&wide));
    assert!(out.len() < 100, "an indent of a megabyte is not repeated");
}

#[test]
fn agrees_with_serde_json_on_what_is_json() {
    let mut rows: Vec<String> = [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "--1",
        "tru",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\u{7f}\"",
        "1 2",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":}",
        "{1:1}",
        "[",
        "]",
        "{}x",
        " { \"a\" : [ 1 , 2 ] } \n",
        "\u{b}{}",
        "// x\n1",
        "1.5e10",
        "-0",
        "0",
        "\"\\u0000\"",
        "[[]]",
        "\"\\",
        "\"\\u",
        "[\"a\",\"b\"]",
        "nulll",
        "0x10",
        "1_000",
    ]
    .map(str::to_owned)
    .into();
    // Every prefix, and every text with one byte changed, of one that has everything.
    let full = r#"{"a\n":[1.5e-3,-0,true,null,{"é":"\u00e9\ud83d\ude00"}],"b":{},"c":[]}"#;
    rows.extend(
        (0..full.len())
            .filter_map(|end| full.get(..end))
            .map(str::to_owned),
    );
    for at in 0..full.len() {
        for byte in b"{}[],:\"\\ 0-ex\n" {
            let mut bytes = full.as_bytes().to_vec();
            *bytes.get_mut(at).unwrap() = *byte;
            rows.extend(String::from_utf8(bytes));
        }
    }
    let mut good = 0;
    for row in &rows {
        // RawValue: serde_json refuses to *decode* a lone surrogate, but its grammar takes it as RFC 8259 does.
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(row).is_ok();
        assert_eq!(parse(row).is_ok(), theirs, "{row:?}");
        good += usize::from(theirs);
    }
    assert!(
        good > 50 && good < rows.len() - 50,
        "{good} of {}",
        rows.len()
    );
}

#[test]
fn two_spellings_are_one_name() {
    let Value::Object(members) = parse(
        r#"{"h\u006f\u006Fks":1,"x\/\"\\\b\f\n\r\t":2,"\ud83d\ude00":3,"\ud83d":4,"\ude00":5}"#,
    )
    .unwrap() else {
        panic!("an object")
    };
    let names: Vec<&[u8]> = members.iter().map(|(key, _)| key.name()).collect();
    assert_eq!(
        names,
        [
            b"hooks".as_slice(),
            b"x/\"\\\x08\x0c\n\r\t",
            "\u{1f600}".as_bytes(),
            b"\xed\xa0\xbd",
            b"\xed\xb8\x80",
        ]
    );
}

#[test]
fn the_last_of_two_members_counts() {
    let value = parse(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
    assert_eq!(write(&value, &COMPACT), r#"{"a":3,"b":2}"#);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(&nested(DEPTH)).is_ok());
    assert_eq!(parse(&nested(DEPTH + 1)), Err(JsonError::Depth));
    assert_eq!(parse(&"[".repeat(1_000_000)), Err(JsonError::Depth));
    assert_eq!(parse(&r#"{"a":"#.repeat(1_000_000)), Err(JsonError::Depth));
}

#[test]
fn a_byte_order_mark_is_not_content() {
    assert_eq!(parse("\u{feff}{}"), Ok(Value::Object(Vec::new())));
    assert!(parse("\u{feff}\u{feff}{}").is_err());
}
