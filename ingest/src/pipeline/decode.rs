//! Stage: bytes to calls or rejects, each told once.

use std::borrow::Cow;

use detector::Call;
use metrics::counter;
use sha2::{Digest, Sha256};

use crate::decode::{ContentDigest, Receipt, Reject, Tally, decode_with_digest, event_key};
use crate::finding::{Finding, Findings};
use crate::metric;
use crate::seen::{Admission, Origin, SeenFile};
use crate::source::{Delivery, Payload, conflict};

/// A delivery, decoded.
pub(super) struct Decoded<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) what: What<'a>,
}

/// What a delivery turned out to be.
#[expect(clippy::large_enum_variant, reason = "nearly all are calls, and a call must not cost an allocation")]
pub(super) enum What<'a> {
    /// A record of any kind.
    Call(Call<'a>, ContentDigest),
    /// None, or one that must not count.
    Reject(Cow<'a, Reject>),
    /// A record that was told before, from elsewhere.
    Duplicate,
}

/// Decodes deliveries in order. Where their source does not itself know what was told before, `seen` does.
pub(super) fn decode<'a>(
    deliveries: &'a [Delivery],
    seen: Option<&SeenFile>,
    findings: Option<&Findings>,
) -> rusqlite::Result<Vec<Decoded<'a>>> {
    let mut tally = Tally::new();
    let decoded = deliveries.iter().map(|delivery| Decoded { delivery, what: look_at(delivery, &mut tally) });
    let mut decoded: Vec<_> = decoded.collect();
    let Some(seen) = seen else { return Ok(decoded) };
    let conflicts = admit(&mut decoded, seen)?;
    // What comes by the local log was counted and raised on its way in; what is read by both pipelines is, by one.
    if let Some(findings) = findings {
        counter!(metric::UNKNOWN_FIELDS).increment(tally.unknown_fields());
        count(&decoded, conflicts.len());
        for conflict in conflicts {
            findings.raise(conflict);
        }
    }
    Ok(decoded)
}

fn count(decoded: &[Decoded<'_>], conflicts: usize) {
    let Some(first) = decoded.first() else { return };
    let of = |wanted: fn(&What<'_>) -> bool| decoded.iter().filter(|d| wanted(&d.what)).count();
    let counts = [
        ("stored", of(|what| matches!(what, What::Call(..)))),
        ("duplicate", of(|what| matches!(what, What::Duplicate))),
        ("conflict", conflicts),
        ("rejected", of(|what| matches!(what, What::Reject(_))) - conflicts),
    ];
    for (outcome, n) in counts {
        let source = first.delivery.source.name.clone();
        counter!(metric::LINES, "source" => source, "outcome" => outcome).increment(n as u64);
    }
}

fn look_at<'a>(delivery: &'a Delivery, tally: &mut Tally) -> What<'a> {
    let source = &delivery.source;
    match &delivery.payload {
        Payload::Reject(reject) => What::Reject(Cow::Borrowed(reject)),
        Payload::Record(bytes) => {
            match decode_with_digest(bytes, source, Receipt::At(delivery.received_at), tally) {
                Ok((call, digest)) => What::Call(call, digest),
                Err(why) => What::Reject(Cow::Owned(Reject::new(&source.name, delivery.line, bytes, &why))),
            }
        }
    }
}

/// Asks the index about every record, and takes back those that must not count; gives the conflicts.
fn admit(decoded: &mut [Decoded<'_>], seen: &SeenFile) -> rusqlite::Result<Vec<Finding>> {
    let (mut places, mut events, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for (place, one) in decoded.iter().enumerate() {
        if let What::Call(call, digest) = &one.what {
            places.push(place);
            events.push((event_key(&call.event_id), *digest, origin(one.delivery)));
        }
    }
    let admissions = seen.admit(&events, crate::clock::now())?;
    for (place, admission) in places.into_iter().zip(admissions) {
        let Decoded { delivery, what } = &mut decoded[place];
        match (admission, &*what) {
            (Admission::Conflict, What::Call(call, _)) => {
                let event_id = call.event_id.to_string();
                let bytes: &[u8] = match &delivery.payload {
                    Payload::Record(bytes) => bytes,
                    Payload::Reject(_) => &[],
                };
                let reject = conflict(&delivery.source, delivery.line, bytes, &event_id);
                let place = format!("{}, offset {}", delivery.partition, delivery.offset);
                conflicts.push(Finding::Conflict { source: delivery.source.name.clone(), event_id, place });
                *what = What::Reject(Cow::Owned(reject));
            }
            (Admission::Duplicate, _) => *what = What::Duplicate,
            _ => {}
        }
    }
    Ok(conflicts)
}

/// A stable name for where a record lies.
fn origin(delivery: &Delivery) -> Origin {
    let name =
        Sha256::new_with_prefix(delivery.line.to_le_bytes()).chain_update(&*delivery.partition).finalize();
    let partition = name.iter().take(8).fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    Origin { partition: partition.cast_signed(), offset: delivery.offset }
}
