//! A random cut forest for every agent, from the crate `rcf3`: the usual tool for anomalies in a stream.

use rcf3::Forest;

use crate::traffic::Event;

/// Trees, and points a tree: the paper's and Amazon's defaults.
const TREES: usize = 50;
const POINTS: usize = 256;
const DIMENSIONS: usize = 4;
/// Points after which all trees are full, several times over.
const TRAINING: usize = 2_000;
/// Forests that are trained; the others are copies, with memory of their own.
const TRAINED: usize = 10;

type Point = [f32; DIMENSIONS];

/// The forests, and what is needed to make points of calls: an agent's last four gaps, in octaves.
pub(crate) struct Forests {
    forests: Vec<Forest>,
    gaps: Vec<(i64, Point)>,
}

impl Forests {
    /// Forests for so many agents, filled with exponential gaps.
    pub(crate) fn new(agents: usize) -> Self {
        let trained: Vec<Forest> = (0..TRAINED as u64).map(trained).collect();
        Self {
            forests: (0..agents).map(|i| trained[i % TRAINED].clone()).collect(),
            gaps: vec![(0, Point::default()); agents],
        }
    }

    /// The points of these calls; made before the forests are timed.
    pub(crate) fn points(&mut self, events: &[Event]) -> Vec<(usize, Point)> {
        let point = |e: &Event| {
            let (last, gaps) = &mut self.gaps[e.agent as usize];
            gaps.rotate_left(1);
            gaps[DIMENSIONS - 1] = ((e.us - std::mem::replace(last, e.us)) as f32).log2();
            (e.agent as usize, *gaps)
        };
        events.iter().map(point).collect()
    }

    /// Updates the agent's forest with the point and scores it.
    pub(crate) fn observe(&mut self, agent: usize, point: &Point) -> f64 {
        score(&mut self.forests[agent], point)
    }
}

fn score(forest: &mut Forest, point: &Point) -> f64 {
    forest.update_and_score(point).unwrap_or_else(|e| unreachable!("{e}"))
}

fn trained(seed: u64) -> Forest {
    use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};
    use rand_distr::{Distribution, StandardNormal};
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut forest = Forest::builder(DIMENSIONS)
        .num_trees(TREES)
        .capacity(POINTS)
        .seed(seed)
        .build()
        .unwrap_or_else(|e| unreachable!("{e}"));
    for _ in 0..TRAINING {
        let z: Point = std::array::from_fn(|_| StandardNormal.sample(&mut dice));
        score(&mut forest, &z.map(|z: f32| 20.0 + 2.0 * z));
    }
    forest
}
