//! What may be done with what is at a place.

#![forbid(unsafe_code)]

use super::names;
use super::permission::permissions;
use super::place::{Execute, Node, Seen, is_dir, is_file};
use super::{Answer, Question, Remedy, Side, Verdict, no, remedy, yes};
use crate::host::{Lookup, Want};
use crate::plan::{
    Access, Grant, GrantKind, HardLinks, Kind, LandlockAccess, OsText, Plan,
    refused::{self, RefusedPlace},
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What is said of such a configuration, whatever is asked about it.
const COPY: &str = "it is a copy without its credentials, which cannot be changed";

pub(super) struct Asker<'p> {
    pub(super) plan: &'p Plan,
    pub(super) side: Side,
    pub(super) look: &'p dyn Lookup,
}

impl<'p> Asker<'p> {
    pub(super) fn read(&self, path: &Path) -> Answer {
        let seen = match self.arrive(path) {
            Ok(seen) => seen,
            Err(answer) => return *answer,
        };
        let path = &*seen.name(path);
        if let Some(answer) = self.absent(path, &seen, "--read", "read") {
            return answer;
        }
        let remedy = || self.file_remedy(path, "--read", "read");
        if let Node::Host(hosts) = &seen.node
            && !self.permits(hosts, &seen.source, Want::Read)
        {
            return no(&*seen.path, permissions(hosts), None, None);
        }
        let needs = if is_dir(&seen.node) {
            LandlockAccess::List
        } else {
            LandlockAccess::Read
        };
        if !self.landlock(&seen.path, needs) {
            return no(
                &*seen.path,
                "no Landlock rule grants it",
                None,
                Some(remedy()),
            );
        }
        self.granted(path, &seen, &[])
    }

    pub(super) fn write(&self, path: &Path) -> Answer {
        let mut seen = match self.arrive(path) {
            Ok(seen) => seen,
            Err(answer) => return *answer,
        };
        let path = &*seen.name(path);
        // What is not there would have to be made in its directory, if that is one.
        let made = matches!(seen.node, Node::Missing);
        if made {
            if !is_dir(&seen.dir_node) {
                return self
                    .absent(path, &seen, "--write", "write")
                    .unwrap_or_else(|| no(&*seen.path, "there is no such directory", None, None));
            }
            seen.node = seen.dir_node;
            seen.source.clone_from(&seen.dir_source);
        }
        if !made && let Some(answer) = self.absent(path, &seen, "--write", "write") {
            return answer;
        }
        let target = if made { &seen.dir } else { &seen.path };
        // What is not there yet cannot be granted; its directory can.
        let grantable = if made { path.parent() } else { None }.unwrap_or(path);
        let remedy = || self.file_remedy(grantable, "--write", "write");
        let refuse = |because: &str, grant: Option<&Grant>| {
            let origin = grant.map(|grant| &grant.origin);
            no(&*seen.path, because, origin, Some(remedy()))
        };
        match &seen.node {
            Node::OwnDir | Node::OwnFile(_) => {
                if let Some(copy) = self.without_credentials(path, &seen.path) {
                    return refuse(COPY, Some(copy));
                }
                let mut answer = refuse(
                    "it is the box's own, in which nothing can be changed",
                    self.grant(path, &seen.path, &[GrantKind::Read]),
                );
                // It stays the box's own file, whatever of the host's is granted there.
                if matches!(seen.node, Node::OwnFile(_)) {
                    answer.remedy = None;
                }
                return answer;
            }
            Node::Mask(_) => return self.hidden(path, &seen),
            Node::Host(hosts) if hosts.access == Access::Read => {
                if let Some(frozen) = self.grant(path, &seen.path, &[GrantKind::Protected]) {
                    return refuse("it is protected", Some(frozen)).which(Verdict::Protected);
                }
                let grant = self.grant(path, &seen.path, &[GrantKind::Read]);
                return refuse("it is readable and no more", grant);
            }
            Node::Kernel(Kind::File) if !self.kernel_lets(&seen.path) => {
                return no(
                    &*seen.path,
                    "the kernel lets nobody in the box write it",
                    None,
                    None,
                );
            }
            Node::Host(_) if self.is_later_copy(&seen.path) => return refuse(COPY, None),
            Node::Host(hosts) if !self.permits(hosts, &seen.source, Want::Write) => {
                return no(&*seen.path, permissions(hosts), None, None);
            }
            Node::Host(hosts)
                if is_dir(&seen.node) && !self.permits(hosts, &seen.source, Want::Search) =>
            {
                return no(&*seen.path, permissions(hosts), None, None);
            }
            _ => {}
        }
        let needs = match (&seen.node, is_dir(&seen.node)) {
            (Node::Kernel(_), false) => LandlockAccess::Device,
            _ => LandlockAccess::Full,
        };
        if !self.landlock(target, needs) {
            return refuse("no Landlock rule grants it", None);
        }
        let mut answer = self.granted(
            path,
            &seen,
            &[
                GrantKind::Write,
                GrantKind::State,
                GrantKind::Private,
                GrantKind::Project,
            ],
        );
        if matches!(seen.node, Node::Host(_)) {
            let name = path.file_name().filter(|_| made);
            let file = name.map_or_else(|| seen.source.clone(), |name| seen.source.join(name));
            answer.notes.extend(names::tracked(self.plan, &file));
            if made {
                return names::made(self.plan, &seen.path, &file).unwrap_or(answer);
            }
        }
        if !made && self.side == Side::Outside && self.plan.links.has(&seen.source) {
            answer.because.push_str(match self.plan.links.rule {
                HardLinks::Allow => "; it has hard links outside, which are changed as well",
                HardLinks::Copy | HardLinks::Refuse => {
                    "; it has hard links outside, which are not changed: the box starts with a copy of its own"
                }
            });
        }
        answer
    }

    pub(super) fn exec(&self, name: &OsText) -> Answer {
        let path = match self.program(name) {
            Ok(path) => path,
            Err(answer) => return *answer,
        };
        let seen = match self.arrive(&path) {
            Ok(seen) => seen,
            Err(answer) => return *answer,
        };
        let path = seen.name(&path);
        if let Some(answer) = self.absent(&path, &seen, "--read", "read") {
            return answer;
        }
        if seen.path.starts_with(refused::BIN) {
            return self.refused(name, seen.path.file_name());
        }
        if is_dir(&seen.node) {
            return no(&*seen.path, "it is a directory", None, None);
        }
        if let Node::Host(hosts) = &seen.node
            && !self.permits(hosts, &seen.source, Want::Search)
        {
            return no(
                &*seen.path,
                "it is not executable: chmod +x outside of the box",
                None,
                None,
            );
        }
        // A state file is a copy that nobody executes.
        let state = (self.plan.state.iter()).any(|state| state.target.path() == seen.path);
        let own = state || matches!(seen.node, Node::OwnFile(Execute::No) | Node::Kernel(_));
        if own || (self.side == Side::Inside && !self.look.executable(&seen.path)) {
            return no(&*seen.path, "it is not executable", None, None);
        }
        if !self.landlock(&seen.path, LandlockAccess::Read) {
            let remedy = self.file_remedy(&path, "--read", "read");
            return no(
                &*seen.path,
                "no Landlock rule grants it",
                None,
                Some(remedy),
            );
        }
        self.granted(&path, &seen, &[])
    }

    /// A name is looked up in the PATH of the box; a path is itself.
    fn program(&self, name: &OsText) -> Result<PathBuf, Box<Answer>> {
        if name.bytes().contains(&b'/') {
            return Ok(name.path().to_owned());
        }
        let set = self.plan.env.set.iter().find(|s| s.name.bytes() == b"PATH");
        let path = set.map_or(&b""[..], |set| set.value.bytes());
        for dir in path.split(|b| *b == b':').filter(|dir| !dir.is_empty()) {
            let dir = Path::new(OsStr::from_bytes(dir));
            if dir == Path::new(refused::BIN) {
                // The stubs are there by the plan; outside they may not have been made yet.
                if self
                    .plan
                    .refused
                    .stub_names()
                    .any(|stub| stub.as_bytes() == name.bytes())
                {
                    return Err(Box::new(self.refused(name, Some(name.os()))));
                }
                if name.bytes() == b"agentbox" {
                    return Ok(PathBuf::from(refused::PROGRAM));
                }
                continue;
            }
            let at = dir.join(name.os());
            let found = self.see(&at).filter(|seen| {
                !matches!(seen.node, Node::Missing) && !is_dir(&seen.node) && seen.shut.is_none()
            });
            if found.is_some() {
                return Ok(at);
            }
        }
        if let Some(outside) = self.left_out(name) {
            return Ok(outside);
        }
        Err(Box::new(
            no(
                name.clone(),
                "no directory of the box's PATH has it",
                None,
                None,
            )
            .which(Verdict::Absent),
        ))
    }

    fn refused(&self, asked: &OsText, name: Option<&OsStr>) -> Answer {
        let name = name.unwrap_or(asked.os());
        let rule = self.plan.refused.rule(name.as_bytes());
        let rule_name = rule.map_or("", |rule| rule.name.as_str());
        let name = OsText::from(name);
        no(
            asked.clone(),
            format!("[commands] deny has \"{rule_name}\""),
            rule.map(|rule| &rule.origin),
            Some(allow_command(&name)),
        )
    }

    /// Walks there, unless a loop of links or a directory that may not be searched is on the way.
    fn arrive(&self, path: &Path) -> Result<Seen<'p>, Box<Answer>> {
        let Some(seen) = self.see(path) else {
            return Err(Box::new(no(path, "it is a loop of symlinks", None, None)));
        };
        match &seen.shut {
            Some(dir) => Err(Box::new(no(
                &*seen.path,
                format!(
                    "{} may not be entered: its own permissions",
                    OsText::from(dir.as_path())
                ),
                None,
                None,
            ))),
            None => Ok(seen),
        }
    }

    /// Nothing is there, or something that is as good as nothing.
    fn absent(&self, typed: &Path, seen: &Seen<'_>, flag: &str, list: &str) -> Option<Answer> {
        // What is closed since the start is in the plan: git tracks it, so that reading it as empty would be a change.
        if !matches!(seen.node, Node::Mask(_)) && self.is_shut(&seen.path) {
            return Some(self.appeared(seen));
        }
        match &seen.node {
            Node::Missing if self.is_hidden(typed, seen) && !is_file(&seen.dir_node) => {
                Some(self.hidden(typed, seen))
            }
            Node::Missing => {
                let shown = matches!(
                    seen.dir_node,
                    Node::Host(_) | Node::Temporary(_) | Node::Kernel(_)
                );
                let hosts = self.side == Side::Inside || self.look.stat(typed).is_some();
                let answer = if hosts && !(shown && self.same_source(seen)) {
                    let because = "it is not in the box: nothing grants it";
                    let remedy = self.file_remedy(typed, flag, list);
                    no(&*seen.path, because, None, Some(remedy))
                } else {
                    no(&*seen.path, "it does not exist", None, None)
                };
                Some(answer.which(Verdict::Absent))
            }
            Node::Mask(_) => Some(self.hidden(typed, seen)),
            Node::Refused(place) => Some(self.stubbed(&seen.path, *place)),
            _ => None,
        }
    }

    /// The stub is there: by the plan, or since the box runs.
    fn stubbed(&self, path: &Path, place: Option<&RefusedPlace>) -> Answer {
        let name = OsText::from(path.file_name().unwrap_or_default());
        let by_name = self.plan.refused.rule(name.bytes());
        let rule = match place {
            Some(place) => self
                .plan
                .refused
                .rules
                .iter()
                .find(|r| r.name == place.rule),
            None => by_name,
        };
        let Some(rule) = rule else {
            let because = "a stub is in its place: it is another name of a program that [commands] deny refuses";
            return no(path, because, None, None);
        };
        let name = if by_name.is_some() {
            name
        } else {
            OsText::from(rule.name.as_str())
        };
        no(
            path,
            format!(
                "a stub is in its place: [commands] deny has \"{}\"",
                rule.name
            ),
            Some(&rule.origin),
            Some(allow_command(&name)),
        )
    }

    /// A grant that is hidden as a whole is not there at all.
    fn is_hidden(&self, typed: &Path, seen: &Seen<'_>) -> bool {
        let exact = |grant: &Grant| {
            let at = grant.path.path();
            grant.kind == GrantKind::Hidden && (typed.starts_with(at) || seen.path.starts_with(at))
        };
        self.plan.grants.iter().any(exact)
    }

    /// The directory is the host's own of the same path: what is missing in it is missing outside as well. HOME and /tmp are the box's
    /// own, under the same path.
    fn same_source(&self, seen: &Seen<'_>) -> bool {
        let own = matches!(seen.dir_node, Node::Temporary(_));
        seen.dir_source == seen.dir && !own
    }

    fn hidden(&self, typed: &Path, seen: &Seen<'_>) -> Answer {
        let grant = self.grant(typed, &seen.path, &[GrantKind::Hidden]);
        no(
            &*seen.path,
            "it is hidden: nothing of it can be read, and a write fails",
            grant.map(|grant| &grant.origin),
            Some(self.file_remedy(typed, "--read", "read")),
        )
        .which(Verdict::Hidden)
    }

    fn file_remedy(&self, typed: &Path, flag: &str, list: &str) -> Remedy {
        remedy(flag, "files", list, &OsText::from(typed))
    }

    /// The narrowest grant of these kinds (any, if there are none) that holds the path under one of its names.
    fn grant(&self, typed: &Path, real: &Path, kinds: &[GrantKind]) -> Option<&'p Grant> {
        let holds = |grant: &&Grant| {
            let at = grant.path.path();
            (typed.starts_with(at) || real.starts_with(at))
                && (kinds.is_empty() || kinds.contains(&grant.kind))
        };
        let grants = self.plan.grants.iter().filter(holds);
        grants.max_by_key(|grant| grant.path.path().components().count())
    }

    /// The grant of a configuration of git's that is shown without what logs in.
    fn without_credentials(&self, typed: &Path, real: &Path) -> Option<&'p Grant> {
        self.grant(typed, real, &[GrantKind::Hidden])
            .filter(|grant| grant.is_without_credentials())
    }

    fn granted(&self, typed: &Path, seen: &Seen<'_>, kinds: &[GrantKind]) -> Answer {
        match (&seen.node, self.grant(typed, &seen.path, kinds)) {
            (Node::Temporary(_), None) => yes(
                &*seen.path,
                "it is the session's own and vanishes with it",
                None,
            ),
            (_, Some(grant)) if grant.is_without_credentials() => {
                yes(&*seen.path, COPY, Some(&grant.origin))
            }
            (_, Some(grant)) => {
                let because = format!("[files] {} has {}", grant.kind.key(), grant.path);
                yes(&*seen.path, because, Some(&grant.origin))
            }
            (_, None) => yes(&*seen.path, "the box has it of its own", None),
        }
    }
}

fn allow_command(name: &OsText) -> Remedy {
    remedy("--allow-command", "commands", "allow", name)
}

impl Question {
    /// The word of the command line for it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Question::Read(_) => "read",
            Question::Write(_) => "write",
            Question::Exec(_) => "exec",
            Question::Connect(_) => "connect",
            Question::Env(_) => "env",
        }
    }
}
