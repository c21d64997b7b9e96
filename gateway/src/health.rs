//! Active checks: each upstream of a group with a check is asked at its interval, and is up or down
//! after as many answers in a row as the check says. Runs beside the control side, never in an event
//! loop; a plan's checks end with the plan.

use crate::config::{Check, CheckKind};
use crate::decode::sni;
use crate::group::{Group, Upstream};
use crate::plan::Plan;
use crate::shared::Shared;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Checks for a plan; dropping what is returned ends them.
pub fn begin(plan: &Plan, shared: &Arc<Shared>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for group in &plan.groups {
        let Some(check) = &group.settings.check else { continue };
        for (at, upstream) in group.upstreams.iter().enumerate() {
            // Spread over the interval, so that many do not come at once.
            let first = Instant::now() + check.interval * at as u32 / group.upstreams.len() as u32;
            all.spawn(watch(group.clone(), upstream.clone(), check.clone(), shared.clone(), first));
        }
    }
    all
}

async fn watch(
    group: Arc<Group>,
    upstream: Arc<Upstream>,
    check: Check,
    shared: Arc<Shared>,
    first: Instant,
) {
    let mut ticks = tokio::time::interval_at(first, check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_a_row = 0;
    loop {
        ticks.tick().await;
        let answer = timeout(check.timeout, ask(&upstream, &check)).await;
        let wrong = match answer {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let up = upstream.state.up.load(Relaxed);
        in_a_row = if up == wrong.is_none() { 0 } else { in_a_row + 1 };
        let needed = if up { check.fall } else { check.rise };
        if in_a_row >= needed {
            in_a_row = 0;
            upstream.state.set_up(!up, shared.now());
            let (name, address) = (&group.settings.name, upstream.settings.address);
            if let Some(why) = wrong {
                crate::say(format_args!("group {name}: upstream {address} is down: {why}"));
            } else {
                crate::say(format_args!("group {name}: upstream {address} is up"));
                group.waiting.wake(&shared);
            }
        }
    }
}

async fn ask(upstream: &Upstream, check: &Check) -> io::Result<()> {
    let mut stream = TcpStream::connect(upstream.settings.address).await?;
    let mut answer = [0; 64];
    match check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http => {
            let host = if check.host.is_empty() {
                upstream.settings.address.to_string()
            } else {
                check.host.clone()
            };
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: cmdr-gateway\r\nConnection: close\r\n\r\n",
                check.path
            );
            stream.write_all(request.as_bytes()).await?;
            let mut got = 0;
            while got < 12 {
                match stream.read(&mut answer[got..]).await? {
                    0 => return Err(io::Error::other("it ended without a status")),
                    n => got += n,
                }
            }
            match &answer[..12] {
                [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2' | b'3', _, _] => Ok(()),
                line => Err(io::Error::other(format!(
                    "answered {}",
                    String::from_utf8_lossy(line).escape_debug()
                ))),
            }
        }
        CheckKind::Tls => {
            stream.write_all(&sni::hello(&check.host, 16_000)).await?;
            stream.read_exact(&mut answer[..6]).await?;
            // Its hello; an alert says that it speaks TLS and will not with us.
            match (answer[0], answer[5]) {
                (22, 2) => Ok(()),
                (21, _) => Err(io::Error::other("answered with a TLS alert")),
                _ => Err(io::Error::other("answered something that is no TLS")),
            }
        }
    }
}
