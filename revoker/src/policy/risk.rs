//! What kind of harm an action can do: by the words of its name, or as the operator lists it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::whom::Glob;

/// A class of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Moves money.
    Payments,
    /// Takes away what may not come back.
    Deletion,
    /// Changes production or infrastructure.
    Infrastructure,
    /// Changes who may do what, or reads what opens doors.
    Permissions,
    /// Tells the outside.
    Outbound,
    /// Reads much at once.
    BulkRead,
}

impl Risk {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Payments,
        Self::Deletion,
        Self::Infrastructure,
        Self::Permissions,
        Self::Outbound,
        Self::BulkRead,
    ];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Deletion => "deletion",
            Self::Infrastructure => "infrastructure",
            Self::Permissions => "permissions",
            Self::Outbound => "outbound",
            Self::BulkRead => "bulk_read",
        }
    }

    /// Words of an endpoint's name that put it into this class: those that are a deed,
    fn deeds(self) -> &'static [&'static str] {
        match self {
            Self::Payments => {
                &["pay", "payout", "refund", "transfer", "charge", "wire", "withdraw", "purchase"]
            }
            Self::Deletion => {
                &["delete", "remove", "destroy", "drop", "purge", "erase", "wipe", "truncate", "terminate"]
            }
            Self::Infrastructure => {
                &["deploy", "rollback", "provision", "restart", "reboot", "shutdown", "migrate", "scale"]
            }
            Self::Permissions => &["grant", "credential", "credentials", "password", "secret"],
            Self::Outbound => &["send", "publish", "share", "forward", "invite", "upload"],
            Self::BulkRead => &["export", "dump", "download", "scan", "backup", "bulk"],
        }
    }

    /// and those that name a thing, which may be read.
    fn things(self) -> &'static [&'static str] {
        match self {
            Self::Payments => {
                &["payment", "payments", "money", "funds", "refunds", "transfers", "payouts", "charges"]
            }
            Self::Infrastructure => &["instances", "cluster"],
            Self::Permissions => &["permission", "permissions", "role", "policy", "key"],
            Self::Outbound => &["email", "mail", "sms", "message"],
            Self::Deletion | Self::BulkRead => &[],
        }
    }

    /// Whether reading does the harm too.
    fn is_reading(self) -> bool {
        self == Self::BulkRead
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Words that make an action one of reading.
const READS: [&str; 9] = ["get", "list", "describe", "read", "search", "head", "query", "find", "view"];
/// What opens doors also where it is only read.
const SECRETS: [&str; 4] = ["credential", "credentials", "password", "secret"];

/// The section `[policy.risk]`: endpoints that the operator counts to a class, beside those whose names say so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names are the classes', documented there")]
pub struct RiskLists {
    pub payments: Vec<Glob>,
    pub deletion: Vec<Glob>,
    pub infrastructure: Vec<Glob>,
    pub permissions: Vec<Glob>,
    pub outbound: Vec<Glob>,
    pub bulk_read: Vec<Glob>,
}

impl RiskLists {
    fn listed(&self, risk: Risk) -> &[Glob] {
        match risk {
            Risk::Payments => &self.payments,
            Risk::Deletion => &self.deletion,
            Risk::Infrastructure => &self.infrastructure,
            Risk::Permissions => &self.permissions,
            Risk::Outbound => &self.outbound,
            Risk::BulkRead => &self.bulk_read,
        }
    }

    /// Whether an action reads and is in no class. A method that writes makes it none that reads, whatever its name says.
    pub fn only_reads(&self, method: Option<&str>, endpoint: &str, operation: Option<&str>) -> bool {
        const READING: [&str; 3] = ["get", "head", "call"];
        let writes = method.is_some_and(|m| !READING.iter().any(|reading| m.eq_ignore_ascii_case(reading)));
        // A tool that is called by POST is told by its own name.
        let writes = writes && operation.is_none();
        let words = words(operation.unwrap_or(endpoint));
        // Who reads and deletes in one does not only read.
        let does = |word: &String| Risk::ALL.iter().any(|risk| risk.deeds().contains(&word.as_str()));
        !writes
            && reads(method, &words)
            && !words.iter().any(does)
            && self.of(method, endpoint, operation).is_empty()
    }

    /// The classes of an action; an action may be in several, or in none.
    pub fn of(&self, method: Option<&str>, endpoint: &str, operation: Option<&str>) -> Vec<Risk> {
        let name = operation.unwrap_or(endpoint);
        let words = words(name);
        let reads = reads(method, &words);
        let is_in = |risk: Risk| {
            let says = |word: &String| {
                risk.deeds().iter().chain(risk.things()).any(|known| known == word)
                    && (!reads
                        || risk.is_reading()
                        || (risk == Risk::Permissions && SECRETS.contains(&word.as_str())))
            };
            let deletes = risk == Risk::Deletion && method.is_some_and(|m| m.eq_ignore_ascii_case("delete"));
            let listed = self
                .listed(risk)
                .iter()
                .any(|glob| glob.covers(endpoint) || operation.is_some_and(|o| glob.covers(o)));
            listed || deletes || words.iter().any(says)
        };
        Risk::ALL.into_iter().filter(|risk| is_in(*risk)).collect()
    }
}

/// Whether a name or a method says that it reads.
fn reads(method: Option<&str>, words: &[String]) -> bool {
    words.iter().any(|word| READS.contains(&word.as_str()))
        || method.is_some_and(|method| method.eq_ignore_ascii_case("get"))
}

/// The words of a name, in small letters: `s3:DeleteBucketPolicy`, `send_email`, `/v1/refunds`.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut was_lower) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if (!c.is_alphanumeric() || (c.is_uppercase() && was_lower)) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_harm_they_can_do_and_the_operator_says_more() {
        let lists = RiskLists {
            payments: vec![Glob::try_from("ledger.*".to_owned()).unwrap()],
            ..RiskLists::default()
        };
        for (method, endpoint, wanted) in [
            (None, "send_email", vec![Risk::Outbound]),
            (None, "s3:DeleteBucketPolicy", vec![Risk::Deletion, Risk::Permissions]),
            (None, "iam:CreateAccessKey", vec![Risk::Permissions]),
            (None, "iam:GetRole", vec![]),
            (None, "secretsmanager:GetSecretValue", vec![Risk::Permissions]),
            (None, "ec2:RunInstances", vec![Risk::Infrastructure]),
            (None, "ec2:DescribeInstances", vec![]),
            (Some("DELETE"), "/v1/orders/{id}", vec![Risk::Deletion]),
            (Some("GET"), "/v1/payments", vec![]),
            (Some("POST"), "/v1/refunds", vec![Risk::Payments]),
            (None, "transferMoney", vec![Risk::Payments]),
            (None, "send_money", vec![Risk::Payments, Risk::Outbound]),
            (None, "list_funds", vec![]),
            (None, "send_invoice", vec![Risk::Outbound]),
            (None, "get_export", vec![Risk::BulkRead]),
            (None, "ledger.append", vec![Risk::Payments]),
            (None, "get_hotels_prices", vec![]),
        ] {
            assert_eq!(lists.of(method, endpoint, None), wanted, "{endpoint}");
        }
        assert_eq!(lists.of(Some("POST"), "/graphql", Some("refundOrder")), [Risk::Payments]);
    }
}
