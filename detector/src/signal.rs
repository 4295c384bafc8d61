//! What every signal tells the detector of one call. One signal, one file.

pub(crate) mod endpoint;
pub(crate) mod volume;

use crate::History;

/// One signal's evidence at one moment, in bits, with the numbers that explain it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// −log2 of the chance of the like in one look, ≥ 0.
    pub(crate) bits: f64,
    /// The same just before this call.
    pub(crate) bits_before: f64,
    /// Independent looks a day that this signal takes at this agent, > 0.
    pub(crate) looks_per_day: f64,
    /// As in [`crate::Part`].
    pub(crate) observed: f64,
    /// As in [`crate::Part`].
    pub(crate) expected: f64,
    /// As in [`crate::Part`].
    pub(crate) window_ms: u64,
    /// As in [`crate::Part`].
    pub(crate) history: History,
}

/// `n` observations whose weights are `own` and, of the rest, peers or prior.
///
/// The shares are thousandths and sum to 1,000: the rest after rounding `own` goes to the peers once there is a model
/// of them, to the prior before.
pub(crate) fn history(n: f64, own: f64, has_peers: bool) -> History {
    let own = (own.clamp(0.0, 1.0) * 1_000.0).round() as u16;
    let rest = 1_000 - own;
    let (peers, prior) = if has_peers { (rest, 0) } else { (0, rest) };
    History { n: n.min(f64::from(u32::MAX)) as u32, prior, peers, own }
}
