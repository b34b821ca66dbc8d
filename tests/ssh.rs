//! Git over ssh with a key that stays outside: the real ssh-agent, ssh, sshd and git.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, Ran, TestBox, missing, run, until};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn absent() -> bool {
    missing(Feature::Userns)
        || ["ssh", "sshd", "ssh-agent", "git", "python3"]
            .iter()
            .any(|tool| missing(Feature::Tool(tool)))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(common::world::tool(name).unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A command as the test user.
fn as_user(b: &TestBox, name: &str) -> Command {
    let mut command = tool(name);
    b.around(&mut command, &b.command(["true"]));
    command.stdin(Stdio::null());
    command
}

fn keygen(path: &Path) {
    let made = tool("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C"])
        .arg(path.file_name().unwrap())
        .arg("-f")
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

/// sshd on the host's loopback, whose authorized keys are those of `keys`.
fn sshd(dir: &Path, name: &str, keys: &str) -> (Server, u16) {
    let _ = std::fs::create_dir_all("/run/sshd");
    let port = free_port();
    let at = |end: &str| dir.join(format!("{name}.{end}"));
    keygen(&at("host"));
    std::fs::write(at("keys"), keys).unwrap();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        at("host").display(),
        at("keys").display()
    );
    std::fs::write(at("config"), config).unwrap();
    let child = tool("sshd").arg("-D").arg("-f").arg(at("config")).spawn();
    let server = Server(child.unwrap());
    until("sshd", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (server, port)
}

/// Whom sshd lets in: it cannot become another user unless it is root.
fn login() -> String {
    let uid = nix::unistd::geteuid();
    nix::unistd::User::from_uid(uid).unwrap().unwrap().name
}

struct World {
    b: TestBox,
    git: u16,
    evil: u16,
    agent: PathBuf,
    _servers: [Server; 3],
}

const RULES: &str = "[ssh]\nhosts = [\"git.test:{git}\"]\nkeys = [\"~/.ssh/granted\"]\n";

/// Two servers that take both of the caller's keys. One is granted, and so is one key.
fn world(ssh: &str) -> World {
    let b = TestBox::new()
        .net("filtered")
        .dir("home/.ssh")
        .dir("servers");
    let (dir, ssh_dir) = (b.root().join("servers"), b.home().join(".ssh"));
    let mut keys = String::new();
    for name in ["granted", "other"] {
        let path = ssh_dir.join(name);
        keygen(&path);
        for end in ["", ".pub"] {
            b.chown(&ssh_dir.join(format!("{name}{end}")));
        }
        keys += &std::fs::read_to_string(path.with_extension("pub")).unwrap();
    }
    let (git_server, git) = sshd(&dir, "git", &keys);
    let (evil_server, evil) = sshd(&dir, "evil", &keys);
    // Hashed, as Debian's ssh writes it.
    let host_key = std::fs::read_to_string(dir.join("git.host.pub")).unwrap();
    let known = ssh_dir.join("known_hosts");
    std::fs::write(&known, format!("[git.test]:{git} {host_key}")).unwrap();
    let hashed = tool("ssh-keygen").args(["-H", "-f"]).arg(&known).status();
    assert!(hashed.unwrap().success());
    b.chown(&known);
    let agent = b.root().join("home/agent.sock");
    let child = as_user(&b, "ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&agent)
        .spawn();
    let agent_server = Server(child.unwrap());
    // Its name is there before it listens.
    until("ssh-agent", || UnixStream::connect(&agent).is_ok());
    let added = as_user(&b, "ssh-add")
        .env("SSH_AUTH_SOCK", &agent)
        .args(["granted", "other"].map(|name| ssh_dir.join(name)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    let rules = ssh.replace("{git}", &git.to_string());
    let b = b.file(
        "ssh.toml",
        format!(
            "extends = [\"shell\"]\n[network]\nallow = [\"git.test:{git}+private\", \"evil.test:{evil}+private\"]\n\
             [network.hosts]\n\"git.test\" = \"127.0.0.1\"\n\"evil.test\" = \"127.0.0.1\"\n{rules}"
        ),
    );
    let profile = b.root().join("ssh.toml");
    let b = b
        .option("-p")
        .option(profile.to_str().unwrap())
        .env("SSH_AUTH_SOCK", &agent);
    World {
        b,
        git,
        evil,
        agent,
        _servers: [git_server, evil_server, agent_server],
    }
}

impl World {
    fn sh(&self, script: &str) -> Ran {
        let script = script
            .replace("{git}", &self.git.to_string())
            .replace("{evil}", &self.evil.to_string())
            .replace("{user}", &login());
        self.b.sh(&script)
    }

    /// What the record says of the last session.
    fn record(&self) -> String {
        let dir = self.b.home().join(".local/state/agentbox/sessions");
        let mut sessions: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().collect();
        // Beside the sessions there are notes of the sweep.
        sessions.retain(|entry| entry.path().join("events.jsonl").exists());
        sessions.sort_by_key(|entry| entry.metadata().unwrap().modified().unwrap());
        let last = sessions.last().unwrap().path().join("events.jsonl");
        std::fs::read_to_string(last).unwrap()
    }
}

/// Whoever is asked: any host key is taken.
const ANY: &str = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o BatchMode=yes";

#[test]
fn a_granted_key_logs_in_to_a_granted_server() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let ran = w.sh("ssh-add -L; test ! -e ~/.ssh && echo no .ssh; ssh -o BatchMode=yes -p {git} {user}@git.test echo logged in");
    let text = ran.ok();
    assert!(
        text.contains(" granted") && !text.contains(" other"),
        "{ran:?}"
    );
    assert!(
        text.contains("no .ssh") && text.contains("logged in"),
        "{ran:?}"
    );
    let record = w.record();
    assert_eq!(
        record.matches("\"event\":\"signed\"").count(),
        1,
        "{record}"
    );
    assert!(
        record.contains(&format!("\"host\":\"[git.test]:{}\"", w.git)),
        "{record}"
    );
}

/// The socket had its name before it listened, and the first thing that a command asked was refused: most often with many boxes.
#[test]
fn the_box_s_agent_listens_before_the_command_starts() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let many = || {
        for _ in 0..10 {
            w.b.probe("connect-unix /run/agentbox/ssh-agent").allowed();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(many);
        }
    });
}

#[test]
fn git_clones_and_pushes_over_ssh() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let repository = w.b.root().join("servers/project.git");
    let made = tool("git")
        .args(["init", "-q", "--bare"])
        .arg(&repository)
        .status();
    assert!(made.unwrap().success());
    let url = format!(
        "ssh://{}@git.test:{}{}",
        login(),
        w.git,
        repository.display()
    );
    let ran = w.sh(&format!(
        "git clone -q {url} project && cd project && git config user.name a && git config user.email a@b && \
         echo x > file && git add file && git commit -qm one && git push -q origin HEAD:main && git ls-remote origin"
    ));
    assert!(ran.ok().contains("refs/heads/main"), "{ran:?}");
}

#[test]
fn nothing_is_signed_for_another_server() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let ssh = format!("ssh {ANY} -p {{evil}} {{user}}@evil.test echo logged in");
    let ran = w.sh(&ssh);
    assert_ne!(ran.code(), 0, "{ran:?}");
    assert!(ran.complaint().contains("Permission denied"), "{ran:?}");
    let why = "the server's key is none of a granted server";
    assert!(ran.complaint().contains(why), "{ran:?}");
    assert!(!w.record().contains("\"event\":\"signed\""));
    // The twin: the same key opens it from outside.
    let outside = as_user(&w.b, "ssh")
        .env("SSH_AUTH_SOCK", &w.agent)
        .args(ANY.split(' '))
        .args([
            "-p",
            &w.evil.to_string(),
            &format!("{}@127.0.0.1", login()),
            "true",
        ])
        .status();
    assert!(outside.unwrap().success());
}

#[test]
fn nothing_else_is_done_with_a_key() {
    if absent() {
        return;
    }
    let w = world(RULES);
    // A signature for a file, which no server has asked for; everything that changes the agent.
    let ran = w.sh(
        "ssh-add -L > key.pub; echo text > text; ssh-keygen -q -Y sign -n file -f key.pub text; echo sign $?; \
         ssh-add -qD; echo delete $?; ssh-keygen -q -t ed25519 -N '' -f own; ssh-add -q own; echo add $?; \
         SSH_ASKPASS=/bin/true SSH_ASKPASS_REQUIRE=force ssh-add -x; ssh-add -L",
    );
    let text = ran.ok();
    for line in ["sign 255", "delete 1", "add 1"] {
        assert!(text.contains(line), "{line}: {ran:?}");
    }
    assert!(
        text.contains(" granted"),
        "neither locked nor emptied: {ran:?}"
    );
    assert!(!w.b.ws().join("text.sig").exists());
    let said = ran.complaint();
    assert!(
        said.contains("it signs only for a granted server"),
        "{ran:?}"
    );
    assert!(said.contains("this is message"), "{ran:?}");
    // A key that is not granted is not there, also for whoever has its public half.
    let public = std::fs::read_to_string(w.b.home().join(".ssh/other.pub")).unwrap();
    std::fs::write(w.b.ws().join("other.pub"), public).unwrap();
    let ran = w.sh(
        "ssh -o BatchMode=yes -o IdentitiesOnly=yes -i other.pub -p {git} {user}@git.test echo logged in",
    );
    assert_ne!(ran.code(), 0, "{ran:?}");
    // What is left of a message, and lengths of the moon: the agent serves the next one.
    let ran = w.sh(
        "python3 -c \"import socket,os\nfor b in (b'\\0\\0\\0\\5\\x0d\\xff\\xff\\xff\\xff', b'\\xff\\xff\\xff\\xff\\x0b', b'\\0\\0\\0\\0', b'\\0\\0'):\n\
         \x20 s=socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK']); s.sendall(b); s.shutdown(1); print(s.recv(99))\"; ssh-add -L",
    );
    assert!(ran.ok().contains(" granted"), "{ran:?}");
}

/// A box that held 1,500 connections held as many of the caller's agent, which by default has 1,024 descriptors for all.
#[test]
fn a_box_does_not_use_up_the_agent_outside() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let ran = w.sh("cat >many.py <<'END'
import os, select, socket
connections = []
for _ in range(60):
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ['SSH_AUTH_SOCK'])
    s.sendall(b'\\0\\0\\0\\1\\x0b')
    connections.append(s)
waiting, answered = set(connections), set()
def more(seconds):
    global waiting
    ready, _, _ = select.select(list(waiting), [], [], seconds)
    for s in ready:
        assert s.recv(4096)[4] == 12
        answered.add(s)
    waiting -= answered
    return ready
while len(answered) < 32: assert more(60)
while more(1): pass
print('at a time', len(answered))
for s in list(answered): s.close()
while waiting:
    for s in more(60): s.close()
print('in the end', len(answered))
END
python3 many.py");
    assert_eq!(ran.ok(), "at a time 32\nin the end 60", "{ran:?}");
}

#[test]
fn without_a_grant_there_is_no_agent() {
    if absent() {
        return;
    }
    let w = world("");
    let ran = w.sh("echo \"[$SSH_AUTH_SOCK]\"; ls /run/agentbox; ssh-add -l; echo status $?");
    let text = ran.ok();
    assert!(
        text.contains("[]\n") && text.contains("status 2"),
        "{ran:?}"
    );
    assert!(!text.contains("ssh-agent"), "{ran:?}");
    // A server whose key is not known, a key that is none, one without the other: refused, with what to do.
    for (rules, words) in [
        (
            "[ssh]\nhosts = [\"evil.test\"]\nkeys = [\"~/.ssh/granted\"]\n",
            "connect once outside and compare its fingerprint: ssh evil.test",
        ),
        (
            "[ssh]\nhosts = [\"git.test:{git}\"]\nkeys = [\"~/.ssh/known_hosts\"]\n",
            "is not the public half of an ssh key",
        ),
        ("[ssh]\nhosts = [\"git.test:{git}\"]\n", "names no keys"),
        (
            "[ssh]\nhosts = [\"*.test\"]\nkeys = []\n",
            "is not one server",
        ),
    ] {
        let text = std::fs::read_to_string(w.b.root().join("ssh.toml")).unwrap();
        let path = w.b.root().join("bad.toml");
        let rules = rules.replace("{git}", &w.git.to_string());
        std::fs::write(&path, text + &rules).unwrap();
        let path = path.to_str().unwrap();
        let ran = run(w.b.agentbox(["run", "-p", path, "--", "true"]));
        ran.refused(&[words]);
    }
}

/// A box wrote another public key of the caller's into the file, or led it there by a link, and the next one logged in with that key.
#[test]
fn which_key_signs_is_not_said_where_a_box_can_write() {
    if absent() {
        return;
    }
    let w = world("[ssh]\nhosts = [\"git.test:{git}\"]\nkeys = [\"${workspace}/deploy\"]\n");
    let (deploy, ssh) = (w.b.ws().join("deploy.pub"), w.b.home().join(".ssh"));
    std::fs::copy(ssh.join("other.pub"), &deploy).unwrap();
    w.sh("ssh-add -l").refused(&[
        "the public key",
        "deploy.pub lies in",
        "the agent can write",
    ]);
    std::fs::remove_file(&deploy).unwrap();
    std::os::unix::fs::symlink(ssh.join("other.pub"), &deploy).unwrap();
    let place = format!("deploy.pub lies in {}, which", w.b.ws().display());
    w.sh("ssh-add -l").refused(&[&place]);

    let w = world(RULES);
    let ran = w.sh("ssh-add -l");
    assert!(ran.ok().contains(" granted "), "{ran:?}");
    // A forged host key makes every server the granted one.
    let known = w.b.home().join(".ssh/known_hosts");
    std::fs::rename(&known, w.b.ws().join("known_hosts")).unwrap();
    std::os::unix::fs::symlink(w.b.ws().join("known_hosts"), &known).unwrap();
    w.sh("ssh-add -l")
        .refused(&["the file of host keys", "which the agent can write"]);
}

/// Some agents say yes to whatever binds a session, without a look at the server's signature.
#[test]
fn an_agent_that_verifies_nothing_is_not_used() {
    if absent() {
        return;
    }
    let w = world(RULES);
    let public = std::fs::read_to_string(w.b.home().join(".ssh/granted.pub")).unwrap();
    let path = w.b.root().join("home/careless.sock");
    let listener = UnixListener::bind(&path).unwrap();
    w.b.chown(&path);
    common::helper(move || {
        for mut stream in listener.incoming().flatten() {
            let blob = blob(&public);
            common::helper(move || {
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
                    stream.read_exact(&mut message).unwrap();
                    let answer = match message[0] {
                        11 => {
                            let mut out = vec![12, 0, 0, 0, 1];
                            for part in [&blob[..], b"granted"] {
                                out.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
                                out.extend(part);
                            }
                            out
                        }
                        _ => vec![6],
                    };
                    let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &answer].concat());
                }
            });
        }
    });
    let b = w.b.env("SSH_AUTH_SOCK", &path);
    let script = format!(
        "ssh-add -L; ssh -o BatchMode=yes -p {} {}@git.test true; echo status $?",
        w.git,
        login()
    );
    let ran = b.sh(&script);
    assert!(ran.ok().contains("status 255"), "{ran:?}");
    assert!(ran.text().contains(" granted"), "{ran:?}");
    let why = "does not verify which server it signs for";
    assert!(ran.complaint().contains(why), "{ran:?}");
}

/// The key of a `.pub` file.
fn blob(public: &str) -> Vec<u8> {
    let text = public.split(' ').nth(1).unwrap();
    agentbox::plan::net::ssh::decode(text).unwrap()
}
