//! Which layers must hold, and which were switched off.

#![forbid(unsafe_code)]

use super::limits;
use super::scene::Scene;
use crate::outcome::Layer;
use crate::plan::rung::Rung;
use crate::plan::{IdentityMode, LayerOff, Network, NetworkMode};

/// `require` and `off` of the plan.
pub(super) fn layers(
    scene: &mut Scene<'_>,
    network: &Network,
    rung: Rung,
    mode: IdentityMode,
) -> (Vec<Layer>, Vec<LayerOff>) {
    // Who accepts a rung below the full one accepts what comes with a container's root.
    let uncounted = rung > Rung::Nested && limits::uncounted(scene.host, mode);
    let lacks =
        |layer: Layer| rung.lacks().contains(&layer) || (uncounted && layer == Layer::Limits);
    let wishes = &scene.policy.wishes;
    let mut off: Vec<LayerOff> = Vec::new();
    for wish in &wishes.layers_off {
        if off.iter().all(|o| o.layer != wish.value) {
            off.push(LayerOff {
                layer: wish.value,
                origin: wish.origin.clone(),
            });
        }
    }
    for wish in &wishes.require {
        let layer = wish.value;
        if let Some(o) = off.iter().find(|o| o.layer == layer) {
            let what = format!(
                "the layer {} is required, and switched off by {}",
                layer.name(),
                o.origin
            );
            scene.problem(what, "decide for one of the two", Some(&wish.origin));
        }
        if layer == Layer::Network && network.mode == NetworkMode::Host {
            let what = format!(
                "the layer network is required, and the network is the host's by {}",
                network.origin
            );
            scene.problem(
                what,
                "use --net none, or do not require it",
                Some(&wish.origin),
            );
        }
    }
    for wish in &wishes.require {
        if lacks(wish.value) {
            let what = format!(
                "the layer {} is required, and the rung {rung} lacks it",
                wish.value.name()
            );
            let remedy = match rung {
                Rung::Nested => "leave `nested` out, or do not require it",
                _ => "run where namespaces can be had, or do not require it",
            };
            scene.problem(what, remedy, Some(&wish.origin));
        }
    }
    if rung == Rung::Landlock {
        let missing = wishes.layers_off.iter().chain(&wishes.allow_missing);
        for wish in missing.filter(|wish| matches!(wish.value, Layer::Landlock | Layer::Seccomp)) {
            let what = format!(
                "the rung landlock is nothing without the layer {}",
                wish.value.name()
            );
            scene.problem(
                what,
                "leave it out, or run where namespaces can be had",
                Some(&wish.origin),
            );
        }
    }
    for o in &off {
        scene.notices.push(format!(
            "the layer {} is switched off by {}",
            o.layer.name(),
            o.origin
        ));
    }
    let require = Layer::ALL
        .into_iter()
        .filter(|layer| {
            let is_off = off.iter().any(|o| o.layer == *layer);
            let asked = wishes.require.iter().any(|wish| wish.value == *layer);
            let may_miss = wishes.allow_missing.iter().any(|wish| wish.value == *layer);
            // There is no network namespace to prove when the host's network was asked for.
            let none = *layer == Layer::Network && network.mode == NetworkMode::Host;
            !is_off && !none && !lacks(*layer) && (asked || !may_miss)
        })
        .collect();
    (require, off)
}
