//! Secrets by name, for the hub's own use: put, listed, deleted, sealed anew. Answered by the hub; no
//! answer ever holds a value.

use crate::call::{Access, Call, Feed, Nothing};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest value.
pub const MAX_VALUE: usize = 32 * 1024;
/// The longest name.
pub const MAX_NAME: usize = 64;

/// Whether this can be the name of a secret; else why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("the name of a secret has 1 to {MAX_NAME} characters"));
    }
    if !name.bytes().all(fine) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        return Err("the name of a secret has small letters, digits, '-', '_' and '.', and begins with a letter or digit".to_owned());
    }
    Ok(())
}

/// Keeps a secret; one of this name is replaced.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// What it is known by.
    pub name: String,
    /// The secret itself.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The answer to a [`Put`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// There was one of this name.
    pub replaced: bool,
}

impl Call for Put {
    const METHOD: &'static str = "secrets.put";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["value"];
    type Reply = Kept;
    fn resource(&self) -> String {
        format!("secret:{}", self.name)
    }
}

/// Which secrets there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub secrets: Vec<Secret>,
    /// The numbers of all data keys; the last one seals. More than one: a rotation was not finished.
    pub data_keys: Vec<u32>,
}

/// A secret, without its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// What it is known by.
    pub name: String,
    /// When it was put, milliseconds since 1970.
    pub set_ms: u64,
    /// Who put it.
    pub set_by: String,
    /// When the hub used it last, milliseconds since 1970; nothing when it never did.
    pub used_ms: Option<u64>,
    /// Which part of the hub used it last.
    pub used_by: String,
}

impl Call for List {
    const METHOD: &'static str = "secrets.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// Forgets a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "secrets.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("secret:{}", self.name)
    }
}

/// Makes a new data key, seals everything anew with it, and deletes the older ones. One that is given up in
/// the middle loses nothing; the next one finishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {}

/// How far a [`Rotate`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// What was sealed anew; empty in the last item.
    pub part: String,
    /// How many values of it, or of all in the last item.
    pub resealed: u64,
    /// How it ended; only the last item has it.
    pub outcome: String,
}

impl Feed for Rotate {
    const METHOD: &'static str = "secrets.rotate";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "outcome";
    type Input = Nothing;
    type Item = Step;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_printing_a_request_shows_no_value() {
        assert!(check_name("ldap-bind").is_ok() && check_name("a.b_2").is_ok());
        for bad in ["", "-a", "A", "a b", "a/b", "ü", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let put = Put { name: "a".into(), value: b"canary".to_vec() };
        assert!(!format!("{put:?}").contains("99"), "the value's first byte in decimal");
    }
}
