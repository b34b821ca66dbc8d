//! Names that are hidden or frozen and exist when the box starts: every way to them, each beside a name that is neither.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::probed::errno_of;
use common::{Errno, Feature, TestBox, missing, run};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

/// Every way to each of these names in one box, as `name -> way -> what came out`.
fn ways(b: &TestBox, names: &[&str]) -> Vec<Value> {
    let script = b.root().join("bin/ways.py");
    fs::write(&script, include_str!("names/ways.py")).unwrap();
    let mut argv = vec![
        "/usr/bin/python3".to_owned(),
        script.to_str().unwrap().to_owned(),
    ];
    argv.extend(names.iter().map(|name| b.fill(name)));
    let ran = b.run(argv);
    let lines: Vec<Value> = ran
        .stdout
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines.len(), names.len(), "{ran:?}");
    lines
}

fn boxed() -> TestBox {
    let b = TestBox::new().profile(BASE);
    let bin = b.root().join("bin");
    b.option("--read").option(bin.to_str().unwrap())
}

/// Git as the test user in the workspace, outside of any box.
fn git(b: &TestBox, dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    let inner = b.command(["true"]);
    b.around(&mut command, &inner);
    command
        .current_dir(dir)
        // The same ids whenever it runs.
        .env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(["-c", "protocol.file.allow=always"])
        .args(args);
    run(command).ok()
}

const HIDDEN: [&str; 43] = [
    ".env",
    "a/b/.env.local",
    "deep/1/2/3/4/5/6/7/8/9/.env",
    "infra/terraform.tfstate",
    "infra/terraform.tfstate.backup",
    "infra/prod.tfvars",
    "tls/server.pem",
    "tls/server.key",
    "tls/store.p12",
    "kubeconfig",
    "kube/kubeconfig-prod.yaml",
    "x/.npmrc",
    "x/.pypirc",
    "x/proj-0123456789ab.json",
    "x/my-service-account.json",
    "with space/.env",
    "ümlaut/.env",
    "secret-dir/inside/deep.txt",
    "lit*eral.txt",
    ".env-prod",
    ".env_local",
    ".env~",
    "tls/.server.pem.swp",
    "tls/server.key~",
    "x/.cargo/credentials.toml",
    "x/.envrc",
    "deploy/prod.env",
    ".secrets",
    "ios/AuthKey_ABC.p8",
    "android/release.keystore",
    "#.env#",
    "kube/prod.kubeconfig",
    "x/serviceAccountKey.json",
    "flux/prod.agekey",
    ".vagrant/machines/default/virtualbox/private_key",
    "infra/prod.tfplan",
    "deploy/prod.env~",
    "deploy/.prod.env.swp",
    "deploy/prod.env.bak",
    "tls/server.key.old",
    "api/http-client.private.env.json",
    "x/.vscode/sftp.json",
    "x/sftp-config.json",
];

fn content(name: &str) -> String {
    match Path::new(name).file_name().unwrap().to_str().unwrap() {
        ".npmrc" => "//registry.npmjs.org/:_authToken=S3CRET\n".to_owned(),
        ".envrc" => "use flake\nexport DB_PASSWORD=S3CRET\n".to_owned(),
        ".pypirc" => "[pypi]\npassword = S3CRET\n".to_owned(),
        name if name.ends_with(".json") => {
            "{\"type\": \"service_account\", \"private_key\": \"S3CRET\"}\n".to_owned()
        }
        _ => "S3CRET\n".to_owned(),
    }
}

#[test]
fn a_hidden_name_is_empty_by_every_way() {
    if missing(Feature::Tool("python3")) {
        return;
    }
    let mut b = boxed()
        .file("home/ws/plain.txt", "PLAIN\n")
        .file("home/ws/a/plain.txt", "PLAIN\n")
        .file("home/ws/plain-dir/plain.txt", "PLAIN\n")
        .file("home/ws/.env.example", "PLAIN\n")
        .file("home/ws/y/.env_example", "PLAIN\n")
        .file("home/ws/y/example.env", "PLAIN\n")
        .file("home/ws/y/vite.env.ts", "PLAIN\n")
        .file("home/ws/y/http-client.env.json", "PLAIN\n")
        .file("home/ws/y/.secrets.baseline", "PLAIN\n")
        .file("home/ws/y/kubeconfig.sample", "PLAIN\n")
        .file("home/ws/y/private_key", "PLAIN\n")
        .file("home/ws/y/translationKeys.json", "{\"a\": \"PLAIN\"}\n")
        .file("home/ws/y/.envrc", "use flake PLAIN\n")
        .file("home/ws/y/.npmrc", "registry=https://PLAIN/\n")
        .file("home/ws/y/a-b.json", "{\"a\": \"PLAIN\"}\n")
        .file("home/ws/litter.txt", "PLAIN\n");
    for name in HIDDEN {
        b = b.file(&format!("home/ws/{name}"), content(name));
    }
    let b = b
        .option("--hide")
        .option("secret-dir")
        .option("--hide")
        .option("lit*eral.txt");
    let mut names: Vec<String> = HIDDEN
        .iter()
        .map(|name| format!("{{ws}}/{name}"))
        .filter(|name| !name.contains("secret-dir"))
        .collect();
    names.push("{ws}/secret-dir".into());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for answer in ways(&b, &names) {
        for (way, out) in answer["ways"].as_object().unwrap() {
            let out = out.as_str().unwrap();
            assert!(
                !out.contains("S3CRET"),
                "{} by {way}: {out}",
                answer["name"]
            );
            // Empty, or refused because the name is a mount point or on a read-only file system.
            assert!(
                matches!(
                    out,
                    "" | "EMPTY" | "EBUSY" | "EXDEV" | "EROFS" | "EACCES" | "ENOENT" | "EPERM"
                ),
                "{} by {way}: {out}",
                answer["name"]
            );
        }
    }
    // The twins: by the same ways the content comes out.
    let plain = [
        "{ws}/a/plain.txt",
        "{ws}/plain-dir/plain.txt",
        "{ws}/y/.npmrc",
        "{ws}/y/.envrc",
        "{ws}/y/a-b.json",
        "{ws}/y/translationKeys.json",
    ];
    for answer in ways(&b, &plain) {
        for (way, out) in answer["ways"].as_object().unwrap() {
            let denied = matches!(way.as_str(), "proc_1_root" | "executed");
            assert!(
                denied || out.as_str().unwrap().contains("PLAIN"),
                "{} by {way}: {out}",
                answer["name"]
            );
        }
    }
    b.probe("read {ws}/plain.txt").allowed();
    for name in [
        ".env.example",
        "y/.env_example",
        "y/example.env",
        "y/.secrets.baseline",
        "y/kubeconfig.sample",
        "y/vite.env.ts",
        "y/http-client.env.json",
        "y/private_key",
    ] {
        let read = b.probe(&format!("read {{ws}}/{name}"));
        assert_eq!(read.allowed()["text"], "PLAIN\n", "{name}");
    }
    // Outside nothing has changed.
    for name in HIDDEN {
        assert_eq!(
            fs::read_to_string(b.ws().join(name)).unwrap(),
            content(name),
            "{name}"
        );
    }
}

/// `*-*.json` is hidden for its content, and is about names that others hide for themselves, or track.
#[test]
fn a_rule_about_content_stands_in_for_no_other() {
    let b = boxed()
        .file("home/ws/kubeconfig-prod.json", "S3CRET\n")
        .file("home/ws/infra/prod-eu.tfvars.json", "S3CRET\n")
        .file("home/ws/a-b.json/.env", "S3CRET\n")
        .file("home/ws/.vim/coc-settings.json", "PLAIN\n")
        .file("home/ws/infra/prod-eu.json", "PLAIN\n");
    for name in [
        "kubeconfig-prod.json",
        "infra/prod-eu.tfvars.json",
        "a-b.json/.env",
    ] {
        let read = b.probe(&format!("read {{ws}}/{name}"));
        assert_eq!(read.allowed()["text"], "", "{name}");
    }
    for name in ["infra/prod-eu.json", ".vim/coc-settings.json"] {
        let read = b.probe(&format!("read {{ws}}/{name}"));
        assert_eq!(read.allowed()["text"], "PLAIN\n", "{name}");
    }
    b.sh("echo evil > .vim/coc-settings.json; echo evil > infra/prod-eu.json")
        .ok();
    let is = |name: &str| fs::read_to_string(b.ws().join(name)).unwrap();
    assert_eq!(is(".vim/coc-settings.json"), "PLAIN\n");
    assert_eq!(is("infra/prod-eu.json"), "evil\n");
}

#[test]
fn a_hidden_name_cannot_be_written_removed_or_replaced() {
    let b = boxed()
        .file("home/ws/d/.env", "S3CRET\n")
        .file("home/ws/d/free", "x");
    let lines = [
        ("write {ws}/d/.env x", Errno::EROFS),
        ("append {ws}/d/.env x", Errno::EROFS),
        ("truncate {ws}/d/.env", Errno::EROFS),
        ("unlink {ws}/d/.env", Errno::EBUSY),
        ("rename {ws}/d/.env {ws}/d/other", Errno::EBUSY),
        ("rename {ws}/d/free {ws}/d/.env", Errno::EBUSY),
        ("link {ws}/d/.env {ws}/d/other", Errno::EXDEV),
        ("rmdir {ws}/d", Errno::ENOTEMPTY),
        ("chmod 511 {ws}/d/.env", Errno::EROFS),
    ];
    let texts: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    for (answer, (line, errno)) in b.batch(&texts).iter().zip(lines) {
        assert_eq!(errno_of(answer), Some(errno), "{line}: {answer}");
    }
    for line in [
        "write {ws}/d/free y",
        "rename {ws}/d/free {ws}/d/free2",
        "unlink {ws}/d/free2",
    ] {
        let _ = b.probe(line).allowed();
    }
    assert_eq!(
        fs::read_to_string(b.ws().join("d/.env")).unwrap(),
        "S3CRET\n"
    );
}

#[test]
fn what_links_lead_to_is_hidden() {
    let b = boxed()
        .file("home/ws/real/values", "S3CRET\n")
        .file("home/ws/settings/prod.txt", "S3CRET\n")
        .file("home/ws/real/other", "PLAIN\n");
    symlink("real/values", b.ws().join(".env")).unwrap();
    symlink("../settings", b.ws().join("real/dirlink")).unwrap();
    let b = b.option("--hide").option("real/dirlink/prod.txt");
    for path in [
        ".env",
        "real/values",
        "real/dirlink/prod.txt",
        "settings/prod.txt",
    ] {
        let got = b.probe(&format!("read {{ws}}/{path}")).allowed();
        assert_eq!(got["text"], "", "{path}");
    }
    assert_eq!(b.probe("read {ws}/real/other").allowed()["text"], "PLAIN\n");
}

#[test]
fn every_hard_link_of_a_hidden_file_is_hidden() {
    let b = boxed()
        .file("home/ws/.env", "S3CRET\n")
        .file("home/other/x", "PLAIN\n")
        .file("home/ws/sub/twin", "PLAIN\n")
        .dir("home/ws/node_modules/p");
    for link in [
        "home/ws/sub/alias.txt",
        "home/other/alias",
        "home/ws/node_modules/p/alias",
    ] {
        fs::hard_link(b.ws().join(".env"), b.root().join(link)).unwrap();
    }
    fs::hard_link(b.ws().join("sub/twin"), b.ws().join("sub/twin2")).unwrap();
    let other = b.fill("{home}/other");
    let b = b.option("--read").option(&other);
    for path in [
        "{ws}/sub/alias.txt",
        "{home}/other/alias",
        "{ws}/node_modules/p/alias",
        "{ws}/.env",
    ] {
        assert_eq!(
            b.probe(&format!("read {path}")).allowed()["text"],
            "",
            "{path}"
        );
    }
    for path in ["{ws}/sub/twin2", "{home}/other/x"] {
        assert_eq!(
            b.probe(&format!("read {path}")).allowed()["text"],
            "PLAIN\n",
            "{path}"
        );
    }
}

#[test]
fn what_git_tracks_is_shown_or_refused_and_never_empty() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = boxed()
        .file("home/ws/.env", "COMMITTED=1\n")
        .file("home/ws/edited/.env", "PUBLIC=1\n")
        .file("home/ws/new/.env", "S3CRET\n")
        .file("home/ws/tls/test.pem", "PUBLIC TEST KEY\n")
        .file("home/ws/asked/x.txt", "S3CRET\n")
        .file("home/ws/whole/inside.txt", "S3CRET\n");
    let ws = b.ws();
    git(&b, &ws, &["init", "-q"]);
    git(
        &b,
        &ws,
        &["add", "-A", "--", ".env", "edited", "tls", "asked", "whole"],
    );
    git(&b, &ws, &["commit", "-q", "-m", "one"]);
    fs::write(ws.join("edited/.env"), "S3CRET\n").unwrap();
    let b = b
        .option("--hide")
        .option("asked/x.txt")
        .option("--hide")
        .option("whole");
    assert_eq!(b.probe("read {ws}/.env").allowed()["text"], "COMMITTED=1\n");
    assert_eq!(
        b.probe("read {ws}/tls/test.pem").allowed()["text"],
        "PUBLIC TEST KEY\n"
    );
    assert_eq!(b.probe("read {ws}/new/.env").allowed()["text"], "");
    for path in ["edited/.env", "asked/x.txt"] {
        b.probe(&format!("read {{ws}}/{path}"))
            .refused(Errno::EACCES);
        b.probe(&format!("open {{ws}}/{path} rdwr"))
            .refused(Errno::EACCES);
        b.probe(&format!("chmod 511 {{ws}}/{path}"))
            .refused(Errno::EROFS);
    }
    b.probe("listdir {ws}/whole").refused(Errno::EACCES);
    // Git stops, and takes nothing for a change: not an empty file, not a removal.
    let tree = git(&b, &ws, &["rev-parse", "HEAD^{tree}"]);
    let ran = b.sh("git commit -q -a -m two; git add -A; git status --porcelain");
    assert!(
        ran.complaint().contains("ermission denied") || ran.text().contains("ermission denied"),
        "{ran:?}"
    );
    git(&b, &ws, &["checkout", "-q", "--", "edited"]);
    assert_eq!(git(&b, &ws, &["rev-parse", "HEAD^{tree}"]), tree);
    // An entry in the index alone opens nothing: the content has to be the committed one.
    let blob = git(&b, &ws, &["hash-object", "-w", "--", ".env"]);
    let entry = format!("100644,{},new/.env", blob.trim());
    git(&b, &ws, &["update-index", "--add", "--cacheinfo", &entry]);
    b.probe("read {ws}/new/.env").refused(Errno::EACCES);
}

#[test]
fn a_grant_of_the_name_lifts_it_and_a_wider_one_does_not() {
    let b = boxed()
        .file("home/ws/.env", "S3CRET\n")
        .file("home/ws/sub/.env", "S3CRET\n")
        .file("home/ws/.claude/settings.json", "{}\n")
        .file("home/ws/.mcp.json", "{}\n")
        .file("home/.aws/credentials", "S3CRET\n");
    assert_eq!(b.probe("read {ws}/.env").allowed()["text"], "");
    let sub = b.ws().join("sub");
    let b = b
        .option("--read")
        .option(".env")
        .option("--read")
        .option(sub.to_str().unwrap());
    assert_eq!(b.probe("read {ws}/.env").allowed()["text"], "S3CRET\n");
    assert_eq!(b.probe("read {ws}/sub/.env").allowed()["text"], "");
    b.probe("write {ws}/.mcp.json x").refused(Errno::EROFS);
    b.probe("write {ws}/.claude/settings.json x")
        .refused(Errno::EROFS);
    let b = b.option("--write").option(".claude");
    b.probe("write {ws}/.claude/settings.json x").allowed();
    b.probe("write {ws}/.mcp.json x").refused(Errno::EROFS);
    // Said by the command line, hiding is stronger than showing.
    let b = b.option("--hide").option(".env");
    assert_eq!(b.probe("read {ws}/.env").allowed()["text"], "");
    // In HOME a grant that covers it does not show it, one of exactly it does.
    b.probe("read {home}/.aws/credentials")
        .refused(Errno::ENOENT);
    let aws = b.home().join(".aws");
    let b = b.option("--read").option(aws.to_str().unwrap());
    assert_eq!(
        b.probe("read {home}/.aws/credentials").allowed()["text"],
        "S3CRET\n"
    );
}

#[test]
fn frozen_names_cannot_be_changed_moved_or_replaced() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = boxed()
        .file("home/ws/a/b/.mcp.json", "{}\n")
        .file("home/ws/.codex/config.toml", "x\n")
        .file("home/ws/free/.mcp.jsonx", "{}\n")
        .file("home/ws/mine.txt", "keep\n")
        .file("home/ws/.gitignore", "*\n");
    let ws = b.ws();
    git(&b, &ws, &["init", "-q"]);
    let b = b.option("--protect").option("mine.txt");
    let lines = [
        ("write {ws}/a/b/.mcp.json x", Errno::EROFS),
        ("unlink {ws}/a/b/.mcp.json", Errno::EBUSY),
        ("rename {ws}/a/b/.mcp.json {ws}/a/b/x", Errno::EBUSY),
        (
            "rename {ws}/free/.mcp.jsonx {ws}/a/b/.mcp.json",
            Errno::EXDEV,
        ),
        // Every directory above it stays where it is.
        ("rename {ws}/a/b {ws}/a/c", Errno::EBUSY),
        ("rename {ws}/a {ws}/c", Errno::EBUSY),
        ("rename {ws}/.git {ws}/.git2", Errno::EBUSY),
        ("rename {ws}/.git/hooks {ws}/.git/hooks2", Errno::EBUSY),
        ("create {ws}/.git/hooks/pre-commit", Errno::EROFS),
        ("create {ws}/.codex/hooks.json", Errno::EROFS),
        ("rename {ws}/.codex {ws}/.codex2", Errno::EBUSY),
        ("rename {ws} {home}/ws2", Errno::EROFS),
        ("write {ws}/mine.txt x", Errno::EROFS),
    ];
    let texts: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    for (answer, (line, errno)) in b.batch(&texts).iter().zip(lines) {
        let got = errno_of(answer);
        // The workspace's parent is the box's own directory for a user, another mount's for root.
        let also = line.contains("{ws} ")
            && matches!(got, Some(Errno::EBUSY | Errno::EXDEV | Errno::EACCES));
        assert!(also || got == Some(errno), "{line}: {answer}");
    }
    for line in [
        "read {ws}/a/b/.mcp.json",
        "write {ws}/free/.mcp.jsonx x",
        "rename {ws}/free {ws}/free2",
        "create {ws}/a/b/other",
        "create {ws}/.git/other",
        "write {ws}/.git/config x",
    ] {
        b.probe(line).allowed();
    }
    assert_eq!(
        fs::read_to_string(ws.join("a/b/.mcp.json")).unwrap(),
        "{}\n"
    );
}

#[test]
fn what_was_moved_with_its_directory_stays_hidden_in_the_next_box() {
    let b = boxed()
        .file("home/ws/secrets/prod.txt", "S3CRET\n")
        .file("home/ws/config/.env", "S3CRET\n")
        .file("home/ws/secrets/plain.txt", "PLAIN\n")
        .option("--hide")
        .option("secrets/prod.txt");
    b.sh("mv secrets elsewhere && mkdir -p node_modules && mv config node_modules/config")
        .ok();
    for path in ["elsewhere/prod.txt", "node_modules/config/.env"] {
        assert!(b.ws().join(path).exists(), "{path}");
        assert_eq!(
            b.probe(&format!("read {{ws}}/{path}")).allowed()["text"],
            "",
            "{path}"
        );
    }
    // And in the one after that.
    assert_eq!(
        b.probe("read {ws}/elsewhere/prod.txt").allowed()["text"],
        ""
    );
    assert_eq!(
        b.probe("read {ws}/elsewhere/plain.txt").allowed()["text"],
        "PLAIN\n"
    );
}

/// A link to the directory's new place made the old path lead to the secret: it counted as lifted there, and was readable in the next
/// box where the new place is never searched.
#[test]
fn what_was_moved_stays_hidden_behind_a_link_in_its_place() {
    let b = boxed()
        .file("home/ws/config/.env", "S3CRET\n")
        .file("home/ws/deep/a/config/.env", "S3CRET\n")
        .file("home/ws/config/plain", "PLAIN\n");
    b.sh("mv config .tox && ln -s .tox config && mv deep node_modules && ln -s node_modules deep")
        .ok();
    let paths = [
        "config/.env",
        ".tox/.env",
        "deep/a/config/.env",
        "node_modules/a/config/.env",
    ];
    let closed = |when: &str| {
        for path in paths {
            let host = fs::read_to_string(b.ws().join(path)).unwrap();
            assert!(host.contains("CRET"), "{path}");
            let text = b.probe(&format!("read {{ws}}/{path}")).allowed()["text"].clone();
            assert_eq!(text, "", "{when}: {path}");
        }
        let plain = b.probe("read {ws}/config/plain").allowed()["text"].clone();
        assert_eq!(plain, "PLAIN\n", "{when}");
    };
    closed("moved");
    // What the host saves there, as editors do it, before a box and beside one.
    let save =
        "for f in config/.env deep/a/config/.env; do echo NEWCRET > $f.tmp; mv $f.tmp $f; done";
    b.on_host(save).ok();
    closed("saved");
    closed("once more");
    let mut live = b.start(["/bin/sh", "-c", "echo ready; until [ -e go ]; do sleep 0.01; done; sleep 0.2; cat .tox/.env node_modules/a/config/.env; true"]);
    live.wait_line("ready");
    b.on_host(&format!("{save}; touch go")).ok();
    let ran = live.end();
    assert!(!ran.text().contains("CRET"), "{ran:?}");
}

/// The same in the box that has moved it.
#[test]
fn what_the_host_saves_in_a_directory_that_was_moved_is_closed() {
    let b = boxed()
        .file("home/ws/config/plain", "PLAIN\n")
        .file("home/ws/other/plain", "PLAIN\n");
    let mut live = b.start([
        "/bin/sh",
        "-c",
        "mv config .tox; ln -s .tox config; mv other node_modules; ln -s node_modules other; echo ready; \
         until [ -e go ]; do sleep 0.01; done; sleep 0.2; cat .tox/.env .tox/new/.env node_modules/.env node_modules/plain; true",
    ]);
    live.wait_line("ready");
    b.on_host(
        "for d in config config/new other; do mkdir -p $d; echo NEWCRET > $d/x; mv $d/x $d/.env; done; touch go",
    )
    .ok();
    let ran = live.end();
    assert!(!ran.text().contains("CRET"), "{ran:?}");
    assert!(ran.text().contains("PLAIN"), "{ran:?}");
}

#[test]
fn nothing_is_left_behind() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = boxed()
        .file("home/ws/.env", "S3CRET\n")
        .file("home/ws/.gitignore", ".env\n")
        .file("home/ws/.mcp.json", "{}\n");
    let ws = b.ws();
    git(&b, &ws, &["init", "-q"]);
    git(&b, &ws, &["add", "-A"]);
    git(&b, &ws, &["commit", "-q", "-m", "one"]);
    let list = |dir: &Path| {
        let ran = run({
            let mut command = Command::new("find");
            command
                .arg(dir)
                .args(["-not", "-path", "*/agentbox*", "-printf", "%p %y %s %i\n"]);
            command
        });
        let mut lines: Vec<String> = ran.ok().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (before, home) = (list(&ws), list(&b.home()).len());
    b.run(["true"]).ok();
    assert_eq!(list(&ws), before);
    let mut live = b.start(["sh", "-c", "echo up; exec sleep 1000"]);
    live.wait_line("up");
    live.signal(nix::sys::signal::Signal::SIGKILL);
    live.end();
    assert_eq!(list(&ws), before);
    assert!(list(&b.home()).len() >= home);
    assert_eq!(git(&b, &ws, &["status", "--porcelain"]), "");
}

/// A template elsewhere in HOME made `git commit` fail, and lists of what to ignore were ignored themselves.
#[test]
fn what_git_reads_besides_its_configuration_is_there() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let token = ["gh", "p_", "abcdefghijklmnopqrstuvwxyz0123456789"].concat();
    let b = TestBox::new()
        .file(
            "home/.gitconfig",
            "[user]\n\tname = Me\n\temail = me@work\n[core]\n\texcludesFile = ~/git/ignore\n\tattributesFile = ~/git/attributes\n\
             [commit]\n\ttemplate = ~/git/template\n[mailmap]\n\tfile = ~/.ssh/id_rsa\n[blame]\n\tignoreRevsFile = ~/git/token\n",
        )
        .file("home/git/ignore", "*.out\n")
        .file("home/git/attributes", "*.bin binary\n")
        .file("home/git/template", "Why:\n")
        .file("home/git/token", format!("{token}\n"))
        .file("home/git/other", "S3CRET\n")
        .file("home/.ssh/id_rsa", "S3CRET\n")
        .file("home/ws/x.out", "1\n");
    let ran = b.sh(
        "set -e; git init -q .; git status --short; git check-attr binary x.bin; echo a > a; git add a; \
         GIT_EDITOR='sed -i 1s/$/done/' git commit -q; git log --format=%s; \
         cat ~/.ssh/id_rsa ~/git/token ~/git/other || true",
    );
    let text = ran.ok();
    assert!(text.contains("x.bin: binary: set"), "{ran:?}");
    assert!(text.contains("Why:done"), "{ran:?}");
    for hidden in ["x.out", "S3CRET", &token] {
        assert!(!text.contains(hidden), "{hidden}: {ran:?}");
    }
}

#[test]
fn git_configuration_is_shown_without_credentials() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = boxed()
        .file(
            "home/.gitconfig",
            "[user]\n\tname = Me\n[credential]\n\thelper = store\n[url \"https://me:S3CRET@host/\"]\n\tinsteadOf = x:\n\
             [include]\n\tpath = .gitconfig.work\n[includeIf \"gitdir:/never/\"]\n\tpath = more.inc\n",
        )
        .file("home/.gitconfig.work", "[user]\n\temail = me@work\n[github]\n\ttoken = S3CRET\n")
        .file("home/more.inc", "[alias]\n\tst = status\n")
        .file("home/.git-credentials", "https://me:S3CRET@host\n")
        .file("home/ws/x", "1\n");
    let ws = b.ws();
    let all = "git config --list --show-origin; cat ~/.gitconfig ~/.gitconfig.work ~/more.inc; cat ~/.git-credentials";
    let ran = b.sh(all);
    let text = ran.text();
    assert!(
        !text.contains("S3CRET") && !text.contains("store"),
        "{text}"
    );
    for word in [
        "user.name=Me",
        "user.email=me@work",
        "st = status",
        "https://host/",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // What actions/checkout leaves: a header in the repository's file, and an include of a file of the runner.
    git(&b, &ws, &["init", "-q"]);
    git(
        &b,
        &ws,
        &["remote", "add", "origin", "https://me:S3CRET@host/x.git"],
    );
    let b = b.file(
        "runner/credentials.config",
        "[http]\n\textraheader = AUTHORIZATION: basic S3CRET\n",
    );
    let include = b.root().join("runner/credentials.config");
    git(
        &b,
        &ws,
        &[
            "config",
            "includeIf.gitdir:/.path",
            include.to_str().unwrap(),
        ],
    );
    git(
        &b,
        &ws,
        &[
            "config",
            "http.https://github.com/.extraheader",
            "AUTHORIZATION: basic S3CRET",
        ],
    );
    let before = fs::read(ws.join(".git/config")).unwrap();
    let ran = b.sh("git config --list; cat .git/config; git remote -v");
    assert!(!ran.text().contains("S3CRET"), "{ran:?}");
    assert!(ran.text().contains("https://host/x.git"), "{ran:?}");
    b.probe(&format!("read {}", include.display()))
        .refused(Errno::ENOENT);
    assert!(!b.sh("git remote add other y").text().contains("S3CRET"));
    b.sh("git -c user.email=a@b add x && git -c user.email=a@b commit -q -m one")
        .ok();
    assert_eq!(fs::read(ws.join(".git/config")).unwrap(), before);
    // A granted include is cleaned as well, a named file is shown as it is.
    let b = b
        .option("--read")
        .option(include.parent().unwrap().to_str().unwrap());
    assert!(
        !b.sh(&format!("cat {}", include.display()))
            .text()
            .contains("S3CRET")
    );
    let b = b.option("--write").option(".git/config");
    assert!(b.sh("cat .git/config").ok().contains("S3CRET"));
}

#[test]
fn configurations_of_nested_repositories_lose_their_credentials_too() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let secret = "[http]\n\textraheader = AUTHORIZATION: basic S3CRET\n[user]\n\tname = me\n";
    let mut b = boxed().file("home/ws/x", "x");
    let files = [
        "vendor/lib/.git/config",
        "vendor/lib/.git/config.worktree",
        "vendor/lib/.git/modules/sub/config",
        ".git/modules/deep/er/config",
        "mirror.git/config",
    ];
    let ws = b.ws();
    git(&b, &ws, &["init", "-q"]);
    for file in files {
        b = b.file(&format!("home/ws/{file}"), secret);
        let head = Path::new(file).with_file_name("HEAD");
        b = b.file(
            &format!("home/ws/{}", head.display()),
            "ref: refs/heads/main\n",
        );
    }
    let b = b
        .dir("home/ws/mirror.git/objects")
        .dir("home/ws/mirror.git/refs");
    for file in files {
        let text = b.sh(&format!("cat {file}")).ok();
        assert!(
            !text.contains("S3CRET") && text.contains("me"),
            "{file}: {text}"
        );
    }
    // The twin: it is the file that is cleaned, and its owner may have it shown.
    let mut b = b;
    for file in files {
        b = b.option("--read").option(file);
    }
    for file in files {
        assert!(
            b.sh(&format!("cat {file}")).ok().contains("S3CRET"),
            "{file}"
        );
    }
}

#[test]
fn the_target_of_hooks_path_is_frozen() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let b = boxed()
        .file("home/ws/scripts/githooks/pre-commit", "#!/bin/sh\n")
        .file("home/ws/scripts/x", "1");
    git(&b, &b.ws(), &["init", "-q"]);
    b.probe("write {ws}/scripts/githooks/pre-commit x")
        .allowed();
    git(
        &b,
        &b.ws(),
        &["config", "core.hooksPath", "scripts/githooks"],
    );
    b.probe("write {ws}/scripts/githooks/pre-commit x")
        .refused(Errno::EROFS);
    b.probe("create {ws}/scripts/githooks/pre-push")
        .refused(Errno::EROFS);
    b.probe("rename {ws}/scripts {ws}/s2").refused(Errno::EBUSY);
    b.probe("write {ws}/scripts/x 2").allowed();
}

/// The world of the operations: a repository with hooks, a submodule, a nested repository, agents' settings and branches whose
/// CI files differ.
fn repositories() -> TestBox {
    let b = TestBox::new()
        .profile(BASE)
        .file("home/.gitconfig", "[user]\n\tname = A\n\temail = a@b\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n[gc]\n\tauto = 0\n")
        .file("home/ws/.mcp.json", "{}\n")
        .file("home/ws/.claude/settings.json", "{}\n")
        .file("home/ws/.env", "S3CRET\n")
        .file("home/ws/.gitignore", ".env\n.mcp.json\n.claude/\nlog\nnested/\nlib-src/\nbare.git/\nclone/\nwt*/\n")
        .file("home/ws/.github/workflows/ci.yml", "on: push\n")
        .file("home/ws/CODEOWNERS", "* @me\n")
        .file("home/ws/src/a.txt", "1\n")
        .file("home/ws/lib-src/lib.txt", "lib\n")
        .file("home/ws/nested/n.txt", "n\n");
    let ws = b.ws();
    for dir in ["lib-src", "nested", "."] {
        let dir = ws.join(dir);
        git(&b, &dir, &["init", "-q", "-b", "main"]);
        let hook = dir.join(".git/hooks/pre-commit");
        fs::write(
            &hook,
            "#!/bin/sh\necho hook >>\"$(git rev-parse --show-toplevel)/log\"\n",
        )
        .unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        b.chown(&hook);
        git(&b, &dir, &["add", "-A"]);
        git(&b, &dir, &["commit", "-q", "-m", "first"]);
    }
    git(
        &b,
        &ws,
        &["submodule", "--quiet", "add", "./lib-src", "sub"],
    );
    git(&b, &ws, &["commit", "-q", "-m", "sub"]);
    // Branches: another CI file, a second one, none; and one that only has other sources.
    let write = |file: &str, text: &str| {
        fs::create_dir_all(ws.join(file).parent().unwrap()).unwrap();
        fs::write(ws.join(file), text).unwrap();
        b.chown(ws.join(file).parent().unwrap());
        b.chown(&ws.join(file));
    };
    let branches: [(&str, &[(&str, &str)]); 4] = [
        (
            "ci",
            &[
                (".github/workflows/ci.yml", "on: release\n"),
                ("src/ci.txt", "ci\n"),
            ],
        ),
        (
            "more",
            &[
                (".github/workflows/more.yml", "on: issue\n"),
                (".gitlab-ci.yml", "x: y\n"),
            ],
        ),
        ("less", &[("src/less.txt", "less\n")]),
        ("src", &[("src/a.txt", "2\n"), ("src/b.txt", "b\n")]),
    ];
    for (branch, files) in branches {
        git(&b, &ws, &["checkout", "-q", "-b", branch, "main"]);
        if branch == "less" {
            git(&b, &ws, &["rm", "-q", "CODEOWNERS"]);
        }
        for (file, text) in files {
            write(file, text);
        }
        git(&b, &ws, &["add", "-A"]);
        git(&b, &ws, &["commit", "-q", "-m", branch]);
    }
    git(&b, &ws, &["checkout", "-q", "main"]);
    b
}

/// Two hundred operations in an order of chance, whose seed is printed. `gc`, merges and rebases over differing CI files,
/// worktrees, submodules, hooks: each ends inside as it does outside, and leaves the same.
#[test]
fn two_hundred_operations_in_any_order_do_inside_what_they_do_outside() {
    if missing(Feature::Tool("git")) {
        return;
    }
    const SEED: u64 = 20_260_131;
    let seed = std::env::var("AGENTBOX_SEED").map_or(SEED, |text| text.parse().unwrap());
    let line = format!("GIT 200 operations, AGENTBOX_SEED={seed}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    let prelude = include_str!("names/operations.sh");
    let prelude = prelude.split_once("op git status").unwrap().0;
    let mut state = seed;
    let mut dice = |sides: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % sides
    };
    let kinds: Vec<&str> = include_str!("names/mixed.sh")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .collect();
    let branches = ["main", "ci", "more", "less", "src", "x0", "x1"];
    let mut script = prelude.to_owned();
    for number in 0..200 {
        let kind = kinds[dice(kinds.len())];
        let line = kind
            .replace("BRANCH", branches[dice(branches.len())])
            .replace("SOME", &format!("x{}", dice(2)))
            .replace("FILE", &format!("src/{}.txt", ["a", "b", "c"][dice(3)]))
            .replace("WT", &format!("wt{}", dice(3)))
            .replace('N', &number.to_string());
        script += &format!("{line}\nopstate\n");
    }
    script = script.replace(
        "opstate\n",
        "cat .github/workflows/*.yml CODEOWNERS .gitlab-ci.yml 2>&1 | cksum; ls wt* 2>&1 | cksum\n",
    );
    let mut results = Vec::new();
    for inside in [true, false] {
        let b = repositories();
        let ws = b.ws();
        common::until("git's objects are old", || {
            let age = fs::metadata(ws.join(".git/index"))
                .unwrap()
                .modified()
                .unwrap()
                .elapsed();
            age.is_ok_and(|age| age.as_millis() > 150)
        });
        let out = if inside {
            b.sh(&script)
        } else {
            let mut shell = Command::new("/bin/sh");
            b.around(&mut shell, &b.command(["true"]));
            shell.arg("-c").arg(&script);
            run(shell)
        };
        let root = b.root().to_str().unwrap().to_owned();
        let mut text = out.text().replace(&root, "ROOT");
        // And what is there when the session is over.
        text += "\nafterwards\n";
        text += &git(
            &b,
            &ws,
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        );
        text += &git(&b, &ws, &["status", "--porcelain", "-b"]);
        text += &git(&b, &ws, &["ls-files", "-s"]);
        text += &git(&b, &ws, &["worktree", "list"]).replace(&root, "ROOT");
        results.push((text, format!("{out:?}")));
        assert_eq!(fs::read_to_string(ws.join(".env")).unwrap(), "S3CRET\n");
    }
    let ((inside, told), (outside, _)) = (&results[0], &results[1]);
    for (number, (a, b)) in inside.lines().zip(outside.lines()).enumerate() {
        assert_eq!(
            a, b,
            "seed {seed}, line {number}: inside and outside differ: {told}"
        );
    }
    assert_eq!(inside.lines().count(), outside.lines().count());
    assert!(inside.lines().count() > 600, "{inside}");
}

/// A hundred operations in a repository with frozen hooks, a submodule, a nested repository and agents' settings: the same
/// refs, trees and states inside as outside.
#[test]
fn git_does_inside_what_it_does_outside() {
    if missing(Feature::Tool("git")) {
        return;
    }
    let script = include_str!("names/operations.sh");
    let count = script
        .lines()
        .filter(|line| line.starts_with("op "))
        .count();
    assert!(count >= 100, "{count} operations");
    let mut results = Vec::new();
    for inside in [true, false] {
        let b = TestBox::new()
            .profile(BASE)
            .file("home/.gitconfig", "[user]\n\tname = A\n\temail = a@b\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n")
            .file("home/ws/.mcp.json", "{}\n")
            .file("home/ws/.claude/settings.json", "{}\n")
            .file("home/ws/.env", "S3CRET\n")
            .file("home/ws/.gitignore", ".env\n.mcp.json\n.claude/\nlog\nnested/\nlib-src/\nbare.git/\nclone/\nwt*/\n")
            .file("home/ws/src/a.txt", "1\n")
            .file("home/ws/lib-src/lib.txt", "lib\n")
            .file("home/ws/nested/n.txt", "n\n");
        let ws = b.ws();
        for dir in ["lib-src", "nested", "."] {
            let dir = ws.join(dir);
            git(&b, &dir, &["init", "-q", "-b", "main"]);
            fs::write(
                dir.join(".git/hooks/pre-commit"),
                "#!/bin/sh\necho hook >>\"$(git rev-parse --show-toplevel)/log\"\n",
            )
            .unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(dir.join(".git/hooks/pre-commit"), mode).unwrap();
            b.chown(&dir.join(".git/hooks/pre-commit"));
            git(&b, &dir, &["add", "-A"]);
            git(&b, &dir, &["commit", "-q", "-m", "first"]);
        }
        git(
            &b,
            &ws,
            &["submodule", "--quiet", "add", "./lib-src", "sub"],
        );
        git(&b, &ws, &["commit", "-q", "-m", "sub"]);
        let out = if inside {
            b.sh(script)
        } else {
            let mut shell = Command::new("/bin/sh");
            let inner = b.command(["true"]);
            b.around(&mut shell, &inner);
            shell.arg("-c").arg(script);
            run(shell)
        };
        let root = b.root().to_str().unwrap().to_owned();
        results.push(out.text().replace(&root, "ROOT"));
        assert!(out.text().lines().count() > count, "{out:?}");
        assert_eq!(fs::read_to_string(ws.join(".env")).unwrap(), "S3CRET\n");
    }
    let (inside, outside) = (&results[0], &results[1]);
    for (number, (a, b)) in inside.lines().zip(outside.lines()).enumerate() {
        assert_eq!(a, b, "line {number}: inside and outside differ");
    }
    assert_eq!(inside.lines().count(), outside.lines().count());
}
