//! What containers use, as it goes on.

use crate::call::{Access, Feed, Nothing};
use crate::table;
use serde::{Deserialize, Serialize};

/// What all containers that run use, then what changes of it. Sampled once for all who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Milliseconds between samples, 1000 to 60000; others are brought into that range.
    pub interval_ms: u64,
}

impl Feed for Stats {
    const METHOD: &'static str = "containers.stats";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Figures>;
}

/// What one container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Its whole id.
    #[serde(rename = "i")]
    pub id: String,
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Hundredths of a percent of one processor since the sample before.
    #[serde(rename = "c")]
    pub cpu: u32,
    /// Bytes of memory, without what is kept of files and may go.
    #[serde(rename = "m")]
    pub memory: u64,
    /// The most that it may have; the host's whole memory when it has no limit of its own.
    #[serde(rename = "l")]
    pub limit: u64,
    /// Bytes that came over networks of its own since it began.
    #[serde(rename = "r")]
    pub received: u64,
    /// Bytes that it sent.
    #[serde(rename = "t")]
    pub sent: u64,
    /// Bytes read from block devices.
    #[serde(rename = "br")]
    pub read: u64,
    /// Bytes written to them.
    #[serde(rename = "bw")]
    pub written: u64,
    /// Processes and threads.
    #[serde(rename = "p")]
    pub pids: u64,
}

impl Figures {
    /// Permille of the memory that it may have.
    pub fn memory_permille(&self) -> u32 {
        let permille = self.memory.saturating_mul(1000).checked_div(self.limit);
        permille.unwrap_or_default().try_into().unwrap_or(u32::MAX)
    }
}

impl table::Row for Figures {
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn weight(&self) -> usize {
        120 + self.id.len() + self.name.len()
    }
}
