//! One folder of one host, as a table: half of the pane, or all of it.

use super::columns::{self, COLUMNS};
use crate::action::{Action, reason};
use crate::event::Event;
use crate::link::Link;
use crate::panes::{Context, notice};
use crate::store::files::{self, Folder};
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::files::{Entry, FileKind, FilePath, List, Real, escape, shown};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use unicode_width::UnicodeWidthStr as _;

/// Names that are kept of one folder; of more than these the first that came are shown.
const MOST: usize = 100_000;

pub(super) struct Side {
    pub(super) host: HostId,
    pub(super) path: FilePath,
    pub(super) table: table::State<u64>,
    pub(super) hidden: bool,
    /// Where each row is among the folder's entries.
    at: HashMap<u64, usize>,
    made: Option<(u64, u64, bool)>,
}

fn key_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Side {
    pub(super) fn new(host: HostId, path: FilePath) -> Self {
        let table = table::State::default();
        Self { host, path, table, hidden: false, at: HashMap::new(), made: None }
    }

    /// Goes to another folder; the cursor goes to `name` there.
    pub(super) fn go(&mut self, path: FilePath, name: Option<&str>) {
        self.path = path;
        self.table.unmark();
        self.table.set_filter("");
        self.made = None;
        self.table.set_order(Vec::new(), |_| false);
        if let Some(name) = name {
            self.table.select(key_of(name));
        }
    }

    pub(super) fn folder<'a>(&self, context: &Context<'a>) -> Option<&'a Folder> {
        context.store.files.folder(self.host, &self.path)
    }

    /// Asks for the folder when it is not there or has changed.
    pub(super) fn poll(&self, context: &Context<'_>) -> Action {
        let wanted = match self.folder(context) {
            None => true,
            Some(folder) => folder.stale && !folder.loading,
        };
        if !wanted {
            return Action::None;
        }
        let (host, path) = (self.host, self.path.clone());
        let asking = files::asking(host, path.clone());
        let load = Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                match load(&link, host, path.clone()).await {
                    Err(e) if e.kind == ErrorKind::Elsewhere => {
                        let real = Real { path: path.clone(), last: true };
                        let found = link.call(Some(host), real, crate::action::PATIENCE).await;
                        let told = files::listed(host, path, Err(reason(&e)));
                        match found {
                            Ok(real) => {
                                let text = real.path.as_str().to_owned();
                                Event::Done(Some(told), Action::Give(super::GO, text))
                            }
                            Err(_) => Event::Done(Some(told), Action::None),
                        }
                    }
                    came => {
                        let came = came.map_err(|e| reason(&e));
                        Event::Done(Some(files::listed(host, path, came)), Action::None)
                    }
                }
            })
        }));
        Action::All(vec![Action::Apply(asking), load])
    }

    pub(super) fn order(&mut self, context: &Context<'_>) {
        let Some(folder) = self.folder(context) else { return };
        let made = (self.table.version, folder.version, self.hidden);
        if self.made == Some(made) {
            return;
        }
        self.made = Some(made);
        let compare = columns::COMPARE[self.table.sort.min(COLUMNS.len() - 1)];
        let descending =
            COLUMNS[self.table.sort.min(COLUMNS.len() - 1)].descending != self.table.reverse;
        let filter = &self.table.filter;
        let mut kept: Vec<(usize, &Entry)> = folder
            .entries
            .iter()
            .enumerate()
            .filter(|(_, e)| self.hidden || !e.name.starts_with('.'))
            .filter(|(_, e)| filter.keeps(&shown(&e.name)))
            .collect();
        let is_file = |e: &Entry| e.kind != FileKind::Folder;
        kept.sort_by(|(_, a), (_, b)| {
            let order = compare(a, b);
            let order = if descending { order.reverse() } else { order };
            is_file(a).cmp(&is_file(b)).then(order).then_with(|| a.name.cmp(&b.name))
        });
        let order = kept.iter().map(|(_, e)| key_of(&e.name)).collect();
        self.at = folder.entries.iter().enumerate().map(|(n, e)| (key_of(&e.name), n)).collect();
        let at = &self.at;
        self.table.set_order(order, |key| at.contains_key(&key));
    }

    fn entry<'a>(&self, folder: &'a Folder, key: u64) -> Option<&'a Entry> {
        folder.entries.get(*self.at.get(&key)?).filter(|entry| key_of(&entry.name) == key)
    }

    pub(super) fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Entry> {
        self.entry(self.folder(context)?, self.table.selected()?)
    }

    /// What an act is about.
    pub(super) fn targets<'a>(&self, context: &Context<'a>) -> Vec<&'a Entry> {
        let Some(folder) = self.folder(context) else { return Vec::new() };
        self.table.targets().into_iter().filter_map(|key| self.entry(folder, key)).collect()
    }

    pub(super) fn seek(&mut self, context: &Context<'_>, forward: bool) -> table::Seek {
        let Some(folder) = context.store.files.folder(self.host, &self.path) else {
            return table::Seek::None;
        };
        let at = &self.at;
        self.table.seek(forward, |key, text| {
            if let Some(entry) = at.get(&key).and_then(|at| folder.entries.get(*at)) {
                text.push_str(&shown(&entry.name));
            }
        })
    }

    /// The place of this name in the folder.
    pub(super) fn inner(&self, name: &str) -> Option<FilePath> {
        self.path.join(name).ok()
    }

    /// What a person typed as a name or a path.
    pub(super) fn typed(path: &FilePath, text: &str) -> Result<FilePath, String> {
        let text = text.trim();
        if text.starts_with('/') {
            return FilePath::from_bytes(text.as_bytes()).map_err(|e| e.to_string());
        }
        let whole = [&path.bytes()[..], b"/", text.as_bytes()].concat();
        if text.is_empty() {
            return FilePath::parse("").map_err(|e| e.to_string());
        }
        FilePath::from_bytes(&whole).map_err(|e| e.to_string())
    }

    /// As a person would type it again.
    pub(super) fn text(path: &FilePath) -> String {
        String::from_utf8(path.bytes()).unwrap_or_else(|e| escape(e.as_bytes()))
    }

    pub(super) fn draw(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        active: bool,
        many: bool,
    ) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let head = Rect { height: 1, ..area };
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let role = if active { Role::Title } else { Role::Soft };
        let mut spans = Vec::new();
        if many {
            let host = format!("{}:", store.hosts.name(self.host));
            spans.push(Span::styled(
                host,
                theme.style(if active { Role::Accent } else { Role::Soft }),
            ));
        }
        let folder = self.folder(context);
        let count = folder.map(|folder| {
            let shown = self.table.order().len();
            let hidden = folder.entries.len().saturating_sub(shown);
            let names = if shown == 1 { "files.one" } else { "files.count" };
            let mut text = texts.fill(names, &[&format::count(shown)]);
            if hidden > 0 {
                text += &texts.fill("files.hidden", &[&format::count(hidden)]);
            }
            if folder.more {
                text += &texts.fill("files.more", &[&format::count(MOST)]);
            }
            text
        });
        let count = count.unwrap_or_default();
        let room = usize::from(head.width).saturating_sub(count.width() + 4);
        spans.push(Span::styled(tail(&self.path.to_string(), room), theme.style(role)));
        spans.push(Span::styled(format!("  {count}"), theme.style(Role::Faint)));
        let line = Line::from(spans);
        table::put(
            frame.buffer_mut(),
            head.x + 1,
            head.y,
            head.width.saturating_sub(2),
            &line,
            false,
        );
        let Some(folder) = folder.filter(|f| f.version > 0) else {
            let text = if store.is_up() { "files.loading" } else { "overview.no_hub" };
            return notice(frame, body, &[Line::styled(texts.get(text), theme.style(Role::Soft))]);
        };
        if let Some(error) = &folder.error {
            let lines: Vec<_> = crate::overlays::wrap(
                &[(Role::Bad, error.clone())],
                usize::from(body.width.saturating_sub(2)),
            )
            .into_iter()
            .map(|row| {
                Line::from(
                    row.into_iter()
                        .map(|(role, text)| Span::styled(text, theme.style(role)))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
            return notice(frame, body, &lines);
        }
        let at = &self.at;
        self.table.draw(frame, body, COLUMNS, theme, texts, |key, column, _| {
            match at.get(&key).and_then(|at| folder.entries.get(*at)) {
                Some(entry) => columns::cell(context, entry, column.title),
                None => table::Cell::Line(Line::default()),
            }
        });
        if self.table.order().is_empty() {
            let key = if self.table.filter.is_on() { "table.nothing_left" } else { "files.empty" };
            notice(frame, body, &[Line::styled(texts.get(key), theme.style(Role::Soft))]);
        }
        if !store.is_up() || !active {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }
}

/// The end of a text that is too long for its room.
fn tail(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut out: Vec<char> = Vec::new();
    let mut used = 1;
    for c in text.chars().rev() {
        used += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used > room {
            break;
        }
        out.push(c);
    }
    std::iter::once('…').chain(out.into_iter().rev()).collect()
}

async fn load(link: &Link, host: HostId, path: FilePath) -> Result<(Vec<Entry>, bool), CallError> {
    let mut items = link.feed(Some(host), List { path }).await?;
    let mut entries = Vec::new();
    while let Some(page) = items.next().await {
        entries.extend(page?.entries);
        if entries.len() > MOST {
            entries.truncate(MOST);
            return Ok((entries, true));
        }
    }
    Ok((entries, false))
}
