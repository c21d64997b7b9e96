//! A runbook with everything that it includes, as one list of steps: what is gone through on each host.

use super::language::{Act, Book, MAX_STEPS, Step};
use super::template::whole;
use cmdr_protocol::runbooks::{Problem, Step as Told};
use cmdr_protocol::runs::Param as Given;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How deep runbooks may include each other.
const DEEPEST: usize = 8;
/// Steps in all, those of included runbooks among them.
const MOST: usize = 2 * MAX_STEPS;

/// All steps in order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first is the runbook itself.
    pub(super) scopes: Vec<Scope>,
    pub(super) steps: Vec<Planned>,
}

/// One runbook in a plan, with names of its own.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub book: Arc<Book>,
    /// Its place in a plan: that of which other, and what this one says of its parameters.
    pub within: Option<(usize, BTreeMap<String, String>)>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// Whose names hold.
    pub scope: usize,
    /// Which of its steps.
    pub step: usize,
    /// With the names of the steps that include it.
    pub name: String,
    /// The steps that follow are those of another runbook: up to this one, and with this scope.
    pub enters: Option<(usize, usize)>,
}

/// Finds a runbook by its name.
pub type Find<'a> = &'a dyn Fn(&str) -> Option<Arc<Book>>;

impl Plan {
    /// Takes a runbook apart.
    pub fn make(book: Arc<Book>, find: Find<'_>) -> Result<Self, Vec<Problem>> {
        let mut trail = vec![book.name.clone()];
        let mut plan = Self { scopes: vec![Scope { book, within: None }], steps: Vec::new() };
        let problems = plan.add(0, "", find, &mut trail);
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    fn add(
        &mut self,
        scope: usize,
        before: &str,
        find: Find<'_>,
        trail: &mut Vec<String>,
    ) -> Vec<Problem> {
        let book = self.scopes[scope].book.clone();
        let mut problems = Vec::new();
        for (number, step) in book.steps.iter().enumerate() {
            let name = format!("{before}{}", step.name);
            let mut wrong = |what: String| {
                problems.push(Problem { line: step.line, column: step.column, what });
            };
            if self.steps.len() >= MOST {
                wrong(format!("with what it includes it has more than {MOST} steps"));
                break;
            }
            let place = self.steps.len();
            self.steps.push(Planned { scope, step: number, name: name.clone(), enters: None });
            let Act::Include { name: other, params } = &step.act else { continue };
            if trail.contains(other) {
                wrong(format!("'{other}' includes itself: {} > {other}", trail.join(" > ")));
                continue;
            }
            if trail.len() >= DEEPEST {
                wrong(format!("runbooks include each other at most {DEEPEST} deep"));
                continue;
            }
            let Some(included) = find(other) else {
                wrong(format!("there is no runbook '{other}'; cmdr runbook ls lists them"));
                continue;
            };
            for what in misfits(&book, &included, params) {
                wrong(what);
            }
            let inner = self.scopes.len();
            self.scopes.push(Scope { book: included, within: Some((scope, params.clone())) });
            trail.push(other.clone());
            for problem in self.add(inner, &format!("{name}/"), find, trail) {
                wrong(format!("in '{other}': {problem}"));
            }
            trail.pop();
            self.steps[place].enters = Some((self.steps.len(), inner));
        }
        problems
    }

    /// The runbook itself.
    pub fn book(&self) -> &Arc<Book> {
        &self.scopes[0].book
    }

    pub(super) fn step(&self, planned: &Planned) -> &Step {
        &self.scopes[planned.scope].book.steps[planned.step]
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// A runbook has steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The texts of all runbooks in it by their names; `root` is what the first one is called by an order.
    pub fn texts(&self, root: &str) -> BTreeMap<String, String> {
        let mut texts: BTreeMap<_, _> = self.scopes[1..]
            .iter()
            .map(|scope| (scope.book.name.clone(), scope.book.text.to_string()))
            .collect();
        texts.insert(root.to_owned(), self.book().text.to_string());
        texts
    }

    /// Whether a step of it is a playbook of Ansible.
    pub fn has_playbook(&self) -> bool {
        self.scopes.iter().any(|scope| scope.book.has_playbook())
    }

    /// Milliseconds before a step is tried again.
    pub fn pause_ms(&self, at: usize) -> u64 {
        self.steps.get(at).map_or(0, |planned| self.step(planned).pause_ms)
    }

    /// The name of a step.
    pub fn name(&self, at: usize) -> &str {
        self.steps.get(at).map_or("", |step| step.name.as_str())
    }

    /// The steps, for people.
    pub fn told(&self) -> Vec<Told> {
        let told = |planned: &Planned| {
            let step = self.step(planned);
            Told {
                name: planned.name.clone(),
                what: if step.title.is_empty() { what(&step.act) } else { step.title.clone() },
                when: step.when.clone().unwrap_or_default(),
                retries: step.retries,
                ignore_errors: step.ignore_errors,
            }
        };
        self.steps.iter().map(told).collect()
    }
}

/// In a few words, what a step does.
pub(super) fn what(act: &Act) -> String {
    match act {
        Act::Command(argv) => argv.join(" "),
        Act::Line(line) => line.trim().to_owned(),
        Act::Script { content, .. } => {
            let lines = content.lines().filter(|line| !line.starts_with("#!")).count();
            format!("a script of {lines} lines")
        }
        Act::Push { to, .. } => format!("push {to}"),
        Act::Packages { action, names } => format!("{action} {}", names.join(" ")),
        Act::Ansible(playbook) => {
            let mode = if playbook.check { ", to see what would change" } else { "" };
            format!("an Ansible playbook{mode}")
        }
        Act::Include { name, .. } => format!("runbook {name}"),
    }
}

/// What is wrong with the parameters that one runbook gives another.
fn misfits(from: &Book, to: &Book, params: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, text) in params {
        let Some(param) = to.params.iter().find(|param| param.name == *name) else {
            let near =
                cmdr_link::settings::nearest(name, to.params.iter().map(|p| p.name.as_str()));
            problems.push(format!("'{}' has no parameter '{name}'{near}", to.name));
            continue;
        };
        let secret = |name: &str| {
            let kind = from.params.iter().find(|param| param.name == name).map(|p| p.limits.kind());
            kind == Some(cmdr_protocol::runbooks::ParamKind::Secret)
        };
        let uses = super::template::names(text).unwrap_or_default();
        let wants = param.limits.kind() == cmdr_protocol::runbooks::ParamKind::Secret;
        if uses.iter().any(|name| secret(name)) && !(wants && whole(text).is_some()) {
            problems.push(format!(
                "a secret can be handed on to a secret parameter alone, not to '{name}'"
            ));
        } else if uses.is_empty()
            && let Err(what) = param.limits.read(text)
        {
            problems.push(format!("the parameter '{name}' of '{}': {what}", to.name));
        }
    }
    for param in &to.params {
        if param.default.is_none() && !params.contains_key(&param.name) {
            problems.push(format!("'{}' needs the parameter '{}'", to.name, param.name));
        }
    }
    problems
}

/// The values of a runbook's parameters, from what was given; else all that is wrong with it.
pub fn values(
    book: &Book,
    given: &BTreeMap<String, Given>,
) -> Result<BTreeMap<String, Value>, String> {
    let (mut values, mut wrong) = (BTreeMap::new(), Vec::new());
    for name in given.keys() {
        if !book.params.iter().any(|param| param.name == *name) {
            let near =
                cmdr_link::settings::nearest(name, book.params.iter().map(|p| p.name.as_str()));
            let name = cmdr_protocol::display::clean_to_width(name, 60);
            wrong.push(format!("there is no parameter '{name}'{near}"));
        }
    }
    for param in &book.params {
        let value = match given.get(&param.name) {
            Some(Given::Text(text)) => param.limits.read(text),
            Some(Given::Int(number)) => param.limits.read(&number.to_string()),
            Some(Given::Bool(yes)) => param.limits.read(if *yes { "true" } else { "false" }),
            Some(Given::List(list)) => {
                param.limits.literal(&super::params::Literal::List(list.clone()))
            }
            None => param.default.clone().ok_or_else(|| {
                let told = param.limits.told();
                let kind = param.limits.kind();
                if told.is_empty() {
                    format!("it has to be given ({kind})")
                } else {
                    format!("it has to be given ({kind}: {told})")
                }
            }),
        };
        match value {
            Ok(value) => drop(values.insert(param.name.clone(), value)),
            Err(what) => wrong.push(format!("the parameter '{}': {what}", param.name)),
        }
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbooks::language::read;

    fn book(text: &str) -> Arc<Book> {
        Arc::new(read(text).unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    fn inner() -> Arc<Book> {
        book(
            "name: inner\nparams:\n- name: port\n  type: number\n- name: word\n  default: x\n\
              steps:\n- name: a\n  command: [a, '{{port}}']\n- name: b\n  line: b\n",
        )
    }

    fn plan(text: &str) -> Result<Plan, Vec<Problem>> {
        Plan::make(book(text), &|name| (name == "inner").then(inner))
    }

    #[test]
    fn what_is_included_stands_in_its_place_under_its_own_names() {
        let plan = plan(
            "name: outer\nsteps:\n- name: first\n  line: x\n- name: in\n  runbook: inner\n  \
             params: {port: 8}\n- name: last\n  line: y\n",
        )
        .unwrap();
        let names: Vec<_> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["first", "in", "in/a", "in/b", "last"]);
        assert_eq!(plan.steps[1].enters, Some((4, 1)));
    }

    #[test]
    fn an_include_that_cannot_work_is_told_where_it_stands() {
        let wrong = |step: &str| {
            let text = format!("name: outer\nsteps:\n- name: x\n{step}");
            plan(&text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(
            wrong("  runbook: gone\n").contains("3:3: there is no runbook 'gone'"),
            "{}",
            wrong("  runbook: gone\n")
        );
        assert!(wrong("  runbook: outer\n").contains("includes itself: outer > outer"));
        assert!(wrong("  runbook: inner\n").contains("needs the parameter 'port'"));
        let said = wrong("  runbook: inner\n  params: {port: x, wrd: y}\n");
        assert!(
            said.contains("'x' is not a whole number") && said.contains("did you mean 'word'"),
            "{said}"
        );
    }

    #[test]
    fn values_are_what_was_given_or_the_defaults_and_everything_wrong_is_told_at_once() {
        let book = inner();
        let given = [("port".to_owned(), Given::Int(80))].into();
        let found = values(&book, &given).unwrap();
        assert_eq!((found["port"].clone(), found["word"].clone()), (80.into(), "x".into()));
        let given = [("prot".to_owned(), Given::Text("80".into()))].into();
        let wrong = values(&book, &given).unwrap_err();
        assert!(
            wrong.contains("did you mean 'port'") && wrong.contains("has to be given (number)"),
            "{wrong}"
        );
    }
}
