//! A server of the host, and a box that may reach it by one name and not by another.

use crate::common::{self, Feature, TestBox, missing, until};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn absent(tools: &[&'static str]) -> bool {
    missing(Feature::Userns) || tools.iter().any(|tool| missing(Feature::Tool(tool)))
}

pub fn tool(name: &str) -> Command {
    let mut command = Command::new(common::world::tool(name).unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub fn did(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// HTTPS, by HTTP/1.1 and HTTP/2: `/hello` says which, everything else is a file, `.html` where a directory is asked for.
const HTTPS: &str = "const h2=require('http2'),fs=require('fs'),path=require('path'),dir=process.argv[1];\
    const s=h2.createSecureServer({key:fs.readFileSync(dir+'/key.pem'),cert:fs.readFileSync(dir+'/cert.pem'),allowHTTP1:true},(q,r)=>{\
    const at=new URL(q.url,'https://x').pathname;if(at=='/hello')return r.end('granted by '+q.httpVersion);\
    const file=at.endsWith('/')?at.slice(0,-1)+'.html':at;if(file!=at)r.setHeader('content-type','text/html');\
    fs.readFile(path.join(dir,'www',file),(e,d)=>{if(e){r.statusCode=404;r.end('none')}else r.end(d)})});\
    s.listen(0,'127.0.0.1',()=>console.log(s.address().port))";

pub struct World {
    pub b: TestBox,
    pub port: u16,
    /// Lives as long as this.
    pub server: Server,
}

/// A box that may reach the server as `web.test`; `other.test` is the same address.
pub fn world(prepare: impl FnOnce(&Path)) -> World {
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
    World { b, port, server }
}

impl World {
    /// The client works with the granted name, and with the other one it fails and the human is told.
    pub fn works(&self, script: &str, says: &str) {
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

/// A port of the host's loopback where nobody listens.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until somebody listens there.
pub fn listens(what: &str, port: u16) {
    until(what, || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// A box that may reach `db.test` on this port, which is the host's loopback, as is `other.test`; and its profile.
pub fn granted(port: u16) -> (TestBox, String) {
    let b = TestBox::new().net("filtered").file(
        "granted.toml",
        format!(
            "extends = [\"shell\"]\n[network]\nallow = [\"db.test:{port}+private\"]\n[network.hosts]\n\
             \"db.test\" = \"127.0.0.1\"\n\"other.test\" = \"127.0.0.1\"\n"
        ),
    );
    let profile = b.root().join("granted.toml");
    let profile = profile.to_str().unwrap().to_owned();
    (b, profile)
}
