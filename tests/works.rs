//! What must keep working: each of these is broken in at least one of the peers (traps 14; codex#47452, #33793; fence#175).
//! Whatever runs here gives the same answer as without a box.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::world::tool;
use common::{Errno, Feature, TestBox, missing, run};
use std::fs;

/// True if one of the tools is not there (and says so).
fn lacks(names: &[&'static str]) -> bool {
    names.iter().any(|name| missing(Feature::Tool(name)))
}

/// Runs the script in the box and outside, in fresh worlds, and compares what is printed.
#[track_caller]
fn same(script: &str) -> String {
    let inside = TestBox::new();
    let outside = TestBox::new();
    let ran = inside.sh(script);
    let mut twin = std::process::Command::new("/bin/sh");
    twin.arg("-c").arg(outside.fill(script));
    outside.around(&mut twin, &outside.agentbox(["true"]));
    let twin = run(twin);
    let plain = |text: String, b: &TestBox| text.replace(&b.root().display().to_string(), "WORLD");
    assert_eq!(
        ran.code(),
        twin.code(),
        "inside: {ran:?}\noutside: {twin:?}"
    );
    let (ours, theirs) = (plain(ran.text(), &inside), plain(twin.text(), &outside));
    assert_eq!(ours, theirs, "inside: {ran:?}\noutside: {twin:?}");
    assert_eq!(ran.code(), 0, "{ran:?}");
    ours
}

#[test]
fn git_from_init_to_rebase() {
    if lacks(&["git"]) {
        return;
    }
    let text = same(
        "set -e; export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
         git init -q -b main . 2>&1; git config user.name A; git config user.email a@b
         echo one > f; git add f; git commit -qm one; git checkout -q -b side; echo two >> f; git commit -qam two
         git checkout -q main; echo x > g; git add g; git commit -qm three; git rebase -q main side 2>&1
         git stash list; echo dirty >> f; git stash -q; git stash pop -q; git checkout -q -- f
         git tag v1; git worktree add -q ../ws/tree main; git gc -q; git fsck --no-progress; git log --format='%H %s'; git status --short
         git clone -q . copy; git -C copy log --format=%s; git diff --stat main side",
    );
    assert!(text.contains(" two"), "{text}");
}

/// Hooks, pagers, editors, submodules and patches start processes of many kinds.
#[test]
fn git_with_hooks_and_submodules() {
    if lacks(&["git"]) {
        return;
    }
    same(
        "set -e; export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'; git init -q -b main lib; cd lib; git config user.name A; git config user.email a@b; echo l > l; git add l; git commit -qm l; cd ..
         git init -q -b main app; cd app; git config user.name A; git config user.email a@b
         printf '#!/bin/sh\\necho hook ran\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
         git -c protocol.file.allow=always submodule --quiet add ../lib lib 2>&1; git commit -qm sub 2>&1; git submodule status | cut -c1 ; ls lib
         GIT_EDITOR='sed -i 1s/^/edited-/' git commit --amend 2>&1 >/dev/null | cat; git log --format=%s",
    );
}

/// Programs that find in /etc and /var what they are made of: without it they fail, or have half of what they should.
#[test]
fn manuals_php_and_the_package_database() {
    let programs = [
        ("man", "man -w man; man man 2>&1 | head -n 3"),
        ("php", "php -m; php --ini"),
        (
            "dpkg",
            "dpkg -s dpkg; dpkg -S /bin/dash; dpkg-query -W | sort | head -n 20",
        ),
        (
            "convert",
            "convert -list policy; convert -list delegate | head -n 20",
        ),
        ("rpm", "rpm -qa | sort"),
    ];
    for (program, script) in programs {
        if !missing(Feature::Tool(program)) {
            same(script);
        }
    }
}

/// Debian's packages of these keep in /etc and /var, behind links or without, what they do not work without: emacs opened no file, R had
/// no `lm`, latex no format, ghc no library, ruby no gem that the system has installed, the rest no configuration or no words.
#[test]
fn languages_editors_and_documents_of_the_system() {
    let programs = [
        (
            "emacs",
            "echo x > f; emacs --batch f --eval '(princ (buffer-name))'",
        ),
        ("Rscript", "Rscript -e 'cat(class(lm(dist ~ speed, cars)))'"),
        (
            "pdflatex",
            "printf '\\\\documentclass{article}\\\\begin{document}x\\\\end{document}' > f.tex; pdflatex -interaction=batchmode f.tex; ls *.pdf",
        ),
        (
            "ghc",
            "ghc-pkg list --simple-output; echo 'main = putStrLn \"x\"' > f.hs; ghc -v0 f.hs; ./f",
        ),
        ("ocamlfind", "ocamlfind query -format %d stdlib"),
        ("gem", "gem list; gem env gemdir"),
        (
            "fpc",
            "echo 'begin writeln(1 + 1) end.' > f.pas; fpc -v0 f.pas; ./f",
        ),
        (
            "asciidoc",
            "printf '= T\\n\\nx\\n' > f.adoc; asciidoc -o - f.adoc | grep '<h1>'",
        ),
        (
            "xmlcatalog",
            "xmlcatalog /etc/xml/catalog '-//OASIS//DTD DocBook XML V4.5//EN'; true",
        ),
        ("aspell", "echo helo | aspell -l en list 2>&1; true"),
        (
            "head",
            "test ! -e /usr/share/dict/words || head -n 1 /usr/share/dict/words",
        ),
    ];
    for (program, script) in programs {
        if !missing(Feature::Tool(program)) {
            same(script);
        }
    }
}

#[test]
fn shells_and_core_tools() {
    same(
        "set -e; mkdir d; for i in 1 2 3; do echo $i > d/$i; done; tar cf d.tar d; mkdir x; tar xf d.tar -C x; diff -r d x/d
         find d x -type f | sort | xargs cat; cp -a d e; mv e f; ln -s f l; ls -l l | cut -c1; rm -r f; test -L l; touch -d 2020-01-01 old; stat -c %Y old
         mkfifo p; (echo through > p &) ; cat p; printf 'b\\na\\n' | sort | tee s; dd if=/dev/zero of=z bs=1k count=4 2>/dev/null; wc -c < z
         sleep 0.01 & wait $!; echo $?; (exit 3) || echo $?; mktemp >/dev/null; sed -i s/b/c/ s; cat s; gzip -k s; gunzip -c s.gz; awk 'END { print NR }' s
         truncate -s 1M sparse; stat -c %s sparse; timeout 5 true; nohup true 2>/dev/null; xargs -P 4 -n 1 echo < s | sort; chmod 600 s; stat -c %a s",
    );
}

/// Debian's `/etc/profile` sets PATH anew, and the `~/.profile` that puts `~/.cargo/bin` back is not in the box: agents, which start
/// `bash -lc`, found neither the user's tools nor the stubs.
#[test]
fn a_login_shell_finds_what_the_box_has() {
    if lacks(&["bash"]) || missing(Feature::Userns) || !fs::exists("/etc/profile").unwrap() {
        return;
    }
    let b = TestBox::new().script("home/.cargo/bin/own-tool", "#!/bin/sh\necho the tool\n");
    let path = b.fill("{home}/.cargo/bin:/usr/bin:/bin");
    let b = b.env("PATH", &path);
    for shell in [
        "bash -lc",
        "sh -lc",
        "bash -luec",
        "env PATH=/nowhere:\"$PATH\" bash -lc",
    ] {
        let ran = b.sh(&format!("{shell} 'own-tool; command -v pulumi'"));
        let said = ran.ok();
        assert!(said.starts_with("the tool\n"), "{shell}: {ran:?}");
        assert!(
            said.contains("/run/agentbox/bin/pulumi"),
            "{shell}: {ran:?}"
        );
    }
    // Its twin: what the host's own file adds is there, behind, each directory once (root's sbin not: in the box nobody is root).
    let outside = std::process::Command::new("bash")
        .args(["-c", ". /etc/profile; echo \"$PATH\""])
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    let outside = String::from_utf8(outside.stdout).unwrap();
    let inside = b.sh("bash -lc 'echo \"$PATH\"'").ok();
    let dirs: Vec<_> = inside.trim().split(':').collect();
    for dir in outside
        .trim()
        .split(':')
        .filter(|dir| !dir.contains("sbin"))
    {
        assert_eq!(
            dirs.iter().filter(|own| **own == dir).count(),
            1,
            "{dir}: {inside}"
        );
    }
    let left = b.sh("bash -lc 'set' | grep ^agentbox_ || echo none");
    assert_eq!(left.ok().trim(), "none");
    // It is the box's own: nobody changes it.
    assert_ne!(b.sh("echo x >>/etc/profile").code(), 0);
}

/// Without a `~/.zshrc` an interactive zsh asks what to put there, each time anew, and what is typed for it is the answer.
#[test]
fn zsh_asks_no_newcomers_questions() {
    if lacks(&["zsh"]) || missing(Feature::Userns) {
        return;
    }
    let b = TestBox::new().file("home/.zshrc", "echo of the host\n");
    let script = "cat ~/.zshrc; echo echo of the box >>~/.zshrc && zsh -ic true";
    let ran = b.run(["zsh", "-c", script]);
    assert_eq!(
        ran.ok().trim(),
        "of the box",
        "empty, and the box's own: {ran:?}"
    );
    let on_host = fs::read_to_string(b.home().join(".zshrc")).unwrap();
    assert_eq!(on_host, "echo of the host\n");
    // Its twins: one that is granted is that of the host, and where nobody starts zsh there is none.
    let b = b.option("--read={home}/.zshrc");
    let ran = b.run(["zsh", "-ic", "true"]);
    assert_eq!(ran.ok().trim(), "of the host", "{ran:?}");
    let ran = TestBox::new()
        .env("SHELL", "/bin/sh")
        .sh("ls -A ~ | grep zsh || echo none");
    assert_eq!(ran.ok().trim(), "none");
}

#[test]
fn bash_process_substitution_and_coproc() {
    if lacks(&["bash"]) {
        return;
    }
    same(
        "bash -c 'diff <(echo a) <(echo a) && coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x; cat <<< here; ulimit -c; exec 3<>/dev/tcp/127.0.0.1/1 || echo refused' 2>/dev/null",
    );
}

#[test]
fn python_of_many_kinds() {
    if lacks(&["python3"]) {
        return;
    }
    let programs = [
        "import asyncio\nasync def f():\n r,w=await asyncio.open_connection('127.0.0.1',port); w.write(b'hi\\n'); print(await r.readline())\nasync def h(r,w):\n w.write(await r.readline()); await w.drain(); w.close()\nasync def m():\n global port\n s=await asyncio.start_server(h,'127.0.0.1',0); port=s.sockets[0].getsockname()[1]; await f()\nasyncio.run(m())",
        "import asyncio\nasync def m():\n p=await asyncio.create_subprocess_exec('echo','child',stdout=-1); print((await p.communicate())[0], p.returncode)\nasyncio.run(m())",
        "import subprocess; print(subprocess.run(['sh','-c','echo $0; exit 4'],capture_output=True))",
        "import multiprocessing as m\ndef f(x): return x*x\nif __name__=='__main__':\n print(m.get_context('fork').Pool(4).map(f,range(10)))",
        "from multiprocessing import shared_memory as s\na=s.SharedMemory(create=True,size=10); a.buf[0]=7; b=s.SharedMemory(a.name); print(b.buf[0]); b.close(); a.close(); a.unlink()",
        "import os; print(os.posix_spawn('/bin/true',['true'],{}) > 0, os.wait()[1])",
        "import socket; a,b=socket.socketpair(); a.sendall(b'x'); print(b.recv(1)); s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('',0)); s.listen(); print('ok')",
        "import sqlite3; c=sqlite3.connect('d.db'); c.execute('pragma journal_mode=wal'); c.execute('create table t(x)'); c.execute('insert into t values(1)'); c.commit(); print(c.execute('select * from t').fetchall())",
        "import mmap; f=open('m','w+b'); f.truncate(4096); m=mmap.mmap(f.fileno(),4096); m[0:2]=b'ab'; m.flush(); print(open('m','rb').read(2))",
        "import fcntl; f=open('lock','w'); fcntl.flock(f,fcntl.LOCK_EX); fcntl.lockf(open('lock2','w'),fcntl.LOCK_EX); print('locked')",
        "import os,signal; signal.signal(signal.SIGALRM,lambda *a: print('alarm')); signal.setitimer(signal.ITIMER_REAL,0.01); signal.pause()",
        "import pty,os; print(pty.spawn(['sh','-c','test -t 0 && echo is a tty']))",
        "import tempfile; print(tempfile.NamedTemporaryFile().name.startswith('/tmp'))",
        "import threading,queue; q=queue.Queue(); [threading.Thread(target=q.put,args=(i,)).start() for i in range(50)]; print(sorted(q.get() for _ in range(50))==list(range(50)))",
        "import os; print(sorted(os.listdir('/proc/self/task'))!=[], os.cpu_count()>0, os.getloadavg()[0]>=0)",
        "import getpass,os,pwd; print(pwd.getpwuid(os.getuid()).pw_dir==os.environ['HOME'])",
    ];
    let b = TestBox::new();
    for program in programs {
        let ran = b.run(["python3", "-c", program]);
        let outside = TestBox::new();
        let mut twin = std::process::Command::new(tool("python3").unwrap());
        twin.args(["-c", program])
            .current_dir(outside.root())
            .env("HOME", "/nowhere")
            .stdin(std::process::Stdio::null());
        let twin = run(twin);
        assert_eq!(ran.code(), 0, "{program}: {ran:?}");
        if !program.contains("pwd") {
            assert_eq!(
                ran.text().replace('\r', ""),
                twin.text().replace('\r', ""),
                "{program}: {ran:?}"
            );
        }
    }
}

#[test]
fn a_venv_can_be_made_and_used() {
    if lacks(&["python3"]) {
        return;
    }
    let b = TestBox::new();
    assert_eq!(b.sh("python3 -m venv --without-pip v && . v/bin/activate && python -c 'import sys; print(sys.prefix != sys.base_prefix)'").ok(), "True");
}

#[test]
fn node_of_many_kinds() {
    if lacks(&["node"]) {
        return;
    }
    let programs = [
        "console.log(require('child_process').execFileSync('sh', ['-c', 'echo child; exit 0']).toString())",
        "require('child_process').exec('echo by shell', (e, out) => console.log(e, out))",
        "const c = require('child_process').fork(process.argv[1] || '-e', [], { execArgv: ['-e', 'process.send(41 + 1); process.disconnect()'] }); c.on('message', m => console.log(m))",
        "const s = require('http').createServer((q, r) => r.end('served')).listen(0, () => require('http').get({ port: s.address().port }, r => r.on('data', d => { console.log(String(d)); s.close() })))",
        "const s = require('net').createServer(c => c.end('unix')).listen('s.sock', () => require('net').connect('s.sock').on('data', d => { console.log(String(d)); s.close() }))",
        "const { Worker } = require('worker_threads'); new Worker('require(\"worker_threads\").parentPort.postMessage(6 * 7)', { eval: true }).on('message', m => console.log(m))",
        "const fs = require('fs'); const w = fs.watch('.', () => { console.log('seen'); w.close() }); fs.writeFileSync('new', 'x')",
        "console.log(new WebAssembly.Memory({ initial: 1 }).buffer.byteLength, require('os').cpus().length > 0, require('os').totalmem() > 0, require('os').homedir() === process.env.HOME)",
        "require('fs').promises.readFile('/etc/passwd').then(t => console.log(t.length > 0))",
        "require('dns').lookup('localhost', (e, a) => console.log(e, a))",
    ];
    for program in programs {
        let b = TestBox::new();
        let ran = b.run(["node", "-e", program]);
        assert_eq!(ran.code(), 0, "{program}: {ran:?}");
        assert!(
            !ran.text().is_empty() || program.contains("fork"),
            "{program}: {ran:?}"
        );
        assert!(
            !ran.text().contains("false") && !ran.text().contains("Error"),
            "{program}: {ran:?}"
        );
    }
}

/// Own children may be traced: strace and gdb are how agents debug.
#[test]
fn strace_and_gdb_of_own_children() {
    if lacks(&["strace", "gdb"]) {
        return;
    }
    let b = TestBox::new();
    let ran = b.sh("strace -f -e trace=execve -o t sh -c 'true; /bin/true' && grep -c execve t");
    assert!(ran.ok().parse::<u32>().unwrap() >= 2, "{ran:?}");
    let ran = b.sh("gdb -q -nx -batch -ex 'set startup-with-shell off' -ex 'starti' -ex 'info registers rip pc' -ex kill --args /bin/true 2>&1");
    assert!(ran.text().contains("Program stopped"), "{ran:?}");
    // By pid: a child of the shell, and gdb its sibling.
    let ran = b.sh("sleep 60 & S=$!; strace -o t -p $S 2>/dev/null & T=$!; while ! grep -qs TracerPid:.*[1-9] /proc/$S/status; do kill -0 $T || exit 9; sleep 0.01; done; kill $S; wait; grep -c SIGTERM t");
    assert!(ran.code() == 0, "attach to a sibling: {ran:?}");
}

#[test]
fn c_programs_compile_and_run() {
    if lacks(&["cc"]) {
        return;
    }
    let b = TestBox::new().file("home/ws/a.c", "#include <stdio.h>\n#include <pthread.h>\nvoid *f(void *x) { return x; }\nint main(void) { pthread_t t; void *r; pthread_create(&t, 0, f, \"made\"); pthread_join(t, &r); puts(r); }\n");
    assert_eq!(b.sh("cc -O1 -o a a.c -pthread && ./a && cc -static -o s a.c -pthread 2>/dev/null && ./s; make --version >/dev/null 2>&1; true").ok().lines().next(), Some("made"));
}

#[test]
fn a_server_and_its_client() {
    if lacks(&["python3"]) {
        return;
    }
    let b = TestBox::new().file("home/ws/index.html", "the page");
    let ran = b.sh(
        "python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 &
         for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
           python3 -c 'import urllib.request as u; print(u.urlopen(\"http://localhost:8123/index.html\").read().decode())' 2>/dev/null && exit 0; sleep 0.1
         done; exit 1",
    );
    assert_eq!(ran.ok(), "the page");
}

#[test]
fn odd_file_names_and_deep_trees() {
    let b = TestBox::new();
    let name = common::bytes(b"\xff name\nwith\x01 all");
    b.run(["/usr/bin/touch".as_ref(), name.as_os_str()]).ok();
    assert!(b.ws().join(&name).exists());
    let deep = "d/".repeat(200);
    assert_eq!(
        b.sh(&format!(
            "mkdir -p {deep} && echo deep > {deep}f && cat {deep}f && rm -r d"
        ))
        .ok(),
        "deep"
    );
    let long = "n".repeat(255);
    b.probe(&format!("create {long}")).allowed();
    b.probe(&format!("create {long}n"))
        .refused(Errno::ENAMETOOLONG);
    assert!(fs::exists(b.ws().join(&long)).unwrap());
}

#[test]
fn primitives_of_libraries() {
    let b = TestBox::new();
    let lines = [
        "threads 64",
        "vfork",
        "socketpair",
        "sockopts",
        "serve-self 127.0.0.1:0",
        "serve-self [::]:0",
        "inotify-see {ws}",
        "sendfd-self /etc/passwd",
        "tsync-filter",
        "ptrace-child",
        "bind-abstract some-name",
        "memfd-exec /bin/true",
        "memory 268435456",
        "kill 0 0",
        "exec /proc/self/exe true",
        "exec-copy /bin/true ./copy",
    ];
    for (answer, line) in b.batch(&lines).iter().zip(lines) {
        assert_eq!(answer["ok"], true, "{line}: {answer}");
    }
}

#[test]
fn time_zone_locale_and_terminfo() {
    let b = TestBox::new().env("TZ", "Asia/Tokyo");
    if fs::exists("/usr/share/zoneinfo/Asia/Tokyo").unwrap() {
        assert_eq!(b.sh("date -d @0 +%H").ok(), "09");
    }
    let b = TestBox::new();
    if tool("tput").is_some() {
        assert_eq!(
            b.sh(
                "TERM=xterm tput cols >/dev/null && TERM=xterm tput setaf 1 | od -An -c | tr -d ' '"
            )
            .ok(),
            "033[31m"
        );
    }
}

/// A dev server on a port that the host uses as well.
#[test]
fn ports_do_not_collide_with_the_hosts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    TestBox::new()
        .probe(&format!("serve-self 127.0.0.1:{port}"))
        .allowed();
    TestBox::new()
        .net("host")
        .probe(&format!("bind-tcp 127.0.0.1:{port}"))
        .refused(Errno::EADDRINUSE);
}

/// A build without network: the toolchain is read, the target is the workspace's.
#[test]
fn cargo_builds_offline() {
    let rustc = std::process::Command::new("rustc")
        .args(["--print", "sysroot"])
        .output();
    let Ok(sysroot) = rustc.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()) else {
        missing(Feature::Tool("rustc"));
        return;
    };
    let b = TestBox::new();
    let reached = run(b.through(
        &format!("test -x {sysroot}/bin/cargo"),
        &b.agentbox(["true"]),
    ));
    if reached.code() != 0 {
        missing(Feature::Tool("cargo-for-the-test-user"));
        return;
    }
    let path = format!("{sysroot}/bin:/usr/local/bin:/usr/bin:/bin");
    let b = b.env("PATH", path).option("--read").option(&sysroot);
    let ran = b.sh("cargo init -q --name hello --vcs none . 2>&1 && cargo run -q --offline 2>&1");
    assert_eq!(ran.ok(), "Hello, world!");
    assert!(b.ws().join("target/debug/hello").exists());
}
