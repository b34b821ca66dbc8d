//! The patterns of `hide`, `protect` and `track`.

#![forbid(unsafe_code)]

use super::schema::Walk;
use super::value::{BadValue, PATH_VARIABLES, bad};
use crate::plan::OsText;
use crate::plan::names::{Holds, Verdict};
use crate::policy::NameWish;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A pattern of a profile.
///
/// # Errors
/// Not absolute, not below `~/` or `${workspace}`, or with something in it that would not do what it looks like.
pub fn pattern(text: &str) -> Result<NameWish, BadValue> {
    const STARTS: &str = "a pattern starts with `/`, `~/` or `${workspace}/`, after a `!` that lifts what is said before";
    let (rest, verdict) = match text.strip_prefix('!') {
        Some(rest) => (rest, Verdict::Lifted),
        None => (text, Verdict::Applies),
    };
    let trimmed = rest.trim_end_matches('/');
    if trimmed.is_empty() {
        return bad("an empty pattern", STARTS);
    }
    if trimmed.contains('\0') {
        return bad("a NUL byte in a pattern", "");
    }
    let below = PATH_VARIABLES
        .iter()
        .find_map(|start| trimmed.strip_prefix(start))
        .or_else(|| trimmed.strip_prefix('~'))
        .or_else(|| trimmed.starts_with('/').then_some(trimmed));
    let Some(below) = below else {
        return bad(format!("`{text}` is not absolute"), STARTS);
    };
    if !below.starts_with('/') {
        return bad(
            format!("`{text}` names no file"),
            "name what is in it: `${workspace}/**/NAME`",
        );
    }
    // `?` would mean "fine if missing" to whoever knows the other lists, and hide nothing.
    if below.replace("${", "").contains(['?', '[', '{']) {
        return bad(
            format!("`{text}`: only `*` and `**` are known in patterns"),
            "every name may be missing here; write one pattern for each name",
        );
    }
    if below.contains("${") {
        return bad(
            format!("`{text}`: a variable in the middle of a pattern"),
            format!("a pattern may start with {}", PATH_VARIABLES.join(", ")),
        );
    }
    for name in below.split('/').skip(1) {
        if matches!(name, "" | "." | "..") {
            return bad(
                format!("`{text}`: an empty name, `.` or `..`"),
                "write the pattern out",
            );
        }
        if name.contains("**") && name != "**" {
            return bad(
                format!("`{text}`: `**` stands alone between slashes"),
                "`**/NAME` is NAME in any directory; `*` is any part of one name",
            );
        }
    }
    if below.split('/').skip(1).all(|name| name == "**") {
        return bad(
            format!("`{text}` names everything"),
            "name what is in it: `${workspace}/**/NAME`",
        );
    }
    if trimmed.ends_with('\\') && !trimmed.ends_with("\\\\") {
        return bad(format!("`{text}` ends with a `\\`"), "write `\\\\` for one");
    }
    Ok(NameWish {
        pattern: OsText::from(trimmed),
        verdict,
        holds: None,
    })
}

/// What `holds` may say.
pub(super) const HOLDS: [Holds; 2] = [Holds::Token, Holds::ServiceAccount];

impl Walk<'_> {
    /// One of the three lists: texts, or `{ name = "...", holds = "token" }`.
    pub(super) fn names(&mut self, list: &str, value: &Spanned<DeValue<'_>>) {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, "a list of patterns");
            return;
        };
        for item in array.iter() {
            let wish = match item.get_ref().as_table() {
                Some(table) => self.conditional(table, item.span()),
                None => self
                    .string(item, "a pattern")
                    .and_then(|text| self.understood(pattern(text), item.span())),
            };
            let Some(wish) = wish else { continue };
            if wish.holds.is_some() && list != "hide" {
                self.problem(item.span(), "`holds` is for `hide` alone", "");
                continue;
            }
            let wish = self.wish(wish, &item.span());
            let files = &mut self.out.fragment.files;
            match list {
                "hide" => files.hide.push(wish),
                "protect" => files.protect.push(wish),
                _ => files.track.push(wish),
            }
        }
    }

    fn conditional(&mut self, table: &DeTable<'_>, at: Range<usize>) -> Option<NameWish> {
        let (mut wish, mut holds) = (None, None);
        for (key, value) in table {
            let name: &str = key.get_ref();
            match name {
                "name" => {
                    wish = self
                        .string(value, "a pattern")
                        .and_then(|text| self.understood(pattern(text), value.span()));
                }
                "holds" => {
                    let text = self.string(value, "a kind of content")?;
                    holds = HOLDS.into_iter().find(|known| known.name() == text);
                    if holds.is_none() {
                        let known = HOLDS.map(|h| format!("\"{}\"", h.name())).join(", ");
                        self.problem(
                            value.span(),
                            format!("`{text}` is no kind of content that is looked for"),
                            format!("known are {known}"),
                        );
                        return None;
                    }
                }
                _ => {
                    self.problem(
                        key.span(),
                        format!("unknown key `{name}`"),
                        "known here: name, holds",
                    );
                    return None;
                }
            }
        }
        let (Some(mut wish), Some(holds)) = (wish, holds) else {
            self.problem(
                at,
                "a pattern with a condition has two keys",
                "{ name = \"${workspace}/**/.npmrc\", holds = \"token\" }",
            );
            return None;
        };
        wish.holds = Some(holds);
        Some(wish)
    }

    fn understood<T>(&mut self, value: Result<T, BadValue>, at: Range<usize>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(bad) => {
                self.bad(at, bad);
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
