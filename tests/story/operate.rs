//! What operators do: revoke by every selector, count first, shut a workload out and let it in again, look things up.

use serde_json::{Value, json};

use crate::common::{API, Ask, Backing, Broker, Request, Rule, SECOND, Token, digest, now, on_both_stores};

on_both_stores!(
    every_selector_ends_what_it_names_and_nothing_else,
    a_dry_run_counts_and_ends_nothing,
    a_task_of_several_workloads_is_ambiguous,
    what_was_minted_behind_a_revocation_lives,
    a_quarantined_workload_gets_nothing_until_it_is_released,
    what_does_not_exist_is_not_found_and_a_reason_is_required,
    the_inventory_tells_whose_what_is_and_how_it_ends,
    leases_are_listed_page_by_page,
    leases_are_listed_by_their_state,
    what_happens_is_followed_live,
);

fn every_selector_ends_what_it_names_and_nothing_else(backing: &Backing) {
    let broker = Broker::start(backing);
    let mint = || -> [Token; 4] {
        [
            broker.mint("demo", "one"),
            broker.mint("demo", "two"),
            broker.mint("other", "one"),
            broker.granted(&Ask::of("other").task("two").with("resource", SECOND)),
        ]
    };
    let tokens = mint();
    let check = |tokens: &[Token; 4], selector: Value, kind: &str, selected: u64, alive: [bool; 4]| {
        let done = broker.operator_revokes(selector.clone());
        assert_eq!(tokens.each_ref().map(|token| broker.stands(token)), alive, "{selector}");
        assert_eq!((done["selected"].as_u64(), done["dry_run"].as_bool()), (Some(selected), Some(false)), "{done}");
        assert_eq!(Rule::read(&done["rules"][0]).kind, kind);
        let line = broker.decision(done["decision_id"].as_str().unwrap());
        assert_eq!((line["event"].clone(), line["reason"].clone()), (json!("revoke"), json!("a test")));
        assert!(line["actor"].as_str().unwrap().starts_with("uid:"), "{line}");
        done
    };
    let lease = json!({"lease": tokens[0].lease()});
    let done = check(&tokens, lease, "lease", 1, [false, true, true, true]);
    assert_eq!(Rule::read(&done["rules"][0]).digest, digest("lease", &[&tokens[0].lease()]));
    check(&tokens, json!({"task": "one", "workload": "other"}), "task", 1, [false, true, false, true]);
    let closed = broker.ask(&Ask::of("other").task("one"));
    assert_eq!(closed.outcome(), (400, "invalid_grant".into()), "an ended task takes no new lease");
    check(&tokens, json!({"audience": SECOND}), "audience", 1, [false, true, false, false]);
    check(&tokens, json!({"workload": "demo"}), "workload", 1, [false; 4]);

    let tokens =
        [broker.mint("demo", "3"), broker.mint("demo", "4"), broker.mint("other", "3"), broker.mint("other", "4")];
    let closed = broker.operator_revokes(json!({"task": "3/x", "workload": "demo"}));
    assert_eq!((closed["selected"].clone(), closed["rules"].clone()), (json!(0), json!([])), "nothing there to end");
    assert_eq!(broker.ask(&Ask::of("demo").task("3/x")).outcome(), (400, "invalid_grant".into()), "but it is closed");
    check(&tokens, json!({"all": true}), "all", 4, [false; 4]);
    let token = broker.mint("demo", "5");
    broker.operator_revokes(json!({"task": "5"}));
    assert!(!broker.stands(&token), "the only workload with a task of this name");
}

fn a_dry_run_counts_and_ends_nothing(backing: &Backing) {
    let broker = Broker::start(backing);
    let tokens = [broker.mint("demo", "one"), broker.mint("demo", "two"), broker.mint("other", "one")];
    let selectors = [
        (json!({"lease": tokens[0].lease()}), 1),
        (json!({"task": "two"}), 1),
        (json!({"workload": "demo"}), 2),
        (json!({"audience": API}), 3),
        (json!({"key": tokens[0].kid()}), 3),
        (json!({"all": true}), 3),
    ];
    for (mut selector, count) in selectors {
        selector["dry_run"] = json!(true);
        let counted = broker.operator_revokes(selector.clone());
        let told = (counted["selected"].as_u64(), counted["dry_run"].as_bool(), counted["rules"].clone());
        assert_eq!(told, (Some(count), Some(true), json!([])), "{selector}");
    }
    assert!(tokens.iter().all(|token| broker.stands(token)));
}

fn a_task_of_several_workloads_is_ambiguous(backing: &Backing) {
    let broker = Broker::start(backing);
    let tokens = [broker.mint("demo", "t"), broker.mint("other", "t")];
    let answer = broker.operator("/admin/v1/revocations", json!({"task": "t", "reason": "a test"}));
    assert_eq!(answer.outcome(), (409, "ambiguous_task".into()));
    assert_eq!(answer.json()["workloads"], json!(["demo", "other"]));
    assert!(tokens.iter().all(|token| broker.stands(token)), "such a call revokes nothing");
    let output = broker.cli("demo", &["lease", "revoke", "--task", "t", "--reason", "a test"]);
    assert_eq!(output.status.code(), Some(1));
    let output = broker.cli("demo", &["lease", "revoke", "--task", "t", "--workload", "demo", "--reason", "a test"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(tokens.each_ref().map(|token| broker.stands(token)), [false, true]);
}

fn what_was_minted_behind_a_revocation_lives(backing: &Backing) {
    let broker = Broker::start(backing);
    for selector in [json!({"workload": "demo"}), json!({"audience": API}), json!({"all": true})] {
        let before = broker.mint("demo", "t");
        let position = Rule::read(&broker.operator_revokes(selector.clone())["rules"][0]).position;
        let behind = broker.mint("demo", "t");
        assert!(!broker.stands(&before) && broker.stands(&behind), "{selector}");
        assert!(before.number("rev") < position && position <= behind.number("rev"));
    }
}

fn a_quarantined_workload_gets_nothing_until_it_is_released(backing: &Backing) {
    let broker = Broker::start(backing);
    let (token, others) = (broker.mint("demo", "t"), broker.mint("other", "t"));
    let reason = json!({"reason": "its key leaked"});
    let done = broker.operator("/admin/v1/workloads/demo/quarantine", reason.clone()).expect(200).json();
    assert_eq!(done["state"], "quarantined");
    assert_eq!(broker.decision(done["decision_id"].as_str().unwrap())["event"], "quarantine");
    assert!(!broker.stands(&token) && broker.stands(&others));
    let refused = broker.ask(&Ask::of("demo"));
    assert_eq!(refused.outcome(), (400, "unauthorized_client".into()));
    assert_eq!(broker.decision(&refused.field("decision_id"))["refusal"], "quarantined");
    assert_eq!(broker.renew("demo", &token.lease(), None).status, 400);
    let shown = broker.operator_sees("/admin/v1/workloads/demo");
    assert_eq!(
        (shown["state"].clone(), shown["quarantine"]["reason"].clone()),
        (json!("quarantined"), reason["reason"].clone())
    );
    assert_eq!(shown["live_leases"], 0, "what was ended is not told as live");

    let done = broker.operator("/admin/v1/workloads/demo/release", reason.clone()).expect(200).json();
    assert_eq!(done["state"], "ok");
    let line = broker.decision(done["decision_id"].as_str().unwrap());
    assert!(line["no_effect"].is_null(), "{line}");
    let again = broker.operator("/admin/v1/workloads/demo/release", reason).expect(200).json();
    let line = broker.decision(again["decision_id"].as_str().unwrap());
    assert_eq!((line["event"].clone(), line["no_effect"].clone()), (json!("release"), json!(true)), "{line}");
    broker.mint("demo", "t");
    assert!(!broker.stands(&token), "what was ended stays ended");
    for change in ["quarantine", "release"] {
        let unknown = broker.operator(&format!("/admin/v1/workloads/nobody/{change}"), json!({"reason": "a test"}));
        assert_eq!(unknown.outcome(), (404, "not_found".into()), "{change}");
    }
}

fn what_does_not_exist_is_not_found_and_a_reason_is_required(backing: &Backing) {
    let broker = Broker::start(backing);
    let token = broker.mint("demo", "t");
    let revoke = |body: Value| broker.operator("/admin/v1/revocations", body).outcome();
    let unknown = "0190163d-8694-839b-aea5-966c26f8ad91";
    let selectors = [
        json!({"lease": unknown}),
        json!({"task": "nobody-s"}),
        json!({"key": "nobody-s"}),
        json!({"workload": "nobody"}),
        json!({"task": "t", "workload": "nobody"}),
        json!({"audience": "https://nobody.example.com"}),
    ];
    for selector in selectors {
        let mut body = selector.clone();
        body["reason"] = json!("a test");
        assert_eq!(revoke(body), (404, "not_found".into()), "{selector}");
    }
    let bad = [
        json!({"all": true}),
        json!({"all": true, "reason": " "}),
        json!({"reason": "a test"}),
        json!({"all": true, "workload": "demo", "reason": "a test"}),
        json!({"all": true, "reason": "a test", "colour": "red"}),
        json!({"workload": "a b", "reason": "a test"}),
    ];
    for body in bad {
        assert_eq!(revoke(body.clone()), (400, "invalid_request".into()), "{body}");
    }
    assert!(broker.stands(&token));
    let unknown = broker.admin(&Request::get(&format!("/admin/v1/leases/{unknown}")));
    assert_eq!(unknown.outcome(), (404, "not_found".into()));
}

fn the_inventory_tells_whose_what_is_and_how_it_ends(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.mint("demo", "t");
    let shown = broker.operator_sees("/admin/v1/workloads/demo");
    assert_eq!(shown["owner"], "team-demo@example.com");
    assert_eq!((shown["state"].clone(), shown["live_leases"].clone()), (json!("ok"), json!(1)));
    assert_eq!(shown["identities"], json!([{"type": "private_key_jwt", "task": "caller", "kids": [null]}]));
    assert!(shown["revoke"].as_str().unwrap().contains("lease revoke --workload demo"), "{shown}");
    let all = broker.operator_sees("/admin/v1/workloads");
    let state = |id: &str| {
        let mut workloads = all["workloads"].as_array().unwrap().iter();
        workloads.find(|workload| workload["id"] == id).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(["demo", "expired", "no-owner", "no-expires"].map(state), ["ok", "expired", "ungoverned", "ungoverned"]);
    let audience = broker.operator_sees("/admin/v1/audiences/https%3A%2F%2Fapi.example.com");
    assert_eq!((audience["id"].clone(), audience["max_ttl"].clone()), (json!(API), json!(600)));
    let status = broker.operator_sees("/admin/v1/status");
    assert_eq!((status["store"]["live_leases"].clone(), status["audit"]["healthy"].clone()), (json!(1), json!(true)));
    let warnings = status["policies"]["warnings"].as_array().unwrap();
    let is_told =
        |warning: &Value| warning.as_str().is_some_and(|line| line.contains("workload `no-owner` has no owner"));
    assert!(warnings.iter().any(is_told), "{status}");
    assert_eq!(status["feed"]["each"], json!([]));
    let told = broker.cli("demo", &["status"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("warning: in the policies: "), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("no subscriber"), "{told:?}");
    let metrics = broker.admin(&Request::get("/metrics")).expect(200).text();
    assert!(metrics.contains("jitney_"), "{metrics}");
}

fn leases_are_listed_by_their_state(backing: &Backing) {
    let broker = Broker::start(backing);
    let [ended, live] = ["one", "two"].map(|task| broker.mint("demo", task).lease());
    broker.operator_revokes(json!({"task": "one", "workload": "demo"}));
    let listed = |arguments: &str| -> Vec<String> {
        let output = broker.cli(
            "demo",
            &[&["lease", "list", "--output", "json"], &*arguments.split(' ').collect::<Vec<_>>()].concat(),
        );
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["next"], Value::Null, "{document}");
        document["leases"].as_array().unwrap().iter().map(|lease| lease["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("--state live --all"), std::slice::from_ref(&live));
    assert_eq!(listed("--state ended"), std::slice::from_ref(&ended));
    assert_eq!(listed("--state ended --task two"), [""; 0]);
    let mut all = listed("--all");
    all.sort();
    let mut both = [ended, live];
    both.sort();
    assert_eq!(all, both);
    let first = broker.cli("demo", &["lease", "list", "--limit", "1", "--output", "json"]);
    let first: Value = serde_json::from_slice(&first.stdout).unwrap();
    let rest = listed(&format!("--cursor {}", first["next"].as_str().unwrap()));
    assert_eq!((rest.len(), both.contains(&rest[0])), (1, true));
    assert_ne!(first["leases"][0]["id"], rest[0]);
    let wrong = broker.admin(&Request::get("/admin/v1/leases?state=dead"));
    assert_eq!(wrong.outcome(), (400, "invalid_request".into()));
}

fn leases_are_listed_page_by_page(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut minted: Vec<String> = (0..7).map(|_| broker.mint("demo", "t").lease()).collect();
    broker.mint("other", "t");
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page = broker.operator_sees(&format!("/admin/v1/leases?workload=demo&limit=2{next}"));
        let leases = page["leases"].as_array().unwrap();
        assert!(leases.len() <= 2 && leases.iter().all(|lease| lease["state"] == "live"), "{page}");
        found.extend(leases.iter().map(|lease| lease["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    minted.sort();
    found.sort();
    assert_eq!(found, minted);
    let soon = now() / 60;
    let foreign = match backing {
        Backing::Embedded => format!("{soon}.0000000a.3"),
        Backing::Redis(_) => minted[0].clone(),
    };
    for cursor in ["x", "1.2", &foreign] {
        let answer = broker.admin(&Request::get(&format!("/admin/v1/leases?cursor={cursor}")));
        assert_eq!(answer.outcome(), (400, "invalid_request".into()), "{cursor}");
        assert!(answer.field("error_description").contains("cursor"), "{}", answer.text());
    }
}

fn what_happens_is_followed_live(backing: &Backing) {
    let broker = Broker::start(backing);
    let mut watch = broker.connect_admin();
    watch.send(&Request::get("/admin/v1/watch").bytes()).unwrap();
    assert_eq!(watch.head().unwrap().0, 200);
    let token = broker.mint("demo", "t");
    broker.complete("demo", "t").expect(204);
    let mut lines = Vec::new();
    while !String::from_utf8_lossy(&lines).contains("\"complete\"") {
        assert!(watch.chunk(&mut lines).unwrap(), "it ended");
    }
    let text = String::from_utf8(lines).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The broker's own start may still be on its way.
    let events: Vec<Value> = events.filter(|event| event["event"] != "start").collect();
    assert_eq!([&events[0]["event"], &events[0]["lease"]], [&json!("mint"), &json!(token.lease())]);
    assert_eq!([&events[1]["event"], &events[1]["task"]], [&json!("complete"), &json!("t")]);
}
