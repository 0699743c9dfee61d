//! The signals that `jitney run` catches, so that none of them keeps it from completing the task.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What is passed on, each with whether a terminal's key sends it to the command too.
const PASSED: &[(Signal, bool)] = &[
    (Signal::TERM, false),
    (Signal::INT, true),
    (Signal::QUIT, true),
    (Signal::HUP, false),
    (Signal::USR1, false),
    (Signal::USR2, false),
];

/// Listens from its making on: a signal in the meantime is kept.
pub(super) struct Signals(Vec<(Caught, Stream)>);

/// One signal that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caught {
    signal: Signal,
    by_terminal: bool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let listened = PASSED.iter().filter(|(which, _)| ignored & (1 << (which.as_raw() - 1)) == 0);
        let streams = listened.map(|&(which, by_terminal)| {
            let stream = signal(SignalKind::from_raw(which.as_raw()))?;
            Ok((Caught { signal: which, by_terminal }, stream))
        });
        streams.collect::<io::Result<_>>().map(Self)
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Caught {
        poll_fn(|context| {
            let mut caught = self.0.iter_mut();
            let ready = caught.find_map(|(caught, stream)| stream.poll_recv(context).is_ready().then_some(*caught));
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// The signals that whoever started this process had it ignore, as `nohup` does: they stay ignored, here and in the
/// command. A bit each, the lowest for signal 1; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Caught {
    /// Its number.
    pub(super) const fn number(self) -> i32 {
        self.signal.as_raw()
    }

    /// Sends it to the process `id`, unless that has heard it already: a key pressed at a terminal reaches every
    /// process in its foreground, and many programs take a second interrupt for an order to drop everything.
    pub(super) fn pass_on(self, id: u32) {
        if self.by_terminal && in_foreground() {
            return;
        }
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
        // It may have ended a moment ago: then there is nobody to tell.
        let _ = rustix::process::kill_process(pid, self.signal);
    }
}

/// Whether a terminal sends its keys to this process's group, in which the command runs too.
fn in_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}
