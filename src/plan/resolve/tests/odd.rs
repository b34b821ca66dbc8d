//! Whatever is typed or found, there is an answer.

use super::world::{World, bytes_wish, cli, sound};
use crate::plan::OsText;
use crate::policy::Wish;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// xorshift: the same rows in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    fn text(&mut self) -> Vec<u8> {
        const PARTS: [&[u8]; 26] = [
            b"/",
            b"..",
            b".",
            b"~",
            b"${workspace}",
            b"${",
            b"}",
            b"${}",
            b"home",
            b"u",
            b"proj",
            b"\xff",
            b"\n",
            b" ",
            b"*",
            b"?",
            b"etc",
            b"shadow",
            b"//",
            b"=",
            b"\x1b[2J",
            b":",
            b"usr",
            b"bin",
            b"\0",
            b".git",
        ];
        let mut out = Vec::new();
        for _ in 0..self.roll(9) {
            out.extend_from_slice(PARTS[self.roll(PARTS.len())]);
        }
        out
    }

    fn os(&mut self) -> OsString {
        OsString::from_vec(self.text())
    }
}

#[test]
fn no_odd_string_panics() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut plans = 0;
    for _ in 0..3000 {
        let mut world = World::new();
        let one = |dice: &mut Dice| bytes_wish(&dice.text(), cli("--read"));
        match dice.roll(9) {
            0 => world.policy.wishes.files.read.push(one(&mut dice)),
            1 => world.policy.wishes.files.write.push(one(&mut dice)),
            2 => world.policy.wishes.files.private.push(one(&mut dice)),
            3 => world.policy.wishes.files.state.push(one(&mut dice)),
            4 => world.policy.request.workspace = Some(dice.os().into()),
            5 => world.host.home = dice.os().into(),
            6 => world.policy.request.argv = vec![dice.os().into(), dice.os().into()],
            7 => {
                let content = dice.text();
                world.fs.file("/home/u/proj/x", [b"#!", &*content].concat());
                world.fs.program(
                    "/home/u/proj/y",
                    &String::from_utf8_lossy(&[b"#!", &*content].concat()),
                );
                world.run("./y");
            }
            _ => {
                let pattern = String::from_utf8_lossy(&dice.text()).into_owned();
                world.policy.wishes.env.keep.push(Wish {
                    value: pattern,
                    origin: cli("--env"),
                });
                world.host.env.push((dice.os(), dice.os()));
                world.var("PATH", &String::from_utf8_lossy(&dice.text()));
                world.run("/usr/bin/bash");
            }
        }
        match world.resolve() {
            Ok(plan) => {
                plans += 1;
                sound(&plan);
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    assert!(!problem.to_string().contains('\x1b'), "{problem:?}");
                }
            }
        }
    }
    assert!(
        plans > 300,
        "only {plans} rows got through: the test tests nothing"
    );
}

#[test]
fn credentials_of_odd_values() {
    use crate::plan::credential;
    let mut dice = Dice(7);
    for _ in 0..3000 {
        let text = dice.text();
        credential::value(&text);
        credential::name(&text);
    }
    assert!(!credential::value(OsStr::new("").as_bytes()));
    assert!(!credential::value(OsText::default().bytes()));
}
