//! The configuration as a person meets it.

use std::collections::HashSet;

use super::keys::{KEYS, LATER, SECTIONS};
use super::*;

fn pairs<'a>(env: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jitney.toml");
    std::fs::write(&file, text).unwrap();
    let folder = format!("{}/", dir.path().display());
    Config::load(Some(&file), pairs(env)).map_err(|error| error.to_string().replace(&folder, ""))
}

fn refused(text: &str, env: &[(&str, &str)]) -> String {
    load(text, env).expect_err(text)
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Config::load(None, pairs(&[])).unwrap();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(config.server.listen, "127.0.0.1:8180".parse().unwrap());
    assert_eq!(config.issuer("127.0.0.1:4711".parse().unwrap()), "http://127.0.0.1:4711");
    let tokens = Tokens { default_ttl: minutes(5), max_ttl: minutes(60), max_lifetime: minutes(480) };
    assert_eq!(config.tokens, tokens);
    assert_eq!(config.tasks, Tasks { closed_for: minutes(10), bearer_complete: true });
    assert_eq!((config.keys.storage, config.keys.jwks_max_age), (KeyStorage::File, minutes(10)));
    assert_eq!((config.limits.body, config.store.min_replicas), (65_536, 0));
    assert!(!config.server.allow_plain_http && !config.server.accept_endpoint_audience);
}

#[test]
fn limits_left_alone_are_those_of_the_listener() {
    let ours = Config::load(None, pairs(&[])).unwrap().limits.for_listener();
    assert_eq!(format!("{ours:?}"), format!("{:?}", crate::net::Limits::default()));
}

#[test]
fn the_environment_holds_over_the_file_and_both_over_the_defaults() {
    let text = "[tokens]\ndefault_ttl = \"2m\"\nmax_ttl = 1200\n[store]\naccept_unsafe = [\"appendonly\", \"clock\"]\n\
                [limits]\nbody = \"1MiB\"\nheader = 9000\n[tasks]\nbearer_complete = false\n";
    let config = load(text, &[("JITNEY_TOKENS_MAX_TTL", "30m"), ("JITNEY_STORE_MIN_REPLICAS", "0")]).unwrap();
    assert_eq!(config.tokens.default_ttl.as_secs(), 120);
    assert_eq!(config.tokens.max_ttl.as_secs(), 1800);
    assert_eq!(config.tokens.max_lifetime.as_secs(), 8 * 3600);
    assert_eq!(config.store.accept_unsafe, ["appendonly", "clock"]);
    assert_eq!((config.limits.body, config.limits.header), (1 << 20, 9000));
    assert!(!config.tasks.bearer_complete);
    let config =
        load("", &[("JITNEY_STORE_ACCEPT_UNSAFE", "role, sync"), ("JITNEY_AUDIT_DURABILITY", "sync")]).unwrap();
    assert_eq!(config.store.accept_unsafe, ["role", "sync"]);
    assert_eq!(config.audit.durability, Durability::Sync);
}

#[test]
fn a_setting_that_no_store_has_is_not_accepted_as_unsafe() {
    let error = load("", &[("JITNEY_STORE_ACCEPT_UNSAFE", "appendonly,appendfsink")]).unwrap_err().to_string();
    assert!(
        error.contains("nothing is named `appendfsink`: did you mean `appendfsync`? There are appendonly, "),
        "{error}"
    );
    let error = load("[store]\naccept_unsafe = [\"whatever\"]\n", &[]).unwrap_err().to_string();
    assert!(error.contains("jitney.toml:2:1: `accept_unsafe` of `[store]`: nothing is named `whatever`"), "{error}");
}

#[test]
fn paths_of_the_file_start_at_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jitney.toml");
    std::fs::write(&file, "[policies]\ndir = \"p\"\n[store]\nurl = \"embedded:s\"\n").unwrap();
    let config = Config::load(Some(&file), pairs(&[("JITNEY_AUDIT_PATH", "a.jsonl")])).unwrap();
    assert_eq!(config.policies.dir, dir.path().join("p"));
    assert!(matches!(config.store.url, StoreUrl::Embedded(path) if path == dir.path().join("s")));
    assert_eq!(config.audit.path, Path::new("a.jsonl"));
}

#[test]
fn tls_may_be_a_table_of_its_own() {
    let flat = load("[server]\ntls_cert = \"/c\"\ntls_key = \"/k\"\n", &[]).unwrap();
    let table = load("[server.tls]\ncert = \"/c\"\nkey = \"/k\"\n", &[]).unwrap();
    let files = TlsFiles { cert: "/c".into(), key: "/k".into() };
    assert_eq!((flat.server.tls.as_ref(), table.server.tls.as_ref()), (Some(&files), Some(&files)));
    assert_eq!(flat.issuer("127.0.0.1:1".parse().unwrap()), "https://127.0.0.1:1");
    let twice = "[server]\ntls_cert = \"/c\"\n[server.tls]\ncert = \"/d\"\nkey = \"/k\"\n";
    assert!(refused(twice, &[]).contains("given twice"));
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_the_mend() {
    let cases = [
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n  isuer = \"x\"\n",
            "jitney.toml:3:3: there is no setting `isuer` in `[server]`: did you mean `issuer` in `[server]`?",
        ),
        ("[policy]\n", "jitney.toml:1:2: there is no section `[policy]`: did you mean `[policies]`?"),
        ("[elsewhere]\n", "jitney.toml:1:2: there is no section `[elsewhere]`"),
        ("[servr]\n", "jitney.toml:1:2: there is no section `[servr]`: did you mean `[server]`?"),
        (
            "[tasks]\nmax_lifetime = \"1h\"\n",
            "jitney.toml:2:1: there is no setting `max_lifetime` in `[tasks]`: did you mean `max_lifetime` in `[tokens]`?",
        ),
        (
            "[audit]\ncolour = 1\n",
            "jitney.toml:2:1: there is no setting `colour` in `[audit]`: docs/configuration.md lists all settings",
        ),
        (
            "listen = \"127.0.0.1:1\"\n",
            "jitney.toml:1:1: `listen` stands outside of a section: it belongs to `[server]`",
        ),
        ("server = 1\n", "jitney.toml:1:1: `server` is a section: write `[server]`"),
        (
            "[tokens]\nmax_ttl = true\n",
            "jitney.toml:2:11: `max_ttl` of `[tokens]` is a span of time in quotes, like `\"5m\"`, not boolean",
        ),
        (
            "[tokens]\nmax_ttl = \"1 hour\"\n",
            "jitney.toml:2:1: `max_ttl` of `[tokens]`: `1 hour` is no span of time: write a whole number with s, m, h or d, like `5m`",
        ),
        (
            "[server]\nlisten = \"localhost\"\n",
            "jitney.toml:2:1: `listen` of `[server]`: no address to listen on: write an IP address and a port, like `127.0.0.1:8180` or `[::1]:8180`",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:1\"\n",
            "jitney.toml:2:1: the admin API on a network address is not built yet: use the Unix socket, `socket`",
        ),
        ("[keys]\nstorage = \"hsm\"\n", "jitney.toml:2:1: `storage` of `[keys]`: write `file` or `memory`"),
        (
            "[limits]\nconnections = 0\n",
            "jitney.toml:2:1: `connections` of `[limits]`: write a whole number from 1 to 1000000",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text, &[]), expected);
    }
    assert!(refused("[server]\nlisten = \n", &[]).starts_with("jitney.toml:2:10: no TOML: "));
    assert!(refused("[telemetry]\nlog = \"loud\"\n", &[]).contains("`loud` is no log level"));
    let missing = Config::load(Some(Path::new("/no/such/jitney.toml")), pairs(&[])).unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/jitney.toml: cannot be read: "), "{missing}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let error = refused("[server]\nfoo = 1\n[tokens]\nmax_ttl = \"x\"\n", &[("JITNEY_KEYS_STORAGE", "hsm")]);
    assert_eq!(error.lines().count(), 3, "{error}");
    assert!(error.contains("environment JITNEY_KEYS_STORAGE: `storage` of `[keys]`: write"), "{error}");
}

#[test]
fn unknown_twins_are_refused_and_clients_names_are_not() {
    let cases = [
        ("JITNEY_SERVER_ISUER", "did you mean `JITNEY_SERVER_ISSUER`?"),
        ("JITNEY_TOKENS_CLOSED_FOR", "did you mean `JITNEY_TASKS_CLOSED_FOR`?"),
        ("JITNEY_ADMIN_LISTEN", "not built yet"),
    ];
    for (name, mend) in cases {
        let error = refused("", &[(name, "x")]);
        assert!(error.starts_with(&format!("environment {name}: ")) && error.contains(mend), "{error}");
    }
    let clients = [
        "JITNEY_URL",
        "JITNEY_WORKLOAD",
        "JITNEY_KEY_FILE",
        "JITNEY_ASSERTION_FILE",
        "JITNEY_ID_TOKEN",
        "JITNEY_ADMIN",
        "JITNEY_TOKEN",
        "JITNEY_TOKEN_FILE",
        "JITNEY_AUDIENCE",
        "JITNEY_AUDIENCE_KEY_FILE",
        "JITNEY_ISSUER",
        "PATH",
        "JITNEY_FUTURE",
    ];
    for name in clients {
        assert!(load("", &[(name, "x")]).is_ok(), "{name}");
    }
}

#[test]
fn unsafe_mixes_are_refused_where_they_stand() {
    let open = "[server]\nlisten = \"0.0.0.0:8180\"\nissuer = \"https://a.example\"\n";
    assert!(refused(open, &[]).starts_with("jitney.toml:2:1: plain HTTP for other machines"));
    assert!(load(open, &[("JITNEY_SERVER_ALLOW_PLAIN_HTTP", "true")]).is_ok());
    assert!(load(&format!("{open}tls_cert = \"c\"\ntls_key = \"k\"\n"), &[]).is_ok());
    let nameless = "[server]\nlisten = \"0.0.0.0:8180\"\nallow_plain_http = true\n";
    assert!(refused(nameless, &[]).contains("set `issuer`"));
    let cases = [
        ("[server]\nissuer = \"http://a.example\"\n", "jitney.toml:2:1: an `http` issuer"),
        ("[server]\ntls_cert = \"c\"\n", "jitney.toml:2:1: `tls_cert` without `tls_key`"),
        ("[server]\ntls_key = \"c\"\n", "jitney.toml:2:1: `tls_key` without `tls_cert`"),
        ("[server]\nforward_auth = true\n", "jitney.toml:2:1: `forward_auth` without `forward_auth_audiences`"),
        ("[tokens]\nmax_ttl = \"1m\"\n", "configuration: `default_ttl` is longer than `max_ttl`"),
        ("[tokens]\nmax_lifetime = \"30m\"\n", "jitney.toml:2:1: `max_lifetime` is shorter"),
        ("[keys]\nrotation = \"10m\"\n", "jitney.toml:2:1: `rotation` must be longer"),
        ("[store]\nmin_replicas = 1\n", "jitney.toml:2:1: the embedded store has no replicas"),
    ];
    for (text, expected) in cases {
        assert!(refused(text, &[]).starts_with(expected), "{}", refused(text, &[]));
    }
    for issuer in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://a.example"] {
        assert!(load(&format!("[server]\nissuer = \"{issuer}\"\n"), &[]).is_ok(), "{issuer}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let config = load("[store]\nurl = \"redis://u:hunter2@h:6379\"\n", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let bad = [("JITNEY_STORE_URL", "redis://u:hunter2@h:port")];
    for error in [refused("[store]\nurl = \"redos://u:hunter2@h\"\n", &[]), refused("", &bad)] {
        assert!(!error.contains("hunter2") && error.contains("redis://"), "{error}");
    }
}

#[test]
fn dev_keeps_everything_in_its_folder_and_the_environment_still_holds() {
    let config =
        Config::dev(Path::new("d"), pairs(&[("JITNEY_AUDIT_PATH", "/a"), ("JITNEY_SERVER_LISTEN", "127.0.0.1:0")]));
    let config = config.unwrap();
    assert!(matches!(&config.store.url, StoreUrl::Embedded(path) if path == Path::new("d/store")));
    assert_eq!((&*config.policies.dir, &*config.keys.dir), (Path::new("d/policies"), Path::new("d/keys")));
    assert_eq!((&*config.admin.socket, &*config.audit.path), (Path::new("d/admin.sock"), Path::new("/a")));
    assert_eq!(config.server.listen.port(), 0);
    let env = [
        ("JITNEY_SERVER_LISTEN", "0.0.0.0:1"),
        ("JITNEY_SERVER_ALLOW_PLAIN_HTTP", "true"),
        ("JITNEY_SERVER_ISSUER", "https://a.example"),
    ];
    let error = Config::dev(Path::new("d"), pairs(&env)).unwrap_err().to_string();
    assert!(error.contains("--dev serves this machine only"), "{error}");
}

#[test]
fn every_setting_is_settable_from_both_sides_and_named_once() {
    let mut names = HashSet::new();
    for key in KEYS {
        assert!(names.insert(key.env()), "{} is there twice", key.env());
        assert!(SECTIONS.iter().any(|(section, _)| *section == key.section), "{}", key.section);
        assert!(Config::load(None, [(key.env(), key.default.to_owned())]).is_ok(), "{}", key.env());
        assert!(!LATER.iter().any(|later| (later.0, later.1) == (key.section, key.name)));
    }
}

#[test]
fn the_page_about_the_settings_is_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("REWRITE_DOCS").is_some() {
        std::fs::write(&page, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written == reference(), "docs/configuration.md is stale: REWRITE_DOCS=1 cargo test --lib config::");
}
