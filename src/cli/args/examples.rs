//! What stands under the flags of each subcommand: how it is called, and what else is to be known. In one place, so that they
//! are read beside each other; a test parses every line.

#![forbid(unsafe_code)]

pub(super) const AGENTBOX: &str = "\
Start with: agentbox check, then agentbox run claude
Examples of each: agentbox COMMAND --help";

pub(super) const RUN: &str = "\
Examples:
  agentbox run claude
  agentbox run claude --dangerously-skip-permissions  # with the agent's own questions off
  agentbox run --allow api.example.com --read ~/data claude
  agentbox run --net none -- make test
  agentbox run --dry-run -- make test                 # only the plan

Exit status: COMMAND's own; 128+N if signal N ended it; 124 time limit; 126 not executable; 127 not found;
125 agentbox refused or failed, and nothing was executed.";

pub(super) const PS: &str = "\
Examples:
  agentbox ps
  agentbox ps --watch
  agentbox ps -q       # names only";

pub(super) const EXEC: &str = "\
Examples:
  agentbox exec 7fab -- bash        # a shell beside the agent, in its box
  agentbox exec -C docs 7fab -- ls

Exit status: COMMAND's own; 128+N if signal N ended it; 126 not executable; 127 not found; 125 it was not executed.";

pub(super) const ATTACH: &str = "\
Examples:
  agentbox attach 7fab  # Ctrl-\\ d leaves it, and the session goes on";

pub(super) const DETACH: &str = "\
Examples:
  agentbox detach 7fab";

pub(super) const KILL: &str = "\
Examples:
  agentbox kill 7fab
  agentbox kill --all  # `agentbox stop` lets none start as well";

pub(super) const PAUSE: &str = "\
Examples:
  agentbox pause 7fab  # `agentbox resume 7fab` lets it go on";

pub(super) const RESUME: &str = "\
Examples:
  agentbox resume 7fab";

pub(super) const ALLOW: &str = "\
Examples:
  agentbox allow api.example.com                      # until the session ends
  agentbox allow --session 7fab db.example.com:5432
  agentbox allow --save api.example.com               # for every later session, too";

pub(super) const DENY: &str = "\
Examples:
  agentbox deny api.example.com
  agentbox deny --save --profile work api.example.com";

pub(super) const PUBLISH: &str = "\
Examples:
  agentbox publish 3000                  # the box's server at http://127.0.0.1:3000
  agentbox publish --session 7fab 8080:3000";

pub(super) const ASK: &str = "\
Examples:
  agentbox ask       # in another terminal than the agent's
  agentbox ask 7fab

Answers: y this session, a always (your config.toml), n not, q leaves.";

pub(super) const LOGS: &str = "\
Examples:
  agentbox logs          # of the last session
  agentbox logs -f 7fab
  agentbox logs --json 7fab";

pub(super) const EXPLAIN: &str = "\
Examples:
  agentbox explain -- claude
  agentbox explain --net none -- make test
  agentbox explain --json -p work -- claude";

pub(super) const WHY: &str = "\
Examples:
  agentbox why read ~/.ssh/id_ed25519
  agentbox why write .git/hooks/pre-commit -- claude
  agentbox why exec terraform
  agentbox why env AWS_PROFILE
  agentbox why connect --session 7fab api.example.com:443

Exit status: 0 yes, 1 no, 2 bad usage or no plan.
In the box it says what that box allows; outside, what a run of COMMAND would, or a live session does.";

pub(super) const CHECK: &str = "\
Examples:
  agentbox check
  agentbox check --fix     # the commands against what is missing
  agentbox check --layers";

pub(super) const DEMO: &str = "\
Examples:
  agentbox demo
  agentbox demo -p work                # what would get through a profile of yours?
  agentbox demo --record demo.cast";

pub(super) const PROFILES: &str = "\
Examples:
  agentbox profiles list
  agentbox profiles show claude
  agentbox profiles new work
  agentbox profiles diff shell work";

pub(super) const PROFILES_LIST: &str = "\
Examples:
  agentbox profiles list";

pub(super) const PROFILES_SHOW: &str = "\
Examples:
  agentbox profiles show claude
  agentbox profiles show ./my-profile.toml";

pub(super) const PROFILES_VALIDATE: &str = "\
Examples:
  agentbox profiles validate work
  agentbox profiles validate ./my-profile.toml .agentbox.toml";

pub(super) const PROFILES_SCHEMA: &str = "\
Examples:
  agentbox profiles schema";

pub(super) const PROFILES_NEW: &str = "\
Examples:
  agentbox profiles new                # printed
  agentbox profiles new work           # written
  agentbox profiles new --agent aider";

pub(super) const PROFILES_DIFF: &str = "\
Examples:
  agentbox profiles diff shell claude";

pub(super) const PROFILES_IMPORT: &str = "\
Examples:
  agentbox profiles import claude
  agentbox profiles import claude .claude/settings.json";

pub(super) const TRUST: &str = "\
Examples:
  agentbox trust           # shows it, and asks
  agentbox trust --list
  agentbox trust --revoke

Without trust a project's file can only make the box narrower. What is trusted is this content at this place: any change ends it.";

pub(super) const STOP: &str = "\
Examples:
  agentbox stop --reason \"the bill\"
  agentbox stop 7fab
  agentbox stop --workspace .
  agentbox stop --pause

Without a flag: kills every session of yours, and none starts until `agentbox start`. Returns when nothing of them is left.
Exit status: 0 if that is so, 1 if not.";

pub(super) const START: &str = "\
Examples:
  agentbox start
  agentbox start --workspace .

Removes what `agentbox stop` made, and nothing else; sessions that are paused go on.";

pub(super) const STATUS: &str = "\
Examples:
  agentbox status
  agentbox status --json

Exit status: 0 if a session in this directory would not be stopped, 1 if it would.";

pub(super) const DRILL: &str = "\
Examples:
  agentbox drill
  agentbox drill user workspace

No other box watches what is tripped. Exit status: 0 if each switch killed, 1 if one did not.";

pub(super) const RESTORE: &str = "\
Examples:
  agentbox restore
  agentbox restore 7fab .mcp.json
  agentbox restore --all 7fab

Without FILE: lists what sessions moved away or put back. With FILE: gives it back; what stands in its place goes into the
quarantine instead.
Exit status: 0; 1 if there is no such session or file.";

pub(super) const INIT: &str = "\
Examples:
  agentbox init                          # a configuration of your own, by a few questions
  agentbox init --yes
  agentbox init github-actions
  agentbox init devcontainer --print";

pub(super) const OWN: &str = "\
Examples:
  agentbox self check";

pub(super) const OWN_CHECK: &str = "\
Examples:
  agentbox self check
  agentbox self check --json";

#[cfg(feature = "pages")]
pub(super) const COMPLETIONS: &str = "\
Examples:
  agentbox completions bash  # in ~/.bashrc: source <(agentbox completions bash)
  agentbox completions zsh   # in ~/.zshrc: source <(agentbox completions zsh)
  agentbox completions fish  # to ~/.config/fish/completions/agentbox.fish";

#[cfg(feature = "pages")]
pub(super) const MAN: &str = "\
Examples:
  agentbox man run                               # to be read with: | man -l -
  agentbox man --dir ~/.local/share/man/man1";
