//! Alerts as they stand, and beside them what happened to alerts, the silences, the rules that find them and the
//! notifiers that tell of them.

mod acts;
mod columns;
mod detail;
pub(super) mod form;
mod keys;
mod notifiers;
mod rules;
mod silences;
pub(super) mod tried;

use super::sheet::{self, View};
use super::write::Subject;
use super::{Choice, Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command};
use crate::store::alerts::lists::{self, NOTIFIERS, PAST, RULES, SILENCES};
use crate::store::alerts::{self as store, ALERTS};
use crate::store::rights::Offer;
use crate::store::sheets::{Record, SheetKey, Value};
use crate::store::{FeedState, Update};
use crate::theme::Role;
use crate::widgets::{format, table};
use cmdr_protocol::alerts::{Alert, History, Silences, Watch};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use cmdr_protocol::{notifiers as asks, rules as laws};
pub use columns::{columns, notifier_columns, past_columns, rule_columns, silence_columns};
pub use keys::TABLES_BESIDE;
use keys::{
    ACK, ANSWERED, CHART, DELETE, DISMISS, END, HOST, NEW, NEXT, OF_ALERTS, OF_NOTIFIERS, OF_PAST,
    OF_RULES, OF_SILENCES, ONLY, POLICIES, RULE, SILENCE, SPAN, SWITCH, TEST, TO_ALERTS,
    TO_NOTIFIERS, TO_PAST, TO_RULES, TO_SILENCES, TRY, UNACK, VERSIONS, WRITE,
};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::time::Duration;

/// How often lists are asked for that no feed tells of.
const PACE_MS: u64 = 5000;
const PATIENCE: Duration = Duration::from_secs(15);
/// So far back one looks at first.
const DAY_MS: u64 = 86_400_000;

/// Which list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Alerts,
    Past,
    Silences,
    Rules,
    Notifiers,
}

/// What each list is called in the line above it, where its rows are, and what one must be allowed to see it.
const KINDS: [(Kind, &str, SheetKey, &str); 5] = [
    (Kind::Alerts, "alerts.tab.alerts", ALERTS, Watch::METHOD),
    (Kind::Past, "alerts.tab.past", PAST, History::METHOD),
    (Kind::Silences, "alerts.tab.silences", SILENCES, Silences::METHOD),
    (Kind::Rules, "alerts.tab.rules", RULES, laws::List::METHOD),
    (Kind::Notifiers, "alerts.tab.notifiers", NOTIFIERS, asks::List::METHOD),
];

/// The pane.
pub struct AlertsPane {
    kind: Kind,
    views: [View; 5],
    /// How far back it is looked at what happened, and until when.
    span_ms: u64,
    until_ms: Option<u64>,
    /// The row below those that are being answered, for when that is done.
    after: Option<u64>,
    /// The row to go to as soon as it is there.
    sought: Option<u64>,
}

impl Default for AlertsPane {
    fn default() -> Self {
        Self {
            kind: Kind::Alerts,
            views: columns::views(),
            span_ms: DAY_MS,
            until_ms: None,
            after: None,
            sought: None,
        }
    }
}

fn waits(row: &Record) -> bool {
    matches!(row.values.first(), Some(Value::Ranked(place, ..)) if place >> 40 == 0)
}

fn is_mark(row: &Record) -> bool {
    let marks = ["alerts.state.firing", "alerts.state.resolved"];
    matches!(row.values.get(1), Some(Value::Word(word, _)) if marks.contains(word))
}

fn fires(row: &Record) -> bool {
    matches!(row.values.get(3), Some(Value::Figure(firing, ..)) if *firing > 0)
}

/// Alerts that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let mut known: Vec<(&u64, &Alert)> = context.store.alerts.rows.iter().collect();
    known.sort_by_key(|(number, alert)| (u64::MAX - store::began(alert), **number));
    let entry = |(number, alert): (&u64, &Alert)| Entry {
        kind: "palette.alert",
        text: cmdr_protocol::display::clean(&format!(
            "{} {} {} {}",
            alert.name, alert.rule, alert.instance, alert.message
        ))
        .into_owned(),
        note: context.texts.get(store::state(alert.state).0).to_owned(),
        choice: Choice::At(Place::Alerts, *number),
    };
    known.into_iter().map(entry).collect()
}

/// Rules that are known, for the finder.
pub fn rule_entries(context: &Context<'_>) -> Vec<Entry> {
    let mut known: Vec<_> = context.store.alerts.lists.rules.iter().collect();
    known.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let entry = |(number, rule): (&u64, &laws::Rule)| Entry {
        kind: "palette.rule",
        text: cmdr_protocol::display::clean(&rule.name).into_owned(),
        note: cmdr_protocol::display::clean(&rule.description).into_owned(),
        choice: Choice::At(Place::Alerts, *number),
    };
    known.into_iter().map(entry).collect()
}

/// Goes to a host, where it is known.
fn to_host(context: &Context<'_>, host: Option<HostId>) -> Action {
    match host.filter(|host| context.store.hosts.get(*host).is_some()) {
        Some(host) => Action::Go(Place::Host(host, 0)),
        None => Action::Say(context.texts.get("alerts.no_host").to_owned()),
    }
}

impl AlertsPane {
    fn view(&self) -> &View {
        &self.views[self.kind as usize]
    }

    fn view_mut(&mut self) -> &mut View {
        &mut self.views[self.kind as usize]
    }

    fn may(context: &Context<'_>, verb: &str) -> bool {
        context.store.offer(verb, false, &[]) != Offer::No
    }

    fn to(&mut self, context: &Context<'_>, kind: Kind) {
        let may = KINDS.iter().any(|(of, _, _, verb)| *of == kind && Self::may(context, verb));
        if may {
            self.kind = kind;
        }
    }

    fn next(&mut self, context: &Context<'_>) {
        let at = self.kind as usize;
        let mut later = (1..=KINDS.len()).map(|by| KINDS[(at + by) % KINDS.len()]);
        if let Some((kind, ..)) = later.find(|k| Self::may(context, k.3)) {
            self.kind = kind;
        }
    }

    /// From when until when it is looked at what happened.
    fn bounds(&self, now_ms: u64) -> (u64, u64) {
        let until = self.until_ms.unwrap_or(now_ms);
        (until.saturating_sub(self.span_ms), self.until_ms.unwrap_or(0))
    }

    /// Asks for what is shown, now and then.
    fn ask(&self, context: &Context<'_>) -> Action {
        let store = context.store;
        let key = KINDS[self.kind as usize].2;
        let sheet = store.sheet(key);
        if self.kind == Kind::Alerts {
            // They come by a feed; only the rows may have been forgotten.
            let gone = store.alerts.known && sheet.is_none_or(|sheet| !sheet.known);
            return if gone { Action::Apply(store::renewed()) } else { Action::None };
        }
        let (came, asked) = sheet.map_or((0, 0), |sheet| (sheet.came_ms, sheet.asked_ms));
        let due = store.now_ms.saturating_sub(came) >= store.interval_ms(PACE_MS);
        // An answer that was lost with its link is not waited for any longer.
        let waits = asked > 0 && store.now_ms.saturating_sub(asked) < 20_000;
        let passing = sheet.and_then(|s| s.error.as_ref()).is_none_or(crate::link::is_passing);
        if !due || waits || !passing {
            return Action::None;
        }
        let now_ms = store.now_ms;
        let asking = Action::Apply(Update::new(move |store| {
            store.sheet_mut(key).asked_ms = now_ms;
        }));
        let fetch = match self.kind {
            Kind::Alerts => Action::None,
            Kind::Past => {
                let (from_ms, to_ms) = self.bounds(now_ms);
                let history = History { from_ms, to_ms, ..History::default() };
                Action::fetch(None, history, PATIENCE, |l| (Some(lists::past(l)), Action::None))
            }
            Kind::Silences => Action::fetch(None, Silences {}, PATIENCE, |l| {
                (Some(lists::silences(l)), Action::None)
            }),
            Kind::Rules => Action::fetch(None, laws::List {}, PATIENCE, |l| {
                (Some(lists::rules(l)), Action::None)
            }),
            Kind::Notifiers => Action::fetch(None, asks::List {}, PATIENCE, |l| {
                (Some(lists::notifiers(l)), Action::None)
            }),
        };
        Action::All(vec![asking, fetch])
    }

    fn tabs(&self, context: &Context<'_>, width: u16) -> Line<'static> {
        let Context { theme, texts, store, .. } = *context;
        let shown: Vec<_> = KINDS.iter().filter(|(.., verb)| Self::may(context, verb)).collect();
        let count = |key: SheetKey| {
            let sheet = store.sheet(key).filter(|sheet| sheet.known && key != PAST);
            sheet.map(|sheet| format!(" {}", format::count(sheet.rows.len()))).unwrap_or_default()
        };
        let line = |counted: bool, named: bool| {
            let mut line = Line::default();
            for (kind, word, key, _) in &shown {
                let here = *kind == self.kind;
                let role = if here { Role::TabActive } else { Role::Tab };
                let mut text = format!(" {} ", *kind as usize + 1);
                if named || here {
                    text = format!(" {} {}", *kind as usize + 1, texts.get(word));
                    text += &if counted || here { count(*key) } else { String::new() };
                    text.push(' ');
                }
                line.push_span(Span::styled(text, theme.style(role)));
            }
            line.push_span(Span::raw("  "));
            line
        };
        // Where there is no room for all, the one that is shown keeps its name.
        let fits = |line: &Line<'_>| line.width() + 8 <= usize::from(width);
        let ways = [line(true, true), line(false, true)];
        ways.into_iter().find(fits).unwrap_or_else(|| line(false, false))
    }

    fn head(&self, context: &Context<'_>, width: u16) -> Line<'static> {
        let mut line = self.tabs(context, width);
        let Context { texts, store, .. } = *context;
        let sheet = self.view().sheet(context);
        let mut pieces = Vec::new();
        match self.kind {
            Kind::Alerts => {
                let waiting = store.alerts.waiting;
                if waiting.all > 0 {
                    let values = [&*format::count(waiting.all), &*format::count(waiting.critical)];
                    let (_, role) = store::severity(waiting.worst);
                    pieces.push((texts.fill("alerts.head.waiting", &values), role));
                } else if store.alerts.known {
                    pieces.push((texts.get("alerts.head.quiet").to_owned(), Role::Ok));
                }
                if let Some(FeedState::Failed(error)) = store.feed::<Watch>(None)
                    && store.is_up()
                {
                    pieces.push((format!("✗ {}", crate::action::reason(error)), Role::Bad));
                }
            }
            Kind::Past => {
                let span = format::span(self.span_ms / 1000);
                let text = match self.until_ms {
                    None => texts.fill("alerts.head.span", &[&span]),
                    Some(until) => {
                        let now_s = store.now_ms / 1000;
                        let until = format::moment(until / 1000, now_s, store.utc_offset_s);
                        texts.fill("alerts.head.until", &[&span, &until])
                    }
                };
                pieces.push((text, Role::Soft));
                if store.alerts.lists.more {
                    pieces.push((texts.get("alerts.head.more").to_owned(), Role::Warn));
                }
            }
            Kind::Silences | Kind::Rules | Kind::Notifiers => {}
        }
        if self.view().only.is_some() {
            let key = match self.kind {
                Kind::Past => "alerts.only.marks",
                Kind::Rules => "rules.only",
                _ => "alerts.only.waiting",
            };
            pieces.push((texts.get(key).to_owned(), Role::Accent));
        }
        if let Some(error) = sheet.filter(|s| s.known).and_then(|s| s.error.as_ref()) {
            pieces.push((format!("✗ {}", crate::action::reason(error)), Role::Bad));
        }
        line.extend(sheet::dotted(context, pieces));
        line
    }

    /// The number of the row under the cursor.
    fn at(&self, context: &Context<'_>) -> Option<u64> {
        Some(self.view().selected(context)?.id)
    }

    fn alert<'a>(&self, context: &Context<'a>) -> Option<&'a Alert> {
        context.store.alerts.get(self.at(context)?)
    }

    fn rule<'a>(&self, context: &Context<'a>) -> Option<&'a laws::Rule> {
        context.store.alerts.lists.rules.get(&self.at(context)?)
    }

    fn notifier<'a>(&self, context: &Context<'a>) -> Option<&'a asks::Notifier> {
        context.store.alerts.lists.notifiers.get(&self.at(context)?)
    }

    /// The alerts that are marked, else the one under the cursor.
    fn targets<'a>(&self, context: &Context<'a>) -> Vec<&'a Alert> {
        let rows = self.view().targets(context);
        rows.iter().filter_map(|row| context.store.alerts.get(row.id)).collect()
    }

    /// The row below the one under the cursor: whoever answers one alert after the other goes on there.
    fn below(&self) -> Option<u64> {
        let table = &self.view().table;
        let order = table.order();
        let at = order.iter().position(|id| Some(*id) == table.selected())?;
        order.get(at + 1).copied()
    }

    /// What a row of the first two lists is about: rule, host, instance, and when it fired.
    fn about(&self, context: &Context<'_>) -> Option<acts::About> {
        match self.kind {
            Kind::Alerts => self.alert(context).map(acts::About::of),
            Kind::Past => {
                let past = &context.store.alerts.lists.past;
                past.get(&self.at(context)?).map(acts::About::happened)
            }
            _ => None,
        }
    }

    fn open(&self, context: &Context<'_>) -> Action {
        match self.kind {
            Kind::Alerts | Kind::Past => {
                self.about(context).map_or(Action::None, |about| detail::open(&about.id))
            }
            Kind::Silences => self
                .view()
                .detail(context)
                .map_or(Action::None, |pager| Action::Open(Box::new(pager))),
            Kind::Rules => self.rule(context).map_or(Action::None, |rule| rules::open(&rule.name)),
            Kind::Notifiers => {
                self.notifier(context).map_or(Action::None, |n| notifiers::open(context, &n.name))
            }
        }
    }

    fn on_rule(&self, context: &Context<'_>, command: Command) -> Action {
        let Some(rule) = self.rule(context) else { return Action::None };
        match command {
            WRITE => rules::write(context, &rule.name),
            TRY => rules::attempt(&rule.name),
            SWITCH => rules::switch(context, rule),
            VERSIONS => super::write::versions(context, Subject::Rule(rule.name.clone())),
            _ => rules::delete(context, rule),
        }
    }

    fn on_notifier(&self, context: &Context<'_>, command: Command) -> Action {
        let Some(notifier) = self.notifier(context) else { return Action::None };
        match command {
            WRITE => notifiers::write(context, &notifier.name),
            TEST => notifiers::test(context, &notifier.name),
            _ => notifiers::delete(context, notifier),
        }
    }

    fn command(&self, context: &Context<'_>) -> String {
        let quoted = super::hosts::quoted;
        match self.kind {
            Kind::Alerts | Kind::Past => self.about(context).map_or_else(String::new, |about| {
                let id = quoted(&about.id);
                format!("cmdr alerts show {id}")
            }),
            Kind::Silences => "cmdr alerts silences".to_owned(),
            Kind::Rules => self.rule(context).map_or_else(String::new, |rule| {
                let rule = quoted(&rule.name);
                format!("cmdr rules show {rule}")
            }),
            Kind::Notifiers => self.notifier(context).map_or_else(String::new, |notifier| {
                let notifier = quoted(&notifier.name);
                format!("cmdr notifiers show {notifier}")
            }),
        }
    }
}

impl Pane for AlertsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match self.kind {
            Kind::Alerts => OF_ALERTS,
            Kind::Past => OF_PAST,
            Kind::Silences => OF_SILENCES,
            Kind::Rules => OF_RULES,
            Kind::Notifiers => OF_NOTIFIERS,
        }
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        // Only alerts are answered together.
        !matches!(command, Command::Mark) || self.kind == Kind::Alerts
    }

    fn feeds(&self) -> Vec<Subscription> {
        // The app follows the alerts on every page.
        vec![super::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.is_up() {
            return Action::None;
        }
        if let Some(sought) = self.sought
            && self.view().sheet(context).is_some_and(|sheet| sheet.rows.contains_key(&sought))
        {
            self.sought = None;
            self.view_mut().order(context);
            self.view_mut().table.select(sought);
        }
        self.ask(context)
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view_mut().order(context);
        match command {
            Command::Open => self.open(context),
            NEXT => {
                self.next(context);
                Action::None
            }
            TO_ALERTS | TO_PAST | TO_SILENCES | TO_RULES | TO_NOTIFIERS => {
                let at = [TO_ALERTS, TO_PAST, TO_SILENCES, TO_RULES, TO_NOTIFIERS];
                let at = at.iter().position(|to| *to == command).unwrap_or(0);
                self.to(context, KINDS[at].0);
                Action::None
            }
            ONLY => {
                let only: fn(&Record) -> bool = match self.kind {
                    Kind::Past => is_mark,
                    Kind::Rules => fires,
                    _ => waits,
                };
                let view = self.view_mut();
                view.only = if view.only.is_none() { Some(only) } else { None };
                Action::None
            }
            ACK | DISMISS => {
                self.after = self.below();
                acts::ask(context, &self.targets(context), command == DISMISS)
            }
            UNACK => {
                let targets = self.targets(context);
                if targets.is_empty() {
                    return Action::None;
                }
                let ids = targets.iter().map(|alert| alert.id.clone()).collect();
                acts::unacknowledge(context, ids)
            }
            SILENCE if self.kind == Kind::Alerts => silences::of(context, &self.targets(context)),
            SILENCE => silences::new(context, String::new()),
            END => {
                let silences = &context.store.alerts.lists.silences;
                let silence = self.at(context).and_then(|at| silences.get(&at));
                silence.map_or(Action::None, |silence| silences::end(context, silence))
            }
            CHART => self.about(context).map_or(Action::None, |about| acts::chart(context, about)),
            HOST => self.about(context).map_or(Action::None, |about| to_host(context, about.host)),
            RULE => self.about(context).map_or(Action::None, |about| rules::open(&about.rule)),
            SPAN => acts::ask_span(context, self.span_ms),
            POLICIES => rules::policies(context),
            NEW if self.kind == Kind::Rules => rules::new(context),
            NEW => notifiers::new(context),
            WRITE | TRY | SWITCH | VERSIONS | DELETE if self.kind == Kind::Rules => {
                self.on_rule(context, command)
            }
            WRITE | TEST | DELETE => self.on_notifier(context, command),
            Command::CopyCommand => match self.command(context) {
                line if line.is_empty() => Action::None,
                line => Action::Copy(line),
            },
            _ => self.view_mut().on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some((self.view().key.1, &self.view().table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view_mut().table)
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (head, body) = sheet::split(area);
        let line = self.head(context, head.width);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let store = context.store;
        let sheet = self.view().sheet(context);
        if sheet.is_none_or(|sheet| !sheet.known) {
            let refused = match store.feed::<Watch>(None) {
                Some(FeedState::Failed(error)) if self.kind == Kind::Alerts && store.is_up() => {
                    let why = crate::action::reason(error);
                    Some(vec![Line::styled(why, context.theme.style(Role::Bad))])
                }
                _ => None,
            };
            let lines = refused.unwrap_or_else(|| sheet::missing(context, sheet));
            return super::notice(frame, body, &sheet::wrapped(lines, area.width));
        }
        let none = match self.kind {
            Kind::Alerts => ["alerts.none", "alerts.none_waiting"],
            Kind::Past => ["alerts.past.none"; 2],
            Kind::Silences => ["silences.none"; 2],
            Kind::Rules => ["rules.none", "rules.none_firing"],
            Kind::Notifiers => ["notifiers.none"; 2],
        };
        self.view_mut().draw(context, frame, body, none);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        match self.kind {
            Kind::Rules => rule_entries(context),
            Kind::Silences | Kind::Notifiers => self.view().entries(context, "palette.row"),
            Kind::Alerts | Kind::Past => entries(context),
        }
    }

    fn pick(&mut self, number: u64) {
        self.sought = Some(number);
        self.view_mut().table.select(number);
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            TO_RULES => self.to(context, Kind::Rules),
            ANSWERED if self.kind == Kind::Alerts => {
                let after = self.after.take();
                let table = &mut self.view_mut().table;
                if table.marks().is_empty() {
                    if let Some(after) = after {
                        table.select(after);
                    }
                } else {
                    table.unmark();
                }
            }
            SPAN => {
                let store = context.store;
                let span =
                    super::history::span(text, self.span_ms, store.now_ms, store.utc_offset_s);
                match span {
                    Ok(span) => {
                        (self.span_ms, self.until_ms) = span;
                        return Action::Apply(lists::stale(PAST));
                    }
                    Err(why) => return Action::Complain(context.texts.get(why).to_owned()),
                }
            }
            _ => {}
        }
        Action::None
    }

    fn keepsake(&self) -> Option<String> {
        (self.kind != Kind::Alerts).then(|| KINDS[self.kind as usize].2.1.to_owned())
    }

    fn recall(&mut self, keepsake: &str) {
        if let Some((kind, ..)) = KINDS.iter().find(|(_, _, key, _)| key.1 == keepsake) {
            self.kind = *kind;
        }
    }
}
