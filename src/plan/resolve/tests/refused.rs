use super::world::*;
use crate::plan::Plan;
use crate::plan::refused::Covers;
use crate::policy::Wish;
use crate::policy::pattern;

fn deny(world: &mut World, names: &[&str]) {
    world.policy.wishes.programs.deny = names
        .iter()
        .map(|name| Wish {
            value: (*name).to_owned(),
            origin: builtin(),
        })
        .collect();
}

/// Every place in short: `PATH program|name [found]`.
fn places(plan: &Plan) -> Vec<String> {
    plan.refused
        .places
        .iter()
        .map(|place| {
            let covers = match place.covers {
                Covers::Program => "program",
                Covers::Name => "name",
            };
            let found = place.found.as_ref();
            format!(
                "{} {covers}{}",
                place.path,
                found.map_or(String::new(), |f| format!(" by {f}"))
            )
        })
        .collect()
}

type Row<'a> = (&'a str, &'a [&'a str], fn(&mut World), &'a [&'a str]);

#[test]
fn what_is_found_and_what_is_covered() {
    let rows: &[Row<'_>] = &[
        ("nothing", &["terraform"], |_| {}, &[]),
        (
            "a file in a directory of PATH",
            &["terraform"],
            |w| {
                w.fs.program("/usr/local/bin/terraform", "x");
            },
            &["/usr/local/bin/terraform program"],
        ),
        (
            "a pattern",
            &["terra*"],
            |w| {
                w.fs.program("/usr/bin/terraform", "x")
                    .program("/usr/bin/terragrunt", "x")
                    .program("/usr/bin/tera", "x");
            },
            &["/usr/bin/terraform program", "/usr/bin/terragrunt program"],
        ),
        (
            "a directory of that name is none",
            &["terraform"],
            |w| {
                w.fs.dir("/usr/bin/terraform");
            },
            &[],
        ),
        (
            "a link to the same name elsewhere",
            &["aws"],
            |w| {
                w.fs.link("/usr/local/bin/aws", "/usr/local/aws-cli/dist/aws")
                    .program("/usr/local/aws-cli/dist/aws", "x");
            },
            &["/usr/local/aws-cli/dist/aws program by /usr/local/bin/aws"],
        ),
        (
            "a chain through alternatives to a name of its own",
            &["at"],
            |w| {
                w.fs.link("/usr/bin/at", "/etc/alternatives/at")
                    .link("/etc/alternatives/at", "/usr/lib/at/real")
                    .program("/usr/lib/at/real", "x");
            },
            &["/usr/lib/at/real program by /usr/bin/at"],
        ),
        (
            "a version beside it",
            &["kubectl"],
            |w| {
                w.fs.link("/usr/bin/kubectl", "kubectl1.29")
                    .program("/usr/bin/kubectl1.29", "x");
            },
            &["/usr/bin/kubectl1.29 program by /usr/bin/kubectl"],
        ),
        (
            "a link to what has another name that is not refused",
            &["sudo"],
            |w| {
                w.fs.link("/usr/bin/sudo", "busybox")
                    .program("/usr/bin/busybox", "x");
            },
            &["/usr/bin/sudo name by /usr/bin/busybox"],
        ),
        (
            "a link to what another link leads to as well",
            &["terraform"],
            |w| {
                w.fs.link("/usr/bin/terraform", "../lib/shims/shim")
                    .link("/usr/bin/other", "../lib/shims/shim")
                    .program("/usr/lib/shims/shim", "x");
            },
            &["/usr/bin/terraform name by /usr/lib/shims/shim"],
        ),
        (
            "a link to a refused program under a name that is not",
            &["terraform"],
            |w| {
                w.fs.link("/usr/bin/tf", "terraform")
                    .program("/usr/bin/terraform", "x");
            },
            &["/usr/bin/terraform program"],
        ),
        (
            "a link that leads nowhere in the box",
            &["terraform"],
            |w| {
                w.fs.link("/usr/bin/terraform", "/opt/tf/terraform")
                    .program("/opt/tf/terraform", "x");
            },
            &["/usr/bin/terraform program"],
        ),
        (
            "a hard link is the same program",
            &["terraform"],
            |w| {
                w.fs.program("/usr/bin/terraform", "x")
                    .hard_link("/usr/local/bin/tf", "/usr/bin/terraform");
            },
            &[
                "/usr/bin/terraform program",
                "/usr/local/bin/tf program by /usr/bin/terraform",
            ],
        ),
        (
            "a file with many names is many programs",
            &["chroot", "su"],
            |w| {
                w.fs.program("/usr/bin/ls", "x");
                for name in ["cat", "cp", "chroot", "su"] {
                    w.fs.hard_link(format!("/usr/bin/{name}"), "/usr/bin/ls");
                }
            },
            &[
                "/usr/bin/chroot name by /usr/bin/cat",
                "/usr/bin/su name by /usr/bin/cat",
            ],
        ),
        (
            "busybox is many with any name",
            &["su"],
            |w| {
                w.fs.program("/usr/bin/busybox", "x")
                    .hard_link("/usr/bin/su", "/usr/bin/busybox");
            },
            &["/usr/bin/su name by /usr/bin/busybox"],
        ),
        (
            "a place of `search`, by a pattern",
            &["terraform"],
            |w| {
                w.fs.program("/usr/lib/vendor/1.2/bin/terraform", "x")
                    .program("/usr/lib/vendor/1.3/bin/terraform", "x");
                w.policy.wishes.programs.search = vec![wish("/usr/lib/vendor/*/bin?", builtin())];
            },
            &[
                "/usr/lib/vendor/1.2/bin/terraform program",
                "/usr/lib/vendor/1.3/bin/terraform program",
            ],
        ),
        (
            "what is granted besides, and its bin",
            &["terraform"],
            |w| {
                w.fs.program("/opt/tools/terraform", "x")
                    .program("/opt/tools/bin/terraform", "x");
                w.read("/opt/tools", cli("--read"));
            },
            &[
                "/opt/tools/bin/terraform program",
                "/opt/tools/terraform program",
            ],
        ),
        (
            "a file that is granted by itself",
            &["terraform"],
            |w| {
                w.fs.program("/opt/terraform", "x");
                w.read("/opt/terraform", cli("--read"));
            },
            &["/opt/terraform program"],
        ),
        (
            "nothing in what the box writes",
            &["terraform"],
            |w| {
                w.fs.program("/home/u/proj/bin/terraform", "x")
                    .program("/opt/w/bin/terraform", "x");
                w.write("/opt/w", cli("--write"));
                w.var("PATH", "/home/u/proj/bin:/opt/w/bin:/usr/bin");
            },
            &[],
        ),
    ];
    for (row, names, change, want) in rows {
        let mut world = World::new();
        deny(&mut world, names);
        change(&mut world);
        let plan = world.plan();
        assert_eq!(places(&plan), *want, "{row}");
        for place in &plan.refused.places {
            let rule = &place.rule;
            assert!(names.contains(&rule.as_str()), "{row}: {rule}");
        }
    }
}

#[test]
fn a_rule_is_lifted_by_name_and_that_is_said() {
    let mut world = World::new();
    world.fs.program("/usr/bin/terraform", "x");
    deny(&mut world, &["terra*"]);
    world.policy.wishes.programs.allow = vec![Wish {
        value: "terraform".to_owned(),
        origin: cli("--allow-command"),
    }];
    let plan = world.plan();
    assert_eq!(places(&plan), [""; 0]);
    let said = "the program terraform is not refused, by --allow-command";
    assert!(plan.notices.iter().any(|n| n == said), "{:?}", plan.notices);
    assert!(pattern::matches("terra*", b"terraform"));
}

#[test]
fn a_name_that_is_refused_by_name_only_is_said() {
    let mut world = World::new();
    world.fs.link("/usr/bin/sudo", "busybox");
    world.fs.program("/usr/bin/busybox", "x");
    deny(&mut world, &["sudo"]);
    let said =
        "/usr/bin/sudo is refused by this name only: /usr/bin/busybox has other uses and stays";
    let plan = world.plan();
    assert!(plan.notices.iter().any(|n| n == said), "{:?}", plan.notices);
}

#[test]
fn a_command_that_is_refused_is_no_start() {
    let mut world = World::new();
    world.fs.program("/usr/bin/terraform", "x");
    world.fs.link("/usr/bin/tf", "terraform");
    deny(&mut world, &["terraform"]);
    for command in ["terraform", "/usr/bin/terraform", "tf"] {
        world.run(command);
        let refused = world.refused();
        assert!(refused.contains("is refused in the box"), "{refused}");
        assert!(refused.contains("--allow-command"), "{refused}");
    }
    world.run("bash");
    world.plan();
}

#[test]
fn every_set_of_rules_has_stubs_of_its_own() {
    let mut world = World::new();
    let mut seen = Vec::new();
    for names in [&["a"][..], &["a", "b"], &["ab"]] {
        deny(&mut world, names);
        let plan = world.plan();
        let stubs = plan.refused.stubs.clone();
        assert!(
            stubs
                .path()
                .starts_with("/home/u/.local/state/agentbox/refused")
        );
        assert_eq!(
            at(&plan, "/run/agentbox/bin"),
            format!("r dir from {stubs}")
        );
        assert!(!seen.contains(&stubs), "{names:?}");
        seen.push(stubs);
    }
    assert_eq!(
        at(&world.plan(), "/run/agentbox/agentbox"),
        "r file from /usr/local/bin/agentbox"
    );
}
