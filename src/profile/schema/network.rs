//! `[network]`: the mode, and the rules of a filtered one.

#![forbid(unsafe_code)]

use super::{Item, Role, Walk};
use crate::plan::net::ssh::PORT;
use crate::plan::net::{Mark, Rule, Target, normalise};
use crate::profile::value;
use std::net::IpAddr;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

impl Walk<'_> {
    /// One key of the table.
    pub(super) fn network(&mut self, name: &str, value: &Item<'_>) {
        match name {
            "mode" => self.mode(value),
            "allow" => self.items(value, "a list of rules", |walk, item| walk.allow(item)),
            "deny" => self.each(value, |walk, text, at| match Rule::deny(text) {
                Ok(rule) => {
                    let wish = walk.wish(rule, &at);
                    walk.out.fragment.egress.deny.push(wish);
                }
                Err(bad) => walk.problem(at, bad.what, bad.help),
            }),
            "host-ports" => {
                self.items(value, "a list of ports", |walk, item| {
                    if let Some(port) = walk.one(item, "a port", value::host_port) {
                        walk.out.fragment.egress.host_ports.push(port);
                    }
                });
                self.only_ports(&value.span(), name);
            }
            "publish" => {
                // A floor's are ports of the host alone.
                let read = match self.role {
                    Role::Floor => value::ports,
                    _ => value::publish,
                };
                self.items(value, "a list of ports", |walk, item| {
                    let want = "a port, or \"HOSTPORT:PORT\"";
                    if let Some(ports) = walk.one(item, want, read) {
                        walk.out.fragment.egress.publish.push(ports);
                    }
                });
                self.only_ports(&value.span(), name);
            }
            "hosts" => self.hosts(value),
            // `check` let it pass, but nothing here reads it: that must not be ignored.
            _ => self.problem(value.span(), format!("`{name}` is not read"), ""),
        }
    }

    fn mode(&mut self, value: &Item<'_>) {
        let Some(text) = self.string(value, "\"none\", \"filtered\" or \"host\"") else {
            return;
        };
        match value::network(text) {
            Ok(mode) => self.out.fragment.network = Some(self.wish(mode, &value.span())),
            Err(bad) => self.bad(value.span(), bad),
        }
    }

    fn items(&mut self, value: &Item<'_>, want: &str, mut take: impl FnMut(&mut Self, &Item<'_>)) {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, want);
            return;
        };
        for item in array.iter() {
            take(self, item);
        }
    }

    /// A number or a text, as one value.
    pub(super) fn one<T>(
        &mut self,
        item: &Item<'_>,
        want: &str,
        read: impl Fn(&str) -> Result<T, value::BadValue>,
    ) -> Option<crate::policy::Wish<T>> {
        let text = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => {
                self.wrong_type(item, want);
                return None;
            }
        };
        match read(&text) {
            Ok(value) => Some(self.wish(value, &item.span())),
            Err(bad) => {
                self.bad(item.span(), bad);
                None
            }
        }
    }

    /// `"HOST:PORTS+MARK"`, or a table that says the same in parts.
    fn allow(&mut self, item: &Item<'_>) {
        let rule = match item.get_ref() {
            DeValue::String(text) => Rule::allow(text),
            DeValue::Table(table) => match self.parts(table, item.span()) {
                Some((host, ports, marks)) => Rule::of(&host, ports, marks),
                None => return,
            },
            _ => return self.wrong_type(item, "a rule (a text, or a table with `host`)"),
        };
        match rule {
            Ok(rule) => {
                let wish = self.wish(rule, &item.span());
                self.out.fragment.egress.allow.push(wish);
            }
            Err(bad) => self.problem(item.span(), bad.what, bad.help),
        }
    }

    fn parts(
        &mut self,
        table: &DeTable<'_>,
        at: Range<usize>,
    ) -> Option<(String, Vec<u16>, Vec<Mark>)> {
        let problems = self.problems.len();
        let (mut host, mut ports, mut marks) = (None, Vec::new(), Vec::new());
        for (key, value) in table {
            let name: &str = key.get_ref();
            let mark = Mark::ALL.into_iter().find(|mark| mark.name() == name);
            match (name, mark) {
                ("host", _) => host = self.string(value, "a text").map(str::to_owned),
                ("ports", _) => self.items(value, "a list of ports", |walk, item| {
                    if let Some(port) = walk.one(item, "a port", value::port) {
                        ports.push(port.value);
                    }
                }),
                (_, Some(mark)) => match value.get_ref().as_bool() {
                    Some(true) => marks.push(mark),
                    Some(false) => {}
                    None => self.wrong_type(value, "true or false"),
                },
                (_, None) => self.problem(
                    key.span(),
                    format!("unknown key `{name}` in a rule"),
                    "known here: host, ports, private, plain, no-sni, wide",
                ),
            }
        }
        if host.is_none() && self.problems.len() == problems {
            self.problem(
                at,
                "a rule without `host`",
                "{ host = \"example.com\", ... }",
            );
        }
        let fine = self.problems.len() == problems;
        host.filter(|_| fine).map(|host| (host, ports, marks))
    }

    /// `"github.com"`, `"git.corp.example:2222"`.
    pub(super) fn ssh_host(&mut self, text: &str, at: Range<usize>) {
        let rule = match Rule::deny(text) {
            Ok(rule) => rule,
            Err(bad) => return self.problem(at, bad.what, bad.help),
        };
        match (rule.to, rule.ports.as_slice()) {
            (Target::Name(name), [] | [_]) => {
                let port = rule.ports.first().copied().unwrap_or(PORT);
                let wish = self.wish((name, port), &at);
                self.out.fragment.egress.ssh_hosts.push(wish);
            }
            _ => self.problem(
                at,
                format!("`{text}` is not one server"),
                "write NAME or NAME:PORT; each server has a host key of its own",
            ),
        }
    }

    /// The file of a public key.
    pub(super) fn ssh_key(&mut self, text: &str, at: Range<usize>) {
        match value::path(text, value::PathUse::Read) {
            Ok(path) => {
                let wish = self.wish(path, &at);
                self.out.fragment.egress.ssh_keys.push(wish);
            }
            Err(bad) => self.bad(at, bad),
        }
    }

    fn hosts(&mut self, value: &Item<'_>) {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, "a table of NAME = \"address\"");
            return;
        };
        for (key, value) in table {
            let name: &str = key.get_ref();
            let name = match normalise(name) {
                Ok(name) => name,
                Err(why) => {
                    let what = format!("`{name}` is not the name of a host: {why}");
                    self.problem(key.span(), what, "");
                    continue;
                }
            };
            let mut addresses = Vec::new();
            match value.get_ref() {
                DeValue::Array(array) => {
                    for item in array.iter() {
                        addresses.extend(self.address(item));
                    }
                }
                _ => addresses.extend(self.address(value)),
            }
            if addresses.is_empty() {
                if value
                    .get_ref()
                    .as_array()
                    .is_some_and(|array| array.is_empty())
                {
                    self.problem(value.span(), format!("no address for `{name}`"), "");
                }
                continue;
            }
            let wish = self.wish(addresses, &key.span());
            self.out.fragment.egress.hosts.push((name, wish));
        }
    }

    fn address(&mut self, item: &Item<'_>) -> Option<IpAddr> {
        let text = self.string(item, "an address (a text)")?;
        match text.parse::<IpAddr>() {
            Ok(address) => Some(address.to_canonical()),
            Err(_) => {
                self.problem(
                    item.span(),
                    format!("`{text}` is not an address"),
                    "write it as 192.0.2.1 or 2001:db8::1",
                );
                None
            }
        }
    }
}
