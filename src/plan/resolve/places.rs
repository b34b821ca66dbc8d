//! Places with a meaning: what can be no workspace, what is never granted as a whole, what holds secrets of the system.

#![forbid(unsafe_code)]

use super::expand::{parent, same, within};
use std::path::Path;

/// Is this, or does it lie in, a file system that the kernel makes up?
pub(super) fn kernel_place(real: &Path) -> bool {
    ["/proc", "/sys", "/dev"]
        .iter()
        .any(|dir| within(real, Path::new(dir)))
}

/// Directories that are no workspace, and neither is anything below them: they are the system's.
const SYSTEM_TREES: [&str; 14] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/lost+found",
];

/// Directories that are no workspace themselves; what is below them may be one.
const SYSTEM_DIRS: [&str; 10] = [
    "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/tmp", "/usr/src",
];

/// Below /var only these hold working copies; the rest is the system's state.
const VAR_OK: [&str; 4] = ["/var/tmp", "/var/www", "/var/lib", "/var/home"];

/// Places of /var/lib whose whole content is the system's.
const VAR_LIB_SYSTEM: [&str; 8] = [
    "/var/lib/apt",
    "/var/lib/cloud",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/dpkg",
    "/var/lib/kubelet",
    "/var/lib/rpm",
    "/var/lib/systemd",
];

/// Why a canonical directory is no workspace, if it is the system's.
pub(super) fn system_workspace(real: &Path) -> Option<&'static str> {
    if same(real, Path::new("/")) {
        return Some("the whole system");
    }
    if SYSTEM_DIRS.iter().any(|dir| same(real, Path::new(dir))) {
        return Some("a directory that the whole system shares");
    }
    // Sources are unpacked and built there.
    if within(real, Path::new("/usr/src")) || within(real, Path::new("/usr/local/src")) {
        return None;
    }
    if SYSTEM_TREES.iter().any(|dir| within(real, Path::new(dir))) {
        return Some("a system directory");
    }
    if within(real, Path::new("/var"))
        && (!VAR_OK.iter().any(|dir| within(real, Path::new(dir)))
            || same(real, Path::new("/var/lib"))
            || VAR_LIB_SYSTEM
                .iter()
                .any(|dir| within(real, Path::new(dir))))
    {
        return Some("a directory of the system's state");
    }
    None
}

/// Directories that are never granted as a whole: the box has its own there, or they mix what is harmless with secrets.
pub(super) const NEVER_WHOLE: [&str; 8] =
    ["/", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var"];

/// Secrets and control files of the system. Only `--read` of exactly this path shows one; in a wider grant it is masked.
/// Directories stand for everything in them.
pub(super) const SECRETS: [&str; 30] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/doas.conf",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/krb5.keytab",
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/NetworkManager",
    "/etc/wireguard",
    "/etc/cloud",
    "/etc/ppp",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/lib/NetworkManager",
    "/var/lib/cloud",
    "/var/lib/sss",
    "/run/secrets",
    "/run/cloud-init",
    "/run/NetworkManager",
    "/run/credentials",
];

/// The secret of [`SECRETS`] that this is or lies in.
pub(super) fn secret(real: &Path) -> Option<&'static str> {
    // Nearly every path is in none of these.
    if !["/etc", "/var", "/run"]
        .iter()
        .any(|dir| within(real, Path::new(dir)))
    {
        return None;
    }
    if is_host_key(real) {
        return Some("a private host key of sshd");
    }
    SECRETS
        .into_iter()
        .find(|secret| within(real, Path::new(secret)))
}

/// `/etc/ssh/ssh_host_*_key`, without the public halves.
pub(super) fn is_host_key(path: &Path) -> bool {
    parent(path).is_some_and(|dir| same(dir, Path::new("/etc/ssh")))
        && path.file_name().is_some_and(|name| {
            let name = name.as_encoded_bytes();
            name.starts_with(b"ssh_host_") && name.ends_with(b"_key")
        })
}
