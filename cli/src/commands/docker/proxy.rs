//! `docker proxy`: a socket here that is a host's Docker engine, for programs that speak to one. Each request is a request of
//! ours to the host, authorised and recorded by the hub.
//!
//! [`carry`] takes a request there and its answer back, [`door`] is the socket.

mod carry;
mod door;

use crate::App;
use crate::commands::interrupted;
use crate::connect::{Hub, Target, VERSION};
use crate::exit::{Exit, Failure};
use carry::Way;
use clap::Args;
use cmdr_link::session::{Dialer, Session};
use cmdr_protocol::display::clean;
use cmdr_protocol::proxy::{Asked, Look};
use cmdr_protocol::{CallError, ErrorKind};
use door::Door;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Connections at once: each may be a stream, and a link has some hundreds.
const MOST: usize = 128;
/// After a fault the socket is asked again so much later.
const AGAIN: Duration = Duration::from_millis(100);
/// A program must say what it wants within so long.
const HEADERS: Duration = Duration::from_secs(30);

/// Offer the Docker engine of a host on a socket here, for the docker program and its like.
///
/// The hub authorises and records every request. Looking (docker ps, images, info, stats) needs the right
/// proxy.look; everything else needs proxy.request, which is as much as being root on that host. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: cmdr docker proxy web1 --socket ~/web1.sock & docker -H unix://$HOME/web1.sock ps"
)]
pub(super) struct ProxyArgs {
    /// Which host.
    host: String,

    /// Where the socket is made; only you can use it.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
}

/// Whether the engine is there, and may be looked at.
async fn answers(app: &App, hub: &Hub, target: &Target) -> Result<(), Failure> {
    let ping = Asked { method: "GET".to_owned(), path: "/_ping".to_owned(), ..Asked::default() };
    let asked = async {
        let mut feed = hub.client.feed(Some(target.id), &Look(ping)).await?;
        feed.next().await.transpose()
    };
    match tokio::time::timeout(app.patience(), asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::from(error)),
        Err(_) => {
            let text = format!("the Docker engine of {} does not answer", target.name);
            Err(Failure::from(CallError::new(ErrorKind::TimedOut, text)))
        }
    }
}

pub(super) async fn proxy(app: &App, args: &ProxyArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.host).await?;
    // Who may not look, or looks where nothing is, hears it before any program does.
    answers(app, &hub, &target).await?;
    drop(hub);
    let door = Door::open(&args.socket)?;
    // A link that heals itself, for what stays.
    let session = Session::start(Dialer::client(app.context()?, VERSION));
    let way = Arc::new(Way { session, host: target.id });
    let path = door.path().display().to_string();
    app.out.note(&format!(
        "the Docker engine of {} is here until Ctrl-C: docker -H unix://{} ps",
        clean(&target.name),
        clean(&path)
    ));
    let serving = async {
        let free = Arc::new(Semaphore::new(MOST));
        let mut all = JoinSet::new();
        loop {
            // More wait until there is room.
            let Ok(permit) = free.clone().acquire_owned().await else { return };
            let Some(stream) = door.accept().await else {
                sleep(AGAIN).await;
                continue;
            };
            let way = way.clone();
            all.spawn(async move {
                let answer = service_fn(|request| carry::answer(way.clone(), request));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
                let connection = builder.serve_connection(TokioIo::new(stream), answer);
                // A program that goes away is no fault of ours.
                connection.with_upgrades().await.ok();
                drop(permit);
            });
            while all.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = serving => {}
        () = interrupted() => {}
    }
    Ok(Exit::Ok)
}
