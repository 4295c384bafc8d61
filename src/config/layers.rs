//! File below, environment above; every error names where the value stood, its key and what it was.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::sealed;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}: {source}")]
    Syntax { file: String, source: Box<toml::de::Error> },
    #[error("{origin}: {key} = {value}: {reason}")]
    Value { origin: String, key: String, value: String, reason: String },
    #[error("{file}: {reason}")]
    Manifest { file: String, reason: String },
    #[error("environment variable {variable}: `{part}` of its name is no section that can hold keys")]
    Section { variable: String, part: String },
}

/// Variables with this prefix are settings; two underscores stand for the dot between section and key.
const PREFIX: &str = "TOCSIN_";

/// Reads both layers into a `T`, with what is sealed in them opened.
pub(super) fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let environment: Vec<_> = environment.collect();
    let layers = Layers::read(file, environment.iter().cloned())?;
    let mut value = layers.value.clone();
    let lookup = |name: &str| environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    sealed::open(&mut value, lookup).map_err(|(key, reason)| ConfigError::Value {
        origin: layers.origin(&key),
        key,
        value: "\"…\"".to_owned(),
        reason,
    })?;
    read(value, |key| layers.origin(key)).map_err(|error| match error {
        // What was sealed is not repeated in the clear, also where no key of this name is known.
        ConfigError::Value { origin, key, reason, .. }
            if sealed::find(&layers.value).iter().any(|(sealed, _)| *sealed == key) =>
        {
            ConfigError::Value { origin, key, value: "\"…\"".to_owned(), reason }
        }
        error => error,
    })
}

/// Both layers as one table, and where each key stood.
pub(super) struct Layers {
    pub(super) value: Value,
    file: String,
    /// Keys, and the variables that said them.
    overridden: Vec<(String, String)>,
}

impl Layers {
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let name = file.map_or("defaults".to_owned(), |f| f.display().to_string());
        let mut table = match file {
            None => Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { file: name.clone(), source })?;
                text.parse().map_err(|e| ConfigError::Syntax { file: name.clone(), source: Box::new(e) })?
            }
        };
        let mut overridden = Vec::new();
        for (variable, value) in environment {
            let Some(path) = variable.strip_prefix(PREFIX) else { continue };
            // Single words such as TOCSIN_LOG and TOCSIN_TOKEN speak to commands; three are top-level keys.
            if !path.contains("__") && !["DATA_DIR", "MANIFESTS_DIR", "POLICY_FILE"].contains(&path) {
                continue;
            }
            let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            put(&mut table, &keys, scalar(&value))
                .map_err(|part| ConfigError::Section { variable: variable.clone(), part })?;
            overridden.push((keys.join("."), variable));
        }
        Ok(Self { value: Value::Table(table), file: name, overridden })
    }

    fn origin(&self, key: &str) -> String {
        let variable = self.overridden.iter().find(|(k, _)| key == *k || key.starts_with(&format!("{k}.")));
        variable.map_or_else(|| self.file.clone(), |(_, variable)| format!("environment variable {variable}"))
    }
}

/// Reads a value that stood in `origin(key)`.
pub(super) fn read<T: DeserializeOwned>(
    value: Value,
    origin: impl FnOnce(&str) -> String,
) -> Result<T, ConfigError> {
    let value = spelled_out(value);
    serde_path_to_error::deserialize(value.clone()).map_err(|e| {
        let key = e.path().to_string();
        ConfigError::Value {
            origin: origin(&key),
            value: find(&value, e.path()).map_or_else(|| "?".to_owned(), shown),
            key: whose(&value, e.path())
                .map_or_else(|| key.clone(), |agent| format!("agent `{agent}`: {key}")),
            reason: e.into_inner().message().to_owned(),
        }
    })
}

/// A number, a truth value or an array where it reads as one, else a text.
fn scalar(text: &str) -> Value {
    format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .filter(|v| !v.is_table() && !v.is_datetime())
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets `keys` in the table, making sections on the way; `Err` names the part that is no section.
fn put(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            put(inner.as_table_mut().ok_or_else(|| section.clone())?, rest, value)
        }
    }
}

/// TOML's own dates as the texts that everything here reads.
fn spelled_out(value: Value) -> Value {
    match value {
        Value::Datetime(at) => Value::String(at.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(spelled_out).collect()),
        Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, value)| (key, spelled_out(value))).collect())
        }
        other => other,
    }
}

/// The agent whose manifest a path leads into.
fn whose<'a>(mut value: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a str> {
    let mut agent = None;
    for segment in path {
        agent = value.get("agent_id").and_then(Value::as_str).or(agent);
        value = step(value, segment)?;
    }
    agent
}

fn find<'a>(mut value: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    for segment in path {
        value = step(value, segment)?;
    }
    Some(value)
}

fn step<'a>(value: &'a Value, segment: &serde_path_to_error::Segment) -> Option<&'a Value> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The value as it stood; secrets and whole sections are not repeated.
fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "{…}".to_owned(),
        Value::String(s) if s.len() > 80 || s.starts_with("whsec_") => "\"…\"".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn check(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tocsin.toml");
        std::fs::write(&file, toml).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(Some(&file), environment)
            .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = check(
            "data_dir = \"a\"\n[policy]\ngrant_s = 60\n",
            &[("TOCSIN_POLICY__GRANT_S", "90"), ("TOCSIN_DATA_DIR", "b")],
        );
        let config = config.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(u64::from(config.policy.grant_s), 90);
        assert_eq!(config.data_dir.to_str(), Some("b"));
    }

    #[test]
    fn errors_name_file_key_and_value() {
        let said = |toml: &str, environment: &[(&str, &str)]| check(toml, environment).err().unwrap();
        let all = [
            said("[policy]\ngrant_s = 0\n", &[]),
            said("[policy]\ngrant = 1\n", &[]),
            said("[budgets]\nwatch_days = 100\n", &[]),
            said("", &[("TOCSIN_POLICY__GRANT_S", "soon")]),
            said("data_dir = \"x\"", &[("TOCSIN_DATA_DIR__X", "1")]),
            said("[[manifests]]\nagent_id = 7\n", &[]),
            said("[[manifests]]\nagent_id = \"a\"\ncalls_per_minute_max = 0\n", &[]),
            said("[[manifests]]\nagent_id = \"a\"\nhours = [\"mon 07:00-19:00\", \"mo\"]\n", &[]),
            said("[policy.rules]\noutside_hour = \"alert\"\n", &[]),
            said("oops\n", &[]),
        ];
        insta::assert_snapshot!(all.join("\n---\n"));
    }
}
