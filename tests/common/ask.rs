//! A form for one of the endpoints: good, until a test changes it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{API, Assertion, JWT_BEARER, Request};

/// Parameters, and whose fresh assertion goes with them unless one is set.
#[derive(Debug, Clone)]
pub struct Ask {
    client: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Ask {
    /// What this workload sends to the token endpoint: `orders:read` at the API, for a task of its own.
    pub fn of(workload: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let task = format!("t-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self::bare(workload)
            .with("grant_type", "client_credentials")
            .with("task", &task)
            .with("resource", API)
            .with("scope", "orders:read")
    }

    /// Nothing but this client's authentication.
    pub fn bare(client: &str) -> Self {
        Self { client: Some(client.to_owned()), parameters: Vec::new() }
    }

    /// Nothing at all.
    pub const fn nobody() -> Self {
        Self { client: None, parameters: Vec::new() }
    }

    /// For this task.
    pub fn task(self, task: &str) -> Self {
        self.with("task", task)
    }

    /// With this parameter in place of another of its name.
    pub fn with(self, name: &str, value: impl ToString) -> Self {
        self.without(name).also(name, value)
    }

    /// With this parameter besides.
    pub fn also(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Without this parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(other, _)| other != name);
        self
    }

    /// With this assertion, in place of a fresh one.
    pub fn assertion(mut self, text: impl ToString) -> Self {
        self.client = None;
        self.with("client_assertion_type", JWT_BEARER).with("client_assertion", text)
    }

    /// The form, encoded; its assertion is made now.
    pub fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&self.parameters);
        if let Some(client) = &self.client {
            form.append_pair("client_assertion_type", JWT_BEARER);
            form.append_pair("client_assertion", &Assertion::of(client).text());
        }
        form.finish()
    }

    /// As a request to this path.
    pub fn at(&self, path: &str) -> Request {
        Request::form(path, &self.form())
    }

    /// As a request to the token endpoint.
    pub fn request(&self) -> Request {
        self.at("/oauth2/token")
    }
}
