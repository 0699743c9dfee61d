//! The doors of the process: listeners, TLS, limits, shutdown, and the tasks behind them.
//!
//! Owns bytes on the way in and out, and every bound on them. Never knows what a request means: it serves an application.

mod certificate;
mod limits;
mod places;
mod request;
mod serve;
mod shutdown;
mod stall;
mod supervise;
mod timer;
mod tls;
pub mod unix;
mod work;

pub use certificate::{Amiss, Certificate};
pub use limits::{Limits, OpenConnections};
pub use request::Remote;
pub use serve::serve;
pub use shutdown::Shutdown;
pub use supervise::{Died, Supervisor};
pub use tls::{Tls, TlsError};
pub use unix::Peer;
pub use work::{Answer, Application};

#[cfg(test)]
mod tests;

#[cfg(test)]
mod hostile;
