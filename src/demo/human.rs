//! The human: opens the page that the webhook links to, reads it, and answers with a one-time code.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::{Client, header};
use totp_rs::Totp;

/// A person with an authenticator app.
pub(super) struct Human {
    http: Client,
    name: String,
    app: Totp,
    last_step: u64,
}

/// Seconds a code is shown for (RFC 6238 §5.2, the default time step).
const STEP_S: u64 = 30;

impl Human {
    /// From the address that enrolment printed.
    pub(super) fn new(http: Client, name: &str, otpauth: &str) -> Result<Self> {
        let app = Totp::from_url(otpauth).map_err(|e| anyhow::anyhow!("no authenticator: {e}"))?;
        Ok(Self { http, name: name.to_owned(), app, last_step: 0 })
    }

    /// A code that was not used before: waits for the next one where it has to.
    pub(super) async fn code(&mut self) -> Result<String> {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            if now / STEP_S > self.last_step {
                self.last_step = now / STEP_S;
                return Ok(self.app.generate(now).to_string());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Answers as a browser would: loads the page, fills its form in, posts it. Returns the heading of the page after.
    pub(super) async fn answer(&mut self, page: &str, choice: &str, number: &str) -> Result<String> {
        let shown = self.http.get(page).send().await?.error_for_status()?;
        let cookie =
            shown.headers().get(header::SET_COOKIE).and_then(|c| c.to_str().ok()).unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let html = shown.text().await?;
        let mut form: HashMap<&str, String> = HashMap::new();
        for field in ["token", "seen"] {
            form.insert(
                field,
                hidden(&html, field).with_context(|| format!("the page has no field {field}"))?,
            );
        }
        form.insert("number", number.to_owned());
        form.insert("name", self.name.clone());
        form.insert("code", self.code().await?);
        form.insert("choice", choice.to_owned());
        let origin: String = page.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let posted =
            self.http.post(page).header(header::COOKIE, &cookie).header(header::ORIGIN, origin).form(&form);
        let answer = posted.send().await?;
        let after = if answer.status().is_redirection() {
            self.http.get(page).header(header::COOKIE, cookie).send().await?
        } else {
            answer
        };
        let (status, html) = (after.status(), after.text().await?);
        let heading = between(&html, "<title>", " · ").unwrap_or_default();
        if !status.is_success() || heading.starts_with("Not accepted") {
            bail!("the page answered {status}: {heading}");
        }
        Ok(heading.to_owned())
    }
}

fn hidden(html: &str, name: &str) -> Option<String> {
    let field = between(html, &format!("name=\"{name}\" value=\""), "\"")?;
    Some(field.to_owned())
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let start = text.find(from)? + from.len();
    let length = text[start..].find(to)?;
    Some(&text[start..start + length])
}
