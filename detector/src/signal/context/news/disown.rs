//! What was new about a caller turns out not to have been the agent.

use arrayvec::ArrayVec;

use super::{
    ALL, BEFORE, BINS, News, NewsModel, NewsTally, RECENT, SLOTS, STEPS, TOLD, VALUE, bin, forget, stored,
};
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
            gone.extend(new_broad.iter().filter(|slot| **slot & TOLD != 0).map(|slot| slot & VALUE));
        }
        // What waits for the next version is not in this one. Another agent's sight is as good as this one's, but one only.
        let mut wait = |value: &u32| {
            let at = tally.sights.iter().position(|sight| stored(*sight) == *value);
            at.map(|at| tally.sights.remove(at)).is_some()
        };
        gone.retain(|value| !wait(value));
        model.forget(&gone);
        // The next call is read whole, and may be news in this very hour.
        (self.digest, self.new) = (0, 0);
        self.accept();
    }

    /// One news fewer of the agent, and of what its peers learned by it; in a first hour nothing was news.
    fn take_back(&mut self, topic: usize, step: usize, tally: &mut NewsTally) {
        let (cell, hours) = (topic * STEPS + step, self.hours.0[topic].get() - 1.0);
        let had = self.had.0[cell].get();
        // They are whole but for rounding.
        if had < 0.5 {
            return;
        }
        let had = (had - 1.0).max(0.0);
        self.had.0[cell] = Half::put(had);
        let peers = &mut tally.news.0[cell * BINS + bin(hours)];
        *peers = (*peers - 1.0 / (had + 1.0)).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Context, Facts, Topic};
    use super::*;
    use crate::signal::Alarm;
    use crate::signal::context::ContextModel;
    use crate::{Call, MicroBits, Providers};

    const HOUR: Duration = Duration::from_hours(1);

    struct Life {
        news: News,
        model: ContextModel,
        tally: NewsTally,
        ts: Timestamp,
    }

    impl Life {
        fn new() -> Self {
            let ts = Timestamp::from_millis(1_767_571_200_000);
            Self { news: News::default(), model: ContextModel::default(), tally: NewsTally::default(), ts }
        }

        /// What a call from a network of that number says.
        fn facts(&self, network: u8) -> Facts {
            let mut call = Call::new("id", self.ts, "agent", "read");
            call.source_ip = Some([203, 0, network, 7].into());
            Facts::of(&call, &Providers::default())
        }

        fn value(&self, network: u8) -> u64 {
            self.facts(network).network.unwrap()
        }

        /// A call of the agent from there.
        fn call(&mut self, network: u8, is_established: bool) {
            let facts = self.facts(network);
            let ctx = Context {
                model: &self.model,
                has_peers: true,
                widening: 1.0,
                born: Timestamp::default(),
                calls_per_day: 24.0,
                is_suspect: false,
                is_established,
                alarm: Alarm::once_in(450.0),
                watch: MicroBits::from_bits(5.0),
                step_up: MicroBits::from_bits(8.0),
            };
            self.news.see(&facts, self.ts, ctx, &mut self.tally);
        }

        fn disown(&mut self) {
            self.news.disown(self.ts, Reach::Both, &mut self.model.news, &mut self.tally);
        }

        /// How many agents the fleet knows from there, now and with its next version.
        fn agents_from(&self, network: u8) -> (u32, usize) {
            let value = self.value(network);
            let waiting = self.tally.sights.iter().filter(|sight| **sight == value).count();
            (self.model.news.agents_with(value), waiting)
        }
    }

    #[test]
    fn what_was_no_news_is_not_taken_back() {
        let mut life = Life::new();
        let at = |hours| Topic::Network as usize * STEPS * BINS + bin(hours);
        // What peers had in their first hours.
        life.tally.news.0[at(1.0)] = 3.0;
        life.call(1, true);
        life.disown();
        assert_eq!(life.tally.news.0[at(1.0)].to_bits(), 3.0_f64.to_bits());
        life.ts = life.ts + HOUR;
        life.call(2, true);
        assert!(life.tally.news.0[at(1.0)] > 3.99);
        life.disown();
        assert!((life.tally.news.0[at(1.0)] - 3.0).abs() < 0.01, "and what was is");
    }

    #[test]
    fn the_fleet_forgets_what_the_agent_told_it_and_nothing_else() {
        let mut life = Life::new();
        life.call(1, false);
        life.ts = life.ts + HOUR;
        life.call(2, true);
        // Another agent was there too, and the next version is the one to say so.
        let theirs = life.tally.sights.clone();
        life.tally.sights.extend(theirs);
        life.tally.sights.extend([life.value(1); 2]);
        assert_eq!([1, 2].map(|network| life.agents_from(network)), [(0, 2), (0, 2)]);
        let mut published = (life.news.clone(), life.model.clone(), life.tally.clone());
        life.disown();
        assert_eq!([1, 2].map(|network| life.agents_from(network)), [(0, 2), (0, 1)]);

        published.2.publish(&mut published.1.news);
        (life.news, life.model, life.tally) = published;
        life.disown();
        assert_eq!([1, 2].map(|network| life.agents_from(network)), [(2, 0), (1, 0)]);
    }
}
