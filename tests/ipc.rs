//! Ways to talk to what is outside: sockets, System V IPC, queues, keys, the desktop.

#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::token;
use common::{Errno, Layer, TestBox};
use std::io::{IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Accepts for ever and says hello, or hands over a descriptor of a secret file.
fn serve(listener: UnixListener, secret: Option<std::fs::File>) {
    common::helper(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            match &secret {
                None => drop(stream.write_all(b"host service")),
                Some(file) => {
                    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
                    let fds = [file.as_raw_fd()];
                    let control = [ControlMessage::ScmRights(&fds)];
                    let _ = sendmsg::<()>(
                        stream.as_raw_fd(),
                        &[IoSlice::new(b"f")],
                        &control,
                        MsgFlags::empty(),
                        None,
                    );
                }
            }
        }
    });
}

/// CVE-2020-15257 (containerd-shim), X11, D-Bus: abstract sockets have no path. The network namespace hides them with
/// `none`; with the host's network it is Landlock's scope.
#[test]
fn abstract_sockets_of_the_host() {
    let name = token();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    serve(UnixListener::bind_addr(&address).unwrap(), None);
    let line = format!("connect-abstract {name}");
    let b = TestBox::new();
    assert_eq!(b.outside(&line).json()["text"], "host service");
    b.probe("bind-abstract own-name").allowed();
    b.probe(&line)
        .denied_deep(Errno::ECONNREFUSED, Layer::Network);
    let b = TestBox::new().net("host");
    b.probe("bind-abstract own-name").allowed();
    if common::world::landlock_abi() < 6 {
        // What the refusal without `--allow-missing landlock` is for.
        assert_eq!(b.probe(&line).allowed()["text"], "host service");
        return;
    }
    b.probe(&line).denied(Errno::EPERM, Layer::Landlock);
}

/// docker.sock, ssh-agent, gpg-agent, D-Bus, X11, Wayland: what lies outside of every grant is absent.
#[test]
fn sockets_with_a_path_are_absent() {
    let b = TestBox::new()
        .dir("run/user")
        .dir("home/.gnupg")
        .file("home/.ssh/config", "x");
    for path in [
        "run/docker.sock",
        "run/user/bus",
        "home/.gnupg/S.gpg-agent",
        "home/.ssh/agent.1",
        "agent.sock",
    ] {
        let path = b.root().join(path);
        serve(UnixListener::bind(&path).unwrap(), None);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let line = format!("connect-unix {}", path.display());
        assert_eq!(b.outside(&line).json()["text"], "host service", "{line}");
        b.probe(&line).denied_deep(Errno::ENOENT, Layer::View);
    }
    for path in [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/podman/podman.sock",
        "/run/dbus/system_bus_socket",
        "/run/user/0/bus",
        "/run/systemd/private",
        "/run/containerd/containerd.sock",
        "/tmp/.X11-unix/X0",
        "/run/snapd.socket",
    ] {
        b.probe(&format!("connect-unix {path}"))
            .denied_deep(Errno::ENOENT, Layer::View);
    }
}

/// A host service that hands out descriptors gives whole files, whatever the rules for paths are (traps 8).
#[test]
fn descriptors_are_not_handed_in() {
    let b = TestBox::new().file("secret", "CANARY").dir("service");
    let path = b.root().join("service/giver");
    let secret = std::fs::File::open(b.root().join("secret")).unwrap();
    serve(UnixListener::bind(&path).unwrap(), Some(secret));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(
        b.outside("recvfd-unix {t}/service/giver").json()["text"],
        "CANARY"
    );
    b.probe("recvfd-unix {t}/service/giver")
        .denied_deep(Errno::ENOENT, Layer::View);
    // Passing one inside works.
    b.probe("sendfd-self /etc/passwd").allowed();
}

#[test]
fn system_v_ipc_is_the_boxs_own() {
    let b = TestBox::new();
    let key = i32::try_from(std::process::id()).unwrap() | 0x5000_0000;
    // SAFETY: the calls take numbers; the objects are removed below.
    let (shm, queue, sem) = unsafe {
        (
            libc::shmget(key, 4096, libc::IPC_CREAT | 0o666),
            libc::msgget(key, libc::IPC_CREAT | 0o666),
            libc::semget(key, 1, libc::IPC_CREAT | 0o666),
        )
    };
    assert!(shm >= 0 && queue >= 0 && sem >= 0);
    let lines = [
        format!("shm {key}"),
        format!("msgq {key}"),
        format!("syscall semget {key} 0 0"),
    ];
    let outside: Vec<bool> = lines
        .iter()
        .map(|l| b.outside(l).json()["ok"] == true)
        .collect();
    let inside: Vec<String> = lines
        .iter()
        .map(|l| b.probe(l).value()["name"].to_string())
        .collect();
    let create = b
        .probe(&format!("syscall shmget {key} 4096 0o1666"))
        .value();
    // SAFETY: the identifiers are ours.
    unsafe {
        libc::shmctl(shm, libc::IPC_RMID, std::ptr::null_mut());
        libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut());
        libc::semctl(sem, 0, libc::IPC_RMID);
    }
    assert_eq!(outside, [true; 3], "the twins");
    assert_eq!(inside, ["\"ENOENT\""; 3]);
    assert_eq!(create["ok"], true, "one of its own: {create}");
}

#[test]
fn posix_queues_are_the_boxs_own() {
    let b = TestBox::new();
    let name = token();
    assert_eq!(
        b.outside(&format!("mq-open {name} create")).json()["ok"],
        true
    );
    assert_eq!(b.outside(&format!("mq-open {name}")).json()["ok"], true);
    b.probe(&format!("mq-open {name}")).refused(Errno::ENOENT);
    assert_eq!(
        b.outside(&format!("syscall mq_unlink s:{name}")).json()["ok"],
        true
    );
    // Of its own: with messages, under the name that is the host's as well.
    let own = b.probe(&format!("mq-open {name} create")).allowed();
    assert_eq!(own["echo"], "queued", "{own}");
    assert_eq!(
        b.outside(&format!("mq-open {name}")).json()["name"],
        "ENOENT"
    );
}

/// Session and user keyrings are no namespace's: trap 7. With the filter off it is the new session keyring that holds.
#[test]
fn keys_of_the_caller() {
    let b = TestBox::new();
    b.probe("syscall keyctl 0 -3 0")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
    b.probe("syscall request_key s:user s:x 0 0")
        .denied_deep(Errno::EPERM, Layer::Seccomp);
    let (name, secret) = (token(), "keyring-secret");
    let pid = std::process::id();
    // SAFETY: a key of this process' session keyring; every pointer is a C string or bytes of that length.
    let key = unsafe {
        let name = std::ffi::CString::new(name.clone()).unwrap();
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            -3,
        )
    };
    assert!(key > 0, "add_key in {pid}");
    let without = TestBox::new().off(&[Layer::Landlock, Layer::Seccomp]);
    // KEYCTL_READ by number, KEYCTL_SEARCH by name in the session keyring.
    let read = without
        .probe(&format!("syscall keyctl 11 {key} z:64 64"))
        .value();
    assert!(read["ok"] != true, "read by number: {read}");
    let search = without
        .probe(&format!("syscall keyctl 10 -3 s:user s:{name} 0"))
        .value();
    assert_eq!(search["name"], "ENOKEY", "{search}");
    for file in ["keys", "key-users"] {
        let answer = b.probe(&format!("read /proc/{file}")).value();
        assert!(
            answer["ok"] != true || answer["size"] == 0,
            "{file}: {answer}"
        );
    }
}

#[test]
fn shared_memory_is_private() {
    let name = token();
    let path = format!("/dev/shm/{name}");
    std::fs::write(&path, "host").unwrap();
    let b = TestBox::new();
    let answer = b.probe(&format!("read {path}")).value();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(answer["name"], "ENOENT", "{answer}");
    b.probe(&format!("create {path}")).allowed();
    assert!(!std::fs::exists(&path).unwrap());
}

/// The addresses of the desktop and of agents do not come in either.
#[test]
fn addresses_of_host_services_are_not_in_the_environment() {
    let names = [
        "SSH_AUTH_SOCK",
        "DBUS_SESSION_BUS_ADDRESS",
        "XDG_RUNTIME_DIR",
        "WAYLAND_DISPLAY",
        "DISPLAY",
        "DOCKER_HOST",
        "TMUX",
        "GPG_AGENT_INFO",
        "VSCODE_IPC_HOOK_CLI",
        "VSCODE_GIT_IPC_HANDLE",
        "CLAUDE_CODE_SSE_PORT",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
        "PULSE_SERVER",
    ];
    let mut b = TestBox::new().env("LANG", "C.UTF-8");
    for name in names {
        b = b.env(name, "/run/something");
    }
    let env = b.probe("env").allowed()["env"].clone();
    assert_eq!(env["LANG"], "C.UTF-8");
    for name in names {
        let value = env[name].as_str().unwrap_or_default();
        assert_ne!(value, "/run/something", "{name}");
    }
}
