//! Git configuration as text: which entries make git run something, and a file without those that were not there before.
//! Pure. The reader sees every entry that git sees ([`crate::plan::gitconfig`]); what git calls a bad line is an error here.
//! The text is the agent's: this runs in a confined child.

#![forbid(unsafe_code)]

mod alias;
mod elsewhere;

pub use crate::plan::gitconfig::{ConfigError, MAX};
use crate::plan::gitconfig::{Entry, parse, write};
use crate::plan::names::matcher::heavy;
pub use elsewhere::leads_elsewhere;

/// Entries that make git run something, read configuration from elsewhere that may, write elsewhere (`core.worktree`,
/// `http.saveCookies`), put files of the user's into commits (`branch.NAME.mergeOptions`), send the user's passwords through somebody
/// else's hands (`http.proxy`, `http.sslVerify`) or keep `git status` and `git diff` from showing what changed (`core.excludesFile`,
/// `core.checkStat`): the diff is what a user reads before anything of the session is run. A `*` is any subsection; `?` means with or
/// without one. A key that ends in `=!` counts only when its value begins with `!`, one that ends in `=@` only when it is a
/// path to where nobody looks for git directories: a push runs the hooks of a repository that is a directory. One in `=$` does not
/// count where its value is a plain command of git's own: `difftool -x`, `rebase -x`, `grep -O`, `bisect run` and `submodule
/// foreach` run what they are told, without a `!`. One in `=/` counts when there is a slash in it: git looks a tool or a strategy
/// up by its name, and a name that climbs is any file. One in `=%` does not count where it is one line for sure. A `*` in a key is
/// any end or middle of it.
const EXECUTING: &[&str] = &[
    "alias.?=$",
    "annex.*command",
    "annex.*hook",
    "annex.*options",
    // `-F FILE` makes any file of the user's the message of the next merge, which the next session reads and a push publishes.
    "branch.*.mergeoptions",
    "branch.*.pushremote=@",
    "branch.*.remote=@",
    "branchless.?",
    "browser.*.cmd",
    "browser.*.path",
    "cola.blameviewer",
    "cola.terminal",
    // A file of the user's that the next commit shows, and has in it unless somebody takes it out.
    "commit.template=/",
    "core.alternaterefscommand",
    "core.askpass",
    // As `.git/info/attributes`: a filter or a merge driver of the user's for any file, and no diff of it.
    "core.attributesfile",
    // With these two what has the same size and the same time, which anybody sets, has not changed.
    "core.checkstat",
    "core.editor",
    // What is in there is untracked, and nobody is told.
    "core.excludesfile",
    "core.fsmonitor",
    "core.gitproxy",
    "core.hookspath",
    // `git update-index --assume-unchanged` for each file that git looks at.
    "core.ignorestat",
    "core.pager",
    "core.sshcommand",
    "core.trustctime",
    "core.virtualfilesystem",
    "core.worktree",
    // Git Credential Manager keeps and traces passwords where this says.
    "credential.?",
    "delta.?.pager",
    "diff.external",
    "diff.guitool=/",
    "diff.ignoresubmodules",
    "diff.tool=/",
    "diff.*.command",
    "diff.*.textconv",
    "difftool.*.cmd",
    "difftool.*.path",
    "filter.*.clean",
    "filter.*.process",
    // Left alone without its programs, it makes `git add` fail, outside as well (`git lfs install --local`).
    "filter.*.required",
    "filter.*.smudge",
    "format.outputdirectory=/",
    // What is in that file goes out with each patch.
    "format.signaturefile",
    "gc.recentobjectshook",
    "gc.repackfilterto=/",
    "gcrypt.?",
    "git-p4.port",
    "gitflow.path.hooks",
    "gpg.program",
    "gpg.*.defaultkeycommand",
    "gpg.*.program",
    "gui.diffopts",
    "gui.editor",
    "gui.historybrowser",
    "guitool.*.cmd",
    "hook.*.command",
    "http.?.curloptresolve",
    "http.?.delegation",
    "http.?.proxy",
    "http.?.savecookies",
    "http.?.sslcainfo",
    "http.?.sslcapath",
    "http.?.sslverify",
    "icdiff.?",
    "imap.?",
    "include.path",
    "includeif.*.path",
    "init.templatedir",
    "instaweb.browser",
    "instaweb.gitwebdir",
    "instaweb.httpd",
    "instaweb.modulepath",
    "interactive.difffilter",
    "lfs.?.customtransfer",
    "lfs.customtransfer.*.path",
    "lfs.extension.*.clean",
    "lfs.extension.*.smudge",
    "lfs.standalonetransferagent",
    "lfs.*.standalonetransferagent",
    "lfs.storage=/",
    "man.*.cmd",
    "man.*.path",
    "merge.*.driver",
    "merge.guitool=/",
    "merge.tool=/",
    "mergetool.*.cmd",
    // git-mergetool(1) hands the layout of vimdiff to `eval`: what stands in backquotes runs.
    "mergetool.*.layout",
    "mergetool.*.path",
    "pager.?",
    "protocol.?.allow",
    "pull.octopus=/",
    "pull.twohead=/",
    // What a forge is told with the next push: to merge it by itself, variables of its CI job.
    "push.pushoption",
    "rebase.instructionformat=%",
    "receive.procreceiverefs",
    "remote.*.annex-*command",
    "remote.*.annex-*hook",
    "remote.*.annex-*options",
    "remote.*.annex-*transport",
    "remote.*.annex-externaltype",
    "remote.*.annex-hooktype",
    "remote.*.gcrypt-*",
    "remote.*.proxy",
    "remote.*.pushurl=@",
    "remote.*.receivepack",
    "remote.*.uploadpack",
    "remote.*.url=@",
    "remote.*.vcs",
    "secrets.providers",
    "sendemail.?.cccmd",
    "sendemail.?.headercmd",
    "sendemail.?.sendmailcmd",
    "sendemail.?.smtpserver",
    "sendemail.?.smtpserveroption",
    "sendemail.?.smtpsslcertpath",
    "sendemail.?.tocmd",
    "sequence.editor",
    "remote.pushdefault=@",
    "status.showuntrackedfiles",
    "stgit.alias.*",
    "stgit.?.editor",
    "stgit.?.pager",
    // Where the next `git submodule update` has its hooks and configuration (git 2.53, `extensions.submodulePathConfig`).
    "submodule.*.gitdir=@",
    "submodule.*.ignore",
    "submodule.*.update=!",
    "submodule.*.url=@",
    "svn.?.authorsprog",
    "tar.*.command",
    "tig.?",
    "trailer.*.cmd",
    "trailer.*.command",
    // The filters of transcrypt run what `crypt-dir` and `openssl-path` say.
    "transcrypt.?",
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

/// Who knows whether a path of a URL leads to where git directories are looked for, and through no link. Paths as git has them:
/// absolute, or relative to the top of the working copy.
pub trait Leads: FnMut(&[u8]) -> bool {}
impl<F: FnMut(&[u8]) -> bool> Leads for F {}

/// The row of the list that an entry falls under.
fn executes(entry: &Entry, leads: &mut impl Leads) -> Option<&'static str> {
    let value = entry.value.as_deref().unwrap_or_default();
    EXECUTING.iter().copied().find(|row| {
        let (pattern, mark) = row.split_once('=').unwrap_or((row, ""));
        matches(
            pattern,
            &entry.section,
            entry.subsection.as_deref(),
            &entry.key,
        ) && match mark {
            "!" => value.first() == Some(&b'!'),
            "$" => !alias::is_plain(value),
            "/" => value.contains(&b'/'),
            "%" => !alias::is_one_line(value),
            "@" => is_unseen(value, leads),
            _ => true,
        }
    })
}

/// The path that a URL is for git (`url_is_local_not_ssh`, `parse_connect_url` of connect.c); `None` for what is elsewhere.
fn local(url: &[u8]) -> Option<Vec<u8>> {
    if let Some(rest) = url.strip_prefix(b"file://") {
        return Some([b"/".as_slice(), &decoded(rest)].concat());
    }
    let first = |byte| url.iter().position(|b| *b == byte);
    match (first(b':'), first(b'/')) {
        (None, _) => Some(url.to_vec()),
        (Some(colon), Some(slash)) if slash < colon => Some(url.to_vec()),
        _ => None,
    }
}

/// Without `%41` and the like.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, more @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                    rest = more;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

/// Is it a directory in which nobody looks for git directories, or the box's own caches? Git goes through links, we do not: `..`
/// may only stand at the beginning, and what is relative begins with it or is looked up from the top.
fn is_unseen(url: &[u8], leads: &mut impl Leads) -> bool {
    let Some(path) = local(url).filter(|path| !path.is_empty()) else {
        return false;
    };
    let names: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && **name != *b".")
        .collect();
    let climbs = path.first() != Some(&b'/');
    let back = names
        .iter()
        .skip_while(|name| climbs && ***name == *b"..")
        .any(|name| **name == *b"..");
    let hidden = |pair: &[&[u8]]| match pair {
        [above, name] => heavy(above, name) || *above == b"agentbox" && *name == b"private",
        _ => false,
    };
    back || names.first().is_some_and(|name| heavy(b"", name))
        || names.windows(2).any(hidden)
        || !leads(&path)
}

/// Does a row of the list name this key? `alias.?` and `pager.?` have the name of their own choosing as the key, or as the
/// subsection.
fn matches(pattern: &str, section: &[u8], subsection: Option<&[u8]>, key: &[u8]) -> bool {
    let words: Vec<&str> = pattern.split('.').collect();
    let same = |word: &str, text: &[u8]| match word.split_once('*') {
        Some((start, end)) => text
            .strip_prefix(start.as_bytes())
            .is_some_and(|rest| rest.ends_with(end.as_bytes())),
        None => word.as_bytes() == text,
    };
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
#[cfg(test)]
fn executing(text: &[u8]) -> Result<Vec<&'static str>, ConfigError> {
    let entries = parse(text)?.entries;
    let rows = entries
        .iter()
        .filter_map(|e| executes(e, &mut |_: &[u8]| true));
    Ok(rows.collect())
}

/// Takes the executing entries out of `now` that `base` does not have, and puts those back that it has. `None`: nothing to
/// do. A base that cannot be read counts as one without any. `work_tree` is what `core.worktree` may say: the one of a
/// submodule at its place; `leads` is asked about URLs that are paths.
///
/// # Errors
/// `now` cannot be read.
pub fn clean(
    base: &[u8],
    now: &[u8],
    work_tree: Option<&[u8]>,
    leads: &mut impl Leads,
) -> Result<Option<Cleaned>, ConfigError> {
    // Git takes the one of a submodule away and sets it again as it likes.
    let its_own = |row: &str, entry: &Entry| {
        row == "core.worktree" && work_tree.is_some() && entry.value.as_deref() == work_tree
    };
    let mut missing: Vec<Entry> = parse(base)
        .unwrap_or_default()
        .entries
        .into_iter()
        .filter(|entry| executes(entry, leads).is_some_and(|row| !its_own(row, entry)))
        .collect();
    let mut taken = Vec::new();
    let mut out = Vec::with_capacity(now.len());
    let mut from = 0;
    for entry in parse(now)?.entries {
        let Some(row) = executes(&entry, leads) else {
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
    taken.extend(missing.iter().filter_map(|entry| executes(entry, leads)));
    for entry in missing {
        out.extend(write(&[entry]));
    }
    taken.sort_unstable();
    taken.dedup();
    Ok(Some(Cleaned { text: out, taken }))
}

/// Is it an entry that says where a remote is, and is that a path?
fn place(entry: &Entry) -> Option<Vec<u8>> {
    let of_remotes = EXECUTING.iter().filter_map(|row| row.strip_suffix("=@"));
    let sub = entry.subsection.as_deref();
    of_remotes
        .into_iter()
        .any(|pattern| matches(pattern, &entry.section, sub, &entry.key))
        .then(|| local(entry.value.as_deref()?))?
}

/// The paths at which a text has remotes. Of a text that the plan has read already.
#[must_use]
pub fn local_paths(text: &[u8]) -> Vec<Vec<u8>> {
    let entries = parse(text).unwrap_or_default().entries;
    entries.iter().filter_map(place).collect()
}

/// A text without the entries that say such a path.
#[must_use]
pub fn without_paths(text: &[u8], mut gone: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for entry in parse(text).unwrap_or_default().entries {
        if place(&entry).is_some_and(|path| gone(&path)) {
            let (start, end) = whole_lines(text, from, &entry.span);
            out.extend(text.get(from..start).unwrap_or_default());
            from = end;
        }
    }
    out.extend(text.get(from..).unwrap_or_default());
    out
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
