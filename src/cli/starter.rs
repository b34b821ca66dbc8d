//! `agentbox profiles new`: a profile to begin with, from what is found in the project. Everything that grants is a comment: a
//! human takes the mark away.

#![forbid(unsafe_code)]

use super::left;
use crate::profile::builtin;
use std::fmt::Write as _;
use std::path::Path;

/// What a file of a project tells.
struct Kind {
    /// Its name.
    file: &'static str,
    /// What that means for the box.
    says: &'static str,
}

const KINDS: [Kind; 16] = [
    Kind {
        file: "package.json",
        says: "Node: registry.npmjs.org is granted; ~/.npm is the box's own, ~/.npmrc with a token is hidden",
    },
    Kind {
        file: "pnpm-lock.yaml",
        says: "pnpm: its store is the box's own, so packages are copied",
    },
    Kind {
        file: "yarn.lock",
        says: "yarn: registry.yarnpkg.com is granted",
    },
    Kind {
        file: "bun.lock",
        says: "bun: its cache is the box's own",
    },
    Kind {
        file: "deno.json",
        says: "Deno: add jsr.io and deno.land to network.allow",
    },
    Kind {
        file: "Cargo.toml",
        says: "Rust: crates.io is granted; ~/.cargo/registry is the box's own, credentials.toml is not in it",
    },
    Kind {
        file: "pyproject.toml",
        says: "Python: pypi.org is granted; ~/.pypirc with a token is hidden",
    },
    Kind {
        file: "requirements.txt",
        says: "Python: pypi.org is granted",
    },
    Kind {
        file: "go.mod",
        says: "Go: proxy.golang.org is granted; ~/go/pkg is the box's own",
    },
    Kind {
        file: "pom.xml",
        says: "Maven: Maven Central is granted; ~/.m2/settings.xml is not in the box",
    },
    Kind {
        file: "build.gradle",
        says: "Gradle: its hosts are granted; ~/.gradle is the box's own",
    },
    Kind {
        file: "build.gradle.kts",
        says: "Gradle: its hosts are granted; ~/.gradle is the box's own",
    },
    Kind {
        file: "Gemfile",
        says: "Ruby: rubygems.org is granted",
    },
    Kind {
        file: "composer.json",
        says: "PHP: add repo.packagist.org and api.github.com to network.allow",
    },
    Kind {
        file: "Dockerfile",
        says: "docker is refused: its socket is root of this machine",
    },
    Kind {
        file: ".gitmodules",
        says: "submodules: their hooks and configurations are protected like the repository's own",
    },
];

/// A service that projects start beside themselves, by a word of a compose file, and its port.
const SERVICES: [(&str, u16); 6] = [
    ("postgres", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("redis", 6379),
    ("mongo", 27017),
    ("rabbitmq", 5672),
];

/// Files of compose.
const COMPOSE: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// Directories that a human may want to keep to themselves.
const CAREFUL: [&str; 6] = ["deploy", "infra", "terraform", "migrations", "k8s", "helm"];

/// A command to look at this profile with. `shell`, `ci` and the like are for any, and no program is called so.
pub(super) fn command_of(profile: &'static str) -> &'static str {
    let own = builtin::get(profile).and_then(|profile| profile.commands.first());
    own.copied().unwrap_or("sh")
}

/// The text. `agent` is the profile and command that it extends; `schema` the file beside it, where there will be one.
pub(super) fn text(project: &Path, agent: &'static str, schema: Option<&str>) -> String {
    let mut out = String::new();
    if let Some(schema) = schema {
        let _ = writeln!(out, "#:schema {schema}");
    }
    let name = project.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || " ._-".contains(*c))
        .collect();
    let command = command_of(agent);
    let _ = write!(
        out,
        "# Begun by `agentbox profiles new`. Lines behind a `#` grant nothing: take the mark away from what is needed.\n\
         # `agentbox profiles validate FILE` says what is wrong and runs the tests; `agentbox explain -p FILE -- {command}` shows the box.\n\
         description = \"{agent} for {name}\"\nextends = [\"builtin:{agent}\"]\n"
    );
    let kinds: Vec<&Kind> = KINDS
        .iter()
        .filter(|kind| project.join(kind.file).exists())
        .collect();
    if !kinds.is_empty() {
        out.push_str("\n# Found here:\n");
        for kind in kinds {
            let _ = writeln!(out, "#   {:<16} {}", kind.file, kind.says);
        }
    }
    // A profile that a shell selects would be that of every shell.
    let own = if command == "sh" { "my-agent" } else { command };
    let _ = write!(
        out,
        "\n[agent]\n# commands = [\"{own}\"]          # `agentbox run {own}` takes this profile, in every project\n\
         \n[files]\n# read = [\"~/shared-docs?\"]     # more to read; ? = fine if missing\n\
         # write = [\"~/scratch/\"]         # more to write; / = a directory, made when missing\n\
         # hide = [\"${{workspace}}/**/*.secret\"] # more names whose content is never read\n"
    );
    let careful: Vec<&&str> = CAREFUL
        .iter()
        .filter(|dir| project.join(dir).is_dir())
        .collect();
    for dir in &careful {
        let _ = writeln!(
            out,
            "# protect = [\"${{workspace}}/{dir}\"] # found here: readable, never changed"
        );
    }
    out.push_str(
        "\n[network]\n# allow = [\"api.example.com\", \"*.example.org:443\"] # hosts besides those of the agent, registries and documentation\n",
    );
    for (port, file, word) in services(project) {
        let _ = writeln!(
            out,
            "# host-ports = [{port}]            # {file}: {word} on this machine's loopback, with all that it lets anybody do"
        );
    }
    out.push_str("\n[limits]\n# memory = \"8GiB\"\n# time = \"4h\"\n");
    out.push_str("\n# What shall hold, whatever is changed above.\n");
    let mut tests = vec![
        ("write", "${workspace}/README.md".to_owned(), "allowed"),
        ("read", "~/.ssh/id_ed25519".to_owned(), "absent"),
    ];
    let secrets = [".env", ".env.local", ".env.production"];
    let there = secrets.iter().filter(|file| project.join(file).exists());
    tests.extend(there.map(|file| ("read", format!("${{workspace}}/{file}"), "hidden")));
    for (verb, thing, expect) in tests {
        let _ = writeln!(out, "[[test]]\n{verb} = \"{thing}\"\nexpect = \"{expect}\"");
    }
    out
}

fn services(project: &Path) -> Vec<(u16, &'static str, &'static str)> {
    let mut out: Vec<(u16, &str, &str)> = Vec::new();
    for file in COMPOSE {
        let text = left::text(&project.join(file)).unwrap_or_default();
        for (word, port) in SERVICES {
            let known = out.iter().any(|(known, ..)| *known == port);
            if text
                .lines()
                .any(|line| line.contains("image:") && line.contains(word))
                && !known
            {
                out.push((port, file, word));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::inline::failed;
    use crate::profile::testing::Dir;
    use crate::profile::{builtin, tested};

    /// Whatever is found, it is a profile, its tests hold, and nothing of it grants.
    #[test]
    fn a_starter_is_a_profile_that_grants_nothing() {
        for full in [false, true] {
            let dir = Dir::new();
            if full {
                for kind in KINDS {
                    dir.write(&format!("proj\"ect/{}", kind.file), "");
                }
                for careful in CAREFUL {
                    dir.write(&format!("proj\"ect/{careful}/x"), "");
                }
                dir.write("proj\"ect/.env", "");
                dir.write(
                    "proj\"ect/compose.yaml",
                    "services:\n  db:\n    image: postgres:16\n",
                );
            }
            for agent in builtin::agents() {
                let text = text(&dir.path("proj\"ect"), agent, Some("../schema.json"));
                assert_eq!(text.contains("host-ports = [5432]"), full, "{text}");
                assert_eq!(text.contains("package.json"), full);
                let file = dir.write("p.toml", &text);
                let profile = tested(file.as_os_str(), &dir.places()).unwrap();
                let failed: Vec<String> =
                    failed(&profile).iter().map(ToString::to_string).collect();
                assert!(failed.is_empty(), "{agent}: {failed:?}");
                let own = profile.fragments.last().unwrap();
                assert!(
                    own.files.read.is_empty() && own.egress.is_empty() && own.commands.is_empty()
                );
            }
        }
    }
}
