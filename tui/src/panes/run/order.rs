//! Which groups and hosts are listed, and in which order.

use super::columns::{self, GROUPS, HOSTS};
use super::{Only, RunPane, number};
use crate::keymap::Command;
use crate::panes::Context;
use crate::store::runs::{self as store, Watched};
use cmdr_protocol::runs::{Group, Target, TargetState};
use std::collections::HashSet;

impl RunPane {
    /// Whether a target is listed; `group` is the one whose hosts are, when that is so.
    fn keeps(&self, group: Option<&Group>, target: &Target) -> bool {
        match self.only {
            Only::All => true,
            Only::Bad => store::is_bad(target.state),
            Only::Open => !target.state.is_end(),
            Only::Ok => target.state == TargetState::Ok,
            Only::Group(_) => group.is_some_and(|group| {
                let ended = target.state.is_end();
                group.state == target.state
                    && (!ended || (group.code == target.code && group.sum == target.sum))
            }),
        }
    }

    /// Folds, orders and filters anew when something that depends on has changed.
    pub(super) fn order(&mut self, context: &Context<'_>) {
        let Some(watched) = self.watched(context) else { return };
        let (groups, hosts) = (self.groups.version, self.hosts.version);
        // What was printed moves nothing, unless it is filtered by.
        let printed = if self.groups.filter.is_on() { watched.printed } else { 0 };
        let made = (watched.version, printed, groups, hosts, self.only, self.by_host);
        if self.made == Some(made) {
            if self.counted != watched.printed {
                self.counted = watched.printed;
                self.shown.count_changes(watched, &self.folded);
            }
            return;
        }
        self.counted = watched.printed;
        self.made = Some(made);
        self.folded = watched.groups().into_iter().map(|group| (number(&group), group)).collect();
        if let Only::Group(number) = self.only
            && self.group(number).is_none()
        {
            // Tried again, none of its hosts stands so any more.
            self.only = Only::All;
        }
        let mut text = String::new();
        let mut kept: Vec<&(u64, Group)> = self
            .folded
            .iter()
            .filter(|(_, group)| {
                if !self.groups.filter.is_on() {
                    return true;
                }
                text.clear();
                columns::group_text(context, watched, group, &mut text);
                self.groups.filter.keeps(&text)
            })
            .collect();
        let sort = self.groups.sort;
        let descending = GROUPS.get(sort).is_some_and(|c| c.descending) != self.groups.reverse;
        kept.sort_by(|(_, a), (_, b)| {
            let order = columns::compare_groups(sort, a, b);
            if descending { order.reverse() } else { order }.then(a.example.cmp(&b.example))
        });
        let order = kept.into_iter().map(|(number, _)| *number).collect();
        let known: HashSet<u64> = self.folded.iter().map(|(number, _)| *number).collect();
        self.groups.set_order(order, |number| known.contains(&number));
        if !self.touched {
            // What is most worth a look stands at the top while it is followed.
            self.groups.on(Command::Top, GROUPS);
        }
        self.shown.count_changes(watched, &self.folded);
        if self.by_host {
            self.order_hosts(context, watched);
        }
    }

    fn order_hosts(&mut self, context: &Context<'_>, watched: &Watched) {
        let mut text = String::new();
        let group = match self.only {
            Only::Group(number) => self.group(number),
            _ => None,
        };
        let mut kept: Vec<&Target> = watched
            .targets()
            .iter()
            .filter(|target| self.keeps(group, target))
            .filter(|target| {
                if !self.hosts.filter.is_on() {
                    return true;
                }
                text.clear();
                columns::host_text(context, target, &mut text);
                self.hosts.filter.keeps(&text)
            })
            .collect();
        let sort = self.hosts.sort;
        let descending = HOSTS.get(sort).is_some_and(|c| c.descending) != self.hosts.reverse;
        kept.sort_by(|a, b| {
            let order = columns::compare_hosts(sort, a, b);
            if descending { order.reverse() } else { order }.then(a.index.cmp(&b.index))
        });
        let order = kept.into_iter().map(|target| target.index).collect();
        self.hosts.set_order(order, |index| watched.target(index).is_some());
        if !self.touched {
            self.hosts.on(Command::Top, HOSTS);
        }
    }
}
