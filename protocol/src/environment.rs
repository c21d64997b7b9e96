//! Variables that a host gives to everybody who logs in: `/etc/environment`, changed line by line as an edit, and the
//! names of the files beside it.

use crate::call::{Access, Call};
use crate::edits::Saving;
use crate::files::{FilePath, resource};
use crate::system::Found;
use serde::{Deserialize, Serialize};

/// The file, as rights name it.
pub fn path() -> FilePath {
    FilePath::parse("/etc/environment").unwrap_or_default()
}

/// The variables; what looks like a secret is struck out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "environment.list";
    const ACCESS: Access = Access::Read;
    type Reply = Found<Variable>;
    fn resource(&self) -> String {
        resource(&path())
    }
}

/// As [`List`], with nothing struck out: it is put down in the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {}

impl Call for Values {
    const METHOD: &'static str = "environment.values";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Found<Variable>;
    fn resource(&self) -> String {
        resource(&path())
    }
}

/// One variable, or a file that is only named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    /// Its name; empty for a file that is only named. Of two with one name the later counts.
    pub name: String,
    /// Its value, without the quotes around it; empty when it is struck out.
    pub value: String,
    /// The value looks like a secret and was struck out.
    pub masked: bool,
    /// The file that says so.
    pub source: String,
    /// Its line there, from 1 on; 0 for a file that is only named.
    pub line: u32,
}

/// Gives a variable a value. Every other line stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// As [`crate::edits::Save::confirm_s`].
    pub confirm_s: Option<u32>,
    /// As [`crate::edits::Save::note`].
    pub note: String,
    /// As [`crate::edits::Save::force`].
    pub force: bool,
}

impl Call for Set {
    const METHOD: &'static str = "environment.set";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["value"];
    const RESULT: &'static str = "result";
    type Reply = Saving;
    fn resource(&self) -> String {
        resource(&path())
    }
}

/// Takes a variable away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unset {
    /// Its name.
    pub name: String,
    /// As [`crate::edits::Save::confirm_s`].
    pub confirm_s: Option<u32>,
    /// As [`crate::edits::Save::note`].
    pub note: String,
    /// As [`crate::edits::Save::force`].
    pub force: bool,
}

impl Call for Unset {
    const METHOD: &'static str = "environment.unset";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "result";
    type Reply = Saving;
    fn resource(&self) -> String {
        resource(&path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_on_the_file_is_a_right_on_its_variables() {
        assert_eq!(Values {}.resource(), "path:/etc/environment");
        assert_eq!(Set::default().resource(), "path:/etc/environment");
    }
}
