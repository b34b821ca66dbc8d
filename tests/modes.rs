//! Set-uid bits, devices and owners: what an agent may not leave behind on the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{Errno, Feature, Layer, TestBox, missing};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Every call that can set a set-uid or set-gid bit. As root a file so marked would be a root shell for everybody.
#[test]
fn set_uid_bits_cannot_be_set() {
    let b = TestBox::new().file("home/ws/a", "x");
    for mode in ["0o4755", "0o6755", "0o7777"] {
        b.probe("chmod 0o755 a").allowed();
        for line in ["chmod MODE a", "fchmod MODE a", "chmod2 MODE a"] {
            b.probe(&line.replace("MODE", mode))
                .denied(Errno::EPERM, Layer::Seccomp);
            assert_eq!(fs::metadata(b.ws().join("a")).unwrap().mode() & 0o6000, 0);
        }
        for (at, line) in [
            "create fresh MODE",
            "open fresh wronly,creat MODE",
            "mknod fresh f 0 0 MODE",
        ]
        .iter()
        .enumerate()
        {
            let plain = line
                .replace("MODE", "0o755")
                .replace("fresh", &format!("good{mode}{at}"));
            b.probe(&plain).allowed();
            b.probe(&line.replace("MODE", mode)).refused(Errno::EPERM);
            assert!(!b.ws().join("fresh").exists(), "{line} {mode}");
        }
    }
    for line in [
        "create fresh 0o2755",
        "open fresh wronly,creat 0o2755",
        "mknod fresh f 0 0 0o2755",
    ] {
        b.probe(line).refused(Errno::EPERM);
        assert!(!b.ws().join("fresh").exists(), "{line}");
    }
    // Set-gid by chmod is what directories need (`git init --shared`); the call does not say what it is given. A file
    // that has it afterwards loses it at the end of the session.
    b.probe("mkdir group").allowed();
    b.probe("chmod 0o2775 group").allowed();
    b.probe("chmod 0o2755 a").allowed();
    // (a root caller's: an ordinary user's own group is no more than he gave the agent anyway)
    assert!(!as_root() || fs::metadata(b.ws().join("a")).unwrap().mode() & 0o6000 == 0);
    // The sticky bit is nobody's danger.
    b.probe("mkdir shared").allowed();
    b.probe("chmod 0o1777 shared").allowed();
}

/// What gets through a filter (here: it is switched off) is swept at the end.
#[test]
fn set_uid_files_do_not_stay_behind() {
    let b = TestBox::new().off(&[Layer::Seccomp]);
    b.run(["/bin/sh", "-c", "cp /bin/true sneaky && chmod 6755 sneaky && mkdir d && cp sneaky d/deep && chmod 4755 d/deep"]).ok();
    for name in ["sneaky", "d/deep"] {
        let mode = fs::metadata(b.ws().join(name)).unwrap().mode();
        assert_eq!(mode & 0o6000, 0, "{name}: {mode:o}");
        assert_eq!(mode & 0o755, 0o755, "{name}: {mode:o}");
    }
}

#[test]
fn device_nodes_cannot_be_made() {
    let b = TestBox::new();
    b.probe("mknod fifo p").allowed();
    // 1:1 is /dev/mem, 8:0 a disk.
    b.probe("mknod mem c 1 1")
        .denied_deep(Errno::EPERM, Layer::Capabilities);
    b.probe("mknod disk b 8 0")
        .denied_deep(Errno::EPERM, Layer::Capabilities);
    // One that is already there opens for nobody in the box.
    if !missing(Feature::HostRoot) {
        let status = std::process::Command::new("mknod")
            .args(["-m", "666"])
            .arg(b.ws().join("null"))
            .args(["c", "1", "3"])
            .status();
        assert!(status.unwrap().success());
        b.probe("open null rdonly")
            .denied_deep(Errno::EACCES, Layer::View);
    }
}

#[test]
fn files_cannot_be_given_away() {
    let b = TestBox::new().file("home/ws/a", "x");
    let before = fs::metadata(b.ws().join("a")).unwrap().uid();
    for id in [1, 12345, 65534] {
        let answer = b.probe(&format!("chown {id} {id} a")).value();
        let name = answer["name"].as_str().unwrap_or("allowed");
        assert!(
            ["EPERM", "EINVAL"].contains(&name),
            "chown to {id}: {answer}"
        );
    }
    assert_eq!(fs::metadata(b.ws().join("a")).unwrap().uid(), before);
}
