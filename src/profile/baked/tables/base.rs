//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::plan::LimitName;
use crate::plan::NetworkMode;
use crate::policy::LimitWish;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "base",
        description: Some("What every command needs: system programs and libraries, the workspace, a plain environment"),
        extends: &[],
        commands: &[],
        read: &[
            ("/usr", false, false, 9), ("/bin", true, false, 10), ("/sbin", true, false, 11),
            ("/lib", true, false, 12), ("/lib32", true, false, 13), ("/lib64", true, false, 14),
            ("/libx32", true, false, 15), ("/nix/store", true, false, 16), ("/run/current-system", true, false, 17),
            ("/gnu/store", true, false, 18), ("/etc/ld.so.cache", true, false, 21),
            ("/etc/ld.so.conf", true, false, 22), ("/etc/ld.so.conf.d", true, false, 23),
            ("/etc/nsswitch.conf", true, false, 24), ("/etc/host.conf", true, false, 25),
            ("/etc/hosts", true, false, 26), ("/etc/gai.conf", true, false, 27), ("/etc/resolv.conf", true, false, 28),
            ("/etc/protocols", true, false, 29), ("/etc/services", true, false, 30),
            ("/etc/localtime", true, false, 31), ("/etc/timezone", true, false, 32),
            ("/etc/locale.conf", true, false, 33), ("/etc/locale.alias", true, false, 34),
            ("/etc/ssl/certs", true, false, 35), ("/etc/ssl/openssl.cnf", true, false, 36),
            ("/etc/ssl/cert.pem", true, false, 37), ("/etc/ca-certificates", true, false, 38),
            ("/etc/pki/tls/certs", true, false, 39), ("/etc/pki/tls/cert.pem", true, false, 40),
            ("/etc/pki/tls/openssl.cnf", true, false, 41), ("/etc/pki/ca-trust/extracted", true, false, 42),
            ("/etc/crypto-policies", true, false, 43), ("/etc/alternatives", true, false, 44),
            ("/etc/os-release", true, false, 45), ("/etc/debian_version", true, false, 46),
            ("/etc/redhat-release", true, false, 47), ("/etc/alpine-release", true, false, 48),
            ("/etc/mime.types", true, false, 49), ("/etc/profile", true, false, 50),
            ("/etc/profile.d", true, false, 51), ("/etc/bash.bashrc", true, false, 52),
            ("/etc/bashrc", true, false, 53), ("/etc/zsh", true, false, 54), ("/etc/inputrc", true, false, 55),
            ("/etc/terminfo", true, false, 56), ("/etc/fonts", true, false, 57), ("/etc/perl", true, false, 58),
            ("/etc/python3", true, false, 59), ("/etc/python3.11", true, false, 60),
            ("/etc/python3.12", true, false, 61), ("/etc/python3.13", true, false, 62),
            ("/etc/java-11-openjdk", true, false, 63), ("/etc/java-17-openjdk", true, false, 64),
            ("/etc/java-21-openjdk", true, false, 65), ("/etc/java-25-openjdk", true, false, 66),
            ("/etc/chromium", true, false, 67), ("/etc/chromium.d", true, false, 68), ("/etc/maven", true, false, 69),
            ("/etc/gitconfig", true, false, 70), ("/etc/vim", true, false, 71),
            ("/var/cache/fontconfig", true, false, 72),
        ],
        write: &[
            ("${workspace}", false, false, 78),
        ],
        state: &[],
        private: &[
            ("~/.cache", false, false, 81),
        ],
        hide: &[],
        protect: &[],
        track: &[],
        keep: &[
            ("PATH", 87), ("HOME", 88), ("USER", 88), ("LOGNAME", 88), ("SHELL", 89), ("LANG", 90), ("LANGUAGE", 90),
            ("LC_*", 90), ("TZ", 91), ("TERM", 92), ("COLORTERM", 92), ("TERMINFO", 93), ("TERMINFO_DIRS", 93),
            ("TERM_PROGRAM", 94), ("TERM_PROGRAM_VERSION", 94), ("COLUMNS", 95), ("LINES", 95), ("EDITOR", 96),
            ("VISUAL", 96), ("PAGER", 96), ("NO_COLOR", 97), ("FORCE_COLOR", 97), ("CLICOLOR", 97),
            ("CLICOLOR_FORCE", 97), ("CI", 98), ("*_PROXY", 100), ("*_proxy", 100), ("SSL_CERT_FILE", 102),
            ("SSL_CERT_DIR", 102), ("NODE_EXTRA_CA_CERTS", 103), ("REQUESTS_CA_BUNDLE", 104), ("CURL_CA_BUNDLE", 105),
            ("PIP_CERT", 106), ("CARGO_HTTP_CAINFO", 107), ("GIT_SSL_CAINFO", 108),
        ],
        deny: &[
            ("VSCODE_*", 112), ("CURSOR_*", 112), ("WINDSURF_*", 112), ("ZED_*", 112), ("JETBRAINS_*", 112),
            ("ELECTRON_RUN_AS_NODE", 113), ("GIT_ASKPASS", 114), ("SSH_ASKPASS", 114), ("SSH_ASKPASS_REQUIRE", 114),
            ("CLAUDE_CODE_SSE_PORT", 115), ("GEMINI_CLI_IDE_*", 116), ("NVIM", 117), ("NVIM_LISTEN_ADDRESS", 117),
            ("TMUX*", 118), ("STY", 118), ("ZELLIJ*", 118), ("KITTY_LISTEN_ON", 119), ("WEZTERM_UNIX_SOCKET", 119),
            ("ALACRITTY_SOCKET", 119), ("SSH_AUTH_SOCK", 120), ("SSH_AGENT_PID", 120), ("GPG_AGENT_INFO", 120),
            ("DBUS_*", 121), ("XDG_RUNTIME_DIR", 121), ("DISPLAY", 122), ("WAYLAND_DISPLAY", 122),
            ("WAYLAND_SOCKET", 122), ("XAUTHORITY", 122), ("DOCKER_HOST", 123), ("CONTAINER_HOST", 123),
            ("KUBECONFIG", 123), ("LD_PRELOAD", 124), ("LD_AUDIT", 124),
        ],
        set: &[
            ("SCREENDIR", "/tmp/.screen", 128),
        ],
        network: Some((NetworkMode::None, 131)),
        limits: &[
            (LimitName::Disk, LimitWish::Value(2147483648.0), 136), (LimitName::Memory, LimitWish::Percent(75.0), 134),
            (LimitName::Processes, LimitWish::Value(4096.0), 135),
        ],
        stop_grace: Some((3.0, 137)),
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        notices: &[],
};
