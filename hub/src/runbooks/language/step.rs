//! Steps of a runbook: what each does, and what may be said about it.

use super::super::problem;
use super::super::raw;
use super::super::template;
use super::{Act, LONGEST_MS, MAX_RETRIES, PAUSE_MS, Reader, Step, span_ms};
use cmdr_protocol::runbooks::check_name;
use cmdr_protocol::runs::{Action, MAX_PACKAGES};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

impl Reader<'_> {
    fn span(&mut self, text: Option<Spanned<String>>) -> Option<u64> {
        let text = text?;
        match span_ms(&text.value) {
            Some(ms) if (1..=LONGEST_MS).contains(&ms) => return Some(ms),
            Some(_) => self.wrong(text.referenced, "here should be a time of 1ms to 24h"),
            None => self.wrong(text.referenced, "here should be a time: 500ms, 30s, 5m, 1h"),
        }
        None
    }

    pub(super) fn step(&mut self, step: Spanned<raw::Step>) -> Option<Step> {
        let (at, step) = (step.referenced, step.value);
        let when = step.when.clone().map(|when| self.condition(when));
        let (retries, name) = (step.retries.clone(), step.name.clone());
        let runs = step.line.is_some() || step.command.is_some() || step.script.is_some();
        let (include, ansible) = (step.runbook.is_some(), step.ansible.is_some());
        for (key, there, fits) in [
            ("user", step.user.as_ref().map(|s| s.referenced), runs || ansible),
            ("cwd", step.cwd.as_ref().map(|s| s.referenced), runs),
            ("env", step.env.values().next().map(|s| s.referenced), runs),
            ("args", step.args.first().map(|s| s.referenced), step.script.is_some()),
            ("params", step.params.values().next().map(|s| s.referenced), include),
            ("retries", step.retries.as_ref().map(|s| s.referenced), !include),
            ("timeout", step.timeout.as_ref().map(|s| s.referenced), !include),
        ] {
            if let (Some(place), false) = (there, fits) {
                self.wrong(place, format!("a step of this kind has no '{key}'"));
            }
        }
        if include && step.ignore_errors {
            self.wrong(
                at,
                "a step that includes a runbook has no 'ignore_errors'; steps within it may",
            );
        }
        let pause_ms = self.span(step.pause.clone()).unwrap_or(PAUSE_MS);
        let timeout_ms = self.span(step.timeout.clone());
        let user = step.user.clone().and_then(|user| self.template(user, true));
        let cwd = step.cwd.clone().and_then(|cwd| self.template(cwd, true));
        let mut env = BTreeMap::new();
        for (key, value) in &step.env {
            let at = value.referenced;
            let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if key.is_empty()
                || !key.bytes().all(fine)
                || key.starts_with("CMDR_")
                || key.as_bytes()[0].is_ascii_digit()
            {
                self.wrong(at, "the name of a variable has letters, digits and '_', and begins with no digit and not with CMDR_");
            }
            if let Some(value) = self.template(value.clone(), false) {
                env.insert(key.clone(), value);
            }
        }
        let (title, ignore_errors) = (step.title.clone(), step.ignore_errors);
        let act = self.act(at, step);
        let retries = retries.map_or(0, |retries| {
            if retries.value > MAX_RETRIES {
                self.wrong(retries.referenced, format!("at most {MAX_RETRIES} times"));
            }
            retries.value
        });
        self.step_name(&name);
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        let place = problem::at(at, "");
        Some(Step {
            name: name.value,
            title,
            when,
            act: act?,
            retries,
            pause_ms,
            timeout_ms,
            ignore_errors,
            user,
            cwd,
            env,
            line: place.line,
            column: place.column,
        })
    }

    fn step_name(&mut self, name: &Spanned<String>) {
        let text = &name.value;
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty()
            || text.len() > 40
            || !text.bytes().all(letter)
            || text.as_bytes()[0].is_ascii_digit()
        {
            let what = "the name of a step has 1 to 40 small letters, digits and '_', and begins with no digit; \
                        'title' is for people";
            self.wrong(name.referenced, what);
        } else if !self.names.steps.insert(text.clone()) {
            self.wrong(name.referenced, format!("two steps are called '{text}'"));
        }
    }

    fn act(&mut self, at: Location, step: raw::Step) -> Option<Act> {
        let kinds = [
            ("line", step.line.is_some()),
            ("command", step.command.is_some()),
            ("script", step.script.is_some()),
            ("push", step.push.is_some()),
            ("packages", step.packages.is_some()),
            ("ansible", step.ansible.is_some()),
            ("runbook", step.runbook.is_some()),
        ];
        let there: Vec<_> = kinds.iter().filter(|kind| kind.1).map(|kind| kind.0).collect();
        if there.len() != 1 {
            let has = if there.is_empty() { "none".to_owned() } else { there.join(" and ") };
            let all: Vec<_> = kinds.iter().map(|kind| kind.0).collect();
            self.wrong(
                at,
                format!("a step does one thing: {}; this one has {has}", all.join(", ")),
            );
            return None;
        }
        if let Some(line) = step.line {
            if line.value.trim_end_matches('\n').contains('\n') {
                self.wrong(line.referenced, "a line is one line; for more of them use 'script'");
            }
            return self.shell(&line).map(Act::Line);
        }
        if let Some(words) = step.command {
            if words.first().is_none_or(|word| word.value.is_empty()) {
                self.wrong(at, "the command names no program");
            }
            return self.templates(words).map(Act::Command);
        }
        if let Some(script) = step.script {
            let args = self.templates(step.args);
            return Some(Act::Script { content: self.shell(&script)?, args: args? });
        }
        if let Some(push) = step.push {
            return self.push(push.value);
        }
        if let Some(packages) = step.packages {
            return self.packages(packages.referenced, packages.value);
        }
        if let Some(ansible) = step.ansible {
            return self.ansible(ansible.value);
        }
        if let Some(name) = step.runbook {
            self.take(name.referenced, check_name(&name.value));
            let mut params = BTreeMap::new();
            for (key, value) in step.params {
                params.insert(key, self.template(value, false)?);
            }
            return Some(Act::Include { name: name.value, params });
        }
        None
    }

    pub(super) fn push(&mut self, push: raw::Push) -> Option<Act> {
        let to = push.to.clone();
        if !to.value.starts_with('/') && !to.value.starts_with("{{") {
            self.wrong(to.referenced, "here should be a whole path, which begins with '/'");
        }
        let to = self.template(to, true);
        let mode = match &push.mode {
            Some(mode) => match u32::from_str_radix(&mode.value, 8) {
                Ok(bits) if bits <= 0o7777 && mode.value.len() >= 3 => Some(bits),
                _ => {
                    self.wrong(mode.referenced, "here should be permissions: 0644");
                    None
                }
            },
            None => None,
        };
        let secret = template::names(&push.content.value)
            .is_ok_and(|names| names.iter().any(|name| self.names.secret.contains(name)));
        if secret && mode.is_none_or(|mode| mode & 0o077 != 0) {
            let what = "a secret goes into this file: say 'mode: 0600', so that its owner alone can read it";
            self.wrong(push.content.referenced, what);
        }
        let content = self.template(push.content, false);
        let owner = push.owner.map(|owner| self.template(owner, true));
        let group = push.group.map(|group| self.template(group, true));
        let owner = match (owner, group) {
            (None, None) => String::new(),
            (Some(owner), None) => owner?,
            (owner, Some(group)) => {
                format!("{}:{}", owner.unwrap_or_else(|| Some(String::new()))?, group?)
            }
        };
        Some(Act::Push { to: to?, content: content?, mode, owner })
    }

    fn packages(&mut self, at: Location, packages: raw::Packages) -> Option<Act> {
        let parts = [
            (Action::Install, packages.install),
            (Action::Remove, packages.remove),
            (Action::Upgrade, packages.upgrade),
        ];
        let mut there: Vec<_> =
            parts.into_iter().filter_map(|(a, names)| Some((a, names?))).collect();
        let (Some((action, names)), true) = (there.pop(), there.is_empty()) else {
            self.wrong(
                at,
                "here should be one of install, remove and upgrade, with a list of packages",
            );
            return None;
        };
        if names.is_empty() && action != Action::Upgrade || names.len() > MAX_PACKAGES {
            self.wrong(at, format!("here should be 1 to {MAX_PACKAGES} packages"));
        }
        Some(Act::Packages { action, names: self.templates(names)? })
    }
}
