//! `[[kill-switch.remote]]`: switches that are somewhere else.

#![forbid(unsafe_code)]

use super::remote_url::target;
use super::{Item, Walk};
use crate::plan::OsText;
use crate::plan::remote::{
    OnUnreachable, RemoteSwitch, Target, TokenFrom, VARIABLES, fill_publish,
};
use crate::profile::error::closest;
use crate::profile::keys::keys_of;
use crate::profile::value;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Asked less often, a switch is none; more often, it is an attack on whoever answers.
const INTERVAL: (f64, f64) = (0.2, 3600.0);

/// The texts of one table, each with its place.
pub(super) struct Texts(BTreeMap<String, (String, Range<usize>)>);

impl Texts {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(text, _)| text.as_str())
    }

    fn at(&self, key: &str, whole: &Range<usize>) -> Range<usize> {
        self.0.get(key).map_or(whole.clone(), |(_, at)| at.clone())
    }
}

impl Walk<'_> {
    /// One key of the table.
    pub(super) fn kill_switch(&mut self, name: &str, value: &Item<'_>) {
        match name {
            "remote" => self.remotes(value),
            "team" => {
                if let Some(team) = self.string(value, "a text") {
                    let wish = self.wish(team.to_owned(), &value.span());
                    self.out.fragment.team = Some(wish);
                }
            }
            _ => self.each(value, |walk, text, at| match value::stop_file(text) {
                Ok(name) => {
                    let wish = walk.wish(name, &at);
                    walk.out.fragment.stop_files.push(wish);
                }
                Err(bad) => walk.bad(at, bad),
            }),
        }
    }

    /// The list of them.
    fn remotes(&mut self, value: &Item<'_>) {
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(value, "a list of tables, `[[kill-switch.remote]]`");
        };
        for item in array.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong_type(item, "a table");
                continue;
            };
            let before = self.problems.len();
            let switch = self.remote(table, item.span());
            if let Some(switch) = switch.filter(|_| self.problems.len() == before) {
                let wish = self.wish(switch, &item.span());
                self.out.fragment.remotes.push(wish);
            }
        }
    }

    fn remote(&mut self, table: &DeTable<'_>, whole: Range<usize>) -> Option<RemoteSwitch> {
        let (texts, keys) = self.parts_of_remote(table);
        let name = self.needed(&texts, "name", &whole, "name = \"ops\"")?;
        if let Err(what) = good_name(&name) {
            self.problem(texts.at("name", &whole), what, "letters, digits and `-`");
        }
        let url = self.needed(&texts, "url", &whole, URL)?;
        let target = match target(&url, &keys, &texts) {
            Ok(target) => target,
            Err(what) => {
                self.problem(texts.at("url", &whole), what, URL);
                return None;
            }
        };
        // Whether the variables are known; which values they have is found out when a session starts.
        if let Err(what) = target.filled(&|_| Some("x".to_owned())) {
            let known = VARIABLES.map(|name| format!("${{{name}}}")).join(", ");
            self.problem(texts.at("url", &whole), what, format!("known are {known}"));
        }
        if !cfg!(feature = "remote-switch")
            && !matches!(target, Target::File { .. } | Target::Exec { .. })
        {
            let what =
                "this agentbox was built without `remote-switch`: it knows file:// and exec: only";
            self.problem(
                texts.at("url", &whole),
                what,
                "cargo install with the default features",
            );
        }
        let interval = self.seconds(&texts, "interval", &whole, 10.0);
        let timeout = self.seconds(&texts, "timeout", &whole, 5.0);
        let jitter = self.seconds(&texts, "jitter", &whole, interval / 10.0);
        let grace = self.seconds(
            &texts,
            "grace",
            &whole,
            60.0_f64.max(3.0 * (interval + timeout)),
        );
        if !(INTERVAL.0..=INTERVAL.1).contains(&interval) {
            let help = "between 200ms and 1h";
            self.problem(
                texts.at("interval", &whole),
                "not an interval to ask in",
                help,
            );
        }
        if timeout < 0.05 {
            self.problem(
                texts.at("timeout", &whole),
                "nobody answers within that time",
                "timeout = \"5s\"",
            );
        }
        if grace < interval + jitter + timeout {
            self.problem(
                texts.at("grace", &whole),
                "the grace is shorter than interval, jitter and timeout together: a switch that is well would count as lost",
                "make it longer, or ask more often",
            );
        }
        let policy = self.needed(&texts, "on-unreachable", &whole, POLICY)?;
        let on_unreachable = OnUnreachable::ALL.into_iter().find(|p| p.name() == policy);
        if on_unreachable.is_none() {
            let what = format!("`{policy}` is no policy");
            self.problem(texts.at("on-unreachable", &whole), what, POLICY);
        }
        let path = |walk: &mut Self, key: &str| {
            let text = texts.get(key)?;
            if !text.starts_with('/') || text.contains(['\0', '\n']) {
                walk.problem(texts.at(key, &whole), "an absolute path is expected", "");
            }
            Some(OsText::from(text))
        };
        let (file, command) = (path(self, "token-file"), path(self, "token-command"));
        if file.is_some() && command.is_some() {
            let what = "`token-file` and `token-command` both say where the token is";
            self.problem(texts.at("token-command", &whole), what, "choose one");
        }
        let publish = texts.get("publish").map(str::to_owned);
        if let Some(text) = &publish
            && let Err(what) = good_publish(text, &target)
        {
            let help = "publish = \"agents:session:${host}:${session}\"";
            self.problem(texts.at("publish", &whole), what, help);
        }
        let ca = path(self, "ca");
        let drill = texts.get("drill-max-age").is_some();
        let drill_max_age = drill.then(|| self.seconds(&texts, "drill-max-age", &whole, 0.0));
        Some(RemoteSwitch {
            name,
            target,
            interval,
            timeout,
            jitter,
            grace,
            on_unreachable: on_unreachable?,
            token: file
                .map(TokenFrom::File)
                .or(command.map(TokenFrom::Command)),
            ca,
            field: texts.get("field").map(str::to_owned),
            drill_max_age,
            publish,
        })
    }

    fn parts_of_remote(&mut self, table: &DeTable<'_>) -> (Texts, Vec<String>) {
        let (mut texts, mut keys) = (BTreeMap::new(), Vec::new());
        for (key, value) in table {
            let name: &str = key.get_ref();
            let known = keys_of("kill-switch.remote").iter().map(|key| key.name);
            if !known.clone().any(|one| one == name) {
                let help = match closest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
                };
                self.problem(
                    key.span(),
                    format!("unknown key `{name}` of a remote switch"),
                    help,
                );
                continue;
            }
            if name == "keys" {
                self.each(value, |_, text, _| keys.push(text.to_owned()));
                continue;
            }
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
                _ => {
                    self.wrong_type(value, "a text");
                    continue;
                }
            };
            texts.insert(name.to_owned(), (text, value.span()));
        }
        (Texts(texts), keys)
    }

    fn needed(
        &mut self,
        texts: &Texts,
        key: &str,
        whole: &Range<usize>,
        help: &str,
    ) -> Option<String> {
        let text = texts.get(key).map(str::to_owned);
        if text.is_none() {
            self.problem(
                whole.clone(),
                format!("a remote switch without `{key}`"),
                help,
            );
        }
        text
    }

    fn seconds(&mut self, texts: &Texts, key: &str, whole: &Range<usize>, default: f64) -> f64 {
        let Some(text) = texts.get(key) else {
            return default;
        };
        match value::duration(text) {
            Ok(seconds) => seconds,
            Err(bad) => {
                self.bad(texts.at(key, whole), bad);
                default
            }
        }
    }
}

const URL: &str = "file:///share/stop, https://host/path, redis://host:6379/0 with keys, s3://bucket/key, exec:/path/program";
const POLICY: &str = "on-unreachable = \"continue\", \"pause\" or \"stop\"";

fn good_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.is_empty() && name.len() <= 40 && name.chars().all(fine) && !name.starts_with('-') {
        Ok(())
    } else {
        Err(format!("`{name}` is not a name of a remote switch"))
    }
}

/// Where the heads of records go: beside the switch, and nowhere else.
fn good_publish(text: &str, target: &Target) -> Result<(), String> {
    fill_publish(text, &|_| Some("x".to_owned()))?;
    let fine = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '?');
    if text.len() > 500 || !text.chars().all(fine) {
        return Err("at most 500 letters, digits and signs, without `#` and `?`".to_owned());
    }
    let rooted = text.starts_with('/');
    match target {
        Target::Https { .. } if !rooted => {
            Err("a path of the same server begins with `/`".to_owned())
        }
        Target::S3 { .. } if rooted => {
            Err("the key of an object does not begin with `/`".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
