//! The table of rules: what is looked for, how bad it is, and which point of which catalogue it serves.
//!
//! Owns codes, severities and their words: they are stable, for `check.toml` and pipelines name them. Never looks itself.

use crate::policy::Severity::{self, Error, Note, Warning};

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its code, in kebab case, stable.
    pub code: &'static str,
    /// How bad what it finds is.
    pub severity: Severity,
    /// What it finds, in one line.
    pub about: &'static str,
    /// The item of the OWASP Non-Human Identities Top 10 (2025) that it serves.
    pub owasp: &'static str,
    /// The points of NIST CSF 2.0 and of SP 800-207 (its tenets, section 2.1) that it serves.
    pub nist: &'static str,
    /// Whether an entry of `check.toml` may let it pass.
    pub may_pass: bool,
}

impl Rule {
    /// Its part of the documentation.
    pub fn docs(&self) -> String {
        format!("docs/policy-check.md#{}", self.code)
    }
}

const fn rule(
    code: &'static str,
    severity: Severity,
    about: &'static str,
    owasp: &'static str,
    nist: &'static str,
) -> Rule {
    Rule { code, severity, about, owasp, nist, may_pass: true }
}

/// One that nothing lets pass.
const fn firm(rule: Rule) -> Rule {
    Rule { may_pass: false, ..rule }
}

const OFFBOARDING: &str = "NHI1:2025 Improper Offboarding";
const LEAKAGE: &str = "NHI2:2025 Secret Leakage";
const AUTHENTICATION: &str = "NHI4:2025 Insecure Authentication";
const OVERPRIVILEGED: &str = "NHI5:2025 Overprivileged NHI";
const CONFIGURATION: &str = "NHI6:2025 Insecure Cloud Deployment Configurations";
const LONG_LIVED: &str = "NHI7:2025 Long-Lived Secrets";
const REUSE: &str = "NHI9:2025 NHI Reuse";

const INVENTORY: &str = "CSF ID.AM-02, PR.AA-01; SP 800-207 tenet 1";
const ROLES: &str = "CSF GV.RR-02, PR.AA-01; SP 800-207 tenet 1";
const LEAST: &str = "CSF PR.AA-05; SP 800-207 tenets 3, 4";
const SESSIONS: &str = "CSF PR.AA-05; SP 800-207 tenets 3, 6";
const PROOF: &str = "CSF PR.AA-03; SP 800-207 tenet 6";
const CREDENTIALS: &str = "CSF PR.AA-01, PR.DS-01; SP 800-207 tenet 6";
const OVERSIGHT: &str = "CSF PR.AA-05, ID.IM-01; SP 800-207 tenet 4";
const CHANGE: &str = "CSF PR.PS-01, ID.AM-08; SP 800-207 tenet 4";

/// Every rule, in the order of the documentation.
pub static RULES: [Rule; 45] = [
    firm(rule("load-error", Error, "a broker refuses to load the set", CONFIGURATION, CHANGE)),
    firm(rule(
        "issuer-unpinned",
        Error,
        "an identity cannot be used, or trusts a whole public platform",
        AUTHENTICATION,
        PROOF,
    )),
    rule(
        "stray-file",
        Warning,
        "a file that looks like a part of the set, and that nothing reads",
        CONFIGURATION,
        CHANGE,
    ),
    firm(rule("link", Error, "a link stands in place of a file or a folder", CONFIGURATION, CHANGE)),
    firm(rule("set-empty", Error, "the folder holds no workload, no audience and no policy", CONFIGURATION, CHANGE)),
    rule("owner-missing", Warning, "nobody answers for a workload or an audience", OFFBOARDING, ROLES),
    rule("owner-vague", Warning, "the owner is a placeholder, or says again what stands beside it", OFFBOARDING, ROLES),
    rule("purpose-missing", Warning, "it is not said why a workload or an audience exists", OFFBOARDING, INVENTORY),
    rule(
        "purpose-vague",
        Warning,
        "the purpose is a placeholder, too short, or says again the name",
        OFFBOARDING,
        INVENTORY,
    ),
    rule("purpose-copied", Warning, "two workloads or audiences have the same purpose", REUSE, INVENTORY),
    rule("placeholder-left", Note, "a line still says what `jitney init` wrote there", OFFBOARDING, INVENTORY),
    rule("identity-missing", Warning, "a workload has no way to prove itself", OFFBOARDING, INVENTORY),
    rule("expiry-missing", Warning, "a workload has no end", OFFBOARDING, INVENTORY),
    rule("expiry-distant", Warning, "a workload's end is more than 400 days away", LONG_LIVED, INVENTORY),
    rule("expiry-near", Note, "a workload's end is at most 30 days away", OFFBOARDING, INVENTORY),
    rule("expired", Warning, "a workload's end has passed, and its file is still there", OFFBOARDING, INVENTORY),
    rule("review-near", Note, "the day of a workload's review is at most 30 days away", OVERPRIVILEGED, OVERSIGHT),
    rule("review-due", Warning, "the day of a workload's review has come", OVERPRIVILEGED, OVERSIGHT),
    rule(
        "standing-access",
        Warning,
        "a task can be renewed for 8 hours or more, and no review is set",
        LONG_LIVED,
        SESSIONS,
    ),
    rule("principal-any", Warning, "a permit speaks of every workload", OVERPRIVILEGED, LEAST),
    rule("resource-any", Warning, "a permit speaks of every scope of every audience", OVERPRIVILEGED, LEAST),
    rule(
        "resource-audience",
        Note,
        "a permit speaks of every scope of an audience, and of those it declares later",
        OVERPRIVILEGED,
        LEAST,
    ),
    rule("condition-missing", Note, "a permit has no condition: any task may ask", OVERPRIVILEGED, LEAST),
    rule("condition-vacuous", Warning, "a permit's condition is always true", OVERPRIVILEGED, LEAST),
    rule("claim-wildcard", Warning, "a claim of a platform's token may say anything", AUTHENTICATION, PROOF),
    rule(
        "claim-misplaced",
        Warning,
        "a field of an identity stands among its claims, and is demanded as one",
        CONFIGURATION,
        CHANGE,
    ),
    rule("task-ambiguous", Warning, "two runs of a platform can be attested the same task", AUTHENTICATION, PROOF),
    rule("ttl-above", Warning, "a time is above another that always cuts it", CONFIGURATION, SESSIONS),
    rule("permit-never", Warning, "a permit can never apply", CONFIGURATION, CHANGE),
    rule("permit-shadowed", Warning, "a forbid takes away all that a permit gives", CONFIGURATION, CHANGE),
    rule("name-never", Warning, "a text or a pattern that no name can be", CONFIGURATION, CHANGE),
    rule(
        "guard-unmatched",
        Warning,
        "a forbid or an invariant names by text what the set does not have",
        OVERPRIVILEGED,
        LEAST,
    ),
    rule("condition-fails", Warning, "it is proven that a condition fails for every request", CONFIGURATION, CHANGE),
    rule("proof-missing", Note, "nothing shows whether a permit can apply", CONFIGURATION, CHANGE),
    firm(rule(
        "invariant-broken",
        Error,
        "what an invariant says must never be possible is possible, or it cannot be read",
        OVERPRIVILEGED,
        LEAST,
    )),
    rule("invariant-unproven", Warning, "nothing shows that an invariant holds", OVERPRIVILEGED, LEAST),
    rule(
        "test-broken",
        Error,
        "a case in tests/ cannot be read, or cannot be asked of this set",
        CONFIGURATION,
        CHANGE,
    ),
    rule(
        "widening-broken",
        Error,
        "a statement in widenings/ cannot be read, or states nothing",
        OVERPRIVILEGED,
        OVERSIGHT,
    ),
    rule("workload-ungranted", Warning, "no policy grants a workload anything", OFFBOARDING, INVENTORY),
    rule("scope-ungranted", Note, "no policy grants a scope to anybody", CONFIGURATION, INVENTORY),
    rule(
        "audience-unused",
        Warning,
        "no policy grants anybody anything at an audience, or it declares no scope",
        CONFIGURATION,
        INVENTORY,
    ),
    rule("key-weak", Warning, "an RSA key of its own has fewer than 3072 bits", AUTHENTICATION, CREDENTIALS),
    rule("key-shared", Error, "two identities have one key", REUSE, CREDENTIALS),
    rule("secret", Error, "a private key, a password or a token stands in a file", LEAKAGE, CREDENTIALS),
    firm(rule(
        "suppression",
        Warning,
        "an entry of check.toml has no reason or no end, is past it, or fits nothing",
        CONFIGURATION,
        OVERSIGHT,
    )),
];

/// The finer codes of what a load tells, and the rule that each belongs to; the page has a line for each. An error of one that may
/// pass keeps a broker from loading, and belongs to `load-error` instead.
pub static FINER: [(&str, &str); 19] = [
    ("audience", "load-error"),
    ("cedar-depth", "load-error"),
    ("cedar-schema", "load-error"),
    ("cedar-syntax", "load-error"),
    ("entities", "load-error"),
    ("identity", "issuer-unpinned"),
    ("jwks", "load-error"),
    ("load", "load-error"),
    ("name", "load-error"),
    ("open-scope", "load-error"),
    ("policy-id", "load-error"),
    ("schema", "load-error"),
    ("scope", "load-error"),
    ("secret-unsearched", "stray-file"),
    ("stray", "stray-file"),
    ("toml", "load-error"),
    ("unknown-name", "permit-never"),
    ("unreadable", "load-error"),
    ("workload", "load-error"),
];

/// The rule with this code.
///
/// A code that the table does not have is a mistake in this room; its finding then stands as a load error.
pub fn of(code: &str) -> &'static Rule {
    find(code).unwrap_or(&RULES[0])
}

/// The rule that a finding of the load belongs to. Nothing lets pass what a broker refuses.
pub fn of_load(code: &str, severity: Severity) -> &'static Rule {
    let rule = FINER.iter().find(|(finer, _)| *finer == code).map_or(&RULES[0], |(_, rule)| of(rule));
    if rule.may_pass && severity == Error { &RULES[0] } else { rule }
}

/// The rule with this code, where there is one.
pub fn find(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_each_has_its_part_of_the_page() {
        let page = include_str!("../../../docs/policy-check.md");
        for (at, rule) in RULES.iter().enumerate() {
            assert!(RULES[..at].iter().all(|other| other.code != rule.code), "{}", rule.code);
            let heading = format!("\n### {}\n", rule.code);
            let part = page.split(&heading).nth(1).unwrap_or_else(|| panic!("{} has no part", rule.code));
            let part = part.split("\n##").next().unwrap_or_default();
            let head = format!("{} · {} · {}\n", rule.severity.as_str(), rule.owasp, rule.nist);
            assert!(
                part.starts_with(&format!("\n{head}\n**What**: ")),
                "{}: its part begins otherwise: {part}",
                rule.code
            );
            assert_eq!(part.contains("Nothing lets it pass."), !rule.may_pass, "{}", rule.code);
        }
        let firm: Vec<String> =
            RULES.iter().filter(|rule| !rule.may_pass).map(|rule| format!("`{}`", rule.code)).collect();
        let (last, others) = firm.split_last().unwrap();
        let sentence = format!("{} and {last} never pass.", others.join(", "));
        assert!(
            page.split_whitespace().collect::<Vec<_>>().join(" ").contains(&sentence),
            "what never passes: {sentence}"
        );
        assert_eq!(of_load("unknown-name", Error).code, "load-error");
        assert_eq!(of_load("unknown-name", Warning).code, "permit-never");
        for (code, rule) in FINER {
            assert!(find(rule).is_some() && find(code).is_none(), "{code}: {rule}");
            let line = page.lines().find(|line| line.starts_with(&format!("| `{code}` | [{rule}](#{rule}) |")));
            assert!(line.is_some(), "{code} has no line");
        }
        assert_eq!(page.matches("\n### ").count(), RULES.len(), "the page has a part for a rule that there is not");
    }
}
