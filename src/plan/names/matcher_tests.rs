#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::plan::OsText;
use crate::policy::Origin;

fn rule(text: &str) -> NameRule {
    let (kind, text) = match text.split_once(' ') {
        Some(("freeze", rest)) => (NameKind::Freeze, rest),
        Some(("track", rest)) => (NameKind::Track, rest),
        _ => (NameKind::Hide, text),
    };
    let (verdict, pattern) = match text.strip_prefix('!') {
        Some(rest) => (Verdict::Lifted, rest),
        None => (Verdict::Applies, text),
    };
    NameRule {
        kind,
        root: OsText::from("/w"),
        pattern: OsText::from(pattern),
        verdict,
        holds: None,
        origin: Origin::agentbox("test"),
    }
}

/// Which rule decides about a path, and whether the search gets there at all.
fn ask(rules: &[&str], path: &str) -> Option<(NameKind, usize)> {
    let rules: Vec<NameRule> = rules.iter().map(|r| rule(r)).collect();
    let matcher = Matcher::new(&rules, Path::new("/w"));
    let mut cursor = matcher.start();
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    for dir in dirs.split('/').filter(|d| !d.is_empty()) {
        cursor = matcher.enter(&cursor, dir.as_bytes())?;
    }
    matcher.entry(&cursor, name.as_bytes()).strongest()
}

#[test]
fn patterns() {
    for (pattern, path, want) in [
        (".env", ".env", true),
        (".env", "a/.env", false),
        ("**/.env", ".env", true),
        ("**/.env", "a/.env", true),
        ("**/.env", "a/b/c/.env", true),
        ("**/.env", "a/b/c/x.env", false),
        ("**/.env", "a/.env.d", false),
        ("**/.env.*", "a/.env.local", true),
        ("**/.env.*", "a/.env", false),
        ("**/*.pem", "x/y.pem", true),
        ("**/*.pem", "x/.pem", true),
        ("**/*.pem", "x/y.pemx", false),
        ("**/*.tfstate*", "a.tfstate", true),
        ("**/*.tfstate*", "a.tfstate.backup", true),
        ("**/*.tfstate*", "tfstate", false),
        ("**/kubeconfig*", "b/kubeconfig-prod", true),
        ("**/a*b*c", "aXbYc", true),
        ("**/a*b*c", "abc", true),
        ("**/a*b*c", "acb", false),
        ("**/ab*ba", "aba", false),
        ("**/.git/hooks", ".git/hooks", true),
        ("**/.git/hooks", "sub/.git/hooks", true),
        ("**/.git/hooks", "sub/.git/x/hooks", false),
        ("**/.git/hooks", ".git/.git/hooks", true),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "x/a/b", false),
        ("a/*/b", "a/x/b", true),
        ("a/*/b", "a/b", false),
        ("a/**", "a/x", true),
        ("a/**", "a/x/y", true),
        ("a/**", "a", false),
        ("**", "anything/at/all", true),
        ("**/a/**/b", "x/a/y/b", true),
        ("**/a/**/b", "a/b", true),
        ("**/a/**/b", "b/a", false),
        ("**/**/b", "b", true),
        ("\\*", "*", true),
        ("\\*", "x", false),
        ("**/a\\*", "a*", true),
        ("**/a\\*", "ab", false),
        ("", "a", false),
    ] {
        assert_eq!(
            ask(&[pattern], path).is_some(),
            want,
            "{pattern:?} {path:?}"
        );
    }
}

#[test]
fn the_last_rule_of_a_kind_decides() {
    let rules = [
        "**/.env.*",
        "!**/.env.example",
        "**/x/.env.example",
        "track **/.env.example",
    ];
    assert_eq!(ask(&rules, ".env.local"), Some((NameKind::Hide, 0)));
    assert_eq!(ask(&rules, ".env.example"), Some((NameKind::Track, 3)));
    assert_eq!(ask(&rules, "x/.env.example"), Some((NameKind::Hide, 2)));
    // A lifted kind says nothing of the others.
    let rules = ["freeze .codex", "track .codex", "freeze !.codex"];
    assert_eq!(ask(&rules, ".codex"), Some((NameKind::Track, 1)));
}

#[test]
fn a_search_goes_only_where_something_can_match() {
    let at = |rules: &[&str], way: &[&str]| {
        let rules: Vec<NameRule> = rules.iter().map(|r| rule(r)).collect();
        let matcher = Matcher::new(&rules, Path::new("/w"));
        let mut cursor = Some(matcher.start());
        for dir in way {
            cursor = cursor.and_then(|c| matcher.enter(&c, dir.as_bytes()));
        }
        cursor.is_some()
    };
    assert!(at(&["a/b"], &["a"]));
    assert!(!at(&["a/b"], &["x"]));
    assert!(!at(&["a/b"], &["a", "b"]));
    assert!(at(&["**/b"], &["x", "y"]));
    assert!(at(&["a/**/b"], &["a", "x", "y"]));
    assert!(!at(&[], &["a"]));
}

#[test]
fn rules_of_another_root_are_not_these() {
    let rules = [rule("**/.env")];
    assert!(Matcher::new(&rules, Path::new("/other")).is_empty());
}

#[test]
fn a_literal_matches_itself_alone() {
    let name = b"a*b\\c";
    let pattern = String::from_utf8(literal(name)).unwrap();
    assert!(ask(&[&pattern], "a*b\\c").is_some());
    assert!(ask(&[&pattern], "aXb\\c").is_none());
}

#[test]
fn heavy_directories() {
    assert!(heavy(b"anything", b"node_modules"));
    assert!(heavy(b".git", b"objects"));
    assert!(!heavy(b"src", b"objects"));
    assert!(heavy_names().contains(".git/objects"));
}

#[test]
fn a_rule_about_the_content_stands_in_for_no_other() {
    let content = |text: &str| NameRule {
        holds: Some(Holds::Token),
        ..rule(text)
    };
    let decide = |rules: &[NameRule]| {
        let matcher = Matcher::new(rules, Path::new("/w"));
        matcher.entry(&matcher.start(), b"a-b.json")
    };
    let both = [rule("**/a*"), content("**/*-*.json")];
    assert_eq!((decide(&both).hide, decide(&both).hide_if), (Some(0), None));
    let lifted = [rule("**/a*"), rule("!**/a*"), content("**/*-*.json")];
    assert_eq!(
        (decide(&lifted).hide, decide(&lifted).hide_if),
        (None, Some(2))
    );
    let lifted = [content("**/*-*.json"), rule("!**/a*")];
    assert!(!decide(&lifted).is_any());
    let tracked = [rule("track **/a*"), content("**/*-*.json")];
    let said = decide(&tracked);
    assert_eq!(said.strongest(), Some((NameKind::Track, 0)));
    assert_eq!(said.hide_if, Some(1));
}
