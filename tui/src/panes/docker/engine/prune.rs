//! What nobody uses is cleared away: first it is asked what that would be and shown, then exactly that is removed, and
//! what is said of each is kept.

use super::COUNTING;
use crate::action::{Action, Make, reason};
use crate::event::Event;
use crate::i18n::Texts;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::form::{Field, Form};
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::parts::Parts;
use crate::panes::Context;
use crate::panes::docker::fill::{Fill, yes};
use crate::panes::files::carry::{Ended, follow};
use crate::panes::gather::AT_ONCE;
use crate::panes::hosts::quoted;
use crate::store::engines::kind;
use crate::store::files::{Part, State, Told};
use crate::store::images::short;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::engine::{Kind, Leftover, Leftovers, Prune, Unused};
use cmdr_protocol::{CallError, HostId};
use futures::StreamExt as _;
use tokio::sync::watch;

const KINDS: usize = 0;
const ALL: usize = 1;
const OLDER: usize = 2;
const LABEL: usize = 3;

/// Things that one order removes.
const ORDERED: usize = 200;
/// Things that are read, and told of one by one.
const READ: usize = 2000;

/// Asks of what kinds.
pub(super) fn ask(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    if hosts.is_empty() {
        return Action::None;
    }
    let text = |text: &str| text.to_owned();
    let fields = vec![
        Field::new("prune.kinds", "prune.kinds_hint", text("container, network, image, cache")),
        Field::new("prune.all", "prune.all_hint", String::new()),
        Field::new("prune.older", "prune.older_hint", String::new()),
        Field::new("prune.label", "prune.label_hint", String::new()),
    ];
    let names: Vec<_> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
    let title = context.texts.fill("prune.title", &[&clean_to_width(&names.join(", "), 40)]);
    Fill::open(Form::new(title, fields), move |context, form| {
        let unused = unused(context, form)?;
        let names: Vec<_> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
        let command = command(&names.join(","), &unused);
        Ok(find(hosts.iter().copied().zip(names).collect(), unused, command))
    })
}

/// What is looked for, or which line is wrong and why.
fn unused(context: &Context<'_>, form: &Form) -> Result<Unused, (usize, String)> {
    let texts = context.texts;
    let words = form.text(KINDS).split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    let mut kinds = Vec::new();
    for word in words {
        match Kind::parse(word.trim_end_matches('s')) {
            Kind::Unknown => {
                return Err((KINDS, texts.fill("prune.bad_kind", &[&clean(word)])));
            }
            kind => kinds.push(kind),
        }
    }
    if kinds.is_empty() {
        return Err((KINDS, texts.fill("prune.bad_kind", &[""])));
    }
    let older_s = match form.text(OLDER) {
        "" => 0,
        text => {
            seconds(text).ok_or_else(|| (OLDER, texts.fill("prune.bad_span", &[&clean(text)])))?
        }
    };
    let (all, label) = (yes(form, ALL)?, form.text(LABEL).to_owned());
    Ok(Unused { kinds, all, older_s, label })
}

/// `90s`, `10m`, `24h`, `7d`, `2w`.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(each)
}

fn command(hosts: &str, unused: &Unused) -> String {
    let kinds: Vec<_> = unused.kinds.iter().map(|kind| kind.as_str()).collect();
    let mut line = format!("cmdr docker prune {} --only {}", quoted(hosts), kinds.join(","));
    if unused.all {
        line.push_str(" --all");
    }
    if unused.older_s > 0 {
        line.extend([" --older ", &format!("{}s", unused.older_s)]);
    }
    if !unused.label.is_empty() {
        line.extend([" --label ", &quoted(&unused.label)]);
    }
    line
}

/// What one host said.
type Answer = ((HostId, String), Result<Leftovers, CallError>);

/// Asks all of them, then shows what was found.
fn find(hosts: Vec<(HostId, String)>, unused: Unused, command: String) -> Action {
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let ask = |(host, name): (HostId, String)| {
                let (link, unused) = (link.clone(), unused.clone());
                async move { ((host, name), link.call(Some(host), unused, COUNTING).await) }
            };
            let answers = futures::stream::iter(hosts).map(ask).buffered(AT_ONCE);
            let answers: Vec<Answer> = answers.collect().await;
            Event::Done(None, Action::Make(Box::new(Found { answers, command })))
        })
    }))
}

/// What was found.
struct Found {
    answers: Vec<Answer>,
    command: String,
}

/// What a thing is called.
fn name(thing: &Leftover) -> String {
    let name = if thing.name.is_empty() { short(&thing.id) } else { thing.name.as_str() };
    clean_to_width(name, 80)
}

impl Make for Found {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Context { store, texts, .. } = *context;
        let Self { answers, command } = *self;
        let several = answers.len() > 1;
        let (mut lines, mut orders) = (Vec::<Vec<Piece>>::new(), Vec::new());
        let (mut count, mut size, mut left_out) = (0, 0u64, 0u64);
        for ((host, on), answer) in answers {
            let found = match answer {
                Ok(found) => found,
                Err(error) => {
                    let why = format!("{on}: {}", reason(&error));
                    lines.push(vec![(Role::Bad, why)]);
                    continue;
                }
            };
            left_out += found.left_out;
            for thing in &found.things {
                count += 1;
                size = size.saturating_add(thing.size);
                if count > READ {
                    continue;
                }
                let word = texts.get(kind(thing.kind));
                let mut line = vec![(Role::Soft, padded(word, 12)), (Role::Strong, name(thing))];
                if several {
                    line.insert(0, (Role::Accent, padded(&on, 16)));
                }
                line.push((Role::Text, format!("  {}", format::size(thing.size))));
                if thing.created_s > 0 {
                    let age = (store.now_ms / 1000).saturating_sub(thing.created_s);
                    line.push((Role::Faint, format!("  {}", format::age(age))));
                }
                lines.push(line);
            }
            if !found.things.is_empty() {
                orders.push((host, on, found.things));
            }
        }
        let (many, size) = (format::count(count), format::size(size));
        let mut head = vec![vec![(Role::Title, texts.fill("prune.found", &[&many, &size]))]];
        if left_out > 0 {
            let more = texts.fill("prune.left_out", &[&left_out.to_string()]);
            head.push(vec![(Role::Warn, more)]);
        }
        if count > READ {
            let more = texts.fill("confirm.more", &[&(count - READ).to_string()]);
            lines.push(vec![(Role::Soft, more)]);
        }
        head.push(Vec::new());
        head.extend(lines);
        let title = texts.get("prune.preview").to_owned();
        let pager = Pager::new(title, head).copying_command(format!("{command} --plan"));
        let pager = if count > 0 {
            let agree = Agree { orders, count, size, command };
            let agree = Action::Make(Box::new(agree));
            pager.with_key('x', texts.get("prune.remove"), agree)
        } else {
            pager
        };
        Action::Open(Box::new(pager))
    }
}

fn padded(text: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthStr as _;
    let text = format::ending(&clean(text), width);
    let pad = " ".repeat(width.saturating_sub(text.width()) + 1);
    text + &pad
}

/// What was read, to be agreed to.
struct Agree {
    orders: Vec<(HostId, String, Vec<Leftover>)>,
    count: usize,
    size: String,
    command: String,
}

impl Make for Agree {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self { orders, count, size, command } = *self;
        let texts = context.texts;
        let lines = orders
            .iter()
            .map(|(_, on, things)| texts.fill("prune.on", &[on, &things.len().to_string()]));
        let lines: Vec<String> = lines.collect();
        let hosts = orders.len().to_string();
        let title = texts.fill("prune.ask", &[&count.to_string(), &hosts, &size]);
        let what = texts.fill("prune.what", &[&count.to_string(), &hosts]);
        let id = context.store.files.next;
        let texts = texts.clone();
        let begin = follow(id, what, None, move |link, tell| remove(link, orders, tell, texts));
        let begin = Action::All(vec![begin, Action::Open(Box::new(Parts::of(id)))]);
        let confirm = match count {
            1 => Confirm::one(title, begin).about(lines),
            _ => Confirm::many(title, lines, begin).counting(count),
        };
        Action::Open(Box::new(confirm.copying(command)))
    }
}

/// Removes exactly these, host by host.
async fn remove(
    link: Link,
    orders: Vec<(HostId, String, Vec<Leftover>)>,
    tell: watch::Sender<Told>,
    texts: Texts,
) -> Ended {
    let all: usize = orders.iter().map(|(.., things)| things.len()).sum();
    let several = orders.len() > 1;
    let part = |on: &str, thing: &Leftover| Part {
        name: if several { format!("{} {}", clean(on), name(thing)) } else { name(thing) },
        status: texts.get(kind(thing.kind)).to_owned(),
        have: 0,
        size: thing.size,
        is_over: false,
    };
    let parts = orders.iter().flat_map(|(_, on, things)| things.iter().map(move |t| (on, t)));
    let parts: Vec<Part> = parts.take(READ).map(|(on, thing)| part(on, thing)).collect();
    let size = orders.iter().flat_map(|(.., things)| things).map(|thing| thing.size);
    let size = size.fold(0u64, u64::saturating_add);
    tell.send_modify(|told| {
        (told.anew, told.parts, told.progress.size) = (true, parts, size);
    });
    let (mut first, mut missing) = (0, 0);
    for (host, on, things) in orders {
        for ordered in things.chunks(ORDERED) {
            let gone = order(&link, host, ordered, first, &tell, &texts).await;
            let gone = gone.unwrap_or_else(|error| {
                let fault = format!("{on}: {}", reason(&error));
                tell.send_modify(|told| told.faults.push(clean(&fault).into_owned()));
                0
            });
            missing += ordered.len() - gone;
            first += ordered.len();
        }
    }
    let state = if missing == 0 { State::Done } else { State::Partly(missing, all) };
    Ok((state, Action::None))
}

/// Removes some of one host; the first is the one of this number among all. How many are gone.
async fn order(
    link: &Link,
    host: HostId,
    things: &[Leftover],
    first: usize,
    tell: &watch::Sender<Told>,
    texts: &Texts,
) -> Result<usize, CallError> {
    let mut items = link.feed(Some(host), Prune { things: things.to_vec() }).await?;
    let mut gone = 0;
    while let Some(item) = items.next().await {
        let pruned = item?;
        let is = |thing: &Leftover| thing.kind == pruned.kind && thing.id == pruned.id;
        let Some(at) = things.iter().position(is) else { continue };
        let why = texts.reason(&pruned.error);
        gone += usize::from(why.is_empty());
        tell.send_modify(|told| {
            let size = things[at].size;
            if why.is_empty() {
                told.progress.have = told.progress.have.saturating_add(size);
            } else {
                told.faults.push(format!("{}: {why}", name(&things[at])));
            }
            if let Some(part) = told.parts.get_mut(first + at) {
                part.is_over = why.is_empty();
                let removed = texts.get("prune.removed").to_owned();
                part.status = if why.is_empty() { removed } else { why };
            }
        });
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        let spans = [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800)];
        for (text, wanted) in spans {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
        for text in ["", "7", "d", "-1h", "1.5h", "7天", "99999999999999999999w"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
