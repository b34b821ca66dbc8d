//! `[limits]` and `hard-links`: words and numbers with units.

#![forbid(unsafe_code)]

use super::{Item, Walk};
use crate::plan::LimitName;
use crate::profile::value;
use toml::de::DeValue;

impl Walk<'_> {
    pub(super) fn hard_links(&mut self, value: &Item<'_>) {
        let Some(text) = self.string(value, "\"copy\", \"refuse\" or \"allow\"") else {
            return;
        };
        match value::hard_links(text) {
            Ok(rule) => self.out.fragment.hard_links = Some(self.wish(rule, &value.span())),
            Err(bad) => self.bad(value.span(), bad),
        }
    }

    pub(super) fn limit(&mut self, name: &str, value: &Item<'_>) {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            _ => {
                self.wrong_type(value, "a number or a text");
                return;
            }
        };
        let at = value.span();
        if name == "stop-grace" {
            match value::duration(&text) {
                Ok(seconds) => self.out.fragment.stop_grace = Some(self.wish(seconds, &at)),
                Err(bad) => self.bad(at, bad),
            }
            return;
        }
        let limit: Option<LimitName> = value::LIMITS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, limit)| *limit);
        let Some(limit) = limit else {
            self.problem(at, format!("`{name}` is not read"), "");
            return;
        };
        match value::limit(limit, &text) {
            Ok(wish) => {
                let wish = self.wish(wish, &at);
                self.out.fragment.limits.push((limit, wish));
            }
            Err(bad) => self.bad(at, bad),
        }
    }
}
