//! Accepts connections until told to stop, then lets open ones end.

mod preface;
mod stall;

use crate::limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT, HEADER_TIMEOUT, WRITE_STALL_MAX};
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use preface::PrefaceTimeout;
use rustls::ServerConfig;
use stall::StallTimeout;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause after a failed accept: too many open files pass, and a tight loop would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener grants to strangers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Open connections.
    pub connections_max: usize,
    /// Time until a request's head must be there, counted from the opening of the connection or the end of the request before.
    pub header_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, header_timeout: HEADER_TIMEOUT }
    }
}

/// Serves `router` on `listener`, with TLS if a configuration is given, until `stop` is cancelled. Requests that are under way then
/// get [`DRAIN_TIMEOUT`] to end.
pub async fn serve(listener: TcpListener, router: Router, tls: Option<Arc<ServerConfig>>, patience: Patience, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(patience.connections_max));
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
        connections.spawn(async move {
            let _slot = slot;
            match acceptor {
                None => talk(stream, router, patience, stop).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => talk(stream, router, patience, stop).await,
                    Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut");
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn talk<S>(stream: S, router: Router, patience: Patience, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = StallTimeout::new(PrefaceTimeout::new(stream, patience.header_timeout), WRITE_STALL_MAX);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.header_timeout)
        .keep_alive_timeout(patience.header_timeout)
        .max_header_list_size(16 * 1024);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection ended early");
    }
}
