//! Images between hosts and registries. What a client asks for goes through the hub (`registries.pull`), which adds what
//! the registry wants to know; a host alone does it as nobody.

use super::resource;
use crate::call::{Access, Feed, Nothing};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Brings an image from its registry, as nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pull {
    /// Its name.
    pub image: String,
    /// `linux/arm64`; the host's own when it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
}

impl Feed for Pull {
    const METHOD: &'static str = "images.pull";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "m";
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// Brings an image to the registry that its name says, as nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Push {
    /// Its name.
    pub image: String,
}

impl Feed for Push {
    const METHOD: &'static str = "images.push";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "m";
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.image)
    }
}

/// What became of layers since the last item; in the last one how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Those that have changed.
    #[serde(rename = "l", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// It is there.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
}

/// A layer under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layer {
    /// The beginning of its digest.
    #[serde(rename = "i")]
    pub id: String,
    /// In the engine's words: `Downloading`, `Extracting`, `Pull complete`, `Already exists`, `Pushed`.
    #[serde(rename = "s")]
    pub status: String,
    /// Bytes of this step that are done.
    #[serde(rename = "c")]
    pub current: u64,
    /// Bytes of this step; 0 when that is not known.
    #[serde(rename = "t")]
    pub total: u64,
}

/// An image that is where it was to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    /// Of its manifest, `sha256:…`; empty when the engine did not say.
    pub digest: String,
    /// What the engine said last: `Downloaded newer image for …`, `Image is up to date for …`.
    pub status: String,
}

/// Who the hub says to a registry that it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// For which registry.
    pub registry: String,
    /// The name.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Login");
        shown
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// As [`Pull`], as somebody. Only hubs ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PullAs {
    /// What.
    pub pull: Pull,
    /// As whom.
    pub login: Login,
}

impl Feed for PullAs {
    const METHOD: &'static str = "images.pull-as";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["login"];
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        self.pull.resource()
    }
}

/// As [`Push`], as somebody. Only hubs ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PushAs {
    /// What.
    pub push: Push,
    /// As whom.
    pub login: Login,
}

impl Feed for PushAs {
    const METHOD: &'static str = "images.push-as";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["login"];
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        self.push.resource()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_request_shows_no_password() {
        let login = Login { password: "canary".into(), ..Login::default() };
        let pull = PullAs { login: login.clone(), ..PullAs::default() };
        let push = PushAs { login, ..PushAs::default() };
        assert!(!format!("{pull:?}{push:?}").contains("canary"));
    }
}
