//! Runs whose order is a runbook: each step is an attempt of its target, under a name of its own. What came of one is
//! on disk together with the end of that attempt, so whoever goes on with the run goes on at the next step; a retry goes
//! on at the one that failed.

use super::live::{Inner, Live};
use super::playbooks::UNKNOWN;
use super::segments::{Place, Reader};
use super::{Runs, environment};
use crate::playbooks::Play;
use crate::runbooks::{
    Done, Next, OUTPUT, Outcome, Plan, Progress, Task, Walk, read, read_config, values,
};
use crate::server::Hub;
use cmdr_protocol::CallError;
use cmdr_protocol::configs;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::orders::Report;
use cmdr_protocol::runbooks::StepResult;
use cmdr_protocol::runs::{Halt, Order, Start, TargetState, Waves};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the targets of a run go through.
#[derive(Debug)]
pub(crate) struct Book {
    plan: Plan,
    values: BTreeMap<String, Value>,
}

/// How far a target is.
#[derive(Debug, Default)]
pub(super) struct Stand {
    progress: Progress,
    /// Results that are on disk, or being written.
    kept: usize,
    /// The end of what this step has printed.
    tail: Vec<u8>,
}

/// What came of steps since the last record of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepsRecord {
    /// As [`Progress::at`].
    #[serde(rename = "a")]
    pub at: u32,
    /// As [`Progress::tries`].
    #[serde(rename = "t")]
    pub tries: u32,
    /// As [`Progress::stopped`].
    #[serde(rename = "s", skip_serializing_if = "String::is_empty")]
    pub stopped: String,
    /// Results from this one on.
    #[serde(rename = "f")]
    pub from: u32,
    /// The results.
    #[serde(rename = "d", skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<Done>,
}

impl Stand {
    /// Notes what a step prints.
    pub(super) fn printed(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let over = self.tail.len().saturating_sub(OUTPUT);
        self.tail.drain(..over);
    }

    /// With what it has printed according to the disk, when this hub has not heard it itself.
    pub(super) fn is_back(&mut self, printed: Option<Vec<u8>>) {
        if let (true, Some(printed)) = (self.tail.is_empty(), printed) {
            self.printed(&printed);
        }
    }

    /// What is to be written of it.
    pub(super) fn news(&mut self) -> StepsRecord {
        let Progress { at, tries, stopped, done } = &self.progress;
        let from = self.kept.min(done.len());
        self.kept = done.len();
        StepsRecord {
            at: *at,
            tries: *tries,
            stopped: stopped.clone(),
            from: from as u32,
            done: done[from..].to_vec(),
        }
    }

    /// Takes in what was written.
    pub(super) fn replay(&mut self, record: &StepsRecord) {
        self.progress.done.truncate(record.from as usize);
        self.progress.done.extend(record.done.iter().cloned());
        self.kept = self.progress.done.len();
        (self.progress.at, self.progress.tries) = (record.at, record.tries);
        self.progress.stopped.clone_from(&record.stopped);
        self.tail.clear();
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// All results.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Done> {
        self.progress.done.clone()
    }

    /// Goes on at the step that failed.
    pub(super) fn restart(&mut self) {
        self.progress.restart();
        self.kept = self.kept.min(self.progress.done.len());
        self.tail.clear();
    }
}

/// What a target does when an attempt of it has ended.
pub(super) enum After {
    /// It has its end, in this state and for this reason.
    Ends(TargetState, String),
    /// It goes on with another attempt, after so many milliseconds.
    GoesOn(u64),
}

impl Book {
    /// What an order that was pinned means; nothing for every other order.
    pub(super) fn of(order: &Order) -> Option<Result<Arc<Self>, String>> {
        let runbook = order.runbook.as_ref()?;
        let find = |name: &str| {
            let text = runbook.texts.get(name)?;
            let book =
                if name.starts_with(configs::ORDER) { read_config(text) } else { read(text) };
            book.ok().map(Arc::new)
        };
        let made = || -> Result<Arc<Self>, String> {
            let book =
                find(&runbook.name).ok_or("the runbook of the run cannot be read any more")?;
            let plan = Plan::make(book, &find)
                .map_err(|_| "what the runbook of the run includes cannot be read any more")?;
            let values = values(plan.book(), &runbook.params)?;
            Ok(Arc::new(Self { plan, values }))
        };
        Some(made())
    }

    /// Takes in how an attempt ended.
    pub(super) fn after(&self, stand: &mut Stand, report: &Report) -> After {
        let ok = match report.state {
            TargetState::Ok => true,
            TargetState::Failed | TargetState::TimedOut => false,
            // Nobody knows, or nobody wants it any more: that is no matter of retries.
            state => return After::Ends(state, String::new()),
        };
        let code = report.code.or_else(|| report.signal.map(|s| 128_i32.saturating_add(s)));
        let mut why = cmdr_protocol::display::clean_to_width(&report.message, 200);
        if why.is_empty() && report.state == TargetState::TimedOut {
            "its time was over".clone_into(&mut why);
        }
        let outcome = Outcome {
            ok,
            code,
            already: report.already,
            output: std::mem::take(&mut stand.tail),
            why: if ok { String::new() } else { why },
            took_ms: report.took_ms.unwrap_or_default(),
        };
        let tries = stand.progress.tries;
        stand.progress.took(&self.plan, &outcome);
        if !stand.progress.stopped.is_empty() {
            return After::Ends(report.state, stand.progress.stopped.clone());
        }
        if stand.progress.at as usize >= self.plan.len() {
            return After::Ends(TargetState::Ok, String::new());
        }
        let again = stand.progress.tries > tries;
        After::GoesOn(if again { self.plan.pause_ms(stand.progress.at as usize) } else { 0 })
    }

    /// What is to be done next on a host.
    pub(super) fn next(&self, hub: &Hub, host: &Host, progress: &mut Progress) -> Next {
        let secrets = |name: &str| match hub.vault.secret(name, "runbooks") {
            Ok(Some(value)) => String::from_utf8(value.to_vec())
                .map_err(|_| format!("the secret '{name}' is not a text")),
            Ok(None) => Err(format!("there is no secret '{name}'; cmdr secrets put {name}")),
            Err(e) => Err(e.to_string()),
        };
        let walk = Walk { plan: &self.plan, values: &self.values, host, secrets: &secrets };
        walk.next(progress)
    }

    /// The steps of a target, for people.
    pub(super) fn told(&self, stand: &Stand, running: bool) -> Vec<StepResult> {
        stand.progress.told(&self.plan, running)
    }

    /// The name of the step that a target is at.
    pub(super) fn step(&self, stand: &Stand) -> String {
        self.plan.name(stand.progress.at as usize).to_owned()
    }
}

/// What a target is sent.
pub(super) enum Sends {
    /// This.
    Order(Box<Order>),
    /// Nothing: the hub does it, a playbook.
    Play(Box<Play>),
    /// Nothing: it is a step further meanwhile.
    Nothing,
    /// Nothing more: it has its end.
    End(TargetState, String),
}

impl Runs {
    /// Puts the texts of a runbook into the order that names it, and takes from it what the request leaves open. From
    /// here on nothing that is saved, deleted or shipped changes the run. The hosts that a config group is for; a run
    /// may be for none but these.
    pub(super) fn pin(hub: &Hub, start: &mut Start) -> Result<Option<String>, CallError> {
        let order = &mut start.order;
        let bent = !order.env.is_empty() || order.user.is_some() || order.cwd.is_some();
        let Some(runbook) = &mut order.runbook else { return Ok(None) };
        if bent {
            return Err(CallError::malformed(
                "a runbook says itself as whom, where and with which variables its steps run; give it parameters",
            ));
        }
        let version = (runbook.version > 0).then_some(u64::from(runbook.version));
        let (plan, about) = match runbook.name.strip_prefix(configs::ORDER) {
            Some(group) => hub.configs.plan(&hub.runbooks, group, version)?,
            None => hub.runbooks.plan(&runbook.name, version)?,
        };
        if plan.has_playbook() {
            hub.config.ansible.check()?;
        }
        values(plan.book(), &runbook.params).map_err(|wrong| {
            CallError::malformed(format!("the runbook '{}': {wrong}", runbook.name))
        })?;
        runbook.version = u32::try_from(about.version).unwrap_or(u32::MAX);
        runbook.texts = plan.texts(&runbook.name);
        runbook.signatures = hub.runbooks.signatures_of(&runbook.texts, &runbook.name, &about);
        let book = plan.book();
        if let (None, Some((first, then))) = (start.waves, book.waves) {
            start.waves = Some(Waves { first, then });
        }
        if let (None, Some(failures)) = (start.halt, book.halt) {
            start.halt = Some(Halt { failures });
        }
        if let (0, Some(parallel)) = (start.parallel, book.parallel) {
            start.parallel = parallel;
        }
        Ok(book.hosts.clone())
    }

    /// What a target is sent in this attempt.
    pub(super) async fn sends(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        live: &Arc<Live>,
        index: u32,
        attempt: u32,
    ) -> Sends {
        let (book, mut progress, id) = {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            if seat.attempt != attempt {
                return Sends::Nothing;
            }
            let Some(stand) = &seat.stand else {
                let mut order = inner.record.start.order.clone();
                drop(inner);
                let whose = environment::of_run(live.id);
                return match environment::open(&self.store, &hub.vault, &whose, &mut order) {
                    Ok(()) => Sends::Order(Box::new(order)),
                    Err(why) => Sends::End(TargetState::Failed, why),
                };
            };
            let book = match &inner.book {
                Some(Ok(book)) => book.clone(),
                Some(Err(why)) => return Sends::End(TargetState::Failed, why.clone()),
                None => return Sends::End(TargetState::Failed, "there is no runbook".to_owned()),
            };
            (book, stand.progress.clone(), seat.host)
        };
        let Some(host) = hub.fleet.host(id) else {
            return Sends::End(TargetState::Unreachable, "it left the fleet meanwhile".to_owned());
        };
        let next = book.next(hub, &host, &mut progress);
        {
            let mut inner = live.lock();
            let seat = &mut inner.seats[index as usize];
            if let (true, Some(stand)) = (seat.attempt == attempt, &mut seat.stand) {
                stand.progress = progress;
            }
        }
        let task = match next {
            Next::Do { task, .. } => *task,
            Next::Over => return Sends::End(TargetState::Ok, String::new()),
            Next::Failed(why) => return Sends::End(TargetState::Failed, why),
            Next::Refused(why) => return Sends::End(TargetState::Refused, why),
        };
        let Task { mut order, content, play } = task;
        if let Some(play) = play {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            return match (seat.here, seat.asked) {
                (true, _) => Sends::Nothing,
                (false, true) => Sends::End(TargetState::Lost, UNKNOWN.to_owned()),
                (false, false) => Sends::Play(play),
            };
        }
        if let (Some(push), Some(content)) = (&mut order.push, content) {
            match hub.blobs.keep(content).await {
                Ok(hash) => push.file = hash,
                Err(e) => return Sends::End(TargetState::Failed, e.message),
            }
        }
        if let Err(why) = order.check() {
            let at = live.lock().seats[index as usize].stand.as_ref().map_or(0, |s| s.progress.at);
            let step = book.plan.name(at as usize);
            return Sends::End(TargetState::Failed, format!("step {step}: {why}"));
        }
        Sends::Order(Box::new(order))
    }

    /// Has a target picked again, after a pause.
    pub(super) fn resume_after(self: &Arc<Self>, live: &Arc<Live>, index: u32, pause_ms: u64) {
        let (runs, live) = (self.clone(), live.clone());
        tokio::spawn(async move {
            if pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            {
                let mut inner = live.lock();
                let at = index as usize;
                // By now it may have its end, and stand at the beginning of a retry.
                if !inner.seats[at].is_between() {
                    return;
                }
                inner.seats[at].taken = false;
                inner.ready.push(index);
            }
            runs.pump_soon(&live);
        });
    }

    /// The steps of a target.
    pub(crate) fn steps(live: &Live, index: u32) -> Result<Vec<StepResult>, CallError> {
        let inner = live.lock();
        let seat = inner.seats.get(index as usize);
        let seat =
            seat.ok_or_else(|| CallError::not_found(format!("the run has no target {index}")))?;
        match (&inner.book, &seat.stand) {
            (Some(Ok(book)), Some(stand)) => Ok(book.told(stand, seat.is_out())),
            (Some(Err(why)), _) => Err(CallError::failed(why.clone())),
            _ => Err(CallError::malformed("the run is none of a runbook, so it has no steps")),
        }
    }
}

impl Inner {
    /// The end of what a target has printed in this attempt, from the disk.
    pub(super) fn tail(&self, index: usize, reader: &mut Reader) -> Option<Vec<u8>> {
        let seat = &self.seats[index];
        if seat.stand.is_none() || seat.stdout == 0 {
            return None;
        }
        let mut tail = Vec::new();
        for piece in self.pieces.iter().rev() {
            let own = piece.target as usize == index && piece.attempt == seat.attempt;
            if !own || piece.stderr || piece.len == 0 {
                continue;
            }
            let place = Place { segment: piece.segment, offset: piece.offset };
            let mut data = reader.read(place).ok()?;
            data.extend_from_slice(&tail);
            tail = data;
            if tail.len() >= OUTPUT {
                break;
            }
        }
        Some(tail)
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
