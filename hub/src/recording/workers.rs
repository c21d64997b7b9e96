//! The recorder's threads. Each has some of the running recordings and looks at them twenty times a
//! second, or at once when one has much to write. What waits for a disk waits here.

use super::chunks::Press;
use super::writing::Writing;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks, while anything is recorded.
const ROUND: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Inbox {
    new: Vec<Writing>,
    look: bool,
    stop: bool,
}

/// What one thread is told.
#[derive(Debug, Default)]
pub(super) struct Worker {
    inbox: Mutex<Inbox>,
    bell: Condvar,
}

impl Worker {
    /// Gives it a recording to write.
    pub(super) fn add(&self, writing: Writing) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).new.push(writing);
        self.bell.notify_one();
    }

    /// Something is worth a look.
    pub(super) fn look(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).look = true;
        self.bell.notify_one();
    }

    fn run(&self, mut press: Press) {
        let mut all: Vec<Writing> = Vec::new();
        loop {
            let stop = {
                let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
                while !inbox.look && !inbox.stop && inbox.new.is_empty() {
                    if all.is_empty() {
                        inbox = self.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                    } else {
                        let (back, waited) = self
                            .bell
                            .wait_timeout(inbox, ROUND)
                            .unwrap_or_else(PoisonError::into_inner);
                        inbox = back;
                        if waited.timed_out() {
                            break;
                        }
                    }
                }
                inbox.look = false;
                all.append(&mut inbox.new);
                inbox.stop
            };
            if stop {
                all.iter().for_each(Writing::stop);
            }
            all.retain_mut(|writing| !writing.turn(&mut press));
            if stop && all.is_empty() {
                return;
            }
        }
    }
}

/// All threads.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Arc<Worker>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts so many.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let mut all = Self { workers: Vec::new(), threads: Vec::new() };
        for n in 0..count {
            let (worker, press) = (Arc::new(Worker::default()), Press::new()?);
            let run = worker.clone();
            let thread = std::thread::Builder::new().name(format!("recorder-{n}"));
            all.threads.push(thread.spawn(move || run.run(press))?);
            all.workers.push(worker);
        }
        Ok(all)
    }

    /// The one that writes this recording.
    pub(super) fn of(&self, id: u64) -> Arc<Worker> {
        self.workers[id as usize % self.workers.len()].clone()
    }
}

impl Drop for Workers {
    /// Every recording is brought to its end first.
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.inbox.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
            worker.bell.notify_one();
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
