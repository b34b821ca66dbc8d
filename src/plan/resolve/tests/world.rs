//! A file system in memory and a host to go with it.

use crate::host::{Cgroup, FileType, Host, Lookup, Stat, Want};
use crate::plan::problem::Problem;
use crate::plan::resolve::resolve;
use crate::plan::{Access, GrantKind, Kind, MountOp, NetworkMode, OsText, Plan};
use crate::policy::{Fragment, Origin, PathWish, Policy, Request, Wish};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

#[derive(Clone)]
enum Node {
    Dir,
    File(Vec<u8>, u32),
    Link(PathBuf),
    Other(FileType),
    /// Another name of the file at that path.
    Same(PathBuf),
}

/// Paths and what is there.
#[derive(Clone, Default)]
pub(super) struct Memory {
    nodes: BTreeMap<PathBuf, (Node, u32)>,
}

impl Memory {
    fn put(&mut self, path: &Path, node: Node, uid: u32) {
        for dir in path.ancestors().skip(1) {
            self.nodes
                .entry(dir.to_owned())
                .or_insert((Node::Dir, if dir.starts_with("/home/u") { 1000 } else { 0 }));
        }
        self.nodes.insert(path.to_owned(), (node, uid));
    }

    fn uid(path: &Path) -> u32 {
        if path.starts_with("/home/u") { 1000 } else { 0 }
    }

    pub(super) fn dir(&mut self, path: impl AsRef<Path>) -> &mut Self {
        let path = path.as_ref();
        self.put(path, Node::Dir, Self::uid(path));
        self
    }

    pub(super) fn owned(&mut self, path: &str, uid: u32) -> &mut Self {
        self.put(Path::new(path), Node::Dir, uid);
        self
    }

    pub(super) fn file(&mut self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &mut Self {
        let path = path.as_ref();
        self.put(
            path,
            Node::File(content.as_ref().to_vec(), 0o644),
            Self::uid(path),
        );
        self
    }

    pub(super) fn program(&mut self, path: impl AsRef<Path>, content: &str) -> &mut Self {
        let path = path.as_ref();
        self.put(
            path,
            Node::File(content.as_bytes().to_vec(), 0o755),
            Self::uid(path),
        );
        self
    }

    pub(super) fn link(&mut self, path: impl AsRef<Path>, to: &str) -> &mut Self {
        let path = path.as_ref();
        self.put(path, Node::Link(to.into()), Self::uid(path));
        self
    }

    pub(super) fn hard_link(&mut self, path: impl AsRef<Path>, to: &str) -> &mut Self {
        let path = path.as_ref();
        self.put(path, Node::Same(to.into()), Self::uid(path));
        self
    }

    /// How many names the file has.
    fn names(&self, path: &Path) -> usize {
        let same = |node: &Node| matches!(node, Node::Same(to) if to == path);
        1 + self.nodes.values().filter(|(node, _)| same(node)).count()
    }

    pub(super) fn other(&mut self, path: &str, what: FileType) -> &mut Self {
        self.put(Path::new(path), Node::Other(what), 0);
        self
    }

    /// Independent of the walker: recursive, by text.
    fn real(&self, path: &Path, budget: u32) -> Option<PathBuf> {
        let budget = budget.checked_sub(1)?;
        let mut at = PathBuf::from("/");
        let mut rest = path.components();
        while let Some(component) = rest.next() {
            match component {
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => {
                    let next = at.join(name);
                    match &self.nodes.get(&next)?.0 {
                        Node::Link(to) => {
                            return self.real(&at.join(to).join(rest.as_path()), budget);
                        }
                        _ => at = next,
                    }
                }
                _ => {}
            }
        }
        self.nodes.contains_key(&at).then_some(at)
    }

    fn node_stat(&self, path: &Path) -> Option<Stat> {
        let (node, uid) = self.nodes.get(path)?;
        if let Node::Same(to) = node {
            return self.node_stat(to);
        }
        let (file_type, mode) = match node {
            Node::Dir => (FileType::Dir, 0o755),
            Node::File(_, mode) => (FileType::File, *mode),
            Node::Link(_) => (FileType::Symlink, 0o777),
            Node::Other(t) => (*t, 0o600),
            Node::Same(_) => return None,
        };
        let ino = self.nodes.keys().position(|p| p == path)?;
        Some(Stat {
            file_type,
            mode,
            uid: *uid,
            gid: *uid,
            dev: 1,
            ino: u64::try_from(ino).unwrap(),
            nlink: u64::try_from(self.names(path)).unwrap(),
        })
    }
}

impl Lookup for Memory {
    fn stat(&self, path: &Path) -> Option<Stat> {
        self.node_stat(&self.real(path, 50)?)
    }

    fn lstat(&self, path: &Path) -> Option<Stat> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.node_stat(&self.real(parent, 50)?.join(name)),
            _ => self.node_stat(path),
        }
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        match &self.nodes.get(path)?.0 {
            Node::Link(to) => Some(to.clone()),
            _ => None,
        }
    }

    fn canonicalize(&self, path: &Path) -> Option<PathBuf> {
        self.real(path, 50)
    }

    fn read_dir(&self, path: &Path) -> Vec<OsString> {
        let Some(dir) = self.real(path, 50) else {
            return Vec::new();
        };
        self.nodes
            .keys()
            .filter(|p| p.parent() == Some(&dir))
            .filter_map(|p| p.file_name().map(OsStr::to_owned))
            .collect()
    }

    fn read(&self, path: &Path, max: usize) -> Option<Vec<u8>> {
        match &self.nodes.get(&self.real(path, 50)?)?.0 {
            Node::File(content, _) => Some(content.iter().copied().take(max).collect()),
            _ => None,
        }
    }

    fn permits(&self, path: &Path, want: Want) -> bool {
        let bit = match want {
            Want::Read => 4,
            Want::Write => 2,
            Want::Search => 1,
        };
        self.stat(path).is_some_and(|s| {
            let shift = if s.uid == 1000 { 6 } else { 0 };
            s.mode >> shift & bit != 0
        })
    }

    fn executable(&self, path: &Path) -> bool {
        self.stat(path).is_some_and(|s| s.mode & 0o111 != 0)
    }
}

/// A host, its files and a policy: each test changes what it is about.
#[derive(Clone)]
pub(super) struct World {
    pub(super) fs: Memory,
    pub(super) host: Host,
    pub(super) policy: Policy,
}

pub(super) fn builtin() -> Origin {
    Origin::Builtin {
        profile: "base".into(),
        line: 1,
    }
}

pub(super) fn cli(flag: &str) -> Origin {
    Origin::Cli { flag: flag.into() }
}

/// A wish in the words of a profile: `~/x?`, `~/x/`.
pub(super) fn wish(text: &str, origin: Origin) -> Wish<PathWish> {
    bytes_wish(text.as_bytes(), origin)
}

pub(super) fn bytes_wish(text: &[u8], origin: Origin) -> Wish<PathWish> {
    let (text, optional) = text.strip_suffix(b"?").map_or((text, false), |t| (t, true));
    let (text, make_dir) = match text.strip_suffix(b"/") {
        Some(t) if !t.is_empty() => (t, true),
        _ => (text, false),
    };
    Wish {
        value: PathWish {
            path: OsText::from(OsStr::from_bytes(text)),
            optional,
            make_dir,
        },
        origin,
    }
}

impl World {
    /// An ordinary user with a project, as on a Debian.
    pub(super) fn new() -> World {
        let mut fs = Memory::default();
        fs.dir("/usr/lib")
            .dir("/etc/ssl/private")
            .dir("/sys")
            .dir("/proc")
            .dir("/dev");
        fs.dir("/usr/local/bin")
            .dir("/tmp")
            .dir("/var/tmp")
            .dir("/run")
            .dir("/opt");
        fs.link("/bin", "usr/bin").link("/lib", "usr/lib");
        fs.program("/usr/bin/bash", "\x7fELF")
            .program("/usr/bin/env", "\x7fELF")
            .program("/usr/bin/true", "\x7fELF");
        fs.link("/usr/bin/sh", "bash");
        fs.file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/bash\nu:x:1000:1000::/home/u:/bin/bash\n",
        );
        fs.file("/etc/group", "")
            .file("/etc/hosts", "")
            .file("/etc/shadow", "s");
        fs.dir("/home/u/proj/src")
            .file("/home/u/proj/.git/HEAD", "ref: x");
        let host = Host {
            uid: 1000,
            gid: 1000,
            exe: "/usr/local/bin/agentbox".into(),
            user: "u".into(),
            home: "/home/u".into(),
            shell: "/bin/bash".into(),
            cwd: "/home/u/proj".into(),
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            memory: 8 << 30,
            cpus: 4,
            cgroup: Cgroup::None,
            ..Host::default()
        };
        let mut wishes = Fragment::default();
        wishes.files.read = vec![wish("/usr", builtin())];
        wishes.files.write = vec![wish("${workspace}", builtin())];
        wishes.network = Some(Wish {
            value: NetworkMode::None,
            origin: builtin(),
        });
        World {
            fs,
            host,
            policy: Policy {
                profiles: vec!["shell".into()],
                wishes,
                request: Request {
                    argv: vec!["bash".into()],
                    workspace: None,
                    drill: None,
                },
            },
        }
    }

    /// The same for root, with the project below /root.
    pub(super) fn root() -> World {
        let mut world = World::new();
        world.host.uid = 0;
        world.host.gid = 0;
        world.host.user = "root".into();
        world.host.home = "/root".into();
        world.host.cwd = "/root/proj".into();
        world.host.uids = vec![(0, u32::MAX)];
        world.host.gids = vec![(0, u32::MAX)];
        world.fs.dir("/root/proj");
        world
    }

    pub(super) fn read(&mut self, path: &str, origin: Origin) -> &mut Self {
        self.policy.wishes.files.read.push(wish(path, origin));
        self
    }

    pub(super) fn write(&mut self, path: &str, origin: Origin) -> &mut Self {
        self.policy.wishes.files.write.push(wish(path, origin));
        self
    }

    pub(super) fn private(&mut self, path: &str) -> &mut Self {
        self.private_by(path, builtin())
    }

    pub(super) fn private_by(&mut self, path: &str, origin: Origin) -> &mut Self {
        self.policy.wishes.files.private.push(wish(path, origin));
        self
    }

    pub(super) fn state(&mut self, path: &str) -> &mut Self {
        self.policy.wishes.files.state.push(wish(path, builtin()));
        self
    }

    pub(super) fn run(&mut self, command: &str) -> &mut Self {
        self.policy.request.argv = vec![command.into()];
        self
    }

    pub(super) fn var(&mut self, name: &str, value: &str) -> &mut Self {
        self.host.env.retain(|(n, _)| n != name);
        self.host.env.push((name.into(), value.into()));
        self
    }

    pub(super) fn resolve(&self) -> Result<Plan, Vec<Problem>> {
        resolve(&self.policy, &self.host, &self.fs)
    }

    #[track_caller]
    pub(super) fn plan(&self) -> Plan {
        match self.resolve() {
            Ok(plan) => {
                sound(&plan);
                plan
            }
            Err(problems) => panic!("{}", texts(&problems)),
        }
    }

    /// The text of the problems; fails if there are none.
    #[track_caller]
    pub(super) fn refused(&self) -> String {
        match self.resolve() {
            Ok(_) => panic!("it was granted"),
            Err(problems) => texts(&problems),
        }
    }
}

fn texts(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What holds for every plan: order, no target behind a link, nothing twice.
#[track_caller]
pub(super) fn sound(plan: &Plan) {
    let mut seen: Vec<&Path> = Vec::new();
    let links: Vec<&Path> = plan
        .view
        .ops
        .iter()
        .filter_map(|op| match op {
            MountOp::Symlink { target, .. } => Some(target.path()),
            _ => None,
        })
        .collect();
    for op in &plan.view.ops {
        let target = op.target();
        assert!(target.is_absolute(), "{op:?}");
        assert!(!seen.contains(&target), "twice: {op:?}");
        assert!(
            !seen.iter().any(|earlier| earlier.starts_with(target)),
            "covers something earlier: {op:?}"
        );
        assert!(
            !links
                .iter()
                .any(|link| target.starts_with(link) && target != *link),
            "behind a link: {op:?}"
        );
        seen.push(target);
    }
    let json = serde_json::to_string(plan).unwrap();
    assert_eq!(&serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

/// The operation at a place, in short: `bind r dir /src`, `link to`, ...
pub(super) fn at(plan: &Plan, path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let found = plan.view.ops.iter().find(|op| op.target() == path);
    match found {
        None => "-".into(),
        Some(MountOp::Bind {
            source,
            access,
            kind,
            idmap,
            create,
            ..
        }) => {
            let access = if *access == Access::Read { "r" } else { "w" };
            let kind = if *kind == Kind::Dir { "dir" } else { "file" };
            let idmap = if *idmap { " idmap" } else { "" };
            let create = if *create { " create" } else { "" };
            if source.path() == path {
                format!("{access} {kind}{idmap}{create}")
            } else {
                format!("{access} {kind} from {source}{idmap}{create}")
            }
        }
        Some(MountOp::Copy { source, .. }) if source.path() == path => "copy".into(),
        Some(MountOp::Copy { source, .. }) => format!("copy of {source}"),
        Some(MountOp::Symlink { to, .. }) => format!("-> {to}"),
        Some(MountOp::Tmpfs { .. }) => "tmpfs".into(),
        Some(MountOp::File { .. }) => "own file".into(),
        Some(MountOp::Dir { .. }) => "own dir".into(),
        Some(MountOp::MaskDir { .. }) => "mask dir".into(),
        Some(MountOp::MaskFile { .. }) => "mask file".into(),
        Some(MountOp::Cover { .. }) => "cover".into(),
        Some(MountOp::Refuse { .. }) => "refuse".into(),
        Some(MountOp::Cgroup { controllers, .. }) => format!("cgroup {}", controllers.join("+")),
        Some(MountOp::Proc) => "proc".into(),
        Some(MountOp::ContainerProc) => "the container's proc".into(),
        Some(MountOp::Dev) => "dev".into(),
    }
}

pub(super) fn granted(plan: &Plan, path: &str, kind: GrantKind) -> bool {
    plan.grants
        .iter()
        .any(|g| g.path.path() == Path::new(path) && g.kind == kind)
}
