#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::profile::builtin;
use crate::profile::schema::{Place, Role, parse};
use std::fmt::{Debug, Write as _};

fn from_toml(builtin: &builtin::Builtin) -> Parsed {
    let place = Place::Builtin(builtin.name);
    parse(builtin.text, builtin.name, &place, Role::Profile).unwrap()
}

fn line<T>(wish: &Wish<T>) -> u32 {
    match &wish.origin {
        Origin::Builtin { line, .. } => *line,
        other => panic!("{other}"),
    }
}

/// `field: &[row, ...]`, as many rows in a line as fit.
fn list<T>(out: &mut String, field: &str, rows: &[T], row: impl Fn(&T) -> String) {
    if rows.is_empty() {
        writeln!(out, "        {field}: &[],").unwrap();
        return;
    }
    writeln!(out, "        {field}: &[").unwrap();
    // Patterns are many, and two of them are a little longer.
    let most = match field {
        "hide" | "protect" | "track" => 200,
        _ => 108,
    };
    let mut line = String::new();
    for item in rows {
        let item = format!(" {},", row(item));
        if !line.is_empty() && line.len() + item.len() > most {
            writeln!(out, "           {line}").unwrap();
            line.clear();
        }
        line.push_str(&item);
    }
    writeln!(out, "           {line}\n        ],").unwrap();
}

/// A float that reads back as the same one.
fn limit(wish: LimitWish) -> String {
    format!("LimitWish::{wish:?}")
}

fn path(wish: &Wish<PathWish>) -> String {
    let text = wish.value.path.os().to_str().unwrap();
    let PathWish {
        optional, make_dir, ..
    } = wish.value;
    format!("({text:?}, {optional}, {make_dir}, {})", line(wish))
}

fn valued<T: Debug>(prefix: &str) -> impl Fn(&Wish<T>) -> String {
    move |wish| format!("({prefix}{:?}, {})", wish.value, line(wish))
}

fn name(wish: &Wish<NameWish>) -> String {
    let NameWish {
        pattern,
        verdict,
        holds,
    } = &wish.value;
    let text = pattern.os().to_str().unwrap();
    let holds = holds.map_or("None".to_owned(), |h| format!("Some(Holds::{h:?})"));
    format!("({text:?}, Verdict::{verdict:?}, {holds}, {})", line(wish))
}

fn rule(wish: &Wish<Rule>) -> String {
    let Rule { to, ports, marks } = &wish.value;
    let (named, name) = match to {
        Target::Name(name) => ("Exactly", name.as_str()),
        Target::Under(name) => ("Under", name.as_str()),
        other => panic!("{other}: a built-in profile grants names, and not all of them"),
    };
    let marks: Vec<String> = marks.iter().map(|mark| format!("Mark::{mark:?}")).collect();
    let marks = marks.join(", ");
    format!(
        "(Named::{named}, {name:?}, &{ports:?}, &[{marks}], {})",
        line(wish)
    )
}

const HEAD: &str = "//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.\n\n#![forbid(unsafe_code)]\n\n";

/// The file of one profile.
fn table(builtin: &builtin::Builtin) -> String {
    let mut out = HEAD.to_owned();
    let Parsed {
        fragment,
        extends,
        tests: _,
    } = from_toml(builtin);
    let Fragment {
        name: profile,
        authority,
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
    } = fragment;
    assert!(arguments.is_empty());
    assert!(when.is_empty() && conditions.is_empty());
    assert_eq!(authority, Authority::Full);
    assert!(env.given.is_empty() && hangup.is_none());
    assert!(remotes.is_empty() && team.is_none());
    writeln!(out, "pub(super) static TABLE: Table = Table {{").unwrap();
    writeln!(out, "        name: {profile:?},").unwrap();
    writeln!(out, "        description: {description:?},").unwrap();
    list(&mut out, "extends", &extends, |(name, at)| {
        format!("({name:?}, {}, {})", at.start, at.end)
    });
    list(&mut out, "commands", &commands, |c| format!("{c:?}"));
    list(&mut out, "read", &files.read, path);
    list(&mut out, "write", &files.write, path);
    list(&mut out, "state", &files.state, path);
    list(&mut out, "private", &files.private, path);
    list(&mut out, "project", &files.project, path);
    list(&mut out, "hide", &files.hide, name);
    list(&mut out, "protect", &files.protect, name);
    list(&mut out, "track", &files.track, name);
    list(&mut out, "refuse", &programs.deny, valued(""));
    list(&mut out, "allow", &programs.allow, valued(""));
    list(&mut out, "search", &programs.search, path);
    let links = hard_links.map(|w| format!("Some({})", valued("HardLinks::")(&w)));
    let links = links.unwrap_or("None".into());
    writeln!(out, "        hard_links: {links},").unwrap();
    list(&mut out, "keep", &env.keep, valued(""));
    list(&mut out, "deny", &env.deny, valued(""));
    list(&mut out, "set", &env.set, |(name, wish)| {
        let name = name.os().to_str().unwrap();
        let value = wish.value.os().to_str().unwrap();
        format!("({name:?}, {value:?}, {})", line(wish))
    });
    let network = network.map(|w| format!("Some({})", valued("NetworkMode::")(&w)));
    let network = network.unwrap_or("None".into());
    writeln!(out, "        network: {network},").unwrap();
    let EgressWishes {
        allow,
        deny,
        host_ports,
        publish,
        hosts,
        ssh_hosts,
        ssh_keys,
        only_host_ports,
        only_publish,
    } = egress;
    assert!(only_host_ports.is_none() && only_publish.is_none());
    assert!(host_ports.is_empty() && publish.is_empty() && hosts.is_empty());
    assert!(ssh_hosts.is_empty() && ssh_keys.is_empty());
    list(&mut out, "reach", &allow, rule);
    list(&mut out, "shun", &deny, rule);
    list(&mut out, "limits", &limits, |(name, wish)| {
        format!(
            "(LimitName::{name:?}, {}, {})",
            limit(wish.value),
            line(wish)
        )
    });
    let grace = stop_grace.map(|w| (w.value, line(&w)));
    writeln!(out, "        stop_grace: {grace:?},").unwrap();
    let layer = "Layer::";
    list(&mut out, "require", &require, valued(layer));
    list(&mut out, "allow_missing", &allow_missing, valued(layer));
    list(&mut out, "layers_off", &layers_off, valued(layer));
    let rung = rung.map(|w| format!("Some({})", valued("Rung::")(&w)));
    let rung = rung.unwrap_or("None".into());
    writeln!(out, "        rung: {rung},").unwrap();
    // A built-in profile weakens no box.
    assert!(nested.is_none());
    list(&mut out, "stop_files", &stop_files, valued(""));
    list(&mut out, "notices", &notices, valued(""));
    out.push_str("};\n");
    // Only what is used may be imported.
    let words = [
        ("Layer::", "use crate::outcome::Layer;\n"),
        ("Holds::", "use crate::plan::names::Holds;\n"),
        ("Verdict::", "use crate::plan::names::Verdict;\n"),
        ("Rung::", "use crate::plan::rung::Rung;\n"),
        ("Mark::", "use crate::plan::net::Mark;\n"),
        ("Named::", "use crate::profile::baked::Named;\n"),
        ("HardLinks::", "use crate::plan::HardLinks;\n"),
        ("LimitName::", "use crate::plan::LimitName;\n"),
        ("NetworkMode::", "use crate::plan::NetworkMode;\n"),
        ("LimitWish::", "use crate::policy::LimitWish;\n"),
    ];
    let mut uses: String = words
        .iter()
        .filter(|(word, _)| out.contains(word))
        .map(|(_, text)| *text)
        .collect();
    uses.push_str("use crate::profile::baked::Table;\n\n");
    out.insert_str(HEAD.len(), &uses);
    out
}

/// The name of a profile as a name of a module.
fn module(builtin: &builtin::Builtin) -> String {
    builtin.name.replace('-', "_")
}

/// Every file of `baked/tables/` with its text.
fn sources() -> Vec<(String, String)> {
    let mut list = HEAD.to_owned();
    for builtin in &builtin::ALL {
        writeln!(list, "mod {};", module(builtin)).unwrap();
    }
    list.push_str("\nuse super::Table;\n\n");
    writeln!(
        list,
        "pub(super) static ALL: [&Table; {}] = [",
        builtin::ALL.len()
    )
    .unwrap();
    for builtin in &builtin::ALL {
        writeln!(list, "    &{}::TABLE,", module(builtin)).unwrap();
    }
    list.push_str("];\n");
    let mut files = vec![("mod.rs".to_owned(), list)];
    files.extend(
        builtin::ALL
            .iter()
            .map(|builtin| (format!("{}.rs", module(builtin)), table(builtin))),
    );
    files
}

#[test]
fn the_tables_are_the_profiles() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/profile/baked/tables");
    for (file, source) in sources() {
        let path = dir.join(&file);
        if std::env::var_os("AGENTBOX_BLESS").is_some() {
            std::fs::write(path, &source).unwrap();
            continue;
        }
        let is = std::fs::read_to_string(&path).unwrap_or_default();
        let differ = is
            .lines()
            .zip(source.lines())
            .find(|(is, shall)| is != shall);
        assert!(
            is == source,
            "profiles/ was changed: AGENTBOX_BLESS=1 cargo test --lib profile::baked\nfirst difference in {file}: {differ:?}"
        );
    }
}

#[test]
fn what_is_baked_is_what_is_parsed() {
    for builtin in &builtin::ALL {
        let (baked, toml) = (parsed(builtin.name).unwrap(), from_toml(builtin));
        assert_eq!(baked.fragment, toml.fragment, "{}", builtin.name);
        assert_eq!(baked.extends, toml.extends, "{}", builtin.name);
    }
    assert!(parsed("no such profile").is_none());
}
