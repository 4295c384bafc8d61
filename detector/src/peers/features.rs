//! An agent as a point: the square roots of its session frequencies, each by how few agents call it (endpoint study §4).

use std::collections::BTreeMap;

use super::cluster::Point;
use super::grouping::Sampled;

/// Endpoints by which agents are told apart: those that most agents share.
const DIMENSIONS_MAX: usize = 512;

/// The agents' points, of unit length, and how many dimensions they have. What one agent alone calls tells it from nobody else, and
/// what all call tells nobody.
pub(super) fn points(sample: &[Sampled]) -> (Vec<Point>, usize) {
    let mut callers = BTreeMap::<u64, u32>::new();
    for &(endpoint, _) in sample.iter().flat_map(|agent| &agent.called) {
        *callers.entry(endpoint).or_default() += 1;
    }
    let agents = sample.len() as u32;
    let mut shared: Vec<(u64, u32)> = callers.into_iter().filter(|(_, n)| (2..agents).contains(n)).collect();
    shared.sort_unstable_by_key(|&(endpoint, n)| (std::cmp::Reverse(n), endpoint));
    shared.truncate(DIMENSIONS_MAX);
    let dimensions: BTreeMap<u64, (u16, f64)> = shared
        .iter()
        .enumerate()
        .map(|(d, &(endpoint, n))| (endpoint, (d as u16, libm::log(f64::from(agents) / f64::from(n)))))
        .collect();
    let point = |agent: &Sampled| {
        let mut coordinates: Vec<(u16, f64)> = agent
            .called
            .iter()
            .filter_map(|(endpoint, sessions)| {
                let (d, idf) = dimensions.get(endpoint)?;
                Some((*d, libm::sqrt(f64::from(*sessions) / f64::from(agent.sessions.max(1)) * idf)))
            })
            .collect();
        coordinates.sort_unstable_by_key(|(d, _)| *d);
        Point::new(coordinates)
    };
    (sample.iter().map(point).collect(), dimensions.len())
}
