//! The start: `true`, bare, by bubblewrap with the same namespaces, by agentbox, and by bubblewrap with the view of agentbox.

use crate::Setting;
use crate::measure::{Cost, median, ratio, run};
use crate::table;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Rounds. Everything runs once in each.
const ROUNDS: usize = 40;

/// Prints the table of the start.
pub(crate) fn compare(setting: &Setting) {
    let workspace = setting.place.join("start");
    std::fs::create_dir(&workspace).expect("a workspace");
    let mut contenders: Vec<(&str, Command)> = vec![("bare", bare(&workspace))];
    match &setting.bwrap {
        Some(bwrap) => contenders.push(("bubblewrap", bubblewrap(bwrap, &workspace))),
        None => table::line("bubblewrap is not installed: not compared"),
    }
    let none = contenders.len();
    for (name, net) in [
        ("agentbox --net none", "none"),
        ("agentbox --net filtered", "filtered"),
        ("agentbox --net host", "host"),
    ] {
        contenders.push((name, agentbox(setting, &workspace, net)));
    }
    if let Some(bwrap) = &setting.bwrap {
        let view = this_view(setting, bwrap, &workspace);
        contenders.push(("bubblewrap, this view", view));
    }

    let rounds = if setting.quick { 5 } else { ROUNDS };
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contenders.len()];
    for round in 0..rounds + 3 {
        for turn in 0..contenders.len() {
            // Whoever follows a given contender pays for what that left behind (a network namespace is torn down after
            // its process has ended), so both the first one and the direction change.
            let step = if round % 2 == 0 {
                turn
            } else {
                contenders.len() - 1 - turn
            };
            let who = (step + round / 2) % contenders.len();
            let cost = run(&mut contenders[who].1);
            // The first rounds only warm the caches.
            if round >= 3 {
                costs[who].push(cost);
            }
        }
    }
    let rows: Vec<Vec<String>> = contenders
        .iter()
        .zip(&costs)
        .map(|((name, _), own)| {
            let mut row = vec![
                (*name).to_owned(),
                format!("{:.2}", median(own.iter().map(|cost| cost.wall))),
                format!("{:.2}", ratio(own, &costs[0], |cost| cost.wall)),
                format!("{:.2}", median(own.iter().map(|cost| cost.cpu))),
                format!("{:.2}", ratio(own, &costs[0], |cost| cost.cpu)),
            ];
            row.push(match setting.bwrap {
                Some(_) => format!("{:.2}", ratio(own, &costs[1], |cost| cost.wall)),
                None => "-".to_owned(),
            });
            row
        })
        .collect();
    table::print(
        &format!("start of `true`, {rounds} rounds, medians"),
        &["", "wall ms", "x bare", "cpu ms", "x bare", "wall x bwrap"],
        &rows,
    );
    let over = costs[none + 1]
        .iter()
        .zip(&costs[none])
        .map(|(filtered, none)| filtered.wall - none.wall);
    table::line(&format!(
        "the gate's part, `filtered` over `none`: {:+.2} ms",
        median(over)
    ));
}

fn bare(workspace: &Path) -> Command {
    let mut command = Command::new("/bin/true");
    command.current_dir(workspace);
    command
}

/// The same request: every namespace, the system read-only, the workspace writable, no network.
fn bubblewrap(bwrap: &Path, workspace: &Path) -> Command {
    let mut command = Command::new(bwrap);
    command
        .args(["--unshare-all", "--die-with-parent", "--new-session"])
        .args([
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
        ])
        .arg("--bind")
        .args([workspace, workspace])
        .args(["--", "/bin/true"])
        .current_dir(workspace);
    command
}

/// The same namespaces, and what agentbox shows: each tree and file of its view as a bind of its own, each place that has a
/// mask or a stub in it under an empty file. Without what bubblewrap has no words for (cgroups, files of the box's own, most of
/// what is masked in /proc), and still with no Landlock, no filter, no proof and no record.
fn this_view(setting: &Setting, bwrap: &Path, workspace: &Path) -> Command {
    let mut command = Command::new(bwrap);
    command.args(["--unshare-all", "--die-with-parent", "--new-session"]);
    let plan = plan(setting, workspace);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for op in plan["view"]["ops"].as_array().expect("operations") {
        let (source, target) = (text(&op["source"]), text(&op["target"]));
        match op["op"].as_str().expect("an operation") {
            "bind" if op["access"] == "write" => command.args(["--bind", &source, &target]),
            "bind" | "copy" => command.args(["--ro-bind", &source, &target]),
            "symlink" => command.args(["--symlink", &text(&op["to"]), &target]),
            "tmpfs" => command.args(["--tmpfs", &target]),
            "dir" => command.args(["--dir", &target]),
            "mask-file" | "mask-dir" | "refuse" => match Path::new(&target).is_dir() {
                true => command.args(["--tmpfs", &target]),
                false => command.args(["--ro-bind", "/dev/null", &target]),
            },
            "proc" => command.args(["--proc", "/proc"]),
            "dev" => command.args(["--dev", "/dev"]),
            _ => &mut command,
        };
    }
    for place in plan["refused"]["places"].as_array().expect("places") {
        // A link is followed by bubblewrap, whose target is in the list itself.
        let path = text(&place["path"]);
        if Path::new(&path)
            .symlink_metadata()
            .is_ok_and(|found| found.is_file())
        {
            command.args(["--ro-bind", "/dev/null", &path]);
        }
    }
    command.args(["--", "/bin/true"]).current_dir(workspace);
    command
}

/// The plan of such a run, from its record.
fn plan(setting: &Setting, workspace: &Path) -> Value {
    run(&mut agentbox(setting, workspace, "none"));
    let home = std::env::var_os("HOME").expect("HOME");
    let sessions = Path::new(&home).join(".local/state/agentbox/sessions");
    let sessions = std::fs::read_dir(&sessions).expect("the sessions");
    let records = sessions.map(|entry| entry.expect("an entry").path().join("session.json"));
    let newest = records
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .expect("a session");
    let record = std::fs::read(newest.1).expect("its record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    record["plan"].clone()
}

fn agentbox(setting: &Setting, workspace: &Path, net: &str) -> Command {
    let mut command = Command::new(&setting.agentbox);
    command
        .args(["run", "-q", "--net", net, "--", "true"])
        .current_dir(workspace);
    command
}
