#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::schema::{Place, Role, parse};

fn import(text: &str) -> Imported {
    let file = Settings {
        label: ".claude/settings.json".to_owned(),
        text: text.to_owned(),
        base: "${workspace}",
    };
    let imported = claude(&[file]).unwrap();
    // Whatever comes in, what comes out is a profile.
    let parsed = parse(&imported.text, "p", &Place::File("p".into()), Role::Profile);
    assert!(parsed.is_ok(), "{}\n{parsed:?}", imported.text);
    imported
}

#[test]
fn rules_become_wishes() {
    let got = import(
        r#"{
        "permissions": {
            "allow": ["Bash(npm run test:*)", "Read(//opt/docs/**)", "WebFetch(domain:docs.example.com)", "Edit(~/scratch/**)", "Read(src/**)"],
            "deny": ["Read(./secrets/**)", "Read(*.pem)", "Read(~/private/**)", "Edit(/deploy/**)", "Bash(terraform:*)", "Bash(git push:*)", "WebFetch(domain:evil.example)", "mcp__db__query"],
            "ask": ["Bash(npm publish:*)"],
            "additionalDirectories": ["~/shared"],
            "defaultMode": "acceptEdits"
        },
        "sandbox": {
            "enabled": true,
            "network": { "allowedDomains": ["*.example.org", "*.com"], "allowUnixSockets": ["/var/run/docker.sock"] },
            "filesystem": { "denyRead": ["~/.kube"], "allowWrite": ["//var/log/app"] },
            "excludedCommands": ["docker"]
        },
        "env": { "NODE_ENV": "test", "API_TOKEN": "ghp_0123456789abcdefghijklmnopqrstuvwxyz" },
        "model": "opus"
    }"#,
    );
    for line in [
        "\"/opt/docs?\", # allow Read(//opt/docs/**)",
        "\"~/scratch?\", # allow Edit(~/scratch/**)",
        "\"~/shared?\", # additionalDirectories ~/shared",
        "\"${workspace}/**/secrets\", # deny Read(./secrets/**)",
        "\"${workspace}/**/*.pem\", # deny Read(*.pem)",
        "\"~/private\", # deny Read(~/private/**)",
        "\"~/.kube\", # sandbox.filesystem.denyRead ~/.kube",
        "\"${workspace}/deploy\", # deny Edit(/deploy/**)",
        "\"terraform\", # deny Bash(terraform:*)",
        "\"docs.example.com\", # allow WebFetch(domain:docs.example.com)",
        "\"*.example.org\", # sandbox.network.allowedDomains *.example.org",
        "\"evil.example\", # deny WebFetch(domain:evil.example)",
        "\"/var/log/app?\", # sandbox.filesystem.allowWrite //var/log/app",
        "NODE_ENV = \"test\"",
    ] {
        assert!(got.text.contains(line), "{line}\n{}", got.text);
    }
    assert!(
        !got.text.contains("ghp_0123"),
        "a credential does not travel"
    );
    for words in [
        "Bash(npm run test:*): every program runs",
        "Bash(git push:*): arguments are not compared",
        "mcp__db__query",
        "ask Bash(npm publish:*)",
        "defaultMode acceptEdits",
        "allowUnixSockets",
        "excludedCommands docker",
        "allowedDomains *.com",
        "env API_TOKEN",
        "Read(src/**): the working copy",
    ] {
        assert!(
            got.left.iter().any(|line| line.contains(words)),
            "{words}\n{:#?}",
            got.left
        );
    }
    assert!(!got.left.iter().any(|line| line.contains("model")));
}

#[test]
fn odd_settings_make_no_odd_profile() {
    for text in [
        "{}",
        r#"{"permissions": []}"#,
        r#"{"permissions": {"deny": "x", "allow": [1]}}"#,
        r#"{"permissions": {"deny": ["Read(a\nb)", "Read()", "Read(..)", "Bash(\"x)", "Edit(**)", "(", ")", "WebFetch(domain:a b)"]}}"#,
        r#"{"env": {"A B": "x", "A": "\"\n\u001b[31m", "B": 1, "*": "x"}}"#,
        r#"{"sandbox": {"network": {"allowedDomains": ["", "x\"]\n[files]\nread = [\"/"]}}}"#,
    ] {
        import(text);
    }
    let bad = |text: &str| {
        let file = Settings {
            label: "s.json".to_owned(),
            text: text.to_owned(),
            base: "~/.claude",
        };
        claude(&[file]).err().unwrap()
    };
    assert!(bad("[]").contains("s.json: a JSON object"));
    assert!(bad("{").contains("s.json: EOF"));
}
