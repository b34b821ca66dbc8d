//! `agentbox init` and the profile `ci`: a job's step the way a runner runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, missing, token};
use common::{PATIENCE, TestBox, run, until};
use std::fs;
use std::process::Command;

const PLACES: [(&str, &str); 5] = [
    ("github-actions", ".github/workflows/agentbox.yml"),
    ("gitlab-ci", ".gitlab/agentbox.yml"),
    ("jenkins", "Jenkinsfile.agentbox"),
    ("buildkite", ".buildkite/agentbox.yml"),
    ("woodpecker", ".woodpecker/agentbox.yml"),
];

#[test]
fn each_runner_gets_its_file_once() {
    let b = TestBox::new();
    for (place, path) in PLACES {
        let ran = run(b.agentbox(["init", place]));
        assert!(ran.ok().contains(path), "{ran:?}");
        let file = b.ws().join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("--profile ci"), "{place}");
        assert_eq!(
            run(b.agentbox(["init", place, "--print"])).ok(),
            text.trim_end()
        );
        // What is there is not touched.
        fs::write(&file, "mine").unwrap();
        let ran = run(b.agentbox(["init", place]));
        assert_eq!(ran.code(), 1, "{ran:?}");
        assert!(ran.complaint().contains("was not changed"), "{ran:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
    assert_eq!(run(b.agentbox(["init", "travis"])).code(), 2);
}

#[test]
fn a_devcontainer_keeps_its_comments() {
    let before = "// ours\n{\n  \"image\": \"debian:12\", // small\n  \"features\": {\n    \"ghcr.io/x/y:1\": {}\n  }\n}\n";
    let b = TestBox::new().file("{ws}/.devcontainer/devcontainer.json", before);
    let config = b.ws().join(".devcontainer/devcontainer.json");
    run(b.agentbox(["init", "devcontainer"])).ok();
    let after = fs::read_to_string(&config).unwrap();
    let added = before.replace(
        "\"features\": {\n",
        "\"features\": {\n    \"./agentbox\": {},\n",
    );
    assert_eq!(after, added);
    run(b.agentbox(["init", "devcontainer"])).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), after);
    // A broken one stays, and the place is said.
    fs::write(&config, "{\n\"a\"").unwrap();
    let ran = run(b.agentbox(["init", "devcontainer"]));
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(
        ran.complaint().contains("devcontainer.json: line 2"),
        "{ran:?}"
    );
}

/// install.sh of the Feature, as the build of an image runs it.
#[test]
fn the_feature_installs() {
    let b = TestBox::new();
    run(b.agentbox(["init", "devcontainer"])).ok();
    let dir = b.ws().join(".devcontainer/agentbox");
    let install = |extra: &[(&str, &str)]| {
        let mut command = Command::new("/bin/sh");
        command
            .arg(dir.join("install.sh"))
            .envs(extra.iter().copied());
        command.env("PREFIX", b.root().join("prefix"));
        run(command)
    };
    let ran = install(&[]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(
        ran.complaint().contains("put the program beside"),
        "{ran:?}"
    );
    fs::copy(common::world::agentbox(), dir.join("agentbox")).unwrap();
    let ran = install(&[("AGENTS", "bogus")]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let ran = install(&[("PROFILE", "x; evil")]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    install(&[]).ok();
    let mut installed = Command::new(b.root().join("prefix/bin/agentbox"));
    installed.arg("--version");
    let ran = run(installed);
    assert!(ran.ok().starts_with("agentbox "), "{ran:?}");
    let shell = fs::read_to_string(b.root().join("prefix/bin/agentbox-shell")).unwrap();
    assert!(shell.contains("--profile devcontainer"), "{shell}");
    // A release is only taken with its checksum.
    let server = b.root().join("releases/1");
    fs::create_dir_all(&server).unwrap();
    let file = format!("agentbox-{}-linux", std::env::consts::ARCH);
    fs::write(server.join(&file), "not it").unwrap();
    fs::write(
        server.join("SHA256SUMS"),
        format!("{}  {file}\n", "0".repeat(64)),
    )
    .unwrap();
    if missing(Feature::Tool("curl")) {
        return;
    }
    let url = format!("file://{}", b.root().join("releases").display());
    let ran = install(&[("VERSION", "1"), ("URL", &url)]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.complaint().contains("checksum"), "{ran:?}");
}

/// What GitHub's runner does: a script in a directory of its own, variables with tokens and files for later steps, and the
/// `shell:` of the template.
fn github() -> TestBox {
    let b = TestBox::new()
        .file("_temp/env", "")
        .file("_temp/output", "")
        .file("_temp/.credentials", "runner-secret")
        .file("_temp/step.sh", "true");
    let at = |name: &str| b.fill(&format!("{{t}}/_temp/{name}"));
    let (env, output) = (at("env"), at("output"));
    b.env("GITHUB_ACTIONS", "true")
        .env("CI", "true")
        .env("GITHUB_TOKEN", "ghs_000000000000000000000000000000000000")
        .env("ACTIONS_RUNTIME_TOKEN", "eyJhbGciOi.x.y")
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "eyJhbGciOi.x.y")
        .env("ACTIONS_CACHE_URL", "https://cache.example/")
        .env("CI_JOB_TOKEN", "glcbt-000")
        .env("JENKINS_URL", "https://jenkins.example/")
        .env("BUILDKITE_AGENT_ACCESS_TOKEN", "x")
        .env("GITHUB_SHA", "0123456789012345678901234567890123456789")
        .env("GITHUB_ENV", env)
        .env("GITHUB_OUTPUT", output)
}

/// The step's script, run by `shell: agentbox run --quiet --profile ci --read {0} -- bash -e {0}`.
fn step(b: &TestBox, script: &str, options: &[&str]) -> common::Ran {
    let path = b.root().join("_temp/step.sh");
    fs::write(&path, script).unwrap();
    b.chown(&path);
    let path = path.to_str().unwrap();
    let mut words = vec![
        "run",
        "--quiet",
        "--profile",
        "ci",
        "--net",
        "none",
        "--read",
        path,
    ];
    words.extend(options);
    words.extend(["--", "bash", "-e", path]);
    run(b.agentbox(words))
}

#[test]
fn a_step_of_github_has_no_token_and_no_file_of_the_runner() {
    let b = github();
    let ran = step(&b, "env; echo made >made; exit 3\n", &[]);
    assert_eq!(ran.code(), 3, "{ran:?}");
    let text = ran.text();
    for name in [
        "GITHUB_TOKEN",
        "ACTIONS_",
        "CI_JOB_TOKEN",
        "JENKINS_",
        "BUILDKITE_AGENT",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "ghs_",
        "eyJ",
    ] {
        assert!(!text.contains(name), "{name}: {ran:?}");
    }
    for name in ["CI=true", "GITHUB_ACTIONS=true", "GITHUB_SHA=0123"] {
        assert!(text.contains(name), "{name}: {ran:?}");
    }
    assert_eq!(fs::read_to_string(b.ws().join("made")).unwrap(), "made\n");
    let temp = b.root().join("_temp");
    let script = format!(
        "cat {0}/.credentials || echo closed; echo x >>{0}/output || echo shut\n",
        temp.display()
    );
    let ran = step(&b, &script, &[]);
    assert!(ran.text().starts_with("closed"), "{ran:?}");
    // Where the box has a directory of that name, it is its own.
    assert_eq!(fs::read_to_string(temp.join("output")).unwrap(), "");
    // Granted, it is there.
    let output = temp.join("output");
    let grant = [
        "--env",
        "GITHUB_OUTPUT",
        "--write",
        output.to_str().unwrap(),
    ];
    step(&b, "echo name=value >>\"$GITHUB_OUTPUT\"\n", &grant).ok();
    assert_eq!(fs::read_to_string(&output).unwrap(), "name=value\n");
}

/// GitLab's runner leaves its token in the remote's URL, or the job puts it there: neither is in the box, which cannot put it
/// back either, unless it is granted. What is asked for outside stays as it was.
#[test]
fn a_job_of_gitlab_has_no_token_in_the_remote() {
    if missing(Feature::Tool("git")) {
        return;
    }
    const TOKEN: &str = "glcbt-64_c0ffee00c0ffee00c0ff";
    let b = TestBox::new()
        .env("GITLAB_CI", "true")
        .env("CI_JOB_TOKEN", TOKEN)
        .env("CI_PROJECT_URL", "https://gitlab.example/group/project");
    let config = b.ws().join(".git/config");
    let job = |before: &str, options: &[&str], script: &str| {
        let words = ["run", "--profile", "ci", "--net", "none"];
        let inner = b.agentbox([&words, options, &["--", "bash", "-ec", script]].concat());
        let ran = run(b.through(&format!("set -e; {before}; exec \"$@\""), &inner));
        (ran, fs::read_to_string(&config).unwrap_or_default())
    };
    let begin =
        "git init -q .; git config user.name a; git config user.email a@b; git remote add origin x";
    let runners = "git remote set-url origin https://gitlab-ci-token:$CI_JOB_TOKEN@gitlab.example/group/project.git";
    // The way of the file that `agentbox init gitlab-ci` writes.
    let ours = include_str!("../scripts/ci/gitlab-ci.yml");
    let ours = ours
        .lines()
        .find_map(|line| line.trim().strip_prefix("- git remote"));
    let ours = format!("git remote{}", ours.unwrap());
    let look =
        "git remote get-url origin; cat .git/config; env; echo x >f; git add f; git commit -qm f";

    let (ran, left) = job(&format!("{begin}; {runners}"), &[], look);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!ran.text().contains("c0ffee"), "{ran:?}");
    assert!(
        ran.text()
            .contains("https://gitlab.example/group/project.git"),
        "{ran:?}"
    );
    assert!(ran.complaint().contains("holds credentials"), "{ran:?}");
    assert!(left.contains(TOKEN), "the runner's own: {left}");
    // Within, a file that is shown without its token is nobody's to change, and it is said before.
    let inside = "git remote set-url origin https://u:v@other.example/x";
    let (ran, after) = job("true", &[], inside);
    assert_eq!(ran.code(), 128, "{ran:?}");
    assert_eq!(after, left);
    // Without a token outside it can be changed; with one that is granted, to it.
    let (ran, after) = job(
        &ours,
        &["--env", "CI_JOB_TOKEN"],
        &format!("{runners}; git remote get-url origin"),
    );
    assert!(ran.text().contains(TOKEN), "{ran:?}");
    assert!(ran.complaint().contains("lead elsewhere"), "{ran:?}");
    assert!(after.contains(TOKEN), "{after}");
    // And what a job left there is hidden from the next one's box.
    let (ran, _) = job("true", &[], look.split(';').next().unwrap());
    assert_eq!(ran.ok(), "https://gitlab.example/group/project.git");
}

/// Cancelled as the runner does it: SIGINT, then SIGTERM, then SIGKILL. Nothing is left after any of them.
#[test]
fn a_cancelled_step_leaves_nothing() {
    use nix::sys::signal::{Signal, kill};
    let cancelled = [Signal::SIGINT, Signal::SIGTERM];
    for signals in [&cancelled[..], &[Signal::SIGTERM], &[Signal::SIGKILL]] {
        let b = github();
        let token = token();
        let path = b.root().join("_temp/step.sh");
        fs::write(
            &path,
            format!(
                "(setsid sh -c 'trap \"\" INT; sleep 300; true' {token} &)\ntouch up\nsleep 300\n"
            ),
        )
        .unwrap();
        b.chown(&path);
        let path = path.to_str().unwrap();
        let mut command = b.agentbox([
            "run",
            "--quiet",
            "--profile",
            "ci",
            "--net",
            "none",
            "--read",
            path,
            "--",
            "bash",
            "-e",
            path,
        ]);
        let mut child = common::spawn(&mut command);
        until("the step runs", || b.ws().join("up").exists());
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        for signal in signals {
            // A shell takes SIGINT when its own child has ended, and the runner goes on to the next.
            let patience = if *signal == Signal::SIGINT {
                std::time::Duration::from_millis(500)
            } else {
                PATIENCE
            };
            kill(pid, *signal).unwrap();
            if common::wait(&mut child, patience).is_some() {
                break;
            }
        }
        assert!(child.try_wait().unwrap().is_some(), "{signals:?}");
        until("nothing is left", || {
            common::live::with_token(&token).is_empty()
        });
    }
}

/// What action.yml runs: the output of the script cannot command the runner, and the status is the script's.
#[test]
fn the_composite_action_closes_workflow_commands() {
    let b = github().file("_temp/summary", "");
    let program = common::world::agentbox().parent().unwrap().to_owned();
    let action = |script: &str, options: &str| {
        let mut command = Command::new("bash");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/ci/step.sh"));
        b.around(&mut command, &b.agentbox(["x"]));
        let path = format!("{}:/usr/bin:/bin", program.display());
        command
            .env("PATH", path)
            .env("AGENTBOX_SCRIPT", script)
            .env("AGENTBOX_OPTIONS", options);
        command.env("GITHUB_STEP_SUMMARY", b.root().join("_temp/summary"));
        run(command)
    };
    let ran = action("echo '::set-output name=a::b'; env; exit 5", "--net none");
    assert_eq!(ran.code(), 5, "{ran:?}");
    let text = ran.text();
    let stop = text
        .lines()
        .find(|line| line.starts_with("::stop-commands::"))
        .unwrap();
    let token = stop.trim_start_matches("::stop-commands::");
    assert_eq!(token.len(), 32);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {ran:?}"));
    assert!(at(stop) < at("::set-output") && at("::set-output") < at(&format!("::{token}::")));
    assert_eq!(
        text.matches(token).count(),
        2,
        "the box never sees it: {ran:?}"
    );
    let summary = fs::read_to_string(b.root().join("_temp/summary")).unwrap();
    assert!(summary.contains("exit status 5"), "{summary}");
    let ran = action("true", "--net none --require bogus");
    assert_eq!(ran.code(), 125, "{ran:?}");
    let ran = action(
        "true",
        "--net none --read /no-such-place-at-all --hide /x:y --write /",
    );
    assert_eq!(ran.code(), 125, "{ran:?}");
    // A refusal is one annotation: one before there was a session was none, and one of a session came once more, with the rest of
    // a line of JSON behind it.
    let errors = |ran: &common::Ran| {
        let text = ran.text();
        let errors = text.lines().filter(|line| line.starts_with("::error "));
        errors.map(str::to_owned).collect::<Vec<_>>()
    };
    let of_path = errors(&action("true", "--net none --read /no-such-place-at-all"));
    assert_eq!(
        of_path,
        [
            "::error title=agentbox::/no-such-place-at-all does not exist (--read); name a path that exists"
        ]
    );
    assert!(errors(&action("exit 125", "--net none")).is_empty());
    b.on_host("touch .agentbox-stop");
    let stopped = errors(&action("true", "--net none"));
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    assert!(
        stopped[0].contains("not started: the stop file"),
        "{stopped:?}"
    );
    assert!(!stopped[0].contains("exit_status"), "{stopped:?}");
}

/// A link that the agent had left in the working copy led what `init` writes to any place of the user's.
#[test]
fn init_writes_through_no_link_of_the_working_copy() {
    for (place, link, to) in [
        ("github-actions", ".github", "outside"),
        ("github-actions", ".github/workflows", "outside"),
        ("gitlab-ci", ".gitlab", "outside"),
        ("gitlab-ci", ".gitlab/agentbox.yml", "outside/new"),
        ("devcontainer", ".devcontainer", "outside"),
        ("devcontainer", ".devcontainer/agentbox", "outside"),
        (
            "devcontainer",
            ".devcontainer/devcontainer.json",
            "outside/new",
        ),
        (
            "devcontainer",
            ".devcontainer/devcontainer.json",
            "outside/there.json",
        ),
    ] {
        let b = TestBox::new().file("{home}/outside/there.json", "{}\n");
        let at = b.ws().join(link);
        let home = b.home().display().to_string();
        b.on_host(&format!(
            "mkdir -p $(dirname {link}) && ln -s {home}/{to} {link}"
        ))
        .ok();
        let ran = run(b.agentbox(["init", place]));
        assert_eq!(ran.code(), 1, "{place} {link}: {ran:?}");
        assert!(
            ran.complaint().contains("is a link"),
            "{place} {link}: {ran:?}"
        );
        let outside: Vec<_> = fs::read_dir(b.home().join("outside"))
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(outside.len(), 1, "{place} {link}: {outside:?}");
        assert_eq!(
            fs::read_to_string(b.home().join("outside/there.json")).unwrap(),
            "{}\n"
        );
        // The twin: without the link it is written.
        fs::remove_file(&at).unwrap();
        if place == "devcontainer" {
            let _ = fs::remove_dir_all(b.ws().join(".devcontainer"));
        }
        run(b.agentbox(["init", place])).ok();
    }
}
