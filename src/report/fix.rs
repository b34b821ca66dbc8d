//! What `agentbox check --fix` prints: the commands against what was found, as a shell script that nobody has run. Each is the
//! remedy of one [`Cause`]; what no command can change is a comment.

#![forbid(unsafe_code)]

use crate::host::{Cause, Cgroups, Need};
use std::fmt::Write as _;
use std::path::Path;

/// The AppArmor profile that is shipped, for `/usr/bin` and `/usr/local/bin`.
pub const APPARMOR: &str = include_str!("../../scripts/apparmor/agentbox");
/// Where it says so.
const ATTACHED: &str = "/usr/{,local/}bin/agentbox";

/// Who asks.
pub struct Asker<'a> {
    /// Root needs no sudo.
    pub root: bool,
    /// The program that runs.
    pub program: &'a Path,
}

/// The script. `refusal` is why a default run is refused, if it is.
#[must_use]
pub fn script(causes: &[Cause], refusal: Option<&str>, asker: &Asker<'_>) -> String {
    let mut out = String::new();
    let container = causes.contains(&Cause::Container);
    if let Some(why) = refusal {
        // In a comment, on one line: the text of a failure may have more.
        let _ = writeln!(
            out,
            "# a default run is refused here: {}",
            why.replace('\n', "; ")
        );
    }
    let needs_nothing = causes.iter().all(|cause| cause.need() == Need::Wished);
    if refusal.is_none() && needs_nothing {
        out.push_str("# a default run holds here: nothing is needed\n");
    }
    for cause in causes {
        let word = match cause.need() {
            Need::Needed => "needed",
            Need::Wished => "not needed, but better",
        };
        let _ = writeln!(out, "\n# {} ({word})", cause.what());
        if container && is_of_the_kernel(cause) {
            out.push_str("# on the host, not in this container:\n");
        }
        out.push_str(&remedy(cause, asker));
    }
    if refusal.is_some() && needs_nothing {
        out.push_str(
            "\n# none of the causes that agentbox knows is the case here; `agentbox check` says what was tried\n",
        );
    }
    out
}

fn is_of_the_kernel(cause: &Cause) -> bool {
    !matches!(
        cause,
        Cause::NoProc | Cause::NoDevNull | Cause::HiddenProc | Cause::Container
    )
}

fn remedy(cause: &Cause, asker: &Asker<'_>) -> String {
    let sudo = if asker.root { "" } else { "sudo " };
    match cause {
        Cause::NoProc => format!("{sudo}mount -t proc proc /proc   # in a chroot: bind it from outside\n"),
        Cause::NoDevNull => {
            format!("{sudo}rm -f /dev/null; {sudo}mknod -m 666 /dev/null c 1 3   # or bind /dev from outside\n")
        }
        Cause::HiddenProc => format!(
            "{sudo}mount -o remount,hidepid=off /proc   # until a boot; or be in the group that its gid= names\n"
        ),
        Cause::MaxUserNamespaces => sysctl("user.max_user_namespaces", 10_000, sudo),
        Cause::UnprivilegedClone => sysctl("kernel.unprivileged_userns_clone", 1, sudo),
        Cause::AppArmor => apparmor(asker.program, sudo),
        Cause::NoUserNamespaces => "# boot a kernel that has them: those of the distributions do\n".to_owned(),
        Cause::Container => "# docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined gives a box its namespaces;\n\
             # else accept what is left: `agentbox check --rungs`\n"
            .to_owned(),
        Cause::LandlockOff(modules) => landlock(modules.as_deref(), sudo),
        Cause::NoLandlock => {
            "# Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and no filter around this process that refuses its calls\n".to_owned()
        }
        // Twice as many, and no less than an editor and some sessions use.
        Cause::InotifyInstances(limit) => sysctl(limit.sysctl, (limit.value * 2).max(1024), sudo),
        Cause::InotifyWatches(limit) => sysctl(limit.sysctl, (limit.value * 2).max(524_288), sudo),
        Cause::NoCgroup(cgroups) => delegate(*cgroups, sudo),
    }
}

/// At once, and after a boot.
fn sysctl(name: &str, value: u64, sudo: &str) -> String {
    let file = format!("/etc/sysctl.d/60-agentbox-{}.conf", name.replace('.', "-"));
    format!("{sudo}sysctl -w {name}={value}\necho '{name} = {value}' | {sudo}tee {file}\n")
}

fn apparmor(program: &Path, sudo: &str) -> String {
    let shipped = ["/usr/bin/agentbox", "/usr/local/bin/agentbox"].map(Path::new);
    let profile = match program.to_str() {
        _ if shipped.contains(&program) => APPARMOR.to_owned(),
        // As a quoted string of apparmor.d(5), in which its wildcards would still count.
        Some(path) if !path.contains(['"', '\\', '*', '?', '[', ']', '{', '}', '@', '\n']) => {
            APPARMOR.replace(ATTACHED, &format!("\"{path}\""))
        }
        _ => {
            return "# move the program to /usr/local/bin: no profile can name its path\n"
                .to_owned();
        }
    };
    format!(
        "{sudo}tee /etc/apparmor.d/agentbox >/dev/null <<'PROFILE'\n{profile}PROFILE\n{sudo}apparmor_parser -r \
         /etc/apparmor.d/agentbox\n"
    )
}

/// `lsm=` replaces the whole list: what is on stays on.
fn landlock(modules: Option<&str>, sudo: &str) -> String {
    let Some(modules) = modules.filter(|modules| is_list(modules)) else {
        return format!(
            "{sudo}mount -t securityfs securityfs /sys/kernel/security   # it says which security modules are on; then ask again\n"
        );
    };
    let list = format!("lsm=landlock,{modules}");
    format!(
        "# a parameter of the kernel, so it counts after the next boot. Debian, Ubuntu:\n\
         echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {list}\"' | {sudo}tee /etc/default/grub.d/60-agentbox.cfg\n\
         {sudo}update-grub\n\
         # Fedora and its kin, instead: {sudo}grubby --update-kernel=ALL --args={list}\n"
    )
}

fn is_list(modules: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-,".contains(c);
    !modules.is_empty() && modules.chars().all(word)
}

fn delegate(cgroups: Cgroups, sudo: &str) -> String {
    match cgroups {
        Cgroups::Systemd => format!(
            "{sudo}mkdir -p /etc/systemd/system/user@.service.d\n\
             printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | {sudo}tee /etc/systemd/system/user@.service.d/agentbox.conf\n\
             {sudo}systemctl daemon-reload   # then log out and in again, and start agentbox below `systemd-run --user --scope`\n"
        ),
        Cgroups::Unified => {
            "# no systemd here: who starts this session has to move it into a cgroup of its own that belongs to this user\n\
             # (cgroups(7), \"Cgroups delegation\")\n"
                .to_owned()
        }
        Cgroups::Old => {
            "# cgroups of version 1 are not given to users: boot with systemd.unified_cgroup_hierarchy=1 where systemd runs\n"
                .to_owned()
        }
        Cgroups::Missing => "# no cgroups are mounted here\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::host::Limit;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn all() -> Vec<Cause> {
        let limit = |sysctl, value| Limit { sysctl, value };
        let mut all = vec![
            Cause::NoProc,
            Cause::NoDevNull,
            Cause::HiddenProc,
            Cause::MaxUserNamespaces,
            Cause::UnprivilegedClone,
            Cause::AppArmor,
            Cause::NoUserNamespaces,
            Cause::Container,
            Cause::LandlockOff(Some("lockdown,capability,yama,apparmor".to_owned())),
            Cause::LandlockOff(None),
            Cause::LandlockOff(Some("'; rm -rf /".to_owned())),
            Cause::NoLandlock,
            Cause::InotifyInstances(limit("fs.inotify.max_user_instances", 128)),
            Cause::InotifyWatches(limit("fs.inotify.max_user_watches", 1_000_000)),
        ];
        let cgroups = [
            Cgroups::Systemd,
            Cgroups::Unified,
            Cgroups::Old,
            Cgroups::Missing,
        ];
        all.extend(cgroups.map(Cause::NoCgroup));
        all
    }

    fn said(causes: &[Cause], root: bool, program: &str) -> String {
        let program = Path::new(program);
        script(causes, Some("a\nreason"), &Asker { root, program })
    }

    /// A shell can read all of it, and everything that changes something is called with sudo, or by root.
    #[test]
    fn it_is_a_script() {
        for root in [true, false] {
            for program in ["/usr/bin/agentbox", "/home/a b's/bin/agentbox", "/x/\"y"] {
                let text = said(&all(), root, program);
                let mut shell = Command::new("/bin/sh")
                    .arg("-n")
                    .stdin(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut pipe = shell.stdin.take().unwrap();
                pipe.write_all(text.as_bytes()).unwrap();
                drop(pipe);
                assert!(shell.wait().unwrap().success(), "{text}");
                assert_eq!(text.contains("sudo "), !root, "{text}");
                assert!(!text.contains("rm -rf"), "{text}");
            }
        }
    }

    #[test]
    fn a_remedy_is_of_what_was_found() {
        let limit = Limit {
            sysctl: "fs.inotify.max_user_instances",
            value: 4000,
        };
        for (cause, words) in [
            (
                Cause::MaxUserNamespaces,
                "sudo sysctl -w user.max_user_namespaces=10000",
            ),
            (
                Cause::UnprivilegedClone,
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                Cause::InotifyInstances(limit),
                "sudo sysctl -w fs.inotify.max_user_instances=8000",
            ),
            (
                Cause::LandlockOff(Some("capability,yama".to_owned())),
                "lsm=landlock,capability,yama",
            ),
            (Cause::LandlockOff(None), "mount -t securityfs"),
            (Cause::NoCgroup(Cgroups::Systemd), "Delegate=cpu"),
            (
                Cause::NoCgroup(Cgroups::Old),
                "systemd.unified_cgroup_hierarchy=1",
            ),
        ] {
            let text = said(std::slice::from_ref(&cause), false, "/usr/bin/agentbox");
            assert!(text.contains(words), "{cause:?}: {text}");
        }
        assert!(script(&[], None, &asker()).contains("nothing is needed"));
        assert!(script(&[], Some("x"), &asker()).contains("none of the causes"));
        let inside = said(
            &[Cause::Container, Cause::MaxUserNamespaces],
            true,
            "/usr/bin/agentbox",
        );
        assert!(inside.contains("on the host, not in this container"));
    }

    fn asker() -> Asker<'static> {
        Asker {
            root: false,
            program: Path::new("/usr/bin/agentbox"),
        }
    }

    /// The profile is the one that is shipped, for the program that asks.
    #[test]
    fn the_apparmor_profile_is_of_this_program() {
        assert_eq!(APPARMOR.matches(ATTACHED).count(), 1);
        let at = |program| said(&[Cause::AppArmor], false, program);
        assert!(at("/usr/local/bin/agentbox").contains(APPARMOR));
        let home = at("/home/me/.local/bin/agentbox");
        assert!(
            home.contains("profile agentbox \"/home/me/.local/bin/agentbox\" flags=(unconfined) {"),
            "{home}"
        );
        assert!(!home.contains(ATTACHED), "{home}");
        assert!(!at("/home/{a,b}/agentbox").contains("apparmor_parser"));
    }
}
