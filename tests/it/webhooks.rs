//! What a receiver sees: every event as the published schema says, both kinds of signature through a rotation, and CloudEvents; all
//! judged by programs of others.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::gate::{Agent, Human, ask, challenge, now, operate, page_of, status};
use crate::support::page::Page;
use crate::support::parts::{house, part, python, readme, told};
use crate::support::receiver::Receiver;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, SECRET, Tocsin};
use crate::support::{http, wait};

const LIMIT: Duration = Duration::from_mins(2);

fn by_npm(question: &Value) -> Vec<Value> {
    part("peers/node_modules");
    told(Command::new("node").arg(house().join("parts/peers/judge.mjs")), question)
}

fn by_pypi(question: &Value) -> Vec<Value> {
    told(&mut python("judge.py"), question)
}

fn printed(tocsin: &Tocsin, arguments: &[&str]) -> String {
    let output = tocsin.command(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A new signing key and its public half.
fn new_key() -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin")).args(["webhooks", "new-key"]).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let [key, public] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    let public = public.split_whitespace().last().expect("the public half").to_owned();
    (key.trim().to_owned(), public)
}

fn webhook(name: &str, receiver: &Receiver, folder: &Path, more: &str) -> String {
    let (url, secrets) = (receiver.url(), folder.join("hook.secrets").display().to_string());
    format!(
        "[[webhooks]]\nname = {name:?}\nurl = {url:?}\nsecret_file = {secrets:?}\nallow_insecure_target = true\n{more}\n"
    )
}

#[test]
fn every_event_is_as_its_schema_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::start(folder.path());
    let [plain, clouds] = ["plain", "clouds"].map(|name| {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        Receiver::whole(&folder.path().join(name))
    });
    let (key, public) = new_key();
    fs::write(folder.path().join("hook.secrets"), key).expect("written");
    let settings = [
        "[policy]\nchallenge_s = 20\n",
        &webhook("plain", &plain, folder.path(), ""),
        &webhook("clouds", &clouds, folder.path(), "envelope = \"cloudevents\""),
        &engine.store(),
    ];
    let tocsin = Tocsin::start(folder.path(), &settings.join("\n"));
    let (dana, kim) = (Human::enrol(&tocsin, "Dana"), Human::enrol(&tocsin, "Kim"));
    let answer = |human: &Human, choice, challenge: &Value| {
        let number = challenge["binding_code"].as_str().expect("a number");
        let page = Page::open(&page_of(&tocsin, challenge));
        let answer =
            page.answer(choice, &[("name", human.name), ("number", number), ("code", &human.code())]);
        assert_eq!(answer.status, 303, "{answer:?}");
    };

    let (_, challenge) = Agent::with_history(&tocsin, "approved").until_challenged(&tocsin);
    answer(&dana, "approve", &challenge);
    let (_, challenge) = Agent::with_history(&tocsin, "denied").until_challenged(&tocsin);
    answer(&kim, "deny", &challenge);
    let (_, lapses) = Agent::with_history(&tocsin, "lapses").until_challenged(&tocsin);
    let mut acting = Agent::with_history(&tocsin, "acting");
    for verb in ["revoke", "reinstate", "retire"] {
        operate(&tocsin, verb, "acting");
    }
    let mut call = acting.strange_act();
    call["kind"] = "call".into();
    // Beyond what clocks may differ by.
    call["ts"] = json!(now() + Duration::from_secs(6));
    tocsin.append(&(call.to_string() + "\n")).expect("an answer").expect(200);
    let signed = json!({ "agent_id": "suspended", "issuer": ISSUER, "person": "Olga", "reason": "a test",
                         "until": now() + Duration::from_hours(1) });
    let suspend = tocsin.request(Method::POST, "/v1/agents/suspend", OPERATOR).json(&signed);
    http::send(suspend).expect("it answers").expect(200);
    let ruling = ["agents", "feedback", "denied", "--issuer", ISSUER, "--as", "benign", "--reason", "a test"];
    printed(&tocsin, &ruling);
    assert_eq!(status(&lapses, 50)["status"], "expired");
    assert_eq!(ask(&tocsin, &acting.strange_act(), None).status, 403);

    let schema = http::get(&tocsin.url("/v1/webhooks/schema")).expect("it answers").expect(200).json();
    assert_eq!(schema, serde_json::from_str::<Value>(&printed_schema()).expect("JSON"));
    let titles = schema["oneOf"].as_array().expect("types").iter().map(|event| &event["title"]);
    // Who does not name it is not told.
    let types: Vec<&Value> = titles.filter(|title| **title != "approval.notice").collect();
    let ask_of = |receiver: &Receiver| json!({ "secrets": [], "public_keys": [public], "schema": schema, "requests": receiver.recorded() });
    for (receiver, envelope) in [(&plain, "standard"), (&clouds, "cloudevents")] {
        let told = wait::until(LIMIT, || {
            let told = by_npm(&ask_of(receiver));
            types.iter().all(|kind| told.iter().any(|event| event["type"] == **kind)).then_some(told)
        });
        let told = told.unwrap_or_else(|| panic!("of {types:?} came {:?}", by_npm(&ask_of(receiver))));
        for (event, request) in told.iter().zip(receiver.recorded()) {
            assert_eq!((&event["envelope"], &event["v1a"]), (&json!(envelope), &json!([0])), "{event}");
            assert_eq!(event["id"], request["webhook_id"]);
            let source = if envelope == "cloudevents" { json!(tocsin.url("")) } else { Value::Null };
            assert_eq!(event["source"], source);
        }
    }
    assert_eq!(printed(&tocsin, &["webhooks", "keys"]), format!("plain\t{public}\nclouds\t{public}\n"));
}

fn printed_schema() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin")).args(["webhooks", "schema"]).output();
    String::from_utf8(output.expect("it starts").stdout).expect("text")
}

#[test]
fn a_receiver_misses_nothing_while_secrets_and_keys_rotate() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::start(folder.path());
    let receiver = Receiver::whole(folder.path());
    let secrets =
        ["whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZA==", "whsec_bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="];
    let [(old_key, old_public), (new_key, new_public)] = [new_key(), new_key()];
    let phases = [
        (format!("{} {old_key}", secrets[0]), json!([0])),
        (format!("{} {} {new_key} {old_key}", secrets[1], secrets[0]), json!([0, 1])),
        (format!("{} {new_key}", secrets[1]), json!([1])),
    ];
    let file = folder.path().join("hook.secrets");
    fs::write(&file, &phases[0].0).expect("written");
    let settings = [webhook("idp", &receiver, folder.path(), ""), engine.store()].join("\n");
    let mut tocsin = Tocsin::start(folder.path(), &settings);
    for (n, (text, _)) in phases.iter().enumerate() {
        fs::write(&file, text).expect("written");
        tocsin.restart();
        operate(&tocsin, "revoke", &format!("agent-{n}"));
        // Killed before the answer is written down, it would send again.
        let acknowledged = || {
            tocsin.look("/v1/effects?state=acknowledged")["rows"]
                .as_array()
                .map_or(0, |rows| rows.iter().filter(|row| row["target"] == "idp").count())
        };
        wait::until_eq("acknowledged deliveries", LIMIT, &(n + 1), acknowledged);
    }
    let schema = tocsin.look("/v1/webhooks/schema");
    let mut requests = receiver.recorded();
    let mut forged = requests[1].clone();
    forged["body"] = forged["body"].as_str().expect("a text").replace("agent-1", "agent-2").into();
    requests.push(forged);
    let question = json!({ "secrets": secrets, "public_keys": [old_public, new_public], "schema": schema, "requests": requests });
    let (npm, pypi) = (by_npm(&question), by_pypi(&question));
    for (n, (_, both)) in phases.iter().enumerate() {
        assert_eq!((&npm[n]["v1"], &pypi[n]["v1"], &npm[n]["v1a"]), (both, both, both), "phase {n}");
    }
    let none = json!([]);
    assert_eq!((&npm[3]["v1"], &pypi[3]["v1"], &npm[3]["v1a"]), (&none, &none, &none), "a forged body");
}

#[test]
fn people_are_told_by_signed_webhook_and_chat_as_the_readme_says() {
    let stage = Stage::new();
    let [pager, chat] = ["pager", "chat"].map(|name| stage.path().join(name));
    for folder in [&pager, &chat] {
        fs::create_dir(folder).expect("a folder");
    }
    let (pager, chat) = (Receiver::whole(&pager), Receiver::whole(&chat));
    let ours = |receiver: &Receiver| format!("{:?}\nallow_insecure_target = true", receiver.url());
    let example = readme("What next", "toml")
        .replace("\"https://pager.example/tocsin\"", &ours(&pager))
        .replace("\"https://chat.example/hooks/tocsin\"", &ours(&chat))
        .replace("PAGER_SECRET", "WEBHOOK_SECRET");
    let asks = "[policy.approval]\npasskey_for = []\n[policy.risk]\npayments = [\"wire\"]\n\
                [[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\nat_least = \"step_up\"\n";
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&(example + asks)));
    let dana = Human::enrol(&tocsin, "Dana");
    let act = json!({ "event_id": "e1", "kind": "request", "ts": now(), "agent_id": "<!here>", "endpoint": "wire",
                      "args": { "amount": 90_001 }, "attestation": "token" });
    let question = challenge(&ask(&tocsin, &act, None));
    let number = question["binding_code"].as_str().expect("a number");

    let sent = wait::until(LIMIT, || pager.recorded().into_iter().next()).expect("a notice");
    let notice: Value = serde_json::from_str(sent["body"].as_str().expect("a body")).expect("JSON");
    let page = notice["data"]["approval_url"].as_str().expect("an address");
    assert_eq!((&notice["type"], &notice["data"]["stage"]), (&"approval.notice".into(), &"asked".into()));
    let schema = tocsin.look("/v1/webhooks/schema");
    let judged = json!({ "secrets": [SECRET], "public_keys": [], "schema": schema, "requests": [sent] });
    assert_eq!(by_npm(&judged)[0]["v1"], json!([0]), "as its schema says, and signed");
    let told = wait::until(LIMIT, || chat.recorded().into_iter().next()).expect("a message");
    assert_eq!(told["headers"]["webhook-signature"], Value::Null);
    let message: Value = serde_json::from_str(told["body"].as_str().expect("a body")).expect("JSON");
    let text = message["text"].as_str().expect("a text");
    assert_eq!(message, json!({ "text": text }));
    assert!(
        text.starts_with("&lt;!here&gt; waits for a human: may it call wire?") && text.ends_with(page),
        "{text}"
    );
    let [title, why] = ["title", "why"].map(|name| notice["data"][name].as_str().expect("words"));
    // Before the year and the address, which may hold any four digits.
    for words in [text.split(" By ").next().unwrap_or(text), title, why] {
        assert!(!words.contains(number) && !words.contains("90001"), "{words}");
    }

    // Who follows it has approved nothing yet.
    let page = Page::open(page);
    assert_eq!(status(&question, 0)["status"], "pending");
    page.answer("approve", &[("name", dana.name), ("number", number), ("code", &dana.code())]).expect(303);
    assert_eq!(status(&question, 30)["status"], "approved");

    operate(&tocsin, "revoke", "<!here>");
    let last = || chat.recorded().into_iter().nth(1);
    let revoked = wait::until(LIMIT, last).expect("a message");
    assert!(
        revoked["body"].as_str().is_some_and(|body| body.contains("agent.access.revoked: &lt;!here&gt;")),
        "{revoked}"
    );
    let rows = tocsin.look("/v1/effects?limit=100")["rows"].as_array().expect("rows").clone();
    let notices = rows.iter().filter(|row| row["kind"] == "approval.notice");
    let mut targets: Vec<_> = notices.map(|row| row["target"].as_str().expect("a name")).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["chat", "pager"], "{rows:?}");
}
