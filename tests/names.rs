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

const HIDDEN: [&str; 19] = [
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
];

fn content(name: &str) -> String {
    match Path::new(name).file_name().unwrap().to_str().unwrap() {
        ".npmrc" => "//registry.npmjs.org/:_authToken=S3CRET\n".to_owned(),
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
        "{ws}/y/a-b.json",
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
    assert_eq!(
        b.probe("read {ws}/.env.example").allowed()["text"],
        "PLAIN\n"
    );
    // Outside nothing has changed.
    for name in HIDDEN {
        assert_eq!(
            fs::read_to_string(b.ws().join(name)).unwrap(),
            content(name),
            "{name}"
        );
    }
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
