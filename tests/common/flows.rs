//! What workloads, resource servers and operators do, each in a word.

use serde_json::{Value, json};

use super::{Answer, Ask, Audit, Broker, Request, Token, eventually};

impl Broker {
    /// Asks for a token.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Answer {
        self.send(&ask.request())
    }

    /// A token of this workload for this task.
    #[track_caller]
    pub fn mint(&self, workload: &str, task: &str) -> Token {
        self.granted(&Ask::of(workload).task(task))
    }

    /// The token that this request must be granted.
    #[track_caller]
    pub fn granted(&self, ask: &Ask) -> Token {
        Token::of(&self.ask(ask).expect(200))
    }

    /// Completes a task by the workload's own credential.
    #[track_caller]
    pub fn complete(&self, workload: &str, task: &str) -> Answer {
        self.send(&Ask::bare(workload).at(&complete_path(task)))
    }

    /// Completes a task by a token.
    #[track_caller]
    pub fn complete_by(&self, token: &str, task: &str) -> Answer {
        self.send(&Request::new("POST", &complete_path(task)).bearer(token))
    }

    /// Renews a lease, for this many seconds where they are told.
    #[track_caller]
    pub fn renew(&self, workload: &str, lease: &str, ttl: Option<u64>) -> Answer {
        let ask = Ask::bare(workload);
        let ask = if let Some(ttl) = ttl { ask.with("ttl", ttl) } else { ask };
        self.send(&ask.at(&format!("/v1/leases/{lease}/renew")))
    }

    /// Revokes a token (RFC 7009).
    #[track_caller]
    pub fn revoke(&self, workload: &str, token: &str) -> Answer {
        self.send(&Ask::bare(workload).with("token", token).at("/oauth2/revoke"))
    }

    /// What the broker tells this client about a token.
    #[track_caller]
    pub fn introspect(&self, client: &str, token: &str) -> Value {
        self.send(&Ask::bare(client).with("token", token).at("/oauth2/introspect")).expect(200).json()
    }

    /// Whether a token stands, as its own resource server is told.
    #[track_caller]
    pub fn stands(&self, token: &Token) -> bool {
        self.introspect(&token.claim("aud"), &token.text)["active"].as_bool().unwrap()
    }

    /// A GET of the admin API that must succeed.
    #[track_caller]
    pub fn operator_sees(&self, path: &str) -> Value {
        self.admin(&Request::get(path)).expect(200).json()
    }

    /// A POST of the admin API.
    #[track_caller]
    pub fn operator(&self, path: &str, body: Value) -> Answer {
        self.admin(&Request::json(path, &body))
    }

    /// An operator's revocation that must succeed.
    #[track_caller]
    pub fn operator_revokes(&self, mut selector: Value) -> Value {
        selector["reason"] = json!("a test");
        self.operator("/admin/v1/revocations", selector).expect(200).json()
    }

    /// The audit log, its chain checked.
    pub fn audit(&self) -> Audit {
        Audit::read(&self.audit_path())
    }

    /// The line of a decision; ends are written down behind their acknowledgement, so it may take a moment.
    #[track_caller]
    pub fn decision(&self, id: &str) -> Value {
        assert!(!id.is_empty(), "there is no decision_id");
        eventually(&format!("decision {id} is in the audit log"), || self.audit().decision(id).cloned())
    }

    /// A line of the audit log that says all this.
    #[track_caller]
    pub fn audited(&self, members: &[(&str, &str)]) -> Value {
        eventually(&format!("{members:?} is in the audit log"), || self.audit().find(members).cloned())
    }
}

/// The path that completes a task.
pub fn complete_path(task: &str) -> String {
    format!("/v1/tasks/{}/complete", task.replace('%', "%25").replace('/', "%2F"))
}
