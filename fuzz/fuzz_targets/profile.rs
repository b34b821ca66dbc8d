//! Profiles, configurations and floors: read, or told with the place of each problem.
#![no_main]

use agentbox::profile::schema::{Place, Role, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for (role, place) in [
        (Role::Profile, Place::File("p.toml".to_owned())),
        (Role::Config, Place::File("config.toml".to_owned())),
        (Role::Floor, Place::Floor("floor.toml".to_owned())),
        (Role::Profile, Place::Project(".agentbox.toml".to_owned())),
    ] {
        if let Err(problems) = parse(text, "p", &place, role) {
            assert!(!problems.is_empty() && problems.len() <= 51);
            for problem in problems {
                assert!(!problem.to_string().is_empty());
            }
        }
    }
});
