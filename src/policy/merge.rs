//! [`merge()`]: all fragments into one policy. The only place that knows the rules of precedence.
//!
//! Fragments come weakest first. Lists are joined, each entry with its origin. Of scalars, limits by name and set
//! variables by name, the later one wins. Of what is said about one layer (`require`, `allow-missing`, `off`), the later
//! word wins. Deny beats keep, but for an exact name that a later source keeps. Under all of them lies the floor
//! ([`merge_floor`]).

#![forbid(unsafe_code)]

use super::floor::{Breach, under};
use super::pattern::{is_pattern, matches};
use super::tighten::tighten;
use super::{
    Authority, CommandWishes, EnvWishes, FileWishes, Fragment, Origin, Policy, Request, Wish,
};
use crate::outcome::Layer;

/// Folds fragments, weakest first, into one policy. `profiles` and `request` are passed through.
#[must_use]
pub fn merge(profiles: Vec<String>, fragments: Vec<Fragment>, request: Request) -> Policy {
    let mut wishes = Fragment::default();
    for fragment in fragments {
        add(&mut wishes, fragment);
    }
    wishes.name = profiles.first().cloned().unwrap_or_default();
    Policy {
        profiles,
        wishes,
        request,
    }
}

/// Lays a floor under a merged policy: nothing of it can be wider than that. `memory` is the host's in bytes, where it is known.
///
/// # Errors
/// Every flag of the command line that asks for more.
pub fn merge_floor(
    policy: &mut Policy,
    floor: Fragment,
    memory: Option<f64>,
) -> Result<(), Vec<Breach>> {
    let breaches = under(&mut policy.wishes, floor, memory);
    if breaches.is_empty() {
        Ok(())
    } else {
        Err(breaches)
    }
}

/// Adds a stronger fragment. Destructured in full: a new field breaks the build here, where its rule is due.
fn add(into: &mut Fragment, stronger: Fragment) {
    if stronger.authority == Authority::Tighten {
        let name = stronger.name.clone();
        let left = tighten(into, stronger);
        if !left.is_empty() {
            into.notices.push(Wish {
                value: format!(
                    "{name} may only make the box narrower; left out: {} (`agentbox trust` shows the file, and lets it)",
                    left.join(", ")
                ),
                origin: Origin::agentbox("what a project's file may say"),
            });
        }
        return;
    }
    let Fragment {
        name: _,
        authority: _,
        description,
        commands,
        files,
        hard_links,
        programs,
        env,
        network,
        egress,
        limits,
        stop_grace,
        require,
        allow_missing,
        layers_off,
        rung,
        nested,
        stop_files,
        hangup,
        remotes,
        team,
        notices,
        arguments,
        when,
        conditions,
    } = stronger;

    let FileWishes {
        read,
        write,
        state,
        private,
        project,
        hide,
        protect,
        track,
    } = files;
    into.files.read.extend(read);
    into.files.write.extend(write);
    into.files.state.extend(state);
    into.files.private.extend(private);
    into.files.project.extend(project);
    // Of two rules about one name the later one decides, so the stronger source does.
    into.files.hide.extend(hide);
    into.files.protect.extend(protect);
    into.files.track.extend(track);

    add_programs(&mut into.programs, programs);
    add_env(&mut into.env, env);

    into.description = description.or(into.description.take());
    into.commands.extend(commands);
    into.stop_files.extend(stop_files);
    into.remotes.extend(remotes);
    into.team = team.or(into.team.take());
    into.notices.extend(notices);
    if !arguments.is_empty() {
        into.arguments = arguments;
    }
    // What nobody decided is refused later: it may forbid something.
    into.when.extend(when);
    into.conditions.extend(conditions);
    into.egress.add(egress);
    into.hard_links = hard_links.or(into.hard_links.take());
    into.network = network.or(into.network.take());
    into.stop_grace = stop_grace.or(into.stop_grace.take());
    into.hangup = hangup.or(into.hangup.take());
    into.rung = rung.or(into.rung.take());
    into.nested = nested.or(into.nested.take());
    for (name, wish) in limits {
        into.limits.retain(|(known, _)| *known != name);
        into.limits.push((name, wish));
    }

    add_layers(into, require, allow_missing, layers_off);
}

/// Programs, by the rule of variables: an exact name that a later source allows is refused no more, whatever named it
/// before, and one that the same or a later source denies is allowed no more.
pub(super) fn add_programs(into: &mut CommandWishes, stronger: CommandWishes) {
    let CommandWishes {
        deny,
        allow,
        search,
    } = stronger;
    into.allow.extend(allow.iter().cloned());
    into.allow.retain(|wish| {
        !deny
            .iter()
            .any(|deny| matches(&deny.value, wish.value.as_bytes()))
    });
    into.deny
        .retain(|wish| !allow.iter().any(|allow| allow.value == wish.value));
    into.deny.extend(deny);
    into.search.extend(search);
}

/// Variables. The merged lists can be read without knowing who is stronger: an exact name that a `deny` of the same or a
/// later source hits is taken out of `keep`, and an exact name that a later source keeps is taken out of `deny`. Patterns
/// stay in both lists; there an exact name in `keep` beats a pattern in `deny`, and `deny` beats a pattern in `keep`.
pub(super) fn add_env(into: &mut EnvWishes, stronger: EnvWishes) {
    let EnvWishes {
        keep,
        deny,
        set,
        given,
    } = stronger;
    into.keep.extend(keep.iter().cloned());
    into.keep.retain(|wish| {
        is_pattern(&wish.value)
            || !deny
                .iter()
                .any(|deny| matches(&deny.value, wish.value.as_bytes()))
    });
    into.deny.retain(|wish| {
        is_pattern(&wish.value) || !keep.iter().any(|keep| keep.value == wish.value)
    });
    into.deny.extend(deny);
    for (name, wish) in set {
        into.set.retain(|(known, _)| *known != name);
        into.set.push((name, wish));
    }
    into.given.extend(given);
}

/// The later word about a layer replaces the earlier ones. Two words in one source: the strict one (profiles and the
/// command line refuse that before it gets here).
pub(super) fn add_layers(
    into: &mut Fragment,
    require: Vec<Wish<Layer>>,
    allow_missing: Vec<Wish<Layer>>,
    off: Vec<Wish<Layer>>,
) {
    let said: Vec<Layer> = require
        .iter()
        .chain(&allow_missing)
        .chain(&off)
        .map(|wish| wish.value)
        .collect();
    for list in [
        &mut into.require,
        &mut into.allow_missing,
        &mut into.layers_off,
    ] {
        list.retain(|wish| !said.contains(&wish.value));
    }
    let required: Vec<Layer> = require.iter().map(|wish| wish.value).collect();
    let not_required = |wish: &Wish<Layer>| !required.contains(&wish.value);
    into.require.extend(require);
    into.allow_missing
        .extend(allow_missing.into_iter().filter(not_required));
    into.layers_off.extend(off.into_iter().filter(not_required));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::names::Verdict;
    use crate::plan::{HardLinks, LimitName, NetworkMode, OsText};
    use crate::policy::{LimitWish, NameWish, OnHangup, Origin, PathWish};

    fn wish<T>(value: T, from: &str) -> Wish<T> {
        Wish {
            value,
            origin: Origin::Cli { flag: from.into() },
        }
    }

    fn merged(fragments: Vec<Fragment>) -> Fragment {
        merge(vec!["p".into()], fragments, Request::default()).wishes
    }

    fn env(keep: &[&str], deny: &[&str]) -> Fragment {
        let list = |names: &[&str]| names.iter().map(|n| wish((*n).to_owned(), "x")).collect();
        Fragment {
            env: EnvWishes {
                keep: list(keep),
                deny: list(deny),
                ..EnvWishes::default()
            },
            ..Fragment::default()
        }
    }

    #[test]
    fn deny_and_keep() {
        // (row, sources weakest first as (keep, deny), what is left in keep, what is left in deny)
        type Source<'a> = (&'a [&'a str], &'a [&'a str]);
        type Row<'a> = (&'a str, &'a [Source<'a>], &'a [&'a str], &'a [&'a str]);
        let rows: &[Row<'_>] = &[
            ("keep alone", &[(&["A"], &[])], &["A"], &[]),
            ("deny of the same source", &[(&["A"], &["A"])], &[], &["A"]),
            (
                "deny of a later source",
                &[(&["A"], &[]), (&[], &["A"])],
                &[],
                &["A"],
            ),
            (
                "exact name of a later source",
                &[(&[], &["A"]), (&["A"], &[])],
                &["A"],
                &[],
            ),
            (
                "exact name against a weaker pattern",
                &[(&[], &["A*"]), (&["AB"], &[])],
                &["AB"],
                &["A*"],
            ),
            (
                "pattern of a later deny",
                &[(&["AB", "B"], &[]), (&[], &["A*"])],
                &["B"],
                &["A*"],
            ),
            (
                "a kept pattern lifts no deny",
                &[(&[], &["AB"]), (&["A*"], &[])],
                &["A*"],
                &["AB"],
            ),
            (
                "denied, kept, denied",
                &[(&[], &["A"]), (&["A"], &[]), (&[], &["A"])],
                &[],
                &["A"],
            ),
            (
                "the last of four",
                &[(&[], &["A"]), (&["A"], &[]), (&[], &["A"]), (&["A"], &[])],
                &["A"],
                &[],
            ),
            (
                "kept, denied, kept",
                &[(&["A"], &[]), (&[], &["A"]), (&["A"], &[])],
                &["A"],
                &[],
            ),
            (
                "both in a later source",
                &[(&[], &["A"]), (&["A"], &["A"])],
                &[],
                &["A"],
            ),
        ];
        for (row, sources, keep, deny) in rows {
            let got = merged(sources.iter().map(|(k, d)| env(k, d)).collect());
            let names =
                |list: &[Wish<String>]| list.iter().map(|w| w.value.clone()).collect::<Vec<_>>();
            assert_eq!(names(&got.env.keep), *keep, "{row}");
            assert_eq!(names(&got.env.deny), *deny, "{row}");
        }
    }

    #[test]
    fn the_last_word_about_a_layer_wins() {
        let fragment = |require: &[Layer], missing: &[Layer], off: &[Layer]| Fragment {
            require: require.iter().map(|l| wish(*l, "r")).collect(),
            allow_missing: missing.iter().map(|l| wish(*l, "m")).collect(),
            layers_off: off.iter().map(|l| wish(*l, "o")).collect(),
            ..Fragment::default()
        };
        let (a, b) = (Layer::View, Layer::Limits);
        for (row, sources, want) in [
            (
                "all three lists join",
                vec![fragment(&[a], &[b], &[])],
                (vec![a], vec![b], vec![]),
            ),
            (
                "missing after require",
                vec![fragment(&[a, b], &[], &[]), fragment(&[], &[a], &[])],
                (vec![b], vec![a], vec![]),
            ),
            (
                "require after missing",
                vec![fragment(&[], &[a], &[]), fragment(&[a], &[], &[])],
                (vec![a], vec![], vec![]),
            ),
            (
                "require after off",
                vec![fragment(&[], &[], &[a]), fragment(&[a], &[], &[])],
                (vec![a], vec![], vec![]),
            ),
            (
                "off after require",
                vec![fragment(&[a], &[], &[]), fragment(&[], &[], &[a])],
                (vec![], vec![], vec![a]),
            ),
            (
                "both in one source",
                vec![fragment(&[a], &[a], &[a])],
                (vec![a], vec![], vec![]),
            ),
        ] {
            let got = merged(sources);
            let layers = |list: &[Wish<Layer>]| list.iter().map(|w| w.value).collect::<Vec<_>>();
            let got = (
                layers(&got.require),
                layers(&got.allow_missing),
                layers(&got.layers_off),
            );
            assert_eq!(got, want, "{row}");
        }
    }

    #[test]
    fn scalars_are_replaced_and_lists_joined() {
        let path = |p: &str| PathWish {
            path: OsText::from(p),
            optional: false,
            make_dir: false,
        };
        let name = |p: &str| NameWish {
            pattern: OsText::from(p),
            verdict: Verdict::Applies,
            holds: None,
        };
        let source = |n: f64, from: &str| Fragment {
            name: from.into(),
            description: Some(from.into()),
            commands: vec![from.into()],
            files: FileWishes {
                read: vec![wish(path("/r"), from)],
                write: vec![wish(path("/w"), from)],
                state: vec![wish(path("/s"), from)],
                private: vec![wish(path("/p"), from)],
                project: vec![wish(path("/o"), from)],
                hide: vec![wish(name("/h"), from)],
                protect: vec![wish(name("/f"), from)],
                track: vec![wish(name("/t"), from)],
            },
            env: EnvWishes {
                set: vec![(OsText::from("S"), wish(OsText::from(from), from))],
                given: vec![wish(OsText::from(from), from)],
                ..EnvWishes::default()
            },
            hard_links: Some(wish(HardLinks::Refuse, from)),
            network: Some(wish(NetworkMode::Host, from)),
            limits: vec![(LimitName::Cpu, wish(LimitWish::Value(n), from))],
            stop_grace: Some(wish(n, from)),
            stop_files: vec![wish(from.into(), from)],
            hangup: Some(wish(OnHangup::Detach, from)),
            rung: Some(wish(crate::plan::rung::Rung::Landlock, from)),
            nested: Some(wish(crate::plan::rung::Nested::Allow, from)),
            notices: vec![wish(from.into(), from)],
            ..Fragment::default()
        };
        let only_disk = Fragment {
            hangup: Some(wish(OnHangup::End, "c")),
            limits: vec![(LimitName::Disk, wish(LimitWish::Unlimited, "c"))],
            ..Fragment::default()
        };
        let policy = merge(
            vec!["chosen".into(), "base".into()],
            vec![source(1.0, "a"), source(2.0, "b"), only_disk],
            Request::default(),
        );
        let got = policy.wishes;
        assert_eq!(got.name, "chosen");
        assert_eq!(policy.profiles, ["chosen", "base"]);
        assert_eq!(got.description.as_deref(), Some("b"));
        assert_eq!(got.commands, ["a", "b"]);
        assert_eq!(
            [
                got.files.read.len(),
                got.files.write.len(),
                got.files.state.len(),
                got.files.private.len(),
                got.files.project.len(),
                got.files.hide.len(),
                got.files.protect.len(),
                got.files.track.len()
            ],
            [2; 8]
        );
        assert_eq!(got.files.read[0].origin, Origin::Cli { flag: "a".into() });
        assert_eq!(got.env.set.len(), 1);
        assert_eq!(got.env.set[0].1.value, OsText::from("b"));
        assert_eq!(got.env.given.len(), 2);
        assert_eq!(
            got.network.map(|w| w.origin),
            Some(Origin::Cli { flag: "b".into() })
        );
        assert_eq!(
            got.hard_links.map(|w| w.origin),
            Some(Origin::Cli { flag: "b".into() })
        );
        assert_eq!(got.stop_grace.map(|w| w.value), Some(2.0));
        assert_eq!(got.hangup.map(|w| w.value), Some(OnHangup::End));
        assert_eq!(
            got.nested.map(|w| w.origin),
            Some(Origin::Cli { flag: "b".into() })
        );
        assert_eq!(
            got.rung.map(|w| w.origin),
            Some(Origin::Cli { flag: "b".into() })
        );
        assert_eq!(
            got.limits
                .iter()
                .map(|(n, w)| (*n, w.value))
                .collect::<Vec<_>>(),
            [
                (LimitName::Cpu, LimitWish::Value(2.0)),
                (LimitName::Disk, LimitWish::Unlimited)
            ]
        );
        assert_eq!(got.stop_files.len(), 2);
        assert_eq!(got.notices.len(), 2);
    }

    #[test]
    fn nothing_is_a_policy_without_wishes() {
        assert_eq!(
            merge(Vec::new(), Vec::new(), Request::default()),
            Policy::default()
        );
    }
}
