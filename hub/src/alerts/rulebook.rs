//! The rules that count: read from their texts, with the hosts that each is for.

use super::Alerts;
use crate::records::prefix;
use crate::server::Hub;
use crate::shelf::{Item, Shelf};
use crate::ssh;
use crate::store::Batch;
use cmdr_protocol::alerts::away::MAX_RULES;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::runbooks::{Problem, Saved, Version};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, HostId, rules as told};
use cmdr_rules::{Catalog, Compiled, Engine, HUB, Rule, defaults, text};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Rules of one fleet.
const MOST: usize = 2000;

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Rulebook {
    rules: BTreeMap<String, Known>,
}

/// A rule.
#[derive(Debug)]
struct Known {
    rule: Arc<Rule>,
    /// Absent when it cannot be read any more.
    compiled: Option<Arc<Compiled>>,
    /// Absent for all hosts.
    selector: Option<Selector>,
    problem: String,
    matched: u32,
}

impl Known {
    fn new(rule: Rule, compiled: Compiled) -> Self {
        let selector = match rule.hosts.trim() {
            "" => Ok(None),
            hosts => Selector::parse(hosts).map(Some),
        };
        let (compiled, selector, problem) = match selector {
            Ok(selector) => (Some(Arc::new(compiled)), selector, String::new()),
            Err(e) => (None, None, format!("hosts: {e}")),
        };
        Self { rule: Arc::new(rule), compiled, selector, problem, matched: 0 }
    }

    fn broken(name: &str, problem: String) -> Self {
        let rule = Rule { name: name.to_owned(), off: true, ..Rule::default() };
        Self { rule: Arc::new(rule), compiled: None, selector: None, problem, matched: 0 }
    }

    /// Whether it is for this host.
    fn means(&self, host: &Host) -> bool {
        self.selector.as_ref().is_none_or(|selector| {
            selector.matches(host) && ssh::means(selector, &self.rule.hosts, host)
        })
    }

    fn of(name: &str, text: &str, catalog: &Catalog) -> Self {
        match text::read(text, catalog) {
            Ok(mut rules) if rules.len() == 1 => {
                let (rule, compiled) = rules.remove(0);
                Self::new(rule, compiled)
            }
            Ok(rules) => Self::broken(name, format!("its text has {} rules", rules.len())),
            Err(problems) => Self::broken(name, listed(&problems)),
        }
    }
}

fn listed(problems: &[cmdr_rules::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong with a text of rules, and what they are.
pub(crate) fn checked(text: &str, catalog: &Catalog) -> Result<Vec<Rule>, Vec<Problem>> {
    let rules = text::read(text, catalog).map_err(|problems| {
        let told =
            |p: cmdr_rules::Problem| Problem { line: p.line, column: p.column, what: p.what };
        problems.into_iter().map(told).collect::<Vec<_>>()
    })?;
    let mut problems = Vec::new();
    for (rule, _) in &rules {
        if !rule.hosts.trim().is_empty()
            && let Err(e) = Selector::parse(&rule.hosts)
        {
            let what = format!("rule {}: hosts: {e}", rule.name);
            problems.push(Problem { what, ..Problem::default() });
        }
    }
    if problems.is_empty() {
        Ok(rules.into_iter().map(|(rule, _)| rule).collect())
    } else {
        Err(problems)
    }
}

impl Rulebook {
    /// Reads all of them; one that cannot be read is there and says why.
    pub(super) fn read(shelf: &Shelf, catalog: &Catalog) -> Self {
        let names: Vec<String> = shelf.held().keys().cloned().collect();
        let mut rules = BTreeMap::new();
        for name in names {
            let known = match shelf.text(&name, None) {
                Ok((_, text)) => Known::of(&name, &text, catalog),
                Err(e) => Known::broken(&name, e.message),
            };
            if !known.problem.is_empty() {
                tracing::error!(rule = name, "the rule is not looked at: {}", known.problem);
            }
            rules.insert(name, known);
        }
        Self { rules }
    }

    /// The instances of a thing whose states rules ask for, other than all of them.
    pub(super) fn picked(&self, thing: &str, catalog: &Catalog) -> Vec<String> {
        let on = self.rules.values().filter(|known| !known.rule.off);
        let compiled = on.filter_map(|known| known.compiled.as_ref());
        let picked: BTreeSet<String> =
            compiled.flat_map(|c| c.picked(thing, catalog).map(str::to_owned)).collect();
        picked.into_iter().collect()
    }

    /// The rules, for the life of alerts.
    pub(super) fn rules(&self) -> Vec<Arc<Rule>> {
        self.rules.values().map(|known| known.rule.clone()).collect()
    }

    /// Whether there is a rule of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rules.contains_key(name)
    }

    /// The rules that this host's agent is to look at itself, each as a text of its own.
    pub(super) fn carried(&self, host: &Host) -> Vec<String> {
        let rules = self.rules.values().filter(|known| {
            let rule = &known.rule;
            rule.also_on_agent && !rule.off && known.compiled.is_some() && known.means(host)
        });
        let written = rules.filter_map(|known| text::write(std::slice::from_ref(&known.rule)).ok());
        written.take(MAX_RULES).collect()
    }

    /// Tells the engine which hosts each rule is for.
    pub(super) fn put(
        &mut self,
        engine: &mut Engine,
        hosts: &[Host],
        known: &HashMap<HostId, cmdr_rules::Host>,
        now: u64,
    ) {
        let itself = engine.host(HUB, now);
        for (name, rule) in &mut self.rules {
            let Some(compiled) = rule.compiled.as_ref().filter(|_| !rule.rule.off) else {
                engine.remove_rule(name);
                rule.matched = 0;
                continue;
            };
            let hosts = hosts
                .iter()
                .filter(|host| rule.means(host))
                .filter_map(|host| known.get(&host.id?).copied());
            let hosts: Vec<_> =
                if compiled.is_about_hub() { vec![itself] } else { hosts.collect() };
            rule.matched = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
            engine.put_rule(name, compiled, &hosts);
        }
    }
}

impl Alerts {
    /// Keeps the rules that come with the product, each once: one that somebody deleted does not come back.
    pub(super) async fn seed(&self) -> Result<(), CallError> {
        let failed = |e: crate::store::StoreError| CallError::failed(e.to_string());
        let seeded: Option<BTreeSet<String>> =
            self.store.get(prefix::RULES_SHIPPED).map_err(failed)?;
        let mut seeded = seeded.unwrap_or_default();
        let rules = defaults::rules(&self.catalog)
            .map_err(|problems| CallError::failed(listed(&problems)))?;
        let mut anew = false;
        for (rule, _) in rules {
            if !seeded.insert(rule.name.clone()) {
                continue;
            }
            anew = true;
            if self.rules.get(&rule.name).is_none() {
                let text = text::write(std::slice::from_ref(&rule)).map_err(CallError::failed)?;
                self.rules.save(&item(&rule, &text, "", None), "").await?;
            }
        }
        if anew {
            let batch = Batch::new().put(prefix::RULES_SHIPPED, &seeded);
            self.store.apply(batch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Reads all rules anew; the machine is told of them with the next step.
    fn reread(&self) {
        let book = Rulebook::read(&self.rules, &self.catalog);
        let units = book.picked("unit", &self.catalog);
        self.units.send_if_modified(|known| {
            let other = *known != units;
            *known = units;
            other
        });
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.book, book);
        for (name, was) in before.rules {
            match inner.book.rules.get_mut(&name) {
                // What is the same is not begun anew.
                Some(known) if known.rule == was.rule && was.compiled.is_some() => {
                    (known.compiled, known.matched) = (was.compiled, was.matched);
                }
                Some(_) => {}
                None => inner.engine.remove_rule(&name),
            }
        }
        inner.of_change = None;
        drop(inner);
        self.carried.send_modify(|version| *version += 1);
    }

    pub(super) async fn changed(&self, hub: &Hub) -> Result<(), CallError> {
        self.reread();
        let done = self
            .act(hub, |inner, now, world| {
                let rules = inner.book.rules();
                let outcome = inner.machine.set_rules(rules, now, world);
                inner.look_at_hosts(world.0, now.mono_ms);
                inner.follow_all();
                Ok(((), outcome))
            })
            .await;
        self.wake.notify_one();
        done.map_err(CallError::failed)
    }

    fn row(&self, name: &str, newest: &Version, counts: (u32, u32)) -> Option<told::Rule> {
        let inner = self.lock();
        let known = inner.book.rules.get(name)?;
        Some(told::Rule {
            matched: known.matched,
            firing: counts.0,
            pending: counts.1,
            problem: known.problem.clone(),
            ..of(&known.rule, newest)
        })
    }

    /// All rules, by name.
    pub(crate) fn rules(&self) -> Vec<told::Rule> {
        let counts = self.counts();
        let newest: Vec<(String, Version)> = self
            .rules
            .held()
            .iter()
            .map(|(name, record)| {
                (name.clone(), record.versions.last().cloned().unwrap_or_default())
            })
            .collect();
        let counted = |name: &str| counts.get(name).copied().unwrap_or_default();
        newest.iter().filter_map(|(name, newest)| self.row(name, newest, counted(name))).collect()
    }

    /// One with its text.
    pub(crate) fn rule(&self, name: &str, version: Option<u64>) -> Result<told::Shown, CallError> {
        let (about, text) = self.rules.text(name, version)?;
        let counts = self.counts().get(name).copied().unwrap_or_default();
        let row = self.row(name, &about, counts).unwrap_or_default();
        let (rule, problems) = match checked(&text, &self.catalog) {
            Ok(rules) => (rules.first().map(|rule| of(rule, &about)), Vec::new()),
            Err(problems) => (None, problems),
        };
        let rule = match rule {
            Some(rule) => told::Rule {
                matched: row.matched,
                firing: row.firing,
                pending: row.pending,
                problem: row.problem,
                ..rule
            },
            None => row,
        };
        Ok(told::Shown { rule, note: about.note, text, problems })
    }

    /// The versions of one, newest first.
    pub(crate) fn rule_versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let record = self.rules.get(name).ok_or_else(|| self.rules.missing(name))?;
        Ok(record.versions.into_iter().rev().collect())
    }

    /// What all rules may speak of.
    pub(crate) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Keeps a rule as the newest version of its name, and goes by it.
    pub(crate) async fn save_rule(
        &self,
        hub: &Hub,
        save: &told::Save,
        by: &str,
    ) -> Result<Saved, CallError> {
        let rules = checked(&save.text, &self.catalog)
            .map_err(|problems| CallError::malformed(crate::runbooks::listed(&problems)))?;
        if save.name.is_empty() {
            return self.save_rules(hub, &rules, save, by).await;
        }
        let [rule] = rules.as_slice() else {
            return Err(CallError::malformed(format!(
                "one rule is saved under a name, and the text has {}",
                rules.len()
            )));
        };
        if rule.name != save.name {
            return Err(CallError::malformed(format!(
                "the text says 'name: {}', and it was to be saved as '{}'",
                rule.name,
                cmdr_protocol::display::clean_to_width(&save.name, 60)
            )));
        }
        if self.rules.get(&rule.name).is_none() && self.rules.held().len() >= MOST {
            return Err(CallError::malformed(format!("there are {MOST} rules; delete some first")));
        }
        let saved = self.rules.save(&item(rule, &save.text, &save.note, save.was), by).await?;
        if !saved.unchanged {
            self.changed(hub).await?;
        }
        Ok(saved)
    }

    /// Keeps each rule of a text under its own name.
    async fn save_rules(
        &self,
        hub: &Hub,
        rules: &[Rule],
        save: &told::Save,
        by: &str,
    ) -> Result<Saved, CallError> {
        if rules.len() + self.rules.held().len() > MOST {
            return Err(CallError::malformed(format!("a hub has {MOST} rules at most")));
        }
        let mut unchanged = true;
        for rule in rules {
            let text = text::write(std::slice::from_ref(rule)).map_err(CallError::failed)?;
            let same = self.rules.text(&rule.name, None).is_ok_and(|(_, kept)| {
                text::read(&kept, &self.catalog).is_ok_and(|kept| kept[0].0 == *rule)
            });
            if !same {
                self.rules.save(&item(rule, &text, &save.note, None), by).await?;
                unchanged = false;
            }
        }
        if !unchanged {
            self.changed(hub).await?;
        }
        Ok(Saved { version: 0, unchanged })
    }

    /// Switches a rule off or on.
    pub(crate) async fn switch_rule(
        &self,
        hub: &Hub,
        name: &str,
        off: bool,
        by: &str,
    ) -> Result<Saved, CallError> {
        let (about, kept) = self.rules.text(name, None)?;
        let mut rules = text::read(&kept, &self.catalog)
            .map_err(|problems| CallError::failed(listed(&problems)))?;
        let Some((rule, _)) = rules.first_mut().filter(|(rule, _)| rule.off != off) else {
            return Ok(Saved { version: about.version, unchanged: true });
        };
        rule.off = off;
        let text = switched(&kept, off, rule, &self.catalog)?;
        let note = if off { "switched off" } else { "switched on" };
        let saved = self.rules.save(&item(rule, &text, note, Some(about.version)), by).await?;
        self.changed(hub).await?;
        Ok(saved)
    }

    /// Removes a rule; its alerts end.
    pub(crate) async fn delete_rule(&self, hub: &Hub, name: &str) -> Result<(), CallError> {
        if !self.rules.delete(name).await? {
            return Err(self.rules.missing(name));
        }
        self.changed(hub).await
    }
}

/// The text with the rule switched: as somebody wrote it where that is possible, comments and all.
fn switched(kept: &str, off: bool, rule: &Rule, catalog: &Catalog) -> Result<String, CallError> {
    let lines: Vec<&str> = kept.lines().collect();
    let is_off = |line: &&str| {
        let bare = line.trim_start_matches([' ', '-']);
        bare.starts_with("off:")
    };
    let indent = lines.iter().find_map(|line| {
        let bare = line.trim_start_matches([' ', '-']);
        bare.starts_with("when:").then(|| line.chars().count() - bare.chars().count())
    });
    let mut out: Vec<String> = Vec::new();
    for line in &lines {
        if is_off(line) && !line.trim_start().starts_with('-') {
            continue;
        }
        out.push((*line).to_owned());
        let bare = line.trim_start_matches([' ', '-']);
        if off && bare.starts_with("name:") {
            out.push(format!("{}off: true", " ".repeat(indent.unwrap_or(4))));
        }
    }
    let text = out.join("\n") + "\n";
    let same = |rules: Vec<(Rule, Compiled)>| rules.len() == 1 && rules[0].0 == *rule;
    if text::read(&text, catalog).is_ok_and(same) {
        return Ok(text);
    }
    text::write(std::slice::from_ref(rule)).map_err(CallError::failed)
}

fn item<'a>(rule: &'a Rule, text: &'a str, note: &'a str, was: Option<u64>) -> Item<'a> {
    Item {
        name: &rule.name,
        text,
        note,
        description: &rule.description,
        parts: 1,
        was,
        sealed: None,
        anew: false,
    }
}

fn of(rule: &Rule, version: &Version) -> told::Rule {
    told::Rule {
        name: rule.name.clone(),
        description: crate::shelf::shortened(&rule.description),
        hosts: rule.hosts.clone(),
        when: rule.when.clone(),
        hold_ms: rule.hold.0,
        severity: rule.severity.into(),
        off: rule.off,
        also_on_agent: rule.also_on_agent,
        version: version.version,
        saved_ms: version.saved_ms,
        saved_by: version.saved_by.clone(),
        ..told::Rule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_switched_off_and_on_again_with_its_comments() {
        let catalog = Catalog::standard();
        let text = "# ours\nrules:\n  - name: hot\n    when: cpu.busy > 90% # much\n    for: 1m\n";
        let read = |text: &str| text::read(text, &catalog).unwrap().remove(0).0;
        let mut rule = read(text);
        rule.off = true;
        let off = switched(text, true, &rule, &catalog).unwrap();
        assert!(off.starts_with("# ours") && off.contains("# much"), "{off}");
        assert_eq!(read(&off), rule);
        rule.off = false;
        assert_eq!(switched(&off, false, &rule, &catalog).unwrap(), text);
        // Written in one line it is written anew.
        let flow = "rules: [{name: hot, when: cpu.busy > 90%, for: 1m}]\n";
        rule.off = true;
        assert_eq!(read(&switched(flow, true, &rule, &catalog).unwrap()), rule);
    }

    #[test]
    fn a_selector_that_is_none_is_a_problem_of_the_rule() {
        let text = "rules:\n- name: hot\n  hosts: 'a,,b'\n  when: cpu.busy > 90%\n";
        let problems = checked(text, &Catalog::standard()).unwrap_err();
        assert!(problems[0].what.starts_with("rule hot: hosts:"), "{problems:?}");
    }
}
