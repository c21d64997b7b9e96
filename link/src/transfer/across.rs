//! A file from host to host: the hub carries it, and is asked again when our own link to it was cut.

use super::{Progress, Tries, Way};
use cmdr_protocol::CallError;
use cmdr_protocol::files::{Copy, Written};

/// What has come there.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The file in its place.
    pub written: Written,
    /// How it went.
    pub progress: Progress,
    /// It was changed while it was read: the copy is what was there at the time.
    pub changed: bool,
}

/// Has the hub copy it. For hosts that are away the hub waits itself, as long as the order says.
pub async fn across(way: &Way, copy: &Copy) -> Result<Copied, CallError> {
    let (mut progress, mut tries) = (Progress::default(), Tries::new());
    loop {
        let before = progress.carried;
        let tried = async {
            let client = (way.client)().await?;
            let mut feed = client.feed(None, copy).await?;
            while let Some(item) = feed.next().await {
                let item = item?;
                (progress.size, progress.have) = (item.size, item.have);
                progress.carried = before + item.carried;
                progress.waiting = item.waiting;
                if let Some(written) = item.written {
                    return Ok((written, item.changed));
                }
                (way.tell)(&progress);
            }
            Err(CallError::lost("the hub ended it half-way"))
        };
        match tried.await {
            Ok((written, changed)) => {
                progress.have = progress.size;
                (way.tell)(&progress);
                return Ok(Copied { written, progress, changed });
            }
            Err(e) => tries.again(way, &mut progress, e).await?,
        }
    }
}
