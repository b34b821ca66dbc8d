//! What is at a path in the box, by the operations of the view: the path is walked as the kernel walks it.

#![forbid(unsafe_code)]

use super::Side;
use super::decide::Asker;
use crate::host::{FileType, Stat};
use crate::plan::refused::{self, RefusedPlace};
use crate::plan::{Access, Kind, MountOp, OsText};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The kernel's own limit of links in one path.
const MAX_LINKS: u32 = 40;

/// What is at a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'p> {
    /// Nothing.
    Missing,
    /// A directory of the box's own in which nothing can be made.
    OwnDir,
    /// A file of the box's own, read-only. It may be a copy of one that can be executed.
    OwnFile(Execute),
    /// A directory or file of a tmpfs of the box's own: writable, gone at the end.
    Temporary(Kind),
    /// Of the kernel's own file systems: /proc, /dev.
    Kernel(Kind),
    /// Something of the host's.
    Host(Hosts),
    /// An empty cover.
    Mask(Kind),
    /// The stub; where the plan has not put it there, over what was installed or upgraded while the box ran.
    Refused(Option<&'p RefusedPlace>),
}

/// Has a file permission to be executed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Execute {
    /// By everybody.
    Yes,
    /// Not by everybody.
    No,
}

/// A file or directory of the host's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hosts {
    pub(super) stat: Stat,
    pub(super) access: Access,
    pub(super) idmap: bool,
}

/// Where a path ends.
pub(super) struct Seen<'p> {
    /// Canonical, in the box.
    pub(super) path: PathBuf,
    pub(super) node: Node<'p>,
    /// Where it comes from, for a look at the host's.
    pub(super) source: PathBuf,
    /// The directory that holds it, ...
    pub(super) dir: PathBuf,
    pub(super) dir_node: Node<'p>,
    pub(super) dir_source: PathBuf,
    /// A directory on the way that the agent may not search.
    pub(super) shut: Option<PathBuf>,
}

impl Seen<'_> {
    /// The name by which grants are compared and proposed: the typed one, also of a link; but `work/../x` does not lie in `work`, and
    /// a grant with a `..` in it is refused. Then it is where the walk has come to.
    pub(super) fn name(&self, typed: &Path) -> PathBuf {
        if typed.components().any(|part| part == Component::ParentDir) {
            self.path.clone()
        } else {
            typed.to_owned()
        }
    }
}

/// One step: what is at a place, before links are followed.
enum Step<'p> {
    Node(Node<'p>, PathBuf),
    Link(PathBuf),
}

impl<'p> Asker<'p> {
    /// Where a directory of the caller's PATH that the box has not holds such a program.
    pub(super) fn left_out(&self, name: &OsText) -> Option<PathBuf> {
        let dirs = self.plan.path_dropped.iter().map(OsText::path);
        let mut there = dirs.map(|dir| dir.join(name.os()));
        there.find(|at| {
            let stat = self.look.stat(at);
            let is_file = stat.is_some_and(|stat| stat.file_type == FileType::File);
            self.side == Side::Outside && is_file && self.look.executable(at)
        })
    }

    /// Walks an absolute path. `None` for a loop of links.
    pub(super) fn see(&self, path: &Path) -> Option<Seen<'p>> {
        let mut todo: Vec<OsString> = Vec::new();
        push(&mut todo, path);
        let root = || Step::Node(Node::OwnDir, PathBuf::from("/"));
        let mut at = PathBuf::from("/");
        let (mut node, mut source) = (Node::OwnDir, PathBuf::from("/"));
        let mut above = (at.clone(), node, source.clone());
        let mut shut = None;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                // ".." of what is missing or no directory is missing too; it is not its parent.
                if !is_dir(&node) {
                    above = (at.clone(), node, source);
                    (node, source) = (Node::Missing, at.clone());
                    break;
                }
                at.pop();
                if let Step::Node(n, s) = self.step(&at).unwrap_or_else(root) {
                    (node, source) = (n, s);
                }
                continue;
            }
            if !is_dir(&node) {
                // Below a file, or below nothing, there is nothing.
                above = (at.clone(), node, source.clone());
                at.push(name);
                (node, source) = (Node::Missing, at.clone());
                continue;
            }
            if shut.is_none() && !self.searchable(&node, &source) {
                shut = Some(at.clone());
            }
            let place = at.join(&name);
            match self.step(&place) {
                Some(Step::Link(to)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if to.is_absolute() {
                        at = PathBuf::from("/");
                        (node, source) = (Node::OwnDir, at.clone());
                    }
                    push(&mut todo, &to);
                }
                other => {
                    above = (at.clone(), node, source.clone());
                    at = place;
                    (node, source) = match other {
                        Some(Step::Node(node, source)) => (node, source),
                        _ => (Node::Missing, at.clone()),
                    };
                }
            }
        }
        let (dir, dir_node, dir_source) = above;
        Some(Seen {
            path: at,
            node,
            source,
            dir,
            dir_node,
            dir_source,
            shut,
        })
    }

    /// What is at this place, whose directory is canonical. `None` if nothing is.
    fn step(&self, place: &Path) -> Option<Step<'p>> {
        if let Some(refused) = self.refused_at(place) {
            return Some(Step::Node(Node::Refused(Some(refused)), place.to_owned()));
        }
        if self.plan.state.iter().any(|s| s.target.path() == place) {
            let found = self.side == Side::Inside || self.look.lstat(place).is_some();
            return found.then(|| Step::Node(Node::Temporary(Kind::File), place.to_owned()));
        }
        let (op, at) = self.op_for(place);
        let Some(op) = op else {
            return self.implied(place);
        };
        let below = place.strip_prefix(at).unwrap_or(Path::new(""));
        let exact = below.as_os_str().is_empty();
        let node = |node| Some(Step::Node(node, place.to_owned()));
        match op {
            MountOp::Bind {
                source,
                access,
                idmap,
                create,
                ..
            } => {
                let source = if exact {
                    source.path().to_owned()
                } else {
                    source.path().join(below)
                };
                let found = self.of_host(place, &source, *access, *idmap);
                // What is made at the start is not there before.
                let made = || {
                    let dirs = &self.plan.private_dirs;
                    let will_be = exact || dirs.iter().any(|dir| dir.path().starts_with(place));
                    (*create && will_be)
                        .then(|| Step::Node(Node::Temporary(Kind::Dir), source.clone()))
                };
                found.or_else(made).or_else(|| self.implied(place))
            }
            MountOp::Symlink { to, .. } if exact => Some(Step::Link(to.path().to_owned())),
            MountOp::Dir { .. } if exact => node(Node::OwnDir),
            MountOp::File { .. } | MountOp::Cover { .. } if exact => {
                node(Node::OwnFile(Execute::No))
            }
            MountOp::Copy { source, .. } if exact => {
                let all = |stat: Stat| stat.mode & 0o111 == 0o111;
                let execute = if self.look.stat(source.path()).is_some_and(all) {
                    Execute::Yes
                } else {
                    Execute::No
                };
                node(Node::OwnFile(execute))
            }
            MountOp::Tmpfs { .. } if exact => node(Node::Temporary(Kind::Dir)),
            // What has been made there as a place for something else is as writable as the rest.
            MountOp::Tmpfs { .. } => match self.implied(place) {
                Some(_) => node(Node::Temporary(Kind::Dir)),
                None => self.temporary(place),
            },
            MountOp::Proc | MountOp::ContainerProc | MountOp::Dev | MountOp::Cgroup { .. } => {
                self.kernel(place)
            }
            MountOp::MaskFile { .. } if exact => node(Node::Mask(Kind::File)),
            MountOp::Refuse { kind, .. } if exact => node(Node::Mask(*kind)),
            MountOp::MaskDir { .. } if exact => node(Node::Mask(Kind::Dir)),
            _ => self.implied(place),
        }
    }

    fn refused_at(&self, place: &Path) -> Option<&'p RefusedPlace> {
        let places = &self.plan.refused.places;
        places.iter().find(|refused| refused.path.path() == place)
    }

    /// The operation that decides what is at a place: the deepest one there or above.
    fn op_for(&self, place: &Path) -> (Option<&'p MountOp>, &'p Path) {
        let ops = self.plan.view.ops.iter().map(|op| (op, op.target()));
        let holds = ops.filter(|(_, at)| place.starts_with(at));
        match holds.max_by_key(|(_, at)| at.components().count()) {
            Some((op, at)) => (Some(op), at),
            None => (None, Path::new("/")),
        }
    }

    /// A directory that is there because something is below it.
    fn implied(&self, place: &Path) -> Option<Step<'p>> {
        let ops = &self.plan.view.ops;
        let below = ops.iter().any(|op| op.target().starts_with(place));
        below.then(|| Step::Node(Node::OwnDir, place.to_owned()))
    }

    fn of_host(
        &self,
        place: &Path,
        source: &Path,
        access: Access,
        idmap: bool,
    ) -> Option<Step<'p>> {
        let looked = match self.side {
            Side::Outside => source,
            Side::Inside => place,
        };
        let stat = self.look.lstat(looked)?;
        if stat.file_type == FileType::Symlink {
            return self.look.read_link(looked).map(Step::Link);
        }
        if self.side == Side::Inside && self.is_stub(stat) {
            return Some(Step::Node(Node::Refused(None), looked.to_owned()));
        }
        let hosts = Hosts {
            stat,
            access,
            idmap,
        };
        Some(Step::Node(Node::Host(hosts), looked.to_owned()))
    }

    /// The keeper mounts the one stub over each program that is refused later, also over a link.
    fn is_stub(&self, stat: Stat) -> bool {
        let stub = self.look.lstat(Path::new(refused::STUB));
        stub.is_some_and(|stub| (stub.dev, stub.ino) == (stat.dev, stat.ino))
    }

    /// In a tmpfs of the box's own: empty at the start, and only from inside can be seen what it has become.
    fn temporary(&self, place: &Path) -> Option<Step<'p>> {
        if self.side == Side::Outside {
            return None;
        }
        let stat = self.look.lstat(place)?;
        if stat.file_type == FileType::Symlink {
            return self.look.read_link(place).map(Step::Link);
        }
        let kind = kind(stat);
        Some(Step::Node(Node::Temporary(kind), place.to_owned()))
    }

    /// /proc, /dev and cgroups: outside there is the host's, which has the same names for what matters.
    fn kernel(&self, place: &Path) -> Option<Step<'p>> {
        let stat = self.look.stat(place)?;
        Some(Step::Node(Node::Kernel(kind(stat)), place.to_owned()))
    }
}

fn kind(stat: Stat) -> Kind {
    if stat.file_type == FileType::Dir {
        Kind::Dir
    } else {
        Kind::File
    }
}

pub(super) fn is_dir(node: &Node<'_>) -> bool {
    match node {
        Node::OwnDir
        | Node::Temporary(Kind::Dir)
        | Node::Kernel(Kind::Dir)
        | Node::Mask(Kind::Dir) => true,
        Node::Host(hosts) => hosts.stat.file_type == FileType::Dir,
        _ => false,
    }
}

/// Something is there, and nothing can be below it.
pub(super) fn is_file(node: &Node<'_>) -> bool {
    !matches!(node, Node::Missing) && !is_dir(node)
}

/// Components in reverse, so that the next one is popped.
fn push(todo: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    todo.extend(names);
}
