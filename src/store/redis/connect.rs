//! How Redis is reached: the URL, TLS, time limits, and the first look at what is found behind a new connection.
//!
//! Never shows a URL: it may hold a password. TLS is rustls over ring, the only provider that is compiled in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, RedisError,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::RedisOptions;
use super::driver::{Begun, Driver};
use super::layout::MOVED;
use super::line::{Line, classify, unavailable};
use super::shared::Shared;
use crate::fetch::trust;
use crate::store::StoreError;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_millis(900);
/// How long an answer may take. What was sent may have been carried out all the same.
const ANSWER: Duration = Duration::from_millis(1000);

/// Where Redis is, and who is said to come. Holds a password, so it is never shown.
pub(super) struct Address {
    host: String,
    port: u16,
    as_whom: RedisConnectionInfo,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Address {
    /// Reads the URL, and with it the certificates to trust, without connecting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the URL is none that can be used; it is not repeated.
    pub(super) fn of(options: &RedisOptions) -> Result<Self, StoreError> {
        let url = options.url.expose().as_str();
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !matches!(scheme, "redis" | "rediss") {
            return Err(unavailable("store.url must begin with redis:// or rediss://"));
        }
        // `insecure` would switch certificates off; a URL cannot ask for that.
        if url.contains('#') {
            return Err(unavailable("store.url must have no fragment"));
        }
        let no_url = || unavailable("store.url is no URL of Redis: redis://user:password@host:port/db");
        let info = url.into_connection_info().map_err(|_| no_url())?;
        let as_whom = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, None),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| no_url())?;
                let config = trust::client(options.ca_pem.as_deref());
                let config = config.map_err(|why| unavailable(format!("TLS to the store: {why}")))?;
                (host.clone(), *port, Some((TlsConnector::from(Arc::new(config)), name)))
            }
            _ => return Err(no_url()),
        };
        Ok(Self { host, port, as_whom, tls })
    }

    /// A connection, and the task that drives it.
    async fn open(
        &self,
        config: AsyncConnectionConfig,
        begun: Begun,
    ) -> Result<(MultiplexedConnection, Driver), RedisError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.speak(stream, config, begun).await,
            Some((tls, name)) => self.speak(tls.connect(name.clone(), stream).await?, config, begun).await,
        }
    }

    async fn speak<S>(
        &self,
        stream: S,
        config: AsyncConnectionConfig,
        begun: Begun,
    ) -> Result<(MultiplexedConnection, Driver), RedisError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = MultiplexedConnection::new_with_config(&self.as_whom, stream, config).await;
        opened.map(|(connection, driving)| (connection, Driver::start(driving, begun)))
    }
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
        .set_response_timeout(Some(ANSWER))
        .set_pipeline_buffer_size(256)
        .set_push_sender(pushed);
    let opened = tokio::time::timeout(CONNECT, shared.address.open(config, line.begun())).await;
    let opened = opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
    let (mut connection, driver) = opened.map_err(|error| classify(&error))?;
    if listens {
        connection.subscribe(MOVED).await.map_err(|error| classify(&error))?;
    }
    shared.verify(&connection).await?;
    line.put(connection, number, driver);
    // Whoever was told of news while there was no connection looks again.
    shared.moved.send_modify(|count| *count += 1);
    Ok(())
}
