//! Hidden names that the box prepares for what the host will write to them: links, second names, pipes, descriptors that stay
//! open. Each beside a name that no rule knows, which hands over what the host writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Live, PATIENCE, Ran, TestBox, live, run, until, until_within};
use nix::sys::signal::{Signal, kill};
use std::fs;

const BASE: &str = "extends = [\"base\", \"git\"]\n";

fn boxed() -> TestBox {
    TestBox::new().profile(BASE).dir("{ws}/node_modules")
}

/// A box that does something, says `ready`, waits for the file `go` and does something else.
fn waiting(b: &TestBox, first: &str, then: &str) -> Live {
    let text = format!("{first}; echo ready; until [ -e go ]; do sleep 0.01; done; {then}");
    let mut live = b.start(["/bin/sh", "-c", &b.fill(&text)]);
    live.wait_line("ready");
    live
}

/// Does something on the host, as the test user.
fn host(b: &TestBox, script: &str) -> Ran {
    b.on_host(&format!("set -e; {script}"))
}

fn restore(b: &TestBox) -> String {
    run(b.agentbox(["restore"])).ok()
}

fn is_there(b: &TestBox, name: &str) -> bool {
    fs::symlink_metadata(b.ws().join(name)).is_ok()
}

/// What the box prepares for NAME, and how it reads what was written there.
const LURES: &[(&str, &str)] = &[
    ("ln -s notes NAME", "cat notes"),
    ("ln -s node_modules/n NAME", "cat node_modules/n"),
    ("ln -s node_modules/.env NAME", "cat node_modules/.env"),
    (
        "echo mine > node_modules/b.pem; ln node_modules/b.pem NAME",
        "cat node_modules/b.pem",
    ),
    ("mkdir -p d; ln -s d/n NAME", "cat d/n"),
    ("ln -s notes x; mv x NAME", "cat notes"),
    (
        "mkdir -p d/e; ln -s notes d/e/x; mv d/e/x NAME",
        "cat notes",
    ),
    ("ln -s \"$PWD/notes\" NAME", "cat notes"),
    ("ln -s two NAME; ln -s notes two", "cat notes"),
    ("echo mine > notes; ln notes NAME", "cat notes"),
    ("echo mine > notes; ln notes x; mv x NAME", "cat notes"),
    (
        "echo mine > node_modules/n; ln node_modules/n NAME",
        "cat node_modules/n",
    ),
    ("mkfifo x; exec 3<>x; mv x NAME", "timeout 1 head -n 1 <&3"),
];

#[test]
fn a_hidden_name_that_the_box_made_hands_nothing_over() {
    for (lure, read) in LURES {
        for (name, hidden) in [(".env", true), ("deploy.pem", true), ("plain", false)] {
            let b = boxed();
            let fill = |text: &str| text.replace("NAME", name);
            let live = waiting(&b, &fill(lure), &format!("{} 2>&1", fill(read)));
            if hidden {
                let gone = until_within(PATIENCE, || !is_there(&b, name));
                if !gone {
                    host(&b, "touch go").ok();
                    panic!("{lure}: {name} is not gone: {:?}", live.end());
                }
            }
            let wrote = host(&b, &fill("timeout 5 sh -c 'echo SECRET > NAME'; touch go"));
            assert_eq!(wrote.code(), 0, "{lure} {name}: {wrote:?}");
            let ran = live.end();
            assert_eq!(
                ran.text().contains("SECRET"),
                !hidden,
                "{lure} {name}: {ran:?}"
            );
            if hidden {
                assert_eq!(fs::read_to_string(b.ws().join(name)).unwrap(), "SECRET\n");
                assert!(
                    ran.complaint().contains("would hand over"),
                    "{lure}: {ran:?}"
                );
                assert!(restore(&b).contains(name), "{lure}");
            }
        }
    }
}

#[test]
fn links_that_lead_to_nothing_of_the_boxes_stay() {
    let b = boxed().file("{home}/elsewhere", "outside");
    let live = waiting(&b, "true", "sleep 0.3");
    host(
        &b,
        "ln -s {home}/elsewhere .env; ln -s .env.local .env.production; echo x > .env.local; ln .env.local .env.again; \
         mkdir a; ln -s ../.env a/.env; touch go",
    )
    .ok();
    live.end().ok();
    for name in [
        ".env",
        ".env.production",
        ".env.local",
        ".env.again",
        "a/.env",
    ] {
        assert!(is_there(&b, name), "{name}: {}", restore(&b));
    }
}

#[test]
fn a_link_of_a_branch_under_a_hidden_name_is_the_repositorys() {
    let b = boxed();
    host(&b, "mkdir conf; echo A=1 > conf/sample; echo x > README").ok();
    b.git(&["init", "-q"]);
    b.git(&["add", "README"]);
    b.git(&["commit", "-qm", "one"]);
    b.git(&["checkout", "-qb", "linked"]);
    host(&b, "ln -s conf/sample .env").ok();
    b.git(&["add", "-A"]);
    b.git(&["commit", "-qm", "two"]);
    b.git(&["checkout", "-q", "main"]);
    let ran = b.sh("git checkout -q linked; sleep 0.5; git status --porcelain; cat .env");
    assert_eq!(ran.ok(), "A=1");
    assert!(is_there(&b, ".env"));
    assert_eq!(b.git(&["status", "--porcelain"]), "");
}

#[test]
fn who_makes_such_a_name_again_and_again_is_ended() {
    let b = boxed();
    let spin = |name: &str, times: &str| {
        let script = "import os,sys
for i in range(int(sys.argv[2])):
    try: os.symlink('notes', sys.argv[1])
    except FileExistsError: pass
    if sys.argv[1] == 'plain': os.unlink('plain')
print('lived')";
        b.run(["/usr/bin/python3", "-c", script, name, times])
    };
    assert_eq!(spin("plain", "20000").ok().trim(), "lived");
    let ran = spin(".env", "1000000000");
    assert_eq!(ran.code(), 137, "{ran:?}");
    assert!(
        ran.complaint()
            .contains(".env, a hidden name that the box made"),
        "{ran:?}"
    );
}

#[test]
fn a_hidden_file_that_the_box_has_open_gets_a_new_inode() {
    let script = "import os,sys,time,mmap
def hold(name, first):
    f = open(first, 'w+'); f.write('mine'); f.flush()
    if first != name: os.rename(first, name)
    return f
files = [hold('.env', '.env'), hold('a.pem', 'x'), hold('plain', 'plain')]
m = hold('b.key', 'y'); files.append(mmap.mmap(m.fileno(), 0)); m.close()
with open('.env.own', 'w') as f: f.write('the agents own')
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
for f in files: f.seek(0); print(f.read())";
    let b = boxed();
    let mut live = b.start(["/usr/bin/python3", "-c", script]);
    live.wait_line("ready");
    until("each is a copy", || {
        let said = restore(&b);
        // It is listed before the copy has the name.
        [".env", "a.pem", "b.key"]
            .iter()
            .all(|name| said.contains(name) && is_there(&b, name))
    });
    let names = ".env a.pem b.key plain";
    host(
        &b,
        &format!("for f in {names}; do cat $f; echo SECRET > $f; done; touch go"),
    )
    .ok();
    let ran = live.end();
    assert_eq!(
        ran.text(),
        "ready\nmine\nmine\nSECRET\n\nb'mine'",
        "{ran:?}"
    );
    assert!(ran.complaint().contains("it is a copy now"), "{ran:?}");
    let own = fs::read_to_string(b.ws().join(".env.own")).unwrap();
    assert_eq!(own, "the agents own");
    assert!(!restore(&b).contains(".env.own"));
}

#[test]
fn what_the_host_writes_slowly_to_a_hidden_name_stays_its_own() {
    let b = boxed();
    let live = waiting(&b, "true", "true");
    let slow = "exec 3> .env; echo one >&3; sleep 3; echo two >&3; exec 3>&-; touch go";
    host(&b, slow).ok();
    live.end().ok();
    assert_eq!(
        fs::read_to_string(b.ws().join(".env")).unwrap(),
        "one\ntwo\n"
    );
    assert!(!restore(&b).contains(".env"));
}

#[test]
fn what_a_crash_left_under_hidden_names_is_taken_by_who_comes_next() {
    let b = boxed();
    let token = common::world::token();
    // Stopped, the supervisor settles nothing.
    let script = "echo ready; until [ -e go ]; do sleep 0.01; done; ln -s notes .env; echo mine > m; ln m a.pem; ln -s notes plain; echo made; sleep 1000; true";
    let mut live = b.start(["/bin/sh", "-c", script, &token]);
    live.wait_line("ready");
    let supervisor = live::parent(live::init_of(live::find(&token))).unwrap();
    kill(supervisor, Signal::SIGSTOP).unwrap();
    host(&b, "touch go").ok();
    until("they are made", || is_there(&b, "plain"));
    kill(supervisor, Signal::SIGKILL).unwrap();
    live.end();
    live::gone(&token);
    assert!(is_there(&b, ".env") && is_there(&b, "a.pem"));
    let said = restore(&b);
    assert!(!is_there(&b, ".env") && !is_there(&b, "a.pem"), "{said}");
    assert!(is_there(&b, "plain") && is_there(&b, "m"), "{said}");
}

/// An `O_PATH` descriptor counts for no lease, and one that waits in a socket is in nobody's table.
#[test]
fn a_descriptor_that_only_names_a_hidden_file_leads_to_nothing() {
    let script = "import os,socket,time
def name(name):
    open('first', 'w').close()
    fd = os.open('first', os.O_PATH)
    os.rename('first', name)
    return fd
a, z = socket.socketpair()
fds = {'.env': name('.env'), 'plain': name('plain')}
sent = name('sent.key')
socket.send_fds(a, [b'x'], [sent]); os.close(sent)
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
fds['sent.key'] = socket.recv_fds(z, 1, 1)[1][0]
for name, fd in fds.items(): print(name, open(f'/proc/self/fd/{fd}').read().strip())";
    let b = boxed();
    let mut live = b.start(["/usr/bin/python3", "-c", script]);
    live.wait_line("ready");
    until("each is a copy", || {
        let said = restore(&b);
        // It is listed before the copy has the name.
        [".env", "sent.key"]
            .iter()
            .all(|name| said.contains(name) && is_there(&b, name))
    });
    host(
        &b,
        "for f in .env sent.key plain; do echo SECRET > $f; done; touch go",
    )
    .ok();
    let ran = live.end();
    assert_eq!(
        ran.text().trim(),
        "ready\n.env \nplain SECRET\nsent.key",
        "{ran:?}"
    );
    assert!(ran.complaint().contains("may have had"), "{ran:?}");
}

/// The mask lay on the inode that the link led to at the start: another one under that name was open, and one that came later.
#[test]
fn what_a_hidden_link_leads_to_stays_hidden_when_the_host_replaces_or_makes_it() {
    let b = boxed();
    host(
        &b,
        "mkdir conf; echo OLD > conf/real; echo OLD > conf/twin; ln -s conf/real .env; ln -s conf/later .env.local; \
         ln -s node_modules/late a.pem; ln -s conf/twin plain",
    )
    .ok();
    let files = "conf/real conf/later node_modules/late conf/twin";
    let live = waiting(
        &b,
        "cat conf/real",
        &format!("for f in {files}; do cat $f; done 2>/dev/null; true"),
    );
    host(
        &b,
        "echo SECRET > t; mv t conf/real; echo NEW > t; mv t conf/twin; echo SECRET > .env.local; echo SECRET > a.pem; sleep 0.3; touch go",
    )
    .ok();
    assert_eq!(live.end().ok().trim(), "ready\nNEW");
    let read = |flags: &[&str]| {
        let sh = ["/bin/sh", "-c", "cat conf/real conf/later"];
        run(b.agentbox([&["run", "-q"], flags, &["--"], &sh].concat())).text()
    };
    assert_eq!(read(&[]), "");
    assert_eq!(read(&["--read", "conf/real"]), "SECRET");
    assert_eq!(read(&["--read", ".env.local"]), "SECRET");
    assert_eq!(read(&["--hide", "!.env*"]), "SECRET\nSECRET");
}

/// Ways of having a hidden file open that no walk by names through the tables of the leaders sees, and a second name that is made
/// by a descriptor where nobody watches.
#[test]
fn a_hidden_file_that_the_box_has_open_unseen_gets_a_new_inode() {
    let script = "import ctypes,os,threading,time
libc = ctypes.CDLL(None, use_errno=True)
def path(first):
    open(first, 'w').close()
    return os.open(first, os.O_PATH)
def said(fd): return open(f'/proc/thread-self/fd/{fd}').read().strip()
def another(name):
    fd = path('first'); os.link('first', name); os.unlink('first')
    return lambda: said(fd)
def thread(name):
    there, go, out = threading.Event(), threading.Event(), []
    def run():
        assert libc.unshare(0x400) == 0
        fd = path('of a thread'); there.set(); go.wait(); out.append(said(fd))
    one = threading.Thread(target=run, daemon=True); one.start(); there.wait()
    os.rename('of a thread', name)
    def read(): go.set(); one.join(); return out[0]
    return read
def blind(name):
    fd = os.open('blind', os.O_RDWR | os.O_CREAT, 0o200); os.rename('blind', name)
    return lambda: os.pread(fd, 99, 0).decode().strip()
def second(name):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    to = 'node_modules/n' + name.replace('.', '')
    time.sleep(0.3)
    assert libc.linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, to.encode(), 0x400) == 0
    os.close(fd)
    return lambda: open(to).read().strip()
def closed(name):
    os.mkdir(f'{name}.d'); path('two'); os.link('two', f'{name}.d/n'); os.link('two', name)
    os.unlink('two'); os.chmod(f'{name}.d', 0)
    def read(): os.chmod(f'{name}.d', 0o700); return open(f'{name}.d/n').read().strip()
    return read
ways = [another, thread, blind, second, closed]
all = [(name, way(name)) for way in ways for name in (way.__name__ + '.pem', way.__name__)]
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
for name, read in all: print(name, read() or '-')";
    let b = boxed();
    let mut live = b.start(["/usr/bin/python3", "-c", script]);
    live.wait_line("ready");
    let ways = ["another", "thread", "blind", "second", "closed"];
    until("each is another file, or none", || {
        let said = restore(&b);
        ways.iter().all(|way| said.contains(&format!("{way}.pem")))
    });
    let write = "for n in another thread blind second closed; do echo SECRET > $n; echo SECRET > $n.pem; done; touch go";
    host(&b, write).ok();
    let ran = live.end();
    let wanted: String = ways
        .iter()
        .map(|way| format!("{way}.pem -\n{way} SECRET\n"))
        .collect();
    assert_eq!(
        ran.text(),
        format!("ready\n{}", wanted.trim_end()),
        "{ran:?}"
    );
}

/// Nobody sees the table of a process that is not dumpable; and who has made somebody doubt a name often enough cannot do with it
/// what he likes.
#[test]
fn a_process_that_cannot_be_looked_at_may_have_a_hidden_file_open() {
    let script = "import ctypes,os,time
libc = ctypes.CDLL(None)
def hold(name):
    open('first', 'w').close(); fd = os.open('first', os.O_PATH); os.rename('first', name)
    return fd
os.mkdir('d')
libc.prctl(4, 0, 0, 0, 0)
hold('d/.env')
print('ready', flush=True)
while not os.path.exists('again'): time.sleep(0.01)
libc.prctl(4, 1, 0, 0, 0)
os.rename('d', 'e'); os.mkdir('d')
libc.prctl(4, 0, 0, 0, 0)
fd, plain = hold('d/.env'), hold('d/plain')
print('again', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
libc.prctl(4, 1, 0, 0, 0)
for fd in (fd, plain): print(open(f'/proc/self/fd/{fd}').read().strip() or '-')";
    let b = boxed();
    let mut live = b.start(["/usr/bin/python3", "-c", script]);
    live.wait_line("ready");
    // Root sees every table, and kills in the end: here the name is doubted, or known, until nothing more is said of it.
    let times = || restore(&b).matches("d/.env").count();
    until_within(4 * PATIENCE, || {
        times() >= if common::world::as_root() { 1 } else { 3 }
    });
    let before = times();
    host(&b, "touch again").ok();
    live.wait_line("again");
    until("it is another file", || times() > before);
    host(&b, "echo SECRET > d/.env; echo SECRET > d/plain; touch go").ok();
    let ran = live.end();
    assert_eq!(ran.text(), "ready\nagain\n-\nSECRET", "{ran:?}");
}

/// What lies in a directory that is moved keeps its ctime: it looks as if it had been there under that name.
#[test]
fn what_an_earlier_session_left_does_not_become_hidden_by_a_move() {
    let b = boxed()
        .file("{ws}/notes", "mine\n")
        .file("{ws}/two/credentials", "mine\n")
        .file("{ws}/three/plain", "mine\n");
    host(
        &b,
        "mkdir one && ln -s ../notes one/credentials && sleep 0.1",
    )
    .ok();
    let script = "import os,time
held = [os.open('two/credentials', os.O_RDONLY), os.open('three/plain', os.O_RDONLY)]
os.rename('one', '.aws'); os.mkdir('sub'); os.rename('two', 'sub/.aws')
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
print(open('notes').read().strip())
for fd in held: print(os.pread(fd, 99, 0).decode().strip())";
    let mut live = b.start(["/usr/bin/python3", "-c", script]);
    live.wait_line("ready");
    until("both are taken", || {
        let said = restore(&b);
        said.contains("ws/.aws/credentials") && said.contains("sub/.aws/credentials")
    });
    let write = "for f in .aws/credentials sub/.aws/credentials three/plain; do echo SECRET > $f; done; touch go";
    host(&b, write).ok();
    let ran = live.end();
    assert_eq!(ran.text(), "ready\nmine\nmine\nSECRET", "{ran:?}");
}

#[test]
fn two_boxes_do_not_hold_a_hidden_file_for_each_other() {
    let b = boxed();
    let other = "import os,time
while not os.path.exists('first'): time.sleep(0.01)
fd = os.open('first', os.O_RDONLY)
open('held', 'w').close()
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
print(os.pread(fd, 99, 0).decode().strip() or '-')";
    let one = "import os,time
fd = os.open('first', os.O_RDWR | os.O_CREAT, 0o600)
while not os.path.exists('held'): time.sleep(0.01)
os.rename('first', 'a.pem')
print('ready', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
print(os.pread(fd, 99, 0).decode().strip() or '-')";
    let mut second = b.start(["/usr/bin/python3", "-c", other]);
    let mut first = b.start(["/usr/bin/python3", "-c", one]);
    first.wait_line("ready");
    second.wait_line("ready");
    let inode = || {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(b.ws().join("a.pem")).map_or(0, |meta| meta.ino())
    };
    let was = inode();
    until("it is a copy", || ![0, was].contains(&inode()));
    host(&b, "echo SECRET > a.pem; touch go").ok();
    assert_eq!(first.end().text(), "ready\n-");
    assert_eq!(second.end().text(), "ready\n-");
}

/// `.env -> link -> conf/local`: the box put another link in the place of the one between, and read what was then saved to `.env`.
#[test]
fn a_link_between_a_hidden_link_and_its_file_that_the_box_replaces() {
    let b = boxed();
    host(
        &b,
        "mkdir conf; echo old > conf/local; ln -s between .env; ln -s conf/local between; echo n > notes; ln -s between2 plain; \
         ln -s conf/plain between2; echo p > conf/plain",
    )
    .ok();
    let live = waiting(
        &b,
        "cat .env between; for l in between between2; do rm $l; ln -s notes $l; done; sleep 0.5; touch replaced",
        "sleep 0.5; cat notes .env",
    );
    until("replaced", || b.ws().join("replaced").exists());
    host(&b, "echo shown > plain; echo SECRET > .env; touch go").ok();
    let ran = live.end();
    assert!(!ran.text().contains("SECRET"), "{ran:?}");
    assert!(ran.text().contains("shown"), "the twin: {ran:?}");
    assert!(!ran.text().contains("old"), "{ran:?}");
}
