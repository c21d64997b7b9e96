//! Images as archives: saved, loaded, and carried from host to host without a registry.

use super::resource;
use crate::call::{Access, Call, Feed, Nothing};
use crate::files::Chunk;
use crate::ids::HostId;
use serde::{Deserialize, Serialize};

/// The layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layers {
    /// Which: a name or an id.
    pub image: String,
}

impl Call for Layers {
    const METHOD: &'static str = "images.layers";
    const ACCESS: Access = Access::Read;
    type Reply = Layered;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// The answer to a [`Layers`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layered {
    /// `sha256:…`.
    pub id: String,
    /// What each layer holds, the lowest first: the digest of what it is when it is not packed.
    pub layers: Vec<String>,
    /// Bytes of all of them.
    pub size: u64,
}

/// How many of these layers, the lowest first, are there already, one on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Having {
    /// As in [`Layered::layers`].
    pub layers: Vec<String>,
}

impl Call for Having {
    const METHOD: &'static str = "images.having";
    const ACCESS: Access = Access::Read;
    type Reply = There;
}

/// The answer to a [`Having`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct There {
    /// So many of them.
    pub count: u32,
}

/// Images as one archive, as engines load it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Which: names or ids.
    pub images: Vec<String>,
    /// Layers that whoever loads it has already: they are left out as far as that can be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl Feed for Save {
    const METHOD: &'static str = "images.save";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Chunk;
    fn resource(&self) -> String {
        self.images.iter().map(|image| resource(image)).collect::<Vec<_>>().join("\0")
    }
}

/// Loads images out of an archive, which is sent piece by piece; the last piece says that this is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {}

impl Feed for Load {
    const METHOD: &'static str = "images.load";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "l";
    type Input = Chunk;
    type Item = Loading;
}

/// How far the loading is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loading {
    /// Bytes of the archive that were taken.
    #[serde(rename = "b")]
    pub taken: u64,
    /// What was loaded; in the last one.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub loaded: Option<Loaded>,
}

/// What was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loaded {
    /// Names of images, and ids of those that have none.
    pub images: Vec<String>,
}

/// An image of one host to another, carried by the hub without the layers that are there. The caller needs [`Save`]
/// there and [`Load`] here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The host that has it.
    pub from: HostId,
    /// The host that gets it.
    pub to: HostId,
    /// Which: a name. An id goes without a name.
    pub image: String,
}

impl Feed for Copy {
    const METHOD: &'static str = "images.copy";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "l";
    type Input = Nothing;
    type Item = Copying;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// How far a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copying {
    /// Layers of the image.
    #[serde(rename = "n")]
    pub layers: u32,
    /// So many were there already and are not sent.
    #[serde(rename = "h")]
    pub there: u32,
    /// Bytes of all layers, also of those that are not sent.
    #[serde(rename = "s")]
    pub size: u64,
    /// Bytes that were carried.
    #[serde(rename = "b")]
    pub carried: u64,
    /// What was loaded; in the last one.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub loaded: Option<Loaded>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_to_save_covers_each_image() {
        let save = Save { images: vec!["a".into(), "b".into()], without: Vec::new() };
        assert_eq!(save.resource(), "image:a\0image:b");
    }
}
