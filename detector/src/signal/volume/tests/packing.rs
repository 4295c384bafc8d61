//! What it costs to keep an agent's volume in 32 and 16 bits.

use std::time::Duration;

use super::super::{Volume, VolumeTally};
use super::laws::START;
use super::{context, peers};
use crate::random::Random;
use crate::reference::Apart;

#[test]
fn packing_moves_no_level() {
    let peers = peers(20.0);
    let ctx = context(&peers);
    let mut random = Random::new(1);
    let (mut exact, mut packed) = (Volume::<f64, f64>::new(START, ctx), Volume::<f32>::new(START, ctx));
    let mut tallies = [VolumeTally::default(), VolumeTally::default()];
    let (mut days, mut burst, mut apart) = (0.0, 0, Apart::at_most(0.05));
    while days < 21.0 {
        // Three working weeks, and six minutes of an attack in the last.
        burst += u32::from(days > 17.5);
        let hour = (days * 24.0) as u32;
        let per_hour = match (hour / 24 % 7, hour % 24) {
            _ if (1..180).contains(&burst) => 1_800.0,
            (5.., _) => 2.0,
            (_, 8..18) => 40.0,
            _ => 4.0,
        };
        days += random.exponential() / per_hour / 24.0;
        let ts = START + Duration::from_secs_f64(days * 86_400.0);
        exact.advance(ts, ctx, &mut tallies[0]);
        packed.advance(ts, ctx, &mut tallies[1]);
        let (a, b) = (exact.count(ts, ctx, &mut tallies[0]), packed.count(ts, ctx, &mut tallies[1]));
        apart.see(a.at.map(|_| a.now), b.at.map(|_| b.now));
    }
    apart.say("volume", 16.0);
}
