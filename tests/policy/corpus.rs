//! A labelled corpus for the search for secrets, made anew by each run, so that no secret stands in this repository: secrets
//! in the form of the services that issue them, and texts of a folder of policies that look like some.

use serde_json::json;

use crate::common::{Chance, Key, base64url};

/// A file, and whether a secret stands in it.
pub struct Sample {
    pub path: String,
    pub text: String,
    pub is_secret: bool,
    /// Where.
    pub line: u64,
    pub secret: String,
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn random(chance: &mut Chance, from: &str, length: usize) -> String {
    let letters: Vec<char> = from.chars().collect();
    (0..length).map(|_| *chance.pick(&letters)).collect()
}

/// A personal access token of GitHub's form.
pub fn github(chance: &mut Chance) -> String {
    format!("ghp_{}", random(chance, ALNUM, 36))
}

/// A token in three parts, as JWTs are.
fn jwt(chance: &mut Chance) -> String {
    let (header, claims) =
        (json!({"alg": "HS256", "typ": "JWT"}), json!({"sub": random(chance, LOWER, 12), "iat": 1_790_000_000}));
    format!("{}.{}.{}", base64url(header.to_string()), base64url(claims.to_string()), random(chance, ALNUM, 43))
}

/// Secrets, by whose they are.
fn secrets(chance: &mut Chance) -> Vec<(&'static str, String)> {
    let r = |chance: &mut Chance, from, length| random(chance, from, length);
    vec![
        ("aws", format!("AKIA{}", r(chance, BASE32, 16))),
        ("github", github(chance)),
        ("github-app", format!("ghs_{}", r(chance, ALNUM, 36))),
        ("github-fine", format!("github_pat_{}", r(chance, ALNUM, 82))),
        ("gitlab", format!("glpat-{}", r(chance, ALNUM, 20))),
        (
            "slack",
            format!("xoxb-{}-{}-{}", r(chance, "123456789", 12), r(chance, "123456789", 12), r(chance, ALNUM, 24)),
        ),
        ("stripe", format!("sk_live_{}", r(chance, ALNUM, 24))),
        ("google", format!("AIza{}", r(chance, ALNUM, 35))),
        ("npm", format!("npm_{}", r(chance, LOWER, 36))),
        ("pypi", format!("pypi-AgEIcHlwaS5vcmc{}", r(chance, ALNUM, 70))),
        ("sendgrid", format!("SG.{}", r(chance, LOWER, 66))),
        ("digitalocean", format!("dop_v1_{}", r(chance, HEX, 64))),
        ("vault", format!("hvs.{}", r(chance, ALNUM, 100))),
        ("shopify", format!("shpat_{}", r(chance, HEX, 32))),
        ("databricks", format!("dapi{}", r(chance, HEX, 32))),
        ("linear", format!("lin_api_{}", r(chance, LOWER, 40))),
        ("jwt", jwt(chance)),
    ]
}

/// Where a secret is put: the file's ending, what stands around it, and its line.
const AROUND: [(&str, &str, u64); 5] = [
    ("env", "# of the batch\nSETTING=@@\n", 2),
    ("json", "{\n  \"setting\": \"@@\"\n}\n", 2),
    ("yaml", "batch:\n  setting: \"@@\"\n", 2),
    ("md", "Run it so:\n\n    batch --with @@ --once\n", 3),
    ("txt", "// it was \"@@\", ask Anna\n", 1),
];

pub fn of(chance: &mut Chance) -> Vec<Sample> {
    let mut corpus = Vec::new();
    for (ending, around, line) in AROUND {
        for (whose, secret) in secrets(chance) {
            let path = format!("notes/{whose}.{ending}");
            corpus.push(Sample { path, text: around.replace("@@", &secret), is_secret: true, line, secret });
        }
        for (name, text) in alike(chance) {
            let path = format!("notes/{name}.{ending}");
            corpus.push(Sample {
                path,
                text: around.replace("@@", &text),
                is_secret: false,
                line,
                secret: String::new(),
            });
        }
    }
    corpus.extend(by_their_names(chance));
    corpus.extend(keys());
    corpus
}

/// Secrets that only the name beside them tells, and names beside which there is none.
fn by_their_names(chance: &mut Chance) -> Vec<Sample> {
    let mut corpus = Vec::new();
    for (at, name) in
        ["password", "db_password", "API_KEY", "client_secret", "auth_token", "secret-key"].iter().enumerate()
    {
        let secret = random(chance, ALNUM, 28);
        let text = format!("host = \"db.example.com\"\n{name} = \"{secret}\"\n");
        corpus.push(Sample { path: format!("named/{at}.toml.txt"), text, is_secret: true, line: 2, secret });
        for (kind, none) in [
            ("place", "/run/secrets/batch"),
            ("variable", "${BATCH_SECRET}"),
            ("word", "changeme"),
            ("name", "ask-the-owner"),
        ] {
            let text = format!("host = \"db.example.com\"\n{name} = \"{none}\"\n");
            let path = format!("named/{at}-{kind}.txt");
            corpus.push(Sample { path, text, is_secret: false, line: 2, secret: String::new() });
        }
    }
    corpus
}

/// Private keys, and their public halves.
fn keys() -> Vec<Sample> {
    let mut corpus = Vec::new();
    let mut add = |path: &str, text: String, secret: Option<String>| {
        let (is_secret, secret) = (secret.is_some(), secret.unwrap_or_default());
        corpus.push(Sample { path: path.to_owned(), text, is_secret, line: 1, secret });
    };
    for (at, key) in [Key::ec(), Key::ed(), Key::rsa()].into_iter().enumerate() {
        let pem = key.pem();
        let inner = pem.lines().nth(1).unwrap().to_owned();
        add(&format!("keys/{at}.pem"), pem, Some(inner));
        let mut jwk = key.jwk(Some("k"));
        add(&format!("keys/{at}.public.json"), json!({"keys": [jwk]}).to_string(), None);
        let d = base64url([at as u8 + 7; 32]);
        jwk["d"] = json!(d);
        add(&format!("keys/{at}.private.json"), jwk.to_string(), Some(d));
    }
    corpus
}

/// What looks like a secret, and is none.
fn alike(chance: &mut Chance) -> Vec<(&'static str, String)> {
    let r = |chance: &mut Chance, from, length| random(chance, from, length);
    vec![
        ("uuid", "0190163d-8694-839b-aea5-966c26f8ad91".into()),
        ("digest", format!("sha256:{}", r(chance, HEX, 64))),
        ("commit", r(chance, HEX, 40)),
        ("kid", format!("kid {}", r(chance, ALNUM, 43))),
        ("uri", "https://orders.example.com/v1/orders?limit=100".into()),
        ("scope", "https://orders.example.com orders:read:4711".into()),
        ("subject", "system:serviceaccount:reports:nightly".into()),
        ("placeholder", "<your token here>".into()),
        ("variable", "$JITNEY_TOKEN".into()),
        ("file", "/var/run/secrets/tokens/jitney".into()),
        ("lease", "lease 0190163d-8694-839b-aea5-966c26f8ad91 of task nightly-2026-11-25".into()),
        ("public", format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} anna", r(chance, ALNUM, 43))),
        ("glob", "refs/tags/v*".into()),
        ("words", "the token is kept by the batch, the secret by nobody".into()),
        ("mail", "team-payments@example.com".into()),
    ]
}
