//! The TLS listener of the API: accepts, proves the caller, serves, drains.
//!
//! Always holds: a presented certificate must verify or the connection ends, and the connection ends when that certificate
//! is revoked or its time is over; at most `CONNECTIONS_MAX` connections at once;
//! a stop lets running requests finish.

use crate::{Caller, unread};
use axum::Router;
use eport_tls::{PeerIdentity, Tls};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Connections served at once; more wait in the system's backlog.
const CONNECTIONS_MAX: usize = 4_096;
/// A handshake that takes longer is ended.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that sends no request head for this long is ended.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often an idle HTTP/2 connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 200;
/// How often a live connection's certificate is looked at without news: its time may be over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often one task looks whether there is news, for all connections: two comparisons in memory.
const NEWS_EVERY: Duration = Duration::from_millis(20);
/// Running requests get this long to finish when the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the router until `stop` turns true, then drains.
pub async fn serve(listener: TcpListener, tls: Tls, router: Router, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let (told, news) = watch::channel(());
    let teller = tokio::spawn(tell(tls.clone(), told));
    loop {
        let next = async {
            let permit = slots.clone().acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let (permit, accepted) = tokio::select! {
            _ = stop.wait_for(|s| *s) => break,
            next = next => match next {
                Some(next) => next,
                None => break,
            },
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // For example no file descriptors left: wait for some to come back instead of spinning.
                warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let watcher = graceful.watcher();
        let (tls, router, news) = (tls.clone(), router.clone(), news.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection(stream, tls, router, watcher, news).await {
                debug!(%error, "connection ended");
            }
        });
    }
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        warn!("requests still ran when the drain time ended");
    }
    teller.abort();
}

/// Tells every connection when more is revoked.
async fn tell(tls: Tls, told: watch::Sender<()>) {
    let mut known = tls.revocations().mark();
    while !told.is_closed() {
        tokio::time::sleep(NEWS_EVERY).await;
        let now = tls.revocations().mark();
        if now != known {
            known = now;
            told.send_replace(());
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Tls,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    news: watch::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let source = stream.peer_addr().ok().map(|a| a.ip());
    let acceptor = TlsAcceptor::from(tls.https_server()?);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let identity = match stream.get_ref().1.peer_certificates() {
        Some(chain) if !chain.is_empty() => Some(Arc::new(tls.peer(chain)?)),
        _ => None,
    };
    let over = over(identity.clone(), tls.clone(), news);
    let caller = Caller { identity, source, ..Caller::default() };
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(caller.clone());
        unread::answer(router.clone(), request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // Silent connections give their place back.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(HANDSHAKE_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX);
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    tokio::select! {
        served = watcher.watch(served) => served.map_err(|e| e.to_string().into()),
        why = over => Err(why.into()),
    }
}

/// Ends when the caller's certificate is revoked or its time is over; never for a connection without one. Requests under way
/// are cut: what they asked for is decided by the journal or the registry, as with every lost answer.
async fn over(identity: Option<Arc<PeerIdentity>>, tls: Tls, mut news: watch::Receiver<()>) -> &'static str {
    let Some(identity) = identity else { return std::future::pending().await };
    loop {
        news.mark_unchanged();
        if identity.revoked(tls.revocations()).is_some() {
            return "the caller's certificate is revoked";
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if u64::try_from(identity.not_after).is_ok_and(|end| end < now) {
            return "the caller's certificate expired";
        }
        // Without anybody who tells, time alone counts.
        tokio::select! {
            Ok(()) = news.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Serves without TLS; only for a loopback address (metrics).
pub async fn serve_plain(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let ended = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stop.wait_for(|s| *s).await;
    });
    if let Err(error) = ended.await {
        warn!(%error, "metrics listener ended");
    }
}
