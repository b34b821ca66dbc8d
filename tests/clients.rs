//! Real clients through the gate to servers of the host: each beside the same client with a name that is not granted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::{Feature, TestBox, missing, until};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn absent(tools: &[&'static str]) -> bool {
    missing(Feature::Userns) || tools.iter().any(|tool| missing(Feature::Tool(tool)))
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(common::world::tool(name).unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn did(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// HTTPS, by HTTP/1.1 and HTTP/2: `/hello` says which, everything else is a file.
const HTTPS: &str = "const h2=require('http2'),fs=require('fs'),path=require('path'),dir=process.argv[1];\
    const s=h2.createSecureServer({key:fs.readFileSync(dir+'/key.pem'),cert:fs.readFileSync(dir+'/cert.pem'),allowHTTP1:true},(q,r)=>{\
    const at=new URL(q.url,'https://x').pathname;if(at=='/hello')return r.end('granted by '+q.httpVersion);\
    fs.readFile(path.join(dir,'www',at),(e,d)=>{if(e){r.statusCode=404;r.end('none')}else r.end(d)})});\
    s.listen(0,'127.0.0.1',()=>console.log(s.address().port))";

struct World {
    b: TestBox,
    port: u16,
    _server: Server,
}

/// A box that may reach the server as `web.test`; `other.test` is the same address.
fn world(prepare: impl FnOnce(&Path)) -> World {
    let b = TestBox::new().net("filtered").dir("server/www");
    let dir = b.root().join("server");
    did(tool("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=web.test"])
        .args(["-addext", "subjectAltName=DNS:web.test,DNS:other.test"])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem")));
    let certificate = std::fs::read_to_string(dir.join("cert.pem")).unwrap();
    prepare(&dir.join("www"));
    let mut node = tool("node");
    node.arg("-e").arg(HTTPS).arg(&dir).stdout(Stdio::piped());
    let mut server = Server(node.spawn().unwrap());
    let mut line = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap();
    let b = b.file("{ws}/ca.crt", certificate).file(
        "clients.toml",
        format!(
            "extends = [\"shell\"]\n[network]\nallow = [\"web.test:{port}+private\"]\n[network.hosts]\n\
             \"web.test\" = \"127.0.0.1\"\n\"other.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("clients.toml");
    let b = b.option("-p").option(profile.to_str().unwrap());
    World {
        b,
        port,
        _server: server,
    }
}

impl World {
    /// The client works with the granted name, and with the other one it fails and the human is told.
    fn works(&self, script: &str, says: &str) {
        let script = script.replace("PORT", &self.port.to_string());
        let ran = self.b.sh(&script.replace("HOST", "web.test"));
        assert!(ran.ok().contains(says), "{script}: {ran:?}");
        let ran = self.b.sh(&script.replace("HOST", "other.test"));
        assert_ne!(ran.code(), 0, "{script}: {ran:?}");
        assert!(!ran.text().contains(says), "{script}: {ran:?}");
        assert!(
            ran.complaint().contains("--allow other.test"),
            "{script}: {ran:?}"
        );
    }
}

#[test]
fn curl_node_and_python_reach_a_granted_https_server() {
    if absent(&["openssl", "node", "curl", "python3"]) {
        return;
    }
    let w = world(|_| {});
    for (script, says) in [
        (
            "curl -sS -m 30 --http1.1 --cacert ca.crt https://HOST:PORT/hello",
            "granted by 1.1",
        ),
        (
            "curl -sS -m 30 --http2 --cacert ca.crt https://HOST:PORT/hello",
            "granted by 2.0",
        ),
        (
            "NODE_EXTRA_CA_CERTS=ca.crt node -e \"fetch('https://HOST:PORT/hello').then(r=>r.text()).then(console.log,e=>{console.error(e);process.exit(1)})\"",
            "granted by 1.1",
        ),
        (
            "python3 -c \"import asyncio,ssl\nasync def main():\n\
             \x20   r,w=await asyncio.open_connection('HOST',PORT,ssl=ssl.create_default_context(cafile='ca.crt'))\n\
             \x20   w.write(b'GET /hello HTTP/1.1\\r\\nHost: HOST\\r\\nConnection: close\\r\\n\\r\\n')\n\
             \x20   print((await r.read()).decode())\nasyncio.run(main())\"",
            "granted by 1.1",
        ),
    ] {
        w.works(script, says);
    }
    // The name in the hello is compared on this port, too: the granted address with another name is no way.
    let ran = w.b.sh(&format!(
        "curl -sS -m 30 --cacert ca.crt --connect-to other.test:{0}:web.test:{0} https://other.test:{0}/hello",
        w.port
    ));
    assert_ne!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.complaint()
            .contains("the TLS client asked for other.test"),
        "{ran:?}"
    );
}

#[test]
fn git_clones_over_https() {
    if absent(&["openssl", "node", "git"]) {
        return;
    }
    let w = world(|www| {
        let work = www.join("work");
        let git = |args: &[&str]| did(tool("git").arg("-C").arg(&work).args(args));
        did(tool("git").args(["init", "-q", "-b", "main"]).arg(&work));
        std::fs::write(work.join("file"), "from the server").unwrap();
        git(&["add", "file"]);
        git(&[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "one",
        ]);
        did(tool("git")
            .args(["clone", "-q", "--bare"])
            .arg(&work)
            .arg(www.join("repo.git")));
        did(tool("git")
            .arg("-C")
            .arg(www.join("repo.git"))
            .arg("update-server-info"));
    });
    w.works(
        "GIT_SSL_CAINFO=$PWD/ca.crt git clone -q https://HOST:PORT/repo.git from-HOST && cat from-HOST/file",
        "from the server",
    );
}

#[test]
fn npm_installs_from_a_granted_registry() {
    if absent(&["openssl", "node", "npm", "tar"]) {
        return;
    }
    let w = world(|www| {
        let package = www.join("package");
        std::fs::create_dir(&package).unwrap();
        std::fs::write(
            package.join("package.json"),
            "{\"name\":\"tiny\",\"version\":\"1.0.0\"}",
        )
        .unwrap();
        std::fs::write(
            package.join("index.js"),
            "module.exports='from the registry'",
        )
        .unwrap();
        did(tool("tar")
            .arg("-C")
            .arg(www)
            .arg("-czf")
            .arg(www.join("tiny.tgz"))
            .arg("package"));
    });
    // The packument names the port, which is known only now.
    let packument = format!(
        "{{\"name\":\"tiny\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":{{\"name\":\"tiny\",\"version\":\"1.0.0\",\
         \"dist\":{{\"tarball\":\"https://web.test:{}/tiny.tgz\"}}}}}}}}",
        w.port
    );
    std::fs::write(w.b.root().join("server/www/tiny"), packument).unwrap();
    w.works(
        "rm -rf p; mkdir p && cd p && echo '{}' > package.json && \
         npm install --no-audit --no-fund --prefer-online --fetch-retries=0 --cache=$PWD/.npm --cafile=../ca.crt \
         --registry=https://HOST:PORT/ tiny >&2 && node -p \"require('tiny')\"",
        "from the registry",
    );
}

#[test]
fn redis_is_reached_by_name_and_by_port() {
    if absent(&["redis-check-rdb", "redis-cli"]) {
        return;
    }
    let b = TestBox::new().net("filtered");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // The server under another name, which comes without a service.
    let server = tool("redis-check-rdb")
        .arg0("redis-server")
        .args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &port.to_string(),
        ])
        .spawn();
    let _server = Server(server.unwrap());
    until("redis", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let b = b.file(
        "redis.toml",
        format!(
            "extends = [\"shell\"]\n[network]\nallow = [\"db.test:{port}+private\"]\n[network.hosts]\n\"db.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("redis.toml");
    let profile = profile.to_str().unwrap();
    let ask = |options: &[&str], host: &str| {
        let at = port.to_string();
        let mut words = vec!["run"];
        words.extend(options);
        words.extend(["--", "redis-cli", "-h", host, "-p", &at, "ping"]);
        common::run(b.agentbox(words))
    };
    let by_port = format!("--host-port={port}");
    assert_eq!(ask(&["-p", profile], "db.test").ok().trim(), "PONG");
    assert_eq!(
        ask(&["--net=filtered", &by_port], "127.0.0.1").ok().trim(),
        "PONG"
    );
    for (options, host) in [
        (&["-p", profile][..], "other.test"),
        (&["-p", profile][..], "127.0.0.1"),
        (&["--net=filtered"][..], "127.0.0.1"),
        (&["--net=filtered"][..], "db.test"),
    ] {
        let ran = ask(options, host);
        assert_ne!(ran.code(), 0, "{host}: {ran:?}");
        assert!(!ran.text().contains("PONG"), "{host}: {ran:?}");
    }
}
