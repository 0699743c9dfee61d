//! One assertion or token that is taken now and was not: what a reviewer can picture, or try.
//!
//! Owns the choice of tokens worth trying, made of what the identities themselves ask for. Each is held against both trees as
//! a broker holds it, so what is shown is so; finding none proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::identity::{Known, Tokens, has_no_more_keys, names_no_more};
use crate::policy::{ClaimRule, Oidc, TaskNaming};

/// So many tokens are tried.
const TRIES: usize = 512;

/// What somebody can show to be a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// An assertion, signed with a key.
    Assertion {
        /// Who is proven: `iss` and `sub`.
        client: String,
        /// The key's first bytes, hashed.
        key: String,
        /// The name of it in the header.
        kid: Option<String>,
    },
    /// A platform's token.
    Token {
        /// Who is proven.
        client: String,
        /// Who signs it.
        iss: String,
        /// For whom it is; none where that is the broker's own issuer.
        aud: Option<String>,
        /// What it says.
        claims: BTreeMap<String, String>,
        /// Whether the caller may name any task, where a platform named it before.
        names_any_task: bool,
    },
}

/// A token that the identity at `at` takes, and nothing before did, or only for the task that it attests; and whether nothing
/// surely did.
pub(super) fn token(at: usize, head: &Known<'_>, base: &Known<'_>) -> Option<(Shown, bool)> {
    let new = &head.tokens[at];
    let of_issuer = || base.tokens.iter().filter(|old| old.oidc.issuer == new.oidc.issuer);
    let all = tokens(new.oidc, of_issuer().map(|old| old.oidc));
    let mut lesser = None;
    for claims in all {
        let first = head.tokens.iter().position(|tokens| tokens.take(new.oidc, &claims));
        if first != Some(at) {
            continue;
        }
        let shown = |names_any_task| Shown::Token {
            client: head.client.to_owned(),
            iss: new.oidc.issuer.to_string(),
            aud: new.oidc.audience.as_deref().map(str::to_owned),
            claims: claims.clone(),
            names_any_task,
        };
        let same_keys = |old: &&Tokens<'_>| has_no_more_keys(&new.oidc.keys, &old.oidc.keys);
        match of_issuer().find(|old| old.take(new.oidc, &claims)) {
            None => return Some((shown(false), true)),
            Some(old) if !same_keys(&old) => lesser = lesser.or(Some((shown(false), false))),
            Some(old) if !names_no_more(new.task, old.task) => {
                let names_any_task = !matches!(new.task, TaskNaming::Attested(_));
                lesser = lesser.or(Some((shown(names_any_task), false)));
            }
            Some(_) => {}
        }
    }
    lesser
}

impl Tokens<'_> {
    /// Whether it takes tokens with these claims that are for whom `like`'s are.
    fn take(&self, like: &Oidc, claims: &BTreeMap<String, String>) -> bool {
        self.oidc.issuer == like.issuer
            && self.oidc.audience == like.audience
            && self.oidc.claims.iter().all(|rule| claims.get(&*rule.name).is_some_and(|text| rule.takes(text)))
    }
}

/// Tokens that `new` takes: each claim as it asks, as an older one does, or otherwise.
fn tokens<'a>(new: &Oidc, old: impl Iterator<Item = &'a Oidc>) -> Vec<BTreeMap<String, String>> {
    let rules: Vec<&ClaimRule> = old.flat_map(|oidc| &oidc.claims).collect();
    let names: BTreeSet<&str> = new.claims.iter().chain(rules.iter().copied()).map(|rule| &*rule.name).collect();
    let mut all = vec![BTreeMap::new()];
    for name in names {
        let of = |rule: &&ClaimRule| &*rule.name == name;
        let own: Vec<&ClaimRule> = new.claims.iter().filter(of).collect();
        let mut texts: BTreeSet<String> = own.iter().flat_map(|rule| worded(rule)).collect();
        texts.extend(rules.iter().copied().filter(of).flat_map(worded));
        texts.insert("another".into());
        texts.retain(|text| own.iter().all(|rule| rule.takes(text)));
        let mut more = Vec::with_capacity(all.len() * texts.len());
        for chosen in &all {
            for text in &texts {
                let mut chosen: BTreeMap<String, String> = chosen.clone();
                chosen.insert(name.to_owned(), text.clone());
                more.push(chosen);
            }
        }
        more.truncate(TRIES);
        all = more;
    }
    all
}

/// Texts that a rule takes.
fn worded(rule: &ClaimRule) -> Vec<String> {
    let glob = |run: &str| rule.glob().map(|glob| glob.replace('*', run));
    rule.exact().map(str::to_owned).into_iter().chain(["1", "another", ""].into_iter().filter_map(glob)).collect()
}

impl Shown {
    pub(super) fn assertion(client: &str, key: &str, kid: Option<&str>) -> Self {
        Self::Assertion { client: client.to_owned(), key: key.to_owned(), kid: kid.map(str::to_owned) }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Assertion { client, key, kid } => {
                json!({"type": "private_key_jwt", "client": client, "key": key, "kid": kid})
            }
            Self::Token { client, iss, aud, claims, names_any_task } => json!({
                "type": "oidc", "client": client, "iss": iss, "aud": aud, "claims": claims,
                "names_any_task": names_any_task,
            }),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assertion { client, key, kid } => {
                write!(f, "assertion of {client}, signed by the key {key}, ")?;
                match kid {
                    Some(kid) => write!(f, "kid {kid}"),
                    None => f.write_str("without kid"),
                }
            }
            Self::Token { client, iss, aud, claims, names_any_task } => {
                write!(f, "token of {iss} for {}", aud.as_deref().unwrap_or("the broker"))?;
                for (name, text) in claims {
                    write!(f, ", {name} {text}")?;
                }
                write!(f, ": taken as {client}")?;
                if *names_any_task { f.write_str(", for any task") } else { Ok(()) }
            }
        }
    }
}
