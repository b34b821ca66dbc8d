//! `/run/agentbox/policy.md`: tells the agent where it is, so that it stops trying what cannot work and asks instead.

#![forbid(unsafe_code)]

use super::scene::{Scene, show};
use crate::plan::{Grant, GrantKind, Identity, Network, NetworkMode};
use std::fmt::Write;

/// The text.
pub(super) fn briefing(scene: &Scene<'_>, id: &Identity, network: &Network) -> String {
    let mut out = String::with_capacity(4096);
    let workspace = show(&scene.workspace.path);
    let _ = write!(
        out,
        "# You are in an agentbox\n\n\
         A sandbox around this session. What it refuses stays refused: do not look for a way around it, ask the human.\n\n\
         ## Allowed\n\n\
         - Work in `{workspace}`. It is the human's own working copy.\n\
         - Run every program that you find. HOME (`{}`), /tmp and /dev/shm are this session's own and vanish with it.\n",
        id.home
    );
    list(scene, &mut out, "Writable", GrantKind::Write);
    list(
        scene,
        &mut out,
        "A copy, written back when the session ends",
        GrantKind::State,
    );
    list(
        scene,
        &mut out,
        "Kept for later sessions, but not the human's own",
        GrantKind::Private,
    );
    list(
        scene,
        &mut out,
        "The same, for this working copy alone",
        GrantKind::Project,
    );
    list(scene, &mut out, "Readable", GrantKind::Read);
    hosts(&mut out, network);
    out.push_str("\n## Not allowed\n\n");
    out.push_str(match network.mode {
        NetworkMode::None => {
            "- The network: there is none but loopback. Downloads, pushes and remote calls fail.\n"
        }
        NetworkMode::Filtered => {
            "- Every other host: its name does not resolve (NXDOMAIN), and its address is refused. UDP (QUIC) and ICMP (ping) too.\n"
        }
        NetworkMode::Host => {
            "- The network is the host's and is not limited. Be careful with what it reaches.\n"
        }
    });
    out.push_str(
        "- Files that are not listed above are not there: credentials (~/.ssh, ~/.aws, ...), other projects, other homes.\n\
         - Mounting, other namespaces, tracing what is not yours, loading modules, set-uid files, raising privileges.\n",
    );
    if !scene.policy.wishes.programs.deny.is_empty() {
        out.push_str(
            "- Programs that act outside of the working copy (terraform, kubectl, aws, docker, sudo, ...): a stub in their place ends with 126. A copy of your own is no way around it: the credentials are not here.\n",
        );
    }
    let hidden = || of_kind(scene, GrantKind::Hidden);
    listed(
        &mut out,
        "Reads as empty or cannot be opened, and cannot be written (EROFS, EACCES, EBUSY)",
        hidden().filter(|grant| !grant.is_without_credentials()),
    );
    listed(
        &mut out,
        "A copy without credentials, which cannot be changed (EROFS, EBUSY)",
        hidden().filter(|grant| grant.is_without_credentials()),
    );
    list(
        scene,
        &mut out,
        "Readable, but neither it nor a directory above it can be changed or moved (EROFS, EBUSY, EXDEV)",
        GrantKind::Protected,
    );
    out.push_str(
        "- Making `.claude-stop` or `.agentbox-stop` at the top of the work: it ends this session at once, with everything in it, \
         and only the human can start another. Do it only if the human wants you to stop.\n\
         - Files that run programs outside of the box later are not yours to make or change: `.git/hooks`, `.mcp.json`, \
         agents' settings, and in a directory of PATH (`.venv/bin`) programs with names such as `ls` or `git`, are moved away at once; \
         CI files, `.vscode`, `.envrc` and the like are put back when the session \
         ends; entries of git configuration that run programs (hooks, pagers, filters, aliases with `!`) are undone. Say \
         what you would change there, and let the human do it. A `.env`, key or certificate that appears in \
         the working copy cannot be opened by anybody here (EACCES), unless git has its content: give what is yours another \
         name or put it into /tmp; where a test needs that very name, the human can start with `--hide '!PATTERN'`.\n\
         - A work tree of git (`git worktree add`) has to be below the working copy: beside it (`../name`) or in /tmp it vanishes \
         with this session, and what is not committed with it.\n\
         - Of git's operations only those fail that move a hidden or protected name: `git clean -x` and `git stash -u` of \
         one, checking out a branch in which it differs, `git submodule absorbgitdirs`. Commits that change protected files \
         are named to the human when the session ends.\n",
    );
    out.push_str(
        "\n## How to ask the human\n\n\
         `agentbox why read|write|exec|env|connect THING` says whether something is allowed, by which rule, and what would change it.\n\n\
         Say what you need and why. The human can start the session again with\n\n\
         - `--read PATH` or `--write PATH` for a file or directory,\n\
         - `--hide '!PATTERN'` for what is hidden by its name, also when you make it (`'!tests/**/*.key'`),\n\
         - `--allow-command NAME` for a program that is refused,\n\
         - `--env NAME` for a variable of the environment,\n\
         - `--allow HOST[:PORT]` for a host, `--host-port PORT` for a service on the human's own machine,\n\
         - `--publish PORT` to see a server of yours in the human's browser,\n\
         - `--limit NAME=VALUE` for more memory, processes or time.\n",
    );
    out
}

/// Who may be reached.
fn hosts(out: &mut String, network: &Network) {
    if network.mode != NetworkMode::Filtered {
        return;
    }
    if network.allow.is_empty() {
        out.push_str("- No host of the network.\n");
    } else {
        let rules: Vec<String> = network
            .allow
            .iter()
            .map(|allow| format!("`{allow}`"))
            .collect();
        let _ = writeln!(
            out,
            "- These hosts, by their names (TCP, on 443 and 80 unless said): {}.",
            rules.join(", ")
        );
    }
    if !network.deny.is_empty() {
        let rules: Vec<String> = network.deny.iter().map(|d| format!("`{d}`")).collect();
        let _ = writeln!(out, "- But not: {}.", rules.join(", "));
    }
    for port in &network.host_ports {
        let _ = writeln!(
            out,
            "- A service of the human's machine on `127.0.0.1:{0}` (also `{1}:{0}`).",
            port.port,
            crate::plan::net::HOST_NAME
        );
    }
    for ports in &network.publish {
        let _ = writeln!(
            out,
            "- A server of yours on port {} is seen by the human as `127.0.0.1:{}`.",
            ports.box_port, ports.host_port
        );
    }
    out.push_str(
        "- Servers of your own on every port from 1024 on; a granted port of a host can be taken from time to time \
         (EADDRINUSE): listen on 127.0.0.1 instead of every address then.\n",
    );
}

/// The grants of one kind. What every box has is left out: the list is for what is particular to this one.
fn list(scene: &Scene<'_>, out: &mut String, title: &str, kind: GrantKind) {
    listed(out, title, of_kind(scene, kind));
}

fn of_kind<'a>(scene: &'a Scene<'_>, kind: GrantKind) -> impl Iterator<Item = &'a Grant> {
    scene.grants.iter().filter(move |grant| grant.kind == kind)
}

fn listed<'a>(out: &mut String, title: &str, grants: impl Iterator<Item = &'a Grant>) {
    let mut any = false;
    for grant in grants {
        let _ = if any {
            write!(out, ", `{}`", grant.path)
        } else {
            write!(out, "- {title}: `{}`", grant.path)
        };
        any = true;
    }
    if any {
        out.push_str(".\n");
    }
}
