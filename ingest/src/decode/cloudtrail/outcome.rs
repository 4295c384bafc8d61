//! What came of a call, and what AWS had verified before it.

use detector::Attestation;

use super::record::Record;

/// Parts of the error codes that say the caller was not allowed to.
const DENIED: [&str; 4] = ["AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden"];

/// Parts of the error codes that say the caller was too fast: botocore's `THROTTLED` error codes
/// (`botocore/retries/standard.py`).
const THROTTLED: [&str; 7] = [
    "Throttl",
    "TooManyRequests",
    "RequestLimitExceeded",
    "ThroughputExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
];

/// Parts of the error codes that say the credentials did not verify, so that whoever they name may not have called:
/// AWS's "Common errors" and the authentication errors of S3 and EC2.
const UNVERIFIED: [&str; 9] = [
    "SignatureDoesNotMatch",
    "InvalidSignature",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "UnrecognizedClient",
    "MissingAuthenticationToken",
    "ExpiredToken",
    "AuthFailure",
];

/// An HTTP-like status.
pub(super) fn status(error_code: Option<&str>, failed: bool) -> u16 {
    match error_code {
        Some(code) if says(code, &DENIED) => 403,
        Some(code) if says(code, &THROTTLED) => 429,
        Some(_) => 400,
        None if failed => 400,
        None => 200,
    }
}

/// `token` where AWS verified the caller's signature, else `none`.
pub(super) fn attestation(record: &Record<'_>) -> Attestation {
    let who = &record.user_identity;
    let has_key = who.access_key_id.is_some();
    let signed_in = record.event_type.as_deref() == Some("AwsConsoleSignIn");
    let verified = match who.kind.as_deref() {
        Some("AssumedRole" | "FederatedUser") => has_key || !signed_in,
        Some("IAMUser" | "Root") => has_key,
        _ => false,
    };
    match record.error_code.as_deref() {
        Some(code) if says(code, &UNVERIFIED) => Attestation::None,
        _ if verified => Attestation::Token,
        _ => Attestation::None,
    }
}

fn says(code: &str, words: &[&str]) -> bool {
    words.iter().any(|word| code.contains(word))
}
