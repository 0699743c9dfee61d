//! The alerts and the dashboard: every metric and label that they name is told by a broker, and Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::files::{list, path, read, root, text, yaml};
use crate::common::{Backing, Broker, Request};

/// Series by name; the values of each of their labels. As a broker that has just started tells them.
type Told = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn told() -> Told {
    let mut told = Told::new();
    let broker = Broker::start(&Backing::Embedded);
    let answer = broker.admin(&Request::get("/metrics")).expect(200).text();
    for line in answer.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let of = told.entry(name.to_owned()).or_default();
        for (label, value) in matchers(labels.trim_end_matches('}')).into_iter().map(|(label, _, value)| (label, value))
        {
            of.entry(label).or_default().insert(value);
        }
    }
    told
}

/// `a="b",c=~"d|e"`: label, operator, value.
fn matchers(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for part in text.split("\",").filter(|part| !part.trim().is_empty()) {
        let (label, value) = part.split_once('"').unwrap();
        let label = label.trim();
        let name = label.trim_end_matches(['=', '~', '!']);
        found.push((name.to_owned(), label[name.len()..].to_owned(), value.trim_end_matches('"').to_owned()));
    }
    found
}

/// All expressions, by where they stand.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in list(&yaml("monitoring/alerts.yml")[0]["groups"][0]["rules"]) {
        found.push((text(&rule["alert"]).to_owned(), text(&rule["expr"]).to_owned()));
    }
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            found.push((text(&panel["title"]).to_owned(), text(&target["expr"]).to_owned()));
        }
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}

#[test]
fn every_metric_and_label_there_is_one_of_the_broker_s() {
    let told = told();
    // What Prometheus adds itself.
    let by_scraping = ["job", "instance"];
    let mut used = BTreeSet::new();
    for (place, expr) in expressions() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, _) in expr.match_indices("jitney_") {
            let name: String = expr[at..].chars().take_while(|c| is_name(*c)).collect();
            let of = told.get(&name).unwrap_or_else(|| panic!("{place}: {name} is no series of the broker's"));
            used.insert(name.clone());
            let Some(rest) = expr[at + name.len()..].strip_prefix('{') else { continue };
            for (label, operator, value) in matchers(rest.split('}').next().unwrap()) {
                if by_scraping.contains(&label.as_str()) {
                    continue;
                }
                let values = of.get(&label).unwrap_or_else(|| panic!("{place}: {name} has no label {label}"));
                for value in
                    value.split('|').filter(|_| operator.contains('~')).chain(std::iter::once(&*value)).take(20)
                {
                    let is_list = operator.contains('~') && value.contains('|');
                    assert!(is_list || values.contains(value), "{place}: {label}={value} of {name}: {values:?}");
                }
            }
        }
        // What is grouped by is a label of the metric.
        for by in expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in by.split(", ") {
                let known = by_scraping.contains(&label) || told.values().any(|of| of.contains_key(label));
                assert!(known, "{place}: by {label}");
            }
        }
    }
    // Each kind of metric is watched somewhere.
    let stem =
        |name: &str| ["_bucket", "_count", "_sum"].iter().fold(name.to_owned(), |name, end| name.replace(end, ""));
    let used: BTreeSet<_> = used.iter().map(|name| stem(name)).collect();
    let all: BTreeSet<_> = told.keys().map(|name| stem(name)).collect();
    assert_eq!(used, all, "on the dashboard or in an alert");
}

/// Runs promtool, which `tests/run` installs with prometheus.
fn promtool(words: &[&str]) {
    let output = Command::new("promtool").args(words).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error}: `bash tests/run` installs it"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_reads_the_alerts_and_they_are_raised_when_they_should_be() {
    promtool(&["check", "rules", path("monitoring/alerts.yml").to_str().unwrap()]);
    promtool(&["test", "rules", "tests/deploy/alerts-test.yml"]);
    // Each alert is raised in that play.
    let play = fs::read_to_string(root().join("tests/deploy/alerts-test.yml")).unwrap();
    for rule in list(&yaml("monitoring/alerts.yml")[0]["groups"][0]["rules"]) {
        assert!(play.contains(&format!("alertname=\"{}\"", text(&rule["alert"]))), "{rule}");
        for told in ["summary", "description"] {
            assert!(rule["annotations"][told].is_string(), "{rule}");
        }
    }
}

#[test]
fn prometheus_reads_every_expression_of_the_dashboard() {
    let rules: Vec<Value> = expressions()
        .into_iter()
        .map(|(_, expr)| serde_json::json!({"record": "x", "expr": expr.replace("$__rate_interval", "1m")}))
        .enumerate()
        .map(|(at, mut rule)| {
            rule["record"] = format!("panel:{at}").into();
            rule
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    // JSON is YAML.
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn the_dashboard_s_panels_lie_beside_each_other_and_take_their_source_from_the_variable() {
    let dashboard: Value = serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((x, y)), "two panels at {x}, {y}");
        }
        assert_eq!(panel["datasource"]["uid"], "${source}");
        assert!(!text(&panel["description"]).is_empty() && !text(&panel["title"]).is_empty());
    }
    let variables: Vec<_> = list(&dashboard["templating"]["list"]).iter().map(|each| text(&each["name"])).collect();
    assert_eq!(variables, ["source", "job"]);
}
