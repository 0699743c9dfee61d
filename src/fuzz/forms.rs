//! The token endpoint's form, as far as a request's types.

use super::shared::{NOW, cut};
use crate::broker::TokenAsk;
use crate::broker::mint::parse_ttl;
use crate::http::form::Form;
use crate::http::oauth::ask;
use crate::model::{AudienceUri, ScopeSet, TaskId, UnixTime};

/// A form body; or, behind a `?`, the query of the operators' list of leases.
pub fn token_form(data: &[u8]) {
    if let [b'?', query @ ..] = data {
        return list_of_leases(query);
    }
    let Ok(form) = Form::parse(data) else { return };
    let asked = ask(&form);
    bounded(&asked);
    assert_eq!(form.has_client_auth(), asked.auth.assertion.is_some() || asked.auth.assertion_type.is_some());
    // What was read, written as an encoder writes it, is read as the same.
    let body = written(&asked);
    let again = Form::parse(body.as_bytes()).expect("what an encoder writes parses");
    same(&asked, &ask(&again));
    types(&asked);
}

/// No value is empty, and none holds what could end a line, a header or a log's record.
fn bounded(asked: &TokenAsk<'_>) {
    let values = fields(asked).into_iter().filter_map(|(_, value)| value).chain(asked.targets.iter().copied());
    for (count, value) in (1..).zip(values) {
        assert!(count <= 64 && !value.is_empty() && !value.contains(char::is_control));
    }
}

fn fields<'a>(asked: &TokenAsk<'a>) -> [(&'static str, Option<&'a str>); 7] {
    [
        ("grant_type", asked.grant_type),
        ("client_assertion_type", asked.auth.assertion_type),
        ("client_assertion", asked.auth.assertion),
        ("client_id", asked.auth.client_id),
        ("task", asked.task),
        ("ttl", asked.ttl),
        ("scope", asked.scope),
    ]
}

fn written(asked: &TokenAsk<'_>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields(asked) {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    for target in &asked.targets {
        form.append_pair("resource", target);
    }
    form.finish()
}

fn same(one: &TokenAsk<'_>, other: &TokenAsk<'_>) {
    assert_eq!(fields(one), fields(other));
    assert_eq!(one.targets, other.targets);
}

/// Each typed value says what the text said.
fn types(asked: &TokenAsk<'_>) {
    if let Some(task) = asked.task.and_then(|task| TaskId::parse(task).ok()) {
        assert_eq!(Some(task.as_str()), asked.task);
    }
    if let Some(scopes) = asked.scope.and_then(|scopes| ScopeSet::parse(scopes).ok()) {
        assert!((1..=ScopeSet::MAX).contains(&scopes.len()));
        let text = asked.scope.unwrap_or_default();
        assert!(scopes.iter().all(|scope| text.split(' ').any(|part| part == scope.as_str())));
    }
    if let Ok(Some(ttl)) = parse_ttl(asked.ttl) {
        assert!((1..1_000_000_000).contains(&ttl.as_secs()));
        let digits = asked.ttl.unwrap_or_default().trim_start_matches('0');
        assert_eq!(ttl.as_secs().to_string(), digits);
    }
    for target in asked.targets.iter().filter_map(|target| AudienceUri::parse(target).ok()) {
        assert!(target.matches(target.as_str()));
    }
}

fn list_of_leases(query: &[u8]) {
    let (query, _) = cut(query, b'\n');
    let Ok(query) = std::str::from_utf8(query) else { return };
    if let Ok((_, _, cursor, limit)) = crate::http::admin::leases::read_query(query, UnixTime::from_secs(NOW)) {
        assert!((1..=1000).contains(&limit) && cursor.is_none_or(|cursor| !cursor.is_empty()));
    }
}
