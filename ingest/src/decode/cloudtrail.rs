//! AWS CloudTrail: one record becomes one call.
//!
//! | call | from the record |
//! | --- | --- |
//! | `event_id` | `eventID`, required |
//! | `kind` | `call` |
//! | `ts` | `eventTime`, required; RFC 3339 or `20131102T010628Z` |
//! | `agent_id` | `userIdentity`, required: see below |
//! | `instance_id` | the session's ARN, where `agent_id` was folded from it; else absent |
//! | `session_id` | `accessKeyId` where it is a temporary one (`ASIA…`): AWS issues one a session; else absent |
//! | `delegator` | `userIdentity.sessionContext.sourceIdentity`, else `userIdentity.onBehalfOf.userId` |
//! | `issuer` | absent (an ARN is a name the world over); the source's default applies |
//! | `token_id` | `userIdentity.accessKeyId`: the public id of the key, not the key |
//! | `token_iat` | `userIdentity.sessionContext.attributes.creationDate` |
//! | `credential_kind` | `AKIA…` `static_key`; `ASIA…`, or a type of session, `federated`; else `unknown` |
//! | `endpoint` | `service:EventName`: `eventSource` (required) without `.amazonaws.com`, and `eventName` (required) |
//! | `method` | `GET` where `readOnly` is true, `POST` where it is false (safe or not, in HTTP's terms), else `CALL` |
//! | `resource` | the first of `resources`: its `ARN`, else its `ARNPrefix` |
//! | `user_agent` | `userAgent` |
//! | `source_ip` | `sourceIPAddress` where it is an address; AWS also writes names of services there |
//! | `status` | by `errorCode`: none 200, denied 403, throttled 429, any other 400; an `errorMessage` alone 400 |
//! | `attestation` | `token` where AWS verified a signature: a role's or federated user's session, or a user or root with `accessKeyId`; `none` for console sign-ins without a key, for services, other accounts and everybody else, and where the error is that the credentials did not verify |
//! | `call_id`, `source`, `parent_agent_id`, `token_exp`, `scope`, `model`, `args`, `args_digest`, `latency_ms`, `bytes_in`, `bytes_out` | absent |
//!
//! `agent_id`, the first of these that applies:
//!
//! | `userIdentity` | `agent_id` |
//! | --- | --- |
//! | `arn` of an assumed role's session | folded to the role: `arn:aws:sts::ACCOUNT:assumed-role/ROLE` |
//! | `arn` of a federated user's session | folded to who made it, `sessionContext.sessionIssuer.arn`; a role as above, without its path |
//! | any other `arn` | the ARN |
//! | `type` `AWSService`, or `invokedBy` without a `principalId` | `invokedBy@account` |
//! | else | `type:principalId@account`; the `principalId` of a role's session (`AROA…:name`) without the session's name |
//!
//! `account` is `userIdentity.accountId`, else `recipientAccountId`. Where there is no `principalId`, `userName`
//! stands for it, and where there is neither, `-`. A record whose `userIdentity` names nobody at all is refused.
//!
//! Everything else in a record is ignored. Of top-level fields, those that AWS does not document count as unknown.

mod identity;
mod outcome;
mod principal;
mod record;
mod values;

use detector::{Call, Credential, Text, Timestamp};

use super::fields::Fields;
use super::json::read_record;
use super::names::joined;
use super::value::TEXT_BYTES_MAX;
use super::{Invalid, Tally};
use record::{Field, Record};

/// What the names of AWS's own services end in.
const SERVICE_SUFFIX: &str = ".amazonaws.com";

/// Whether `key` is a field of a CloudTrail record.
pub(super) fn knows(key: &str) -> bool {
    Field::from_name(key).is_some()
}

/// Decodes one CloudTrail record, as it stands: no issuer, attestation or receipt from the source yet.
pub fn decode<'a>(record: &'a [u8], tally: &mut Tally) -> Result<Call<'a>, Invalid> {
    let mut raw = Record::default();
    read_record(record, &mut raw, tally)?;
    let event_id = required(raw.event_id.take(), Field::EventId)?;
    let ts = raw.event_time.ok_or_else(|| missing(Field::EventTime))?;
    let endpoint = endpoint(raw.event_source.take(), raw.event_name.take())?;
    let mut call = Call::new(event_id, ts, "", endpoint);
    call.status = Some(outcome::status(raw.error_code.as_deref(), raw.failed));
    call.claimed = outcome::attestation(&raw);
    call.credential = credential(&raw);
    call.method = Some(Text::Borrowed(method(raw.read_only)));
    call.resource = raw.resource.arn.take();
    call.user_agent = raw.user_agent.take();
    call.source_ip = raw.source_ip;
    call.identity = principal::identity(raw.user_identity, raw.recipient_account_id)?;
    Ok(call)
}

fn endpoint<'a>(source: Option<Text<'a>>, name: Option<Text<'a>>) -> Result<Text<'a>, Invalid> {
    let source = required(source, Field::EventSource)?;
    let name = required(name, Field::EventName)?;
    if source.len() + 1 + name.len() > TEXT_BYTES_MAX {
        return Err(Invalid::field(Field::EventName.name(), "longer than 4096 bytes with the event source"));
    }
    Ok(joined(source.strip_suffix(SERVICE_SUFFIX).unwrap_or(&source), ':', &name))
}

fn credential(raw: &Record<'_>) -> Credential {
    Credential {
        issued_at: raw.user_identity.session.attributes.creation_date,
        expires_at: None::<Timestamp>,
        kind: principal::credential_kind(&raw.user_identity),
    }
}

fn method(read_only: Option<bool>) -> &'static str {
    match read_only {
        Some(true) => "GET",
        Some(false) => "POST",
        None => "CALL",
    }
}

fn required(text: Option<Text<'_>>, field: Field) -> Result<Text<'_>, Invalid> {
    text.ok_or_else(|| missing(field))
}

fn missing(field: Field) -> Invalid {
    Invalid::field(field.name(), "required, but absent, null or empty")
}
