//! Work trees that the session has added: git looks for the hooks of a relative `core.hooksPath`, and for programs that its
//! configuration names, there as well, and no rule of the start knows where that is.

#![forbid(unsafe_code)]

use super::Settler;
use crate::keeper::search::Kinds;
use crate::plan::names::{NameKind, NameRule};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

impl Settler<'_> {
    /// Tracks the hooks of each work tree whose `.git` file is new, so that what its branch has of them stays. Where they are.
    pub(super) fn added_hooks(&mut self, touched: &[PathBuf]) -> Vec<PathBuf> {
        if self.names.hooks.is_empty() {
            return Vec::new();
        }
        let is_new = |file: &&PathBuf| {
            file.file_name() == Some(OsStr::new(".git")) && self.baseline.of(file).is_none()
        };
        let tops = touched
            .iter()
            .filter(is_new)
            .filter_map(|file| file.parent());
        let hooks: Vec<PathBuf> = tops
            .flat_map(|top| self.names.hooks.iter().map(|path| top.join(path.path())))
            .collect();
        let rules: Vec<NameRule> = hooks.iter().filter_map(|dir| self.tracked(dir)).collect();
        if !rules.is_empty() {
            self.names.to_mut().rules.extend(rules);
            self.kinds = Rc::new(Kinds::new(&self.names));
        }
        hooks
    }

    /// The rule that tracks exactly that.
    fn tracked(&self, path: &Path) -> Option<NameRule> {
        let roots = self.names.rules.iter().map(|rule| &rule.root);
        let root = roots
            .filter(|root| path.starts_with(root.path()))
            .max_by_key(|root| root.bytes().len())?;
        let way = path.strip_prefix(root.path()).ok()?;
        let rule = NameRule::about(NameKind::Track, root.path(), way, "core.hooksPath");
        Some(rule)
    }
}
