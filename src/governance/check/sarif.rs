//! The report as SARIF 2.1.0 (OASIS), for code hosts that show findings beside the lines of a change.

use std::path::Path;

use serde_json::{Value, json};

use super::finding::{Finding, Report};
use super::rules::{RULES, Rule};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

impl Report {
    /// The document.
    pub fn sarif(&self) -> Value {
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "jitney policy check",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": RULES.iter().map(of_rule).collect::<Vec<_>>(),
                }},
                "columnKind": "unicodeCodePoints",
                "results": self.findings.iter().map(of_finding).collect::<Vec<_>>(),
                "invocations": [{"executionSuccessful": true}],
            }],
        })
    }
}

fn of_rule(rule: &Rule) -> Value {
    json!({
        "id": rule.code,
        "shortDescription": {"text": rule.about},
        "help": {"text": format!("{}. {}. See {}.", rule.owasp, rule.nist, rule.docs())},
        "defaultConfiguration": {"level": rule.severity.as_str()},
        "properties": {"tags": ["security", rule.owasp, rule.nist]},
    })
}

fn of_finding(finding: &Finding) -> Value {
    let told = &finding.diagnostic;
    let end = told.end();
    let text = match &told.help {
        Some(mend) => format!("{}. To mend it: {mend}", told.message),
        None => told.message.clone(),
    };
    let index = RULES.iter().position(|rule| rule.code == finding.rule.code);
    let mut result = json!({
        "ruleId": finding.rule.code,
        "ruleIndex": index,
        "level": told.severity.as_str(),
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&told.file)},
            "region": {
                "startLine": told.line, "startColumn": told.column, "endLine": end.0, "endColumn": end.1,
            },
        }}],
        // By what it is about rather than by its line, so that the same finding is known again when lines move.
        "partialFingerprints": {"finding/v1": format!("{}:{}:{}", finding.rule.code, finding.path, finding.subject)},
    });
    if let Some(why) = &finding.suppressed {
        let justification = format!("{} (until {})", why.reason, why.until);
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": justification}]);
    }
    result
}

/// A path as SARIF wants it: relative as it was named, or of this machine.
fn uri(path: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    let encoded: String = path
        .bytes()
        .map(|byte| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    if Path::new(path).is_absolute() { format!("file://{encoded}") } else { encoded }
}
