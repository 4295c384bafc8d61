//! The story: a legitimate agent is let go on, a hijacked one is stopped, a runaway one is revoked by itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use detector::Timestamp;
use ingest::decode::native;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::agent::{Answer, Gateway};
use super::human::Human;
use super::narrator::{at, chapter, detail, loud, now};
use super::receiver::Listener;
use super::recorded::{Line, Recorded};
use super::stage::Stage;
use crate::exit;
use crate::simulate::{Fleet, FleetSpec};

/// A recorded session without an attack whose calls do not go together.
const UNUSUAL: &str = "s-0d7e55ffa1a7882e";
/// A recorded session that was hijacked by a prompt injection.
const HIJACKED: &str = "s-46632638fdfde05c";
/// Between two calls of a burst.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);
/// Calls a request carries while logs are played.
const BATCH: usize = 250;
/// Simulated agents, for how long, and the seed that makes one of them run away.
const SIMULATED: FleetSpec = FleetSpec {
    seed: 3,
    agents: 6,
    start: Timestamp::from_millis(1_747_000_800_000),
    length: Duration::from_hours(48),
    calls_per_hour: 30.0,
    attacks: 1,
};

/// Tells it. `ask`: a person at this terminal answers for the humans in it.
pub(super) async fn tell(stage: &Stage, recorded: &Path, ask: bool) -> exit::Result<()> {
    let recorded = Recorded::read(recorded)?;
    let mut player = Player { gateway: stage.recorder(), lines: recorded.lines.iter().peekable(), played: 0 };
    let mut everything = stage.receiver.listen();
    let (mut dana, mut sam) = (stage.human("Dana").await?, stage.human("Sam").await?);

    chapter("Recorded logs of real agents flow in");
    player.until(recorded.start(UNUSUAL)?).await?;
    stage.stored(player.played).await?;
    now("player", &format!("{} recorded calls are in ClickHouse, each with its verdict", player.played));

    chapter("An unusual but legitimate agent");
    let scene = Scene { stage, label: recorded.label(UNUSUAL), session: UNUSUAL };
    scene.play(&mut player, &mut dana, "approve", ask).await?;

    chapter("A hijacked agent");
    player.until(recorded.start(HIJACKED)?).await?;
    stage.stored(player.played).await?;
    let scene = Scene { stage, label: recorded.label(HIJACKED), session: HIJACKED };
    scene.play(&mut player, &mut sam, "attack", ask).await?;
    player.rest().await?;
    now("player", &format!("all {} recorded calls are in", player.played));

    chapter("A runaway agent whose identity is attested");
    let (simulated, burst) = runaway(stage).await?;

    chapter("What the identity platform received, verified by a program of its own");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let actors = [recorded.agent(UNUSUAL)?, recorded.agent(HIJACKED)?, &burst];
    webhooks(&everything.rest(), &actors);

    chapter("What ClickHouse holds");
    summary(stage, player.played + simulated).await?;

    chapter("What to look at next");
    for (what, command) in NEXT {
        now("next", what);
        detail(command);
    }
    Ok(())
}

/// Plays recorded lines in their order.
struct Player<'a> {
    gateway: Gateway,
    lines: std::iter::Peekable<std::slice::Iter<'a, Line>>,
    played: u64,
}

impl<'a> Player<'a> {
    /// Appends what was recorded before `ts`.
    async fn until(&mut self, ts: Timestamp) -> Result<()> {
        loop {
            let batch: Vec<&Value> =
                std::iter::from_fn(|| self.lines.next_if(|l| l.ts < ts).map(|l| &l.json))
                    .take(BATCH)
                    .collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.played += batch.len() as u64;
            self.gateway.append(batch.into_iter()).await?;
        }
    }

    /// The next line of a session; what others did meanwhile is appended on the way.
    async fn next_of(&mut self, session: &str) -> Result<Option<&'a Line>> {
        if !self.lines.clone().any(|l| l.session == session) {
            return Ok(None);
        }
        let mut meanwhile = Vec::new();
        let found = loop {
            match self.lines.peek() {
                Some(line) if line.session == session => break self.lines.next(),
                Some(_) => meanwhile.extend(self.lines.next().map(|l| &l.json)),
                None => break None,
            }
        };
        self.played += meanwhile.len() as u64 + u64::from(found.is_some());
        if !meanwhile.is_empty() {
            self.gateway.append(meanwhile.into_iter()).await?;
        }
        Ok(found)
    }

    async fn rest(&mut self) -> Result<()> {
        self.until(Timestamp::from_micros(i64::MAX)).await
    }
}

/// One recorded session, call by call through the gate.
struct Scene<'a> {
    stage: &'a Stage,
    session: &'a str,
    label: &'a str,
}

impl Scene<'_> {
    async fn play(&self, player: &mut Player<'_>, human: &mut Human, choice: &str, ask: bool) -> Result<()> {
        let mut webhooks = self.stage.receiver.listen();
        let mut challenged = false;
        while let Some(line) = player.next_of(self.session).await? {
            let (agent, endpoint) = (text(&line.json, "agent_id"), text(&line.json, "endpoint"));
            match player.gateway.ask(&line.json, None).await? {
                Answer::GoOn(said) => {
                    let bits = said["level"]
                        .as_f64()
                        .map_or("not scored in time".to_owned(), |b| format!("{b:+.1} bits"));
                    at(line.ts, "gate", &format!("{agent} may call {endpoint} ({bits})"));
                    player.gateway.report(&line.json).await?;
                }
                Answer::Challenged(challenge) => {
                    ensure!(!challenged, "{agent} was challenged a second time: {challenge}");
                    challenged = true;
                    at(line.ts, "gate", &format!("{agent} wants to call {endpoint}"));
                    loud("gate", "401: a human must approve this first");
                    let told = webhooks.next("agent.challenged", agent).await?;
                    let answered = self.ask_human(player, (&challenge, &told), human, choice, ask).await?;
                    if answered["status"] != "approved" {
                        return self.ended(player, line, &answered, &mut webhooks).await;
                    }
                    self.resume(player, line, &answered).await?;
                }
                Answer::Ended(said) => bail!("{agent} was ended without a human: {said}"),
            }
        }
        ensure!(challenged, "the session {} ran through without a challenge", self.session);
        Ok(())
    }

    /// The webhook reaches the human, who reads the reasons and answers; the agent waits at the status address.
    async fn ask_human(
        &self,
        player: &Player<'_>,
        (challenge, told): (&Value, &Value),
        human: &mut Human,
        choice: &str,
        ask: bool,
    ) -> Result<Value> {
        let page = told["data"]["approval_url"].as_str().context("the webhook links to no page")?.to_owned();
        let number =
            challenge["binding_code"].as_str().context("the challenge has no binding code")?.to_owned();
        now("human", "opens the page that the webhook links to, and reads why:");
        for reason in said(&told["data"]) {
            detail(reason);
        }
        now("label", &format!("the recorded session is in truth: {}", self.label));
        let waiting = player.gateway.wait(challenge);
        tokio::pin!(waiting);
        if ask {
            // Whoever answers first: the demo, once Enter is pressed, or the person on the page itself.
            tokio::select! {
                answered = &mut waiting => return answered,
                pressed = ask_at_terminal(&page, &number, choice) => pressed?,
            }
        }
        let heading = human.answer(&page, choice, &number).await?;
        now("human", &format!("answers `{choice}` with a one-time code; the page says: {heading}"));
        waiting.await
    }

    async fn resume(&self, player: &Player<'_>, line: &Line, answered: &Value) -> Result<()> {
        let grant = answered["grant"]["token"].as_str().context("the approval brings no grant")?;
        match player.gateway.ask(&line.json, Some((grant, "demo-resume-1"))).await? {
            Answer::GoOn(_) => {
                loud(
                    "agent",
                    &format!("comes back with the grant and calls {}", text(&line.json, "endpoint")),
                );
                player.gateway.report(&line.json).await
            }
            Answer::Challenged(said) | Answer::Ended(said) => bail!("the approved call was refused: {said}"),
        }
    }

    async fn ended(
        &self,
        player: &Player<'_>,
        line: &Line,
        answered: &Value,
        webhooks: &mut Listener,
    ) -> Result<()> {
        let agent = text(&line.json, "agent_id");
        now("agent", &format!("is told: {}", answered["status"].as_str().unwrap_or("?")));
        let revoked = webhooks.next("agent.access.revoked", agent).await?;
        loud(
            "webhook",
            &format!(
                "{agent}: refuse every token from before {}",
                revoked["data"]["not_before"].as_str().unwrap_or("?")
            ),
        );
        match player.gateway.ask(&line.json, None).await? {
            Answer::Ended(said) => now("gate", &format!("the same call again: {}", said["title"])),
            Answer::GoOn(said) | Answer::Challenged(said) => {
                bail!("the gate still listens to {agent}: {said}")
            }
        }
        Ok(())
    }
}

/// Says how to answer, and resolves when the demo is to do it.
async fn ask_at_terminal(page: &str, number: &str, choice: &str) -> Result<()> {
    now("you", &format!("open {page}"));
    now("you", &format!("the agent shows the number {number}"));
    now(
        "you",
        &format!("or press Enter, and the demo answers `{choice}` on that page, with a true one-time code"),
    );
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
    Ok(())
}

/// Two quiet days of a simulated fleet, then one of its agents bursts. Returns how many calls that were and whose
/// burst it was.
async fn runaway(stage: &Stage) -> Result<(u64, String)> {
    let fleet = Fleet::new(&SIMULATED).context("the simulated fleet")?;
    let burst = fleet.attacks().iter().find(|a| a.label == "burst").cloned().context("nobody bursts")?;
    let gateway = stage.gateway();
    let mut webhooks = stage.receiver.listen();
    let mut fleet = fleet.peekable();
    let mut sent = 0;
    let (mut body, mut lines) = (Vec::new(), 0);
    while let Some(call) = fleet.next_if(|c| c.ts < burst.from) {
        native::write(&call, &mut body)?;
        (sent, lines) = (sent + 1, lines + 1);
        if lines == BATCH || fleet.peek().is_none_or(|c| c.ts >= burst.from) {
            gateway.append_lines(std::mem::take(&mut body)).await?;
            lines = 0;
        }
    }
    now(
        "player",
        &format!(
            "{sent} quiet calls of {} simulated agents whose tokens a gateway checked",
            SIMULATED.agents
        ),
    );
    at(burst.from, "agent", &format!("{} begins to call fifty times as often", burst.agent_id));
    let mut of_burst = 0;
    for call in fleet.by_ref().take_while(|c| c.ts < burst.to) {
        let ours = call.identity.session_id.as_deref() == Some(&burst.session_id);
        let mut line = Vec::new();
        native::write(&call, &mut line)?;
        gateway.append_lines(line).await?;
        sent += 1;
        of_burst += u64::from(ours);
        if !ours {
            continue;
        }
        // Alerts come with every step on the way; what ends it is the webhook. A burst that is played faster than it can be
        // answered has none in time.
        tokio::time::sleep(BETWEEN_CALLS).await;
        if let Some(revoked) = webhooks.rest().into_iter().find(|d| d["type"] == "agent.access.revoked") {
            let after = call.ts.since(burst.from).as_secs_f64();
            let when = format!("{of_burst} calls and {after:.0} s into the burst");
            return Ok(ended_by_itself(&revoked, sent, &when, burst.agent_id));
        }
    }
    let revoked = webhooks.next("agent.access.revoked", &burst.agent_id).await?;
    Ok(ended_by_itself(&revoked, sent, &format!("after its {of_burst} calls"), burst.agent_id))
}

/// Why, as a webhook tells it: in one sentence, then in parts.
fn said(data: &Value) -> impl Iterator<Item = &str> {
    let reasons = data["reasons"].as_array().into_iter().flatten();
    std::iter::once(&data["evidence"]["sentence"]).chain(reasons).filter_map(Value::as_str)
}

fn ended_by_itself(revoked: &Value, sent: u64, when: &str, agent: String) -> (u64, String) {
    loud("webhook", &format!("{agent}: revoked by itself, {when}"));
    for reason in said(&revoked["data"]) {
        detail(reason);
    }
    (sent, agent)
}

/// The deliveries about the three agents of the story, and how many there were about others.
fn webhooks(deliveries: &[Value], actors: &[&str]) {
    let (ours, others): (Vec<_>, Vec<_>) =
        deliveries.iter().partition(|d| actors.contains(&text(&d["data"], "subject")));
    for delivery in ours {
        let (id, subject) = (text(delivery, "webhook_id"), text(&delivery["data"], "subject"));
        now("verified", &format!("{:<24} {id} {subject}", text(delivery, "type")));
    }
    now(
        "verified",
        &format!("and {} more about other recorded agents, whom nobody answers for here", others.len()),
    );
}

async fn summary(stage: &Stage, sent: u64) -> Result<()> {
    stage.stored(sent).await?;
    for (title, sql) in QUERIES {
        now("query", title);
        for row in stage.query(sql).await? {
            detail(text(&row, "line"));
        }
    }
    Ok(())
}

/// What a person who has seen the story may want to do, and the command for it.
const NEXT: [(&str, &str); 4] = [
    ("keep everything up and look around, as an operator", "make demo ARGS=--stay"),
    ("answer for the humans yourself, on the page or at the terminal", "make demo"),
    ("score recorded logs of your own into files", "target/release/tocsin replay FILE... --out scored/"),
    ("write a configuration of your own", "README.md, and the demo's own .tocsin/demo/tocsin.toml"),
];

/// Title and statement; one text column each.
const QUERIES: [(&str, &str); 3] = [
    (
        "calls, agents and verdicts, each once",
        "SELECT concat(toString(count()), ' calls of ', toString(uniqExact(agent_id)), ' agents, ', \
         toString((SELECT count() FROM verdicts_once)), ' verdicts') AS line FROM calls_once",
    ),
    (
        "alerts by action",
        "SELECT concat(action, ': ', toString(count()), ' alerts, ', toString(uniqExact(agent_id)), ' agents') \
         AS line FROM alerts_once GROUP BY action ORDER BY count() DESC",
    ),
    (
        "the strongest evidence",
        "SELECT concat(agent_id, ' ', leftPad(toString(round(max(score), 1)), 6), ' bits') \
         AS line FROM alerts_once GROUP BY agent_id ORDER BY max(score) DESC LIMIT 5",
    ),
];

fn text<'a>(json: &'a Value, key: &str) -> &'a str {
    json[key].as_str().unwrap_or("?")
}
