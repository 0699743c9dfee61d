//! Invariants that a change breaks and takes away, leaves in doubt, or has name something that is gone: none gets through.

use serde_json::{Value, json};

use crate::diff::{Said, diff};
use crate::tree::Tree;

/// A task of this form is nobody's; no trial and no form tells that `ttl * 13` is never, or once, 1651.
const MONEY: &str = "@id(\"i\")\nforbid (principal == Jitney::Workload::\"mailer\", action, resource == \
                     Jitney::Scope::\"https://orders.example.com orders:write\") when { context.task like \"*q*w*e*\" };\n";
const FILE: &str = "invariants/money.cedar";
const WRITES: &str = "context.task like \"mail-*\" && context.ttl <= 120";
const IN_DOUBT: &str = "context.ttl * 13 == 1651 && context.task like \"*q*w*e*\"";
/// A policy that allows a mailer no such task.
const HOLDS: &str = "context.task == \"mail\" && context.ttl <= 120";

fn guarded() -> Tree {
    Tree::clean().with(&[("orders.cedar", WRITES, HOLDS), (FILE, "", MONEY)])
}

fn in_doubt(said: &Said) -> Vec<(&Value, &Value)> {
    let all = said.document["invariants"].as_array().unwrap();
    assert!(all.iter().all(|each| each["is_broken"] == false && each["invariant"] == "i"), "{all:#?}");
    all.iter().map(|each| (&each["is_of_base"], &each["is_as_before"])).collect()
}

/// The statement of all that widens, so that the exit code is the invariant's.
fn stated(base: &Tree, head: &Tree) -> Said {
    let rows = diff(base, head).document["rows"].as_array().unwrap().clone();
    let text = |row: &Value, name: &str| row[name].as_str().map(str::to_owned).unwrap_or_default();
    let wide = rows.iter().filter(|row| row["width"] != "not wider");
    let statements: Vec<String> = wide
        .map(|row| {
            let (audience, scope) = (text(row, "audience"), text(row, "scope"));
            format!(
                "[[widens]]\nworkload = {}\naudience = \"{audience}\"\nscope = \"{scope}\"\nwhy = \"The mailer writes orders back since March\"\n",
                row["workloads"]
            )
        })
        .collect();
    diff(base, &head.with(&[("widenings/this.toml", "", &statements.concat())]))
}

#[test]
fn one_that_a_change_leaves_in_doubt_ends_it() {
    let base = guarded();
    assert_eq!(diff(&base, &base).document["invariants"], json!([]), "it is shown to hold before");
    let wider = base.with(&[("orders.cedar", HOLDS, IN_DOUBT)]);
    let said = stated(&base, &wider);
    assert_eq!((said.code, in_doubt(&said)), (Some(1), vec![(&json!(false), &json!(false))]), "{:#}", said.document);
    assert_eq!(said.document["passed"], false);
    assert_eq!(said.document["findings"], json!([]), "all is stated as it should be");
    assert!(said.error.contains("not shown to hold") && said.error.contains("narrow"), "{}", said.error);
}

#[test]
fn so_does_one_that_it_takes_away_or_rewords_as_well() {
    let base = guarded();
    let wider = base.with(&[("orders.cedar", HOLDS, IN_DOUBT)]);
    for after in ["// Nothing.\n".to_owned(), MONEY.replace("like \"*q*w*e*\"", "== \"x\"")] {
        let said = stated(&base, &wider.with(&[(FILE, MONEY, &after)]));
        assert_eq!((said.code, in_doubt(&said)), (Some(1), vec![(&json!(true), &json!(false))]), "{:#}", said.document);
        assert_eq!(said.document["dropped"], json!(["i"]));
    }
}

#[test]
fn a_new_one_must_be_shown_to_hold() {
    let base = Tree::clean().with(&[("orders.cedar", WRITES, IN_DOUBT)]);
    let said = diff(&base, &base.with(&[(FILE, "", MONEY)]));
    assert_eq!((said.code, in_doubt(&said)), (Some(1), vec![(&json!(false), &json!(false))]), "{:#}", said.document);
}

#[test]
fn what_was_in_doubt_before_is_no_matter_of_another_change() {
    let base = guarded().with(&[("orders.cedar", HOLDS, IN_DOUBT)]);
    let narrower = format!("context.ttl <= 120 && {IN_DOUBT}");
    for other in [
        base.with(&[("orders.cedar", "", "\n// A word more.\n")]),
        base.with(&[("orders.cedar", "like \"nightly-*\"", "== \"nightly-1\"")]),
        base.with(&[("orders.cedar", IN_DOUBT, &narrower)]),
        base.with(&[(FILE, MONEY, "// No longer wanted.\n")]),
    ] {
        let said = diff(&base, &other);
        let is_told = said.document["dropped"] == json!([]) || said.error.contains("is no longer declared");
        assert!(said.code == Some(0) && is_told, "{} {:#}", said.error, said.document);
        assert!(in_doubt(&said).iter().all(|(_, as_before)| **as_before == json!(true)), "{:#}", said.document);
        assert_eq!(in_doubt(&said).len(), 1, "it is named all the same");
    }
    let wider = base.with(&[("orders.cedar", "1651", "1664")]);
    assert_eq!(stated(&base, &wider).code, Some(1), "this one has to do with it");
}

#[test]
fn another_spelling_of_the_audience_takes_none_away() {
    let (old, new) = ("https://orders.example.com", "https://orders.example.com/");
    let base = guarded();
    let edits = [
        ("audiences/orders.toml", "https://orders.example.com\"", "https://orders.example.com/\""),
        ("orders.cedar", "https://orders.example.com ", "https://orders.example.com/ "),
    ];
    let renamed = MONEY.replace(old, new);
    let respelled = base.with(&edits).with(&[(FILE, MONEY, &renamed)]);
    let said = stated(&base, &respelled);
    assert_eq!((said.code, &said.document["dropped"]), (Some(0), &json!([])), "it says the same: {}", said.error);
    let wide = ("orders.cedar", HOLDS, "context.task like \"*q*w*e*\"");
    let said = stated(&base, &base.with(&edits).with(&[wide, (FILE, MONEY, "// Nothing.\n")]));
    let broken = &said.document["invariants"][0];
    assert_eq!((said.code, &broken["is_broken"], &broken["is_of_base"]), (Some(1), &json!(true), &json!(true)));
    assert_eq!(broken["audience"], new, "{:#}", said.document);
}

#[test]
fn one_that_names_what_the_change_takes_away_shows_nothing() {
    let base = guarded();
    let edits = [
        ("audiences/orders.toml", "\"orders:write\"", "\"orders:change\""),
        ("orders.cedar", "orders:write", "orders:change"),
        ("orders.cedar", HOLDS, "context.task like \"*q*w*e*\""),
    ];
    for after in [
        "// Nothing.\n".to_owned(),
        MONEY.replace("orders:write", "orders:change").replace("like \"*q*w*e*\"", "== \"x\""),
    ] {
        let said = stated(&base, &base.with(&edits).with(&[(FILE, MONEY, &after)]));
        let finding = &said.document["findings"][0];
        assert_eq!((said.code, &said.document["passed"]), (Some(1), &json!(false)), "{:#}", said.document);
        let told = finding["message"].as_str().unwrap_or_else(|| panic!("{:#}", said.document));
        assert!(told.contains("not shown to hold") && told.contains("orders.example.com orders:write"), "{told}");
        assert!(finding["file"].as_str().unwrap().ends_with("base/invariants/money.cedar"), "{finding}");
        assert!(finding["mend"].as_str().unwrap().contains("a change of its own"), "{finding}");
    }
    let without = base.with(&[(FILE, MONEY, "// Nothing.\n")]);
    assert_eq!(diff(&base, &without).code, Some(0), "a change of its own");
    assert_eq!(stated(&without, &without.with(&edits)).code, Some(0), "and then the other");
}

/// The id has the right form, and what it names is called otherwise: the order in which that goes is told.
#[test]
fn one_whose_head_names_what_is_gone_is_told_in_which_order_names_change() {
    let renamed = |invariant: &str| guarded().with(&RENAMED[..2]).with(&[(FILE, MONEY, invariant)]);
    let near = MONEY.replace("orders:write", "orders:chaneg");
    for (invariant, told) in [
        (MONEY, "the scope is gone, or is called otherwise"),
        (&near, "did you mean `https://orders.example.com orders:change`? Else the scope"),
    ] {
        let said = renamed(invariant).check(&[]);
        let finding = &said.findings()[0];
        let (message, mend) = (finding["message"].as_str().unwrap(), finding["mend"].as_str().unwrap());
        assert_eq!((said.codes(), said.code), (vec!["invariant-broken"], Some(1)), "{}", said.text);
        assert!(message.contains("invariant `i` names the scope") && message.contains("does not exist"), "{message}");
        assert!(mend.contains(told) && mend.contains("in a change of its own"), "{mend}");
        assert!(mend.contains("[\"…\", \"…\"].contains(resource.name)"), "{mend}");
    }
    let said = renamed(&MONEY.replace("https://orders.example.com orders:write", "orders:write")).check(&[]);
    assert!(said.findings()[0]["mend"].as_str().unwrap().contains("its audience's id, a space"), "{}", said.text);
}

/// A forbid on the audience, with this condition, and the edits that call `orders:write` otherwise; a permit lets through there
/// what the invariant is about.
fn named_by_text(condition: &str) -> Tree {
    let invariant = format!(
        "@id(\"i\")\nforbid (principal, action, resource in Jitney::Audience::\"https://orders.example.com\")\nwhen {{ {condition} }};\n"
    );
    guarded().with(&[(FILE, MONEY, &invariant)])
}

const RENAMED: [(&str, &str, &str); 3] = [
    ("audiences/orders.toml", "\"orders:write\"", "\"orders:change\""),
    ("orders.cedar", "orders:write", "orders:change"),
    ("orders.cedar", HOLDS, "context.task like \"*q*w*e*\""),
];

#[test]
fn one_that_names_by_text_what_the_change_takes_away_is_told_of() {
    const SO: &str = "context.task like \"*q*w*e*\"";
    for part in [
        "resource.name == \"orders:write\"",
        "\"orders:write\" == resource.name",
        "[\"orders:write\", \"orders:purge\"].contains(resource.name)",
        "resource.name like \"orders:w*\"",
        "(resource.name == \"orders:write\" || resource.name == \"orders:purge\")",
        "!(resource.name != \"orders:write\")",
    ] {
        let base = named_by_text(&format!("{part} && {SO}"));
        let head = base.with(&RENAMED);
        let said = stated(&base, &head);
        let told =
            said.document["findings"][0]["message"].as_str().unwrap_or_else(|| panic!("{part}: {:#}", said.document));
        assert_eq!((said.code, &said.document["passed"]), (Some(1), &json!(false)), "{part}");
        let is_named = told.contains("`i` is not shown to hold any more") && told.contains("orders:w");
        assert!(is_named && said.error.contains("not shown to hold"), "{part}: {told} {}", said.error);
        assert!(said.document["findings"][0]["file"].as_str().unwrap().ends_with("head/invariants/money.cedar"));
        // The same where the invariant goes, or says something else, along with the name.
        for after in ["context.ttl == 7", "resource.name == \"orders:change\""] {
            let reworded = head.with(&[(FILE, part, after)]);
            let said = stated(&base, &reworded);
            let told =
                said.document["findings"][0]["message"].as_str().unwrap_or_else(|| panic!("{:#}", said.document));
            assert!(
                said.code == Some(1) && told.contains("of the tree before") && told.contains("orders:w"),
                "{part}: {told}"
            );
        }
    }
}

#[test]
fn so_is_one_that_names_a_workload_or_an_audience_by_text() {
    let base = guarded().with(&[(
        FILE,
        "",
        "\n@id(\"j\")\nforbid (principal, action, resource) when { principal.id == \"mailer\" && context.task like \"zz*\" };\n\
         \n@id(\"k\")\nforbid (principal, action, resource) when { resource.audience.id like \"*orders*\" && context.task like \"zz*\" };\n",
    )]);
    let gone = [("orders.cedar", "Workload::\"mailer\"", "Workload::\"report\""), (FILE, MONEY, "")];
    let said = diff(&base, &base.with(&gone).without("workloads/mailer.toml"));
    let all = said.document["findings"].as_array().unwrap();
    let told: Vec<&str> = all.iter().map(|each| each["message"].as_str().unwrap()).collect();
    assert!(
        told.iter().any(|told| told.contains("`j` is not shown") && told.contains("`workload mailer`")),
        "{told:?}"
    );
    assert!(!told.iter().any(|told| told.contains("`k` is not shown")), "{told:?}");
    let (old, new) = ("https://orders.example.com", "https://shop.example.com");
    let renamed = [("audiences/orders.toml", old, new), ("orders.cedar", old, new), (FILE, MONEY, "")];
    let said = diff(&base, &base.with(&renamed));
    let all = said.document["findings"].as_array().unwrap();
    let told: Vec<&str> = all.iter().map(|each| each["message"].as_str().unwrap()).collect();
    assert!(
        told.iter().any(|told| told.contains("`k` is not shown") && told.contains("`audience *orders*`")),
        "{told:?}"
    );
}

/// What stays within reach, an exception that comes to nothing, and what named nothing before: no finding, and no way to a new name
/// is closed.
#[test]
fn one_that_still_names_something_is_not_held_up() {
    for part in [
        "resource.name != \"orders:write\"",
        "resource.name like \"orders:*\"",
        "[\"orders:write\", \"orders:change\"].contains(resource.name)",
        "(resource.name == \"orders:write\" || resource.name like \"orders:ch*\")",
        "resource.name == \"orders:purge\"",
        "resource.name == \"orders:read:42\"",
    ] {
        let base = named_by_text(&format!("{part} && context.task like \"zz*\""));
        let said = stated(&base, &base.with(&RENAMED[..2]));
        assert_eq!((said.code, &said.document["findings"]), (Some(0), &json!([])), "{part}: {}", said.error);
    }
    // First the invariant names both, then the name is another one, then the old one goes.
    let of = |part: &str| named_by_text(&format!("{part} && context.task like \"zz*\""));
    let (old, new) = ("resource.name == \"orders:write\"", "resource.name == \"orders:change\"");
    let both = "[\"orders:write\", \"orders:change\"].contains(resource.name)";
    for (base, head) in [(of(old), of(both)), (of(both).with(&RENAMED[..2]), of(new).with(&RENAMED[..2]))] {
        assert_eq!(stated(&base, &head).code, Some(0));
    }
}

/// Each of its words names something after the change as well; together they name nothing.
#[test]
fn one_whose_words_fit_nothing_together_any_more_is_told_of() {
    for words in [
        "resource.audience.id == \"https://orders.example.com\" && resource.name == \"orders:write\"",
        "resource in Jitney::Audience::\"https://orders.example.com\" && resource.name == \"orders:write\"",
    ] {
        let invariant = format!(
            "@id(\"i\")\nforbid (principal, action, resource) when {{ {words} && context.task like \"zz*\" }};\n"
        );
        let base = guarded().with(&[(FILE, MONEY, &invariant), ("audiences/shop.toml", "", &shop("orders:write"))]);
        let said = stated(&base, &base);
        assert_eq!(said.code, Some(0), "{words}: {}", said.error);
        let said = stated(&base, &base.with(&RENAMED));
        let told = said.document["findings"][0]["message"].as_str().unwrap_or_default();
        assert!(
            said.code == Some(1) && told.contains("`i` is not shown to hold any more") && told.contains("orders:write"),
            "{words}: {told} {}",
            said.error
        );
    }
}

/// A `/` at an audience's end is no other name, for a pattern neither.
#[test]
fn one_whose_pattern_misses_an_audience_by_its_other_spelling_is_told_of() {
    let invariant = "@id(\"i\")\nforbid (principal, action, resource) when { resource.audience.id like \"https://*.example.com\" \
                     && context.task like \"zz*\" };\n";
    let base = guarded().with(&[(FILE, MONEY, invariant), ("audiences/shop.toml", "", &shop("shop:read"))]);
    let (old, new) = ("https://orders.example.com", "https://orders.example.com/");
    let head = base.with(&[("audiences/orders.toml", old, new), ("orders.cedar", old, new)]);
    let said = stated(&base, &head);
    let told = said.document["findings"][0]["message"].as_str().unwrap_or_default();
    assert!(
        said.code == Some(1) && told.contains("which is `https://orders.example.com/` by now"),
        "{told} {}",
        said.error
    );
    let wide = [(FILE, "*.example.com\"", "*.example.com*\"")];
    assert_eq!(stated(&base.with(&wide), &head.with(&wide)).code, Some(0));
}

/// An audience with this one scope.
fn shop(scope: &str) -> String {
    format!(
        "id = \"https://shop.example.com\"\nowner = \"team-shop@example.com\"\npurpose = \"The shop's own orders, as it keeps \
         them\"\nmax_ttl = \"10m\"\n\n[scopes]\n\"{scope}\" = \"Does so there\"\n"
    )
}
