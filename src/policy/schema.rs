//! The schema that every policy is validated against: embedded, so that a broker and its policies cannot disagree.
//!
//! Owns the names of the schema's types. A copy in the policies directory is for editors and is only compared.

use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{EntityTypeName, EntityUid, Schema, SchemaFragment, ValidationMode, Validator};

use super::diagnostic::{Diagnostic, Severity, SourceFile};

/// The shipped schema's text, `policies/jitney.cedarschema`.
pub const SCHEMA: &str = include_str!("../../policies/jitney.cedarschema");

/// How the schema's file is called in a policies directory.
pub const SCHEMA_FILE: &str = "jitney.cedarschema";

/// The schema, ready to use, and the names that decisions need.
pub(super) struct Words {
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
        let file = SourceFile { path: SCHEMA_FILE.into(), text: SCHEMA.into() };
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| Diagnostic::of_cedar(Severity::Error, "schema", &file, &error))?;
        let name = |name: &str| {
            EntityTypeName::from_str(name).map_err(|error| Diagnostic::error("schema", format!("{name}: {error}")))
        };
        let action = name("Jitney::Action")?;
        Ok(Self {
            validator: Validator::new(schema),
            workload: name("Jitney::Workload")?,
            scope: name("Jitney::Scope")?,
            audience: name("Jitney::Audience")?,
            mint: EntityUid::from_type_name_and_id(action, "mint".parse().unwrap_or_else(|never| match never {})),
        })
    }

    /// Validates the policies of one file, strictly.
    pub fn validate(&self, file: &SourceFile, set: &cedar_policy::PolicySet, findings: &mut Vec<Diagnostic>) {
        let result = self.validator.validate(set, ValidationMode::Strict);
        let cedar = |severity, error| Diagnostic::of_cedar(severity, "cedar-schema", file, error);
        findings.extend(result.validation_errors().map(|error| cedar(Severity::Error, error)));
        findings.extend(result.validation_warnings().map(|error| cedar(Severity::Warning, error)));
    }
}

/// Compares a directory's schema with the embedded one: comments and order may differ, meaning may not.
pub(super) fn compare(file: &SourceFile, findings: &mut Vec<Diagnostic>) {
    let theirs = match SchemaFragment::from_cedarschema_str(&file.text) {
        Ok((theirs, _)) => theirs,
        Err(error) => return findings.push(Diagnostic::of_cedar(Severity::Error, "schema", file, &error)),
    };
    let ours = SchemaFragment::from_cedarschema_str(SCHEMA).ok();
    // As JSON, comments are gone and names in order.
    if theirs.to_json_value().ok() != ours.and_then(|(ours, _)| ours.to_json_value().ok()) {
        findings.push(
            Diagnostic::warning("schema", "this schema differs from the one of this version of jitney")
                .at(file, 0..0)
                .help("policies are validated against jitney's own; replace this file, or delete it"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(text: &str) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        compare(&SourceFile { path: "jitney.cedarschema".into(), text: text.into() }, &mut findings);
        findings
    }

    #[test]
    fn the_embedded_schema_is_one() {
        assert!(Words::new().is_ok());
    }

    #[test]
    fn another_comment_is_no_difference_another_attribute_is() {
        assert!(compared(&format!("// ours\n{SCHEMA}")).is_empty());
        let found = compared(&SCHEMA.replace("ttl: Long", "ttl: String"));
        assert_eq!((found[0].code, found[0].severity), ("schema", Severity::Warning));
        let found = compared("namespace Jitney {");
        assert_eq!((found[0].code, found[0].severity), ("schema", Severity::Error));
    }
}
