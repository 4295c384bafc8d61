//! What can go wrong between us and ClickHouse, by what a caller can do about it.

use clickhouse::error::Error;

use crate::engine::EngineError;
use crate::engine::exception::Exception;
use crate::store::config::StoreConfigError;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers, or whoever does is overloaded, out of space or starting: the same again later may work, and is
    /// safe to try, since a batch that was stored all the same stays stored once.
    #[error("{what}: ClickHouse cannot just now: {source}")]
    Unavailable {
        /// What was attempted.
        what: String,
        /// What the client or the database says.
        source: Error,
    },
    /// The statement or these rows do not fit the tables: the same again fails again.
    #[error("{what}: ClickHouse refuses: {source}")]
    Refused {
        /// What was attempted.
        what: String,
        /// What the client or the database says.
        source: Error,
    },
    /// An answer is larger than this program is willing to hold.
    #[error("{what}: the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// What was attempted.
        what: String,
        /// The limit.
        bytes_max: usize,
    },
    /// An answer is not the JSON it should be.
    #[error("{what}: {source}")]
    Answer {
        /// What was attempted.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The embedded engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The configuration does not say where to store.
    #[error(transparent)]
    Config(#[from] StoreConfigError),
    /// A migration was changed after it was applied: add a new one instead.
    #[error(
        "migration {version} was applied to {database} as {applied} and is now another; restore it and add a new one"
    )]
    Changed {
        /// The database.
        database: String,
        /// The migration's number.
        version: u32,
        /// The checksum it was applied with.
        applied: String,
    },
    /// The tables were made by a later version of this program.
    #[error(
        "{database} is at migration {version}, which this version of tocsin does not know: run a newer one"
    )]
    Newer {
        /// The database.
        database: String,
        /// The migration's number.
        version: u32,
    },
}

impl StoreError {
    /// Sorts what the client says.
    pub(super) fn new(what: impl Into<String>, source: Error) -> Self {
        let what = what.into();
        if is_final(&source) { Self::Refused { what, source } } else { Self::Unavailable { what, source } }
    }

    /// Whether the same again may work.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// ClickHouse's codes for "this statement or this data is wrong", whoever runs it and when.
///
/// All other codes, known or not, count as passing: to wait for an operator in vain is seen and loses nothing, while to
/// give up on a good batch because of a code we do not know would lose it.
const FINAL: [u32; 24] = [
    6,   // CANNOT_PARSE_TEXT
    10,  // NOT_FOUND_COLUMN_IN_BLOCK
    16,  // NO_SUCH_COLUMN_IN_TABLE
    20,  // NUMBER_OF_COLUMNS_DOESNT_MATCH
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    36,  // BAD_ARGUMENTS
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    46,  // UNKNOWN_FUNCTION
    47,  // UNKNOWN_IDENTIFIER
    50,  // UNKNOWN_TYPE
    53,  // TYPE_MISMATCH
    60,  // UNKNOWN_TABLE
    62,  // SYNTAX_ERROR
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    115, // UNKNOWN_SETTING
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    307, // TOO_MANY_BYTES
];

fn is_final(error: &Error) -> bool {
    match error {
        Error::Network(_) | Error::TimedOut => false,
        Error::BadResponse(text) => Exception::read(text).code.is_some_and(|code| FINAL.contains(&code)),
        // What is left goes wrong on our side of the wire: a row that does not fit, an address that is none.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_wrong_is_final() {
        let said = |text: &str| is_final(&Error::BadResponse(text.to_owned()));
        assert!(said("Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)"));
        assert!(said("Code: 33. DB::Exception: Cannot read all data. (CANNOT_READ_ALL_DATA)"));
        assert!(is_final(&Error::SchemaMismatch(String::new())));
        for passing in [
            "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)",
            "Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)",
            "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)",
            "Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)",
            "Code: 99999. DB::Exception: news from the future. (FUTURE)",
            "<html>502 Bad Gateway</html>",
            "",
        ] {
            assert!(!said(passing), "{passing}");
        }
        assert!(!is_final(&Error::TimedOut));
    }
}
