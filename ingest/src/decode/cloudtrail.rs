//! AWS CloudTrail records.

use detector::Call;

use super::{Invalid, Tally};

/// Decodes one CloudTrail record, as it stands: no issuer, attestation or receipt from the source yet.
pub fn decode<'a>(_record: &'a [u8], _tally: &mut Tally) -> Result<Call<'a>, Invalid> {
    Err(Invalid::line("no decoder yet"))
}

/// Whether `key` is a field of a CloudTrail record.
pub(super) fn knows(_key: &str) -> bool {
    false
}
