//! From a message to the records in it.

use std::sync::Arc;
use std::time::Duration;

use detector::Timestamp;
use rdkafka::message::Headers;
use rdkafka::{Message, Timestamp as Stamp};

use super::Group;
use crate::decode::{Invalid, Limits, Record, RecordReader, Reject, SourceContext};
use crate::source::{Delivery, Keyed, Payload};

/// Headers by which producers name themselves, by custom; the first there is counts.
const PRODUCER_HEADERS: [&str; 4] = ["client.id", "client-id", "client_id", "producer"];
/// A producer's own clock is believed for this long back.
const BELIEVED_BACK: Duration = Duration::from_hours(7 * 24);

/// Adds the records of a message. A message holds one, or several as lines, as a `CloudTrail` document, or gzipped; an
/// empty one (a tombstone) holds none.
pub(super) fn deliver(
    message: &impl Message,
    (partition, not_before, source): (&Arc<str>, Option<Timestamp>, &Arc<SourceContext>),
    group: Group,
    deliveries: &mut Vec<Delivery>,
) {
    let bytes = message.payload().unwrap_or_default();
    let received_at = received_at(message.timestamp(), crate::clock::now());
    let mut add = |line, payload| {
        let keyed = match group {
            Group::Score => Some(Box::new(keyed(message))),
            Group::Store => None,
        };
        deliveries.push(Delivery {
            partition: Arc::clone(partition),
            offset: message.offset(),
            line,
            source: Arc::clone(source),
            received_at,
            not_before,
            payload,
            keyed,
        });
    };
    if bytes.is_empty() {
        return;
    }
    if is_one_record(bytes) {
        add(1, Payload::Record(bytes.to_vec()));
        return;
    }
    let mut records = RecordReader::new(bytes, source.format, Limits::default());
    loop {
        match records.next_item() {
            Ok(Some(item)) => match item.record {
                Record::Whole(record) => add(item.line, Payload::Record(record.to_vec())),
                Record::Broken(broken) => {
                    add(item.line, Payload::Reject(Box::new(broken.reject(&source.name, item.line))));
                }
            },
            Ok(None) => break,
            // Reading from memory does not fail; and if it did, the message must not vanish.
            Err(e) => {
                let why = Invalid::line(e.to_string());
                add(1, Payload::Reject(Box::new(Reject::new(&source.name, 1, bytes, &why))));
                break;
            }
        }
    }
}

/// Whether it is one plain line that is no document: nearly every message, and not worth a reader of its own.
fn is_one_record(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    let key = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    text.starts_with(b"{")
        && text.len() <= Limits::default().record_bytes_max
        && memchr::memchr(b'\n', text).is_none()
        && !key.is_some_and(|key| key.starts_with(b"\"Records\""))
}

/// When a message was received: by the broker's clock where it keeps one, by the producer's where that can be, else now.
///
/// The same message read again has the same, so what is decided by it is decided the same way. A producer's clock is
/// not believed beyond now, nor so far back that rows would be as good as expired when they arrive.
fn received_at(stamp: Stamp, now: Timestamp) -> Timestamp {
    match stamp {
        Stamp::LogAppendTime(ms) => Timestamp::from_millis(ms),
        Stamp::CreateTime(ms) => {
            let at = Timestamp::from_millis(ms);
            if at <= now && at >= now - BELIEVED_BACK { at } else { now }
        }
        Stamp::NotAvailable => now,
    }
}

fn keyed(message: &impl Message) -> Keyed {
    let headers = message.headers();
    let named = |name: &&str| {
        let header = headers?.iter().find(|h| h.key.eq_ignore_ascii_case(name))?;
        Some(format!("{}={}", header.key, String::from_utf8_lossy(header.value?)))
    };
    Keyed { key: message.key().map(<[u8]>::to_vec), producer: PRODUCER_HEADERS.iter().find_map(named) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::Attestation;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use crate::decode::Format;

    fn message(payload: &[u8]) -> OwnedMessage {
        let headers = OwnedHeaders::new().insert(Header { key: "Client-Id", value: Some("gateway-3") });
        let (payload, key) = (Some(payload.to_vec()), Some(b"agent".to_vec()));
        OwnedMessage::new(payload, key, "calls".to_owned(), Stamp::CreateTime(0), 3, 42, Some(headers))
    }

    fn lines(payload: &[u8]) -> Vec<(u64, String)> {
        let source = Arc::new(SourceContext::new("kafka/calls", Attestation::Token, Format::Auto));
        let mut deliveries = Vec::new();
        deliver(&message(payload), (&"calls/3".into(), None, &source), Group::Score, &mut deliveries);
        let text = |payload: Payload| match payload {
            Payload::Record(bytes) => String::from_utf8(bytes).unwrap(),
            Payload::Reject(reject) => format!("reject: {}", reject.reason),
        };
        deliveries.into_iter().map(|d| (d.line, text(d.payload))).collect()
    }

    #[test]
    fn a_message_holds_one_record_or_several_or_none() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"{\"a\":1}\n"), [(1, "{\"a\":1}\n".to_owned())]);
        assert_eq!(lines(b"{\"a\":1}\n{\"b\":2}").len(), 2);
        assert_eq!(lines(b"{ \"Records\":[{\"a\":1},{\"b\":2}]}").len(), 2);
        assert_eq!(lines(b"nonsense"), [(1, "nonsense".to_owned())]);
    }

    #[test]
    fn the_producer_is_named_by_its_header() {
        let keyed = keyed(&message(b"{}"));
        assert_eq!(
            keyed,
            Keyed { key: Some(b"agent".to_vec()), producer: Some("Client-Id=gateway-3".to_owned()) }
        );
    }

    #[test]
    fn a_producers_clock_is_believed_within_reason() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let at = |ms| received_at(Stamp::CreateTime(ms), now).as_millis();
        assert_eq!(at(1_799_999_999_000), 1_799_999_999_000);
        assert_eq!(at(1_800_000_000_001), 1_800_000_000_000);
        assert_eq!(at(0), 1_800_000_000_000);
        assert_eq!(received_at(Stamp::LogAppendTime(5), now).as_millis(), 5);
    }
}
