//! Who can be a workload, or an audience: whether each way to prove it in HEAD is one in BASE already.
//!
//! A key, an issuer, a claim that may say more: outside of Cedar, and as good as a grant. What is not seen to be the same, or
//! narrower, counts as new. So does what BASE let nobody use, for two keys fitted, or what it took as somebody else's task: of
//! several identities that fit one token, the first counts.

use super::proof::{self, Shown};
use crate::jose::{Alg, Jwk, JwkSet};
use crate::policy::{ClaimRule, Identity, KeySource, Oidc, PolicySet, Proof, TaskNaming};

/// A way to prove oneself, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewProof {
    /// What it is, for people.
    pub told: String,
    /// Whether it surely lets somebody in whom nothing let in before.
    pub is_sure: bool,
    /// One that is taken now, and was not.
    pub shown: Option<Shown>,
}

/// The identities of one client in one set.
pub(super) struct Known<'a> {
    pub client: &'a str,
    keys: Vec<&'a Jwk>,
    /// In the order in which a token is held against them.
    pub tokens: Vec<Tokens<'a>>,
}

/// One identity that takes a platform's tokens.
pub(super) struct Tokens<'a> {
    pub oidc: &'a Oidc,
    pub task: &'a TaskNaming,
}

const ALGS: [Alg; 4] = [Alg::Es256, Alg::EdDsa, Alg::Rs256, Alg::Ps256];

/// The ways of `head` that `base` does not have. Where policies look at the proof, one that shows them other claims is another.
pub(super) fn new_proofs(head: &Known<'_>, base: &Known<'_>, is_looked_at: bool) -> Vec<NewProof> {
    let keys = head.keys.iter().filter_map(|key| new_key(key, head, base, is_looked_at));
    let tokens = (0..head.tokens.len()).filter(|at| !is_old(*at, head, base, is_looked_at)).map(|at| {
        let new = &head.tokens[at];
        let is_sure = !base.tokens.iter().any(|old| old.oidc.issuer == new.oidc.issuer);
        let shown = proof::token(at, head, base);
        let is_sure = is_sure || shown.as_ref().is_some_and(|(_, is_sure)| *is_sure);
        NewProof { told: new.told(), is_sure, shown: shown.map(|(shown, _)| shown) }
    });
    keys.chain(tokens).collect()
}

/// The ways of `base` that `head` does not have any more, for people: what is new from the one's view is gone from the other's. With
/// them those whose place a wider one of the same issuer has taken: nobody is shut out, and who reviews it has to see what it was.
pub(super) fn lost_proofs(head: &Known<'_>, base: &Known<'_>, is_looked_at: bool) -> Vec<String> {
    // An assertion that leaves the name out may fit two keys now: as long as one by name fits, the key is not lost.
    let keys = base.keys.iter().filter(|key| new_key(key, base, head, false).is_some()).map(|key| {
        let is_left = head.keys.iter().any(|other| other.public_bytes() == key.public_bytes());
        named(key) + if is_left { ", which stands there and can be used no more" } else { "" }
    });
    let stand: Vec<String> = head.tokens.iter().map(Tokens::told).collect();
    let widened: Vec<&str> = (0..head.tokens.len())
        .filter(|at| !is_old(*at, head, base, is_looked_at))
        .map(|at| &*head.tokens[at].oidc.issuer)
        .collect();
    let tokens = base.tokens.iter().enumerate().map(|(at, old)| (at, old, old.told())).filter(|(at, old, told)| {
        let is_replaced = widened.contains(&&*old.oidc.issuer) && !stand.contains(told);
        is_replaced || !is_old(*at, base, head, is_looked_at)
    });
    keys.chain(tokens.map(|(_, _, told)| told)).collect()
}

fn named(key: &Jwk) -> String {
    let name = key.kid().map_or_else(String::new, |kid| format!(" {kid}"));
    format!("the key{name} ({})", fingerprint(key))
}

impl Tokens<'_> {
    /// All that tells it from another: whose tokens, for whom, what they must say, whose signature counts, and who names the task.
    fn told(&self) -> String {
        let oidc = self.oidc;
        let audience = oidc.audience.as_deref().unwrap_or("the broker");
        let task = match self.task {
            TaskNaming::Caller => "the caller".to_owned(),
            TaskNaming::Auto => "the caller, or the broker (auto)".to_owned(),
            TaskNaming::Attested(template) => format!("the platform, {template}"),
        };
        format!(
            "tokens of {} for {audience}, {}; signed by {}; task named by {task}",
            oidc.issuer,
            claims(oidc),
            source(&oidc.keys)
        )
    }
}

/// Whose signature counts.
fn source(keys: &KeySource) -> String {
    match keys {
        KeySource::Discovery => "the keys of its discovery document".to_owned(),
        KeySource::Uri(address) => format!("the keys at {address} (jwks_uri)"),
        KeySource::Pinned(set, _) => {
            let keys: Vec<String> = set.keys().iter().map(named).collect();
            if keys.is_empty() { "no key (pinned)".to_owned() } else { format!("{} (pinned)", keys.join(", ")) }
        }
    }
}

impl<'a> Known<'a> {
    /// All ways, for people.
    pub fn told(&self) -> Vec<String> {
        self.keys.iter().map(|key| named(key)).chain(self.tokens.iter().map(Tokens::told)).collect()
    }

    pub fn of(client: &'a str, identities: &'a [Identity], set: &PolicySet) -> Self {
        let mut known = Self { client, keys: Vec::new(), tokens: Vec::new() };
        for identity in identities {
            match &identity.proof {
                Proof::PrivateKeyJwt(jwks) => known.keys.extend(jwks.keys()),
                Proof::Oidc(oidc) => known.tokens.push(Tokens { oidc, task: &identity.task }),
            }
        }
        // A token is held against those whose keys come from one place, place by place.
        known.tokens.sort_by_key(|tokens| {
            let places = set.issuer(&tokens.oidc.issuer).map(|issuer| &issuer.keys);
            places.and_then(|places| places.iter().position(|place| place.source == tokens.oidc.keys))
        });
        known
    }

    /// The key that an assertion must be by, whose header says this; none where several fit.
    fn only_key(&self, kid: Option<&str>, alg: Alg) -> Option<&'a Jwk> {
        let mut fitting =
            self.keys.iter().filter(|key| key.serves(alg)).filter(|key| kid.is_none() || key.kid() == kid);
        let first = fitting.next()?;
        fitting.next().is_none().then_some(*first)
    }
}

/// Key by key: those that were there may have stood in another identity of the file.
fn new_key(key: &Jwk, head: &Known<'_>, base: &Known<'_>, is_looked_at: bool) -> Option<NewProof> {
    let kids: Vec<Option<&str>> = key.kid().map(Some).into_iter().chain([None]).collect();
    let is_it = |found: Option<&Jwk>| found.is_some_and(|found| found.public_bytes() == key.public_bytes());
    let name = key.kid().map_or_else(String::new, |kid| format!(" {kid}"));
    let fingerprint = fingerprint(key);
    if !base.keys.iter().any(|old| old.public_bytes() == key.public_bytes()) {
        let told = format!("a key{name} that it did not have ({fingerprint})");
        let kid = kids.iter().find(|kid| ALGS.iter().any(|alg| is_it(head.only_key(**kid, *alg))));
        let shown = kid.map(|kid| Shown::assertion(head.client, &fingerprint, *kid));
        return Some(NewProof { told, is_sure: true, shown });
    }
    for alg in ALGS {
        let was = |kid: &Option<&str>| is_it(base.only_key(*kid, alg));
        let was_of_use = names_of(key, base).iter().any(was);
        // Its name is all that policies see of it.
        let mut of_use = kids.iter().filter(|kid| is_it(head.only_key(**kid, alg)));
        let Some(kid) = of_use.find(|kid| !was(kid) && (is_looked_at || !was_of_use)) else { continue };
        let told = match was_of_use {
            false => format!("a key{name} that could not be used before ({fingerprint})"),
            true => format!("a key{name} under another name than before ({fingerprint})"),
        };
        let shown = Some(Shown::assertion(head.client, &fingerprint, *kid));
        return Some(NewProof { told, is_sure: !was_of_use, shown });
    }
    None
}

/// How an assertion may name a key: as any of the same in this set is called, or not at all.
fn names_of<'a>(key: &Jwk, known: &Known<'a>) -> Vec<Option<&'a str>> {
    let same = known.keys.iter().filter(|other| other.public_bytes() == key.public_bytes());
    same.map(|other| other.kid()).chain([None]).collect()
}

/// Whether every token that the identity at `at` takes was taken before, by one that gives no less.
fn is_old(at: usize, head: &Known<'_>, base: &Known<'_>, is_looked_at: bool) -> bool {
    let new = &head.tokens[at];
    let gives_no_less =
        |old: &Tokens<'_>| names_no_more(new.task, old.task) && (!is_looked_at || keeps_the_same(new.oidc, old.oidc));
    // Such a token never comes so far as to this identity: one before it takes it.
    let is_taken_before = |old: &Tokens<'_>| head.tokens[..at].iter().any(|other| is_within(old.oidc, other.oidc));
    base.tokens.iter().enumerate().any(|(until, old)| {
        is_within(new.oidc, old.oidc)
            && base.tokens[..=until]
                .iter()
                .all(|old| exclude_each_other(new.oidc, old.oidc) || gives_no_less(old) || is_taken_before(old))
    })
}

/// A caller that may name any task may name those that a platform attests.
pub(super) fn names_no_more(head: &TaskNaming, base: &TaskNaming) -> bool {
    match base {
        TaskNaming::Caller | TaskNaming::Auto => true,
        TaskNaming::Attested(_) => head == base,
    }
}

fn is_within(head: &Oidc, base: &Oidc) -> bool {
    head.issuer == base.issuer
        && head.audience == base.audience
        && base.claims.iter().all(|old| head.claims.iter().any(|new| new.name == old.name && new.says_no_more(old)))
        && has_no_more_keys(&head.keys, &base.keys)
}

/// Whether no token is both's.
fn exclude_each_other(one: &Oidc, other: &Oidc) -> bool {
    let differ = |one: &ClaimRule, other: &ClaimRule| match (one.exact(), other.exact()) {
        (Some(text), _) => !other.takes(text),
        (_, Some(text)) => !one.takes(text),
        _ => false,
    };
    one.issuer != other.issuer
        || one.audience.as_ref().zip(other.audience.as_ref()).is_some_and(|(one, other)| one != other)
        || one.claims.iter().any(|a| other.claims.iter().any(|b| a.name == b.name && differ(a, b)))
}

/// Whoever signs names the key as it is called, so another name is no other key. One that could not be found is, for several
/// without a name leave a choice.
pub(super) fn has_no_more_keys(head: &KeySource, base: &KeySource) -> bool {
    let (KeySource::Pinned(new, _), KeySource::Pinned(old, _)) = (head, base) else { return head == base };
    let is_found = |set: &JwkSet, wanted: &Jwk, alg: Alg| {
        let kids = set.keys().iter().map(Jwk::kid).chain([None]);
        kids.filter_map(|kid| set.find(kid, alg)).any(|key| key.public_bytes() == wanted.public_bytes())
    };
    let keys = || new.keys().iter().flat_map(|key| ALGS.into_iter().map(move |alg| (key, alg)));
    head == base || keys().all(|(key, alg)| !is_found(new, key, alg) || is_found(old, key, alg))
}

fn keeps_the_same(head: &Oidc, base: &Oidc) -> bool {
    head.keep.len() == base.keep.len() && head.keep.iter().all(|name| base.keep.contains(name))
}

fn claims(oidc: &Oidc) -> String {
    let said: Vec<String> = oidc.claims.iter().map(ToString::to_string).collect();
    let kept: Vec<&str> = oidc.keep.iter().map(|name| &**name).collect();
    let kept = if kept.is_empty() { String::new() } else { format!("; kept: {}", kept.join(", ")) };
    format!("whose {}{kept}", said.join(", "))
}

/// The first bytes of a key, enough to tell two apart.
fn fingerprint(key: &Jwk) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, key.public_bytes());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
