#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]
use super::*;
use crate::sys::testing::scratch;

#[test]
fn a_place_is_within_itself_and_not_within_its_namesake() {
    let within = |inner: &str, outer: &str| within(Path::new(inner), Path::new(outer));
    assert!(within("/a/b", "/a"));
    assert!(within("/a", "/a"));
    assert!(within("/a", "/"));
    assert!(!within("/ab", "/a"));
    assert!(!within("/a", "/a/b"));
}

#[test]
fn forecasts_do_not_pile_up() {
    let dir = scratch("forecasts");
    let dir = dir.path().join("forecast");
    for number in 0..3 * KEPT {
        let path = dir.join(format!("{number}"));
        keep(&path, "{}");
        assert_eq!(read(&path).as_deref(), Some("{}"));
    }
    assert!(fs::read_dir(&dir).unwrap().count() <= KEPT + 1);
    assert_eq!(read(&dir.join("none")), None);
    assert_eq!(read(&dir), None, "a directory is no forecast");
}
