//! An index of git's that the box wrote.
#![no_main]

use agentbox::plan::names::index::{ALL, Format, LONGEST, entries};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for (format, length) in [(Format::Sha1, 20), (Format::Sha256, 32)] {
        let mut sum = 0;
        let shared = entries(bytes, format, &mut |path, id| {
            assert!(path.len() <= LONGEST && !path.contains(&0) && id.len() == length);
            sum += path.len();
        });
        assert!(sum <= ALL);
        // A part of a file's name: it must not lead elsewhere.
        if let Some(Some(name)) = shared {
            assert!(!name.contains('/'));
        }
    }
});
