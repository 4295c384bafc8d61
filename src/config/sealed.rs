//! Secrets in the configuration that the installation's key sealed: any text that `tocsin keys seal` printed, in the place of the secret.

use std::path::Path;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use revoker::keys::{KeyError, Keys, KeysConfig, Secret};
use toml::Value;

/// What such a text begins with.
const PREFIX: &str = "tocsin-sealed:";

/// What it is sealed for: no secret of the record opens in its place.
const PURPOSE: &str = "configuration";

/// The secret sealed, as it stands in a configuration.
pub(crate) fn seal(keys: &Keys, secret: &str) -> Result<String, KeyError> {
    Ok(format!("{PREFIX}{}", STANDARD.encode(keys.seal(PURPOSE, secret.as_bytes())?)))
}

/// The secret in the clear, and the place of the key that opens it: 0 is the newest.
pub(crate) fn opened(keys: &Keys, text: &str) -> anyhow::Result<(String, usize)> {
    let sealed = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text.trim()).ok());
    let sealed = sealed.ok_or_else(|| anyhow!("is not what `tocsin keys seal` printed"))?;
    let (secret, place): (Secret, usize) =
        keys.opened(PURPOSE, &sealed).map_err(|_| anyhow!("was sealed with a key that is not there"))?;
    Ok((String::from_utf8(secret.expose().to_vec())?, place))
}

/// All that is sealed: key and text.
pub(crate) fn find(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&mut value.clone(), "", &mut |key, text| {
        found.push((key.to_owned(), text.clone()));
        Ok(())
    })
    // It says yes to all.
    .ok();
    found
}

/// Opens all of it; where it does not open, says which key and why. `environment` looks a variable up.
pub(super) fn open(
    value: &mut Value,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), (String, String)> {
    let Some((first, _)) = find(value).into_iter().next() else { return Ok(()) };
    let keys = keys(value, environment).map_err(|e| (first, format!("{e:#}")))?;
    walk(value, "", &mut |key, text| {
        let (secret, _) = opened(&keys, text).map_err(|e| (key.to_owned(), e.to_string()))?;
        *text = secret;
        Ok(())
    })
}

/// The keys of the configuration that is being read.
fn keys(value: &Value, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Keys> {
    let config: KeysConfig = value.get("keys").cloned().map(Value::try_into).transpose()?.unwrap_or_default();
    let data_dir = value.get("data_dir").and_then(Value::as_str).unwrap_or(".tocsin");
    let source = config.source(Path::new(data_dir), environment)?;
    if let Some(file) = source.file().filter(|file| !file.exists()) {
        return Err(anyhow!("was sealed, and there is no key file {}", file.display()));
    }
    Ok(Keys::new(&source.read()?)?)
}

type Each<'a> = dyn FnMut(&str, &mut String) -> Result<(), (String, String)> + 'a;

fn walk(value: &mut Value, path: &str, each: &mut Each<'_>) -> Result<(), (String, String)> {
    match value {
        Value::String(text) if text.starts_with(PREFIX) => each(path, text),
        Value::Array(items) => {
            items.iter_mut().enumerate().try_for_each(|(i, item)| walk(item, &format!("{path}[{i}]"), each))
        }
        Value::Table(table) => {
            let dot = if path.is_empty() { "" } else { "." };
            table.iter_mut().try_for_each(|(key, item)| walk(item, &format!("{path}{dot}{key}"), each))
        }
        _ => Ok(()),
    }
}
