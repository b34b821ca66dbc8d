//! What can be seen from outside: the supervisor reads /proc/PID/status of init and compares with the plan.

#![forbid(unsafe_code)]

use crate::outcome::{Evidence, Layer, Status};
use crate::plan::rung::Rung;
use crate::plan::{NetworkMode, Plan};
use crate::sys::procfs;
use ::caps::Capability;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::Pid;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

/// Every layer that the plan requires must be in the evidence and hold in full.
///
/// # Errors
/// The first layer that does not hold, with the reason and the way out.
pub fn required(plan: &Plan, evidence: &[Evidence]) -> Result<(), String> {
    for layer in &plan.require {
        let name = layer.name();
        let way_out =
            format!("`agentbox check` says more; `--allow-missing {name}` goes without it");
        match evidence
            .iter()
            .find(|e| e.layer == *layer)
            .map(|e| &e.status)
        {
            Some(Status::Full) => {}
            Some(Status::Partial { why }) => {
                return Err(format!("layer {name} holds only in part: {why}; {way_out}"));
            }
            Some(Status::Absent { why }) => {
                return Err(format!("layer {name} does not hold: {why}; {way_out}"));
            }
            None => return Err(format!("layer {name} left no evidence; {way_out}")),
        }
    }
    Ok(())
}

/// Compares what the kernel says of init with what must be. `handed` is init's own status as init has opened it, for a /proc that
/// hides init from the caller (`hidepid`, proc(5)): it counts if the kernel says that it is of procfs and of that process.
///
/// # Errors
/// What differs, in words.
pub fn from_outside(plan: &Plan, init: Pid, handed: Option<&File>) -> Result<(), String> {
    let is_bare = plan.standing.rung == Rung::Landlock;
    let status = |pid: Pid| {
        let path = format!("/proc/{pid}/status");
        let text = match (File::open(&path), handed) {
            (Ok(file), _) => read_small(&file),
            (Err(e), None) => Err(e),
            (Err(e), Some(handed)) => of_process(handed, pid).ok_or(e),
        };
        let text = text.map_err(|e| format!("{path}: {e}"))?;
        Ok::<_, String>((path, text))
    };
    // What was started is its warden: init is its child, beside the connector.
    let (path, status) = match is_bare {
        true => procfs::below(init.as_raw())
            .into_iter()
            .filter_map(|p| status(Pid::from_raw(p.pid)).ok())
            .find(|(_, text)| field(text, "Name") == Some("agentbox-init"))
            .ok_or_else(|| "init of the box cannot be found".to_owned())?,
        false => status(init)?,
    };
    let on = |layer| plan.off.iter().all(|off| off.layer != layer);
    let (uid, gid) = (plan.identity.outer_uid, plan.identity.outer_gid);
    let ids = |id: u32| format!("{id}\t{id}\t{id}\t{id}");
    let mut must = vec![
        ("Uid", ids(uid)),
        ("Gid", ids(gid)),
        ("NoNewPrivs", "1".to_owned()),
    ];
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        // Who has no CAP_SETPCAP cannot empty it; no_new_privs makes nothing of it.
        if is_bare && set == "CapBnd" && !super::caps::may(Capability::CAP_SETPCAP) {
            continue;
        }
        must.push((set, "0".repeat(16)));
    }
    if on(Layer::Seccomp) {
        must.push(("Seccomp", "2".to_owned()));
    }
    for (key, value) in must {
        let found = field(&status, key);
        if found != Some(value.as_str()) {
            let found = found.unwrap_or("nothing");
            return Err(format!(
                "{path} says {key}: {found}, and it must be {value}"
            ));
        }
    }
    if is_bare {
        return Ok(());
    }
    // In its own pid namespace it is PID 1, one level down.
    match field(&status, "NSpid").map(|pids| pids.split('\t').next_back()) {
        Some(Some("1")) => Ok(()),
        _ => Err(format!(
            "{path}: init is not PID 1 of a pid namespace of its own"
        )),
    }
}

/// The namespaces that init handed out are not the supervisor's own.
///
/// # Errors
/// The first one that is, or that cannot be looked at.
pub fn namespaces(plan: &Plan, fds: &[OwnedFd], names: &[&str]) -> Result<(), String> {
    if fds.len() != names.len() {
        return Err(format!(
            "init handed out {} namespaces instead of {}",
            fds.len(),
            names.len()
        ));
    }
    for (fd, name) in fds.iter().zip(names) {
        let path = format!("/proc/self/ns/{name}");
        let theirs =
            nix::sys::stat::fstat(fd).map_err(|e| format!("fstat {name} namespace: {e}"))?;
        let ours = nix::sys::stat::stat(path.as_str()).map_err(|e| format!("stat {path}: {e}"))?;
        let same = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino);
        let shared = *name == "net" && plan.network.mode == NetworkMode::Host;
        if theirs.st_dev != ours.st_dev || same != shared {
            return Err(format!(
                "the {name} namespace of the box is not what the plan says"
            ));
        }
    }
    Ok(())
}

/// What an open status says, if it is that of this process.
fn of_process(handed: &File, pid: Pid) -> Option<String> {
    let is_proc = fstatfs(handed).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
    let text = read_small(handed).ok().filter(|_| is_proc)?;
    (field(&text, "Pid") == Some(pid.to_string().as_str())).then_some(text)
}

/// A file of /proc in one read: the kernel writes it anew for the size of each buffer that is too small.
fn read_small(file: &File) -> std::io::Result<String> {
    let mut text = vec![0; 4096];
    let length = file.read_at(&mut text, 0)?;
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Name:\tx\nNSpid:\t77\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(field(status, "Seccomp"), Some("2"));
        assert_eq!(field(status, "NSpid"), Some("77\t1"));
        assert_eq!(field(status, "Cap"), None);
    }
}
