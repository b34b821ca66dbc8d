#![allow(clippy::unwrap_used)]

use super::*;
use crate::outcome::Layer;
use crate::plan::net::Rule;
use crate::policy::{Authority, OnHangup, PathWish, Request, merge};

fn from_project<T>(value: T, line: u32) -> Wish<T> {
    let path = "/p/.agentbox.toml".to_owned();
    Wish {
        value,
        origin: Origin::Project { path, line },
    }
}

fn from_user<T>(value: T) -> Wish<T> {
    let path = "/u".to_owned();
    Wish {
        value,
        origin: Origin::File { path, line: 1 },
    }
}

fn path(text: &str) -> PathWish {
    PathWish {
        path: text.into(),
        optional: false,
        make_dir: false,
    }
}

fn pattern(text: &str) -> NameWish {
    NameWish {
        pattern: text.into(),
        verdict: Verdict::Applies,
        holds: None,
    }
}

/// Whatever a project says that is wider does not change the policy by a bit; all of it is named.
#[test]
fn nothing_of_a_project_makes_the_box_wider() {
    let lifted = NameWish {
        verdict: Verdict::Lifted,
        ..pattern("${workspace}/.env")
    };
    let conditional = NameWish {
        holds: Some(crate::plan::names::Holds::Token),
        ..pattern("${workspace}/.npmrc")
    };
    let rule = Rule::deny("evil.example").unwrap();
    let wide = Fragment {
        files: FileWishes {
            read: vec![from_project(path("~/.aws"), 1)],
            write: vec![from_project(path("/"), 2)],
            state: vec![from_project(path("~/.x"), 3)],
            private: vec![from_project(path("~/.y"), 4)],
            project: vec![from_project(path("~/.z"), 31)],
            hide: vec![
                from_project(lifted.clone(), 5),
                from_project(conditional, 6),
                from_project(pattern("~/.cargo"), 7),
            ],
            protect: vec![from_project(lifted, 8)],
            track: vec![from_project(pattern("${workspace}/.git/hooks"), 9)],
        },
        programs: CommandWishes {
            allow: vec![from_project("terraform".to_owned(), 10)],
            search: vec![from_project(path("/opt"), 11)],
            deny: Vec::new(),
        },
        env: EnvWishes {
            keep: vec![from_project("AWS_SECRET_ACCESS_KEY".to_owned(), 12)],
            set: vec![("LD_PRELOAD".into(), from_project("./x.so".into(), 13))],
            ..EnvWishes::default()
        },
        network: Some(from_project(NetworkMode::Host, 14)),
        egress: EgressWishes {
            allow: vec![from_project(rule, 15)],
            host_ports: vec![from_project(5432, 16)],
            publish: vec![from_project(
                crate::policy::egress::Ports { host: 1, inside: 1 },
                17,
            )],
            hosts: vec![("a.example".to_owned(), from_project(Vec::new(), 18))],
            ssh_hosts: vec![from_project(("a.example".to_owned(), 22), 27)],
            ssh_keys: vec![from_project(path("~/.ssh/id"), 28)],
            deny: Vec::new(),
            only_host_ports: None,
            only_publish: None,
        },
        limits: vec![
            (
                LimitName::Processes,
                from_project(LimitWish::Value(9e9), 19),
            ),
            (LimitName::Memory, from_project(LimitWish::Unlimited, 20)),
        ],
        stop_grace: Some(from_project(1e9, 21)),
        hangup: Some(from_project(OnHangup::Detach, 22)),
        rung: Some(from_project(crate::plan::rung::Rung::Landlock, 29)),
        nested: Some(from_project(crate::plan::rung::Nested::Allow, 30)),
        allow_missing: vec![from_project(Layer::Landlock, 23)],
        layers_off: vec![from_project(Layer::Seccomp, 24)],
        notices: vec![from_project("all is well".to_owned(), 25)],
        hard_links: Some(from_project(HardLinks::Allow, 26)),
        ..Fragment::default()
    };
    let before = Fragment {
        network: Some(from_user(NetworkMode::Filtered)),
        limits: vec![
            (LimitName::Processes, from_user(LimitWish::Value(4096.0))),
            (LimitName::Memory, from_user(LimitWish::Percent(75.0))),
        ],
        require: vec![from_user(Layer::Landlock)],
        ..Fragment::default()
    };
    let mut after = before.clone();
    let left = tighten(&mut after, wide.clone());
    assert_eq!(after, before);
    let lines: Vec<u32> = left
        .iter()
        .map(|text| {
            let number = text.split("(line ").nth(1).unwrap();
            number.trim_end_matches(')').parse().unwrap()
        })
        .collect();
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=31).collect::<Vec<u32>>(), "{left:?}");

    // The same word of a file that is trusted is a word.
    let merged = |authority| {
        let project = Fragment {
            name: ".agentbox.toml".to_owned(),
            authority,
            ..wide.clone()
        };
        merge(
            Vec::new(),
            vec![before.clone(), project],
            Request::default(),
        )
        .wishes
    };
    assert_eq!(
        merged(Authority::Full).network.unwrap().value,
        NetworkMode::Host
    );
    let told = merged(Authority::Tighten).notices;
    assert!(told[0].value.contains("files.write (line 2)"), "{told:?}");
    assert!(told[0].value.contains("agentbox trust"), "{told:?}");
}

#[test]
fn what_makes_it_narrower_counts() {
    let user = Fragment {
        network: Some(from_user(NetworkMode::Filtered)),
        programs: CommandWishes {
            allow: vec![from_user("terraform".to_owned())],
            ..CommandWishes::default()
        },
        env: EnvWishes {
            keep: vec![from_user("TOKEN".to_owned())],
            ..EnvWishes::default()
        },
        limits: vec![
            (LimitName::Processes, from_user(LimitWish::Value(4096.0))),
            (LimitName::Memory, from_user(LimitWish::Percent(75.0))),
        ],
        allow_missing: vec![from_user(Layer::Limits)],
        ..Fragment::default()
    };
    let rule = Rule::deny("github.com").unwrap();
    let project = Fragment {
        files: FileWishes {
            hide: vec![from_project(pattern("${workspace}/**/*.dump"), 1)],
            protect: vec![from_project(pattern("${workspace}/infra"), 2)],
            ..FileWishes::default()
        },
        programs: CommandWishes {
            deny: vec![from_project("terraform".to_owned(), 3)],
            ..CommandWishes::default()
        },
        env: EnvWishes {
            deny: vec![from_project("TOKEN".to_owned(), 4)],
            ..EnvWishes::default()
        },
        network: Some(from_project(NetworkMode::None, 5)),
        egress: EgressWishes {
            deny: vec![from_project(rule, 6)],
            ..EgressWishes::default()
        },
        limits: vec![
            (
                LimitName::Processes,
                from_project(LimitWish::Value(64.0), 7),
            ),
            (LimitName::Memory, from_project(LimitWish::Value(1e9), 8)),
            (LimitName::Cpu, from_project(LimitWish::Value(1.0), 9)),
        ],
        require: vec![from_project(Layer::Limits, 10)],
        stop_files: vec![from_project(".halt".to_owned(), 11)],
        hard_links: Some(from_project(HardLinks::Refuse, 12)),
        ..Fragment::default()
    };
    let mut got = user;
    assert_eq!(tighten(&mut got, project), Vec::<String>::new());
    assert_eq!((got.files.hide.len(), got.files.protect.len()), (1, 1));
    assert!(got.programs.allow.is_empty() && got.programs.deny.len() == 1);
    assert!(got.env.keep.is_empty());
    assert_eq!(got.network.unwrap().value, NetworkMode::None);
    assert_eq!(got.egress.deny.len(), 1);
    let limits: Vec<_> = got
        .limits
        .iter()
        .map(|(name, wish)| (*name, wish.value))
        .collect();
    let least = LimitWish::Least {
        percent: 75.0,
        value: 1e9,
    };
    assert_eq!(
        limits,
        [
            (LimitName::Processes, LimitWish::Value(64.0)),
            (LimitName::Memory, least),
            (LimitName::Cpu, LimitWish::Value(1.0)),
        ]
    );
    assert!(got.allow_missing.is_empty() && got.require.len() == 1);
    assert_eq!(got.stop_files.len(), 1);
    assert_eq!(got.hard_links.unwrap().value, HardLinks::Refuse);
}
