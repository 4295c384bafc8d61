//! What was new about a caller turns out not to have been the agent.

use arrayvec::ArrayVec;

use super::{ALL, BEFORE, BINS, News, NewsModel, NewsTally, RECENT, SLOTS, STEPS, bin, forget, stored};
use crate::Timestamp;
use crate::ruling::Reach;
use crate::stored::{Half, Stored};

impl News {
    /// What was first seen within `reach` was not the agent: neither it nor the fleet knows it any more.
    pub(in crate::signal::context) fn disown(
        &mut self,
        ts: Timestamp,
        reach: Reach,
        model: &mut NewsModel,
        tally: &mut NewsTally,
    ) {
        self.age(ts);
        let marks = if reach == Reach::Recent { RECENT } else { RECENT | BEFORE };
        let mut gone = ArrayVec::<u32, SLOTS>::new();
        for topic in ALL {
            let [exact, broad, whole] = topic.slots();
            let has_broad = !broad.is_empty();
            let new = forget(&mut self.slots.0[exact], marks);
            let new_broad = if has_broad { forget(&mut self.slots.0[broad], marks) } else { new.clone() };
            let new_whole =
                if whole.is_empty() { new_broad.clone() } else { forget(&mut self.slots.0[whole], marks) };
            let gone_by_step = [&new, &new_broad, &new_whole].map(|gone| !gone.is_empty());
            for step in (0..STEPS).filter(|step| gone_by_step[*step]) {
                self.take_back(topic as usize, step, tally);
            }
            gone.extend(new_broad);
        }
        // What waits for the next version is not in this one.
        let (waiting, published): (Vec<u32>, Vec<u32>) =
            gone.iter().partition(|value| tally.sights.iter().any(|sight| stored(*sight) == **value));
        tally.sights.retain(|sight| !waiting.contains(&stored(*sight)));
        model.forget(&published);
        // The next call is read whole, and may be news in this very hour.
        (self.digest, self.new) = (0, 0);
        self.accept();
    }

    /// One news fewer of the agent, and of what its peers learned by it.
    fn take_back(&mut self, topic: usize, step: usize, tally: &mut NewsTally) {
        let (cell, hours) = (topic * STEPS + step, self.hours.0[topic].get());
        let had = (self.had.0[cell].get() - 1.0).max(0.0);
        self.had.0[cell] = Half::put(had);
        let peers = &mut tally.news.0[cell * BINS + bin(hours)];
        *peers = (*peers - 1.0 / (had + 1.0)).max(0.0);
    }
}
