//! The embedded store: the common suite, and what only a store in a file of one's own can be asked.

mod disk;
mod fixture;
mod kill;
mod life;

use fixture::InAFile;

crate::store::suite::store_suite!(InAFile::fresh());
