//! The text of policies: kept in versions, read when it changes.

use super::world::offset_s;
use super::{Alerts, POLICIES};
use crate::server::Hub;
use crate::shelf::{Item, Shelf};
use cmdr_protocol::CallError;
use cmdr_protocol::alerts::{PolicyText, SavePolicies};
use cmdr_protocol::runbooks::{Problem, Saved};
use cmdr_rules::alerts::{Policy, text};
use cmdr_rules::defaults;
use std::collections::BTreeSet;

/// What counts; that of the product where nothing was saved, or where that cannot be read any more.
pub(super) fn read(shelf: &Shelf) -> Vec<Policy> {
    let Ok((_, kept)) = shelf.text(POLICIES, None) else { return vec![defaults::policy()] };
    text::read(&kept).unwrap_or_else(|problems| {
        for problem in problems {
            tracing::error!(
                "the policies of alerts cannot be read, those of the product count: {problem}"
            );
        }
        vec![defaults::policy()]
    })
}

fn told(problem: &cmdr_rules::Problem) -> Problem {
    Problem { line: problem.line, column: problem.column, what: problem.what.clone() }
}

/// What is wrong with a text of policies, and what they are.
pub(crate) fn check(hub: &Hub, text: &str) -> (Vec<Policy>, Vec<Problem>) {
    let policies = match text::read(text) {
        Ok(policies) => policies,
        Err(problems) => return (Vec::new(), problems.iter().map(told).collect()),
    };
    let mut problems = Vec::new();
    let whole = |what: String| Problem { what, ..Problem::default() };
    let known = hub.notifiers.names();
    let mut missing = BTreeSet::new();
    for policy in &policies {
        let levels = policy.escalate.iter().flat_map(|level| &level.to);
        missing.extend(policy.to.iter().chain(levels).filter(|to| !known.contains(*to)));
        for hours in policy.quiet.iter().chain(&policy.hours) {
            if offset_s(&hours.zone, 0).is_none() {
                let zone = cmdr_protocol::display::clean_to_width(&hours.zone, 40);
                problems.push(whole(format!(
                    "policy {}: there is no time zone '{zone}'; it is called such as Europe/Berlin",
                    policy.name
                )));
            }
        }
    }
    for name in missing {
        let name = cmdr_protocol::display::clean_to_width(name, 60);
        problems
            .push(whole(format!("there is no notifier '{name}'; cmdr notifiers ls lists them")));
    }
    (policies, problems)
}

impl Alerts {
    /// The text that counts.
    pub(crate) fn policies(&self, hub: &Hub) -> Result<PolicyText, CallError> {
        let (version, text) = if self.policies.get(POLICIES).is_some() {
            let (about, text) = self.policies.text(POLICIES, None)?;
            (about.version, text)
        } else {
            (0, text::write(&[defaults::policy()]).map_err(CallError::failed)?)
        };
        let (_, problems) = check(hub, &text);
        Ok(PolicyText { text, version, problems })
    }

    /// Names of notifiers that policies tell, with the policies.
    pub(crate) fn told_by(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        for policy in read(&self.policies) {
            let levels = policy.escalate.iter().flat_map(|level| &level.to);
            for to in policy.to.iter().chain(levels) {
                told.push((to.clone(), policy.name.clone()));
            }
        }
        told.sort();
        told.dedup();
        told
    }

    /// Keeps other policies, and goes by them.
    pub(crate) async fn save_policies(
        &self,
        hub: &Hub,
        save: &SavePolicies,
        by: &str,
    ) -> Result<Saved, CallError> {
        let (policies, problems) = check(hub, &save.text);
        if !problems.is_empty() {
            return Err(CallError::malformed(crate::runbooks::listed(&problems)));
        }
        // Version 0 is what counts while there is none.
        let was = save.was.filter(|was| *was > 0 || self.policies.get(POLICIES).is_some());
        let item = Item {
            name: POLICIES,
            text: &save.text,
            note: &save.note,
            description: "who is told of alerts",
            parts: u32::try_from(policies.len()).unwrap_or(u32::MAX),
            was,
            sealed: None,
            anew: false,
        };
        let saved = self.policies.save(&item, by).await?;
        if !saved.unchanged {
            self.act(hub, |inner, now, world| {
                Ok(((), inner.machine.set_policies(policies, now, world)))
            })
            .await
            .map_err(CallError::failed)?;
            self.wake.notify_one();
        }
        Ok(saved)
    }
}
