//! What one process does of the whole: all of it, or a part beside others.

use serde::Deserialize;

/// Why a process that does not do all takes no calls itself.
pub(crate) const BY_KAFKA: &str = "a process that does not run all roles takes calls from Kafka alone";

/// One part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Ingest,
    Score,
    Revoke,
}

/// The section `[roles]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolesConfig {
    run: Vec<Role>,
}

impl Default for RolesConfig {
    fn default() -> Self {
        Self { run: vec![Role::Ingest, Role::Score, Role::Revoke] }
    }
}

/// Which roles this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Calls are brought to the database.
    pub(crate) ingest: bool,
    /// Calls are scored.
    pub(crate) score: bool,
    /// Verdicts are decided on; people, gates and operators are answered.
    pub(crate) revoke: bool,
}

/// Why a process cannot run these roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RolesError {
    #[error("roles.run names no role: ingest, score, revoke")]
    None,
    #[error("roles.run: {BY_KAFKA}, and there is no section [kafka]")]
    NoCalls,
    #[error("roles.run: {BY_KAFKA}; [[files]] is read by one that does")]
    Files,
    #[error("roles.run: verdicts between processes need a section [bus]")]
    NoBus,
    #[error("[bus] is for processes of which one scores and another revokes; this one does both")]
    Bus,
}

impl RolesConfig {
    /// The roles, where they fit with what else is configured: a bus, a topic of calls, files.
    pub(crate) fn check(&self, bus: bool, topic: bool, files: bool) -> Result<Roles, RolesError> {
        let runs = |role| self.run.contains(&role);
        let roles =
            Roles { ingest: runs(Role::Ingest), score: runs(Role::Score), revoke: runs(Role::Revoke) };
        if self.run.is_empty() {
            return Err(RolesError::None);
        }
        match (roles.score, roles.revoke, bus) {
            (true, true, true) => return Err(RolesError::Bus),
            (true, false, false) | (false, true, false) => return Err(RolesError::NoBus),
            _ => {}
        }
        if !roles.is_whole() && (roles.ingest || roles.score) && !topic {
            return Err(RolesError::NoCalls);
        }
        if !roles.is_whole() && files { Err(RolesError::Files) } else { Ok(roles) }
    }
}

impl Roles {
    /// Whether it does everything.
    pub(crate) fn is_whole(self) -> bool {
        self.ingest && self.score && self.revoke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_said() {
        let check = |run: &str, bus, topic, files| {
            let config: RolesConfig = toml::from_str(&format!("run = {run}")).unwrap();
            config.check(bus, topic, files).map(|r| (r.ingest, r.score, r.revoke))
        };
        let all = r#"["ingest", "score", "revoke"]"#;
        assert_eq!(check(all, false, false, true), Ok((true, true, true)));
        assert_eq!(check(all, true, true, false), Err(RolesError::Bus));
        assert_eq!(check("[]", false, false, false), Err(RolesError::None));
        assert_eq!(check(r#"["score"]"#, false, true, false), Err(RolesError::NoBus));
        assert_eq!(check(r#"["score"]"#, true, false, false), Err(RolesError::NoCalls));
        assert_eq!(check(r#"["revoke"]"#, true, false, false), Ok((false, false, true)));
        assert_eq!(check(r#"["ingest", "score"]"#, true, true, true), Err(RolesError::Files));
        assert_eq!(check(r#"["ingest"]"#, false, true, false), Ok((true, false, false)));
    }
}
