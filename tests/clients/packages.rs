//! Package managers and git.

use crate::common::{self, Feature, missing};
use crate::world::*;
use std::path::Path;

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

/// A wheel, which is a zip, by Python's own library.
const WHEEL: &str = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1],'w')\n\
    z.writestr('tiny.py','said=\"from the index\"')\n\
    z.writestr('tiny-1.0.dist-info/METADATA','Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n\
    z.writestr('tiny-1.0.dist-info/WHEEL','Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
    z.writestr('tiny-1.0.dist-info/RECORD','tiny.py,,\\ntiny-1.0.dist-info/METADATA,,\\ntiny-1.0.dist-info/WHEEL,,\\ntiny-1.0.dist-info/RECORD,,\\n')\n\
    z.close()";

#[test]
fn pip_installs_from_a_granted_index() {
    if absent(&["openssl", "node", "python3"]) {
        return;
    }
    const FILE: &str = "tiny-1.0-py3-none-any.whl";
    let w = world(|www| {
        did(tool("python3").args(["-c", WHEEL]).arg(www.join(FILE)));
        std::fs::create_dir(www.join("simple")).unwrap();
        let page =
            format!("<!DOCTYPE html><html><body><a href=\"../../{FILE}\">{FILE}</a></body></html>");
        std::fs::write(www.join("simple/tiny.html"), page).unwrap();
    });
    w.works(
        "test -d v || python3 -m venv v && v/bin/pip uninstall -qy tiny 2>/dev/null; \
         v/bin/pip install -q --disable-pip-version-check --no-cache-dir --retries 0 --timeout 20 --cert ca.crt \
         --index-url https://HOST:PORT/simple/ tiny && v/bin/python -c 'import tiny; print(tiny.said)'",
        "from the index",
    );
}

/// The directory of a cargo that the test user can execute.
fn toolchain(b: &common::TestBox) -> Option<String> {
    let rustc = std::process::Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    let reached = b.through(
        &format!("test -x {sysroot}/bin/cargo"),
        &b.agentbox(["true"]),
    );
    (common::run(reached).code() == 0).then_some(sysroot)
}

fn sha256(path: &Path) -> String {
    let sum = std::process::Command::new("sha256sum").arg(path).output();
    let text = String::from_utf8(sum.unwrap().stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn cargo_fetches_from_a_granted_sparse_registry() {
    if absent(&["openssl", "node", "tar"]) {
        return;
    }
    let w = world(|www| {
        let package = www.join("tiny-1.0.0");
        std::fs::create_dir_all(package.join("src")).unwrap();
        let manifest = "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
        std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(package.join("src/lib.rs"), "// from the registry\n").unwrap();
        let files = www.join("crates/tiny/1.0.0");
        std::fs::create_dir_all(&files).unwrap();
        let file = files.join("download");
        did(tool("tar")
            .arg("-C")
            .arg(www)
            .arg("-czf")
            .arg(&file)
            .arg("tiny-1.0.0"));
        let index = www.join("index/ti/ny");
        std::fs::create_dir_all(&index).unwrap();
        let line = format!(
            "{{\"name\":\"tiny\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{}\",\"features\":{{}},\"yanked\":false}}\n",
            sha256(&file)
        );
        std::fs::write(index.join("tiny"), line).unwrap();
    });
    let Some(sysroot) = toolchain(&w.b) else {
        missing(Feature::Tool("cargo-for-the-test-user"));
        return;
    };
    let config = format!("{{\"dl\":\"https://web.test:{}/crates\"}}", w.port);
    std::fs::write(w.b.root().join("server/www/index/config.json"), config).unwrap();
    let path = format!("{sysroot}/bin:/usr/local/bin:/usr/bin:/bin");
    let w = World {
        b: w.b.env("PATH", path).option("--read").option(&sysroot),
        ..w
    };
    w.works(
        "rm -rf c && cargo init -q --name c --vcs none c 2>&1 && cd c && \
         printf 'tiny = { version = \"1\", registry = \"here\" }\\n' >> Cargo.toml && mkdir .cargo && \
         printf '[registries.here]\\nindex = \"sparse+https://HOST:PORT/index/\"\\n[http]\\ncainfo = \"../ca.crt\"\\n[net]\\nretry = 0\\n' \
         > .cargo/config.toml && CARGO_HOME=$PWD/home cargo fetch >&2 && cat home/registry/src/*/tiny-1.0.0/src/lib.rs",
        "from the registry",
    );
}
