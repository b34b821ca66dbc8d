//! One change to a devcontainer.json: a Feature is added. The text is not parsed and written anew, since it has comments and a
//! layout that belong to its author; it is read as far as it takes to find the place.

#![forbid(unsafe_code)]

/// The text with `"FEATURE": {}` among its features.
///
/// # Errors
/// What it is instead of JSON with comments.
pub(super) fn with_feature(text: &str, feature: &str) -> Result<String, String> {
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: 0,
    };
    let top = scan.object()?;
    scan.blank()?;
    if scan.at < text.len() {
        return Err("there is something behind the last brace".to_owned());
    }
    let entry = format!("\"{feature}\": {{}}");
    let known = top.members.iter().find(|member| member.name == "features");
    let Some(features) = known else {
        let indent =
            indent_of(text, top.members.first().map(|member| member.start)).unwrap_or("    ");
        let new = format!("\n{indent}\"features\": {{\n{indent}{indent}{entry}\n{indent}}}");
        return Ok(insert(text, &top, &new));
    };
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: features.value,
    };
    let object = scan.object().map_err(|why| format!("features: {why}"))?;
    if object.members.iter().any(|member| member.name == feature) {
        return Ok(text.to_owned());
    }
    let outer = indent_of(text, Some(features.start)).unwrap_or("    ");
    let own = indent_of(text, object.members.first().map(|member| member.start));
    let inner = own.map_or_else(|| outer.repeat(2), str::to_owned);
    let mut new = format!("\n{inner}{entry}");
    if object.members.is_empty() {
        new.push('\n');
        new.push_str(outer);
    }
    Ok(insert(text, &object, &new))
}

/// Puts a member at the beginning of an object.
fn insert(text: &str, object: &Object, member: &str) -> String {
    let (before, after) = text.split_at(object.open + 1);
    let comma = match (object.members.is_empty(), after.starts_with(['\n', '\r'])) {
        (true, _) => "",
        (false, true) => ",",
        (false, false) => ",\n",
    };
    let end = if object.members.is_empty()
        && !member.ends_with(char::is_whitespace)
        && !after.starts_with('\n')
    {
        "\n"
    } else {
        ""
    };
    format!("{before}{member}{comma}{end}{after}")
}

/// What stands before that place in its line, if it is blank.
fn indent_of(text: &str, at: Option<usize>) -> Option<&str> {
    let before = text.get(..at?)?;
    let line = before.get(before.rfind('\n')? + 1..)?;
    (!line.is_empty() && line.trim().is_empty()).then_some(line)
}

/// An object: where it opens, and its members.
struct Object {
    open: usize,
    members: Vec<Member>,
}

struct Member {
    name: String,
    start: usize,
    value: usize,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong<T>(&self, want: &str) -> Result<T, String> {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Err(format!("line {line}: {want} is expected"))
    }

    fn take(&mut self, byte: u8, want: &str) -> Result<(), String> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.wrong(want)
        }
    }

    /// White space and comments.
    fn blank(&mut self) -> Result<(), String> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match rest {
                [b' ' | b'\t' | b'\n' | b'\r', ..] => self.at += 1,
                [0xef, 0xbb, 0xbf, ..] if self.at == 0 => self.at += 3,
                [b'/', b'/', ..] => {
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    self.at += end.unwrap_or(rest.len());
                }
                [b'/', b'*', ..] => match rest.windows(2).skip(2).position(|pair| pair == b"*/") {
                    Some(end) => self.at += end + 4,
                    None => return self.wrong("the end of a comment"),
                },
                _ => return Ok(()),
            }
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.take(b'"', "a text in quotes")?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return self.wrong("the end of a text"),
            }
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn object(&mut self) -> Result<Object, String> {
        self.blank()?;
        let open = self.at;
        self.take(b'{', "an object")?;
        let mut members = Vec::new();
        loop {
            self.blank()?;
            // A comma behind the last member is allowed, as editors allow it.
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Object { open, members });
            }
            let start = self.at;
            let name = self.text()?;
            self.blank()?;
            self.take(b':', "a colon")?;
            self.blank()?;
            let value = self.at;
            self.value(0)?;
            members.push(Member { name, start, value });
            self.blank()?;
            if self.peek() != Some(b'}') {
                self.take(b',', "a comma or a closing brace")?;
            }
        }
    }

    /// Walks over a value, whatever it is.
    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > 64 {
            return self.wrong("less depth");
        }
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(open @ (b'{' | b'[')) => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.at += 1;
                loop {
                    self.blank()?;
                    match self.peek() {
                        Some(byte) if byte == close => {
                            self.at += 1;
                            return Ok(());
                        }
                        Some(b',' | b':') => self.at += 1,
                        Some(_) => self.value(depth + 1)?,
                        None => return self.wrong("the end of a list or an object"),
                    }
                }
            }
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'-' => {
                while self
                    .peek()
                    .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                {
                    self.at += 1;
                }
                Ok(())
            }
            _ => self.wrong("a value"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comments_and_layout_stay() {
        for (before, after) in [
            (
                "{}",
                "{\n    \"features\": {\n        \"./a\": {}\n    }\n}",
            ),
            (
                "// mine\n{\n  /* \"features\": {} */\n  \"image\": \"x\", // tail\n}\n",
                "// mine\n{\n  \"features\": {\n    \"./a\": {}\n  },\n  /* \"features\": {} */\n  \"image\": \"x\", // tail\n}\n",
            ),
            (
                "{\n  \"image\": \"a\\\"}\",\n  \"features\": {\n    // docker\n    \"ghcr.io/x:1\": {\"v\": [1, {}]}\n  }\n}",
                "{\n  \"image\": \"a\\\"}\",\n  \"features\": {\n    \"./a\": {},\n    // docker\n    \"ghcr.io/x:1\": {\"v\": [1, {}]}\n  }\n}",
            ),
            (
                "{\n  \"features\": {}\n}",
                "{\n  \"features\": {\n    \"./a\": {}\n  }\n}",
            ),
            (
                "{\"features\": {\"./a\": {}}}",
                "{\"features\": {\"./a\": {}}}",
            ),
        ] {
            let got = with_feature(before, "./a").unwrap();
            assert_eq!(got, after);
            // Once more changes nothing.
            assert_eq!(with_feature(&got, "./a").unwrap(), got);
        }
    }

    #[test]
    fn what_is_no_such_file_is_left_alone() {
        for (text, why) in [
            ("", "line 1: an object"),
            ("[]", "line 1: an object"),
            ("{\n\"a\" 1}", "line 2: a colon"),
            ("{\"features\": []}", "features: line 1: an object"),
            ("{} x", "behind the last brace"),
            ("{/*", "the end of a comment"),
            ("{\"a", "the end of a text"),
        ] {
            let got = with_feature(text, "./a").unwrap_err();
            assert!(got.contains(why), "{text}: {got}");
        }
        let deep = format!("{{\"a\": {}}}", "[".repeat(1000));
        assert!(with_feature(&deep, "./a").is_err());
    }
}
