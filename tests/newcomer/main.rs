//! A newcomer's first ten minutes: what README shows under "Start", typed as it stands there into the shell of an account that
//! has nothing but Rust and Claude Code, up to the first honest task in the box, against a scripted model.
//!
//! `scripts/newcomer` makes the account, runs this as its user, and removes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../agents/api.rs"]
mod api;
#[path = "../agents/http.rs"]
mod http;
#[path = "../agents/place.rs"]
mod place;
#[path = "../agents/screen.rs"]
mod screen;
#[path = "../agents/script.rs"]
mod script;
#[path = "../agents/server.rs"]
mod server;

use screen::{PATIENCE, Tmux};
use script::{Action, Step};
use server::{DONE, Server};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const README: &str = include_str!("../../README.md");
const KEY: &str = "scripted-model-key";
const WINDOW: &str = "newcomer:0";

/// Building takes minutes.
const BUILDING: Duration = Duration::from_secs(20 * 60);

/// All of it.
const PROMISED: Duration = Duration::from_secs(10 * 60);

/// The commands of README that are left to this test (tests/docs.rs runs the others), in their order.
fn first_commands() -> Vec<&'static str> {
    let parts = README.split("<!-- run: newcomer -->\n```sh\n").skip(1);
    parts
        .map(|part| part.split_once("\n```\n").expect("a fence").0)
        .collect()
}

/// An account as it is before, and the window of its user.
struct Newcomer {
    home: PathBuf,
    tmux: Tmux,
    begun: Instant,
    times: String,
    /// What agentbox said.
    messages: Vec<String>,
}

impl Newcomer {
    fn new(server: &Server) -> Newcomer {
        let home = std::env::var_os("HOME").map(PathBuf::from).expect("HOME");
        assert!(
            home.join("REPOSITORY").exists(),
            "run this test by scripts/newcomer"
        );
        let mut environment: Vec<(String, String)> =
            ["HOME", "USER", "LOGNAME", "SHELL", "LANG", "PATH"]
                .iter()
                .filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?)))
                .collect();
        for (name, value) in [
            ("TERM", "xterm-256color"),
            ("ANTHROPIC_API_KEY", KEY),
            (
                "ANTHROPIC_BASE_URL",
                &format!("http://127.0.0.1:{}", server.port()),
            ),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        let tmux = Tmux {
            socket: home.join(".tmux-socket"),
            environment,
            home: home.clone(),
        };
        let size = ["-x", "120", "-y", "50"];
        let mut args = vec!["new-session", "-d", "-s", "newcomer"];
        args.extend(size);
        args.push("exec bash --login");
        tmux.command(&args);
        tmux.command(&["set-option", "-g", "history-limit", "50000"]);
        let newcomer = Newcomer {
            home,
            tmux,
            begun: Instant::now(),
            times: String::new(),
            messages: Vec::new(),
        };
        newcomer.prompt(PATIENCE);
        Newcomer {
            begun: Instant::now(),
            ..newcomer
        }
    }

    fn type_in(&self, text: &str) {
        self.tmux.keys(WINDOW, &["-l", text]);
        self.tmux.keys(WINDOW, &["Enter"]);
    }

    /// The shell asks for the next command.
    fn prompt(&self, patience: Duration) {
        self.tmux
            .shows_within(patience, WINDOW, "the prompt of the shell", |screen| {
                screen.trim_end().ends_with('$')
            });
    }

    /// What a step took, to be printed in the end.
    fn took(&mut self, step: &str, since: Instant) {
        let (step_took, all) = (since.elapsed(), self.begun.elapsed());
        let _ = writeln!(
            self.times,
            "newcomer: {:7.1} s {:7.1} s  {step}",
            step_took.as_secs_f32(),
            all.as_secs_f32()
        );
    }

    /// Types a command and waits for the next prompt.
    fn command(&mut self, line: &str, patience: Duration) {
        let since = Instant::now();
        self.clear();
        self.type_in(line);
        std::thread::sleep(Duration::from_millis(300));
        self.prompt(patience);
        self.took(line, since);
    }

    /// Claude Code, from its start to its own prompt. It asks whether the folder is trusted and whether it shall really ask
    /// nothing, as it does outside.
    fn claude(&mut self, line: &str, patience: Duration) {
        let since = Instant::now();
        self.clear();
        self.type_in(line);
        loop {
            let screen = self.tmux.screen(WINDOW);
            if screen.contains("shift+tab to cycle") || screen.contains("? for shortcuts") {
                break;
            }
            // It looks for keys only some time after it has drawn the question.
            if screen.contains("❯ No, exit") {
                self.tmux.keys(WINDOW, &["Down"]);
            } else if screen.contains("❯ Yes, I ") {
                self.tmux.keys(WINDOW, &["Enter"]);
            }
            assert!(since.elapsed() < patience, "{line}: no prompt:\n{screen}");
            std::thread::sleep(Duration::from_millis(700));
        }
        self.took(line, since);
    }

    /// Leaves Claude Code.
    fn leave(&self) {
        self.tmux.keys(WINDOW, &["-l", "/exit"]);
        self.tmux.shows(WINDOW, "/exit");
        std::thread::sleep(Duration::from_millis(500));
        self.tmux.keys(WINDOW, &["Enter"]);
        self.prompt(PATIENCE);
    }

    /// Gives Claude Code a task, says yes to what it asks, and leaves it when it is done.
    fn task(&mut self, words: &str) {
        let since = Instant::now();
        self.tmux.keys(WINDOW, &["-l", words]);
        self.tmux.shows(WINDOW, words);
        self.tmux.keys(WINDOW, &["Enter"]);
        let begin = Instant::now();
        loop {
            let screen = self.tmux.screen(WINDOW);
            if screen.contains(DONE) {
                break;
            }
            if screen.contains("Do you want to") {
                self.tmux.keys(WINDOW, &["Enter"]);
            }
            assert!(begin.elapsed() < BUILDING, "not done:\n{screen}");
            std::thread::sleep(Duration::from_millis(300));
        }
        self.took(words, since);
        self.leave();
    }

    /// All that was on the screen since it was cleared last.
    fn history(&self) -> String {
        self.tmux
            .command(&["capture-pane", "-p", "-J", "-S", "-", "-t", WINDOW])
    }

    /// Keeps what agentbox said, and clears the screen and what was on it before.
    fn clear(&mut self) {
        let history = self.history();
        let said = history
            .lines()
            .filter(|line| line.starts_with("agentbox: "));
        self.messages
            .extend(said.map(|line| line.trim_end().to_owned()));
        self.type_in("clear");
        self.prompt(PATIENCE);
    }
}

/// The messages that a newcomer meets here, word for word but for what is different each time. Whoever adds one reads it as they
/// would: is it true, and does it help somebody who has read nothing else?
const MET: [&str; 6] = [
    "agentbox: * in * with profile claude, a filtered network (also writes * files and directories of its profile)",
    "agentbox: port * of the host's loopback may be reached, since ANTHROPIC_BASE_URL names it",
    "agentbox: Claude Code does not update itself here; outside: `claude update`, or npm install -g @anthropic-ai/claude-code",
    // Of a machine without the network. Claude Code asks for more than its model.
    "agentbox: network: failed * port *: the name cannot be resolved: *",
    "agentbox: network: refused *: no rule grants it; to allow it: --allow *",
    "agentbox: to resume, put `agentbox run` before what claude says: without it there is no box",
];

/// Is that such a line? `*` is any text.
fn is_met(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let rest = parts.next().and_then(|first| line.strip_prefix(first));
    let rest = parts.try_fold(rest, |rest, part| match (rest, part) {
        (Some(_), "") => Some(Some("")),
        (Some(rest), part) => rest.find(part).map(|at| Some(&rest[at + part.len()..])),
        (None, _) => None,
    });
    rest.flatten() == Some("")
}

fn shell(name: &'static str, command: &str) -> Step {
    Step {
        name,
        action: Action::Shell(command.to_owned()),
    }
}

fn edit(name: &'static str, path: &Path, old: &str, new: &str) -> [Step; 2] {
    let path = path.display().to_string();
    let read = Step {
        name: "read",
        action: Action::Read(path.clone()),
    };
    let (old, new) = (old.to_owned(), new.to_owned());
    let edit = Step {
        name,
        action: Action::Edit { path, old, new },
    };
    [read, edit]
}

/// Edits a file, runs the tests and commits.
fn honest(project: &Path) -> Vec<Step> {
    let mut steps = vec![shell("test-before", "sh test.sh || true")];
    steps.extend(edit(
        "edit",
        &project.join("sum.sh"),
        "$(($1 - $2))",
        "$(($1 + $2))",
    ));
    steps.push(shell("test-after", "sh test.sh"));
    steps.push(shell(
        "commit",
        "git commit -q -a -m 'Correct the sign' && git log --format='%an: %s'",
    ));
    steps
}

/// For who reads the log.
fn print(text: &str) {
    let text = format!("{text}\n");
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

/// A project as anybody has one: a shell script with an error in it.
fn project(home: &Path) -> PathBuf {
    let project = home.join("sums");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("sum.sh"), "echo $(($1 - $2))\n").unwrap();
    fs::write(
        project.join("test.sh"),
        "got=$(sh ./sum.sh 2 3)\nif [ \"$got\" = 5 ]; then echo ok; else echo \"FAILED: $got\"; exit 1; fi\n",
    )
    .unwrap();
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["commit", "-q", "-m", "Begin"],
    ] {
        let git = Command::new("git")
            .args(args)
            .current_dir(&project)
            .status();
        assert!(git.unwrap().success(), "git {args:?}");
    }
    project
}

#[test]
fn a_message_is_known_by_its_words() {
    let known = "a * in * with";
    for (line, met) in [
        ("a b in c with", true),
        ("a  in  with", true),
        ("a b in c with more", false),
        ("b in c with", false),
        ("a b with", false),
    ] {
        assert_eq!(is_met(line, known), met, "{line}");
    }
    assert!(is_met("a: b", "a: *"));
    assert_eq!(first_commands().len(), 2);
    assert!(first_commands()[0].starts_with("git clone REPOSITORY "));
}

#[test]
#[ignore = "needs an account of its own: scripts/newcomer"]
fn from_the_readme_to_the_first_honest_task() {
    let [clone, build] = first_commands()[..] else {
        panic!("README has other first commands: {:?}", first_commands());
    };
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME"));
    let project = project(&home);
    let server = Server::start(honest(&project));
    let mut newcomer = Newcomer::new(&server);
    newcomer.command(clone, PATIENCE);
    newcomer.claude(build, BUILDING);
    newcomer.leave();
    newcomer.command("cd ~/sums", PATIENCE);
    newcomer.claude(
        "agentbox run claude --dangerously-skip-permissions",
        PATIENCE,
    );
    newcomer.task("The test fails: mend it and commit.");
    let all = newcomer.begun.elapsed();
    print(&newcomer.history());
    print(&server.transcript());
    print(&newcomer.times);
    let log = Command::new("git")
        .args(["log", "--format=%an: %s"])
        .current_dir(&project)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&log.stdout),
        "New Comer: Correct the sign\nNew Comer: Begin\n"
    );
    newcomer.clear();
    print(&newcomer.messages.join("\n"));
    for message in &newcomer.messages {
        let met = MET.iter().any(|pattern| is_met(message, pattern));
        assert!(met, "nobody has read this: {message}");
    }
    let resumed = MET[MET.len() - 1].to_owned();
    assert_eq!(
        newcomer
            .messages
            .iter()
            .filter(|line| **line == resumed)
            .count(),
        2
    );
    assert!(all < PROMISED, "{}", newcomer.times);
}
