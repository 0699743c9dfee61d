//! A set of policies: the catalogue's TOML files, key sets and Cedar beside them.

use crate::model::{ScopeSet, TaskId, UnixTime};
use crate::policy::{Ask, Diagnostic, IdentityUsed, Limits, PolicySet, Proof, Severity};

use super::shared::NOW;

/// Files in one text: a line `#file PATH` begins each; what stands before the first is a workload's.
pub fn catalogue(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let files = files(text);
    let load = || PolicySet::from_sources(files.clone(), UnixTime::from_secs(NOW));
    match load() {
        Err(findings) => {
            assert!(findings.0.iter().any(|finding| finding.severity == Severity::Error), "refused for no reason");
            assert!(!findings.to_string().is_empty());
            findings.0.iter().for_each(placed);
        }
        Ok((set, findings)) => {
            assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
            findings.iter().for_each(placed);
            assert_eq!(load().expect("the same loads again").0.digest(), set.digest());
            known(&set);
            nothing_ungoverned(&set);
        }
    }
}

fn files(text: &str) -> Vec<(String, String)> {
    let mut files = vec![("workloads/w.toml".to_owned(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("#file ") {
            Some(path) => files.push((path.trim().to_owned(), String::new())),
            None => files.last_mut().expect("there is one").1.push_str(line),
        }
    }
    files
}

/// A finding prints, with its place.
fn placed(finding: &Diagnostic) {
    assert!(finding.line >= 1 && finding.column >= 1 && !finding.message.is_empty());
    assert!(!finding.to_string().is_empty());
}

/// Whatever is in a set is found in it under its own name, and under no other.
fn known(set: &PolicySet) {
    for workload in set.workloads() {
        assert_eq!(set.workload(workload.id.as_str()).map(|found| &found.id), Some(&workload.id));
        assert!(workload.identities.iter().all(|identity| proves(set, &identity.proof)));
        assert_eq!(workload.gaps().is_empty(), workload.state(UnixTime::default()).is_ok());
    }
    for audience in set.audiences() {
        assert_eq!(set.audience(audience.id.as_str()).map(|found| &found.id), Some(&audience.id));
        assert!(audience.max_ttl.is_none_or(|ttl| !ttl.is_zero()));
        for declared in audience.scopes.iter().filter(|declared| !declared.is_open()) {
            assert!(declared.matches(&declared.name));
        }
    }
}

/// An identity has keys; an issuer that it trusts is one of the set's, and its tokens must say something.
fn proves(set: &PolicySet, proof: &Proof) -> bool {
    match proof {
        Proof::PrivateKeyJwt(jwks) => !jwks.keys().is_empty(),
        Proof::Oidc(oidc) => !oidc.claims.is_empty() && set.issuer(&oidc.issuer).is_some(),
    }
}

/// Who lacks an owner, a purpose or a date gets nothing, and nobody gets a token longer than its audience takes.
fn nothing_ungoverned(set: &PolicySet) {
    let now = UnixTime::from_secs(NOW);
    let (task, identity) = (TaskId::parse("t").expect("a task"), IdentityUsed::private_key_jwt(None));
    for workload in set.workloads() {
        for audience in set.audiences() {
            let Some(scope) = audience.scopes.iter().find(|scope| !scope.is_open()) else { continue };
            let scopes = ScopeSet::parse(&scope.name).expect("what is declared can be asked");
            let ask = Ask {
                workload: &workload.id,
                audience: audience.id.as_str(),
                scopes: &scopes,
                task: &task,
                ttl: None,
                identity: &identity,
                now,
                limits: Limits::default(),
                renews: None,
            };
            if let Ok(grant) = set.decide(&ask) {
                assert_eq!(workload.state(now), Ok(()), "an ungoverned workload gets a token");
                assert!(audience.max_ttl.is_none_or(|most| grant.ttl() <= most));
                assert!(
                    grant.ttl() <= Limits::default().max_ttl
                        && grant.chain_limit() <= now.plus(Limits::default().max_lifetime)
                );
                assert_eq!((grant.workload(), grant.audience()), (&workload.id, &audience.id));
            }
        }
    }
}
