//! Contents of files on their way to hosts, each named by its BLAKE3: sent to the hub once, from there to each host
//! that does not have it. What was cut goes on where it was; what has arrived is checked before it is used.

use crate::call::{Access, Call, Feed, Revoked};
use crate::files::FilePath;
use crate::pages::Paged;
use serde::{Deserialize, Serialize};

/// The most contents of one page of a list.
pub const PAGE: u32 = 4000;
/// Bytes in one piece.
pub const CHUNK: usize = 512 * 1024;

/// A content to the hub, by whoever may make runs. Pieces follow from the byte that the first answer says; when
/// that is the whole, nothing has to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upload {
    /// BLAKE3, hexadecimal.
    pub hash: String,
    /// Bytes.
    pub size: u64,
}

impl Feed for Upload {
    const METHOD: &'static str = "blobs.upload";
    const ACCESS: Access = Access::Act;
    type Input = Piece;
    type Item = Stored;
    fn resource(&self) -> String {
        resource(&self.hash)
    }
}

/// The resource of a content.
fn resource(hash: &str) -> String {
    format!("blob:{hash}")
}

/// A piece of a content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// Where it begins.
    #[serde(rename = "a")]
    pub at: u64,
    /// The bytes.
    #[serde(rename = "d", with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// How far a content has arrived. The first answer is what there was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// Bytes.
    #[serde(rename = "h")]
    pub have: u64,
    /// It is whole, right and on disk; the last answer.
    #[serde(rename = "w", skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// The contents that the hub has.
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
    /// All contents, page by page ([`Paged`]).
    pub fn all() -> Self {
        Self { limit: PAGE, ..Self::default() }
    }
}

impl Call for List {
    const METHOD: &'static str = "blobs.list";
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
        all.blobs.extend(page.blobs);
        all.next = page.next;
    }
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Those used last come first; in pages they come by their hashes.
    pub blobs: Vec<Blob>,
    /// What to give as [`List::after`] for those that follow; empty when there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Bytes of all together.
    pub bytes: u64,
    /// Bytes that they may have.
    pub most: u64,
}

/// A content that the hub has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blob {
    /// BLAKE3, hexadecimal.
    pub hash: String,
    /// Bytes.
    pub size: u64,
    /// When it was last used, milliseconds since 1970.
    pub used_ms: u64,
    /// It has arrived as a whole.
    pub whole: bool,
}

/// Takes a content away. What is sent right now is sent to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub hash: String,
}

impl Call for Delete {
    const METHOD: &'static str = "blobs.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Revoked;
    fn resource(&self) -> String {
        resource(&self.hash)
    }
}

/// Whether a host has a content already, or a part of it. Asked by the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Have {
    /// BLAKE3, hexadecimal.
    pub hash: String,
    /// Bytes.
    pub size: u64,
    /// Where it shall be: it may be there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
}

impl Call for Have {
    const METHOD: &'static str = "blobs.have";
    const ACCESS: Access = Access::Read;
    type Reply = Stored;
}

/// A content to a host, as [`Upload`] is to the hub. It is kept there until an order has used it, or nobody has for
/// a day. Asked by the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// BLAKE3, hexadecimal.
    pub hash: String,
    /// Bytes.
    pub size: u64,
}

impl Feed for Put {
    const METHOD: &'static str = "blobs.put";
    const ACCESS: Access = Access::Act;
    type Input = Piece;
    type Item = Stored;
    fn resource(&self) -> String {
        resource(&self.hash)
    }
}
