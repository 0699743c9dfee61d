//! What five plain commands in a script cost Redis: the least that a mint could be. A lease of 90 bytes with its time to live,
//! the assertion where it is new, an entry in the workload's index, the published key, and whether there is a quarantine.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};

use super::fill::{LANES, WORKLOADS};
use super::scene::Failed;

const SCRIPT: &str = "
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
    if not redis.call('SET', KEYS[2], '', 'NX', 'EX', ARGV[3]) then return 'REPLAYED' end
    redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5])
    if not redis.call('GET', KEYS[4]) then return 'KEY' end
    if redis.call('GET', KEYS[5]) then return 'QUARANTINE' end
    return 'OK'";

/// A connection that asks for nothing else.
pub struct Plain {
    runtime: Runtime,
    connection: MultiplexedConnection,
    hash: Arc<str>,
}

impl Plain {
    pub fn open(url: &str) -> Result<Self, Failed> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = redis::Client::open(url)?;
        let mut connection = runtime.block_on(client.get_multiplexed_async_connection())?;
        let hash: String =
            runtime.block_on(redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut connection))?;
        let key = "k".repeat(300);
        runtime.block_on(redis::cmd("SET").arg("plain:{keys}:k").arg(key).query_async::<()>(&mut connection))?;
        Ok(Self { runtime, connection, hash: hash.into() })
    }

    /// So many calls, of which as many are under way as there are mints elsewhere.
    pub fn calls(&self, count: usize, round: usize) -> Result<(), Failed> {
        let lanes = (0..LANES.min(count)).map(|lane| {
            let (mut connection, hash) = (self.connection.clone(), Arc::clone(&self.hash));
            self.runtime.spawn(async move {
                for n in (lane..count).step_by(LANES) {
                    let answer: String =
                        call(&hash, n, round).query_async(&mut connection).await.map_err(|error| error.to_string())?;
                    if answer != "OK" {
                        return Err(answer);
                    }
                }
                Ok::<_, String>(())
            })
        });
        let lanes: Vec<_> = lanes.collect();
        for lane in lanes {
            self.runtime.block_on(lane)??;
        }
        Ok(())
    }
}

fn call(hash: &str, n: usize, round: usize) -> redis::Cmd {
    let workload = n % WORKLOADS;
    // As long as a lease's name and an assertion's digest, and as far apart.
    let name =
        ((n as u128) << 64 | round as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
    let (mut lease, mut replay) = (b"plain:l:".to_vec(), format!("plain:r:{workload:08}:").into_bytes());
    lease.extend_from_slice(&name);
    replay.extend_from_slice(&name);
    let mut call = redis::cmd("EVALSHA");
    call.arg(hash).arg(5).arg(lease).arg(replay).arg(format!("plain:i:{workload:08}")).arg("plain:{keys}:k");
    call.arg(format!("plain:q:w{workload}"))
        .arg("v".repeat(90))
        .arg(390)
        .arg(150)
        .arg(1_790_000_000 + round)
        .arg(&name);
    call
}
