//! A real identity provider: access ends there, is seen to have ended, and is given back.

use std::time::Duration;

use detector::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{Agent, Human, now};
use crate::support::http;
use crate::support::kafka::Kafka;
use crate::support::keycloak::Keycloak;
use crate::support::parts::readme;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};
use crate::support::wait;

const AGENT: &str = "billing-agent";
const LIMIT: Duration = Duration::from_mins(1);

/// Tocsin's story of the agent, once `told` says that it is complete.
fn case(tocsin: &Tocsin, keycloak: &Keycloak, mut told: impl FnMut(&Value) -> bool) -> Value {
    let agent = format!("/v1/agent?agent_id={AGENT}&issuer={}", keycloak.issuer());
    let look = || {
        let agent = tocsin.look(&agent);
        let txn = agent["history"].as_array()?.first()?["txn"].as_str()?.to_owned();
        let case = tocsin.look(&format!("/v1/case?id={txn}"));
        told(&case).then_some(case)
    };
    wait::until(LIMIT, look).unwrap_or_else(|| {
        let txn = tocsin.look(&agent)["history"][0]["txn"].as_str().map(str::to_owned).unwrap_or_default();
        panic!("{}", String::from_utf8_lossy(&tocsin.command(&["case", "show", &txn]).stdout))
    })
}

/// How far each target has come with the end of access.
fn progress(case: &Value, target: &str) -> String {
    progress_of("agent.access.revoked", case, target)
}

fn progress_of(event: &str, case: &Value, target: &str) -> String {
    let points = case["points"].as_array().expect("points");
    let ends = |point: &&Value| point["target"] == target && point["event"] == event;
    let found = points.iter().rev().find(ends).map(|point| point["progress"].as_str().expect("a word"));
    found.unwrap_or("nothing").to_owned()
}

fn command(tocsin: &Tocsin, keycloak: &Keycloak, verb: &str) {
    let body = json!({ "agent_id": AGENT, "issuer": keycloak.issuer(), "person": "Olga", "reason": "asked its owner" });
    let request = tocsin.request(Method::POST, &format!("/v1/agents/{verb}"), OPERATOR).json(&body);
    let answer = http::send(request).expect("it answers");
    assert_eq!(answer.status / 100, 2, "{verb}: {answer:?}");
}

/// Waits until the agent, reinstated, is given a token that lives; one of the second it was revoked in does not.
fn live_token(keycloak: &Keycloak) {
    let live = || keycloak.token(AGENT).filter(|token| keycloak.is_active(token));
    wait::until(LIMIT, live).expect("a live token once it is reinstated");
}

/// The agent asks the gate, which is handed the token it came with.
fn ask(tocsin: &Tocsin, keycloak: &Keycloak, n: u32, token: &str) {
    let act = json!({ "event_id": format!("ask-{n}"), "kind": "request", "ts": now(),
        "agent_id": AGENT, "issuer": keycloak.issuer(), "endpoint": "send_invoice", "attestation": "token" });
    let request =
        tocsin.request(Method::POST, "/v1/gate", GATEWAY).header("Tocsin-Subject-Token", token).json(&act);
    http::send(request).expect("it answers");
}

/// A call that some service accepted.
fn acts(tocsin: &Tocsin, keycloak: &Keycloak, n: u32, at: Timestamp) {
    let call = json!({ "event_id": format!("act-{n}"), "ts": at, "agent_id": AGENT,
        "issuer": keycloak.issuer(), "endpoint": "send_invoice", "attestation": "token" });
    tocsin.append(&format!("{call}\n")).expect("an answer").expect(200);
}

#[test]
fn an_agent_that_runs_away_over_kafka_is_dead_at_keycloak_and_lives_again_once_reinstated() {
    let stage = Stage::new();
    let (keycloak, kafka) = (Keycloak::start(stage.path()), Kafka::start(stage.path()));
    kafka.create_topic("calls", 1, &[]);
    let source = format!(
        "[kafka]\nbrokers = \"{}\"\ntopic = \"calls\"\nattestation_max = \"token\"\nissuer = \"{}\"\n",
        kafka.brokers(),
        keycloak.issuer()
    );
    let tocsin =
        Tocsin::start(stage.path(), &stage.settings(&(source + &keycloak.target("realm", "disable"))));
    let token = keycloak.token(AGENT).expect("the agent's token");
    assert!(keycloak.is_active(&token));
    let before = keycloak.client(AGENT);
    assert_eq!(before["attributes"]["kept"], "as it is");

    let (mut agent, history) = Agent::and_history(AGENT);
    let lines: Vec<String> = history.into_iter().chain(agent.burst(4_000)).collect();
    let (first, rest) = lines.split_at(lines.len() - 3_600);
    kafka.produce("calls", first.iter().map(|line| (AGENT, line.as_bytes())));
    let story = case(&tocsin, &keycloak, |case| progress(case, "realm") == "verified");

    assert!(!keycloak.is_active(&token), "the agent's token lives");
    assert_eq!(keycloak.token(AGENT), None, "it is given a new one");
    assert_eq!(story["standing"]["standing"], "revoked", "{story:#}");
    let told: Vec<&str> =
        story["story"].as_array().expect("entries").iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(told.starts_with(&["standing.changed"]) && told.contains(&"delivery.verified"), "{told:?}");
    let text = tocsin.command(&["case", "show", story["txn"].as_str().expect("an id")]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("verified      realm"), "{text}");

    // The rest of the burst is there and for the most part not scored: it is answered for too.
    kafka.produce("calls", rest.iter().map(|line| (AGENT, line.as_bytes())));
    command(&tocsin, &keycloak, "reinstate");
    live_token(&keycloak);
    stage.count_when(Duration::from_mins(2), "verdicts_once", |rows| rows >= lines.len() as u64);
    let agent = tocsin.look(&format!("/v1/agent?agent_id={AGENT}&issuer={}", keycloak.issuer()));
    assert_eq!(agent["standing"], "probation", "{agent:#}");
    assert!(!keycloak.is_active(&token), "the old token lives again");
    // Of the client nothing has changed but when its tokens begin to count.
    let mut after = keycloak.client(AGENT);
    after["notBefore"] = before["notBefore"].clone();
    after["attributes"].as_object_mut().expect("attributes").remove("tocsin.revoked");
    assert_eq!(after, before);
}

#[test]
fn a_logout_that_answers_204_and_leaves_a_token_alive_is_found_out_and_escalated() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let targets = [keycloak.target("mild", "logout"), keycloak.target("hard", "disable")].concat();
    let settings = format!("escalation = [\"mild\", \"hard\"]\n{}", stage.settings(&targets));
    let tocsin = Tocsin::start(stage.path(), &settings);

    // By introspection: a token of the very second of the logout stays alive. The logout may come a second later.
    let lied = (0..10).any(|n| {
        wait::until(LIMIT, || {
            let second = now().as_micros().rem_euclid(1_000_000);
            (second < 100_000).then_some(())
        });
        let token = keycloak.token(AGENT).expect("the agent's token");
        ask(&tocsin, &keycloak, n, &token);
        command(&tocsin, &keycloak, "revoke");
        let case = case(&tocsin, &keycloak, |case| {
            ["verified", "failed"].contains(&progress(case, "mild").as_str())
                && ["verified", "standby"].contains(&progress(case, "hard").as_str())
        });
        let lied = progress(&case, "mild") == "failed";
        assert_eq!(progress(&case, "hard"), if lied { "verified" } else { "standby" }, "{case:#}");
        assert!(!keycloak.is_active(&token), "in the end it is dead, one way or the other");
        command(&tocsin, &keycloak, "reinstate");
        live_token(&keycloak);
        lied
    });
    assert!(lied, "the logout never came within the second of the token");

    // By the log: logged out, the agent fetches a new token, and services accept its calls.
    tocsin.configure(&format!("{settings}\n[policy]\nclock_tolerance_s = 1\n"));
    let mut tocsin = tocsin;
    tocsin.restart();
    command(&tocsin, &keycloak, "revoke");
    case(&tocsin, &keycloak, |case| progress(case, "mild") == "acknowledged");
    let token = keycloak.token(AGENT).expect("whoever is logged out gets a new token");
    let mut n = 0;
    let story = case(&tocsin, &keycloak, |case| {
        n += 1;
        // Accepted for as long as the token lives; one dated after its end would refute that target too, and none is left then.
        let at = now();
        if keycloak.is_active(&token) {
            acts(&tocsin, &keycloak, n, at);
        }
        std::thread::sleep(Duration::from_millis(300));
        progress(case, "hard") == "verified"
    });
    assert_eq!(progress(&story, "mild"), "failed", "{story:#}");
    assert!(story["exposure"]["calls"].as_u64() > Some(0), "{story:#}");
    assert!(!keycloak.is_active(&token), "the new token lives");
}

#[test]
fn what_an_administrator_disabled_stays_disabled_and_names_are_not_mistaken() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&keycloak.target("realm", "disable")));
    keycloak.set_enabled(AGENT, false);
    command(&tocsin, &keycloak, "revoke");
    case(&tocsin, &keycloak, |case| progress(case, "realm") == "verified");
    command(&tocsin, &keycloak, "reinstate");
    case(&tocsin, &keycloak, |case| {
        let told =
            |point: &Value| point["event"] == "agent.reinstated" && point["progress"] == "acknowledged";
        case["points"]
            .as_array()
            .is_some_and(|points| points.iter().any(|p| p["target"] == "realm" && told(p)))
    });
    assert_eq!(keycloak.client(AGENT)["enabled"], false, "not ours to enable");

    // An agent of another issuer that has a client's name is none of the realm's.
    keycloak.set_enabled(AGENT, true);
    crate::support::gate::operate(&tocsin, "revoke", AGENT);
    stage.check_effects(&tocsin, &[]);
    assert!(keycloak.token(AGENT).is_some(), "a namesake's revocation reached it");
    let rows = tocsin.look("/v1/effects?limit=1000")["rows"].clone();
    let of_realm = rows.as_array().expect("rows").iter().filter(|row| row["target"] == "realm").count();
    assert_eq!(of_realm, 2, "{rows:#}");
}

#[test]
fn who_is_behind_no_gate_is_disabled_there_while_a_human_is_asked() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let policy = "[policy]\nwhile_asked = \"suspend\"\n[policy.approval]\npasskey_for = []\n\
                  [policy.risk]\npayments = [\"send_invoice\"]\n\
                  [[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\nat_least = \"step_up\"\n";
    let settings = stage.settings(&(keycloak.target("realm", "disable") + policy));
    let tocsin = Tocsin::start(stage.path(), &settings);
    let dana = Human::enrol(&tocsin, "Dana");
    let token = keycloak.token(AGENT).expect("the agent's token");
    acts(&tocsin, &keycloak, 1, now());
    let ended = |case: &Value| progress_of("agent.access.suspended", case, "realm");
    case(&tocsin, &keycloak, |case| ended(case) == "verified");
    assert!(!keycloak.is_active(&token) && keycloak.token(AGENT).is_none(), "it goes on meanwhile");
    let alert = tocsin.look("/v1/alerts")["rows"][0].clone();
    assert_eq!((&alert["while_asked"], &alert["severity"]), (&"suspend".into(), &"high".into()), "{alert}");

    let page = dana.approves(&tocsin);
    assert!(page.shows("Its access is suspended until somebody decides."));
    live_token(&keycloak);
    assert!(!keycloak.is_active(&token), "the old token lives again");
    let agent = tocsin.look(&format!("/v1/agent?agent_id={AGENT}&issuer={}", keycloak.issuer()));
    assert_eq!(agent["standing"], "probation", "{agent:#}");
}

#[test]
fn one_session_ends_alone_and_the_others_of_the_client_go_on() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let user = keycloak.add_user("dana", "dana@example.com");
    keycloak.takes_passwords(AGENT, &[user], "a password of a test");
    let sign_in = || keycloak.sign_in(AGENT, "dana", "a password of a test");
    let [(hijacked, sid), (other, _)] = [sign_in(), sign_in()];
    let target = keycloak.target("realm", "disable") + "ends_sessions = true\n";
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&target));
    assert!(keycloak.is_active(&hijacked) && keycloak.is_active(&other));

    let revoke = |id: &str| {
        let body = json!({ "agent_id": AGENT, "issuer": keycloak.issuer(), "person": "Olga", "reason": "hijacked",
            "part": { "kind": "session", "id": id } });
        let request = tocsin.request(Method::POST, "/v1/agents/revoke", OPERATOR).json(&body);
        http::send(request).expect("it answers").expect(200);
        case(&tocsin, &keycloak, |case| ["verified", "failed"].contains(&progress(case, "realm").as_str()))
    };
    let story = revoke(&sid);
    assert_eq!(progress(&story, "realm"), "verified", "{story:#}");
    assert!(!keycloak.is_active(&hijacked), "the session's token lives");
    assert!(keycloak.is_active(&other), "another session's token died with it");
    assert!(keycloak.token(AGENT).is_some(), "the client is no longer given tokens");
    assert_eq!(keycloak.client(AGENT)["enabled"], true);

    // That the realm knows no such session is no proof that one ended.
    let story = revoke("a-session-of-nobody");
    assert_eq!(progress(&story, "realm"), "failed", "{story:#}");
}

#[test]
fn what_the_readme_says_connects_keycloak() {
    let example = readme("Connect your identity platform", "toml");
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let local = [
        ("https://sso.example".to_owned(), keycloak.url()),
        (
            "client_secret_env = \"KEYCLOAK_SECRET\"".to_owned(),
            "client_secret = \"tocsin-secret\"\nallow_insecure_target = true".to_owned(),
        ),
    ];
    let example = local.iter().fold(example.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs));
    let (escalation, targets) = example.split_once("\n\n").expect("a list and its targets");
    let settings = format!("{escalation}\n{}", stage.settings(targets));
    let tocsin = Tocsin::start(stage.path(), &settings);
    let token = keycloak.token(AGENT).expect("the agent's token");
    std::thread::sleep(Duration::from_millis(1_100));
    command(&tocsin, &keycloak, "revoke");
    let story = case(&tocsin, &keycloak, |case| progress(case, "sign-out") == "acknowledged");
    assert_eq!(progress(&story, "disable"), "standby", "{story:#}");
    assert!(!keycloak.is_active(&token), "a token of an earlier second lives");
}

/// From a call that policy revokes for to its token's end, beside what Keycloak alone takes for the same.
#[test]
fn how_soon_a_forbidden_call_ends_the_token() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let agents: Vec<String> = (0..prove::scaled(3, 100)).map(|n| format!("agent-{n}")).collect();
    let issuer = keycloak.issuer();
    let forbidden = |agent: &String| {
        format!(
            "[[manifests]]\nagent_id = \"{agent}\"\nissuer = \"{issuer}\"\nforbidden_endpoints = [\"drop_all\"]\n"
        )
    };
    let manifests = agents.iter().map(forbidden).collect::<Vec<_>>().concat();
    let policy = "[policy]\nrules = \"revoke\"\n";
    let settings = [policy, &keycloak.target("realm", "disable"), &manifests].concat();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&settings));

    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for agent in &agents {
        keycloak.add_agent(agent);
        let dead = |token: &str| wait::until(LIMIT, || (!keycloak.is_active(token)).then_some(()));
        let timed = |cause: &dyn Fn(), token: &str| {
            let began = std::time::Instant::now();
            cause();
            dead(token).expect("the token ends");
            began.elapsed().as_secs_f64() * 1e3
        };
        let token = keycloak.token(agent).expect("a token");
        alone.push(timed(&|| keycloak.set_enabled(agent, false), &token));
        keycloak.set_enabled(agent, true);
        let token = keycloak.token(agent).expect("a token");
        let call = json!({ "event_id": format!("{agent}-1"), "ts": now(), "agent_id": agent,
            "issuer": keycloak.issuer(), "endpoint": "drop_all", "attestation": "token" });
        whole.push(timed(
            &|| drop(tocsin.append(&format!("{call}\n")).expect("an answer").expect(200)),
            &token,
        ));
    }
    for (name, mut waits) in
        [("call in to token dead at Keycloak", whole), ("the same change by hand", alone)]
    {
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share).round() as usize];
        for (which, share) in [("p50", 0.5), ("p99", 0.99)] {
            prove::row(&format!("{name}, {which}, ms"), at(share), [at(0.0), at(1.0)], "", true, "how_soon");
        }
    }
}
