//! `agentbox refused PATH [ARG...]`: what a stub runs in the box. It says who refuses the program and what can be done, reports
//! it to the supervisor, and ends as a program that cannot be executed does. Part of no command line of a human's.

#![forbid(unsafe_code)]

use super::say;
use crate::exit;
use crate::plan::OsText;
use crate::plan::refused::{REPORT, RULES, rule_in};
use crate::policy::origin::is_over_profiles;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The most bytes of a report.
const REPORT_MAX: usize = 4096;

/// Says it, reports it. Returns the exit status.
#[must_use]
pub(super) fn refused(words: &[OsString]) -> u8 {
    let path = words.first().map(PathBuf::from).unwrap_or_default();
    let path = by_descriptor(path);
    let name = path.file_name().unwrap_or_default();
    let rules = std::fs::read_to_string(RULES).unwrap_or_default();
    let shown = OsText::from(name);
    say::error(&match rule_in(&rules, name.as_bytes()) {
        Some((rule, origin)) if origin.starts_with("floor ") => format!(
            "`{shown}` is refused in this box by [commands] deny \"{rule}\" ({origin}): do not look for another way; \
             only who administers this machine can change the floor"
        ),
        Some((rule, origin)) => format!(
            "`{shown}` is refused in this box by [commands] deny \"{rule}\" ({origin}): do not look for another way; \
             the human can allow it with --allow-command {shown}, or {}",
            match is_over_profiles(origin) {
                true => "change that line, which is stronger than a profile",
                false => "with [commands] allow in a profile",
            }
        ),
        None => format!(
            "`{shown}` is another name of a program that [commands] deny refuses in this box: do not look for another way; \
             `agentbox why exec {shown}` says by which rule"
        ),
    });
    report(path.as_os_str(), words.get(1..).unwrap_or_default());
    exit::CANNOT_EXECUTE
}

/// A stub that was started by its descriptor (fexecve(3)) is named by that.
fn by_descriptor(path: PathBuf) -> PathBuf {
    if path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") {
        return std::fs::read_link(&path).unwrap_or(path);
    }
    path
}

/// One datagram: the path and the arguments, each ended by a NUL byte. Nobody waits for it, and nothing depends on it.
fn report(path: &OsStr, arguments: &[OsString]) {
    let mut text = Vec::new();
    for word in std::iter::once(path).chain(arguments.iter().map(OsString::as_os_str)) {
        text.extend_from_slice(word.as_bytes());
        text.push(0);
    }
    text.truncate(REPORT_MAX);
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = socket.send_to(&text, Path::new(REPORT));
    }
}
