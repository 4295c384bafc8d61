//! Chromium, driven over its own protocol: tabs, each with an authenticator that verifies its holder unless told otherwise.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::parts::{house, part};

/// A running browser. Ends with its driver, whose input ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it with its profile under `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut driver = Command::new("node")
            .arg(house().join("parts/browser/drive.mjs"))
            .args([part("browser"), part("chromium/chromium"), folder.join("chromium")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let commands = driver.stdin.take();
        let answers = BufReader::new(driver.stdout.take().expect("its output"));
        Self { driver, commands, answers }
    }

    /// Runs one command of the driver in a tab; fails where it does.
    fn run(&mut self, tab: &str, op: &str, rest: &Value) -> Value {
        let mut command = json!({ "op": op, "tab": tab });
        let fields = command.as_object_mut().expect("an object");
        fields.extend(rest.as_object().expect("an object").clone());
        let input = self.commands.as_mut().expect("its input");
        writeln!(input, "{command}").expect("the driver listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the driver answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{command}: {e}: {line}"));
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    /// Opens a page in a tab, as wide as a phone or not, with or without script; gives its status.
    pub(crate) fn open(&mut self, tab: &str, url: &str, (width, script): (u32, bool)) -> u64 {
        let answer = self.run(tab, "open", &json!({ "url": url, "width": width, "script": script }));
        answer["status"].as_u64().expect("a status")
    }

    /// Types into a field.
    pub(crate) fn fill(&mut self, tab: &str, selector: &str, text: &str) {
        self.run(tab, "fill", &json!({ "selector": selector, "text": text }));
    }

    /// Clicks, and gives the title of the page that follows.
    pub(crate) fn press(&mut self, tab: &str, selector: &str) -> String {
        self.run(tab, "press", &json!({ "selector": selector }))["title"]
            .as_str()
            .expect("a title")
            .to_owned()
    }

    /// Clicks so many times at once, and waits for nothing.
    pub(crate) fn click(&mut self, tab: &str, selector: &str, count: u32) {
        self.run(tab, "click", &json!({ "selector": selector, "count": count }));
    }

    /// Waits until this is true in the page.
    pub(crate) fn wait(&mut self, tab: &str, code: &str) {
        self.run(tab, "wait", &json!({ "code": code }));
    }

    /// Shows a tab to whoever looked at another.
    pub(crate) fn comes_back(&mut self, tab: &str) {
        self.run(tab, "front", &json!({}));
    }

    /// What this gives in the page.
    pub(crate) fn eval(&mut self, tab: &str, code: &str) -> Value {
        self.run(tab, "eval", &json!({ "code": code }))["value"].take()
    }

    /// Whether the tab's authenticator verifies its holder from now on.
    pub(crate) fn set_verified(&mut self, tab: &str, is: bool) {
        self.run(tab, "verified", &json!({ "is": is }));
    }

    /// Gives the tab's authenticator the keys of another's.
    pub(crate) fn copy_keys(&mut self, tab: &str, from: &str) {
        self.run(tab, "keys", &json!({ "from": from }));
    }

    /// Fails where axe finds something that somebody could not use.
    pub(crate) fn check_access(&mut self, tab: &str) {
        assert_eq!(self.violations(tab), [""; 0]);
    }

    /// What axe finds that somebody could not use, in light and in dark.
    pub(crate) fn violations(&mut self, tab: &str) -> Vec<String> {
        let found = self.run(tab, "axe", &json!({}))["violations"].take();
        serde_json::from_value(found).expect("a list of texts")
    }

    /// A picture of the whole page.
    pub(crate) fn screenshot(&mut self, tab: &str, path: &Path) {
        self.run(tab, "screenshot", &json!({ "path": path }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It ends the browser first; a driver that is gone already is no error.
        self.driver.wait().ok();
    }
}
