//! Every page that people see, as axe judges it: on a phone, in light and in dark, with whatever went wrong on it.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::gate::{Agent, Human, operate, page_of};
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

const PHONE: (u32, bool) = (390, true);

/// Name of the one test, for the row.
const TEST: &str = "accessibility::";

/// Where prompted flows go on to: any address that answers will do.
const BACK: &str = "/healthz";

/// Wrong answers after which a question is shut for a while, and one more that is told so.
const TOO_MANY: u32 = 11;

/// Two people for a payment, a passkey for a deletion, and a question that lapses while somebody looks at it.
fn settings(stage: &Stage, tocsin: &Tocsin, challenge_s: u32) -> String {
    let back = tocsin.url(BACK);
    stage.settings(&format!(
        "[mfa]\ncallback_urls = [\"{back}\"]\nlogout_urls = [\"{back}\"]\n\
         [policy]\nchallenge_s = {challenge_s}\n\
         [policy.risk]\npayments = [\"send_ledger\"]\ndeletion = [\"drop\"]\n\
         [policy.approval]\npasskey_for = [\"deletion\"]\ntwo_for = [\"payments\"]\n"
    ))
}

/// A question that was put by a prompted flow: where that waits, where it is answered, and the number that goes with it.
struct Question {
    waits: String,
    page: String,
    number: String,
}

/// What was looked at so far.
struct Looked<'a> {
    tocsin: &'a Tocsin,
    browser: Browser,
    pages: Vec<String>,
    violations: Vec<String>,
}

impl Looked<'_> {
    /// Looks at the page that is open.
    fn at(&mut self, page: &str, title: &str) {
        let shown = self.browser.eval("one", "document.title");
        assert!(shown.as_str().is_some_and(|shown| shown.starts_with(title)), "{page}: {shown}");
        self.unfold();
        let found = self.browser.violations("one");
        self.violations.extend(found.into_iter().map(|violation| format!("{page}: {violation}")));
        self.pages.push(page.to_owned());
    }

    fn open(&mut self, url: &str, status: u64, page: &str, title: &str) {
        assert_eq!(self.browser.open("one", url, PHONE), status, "{page}");
        self.at(page, title);
    }

    /// Asks whoever is called so.
    fn question(&self, who: &str, agent: &str, action: &str) -> Question {
        let back = self.tocsin.url(BACK);
        let body = json!({ "username": who, "email": who, "callbackUrl": back, "logoutUrl": back,
                           "params": { "agent": agent, "action": action } });
        let begun = self.tocsin.mfa("prompt_init_transaction", &body).expect(200).json();
        let open = self.tocsin.look("/v1/approvals?limit=1");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Question {
            waits: text(&begun["webURI"]),
            page: text(&open["rows"][0]["page_url"]),
            number: text(&begun["binding_code"]),
        }
    }

    fn unfold(&mut self) {
        self.browser
            .eval("one", "document.querySelectorAll('details').forEach((part) => { part.open = true; })");
    }

    /// Opens a question and answers it with a code.
    fn answer(&mut self, page: &str, choice: &str, (name, code): (&str, &str), number: &str) {
        self.browser.open("one", page, PHONE);
        self.send(choice, (name, code), number);
    }

    /// Answers the question that is open.
    fn send(&mut self, choice: &str, (name, code): (&str, &str), number: &str) {
        self.unfold();
        let is_asked = self.browser.eval("one", "Boolean(document.querySelector('#number'))");
        if !number.is_empty() && is_asked == true {
            self.browser.fill("one", "#number", number);
        }
        self.browser.eval("one", "document.querySelector('#name').value = ''");
        self.browser.fill("one", "#name", name);
        self.browser.fill("one", "#code", code);
        self.browser.press("one", &format!("button.{choice}[name=choice]"));
    }

    fn what_goes_wrong(&mut self, kim: &Human) {
        let nothing = "0".repeat(32);
        for (path, title) in [
            (format!("/approve/{nothing}"), "There is no such question"),
            (format!("/enrol/{nothing}"), "This link is good for nothing"),
            (format!("/mfa/{nothing}"), "There is no such page"),
        ] {
            self.open(&self.tocsin.url(&path), 404, title, title);
        }
        let question = self.question(kim.name, "clerk", "send_email");
        self.open(&question.page, 200, "an open question", "May clerk go on?");
        self.send("deny", (kim.name, "000000"), "");
        self.at("a wrong code", "Not accepted");
        let wrong = if question.number == "0000" { "0001" } else { "0000" };
        self.answer(&question.page, "approve", (kim.name, &kim.code()), wrong);
        self.at("a wrong number", "Not accepted");
        self.browser.eval(
            "one",
            "document.querySelectorAll('[name=token]').forEach((field) => { field.value = 'x'; })",
        );
        self.send("deny", (kim.name, "000000"), "");
        self.at("a form out of date", "Not accepted");
        self.browser
            .eval("one", "document.querySelectorAll('[name=token]').forEach((field) => { field.remove(); })");
        self.send("deny", (kim.name, "000000"), "");
        self.at("half a form", "Nothing was done");
        self.browser.open("one", &question.page, PHONE);
        for _ in 0..TOO_MANY {
            if self.browser.eval("one", "Boolean(document.querySelector('#code'))") == true {
                self.send("deny", ("nobody", "000000"), "");
            }
        }
        self.at("too many wrong answers", "Not accepted");
    }

    /// `challenge` takes two people.
    fn what_is_answered(&mut self, challenge: &Value, [dana, kim, lee]: [&Human; 3]) {
        let (page, number) = (page_of(self.tocsin, challenge), challenge["binding_code"].as_str());
        let (number, code) = (number.expect("a number"), dana.code());
        self.open(&page, 200, "a question with evidence", "May payer go on?");
        self.answer(&page, "approve", (dana.name, &code), number);
        self.at("one of two has said yes", "May payer go on?");
        self.send("approve", (dana.name, &code), number);
        self.at("a code used before", "Not accepted");
        self.answer(&page, "approve", (kim.name, &kim.code()), number);
        self.at("approved", "Approved");

        // It goes on when somebody comes back to it.
        let question = self.question(lee.name, "courier", "send_email");
        self.open(&question.waits, 200, "a prompted flow that waits", "Waiting for your answer");
        assert_eq!(self.browser.open("waits", &question.waits, PHONE), 200);
        self.answer(&question.page, "approve", (lee.name, &lee.code()), &question.number);
        self.browser.comes_back("waits");
        self.browser.wait("waits", "location.search.startsWith('?accessToken=mfat_')");
        let question = self.question(lee.name, "cleaner", "drop");
        self.open(&question.page, 200, "a question that takes a passkey", "May cleaner go on?");
    }

    fn how_it_ends(&mut self, [max, ned]: [&Human; 2]) {
        let question = self.question(max.name, "mailer", "send_email");
        self.answer(&question.page, "deny", (max.name, &max.code()), "");
        self.at("denied", "Denied");
        let question = self.question(ned.name, "thief", "send_email");
        self.answer(&question.page, "attack", (ned.name, &ned.code()), "");
        self.at("an attack", "Reported as an attack");
        let question = self.question(ned.name, "leaver", "send_email");
        operate(self.tocsin, "revoke", "leaver");
        self.open(&question.page, 200, "superseded", "Settled elsewhere");
    }

    fn enrolling(&mut self) {
        let printed = self.tocsin.command(&["approver", "add", "Olga"]).stdout;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let link = printed.split_whitespace().find(|word| word.starts_with("http")).expect("a link");
        self.open(link, 200, "an invitation", "Become an approver");
        self.browser.fill("one", "#code", "000000");
        self.browser.press("one", "button.deny");
        self.at("a wrong code of an app", "Become an approver");
        self.browser.eval(
            "one",
            "document.querySelectorAll('[name=token]').forEach((field) => { field.value = 'x'; })",
        );
        self.browser.fill("one", "#code", "000000");
        self.browser.press("one", "button.deny");
        self.at("an invitation out of date", "Become an approver");
        self.browser.press("one", "button[data-choice=enrol]");
        self.at("enrolled", "You are enrolled");
    }
}

#[test]
fn every_page_can_be_used_by_everybody() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::prepare(stage.path(), "");
    tocsin.configure(&settings(&stage, &tocsin, 900));
    tocsin.restart();
    let people = ["Dana", "Kim", "Lee", "Max", "Ned"].map(|name| Human::enrol(&tocsin, name));
    let [dana, kim, lee, max, ned] = &people;
    let (_, challenge) = Agent::with_history(&tocsin, "payer").until_challenged(&tocsin);
    let browser = Browser::start(stage.path());
    let mut looked = Looked { tocsin: &tocsin, browser, pages: Vec::new(), violations: Vec::new() };
    looked.enrolling();
    looked.what_is_answered(&challenge, [dana, kim, lee]);
    looked.how_it_ends([max, ned]);
    looked.what_goes_wrong(&Human::enrol(&tocsin, "Pat"));
    let Looked { browser, pages, violations, .. } = looked;

    tocsin.configure(&settings(&stage, &tocsin, 1));
    tocsin.restart();
    let mut looked = Looked { tocsin: &tocsin, browser, pages, violations };
    let question = looked.question(ned.name, "sleeper", "send_email");
    std::thread::sleep(std::time::Duration::from_secs(2));
    looked.open(&question.page, 200, "lapsed", "This question has lapsed");

    let (pages, found) = (looked.pages.len(), looked.violations.len());
    let goal = format!("0 on each of {pages} pages");
    let name = "violations of accessibility that axe finds, phone, light and dark";
    prove::row(name, found, [found as f64; 2], &goal, found == 0, TEST);
    assert!(found == 0, "{:#?}", looked.violations);
}
