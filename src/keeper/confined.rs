//! What the agent wrote is read in a child that can only compute.

#![forbid(unsafe_code)]

use super::gitconfig::{self, Cleaned};
use crate::enforce::cell::{self, Bounds};
use std::time::Duration;

/// Reads both texts in a confined child: the second one is the agent's.
pub(super) fn clean(
    base: &[u8],
    now: &[u8],
    work_tree: Option<&[u8]>,
) -> Result<Option<Cleaned>, String> {
    let bounds = Bounds {
        who: "the process that reads git configuration",
        time: Duration::from_secs(5),
        answer: 4 << 20,
    };
    let answer = cell::compute(bounds, || match gitconfig::clean(base, now, work_tree) {
        Ok(None) => vec![0],
        Ok(Some(cleaned)) => {
            // One bit for each row of the list, then the text.
            let mut out = vec![1];
            out.extend(gitconfig::encode(&cleaned.taken));
            out.extend(cleaned.text);
            out
        }
        Err(_) => vec![2],
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
