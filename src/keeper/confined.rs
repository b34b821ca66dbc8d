//! What the agent wrote is read in a child that can only compute.

#![forbid(unsafe_code)]

use super::gitconfig::{self, Cleaned};
use crate::enforce::cell::{self, Bounds};
use crate::enforce::consult::consult;
use crate::plan::gitconfig::clean::comes_to_hold as comes_to_hold_here;
use std::time::Duration;

/// How many paths are asked about, and how long one may be.
const MOST_PATHS: u32 = 256;
const LONGEST_PATH: usize = 4096;

fn bounds() -> Bounds {
    Bounds {
        who: "the process that reads git configuration",
        time: Duration::from_secs(5),
        answer: 4 << 20,
    }
}

/// Do remotes lead elsewhere now? Reads both texts in a confined child.
pub(super) fn leads_elsewhere(base: &[u8], now: &[u8], has_branch: impl Fn(&[u8]) -> bool) -> bool {
    let answer = cell::compute(bounds(), || {
        vec![u8::from(gitconfig::leads_elsewhere(base, now, has_branch))]
    });
    // A child that did not say is no reason for silence.
    answer.map_or(true, |answer| answer != [0])
}

/// What the box is to see of a configuration that has come to hold a credential. Reads both texts in a confined child. Nothing is to
/// be seen where that did not answer.
pub(super) fn comes_to_hold(base: &[u8], now: &[u8], known: &[Vec<u8>]) -> Option<Vec<u8>> {
    let answer = cell::compute(bounds(), || match comes_to_hold_here(base, now, known) {
        Some(text) => [&[1], text.as_slice()].concat(),
        None => vec![0],
    });
    match answer.as_deref() {
        Ok([0]) => None,
        Ok([1, text @ ..]) => Some(text.to_vec()),
        Ok(_) | Err(_) => Some(Vec::new()),
    }
}

/// Reads both texts in a confined child: the second one is the agent's. `leads`: see [`gitconfig::Leads`].
pub(super) fn clean(
    base: &[u8],
    now: &[u8],
    work_tree: Option<&[u8]>,
    mut leads: impl FnMut(&[u8]) -> bool,
) -> Result<Option<Cleaned>, String> {
    let may = |path: &[u8]| leads(path).then(Vec::new);
    let answer = consult(bounds(), may, |asker| {
        let mut left = MOST_PATHS;
        let mut leads = |path: &[u8]| {
            // No is the answer about what is too long or too many, too.
            left -= u32::from(left > 0);
            left > 0 && path.len() <= LONGEST_PATH && asker.ask(path).is_some()
        };
        match gitconfig::clean(base, now, work_tree, &mut leads) {
            Ok(None) => vec![0],
            Ok(Some(cleaned)) => {
                // One bit for each row of the list, then the text.
                let mut out = vec![1];
                out.extend(gitconfig::encode(&cleaned.taken));
                out.extend(cleaned.text);
                out
            }
            Err(_) => vec![2],
        }
    })?;
    match answer.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, rest)) => {
            let (taken, text) =
                gitconfig::decode(rest).ok_or("an answer that cannot be read".to_owned())?;
            Ok(Some(Cleaned {
                text: text.to_vec(),
                taken,
            }))
        }
        _ => Err("it cannot be read".to_owned()),
    }
}
