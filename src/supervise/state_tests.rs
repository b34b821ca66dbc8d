#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::policy::Origin;
use crate::supervise::json;
use crate::sys::notify::Notify;
use crate::sys::testing::{Scratch, scratch};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::rc::Rc;

/// A host's HOME and a box's HOME with one state file.
struct World {
    host: Scratch,
    inside: Scratch,
}

const HOME: &str = "/home/u";

impl World {
    fn new(host: Option<&str>) -> World {
        let world = World {
            host: scratch("host"),
            inside: scratch("box"),
        };
        if let Some(text) = host {
            std::fs::write(world.host_path(), text).unwrap();
        }
        world
    }

    fn host_path(&self) -> PathBuf {
        self.host.path().join("state.json")
    }

    fn on_host(&self) -> String {
        std::fs::read_to_string(self.host_path()).unwrap()
    }

    fn file(&self) -> StateFile {
        StateFile {
            source: self.host_path().into(),
            target: format!("{HOME}/state.json").as_str().into(),
            origin: Origin::agentbox("test"),
        }
    }

    fn sync(&self) -> Listening {
        let files = initial(&[self.file()]).unwrap();
        if let [
            Initial {
                bytes: Some(bytes), ..
            },
        ] = files.as_slice()
        {
            std::fs::write(self.inside.path().join("state.json"), bytes).unwrap();
        }
        let home = File::open(self.inside.path()).unwrap().into();
        let (sync, events) = Listening::new(files, home);
        assert_eq!(events, []);
        sync
    }

    /// As the agents write: a new file, renamed.
    fn write_in_box(&self, text: &str) {
        put(self.inside.path(), text);
    }
}

/// A write-back and the instance that its ear listens to, read as the supervisor does.
struct Listening {
    sync: StateSync,
    inotify: Rc<Notify>,
    ear: Ear,
}

impl Listening {
    fn new(files: Vec<Initial>, home: OwnedFd) -> (Listening, Vec<Event>) {
        let inotify = Rc::new(Notify::new().unwrap());
        let ear = Ear::new(inotify.clone());
        let (sync, events) = StateSync::new(files, home, &HOME.into(), Some(ear.clone())).unwrap();
        (Listening { sync, inotify, ear }, events)
    }

    fn on_ready(&mut self) -> Vec<Event> {
        let mut buffer = [0; 65536];
        self.inotify.read(&mut buffer, |_| self.ear.hear()).unwrap();
        self.sync.on_ready()
    }
}

impl std::ops::Deref for Listening {
    type Target = StateSync;

    fn deref(&self) -> &StateSync {
        &self.sync
    }
}

fn put(dir: &Path, text: &str) {
    let random = u64::from_le_bytes(crate::sys::random::bytes().unwrap());
    let new = dir.join(format!("state.json.tmp{random}"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, dir.join("state.json")).unwrap();
}

/// Runs the loop as the supervisor does until `enough` or the time is over; returns events and wake-ups.
fn pump(
    sync: &mut Listening,
    time: Duration,
    mut enough: impl FnMut(&[Event]) -> bool,
) -> (Vec<Event>, usize) {
    let until = Instant::now() + time;
    let (mut events, mut turns) = (Vec::new(), 0);
    while Instant::now() < until && !enough(&events) {
        let rest = until.saturating_duration_since(Instant::now());
        let timeout = sync.timeout().map_or(rest, |due| due.min(rest)) + Duration::from_millis(1);
        {
            let mut fds: Vec<_> = [Some(sync.inotify.as_fd()), sync.job()]
                .into_iter()
                .flatten()
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            poll(&mut fds, PollTimeout::try_from(timeout).unwrap()).unwrap();
        }
        turns += 1;
        events.extend(sync.on_ready());
    }
    (events, turns)
}

#[test]
fn a_write_in_the_box_reaches_the_host_while_it_runs() {
    let world = World::new(Some(r#"{"a":1}"#));
    let mut sync = world.sync();
    let (events, _) = pump(&mut sync, Duration::from_millis(100), |_| false);
    assert_eq!(events, [], "nothing changed, nothing is written");
    world.write_in_box(r#"{"a":2,"mcpServers":{"x":1}}"#);
    let (events, _) = pump(&mut sync, Duration::from_secs(5), |events| {
        !events.is_empty()
    });
    assert_eq!(
        events,
        [Event::StateWritten {
            file: world.file().source,
            withheld: vec!["mcpServers".into()]
        }]
    );
    assert_eq!(world.on_host(), r#"{"a":2}"#);
    // In place instead of by rename, and a key of the host's in between.
    std::fs::write(world.host_path(), r#"{"a":2,"h":1}"#).unwrap();
    std::fs::write(
        world.inside.path().join("state.json"),
        r#"{"a":3,"mcpServers":{"x":1}}"#,
    )
    .unwrap();
    pump(&mut sync, Duration::from_secs(5), |events| {
        !events.is_empty()
    });
    assert_eq!(world.on_host(), r#"{"a":3,"h":1}"#);
    assert_eq!(sync.sync.finish(), []);
}

#[test]
fn idle_asks_for_no_wake_up() {
    let world = World::new(Some("{}"));
    let mut sync = world.sync();
    pump(&mut sync, Duration::from_millis(100), |_| false);
    assert_eq!((sync.timeout(), sync.job().is_none()), (None, true));
    let (_, turns) = pump(&mut sync, Duration::from_millis(300), |_| false);
    assert!(turns <= 1, "{turns}");
}

#[test]
fn a_flood_of_files_wakes_twenty_times_a_second() {
    let world = World::new(Some("{}"));
    let mut sync = world.sync();
    let dir = world.inside.path().to_owned();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = stop.clone();
    let flood = std::thread::spawn(move || {
        let mut count = 0u64;
        while !seen.load(std::sync::atomic::Ordering::Relaxed) {
            std::fs::write(dir.join("noise"), "x").unwrap();
            count += 1;
        }
        count
    });
    let begun = std::time::Instant::now();
    let (events, turns) = pump(&mut sync, Duration::from_secs(1), |_| false);
    // On a busy machine a second is what the clock says afterwards.
    let ms = usize::try_from(begun.elapsed().as_millis()).unwrap();
    // The change is found in the flood.
    world.write_in_box(r#"{"found":1}"#);
    let (found, _) = pump(&mut sync, Duration::from_secs(10), |events| {
        !events.is_empty()
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let count = flood.join().unwrap();
    assert!(count > 150, "{count}");
    assert_eq!(events, []);
    assert!(
        // Twenty, turns of the writer's after some of them, and what a late clock adds; each write would be at least `count`.
        turns <= 20 + 80 * ms / 1000,
        "{turns} turns in {ms} ms for {count} writes"
    );
    assert!(
        matches!(found.as_slice(), [Event::StateWritten { .. }]),
        "{found:?}"
    );
}

#[test]
fn the_end_writes_what_no_turn_did() {
    let world = World::new(None);
    let sync = world.sync();
    assert!(!world.inside.path().join("state.json").exists());
    world.write_in_box("{\n  \"login\": true\n}");
    assert!(matches!(
        sync.sync.finish().as_slice(),
        [Event::StateWritten { .. }]
    ));
    assert_eq!(world.on_host(), "{\n  \"login\": true\n}");
    // A second session begins with it.
    let next = World {
        host: world.host,
        inside: scratch("box"),
    };
    let sync = next.sync();
    assert_eq!(
        std::fs::read_to_string(next.inside.path().join("state.json")).unwrap(),
        "{\n  \"login\": true\n}"
    );
    assert_eq!(sync.sync.finish(), []);
}

#[test]
fn a_deleted_copy_leaves_the_host_alone() {
    let world = World::new(Some(r#"{"a":1}"#));
    let sync = world.sync();
    std::fs::remove_file(world.inside.path().join("state.json")).unwrap();
    assert_eq!(sync.sync.finish(), []);
    assert_eq!(world.on_host(), r#"{"a":1}"#);
}

#[test]
fn hostile_copies_are_kept_out_and_said() {
    let secret = scratch("secret");
    std::fs::write(secret.path().join("key"), r#"{"secret":1}"#).unwrap();
    type Plant = fn(&Path, &Path);
    let rows: [(&str, Plant, &str); 6] = [
        (
            "symlink",
            |copy, secret| std::os::unix::fs::symlink(secret, copy).unwrap(),
            "cannot be opened",
        ),
        (
            "hard link",
            |copy, _| {
                std::fs::write(copy, r#"{"a":2}"#).unwrap();
                std::fs::hard_link(copy, copy.with_extension("alias")).unwrap();
            },
            "more than one name",
        ),
        (
            "fifo",
            |copy, _| nix::unistd::mkfifo(copy, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "not a regular file",
        ),
        (
            "directory",
            |copy, _| std::fs::create_dir(copy).unwrap(),
            "not a regular file",
        ),
        (
            "large",
            |copy, _| File::create(copy).unwrap().set_len(17 << 20).unwrap(),
            "larger than 16 MiB",
        ),
        (
            "not JSON",
            |copy, _| std::fs::write(copy, "{\"a\"").unwrap(),
            "not JSON",
        ),
    ];
    for (name, plant, why) in rows {
        let world = World::new(Some(r#"{"a":1}"#));
        let mut sync = world.sync();
        let copy = world.inside.path().join("state.json");
        std::fs::remove_file(&copy).unwrap();
        plant(&copy, &secret.path().join("key"));
        pump(&mut sync, Duration::from_millis(150), |_| false);
        let events = sync.sync.finish();
        assert!(
            matches!(events.as_slice(), [Event::StateKept { why: said, .. }] if said.contains(why)),
            "{name}: {events:?}"
        );
        assert_eq!(world.on_host(), r#"{"a":1}"#, "{name}");
    }
}

#[test]
fn a_half_written_copy_is_not_an_event() {
    let world = World::new(Some(r#"{"a":1}"#));
    let mut sync = world.sync();
    world.write_in_box(r#"{"a":2,"#);
    let (events, _) = pump(&mut sync, Duration::from_millis(400), |_| false);
    assert_eq!(events, []);
    world.write_in_box(r#"{"a":2}"#);
    let (events, _) = pump(&mut sync, Duration::from_secs(5), |events| {
        !events.is_empty()
    });
    assert!(
        matches!(events.as_slice(), [Event::StateWritten { .. }]),
        "{events:?}"
    );
    assert_eq!(sync.sync.finish(), []);
}

#[test]
fn a_broken_host_file_is_said_once_and_left() {
    let world = World::new(Some(r#"{"a":1}"#));
    let mut sync = world.sync();
    std::fs::write(world.host_path(), "not JSON").unwrap();
    world.write_in_box(r#"{"a":2}"#);
    let (events, _) = pump(&mut sync, Duration::from_secs(5), |events| {
        !events.is_empty()
    });
    assert!(
        matches!(events.as_slice(), [Event::StateKept { why, .. }] if why.contains("the host's file")),
        "{events:?}"
    );
    world.write_in_box(r#"{"a":3}"#);
    let (events, _) = pump(&mut sync, Duration::from_millis(600), |_| false);
    assert_eq!(events, [], "not again");
    assert_eq!(world.on_host(), "not JSON");
    // Mended by the human: the end brings it home.
    std::fs::write(world.host_path(), r#"{"a":1}"#).unwrap();
    assert!(matches!(
        sync.sync.finish().as_slice(),
        [Event::StateWritten { .. }]
    ));
    assert_eq!(world.on_host(), r#"{"a":3}"#);
}

#[test]
fn a_held_lock_is_waited_for_without_blocking() {
    let world = World::new(Some(r#"{"a":1}"#));
    let mut sync = world.sync();
    let lock = world.host.path().join("state.json.lock");
    std::fs::create_dir(&lock).unwrap();
    world.write_in_box(r#"{"a":2}"#);
    let begin = Instant::now();
    let mut longest = Duration::ZERO;
    while begin.elapsed() < Duration::from_millis(600) {
        let turn = Instant::now();
        let events = sync.on_ready();
        longest = longest.max(turn.elapsed());
        assert_eq!(events, []);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(sync.job().is_some());
    assert!(longest < Duration::from_millis(100), "{longest:?}");
    assert_eq!(world.on_host(), r#"{"a":1}"#);
    std::fs::remove_dir(&lock).unwrap();
    let (events, _) = pump(&mut sync, Duration::from_secs(5), |events| {
        !events.is_empty()
    });
    assert!(matches!(events.as_slice(), [Event::StateWritten { .. }]));
}

#[test]
fn targets_outside_of_home_are_refused() {
    let world = World::new(None);
    for (target, fits) in [
        ("/home/u/state.json", true),
        ("/home/u/a/state.json", true),
        ("/home/u", false),
        ("/home/user/state.json", false),
        ("/home/u/../x", false),
        ("/etc/passwd", false),
        ("relative", false),
    ] {
        let file = StateFile {
            target: target.into(),
            ..world.file()
        };
        let home = File::open(world.inside.path()).unwrap().into();
        let made = StateSync::new(
            vec![Initial { file, bytes: None }],
            home,
            &HOME.into(),
            None,
        );
        assert_eq!(made.is_ok(), fits, "{target}");
    }
}

#[test]
fn a_file_in_a_subdirectory_works_without_a_watch() {
    let world = World::new(Some("{}"));
    let file = StateFile {
        target: "/home/u/.config/x/state.json".into(),
        ..world.file()
    };
    let home = File::open(world.inside.path()).unwrap().into();
    let (sync, events) = Listening::new(initial(&[file]).unwrap(), home);
    assert!(
        matches!(events.as_slice(), [Event::StateKept { why, .. }] if why.contains("at the end only")),
        "{events:?}"
    );
    let dir = world.inside.path().join(".config/x");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("state.json"), r#"{"a":1}"#).unwrap();
    assert!(matches!(
        sync.sync.finish().as_slice(),
        [Event::StateWritten { .. }]
    ));
    assert_eq!(world.on_host(), r#"{"a":1}"#);
}

/// Two sessions and one bare agent, 200 writes of distinct keys each: none is lost.
#[test]
fn three_writers_lose_nothing() {
    const WRITES: usize = 200;
    let world = World::new(Some("{}"));
    let path = world.host_path();
    let member = |text: &str, name: &str, value: usize| {
        let inner = text
            .trim()
            .strip_prefix('{')
            .unwrap()
            .strip_suffix('}')
            .unwrap()
            .to_owned();
        let comma = if inner.is_empty() { "" } else { "," };
        format!("{{{inner}{comma}\"{name}{value}\":{value}}}")
    };
    std::thread::scope(|scope| {
        for name in ["x", "y"] {
            let session = World {
                host: scratch("unused"),
                inside: scratch("box"),
            };
            let source = world.file();
            scope.spawn(move || {
                let files = initial(&[source]).unwrap();
                let copy = session.inside.path().join("state.json");
                let mut text =
                    String::from_utf8(files.first().and_then(|f| f.bytes.clone()).unwrap())
                        .unwrap();
                std::fs::write(&copy, &text).unwrap();
                let home = File::open(session.inside.path()).unwrap().into();
                let (mut sync, _) = Listening::new(files, home);
                for value in 0..WRITES {
                    text = member(&text, name, value);
                    put(session.inside.path(), &text);
                    pump(&mut sync, Duration::from_millis(7), |_| false);
                }
                sync.sync.finish();
            });
        }
        scope.spawn(|| {
            for value in 0..WRITES {
                // As the bare agent does it: its own lock, read, change, rename.
                let lock = path.with_file_name("state.json.lock");
                while std::fs::create_dir(&lock).is_err() {
                    std::thread::sleep(Duration::from_micros(500));
                }
                let text = std::fs::read_to_string(&path).unwrap();
                put(world.host.path(), &member(&text, "z", value));
                std::fs::remove_dir(&lock).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    });
    let text = world.on_host();
    let json::Value::Object(members) = json::parse(&text).unwrap() else {
        panic!("{text}")
    };
    assert_eq!(members.len(), 3 * WRITES);
    for name in ["x", "y", "z"] {
        for value in 0..WRITES {
            let key = format!("{name}{value}");
            assert!(
                members.iter().any(|(k, _)| k.name() == key.as_bytes()),
                "{key} is lost"
            );
        }
    }
}
