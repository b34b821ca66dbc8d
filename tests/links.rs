//! Files with hard links out of what the box may write: a write in the box must not change what other projects use, and
//! everything that a program does with such a tree must work as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Ran, TestBox, run};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

/// A store beside the workspace and a file of it in `node_modules`.
fn linked() -> TestBox {
    let b = TestBox::new()
        .profile(BASE)
        .file("home/store/left-pad.js", "good\n")
        .file("home/ws/src/main.js", "mine\n")
        .dir("home/ws/node_modules/left-pad");
    link(&b, "store/left-pad.js", "ws/node_modules/left-pad/index.js");
    b
}

fn link(b: &TestBox, from: &str, to: &str) {
    fs::hard_link(b.home().join(from), b.home().join(to)).unwrap();
}

fn sh(b: &TestBox, script: &str) -> Ran {
    b.run(["sh", "-c", script])
}

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn store(b: &TestBox) -> String {
    fs::read_to_string(b.home().join("store/left-pad.js")).unwrap()
}

/// Everything below a directory, as paths.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        out.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            out.extend(tree(&entry.path()));
        }
    }
    out
}

#[test]
fn a_write_does_not_reach_the_other_names() {
    let b = linked();
    let write = "echo evil >> node_modules/left-pad/index.js; cat node_modules/left-pad/index.js";
    let ran = sh(&b, write);
    assert_eq!(ran.ok(), "good\nevil");
    assert_eq!(store(&b), "good\n");
    let said = ran.complaint();
    assert!(
        said.contains(
            "1 file has a hard link outside of what the box may write (node_modules; 5 bytes)"
        ),
        "{said}"
    );
    // What was said once is done.
    let again = sh(&b, write);
    assert!(!again.complaint().contains("hard link"), "{again:?}");
    assert_eq!(store(&b), "good\n");

    // The twin: it is the copy that keeps the store as it was.
    let b = linked().option("--hard-links").option("allow");
    let ran = sh(&b, write);
    assert_eq!(ran.ok(), "good\nevil");
    assert_eq!(store(&b), "good\nevil\n");
    assert!(
        ran.complaint().contains("is changed outside, too"),
        "{ran:?}"
    );
}

#[test]
fn a_copy_is_what_the_file_was() {
    let b = linked();
    let file = b.ws().join("node_modules/left-pad/index.js");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    let time = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7));
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_times(time)
        .unwrap();
    let before = fs::metadata(&file).unwrap();
    sh(&b, "true").ok();
    let after = fs::metadata(&file).unwrap();
    let what = |m: &fs::Metadata| {
        (
            m.mode(),
            m.uid(),
            m.gid(),
            m.len(),
            m.mtime(),
            m.mtime_nsec(),
        )
    };
    assert_eq!(what(&after), what(&before));
    assert_ne!(after.ino(), before.ino());
    assert_eq!(
        (
            after.nlink(),
            fs::metadata(b.home().join("store/left-pad.js"))
                .unwrap()
                .nlink()
        ),
        (1, 1)
    );
    // Nothing else is in the tree.
    assert_eq!(tree(&b.ws().join("node_modules")).len(), 2);
}

/// A user who has left the group of a file cannot give it to a copy.
#[test]
fn a_file_of_a_group_that_the_user_is_not_in_becomes_a_copy_too() {
    const FOREIGN: u32 = 54_321;
    let b = linked();
    let root = nix::unistd::geteuid().is_root();
    let (uid, gid) = b.ids();
    let file = b.ws().join("node_modules/left-pad/index.js");
    if root {
        std::os::unix::fs::chown(&file, None, Some(FOREIGN)).unwrap();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o764)).unwrap();
    sh(&b, "cat node_modules/left-pad/index.js").ok();
    let after = fs::metadata(&file).unwrap();
    assert_eq!(after.nlink(), 1);
    // root can: its copy is what the file was. Nobody gets what only the group had.
    let expected = match (root, uid) {
        (true, 0) => (FOREIGN, 0o764),
        (true, _) => (gid, 0o744),
        (false, _) => (gid, 0o764),
    };
    assert_eq!((after.gid(), after.mode() & 0o7777), expected);
}

#[test]
fn refused_by_profile() {
    let rule = "extends = [\"base\", \"git\"]\n[files]\nhard-links = \"refuse\"\n";
    let b = linked().profile(rule);
    sh(&b, "true").refused(&[
        "hard link outside",
        "node_modules",
        "--hard-links copy",
        "--hard-links allow",
    ]);
    assert_eq!(
        inode(b.home().join("store/left-pad.js")),
        inode(b.ws().join("node_modules/left-pad/index.js"))
    );
    // Twins: without such a file it starts, and the command line is stronger.
    let allowed = linked().profile(rule).option("--hard-links").option("copy");
    sh(&allowed, "true").ok();
    fs::remove_file(b.home().join("store/left-pad.js")).unwrap();
    sh(&b, "true").ok();
}

#[test]
fn links_within_the_working_copy_stay() {
    let b = linked().file("home/ws/a/one", "1\n").dir("home/ws/b");
    link(&b, "ws/a/one", "ws/b/two");
    link(&b, "store/left-pad.js", "ws/node_modules/copy.js");
    let ran = sh(&b, "true");
    assert!(
        ran.complaint().contains("2 files have hard links"),
        "{ran:?}"
    );
    assert_eq!(inode(b.ws().join("a/one")), inode(b.ws().join("b/two")));
    // Two names of one file of the store are two names of one copy.
    let (one, two) = (
        b.ws().join("node_modules/left-pad/index.js"),
        b.ws().join("node_modules/copy.js"),
    );
    assert_eq!(inode(&one), inode(&two));
    assert_ne!(inode(&one), inode(b.home().join("store/left-pad.js")));
    // A name that is made later beside directories that are known already is no name outside.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    sh(&b, "true").ok();
    fs::create_dir(b.ws().join("c")).unwrap();
    link(&b, "ws/src/main.js", "ws/c/three");
    let before = inode(b.ws().join("src/main.js"));
    let ran = sh(&b, "true");
    assert!(!ran.complaint().contains("hard link"), "{ran:?}");
    assert_eq!(inode(b.ws().join("src/main.js")), before);
    assert_eq!(inode(b.ws().join("c/three")), before);
}

#[test]
fn what_is_done_with_such_a_tree_works() {
    let b = linked();
    let git = |dir: PathBuf, args: &[&str]| {
        let mut command = Command::new("git");
        let inner = b.command(["true"]);
        b.around(&mut command, &inner);
        command
            .current_dir(dir)
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args);
        run(command).ok()
    };
    // `git clone` of a local path links the objects.
    let other = b.home().join("other");
    git(b.home(), &["init", "-q", "other"]);
    fs::write(other.join("f"), "x\n").unwrap();
    git(other.clone(), &["add", "f"]);
    git(other.clone(), &["commit", "-qm", "one"]);
    git(
        b.home(),
        &["clone", "-q", "--no-checkout", "other", "clone"],
    );
    fs::rename(b.home().join("clone/.git"), b.ws().join(".git")).unwrap();
    let shared = |dir: &Path| {
        let all = tree(&dir.join(".git/objects"));
        all.iter()
            .filter(|p| fs::metadata(p).is_ok_and(|m| m.is_file() && m.nlink() > 1))
            .count()
    };
    assert!(shared(&b.ws()) >= 3);
    let script = "set -e; git checkout -q -f HEAD -- f; chmod -R u+w .git/objects; \
        for o in $(find .git/objects -type f); do cp $o $o.x; mv $o.x $o; done; \
        echo y > f; git -c user.name=a -c user.email=a@b commit -qam two; git gc -q --prune=now; git fsck --strict; \
        mv node_modules old; mkdir node_modules; rm -rf old; rm -rf node_modules; git clean -qdxf; ls";
    assert_eq!(sh(&b, script).ok(), "f");
    assert_eq!((shared(&b.ws()), shared(&other)), (0, 0));
    assert_eq!(git(other, &["fsck", "--strict"]), "");
    assert_eq!(store(&b), "good\n");
}

#[test]
fn hidden_and_frozen_files_stay_linked() {
    let b = linked()
        .file("home/store/env", "SECRET\n")
        .file("home/store/mcp", "{}\n");
    link(&b, "store/env", "ws/.env");
    link(&b, "store/mcp", "ws/.mcp.json");
    let ran = sh(&b, "cat .env; echo x > .mcp.json");
    assert_eq!(ran.text(), "", "{ran:?}");
    assert_eq!(
        inode(b.home().join("store/env")),
        inode(b.ws().join(".env"))
    );
    assert_eq!(
        inode(b.home().join("store/mcp")),
        inode(b.ws().join(".mcp.json"))
    );
    // The twin.
    assert_ne!(
        inode(b.home().join("store/left-pad.js")),
        inode(b.ws().join("node_modules/left-pad/index.js"))
    );
}

/// What an agent could do so that a file is not found: a later box does not start, and says why.
#[test]
fn a_tree_that_cannot_be_looked_into_is_refused() {
    let b = linked();
    // As if the host had installed it while the session ran, and the agent moves it where nobody looks.
    let hide = "mkdir -p shut/in; mv node_modules shut/in/; chmod 0 shut/in";
    sh(&b, "mkdir -p shut/in; chmod 0 shut/in").ok();
    let ran = sh(&b, "true");
    if common::world::as_root() {
        // Nothing is shut for root.
        ran.ok();
    } else {
        ran.refused(&["shut/in cannot be looked into", "--hard-links allow"]);
    }
    let b = linked().option("--hard-links").option("allow");
    sh(&b, hide).ok();
    let said = sh(
        &b,
        "chmod 700 shut/in; echo x >> shut/in/node_modules/left-pad/index.js",
    )
    .complaint();
    assert_eq!(store(&b), "good\nx\n", "{said}");

    let b = linked();
    let deep = "for i in $(seq 300); do mkdir d; cd d; done";
    sh(&b, deep).ok();
    sh(&b, "true").refused(&["is too deep to be looked into", "--hard-links allow"]);
}

/// What was said was the whole path, of kilobytes, and that it could not be read.
#[test]
fn a_path_that_is_too_long_is_told_in_short() {
    let b = linked();
    if common::missing(common::Feature::Tool("python3")) {
        return;
    }
    let deep = "python3 -c 'import os
for _ in range(60): os.mkdir(\"n\" * 100); os.chdir(\"n\" * 100)'";
    sh(&b, deep).ok();
    let ran = sh(&b, "true");
    ran.refused(&["is too deep to be looked into", "--hard-links allow"]);
    assert!(ran.complaint().len() < 1_000, "{ran:?}");
    let allowed = linked().option("--hard-links").option("allow");
    sh(&allowed, deep).ok();
    sh(&allowed, "true").ok();
}

#[test]
fn what_a_killed_copying_left_is_removed() {
    let b = linked().file(
        "home/ws/node_modules/left-pad/.agentbox-copy.0123456789abcdef",
        "go",
    );
    sh(&b, "true").ok();
    assert_eq!(tree(&b.ws().join("node_modules")).len(), 2);
    assert_eq!(store(&b), "good\n");
}

#[test]
fn explain_and_why_say_so() {
    let b = linked();
    let explain = run(b.agentbox(["explain", "--", "true"])).ok();
    assert!(
        explain.contains("1 file has a hard link outside"),
        "{explain}"
    );
    let file = b.ws().join("node_modules/left-pad/index.js");
    let why = |more: &[&str], file: &Path| {
        let mut args = vec!["why", "write"];
        let file = file.to_str().unwrap();
        args.push(file);
        args.extend(more);
        run(b.agentbox(args)).ok()
    };
    let said = why(&[], &file);
    assert!(
        said.contains("the box starts with a copy of its own"),
        "{said}"
    );
    let said = why(&["--hard-links", "allow"], &file);
    assert!(said.contains("which are changed as well"), "{said}");
    let said = why(&[], &b.ws().join("src/main.js"));
    assert!(!said.contains("hard link"), "{said}");
    // Asking changes nothing.
    assert_eq!(inode(b.home().join("store/left-pad.js")), inode(&file));
}

/// A tree that is large enough for a second thread to ask for its files: each of them is found once, wherever it is, whichever
/// of the two searches is the first that comes by, and by what is remembered, too.
#[test]
fn all_of_a_large_tree_are_found() {
    let b = linked();
    let mut wanted = 1;
    for number in 0..400 {
        let dir = match number % 4 {
            // Names are not looked for there, nor in what is hidden as a whole.
            0 => format!("ws/node_modules/p{number}/lib"),
            1 => format!("ws/src/m{number}"),
            2 => format!("ws/.git/objects/{number}"),
            _ => format!("ws/a/b/c/d{number}"),
        };
        fs::create_dir_all(b.home().join(&dir)).unwrap();
        fs::write(b.home().join(&dir).join("own"), "x").unwrap();
        if number % 3 == 0 {
            let store = format!("store/f{number}");
            fs::write(b.home().join(&store), "good\n").unwrap();
            link(&b, &store, &format!("{dir}/linked"));
            wanted += 1;
        }
        // Both names are the box's: nothing to do.
        if number % 5 == 0 {
            link(&b, &format!("{dir}/own"), &format!("{dir}/twin"));
        }
    }
    let (uid, gid) = b.ids();
    let mut chown = Command::new("chown");
    chown.args(["-R", &format!("{uid}:{gid}")]).arg(b.home());
    run(chown).ok();
    let words = format!("{wanted} files have hard links");
    let explain = |b: &TestBox| run(b.agentbox(["explain", "--", "sh"])).text();
    let cold = explain(&b);
    assert!(cold.contains(&words), "{cold}");
    // Old enough to be remembered.
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    for _ in 0..3 {
        let known = explain(&b);
        assert!(known.contains(&words), "{known}");
    }
    // The one that appears in a known tree is found as well.
    fs::write(b.home().join("store/late"), "good\n").unwrap();
    b.chown(&b.home().join("store/late"));
    link(&b, "store/late", "ws/src/m1/late");
    let more = explain(&b);
    assert!(
        more.contains(&format!("{} files have hard links", wanted + 1)),
        "{more}"
    );
    let ran = sh(
        &b,
        "for f in $(find . -name linked); do echo evil > $f; done",
    );
    ran.ok();
    for number in (0..400).filter(|number| number % 3 == 0) {
        let text = fs::read_to_string(b.home().join(format!("store/f{number}"))).unwrap();
        assert_eq!(text, "good\n", "{number}");
    }
}

/// A file that is granted by itself was not looked at.
#[test]
fn a_single_file_that_is_granted_becomes_a_copy_too() {
    let world = || {
        let b = TestBox::new()
            .profile(BASE)
            .file("home/store/left-pad.js", "good\n")
            .dir("home/out");
        link(&b, "store/left-pad.js", "out/one");
        b.option("--write").option("{home}/out/one")
    };
    let b = world();
    let ran = b.sh("echo evil >> {home}/out/one; cat {home}/out/one");
    assert_eq!(ran.ok(), "good\nevil");
    assert_eq!(store(&b), "good\n");
    assert!(
        ran.complaint().contains("1 file has a hard link"),
        "{ran:?}"
    );
    // What the box wrote is there, under the name that was granted.
    let out = fs::read_to_string(b.home().join("out/one")).unwrap();
    assert_eq!(out, "good\nevil\n");
    // The twins.
    let b = world().option("--hard-links").option("refuse");
    b.sh("true")
        .refused(&["hard link outside", "--hard-links copy"]);
    let b = world().option("--hard-links").option("allow");
    b.sh("echo evil >> {home}/out/one").ok();
    assert_eq!(store(&b), "good\nevil\n");
}

/// What is linked while the box runs is a guard-rail: it is the store's until the next start, and a copy from then on.
#[test]
fn what_the_host_links_meanwhile_becomes_a_copy_at_the_next_start() {
    let b = linked();
    let script = "echo ready; until [ -e go ]; do sleep 0.01; done; echo evil >> late.js";
    let mut live = b.start(["sh", "-c", script]);
    live.wait_line("ready");
    link(&b, "store/left-pad.js", "ws/late.js");
    fs::write(b.ws().join("go"), "").unwrap();
    assert_eq!(live.end().code(), 0);
    assert_eq!(store(&b), "good\nevil\n", "as documented");
    let ran = sh(&b, "echo worse >> late.js; tail -n 1 late.js");
    assert_eq!(ran.ok(), "worse");
    assert!(
        ran.complaint().contains("1 file has a hard link"),
        "{ran:?}"
    );
    assert_eq!(store(&b), "good\nevil\n");
}

/// A command of the test user outside of any box, in the workspace.
fn outside(b: &TestBox, script: &str) -> Ran {
    let inner = b.command(["true"]);
    let mut command = Command::new("sh");
    b.around(&mut command, &inner);
    command.current_dir(b.ws()).args(["-c", &b.fill(script)]);
    run(command)
}

/// The files below a directory that have more than one name.
fn many_names(dir: &Path) -> usize {
    let all = tree(dir)
        .into_iter()
        .filter_map(|p| fs::symlink_metadata(p).ok());
    all.filter(|m| m.is_file() && m.nlink() > 1).count()
}

/// Appends to every file of a tree that can be written.
const POISON: &str = "find $DIR -type f -name '*.js' -o -type f -name '*.py' | \
    while read f; do chmod u+w \"$f\"; echo '// evil' >> \"$f\"; done";

#[test]
#[ignore = "installs pnpm from the npm registry"]
fn a_pnpm_project_keeps_working() {
    let b = TestBox::new().profile(BASE).dir("tools");
    let tools = b.root().join("tools");
    let npm = Command::new("npm")
        .args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"])
        .arg(&tools)
        .arg("pnpm@9.15.9")
        .output()
        .unwrap();
    assert!(npm.status.success(), "{npm:?}");
    let b = b.option("--read").option(tools.to_str().unwrap());
    let pnpm = "node {t}/tools/node_modules/pnpm/bin/pnpm.cjs";
    outside(
        &b,
        &format!("{pnpm} add --silent is-odd@3.0.1 left-pad@1.3.0"),
    )
    .ok();
    let modules = b.ws().join("node_modules");
    assert!(many_names(&modules) > 4, "pnpm has not linked its store");

    let poison = b.fill(&format!(
        "DIR=node_modules; {POISON}; node -e 'require(\"left-pad\")'"
    ));
    let ran = b.run(["sh", "-c", &poison]);
    assert!(ran.complaint().contains("hard links outside"), "{ran:?}");
    assert_eq!(many_names(&modules), 0);
    let store = |b: &TestBox| outside(b, &format!("grep -rl evil $({pnpm} store path); true")).ok();
    assert_eq!(store(&b), "");
    let reinstall = format!("rm -rf node_modules && {pnpm} install --offline --frozen-lockfile");
    outside(&b, &reinstall).ok();
    let said = outside(
        &b,
        "grep -rl evil node_modules; node -p 'require(\"left-pad\")(7, 3, 0)'",
    )
    .ok();
    assert_eq!(said, "007");
    assert!(many_names(&modules) > 4);

    // In the box: what is there can be removed and made anew, from a store of the box's own.
    let again = format!(
        "{pnpm} list --silent && rm -rf node_modules && mkdir x && mv x node_modules && rmdir node_modules && ls -a"
    );
    assert!(
        !b.run(["sh", "-c", &b.fill(&again)])
            .ok()
            .contains("node_modules")
    );
    outside(&b, &reinstall).ok();
    assert_eq!(store(&b), "");

    // The twin.
    let b = b.option("--hard-links").option("allow");
    b.run(["sh", "-c", &poison]);
    assert_ne!(store(&b), "");
}

#[test]
#[ignore = "installs uv from the Python package index"]
fn a_uv_project_keeps_working() {
    let b = TestBox::new().profile(BASE).dir("tools");
    let tools = b.root().join("tools");
    let pip = Command::new("/usr/bin/env")
        .args(["python3", "-m", "pip", "install", "--quiet", "--target"])
        .arg(&tools)
        .arg("uv")
        .output()
        .unwrap();
    assert!(pip.status.success(), "{pip:?}");
    let b = b.option("--read").option(tools.to_str().unwrap());
    let uv = "UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 {t}/tools/bin/uv";
    let install = format!(
        "{uv} venv -q --clear -p /usr/bin/python3 && {uv} pip install -q --link-mode hardlink six==1.16.0"
    );
    outside(&b, &install).ok();
    let venv = b.ws().join(".venv");
    assert!(many_names(&venv) > 0, "uv has not linked its cache");
    let poison = b.fill(&format!(
        "DIR=.venv; {POISON}; .venv/bin/python -c 'print(1)'"
    ));
    let ran = b.run(["sh", "-c", &poison]);
    assert!(ran.complaint().contains("hard link"), "{ran:?}");
    let offline = format!("{install} --offline");
    outside(&b, &offline).ok();
    assert_eq!(
        outside(&b, "grep -l evil .venv/lib/*/site-packages/six.py; true").ok(),
        ""
    );
    assert_eq!(b.run(["sh", "-c", ".venv/bin/python -c 'import six; print(six.__version__)'; rm -rf .venv; ls -a | grep -c venv"]).text(), "1.16.0\n0");

    // The twin.
    outside(&b, &offline).ok();
    let b = b.option("--hard-links").option("allow");
    b.run(["sh", "-c", &poison]);
    outside(&b, &offline).ok();
    assert_ne!(
        outside(&b, "grep -l evil .venv/lib/*/site-packages/six.py; true").ok(),
        ""
    );
}
