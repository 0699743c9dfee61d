//! What a running broker tells beside the logs that were read: the brokers of its store, and last uses by its leases.
//!
//! Never counts: what is not in a log is no evidence, and yet enough to call nothing unused.

use super::Live;
use super::evidence::{Evidence, covers};

impl Evidence<'_> {
    /// The brokers of the store of whom no line was read.
    pub fn unread(&self, live: &Live) -> Vec<String> {
        let all = std::iter::once(&live.name).chain(&live.others).filter(|name| !name.is_empty());
        all.filter(|name| !self.brokers.contains(*name)).cloned().collect()
    }

    /// Takes in what leases of the store tell beside the logs: a later use than theirs. None of it is counted.
    pub fn take_leases(&mut self, live: &Live) {
        for (id, last) in &live.last_uses {
            let Some((at, view)) = self.workloads.get(id.as_str()) else { continue };
            // A lease's moment has no milliseconds; texts are compared, so it gets the first of its second.
            let used_at = if last.at.contains('.') { last.at.clone() } else { last.at.replace('Z', ".000Z") };
            let is_later = |known: &Option<String>| known.as_deref().is_none_or(|known| known < &*used_at);
            if used_at >= self.period.until {
                continue;
            }
            if is_later(&self.activity[*at].last_grant) {
                self.activity[*at].last_grant = Some(used_at.clone());
            }
            for (grant, usage) in view.grants.iter().zip(&mut self.usage[*at]) {
                let is_used =
                    grant.audience == last.audience && last.scope.split(' ').any(|asked| covers(&grant.scope, asked));
                if is_used && used_at >= self.period.since && is_later(&usage.last) {
                    usage.last = Some(used_at.clone());
                }
            }
        }
    }
}
