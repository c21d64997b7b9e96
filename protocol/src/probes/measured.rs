//! What a probe has seen. Texts of the far end in it have no control characters.

use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

open_enum! {
    /// How one look ended.
    pub enum Verdict {
        /// All is as it should be.
        Up = "up",
        /// It works, and something about it wants looking at.
        Warning = "warning",
        /// It is not as it should be.
        Down = "down",
    }
}

impl Verdict {
    /// Whether it works; absent where the look says nothing about the far end, such as one that this host may not take.
    pub const fn up(self) -> Option<bool> {
        match self {
            Self::Up | Self::Warning => Some(true),
            Self::Down => Some(false),
            Self::Unknown => None,
        }
    }
}

/// What one look has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// How it ended.
    pub verdict: Verdict,
    /// In words: what was done, what went wrong.
    pub why: String,
    /// From the beginning to the end, in microseconds.
    pub took_us: u64,
    /// Its parts, of the last request where there were several.
    pub phases: Phases,
    /// The address that was asked; empty when none was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The status of HTTP, or the code that a program ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// What a name server answered, in order, at most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// The certificate that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Parts of a look, in microseconds; absent where there was no such part, or it was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Asking for the addresses of a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup_us: Option<u64>,
    /// Connecting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// Agreeing on keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// From the request to the first of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_us: Option<u64>,
    /// From there to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_us: Option<u64>,
}

/// A certificate that was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// When it ends, milliseconds since 1970.
    pub ends_ms: u64,
    /// When it began.
    pub begins_ms: u64,
    /// Whom it is for, as it says.
    pub subject: String,
    /// Who gave it.
    pub issuer: String,
    /// The names and addresses that it is for, at most 32.
    pub names: Vec<String>,
    /// How many certificates were shown.
    pub chain: u32,
    /// What is wrong with it; empty when nothing is.
    pub problems: Vec<String>,
}
