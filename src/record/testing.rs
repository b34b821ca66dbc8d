//! Events for tests: each there is, some in several forms.

#![forbid(unsafe_code)]

use super::event::{Closed, Event};
use crate::outcome::{Evidence, How, Layer, Outcome, Trigger};
use crate::plan::OsText;

/// One of each.
pub(crate) fn every_event() -> Vec<Event> {
    let outcome = Outcome {
        how: How::Killed {
            trigger: Trigger::Signal { signal: 15 },
        },
        exit_status: 143,
        wall_ms: 12,
        cpu_ms: 3,
        max_rss_kib: 4096,
    };
    let odd = OsText::from(std::ffi::OsString::from(
        String::from_utf8_lossy(b"a\nb").into_owned(),
    ));
    vec![
        Event::Planned {
            argv: vec!["sh".into(), odd.clone()],
            workspace: "/w".into(),
            profile: Some("shell".into()),
        },
        Event::Enforced {
            evidence: vec![Evidence::partial(Layer::Limits, "why").proven("RLIMIT_CORE = 0")],
        },
        Event::StopFilesPolled {
            files: vec![odd.clone()],
            why: "NFS".into(),
        },
        Event::SwitchAsked {
            name: "org".into(),
            target: "redis://a.com".into(),
            unreachable: None,
        },
        Event::SwitchAsked {
            name: "org".into(),
            target: "redis://a.com".into(),
            unreachable: Some("refused".into()),
        },
        Event::SwitchUnreachable {
            name: "org".into(),
            why: "timed out".into(),
        },
        Event::SwitchGraceOver {
            name: "org".into(),
            policy: "pause".into(),
        },
        Event::SwitchReachable {
            name: "org".into(),
            seconds: 70,
            failures: 7,
        },
        Event::HeadUnpublished {
            name: "org".into(),
            why: "403".into(),
        },
        Event::HeadPublished {
            name: "org".into(),
            failures: 2,
        },
        Event::Unreached {
            to: "c.com".into(),
            port: None,
            why: "no answer".into(),
            policy: false,
            rule: String::new(),
        },
        Event::StateWritten {
            file: "/h/.x.json".into(),
            withheld: Vec::new(),
        },
        Event::Started { init: 12 },
        Event::Stopped { signal: 20 },
        Event::Continued,
        Event::Paused,
        Event::Resumed,
        Event::Joined {
            argv: vec!["sh".into()],
        },
        Event::Attached,
        Event::Detached,
        Event::StateWritten {
            file: odd.clone(),
            withheld: vec!["hooks".into()],
        },
        Event::StateKept {
            file: odd.clone(),
            why: "not JSON".into(),
        },
        Event::Committed {
            file: odd.clone(),
            reference: "refs/heads/main".into(),
            commit: "0".repeat(40),
            what: "made".to_owned(),
        },
        Event::Staged {
            file: odd.clone(),
            what: "made".to_owned(),
        },
        Event::NameShown { file: odd.clone() },
        Event::Swept {
            file: odd,
            what: "set-uid bit removed".into(),
        },
        Event::ProgramRefused {
            report: OsText::from(std::ffi::OsString::from("/usr/bin/su\0-\0")),
        },
        Event::Resolved {
            name: "a.com".into(),
            address: "198.18.0.1".into(),
        },
        Event::Unreached {
            to: "b.com".into(),
            port: Some(443),
            why: "no rule grants it".into(),
            policy: true,
            rule: String::new(),
        },
        Event::Connected {
            id: 1,
            to: "a.com".into(),
            port: 443,
            address: Some("192.0.2.1:443".into()),
        },
        Event::Disconnected {
            id: 1,
            sent: 2,
            received: 3,
        },
        Event::Signed {
            host: "a.com".into(),
            key: "/home/me/.ssh/id.pub".into(),
        },
        Event::NetworkDropped {
            count: 2,
            refused: 1,
        },
        Event::GateLost {
            why: "killed".into(),
        },
        Event::NetworkChanged {
            change: "allow a.com".into(),
        },
        Event::LinksCopied {
            files: 3,
            bytes: 4096,
        },
        Event::NameClosed {
            file: "/w/.env".into(),
            how: Closed::Masked,
            times: 3,
        },
        Event::Quarantined {
            file: "/w/.mcp.json".into(),
        },
        Event::PutBack {
            file: "/w/ci".into(),
        },
        Event::Undone {
            file: "/w/.git/config".into(),
            keys: vec!["core.hookspath".into()],
        },
        Event::Led {
            file: "/w/.git/config".into(),
        },
        Event::SettleFailed {
            file: "/w/x".into(),
            why: "EIO".into(),
        },
        Event::WatchGap { why: "full".into() },
        Event::WatchOverflow,
        Event::Refused { why: "no".into() },
        Event::Ended { outcome },
    ]
}
