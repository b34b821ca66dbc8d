//! The rung `container-proc`: a place where namespaces can be had and a fresh procfs cannot, as in podman, and in docker with an
//! open seccomp profile. The place is made by `probe enter masked-proc`, without an engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, missing};
use common::{Ran, TestBox, run};

/// A box that accepts it.
fn accepting() -> TestBox {
    TestBox::new().option("--rung").option("container-proc")
}

/// `agentbox run OPTIONS -- WORDS` as PID 1 of such a place.
fn inside(b: &TestBox, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| b.fill(word)).collect();
    let inner = b.command(&words);
    run(b.through("exec {probe} enter masked-proc -- \"$@\"", &inner))
}

/// Nothing lower than the full rung is taken by itself, and what is refused names the flag.
#[test]
fn by_itself_it_is_refused_with_the_flag() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    inside(&b, &["true"]).refused(&["proc", "--rung container-proc", "check --rungs"]);
    let b = accepting();
    let ran = inside(&b, &["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("rung container-proc"), "{ran:?}");
    // Where everything can be had, everything is taken.
    let ran = b.run(["true"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.complaint().contains("rung"), "{ran:?}");
    let b = accepting().option("--require").option("view");
    inside(&b, &["true"]).refused(&["the layer view is required", "container-proc"]);
}

#[test]
fn check_predicts_it() {
    if missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new();
    let ran = run(b.through(
        "exec {probe} enter masked-proc -- \"$@\"",
        &b.agentbox(["check"]),
    ));
    assert_eq!(ran.code(), 1, "{ran:?}");
    let text = ran.text();
    assert!(
        text.contains("at most the rung `container-proc`"),
        "{ran:?}"
    );
    assert!(
        text.contains("yes  a run with --rung container-proc"),
        "{ran:?}"
    );
}

/// Of the container's other processes what everybody may read can be seen, and nothing be written; of those that ran before the
/// box stood nothing.
#[test]
fn other_processes_of_the_container_are_closed() {
    if missing(Feature::Userns) {
        return;
    }
    let b = accepting();
    let inner = b.fill(
        "touch up; until [ -e pids ]; do sleep 0.02; done; read before after <pids; \
         exec {probe} batch 'listdir /proc/self/fd' 'read /proc/self/environ' 'readlink /proc/self/cwd' \
         \"read /proc/$before/cmdline\" \"read /proc/$before/environ\" \"read /proc/1/environ\" \
         \"read /proc/$after/cmdline\" \"read /proc/$after/environ\" \"mem-read $after\" \
         \"readlink /proc/$after/cwd\" \"readlink /proc/$after/root\" \"readlink /proc/$after/exe\" \
         \"readlink /proc/$after/fd/0\" \"read /proc/$after/maps\" \"read /proc/timer_list\" \"listdir /proc/irq\" \
         'write /proc/sys/kernel/core_pattern x' \"write /proc/$after/oom_score_adj 7\" \"write /proc/$after/autogroup 7\" \
         \"write /proc/$after/coredump_filter 7\"",
    );
    let script = "exec {probe} enter masked-proc -- sh -c '\
        PASSWORD=hunter2-before sleep 300 & before=$!; \
        \"$@\" & box=$!; \
        until [ -e up ]; do sleep 0.02; done; \
        PASSWORD=hunter2-after sleep 301 & after=$!; \
        echo $before $after >pids.new; mv pids.new pids; \
        wait $box; status=$?; \
        kill $before $after || exit 99; exit $status' sh \"$@\"";
    let ran = run(b.through(script, &b.command(["sh", "-c", &inner])));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let text = ran.text();
    assert!(!text.contains("hunter2"), "{ran:?}");
    let answers: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(answers.len(), 20, "{ran:?}");
    for (number, answer) in answers.iter().enumerate() {
        let name = answer["name"].as_str().unwrap_or("ok");
        let wanted: &[&str] = match number {
            0..=2 => &["ok"],
            // Covered.
            3..=5 => &["ENOENT"],
            // proc(5): the command line is everybody's.
            6 => &["ok"],
            7..=13 => &["EACCES", "EPERM"],
            // What the engine covers stays covered: /dev/null cannot be opened through a mount without devices.
            14 => &["ok", "EACCES"],
            15 => &["ok"],
            _ => &["EROFS", "EACCES"],
        };
        assert!(wanted.contains(&name), "{number}: {answer}\n{ran:?}");
    }
}

/// What runs beside the box in the container is not reached by its signals, and a pause stops the box and nothing else.
#[test]
fn signals_and_pauses_end_at_the_box() {
    if missing(Feature::Userns) {
        return;
    }
    let b = accepting();
    let inner = "touch up; (kill -9 -1); echo not reached";
    let script = "exec {probe} enter masked-proc -- sh -c '\
        sleep 300 & before=$!; \"$@\"; status=$?; kill $before || exit 99; exit $status' sh \"$@\"";
    let ran = run(b.through(script, &b.command(["sh", "-c", inner])));
    assert_eq!(ran.code(), 137, "{ran:?}");

    let b = accepting();
    let inner = "echo $AGENTBOX_SESSION >up.new; mv up.new up; until [ -e halt ]; do echo >>ticks; sleep 0.01; done";
    let script = "exec {probe} enter masked-proc -- sh -c '\
        a=$1; \"$@\" & box=$!; until [ -e up ] && [ -e ticks ]; do sleep 0.02; done; \
        $a pause $(cat up) || exit 98; \
        wc -l <ticks >one; sleep 0.3; wc -l <ticks >two; cmp one two || exit 97; \
        $a resume $(cat up) || exit 96; \
        now=$(cat two); until [ $(wc -l <ticks) -gt $now ]; do sleep 0.02; done; \
        touch halt; wait $box' sh \"$@\"";
    let ran = run(b.through(script, &b.command(["sh", "-c", inner])));
    assert_eq!(ran.code(), 0, "{ran:?}");
}
