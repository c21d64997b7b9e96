//! Stands between two ends of a TCP connection and does what networks do: cut, freeze, delay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

/// What the proxy does to all connections from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Bytes are swallowed both ways; the connections stay open.
    Blackhole,
    /// Every connection is reset, and new ones are refused.
    Cut,
    /// Each piece waits so long before it goes on.
    Delay(Duration),
    /// So many bytes a second each way, each of them so much later.
    Thin(u32, Duration),
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    carried: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// In front of `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(watch::channel(Fault::None).0);
        let faults = fault.clone();
        let carried = Arc::new(AtomicU64::new(0));
        let counter = carried.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *faults.borrow() == Fault::Cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(target).await else { continue };
                near.set_nodelay(true).ok();
                far.set_nodelay(true).ok();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(carry(near_read, far_write, faults.subscribe(), counter.clone()));
                tokio::spawn(carry(far_read, near_write, faults.subscribe(), counter.clone()));
            }
        });
        Self { address, fault, carried, task }
    }

    /// Where to dial instead of the target.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that came from either end so far.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// From now on, do this.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

/// Ends its task when it goes.
struct Ends(tokio::task::JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    carried: Arc<AtomicU64>,
) {
    let mut buf = vec![0; 16 * 1024];
    let mut free = Instant::now();
    let to = Arc::new(Mutex::new(to));
    let (later, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let end = to.clone();
    let carrier = tokio::spawn(async move {
        while let Some((at, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(at).await;
            if end.lock().await.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let _ends = Ends(carrier);
    loop {
        let now = *fault.borrow_and_update();
        if now == Fault::Cut {
            return;
        }
        let n = tokio::select! {
            changed = fault.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buf) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => n,
            },
        };
        carried.fetch_add(n as u64, Ordering::Relaxed);
        let now = *fault.borrow();
        match now {
            Fault::Blackhole => continue,
            Fault::Cut => return,
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Thin(rate, delay) => {
                let takes = Duration::from_secs_f64(n as f64 / f64::from(rate));
                free = free.max(Instant::now()) + takes;
                // What waits along the way is bounded by the queue.
                if later.send((free + delay, buf[..n].to_vec())).await.is_err() {
                    return;
                }
                continue;
            }
            Fault::None => {}
        }
        let mut to = to.lock().await;
        if to.write_all(&buf[..n]).await.is_err() {
            return;
        }
    }
}
