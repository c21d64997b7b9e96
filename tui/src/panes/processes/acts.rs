//! What can be done to processes. Each names pid *and* start, so that a reused pid is never hit.

use super::columns::shown_command;
use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::processes::{Process, Renice, Signal};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What can be sent, the usual one first, each with what it does.
const SIGNALS: &[(&str, i32, &str)] = &[
    ("TERM", 15, "signal.term"),
    ("KILL", 9, "signal.kill"),
    ("HUP", 1, "signal.hup"),
    ("INT", 2, "signal.int"),
    ("QUIT", 3, "signal.quit"),
    ("STOP", 19, "signal.stop"),
    ("CONT", 18, "signal.cont"),
    ("USR1", 10, "signal.usr"),
    ("USR2", 12, "signal.usr"),
    ("WINCH", 28, "signal.winch"),
];

/// A process as an act names it.
#[derive(Clone)]
struct Target {
    host: HostId,
    /// The name of its host.
    on: String,
    pid: u32,
    start: u64,
    name: String,
    line: String,
}

fn targets(context: &Context<'_>, processes: &[(HostId, &Process)]) -> Vec<Target> {
    let many = processes.iter().any(|(host, _)| *host != processes[0].0);
    let target = |(host, p): &(HostId, &Process)| {
        let on = context.store.hosts.name(*host);
        let line = format!("{}  {}  {}", p.pid, p.user, clean_to_width(&shown_command(p), 60));
        let line = if many { format!("{on}  {line}") } else { line };
        Target { host: *host, on, pid: p.pid, start: p.start, name: p.name.clone(), line }
    };
    processes.iter().map(target).collect()
}

/// What an act is about, in a few words.
fn about(context: &Context<'_>, targets: &[Target]) -> String {
    match targets {
        [one] => format!("{} {}", one.name, one.pid),
        many => context.texts.fill("processes.many", &[&many.len().to_string()]),
    }
}

/// Where it is, in a few words.
fn place(context: &Context<'_>, targets: &[Target]) -> String {
    let hosts: BTreeSet<HostId> = targets.iter().map(|t| t.host).collect();
    match targets.first() {
        Some(first) if hosts.len() == 1 => first.on.clone(),
        _ => context.texts.fill("processes.hosts", &[&hosts.len().to_string()]),
    }
}

/// The `cmdr` command that sends a signal to these processes.
pub(super) fn kill_line(
    context: &Context<'_>,
    host: HostId,
    processes: &[&Process],
    signal: &str,
) -> String {
    let processes: Vec<_> = processes.iter().map(|p| (host, *p)).collect();
    line(&targets(context, &processes), signal)
}

/// One command a host.
fn line(targets: &[Target], signal: &str) -> String {
    let mut hosts: Vec<(HostId, String)> = Vec::new();
    for target in targets {
        let at = hosts.iter().position(|(host, _)| *host == target.host).unwrap_or_else(|| {
            hosts.push((target.host, format!("cmdr kill {}", quoted(&target.on))));
            hosts.len() - 1
        });
        // Writing to a String cannot fail.
        write!(hosts[at].1, " {}", target.pid).unwrap_or_default();
    }
    let lines = hosts.into_iter().map(|(_, mut line)| {
        if signal != "TERM" {
            write!(line, " --signal {signal}").unwrap_or_default();
        }
        line
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Sends a signal to processes of one host or of many.
pub(in crate::panes) fn signal(context: &Context<'_>, processes: &[(HostId, &Process)]) -> Action {
    let texts = context.texts;
    let targets = targets(context, processes);
    let of = about(context, &targets);
    let on = place(context, &targets);
    let title = texts.fill("signal.title", &[&of]);
    let items = SIGNALS
        .iter()
        .map(|(name, number, what)| (format!("{name:<6}{number:>2}"), texts.get(what).to_owned()))
        .collect();
    let (ask, done) = (texts.get("signal.ask"), texts.get("signal.done"));
    let what = texts.get("signal.what");
    let commands: Vec<_> = SIGNALS.iter().map(|(name, ..)| line(&targets, name)).collect();
    let copied = commands.clone();
    let menu = Menu::new(title, items, 0, move |at| {
        let Some(&(name, number, _)) = SIGNALS.get(at) else { return Action::None };
        let fill = |text: &str, of: &str| text.replacen("{}", name, 1).replacen("{}", of, 1);
        let calls = targets.iter().map(|target| {
            let signal = Signal { pid: target.pid, start: target.start, signal: number };
            let of = format!("{} {}", target.name, target.pid);
            let said = fill(done, &of);
            Action::call(fill(what, &of), Some(target.host), signal, |_| (None, Action::Say(said)))
        });
        let act = Action::All(calls.collect());
        let title = fill(ask, &of).replacen("{}", &on, 1);
        let lines = targets.iter().map(|t| t.line.clone()).collect();
        let confirm = if targets.len() == 1 {
            Confirm::one(title, act).about(lines)
        } else {
            Confirm::many(title, lines, act)
        };
        Action::Open(Box::new(confirm.copying(commands[at].clone())))
    });
    Action::Open(Box::new(menu.dangerous().copying(copied)))
}

pub(super) fn renice(context: &Context<'_>, host: HostId, processes: &[&Process]) -> Action {
    let texts = context.texts;
    let processes: Vec<_> = processes.iter().map(|p| (host, *p)).collect();
    let now = processes.first().map_or(0, |(_, p)| p.nice);
    let targets = targets(context, &processes);
    let of = about(context, &targets);
    let title = texts.fill("renice.title", &[&of]);
    let (bad, done, what) =
        (texts.get("renice.bad"), texts.get("renice.done"), texts.get("renice.what"));
    Action::Open(Box::new(Prompt::new(title, now.to_string(), "renice.hint", move |text| {
        let nice: i32 = text
            .trim()
            .parse()
            .ok()
            .filter(|n| (-20..=19).contains(n))
            .ok_or_else(|| bad.to_owned())?;
        let calls = targets.iter().map(|target| {
            let of = format!("{} {}", target.name, target.pid);
            let renice = Renice { pid: target.pid, start: target.start, nice };
            let said = done.replacen("{}", &of, 1).replacen("{}", &nice.to_string(), 1);
            Action::call(what.replacen("{}", &of, 1), Some(host), renice, |_| {
                (None, Action::Say(said))
            })
        });
        Ok(Action::All(calls.collect()))
    })))
}
