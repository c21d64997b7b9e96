//! The private socket: requests and answers as JSON, a line each. Status, counters, the log, a new
//! configuration, draining, weights, bans, and handing the listening sockets to a successor.

use crate::gateway::{Gateway, Held, Sockets};
use crate::plan::Place;
use crate::shared::Mail;
use anyhow::{Context as _, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

/// Largest request: a configuration with its lists.
const LARGEST: u64 = 16 << 20;
/// Connections to the socket at once.
const MOST: usize = 16;
/// Time for a request to come whole, and between two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Descriptors that one message carries.
const PASSED: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    Log,
    Bans,
    /// A whole configuration, as TOML.
    Apply {
        config: String,
    },
    /// The same without a change.
    Check {
        config: String,
    },
    /// No new connections for an upstream or a listener (or, with `off`, again). An upstream's
    /// connections are ended after `seconds` when that is given.
    Drain {
        group: Option<String>,
        upstream: Option<SocketAddr>,
        listener: Option<String>,
        seconds: Option<u64>,
        #[serde(default)]
        off: bool,
    },
    /// A weight over the configuration's until the gateway starts anew; none: the configuration's.
    Weight {
        group: String,
        upstream: SocketAddr,
        weight: Option<u32>,
    },
    /// Bans an address; 0 seconds lift it.
    Ban {
        policy: String,
        address: IpAddr,
        seconds: u64,
    },
    /// Ends the connections of a listener, also of one that is not in the configuration any more.
    Cut {
        listener: String,
    },
    /// Hands over the listening sockets.
    TakeOver,
    /// Ends when the last connection has, at the latest after `seconds`.
    Stop {
        #[serde(default)]
        seconds: u64,
    },
}

/// Why the gateway ends, and how long connections may take.
#[derive(Debug, Default)]
pub struct Ending {
    pub wanted: Notify,
    pub seconds: std::sync::atomic::AtomicU64,
    /// Somebody said that it should.
    pub stopping: AtomicBool,
    pub handed: AtomicBool,
}

/// What the successor is told of each socket: they follow in this order.
#[derive(Debug, Serialize, Deserialize)]
struct Handed {
    address: SocketAddr,
    transport: crate::config::Transport,
}

/// What was said of an upstream over the configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    group: String,
    upstream: SocketAddr,
    drained: bool,
    weight: Option<u32>,
}

/// What was said to a gateway of its upstreams, and which of its listeners are drained.
fn said(gateway: &Gateway) -> (Vec<Said>, Vec<String>) {
    let of_group = |group: &Arc<crate::group::Group>| {
        let group_name = group.settings.name.clone();
        let said = group.upstreams.iter().filter_map(move |u| {
            let (drained, weight) = (u.state.drained.load(Relaxed), u.state.weight.load(Relaxed));
            let weight = (weight != u32::MAX).then_some(weight);
            let (group, upstream) = (group_name.clone(), u.settings.address);
            (drained || weight.is_some()).then_some(Said { group, upstream, drained, weight })
        });
        said.collect::<Vec<_>>()
    };
    let upstreams = gateway.plan.groups.iter().flat_map(of_group).collect();
    let drained = gateway.plan.listeners.iter().filter(|l| l.counters.drained.load(Relaxed));
    (upstreams, drained.map(|l| l.settings.name.clone()).collect())
}

/// Listens at a path. A successor takes the path over by renaming, so that there is always one.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let bind = || -> std::io::Result<UnixListener> {
        std::fs::remove_file(&new)
            .or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&new);
        rustix::process::umask(before);
        std::fs::rename(&new, path)?;
        listener
    };
    bind().with_context(|| format!("making the control socket {}", path.display()))
}

/// Answers at the socket for as long as the gateway runs.
pub async fn serve(listener: UnixListener, gateway: Held, ending: Arc<Ending>) {
    let some = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(turn) = some.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (gateway, ending) = (gateway.clone(), ending.clone());
                tokio::spawn(async move {
                    if let Err(e) = talk(stream, &gateway, &ending).await {
                        crate::say(format_args!("control socket: {e:#}"));
                    }
                    drop(turn);
                });
            }
            Err(e) => {
                crate::say(format_args!("control socket: {e}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn talk(stream: UnixStream, gateway: &Held, ending: &Arc<Ending>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut stream).take(LARGEST);
        let Ok(read) = tokio::time::timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await
        else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            bail!("a request of more than 16 MiB, or one that is cut off");
        }
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(Request::TakeOver) => return hand_over(stream, gateway, ending).await,
            Ok(request) => answer(request, gateway, ending).await,
            Err(e) => Err(e.into()),
        };
        let mut answer =
            answer.unwrap_or_else(|e| json!({ "error": [format!("{e:#}")] })).to_string();
        answer.push('\n');
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

async fn answer(request: Request, gateway: &Held, ending: &Arc<Ending>) -> Result<Value> {
    let mut held = gateway.lock().await;
    let now = held.shared.now();
    match request {
        Request::Status => {
            let mut told = status(&held);
            told["ending"] = ending.stopping.load(Relaxed).into();
            return Ok(told);
        }
        Request::Log => return Ok(log(&held)),
        Request::Bans => {
            let of = |p: &Arc<crate::policy::Policy>| -> Vec<Value> {
                let name = &p.settings.name;
                p.known
                    .bans(now)
                    .into_iter()
                    .map(
                        |(ip, left)| json!({ "policy": name, "address": ip, "milliseconds": left }),
                    )
                    .collect()
            };
            return Ok(
                json!({ "bans": held.plan.policies.iter().flat_map(of).collect::<Vec<_>>() }),
            );
        }
        Request::Apply { .. } if ending.stopping.load(Relaxed) => {
            bail!("this gateway ends: start another one with --take-over")
        }
        Request::Apply { config } => {
            if let Err(wrong) = held.apply(&config).await {
                return Ok(json!({ "error": wrong }));
            }
        }
        Request::Check { config } => {
            if let Err(wrong) = crate::plan::read(&config, &held.plan) {
                return Ok(json!({ "error": wrong }));
            }
        }
        Request::Drain { listener: Some(name), off, group: None, upstream: None, .. } => {
            let found = held.plan.listeners.iter().find(|l| l.settings.name == name);
            let found = found.with_context(|| format!("there is no listener \"{name}\""))?;
            found.counters.drained.store(!off, Relaxed);
            let text = held.text.clone();
            held.apply(&text).await.map_err(|wrong| anyhow::anyhow!(wrong.join("; ")))?;
        }
        Request::Drain {
            group: Some(group),
            upstream: Some(address),
            listener: None,
            seconds,
            off,
        } => {
            let state = held.upstream(&group, address)?.state.clone();
            state.drained.store(!off, Relaxed);
            if let (Some(seconds), false) = (seconds, off) {
                let shared = held.shared.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds.min(86_400))).await;
                    if state.drained.load(Relaxed) {
                        shared.letters.iter().for_each(|l| l.send(Mail::Cut(state.clone())));
                    }
                });
            }
        }
        Request::Drain { .. } => {
            bail!("drain needs a listener, or a group and one of its upstreams")
        }
        Request::Weight { group, upstream, weight } => {
            if weight.is_some_and(|w| w > 100_000) {
                bail!("a weight is at most 100000");
            }
            held.upstream(&group, upstream)?
                .state
                .weight
                .store(weight.unwrap_or(u32::MAX), Relaxed);
        }
        Request::Ban { policy, address, seconds } => {
            let found = held.plan.policies.iter().find(|p| p.settings.name == policy);
            let found = found.with_context(|| format!("there is no policy \"{policy}\""))?;
            if !found.known.ban(address, now, seconds.min(31_536_000) * 1000) {
                bail!("as many addresses are banned as can be remembered");
            }
        }
        Request::Cut { listener } => {
            let listener: Arc<str> = listener.into();
            held.everyone(|| Mail::CutListener(listener.clone()));
        }
        Request::Stop { seconds } => {
            ending.seconds.store(seconds, Relaxed);
            ending.stopping.store(true, Relaxed);
            ending.wanted.notify_one();
        }
        Request::TakeOver => {}
    }
    Ok(json!({ "ok": true }))
}

/// All listeners and upstreams with their counters.
fn status(gateway: &Gateway) -> Value {
    let now = gateway.shared.now();
    let listener = |l: &Arc<crate::plan::Listener>| {
        let c = &l.counters;
        let (talkers, seconds) = c.talkers.told(now);
        json!({
            "name": l.settings.name, "address": gateway.bound(l), "transport": l.settings.transport,
            "active": c.active.load(Relaxed), "accepted": c.accepted.load(Relaxed), "refused": c.refused.load(Relaxed),
            "failed": c.failed.load(Relaxed), "bytes_in": c.bytes[0].load(Relaxed), "bytes_out": c.bytes[1].load(Relaxed),
            "dropped": c.dropped.load(Relaxed), "starved": c.starved.load(Relaxed), "drained": c.drained.load(Relaxed),
            "talkers": talkers, "talkers_seconds": seconds,
        })
    };
    let told = |all: &[Arc<crate::plan::Listener>]| all.iter().map(listener).collect::<Vec<_>>();
    let still = gateway.plan.left.iter().filter(|l| l.counters.active.load(Relaxed) > 0).cloned();
    let groups = gateway.plan.groups.iter().map(|g| {
        let upstreams = g.upstreams.iter().map(|u| {
            let s = &u.state;
            let state = if s.drained.load(Relaxed) || u.settings.drain {
                "drained"
            } else if !s.up.load(Relaxed) {
                "down"
            } else if s.is_ejected(now) {
                "ejected"
            } else {
                "up"
            };
            let [connect, first_byte] = s.times(now);
            json!({
                "connect": connect, "first_byte": first_byte,
                "address": u.settings.address, "state": state, "weight": u.weight(), "backup": u.settings.backup,
                "active": s.active.load(Relaxed), "total": s.total.load(Relaxed), "failed": s.failed.load(Relaxed),
                "bytes_in": s.bytes[0].load(Relaxed), "bytes_out": s.bytes[1].load(Relaxed),
            })
        });
        json!({ "name": g.settings.name, "waiting": g.waiting.count.load(Relaxed), "upstreams": upstreams.collect::<Vec<_>>() })
    });
    json!({
        "pid": std::process::id(), "milliseconds": now, "open": gateway.shared.open.load(Relaxed),
        "max_connections": gateway.shared.most.load(Relaxed),
        "listeners": told(&gateway.plan.listeners), "left": told(&still.collect::<Vec<_>>()), "groups": groups.collect::<Vec<_>>(),
    })
}

fn log(gateway: &Gateway) -> Value {
    let now = gateway.shared.now();
    let mut all: Vec<_> = gateway.shared.logs.iter().flat_map(crate::shared::Log::all).collect();
    all.sort_by_key(|e| e.at);
    let entry = |e: crate::shared::Ended| {
        json!({
            "listener": e.listener.settings.name, "source": e.source, "upstream": e.upstream, "ago": now.saturating_sub(e.at),
            "lasted": e.lasted, "bytes_in": e.bytes[0], "bytes_out": e.bytes[1], "reason": e.reason,
        })
    };
    json!({ "log": all.into_iter().map(entry).collect::<Vec<_>>() })
}

/// Gives the sockets to a successor, and is quiet when that says that it serves.
async fn hand_over(
    mut stream: BufReader<UnixStream>,
    gateway: &Held,
    ending: &Arc<Ending>,
) -> Result<()> {
    let mut held = gateway.lock().await;
    let all = held.sockets().iter().flat_map(|((address, transport), sockets)| {
        sockets
            .iter()
            .map(|socket| (Handed { address: *address, transport: *transport }, socket.clone()))
    });
    let (list, sockets): (Vec<Handed>, Vec<Arc<OwnedFd>>) = all.unzip();
    let bans: Vec<Value> = held
        .plan
        .policies
        .iter()
        .flat_map(|p| {
            let name = &p.settings.name;
            p.known
                .bans(held.shared.now())
                .into_iter()
                .map(|(ip, left)| json!({ "policy": name, "address": ip, "milliseconds": left }))
                .collect::<Vec<_>>()
        })
        .collect();
    let (said, drained) = said(&held);
    let given = json!({
        "sockets": list, "config": held.text, "bans": bans, "said": said, "drained": drained,
    });
    let line = format!("{given}\n");
    stream.get_mut().write_all(line.as_bytes()).await?;
    for some in sockets.chunks(PASSED) {
        // Each is asked for: read together with the line before, its sockets would be lost.
        let mut asked = [0];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut asked))
            .await
            .context("the successor takes too long")??;
        let fds: Vec<_> = some.iter().map(|s| s.as_fd()).collect();
        let send = || {
            let mut space =
                vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(&fds).size()];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            Ok(rustix::net::sendmsg(
                stream.get_ref(),
                &[IoSlice::new(b"s")],
                &mut control,
                SendFlags::NOSIGNAL,
            )?)
        };
        stream.get_ref().writable().await?;
        stream.get_ref().async_io(Interest::WRITABLE, send).await.context("passing the sockets")?;
    }
    let mut serving = String::new();
    tokio::time::timeout(PATIENCE, (&mut stream).take(64).read_line(&mut serving))
        .await
        .context("the successor takes too long")??;
    if serving.trim() != "serving" {
        bail!("the successor ended before it served; this one goes on");
    }
    held.quiet(false).await?;
    crate::say(format_args!(
        "another gateway has taken over; {} connections are left",
        held.shared.open.load(Relaxed)
    ));
    ending.handed.store(true, Relaxed);
    ending.wanted.notify_one();
    Ok(())
}

/// What a gateway that is taken over has given: its sockets, configuration and bans.
pub struct Inheritance {
    pub sockets: Sockets,
    pub config: String,
    pub bans: Vec<(String, IpAddr, u64)>,
    said: Vec<Said>,
    drained: Vec<String>,
    stream: BufReader<UnixStream>,
}

impl Inheritance {
    /// Says to the successor what was said to its predecessor, as far as its configuration has what that was about.
    pub async fn repeat(&self, gateway: &mut Gateway) {
        for Said { group, upstream, drained, weight } in &self.said {
            if let Ok(known) = gateway.upstream(group, *upstream) {
                known.state.drained.store(*drained, Relaxed);
                known.state.weight.store(weight.unwrap_or(u32::MAX), Relaxed);
            }
        }
        let listeners = gateway.plan.listeners.iter();
        let drained: Vec<_> =
            listeners.filter(|l| self.drained.contains(&l.settings.name)).cloned().collect();
        if drained.is_empty() {
            return;
        }
        for listener in drained {
            listener.counters.drained.store(true, Relaxed);
        }
        let text = gateway.text.clone();
        if let Err(wrong) = gateway.apply(&text).await {
            crate::say(format_args!("listeners are not drained: {}", wrong.join("; ")));
        }
    }

    /// Tells the predecessor that it may be quiet.
    pub async fn serving(mut self) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(b"serving\n")
            .await
            .context("telling the gateway that it is taken over")
    }
}

/// Asks the gateway at a socket for its sockets.
pub async fn take_over(path: &Path) -> Result<Inheritance> {
    #[derive(Deserialize)]
    struct Ban {
        policy: String,
        address: IpAddr,
        milliseconds: u64,
    }
    #[derive(Deserialize)]
    struct Given {
        sockets: Vec<Handed>,
        config: String,
        bans: Vec<Ban>,
        // A predecessor from before there was this says nothing of it.
        #[serde(default)]
        said: Vec<Said>,
        #[serde(default)]
        drained: Vec<String>,
    }
    let stream = UnixStream::connect(path).await;
    let stream = stream.with_context(|| {
        format!("taking over the gateway at {}: is it running?", path.display())
    })?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"{\"request\":\"take-over\"}\n").await?;
    let mut line = String::new();
    (&mut stream).take(LARGEST * 2).read_line(&mut line).await?;
    let given: Given =
        serde_json::from_str(&line).context("reading what the gateway hands over")?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    while fds.len() < given.sockets.len() {
        stream.get_mut().write_all(b"t").await?;
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let got = rustix::net::recvmsg(
                stream.get_ref(),
                &mut [IoSliceMut::new(&mut byte)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            let rights = control.drain().filter_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
                _ => None,
            });
            Ok((got.bytes, rights.flatten().collect::<Vec<_>>()))
        };
        let (bytes, mut some) = stream.get_ref().async_io(Interest::READABLE, receive).await?;
        if bytes == 0 || some.is_empty() {
            bail!("the gateway that was to be taken over ended meanwhile");
        }
        fds.append(&mut some);
    }
    let mut sockets = Sockets::new();
    for (handed, fd) in given.sockets.into_iter().zip(fds) {
        let place: Place = (handed.address, handed.transport);
        sockets.entry(place).or_default().push(Arc::new(fd));
    }
    let bans = given.bans.into_iter().map(|b| (b.policy, b.address, b.milliseconds)).collect();
    let Given { config, said, drained, .. } = given;
    Ok(Inheritance { sockets, config, bans, said, drained, stream })
}
