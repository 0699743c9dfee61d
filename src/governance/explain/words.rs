//! A line of the audit log as a plain sentence, and what to do about it.
//!
//! Owns the words for every reason of a refusal and every kind of line that has a decision id. What policies say of a request is
//! not told here.

use crate::audit::Line;
use crate::model::Reason;

/// What was decided, and the mend where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What happened, as a sentence without a full stop.
    pub sentence: String,
    /// What to do about it; none where nothing is amiss.
    pub next: Option<String>,
}

/// Says what a line says.
pub fn of(line: &Line<'_>) -> Told {
    let what = what(line);
    match &*line.outcome {
        "refused" => {
            let reason = line.refusal.as_deref().unwrap_or("unknown");
            match Reason::all().find(|each| each.as_str() == reason) {
                Some(reason) => {
                    let (why, next) = refused(reason, line);
                    Told { sentence: format!("{what} was refused: {why}"), next: Some(next) }
                }
                None => Told {
                    sentence: format!("{what} was refused as {reason}, a word that this jitney does not know"),
                    next: Some("use the jitney that wrote the log: `jitney status` tells a broker's version".into()),
                },
            }
        }
        "granted" if line.probe => Told {
            sentence: format!("{what} would be granted{}: it was a probe, and no token was made", by(line)),
            next: None,
        },
        "granted" => Told { sentence: format!("{what} was granted{}", by(line)), next: None },
        "done" => Told { sentence: format!("{what} was done{}", counted(line)), next: None },
        other => Told {
            sentence: format!("{what} {other}"),
            next: Some("the line's detail says why; look at the broker: jitney status".into()),
        },
    }
}

/// What was asked for.
fn what(line: &Line<'_>) -> String {
    let who = line.workload.as_deref().unwrap_or("a caller that was not known yet");
    let task = line.task.as_deref().map_or_else(String::new, |task| format!(" for task {task}"));
    let asked = line.scope.as_deref().map_or_else(String::new, |scope| format!(" with {scope}"));
    let at = line.audience.as_deref().map_or_else(String::new, |audience| format!(" at {audience}"));
    match &*line.event {
        "mint" => format!("a token of {who}{asked}{at}{task}"),
        "renew" => format!("the renewal of a lease of {who}{asked}{at}{task}"),
        "complete" => format!("the completion of {who}'s task {}", line.task.as_deref().unwrap_or("(no name)")),
        "introspect" => format!("a question about a token, by {who}"),
        "revoke" => match line.actor.as_deref() {
            Some(actor) => format!("a revocation by {actor}"),
            None => format!("the revocation of a token of {who}"),
        },
        "quarantine" => format!("the quarantine of {who}"),
        "release" => format!("the release of {who} from quarantine"),
        "refuse" => format!("a request of {who}"),
        other => format!("`{other}`"),
    }
}

fn by(line: &Line<'_>) -> String {
    let policies: Vec<&str> = line.policies.iter().map(|policy| &**policy).collect();
    let by = if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) };
    let long = line.ttl.map_or_else(String::new, |ttl| format!(", for {ttl} s"));
    let lease = line.lease.as_deref().map_or_else(String::new, |lease| format!(" (lease {lease})"));
    by + &long + &lease
}

fn counted(line: &Line<'_>) -> String {
    match line.count {
        Some(count) if matches!(&*line.event, "complete" | "revoke" | "quarantine") => {
            let at_least = if line.more { "at least " } else { "" };
            format!(", which ended {at_least}{count} {}", if count == 1 { "lease" } else { "leases" })
        }
        _ => String::new(),
    }
}

/// Why, and what to do.
fn refused(reason: Reason, line: &Line<'_>) -> (String, String) {
    let (why, next) = match named(reason, line) {
        Some(named) => named,
        None => {
            let (why, next) = mend(reason);
            (why.to_owned(), next)
        }
    };
    let next = next
        .replace("{workload}", line.workload.as_deref().unwrap_or("ID"))
        .replace("{audience}", line.audience.as_deref().unwrap_or("URI"))
        .replace("{lease}", line.lease.as_deref().or(line.predecessor.as_deref()).unwrap_or("ID"));
    (why, next)
}

/// What was wrong with the request itself, in the words that its caller was told too, and what to do about that; none where the line
/// does not tell it.
fn named(reason: Reason, line: &Line<'_>) -> Option<(String, &'static str)> {
    let detail = line.detail.as_deref()?;
    match reason {
        Reason::InvalidRequest => {
            Some((detail.to_owned(), "ask again without that; docs/tokens.md has all parameters of a request"))
        }
        Reason::InvalidClient => {
            let (said, next) = match detail.strip_prefix("form: ") {
                Some(said) => (said.to_owned(), mend_of_proof(said)),
                None => of_platform_token(detail)?,
            };
            Some((format!("{}: {said}", mend(reason).0), next))
        }
        _ => None,
    }
}

/// What was wrong with a platform's token that is good in itself: whose it says it is, and what was wanted of it and shown.
pub fn of_platform_token(detail: &str) -> Option<(String, &'static str)> {
    const OWNER: &str = "a token that is not meant to get in needs nothing; where it is meant to, its workload's owner decides that, in \
                         a pull request to the policies";
    let (fault, rest) = detail.split_once(", claimed ")?;
    let (claimed, more) = rest.split_once(": ").unwrap_or((rest, ""));
    if !claimed.contains(" of http") {
        return None;
    }
    Some(match fault {
        "claims" => (format!("the token of {claimed} is genuine and fits no client: {more}"), OWNER),
        "unknown_issuer" => (format!("no client proves itself by tokens of the issuer of {claimed}"), OWNER),
        "unknown_client" => (
            format!("the client that was named proves itself by no token of the issuer of {claimed}"),
            "see that JITNEY_WORKLOAD (client_id) names the workload that is meant: jitney workload list",
        ),
        "ambiguous_client" => (
            format!("the token of {claimed} fits several clients: {more}"),
            "have it say which: JITNEY_WORKLOAD where it runs, client_id in the request",
        ),
        "bad_signature" | "unknown_key" => (
            format!("what says that it is of {claimed} is signed by none of that issuer's keys"),
            "it was changed on its way, is no token of that issuer, or is signed by a key that the workload's file does not pin; no \
             claim in the policies mends that",
        ),
        _ => return None,
    })
}

/// What mends an assertion or a platform's token that is wrong in itself.
fn mend_of_proof(said: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["in the future", "is not valid yet"]) {
        "compare both clocks: where it ran, `jitney doctor` tells how far they are apart; then timedatectl set-ntp true"
    } else if says(&["has expired", "s ago"]) {
        "the caller sends a fresh one; where it was fresh, compare both clocks: where it ran, `jitney doctor` does"
    } else if says(&[" aud"]) {
        "the caller names this broker's issuer alone as aud: JITNEY_URL, or the setting of its platform; where it ran: jitney doctor"
    } else {
        "mend that in what the caller sends; where it ran, `jitney doctor` looks at it piece by piece"
    }
}

/// The same, with the line's names still to be filled in: braces, which no name has.
const fn mend(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::InvalidRequest => (
            "a parameter was missing, repeated or malformed, or more time was asked than may be had",
            "correct the parameter that the line's detail names; docs/tokens.md has all of them",
        ),
        Reason::InvalidClient => (
            "nobody proved who asks",
            "the line's detail says what was wrong with the assertion; where the workload runs: jitney doctor",
        ),
        Reason::UnknownScope => {
            ("its audience declares no such scope", "ask for one that is declared: jitney audience show {audience}")
        }
        Reason::DeniedScope => (
            "no policy grants a scope that was asked, or one forbids it",
            "ask for what is granted, or change the policies in a pull request",
        ),
        Reason::UnknownAudience => (
            "no such audience is declared",
            "ask for one that is, or declare it in policies/audiences: jitney audience list",
        ),
        Reason::Quarantined => (
            "the workload was in quarantine",
            "see whether it still is, since when and why: jitney workload show {workload}; once it is safe: jitney workload \
                     release {workload} --reason …",
        ),
        Reason::Expired => (
            "the workload was past the end that its file gives it",
            "where its owner still needs it, give workloads/{workload}.toml a later `expires`",
        ),
        Reason::Ungoverned => (
            "the workload is in no file, or its file lacks an owner, a purpose or an end",
            "complete workloads/{workload}.toml; `jitney policy check` says what it lacks",
        ),
        Reason::TaskEnded => (
            "the task had ended, and an ended task takes no lease for a while",
            "name a new task, or wait for as long as [tasks] closed_for says",
        ),
        Reason::InvalidGrant => (
            "the lease cannot be renewed: it is unknown, another's, ended, renewed before, or its chain is at its limit",
            "ask for a new token; what became of the lease: jitney lease show {lease}",
        ),
        Reason::UnsupportedGrantType => ("another grant type was asked", "ask with grant_type=client_credentials"),
        Reason::InvalidToken => (
            "the token that was shown is not good",
            "ask for a new one; which check fails says `jitney verify --token-file FILE`",
        ),
        Reason::MissingToken => (
            "neither a token nor the workload's own proof was shown",
            "send the client authentication of the token endpoint, or a token of that task",
        ),
        Reason::WrongTask => (
            "the token that was shown is one of another task",
            "show one of that very task, or the workload's own proof",
        ),
        Reason::BearerCannotComplete => (
            "a plain bearer token completes nothing here",
            "complete with the workload's own proof, or set [tasks] bearer_complete = true",
        ),
        Reason::BearerCannotRenew => (
            "a plain bearer token renews nothing",
            "renew with the workload's own proof: every audience has the bearer token too",
        ),
        Reason::UnsupportedResponseType => (
            "the authorization endpoint refuses everyone: nobody is asked for consent here",
            "ask the token endpoint, with grant_type=client_credentials",
        ),
        Reason::StoreUnavailable
        | Reason::AuditUnavailable
        | Reason::IssuerUnavailable
        | Reason::Busy
        | Reason::Internal => mend_of_the_service(reason),
    }
}

const fn mend_of_the_service(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::StoreUnavailable => (
            "the store could not be reached, or what it said could not be trusted, and what is not recorded is not signed",
            "the caller tries again with a fresh assertion; where it lasts, look at the store: jitney status",
        ),
        Reason::AuditUnavailable => (
            "the audit log could not be written, and what is not written down is not signed",
            "make room on its disk or mend its permissions (jitney status); minting goes on by itself then",
        ),
        Reason::IssuerUnavailable => (
            "the keys of the platform that signed its proof could not be had",
            "see that the broker reaches the issuer that the line's detail names; the caller tries again",
        ),
        Reason::Busy => (
            "more was asked than is served at once",
            "the caller slows down and tries again; [limits] in jitney.toml says how much is served",
        ),
        _ => ("jitney made a mistake of its own", "please report it, with this line and `jitney --version`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;

    fn line(event: &str, outcome: &str, rest: &str) -> Told {
        let text = format!(
            r#"{{"v":1,"time":"2026-11-25T00:00:00.000Z","seq":1,"broker":"b1","event":"{event}","outcome":"{outcome}"{rest},"prev":"","sum":""}}"#
        );
        of(&Line::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_reason_has_a_sentence_and_a_mend() {
        let mut sentences = std::collections::HashSet::new();
        for reason in Reason::all() {
            let told = line("mint", "refused", &format!(r#","workload":"w","refusal":"{}""#, reason.as_str()));
            let next = told.next.unwrap();
            assert!(told.sentence.starts_with("a token of w was refused: ") && next.len() > 20, "{}", told.sentence);
            assert!(!told.sentence.contains(reason.as_str()), "the word is no sentence: {}", told.sentence);
            assert!(sentences.insert(told.sentence), "{reason:?} is told like another one");
        }
        let told = line("mint", "refused", r#","refusal":"too_blue""#);
        assert!(told.sentence.contains("too_blue") && told.next.is_some(), "{told:?}");
    }

    #[test]
    fn what_the_caller_was_told_is_told_with_the_step_that_fits() {
        let told = |refusal: &str, detail: &str| {
            line("mint", "refused", &format!(r#","refusal":"{refusal}","detail":"{detail}""#))
        };
        for (detail, step) in [
            ("form: the assertion was issued in the future: the broker's clock says t", "compare both clocks"),
            ("form: the platform token has expired: ask for a fresh one", "a fresh one"),
            ("form: the assertion's aud must be the issuer, https://b", "issuer alone as aud"),
            ("form: client_id is another than the assertion's sub: send the same", "piece by piece"),
        ] {
            let told = told("invalid_client", detail);
            let said = detail.strip_prefix("form: ").unwrap();
            assert!(told.sentence.ends_with(&format!("nobody proved who asks: {said}")), "{}", told.sentence);
            assert!(told.next.as_ref().unwrap().contains(step), "{told:?}");
        }
        let missed = "claims, claimed repo:o/r of https://g: w: ref wanted `refs/heads/main`, shown `refs/heads/dev`";
        let missed = told("invalid_client", missed);
        assert!(missed.sentence.contains("ref wanted `refs/heads/main`, shown `refs/heads/dev`"), "{missed:?}");
        assert!(missed.next.unwrap().contains("owner decides"));
        let own = told("invalid_client", "bad_signature, claimed w");
        assert!(own.next.unwrap().contains("the line's detail"), "of a key of its own, who is asked knows more");
        let attested = told("invalid_request", "the platform attests the task 77.1, not foo");
        assert!(
            attested.sentence.ends_with("was refused: the platform attests the task 77.1, not foo"),
            "{attested:?}"
        );
        assert!(!attested.next.unwrap().contains("detail"));
    }

    #[test]
    fn every_event_is_told_and_what_went_well_needs_no_mend() {
        for event in Event::ALL {
            let told = line(event.as_str(), "done", r#","workload":"w","task":"t","count":1"#);
            assert!(told.sentence.ends_with("done") || told.sentence.ends_with("ended 1 lease"), "{told:?}");
            assert_eq!(told.next, None);
            assert!(line(event.as_str(), "failed", "").next.is_some());
        }
        let granted = line(
            "mint",
            "granted",
            r#","workload":"w","scope":"a b","audience":"u","task":"t","ttl":60,"policies":["p"]"#,
        );
        assert_eq!(granted.sentence, "a token of w with a b at u for task t was granted by p, for 60 s");
    }
}
