//! Calls that the self-proof makes in order to see them fail.

use super::cvt;
use nix::errno::Errno;
use std::ffi::{CStr, c_int, c_long};
use std::os::fd::AsRawFd as _;

/// mount(2) of a tmpfs at `target`.
///
/// # Errors
/// The errno; success would be the defect.
pub fn mount_tmpfs(target: &CStr) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    // SAFETY: C strings that outlive the call and a null for "no options".
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount,
            c"tmpfs".as_ptr(),
            target.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            null,
        )
    };
    cvt(ret).map(|_| ())
}

/// clone3(2) with a size of 0, which the kernel itself refuses with EINVAL: no process can come of it.
///
/// # Errors
/// The errno.
pub fn clone3_invalid() -> Result<(), Errno> {
    // SAFETY: the size is 0, so the kernel reads nothing.
    cvt(unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0) }).map(|_| ())
}

/// socket(2) of that family; closed at once.
///
/// # Errors
/// The errno.
pub fn socket(family: c_int) -> Result<(), Errno> {
    // SAFETY: three integers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    cvt(c_long::from(fd))?;
    // SAFETY: `fd` was just made here and nobody else knows it.
    unsafe { libc::close(fd) };
    Ok(())
}

/// keyctl(2) KEYCTL_GET_KEYRING_ID of the session keyring.
///
/// # Errors
/// The errno.
pub fn keyctl() -> Result<(), Errno> {
    const KEYCTL_GET_KEYRING_ID: c_long = 0;
    const KEY_SPEC_SESSION_KEYRING: c_long = -3;
    // SAFETY: integers only.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_SESSION_KEYRING,
            0,
        )
    };
    cvt(ret).map(|_| ())
}

/// connect(2) of a datagram socket: nothing is sent, the kernel only looks for a route.
///
/// # Errors
/// ENETUNREACH where there is no route.
pub fn connect_udp(address: [u8; 4]) -> Result<(), Errno> {
    let errno = |e: std::io::Error| super::errno_of(&e);
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).map_err(errno)?;
    socket
        .connect((std::net::Ipv4Addr::from(address), 9))
        .map_err(errno)
}

/// connect(2) of a stream socket to the discard port.
///
/// # Errors
/// ECONNREFUSED where this very network namespace answers; ETIMEDOUT where something was sent and nothing came back.
pub fn connect_tcp(address: [u8; 4]) -> Result<(), Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{AddressFamily, SockaddrIn, connect, getsockopt, sockopt};
    use std::os::fd::AsFd as _;
    let socket = super::listen::tcp(AddressFamily::Inet)?;
    let [a, b, c, d] = address;
    match connect(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 9)) {
        Err(Errno::EINPROGRESS) => {}
        other => return other,
    }
    // Loopback answers within the call or as soon as the kernel comes to it.
    let mut set = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut set, PollTimeout::from(1000u16))? {
        0 => Err(Errno::ETIMEDOUT),
        _ => match getsockopt(&socket, sockopt::SocketError)? {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        },
    }
}

/// What a sandbox within this one does first: a process with user, mount and pid namespaces of its own mounts a procfs.
///
/// # Errors
/// The call that failed, and its errno.
pub fn inner_sandbox() -> Result<(), (&'static str, Errno)> {
    use super::process::{Fork, exit_now, fork_into};
    use nix::mount::{MsFlags, mount};
    use nix::sys::wait::{WaitStatus, waitpid};
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    match fork_into(namespaces).map_err(|errno| ("clone", errno))? {
        Fork::Child => {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            let none = None::<&str>;
            let mounted = mount(Some("proc"), "/proc", Some("proc"), flags, none);
            let errno = mounted.err().map_or(0, |errno| errno as i32);
            exit_now(u8::try_from(errno).unwrap_or(u8::MAX))
        }
        Fork::Parent(pid, _) => match waitpid(pid, None).map_err(|errno| ("waitpid", errno))? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, errno) => Err(("mount proc", Errno::from_raw(errno))),
            _ => Err(("mount proc", Errno::ECHILD)),
        },
    }
}
