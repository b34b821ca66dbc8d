#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::testing::Dir;

const WIDE: &str = "[files]\nread = [\"~/.aws\"]\n";

fn pinned(dir: &Dir, pins: &[Pin]) {
    dir.write("user/trusted", &list_text(pins));
}

#[test]
fn its_authority_is_that_of_its_content_at_its_place() {
    let dir = Dir::new();
    let (places, ws) = (dir.places(), dir.path("ws"));
    std::fs::create_dir(&ws).unwrap();
    assert!(load(&ws, &places).unwrap().is_none());
    dir.write("ws/.agentbox.toml", WIDE);
    let first = load(&ws, &places).unwrap().unwrap();
    assert_eq!(first.fragment.authority, Authority::Tighten);
    assert_eq!(first.hash, hash(WIDE));

    pinned(&dir, &[Pin::of(&first)]);
    let authority = |ws: &Path| load(ws, &places).unwrap().unwrap().fragment.authority;
    assert_eq!(authority(&ws), Authority::Full);
    dir.write("ws/.agentbox.toml", &format!("{WIDE}\n"));
    assert_eq!(authority(&ws), Authority::Tighten, "changed");
    dir.write("ws/.agentbox.toml", WIDE);
    assert_eq!(authority(&ws), Authority::Full, "as it was");
    dir.write("other/.agentbox.toml", WIDE);
    assert_eq!(
        authority(&dir.path("other")),
        Authority::Tighten,
        "elsewhere"
    );
}

/// A name with a newline must not be able to say two things.
#[test]
fn a_path_is_one_line() {
    let dir = Dir::new();
    let places = dir.places();
    let odd = dir.path("a\nb");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join(NAME), WIDE).unwrap();
    let project = load(&odd, &places).unwrap().unwrap();
    let text = list_text(&[Pin::of(&project)]);
    assert_eq!(text.lines().count(), 1, "{text}");
    pinned(&dir, &[Pin::of(&project)]);
    let again = load(&odd, &places).unwrap().unwrap();
    assert_eq!(again.fragment.authority, Authority::Full);
}

#[test]
fn a_link_or_a_list_of_somebody_else_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    let places = dir.places();
    dir.write("secret", "password\n");
    std::fs::create_dir(dir.path("ws")).unwrap();
    std::os::unix::fs::symlink(dir.path("secret"), dir.path("ws/.agentbox.toml")).unwrap();
    let error = load(&dir.path("ws"), &places).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    assert!(!error.contains("password"), "{error}");

    dir.write("mine/.agentbox.toml", WIDE);
    let project = load(&dir.path("mine"), &places).unwrap().unwrap();
    pinned(&dir, &[Pin::of(&project)]);
    let list = dir.path("user/trusted");
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = load(&dir.path("mine"), &places).unwrap_err().to_string();
    assert!(error.contains("everybody may write"), "{error}");
}

#[test]
fn it_is_no_profile() {
    let dir = Dir::new();
    for text in [
        "extends = [\"base\"]\n",
        "[agent]\ncommands = [\"x\"]\n",
        "[files]\nraed = []\n",
    ] {
        dir.write("ws/.agentbox.toml", text);
        let error = load(&dir.path("ws"), &dir.places())
            .unwrap_err()
            .to_string();
        assert!(error.contains(".agentbox.toml:"), "{error}");
    }
}
