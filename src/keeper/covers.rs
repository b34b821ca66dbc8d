//! Files of which the box sees a copy of the plan's own: git's configuration without its credentials. When the host replaces
//! one, the copy of the start lies over the new one, too. One that comes to hold a credential later is covered from then on.

#![forbid(unsafe_code)]

use super::message::Cover;
use super::place::Purpose;
use super::view::Covered;
use super::watchman::{Name, Phase, Watchman};
use std::ffi::CString;
use std::path::Path;

impl Watchman<'_> {
    /// A name that appeared may be such a file.
    ///
    /// # Errors
    /// It cannot be covered.
    pub(super) fn cover(&mut self, it: &Name<'_>, file: &Path) -> Result<(), String> {
        let rel = it.rel();
        let (Some(view), Some(place)) = (&self.view, self.places.get(it.spot.place)) else {
            return Ok(());
        };
        let Some(with) = self.covers.get(&place.boxed_path.join(&rel)) else {
            return Ok(());
        };
        let covered = view
            .cover(place, &rel, with)
            .map_err(|errno| format!("{} cannot be covered: {errno}", file.display()))?;
        if covered == Covered::Now && self.phase == Phase::Running {
            self.outbox.copied(file.to_owned());
        }
        Ok(())
    }

    /// What was replaced since the plan was made.
    ///
    /// # Errors
    /// As [`Watchman::cover`].
    pub(super) fn cover_all(&self) -> Result<(), String> {
        let Some(view) = &self.view else {
            return Ok(());
        };
        let places = self.places.iter().filter(|p| p.purpose == Purpose::Names);
        for place in places {
            for (target, with) in &self.covers {
                if let Ok(rel) = target.strip_prefix(&place.boxed_path)
                    && !rel.as_os_str().is_empty()
                {
                    view.cover(place, rel, with).map_err(|errno| {
                        format!("{} cannot be covered: {errno}", target.display())
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Files that are covered from now on.
    ///
    /// # Errors
    /// As [`Watchman::cover`].
    pub(super) fn cover_from_now(&mut self, covers: &[Cover]) -> Result<(), String> {
        for Cover { file, with } in covers {
            let (file, refused) = (file.path(), with.is_none());
            let with = with.as_deref().map_or_else(
                || Ok(c"refused".to_owned()),
                |with| CString::new(with).map_err(|e| e.to_string()),
            )?;
            let names = self.places.iter().filter(|p| p.purpose == Purpose::Names);
            for place in names {
                let rel = match file.strip_prefix(&place.path) {
                    Ok(rel) if !rel.as_os_str().is_empty() => rel,
                    _ => continue,
                };
                let target = place.boxed_path.join(rel);
                self.covers.insert(target, with.clone());
                let Some(view) = &self.view else { continue };
                let covered = view
                    .cover(place, rel, &with)
                    .map_err(|errno| format!("{} cannot be covered: {errno}", file.display()))?;
                match covered {
                    Covered::Now if refused => self.outbox.shut(file.to_owned()),
                    Covered::Now => self.outbox.copied(file.to_owned()),
                    Covered::Already | Covered::Gone | Covered::Link => {}
                }
            }
        }
        Ok(())
    }
}
