//! A report over a million lines of an audit log: `cargo bench --bench report`. `JITNEY_BENCH_LINES` is another number of them.
//!
//! The lines are chained as a broker's are, so that the check beside the reading does all of its work.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a bench that cannot go on ends; it prints"
)]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use jitney::governance::report::{self, Period, Sources};
use jitney::model::Clock;
use ring::digest::{SHA256, digest};

const GRANTS: [(&str, &str, &str, &str); 4] = [
    ("nightly-report", "https://orders.example.com", "orders:read", "nightly-report-reads-orders"),
    ("inventory-sync", "https://orders.example.com", "orders:write", "inventory-sync-writes-orders"),
    ("support-agent", "https://orders.example.com", "orders:read:42", "support-agent-reads-one-order"),
    ("payments-batch", "https://payments.example.com", "payments:submit", "payments-batch-submits"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Grants and completions by turns, one every five seconds.
fn write(path: &Path, lines: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut prev = "0".repeat(64);
    for n in 0..lines {
        let (workload, audience, scope, policy) = GRANTS[(n / 2 % 4) as usize];
        let time = jitney::audit::time(1_790_000_000_000 + n * 5000);
        let task = n / 2;
        let record = match n % 2 {
            0 => format!(
                r#""event":"mint","outcome":"granted","decision_id":"b1.{n:032x}","workload":"{workload}","audience":"{audience}","task":"t-{task}","scope":"{scope}","lease":"0190163d-8694-839b-aea5-{n:012x}","ttl":300,"kid":"sqnzg9DvQshs4bebBnsFOLpHBZPld5F1CVGng0-wLg","position":{n},"policies":["{policy}"],"identity":"private_key_jwt""#
            ),
            _ => format!(
                r#""event":"complete","outcome":"done","decision_id":"b1.{n:032x}","workload":"{workload}","task":"t-{task}","position":{n},"count":1,"took_us":{},"identity":"private_key_jwt""#,
                300 + n % 1000
            ),
        };
        let body = format!(r#"{{"v":1,"time":"{time}","seq":{},"broker":"b1",{record},"prev":"{prev}""#, n + 1);
        let sum = hex(&digest(&SHA256, body.as_bytes()).as_ref()[..8]);
        let line = format!(r#"{body},"sum":"{sum}"}}"#);
        prev = hex(digest(&SHA256, line.as_bytes()).as_ref());
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}

fn main() {
    let lines = std::env::var("JITNEY_BENCH_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.jsonl");
    write(&log, lines);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let period = Period { since: "2026-01-01".into(), until: "2099-01-01".into() };
    let logs = [log.clone()];
    let sources = Sources {
        dir: &policies,
        logs: &logs,
        signed: &[],
        period,
        now: Clock::system().now(),
        broker: None,
        served: None,
    };
    let begun = Instant::now();
    let report = report::build(sources, &mut |_| ()).unwrap();
    let built = begun.elapsed();
    let html = report.html();
    let written = begun.elapsed();
    assert!(report.logs[0].intact && report.logs[0].lines == lines, "{:?}", report.logs);
    assert_eq!(report.total.granted, lines.div_ceil(2));
    let megabytes = std::fs::metadata(&log).unwrap().len() >> 20;
    println!(
        "report: {lines} lines, {megabytes} MB: built in {:.2} s, {} kB of HTML after {:.2} s",
        built.as_secs_f64(),
        html.len() >> 10,
        written.as_secs_f64()
    );
}
