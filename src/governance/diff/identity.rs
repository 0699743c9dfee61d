//! Who can be a workload, or an audience: whether each way to prove it in HEAD is one in BASE already.
//!
//! A key, an issuer, a claim that may say more: outside of Cedar, and as good as a grant. What is not seen to be the same, or
//! narrower, counts as new.

use crate::jose::{Alg, Jwk};
use crate::policy::{Identity, KeySource, Oidc, Proof, TaskNaming};

/// A way to prove oneself, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewProof {
    /// What it is, for people.
    pub told: String,
    /// Whether it surely lets somebody in whom nothing let in before.
    pub is_sure: bool,
}

/// The ways of `head` that `base` does not have. Where policies look at the proof, one that shows them other claims is another.
pub(super) fn new_proofs(head: &[Identity], base: &[Identity], is_looked_at: bool) -> Vec<NewProof> {
    let mut new = Vec::new();
    for identity in head {
        match &identity.proof {
            // Key by key: those that were there may have stood in another identity of the file.
            Proof::PrivateKeyJwt(jwks) => {
                new.extend(jwks.keys().iter().filter(|key| !base.iter().any(|old| has_key(old, key))).map(|key| {
                    let name = key.kid().map_or_else(String::new, |kid| format!(" {kid}"));
                    NewProof { told: format!("a key{name} that it did not have ({})", fingerprint(key)), is_sure: true }
                }));
            }
            Proof::Oidc(oidc) => {
                let holds = |old: &Identity| match &old.proof {
                    Proof::Oidc(before) => {
                        is_within(oidc, before)
                            && names_no_more(&identity.task, &old.task)
                            && (!is_looked_at || keeps_the_same(oidc, before))
                    }
                    Proof::PrivateKeyJwt(_) => false,
                };
                if !base.iter().any(holds) {
                    let of_same = |old: &Identity| matches!(&old.proof, Proof::Oidc(old) if old.issuer == oidc.issuer);
                    let is_sure = !base.iter().any(of_same);
                    new.push(NewProof { told: format!("tokens of {} {}", oidc.issuer, claims(oidc)), is_sure });
                }
            }
        }
    }
    new
}

fn has_key(identity: &Identity, key: &Jwk) -> bool {
    const ALGS: [Alg; 4] = [Alg::Es256, Alg::EdDsa, Alg::Rs256, Alg::Ps256];
    let same = |old: &Jwk| {
        old.public_bytes() == key.public_bytes()
            && old.kid() == key.kid()
            && ALGS.iter().all(|alg| old.serves(*alg) || !key.serves(*alg))
    };
    matches!(&identity.proof, Proof::PrivateKeyJwt(jwks) if jwks.keys().iter().any(same))
}

/// A caller that may name any task may name those that a platform attests.
fn names_no_more(head: &TaskNaming, base: &TaskNaming) -> bool {
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

fn has_no_more_keys(head: &KeySource, base: &KeySource) -> bool {
    match (head, base) {
        (KeySource::Pinned(new, _), KeySource::Pinned(old, _)) => {
            let is_old = |key: &Jwk| old.keys().iter().any(|old| old.public_bytes() == key.public_bytes());
            head == base || new.keys().iter().all(is_old)
        }
        _ => head == base,
    }
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
