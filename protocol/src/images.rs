//! Images of a host's Docker engine: which there are, what is in them, who uses them, and acts on them.
//!
//! Every call names its image as its resource (`image:nginx:1.27`), as the caller wrote it.

mod carrying;
mod moving;
mod reference;

pub use carrying::{Copy, Copying, Having, Layered, Layers, Load, Loaded, Loading, Save, There};
pub use moving::{Layer, Login, Moved, Progress, Pull, PullAs, Push, PushAs};
pub use reference::{
    LONGEST, Reference, USUAL, check_image, check_name, check_registry, is_digest, is_tag,
};

use crate::call::{Access, Call, Feed, Nothing};
use crate::table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The resource of an image.
pub fn resource(image: &str) -> String {
    format!("image:{image}")
}

/// All images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Also layers that are images of their own and have no name.
    pub all: bool,
}

impl Call for List {
    const METHOD: &'static str = "images.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By id.
    pub images: Vec<Image>,
    /// So many more there are, and were left out.
    pub left_out: u64,
}

/// All images, then what changes, as the engine tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "images.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Image>;
}

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// `sha256:…`.
    #[serde(rename = "i")]
    pub id: String,
    /// Its names; none for one that lost them.
    #[serde(rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its names in registries, by digest.
    #[serde(rename = "d", skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// When it was made, seconds since 1970.
    #[serde(rename = "c")]
    pub created_s: i64,
    /// Bytes of all its layers.
    #[serde(rename = "s")]
    pub size: u64,
    /// What was written on it.
    #[serde(rename = "l", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Names of containers that were made from it, the first of them.
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    /// How many there are.
    #[serde(rename = "n")]
    pub users: u32,
}

impl table::Row for Image {
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn weight(&self) -> usize {
        let texts = self.tags.iter().chain(&self.digests).chain(&self.used_by);
        let labels = self.labels.iter().map(|(k, v)| k.len() + v.len() + 4);
        160 + texts.map(|text| text.len() + 3).sum::<usize>() + labels.sum::<usize>()
    }
}

/// The steps that an image was made by, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Which: a name or an id.
    pub image: String,
}

impl Call for History {
    const METHOD: &'static str = "images.history";
    const ACCESS: Access = Access::Read;
    type Reply = Steps;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// The answer to a [`History`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steps {
    /// Newest first.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// The image that it made; empty or `<missing>` when that is not kept.
    pub id: String,
    /// When, seconds since 1970.
    pub created_s: i64,
    /// What was done.
    pub by: String,
    /// Bytes that it added.
    pub size: u64,
    /// Names of the image that it made.
    pub tags: Vec<String>,
    /// What was said of it.
    pub comment: String,
}

/// All that the engine says about an image. Values of variables that look like secrets are struck out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Which: a name or an id.
    pub image: String,
}

impl Call for Inspect {
    const METHOD: &'static str = "images.inspect";
    const ACCESS: Access = Access::Read;
    type Reply = Inspected;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// What an engine says about something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspected {
    /// Its answer, as JSON.
    pub json: String,
}

/// Gives an image one more name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// Which: a name or an id.
    pub image: String,
    /// The new name. Another image that has it loses it.
    pub name: String,
}

impl Call for Tag {
    const METHOD: &'static str = "images.tag";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("{}\0{}", resource(&self.image), resource(&self.name))
    }
}

/// Takes a name from an image, and the image away with its last name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remove {
    /// Which: a name or an id.
    pub image: String,
    /// Also when containers that do not run were made from it, or it has several names.
    pub force: bool,
    /// Keep what it was made from and has no name.
    pub keep_parents: bool,
}

impl Call for Remove {
    const METHOD: &'static str = "images.remove";
    const ACCESS: Access = Access::Act;
    type Reply = Removed;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// What came of a [`Remove`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// Images and layers that are gone.
    pub deleted: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_to_tag_covers_both_names() {
        let tag = Tag { image: "a:1".into(), name: "b:2".into() };
        assert_eq!(tag.resource(), "image:a:1\0image:b:2");
    }
}
