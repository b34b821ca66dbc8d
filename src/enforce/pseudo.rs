//! /proc and /dev of the box.

#![forbid(unsafe_code)]

use super::StepError;
use super::newroot::{Mask, NewRoot, Source, relative};
use crate::plan::{Access, Kind};
use crate::sys::mount::{self, Reach, attr};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Files of /proc that show or change what is not the box's own. Each reads as empty.
const MASKED_FILES: &[&str] = &[
    "kcore",         // physical memory
    "keys",          // keys of other processes of this uid
    "key-users",     // who has how many keys
    "kallsyms",      // addresses of the kernel
    "kmsg",          // the kernel's log
    "kpagecount",    // physical pages
    "kpageflags",    // physical pages
    "kpagecgroup",   // physical pages
    "sysrq-trigger", // reboots the machine when kernel uid 0 writes it
    "timer_list",    // timers of all processes
    "vmallocinfo",   // addresses of the kernel
    "slabinfo",      // allocations of the kernel
    "mtrr",          // memory types
    "latency_stats", // of all processes
    "sched_debug",   // of all processes
    "version_signature",
];

/// Directories of /proc that are the machine's. Each lists as empty.
const MASKED_DIRS: &[&str] = &[
    "acpi",
    "asound",
    "bus",
    "driver",
    "irq",
    "scsi",
    "dynamic_debug",
];

/// Directories of /proc that tools read and nobody may write: the kernel checks sysctls by uid, not by capability.
const READ_ONLY: &[&str] = &["sys", "fs"];

/// The same where the kernel has it. Everybody may write to it: each descriptor is then work for the kernel every two seconds, for
/// the whole machine, that no limit of the box counts.
const READ_ONLY_IF_THERE: &str = "pressure";

/// A fresh procfs of the box's pid namespace. It has to be mounted while an unmasked one is still visible, that is before the
/// old root is gone: the kernel refuses to show more than what was visible before.
pub(super) fn proc(root: &mut NewRoot) -> Result<(), StepError> {
    let at = Path::new("/proc");
    let tree = mount::new_filesystem(c"proc", &[], attr::NOSUID | attr::NODEV | attr::NOEXEC)
        .map_err(|errno| {
            StepError::new("mount", "proc", errno).remedy(
                "the host's /proc must be mounted and not partly covered: see `agentbox check`",
            )
        })?;
    root.dir(at, 0o555)?;
    root.attach(tree.as_fd(), at)?;
    restrict(root, at)
}

/// Where it is.
const WHOLE: &str = "/run/agentbox/whole";

/// A procfs that nothing covers, below a directory that itself is covered: the kernel gives an inner sandbox a fresh one only
/// where such a one is mounted already (mount_too_revealing() in fs/namespace.c), and asks not whether it can be reached.
pub(super) fn whole_proc(root: &mut NewRoot) -> Result<(), StepError> {
    let holder = Path::new(WHOLE);
    let at = holder.join("proc");
    let tree = mount::new_filesystem(c"proc", &[], attr::NOSUID | attr::NODEV | attr::NOEXEC)
        .map_err(|errno| StepError::new("mount", "proc", errno))?;
    root.dir(&at, 0o555)?;
    root.attach(tree.as_fd(), &at)?;
    root.mask(holder, Mask::Dir)
}

/// What no box may see or change of a procfs.
fn restrict(root: &mut NewRoot, at: &Path) -> Result<(), StepError> {
    // Which of the names exist depends on the kernel's configuration.
    for (names, mask) in [(MASKED_FILES, Mask::File), (MASKED_DIRS, Mask::Dir)] {
        for name in names {
            let _exists = root.mask_if_there(&at.join(name), mask)?;
        }
    }
    for name in READ_ONLY {
        root.read_only(&at.join(name))?;
    }
    match root.read_only(&at.join(READ_ONLY_IF_THERE)) {
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        other => other,
    }
}

/// Nothing below /proc can be changed through it. For an agent that is the kernel's uid 0: it owns what is the machine's there, the
/// mode of such a file is the same in every procfs, and chmod(2) asks neither Landlock nor for a capability. What is a process's own
/// (`oom_score_adj`, `comm`) is given up with it.
pub(super) fn freeze_proc(root: &NewRoot) -> Result<(), StepError> {
    root.restrict(Path::new("/proc"), attr::RDONLY)
}

/// The procfs of the container around the box, where the kernel refuses a fresh one, with all that the engine has put over it.
/// It is of the container's pid namespace: /proc/self is right in it, and every process has the number that it has outside.
///
/// Of other processes the kernel shows their names, states and command lines to everybody; the rest (environ, mem, maps, cwd,
/// root, exe, fd) it refuses across the user namespace and the Landlock domain. What runs now is covered whole.
pub(super) fn container_proc(root: &mut NewRoot, host: BorrowedFd<'_>) -> Result<(), StepError> {
    let at = Path::new("/proc");
    let failed = |call| move |errno| StepError::new(call, "/proc", errno);
    let old = mount::open(host, c"proc", libc::O_PATH).map_err(failed("open"))?;
    root.bind(&Source::Place(old), at, Access::Write, Kind::Dir)?;
    restrict(root, at)?;
    let me = std::fs::read_link("/proc/self")
        .map_err(|e| failed("readlink")(crate::sys::errno_of(&e)))?;
    let names = std::fs::read_dir("/proc")
        .map_err(|e| failed("list")(crate::sys::errno_of(&e)))?
        .flatten()
        .map(|entry| entry.file_name());
    for name in names {
        let is_pid = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if is_pid && name != me.as_os_str() {
            // One that ends meanwhile is gone, or cannot be mounted on any more.
            match root.mask_if_there(&at.join(&name), Mask::Dir) {
                Ok(_) => {}
                Err(_) if !Path::new("/proc").join(&name).exists() => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// A fresh mount of a cgroup hierarchy: of cgroup v1 with these controllers, or of v2. Not a layer: where the kernel refuses it
/// (a controller that was compiled out, or moved to v2 by the host) the box sees less, and runtimes ask sysconf(3) instead.
pub(super) fn cgroup(
    root: &mut NewRoot,
    target: &Path,
    controllers: &[String],
) -> Result<(), StepError> {
    let names: Vec<CString> = controllers
        .iter()
        .filter_map(|name| CString::new(name.as_str()).ok())
        .collect();
    let options: Vec<(&CStr, &CStr)> = names.iter().map(|name| (name.as_c_str(), c"")).collect();
    let fstype = if controllers.is_empty() {
        c"cgroup2"
    } else {
        c"cgroup"
    };
    let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
    root.dir(target, 0o555)?;
    match mount::new_filesystem(fstype, &options, attributes) {
        Ok(tree) => root.attach(tree.as_fd(), target),
        Err(_) => Ok(()),
    }
}

/// Devices that programs need. They are the host's nodes: mknod(2) is not to be had in a user namespace.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// The device nodes, opened as places.
pub(super) struct Devices(Vec<(&'static str, OwnedFd)>);

/// Opens the host's device nodes.
pub(super) fn open_devices(host: BorrowedFd<'_>) -> Result<Devices, StepError> {
    let open = |name: &&'static str| {
        let path = Path::new("/dev").join(name);
        let failed = |errno| StepError::new("open", path.display(), errno);
        let place = mount::open(host, &relative(&path)?, libc::O_PATH).map_err(failed)?;
        let node = nix::sys::stat::fstat(&place).map_err(failed)?;
        if node.st_mode & libc::S_IFMT != libc::S_IFCHR {
            return Err(StepError::new(
                "open",
                format!("{}: not a device", path.display()),
                Errno::ENODEV,
            ));
        }
        Ok((*name, place))
    };
    DEVICES
        .iter()
        .map(open)
        .collect::<Result<_, _>>()
        .map(Devices)
}

/// How many pseudo-terminals a box may have at once. All boxes and containers of the machine share 3,072 by default
/// (kernel.pty.max less kernel.pty.reserve), and without one no other box with a terminal starts.
const PTYS: &CStr = c"512";

/// The message queues of the box's ipc namespace (mq_overview(7)). mq_open(3) asks for no path; but Landlock judges a queue by its
/// file system's root, and a rule needs that in the view.
fn queues(root: &mut NewRoot, at: &Path) -> Result<(), StepError> {
    root.dir(at, 0o555)?;
    match mount::new_filesystem(c"mqueue", &[], attr::NOSUID | attr::NODEV | attr::NOEXEC) {
        Ok(tree) => root.attach(tree.as_fd(), at),
        // A kernel without them (CONFIG_POSIX_MQUEUE): ENOSYS outside as well.
        Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(StepError::new("mount", "mqueue", errno)),
    }
}

/// The minimal /dev: devices, a devpts of its own, /dev/shm, /dev/mqueue, and the usual links. Its tmpfs is read-only: a program that
/// replaces /dev/null by a file (one agent does, as root) cannot.
pub(super) fn dev(root: &mut NewRoot, devices: &Devices, disk: u64) -> Result<(), StepError> {
    let at = Path::new("/dev");
    root.tmpfs(at, 0o755, 64 * 1024, attr::NOSUID | attr::NOEXEC)?;
    for (name, place) in &devices.0 {
        root.bind_device(place.as_fd(), &at.join(name))?;
    }
    // Here, before terminals and shared memory come below it: programs do execute from /dev/shm. A device can be written where its
    // mount is read-only, and its mode and owner, which are the host's, cannot be changed: as the kernel's uid 0 the agent owns it.
    root.restrict(at, attr::NOSUID | attr::NOEXEC)?;
    for (name, _) in &devices.0 {
        root.restrict(&at.join(name), attr::RDONLY)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        root.symlink(&at.join(name), Path::new(to))?;
    }
    let pts = at.join("pts");
    // No gid: the tty group is not mapped, so group access is left out of the mode instead.
    let tree = mount::new_filesystem(
        c"devpts",
        &[
            (c"newinstance", c""),
            (c"ptmxmode", c"0666"),
            (c"mode", c"0600"),
            (c"max", PTYS),
        ],
        attr::NOSUID | attr::NOEXEC,
    )
    .map_err(|errno| StepError::new("mount", "devpts", errno))?;
    root.dir(&pts, 0o755)?;
    root.attach(tree.as_fd(), &pts)?;
    root.tmpfs(&at.join("shm"), 0o1777, disk, attr::NOSUID | attr::NODEV)?;
    queues(root, &at.join("mqueue"))?;
    mount::set_attributes(root.fd(), c"dev", attr::RDONLY, Reach::One)
        .map_err(|errno| StepError::new("mount_setattr", "/dev", errno))
}
