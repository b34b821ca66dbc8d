//! Where a test runs and as whom, and what this machine can do.

use agentbox::sys::sock_diag::SockDiag;
use nix::errno::Errno;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Held while a process is spawned and while a file is written: a child that another thread has just forked would keep the
/// writer's descriptor open for an instant, and the execve of that file would be ETXTBSY.
pub static FORK: Mutex<()> = Mutex::new(());

/// As whom `agentbox` is called.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    drop_to: bool,
}

impl User {
    /// The user of `AGENTBOX_TEST_USER` where the tests themselves run as root, else the caller.
    pub fn get() -> User {
        let uid = nix::unistd::geteuid().as_raw();
        let wanted = std::env::var("AGENTBOX_TEST_USER").ok();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let entries = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        for entry in entries.filter(|e| e.len() > 3) {
            let entry_uid: u32 = entry[2].parse().unwrap();
            let is_it = match &wanted {
                Some(name) if uid == 0 => name == entry[0],
                _ => entry_uid == uid,
            };
            if is_it {
                let (name, gid) = (entry[0].to_owned(), entry[3].parse().unwrap());
                return User {
                    name,
                    uid: entry_uid,
                    gid,
                    drop_to: uid == 0 && entry_uid != 0,
                };
            }
        }
        panic!("no such user: {wanted:?} (uid {uid})");
    }

    /// Makes a command run as this user, without supplementary groups.
    pub fn become_it(&self, command: &mut Command) {
        if self.drop_to {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a path (not what a symlink says) to this user.
    pub fn own(&self, path: &Path) {
        if self.drop_to {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).unwrap();
        }
    }
}

/// Is `agentbox` called by root?
pub fn as_root() -> bool {
    User::get().uid == 0
}

/// A directory of its own for one test.
pub struct World {
    pub root: PathBuf,
    pub user: User,
}

impl World {
    pub fn new() -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("agentbox-test.{}.{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        // Not guessable is not needed, but not somebody else's is: create fails if it is there.
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let root = root.canonicalize().unwrap();
        let world = World {
            root,
            user: User::get(),
        };
        world.user.own(&world.root);
        for (dir, mode) in [("bin", 0o755), ("home", 0o700), ("home/ws", 0o755)] {
            let dir = world.root.join(dir);
            fs::DirBuilder::new().mode(mode).create(&dir).unwrap();
            world.user.own(&dir);
        }
        // By link where possible: a copy of the probe for each test would be most of what a test costs.
        let probe = world.root.join("bin/probe");
        if fs::hard_link(probe_source(), &probe).is_err() {
            let status = super::spawn(Command::new("cp").arg(probe_source()).arg(&probe))
                .wait()
                .unwrap();
            assert!(status.success(), "cp of the probe");
        }
        world
    }

    /// What the caller's environment is.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let home = self.root.join("home");
        let path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        [
            ("HOME", home.as_os_str()),
            ("PATH", path.as_ref()),
            ("USER", self.user.name.as_ref()),
            ("LOGNAME", self.user.name.as_ref()),
            ("SHELL", "/bin/bash".as_ref()),
            ("TERM", "xterm-256color".as_ref()),
            ("LANG", "C.UTF-8".as_ref()),
        ]
        .map(|(n, v)| (n.into(), v.to_owned()))
        .to_vec()
    }

    /// A path of the world: relative ones begin at its root.
    fn at(&self, path: &Path) -> PathBuf {
        let path = self.root.join(path);
        assert!(
            path.starts_with(&self.root),
            "{path:?} is outside of the test's world"
        );
        path
    }

    pub fn mkdir(&self, path: &Path) {
        let path = self.at(path);
        let mut made = self.root.clone();
        for part in path.strip_prefix(&self.root).unwrap() {
            made.push(part);
            if fs::create_dir(&made).is_ok() {
                self.user.own(&made);
            }
        }
    }

    pub fn write(&self, path: &Path, content: &[u8], mode: u32) {
        let path = self.at(path);
        self.mkdir(path.parent().unwrap());
        let _lock = FORK.lock().unwrap_or_else(|e| e.into_inner());
        let mut file = fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&path)
            .unwrap();
        file.write_all(content).unwrap();
        drop(file);
        self.user.own(&path);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed with AGENTBOX_TEST_KEEP=1 leaves its world to be looked at.
        if std::env::var_os("AGENTBOX_TEST_KEEP").is_none() {
            // A supervisor whose client was killed still writes its record here for an instant.
            super::until_within(std::time::Duration::from_secs(5), || {
                let _ = fs::remove_dir_all(&self.root);
                !self.root.exists()
            });
        }
    }
}

/// The binary under test, where the test user can execute it.
pub fn agentbox() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| reachable(Path::new(env!("CARGO_BIN_EXE_agentbox"))))
}

/// This test program, where the test user can execute it.
pub fn test_program() -> PathBuf {
    reachable(&std::env::current_exe().unwrap())
}

/// The probe as cargo built it: `examples/` beside the `deps/` that this test is in.
fn probe_source() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let probe = test
            .parent()
            .and_then(Path::parent)
            .unwrap()
            .join("examples/probe");
        assert!(
            probe.exists(),
            "{probe:?}: build it with `cargo build --example probe`"
        );
        probe
    })
}

/// A program in a directory that only root can enter is of no use to another user: the copy in a directory of ours.
fn reachable(program: &Path) -> PathBuf {
    if User::get().uid == nix::unistd::geteuid().as_raw() {
        return program.to_owned();
    }
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|m| m.mode() & 0o001 != 0);
    if program.ancestors().skip(1).all(open) {
        return program.to_owned();
    }
    let meta = fs::metadata(program).unwrap();
    let dir = PathBuf::from(format!(
        "/var/tmp/agentbox-test-bin-{}-{}",
        meta.ino(),
        meta.mtime_nsec()
    ));
    match fs::create_dir(&dir) {
        Ok(()) => fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap(),
        Err(_) => assert_eq!(
            fs::symlink_metadata(&dir).unwrap().uid(),
            0,
            "{dir:?} is not ours"
        ),
    }
    let copy = dir.join("agentbox");
    if !copy.exists() {
        let half = dir.join(format!("half.{}", std::process::id()));
        // By another process: this one must never hold an executable open for writing (ETXTBSY).
        let status = super::spawn(Command::new("cp").arg(program).arg(&half))
            .wait()
            .unwrap();
        assert!(status.success(), "cp of the binary");
        fs::rename(&half, &copy).unwrap();
    }
    copy
}

/// What a test may need of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// User namespaces for the test user.
    Userns,
    /// Landlock of at least this ABI.
    Landlock(u32),
    /// The caller is root.
    Root,
    /// The caller is not root.
    User,
    /// Root starts the tests, whoever calls agentbox: needed to prepare something on the host.
    HostRoot,
    /// A cgroup that limits the number of processes.
    CgroupPids,
    /// A program on PATH.
    Tool(&'static str),
    /// 32-bit system calls.
    Int80,
    /// execveat(2) with AT_EXECVE_CHECK (Linux 6.14).
    ExecveCheck,
    /// Slices of the scheduler that a process may choose (Linux 6.12).
    Slices,
    /// sock_diag(7) of unix sockets (CONFIG_UNIX_DIAG, a module on many kernels).
    UnixDiag,
    /// A git that keeps references in tables (`git init --ref-format=reftable`, 2.45).
    Reftable,
}

impl Feature {
    /// As `AGENTBOX_TEST_REQUIRE` names it.
    fn name(self) -> String {
        match self {
            Feature::Userns => "userns".into(),
            Feature::Landlock(abi) => format!("landlock{abi}"),
            Feature::Root => "root".into(),
            Feature::User => "user".into(),
            Feature::HostRoot => "host-root".into(),
            Feature::CgroupPids => "cgroup".into(),
            Feature::Tool(name) => name.into(),
            Feature::Int80 => "int80".into(),
            Feature::ExecveCheck => "execve-check".into(),
            Feature::Slices => "slices".into(),
            Feature::UnixDiag => "unix-diag".into(),
            Feature::Reftable => "reftable".into(),
        }
    }

    fn present(self) -> bool {
        match self {
            Feature::Userns => fs::read_to_string("/proc/sys/user/max_user_namespaces")
                .is_ok_and(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 0)),
            Feature::Landlock(abi) => landlock_abi() >= abi,
            Feature::Root => as_root(),
            Feature::User => !as_root(),
            Feature::HostRoot => nix::unistd::geteuid().is_root(),
            Feature::CgroupPids => {
                as_root() && fs::exists("/sys/fs/cgroup/pids/cgroup.procs").unwrap_or(false)
            }
            Feature::Tool(name) => tool(name).is_some(),
            Feature::Int80 => cfg!(target_arch = "x86_64"),
            Feature::ExecveCheck => execve_check(),
            Feature::Slices => release() >= (6, 12),
            Feature::UnixDiag => SockDiag::new().and_then(|diag| diag.bound()).is_ok(),
            Feature::Reftable => {
                let help = Command::new("git").args(["init", "-h"]).output();
                help.is_ok_and(|ran| {
                    String::from_utf8_lossy(&ran.stdout).contains("--[no-]ref-format")
                })
            }
        }
    }
}

/// A program on the PATH of the tests' worlds.
pub fn tool(name: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0))
}

/// The version of the running kernel.
fn release() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split('.').map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Does the kernel check without executing?
fn execve_check() -> bool {
    let none = [std::ptr::null::<libc::c_char>()];
    // SAFETY: a C string and two empty, terminated arrays; an unknown flag is EINVAL, a known one executes nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            libc::AT_FDCWD,
            c"/bin/sh".as_ptr(),
            none.as_ptr(),
            none.as_ptr(),
            0x10000,
        )
    };
    done == 0
}

/// The ABI that the running kernel declares.
pub fn landlock_abi() -> u32 {
    // SAFETY: with LANDLOCK_CREATE_RULESET_VERSION the call takes no pointer.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
    u32::try_from(abi).unwrap_or(0)
}

/// True if the machine lacks it, after one `SKIP` line. A panic where `AGENTBOX_TEST_REQUIRE` names it.
pub fn missing(feature: Feature) -> bool {
    if feature.present() {
        return false;
    }
    let name = feature.name();
    let required = std::env::var("AGENTBOX_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|r| r == name),
        "{name} is required and not there"
    );
    let thread = std::thread::current();
    let line = format!("SKIP {name} {}\n", thread.name().unwrap_or("?"));
    if let Some(path) = std::env::var_os("AGENTBOX_TEST_SKIPS") {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    // Not by a print macro: the harness would swallow it.
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// The errno of an I/O error.
pub fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Gives a path to somebody else (root only).
pub fn give(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).unwrap();
}

/// A name that nothing else on this machine has, for processes that are looked for from outside.
pub fn token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("token-{}-{number}-agentbox", std::process::id())
}

/// Does this program's name end with these bytes?
pub fn ends_with(path: &Path, end: &str) -> bool {
    path.as_os_str().as_bytes().ends_with(end.as_bytes())
}
