//! How Redis is reached: the URL, TLS, time limits, and the first look at what is found behind a new connection.
//!
//! Never shows a URL: it may hold a password. TLS is rustls over ring, the only provider that is compiled in.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, PushInfo, PushKind,
    TlsCertificates,
};

use super::RedisOptions;
use super::layout::MOVED;
use super::line::{Line, classify, unavailable};
use super::shared::Shared;
use crate::store::StoreError;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_millis(900);
/// How long an answer may take. What was sent may have been carried out all the same.
const ANSWER: Duration = Duration::from_millis(1000);

/// Reads the URL and makes a client of it, without connecting.
///
/// # Errors
/// [`StoreError::Unavailable`] where the URL is none that can be used; it is not repeated.
pub(super) fn client(options: &RedisOptions) -> Result<Client, StoreError> {
    let url = options.url.expose().as_str();
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "redis" | "rediss") {
        return Err(unavailable("store.url must begin with redis:// or rediss://"));
    }
    // `insecure` would switch certificates off; a URL cannot ask for that.
    if url.contains('#') {
        return Err(unavailable("store.url must have no fragment"));
    }
    let wrong = |_| unavailable("store.url is no URL of Redis: redis://user:password@host:port/db");
    let info: ConnectionInfo = url.into_connection_info().map_err(wrong)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    let info = info.set_redis_settings(settings);
    match &options.ca_pem {
        None => Client::open(info),
        Some(pem) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) }),
    }
    .map_err(|error| classify(&error))
}

/// Connects a line and looks at the log through the new connection before anyone may use it.
///
/// # Errors
/// [`StoreError`] where it does not stand, or what is behind it cannot be used.
pub(super) async fn connect(shared: &Arc<Shared>, line: &Arc<Line>, listens: bool) -> Result<(), StoreError> {
    let number = shared.next_connection();
    let watched = Arc::downgrade(line);
    let wake = Arc::clone(&shared.wake);
    let pushed = move |push: PushInfo| -> Result<(), ()> {
        if push.kind == PushKind::Disconnection
            && let Some(line) = watched.upgrade()
        {
            line.drop_connection(number);
        }
        // Else the log moved: the keeper reads the head, the message is only a hint.
        wake.notify_one();
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_pipeline_buffer_size(256)
        .set_push_sender(pushed);
    let client = &shared.client;
    let opened = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection: MultiplexedConnection = opened.map_err(|error| classify(&error))?;
    if listens {
        connection.subscribe(MOVED).await.map_err(|error| classify(&error))?;
    }
    shared.verify(&connection).await?;
    line.put(connection, number);
    // Whoever was told of news while there was no connection looks again.
    shared.moved.send_modify(|count| *count += 1);
    Ok(())
}
