//! How each agent is started against the scripted server, with every confirmation off.
//!
//! Seen bare, as an ordinary user with an empty HOME (claude-code 2.1.329, codex 0.169.0, opencode-ai 1.18.33,
//! gemini-cli 0.61.0). Apart from PATH and HOME each needs the variables that `configure` gives and no other.
//!
//! | agent | writes in HOME | writes elsewhere |
//! |---|---|---|
//! | claude | `.claude.json` (replaced by rename), `.claude/{projects,plugins,telemetry,backups}` | `/tmp/claude-UID`, `/tmp/cc-socks` |
//! | codex | `.codex/` (several SQLite files with WAL, `sessions`, `skills`, `thread-writer-locks`) | nothing |
//! | opencode | `.config/opencode/.gitignore`, `.local/share/opencode` (SQLite, a git repository of snapshots, a log), `.local/state/opencode/locks`, `.npm/_cacache` (it installs a plugin at the first start) | `/tmp/.HEX.so`, which it maps executable |
//! | gemini | `.gemini/{history,tmp,projects.json,installation_id}` | nothing |
//!
//! - claude asks `HEAD /api/hello` of its base URL first and does without an answer; its Edit refuses what it has not read.
//! - codex runs commands by a *login* shell (the one of passwd), so `/etc/profile` replaces PATH; its shell tool refuses
//!   `rm -f` and reads stdin, which must be /dev/null; a model it does not know gets `exec_command` and `apply_patch`.
//! - opencode asks for a title with a request that has no tools.
//! - gemini's shell tool refuses `$()` and sets GIT_CONFIG_GLOBAL=/dev/null.

use crate::place::{self, Rung};
use crate::server::Server;
use crate::world::{CANARY, SECRET_VARIABLES, World, write};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where system programs are.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The key that the agent is given for the model. It has to reach the agent and must not look like a real one.
pub(crate) const KEY: &str = "scripted-model-key";

/// An agent takes less than 20 s for a script; this is for one that waits for ever.
const PATIENCE: Duration = Duration::from_secs(150);

/// The agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// OpenCode.
    OpenCode,
    /// Gemini CLI.
    Gemini,
}

/// In the box or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As it is.
    Bare,
    /// By `agentbox run`.
    Box,
    /// As it is, with the agent's own sandbox on.
    Inner,
    /// By `agentbox run --nested allow`, with the agent's own sandbox on.
    Nested,
}

impl Place {
    fn has_inner(self) -> bool {
        matches!(self, Place::Inner | Place::Nested)
    }

    fn has_box(self) -> bool {
        matches!(self, Place::Box | Place::Nested)
    }
}

/// Claude Code's own sandbox for its shell commands, with no way around it.
const CLAUDE_SANDBOX: &str = r#"{"sandbox":{"enabled":true,"failIfUnavailable":true,"autoAllowBashIfSandboxed":true,"allowUnsandboxedCommands":false}}"#;

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// How long it took.
    pub(crate) took: Duration,
    /// Its stdout.
    pub(crate) stdout: String,
    /// Its stderr.
    pub(crate) stderr: String,
}

/// Where `scripts/agents` installed the agents.
pub(crate) fn installed() -> PathBuf {
    let place = std::env::var_os("AGENTBOX_AGENTS")
        .expect("AGENTBOX_AGENTS is not set: run these tests by scripts/agents");
    PathBuf::from(place)
}

impl Agent {
    /// The command, and the name of its profile.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Agent::Claude => "claude",
            Agent::Codex => "codex",
            Agent::OpenCode => "opencode",
            Agent::Gemini => "gemini",
        }
    }

    /// The variable that holds the key of the model.
    pub(crate) fn key_variable(self) -> &'static str {
        match self {
            Agent::Claude => "ANTHROPIC_API_KEY",
            Agent::Codex | Agent::OpenCode => "OPENAI_API_KEY",
            Agent::Gemini => "GEMINI_API_KEY",
        }
    }

    fn arguments(self, place: Place, prompt: &str) -> Vec<String> {
        let list: &[&str] = match self {
            Agent::Claude if place.has_inner() => &[
                "-p",
                prompt,
                "--dangerously-skip-permissions",
                "--settings",
                CLAUDE_SANDBOX,
            ],
            Agent::Claude => &["-p", prompt, "--dangerously-skip-permissions"],
            Agent::Codex if place.has_inner() => &[
                "exec",
                "--sandbox",
                "workspace-write",
                "--skip-git-repo-check",
                prompt,
            ],
            Agent::Codex => &[
                "exec",
                "--dangerously-bypass-approvals-and-sandbox",
                "--skip-git-repo-check",
                prompt,
            ],
            Agent::OpenCode => &["run", "--model", "scripted/scripted-model", prompt],
            // A named model: for "auto" it first asks a small model which model to ask.
            Agent::Gemini => &["--yolo", "--model", "gemini-2.5-flash", "-p", prompt],
        };
        list.iter().map(|&word| word.to_owned()).collect()
    }

    /// Writes the configuration that sends the agent to the server, and gives the variables for it.
    pub(crate) fn configure(self, place: Place, world: &World, port: u16) -> Vec<(String, String)> {
        let base = format!("http://{}:{port}", place::address());
        let mut variables = vec![(self.key_variable().to_owned(), KEY.to_owned())];
        match self {
            Agent::Claude => {
                variables.push(("ANTHROPIC_BASE_URL".to_owned(), base));
                // claude refuses to skip permissions for uid 0 unless it is told that this is a sandbox. In the box
                // agentbox itself says so.
                if !place.has_box() {
                    variables.push(("IS_SANDBOX".to_owned(), "1".to_owned()));
                }
            }
            Agent::Codex => write(
                &world.home().join(".codex/config.toml"),
                &format!(
                    "model = \"scripted-model\"\nmodel_provider = \"scripted\"\n\
                     [model_providers.scripted]\nname = \"scripted\"\nbase_url = \"{base}/v1\"\n\
                     env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n"
                ),
            ),
            Agent::OpenCode => write(
                &world.home().join(".config/opencode/opencode.json"),
                &serde_json::json!({
                    "provider": { "scripted": {
                        "npm": "@ai-sdk/openai-compatible",
                        "name": "Scripted",
                        "options": { "baseURL": format!("{base}/v1"), "apiKey": "{env:OPENAI_API_KEY}" },
                        "models": { "scripted-model": { "name": "Scripted", "tool_call": true } },
                    } },
                    "permission": { "*": "allow", "external_directory": "allow" },
                    "autoupdate": false,
                })
                .to_string(),
            ),
            Agent::Gemini => {
                variables.push(("GOOGLE_GEMINI_BASE_URL".to_owned(), base));
                // With another base URL it takes the method "gateway", which it then refuses: it has to be named. And
                // in a folder that is not trusted it falls back to asking, which without a terminal is "no".
                write(
                    &world.home().join(".gemini/settings.json"),
                    &serde_json::json!({
                        "security": {
                            "auth": { "selectedType": "gemini-api-key" },
                            "folderTrust": { "enabled": false },
                        },
                        "general": { "enableAutoUpdate": false },
                    })
                    .to_string(),
                );
            }
        }
        variables
    }

    /// Runs the agent in the world until it ends.
    pub(crate) fn run(self, place: Place, world: &World, server: &Server, prompt: &str) -> Ran {
        self.run_in(place, world, server, prompt, world.base())
    }

    /// The same with another place for its output: several may run at once.
    pub(crate) fn run_in(
        self,
        place: Place,
        world: &World,
        server: &Server,
        prompt: &str,
        out: &Path,
    ) -> Ran {
        let arguments = self.arguments(place, prompt);
        let mut command = match place {
            Place::Bare | Place::Inner => Command::new(installed().join(self.command())),
            Place::Box | Place::Nested => {
                let mut command = Command::new(agentbox());
                command.arg("run");
                let rung = Rung::get();
                command.args(rung.options(server.port()));
                if place == Place::Nested {
                    command.args(["--nested", "allow"]);
                }
                // These two keep the base URL in a file that the box could write, so nothing is granted by reading it.
                if matches!(self, Agent::Codex | Agent::OpenCode) && rung != Rung::Landlock {
                    command.args(["--host-port", &server.port().to_string()]);
                }
                command.arg(self.command());
                command
            }
        };
        command.args(arguments);
        start(
            &mut command,
            world,
            &self.configure(place, world, server.port()),
            out,
        )
    }
}

/// The product's binary. `AGENTBOX` names another one (a release build).
pub(crate) fn agentbox() -> PathBuf {
    std::env::var_os("AGENTBOX").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_agentbox")),
        PathBuf::from,
    )
}

/// Runs a command in the world: the workspace is its working directory, and its environment is a developer's, secrets
/// included.
pub(crate) fn start(
    command: &mut Command,
    world: &World,
    variables: &[(String, String)],
    out: &Path,
) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let stdout = out.join("stdout");
    let stderr = out.join("stderr");
    command
        .current_dir(world.project())
        .env_clear()
        .env("HOME", world.home())
        .env(
            "PATH",
            format!(
                "{}:{}:{SYSTEM_PATH}",
                world.bin().display(),
                installed().display()
            ),
        )
        .env("USER", "dev")
        .env("LOGNAME", "dev")
        .env("SHELL", "/bin/bash")
        .env("LANG", "C.UTF-8")
        .env("TERM", "xterm-256color");
    for variable in SECRET_VARIABLES {
        command.env(variable, format!("{CANARY} {variable}"));
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // Files and not pipes: a process that an agent leaves behind would keep a pipe open.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).expect("a file for stdout"))
        .stderr(File::create(&stderr).expect("a file for stderr"))
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = child.wait();
            break ExitStatus::from_raw(9);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let read = |path| String::from_utf8_lossy(&fs::read(path).expect("its output")).into_owned();
    Ran {
        status,
        took: begin.elapsed(),
        stdout: read(&stdout),
        stderr: read(&stderr),
    }
}
