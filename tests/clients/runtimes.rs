//! Programs and runtimes that open connections themselves, most of which know nothing of a proxy.

use crate::common;
use crate::world::*;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

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

const JAVA: &str = "import java.io.*; import java.net.*; import java.nio.file.*; import java.security.*; import java.security.cert.*;\n\
    import javax.net.ssl.*;\n\
    public class Get { public static void main(String[] a) throws Exception {\n\
    KeyStore known = KeyStore.getInstance(KeyStore.getDefaultType()); known.load(null, null);\n\
    try (InputStream in = Files.newInputStream(Path.of(a[2]))) {\n\
    known.setCertificateEntry(\"ca\", CertificateFactory.getInstance(\"X.509\").generateCertificate(in)); }\n\
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()); trust.init(known);\n\
    SSLContext tls = SSLContext.getInstance(\"TLS\"); tls.init(null, trust.getTrustManagers(), null);\n\
    URL url = new URL(\"https://\" + a[0] + \":\" + a[1] + \"/hello\");\n\
    HttpsURLConnection c = (HttpsURLConnection) url.openConnection(); c.setSSLSocketFactory(tls.getSocketFactory());\n\
    c.setConnectTimeout(20000); c.setReadTimeout(20000);\n\
    System.out.println(new String(c.getInputStream().readAllBytes()));\n\
    Socket s = tls.getSocketFactory().createSocket(a[0], Integer.parseInt(a[1])); s.setSoTimeout(20000);\n\
    s.getOutputStream().write((\"GET /hello HTTP/1.1\\r\\nHost: \" + a[0] + \"\\r\\nConnection: close\\r\\n\\r\\n\").getBytes());\n\
    System.out.println(\"by socket: \" + new String(s.getInputStream().readAllBytes()).contains(\"granted\")); } }\n";

#[test]
#[ignore = "needs a JDK"]
fn java_reaches_a_granted_server_by_url_and_by_socket() {
    if absent(&["openssl", "node", "java", "javac"]) {
        return;
    }
    let w = world(|_| {});
    std::fs::write(w.b.ws().join("Get.java"), JAVA).unwrap();
    w.works(
        "java Get.java HOST PORT ca.crt > said && cat said && grep -q 'granted by 1.1' said",
        "by socket: true",
    );
}

const GO: &str = r#"package main

import ("crypto/tls"; "crypto/x509"; "fmt"; "io"; "net/http"; "os"; "time")

func main() {
	pem, _ := os.ReadFile(os.Args[2])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	way := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: way, Timeout: 20 * time.Second}
	answer, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, answer.Body)
}
"#;

/// Without cgo: with Go's own resolver, which reads /etc/resolv.conf and asks by itself.
#[test]
#[ignore = "needs Go"]
fn go_reaches_a_granted_server_with_its_own_resolver() {
    if absent(&["openssl", "node", "go"]) {
        return;
    }
    let w = world(|_| {});
    let source = w.b.root().join("get.go");
    std::fs::write(&source, GO).unwrap();
    let mut build = tool("go");
    build
        .args(["build", "-o"])
        .arg(w.b.ws().join("get"))
        .arg(&source)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOCACHE", w.b.root().join("go-cache"))
        .env("HOME", w.b.root())
        .current_dir(w.b.root());
    did(&mut build);
    w.works("./get https://HOST:PORT/hello ca.crt", "granted by 2.0");
}

/// Says its port; answers any unary call of `/t/Hello` with what was said.
const GRPC_SERVER: &str = "import grpc,sys,time\nfrom concurrent import futures\n\
    class H(grpc.GenericRpcHandler):\n\
    \x20   def service(self,call):\n\
    \x20       return grpc.unary_unary_rpc_method_handler(lambda q,c: b'granted '+q)\n\
    s=grpc.server(futures.ThreadPoolExecutor(2)); s.add_generic_rpc_handlers((H(),))\n\
    d=sys.argv[1]; k=open(d+'/key.pem','rb').read(); c=open(d+'/cert.pem','rb').read()\n\
    print(s.add_secure_port('127.0.0.1:0',grpc.ssl_server_credentials([(k,c)])),flush=True)\n\
    s.start(); time.sleep(600)\n";

/// By the resolver and the event loop of gRPC's own core (c-ares).
const GRPC_CLIENT: &str = "import grpc,sys\n\
    c=grpc.secure_channel(sys.argv[1],grpc.ssl_channel_credentials(open('ca.crt','rb').read()))\n\
    print(c.unary_unary('/t/Hello')(b'call',timeout=20).decode())\n";

#[test]
#[ignore = "needs gRPC"]
fn grpc_calls_a_granted_server() {
    if absent(&["openssl", "node", "python3"]) {
        return;
    }
    // The system's python3 must have it; scripts/test installs it.
    let has = tool("python3")
        .args(["-c", "import grpc"])
        .status()
        .unwrap();
    if !has.success() {
        common::missing(common::Feature::Tool("python3-grpcio"));
        return;
    }
    // Only for the certificate.
    let w = world(|_| {});
    let mut server = tool("python3");
    server
        .args(["-c", GRPC_SERVER])
        .arg(w.b.root().join("server"))
        .stdout(Stdio::piped());
    let mut server = Server(server.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let b = w.b.file("{ws}/client.py", GRPC_CLIENT);
    let w = World {
        b: b.option(&format!("--allow=web.test:{port}+private")),
        port,
        ..w
    };
    w.works("python3 client.py HOST:PORT", "granted call");
}
