//! What Redis answers, from RESP bytes to what the store tells. Redis is trusted to keep what it was given, and to say
//! anything at all.

use redis::Value;

use crate::model::{LeaseId, Position};
use crate::store::StoreError;
use crate::store::redis::script::{self, Answer, Script, bytes};
use crate::store::redis::{end, log, packed, safety, shelves};

/// A digit that says what was asked, then the answer: a reply in RESP, or for `7` and `8` a record and a rule as they
/// lie.
pub fn redis(data: &[u8]) {
    let [what, reply @ ..] = data else { return };
    match what {
        b'7' => return record(reply),
        b'8' => return drop(packed::entry(reply)),
        _ => {}
    }
    let Ok(value) = redis::parse_redis_value(reply).and_then(Value::extract_error) else { return };
    match what {
        b'0' => page(value, usize::from(reply.len() as u8).max(1)),
        b'1' => {
            if let Ok(ended) = answer(&script::END, value).and_then(end::read) {
                assert!(ended.rules.len() + ended.leases.len() <= reply.len());
            }
        }
        b'2' => keys(value),
        b'3' => records(value),
        b'4' => {
            let _ = (safety::config_value(&value), safety::clock(Some(&value), 1_790_000_000));
            let told = safety::text(&value);
            let rows = safety::replication(told.as_deref(), 1);
            assert!(rows.iter().all(|row| row.safe || !row.mend.is_empty()));
        }
        _ => {
            if let Ok(answer) = answer(&script::CHECK, value) {
                // Only a store without a log may leave its epoch out.
                assert!(
                    answer.word == "LOST"
                        || reply.windows(16).any(|part| part == answer.seen.head().epoch.to_string().as_bytes())
                );
            }
        }
    }
}

fn answer(script: &Script, value: Value) -> Result<Answer, StoreError> {
    Answer::read(script, value)
}

/// A page is in order and no longer than was asked.
fn page(value: Value, limit: usize) {
    let Ok(page) = answer(&script::LOG, value).and_then(|answer| log::read(answer, limit)) else { return };
    assert!(page.entries.len() <= limit);
    assert!(page.entries.is_sorted_by_key(|entry| entry.rule.position));
    for entry in &page.entries {
        let text = serde_json::to_string(&entry.rule).expect("a rule serializes");
        assert_eq!(serde_json::from_str::<crate::model::Rule>(&text).expect("and reads back"), entry.rule);
    }
}

fn keys(value: Value) {
    let Ok(keys) = answer(&script::KEYS, value).and_then(shelves::read) else { return };
    assert!(keys.is_sorted_by_key(|key| (key.published_at, key.kid.clone())));
    let text = serde_json::to_string(&keys).expect("keys serialize");
    assert_eq!(serde_json::from_str::<Vec<crate::store::PublishedKey>>(&text).expect("and read back"), keys);
}

fn records(value: Value) {
    let Value::Array(values) = value else { return };
    for raw in values.into_iter().filter_map(bytes) {
        record(&raw);
    }
}

/// A record that reads is written to one that reads as the same lease.
fn record(raw: &[u8]) {
    let id = LeaseId::new(1_790_000_000_000, [1, 2, 3, 4], 5);
    let Ok(record) = packed::record(id, raw) else { return };
    let position = record.lease.position.get().to_be_bytes();
    let mut again = [&[1], &position[2..]].concat();
    packed::behind_position(&mut again, &record.lease);
    let again = packed::record(id, &again).expect("what is written reads");
    assert_eq!(again.lease, record.lease);
    assert!(record.lease.position < Position::new(1 << 48));
    assert!(serde_json::to_string(&record).is_ok());
}
