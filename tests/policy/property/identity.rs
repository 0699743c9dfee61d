//! Who can be a workload: random keys and platform's tokens, and whom plain rules make of one proof. By the words of
//! `docs/policies.md`, with nothing of what a broker does it with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jitney::policy::IdentityKind;

use crate::common::Chance;
use crate::tree::jwk;

pub const ISSUERS: [&str; 2] = ["https://ci.example.com", "https://other.example.com"];
/// Keys that somebody holds, and the names that files and assertions give them.
const KEYS: [&str; 3] = ["first", "second", "third"];
const KIDS: [Option<&str>; 3] = [None, Some("k1"), Some("k2")];
/// What a claim of a token can be, and what files ask of it.
const SUBS: [&str; 2] = ["x", "y"];
const REFS: [&str; 4] = ["refs/heads/main", "refs/tags/v1", "refs/tags/v10", "refs/pull/1"];
const GLOBS: [&str; 5] = ["refs/*", "refs/tags/*", "refs/tags/v1*", "refs/*/main", "*1"];
const ENVS: [&str; 3] = ["p", "q", "r"];
const RUNS: [&str; 3] = ["a", "b", "ab"];

/// An `[[identity]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Places in [`KEYS`], and in [`KIDS`].
    Keys(Vec<(usize, usize)>),
    Tokens(Tokens),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    issuer: &'static str,
    /// The place its keys come from, where it is not the issuer's own.
    from: Option<&'static str>,
    sub: Option<&'static str>,
    /// A text, or a glob.
    reference: Option<&'static str>,
    keep: Vec<&'static str>,
    task: Option<&'static str>,
}

/// What somebody shows.
#[derive(Debug, Clone)]
pub enum Proof {
    /// An assertion by this key, and the name of a key in its header.
    Assertion(usize, Option<&'static str>),
    /// A platform's token, with these claims.
    Token(&'static str, BTreeMap<&'static str, &'static str>),
}

/// Who is proven, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub kind: IdentityKind,
    pub claims: BTreeMap<String, String>,
    /// The task that the platform attests.
    task: Option<String>,
}

pub fn random(chance: &mut Chance) -> Vec<Identity> {
    let mut all = vec![one(chance)];
    while chance.below(2) == 0 && all.len() < 3 {
        all.push(one(chance));
    }
    all
}

/// One of them comes, goes, moves or is another.
pub fn change(all: &mut Vec<Identity>, chance: &mut Chance) {
    let at = usize::try_from(chance.below(all.len() as u64)).unwrap();
    match chance.below(8) {
        0 => all.push(one(chance)),
        1 if all.len() > 1 => drop(all.remove(at)),
        2 => all.reverse(),
        _ => match &mut all[at] {
            Identity::Keys(keys) if chance.below(2) == 0 && keys.len() > 1 => drop(keys.pop()),
            Identity::Keys(keys) => *keys = some_keys(chance),
            Identity::Tokens(tokens) => match chance.below(5) {
                0 => tokens.sub = sub(chance),
                1 => tokens.reference = reference(chance),
                2 => tokens.keep = keep(chance),
                3 => tokens.task = task(chance),
                _ => *tokens = some_tokens(chance),
            },
        },
    }
}

fn one(chance: &mut Chance) -> Identity {
    if chance.below(3) == 0 { Identity::Keys(some_keys(chance)) } else { Identity::Tokens(some_tokens(chance)) }
}

fn some_keys(chance: &mut Chance) -> Vec<(usize, usize)> {
    let mut keys: Vec<(usize, usize)> = Vec::new();
    for _ in 0..1 + chance.below(2) {
        let (key, kid) = (chance.below(3) as usize, chance.below(3) as usize);
        // A file that names two keys alike is refused.
        if kid == 0 || !keys.iter().any(|(_, other)| *other == kid) {
            keys.push((key, kid));
        }
    }
    keys
}

fn some_tokens(chance: &mut Chance) -> Tokens {
    Tokens {
        issuer: if chance.below(5) == 0 { ISSUERS[1] } else { ISSUERS[0] },
        from: (chance.below(8) == 0).then_some("https://keys.example.com/jwks.json"),
        sub: sub(chance),
        reference: reference(chance),
        keep: keep(chance),
        task: task(chance),
    }
}

fn sub(chance: &mut Chance) -> Option<&'static str> {
    (chance.below(4) > 0).then(|| *chance.pick(&SUBS))
}

fn reference(chance: &mut Chance) -> Option<&'static str> {
    match chance.below(4) {
        0 => None,
        1 => Some(*chance.pick(&REFS)),
        _ => Some(*chance.pick(&GLOBS)),
    }
}

fn keep(chance: &mut Chance) -> Vec<&'static str> {
    ["env", "ref"].into_iter().filter(|_| chance.below(3) > 0).collect()
}

fn task(chance: &mut Chance) -> Option<&'static str> {
    *chance.pick(&[None, None, None, Some("auto"), Some("{run}"), Some("ab-{run}")])
}

impl Proof {
    pub fn random(chance: &mut Chance) -> Self {
        if chance.below(3) == 0 {
            return Self::Assertion(chance.below(3) as usize, *chance.pick(&KIDS));
        }
        Self::token(chance)
    }

    fn token(chance: &mut Chance) -> Self {
        let mut claims = BTreeMap::from([("sub", *chance.pick(&SUBS)), ("run", *chance.pick(&RUNS))]);
        if chance.below(5) > 0 {
            claims.insert("ref", *chance.pick(&REFS));
        }
        if chance.below(3) > 0 {
            claims.insert("env", *chance.pick(&ENVS));
        }
        Self::Token(if chance.below(6) == 0 { ISSUERS[1] } else { ISSUERS[0] }, claims)
    }

    /// One that fits this identity as far as its own rules go, most of the time.
    pub fn fitting(identity: &Identity, chance: &mut Chance) -> Self {
        match identity {
            Identity::Keys(keys) => {
                let (key, kid) = *chance.pick(keys);
                Self::Assertion(key, KIDS[kid].filter(|_| chance.below(4) > 0))
            }
            Identity::Tokens(tokens) => {
                let Self::Token(_, mut claims) = Self::token(chance) else { return Self::random(chance) };
                claims.extend(tokens.sub.map(|sub| ("sub", sub)));
                if let Some(wanted) = tokens.reference {
                    let all: Vec<&str> = REFS.into_iter().filter(|text| is_like(wanted, text)).collect();
                    claims.insert("ref", *chance.pick(&all));
                }
                Self::Token(tokens.issuer, claims)
            }
        }
    }

    /// What whoever can show this can show as well: who has a key calls it as they like.
    pub fn alike(&self) -> Vec<Self> {
        match self {
            Self::Assertion(key, _) => KIDS.into_iter().map(|kid| Self::Assertion(*key, kid)).collect(),
            Self::Token(..) => vec![self.clone()],
        }
    }

    /// Whom it proves, of a workload with these identities. `sources` are the places that keys come from, in the order in which
    /// the whole set's files name them: a token that several take is that of the first.
    pub fn of(&self, identities: &[Identity], sources: &[(&str, Option<&str>)]) -> Option<Who> {
        match self {
            Self::Assertion(key, kid) => {
                let all = identities.iter().filter_map(|identity| match identity {
                    Identity::Keys(keys) => Some(keys),
                    Identity::Tokens(_) => None,
                });
                // All of them serve one algorithm: without a name there must be no choice.
                let fitting: Vec<usize> =
                    all.flatten().filter(|(_, own)| kid.is_none() || KIDS[*own] == *kid).map(|(key, _)| *key).collect();
                let claims = kid.iter().map(|kid| ("kid".to_owned(), (*kid).to_owned())).collect();
                (fitting == [*key]).then_some(Who { kind: IdentityKind::PrivateKeyJwt, claims, task: None })
            }
            Self::Token(issuer, claims) => {
                let of_place = sources.iter().filter(|(of, _)| of == issuer).flat_map(|(_, from)| {
                    identities.iter().filter_map(move |identity| match identity {
                        Identity::Tokens(tokens) if tokens.issuer == *issuer && tokens.from == *from => Some(tokens),
                        _ => None,
                    })
                });
                of_place.into_iter().find(|tokens| tokens.take(claims)).and_then(|tokens| tokens.make(claims))
            }
        }
    }
}

impl Who {
    pub fn may_name(&self, task: &str) -> bool {
        let is_child = |of: &str| task.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.task.as_deref().is_none_or(is_child)
    }
}

impl Tokens {
    fn take(&self, claims: &BTreeMap<&str, &str>) -> bool {
        self.sub.is_none_or(|sub| claims["sub"] == sub)
            && self.reference.is_none_or(|wanted| claims.get("ref").is_some_and(|text| is_like(wanted, text)))
    }

    fn make(&self, claims: &BTreeMap<&str, &str>) -> Option<Who> {
        let kept = self.keep.iter().filter_map(|name| Some(((*name).to_owned(), (*claims.get(name)?).to_owned())));
        let task = match self.task {
            None | Some("auto") => None,
            Some(template) => Some(template.replace("{run}", claims.get("run")?)),
        };
        let claims = kept.chain([("iss".to_owned(), self.issuer.to_owned())]).collect();
        Some(Who { kind: IdentityKind::Oidc, claims, task })
    }

    fn text(&self) -> String {
        let mut text = format!("type = \"oidc\"\nissuer = \"{}\"\nkeep = {:?}\n", self.issuer, self.keep);
        for (name, value) in [("jwks_uri", self.from), ("task", self.task)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{name} = \"{value}\"");
            }
        }
        let sub = self.sub.map(|sub| format!("sub = \"{sub}\""));
        let reference = self.reference.map(|text| match text.contains('*') {
            true => format!("ref = {{ glob = \"{text}\" }}"),
            false => format!("ref = \"{text}\""),
        });
        let claims: Vec<String> = sub.into_iter().chain(reference).collect();
        let claims = if claims.is_empty() { "sub = { glob = \"*\" }".to_owned() } else { claims.join(", ") };
        let _ = writeln!(text, "claims = {{ {claims} }}");
        text
    }
}

/// `*` stands for any run of letters.
fn is_like(wanted: &str, text: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|text| (0..=text.len()).any(|at| text.is_char_boundary(at) && is_like(rest, &text[at..]))),
    }
}

impl Identity {
    pub fn text(&self) -> String {
        let text = match self {
            Self::Keys(keys) => {
                let key = |(key, kid): &(usize, usize)| match KIDS[*kid] {
                    None => jwk(KEYS[*key]),
                    Some(kid) => jwk(KEYS[*key]).replacen("{ ", &format!("{{ kid = \"{kid}\", "), 1),
                };
                let keys: Vec<String> = keys.iter().map(key).collect();
                format!("type = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", keys.join(", "))
            }
            Self::Tokens(tokens) => tokens.text(),
        };
        format!("\n[[identity]]\n{text}")
    }

    /// The place that its tokens' keys come from.
    pub fn source(&self) -> Option<(&'static str, Option<&'static str>)> {
        match self {
            Self::Keys(_) => None,
            Self::Tokens(tokens) => Some((tokens.issuer, tokens.from)),
        }
    }
}
