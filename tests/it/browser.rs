//! People in a real browser: they enrol by their link and answer with a passkey, on a phone, in two tabs, without script; and what a
//! page of another's making would try.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::gate::{Agent, Human, ask, page_of, status};
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

const DESK: (u32, bool) = (1_000, true);
const PHONE: (u32, bool) = (390, true);
const PICTURE: (u32, bool) = (820, true);
const WITHOUT_SCRIPT: (u32, bool) = (1_000, false);

/// How long a question stands that nobody is to answer, seconds: longer than two tabs take to open.
const LAPSES_S: u32 = 25;

/// A server that is told its port, and no public address.
fn served(stage: &Stage) -> Tocsin {
    let mut tocsin = Tocsin::prepare(stage.path(), "");
    configure(&mut tocsin, stage, "");
    tocsin
}

/// Has it run with these settings of the policy.
fn configure(tocsin: &mut Tocsin, stage: &Stage, policy: &str) {
    // The act is worth a passkey by default, once it is a payment.
    let more = format!("[policy]\n{policy}\n[policy.risk]\npayments = [\"send_ledger\"]\n");
    tocsin.configure(&stage.settings(&more));
    tocsin.restart();
}

fn invited(tocsin: &Tocsin, name: &str) -> String {
    let output = tocsin.command(&["approver", "add", name]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let link = printed.split_whitespace().find(|word| word.starts_with("http"));
    link.unwrap_or_else(|| panic!("no link in {printed}")).to_owned()
}

/// Where a picture of the page is wanted, if it is.
fn picture() -> Option<PathBuf> {
    std::env::var_os("TOCSIN_SCREENSHOT").map(PathBuf::from)
}

#[test]
fn people_enrol_and_answer_with_a_passkey() {
    let stage = Stage::new();
    let mut tocsin = served(&stage);
    let mut browser = Browser::start(stage.path());
    let kim = Human::enrol(&tocsin, "Kim");

    // Dana enrols, on a phone; whoever types the address instead of the name is brought to the name, which passkeys are for.
    let link = invited(&tocsin, "Dana");
    assert!(link.starts_with(&tocsin.url("/enrol/")), "{link}");
    assert_eq!(browser.open("one", &link.replace("localhost", "127.0.0.1"), PHONE), 200);
    assert_eq!(browser.eval("one", "location.href"), *link);
    browser.check_access("one");
    browser.fill("one", "#label", "Phone");
    let title = browser.press("one", "button[data-choice=enrol]");
    assert!(title.starts_with("You are enrolled"), "{title}");
    assert_eq!(browser.eval("one", "document.querySelectorAll('.codes li').length"), 10);
    browser.check_access("one");

    // A device that does not verify who holds it answers nothing; one that does, once, however often it is pressed.
    let (act, challenge) = Agent::with_history(&tocsin, "payer").until_challenged(&tocsin);
    let page = page_of(&tocsin, &challenge);
    browser.open("one", &page, PHONE);
    browser.check_access("one");
    browser.open("one", &page, DESK);
    browser.check_access("one");
    if let Some(path) = picture() {
        browser.open("one", &page, PICTURE);
        browser.screenshot("one", &path);
    }
    browser.set_verified("one", false);
    browser.click("one", "button.approve[data-choice]", 1);
    browser.wait("one", "document.querySelector('#passkey-note').textContent.includes('did not confirm')");
    assert_eq!(status(&challenge, 0)["status"], "pending");
    browser.set_verified("one", true);
    browser.open("two", &page, DESK);
    browser.copy_keys("two", "one");
    browser.click("two", "button.approve[data-choice]", 2);
    browser.wait("two", "document.title.startsWith('Approved')");
    browser.check_access("two");
    let title = browser.press("one", "button.deny[data-choice]");
    assert!(title.starts_with("Not accepted: Approved"), "{title}");
    let told = status(&challenge, 0);
    assert_eq!((&told["status"], &told["grant"]["acr"]), (&json!("approved"), &json!("phr")));
    let grant = told["grant"]["token"].as_str().expect("a grant");
    ask(&tocsin, &act, Some((grant, "once"))).expect(200);

    // What was caught on its way is no use again, nor on another page.
    let (_, challenge) = Agent::with_history(&tocsin, "replayed").until_challenged(&tocsin);
    let page = page_of(&tocsin, &challenge);
    browser.open("one", &page, DESK);
    let caught = "const form = document.querySelector('form[data-passkey]'); \
                  form.submit = () => { window.caught = new URLSearchParams(new FormData(form)).toString(); }";
    browser.eval("one", caught);
    browser.click("one", "button.deny[data-choice]", 1);
    browser.wait("one", "window.caught");
    let send = "(async (choice) => (await fetch(location.pathname, { method: 'POST', \
                body: new URLSearchParams(window.caught.replace('choice=deny', 'choice=' + choice)) })).status)";
    assert_eq!(browser.eval("one", &format!("{send}('approve')")), 403, "a no is no yes");
    assert_eq!(status(&challenge, 0)["status"], "pending");
    assert_eq!(browser.eval("one", &format!("{send}('deny')")), 403, "and was spent by trying");
    browser.open("one", &page, DESK);
    let title = browser.press("one", "button.attack[data-choice]");
    assert!(title.starts_with("Reported as an attack"), "{title}");

    // Without script a code does what a code may.
    let (_, challenge) = Agent::with_history(&tocsin, "stopped").until_challenged(&tocsin);
    browser.open("three", &page_of(&tocsin, &challenge), WITHOUT_SCRIPT);
    browser.fill("three", "#name", kim.name);
    browser.fill("three", "#code", &kim.code());
    let title = browser.press("three", "button.deny[name=choice]");
    assert!(title.starts_with("Denied"), "{title}");
    assert_eq!(status(&challenge, 0)["status"], Value::from("denied"));

    // A page that was left open until its question lapsed says so, whatever is pressed then.
    configure(&mut tocsin, &stage, &format!("challenge_s = {LAPSES_S}"));
    let (_, challenge) = Agent::with_history(&tocsin, "forgotten").until_challenged(&tocsin);
    let page = page_of(&tocsin, &challenge);
    browser.open("one", &page, DESK);
    browser.open("late", &page, WITHOUT_SCRIPT);
    assert_eq!(status(&challenge, LAPSES_S + 10)["status"], "expired");
    browser.click("one", "button.approve[data-choice]", 1);
    browser.wait("one", "document.title.startsWith('Not accepted')");
    browser.check_access("one");
    browser.fill("late", "#name", kim.name);
    browser.fill("late", "#code", &kim.code());
    let title = browser.press("late", "button.deny[name=choice]");
    assert!(title.starts_with("Not accepted"), "{title}");
    assert_eq!(status(&challenge, 0)["status"], "expired", "and no answer to it counts");
    assert_eq!(browser.open("one", &page, PHONE), 200);
    assert!(
        browser.eval("one", "document.body.textContent").as_str().is_some_and(|text| text.contains("lapsed"))
    );
    browser.check_access("one");
}
