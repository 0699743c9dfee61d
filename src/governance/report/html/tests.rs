//! The page as a browser reads it: no markup but its own, and nothing asked for.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::audit::{AuditRecord, Event, Outcome};
use crate::governance::report::tests::Scene;

/// All tags of a document, with their attributes: a document in which something forged has become markup has others.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("each tag ends");
        let mut rest = tag.trim_end_matches('/').trim();
        let name = rest.split_whitespace().next().unwrap_or_default().to_owned();
        rest = rest[name.len()..].trim_start();
        let mut attributes = Vec::new();
        while let Some((attribute, behind)) = rest.split_once("=\"") {
            let (value, behind) = behind.split_once('"').expect("each value ends");
            attributes.push((attribute.trim().to_owned(), value.to_owned()));
            rest = behind.trim_start();
        }
        found.push((name, attributes));
    }
    found
}

const TAGS: &str = "!DOCTYPE html head meta title style body header h1 h2 dl dt dd nav ol ul li a main section p span abbr b \
                    table thead tbody tr th td div code pre figure figcaption svg text line rect";
const ATTRIBUTES: &str = "lang charset http-equiv content name href id class title scope role aria-label viewBox \
                          preserveAspectRatio x y x1 x2 y1 y2 width height text-anchor";

fn is_tame(html: &str) {
    let (known, fine): (BTreeSet<&str>, BTreeSet<&str>) =
        (TAGS.split_whitespace().collect(), ATTRIBUTES.split_whitespace().collect());
    for (tag, attributes) in tags(html) {
        assert!(known.contains(tag.trim_start_matches('/')), "<{tag}>");
        for (name, value) in attributes {
            assert!(fine.contains(name.as_str()), "<{tag} {name}>");
            assert!(name != "href" || value.starts_with('#'), "{value}");
        }
    }
}

/// What an attacker would like a reader's browser to take for markup.
const FORGED: &str =
    "</td><script>alert(1)</script><img src=https://evil.example onerror=x>\"'><style>*{}</style>\u{202e}&lt;";

fn forged() -> Scene {
    let mut scene = Scene::new();
    let record = AuditRecord::new(Event::Revoke, Outcome::Done).actor(FORGED).reason(FORGED).detail(FORGED);
    scene.line(10, &record);
    scene.grant(20, "alpha", "orders:read", "reads");
    let file = scene.dir.path().join("policies/workloads/alpha.toml");
    let quoted = serde_json::to_string(FORGED).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("\"team@example.com\"", &quoted).replace("\"Tests\"", &quoted);
    fs::write(file, text).unwrap();
    scene
}

#[test]
fn what_others_wrote_is_text_and_never_markup() {
    let report = forged().report(None).unwrap();
    let html = report.html();
    is_tame(&html);
    assert!(html.contains("&lt;/td&gt;&lt;script&gt;alert(1)") && html.contains("\\u{202e}&amp;lt;"), "it is shown");
    let markdown = report.markdown();
    assert!(!markdown.contains("<script") && !markdown.contains("<img") && !markdown.contains("https://evil"));
}

#[test]
fn the_page_asks_for_nothing_outside_and_its_policy_allows_its_one_style() {
    let html = forged().report(None).unwrap().html();
    for outside in ["src=\"", "url(", "@import", "<script", "<link", "<iframe", " style=\"", " onload"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let (before, rest) = html.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    assert!(
        before.contains(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")),
        "{before}"
    );
}

#[test]
fn backticks_set_code_where_there_are_two_and_stand_where_there_is_one() {
    for (written, html) in [
        ("is like `a-*` here", "is like <code>a-*</code> here"),
        ("one ` alone", "one ` alone"),
        ("`<b>` and ` more", "<code>&lt;b&gt;</code> and ` more"),
        ("plain", "plain"),
    ] {
        let mut out = Markup::default();
        out.ticked(written);
        assert_eq!(out.finish(), html);
    }
}

#[test]
fn charts_begin_at_nought_and_stay_in_their_frame() {
    let mut scene = Scene::new();
    for n in 0..40 {
        scene.grant(n * 43_200_000 / 5, "alpha", "orders:read", "reads");
    }
    let html = scene.report(None).unwrap().html();
    let rects: Vec<_> = tags(&html).into_iter().filter(|(tag, _)| tag == "rect").collect();
    assert!(rects.len() > 5);
    for (_, attributes) in rects {
        let of = |name: &str| -> f64 { attributes.iter().find(|(known, _)| known == name).unwrap().1.parse().unwrap() };
        assert!(
            of("x") >= 0.0 && of("x") + of("width") <= 900.0 && of("height") > 0.0 && of("y") >= 0.0,
            "{attributes:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_leaves_its_place(words in any::<String>()) {
        let mut out = Markup::default();
        out.text(&words).lines(&words).ticked(&words);
        let html = out.finish().replace("<code>", "").replace("</code>", "");
        prop_assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
    }
}
