//! What each role may do: the one table. A credential has roles (its configuration says which), a route needs one (its arguments
//! say which), and here stands who holds what.

use ingest::source::credentials::Role as Has;
use revoker::api::Role as Needs;

/// Each role, what it holds of what routes need, and that in words. `POST /v1/calls` takes the role `ingest` itself.
pub(super) const TABLE: [(Has, &[Needs], &str); 6] = [
    (Has::Ingest, &[], "send calls"),
    (
        Has::Agent,
        &[Needs::Agent],
        "wait for the answer to a question about itself, and go on with the approved act",
    ),
    (
        Has::Gateway,
        &[Needs::Agent, Needs::Gateway],
        "ask the gate about any agent, wait and go on for it, follow the list of revoked subjects",
    ),
    (
        Has::Analyst,
        &[Needs::Analyst],
        "see standings, alerts, stories, deliveries, the register; change nothing",
    ),
    (
        Has::Operator,
        &[Needs::Analyst, Needs::Operator],
        "that, and revoke, reinstate, pause, propose, confirm, rule, register, redeliver",
    ),
    (
        Has::Admin,
        &[Needs::Analyst, Needs::Operator, Needs::Admin],
        "that, and set the status of receivers' streams",
    ),
];

/// All that a credential with these roles holds.
pub(super) fn held_by(roles: &[Has]) -> Vec<Needs> {
    let mut held = Vec::new();
    for (_, needs, _) in TABLE.iter().filter(|(has, ..)| roles.contains(has)) {
        held.extend(needs.iter().filter(|need| !held.contains(*need)).copied().collect::<Vec<_>>());
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_table() {
        let readme = include_str!("../../README.md");
        for (role, _, words) in TABLE {
            let row = format!("| `{}` | {words} |", role.as_str());
            assert!(readme.contains(&row), "README.md, \"Who may do what\", lacks this row:\n{row}");
        }
    }

    #[test]
    fn roles_add_up() {
        assert_eq!(held_by(&[Has::Gateway, Has::Agent]), [Needs::Agent, Needs::Gateway]);
        assert_eq!(held_by(&[Has::Ingest]), []);
        assert_eq!(held_by(&[Has::Admin]).len(), 3);
    }
}
