//! The few calls of the admin interface that are needed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::connector::Outcome;
use crate::connector::http::{detail, read_json, refused};
use crate::connector::oauth::{Credentials, TIMEOUT};

/// Our mark on a client that we disabled: the story it was disabled in.
const MARK: &str = "tocsin.revoked";

/// A token of ours is not used in its last seconds.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// No answer is longer: a thousand sessions, each with the clients that are in it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a service account's user is named.
const SERVICE_ACCOUNT: &str = "service-account-";

#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error("{0}")]
    Hopeless(String),
    #[error("answered {}", .0.as_u16())]
    Refused(StatusCode),
    #[error("{0}")]
    Failed(String),
}

impl From<reqwest::Error> for AdminError {
    fn from(e: reqwest::Error) -> Self {
        Self::Failed(detail(e))
    }
}

impl From<AdminError> for Outcome {
    fn from(e: AdminError) -> Self {
        match e {
            AdminError::Hopeless(detail) => Self::Hopeless { detail },
            AdminError::Refused(status) => refused(status, None),
            AdminError::Failed(detail) => Self::Failed { status: None, detail, wait: None },
        }
    }
}

/// A client as the admin interface shows it, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientRow {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) enabled: bool,
    /// Seconds since 1970; 0 where it was never set.
    #[serde(default)]
    pub(super) not_before: i64,
    #[serde(default)]
    attributes: HashMap<String, Value>,
}

impl ClientRow {
    /// Our mark, if it is disabled by us.
    pub(super) fn mark(&self) -> Option<&str> {
        self.attributes.get(MARK).and_then(Value::as_str).filter(|mark| !mark.is_empty())
    }
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
}

#[derive(Deserialize)]
struct Session {
    id: String,
}

/// What is to become of a client. Everything else of it stays as it is.
pub(super) struct Change<'a> {
    pub(super) not_before: Option<i64>,
    pub(super) enabled: bool,
    /// Our mark; empty takes it away.
    pub(super) mark: Option<&'a str>,
}

#[derive(Deserialize)]
struct OurToken {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

pub(super) struct Admin {
    client: Client,
    /// Ends in the realm's name, without a slash.
    realm: Url,
    token_url: Url,
    credentials: Credentials,
    token: Mutex<Option<(String, Instant)>>,
}

impl Admin {
    pub(super) fn new(client: Client, realm: Url, token_url: Url, credentials: Credentials) -> Self {
        Self { client, realm, token_url, credentials, token: Mutex::default() }
    }

    /// The agent's client, by its client id or by its service account's id.
    pub(super) async fn find(&self, agent: &str) -> Result<ClientRow, AdminError> {
        let found = match self.client_called(agent).await? {
            Some(client) => Some(client),
            None => self.client_of_account(agent).await?,
        };
        let unknown = "no client of the realm has this client id or service account";
        found.ok_or_else(|| AdminError::Hopeless(unknown.to_owned()))
    }

    async fn client_called(&self, client_id: &str) -> Result<Option<ClientRow>, AdminError> {
        let mut url = self.at(&["clients"]);
        url.query_pairs_mut().append_pair("clientId", client_id);
        let rows: Vec<ClientRow> = self.get(url).await?;
        Ok(rows.into_iter().find(|row| row.client_id == client_id))
    }

    async fn client_of_account(&self, sub: &str) -> Result<Option<ClientRow>, AdminError> {
        let user: User = match self.get(self.at(&["users", sub])).await {
            Ok(user) => user,
            Err(AdminError::Refused(StatusCode::NOT_FOUND)) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(client_id) = user.username.strip_prefix(SERVICE_ACCOUNT) else { return Ok(None) };
        let Some(client) = self.client_called(client_id).await? else { return Ok(None) };
        // A person may have chosen such a name.
        let account = self.account(&client).await?;
        Ok((account == user.id).then_some(client))
    }

    async fn account(&self, client: &ClientRow) -> Result<String, AdminError> {
        let url = self.at(&["clients", &client.id, "service-account-user"]);
        Ok(self.get::<User>(url).await?.id)
    }

    pub(super) async fn change(&self, client: &ClientRow, change: &Change<'_>) -> Result<(), AdminError> {
        let mut body = json!({ "clientId": client.client_id, "enabled": change.enabled });
        if let Some(not_before) = change.not_before {
            body["notBefore"] = not_before.into();
        }
        if let Some(mark) = change.mark {
            body["attributes"] = json!({ MARK: mark });
        }
        let url = self.at(&["clients", &client.id]);
        self.call(|token| self.client.put(url.clone()).bearer_auth(token).json(&body)).await.map(drop)
    }

    pub(super) async fn log_out(&self, client: &ClientRow) -> Result<(), AdminError> {
        let account = self.account(client).await?;
        let url = self.at(&["users", &account, "logout"]);
        self.call(|token| self.client.post(url.clone()).bearer_auth(token)).await.map(drop)
    }

    /// Ends one session of whomever. There being none is what was wanted, unless it never was: the log tells.
    pub(super) async fn end_session(&self, session: &str) -> Result<(), AdminError> {
        let url = self.at(&["sessions", session]);
        match self.call(|token| self.client.delete(url.clone()).bearer_auth(token)).await {
            Err(AdminError::Refused(StatusCode::NOT_FOUND)) => {
                Err(AdminError::Hopeless("the realm has no such session".to_owned()))
            }
            done => done.map(drop),
        }
    }

    /// Whether the agent's client has a session of this id, among its newest thousand.
    pub(super) async fn has_session(&self, agent: &str, session: &str) -> Result<bool, AdminError> {
        let client = self.find(agent).await?;
        let mut url = self.at(&["clients", &client.id, "user-sessions"]);
        url.query_pairs_mut().append_pair("max", "1000");
        let rows: Vec<Session> = self.get(url).await?;
        Ok(rows.iter().any(|row| row.id == session))
    }

    /// An address under the realm. Names are one segment each, whatever is in them.
    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.realm.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        url
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, AdminError> {
        let asked = self.call(|token| self.client.request(Method::GET, url.clone()).bearer_auth(token));
        read_json(asked.await?, ANSWER_BYTES_MAX).await.map_err(AdminError::Failed)
    }

    /// Asks with our token, and once more with a new one if that is refused: it may have been ended.
    async fn call(&self, request: impl Fn(&str) -> RequestBuilder) -> Result<Response, AdminError> {
        for fresh in [false, true] {
            let token = self.token(fresh).await?;
            let answer = request(&token).timeout(TIMEOUT).send().await?;
            if answer.status() == StatusCode::UNAUTHORIZED && !fresh {
                continue;
            }
            if answer.status().is_success() {
                return Ok(answer);
            }
            return Err(AdminError::Refused(answer.status()));
        }
        Err(AdminError::Refused(StatusCode::UNAUTHORIZED))
    }

    async fn token(&self, fresh: bool) -> Result<String, AdminError> {
        let mut held = self.token.lock().await;
        if let Some((token, until)) = held.as_ref()
            && !fresh
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let [id, secret] = self.credentials.fields();
        let form = [("grant_type", "client_credentials"), id, secret];
        let answer = self.client.post(self.token_url.clone()).form(&form).timeout(TIMEOUT).send().await?;
        if !answer.status().is_success() {
            let refused = format!("our own credentials were refused with {}", answer.status().as_u16());
            return Err(AdminError::Failed(refused));
        }
        let token: OurToken = read_json(answer, ANSWER_BYTES_MAX).await.map_err(AdminError::Failed)?;
        let lives = Duration::from_secs(token.expires_in).saturating_sub(TOKEN_MARGIN);
        *held = Some((token.access_token.clone(), Instant::now() + lives));
        Ok(token.access_token)
    }
}
