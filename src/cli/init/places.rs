//! The files themselves, as they stand under scripts/.

#![forbid(unsafe_code)]

use crate::cli::args::init::PlaceName;

/// The file of a CI runner.
pub(super) struct File {
    /// As `init` takes it.
    pub(super) name: &'static str,
    /// Where it goes, from the root of the project.
    pub(super) path: &'static str,
    /// What is in it.
    pub(super) content: &'static str,
    /// What is left to do.
    pub(super) then: &'static str,
}

/// The file of that place.
pub(super) fn of(place: PlaceName) -> File {
    match place {
        PlaceName::GithubActions | PlaceName::Devcontainer => File {
            name: "github-actions",
            path: ".github/workflows/agentbox.yml",
            content: include_str!("../../../scripts/ci/github-actions.yml"),
            then: "replace the last step by your own, and let branches require the job",
        },
        PlaceName::GitlabCi => File {
            name: "gitlab-ci",
            path: ".gitlab/agentbox.yml",
            content: include_str!("../../../scripts/ci/gitlab-ci.yml"),
            then: "in .gitlab-ci.yml: include: [{ local: .gitlab/agentbox.yml }], and `extends: .agentbox` in a job",
        },
        PlaceName::Jenkins => File {
            name: "jenkins",
            path: "Jenkinsfile.agentbox",
            content: include_str!("../../../scripts/ci/Jenkinsfile"),
            then: "make it the script path of a pipeline, or take the stage over into your Jenkinsfile",
        },
        PlaceName::Buildkite => File {
            name: "buildkite",
            path: ".buildkite/agentbox.yml",
            content: include_str!("../../../scripts/ci/buildkite.yml"),
            then: "upload it: buildkite-agent pipeline upload .buildkite/agentbox.yml",
        },
        PlaceName::Woodpecker => File {
            name: "woodpecker",
            path: ".woodpecker/agentbox.yml",
            content: include_str!("../../../scripts/ci/woodpecker.yml"),
            then: "replace the last command by your own",
        },
    }
}

/// A devcontainer.json where there is none.
pub(super) const DEVCONTAINER: &str =
    include_str!("../../../scripts/devcontainer/devcontainer.json");

/// The Feature: name, content, permission bits.
pub(super) const FEATURE: [(&str, &str, u32); 2] = [
    (
        "devcontainer-feature.json",
        include_str!("../../../scripts/devcontainer/agentbox/devcontainer-feature.json"),
        0o644,
    ),
    (
        "install.sh",
        include_str!("../../../scripts/devcontainer/agentbox/install.sh"),
        0o755,
    ),
];
