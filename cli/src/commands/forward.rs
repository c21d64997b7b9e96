//! `forward`: services that a host sees, reached from here for as long as this runs; and forwards that are kept.
//!
//! [`here`] listens and carries, [`socks`] is what a client of `-D` says first, [`kept`] is about those at the hub.

mod here;
mod kept;
mod socks;

use crate::App;
use crate::commands::interrupted;
use crate::connect::{Hub, Target, VERSION};
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_link::session::{Dialer, Session};
use cmdr_protocol::display::clean;
use cmdr_protocol::forwards::{Carries, Dial, Place};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use here::{Door, Leads, Way};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinSet;

pub(super) const USAGE: &str = "cmdr forward [OPTIONS] <LISTEN> <TARGET> [<LISTEN> <TARGET>]...\n       \
     cmdr forward -D <LISTEN> --via <HOST>\n       \
     cmdr forward <COMMAND>";

/// Connections of this program at once: each is a stream of its link.
const STREAMS: usize = 4096;

/// Reach a service that a host sees, from here, for as long as this runs; or keep a forward between hosts.
///
/// LISTEN is a port here, or an address with a port; port 0 takes a free one. TARGET is HOST:PORT for a service on the host
/// itself (its 127.0.0.1), or HOST:ADDRESS:PORT for one that the host can reach; names are looked up there. Several pairs may
/// be given. The host's owner says which targets may be reached at all (the section 'forwards' of its agent.toml; none by default), and the
/// hub authorises and records each connection. Connections end when the link to the hub is lost; new ones go
/// on as soon as it is back. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: cmdr forward 127.0.0.1:5432 db1:5432 8080 edge1:10.0.0.7:80\n         \
                  cmdr forward -D 1080 --via db1\n         \
                  cmdr forward add shop-db edge1:5432 db1:5432"
)]
pub struct ForwardArgs {
    #[command(subcommand)]
    verb: Option<kept::Verb>,

    /// Where to listen here, and what is reached.
    #[arg(value_names = ["LISTEN", "TARGET"], required_unless_present = "socks")]
    pairs: Vec<String>,

    /// Be a SOCKS5 proxy here, whose connections --via makes; may be given again.
    #[arg(short = 'D', long, value_name = "LISTEN", requires = "via")]
    socks: Vec<String>,

    /// The host that makes the connections of -D.
    #[arg(long, value_name = "HOST", requires = "socks")]
    via: Option<String>,

    /// Forward UDP instead of TCP.
    #[arg(short, long, conflicts_with = "socks")]
    udp: bool,
}

impl ForwardArgs {
    /// Whether it sees to Ctrl-C itself.
    pub(super) const fn is_orderly(&self) -> bool {
        self.verb.is_none()
    }
}

/// Where to listen.
fn listen(text: &str) -> Result<SocketAddr, Failure> {
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let read = text.parse::<u16>().map(here).ok().or_else(|| text.parse().ok());
    read.ok_or_else(|| {
        Failure::usage(format!("'{text}' is no place to listen such as 8080 or 127.0.0.1:8080"))
    })
}

/// The host of a target, and what it is to reach.
fn target(text: &str) -> Result<(&str, Place), Failure> {
    let wrong = |why: String| Failure::usage(format!("'{text}' is no target: {why}"));
    let Some((host, place)) = text.split_once(':') else {
        return Err(wrong("write HOST:PORT, or HOST:ADDRESS:PORT".to_owned()));
    };
    Ok((host, Place::parse(place).map_err(wrong)?))
}

/// What is asked for, before the hub is.
struct Wanted<'a> {
    at: SocketAddr,
    host: &'a str,
    leads: Leads,
}

fn wanted(args: &ForwardArgs) -> Result<Vec<Wanted<'_>>, Failure> {
    let carries = if args.udp { Carries::Udp } else { Carries::Tcp };
    let mut wanted = Vec::new();
    for pair in args.pairs.chunks(2) {
        let [at, to] = pair else {
            return Err(Failure::usage("where to listen and what is reached come in pairs")
                .hint("cmdr forward 127.0.0.1:5432 db1:5432"));
        };
        let (host, place) = target(to)?;
        wanted.push(Wanted { at: listen(at)?, host, leads: Leads::To(carries, place) });
    }
    for at in &args.socks {
        let host = args.via.as_deref().unwrap_or_default();
        wanted.push(Wanted { at: listen(at)?, host, leads: Leads::Anywhere });
    }
    Ok(wanted)
}

/// Whether the way is open, before anybody is let in.
async fn may(app: &App, hub: &Hub, host: &Target, leads: &Leads) -> Result<(), Failure> {
    let Leads::To(carries, to) = leads else {
        // Where they lead is asked about one by one, but somebody who may nothing of it lets nobody in.
        if hub.welcome.verbs.iter().any(|verb| verb == Dial::METHOD) {
            return Ok(());
        }
        let text = format!(
            "{}: no grant of the role {} has the verb {}",
            host.name,
            hub.welcome.role,
            Dial::METHOD
        );
        return Err(Failure::from(CallError::new(ErrorKind::Denied, text)));
    };
    let look = Dial { to: to.clone(), carries: *carries, look: true };
    let asked = async {
        let mut feed = hub.client.feed(Some(host.id), &look).await?;
        while feed.next().await.transpose()?.is_some() {}
        Ok(())
    };
    match tokio::time::timeout(app.patience(), asked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(CallError { kind, message })) => {
            Err(Failure::from(CallError::new(kind, format!("{}: {message}", host.name))))
        }
        Err(_) => {
            let text = format!("{} does not answer", host.name);
            Err(Failure::from(CallError::new(ErrorKind::TimedOut, text)))
        }
    }
}

pub(super) async fn run(app: &App, args: ForwardArgs) -> Result<Exit, Failure> {
    if let Some(verb) = &args.verb {
        return kept::run(app, verb).await;
    }
    let wanted = wanted(&args)?;
    let hub = Hub::connect(app).await?;
    let mut doors = Vec::new();
    for Wanted { at, host, leads } in wanted {
        let host = hub.one_host(host).await?;
        may(app, &hub, &host, &leads).await?;
        doors.push((Door::open(at, &leads).await?, host, leads));
    }
    drop(hub);
    let mut dialer = Dialer::client(app.context()?, VERSION);
    dialer.limits.streams = STREAMS;
    let session = Session::start(dialer);
    let mut serving = JoinSet::new();
    for (door, host, leads) in doors {
        let told = format!("{} leads to {}", door.at, leads.told(&host.name));
        app.out.note(&clean(&told));
        let way = Way { app: app.clone(), session: session.clone(), host, leads };
        serving.spawn(door.serve(Arc::new(way)));
    }
    tokio::select! {
        Some(_) = serving.join_next() => {}
        () = here::tell_links(app, &session) => {}
        () = interrupted() => {}
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_host_and_what_it_sees() {
        let read = |text| target(text).map(|(host, place)| (host.to_owned(), place.to_string()));
        assert_eq!(read("db1:5432").unwrap(), ("db1".into(), "127.0.0.1:5432".into()));
        assert_eq!(read("db1:10.0.0.5:80").unwrap(), ("db1".into(), "10.0.0.5:80".into()));
        assert_eq!(read("db1:[fd00::5]:80").unwrap(), ("db1".into(), "[fd00::5]:80".into()));
        assert_eq!(read("db1:shop.lan:80").unwrap(), ("db1".into(), "shop.lan:80".into()));
        for bad in ["db1", "db1:", "db1:0", "db1:x", "db1:fd00::5:80"] {
            assert!(target(bad).is_err(), "{bad}");
        }
        assert_eq!(listen("80").unwrap().to_string(), "127.0.0.1:80");
        assert!(listen("db1:80").is_err());
    }
}
