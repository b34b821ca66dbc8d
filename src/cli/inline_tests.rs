#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::testing::Dir;
use crate::profile::{builtin, tested};

/// Every built-in profile says what it is for, and so it is.
#[test]
fn the_tests_of_every_built_in_profile_pass() {
    let dir = Dir::new();
    let mut number = 0;
    for builtin in builtin::ALL {
        let profile = tested(builtin.name.as_ref(), &dir.places()).unwrap();
        assert!(!profile.tests.is_empty(), "{} has no test", builtin.name);
        number += profile.tests.len();
        let failed: Vec<String> = failed(&profile).iter().map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
    assert!(number > 60, "{number}");
}

#[test]
fn a_test_that_does_not_hold_is_said_with_its_place() {
    let dir = Dir::new();
    let ask = |text: &str| -> Vec<String> {
        let file = dir.write("p.toml", text);
        let profile = tested(file.as_os_str(), &dir.places()).unwrap();
        failed(&profile).iter().map(ToString::to_string).collect()
    };
    let head = "extends = [\"shell\"]\n[files]\nread = [\"~/notes\"]\nhide = [\"~/notes/private\"]\nprotect = [\"${workspace}/deploy/**\"]\n";
    let rows = [
        ("read = \"~/notes/x\"", "allowed", "hidden"),
        ("read = \"~/notes/private\"", "hidden", "allowed"),
        ("read = \"~/other\"", "absent", "allowed"),
        ("read = \"~/other\"", "refused", "protected"),
        ("write = \"~/notes/x\"", "refused", "allowed"),
        ("write = \"${workspace}/deploy/x\"", "protected", "allowed"),
        ("write = \"${workspace}/x\"", "allowed", "refused"),
        ("exec = \"terraform\"", "refused", "allowed"),
        ("exec = \"ls\"", "allowed", "refused"),
        ("env = \"TERM\"", "allowed", "absent"),
        ("env = \"AWS_SECRET_ACCESS_KEY=x\"", "absent", "allowed"),
        ("connect = \"nobody.example:443\"", "refused", "allowed"),
    ];
    for (question, right, wrong) in rows {
        let text = |expect: &str| format!("{head}[[test]]\n{question}\nexpect = \"{expect}\"\n");
        assert_eq!(ask(&text(right)), Vec::<String>::new(), "{question}");
        let said = ask(&text(wrong));
        assert_eq!(said.len(), 1, "{question}: {said:?}");
        assert!(
            said[0].contains("p.toml:6:1: ") && said[0].contains("is expected, and"),
            "{said:?}"
        );
    }
}

/// A condition counts where the file is, and only there.
#[test]
fn parts_count_where_their_condition_holds() {
    let dir = Dir::new();
    let ask = |condition: &str, expect: &str| {
        let text = format!(
            "extends = [\"shell\"]\n[[when]]\n{condition}\nfiles.hide = [\"${{workspace}}/x\"]\n\
             [[test]]\nread = \"${{workspace}}/x\"\nexpect = \"{expect}\"\n"
        );
        let file = dir.write("p.toml", &text);
        let profile = tested(file.as_os_str(), &dir.places()).unwrap();
        let failed: Vec<String> = failed(&profile).iter().map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{condition}: {failed:?}");
    };
    ask("exists = \"/usr\"", "hidden");
    ask("exists = \"/nowhere\"", "allowed");
    ask("missing = \"/nowhere\"", "hidden");
    ask("missing = \"/usr\"", "allowed");
    ask("exists = [\"/usr\", \"/nowhere\"]", "allowed");
    ask("exists = \"${workspace}/x\"", "hidden");
    ask("exists = \"${workspace}/y\"", "allowed");
}
