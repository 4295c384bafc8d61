//! Manifests: those of the configuration, and a folder of them with one file an agent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use detector::Manifest;
use toml::Value;

use super::layers::{self, ConfigError};

/// The longest file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most manifests.
const MANIFESTS_MAX: usize = 100_000;

/// All of them, each checked, and none of the same agent twice. `inline` stood in the file `origin`.
pub(super) fn all(
    origin: &str,
    inline: Vec<Manifest>,
    folder: Option<&Path>,
) -> Result<Vec<Manifest>, ConfigError> {
    let mut found: Vec<(String, Manifest)> = inline.into_iter().map(|m| (origin.to_owned(), m)).collect();
    for path in folder.map(files).transpose()?.unwrap_or_default() {
        found.push((path.display().to_string(), file(&path)?));
    }
    let refused = |file: &str, reason| ConfigError::Manifest { file: file.to_owned(), reason };
    if found.len() > MANIFESTS_MAX {
        return Err(refused(origin, format!("{} manifests; {MANIFESTS_MAX} is the limit", found.len())));
    }
    let mut of = HashMap::new();
    for (file, manifest) in &found {
        manifest.check().map_err(|e| refused(file, e.to_string()))?;
        if let Some(before) = of.insert((&manifest.issuer, &manifest.agent_id), file) {
            let agent = &manifest.agent_id;
            return Err(refused(file, format!("agent `{agent}`: agent_id: {before} holds its manifest too")));
        }
    }
    Ok(found.into_iter().map(|(_, manifest)| manifest).collect())
}

/// The manifests of a folder, `.toml` and `.json`, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { file: folder.display().to_string(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "toml" || end == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// One manifest from its file.
fn file(path: &Path) -> Result<Manifest, ConfigError> {
    let name = path.display().to_string();
    let failed = |source| ConfigError::Read { file: name.clone(), source };
    let refused = |reason| ConfigError::Manifest { file: name.clone(), reason };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > FILE_BYTES_MAX {
        return Err(refused(format!("{len} bytes; {FILE_BYTES_MAX} is the limit")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    if path.extension().is_some_and(|end| end == "json") {
        return json(&text, &name);
    }
    let table = text.parse().map_err(|e| ConfigError::Syntax { file: name.clone(), source: Box::new(e) })?;
    layers::read(Value::Table(table), |_| name.clone())
}

/// One manifest from its JSON, which stood in `name`.
fn json(text: &str, name: &str) -> Result<Manifest, ConfigError> {
    let value = serde_json::from_str(text);
    let value = value.map_err(|e| ConfigError::Manifest { file: name.to_owned(), reason: e.to_string() })?;
    layers::read(value, |_| name.to_owned())
}

fn checked(manifest: Manifest, name: &str) -> Result<Manifest, ConfigError> {
    let checked = manifest.check();
    checked.map_err(|e| ConfigError::Manifest { file: name.to_owned(), reason: e.to_string() })?;
    Ok(manifest)
}

/// One manifest that somebody sends, checked: what is wrong is said as of a file of this name.
pub(crate) fn sent(manifest: &serde_json::Value, name: &str) -> Result<Manifest, ConfigError> {
    checked(json(&manifest.to_string(), name)?, name)
}

/// The manifest in a file, `.toml` or `.json`, checked.
pub(crate) fn brought(path: &Path) -> Result<Manifest, ConfigError> {
    checked(file(path)?, &path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a folder with these files, its own name left out.
    fn read(files: &[(&str, &str)]) -> Result<Vec<Manifest>, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let inline = Manifest { agent_id: "inline".to_owned(), ..Manifest::default() };
        all("tocsin.toml", vec![inline], Some(dir.path()))
            .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn one_file_an_agent_in_toml_or_json_joins_those_of_the_configuration() {
        let manifests = read(&[
            ("b.json", r#"{"agent_id": "b", "endpoints": ["pay"], "calls_per_hour": 6.5}"#),
            (
                "a.toml",
                "agent_id = \"a\"\nhours = [\"mon-fri 07:00-19:00\"]\ntime_zone = \"Europe/Berlin\"\nexpires = 2027-01-01T00:00:00Z\n",
            ),
            ("README.md", "not one"),
        ]);
        let manifests = manifests.unwrap();
        let agents: Vec<_> = manifests.iter().map(|m| m.agent_id.as_str()).collect();
        assert_eq!(agents, ["inline", "a", "b"]);
        assert_eq!(manifests[1].expires.map(|at| at.to_string()).as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!((manifests[2].endpoints.len(), manifests[2].calls_per_hour), (1, Some(6.5)));
    }

    #[test]
    fn the_configuration_in_the_readme_is_right() {
        let blocks = include_str!("../../README.md").split("```toml\n").skip(1);
        let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
        let whole = blocks.iter().find(|block| block.contains("[[manifests]]")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tocsin.toml");
        // What it names relative to where an operator stands lies here.
        let templates = dir.path().join("orders.yaml");
        std::fs::write(&templates, "openapi: 3.1.0\npaths:\n  /orders/{id}:\n    get: {}\n").unwrap();
        std::fs::write(&file, whole.replace("orders.yaml", templates.to_str().unwrap())).unwrap();
        let config = crate::config::Config::load(Some(&file)).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(config.manifests.len(), 1);
    }

    #[test]
    fn errors_name_file_agent_and_field() {
        let said = |name, text| read(&[(name, text)]).expect_err(text);
        let all = [
            said("a.toml", "agent_id = \"a\"\nnetworks = [\"10.0.0.0/8\", \"10.0.0.1/8\"]\n"),
            said("a.json", r#"{"agent_id": "a", "time_zone": "Mars/Olympus"}"#),
            said("a.toml", "agent_id = \"a\"\ntime_zone = \"UTC\"\n"),
            said("a.toml", "agent_id = \"a\"\nexpires = 2026-12-31\n"),
            said("a.toml", "endpoints = []\n"),
            said("a.json", "{"),
            said("a.toml", "agent_id = \"inline\"\n"),
        ];
        insta::assert_snapshot!(all.join("\n---\n"));
    }
}
