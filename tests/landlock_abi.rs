//! Each version of Landlock's ABI, as a kernel of that age declares it (`probe enter landlock-abi N`: only the answer is another,
//! so this shows what is asked of the kernel and what is said of what it lacks; `scripts/kernels` boots real ones).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, landlock_abi, missing};
use common::{Ran, TestBox, run};
use serde_json::Value;
use std::process::Command;

/// The versions that this kernel can stand in for: of what it does not have, it can do nothing.
fn versions() -> impl Iterator<Item = u32> {
    1..=landlock_abi().min(7)
}

/// The command on a kernel with that version.
fn on(b: &TestBox, version: u32, inner: &Command) -> Command {
    let script = format!("exec {{probe}} enter landlock-abi {version} -- \"$@\"");
    b.through(&script, inner)
}

/// The same where there are no namespaces.
fn on_bare(b: &TestBox, version: u32, inner: &Command) -> Command {
    let script =
        format!("exec {{probe}} enter landlock-abi {version} -- {{probe}} enter docker -- \"$@\"");
    b.through(&script, inner)
}

fn started(b: &TestBox, version: u32) -> Ran {
    run(on(b, version, &b.command(["true"])))
}

/// Before ABI 2 no file could be renamed into another directory: nothing starts, unless it is said that the layer may be missing.
#[test]
fn without_refer_there_is_no_landlock() {
    if missing(Feature::Landlock(1)) || missing(Feature::Userns) {
        return;
    }
    started(&TestBox::new(), 1).refused(&[
        "landlock",
        "Landlock ABI 1; at least 2 (Linux 5.19) is needed",
        "--allow-missing landlock",
    ]);
    let b = TestBox::new().option("--allow-missing=landlock");
    let ran = started(&b, 1);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("landlock"), "{ran:?}");
}

/// With a network of its own a box needs no scopes; with the host's it is refused where there are none.
#[test]
fn the_hosts_network_wants_scopes() {
    if missing(Feature::Landlock(6)) || missing(Feature::Userns) {
        return;
    }
    for version in versions().filter(|version| *version > 1) {
        let b = TestBox::new();
        let ran = started(&b, version);
        assert_eq!(ran.code(), 0, "{version}: {ran:?}");
        assert!(
            !ran.complaint().contains("do not hold"),
            "{version}: {ran:?}"
        );
        let b = TestBox::new().net("host");
        let ran = started(&b, version);
        if version >= 6 {
            assert_eq!(ran.code(), 0, "{version}: {ran:?}");
            continue;
        }
        ran.refused(&[
            "layer landlock",
            "scopes need ABI 6",
            "--net none",
            "--allow-missing landlock",
        ]);
        let b = b.option("--allow-missing=landlock");
        let ran = started(&b, version);
        assert_eq!(ran.code(), 0, "{version}: {ran:?}");
        let said = ran.complaint();
        assert!(
            said.contains("landlock does not hold in full"),
            "{version}: {ran:?}"
        );
        // What that ABI has holds all the same.
        let inner = b.command(["/bin/sh", "-c", "cat /proc/1/environ || exit 7"]);
        assert_eq!(run(on(&b, version, &inner)).code(), 7, "{version}");
    }
}

/// Without namespaces Landlock is all there is.
#[test]
fn the_lowest_rung_wants_scopes() {
    if missing(Feature::Landlock(6)) {
        return;
    }
    for version in versions() {
        let b = TestBox::new().option("--rung=landlock");
        let ran = run(on_bare(&b, version, &b.command(["true"])));
        match version {
            1 => ran.refused(&["Landlock ABI 1; at least 2"]),
            2..6 => {
                ran.refused(&["signals would reach every process of this user: scopes need ABI 6"])
            }
            _ => assert_eq!(ran.code(), 0, "{version}: {ran:?}"),
        }
        let b = b.option("--allow-missing=landlock");
        let ran = run(on_bare(&b, version, &b.command(["true"])));
        ran.refused(&["is nothing without the layer landlock"]);
    }
}

/// `agentbox check` says the same before anything is started.
#[test]
fn check_predicts_each() {
    if missing(Feature::Landlock(6)) || missing(Feature::Userns) {
        return;
    }
    for version in versions() {
        let b = TestBox::new();
        let ran = run(on(&b, version, &b.agentbox(["check", "--json"])));
        let found: Value = serde_json::from_str(&ran.text()).unwrap();
        assert_eq!(ran.code(), i32::from(version < 2), "{version}: {ran:?}");
        let trial = |mode: &str| {
            let all = found["trials"].as_array().unwrap().iter();
            let mut of = all.filter(|trial| trial["what"].as_str().unwrap().contains(mode));
            of.next()
                .unwrap_or_else(|| panic!("{mode}: {found}"))
                .clone()
        };
        let text = |mode: &str| trial(mode).to_string();
        let said = format!("V{version}, ");
        let scopes = "no scopes before ABI 6";
        for mode in ["--net filtered", "--net none"] {
            match version {
                1 => assert!(text(mode).contains("Landlock ABI 1; at least 2"), "{found}"),
                _ => assert!(
                    text(mode).contains(&said) && text(mode).contains(scopes) == (version < 6),
                    "{version}: {found}"
                ),
            }
        }
        if (2..6).contains(&version) {
            assert!(text("--net host").contains("scopes need ABI 6"), "{found}");
        }
        if version >= 6 {
            assert!(text("--net host").contains(&said), "{found}");
        }
    }
}
