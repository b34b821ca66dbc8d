//! The table of `agentbox profiles list`.

#![forbid(unsafe_code)]

use super::columns;
use crate::plan::OsText;

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// NAME.
    pub name: String,
    /// The commands that select it.
    pub commands: String,
    /// Where it is.
    pub from: String,
    /// What it says of itself.
    pub description: String,
}

/// Name, commands, place and description of each profile.
#[must_use]
pub fn table(profiles: impl IntoIterator<Item = Row>) -> String {
    let mut rows = vec![["NAME", "COMMANDS", "FROM", "DESCRIPTION"].map(str::to_owned)];
    for profile in profiles {
        let Row {
            name,
            commands,
            from,
            description,
        } = profile;
        // Texts of files: they must not write on the terminal.
        rows.push([name, commands, from, description].map(|cell| OsText::from(cell).to_string()));
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_writes_on_the_terminal() {
        let row = |name: &str, description: &str| Row {
            name: name.into(),
            commands: "c".into(),
            from: "f".into(),
            description: description.into(),
        };
        assert_eq!(
            table([row("a-long-name", "d\x1b[2J"), row("b", "")]),
            "NAME         COMMANDS  FROM  DESCRIPTION\n\
             a-long-name  c         f     d\\u{1b}[2J\n\
             b            c         f\n"
        );
    }
}
