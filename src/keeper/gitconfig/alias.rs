//! Values that run nothing but git itself.

#![forbid(unsafe_code)]

/// Commands whose options below make git run no program, and write nothing outside of the repository.
const COMMANDS: &[&str] = &[
    "add",
    "blame",
    "branch",
    "checkout",
    "commit",
    "diff",
    "log",
    "ls-files",
    "merge",
    "reflog",
    "reset",
    "restore",
    "rev-parse",
    "shortlog",
    "show",
    "stash",
    "status",
    "switch",
    "tag",
];

/// Long options, in full: git takes `--outp=FILE` for `--output`, so that what is not here counts.
const LONG: &[&str] = &[
    "--",
    "--abbrev-commit",
    "--all",
    "--amend",
    "--branch",
    "--cached",
    "--color",
    "--color-words",
    "--date-order",
    "--decorate",
    "--delete",
    "--ff-only",
    "--first-parent",
    "--follow",
    "--graph",
    "--hard",
    "--merges",
    "--mixed",
    "--name-only",
    "--name-status",
    "--no-commit",
    "--no-edit",
    "--no-ff",
    "--no-merges",
    "--numstat",
    "--oneline",
    "--patch",
    "--reverse",
    "--short",
    "--soft",
    "--staged",
    "--stat",
    "--verbose",
    "--word-diff",
];

/// Short ones. Not `-O` (an order file of `diff`), `-F` and `-t` (files of `commit`), `-S` (signs), `-c`, `-C`.
const SHORT: &[u8] = b"abdDlmnpqsuvV0123456789";

/// Is it a command of git's own with words and harmless options? Quotes and backslashes are git's to take apart, and count.
pub(super) fn is_plain(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else {
        return false;
    };
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let known = words.next().is_some_and(|first| COMMANDS.contains(&first));
    known && !text.contains(['"', '\'', '\\', '\n']) && words.all(is_harmless)
}

fn is_harmless(word: &str) -> bool {
    match word.strip_prefix('-') {
        None => true,
        Some(rest) if rest.starts_with('-') => LONG.contains(&word),
        Some(letters) => letters.bytes().all(|letter| SHORT.contains(&letter)),
    }
}

/// What stands for a single line in a format of git-log(1): ids, names and dates of a commit's head, and its subject.
const ONE_LINE: [&[u8]; 17] = [
    b"h", b"H", b"t", b"T", b"s", b"f", b"d", b"D", b"an", b"ae", b"al", b"ad", b"ar", b"as",
    b"cn", b"ce", b"cr",
];

/// Is the format of a rebase's list one line for each commit? A second one is a command of the list, and `exec` is one of them.
/// Formats by a name (`fuller`) have more lines.
pub(super) fn is_one_line(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'%');
    let first = parts.next().unwrap_or_default();
    let mut parts = parts.peekable();
    let formats = parts.peek().is_some();
    // `%%` is a percent sign, whatever follows: not worth telling from the rest.
    value.is_empty()
        || formats
            && !first.contains(&b':')
            && !value.iter().any(u8::is_ascii_control)
            && parts.all(|part| ONE_LINE.iter().any(|known| part.starts_with(known)))
}
