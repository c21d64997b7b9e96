//! The ends that measurements of sessions need: `scripts/bench-shell`.

use crate::{dialer, say};
use anyhow::Context as _;
use cmdr_link::{Client, FeedStream};
use cmdr_protocol::HostId;
use cmdr_protocol::hosts::Resolve;
use cmdr_protocol::sessions::{Input, Open, Size};
use cmdr_protocol::version::PeerKind;
use std::time::{Duration, Instant};

fn sh(script: &str) -> Open {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Open { argv, size: Size { columns: 200, rows: 50 }, ..Open::default() }
}

async fn host(client: &Client, name: &str) -> anyhow::Result<HostId> {
    let resolve = Resolve::of(name);
    let targets = client.call(None, &resolve, Duration::from_secs(10)).await?.targets;
    Ok(targets.first().with_context(|| format!("there is no host {name}"))?.0)
}

/// A session, and bytes of it that were taken in.
struct Seat {
    feed: FeedStream<Open>,
    taken: u64,
}

impl Seat {
    async fn open(client: &Client, host: HostId, open: &Open) -> anyhow::Result<Self> {
        Ok(Self { feed: client.feed(Some(host), open).await?, taken: 0 })
    }

    /// Takes in output until there is some more; false at the end.
    async fn more(&mut self) -> anyhow::Result<bool> {
        loop {
            let Some(item) = self.feed.next().await.transpose()? else { return Ok(false) };
            if item.exit.is_some() {
                return Ok(false);
            }
            if !item.output.is_empty() {
                self.taken += item.output.len() as u64;
                let taken = Some(self.taken);
                self.feed.send(&Input { taken, ..Input::default() }).await?;
                return Ok(true);
            }
        }
    }

    async fn press(&mut self, key: &[u8]) -> anyhow::Result<()> {
        Ok(self.feed.send(&Input { data: key.to_vec(), ..Input::default() }).await?)
    }
}

/// Presses a key that the terminal echoes, again and again; prints microseconds.
pub(crate) async fn keys(token: &str, name: &str, count: usize) -> anyhow::Result<()> {
    let (client, _) = dialer(token, PeerKind::Client, "bench")?.connect().await?;
    let host = host(&client, name).await?;
    let mut seat = Seat::open(&client, host, &sh("echo; exec sleep 600")).await?;
    seat.more().await?;
    for at in 0..count + 50 {
        if at % 1000 == 999 {
            // A terminal's line holds 4,095 bytes.
            seat.press(b"\n").await?;
            seat.more().await?;
        }
        let begun = Instant::now();
        seat.press(b"x").await?;
        seat.more().await?;
        if at >= 50 {
            say(&format!("{:.1}", begun.elapsed().as_secs_f64() * 1e6))?;
        }
    }
    Ok(())
}

/// Opens sessions, over one link or each over its own, and waits for the first byte; prints
/// microseconds.
pub(crate) async fn first(
    token: &str,
    name: &str,
    count: usize,
    fresh: bool,
) -> anyhow::Result<()> {
    let own = dialer(token, PeerKind::Client, "bench")?;
    let (client, _) = own.connect().await?;
    let host = host(&client, name).await?;
    for _ in 0..count {
        let begun = Instant::now();
        let mut seat = if fresh {
            let (client, _) = own.connect().await?;
            Seat::open(&client, host, &sh("echo; read x")).await?
        } else {
            Seat::open(&client, host, &sh("echo; read x")).await?
        };
        seat.more().await?;
        say(&format!("{:.1}", begun.elapsed().as_secs_f64() * 1e6))?;
        seat.press(b"\n").await?;
        while seat.more().await? {}
    }
    Ok(())
}

/// Has text printed and takes it in; prints seconds.
pub(crate) async fn bulk(token: &str, name: &str, megabytes: u64) -> anyhow::Result<()> {
    let (client, _) = dialer(token, PeerKind::Client, "bench")?.connect().await?;
    let host = host(&client, name).await?;
    let line = "0123456789 abcdefghijklmnopqrstuvwxyz ".repeat(2);
    let script = format!("stty -echo; read x; yes '{line}' | head -c {megabytes}000000");
    let mut seat = Seat::open(&client, host, &sh(&script)).await?;
    let begun = Instant::now();
    seat.press(b"\n").await?;
    while seat.more().await? {}
    say(&format!("{}", begun.elapsed().as_secs_f64()))
}
