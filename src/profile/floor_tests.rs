#![allow(clippy::unwrap_used)]

use super::*;
use crate::profile::testing::Dir;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

fn error(places: &Places) -> String {
    load(places).unwrap_err().to_string()
}

#[test]
fn a_floor_that_others_can_change_is_none_and_nothing_starts() {
    let dir = Dir::new();
    let places = dir.places();
    assert!(load(&places).unwrap().is_none(), "there is none");
    let path = dir.write("etc/floor.toml", "[env]\ndeny = [\"X\"]\n");
    if !nix::unistd::geteuid().is_root() {
        assert!(error(&places).contains("not to root"), "{}", error(&places));
        return;
    }
    let floor = load(&places).unwrap().unwrap();
    assert_eq!(floor.env.deny.len(), 1);
    assert!(floor.env.deny[0].origin.to_string().starts_with("floor "));

    let set =
        |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for mode in [0o664, 0o646, 0o666] {
        set(&path, mode);
        assert!(error(&places).contains("may write this file"), "{mode:o}");
    }
    set(&path, 0o444);
    assert!(load(&places).is_ok());
    chown(&path, Some(12345), None).unwrap();
    assert!(error(&places).contains("uid 12345, not to root"));
    chown(&path, Some(0), None).unwrap();
    let etc = dir.path("etc");
    for mode in [0o775, 0o777] {
        set(&etc, mode);
        assert!(error(&places).contains("take the floor away"), "{mode:o}");
    }
    set(&etc, 0o755);
    chown(&etc, Some(12345), None).unwrap();
    assert!(error(&places).contains("this directory belongs to uid 12345"));
    chown(&etc, Some(0), None).unwrap();
    assert!(load(&places).is_ok());

    // A link to a floor elsewhere is one (NixOS, configuration management); one that leads nowhere is a floor that is lost.
    std::fs::rename(&path, dir.path("elsewhere.toml")).unwrap();
    symlink("../elsewhere.toml", &path).unwrap();
    assert!(load(&places).unwrap().is_some());
    std::fs::remove_file(dir.path("elsewhere.toml")).unwrap();
    assert!(error(&places).contains("No such file"));
    std::fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    assert!(error(&places).contains("open"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(error(&places).contains("not a regular file"));
}

#[test]
fn it_only_forbids() {
    let path = Path::new("/etc/agentbox/floor.toml");
    let wrong = |text: &str| understood(text, path).unwrap_err().to_string();
    for (text, place, words) in [
        (
            "[files]\nread = [\"/opt\"]\n",
            ":2:1:",
            "`files.read` has no place in a floor",
        ),
        ("extends = [\"base\"]\n", ":1:1:", "has no place in a floor"),
        (
            "[files]\nhide = [\n  \"!~/.aws\",\n]\n",
            ":3:1:",
            "lifts, and a floor only forbids",
        ),
        (
            "[files]\nhide = [{ name = \"~/.npmrc\", holds = \"token\" }]\n",
            ":2:1:",
            "a condition would show",
        ),
        ("[layers]\noff = [\"seccomp\"]\n", ":2:1:", "`layers.off`"),
        ("[network]\nallow = [\"*\"]\n", ":2:1:", "`network.allow`"),
        (
            "[network]\nmdoe = \"none\"\n",
            ":2:1:",
            "did you mean `mode`?",
        ),
        ("[limits\n", ":1:8:", ""),
    ] {
        let said = wrong(text);
        assert!(
            said.contains(place) && said.contains(words),
            "{text}: {said}"
        );
    }
    // Several at once.
    let said = wrong("[files]\nread = [\"/opt\"]\nwrite = [\"/opt\"]\n");
    assert!(said.contains("files.read") && said.contains("files.write"));
}
