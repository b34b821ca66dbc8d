//! `agentbox init` without a place: a configuration of the user's, by a few questions or by none.

#![forbid(unsafe_code)]

use crate::cli::change::{ChangeError, change};
use crate::cli::say::{self, Said};
use crate::cli::{CliError, places};
use crate::exit;
use crate::host::Host;
use crate::paint::{self, Tone};
use crate::plan::{LimitName, OsText};
use crate::profile::name::pattern;
use crate::profile::schema::{Place, Role, parse};
use crate::profile::{builtin, json_schema, value};
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// How often a question is asked again.
const TRIES: usize = 3;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    /// The facts of this machine cannot be had.
    #[error(transparent)]
    Host(#[from] CliError),
    /// There is no HOME.
    #[error("you have no configuration directory: HOME is not set")]
    NoHome,
    /// There is one.
    #[error("{} exists: change it by hand, or take it away first", OsText::from(.0.as_path()))]
    Exists(PathBuf),
    /// Nobody can be asked.
    #[error("stdin is no terminal, so nobody can be asked: --yes takes every default")]
    NobodyThere,
    /// Ctrl-D.
    #[error("the answers ended, and nothing was written")]
    Ended,
    /// No answer was one.
    #[error("no answer to \"{0}\" was one, and nothing was written")]
    NoAnswer(&'static str),
    /// It cannot be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Asks and writes. Returns the exit status.
#[must_use]
pub(super) fn init(yes: bool) -> u8 {
    match run(yes) {
        Ok(status) => status,
        Err(error) => {
            say::error(&error);
            match error {
                InitError::NobodyThere => exit::USAGE,
                _ => exit::NO,
            }
        }
    }
}

fn run(yes: bool) -> Result<u8, InitError> {
    let host = Host::gather().map_err(CliError::from)?;
    let dir = places(&host).user.ok_or(InitError::NoHome)?;
    let file = dir.join("config.toml");
    if file.symlink_metadata().is_ok() {
        return Err(InitError::Exists(file));
    }
    let answers = if yes {
        Answers::default()
    } else {
        if !std::io::stdin().is_terminal() {
            return Err(InitError::NobodyThere);
        }
        Answers::asked()?
    };
    let text = answers.text();
    let schema = dir.join("schema.json");
    change::<_, InitError>(&schema, || Ok((Some(json_schema::schema()), ())))?;
    change(&file, || {
        // Under the lock: of two that ask, one writes.
        if file.symlink_metadata().is_ok_and(|meta| meta.len() > 0) {
            return Err(InitError::Exists(file.clone()));
        }
        Ok((Some(text), ()))
    })?;
    let there = |agent: &&str| crate::cli::check::on_path(&host, agent).is_some();
    let agent = builtin::agents().find(there).unwrap_or("bash");
    let said = format!(
        "{} counts for every run from now on; `agentbox explain -- {agent}` shows what comes of it\nnext: agentbox run {agent}\n",
        OsText::from(file.as_path())
    );
    Ok(match say::out(&said) {
        Said::Fine => 0,
        Said::Lost => exit::NO,
    })
}

/// What was answered. The default is what holds without a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    memory: Option<String>,
    time: Option<String>,
    hide: Vec<String>,
    detach: bool,
}

impl Answers {
    fn asked() -> Result<Answers, InitError> {
        let limit = |name: LimitName| {
            move |text: &str| {
                value::limit(name, text)
                    .map(|_| text.to_owned())
                    .map_err(|bad| bad.help)
            }
        };
        let mut answers = Answers {
            memory: question(
                "how much memory may a box use",
                "75%",
                limit(LimitName::Memory),
            )?,
            time: question("how long may a session run", "none", limit(LimitName::Time))?,
            ..Answers::default()
        };
        let hide = question(
            "names to hide in every working copy besides .env, keys and state files (*.secret *.dump)",
            "none",
            names,
        )?;
        answers.hide = hide.unwrap_or_default();
        let detach = question(
            "a closed window: end the session, or detach",
            "end",
            |text| {
                value::hangup(text)
                    .map(|_| text.to_owned())
                    .map_err(|bad| bad.help)
            },
        )?;
        answers.detach = detach.is_some_and(|word| word == "detach");
        Ok(answers)
    }

    fn text(&self) -> String {
        let mut out = "#:schema ./schema.json\n# What counts for every run of this user, stronger than every profile. `agentbox profiles validate` checks it,\n\
             # docs/profiles.md explains it. Lines behind a `#` are what holds without them.\n"
            .to_owned();
        let line = |out: &mut String, set: Option<&str>, key: &str, default: &str, what: &str| {
            let _ = match set {
                Some(value) => writeln!(out, "{key} = \"{value}\""),
                None => writeln!(out, "# {key} = \"{default}\"{:<8}# {what}", ""),
            };
        };
        out.push_str("\n[limits]\n");
        line(
            &mut out,
            self.memory.as_deref(),
            "memory",
            "75%",
            "of this machine's, for each box",
        );
        line(
            &mut out,
            self.time.as_deref(),
            "time",
            "none",
            "wall-clock time of a session",
        );
        out.push_str("\n[files]\n");
        if self.hide.is_empty() {
            out.push_str("# hide = [\"${workspace}/**/*.secret\"] # more names whose content is never read\n");
        } else {
            let names: Vec<String> = self.hide.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = writeln!(out, "hide = [{}]", names.join(", "));
        }
        out.push_str("\n[session]\n");
        line(
            &mut out,
            self.detach.then_some("detach"),
            "hangup",
            "end",
            "what a closed window does",
        );
        out.push_str(
            "\n[network]\n# allow = [\"registry.example.com\"] # hosts that every box may reach\n",
        );
        debug_assert!(
            parse(
                &out,
                "config.toml",
                &Place::File(String::new()),
                Role::Config
            )
            .is_ok()
        );
        out
    }
}

/// Words into patterns of the working copy.
fn names(text: &str) -> Result<Vec<String>, String> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let name = format!("${{workspace}}/**/{word}");
            let plain =
                !word.contains(['"', '\\', '!', '/']) && word.chars().all(|c| !c.is_control());
            match pattern(&name) {
                Ok(_) if plain => Ok(name),
                Ok(_) => Err(format!("`{word}` is not a name")),
                Err(bad) => Err(bad.what),
            }
        })
        .collect()
}

/// `None` for the default.
fn question<T>(
    what: &'static str,
    default: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, InitError> {
    for _ in 0..TRIES {
        // A prompt is no line of a report.
        let prefix = paint::prefix(Tone::Word);
        let _ = write!(std::io::stderr(), "{prefix}{what} [{default}]? ");
        let mut answer = String::new();
        let got = std::io::stdin().lock().read_line(&mut answer);
        let answer = answer.trim();
        if got.is_err() || got.is_ok_and(|bytes| bytes == 0) {
            return Err(InitError::Ended);
        }
        if answer.is_empty() || answer == default {
            return Ok(None);
        }
        match read(answer) {
            Ok(value) => return Ok(Some(value)),
            Err(help) => say::error(format!("not understood: {help}")),
        }
    }
    Err(InitError::NoAnswer(what))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn understood(answers: &Answers) -> crate::policy::Fragment {
        let text = answers.text();
        let place = Place::File("config.toml".into());
        parse(&text, "config.toml", &place, Role::Config)
            .unwrap()
            .fragment
    }

    #[test]
    fn what_is_written_is_a_configuration_and_says_what_was_answered() {
        let none = understood(&Answers::default());
        assert!(none.limits.is_empty() && none.files.hide.is_empty() && none.hangup.is_none());
        let some = understood(&Answers {
            memory: Some("4GiB".into()),
            time: Some("2h".into()),
            hide: names("*.secret, x.dump").unwrap(),
            detach: true,
        });
        assert_eq!(some.limits.len(), 2);
        assert_eq!(some.files.hide.len(), 2);
        assert!(some.hangup.is_some());
        for bad in ["a\"b", "../x", "!x", "**"] {
            assert!(names(bad).is_err(), "{bad}");
        }
    }
}
