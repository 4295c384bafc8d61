//! The native schema: NDJSON, one record a line.

use detector::Call;

use super::{Invalid, Tally};

/// Decodes one native record, as it stands: no issuer, attestation or receipt from the source yet.
pub fn decode<'a>(_record: &'a [u8], _tally: &mut Tally) -> Result<Call<'a>, Invalid> {
    Err(Invalid::line("no decoder yet"))
}

/// Appends `call` as one line of native NDJSON, line end included; leaves out what is absent.
pub fn write(_call: &Call<'_>, _out: &mut Vec<u8>) {}
