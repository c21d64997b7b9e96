//! The way of one host through a plan: which step comes next, what it is there, and what came of it.
//!
//! Nothing here waits, sends or stores: whoever has a [`Progress`] asks for the [`Next`] step, does it, and tells
//! what came of it. A progress says everything, so it can be kept and gone on with by another hub.

use super::language::{Act, Step};
use super::plan::{Plan, Planned};
use super::shell::{self, Sort, variable};
use super::template::{self, Context, whole};
use crate::playbooks::Play;
use cmdr_protocol::configs::FileWanted;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::runbooks::{ParamKind, StepResult, StepState};
use cmdr_protocol::runs::{Command, Line, MAX_PACKAGES, Order, Packages, Push, Script};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bytes of a step's output that later steps can look at: its end.
pub const OUTPUT: usize = 4096;

/// Gives the value of a secret by its name.
pub type Secrets<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// How far a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The step that comes next, or that failed.
    pub at: u32,
    /// How often it was tried.
    pub tries: u32,
    /// Why it goes no further; empty while it does.
    pub stopped: String,
    /// What came of the steps before.
    pub done: Vec<Done>,
}

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// How it ended.
    pub state: StepState,
    /// Its exit code.
    pub code: Option<i32>,
    /// It changed something, as far as is known.
    pub changed: bool,
    /// The end of what it wrote.
    pub output: String,
    /// Why it failed or was skipped.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
    /// How long it ran the last time, in milliseconds.
    pub took_ms: u64,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This step, after so many milliseconds.
    Do {
        /// Where it stands in the plan.
        step: usize,
        /// To wait before.
        pause_ms: u64,
        /// What is to be done.
        task: Box<Task>,
    },
    /// Nothing: all steps are done.
    Over,
    /// Nothing: a step failed, and this is why.
    Failed(String),
    /// Nothing: the host is not one that the runbook is for.
    Refused(String),
}

/// A step, as it is for one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// For the agent. That of a push names no file yet.
    pub order: Order,
    /// What goes into the file of a push.
    pub content: Option<Vec<u8>>,
    /// A playbook in the place of an order: the hub does it itself.
    pub play: Option<Box<Play>>,
}

/// What came of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It did what it should.
    pub ok: bool,
    /// Its exit code.
    pub code: Option<i32>,
    /// Nothing had to be done.
    pub already: bool,
    /// What it wrote, or the end of that.
    pub output: Vec<u8>,
    /// Why it failed, where the code does not say it.
    pub why: String,
    /// Milliseconds from its beginning to its end.
    pub took_ms: u64,
}

/// A host on its way.
pub struct Walk<'a> {
    /// Where it goes.
    pub plan: &'a Plan,
    /// Values of the runbook's own parameters.
    pub values: &'a BTreeMap<String, Value>,
    /// The host.
    pub host: &'a Host,
    /// Where secrets come from.
    pub secrets: Secrets<'a>,
}

impl Progress {
    /// Tells what came of the step that was next.
    pub fn took(&mut self, plan: &Plan, outcome: &Outcome) {
        let Some(planned) = plan.steps.get(self.at as usize) else { return };
        let step = plan.step(planned);
        let bytes = &outcome.output[outcome.output.len().saturating_sub(OUTPUT)..];
        let mut done = Done {
            state: StepState::Ok,
            code: outcome.code,
            changed: outcome.ok && !outcome.already,
            output: String::from_utf8_lossy(bytes).trim_end().to_owned(),
            why: outcome.why.clone(),
            tries: self.tries + 1,
            took_ms: outcome.took_ms,
        };
        if outcome.ok {
            return self.record(done);
        }
        if self.tries < step.retries {
            self.tries += 1;
            return;
        }
        if done.why.is_empty() {
            done.why = done.code.map_or("it failed".to_owned(), |code| format!("exit code {code}"));
        }
        if step.ignore_errors {
            done.state = StepState::Ignored;
            return self.record(done);
        }
        done.state = StepState::Failed;
        self.fail(planned, done);
    }

    fn fail(&mut self, planned: &Planned, done: Done) {
        self.stopped = format!("step {} failed: {}", planned.name, done.why);
        self.done.push(done);
    }

    fn record(&mut self, done: Done) {
        self.done.push(done);
        (self.at, self.tries) = (self.at + 1, 0);
    }

    /// Goes on at the step that failed.
    pub fn restart(&mut self) {
        self.done.truncate(self.at as usize);
        (self.tries, self.stopped) = (0, String::new());
    }

    /// The steps and what came of them, for people.
    pub fn told(&self, plan: &Plan, running: bool) -> Vec<StepResult> {
        let told = |(n, planned): (usize, &Planned)| {
            let done = self.done.get(n).cloned().unwrap_or_default();
            let state = match self.done.get(n) {
                Some(done) => done.state,
                None if running && n == self.at as usize => StepState::Running,
                None => StepState::Waiting,
            };
            let tries = if state == StepState::Running { self.tries + 1 } else { done.tries };
            StepResult {
                name: planned.name.clone(),
                state,
                code: done.code,
                changed: done.changed,
                why: done.why,
                output: done.output,
                tries,
                took_ms: done.took_ms,
            }
        };
        plan.steps.iter().enumerate().map(told).collect()
    }
}

impl Walk<'_> {
    /// What is to be done next. Steps that are not done here are noted as skipped on the way.
    pub fn next(&self, progress: &mut Progress) -> Next {
        loop {
            if !progress.stopped.is_empty() {
                return Next::Failed(progress.stopped.clone());
            }
            if progress.at == 0
                && progress.tries == 0
                && let Err(why) = self.fits(0, progress)
            {
                return Next::Refused(why);
            }
            let at = progress.at as usize;
            let Some(planned) = self.plan.steps.get(at) else { return Next::Over };
            let step = self.plan.step(planned);
            match self.begin(planned, step, progress) {
                Ok(Some(task)) => {
                    let pause_ms = if progress.tries == 0 { 0 } else { step.pause_ms };
                    return Next::Do { step: at, pause_ms, task: Box::new(task) };
                }
                Ok(None) => {}
                Err(why) => {
                    let state =
                        if step.ignore_errors { StepState::Ignored } else { StepState::Failed };
                    let done = Done { state, why, ..Done::default() };
                    if step.ignore_errors {
                        progress.record(done);
                    } else {
                        progress.fail(planned, done);
                    }
                }
            }
        }
    }

    /// A task, or nothing when the step is over with that.
    fn begin(
        &self,
        planned: &Planned,
        step: &Step,
        progress: &mut Progress,
    ) -> Result<Option<Task>, String> {
        let names = self.names(planned.scope, progress)?;
        let wanted = match &step.when {
            // What has begun is gone on with.
            Some(when) if progress.tries == 0 => template::holds(when, &names)
                .map_err(|e| format!("its 'when' cannot be told: {e}"))?,
            _ => true,
        };
        if !wanted {
            let why = format!("not {}", step.when.as_deref().unwrap_or_default());
            let until = planned.enters.map_or(progress.at + 1, |(until, _)| until as u32);
            while progress.at < until {
                progress.record(Done {
                    state: StepState::Skipped,
                    why: why.clone(),
                    ..Done::default()
                });
            }
            return Ok(None);
        }
        if let Some((_, scope)) = planned.enters {
            self.fits(scope, progress)?;
            progress.record(Done { state: StepState::Ok, ..Done::default() });
            return Ok(None);
        }
        self.task(planned.scope, step, &names).map(Some)
    }

    /// The files that a config group puts on this host, whatever its conditions are: what goes where, and whether
    /// there is a secret in it, which is not told then.
    pub fn files(&self) -> Vec<FileWanted> {
        let names = match self.names(0, &Progress::default()) {
            Ok(names) => names,
            Err(problem) => return vec![FileWanted { problem, ..FileWanted::default() }],
        };
        let wanted = |step: &Step| {
            let Act::Push { to, content, mode, owner } = &step.act else { return None };
            let mut wanted = FileWanted { path: to.clone(), mode: *mode, ..FileWanted::default() };
            let used = template::names(content).unwrap_or_default();
            wanted.secret = used.iter().any(|name| self.is_secret(0, name));
            let mut fill = || -> Result<(), String> {
                wanted.path = template::render(to, &names)?;
                wanted.owner = template::render(owner, &names)?;
                if !wanted.secret {
                    wanted.content = Some(template::render(content, &names)?.into_bytes());
                }
                Ok(())
            };
            if let Err(problem) = fill() {
                wanted.problem = problem;
            }
            Some(wanted)
        };
        self.plan.book().steps.iter().filter_map(wanted).collect()
    }

    /// Whether a runbook is for this host.
    fn fits(&self, scope: usize, progress: &Progress) -> Result<(), String> {
        let book = &self.plan.scopes[scope].book;
        let Some(requires) = &book.requires else { return Ok(()) };
        let names = self.names(scope, progress)?;
        match template::holds(requires, &names) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "the runbook '{}' is not for this host: it requires {requires}",
                book.name
            )),
            Err(e) => Err(format!("what the runbook '{}' requires cannot be told: {e}", book.name)),
        }
    }

    /// What names stand for in a runbook; secrets are not among them.
    fn names(&self, scope: usize, progress: &Progress) -> Result<Context, String> {
        let mut names: Context = self
            .params(scope, progress)?
            .into_iter()
            .filter(|(name, _)| !self.is_secret(scope, name))
            .collect();
        for (key, value) in super::facts::of(self.host) {
            names.insert(key, value);
        }
        let mut steps = serde_json::Map::new();
        for (planned, done) in self.plan.steps.iter().zip(&progress.done) {
            if planned.scope == scope {
                steps.insert(self.plan.step(planned).name.clone(), seen(done));
            }
        }
        names.insert("step".to_owned(), Value::Object(steps));
        for (name, is) in &self.plan.scopes[scope].book.vars {
            let value =
                template::value(is, &names).map_err(|e| format!("the var '{name}': {e}"))?;
            names.insert(name.clone(), value);
        }
        Ok(names)
    }

    /// The parameters of a runbook; of secrets, the names.
    fn params(&self, scope: usize, progress: &Progress) -> Result<BTreeMap<String, Value>, String> {
        let Some((outer, given)) = &self.plan.scopes[scope].within else {
            return Ok(self.values.clone());
        };
        let book = &self.plan.scopes[scope].book;
        let (names, handed) = (self.names(*outer, progress)?, self.params(*outer, progress)?);
        let mut values = BTreeMap::new();
        for param in &book.params {
            let wrong =
                |what: String| format!("the parameter '{}' of '{}': {what}", param.name, book.name);
            let value = match given.get(&param.name) {
                None => {
                    param.default.clone().ok_or_else(|| wrong("it has to be given".to_owned()))?
                }
                Some(text) => match whole(text) {
                    Some(name) if self.is_secret(*outer, name) => handed
                        .get(name)
                        .and_then(Value::as_str)
                        .ok_or_else(|| wrong("the secret is not given".to_owned()))
                        .and_then(|name| param.limits.read(name).map_err(wrong))?,
                    Some(name) if matches!(template::find(&names, name), Some(Value::Array(_))) => {
                        let list = template::find(&names, name).map(strings).unwrap_or_default();
                        param.limits.literal(&super::params::Literal::List(list)).map_err(wrong)?
                    }
                    _ => template::render(text, &names)
                        .and_then(|text| param.limits.read(&text))
                        .map_err(wrong)?,
                },
            };
            values.insert(param.name.clone(), value);
        }
        Ok(values)
    }

    fn is_secret(&self, scope: usize, name: &str) -> bool {
        let params = &self.plan.scopes[scope].book.params;
        params.iter().any(|param| param.name == name && param.limits.kind() == ParamKind::Secret)
    }

    /// The same names with the secrets that one of these texts uses.
    fn with_secrets(
        &self,
        scope: usize,
        names: &Context,
        texts: &[&str],
    ) -> Result<Context, String> {
        let mut all = names.clone();
        let progress = Progress::default();
        for param in &self.plan.scopes[scope].book.params {
            let name = &param.name;
            let used = |text: &&str| text.contains(name.as_str()) || text.contains(&variable(name));
            if !self.is_secret(scope, name) || !texts.iter().any(used) {
                continue;
            }
            let params = self.params(scope, &progress)?;
            let key = params.get(name).and_then(Value::as_str).unwrap_or_default();
            all.insert(name.clone(), Value::String((self.secrets)(key)?));
        }
        Ok(all)
    }

    fn task(&self, scope: usize, step: &Step, names: &Context) -> Result<Task, String> {
        let mut task = Task::default();
        let order = &mut task.order;
        let render = |text: &String| template::render(text, names);
        order.user = step.user.as_ref().map(render).transpose()?;
        order.cwd = step.cwd.as_ref().map(render).transpose()?;
        order.timeout_ms = step.timeout_ms;
        if !step.env.is_empty() {
            let texts: Vec<_> = step.env.values().map(String::as_str).collect();
            let all = self.with_secrets(scope, names, &texts)?;
            for (key, value) in &step.env {
                order.env.insert(key.clone(), template::render(value, &all)?);
            }
        }
        match &step.act {
            Act::Command(argv) => order.command = Some(Command { argv: words(argv, names)? }),
            Act::Line(text) => {
                let all = self.with_secrets(scope, names, &[text])?;
                let text = environment(text, &all, &mut order.env)?;
                order.line = Some(Line { text });
            }
            Act::Script { content, args } => {
                let all = self.with_secrets(scope, names, &[content])?;
                let content = environment(content, &all, &mut order.env)?.into_bytes();
                let (name, args) = (step.name.clone(), words(args, names)?);
                order.script = Some(Script { name, content, args, ..Script::default() });
            }
            Act::Push { to, content, mode, owner } => {
                let all = self.with_secrets(scope, names, &[content])?;
                let (path, owner) = (render(to)?, render(owner)?);
                order.push = Some(Push { path, owner, mode: *mode, ..Push::default() });
                task.content = Some(template::render(content, &all)?.into_bytes());
            }
            Act::Packages { action, names: packages } => {
                let packages = words(packages, names)?;
                if packages.len() > MAX_PACKAGES {
                    return Err(format!("more than {MAX_PACKAGES} packages"));
                }
                order.packages = Some(Packages { action: *action, names: packages });
            }
            Act::Ansible(playbook) => {
                let texts: Vec<_> = playbook.vars.values().map(String::as_str).collect();
                let all = self.with_secrets(scope, names, &texts)?;
                task.play = Some(Box::new(Play {
                    playbook: playbook.text.clone(),
                    files: playbook.files.clone(),
                    vars: given(&playbook.vars, &all)?,
                    tags: playbook.tags.clone(),
                    skip_tags: playbook.skip_tags.clone(),
                    check: playbook.check,
                    diff: playbook.diff,
                    user: order.user.take(),
                    timeout_ms: order.timeout_ms,
                }));
            }
            Act::Include { .. } => {
                return Err("an included runbook is no step of its own".to_owned());
            }
        }
        Ok(task)
    }
}

/// What later steps can know of one.
fn seen(done: &Done) -> Value {
    let failed = matches!(done.state, StepState::Failed | StepState::Ignored);
    json!({
        "ok": done.state == StepState::Ok,
        "failed": failed,
        "skipped": done.state == StepState::Skipped,
        "changed": done.changed,
        "code": done.code,
        "output": done.output,
        "error": if failed { done.why.as_str() } else { "" },
    })
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(plain).collect()
}

/// A value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Words of a command. A list alone in a word becomes as many words; everything else stays one.
fn words(texts: &[String], names: &Context) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for text in texts {
        match whole(text).and_then(|name| template::find(names, name)) {
            Some(list @ Value::Array(_)) => words.extend(strings(list)),
            _ => words.push(template::render(text, names)?),
        }
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("a word has a NUL byte".to_owned());
    }
    Ok(words)
}

/// Variables of a playbook. What stands alone stays what it is: a number, a list.
fn given(
    vars: &BTreeMap<String, String>,
    names: &Context,
) -> Result<BTreeMap<String, Value>, String> {
    let value = |text: &String| match whole(text).and_then(|name| template::find(names, name)) {
        Some(value) => Ok(value.clone()),
        None => template::render(text, names).map(Value::String),
    };
    vars.iter().map(|(key, text)| Ok((key.clone(), value(text)?))).collect()
}

/// A text for a shell with references to variables, and the variables.
fn environment(
    text: &str,
    names: &Context,
    env: &mut BTreeMap<String, String>,
) -> Result<String, String> {
    let sort = |name: &str| match template::find(names, name) {
        None => Err(format!("there is no '{name}' on this host")),
        Some(Value::Array(list)) => Ok(Sort::Many(list.len())),
        Some(Value::Number(_)) => Ok(Sort::Number),
        Some(_) => Ok(Sort::One),
    };
    let mut used: Vec<String> = Vec::new();
    let text = if shell::is_shell(text) {
        let shell = shell::refer(text, &sort).map_err(|(_, why)| why)?;
        used.extend(shell.names);
        shell.text
    } else {
        text.to_owned()
    };
    // Those that are read without braces.
    used.extend(names.keys().filter(|name| text.contains(&variable(name))).cloned());
    for name in used {
        let Some(value) = template::find(names, &name) else { continue };
        let variable = variable(&name);
        if let Value::Array(list) = value {
            for (n, value) in list.iter().enumerate() {
                env.insert(format!("{variable}_{}", n + 1), plain(value));
            }
            env.insert(variable, strings(value).join("\n"));
        } else {
            env.insert(variable, plain(value));
        }
    }
    if env.values().any(|value| value.contains('\0')) {
        return Err("a value has a NUL byte".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
