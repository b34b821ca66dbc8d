//! The start: `true`, bare, by bubblewrap with the same namespaces, and by agentbox.

use crate::Setting;
use crate::measure::{Cost, median, ratio, run};
use crate::table;
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

fn agentbox(setting: &Setting, workspace: &Path, net: &str) -> Command {
    let mut command = Command::new(&setting.agentbox);
    command
        .args(["run", "-q", "--net", net, "--", "true"])
        .current_dir(workspace);
    command
}
