//! Which rung of the ladder the box stands on: the highest that this place allows, and none below what is accepted.

#![forbid(unsafe_code)]

use super::scene::Scene;
use crate::host::Place;
use crate::plan::rung::{Nested, Rung, Standing};
use crate::policy::Origin;

/// Chooses it. What was not tried is taken to be whole: where it is not, the launch fails.
pub(super) fn standing(scene: &mut Scene<'_>) -> Standing {
    let nested = scene.policy.wishes.nested.as_ref();
    if let Some(wish) = nested.filter(|wish| wish.value == Nested::Allow) {
        let origin = wish.origin.clone();
        return inner(scene, origin);
    }
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

/// A sandbox may be made within the box. The word says what it is about, so it needs no other one that accepts the rung; one
/// that accepts only higher ones is the stronger.
fn inner(scene: &mut Scene<'_>, origin: Origin) -> Standing {
    let here = match &scene.host.place {
        Place::Untried | Place::Whole => None,
        Place::NoProc(why) | Place::Nothing(why) => Some(why.clone()),
        Place::Unfit(cause) => Some(cause.what().to_owned()),
    };
    if let Some(why) = here {
        let what = format!("no sandbox can be made within a box here ({why})");
        scene.problem(
            what,
            "leave it out (--nested refuse): the box itself is the sandbox",
            Some(&origin),
        );
    }
    let accepted = scene.policy.wishes.rung.as_ref();
    if let Some(wish) = accepted.filter(|wish| wish.value < Rung::Nested) {
        let (value, wish) = (wish.value, wish.origin.clone());
        let what = format!(
            "the rung `{}` is asked for, and `{value}` is the lowest that is accepted by {wish}",
            Rung::Nested
        );
        let remedy = format!("--rung {} accepts it", Rung::Nested);
        scene.problem(what, &remedy, Some(&origin));
    }
    scene.notices.push(
        "an inner sandbox can uncover names that are hidden, protected or refused in what the box writes: keep secrets out of it"
            .to_owned(),
    );
    Standing {
        rung: Rung::Nested,
        bare: None,
        why: Some("a sandbox may be made within the box".to_owned()),
        origin: Some(origin),
    }
}
