//! Questions to the detector from outside its thread, answered between two batches.

use std::time::Duration;

use detector::{Belonging, Detector};
use tokio::sync::{mpsc, oneshot};

/// Questions that wait.
const WAITING_MAX: usize = 64;
/// No batch takes longer; a pipeline that waits for its disk answers nobody.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// To which peer group does this agent belong?
#[derive(Debug)]
struct Question {
    issuer: Option<String>,
    agent_id: String,
    answer: oneshot::Sender<Option<Belonging>>,
}

/// Asks the detector of a pipeline.
#[derive(Clone, Debug)]
pub struct Enquirer(mpsc::Sender<Question>);

/// What is asked of a pipeline.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

/// Two ends of one line.
pub fn line() -> (Enquirer, Questions) {
    let (enquirer, questions) = mpsc::channel(WAITING_MAX);
    (Enquirer(enquirer), Questions(questions))
}

impl Enquirer {
    /// Who the agent is compared with; none where it was never seen, where nobody scores here or no answer comes in time.
    pub async fn belonging(&self, issuer: Option<&str>, agent_id: &str) -> Option<Belonging> {
        let (answer, answered) = oneshot::channel();
        let issuer = issuer.map(str::to_owned);
        self.0.try_send(Question { issuer, agent_id: agent_id.to_owned(), answer }).ok()?;
        tokio::time::timeout(WAIT_MAX, answered).await.ok()?.ok()?
    }
}

impl Questions {
    pub(super) fn answer(&mut self, detector: &Detector) {
        while let Ok(Question { issuer, agent_id, answer }) = self.0.try_recv() {
            // Whoever asked may have gone.
            answer.send(detector.group_of(issuer.as_deref(), &agent_id)).ok();
        }
    }
}
