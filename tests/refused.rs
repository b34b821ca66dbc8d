//! Refused programs (`[commands] deny`): by every name, in every way of starting one, beside a program that is not refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Feature, TestBox, missing};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

const SECRET: &str = "THE-REAL-BYTES";

/// A world with a directory `tools` that the box reads, first on PATH: `terraform` is refused, `fine` is not; both are scripts
/// that print [`SECRET`].
fn tools() -> TestBox {
    let text = format!("#!/bin/sh\necho {SECRET} \"$@\"\n");
    let world = TestBox::new()
        .script("tools/terraform", &text)
        .script("tools/fine", &text)
        .option("--read={t}/tools");
    let path = world.fill("{t}/tools:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    world.env("PATH", path)
}

/// Every name of the built-in list.
fn names(world: &TestBox) -> Vec<String> {
    let explained =
        common::run(world.agentbox(["explain", "--net", "none", "--json", "--", "true"]));
    let plan: serde_json::Value = serde_json::from_str(&explained.ok()).unwrap();
    let rules = plan["refused"]["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_name_of_the_list_is_refused_with_126_and_one_line() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new();
    let names = names(&world);
    for needed in [
        "terraform",
        "tofu",
        "terragrunt",
        "pulumi",
        "cdk",
        "cdktf",
        "aws",
        "aws-vault",
        "saml2aws",
        "gcloud",
        "gsutil",
        "bq",
        "az",
        "doctl",
        "flyctl",
        "heroku",
        "vercel",
        "netlify",
        "wrangler",
        "kubectl",
        "helm",
        "oc",
        "k9s",
        "eksctl",
        "kops",
        "argocd",
        "flux",
        "ansible",
        "ansible-playbook",
        "vault",
        "nomad",
        "consul",
        "docker",
        "podman",
        "nerdctl",
        "ctr",
        "crictl",
        "systemctl",
        "sudo",
        "su",
        "pkexec",
        "doas",
        "at",
        "crontab",
    ] {
        assert!(names.iter().any(|name| name == needed), "{needed}");
    }
    let script = "for n in \"$@\"; do said=$(env \"$n\" destroy 2>&1); echo \"$?|$n|$said\"; done";
    let mut argv = vec![
        "/bin/sh".to_owned(),
        "-c".into(),
        script.into(),
        "sh".into(),
    ];
    argv.extend(names.iter().cloned());
    argv.push("true".into());
    let ran = world.run(&argv);
    let text = ran.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), names.len() + 1, "one line each: {ran:?}");
    for (name, line) in names.iter().zip(&lines) {
        let start = format!(
            "126|{name}|agentbox: `{name}` is refused in this box by [commands] deny \"{name}\" (profile base:"
        );
        assert!(line.starts_with(&start), "{line}");
        assert!(line.contains(&format!("--allow-command {name}")), "{line}");
    }
    assert_eq!(lines.last(), Some(&"0|true|"));
}

#[test]
fn whatever_is_on_this_host_is_refused_by_its_path_too() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new();
    let names = names(&world);
    let dirs = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let mut there: Vec<String> = Vec::new();
    for dir in dirs {
        let paths = names.iter().map(|name| format!("{dir}/{name}"));
        there.extend(paths.filter(|path| std::fs::metadata(path).is_ok_and(|m| m.is_file())));
    }
    // `su` is on every Linux that these tests run on.
    assert!(!there.is_empty());
    let script = "for n in \"$@\"; do \"$n\" --version >/dev/null 2>&1; echo \"$? $(head -c 32 \"$n\" | head -n 1)\"; done";
    let mut argv = vec![
        "/bin/sh".to_owned(),
        "-c".into(),
        script.into(),
        "sh".into(),
    ];
    argv.extend(there.iter().cloned());
    let text = world.run(&argv).ok();
    for (path, line) in there.iter().zip(text.lines()) {
        assert_eq!(line, "126 #!/run/agentbox/agentbox refused", "{path}");
    }
    // The twin: outside they are what they are.
    for path in &there {
        let bytes = std::fs::read(path).unwrap_or_default();
        assert!(!bytes.starts_with(b"#!/run/agentbox"), "{path}");
    }
}

#[test]
fn no_way_of_starting_it_runs_it_and_no_way_of_reading_it_shows_it() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    // (what, script with X for the program; whether the refusal must be said)
    let rows: &[(&str, &str, bool)] = &[
        ("by name", "X a", true),
        ("by path", "{t}/tools/X a", true),
        ("by a relative path", "cd {t}/tools && ./X a", true),
        ("by a path with dots", "{t}/tools/../tools/./X a", true),
        ("with an empty environment", "env -i {t}/tools/X a", true),
        (
            "under another argv[0]",
            "bash -c 'exec -a other {t}/tools/X a'",
            true,
        ),
        (
            "through a link in the workspace",
            "ln -s {t}/tools/X lx-X && ./lx-X a",
            true,
        ),
        (
            "through a link to its directory",
            "ln -s {t}/tools dx-X && dx-X/X a",
            true,
        ),
        (
            "a copy of it",
            "cp {t}/tools/X copy-X && chmod +x copy-X && ./copy-X a",
            true,
        ),
        (
            "as an interpreter",
            "printf '#!{t}/tools/X\\n' >script-X && chmod +x script-X && ./script-X a",
            true,
        ),
        (
            "as an interpreter of an interpreter",
            "printf '#!{t}/tools/X\\n' >s1-X && printf '#!%s/s1-X\\n' {ws} >s2-X && chmod +x s1-X s2-X && ./s2-X a",
            true,
        ),
        (
            "through env in a first line",
            "printf '#!/usr/bin/env X\\n' >e-X && chmod +x e-X && ./e-X a",
            true,
        ),
        ("from xargs", "echo a | xargs X", true),
        ("from find", "find {t}/tools -name X -exec '{}' a \\;", true),
        ("in the background", "X a & wait $!", true),
        (
            "after a change of PATH",
            "PATH={t}/tools:/usr/bin X a",
            true,
        ),
        ("by a descriptor", "exec 3<{t}/tools/X && /dev/fd/3 a", true),
        (
            "by the root of a process",
            "/proc/self/root{t}/tools/X a",
            true,
        ),
        (
            "by a working directory of a process",
            "cd {t}/tools && /proc/self/cwd/X a",
            true,
        ),
        // From here on its bytes are read as something else: there is nothing but the stub.
        ("read", "cat {t}/tools/X", false),
        ("read by a descriptor", "exec 3<{t}/tools/X; cat <&3", false),
        (
            "read through /proc",
            "exec 3<{t}/tools/X; cat /proc/self/fd/3",
            false,
        ),
        ("read by its directory", "cd {t}/tools; cat X", false),
        ("given to a shell", "sh {t}/tools/X a", false),
        ("sourced", ". {t}/tools/X", false),
        ("packed", "tar -C {t}/tools -cf - X | tar -xOf -", false),
        ("by a hard link", "ln {t}/tools/X hard-X; cat hard-X", false),
        ("moved away", "mv {t}/tools/X moved-X; cat moved-X", false),
    ];
    for (what, script, said) in rows {
        let with = |name: &str| world.fill(script).replace('X', name);
        let ran = world.run(["/bin/sh", "-c", &with("terraform")]);
        assert!(!ran.text().contains(SECRET), "{what}: {ran:?}");
        if *said {
            let refused = "agentbox: `terraform` is refused";
            let other = "is another name of a program";
            let complaint = ran.complaint();
            assert!(
                complaint.contains(refused) || complaint.contains(other),
                "{what}: {ran:?}"
            );
            let status = if what.starts_with("from") {
                ran.code() != 0 || *what == "from find"
            } else {
                ran.code() == 126
            };
            assert!(status, "{what}: {ran:?}");
        }
        let twin = world.run(["/bin/sh", "-c", &with("fine")]);
        let readable = *what != "by a hard link";
        assert_eq!(
            twin.text().contains(SECRET),
            readable,
            "the twin of {what}: {twin:?}"
        );
    }
    let real = std::fs::read_to_string(world.root().join("tools/terraform")).unwrap();
    assert!(real.contains(SECRET), "the host's is untouched");
}

#[test]
fn the_loader_has_nothing_to_load() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let world = TestBox::new().dir("tools").option("--read={t}/tools");
    for name in ["kubectl", "fine"] {
        std::fs::copy("/bin/echo", world.root().join("tools").join(name)).unwrap();
        world.chown(&world.root().join("tools").join(name));
    }
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let loader = loader
        .iter()
        .find(|path| std::fs::exists(path).unwrap())
        .unwrap();
    let by_loader = |name: &str| world.sh(&format!("{loader} {{t}}/tools/{name} RAN"));
    assert!(!by_loader("kubectl").text().contains("RAN"));
    assert_eq!(by_loader("fine").ok(), "RAN");
    let by_memfd = |name: &str| {
        world.sh(&format!(
            "python3 -c 'import os\nfd = os.memfd_create(\"m\")\nos.write(fd, open(\"{{t}}/tools/{name}\", \"rb\").read())\n\
             os.execve(fd, [\"m\", \"RAN\"], os.environ)'"
        ))
    };
    let refused = by_memfd("kubectl");
    assert!(!refused.text().contains("RAN"), "{refused:?}");
    assert_eq!(by_memfd("fine").ok(), "RAN");
    // execveat(2) with AT_EMPTY_PATH, the descriptor closed on exec or not.
    for inherit in ["False", "True"] {
        let by_fd = |name: &str| {
            world.sh(&format!(
                "python3 -c 'import os\nfd = os.open(\"{{t}}/tools/{name}\", os.O_RDONLY)\nos.set_inheritable(fd, {inherit})\n\
                 os.execve(fd, [\"m\", \"RAN\"], os.environ)'"
            ))
        };
        let refused = by_fd("kubectl");
        assert!(
            refused.code() != 0 && !refused.text().contains("RAN"),
            "{refused:?}"
        );
        assert_eq!(by_fd("fine").ok(), "RAN");
    }
}

#[test]
fn a_link_is_covered_by_its_name_and_what_it_leads_to_stays() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new()
        .script("tools/busybox", "#!/bin/sh\necho applet ${0##*/}\n")
        .option("--read={t}/tools");
    for name in ["sudo", "ls", "cat"] {
        symlink("busybox", world.root().join("tools").join(name)).unwrap();
    }
    for (name, want) in [
        ("busybox", true),
        ("ls", true),
        ("cat", true),
        ("sudo", false),
    ] {
        let ran = world.sh(&format!("{{t}}/tools/{name}"));
        if want {
            assert_eq!(ran.ok(), format!("applet {name}"));
        } else {
            assert_eq!(ran.code(), 126, "{ran:?}");
            assert!(ran.complaint().contains("`sudo` is refused"), "{ran:?}");
        }
    }
    let said = "refused by this name only";
    let explained =
        common::run(world.agentbox(["explain", "--read", &world.fill("{t}/tools"), "--", "true"]));
    assert!(explained.ok().contains(said), "{explained:?}");
}

#[test]
fn every_name_of_the_same_file_is_covered() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    let tools = world.root().join("tools");
    std::fs::hard_link(tools.join("terraform"), tools.join("tf")).unwrap();
    std::fs::hard_link(tools.join("fine"), tools.join("fn")).unwrap();
    symlink("terraform", tools.join("tl")).unwrap();
    for name in ["tf", "tl", "terraform"] {
        let ran = world.sh(name);
        assert_eq!(ran.code(), 126, "{name}: {ran:?}");
        assert!(
            !world
                .sh(&format!("cat {{t}}/tools/{name}"))
                .text()
                .contains(SECRET),
            "{name}"
        );
    }
    assert!(world.sh("fn").ok().contains(SECRET));
}

#[test]
fn a_program_is_allowed_by_name_and_the_banner_says_so() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    let refused = world.sh("terraform");
    assert_eq!(refused.code(), 126);
    let allowed = tools()
        .option("--allow-command=terraform")
        .sh("terraform x; kubectl");
    assert_eq!(allowed.text(), format!("{SECRET} x"));
    assert_eq!(allowed.code(), 126, "the others stay refused: {allowed:?}");
    let loud = "agentbox: the program terraform is not refused, by --allow-command";
    assert!(allowed.complaint().contains(loud), "{allowed:?}");
    let profile = "extends = [\"shell\"]\n[commands]\nallow = [\"terraform\"]\ndeny = [\"fine\"]\n";
    let world = tools().profile(profile);
    assert_eq!(world.sh("terraform").ok(), SECRET);
    assert_eq!(world.sh("fine").code(), 126);
}

#[test]
fn a_command_that_is_refused_is_no_start() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    world.run(["terraform", "apply"]).refused(&[
        "terraform is refused in the box",
        "profile base:",
        "--allow-command terraform",
    ]);
    assert_eq!(world.run(["fine", "apply"]).ok(), format!("{SECRET} apply"));
}

#[test]
fn in_the_workspace_the_stub_is_first_on_path_and_no_more() {
    if missing(Feature::Userns) {
        return;
    }
    let text = format!("#!/bin/sh\necho {SECRET}\n");
    let world = TestBox::new().script("{ws}/bin/terraform", &text);
    let path = world.fill("{ws}/bin:/usr/bin:/bin");
    let world = world.env("PATH", path);
    assert_eq!(world.sh("terraform").code(), 126);
    // A guard-rail: whoever names it has it. And whoever tidies up can.
    assert_eq!(world.sh("./bin/terraform").ok(), SECRET);
    world.sh("rm -r bin && ! test -e bin").ok();
}

#[test]
fn nothing_is_left_on_the_host_but_the_stubs_in_its_state() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    let list = |dir: &std::path::Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        entries
            .map(|e| e.file_name().into_string().unwrap())
            .collect()
    };
    let before = (
        list(&world.root().join("tools")),
        list(&world.ws()),
        list(&world.home()),
    );
    assert_eq!(world.sh("terraform").code(), 126);
    assert_eq!(world.sh("terraform").code(), 126);
    let mut after = (
        list(&world.root().join("tools")),
        list(&world.ws()),
        list(&world.home()),
    );
    for dir in [".local", ".config", ".cache"] {
        after.2.remove(dir);
    }
    assert_eq!(before, after);
    let stubs = list(&world.home().join(".local/state/agentbox/refused"));
    assert_eq!(stubs.len(), 1, "made once: {stubs:?}");
}

/// What stands before the program names of PATH is the box's own, and cannot be changed from inside.
#[test]
fn the_stubs_and_agentbox_itself_cannot_be_changed() {
    if missing(Feature::Userns) {
        return;
    }
    let world = TestBox::new();
    for at in [
        "/run/agentbox/bin/terraform",
        "/run/agentbox/bin/.refused",
        "/run/agentbox/agentbox",
        "/usr/bin/su",
    ] {
        let ran = world.sh(&format!(
            "echo x >>{at} || rm -f {at} || mv {at} {{ws}}/ || ln -f {{ws}} {at}"
        ));
        assert_ne!(ran.code(), 0, "{at}: {ran:?}");
    }
    assert_ne!(world.sh("echo x >/run/agentbox/bin/new").code(), 0);
    assert_eq!(world.sh("echo x >new && cat new").ok(), "x");
}

/// The events of one kind in the records of a world's sessions.
fn events(world: &TestBox, kind: &str) -> Vec<serde_json::Value> {
    let sessions = world.home().join(".local/state/agentbox/sessions");
    let mut out = Vec::new();
    for session in std::fs::read_dir(sessions).unwrap().flatten() {
        let text = std::fs::read_to_string(session.path().join("events.jsonl")).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        out.extend(lines.filter(|event| event["event"] == kind));
    }
    out
}

#[test]
fn what_was_refused_is_in_the_record_and_said_at_the_end() {
    if missing(Feature::Userns) {
        return;
    }
    let world = tools();
    let ran = world.sh(
        "terraform apply '-auto approve'; {t}/tools/terraform \"$(printf 'a\\nb')\"; fine; true",
    );
    assert_eq!(ran.ok(), SECRET);
    let said = "agentbox: refused programs were started 2 times; `agentbox logs` tells which";
    assert!(ran.complaint().contains(said), "{ran:?}");
    let reports: Vec<String> = events(&world, "program-refused")
        .iter()
        .map(|event| event["report"].as_str().unwrap().to_owned())
        .collect();
    let path = world.fill("{t}/tools/terraform");
    assert_eq!(
        reports,
        [
            "/run/agentbox/bin/terraform\0apply\0-auto approve\0".to_owned(),
            format!("{path}\0a\nb\0"),
        ]
    );
    let quiet = tools().option("-q").sh("terraform 2>/dev/null; true");
    assert_eq!(quiet.complaint(), "");
    // Nothing was refused, nothing is said.
    let world = tools();
    assert!(!world.sh("fine").complaint().contains("refused program"));
    assert!(events(&world, "program-refused").is_empty());
}

#[test]
fn a_flood_of_reports_costs_neither_the_record_nor_the_session() {
    if missing(Feature::Userns) || missing(Feature::Tool("python3")) {
        return;
    }
    let world = TestBox::new();
    // Longer than 4 KiB, no text, with descriptors, as many as go in two seconds; then one that is a plain one.
    let ran = world.sh("python3 -c 'import socket, time, os\n\
         s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.setblocking(False)\n\
         s.connect(\"/run/agentbox/report\")\n\
         end = time.time() + 2\n\
         sent = 0\n\
         while time.time() < end:\n\
         \x20   try:\n\
         \x20       socket.send_fds(s, [b\"\\xff\" * 9000], [0])\n\
         \x20       sent += 1\n\
         \x20   except BlockingIOError: pass\n\
         print(sent)'; echo done");
    let text = ran.ok();
    let sent: u64 = text.lines().next().unwrap().parse().unwrap();
    assert!(text.ends_with("done") && sent >= 32, "{text}");
    let reports = events(&world, "program-refused");
    // 32 in each second and what waited at the end.
    assert!(
        (32..=200).contains(&reports.len()),
        "{} of {sent}",
        reports.len()
    );
    let longest = reports
        .iter()
        .map(|r| r["report"]["bytes"].as_str().unwrap().len())
        .max();
    assert_eq!(longest, Some(2 * 4096), "4 KiB, as hexadecimal digits");
}
