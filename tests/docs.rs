//! Every command that README.md and docs/ show is run as it stands there, in a home of its own with agents that are scripts of
//! their names, and with the servers that its page speaks of. A comment before a block says what is different:
//! `<!-- run: ends with 1 0 -->`, a status for each line; `<!-- run: newcomer -->`, by scripts/newcomer; `<!-- run: s3 -->`, by
//! the test below that has one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
use common::switches::{Authority, Moto, Redis, Server, free_port};
use common::{Feature, Ran, TestBox, missing, run, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a block is run.
#[derive(Debug, PartialEq, Eq)]
enum How {
    /// All of it in one shell, which ends with 0.
    Whole,
    /// Each line by itself, with a status of its own.
    EndsWith(Vec<i32>),
    /// As the first commands of a new account: scripts/newcomer.
    Newcomer,
    /// Where there is an S3.
    S3,
}

impl How {
    fn of(note: &str) -> Option<How> {
        match note {
            "newcomer" => Some(How::Newcomer),
            "s3" => Some(How::S3),
            _ => {
                let statuses = note.strip_prefix("ends with ")?.split(' ');
                Some(How::EndsWith(
                    statuses.map(str::parse).collect::<Result<_, _>>().ok()?,
                ))
            }
        }
    }
}

/// A block of shell.
#[derive(Debug)]
struct Block {
    line: usize,
    how: How,
    script: String,
}

/// What may stand in a fence without being run: files and output.
const NO_SHELL: [&str; 5] = ["toml", "json", "text", "markdown", "js"];

/// Programs that begin a line of shell, as opposed to one of output.
const PROGRAMS: [&str; 14] = [
    "$ ",
    "# ",
    "agentbox ",
    "git ",
    "cargo ",
    "sudo ",
    "curl ",
    "docker ",
    "podman ",
    "redis-cli ",
    "aws ",
    "scripts/",
    "npm ",
    "touch ",
];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let mut all: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == "md"));
    all.push(root.join("README.md"));
    all.sort();
    all
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The blocks of shell of a page. Nothing that a reader may take for a command is left out: a fence of a language that is not
/// known, one that shows commands as output, a block by indentation or HTML is an error.
fn blocks(page: &str, text: &str) -> Result<Vec<Block>, String> {
    let mut out: Vec<Block> = Vec::new();
    let mut note: Option<How> = None;
    // The language of the fence that is open.
    let mut inside: Option<&str> = None;
    let mut blank = true;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let at = format!("{page}:{}", number + 1);
        match (inside, trimmed.strip_prefix("```")) {
            (None, Some("sh")) => {
                inside = Some("sh");
                out.push(Block {
                    line: number + 1,
                    how: note.take().unwrap_or(How::Whole),
                    script: String::new(),
                });
            }
            (None, Some(language)) => {
                if !NO_SHELL.contains(&language) {
                    return Err(format!("{at}: what is a block of {language:?}?"));
                }
                inside = Some(language);
            }
            (Some(_), Some("")) => inside = None,
            (Some("sh"), _) => {
                let block = out.last_mut().unwrap();
                block.script.push_str(line);
                block.script.push('\n');
            }
            (Some(language), _) => {
                let command = PROGRAMS.iter().any(|program| line.starts_with(program));
                if language == "text" && command {
                    return Err(format!("{at}: a command that is not run: {line}"));
                }
            }
            (None, None) => {
                let indented = line.starts_with("    ") || line.starts_with('\t');
                if trimmed.starts_with("~~~") || trimmed.contains("<pre") || (indented && blank) {
                    return Err(format!("{at}: a block that is no fence of ```: {line}"));
                }
                if let Some(rest) = trimmed.strip_prefix("<!-- run: ") {
                    let words = rest.strip_suffix(" -->").unwrap_or(rest);
                    let how = How::of(words).ok_or_else(|| format!("{at}: what is {words:?}?"))?;
                    note = Some(how);
                } else if !trimmed.is_empty() && note.take().is_some() {
                    return Err(format!("{at}: a comment without a block after it"));
                }
            }
        }
        blank = trimmed.is_empty();
    }
    if inside.is_some() || note.is_some() {
        return Err(format!(
            "{page}: a fence that does not end, or none after a comment"
        ));
    }
    Ok(out)
}

/// What a new user has: a project, and agents (here only their names).
fn world() -> TestBox {
    let mut world = TestBox::new()
        .file("{ws}/package.json", "{}")
        .file("{ws}/Makefile", "test:\n\t@echo tested\n")
        .file("{ws}/.env", "SECRET=1\n")
        .file(
            "{ws}/.claude/settings.json",
            "{\"permissions\":{\"deny\":[\"Read(*.pem)\"]}}",
        )
        .file("{ws}/my-profile.toml", "extends = [\"shell\"]\n");
    for agent in [
        "claude", "codex", "gemini", "opencode", "aider", "goose", "npm", "cargo",
    ] {
        world = world.script(&format!("home/bin/{agent}"), "#!/bin/sh\necho \"$0 $*\"\n");
    }
    let bin = common::world::agentbox().parent().unwrap().to_owned();
    let path = format!(
        "{}:{}/bin:/usr/local/bin:/usr/bin:/bin",
        bin.display(),
        world.home().display()
    );
    // What a runner gives its steps.
    let output = world.home().join("github-output");
    fs::write(&output, "").unwrap();
    world.env("PATH", path).env("GITHUB_OUTPUT", output)
}

const PASSWORD: &str = "a-password-of-the-tests";

/// The first block of that language with that text in it.
fn shown<'a>(text: &'a str, language: &str, with: &str) -> &'a str {
    let start = format!("```{language}\n");
    let blocks = text.split(&start).skip(1);
    let mut blocks = blocks.map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.find(|block| block.contains(with)).unwrap()
}

/// What a page speaks of, beside [`world`].
struct Place {
    world: TestBox,
    // These end with it.
    redis: Option<Redis>,
    files: Option<Server>,
}

impl Place {
    fn of(page: &str, text: &str) -> Place {
        let mut place = Place {
            world: world(),
            redis: None,
            files: None,
        };
        match page {
            "kill-switch.md" => {
                let rules = format!("user default on >{PASSWORD} ~* &* +@all\n");
                place.switch(text, &rules);
            }
            "fleet.md" => {
                // The page's own line, and what it says that who may stop has besides.
                let line = shown(text, "text", "user agentbox on").replace("PASSWORD", PASSWORD);
                let more = "~agents:stop* +set +del +publish";
                assert!(text.contains(&format!("`{more}`")));
                let rules = format!("{line} {more}\nuser default on >{PASSWORD} ~* &* +@all\n");
                place.switch(text, &rules);
            }
            "everywhere.md" => place.release(text),
            _ => {}
        }
        place
    }

    /// The first remote switch of the page, as it stands there but for the address and the place of the password.
    fn switch(&mut self, text: &str, rules: &str) {
        let b = &self.world;
        let authority = Authority::new(b, "redis", "IP:127.0.0.1");
        let file = |name: &str, content: &str| {
            let path = b.root().join(name);
            fs::write(&path, content).unwrap();
            b.chown(&path);
            path.to_str().unwrap().to_owned()
        };
        let acl = file("acl", rules);
        let redis = Redis::start(&["--aclfile", &acl], Some(&authority));
        let password = file("password", PASSWORD);
        fs::set_permissions(
            &password,
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let mut config = String::new();
        for line in shown(text, "toml", "[[kill-switch.remote]]").lines() {
            match line.split_once(" = ") {
                Some(("url", _)) => {
                    let ca = authority.ca.display();
                    config.push_str(&format!(
                        "url = \"rediss://127.0.0.1:{}\"\nca = \"{ca}\"",
                        redis.port
                    ));
                }
                Some(("token-file", _)) => config.push_str(&format!("token-file = \"{password}\"")),
                _ => config.push_str(line),
            }
            config.push('\n');
        }
        // Its user may do anything: redis-cli as whoever has a fleet calls it, with the address and the password that are here.
        let cli = format!(
            "#!/bin/sh\nREDISCLI_AUTH={PASSWORD} exec /usr/bin/redis-cli -p {} --tls --cacert {} \"$@\"\n",
            redis.port,
            authority.ca.display()
        );
        let world = std::mem::replace(&mut self.world, TestBox::new());
        self.world = world
            .file("home/.config/agentbox/config.toml", config)
            .script("home/bin/redis-cli", &cli);
        self.redis = Some(redis);
    }

    /// A checkout with the installer, and a release with this very program where the page says that it is.
    fn release(&mut self, text: &str) {
        let (_, rest) = text.split_once("https://").unwrap();
        let (host, rest) = rest.split_once('/').unwrap();
        let tarball = rest.split_once('\n').unwrap().0;
        let tree = tarball.strip_suffix(".tar.gz").unwrap();
        let root = env!("CARGO_MANIFEST_DIR");
        let installer = fs::read_to_string(Path::new(root).join("scripts/install.sh")).unwrap();
        let world = std::mem::replace(&mut self.world, TestBox::new())
            .script("{ws}/scripts/install.sh", &installer)
            .dir("release")
            .file("release/share/man/man1/agentbox.1", "page");
        let authority = Authority::new(&world, "release", &format!("DNS:{host}"));
        let pack = format!(
            "cd {{t}}/release && mkdir bin && cp \"$1\" bin/agentbox && \
             tar -cf - --transform 's,^,{tree}/,' bin share | gzip -1 >{tarball} && sha256sum {tarball} >SHA256SUMS"
        );
        let packed = run(world.through(&pack, &world.agentbox(["ps"])));
        assert_eq!(packed.code(), 0, "{packed:?}");
        let port = free_port();
        let mut server = Command::new("openssl");
        server
            .args([
                "s_server",
                "-quiet",
                "-WWW",
                "-accept",
                &port.to_string(),
                "-cert",
            ])
            .arg(&authority.cert)
            .arg("-key")
            .arg(&authority.key)
            .current_dir(world.root().join("release"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = common::spawn(&mut server);
        self.files = Some(Server { child });
        until("the server of the release listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let curlrc = format!(
            "connect-to = \"{host}:443:127.0.0.1:{port}\"\ncacert = \"{}\"\n",
            authority.ca.display()
        );
        self.world = world.file("home/.curlrc", curlrc);
    }

    fn shell(&self, script: &str) -> Ran {
        let inner = self.world.agentbox(Vec::<String>::new());
        run(self.world.through(script, &inner))
    }

    /// Runs a block as it says.
    #[track_caller]
    fn run(&self, at: &str, block: &Block) {
        match &block.how {
            How::EndsWith(statuses) => {
                let lines: Vec<&str> = block.script.lines().collect();
                assert_eq!(lines.len(), statuses.len(), "{at}: a status for each line");
                for (line, status) in lines.iter().zip(statuses) {
                    let done = self.shell(line);
                    assert_eq!(done.code(), *status, "{at}: {line}\n{done:?}");
                }
            }
            _ => {
                let done = self.shell(&format!("set -eu\n{}", block.script));
                assert_eq!(done.code(), 0, "{at}:\n{}{done:?}", block.script);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What a block started and left.
        let _ = run(self.world.agentbox(["kill", "--all"]));
    }
}

/// The tools that the servers of the pages are made of.
fn lacks_tools() -> bool {
    ["openssl", "curl", "tar", "redis-check-rdb", "redis-cli"]
        .into_iter()
        .any(|tool| missing(Feature::Tool(tool)))
}

#[test]
fn every_command_that_is_shown_is_run() {
    if missing(Feature::Userns) || lacks_tools() {
        return;
    }
    let mut ran = 0;
    for path in documents() {
        let (page, text) = (name(&path), fs::read_to_string(&path).unwrap());
        let blocks = blocks(page, &text).unwrap_or_else(|error| panic!("{error}"));
        // The blocks of one page may build on each other.
        let place = Place::of(page, &text);
        for block in &blocks {
            let at = format!("{page}:{}", block.line);
            match block.how {
                // Another test has these.
                How::S3 => assert_eq!(page, "fleet.md", "{at}"),
                How::Newcomer => assert_eq!(
                    page, "README.md",
                    "{at}: scripts/newcomer reads README alone"
                ),
                How::Whole | How::EndsWith(_) => {
                    place.run(&at, block);
                    ran += 1;
                }
            }
        }
    }
    assert!(ran >= 25, "only {ran} blocks were run");
}

/// The S3 of fleet.md, with the switch that stands there and who runs what beside it.
#[test]
#[ignore = "needs moto and the client of S3, which scripts/test --all installs"]
fn every_command_that_needs_an_s3_is_run() {
    if missing(Feature::Userns) {
        return;
    }
    let moto = Moto::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/fleet.md")).unwrap();
    let mut config = "[kill-switch]\nteam = \"payments\"\n".to_owned();
    for line in shown(&text, "toml", "s3://").lines() {
        match line.split_once(" = ") {
            Some(("token-command", _)) => {
                config.push_str("token-command = \"{home}/bin/credentials\"")
            }
            _ => config.push_str(line),
        }
        config.push('\n');
    }
    let cells = text
        .lines()
        .find(|line| line.starts_with("| S3: an object"));
    let publish = cells.unwrap().split('`').nth(1).unwrap();
    config.push_str(&format!(
        "publish = {publish}\nendpoint = \"http://127.0.0.1:{}\"\n",
        moto.port
    ));
    let bucket = text
        .split_once("s3://")
        .unwrap()
        .1
        .split('/')
        .next()
        .unwrap();
    let credentials = format!(
        "#!/bin/sh\necho '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'\n",
        moto.id, moto.secret
    );
    let b = TestBox::new();
    let config = b.fill(&config);
    let b = b
        .file("home/.config/agentbox/config.toml", config)
        .script("home/bin/credentials", &credentials);
    // Whoever has a fleet, with a bucket: not the user of a box.
    let operator = |script: &str| {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-euc", script])
            .current_dir(b.root())
            .env_clear();
        shell.env(
            "PATH",
            format!("{}/target/aws/bin:/usr/bin:/bin", root.display()),
        );
        shell.env(
            "AWS_ENDPOINT_URL",
            format!("http://127.0.0.1:{}", moto.port),
        );
        shell
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("HOME", b.root());
        shell
            .env("AWS_ACCESS_KEY_ID", &moto.id)
            .env("AWS_SECRET_ACCESS_KEY", &moto.secret);
        let done = run(shell);
        assert_eq!(done.code(), 0, "{script}\n{done:?}");
    };
    operator(&format!("aws s3 mb s3://{bucket}"));
    assert_eq!(b.sh("echo ran").ok(), "ran");
    let blocks = blocks("fleet.md", &text).unwrap();
    let wanted: Vec<&Block> = blocks.iter().filter(|b| b.how == How::S3).collect();
    assert!(!wanted.is_empty());
    for block in wanted {
        operator(&block.script);
    }
    let heads = run({
        let mut cat = Command::new("/bin/sh");
        cat.args(["-c", "cat sessions/*/*"]).current_dir(b.root());
        cat
    });
    assert!(heads.text().contains("\"state\":\"ended\""), "{heads:?}");
}

/// scripts/newcomer types what is left to it, all of it and nothing else.
#[test]
fn the_newcomer_has_the_first_commands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = blocks("README.md", &readme).unwrap();
    let left = blocks.iter().filter(|b| b.how == How::Newcomer);
    assert_eq!(left.count(), 2);
    let newcomer = fs::read_to_string(root.join("tests/newcomer/main.rs")).unwrap();
    assert!(newcomer.contains("<!-- run: newcomer -->") && newcomer.contains("README.md"));
    let all = fs::read_to_string(root.join("scripts/test")).unwrap();
    assert!(all.contains("scripts/newcomer"));
}

/// A block that nobody runs is seen, and one that fails is.
#[test]
fn what_is_not_run_is_seen() {
    let page = "a\n<!-- run: newcomer -->\n\n```sh\none\n```\n```sh\ntwo\n```\n<!-- run: ends with 1 0 -->\n```sh\n\
                false\ntrue\n```\n```toml\nx = 1\n```\n";
    let found = blocks("p", page).unwrap();
    let hows: Vec<&How> = found.iter().map(|block| &block.how).collect();
    assert_eq!(
        hows,
        [&How::Newcomer, &How::Whole, &How::EndsWith(vec![1, 0])]
    );
    assert_eq!(found[1].script, "two\n");
    for (bad, why) in [
        ("```bash\nx\n```\n", "what is a block of \"bash\""),
        ("```console\nx\n```\n", "what is a block of \"console\""),
        ("```\nx\n```\n", "what is a block of \"\""),
        ("```text\nagentbox ps\n```\n", "a command that is not run"),
        ("~~~\nagentbox ps\n~~~\n", "no fence"),
        ("a\n\n    agentbox ps\n", "no fence"),
        (
            "<!-- run: network: x -->\n```sh\nx\n```\n",
            "what is \"network: x\"",
        ),
        (
            "<!-- run: newcomer -->\nwords\n```sh\nx\n```\n",
            "without a block",
        ),
        ("```sh\nx\n", "does not end"),
    ] {
        let error = blocks("p", bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
    let place = Place::of("p", "");
    place.run("p:1", &found[1 + 1]);
    for (how, script) in [
        (How::Whole, "agentbox fly\n"),
        (How::Whole, "false\ntrue\n"),
        (How::EndsWith(vec![1]), "true\n"),
        (How::EndsWith(vec![0]), "true\ntrue\n"),
    ] {
        let block = Block {
            line: 1,
            how,
            script: script.to_owned(),
        };
        let bad =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.run("p:1", &block)));
        assert!(bad.is_err(), "{block:?}");
    }
}

/// What is to be looked for in the troubleshooting is what the program says.
#[test]
fn every_message_in_the_troubleshooting_is_one_of_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    let mut todo = vec![root.join("src")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                // A literal may go on in the next line.
                let text = fs::read_to_string(&path).unwrap();
                for line in text.lines() {
                    match line.strip_suffix('\\') {
                        Some(start) => source.push_str(start),
                        None => {
                            source.push_str(line.trim_start());
                            source.push('\n');
                        }
                    }
                }
            }
        }
    }
    let text = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let mut number = 0;
    for line in text.lines() {
        let Some(message) = line
            .strip_prefix("### `")
            .and_then(|rest| rest.strip_suffix('`'))
        else {
            continue;
        };
        assert!(source.contains(message), "nothing says {message:?}");
        number += 1;
    }
    assert!(number >= 15, "{number}");
}

/// A link between the documents leads somewhere.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let has = text
                    .lines()
                    .filter_map(|line| line.strip_prefix('#'))
                    .any(|title| {
                        let title = title.trim_start_matches('#').trim().to_lowercase();
                        let slug: String = title
                            .chars()
                            .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
                            .collect();
                        slug.replace(' ', "-") == anchor
                    });
                assert!(has, "{}: {link}", path.display());
            }
        }
    }
    assert!(root.join("docs").exists());
}
