//! Follows one list of an engine on each host of a [`Scope`], and says above it how many have answered. Every chapter
//! has one.

use super::{Scope, install};
use crate::action::Action;
use crate::overlays::pager::Pager;
use crate::panes::sheet;
use crate::panes::{Context, Subscription};
use crate::store::lists::{self, Listed};
use crate::store::sheets::{SheetKey, id_of};
use crate::store::{FeedKey, FeedState, Update};
use crate::theme::Role;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::marker::PhantomData;

/// Hosts that are followed at once; of more the first ones by name are.
const MOST: usize = 256;

/// One list of some hosts.
pub(super) struct Followed<F> {
    scope: Scope,
    key: SheetKey,
    /// Those that are followed.
    hosts: Vec<HostId>,
    /// So many more there are.
    beyond: usize,
    feed: PhantomData<fn() -> F>,
}

impl<F: Listed> Followed<F> {
    /// The list of this name.
    pub(super) fn new(scope: &Scope, name: &'static str) -> Self {
        let key = scope.sheet(name);
        let hosts = match scope {
            Scope::Host(host) => vec![*host],
            _ => Vec::new(),
        };
        Self { scope: scope.clone(), key, hosts, beyond: 0, feed: PhantomData }
    }

    /// Where its rows are.
    pub(super) const fn key(&self) -> SheetKey {
        self.key
    }

    fn feed(&self, host: HostId) -> FeedKey {
        FeedKey::own::<F>(Some(host), id_of(&self.key))
    }

    /// The feeds of all hosts that are followed.
    pub(super) fn feeds(&self) -> Vec<Subscription> {
        let key = self.key;
        let one = |host: HostId| {
            let apply = move |store: &mut crate::store::Store, item| {
                lists::take::<F>(store, key, host, &item);
            };
            Subscription::of_pane(self.feed(host), F::default(), apply)
        };
        self.hosts.iter().copied().map(one).collect()
    }

    /// Notices hosts that came and went.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Action {
        let mut hosts = self.scope.hosts(context);
        if hosts.len() > MOST {
            hosts.sort_by_cached_key(|host| context.store.hosts.name(*host));
        }
        self.beyond = hosts.len().saturating_sub(MOST);
        hosts.truncate(MOST);
        let changed = hosts != self.hosts;
        self.hosts.clone_from(&hosts);
        let key = self.key;
        // What a host told before it could not any more is not shown as if it were so now.
        if !self.scope.is_one() && context.store.is_up() {
            let failed = self.failed(context);
            hosts.retain(|host| failed.iter().all(|(other, _)| other != host));
        }
        let answered = context.store.sheet(key).map(|sheet| &sheet.answered);
        let left = answered.is_some_and(|told| told.iter().any(|host| !hosts.contains(host)));
        if !changed && !left {
            return Action::None;
        }
        Action::Apply(Update::new(move |store| lists::only(store, key, &hosts)))
    }

    /// Hosts that could not answer, and why.
    fn failed<'a>(&self, context: &Context<'a>) -> Vec<(HostId, &'a CallError)> {
        let state = |host: &HostId| match context.store.feeds.get(&self.feed(*host)) {
            Some(FeedState::Failed(error)) => Some((*host, error)),
            _ => None,
        };
        self.hosts.iter().filter_map(state).collect()
    }

    /// Hosts that have no engine, as far as that was told.
    pub(super) fn without(&self, context: &Context<'_>) -> Vec<HostId> {
        let failed = self.failed(context).into_iter();
        failed.filter(|(_, error)| is_absent(error)).map(|(host, _)| host).collect()
    }

    /// What stands above the list beside its own figures: of several hosts, how many have answered.
    pub(super) fn pieces(&self, context: &Context<'_>) -> Vec<(String, Role)> {
        if self.scope.is_one() {
            return Vec::new();
        }
        let texts = context.texts;
        let failed = self.failed(context);
        let without = self.without(context).len();
        let failed = failed.len() - without;
        let answered = context.store.sheet(self.key).map_or(0, |sheet| sheet.answered.len());
        let of = self.hosts.len();
        let role = if answered + failed + without < of { Role::Warn } else { Role::Ok };
        let told = texts.fill("fleet.answered", &[&answered.to_string(), &of.to_string()]);
        let mut pieces = vec![(told, role)];
        let mut push = |count: usize, key, role| {
            if count > 0 {
                pieces.push((texts.fill(key, &[&count.to_string()]), role));
            }
        };
        push(without, "docker.without", Role::Soft);
        push(failed, "fleet.failed", Role::Bad);
        push(self.beyond, "docker.beyond", Role::Warn);
        pieces
    }

    /// Which hosts could not answer, and why.
    pub(super) fn who_failed(&self, context: &Context<'_>) -> Action {
        let failed = self.failed(context).into_iter();
        let mut lines: Vec<_> = failed
            .map(|(host, error)| (context.store.hosts.name(host), crate::action::reason(error)))
            .collect();
        lines.sort();
        let lines: Vec<_> = lines
            .into_iter()
            .map(|(name, why)| vec![(Role::Strong, format!("{name}  ")), (Role::Text, why)])
            .collect();
        if lines.is_empty() {
            return Action::Say(context.texts.get("fleet.none_failed").to_owned());
        }
        let title = context.texts.get("fleet.key.failed").to_owned();
        Action::Open(Box::new(Pager::new(title, lines)))
    }

    /// Says why nothing is there yet. Whether there is something to show instead.
    pub(super) fn nothing_yet(
        &self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
    ) -> bool {
        let Context { store, theme, texts, .. } = *context;
        let loading = texts.get("sheet.loading");
        let of_one = |host| {
            let failed = self.failed(context);
            let is_absent = failed.first().is_some_and(|(_, error)| is_absent(error));
            let mut lines =
                crate::panes::overview::nothing_yet::<F>(context, host, loading, theme, store);
            if is_absent && store.is_up() {
                absent(context, &mut lines);
            }
            lines
        };
        let sheet = store.sheet(self.key);
        let failed = self.failed(context).len();
        let lines = match self.scope {
            // What it told before it went silent is not shown as if it were so now.
            Scope::Host(host) if failed > 0 || !sheet.is_some_and(|sheet| sheet.known) => {
                of_one(host)
            }
            _ if sheet.is_some_and(|sheet| sheet.known) => return true,
            _ if !store.is_up() => {
                vec![Line::styled(texts.get("overview.no_hub"), theme.style(Role::Soft))]
            }
            _ if store.hosts.known && self.hosts.is_empty() => {
                vec![Line::styled(texts.get("fleet.no_hosts"), theme.style(Role::Soft))]
            }
            _ if failed == self.hosts.len() && failed > 0 => {
                vec![Line::styled(texts.get("docker.nobody"), theme.style(Role::Soft))]
            }
            _ => vec![Line::styled(loading, theme.style(Role::Soft))],
        };
        crate::panes::notice(frame, area, &sheet::wrapped(lines, area.width));
        false
    }
}

/// Says calmly that there is no engine, and how one is installed.
pub(super) fn absent(context: &Context<'_>, lines: &mut Vec<Line<'static>>) {
    let Context { theme, texts, .. } = *context;
    let why = std::mem::take(lines).into_iter().map(|line| line.style(theme.style(Role::Soft)));
    let none = Line::styled(texts.get("docker.none"), theme.style(Role::Strong));
    let key = context.keys.of(install::TABLES, install::INSTALL);
    let how = Line::styled(texts.fill("docker.install", &[&key]), theme.style(Role::Info));
    lines.push(none);
    lines.extend(why);
    lines.push(how);
}

/// Whether there is no engine, or none that runs: nothing is wrong with the host then.
pub(super) fn is_absent(error: &CallError) -> bool {
    error.kind == ErrorKind::NotFound
}
