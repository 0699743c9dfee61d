//! The store on a real redis-server: the common suite, and what only a server far away can do to it.

mod before;
mod deployed;
mod faults;
mod kept;
mod life;
mod lost;
mod replicas;
mod server;

use self::server::Server;

mod suite {
    use super::Server;
    crate::store::suite::store_suite!(Server::safe());
}
