//! An HTTP client that shares no code with the server: requests written and answers read by hand.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request, written by hand.
#[derive(Clone)]
pub(in crate::api::tests) struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Ask {
    pub(in crate::api::tests) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: String::new() }
    }

    pub(in crate::api::tests) fn post(path: &str, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { method: "POST", path: path.to_owned(), headers, body: body.to_string() }
    }

    pub(in crate::api::tests) fn gate(body: &Value) -> Self {
        Self::post("/v1/gate", body).bearer("gateway")
    }

    pub(in crate::api::tests) fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        let pairs: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", escaped(v))).collect();
        Self { method: "POST", path: path.to_owned(), headers, body: pairs.join("&") }
    }

    /// The same with something else in its body.
    pub(in crate::api::tests) fn replacing(mut self, old: &str, new: &str) -> Self {
        assert!(self.body.contains(old), "{old} is not in {}", self.body);
        self.body = self.body.replace(old, new);
        self
    }

    /// The same to another address.
    pub(in crate::api::tests) fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(in crate::api::tests) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A header; one of that name that was there before is replaced.
    pub(in crate::api::tests) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As one that was approved comes back.
    pub(in crate::api::tests) fn resuming(self, grant: &str, resume_id: &str) -> Self {
        self.header("Tocsin-Grant", grant).header("Tocsin-Resume-Id", resume_id)
    }

    pub(in crate::api::tests) async fn send(self, addr: SocketAddr) -> Reply {
        let mut stream = self.begin(addr).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Reply::parse(&String::from_utf8(answer).unwrap())
    }

    /// The connection with the answer still to come: of a stream, that never ends.
    pub(in crate::api::tests) async fn begin(self, addr: SocketAddr) -> TcpStream {
        let fields: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let fields = fields.concat();
        let closing = if fields.contains("Connection:") { "" } else { "Connection: close\r\n" };
        let text = format!(
            "{} {} HTTP/1.1\r\nHost: {addr}\r\n{closing}{fields}Content-Length: {}\r\n\r\n{}",
            self.method,
            self.path,
            self.body.len(),
            self.body
        );
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// An answer, read by hand.
#[derive(Debug)]
pub(in crate::api::tests) struct Reply {
    pub(in crate::api::tests) status: u16,
    headers: Vec<(String, String)>,
    pub(in crate::api::tests) body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self { status, headers: headers.collect(), body: body.to_owned() }
    }

    pub(in crate::api::tests) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(in crate::api::tests) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a hidden field.
    pub(in crate::api::tests) fn field(&self, name: &str) -> &str {
        let start = format!("name=\"{name}\" value=\"");
        self.body.split_once(&start).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
    }

    /// `name=value` of the cookie it sets.
    pub(in crate::api::tests) fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap_or_default()
    }

    /// Status, the headers that matter, and the body with what differs from run to run replaced by its name.
    pub(in crate::api::tests) fn told(&self, names: &[(&str, &str)]) -> String {
        let shown = ["content-type", "www-authenticate", "retry-after", "cache-control"];
        let headers = self.headers.iter().filter(|(name, _)| shown.contains(&name.as_str()));
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
        let headers = headers.concat();
        let body = serde_json::to_string_pretty(&self.json()).unwrap();
        let text = format!("{}\n{headers}{body}", self.status);
        names.iter().fold(text, |text, (name, value)| text.replace(value, name))
    }
}
