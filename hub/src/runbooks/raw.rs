//! A runbook as it is written: what the reader of YAML makes of it, with the places of what may be wrong.

use super::params::Literal;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, description, params, steps")]
pub(super) struct Book {
    pub name: Spanned<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub params: Vec<Spanned<Param>>,
    #[serde(default)]
    pub vars: Vec<Spanned<Var>>,
    #[serde(default)]
    pub requires: Option<Spanned<String>>,
    #[serde(default)]
    pub waves: Option<Spanned<Waves>>,
    #[serde(default)]
    pub halt: Option<Spanned<String>>,
    #[serde(default)]
    pub parallel: Option<u32>,
    pub steps: Vec<Spanned<Step>>,
}

/// A config group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, hosts, files")]
pub(super) struct Config {
    pub name: Spanned<String>,
    #[serde(default)]
    pub description: String,
    pub hosts: Spanned<String>,
    #[serde(default)]
    pub params: Vec<Spanned<Param>>,
    #[serde(default)]
    pub vars: Vec<Spanned<Var>>,
    #[serde(default)]
    pub requires: Option<Spanned<String>>,
    #[serde(default)]
    pub waves: Option<Spanned<Waves>>,
    #[serde(default)]
    pub halt: Option<Spanned<String>>,
    #[serde(default)]
    pub parallel: Option<u32>,
    pub files: Vec<Spanned<Push>>,
    #[serde(default)]
    pub then: Vec<Spanned<Step>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Text,
    Number,
    YesNo,
    Choice,
    List,
    Secret,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, type, default")]
pub(super) struct Param {
    pub name: Spanned<String>,
    #[serde(rename = "type", default)]
    pub kind: Option<Kind>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub default: Option<Spanned<Literal>>,
    #[serde(default)]
    pub min: Option<Spanned<f64>>,
    #[serde(default)]
    pub max: Option<Spanned<f64>>,
    #[serde(default)]
    pub decimals: Option<Spanned<bool>>,
    #[serde(default)]
    pub pattern: Option<Spanned<String>>,
    #[serde(default)]
    pub lines: Option<Spanned<bool>>,
    #[serde(default)]
    pub of: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, is")]
pub(super) struct Var {
    pub name: Spanned<String>,
    pub is: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: first, then")]
pub(super) struct Waves {
    #[serde(default)]
    pub first: Option<String>,
    #[serde(default)]
    pub then: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name and what is to be done")]
pub(super) struct Step {
    pub name: Spanned<String>,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub when: Option<Spanned<String>>,
    #[serde(default)]
    pub line: Option<Spanned<String>>,
    #[serde(default)]
    pub command: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub script: Option<Spanned<String>>,
    #[serde(default)]
    pub args: Vec<Spanned<String>>,
    #[serde(default)]
    pub push: Option<Spanned<Push>>,
    #[serde(default)]
    pub packages: Option<Spanned<Packages>>,
    #[serde(default)]
    pub ansible: Option<Spanned<Ansible>>,
    #[serde(default)]
    pub runbook: Option<Spanned<String>>,
    #[serde(default)]
    pub params: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub retries: Option<Spanned<u32>>,
    #[serde(default)]
    pub pause: Option<Spanned<String>>,
    #[serde(default)]
    pub timeout: Option<Spanned<String>>,
    #[serde(default)]
    pub ignore_errors: bool,
    #[serde(default)]
    pub user: Option<Spanned<String>>,
    #[serde(default)]
    pub cwd: Option<Spanned<String>>,
    #[serde(default)]
    pub env: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: to, content")]
pub(super) struct Push {
    pub to: Spanned<String>,
    pub content: Spanned<String>,
    #[serde(default)]
    pub mode: Option<Spanned<String>>,
    #[serde(default)]
    pub owner: Option<Spanned<String>>,
    #[serde(default)]
    pub group: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: playbook")]
pub(super) struct Ansible {
    pub playbook: Spanned<String>,
    #[serde(default)]
    pub files: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub vars: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub tags: Vec<Spanned<String>>,
    #[serde(default)]
    pub skip_tags: Vec<Spanned<String>>,
    #[serde(default)]
    pub check: bool,
    #[serde(default)]
    pub diff: bool,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "keys with values: install, remove or upgrade with a list"
)]
pub(super) struct Packages {
    #[serde(default)]
    pub install: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub remove: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub upgrade: Option<Vec<Spanned<String>>>,
}
