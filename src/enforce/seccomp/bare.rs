//! What the filter adds on the rung `landlock`, where no namespace keeps sockets, System V IPC and the settings of other
//! processes apart. Landlock knows no unix socket by its path (before ABI 9), no UDP, and no connection that MSG_FASTOPEN makes,
//! so these do not exist here at all.

#![forbid(unsafe_code)]

use super::Program;
use super::compile::{Arch, CompileError, compile};
use super::rules::{Action, Arm, Cond, Half, RULES, Rule, Test};
use crate::plan::NetworkMode;

const EPERM: Action = Action::Errno(1);
const ALL: u32 = !0;
const MSG_FASTOPEN: u32 = 0x2000_0000;
const NEW_LISTENER: u32 = 1 << 3;

const fn low(arg: u8, test: Test) -> Cond {
    Cond {
        arg,
        half: Half::Low,
        test,
    }
}

/// AF_NETLINK, NETLINK_ROUTE: what interfaces there are; to change one takes a capability.
const ROUTE: Arm = Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[16])),
        low(2, Test::OneOf(ALL, &[0])),
    ],
    then: Action::Allow,
};
/// AF_INET and AF_INET6 as SOCK_STREAM with TCP's own protocol: MPTCP and the others are not Landlock's to judge.
const TCP: Arm = Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[2, 10])),
        low(1, Test::OneOf(0xf, &[1])),
        low(2, Test::OneOf(ALL, &[0, 6])),
    ],
    then: Action::Allow,
};
/// The same and UDP: the network is the host's.
const IP: Arm = Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[2, 10])),
        low(1, Test::OneOf(0xf, &[1, 2])),
        low(2, Test::OneOf(ALL, &[0, 1, 6, 17, 58, 262])),
    ],
    then: Action::Allow,
};

const fn rule(
    name: &'static str,
    x86_64: u32,
    aarch64: u32,
    arms: &'static [Arm],
    otherwise: Action,
    why: &'static str,
) -> Rule {
    Rule {
        name,
        x86_64: Some(x86_64),
        aarch64: Some(aarch64),
        arms,
        otherwise,
        why,
    }
}

const fn never(name: &'static str, x86_64: u32, aarch64: u32, why: &'static str) -> Rule {
    rule(name, x86_64, aarch64, &[], EPERM, why)
}

const SOCKETS: &str =
    "a unix socket of the place (docker.sock, an agent's, a session's own) acts outside of the box";
const IPC: &str = "System V IPC and POSIX queues are the place's, without an ipc namespace";
const OTHERS: &str = "changes a process by its number or its user, which Landlock does not judge";
const FAST: &str = "MSG_FASTOPEN connects without asking Landlock";
const CONNECTS: &str =
    "Landlock judges ports and not addresses: the connector makes connections, to the gate alone";
const ANSWERS: &str = "who listens to the box's system calls could answer for the connector";
const SERVES: &str = "who listens here is reached from outside, past the gate";

/// Pairs of connected streams. A unix socket of datagrams can be sent from, or connected, to any path although it has a peer, and
/// no rule of Landlock's is about that path; raw ones are the same.
const PAIRS: &[Arm] = &[Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[1])),
        low(1, Test::OneOf(0xf, &[1, 5])),
    ],
    then: Action::Allow,
}];

/// Its own process, by 0; and nothing happens to the core limit, as in the table of every box.
const SELF_0: &[Arm] = &[
    Arm {
        when: &[low(1, Test::OneOf(ALL, &[4])), low(2, Test::AnyBit(ALL))],
        then: Action::Errno(0),
    },
    Arm {
        when: &[low(0, Test::OneOf(ALL, &[0]))],
        then: Action::Allow,
    },
];
/// Its own thread, by 0. A thread is named by its number as a process is, so that others of its own are refused, too.
const SELF: &[Arm] = &[Arm {
    when: &[low(0, Test::OneOf(ALL, &[0]))],
    then: Action::Allow,
}];
/// Its own process or group, by 0 in the second argument; not all processes of a user.
const SELF_1: &[Arm] = &[Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[0, 1])),
        low(1, Test::OneOf(ALL, &[0])),
    ],
    then: Action::Allow,
}];
/// ioprio_set(2) counts from 1.
const SELF_IO: &[Arm] = &[Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[1, 2])),
        low(1, Test::OneOf(ALL, &[0])),
    ],
    then: Action::Allow,
}];
const FAST_2: &[Arm] = &[Arm {
    when: &[low(2, Test::AnyBit(MSG_FASTOPEN))],
    then: EPERM,
}];
const FAST_3: &[Arm] = &[Arm {
    when: &[low(3, Test::AnyBit(MSG_FASTOPEN))],
    then: EPERM,
}];

/// A younger filter with a listener of the box's own would be asked first, and could let the kernel go on.
const LISTENS: &[Arm] = &[Arm {
    when: &[
        low(0, Test::OneOf(ALL, &[1])),
        low(1, Test::AnyBit(NEW_LISTENER)),
    ],
    then: EPERM,
}];

const ALWAYS: &[Rule] = &[
    rule("socketpair", 53, 199, PAIRS, EPERM, SOCKETS),
    never("shmget", 29, 194, IPC),
    never("shmat", 30, 196, IPC),
    never("shmctl", 31, 195, IPC),
    never("semget", 64, 190, IPC),
    never("semop", 65, 193, IPC),
    never("semctl", 66, 191, IPC),
    never("semtimedop", 220, 192, IPC),
    never("msgget", 68, 186, IPC),
    never("msgsnd", 69, 189, IPC),
    never("msgrcv", 70, 188, IPC),
    never("msgctl", 71, 187, IPC),
    never("mq_open", 240, 180, IPC),
    never("mq_unlink", 241, 181, IPC),
    rule("prlimit64", 302, 261, SELF_0, EPERM, OTHERS),
    rule("setpriority", 141, 140, SELF_1, EPERM, OTHERS),
    rule("ioprio_set", 251, 30, SELF_IO, EPERM, OTHERS),
    rule("sched_setaffinity", 203, 122, SELF, EPERM, OTHERS),
    rule("sched_setattr", 314, 274, SELF, EPERM, OTHERS),
    rule("sched_setparam", 142, 118, SELF, EPERM, OTHERS),
    rule("sched_setscheduler", 144, 119, SELF, EPERM, OTHERS),
    rule("sendto", 44, 206, FAST_3, Action::Allow, FAST),
    rule("sendmsg", 46, 211, FAST_2, Action::Allow, FAST),
    rule("sendmmsg", 307, 269, FAST_3, Action::Allow, FAST),
];

const NONE: &[Rule] = &[rule("socket", 41, 198, &[ROUTE], EPERM, SOCKETS)];
const FILTERED: &[Rule] = &[
    rule("socket", 41, 198, &[ROUTE, TCP], EPERM, SOCKETS),
    rule("connect", 42, 203, &[], Action::Ask, CONNECTS),
    rule("seccomp", 317, 277, LISTENS, Action::Allow, ANSWERS),
    never("listen", 50, 201, SERVES),
];
const HOST: &[Rule] = &[rule("socket", 41, 198, &[ROUTE, IP], EPERM, SOCKETS)];

/// Compiles the filter of this rung.
///
/// # Errors
///
/// As [`super::prepare`].
pub fn prepare(network: NetworkMode) -> Result<Program, CompileError> {
    Ok(Program {
        instructions: compile(table(network), Arch::NATIVE)?,
        asks: network == NetworkMode::Filtered,
    })
}

/// All rules, for a process that compiles them once.
fn table(network: NetworkMode) -> &'static [Rule] {
    let sockets = match network {
        NetworkMode::None => NONE,
        NetworkMode::Filtered => FILTERED,
        NetworkMode::Host => HOST,
    };
    let ours = || ALWAYS.iter().chain(sockets);
    let own = |rule: &&Rule| ours().all(|ours| ours.name != rule.name);
    let mut all: Vec<Rule> = RULES.iter().filter(own).copied().collect();
    all.extend(ours().copied());
    all.sort_by_key(|rule| rule.name);
    Vec::leak(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_has_one_rule_and_both_machines_compile() {
        for mode in [NetworkMode::None, NetworkMode::Filtered, NetworkMode::Host] {
            let all = table(mode);
            let names: BTreeSet<&str> = all.iter().map(|rule| rule.name).collect();
            assert_eq!(names.len(), all.len());
            for arch in [Arch::X86_64, Arch::Aarch64] {
                assert!(!compile(all, arch).unwrap().is_empty());
            }
        }
    }
}
