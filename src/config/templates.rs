//! Files that name paths' templates: `OpenAPI` 3 and 2 as YAML or JSON, and plain lists.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Keys of a path item that are methods (`OpenAPI` 3.1, "Path Item Object").
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Why a file of templates cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplatesError {
    #[error("[detector] openapi: {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("[detector] openapi: {file}: {reason}")]
    Broken { file: String, reason: String },
    #[error("[detector] openapi: {file}: {at}: {reason}")]
    Path { file: String, at: String, reason: &'static str },
    #[error(
        "[detector] openapi: {count} templates with those of {file}, more than {}",
        detector::TEMPLATES_MAX
    )]
    TooMany { file: String, count: usize },
}

/// All templates of `files` in their order, as `METHOD path`.
pub(super) fn read(files: &[String]) -> Result<Vec<String>, TemplatesError> {
    let mut all = Vec::new();
    for file in files {
        all.append(&mut read_one(file)?);
        if all.len() > detector::TEMPLATES_MAX {
            return Err(TemplatesError::TooMany { file: file.clone(), count: all.len() });
        }
    }
    Ok(all)
}

fn read_one(file: &str) -> Result<Vec<String>, TemplatesError> {
    let failed = |source| TemplatesError::Read { file: file.to_owned(), source };
    let broken = |reason| TemplatesError::Broken { file: file.to_owned(), reason };
    if std::fs::metadata(file).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(broken(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let ending = Path::new(file).extension().and_then(|e| e.to_str()).unwrap_or("");
    let read = match ending {
        "json" => serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?,
        "yaml" | "yml" => serde_saphyr::from_str(&text).map_err(|e| broken(e.to_string()))?,
        _ => {
            return list(&text).map_err(|(at, reason)| TemplatesError::Path {
                file: file.to_owned(),
                at,
                reason,
            });
        }
    };
    Document::templates(&read).map_err(|(at, reason)| TemplatesError::Path {
        file: file.to_owned(),
        at,
        reason,
    })
}

/// Where something is wrong, and what.
type Wrong = (String, &'static str);

/// One template a line; `#` begins a remark.
fn list(text: &str) -> Result<Vec<String>, Wrong> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let checked = lines.map(|(n, line)| {
        let is_path = detector::is_path(line);
        is_path
            .then(|| line.to_owned())
            .ok_or_else(|| (format!("line {n}"), "no path as in `GET /users/{id}`"))
    });
    checked.collect()
}

/// What of an `OpenAPI` document is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    servers: Vec<Server>,
    /// Version 2 has these in place of servers.
    #[serde(default)]
    host: String,
    #[serde(default)]
    base_path: String,
    paths: BTreeMap<String, PathItem>,
}

#[derive(Deserialize)]
struct Server {
    url: String,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
}

#[derive(Deserialize)]
struct Variable {
    default: String,
}

/// Its methods, its own servers, and whether it stands elsewhere.
#[derive(Default)]
struct PathItem {
    methods: Vec<&'static str>,
    servers: Vec<Server>,
    is_reference: bool,
}

impl<'de> Deserialize<'de> for PathItem {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = PathItem;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path item")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<PathItem, A::Error> {
                let mut item = PathItem::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "servers" {
                        item.servers = map.next_value()?;
                        continue;
                    }
                    map.next_value::<IgnoredAny>()?;
                    item.is_reference |= key == "$ref";
                    item.methods.extend(METHODS.iter().find(|method| **method == key));
                }
                Ok(item)
            }
        }
        d.deserialize_map(Visitor)
    }
}

impl Server {
    /// Where its paths begin; variables at their defaults.
    fn base(&self) -> String {
        let filled = self.variables.iter().fold(self.url.clone(), |url, (name, variable)| {
            url.replace(&format!("{{{name}}}"), &variable.default)
        });
        filled.trim_end_matches('/').to_owned()
    }
}

impl Document {
    fn templates(&self) -> Result<Vec<String>, Wrong> {
        let own = self.bases();
        let mut all = Vec::new();
        for (path, item) in self.paths.iter().filter(|(path, _)| !path.starts_with("x-")) {
            let wrong = |reason| Err((format!("paths: {path:?}"), reason));
            if !path.starts_with('/') {
                return wrong("does not begin with a slash");
            }
            if item.is_reference && item.methods.is_empty() {
                return wrong("is a reference, which is not followed: put the path item in its place");
            }
            let bases = if item.servers.is_empty() { own.clone() } else { bases(&item.servers) };
            for method in &item.methods {
                let method = method.to_ascii_uppercase();
                all.extend(bases.iter().map(|base| format!("{method} {base}{path}")));
            }
        }
        Ok(all)
    }

    fn bases(&self) -> Vec<String> {
        let base = self.base_path.trim_end_matches('/');
        match (&*self.host, self.servers.is_empty()) {
            (_, false) => bases(&self.servers),
            ("", true) => vec![base.to_owned()],
            (host, true) => vec![base.to_owned(), format!("https://{host}{base}")],
        }
    }
}

/// Of each server, and of one that names its host also without: logs have paths with the host and without.
fn bases(servers: &[Server]) -> Vec<String> {
    let mut all = Vec::new();
    for base in servers.iter().map(Server::base) {
        let path = match base.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or(String::new(), |at| rest[at..].to_owned()),
            None => base.clone(),
        };
        for base in [path, base] {
            if !all.contains(&base) {
                all.push(base);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let dir = dir.path().display().to_string();
        read(&[file.display().to_string()]).map_err(|e| e.to_string().replace(&dir, "DIR"))
    }

    #[test]
    fn documents_and_lists_are_read() {
        let three = "openapi: 3.1.0\nservers:\n  - url: https://{region}.example.com/v1/\n    variables:\n      \
            region: {default: eu}\npaths:\n  /pets/{petId}:\n    summary: one\n    get: {responses: {}}\n    \
            delete:\n      operationId: x\n  /admin:\n    servers: [{url: /internal}]\n    post: {}\n";
        let two = r#"{"swagger": "2.0", "host": "api.example.com", "basePath": "/v2", "paths": {"/a/{b}": {"get": {}}}}"#;
        let read = [
            file("a.yaml", three).unwrap(),
            file("b.json", two).unwrap(),
            file("c.txt", "# ours\nGET /users/{id}\n\n/files/{name}\n").unwrap(),
        ];
        insta::assert_snapshot!(read.concat().join("\n"), @r"
        POST /internal/admin
        GET /v1/pets/{petId}
        GET https://eu.example.com/v1/pets/{petId}
        DELETE /v1/pets/{petId}
        DELETE https://eu.example.com/v1/pets/{petId}
        GET /v2/a/{b}
        GET https://api.example.com/v2/a/{b}
        GET /users/{id}
        /files/{name}
        ");
    }

    #[test]
    fn errors_name_the_file_and_the_path() {
        let all = [
            file("a.yaml", "paths:\n  pets: {get: {}}\n"),
            file("b.yaml", "paths:\n  /pets: {$ref: other.yaml}\n"),
            file("c.json", "{\"paths\": 7}"),
            file("e.txt", "GET /a\nsend_email\n"),
            read(&["/nowhere/at.all".to_owned()]).map_err(|e| e.to_string()),
        ];
        let all: Vec<_> = all.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(all.join("\n---\n"), @r#"
        [detector] openapi: DIR/a.yaml: paths: "pets": does not begin with a slash
        ---
        [detector] openapi: DIR/b.yaml: paths: "/pets": is a reference, which is not followed: put the path item in its place
        ---
        [detector] openapi: DIR/c.json: invalid type: integer `7`, expected a map at line 1 column 11
        ---
        [detector] openapi: DIR/e.txt: line 2: no path as in `GET /users/{id}`
        ---
        [detector] openapi: /nowhere/at.all: No such file or directory (os error 2)
        "#);
    }
}
