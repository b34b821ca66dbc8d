//! What the scripted model tells the agent to do, and what came back.

use serde_json::{Value, json};

/// One thing the model tells the agent to do, in words that every agent's tools can be fed with.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Run a shell command.
    Shell(String),
    /// Read a file of the workspace. claude and opencode refuse to edit what they have not read.
    Read(String),
    /// Make a file.
    Write {
        /// Its absolute path.
        path: String,
        /// Its content.
        content: String,
    },
    /// Replace one piece of text.
    Edit {
        /// The file's absolute path.
        path: String,
        /// What is there.
        old: String,
        /// What is to be there.
        new: String,
    },
}

/// A named step of a script.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// By which the test asks for the result.
    pub(crate) name: &'static str,
    /// What the agent is told.
    pub(crate) action: Action,
}

/// A call of a tool, as one agent names it and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    /// The id by which the agent answers: the number of the step is in it.
    pub(crate) id: String,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments.
    pub(crate) input: Input,
}

/// Arguments of a tool.
#[derive(Debug)]
pub(crate) enum Input {
    /// An object.
    Json(Value),
    /// Free text (codex's apply_patch).
    Text(String),
}

impl Input {
    /// As an object, for the APIs that have no free-text tools.
    pub(crate) fn json(&self) -> Value {
        match self {
            Input::Json(value) => value.clone(),
            Input::Text(text) => json!({ "input": text }),
        }
    }
}

/// What the model says next.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A call of a tool.
    Call(Call),
    /// Text, and with it the end of the turn.
    Text(String),
}

/// The prefix of every call id. The APIs want ids of their own shape; agents pass any short word through.
const ID: &str = "call_step_";

/// The id of the call of step `number`.
pub(crate) fn call_id(number: usize) -> String {
    format!("{ID}{number:03}")
}

/// The step a call id belongs to.
pub(crate) fn step_of(id: &str) -> Option<usize> {
    id.strip_prefix(ID)?.parse().ok()
}

/// Feeds an action to the tools the agent offered. `None` if it offered none that fits.
pub(crate) fn call(number: usize, action: &Action, tools: &[String]) -> Option<Call> {
    let has = |name: &str| tools.iter().any(|tool| tool == name);
    let json_call = |tool: &str, input: Value| {
        Some(Call {
            id: call_id(number),
            tool: tool.to_owned(),
            input: Input::Json(input),
        })
    };
    match action {
        Action::Shell(command) => {
            if has("Bash") {
                json_call("Bash", json!({ "command": command, "description": "Step" }))
            } else if has("bash") {
                json_call("bash", json!({ "command": command, "description": "Step" }))
            } else if has("exec_command") {
                // Without a terminal and with a yield time that lets every step end, so that one call has one result.
                json_call(
                    "exec_command",
                    json!({ "cmd": command, "yield_time_ms": 30_000 }),
                )
            } else if has("shell_command") {
                json_call("shell_command", json!({ "command": command }))
            } else if has("shell") {
                json_call("shell", json!({ "command": ["bash", "-c", command] }))
            } else if has("run_shell_command") {
                json_call(
                    "run_shell_command",
                    json!({ "command": command, "description": "Step" }),
                )
            } else {
                None
            }
        }
        Action::Read(path) => {
            if has("Read") {
                json_call("Read", json!({ "file_path": path }))
            } else if has("read") {
                json_call("read", json!({ "filePath": path }))
            } else if has("read_file") {
                json_call("read_file", json!({ "file_path": path }))
            } else {
                call(number, &Action::Shell(format!("cat '{path}'")), tools)
            }
        }
        Action::Write { path, content } => {
            if has("Write") {
                json_call("Write", json!({ "file_path": path, "content": content }))
            } else if has("write") {
                json_call("write", json!({ "filePath": path, "content": content }))
            } else if has("write_file") {
                json_call(
                    "write_file",
                    json!({ "file_path": path, "content": content }),
                )
            } else {
                patch(number, tools, &add_file(path, content))
            }
        }
        Action::Edit { path, old, new } => {
            if has("Edit") {
                json_call(
                    "Edit",
                    json!({ "file_path": path, "old_string": old, "new_string": new }),
                )
            } else if has("edit") {
                json_call(
                    "edit",
                    json!({ "filePath": path, "oldString": old, "newString": new }),
                )
            } else if has("replace") {
                json_call(
                    "replace",
                    json!({ "file_path": path, "old_string": old, "new_string": new, "instruction": "Correct it" }),
                )
            } else {
                patch(number, tools, &update_file(path, old, new))
            }
        }
    }
}

/// codex edits by one tool that takes a patch; where the model has no such tool, `apply_patch` is a command of its shell.
fn patch(number: usize, tools: &[String], text: &str) -> Option<Call> {
    if tools.iter().any(|tool| tool == "apply_patch") {
        return Some(Call {
            id: call_id(number),
            tool: "apply_patch".to_owned(),
            input: Input::Text(text.to_owned()),
        });
    }
    call(
        number,
        &Action::Shell(format!("apply_patch <<'EOF'\n{text}EOF\n")),
        tools,
    )
}

fn add_file(path: &str, content: &str) -> String {
    let mut text = format!("*** Begin Patch\n*** Add File: {path}\n");
    for line in content.lines() {
        text.push('+');
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("*** End Patch\n");
    text
}

fn update_file(path: &str, old: &str, new: &str) -> String {
    let mut text = format!("*** Begin Patch\n*** Update File: {path}\n@@\n");
    for (sign, lines) in [('-', old), ('+', new)] {
        for line in lines.lines() {
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str("*** End Patch\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_id_leads_back_to_its_step() {
        assert_eq!(step_of(&call_id(12)), Some(12));
        assert_eq!(step_of("toolu_12"), None);
    }

    #[test]
    fn every_action_finds_a_tool_of_every_agent() {
        let offered = [
            ("claude", tools(&["Bash", "Read", "Write", "Edit"])),
            ("codex", tools(&["exec_command", "apply_patch"])),
            ("codex without apply_patch", tools(&["shell_command"])),
            ("opencode", tools(&["bash", "read", "write", "edit"])),
            (
                "gemini",
                tools(&["run_shell_command", "read_file", "write_file", "replace"]),
            ),
        ];
        let text = || "x".to_owned();
        let actions = [
            Action::Shell(text()),
            Action::Read(text()),
            Action::Write {
                path: text(),
                content: text(),
            },
            Action::Edit {
                path: text(),
                old: text(),
                new: text(),
            },
        ];
        for (agent, tools) in &offered {
            for action in &actions {
                assert!(call(0, action, tools).is_some(), "{agent}: {action:?}");
            }
        }
        assert!(
            call(0, &actions[0], &tools(&["WebSearch"])).is_none(),
            "a tool that was not offered is not called"
        );
    }
}
