//! Where nothing says who this is, or not to this broker.

use super::fake::broker::{Broker, Manner};
use super::{ASK, jitney, text};

#[test]
fn where_nothing_is_found_all_that_was_looked_for_is_said_and_how_it_is_mended() {
    let broker = Broker::start(Manner::default());
    let places = [
        "JITNEY_KEY_FILE and JITNEY_ASSERTION_FILE: not set",
        "ACTIONS_ID_TOKEN_REQUEST_URL is not set",
        "JITNEY_ID_TOKEN (GitLab)",
        "/var/run/secrets/tokens/jitney",
    ];
    let id_tokens = format!("id_tokens: {{ JITNEY_ID_TOKEN: {{ aud: {} }} }}", broker.url());
    let projected = format!("serviceAccountToken: {{ audience: {}, path: jitney }}", broker.url());
    let platforms = [
        ("HOME", "jitney serve --dev"),
        ("GITHUB_ACTIONS", "permissions: { id-token: write }"),
        ("GITLAB_CI", &id_tokens),
        ("KUBERNETES_SERVICE_HOST", &projected),
    ];
    for (variable, mend) in platforms {
        for command in ["token", "run"] {
            let mut jitney = jitney(&broker, &[command]);
            jitney.args(ASK).env(variable, "true");
            if command == "run" {
                jitney.args(["--", "true"]);
            }
            let output = jitney.output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.starts_with("error: nothing here proves who this workload is"), "{said}");
            let (looked, next) = said.split_once("next:").unwrap();
            assert!(places.iter().all(|place| looked.contains(place)), "{said}");
            assert!(next.contains(mend), "{said}");
        }
    }
    assert!(broker.requests().is_empty());
}
