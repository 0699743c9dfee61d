//! What the files say. Every line has a comment that says what it is for; what must be changed is marked.

use std::path::Path;

use serde_json::{Value, json};

use super::super::Failure;
use super::super::args::{DEFAULT_AUDIENCE, Platform};
use super::super::{cedar, shell};
use super::broker::Broker;
use super::platform::Proof;
use crate::governance::check::placeholder;
use crate::jose::es256::SigningKey;
use crate::model::{AudienceUri, Scope, ScopeSet, Secret, UnixTime, WorkloadId};
use crate::policy::{SCHEMA, SCHEMA_FILE};

/// Marks a line that its reader is to change.
pub(super) const EDIT: &str = "EDIT";

/// How long the first workload may live, and when somebody should look at it again.
const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);
const REVIEW: std::time::Duration = std::time::Duration::from_secs(335 * 86_400);

/// A file to be.
pub(super) struct File {
    /// Below the folder.
    pub path: String,
    pub text: Secret<String>,
    /// Nobody but its owner may read it.
    pub is_secret: bool,
}

/// What the files are about.
pub(super) struct Draft<'a> {
    pub id: &'a WorkloadId,
    pub audience: &'a AudienceUri,
    pub scopes: ScopeSet,
    pub owner: String,
    pub broker: Broker,
    pub proof: &'a Proof,
    pub today: UnixTime,
}

impl File {
    fn of(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: Secret::new(text.into()), is_secret: false }
    }

    /// The marked lines, by their numbers, and what is said about each.
    pub(super) fn marked(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = if self.is_secret { "" } else { self.text.expose() }.lines().enumerate();
        lines.filter_map(|(at, line)| Some((at + 1, line.split_once(&format!("{EDIT}: "))?.1)))
    }
}

impl Draft<'_> {
    /// All of them, `dir` being where they will lie.
    pub(super) fn files(&self, dir: &Path) -> Result<Vec<File>, Failure> {
        let id = self.id;
        let mut files = vec![
            File::of("jitney.toml", self.config()),
            File::of(format!("policies/workloads/{id}.toml"), self.workload()),
            File::of(format!("policies/audiences/{}.toml", file_name(self.audience)), self.resource_server()),
            File::of(format!("policies/{id}.cedar"), self.policy()),
            File::of(format!("policies/tests/{id}.toml"), self.cases()),
            File::of(format!("policies/{SCHEMA_FILE}"), SCHEMA),
            File::of(
                ".jitney/.gitignore",
                "# Private keys, tokens and the broker's own state: nothing here belongs in git.\n*\n",
            ),
        ];
        if self.proof.platform == Platform::Key {
            let failed = |error: crate::jose::JoseError| {
                Failure::new(format!("no key can be made: {error}"), "try again: the system gave no randomness")
            };
            let (key, pem) = SigningKey::generate().map_err(failed)?;
            let jwks = json!({ "keys": [key.public().to_jwk()] });
            files.push(File::of(format!("policies/keys/{id}.jwks.json"), format!("{jwks:#}\n")));
            files.push(File { path: format!(".jitney/{id}.pem"), text: pem, is_secret: true });
            files.push(File::of("workload.env", self.settings(dir)));
        }
        Ok(files)
    }

    /// The options with which the workload asks for what its policy permits.
    pub(super) fn asked(&self) -> String {
        let scopes: Vec<String> = self.scopes.iter().map(|scope| shell::quoted(&asked(scope))).collect();
        format!("--audience {} --scope {}", shell::quoted(self.audience.as_str()), scopes.join(" --scope "))
    }

    fn config(&self) -> String {
        let Broker { listen, is_example, is_remote, .. } = &self.broker;
        let url = self.broker.url();
        let issuer = if *is_example {
            format!("{EDIT}: the URL at which jobs and pods reach this broker; it stands in every token")
        } else {
            "its URL, and its name in every token".into()
        };
        let listening = if *is_remote {
            format!(
                "{EDIT}: behind a proxy that ends TLS this will do; else its own address, with tls_cert and tls_key"
            )
        } else {
            "this machine alone; for others: another address, with tls_cert and tls_key".into()
        };
        let mut text = format!(
            "# A broker, for `jitney serve --config jitney.toml`. Paths start at this file. All settings: docs/configuration.md\n\
             [server]  # what clients see of it\n\
             issuer = {}  # {issuer}\n\
             listen = {}  # {listening}\n\n\
             [policies]  # what may be granted\n\
             dir = \"policies\"  # read again within two seconds of a change\n\n\
             [store]  # where leases and revocations are kept\n\
             url = \"embedded:.jitney/store\"  # one broker on this machine; several share redis:// or rediss://\n\n\
             [keys]  # the keys that sign tokens\n\
             dir = \".jitney/keys\"  # made at the first start, mode 0600\n\n\
             [audit]  # the log of decisions\n\
             path = \".jitney/audit.jsonl\"  # `jitney audit verify --file` checks that nobody changed it\n\n\
             [admin]  # for operators\n\
             socket = \".jitney/admin.sock\"  # mode 0600: who may open it may end everything\n",
            quoted(url),
            quoted(listen),
        );
        if let Some(issuer) = self.proof.issuer.as_deref().filter(|_| self.proof.platform == Platform::Kubernetes) {
            text.push_str(&format!(
                "\n# Where the cluster's issuer has a private address, take the two # away:\n\
                 # [federation]\n# allow_private = [{}]\n",
                quoted(issuer)
            ));
        }
        text
    }

    fn workload(&self) -> String {
        let (id, audience) = (self.id, self.audience);
        format!(
            "# The workload `{id}`: one job or service that asks for tokens. The name of this file is its id.\n\
             owner = {}  # who answers for it, and is asked before it expires\n\
             purpose = {}  # {EDIT}: why it exists, in a sentence\n\
             expires = {}  # the last day it gets anything, to its end in UTC\n\
             review = {}  # from this day on the broker warns of that end\n\n{}",
            quoted(&self.owner),
            quoted(&placeholder::of_workload(audience.as_str())),
            day(self.today.plus(YEAR)),
            day(self.today.plus(REVIEW)),
            self.proof.identity,
        )
    }

    fn resource_server(&self) -> String {
        let is_example = self.audience.as_str() == DEFAULT_AUDIENCE;
        let mut text = format!(
            "# An audience: a resource server, for which tokens are. It checks them with the keys that the broker publishes.\n\
             id = {}  # {}\n\
             owner = {}  # who answers for it\n\
             purpose = {}  # {EDIT}: what it is, in a sentence\n\
             max_ttl = \"10m\"  # the longest a token for it may live\n\
             max_lifetime = \"1h\"  # the longest a chain of renewals may last\n\n\
             [scopes]  # everything that may be asked for here\n",
            quoted(self.audience.as_str()),
            if is_example {
                format!("{EDIT}: its URL, the `aud` of its tokens; change it in the policy and its tests too")
            } else {
                "its URL, the `aud` of its tokens".into()
            },
            quoted(&self.owner),
            quoted(&placeholder::of_audience(self.id.as_str())),
        );
        for scope in &self.scopes {
            let (name, allows) = (quoted(scope.as_str()), quoted(&placeholder::of_scope(scope.as_str())));
            text.push_str(&format!("{name} = {allows}  # {EDIT}: what it allows, in a sentence\n"));
        }
        text
    }

    fn policy(&self) -> String {
        let (id, audience) = (self.id, self.audience);
        let mut text = format!(
            "// What the workload `{id}` may do. What no policy permits is refused, and each scope needs a permit of its own.\n"
        );
        for (scope, name) in self.permits() {
            let is = if scope.as_str().ends_with(":*") { "in" } else { "==" };
            text.push_str(&format!(
                "\n@id(\"{name}\")  // its name in refusals and in the audit log\n\
                 @max_ttl(\"5m\")  // the longest a token by this permit may live\n\
                 permit (  // to narrow it, write before the last semicolon: when {{ context.task like \"nightly-*\" }}\n  \
                 principal == Jitney::Workload::\"{id}\",  // who\n  \
                 action == Jitney::Action::\"mint\",  // may ask for a token\n  \
                 resource {is} Jitney::Scope::\"{audience} {scope}\"  // for what: an audience, a space, a scope of it\n\
                 );  // the end of the permit\n"
            ));
        }
        text
    }

    /// Each scope, and the name of its permit.
    fn permits(&self) -> Vec<(&Scope, String)> {
        let mut named: Vec<(&Scope, String)> = Vec::new();
        for scope in &self.scopes {
            let name = cedar::policy_id(self.id, scope);
            // Two long or odd scopes may come to one name.
            let is_taken = named.iter().any(|(_, other)| *other == name);
            let name = if is_taken { format!("{}:{}", self.id, named.len() + 1) } else { name };
            named.push((scope, name));
        }
        named
    }

    /// A case for each permit, and one that must be refused: what CI runs on a change of the policies.
    fn cases(&self) -> String {
        let mut text = format!(
            "# What `{}` must get and must not: `jitney policy test policies` decides each case as a broker would.\n\
             now = {}  # the moment of every case, so that they do not end with the workload\n",
            self.id,
            self.today.rfc3339(),
        );
        for (scope, permit) in self.permits() {
            let name = quoted(&format!("{} gets {scope}", self.id));
            text.push_str(&self.case(&name, "allow", scope, "5m"));
            text.push_str(&format!("by = {}  # the policy that permits it\n", quoted(&permit)));
        }
        if let Some(scope) = self.scopes.iter().next() {
            let name = quoted(&format!("{} gets {scope} for five minutes at most", self.id));
            text.push_str(&self.case(&name, "deny", scope, "6m"));
            text.push_str("because = \"invalid_request\"  # a ttl above the longest\n");
        }
        text
    }

    fn case(&self, name: &str, expect: &str, scope: &Scope, ttl: &str) -> String {
        format!(
            "\n[[case]]  # one request\n\
             name = {name}  # what it is about\n\
             expect = \"{expect}\"  # allow or deny\n\
             workload = {}  # who asks\n\
             audience = {}  # for which audience\n\
             scope = {}  # for what\n\
             task = {}  # for which task\n\
             ttl = \"{ttl}\"  # for how long\n",
            quoted(self.id.as_str()),
            quoted(self.audience.as_str()),
            quoted(&asked(scope)),
            quoted(&format!("{}-1", self.id)),
        )
    }

    fn settings(&self, dir: &Path) -> String {
        let at = |path: String| dir.join(path).display().to_string();
        let settings = [
            ("JITNEY_URL", self.broker.url().to_owned(), "where the broker is, and the name it must give itself"),
            ("JITNEY_WORKLOAD", self.id.to_string(), "who asks"),
            ("JITNEY_KEY_FILE", at(format!(".jitney/{}.pem", self.id)), "what it signs with; never in git"),
            ("JITNEY_ADMIN", format!("unix:{}", at(".jitney/admin.sock".into())), "where an operator's commands go"),
        ];
        let mut text = String::from("# The workload's settings on this machine, for `. ./workload.env`.\n");
        for (name, value, why) in settings {
            text.push_str(&format!("export {name}={}  # {why}\n", shell::quoted(&value)));
        }
        text
    }
}

/// A string of TOML: JSON's is one, where no control character stands in it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The day of a moment, UTC.
fn day(at: UnixTime) -> String {
    at.rfc3339().chars().take(10).collect()
}

/// A scope that may be asked for: of an open one, some instance.
fn asked(scope: &Scope) -> String {
    let text = scope.as_str();
    text.strip_suffix(":*").map_or_else(|| text.to_owned(), |stem| format!("{stem}:1"))
}

/// A file's name for an audience: its host, or what there is of it.
fn file_name(audience: &AudienceUri) -> String {
    let uri = audience.as_str();
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let name: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "audience".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_s_file_has_a_name_that_is_read() {
        for (uri, name) in [
            ("https://api.example.com", "api.example.com"),
            ("https://api.example.com:8443/orders?v=1", "api.example.com-8443"),
            ("urn:orders", "urn-orders"),
            ("x:..", "x"),
            ("x:/", "x"),
            ("x://", "audience"),
        ] {
            assert_eq!(file_name(&AudienceUri::parse(uri).unwrap()), name);
        }
    }

    #[test]
    fn of_an_open_scope_some_instance_is_asked_for() {
        assert_eq!(asked(&Scope::parse("orders:read:*").unwrap()), "orders:read:1");
        assert_eq!(asked(&Scope::parse("orders:read").unwrap()), "orders:read");
    }
}
