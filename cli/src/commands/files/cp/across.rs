//! From host to host: the hub does it, and is asked again when our own link to it was cut.

use cmdr_link::transfer::{self, Way};
use cmdr_protocol::files::Copy;
use cmdr_protocol::{CallError, ErrorKind};
use std::time::{Duration, Instant};

/// The hub does it; when our own link to it is cut, it is asked again and goes on.
pub(super) async fn across(
    way: &Way,
    copy: &Copy,
    lost: &mut Vec<String>,
) -> Result<(u64, u64, String), CallError> {
    let (mut carried_before, mut had) = (0, 0);
    let mut since = Instant::now();
    loop {
        let mut carried = 0;
        let tried = async {
            let client = (way.client)().await?;
            let mut feed = client.feed(None, copy).await?;
            while let Some(item) = feed.next().await {
                let item = item?;
                carried = item.carried;
                (way.tell)(&transfer::Progress {
                    size: item.size,
                    have: item.have,
                    carried: carried_before + carried,
                    waiting: item.waiting,
                });
                if item.have > had {
                    had = item.have;
                    since = Instant::now();
                }
                if let Some(written) = item.written {
                    lost.extend(written.lost);
                    if item.changed {
                        lost.push(
                            "its sameness: the file was changed while it was read".to_owned(),
                        );
                    }
                    return Ok((written.file.size, carried_before + carried, written.hash));
                }
            }
            Err(CallError::lost("the hub ended it half-way"))
        };
        match tried.await {
            // Only the link to the hub: for hosts the hub has waited already.
            Err(e)
                if matches!(e.kind, ErrorKind::Lost | ErrorKind::Unreachable)
                    && since.elapsed() < way.patience =>
            {
                carried_before += carried;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            done => return done,
        }
    }
}
