//! What is one call a container: start, stop, restart, pause, signals, another name, away with it.

use super::One;
use crate::action::{Action, Make, PATIENCE};
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::docker::act::{self, Act, Asks};
use crate::store::Update;
use cmdr_protocol::Call;
use cmdr_protocol::containers::{
    Done, Kill, Pause, Remove, Rename, Restart, Start, Stop, Unpause, is_name,
};
use cmdr_protocol::display::clean;
use std::time::Duration;

/// An engine takes its time.
pub(super) const LONG: Duration = Duration::from_mins(2);

/// A signal: its name, what it mostly means, the word for sending it, the line that does.
type Sent = (&'static str, &'static str, &'static str, &'static str);

/// Signals that a container is sent: the mildest first.
const SIGNALS: [Sent; 8] = [
    ("TERM", "containers.signal.term", "containers.word.term", "cmdr docker kill -s TERM {} {}"),
    ("INT", "containers.signal.int", "containers.word.int", "cmdr docker kill -s INT {} {}"),
    ("HUP", "containers.signal.hup", "containers.word.hup", "cmdr docker kill -s HUP {} {}"),
    ("QUIT", "containers.signal.quit", "containers.word.quit", "cmdr docker kill -s QUIT {} {}"),
    ("USR1", "containers.signal.usr1", "containers.word.usr1", "cmdr docker kill -s USR1 {} {}"),
    ("USR2", "containers.signal.usr2", "containers.word.usr2", "cmdr docker kill -s USR2 {} {}"),
    (
        "WINCH",
        "containers.signal.winch",
        "containers.word.winch",
        "cmdr docker kill -s WINCH {} {}",
    ),
    ("KILL", "containers.signal.kill", "containers.word.kill", "cmdr docker kill -s KILL {} {}"),
];

fn targets(rows: &[One]) -> Vec<act::Target> {
    rows.iter().map(One::target).collect()
}

const fn words(word: &'static str, command: &'static str) -> Act {
    Act { word, command, many: "containers.many", about: Vec::new() }
}

/// What the engine remarked stands in the status line; nothing else is said beside that it is done.
pub(super) fn remarks(done: &Done) -> (Option<Update>, Option<Action>) {
    if done.warnings.is_empty() {
        return (None, None);
    }
    let text = format!("{}: {}", done.name, done.warnings.join("; "));
    (None, Some(Action::Complain(clean(&text).into_owned())))
}

fn simply<C: Call<Reply = Done> + Clone>(
    context: &Context<'_>,
    rows: &[One],
    act: Act,
    make: impl Fn(String) -> C,
) -> Action {
    act::act(context, &targets(rows), act, |target| make(target.id.clone()), |done| remarks(&done))
}

pub(super) fn start(context: &Context<'_>, rows: &[One]) -> Action {
    let act = words("containers.word.start", "cmdr docker start {} {}");
    simply(context, rows, act, |container| Start { container })
}

pub(super) fn stop(context: &Context<'_>, rows: &[One]) -> Action {
    let act = words("containers.word.stop", "cmdr docker stop {} {}");
    simply(context, rows, act, |container| Stop { container, ..Stop::default() })
}

pub(super) fn restart(context: &Context<'_>, rows: &[One]) -> Action {
    let act = words("containers.word.restart", "cmdr docker restart {} {}");
    simply(context, rows, act, |container| Restart { container, ..Restart::default() })
}

/// Gives no more time, or time again where all of them are paused.
pub(super) fn pause(context: &Context<'_>, rows: &[One]) -> Action {
    if !rows.is_empty() && rows.iter().all(|one| one.paused) {
        let act = words("containers.word.unpause", "cmdr docker unpause {} {}");
        return simply(context, rows, act, |container| Unpause { container });
    }
    let act = words("containers.word.pause", "cmdr docker pause {} {}");
    simply(context, rows, act, |container| Pause { container })
}

/// Which signal? Then whether.
pub(super) fn kill(context: &Context<'_>, rows: &[One]) -> Action {
    let Some(first) = rows.first() else { return Action::None };
    let texts = context.texts;
    let of = match rows.len() {
        1 => clean(&first.name).into_owned(),
        many => texts.fill("containers.many", &[&many.to_string()]),
    };
    let item = |(name, about, ..): &Sent| ((*name).to_owned(), texts.get(about).to_owned());
    let targets = targets(rows);
    let title = texts.fill("containers.kill.title", &[&of]);
    let menu = Menu::new(title, SIGNALS.iter().map(item).collect(), 0, move |at| {
        let Some(sent) = SIGNALS.get(at) else { return Action::None };
        Action::Make(Box::new(Signal { sent, targets: targets.clone() }))
    });
    Action::Open(Box::new(menu.dangerous()))
}

/// A signal that was chosen: it is asked about like any other act.
struct Signal {
    sent: &'static Sent,
    targets: Vec<act::Target>,
}

impl Make for Signal {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let (signal, _, word, line) = *self.sent;
        let make = |target: &act::Target| {
            let container = target.id.clone();
            Kill { container, signal: signal.to_owned() }
        };
        act::act(context, &self.targets, words(word, line), make, |done| remarks(&done))
    }
}

/// Takes them away. For those that run more than a key is asked: they are killed.
pub(super) fn remove(context: &Context<'_>, rows: &[One]) -> Action {
    let texts = context.texts;
    let running = rows.iter().filter(|one| one.runs).count();
    let force = running > 0;
    let about = match (running, rows.len()) {
        (0, _) => texts.get("containers.remove.about").to_owned(),
        (1, 1) => texts.get("containers.remove.runs").to_owned(),
        (many, _) => texts.fill("containers.remove.run", &[&many.to_string()]),
    };
    let command = if force { "cmdr docker rm --force {} {}" } else { "cmdr docker rm {} {}" };
    let act = Act { about: vec![about], ..words("containers.word.remove", command) };
    let asks = if force { Asks::Name } else { Asks::Count };
    // What came to run meanwhile was not asked about: the engine refuses that one.
    let make =
        |target: &act::Target| Remove { container: target.id.clone(), force, volumes: false };
    act::act_asking(context, &targets(rows), act, asks, make, |done| remarks(&done))
}

pub(super) fn rename(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let old = clean(&one.name).into_owned();
    let title = texts.fill("containers.rename.title", &[&old]);
    let (bad, what) = (texts.get("containers.bad_name"), texts.get("containers.word.rename"));
    let done = texts.get("docker.done");
    let (host, id, was) = (one.host, one.id.clone(), one.name.clone());
    Action::Open(Box::new(Prompt::new(title, old.clone(), "containers.rename.hint", move |text| {
        let name = text.trim();
        if !is_name(name) || name.len() < 2 {
            return Err(bad.to_owned());
        }
        if name == was {
            return Ok(Action::None);
        }
        let what = format!("{what} {old} → {name}");
        let said = done.replacen("{}", &what, 1);
        let call = Rename { container: id.clone(), name: name.to_owned() };
        Ok(Action::call_within(what, Some(host), call, PATIENCE, |_| (None, Action::Say(said))))
    })))
}
