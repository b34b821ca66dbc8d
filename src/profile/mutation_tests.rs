//! Texts that are nearly profiles: an error, never a panic.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use super::error::MOST;
use super::*;

/// xorshift64: the same texts in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn mutations_never_panic() {
    let mut corpus: Vec<Vec<u8>> = crate::profile::builtin::ALL
        .iter()
        .map(|b| b.text.as_bytes().to_vec())
        .collect();
    corpus.push(
        b"[limits]\nmemory = \"8GiB\"\ntime = \"1h30m\"\ncpu = 1.5\n[layers]\noff = [\"view\"]\n"
            .to_vec(),
    );
    corpus.push(
        "description = \"h\u{e9}\u{1f980}\"\n[env.set]\nA = '''\nx'''\n"
            .as_bytes()
            .to_vec(),
    );
    let words: [&[u8]; 16] = [
        b"[",
        b"]",
        b"\"",
        b"'''",
        b"\n",
        b"=",
        b"{",
        b"}",
        b"\\u0000",
        b"?",
        b"/",
        b"~",
        b"%",
        b"\xc3\xa9",
        b"99999999999999999999",
        b"\t",
    ];
    let place = Place::File("p.toml".into());
    let mut random = Random(0x5eed_1234_abcd_0001);
    let (mut fine, mut refused) = (0, 0);
    for round in 0..2500 {
        let mut text = corpus[random.below(corpus.len())].clone();
        // Short pieces too: parsing 10 KiB four thousand times in a debug build is slow.
        let from = random.below(text.len());
        let to = (from + 1 + random.below(1200)).min(text.len());
        text = text[from..to].to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(text.len());
            match random.below(4) {
                0 if !text.is_empty() => drop(text.remove(at)),
                1 => {
                    let word = words[random.below(words.len())];
                    text.splice(at..at, word.iter().copied());
                }
                2 if !text.is_empty() => text[at] = u8::try_from(random.below(256)).unwrap(),
                _ => text.truncate(at),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let role = if round % 2 == 0 {
            Role::Profile
        } else {
            Role::Config
        };
        match parse(&text, "p", &place, role) {
            Ok(_) => fine += 1,
            Err(problems) => {
                refused += 1;
                assert!(!problems.is_empty() && problems.len() <= MOST + 1);
                for d in problems {
                    assert!(d.line >= 1 && d.column >= 1);
                    let lines = u32::try_from(text.matches('\n').count()).unwrap() + 1;
                    assert!(d.line <= lines, "{d}\n{text}");
                    assert!(!d.to_string().contains('\u{1b}'));
                }
            }
        }
    }
    // The mutations hit both sides, or they test nothing.
    assert!(fine > 20 && refused > 500, "{fine} {refused}");
}
