//! The other side of remote switches: servers on loopback, started and stopped by the test that needs them.

use super::{TestBox, run, until, until_within};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A process that ends with the test.
pub struct Server {
    pub child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority and a certificate of it for this machine.
pub struct Authority {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Made by openssl, as `name` below the world's root. `days` may be negative: expired.
    pub fn new(b: &TestBox, name: &str, subject: &str) -> Authority {
        let at = |end: &str| b.root().join(format!("{name}-{end}"));
        let (ca, ca_key, cert, key, csr) = (
            at("ca.pem"),
            at("ca.key"),
            at("cert.pem"),
            at("key.pem"),
            at("csr"),
        );
        let openssl = |args: Vec<&str>| {
            let mut command = Command::new("openssl");
            command.args(args).stdin(Stdio::null());
            let ran = run(command);
            assert!(ran.status.success(), "{ran:?}");
        };
        let path = |p: &'static str| p;
        let s = |p: &Path| p.to_str().unwrap().to_owned();
        let _ = path;
        let (ca_s, ca_key_s, cert_s, key_s, csr_s) =
            (s(&ca), s(&ca_key), s(&cert), s(&key), s(&csr));
        let new_key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let mut args = vec!["req", "-x509", "-days", "2", "-subj", "/CN=test authority"];
        args.extend(new_key);
        args.extend(["-keyout", &ca_key_s, "-out", &ca_s]);
        openssl(args);
        let mut args = vec!["req", "-subj", "/CN=flags"];
        args.extend(new_key);
        args.extend(["-keyout", &key_s, "-out", &csr_s]);
        openssl(args);
        let ext = at("ext");
        fs::write(
            &ext,
            format!("subjectAltName={subject}\nbasicConstraints=CA:FALSE\n"),
        )
        .unwrap();
        let ext_s = s(&ext);
        openssl(vec![
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &csr_s,
            "-CA",
            &ca_s,
            "-CAkey",
            &ca_key_s,
            "-CAcreateserial",
            "-out",
            &cert_s,
            "-extfile",
            &ext_s,
        ]);
        for file in [&ca, &cert, &key] {
            b.chown(file);
        }
        Authority { ca, cert, key }
    }
}

/// The flag server.
pub struct Flags {
    pub server: Server,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub port: u16,
}

impl Flags {
    pub fn start(authority: &Authority, token: &str, port: u16) -> Flags {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/switch/flags.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .arg(&authority.cert)
            .arg(&authority.key)
            .arg(token);
        command.arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = super::spawn(&mut command);
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut flags = Flags {
            server: Server { child },
            stdin,
            stdout,
            port: 0,
        };
        let line = flags.line();
        flags.port = line.strip_prefix("port ").expect("a port").parse().unwrap();
        flags
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// One command of the server.
    pub fn tell(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").unwrap();
        self.stdin.flush().unwrap();
        self.line()
    }

    /// How often it was asked.
    pub fn count(&mut self) -> u64 {
        self.tell("count")
            .strip_prefix("count ")
            .unwrap()
            .parse()
            .unwrap()
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A redis-server.
pub struct Redis {
    pub server: Server,
    pub port: u16,
    args: Vec<String>,
}

impl Redis {
    /// `args` are its options; `port` with or without TLS is added.
    pub fn start(args: &[&str], tls: Option<&Authority>) -> Redis {
        let port = free_port();
        let mut all: Vec<String> = [
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
            "--dir",
            "/tmp",
        ]
        .map(str::to_owned)
        .to_vec();
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        match tls {
            None => all.extend(["--port".to_owned(), port.to_string()]),
            Some(authority) => {
                let path = |p: &Path| p.to_str().unwrap().to_owned();
                all.extend([
                    "--port".to_owned(),
                    "0".to_owned(),
                    "--tls-port".to_owned(),
                    port.to_string(),
                ]);
                all.extend(["--tls-cert-file".to_owned(), path(&authority.cert)]);
                all.extend(["--tls-key-file".to_owned(), path(&authority.key)]);
                all.extend(["--tls-ca-cert-file".to_owned(), path(&authority.ca)]);
                all.extend(["--tls-auth-clients".to_owned(), "no".to_owned()]);
            }
        }
        let server = Self::serve(&all, port);
        Redis {
            server,
            port,
            args: all,
        }
    }

    fn serve(args: &[String], port: u16) -> Server {
        // One program under several names: who installs it under this one gets no service with it.
        let mut command = Command::new("redis-check-rdb");
        command
            .arg0("redis-server")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = super::spawn(&mut command);
        until("the redis-server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server { child }
    }

    /// Ends it, without a farewell.
    pub fn kill(&mut self) {
        let _ = self.server.child.kill();
        let _ = self.server.child.wait();
    }

    /// The same again.
    pub fn again(&mut self) {
        self.server = Self::serve(&self.args, self.port);
    }

    /// A command, without TLS.
    pub fn tell(&self, words: &[&str]) -> String {
        self.tell_all(&[words])
    }

    /// One of somebody with that password.
    pub fn tell_as(&self, password: &str, words: &[&str]) -> String {
        self.tell_all(&[&["AUTH", password], words])
    }

    /// Commands of one connection, and the first answers.
    pub fn tell_all(&self, commands: &[&[&str]]) -> String {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut text = String::new();
        for words in commands {
            text.push_str(&format!("*{}\r\n", words.len()));
            for word in *words {
                text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
            }
        }
        stream.write_all(text.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }
}

/// moto, in the venv that `scripts/test --all` makes.
pub struct Moto {
    pub server: Server,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub port: u16,
    pub id: String,
    pub secret: String,
}

impl Moto {
    pub fn start() -> Moto {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let venv = std::env::var("AGENTBOX_TEST_MOTO")
            .map_or_else(|_| root.join("target/moto"), PathBuf::from);
        let mut command = Command::new(venv.join("bin/python"));
        command.arg(root.join("tests/switch/s3.py"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = super::spawn(&mut command);
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["port", port, id, secret] = words.as_slice() else {
            panic!("moto did not start: {line:?}");
        };
        Moto {
            server: Server { child },
            stdin,
            stdout,
            port: port.parse().unwrap(),
            id: (*id).to_owned(),
            secret: (*secret).to_owned(),
        }
    }

    /// One command.
    pub fn tell(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").unwrap();
        self.stdin.flush().unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}
