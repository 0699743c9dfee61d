//! Records of the embedded store.

use crate::model::{RuleKind, UnixTime};
use crate::store::Spent;
use crate::store::embedded::packed::{pack_lease, pack_rule, unpack_lease, unpack_rule};

/// `l` and a lease's record, or `r` and a rule's. What reads is written to the very same bytes: a record has one
/// spelling, and what was cut, doubled or bent is none.
pub fn embedded(data: &[u8]) {
    match data {
        [b'l', record @ ..] => {
            let Ok(read) = unpack_lease(record) else { return };
            let spent = read.spent.map(|(digest, until)| Spent {
                subject: String::new(),
                digest,
                from: UnixTime::default(),
                until,
                unless: None,
            });
            assert_eq!(pack_lease(&read.lease, spent.as_ref()), record);
        }
        [b'r', record @ ..] => {
            let Ok((rule, audiences)) = unpack_rule(record.len() as u64, record) else { return };
            assert_eq!(rule.position.get(), record.len() as u64);
            assert_eq!(rule.until.is_none(), rule.kind == RuleKind::Key);
            assert_eq!(pack_rule(&rule, &audiences), record);
        }
        _ => {}
    }
}
