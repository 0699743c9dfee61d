//! A row a rule: edits that break it and nothing else, and edits that look alike and break nothing.

use serde_json::json;

use crate::common::{Key, base64url};
use crate::tree::{Edit, jwk};

/// One row.
pub struct Row {
    pub name: &'static str,
    pub code: &'static str,
    pub breaks: Vec<Edit<'static>>,
    pub twins: Vec<Vec<Edit<'static>>>,
}

const REPORT: &str = "workloads/report.toml";
const MAILER: &str = "workloads/mailer.toml";
const ORDERS: &str = "audiences/orders.toml";
const CEDAR: &str = "orders.cedar";
const PURPOSE: &str = "Mails each customer the invoice of a paid order";
const OWNER: &str = "team-finance@example.com";
const EXPIRES: &str = "expires = 2027-06-30";
const WHEN: &str = "when { context.task like \"nightly-*\" }";
const READ: &str = "Jitney::Scope::\"https://orders.example.com orders:read\"";

/// One edit that breaks the rule, and one each that does not.
fn row(name: &'static str, code: &'static str, breaks: Edit<'static>, twins: &[Edit<'static>]) -> Row {
    Row { name, code, breaks: vec![breaks], twins: twins.iter().map(|twin| vec![*twin]).collect() }
}

/// A text that lives as long as the tests.
fn kept(text: String) -> &'static str {
    text.leak()
}

pub fn rows() -> Vec<Row> {
    [of_words(), of_days(), of_width(), of_times(), of_use(), of_invariants(), of_names(), of_keys(), of_files()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_invariants() -> Vec<Row> {
    const FILE: &str = "invariants/own.cedar";
    let forbid = |id: &str, rest: &str| kept(format!("@id(\"{id}\")\nforbid (principal, action, resource){rest};\n"));
    let holds = forbid("i", " when { context.task == \"x\" }");
    let named = "forbid (principal == Jitney::Workload::\"nobody\", action, resource);\n";
    vec![
        row(
            "an invariant that a permit breaks",
            "invariant-broken",
            (FILE, "", forbid("i", " when { context.task like \"nightly-*\" }")),
            &[(FILE, "", holds), (FILE, "", forbid("i", " unless { context.ttl <= 600 || context.ttl > 600 }"))],
        ),
        row("one that permits", "invariant-broken", (FILE, "", kept(holds.replace("forbid", "permit"))), &[]),
        row("one that names nobody", "invariant-broken", (FILE, "", kept(format!("@id(\"i\")\n{named}"))), &[]),
        row("one that cannot be read", "invariant-broken", (FILE, "", "forbid (principal"), &[]),
        row(
            "one that nothing shows to hold",
            "invariant-unproven",
            (
                FILE,
                "",
                kept(format!(
                    "@id(\"i\")\nforbid (principal, action, resource == {READ}) when {{ context.ttl * 3 == 1000 }};\n"
                )),
            ),
            &[],
        ),
    ]
}

/// What is named by text, in policies and in invariants.
fn of_names() -> Vec<Row> {
    const FILE: &str = "invariants/own.cedar";
    let guard = |head: &str, when: &str| {
        kept(format!("\n@id(\"guard\")\nforbid ({head}) when {{ ({when}) && context.task like \"zz*\" }};\n"))
    };
    let all = "principal, action, resource";
    let of_audience = "principal, action, resource in Jitney::Audience::\"https://orders.example.com\"";
    let pair = |name, code, file, head: &str, when: &str, twins: &[&str]| Row {
        name,
        code,
        breaks: vec![(file, "", guard(head, when))],
        twins: twins.iter().map(|twin| vec![(file, "", guard(head, twin))]).collect(),
    };
    let never = |name, file, when: &str, twins: &[&str]| pair(name, "name-never", file, all, when, twins);
    let unmatched =
        |name, file, when: &str, twins: &[&str]| pair(name, "guard-unmatched", file, of_audience, when, twins);
    let token = |rest: &str| {
        kept(format!(
            "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\ntask = \"ci-{{ref}}\"\nclaims = {{ repo = \"9\", {rest} }}\n"
        ))
    };
    vec![
        row(
            "a pattern of a task that there cannot be",
            "name-never",
            (CEDAR, "nightly-*", "pick-?*"),
            &[
                (CEDAR, "nightly-*", "pick-*"),
                (CEDAR, "context.task like \"nightly-*\"", "resource.name like \"orders?*\" || context.ttl < 9"),
            ],
        ),
        row(
            "a task with a space",
            "name-never",
            (CEDAR, "context.task like \"nightly-*\"", "context.task == \"nightly run\""),
            &[],
        ),
        never("one that a forbid is about", CEDAR, "context.task like \"*//*\"", &["context.task like \"*/*\""]),
        never("one that it leaves out", CEDAR, "context.task != \"a b\"", &["context.task != \"a-b\""]),
        never(
            "an open scope that nobody asks for",
            FILE,
            "resource.name == \"orders:read:*\"",
            &["resource.name like \"orders:read:*\""],
        ),
        never("a workload in a folder", FILE, "principal.id like \"team/*\"", &["principal.id like \"rep*\""]),
        never(
            "an audience that is no URI",
            FILE,
            "resource.audience.id == \"orders\"",
            &["resource.audience.id like \"*orders*\""],
        ),
        row(
            "a claim that makes no task",
            "name-never",
            (MAILER, "", token("ref = { glob = \"refs/tags/*\" }")),
            &[(MAILER, "", token("ref = { glob = \"v*\" }"))],
        ),
        row(
            "one that makes none as it is",
            "name-never",
            (MAILER, "", token("ref = \"main branch\"")),
            &[(MAILER, "", token("ref = \"main\""))],
        ),
        unmatched(
            "an invariant on a scope that is called otherwise",
            FILE,
            "resource.name == \"orders:wirte\"",
            &[
                "resource.name == \"orders:write\"",
                "resource.name != \"orders:wirte\"",
                "resource.name == \"orders:read:7\"",
            ],
        ),
        unmatched(
            "a list of which nothing is there",
            FILE,
            "[\"orders:change\", \"orders:purge\"].contains(resource.name)",
            // One name is the old one, or the new one: so a scope is called otherwise.
            &[
                "[\"orders:write\", \"orders:purge\"].contains(resource.name)",
                "[\"orders:purge\", \"orders:write\"].contains(resource.name)",
                "resource.name == \"orders:purge\" || resource.name == \"orders:write\"",
                "[resource.name].containsAny([\"orders:purge\", \"orders:write\"])",
            ],
        ),
        unmatched(
            "a pattern of scopes that there are not",
            FILE,
            "resource.name like \"refunds:*\"",
            &["resource.name like \"orders:read:4*\"", "!(resource.name like \"refunds:*\")"],
        ),
        unmatched(
            "a workload that is not there, by text",
            FILE,
            "principal.id == \"reprot\"",
            &["principal.id == \"report\"", "!(principal.id == \"reprot\")"],
        ),
        unmatched(
            "an audience that is not there, by text",
            FILE,
            "resource.audience.id == \"https://order.example.com\"",
            &["resource.audience.id == \"https://orders.example.com\""],
        ),
        unmatched(
            "a forbid of the same kind",
            CEDAR,
            "resource.name == \"orders:wirte\"",
            &["resource.name == \"orders:write\""],
        ),
    ]
}

fn of_words() -> Vec<Row> {
    vec![
        row("no owner", "owner-missing", (MAILER, "owner = \"team-finance@example.com\"\n", ""), &[]),
        row("an audience without owner", "owner-missing", (ORDERS, "owner = \"team-orders@example.com\"\n", ""), &[]),
        row(
            "a placeholder owner",
            "owner-vague",
            (MAILER, OWNER, "TODO"),
            &[(MAILER, OWNER, "todo-app-team@example.com")],
        ),
        row(
            "an owner that may be anybody",
            "owner-vague",
            (MAILER, OWNER, "team"),
            &[(MAILER, OWNER, "team-mail"), (MAILER, OWNER, "ops@example.com")],
        ),
        row("another", "owner-vague", (MAILER, OWNER, "Staff"), &[]),
        row("and another", "owner-vague", (MAILER, OWNER, "the ops team"), &[]),
        row("an owner that is the name", "owner-vague", (MAILER, OWNER, "Mailer"), &[(MAILER, OWNER, "mailer-team")]),
        row("an owner that is the purpose", "owner-vague", (MAILER, OWNER, PURPOSE), &[]),
        row("no purpose", "purpose-missing", (MAILER, kept(format!("purpose = \"{PURPOSE}\"\n")), ""), &[]),
        row(
            "a placeholder purpose",
            "purpose-vague",
            (MAILER, PURPOSE, "tbd"),
            &[(MAILER, PURPOSE, "Tests the shop each hour")],
        ),
        row(
            "a purpose that is the name",
            "purpose-vague",
            (MAILER, PURPOSE, "The mailer service"),
            &[(MAILER, PURPOSE, "The mailer of invoices")],
        ),
        row(
            "a short purpose",
            "purpose-vague",
            (MAILER, PURPOSE, "Sends mail"),
            &[(MAILER, PURPOSE, "Sends all mail")],
        ),
        row(
            "a purpose that init wrote",
            "placeholder-left",
            (MAILER, PURPOSE, "Calls https://orders.example.com"),
            &[(MAILER, PURPOSE, "Calls https://orders.example.com and mails what it says")],
        ),
        row(
            "an audience's that init wrote",
            "placeholder-left",
            (ORDERS, "Orders, read and written by other teams' jobs", "What report calls"),
            &[(ORDERS, "Orders, read and written by other teams' jobs", "What the report's job calls")],
        ),
        row(
            "a scope's that init wrote",
            "placeholder-left",
            (ORDERS, "Read any order", "Allows orders:read"),
            &[(ORDERS, "Read any order", "Allows orders:write")],
        ),
        row(
            "a copied purpose",
            "purpose-copied",
            (MAILER, PURPOSE, "builds the nightly sales report, from orders"),
            &[(MAILER, PURPOSE, "Builds the nightly stock report from orders")],
        ),
        row(
            "no identity",
            "identity-missing",
            (
                MAILER,
                kept(format!("\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", jwk("mailer"))),
                "",
            ),
            &[],
        ),
    ]
}

fn of_days() -> Vec<Row> {
    let expires = |day: &str| (MAILER, EXPIRES, kept(format!("expires = {day}")));
    vec![
        row("no end", "expiry-missing", (MAILER, "expires = 2027-06-30\n", ""), &[]),
        row("an end far away", "expiry-distant", expires("2028-01-03"), &[expires("2028-01-01")]),
        row("a near end", "expiry-near", expires("2026-12-27"), &[expires("2026-12-29")]),
        row("an end that has passed", "expired", expires("2026-11-27"), &[]),
        row("a review that is due", "review-due", (MAILER, "review = 2027-03-31", "review = 2026-11-28"), &[]),
        row(
            "a review that comes",
            "review-near",
            (MAILER, "review = 2027-03-31", "review = 2026-11-29"),
            &[(MAILER, "review = 2027-03-31", "review = 2026-12-30")],
        ),
        Row {
            name: "standing access",
            code: "standing-access",
            breaks: vec![
                (REPORT, "review = 2027-03-31\n", ""),
                (ORDERS, "\"1h\"", "\"8h\""),
                (CEDAR, "\"30m\"", "\"8h\""),
            ],
            twins: vec![
                vec![(ORDERS, "\"1h\"", "\"8h\""), (CEDAR, "\"30m\"", "\"8h\"")],
                vec![(REPORT, "review = 2027-03-31\n", ""), (ORDERS, "\"1h\"", "\"8h\"")],
                vec![(REPORT, "review = 2027-03-31\n", ""), (CEDAR, "\"30m\"", "\"59m\"")],
            ],
        },
        Row {
            name: "access without any limit",
            code: "standing-access",
            breaks: vec![
                (REPORT, "review = 2027-03-31\n", ""),
                (ORDERS, "max_lifetime = \"1h\"\n", ""),
                (CEDAR, "@max_lifetime(\"30m\")\n", ""),
            ],
            twins: vec![],
        },
    ]
}

fn of_width() -> Vec<Row> {
    let principal = "principal == Jitney::Workload::\"report\"";
    let resource = kept(format!("resource == {READ}"));
    let claims = |says: &str| {
        kept(format!(
            "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\nclaims = {{ repo = \"9\", branch = {says} }}\n"
        ))
    };
    let token = |task: &str, claims: &str| {
        kept(format!("\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\n{task}{claims}"))
    };
    vec![
        row(
            "any workload",
            "principal-any",
            (CEDAR, principal, "principal"),
            &[(CEDAR, kept(format!("{principal},")), "principal is Jitney::Workload in Jitney::Workload::\"report\",")],
        ),
        Row {
            name: "any workload, narrowed by the condition",
            code: "principal-any",
            breaks: vec![(CEDAR, principal, "principal is Jitney::Workload")],
            twins: vec![vec![
                (CEDAR, principal, "principal"),
                (CEDAR, WHEN, "when { principal.owner == \"team-data@example.com\" }"),
            ]],
        },
        row("any resource", "resource-any", (CEDAR, resource, "resource"), &[]),
        Row {
            name: "a whole audience",
            code: "resource-audience",
            breaks: vec![(CEDAR, resource, "resource in Jitney::Audience::\"https://orders.example.com\"")],
            twins: vec![vec![
                (CEDAR, resource, "resource in Jitney::Audience::\"https://orders.example.com\""),
                (CEDAR, WHEN, "when { resource.name == \"orders:read\" }"),
            ]],
        },
        row("no condition", "condition-missing", (CEDAR, kept(format!("\n{WHEN}")), ""), &[]),
        row(
            "a condition of nothing but a star",
            "condition-vacuous",
            (CEDAR, "nightly-*", "*"),
            &[(CEDAR, "nightly-*", "*n*")],
        ),
        row("a condition of a star, or another", "condition-vacuous", (CEDAR, WHEN, "unless { false }"), &[]),
        row(
            "a time that every token has",
            "condition-vacuous",
            (CEDAR, WHEN, "when { context.ttl > 0 }"),
            &[(CEDAR, WHEN, "when { context.ttl > 1 }")],
        ),
        row("a member that every request has", "condition-vacuous", (CEDAR, WHEN, "when { context has task }"), &[]),
        row("two numbers", "condition-vacuous", (CEDAR, WHEN, "when { 1 == 1 }"), &[]),
        row("a moment long ago", "condition-vacuous", (CEDAR, WHEN, "when { context.now > 0 }"), &[]),
        row(
            "a list of itself",
            "condition-vacuous",
            (CEDAR, WHEN, "when { [context.task].contains(context.task) }"),
            &[(CEDAR, WHEN, "when { [\"a\"].contains(context.task) }")],
        ),
        row(
            "true in either case",
            "condition-vacuous",
            (CEDAR, WHEN, "when { if context.task == \"a\" then true else true }"),
            &[(CEDAR, WHEN, "when { if context.task == \"a\" then true else context.ttl < 60 }")],
        ),
        Row {
            name: "any workload, narrowed by what is always true",
            code: "principal-any",
            breaks: vec![
                (CEDAR, principal, "principal"),
                (CEDAR, WHEN, "when { context.task like \"nightly-*\" && principal.owner like \"*\" }"),
            ],
            twins: vec![vec![
                (CEDAR, principal, "principal"),
                (CEDAR, WHEN, "when { context.task like \"nightly-*\" && principal.owner like \"team-data@*\" }"),
            ]],
        },
        Row {
            name: "any resource, narrowed by what is always true",
            code: "resource-any",
            breaks: vec![
                (CEDAR, resource, "resource"),
                (CEDAR, WHEN, "when { context.task like \"nightly-*\" && resource.name like \"*\" }"),
            ],
            twins: vec![vec![
                (CEDAR, resource, "resource"),
                (CEDAR, WHEN, "when { context.task like \"nightly-*\" && resource.name == \"orders:read\" }"),
            ]],
        },
        row(
            "any claim",
            "claim-wildcard",
            (MAILER, "", claims("{ glob = \"*\" }")),
            &[(MAILER, "", claims("{ glob = \"main-*\" }"))],
        ),
        row(
            "a field behind the claims",
            "claim-misplaced",
            (MAILER, "", token("", "[identity.claims]\nrepo = \"9\"\njwks_file = \"../keys/ci.jwks.json\"\n")),
            &[
                (MAILER, "", token("", "[identity.claims]\nrepo = \"9\"\njob = \"x\"\n")),
                (MAILER, "", token("", "claims = { repo = \"9\", type = \"branch\" }\n")),
            ],
        ),
        row(
            "a task that two runs can have",
            "task-ambiguous",
            (MAILER, "", token("task = \"{branch}-{job}\"\n", "claims = { repo = \"9\" }\n")),
            &[
                (MAILER, "", token("task = \"{branch}/{job}\"\n", "claims = { repo = \"9\" }\n")),
                (MAILER, "", token("task = \"{run_id}-{job}\"\n", "claims = { repo = \"9\" }\n")),
                (MAILER, "", token("task = \"{repo}-{job}\"\n", "claims = { repo = \"9\" }\n")),
            ],
        ),
    ]
}

fn of_times() -> Vec<Row> {
    vec![
        row("a ttl above the audience's", "ttl-above", (CEDAR, "\"10m\"", "\"11m\""), &[(CEDAR, "\"10m\"", "\"9m\"")]),
        row(
            "a lifetime above the audience's",
            "ttl-above",
            (CEDAR, "\"30m\"", "\"61m\""),
            &[(CEDAR, "\"30m\"", "\"1h\"")],
        ),
        row("a ttl above its lifetime", "ttl-above", (CEDAR, "\"30m\"", "\"9m\""), &[(CEDAR, "\"30m\"", "\"10m\"")]),
        Row {
            name: "an audience's ttl above its lifetime",
            code: "ttl-above",
            breaks: vec![(ORDERS, "\"10m\"", "\"61m\"")],
            twins: vec![vec![(ORDERS, "\"10m\"", "\"1h\"")]],
        },
    ]
}

fn of_use() -> Vec<Row> {
    let permit = |id: &str, head: &str, when: &str| {
        kept(format!(
            "\n@id(\"{id}\")\npermit (principal == Jitney::Workload::\"report\", action, resource == {head})\nwhen {{ {when} }};\n"
        ))
    };
    let forbid = |head: &str, when: &str| kept(format!("\n@id(\"stop\")\nforbid ({head})\n{when};\n"));
    let never = |name, when: &'static str, twin: &'static str| {
        row(name, "permit-never", (CEDAR, "", permit("more", READ, when)), &[(CEDAR, "", permit("more", READ, twin))])
    };
    let new = "owner = \"team-x@example.com\"\npurpose = \"Watches the shop's stock\"\nexpires = 2027-06-30\nreview = 2027-03-31\n";
    let new = kept(format!("{new}[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", jwk("new")));
    let more = "permit (principal == Jitney::Workload::\"report\", action, resource == Jitney::Scope::\"https://orders.example.com orders:read\")";
    vec![
        never(
            "two tasks at once",
            "context.task == \"a\" && context.task == \"b\"",
            "context.task == \"a\" || context.task == \"b\"",
        ),
        never(
            "a task that fits no pattern",
            "context.task == \"a\" && context.task like \"b*\"",
            "context.task == \"ba\" && context.task like \"b*\"",
        ),
        never("a ttl above the audience's", "context.ttl > 600", "context.ttl >= 600"),
        never("a time that has passed", "context.now < 1795000000", "context.now < 1800000000"),
        never("another owner", "principal.owner == \"team-x\"", "principal.owner == \"team-data@example.com\""),
        never(
            "owners that differ, as the set has them",
            "principal.owner == resource.audience.owner && context.task == \"a\"",
            "principal.owner != resource.audience.owner && context.task == \"a\"",
        ),
        never("another proof", "context.identity.type == \"oidc\"", "context.identity.type == \"private_key_jwt\""),
        row(
            "a workload that is not there",
            "permit-never",
            (
                CEDAR,
                "",
                "\n@id(\"more\")\npermit (principal == Jitney::Workload::\"reprot\", action, resource == Jitney::Scope::\"https://orders.example.com orders:read\")\nwhen { context.task like \"n*\" };\n",
            ),
            &[],
        ),
        Row {
            name: "a permit under a forbid",
            code: "permit-shadowed",
            breaks: vec![
                (
                    CEDAR,
                    "",
                    permit(
                        "more",
                        "Jitney::Scope::\"https://orders.example.com orders:read:42\"",
                        "context.task like \"x*\"",
                    ),
                ),
                (
                    CEDAR,
                    "",
                    forbid(
                        "principal, action, resource == Jitney::Scope::\"https://orders.example.com orders:read:42\"",
                        "",
                    ),
                ),
            ],
            twins: vec![
                vec![
                    (
                        CEDAR,
                        "",
                        permit(
                            "more",
                            "Jitney::Scope::\"https://orders.example.com orders:read:42\"",
                            "context.task like \"x*\"",
                        ),
                    ),
                    (
                        CEDAR,
                        "",
                        forbid(
                            "principal, action, resource == Jitney::Scope::\"https://orders.example.com orders:read:43\"",
                            "",
                        ),
                    ),
                ],
                vec![
                    (
                        CEDAR,
                        "",
                        permit(
                            "more",
                            "Jitney::Scope::\"https://orders.example.com orders:read:42\"",
                            "context.task like \"x*\"",
                        ),
                    ),
                    (
                        CEDAR,
                        "",
                        forbid(
                            "principal == Jitney::Workload::\"mailer\", action, resource == Jitney::Scope::\"https://orders.example.com orders:read:42\"",
                            "",
                        ),
                    ),
                ],
            ],
        },
        Row {
            name: "a permit under a forbid of the same condition",
            code: "permit-shadowed",
            breaks: vec![
                (
                    CEDAR,
                    "",
                    kept(format!("\n@id(\"more\")\n{more}\nwhen {{ context.ttl < 9 && context.task like \"x*\" }};\n")),
                ),
                (CEDAR, "", forbid("principal, action, resource", "when { context.task like \"x*\" }")),
            ],
            twins: vec![vec![
                (CEDAR, "", kept(format!("\n@id(\"more\")\n{more}\nwhen {{ context.task like \"x*\" }};\n"))),
                (
                    CEDAR,
                    "",
                    forbid("principal, action, resource", "when { context.ttl < 9 && context.task like \"x*\" }"),
                ),
            ]],
        },
        row("a workload without a grant", "workload-ungranted", ("workloads/new.toml", "", new), &[]),
        row("a scope without a permit", "scope-ungranted", (ORDERS, "", "\"orders:purge\" = \"Delete orders\"\n"), &[]),
        row(
            "an audience without a workload",
            "audience-unused",
            (
                "audiences/more.toml",
                "",
                "id = \"https://more.example.com\"\nowner = \"team-x\"\npurpose = \"Stock of all the shops\"\n[scopes]\n\"a:b\" = \"x\"\n",
            ),
            &[],
        ),
        row(
            "an audience without a scope",
            "audience-unused",
            (
                "audiences/more.toml",
                "",
                "id = \"https://more.example.com\"\nowner = \"team-x\"\npurpose = \"Stock of all the shops\"\n",
            ),
            &[],
        ),
    ]
}

fn of_keys() -> Vec<Row> {
    let (own, other) = (kept(jwk("mailer")), kept(jwk("report")));
    let rsa = |bytes: usize| {
        let mut n = vec![0xd5; bytes];
        n[bytes - 1] |= 1;
        kept(format!("{{ kty = \"RSA\", n = \"{}\", e = \"AQAB\" }}", base64url(n)))
    };
    let private = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": base64url([7_u8; 32])});
    let mut public = private.clone();
    public.as_object_mut().unwrap().remove("d");
    let platform = kept(format!(
        "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\nclaims = {{ repo = \"9\" }}\njwks = {{ keys = [{}] }}\n",
        rsa(256)
    ));
    vec![
        row("a weak key", "key-weak", (MAILER, own, rsa(256)), &[(MAILER, own, rsa(384)), (MAILER, "", platform)]),
        row(
            "a key of two",
            "key-shared",
            (MAILER, own, other),
            &[(MAILER, own, kept(format!("{own}, {}", jwk("second"))))],
        ),
        row(
            "a private JWK beside the set",
            "secret",
            ("keys/mailer.json", "", kept(private.to_string())),
            &[("keys/mailer.json", "", kept(public.to_string()))],
        ),
        row("a private key in PEM", "secret", ("keys/mailer.pem", "", kept(Key::ec().pem())), &[]),
    ]
}

const CASE: &str = "[[case]]\nname = \"the report reads\"\nexpect = \"allow\"\nworkload = \"report\"\n\
    audience = \"https://orders.example.com\"\nscope = \"orders:read\"\ntask = \"nightly-1\"\n";

const STATEMENT: &str =
    "[[widens]]\nworkload = \"report\"\naudience = \"https://orders.example.com\"\nscope = \"orders:read\"\n";

fn of_files() -> Vec<Row> {
    vec![
        row("a field that there is not", "load-error", (MAILER, "owner =", "ownr ="), &[]),
        row(
            "a public platform without a tenant",
            "issuer-unpinned",
            (
                MAILER,
                "",
                "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://token.actions.githubusercontent.com\"\nclaims = { repository = \"o/r\" }\n",
            ),
            &[(
                MAILER,
                "",
                "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://token.actions.githubusercontent.com\"\nclaims = { repository_id = \"9\", environment = \"production\" }\n",
            )],
        ),
        row(
            "a case that cannot be read",
            "test-broken",
            ("tests/orders.toml", "", kept(CASE.replace("task =", "taks ="))),
            &[("tests/orders.toml", "", CASE), ("tests/README.md", "", "[[case")],
        ),
        row("a file of cases that is no TOML", "test-broken", ("tests/orders.toml", "", "[[case]\n"), &[]),
        row(
            "a case that nobody can ask",
            "test-broken",
            ("tests/orders.toml", "", kept(format!("{CASE}identity = {{ type = \"oidc\" }}\n"))),
            &[("tests/orders.toml", "", kept(format!("{CASE}identity = {{ type = \"private_key_jwt\" }}\n")))],
        ),
        row(
            "a statement without a reason",
            "widening-broken",
            ("widenings/a.toml", "", STATEMENT),
            &[(
                "widenings/a.toml",
                "",
                kept(format!("{STATEMENT}why = \"The report is read by finance from June on\"\n")),
            )],
        ),
        row("a file of statements that is no TOML", "widening-broken", ("widenings/a.toml", "", "[[widens]\n"), &[]),
        row(
            "an invariant in a folder of its own",
            "stray-file",
            ("invariants/sub/i.cedar", "", "// nothing"),
            &[("invariants/i.cedar", "", "// nothing"), ("invariants/i.cedar~", "", "nothing")],
        ),
        row("one that is hidden", "stray-file", ("invariants/.i.cedar", "", "// nothing"), &[]),
        row("one under another ending", "stray-file", ("invariants/i.cedar.txt", "", "// nothing"), &[]),
        row("a statement in letters too large", "stray-file", ("widenings/p.TOML", "", "# nothing"), &[]),
        row("a case in a folder of its own", "stray-file", ("tests/sub/case.toml", "", "# nothing"), &[]),
        row("a stray", "stray-file", ("more/x.cedar", "", "// nothing"), &[("more/README.md", "", "nothing")]),
        row(
            "an entry without an end",
            "suppression",
            ("check.toml", "", "[[allow]]\ncode = \"secret\"\nfile = \"x\"\nreason = \"It is known to be public\"\n"),
            &[("check.toml", "", "# nothing yet\n")],
        ),
    ]
}
