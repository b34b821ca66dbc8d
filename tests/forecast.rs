//! What an earlier start foresaw of the view saves time and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{TestBox, until};
use std::fs;
use std::path::PathBuf;

/// Every mount of the box with its attributes, and everything in the file systems that are its own.
const VIEW: &str = "cut -d' ' -f4- /proc/self/mountinfo | sort; \
    find / /dev /tmp /run/agentbox/masks $HOME -xdev -printf '%p %M %U %G %s %l\\n' 2>/dev/null | grep -v '^/run/agentbox/plan.json ' | sort; \
    cat /etc/passwd /etc/group /etc/hosts /run/agentbox/policy.md";

/// Runs a command, and returns what it printed and whether the view was begun by a forecast.
fn start(b: &TestBox, script: &str) -> (String, bool) {
    let text = b.sh(script).ok();
    let sessions = b.home().join(".local/state/agentbox/sessions");
    let newest = fs::read_dir(&sessions)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("session.json"))
        .filter(|path| path.exists())
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .unwrap();
    let record = fs::read_to_string(newest).unwrap();
    (text, record.contains("operations as foreseen"))
}

fn forecasts(b: &TestBox) -> Vec<PathBuf> {
    let dir = b.home().join(".local/state/agentbox/forecast");
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The ids of a root caller's box depend on the plan: nothing is foreseen.
fn is_foreseen() -> bool {
    !as_root()
}

#[test]
fn a_foreseen_view_is_the_same_view() {
    let b = TestBox::new().file("note", "x");
    let (first, foreseen) = start(&b, VIEW);
    assert!(!foreseen, "there was nothing to foresee it by");
    let (second, foreseen) = start(&b, VIEW);
    assert_eq!(foreseen, is_foreseen());
    assert_eq!(first, second);
    assert!(first.contains("/usr ro,"), "{first}");
    assert_eq!(forecasts(&b).len(), usize::from(is_foreseen()));
}

#[test]
fn what_is_wished_differently_is_built_differently() {
    let view = |b: &TestBox| start(b, "grep ' /tmp ' /proc/self/mountinfo | cut -d' ' -f4-");
    let b = TestBox::new();
    let (plain, _) = view(&b);
    assert_eq!(view(&b), (plain.clone(), is_foreseen()));
    let b = b.option("--limit").option("disk=64MiB");
    let (small, foreseen) = view(&b);
    assert!(!foreseen);
    assert!(small.contains("size=65536k"), "{small}");
    assert_ne!(plain, small);
    assert_eq!(view(&b), (small, is_foreseen()));
}

/// A forecast is a guess. One that is not, to the byte, what the plan says is not taken, whatever it says.
#[test]
fn a_forecast_that_is_not_the_plan_is_not_taken() {
    if !is_foreseen() {
        return;
    }
    let b = TestBox::new();
    let (right, _) = start(&b, VIEW);
    let [place] = <[PathBuf; 1]>::try_from(forecasts(&b)).unwrap();
    let good = fs::read_to_string(&place).unwrap();
    let json: serde_json::Value = serde_json::from_str(&good).unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        serde_json::to_string(&json).unwrap()
    };
    let ops = |json: &serde_json::Value| json["ops"].as_array().unwrap().clone();
    let secret = b.home().join("secret");
    fs::write(&secret, "a secret").unwrap();
    let grant = serde_json::json!({
        "op": "bind", "source": secret, "target": "/etc/secret", "access": "read", "kind": "file",
        "idmap": false, "create": false,
    });
    let link = serde_json::json!({ "op": "symlink", "target": "/etc/more", "to": "/etc/passwd" });
    let missing =
        serde_json::json!({ "op": "copy", "source": "/etc/no such file", "target": "/etc/x" });
    let wrong = [
        with(&|json| json["ops"].as_array_mut().unwrap().push(grant.clone())),
        with(&|json| json["ops"].as_array_mut().unwrap().push(link.clone())),
        with(&|json| json["ops"].as_array_mut().unwrap().push(missing.clone())),
        with(&|json| json["ops"] = ops(json)[1..].into()),
        with(&|json| json["ops"] = serde_json::json!([])),
        with(&|json| json["ops"].as_array_mut().unwrap().reverse()),
        with(&|json| json["refused"] = serde_json::json!([])),
        with(&|json| {
            json["refused"]
                .as_array_mut()
                .unwrap()
                .push("/usr/bin/env".into())
        }),
        with(&|json| json["disk"] = 1.into()),
        with(&|json| json["more"] = 1.into()),
        good[..good.len() / 2].to_owned(),
        format!("{good} "),
        "[]".to_owned(),
        String::new(),
    ];
    for text in wrong {
        // The white space around a text is not a part of it.
        let same = text.trim() == good;
        fs::write(&place, &text).unwrap();
        let (view, foreseen) = start(&b, VIEW);
        assert_eq!(foreseen, same, "{text}");
        assert_eq!(view, right, "{text}");
        if !same {
            assert_eq!(fs::read_to_string(&place).unwrap(), good, "it is put right");
        }
        assert_eq!(start(&b, VIEW), (right.clone(), true), "after {text}");
    }
    // What is no file does not hold a start up.
    fs::remove_file(&place).unwrap();
    nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(start(&b, VIEW), (right.clone(), false));
    fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink(&secret, &place).unwrap();
    assert_eq!(start(&b, VIEW), (right, false));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "a secret");
}

/// The host's files as they are at the start, not as they were when the forecast was made.
#[test]
fn what_a_forecast_names_is_read_anew() {
    let b = TestBox::new();
    let shown = b.root().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "one").unwrap();
    b.chown(&shown);
    let b = b.option(&format!("--read={}", shown.display()));
    let script = format!("cat {}/file", shown.display());
    assert_eq!(start(&b, &script).0, "one");
    fs::write(shown.join("file"), "two").unwrap();
    assert_eq!(start(&b, &script).0, "two");
    fs::remove_dir_all(&shown).unwrap();
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "three").unwrap();
    b.chown(&shown);
    assert_eq!(start(&b, &script).0, "three");
}

/// The nursery ends with its work: not even its remains are there while the command runs.
#[test]
fn nothing_is_left_of_the_nursery() {
    let b = TestBox::new();
    for _ in 0..2 {
        let mut live = b.start(["sh", "-c", "echo ready; sleep 60"]);
        live.wait_line("ready");
        let client = live.pid();
        let children = format!("/proc/{client}/task/{client}/children");
        until("the client has one child, the supervisor", || {
            let text = fs::read_to_string(&children).unwrap();
            let pids: Vec<&str> = text.split_whitespace().collect();
            let comm = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm"));
            pids.len() == 1 && comm(pids[0]).is_ok_and(|comm| comm.trim() == "agentbox-super")
        });
        live.signal(nix::sys::signal::Signal::SIGTERM);
        live.end();
    }
}
