#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use std::path::PathBuf;
use std::process::Command;

/// As `git config --list -z` prints it; `None` where git refuses the file.
fn ours(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for entry in parse(text).ok()?.entries {
        out.extend(entry.name());
        if let Some(value) = &entry.value {
            out.push(b'\n');
            out.extend(value);
        }
        out.push(0);
    }
    Some(out)
}

struct Git {
    dir: PathBuf,
}

impl Git {
    fn new(name: &str) -> Git {
        let dir = std::env::temp_dir().join(format!("agentbox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Git { dir }
    }

    fn list(&self, text: &[u8]) -> Option<Vec<u8>> {
        let file = self.dir.join("config");
        std::fs::write(&file, text).unwrap();
        let out = Command::new("git")
            .args(["config", "--null", "--list", "--file"])
            .arg(&file)
            .output()
            .unwrap();
        out.status.success().then_some(out.stdout)
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const ODD: &[&[u8]] = &[
    b"",
    b"x = y\n",
    b"x\n[a]k=v",
    b"[a]k=v",
    b"[a]k",
    b"[a]k=",
    b"[a]\nk = a \\\n  b\n",
    b"[a]\nk = a\\\r\n b\r\n",
    b"[a]\r\nk = v\r\nflag\r\n; c\r\n[b]\r\nk = \"x\"\r\n",
    b"[a]\nk = v\r",
    b"[a]\nk = v # c\\\nd = 1\n",
    b"[a]\nk = \"v # c\" ; d\n",
    b"[a]\nk = x\"  y  \"z  \n",
    b"[a]\nk = \"x\\n\\t\\b\\\\\\\"\"\n",
    b"[a]\nk = \\x\n",
    b"[a]\nk = \"x\n",
    b"[a]\nk =\\",
    b"[a]\nk = v \\\n",
    b"[a]\nk = v \\\n  \n j = 1",
    b"[a]\nk # c\n",
    b"[a]k\r=v",
    b"[a]\n\x0bk=v\n",
    b"[a]k=\x0c v\x0c \n",
    b"[a \"B c\"]k=1",
    b"[a  \t \"b\"]k=1",
    b"[a \"b\\\"\\\\\\n\"]k=1",
    b"[a \"b\" ]k=1",
    b"[a\n\"b\"]k=1",
    b"[a \"b\n\"]k=1",
    b"[a\"b\"]k=1",
    b"[a \"\"]k=1",
    b"[ \"a\"]k=1",
    b"[A.B.C]K=V",
    b"[A.B \"C\"]K=V",
    b"[a.]k=1",
    b"[.a]k=1",
    b"[]k=1",
    b"[a b]k=1",
    b"[a_b]k=1",
    b"[a]k_b=1",
    b"[a]1=1",
    b"[a]k1-=1",
    b"[a]-k=1",
    b"[a]= 1",
    b"[a][b]k=1",
    b"[a]k=1 [b]j=2",
    b"\xef\xbb\xbf[a]k=1",
    b"\xef\xbb[a]k=1",
    b"[a]\n\xef\xbb\xbfk=1",
    b"[a]k=\xff\xfe",
    b"[a \"\xff\"]k=1",
    b"[includeIf \"gitdir:~/x/\"]\n path = ~/y\n[include]path=z",
    b"# only\n;comments",
    b"\n\n \t\n[a]\n\n\tk\t=\tv\t\n",
    b"[a]k=v\n]",
    b"[a",
    b"[a \"b",
    b"[a \"b\\",
];

/// Blanks within a value are spaces for git before 2.45 and themselves since then.
fn plain(list: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let blank = |byte: u8| {
        if matches!(byte, b'\t' | b'\r') {
            b' '
        } else {
            byte
        }
    };
    list.map(|bytes| bytes.into_iter().map(blank).collect())
}

#[test]
fn git_reads_odd_texts_the_same() {
    let git = Git::new("gitconfig-odd");
    for text in ODD {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(plain(ours(text)), plain(git.list(text)), "{shown:?}");
    }
}

#[test]
fn git_reads_mutated_texts_the_same() {
    let git = Git::new("gitconfig-mutated");
    let corpus = ODD.concat();
    let mut seed = 11u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 40).unwrap()
    };
    let mut read = 0;
    for _ in 0..400 {
        let mut text = b"[core]\n\ta = \"b c\" d\\\n e ; f\n[x \"y\\\"z\"]\r\n\tk\n".to_vec();
        let at = next() % corpus.len();
        text.extend(corpus.iter().skip(at).take(next() % 12));
        for _ in 0..next() % 3 {
            let at = next() % text.len();
            let byte = *b"\n\r\"\\[]=#; !\tax.\xff".get(next() % 16).unwrap();
            match next() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        let got = git.list(&text);
        read += usize::from(got.is_some());
        let shown = String::from_utf8_lossy(&text);
        assert_eq!(plain(ours(&text)), plain(got), "{shown:?}");
    }
    // Both kinds were met.
    assert!((50..350).contains(&read), "{read}");
}

#[test]
fn what_is_written_reads_the_same() {
    for text in ODD {
        let Ok(config) = parse(text) else { continue };
        let again = parse(&write(&config.entries)).unwrap();
        let shown = String::from_utf8_lossy(text);
        assert_eq!(again.entries.len(), config.entries.len(), "{shown:?}");
        for (a, b) in again.entries.iter().zip(&config.entries) {
            assert!(a.same_as(b), "{shown:?}");
        }
    }
}

/// Git takes the name for a C string and runs the hook; it is refused as a whole.
#[test]
fn a_name_that_a_nul_byte_ends_is_not_overlooked() {
    let text = b"[core \"hookspath\0\"]\n\tx = /tmp/evil\n";
    let git = Git::new("gitconfig-nul");
    assert_eq!(git.list(text).unwrap(), b"core.hookspath\n/tmp/evil\0");
    assert!(matches!(parse(text), Err(ConfigError::Bad { at: 16 })));
    assert!(parse(b"[core \"hookspath\"]\n\tx = /tmp/evil\n").is_ok());
}

#[test]
fn comments_are_kept_for_what_is_in_them() {
    let config = parse(b"# a\r\n[x] y = 1 ; b\n;c").unwrap();
    assert_eq!(config.comments, [&b" a"[..], b" b", b"c"]);
}
