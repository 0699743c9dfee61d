//! A link in the policies that leads out of them: a broker may read through it, and shows nothing of what it leads to.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::{Backing, Broker, eventually};

const PASSWORD: &str = "sup3rs3cretpw";

#[test]
fn what_a_link_out_of_the_policies_leads_to_is_shown_nowhere() {
    let broker = Broker::start(&Backing::Embedded);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("environ");
    for (path, text) in [
        ("x.cedar", format!("JITNEY_STORE_URL=redis://:{PASSWORD}@127.0.0.1/\0")),
        ("x.cedar", PASSWORD.to_owned()),
        ("workloads/x.toml", format!("{PASSWORD} = 1\n")),
        ("audiences/x.toml", format!("id = [\"{PASSWORD}\"]\n")),
        ("jitney.cedarschema", format!("type {PASSWORD};;\n")),
    ] {
        let link = broker.policy(path);
        let _ = fs::remove_file(&link);
        fs::write(&secret, text).unwrap();
        symlink(&secret, &link).unwrap();
        let refused = broker.operator("/admin/v1/policies/reload", json!({}));
        assert_eq!(refused.outcome(), (422, "invalid_policies".into()), "{}", refused.text());
        let told = refused.field("error_description");
        assert!(told.contains(path) && told.contains("its words are not shown"), "{told}");
        let status = broker.cli("demo", &["status"]);
        let check = broker.cli("demo", &["policy", "check", broker.policy("").to_str().unwrap()]);
        let shown =
            [&status.stdout, &status.stderr, &check.stdout, &check.stderr].map(|out| String::from_utf8_lossy(out));
        assert!(shown[1].contains("its words are not shown"), "{}", shown[1]);
        eventually("the log tells of it", || broker.stderr().contains(&format!("{path}:1:")).then_some(()));
        for text in shown.iter().map(|text| &**text).chain([told.as_str(), &broker.stderr(), &refused.text()]) {
            assert!(!text.contains(PASSWORD), "{text}");
        }
        assert!(!fs::read_to_string(broker.audit_path()).unwrap().contains(PASSWORD));
        fs::remove_file(&link).unwrap();
        broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
    }
}
