//! A human is asked, answers on the page with a one-time code of a foreign library, and the agent learns of it: walked
//! without a browser, over restarts.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::{Agent, Human, ask, operate, page_of, status};
use crate::support::http;
use crate::support::page::Page;
use crate::support::parts::python;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("`{field}` in {value}"))
}

#[test]
fn a_human_approves_and_exactly_that_act_goes_on_once() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let dana = Human::enrol(&tocsin, "Dana");
    let mut agent = Agent::with_history(&tocsin, "mail-agent");
    let (act, challenge) = agent.until_challenged(&tocsin);
    assert_eq!(status(&challenge, 0)["status"], "pending");

    tocsin.kill();
    tocsin.restart();
    let page = Page::open(&page_of(&tocsin, &challenge));
    for shown in ["mail-agent", "send_ledger", "account/4711", "bits"] {
        assert!(page.shows(shown), "{shown} is not on the page: {}", page.html);
    }
    assert!(
        !page.shows(text(&challenge, "binding_code")),
        "the page tells the number that only the agent shows"
    );
    let fields = |number: &str, code: &str| {
        page.answer("approve", &[("name", dana.name), ("number", number), ("code", code)])
    };
    fields("0000 0", &dana.code()).expect(422);
    fields(text(&challenge, "binding_code"), "000000").expect(422);
    let (waited, pressed) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&challenge, 30));
        let pressed = fields(text(&challenge, "binding_code"), &dana.code());
        (waiting.join().expect("the agent waited"), pressed)
    });
    assert_eq!(pressed.status, 303, "{pressed:?}");
    assert_eq!(waited["status"], "approved", "{waited}");
    assert!(Page::open(&page_of(&tocsin, &challenge)).shows("Approved"));

    tocsin.kill();
    tocsin.restart();
    let grant = status(&challenge, 0)["grant"]["token"].as_str().expect("a grant").to_owned();
    check_grant(&stage, &tocsin, &grant, &challenge);
    let mut other = act.clone();
    other["event_id"] = "mail-agent-other".into();
    other["resource"] = "account/0815".into();
    assert_eq!(ask(&tocsin, &other, Some((&grant, "first"))).expect(401).json()["reason"], "other_act");
    let resumed = ask(&tocsin, &act, Some((&grant, "first"))).expect(200).json();
    assert_eq!(
        (&resumed["decision"], &resumed["resumed"]["repeated"]),
        (&"go_on".into(), &false.into()),
        "{resumed}"
    );
    tocsin.kill();
    tocsin.restart();
    let again = ask(&tocsin, &act, Some((&grant, "first"))).expect(200).json();
    assert_eq!(again["resumed"]["repeated"], true, "{again}");
    assert_eq!(ask(&tocsin, &act, Some((&grant, "second"))).expect(401).json()["reason"], "used");
    stage.check_effects(&tocsin, &[("mail-agent", &["agent.challenged", "agent.challenge.approved"])]);
}

/// The grant is verified with the published keys by a library that is not ours.
fn check_grant(stage: &Stage, tocsin: &Tocsin, grant: &str, challenge: &Value) {
    let keys = stage.path().join("grants.json");
    let published = http::get(&tocsin.url("/v1/grants/jwks.json")).expect("it answers").expect(200);
    assert_eq!(published.header("content-type"), "application/jwk-set+json");
    std::fs::write(&keys, published.body).expect("to write the keys");
    let verify = |grant: &str| {
        let audience = tocsin.url("");
        let mut command = python("verify_grant.py");
        command.arg(&keys).arg(audience).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut verifier = command.spawn().expect("it starts");
        verifier.stdin.take().expect("a pipe").write_all(grant.as_bytes()).expect("it reads");
        verifier.wait_with_output().expect("it ends")
    };
    let verified = verify(grant);
    let told: Value = serde_json::from_slice(&verified.stdout).expect("what jwcrypto verified");
    let claims = &told["claims"];
    assert_eq!(
        (&claims["sub"], &claims["approval_id"]),
        (&"mail-agent".into(), &challenge["approval_id"]),
        "{told}"
    );
    for claim in ["acr", "amr", "auth_time", "action_digest", "jti"] {
        assert!(!claims[claim].is_null(), "{claim}: {told}");
    }
    let last = if grant.ends_with('A') { 'B' } else { 'A' };
    let (signed, _) = grant.rsplit_once('.').expect("three parts");
    for forged in [format!("{signed}.{}{last}", "A".repeat(85)), format!("{signed}.")] {
        assert!(!verify(&forged).status.success(), "{forged}");
    }
}

#[test]
fn a_no_is_no_lapse_and_an_attack_ends_access_until_a_person_restores_it() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings("[policy]\nchallenge_s = 20\n"));
    let (dana, kim) = (Human::enrol(&tocsin, "Dana"), Human::enrol(&tocsin, "Kim"));
    let challenged = |name| Agent::with_history(&tocsin, name).until_challenged(&tocsin);
    let answer = |human: &Human, choice, challenge| {
        let page = Page::open(&page_of(&tocsin, challenge));
        page.answer(choice, &[("name", human.name), ("code", &human.code())])
    };

    let (act, lapses) = challenged("left-alone");
    let (_, denied) = challenged("denied");
    assert_eq!(answer(&dana, "deny", &denied).status, 303);
    let (attack_act, attacked) = challenged("hijacked");
    assert_eq!(answer(&kim, "attack", &attacked).status, 303);

    assert_eq!(status(&denied, 0)["status"], "denied");
    assert_eq!(
        status(&attacked, 0)["status"],
        "denied",
        "an agent need not know that its human called it an attack"
    );
    assert_eq!(ask(&tocsin, &attack_act, None).expect(403).json()["decision"], "revoked");
    assert_eq!(status(&lapses, 50)["status"], "expired");
    assert_eq!(ask(&tocsin, &act, None).status, 401, "silence restores nothing");

    operate(&tocsin, "reinstate", "hijacked");
    assert_eq!(ask(&tocsin, &attack_act, None).json()["standing"], "probation");
    stage.check_effects(
        &tocsin,
        &[
            ("denied", &["agent.challenged", "agent.challenge.denied"]),
            ("hijacked", &["agent.challenged", "agent.access.revoked", "agent.reinstated"]),
        ],
    );
}

#[test]
fn a_flood_of_questions_is_told_once_and_has_its_agent_watched() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings("[policy.approval]\nopen_per_agent = 2\n"));
    Human::enrol(&tocsin, "Dana");
    let ask = |n: u32| {
        let params = json!({ "agent": "mailer", "action": "send_email", "resource": format!("inbox/{n}") });
        let body = json!({ "username": "Dana", "email": "Dana", "params": params });
        let tid = tocsin.mfa("promptless_init_transaction", &body).expect(200).json()["tid"].clone();
        tocsin.mfa("promptless_send_method", &json!({ "tid": tid })).status
    };
    assert_eq!([1, 2, 3, 4].map(ask), [200, 200, 429, 429]);
    let agent = tocsin.look(&format!("/v1/agent?agent_id=mailer&issuer={ISSUER}"));
    assert_eq!(agent["standing"], "watched", "{agent}");
    let told = |rows| rows == 1;
    stage.count_when(Duration::from_mins(1), "alerts_once WHERE action = 'approval_flood'", told);
    let sql = "SELECT reasons[1] AS why FROM tocsin.alerts_once WHERE action = 'approval_flood'";
    let why = stage.engine.rows(sql)[0]["why"].to_string();
    assert!(why.contains("mailer") && why.contains("T1621"), "{why}");
}

#[test]
fn whom_nobody_could_answer_for_is_told_before_anybody_is_asked() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let tocsin = Tocsin::prepare(
        folder.path(),
        "[policy.approval]\npasskey_for = []\n[[manifests]]\nagent_id = \"pays\"\napprovers = [\"Ann\"]\n",
    );
    let check = || {
        let output = tocsin.command(&["approver", "check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = check();
    assert_eq!(code, Some(65));
    assert!(told.contains("pays\tnobody") && told.contains("every other agent\tnobody"), "{told}");
    // Enrolled, though not who is named for the one.
    assert!(tocsin.command(&["approver", "add", "Bob", "--totp"]).status.success());
    let (code, told) = check();
    assert_eq!(code, Some(65));
    assert!(told.contains("pays\tnobody") && !told.contains("every other"), "{told}");
    // Who has a link has no method yet.
    assert!(tocsin.command(&["approver", "add", "Ann"]).status.success());
    assert_eq!(check().0, Some(65));
    assert!(tocsin.command(&["approver", "revoke", "Ann"]).status.success());
    assert!(tocsin.command(&["approver", "add", "Ann", "--totp"]).status.success());
    assert_eq!(check().0, Some(0));
}

#[test]
fn who_lacks_a_passkey_that_his_agents_need_is_named() {
    let manifest = |agent: &str, approver: &str, endpoint: &str| {
        format!(
            "[[manifests]]\nagent_id = \"{agent}\"\napprovers = [\"{approver}\"]\nendpoints = [\"{endpoint}\"]\n"
        )
    };
    let more = manifest("pays", "Ann", "POST /v1/refunds") + &manifest("mails", "Bob", "send_email");
    let check = |section: &str| {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let tocsin = Tocsin::prepare(folder.path(), &format!("{section}\n{more}"));
        for name in ["Ann", "Bob"] {
            assert!(tocsin.command(&["approver", "add", name, "--totp"]).status.success());
        }
        let output = tocsin.command(&["approver", "check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = check("[http]\npublic_url = \"http://127.0.0.1:1\"");
    assert_eq!(code, Some(65));
    assert!(told.contains("pays\tsome of its acts may take a passkey, and none can be used"), "{told}");
    let (code, told) = check("");
    assert_eq!(code, Some(65));
    for line in [
        "pays\tnobody who answers for it has a passkey, which some of its acts may take\tnamed: Ann",
        "Ann\thas no passkey, which a yes may take; `tocsin approver add Ann` makes a link\tfor: pays, every other agent",
        "Bob\thas no passkey, which a yes may take; `tocsin approver add Bob` makes a link\tfor: every other agent",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("mails"), "its acts take none: {told}");
    assert_eq!(check("[policy.approval]\npasskey_for = []").0, Some(0));
}
