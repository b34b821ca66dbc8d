#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::sys::testing::scratch;
use std::path::Path;

fn job(path: &Path, base: Option<&str>, boxed: &[u8]) -> Report {
    let job = Job {
        file: path.to_owned(),
        base: base.map(|base| base.as_bytes().to_vec()),
        boxed: boxed.to_vec(),
        patience: Duration::from_millis(50),
    };
    start(job).unwrap().end()
}

#[test]
fn a_change_arrives_and_what_runs_things_does_not() {
    let dir = scratch("job");
    let path = dir.path().join("state.json");
    std::fs::write(&path, r#"{"a":1,"h":1}"#).unwrap();
    let report = job(&path, Some(r#"{"a":1}"#), br#"{"a":2,"hooks":1}"#);
    assert_eq!(
        report,
        Report::Written {
            withheld: vec!["hooks".into()]
        }
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"a":2,"h":1}"#);
    let report = job(&path, Some(r#"{"a":2}"#), br#"{"a":2,"hooks":1}"#);
    assert_eq!(
        report,
        Report::Unchanged {
            withheld: vec!["hooks".into()]
        }
    );
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no lock and no temporary file stays"
    );
}

#[test]
fn what_cannot_be_merged_changes_nothing() {
    let dir = scratch("job");
    let path = dir.path().join("state.json");
    let deep = "[".repeat(100_000);
    for (name, host, boxed, again) in [
        ("box not JSON", "{}", b"{\"a\"".as_slice(), Again::BoxWrites),
        ("box not UTF-8", "{}", b"{\"a\":\"\xff\"}", Again::BoxWrites),
        ("box too deep", "{}", deep.as_bytes(), Again::BoxWrites),
        ("box empty", "{}", b"", Again::BoxWrites),
        ("host not JSON", "{,}", b"{\"a\":1}", Again::HostChanges),
        ("host is a list", "[]", b"{\"a\":1}", Again::HostChanges),
    ] {
        std::fs::write(&path, host).unwrap();
        let report = job(&path, None, boxed);
        assert!(
            matches!(&report, Report::Kept { again: a, .. } if *a == again),
            "{name}: {report:?}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), host, "{name}");
    }
    std::fs::write(&path, "{}").unwrap();
    std::fs::create_dir(dir.path().join("state.json.lock")).unwrap();
    let report = job(&path, None, b"{\"a\":1}");
    assert!(
        matches!(
            report,
            Report::Kept {
                again: Again::Soon,
                ..
            }
        ),
        "{report:?}"
    );
}

#[test]
fn sixteen_megabytes_go_through_in_time() {
    let dir = scratch("job");
    let path = dir.path().join("state.json");
    let item = format!("\"{}\",", "x".repeat(1021));
    let large = format!("{{\"a\":[{}0]}}", item.repeat((16 << 10) - 1));
    let report = job(&path, None, large.as_bytes());
    assert!(matches!(report, Report::Written { .. }), "{report:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), large);
}

/// What a program that took over the parser would try. Each row beside the allowed twin: the same confinement, computing.
#[test]
fn the_confined_child_can_only_compute() {
    assert_eq!(
        in_confinement(|| vec![7; 200_000]).unwrap(),
        vec![7; 200_000]
    );
    let dir = scratch("job");
    let target = dir.path().join("planted");
    let file = target.clone();
    let killed = |name: &str, work: Box<dyn FnOnce() -> Vec<u8>>| {
        let error = in_confinement(work).unwrap_err();
        assert!(error.contains("killed by SIGSYS"), "{name}: {error}");
    };
    killed(
        "open",
        Box::new(|| std::fs::read("/etc/hostname").unwrap_or_default()),
    );
    killed(
        "create",
        Box::new(move || std::fs::write(file, "x").map_or(vec![], |()| vec![1])),
    );
    killed(
        "socket",
        Box::new(|| std::net::TcpStream::connect("127.0.0.1:1").map_or(vec![], |_| vec![1])),
    );
    killed(
        "process",
        Box::new(|| {
            let _ = std::process::Command::new("/bin/true").status();
            vec![]
        }),
    );
    killed(
        "kill",
        Box::new(|| {
            let _ = kill(Pid::parent(), Signal::SIGTERM);
            vec![]
        }),
    );
    assert!(!target.exists());
}

#[test]
fn descriptors_of_the_supervisor_are_not_there() {
    use std::os::fd::AsRawFd;
    let dir = scratch("job");
    let file = File::create(dir.path().join("open")).unwrap();
    let number = file.as_raw_fd();
    // write(2) is allowed, so only the missing descriptor is in the way: EBADF.
    let answer = in_confinement(move || crate::sys::testing::write_to(number).into_bytes());
    assert_eq!(answer.unwrap(), b"EBADF");
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn endless_and_huge_work_is_ended() {
    let begin = Instant::now();
    let error = in_confinement(|| {
        loop {
            std::hint::black_box(1);
        }
    })
    .unwrap_err();
    assert!(
        error.contains("too long") || error.contains("SIGXCPU") || error.contains("SIGKILL"),
        "{error}"
    );
    assert!(begin.elapsed() < Duration::from_secs(4));
    let error = in_confinement(|| vec![1u8; 2 << 30]).unwrap_err();
    assert!(error.contains("merging process"), "{error}");
    let error = in_confinement(|| panic!("on purpose")).unwrap_err();
    assert!(error.contains("merging process"), "{error}");
    let too_much = usize::try_from(ANSWER_MAX).unwrap() + 1;
    let error = in_confinement(move || vec![1u8; too_much]).unwrap_err();
    assert!(error.contains("too much"), "{error}");
}

#[test]
fn a_merge_that_would_grow_too_large_is_not_written() {
    let dir = scratch("job");
    let path = dir.path().join("state.json");
    // Each fits, both together do not.
    let half = "x".repeat(9 << 20);
    let host = format!("{{\"h\":\"{half}\"}}");
    std::fs::write(&path, &host).unwrap();
    let report = job(&path, None, format!("{{\"b\":\"{half}\"}}").as_bytes());
    assert!(
        matches!(&report, Report::Kept { why, .. } if why.contains("16 MiB")),
        "{report:?}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), host);
}
