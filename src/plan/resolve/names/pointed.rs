//! What variables of the caller's name in the box's reach: credentials under a name that no rule knows
//! (`KUBECONFIG=ops/cluster.yaml`) are hidden, and what a shell, git or an interpreter runs outside because a variable says so
//! (`PYTHONPATH=src` runs `src/sitecustomize.py`) is frozen. Variables that are set when the box starts.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::rules::anchor;
use super::written;
use crate::host::FileType;
use crate::plan::Access;
use crate::plan::names::{NameKind, NameRule};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Files, directories or lists of them that hold passwords, keys or tokens.
const SECRETS: &[&str] = &[
    // Clouds.
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_CONFIG_DIR",
    "BOTO_CONFIG",
    "CLOUDSDK_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "OCI_CLI_CONFIG_FILE",
    "OS_CLIENT_CONFIG_FILE",
    "TF_CLI_CONFIG_FILE",
    // Clusters and what stores secrets for them.
    "ANSIBLE_VAULT_PASSWORD_FILE",
    "CONSUL_HTTP_TOKEN_FILE",
    "KUBECONFIG",
    "SOPS_AGE_KEY_FILE",
    "TALOSCONFIG",
    "VAULT_CLIENT_KEY",
    "VAULT_CONFIG_PATH",
    // Registries and forges.
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "GH_CONFIG_DIR",
    "REGISTRY_AUTH_FILE",
    // Others.
    "GNUPGHOME",
    "KRB5_KTNAME",
    "MYSQL_TEST_LOGIN_FILE",
    "NETRC",
    "PASSWORD_STORE_DIR",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "RCLONE_CONFIG",
    "RESTIC_PASSWORD_FILE",
];

/// What a variable says is run.
enum Runs {
    /// The files of a list, separated by colons or blanks.
    Files,
    /// A command of a shell: the program, and what its arguments name (`sh edit.sh`, `ssh -F config`).
    Command,
    /// Files with these names in the directories of a list.
    Named(&'static [&'static str]),
}

/// By which variable.
const RUNNING: &[(&str, Runs)] = &[
    ("BASH_ENV", Runs::Files), // bash(1): each script
    ("ENV", Runs::Files),      // sh(1): each shell
    ("INPUTRC", Runs::Files),  // readline(3): macros are keys that are typed
    ("LD_AUDIT", Runs::Files), // ld.so(8)
    ("LD_PRELOAD", Runs::Files),
    ("PSQLRC", Runs::Files), // psql(1): `\!`
    ("PYTHONSTARTUP", Runs::Files),
    ("RIPGREP_CONFIG_PATH", Runs::Files), // `--pre`
    ("STARSHIP_CONFIG", Runs::Files),     // commands at each prompt
    ("WGETRC", Runs::Files),              // `use_askpass`
    ("CURL_HOME", Runs::Named(&[".curlrc"])),
    (
        "ZDOTDIR",
        Runs::Named(&[".zshenv", ".zprofile", ".zshrc", ".zlogin", ".zlogout"]),
    ),
    // git(1).
    ("GIT_CONFIG_GLOBAL", Runs::Files),
    ("GIT_CONFIG_SYSTEM", Runs::Files),
    ("GIT_EXEC_PATH", Runs::Files),
    ("GIT_TEMPLATE_DIR", Runs::Files),
    ("GIT_ASKPASS", Runs::Command),
    ("GIT_EDITOR", Runs::Command),
    ("GIT_EXTERNAL_DIFF", Runs::Command),
    ("GIT_PAGER", Runs::Command),
    ("GIT_PROXY_COMMAND", Runs::Command),
    ("GIT_SEQUENCE_EDITOR", Runs::Command),
    ("GIT_SSH", Runs::Command),
    ("GIT_SSH_COMMAND", Runs::Command),
    ("BROWSER", Runs::Command),
    ("EDITOR", Runs::Command),
    ("MANPAGER", Runs::Command),
    ("PAGER", Runs::Command),
    ("SSH_ASKPASS", Runs::Command),
    ("SUDO_ASKPASS", Runs::Command),
    ("VISUAL", Runs::Command),
    ("LESSCLOSE", Runs::Command), // less(1)
    ("LESSOPEN", Runs::Command),
    ("NODE_OPTIONS", Runs::Command), // `--require`
    ("PROMPT_COMMAND", Runs::Command),
    // What is loaded into every program. Of a project's own libraries none has such a name.
    (
        "LD_LIBRARY_PATH",
        Runs::Named(&[
            "glibc-hwcaps",
            "libc.so.6",
            "libm.so.6",
            "libdl.so.2",
            "libpthread.so.0",
            "librt.so.1",
            "libresolv.so.2",
            "libselinux.so.1",
            "libtinfo.so.6",
            "libacl.so.1",
            "libattr.so.1",
            "libcap.so.2",
            "libpcre2-8.so.0",
            "libcrypt.so.1",
        ]),
    ),
    // What each interpreter imports as it starts.
    (
        "PYTHONPATH",
        Runs::Named(&[
            "sitecustomize.py",
            "usercustomize.py",
            "sitecustomize",
            "usercustomize",
            "site.py",
            "os.py",
            "io.py",
            "abc.py",
            "stat.py",
            "codecs.py",
            "posixpath.py",
            "genericpath.py",
            "_collections_abc.py",
            "_sitebuiltins.py",
            "encodings",
        ]),
    ),
    (
        "PERL5LIB",
        Runs::Named(&[
            "strict.pm",
            "warnings.pm",
            "Exporter.pm",
            "Carp.pm",
            "Config.pm",
            "vars.pm",
            "utf8.pm",
            "constant.pm",
            "overload.pm",
            "sitecustomize.pl",
        ]),
    ),
];

/// Rules about what is set.
pub(super) fn rules(scene: &Scene<'_>) -> Vec<NameRule> {
    let mut out: Vec<NameRule> = Vec::new();
    let mut seen: BTreeSet<(NameKind, PathBuf)> = BTreeSet::new();
    let mut add = |kind: NameKind, path: &Path, var: &str| {
        // As it is written and where it leads: a link on the way can become another one.
        for path in written::names(scene, path) {
            if counts(scene, kind, &path) && seen.insert((kind, path.clone())) {
                let (root, way) = anchor(scene, &path);
                let way = Path::new(OsStr::from_bytes(&way));
                out.push(NameRule::about(
                    kind,
                    &root,
                    way,
                    &format!("{var} names it"),
                ));
            }
        }
    };
    for var in SECRETS {
        for path in list(scene, var, b":") {
            add(NameKind::Hide, &path, var);
        }
    }
    for (var, runs) in RUNNING {
        match runs {
            Runs::Files => {
                // What has no slash is no path in most of them (`ENV=test`).
                if value(scene, var).contains(&b'/') {
                    for path in list(scene, var, b": ") {
                        add(NameKind::Freeze, &path, var);
                    }
                }
            }
            Runs::Command => {
                for path in words(scene, var) {
                    add(NameKind::Freeze, &path, var);
                }
            }
            Runs::Named(names) => {
                for dir in list(scene, var, b":") {
                    for name in *names {
                        add(NameKind::Freeze, &dir.join(name), var);
                    }
                }
            }
        }
    }
    out
}

fn value<'s>(scene: &'s Scene<'_>, var: &str) -> &'s [u8] {
    scene.host.var(var).map_or(&[], |value| value.as_bytes())
}

/// The paths in a variable, absolute; the whole of it is one as well, since a name may hold what separates others.
fn list(scene: &Scene<'_>, var: &str, separators: &[u8]) -> Vec<PathBuf> {
    let value = value(scene, var);
    let pieces = value.split(|byte| separators.contains(byte));
    let mut paths: Vec<PathBuf> = pieces
        .chain([value])
        .filter(|text| !text.is_empty())
        .map(|text| absolute(scene, text))
        .collect();
    paths.dedup();
    paths
}

/// The paths in a command: its words that have a slash (what has none is looked up on PATH), also behind `=` and what stands before a
/// path (`|`, `-F`). The whole of it is one as well: not every program gives it to a shell.
fn words(scene: &Scene<'_>, var: &str) -> Vec<PathBuf> {
    let value = value(scene, var);
    let words = split(value).into_iter().chain([value.to_vec()]);
    let mut paths = Vec::new();
    for word in words.filter(|word| word.contains(&b'/')) {
        let after = word.iter().rposition(|byte| *byte == b'=');
        let root = word.iter().position(|byte| *byte == b'/');
        let from = [Some(0), after.map(|at| at + 1), root];
        paths.extend(from.into_iter().flatten().filter_map(|from| {
            let text = word.get(from..).filter(|text| !text.is_empty())?;
            Some(absolute(scene, text))
        }));
    }
    paths
}

/// The words of a command, without the quotes.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    let mut quote: Option<u8> = None;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let byte = match (*byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(*byte);
                continue;
            }
            (end, Some(begin)) if end == begin => {
                quote = None;
                continue;
            }
            (b' ' | b'\t' | b'\n' | b';' | b'|' | b'&', None) => {
                words.push(Vec::new());
                continue;
            }
            (b'\\', None | Some(b'"')) => *bytes.next().unwrap_or(byte),
            (byte, _) => byte,
        };
        if let Some(last) = words.last_mut() {
            last.push(byte);
        }
    }
    words
}

/// As a shell would see it, of HOME only.
fn absolute(scene: &Scene<'_>, text: &[u8]) -> PathBuf {
    let path = match written::below_home(text) {
        Some(rest) => scene.home.path.join(OsStr::from_bytes(rest)),
        None => scene.host.cwd.join(OsStr::from_bytes(text)),
    };
    super::super::workspace::tidy(&path)
}

/// Is it a name in what the box sees (hidden) or may write (frozen), and no place to work in, one above, or a device?
fn counts(scene: &Scene<'_>, kind: NameKind, path: &Path) -> bool {
    let reach = match (kind, scene.tree.access(path)) {
        (NameKind::Hide, access) => access.is_some(),
        (_, access) => access == Some(Access::Write),
    };
    let above = |place: &Path| within(place, path);
    let stat = scene.walk.stat(path);
    let is_name = path.components().all(|part| part != Component::ParentDir);
    reach
        && is_name
        && stat.is_none_or(|stat| matches!(stat.file_type, FileType::File | FileType::Dir))
        && !above(&scene.workspace.real)
        && !above(&scene.home.real)
}
