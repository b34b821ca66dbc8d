//! Other paths to the same file, and what may be done to files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::as_root;
use common::{Errno, Layer, TestBox};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// Where people and tools keep credentials (list: peers' deny lists, the incident reports of claude-code).
const CREDENTIALS: [&str; 22] = [
    ".aws/credentials",
    ".aws/sso/cache/token.json",
    ".ssh/id_ed25519",
    ".ssh/config",
    ".config/gcloud/credentials.db",
    ".azure/accessTokens.json",
    ".kube/config",
    ".docker/config.json",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".config/gh/hosts.yml",
    ".gnupg/private-keys-v1.d/x.key",
    ".terraform.d/credentials.tfrc.json",
    ".cargo/credentials.toml",
    ".bash_history",
    ".mozilla/firefox/x/logins.json",
    ".config/google-chrome/Default/Cookies",
    ".password-store/x.gpg",
    ".vault-token",
    ".local/share/keyrings/login.keyring",
];

#[test]
fn credential_files_are_absent() {
    let mut b = TestBox::new();
    for name in CREDENTIALS {
        b = b.file(&format!("home/{name}"), "SECRET");
    }
    for name in CREDENTIALS {
        let line = format!("read {{home}}/{name}");
        assert_eq!(
            b.outside(&line).json()["text"],
            "SECRET",
            "the twin outside: {name}"
        );
    }
    let lines: Vec<String> = CREDENTIALS
        .iter()
        .map(|n| format!("read {{home}}/{n}"))
        .collect();
    for (answer, name) in b.batch(&lines).iter().zip(CREDENTIALS) {
        assert_eq!(answer["name"], "ENOENT", "{name}: {answer}");
    }
    // The view alone must do this, not a filter.
    b.probe("read {home}/.aws/credentials")
        .denied_deep(Errno::ENOENT, Layer::View);
    // Granted by name, it is there: the absence above is the profile's doing.
    let b = b.option("--read").option("{home}/.aws/credentials");
    assert_eq!(
        b.probe("read {home}/.aws/credentials").allowed()["text"],
        "SECRET"
    );
}

#[test]
fn system_secrets_are_absent() {
    let b = TestBox::new().file("home/ws/a", "x");
    b.probe("read /etc/passwd").allowed();
    let all = [
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/ssh",
        "/etc/ssl/private",
        "/etc/krb5.keytab",
        "/etc/NetworkManager",
        "/etc/kubernetes",
        "/etc/docker",
        "/etc/crontab",
        "/boot",
        "/srv",
        "/mnt",
        "/media",
        "/var/log",
        "/var/spool",
        "/var/lib/docker",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd",
        "/run/systemd",
        "/run/dbus",
        "/lost+found",
        "/etc/machine-id.bak",
    ];
    let lines: Vec<String> = all.iter().map(|p| format!("lstat {p}")).collect();
    for (answer, path) in b.batch(&lines).iter().zip(all) {
        assert_eq!(answer["name"], "ENOENT", "{path}: {answer}");
    }
}

/// A file of the host that no grant reaches.
fn with_canary() -> TestBox {
    TestBox::new()
        .file("secret/canary", "CANARY")
        .file("home/ws/a", "mine")
}

#[test]
fn proc_magic_links_lead_nowhere_else() {
    let b = with_canary();
    assert_eq!(b.outside("read {t}/secret/canary").json()["text"], "CANARY");
    // CVE-2016-1581 and the many of its kind: /proc/*/root and /proc/*/cwd leave the view of whoever resolves them.
    assert_eq!(
        b.probe("read /proc/self/root{ws}/a").allowed()["text"],
        "mine"
    );
    assert_eq!(b.probe("read /proc/self/cwd/a").allowed()["text"], "mine");
    for path in [
        "{t}/secret/canary",
        "/proc/self/root{t}/secret/canary",
        "/proc/thread-self/root{t}/secret/canary",
        "/proc/self/cwd/../../secret/canary",
        "/proc/self/root/../../..{t}/secret/canary",
        "../../secret/canary",
        "../../../../../../../../..{t}/secret/canary",
    ] {
        b.probe(&format!("read {path}"))
            .denied_deep(Errno::ENOENT, Layer::View);
    }
    // pid 1 was not always in this view: it came from the host.
    for path in ["/proc/1/root", "/proc/1/cwd"] {
        b.probe(&format!("read {path}{{t}}/secret/canary"))
            .denied_deep(Errno::EACCES, Layer::View);
    }
}

#[test]
fn symlinks_do_not_lead_out() {
    let b = with_canary();
    symlink(b.root().join("secret/canary"), b.ws().join("planted")).unwrap();
    symlink("../../secret", b.ws().join("planted-dir")).unwrap();
    symlink("/etc/shadow", b.ws().join("shadow")).unwrap();
    symlink("a", b.ws().join("good")).unwrap();
    assert_eq!(b.outside("read planted").json()["text"], "CANARY");
    assert_eq!(b.probe("read good").allowed()["text"], "mine");
    for path in ["planted", "planted-dir/canary", "shadow"] {
        b.probe(&format!("read {path}"))
            .denied_deep(Errno::ENOENT, Layer::View);
    }
    // Made inside, used by the box and by O_PATH.
    let answers = b.batch(&[
        "symlink {t}/secret/canary own",
        "read own",
        "reopen own rdonly",
        "create own",
        "symlink /proc/1/root/etc/shadow own2",
        "read own2",
    ]);
    let names: Vec<_> = answers
        .iter()
        .map(|a| a["name"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(names, ["ok", "ENOENT", "ENOENT", "EEXIST", "ok", "EACCES"]);
    assert_eq!(
        fs::read_to_string(b.root().join("secret/canary")).unwrap(),
        "CANARY"
    );
}

#[test]
fn hard_links_do_not_bring_files_in() {
    let b = with_canary();
    b.probe("link a b").allowed();
    assert_eq!(fs::metadata(b.ws().join("b")).unwrap().nlink(), 2);
    // A file of another mount of the view.
    b.probe("link /usr/bin/env env")
        .denied_deep(Errno::EXDEV, Layer::View);
    b.probe("link /proc/self/exe probe")
        .denied_deep(Errno::EXDEV, Layer::View);
    b.probe("rename /etc/passwd passwd").refused(Errno::EXDEV);
}

#[test]
fn reads_by_handle_are_refused() {
    let b = with_canary();
    // The shocker exploit (2014): a handle of any file of the mount, with CAP_DAC_READ_SEARCH or, since 6.13, in an own
    // user namespace.
    if as_root() {
        assert_eq!(
            b.outside("handle-open {t} {t}/secret/canary").json()["text"],
            "CANARY"
        );
    }
    b.probe("handle-open . a")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
}

#[test]
fn a_granted_tree_is_read_only() {
    let b = TestBox::new()
        .file("ro/file", "content")
        .dir("ro/dir")
        .option("--read")
        .option("{t}/ro");
    // Open to everybody, so that nothing but the mount refuses: a root caller's agent is not root.
    for (path, mode) in [("ro", 0o777), ("ro/dir", 0o777), ("ro/file", 0o666)] {
        fs::set_permissions(b.root().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(b.probe("read {t}/ro/file").allowed()["text"], "content");
    assert_eq!(b.outside("append {t}/ro/file +").json()["ok"], true);
    // Each by the view alone: Landlock and seccomp are taken away by `denied_deep`.
    for line in [
        "write {t}/ro/file",
        "append {t}/ro/file",
        "truncate {t}/ro/file",
        "create {t}/ro/new",
        "unlink {t}/ro/file",
        "rmdir {t}/ro/dir",
        "mkdir {t}/ro/new",
        "rename {t}/ro/file {t}/ro/other",
        "link {t}/ro/file {t}/ro/other",
        "symlink x {t}/ro/link",
        "chmod 0o600 {t}/ro/file",
        "fchmod 0o600 {t}/ro/file",
        "chmod2 0o600 {t}/ro/file",
        "utime {t}/ro/file",
        "setxattr {t}/ro/file user.x y",
        "mknod {t}/ro/fifo p",
        "open {t}/ro rdwr,tmpfile",
        "reopen {t}/ro/file rdwr",
        "chown {uid} {uid} {t}/ro/file",
    ] {
        let b = &b;
        b.probe(line).denied_deep(Errno::EROFS, Layer::View);
    }
    assert_eq!(
        fs::read_to_string(b.root().join("ro/file")).unwrap(),
        "content+"
    );
}

#[test]
fn the_workspace_is_writable_and_files_belong_to_the_caller() {
    let b = TestBox::new()
        .file("home/ws/a", "x")
        .file("home/ws/sub/b", "y");
    let answers = b.batch(&[
        "create new 0o640",
        "append a +",
        "mkdir dir",
        "rename a dir/a",
        "rename dir/a sub/a",
        "symlink sub/a link",
        "link sub/a hard",
        "truncate sub/b",
        "chmod 0o755 new",
        "utime new",
        "mknod fifo p",
        "open . rdwr,tmpfile",
        "unlink hard",
        "bind-unix socket",
        "setxattr new user.note text",
        "mkdir .git",
        "mkdir .git/hooks",
    ]);
    for answer in &answers {
        assert_eq!(answer["ok"], true, "{answers:?}");
    }
    let (uid, gid) = b.ids();
    for name in [
        "new",
        "dir",
        "sub/a",
        "link",
        "fifo",
        "socket",
        ".git/hooks",
    ] {
        let meta = fs::symlink_metadata(b.ws().join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (uid, gid), "{name}");
    }
    assert_eq!(
        fs::metadata(b.ws().join("new"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o755
    );
    assert_eq!(fs::read_to_string(b.ws().join("sub/a")).unwrap(), "x+");
}

#[test]
fn the_workspace_cannot_be_moved_away() {
    let b = TestBox::new();
    b.probe("mkdir inner").allowed();
    b.probe("rename inner inner2").allowed();
    let moved = b.probe("rename {ws} {home}/elsewhere").value();
    assert!(moved["ok"] != true, "{moved}");
    let gone = b.probe("rmdir {ws}").value();
    assert!(gone["ok"] != true, "{gone}");
    assert!(b.ws().join("inner2").is_dir());
}

#[test]
fn home_and_tmp_are_the_boxs_own() {
    let b = TestBox::new()
        .file("home/.bashrc", "host's")
        .file("home/.profile", "host's");
    let outside =
        std::env::temp_dir().join(format!("agentbox-test-outside-{}", std::process::id()));
    fs::write(&outside, "x").unwrap();
    b.probe(&format!("read {}", outside.display()))
        .denied_deep(Errno::ENOENT, Layer::View);
    fs::remove_file(&outside).unwrap();

    let name = common::world::token();
    let script = format!(
        "set -e; echo evil > ~/.bashrc; mkdir -p ~/.local/bin; echo evil > ~/.local/bin/git; echo x > /tmp/{name};
         echo y > /dev/shm/{name}; cat ~/.bashrc /tmp/{name} /dev/shm/{name}"
    );
    assert_eq!(b.sh(&script).ok(), "evil\nx\ny");
    assert_eq!(
        fs::read_to_string(b.home().join(".bashrc")).unwrap(),
        "host's"
    );
    assert!(!b.home().join(".local/bin").exists());
    assert!(!std::env::temp_dir().join(&name).exists());
    assert!(!std::path::Path::new("/dev/shm").join(&name).exists());
    // And nothing of it is there the next time.
    assert_eq!(b.sh(&format!("cat ~/.bashrc /tmp/{name}")).code(), 1);
}

#[test]
fn directory_descriptors_do_not_climb_out() {
    let b = with_canary();
    fs::write(b.home().join(".netrc"), "SECRET").unwrap();
    let listed = b.probe("opath-fchdir ..").allowed();
    assert!(!listed.to_string().contains("netrc"), "{listed}");
    assert!(listed.to_string().contains("ws"), "{listed}");
    let world = b.probe("opath-fchdir ../..").value();
    assert!(!world.to_string().contains("secret"), "{world}");
    let top = b.probe("opath-fchdir ../../../../../../..").value();
    assert!(!top.to_string().contains("lost+found"), "{top}");
}
