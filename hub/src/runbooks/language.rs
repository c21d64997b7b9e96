//! Reads runbooks: from YAML to steps that make sense, or to a list of what is wrong and where.
//!
//! What can be known without a host is looked at here: names of parameters, facts and steps, templates, limits.
//! What a runbook includes is looked at by `plan.rs`, which has all of them at hand.

mod ansible;
mod step;

pub(crate) use ansible::PLAYBOOK;

use super::params::{LONGEST, Limits, Param, Pattern};
use super::problem::{self, MOST};
use super::shell::{self, Sort};
use super::template::{self, Names, TAKEN};
use super::{raw, text};
use cmdr_protocol::runbooks::{MAX_TEXT, Problem, check_name};
use cmdr_protocol::runs::{Action, Amount};
use cmdr_protocol::selector::Selector;
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Spanned};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parameters, variables, and steps of one runbook at most.
const MAX_PARAMS: usize = 64;
/// Steps of one runbook at most.
pub(super) const MAX_STEPS: usize = 200;
/// Files of a config group.
const MAX_FILES: usize = 100;
/// How often a step is tried again at most.
const MAX_RETRIES: u32 = 100;
/// The longest pause between two tries, and the longest time of a step, in milliseconds.
const LONGEST_MS: u64 = 24 * 3600 * 1000;
/// Between two tries, where nothing is said.
const PAUSE_MS: u64 = 1000;

/// A runbook that makes sense.
#[derive(Clone, Debug)]
pub struct Book {
    /// Its name.
    pub name: String,
    /// As it was written.
    pub text: Arc<str>,
    /// In a line, what it does.
    pub description: String,
    /// In order.
    pub params: Vec<Param>,
    /// Names for expressions, in order: a later one may use earlier ones.
    pub vars: Vec<(String, String)>,
    /// What must hold on a host; else it is refused there.
    pub requires: Option<String>,
    /// Hosts in its first wave and in each later one, where the run does not say.
    pub waves: Option<(Amount, Amount)>,
    /// Failures that halt a run, where it does not say itself.
    pub halt: Option<Amount>,
    /// Hosts at once, where the run does not say.
    pub parallel: Option<u32>,
    /// The hosts that it is bound to, as a selector; a runbook is bound to none.
    pub hosts: Option<String>,
    /// In order.
    pub steps: Vec<Step>,
}

impl Book {
    /// Whether a step of its own is a playbook of Ansible.
    pub fn has_playbook(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.act, Act::Ansible(_)))
    }
}

/// One step.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Unique in its runbook.
    pub name: String,
    /// For people; may be empty.
    pub title: String,
    /// A condition; without one it is always done.
    pub when: Option<String>,
    /// What is done.
    pub act: Act,
    /// How often it is tried again.
    pub retries: u32,
    /// Milliseconds before it is tried again.
    pub pause_ms: u64,
    /// Milliseconds after which it is ended.
    pub timeout_ms: Option<u64>,
    /// Its failure does not end the runbook.
    pub ignore_errors: bool,
    /// User to run as.
    pub user: Option<String>,
    /// Folder to run in.
    pub cwd: Option<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Where it stands, from 1.
    pub line: u32,
    /// As `line`.
    pub column: u32,
}

/// What a step does. Texts are templates, but for those of a shell.
#[derive(Clone, Debug)]
pub enum Act {
    /// A program with arguments.
    Command(Vec<String>),
    /// A line for `/bin/sh`.
    Line(String),
    /// A script with arguments.
    Script {
        /// The text.
        content: String,
        /// Arguments.
        args: Vec<String>,
    },
    /// A file.
    Push {
        /// Where to.
        to: String,
        /// What is in it.
        content: String,
        /// Permissions.
        mode: Option<u32>,
        /// `user`, `user:group` or `:group`.
        owner: String,
    },
    /// Packages.
    Packages {
        /// What is done with them.
        action: Action,
        /// Which.
        names: Vec<String>,
    },
    /// A playbook of Ansible.
    Ansible(Box<Playbook>),
    /// The steps of another runbook.
    Include {
        /// Which.
        name: String,
        /// Its parameters.
        params: BTreeMap<String, String>,
    },
}

/// A playbook of Ansible. Neither its text nor its files are templates of ours.
#[derive(Clone, Debug, Default)]
pub struct Playbook {
    /// A list of plays.
    pub text: String,
    /// Files beside it, by their paths.
    pub files: BTreeMap<String, String>,
    /// Variables that it is given: templates.
    pub vars: BTreeMap<String, String>,
    /// Only what has one of these tags.
    pub tags: Vec<String>,
    /// Not what has one of these.
    pub skip_tags: Vec<String>,
    /// Say what would change, and change nothing.
    pub check: bool,
    /// Show how files change.
    pub diff: bool,
}

impl Default for Act {
    fn default() -> Self {
        Self::Command(Vec::new())
    }
}

/// Reads a runbook.
pub fn read(text: &str) -> Result<Book, Vec<Problem>> {
    let book: raw::Book = parse(text)?;
    Reader::new(text).done(|reader| reader.book(book))
}

/// Reads a config group: a runbook that pushes files, and does something then.
pub fn read_config(text: &str) -> Result<Book, Vec<Problem>> {
    let config: raw::Config = parse(text)?;
    Reader::new(text).done(|reader| reader.config(config))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Problem>> {
    if text.len() > MAX_TEXT {
        let what = format!("it has {} bytes, and at most {MAX_TEXT} are taken", text.len());
        return Err(vec![Problem { what, ..Problem::default() }]);
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 20_000,
            max_aliases: 100,
            max_anchors: 100,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| vec![problem::of_reader(&error)])
}

/// Milliseconds of `500ms`, `30s`, `5m`, `1h`, `1d`.
fn span_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    names: Names,
    numbers: BTreeSet<String>,
    lists: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            names: Names::default(),
            numbers: BTreeSet::new(),
            lists: BTreeSet::new(),
        }
    }

    fn done(mut self, read: impl FnOnce(&mut Self) -> Option<Book>) -> Result<Book, Vec<Problem>> {
        let book = read(&mut self);
        self.problems.sort();
        self.problems.truncate(MOST);
        match book {
            Some(book) if self.problems.is_empty() => Ok(book),
            _ => Err(self.problems),
        }
    }

    fn wrong(&mut self, at: Location, what: impl Into<String>) {
        self.problems.push(problem::at(at, what));
    }

    /// A value, or a problem where it stands.
    fn take<T>(&mut self, at: Location, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(what) => {
                self.wrong(at, what);
                None
            }
        }
    }

    fn book(&mut self, mut book: raw::Book) -> Option<Book> {
        let (at, steps) = (book.name.referenced, std::mem::take(&mut book.steps));
        let head = self.head(book)?;
        if steps.is_empty() || steps.len() > MAX_STEPS {
            self.wrong(at, format!("a runbook has 1 to {MAX_STEPS} steps"));
            return None;
        }
        let steps = steps.into_iter().filter_map(|step| self.step(step)).collect();
        Some(Book { steps, ..head })
    }

    /// All but the steps.
    fn head(&mut self, book: raw::Book) -> Option<Book> {
        let name = book.name.value;
        self.take(book.name.referenced, check_name(&name));
        if book.params.len() > MAX_PARAMS || book.vars.len() > MAX_PARAMS {
            let what = format!("there are at most {MAX_PARAMS} parameters and as many vars");
            self.wrong(book.name.referenced, what);
            return None;
        }
        let params = book.params.into_iter().filter_map(|param| self.param(param)).collect();
        let vars = book.vars.into_iter().filter_map(|var| self.var(var)).collect();
        let requires = book.requires.and_then(|text| self.condition(text));
        let halt =
            book.halt.and_then(|halt| self.take(halt.referenced, Amount::parse(&halt.value)));
        let waves = book.waves.and_then(|waves| self.waves(&waves));
        let (description, parallel) = (book.description.trim().to_owned(), book.parallel);
        let (hosts, steps, text) = (None, Vec::new(), self.text.into());
        Some(Book {
            name,
            text,
            description,
            params,
            vars,
            requires,
            waves,
            halt,
            parallel,
            hosts,
            steps,
        })
    }

    fn config(&mut self, config: raw::Config) -> Option<Book> {
        let hosts = config.hosts.value.trim().to_owned();
        if hosts.is_empty() {
            let what = "here should be a selector of the hosts that it is for; '*' is all of them";
            self.wrong(config.hosts.referenced, what);
        }
        self.take(config.hosts.referenced, Selector::parse(&hosts).map_err(|e| e.to_string()));
        let place = config.name.referenced;
        let count = config.files.len();
        if count == 0 || count > MAX_FILES {
            self.wrong(place, format!("a config group has 1 to {MAX_FILES} files"));
            return None;
        }
        let head = raw::Book {
            name: config.name,
            description: config.description,
            params: config.params,
            vars: config.vars,
            requires: config.requires,
            waves: config.waves,
            halt: config.halt,
            parallel: config.parallel,
            steps: Vec::new(),
        };
        let mut book = self.head(head)?;
        book.hosts = Some(hosts);
        let mut paths = BTreeSet::new();
        for (number, file) in config.files.into_iter().enumerate() {
            let (at, file) = (problem::at(file.referenced, ""), file.value);
            if !paths.insert(file.to.value.clone()) {
                self.wrong(file.to.referenced, "this file stands here twice");
            }
            let name = format!("file_{}", number + 1);
            self.names.steps.insert(name.clone());
            if let Some(act) = self.push(file) {
                book.steps.push(Step {
                    name,
                    act,
                    line: at.line,
                    column: at.column,
                    ..Step::default()
                });
            }
        }
        let changed: Vec<_> = (1..=count).map(|n| format!("step.file_{n}.changed")).collect();
        let changed = changed.join(" or ");
        for step in config.then {
            if let Some(mut step) = self.step(step) {
                step.when = Some(match step.when {
                    Some(when) => format!("({changed}) and ({when})"),
                    None => changed.clone(),
                });
                book.steps.push(step);
            }
        }
        Some(book)
    }

    fn waves(&mut self, waves: &Spanned<raw::Waves>) -> Option<(Amount, Amount)> {
        let mut amount = |text: &Option<String>| match text {
            Some(text) => self.take(waves.referenced, Amount::parse(text)),
            None => Some(Amount::default()),
        };
        Some((amount(&waves.value.first)?, amount(&waves.value.then)?))
    }

    /// A name that is given here, once.
    fn fresh(&mut self, name: &Spanned<String>) {
        let text = &name.value;
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty()
            || text.len() > 40
            || !text.bytes().all(letter)
            || text.as_bytes()[0].is_ascii_digit()
        {
            self.wrong(
                name.referenced,
                "a name has 1 to 40 small letters, digits and '_', and begins with no digit",
            );
        } else if TAKEN.contains(&text.as_str()) {
            self.wrong(
                name.referenced,
                format!("'{text}' has a meaning of its own; choose another name"),
            );
        } else if !self.names.plain.insert(text.clone()) {
            self.wrong(name.referenced, format!("the name '{text}' is given twice"));
        }
    }

    fn param(&mut self, param: Spanned<raw::Param>) -> Option<Param> {
        let (at, param) = (param.referenced, param.value);
        self.fresh(&param.name);
        let name = param.name.value.clone();
        let kind = param.kind.unwrap_or(raw::Kind::Text);
        self.misfits(&param, kind);
        let pattern = match &param.pattern {
            Some(text) => Some(self.take(text.referenced, Pattern::new(&text.value))?),
            None => None,
        };
        let bytes =
            |limit: &Option<Spanned<f64>>| limit.as_ref().map(|n| n.value.max(0.0) as usize);
        let (min, max) = (param.min.as_ref().map(|n| n.value), param.max.as_ref().map(|n| n.value));
        if let (Some(low), Some(high), Some(place)) = (min, max, &param.max)
            && low > high
        {
            self.wrong(place.referenced, format!("max is less than min ({low})"));
        }
        let of = param.of.as_ref().map(|of| of.value.clone()).unwrap_or_default();
        let limits = match kind {
            raw::Kind::Text => Limits::Text {
                shortest: bytes(&param.min).unwrap_or(0),
                longest: bytes(&param.max).unwrap_or(LONGEST).min(LONGEST),
                pattern,
                lines: param.lines.as_ref().is_some_and(|lines| lines.value),
            },
            raw::Kind::Number => {
                self.numbers.insert(name.clone());
                let decimals = param.decimals.as_ref().is_some_and(|decimals| decimals.value);
                Limits::Number { min, max, decimals }
            }
            raw::Kind::YesNo => Limits::YesNo,
            raw::Kind::Choice => {
                if of.is_empty() {
                    self.wrong(at, "a choice says of what: of: [small, large]");
                }
                Limits::Choice(of)
            }
            raw::Kind::List => {
                self.lists.insert(name.clone());
                Limits::List { of, pattern, least: bytes(&param.min).unwrap_or(0) }
            }
            raw::Kind::Secret => {
                self.names.secret.insert(name.clone());
                Limits::Secret
            }
        };
        let default = match &param.default {
            Some(literal) => Some(self.take(literal.referenced, limits.literal(&literal.value))?),
            None => None,
        };
        Some(Param { name, description: param.description.trim().to_owned(), limits, default })
    }

    /// Limits that a kind does not have.
    fn misfits(&mut self, param: &raw::Param, kind: raw::Kind) {
        use raw::Kind::{Choice, List, Number, Text};
        let numeric = matches!(kind, Number | Text | List);
        let given = [
            ("min", param.min.as_ref().map(|s| s.referenced), numeric),
            ("max", param.max.as_ref().map(|s| s.referenced), matches!(kind, Number | Text)),
            ("decimals", param.decimals.as_ref().map(|s| s.referenced), matches!(kind, Number)),
            ("lines", param.lines.as_ref().map(|s| s.referenced), matches!(kind, Text)),
            ("pattern", param.pattern.as_ref().map(|s| s.referenced), matches!(kind, Text | List)),
            ("of", param.of.as_ref().map(|s| s.referenced), matches!(kind, Choice | List)),
        ];
        for (key, at, fits) in given {
            if let (Some(at), false) = (at, fits) {
                self.wrong(at, format!("a parameter of this type has no '{key}'"));
            }
        }
    }

    fn var(&mut self, var: Spanned<raw::Var>) -> Option<(String, String)> {
        let var = var.value;
        let is = self.condition(var.is)?;
        self.fresh(&var.name);
        Some((var.name.value, is))
    }

    /// Problems of a text that stands in the document.
    fn within(&mut self, place: Location, (line, what): (u32, String)) {
        self.problems.push(problem::within(self.text, place, line, 1, what));
    }

    /// An expression: nothing secret may be in it, for what it comes to is shown.
    fn condition(&mut self, text: Spanned<String>) -> Option<String> {
        match template::names_of_expression(&text.value) {
            Ok(names) => self.known(text.referenced, &names, true)?,
            Err(wrong) => {
                self.within(text.referenced, wrong);
                return None;
            }
        }
        Some(text.value)
    }

    fn known(&mut self, at: Location, names: &BTreeSet<String>, bare: bool) -> Option<()> {
        let wrong: Vec<_> =
            names.iter().filter_map(|name| self.names.check(name, bare).err()).collect();
        let fine = wrong.is_empty();
        for what in wrong {
            self.wrong(at, what);
        }
        fine.then_some(())
    }

    /// A template; with `bare`, nothing secret may be in it.
    fn template(&mut self, text: Spanned<String>, bare: bool) -> Option<String> {
        if text.value.contains('\0') {
            self.wrong(text.referenced, "it has a NUL byte");
            return None;
        }
        match template::names(&text.value) {
            Ok(names) => self.known(text.referenced, &names, bare)?,
            Err((line, what)) => {
                let hint = if text.value.contains("{{.") {
                    "; braces as they are: {% raw %}{{…}}{% endraw %}"
                } else {
                    ""
                };
                self.within(text.referenced, (line, what + hint));
                return None;
            }
        }
        Some(text.value)
    }

    fn templates(&mut self, words: Vec<Spanned<String>>) -> Option<Vec<String>> {
        let count = words.len();
        let words: Vec<_> =
            words.into_iter().filter_map(|word| self.template(word, true)).collect();
        (words.len() == count).then_some(words)
    }

    /// A text for a shell, or for what its first line says.
    fn shell(&mut self, text: &Spanned<String>) -> Option<String> {
        let at = text.referenced;
        if text.value.trim().is_empty() {
            self.wrong(at, "there is nothing to run");
            return None;
        }
        if text.value.contains('\0') {
            self.wrong(at, "it has a NUL byte");
            return None;
        }
        let value = text::plain_lines(&text.value);
        let sort = |name: &str| {
            self.names.check(name, false)?;
            Ok(match name {
                name if self.numbers.contains(name) => Sort::Number,
                name if self.lists.contains(name) || name == "fact.addresses" => Sort::Many(1),
                _ => Sort::One,
            })
        };
        let looked = if shell::is_shell(&value) {
            shell::refer(&value, &sort).map(drop)
        } else {
            shell::refuse(&value)
        };
        if let Err((byte, what)) = looked {
            let before = &value[..byte];
            let line = u32::try_from(before.matches('\n').count()).unwrap_or_default() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
            let column = u32::try_from(column).unwrap_or_default() + 1;
            self.problems.push(problem::within(self.text, at, line, column, what));
            return None;
        }
        Some(value)
    }
}

#[cfg(test)]
#[path = "language_tests.rs"]
mod tests;
