//! E-mail to people: notices of questions, one letter a person, by SMTP (RFC 5321) with TLS; to an agent's owner and sponsor also of
//! alerts about it.
//!
//! A letter says who waits for what, why, until when and where it is answered, or what became of the agent. It holds no number and approves nothing. Its
//! headers are built from parsed addresses and escaped words alone, so no name of an agent can add one.

mod config;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use detector::Timestamp;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor};
use serde::Deserialize;

pub use self::config::{EmailConfig, EmailError};
use super::{Attempt, Connector, Outcome};
use crate::approval::{self, ApproverRow};
use crate::message::{Message, clip};
use crate::revoker::Revoker;

/// The target's name. There is one.
pub(crate) const NAME: &str = "email";

/// From the first connection to the last answer, all letters of one notice together.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes of a subject, at most: RFC 5322 wants lines of 78 characters.
const SUBJECT_BYTES_MAX: usize = 70;

/// No detail in a receipt is longer.
const DETAIL_BYTES_MAX: usize = 300;

/// Answers of a server that are about us and not about who is written to (RFC 4954, section 6; RFC 3207, section 4): somebody can mend
/// that, so it is tried again.
const OURS: [u16; 4] = [530, 534, 535, 538];

/// A way to a mail server.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// The same, to the people on record.
pub struct Email {
    mail: Mail,
    revoker: Revoker,
}

/// What is read of a notice.
#[derive(Deserialize)]
struct Notice {
    title: String,
    text: String,
    why: String,
    /// When the question lapses, where it is about one.
    expires_at: Option<Timestamp>,
    people: Vec<String>,
    /// Owner and sponsor.
    #[serde(default)]
    also: Vec<String>,
}

#[derive(Deserialize)]
struct Body {
    data: Notice,
}

impl Mail {
    /// Writes to those whom `revoker`'s record has an address of.
    pub fn of(self, revoker: Revoker) -> Email {
        Email { mail: self, revoker }
    }

    fn letter(&self, id: &str, notice: &Notice, to: &Mailbox) -> Result<Letter, lettre::error::Error> {
        let end = match notice.expires_at {
            Some(_) => {
                "The page asks who you are. This message approves nothing, and nor does an answer to it."
            }
            None => "You are named as one who answers for the agent. An answer to this message does nothing.",
        };
        let body = format!("{}\n\nWhy: {}.\n\n{end}\n", notice.text, notice.why);
        // RFC 3834: nobody's absence is to be told to us.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Letter::builder()
            .from(self.from.clone())
            .to(to.clone())
            .subject(clip(&notice.title, SUBJECT_BYTES_MAX))
            // The same at every attempt, so that who is sent it twice need not see it twice.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(body)
    }
}

impl Email {
    async fn send(&self, message: &Message, now: Timestamp) -> Outcome {
        let notice = match serde_json::from_slice::<Body>(&message.body) {
            Ok(body) => body.data,
            Err(e) => return Outcome::Hopeless { detail: format!("no notice: {e}") },
        };
        if notice.expires_at.is_some_and(|end| now >= end) {
            return Outcome::Hopeless {
                detail: "the question has lapsed, and nobody was written to".to_owned(),
            };
        }
        let approvers = match approval::list(&self.revoker).await {
            Ok(approvers) => approvers,
            Err(e) => return failed(None, e.to_string()),
        };
        let (mut taken, mut refused) = (0, String::new());
        for to in recipients(&notice, &approvers, &self.mail.to) {
            let sent = match self.mail.letter(&message.id, &notice, &to) {
                Ok(letter) => self.mail.transport.send(letter).await,
                Err(e) => return Outcome::Hopeless { detail: format!("no letter: {e}") },
            };
            match sent {
                Ok(_) => taken += 1,
                Err(e) if is_about_them(&e) => {
                    tracing::warn!(detail = detail(&e), "somebody's address is refused by the mail server");
                    refused = detail(&e);
                }
                Err(e) => return failed(e.status().map(u16::from), detail(&e)),
            }
        }
        if taken > 0 { Outcome::Acknowledged { status: 250 } } else { Outcome::Hopeless { detail: refused } }
    }
}

impl Connector for Email {
    fn name(&self) -> &str {
        NAME
    }

    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a> {
        Box::pin(async move {
            let sent = tokio::time::timeout(TIMEOUT, self.send(message, now)).await;
            sent.unwrap_or_else(|_| failed(None, "timed out".to_owned()))
        })
    }
}

/// Who is written to: those who are asked, with an address on record; for the others, and where nobody is named, `others`. And owner and
/// sponsor, by the same record or where they are named by an address; of an alert `others` hear if neither has one.
fn recipients(notice: &Notice, approvers: &[ApproverRow], others: &[Mailbox]) -> Vec<Mailbox> {
    let of = |name: &String| {
        let mut known = approvers.iter().filter(|who| who.disabled_at.is_none() && who.is(name));
        known.find_map(|who| Some(Mailbox::new(None, who.address()?)))
    };
    let found: Vec<Option<Mailbox>> = notice.people.iter().map(of).collect();
    let written = |name| of(name).or_else(|| Some(Mailbox::new(None, name.parse().ok()?)));
    let also: Vec<Mailbox> = notice.also.iter().filter_map(written).collect();
    let to_others = match notice.expires_at {
        Some(_) => found.is_empty() || found.iter().any(Option::is_none),
        None => also.is_empty(),
    };
    let all = found.into_iter().flatten().chain(also);
    let all = all.chain(others.iter().filter(|_| to_others).cloned());
    let mut seen = BTreeSet::new();
    all.filter(|to| seen.insert(to.email.clone())).collect()
}

/// Whether another attempt would be refused in the same way, and others need not be.
fn is_about_them(error: &SmtpError) -> bool {
    error.is_permanent() && error.status().is_some_and(|code| !OURS.contains(&u16::from(code)))
}

fn failed(status: Option<u16>, detail: String) -> Outcome {
    Outcome::Failed { status, detail, wait: None }
}

/// What went wrong, without what the server said: that is somebody else's text.
fn detail(error: &SmtpError) -> String {
    if let Some(code) = error.status() {
        let whose = if is_about_them(error) { "the recipient or the letter" } else { "us" };
        return format!("the mail server refused {whose}: {code}");
    }
    let mut text = error.to_string();
    let mut source = error.source().and_then(std::error::Error::source);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clip(&text, DETAIL_BYTES_MAX)
}

#[cfg(test)]
mod tests;
