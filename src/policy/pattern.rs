//! Patterns of variable names: `*` stands for any run of bytes, everything else for itself.

#![forbid(unsafe_code)]

/// Whether `text` is a pattern and not an exact name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// Whether the pattern matches the whole name. Linear in time for one `*`, never worse than the product of the lengths.
#[must_use]
pub fn matches(pattern: &str, name: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut p, mut n) = (0, 0);
    // Where to go on when a later byte does not fit: behind the last `*`, one byte of the name further.
    let mut back: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(want) if want == byte => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    back = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (pattern, name, want) in [
            ("HOME", "HOME", true),
            ("HOME", "HOMES", false),
            ("HOME", "HOM", false),
            ("LC_*", "LC_ALL", true),
            ("LC_*", "LC_", true),
            ("LC_*", "XLC_ALL", false),
            ("*_TOKEN", "GH_TOKEN", true),
            ("*_TOKEN", "GH_TOKEN_X", false),
            ("A*B*C", "AxxBBxC", true),
            ("A*B*C", "AxxBBx", false),
            ("*", "", true),
            ("", "", true),
            ("", "A", false),
            ("**A", "BA", true),
            // Nothing but `*` is special; profiles may not write it in a name of a variable.
            ("A?", "AB", false),
        ] {
            assert_eq!(
                matches(pattern, name.as_bytes()),
                want,
                "{pattern} / {name}"
            );
        }
        assert!(matches("A*", b"A\xff\x00"));
    }
}
