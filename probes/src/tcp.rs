//! A port takes connections, and says what is expected.

use crate::look::{Ended, Fault, Look, shown, since};
use crate::reach::{connect, words};
use cmdr_protocol::probes::{Tcp, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// Bytes in which what is expected has to stand.
const MOST: usize = 64 * 1024;

pub(crate) async fn ask(look: &mut Look<'_>, tcp: &Tcp) -> Ended {
    let mut stream = connect(look, &tcp.host, tcp.port).await?;
    let at = look.seen.address.clone();
    if let Some(send) = &tcp.send {
        look.doing(format!("sending to {at}"));
        let sent = stream.write_all(send.as_bytes()).await;
        sent.map_err(|e| Fault::Down(format!("sending to {at}: {}", words(&e))))?;
    }
    let Some(expect) = tcp.expect.as_deref().filter(|e| !e.is_empty()) else {
        return Ok((Verdict::Up, format!("{at} takes connections")));
    };
    look.doing(format!("waiting for '{}' from {at}", shown(expect)));
    let (begun, mut heard, mut piece) = (Instant::now(), Vec::new(), vec![0; 4096]);
    loop {
        let read = stream.read(&mut piece).await;
        let read = read.map_err(|e| Fault::Down(format!("reading from {at}: {}", words(&e))))?;
        if look.seen.phases.first_us.is_none() {
            look.seen.phases.first_us = Some(since(begun));
        }
        // What was looked through already needs no second look, but for the end in which it may begin.
        let from = heard.len().saturating_sub(expect.len());
        heard.extend_from_slice(&piece[..read]);
        if contains(&heard[from..], expect.as_bytes()) {
            return Ok((Verdict::Up, format!("{at} said '{}'", shown(expect))));
        }
        if read == 0 || heard.len() >= MOST {
            let said = shown(&String::from_utf8_lossy(&heard[..heard.len().min(200)]));
            let end = if read == 0 { "and closed" } else { "in its first 64 KiB" };
            return Err(Fault::Down(format!(
                "{at} did not say '{}' {end}; it said '{said}'",
                shown(expect)
            )));
        }
    }
}

/// Whether one stands in the other.
pub(crate) fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
