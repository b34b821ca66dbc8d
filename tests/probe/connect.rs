//! connect(2) by every way there is, and against who decides about it.

use crate::kernel::{fork, leave};
use crate::raw::Args;
use crate::{Answer, At, Refused, last, usage};
use serde_json::{Value, json};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "connect-race" => race(args),
        "connect-flags" => flags(args),
        "connect-family" => family(args),
        "connect-mapped" => mapped(args),
        "fastopen" => fastopen(args),
        "send-to" => send_to(args),
        "connect-many" => many(args),
        "connect-signals" => signals(args),
        "own-listener" => own_listener(),
        _ => return None,
    })
}

fn address(args: &Args<'_>, index: usize) -> libc::sockaddr_in {
    let Ok(address) = args.text(index).parse::<SocketAddrV4>() else {
        usage("ADDRESS:PORT")
    };
    // SAFETY: integers; all zeroes is an address.
    let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    raw.sin_family = libc::AF_INET as libc::sa_family_t;
    raw.sin_port = address.port().to_be();
    raw.sin_addr.s_addr = u32::from(*address.ip()).to_be();
    raw
}

fn socket(family: i32, kind: i32) -> Result<OwnedFd, Refused> {
    // SAFETY: integers; the descriptor is new.
    unsafe {
        match libc::socket(family, kind, 0) {
            -1 => last("socket"),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

fn connect<T>(fd: &OwnedFd, to: &T) -> Result<(), Refused> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `to` is `size` bytes that live for the call.
    match unsafe { libc::connect(fd.as_raw_fd(), (&raw const *to).cast(), size) } {
        -1 => last("connect"),
        _ => Ok(()),
    }
}

/// `connect-race GATE OTHER COUNT`: another thread writes one and the other address to the memory that connect(2) reads.
fn race(args: &Args<'_>) -> Answer {
    // The first eight bytes of the address are all of it; the rest is zero.
    let word = |at: &libc::sockaddr_in| {
        // SAFETY: the struct is 16 bytes, of which 8 are read.
        u64::from_ne_bytes(unsafe { *std::ptr::from_ref(at).cast() })
    };
    let (gate, other) = (word(&address(args, 0)), word(&address(args, 1)));
    static SHARED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
    static END: AtomicBool = AtomicBool::new(false);
    SHARED[0].store(gate, Ordering::SeqCst);
    let writer = std::thread::spawn(move || {
        while !END.load(Ordering::Relaxed) {
            SHARED[0].store(other, Ordering::SeqCst);
            SHARED[0].store(gate, Ordering::SeqCst);
        }
    });
    let (mut made, mut refused) = (0, 0);
    for _ in 0..args.num(2) {
        let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
        // SAFETY: 16 bytes of static memory, which another thread writes: what the kernel makes of that is the question.
        let done = unsafe { libc::connect(fd.as_raw_fd(), SHARED.as_ptr().cast(), 16) };
        if done == 0 {
            made += 1;
        } else {
            refused += 1;
        }
    }
    END.store(true, Ordering::Relaxed);
    let _ = writer.join();
    Ok(json!({"made": made, "refused": refused}))
}

/// `connect-flags ADDRESS`: what a non-blocking, close-on-exec socket is after it was connected, at its number.
fn flags(args: &Args<'_>) -> Answer {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let fd = socket(libc::AF_INET, kind)?;
    let done = connect(&fd, &address(args, 0));
    if let Err(refused) = &done
        && refused.errno != libc::EINPROGRESS
    {
        return done.map(|()| Value::Null);
    }
    let mut wait = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one pollfd; integers.
    let (ready, status, descriptor) = unsafe {
        (
            libc::poll(&raw mut wait, 1, 5000),
            libc::fcntl(fd.as_raw_fd(), libc::F_GETFL),
            libc::fcntl(fd.as_raw_fd(), libc::F_GETFD),
        )
    };
    let stream = std::net::TcpStream::from(fd);
    let peer = stream.peer_addr().at("getpeername")?;
    stream.set_nonblocking(false).at("fcntl")?;
    Ok(
        json!({"ready": ready, "nonblock": status & libc::O_NONBLOCK != 0,
        "cloexec": descriptor & libc::FD_CLOEXEC != 0, "peer": peer.to_string()}),
    )
}

/// `connect-family FAMILY SOCKET`: an address of that family and nothing else, on a socket of another.
fn family(args: &Args<'_>) -> Answer {
    let kind = match args.num(1) {
        16 => libc::SOCK_RAW,
        _ => libc::SOCK_STREAM,
    };
    let fd = socket(args.num(1) as i32, kind)?;
    // SAFETY: integers; all zeroes is an address.
    let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    to.sin6_family = args.num(0) as libc::sa_family_t;
    connect(&fd, &to).map(|()| Value::Null)
}

/// `connect-mapped ADDRESS`: by IPv6, as `::ffff:ADDRESS`.
fn mapped(args: &Args<'_>) -> Answer {
    let v4 = address(args, 0);
    let fd = socket(libc::AF_INET6, libc::SOCK_STREAM)?;
    // SAFETY: integers; all zeroes is an address.
    let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    to.sin6_port = v4.sin_port;
    let ip = std::net::Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
    to.sin6_addr.s6_addr = ip.to_ipv6_mapped().octets();
    connect(&fd, &to)?;
    let peer = std::net::TcpStream::from(fd)
        .peer_addr()
        .at("getpeername")?;
    Ok(json!({"peer": peer.to_string()}))
}

fn send_with(args: &Args<'_>, flags: i32) -> Answer {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    let to = address(args, 0);
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: one byte and one address, which live for the call.
    let done = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            b"x".as_ptr().cast(),
            1,
            flags | libc::MSG_NOSIGNAL,
            (&raw const to).cast(),
            size,
        )
    };
    if done == -1 {
        return last("sendto");
    }
    Ok(Value::Null)
}

/// `fastopen ADDRESS`: a connection without connect(2).
fn fastopen(args: &Args<'_>) -> Answer {
    send_with(args, libc::MSG_FASTOPEN)
}

/// `send-to ADDRESS`: an address for a socket that is not connected.
fn send_to(args: &Args<'_>) -> Answer {
    send_with(args, 0)
}

/// `connect-many ADDRESS PROCESSES COUNT`: that many at once, each again and again.
fn many(args: &Args<'_>) -> Answer {
    let to = address(args, 0);
    let mut children = Vec::new();
    for _ in 0..args.num(1) {
        match fork()? {
            0 => {
                let mut failed = 0;
                for _ in 0..args.num(2) {
                    let done =
                        socket(libc::AF_INET, libc::SOCK_STREAM).and_then(|fd| connect(&fd, &to));
                    failed |= i32::from(done.is_err());
                }
                leave(failed);
            }
            pid => children.push(pid),
        }
    }
    let mut whole = 0;
    for pid in children {
        let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).at("wait")?;
        whole += i32::from(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)));
    }
    Ok(json!({"whole": whole}))
}

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn caught(_: i32) {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

/// `connect-signals ADDRESS COUNT`: while a timer interrupts all the time.
fn signals(args: &Args<'_>) -> Answer {
    let to = address(args, 0);
    // SAFETY: the handler only counts; the timer is this process's own.
    unsafe {
        let handler = nix::sys::signal::SigHandler::Handler(caught);
        let flags = nix::sys::signal::SaFlags::SA_RESTART;
        let action =
            nix::sys::signal::SigAction::new(handler, flags, nix::sys::signal::SigSet::empty());
        nix::sys::signal::sigaction(nix::sys::signal::Signal::SIGALRM, &action).at("sigaction")?;
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 100,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
    let mut made = 0;
    for _ in 0..args.num(1) {
        let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
        connect(&fd, &to)?;
        made += 1;
    }
    Ok(json!({"made": made, "caught": CAUGHT.load(Ordering::Relaxed)}))
}

/// A filter of one's own with a listener of one's own.
fn own_listener() -> Answer {
    let mut program = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let filter = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a program that lives for the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        )
    };
    if done == -1 {
        return last("seccomp");
    }
    Ok(Value::Null)
}
