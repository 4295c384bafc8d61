//! A batch of verdicts is one transaction, and says what its verdicts would have said one by one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::revoker::Heard;
use crate::testing::{at, damning, open_ungoverned, record};

/// Two agents go from trust to an end, a third does nothing strange, and one of the two goes on afterwards.
fn batch() -> Vec<VerdictRecord> {
    let ended = (6..9).map(|n| damning(n, at(300 + i64::from(n)), "mailer"));
    let before = [("mailer", 4.0), ("other", 9.0), ("calm", 0.0), ("mailer", 9.0)];
    let levels = (1..).zip(before).map(|(n, (agent, bits))| record(n, at(n.into()), agent, bits));
    levels.chain([damning(5, at(5), "other")]).chain(ended).collect()
}

fn heard(records: &[VerdictRecord]) -> VecDeque<Heard> {
    records.iter().map(|record| Heard::Verdict(Arc::new(record.clone()))).collect()
}

/// Who was answered what, with the standings and events that came of it.
type Story = (Vec<(String, String, Option<String>)>, Vec<&'static str>, Vec<String>, Vec<i64>);

fn story(folder: &Path, revoker: &Revoker, told: &[Decision]) -> Story {
    let answer = |d: &Decision| {
        let admission = serde_json::to_value(d.admission).unwrap()["admission"].to_string();
        (d.agent.agent_id.clone(), admission, d.alert.as_ref().map(|alert| format!("{:?}", alert.action)))
    };
    let standings = ["mailer", "other", "calm"].map(|name| standing(revoker, name)).to_vec();
    (told.iter().map(answer).collect(), standings, events(folder), counts(folder))
}

#[test]
fn a_batch_says_what_its_verdicts_say_one_by_one_and_commits_once_or_not_at_all() {
    let (alone, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one_by_one = {
        let revoker = open_ungoverned(alone.path());
        let told: Vec<_> = batch().iter().map(|record| revoker.handle(record, at(200)).unwrap()).collect();
        story(alone.path(), &revoker, &told)
    };
    let revoker = open_ungoverned(together.path());
    let (mut queue, mut told, nothing) = (heard(&batch()), Vec::new(), counts(together.path()));
    revoker.refuse_writes(true);
    assert!(revoker.hear(&mut queue, at(200), |_, decision| told.push(decision)).is_err());
    assert_eq!((queue.len(), told.len(), counts(together.path())), (batch().len(), 0, nothing));
    revoker.refuse_writes(false);

    let before = *revoker.changes().borrow();
    revoker.hear(&mut queue, at(200), |_, decision| told.push(decision)).unwrap();
    assert!(queue.is_empty());
    assert_eq!(story(together.path(), &revoker, &told), one_by_one);
    // What the ended agent still does is read against its end, so that is another.
    assert_eq!(*revoker.changes().borrow() - before, 2);

    // A log that is read again.
    let (mut again, mut answers) = (heard(&batch()), Vec::new());
    revoker.hear(&mut again, at(201), |_, decision| answers.push(decision)).unwrap();
    assert_eq!(counts(together.path()), one_by_one.3);
}
