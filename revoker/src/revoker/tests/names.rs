//! Which approvers exist is told neither by the words of a refusal nor by the work behind it.

use std::sync::Arc;

use tracing::Level;

use crate::approval::{
    Answer, ApproverName, Asked, Choice, Outcome, PageKey, Proof, Refusal, decide, disable, enrol, invite,
};
use crate::revoker::Revoker;
use crate::store::StoreError;
use crate::testing::log::Log;
use crate::testing::prove;
use crate::testing::{at, open_as, ungoverned};

fn name(text: &str) -> ApproverName {
    ApproverName::new(text).unwrap()
}

/// What comes of an answer, and all statements that it took.
fn tried(revoker: &Revoker, page: &PageKey, who: &str, code: &str) -> (Outcome, Vec<String>) {
    let (name, code) = (who.to_owned(), code.to_owned());
    let proof = Proof::Code { name, code, number: String::new() };
    let answer = Answer { choice: Choice::Deny, proof, seen: detector::MicroBits::default() };
    let log = Log::begin(Level::TRACE);
    let keys = Arc::clone(revoker.keys());
    let said = revoker
        .inner
        .write(|w| {
            decide(w, &keys, page, &answer, at(60), at(1)).map_err(|e| StoreError::damaged(e.to_string()))
        })
        .unwrap()
        .unwrap();
    let log = log.take();
    let statements = log.lines().filter(|line| line.contains("statement sql=")).map(str::to_owned);
    (said, statements.collect())
}

#[tokio::test]
async fn a_wrong_code_takes_the_same_work_whoevers_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open_as(folder.path(), ungoverned(&["idp"]));
    for person in ["alice", "locked", "disabled"] {
        enrol(&revoker, name(person), Vec::new(), "test".to_owned(), at(0)).await.unwrap();
    }
    invite(&revoker, name("invited"), Vec::new(), "test".into(), at(0)).await.unwrap();
    assert!(disable(&revoker, name("disabled"), "test".to_owned(), at(0)).await.unwrap());
    let asked = async |agent: &str| {
        let mut asked = Asked { by: "gateway".into(), ..Asked::default() };
        asked.action.agent_id = agent.into();
        asked.action.endpoint = "send_email".into();
        revoker.ask(asked, at(0)).await.unwrap().approval.page
    };
    let page = asked("one").await;
    for _ in 0..5 {
        assert_eq!(tried(&revoker, &page, "locked", "000000").0, Outcome::Refused(Refusal::WrongCode));
    }
    // A code of six signs, and one as long as a recovery code.
    for (agent, code) in [("two", "000000"), ("three", "00000-00000")] {
        let page = asked(agent).await;
        let (said, work) = tried(&revoker, &page, "alice", code);
        assert_eq!(said, Outcome::Refused(Refusal::WrongCode));
        assert!(work.len() >= 4, "{work:?}");
        for who in ["nobody", "locked", "disabled", "invited", "no:name", ""] {
            let (said, same) = tried(&revoker, &page, who, code);
            let why = if who == "locked" { Refusal::ApproverLocked } else { Refusal::WrongCode };
            assert_eq!((said, &same), (Outcome::Refused(why), &work), "{who} {code}");
        }
    }
    // Ten wrong answers close a question, of names that exist no sooner and no later than of others.
    for (agent, who) in [("four", "alice"), ("five", "nobody"), ("six", "locked")] {
        let page = asked(agent).await;
        for _ in 0..9 {
            tried(&revoker, &page, who, "000000");
        }
        let (last, _) = tried(&revoker, &page, who, "000000");
        assert!(matches!(last, Outcome::Refused(Refusal::Locked { .. })), "{who}: {last:?}");
    }
    prove::row(
        "statements of the record that an answer takes more or less where its name is an approver's",
        0,
        "0",
        "names::",
    );
}
