//! The way into the composer, the whole plan to read, and the question before a run begins.

use super::ComposePane;
use crate::action::{Action, Make, PATIENCE};
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::transfers::Transfers;
use crate::panes::files::carry;
use crate::panes::run::RunPane;
use crate::panes::{Context, Place};
use crate::store::Update;
use crate::store::files::{State, Told, Transfer};
use crate::store::sheets::id_of;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_link::blobs;
use cmdr_protocol::blobs::Upload;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runs::{Plan, Planned, PlannedHost, Start};
use cmdr_protocol::{CallError, HostId};
use std::path::PathBuf;
use tokio::sync::watch;

/// Hosts whose names become the selector; more are given by their ids.
const NAMED: usize = 100;
/// Hosts of a plan that are read at most.
const READ: usize = 20_000;
/// Orders that were asked for and not begun.
const KEYS: usize = 1000;
/// Names in the question.
const ASKED: usize = 12;

/// Composes an order over these hosts.
pub fn open(context: &Context<'_>, hosts: &[HostId]) -> Action {
    Action::Enter(Place::Compose, Box::new(ComposePane::over(context, hosts)))
}

/// A selector for these hosts, and which of those that it picks are meant when it cannot say that itself.
pub(super) fn selector(context: &Context<'_>, hosts: &[HostId]) -> (String, Vec<HostId>) {
    let names: Vec<String> = hosts.iter().map(|id| context.store.hosts.name(*id)).collect();
    let plain = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
    };
    let all = &context.store.hosts.rows;
    let is_one = |name: &String| all.values().filter(|row| row.host.name == *name).count() == 1;
    if names.len() <= NAMED && names.iter().all(|name| plain(name) && is_one(name)) {
        return (names.join(","), Vec::new());
    }
    ("*".to_owned(), hosts.to_vec())
}

/// A plan with all of its hosts, page by page.
fn whole(
    start: Start,
    so_far: Option<Planned>,
    then: fn(Start, Planned) -> Box<dyn Make>,
) -> Action {
    let from = so_far.as_ref().and_then(|planned| planned.next).unwrap_or(0);
    let plan = Plan { start: start.clone(), from };
    Action::fetch(None, plan, PATIENCE, move |answer: Result<Planned, CallError>| {
        let page = match answer {
            Ok(page) => page,
            Err(error) => return (None, Action::Complain(crate::action::reason(&error))),
        };
        let planned = match so_far {
            None => page,
            Some(mut planned) => {
                planned.hosts.extend(page.hosts);
                planned.next = page.next;
                planned
            }
        };
        let next = planned.next.is_some_and(|next| next > from) && planned.hosts.len() < READ;
        let action = if next {
            whole(start, Some(planned), then)
        } else {
            Action::Make(then(start, planned))
        };
        (None, action)
    })
}

/// Shows exactly what would go where.
pub(super) fn plan(start: Start) -> Action {
    whole(start, None, |start, planned| Box::new(Read(start, planned, false)))
}

/// The same, and begins it from there.
pub(in crate::panes) fn plan_to_begin(start: Start) -> Action {
    whole(start, None, |start, planned| Box::new(Read(start, planned, true)))
}

/// An order with all of its hosts, and whether it can be begun from where that is read.
struct Read(Start, Planned, bool);

/// An order that was read and is to be begun.
struct Begin(Start);

impl Make for Begin {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        start(context, self.0)
    }
}

/// A host of a plan: its sign, and what is to be said about it.
pub(super) fn host(
    context: &Context<'_>,
    host: &PlannedHost,
    when_online: bool,
    waves: bool,
) -> Vec<Piece> {
    let texts = context.texts;
    // How it is now, as far as that is known here.
    let row = host.host.and_then(|id| context.store.hosts.get(id));
    let state = row.map_or(host.state, |row| row.host.state);
    let (sign, role) = match state {
        HostState::Online => ("●", Role::Ok),
        _ if when_online => ("◌", Role::Warn),
        _ => ("○", Role::Bad),
    };
    let mut line = vec![(role, format!("{sign} ")), (Role::Text, clean(&host.name).into_owned())];
    if waves {
        let wave = texts.fill("run.wave", &[&(host.wave + 1).to_string()]);
        line.push((Role::Soft, format!("  {wave}")));
    }
    if host.protected {
        line.push((Role::Warn, format!("  ⚑ {}", texts.get("compose.protected"))));
    }
    if state != HostState::Online {
        let key = if when_online { "compose.waits" } else { "compose.away" };
        line.push((role, format!("  {}", texts.get(key))));
    }
    line
}

/// How many hosts, how many of them are there, and what guards them.
pub(super) fn summary(context: &Context<'_>, planned: &Planned) -> Vec<Piece> {
    let texts = context.texts;
    let count = |n: u32| format::count(n as usize);
    let hosts = if planned.count == 1 { "hosts.host" } else { "hosts.hosts" };
    let mut line = vec![(Role::Strong, format!("{} {}", count(planned.count), texts.get(hosts)))];
    line.push((Role::Ok, format!("  ● {}", count(planned.online))));
    let away = planned.count.saturating_sub(planned.online);
    if away > 0 {
        line.push((Role::Bad, format!("  ○ {}", count(away))));
    }
    if !planned.refused.is_empty() {
        line.push((Role::Bad, format!("  ⊘ {}", planned.refused.len())));
    }
    if planned.guard.protected > 0 {
        line.push((Role::Warn, format!("  ⚑ {}", count(planned.guard.protected))));
    }
    if planned.waves.len() > 1 {
        let waves = texts.fill("compose.waves_count", &[&planned.waves.len().to_string()]);
        line.push((Role::Soft, format!("  {waves}")));
    }
    line
}

/// What guards the hosts, in words.
pub(super) fn guards(context: &Context<'_>, planned: &Planned) -> Vec<Vec<Piece>> {
    let texts = context.texts;
    let mut lines = Vec::new();
    if planned.guard.confirm {
        let why = texts.reason(&planned.guard.why);
        lines.push(vec![(Role::Warn, texts.fill("compose.guard.typed", &[&why]))]);
    }
    if planned.guard.first_of_one {
        lines.push(vec![(Role::Warn, texts.get("compose.guard.first").to_owned())]);
    }
    lines
}

impl Make for Read {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(start, planned, begins) = *self;
        let texts = context.texts;
        let mut lines = vec![vec![(Role::Strong, start.order.told())], summary(context, &planned)];
        lines.extend(guards(context, &planned));
        lines.push(Vec::new());
        for refused in &planned.refused {
            lines.push(vec![
                (Role::Bad, "⊘ ".to_owned()),
                (Role::Text, clean(&refused.name).into_owned()),
                (Role::Bad, format!("  {}", texts.reason(&refused.why))),
            ]);
        }
        let mut wave = None;
        for one in &planned.hosts {
            if planned.waves.len() > 1 && wave != Some(one.wave) {
                wave = Some(one.wave);
                let size = planned.waves.get(one.wave as usize).copied().unwrap_or(0);
                let name = texts.fill("run.wave", &[&(one.wave + 1).to_string()]);
                let size = crate::panes::run::columns::hosts(texts, size);
                lines.push(vec![(Role::Accent, name), (Role::Soft, format!("  {size}"))]);
            }
            lines.push(host(context, one, start.when_online, false));
        }
        let left = (planned.count as usize).saturating_sub(planned.hosts.len());
        if left > 0 {
            lines.push(vec![(Role::Soft, texts.fill("confirm.more", &[&left.to_string()]))]);
        }
        let names = planned.hosts.iter().map(|host| host.name.clone() + "\n").collect();
        let title = texts.get("compose.plan.title").to_owned();
        let mut pager = Pager::new(title, lines).copying(names);
        if begins {
            let begin = Action::Make(Box::new(Begin(start)));
            pager = pager.with_key('s', texts.get("compose.key.start"), begin);
        }
        Action::Open(Box::new(pager))
    }
}

impl ComposePane {
    /// Sends the content of a file of this machine to the hub, unless that has it, and goes on with the order.
    /// While one is on its way it is shown how far that is, with the way to give it up.
    pub(super) fn send(&mut self, context: &Context<'_>, start: Start, file: &str) -> Action {
        if self.sent(context).is_some() {
            return Action::Open(Box::new(Transfers::default()));
        }
        let texts = context.texts;
        let path = crate::app::expand(file);
        let what = texts.fill("compose.send", &[&clean_to_width(file, 50)]);
        let nothing = texts.get("compose.send.failed").to_owned();
        let id = context.store.files.next;
        self.sending = Some(id);
        carry::follow(id, what, None, move |link, tell| async move {
            Ok(match upload(&link, path, &tell).await {
                Ok(hash) => (State::Done, Action::Make(Box::new(Sent(start, hash)))),
                Err(why) => {
                    let why = clean_to_width(&why, 200);
                    (State::Failed(nothing.replacen("{}", &why, 1)), Action::None)
                }
            })
        })
    }

    /// The file that is on its way to the hub for this order.
    pub(super) fn sent<'a>(&self, context: &Context<'a>) -> Option<&'a Transfer> {
        let mut transfers = context.store.files.transfers.iter();
        transfers.find(|one| Some(one.id) == self.sending && one.state == State::Running)
    }
}

/// The hash by which the hub has it.
async fn upload(link: &Link, path: PathBuf, tell: &watch::Sender<Told>) -> Result<String, String> {
    let looking = tokio::task::spawn_blocking(move || {
        let (hash, size) = blobs::sum(&path)?;
        Ok((hash, size, std::fs::File::open(&path)?))
    });
    let looked = looking.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    let (hash, size, file) = looked.map_err(|e| cmdr_link::files::reason(&e))?;
    let said = |e: CallError| crate::action::reason(&e);
    let client = link.client().map_err(said)?;
    let upload = Upload { hash: hash.clone(), size };
    let so_far =
        |have| tell.send_modify(|told| (told.progress.have, told.progress.size) = (have, size));
    so_far(0);
    blobs::send(&client, None, &upload, (file, size), &so_far).await.map_err(said)?;
    Ok(hash)
}

/// A file that the hub has, and the order that is about it.
struct Sent(Start, String);

impl Make for Sent {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(mut order, hash) = *self;
        if let Some(push) = &mut order.order.push {
            push.file = hash;
        }
        start(context, order)
    }
}

/// Looks at the plan once more, and asks.
pub(super) fn start(context: &Context<'_>, mut start: Start) -> Action {
    let order = id_of(&serde_json::to_string(&start).unwrap_or_default());
    let key = match context.store.runs.keys.get(&order) {
        // Should the link break before the answer, the same is asked again and begun once.
        Some(key) => key.clone(),
        None => match getrandom::u64() {
            Ok(name) => format!("tui-{name:016x}"),
            Err(error) => return Action::Complain(error.to_string()),
        },
    };
    start.key.clone_from(&key);
    let kept = Action::Apply(Update::new(move |store| {
        if store.runs.keys.len() > KEYS {
            store.runs.keys.clear();
        }
        store.runs.keys.insert(order, key);
    }));
    Action::All(vec![kept, whole_first(order, start)])
}

/// Only the first page: the hub looks at all of them again.
fn whole_first(order: u64, start: Start) -> Action {
    let plan = Plan { start: start.clone(), from: 0 };
    Action::fetch(None, plan, PATIENCE, move |answer| {
        (None, Action::Make(Box::new(Asked(order, start, answer))))
    })
}

struct Asked(u64, Start, Result<Planned, CallError>);

impl Make for Asked {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(order, mut start, answer) = *self;
        let texts = context.texts;
        let planned = match answer {
            Ok(planned) => planned,
            Err(error) => return Action::Complain(crate::action::reason(&error)),
        };
        if let Some(refused) = planned.refused.first() {
            let values = [&*clean(&refused.name), &*texts.reason(&refused.why)];
            return Action::Complain(texts.fill("compose.refused", &values));
        }
        if planned.count == 0 {
            return Action::Complain(texts.fill("compose.no_hosts", &[&start.hosts]));
        }
        let told = clean_to_width(&start.order.told(), 60);
        let count = format::count(planned.count as usize);
        let title = if planned.count == 1 {
            let name = planned.hosts.first().map_or("", |host| host.name.as_str());
            texts.fill("compose.ask.one", &[&told, &clean(name)])
        } else {
            texts.fill("compose.ask.many", &[&told, &count])
        };
        let text = |line: Vec<Piece>| line.into_iter().map(|(_, text)| text).collect::<String>();
        let mut lines = vec![text(summary(context, &planned))];
        lines.extend(guards(context, &planned).into_iter().map(text));
        let names: Vec<String> =
            planned.hosts.iter().take(ASKED).map(|host| clean(&host.name).into_owned()).collect();
        let more = (planned.count as usize).saturating_sub(names.len());
        let typed = planned.guard.confirm;
        if typed {
            start.confirm = Some(planned.count);
        }
        let call = begin(context, order, start);
        if planned.count > 1 {
            lines.push(names.join("  "));
        }
        if more > 0 {
            lines.push(texts.fill("confirm.more", &[&more.to_string()]));
        }
        let confirm = if typed {
            Confirm::word(title, lines, planned.count.to_string(), call)
        } else {
            Confirm::one(title, call).about(lines)
        };
        Action::Open(Box::new(confirm))
    }
}

fn begin(context: &Context<'_>, order: u64, start: Start) -> Action {
    let texts = context.texts;
    let what = texts.fill("compose.begin.what", &[&clean_to_width(&start.order.told(), 40)]);
    let done = texts.get("compose.begin.done").to_owned();
    Action::call(what, None, start, move |started| {
        // The same order once more is another run.
        let begun = Update::new(move |store| {
            store.runs.keys.remove(&order);
            store.runs.draft = None;
        });
        let Some(run) = started.run else { return (Some(begun), Action::None) };
        let said = Action::Say(done.replacen("{}", &started.targets.to_string(), 1));
        let enter = Action::Enter(Place::Run(run), Box::new(RunPane::of(run)));
        (Some(begun), Action::All(vec![enter, said]))
    })
}
