//! Orders to the hosts of a project: bring it up, stop it, take it away. So many hosts at once; what their compose programs
//! say is shown as it comes. It goes on when the box is closed.

use super::{Project, ask};
use crate::action::{Action, Make};
use crate::event::Event;
use crate::link::{Items, Link};
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::{Overlay, leaves, rows, step};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::compose::{self as store, Doing, OnHost};
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::compose::kept::Deploy;
use cmdr_protocol::compose::{Down, Progress, Stop};
use cmdr_protocol::display::clean;
use cmdr_protocol::{Feed, HostId};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Hosts that are at it at once.
const AT_ONCE: usize = 8;

/// Names of hosts, as a selector.
pub(super) fn names(context: &Context<'_>, hosts: impl Iterator<Item = HostId>) -> String {
    hosts.map(|host| context.store.hosts.name(host)).collect::<Vec<_>>().join(",")
}

/// Hosts that are not at it yet: which, whom to ask for it, and what.
type Queue<F> = Arc<Mutex<VecDeque<(HostId, Option<HostId>, F)>>>;

/// An order that was agreed to.
struct Order<F> {
    what: String,
    project: String,
    queue: VecDeque<(HostId, Option<HostId>, F)>,
}

impl<F: Feed<Item = Progress>> Make for Order<F> {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let number = context.store.compose.next();
        let hosts: Vec<HostId> = self.queue.iter().map(|(host, ..)| *host).collect();
        let lanes = hosts.len().min(AT_ONCE);
        let began = store::began(self.what, self.project, hosts);
        let queue = Arc::new(Mutex::new(self.queue));
        let mut actions = vec![Action::Apply(began), show(number)];
        actions.extend((0..lanes).map(|_| next(number, queue.clone())));
        Action::All(actions)
    }
}

/// The next host's turn.
fn next<F: Feed<Item = Progress>>(number: u64, queue: Queue<F>) -> Action {
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let taken = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((host, to, feed)) = taken else {
                return Event::Done(None, Action::Make(Box::new(Over(number))));
            };
            match link.feed(to, feed).await {
                Ok(items) => follow(number, host, items, queue).await,
                Err(error) => {
                    let why = crate::action::reason(&error);
                    Event::Done(Some(store::failed(number, host, why)), next(number, queue))
                }
            }
        })
    }))
}

/// Takes one item, and leaves the rest for when that was taken in.
fn follow<F: Feed<Item = Progress>>(
    number: u64,
    host: HostId,
    mut items: Items<F>,
    queue: Queue<F>,
) -> Pin<Box<dyn Future<Output = Event> + Send>> {
    Box::pin(async move {
        let error = match items.next().await {
            Some(Ok(progress)) if progress.done.is_some() => {
                return Event::Done(Some(store::told(number, host, progress)), next(number, queue));
            }
            Some(Ok(progress)) => {
                let rest = move |_| follow(number, host, items, queue);
                let told = store::told(number, host, progress);
                return Event::Done(Some(told), Action::Errand(Box::new(rest)));
            }
            Some(Err(error)) => error,
            None => crate::link::cut_short_there(),
        };
        let why = crate::action::reason(&error);
        Event::Done(Some(store::failed(number, host, why)), next(number, queue))
    })
}

/// A lane of an order has no host any more: says how it ended when it was the last one.
struct Over(u64);

impl Make for Over {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Some(work) = context.store.compose.work(self.0).filter(|work| work.is_over()) else {
            return Action::None;
        };
        match work.failed() {
            0 => Action::Say(context.texts.fill("docker.done", &[&work.what])),
            failed => {
                let (failed, all) = (failed.to_string(), work.hosts.len().to_string());
                Action::Complain(
                    context.texts.fill("projects.failed", &[&work.what, &failed, &all]),
                )
            }
        }
    }
}

fn order<F: Feed<Item = Progress>>(
    what: String,
    project: &Project,
    hosts: &[HostId],
    make: impl Fn(HostId) -> (Option<HostId>, F),
) -> Action {
    let each = hosts.iter().map(|host| {
        let (to, feed) = make(*host);
        (*host, to, feed)
    });
    let order = Order { what, project: project.kept.name.clone(), queue: each.collect() };
    Action::Make(Box::new(order))
}

/// The question before it.
fn asked(
    context: &Context<'_>,
    (title, command): (String, String),
    hosts: &[HostId],
    about: Vec<String>,
    order: Action,
) -> Action {
    let confirm = if hosts.len() == 1 {
        Confirm::one(title, order).about(about)
    } else {
        let names = hosts.iter().map(|host| context.store.hosts.name(*host));
        let lines = about.into_iter().chain(names).collect();
        Confirm::many(title, lines, order).counting(hosts.len())
    };
    Action::Open(Box::new(confirm.copying(command)))
}

/// Where, in words: the host, or how many.
fn place(context: &Context<'_>, hosts: &[HostId]) -> String {
    match hosts {
        [host] => context.store.hosts.name(*host),
        many => context.texts.fill("processes.hosts", &[&many.len().to_string()]),
    }
}

/// Asks whether to bring this version up on these hosts, where a plan was made.
pub(super) fn deploy(
    context: &Context<'_>,
    project: &Project,
    hosts: &[HostId],
    about: Vec<String>,
) -> Action {
    let texts = context.texts;
    let (name, version) = (project.kept.name.clone(), project.kept.version);
    let shown = texts.fill("projects.version_of", &[&clean(&name), &version.to_string()]);
    let word = texts.get("projects.word.up");
    let title = texts.fill("docker.ask", &[word, &shown, &place(context, hosts)]);
    let on = quoted(&names(context, hosts.iter().copied()));
    let command = format!("cmdr docker compose up {} {on} --version {version}", quoted(&name));
    let order = order(format!("{word} {shown}"), project, hosts, |host| {
        let deploy = Deploy {
            host,
            name: name.clone(),
            version: Some(version),
            pull: cmdr_protocol::compose::Pull::Missing,
            recreate: false,
            keep_orphans: false,
        };
        (None, deploy)
    });
    asked(context, (title, command), hosts, about, order)
}

/// What is to be done on hosts that are still to be found.
#[derive(Clone, Copy)]
enum Wanted {
    Stop,
    /// With its volumes or without.
    Down(bool),
}

struct Found {
    project: Project,
    wanted: Wanted,
    hosts: Vec<HostId>,
    beyond: usize,
}

/// Finds out on which hosts, then asks.
fn find(project: &Project, wanted: Wanted) -> Action {
    let project = project.clone();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let action = match ask::hosts(&link, &project).await {
                Ok(ask::Hosts { hosts, beyond }) => {
                    Action::Make(Box::new(Found { project, wanted, hosts, beyond }))
                }
                Err(error) => Action::Complain(crate::action::reason(&error)),
            };
            Event::Done(None, action)
        })
    }))
}

pub(super) fn stop(project: &Project) -> Action {
    find(project, Wanted::Stop)
}

/// With its volumes or without? Then whether.
pub(super) fn down(context: &Context<'_>, project: &Project) -> Action {
    let texts = context.texts;
    let title = texts.fill("projects.down.title", &[&clean(&project.kept.name)]);
    let items = [
        ("projects.down.keep", "projects.down.keep_about"),
        ("projects.down.volumes", "projects.down.volumes_about"),
    ];
    let items =
        items.map(|(name, about)| (texts.get(name).to_owned(), texts.get(about).to_owned()));
    let project = project.clone();
    let menu = Menu::new(title, items.to_vec(), 0, move |at| find(&project, Wanted::Down(at == 1)));
    Action::Open(Box::new(menu.dangerous()))
}

impl Make for Found {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { project, wanted, hosts, beyond } = *self;
        let name = project.kept.name.clone();
        let shown = clean(&name).into_owned();
        if hosts.is_empty() {
            return Action::Say(texts.fill("projects.no_hosts", &[&shown]));
        }
        let on = quoted(&names(context, hosts.iter().copied()));
        let mut about = Vec::new();
        if beyond > 0 {
            about.push(texts.fill("projects.beyond", &[&beyond.to_string()]));
        }
        let title = |word| texts.fill("docker.ask", &[word, &shown, &place(context, &hosts)]);
        match wanted {
            Wanted::Stop => {
                let word = texts.get("containers.word.stop");
                let order = order(format!("{word} {shown}"), &project, &hosts, |host| {
                    (Some(host), Stop { project: name.clone(), timeout_s: None })
                });
                let command = format!("cmdr docker compose stop {} {on}", quoted(&name));
                asked(context, (title(word), command), &hosts, about, order)
            }
            Wanted::Down(volumes) => {
                let word = texts.get("projects.word.down");
                let order = order(format!("{word} {shown}"), &project, &hosts, |host| {
                    (Some(host), Down { project: name.clone(), volumes, timeout_s: None })
                });
                let which = if volumes {
                    "projects.down.volumes_about"
                } else {
                    "projects.down.keep_about"
                };
                about.push(texts.get(which).to_owned());
                about.extend(hosts.iter().map(|host| context.store.hosts.name(*host)));
                let more = if volumes { " --volumes" } else { "" };
                let command = format!("cmdr docker compose down {} {on}{more}", quoted(&name));
                let confirm = Confirm::word(title(word), about, shown.clone(), order);
                Action::Open(Box::new(confirm.copying(command)))
            }
        }
    }
}

/// Shows how far an order is.
pub(super) fn show(number: u64) -> Action {
    Action::Open(Box::new(Orders { number, back: 0 }))
}

/// An order, host by host, with what their compose programs say.
struct Orders {
    number: u64,
    /// Rows that the newest one is below the screen.
    back: usize,
}

fn lines(context: &Context<'_>, on: &OnHost, width: usize, lines: &mut Vec<(Role, String)>) {
    let texts = context.texts;
    let (role, key) = match &on.doing {
        Doing::Waits => (Role::Soft, "projects.doing.waits"),
        Doing::Runs => (Role::Info, "projects.doing.runs"),
        Doing::Done => (Role::Ok, "projects.doing.done"),
        Doing::Failed(_) => (Role::Bad, "projects.doing.failed"),
    };
    let name = context.store.hosts.name(on.host);
    lines.push((role, format!("{}  {}", clean(&name), texts.get(key))));
    let said = on.lines.iter().map(|line| (Role::Text, line));
    let why = match &on.doing {
        Doing::Failed(why) => Some((Role::Bad, why)),
        _ => None,
    };
    for (role, text) in said.chain(why) {
        let broken = rows(text, width.saturating_sub(2));
        lines.extend(broken.into_iter().map(|row| (role, format!("  {row}"))));
    }
}

impl Overlay for Orders {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) || key.code == KeyCode::Char('q') {
            return Action::Close;
        }
        let by = match key.code {
            KeyCode::Char('j') => Some(1),
            KeyCode::Char('k') => Some(-1),
            _ => step(key),
        };
        self.back = self.back.saturating_add_signed(-by.unwrap_or(0));
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { store, theme, texts, glyphs, .. } = *context;
        let work = store.compose.work(self.number);
        let what = work.map_or_else(String::new, |work| work.what.clone());
        let title = Line::styled(format!(" {what} "), theme.style(Role::Title));
        let buffer = frame.buffer_mut();
        let size = (screen.width, screen.height.saturating_sub(4));
        let inner = boxes::popup(buffer, screen, size, title, false, theme, glyphs);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let hint = rows(texts.get("projects.work.hint"), usize::from(width));
        let room = usize::from(inner.height).saturating_sub(hint.len());
        let mut all = Vec::new();
        for on in work.iter().flat_map(|work| &work.hosts) {
            lines(context, on, usize::from(width), &mut all);
        }
        self.back = self.back.min(all.len().saturating_sub(room));
        let first = all.len().saturating_sub(room + self.back);
        for (y, (role, text)) in (inner.y..).zip(all.into_iter().skip(first).take(room)) {
            let line = Line::styled(text, theme.style(role));
            table::put(buffer, x, y, width, &line, false);
        }
        let below = inner.bottom().saturating_sub(hint.len() as u16);
        for (y, row) in (below..).zip(hint) {
            let line = Line::styled(row, theme.style(Role::Soft));
            table::put(buffer, x, y, width, &line, false);
        }
    }
}
