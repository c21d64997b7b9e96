//! What is made of a container, and into it: other limits, another one in its place, an image, archives.

use super::{Done, Spec, resource};
use crate::call::{Access, Call, Feed, Nothing};
use crate::files::Chunk;
use serde::{Deserialize, Serialize};

/// Gives a container other limits, or another policy of when it is started again, while it goes on. What is empty stays
/// as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Its name or id.
    pub container: String,
    /// As [`Spec::cpus`].
    pub cpus: String,
    /// As [`Spec::cpu_shares`]; 0 to leave it.
    pub cpu_shares: i64,
    /// As [`Spec::cpuset`].
    pub cpuset: String,
    /// As [`Spec::mem_limit`].
    pub mem_limit: String,
    /// As [`Spec::memswap_limit`].
    pub memswap_limit: String,
    /// As [`Spec::mem_reservation`].
    pub mem_reservation: String,
    /// As [`Spec::pids_limit`]; 0 to leave it.
    pub pids_limit: i64,
    /// As [`Spec::restart`].
    pub restart: String,
}

impl Call for Update {
    const METHOD: &'static str = "containers.update";
    const ACCESS: Access = Access::Act;
    type Reply = Done;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// Puts another container in the place of one, under its name: the old one is kept until the new one runs, and put back
/// if it does not. Volumes without names, and networks that a [`Spec`] does not name, go over to the new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recreate {
    /// The old one's name or id.
    pub container: String,
    /// What the new one shall be; its name is the old one's.
    pub spec: Spec,
}

impl Call for Recreate {
    const METHOD: &'static str = "containers.recreate";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["spec.environment.*"];
    type Reply = Done;
    /// `container:NAME`, behind all that the new one may do to its host: `mount:/srv+container:web`.
    fn resource(&self) -> String {
        let powers = self.spec.powers();
        let own = resource(&self.container);
        if powers.is_empty() { own } else { format!("{}+{own}", powers.join("\0")) }
    }
}

/// The method that gives powers.
pub fn giver(_: &str) -> &'static str {
    <super::CreatePrivileged as Call>::METHOD
}

/// Makes an image of what a container has become.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// Its name or id.
    pub container: String,
    /// What the image is called, `NAME:TAG`; empty for no name.
    pub image: String,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// Do not pause it meanwhile.
    pub running: bool,
}

impl Call for Commit {
    const METHOD: &'static str = "containers.commit";
    const ACCESS: Access = Access::Act;
    type Reply = Committed;
    /// The container, and the image when it has a name: a right has to cover each.
    fn resource(&self) -> String {
        let own = resource(&self.container);
        if self.image.is_empty() { own } else { format!("{own}\0image:{}", self.image) }
    }
}

/// The answer to a [`Commit`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Committed {
    /// The image's id.
    pub id: String,
}

/// All files of a container, as an archive (tar).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Export {
    /// Its name or id.
    pub container: String,
}

impl Feed for Export {
    const METHOD: &'static str = "containers.export";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Chunk;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// A file or folder in a container, as an archive (tar).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyOut {
    /// Its name or id.
    pub container: String,
    /// Where, inside.
    pub path: String,
}

impl Feed for CopyOut {
    const METHOD: &'static str = "containers.copy-out";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Chunk;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// Lays an archive (tar) out in a folder in a container. The last input says so ([`Chunk::sum`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyIn {
    /// Its name or id.
    pub container: String,
    /// The folder, inside.
    pub path: String,
}

impl Feed for CopyIn {
    const METHOD: &'static str = "containers.copy-in";
    const ACCESS: Access = Access::Act;
    type Input = Chunk;
    type Item = Nothing;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_new_one_may_do_stands_before_its_name() {
        let mut recreate = Recreate { container: "web".into(), ..Recreate::default() };
        assert_eq!(recreate.resource(), "container:web");
        recreate.spec.volumes = vec!["/a+b:/x".into(), "/c:/y".into()];
        assert_eq!(recreate.resource(), "mount:/a+b\0mount:/c+container:web");
    }
}
