//! A program's two outputs, sent as they come, no faster than the caller takes them.

use bytes::BufMut as _;
use cmdr_link::service::Feeding;
use cmdr_protocol::CallError;
use cmdr_protocol::exec::{CHUNK, Item, Start};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Where the output of a program goes, in order.
pub(in crate::services) trait Sink: Sync {
    /// Takes a piece; whoever writes it waits meanwhile.
    fn take(&self, item: &Item) -> impl Future<Output = Result<(), CallError>> + Send;
}

impl Sink for Feeding<Start> {
    async fn take(&self, item: &Item) -> Result<(), CallError> {
        self.send(item).await
    }
}

/// After the end of the program, pipes that stay empty so long have nothing more of it.
const IDLE: Duration = Duration::from_millis(50);
/// The most that pipes can hold; more must come from one that is not waited for.
const HELD: usize = 2 << 20;

/// Says that the program has ended although its pipes are still open.
#[derive(Debug, Default)]
pub(super) struct Ending {
    begun: AtomicBool,
    notify: Notify,
}

impl Ending {
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits until it has begun and nothing else happened for a moment.
    async fn idle(&self) {
        if !self.has_begun() {
            self.notify.notified().await;
        }
        tokio::time::sleep(IDLE).await;
    }
}

/// The reading ends.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

impl Output {
    pub(super) fn new(stdout: Option<pipe::Receiver>, stderr: Option<pipe::Receiver>) -> Self {
        Self { stdout, stderr }
    }

    /// Sends everything until both ends are reached, or until nothing more of the program's is to
    /// come.
    pub(super) async fn pump(mut self, sink: &impl Sink, ending: &Ending) -> Result<(), CallError> {
        let mut item = Item::default();
        let mut held = 0;
        while self.stdout.is_some() || self.stderr.is_some() {
            tokio::select! {
                more = read(&mut self.stdout, &mut item.stdout), if self.stdout.is_some() => {
                    if !more {
                        self.stdout = None;
                    }
                }
                more = read(&mut self.stderr, &mut item.stderr), if self.stderr.is_some() => {
                    if !more {
                        self.stderr = None;
                    }
                }
                () = ending.idle() => break,
            }
            let len = item.stdout.len() + item.stderr.len();
            if len == 0 {
                continue;
            }
            sink.take(&item).await?;
            item.stdout.clear();
            item.stderr.clear();
            held += if ending.has_begun() { len } else { 0 };
            if held > HELD {
                break;
            }
        }
        Ok(())
    }
}

/// Reads what there is, at most a chunk; false at the end.
async fn read(pipe: &mut Option<pipe::Receiver>, into: &mut Vec<u8>) -> bool {
    let Some(pipe) = pipe else { return false };
    into.reserve(CHUNK);
    // An error on a pipe is its end too.
    pipe.read_buf(&mut into.limit(CHUNK)).await.is_ok_and(|n| n > 0)
}
