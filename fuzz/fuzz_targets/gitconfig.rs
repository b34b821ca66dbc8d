//! A git configuration that the box wrote: what executes is taken out, and what was there before is there again.
#![no_main]

use agentbox::keeper::gitconfig::clean;
use agentbox::plan::gitconfig::clean::comes_to_hold;

/// What executes in a text, as rows of the list.
fn executing(text: &[u8]) -> Option<Vec<&'static str>> {
    let cleaned = clean(b"", text, None, &mut |_: &[u8]| true).ok()?;
    Some(cleaned.map(|cleaned| cleaned.taken).unwrap_or_default())
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (Some(now), base) = (parts.next(), parts.next().unwrap_or_default()) else { return };
    // What the box is shown holds no credential.
    if let Some(shown) = comes_to_hold(base, now, &[]) {
        assert_eq!(comes_to_hold(b"", &shown, &[]), None);
    }
    let leads = &mut |_: &[u8]| true;
    let Ok(Some(cleaned)) = clean(base, now, None, leads) else { return };
    let after = executing(&cleaned.text).expect("what is written can be read");
    assert_eq!(after, executing(base).unwrap_or_default());
    assert!(clean(base, &cleaned.text, None, leads).expect("it can be read").is_none());
});
