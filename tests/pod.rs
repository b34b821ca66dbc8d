//! Kubernetes and other engines: the manifests are what the restricted Pod Security Standard wants, and a box holds in what
//! such a pod is (made by `probe enter pod`, without a cluster).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::switches::Redis;
use common::world::{Feature, as_root, missing};
use common::{Live, Ran, TestBox, run, run_with, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn scripts(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

/// The documents of a YAML file, by a parser that is not ours.
fn yaml(text: &str) -> Value {
    let mut python = Command::new("/usr/bin/python3");
    let script = "import sys, json, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    python.args(["-c", script]);
    run_with(python, Some(text.as_bytes().to_vec())).json()
}

fn no_yaml() -> bool {
    let mut python = Command::new("/usr/bin/python3");
    python
        .args(["-c", "import yaml"])
        .stdin(std::process::Stdio::null());
    !Path::new("/usr/bin/python3").exists() && missing(Feature::Tool("python3"))
        || run(python).code() != 0 && missing(Feature::Tool("python3-yaml"))
}

/// What a pod does that the restricted standard forbids; the list of its documentation, control by control.
fn breaches(spec: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut no = |what: &str, is_so: bool| {
        if is_so {
            out.push(what.to_owned());
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        no(field, spec[field] == true);
    }
    let pod = &spec["securityContext"];
    no("sysctls", pod["sysctls"].is_array());
    let kinds = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let object = volume.as_object().unwrap();
        no(
            "volume type",
            !object
                .keys()
                .all(|key| key == "name" || kinds.contains(&key.as_str())),
        );
    }
    let all = ["containers", "initContainers", "ephemeralContainers"];
    for container in all
        .iter()
        .flat_map(|kind| spec[*kind].as_array().into_iter().flatten())
    {
        let own = &container["securityContext"];
        let either = |field: &str| {
            if own[field].is_null() {
                &pod[field]
            } else {
                &own[field]
            }
        };
        no("privileged", own["privileged"] == true);
        no(
            "allowPrivilegeEscalation",
            own["allowPrivilegeEscalation"] != false,
        );
        no("runAsNonRoot", either("runAsNonRoot") != &Value::Bool(true));
        no("runAsUser", either("runAsUser") == &Value::from(0));
        let seccomp = either("seccompProfile")["type"]
            .as_str()
            .unwrap_or_default();
        no(
            "seccompProfile",
            !["RuntimeDefault", "Localhost"].contains(&seccomp),
        );
        let list = |what: &str| {
            own["capabilities"][what]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        no(
            "capabilities.drop",
            !list("drop").contains(&Value::from("ALL")),
        );
        no(
            "capabilities.add",
            list("add").iter().any(|cap| cap != "NET_BIND_SERVICE"),
        );
        no(
            "procMount",
            !own["procMount"].is_null() && own["procMount"] != "Default",
        );
        for port in container["ports"].as_array().into_iter().flatten() {
            no(
                "hostPort",
                !port["hostPort"].is_null() && port["hostPort"] != 0,
            );
        }
        // Beyond the standard.
        no(
            "readOnlyRootFilesystem",
            own["readOnlyRootFilesystem"] != true,
        );
    }
    no("token", spec["automountServiceAccountToken"] != false);
    out
}

#[test]
fn the_manifests_are_restricted() {
    if no_yaml() {
        return;
    }
    for file in ["k8s/pod.yaml", "k8s/job.yaml"] {
        let text = std::fs::read_to_string(scripts(file)).unwrap();
        let spec = |text: &str| {
            let all = yaml(text);
            let first = &all[0];
            match first["kind"].as_str() {
                Some("Pod") => first["spec"].clone(),
                _ => first["spec"]["template"]["spec"].clone(),
            }
        };
        assert_eq!(breaches(&spec(&text)), Vec::<String>::new(), "{file}");
        // The list can say no: each line of the manifest that it is about, undone.
        for (from, to, breach) in [
            ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
            ("type: RuntimeDefault", "type: Unconfined", "seccompProfile"),
            (
                "allowPrivilegeEscalation: false",
                "allowPrivilegeEscalation: true",
                "allowPrivilegeEscalation",
            ),
            ("drop: [\"ALL\"]", "drop: [\"KILL\"]", "capabilities.drop"),
            (
                "readOnlyRootFilesystem: true",
                "privileged: true",
                "privileged",
            ),
            (
                "enableServiceLinks: false",
                "hostNetwork: true",
                "hostNetwork",
            ),
            (
                "{name: tmp, emptyDir: {}}",
                "{name: tmp, hostPath: {path: /}}",
                "volume type",
            ),
            (
                "automountServiceAccountToken: false",
                "enableServiceLinks: true",
                "token",
            ),
        ] {
            assert!(text.contains(from), "{file}: {from}");
            let found = breaches(&spec(&text.replacen(from, to, 1)));
            assert!(
                found.iter().any(|b| b == breach),
                "{file}: {from}: {found:?}"
            );
        }
        // What it calls is a command line of this version, and the profile accepts the rung.
        let container = &spec(&text)["containers"][0];
        let words: Vec<String> = ["command", "args"]
            .iter()
            .flat_map(|what| container[*what].as_array().unwrap().iter())
            .map(|word| word.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words[0], "/usr/local/bin/agentbox");
        agentbox::cli::args::parse(words.into_iter().map(Into::into)).unwrap();
    }
    let text = std::fs::read_to_string(scripts("k8s/config.yaml")).unwrap();
    let config = yaml(&text)[0]["data"]["config.toml"]
        .as_str()
        .unwrap()
        .to_owned();
    let b = TestBox::new().file("config.toml", config);
    let file = b.root().join("config.toml").display().to_string();
    let ran = run(b.agentbox(["profiles", "validate", &file]));
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// The unit is one of systemd's, where that is installed.
#[test]
fn the_unit_is_valid() {
    if missing(Feature::Tool("systemd-analyze")) {
        return;
    }
    let b = TestBox::new();
    let text = std::fs::read_to_string(scripts("systemd/agentbox@.service")).unwrap();
    // What it starts need not be installed here.
    let program = common::world::agentbox().display().to_string();
    let verify = |text: &str| {
        let unit = b.root().join("agentbox@x.service");
        std::fs::write(&unit, text.replace("/usr/bin/agentbox", &program)).unwrap();
        let mut command = Command::new("systemd-analyze");
        command
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(unit);
        run(command)
    };
    let ran = verify(&text);
    assert_eq!((ran.code(), ran.complaint()), (0, String::new()), "{ran:?}");
    let broken = text.replace("KillMode=mixed", "KilMode=mixed");
    assert!(verify(&broken).complaint().contains("KilMode"), "the twin");
}

/// The world of such a pod: HOME, workspace and TMPDIR are on a volume, everything else is read-only.
fn volumes(env: &[(&str, &str)]) -> TestBox {
    let mut b = TestBox::new()
        .dir("tmp")
        .dir("state")
        .file("other/file", "not mine");
    for (name, path) in [("TMPDIR", "tmp"), ("XDG_STATE_HOME", "state")] {
        let at = b.root().join(path);
        b = b.env(name, at);
    }
    for (name, value) in env {
        b = b.env(name, value);
    }
    b
}

/// A box in it.
fn in_pod(b: &TestBox, options: &[&str], script: &str) -> Command {
    if as_root() {
        // A pod's user is not root: the world is its.
        let mut chown = Command::new("chown");
        chown.args(["-R", "1000:1000"]).arg(b.root());
        assert_eq!(run(chown).code(), 0);
    }
    let ws = b.ws().display().to_string();
    let mut words = vec!["run", "-p", "ci", "--net", "none", "-C", &ws, "--read"];
    let bin = b.root().join("bin").display().to_string();
    words.push(&bin);
    words.extend(options);
    let script = b.fill(script);
    words.extend(["--", "/bin/sh", "-c", &script]);
    let inner = b.agentbox(&words);
    b.through("exec {probe} enter pod {t} -- \"$@\"", &inner)
}

fn pod(options: &[&str], script: &str, env: &[(&str, &str)]) -> (TestBox, Ran) {
    let b = volumes(env);
    let ran = run(in_pod(&b, options, script));
    (b, ran)
}

/// The token, other secrets and the entrypoint's environment are unreachable; what the job is for works; the record is on the volume.
#[test]
fn a_pod_runs_its_box_and_keeps_its_token() {
    if missing(Feature::Userns) || missing(Feature::Landlock(6)) {
        return;
    }
    // Read by the place itself, so that each denial has something to deny.
    let outside = {
        let b = TestBox::new();
        let shell = "cat /var/run/secrets/kubernetes.io/serviceaccount/token /run/secrets/database; id -u; \
             grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; touch /usr/new || echo read-only; \
             unshare -U true || echo no namespace";
        let script = format!("exec {{probe}} enter pod {{t}} -- /bin/sh -c \"{shell}\"");
        run(b.through(&script, &b.agentbox(["ps"])))
    };
    let text = outside.text();
    for word in [
        "TOKEN-OF-THE-POD",
        "TOKEN-OF-A-DATABASE",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "read-only",
        "no namespace",
    ] {
        assert!(text.contains(word), "{word}: {outside:?}");
    }

    let script = "exec {probe} batch 'read {ws}/../ws' 'create {ws}/new 420' 'read /proc/self/environ' 'read /etc/hosts' \
         'read /var/run/secrets/kubernetes.io/serviceaccount/token' 'read /run/secrets/kubernetes.io/serviceaccount/token' \
         'listdir /run/secrets' 'read /run/secrets/database' 'read /proc/1/environ' 'mem-read 1' 'readlink /proc/1/root' \
         'readlink /proc/1/cwd' 'kill 1 9' 'ptrace-attach 1' 'read {t}/other/file' 'create {t}/state/new 420' \
         'listdir {t}/state' 'socket inet stream' 'connect-unix /run/secrets/x'";
    let env = [("DATABASE_PASSWORD", "hunter2"), ("GITHUB_SHA", "abc")];
    let (b, ran) = pod(&[], script, &env);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let answers: Vec<Value> = ran
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let names: Vec<&str> = answers
        .iter()
        .map(|a| a["name"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(names.len(), 19, "{ran:?}");
    // A directory cannot be read as a file, and that is all.
    assert_eq!(names[..4], ["EISDIR", "ok", "ok", "ok"], "{ran:?}");
    for (number, name) in names.iter().enumerate().skip(4) {
        assert!(
            ["EACCES", "EPERM"].contains(name),
            "{number}: {name}: {ran:?}"
        );
    }
    assert!(
        !ran.text().contains("hunter2") && !ran.text().contains("TOKEN-OF"),
        "{ran:?}"
    );
    assert!(ran.complaint().contains("rung landlock"), "{ran:?}");
    assert!(b.ws().join("new").exists());
    // The record is where the volume for it is.
    let sessions = b.root().join("state/agentbox/sessions");
    let records = std::fs::read_dir(&sessions).unwrap().flatten();
    let records = records.filter(|entry| entry.path().join("session.json").exists());
    assert_eq!(records.count(), 1, "{ran:?}");

    // The status is the command's, and nothing higher is promised than can be had.
    assert_eq!(pod(&[], "exit 7", &[]).1.code(), 7);
    let (_, ran) = pod(&["--rung", "full"], "echo RAN", &[]);
    ran.refused(&["--rung landlock"]);
}

/// The fleet's switch ends a pod's box, and the head of its record is where the pod no longer is.
#[test]
fn a_pod_obeys_the_fleets_switch_and_publishes_its_end() {
    if missing(Feature::Userns)
        || missing(Feature::Landlock(6))
        || missing(Feature::Tool("redis-check-rdb"))
    {
        return;
    }
    let server = Redis::start(&[], None);
    let text = format!(
        "[kill-switch]\nteam = \"pods\"\n[[kill-switch.remote]]\nname = \"ops\"\nurl = \"redis://127.0.0.1:{}\"\nkeys = [\"stop:team:${{team}}\"]\npublish = \"session:${{team}}:${{session}}\"\non-unreachable = \"stop\"\ninterval = \"30s\"\n",
        server.port
    );
    let b = volumes(&[]).file("{home}/.config/agentbox/config.toml", text);
    let head = || {
        let keys = server.tell(&["KEYS", "session:pods:*"]);
        let key = keys.lines().find(|line| line.starts_with("session:"));
        key.map(|key| server.tell(&["GET", key]))
            .unwrap_or_default()
    };
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let mut live = Live::start(in_pod(&b, &[], script));
    live.wait_line("up");
    until("it is published", || head().contains("\"running\""));
    // The twin: another team's.
    server.tell(&["SET", "stop:team:other", "x"]);
    server.tell(&["PUBLISH", "stop:team:other", "x"]);
    until("it runs on", || head().contains("\"running\""));
    server.tell(&["SET", "stop:team:pods", "the bill"]);
    server.tell(&["PUBLISH", "stop:team:pods", "x"]);
    let ran = live.end();
    assert_eq!(common::shell_status(ran.status), 137, "{ran:?}");
    assert!(
        ran.complaint().contains("the remote switch ops")
            && ran.complaint().contains("\"the bill\""),
        "{ran:?}"
    );
    let head = head();
    assert!(head.contains("\"ended\"") && head.contains("137"), "{head}");
    // And none starts until it is lifted.
    let ran = run(in_pod(&b, &[], "echo RAN"));
    ran.refused(&["not started: the remote switch ops"]);
    server.tell(&["DEL", "stop:team:pods"]);
    let ran = run(in_pod(&b, &[], "echo RAN"));
    assert_eq!(ran.ok().trim(), "RAN");
}

/// A program that scripts/test --all installs from PyPI.
fn checker(name: &str) -> Command {
    let checkers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/checkers/bin");
    let program = checkers.join(name);
    assert!(
        program.exists(),
        "{program:?}: scripts/test --all installs it"
    );
    let mut command = Command::new(program);
    command.stdin(std::process::Stdio::null());
    command
}

/// The schemas of Kubernetes, in which a key that is not known is an error.
#[test]
#[ignore = "needs kubernetes-validate of PyPI: scripts/test --all"]
fn the_manifests_follow_the_schemas() {
    let b = TestBox::new();
    let validate = |text: &str| {
        let file = b.root().join("manifest.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = checker("kubernetes-validate");
        command.arg("--strict").arg(file);
        run(command)
    };
    for (file, key) in [
        ("k8s/pod.yaml", "restartPolicy"),
        ("k8s/job.yaml", "restartPolicy"),
        ("k8s/config.yaml", "metadata"),
    ] {
        let text = std::fs::read_to_string(scripts(file)).unwrap();
        assert_eq!(validate(&text).code(), 0, "{file}");
        let broken = text.replacen(key, "noSuchKey", 1);
        assert_ne!(broken, text, "{file}");
        assert_ne!(validate(&broken).code(), 0, "{file}: the twin");
    }
}

/// The job is HCL, its box gives nothing that the docker driver could, and what it calls is a command line of this version.
#[test]
#[ignore = "needs python-hcl2 of PyPI: scripts/test --all"]
fn the_job_of_nomad_is_valid() {
    let text = std::fs::read_to_string(scripts("nomad/agent.nomad.hcl")).unwrap();
    let b = TestBox::new();
    let parse = |text: &str| {
        let file = b.root().join("job.hcl");
        std::fs::write(&file, text).unwrap();
        let mut command = checker("python3");
        let script = "import sys, json, hcl2; print(json.dumps(hcl2.load(open(sys.argv[1]))))";
        command.args(["-c", script]).arg(file);
        run(command)
    };
    // Names and texts keep their quotes there.
    let job = parse(&text).ok().replace("\\\"", "");
    let job: Value = serde_json::from_str(&job).unwrap();
    let task = &job["job"][0]["agent"]["group"][0]["agent"]["task"][0]["agent"];
    let config = &task["config"][0];
    assert_eq!(task["user"], "1000:1000");
    assert_eq!(config["cap_drop"][0], "ALL");
    assert_eq!(config["readonly_rootfs"], true);
    assert!(config["privileged"].is_null() && config["cap_add"].is_null());
    let identity = &task["identity"][0];
    assert_eq!(
        (&identity["env"], &identity["file"]),
        (&false.into(), &false.into())
    );
    let words: Vec<&str> = std::iter::once(&config["command"])
        .chain(config["args"].as_array().unwrap())
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(words[0], "/usr/local/bin/agentbox");
    agentbox::cli::args::parse(words.into_iter().map(Into::into)).unwrap();
    let broken = text.replacen("task \"agent\" {", "task \"agent\"", 1);
    assert_ne!(parse(&broken).code(), 0, "the twin");
}

/// AppArmor's own parser takes the profile. One before version 4 knows no rule for user namespaces; it takes the rest.
#[test]
#[ignore = "needs apparmor of Debian: scripts/test --all"]
fn the_profile_of_apparmor_is_valid() {
    if missing(Feature::Tool("apparmor_parser")) {
        return;
    }
    let text = std::fs::read_to_string(scripts("apparmor/agentbox")).unwrap();
    for line in ["abi <abi/4.0>,\n", "  userns,\n"] {
        assert!(text.contains(line), "{line}");
    }
    let b = TestBox::new();
    let parse = |text: &str| {
        let file = b.root().join("profile");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("/usr/sbin/apparmor_parser");
        // Neither loaded nor cached.
        command
            .arg("-QTK")
            .arg(file)
            .stdin(std::process::Stdio::null());
        run(command)
    };
    let known = if Path::new("/etc/apparmor.d/abi/4.0").exists() {
        text
    } else {
        text.replace("abi/4.0", "abi/3.0")
            .replace("  userns,\n", "")
    };
    let ran = parse(&known);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_ne!(
        parse(&known.replace("flags=(unconfined)", "flags=(unconfind)")).code(),
        0
    );
}
