//! The versions of a text: who saved each and why, what it has that the newest has not, and saving it again.

use super::Subject;
use super::subject::Old;
use crate::action::{Action, Make, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::pager::Pager;
use crate::panes::Context;
use crate::panes::edit::difference;
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{Saved, Version, VersionListing};
use cmdr_protocol::{CallError, configs, gateways, probes, rules};

/// Lists them; of what has none nothing is done.
pub(in crate::panes) fn open(context: &Context<'_>, subject: Subject) -> Action {
    let texts = context.texts;
    let title = texts.fill("configs.versions.title", &[&clean(subject.name())]);
    let (now_s, offset) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let (what, name) = (title.clone(), subject.name().to_owned());
    let asked = subject.clone();
    let listed = move |listing: VersionListing| {
        let item = |version: &Version| {
            let when = format::moment(version.saved_ms / 1000, now_s, offset);
            let (by, note) = (clean(&version.saved_by), clean(&version.note));
            (format!("{:>3}  {when}", version.version), format!("{by}  {note}"))
        };
        let items = listing.versions.iter().map(item).collect();
        let numbers: Vec<u64> = listing.versions.iter().map(|v| v.version).collect();
        let newest = numbers.first().copied().unwrap_or(0);
        let menu = Menu::new(title, items, 0, move |at| {
            let version = numbers.get(at).copied().unwrap_or(newest);
            compare(&subject, version, newest)
        });
        (None, Action::Open(Box::new(menu)))
    };
    match asked {
        Subject::Config(_) => Action::call(what, None, configs::Versions { name }, listed),
        Subject::Rule(_) => Action::call(what, None, rules::Versions { name }, listed),
        Subject::Probe(_) => Action::call(what, None, probes::Versions { name }, listed),
        Subject::Gateway(_) => Action::call(what, None, gateways::Versions { name }, listed),
        Subject::Notifier(_) | Subject::Policies => Action::None,
    }
}

/// A version beside the newest one.
struct Both {
    subject: Subject,
    old: Old,
    newest: Old,
}

fn compare(subject: &Subject, version: u64, newest: u64) -> Action {
    let subject = subject.clone();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let action = match both(&link, subject, version, newest).await {
                Ok(both) => Action::Make(Box::new(both)),
                Err(error) => Action::Complain(reason(&error)),
            };
            Event::Done(None, action)
        })
    }))
}

async fn both(link: &Link, subject: Subject, version: u64, newest: u64) -> Result<Both, CallError> {
    let old = subject.version(link, Some(version)).await?;
    let newest =
        if version == newest { old.clone() } else { subject.version(link, Some(newest)).await? };
    Ok(Both { subject, old, newest })
}

impl Make for Both {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { subject, old, newest } = *self;
        let version = old.version;
        let title = texts.fill("configs.version", &[&version.to_string()]);
        let title = format!("{} · {title}", clean(subject.name()));
        let mut lines = Vec::new();
        if !old.note.is_empty() {
            lines.push(vec![(Role::Text, clean(&old.note).into_owned())]);
        }
        let is_newest = version == newest.version;
        if is_newest {
            let text = texts.get("configs.versions.newest").to_owned();
            lines.push(vec![(Role::Soft, text)]);
        } else {
            let text = texts.fill(
                "configs.versions.hint",
                &[&newest.version.to_string(), &version.to_string()],
            );
            lines.push(vec![(Role::Soft, text)]);
            lines.push(Vec::new());
            let difference = difference(&newest.text, &old.text);
            if difference.is_empty() {
                let text = texts.get("configs.versions.same").to_owned();
                lines.push(vec![(Role::Soft, text)]);
            }
            lines.extend(difference);
        }
        let mut pager = Pager::new(title.clone(), lines)
            .with_wrap()
            .copying(old.text.clone())
            .copying_command(subject.show_line(version));
        if !is_newest && context.store.offer(subject.save_verb(), true, &[]) != Offer::No {
            let again = restore(context, &subject, &old, newest.version);
            pager = pager.with_key('r', texts.get("configs.versions.restore"), again);
        }
        let text = Action::Make(Box::new(Text { title, old, line: subject.show_line(version) }));
        Action::Open(Box::new(pager.with_key('t', texts.get("configs.key.text"), text)))
    }
}

/// A text that is to be read.
struct Text {
    title: String,
    old: Old,
    line: String,
}

impl Make for Text {
    fn make(self: Box<Self>, _context: &Context<'_>) -> Action {
        let lines = self.old.text.lines().map(|line| {
            let line = clean(&line.replace('\t', "    ")).into_owned();
            let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
            vec![(role, line)]
        });
        let pager = Pager::new(self.title, lines.collect()).with_wrap();
        let pager = pager.copying(self.old.text.clone()).copying_command(self.line);
        Action::Open(Box::new(pager))
    }
}

/// Saves an older version as the newest, after a question; not when somebody was quicker.
fn restore(context: &Context<'_>, subject: &Subject, old: &Old, newest: u64) -> Action {
    let texts = context.texts;
    let version = old.version.to_string();
    let shown = clean(subject.name()).into_owned();
    let done = texts.get(subject.saved());
    let what = texts.fill("configs.versions.what", &[&version, &shown]);
    let title = texts.fill("configs.versions.ask", &[&version, &shown]);
    let renewed = subject.renewed();
    let then = move |saved: Saved| {
        let done = done.replacen("{}", &shown, 1).replacen("{}", &saved.version.to_string(), 1);
        (None, Action::All(vec![renewed, Action::Say(done)]))
    };
    let (name, text) = (subject.name().to_owned(), old.text.clone());
    let (note, was) = (format!("version {version} again"), Some(newest));
    let call = match subject {
        Subject::Config(_) => {
            Action::call(what, None, configs::Save { name, text, note, was }, then)
        }
        Subject::Rule(_) => Action::call(what, None, rules::Save { name, text, note, was }, then),
        Subject::Probe(_) => Action::call(what, None, probes::Save { name, text, note, was }, then),
        Subject::Gateway(_) => {
            Action::call(what, None, gateways::Save { name, text, note, was }, then)
        }
        Subject::Notifier(_) | Subject::Policies => return Action::None,
    };
    let lines = vec![texts.get(subject.hint()).to_owned()];
    let command = subject.restore_line(old.version);
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}
