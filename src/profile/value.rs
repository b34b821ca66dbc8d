//! Words of a profile and of the command line into values: sizes, durations, limits, paths, names of variables. One place,
//! so that `memory = "8GiB"` and `--limit memory=8GiB` cannot mean different things.

#![forbid(unsafe_code)]

pub use super::layer::{layer, nested, rung};
use crate::plan::net::PROXY_PORT;
use crate::plan::net::rule::{self, BadRule, Rule};
use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
use crate::policy::egress::Ports;
use crate::policy::{LimitWish, OnHangup, PathWish};

/// A value that cannot be understood: what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// In one sentence without a full stop.
    pub what: String,
    /// The remedy; may be empty.
    pub help: String,
}

/// Shorthand of this module.
pub(crate) fn bad<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue {
        what: what.into(),
        help: help.into(),
    })
}

/// The limits by the names that profiles and `--limit` use.
pub const LIMITS: [(&str, LimitName); 9] = {
    let mut out = [("", LimitName::Memory); 9];
    let mut at = 0;
    while at < out.len() {
        out[at] = (LimitName::ALL[at].word(), LimitName::ALL[at]);
        at += 1;
    }
    out
};

/// The value of a limit.
///
/// # Errors
/// Not a number of the kind that this limit has.
pub fn limit(name: LimitName, text: &str) -> Result<LimitWish, BadValue> {
    let text = text.trim();
    if text == "none" {
        return Ok(LimitWish::Unlimited);
    }
    match name {
        LimitName::Memory => match text.strip_suffix('%') {
            Some(percent) => match number(percent.trim_end()) {
                Some(value) if value > 0.0 && value <= 100.0 => Ok(LimitWish::Percent(value)),
                _ => bad(
                    format!("`{text}` is not a part of the host's memory"),
                    "between \"1%\" and \"100%\"",
                ),
            },
            None => size(text).map(LimitWish::Value),
        },
        LimitName::FileSize | LimitName::Disk | LimitName::Output => {
            size(text).map(LimitWish::Value)
        }
        LimitName::Time | LimitName::Idle => duration(text).and_then(|seconds| {
            if seconds > 0.0 {
                Ok(LimitWish::Value(seconds))
            } else {
                bad("a limit of no time", "\"90s\", \"2h\" or \"none\"")
            }
        }),
        LimitName::Cpu => match number(text) {
            Some(value) if value > 0.0 => Ok(LimitWish::Value(value)),
            _ => bad(
                format!("`{text}` is not a number of CPUs"),
                "2, 1.5 or \"none\"",
            ),
        },
        LimitName::Processes | LimitName::OpenFiles => match text.parse::<u32>() {
            Ok(value) if value > 0 => Ok(LimitWish::Value(f64::from(value))),
            _ => bad(
                format!("`{text}` is not a whole number above 0"),
                "4096 or \"none\"",
            ),
        },
    }
}

/// A decimal number: digits and at most one point. `f64::from_str` would also take "inf", "nan" and "1e9".
fn number(text: &str) -> Option<f64> {
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain
        .then(|| text.parse::<f64>().ok())?
        .filter(|value| value.is_finite())
}

/// Bytes: a number, with or without one of K, M, G, T, KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000).
///
/// # Errors
/// Not that, or 0, or more than 2^53 bytes.
pub fn size(text: &str) -> Result<f64, BadValue> {
    const HELP: &str = "a number with KiB, MiB, GiB or TiB: \"512MiB\", \"8GiB\", or \"none\"";
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return bad(format!("`{text}` is not a size"), HELP),
    };
    match number(digits).map(|value| (value * factor).floor()) {
        Some(bytes) if (1.0..=9_007_199_254_740_992.0).contains(&bytes) => Ok(bytes),
        _ => bad(format!("`{text}` is not a size"), HELP),
    }
}

/// Seconds: `90`, `"90s"`, `"2h"`, `"1h30m"`, `"500ms"`.
///
/// # Errors
/// Not that, or more than ten years.
pub fn duration(text: &str) -> Result<f64, BadValue> {
    const HELP: &str = "\"90s\", \"30m\", \"2h\", \"1h30m\"";
    const TEN_YEARS: f64 = 315_360_000.0;
    let wrong = || bad(format!("`{text}` is not a duration"), HELP);
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return wrong();
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let (value, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit {
            // A bare number is seconds, but only when it stands alone: "1h30" could mean anything.
            "" if value.len() == text.len() => 1.0,
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return wrong(),
        };
        let Some(value) = number(value) else {
            return wrong();
        };
        total += value * factor;
        rest = after;
    }
    if total > TEN_YEARS {
        return wrong();
    }
    Ok(total)
}

/// The name of a stop file: one entry of a directory, and a name that nothing else has.
///
/// # Errors
/// A path, an empty or unprintable name, or one that git or agentbox use.
pub fn stop_file(text: &str) -> Result<String, BadValue> {
    const HELP: &str = "a plain name that nothing else uses, as in \".claude-stop\"";
    let taken = [".", "..", ".git", ".agentbox.toml"].contains(&text);
    let plain = !text.is_empty()
        && text.len() <= 255
        && text.trim() == text
        && !text.contains('/')
        && !text.chars().any(char::is_control);
    if plain && !taken {
        Ok(text.to_owned())
    } else {
        bad(format!("`{text}` is not the name of a stop file"), HELP)
    }
}

/// What becomes of a session whose window is closed.
///
/// # Errors
/// Neither of the two.
pub fn hangup(text: &str) -> Result<OnHangup, BadValue> {
    match text {
        "end" => Ok(OnHangup::End),
        "detach" => Ok(OnHangup::Detach),
        _ => bad(
            format!("`{text}` is not what a hang-up can do"),
            "use `end` (the session ends) or `detach` (it goes on without a window)",
        ),
    }
}

/// What a path is for; the suffixes mean something different for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathUse {
    /// `[files] read`
    Read,
    /// `[files] write`
    Write,
    /// `[files] state`
    State,
    /// `[files] private`
    Private,
    /// `[files] project`
    Project,
    /// `[commands] search`
    Search,
}

/// What a path may start with besides `/` and `~/`.
pub const PATH_VARIABLES: [&str; 6] = [
    "${workspace}",
    "${home}",
    "${xdg_config}",
    "${xdg_cache}",
    "${xdg_data}",
    "${xdg_state}",
];

/// What a whole name in a path may be: one that stands for the working copy.
const PROJECT: &str = "${project}";

/// A path of a profile.
///
/// # Errors
/// Not absolute, not below `~/` or `${workspace}`, or with something in it that would not be what was meant.
pub fn path(text: &str, path_use: PathUse) -> Result<PathWish, BadValue> {
    const STARTS: &str = "a path starts with `/`, `~/` or `${workspace}`";
    let (rest, optional) = match text.strip_suffix('?') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let trimmed = if rest.len() > 1 {
        rest.trim_end_matches('/')
    } else {
        rest
    };
    let slash = trimmed.len() < rest.len();
    if trimmed.is_empty() {
        return bad("an empty path", STARTS);
    }
    if trimmed.contains('\0') {
        return bad("a NUL byte in a path", "");
    }
    if path_use == PathUse::Search {
        search_pattern(text, trimmed)?;
    } else if trimmed.contains(['*', '?', '[']) {
        return bad(
            format!("`{text}`: patterns are not known in this list"),
            "name the directory, or each path; a `?` at the end means \"fine if missing\"",
        );
    }
    let variable = PATH_VARIABLES
        .iter()
        .find_map(|start| trimmed.strip_prefix(start));
    let below_root = if let Some(below) = variable {
        below
    } else if let Some(below) = trimmed.strip_prefix('~') {
        below
    } else if trimmed.starts_with('/') {
        trimmed
    } else if trimmed.starts_with('$') {
        return bad(
            format!("`{text}` starts with an unknown variable"),
            format!("known are {}", PATH_VARIABLES.join(", ")),
        );
    } else {
        return bad(format!("`{text}` is not absolute"), STARTS);
    };
    if !below_root.is_empty() && !below_root.starts_with('/') {
        let help = if trimmed.starts_with('~') {
            "only the caller's own home is known: `~/`"
        } else {
            STARTS
        };
        return bad(format!("`{text}` is not a path"), help);
    }
    let mut names = below_root.split('/').filter(|name| *name != PROJECT);
    if names.any(|name| name.contains("${")) {
        return bad(
            format!("`{text}`: a variable in the middle of a path"),
            "a path may start with ${workspace}, ${home}, ${xdg_config}, ${xdg_cache}, ${xdg_data} or ${xdg_state}, and a whole name in it may be ${project}",
        );
    }
    if below_root.split('/').any(|name| name == "..") {
        return bad(
            format!("`{text}`: `..` in a grant hides what is granted"),
            "write the path out",
        );
    }
    if path_use == PathUse::State && slash {
        return bad(
            format!("`{text}`: a state file is one file"),
            "list a directory in `write`",
        );
    }
    if path_use == PathUse::Write && slash && optional {
        return bad(
            format!("`{text}`: made when missing and fine if missing"),
            "a `/` at the end makes the directory, a `?` does without it: choose one",
        );
    }
    Ok(PathWish {
        path: OsText::from(trimmed),
        optional,
        make_dir: slash && matches!(path_use, PathUse::Write | PathUse::Project),
    })
}

/// A name of a variable, or a pattern of names.
///
/// # Errors
/// Empty, with `=` or NUL, or (for `keep`) a pattern that lets nearly everything in.
pub fn variable(text: &str, list: VariableList) -> Result<String, BadValue> {
    if text.is_empty() {
        return bad("an empty name of a variable", "");
    }
    if let Some(wrong) = text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '*'))
    {
        return bad(
            format!("`{text}` is not a name of a variable"),
            if wrong == '=' {
                "to give it a value use [env] set, or `--env NAME=VALUE`"
            } else {
                "letters, digits, `_`, and `*` for any run of characters"
            },
        );
    }
    let fixed = text.bytes().filter(|b| *b != b'*').count();
    if text.contains('*') && fixed < 2 && list == VariableList::Keep {
        return bad(
            format!("`{text}` would let nearly the whole environment in"),
            "name what is needed",
        );
    }
    Ok(text.to_owned())
}

/// In a place that is searched, `*` stands for any run of bytes of one component.
fn search_pattern(text: &str, path: &str) -> Result<(), BadValue> {
    if path.contains(['?', '[']) || path.contains("**") {
        return bad(
            format!("`{text}`: of patterns only `*` is known in this list, within one component"),
            "write `/opt/*/bin`",
        );
    }
    Ok(())
}

/// The name of a program, as it stands in a directory; `*` stands for any run of bytes.
///
/// # Errors
/// It is empty, a path, a pattern where an exact name is needed, or a pattern that would refuse nearly everything.
pub fn program(text: &str, list: ProgramList) -> Result<String, BadValue> {
    if text.is_empty() || text.contains(['/', '\0']) || text == "." || text == ".." {
        return bad(
            format!("`{text}` is not the name of a program"),
            "name it as it stands in a directory of PATH, without a slash",
        );
    }
    let pattern = text.contains('*');
    if pattern && list == ProgramList::Allow {
        return bad(
            format!("`{text}`: a pattern allows nothing"),
            "name each program",
        );
    }
    if pattern && text.bytes().filter(|b| *b != b'*').count() < 2 {
        return bad(
            format!("`{text}` would refuse nearly every program"),
            "name what is meant",
        );
    }
    Ok(text.to_owned())
}

/// Which list a name of a program stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramList {
    /// `[commands] deny`
    Deny,
    /// `[commands] allow`, `--allow-command`
    Allow,
}

/// Which list a name of a variable stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableList {
    /// `[env] keep`
    Keep,
    /// `[env] deny`
    Deny,
}

/// The mode of the network.
///
/// # Errors
/// Not a mode, or one that is not enforced yet: taking `filtered` for anything else would fail open.
pub fn network(text: &str) -> Result<NetworkMode, BadValue> {
    match text {
        "none" => Ok(NetworkMode::None),
        "filtered" => Ok(NetworkMode::Filtered),
        "host" => Ok(NetworkMode::Host),
        _ => bad(
            format!("`{text}` is not a network mode"),
            "use `none`, `filtered` or `host`",
        ),
    }
}

/// What happens to files with hard links out of what the box may write.
///
/// # Errors
/// No such word.
pub fn hard_links(text: &str) -> Result<HardLinks, BadValue> {
    match HardLinks::ALL.iter().find(|(word, _)| *word == text) {
        Some((_, rule)) => Ok(*rule),
        None => bad(
            format!("`{text}` says nothing about hard links"),
            "use `copy`, `refuse` or `allow`",
        ),
    }
}

/// A TCP port.
///
/// # Errors
/// Not a number from 1 to 65535.
pub fn port(text: &str) -> Result<u16, BadValue> {
    rule::port(text).map_err(BadValue::from)
}

/// A port of the host's loopback.
///
/// # Errors
/// Not a port, or one that the box itself needs there.
pub fn host_port(text: &str) -> Result<u16, BadValue> {
    match port(text)? {
        port @ (53 | PROXY_PORT) => bad(
            format!("port {port} of the box's loopback is the box's own"),
            "let the service of the host listen on another port",
        ),
        port => Ok(port),
    }
}

/// What is published: [`ports`] of a server that the box can have.
///
/// # Errors
/// Not such ports, or one where the box has no right to listen (and where the gate may answer in its place).
pub fn publish(text: &str) -> Result<Ports, BadValue> {
    match ports(text)? {
        Ports { inside, .. } if inside < 1024 => bad(
            format!("no server of the box can listen on port {inside}"),
            "let it listen on a port from 1024 on",
        ),
        ports => Ok(ports),
    }
}

/// `PORT` or `HOSTPORT:PORT`.
///
/// # Errors
/// One of them is not a port.
pub fn ports(text: &str) -> Result<Ports, BadValue> {
    let (host, inside) = text.split_once(':').unwrap_or((text, text));
    Ok(Ports {
        host: port(host)?,
        inside: port(inside)?,
    })
}

/// Who may be reached: `HOST[:PORT[,PORT...]][+MARK...]`.
///
/// # Errors
/// Not such a rule, or one that must not be.
pub fn allow(text: &str) -> Result<Rule, BadValue> {
    Rule::allow(text).map_err(BadValue::from)
}

impl From<BadRule> for BadValue {
    fn from(bad: BadRule) -> BadValue {
        BadValue {
            what: bad.what,
            help: bad.help,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("1", Some(1.0)),
            ("4096", Some(4096.0)),
            ("8GiB", Some(8_589_934_592.0)),
            ("8 GiB", Some(8_589_934_592.0)),
            ("8g", Some(8_589_934_592.0)),
            ("1.5KiB", Some(1536.0)),
            ("2GB", Some(2e9)),
            ("512mib", Some(536_870_912.0)),
            ("0", None),
            ("0GiB", None),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1e9", None),
            ("inf", None),
            ("NaN", None),
            ("1..5G", None),
            (".5G", None),
            ("8GiBs", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("90", Some(90.0)),
            ("90s", Some(90.0)),
            ("2h", Some(7200.0)),
            ("1h30m", Some(5400.0)),
            ("500ms", Some(0.5)),
            ("0.5s", Some(0.5)),
            ("1d", Some(86_400.0)),
            ("0", Some(0.0)),
            ("", None),
            ("h", None),
            ("1h30", None),
            ("2 h", None),
            ("-1s", None),
            ("1y", None),
            ("99999d", None),
        ] {
            assert_eq!(duration(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn limits() {
        for (name, text, want) in [
            (LimitName::Memory, "75%", Some(LimitWish::Percent(75.0))),
            (LimitName::Memory, "none", Some(LimitWish::Unlimited)),
            (LimitName::Memory, "1KiB", Some(LimitWish::Value(1024.0))),
            (LimitName::Memory, "0%", None),
            (LimitName::Memory, "101%", None),
            (LimitName::Disk, "50%", None),
            (LimitName::Processes, "64", Some(LimitWish::Value(64.0))),
            (LimitName::Processes, "0", None),
            (LimitName::Processes, "1.5", None),
            (LimitName::Cpu, "1.5", Some(LimitWish::Value(1.5))),
            (LimitName::Cpu, "0", None),
            (LimitName::Time, "0s", None),
            (LimitName::Time, "1m", Some(LimitWish::Value(60.0))),
        ] {
            assert_eq!(limit(name, text).ok(), want, "{name:?} {text:?}");
        }
    }

    #[test]
    fn paths() {
        use PathUse::{Private, Project, Read, State, Write};
        for (text, path_use, want) in [
            ("/usr", Read, Some(("/usr", false, false))),
            ("/usr?", Read, Some(("/usr", true, false))),
            ("/usr/", Read, Some(("/usr", false, false))),
            ("/", Read, Some(("/", false, false))),
            ("~", Read, Some(("~", false, false))),
            ("~/.config/git?", Read, Some(("~/.config/git", true, false))),
            ("~/.claude/", Write, Some(("~/.claude", false, true))),
            ("${workspace}", Write, Some(("${workspace}", false, false))),
            (
                "${workspace}/x",
                Write,
                Some(("${workspace}/x", false, false)),
            ),
            (
                "~/.claude.json",
                State,
                Some(("~/.claude.json", false, false)),
            ),
            ("~/.cache", Private, Some(("~/.cache", false, false))),
            ("~/.claude/", State, None),
            ("~/.claude/?", Write, None),
            ("", Read, None),
            ("?", Read, None),
            ("usr", Read, None),
            ("./usr", Read, None),
            ("~root/x", Read, None),
            ("~/../other", Read, None),
            ("/a/../b", Read, None),
            ("${workspace}x", Read, None),
            ("${home}/x", Read, Some(("${home}/x", false, false))),
            ("${xdg_data}/x?", Read, Some(("${xdg_data}/x", true, false))),
            ("${HOME}/x", Read, None),
            ("${xdg_data}x", Read, None),
            ("$HOME/x", Read, None),
            ("/x/${workspace}", Read, None),
            (
                "~/x/${project}/",
                Write,
                Some(("~/x/${project}", false, true)),
            ),
            ("~/x/a${project}", Write, None),
            ("~/${project}/${home}", Write, None),
            ("${project}/x", Write, None),
            ("~/x/", Project, Some(("~/x", false, true))),
            ("~/x", Project, Some(("~/x", false, false))),
            ("/x/*.pem", Read, None),
            ("/x\0y", Read, None),
        ] {
            let got = path(text, path_use).ok();
            assert_eq!(
                got.as_ref().map(|wish| (
                    wish.path.os().to_str().unwrap(),
                    wish.optional,
                    wish.make_dir
                )),
                want,
                "{text:?}"
            );
        }
    }

    #[test]
    fn variables() {
        use VariableList::{Deny, Keep};
        for (text, list, fine) in [
            ("HOME", Keep, true),
            ("LC_*", Keep, true),
            ("*", Keep, false),
            ("A*", Keep, false),
            ("**", Keep, false),
            ("*", Deny, true),
            ("A=B", Keep, false),
            ("", Keep, false),
            ("A B", Deny, false),
            ("A?", Keep, false),
            ("A?", Deny, false),
        ] {
            assert_eq!(variable(text, list).is_ok(), fine, "{text:?}");
        }
    }

    #[test]
    fn modes_of_the_network() {
        assert_eq!(network("none").unwrap(), NetworkMode::None);
        assert_eq!(network("host").unwrap(), NetworkMode::Host);
        assert_eq!(network("filtered").unwrap(), NetworkMode::Filtered);
        assert!(network("Host").is_err());
    }

    #[test]
    fn a_layer_is_suggested() {
        assert_eq!(layer("landlock").unwrap(), crate::outcome::Layer::Landlock);
        assert_eq!(
            layer("landlok").unwrap_err().help,
            "did you mean `landlock`?"
        );
    }
}
