//! [`Scene`]: what every part of [`super::resolve`] works on: the policy, the host, what was found so far and every problem.

#![forbid(unsafe_code)]

use super::expand::within;
use super::gitconfig::Cleaned;
use super::names::Tree as Granted;
use super::tree::Tree;
use super::walk::Walker;
use super::workspace::has_parent;
use crate::host::{FileType, Host, Lookup};
use crate::plan::problem::{Problem, ProblemKind};
use crate::plan::{Grant, GrantKind, OsText, private};
use crate::policy::{Origin, Policy};
use std::path::{Path, PathBuf};

/// The state of one resolution.
pub(super) struct Scene<'a> {
    pub(super) policy: &'a Policy,
    pub(super) host: &'a Host,
    pub(super) walk: Walker<'a>,
    pub(super) tree: Tree,
    pub(super) problems: Vec<Problem>,
    pub(super) notices: Vec<String>,
    pub(super) grants: Vec<Grant>,
    /// HOME as the caller knows it, and canonical.
    pub(super) home: Place,
    /// The workspace, likewise.
    pub(super) workspace: Place,
    /// agentbox's own directories, as typed and canonical: never granted, never in a workspace.
    pub(super) own_dirs: Vec<PathBuf>,
    /// What the box can write by a wish, canonical: links in it may be an agent's.
    pub(super) writable: Vec<PathBuf>,
    /// Files that the box sees without their credentials.
    pub(super) cleaned: Vec<Cleaned>,
    /// A configuration of git that the box sees has commits or tags signed.
    pub(super) signs: bool,
    /// Other repositories that are granted for work.
    pub(super) trees: Vec<Granted>,
    /// Directories that the box sees since the command lies in them, canonical.
    pub(super) packages: Vec<PathBuf>,
    /// The repository's common directory, where one was found that is usable in the box.
    pub(super) repository: Option<PathBuf>,
    /// The main work tree of a linked one, where that proved to belong to it.
    pub(super) main: Option<PathBuf>,
    /// Where the persistent private places are; canonical as far as it exists.
    pub(super) private_root: PathBuf,
    /// Where those of single profiles are, each in a directory by its name; canonical likewise.
    pub(super) private_own: PathBuf,
}

/// A directory under both of its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) real: PathBuf,
}

impl<'a> Scene<'a> {
    /// HOME and agentbox's own directories are known from here on. `None` if HOME is unusable: then nothing else can be said.
    pub(super) fn new(
        policy: &'a Policy,
        host: &'a Host,
        look: &'a dyn Lookup,
    ) -> Result<Self, Problem> {
        let walk = Walker::new(look);
        let home = home(host, &walk)?;
        let mut scene = Scene {
            policy,
            host,
            walk,
            tree: Tree::default(),
            problems: Vec::new(),
            notices: Vec::new(),
            signs: false,
            grants: Vec::new(),
            home,
            workspace: Place::default(),
            own_dirs: Vec::new(),
            writable: Vec::new(),
            cleaned: Vec::new(),
            trees: Vec::new(),
            packages: Vec::new(),
            repository: None,
            main: None,
            private_root: PathBuf::new(),
            private_own: PathBuf::new(),
        };
        for (var, default) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_DATA_HOME", ".local/share"),
        ] {
            // The default place too: a later start without the variable would read it.
            for dir in [scene.xdg(var, default), scene.home.path.join(default)] {
                let dir = dir.join("agentbox");
                let real = scene.real_of(&dir);
                for dir in [real, dir] {
                    if !scene.own_dirs.contains(&dir) {
                        scene.own_dirs.push(dir);
                    }
                }
            }
        }
        let data = scene.xdg("XDG_DATA_HOME", ".local/share");
        scene.private_root = scene.real_of(&data.join(private::SHARED));
        scene.private_own = scene.real_of(&data.join(private::OWN));
        let mut fences: Vec<PathBuf> = ["/proc", "/dev", "/tmp", "/var/tmp", "/run/agentbox"]
            .map(PathBuf::from)
            .to_vec();
        fences.push(scene.home.real.clone());
        scene.tree = Tree::new(fences);
        Ok(scene)
    }

    /// Is it, or does it lie in, what is behind the private places?
    pub(super) fn is_private(&self, path: &Path) -> bool {
        within(path, &self.private_root) || within(path, &self.private_own)
    }

    /// A directory of the XDG base directory specification: an absolute value counts, anything else is ignored.
    pub(super) fn xdg(&self, var: &str, default: &str) -> PathBuf {
        self.host
            .var(var)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .unwrap_or_else(|| self.home.path.join(default))
    }

    /// The canonical path, as far as the path exists.
    pub(super) fn real_of(&self, path: &Path) -> PathBuf {
        self.walk
            .follow(path)
            .map_or_else(|| path.to_owned(), |walked| walked.real.clone())
    }

    /// The name of a grant: as it is written, also of a link. But `work/../x` does not lie in `work`, and grants are compared by
    /// their names: with a `..` in it what is there goes by its canonical one.
    pub(super) fn name_of(&self, path: PathBuf) -> PathBuf {
        let found = has_parent(&path).then(|| self.walk.follow(&path)).flatten();
        match found {
            Some(walked) if walked.stat.is_some() => walked.real.clone(),
            _ => path,
        }
    }

    pub(super) fn problem(
        &mut self,
        what: impl Into<String>,
        remedy: impl Into<String>,
        origin: Option<&Origin>,
    ) {
        let problem = refused(what, remedy, origin);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Remembers a grant for `explain`, once.
    pub(super) fn grant(
        &mut self,
        path: &Path,
        kind: GrantKind,
        origin: &Origin,
        note: Option<String>,
    ) {
        let path = OsText::from(path);
        if !self
            .grants
            .iter()
            .any(|g| g.path == path && g.kind == kind && g.note == note)
        {
            self.grants.push(Grant {
                path,
                kind,
                origin: origin.clone(),
                note,
            });
        }
    }
}

/// A problem that ends `run` with 125.
pub(super) fn refused(
    what: impl Into<String>,
    remedy: impl Into<String>,
    origin: Option<&Origin>,
) -> Problem {
    Problem {
        what: what.into(),
        remedy: remedy.into(),
        origin: origin.cloned(),
        kind: ProblemKind::Refused,
    }
}

/// A path for a message.
pub(super) fn show(path: &Path) -> String {
    OsText::from(path).to_string()
}

/// A path in a flag that a human may copy.
pub(super) fn shell_word(path: &Path) -> String {
    OsText::from(path).shell_word()
}

fn home(host: &Host, walk: &Walker<'_>) -> Result<Place, Problem> {
    let path = &host.home;
    let set = "set HOME to your home directory";
    let bad = |what: String| Err(refused(what, set, None));
    if path.as_os_str().is_empty() {
        return bad("HOME is not set and the user has no entry in /etc/passwd".into());
    }
    if !path.is_absolute() {
        return bad(format!("HOME ({}) is not an absolute path", show(path)));
    }
    let Some(walked) = walk.follow(path) else {
        return bad(format!("HOME ({}) is a loop of symlinks", show(path)));
    };
    match walked.stat {
        None => bad(format!("HOME ({}) does not exist", show(path))),
        Some(stat) if stat.file_type != FileType::Dir => {
            bad(format!("HOME ({}) is not a directory", show(path)))
        }
        Some(_) if walked.real == Path::new("/") => bad(
            "HOME is /, as container engines say where the user has no entry in /etc/passwd".into(),
        ),
        Some(_) if super::places::kernel_place(&walked.real) => bad(format!(
            "HOME ({}) is in a file system of the kernel",
            show(path)
        )),
        // The components and not the text: "/home//u/" is "/home/u".
        Some(_) => Ok(Place {
            path: path.components().collect(),
            real: walked.real.clone(),
        }),
    }
}
