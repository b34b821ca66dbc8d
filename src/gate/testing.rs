//! Seeded mutations for the parsers' tests.

/// Calls `parse` with every prefix of each seed and with many mutations: the same ones in every run.
pub(crate) fn mutate(seeds: &[&[u8]], rounds: u32, mut parse: impl FnMut(&[u8])) {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0)
    };
    for seed in seeds {
        for len in 0..=seed.len() {
            parse(&seed[..len]);
        }
        for _ in 0..rounds {
            let mut bytes = seed.to_vec();
            for _ in 0..=random() % 4 {
                let at = random() % (bytes.len() + 1);
                match random() % 6 {
                    0 if at < bytes.len() => bytes[at] ^= 1 << (random() % 8),
                    1 if at < bytes.len() => {
                        bytes[at] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, b'\r', b'\n', b' ']
                            [random() % 11];
                    }
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    3 => bytes.insert(at, u8::try_from(random() % 256).unwrap_or(0)),
                    4 => bytes.truncate(at),
                    _ => {
                        let other = seeds[random() % seeds.len()];
                        let from = random() % (other.len() + 1);
                        bytes.truncate(at);
                        bytes.extend_from_slice(&other[from..]);
                    }
                }
            }
            parse(&bytes);
        }
    }
}
