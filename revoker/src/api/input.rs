//! Bodies and queries of operators' requests, with errors that name the field.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Json, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::agent::AgentKey;
use crate::store::Page;

/// Rows of a list where the request does not say.
const LIMIT: u32 = 100;

/// A JSON body; where it cannot be read, a problem that names the field is the answer.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(bad(rejection.status(), &rejection)),
        }
    }
}

/// The query; where it cannot be read, a problem that names the field is the answer.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|e| bad(StatusCode::BAD_REQUEST, &e))
    }
}

pub(super) fn bad(status: StatusCode, error: &dyn std::error::Error) -> Problem {
    // The innermost error is the one that names the field.
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Problem::new(status, "bad_request", "The request cannot be read").detail(innermost.to_string())
}

/// Which agent; its name may hold slashes, so it never stands in a path.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    pub(super) agent_id: String,
    pub(super) issuer: Option<String>,
}

impl Which {
    pub(super) fn key(&self) -> AgentKey {
        AgentKey::new(self.issuer.as_deref(), &self.agent_id)
    }
}

/// Which part of a list: `?limit=` (1 to 1,000) and `?cursor=` of an earlier answer's `next`.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    limit: Option<u32>,
    cursor: Option<i64>,
}

impl Part {
    pub(super) fn new(limit: Option<u32>, cursor: Option<i64>) -> Self {
        Self { limit, cursor }
    }

    pub(super) fn page(&self) -> Page {
        Page::new(self.limit.unwrap_or(LIMIT), self.cursor)
    }

    fn full(&self, rows: usize) -> bool {
        rows >= self.limit.unwrap_or(LIMIT).clamp(1, Page::LIMIT_MAX) as usize
    }

    /// The answer: the rows, newest first, and where the next part begins, if there may be one.
    pub(super) fn answer<T: Serialize>(&self, rows: Vec<T>, cursor: impl Fn(&T) -> i64) -> Json<Rows<T>> {
        let next = rows.last().filter(|_| self.full(rows.len())).map(cursor);
        Json(Rows { rows, next })
    }
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(super) struct Rows<T> {
    rows: Vec<T>,
    /// `cursor` for the next part; null at the end.
    next: Option<i64>,
}
