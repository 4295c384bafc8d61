//! Races for one question and for one grant: exactly one outcome, and it is the one on record. Where the record is a server the two
//! sides are two processes' revokers; where it is a file they are two threads of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use totp_rs::Totp;

use super::*;
use crate::approval::{
    Action, Answer, Approval, ApproverName, Asked, Choice, Grant, GrantRefused, Outcome, Proof, Refusal,
    Status, decide, enrol,
};
use crate::store::{Page, StoreError, approvals};
use crate::testing::{at, open_as, prove, record, ungoverned};

/// How long a grant of these tests is good for.
const GRANT: Duration = Duration::from_mins(5);

/// Between two races, so that none meets a code, a grant or a cool-down of another's.
const APART_S: i64 = 3_600;

fn races() -> u32 {
    prove::scaled(25, 1_000)
}

/// Two doors to one record, and two people who answer.
struct Ring {
    _folder: tempfile::TempDir,
    doors: [Revoker; 2],
    people: [(String, Totp); 2],
}

impl Ring {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = open_as(folder.path(), ungoverned(&["idp"]));
        let is_shared = first.inner.store.reader().is_shared();
        let second = if is_shared { open_as(folder.path(), ungoverned(&["idp"])) } else { first.clone() };
        let person = async |name: &str| {
            let name = ApproverName::new(name).unwrap();
            let enrolled = enrol(&first, name, Vec::new(), "test".to_owned(), at(0)).await.unwrap();
            (enrolled.name.to_string(), Totp::from_url(enrolled.expose_address()).unwrap())
        };
        let people = [person("alice").await, person("bob").await];
        Self { _folder: folder, doors: [first, second], people }
    }

    /// The question about an act of the `n`th agent, put before there is any evidence.
    async fn asked(&self, n: u32, now: Timestamp) -> Approval {
        let asked = Asked { action: act(n), by: "gateway".into(), ..Asked::default() };
        self.doors[0].ask(asked, now).await.unwrap().approval
    }

    /// What the person at this door says, once the other side is as far.
    async fn says(
        &self,
        side: usize,
        choice: Choice,
        to: &Approval,
        now: Timestamp,
        (start, late): (&Barrier, Duration),
    ) -> Outcome {
        let (name, app) = &self.people[side];
        let code = app.generate(now.as_millis() as u64 / 1_000).to_string();
        let number = to.binding_code.as_str().to_owned();
        let proof = Proof::Code { name: name.clone(), code, number };
        let answer = Answer { choice, proof, seen: to.level() };
        let (door, page, until) = (&self.doors[side], to.page.clone(), now + GRANT);
        let keys = Arc::clone(door.keys());
        start.wait().await;
        let from = Instant::now();
        while from.elapsed() < late {
            tokio::task::yield_now().await;
        }
        let said = door.write(move |w| decide(w, &keys, &page, &answer, until, now)).await;
        said.unwrap().unwrap()
    }

    async fn reread(&self, approval: &Approval) -> Approval {
        self.doors[0].approval(approval.id.clone()).await.unwrap().unwrap()
    }

    /// Entries of this kind about the agent.
    async fn entries(&self, of: &Approval, kind: &str) -> Vec<serde_json::Value> {
        let entries = self.doors[0].audit_of(of.agent(), Page::new(100, None)).await.unwrap();
        entries.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.body).collect()
    }
}

fn act(n: u32) -> Action {
    Action { agent_id: format!("agent-{n}"), endpoint: "send_email".into(), ..Action::default() }
}

/// How much later one side begins the next time: it is moved to where either may win.
fn balanced(late: Duration, won: bool) -> Duration {
    const STEP: Duration = Duration::from_micros(400);
    if won { late + STEP } else { late.saturating_sub(STEP) }
}

fn survived(what: &str, test: &str) {
    prove::row_on_record(what, races(), "one outcome each, the recorded one", test);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_approvers_one_answers() {
    let ring = Ring::new().await;
    let (mut firsts, mut late) = (0, Duration::ZERO);
    for n in 0..races() {
        let now = at(i64::from(n) * APART_S);
        let question = ring.asked(n, now).await;
        let choices = [Choice::Approve, [Choice::Deny, Choice::Attack, Choice::Approve][n as usize % 3]];
        let start = Barrier::new(2);
        let (one, two) = tokio::join!(
            ring.says(0, choices[0], &question, now, (&start, Duration::ZERO)),
            ring.says(1, choices[1], &question, now, (&start, late))
        );
        let winner = match (&one, &two) {
            (Outcome::Settled, Outcome::Refused(Refusal::Over)) => 0,
            (Outcome::Refused(Refusal::Over), Outcome::Settled) => 1,
            // After a plain no it may still be called an attack, but nothing here says no and then that.
            other => panic!("{n}: {other:?}"),
        };
        firsts += u32::from(winner == 0);
        late = balanced(late, winner == 1);
        let kept = ring.reread(&question).await;
        assert!(
            matches!(&kept.state, crate::approval::State::Answered { choice, by, .. }
                if *choice == choices[winner] && *by == ring.people[winner].0),
            "{n}: {kept:?}"
        );
        assert_eq!(kept.grant.is_some(), choices[winner] == Choice::Approve);
        let settled = ring.entries(&question, "approval.settled").await;
        assert_eq!(settled.len(), 1, "{n}: {settled:?}");
        assert_eq!(settled[0]["by"], ring.people[winner].0.as_str());
    }
    println!("the first of two won {firsts} of {} races", races());
    ring.doors[0].verify_audit(Vec::new()).await.unwrap();
    survived("two approvers race", "races::of_two_approvers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_resumptions_one_is_admitted() {
    let ring = Ring::new().await;
    for n in 0..races() {
        let now = at(i64::from(n) * APART_S);
        let question = ring.asked(n, now).await;
        let said = ring.says(0, Choice::Approve, &question, now, (&Barrier::new(1), Duration::ZERO)).await;
        assert_eq!(said, Outcome::Settled);
        let grant: Grant = ring.doors[0].grants().of(&ring.reread(&question).await).unwrap();
        let start = Barrier::new(2);
        let resume = async |side: usize, name: &str, event: String| {
            let resumption = (grant.clone(), name.parse().unwrap());
            start.wait().await;
            ring.doors[side].admit(resumption, act(n), event, now).await.unwrap()
        };
        let (one, two) = tokio::join!(resume(0, "r-1", format!("a-{n}")), resume(1, "r-2", format!("b-{n}")));
        let winner = match (&one, &two) {
            (Ok(admitted), Err(GrantRefused::Used)) if !admitted.repeated => "r-1",
            (Err(GrantRefused::Used), Ok(admitted)) if !admitted.repeated => "r-2",
            other => panic!("{n}: {other:?}"),
        };
        let kept = ring.reread(&question).await.grant.unwrap().used.unwrap();
        assert_eq!(kept.0.as_str(), winner);
        let resumed = ring.entries(&question, "approval.resumed").await;
        assert_eq!(resumed.len(), 1, "{n}: {resumed:?}");
        assert_eq!(resumed[0]["resume_id"], winner);
    }
    ring.doors[0].verify_audit(Vec::new()).await.unwrap();
    survived("two resumes race", "races::of_two_resumptions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_at_the_last_moment_counts_or_the_question_has_lapsed() {
    let ring = Ring::new().await;
    let (mut in_time, mut late) = (0, Duration::ZERO);
    for n in 0..races() {
        let asked = at(i64::from(n) * APART_S);
        let name = format!("agent-{n}");
        let low_risk = VerdictRecord { endpoint: "send_email".into(), ..record(n, asked, &name, 9.0) };
        let decision = handle(&ring.doors[0], &low_risk);
        let Admission::Challenged { case, .. } = decision.admission else { panic!("{n}: {decision:?}") };
        let found = ring.doors[0]
            .read(move |db| approvals::by_case(db, &case.to_string()).map_err(StoreError::from))
            .await;
        let question = found.unwrap().unwrap();
        // A moment before its end by the clock of who reads the answer; its end by the clock that ends questions.
        let (last, end) = (question.expires_at - Duration::from_secs(1), question.expires_at);
        let start = Barrier::new(2);
        let lapse = async {
            start.wait().await;
            ring.doors[1].tick(end).await.unwrap()
        };
        let (said, _) = tokio::join!(ring.says(0, Choice::Approve, &question, last, (&start, late)), lapse);
        let status = ring.reread(&question).await.status(end);
        let expected = match said {
            Outcome::Settled => (Status::Approved, "probation", 1),
            Outcome::Refused(Refusal::Over) => (Status::Expired, "challenged", 0),
            other => panic!("{n}: {other:?}"),
        };
        // The door that did not write follows the other.
        let after = ring.doors[0].write(move |w| Ok::<_, StoreError>(w.standing(&agent(&name)))).await;
        let settled = ring.entries(&question, "approval.settled").await.len();
        assert_eq!((status, after.unwrap().name(), settled), expected, "{n}");
        in_time += settled;
        late = balanced(late, settled == 1);
    }
    println!("in time: {in_time} of {} answers", races());
    ring.doors[0].verify_audit(Vec::new()).await.unwrap();
    survived("approve races expiry", "races::an_answer_at_the_last_moment");
}
