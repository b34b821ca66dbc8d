//! Every table of the format with its keys.

#![forbid(unsafe_code)]

use super::{EXPECT, Form, Item, Key, known, not_yet};

/// Every table with its keys; "" is the top of the file. `a.b` is a list of tables in `[a]`.
pub const TABLES: &[(&str, &[Key])] = &[
    (
        "",
        &[
            known(
                "description",
                Form::Text,
                "One line for `agentbox profiles list`.",
            ),
            known(
                "extends",
                Form::List(Item::Profile),
                "Profiles that this one adds to, by name or as files beside it; `builtin:NAME` is the built-in one also where a \
                 file has its name. Not in `config.toml`.",
            ),
            known(
                "agent",
                Form::Table,
                "The command that the profile is for. Not in `config.toml`.",
            ),
            known(
                "files",
                Form::Table,
                "What of the file system is in the box.",
            ),
            known(
                "commands",
                Form::Table,
                "Programs that a stub replaces which refuses.",
            ),
            known("env", Form::Table, "The environment, built from nothing."),
            known("network", Form::Table, "Who can be reached."),
            known("ssh", Form::Table, "Servers that your ssh agent signs for."),
            known(
                "limits",
                Form::Table,
                "How much it may use; `\"none\"` lifts a limit.",
            ),
            known(
                "layers",
                Form::Table,
                "What must hold, and what may be missing.",
            ),
            known("kill-switch", Form::Table, "What kills the box."),
            known("session", Form::Table, "What becomes of the session."),
            known(
                "when",
                Form::Tables,
                "Parts that count only where a file exists or is missing; inside are the same tables as here.",
            ),
            known(
                "test",
                Form::Tables,
                "Questions with the answer that is expected, run by `agentbox profiles validate`.",
            ),
            not_yet("git"),
            not_yet("aws"),
            not_yet("review"),
            not_yet("audit"),
            not_yet("rollout"),
        ],
    ),
    (
        "agent",
        &[
            known(
                "commands",
                Form::List(Item::Command),
                "Base names of commands that select this profile.",
            ),
            known(
                "arguments",
                Form::List(Item::Text),
                "What the command gets before the caller's own arguments, where it is one of `commands`.",
            ),
            known(
                "notices",
                Form::List(Item::Text),
                "Lines that the banner says at the start.",
            ),
        ],
    ),
    (
        "files",
        &[
            known(
                "read",
                Form::List(Item::Path),
                "Read and execute; `?` at the end: fine if missing.",
            ),
            known(
                "write",
                Form::List(Item::Path),
                "Read, execute and write; `/` at the end: a directory, made with mode 0700 when missing.",
            ),
            known(
                "state",
                Form::List(Item::Path),
                "Files that their program replaces through rename: a copy, written back at the end (but for TOML and trusted folders).",
            ),
            known(
                "private",
                Form::List(Item::Path),
                "Kept from session to session, but the box's own.",
            ),
            known(
                "project",
                Form::List(Item::Path),
                "The same for each working copy by itself; `/` at the end: a directory, otherwise a file.",
            ),
            known(
                "hide",
                Form::List(Item::Name),
                "Patterns of names whose content reads as empty wherever they turn up; `!` lifts what is said before.",
            ),
            known(
                "protect",
                Form::List(Item::Name),
                "Patterns of names that can be read and never changed.",
            ),
            known(
                "track",
                Form::List(Item::Name),
                "Patterns of names that can be changed in the box and are put back or moved away at the end.",
            ),
            known(
                "hard-links",
                Form::Word(&["copy", "refuse", "allow"]),
                "What happens to writable files that have hard links outside of the box.",
            ),
        ],
    ),
    (
        "commands",
        &[
            known(
                "deny",
                Form::List(Item::Program),
                "Programs that are replaced by a stub which refuses; `*` is any run of characters.",
            ),
            known(
                "allow",
                Form::List(Item::Program),
                "Exact names: lifts a `deny` of a weaker source.",
            ),
            known(
                "search",
                Form::List(Item::Path),
                "Where else than in PATH refused programs are looked for.",
            ),
        ],
    ),
    (
        "env",
        &[
            known(
                "keep",
                Form::List(Item::Variable),
                "Variables that pass: an exact name with any value, a pattern with none that looks like a credential.",
            ),
            known(
                "deny",
                Form::List(Item::Variable),
                "Never, unless a stronger source names it exactly.",
            ),
            known("set", Form::Values, "Values that the box has."),
        ],
    ),
    (
        "network",
        &[
            known(
                "mode",
                Form::Word(&["none", "filtered", "host"]),
                "`none`: loopback only. `filtered`: what is granted below. `host`: everything, which is no boundary.",
            ),
            known(
                "allow",
                Form::List(Item::Rule),
                "Hosts that can be reached, on 443 and 80 unless ports are said; `*.NAME` is every name below it.",
            ),
            known(
                "deny",
                Form::List(Item::Host),
                "Hosts that cannot, whatever `allow` says of them.",
            ),
            known(
                "host-ports",
                Form::List(Item::Port),
                "Services of the host's loopback that the box reaches.",
            ),
            known(
                "publish",
                Form::List(Item::Publish),
                "Ports of the box that the host reaches on its 127.0.0.1.",
            ),
            known(
                "hosts",
                Form::Hosts,
                "Names and their addresses, instead of asking DNS. Not a grant.",
            ),
        ],
    ),
    (
        "ssh",
        &[
            known(
                "hosts",
                Form::List(Item::Host),
                "Servers that your ssh agent signs for.",
            ),
            known(
                "keys",
                Form::List(Item::Path),
                "Files of public keys, the keys that it signs with.",
            ),
        ],
    ),
    (
        "limits",
        &[
            known(
                "memory",
                Form::Memory,
                "Memory, as a size or as a share of the host's.",
            ),
            known("processes", Form::Count, "Processes and threads."),
            known("cpu", Form::Number, "Processors: 1.5 is one and a half."),
            known(
                "file-size",
                Form::Size,
                "Bytes of one file that is written.",
            ),
            known("open-files", Form::Count, "Open files of one process."),
            known(
                "disk",
                Form::Size,
                "Bytes of HOME, /tmp and /dev/shm of the box, each by itself; each may have a file for every 2 KiB of it.",
            ),
            known("time", Form::Duration, "Wall-clock time."),
            known(
                "idle",
                Form::Duration,
                "Time in which nothing passes its terminal.",
            ),
            known(
                "output",
                Form::Size,
                "Bytes that are written to its terminal.",
            ),
            known(
                "stop-grace",
                Form::Duration,
                "Time between SIGTERM and SIGKILL.",
            ),
        ],
    ),
    (
        "kill-switch",
        &[
            known(
                "files",
                Form::List(Item::Text),
                "Names that kill the box when they appear in the workspace or at its repository's root.",
            ),
            known("remote", Form::Tables, "Switches that are somewhere else."),
            known(
                "team",
                Form::Text,
                "What `${team}` is in keys of remote switches.",
            ),
        ],
    ),
    (
        "kill-switch.remote",
        &[
            known("name", Form::Text, "Its name: letters, digits and `-`."),
            known(
                "url",
                Form::Text,
                "`file://`, `https://`, `redis://`, `rediss://`, `s3://` or `exec:`.",
            ),
            known(
                "keys",
                Form::List(Item::Text),
                "Keys of a Redis; `${team}`, `${repo}`, `${host}`, `${user}` are filled in.",
            ),
            known(
                "field",
                Form::Text,
                "The member of a JSON document that says whether it is on.",
            ),
            known("interval", Form::Duration, "How often it is asked."),
            known(
                "jitter",
                Form::Duration,
                "Up to so much is added to each interval.",
            ),
            known("timeout", Form::Duration, "How long an answer may take."),
            known("grace", Form::Duration, "How long it may be silent."),
            known(
                "on-unreachable",
                Form::Word(&["continue", "pause", "stop"]),
                "What silence means after `grace`.",
            ),
            known(
                "drill-max-age",
                Form::Duration,
                "No session starts without a good drill that is younger.",
            ),
            known(
                "token-file",
                Form::Text,
                "A file with the password or token.",
            ),
            known("token-command", Form::Text, "A program that prints it."),
            known("user", Form::Text, "The user at a Redis."),
            known("db", Form::Text, "The database of a Redis."),
            known("ca", Form::Text, "A file of certificates to trust."),
            known("endpoint", Form::Text, "Another address of an S3."),
            known(
                "publish",
                Form::Text,
                "Where beside the switch the heads of this machine's session records go; has `${session}` in it.",
            ),
            known("region", Form::Text, "The region of an S3."),
        ],
    ),
    (
        "session",
        &[known(
            "hangup",
            Form::Word(&["end", "detach"]),
            "What a closed window does to the session.",
        )],
    ),
    ("layers", super::layers::KEYS),
    (
        "when",
        &[
            known(
                "exists",
                Form::OneOrMore(Item::Path),
                "Paths all of which exist. In `${workspace}`, which the agent can write, the part may only forbid.",
            ),
            known(
                "missing",
                Form::OneOrMore(Item::Path),
                "Paths none of which exists.",
            ),
        ],
    ),
    (
        "test",
        &[
            known(
                "read",
                Form::Text,
                "Open this file for reading, list this directory.",
            ),
            known("write", Form::Text, "Write or make this file."),
            known(
                "exec",
                Form::Text,
                "Execute this program, by its path or as a shell finds it.",
            ),
            known(
                "env",
                Form::Text,
                "Have this variable: `NAME`, or `NAME=VALUE` with the value that the caller has.",
            ),
            known("connect", Form::Text, "Connect to `HOST:PORT`."),
            known(
                "expect",
                Form::Word(&EXPECT),
                "`allowed`; `refused`: no, for whatever reason; `absent`, `hidden`, `protected`: no, for this one.",
            ),
        ],
    ),
];
