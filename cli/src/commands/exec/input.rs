//! Copies our standard input to the hosts. Read by a thread of its own, because a terminal or pipe
//! may give nothing for hours.

use std::io::Read as _;
use tokio::sync::mpsc;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait for a host. The slowest host that still reads sets the pace.
const WAITING: usize = 4;

/// One receiver for each of `n` hosts, all of the same bytes.
pub(in crate::commands) fn share(n: usize) -> Vec<mpsc::Receiver<Vec<u8>>> {
    let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..n).map(|_| mpsc::channel(WAITING)).unzip();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut chunk = vec![0; CHUNK];
        while !senders.is_empty() {
            // An input that cannot be read has ended, as for every other program.
            let Ok(n @ 1..) = stdin.read(&mut chunk) else { return };
            senders
                .retain(|to: &mpsc::Sender<Vec<u8>>| to.blocking_send(chunk[..n].to_vec()).is_ok());
        }
    });
    receivers
}
