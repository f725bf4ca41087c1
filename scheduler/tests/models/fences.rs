//! The models of the protocols that argue by two fences, and the proof that they need each fence.

use std::panic::catch_unwind;
use std::time::Instant;

use crate::sync::{MISSED, WITHOUT};
use crate::{home_models, idle_models, nursery_models, resize_models};

/// One model, by name.
#[derive(Clone, Copy)]
pub struct Model {
    name: &'static str,
    model: fn(),
    /// The most preemptions in one schedule, if there is a bound.
    bound: Option<usize>,
}

impl Model {
    /// All schedules.
    pub const fn full(name: &'static str, model: fn()) -> Self {
        Model {
            name,
            model,
            bound: None,
        }
    }

    /// Those with so many preemptions at most, for three threads: the known faults of such protocols
    /// show with two or three.
    pub const fn bounded(bound: usize, name: &'static str, model: fn()) -> Self {
        Model {
            name,
            model,
            bound: Some(bound),
        }
    }

    fn explore(&self) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = self.bound;
        builder.check(self.model);
    }
}

/// Explores all of them.
pub fn all_hold(models: &[Model]) {
    for model in models {
        let begin = Instant::now();
        model.explore();
        println!("{}: {:?}", model.name, begin.elapsed());
    }
}

/// Takes each fence of the protocols out in turn; some model has to fail.
#[test]
fn every_fence_is_needed() {
    let idle = [
        &idle_models::MODELS[..],
        &resize_models::MODELS,
        &home_models::MODELS,
    ]
    .concat();
    let sources = [
        // S2, H5, F2, R3, R5, L2, T2, Y2, W1.
        ("/idle.rs", include_str!("../../src/idle.rs"), 9, &idle[..]),
        // H2, N2.
        (
            "/home.rs",
            include_str!("../../src/home.rs"),
            2,
            &home_models::MODELS,
        ),
        // The owner's, the thief's.
        (
            "/nursery.rs",
            include_str!("../../src/nursery.rs"),
            2,
            &nursery_models::MODELS,
        ),
    ];
    for (file, source, count, models) in sources {
        let fences: Vec<u32> = (1..)
            .zip(source.lines())
            .filter(|(_, line)| line.contains("fence(Ordering::SeqCst)"))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(fences.len(), count, "fences in {file}");
        for line in fences {
            let caught = models.iter().find(|model| {
                WITHOUT.set(Some((file, line)));
                let result = catch_unwind(|| model.explore());
                WITHOUT.set(None);
                result.is_err()
            });
            assert!(MISSED.take(), "no model comes by the fence {file}:{line}");
            let name = caught
                .unwrap_or_else(|| panic!("no model needs the fence {file}:{line}"))
                .name;
            println!("without the fence {file}:{line}: `{name}` fails, as it should");
        }
    }
}
