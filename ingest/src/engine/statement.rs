//! What a request asks of the engine: the statement, the format, and the session it runs in.

use super::exception::{Exception, code};

/// The database and settings of one request; they hold for its statement only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// The database that bare table names are looked up in; empty for the engine's default.
    pub(super) database: String,
    /// Names and values of query settings.
    pub(super) settings: Vec<(String, String)>,
}

/// A request's address, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The statement, if it stands in the address; the body is its data then.
    pub(super) query: Option<String>,
    /// The format of the answer where the statement names none; empty for the engine's default.
    pub(super) format: String,
    /// The rest.
    pub(super) session: Session,
}

impl Parameters {
    /// Sorts `name=value` pairs as ClickHouse's HTTP interface does: what is no word of its own is a setting.
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Self, Exception> {
        let mut it = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "query" => it.query = Some(value),
                "default_format" => it.format = value,
                "database" => it.session.database = value,
                _ if is_word(&name) => it.session.settings.push((name, value)),
                _ => {
                    let what = format_args!("{name:?} is not the name of a setting");
                    return Err(Exception::new(code::UNKNOWN_SETTING, "UNKNOWN_SETTING", what));
                }
            }
        }
        Ok(it)
    }
}

impl Session {
    /// `SET …` for the settings; none if there are none.
    pub(super) fn enter(&self) -> Option<String> {
        self.set(|value| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
    }

    /// `SET … = DEFAULT` for the same.
    pub(super) fn leave(&self) -> Option<String> {
        self.set(|_| "DEFAULT".to_owned())
    }

    fn set(&self, to: impl Fn(&str) -> String) -> Option<String> {
        let pairs: Vec<_> =
            self.settings.iter().map(|(name, value)| format!("{name} = {}", to(value))).collect();
        (!pairs.is_empty()).then(|| format!("SET {}", pairs.join(", ")))
    }
}

/// `USE …` for a database.
pub(super) fn use_database(name: &str) -> String {
    format!("USE `{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Takes `INSERT … FORMAT F` apart into the statement without its format, and the format.
///
/// None where it is no such statement: anything else carries its data, if any, in its own text.
pub(super) fn split_insert(sql: &str) -> Option<(&str, &str)> {
    let sql = sql.trim();
    let (head, format) = sql.rsplit_once(char::is_whitespace)?;
    let (statement, keyword) = head.trim_end().rsplit_once(|c: char| c.is_whitespace() || c == ')')?;
    let statement = &head[..=statement.len()];
    let is_insert = sql.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("insert"));
    (is_insert && keyword.eq_ignore_ascii_case("format") && is_word(format))
        .then_some((statement.trim_end(), format))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_no_word_of_its_own_is_a_setting() {
        let read = Parameters::read(pairs(&[
            ("query", "INSERT INTO t(a) FORMAT RowBinary"),
            ("database", "d"),
            ("insert_deduplication_token", r"it's \ me"),
            ("async_insert", "0"),
        ]))
        .unwrap();
        assert_eq!(read.query.as_deref(), Some("INSERT INTO t(a) FORMAT RowBinary"));
        insta::assert_snapshot!(read.session.enter().unwrap(), @r"SET insert_deduplication_token = 'it\'s \\ me', async_insert = '0'");
        insta::assert_snapshot!(read.session.leave().unwrap(), @"SET insert_deduplication_token = DEFAULT, async_insert = DEFAULT");
        assert_eq!(Parameters::default().session.enter(), None);
    }

    #[test]
    fn a_name_that_could_end_the_statement_is_refused() {
        let refused = Parameters::read(pairs(&[("a = 1; DROP TABLE t --", "")])).unwrap_err();
        insta::assert_snapshot!(refused.text, @r#"Code: 115. DB::Exception: "a = 1; DROP TABLE t --" is not the name of a setting. (UNKNOWN_SETTING)"#);
        insta::assert_snapshot!(use_database(r"a`b\"), @r"USE `a\`b\\`");
    }

    #[test]
    fn takes_inserts_apart() {
        let split = [
            "INSERT INTO `t`(`a`,`b`) FORMAT RowBinaryWithNamesAndTypes",
            " insert into t\nformat JSONEachRow ",
            "INSERT INTO t(a)FORMAT RowBinary",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t SELECT 1 FORMAT Null; DROP TABLE t",
            "SELECT 1 FORMAT JSON",
            "",
        ]
        .map(split_insert);
        insta::assert_debug_snapshot!(split, @r#"
        [
            Some(
                (
                    "INSERT INTO `t`(`a`,`b`)",
                    "RowBinaryWithNamesAndTypes",
                ),
            ),
            Some(
                (
                    "insert into t",
                    "JSONEachRow",
                ),
            ),
            Some(
                (
                    "INSERT INTO t(a)",
                    "RowBinary",
                ),
            ),
            None,
            None,
            None,
            None,
        ]
        "#);
    }
}
