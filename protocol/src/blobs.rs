//! Contents of files on their way to hosts, each named by its BLAKE3: sent to the hub once, from there to each host
//! that does not have it. What was cut goes on where it was; what has arrived is checked before it is used.

use crate::call::{Access, Call, Feed, Revoked};
use crate::files::FilePath;
use serde::{Deserialize, Serialize};

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
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "blobs.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Those used last come first.
    pub blobs: Vec<Blob>,
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
