//! What stands around every pane: the line at the top, the banner of a lost hub, the key line.

use super::App;
use crate::keymap::{Binding, Command, EVERYWHERE};
use crate::link::LinkState;
use crate::overlays::help::ASK;
use crate::panes::{Place, TABS, Tab, notice};
use crate::store::alerts;
use crate::store::rights::Offer;
use crate::store::settled;
use crate::theme::Role;
use crate::widgets::{format, table};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// The smallest screen there is something to see on.
const LEAST: (u16, u16) = (60, 18);

/// Cells that the brand takes.
const BRAND: u16 = 6;
/// How long the clock is shown after the last key or news.
const CLOCK_STAYS_MS: u64 = 60_000;

/// Something that waits or goes on, in a few words, and where it leads to.
type Badge = (String, Role, Place);

/// Places in the top line that can be clicked.
#[derive(Default)]
pub(super) struct Spots(Vec<(Rect, Place)>);

impl Spots {
    pub(super) fn at(&self, at: Position) -> Option<Place> {
        self.0.iter().find(|(area, _)| area.contains(at)).map(|(_, place)| *place)
    }
}

/// The tabs that fit: all by name; else only the one that is shown by name and the others by number;
/// else without the first ones, so that the one that is shown is always seen.
fn tabs(titles: &[&str], now: usize, room: usize) -> Vec<(usize, String)> {
    let named = |n: usize| format!(" {} {} ", n + 1, titles[n]);
    let short = |n: usize| if n == now { named(n) } else { format!(" {} ", n + 1) };
    let width = |tabs: &[String]| tabs.iter().map(|tab| tab.width()).sum::<usize>();
    let mut all: Vec<String> = (0..titles.len()).map(named).collect();
    let mut first = 0;
    if width(&all) > room {
        all = (0..titles.len()).map(short).collect();
        while first < now && width(&all[first..=now]) > room {
            first += 1;
        }
    }
    all.into_iter().enumerate().skip(first).collect()
}

impl App {
    pub(super) fn paint(&mut self, frame: &mut Frame<'_>) {
        let screen = frame.area();
        frame.buffer_mut().set_style(screen, self.face.theme.style(Role::Ground));
        if screen.width < LEAST.0 || screen.height < LEAST.1 {
            let sizes = [LEAST.0, LEAST.1, screen.width, screen.height].map(|n| n.to_string());
            let [w, h, now_w, now_h] = sizes.each_ref().map(String::as_str);
            let text = self.face.texts.fill("chrome.too_small", &[w, h, now_w, now_h]);
            let lines: Vec<Line<'_>> = text
                .split(" · ")
                .map(|l| Line::styled(l, self.face.theme.style(Role::Warn)))
                .collect();
            notice(frame, screen, &lines);
            return;
        }
        let fills = self.pane.fills() && self.store.hosts.me.is_some();
        let mut area = Rect { y: screen.y + 1, height: screen.height - 2, ..screen };
        if fills {
            area = screen;
            self.spots = Spots::default();
        } else {
            self.top(frame, Rect { height: 1, ..screen });
        }
        let refused = matches!(self.store.link, LinkState::Refused(_));
        if self.store.hosts.me.is_none() || refused && !self.store.hosts.known {
            self.waiting(frame, area);
        } else {
            if let Some(text) = self.trouble() {
                let line = Line::styled(format!(" {text}"), self.face.theme.style(Role::Banner));
                let buffer = frame.buffer_mut();
                let banner = Rect { height: 1, ..area };
                buffer.set_style(banner, self.face.theme.style(Role::Banner));
                table::put(buffer, area.x, area.y, area.width, &line, false);
                area = Rect { y: area.y + 1, height: area.height - 1, ..area };
            }
            self.draw_parts(frame, area);
        }
        if !fills || self.note.is_some() || self.prefixed {
            let line = Rect { y: screen.bottom() - 1, height: 1, ..screen };
            ratatui::widgets::Widget::render(ratatui::widgets::Clear, line, frame.buffer_mut());
            frame.buffer_mut().set_style(line, self.face.theme.style(Role::Ground));
            self.bottom(frame, line);
        }
        self.draw_card(frame, screen);
        let context = self.face.context(&self.store);
        for overlay in &mut self.overlays {
            overlay.draw(&context, frame, screen);
        }
    }

    /// What the name of a host and all its tabs take; nothing elsewhere.
    fn host_width(&self) -> u16 {
        let Place::Host(host, _) = self.place else { return 0 };
        let texts = &self.face.texts;
        let tab = |(n, tab): (usize, &Tab)| format!(" {} {} ", n + 1, texts.get(tab.title)).width();
        let tabs: usize = TABS.iter().enumerate().map(tab).sum();
        let home = texts.get("hosts.title").width() + self.store.hosts.name(host).width();
        (home + " ▸ ".width() + 2 + tabs) as u16
    }

    /// Where one is at the left; what waits or goes on, who one is, how the link is and what time it is at the right.
    fn top(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let theme = &self.face.theme;
        let (soft, faint) = (theme.style(Role::Soft), theme.style(Role::Faint));
        let mut badges = self.badges(area.width >= 140);
        if area.width < 80 && matches!(self.place, Place::Host(..)) {
            // The tabs are worth more than figures: the signs alone lead there.
            for (text, ..) in &mut badges {
                text.truncate(text.find(' ').unwrap_or(text.len()));
            }
        }
        let badge_width: usize = badges.iter().map(|(text, ..)| text.width() + 2).sum();
        let badge_width = badge_width as u16;
        let mut brand = area.width >= 72 || self.place == Place::Hosts;
        // The names of all tabs are worth more than who one is, how much the link carries and the brand.
        let wanted = self.host_width();
        let fits = |health: &Line<'_>, brand: u16| {
            brand + wanted + badge_width + health.width() as u16 + 2 <= area.width
        };
        let mut health = self.health(area.width);
        if wanted > 0 && !fits(&health, BRAND) {
            let ways = [(109, true), (99, true), (99, false)];
            let way = ways.into_iter().filter(|(width, _)| *width < area.width).find_map(
                |(width, shown)| {
                    let health = self.health(width);
                    fits(&health, if shown { BRAND } else { 0 }).then_some((health, shown))
                },
            );
            if let Some(way) = way {
                (health, brand) = way;
            }
        }
        let mut right = Line::default();
        for (text, role, _) in &badges {
            right.push_span(Span::styled(format!("{text}  "), theme.style(*role)));
        }
        right.extend(health);
        let right_width = (right.width() as u16).min(area.width);
        let buffer = frame.buffer_mut();
        self.spots.0.clear();
        let mut x = area.x + 1;
        let end = area.right().saturating_sub(right_width + 1);
        let mut put = |text: &str, style, place: Option<Place>| {
            let room = usize::from(end.saturating_sub(x));
            let text = cmdr_protocol::display::clean_to_width(text, room);
            let (after, _) = buffer.set_stringn(x, area.y, &text, room, style);
            if let Some(place) = place {
                self.spots.0.push((Rect { x, width: after - x, ..area }, place));
            }
            x = after;
            x
        };
        if brand {
            let brand = theme.style(Role::Accent).add_modifier(ratatui::style::Modifier::BOLD);
            put("cmdr", brand, None);
            put("  ", soft, None);
        }
        if self.store.read_only {
            put(self.face.texts.get("chrome.read_only"), theme.style(Role::Warn), None);
            put("  ", soft, None);
        }
        let home = self.face.texts.get("hosts.title");
        if let Place::Host(host, now) = self.place {
            put(home, soft, Some(Place::Hosts));
            put(" ▸ ", faint, None);
            put(&self.store.hosts.name(host), theme.style(Role::Title), None);
            let at = put("  ", soft, None);
            let titles = TABS.iter().map(|tab| self.face.texts.get(tab.title));
            let room = usize::from(end.saturating_sub(at));
            for (n, text) in tabs(&titles.collect::<Vec<_>>(), now, room) {
                let role = if n == now { Role::TabActive } else { Role::Tab };
                put(&text, theme.style(role), Some(Place::Host(host, n)));
            }
        } else if self.place == Place::Hosts {
            put(home, theme.style(Role::Title), Some(Place::Hosts));
        } else {
            put(home, soft, Some(Place::Hosts));
            put(" ▸ ", faint, None);
            put(self.face.texts.get(self.place.title()), theme.style(Role::Title), None);
        }
        let x = area.right() - right_width;
        let mut at = x;
        for (text, _, place) in badges {
            let width = (text.width() as u16).min(area.right() - at);
            self.spots.0.push((Rect { x: at, width, ..area }, place));
            at = (at + width + 2).min(area.right());
        }
        table::put(frame.buffer_mut(), x, area.y, right_width, &right, false);
    }

    /// Runs that go on, what waits for us to decide, and how long what we asked for holds: each leads to its page.
    fn badges(&self, wide: bool) -> Vec<Badge> {
        let (store, texts) = (&self.store, &self.face.texts);
        let mut badges = Vec::new();
        let mut push = |sign: &str, long: String, short: String, role, place| {
            let text = if wide { long } else { short };
            badges.push((format!("{sign} {text}"), role, place));
        };
        let count = store.runs.live.count();
        if count > 0 && store.is_up() {
            let short = format::count(count);
            push("▶", texts.fill("runs.badge", &[&short]), short.clone(), Role::Info, Place::Runs);
        }
        let waiting = store.alerts.waiting;
        if waiting.all > 0 && store.is_up() {
            let (short, (_, role)) = (format::count(waiting.all), alerts::severity(waiting.worst));
            let long = texts.fill("alerts.badge", &[&short]);
            push(alerts::sign(waiting.worst), long, short, role, Place::Alerts);
        }
        let count = store.approvals.to_decide();
        if count > 0 {
            let (short, place) = (count.to_string(), Place::Approvals);
            let long = texts.fill("approvals.badge.decide", &[&short]);
            push("⚑", long, short, Role::Warn, place);
        }
        if let Some(held) = store.approvals.elevated(store.now_ms) {
            let left = held.until_ms.saturating_sub(store.now_ms).div_ceil(60_000).to_string();
            let long = texts.fill("approvals.badge.elevated", &[&left]);
            let short = texts.fill("approvals.minutes", &[&left]);
            push(ASK, long, short, Role::Accent, Place::Approvals);
        }
        badges
    }

    fn health(&self, width: u16) -> Line<'static> {
        let (store, theme) = (&self.store, &self.face.theme);
        let soft = theme.style(Role::Soft);
        let mut spans = Vec::new();
        // The tabs of a host are worth more.
        let seen = width >= 80 || !matches!(self.place, Place::Host(..));
        if let Some(text) = self.meter_text(width >= 80).filter(|_| seen) {
            spans.push(Span::styled(text, theme.style(Role::Info)));
        }
        if self.options.thin && width >= 100 {
            let word = self.face.texts.get("chrome.thin");
            spans.push(Span::styled(format!("{word}  "), theme.style(Role::Info)));
        }
        if let Some(me) = store.hosts.me.as_ref().filter(|_| width >= 110) {
            let name = cmdr_protocol::display::clean_to_width(&me.name, 28);
            spans.push(Span::styled(format!("{name} ({})  ", me.role), soft));
        }
        if let Some((count, percent)) = store.files.running() {
            let text = format!("⇅ {count} {percent}%  ");
            spans.push(Span::styled(text, theme.style(Role::Accent)));
        }
        if let Some((_, armed, left)) = store.edits.waiting(store.now_ms).first() {
            let name = format::ending(&armed.path.to_string(), 24);
            let role = if *left < 10_000 { Role::Bad } else { Role::Warn };
            let text = format!("◔ {name} {} s  ", left.div_ceil(1000));
            spans.push(Span::styled(text, theme.style(role)));
        }
        match &store.link {
            LinkState::Up(_) => {
                let rtt = store.rtt_us.get().and_then(|us| u32::try_from(us).ok());
                let text = rtt.map_or_else(|| "…".to_owned(), format::round_trip);
                spans.push(Span::styled("● ", theme.style(Role::Ok)));
                spans.push(Span::styled(format!("{text:>6}  "), soft));
                if width >= 100 {
                    let [received, sent] = store.traffic.map(settled::Rate::get);
                    let text =
                        format!("↓{:>5} ↑{:>5}/s  ", format::bytes(received), format::bytes(sent));
                    spans.push(Span::styled(text, soft));
                }
            }
            LinkState::Refused(_) => {
                let text = format!("✗ {}  ", self.face.texts.get("link.refused"));
                spans.push(Span::styled(text, theme.style(Role::Bad)));
            }
            LinkState::Starting | LinkState::Connecting { .. } | LinkState::Closed => {
                let text = format!("○ {}  ", self.face.texts.get("link.none"));
                spans.push(Span::styled(text, theme.style(Role::Warn)));
            }
        }
        // Where nothing happens a clock would be all that is ever drawn: it is put out until
        // something does.
        let clock = if store.now_ms.saturating_sub(self.active_at_ms) < CLOCK_STAYS_MS {
            store.clock(store.now_ms, false)
        } else {
            " ".repeat(5)
        };
        spans.push(Span::styled(clock, theme.style(Role::Text)));
        spans.push(Span::raw(" "));
        Line::from(spans)
    }

    /// What is wrong with the link, when the client has been up already.
    fn trouble(&self) -> Option<String> {
        let texts = &self.face.texts;
        let age = || self.store.away_for().map_or(0, |d| d.as_secs());
        match &self.store.link {
            LinkState::Up(_) => None,
            LinkState::Refused(why) => {
                let why = texts.reason(why);
                Some(format!("✗ {}", texts.fill("link.refused_why", &[&why])))
            }
            LinkState::Connecting { attempt, last_error, .. } => {
                let mut text =
                    texts.fill("link.lost", &[&format::age(age()), &attempt.to_string()]);
                if let Some(error) = last_error {
                    text.push_str(" · ");
                    text.push_str(&texts.reason(error));
                }
                Some(format!("○ {text}"))
            }
            LinkState::Starting | LinkState::Closed => {
                Some(format!("○ {}", texts.get("link.connecting")))
            }
        }
    }

    /// The first screen, before the hub ever answered.
    fn waiting(&self, frame: &mut Frame<'_>, area: Rect) {
        let (texts, theme) = (&self.face.texts, &self.face.theme);
        let head = theme.style(Role::Title);
        let mut lines = vec![Line::styled("C O M M A N D E R", head), Line::default()];
        match &self.store.link {
            LinkState::Refused(why) => {
                lines.push(Line::styled(texts.get("link.refused"), theme.style(Role::Bad)));
                lines.push(Line::styled(texts.reason(why), theme.style(Role::Text)));
            }
            LinkState::Connecting { attempt, last_error: Some(error), .. } => {
                let text = texts.fill("link.trying", &[&attempt.to_string()]);
                lines.push(Line::styled(text, theme.style(Role::Warn)));
                lines.push(Line::styled(texts.reason(error), theme.style(Role::Soft)));
            }
            _ => lines.push(Line::styled(texts.get("link.connecting"), theme.style(Role::Soft))),
        }
        notice(frame, area, &lines);
    }

    /// A note, or the keys that matter here.
    fn bottom(&self, frame: &mut Frame<'_>, area: Rect) {
        let theme = &self.face.theme;
        let desks = self.desks_line(area.width);
        let needs = (desks.width() as u16).min(area.width / 2);
        table::put(frame.buffer_mut(), area.right() - needs, area.y, needs, &desks, false);
        let area = Rect { width: area.width - needs, ..area };
        if let Some(note) = &self.note {
            let (sign, role) = if note.bad { ("✗ ", Role::Bad) } else { ("", Role::Info) };
            let line = Line::styled(format!("{sign}{}", note.text), theme.style(role));
            table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &line, false);
            return;
        }
        let tables = self.pane.bindings().iter().copied().chain([EVERYWHERE]);
        let no_rows = self.pane.list().is_some_and(|(_, list)| list.rows() == 0);
        let context = self.context();
        let idle = |b: &Binding| b.row && no_rows || !self.pane.can(&context, b.command);
        let offered = |b: &&Binding| b.hint && self.offer(b) != Offer::No && !idle(b);
        let keys = &self.face.keys;
        let writing = self.pane.is_writing();
        let hint = |b: &'static Binding| {
            let sign = if self.offer(b) == Offer::Ask { ASK } else { "" };
            let key = if writing { keys.first_beside_text(b) } else { keys.first(b) };
            (b, format!("{sign}{key}"), self.face.texts.get(b.text))
        };
        let mut hints: Vec<_> = tables.flatten().filter(offered).map(hint).collect();
        if writing {
            let back = EVERYWHERE.iter().find(|b| b.command == Command::Back);
            hints.extend(back.map(hint));
            // What only a letter does cannot be done here.
            hints.retain(|(_, keys, _)| !keys.is_empty());
        }
        hints.retain(|(_, keys, _)| !keys.is_empty());
        let needs = |keys: &str, words: &str| keys.width() + words.width() + 3;
        let mut x = area.x + 1;
        if self.pane.is_raw(&self.context()) {
            // Which key is to be pressed before these.
            let role = if self.prefixed { Role::Banner } else { Role::Accent };
            let text = format!("{} ", self.prefix());
            (x, _) = frame.buffer_mut().set_stringn(x, area.y, &text, 20, theme.style(role));
            x += 1;
            hints.retain(|(b, ..)| b.command != Command::Quit);
        }
        let room = usize::from(area.right().saturating_sub(x)) + 2;
        while hints.iter().map(|(_, keys, words)| needs(keys, words)).sum::<usize>() > room {
            // The way to all keys stays; leaving is known from everywhere else.
            let last = hints.iter().rposition(|(b, ..)| b.command != Command::Help);
            let quit = hints.iter().position(|(b, ..)| b.command == Command::Quit);
            let Some(at) = quit.or(last) else { break };
            hints.remove(at);
        }
        for (binding, keys, words) in hints {
            let role = if binding.danger { Role::Danger } else { Role::Key };
            let buffer = frame.buffer_mut();
            let (after, _) = buffer.set_stringn(x, area.y, &keys, 20, theme.style(role));
            let style = theme.style(Role::Soft);
            let (after, _) = buffer.set_stringn(after + 1, area.y, words, 40, style);
            x = after + 2;
        }
    }
}
