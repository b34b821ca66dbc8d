//! Generated from `profiles/*.toml` (see `baked.rs`). Do not edit.

#![forbid(unsafe_code)]

use crate::plan::rung::Rung;
use crate::plan::NetworkMode;
use crate::profile::baked::Table;

pub(super) static TABLE: Table = Table {
        name: "ci",
        description: Some("A step of a CI job: the runner's tokens and files stay outside"),
        extends: &[
            ("base", 90, 96), ("toolchains", 98, 110), ("git", 112, 117), ("registries", 119, 131),
            ("git-hosting", 133, 146), ("docs", 148, 154),
        ],
        commands: &[],
        read: &[],
        write: &[],
        state: &[],
        private: &[],
        project: &[],
        hide: &[],
        protect: &[],
        track: &[],
        refuse: &[],
        allow: &[],
        search: &[],
        hard_links: None,
        keep: &[
            ("GITHUB_ACTIONS", 12), ("GITHUB_ACTOR", 12), ("GITHUB_BASE_REF", 12), ("GITHUB_EVENT_NAME", 12),
            ("GITHUB_HEAD_REF", 12), ("GITHUB_JOB", 13), ("GITHUB_REF*", 13), ("GITHUB_REPOSITORY*", 13),
            ("GITHUB_RUN_*", 13), ("GITHUB_SERVER_URL", 13), ("GITHUB_SHA", 13), ("GITHUB_WORKFLOW", 14),
            ("GITHUB_WORKSPACE", 14), ("RUNNER_ARCH", 14), ("RUNNER_OS", 14), ("GITLAB_CI", 15), ("CI_*", 15),
            ("BUILD_NUMBER", 16), ("BUILD_ID", 16), ("BUILD_TAG", 16), ("JOB_NAME", 16), ("JOB_BASE_NAME", 16),
            ("BRANCH_NAME", 16), ("CHANGE_*", 16), ("GIT_COMMIT", 16), ("GIT_BRANCH", 17), ("BUILDKITE", 18),
            ("BUILDKITE_BRANCH", 18), ("BUILDKITE_BUILD_*", 18), ("BUILDKITE_COMMIT", 18), ("BUILDKITE_JOB_ID", 18),
            ("BUILDKITE_MESSAGE", 19), ("BUILDKITE_PIPELINE_*", 19), ("BUILDKITE_PULL_REQUEST*", 19),
            ("BUILDKITE_STEP_*", 19), ("BUILDKITE_TAG", 19),
        ],
        deny: &[
            ("GITHUB_TOKEN", 23), ("GH_TOKEN", 23), ("ACTIONS_*", 23), ("GITHUB_ENV", 24), ("GITHUB_OUTPUT", 24),
            ("GITHUB_PATH", 24), ("GITHUB_STATE", 24), ("GITHUB_STEP_SUMMARY", 24), ("GITHUB_ACTION_PATH", 25),
            ("GITHUB_EVENT_PATH", 25), ("RUNNER_TEMP", 25), ("RUNNER_TOOL_CACHE", 25), ("RUNNER_WORKSPACE", 25),
            ("CI_JOB_TOKEN", 26), ("CI_JOB_JWT*", 26), ("CI_*TOKEN*", 26), ("CI_*PASSWORD*", 26),
            ("CI_REGISTRY_USER", 26), ("CI_*KEY*", 26), ("CI_*SECRET*", 27), ("CI_NETRC_*", 27),
            ("CI_REPOSITORY_URL", 27), ("JENKINS_*", 28), ("HUDSON_*", 28), ("BUILDKITE_AGENT_*", 29),
            ("BUILDKITE_*TOKEN*", 29), ("WOODPECKER_*", 30), ("DRONE_*", 30), ("PLUGIN_*", 30),
        ],
        set: &[],
        network: Some((NetworkMode::Filtered, 34)),
        reach: &[],
        shun: &[],
        limits: &[],
        stop_grace: None,
        require: &[],
        allow_missing: &[],
        layers_off: &[],
        rung: Some((Rung::Landlock, 37)),
        stop_files: &[],
        notices: &[
            ("tokens and workflow files of the runner are not in the box: `--env GITHUB_OUTPUT --write \"$GITHUB_OUTPUT\"` grants one", 6),
        ],
};
