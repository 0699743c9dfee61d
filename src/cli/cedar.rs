//! What is written for Cedar to read.

use crate::model::{Scope, WorkloadId};

/// The longest `@id` of a policy.
const MAX_ID: usize = 128;

/// A name for the permit of one scope: in refusals and in the audit log it says by itself what it grants.
pub fn policy_id(workload: &WorkloadId, scope: &Scope) -> String {
    let scope = scope.as_str();
    let scope = scope.strip_suffix(":*").map_or_else(|| scope.to_owned(), |stem| format!("{stem}:any"));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-');
    let id = format!("{workload}:{scope}");
    id.chars().map(|c| if fits(c) { c } else { '-' }).take(MAX_ID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_named_by_what_it_grants() {
        let of = |scope: &str| policy_id(&WorkloadId::parse("w").unwrap(), &Scope::parse(scope).unwrap());
        assert_eq!(of("orders:read"), "w:orders:read");
        assert_eq!(of("orders:read:*"), "w:orders:read:any");
        assert_eq!(of("https://a/b?c"), "w:https://a/b-c");
        assert_eq!(of(&"a".repeat(128)).len(), MAX_ID);
    }
}
