//! A rule as it is stored and travels.

use crate::catalog::Catalog;
use crate::check::{Compiled, Part};
use crate::message;
use crate::problem::cut;
use crate::unit::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How bad it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it today.
    #[default]
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A condition over metrics and states of hosts, and what is made of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique; lower-case letters, digits, `-`, `_` and `.`, at most 60.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The hosts that it is for, as a selector; empty for all. Not read here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// The condition.
    pub when: String,
    /// What must hold for the alert to end; where it is absent, that `when` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
    /// How long the condition has to hold before the alert fires.
    #[serde(default, rename = "for", skip_serializing_if = "is_default")]
    pub hold: Span,
    /// How long what ends it has to hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clear_for: Span,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// For grouping, for policies and silences. They come on top of the host's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A line for people with names in braces: `{host}`, `{instance}`, `{value}`, `{limit}`, `{rule}`,
    /// `{severity}`, `{for}`, `{description}`, `{label.NAME}`; `{{` is a brace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The host's agent evaluates it too while the hub is away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub also_on_agent: bool,
    /// Its alert means that the host cannot be reached: other alerts of the host, and those of hosts that are
    /// reached through it, are suppressed while it fires.
    #[serde(default, skip_serializing_if = "is_default")]
    pub down: bool,
    /// It is kept and not evaluated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub off: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Labels of a rule, and characters of each name and value.
const LABELS: usize = 32;
const LABEL: usize = 100;
/// Characters of a description and of a selector.
const TEXT: usize = 1000;
/// The longest time that a condition has to hold.
const LONGEST: Span = Span(7 * 86_400_000);

impl Rule {
    /// Checks everything and compiles the expressions; what is wrong names the key and the place in it.
    pub fn compile(&self, catalog: &Catalog) -> Result<Compiled, String> {
        if let Some((key, what)) = self.wrong().into_iter().next() {
            return Err(format!("{key}: {what}"));
        }
        message::check(&self.message).map_err(|w| format!("message, column {}: {w}", w.at + 1))?;
        Compiled::new(&self.when, self.clear.as_deref(), catalog).map_err(|(part, wrong)| {
            let (key, text) = match part {
                Part::When => ("when", self.when.as_str()),
                Part::Clear => ("clear", self.clear.as_deref().unwrap_or_default()),
            };
            let (line, column) = wrong.place(text);
            format!("{key}, line {line}, column {column}: {wrong}")
        })
    }

    /// What is wrong with it besides its expressions and its message, each with its key.
    pub(crate) fn wrong(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(what) = check_name(&self.name) {
            wrong.push(("name", what));
        }
        for (key, text) in [("description", &self.description), ("hosts", &self.hosts)] {
            if text.chars().count() > TEXT {
                wrong.push((key, format!("it has more than {TEXT} characters")));
            }
        }
        for (key, span) in [("for", self.hold), ("clear_for", self.clear_for)] {
            if span > LONGEST {
                wrong.push((key, format!("{span} is longer than {LONGEST}")));
            }
        }
        if self.labels.len() > LABELS {
            wrong.push(("labels", format!("a rule has at most {LABELS} labels")));
        }
        for (name, value) in &self.labels {
            let odd = |c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/');
            let what = match () {
                () if name.is_empty() || name.contains(odd) => {
                    "has other characters than letters, digits, - _ . /"
                }
                () if name.chars().count() > LABEL || value.chars().count() > LABEL => {
                    "or its value has more than 100 characters"
                }
                () if matches!(name.as_str(), "host" | "rule" | "severity" | "instance") => {
                    "is known of every alert; choose another name"
                }
                () => continue,
            };
            wrong.push(("labels", format!("the name `{}` {what}", cut(name, 40))));
        }
        wrong
    }

    /// Its message, or what is said where it has none.
    pub(crate) fn told(&self) -> &str {
        match (self.message.is_empty(), self.description.is_empty()) {
            (false, _) => &self.message,
            (true, true) => "{host} {instance}: {rule} {value}",
            (true, false) => "{host} {instance}: {description} {value}",
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    match name.chars().count() {
        0 => Err("a rule needs a name".to_owned()),
        61.. => Err("a name has at most 60 characters".to_owned()),
        _ if !name.chars().all(letter) => Err(format!(
            "`{}` is no name: lower-case letters, digits, `-`, `_` and `.` are",
            cut(name, 60)
        )),
        _ => Ok(()),
    }
}
