//! What a platform's token says of itself, unproven, and the line of the job or pod that mends a wrong audience. Offers no claim
//! that would let a token in: who is let in is for the owner of a workload to decide. Reads no setting but where it runs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::super::admin::relative;
use super::scene::Scene;
use crate::client::BrokerAddress;
use crate::jose::Compact;
use crate::model::{Clock, UnixTime};

/// What it says.
#[derive(Debug, Clone)]
pub(super) struct Said {
    iss: String,
    sub: String,
    pub aud: String,
    /// It names several audiences: no broker takes it, for each of them could show it.
    pub is_for_several: bool,
    pub exp: Option<UnixTime>,
    /// By which its workload's file would know it.
    pins: Vec<(&'static str, String)>,
    /// All that it says in words, by name; what lies within another claim behind a slash.
    pub claims: BTreeMap<String, String>,
    is_pod: bool,
}

/// Claims that pin a tenant, platform by platform: the first that there is decides, and those behind it narrow.
const PINS: [(&str, &[&str]); 2] = [
    ("repository_id", &["environment", "ref", "event_name"]),
    ("project_id", &["environment", "ref", "ref_protected"]),
];

impl Said {
    pub(super) fn read(token: &str) -> Result<Self, String> {
        let claims = Compact::parse(token).and_then(|compact| compact.claims()).map_err(|error| error.to_string())?;
        Ok(Self {
            iss: text(&claims, "iss"),
            sub: text(&claims, "sub"),
            aud: text(&claims, "aud"),
            is_for_several: claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1),
            exp: claims.get("exp").and_then(Value::as_u64).map(UnixTime::from_secs),
            pins: pins(&claims),
            claims: in_words(&claims),
            is_pod: claims.contains_key("kubernetes.io"),
        })
    }
}

/// Where the platform is told another audience. That the workload's file names the token's own is the way only where no
/// platform is known that takes one: a token for the cluster's API, say, is not to be shown to a broker at all.
pub(super) fn audience(scene: &Scene, said: &Said, id: &str) -> String {
    let issuer = scene.broker.as_ref().map(BrokerAddress::issuer).unwrap_or_default();
    if scene.setting("JITNEY_ASSERTION_FILE").is_none() && scene.setting("JITNEY_ID_TOKEN").is_some() {
        return format!("in the job: id_tokens: {{ JITNEY_ID_TOKEN: {{ aud: {issuer} }} }}");
    }
    if said.is_pod {
        return format!(
            "in the pod: serviceAccountToken: {{ audience: {issuer}, path: jitney }}, in a projected volume"
        );
    }
    if said.is_for_several {
        return format!(
            "have the platform make a token for this broker alone, whose aud is {issuer} and names nobody besides"
        );
    }
    format!(
        "have the platform make a token whose aud is {issuer}; where it cannot, and its tokens go nowhere else: audience = {} in \
         policies/workloads/{id}.toml",
        quoted(&said.aud)
    )
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iss {}, sub {}, aud {}, ", self.iss, self.sub, self.aud)?;
        match self.exp {
            Some(exp) => write!(f, "exp {} ({})", exp.rfc3339(), relative(exp, Clock::system().now()))?,
            None => f.write_str("without exp")?,
        }
        self.pins.iter().try_for_each(|(name, value)| write!(f, ", {name} {value}"))
    }
}

fn pins(claims: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let Some((first, rest)) = PINS.iter().find(|(first, _)| claims.contains_key(*first)) else { return Vec::new() };
    let names = std::iter::once(first).chain(*rest);
    let told = names.map(|name| (*name, text(claims, name))).filter(|(_, value)| !matches!(value.as_str(), "" | "-"));
    told.collect()
}

/// Claims that are compared: those that are a string, a whole number or a boolean, as rules and templates name them.
fn in_words(claims: &Map<String, Value>) -> BTreeMap<String, String> {
    fn gather(within: &str, claims: &Map<String, Value>, all: &mut BTreeMap<String, String>) {
        for (name, value) in claims {
            let name = format!("{within}{name}");
            match value {
                Value::String(text) => drop(all.insert(name, text.clone())),
                Value::Bool(_) | Value::Number(_) => drop(all.insert(name, value.to_string())),
                Value::Object(inner) => gather(&format!("{name}/"), inner, all),
                _ => {}
            }
        }
    }
    let mut all = BTreeMap::new();
    gather("", claims, &mut all);
    all
}

/// A string of TOML: JSON's is one.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A claim as text; of a list of one, that one.
fn text(claims: &Map<String, Value>, name: &str) -> String {
    match claims.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
        None => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use serde_json::json;

    use super::*;

    fn told(claims: Value) -> String {
        let token = format!("{}.{}.AAAA", B64.encode(r#"{"alg":"RS256"}"#), B64.encode(claims.to_string()));
        Said::read(&token).unwrap().to_string()
    }

    #[test]
    fn a_token_for_several_is_told_from_one_for_one() {
        let said = |aud: Value| {
            let token =
                format!("{}.{}.AAAA", B64.encode(r#"{"alg":"RS256"}"#), B64.encode(json!({"aud": aud}).to_string()));
            Said::read(&token).unwrap().is_for_several
        };
        assert!(said(json!(["https://b", "x"])));
        assert!(!said(json!(["https://b"])) && !said(json!("https://b")) && !said(Value::Null));
    }

    #[test]
    fn a_token_is_told_by_what_its_platform_pins() {
        let run = json!({"iss": "https://g", "sub": "repo:o/r", "aud": "https://b", "repository_id": "74", "ref": "refs/heads/a",
                         "environment": "", "event_name": "push"});
        assert_eq!(
            told(run),
            "iss https://g, sub repo:o/r, aud https://b, without exp, repository_id 74, ref refs/heads/a, event_name push"
        );
        let job = told(json!({"iss": "https://l", "project_id": 20, "environment": "production", "ref": "main"}));
        assert!(job.ends_with("project_id 20, environment production, ref main"), "{job}");
        let pod = told(json!({"iss": "https://c", "sub": "system:serviceaccount:a:b", "aud": ["https://b"]}));
        assert!(pod.contains("aud https://b"), "{pod}");
    }

    #[test]
    fn what_a_token_says_within_a_claim_is_named_as_templates_name_it() {
        let claims = json!({"sub": "s", "exp": 1, "kubernetes.io": {"pod": {"uid": "u"}}, "groups": ["g"]});
        let said: Vec<_> = in_words(claims.as_object().unwrap()).into_iter().collect();
        let expected = [("exp", "1"), ("kubernetes.io/pod/uid", "u"), ("sub", "s")];
        assert_eq!(said, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
