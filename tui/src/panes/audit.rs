//! The audit log: newest first, followed live, searched on the hub and filtered here. A request and
//! its answer are one row unless one wants to see both.

pub(in crate::panes) mod columns;
pub(in crate::panes) mod detail;

use super::records::acts;
use super::{Choice, Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::menu::Menu;
use crate::overlays::pager::Pager;
use crate::overlays::search::{self, Search};
use crate::store::audit::{self, BARREN, Log, Whose, asking, paged, search};
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::audit::{Filter, List, PAGE, Record, Verify, Watch};
use cmdr_protocol::recordings::{RECORDABLE, Read};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use columns::COLUMNS;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::time::Duration;

/// A pane that has lost the log again so soon has one like it beside it. There is one piece of the log for both:
/// two that take it from each other would ask the hub without end.
const AGAIN_MS: u64 = 1500;

const FOLLOW: Command = Command::Own(0);
const SEARCH: Command = Command::Own(1);
const FOLD: Command = Command::Own(2);
const FROM_HERE: Command = Command::Own(3);
const PAIR: Command = Command::Own(4);
const VERIFY: Command = Command::Own(5);
const HOST: Command = Command::Own(6);
const PLAY: Command = Command::Own(7);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "audit.key.open").row().hint(),
    key(&["s"], SEARCH, "audit.key.search").hint(),
    key(&["f"], FOLLOW, "audit.key.follow").hint(),
    key(&["o"], FROM_HERE, "audit.key.from_here").row().hint(),
    key(&["u"], FOLD, "audit.key.fold").hint(),
    key(&["p"], PAIR, "audit.key.pair"),
    key(&["H"], HOST, "audit.key.host"),
    key(&["R"], PLAY, "recordings.key.of_it").needs(Read::METHOD),
    key(&["C-v"], VERIFY, "audit.key.verify").needs(Verify::METHOD),
];

/// A page is asked for when fewer rows than this are left below the cursor.
const AHEAD: usize = 10;
/// Records in the first page and in those after it: the first is for the screen.
const PAGES: [u32; 2] = [100, PAGE];
/// A proof may read gigabytes.
const PROOF: Duration = Duration::from_mins(10);
/// A page of a search may take the hub a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pane.
pub struct AuditPane {
    table: table::State<u64>,
    /// This pane among those that show the log.
    owner: u64,
    /// What was searched for when it opened, and what is searched for now.
    opened: Filter,
    filter: Filter,
    /// The row to go to as soon as it is there.
    sought: Option<u64>,
    folded: bool,
    following: bool,
    /// The newest record when it was last followed.
    seen: u64,
    /// What the rows were made from.
    shown: Option<(u64, u64, u64, bool)>,
    beside: Beside,
}

impl Default for AuditPane {
    fn default() -> Self {
        Self::of(Filter::default())
    }
}

/// The columns of the table.
pub fn columns() -> Vec<table::Column> {
    COLUMNS.to_vec()
}

impl AuditPane {
    /// Of these records.
    pub fn of(filter: Filter) -> Self {
        let mut table = table::State::default();
        table.anchored = true;
        let (owner, opened) = (audit::owner(), filter.clone());
        let (folded, following) = (true, true);
        let (sought, seen, shown, beside) = (None, 0, None, Beside::default());
        Self { table, owner, opened, filter, sought, folded, following, seen, shown, beside }
    }

    fn order(&mut self, context: &Context<'_>) {
        let log = context.store.audit.of(Whose::Audit);
        let made_from = (self.table.version, log.version, log.generation, self.folded);
        if self.shown == Some(made_from) {
            return;
        }
        if self.shown.is_some_and(|shown| shown.2 != log.generation) {
            // What was searched for anew is followed from its beginning.
            self.following = true;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let mut kept: Vec<&Record> = log
            .rows()
            // An answer stands in the row of what was asked, when that is here.
            .filter(|record| {
                !self.folded || record.asked.is_none_or(|asked| log.get(asked).is_none())
            })
            .filter(|record| {
                if !self.table.filter.is_on() {
                    return true;
                }
                text.clear();
                columns::haystack(context, log, record, &mut text);
                self.table.filter.keeps(&text)
            })
            .collect();
        let column = self.table.sort;
        let descending = COLUMNS.get(column).is_some_and(|c| c.descending) != self.table.reverse;
        if column != 0 {
            kept.sort_by(|a, b| {
                let order = columns::compare(column, log, a, b);
                if descending { order.reverse() } else { order }
            });
        } else if !descending {
            kept.reverse();
        }
        let order = kept.iter().map(|record| record.seq).collect();
        self.table.set_order(order, |seq| log.get(seq).is_some());
        let newest = log.rows().next().map_or(0, |record| record.seq);
        if self.following {
            self.seen = newest;
            if self.by_time() {
                self.table.on(Command::Top, COLUMNS);
            }
        }
        if let Some(seq) = self.sought
            && log.get(seq).is_some()
        {
            self.sought = None;
            self.table.select(seq);
        }
    }

    /// Whether the newest stands at the top.
    fn by_time(&self) -> bool {
        self.table.sort == 0 && !self.table.reverse
    }

    fn selected<'a>(&self, context: &Context<'a>) -> Option<(&'a Log, &'a Record)> {
        let log = context.store.audit.of(Whose::Audit);
        Some((log, log.get(self.table.selected()?)?))
    }

    /// Records that came since it was last followed.
    fn new_ones(&self, log: &Log) -> usize {
        let new = self.table.order().iter().filter(|seq| **seq > self.seen);
        log.newer + new.count()
    }

    fn go(&mut self, seq: u64) {
        self.following = false;
        self.table.select(seq);
    }

    /// The other record of the request: unfolds, because folded they are one row.
    fn pair(&mut self, context: &Context<'_>) -> Action {
        let Some((log, record)) = self.selected(context) else { return Action::None };
        let Some(pair) = log.pair(record).map(|pair| pair.seq) else {
            return Action::Say(context.texts.get("audit.no_pair").to_owned());
        };
        self.folded = false;
        self.order(context);
        self.go(pair);
        Action::None
    }

    fn detail(&self, context: &Context<'_>) -> Action {
        let Some((log, record)) = self.selected(context) else { return Action::None };
        let mut pager = detail::pager(context, log, record);
        if let Some(host) = page_of(context, record) {
            pager = pager.with_key('H', context.texts.get("audit.key.host"), host);
        }
        if let Some(play) = recording_of(context, record) {
            pager = pager.with_key('R', context.texts.get("recordings.key.of_it"), play);
        }
        let from_here = from_here(context, log, record);
        pager = pager.with_key('o', context.texts.get("audit.key.from_here"), from_here);
        Action::Open(Box::new(pager))
    }

    fn moved(&mut self, context: &Context<'_>, command: Command) -> Action {
        let log = context.store.audit.of(Whose::Audit);
        if command == Command::Top && self.by_time() {
            // What was dropped to make room for older records is fetched again.
            if log.is_cut {
                return Action::Apply(search(Whose::Audit, self.owner, log.filter.clone()));
            }
            self.following = true;
            self.seen = log.rows().next().map_or(0, |record| record.seq);
        } else if self.table.place().0 > 0 {
            self.following = false;
        }
        if log.barren >= BARREN && matches!(command, Command::Bottom | Command::PageDown) {
            return Action::Apply(audit::search_on(Whose::Audit));
        }
        Action::None
    }
}

/// To the recording of what a record is about, for whoever may see it; `None` for what is never recorded.
pub(in crate::panes) fn recording_of(context: &Context<'_>, record: &Record) -> Option<Action> {
    let may = context.store.offer(Read::METHOD, false, &[]) != Offer::No;
    let recordable = RECORDABLE.contains(&record.method.as_str());
    (may && recordable).then(|| acts::play(context, record.asked.unwrap_or(record.seq)))
}

/// The page of a record's host, when there is one.
pub(in crate::panes) fn page_of(context: &Context<'_>, record: &Record) -> Option<Action> {
    let host = columns::host(record)?;
    context.store.hosts.get(host).map(|_| Action::Go(Place::Host(host, 0)))
}

/// All records that have something in common with this one, to choose from.
pub(in crate::panes) fn from_here(context: &Context<'_>, log: &Log, record: &Record) -> Action {
    let texts = context.texts;
    let name = columns::host_name(context, record);
    let id = columns::host(record).map(|id| id.to_string());
    let any = Filter::default;
    let key = record.key.map(|key| key.to_string()).unwrap_or_default();
    let mut items: Vec<(String, String)> = Vec::new();
    let mut filters: Vec<Result<Filter, Place>> = Vec::new();
    let mut add = |text: &'static str, what: &str, to: Result<Filter, Place>| {
        if !what.is_empty() {
            items.push((
                texts.get(text).to_owned(),
                cmdr_protocol::display::clean_to_width(what, 40),
            ));
            filters.push(to);
        }
    };
    if let Some(host) = columns::host(record).filter(|id| context.store.hosts.get(*id).is_some()) {
        add("audit.go.page", &name, Ok(any()).and(Err(Place::Host(host, 0))));
    }
    let operator = if key.is_empty() { record.operator.clone() } else { key };
    add("audit.go.operator", &record.operator, Ok(Filter { operator, ..any() }));
    add("audit.go.host", &name, Ok(Filter { host: id.unwrap_or_else(|| name.clone()), ..any() }));
    add("audit.go.verb", &record.method, Ok(Filter { method: record.method.clone(), ..any() }));
    add(
        "audit.go.resource",
        &record.resource,
        Ok(Filter { text: record.resource.clone(), ..any() }),
    );
    let from_ms = Some(record.at_ms.saturating_sub(60_000));
    let until_ms = Some(record.at_ms + 60_000);
    let when = columns::time(context, record.at_ms);
    add("audit.go.around", &when, Ok(Filter { from_ms, until_ms, ..any() }));
    if log.filter != any() {
        add("audit.go.all", " ", Ok(any()));
    }
    let title = texts.get("audit.go.title").to_owned();
    let menu = Menu::new(title, items, 0, move |at| match filters.get(at) {
        Some(Ok(filter)) => Action::Enter(Place::Audit, Box::new(AuditPane::of(filter.clone()))),
        Some(Err(place)) => Action::Go(*place),
        None => Action::None,
    });
    Action::Open(Box::new(menu))
}

/// What a pane does that is opened or come back to: goes on with what is there, or begins anew.
pub(in crate::panes) fn reopen(
    context: &Context<'_>,
    whose: Whose,
    owner: u64,
    filter: &Filter,
) -> Action {
    let store = context.store;
    let old = store.audit.is_old(whose, filter, store.now_ms);
    Action::Apply(if old {
        search(whose, owner, filter.clone())
    } else {
        audit::claim(whose, owner)
    })
}

/// Whether a pane had the log for its own search, and when it last found that another one had taken it.
#[derive(Default)]
pub(in crate::panes) struct Beside {
    had: bool,
    lost: Option<u64>,
    shares: bool,
}

impl Beside {
    /// It is this pane's.
    pub(in crate::panes) fn had(&mut self) {
        (self.had, self.shares) = (true, false);
    }

    /// It was taken. Once: one comes back to this pane. Again at once: another one of its kind is seen
    /// beside it, and this one shows the same from then on.
    pub(in crate::panes) fn lost(&mut self, now_ms: u64) -> bool {
        let had = std::mem::take(&mut self.had);
        let before = if had { self.lost.replace(now_ms) } else { None };
        self.shares |= before.is_some_and(|before| now_ms.saturating_sub(before) < AGAIN_MS);
        self.shares
    }
}

/// Asks for the next page when there is room for it on the screen.
pub(in crate::panes) fn page(
    context: &Context<'_>,
    whose: Whose,
    below: usize,
    height: usize,
) -> Action {
    let log = context.store.audit.of(whose);
    if log.known && below >= height + AHEAD {
        return Action::None;
    }
    let Some((filter, before)) = log.page(context.store.now_ms) else { return Action::None };
    let generation = log.generation;
    let list = List { filter, before, limit: PAGES[usize::from(log.known)] };
    let fetch = Action::fetch(None, list, PATIENCE, move |page| {
        (Some(paged(whose, generation, page)), Action::None)
    });
    Action::All(vec![Action::Apply(asking(whose)), fetch])
}

/// What is searched for, in words: `who=ann outcome=failed`.
pub(in crate::panes) fn searched(context: &Context<'_>, filter: &Filter) -> String {
    let lines = search::lines(filter, context.store.utc_offset_s);
    let pairs = search::NAMES.into_iter().zip(lines).filter(|(_, text)| !text.is_empty());
    let words = pairs.map(|(name, text)| {
        format!("{} {}", context.texts.get(name), cmdr_protocol::display::clean(&text))
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// The line above a table of records: how many, whether they are followed, what is searched for.
pub(in crate::panes) fn head(
    context: &Context<'_>,
    log: &Log,
    count: String,
    follow: Option<usize>,
) -> Line<'static> {
    let Context { theme, texts, .. } = *context;
    let soft = theme.style(Role::Soft);
    let mut spans = vec![Span::styled(count, theme.style(Role::Strong))];
    let mut say = |text: String, role: Role| {
        spans.push(Span::styled(" · ", theme.style(Role::Faint)));
        spans.push(Span::styled(text, theme.style(role)));
    };
    match follow {
        None if context.store.is_up() => {
            say(format!("● {}", texts.get("audit.following")), Role::Ok);
        }
        None | Some(0) => say(format!("○ {}", texts.get("audit.paused")), Role::Warn),
        Some(new) => {
            say(format!("▲ {}", texts.fill("audit.new", &[&format::count(new)])), Role::Warn);
        }
    }
    if log.filter != Filter::default() {
        say(searched(context, &log.filter), Role::Match);
    }
    if let Some(error) = log.error() {
        say(format!("✗ {}", crate::action::reason(error)), Role::Bad);
    } else if log.is_loading() {
        say(texts.get("audit.loading").to_owned(), Role::Soft);
    } else if log.barren >= BARREN {
        say(texts.get("audit.barren").to_owned(), Role::Warn);
    } else if !log.has_more() {
        say(texts.get("audit.complete").to_owned(), Role::Faint);
    }
    if !log.damage.is_empty() {
        spans.insert(0, Span::styled(format!("! {}  ", log.damage), theme.style(Role::Bad)));
    }
    Line::from(spans).patch_style(soft.remove_modifier(ratatui::style::Modifier::all()))
}

/// What stands where rows would be, when there are none.
pub(in crate::panes) fn empty(context: &Context<'_>, log: &Log) -> Line<'static> {
    let Context { store, theme, texts, .. } = *context;
    if let Some(error) = log.error() {
        return Line::styled(crate::action::reason(error), theme.style(Role::Bad));
    }
    let text = if !store.is_up() && !log.known {
        texts.get("overview.no_hub")
    } else if !log.known || (log.is_empty() && log.is_loading()) {
        texts.get("audit.waiting")
    } else if log.is_empty() && log.filter == Filter::default() {
        texts.get("audit.nothing")
    } else if log.is_empty() {
        texts.get("audit.none")
    } else {
        texts.get("table.nothing_left")
    };
    Line::styled(text, theme.style(Role::Soft))
}

fn verify(context: &Context<'_>) -> Action {
    let texts = context.texts;
    let title = texts.get("audit.verify.title");
    let (whole, broken) = (texts.get("audit.verify.whole"), texts.get("audit.verify.broken"));
    let torn_text = texts.get("audit.verify.torn");
    let what = texts.get("audit.verify.what");
    let say = Action::Say(texts.get("audit.verify.running").to_owned());
    let fetch = Action::fetch(None, Verify {}, PROOF, move |verified| {
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => {
                return (
                    None,
                    Action::Complain(format!("{what}: {}", crate::action::reason(&error))),
                );
            }
        };
        let fill = |text: &str, values: &[String]| {
            values.iter().fold(text.to_owned(), |text, value| text.replacen("{}", value, 1))
        };
        let mut lines = match &verified.broken {
            None => {
                let [first, last] =
                    [verified.first_ms, verified.last_ms].map(cmdr_protocol::human::moment);
                let counts = [verified.records, verified.segments];
                let [records, segments] = counts.map(|n| format::count(n as usize));
                vec![vec![(
                    Role::Ok,
                    format!("✓ {}", fill(whole, &[records, segments, first, last])),
                )]]
            }
            Some(at) => {
                let at = cmdr_protocol::display::clean(&at.to_string()).into_owned();
                vec![vec![(Role::Bad, format!("✗ {}", fill(broken, &[at])))]]
            }
        };
        if verified.torn > 0 {
            lines.push(vec![(Role::Warn, fill(torn_text, &[verified.torn.to_string()]))]);
        }
        (None, Action::Open(Box::new(Pager::new(title.to_owned(), lines))))
    });
    Action::All(vec![say, fetch])
}

impl Pane for AuditPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed(), Subscription::new(None, Watch::default())]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let store = context.store;
        if store.audit.of(Whose::Audit).owner == self.owner {
            self.beside.had();
        } else if !self.beside.lost(store.now_ms) {
            return reopen(context, Whose::Audit, self.owner, &self.filter);
        }
        self.filter.clone_from(&store.audit.of(Whose::Audit).filter);
        self.order(context);
        page(context, Whose::Audit, self.table.place().1, self.table.height())
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        let log = context.store.audit.of(Whose::Audit);
        if self.table.on(command, COLUMNS) {
            return self.moved(context, command);
        }
        match command {
            Command::Open => self.detail(context),
            FOLLOW => {
                self.following = !self.following;
                self.shown = None;
                if self.following && log.is_cut {
                    return Action::Apply(search(Whose::Audit, self.owner, log.filter.clone()));
                }
                Action::None
            }
            SEARCH => Action::Open(Box::new(Search::new(context, Whose::Audit))),
            FOLD => {
                // The cursor stays on what it was on.
                let pair = self.selected(context).and_then(|(log, record)| log.pair(record));
                self.folded = !self.folded;
                if let Some(pair) = pair.filter(|pair| self.folded && pair.asked.is_none()) {
                    self.sought = Some(pair.seq);
                }
                Action::None
            }
            PAIR => self.pair(context),
            HOST => self
                .selected(context)
                .and_then(|(_, record)| page_of(context, record))
                .unwrap_or_else(|| Action::Say(context.texts.get("audit.no_host").to_owned())),
            PLAY => self.selected(context).map_or(Action::None, |(_, record)| {
                let none = || Action::Say(context.texts.get("recordings.none_of_it").to_owned());
                recording_of(context, record).unwrap_or_else(none)
            }),
            FROM_HERE => self
                .selected(context)
                .map_or(Action::None, |(log, record)| from_here(context, log, record)),
            VERIFY => verify(context),
            Command::Back if log.filter != self.opened => {
                Action::Apply(search(Whose::Audit, self.owner, self.opened.clone()))
            }
            Command::CopyValue => self
                .selected(context)
                .map_or(Action::None, |(log, record)| Action::Copy(columns::details(log, record))),
            Command::CopyCommand => self
                .selected(context)
                .map_or(Action::None, |(_, record)| Action::Copy(detail::command(record))),
            Command::NextMatch | Command::PreviousMatch => {
                let text = |seq, text: &mut String| {
                    if let Some(record) = log.get(seq) {
                        columns::haystack(context, log, record, text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                self.following = false;
                super::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("audit", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        if self.by_time() && self.table.place().0 > 0 {
            // Scrolled away with the mouse.
            self.following = false;
        }
        let Context { store, theme, texts, .. } = *context;
        let log = store.audit.of(Whose::Audit);
        let count = format::count(self.table.order().len());
        let count = texts.fill(if self.folded { "audit.rows" } else { "audit.records" }, &[&count]);
        let follow = (!self.following).then(|| self.new_ones(log));
        let line = head(context, log, count, follow);
        table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &line, false);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let folded = self.folded;
        self.table.draw(frame, body, COLUMNS, theme, texts, |seq, column, _| match log.get(seq) {
            Some(record) => columns::cell(context, log, record, column.title, folded),
            None => table::Cell::Rest(Line::default()),
        });
        if self.table.order().is_empty() {
            super::notice(frame, body, &[empty(context, log)]);
        } else if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let log = context.store.audit.of(Whose::Audit);
        let rows = self.table.order().iter().take(500).filter_map(|seq| log.get(*seq));
        rows.map(|record| Entry {
            kind: "palette.record",
            text: format!("{} {} {}", columns::verb(record), record.operator, record.resource),
            note: columns::time(context, record.at_ms),
            choice: Choice::Pick(record.seq),
        })
        .collect()
    }

    fn pick(&mut self, number: u64) {
        self.go(number);
    }
}
