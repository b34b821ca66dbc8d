//! Steady state: the same work outside and inside, timed where it is done, so that the start does not count.

use crate::Setting;
use crate::measure::{Cost, measure, median, on_path, ratio, run, run_to};
use crate::table;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One kind of work.
struct Work {
    name: &'static str,
    /// The word by which `inner` knows it.
    word: &'static str,
    /// A program it needs.
    needs: &'static str,
    rounds: usize,
}

const WORKS: [Work; 6] = [
    Work {
        name: "git status, 50,000 files",
        word: "git-status",
        needs: "git",
        rounds: 15,
    },
    Work {
        name: "find, 50,000 files",
        word: "find",
        needs: "find",
        rounds: 15,
    },
    Work {
        name: "grep -r, 20,000 files",
        word: "grep",
        needs: "grep",
        rounds: 15,
    },
    Work {
        name: "untar, 20,000 files",
        word: "untar",
        needs: "tar",
        rounds: 9,
    },
    Work {
        name: "2,000 fork+exec",
        word: "fork-exec",
        needs: "true",
        rounds: 5,
    },
    Work {
        name: "cargo check, cold",
        word: "cargo-check",
        needs: "",
        rounds: 5,
    },
];

/// Prints the table of the steady state.
pub(crate) fn compare(setting: &Setting) {
    let workspace = setting.place.join("steady");
    let scale = if setting.quick { 20 } else { 1 };
    make_trees(&workspace, scale);
    // The box sees the workspace, so that is where this program has to be.
    let itself = workspace.join("bench");
    fs::copy(&setting.itself, &itself).expect("a copy of this program");

    let mut rows = Vec::new();
    for work in &WORKS {
        let mut arguments: Vec<OsString> = vec![
            "inner".into(),
            work.word.into(),
            (2000 / scale).to_string().into(),
        ];
        if work.word == "cargo-check" {
            let Some(toolchain) = &setting.toolchain else {
                rows.push(vec![
                    work.name.to_owned(),
                    "not run: no toolchain".to_owned(),
                ]);
                continue;
            };
            arguments.push(toolchain.join("bin").into());
        } else if on_path(work.needs).is_none() {
            rows.push(vec![
                work.name.to_owned(),
                format!("not run: no {}", work.needs),
            ]);
            continue;
        }
        let rounds = if setting.quick { 2 } else { work.rounds };
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let mut pair = [None, None];
            for turn in 0..2 {
                let who = (turn + round) % 2;
                let mut command = if who == 0 {
                    Command::new(&itself)
                } else {
                    boxed(setting, &itself)
                };
                pair[who] = Some(ask(command.args(&arguments).current_dir(&workspace)));
            }
            // The first round warms the caches.
            if let ([Some(out), Some(inn)], true) = (pair, round > 0) {
                outside.push(out);
                inside.push(inn);
            }
        }
        rows.push(vec![
            work.name.to_owned(),
            format!("{:.1}", median(outside.iter().map(|cost: &Cost| cost.wall))),
            format!("{:.1}", median(inside.iter().map(|cost: &Cost| cost.wall))),
            format!("{:.3}", ratio(&inside, &outside, |cost| cost.wall)),
            format!("{:.3}", ratio(&inside, &outside, |cost| cost.cpu)),
        ]);
    }
    table::print(
        if setting.quick {
            "steady state, medians, a twentieth of the size named"
        } else {
            "steady state, medians"
        },
        &["", "outside ms", "inside ms", "wall ratio", "cpu ratio"],
        &rows,
    );
}

fn boxed(setting: &Setting, itself: &Path) -> Command {
    let mut command = Command::new(&setting.agentbox);
    command.args(["run", "-q", "--net", "none"]);
    if let Some(toolchain) = &setting.toolchain {
        command.arg("--read").arg(toolchain);
    }
    command.arg("--").arg(itself);
    command
}

/// Runs `inner` somewhere and reads what it measured.
fn ask(command: &mut Command) -> Cost {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse::<f64>().expect("a number"));
    match (numbers.next(), numbers.next()) {
        (Some(wall), Some(cpu)) => Cost { wall, cpu },
        _ => panic!("{command:?} said {text:?}"),
    }
}

/// The part that runs outside or inside, in the workspace: does one kind of work and prints what it cost.
pub(crate) fn inner(arguments: &[OsString]) {
    let word = arguments
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default();
    let cost = match word {
        "git-status" => {
            run(Command::new("git").args(["--no-optional-locks", "status", "--porcelain"]))
        }
        "find" => run(Command::new("find").args(["many", "-type", "f"])),
        "grep" => run_to(
            Command::new("grep").args(["-r", "nowhere to be found", "some"]),
            &[0, 1],
        ),
        "untar" => {
            let out = scratch("untar");
            let cost = run(Command::new("tar")
                .args(["-xf", "some.tar", "-C"])
                .arg(&out));
            fs::remove_dir_all(out).expect("rm -r");
            cost
        }
        "fork-exec" => {
            let count: usize = arguments[1]
                .to_str()
                .expect("a number")
                .parse()
                .expect("a number");
            measure(|| {
                for _ in 0..count {
                    run(&mut Command::new("/bin/true"));
                }
            })
        }
        "cargo-check" => cargo_check(Path::new(&arguments[2])),
        other => panic!("no such work: {other}"),
    };
    table::line(&format!("{} {}", cost.wall, cost.cpu));
}

fn cargo_check(bin: &Path) -> Cost {
    let mut path = vec![bin.to_owned()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let target = scratch("cargo");
    let cost = run(Command::new(bin.join("cargo"))
        .args([
            "check",
            "--offline",
            "--quiet",
            "--manifest-path",
            "crate/Cargo.toml",
        ])
        .arg("--target-dir")
        .arg(target.join("target"))
        .env("PATH", std::env::join_paths(path).expect("a PATH"))
        .env("CARGO_HOME", target.join("home"))
        .stderr(Stdio::inherit()));
    fs::remove_dir_all(target).expect("rm -r");
    cost
}

/// A directory for what is written: /dev/shm, a tmpfs outside as in the box, because a disk under other load differs
/// more from one second to the next than the box can cost.
fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(format!(
        "/dev/shm/agentbox-bench-{name}-{}",
        std::process::id()
    ));
    fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Makes the workspace: a git repository with 50,000 files in `many`, 20,000 of 2 KiB in `some` and in `some.tar`, and
/// a small crate of several members.
fn make_trees(workspace: &Path, scale: usize) {
    fs::create_dir(workspace).expect("a workspace");
    for directory in 0..500 / scale {
        let path = workspace.join(format!("many/{}/{directory:03}", directory % 10));
        fs::create_dir_all(&path).expect("mkdir");
        for file in 0..100 {
            fs::write(
                path.join(format!("{file:02}.txt")),
                format!("{directory} {file}\n"),
            )
            .expect("write");
        }
    }
    let text = "A line of text that is like many other lines.\n".repeat(44);
    for directory in 0..200 / scale {
        let path = workspace.join(format!("some/{}/{directory:03}", directory % 10));
        fs::create_dir_all(&path).expect("mkdir");
        for file in 0..100 {
            fs::write(path.join(format!("{file:02}.txt")), &text).expect("write");
        }
    }
    make_crate(&workspace.join("crate"));
    fs::write(workspace.join(".gitignore"), "some\nsome.tar\nbench\n").expect("write");
    for (program, arguments) in [
        ("tar", &["-cf", "some.tar", "some"][..]),
        ("git", &["init", "-q"]),
        ("git", &["add", "-A"]),
        (
            "git",
            &[
                "-c",
                "user.name=b",
                "-c",
                "user.email=b@example.org",
                "-c",
                "gc.auto=0",
                "commit",
                "-q",
                "-m",
                "b",
            ],
        ),
    ] {
        let status = Command::new(program)
            .args(arguments)
            .current_dir(workspace)
            .status()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }
}

/// A workspace of eight members, each with eighty functions: enough to keep rustc and the file system busy, and
/// nothing to download.
fn make_crate(place: &Path) {
    const MEMBERS: usize = 8;
    let names: Vec<String> = (0..MEMBERS)
        .map(|number| format!("member-{number:02}"))
        .collect();
    fs::create_dir(place).expect("mkdir");
    fs::write(
        place.join("Cargo.toml"),
        format!("[workspace]\nresolver = \"3\"\nmembers = {names:?}\n"),
    )
    .expect("write");
    for (number, name) in names.iter().enumerate() {
        let source = place.join(name).join("src");
        fs::create_dir_all(&source).expect("mkdir");
        let mut manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n"
        );
        if number > 0 {
            manifest.push_str(&format!(
                "{0} = {{ path = \"../{0}\" }}\n",
                names[number / 2]
            ));
        }
        // A member cannot depend on itself: number / 2 is smaller than number for each but 0.
        fs::write(place.join(name).join("Cargo.toml"), manifest).expect("write");
        let mut library = String::new();
        for module in 0..4 {
            library.push_str(&format!("pub mod m{module};\n"));
            let code: String = (0..20)
                .map(|function| {
                    format!(
                        "#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]\npub struct S{function}(pub Vec<String>);\n\
                         pub fn f{function}(text: &str) -> S{function} {{ S{function}(text.split(' ').map(str::to_owned).collect()) }}\n"
                    )
                })
                .collect();
            fs::write(source.join(format!("m{module}.rs")), code).expect("write");
        }
        fs::write(source.join("lib.rs"), library).expect("write");
    }
}
