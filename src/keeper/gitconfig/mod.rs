//! Git configuration as text: which entries make git run something, and a file without those that were not there before.
//! Pure. The reader sees every entry that git sees ([`crate::plan::gitconfig`]); what git calls a bad line is an error here.
//! The text is the agent's: this runs in a confined child.

#![forbid(unsafe_code)]

pub use crate::plan::gitconfig::{ConfigError, MAX};
use crate::plan::gitconfig::{Entry, parse, write};
use crate::plan::names::matcher::heavy;

/// Entries that make git run something, read configuration from elsewhere that may, write elsewhere (`core.worktree`,
/// `http.saveCookies`) or send the user's passwords through somebody else's hands (`http.proxy`, `http.sslVerify`). A `*` is any subsection; `?` means
/// with or without one. A key that ends in `=!` counts only when its value begins with `!`, one that ends in `=@` only when it is a
/// path to where nobody looks for git directories: a push runs the hooks of a repository that is a directory.
const EXECUTING: &[&str] = &[
    "alias.?=!",
    "alias.*.command",
    "branch.*.pushremote=@",
    "branch.*.remote=@",
    "browser.*.cmd",
    "browser.*.path",
    "core.alternaterefscommand",
    "core.askpass",
    "core.editor",
    "core.fsmonitor",
    "core.gitproxy",
    "core.hookspath",
    "core.pager",
    "core.sshcommand",
    "core.virtualfilesystem",
    "core.worktree",
    "credential.?.helper",
    "diff.external",
    "diff.*.command",
    "diff.*.textconv",
    "difftool.*.cmd",
    "difftool.*.path",
    "filter.*.clean",
    "filter.*.process",
    "filter.*.smudge",
    "gc.recentobjectshook",
    "gitflow.path.hooks",
    "gpg.program",
    "gpg.*.defaultkeycommand",
    "gpg.*.program",
    "guitool.*.cmd",
    "hook.*.command",
    "http.?.proxy",
    "http.?.savecookies",
    "http.?.sslcainfo",
    "http.?.sslcapath",
    "http.?.sslverify",
    "imap.tunnel",
    "include.path",
    "includeif.*.path",
    "init.templatedir",
    "instaweb.browser",
    "instaweb.httpd",
    "interactive.difffilter",
    "lfs.?.customtransfer",
    "lfs.customtransfer.*.path",
    "lfs.extension.*.clean",
    "lfs.extension.*.smudge",
    "lfs.standalonetransferagent",
    "lfs.*.standalonetransferagent",
    "man.*.cmd",
    "man.*.path",
    "merge.*.driver",
    "mergetool.*.cmd",
    "mergetool.*.path",
    "pager.?",
    "protocol.?.allow",
    "receive.procreceiverefs",
    "remote.*.proxy",
    "remote.*.pushurl=@",
    "remote.*.receivepack",
    "remote.*.uploadpack",
    "remote.*.url=@",
    "remote.*.vcs",
    "sendemail.?.cccmd",
    "sendemail.?.headercmd",
    "sendemail.?.sendmailcmd",
    "sendemail.?.smtpserver",
    "sendemail.?.tocmd",
    "sequence.editor",
    "remote.pushdefault=@",
    "submodule.*.update=!",
    "submodule.*.url=@",
    "tar.*.command",
    "trailer.*.cmd",
    "trailer.*.command",
    "uploadpack.packobjectshook",
    "url.*.insteadof",
    "url.*.pushinsteadof",
    "web.browser",
];

/// A file without the executing entries that its base does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The new text.
    pub text: Vec<u8>,
    /// What was undone, in the words of the list above: nothing that the file says gets out.
    pub taken: Vec<&'static str>,
}

/// The row of the list that an entry falls under.
fn executes(entry: &Entry) -> Option<&'static str> {
    EXECUTING.iter().copied().find(|row| {
        let value = entry.value.as_deref().unwrap_or_default();
        let (pattern, counts) = match row.split_once('=') {
            Some((pattern, "!")) => (pattern, value.first() == Some(&b'!')),
            Some((pattern, _)) => (pattern, is_unseen(value)),
            None => (*row, true),
        };
        counts
            && matches(
                pattern,
                &entry.section,
                entry.subsection.as_deref(),
                &entry.key,
            )
    })
}

/// Is it a directory in which nobody looks for git directories, or the box's own caches?
fn is_unseen(url: &[u8]) -> bool {
    let path = url.strip_prefix(b"file://").unwrap_or(url);
    let names: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && **name != *b".")
        .collect();
    // `host:path` and `https://host/path` are elsewhere.
    let local = !names.first().is_some_and(|first| first.contains(&b':'));
    let hidden = |pair: &[&[u8]]| match pair {
        [above, name] => heavy(above, name) || *above == b"agentbox" && *name == b"private",
        _ => false,
    };
    local && (names.first().is_some_and(|name| heavy(b"", name)) || names.windows(2).any(hidden))
}

/// Does a row of the list name this key? `alias.?` and `pager.?` have the name of their own choosing as the key, or as the
/// subsection.
fn matches(pattern: &str, section: &[u8], subsection: Option<&[u8]>, key: &[u8]) -> bool {
    let words: Vec<&str> = pattern.split('.').collect();
    let same = |word: &str, text: &[u8]| word.as_bytes() == text;
    match words.as_slice() {
        [s, "?"] => same(s, section),
        [s, k] => same(s, section) && subsection.is_none() && same(k, key),
        [s, "?", k] => same(s, section) && same(k, key),
        [s, "*", k] => same(s, section) && subsection.is_some() && same(k, key),
        // `gitflow.path.hooks` is `[gitflow "path"]`.
        [s, name, k] => {
            same(s, section)
                && same(k, key)
                && subsection.is_some_and(|sub| sub.eq_ignore_ascii_case(name.as_bytes()))
        }
        // `lfs.customtransfer.NAME.path` is `[lfs "customtransfer.NAME"]`.
        [s, group, "*", k] => {
            same(s, section)
                && same(k, key)
                && subsection.is_some_and(|sub| {
                    sub.to_ascii_lowercase()
                        .strip_prefix(group.as_bytes())
                        .is_some_and(|rest| rest.first() == Some(&b'.'))
                })
        }
        _ => false,
    }
}

/// The executing entries of a file, in the words of the list.
///
/// # Errors
/// See [`ConfigError`].
pub fn executing(text: &[u8]) -> Result<Vec<&'static str>, ConfigError> {
    Ok(parse(text)?.entries.iter().filter_map(executes).collect())
}

/// Takes the executing entries out of `now` that `base` does not have, and puts those back that it has. `None`: nothing to
/// do. A base that cannot be read counts as one without any. `work_tree` is what `core.worktree` may say: the one of a
/// submodule at its place.
///
/// # Errors
/// `now` cannot be read.
pub fn clean(
    base: &[u8],
    now: &[u8],
    work_tree: Option<&[u8]>,
) -> Result<Option<Cleaned>, ConfigError> {
    // Git takes the one of a submodule away and sets it again as it likes.
    let its_own = |row: &str, entry: &Entry| {
        row == "core.worktree" && work_tree.is_some() && entry.value.as_deref() == work_tree
    };
    let mut missing: Vec<Entry> = parse(base)
        .unwrap_or_default()
        .entries
        .into_iter()
        .filter(|entry| executes(entry).is_some_and(|row| !its_own(row, entry)))
        .collect();
    let mut taken = Vec::new();
    let mut out = Vec::with_capacity(now.len());
    let mut from = 0;
    for entry in parse(now)?.entries {
        let Some(row) = executes(&entry) else {
            continue;
        };
        if its_own(row, &entry) {
            continue;
        }
        if let Some(at) = missing.iter().position(|known| known.same_as(&entry)) {
            missing.remove(at);
            continue;
        }
        taken.push(row);
        let (start, end) = whole_lines(now, from, &entry.span);
        out.extend(now.get(from..start).unwrap_or_default());
        from = end;
    }
    if taken.is_empty() && missing.is_empty() {
        return Ok(None);
    }
    out.extend(now.get(from..).unwrap_or_default());
    if !missing.is_empty() {
        end_last_line(&mut out);
    }
    taken.extend(missing.iter().filter_map(executes));
    for entry in missing {
        out.extend(write(&[entry]));
    }
    taken.sort_unstable();
    taken.dedup();
    Ok(Some(Cleaned { text: out, taken }))
}

/// Rows of the list as one byte for each of them.
#[must_use]
pub fn encode(taken: &[&'static str]) -> Vec<u8> {
    let bit = |row: &&'static str| u8::from(taken.contains(row));
    EXECUTING.iter().map(bit).collect()
}

/// The other way round, and what follows.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(Vec<&'static str>, &[u8])> {
    let (bits, rest) = bytes.split_at_checked(EXECUTING.len())?;
    let rows = EXECUTING.iter().zip(bits).filter(|(_, bit)| **bit == 1);
    Some((rows.map(|(row, _)| *row).collect(), rest))
}

/// Ends the last line, so that what follows stands for itself. After a backslash the first newline goes on with the value.
fn end_last_line(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    if text.ends_with(b"\\\n") || text.ends_with(b"\\\r\n") {
        text.push(b'\n');
    }
}

/// The span with its line, if nothing else stands on it.
fn whole_lines(text: &[u8], floor: usize, span: &std::ops::Range<usize>) -> (usize, usize) {
    let before = text.get(floor..span.start).unwrap_or_default();
    let blank = before
        .iter()
        .rev()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let start = span.start - blank;
    let starts_line = start == 0 || text.get(start - 1) == Some(&b'\n');
    if starts_line && text.get(span.end) == Some(&b'\n') {
        (start, span.end + 1)
    } else {
        (span.start, span.end)
    }
}

#[cfg(test)]
mod tests;
