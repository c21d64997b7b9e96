//! Registries of images: who the hub is to them, what is in them, and pulls and pushes on hosts with what the hub knows.
//! Answered by the hub; no answer ever holds a password.

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::HostId;
use crate::images::{Progress, Reference};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names in one answer at most.
pub const MOST: u32 = 1000;

/// The resource of a registry.
pub fn resource(registry: &str) -> String {
    format!("registry:{registry}")
}

/// Keeps who the hub is to a registry; what was kept of it before is replaced.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// Its host, with a port or without, as names of images begin: `registry.example.org:5000`; `docker.io`.
    pub registry: String,
    /// The name; empty for nobody.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
    /// It is asked without encryption.
    pub plain: bool,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Put");
        shown
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`Put`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// It was known before.
    pub replaced: bool,
}

impl Call for Put {
    const METHOD: &'static str = "registries.put";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["password"];
    type Reply = Kept;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// Which registries the hub knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "registries.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub registries: Vec<Registry>,
}

/// A registry, without the password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registry {
    /// Its host, with a port or without.
    pub registry: String,
    /// Who the hub is there; empty for nobody.
    pub username: String,
    /// It is asked without encryption.
    pub plain: bool,
    /// When it was put, milliseconds since 1970.
    pub set_ms: u64,
    /// Who put it.
    pub set_by: String,
}

/// Forgets a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub registry: String,
}

impl Call for Delete {
    const METHOD: &'static str = "registries.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// The repositories of a registry that the hub knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// Which.
    pub registry: String,
    /// Those after this one; empty from the beginning.
    pub after: String,
}

impl Call for Catalog {
    const METHOD: &'static str = "registries.catalog";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Names;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// Names, at most [`MOST`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// As the registry gives them.
    pub names: Vec<String>,
    /// There are more, after the last of these.
    pub more: bool,
}

/// The tags of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// Which registry.
    pub registry: String,
    /// Which of its repositories.
    pub repository: String,
    /// Those after this one; empty from the beginning.
    pub after: String,
}

impl Call for Tags {
    const METHOD: &'static str = "registries.tags";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Names;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// What a registry says an image is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Which registry.
    pub registry: String,
    /// Which of its repositories.
    pub repository: String,
    /// A tag or a digest.
    pub reference: String,
}

impl Call for Manifest {
    const METHOD: &'static str = "registries.manifest";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Described;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// The answer to a [`Manifest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Described {
    /// `sha256:…`.
    pub digest: String,
    /// Which kind of manifest it is.
    pub media_type: String,
    /// The manifest itself, as JSON.
    pub json: String,
}

/// Takes a tag out of a registry. There that means the image that it names, with every other tag of that image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteTag {
    /// Which registry.
    pub registry: String,
    /// Which of its repositories.
    pub repository: String,
    /// Which tag.
    pub tag: String,
    /// Also when other tags go with it.
    pub force: bool,
}

impl Call for DeleteTag {
    const METHOD: &'static str = "registries.delete-tag";
    const ACCESS: Access = Access::Act;
    type Reply = Gone;
    fn resource(&self) -> String {
        resource(&self.registry)
    }
}

/// The answer to a [`DeleteTag`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gone {
    /// The image that is gone.
    pub digest: String,
    /// All of its tags.
    pub tags: Vec<String>,
}

/// Brings an image from its registry to a host, as whom the hub is there. The caller needs [`crate::images::Pull`] on
/// that host for that image, and this for the registry when the hub is somebody to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Which host.
    pub host: HostId,
    /// The image's name.
    pub image: String,
    /// As [`crate::images::Pull::platform`].
    #[serde(default)]
    pub platform: String,
}

impl Feed for Pull {
    const METHOD: &'static str = "registries.pull";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "m";
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        of(&self.image)
    }
}

/// Brings an image from a host to the registry that its name says, as [`Pull`] the other way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Which host.
    pub host: HostId,
    /// The image's name.
    pub image: String,
}

impl Feed for Push {
    const METHOD: &'static str = "registries.push";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "m";
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        of(&self.image)
    }
}

/// Whether registries that the hub knows have something newer for the names of a host's images. The caller needs
/// [`crate::images::List`] on that host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updates {
    /// Which host.
    pub host: HostId,
    /// Only these names; all when there are none.
    #[serde(default)]
    pub images: Vec<String>,
}

impl Call for Updates {
    const METHOD: &'static str = "registries.updates";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Compared;
}

/// The answer to an [`Updates`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compared {
    /// By name.
    pub images: Vec<Update>,
}

/// What a host has under a name, and what its registry has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// The name.
    pub image: String,
    /// What the host has; empty for one that never was in that registry.
    pub has: String,
    /// What the registry has; empty when that is not known.
    pub registry_has: String,
    /// The registry has another.
    pub available: bool,
    /// Why it is not known; empty otherwise.
    pub why: String,
}

fn of(image: &str) -> String {
    let registry = Reference::parse(image).map(|read| read.registry).unwrap_or_default();
    resource(&registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_about_the_registry_of_the_name() {
        let pull = |image: &str| {
            Pull { host: HostId([1; 16]), image: image.into(), platform: String::new() }.resource()
        };
        assert_eq!(pull("nginx"), "registry:docker.io");
        assert_eq!(pull("r:5000/x:1"), "registry:r:5000");
    }

    #[test]
    fn printing_a_request_shows_no_password() {
        let put = Put { password: "canary".into(), ..Put::default() };
        assert!(!format!("{put:?}").contains("canary"));
    }
}
