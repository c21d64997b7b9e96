//! Connections of programs: bounded in number, encrypted, and cut when they dawdle.
//!
//! Whoever has not shown a key has one of few places and loses it to others ([`crate::gate`]); with the first
//! request that shows one the connection takes one of the places for those who are known.

use super::certificate::Certificate;
use super::patience::Patient;
use super::places::{self, Places};
use super::problem::Problem;
use super::rate::Rates;
use super::room::{Full, Room};
use super::{Api, configs, document, files, routes};
use crate::gate::{Bounds, Gate, Pass};
use crate::server::Hub;
use crate::services;
use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cmdr_protocol::{CallError, ErrorKind, KeyId};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The handshake, the head of a request, and the pause before one may each take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long an answer may stand still.
const STALL: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD: usize = 16 * 1024;
/// Bytes of bodies that are being read, of all together and with one key.
const BODIES: usize = 32 << 20;
const OF_ONE: usize = 8 << 20;
/// Headers of a request.
const HEADERS: usize = 64;
/// How long requests that are under way have when the hub stops.
const DRAIN: Duration = Duration::from_secs(5);

/// The interface, bound and ready.
pub struct Listening {
    api: Arc<Api>,
    listeners: Vec<TcpListener>,
    certificate: Arc<Certificate>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// One connection, as its requests know it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) address: IpAddr,
    place: Arc<Mutex<Place>>,
}

enum Place {
    Stranger { _pass: Pass },
    Known { place: places::Place },
}

impl Connection {
    /// Whose it is, once its program has shown a key that is right.
    pub(super) fn key(&self) -> Option<KeyId> {
        match &*self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::Known { place } => Some(place.key()),
            Place::Stranger { .. } => None,
        }
    }

    /// Its program has shown a key that is right: from now on it counts for that one.
    pub(super) fn is_known(&self, api: &Api, key: KeyId) -> Result<(), Problem> {
        let mut held = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Known { place } = &*held
            && place.key() == key
        {
            return Ok(());
        }
        let place = api.places.take(key).map_err(|full| {
            let what = match full {
                Full::All => "as many programs are connected as may be",
                Full::Key => "as many connections are open with this key as may be",
            };
            Problem::from(CallError::new(ErrorKind::Busy, format!("{what}; try again in a moment")))
        })?;
        *held = Place::Known { place };
        Ok(())
    }
}

fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr = address.parse().with_context(|| {
        format!("api: '{address}' is not an address to listen on; give one like 0.0.0.0:7780")
    })?;
    let bound = || {
        let socket = if parsed.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(parsed)?;
        socket.listen(1024)
    };
    bound().with_context(|| format!("api: listening on {address}"))
}

impl Listening {
    /// Binds it as the configuration says; nothing when that does not ask for it.
    pub fn open(hub: &Arc<Hub>) -> anyhow::Result<Option<Self>> {
        let settings = &hub.config.api;
        if !settings.is_on() {
            return Ok(None);
        }
        let certificate = Arc::new(Certificate::load(settings)?);
        let listeners =
            settings.listen.iter().map(|a| bind(a)).collect::<anyhow::Result<Vec<_>>>()?;
        // What a crash left of uploads is of no use.
        std::fs::remove_dir_all(files::folder(hub.audit.dir())).ok();
        let (stop, stopping) = watch::channel(false);
        let api = Arc::new(Api {
            hub: hub.clone(),
            service: Arc::new(services::all(hub.clone())),
            rates: Rates::new(&settings.limits),
            places: Places::new(settings.limits.connections, settings.limits.connections_per_key),
            drifts: configs::places(),
            bodies: Room::new(BODIES, OF_ONE),
            spools: files::Spools::new(&settings.limits),
            stopping,
        });
        Ok(Some(Self { api, listeners, certificate, stop }))
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop` completes; then requests that are under way may end.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { api, listeners, certificate, stop: stopping } = self;
        let limits = &api.hub.config.api.limits;
        let gate = Gate::new(Bounds {
            per_address: limits.strangers_per_address.max(1),
            total: limits.strangers.max(1),
        });
        let router = router(api.clone());
        let mut tasks = JoinSet::new();
        for listener in listeners {
            let acceptor = Acceptor {
                api: api.clone(),
                gate: gate.clone(),
                certificate: certificate.clone(),
                router: router.clone(),
            };
            tasks.spawn(acceptor.accept(listener));
        }
        let renewing = tokio::spawn(async move { certificate.renew().await });
        stop.await;
        renewing.abort();
        stopping.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN + Duration::from_secs(1), ended).await);
    }
}

/// All routes, and what stands before each of them.
fn router(api: Arc<Api>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_so)
        .layer(axum::middleware::from_fn_with_state(api.clone(), before))
        .with_state(api)
}

async fn nothing_there() -> Problem {
    Problem::not_found(format!(
        "there is nothing at this address; {} lists what there is",
        document::PATH
    ))
}

async fn not_so() -> Problem {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Malformed,
        format!(
            "this address takes other methods, named in the header Allow; {} lists them",
            document::PATH
        ),
    )
}

/// What every request passes: the share of its address; and what every answer says.
async fn before(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Connection>().map(|connection| connection.address);
    if let Some(address) = address
        && let Err(seconds) = api.rates.address(address)
    {
        let what = format!("too many requests came from {address}; try again in {seconds} s");
        return Problem::too_many(seconds, what).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = axum::http::HeaderValue::from_static("nosniff");
    headers.insert(axum::http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

#[derive(Clone)]
struct Acceptor {
    api: Arc<Api>,
    gate: Gate,
    certificate: Arc<Certificate>,
    router: Router,
}

impl Acceptor {
    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.api.stops() => break,
                accepted = self.next(&listener) => accepted,
            };
            // What has ended is taken away; nothing is kept of it.
            while connections.try_join_next().is_some() {}
            if let Some((tcp, address, pass)) = accepted {
                connections.spawn(self.clone().connection(tcp, address, pass));
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN, ended).await);
    }

    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, IpAddr, Pass)> {
        self.gate.ready().await;
        let (tcp, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("accepting a connection of a program: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                return None;
            }
        };
        let address = address.ip().to_canonical();
        let networks = &self.api.hub.config.api.networks;
        if !networks.is_empty() && !networks.iter().any(|network| network.contains(address)) {
            tracing::debug!(%address, "a program may not come from there");
            return None;
        }
        // Without a place there are no words: TLS would cost more than the refusal.
        self.gate.enter(address).map(|pass| (tcp, address, pass))
    }

    async fn connection(self, tcp: TcpStream, address: IpAddr, pass: Pass) {
        let evicted = pass.eviction();
        let connection =
            Connection { address, place: Arc::new(Mutex::new(Place::Stranger { _pass: pass })) };
        tokio::select! {
            () = self.converse(tcp, connection) => {}
            () = evicted => tracing::debug!(%address, "a slow connection gave way to others"),
        }
    }

    async fn converse(self, tcp: TcpStream, connection: Connection) {
        // A socket without it still works.
        tcp.set_nodelay(true).ok();
        let address = connection.address;
        let acceptor = TlsAcceptor::from(self.certificate.now());
        let tls = match tokio::time::timeout(PATIENCE, acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(e)) => return tracing::debug!(%address, "no TLS: {e}"),
            Err(_) => return tracing::debug!(%address, "no TLS within 10 s"),
        };
        let router = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            router.call(request)
        });
        let mut serving = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(HEAD)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(Patient::new(tls, STALL)), service)
        );
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = self.api.stops() => {
                serving.as_mut().graceful_shutdown();
                serving.as_mut().await
            }
        };
        if let Err(e) = served {
            tracing::debug!(%address, "a program's connection ended: {e}");
        }
    }
}
