//! The table of `agentbox profiles list`.

#![forbid(unsafe_code)]

use super::columns;
use crate::plan::OsText;
use crate::profile::Listed;
use crate::profile::schema::Place;

/// Name, commands, place and description of each profile.
#[must_use]
pub fn table(listed: &[Listed]) -> String {
    let mut rows = vec![["NAME", "COMMANDS", "FROM", "DESCRIPTION"].map(str::to_owned)];
    for profile in listed {
        let (commands, description) = match &profile.parsed {
            Ok(fragment) => (
                fragment.commands.join(" "),
                fragment.description.clone().unwrap_or_default(),
            ),
            Err(_) => (String::new(), "INVALID: see below".to_owned()),
        };
        let from = match &profile.place {
            Place::Builtin(_) => "built in".to_owned(),
            Place::File(path) => path.clone(),
        };
        let note = if profile.replaced { " (replaced)" } else { "" };
        rows.push(
            [
                profile.name.clone(),
                commands,
                format!("{from}{note}"),
                description,
            ]
            .map(
                // Texts of files: they must not write on the terminal.
                |cell| OsText::from(cell).to_string(),
            ),
        );
    }
    columns(&rows)
}
