//! The issuers whose tokens a set trusts, and who of its workloads and audiences proves itself by each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use super::IdentityUsed;
use super::catalogue::{Audience, Claims, KeySource, Oidc, Proof, TaskNaming, Workload, text_of_claim};

/// A platform whose tokens prove somebody of the set.
#[derive(Debug)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub url: Arc<str>,
    /// Its keys: one entry for each place they come from, with those who trust that place.
    pub keys: Vec<IssuerKeys>,
}

/// Keys of an issuer from one place.
#[derive(Debug)]
pub struct IssuerKeys {
    /// The place.
    pub source: KeySource,
    /// Who trusts tokens under these keys, if the claims fit.
    pub members: Vec<Member>,
    /// Their places, by a claim that one of their rules compares exactly, and what it must say.
    by_claim: BTreeMap<Arc<str>, HashMap<Box<str>, Vec<usize>>>,
    /// The places of those that compare nothing exactly.
    others: Vec<usize>,
}

/// Claims that tell more than others, most first: by one of these a member is found among thousands.
const TELLING: [&str; 4] = ["repository_id", "project_id", "sub", "environment"];

impl IssuerKeys {
    fn add(&mut self, member: Member) {
        let at = self.members.len();
        let exact = member.oidc.claims.iter().filter_map(|rule| Some((&rule.name, rule.exact()?)));
        let rank = |name: &str| TELLING.iter().position(|telling| *telling == name).unwrap_or(TELLING.len());
        match exact.min_by_key(|(name, _)| rank(name)) {
            Some((name, text)) => {
                self.by_claim.entry(name.clone()).or_default().entry(text.into()).or_default().push(at);
            }
            None => self.others.push(at),
        }
        self.members.push(member);
    }

    /// Those that a token with these claims may belong to, in the order of their files; each is still to be asked.
    pub fn candidates(&self, claims: &Claims<'_>) -> impl Iterator<Item = &Member> {
        let found = self.by_claim.iter().filter_map(|(name, by_text)| by_text.get(&*text_of_claim(claims, name)?));
        let mut places: SmallVec<[usize; 4]> = found.flatten().chain(&self.others).copied().collect();
        places.sort_unstable();
        places.into_iter().map(|at| &self.members[at])
    }
}

/// One identity of one client.
#[derive(Debug)]
pub struct Member {
    /// Whose.
    pub client: Client,
    /// What the token must say.
    pub oidc: Arc<Oidc>,
    /// Who names its tasks.
    pub task: TaskNaming,
    /// What is seen of a token from which nothing is kept: the same for each.
    bare: IdentityUsed,
}

impl Member {
    /// How whoever showed these claims proved itself, as policies see it.
    pub fn used(&self, claims: &Claims<'_>) -> IdentityUsed {
        match self.oidc.keep.is_empty() {
            true => self.bare.clone(),
            false => IdentityUsed::oidc(&self.oidc.issuer, self.oidc.kept(claims)),
        }
    }
}

/// A workload or an audience.
#[derive(Debug, Clone)]
pub enum Client {
    /// A workload.
    Workload(Arc<Workload>),
    /// A resource server.
    Audience(Arc<Audience>),
}

impl Client {
    /// Whether `id` names this client; an audience's path of `/` equals none.
    pub fn is(&self, id: &str) -> bool {
        match self {
            Self::Workload(workload) => workload.id.as_str() == id,
            Self::Audience(audience) => audience.id.matches(id),
        }
    }
}

/// All issuers of a set.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    by_url: HashMap<Arc<str>, Issuer>,
    /// The `aud` that identities name besides the broker's issuer.
    audiences: BTreeSet<Arc<str>>,
}

impl Issuers {
    /// Sorts every identity by its issuer and the place of its keys.
    pub(super) fn of<'a>(
        workloads: impl Iterator<Item = &'a Arc<Workload>>,
        audiences: impl Iterator<Item = &'a Arc<Audience>>,
    ) -> Self {
        let workloads = workloads.map(|each| (Client::Workload(each.clone()), &each.identities));
        let audiences = audiences.map(|each| (Client::Audience(each.clone()), &each.identities));
        let mut issuers = Self::default();
        for (client, identities) in workloads.chain(audiences) {
            for identity in identities {
                if let Proof::Oidc(oidc) = &identity.proof {
                    let (client, oidc, task) = (client.clone(), oidc.clone(), identity.task.clone());
                    let bare = IdentityUsed::oidc(&oidc.issuer, std::iter::empty());
                    issuers.add(Member { client, oidc, task, bare });
                }
            }
        }
        issuers
    }

    fn add(&mut self, member: Member) {
        let (url, source) = (member.oidc.issuer.clone(), member.oidc.keys.clone());
        self.audiences.extend(member.oidc.audience.clone());
        let issuer = self.by_url.entry(url.clone()).or_insert_with(|| Issuer { url, keys: Vec::new() });
        match issuer.keys.iter_mut().find(|keys| keys.source == source) {
            Some(keys) => keys.add(member),
            None => {
                let (members, by_claim, others) = (Vec::new(), BTreeMap::new(), Vec::new());
                let mut keys = IssuerKeys { source, members, by_claim, others };
                keys.add(member);
                issuer.keys.push(keys);
            }
        }
    }

    pub(super) fn get(&self, url: &str) -> Option<&Issuer> {
        self.by_url.get(url)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.by_url.values()
    }

    pub(super) fn names_audience(&self, aud: &str) -> bool {
        self.audiences.contains(aud)
    }

    /// Every claim that some identity keeps: what policies may speak of.
    pub(super) fn kept(&self) -> BTreeSet<&str> {
        let members = self.by_url.values().flat_map(|issuer| &issuer.keys).flat_map(|keys| &keys.members);
        members.flat_map(|member| member.oidc.keep.iter().map(|name| &**name)).collect()
    }
}
