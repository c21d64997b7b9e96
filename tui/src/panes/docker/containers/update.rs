//! Other limits for containers, and another policy of when they are started again, while they go on.

use super::One;
use super::acts::{LONG, remarks};
use crate::action::{Action, Make};
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use cmdr_protocol::HostId;
use cmdr_protocol::containers::change::Update;
use cmdr_protocol::containers::spec::{bytes, nanos, restart};
use cmdr_protocol::display::clean;

/// A line of the form: key of its name, key of its hint, the option of `cmdr docker update`.
const FIELDS: [(&str, &str, &str); 8] = [
    ("containers.field.memory", "containers.update.memory_hint", "--memory"),
    ("containers.field.cpus", "containers.update.cpus_hint", "--cpus"),
    ("containers.field.pids", "containers.update.pids_hint", "--pids-limit"),
    ("containers.field.restart", "containers.update.restart_hint", "--restart"),
    ("containers.field.swap", "containers.update.swap_hint", "--memory-swap"),
    ("containers.field.reserve", "containers.update.reserve_hint", "--memory-reservation"),
    ("containers.field.shares", "containers.update.shares_hint", "--cpu-shares"),
    ("containers.field.cpuset", "containers.update.cpuset_hint", "--cpuset-cpus"),
];

/// A container that is meant: its host, id, and name as it came.
type Meant = (HostId, String, String);

/// What stands in the form, as a call for no container yet.
fn read(form: &Form, nothing: &str, number: &str) -> Result<Update, (usize, String)> {
    let text = |at: usize| form.text(at).to_owned();
    let count = |at: usize| match form.text(at) {
        "" => Ok(0),
        text => text.parse::<i64>().map_err(|_| (at, number.to_owned())),
    };
    let update = Update {
        container: String::new(),
        mem_limit: text(0),
        cpus: text(1),
        pids_limit: count(2)?,
        restart: text(3),
        memswap_limit: text(4),
        mem_reservation: text(5),
        cpu_shares: count(6)?,
        cpuset: text(7),
    };
    for (at, amount) in [(0, &update.mem_limit), (5, &update.mem_reservation)] {
        if !amount.is_empty() {
            bytes(amount).map_err(|why| (at, why))?;
        }
    }
    if !matches!(update.memswap_limit.as_str(), "" | "-1") {
        bytes(&update.memswap_limit).map_err(|why| (4, why))?;
    }
    if !update.cpus.is_empty() {
        nanos(&update.cpus).map_err(|why| (1, why))?;
    }
    if !update.restart.is_empty() {
        restart(&update.restart).map_err(|why| (3, why))?;
    }
    if update == Update::default() {
        return Err((0, nothing.to_owned()));
    }
    Ok(update)
}

/// Asks which limits; then whether.
pub(super) fn ask(context: &Context<'_>, rows: &[One]) -> Action {
    let Some(first) = rows.first() else { return Action::None };
    let texts = context.texts;
    let of = match rows.len() {
        1 => clean(&first.name).into_owned(),
        many => texts.fill("containers.many", &[&many.to_string()]),
    };
    let title = texts.fill("containers.update.title", &[&of]);
    let field = |(name, hint, _): &(&'static str, &'static str, &'static str)| {
        Field::new(name, hint, String::new())
    };
    let mut form = Form::new(title, FIELDS.iter().map(field).collect());
    form.about = vec![texts.get("containers.update.about").to_owned()];
    let meant: Vec<Meant> =
        rows.iter().map(|one| (one.host, one.id.clone(), one.name.clone())).collect();
    let (nothing, number) =
        (texts.get("containers.update.nothing"), texts.get("containers.update.number"));
    Action::Open(Box::new(Fill::new(form, move |form| {
        let update = read(form, nothing, number)?;
        let said = FIELDS.iter().enumerate().filter(|(at, _)| !form.text(*at).is_empty());
        let options =
            said.map(|(at, (name, _, option))| (*name, *option, form.text(at).to_owned()));
        let options = options.collect();
        Ok(Action::Make(Box::new(Asked { meant: meant.clone(), update, options })))
    })))
}

/// What was filled in: it is asked about with what it means.
struct Asked {
    meant: Vec<Meant>,
    update: Update,
    options: Vec<(&'static str, &'static str, String)>,
}

impl Make for Asked {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { meant, update, options } = *self;
        let (word, done) = (texts.get("containers.word.update"), texts.get("docker.done"));
        let calls = meant.iter().map(|(host, id, name)| {
            let what = format!("{word} {}", clean(name));
            let said = done.replacen("{}", &what, 1);
            let call = Update { container: id.clone(), ..update.clone() };
            Action::call_within(what, Some(*host), call, LONG, move |reply| {
                let (update, action) = remarks(&reply);
                (update, action.unwrap_or(Action::Say(said)))
            })
        });
        let calls = Action::All(calls.collect());
        let words = options.iter().map(|(_, option, value)| format!(" {option}={}", quoted(value)));
        let words: String = words.collect();
        let line = |(host, _, name): &Meant| {
            let on = quoted(&context.store.hosts.name(*host));
            format!("cmdr docker update {on} {}{words}", quoted(name))
        };
        let command = meant.iter().map(line).collect::<Vec<_>>().join("; ");
        let mut about: Vec<String> = options
            .iter()
            .map(|(name, _, value)| format!("{}: {}", texts.get(name), clean(value)))
            .collect();
        let confirm = match meant.as_slice() {
            [(host, _, name)] => {
                let on = context.store.hosts.name(*host);
                let title = texts.fill("docker.ask", &[word, &clean(name), &on]);
                Confirm::one(title, calls).about(about)
            }
            many => {
                let count = texts.fill("containers.many", &[&many.len().to_string()]);
                let title = texts.fill("containers.update.ask", &[&count]);
                let names = many.iter().map(|(host, _, name)| {
                    format!("{}  {}", context.store.hosts.name(*host), clean(name))
                });
                about.extend(names);
                Confirm::many(title, about, calls).counting(many.len())
            }
        };
        Action::Open(Box::new(confirm.copying(command)))
    }
}
