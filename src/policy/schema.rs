//! The schema that every policy is validated against: embedded, so that a broker and its policies cannot disagree.
//!
//! Owns the names of the schema's types. A copy in the policies directory is for editors and is only compared.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{
    Effect, EntityTypeName, EntityUid, PolicyId, Schema, SchemaFragment, ValidationMode, ValidationWarning, Validator,
};

use super::diagnostic::{Diagnostic, Severity, SourceFile};

/// The shipped schema's text, `policies/jitney.cedarschema`.
pub const SCHEMA: &str = include_str!("../../policies/jitney.cedarschema");

/// How the schema's file is called in a policies directory.
pub const SCHEMA_FILE: &str = "jitney.cedarschema";

/// Where the shipped schema's `Claims` begins; what identities keep is added behind it.
const CLAIMS: &str = "type Claims = {";

/// What `Claims` has of its own: no identity need keep these.
const OWN_CLAIMS: [&str; 2] = ["kid", "iss"];

/// The schema, ready to use, and the names that decisions need.
pub(super) struct Words {
    /// The shipped schema, with the claims that identities keep.
    text: String,
    validator: Validator,
    /// `Jitney::Workload`.
    pub workload: EntityTypeName,
    /// `Jitney::Scope`.
    pub scope: EntityTypeName,
    /// `Jitney::Audience`.
    pub audience: EntityTypeName,
    /// `Jitney::Action::"mint"`.
    pub mint: EntityUid,
}

impl Words {
    /// What is embedded, parsed once for all loads.
    pub fn shared() -> Result<&'static Self, Diagnostic> {
        static WORDS: LazyLock<Result<Words, Diagnostic>> = LazyLock::new(Words::new);
        WORDS.as_ref().map_err(Clone::clone)
    }

    /// Parses what is embedded. It fails only where the program was built with a broken schema.
    fn new() -> Result<Self, Diagnostic> {
        let name = |name: &str| {
            EntityTypeName::from_str(name).map_err(|error| Diagnostic::error("schema", format!("{name}: {error}")))
        };
        let action = name("Jitney::Action")?;
        Ok(Self {
            text: SCHEMA.to_owned(),
            validator: validator(SCHEMA)?,
            workload: name("Jitney::Workload")?,
            scope: name("Jitney::Scope")?,
            audience: name("Jitney::Audience")?,
            mint: EntityUid::from_type_name_and_id(action, "mint".parse().unwrap_or_else(|never| match never {})),
        })
    }

    /// The same, where policies may speak of these claims too; none where the shipped schema knows them all. A claim that
    /// nobody keeps stays an error: a `forbid` that waits for it would never apply.
    pub fn keeping(&self, claims: &BTreeSet<&str>) -> Result<Option<Self>, Diagnostic> {
        let own = |claim: &&&str| !OWN_CLAIMS.contains(*claim);
        let more: String = claims.iter().filter(own).map(|claim| format!("\n    {claim:?}?: String,")).collect();
        if more.is_empty() {
            return Ok(None);
        }
        let text = SCHEMA.replacen(CLAIMS, &format!("{CLAIMS}{more}"), 1);
        let validator = validator(&text)?;
        let (workload, scope, audience) = (self.workload.clone(), self.scope.clone(), self.audience.clone());
        Ok(Some(Self { text, validator, workload, scope, audience, mint: self.mint.clone() }))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Validates the policies of one file, strictly.
    pub fn validate(&self, file: &SourceFile, set: &cedar_policy::PolicySet, findings: &mut Vec<Diagnostic>) {
        let result = self.validator.validate(set, ValidationMode::Strict);
        // Policies are called here as their @id says.
        let cedar = |severity, policy: &PolicyId, error: &dyn miette::Diagnostic| {
            Diagnostic::of_cedar(severity, "cedar-schema", file, error).about(policy.as_ref())
        };
        findings.extend(result.validation_errors().map(|error| cedar(Severity::Error, error.policy_id(), error)));
        findings.extend(result.validation_warnings().map(|warning| {
            let guards_nothing = matches!(warning, ValidationWarning::ImpossiblePolicy(_))
                && set.policy(warning.policy_id()).is_some_and(|policy| policy.effect() == Effect::Forbid);
            match guards_nothing {
                true => cedar(Severity::Error, warning.policy_id(), warning).help(
                    "it can never apply, so it guards nothing; a claim it speaks of must be in some identity's `keep`",
                ),
                false => cedar(Severity::Warning, warning.policy_id(), warning),
            }
        }));
    }

    /// Compares a directory's schema with jitney's own, as shipped or with the claims that are kept here: comments and order
    /// may differ, meaning may not.
    pub fn compare(&self, file: &SourceFile, findings: &mut Vec<Diagnostic>) {
        if let Err(error) = SchemaFragment::from_cedarschema_str(&file.text) {
            return findings.push(Diagnostic::of_cedar(Severity::Error, "schema", file, &error));
        }
        let theirs = meaning(&file.text);
        if theirs != meaning(SCHEMA) && theirs != meaning(&self.text) {
            findings.push(
                Diagnostic::warning("schema", "this schema differs from the one of this version of jitney")
                    .at(file, 0..0)
                    .help("policies are validated against jitney's own; replace this file, or delete it"),
            );
        }
    }
}

/// Parses a schema of jitney's own making.
fn validator(text: &str) -> Result<Validator, Diagnostic> {
    let file = SourceFile { path: SCHEMA_FILE.into(), text: text.into() };
    let parsed = Schema::from_cedarschema_str(text);
    let (schema, _) = parsed.map_err(|error| Diagnostic::of_cedar(Severity::Error, "schema", &file, &error))?;
    Ok(Validator::new(schema))
}

/// What a schema means: as JSON, comments are gone and names in order.
fn meaning(text: &str) -> Option<serde_json::Value> {
    SchemaFragment::from_cedarschema_str(text).ok().and_then(|(schema, _)| schema.to_json_value().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(text: &str) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let kept = BTreeSet::from(["repository", "kubernetes.io/pod/uid", "kid", "a\"b\\c"]);
        assert!(Words::shared().unwrap().keeping(&BTreeSet::from(OWN_CLAIMS)).unwrap().is_none());
        let words = Words::shared().unwrap().keeping(&kept).unwrap().unwrap();
        words.compare(&SourceFile { path: "jitney.cedarschema".into(), text: text.into() }, &mut findings);
        findings
    }

    #[test]
    fn another_comment_is_no_difference_another_attribute_is() {
        assert!(compared(&format!("// ours\n{SCHEMA}")).is_empty());
        let with_claims =
            "type Claims = { repository?: String, \"kubernetes.io/pod/uid\"?: String, \"a\\\"b\\\\c\"?: String,";
        assert!(compared(&SCHEMA.replace("type Claims = {", with_claims)).is_empty());
        let found = compared(&SCHEMA.replace("type Claims = {", "type Claims = { other?: String,"));
        assert_eq!((found[0].code, found[0].severity), ("schema", Severity::Warning));
        let found = compared(&SCHEMA.replace("ttl: Long", "ttl: String"));
        assert_eq!((found[0].code, found[0].severity), ("schema", Severity::Warning));
        let found = compared("namespace Jitney {");
        assert_eq!((found[0].code, found[0].severity), ("schema", Severity::Error));
    }
}
