//! `probe OP ARGS...`: one operation, run inside the box, and one JSON line that says what the kernel answered:
//! `{"ok":true,...}` or `{"errno":13,"name":"EACCES","at":"open"}`. Not part of the product.
//!
//! `probe batch 'OP ARGS' 'OP ARGS' ...` runs each in a child of its own, one line each, so that a table costs one start
//! and an operation that is answered by a signal shows as `{"signal":31}`.

#![allow(unsafe_code, clippy::print_stdout, clippy::exit)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::cast_possible_truncation)]

mod connect;
mod enter;
mod files;
mod ipc;
mod kernel;
mod process;
mod raw;
mod terminal;

use nix::errno::Errno;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;

/// What an operation could not do: the errno and the call that said so.
pub(crate) struct Refused {
    errno: i32,
    at: String,
}

/// The answer of an operation.
pub(crate) type Answer = Result<Value, Refused>;

/// `Err` with the errno of the last call.
pub(crate) fn last<T>(at: &str) -> Result<T, Refused> {
    refused(Errno::last_raw(), at)
}

/// `Err` with that errno.
pub(crate) fn refused<T>(errno: i32, at: &str) -> Result<T, Refused> {
    let at = at.to_owned();
    Err(Refused { errno, at })
}

/// Names the call of an I/O error.
pub(crate) trait At<T> {
    fn at(self, at: &str) -> Result<T, Refused>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, at: &str) -> Result<T, Refused> {
        self.or_else(|error| refused(error.raw_os_error().unwrap_or(0), at))
    }
}

impl<T> At<T> for nix::Result<T> {
    fn at(self, at: &str) -> Result<T, Refused> {
        self.or_else(|errno| refused(errno as i32, at))
    }
}

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((op, args)) = args.split_first() else {
        usage("no operation");
    };
    if op == "batch" {
        return batch(args);
    }
    let args = raw::Args::new(args);
    if op == "enter" {
        enter::enter(&args);
    }
    let op = op.to_string_lossy().into_owned();
    let answer = files::run(&op, &args)
        .or_else(|| kernel::run(&op, &args))
        .or_else(|| ipc::run(&op, &args))
        .or_else(|| connect::run(&op, &args))
        .or_else(|| process::run(&op, &args))
        .or_else(|| terminal::run(&op, &args));
    match answer {
        Some(answer) => say(answer),
        None => usage(&format!("no operation {op:?}")),
    }
}

/// A mistake of the test, never an answer of the kernel: a status that no test expects, and no JSON.
pub(crate) fn usage(why: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "probe: {why}");
    std::process::exit(99)
}

fn say(answer: Answer) {
    let line = match answer {
        Ok(Value::Object(mut fields)) => {
            fields.insert("ok".into(), true.into());
            Value::Object(fields)
        }
        Ok(Value::Null) => json!({"ok": true}),
        Ok(value) => json!({"ok": true, "value": value}),
        Err(Refused { errno, at }) => {
            json!({"errno": errno, "name": format!("{:?}", Errno::from_raw(errno)), "at": at})
        }
    };
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn batch(lines: &[OsString]) {
    for line in lines {
        let words = line
            .as_bytes()
            .split(|b| *b == b' ')
            .filter(|w| !w.is_empty())
            .map(|w| OsString::from_vec(w.to_vec()));
        let output = std::process::Command::new("/proc/self/exe")
            .args(words)
            .output();
        let mut out = std::io::stdout();
        match output {
            Ok(output) if output.status.signal().is_some() => {
                let _ = writeln!(out, "{}", json!({"signal": output.status.signal()}));
            }
            Ok(output) if output.stdout.is_empty() => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                usage(&format!("{line:?} said nothing: {} {why}", output.status));
            }
            Ok(output) => {
                let _ = out.write_all(&output.stdout);
            }
            Err(error) => usage(&format!("cannot run {line:?}: {error}")),
        }
    }
}
