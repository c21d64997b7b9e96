//! The second factor: codes from an authenticator (RFC 6238). Answered by the hub.

use crate::call::{Access, Call, Nothing};
use serde::{Deserialize, Serialize};

/// Makes a secret for one's own account; it is asked for once [`Confirm`] has shown that the
/// authenticator has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Begin {
    /// One's password, when there is one.
    pub password: String,
}

impl Call for Begin {
    const METHOD: &'static str = "totp.begin";
    const ACCESS: Access = Access::Own;
    const SECRETS: &'static [&'static str] = &["password"];
    type Reply = Secret;
}

/// What the authenticator is told. Shown once.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// In base 32, to type in.
    pub secret: String,
    /// `otpauth://…`, to scan.
    pub uri: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// Proves that the authenticator works. From then on a code is asked for at each login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confirm {
    /// The code that it shows.
    pub code: String,
}

impl Call for Confirm {
    const METHOD: &'static str = "totp.confirm";
    const ACCESS: Access = Access::Own;
    const SECRETS: &'static [&'static str] = &["code"];
    type Reply = Recovery;
}

/// Codes that work once each, for whoever has lost the authenticator. Shown once.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    /// The codes.
    pub codes: Vec<String>,
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

/// Goes back to the password alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disable {
    /// A code that works now, or a recovery code.
    pub code: String,
}

impl Call for Disable {
    const METHOD: &'static str = "totp.disable";
    const ACCESS: Access = Access::Own;
    const SECRETS: &'static [&'static str] = &["code"];
    type Reply = Nothing;
}

/// Takes the second factor of an operator away who has lost it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reset {
    /// Whose.
    pub name: String,
}

impl Call for Reset {
    const METHOD: &'static str = "totp.reset";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}
