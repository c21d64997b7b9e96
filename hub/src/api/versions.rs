//! Versions of texts that are kept: of runbooks and of config groups.

use cmdr_protocol::runbooks::VersionListing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A version of a text.
#[derive(Serialize, ToSchema)]
struct TextVersion {
    /// From 1.
    version: u64,
    /// When it was saved, milliseconds since 1970.
    saved_ms: u64,
    saved_by: String,
    /// What changed.
    note: String,
    /// Bytes of its text.
    size: u64,
    /// BLAKE3 of its text, in hex.
    hash: String,
}

/// The versions of a text.
#[derive(Serialize, ToSchema)]
pub(super) struct TextVersions {
    /// Newest first.
    versions: Vec<TextVersion>,
}

impl From<VersionListing> for TextVersions {
    fn from(listing: VersionListing) -> Self {
        let versions = listing.versions.into_iter().map(|one| TextVersion {
            version: one.version,
            saved_ms: one.saved_ms,
            saved_by: one.saved_by,
            note: one.note,
            size: one.size,
            hash: one.hash,
        });
        Self { versions: versions.collect() }
    }
}

/// Which version is to be the newest again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Restore {
    pub(super) version: u64,
    /// The newest version that was looked at: it is refused when there is another one by now.
    pub(super) was: Option<u64>,
}

impl Restore {
    /// What stands beside the version that it becomes.
    pub(super) fn note(&self) -> String {
        format!("version {} again", self.version)
    }
}
