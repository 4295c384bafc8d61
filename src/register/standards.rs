//! Where each finding stands in the lists that people report by.
//!
//! Sources, as of November 2026:
//! OWASP Top 10 Non-Human Identities Risks 2025 (<https://owasp.org/www-project-non-human-identities-top-10/2025/>);
//! OWASP Top 10 for Agentic Applications 2026, published 2025-12 (<https://genai.owasp.org/>);
//! MITRE ATT&CK Enterprise (<https://attack.mitre.org/techniques/>);
//! MITRE ATLAS (<https://atlas.mitre.org/techniques>);
//! NIST SP 800-207, Zero Trust Architecture, 2020, section 2.1: its seven tenets by number
//! (<https://doi.org/10.6028/NIST.SP.800-207>). Which entry a finding belongs to is our reading; where none fits, none is named.

use serde::Serialize;

use super::finding::FindingKind;

/// Entries of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Standards {
    pub(crate) owasp_nhi: &'static [&'static str],
    pub(crate) owasp_agentic: &'static [&'static str],
    pub(crate) attack: &'static [&'static str],
    pub(crate) atlas: &'static [&'static str],
    pub(crate) nist_800_207: &'static [&'static str],
}

const OFFBOARDING: &str = "NHI1:2025 Improper Offboarding";
const OVERPRIVILEGED: &str = "NHI5:2025 Overprivileged NHI";
const LONG_LIVED: &str = "NHI7:2025 Long-Lived Secrets";
const ABUSE: &str = "ASI03 Identity and Privilege Abuse";
const ROGUE: &str = "ASI10 Rogue Agents";
const ACCOUNTS: &str = "T1078 Valid Accounts";
const ATLAS_ACCOUNTS: &str = "AML.T0012 Valid Accounts";
const TOKEN: &str = "T1550.001 Application Access Token";
const ATLAS_TOKEN: &str = "AML.T0091.000 Application Access Token";
const PER_SESSION: &str = "tenet 3: access is granted per session";
const ENFORCED: &str =
    "tenet 6: authentication and authorization are dynamic and strictly enforced before access";
const KNOWN: &str = "tenet 7: as much as possible is known of the state of assets";

/// The one table.
const TABLE: [(FindingKind, Standards); 12] = [
    (
        FindingKind::LongLivedToken,
        Standards {
            owasp_nhi: &[LONG_LIVED],
            owasp_agentic: &[ABUSE],
            attack: &[TOKEN],
            atlas: &[ATLAS_TOKEN],
            nist_800_207: &[PER_SESSION],
        },
    ),
    (
        FindingKind::OverWideToken,
        Standards {
            owasp_nhi: &[OVERPRIVILEGED],
            owasp_agentic: &[ABUSE],
            attack: &[ACCOUNTS],
            atlas: &[ATLAS_ACCOUNTS],
            nist_800_207: &[PER_SESSION],
        },
    ),
    (
        FindingKind::StaticSecret,
        Standards {
            owasp_nhi: &["NHI4:2025 Insecure Authentication", LONG_LIVED],
            owasp_agentic: &[ABUSE],
            attack: &["T1552 Unsecured Credentials"],
            atlas: &["AML.T0055 Unsecured Credentials"],
            nist_800_207: &[ENFORCED],
        },
    ),
    (
        FindingKind::NoOwner,
        Standards { owasp_nhi: &[OFFBOARDING], owasp_agentic: &[ROGUE], nist_800_207: &[KNOWN], ..NONE },
    ),
    (
        FindingKind::NoApprover,
        Standards {
            owasp_agentic: &["ASI09 Human-Agent Trust Exploitation"],
            nist_800_207: &[ENFORCED],
            ..NONE
        },
    ),
    (
        FindingKind::Unreviewed,
        Standards { owasp_nhi: &[OVERPRIVILEGED], owasp_agentic: &[ABUSE], nist_800_207: &[KNOWN], ..NONE },
    ),
    (
        FindingKind::Undeclared,
        Standards {
            owasp_agentic: &[ROGUE],
            attack: &["T1136 Create Account"],
            atlas: &["AML.T0103 Deploy AI Agent"],
            nist_800_207: &[KNOWN],
            ..NONE
        },
    ),
    (
        FindingKind::ExpiredActing,
        Standards {
            owasp_nhi: &[OFFBOARDING, LONG_LIVED],
            owasp_agentic: &[ABUSE],
            attack: &[ACCOUNTS],
            atlas: &[ATLAS_ACCOUNTS],
            nist_800_207: &[ENFORCED],
        },
    ),
    (
        FindingKind::RevokedTokenActing,
        Standards {
            owasp_nhi: &[OFFBOARDING, LONG_LIVED],
            owasp_agentic: &[ABUSE],
            attack: &[TOKEN],
            atlas: &[ATLAS_TOKEN],
            nist_800_207: &[ENFORCED],
        },
    ),
    (
        FindingKind::RetiredActing,
        Standards {
            owasp_nhi: &[OFFBOARDING],
            owasp_agentic: &[ROGUE],
            attack: &[ACCOUNTS],
            atlas: &[ATLAS_ACCOUNTS],
            nist_800_207: &[ENFORCED],
        },
    ),
    (
        FindingKind::Orphan,
        Standards {
            owasp_nhi: &[OFFBOARDING],
            owasp_agentic: &[ABUSE, ROGUE],
            nist_800_207: &[KNOWN],
            ..NONE
        },
    ),
    (FindingKind::LineageCycle, Standards { owasp_agentic: &[ABUSE], nist_800_207: &[ENFORCED], ..NONE }),
];

const NONE: Standards =
    Standards { owasp_nhi: &[], owasp_agentic: &[], attack: &[], atlas: &[], nist_800_207: &[] };

/// Where a finding stands.
pub(crate) fn of(kind: FindingKind) -> Standards {
    TABLE.iter().find(|(k, _)| *k == kind).map_or(NONE, |(_, standards)| *standards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_stands_once_and_by_identifiers_of_the_right_shape() {
        let shaped = |texts: &[&str], is: fn(&str) -> bool| {
            texts
                .iter()
                .all(|text| text.split_once(' ').is_some_and(|(id, title)| is(id) && !title.is_empty()))
        };
        for kind in FindingKind::ALL {
            assert_eq!(TABLE.iter().filter(|(k, _)| *k == kind).count(), 1, "{kind:?}");
            let s = of(kind);
            assert!(!s.owasp_agentic.is_empty() && !s.nist_800_207.is_empty(), "{kind:?}");
            assert!(shaped(s.owasp_nhi, |id| id.starts_with("NHI") && id.ends_with(":2025")), "{s:?}");
            assert!(shaped(s.owasp_agentic, |id| id.len() == 5 && id.starts_with("ASI")), "{s:?}");
            assert!(shaped(s.attack, |id| id.starts_with('T') && id[1..5].parse::<u16>().is_ok()), "{s:?}");
            assert!(shaped(s.atlas, |id| id.starts_with("AML.T")), "{s:?}");
            assert!(shaped(s.nist_800_207, |id| id == "tenet"), "{s:?}");
        }
    }
}
