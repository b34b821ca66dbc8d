//! Runtimes that size themselves by what they find: each test is named after what went wrong once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

/// The root of a cgroup mount was `/../..` for a caller in a cgroup of its own, and the JVM threw a NullPointerException.
#[test]
fn cgroup_mounts_have_the_boxs_own_group_as_their_root() {
    let b = TestBox::new();
    let text = b.sh("cat /proc/self/mountinfo").text();
    let roots: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" /sys/fs/cgroup"))
        .map(|line| line.split(' ').nth(3).unwrap())
        .collect();
    let hierarchies = ["cgroup.controllers", "memory", "cpu"];
    let any = hierarchies
        .iter()
        .any(|name| Path::new("/sys/fs/cgroup").join(name).exists());
    assert_eq!(!roots.is_empty(), any, "{text}");
    assert!(roots.iter().all(|root| *root == "/"), "{roots:?}");
    // The box's own group can be read, also by an agent that is not the caller's uid, and changed by nobody.
    let all = b.sh("for d in /sys/fs/cgroup /sys/fs/cgroup/*; do test ! -e $d/cgroup.procs || cat $d/cgroup.procs; done");
    assert_eq!(all.code(), 0, "{all:?}");
    let made = b.sh("mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x");
    assert_ne!(made.code(), 0, "{made:?}");
}

#[test]
fn the_jvm_reads_the_limits_of_its_group() {
    if missing(Feature::Tool("java")) {
        return;
    }
    let b = TestBox::new();
    let ran = b.run(["java", "-XshowSettings:system", "-version"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("Operating System Metrics"), "{said}");
    assert!(!said.contains("NullPointerException"), "{said}");
    assert_eq!(ran.code(), 0, "{said}");
}

/// pyenv runs pip by a script of its own, which writes the shims after an install: they are read only, and every `pip install` ended
/// with 1, however well it had gone.
#[test]
fn pip_of_pyenv_ends_as_pip_does() {
    let hook = "#!/bin/sh\n\"$@\" || exit\ntest -w ~/.pyenv/shims\n";
    let exec = "hook=~/.pyenv/pyenv.d/exec/pip-rehash/pip; if [ -x $hook ]; then exec $hook \"$@\"; fi; exec \"$@\"";
    let b = TestBox::new()
        .script("home/.pyenv/pyenv.d/exec/pip-rehash/pip", hook)
        .script("home/.pyenv/pyenv.d/exec/other", "#!/bin/sh\nexit 7\n")
        .script("home/.pyenv/shims/pip", &format!("#!/bin/sh\n{exec}\n"));
    assert_eq!(b.sh("~/.pyenv/shims/pip true").code(), 0);
    assert_eq!(b.sh("~/.pyenv/shims/pip false").code(), 1);
    // What else pyenv has is there, and as it is.
    assert_eq!(b.sh("~/.pyenv/pyenv.d/exec/other").code(), 7);
    assert_ne!(b.sh(": >~/.pyenv/shims/pip").code(), 0);
}

/// Debian's Chromium, driven by Playwright as an agent would, with nothing but what every profile grants: a page of the box's own
/// loopback is rendered, its script runs, a picture is taken. Its own sandbox needs namespaces, which a box does not give; what holds
/// without it is the box, so a host that is granted is reached and others are not.
#[test]
#[ignore = "needs chromium and playwright-core of npm: scripts/test --all"]
fn chromium_renders_pages_by_playwright() {
    if missing(Feature::Userns) || missing(Feature::Tool("chromium")) {
        return;
    }
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/playwright/node_modules");
    assert!(driver.is_dir(), "{}: scripts/test --all", driver.display());
    let script = r#"
const { chromium } = require('playwright-core');
const text = '<title>of the box</title><p id=a></p><script>a.textContent = 6 * 7</script>';
const server = require('http').createServer((_, answer) => answer.end(text));
const open = sandbox => chromium.launch({ executablePath: '/usr/bin/chromium', chromiumSandbox: sandbox });
server.listen(0, '127.0.0.1', async () => {
  const browser = await open(false);
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log('page', await page.title(), await page.textContent('#a'));
  await page.screenshot({ path: 'page.png' });
  await page.goto('http://web.test:PORT/');
  console.log('granted', await page.textContent('body'));
  for (const host of ['http://other.test:PORT/', 'http://169.254.169.254/'])
    // A page of its own: what comes after a failure would be interrupted by the page that tells it.
    console.log('other', await (await browser.newPage()).goto(host).then(answer => answer.status(), () => 'no page'));
  await browser.close();
  console.log('own sandbox', await open(true).then(() => 'runs', e => /sandbox/i.test(e) ? 'refused' : e));
  process.exit();
});
"#;
    let port = serve("from outside");
    let b = TestBox::new()
        .net("filtered")
        .file("{ws}/browse.js", script.replace("PORT", &port.to_string()))
        .file(
            "web.toml",
            format!(
                "extends = [\"shell\"]\n[network]\nallow = [\"web.test:{port}+private\"]\n[network.hosts]\n\
                 \"web.test\" = \"127.0.0.1\"\n\"other.test\" = \"127.0.0.1\"\n"
            ),
        );
    let profile = b.root().join("web.toml");
    let b = b
        .option("-p")
        .option(profile.to_str().unwrap())
        .option("--read")
        .option(driver.to_str().unwrap())
        .option("--env")
        .option(&format!("NODE_PATH={}", driver.display()));
    let ran = b.run(["node", "browse.js"]);
    let said = ran.ok();
    let said: Vec<&str> = said.lines().collect();
    let wanted = [
        "page of the box 42",
        "granted from outside",
        "other no page",
        "other 403",
        "own sandbox refused",
    ];
    assert_eq!(said, wanted, "{ran:?}");
    let picture = std::fs::read(b.ws().join("page.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "{} bytes", picture.len());
}

/// A server on the host's loopback that answers every request with this text, and its port.
fn serve(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    common::helper(move || {
        for mut stream in listener.incoming().flatten() {
            common::helper(move || {
                let mut head = [0; 4096];
                // One read holds a browser's request; a connection that asks for nothing is closed.
                if stream.read(&mut head).is_ok_and(|length| length > 0) {
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                        text.len()
                    );
                }
            });
        }
    });
    port
}
