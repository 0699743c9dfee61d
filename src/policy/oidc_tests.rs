//! Platform identities as files name them: what loads, what does not and why, and what policies may say of their claims.

use super::fixtures::{NOW, audience_file, jwks, refused, set};
use super::{PolicySet, TaskNaming};

const GOOD: &str = "\
owner = \"team@example.com\"
purpose = \"Tests\"
expires = 2027-06-30
[[identity]]
type = \"oidc\"
issuer = \"https://token.actions.githubusercontent.com\"
claims = { repository_id = \"1\", ref = { glob = \"refs/tags/v*\" } }
keep = [\"repository\", \"ref\", \"kubernetes.io/pod/uid\"]
task = \"{run_id}.{run_attempt}\"
";

fn files(workload: &str, policies: &str) -> Vec<(String, String)> {
    vec![
        ("workloads/alpha.toml".into(), workload.into()),
        ("audiences/api.toml".into(), audience_file("https://api.example.com")),
        ("keys/platform.jwks.json".into(), jwks()),
        ("policies.cedar".into(), policies.into()),
    ]
}

#[test]
fn a_platform_s_token_is_trusted_with_a_few_lines() {
    let (set, warnings) = PolicySet::from_sources(files(GOOD, ""), NOW).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(warnings.is_empty(), "{}", warnings[0]);
    let issuer = set.issuer("https://token.actions.githubusercontent.com").unwrap();
    let member = &issuer.keys[0].members[0];
    assert!(member.client.is("alpha") && matches!(member.task, TaskNaming::Attested(_)));
    let claims =
        serde_json::json!({"repository_id": "1", "ref": "refs/tags/v2", "repository": "o/r", "actor": "mallory"});
    let claims = &crate::jose::Object::of(claims);
    assert!(member.oidc.is_shown_by(claims));
    let kept: Vec<_> = member.oidc.kept(claims).map(|(name, text)| format!("{name}={text}")).collect();
    assert_eq!(kept, ["repository=o/r", "ref=refs/tags/v2"]);
    assert!(set.issuer("https://token.actions.githubusercontent.com/").is_none());
}

#[test]
fn issuers_are_sorted_by_the_place_of_their_keys() {
    let other = "[[identity]]\ntype = \"oidc\"\nissuer = \"https://idp.example.com\"\nclaims = { sub = \"x\" }\n";
    let text = format!(
        "{}{other}{other}{other}jwks_uri = \"https://idp.example.com/keys\"\n{other}jwks_file = \"../keys/platform.jwks.json\"\n\
         {other}jwks_file = \"../keys/platform.jwks.json\"\naudience = \"jitney\"\n",
        GOOD.split_inclusive('\n').take(3).collect::<String>()
    );
    let (set, _) = PolicySet::from_sources(files(&text, ""), NOW).unwrap_or_else(|findings| panic!("{findings}"));
    let members: Vec<_> =
        set.issuer("https://idp.example.com").unwrap().keys.iter().map(|keys| keys.members.len()).collect();
    assert_eq!(members, [2, 1, 2]);
    assert!(set.names_audience("jitney") && !set.names_audience("other"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place_and_mend() {
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from));
        GOOD.replace(from, to)
    };
    let github = "https://token.actions.githubusercontent.com";
    let rows = [
        (with("issuer =", "#"), "4:1", "write issuer = "),
        (with("https://token", "http://token"), "6:10", "plain http reaches this machine only"),
        (with(github, "token.actions.githubusercontent.com"), "6:10", "it does not begin with https://"),
        (with(github, "https://Token.actions.githubusercontent.com"), "6:10", "lower case"),
        (with(github, "https://a@b"), "6:10", "without user"),
        (with(github, "https://a?b"), "6:10", "without user"),
        (with(github, "https://"), "6:10", "cannot be used"),
        (with("repository_id = \"1\"", "repository = \"o/r\""), "7:10", "an exact `repository_id` is missing"),
        (with(", ref = { glob = \"refs/tags/v*\" }", ""), "7:10", "`environment` or `ref` or `job_workflow_ref`"),
        (with("claims =", "#"), "6:10", "write claims = { repository_id"),
        (with(github, "https://oidc.eks.eu-west-1.amazonaws.com"), "6:10", "no tenant's own"),
        (with("\"1\"", "[\"1\"]"), "7:28", "cannot be compared so"),
        (with("\"1\"", "1.5"), "7:28", "cannot be compared so"),
        (with("{ glob =", "{ like ="), "7:39", "ref = { glob = "),
        (with("refs/tags/v*", "refs/tags/v"), "7:39", "has no `*`"),
        (with("\"repository\",", "\"ref\","), "8:16", "name each claim once"),
        (with("\"repository\",", "\"\","), "8:9", "cannot be kept"),
        (with("{run_id}.{run_attempt}", "{run_id"), "9:8", "a `{` is not closed"),
        (with("{run_id}.{run_attempt}", "nightly"), "9:8", "every run would have the same task"),
        (with("task =", "jwks_uri = \"http://10.0.0.1/\"\ntask ="), "9:12", "plain http reaches this machine only"),
        (
            with("task =", "jwks_file = \"../keys/platform.jwks.json\"\njwks_uri = \"https://a\"\ntask ="),
            "10:12",
            "exclude each other",
        ),
        (with("task =", "audience = \"\"\ntask ="), "9:12", "1 to 512 characters"),
        (with("task =", "audience = \"https://a https://b\"\ntask ="), "9:12", "name one `aud`"),
        (with("task =", "audience = \"a\\tb\"\ntask ="), "9:12", "none of them a space or a control"),
        (with("task =", "jwks = { keys = [] }\ntask ="), "9:8", "cannot be used"),
        (with("keep =", "kept ="), "4:1", "unknown field `kept`"),
    ];
    for (text, at, words) in rows {
        let findings = refused(files(&text, ""));
        let finding = &findings.0[0];
        let shown = finding.to_string();
        assert!(shown.contains(words), "{words}: {shown}");
        assert!(format!("{}:{}", finding.line, finding.column) == at || finding.code == "toml", "{at}: {shown}");
    }
}

#[test]
fn without_claims_every_token_of_an_issuer_would_do() {
    let text = GOOD.replace("token.actions.githubusercontent.com", "idp.example.com").replace("claims =", "#");
    let findings = refused(files(&text, ""));
    assert!(findings.0[0].to_string().contains("every token of this issuer"), "{findings}");
}

#[test]
fn what_every_token_of_an_issuer_says_is_no_claim_about_whose_it_is() {
    let with = |claims: &str| {
        let text = GOOD.replace("token.actions.githubusercontent.com", "idp.example.com");
        text.replace("{ repository_id = \"1\", ref = { glob = \"refs/tags/v*\" } }", claims)
    };
    for claims in [
        "{}",
        "{ iss = \"https://idp.example.com\" }",
        "{ aud = \"https://jitney.example.com\", exp = { glob = \"1*\" } }",
        "{ iat = { glob = \"*\" }, nbf = 1, jti = \"j\" }",
        "{ sub = { glob = \"**\" } }",
    ] {
        let finding = refused(files(&with(claims), "")).0[0].to_string();
        assert!(
            finding.contains("every token of this issuer would be") && finding.contains("write claims = { sub"),
            "{finding}"
        );
    }
    for claims in ["{ iss = \"https://idp.example.com\", sub = \"s\" }", "{ sub = { glob = \"a*\" } }"] {
        PolicySet::from_sources(files(&with(claims), ""), NOW).unwrap_or_else(|findings| panic!("{findings}"));
    }
}

#[test]
fn policies_speak_of_claims_that_some_identity_keeps_and_of_no_others() {
    let permit = |condition: &str| {
        format!(
            "@id(\"p\") permit(principal, action, resource) when {{ context.identity.type == \"oidc\" && {condition} }};"
        )
    };
    let known = "context.identity.claims has repository && context.identity.claims.repository == \"o/r\"";
    let nested = "context.identity.claims has \"kubernetes.io/pod/uid\" && context.identity.claims[\"kubernetes.io/pod/uid\"] != \"\"";
    let issuer = "context.identity.claims has iss && context.identity.claims.iss like \"https://*\"";
    for condition in [known, nested, issuer] {
        let loaded = PolicySet::from_sources(files(GOOD, &permit(condition)), NOW);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
    // Nobody keeps it: a permit that waits for it grants nothing and is a warning; a forbid would guard nothing.
    let unkept = permit(&known.replace("repository", "repositroy"));
    let (_, warnings) = PolicySet::from_sources(files(GOOD, &unkept), NOW).unwrap();
    assert!(warnings[0].message.contains("impossible"), "{}", warnings[0]);
    let findings = refused(files(GOOD, &unkept.replace("permit", "forbid")));
    assert!(findings.to_string().contains("some identity's `keep`"), "{findings}");
    let bare = permit("context.identity.claims.actor == \"x\"");
    assert!(refused(files(GOOD, &bare)).0[0].code == "cedar-schema");
    assert_eq!(set("").issuers().count(), 0);
}

#[test]
fn a_token_s_candidates_are_found_among_many() {
    let workload = |n: usize, claims: &str| {
        let text = GOOD.split_inclusive('\n').take(6).collect::<String>() + &format!("claims = {{ {claims} }}\n");
        (format!("workloads/w{n:02}.toml"), text.replace("token.actions.githubusercontent.com", "idp.example.com"))
    };
    let files: Vec<_> = (0..50)
        .map(|n| workload(n, &format!("repository_id = \"{}\", environment = \"production\"", n / 2)))
        .chain([workload(50, "name = { glob = \"a*\" }"), workload(51, "environment = \"production\"")])
        .collect();
    let set = PolicySet::from_sources(files, NOW).unwrap_or_else(|findings| panic!("{findings}")).0;
    let keys = &set.issuer("https://idp.example.com").unwrap().keys[0];
    let found = |claims: serde_json::Value| -> Vec<usize> {
        let is_named = |n: &usize, member: &super::Member| member.client.is(&format!("w{n:02}"));
        let claims = crate::jose::Object::of(claims);
        let candidates = keys.candidates(&claims);
        candidates.map(|member| (0..52).find(|n| is_named(n, member)).unwrap()).collect()
    };
    assert_eq!(found(serde_json::json!({"repository_id": "7", "environment": "production"})), [14, 15, 50, 51]);
    assert_eq!(found(serde_json::json!({"repository_id": 7})), [14, 15, 50]);
    assert_eq!(found(serde_json::json!({"name": "x"})), [50]);
}
