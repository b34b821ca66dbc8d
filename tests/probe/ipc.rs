//! Sockets, System V IPC and POSIX message queues.

use crate::raw::{Args, sys};
use crate::{Answer, At, Refused, last, refused, usage};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, bind, connect, listen, recvmsg, sendmsg, socket, socketpair,
};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "socket" => raw_socket(libc::SYS_socket, args),
        "socketpair" => socketpair_talk(),
        "socketpair-dgram" => socketpair_reaches(SockType::Datagram, args),
        "socketpair-seqpacket" => socketpair_reaches(SockType::SeqPacket, args),
        "connect-tcp" => connect_tcp(args),
        "reach" => reach(args),
        "connect-unix" => connect_unix(args),
        "connect-abstract" => abstract_name(args).and_then(|name| talk_abstract(&name)),
        "bind-abstract" => bind_abstract(args),
        "bind-unix" => UnixListener::bind(args.os(0))
            .at("bind")
            .map(|_| Value::Null),
        "bind-tcp" => TcpListener::bind(args.text(0))
            .at("bind")
            .map(|l| json!({"at": address(&l)})),
        "send-udp" => send_udp(args),
        "serve-self" => serve_self(args),
        "sendfd-self" => sendfd_self(args),
        "recvfd-unix" => recvfd_unix(args),
        "sockopts" => sockopts(),
        "shm" => shm(args),
        "shm-lock" => shm_lock(args),
        "msgq" => msgq(args),
        "mq-open" => mq_open(args),
        "interfaces" => interfaces(),
        _ => return None,
    })
}

fn address(listener: &TcpListener) -> String {
    listener
        .local_addr()
        .map_or_else(|e| e.to_string(), |a| a.to_string())
}

fn family(text: &str) -> i64 {
    i64::from(match text {
        "unix" => libc::AF_UNIX,
        "inet" => libc::AF_INET,
        "inet6" => libc::AF_INET6,
        "netlink" => libc::AF_NETLINK,
        "packet" => libc::AF_PACKET,
        "alg" => libc::AF_ALG,
        "vsock" => libc::AF_VSOCK,
        other => return crate::raw::number(other),
    })
}

/// `socket FAMILY TYPE [PROTOCOL]`.
fn raw_socket(nr: i64, args: &Args<'_>) -> Answer {
    let kind = match args.text(1) {
        "stream" => i64::from(libc::SOCK_STREAM),
        "dgram" => i64::from(libc::SOCK_DGRAM),
        "raw" => i64::from(libc::SOCK_RAW),
        "seqpacket" => i64::from(libc::SOCK_SEQPACKET),
        other => crate::raw::number(other),
    };
    let word = |n: i64| usize::from_ne_bytes(n.to_ne_bytes());
    let fd = sys(
        nr,
        [
            word(family(args.text(0))),
            word(kind),
            word(args.num_or(2, 0)),
            0,
            0,
            0,
        ],
    )?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) });
    Ok(Value::Null)
}

fn socketpair_talk() -> Answer {
    let (a, b) = UnixStream::pair().at("socketpair")?;
    exchange(a, b)
}

/// `socketpair-KIND [PATH]`: makes a pair of that kind; sends from one end of it to the socket at the path, if one is named.
fn socketpair_reaches(kind: SockType, args: &Args<'_>) -> Answer {
    let pair = socketpair(AddressFamily::Unix, kind, None, SockFlag::empty()).at("socketpair")?;
    if args.len() > 0 {
        let to = UnixAddr::new(args.text(0)).at("address")?;
        let flags = MsgFlags::empty();
        nix::sys::socket::sendto(pair.0.as_raw_fd(), b"hello", &to, flags).at("sendto")?;
    }
    Ok(Value::Null)
}

fn exchange(mut a: impl Write, mut b: impl Read) -> Answer {
    a.write_all(b"hello").at("send")?;
    let mut bytes = [0u8; 5];
    b.read_exact(&mut bytes).at("recv")?;
    Ok(json!({"got": String::from_utf8_lossy(&bytes)}))
}

/// `connect-tcp ADDRESS:PORT`: within five seconds.
fn connect_tcp(args: &Args<'_>) -> Answer {
    let Ok(address) = args.text(0).parse() else {
        usage("connect-tcp: ADDRESS:PORT")
    };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).at("connect")?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .at("setsockopt")?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    Ok(json!({"text": text}))
}

/// `reach HOST PORT`: resolves as programs do, connects to what comes first, asks as HTTP does, and says what is answered.
fn reach(args: &Args<'_>) -> Answer {
    use std::io::Write as _;
    use std::net::ToSocketAddrs as _;
    let port = u16::try_from(args.num(1)).unwrap();
    let host = args.text(0).trim_matches(['[', ']']);
    let mut addresses = (host, port).to_socket_addrs().at("getaddrinfo")?;
    let Some(address) = addresses.next() else {
        return refused(libc::ENOENT, "getaddrinfo");
    };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).at("connect")?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .at("setsockopt")?;
    let asked = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        args.text(0)
    );
    stream.write_all(asked.as_bytes()).at("write")?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Ok(json!({"text": String::from_utf8_lossy(&bytes)}))
}

/// `connect-unix PATH`: connects, says that it has nothing to ask, and reads what the server says.
fn connect_unix(args: &Args<'_>) -> Answer {
    let stream = UnixStream::connect(args.os(0)).at("connect")?;
    stream.shutdown(std::net::Shutdown::Write).at("shutdown")?;
    hear(stream)
}

fn hear(mut stream: UnixStream) -> Answer {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .at("setsockopt")?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    Ok(json!({"text": text}))
}

fn abstract_name(args: &Args<'_>) -> Result<UnixAddr, Refused> {
    UnixAddr::new_abstract(args.text(0).as_bytes()).at("name")
}

fn unix_socket() -> Result<OwnedFd, Refused> {
    socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .at("socket")
}

fn talk_abstract(name: &UnixAddr) -> Answer {
    let fd = unix_socket()?;
    connect(fd.as_raw_fd(), name).at("connect")?;
    hear(UnixStream::from(fd))
}

/// `bind-abstract NAME`: binds, listens, and connects to itself.
fn bind_abstract(args: &Args<'_>) -> Answer {
    let name = abstract_name(args)?;
    let server = unix_socket()?;
    bind(server.as_raw_fd(), &name).at("bind")?;
    listen(&server, Backlog::new(4).unwrap()).at("listen")?;
    let client = unix_socket()?;
    connect(client.as_raw_fd(), &name).at("connect")?;
    Ok(Value::Null)
}

/// `send-udp ADDRESS:PORT`.
fn send_udp(args: &Args<'_>) -> Answer {
    let socket = UdpSocket::bind("0.0.0.0:0").at("bind")?;
    let count = socket.send_to(b"query", args.text(0)).at("send")?;
    Ok(json!({"count": count}))
}

/// `serve-self ADDRESS:PORT`: a server and a client in one box.
fn serve_self(args: &Args<'_>) -> Answer {
    let listener = TcpListener::bind(args.text(0)).at("bind")?;
    let at = listener.local_addr().at("getsockname")?;
    let client = TcpStream::connect(at).at("connect")?;
    let (server, _) = listener.accept().at("accept")?;
    exchange(client, server)
}

fn send_fd(over: &UnixStream, fd: i32) -> Result<(), Refused> {
    let fds = [fd];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(
        over.as_raw_fd(),
        &[IoSlice::new(b"f")],
        &control,
        MsgFlags::empty(),
        None,
    )
    .at("sendmsg")?;
    Ok(())
}

fn receive_fd(over: &UnixStream) -> Result<Option<File>, Refused> {
    let (mut byte, mut space) = ([0u8; 1], nix::cmsg_space!([i32; 1]));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(
        over.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .at("recvmsg")?;
    for control in message.cmsgs().at("cmsg")? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just put this descriptor into our table.
            return Ok(fds.first().map(|fd| unsafe { File::from_raw_fd(*fd) }));
        }
    }
    Ok(None)
}

/// `sendfd-self PATH`: passes an open file over a socket pair and reads it (must keep working).
fn sendfd_self(args: &Args<'_>) -> Answer {
    let (a, b) = UnixStream::pair().at("socketpair")?;
    let file = File::open(args.os(0)).at("open")?;
    send_fd(&a, file.as_raw_fd())?;
    read_received(receive_fd(&b)?)
}

fn read_received(file: Option<File>) -> Answer {
    let Some(mut file) = file else {
        return Ok(json!({"text": null}));
    };
    let mut text = String::new();
    file.read_to_string(&mut text).at("read")?;
    Ok(json!({"text": text}))
}

/// `recvfd-unix PATH`: connects, receives a descriptor, and reads the file behind it: a server that hands over files is
/// outside every path rule.
fn recvfd_unix(args: &Args<'_>) -> Answer {
    let stream = UnixStream::connect(args.os(0)).at("connect")?;
    read_received(receive_fd(&stream)?)
}

/// setsockopt(2) as browsers and asyncio use it, and sendto(2) without an address.
fn sockopts() -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").at("bind")?;
    listener.set_ttl(63).at("setsockopt IP_TTL")?;
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::empty(),
    )
    .at("socketpair")?;
    let one = 1i32;
    // SAFETY: the option value points at an i32 that lives for the call.
    let result = unsafe {
        libc::setsockopt(
            pair.0.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const one).cast(),
            4,
        )
    };
    if result != 0 {
        return last("setsockopt SO_PASSCRED");
    }
    let fd = usize::try_from(pair.0.as_raw_fd()).unwrap();
    sys(libc::SYS_sendto, [fd, b"x".as_ptr() as usize, 1, 0, 0, 0])?;
    Ok(Value::Null)
}

/// `shm KEY`: finds a segment of that key and reads its first bytes.
fn shm(args: &Args<'_>) -> Answer {
    let key = usize::try_from(args.num(0)).unwrap();
    let id = sys(libc::SYS_shmget, [key, 0, 0, 0, 0, 0])?;
    Ok(json!({"id": id}))
}

/// `shm-lock MANY [keep]`: locks segments of 64 KiB in memory until the kernel refuses one; they go afterwards, or stay.
fn shm_lock(args: &Args<'_>) -> Answer {
    let (mut segments, mut locked) = (Vec::new(), 0);
    for _ in 0..args.num(0) {
        let mode = usize::try_from(libc::IPC_CREAT | 0o600).unwrap();
        let id = sys(libc::SYS_shmget, [0, 64 << 10, mode, 0, 0, 0])?;
        let id = usize::try_from(id).unwrap();
        segments.push(id);
        let lock = usize::try_from(libc::SHM_LOCK).unwrap();
        if sys(libc::SYS_shmctl, [id, lock, 0, 0, 0, 0]).is_err() {
            break;
        }
        locked += 1;
    }
    if args.len() < 2 {
        for id in segments {
            sys(libc::SYS_shmctl, [id, 0, 0, 0, 0, 0])?;
        }
    }
    Ok(json!({"count": locked}))
}

/// `msgq KEY`: finds a message queue of that key.
fn msgq(args: &Args<'_>) -> Answer {
    let key = usize::try_from(args.num(0)).unwrap();
    let id = sys(libc::SYS_msgget, [key, 0, 0, 0, 0, 0])?;
    Ok(json!({"id": id}))
}

/// `mq-open NAME [create]`: a POSIX message queue (no leading slash: that is libc's), and a message there and back.
fn mq_open(args: &Args<'_>) -> Answer {
    let name = args.c(0);
    let create = if args.len() > 1 { libc::O_CREAT } else { 0 };
    let flags = usize::try_from(libc::O_RDWR | create).unwrap();
    let queue = sys(
        libc::SYS_mq_open,
        [name.as_ptr() as usize, flags, 0o600, 0, 0, 0],
    )?;
    let queue = usize::try_from(queue).unwrap();
    let (sent, mut got) = (b"queued", [0_u8; 8192]);
    sys(
        libc::SYS_mq_timedsend,
        [queue, sent.as_ptr() as usize, sent.len(), 0, 0, 0],
    )?;
    let length = sys(
        libc::SYS_mq_timedreceive,
        [queue, got.as_mut_ptr() as usize, got.len(), 0, 0, 0],
    )?;
    let length = usize::try_from(length).unwrap();
    Ok(json!({"echo": String::from_utf8_lossy(&got[..length])}))
}

/// The names of the network interfaces.
fn interfaces() -> Answer {
    // SAFETY: returns an array that ends with index 0, or null.
    let all = unsafe { libc::if_nameindex() };
    if all.is_null() {
        return last("if_nameindex");
    }
    let mut names = Vec::new();
    let mut at = all;
    // SAFETY: `at` never goes beyond the entry with index 0, and each name is a C string of that array.
    unsafe {
        while (*at).if_index != 0 {
            names.push(
                std::ffi::CStr::from_ptr((*at).if_name)
                    .to_string_lossy()
                    .into_owned(),
            );
            at = at.add(1);
        }
        libc::if_freenameindex(all);
    }
    names.sort();
    Ok(json!({"names": names}))
}
