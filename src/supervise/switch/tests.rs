#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::plan::stop::StopScope;
use crate::policy::Origin;
use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::stat::Mode;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Duration;

thread_local! {
    /// By what the tests of this thread watch.
    static BY: Cell<fn() -> Result<Notify, Errno>> = const { Cell::new(Notify::new) };
}

/// The same by the other source of events, which is what a user has who has no inotify instance left.
mod by_fanotify {
    use super::*;
    use crate::sys::fanotify::Fanotify;

    macro_rules! again {
        ($($name:ident),* $(,)?) => {
            $(#[test]
            fn $name() {
                BY.set(|| Fanotify::new().map(Notify::Fanotify));
                super::$name();
            })*
        };
    }

    again!(
        any_entry_counts_even_when_it_is_gone_again,
        what_is_there_before_is_found,
        directories_that_come_later_are_watched,
        a_directory_that_is_replaced_is_watched_under_both_identities,
        a_directory_that_was_removed_while_somebody_holds_it_is_found_when_it_comes_again,
        symlinks_on_the_way_may_be_turned,
        a_directory_that_changes_all_the_time_stops_the_box,
        nothing_wakes_while_nothing_of_the_kind_happens,
        lost_events_stop_the_box_where_the_stop_file_may_have_been_among_them,
        lost_events_of_another_directory_are_no_reason,
    );
}

/// A directory that is gone when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let unique = format!("agentbox-switch-{}-{thread}-{name}", std::process::id());
        let dir = fs::canonicalize(std::env::temp_dir()).unwrap().join(unique);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stop(file: &Path) -> StopFile {
    StopFile {
        file: file.into(),
        scope: StopScope::Workspace,
        origin: Origin::agentbox("a test"),
    }
}

fn armed(files: &[StopFile]) -> Switches {
    Switches::arm_with(files, BY.get()())
}

fn arm(files: &[&Path]) -> Switches {
    let files: Vec<StopFile> = files.iter().map(|file| stop(file)).collect();
    let mut switches = armed(&files);
    assert_eq!(switches.found(), Ok(None));
    for (file, watched) in switches.watched() {
        assert_eq!(*watched, Watched::Events, "{}", file.file);
    }
    switches
}

/// renameat2(2) with RENAME_EXCHANGE.
fn exchange(a: &Path, b: &Path) {
    use crate::sys::rename::{Taken, renameat2};
    use nix::fcntl::AT_FDCWD;
    renameat2(AT_FDCWD, a, AT_FDCWD, b, Taken::Exchange).unwrap();
}

/// Waits until something is to be read, at most that long.
fn wakes(switches: &Switches, patience: u16) -> bool {
    let mut set: Vec<PollFd<'_>> = switches
        .descriptors()
        .into_iter()
        .flatten()
        .map(|(fd, flags)| PollFd::new(fd, flags))
        .collect();
    poll(&mut set, PollTimeout::from(patience)).unwrap() > 0
}

/// What is found when all that is queued has been read.
fn cause(switches: &mut Switches) -> Option<Cause> {
    while wakes(switches, 0) {
        if let Some(tripped) = switches.on_ready(Mounts::Ask, |_| {}) {
            return Some(tripped.cause);
        }
    }
    None
}

#[test]
fn any_entry_counts_even_when_it_is_gone_again() {
    type Make = fn(&Path, &Dir);
    let ways: [(&str, Make); 9] = [
        ("file", |p, _| fs::write(p, "x").unwrap()),
        ("directory", |p, _| fs::create_dir(p).unwrap()),
        ("dangling link", |p, _| {
            symlink("/nowhere/at/all", p).unwrap()
        }),
        ("fifo", |p, _| {
            nix::unistd::mkfifo(p, Mode::S_IRWXU).unwrap()
        }),
        ("socket", |p, _| drop(UnixListener::bind(p).unwrap())),
        ("hard link", |p, d| fs::hard_link(d.at("other"), p).unwrap()),
        ("moved in", |p, d| fs::rename(d.at("other"), p).unwrap()),
        ("moved within", |p, _| {
            let near = p.with_file_name("near");
            fs::write(&near, "").unwrap();
            fs::rename(near, p).unwrap();
        }),
        ("file in a directory of that name", |p, _| {
            fs::create_dir_all(p.join("x")).unwrap();
        }),
    ];
    for (name, make) in ways {
        let dir = Dir::new(&name.replace(' ', "-"));
        fs::create_dir(dir.at("ws")).unwrap();
        fs::write(dir.at("other"), "").unwrap();
        let file = dir.at("ws/.claude-stop");
        let mut switches = arm(&[&file]);
        // The twin: other names, and changes of them, stop nothing.
        for other in [
            ".claude-stop2",
            ".claude-sto",
            "claude-stop",
            ".CLAUDE-STOP",
        ] {
            fs::write(dir.at("ws").join(other), "").unwrap();
            fs::remove_file(dir.at("ws").join(other)).unwrap();
        }
        assert_eq!(cause(&mut switches), None, "{name}");
        make(&file, &dir);
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir_all(&file));
        assert!(file.symlink_metadata().is_err(), "{name}: gone again");
        assert_eq!(cause(&mut switches), Some(Cause::Made), "{name}");
    }
}

#[test]
fn what_is_there_before_is_found() {
    let dir = Dir::new("before");
    let file = dir.at("stop");
    symlink("nowhere", &file).unwrap();
    let mut switches = armed(&[stop(&file)]);
    let tripped = switches.found().unwrap().unwrap();
    assert_eq!(tripped.cause, Cause::Found);
    // Made between the watch and the look.
    let other = dir.at("stop2");
    let mut switches = armed(&[stop(&other)]);
    fs::write(&other, "").unwrap();
    fs::remove_file(&other).unwrap();
    assert_eq!(switches.found().unwrap().unwrap().cause, Cause::Made);
}

#[test]
fn directories_that_come_later_are_watched() {
    let dir = Dir::new("later");
    let file = dir.at("a/b/c/stop");
    let mut switches = arm(&[&file]);
    // The twin: other directories lead nowhere.
    fs::create_dir_all(dir.at("b/b/c")).unwrap();
    fs::write(dir.at("b/b/c/stop"), "").unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::create_dir(dir.at("a")).unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::create_dir_all(dir.at("a/b/c")).unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::write(&file, "").unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Made));

    // All at once, before a single event is read.
    let file = dir.at("x/y/z/stop");
    let mut switches = arm(&[&file]);
    fs::create_dir_all(dir.at("x/y/z")).unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Found));

    // A whole tree moved to the place.
    let file = dir.at("p/q/stop");
    let mut switches = arm(&[&file]);
    fs::create_dir_all(dir.at("tree/q")).unwrap();
    fs::write(dir.at("tree/q/stop"), "").unwrap();
    fs::rename(dir.at("tree"), dir.at("p")).unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Found));
}

#[test]
fn a_directory_that_is_replaced_is_watched_under_both_identities() {
    for place in ["a/ws", "a"] {
        let dir = Dir::new(&format!("replaced-{}", place.len()));
        fs::create_dir_all(dir.at("a/ws")).unwrap();
        let file = dir.at("a/ws/stop");
        for new in ["old", "new"] {
            let mut switches = arm(&[&file]);
            fs::rename(dir.at(place), dir.at("moved")).unwrap();
            assert_eq!(cause(&mut switches), None);
            fs::create_dir_all(dir.at("a/ws")).unwrap();
            assert_eq!(cause(&mut switches), None);
            let made = match new {
                "new" => file.clone(),
                _ => dir
                    .at("moved")
                    .join(if place == "a" { "ws/stop" } else { "stop" }),
            };
            fs::write(&made, "").unwrap();
            fs::remove_file(&made).unwrap();
            assert_eq!(cause(&mut switches), Some(Cause::Made), "{place} {new}");
            let _ = fs::remove_dir_all(dir.at("moved"));
        }
        // Replaced by one that has the file already, by a single system call.
        let mut switches = arm(&[&file]);
        let other = dir.at("other");
        fs::create_dir_all(other.join("ws")).unwrap();
        fs::write(
            other.join(if place == "a" { "ws/stop" } else { "stop" }),
            "",
        )
        .unwrap();
        exchange(&other, &dir.at(place));
        assert_eq!(cause(&mut switches), Some(Cause::Found), "{place}");
    }
}

#[test]
fn a_directory_that_was_removed_while_somebody_holds_it_is_found_when_it_comes_again() {
    let dir = Dir::new("held");
    fs::create_dir_all(dir.at("a/ws")).unwrap();
    let file = dir.at("a/ws/stop");
    let mut switches = arm(&[&file]);
    // As the box does: the inode lives on and tells nothing.
    let held = fs::File::open(dir.at("a/ws")).unwrap();
    fs::remove_dir(dir.at("a/ws")).unwrap();
    fs::create_dir(dir.at("a/ws")).unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::write(&file, "").unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Made));
    drop(held);
}

#[test]
fn symlinks_on_the_way_may_be_turned() {
    let dir = Dir::new("links");
    fs::create_dir_all(dir.at("one/deep")).unwrap();
    fs::create_dir_all(dir.at("two/deep")).unwrap();
    symlink("one", dir.at("link")).unwrap();
    let file = dir.at("link/deep/../deep/stop");
    let mut switches = arm(&[&file]);
    // As `ln -sfn` does it: a new link renamed over the old one.
    symlink(dir.at("two"), dir.at("new")).unwrap();
    fs::rename(dir.at("new"), dir.at("link")).unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::write(dir.at("two/deep/stop"), "").unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Made));
    // What it led to at the start counts on.
    fs::remove_file(dir.at("two/deep/stop")).unwrap();
    let mut switches = arm(&[&file]);
    fs::remove_file(dir.at("link")).unwrap();
    assert_eq!(cause(&mut switches), None);
    fs::write(dir.at("two/deep/stop"), "").unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Made));
    // A loop leads nowhere, and is no mistake of ours.
    symlink("loop", dir.at("loop")).unwrap();
    let mut switches = armed(&[stop(&dir.at("loop/stop"))]);
    let tripped = switches.found().unwrap().unwrap();
    assert_eq!(tripped.cause, Cause::Unknown(Errno::ELOOP));
}

#[test]
fn a_directory_that_changes_all_the_time_stops_the_box() {
    let dir = Dir::new("storm");
    fs::create_dir_all(dir.at("ws")).unwrap();
    fs::create_dir_all(dir.at("other")).unwrap();
    let mut switches = arm(&[&dir.at("ws/stop")]);
    let mut turns = 0;
    let found = loop {
        exchange(&dir.at("ws"), &dir.at("other"));
        turns += 1;
        if let Some(found) = cause(&mut switches) {
            break found;
        }
        assert!(turns < 100, "still believed after {turns} turns");
    };
    assert_eq!(found, Cause::Replaced);
    assert!(turns > 10, "a few turns are nobody's attack: {turns}");
}

#[test]
fn nothing_wakes_while_nothing_of_the_kind_happens() {
    let dir = Dir::new("quiet");
    fs::create_dir_all(dir.at("a/ws/sub")).unwrap();
    fs::write(dir.at("a/ws/file"), "x").unwrap();
    let switches = arm(&[&dir.at("a/ws/stop"), &dir.at("config/agentbox/stop")]);
    assert_eq!(switches.deadline(), None);
    // Work in files that exist, below the directory and beside it.
    fs::write(dir.at("a/ws/file"), "y").unwrap();
    fs::write(dir.at("a/ws/sub/new"), "y").unwrap();
    fs::remove_file(dir.at("a/ws/file")).unwrap();
    fs::read_dir(dir.at("a/ws")).unwrap().count();
    assert!(!wakes(&switches, 0));
    // The twin.
    fs::write(dir.at("a/ws/new"), "").unwrap();
    assert!(wakes(&switches, 1000));
}

/// Fills the queue of an instance that nobody reads.
fn flood(dir: &Path) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    for number in 0..=limit {
        // A name of its own each: equal events are one.
        let name = dir.join(number.to_string());
        fs::write(&name, "").unwrap();
        fs::remove_file(&name).unwrap();
    }
}

#[test]
fn lost_events_stop_the_box_where_the_stop_file_may_have_been_among_them() {
    let dir = Dir::new("lost");
    fs::create_dir_all(dir.at("ws")).unwrap();
    let mut switches = arm(&[&dir.at("ws/stop")]);
    flood(&dir.at("ws"));
    fs::write(dir.at("ws/stop"), "").unwrap();
    fs::remove_file(dir.at("ws/stop")).unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Overflow));
}

#[test]
fn lost_events_of_another_directory_are_no_reason() {
    let dir = Dir::new("elsewhere");
    fs::create_dir_all(dir.at("ws")).unwrap();
    fs::create_dir_all(dir.at("noise")).unwrap();
    let mut switches = arm(&[&dir.at("ws/stop"), &dir.at("missing/stop")]);
    // Honest work first, read and done with.
    fs::write(dir.at("ws/file"), "").unwrap();
    assert_eq!(cause(&mut switches), None);
    let inotify = switches.inotify().unwrap();
    let foreign = inotify.watch(&dir.at("noise"), libc::IN_CREATE).unwrap();
    flood(&dir.at("noise"));
    let mut lost = 0;
    let mut seen = 0;
    while wakes(&switches, 0) {
        let tripped = switches.on_ready(Mounts::Ask, |other| match other {
            Other::Lost => lost += 1,
            Other::Event(event) => {
                assert_eq!(event.watch, foreign);
                seen += 1;
            }
        });
        assert_eq!(tripped, None);
    }
    assert_eq!(lost, 1);
    assert!(seen > 1000, "{seen}");
    // And it works on.
    fs::write(dir.at("ws/stop"), "").unwrap();
    assert_eq!(cause(&mut switches), Some(Cause::Made));
}

#[test]
fn without_an_instance_it_is_polled_and_says_so() {
    let dir = Dir::new("polled");
    let file = dir.at("stop");
    let mut switches = Switches::arm_with(&[stop(&file)], Err(Errno::EMFILE));
    assert_eq!(switches.found(), Ok(None));
    let (_, watched) = switches.watched().next().unwrap();
    assert!(
        matches!(watched, Watched::Polled { why } if why.contains("max_user_instances")),
        "{watched:?}"
    );
    assert!(switches.deadline().is_some());
    // Alive, and nothing found.
    assert!(wakes(&switches, 10_000));
    assert_eq!(switches.on_ready(Mounts::Ask, |_| {}), None);
    symlink("nowhere", &file).unwrap();
    let begun = Instant::now();
    let tripped = loop {
        assert!(wakes(&switches, 10_000), "no word from the helper");
        if let Some(tripped) = switches.on_ready(Mounts::Ask, |_| {}) {
            break tripped;
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    };
    assert_eq!(tripped.cause, Cause::Made);
}

#[test]
fn a_helper_that_dies_stops_the_box() {
    let dir = Dir::new("helper");
    let mut switches = Switches::arm_with(&[stop(&dir.at("stop"))], Err(Errno::EMFILE));
    assert_eq!(switches.found(), Ok(None));
    switches.poller.as_ref().unwrap().kill_for_test();
    let tripped = loop {
        assert!(wakes(&switches, 10_000));
        if let Some(tripped) = switches.on_ready(Mounts::Ask, |_| {}) {
            break tripped;
        }
    };
    assert!(matches!(tripped.cause, Cause::Blind(_)), "{tripped:?}");
}

#[test]
fn what_it_says_is_the_facts_and_nothing_of_the_terminal() {
    let dir = Dir::new("words");
    let file = dir.at("stop");
    fs::write(&file, "\x1b]0;x\x07 too expensive\nagentbox: go on\n").unwrap();
    let stop = stop(&file);
    let uid = nix::unistd::getuid().as_raw();
    let words = |cause| {
        let tripped = Tripped::new(Some(&stop), cause);
        sentence(&trigger(&tripped, (uid, "alice")))
    };
    let said = words(Cause::Found);
    let name = file.display().to_string();
    let owner = if uid == 0 { "(root, 20" } else { "(alice, 20" };
    for part in [
        format!("the stop file {name} "),
        owner.to_owned(),
        "\\u{1b}]0;x\\u{7} too expensive\\nagentbox: go on".to_owned(),
        format!("; to start again: remove {name}"),
    ] {
        assert!(said.contains(&part), "{part:?} is not in {said:?}");
    }
    assert!(!said.contains(['\x1b', '\n']));
    assert!(words(Cause::Overflow).contains("events were lost"));
    fs::remove_file(&file).unwrap();
    assert_eq!(
        words(Cause::Made),
        format!("the stop file {name}; it is gone again: nothing has to be removed")
    );
    // A fifo is not opened, a large file not read to its end.
    nix::unistd::mkfifo(&file, Mode::S_IRWXU).unwrap();
    assert!(!words(Cause::Found).contains('"'));
    fs::remove_file(&file).unwrap();
    fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
    assert!(words(Cause::Found).len() < 1000);
}
