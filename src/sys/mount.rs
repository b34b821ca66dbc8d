//! The mount API by descriptors: open_tree(2), move_mount(2), mount_setattr(2), fsopen(2), fsconfig(2), fsmount(2), and
//! openat2(2) to open a path without following a symlink.

use super::cvt;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `MOUNT_ATTR_*` of mount_setattr(2).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-uid bits and file capabilities do nothing.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The mount is id-mapped.
    pub const IDMAP: u64 = 0x0010_0000;
}

/// How far a clone or a change of attributes reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The one mount.
    One,
    /// The mount and everything mounted below it (`AT_RECURSIVE`).
    Recursive,
}

impl Reach {
    fn flag(self) -> u32 {
        match self {
            Reach::One => 0,
            Reach::Recursive => 0x8000,
        }
    }
}

const AT_EMPTY_PATH: u32 = 0x1000;

/// Takes ownership of a descriptor that a system call has just returned.
fn owned(fd: std::ffi::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel returned `fd` as a new descriptor to this call alone, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A detached clone of what `dir` and `path` name (open_tree(2) with OPEN_TREE_CLONE). `dir` itself when `path` is empty.
///
/// # Errors
/// The errno of open_tree(2); EPERM without CAP_SYS_ADMIN over the mount namespace.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, reach: Reach) -> Result<OwnedFd, Errno> {
    const OPEN_TREE_CLONE: u32 = 1;
    const OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | reach.flag();
    // SAFETY: `path` is a C string that outlives the call, and the kernel only reads it.
    let ret = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) };
    owned(cvt(ret)?)
}

/// Attaches the detached mount `from` at `path` below `dir` (move_mount(2)). A symlink at `path` is not followed.
///
/// # Errors
/// The errno of move_mount(2).
pub fn attach(from: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both strings are C strings that outlive the call, and the kernel only reads them.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            dir.as_raw_fd(),
            path.as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    };
    cvt(ret).map(|_| ())
}

/// Sets attributes of the mount that `path` below `dir` is the root of (`dir` itself when it is empty), and makes it private
/// (mount_setattr(2)). A symlink at `path` is not followed.
///
/// # Errors
/// The errno of mount_setattr(2).
pub fn set_attributes(
    dir: BorrowedFd<'_>,
    path: &CStr,
    set: u64,
    reach: Reach,
) -> Result<(), Errno> {
    set_attr(dir, path, (set, 0), 0, reach)
}

/// Makes a mount of one's own writable: a clone of one that is read-only, of a file system that is not.
///
/// # Errors
/// The errno of mount_setattr(2): EPERM where the mount came read-only from a more privileged user namespace.
pub fn make_writable(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    set_attr(mount, c"", (0, attr::RDONLY), 0, Reach::One)
}

/// Makes the mount id-mapped by the user namespace `userns`.
///
/// # Errors
/// EINVAL where the file system does not support it, EPERM without privilege over the file system.
pub fn set_idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, reach: Reach) -> Result<(), Errno> {
    let fd = u64::try_from(userns.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    set_attr(mount, c"", (attr::IDMAP, 0), fd, reach)
}

fn set_attr(
    dir: BorrowedFd<'_>,
    path: &CStr,
    (set, clear): (u64, u64),
    userns_fd: u64,
    reach: Reach,
) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
    // MS_PRIVATE: nothing that is mounted outside later may appear in the box, and nothing of the box outside.
    let propagation = libc::MS_PRIVATE;
    let attributes = MountAttr {
        set,
        clear,
        propagation,
        userns_fd,
    };
    // SAFETY: `attributes` has the layout of `struct mount_attr` and its size is passed, `path` is a C string; the kernel
    // only reads both.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | reach.flag(),
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    cvt(ret).map(|_| ())
}

/// A new, detached instance of a file system (fsopen(2), fsconfig(2), fsmount(2)). `options` are key and value; an empty
/// value is a flag.
///
/// # Errors
/// The errno of the call that failed.
pub fn new_filesystem(
    fstype: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: u32 = 1;
    const FSCONFIG_SET_FLAG: u32 = 0;
    const FSCONFIG_SET_STRING: u32 = 1;
    const FSCONFIG_CMD_CREATE: u32 = 6;
    const FSMOUNT_CLOEXEC: u32 = 1;
    // SAFETY: `fstype` is a C string that outlives the call.
    let ret = unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) };
    let context = owned(cvt(ret)?)?;
    let null = std::ptr::null::<libc::c_char>();
    for (key, value) in options {
        let (command, value) = if value.is_empty() {
            (FSCONFIG_SET_FLAG, null)
        } else {
            (FSCONFIG_SET_STRING, value.as_ptr())
        };
        // SAFETY: `key` and `value` are C strings (or null, which FSCONFIG_SET_FLAG asks for) and only read.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                command,
                key.as_ptr(),
                value,
                0,
            )
        };
        cvt(ret)?;
    }
    // SAFETY: FSCONFIG_CMD_CREATE takes no key and no value; both are null as fsconfig(2) asks.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            null,
            null,
            0,
        )
    };
    cvt(ret)?;
    // SAFETY: three integers; the kernel returns a new descriptor.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        )
    };
    owned(cvt(ret)?)
}

/// Opens `path` below `dir` (openat2(2)). No symlink is followed, not even a magic one (`RESOLVE_NO_SYMLINKS`).
///
/// # Errors
/// The errno of openat2(2); ELOOP when a component is a symlink.
pub fn open(dir: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    resolve(dir, path, flags, RESOLVE_NO_SYMLINKS)
}

/// The same without a way out of `dir`: for a tree that somebody may change at this moment. `dir` itself when `path` is
/// empty.
///
/// # Errors
/// The errno of openat2(2): ELOOP when a component is a symlink, EXDEV when the path leaves `dir`, EAGAIN when it was changed
/// again and again meanwhile.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
    const RESOLVE_BENEATH: u64 = 0x08;
    let path = if path.is_empty() { c"." } else { path };
    let resolve_flags = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
    for _ in 0..64 {
        match resolve(dir, path, flags, resolve_flags) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

const RESOLVE_NO_SYMLINKS: u64 = 0x04;

fn resolve(dir: BorrowedFd<'_>, path: &CStr, flags: i32, resolve: u64) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = OpenHow {
        flags: u64::try_from(flags | libc::O_CLOEXEC).map_err(|_| Errno::EINVAL)?,
        mode: 0,
        resolve,
    };
    // SAFETY: `how` has the layout of `struct open_how` and its size is passed; `path` is a C string; both only read.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>(),
        )
    };
    owned(cvt(ret)?)
}

/// statx(2) of a descriptor itself.
fn statx(fd: BorrowedFd<'_>, mask: u32) -> Result<libc::statx, Errno> {
    // SAFETY: an all-zero statx is valid: integers only.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: with AT_EMPTY_PATH the kernel asks for the descriptor itself and fills `found`, which outlives the call.
    let ret = unsafe {
        libc::statx(
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            mask,
            &raw mut found,
        )
    };
    cvt(ret.into())?;
    Ok(found)
}

/// Whether a descriptor is the root of a mount (STATX_ATTR_MOUNT_ROOT).
///
/// # Errors
/// The errno of statx(2).
pub fn is_mount_root(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let found = statx(fd, libc::STATX_TYPE)?;
    Ok(found.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0)
}

/// When an inode was made, in seconds and nanoseconds; `None` where the file system does not know.
///
/// # Errors
/// The errno of statx(2).
pub fn birth(fd: BorrowedFd<'_>) -> Result<Option<(i64, i64)>, Errno> {
    let found = statx(fd, libc::STATX_BTIME)?;
    let known = found.stx_mask & libc::STATX_BTIME != 0;
    let at = (found.stx_btime.tv_sec, i64::from(found.stx_btime.tv_nsec));
    Ok(known.then_some(at))
}

/// Whether anybody has this file open for writing, or mapped so (fcntl(2), F_SETLEASE: a read lease is refused then). It must
/// be open for reading, and belong to the caller.
///
/// # Errors
/// The errno of fcntl(2) where it says nothing: EACCES for somebody else's file, EINVAL where the file system has no leases.
pub fn has_writer(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    refuses_lease(file, libc::F_RDLCK)
}

/// Whether anybody else has this file open at all, or mapped (a write lease is refused then). As [`has_writer`]; SIGIO has to be
/// blocked, which comes when somebody opens it in this moment.
///
/// # Errors
/// As for [`has_writer`].
pub fn has_opener(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    refuses_lease(file, libc::F_WRLCK)
}

fn refuses_lease(file: BorrowedFd<'_>, kind: i32) -> Result<bool, Errno> {
    // SAFETY: fcntl(2) takes integers here; F_SETLEASE touches no memory of this process.
    let ret = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    match cvt(ret.into()) {
        Ok(_) => {
            // SAFETY: as above; gives the lease back.
            let _ = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
            Ok(false)
        }
        Err(Errno::EAGAIN) if is_smb(file) => Err(Errno::EINVAL),
        Err(Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Where the server has granted no oplock, every lease is refused, also of a file that nobody has open (`cifs_setlease` in
/// fs/smb/client/cifsfs.c).
fn is_smb(file: BorrowedFd<'_>) -> bool {
    const SMB: [i64; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];
    nix::sys::statfs::fstatfs(file).is_ok_and(|fs| SMB.contains(&fs.filesystem_type().0))
}
