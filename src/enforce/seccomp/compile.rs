//! The assembler: rules in, a classic BPF program out (Documentation/userspace-api/seccomp_filter.rst).
//!
//! Shape: the architecture, then the number in a balanced tree of ranges, then arguments in the leaves. No argument is
//! loaded on the way to a call that is always allowed: the kernel runs the program for every number once, when it is
//! installed, and remembers such calls in a bitmap, so that they never run the filter at all.
//!
//! The program is written from its end to its start. BPF jumps forward only, so every target of a jump is already placed
//! when the jump is written, and its distance is known: no labels, no second pass.

#![forbid(unsafe_code)]

use super::rules::{Action, Arm, Cond, Half, NEWEST, Rule, TELLTALE, TELLTALE_ERRNO, Test};
use libc::sock_filter;

/// The machine that a program is for. Both are compiled in the tests of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// x86_64.
    X86_64,
    /// aarch64.
    Aarch64,
}

impl Arch {
    /// The machine this code runs on.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Arch = Arch::X86_64;
    /// The machine this code runs on.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Arch = Arch::Aarch64;

    /// Its AUDIT_ARCH_* of linux/audit.h.
    #[must_use]
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::Aarch64 => 0xc000_00b7,
        }
    }

    /// The rule's system call number here, if there is such a call.
    #[must_use]
    pub fn number(self, rule: &Rule) -> Option<u32> {
        match self {
            Arch::X86_64 => rule.x86_64,
            Arch::Aarch64 => rule.aarch64,
        }
    }
}

/// Why a table of rules is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Two rules for one number.
    #[error("seccomp: the rules {first} and {second} are for the same system call {number}")]
    Twice {
        /// The number.
        number: u32,
        /// A rule.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// A number above [`NEWEST`], where everything is ENOSYS.
    #[error("seccomp: the rule {name} is for system call {number}, above the newest known one")]
    TooNew {
        /// The rule.
        name: &'static str,
        /// Its number.
        number: u32,
    },
    /// An argument index above 5.
    #[error("seccomp: the rule {name} asks for argument {arg}; there are six")]
    Argument {
        /// The rule.
        name: &'static str,
        /// The index.
        arg: u8,
    },
    /// BPF_MAXINSNS.
    #[error("seccomp: the program has {len} instructions, the kernel takes 4096")]
    TooLong {
        /// The number of instructions.
        len: usize,
    },
}

/// What a range of numbers leads to.
#[derive(Debug, Clone, Copy)]
enum Leaf {
    /// One answer.
    Act(Action),
    /// It depends on the arguments.
    Ask(&'static Rule),
}

/// Compiles the rules for a machine.
///
/// # Errors
///
/// [`CompileError`]: only a wrong table does that.
pub fn compile(rules: &'static [Rule], arch: Arch) -> Result<Vec<sock_filter>, CompileError> {
    compile_with(rules, arch, Action::Allow)
}

/// The same with another answer to the calls that no rule names: a list of what is allowed.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_with(
    rules: &'static [Rule],
    arch: Arch,
    unnamed: Action,
) -> Result<Vec<sock_filter>, CompileError> {
    assemble(&ranges(rules, arch, unnamed)?, arch)
}

/// A program that lets these calls pass, by their numbers on that machine, and kills the process for any other one: for
/// processes of agentbox itself.
///
/// # Errors
///
/// [`CompileError::TooLong`].
pub fn allow_list(numbers: &[u32], arch: Arch) -> Result<Vec<sock_filter>, CompileError> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    let mut ranges = vec![(0, Leaf::Act(Action::Kill))];
    for number in numbers {
        // The range that begins here was closed to let the neighbour before it end.
        if ranges.last().is_some_and(|(start, _)| *start == number) {
            ranges.pop();
        }
        push(&mut ranges, number, Leaf::Act(Action::Allow));
        push(
            &mut ranges,
            number.saturating_add(1),
            Leaf::Act(Action::Kill),
        );
    }
    assemble(&ranges, arch)
}

fn assemble(ranges: &[(u32, Leaf)], arch: Arch) -> Result<Vec<sock_filter>, CompileError> {
    let mut program = Program::default();
    let tree = program.tree(ranges);
    // Loads the number, after the architecture has been found to be ours.
    program.jump_to(tree);
    program.load(0);
    let ours = program.here();
    let foreign = program.action(Action::Kill);
    program.branch(BPF_JEQ, arch.audit(), ours, foreign);
    program.load(4);
    program.finish()
}

/// Every number, as ranges: the first number of each and where it leads to. The first range starts at 0, the last ends
/// at the largest number. Neighbours with the same answer are one range.
fn ranges(
    rules: &'static [Rule],
    arch: Arch,
    unnamed: Action,
) -> Result<Vec<(u32, Leaf)>, CompileError> {
    let mut numbered: Vec<(u32, &'static Rule)> = Vec::with_capacity(rules.len());
    for rule in rules {
        let Some(number) = arch.number(rule) else {
            continue;
        };
        if number > NEWEST {
            return Err(CompileError::TooNew {
                name: rule.name,
                number,
            });
        }
        let conds = rule.arms.iter().flat_map(|arm| arm.when);
        if let Some(cond) = conds.into_iter().find(|cond| cond.arg > 5) {
            return Err(CompileError::Argument {
                name: rule.name,
                arg: cond.arg,
            });
        }
        numbered.push((number, rule));
    }
    numbered.sort_unstable_by_key(|(number, _)| *number);

    let mut ranges: Vec<(u32, Leaf)> = Vec::with_capacity(2 * numbered.len() + 4);
    let mut last: Option<(u32, &'static Rule)> = None;
    let mut next = 0;
    for (number, rule) in numbered {
        if let Some((before, first)) = last
            && before == number
        {
            return Err(CompileError::Twice {
                number,
                first: first.name,
                second: rule.name,
            });
        }
        if number > next {
            push(&mut ranges, next, Leaf::Act(unnamed));
        }
        let leaf = if rule.arms.is_empty() {
            Leaf::Act(rule.otherwise)
        } else {
            Leaf::Ask(rule)
        };
        push(&mut ranges, number, leaf);
        last = Some((number, rule));
        next = number + 1;
    }
    if next <= NEWEST {
        push(&mut ranges, next, Leaf::Act(unnamed));
    }
    // Above: nobody has judged these calls. x32's numbers (0x4000_0000 and up) are here, too: they have the same
    // architecture as x86_64's, and without this each rule could be evaded by setting that bit.
    push(&mut ranges, NEWEST + 1, Leaf::Act(ENOSYS));
    push(
        &mut ranges,
        TELLTALE,
        Leaf::Act(Action::Errno(TELLTALE_ERRNO)),
    );
    push(&mut ranges, TELLTALE + 1, Leaf::Act(ENOSYS));
    Ok(ranges)
}

const ENOSYS: Action = Action::Errno(38);

fn push(ranges: &mut Vec<(u32, Leaf)>, start: u32, leaf: Leaf) {
    if let (Some((_, Leaf::Act(before))), Leaf::Act(action)) = (ranges.last(), leaf)
        && *before == action
    {
        return;
    }
    ranges.push((start, leaf));
}

// Operation codes of linux/bpf_common.h.
const LD_W_ABS: u16 = 0x20;
const ALU_AND_K: u16 = 0x54;
const RET_K: u16 = 0x06;
const JMP_JA: u16 = 0x05;
const BPF_JEQ: u16 = 0x15;
const BPF_JGE: u16 = 0x35;
const BPF_JSET: u16 = 0x45;

/// A place in a program: the number of instructions from there to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(usize);

/// A program, its last instruction first.
#[derive(Debug, Default)]
struct Program {
    reversed: Vec<sock_filter>,
    /// The place that answers with an action, the latest of each.
    returns: Vec<(Action, Place)>,
}

impl Program {
    /// The instruction that was written last.
    fn here(&self) -> Place {
        Place(self.reversed.len())
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.reversed.push(sock_filter { code, jt, jf, k });
    }

    /// How many instructions lie between the one that is written next and `target`.
    fn distance(&self, target: Place) -> usize {
        self.reversed.len() - target.0
    }

    /// A load of a word of struct seccomp_data at this offset.
    fn load(&mut self, offset: u32) {
        self.push(LD_W_ABS, 0, 0, offset);
    }

    /// A place that answers with this action, near enough for a conditional jump even if a few more instructions come
    /// between.
    fn action(&mut self, action: Action) -> Place {
        let known = self.returns.iter().position(|(a, _)| *a == action);
        if let Some(index) = known {
            let place = self.returns[index].1;
            if self.distance(place) < 240 {
                return place;
            }
            self.returns.remove(index);
        }
        let k = match action {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
            Action::Ask => libc::SECCOMP_RET_USER_NOTIF,
        };
        self.push(RET_K, 0, 0, k);
        let place = self.here();
        self.returns.push((action, place));
        place
    }

    /// Goes on at `target`: nothing if that is the next instruction.
    fn jump_to(&mut self, target: Place) {
        let distance = self.distance(target);
        if distance > 0 {
            // A program has 4096 instructions at most; more is refused in `finish`.
            self.push(JMP_JA, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX));
        }
    }

    /// The distance for a conditional jump, which reaches 255 instructions; further ones go by a JA that is put between.
    fn reach(&mut self, target: Place) -> Place {
        // Room for the JA of the other target.
        if self.distance(target) < usize::from(u8::MAX) {
            return target;
        }
        self.jump_to(target);
        self.here()
    }

    /// A comparison of the accumulator with `k`.
    fn branch(&mut self, code: u16, k: u32, yes: Place, no: Place) {
        let (yes, no) = (self.reach(yes), self.reach(no));
        let offset = |target| u8::try_from(self.distance(target)).unwrap_or(u8::MAX);
        let (jt, jf) = (offset(yes), offset(no));
        self.push(code, jt, jf, k);
    }

    /// The tree over these ranges; the accumulator holds the number. The start of it.
    fn tree(&mut self, ranges: &[(u32, Leaf)]) -> Place {
        let (left, right) = ranges.split_at(ranges.len() / 2);
        match (left, right) {
            ([], [(_, Leaf::Act(action)), ..]) => self.action(*action),
            ([], [(_, Leaf::Ask(rule)), ..]) => self.ask(rule),
            // Not reached: an empty slice is never passed. It would have to be closed and not open.
            (_, []) => self.action(Action::Kill),
            (left, [(start, _), ..]) => {
                let start = *start;
                let right = self.tree(right);
                let left = self.tree(left);
                self.branch(BPF_JGE, start, right, left);
                self.here()
            }
        }
    }

    /// The questions of a rule. The start of them.
    fn ask(&mut self, rule: &Rule) -> Place {
        let mut otherwise = self.action(rule.otherwise);
        for arm in rule.arms.iter().rev() {
            otherwise = self.arm(arm, otherwise);
        }
        otherwise
    }

    fn arm(&mut self, arm: &Arm, otherwise: Place) -> Place {
        let mut next = self.action(arm.then);
        for cond in arm.when.iter().rev() {
            next = self.cond(cond, next, otherwise);
        }
        next
    }

    fn cond(&mut self, cond: &Cond, yes: Place, no: Place) -> Place {
        match cond.test {
            Test::AnyBit(mask) => self.branch(BPF_JSET, mask, yes, no),
            Test::OneOf(mask, values) => {
                let mut no = no;
                for (i, value) in values.iter().rev().enumerate() {
                    if i > 0 {
                        no = self.here();
                    }
                    self.branch(BPF_JEQ, *value, yes, no);
                }
                if mask != u32::MAX {
                    self.push(ALU_AND_K, 0, 0, mask);
                }
            }
        }
        // struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits. Both machines are little-endian.
        let half = match cond.half {
            Half::Low => 0,
            Half::High => 4,
        };
        self.load(16 + 8 * u32::from(cond.arg) + half);
        self.here()
    }

    fn finish(mut self) -> Result<Vec<sock_filter>, CompileError> {
        let len = self.reversed.len();
        if len > 4096 {
            return Err(CompileError::TooLong { len });
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }
}
