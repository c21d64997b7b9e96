//! Operators: people's accounts, what each may do, and the devices whose keys act for them. Answered
//! by the hub.

use crate::call::{Access, Call, Nothing, Revoked};
use crate::ids::KeyId;
use crate::open_enum::open_enum;
use crate::pages::Paged;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// The longest name of an operator, in bytes.
pub const MAX_NAME: usize = 64;

/// What an operator may be called: the name that a directory has for them does, too.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'@')
        });
    if fits {
        return Ok(());
    }
    Err(format!(
        "'{}' cannot name an operator: 1 to {MAX_NAME} of a-z, 0-9, '.', '_', '-' and '@', beginning with a letter or a digit",
        crate::display::clean_to_width(name, 40)
    ))
}

open_enum! {
    /// Who vouches for an operator.
    pub enum Source {
        /// The hub itself.
        Local = "local",
        /// An LDAP directory.
        Ldap = "ldap",
        /// An OpenID Connect provider.
        Oidc = "oidc",
    }
}

open_enum! {
    /// How a device came to act for its operator.
    pub enum By {
        /// A token from an administrator: until it is revoked.
        Token = "token",
        /// A login with a password, for a time.
        Password = "password",
        /// A login that an LDAP directory vouched for, for a time.
        Ldap = "ldap",
        /// A login that an OpenID Connect provider vouched for, for a time.
        Oidc = "oidc",
        /// It is a program's key ([`crate::keys`]).
        Key = "key",
    }
}

/// Who the hub takes the caller for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {}

impl Call for WhoAmI {
    const METHOD: &'static str = "operators.whoami";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Me;
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The key of the device.
    pub key: KeyId,
    /// The operator.
    #[serde(default)]
    pub name: String,
    /// The device.
    #[serde(default)]
    pub device: String,
    /// What the operator may do on all hosts that the role covers.
    #[serde(default)]
    pub role: Role,
    /// How the device came to act for the operator.
    #[serde(default)]
    pub by: By,
    /// When the device came, milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// When the login ends unless it is renewed, milliseconds since 1970; absent for never.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Until when it can be renewed, milliseconds since 1970; absent for always.
    #[serde(default)]
    pub renewable_ms: Option<u64>,
    /// Whether a code is asked for beside the password.
    #[serde(default)]
    pub second_factor: bool,
    /// What the operator may do beside the role: group and role there.
    #[serde(default)]
    pub groups: Vec<(String, Role)>,
}

/// One operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// The name, which is one operator's alone.
    pub name: String,
    /// For people.
    pub full_name: String,
    /// What they may do.
    pub role: Role,
    /// Who vouches for them.
    pub source: Source,
    /// They may not come in.
    pub disabled: bool,
    /// Whether they have a password here.
    pub password: bool,
    /// Whether a code is asked for beside the password.
    pub second_factor: bool,
    /// Seconds until a password is looked at again, after too many wrong ones; 0 for at once.
    pub wait_s: u64,
    /// When the account was made, milliseconds since 1970.
    pub created_ms: u64,
    /// By whom.
    pub created_by: String,
    /// What they may do beside the role: group and role there.
    pub groups: Vec<(String, Role)>,
    /// Their devices and programs' keys that are not revoked.
    pub devices: Vec<Device>,
}

/// One device of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its key.
    pub key: KeyId,
    /// Name given at login, `user@host`.
    #[serde(default)]
    pub name: String,
    /// How it came.
    #[serde(default)]
    pub by: By,
    /// When it came, milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// When its login ends unless it is renewed, milliseconds since 1970; absent for never.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Links it has now.
    #[serde(default)]
    pub links: u32,
}

/// All operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// As [`Listing::next`] of the page before; empty for the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// How many at most; a page may have fewer and not be the last. 0 for all of them at once, which fails when they
    /// do not fit into one answer.
    pub limit: u32,
}

/// Operators in one page.
pub const PAGE: u32 = 500;

impl List {
    /// All operators, page by page ([`Paged`]).
    pub fn all() -> Self {
        Self { limit: PAGE, ..Self::default() }
    }
}

impl Call for List {
    const METHOD: &'static str = "operators.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Listing;
}

impl Paged for List {
    fn following(&self, page: &Listing) -> Option<Self> {
        let after = page.next.clone();
        (after > self.after).then(|| Self { after, ..self.clone() })
    }

    fn join(all: &mut Listing, page: Listing) {
        all.operators.extend(page.operators);
        all.next = page.next;
    }
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub operators: Vec<Operator>,
    /// What to give as [`List::after`] for those that follow; empty when there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// Makes an operator. A device of theirs comes in with a token ([`crate::tokens::Create::operator`]),
/// or by a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Create {
    /// The name ([`check_name`]).
    pub name: String,
    /// For people.
    pub full_name: String,
    /// What they may do; no role for somebody who has rights by groups alone.
    pub role: Role,
    /// Who vouches for them; a directory's account is made by its first login, too.
    pub source: Source,
    /// A first password, which they have to change when they log in with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl Call for Create {
    const METHOD: &'static str = "operators.create";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["password"];
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}

/// Changes what is said of an operator, or shuts them out and in. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Which.
    pub name: String,
    /// For people.
    pub full_name: Option<String>,
    /// Whether they may not come in; their links are cut.
    pub disabled: Option<bool>,
}

impl Call for Update {
    const METHOD: &'static str = "operators.update";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}

/// Removes an operator; all their devices and programs' keys are revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "operators.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}

/// Gives an operator a new password, which they have to change when they log in with it; or takes
/// it away. Logins by the old one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetPassword {
    /// Whose.
    pub name: String,
    /// The password; absent for none.
    pub password: Option<String>,
}

impl Call for SetPassword {
    const METHOD: &'static str = "operators.set-password";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["password"];
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.name)
    }
}

/// Changes one's own password. Other logins by the old one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangePassword {
    /// The one until now; empty when there is none.
    pub old: String,
    /// The one from now on.
    pub new: String,
}

impl Call for ChangePassword {
    const METHOD: &'static str = "operators.change-password";
    const ACCESS: Access = Access::Own;
    const SECRETS: &'static [&'static str] = &["old", "new"];
    type Reply = Nothing;
}

/// Takes a device's rights away and cuts its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Which.
    pub key: KeyId,
}

impl Call for Revoke {
    const METHOD: &'static str = "operators.revoke";
    const ACCESS: Access = Access::Admin;
    type Reply = Revoked;
    fn resource(&self) -> String {
        format!("key:{}", self.key)
    }
}

/// Who has to wait after wrong tokens or passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {}

impl Call for Locks {
    const METHOD: &'static str = "operators.locks";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Locked;
}

/// The answer to [`Locks`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Locked {
    /// Those that wait longest first.
    pub addresses: Vec<Lock>,
    /// Names, of operators or not; those that wait longest first.
    pub operators: Vec<Lock>,
}

/// One address or name with wrong tries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// The address, of an IPv6 one its first 64 bits; or the name that was tried.
    pub address: String,
    /// Wrong tries.
    pub tries: u32,
    /// The last of them, milliseconds since 1970.
    pub last_ms: u64,
    /// Seconds to wait; 0 when there is nothing to wait for.
    pub wait_s: u64,
}

/// Lets an address or an operator try again; with neither, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unlock {
    /// Which address.
    pub address: Option<String>,
    /// Which operator.
    pub operator: Option<String>,
}

impl Call for Unlock {
    const METHOD: &'static str = "operators.unlock";
    const ACCESS: Access = Access::Admin;
    type Reply = Unlocked;
    fn resource(&self) -> String {
        match (&self.address, &self.operator) {
            (Some(address), _) => format!("address:{address}"),
            (None, Some(operator)) => format!("operator:{operator}"),
            (None, None) => String::new(),
        }
    }
}

/// The answer to an [`Unlock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unlocked {
    /// Addresses and names that had wrong tries.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_named_as_directories_name_people() {
        for name in ["ann", "ann.lee", "a", "7of9", "ann@example.com", "svc_deploy-2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "Ann", ".ann", "ann lee", "ann\n", "änn", "a/b", "a:b", long.as_str()] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
