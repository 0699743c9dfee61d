//! What all operator commands share: finding the broker, and reading the documents it answers with.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::shell::quoted;
use crate::client::ClientError;
use crate::client::admin::{AdminAddress, AdminClient};
use crate::fetch::FetchError;
use crate::model::time::format_span;
use crate::model::{Clock, UnixTime};

/// Where `serve --dev` puts its socket, and where a broker run by the system does.
const SOCKETS: [&str; 2] = ["./.jitney/admin.sock", "/run/jitney/admin.sock"];

/// What helps where no broker answers.
const NAME_ONE: &str = "name another with --admin unix:PATH or JITNEY_ADMIN, or start one: jitney serve --dev";

/// The admin API that `--admin` names, else `JITNEY_ADMIN`, else one of the usual sockets.
///
/// # Errors
/// [`Failure`] where what was named is no address.
pub fn connect(named: Option<&str>) -> Result<AdminClient, Failure> {
    let from_env = std::env::var("JITNEY_ADMIN").ok().filter(|value| !value.is_empty());
    if let Some(raw) = named.map(str::to_owned).or(from_env) {
        let wrong = |_| {
            let next = "write `unix:PATH`, in --admin or JITNEY_ADMIN";
            Failure::usage(format!("`{raw}` is no address of an admin API"), next)
        };
        return Ok(AdminClient::new(AdminAddress::parse(&raw).map_err(wrong)?));
    }
    // One that may not be looked at is one: what is said of it then tells whose it is.
    match SOCKETS.iter().find(|path| Path::new(path).try_exists().unwrap_or(true)) {
        // The folder one happens to be in may be anybody's, and whoever listens there could say that all is done. Below /run
        // root alone makes folders.
        Some(here) if *here == SOCKETS[0] => {
            let (me, at) = (rustix::process::geteuid().as_raw(), Path::new(here));
            // A link may lead to one's own broker, and be another's choice which.
            let owners = [at.parent().unwrap_or(at), at].into_iter().filter_map(|each| fs::symlink_metadata(each).ok());
            match owners.map(|each| each.uid()).find(|owner| ![me, 0].contains(owner)) {
                Some(owner) => Err(foreign(&format!("unix:{here}"), owner)),
                None => Ok(AdminClient::new(AdminAddress::unix(*here)).of(me)),
            }
        }
        Some(found) => Ok(AdminClient::new(AdminAddress::unix(*found))),
        None => {
            let why = format!("no broker listens here: there is neither {} nor {}", SOCKETS[0], SOCKETS[1]);
            Err(Failure::new(why, NAME_ONE))
        }
    }
}

/// What an operator typed behind `--admin`.
static NAMED: OnceLock<String> = OnceLock::new();

/// Remembers how the broker was named on the command line, for the commands that are printed to be pasted.
pub fn named(at: Option<&str>) {
    if let Some(at) = at {
        let _ = NAMED.set(at.to_owned());
    }
}

/// `text` with the broker named in each operator's command in it, where `--admin` named it: pasted without, such a command would ask
/// another. What the environment names, it names for the next command too.
pub fn pasted(text: &str) -> String {
    NAMED.get().map_or_else(|| text.to_owned(), |at| addressed(text, at))
}

/// Commands that ask a broker by its admin API.
const OPERATORS: [&str; 7] = ["lease", "workload", "audience", "status", "key", "audit", "policy explain"];

fn addressed(text: &str, at: &str) -> String {
    let at = quoted(at);
    OPERATORS.iter().fold(text.to_owned(), |text, command| {
        text.replace(&format!("jitney {command}"), &format!("jitney --admin {at} {command}"))
    })
}

/// Tells an operator's failure: where no broker answers, how to name another.
pub fn explain(error: ClientError) -> Failure {
    if let ClientError::NoAnswer(FetchError::Foreign { to, uid }) = &error {
        return foreign(to, *uid);
    }
    let next = match &error {
        ClientError::NoAnswer(FetchError::Unreachable { to, .. }) => {
            Some(to.strip_prefix("unix:").and_then(of_another))
        }
        ClientError::NoAnswer(_) => Some(None),
        _ => None,
    };
    let failure = Failure::from(error);
    match next {
        Some(next) => failure.next(next.unwrap_or_else(|| NAME_ONE.into())),
        None => failure,
    }
}

/// What to do about a socket that is another user's.
fn of_another(socket: &str) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    let owner = owner(Path::new(socket)).filter(|owner| *owner != me)?;
    let (user, admin) = (quoted(&user(owner)), quoted(&format!("unix:{socket}")));
    Some(format!("it is another user's; ask as that one: sudo -u {user} jitney --admin {admin} …"))
}

/// Another user listens in this folder: nothing was asked, for nothing that is answered there could be believed.
fn foreign(to: &str, uid: u32) -> Failure {
    let user = user(uid);
    Failure::new(
        format!("{to} is of the user {user}, who is neither you nor root: nothing was asked there"),
        format!("where that broker is meant, name it, with --admin {to} or JITNEY_ADMIN={to}; else name yours"),
    )
}

/// What a user is called; `#` and the number where that is not known.
pub fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("#{uid}"))
}

/// Who owns a path, or the nearest folder above it that may be looked at; none where there is no such path.
fn owner(path: &Path) -> Option<u32> {
    for at in path.ancestors() {
        match fs::metadata(at) {
            Ok(found) => return Some(found.uid()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(_) => return None,
        }
    }
    None
}

/// A user's name in a file like `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let mut rows = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find_map(|row| match row.as_slice() {
        [name, _, id, ..] if id.parse() == Ok(uid) => Some((*name).to_owned()),
        _ => None,
    })
}

/// A member of a document as text: `-` where it is absent, lists with commas.
pub fn text(document: &Value, name: &str) -> String {
    shown(&document[name])
}

/// How an identity proves somebody: its type, and the platform where one signs for it.
pub fn proves(identity: &Value) -> String {
    match identity["issuer"].as_str() {
        Some(_) => format!("{} of {}", text(identity, "type"), text(identity, "issuer")),
        None => text(identity, "type"),
    }
}

pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The list that a document holds under a name; empty where it holds none.
pub fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().map_or(&[], Vec::as_slice)
}

/// A moment as people read it, with how far it is from now: `2026-09-21T14:13:20Z (in 4m 12s)`.
pub fn moment(document: &Value, name: &str) -> String {
    let Some(at) = document[name].as_u64().map(UnixTime::from_secs) else { return text(document, name) };
    format!("{} ({})", at.rfc3339(), relative(at, Clock::system().now()))
}

/// How far a moment is from now: `in 4m 12s`, `12s ago`.
pub fn relative(at: UnixTime, now: UnixTime) -> String {
    if at == now {
        return "now".into();
    }
    if at > now { format!("in {}", rough(at.since(now))) } else { format!("{} ago", rough(now.since(at))) }
}

/// A span in its two largest units.
pub fn rough(span: Duration) -> String {
    let secs = span.as_secs();
    let (large, unit, small, under) = match secs {
        0..60 => return format!("{secs}s"),
        60..3600 => (secs / 60, 'm', secs % 60, 's'),
        3600..86_400 => (secs / 3600, 'h', secs % 3600 / 60, 'm'),
        _ => (secs / 86_400, 'd', secs % 86_400 / 3600, 'h'),
    };
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{under}") }
}

/// A number of seconds as a span, exactly.
pub fn span(document: &Value, name: &str) -> String {
    document[name].as_u64().map_or_else(|| text(document, name), |secs| format_span(Duration::from_secs(secs)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_shown_as_people_read_it() {
        let document = json!({"owner": "team", "scopes": ["a", "b"], "n": 3, "ttl": 300, "none": null});
        assert_eq!(text(&document, "owner"), "team");
        assert_eq!(text(&document, "scopes"), "a, b");
        assert_eq!(
            (text(&document, "n"), text(&document, "none"), text(&document, "absent")),
            ("3".into(), "-".into(), "-".into())
        );
        assert_eq!(span(&document, "ttl"), "5m");
    }

    #[test]
    fn a_socket_that_is_another_user_s_is_asked_as_that_user() {
        let users = "root:x:0:0:root:/root:/bin/sh\n+nis\njitney:x:998:998::/var/lib/jitney:/usr/sbin/nologin\n";
        assert_eq!(name_of(998, users).as_deref(), Some("jitney"));
        assert_eq!(name_of(997, users), None);
        assert_eq!(owner(Path::new("/nonexistent/s")), None, "nobody's");
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        fs::write(&socket, "").unwrap();
        let me = rustix::process::geteuid();
        assert_eq!(owner(&socket), Some(me.as_raw()));
        assert_eq!(of_another(socket.to_str().unwrap()), None, "one's own");
        if me.is_root() {
            // Root is denied nothing, but may give a file away.
            std::os::unix::fs::chown(&socket, Some(54_321), None).unwrap();
            let next = of_another(socket.to_str().unwrap()).unwrap();
            assert!(next.contains("sudo -u '#54321' jitney --admin unix:/"), "{next}");
        }
    }

    #[test]
    fn what_is_to_be_pasted_names_the_broker_that_was_named() {
        let told = addressed("`jitney lease list`, or jitney workload show x; not jitney policy check", "unix:/a b");
        assert_eq!(
            told,
            "`jitney --admin 'unix:/a b' lease list`, or jitney --admin 'unix:/a b' workload show x; not jitney policy check"
        );
        assert_eq!(addressed("jitney --admin unix:x lease list", "unix:y"), "jitney --admin unix:x lease list");
    }

    #[test]
    fn moments_are_told_from_now() {
        let now = UnixTime::from_secs(1_000_000);
        let cases = [(0, "now"), (252, "in 4m 12s"), (3600, "in 1h"), (90_000, "in 1d 1h")];
        for (ahead, expected) in cases {
            assert_eq!(relative(now.plus(Duration::from_secs(ahead)), now), expected);
        }
        assert_eq!(relative(now.minus(Duration::from_secs(12)), now), "12s ago");
    }
}
