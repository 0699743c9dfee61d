//! Which requirements each section of a report serves: OWASP Non-Human Identities Top 10 (2025), NIST Cybersecurity Framework 2.0,
//! NIST SP 800-207 (the tenets of §2.1).
//!
//! Owns the names, as their documents have them. A section that serves a requirement is evidence for it, and no certificate.

use serde::Serialize;

/// One requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Its number.
    pub id: &'static str,
    /// Its words, shortened where they are long.
    pub name: &'static str,
}

/// What a section serves.
#[derive(Debug, Clone, Serialize)]
pub struct Controls {
    /// The section.
    pub section: &'static str,
    /// OWASP NHI Top 10, 2025.
    pub owasp_nhi: &'static [Control],
    /// NIST CSF 2.0.
    pub nist_csf: &'static [Control],
    /// NIST SP 800-207.
    pub sp_800_207: &'static [Control],
}

const fn control(id: &'static str, name: &'static str) -> Control {
    Control { id, name }
}

const OFFBOARDING: Control = control("NHI1:2025", "Improper Offboarding");
const AUTHENTICATION: Control = control("NHI4:2025", "Insecure Authentication");
const OVERPRIVILEGED: Control = control("NHI5:2025", "Overprivileged NHI");
const CONFIGURATION: Control = control("NHI6:2025", "Insecure Cloud Deployment Configurations");
const LONG_LIVED: Control = control("NHI7:2025", "Long-Lived Secrets");
const REUSE: Control = control("NHI9:2025", "NHI Reuse");
const HUMAN_USE: Control = control("NHI10:2025", "Human Use of NHI");

const ROLES: Control = control("GV.RR-02", "Roles, responsibilities, and authorities are established");
const SERVICES: Control = control("ID.AM-02", "Inventories of software, services, and systems are maintained");
const LIFE_CYCLE: Control = control("ID.AM-08", "Systems, services, and data are managed throughout their life cycles");
const EXCEPTIONS: Control = control("ID.RA-07", "Changes and exceptions are managed, assessed, recorded, and tracked");
const IMPROVEMENTS: Control = control("ID.IM-01", "Improvements are identified from evaluations");
const IDENTITIES: Control = control("PR.AA-01", "Identities and credentials are managed by the organization");
const AUTHENTICATED: Control = control("PR.AA-03", "Users, services, and hardware are authenticated");
const PERMISSIONS: Control =
    control("PR.AA-05", "Access permissions are defined in a policy, managed, enforced, and reviewed");
const MANAGEMENT: Control = control("PR.PS-01", "Configuration management practices are established and applied");
const RECORDS: Control = control("PR.PS-04", "Log records are generated and made available for continuous monitoring");
const ANALYZED: Control = control("DE.AE-02", "Potentially adverse events are analyzed");
const CONTAINED: Control = control("RS.MI-01", "Incidents are contained");

const RESOURCES: Control = control("tenet 1", "All data sources and computing services are considered resources");
const SESSIONS: Control =
    control("tenet 3", "Access to individual enterprise resources is granted on a per-session basis");
const DYNAMIC: Control = control("tenet 4", "Access to resources is determined by dynamic policy");
const ENFORCED: Control =
    control("tenet 6", "Authentication and authorization are dynamic and strictly enforced before access is allowed");
const COLLECTED: Control =
    control("tenet 7", "As much information as possible is collected, and used to improve the security posture");

const ALL: [Controls; 8] = [
    Controls {
        section: "inventory",
        owasp_nhi: &[OFFBOARDING, REUSE],
        nist_csf: &[ROLES, SERVICES, LIFE_CYCLE, IDENTITIES],
        sp_800_207: &[RESOURCES],
    },
    Controls {
        section: "grants",
        owasp_nhi: &[OVERPRIVILEGED],
        nist_csf: &[PERMISSIONS],
        sp_800_207: &[SESSIONS, DYNAMIC],
    },
    Controls {
        section: "standing",
        owasp_nhi: &[OVERPRIVILEGED, LONG_LIVED],
        nist_csf: &[PERMISSIONS, IMPROVEMENTS],
        sp_800_207: &[SESSIONS, ENFORCED],
    },
    Controls {
        section: "unused",
        owasp_nhi: &[OFFBOARDING, OVERPRIVILEGED],
        nist_csf: &[PERMISSIONS, IMPROVEMENTS],
        sp_800_207: &[DYNAMIC, COLLECTED],
    },
    Controls {
        section: "ends",
        owasp_nhi: &[OFFBOARDING, LONG_LIVED],
        nist_csf: &[CONTAINED, PERMISSIONS],
        sp_800_207: &[SESSIONS, ENFORCED],
    },
    Controls {
        section: "refusals",
        owasp_nhi: &[AUTHENTICATION],
        nist_csf: &[AUTHENTICATED, ANALYZED],
        sp_800_207: &[ENFORCED, COLLECTED],
    },
    Controls {
        section: "changes",
        owasp_nhi: &[OVERPRIVILEGED, CONFIGURATION],
        nist_csf: &[MANAGEMENT, EXCEPTIONS],
        sp_800_207: &[DYNAMIC],
    },
    Controls { section: "evidence", owasp_nhi: &[HUMAN_USE], nist_csf: &[RECORDS], sp_800_207: &[COLLECTED] },
];

/// Those of all sections, in their order.
pub(super) fn all() -> Vec<Controls> {
    ALL.to_vec()
}

/// Those of one.
pub(super) fn of(section: &str) -> Option<&'static Controls> {
    ALL.iter().find(|each| each.section == section)
}
