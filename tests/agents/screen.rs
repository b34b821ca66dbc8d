//! A real terminal that is typed at as by a human: tmux.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long something on a screen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A tmux server of its own, killed when dropped.
pub(crate) struct Tmux {
    pub(crate) socket: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    /// Where its windows begin.
    pub(crate) home: PathBuf,
}

impl Tmux {
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(["-f", "/dev/null"])
            .args(args)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(&self.home)
            .output()
            .expect("tmux");
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn keys(&self, window: &str, keys: &[&str]) {
        let mut args = vec!["send-keys", "-t", window];
        args.extend(keys);
        self.command(&args);
    }

    pub(crate) fn screen(&self, window: &str) -> String {
        self.command(&["capture-pane", "-p", "-t", window])
    }

    pub(crate) fn shows(&self, window: &str, text: &str) {
        self.shows_that(window, text, |screen| screen.contains(text));
    }

    pub(crate) fn shows_that(&self, window: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        self.shows_within(PATIENCE, window, what, is_so);
    }

    pub(crate) fn shows_within(
        &self,
        patience: Duration,
        window: &str,
        what: &str,
        is_so: impl Fn(&str) -> bool,
    ) {
        let begin = Instant::now();
        loop {
            let screen = self.screen(window);
            if is_so(&screen) {
                return;
            }
            assert!(
                begin.elapsed() < patience,
                "{window} does not show {what}:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let kill = ["-f", "/dev/null", "kill-server"];
        let tmux = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(kill)
            .output();
        drop(tmux);
    }
}
