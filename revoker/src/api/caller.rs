//! Who calls, and what they may do. The executable's middleware checks the credential and puts a [`Caller`] into the
//! request; every route here names the role it needs in its arguments.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};

use super::problem::Problem;
use crate::agent::AgentKey;

/// What a route needs. Which credentials hold it is the executable's to say, in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Wait for the answer to a question about oneself, and go on with it; about any agent with [`Role::Gateway`].
    Agent,
    /// Ask whether agents may go on, follow the list of revoked subjects.
    Gateway,
    /// See standings, alerts, stories and deliveries.
    Analyst,
    /// Revoke, reinstate, pause.
    Operator,
    /// Change whom others hear from.
    Admin,
}

impl Role {
    /// The name of the least role that holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Gateway => "gateway",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Admin => "admin",
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
    /// All that it holds.
    pub roles: Vec<Role>,
    /// Which agent it is, if it is one.
    pub agent: Option<AgentKey>,
}

impl Caller {
    /// Whether it may speak for this agent: any gateway, or the agent itself.
    pub(super) fn speaks_for(&self, agent: &AgentKey) -> bool {
        self.is_gateway() || self.agent.as_ref() == Some(agent)
    }

    /// Whether it may speak for any agent.
    pub fn is_gateway(&self) -> bool {
        self.roles.contains(&Role::Gateway)
    }
}

/// Somebody with the role `agent`: an agent, or a gateway, which speaks for any.
#[derive(Debug)]
pub(super) struct AsAgent(pub(super) Caller);

/// A caller with the role `gateway`.
#[derive(Debug)]
pub struct AsGateway(pub Caller);

/// A caller who may look.
#[derive(Debug)]
pub struct AsAnalyst(pub Caller);

/// A caller with the role `operator`; without it, a problem is the answer.
#[derive(Debug)]
pub struct AsOperator(pub Caller);

/// A caller with the role `admin`.
#[derive(Debug)]
pub struct AsAdmin(pub Caller);

macro_rules! extracts {
    ($($who:ident: $role:ident),+) => {$(
        impl<S: Sync> FromRequestParts<S> for $who {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
                with_role(parts, Role::$role).map(Self)
            }
        }
    )+};
}

extracts! { AsAgent: Agent, AsGateway: Gateway, AsAnalyst: Analyst, AsOperator: Operator, AsAdmin: Admin }

fn with_role(parts: &Parts, role: Role) -> Result<Caller, Problem> {
    let Some(caller) = parts.extensions.get::<Caller>() else {
        told(parts, "nobody who is known", role.as_str());
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
    if caller.roles.contains(&role) {
        return Ok(caller.clone());
    }
    told(parts, &caller.name, role.as_str());
    Err(Problem::new(StatusCode::FORBIDDEN, "role_required", "This credential may not do that")
        .detail(format!("The credential `{}` lacks the role `{}`.", caller.name, role.as_str()))
        .header(header::WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\""))
}

/// Every refusal is in the log, with the route and not the path: that may hold what only few know.
pub(super) fn told(parts: &Parts, caller: &str, needs: &str) {
    let route = parts.extensions.get::<MatchedPath>().map_or("?", MatchedPath::as_str);
    tracing::warn!(caller, route = format!("{} {route}", parts.method), needs, "refused");
}

/// A header as text, if it is there once and is plain text.
pub(super) fn text_header<'a>(headers: &'a axum::http::HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}
