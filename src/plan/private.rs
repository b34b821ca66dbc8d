//! Where the persistent private places are on the host.

#![forbid(unsafe_code)]

use std::path::Path;

/// Those that every box has, below the user's data directory (`XDG_DATA_HOME`): caches of tools, under one mount.
pub const SHARED: &str = "agentbox/private";

/// Those of single profiles, each in a directory by its name.
pub const OWN: &str = "agentbox/private-of";

/// The directory of such places that a path is, or lies in: a box could write everything in it.
#[must_use]
pub fn holder(path: &Path) -> Option<&Path> {
    path.ancestors().find(|above| {
        above.ends_with(SHARED) || above.parent().is_some_and(|parent| parent.ends_with(OWN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders() {
        for (path, expected) in [
            (
                "/h/.local/share/agentbox/private/.cache/x",
                Some("/h/.local/share/agentbox/private"),
            ),
            (
                "/h/.local/share/agentbox/private",
                Some("/h/.local/share/agentbox/private"),
            ),
            (
                "/d/agentbox/private-of/aider/.aider",
                Some("/d/agentbox/private-of/aider"),
            ),
            (
                "/d/agentbox/private-of/aider",
                Some("/d/agentbox/private-of/aider"),
            ),
            ("/d/agentbox/private-of", None),
            ("/h/.cache", None),
        ] {
            assert_eq!(holder(Path::new(path)), expected.map(Path::new), "{path}");
        }
    }
}
