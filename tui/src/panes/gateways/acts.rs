//! What can be done to a gateway: its text, and what is said to it while it runs.

use super::below::Piece;
use crate::action::{Action, Make, PATIENCE, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::overlays::menu::Menu;
use crate::overlays::pager::Pager;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::panes::write::keys::{set, yaml};
use crate::panes::write::{Subject, WritePane};
use crate::store::gateways::{self as store, One};
use crate::store::rights::Offer;
use crate::store::written::{Draft, drafted};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{
    Ban, Bans, Delete, Drain, Ended, GroupFigures, Log, Row, Save, Show, Shown, State, Status,
    UpstreamFigures, Weight, check_name,
};
use cmdr_protocol::human;
use cmdr_protocol::{Call as _, CallError, HostId};

/// How often a gateway's host is asked how it does.
pub(super) const STATUS_MS: u64 = 2000;
/// How often it is asked about connections that have ended, and about bans.
const LOG_MS: u64 = 5000;
/// After an answer that was none.
const AGAIN_MS: u64 = 10_000;

/// The command that tells of one.
pub(super) fn status_line(row: &Row) -> String {
    format!("cmdr gateway status {}", quoted(&row.name))
}

/// The host that one runs on.
fn host(row: &Row) -> Option<HostId> {
    row.host.filter(|_| row.state != State::Off)
}

/// How it does, when that is due.
pub(super) fn ask(context: &Context<'_>, number: u64, row: &Row) -> Option<Action> {
    let host = host(row)?;
    let gateways = &context.store.gateways;
    let (now, often) = (context.store.now_ms, context.store.interval_ms(STATUS_MS));
    let fresh = gateways.one(number).is_some_and(|one| {
        let often = if one.figures.is_ok() { often } else { AGAIN_MS };
        one.came_ms > 0 && now.saturating_sub(one.came_ms) < often
    });
    if fresh || gateways.busy {
        return None;
    }
    let status = Status { name: row.name.clone() };
    let fetch = Action::fetch(Some(host), status, PATIENCE, move |answer| {
        (Some(store::told(number, answer)), Action::None)
    });
    Some(Action::All(vec![Action::Apply(store::busy()), fetch]))
}

/// What has ended and who is banned, when that is due.
pub(super) fn ask_happened(context: &Context<'_>, number: u64, row: &Row) -> Option<Action> {
    let host = host(row)?;
    let store = context.store;
    let one = store.gateways.one(number)?;
    let often =
        store.interval_ms(if matches!(one.ended, Some(Err(_))) { AGAIN_MS } else { LOG_MS });
    let fresh = one.asked_ms > 0 && store.now_ms.saturating_sub(one.asked_ms) < often;
    if fresh || store.gateways.busy || store.offer(Log::METHOD, false, &[host]) == Offer::No {
        return None;
    }
    let name = row.name.clone();
    let errand = Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let both = async {
                let log = link.call(Some(host), Log { name: name.clone() }, PATIENCE).await?;
                let bans = link.call(Some(host), Bans { name }, PATIENCE).await?;
                Ok((log, bans))
            };
            let both: Result<_, CallError> = both.await;
            Event::Done(Some(store::happened(number, both)), Action::None)
        })
    }));
    Some(Action::All(vec![Action::Apply(store::busy()), errand]))
}

/// Its charts: connections, bytes, errors of its listeners, and its upstreams.
pub(super) fn chart(row: &Row) -> Action {
    let figures = ["accepted", "connections", "received", "sent", "errors"];
    let figure = |figure: &str| format!("gateway.{figure}{{{}/*}}", row.name);
    crate::panes::history::open_figures(figures.into_iter().map(figure).collect())
}

/// Removes one, after a question.
pub(super) fn delete(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let name = row.name.clone();
    let number = store::number(&name);
    let done = texts.fill("gateways.delete.done", &[&name]);
    let what = texts.fill("gateways.delete.what", &[&name]);
    let call = Action::call(what, None, Delete { name: name.clone() }, move |_| {
        let gone = Action::Apply(drafted(number, None));
        (Some(store::stale()), Action::All(vec![gone, Action::Say(done)]))
    });
    let title = texts.fill("gateways.delete.title", &[&name]);
    let lines = vec![texts.fill("gateways.delete.about", &[&row.host_name])];
    let command = format!("cmdr gateway rm {}", quoted(&name));
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// What is wanted of a gateway's text.
#[derive(Clone, Copy)]
enum Wanted {
    Text,
    Write,
    /// On when it was off, and the other way round.
    Off,
}

struct Came(Wanted, Result<Shown, CallError>);

fn with(name: &str, wanted: Wanted) -> Action {
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, move |shown| {
        (None, Action::Make(Box::new(Came(wanted, shown))))
    })
}

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(wanted, shown) = *self;
        let Shown { gateway, text, problems, .. } = match shown {
            Err(error) => return Action::Complain(reason(&error)),
            Ok(shown) => shown,
        };
        match wanted {
            Wanted::Text => {
                let name = clean(&gateway.name).into_owned();
                let mut lines: Vec<Vec<Piece>> = problems
                    .iter()
                    .map(|problem| vec![(Role::Bad, clean(&problem.to_string()).into_owned())])
                    .collect();
                lines.extend(text.lines().map(|line| {
                    let line = clean(&line.replace('\t', "    ")).into_owned();
                    let comment = line.trim_start().starts_with('#');
                    vec![(if comment { Role::Soft } else { Role::Text }, line)]
                }));
                let command = format!("cmdr gateway show {}", quoted(&name));
                let pager = Pager::new(name, lines).with_wrap().copying(text);
                Action::Open(Box::new(pager.copying_command(command)))
            }
            Wanted::Write => {
                WritePane::enter(Subject::Gateway(gateway.name), text, gateway.version, problems)
            }
            Wanted::Off => turn(context, &gateway, &text),
        }
    }
}

/// Has it run, or not, after a question: not to run ends what goes through it in time.
fn turn(context: &Context<'_>, row: &Row, text: &str) -> Action {
    let texts = context.texts;
    let name = clean(&row.name).into_owned();
    let was_off = row.state == State::Off;
    let text = set(text, "off", if was_off { "" } else { "true" });
    let (title, about, done) = if was_off {
        ("gateways.on.title", "gateways.on.about", "gateways.on.done")
    } else {
        ("gateways.off.title", "gateways.off.about", "gateways.off.done")
    };
    let done = texts.fill(done, &[&name]);
    let save = Save { name: row.name.clone(), text, note: String::new(), was: Some(row.version) };
    let call =
        Action::call(name.clone(), None, save, move |_| (Some(store::stale()), Action::Say(done)));
    let about = vec![texts.get(about).to_owned()];
    Action::Open(Box::new(Confirm::one(texts.fill(title, &[&name]), call).about(about)))
}

fn draft_of<'a>(context: &Context<'a>, row: &Row) -> Option<&'a Draft> {
    context.store.written.drafts.get(&store::number(&row.name))
}

/// Shows the text.
pub(super) fn text(row: &Row) -> Action {
    with(&row.name, Wanted::Text)
}

/// Writes the text: what was written and not saved, else what the hub has.
pub(super) fn write(context: &Context<'_>, row: &Row) -> Action {
    match draft_of(context, row) {
        Some(draft) => WritePane::go_on(Subject::Gateway(row.name.clone()), draft.clone()),
        None => with(&row.name, Wanted::Write),
    }
}

/// Has it run, or not.
pub(super) fn off(context: &Context<'_>, row: &Row) -> Action {
    if draft_of(context, row).is_some() {
        return Action::Complain(context.texts.fill("gateways.has_draft", &[&row.name]));
    }
    with(&row.name, Wanted::Off)
}

/// The text of a new one, from a form; it is looked at before it is saved.
pub(super) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts.clone();
    let field = |name, hint, text: &str| Field::new(name, hint, text.to_owned());
    let fields = vec![
        field("gateways.form.name", "gateways.form.name_hint", ""),
        field("gateways.form.host", "gateways.form.host_hint", ""),
        field("gateways.form.listen", "gateways.form.listen_hint", "0.0.0.0:80"),
        field("gateways.form.upstreams", "gateways.form.upstreams_hint", ""),
    ];
    let form = Form::new(texts.get("gateways.form.title").to_owned(), fields);
    let rows = context.store.gateways.rows.values();
    let known: Vec<String> = rows.map(|row| row.name.clone()).collect();
    Action::Open(Box::new(Fill::new(form, move |form| {
        let [name, host, listen, upstreams] = [0, 1, 2, 3].map(|at| form.text(at));
        let wrong = |at: usize, key: &'static str| Err((at, texts.get(key).to_owned()));
        if check_name(name).is_err() {
            return wrong(0, "gateways.form.name_wrong");
        }
        if known.iter().any(|known| known == name) {
            return wrong(0, "gateways.form.there");
        }
        if host.is_empty() {
            return wrong(1, "gateways.form.host_wrong");
        }
        let (transport, address) = match listen.strip_prefix("udp ") {
            Some(address) => ("udp", address.trim()),
            None => ("tcp", listen.strip_prefix("tcp ").unwrap_or(listen)),
        };
        if address.parse::<std::net::SocketAddr>().is_err() {
            return wrong(2, "gateways.form.listen_wrong");
        }
        let all: Vec<&str> =
            upstreams.split([',', ' ']).filter(|address| !address.is_empty()).collect();
        if all.is_empty() || all.iter().any(|a| a.parse::<std::net::SocketAddr>().is_err()) {
            return wrong(3, "gateways.form.upstreams_wrong");
        }
        let mut text = format!(
            "name: {name}\nhost: {}\ndescription: ''\nlisteners:\n- {{ name: main, transport: {transport}, address: '{address}', group: main }}\ngroups:\n- name: main\n  balance: least-connections\n",
            yaml(host)
        );
        if transport == "tcp" {
            text.push_str("  check: { kind: tcp }\n");
        }
        text.push_str("  upstreams:\n");
        for address in all {
            text.push_str("  - { address: '");
            text.push_str(address);
            text.push_str("' }\n");
        }
        let draft = Draft { text, ..Draft::default() };
        Ok(WritePane::go_on(Subject::Gateway(name.to_owned()), draft))
    })))
}

/// An upstream of a gateway that runs.
pub(super) struct Part<'a> {
    pub(super) row: &'a Row,
    pub(super) host: HostId,
    pub(super) group: &'a GroupFigures,
    pub(super) upstream: &'a UpstreamFigures,
}

impl Part<'_> {
    /// Its words in a command.
    fn words(&self) -> String {
        let [name, group, address] =
            [&self.row.name, &self.group.name, &self.upstream.address].map(|word| quoted(word));
        format!("{name} {group} {address}")
    }
}

fn said(done: String) -> (Option<crate::store::Update>, Action) {
    (Some(store::stale()), Action::Say(done))
}

/// An upstream takes no new connections, or takes them again.
pub(super) fn drain(context: &Context<'_>, part: &Part<'_>) -> Action {
    let texts = context.texts;
    let address = part.upstream.address.clone();
    let off = part.upstream.state == "drained";
    let drain = Drain {
        name: part.row.name.clone(),
        group: part.group.name.clone(),
        upstream: address.clone(),
        off,
        ..Drain::default()
    };
    if off {
        let done = texts.fill("gateways.undrain.done", &[&address]);
        return Action::call(address, Some(part.host), drain, move |_| said(done));
    }
    let others = part.group.upstreams.iter();
    let others = others.filter(|u| u.address != address && u.state == "up" && u.weight > 0).count();
    let mut about = vec![texts.fill("gateways.drain.about", &[&part.upstream.active.to_string()])];
    about.push(if others == 0 {
        texts.get("gateways.drain.last").to_owned()
    } else {
        texts.fill("gateways.drain.others", &[&others.to_string()])
    });
    let done = texts.fill("gateways.drain.done", &[&address]);
    let title = texts.fill("gateways.drain.title", &[&address]);
    let call = Action::call(address, Some(part.host), drain, move |_| said(done));
    let command = format!("cmdr gateway drain {}", part.words());
    Action::Open(Box::new(Confirm::one(title, call).about(about).copying(command)))
}

/// Another weight than the text's.
pub(super) fn weight(context: &Context<'_>, part: &Part<'_>) -> Action {
    let texts = context.texts;
    let (name, group) = (part.row.name.clone(), part.group.name.clone());
    let (host, address) = (part.host, part.upstream.address.clone());
    let title = texts.fill("gateways.weight.title", &[&address]);
    let wrong = texts.get("gateways.weight.wrong").to_owned();
    let (done, back) = (texts.get("gateways.weight.done"), texts.get("gateways.weight.back"));
    let now = part.upstream.weight.to_string();
    let prompt = Prompt::new(title, now, "gateways.weight.hint", move |text| {
        let weight = match text.trim() {
            "" => None,
            text => Some(text.parse::<u32>().map_err(|_| wrong.clone())?),
        };
        let done = match weight {
            None => back.replacen("{}", &address, 1),
            Some(weight) => done.replacen("{}", &address, 1).replacen("{}", &weight.to_string(), 1),
        };
        let weights = vec![(address.clone(), weight)];
        let call = Weight { name: name.clone(), group: group.clone(), weights };
        Ok(Action::call(address.clone(), Some(host), call, move |_| said(done)))
    });
    Action::Open(Box::new(prompt))
}

/// All new connections of the group go to this upstream.
pub(super) fn switch(context: &Context<'_>, part: &Part<'_>) -> Action {
    let texts = context.texts;
    let (group, address) = (part.group.name.clone(), part.upstream.address.clone());
    let all = &part.group.upstreams;
    let weights = all.iter().map(|u| (u.address.clone(), Some(u32::from(u.address == address))));
    let call =
        Weight { name: part.row.name.clone(), group: group.clone(), weights: weights.collect() };
    let others: u64 = all.iter().filter(|u| u.address != address).map(|u| u.active).sum();
    let mut about = vec![texts.fill("gateways.switch.about", &[&others.to_string()])];
    if part.upstream.state != "up" {
        about.push(texts.get("gateways.switch.down").to_owned());
    }
    let title = texts.fill("gateways.switch.title", &[&group, &address]);
    let done = texts.fill("gateways.switch.done", &[&group, &address]);
    let call = Action::call(title.clone(), Some(part.host), call, move |_| said(done));
    let command = format!("cmdr gateway switch {}", part.words());
    Action::Open(Box::new(Confirm::one(title, call).about(about).copying(command)))
}

/// The group goes by the weights of its text again.
pub(super) fn back(context: &Context<'_>, part: &Part<'_>) -> Action {
    let texts = context.texts;
    let group = part.group.name.clone();
    let weights = part.group.upstreams.iter().map(|u| (u.address.clone(), None)).collect();
    let call = Weight { name: part.row.name.clone(), group: group.clone(), weights };
    let title = texts.fill("gateways.back.title", &[&group]);
    let done = texts.fill("gateways.back.done", &[&group]);
    let call = Action::call(title.clone(), Some(part.host), call, move |_| said(done));
    let command = format!("cmdr gateway switch {} {} back", quoted(&part.row.name), quoted(&group));
    Action::Open(Box::new(Confirm::one(title, call).copying(command)))
}

/// A listener takes no new connections, or takes them again: which one is chosen.
pub(super) fn listeners(context: &Context<'_>, row: &Row, host: HostId, one: &One) -> Action {
    let texts = context.texts;
    let Ok(figures) = &one.figures else { return Action::None };
    let item = |at: usize| {
        let listener = &figures.listeners[at];
        let key = if listener.drained { "gateways.listener.on" } else { "gateways.listener.off" };
        let address = format!("{} {}", listener.transport, listener.address);
        (format!("{} {address}", listener.name), texts.get(key).to_owned())
    };
    let items = (0..figures.listeners.len()).map(item).collect();
    let all: Vec<(String, bool)> =
        figures.listeners.iter().map(|l| (l.name.clone(), l.drained)).collect();
    let commands = all.iter().map(|(name, drained)| {
        let (gateway, name) = (quoted(&row.name), quoted(name));
        if *drained {
            format!("cmdr gateway undrain {gateway} {name}")
        } else {
            format!("cmdr gateway drain {gateway} {name}")
        }
    });
    let commands = commands.collect();
    let (name, done) =
        (row.name.clone(), [texts.get("gateways.drain.done"), texts.get("gateways.undrain.done")]);
    let menu = Menu::new(texts.get("gateways.listener.title").to_owned(), items, 0, move |at| {
        let Some((listener, drained)) = all.get(at).cloned() else { return Action::None };
        let said_of = done[usize::from(drained)].replacen("{}", &listener, 1);
        let drain = Drain {
            name: name.clone(),
            listener: Some(listener.clone()),
            off: drained,
            ..Drain::default()
        };
        Action::call(listener, Some(host), drain, move |_| said(said_of))
    });
    Action::Open(Box::new(menu.dangerous().copying(commands)))
}

/// Bans an address.
pub(super) fn ban(context: &Context<'_>, row: &Row, host: HostId, one: &One) -> Action {
    let texts = context.texts.clone();
    let policy = one.bans.first().map_or_else(String::new, |(policy, ..)| policy.clone());
    let fields = vec![
        Field::new("gateways.ban.address", "gateways.ban.address_hint", String::new()),
        Field::new("gateways.ban.policy", "gateways.ban.policy_hint", policy),
        Field::new("gateways.ban.for", "gateways.ban.for_hint", "1h".to_owned()),
    ];
    let form = Form::new(texts.get("gateways.ban.title").to_owned(), fields);
    let name = row.name.clone();
    Action::Open(Box::new(Fill::new(form, move |form| {
        let wrong = |at: usize, key: &'static str| (at, texts.get(key).to_owned());
        let address = form.text(0).to_owned();
        if address.parse::<std::net::IpAddr>().is_err() {
            return Err(wrong(0, "gateways.ban.address_wrong"));
        }
        let policy = form.text(1).to_owned();
        if policy.is_empty() {
            return Err(wrong(1, "gateways.ban.policy_hint"));
        }
        let seconds = human::duration(form.text(2)).map_err(|why| (2, why))?.as_secs().max(1);
        let done = texts.fill("gateways.ban.done", &[&address]);
        let ban = Ban { name: name.clone(), policy, address: address.clone(), seconds };
        Ok(Action::call(address, Some(host), ban, move |_| said(done)))
    })))
}

/// The banned addresses; one that is chosen is banned no more.
pub(super) fn bans(context: &Context<'_>, row: &Row, host: HostId, one: &One) -> Action {
    let texts = context.texts;
    if one.bans.is_empty() {
        return Action::Say(texts.get("gateways.bans.none").to_owned());
    }
    let item = |(policy, address, still): &(String, String, u64)| {
        let still = format::span(still / 1000);
        (address.clone(), texts.fill("gateways.bans.item", &[policy, &still]))
    };
    let items = one.bans.iter().map(item).collect();
    let all = one.bans.clone();
    let (name, done) = (row.name.clone(), texts.get("gateways.bans.lifted"));
    let menu = Menu::new(texts.get("gateways.bans.title").to_owned(), items, 0, move |at| {
        let Some((policy, address, _)) = all.get(at).cloned() else { return Action::None };
        let said_of = done.replacen("{}", &address, 1);
        let ban = Ban { name: name.clone(), policy, address: address.clone(), seconds: 0 };
        Action::call(address, Some(host), ban, move |_| said(said_of))
    });
    let command = format!("cmdr gateway bans {}", quoted(&row.name));
    let commands = one.bans.iter().map(|_| command.clone()).collect();
    Action::Open(Box::new(menu.dangerous().copying(commands)))
}

/// A connection that has ended, in a line.
pub(super) fn ended(of: &Ended, wide: bool) -> Vec<Piece> {
    let mut line = vec![
        (Role::Faint, format!("{:>6}  ", format::age(of.ago_ms / 1000))),
        (Role::Text, of.source.clone()),
    ];
    if !of.upstream.is_empty() {
        line.push((Role::Soft, format!(" → {}", of.upstream)));
    }
    if wide {
        line.push((Role::Soft, format!("  {}", of.listener)));
    }
    let (length, received, sent) =
        (format::length(of.lasted_ms), format::bytes(of.bytes_in), format::bytes(of.bytes_out));
    line.push((Role::Faint, format!("  {length} ↓{received} ↑{sent}")));
    if !of.reason.is_empty() {
        line.push((Role::Text, format!("  {}", of.reason)));
    }
    line
}

/// The connections that have ended.
pub(super) fn log(context: &Context<'_>, row: &Row, one: &One) -> Action {
    let texts = context.texts;
    let all = match &one.ended {
        Some(Ok(all)) if !all.is_empty() => all,
        Some(Err(error)) => return Action::Complain(reason(error)),
        _ => return Action::Say(texts.get("gateways.log.none").to_owned()),
    };
    let lines = all.iter().map(|of| ended(of, true)).collect();
    let title = texts.fill("gateways.log.title", &[&row.name]);
    let command = format!("cmdr gateway log {}", quoted(&row.name));
    Action::Open(Box::new(Pager::new(title, lines).copying_command(command)))
}
