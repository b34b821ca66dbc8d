//! What `agentbox self check` prints.

#![forbid(unsafe_code)]

use super::columns;
use serde::Serialize;
use std::fmt::Write as _;

/// Which program this is.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    /// The version.
    pub agentbox: &'static str,
    /// The commit that it was built from, where its build said so.
    pub commit: Option<&'static str>,
    /// What it was built for.
    pub target: String,
    /// `static` or `dynamic`.
    pub linkage: &'static str,
    /// Its file.
    pub path: String,
    /// The SHA-256 of its file, as in SHA256SUMS of a release; nothing where it cannot be read.
    pub sha256: Option<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was looked at, in a word.
    pub name: &'static str,
    /// Is it as it has to be?
    pub ok: bool,
    /// What was found.
    pub what: String,
}

/// For people.
#[must_use]
pub fn text(program: &Program, answers: &[Answer]) -> String {
    let mut out = String::new();
    let commit = program
        .commit
        .map_or("commit not told by the build".to_owned(), |commit| {
            format!("commit {commit}")
        });
    let _ = writeln!(
        out,
        "agentbox {}, {commit}, {}, {}",
        program.agentbox, program.target, program.linkage
    );
    if let Some(sum) = &program.sha256 {
        let _ = writeln!(out, "sha256 {sum}  {}", program.path);
    }
    let rows: Vec<[String; 3]> = answers
        .iter()
        .map(|answer| {
            let word = if answer.ok { "yes" } else { "no" };
            [word.into(), answer.name.into(), answer.what.clone()]
        })
        .collect();
    out.push_str(&columns(&rows));
    out
}

/// For programs.
#[must_use]
pub fn json(program: &Program, answers: &[Answer]) -> String {
    let ok = answers.iter().all(|answer| answer.ok);
    let all = serde_json::json!({"version": 1, "ok": ok, "program": program, "checks": answers});
    format!("{all:#}\n")
}
