//! The `sandbox` of Claude Code's settings.

#![forbid(unsafe_code)]

use super::{Profile, Settings, Word, add};
use crate::profile::value::PathUse;
use serde_json::Value;

impl Profile {
    pub(super) fn sandbox(&mut self, file: &Settings, key: &str, value: &Value) {
        match key {
            "network" => self.each(file, key, value, Self::sandbox_network),
            "filesystem" => self.each(file, key, value, Self::sandbox_files),
            "enabled" | "autoAllowBashIfSandboxed" => {}
            "excludedCommands" => self.texts(file, key, value, |p, command| {
                p.leave(
                    file,
                    &format!("excludedCommands {command}"),
                    "nothing runs outside of the box",
                );
            }),
            other => self.leave(file, &format!("sandbox.{other}"), "no counterpart is known"),
        }
    }

    fn sandbox_network(&mut self, file: &Settings, key: &str, value: &Value) {
        let word = match key {
            "allowedDomains" => Word::Allow,
            "deniedDomains" => Word::Deny,
            "allowLocalBinding" => return,
            "allowUnixSockets" | "allowAllUnixSockets" => {
                return self.leave(
                    file,
                    &format!("sandbox.network.{key}"),
                    "a socket of the host acts outside of the box: never granted",
                );
            }
            other => {
                return self.leave(
                    file,
                    &format!("sandbox.network.{other}"),
                    "no counterpart is known",
                );
            }
        };
        self.texts(file, key, value, |p, host| {
            let rule = format!("sandbox.network.{key} {host}");
            if let Err(why) = p.host(host, word, &rule) {
                p.leave(file, &rule, &why);
            }
        });
    }

    fn sandbox_files(&mut self, file: &Settings, key: &str, value: &Value) {
        self.texts(file, key, value, |p, path| {
            let rule = format!("sandbox.filesystem.{key} {path}");
            let done = match key {
                "allowWrite" => p.grant(file, path, PathUse::Write, &rule),
                "allowRead" => p.grant(file, path, PathUse::Read, &rule),
                "denyRead" => p
                    .pattern(file, path)
                    .map(|text| add(&mut p.hide, &text, &rule)),
                "denyWrite" => p
                    .pattern(file, path)
                    .map(|text| add(&mut p.protect, &text, &rule)),
                _ => Err("no counterpart is known".to_owned()),
            };
            if let Err(why) = done {
                p.leave(file, &rule, &why);
            }
        });
    }
}
