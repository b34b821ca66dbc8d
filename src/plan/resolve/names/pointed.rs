//! What variables of the caller's name in the box's reach: credentials under a name that no rule knows
//! (`KUBECONFIG=ops/cluster.yaml`) are hidden, and what a shell, git or an interpreter runs outside because a variable says so
//! (`PYTHONPATH=src` runs `src/sitecustomize.py`) is frozen. Variables that are set when the box starts.

#![forbid(unsafe_code)]

use super::super::expand::within;
use super::super::scene::Scene;
use super::rules::anchor;
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
    /// A program and its arguments.
    Program,
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
    ("GIT_ASKPASS", Runs::Program),
    ("GIT_EDITOR", Runs::Program),
    ("GIT_EXTERNAL_DIFF", Runs::Program),
    ("GIT_PAGER", Runs::Program),
    ("GIT_PROXY_COMMAND", Runs::Program),
    ("GIT_SEQUENCE_EDITOR", Runs::Program),
    ("GIT_SSH", Runs::Program),
    ("GIT_SSH_COMMAND", Runs::Program),
    ("BROWSER", Runs::Program),
    ("EDITOR", Runs::Program),
    ("MANPAGER", Runs::Program),
    ("PAGER", Runs::Program),
    ("SSH_ASKPASS", Runs::Program),
    ("SUDO_ASKPASS", Runs::Program),
    ("VISUAL", Runs::Program),
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
];

/// Rules about what is set.
pub(super) fn rules(scene: &Scene<'_>) -> Vec<NameRule> {
    let mut out: Vec<NameRule> = Vec::new();
    let mut seen: BTreeSet<(NameKind, PathBuf)> = BTreeSet::new();
    let mut add = |kind: NameKind, path: &Path, var: &str| {
        // As it is written and where it leads: a link on the way can become another one.
        for path in [path.to_owned(), scene.real_of(path)] {
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
        for path in list(scene, var, b":", |_| true) {
            add(NameKind::Hide, &path, var);
        }
    }
    for (var, runs) in RUNNING {
        match runs {
            Runs::Files => {
                // What has no slash is no path in most of them (`ENV=test`).
                for path in list(scene, var, b": ", |text| text.contains(&b'/')) {
                    add(NameKind::Freeze, &path, var);
                }
            }
            Runs::Program => {
                // What has no slash is looked up on PATH.
                let first = value(scene, var).split(|byte| *byte == b' ').next();
                if first.unwrap_or_default().contains(&b'/')
                    && let Some(path) = list(scene, var, b" ", |_| true).first()
                {
                    add(NameKind::Freeze, path, var);
                }
            }
            Runs::Named(names) => {
                for dir in list(scene, var, b":", |_| true) {
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

/// The paths in a variable, absolute; of its texts those that may be one.
fn list(
    scene: &Scene<'_>,
    var: &str,
    separators: &[u8],
    may: impl Fn(&[u8]) -> bool,
) -> Vec<PathBuf> {
    value(scene, var)
        .split(|byte| separators.contains(byte))
        .filter(|text| !text.is_empty() && may(text))
        .map(|text| scene.host.cwd.join(OsStr::from_bytes(text)))
        .map(|path| super::super::workspace::tidy(&path))
        .collect()
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
