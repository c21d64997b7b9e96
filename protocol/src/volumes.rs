//! Volumes of a host's Docker engine. What is in them is read and written through `files`, below where they lie.

use crate::call::{Access, Call, Feed, Nothing};
use crate::images::Inspected;
use crate::table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The resource of a volume.
pub fn resource(volume: &str) -> String {
    format!("volume:{volume}")
}

/// All volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Also how much is in each, which takes the engine its time.
    pub sizes: bool,
}

impl Call for List {
    const METHOD: &'static str = "volumes.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub volumes: Vec<Volume>,
    /// So many more there are, and were left out.
    pub left_out: u64,
    /// What the engine says of volumes that it could not look at.
    pub warnings: Vec<String>,
}

/// All volumes without their sizes, then what changes, as the engine tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "volumes.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Volume>;
}

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// `local`, or the plugin that keeps it.
    #[serde(rename = "d")]
    pub driver: String,
    /// Where it lies on the host; empty when that is nowhere one could look.
    #[serde(rename = "m")]
    pub mountpoint: String,
    /// `local` or `global`.
    #[serde(rename = "s")]
    pub scope: String,
    /// When it was made, as the engine writes it; empty when it does not say.
    #[serde(rename = "c", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// What was written on it.
    #[serde(rename = "l", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What its driver was told.
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Bytes in it; absent when that was not asked for or is not known.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Names of containers that it is mounted in, the first of them.
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    /// How many there are.
    #[serde(rename = "k")]
    pub users: u32,
}

impl table::Row for Volume {
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
    fn weight(&self) -> usize {
        let texts = [&self.name, &self.driver, &self.mountpoint, &self.created];
        let maps = self.labels.iter().chain(&self.options).map(|(k, v)| k.len() + v.len() + 4);
        let users = self.used_by.iter().map(|name| name.len() + 3).sum::<usize>();
        60 + users + texts.iter().map(|text| text.len()).sum::<usize>() + maps.sum::<usize>()
    }
}

/// All that the engine says about a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Which.
    pub volume: String,
}

impl Call for Inspect {
    const METHOD: &'static str = "volumes.inspect";
    const ACCESS: Access = Access::Read;
    type Reply = Inspected;
    fn resource(&self) -> String {
        resource(&self.volume)
    }
}

/// Makes a volume where the engine keeps its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Create {
    /// Its name. One that is there already is a conflict.
    pub volume: String,
    /// Written on it.
    pub labels: BTreeMap<String, String>,
}

impl Call for Create {
    const METHOD: &'static str = "volumes.create";
    const ACCESS: Access = Access::Act;
    type Reply = Volume;
    fn resource(&self) -> String {
        resource(&self.volume)
    }
}

/// As [`Create`], with a driver of one's choice and what it is told. Such a volume can be any folder or device of
/// the host: whoever may do this and start containers may do anything there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateSpecial {
    /// As [`Create::volume`].
    pub volume: String,
    /// As [`Create::labels`].
    pub labels: BTreeMap<String, String>,
    /// `local` when it is empty.
    pub driver: String,
    /// What the driver is told: `type`, `device`, `o`, and whatever a plugin knows.
    pub options: BTreeMap<String, String>,
}

impl Call for CreateSpecial {
    const METHOD: &'static str = "volumes.create-special";
    const ACCESS: Access = Access::Admin;
    // A share of another machine is mounted with `o=username=...,password=...`.
    const SECRETS: &'static [&'static str] = &["options.o"];
    type Reply = Volume;
    fn resource(&self) -> String {
        resource(&self.volume)
    }
}

/// Takes a volume away with all that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remove {
    /// Which.
    pub volume: String,
    /// Also when its driver is there no more.
    pub force: bool,
}

impl Call for Remove {
    const METHOD: &'static str = "volumes.remove";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.volume)
    }
}
