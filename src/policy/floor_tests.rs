#![allow(clippy::unwrap_used)]

use super::*;
use crate::outcome::Layer;
use crate::plan::net::Rule;
use crate::plan::rung::{Nested, Rung};
use crate::policy::{Request, merge, merge_floor};

fn wish<T>(value: T, origin: Origin) -> Wish<T> {
    Wish { value, origin }
}

fn cli(flag: &str) -> Origin {
    Origin::Cli {
        flag: flag.to_owned(),
    }
}

fn file() -> Origin {
    Origin::File {
        path: "/u.toml".into(),
        line: 7,
    }
}

fn floor(line: u32) -> Origin {
    Origin::Floor {
        path: "/f.toml".into(),
        line,
    }
}

/// A floor that says one thing of each kind.
fn strict() -> Fragment {
    Fragment {
        hard_links: Some(wish(HardLinks::Refuse, floor(1))),
        programs: CommandWishes {
            deny: vec![wish("terra*".to_owned(), floor(2))],
            ..CommandWishes::default()
        },
        env: EnvWishes {
            deny: vec![wish("AWS_*".to_owned(), floor(3))],
            ..EnvWishes::default()
        },
        network: Some(wish(NetworkMode::Filtered, floor(4))),
        egress: EgressWishes {
            deny: vec![wish(Rule::deny("*.evil.example").unwrap(), floor(5))],
            only_host_ports: Some(wish(vec![5432], floor(9))),
            only_publish: Some(wish(vec![], floor(10))),
            ..EgressWishes::default()
        },
        limits: vec![(LimitName::Memory, wish(LimitWish::Percent(50.0), floor(6)))],
        require: vec![wish(Layer::Landlock, floor(7))],
        rung: Some(wish(Rung::ContainerProc, floor(8))),
        nested: Some(wish(Nested::Refuse, floor(11))),
        ..Fragment::default()
    }
}

/// Everything that the floor forbids, asked for by one origin.
fn wide(origin: &Origin) -> Fragment {
    let o = || origin.clone();
    Fragment {
        hard_links: Some(wish(HardLinks::Allow, o())),
        rung: Some(wish(Rung::Landlock, o())),
        nested: Some(wish(Nested::Allow, o())),
        programs: CommandWishes {
            allow: vec![wish("terraform".to_owned(), o())],
            ..CommandWishes::default()
        },
        env: EnvWishes {
            keep: vec![
                wish("AWS_PROFILE".to_owned(), o()),
                wish("CI".to_owned(), o()),
            ],
            set: vec![("AWS_REGION".into(), wish("x".into(), o()))],
            ..EnvWishes::default()
        },
        network: Some(wish(NetworkMode::Host, o())),
        egress: EgressWishes {
            allow: vec![wish(Rule::allow("a.evil.example").unwrap(), o())],
            host_ports: vec![wish(5432, o()), wish(6379, o())],
            publish: vec![wish(
                Ports {
                    host: 3000,
                    inside: 80,
                },
                o(),
            )],
            ..EgressWishes::default()
        },
        limits: vec![(LimitName::Memory, wish(LimitWish::Value(9e9), o()))],
        allow_missing: vec![wish(Layer::Landlock, o())],
        ..Fragment::default()
    }
}

const MEMORY: Option<f64> = Some(8e9);

#[test]
fn nothing_is_wider_than_the_floor() {
    for origin in [file(), cli("--x")] {
        let mut policy = merge(Vec::new(), vec![wide(&origin)], Request::default());
        let result = merge_floor(&mut policy, strict(), MEMORY);
        let got = policy.wishes;
        assert_eq!(got.hard_links.unwrap().value, HardLinks::Refuse);
        assert!(got.programs.allow.is_empty());
        let kept: Vec<&str> = got.env.keep.iter().map(|k| k.value.as_str()).collect();
        assert_eq!(kept, ["CI"]);
        assert!(got.env.set.is_empty());
        assert_eq!(got.network.unwrap().value, NetworkMode::Filtered);
        assert_eq!(got.egress.deny.len(), 1);
        assert_eq!(got.limits.len(), 1);
        assert_eq!(got.limits[0].1.value, LimitWish::Percent(50.0));
        assert!(got.allow_missing.is_empty());
        assert_eq!(got.nested.unwrap().value, Nested::Refuse);
        assert_eq!(got.require.len(), 1);
        // Said, each with the line of the floor: a flag ends the start, a file's wish is left out.
        let said: Vec<String> = match result {
            Err(breaches) => breaches.iter().map(ToString::to_string).collect(),
            Ok(()) => got.notices.iter().map(|n| n.value.clone()).collect(),
        };
        let ports: Vec<u16> = got.egress.host_ports.iter().map(|w| w.value).collect();
        assert_eq!(ports, [5432]);
        assert!(got.egress.publish.is_empty());
        for line in 1..=11 {
            let place = format!("(floor /f.toml:{line})");
            assert!(
                said.iter().any(|text| text.contains(&place)),
                "{place}: {said:#?}"
            );
        }
        assert_eq!(
            said.len(),
            12,
            "the variable that is kept and the one that is set: {said:#?}"
        );
        let is_flag = matches!(origin, Origin::Cli { .. });
        assert_eq!(said.iter().all(|text| text.contains("/u.toml:7")), !is_flag);
    }
}

#[test]
fn what_is_narrower_than_the_floor_stays() {
    let narrow = Fragment {
        hard_links: Some(wish(HardLinks::Refuse, cli("--hard-links"))),
        network: Some(wish(NetworkMode::None, cli("--net"))),
        limits: vec![(
            LimitName::Memory,
            wish(LimitWish::Value(1e9), cli("--limit")),
        )],
        require: vec![wish(Layer::Landlock, cli("--require"))],
        ..Fragment::default()
    };
    let mut policy = merge(Vec::new(), vec![narrow], Request::default());
    assert_eq!(merge_floor(&mut policy, strict(), MEMORY), Ok(()));
    let got = policy.wishes;
    assert_eq!(got.network.unwrap().origin, cli("--net"));
    assert_eq!(got.limits[0].1.origin, cli("--limit"));
    assert!(got.notices.is_empty());
    // Without a word of anybody it is what holds.
    let mut policy = merge(Vec::new(), Vec::new(), Request::default());
    assert_eq!(merge_floor(&mut policy, strict(), MEMORY), Ok(()));
    assert_eq!(policy.wishes.network, None, "nobody asked for one");
    assert_eq!(policy.wishes.limits[0].1.origin, floor(6));
    // A share of memory that is not known is not compared: the floor's word counts.
    let mut policy = merge(
        Vec::new(),
        vec![Fragment {
            limits: vec![(
                LimitName::Memory,
                wish(LimitWish::Value(1.0), cli("--limit")),
            )],
            ..Fragment::default()
        }],
        Request::default(),
    );
    assert!(merge_floor(&mut policy, strict(), None).is_err());
}

#[test]
fn a_flag_is_named_with_its_value() {
    let mut policy = merge(Vec::new(), vec![wide(&cli("--net"))], Request::default());
    let breaches = merge_floor(&mut policy, strict(), MEMORY).unwrap_err();
    let flags: Vec<&str> = breaches.iter().map(|b| b.flag.as_str()).collect();
    for flag in [
        "--net host",
        "--allow-command terraform",
        "--env AWS_PROFILE",
        "--hard-links allow",
        "--rung landlock",
        "--nested allow",
        "--host-port 6379",
        "--publish 3000:80",
    ] {
        assert!(flags.contains(&flag), "{flag}: {flags:?}");
    }
}
