//! Which rows of a list are wanted: patterns that the host looks for, so that one idle process among
//! thousands is found without the others crossing the network.

use serde::{Deserialize, Serialize};

/// Patterns of one kind at most.
pub const MAX_PATTERNS: usize = 16;
/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;

/// Which rows are wanted. A row is looked at as one text: what it shows, from left to right, with blanks
/// between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sift {
    /// Regular expressions of which each must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<String>,
    /// Regular expressions of which none may match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<String>,
    /// Stands before the text of each row: what whoever asks calls the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
}

impl Sift {
    /// Whether every row is wanted.
    pub fn is_empty(&self) -> bool {
        self.fits.is_empty() && self.not.is_empty()
    }
}
