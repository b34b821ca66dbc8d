//! seccompiler as the oracle: filters built from the same table by its compiler must decide as ours does. It has one
//! action for a match and emits a chain, so there is one of its filters for each action; and it knows no ordered arms, so
//! the rules are first brought into its form, a list of alternatives of conditions that all hold.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::compile::{Arch, compile};
use super::rules::*;
use super::tests::{ARCHES, answer, cases, run};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// `(half & mask) == value`, or not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Atom {
    arg: u8,
    half: Half,
    mask: u32,
    value: u32,
    equal: bool,
}

/// Alternatives; in each all conditions hold.
type Alternatives = Vec<Vec<Atom>>;

impl Atom {
    /// Both can never hold.
    fn excludes(&self, other: &Atom) -> bool {
        let same = self.arg == other.arg && self.half == other.half;
        let mask = self.mask & other.mask;
        same && match (self.equal, other.equal) {
            (true, true) => (self.value ^ other.value) & mask != 0,
            (true, false) => mask == u32::MAX && self.value == other.value,
            (false, true) => other.excludes(self),
            (false, false) => false,
        }
    }

    fn theirs(&self) -> SeccompCondition {
        let (mask, value) = (u64::from(self.mask), u64::from(self.value));
        let (len, op, value) = match (self.half, self.equal) {
            (Half::Low, true) => (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value),
            (Half::High, true) => (
                SeccompCmpArgLen::Qword,
                SeccompCmpOp::MaskedEq(mask << 32),
                value << 32,
            ),
            (Half::Low, false) if self.mask == u32::MAX => {
                (SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
            }
            (half, false) => panic!("seccompiler cannot say {half:?} & {mask:#x} != {value:#x}"),
        };
        SeccompCondition::new(self.arg, len, op, value).unwrap()
    }
}

fn atom(cond: &Cond, mask: u32, value: u32, equal: bool) -> Atom {
    Atom {
        arg: cond.arg,
        half: cond.half,
        mask,
        value,
        equal,
    }
}

fn equal(cond: &Cond, mask: u32, value: u32) -> Atom {
    atom(cond, mask, value, true)
}

/// All values that differ from `values` within `mask`.
fn others(mask: u32, values: &[u32]) -> Vec<u32> {
    assert!(mask.count_ones() <= 8, "{mask:#x} has too many values");
    let mut all = Vec::new();
    let mut sub = mask;
    loop {
        if !values.contains(&sub) {
            all.push(sub);
        }
        if sub == 0 {
            return all;
        }
        sub = (sub - 1) & mask;
    }
}

fn bits(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).map(|n| 1 << n).filter(move |bit| mask & bit != 0)
}

fn holds(cond: &Cond) -> Alternatives {
    match cond.test {
        Test::AnyBit(mask) => bits(mask).map(|bit| vec![equal(cond, bit, bit)]).collect(),
        Test::OneOf(mask, values) => values.iter().map(|v| vec![equal(cond, mask, *v)]).collect(),
    }
}

fn fails(cond: &Cond) -> Alternatives {
    match cond.test {
        Test::AnyBit(mask) => vec![vec![equal(cond, mask, 0)]],
        Test::OneOf(u32::MAX, values) if cond.half == Half::Low => {
            let unequal = |v: &u32| atom(cond, u32::MAX, *v, false);
            vec![values.iter().map(unequal).collect()]
        }
        // Not 0 within a mask is any of its bits.
        Test::OneOf(mask, [0]) => bits(mask).map(|bit| vec![equal(cond, bit, bit)]).collect(),
        Test::OneOf(mask, values) => others(mask, values)
            .into_iter()
            .map(|v| vec![equal(cond, mask, v)])
            .collect(),
    }
}

/// Every alternative of the one with every one of the other; what another one already covers is left out, or the chain
/// would outgrow the kernel's limit.
fn both(a: &Alternatives, b: &Alternatives) -> Alternatives {
    let mut result: Alternatives = Vec::new();
    let covers = |x: &[Atom], y: &[Atom]| x.iter().all(|c| y.contains(c));
    for (x, y) in a.iter().flat_map(|x| b.iter().map(move |y| (x, y))) {
        if x.iter().any(|c| y.iter().any(|d| c.excludes(d))) {
            continue;
        }
        let mut all = x.clone();
        all.extend(y.iter().filter(|c| !x.contains(c)));
        if !result.iter().any(|known| covers(known, &all)) {
            result.retain(|known| !covers(&all, known));
            result.push(all);
        }
    }
    result
}

/// When the rule gives exactly this answer.
fn gives(rule: &Rule, action: Action) -> Alternatives {
    let mut result = Vec::new();
    let mut before: Alternatives = vec![vec![]];
    for arm in rule.arms {
        if arm.then == action {
            let here = arm
                .when
                .iter()
                .map(holds)
                .fold(before.clone(), |a, b| both(&a, &b));
            result.extend(here);
        }
        let not: Alternatives = arm.when.iter().flat_map(fails).collect();
        before = both(&before, &not);
    }
    if rule.otherwise == action {
        result.extend(before);
    }
    result
}

/// seccompiler's filter that traps where one of these rules gives this answer.
fn theirs(arch: Arch, rules: &[&Rule], action: Action) -> Vec<libc::sock_filter> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let alternatives = gives(rule, action);
        let (Some(number), false) = (arch.number(rule), alternatives.is_empty()) else {
            continue;
        };
        // An empty list of rules is seccompiler's "always".
        let list = if alternatives.iter().any(Vec::is_empty) {
            vec![]
        } else {
            alternatives
                .into_iter()
                .map(|all| SeccompRule::new(all.iter().map(Atom::theirs).collect()).unwrap())
                .collect()
        };
        map.insert(i64::from(number), list);
    }
    let target = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    let filter =
        SeccompFilter::new(map, SeccompAction::Allow, SeccompAction::Trap, target).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    program
        .into_iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect()
}

const TRAP: u32 = libc::SECCOMP_RET_TRAP;
const ACTIONS: [Action; 5] = [
    Action::Errno(0),
    Action::Errno(1),
    Action::Errno(22),
    Action::Errno(38),
    Action::Errno(93),
];

/// All rules without conditions in one filter of theirs, over every number.
#[test]
fn seccompiler_decides_alike_by_number() {
    for arch in ARCHES {
        let ours = compile(RULES, arch).unwrap();
        let plain: Vec<&Rule> = RULES.iter().filter(|r| r.arms.is_empty()).collect();
        for action in [Action::Errno(1), Action::Errno(38)] {
            let oracle = theirs(arch, &plain, action);
            let mut hits = 0;
            for number in 0..=NEWEST {
                if RULES
                    .iter()
                    .any(|r| arch.number(r) == Some(number) && !r.arms.is_empty())
                {
                    continue;
                }
                let (found, _) = run(&ours, arch.audit(), number, [0; 6]);
                let (said, _) = run(&oracle, arch.audit(), number, [0; 6]);
                assert_eq!(said == TRAP, found == answer(action), "{arch:?} {number}");
                hits += u32::from(said == TRAP);
            }
            assert!(hits >= 2, "the oracle was asked about nothing: {action:?}");
        }
    }
}

/// Each rule with conditions in filters of its own (seccompiler's chain of all of them is longer than the kernel takes).
#[test]
fn seccompiler_decides_alike_by_argument() {
    for arch in ARCHES {
        let ours = compile(RULES, arch).unwrap();
        for rule in RULES.iter().filter(|r| !r.arms.is_empty()) {
            let Some(number) = arch.number(rule) else {
                continue;
            };
            let all = cases(rule);
            let step = all.len() / 5000 + 1;
            let mut hits = [0_u32, 0];
            for action in ACTIONS {
                let oracle = theirs(arch, &[rule], action);
                for args in all.iter().step_by(step) {
                    let (found, _) = run(&ours, arch.audit(), number, *args);
                    let (said, _) = run(&oracle, arch.audit(), number, *args);
                    let expected = found == answer(action);
                    assert_eq!(said == TRAP, expected, "{arch:?} {} {args:x?}", rule.name);
                    hits[usize::from(expected)] += 1;
                }
            }
            // The oracle said yes and no: it was asked about something.
            assert!(hits[0] > 3 && hits[1] > 3, "{}: {hits:?}", rule.name);
        }
    }
}
