//! What the caller's descriptors 0 to 2 are, and what the box gets in their place. Nothing is opened by path and nothing is
//! changed: flags such as O_NONBLOCK belong to the open file, which the caller shares.

#![forbid(unsafe_code)]

use crate::plan::problem::{Problem, ProblemKind};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, UnixAddr, getpeername, getsockname,
    getsockopt, sockopt,
};
use nix::sys::stat::{FileStat, SFlag, fstat, major, minor};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Uid, fchown};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What the box gets as one of its descriptors 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// The slave of the box's pseudo-terminal, in place of a terminal of the host.
    Pty,
    /// The caller's descriptor of the same number as it is.
    Inherit,
    /// A pipe of the box's own that the supervisor relays to the caller's descriptor of the same number (`supervise::relay::RelayPipe`).
    Relay {
        /// The lowest descriptor that is the same file and goes the same way (stdout and stderr): they share one pipe, so
        /// that their order is kept. Its own number if there is no such.
        first: u8,
    },
    /// /dev/null of the box.
    Null,
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A terminal.
    Terminal,
    /// A pipe or FIFO.
    Pipe,
    /// A regular file.
    File,
    /// /dev/null.
    NullDevice,
    /// /dev/zero, /dev/full, /dev/random, /dev/urandom.
    HarmlessDevice,
    /// Not open.
    Closed,
    /// A connected AF_UNIX stream pair without names.
    UnnamedPair,
    /// A directory.
    Directory,
    /// AF_INET or AF_INET6.
    InetSocket,
    /// AF_UNIX with a name at either end, or not a connected stream.
    UnixSocket,
    /// Any other socket (netlink, vsock, packet, ...).
    OtherSocket,
    /// A block device.
    BlockDevice,
    /// The master side of a pseudo-terminal: who has it, controls that terminal.
    PtyMaster,
    /// Any other character device.
    CharDevice,
    /// Opened with O_PATH.
    PathOnly,
    /// What has no file type (eventfd, epoll, pidfd, ...) or cannot be looked at.
    Unknown,
}

/// A descriptor that must not enter the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// 0, 1 or 2.
    pub fd: u8,
    /// What it is.
    pub kind: Kind,
}

/// Of pipes without a name (statfs(2), linux/magic.h).
const PIPEFS_MAGIC: FsType = FsType(0x5049_5045);

const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Directory => "a directory",
            Kind::InetSocket => "a network socket",
            Kind::UnixSocket => "a named or unconnected AF_UNIX socket",
            Kind::OtherSocket => "a socket of a family that no program reads its input from",
            Kind::BlockDevice => "a block device",
            Kind::PtyMaster => "the master side of a pseudo-terminal",
            Kind::CharDevice => "a character device",
            Kind::PathOnly => "opened with O_PATH",
            // The rest is never refused, and still has a word here so that a mistake does not read as nonsense.
            _ => "of a kind that agentbox does not know",
        };
        let name = NAMES.get(usize::from(self.fd)).unwrap_or(&"a descriptor");
        write!(f, "{name} is {what}, which would give the box a way out")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let pipe = if refusal.fd == 0 { "cat |" } else { "| cat" };
        Problem {
            what: refusal.to_string(),
            remedy: format!("redirect it to a file, a pipe (`{pipe}`) or /dev/null"),
            origin: None,
            kind: ProblemKind::Refused,
        }
    }
}

/// What the box gets for the descriptors 0 to 2 of this process; all that must be refused at once.
pub fn classify() -> Result<[Stdio; 3], Vec<Refusal>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    classify_fds([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
}

/// True if the box needs a pseudo-terminal.
#[must_use]
pub fn wants_pty(stdio: &[Stdio; 3]) -> bool {
    stdio.contains(&Stdio::Pty)
}

/// The same for any three descriptors.
pub fn classify_fds(fds: [BorrowedFd<'_>; 3]) -> Result<[Stdio; 3], Vec<Refusal>> {
    let mut refused = Vec::new();
    let mut stdio = [Stdio::Null; 3];
    let mut ids = [None; 3];
    for (number, fd) in (0u8..).zip(fds) {
        let (kind, stat) = kind(fd);
        let place = usize::from(number);
        if let (Some(id), Some(stat)) = (ids.get_mut(place), stat) {
            *id = Some((stat.st_dev, stat.st_ino));
        }
        let chosen = match kind {
            // Always the box's own: with the caller's terminal come TIOCSTI, its settings and its screen.
            Kind::Terminal => Stdio::Pty,
            Kind::HarmlessDevice => Stdio::Inherit,
            Kind::NullDevice | Kind::Closed => Stdio::Null,
            // Never given in. Who has a pipe's end can open the other one (/proc/self/fd): what the box writes into its stdin
            // the caller's shell would execute, where it reads its script there. Who has a file has its offset, mode and times,
            // and what it was not opened for where Landlock grants the place. And over a socket SCM_RIGHTS would carry
            // descriptors of the host into the box.
            Kind::Pipe | Kind::File | Kind::UnnamedPair => {
                let same = place == 2 && ids.get(1) == ids.get(2);
                Stdio::Relay {
                    first: if same { 1 } else { number },
                }
            }
            Kind::Directory
            | Kind::InetSocket
            | Kind::UnixSocket
            | Kind::OtherSocket
            | Kind::BlockDevice
            | Kind::PtyMaster
            | Kind::CharDevice
            | Kind::PathOnly
            | Kind::Unknown => {
                refused.push(Refusal { fd: number, kind });
                continue;
            }
        };
        if let Some(slot) = stdio.get_mut(place) {
            *slot = chosen;
        }
    }
    if refused.is_empty() {
        Ok(stdio)
    } else {
        Err(refused)
    }
}

/// Gives a pipe of the box's own to its uid. Nobody but its owner can open it again, as `/dev/stdout` and `/dev/stdin` do;
/// where that is not the caller's uid, scripts that write there would fail in the box only. Only root can, and for others
/// it is theirs already: what fails changes nothing.
pub fn lend(fd: BorrowedFd<'_>, uid: u32) {
    let owned = fstat(fd).is_ok_and(|stat| stat.st_uid == uid);
    let nameless = fstatfs(fd).is_ok_and(|fs| fs.filesystem_type() == PIPEFS_MAGIC);
    if nameless && !owned {
        let _ = fchown(fd, Some(Uid::from_raw(uid)), None);
    }
}

/// May this descriptor be one of a command in the box as it is?
#[must_use]
pub fn may_enter(fd: BorrowedFd<'_>) -> bool {
    matches!(kind(fd).0, Kind::Pipe | Kind::HarmlessDevice)
}

/// What a descriptor is.
fn kind(fd: BorrowedFd<'_>) -> (Kind, Option<FileStat>) {
    let flags = match fcntl(fd, FcntlArg::F_GETFL) {
        Ok(flags) => OFlag::from_bits_retain(flags),
        Err(Errno::EBADF) => return (Kind::Closed, None),
        Err(_) => return (Kind::Unknown, None),
    };
    let Ok(stat) = fstat(fd) else {
        return (Kind::Unknown, None);
    };
    if flags.contains(OFlag::O_PATH) {
        return (Kind::PathOnly, Some(stat));
    }
    let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFIFO => Kind::Pipe,
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFBLK => Kind::BlockDevice,
        SFlag::S_IFCHR => device(fd, &stat),
        SFlag::S_IFSOCK => socket(fd),
        // Anonymous inodes have no type at all.
        _ => Kind::Unknown,
    };
    (kind, Some(stat))
}

/// Character devices by number (Documentation/admin-guide/devices.txt: 1 = memory devices, 5:2 = ptmx). By number and not by
/// path: a descriptor has no reliable path.
fn device(fd: BorrowedFd<'_>, stat: &FileStat) -> Kind {
    match (major(stat.st_rdev), minor(stat.st_rdev)) {
        (1, 3) => Kind::NullDevice,
        (1, 5 | 7 | 8 | 9) => Kind::HarmlessDevice,
        // Before the test for a terminal, which a master passes, too.
        (5, 2) => Kind::PtyMaster,
        _ if nix::unistd::isatty(fd).unwrap_or(false) => Kind::Terminal,
        _ => Kind::CharDevice,
    }
}

/// Sockets: only a nameless, connected AF_UNIX stream can be relayed without a loss.
fn socket(fd: BorrowedFd<'_>) -> Kind {
    let number = fd.as_raw_fd();
    let family = getsockname::<SockaddrStorage>(number)
        .ok()
        .and_then(|address| address.family());
    match family {
        Some(AddressFamily::Unix) => {}
        Some(AddressFamily::Inet | AddressFamily::Inet6) => return Kind::InetSocket,
        _ => return Kind::OtherSocket,
    }
    let unnamed = |address: Result<UnixAddr, Errno>| {
        address.is_ok_and(|a| a.path().is_none() && a.as_abstract().is_none())
    };
    // Datagrams and packets have boundaries, which a pipe loses.
    let stream = getsockopt(&fd, sockopt::SockType) == Ok(SockType::Stream);
    if stream && unnamed(getsockname(number)) && unnamed(getpeername(number)) {
        Kind::UnnamedPair
    } else {
        Kind::UnixSocket
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use nix::sys::socket::{SockFlag, SockProtocol, socketpair};
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn one(fd: impl AsFd) -> Kind {
        kind(fd.as_fd()).0
    }

    #[test]
    fn every_kind_is_told_apart() {
        let dir = std::env::temp_dir().join(format!("agentbox-stdio-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pty = nix::pty::openpty(None, None).unwrap();
        assert_eq!(one(&pty.slave), Kind::Terminal);
        assert_eq!(one(&pty.master), Kind::PtyMaster);
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(one(reader), Kind::Pipe);
        assert_eq!(one(writer), Kind::Pipe);
        let file = File::create(dir.join("file")).unwrap();
        assert_eq!(one(&file), Kind::File);
        assert_eq!(one(File::open(&dir).unwrap()), Kind::Directory);
        for (path, expected) in [
            ("/dev/null", Kind::NullDevice),
            ("/dev/zero", Kind::HarmlessDevice),
            ("/dev/urandom", Kind::HarmlessDevice),
        ] {
            assert_eq!(one(File::open(path).unwrap()), expected, "{path}");
        }
        let path_only = nix::fcntl::open(
            &dir.join("file"),
            OFlag::O_PATH,
            nix::sys::stat::Mode::empty(),
        );
        assert_eq!(one(path_only.unwrap()), Kind::PathOnly);

        let (a, b) = UnixStream::pair().unwrap();
        assert_eq!(one(&a), Kind::UnnamedPair);
        drop(b);
        assert_eq!(one(&a), Kind::UnnamedPair, "the other end is closed");
        let listener = UnixListener::bind(dir.join("socket")).unwrap();
        let client = UnixStream::connect(dir.join("socket")).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(one(&listener), Kind::UnixSocket);
        assert_eq!(one(&client), Kind::UnixSocket, "the peer has a name");
        assert_eq!(one(&server), Kind::UnixSocket, "it has a name itself");
        let (datagram, _keep) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(one(&datagram), Kind::UnixSocket);
        let (packets, _keep) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        assert_eq!(one(&packets), Kind::UnixSocket);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(one(&listener), Kind::InetSocket);
        assert_eq!(one(&stream), Kind::InetSocket);
        let netlink = nix::sys::socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        );
        assert_eq!(one(netlink.unwrap()), Kind::OtherSocket);
        let event: OwnedFd = crate::sys::tty::EdgeWatch::new(pty.slave.as_fd())
            .unwrap()
            .into();
        assert_eq!(one(event), Kind::Unknown);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn each_kind_becomes_what_the_box_may_have() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        let (t, p, n) = (pty.slave.as_fd(), reader.as_fd(), null.as_fd());

        let got = classify_fds([t, p, n]).unwrap();
        assert_eq!(got, [Stdio::Pty, Stdio::Relay { first: 1 }, Stdio::Null]);
        assert!(wants_pty(&got));
        assert!(!wants_pty(&classify_fds([p, p, n]).unwrap()));

        // One socket for all three: stdin comes by its own pipe, stdout and stderr share one.
        let copy = a.try_clone().unwrap();
        let all = classify_fds([a.as_fd(), copy.as_fd(), a.as_fd()]).unwrap();
        assert_eq!(all, [0, 1, 1].map(|first| Stdio::Relay { first }));
        // Two sockets: nothing is shared.
        let apart = classify_fds([p, a.as_fd(), b.as_fd()]).unwrap();
        assert_eq!(
            apart,
            [
                Stdio::Relay { first: 0 },
                Stdio::Relay { first: 1 },
                Stdio::Relay { first: 2 }
            ]
        );
    }

    #[test]
    fn all_refusals_are_told_at_once_with_a_remedy() {
        let dir = File::open("/").unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = classify_fds([dir.as_fd(), reader.as_fd(), listener.as_fd()]).unwrap_err();
        assert_eq!(
            refused,
            [
                Refusal {
                    fd: 0,
                    kind: Kind::Directory
                },
                Refusal {
                    fd: 2,
                    kind: Kind::InetSocket
                }
            ]
        );
        let problem = Problem::from(refused[0]);
        assert_eq!(problem.kind, ProblemKind::Refused);
        let text = problem.to_string();
        assert!(text.contains("stdin is a directory"), "{text}");
        assert!(text.contains("redirect it to a file"), "{text}");
    }
}
