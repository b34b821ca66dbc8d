//! Which variables name what is secret, or what runs.

#![forbid(unsafe_code)]

/// Files, directories or lists of them that hold passwords, keys or tokens.
pub(super) const SECRETS: &[&str] = &[
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
    // Shell histories, with what was typed.
    "HISTFILE",
    "LESSHISTFILE",
    "MYSQL_HISTFILE",
    "NODE_REPL_HISTORY",
    "PSQL_HISTORY",
    "PYTHON_HISTORY",
    "REDISCLI_HISTFILE",
    "SQLITE_HISTORY",
];

/// Settings of package managers: hidden where a token or a password stands in them.
pub(super) const SETTINGS: &[&str] = &[
    "BUNDLE_USER_CONFIG",
    "NPM_CONFIG_GLOBALCONFIG",
    "NPM_CONFIG_USERCONFIG",
    "npm_config_globalconfig",
    "npm_config_userconfig",
    "PIP_CONFIG_FILE",
    "UV_CONFIG_FILE",
];

/// Directories of settings, and which of their files hold logins.
pub(super) const SECRETS_IN: &[(&str, &[&str])] = &[
    ("CARGO_HOME", &["credentials", "credentials.toml"]),
    ("CLAUDE_CONFIG_DIR", &[".credentials.json", "ide"]),
    ("CODEX_HOME", &["auth.json"]),
    ("MYSQL_HOME", &["my.cnf"]),
    ("PIPX_HOME", &[".pypirc"]),
    ("POETRY_CONFIG_DIR", &["auth.toml"]),
];

/// What a variable says is run.
pub(super) enum Runs {
    /// The files of a list, separated by colons or blanks.
    Files,
    /// A command of a shell: the program, and what its arguments name (`sh edit.sh`, `ssh -F config`).
    Command,
    /// Options of an interpreter that name modules, with the ends that it adds to them.
    Modules(&'static [&'static str]),
    /// Options of Java's: a property (`-Dmaven.repo.local=DIR`) that names nothing that is there runs nothing.
    Java,
    /// Files with these names in the directories of a list.
    Named(&'static [&'static str]),
}

/// Options of Java's that say where it writes.
pub(super) const WRITTEN_BY_JAVA: &[&str] = &[
    "-Xlog",
    "-XX:ErrorFile=",
    "-XX:FlightRecorderOptions=",
    "-XX:HeapDumpPath=",
    "-XX:LogFile=",
    "-XX:StartFlightRecording",
];

/// By which variable.
pub(super) const RUNNING: &[(&str, Runs)] = &[
    ("BASH_ENV", Runs::Files),              // bash(1): each script
    ("BAT_CONFIG_PATH", Runs::Files),       // `--pager`
    ("ENV", Runs::Files),                   // sh(1): each shell
    ("FZF_DEFAULT_OPTS_FILE", Runs::Files), // `--preview`
    ("GCONV_PATH", Runs::Files),            // iconv(3): modules
    ("INPUTRC", Runs::Files),               // readline(3): macros are keys that are typed
    ("LD_AUDIT", Runs::Files),              // ld.so(8)
    ("LD_PRELOAD", Runs::Files),
    ("LESSKEY", Runs::Files), // lesskey(1): variables, and keys that run commands
    ("LESSKEYIN", Runs::Files),
    ("MISE_CONFIG_FILE", Runs::Files), // hooks at each prompt
    ("MISE_GLOBAL_CONFIG_FILE", Runs::Files),
    ("PSQLRC", Runs::Files), // psql(1): `\!`
    ("PYTHONSTARTUP", Runs::Files),
    ("R_ENVIRON", Runs::Files), // Startup(R)
    ("R_ENVIRON_USER", Runs::Files),
    ("R_PROFILE", Runs::Files),
    ("R_PROFILE_USER", Runs::Files),
    ("RIPGREP_CONFIG_PATH", Runs::Files), // `--pre`
    ("SCREENRC", Runs::Files),
    ("STARSHIP_CONFIG", Runs::Files), // commands at each prompt
    ("WGETRC", Runs::Files),          // `use_askpass`
    ("ZSH_CUSTOM", Runs::Files),      // oh-my-zsh: each shell
    ("ASDF_DIR", Runs::Named(&["asdf.sh", "asdf.fish"])),
    // An agent's settings run hooks and servers; what it remembers beside them is its own.
    (
        "CLAUDE_CONFIG_DIR",
        Runs::Named(&["settings.json", "settings.local.json", "hooks", "plugins"]),
    ),
    (
        "CODEX_HOME",
        Runs::Named(&["config.toml", "hooks.json", "rules"]),
    ),
    ("CURL_HOME", Runs::Named(&[".curlrc"])),
    ("CARGO_HOME", Runs::Named(&["config", "config.toml", "env"])),
    (
        "DIRENV_CONFIG",
        Runs::Named(&["direnvrc", "direnv.toml", "lib"]),
    ),
    (
        "GRADLE_USER_HOME",
        Runs::Named(&[
            "init.d",
            "init.gradle",
            "init.gradle.kts",
            "gradle.properties",
        ]),
    ),
    ("IPYTHONDIR", Runs::Named(&["profile_default"])),
    (
        "JUPYTER_CONFIG_DIR",
        Runs::Named(&[
            "jupyter_config.py",
            "jupyter_config.json",
            "jupyter_lab_config.py",
            "jupyter_notebook_config.py",
            "jupyter_server_config.py",
            "jupyter_server_config.json",
            "jupyter_server_config.d",
        ]),
    ),
    ("NVM_DIR", Runs::Named(&["nvm.sh", "bash_completion"])),
    // What each Python loads instead of its own library's source.
    (
        "PYTHONPYCACHEPREFIX",
        Runs::Named(&["usr", "opt", "nix", "root"]),
    ),
    ("XDG_CONFIG_DIRS", Runs::Named(&["autostart", "nvim"])),
    (
        "XDG_DATA_DIRS",
        Runs::Named(&["applications", "bash-completion", "fish", "nvim", "zsh"]),
    ),
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
    ("FZF_DEFAULT_COMMAND", Runs::Command),
    ("FZF_DEFAULT_OPTS", Runs::Command),
    ("KUBECTL_EXTERNAL_DIFF", Runs::Command),
    ("KUBE_EDITOR", Runs::Command),
    ("EDITOR", Runs::Command),
    ("MANPAGER", Runs::Command),
    ("PAGER", Runs::Command),
    ("SSH_ASKPASS", Runs::Command),
    ("SUDO_ASKPASS", Runs::Command),
    ("VISUAL", Runs::Command),
    ("LESSCLOSE", Runs::Command), // less(1)
    ("LESSOPEN", Runs::Command),
    // `-javaagent:`
    ("JAVA_TOOL_OPTIONS", Runs::Java),
    ("JDK_JAVA_OPTIONS", Runs::Java),
    ("_JAVA_OPTIONS", Runs::Java),
    ("GRADLE_OPTS", Runs::Java),
    ("MAVEN_OPTS", Runs::Java),
    ("LUA_INIT", Runs::Command), // `@file`
    (
        "NODE_OPTIONS",
        Runs::Modules(&[".js", ".cjs", ".json", ".node", "/index.js"]),
    ), // `--require`
    ("PERL5OPT", Runs::Command),
    ("RUBYOPT", Runs::Modules(&[".rb", ".so"])), // `-r`
    ("EXINIT", Runs::Command),                   // vim(1): `source`
    ("VIMINIT", Runs::Command),
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
    (
        "RUBYLIB",
        Runs::Named(&[
            "did_you_mean.rb",
            "error_highlight.rb",
            "monitor.rb",
            "rbconfig.rb",
            "rubygems.rb",
            "syntax_suggest.rb",
        ]),
    ),
];
