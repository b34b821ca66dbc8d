//! `agentbox drill`: passes where a switch kills, and fails where one is broken on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::switched::config;
use common::switches::{Authority, Flags, Redis, free_port};
use common::{Feature, Ran, TestBox, missing, run};
use std::fs;
use std::process::Command;

const FAST: &str =
    "on-unreachable = \"stop\"\ninterval = \"400ms\"\ntimeout = \"4s\"\ngrace = \"20s\"\n";

fn drill(b: &TestBox, names: &[&str]) -> Ran {
    run(b.agentbox(std::iter::once("drill").chain(names.iter().copied())))
}

fn text(ran: &Ran) -> String {
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// What the record of drills says of the last one.
fn last(b: &TestBox) -> serde_json::Value {
    let path = b.home().join(".local/state/agentbox/drills.jsonl");
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[track_caller]
fn failed(b: &TestBox, name: &str, word: &str) {
    let ran = drill(b, &[name]);
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    let said = text(&ran);
    assert!(
        said.starts_with(&format!("{name}: FAILED: ")) && said.contains(word),
        "{word}: {ran:?}"
    );
    assert!(
        last(b)["failed"].as_str().unwrap().contains(word),
        "{}",
        last(b)
    );
}

#[test]
fn every_switch_that_is_well_kills_and_nothing_is_left_of_the_drill() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let b = TestBox::new().dir("{t}/share/ops");
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let mut flags = Flags::start(&authority, "secret", 0);
    let redis = Redis::start(&[], None);
    let b = b.file("{home}/.config/agentbox/token", "secret");
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{{t}}/share/ops/stop\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"flag\"\nurl = \"https://127.0.0.1:{}/stop\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"member\"\nurl = \"https://127.0.0.1:{}/kill?x=1\"\nfield = \"agents.off\"\nca = \"{{t}}/a-ca.pem\"\ntoken-file = \"{{home}}/.config/agentbox/token\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"keys\"\nurl = \"redis://127.0.0.1:{}\"\nkeys = [\"a\", \"b\"]\n{FAST}",
            flags.port, flags.port, redis.port
        ),
    );
    let ran = drill(&b, &[]);
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    let said = text(&ran);
    for name in ["workspace", "user", "share", "flag", "member", "keys"] {
        assert!(said.contains(&format!("{name}: killed in ")), "{said}");
    }
    assert!(last(&b)["killed-after-ms"].as_f64().unwrap() > 0.0);
    assert_eq!(redis.tell(&["DBSIZE"]), ":0\r\n");
    assert_eq!(fs::read_dir(b.root().join("share/ops")).unwrap().count(), 0);
    let own = fs::read_dir(b.home().join(".config/agentbox")).unwrap();
    assert!(
        own.flatten()
            .all(|entry| !entry.file_name().to_string_lossy().contains("drill"))
    );
    // Also on the server: the next question finds nothing there.
    assert!(flags.count() > 4);
}

#[test]
fn a_switch_that_is_broken_fails_its_drill() {
    if missing(Feature::Tool("redis-check-rdb")) {
        return;
    }
    let b = TestBox::new();
    let authority = Authority::new(&b, "a", "IP:127.0.0.1");
    let redis = Redis::start(&["--requirepass", "right"], None);
    // Who may see other keys only.
    let others = Redis::start(&[], None);
    others.tell(&["ACL", "SETUSER", "default", "resetkeys", "~other*"]);
    let flags = Flags::start(&authority, "secret", 0);
    let _other = Authority::new(&b, "b", "IP:127.0.0.1");
    let b = b.file("{home}/.config/agentbox/wrong", "wrong");
    let dead = free_port();
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"wrong-key\"\nurl = \"redis://127.0.0.1:{}\"\nkeys = [\"a\"]\ntoken-file = \"{{home}}/.config/agentbox/wrong\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"foreign\"\nurl = \"redis://127.0.0.1:{}\"\nkeys = [\"a\"]\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"dead\"\nurl = \"redis://127.0.0.1:{dead}\"\nkeys = [\"a\"]\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"certificate\"\nurl = \"https://127.0.0.1:{}/stop\"\nca = \"{{t}}/b-ca.pem\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"nameless\"\nurl = \"https://flags.invalid/stop\"\n{FAST}\n\
             [[kill-switch.remote]]\nname = \"unmounted\"\nurl = \"file://{{t}}/share/ops/stop\"\n{FAST}",
            redis.port, others.port, flags.port
        ),
    );
    for (name, word) in [
        ("wrong-key", "WRONGPASS"),
        ("foreign", "NOPERM"),
        ("dead", "onnection refused"),
        ("certificate", "certificate"),
        ("nameless", "flags.invalid"),
        ("unmounted", "No such file"),
    ] {
        failed(&b, name, word);
    }
    // The twin: the others are not asked, so that the good ones still pass.
    let ran = drill(&b, &["user"]);
    assert_eq!(common::shell_status(ran.status), 0, "{ran:?}");
    let ran = drill(&b, &["nobody"]);
    assert!(
        ran.complaint()
            .contains("no remote switch is called `nobody`"),
        "{ran:?}"
    );
}

#[test]
fn a_read_only_place_fails_the_drill() {
    let b = TestBox::new().dir("{t}/share");
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{{t}}/share/stop\"\n{FAST}"
        ),
    );
    assert_eq!(common::shell_status(drill(&b, &["share"]).status), 0);
    let inner = b.agentbox(["drill", "share"]);
    let mount = "mount -t tmpfs -o ro none {t}/share";
    let script = if common::world::as_root() {
        format!("exec unshare -m sh -euc '{mount}; exec \"$@\"' sh \"$@\"")
    } else {
        format!(
            "exec unshare -m --user --map-root-user sh -euc '{mount}; exec unshare --user --map-user={{uid}} --map-group={{uid}} \"$@\"' sh \"$@\""
        )
    };
    let ran = run(b.through(&script, &inner));
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    let said = text(&ran);
    assert!(
        said.contains("share: FAILED: ") && said.contains("Read-only"),
        "{ran:?}"
    );
    // Nor does one that only others may write to.
    if !common::world::as_root() {
        let mut chmod = Command::new("chmod");
        chmod.arg("555").arg(b.root().join("share"));
        assert!(run(chmod).status.success());
        failed(&b, "share", "denied");
    }
}

#[test]
fn a_drill_may_be_demanded() {
    let b = TestBox::new().dir("{t}/share");
    let b = config(
        b,
        &format!(
            "[[kill-switch.remote]]\nname = \"share\"\nurl = \"file://{{t}}/share/stop\"\n{FAST}drill-max-age = \"30d\""
        ),
    );
    b.sh("echo ran").refused(&[
        "the remote switch `share` has not been drilled",
        "agentbox drill share",
    ]);
    assert_eq!(common::shell_status(drill(&b, &["share"]).status), 0);
    assert_eq!(b.sh("echo ran").ok(), "ran");
    // One from long ago counts as none.
    let path = b.home().join(".local/state/agentbox/drills.jsonl");
    let old = fs::read_to_string(&path).unwrap();
    let year = last(&b)["at"].as_str().unwrap()[..4].to_owned();
    fs::write(
        &path,
        old.replace(&format!("\"at\":\"{year}"), "\"at\":\"2020"),
    )
    .unwrap();
    b.sh("echo ran").refused(&["has not been drilled"]);
}

#[test]
fn without_inotify_and_fanotify_the_drill_fails() {
    if missing(Feature::HostRoot) || missing(Feature::User) {
        return;
    }
    let b = TestBox::new();
    let inner = b.agentbox(["drill", "user"]);
    let script = "exec unshare --user --map-root-user sh -euc \
         'echo 0 > /proc/sys/user/max_inotify_instances; echo 0 > /proc/sys/user/max_fanotify_groups; exec unshare --user --map-user={uid} --map-group={uid} \"$@\"' sh \"$@\"";
    let ran = run(b.through(script, &inner));
    assert_eq!(common::shell_status(ran.status), 1, "{ran:?}");
    let said = text(&ran);
    assert!(
        said.contains("user: FAILED: killed in ") && said.contains("five times a second"),
        "{ran:?}"
    );
}
