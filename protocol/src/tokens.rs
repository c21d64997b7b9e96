//! Join tokens: how new keys come into the fleet. Answered by the hub.

pub mod shown;

use crate::call::{Access, Call, Revoked};
use crate::hosts::Labels;
use crate::ids::TokenId;
use crate::open_enum::open_enum;
use crate::pages::Paged;
use crate::role::Role;
use serde::{Deserialize, Serialize};

open_enum! {
    /// What a token lets in.
    pub enum TokenKind {
        /// A host.
        Host = "host",
        /// An operator's device.
        Operator = "operator",
    }
}

/// Makes a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Create {
    /// What it lets in.
    pub kind: TokenKind,
    /// What the operator may do; of no meaning for hosts, or when `operator` is one who is there.
    pub role: Role,
    /// The operator whose device it lets in; empty for a new one, named after the device. Of no meaning
    /// for hosts.
    pub operator: String,
    /// Seconds until it expires, 1 to 30 days.
    pub ttl_s: u64,
    /// How often it may be used, at least 1.
    pub uses: u32,
    /// Labels that hosts joining with it begin with.
    pub labels: Labels,
    /// Where peers shall dial, `host:port`; empty for the hub's own idea of it.
    pub address: String,
}

/// A new token. The text is shown once and kept nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Created {
    /// The whole token, for `cmdr-agentd join` or `cmdr login`.
    pub text: String,
    /// When it expires, milliseconds since 1970.
    pub expires_ms: u64,
}

impl Call for Create {
    const METHOD: &'static str = "tokens.create";
    const ACCESS: Access = Access::Admin;
    type Reply = Created;
}

/// Tokens in one page.
pub const PAGE: u32 = 500;

/// All tokens that are not forgotten yet.
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

impl List {
    /// All tokens, page by page ([`Paged`]).
    pub fn all() -> Self {
        Self { limit: PAGE, ..Self::default() }
    }
}

impl Call for List {
    const METHOD: &'static str = "tokens.list";
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
        all.tokens.extend(page.tokens);
        all.next = page.next;
    }
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Newest first.
    pub tokens: Vec<Token>,
    /// What to give as [`List::after`] for those that follow; empty when there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

open_enum! {
    /// Whether a token still works.
    pub enum TokenState {
        /// It does.
        Valid = "valid",
        /// Used as often as it may be.
        Used = "used",
        /// Its time is over.
        Expired = "expired",
        /// Withdrawn.
        Revoked = "revoked",
    }
}

/// One token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public half.
    pub id: TokenId,
    /// What it lets in.
    #[serde(default)]
    pub kind: TokenKind,
    /// What the operator may do.
    #[serde(default)]
    pub role: Role,
    /// The operator whose device it lets in; empty for a new one.
    #[serde(default)]
    pub operator: String,
    /// Whether it still works.
    #[serde(default)]
    pub state: TokenState,
    /// Uses left.
    #[serde(default)]
    pub uses_left: u32,
    /// Uses it began with.
    #[serde(default)]
    pub uses: u32,
    /// Labels for hosts.
    #[serde(default)]
    pub labels: Labels,
    /// When it was made, milliseconds since 1970.
    #[serde(default)]
    pub created_ms: u64,
    /// When it expires, milliseconds since 1970.
    #[serde(default)]
    pub expires_ms: u64,
    /// Who made it.
    #[serde(default)]
    pub created_by: String,
}

/// Withdraws a token. Peers that joined with it stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Which.
    pub id: TokenId,
}

impl Call for Revoke {
    const METHOD: &'static str = "tokens.revoke";
    const ACCESS: Access = Access::Admin;
    type Reply = Revoked;
    fn resource(&self) -> String {
        format!("token:{}", self.id)
    }
}
