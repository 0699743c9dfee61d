//! The codes as the lints name them: a misspelt one does not compile.

use super::rules::{Rule, of};

macro_rules! codes {
    ($($name:ident = $code:literal,)+) => {
        $(pub(super) fn $name() -> &'static Rule {
            of($code)
        })+

        #[cfg(test)]
        mod tests {
            #[test]
            fn every_code_is_in_the_table() {
                $(assert_eq!(super::$name().code, $code);)+
            }
        }
    };
}

codes! {
    link = "link",
    set_empty = "set-empty",
    owner_missing = "owner-missing",
    owner_vague = "owner-vague",
    purpose_missing = "purpose-missing",
    purpose_vague = "purpose-vague",
    purpose_copied = "purpose-copied",
    placeholder_left = "placeholder-left",
    identity_missing = "identity-missing",
    expiry_missing = "expiry-missing",
    expiry_distant = "expiry-distant",
    expiry_near = "expiry-near",
    expired = "expired",
    review_near = "review-near",
    review_due = "review-due",
    standing_access = "standing-access",
    principal_any = "principal-any",
    resource_any = "resource-any",
    resource_audience = "resource-audience",
    condition_missing = "condition-missing",
    condition_vacuous = "condition-vacuous",
    claim_wildcard = "claim-wildcard",
    claim_misplaced = "claim-misplaced",
    task_ambiguous = "task-ambiguous",
    ttl_above = "ttl-above",
    permit_never = "permit-never",
    permit_shadowed = "permit-shadowed",
    name_never = "name-never",
    guard_unmatched = "guard-unmatched",
    condition_fails = "condition-fails",
    proof_missing = "proof-missing",
    invariant_broken = "invariant-broken",
    invariant_unproven = "invariant-unproven",
    test_broken = "test-broken",
    widening_broken = "widening-broken",
    workload_ungranted = "workload-ungranted",
    scope_ungranted = "scope-ungranted",
    audience_unused = "audience-unused",
    key_weak = "key-weak",
    key_shared = "key-shared",
    secret = "secret",
    suppression = "suppression",
}
