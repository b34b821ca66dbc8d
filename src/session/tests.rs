#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::outcome::{Evidence, How, Layer, Outcome};
use crate::plan::{
    Command, Env, Identity, IdentityMode, Limits, Network, NetworkMode, OsText, Plan, View,
    Workspace,
};
use crate::policy::Origin;
use crate::record::{Appended, Event, Timestamp};
use crate::session::store::Liveness;
use crate::session::sweep::Removed;
use crate::sys::testing::{Scratch, scratch};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn plan() -> Plan {
    Plan {
        version: crate::plan::VERSION,
        command: Command {
            name: "true".into(),
            program: Some("/bin/true".into()),
            argv: vec![
                "true".into(),
                OsString::from_vec(vec![0xff, b'\n', 0x80]).into(),
            ],
            cwd: "/w".into(),
            profiles: vec!["shell".into()],
        },
        workspace: Workspace {
            path: "/w".into(),
            real: OsText::from(PathBuf::from(OsString::from_vec(b"/w/\xfe".to_vec()))),
        },
        identity: Identity {
            mode: IdentityMode::Same,
            caller_uid: 1000,
            caller_gid: 1000,
            inner_uid: 1000,
            inner_gid: 1000,
            outer_uid: 1000,
            outer_gid: 1000,
            user: "u".into(),
            home: "/home/u".into(),
            home_real: None,
            shell: "/bin/sh".into(),
        },
        view: View::default(),
        refused: Default::default(),
        landlock: Vec::new(),
        env: Env::default(),
        network: Network::of(NetworkMode::None, Origin::agentbox("test")),
        limits: Limits {
            list: Vec::new(),
            stop_grace: 3.0,
        },
        private_dirs: Vec::new(),
        names: crate::plan::Names::default(),
        links: crate::plan::Links::default(),
        state: Vec::new(),
        require: Vec::new(),
        off: Vec::new(),
        grants: Vec::new(),
        stop_files: Vec::new(),
        standing: crate::plan::rung::Standing::default(),
        hangup: crate::plan::Hangup::End,
        remotes: Vec::new(),
        drill: None,
        path_dropped: Vec::new(),
        notices: Vec::new(),
        notes: Vec::new(),
    }
}

fn outcome() -> Outcome {
    Outcome {
        how: How::Exited { code: 3 },
        exit_status: 3,
        wall_ms: 10,
        cpu_ms: 2,
        max_rss_kib: 1000,
    }
}

fn home() -> (Scratch, Sessions) {
    let home = scratch("session");
    let sessions = Sessions::open(home.path(), None).unwrap();
    (home, sessions)
}

/// Waits until the lock is free: a child that another test forked has a copy of the descriptor until it closes it.
fn released(sessions: &Sessions, id: &SessionId) {
    let free = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        sessions.liveness(id) == Liveness::Gone
    });
    assert!(free, "{id} stays locked");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_box_is_told_all_of_the_plan_but_agentboxs_own_places() {
    let told = |plan: &Plan, json: &str| Some(plan.told(json)?.concat());
    let mut own = plan();
    let bare = own.json(0).unwrap();
    assert_eq!(told(&own, &bare), Some(bare.clone()));
    let places = ["/h/a\"}", "/h/b,\"private-dirs\":["];
    own.private_dirs = places.map(OsText::from).to_vec();
    own.notices.push(r#","private-dirs":["x"]}"#.to_owned());
    let json = own.json(4096).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), own);
    let told_json = told(&own, &json).unwrap();
    let private_dirs = Vec::new();
    let but_for_these = Plan {
        private_dirs,
        ..own.clone()
    };
    assert_eq!(
        serde_json::from_str::<Plan>(&told_json).unwrap(),
        but_for_these
    );
    assert!(!told_json.contains("/h/"));
    // The text of another plan: nothing is told rather than too much.
    own.private_dirs.pop();
    assert_eq!(told(&own, &json), None);
}

#[test]
fn a_session_from_start_to_end() {
    let (home, sessions) = home();
    let mut session = Session::create(&sessions, &plan()).unwrap();
    let id = session.id().clone();
    let dir = home
        .path()
        .join(".local/state/agentbox/sessions")
        .join(id.as_str());
    assert_eq!(session.path(), dir);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("session.json")), 0o600);
    assert_eq!(mode(&dir.join("events.jsonl")), 0o600);

    let open = sessions.read(&id).unwrap();
    assert_eq!(open.state, State::Open);
    assert_eq!(open.plan, plan(), "bytes that are not UTF-8 survive");
    assert_eq!(open.supervisor, std::process::id());
    assert_eq!(sessions.liveness(&id), Liveness::Live);

    let evidence = vec![Evidence::full(Layer::View)];
    for event in [
        Event::Enforced {
            evidence: evidence.clone(),
        },
        Event::Started { init: 5 },
    ] {
        assert_eq!(session.record(&event), Appended::Yes);
    }
    session.close(&outcome()).unwrap();

    let ended = sessions.read(&id).unwrap();
    assert_eq!(ended.state, State::Ended);
    assert_eq!(ended.evidence, evidence);
    assert_eq!(ended.outcome, Some(outcome()));
    assert!(ended.ended.unwrap() >= ended.started);
    released(&sessions, &id);
    let names: Vec<_> = sessions
        .events(&id)
        .unwrap()
        .into_iter()
        .map(|e| e.event)
        .collect();
    assert!(matches!(
        names.as_slice(),
        [
            Event::Planned { .. },
            Event::Enforced { .. },
            Event::Started { init: 5 },
            Event::Ended { .. }
        ]
    ));
    assert!(!dir.join("session.json.new").exists());
    assert_eq!(sessions.find(id.as_str()).unwrap().unwrap().id, id);
    assert!(sessions.find("zzz").unwrap().is_none());
}

/// Whatever makes two supervisors believe that a name is theirs: the second one does not begin, and the first one goes on.
#[test]
fn one_name_has_one_supervisor() {
    let (_home, sessions) = home();
    let reserved = Session::reserve(&sessions).unwrap();
    let twin = reserved.twin().unwrap();
    let mut first = reserved.begin(&plan()).unwrap();
    let second = twin.begin(&plan()).map(drop);
    let SessionError::Call { call, errno, .. } = second.unwrap_err() else {
        panic!("not a call");
    };
    assert_eq!((call, errno), ("open", nix::errno::Errno::EEXIST));
    assert_eq!(sessions.liveness(first.id()), Liveness::Live);
    assert_eq!(first.record(&Event::Paused), Appended::Yes);
    let id = first.id().clone();
    first.close(&outcome()).unwrap();
    assert_eq!(sessions.read(&id).unwrap().outcome, Some(outcome()));
}

#[test]
fn where_sessions_are() {
    for (home, state, expected) in [
        (
            "/home/u",
            None,
            Some("/home/u/.local/state/agentbox/sessions"),
        ),
        ("/home/u", Some("/x"), Some("/x/agentbox/sessions")),
        (
            "/home/u",
            Some("relative"),
            Some("/home/u/.local/state/agentbox/sessions"),
        ),
        (
            "/home/u",
            Some(""),
            Some("/home/u/.local/state/agentbox/sessions"),
        ),
        ("relative", Some("/x"), Some("/x/agentbox/sessions")),
        ("relative", None, None),
        ("", None, None),
    ] {
        let path = Sessions::locate(Path::new(home), state.map(OsStr::new)).ok();
        assert_eq!(path, expected.map(PathBuf::from), "{home:?} {state:?}");
    }
}

#[test]
fn unsafe_directories_are_refused() {
    let (home, _sessions) = home();
    let agentbox = home.path().join(".local/state/agentbox");
    let open = || Sessions::open(home.path(), None);

    std::fs::set_permissions(&agentbox, PermissionsExt::from_mode(0o770)).unwrap();
    let error = open().unwrap_err();
    assert!(
        matches!(error, SessionError::Writable { mode: 0o770, .. }),
        "{error}"
    );
    std::fs::set_permissions(&agentbox, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(
        open().is_ok(),
        "readable by others is not writable by others"
    );

    // A symlink at our own name is not followed; one above it is the user's way to move his state.
    let elsewhere = home.path().join("elsewhere");
    std::fs::rename(&agentbox, &elsewhere).unwrap();
    symlink(&elsewhere, &agentbox).unwrap();
    let error = open().unwrap_err();
    assert!(
        matches!(error, SessionError::Call { call: "open", .. }),
        "{error}"
    );
    std::fs::remove_file(&agentbox).unwrap();
    std::fs::rename(&elsewhere, &agentbox).unwrap();
    std::fs::rename(home.path().join(".local"), home.path().join("moved")).unwrap();
    symlink(home.path().join("moved"), home.path().join(".local")).unwrap();
    assert!(open().is_ok());
}

#[test]
fn a_directory_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can give a directory away; the suite runs as root and as a user.
    }
    let (home, _sessions) = home();
    let agentbox = home.path().join(".local/state/agentbox");
    std::os::unix::fs::chown(&agentbox, Some(4242), None).unwrap();
    let error = Sessions::open(home.path(), None).unwrap_err();
    assert!(
        matches!(error, SessionError::Owner { owner: 4242, .. }),
        "{error}"
    );
}

#[test]
fn an_unwritable_place_is_an_error_at_the_start() {
    if nix::unistd::geteuid().is_root() {
        let error = Sessions::open(Path::new("/proc"), None).unwrap_err();
        assert!(matches!(error, SessionError::Call { .. }), "{error}");
        return;
    }
    let (_home, sessions) = home();
    std::fs::set_permissions(sessions.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let error = Session::create(&sessions, &plan()).unwrap_err();
    assert!(
        matches!(error, SessionError::Call { call: "mkdir", .. }),
        "{error}"
    );
    std::fs::set_permissions(sessions.path(), PermissionsExt::from_mode(0o700)).unwrap();
    assert!(Session::create(&sessions, &plan()).is_ok());
}

/// Makes a session that looks as if it began at that moment.
fn at(sessions: &Sessions, began: Timestamp, ended: bool) -> SessionId {
    let session = Session::create(sessions, &plan()).unwrap();
    let old = session.path().to_owned();
    let id = SessionId::new(began, crate::sys::random::bytes().unwrap());
    if ended {
        session.close(&outcome()).unwrap();
    } else {
        drop(session);
    }
    std::fs::rename(&old, old.parent().unwrap().join(id.as_str())).unwrap();
    released(sessions, &id);
    id
}

fn days_ago(now: Timestamp, days: u64) -> Timestamp {
    Timestamp::from_millis(now.millis() - days * 86_400_000)
}

#[test]
fn a_sweep_is_due_once_in_its_time() {
    let (_home, sessions) = home();
    let minute = std::time::Duration::from_secs(60);
    assert!(sessions.due(minute), "the first time");
    assert!(!sessions.due(minute), "just done");
    assert!(sessions.due(std::time::Duration::ZERO), "every time");
    assert!(sessions.ids().unwrap().is_empty(), "the mark is no session");
}

#[test]
fn retention_keeps_the_newest_or_the_young() {
    let (_home, sessions) = home();
    let now: Timestamp = "2027-06-01T00:00:00.000Z".parse().unwrap();
    let ids: Vec<_> = [60, 50, 40, 20, 10]
        .into_iter()
        .map(|days| at(&sessions, days_ago(now, days), true))
        .collect();
    let keep = Retention {
        sessions: 1,
        ..Retention::default()
    };
    // Two at a time, the oldest first.
    let swept = sessions
        .sweep(now, &Retention { at_most: 2, ..keep })
        .unwrap();
    assert_eq!(swept.removed, ids[..2]);
    let swept = sessions.sweep(now, &keep).unwrap();
    assert_eq!(swept.removed, ids[2..3], "20 and 10 days are young");
    assert_eq!(sessions.ids().unwrap(), ids[3..]);
    let swept = sessions.sweep(now, &Retention { most: 1, ..keep }).unwrap();
    assert_eq!(swept.removed, ids[3..4], "never more than `most`");
    // The newest stay however old.
    let later = Timestamp::from_millis(now.millis() + 86_400_000 * 365);
    assert_eq!(sessions.sweep(later, &keep).unwrap(), Swept::default());
}

/// A user who starts more sessions a minute than one sweep removes had 3,464 of them: what a sweep leaves waits for the next
/// session, not for the next minute.
#[test]
fn a_sweep_that_is_not_done_is_due_again() {
    let (_home, sessions) = home();
    let now: Timestamp = "2027-06-01T00:00:00.000Z".parse().unwrap();
    for days in 1..=5 {
        at(&sessions, days_ago(now, days), true);
    }
    let minute = Duration::from_secs(60);
    let keep = Retention {
        sessions: 1,
        age: Duration::from_secs(1_000_000_000),
        most: 2,
        at_most: 2,
    };
    assert!(sessions.due(minute));
    assert_eq!(sessions.sweep(now, &keep).unwrap().removed.len(), 2);
    assert!(sessions.due(minute), "one is left to be removed");
    assert_eq!(sessions.sweep(now, &keep).unwrap().removed.len(), 1);
    assert!(!sessions.due(minute), "and now none");
    assert_eq!(sessions.ids().unwrap().len(), 2);
}

#[test]
fn a_live_session_is_never_removed() {
    let (_home, sessions) = home();
    let now = Timestamp::now();
    let live = Session::create(&sessions, &plan()).unwrap();
    let id = live.id().clone();
    let keep = Retention {
        sessions: 0,
        age: Duration::ZERO,
        most: 0,
        at_most: 100,
    };
    let later = Timestamp::from_millis(now.millis() + 1_000_000_000);
    assert_eq!(sessions.sweep(later, &keep).unwrap(), Swept::default());
    assert_eq!(sessions.remove(&id).unwrap(), Removed::Lives);
    assert_eq!(sessions.read(&id).unwrap().state, State::Open);
    // The allowed twin: the same session, once its lock is gone.
    drop(live);
    released(&sessions, &id);
    let swept = sessions.sweep(later, &keep).unwrap();
    assert_eq!(swept.removed, std::slice::from_ref(&id));
    assert!(!sessions.path().join(id.as_str()).exists());
}

#[test]
fn a_crashed_session_is_marked_lost_once() {
    let (_home, sessions) = home();
    let session = Session::create(&sessions, &plan()).unwrap();
    let id = session.id().clone();
    drop(session);
    released(&sessions, &id);
    let now = Timestamp::now();
    assert_eq!(
        sessions.sweep(now, &Retention::default()).unwrap().lost,
        std::slice::from_ref(&id)
    );
    let record = sessions.read(&id).unwrap();
    assert_eq!((record.state, record.ended), (State::Lost, Some(now)));
    assert_eq!(record.plan, plan());
    assert_eq!(
        sessions.sweep(now, &Retention::default()).unwrap(),
        Swept::default()
    );
}

#[test]
fn an_outcome_that_only_reached_the_log_is_found() {
    let (_home, sessions) = home();
    let mut session = Session::create(&sessions, &plan()).unwrap();
    let id = session.id().clone();
    assert_eq!(
        session.record(&Event::Ended { outcome: outcome() }),
        Appended::Yes
    );
    drop(session);
    released(&sessions, &id);
    assert_eq!(
        sessions
            .sweep(Timestamp::now(), &Retention::default())
            .unwrap(),
        Swept::default()
    );
    let record = sessions.read(&id).unwrap();
    assert_eq!(
        (record.state, record.outcome),
        (State::Ended, Some(outcome()))
    );
}

#[test]
fn removal_takes_trees_and_does_not_follow_links() {
    let (home, sessions) = home();
    let id = at(&sessions, days_ago(Timestamp::now(), 1), true);
    let dir = sessions.path().join(id.as_str());
    let precious = home.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("file"), "x").unwrap();
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    std::fs::write(dir.join("a/b/c"), "x").unwrap();
    symlink(&precious, dir.join("a/link")).unwrap();
    assert_eq!(sessions.remove(&id).unwrap(), Removed::Yes);
    assert!(!dir.exists());
    assert_eq!(std::fs::read(precious.join("file")).unwrap(), b"x");
}

#[test]
fn strangers_in_the_directory_are_left_alone() {
    let (_home, sessions) = home();
    for name in ["README", "0123456789abc", "latest"] {
        std::fs::create_dir(sessions.path().join(name)).unwrap();
    }
    // The name of a session, but a symlink: neither followed nor removed.
    let id = SessionId::new(Timestamp::from_millis(0), [0; 4]);
    symlink("/etc", sessions.path().join(id.as_str())).unwrap();
    let keep = Retention {
        sessions: 0,
        age: Duration::ZERO,
        most: 0,
        at_most: 100,
    };
    assert_eq!(
        sessions.sweep(Timestamp::now(), &keep).unwrap(),
        Swept::default()
    );
    assert_eq!(std::fs::read_dir(sessions.path()).unwrap().count(), 4);
    assert!(sessions.read(&id).is_err());
    assert!(std::fs::metadata("/etc").unwrap().ino() > 0);
}

#[test]
fn two_hundred_at_once_get_names_of_their_own() {
    let (_home, sessions) = home();
    let made: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..25)
                        .map(|_| Session::create(&sessions, &plan()).unwrap().id().clone())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(made.len(), 200);
    assert_eq!(sessions.list().unwrap().len(), 200);
}
