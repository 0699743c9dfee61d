//! Policies of a small made-up organisation: every kind of workload the contract knows, two resource servers.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Key, key_of};

/// A resource server; tokens for it live ten minutes at most, as do chains.
pub const API: &str = "https://api.example.com";

/// Another one.
pub const SECOND: &str = "https://second.example.com";

/// Files of a policies directory, by path.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<(String, String)>);

impl Default for Catalogue {
    /// `demo` and `other` may do everything at both, but for what is forbidden. `brief` is granted seconds. `auto` need
    /// not name its task. `algs` has a key of each kind, `twins` two that only their `kid` tells apart. `expired` and the
    /// three that lack something may do nothing. `nothing` is granted nothing.
    fn default() -> Self {
        let mut catalogue = Self(Vec::new());
        for (name, id) in [("api", API), ("second", SECOND)] {
            catalogue.put(&format!("audiences/{name}.toml"), audience(id));
        }
        for id in ["demo", "other", "brief", "nothing"] {
            catalogue.put(&workload_path(id), workload(id, "2099-12-31", &key_of(id).jwks(), ""));
        }
        let auto = workload("auto", "2099-12-31", &key_of("auto").jwks(), "task = \"auto\"");
        catalogue.put(&workload_path("auto"), auto);
        let expired = workload("expired", "2021-12-31", &key_of("expired").jwks(), "");
        catalogue.put(&workload_path("expired"), expired);
        for lacks in ["owner", "purpose", "expires"] {
            let id = format!("no-{lacks}");
            let whole = workload(&id, "2099-12-31", &key_of(&id).jwks(), "");
            let rest: Vec<&str> = whole.lines().filter(|line| !line.starts_with(lacks)).collect();
            catalogue.put(&workload_path(&id), rest.join("\n"));
        }
        let keys: Vec<_> = ["ec", "ed", "rsa"].map(|kind| key_of_kind(kind).jwk(Some(kind))).into();
        catalogue.put(&workload_path("algs"), workload("algs", "2099-12-31", &json!({ "keys": keys }).to_string(), ""));
        let twins = json!({"keys": [key_of("twin-a").jwk(Some("a")), key_of("twin-b").jwk(Some("b"))]});
        catalogue.put(&workload_path("twins"), workload("twins", "2099-12-31", &twins.to_string(), ""));
        catalogue.put("all.cedar", POLICIES.to_owned());
        catalogue
    }
}

/// The Ed25519 key of `algs`, the same for as long as the test's process runs.
pub fn key_of_kind(kind: &str) -> &'static Key {
    static ED: std::sync::LazyLock<Key> = std::sync::LazyLock::new(Key::ed);
    static RSA: std::sync::LazyLock<Key> = std::sync::LazyLock::new(Key::rsa);
    match kind {
        "ed" => &ED,
        "rsa" => &RSA,
        _ => key_of("algs"),
    }
}

const POLICIES: &str = r#"
@id("most-do-all")
@max_ttl("10m")
@max_lifetime("10m")
permit (principal, action == Jitney::Action::"mint", resource in Jitney::Audience::"https://api.example.com")
unless { principal.id == "nothing" || principal.id == "brief" };

@id("most-do-all-at-the-second")
@max_ttl("10m")
permit (principal, action == Jitney::Action::"mint", resource in Jitney::Audience::"https://second.example.com")
unless { principal.id == "nothing" || principal.id == "brief" };

@id("brief-is-brief")
@max_ttl("4s")
@max_lifetime("4s")
permit (
  principal == Jitney::Workload::"brief",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://api.example.com orders:read"
);

@id("nobody-purges")
forbid (
  principal,
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://api.example.com orders:purge"
);
"#;

impl Catalogue {
    /// With this file in place of another of its path.
    pub fn put(&mut self, path: &str, content: String) {
        self.0.retain(|(other, _)| other != path);
        self.0.push((path.to_owned(), content));
    }

    /// Writes the files below `dir`.
    pub fn write(&self, dir: &Path) {
        for (path, content) in &self.0 {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// Where a workload's file stands.
pub fn workload_path(id: &str) -> String {
    format!("workloads/{id}.toml")
}

/// A workload's file. Its keys stand inline, as TOML reads JSON's strings and lists but not its colons.
pub fn workload(id: &str, expires: &str, jwks: &str, more: &str) -> String {
    format!(
        "owner = \"team-{id}@example.com\"\npurpose = \"Tests what {id} gets\"\nexpires = {expires}\n\n[[identity]]\ntype = \
         \"private_key_jwt\"\njwks = {}\n{more}\n",
        inline(jwks)
    )
}

fn audience(id: &str) -> String {
    format!(
        "id = \"{id}\"\nowner = \"team-api@example.com\"\npurpose = \"Tests\"\nmax_ttl = \"10m\"\nmax_lifetime = \"8h\"\n\n\
         [scopes]\n\"orders:read\" = \"Read\"\n\"orders:read:*\" = \"Read one\"\n\"orders:write\" = \"Write\"\n\
         \"orders:purge\" = \"Purge\"\n\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {}\n",
        inline(&key_of(id).jwks())
    )
}

/// A JWK set as an inline table of TOML.
fn inline(jwks: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(jwks).unwrap();
    let keys = document["keys"].as_array().unwrap().iter().map(|key| {
        let members = key.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}"));
        format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
    });
    format!("{{ keys = [{}] }}", keys.collect::<Vec<_>>().join(", "))
}
