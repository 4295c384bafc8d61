//! Who calls, and what they may do. The executable's middleware checks the credential and puts a [`Caller`] into the
//! request; every route here names the role it needs in its arguments.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};

use super::problem::Problem;

/// What a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Ask whether an agent may go on, wait for approvals.
    Gate,
    /// See standings, alerts, stories and deliveries.
    Analyst,
    /// That, and revoke, reinstate, pause.
    Operator,
}

impl Role {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
        }
    }
}

/// An authenticated credential. Its absence from a request means that none was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is: the credential's name in the configuration, or an issuer's and its subject.
    pub name: String,
    /// What its records are known under: the name of the credential or the issuer in the configuration.
    pub source: String,
    /// What it allows.
    pub roles: Vec<Role>,
}

/// A caller with the role `gate`.
#[derive(Debug)]
pub struct AsGate(pub Caller);

/// A caller who may look: with the role `analyst`, or `operator`, which holds it.
#[derive(Debug)]
pub struct AsAnalyst(pub Caller);

/// A caller with the role `operator`; without it, a problem is the answer.
#[derive(Debug)]
pub struct AsOperator(pub Caller);

impl<S: Sync> FromRequestParts<S> for AsGate {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        with_role(parts, Role::Gate).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for AsAnalyst {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        with_role(parts, Role::Analyst).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for AsOperator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        with_role(parts, Role::Operator).map(Self)
    }
}

fn with_role(parts: &Parts, role: Role) -> Result<Caller, Problem> {
    let Some(caller) = parts.extensions.get::<Caller>() else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "credential_required",
            "A credential is required",
        )
        .detail(format!(
            "Send `Authorization: Bearer …` with a credential that has the role `{}`.",
            role.as_str()
        ))
        .header(header::WWW_AUTHENTICATE, "Bearer"));
    };
    let holds = |held: &Role| *held == role || (*held == Role::Operator && role == Role::Analyst);
    if caller.roles.iter().any(holds) {
        return Ok(caller.clone());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "role_required", "This credential may not do that")
        .detail(format!("The credential `{}` lacks the role `{}`.", caller.name, role.as_str()))
        .header(header::WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\""))
}

/// A header as text, if it is there once and is plain text.
pub(super) fn text_header<'a>(headers: &'a axum::http::HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}
