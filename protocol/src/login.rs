//! Logging in: how a key that the hub does not know comes to act for an operator, for a time.
//! Answered by the hub, and the only thing it answers to strangers.
//!
//! A program that wants to log in says [`CAPABILITY`] in its hello. A key that the hub does not know
//! then gets a link on which nothing but the methods of [`Access::Open`] is answered; when one of
//! them has succeeded, the program dials again and is the operator.

use crate::call::{Access, Call, Feed, Nothing};
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// What a program that wants to log in says in [`crate::version::Hello::capabilities`].
pub const CAPABILITY: &str = "login";
/// The longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// How one can log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {}

impl Call for Ways {
    const METHOD: &'static str = "login.ways";
    const ACCESS: Access = Access::Open;
    const CHANGES: bool = false;
    type Reply = Offered;
}

/// The answer to [`Ways`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offered {
    /// With a name and a password.
    pub password: bool,
    /// With an OpenID Connect provider; its name for people.
    pub oidc: Option<String>,
}

/// Logs in with a name and a password, of this hub or of its LDAP directory.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Password {
    /// The operator.
    pub name: String,
    /// The password.
    pub password: String,
    /// The code of the second factor, or a recovery code; absent until the hub asks for it.
    pub code: Option<String>,
    /// A new password, when the hub asks for one.
    pub new_password: Option<String>,
    /// What the list of devices shall call this one.
    pub device: String,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Call for Password {
    const METHOD: &'static str = "login.password";
    const ACCESS: Access = Access::Open;
    const SECRETS: &'static [&'static str] = &["password", "code", "new_password"];
    type Reply = LoggedIn;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}

/// The caller's key acts for an operator now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedIn {
    /// The operator.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the login ends unless it is renewed, milliseconds since 1970.
    pub expires_ms: u64,
    /// Until when it can be renewed, milliseconds since 1970.
    pub renewable_ms: u64,
    /// The hub wants a second factor, and nothing else is allowed until one is set up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub owes_factor: bool,
}

/// Logs in with an OpenID Connect provider: the person confirms in a browser, on any machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Oidc {
    /// What the list of devices shall call this one.
    pub device: String,
}

impl Feed for Oidc {
    const METHOD: &'static str = "login.oidc";
    const ACCESS: Access = Access::Open;
    type Input = Nothing;
    type Item = Step;
}

/// First what the person has to do, and when they have, the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Where to go with a browser.
    pub uri: String,
    /// The same with the code in it; may be empty.
    pub uri_complete: String,
    /// What to type there.
    pub code: String,
    /// Seconds that there are for it.
    pub expires_s: u64,
    /// It is done.
    pub done: Option<LoggedIn>,
}

/// Lengthens the caller's login, as far as it can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {}

impl Call for Renew {
    const METHOD: &'static str = "login.renew";
    const ACCESS: Access = Access::Own;
    type Reply = LoggedIn;
}

/// Ends the caller's login: the key acts for nobody from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logout {}

impl Call for Logout {
    const METHOD: &'static str = "login.logout";
    const ACCESS: Access = Access::Own;
    type Reply = Nothing;
}
