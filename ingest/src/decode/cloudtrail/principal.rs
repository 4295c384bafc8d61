//! The logical agent behind a `userIdentity`: sessions folded to what they are sessions of.

use detector::{CredentialKind, Identity, Text};

use crate::decode::Invalid;
use crate::decode::names::joined;
use crate::decode::value::TEXT_BYTES_MAX;

use super::identity::UserIdentity;

/// Who acted. `recipient` is the account that got the record.
pub(super) fn identity<'a>(
    mut who: UserIdentity<'a>,
    recipient: Option<Text<'a>>,
) -> Result<Identity<'a>, Invalid> {
    let token_id = who.access_key_id.take();
    let delegator = who.session.source_identity.take().or(who.on_behalf_of.user_id.take());
    let (agent_id, instance_id) = agent(who, recipient)?;
    if agent_id.len() > TEXT_BYTES_MAX {
        return Err(Invalid::field("userIdentity", "makes an agent id longer than 4096 bytes"));
    }
    let session_id = token_id.clone().filter(|key| is_temporary(key));
    Ok(Identity { agent_id, instance_id, session_id, delegator, token_id, ..Identity::default() })
}

/// What kind of credential was used.
pub(super) fn credential_kind(who: &UserIdentity<'_>) -> CredentialKind {
    match (who.access_key_id.as_deref(), who.kind.as_deref()) {
        (Some(key), _) if key.starts_with("AKIA") => CredentialKind::StaticKey,
        (Some(key), _) if is_temporary(key) => CredentialKind::Federated,
        (
            _,
            Some("AssumedRole" | "FederatedUser" | "WebIdentityUser" | "SAMLUser" | "IdentityCenterUser"),
        ) => CredentialKind::Federated,
        _ => CredentialKind::Unknown,
    }
}

fn is_temporary(access_key_id: &str) -> bool {
    access_key_id.starts_with("ASIA")
}

type AgentAndInstance<'a> = (Text<'a>, Option<Text<'a>>);

fn agent<'a>(who: UserIdentity<'a>, recipient: Option<Text<'a>>) -> Result<AgentAndInstance<'a>, Invalid> {
    if let Some(arn) = who.arn {
        return Ok(of_arn(arn, who.session.issuer.arn));
    }
    let account = who.account_id.or(recipient).unwrap_or_default();
    match (who.kind.as_deref(), &who.principal_id, &who.invoked_by) {
        (Some("AWSService"), _, Some(service)) | (_, None, Some(service)) => {
            Ok((joined(service, '@', &account), None))
        }
        (None, None, None) => Err(Invalid::field("userIdentity", "names nobody")),
        (kind, ..) => {
            let (principal, instance_id) = of_principal(who.principal_id.or(who.user_name));
            let name = format!("{}:{principal}@{account}", kind.unwrap_or("Unknown"));
            Ok((Text::Owned(name), instance_id))
        }
    }
}

/// The agent of an ARN and, where that is not the ARN itself, the ARN as its instance.
fn of_arn<'a>(arn: Text<'a>, session_issuer: Option<Text<'a>>) -> AgentAndInstance<'a> {
    let folded = match resource_type(&arn) {
        Some("assumed-role") => until_second_slash(&arn),
        Some("federated-user") => session_issuer.map(folded_issuer),
        _ => None,
    };
    match folded {
        Some(agent_id) => (agent_id, Some(arn)),
        None => (arn, None),
    }
}

/// `assumed-role` of `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION`.
fn resource_type(arn: &str) -> Option<&str> {
    let resource = arn.splitn(6, ':').nth(5)?;
    resource.split_once('/').map(|(kind, _)| kind)
}

/// The session's ARN without the session's name; `None` where there is none.
fn until_second_slash<'a>(arn: &Text<'a>) -> Option<Text<'a>> {
    let end = arn.match_indices('/').nth(1)?.0;
    Some(match arn {
        Text::Borrowed(arn) => Text::Borrowed(&arn[..end]),
        Text::Owned(arn) => Text::Owned(arn[..end].to_owned()),
    })
}

/// `arn:aws:iam::ACCOUNT:role/path/ROLE` as its sessions' ARNs name it; any other issuer as it is.
fn folded_issuer(issuer: Text<'_>) -> Text<'_> {
    let mut parts = issuer.splitn(6, ':');
    let (partition, account) = (parts.nth(1), parts.nth(2));
    let role = parts.next().and_then(|r| r.strip_prefix("role/")).and_then(|path| path.rsplit('/').next());
    match (partition, account, role) {
        (Some(partition), Some(account), Some(role)) => {
            Text::Owned(format!("arn:{partition}:sts::{account}:assumed-role/{role}"))
        }
        _ => issuer,
    }
}

/// The principal as a name and, where it is a role's session, the session as its instance.
fn of_principal(principal: Option<Text<'_>>) -> AgentAndInstance<'_> {
    match principal {
        None => (Text::Borrowed("-"), None),
        Some(session) if session.starts_with("AROA") && session.contains(':') => {
            let role = session.split(':').next().unwrap_or_default().to_owned();
            (Text::Owned(role), Some(session))
        }
        Some(name) => (name, None),
    }
}
