//! A git configuration that the box wrote: what executes is taken out, and what was there before is there again.
#![no_main]

use agentbox::keeper::gitconfig::{clean, executing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (Some(now), base) = (parts.next(), parts.next().unwrap_or_default()) else { return };
    let Ok(Some(cleaned)) = clean(base, now, None) else { return };
    let mut after = executing(&cleaned.text).expect("what is written can be read");
    let mut before = executing(base).unwrap_or_default();
    after.sort_unstable();
    before.sort_unstable();
    assert_eq!(before, after);
    assert!(clean(base, &cleaned.text, None).expect("it can be read").is_none());
});
