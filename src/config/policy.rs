//! A policy in a file of its own: what else stands under `[policy]`, at its top.

use std::path::Path;

use revoker::config::PolicyConfig;
use toml::{Table, Value};

use super::layers::{self, ConfigError};

/// Reads it; every error names the file, the key and the value.
pub(crate) fn read(path: &Path) -> Result<PolicyConfig, ConfigError> {
    let file = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Read { file: file.clone(), source })?;
    let table: Table =
        text.parse().map_err(|e| ConfigError::Syntax { file: file.clone(), source: Box::new(e) })?;
    layers::read(Value::Table(table), |_| file.clone())
}

/// The policy in force: the file's, or what the configuration says itself, and not both.
pub(super) fn of(
    origin: &str,
    inline: PolicyConfig,
    file: Option<&Path>,
) -> Result<PolicyConfig, ConfigError> {
    let Some(path) = file else { return Ok(inline) };
    if inline != PolicyConfig::default() {
        return Err(ConfigError::Value {
            origin: origin.to_owned(),
            key: "policy_file".to_owned(),
            value: path.display().to_string(),
            reason: "`[policy]` sets something too".to_owned(),
        });
    }
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<PolicyConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.toml");
        std::fs::write(&file, text).unwrap();
        of("tocsin.toml", PolicyConfig::default(), Some(&file))
            .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn a_file_of_its_own_is_read_and_what_is_wrong_in_it_is_named() {
        let config =
            said("grant_s = 60\n[[when]]\nname = \"money\"\nrisk = [\"payments\"]\nat_least = \"step_up\"\n");
        assert_eq!(u64::from(config.unwrap().grant_s), 60);
        let all = [
            said("shadw = true\n").unwrap_err(),
            said("[governor]\nfleet_percent_per_day = 200\n").unwrap_err(),
            said("[[when]]\nname = \"a\"\nat_least = \"revoke\"\nat_most = \"alert\"\n").unwrap_err(),
            said("protected = [{ agents = \"a\" }]\n").unwrap_err(),
        ];
        insta::assert_snapshot!(all.join("\n---\n"));
        let inline = PolicyConfig { grant_s: 60.try_into().unwrap(), ..PolicyConfig::default() };
        let both = of("tocsin.toml", inline, Some(Path::new("p.toml"))).unwrap_err();
        assert_eq!(both.to_string(), "tocsin.toml: policy_file = p.toml: `[policy]` sets something too");
    }
}
