//! Where two must say yes and there is more against the agent by the time the second does.

use detector::{Attestation, EffectiveAttestation, MicroBits};
use totp_rs::Totp;

use super::*;
use crate::approval::{
    Answer, Approval, ApproverName, Choice, Outcome, Proof, Refusal, Status, decide, enrol,
};
use crate::config::PolicyConfig;
use crate::connector::Route;
use crate::effect::NOTICE;
use crate::policy::Policy;
use crate::policy::risk::Risk;
use crate::revoker::Setup;
use crate::store::{Page, StoreError, approvals};
use crate::testing::{at, record, setup};

struct Two {
    folder: tempfile::TempDir,
    revoker: Revoker,
    people: [(String, Totp); 2],
}

impl Two {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = PolicyConfig::default();
        config.approval.two_for = vec![Risk::BulkRead];
        let policy = Policy::new(detector::Budgets::default(), config);
        let routes =
            vec![Route { name: "people".to_owned(), events: vec![NOTICE.to_owned()], ..Route::default() }];
        let revoker = crate::testing::open_as(folder.path(), Setup { policy, routes, ..setup(&[]) });
        let person = async |name: &str| {
            let name = ApproverName::new(name).unwrap();
            let enrolled = enrol(&revoker, name, Vec::new(), "test".to_owned(), at(0)).await.unwrap();
            (enrolled.name.to_string(), Totp::from_url(enrolled.expose_address()).unwrap())
        };
        let people = [person("alice").await, person("bob").await];
        Self { folder, revoker, people }
    }

    /// Evidence against the agent, for whom nobody vouches; the question.
    async fn evidence(&self, n: u32, bits: f64, s: i64) -> Approval {
        let mut record = record(n, at(s), "reader", bits);
        record.endpoint = "export_all".into();
        record.verdict.attestation = EffectiveAttestation::new(Attestation::None, Attestation::None);
        let Admission::Challenged { case, .. } = handle(&self.revoker, &record).admission else {
            panic!("{n}")
        };
        let case = case.to_string();
        let found = self.revoker.read(move |db| approvals::by_case(db, &case).map_err(StoreError::from));
        found.await.unwrap().unwrap()
    }

    /// What somebody's yes comes to, who was shown this much.
    async fn yes(&self, who: usize, to: &Approval, seen: f64, s: i64) -> Outcome {
        let (name, app) = &self.people[who];
        let code = app.generate(at(s).as_millis() as u64 / 1_000).to_string();
        let proof = Proof::Code { name: name.clone(), code, number: to.binding_code.as_str().to_owned() };
        let answer = Answer { choice: Choice::Approve, proof, seen: MicroBits::from_bits(seen) };
        let (page, keys) = (to.page.clone(), self.revoker.keys().clone());
        let said = self.revoker.write(move |w| decide(w, &keys, &page, &answer, at(s + 300), at(s)));
        said.await.unwrap().unwrap()
    }

    async fn entries(&self, of: &Approval, kind: &str) -> Vec<serde_json::Value> {
        let entries = self.revoker.audit_of(of.agent(), Page::new(100, None)).await.unwrap();
        entries.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.body).collect()
    }

    /// Whom people were told to hear from, by stage.
    fn told(&self) -> Vec<(String, String)> {
        let db = raw(self.folder.path());
        let mut statement =
            db.prepare_cached("SELECT body FROM events WHERE kind = ?1 ORDER BY seq").unwrap();
        let bodies = statement.query_map([NOTICE], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let said = bodies.map(|body| serde_json::from_slice::<serde_json::Value>(&body.unwrap()).unwrap());
        said.map(|said| {
            let text = |name: &str| said["data"][name].as_str().unwrap_or_default().to_owned();
            (text("stage"), said["data"]["people"].to_string() + &text("text"))
        })
        .collect()
    }
}

#[tokio::test]
async fn a_first_yes_that_the_evidence_has_outgrown_counts_no_more_whoever_answers_next() {
    // Who said yes first is asked again at once; after that either of them may be the first.
    for next in [0, 1] {
        let two = Two::new().await;
        let question = two.evidence(1, 8.0, 0).await;
        assert_eq!(two.yes(0, &question, 8.0, 10).await, Outcome::Half);
        two.evidence(2, 9.0, 40).await;
        let kept = two.revoker.approval(question.id.clone()).await.unwrap().unwrap();
        assert!(kept.first.is_some(), "a little more is what they said yes to");
        two.evidence(3, 16.0, 41).await;
        let kept = two.revoker.approval(question.id.clone()).await.unwrap().unwrap();
        assert_eq!(kept.first, None);
        let superseded = two.entries(&question, "approval.half_superseded").await;
        assert_eq!((superseded.len(), &superseded[0]["by"]), (1, &"alice".into()));
        let (stage, said) = two.told().pop().unwrap();
        assert!(stage == "again" && said.starts_with("[\"alice\"]There is more against reader"), "{said}");

        // A page of before covers it for nobody.
        let before = two.yes(1 - next, &question, 8.0, 70).await;
        assert_eq!(before, Outcome::Refused(Refusal::EvidenceGrew));
        assert_eq!(two.yes(next, &question, 16.0, 100).await, Outcome::Half);
        assert_eq!(kept.status(at(100)), Status::Pending);
        assert_eq!(two.yes(1 - next, &question, 16.0, 130).await, Outcome::Settled);
        let first = &two.entries(&question, "approval.settled").await[0]["first"];
        assert_eq!(first, &two.people[next].0.as_str());
    }
}
