//! Rules as text: YAML, as runbooks are. What is wrong is told with line and column, all of it at once.
//!
//! ```yaml
//! rules:
//!   - name: cpu-busy
//!     description: processors are busy
//!     hosts: env=prod
//!     when: avg(cpu.busy, 5m) > 90%
//!     clear: avg(cpu.busy, 5m) < 80%
//!     for: 10m
//!     clear_for: 5m
//!     severity: warning
//!     labels: { team: ops }
//!     message: "{host}: processors are {value} busy"
//! ```

use crate::catalog::Catalog;
use crate::check::{Compiled, Part};
use crate::message;
use crate::problem::{Problem, Wrong, cut, nearest};
use crate::rule::{Rule, Severity};
use crate::unit::Span;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, Spanned};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a text at most, rules in it, and problems that are told at once.
pub const LARGEST: usize = 1 << 20;
const RULES: usize = 2000;
const PROBLEMS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the key `rules` with a list")]
struct Document {
    rules: Vec<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, when, for, severity, message")]
struct Raw {
    name: Spanned<String>,
    #[serde(default)]
    description: Option<Spanned<String>>,
    #[serde(default)]
    hosts: Option<Spanned<String>>,
    when: Spanned<String>,
    #[serde(default)]
    clear: Option<Spanned<String>>,
    #[serde(default, rename = "for")]
    hold: Option<Spanned<String>>,
    #[serde(default)]
    clear_for: Option<Spanned<String>>,
    #[serde(default)]
    severity: Option<Spanned<String>>,
    #[serde(default)]
    labels: Option<Spanned<BTreeMap<String, String>>>,
    #[serde(default)]
    message: Option<Spanned<String>>,
    #[serde(default)]
    also_on_agent: bool,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    off: bool,
}

/// Reads rules and compiles them, or says all that is wrong, in the order of the text.
pub fn read(text: &str, catalog: &Catalog) -> Result<Vec<(Rule, Compiled)>, Vec<Problem>> {
    let document: Document = document(text)?;
    if document.rules.len() > RULES {
        let what =
            format!("there are {} rules, and at most {RULES} are taken", document.rules.len());
        return Err(vec![Problem { line: 1, column: 1, what }]);
    }
    let mut reader = Reader { text, catalog, problems: Vec::new(), names: BTreeSet::new() };
    let mut read = Vec::new();
    for raw in &document.rules {
        read.extend(reader.rule(raw));
    }
    if reader.problems.is_empty() {
        return Ok(read);
    }
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    reader.problems.truncate(PROBLEMS);
    Err(reader.problems)
}

/// Reads one YAML document, bounded in every way; what is wrong has its place. Policies and notifiers are read so too.
pub fn document<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Problem>> {
    if text.len() > LARGEST {
        let what = format!("it has {} bytes, and at most {LARGEST} are taken", text.len());
        return Err(vec![Problem { line: 1, column: 1, what }]);
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 8,
            max_nodes: 100_000,
            max_aliases: 100,
            max_anchors: 100,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| vec![of_reader(&e)])
}

/// Writes rules so that [`read`] reads the same.
pub fn write(rules: &[Rule]) -> Result<String, String> {
    #[derive(Serialize)]
    struct Written<'a> {
        rules: &'a [Rule],
    }
    serde_saphyr::to_string(&Written { rules }).map_err(|e| format!("writing rules as YAML: {e}"))
}

struct Reader<'a> {
    text: &'a str,
    catalog: &'a Catalog,
    problems: Vec<Problem>,
    names: BTreeSet<String>,
}

impl Reader<'_> {
    fn bad(&mut self, at: Location, what: impl Into<String>) {
        self.problems.push(at_place(at, what));
    }

    fn span(&mut self, from: Option<&Spanned<String>>) -> Span {
        let Some(from) = from else { return Span::default() };
        Span::parse(&from.value).unwrap_or_else(|what| {
            self.bad(from.referenced, what);
            Span::default()
        })
    }

    fn rule(&mut self, raw: &Raw) -> Option<(Rule, Compiled)> {
        let before = self.problems.len();
        if !self.names.insert(raw.name.value.clone()) {
            let what =
                format!("a rule before this one is called `{}` too", cut(&raw.name.value, 60));
            self.bad(raw.name.referenced, what);
        }
        let severity = match raw.severity.as_ref().map(|s| (s.value.as_str(), s.referenced)) {
            None => Severity::default(),
            Some(("info", _)) => Severity::Info,
            Some(("warning", _)) => Severity::Warning,
            Some(("critical", _)) => Severity::Critical,
            Some((word, at)) => {
                let near = nearest(word, ["info", "warning", "critical"]);
                let hint = if near.is_empty() {
                    "; it is info, warning or critical".to_owned()
                } else {
                    near
                };
                self.bad(at, format!("no severity `{}`{hint}", cut(word, 40)));
                Severity::default()
            }
        };
        let value = |from: &Option<Spanned<String>>| {
            from.as_ref().map_or_else(String::new, |text| text.value.clone())
        };
        let rule = Rule {
            name: raw.name.value.clone(),
            description: value(&raw.description),
            hosts: value(&raw.hosts),
            when: raw.when.value.clone(),
            clear: raw.clear.as_ref().map(|text| text.value.clone()),
            hold: self.span(raw.hold.as_ref()),
            clear_for: self.span(raw.clear_for.as_ref()),
            severity,
            labels: raw.labels.as_ref().map(|labels| labels.value.clone()).unwrap_or_default(),
            message: value(&raw.message),
            also_on_agent: raw.also_on_agent,
            down: raw.down,
            off: raw.off,
        };
        for (key, what) in rule.wrong() {
            let at = match key {
                "description" => raw.description.as_ref().map(|s| s.referenced),
                "hosts" => raw.hosts.as_ref().map(|s| s.referenced),
                "for" => raw.hold.as_ref().map(|s| s.referenced),
                "clear_for" => raw.clear_for.as_ref().map(|s| s.referenced),
                "labels" => raw.labels.as_ref().map(|s| s.referenced),
                _ => None,
            };
            self.bad(at.unwrap_or(raw.name.referenced), what);
        }
        if let (Err(wrong), Some(at)) = (message::check(&rule.message), &raw.message) {
            self.within(at, &wrong);
        }
        match Compiled::new(&rule.when, rule.clear.as_deref(), self.catalog) {
            Ok(compiled) => {
                if compiled.is_about_hub() {
                    self.for_the_hub(&rule, raw);
                }
                (self.problems.len() == before).then_some((rule, compiled))
            }
            Err((part, wrong)) => {
                let clear = raw.clear.as_ref().filter(|_| part == Part::Clear);
                self.within(clear.unwrap_or(&raw.when), &wrong);
                None
            }
        }
    }

    /// What cannot be said in a rule about the hub's own parts.
    fn for_the_hub(&mut self, rule: &Rule, raw: &Raw) {
        let name = raw.name.referenced;
        let hosts = raw.hosts.as_ref().filter(|hosts| !hosts.value.trim().is_empty());
        let wrong = [
            (hosts.is_some(), "hosts", hosts.map_or(name, |hosts| hosts.referenced)),
            (rule.also_on_agent, "also_on_agent", name),
            (rule.down, "down", name),
        ];
        for (_, key, at) in wrong.into_iter().filter(|(is, ..)| *is) {
            self.bad(
                at,
                format!("this rule is about the hub itself: `{key}` has no meaning in it"),
            );
        }
    }

    /// Something wrong in a text that stands in the document.
    fn within(&mut self, text: &Spanned<String>, wrong: &Wrong) {
        let begin = at_place(text.referenced, wrong.what.clone());
        let (line, column) = wrong.place(&text.value);
        let first =
            self.text.lines().nth(begin.line.saturating_sub(1) as usize).unwrap_or_default();
        let skip = begin.column.saturating_sub(1) as usize;
        let before: String = first.chars().take(skip).collect();
        let here: String = first.chars().skip(skip).collect();
        let problem = if before.trim().is_empty() {
            // A block: all its lines begin as far to the right as its first.
            let indent = first.chars().take_while(|c| *c == ' ').count() as u32;
            Problem { line: begin.line + line - 1, column: indent + column, ..begin }
        } else {
            let quote = u32::from(here.starts_with(['"', '\'']));
            let column = if line == 1 { begin.column + quote + column - 1 } else { column };
            Problem { line: begin.line + line - 1, column, ..begin }
        };
        self.problems.push(problem);
    }
}

pub(crate) fn at_place(location: Location, what: impl Into<String>) -> Problem {
    Problem {
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
        what: what.into(),
    }
}

/// What the reader of YAML did not understand, in our words.
fn of_reader(error: &Error) -> Problem {
    let inner = error.without_snippet();
    let location = inner.location().unwrap_or(Location::UNKNOWN);
    let what = match inner {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = nearest(field, expected.iter().copied());
            let known = expected.join(", ");
            let hint = if near.is_empty() { format!("; here may stand: {known}") } else { near };
            format!("unknown key `{}`{hint}", cut(field, 60))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("here should be {}", plain(expected))
        }
        Error::Unexpected { expected, .. } => format!("here should be {}", plain(expected)),
        Error::InvalidScalar { ty, .. } => format!("here should be {}", plain(ty)),
        Error::InvalidBooleanStrict { .. } => "here should be true or false".to_owned(),
        Error::DuplicateMappingKey { .. } => "this key stands here twice".to_owned(),
        Error::MergeKeyNotAllowed { .. } => {
            "`<<` is not understood here; write the keys out".to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here; here is only one".to_owned()
        }
        Error::Eof { .. } => "the text ends where something should stand".to_owned(),
        other => {
            let text = other.to_string();
            cut(text.lines().next().unwrap_or_default().trim_start_matches("error: "), 200)
        }
    };
    at_place(location, what)
}

/// What serde and the reader call a kind of value, for people.
fn plain(kind: &str) -> &str {
    match kind {
        "bool" | "a boolean" | "boolean" => "true or false",
        "string" | "a string" | "string scalar" | "a string scalar" => "a text",
        "a sequence" | "sequence start" | "sequence" => "a list",
        "a map" | "mapping start" | "mapping" | "map start" => "keys with values",
        kind if kind.starts_with("struct ") => "keys with values",
        kind => kind,
    }
}
