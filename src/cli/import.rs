//! `agentbox profiles import claude`: Claude Code's permissions and sandbox settings as a profile. Its rules are asked inside of
//! the agent, by name of a tool; those of a profile hold for every process of the box. What has no counterpart is said.

#![forbid(unsafe_code)]

mod sandbox;

use crate::profile::name::pattern;
use crate::profile::value::{self, PathUse, ProgramList};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// A settings file: where it is, for people, and its text.
pub(super) struct Settings {
    pub(super) label: String,
    pub(super) text: String,
    /// What a path that begins with `/` is relative to: `${workspace}` for a project's file, `~/.claude` for the user's.
    pub(super) base: &'static str,
}

/// The profile's text, and what could not be translated.
pub(super) struct Imported {
    pub(super) text: String,
    pub(super) left: Vec<String>,
}

/// Translates them, in the order in which they are given.
///
/// # Errors
/// A file that is no JSON object, with the place.
pub(super) fn claude(files: &[Settings]) -> Result<Imported, String> {
    let mut out = Profile::default();
    for file in files {
        let bad = |what: String| format!("{}: {what}", file.label);
        let value: Value = serde_json::from_str(&file.text).map_err(|e| bad(e.to_string()))?;
        let Value::Object(top) = value else {
            return Err(bad("a JSON object is expected".to_owned()));
        };
        for (key, value) in &top {
            out.top(file, key, value);
        }
    }
    Ok(out.text())
}

/// The lists of the profile, each entry once and with where it comes from.
#[derive(Default)]
struct Profile {
    read: Vec<Entry>,
    write: Vec<Entry>,
    hide: Vec<Entry>,
    protect: Vec<Entry>,
    deny: Vec<Entry>,
    allow: Vec<Entry>,
    shun: Vec<Entry>,
    set: Vec<Entry>,
    left: Vec<String>,
}

/// A line of a list: the text in TOML, and the rule that it was.
type Entry = (String, String);

fn add(list: &mut Vec<Entry>, value: &str, rule: &str) {
    let entry = quoted(value);
    if !list.iter().any(|(known, _)| *known == entry) {
        list.push((entry, rule.to_owned()));
    }
}

/// As a TOML text.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One word of a permission list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Allow,
    Deny,
}

impl Profile {
    fn leave(&mut self, file: &Settings, what: &str, why: &str) {
        // What stands in a settings file must not be able to end the comment that it becomes.
        let what: String = what
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let line = format!("{}: {what}: {why}", file.label);
        if !self.left.contains(&line) {
            self.left.push(line);
        }
    }

    fn top(&mut self, file: &Settings, key: &str, value: &Value) {
        match key {
            "permissions" => self.each(file, key, value, Self::permissions),
            "sandbox" => self.each(file, key, value, Self::sandbox),
            "env" => self.each(file, key, value, Self::env),
            "hooks"
            | "apiKeyHelper"
            | "statusLine"
            | "enabledMcpjsonServers"
            | "enableAllProjectMcpServers" => {
                self.leave(file, key, "it says what Claude Code runs; it stays its own setting, and what runs is in the box");
            }
            // How it looks and which model it takes is no permission.
            _ => {}
        }
    }

    fn each(
        &mut self,
        file: &Settings,
        key: &str,
        value: &Value,
        take: fn(&mut Self, &Settings, &str, &Value),
    ) {
        match value.as_object() {
            Some(fields) => {
                for (key, value) in fields {
                    take(self, file, key, value);
                }
            }
            None => self.leave(file, key, "an object is expected"),
        }
    }

    fn texts(
        &mut self,
        file: &Settings,
        key: &str,
        value: &Value,
        mut take: impl FnMut(&mut Self, &str),
    ) {
        let Some(list) = value.as_array() else {
            return self.leave(file, key, "a list is expected");
        };
        for item in list {
            match item.as_str() {
                Some(text) => take(self, text),
                None => self.leave(file, key, "a text is expected"),
            }
        }
    }

    fn permissions(&mut self, file: &Settings, key: &str, value: &Value) {
        match key {
            "allow" => self.texts(file, key, value, |p, rule| p.rule(file, Word::Allow, rule)),
            "deny" => self.texts(file, key, value, |p, rule| p.rule(file, Word::Deny, rule)),
            "ask" => self.texts(file, key, value, |p, rule| {
                p.leave(
                    file,
                    &format!("ask {rule}"),
                    "a box asks nobody: it allows, or it refuses (deny)",
                );
            }),
            "additionalDirectories" => self.texts(file, key, value, |p, dir| {
                match p.place(file, dir, PathUse::Write) {
                    Ok(path) => add(&mut p.write, &path, &format!("additionalDirectories {dir}")),
                    Err(why) => p.leave(file, dir, &why),
                }
            }),
            "defaultMode" => {
                let mode = value.as_str().unwrap_or_default();
                self.leave(
                    file,
                    &format!("defaultMode {mode}"),
                    "how much Claude Code asks stays its own setting",
                );
            }
            other => self.leave(file, other, "no counterpart is known"),
        }
    }

    /// `Tool(specifier)`.
    fn rule(&mut self, file: &Settings, word: Word, rule: &str) {
        let said = if word == Word::Allow { "allow" } else { "deny" };
        let name = format!("{said} {rule}");
        let (tool, inner) = match rule.strip_suffix(')').and_then(|rule| rule.split_once('(')) {
            Some((tool, inner)) => (tool, Some(inner)),
            None => (rule, None),
        };
        let done = match (tool, inner, word) {
            ("Read", Some(path), Word::Deny) => self
                .pattern(file, path)
                .map(|p| add(&mut self.hide, &p, &name)),
            ("Edit" | "Write" | "MultiEdit" | "NotebookEdit", Some(path), Word::Deny) => self
                .pattern(file, path)
                .map(|p| add(&mut self.protect, &p, &name)),
            ("Read", Some(path), Word::Allow) => self.grant(file, path, PathUse::Read, &name),
            ("Edit" | "Write" | "MultiEdit" | "NotebookEdit", Some(path), Word::Allow) => {
                self.grant(file, path, PathUse::Write, &name)
            }
            ("WebFetch", Some(domain), _) => match domain.strip_prefix("domain:") {
                Some(host) => self.host(host, word, &name),
                None => Err("only `domain:` is known".to_owned()),
            },
            ("Bash", Some(command), Word::Deny) => self.program(command, &name),
            ("Bash", _, Word::Allow) => {
                Err("every program runs in the box; nothing has to be allowed".to_owned())
            }
            ("Bash", None, Word::Deny) => {
                Err("a box without a shell is none for Claude Code".to_owned())
            }
            ("WebSearch", ..) => Err("the search is made by the model's own service".to_owned()),
            (tool, ..) if tool.starts_with("mcp__") => {
                Err("tools of an MCP server are its own; its program runs in the box".to_owned())
            }
            (_, None, _) => Err("a tool as a whole is Claude Code's own to allow".to_owned()),
            _ => Err("no counterpart is known".to_owned()),
        };
        if let Err(why) = done {
            self.leave(file, &name, &why);
        }
    }

    /// A path of Claude Code's: `//abs`, `~/home`, `/below the settings' own directory`, and relative to the project.
    fn absolute(file: &Settings, path: &str) -> String {
        if let Some(absolute) = path.strip_prefix("//") {
            return format!("/{absolute}");
        }
        if path.starts_with("~/") {
            return path.to_owned();
        }
        if path.starts_with('/') {
            return format!("{}{path}", file.base);
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        // As in .gitignore: a name without a slash is one at any depth.
        if path.trim_end_matches("/**").contains('/') {
            format!("${{workspace}}/{path}")
        } else {
            format!("${{workspace}}/**/{path}")
        }
    }

    fn pattern(&self, file: &Settings, path: &str) -> Result<String, String> {
        let text = Self::absolute(file, path);
        // What is in a directory is hidden with it.
        let text = text.strip_suffix("/**").unwrap_or(&text).to_owned();
        pattern(&text).map_err(|bad| bad.what)?;
        Ok(text)
    }

    fn place(&self, file: &Settings, path: &str, path_use: PathUse) -> Result<String, String> {
        // The directories of the command line and of `sandbox` are plain paths.
        let text = if path.starts_with("//") || path.starts_with('/') && Path::new(path).exists() {
            path.replacen("//", "/", 1)
        } else {
            Self::absolute(file, path).replace("/**/", "/")
        };
        let text = text
            .strip_suffix("/**")
            .unwrap_or(&text)
            .trim_end_matches('/')
            .to_owned();
        let text = text + "?";
        value::path(&text, path_use).map_err(|bad| bad.what)?;
        Ok(text)
    }

    fn grant(
        &mut self,
        file: &Settings,
        path: &str,
        path_use: PathUse,
        rule: &str,
    ) -> Result<(), String> {
        let place = self.place(file, path, path_use)?;
        if place.starts_with("${workspace}") {
            return Err("the working copy is readable and writable already".to_owned());
        }
        let list = match path_use {
            PathUse::Read => &mut self.read,
            _ => &mut self.write,
        };
        add(list, &place, rule);
        Ok(())
    }

    fn host(&mut self, host: &str, word: Word, rule: &str) -> Result<(), String> {
        let checked = match word {
            Word::Allow => value::allow(host).map(drop),
            Word::Deny => crate::plan::net::Rule::deny(host)
                .map(drop)
                .map_err(value::BadValue::from),
        };
        checked.map_err(|bad| bad.what)?;
        let list = match word {
            Word::Allow => &mut self.allow,
            Word::Deny => &mut self.shun,
        };
        add(list, host, rule);
        Ok(())
    }

    /// `terraform`, `terraform:*`, `terraform *`: a program. One with arguments is compared by no kernel.
    fn program(&mut self, command: &str, rule: &str) -> Result<(), String> {
        let name = command
            .strip_suffix(":*")
            .or_else(|| command.strip_suffix(" *"))
            .unwrap_or(command);
        if name.contains(char::is_whitespace) {
            return Err(
                "arguments are not compared: refuse the program, or the host that it reaches"
                    .to_owned(),
            );
        }
        let name = value::program(name, ProgramList::Deny).map_err(|bad| bad.what)?;
        add(&mut self.deny, &name, rule);
        Ok(())
    }

    fn env(&mut self, file: &Settings, name: &str, value: &Value) {
        let Some(text) = value.as_str() else {
            return self.leave(file, &format!("env {name}"), "a text is expected");
        };
        if value::variable(name, value::VariableList::Keep).is_err() || name.contains('*') {
            return self.leave(file, &format!("env {name}"), "not a name of a variable");
        }
        if crate::plan::resolve::looks_like_credential(name, text) {
            return self.leave(
                file,
                &format!("env {name}"),
                "it looks like a credential, which a profile is no place for: --env",
            );
        }
        let entry = format!("{name} = {}", quoted(text));
        self.set.push((entry, format!("env {name}")));
    }

    fn text(self) -> Imported {
        let mut out = "# Made from Claude Code's settings. Rules there are asked inside of the agent; these hold for every process of the box.\n\
             description = \"Claude Code, with its own permissions\"\nextends = [\"builtin:claude\"]\n\n\
             [agent]\ncommands = [\"claude\"]\n"
            .to_owned();
        let lists = [
            (
                "files",
                vec![
                    ("read", &self.read),
                    ("write", &self.write),
                    ("hide", &self.hide),
                    ("protect", &self.protect),
                ],
            ),
            ("commands", vec![("deny", &self.deny)]),
            (
                "network",
                vec![("allow", &self.allow), ("deny", &self.shun)],
            ),
        ];
        for (table, lists) in lists {
            let full: Vec<_> = lists
                .into_iter()
                .filter(|(_, list)| !list.is_empty())
                .collect();
            if full.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n[{table}]");
            for (key, list) in full {
                let _ = writeln!(out, "{key} = [");
                for (entry, rule) in list {
                    let _ = writeln!(out, "    {entry}, # {}", one_line(rule));
                }
                out.push_str("]\n");
            }
        }
        if !self.set.is_empty() {
            out.push_str("\n[env.set]\n");
            for (entry, _) in &self.set {
                let _ = writeln!(out, "{entry}");
            }
        }
        if !self.left.is_empty() {
            out.push_str("\n# Not translated:\n");
            for line in &self.left {
                let _ = writeln!(out, "#   {}", one_line(line));
            }
        }
        Imported {
            text: out,
            left: self.left,
        }
    }
}

/// A comment ends with its line, whatever a rule says.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
