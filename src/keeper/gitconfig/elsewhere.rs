//! Where a plain `git push`, `pull` or `submodule update` goes, and whether that is where it went before.

#![forbid(unsafe_code)]

use crate::plan::gitconfig::{Entry, parse};

/// Do remotes that were there, or branches, lead elsewhere now? What is new leads nobody who does not ask for it, but for what says
/// where a push goes. A branch that was there without an entry (`has_branch`) went by itself to `origin`, or to the only remote: so
/// an entry that it has now, and a remote called `origin` beside others, lead whoever says `git push`. A text that cannot be read
/// says nothing.
#[must_use]
pub fn leads_elsewhere(base: &[u8], now: &[u8], has_branch: impl Fn(&[u8]) -> bool) -> bool {
    let (Ok(base), Ok(now)) = (parse(base), parse(now)) else {
        return false;
    };
    let values = |of: &[Entry], like: &Entry, key: &[u8]| -> Vec<Vec<u8>> {
        let same = |e: &&Entry| {
            (&e.section, &e.subsection, e.key.as_slice()) == (&like.section, &like.subsection, key)
        };
        let found = of.iter().filter(same);
        found.map(|e| e.value.clone().unwrap_or_default()).collect()
    };
    let was = |entry: &Entry| {
        let mut known = base.entries.iter();
        known.any(|e| (&e.section, &e.subsection) == (&entry.section, &entry.subsection))
    };
    let remotes = || {
        let named = base.entries.iter().filter(|e| e.section == b"remote");
        named.filter_map(|e| e.subsection.as_deref())
    };
    // `git push -u origin main` is what everybody says once; `.` is this repository.
    let is_usual = |entry: &Entry| {
        let to = values(&now.entries, entry, b"remote").pop();
        let merge = values(&now.entries, entry, b"merge");
        let own = |from: &Vec<u8>| from.strip_prefix(b"refs/heads/") == entry.subsection.as_deref();
        to.is_some_and(|to| to == b"." || remotes().any(|r| r == to) && merge.iter().all(own))
    };
    now.entries.iter().any(|entry| {
        let name = entry.subsection.as_deref().unwrap_or_default();
        let counts = match (entry.section.as_slice(), entry.key.as_slice()) {
            (b"remote", b"pushdefault") | (b"branch", b"pushremote") => true,
            // `push` and `mirror` say which branches go, and to which of its; `fetch` and `merge` which come, and a forge has those
            // of everybody (`refs/pull/1/head`).
            (b"remote", b"url" | b"pushurl" | b"push" | b"mirror" | b"fetch") => {
                was(entry) || name == b"origin" && remotes().next().is_some()
            }
            (b"branch", b"remote" | b"merge") => was(entry) || has_branch(name) && !is_usual(entry),
            // No diff shows it, other than `.gitmodules`.
            (b"submodule", b"url") => was(entry),
            _ => false,
        };
        counts
            && values(&base.entries, entry, &entry.key) != values(&now.entries, entry, &entry.key)
    })
}
