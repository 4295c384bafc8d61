//! An agent behind the gate, and the human who answers for it.

use std::time::Duration;

use detector::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};

use super::http::{self, Answer};
use super::page::Page;
use super::tocsin::{GATEWAY, ISSUER, OPERATOR, Tocsin};
use super::{totp, wait};

/// How often a stranger act is tried before it must have been noticed.
const TRIES_MAX: u32 = 40;

/// How far the agents' clock lies behind: what they do minutes apart must not come from the future.
const BEHIND: Duration = Duration::from_hours(4);
/// Between two acts that the agent never did before. A call a second would be as strange as what it calls, at some hours of the week more so: two
/// witnesses, and no question.
const BETWEEN_ACTS: Duration = Duration::from_mins(5);

/// Calls in an agent's history.
pub(crate) const HISTORY: usize = 2_000;

/// An agent that reads and summarises all day, every day.
pub(crate) struct Agent {
    name: &'static str,
    now: Timestamp,
    acts: u32,
}

impl Agent {
    /// Gives `tocsin` three weeks of its ordinary calls.
    pub(crate) fn with_history(tocsin: &Tocsin, name: &'static str) -> Self {
        let (agent, lines) = Self::and_history(name);
        let lines = lines.join("\n") + "\n";
        // Where many agents have a history, more lines come at once than a source may send in a second.
        let answer = wait::until(Duration::from_mins(1), || {
            Some(tocsin.append(&lines).expect("an answer")).filter(|answer| answer.status != 429)
        });
        answer.expect("room for a history").expect(200);
        agent
    }

    /// An agent, and three weeks of its ordinary calls.
    pub(crate) fn and_history(name: &'static str) -> (Self, Vec<String>) {
        let now = now() - BEHIND;
        let mut at = now;
        let lines: Vec<String> = ordinary_gaps()
            .zip((0..HISTORY).rev())
            .map(|(gap, i)| {
                at = at - gap;
                let endpoint = ["read_mail", "search", "summarize"][i % 3];
                json!({ "event_id": format!("{name}-{i}"), "ts": at, "agent_id": name, "endpoint": endpoint,
                        "attestation": "token" })
                .to_string()
            })
            .collect();
        (Self { name, now, acts: 0 }, lines.into_iter().rev().collect())
    }

    /// The record of an act that it never did before.
    pub(crate) fn strange_act(&mut self) -> Value {
        self.acts += 1;
        json!({ "event_id": format!("{}-act-{}", self.name, self.acts), "kind": "request",
                "ts": self.now + BETWEEN_ACTS * self.acts, "agent_id": self.name,
                "endpoint": "send_ledger", "resource": "account/4711", "args_digest": "sha256:0f", "args": { "amount": 9_000 },
                "attestation": "token" })
    }

    /// Calls what it always calls, `calls` times within a minute: a runaway.
    pub(crate) fn burst(&mut self, calls: u32) -> Vec<String> {
        let gap = Duration::from_mins(1) / calls;
        (0..calls)
            .map(|i| {
                json!({ "event_id": format!("{}-burst-{i}", self.name), "ts": self.now + gap * i, "agent_id": self.name,
                        "endpoint": "search", "attestation": "token" })
                .to_string()
            })
            .collect()
    }

    /// Tries to send the ledger out until the gate asks for a human; gives the act and the challenge.
    pub(crate) fn until_challenged(&mut self, tocsin: &Tocsin) -> (Value, Value) {
        for _ in 0..TRIES_MAX {
            let act = self.strange_act();
            let answer = ask(tocsin, &act, None);
            if answer.status == 401 {
                return (act, challenge(&answer));
            }
            assert_eq!(answer.expect(200).json()["decision"], "go_on");
        }
        panic!("{TRIES_MAX} ledgers sent by an agent that only reads, and nobody is asked");
    }
}

/// Times between calls that come by themselves, 95 a day and always the same ones. Gaps of one length would be a
/// clock's, and an agent that keeps time is another story.
fn ordinary_gaps() -> impl Iterator<Item = Duration> {
    let mean_s = Duration::from_hours(21 * 24).as_secs_f64() / HISTORY as f64;
    let mut chance = StdRng::seed_from_u64(1);
    std::iter::repeat_with(move || {
        let gap_s = -mean_s * chance.random_range(f64::MIN_POSITIVE..1.0).ln();
        Duration::from_micros((gap_s * 1e6) as u64)
    })
}

/// Asks the gate whether the act may be done; `resumption` is a grant and the id of this resumption.
pub(crate) fn ask(tocsin: &Tocsin, act: &Value, resumption: Option<(&str, &str)>) -> Answer {
    let mut request = tocsin.request(Method::POST, "/v1/gate", GATEWAY).body(act.to_string());
    if let Some((grant, resume)) = resumption {
        request = request.header("tocsin-grant", grant).header("tocsin-resume-id", resume);
    }
    http::send(request).expect("the gate answers")
}

/// Reads a challenge as an agent must be able to: RFC 9470 outside, problem+json inside.
pub(crate) fn challenge(answer: &Answer) -> Value {
    assert!(
        answer.header("www-authenticate").contains("error=\"insufficient_user_authentication\""),
        "{answer:?}"
    );
    assert!(answer.header("content-type").starts_with("application/problem+json"), "{answer:?}");
    let body = answer.json();
    for field in ["approval_id", "status_url", "expires_at", "binding_code"] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    body
}

/// How the agent's question stands, after at most `wait_s` seconds.
pub(crate) fn status(challenge: &Value, wait_s: u32) -> Value {
    let url = format!("{}?wait={wait_s}", challenge["status_url"].as_str().expect("an address"));
    http::send(http::request(Method::GET, &url).bearer_auth(GATEWAY)).expect("it answers").expect(200).json()
}

/// Somebody who was enrolled, with an authenticator application.
pub(crate) struct Human {
    pub(crate) name: &'static str,
    address: String,
}

impl Human {
    /// Enrols somebody by the command, and reads the address that it prints.
    pub(crate) fn enrol(tocsin: &Tocsin, name: &'static str) -> Self {
        Self::enrol_as(tocsin, name, &[])
    }

    /// The same, who is known by these names elsewhere.
    pub(crate) fn enrol_as(tocsin: &Tocsin, name: &'static str, also: &[&str]) -> Self {
        let also = also.iter().flat_map(|name| ["--also", name]);
        let arguments: Vec<&str> = ["approver", "add", name, "--totp"].into_iter().chain(also).collect();
        let output = tocsin.command(&arguments);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        let address = printed.split_whitespace().find(|word| word.starts_with("otpauth://totp/"));
        Self { name, address: address.unwrap_or_else(|| panic!("no address in {printed}")).to_owned() }
    }

    /// What their phone keeps, and nobody else but the key file may tell.
    pub(crate) fn secret(&self) -> String {
        let (_, rest) = self.address.split_once("secret=").expect("an address has one");
        rest.split('&').next().unwrap_or(rest).to_owned()
    }

    /// Says yes to the one question that is open; gives its page as they read it.
    pub(crate) fn approves(&self, tocsin: &Tocsin) -> Page {
        let asked = || Some(tocsin.look("/v1/approvals")["rows"][0].clone()).filter(|row| !row.is_null());
        let question = wait::until(Duration::from_mins(1), asked).expect("a question");
        let page = Page::open(question["page_url"].as_str().expect("an address"));
        let number = question["binding_code"].as_str().expect("a number");
        page.answer("approve", &[("name", self.name), ("number", number), ("code", &self.code())])
            .expect(303);
        page
    }

    /// The code on the screen of their phone.
    pub(crate) fn code(&self) -> String {
        totp::code(&self.address, now().as_millis() as u64 / 1_000)
    }
}

/// The page of a question, as the operator's list of alerts names it.
pub(crate) fn page_of(tocsin: &Tocsin, challenge: &Value) -> String {
    let alerts = tocsin.look("/v1/alerts?limit=100");
    let rows = alerts["rows"].as_array().expect("rows");
    let question =
        rows.iter().map(|row| &row["approval"]).find(|q| q["approval_id"] == challenge["approval_id"]);
    let url = question.and_then(|q| q["page_url"].as_str());
    url.unwrap_or_else(|| panic!("no alert names {challenge}: {alerts}")).to_owned()
}

/// What an operator does to an agent: `revoke` or `reinstate`.
pub(crate) fn operate(tocsin: &Tocsin, verb: &str, agent: &str) {
    let body =
        json!({ "agent_id": agent, "issuer": ISSUER, "person": "Olga", "reason": "spoke with its owner" });
    let request = tocsin.request(Method::POST, &format!("/v1/agents/{verb}"), OPERATOR).json(&body);
    let answer = http::send(request).expect("it answers");
    assert_eq!(answer.status / 100, 2, "{verb} {agent}: {answer:?}");
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("before the year 292 million"))
}
