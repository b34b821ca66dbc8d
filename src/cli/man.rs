//! `agentbox man`: manual pages, made from the help texts.

#![forbid(unsafe_code)]

use super::args::{Cli, ManArgs};
use super::say::{self, Said};
use crate::exit;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::path::Path;

/// Prints a page, or writes all of them.
#[must_use]
pub fn man(args: &ManArgs) -> u8 {
    let done = match (&args.command, &args.dir) {
        (_, Some(dir)) => write_all(dir),
        (command, None) => print(command.as_deref()),
    };
    match done {
        Ok(()) => 0,
        Err(Failure::Told) => exit::NO,
        Err(Failure::Said(what)) => {
            say::error(what);
            exit::NO
        }
        Err(Failure::Usage(what)) => {
            say::error(what);
            exit::USAGE
        }
    }
}

enum Failure {
    Told,
    Said(String),
    Usage(String),
}

fn print(name: Option<&str>) -> Result<(), Failure> {
    let all = pages();
    let wanted = name.map_or("agentbox".to_owned(), |name| format!("agentbox-{name}"));
    let Some((_, page)) = all.iter().find(|(title, _)| *title == wanted) else {
        let name = name.unwrap_or_default();
        return Err(Failure::Usage(format!(
            "no subcommand `{name}`; `agentbox --help` lists them"
        )));
    };
    match say::out(&String::from_utf8_lossy(page)) {
        Said::Fine => Ok(()),
        Said::Lost => Err(Failure::Told),
    }
}

fn write_all(dir: &Path) -> Result<(), Failure> {
    for (title, page) in pages() {
        let path = dir.join(format!("{title}.1"));
        std::fs::write(&path, page)
            .map_err(|e| Failure::Said(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

/// Title and text of every page: `agentbox`, and one for each subcommand.
pub(super) fn pages() -> Vec<(String, Vec<u8>)> {
    let mut whole = Cli::command();
    whole.build();
    let subs = whole.get_subcommands().filter(|sub| !sub.is_hide_set());
    let subs: Vec<Command> = subs.cloned().collect();
    std::iter::once(whole)
        .chain(subs)
        .map(|command| {
            // What `build` made of the name: `agentbox-run`.
            let title = command
                .get_display_name()
                .unwrap_or_else(|| command.get_name());
            let title = title.to_owned();
            let mut page = Vec::new();
            // A Vec takes everything.
            let _ = Man::new(command).render(&mut page);
            (title, page)
        })
        .collect()
}
