//! Which rung of the ladder the box stands on: the highest that this place allows, and none below what is accepted.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::host::Place;
use crate::plan::rung::{Rung, Standing};
use crate::policy::Origin;

/// Chooses it. What was not tried is taken to be whole: where it is not, the launch fails.
pub(super) fn standing(scene: &mut Scene<'_>) -> Standing {
    let (rung, why) = match &scene.host.place {
        Place::Untried | Place::Whole => return Standing::default(),
        Place::NoProc(why) => (Rung::ContainerProc, why.clone()),
        Place::Nothing(why) => (Rung::Landlock, why.clone()),
        Place::Unfit(cause) => {
            let remedy = cause.remedy().unwrap_or_default();
            scene.problem(
                format!("no rung can be had here: {}", cause.what()),
                remedy,
                None,
            );
            return Standing::default();
        }
    };
    let accepted = scene.policy.wishes.rung.as_ref();
    let lowest = accepted.map_or(Rung::Full, |wish| wish.value);
    let origin = accepted.map(|wish| wish.origin.clone());
    if rung > lowest {
        let what = format!(
            "only the rung `{rung}` ({}) can be had here ({why}), and `{lowest}` is the lowest that is accepted",
            rung.what()
        );
        let remedy =
            format!("--rung {rung} accepts it: `agentbox check --rungs` says what it guarantees");
        scene.problem(what, &remedy, origin.as_ref());
    }
    Standing {
        rung,
        bare: None,
        why: Some(why),
        origin: origin.or_else(|| Some(Origin::agentbox("nothing lower is accepted by itself"))),
    }
}
