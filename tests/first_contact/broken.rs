//! Set-ups that do not work: one check fails, by its name, with what mends it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use super::patient::{ASK, Patient};
use crate::common::{API, Backing, Broker, ISSUER, Setup, key_of, now, workload, workload_path};

/// One broker for all that only differs in who asks for what.
fn broker() -> Broker {
    Setup::default()
        .policy(&workload_path("late"), workload("late", "2020-01-31", &key_of("late").jwks(), ""))
        .start(&Backing::Embedded)
}

#[test]
fn who_asks_for_what_is_told_apart() {
    let broker = broker();
    let of = |id: &str| Patient::of(&broker, id);
    let at = |audience: &'static str, scope: &'static str| ["--audience", audience, "--scope", scope];

    let wrong_key = of("demo");
    wrong_key.write("key.pem", &key_of("nobody").pem());
    wrong_key.finds(&ASK).only(
        "authentication",
        &["invalid_client"],
        &[
            "policies/workloads/demo.toml",
            "jitney workload show demo",
            "key.pem",
            "on the broker: jitney policy explain ",
        ],
    );
    of("unheard-of").finds(&ASK).only("authentication", &["invalid_client"], &["policies/workloads/unheard-of.toml"]);

    of("late").finds(&ASK).only("workload", &["expired"], &["policies/workloads/late.toml", "expires ="]);

    let unknown = at("https://none.example.com", "orders:read");
    of("demo").finds(&unknown).only(
        "audience",
        &["invalid_target"],
        &["jitney audience list", "id = \"https://none.example.com\""],
    );

    of("demo").finds(&at(API, "orders:fry")).only(
        "scope",
        &["unknown scope", "orders:fry"],
        &["jitney audience show https://api.example.com", "[scopes]"],
    );

    of("nothing").finds(&ASK).only(
        "policy",
        &["no policy grants orders:read"],
        &["name it by --task", "jitney policy explain ", "policies/nothing.cedar"],
    );
    of("demo").finds(&at(API, "orders:read:*")).only(
        "scope",
        &["unknown scope", "name one instance in place of the `*`, such as orders:read:42"],
        &["name one instance in place of the `*`, such as orders:read:42"],
    );
    of("demo").finds(&at(API, "orders:purge")).only("policy", &["forbidden by policy nobody-purges"], &["*.cedar"]);
}

#[test]
fn a_slip_in_a_name_is_told_with_what_was_probably_meant() {
    let broker = broker();
    let admin = format!("unix:{}", broker.data().join("admin.sock").display());
    let slip = || Patient::of(&broker, "demo").set("JITNEY_WORKLOAD", "dmeo");
    // Operators may be told what workloads there are: where their socket is open to this user, it is asked.
    let told = ["did you mean JITNEY_WORKLOAD=demo?", "policies/workloads/dmeo.toml"];
    slip().set("JITNEY_ADMIN", &admin).finds(&ASK).only("authentication", &["invalid_client"], &told);
    // Elsewhere the key's file may be called after its workload.
    let alone = slip();
    let key = alone.write("demo.pem", &key_of("demo").pem());
    alone.set("JITNEY_KEY_FILE", key.to_str().unwrap()).finds(&ASK).only("authentication", &["invalid_client"], &told);
    // A key that is wrong is no slip.
    let wrong = Patient::of(&broker, "demo").set("JITNEY_ADMIN", &admin);
    wrong.write("key.pem", &key_of("nobody").pem());
    let found = wrong.finds(&ASK);
    assert!(!found.mend("authentication").contains("did you mean"), "{}", found.mend("authentication"));

    let of = |words: &[&str]| Patient::of(&broker, "demo").finds(words);
    of(&["--audience", "https://api.exmaple.com", "--scope", "orders:read"]).only(
        "audience",
        &["did you mean https://api.example.com?"],
        &["ask with --audience https://api.example.com; if that is not what was meant, on the broker: jitney audience list"],
    );
    of(&["--audience", API, "--scope", "orders:raed"]).only(
        "scope",
        &["did you mean orders:read?"],
        &["ask with --scope orders:read; if that is not what was meant, on the broker: jitney audience show"],
    );
}

#[test]
fn a_forbid_that_refuses_is_told_with_the_request_that_it_lets_through() {
    const SHORT: &str = "@id(\"short-alone\") forbid (principal == Jitney::Workload::\"demo\", action, resource) when { \
                         context.ttl > 60 };";
    let broker = Setup::default().policy("short.cedar", SHORT).start(&Backing::Embedded);
    let admin = format!("unix:{}", broker.data().join("admin.sock").display());
    let known = || Patient::of(&broker, "demo").set("JITNEY_ADMIN", &admin);
    known().finds(&ASK).only(
        "policy",
        &["forbidden by policy short-alone"],
        &["policy short-alone (", "forbids it, for `context.ttl > 60` holds", "ask for a ttl of 60 s (1m)"],
    );
    let shorter = [&ASK[..], &["--ttl", "60"]].concat();
    let found = known().finds(&shorter);
    found.are("fail", &[]);
    assert!(found.detail("policy").contains("for 60 s"), "{found:#?}");
    let longer = [&ASK[..], &["--ttl", "2h"]].concat();
    known().finds(&longer).only("policy", &["ttl of 7200 s is above the longest"], &["ask for a ttl of 60 s (1m)"]);
}

#[test]
fn a_quarantine_is_told_with_the_command_that_lifts_it() {
    let broker = broker();
    let put = broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "drill"]);
    assert!(put.status.success());
    let patient = Patient::of(&broker, "demo");
    patient.finds(&ASK).only("workload", &["quarantine"], &["jitney workload release demo --reason"]);
    assert!(broker.cli("demo", &["workload", "release", "demo", "--reason", "over"]).status.success());
    patient.finds(&ASK).are("fail", &[]);
}

#[test]
fn the_permit_that_is_told_is_the_one_that_was_missing() {
    let mut broker = broker();
    let admin = format!("unix:{}", broker.data().join("admin.sock").display());
    // Who may not be told of policies is told of no permit: there may be one whose condition fails.
    let (_, told) = Patient::of(&broker, "nothing").hears(&ASK);
    assert!(!told.contains("permit ("), "{told}");
    let (code, told) = Patient::of(&broker, "nothing").set("JITNEY_ADMIN", &admin).hears(&ASK);
    assert_eq!(code, Some(1), "{told}");
    let from = told.find("@id(").unwrap();
    let to = from + told[from..].find(");").unwrap() + 2;
    fs::write(broker.policy("nothing.cedar"), &told[from..to]).unwrap();
    broker.stop();
    broker.start_again();
    Patient::of(&broker, "nothing").finds(&ASK).are("fail", &[]);
}

#[test]
fn a_condition_that_fails_is_told_and_no_permit_around_it() {
    const NIGHTLY: &str = "@id(\"nothing-reads-at-night\") permit (principal == Jitney::Workload::\"nothing\", action, \
                           resource == Jitney::Scope::\"https://api.example.com orders:read\") when { context.task like \
                           \"night-*\" };";
    let broker = Setup::default().policy("night.cedar", NIGHTLY).start(&Backing::Embedded);
    let admin = format!("unix:{}", broker.data().join("admin.sock").display());
    let other = [&ASK[..], &["--task", "other"]].concat();
    let known = || Patient::of(&broker, "nothing").set("JITNEY_ADMIN", &admin);
    for words in [&other[..], &ASK] {
        let found = known().finds(words);
        found.only(
            "policy",
            &["no policy grants orders:read"],
            &[
                "policy nothing-reads-at-night (",
                "`context.task like \"night-*\"`, which fails",
                "name the task like `night-*`, as `night-1`",
                "jitney policy explain ",
            ],
        );
        assert!(!found.mend("policy").contains("permit ("), "{}", found.mend("policy"));
    }
    let alone = Patient::of(&broker, "nothing").finds(&other);
    assert!(alone.mend("policy").starts_with("conditions on the task's name"), "{}", alone.mend("policy"));
    assert!(!alone.mend("policy").contains("permit ("), "{}", alone.mend("policy"));
    known().finds(&[&ASK[..], &["--task", "night-1"]].concat()).are("fail", &[]);
    // A folder that does not load is why a change has not come.
    fs::write(broker.policy("broken.cedar"), "permit(").unwrap();
    let told = known().finds(&other);
    assert!(told.mend("policy").contains("does not load"), "{}", told.mend("policy"));
}

#[test]
fn a_broker_that_is_down_is_told_from_one_that_is_none() {
    let mut broker = broker();
    let patient = Patient::of(&broker, "demo");
    broker.stop();
    let findings = patient.finds(&ASK);
    findings.only("tcp", &["refused"], &["jitney serve --config", "JITNEY_URL"]);
    findings.are("pass", &["settings", "dns", "identity", "key_file"]);

    let other = Other::start(|_| "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n".to_owned());
    Patient::at(&other.0, "demo").finds(&ASK).only("http", &["404", "no jitney broker"], &["JITNEY_URL"]);
    let other = Other::start(|_| "220 mail.example.com ESMTP\r\n".to_owned());
    Patient::at(&other.0, "demo").finds(&ASK).only("http", &["broke"], &["http or https"]);
    // A label longer than any may be has no address, and no name server is asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let getent = format!("getent hosts {host}");
    Patient::at(&format!("https://{host}"), "demo").finds(&ASK).only("dns", &[&host], &[&getent]);
}

#[test]
fn a_broker_of_another_name_is_told() {
    let broker = broker();
    Patient::of(&broker, "demo").set("JITNEY_ISSUER", "https://other.example.com").finds(&ASK).only(
        "issuer",
        &[ISSUER, "https://other.example.com"],
        &["JITNEY_ISSUER=https://broker.example.com"],
    );
}

#[test]
fn a_clock_that_is_an_hour_off_is_told() {
    for (off, word) in [(-3600, "1h ahead of"), (3600, "behind")] {
        let other = Other::start(move |url| {
            let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{url}/oauth2/token"}}"#);
            let date = http_date(now().saturating_add_signed(off));
            format!("HTTP/1.1 200 X\r\ndate: {date}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
        let findings = Patient::at(&other.0, "demo").finds(&ASK);
        findings.only("clock", &[word, "30 s may be"], &["timedatectl set-ntp true"]);
    }
}

#[test]
fn settings_and_files_are_told_before_anybody_is_asked() {
    let patient = || Patient::at("http://127.0.0.1:1", "demo");
    patient().without("JITNEY_URL").finds(&ASK).only("settings", &["JITNEY_URL is not set"], &["JITNEY_URL=", "init"]);
    patient().set("JITNEY_URL", "https://a:swordfish@b.example.com").finds(&ASK).only(
        "settings",
        &["user name or password"],
        &["JITNEY_URL"],
    );
    let broker = broker();
    let patient = || Patient::of(&broker, "demo");
    let findings = patient().without("JITNEY_KEY_FILE").finds(&ASK);
    findings
        .only("identity", &["nothing here proves"], &["JITNEY_KEY_FILE to the private key of demo"])
        .are("pass", &super::patient::CHECKS[..7]);
    let broken = patient();
    broken
        .write("key.pem", "-----BEGIN PRIVATE KEY-----\nnothing to see here, move along\n-----END PRIVATE KEY-----\n");
    broken.finds(&ASK).only("identity", &["key.pem"], &["JITNEY_KEY_FILE"]);

    for kind in ["ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"] {
        let other = patient();
        other.write("key.pem", &format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n"));
        other.finds(&ASK).only("identity", &["openssl pkcs8 "], &["convert the key with the command that is named"]);
    }

    let open = patient();
    fs::set_permissions(open.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let findings = open.finds(&ASK);
    findings.only("key_file", &["mode 0644"], &["chmod 600", "key.pem"]).are("skipped", &[]);
}

/// Something that listens and is no broker; it gives everybody the same answer, for as long as the test's process runs.
struct Other(String);

impl Other {
    fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let own = url.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer_all(&stream, &|| answer(&own));
            }
        });
        Self(url)
    }
}

/// Answers requests until the other end leaves.
fn answer_all(stream: &TcpStream, answer: &dyn Fn() -> String) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            (&mut &*stream).write_all(answer().as_bytes())?;
        }
    }
    Ok(())
}

/// RFC 9110 §5.6.7, by way of the moment's own text: only its form is rearranged here.
fn http_date(at: u64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(at.cast_signed()).unwrap();
    let (weekday, month) = (moment.weekday().to_string(), moment.month().to_string());
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        moment.day(),
        &month[..3],
        moment.year(),
        moment.hour(),
        moment.minute(),
        moment.second()
    )
}
