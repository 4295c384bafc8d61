//! Shared Signals to receivers that verify with libraries that are not ours: by push and poll, through a pause, a
//! verification, a power cut, a change of keys, and beside a receiver that is dead.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::operate;
use crate::support::keycloak::Keycloak;
use crate::support::ssf::{AUDIENCE, Hand, SetReceiver, event, key, verified};
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};
use crate::support::{http, port, wait};

const LIMIT: Duration = Duration::from_mins(1);

const IDP: &str = "receiver-idp-of-a-test-0123456789";
const SOC: &str = "receiver-soc-of-a-test-0123456789";

fn section(key: &str, previous: &str) -> String {
    let receiver = |name: &str, token: &str| {
        format!(
            "[[ssf.receivers]]\nname = \"{name}\"\ntoken = \"{token}\"\naud = \"{AUDIENCE}\"\nallow_insecure_target = true\n"
        )
    };
    format!("[ssf]\nkey_file = {key}\nprevious_key_files = [{previous}]\n")
        + &receiver("idp", IDP)
        + &receiver("soc", SOC)
}

fn taken(receiver: &SetReceiver, wanted: &[&str]) {
    let came = || (receiver.taken().len() >= wanted.len()).then_some(());
    wait::until(LIMIT, came).unwrap_or_else(|| panic!("{:#?}", receiver.pushed()));
    assert_eq!(receiver.taken(), wanted);
}

/// How far each target has come, by target and event, oldest first.
fn deliveries(tocsin: &Tocsin) -> Vec<(String, String, String)> {
    let rows = tocsin.look("/v1/effects?limit=1000")["rows"].as_array().expect("rows").clone();
    let text = |row: &Value, name: &str| row[name].as_str().expect("text").to_owned();
    rows.iter().rev().map(|row| (text(row, "target"), text(row, "kind"), text(row, "state"))).collect()
}

#[test]
fn what_is_pushed_and_polled_verifies_and_a_dead_stream_delays_nobody() {
    let stage = Stage::new();
    let first = key(stage.path(), "first.pem");
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&section(&first, "")));
    let receiver = SetReceiver::start(stage.path(), &tocsin);
    let idp = Hand::new(&tocsin, IDP);
    let pushed = idp.stream(Some(&receiver.url()));
    let polled = idp.stream(None);
    let dead = Hand::new(&tocsin, SOC).stream(Some(&format!("http://127.0.0.1:{}/events", port::free())));

    // A receiver that waits is told at once.
    let waits = std::thread::scope(|scope| {
        let poll = scope.spawn(|| (idp.poll(&polled, json!({})), Instant::now()));
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        operate(&tocsin, "revoke", "mailer");
        let (sets, came) = poll.join().expect("it polls");
        assert_eq!(sets.len(), 2);
        came.duration_since(began)
    });
    assert!(waits < Duration::from_secs(10), "{waits:?}");
    taken(&receiver, &["session-revoked mailer", "credential-change mailer"]);
    assert!(receiver.pushed().iter().all(|push| push["authorization"] == "Bearer of-a-push"));

    // What is not acknowledged comes again, and says the same as what was pushed, under a name of its own.
    let sets = idp.poll(&polled, json!({ "returnImmediately": true }));
    let tokens: Vec<String> = sets.iter().map(|(_, token)| token.clone()).collect();
    let claims: Vec<Value> =
        verified(stage.path(), &tocsin, &tokens).into_iter().map(|v| v["claims"].clone()).collect();
    let mut names: Vec<String> = claims.iter().map(event).collect();
    names.sort();
    assert_eq!(names, ["credential-change mailer", "session-revoked mailer"]);
    let push = receiver.pushed()[0]["claims"].clone();
    let poll = claims.iter().find(|claims| event(claims).starts_with("session")).expect("one");
    for same in ["iss", "aud", "iat", "txn", "sub_id", "events"] {
        assert_eq!(push[same], poll[same], "{same}");
    }
    assert_ne!(push["jti"], poll["jti"]);
    assert_eq!(poll["sub_id"], json!({ "format": "iss_sub", "iss": ISSUER, "sub": "mailer" }));
    let said = &poll["events"]["https://schemas.openid.net/secevent/caep/event-type/session-revoked"];
    assert_eq!(
        (&said["initiating_entity"], &said["reason_admin"]["en"]),
        (&json!("admin"), &json!("spoke with its owner"))
    );
    let story = tocsin.look(&format!("/v1/case?id={}", poll["txn"].as_str().expect("a txn")));
    assert_eq!(story["standing"]["standing"], "revoked");
    let acks: Vec<&String> = sets.iter().map(|(jti, _)| jti).collect();
    assert!(idp.poll(&polled, json!({ "returnImmediately": true, "ack": acks })).is_empty());

    // The dead one still has all before it; the others have nothing.
    let of =
        |id: &str, wanted: &str| deliveries(&tocsin).iter().all(|(t, _, s)| !t.ends_with(id) || s == wanted);
    assert!(
        of(&pushed, "acknowledged") && of(&polled, "acknowledged") && of(&dead, "pending"),
        "{:?}",
        deliveries(&tocsin)
    );

    // Paused, it holds; what is held comes in order.
    idp.status(&pushed, "paused");
    operate(&tocsin, "reinstate", "mailer");
    operate(&tocsin, "retire", "mailer");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(receiver.taken().len(), 2);
    idp.status(&pushed, "enabled");
    taken(
        &receiver,
        &[
            "session-revoked mailer",
            "credential-change mailer",
            "account-enabled mailer",
            "session-revoked mailer",
            "credential-change mailer",
            "account-disabled mailer",
        ],
    );

    // A verification comes back with its state.
    let body = json!({ "stream_id": pushed, "state": "c3RhdGU" });
    idp.ask(Method::POST, "/ssf/verify", Some(body.clone())).expect(204);
    idp.ask(Method::POST, "/ssf/verify", Some(body)).expect(429);
    wait::until(LIMIT, || (receiver.taken().len() == 7).then_some(())).expect("a verification");
    let last = receiver.pushed()[6]["claims"].clone();
    assert_eq!(
        last["events"],
        json!({ "https://schemas.openid.net/secevent/ssf/event-type/verification": { "state": "c3RhdGU" } })
    );
    assert_eq!(last["sub_id"], json!({ "format": "opaque", "id": pushed }));

    refuses_and_fails(&mut tocsin, &receiver, &pushed);
    rotates(&mut tocsin, &receiver, &stage, (&first, &polled), tokens);
    assert!(of_stream(&tocsin, &dead).iter().all(|state| state == "pending"));
}

/// A receiver that says why it cannot use a token is not asked again; one that fails is.
fn refuses_and_fails(tocsin: &mut Tocsin, receiver: &SetReceiver, pushed: &str) {
    receiver.behave(&json!({ "err": "invalid_key" }));
    operate(tocsin, "revoke", "unlucky");
    let refused = |kind: &str| {
        let rows = tocsin.look("/v1/effects?state=dead")["rows"].as_array().expect("rows").clone();
        rows.into_iter().find(|row| row["last"].as_str().is_some_and(|last| last.contains(kind)))
    };
    let open = wait::until(LIMIT, || refused("invalid_key")).expect("an open item");
    assert!(open["target"].as_str().is_some_and(|target| target.ends_with(pushed)), "{open:#}");
    receiver.behave(&json!({ "status": 503 }));
    operate(tocsin, "revoke", "lucky");
    wait::until(LIMIT, || receiver.pushed().iter().any(|push| push["answered"] == 503).then_some(()))
        .expect("a push");
    // A power cut on our side changes nothing of that.
    tocsin.kill();
    tocsin.restart();
    receiver.behave(&json!({}));
    wait::until(LIMIT, || (receiver.taken().len() == 9).then_some(())).expect("it is pushed again");
    assert_eq!(receiver.taken()[7..], ["session-revoked lucky", "credential-change lucky"]);
}

/// Another key: what was not fetched yet is signed by it, and by whatever key a token is signed, it is published.
fn rotates(
    tocsin: &mut Tocsin,
    receiver: &SetReceiver,
    stage: &Stage,
    (first, polled): (&str, &str),
    tokens: Vec<String>,
) {
    let before = receiver.pushed()[0]["kid"].clone();
    let second = key(stage.path(), "second.pem");
    tocsin.configure(&stage.settings(&section(&second, first)));
    assert!(tocsin.stop().success());
    tocsin.restart();
    let idp = Hand::new(tocsin, IDP);
    let sets = idp.poll(polled, json!({ "returnImmediately": true }));
    let tokens: Vec<String> = sets.into_iter().map(|(_, token)| token).chain(tokens).collect();
    let all = verified(stage.path(), tocsin, &tokens);
    let kids: std::collections::BTreeSet<String> = all.iter().map(|v| v["kid"].to_string()).collect();
    assert_eq!(kids.len(), 2, "{all:#?}");
    operate(tocsin, "revoke", "late");
    wait::until(LIMIT, || (receiver.taken().len() == 11).then_some(()))
        .expect("a push after the change of keys");
    let after = receiver.pushed().last().expect("one")["kid"].clone();
    assert!(after != before && kids.contains(&after.to_string()));
}

/// The names of the events of tokens, by subject, and what the first says.
fn told(sets: &[(String, String)]) -> (Vec<String>, Value) {
    let claims = |token: &String| decoded(token.split('.').nth(1).expect("claims"));
    let mut names: Vec<String> = sets.iter().map(|(_, token)| event(&claims(token))).collect();
    names.sort();
    let said = sets.first().map(|(_, token)| claims(token)["events"].clone());
    (names, said.unwrap_or_default())
}

#[test]
fn a_stream_gets_whom_its_receiver_added_and_is_paused_when_it_falls_silent() {
    let stage = Stage::new();
    let quiet = "[ssf]\ndefault_subjects = \"NONE\"\ninactivity_timeout_s = 5\n";
    let section = section(&key(stage.path(), "ssf.pem"), "").replace("[ssf]\n", quiet);
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&section));
    let found = http::get(&tocsin.url("/.well-known/ssf-configuration")).expect("it answers").expect(200);
    assert_eq!(found.json()["default_subjects"], "NONE");
    let idp = Hand::new(&tocsin, IDP);
    let stream = idp.stream(None);
    let shown = idp.ask(Method::GET, &format!("/ssf/streams?stream_id={stream}"), None).expect(200).json();
    assert_eq!(shown["inactivity_timeout"], 5);
    let subject = |verb: &str, name: &str, status: u16| {
        let subject = json!({ "format": "iss_sub", "iss": ISSUER, "sub": name });
        let body = json!({ "stream_id": stream, "subject": subject });
        idp.ask(Method::POST, &format!("/ssf/subjects/{verb}"), Some(body)).expect(status);
    };
    let poll = || {
        let sets = idp.poll(&stream, json!({ "returnImmediately": true }));
        let acks: Vec<&String> = sets.iter().map(|(jti, _)| jti).collect();
        idp.poll(&stream, json!({ "maxEvents": 0, "ack": acks }));
        told(&sets)
    };

    subject("add", "mailer", 200);
    subject("add", "other", 200);
    subject("remove", "other", 204);
    operate(&tocsin, "revoke", "other");
    operate(&tocsin, "revoke", "mailer");
    assert_eq!(poll().0, ["credential-change mailer", "session-revoked mailer"]);

    // An operator's look is no sign of the receiver.
    let status = || tocsin.look("/v1/ssf/streams")[0]["status"].clone();
    assert_eq!(status(), "enabled");
    wait::until_eq("the stream", LIMIT, &json!("paused"), status);
    operate(&tocsin, "reinstate", "mailer");
    let (names, said) = poll();
    assert_eq!(names, ["stream-updated"]);
    let updated = json!({ "status": "paused", "reason": "no sign of the receiver for 5 s" });
    assert_eq!(said, json!({ "https://schemas.openid.net/secevent/ssf/event-type/stream-updated": updated }));
    assert!(poll().0.is_empty());
    idp.status(&stream, "enabled");
    assert_eq!(poll().0, ["account-enabled mailer"]);
}

fn of_stream(tocsin: &Tocsin, id: &str) -> Vec<String> {
    let all = deliveries(tocsin).into_iter().filter(|(target, _, _)| target.ends_with(id));
    all.map(|(_, _, state)| state).collect()
}

#[test]
fn a_weak_or_missing_key_is_told_at_start() {
    let stage = Stage::new();
    let weak = stage.path().join("weak.pem");
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out"])
        .arg(&weak)
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    let strong = key(stage.path(), "strong.pem");
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&section(&strong, "")));
    tocsin.kill();
    for (key, said) in [("weak.pem", "TooSmall"), ("none.pem", "No such file")] {
        let file = format!("\"{}\"", stage.path().join(key).display());
        tocsin.configure(&stage.settings(&section(&file, "")));
        let output = tocsin.command(&["serve"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains(key) && text.contains(said) && text.contains("openssl genpkey"), "{text}");
    }
}

/// The names of an object's members and the kinds of their values, all the way down.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(all) => all.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "yes or no".into(),
        Value::Null => Value::Null,
    }
}

/// What a transmitter says at each step of the same conversation, by shape: its metadata, a poll stream, its status, and a
/// verification.
fn conversation(issuer: &str, token: &str) -> Vec<Value> {
    let ask = |method: Method, url: &str, body: Option<Value>| {
        let request = http::request(method, url).bearer_auth(token);
        http::send(body.iter().fold(request, reqwest::RequestBuilder::json)).expect("it answers")
    };
    let (origin, path) = match issuer.find("/realms") {
        Some(at) => issuer.split_at(at),
        None => (issuer, ""),
    };
    let found = http::get(&format!("{origin}/.well-known/ssf-configuration{path}")).expect("it answers");
    let found = match found.status {
        200 => found.json(),
        // Keycloak also has it in the place of an earlier draft.
        _ => http::get(&format!("{issuer}/.well-known/ssf-configuration"))
            .expect("it answers")
            .expect(200)
            .json(),
    };
    assert_eq!(found["issuer"], issuer);
    let endpoint = |name: &str| found[name].as_str().expect("an address").to_owned();
    let events = json!(["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]);
    let wanted = json!({ "events_requested": events, "delivery": { "method": "urn:ietf:rfc:8936" } });
    let stream = ask(Method::POST, &endpoint("configuration_endpoint"), Some(wanted)).expect(201).json();
    let id = stream["stream_id"].as_str().expect("an id");
    let status = ask(Method::GET, &format!("{}?stream_id={id}", endpoint("status_endpoint")), None);
    let verify = json!({ "stream_id": id, "state": "abc" });
    let verified = ask(Method::POST, &endpoint("verification_endpoint"), Some(verify)).expect(204);
    assert_eq!(verified.body, "");
    let url = stream["delivery"]["endpoint_url"].as_str().expect("an address").to_owned();
    let polled = wait::until(LIMIT, || {
        let polled = ask(Method::POST, &url, Some(json!({ "returnImmediately": true }))).expect(200).json();
        polled["sets"].as_object().is_some_and(|sets| sets.len() == 1).then_some(polled)
    });
    let polled = polled.expect("the verification");
    let (jti, token) = polled["sets"].as_object().and_then(|sets| sets.iter().next()).expect("one");
    let parts: Vec<Value> = token.as_str().expect("a token").split('.').take(2).map(decoded).collect();
    assert_eq!((&parts[1]["jti"], &parts[1]["sub_id"]["id"]), (&json!(jti), &json!(id)));
    let acknowledged = json!({ "returnImmediately": true, "ack": [jti] });
    let rest = ask(Method::POST, &url, Some(acknowledged)).expect(200).json();
    assert_eq!(rest, json!({ "sets": {}, "moreAvailable": false }));
    let deleted =
        ask(Method::DELETE, &format!("{}?stream_id={id}", endpoint("configuration_endpoint")), None);
    assert_eq!(deleted.status, 204);
    [found.clone(), stream.clone(), status.expect(200).json()].iter().chain(&parts).map(shape).collect()
}

fn decoded(part: &str) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Keycloak is a transmitter too: what it says at each step has the shape of what Tocsin says.
#[test]
fn keycloak_as_a_transmitter_says_the_same() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&section(&key(stage.path(), "ssf.pem"), "")));
    let ours = conversation(&tocsin.url(""), IDP);
    let mut theirs = conversation(&keycloak.issuer(), &keycloak.transmits_to("receiver"));
    // Theirs has these beside what both say; and an audience of theirs is always a list.
    let only_theirs = theirs[0].as_object_mut().and_then(|found| found.remove("critical_subject_members"));
    assert_eq!(only_theirs, Some(json!(["text"])));
    theirs[1]["aud"] = "text".into();
    for (what, (ours, theirs)) in
        ["metadata", "stream", "status", "header", "claims"].iter().zip(ours.iter().zip(&theirs))
    {
        assert_eq!(ours, theirs, "{what}");
    }
}
