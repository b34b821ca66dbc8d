//! The program alone: in a root that has nothing but it and one static shell, as a container "from scratch". It runs its box
//! there, or says exactly what is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::{Feature, as_root, missing};
use common::{Ran, TestBox, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A root with a static shell and the binary.
struct Root {
    b: TestBox,
    root: PathBuf,
}

impl Root {
    /// `dirs` are all the directories besides `bin`.
    fn new(dirs: &[&str]) -> Root {
        let mut b = TestBox::new().dir("root").dir("root/bin");
        for dir in dirs {
            b = b.dir(&format!("root/{dir}"));
        }
        let root = b.root().join("root");
        let shell = common::world::tool("busybox").unwrap();
        let bytes = fs::read(&shell).unwrap();
        assert!(
            is_static(&bytes),
            "{shell:?} is not static: apt install busybox-static"
        );
        let program = fs::read(common::world::agentbox()).unwrap();
        assert!(is_static(&program), "agentbox is not static");
        // By another process: an executable that this one holds open for writing could not be executed.
        for (from, to) in [
            (shell.as_path(), "bin/sh"),
            (common::world::agentbox(), "bin/agentbox"),
        ] {
            let to = root.join(to);
            let done = run(copy(from, &to));
            assert_eq!(done.code(), 0, "{done:?}");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
            // Root is nobody in a namespace that only the test user is in.
            b.chown(&to);
        }
        Root { b, root }
    }

    /// What any engine gives a container beside its image: a procfs and a null device. And a home, a workspace, a secret.
    fn furnished() -> Root {
        let dirs = ["proc", "dev", "tmp", "home", "home/ws", "other"];
        let it = Root::new(&dirs);
        let mut b = it.b;
        for device in DEVICES {
            b = b.file(&format!("root/dev/{device}"), "");
        }
        let b = b
            .file("root/home/.ssh/id_ed25519", "SECRET")
            .file("root/other/file", "SECRET");
        Root { b, root: it.root }
    }

    /// `agentbox ARGS` in it, with these variables and nothing else.
    fn enter(&self, place: &str, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let mut inner = Command::new("/bin/agentbox");
        inner.args(args);
        let script = format!(
            "exec {{probe}} enter {place} {} -- \"$@\"",
            self.root.display()
        );
        for (name, value) in env {
            inner.env(name, value);
        }
        run(self.b.through(&script, &inner))
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Command {
    let mut command = Command::new("cp");
    command.arg(from).arg(to);
    command
}

/// No program header asks for an interpreter (elf(5): PT_INTERP is 3).
fn is_static(elf: &[u8]) -> bool {
    assert_eq!(&elf[..5], b"\x7fELF\x02", "an ELF file of 64 bits");
    let number = |at: usize, size: usize| {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(&elf[at..at + size]);
        usize::try_from(u64::from_le_bytes(bytes)).unwrap()
    };
    let (first, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).all(|i| number(first + i * size, 4) != 3)
}

/// What the runtime specification of the Open Container Initiative promises a container.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const HOME: &[(&str, &str)] = &[("HOME", "/home"), ("PATH", "/bin")];

fn lacks() -> bool {
    missing(Feature::Userns) || missing(Feature::Tool("busybox"))
}

#[test]
fn a_program_with_an_interpreter_is_not_static() {
    let dynamic = fs::read("/bin/ls").unwrap();
    assert!(!is_static(&dynamic));
}

/// An own root by pivot_root: the whole box, of nothing but the two files.
#[test]
fn the_binary_and_a_shell_are_enough() {
    if lacks() {
        return;
    }
    let root = Root::furnished();
    let ran = root.enter("root", HOME, &["check"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.text().contains("all can be had: the rung `full`"),
        "{ran:?}"
    );
    let ran = root.enter("root", HOME, &["self", "check"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let script = "echo in the box && echo new >made && cat made && \
         { cat /other/file || echo absent; } && { cat /home/.ssh/id_ed25519 || echo absent; } && \
         { echo x >/other/file || echo absent; } && { echo x >/bin/new || echo read-only; } && \
         echo \"$$\" && exit 7";
    let words = [
        "run", "--net", "none", "-C", "/home/ws", "--", "sh", "-c", script,
    ];
    let ran = root.enter("root", HOME, &words);
    assert_eq!(ran.code(), 7, "{ran:?}");
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "in the box",
        "new",
        "absent",
        "absent",
        "absent",
        "read-only",
    ];
    assert_eq!(lines[..6], expected, "{ran:?}");
    // A pid namespace of its own: only a few processes were before it.
    assert!(lines[6].parse::<u32>().unwrap() < 10, "{ran:?}");
    assert_eq!(
        fs::read_to_string(root.root.join("home/ws/made")).unwrap(),
        "new\n"
    );
    assert_eq!(
        fs::read_to_string(root.root.join("other/file")).unwrap(),
        "SECRET"
    );
}

/// A chroot, in which the kernel makes no user namespaces: the rung `landlock`, and only when it is accepted.
#[test]
fn a_chroot_has_the_lowest_rung() {
    if lacks() || missing(Feature::HostRoot) || missing(Feature::Landlock(6)) {
        return;
    }
    let root = Root::furnished();
    let jail = Jail::new(&root);
    let ran = jail.enter(&["check"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(
        ran.text().contains("at most the rung `landlock`"),
        "{ran:?}"
    );
    assert!(
        ran.text().contains("yes  a run with --rung landlock"),
        "{ran:?}"
    );
    let run = |options: &[&str], script: &str| {
        let mut words = vec!["run", "--net", "none", "-C", "/home/ws"];
        words.extend(options);
        words.extend(["--", "sh", "-c", script]);
        jail.enter(&words)
    };
    run(&[], "echo RAN").refused(&["namespaces must be allowed", "--rung landlock"]);
    let script = "echo in the box && echo new >made && cat made && \
         { cat /other/file || echo closed; } && { cat /home/.ssh/id_ed25519 || echo closed; } && \
         { echo x >/other/file || echo closed; } && { echo x >/bin/new || echo closed; } && exit 7";
    let ran = run(&["--rung", "landlock"], script);
    assert_eq!(ran.code(), 7, "{ran:?}");
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    let expected = ["in the box", "new", "closed", "closed", "closed", "closed"];
    assert_eq!(lines, expected, "{ran:?}");
    assert_eq!(
        ran.complaint().matches("Permission denied").count(),
        4,
        "{ran:?}"
    );
}

/// Directories, variables, what has to be said.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Nothing but two files: each thing that is missing is named, and nothing runs or hangs. The regression is the box without
/// /proc, whose end agentbox could not find, and the missing /dev/null that was told as a missing command.
#[test]
fn what_is_missing_is_named() {
    if lacks() || missing(Feature::HostRoot) {
        return;
    }
    let words = |rung: &'static str| {
        [
            "run", "--net", "none", "--rung", rung, "-C", "/home/ws", "--", "sh", "-c", "echo RAN",
        ]
    };
    let none: &[(&str, &str)] = &[("PATH", "/bin")];
    let rows: [Row<'_>; 5] = [
        (&[], none, "HOME is not set"),
        (&[], HOME, "HOME (/home) does not exist"),
        (&["home", "home/ws", "tmp"], HOME, "/proc is not mounted"),
        (
            &["home", "home/ws", "tmp", "proc"],
            HOME,
            "/dev/null is not there",
        ),
        (&["home", "proc", "dev"], HOME, "/home/ws"),
    ];
    for (dirs, env, says) in rows {
        let root = Root::new(dirs);
        if dirs.contains(&"dev") {
            fs::write(root.root.join("dev/null"), "").unwrap();
        }
        for place in ["root", "chroot"] {
            let jail = Jail::new(&root);
            let enter = |args: &[&str]| match place {
                "root" => root.enter("root", env, args),
                _ => jail.enter_with(env, args),
            };
            let ran = enter(&words("landlock"));
            ran.refused(&[says]);
            let ran = enter(&["check"]);
            assert_eq!(ran.code(), 1, "{place} {dirs:?}: {ran:?}");
            assert!(!ran.complaint().contains("panicked"), "{ran:?}");
            let version = enter(&["--version"]);
            assert!(version.ok().starts_with("agentbox "), "{version:?}");
            // Without /proc it is not known which file this program is.
            let own = enter(&["self", "check"]);
            assert_eq!(
                own.code(),
                i32::from(!dirs.contains(&"proc") || says.contains("/dev/null")),
                "{place} {dirs:?}: {own:?}"
            );
        }
    }
}

/// A chroot with what is mounted below it, as root of the host prepares it.
struct Jail<'a> {
    root: &'a Root,
}

impl<'a> Jail<'a> {
    fn new(root: &'a Root) -> Jail<'a> {
        Jail { root }
    }

    fn enter(&self, args: &[&str]) -> Ran {
        self.enter_with(HOME, args)
    }

    /// Mounts in a namespace of its own, so that nothing is left when a test fails; then chroot, and the test user.
    fn enter_with(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let at = self.root.root.display();
        let (uid, gid) = self.root.b.ids();
        let drop = if as_root() {
            String::new()
        } else {
            format!("--userspec={uid}:{gid} --groups=")
        };
        let script = format!(
            "if [ -d {at}/proc ]; then mount -t proc proc {at}/proc; fi; \
             for d in {at}/dev/*; do if [ -e $d ]; then mount --bind /dev/${{d##*/}} $d; fi; done; \
             exec chroot {drop} {at} /bin/agentbox \"$@\""
        );
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount", "--pid", "--fork", "/bin/sh", "-ec", &script, "sh",
            ])
            .args(args)
            .stdin(std::process::Stdio::null())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        for (name, value) in env.iter().filter(|(name, _)| *name != "PATH") {
            command.env(name, value);
        }
        run(command)
    }
}
