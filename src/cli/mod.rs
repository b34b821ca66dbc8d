//! The subcommands: one line each.

/// Parses argv and runs the subcommand.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(crate::exit::REFUSED)
}
