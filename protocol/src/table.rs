//! Tables that are watched: rows with keys, and what changed since a watcher's last item.
//!
//! `ports` and `services` use it. `processes` has changes of its own, because its figures move each
//! second and go out alone.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// One row.
pub trait Row: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// What it is known by as long as it is there.
    type Key: Clone + Debug + Ord + Serialize + DeserializeOwned;
    /// Its key.
    fn key(&self) -> Self::Key;
    /// About how many bytes it takes.
    fn weight(&self) -> usize;
}

/// What changed in a table. Apply in the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, bound = "R: Row")]
pub struct Change<R: Row> {
    /// Forget everything first: the table begins anew (always so in the first item).
    #[serde(rename = "x", skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// These are there no more.
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<R::Key>,
    /// These are new, or have changed.
    #[serde(rename = "n", skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<R>,
}

impl<R: Row> Default for Change<R> {
    fn default() -> Self {
        Self { reset: false, gone: Vec::new(), put: Vec::new() }
    }
}

impl<R: Row> Change<R> {
    /// Whether nothing changed.
    pub const fn is_empty(&self) -> bool {
        !self.reset && self.gone.is_empty() && self.put.is_empty()
    }

    /// Makes the table what it is now.
    pub fn apply(self, table: &mut BTreeMap<R::Key, R>) {
        if self.reset {
            table.clear();
        }
        for key in self.gone {
            table.remove(&key);
        }
        table.extend(self.put.into_iter().map(|row| (row.key(), row)));
    }
}
