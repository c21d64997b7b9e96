//! The versions of a group: who saved each and why, what it has that the newest has not, and saving it again.

use super::acts::{may_save, pager};
use crate::action::{Action, Make, PATIENCE};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::pager::Pager;
use crate::panes::Context;
use crate::panes::edit::difference;
use crate::panes::hosts::quoted;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::CallError;
use cmdr_protocol::configs::{Save, Show, Shown, Versions};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::Version;

/// Lists them.
pub(super) fn open(context: &Context<'_>, name: &str) -> Action {
    let (texts, name) = (context.texts, name.to_owned());
    let title = texts.fill("configs.versions.title", &[&clean(&name)]);
    let (now_s, offset) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let call = Versions { name: name.clone() };
    Action::call(title.clone(), None, call, move |listing| {
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
            compare(&name, version, newest)
        });
        (None, Action::Open(Box::new(menu)))
    })
}

/// A version beside the newest one.
struct Both {
    old: Shown,
    newest: Shown,
}

fn compare(name: &str, version: u64, newest: u64) -> Action {
    let name = name.to_owned();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let action = match both(&link, &name, version, newest).await {
                Ok(both) => Action::Make(Box::new(both)),
                Err(error) => Action::Complain(crate::action::reason(&error)),
            };
            Event::Done(None, action)
        })
    }))
}

async fn both(link: &Link, name: &str, version: u64, newest: u64) -> Result<Both, CallError> {
    let show = |version| Show { name: name.to_owned(), version: Some(version) };
    let old = link.call(None, show(version), PATIENCE).await?;
    let newest = if version == newest {
        old.clone()
    } else {
        link.call(None, show(newest), PATIENCE).await?
    };
    Ok(Both { old, newest })
}

/// A text that is to be read.
struct Text(Shown);

impl Make for Text {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let config = &self.0.config;
        let title = format!("{}  {}", config.name, config.version);
        Action::Open(Box::new(pager(context, &self.0, &title)))
    }
}

impl Make for Both {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { old, newest } = *self;
        let (name, version) = (old.config.name.clone(), old.config.version);
        let title = texts.fill("configs.version", &[&version.to_string()]);
        let title = format!("{} · {title}", clean(&name));
        let mut lines = Vec::new();
        if !old.note.is_empty() {
            lines.push(vec![(Role::Text, clean(&old.note).into_owned())]);
        }
        let is_newest = version == newest.config.version;
        if is_newest {
            let text = texts.get("configs.versions.newest").to_owned();
            lines.push(vec![(Role::Soft, text)]);
        } else {
            let text = texts.fill(
                "configs.versions.hint",
                &[&newest.config.version.to_string(), &version.to_string()],
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
        let command = format!("cmdr config show {} --version {version}", quoted(&name));
        let mut pager =
            Pager::new(title, lines).with_wrap().copying(old.text.clone()).copying_command(command);
        if !is_newest && may_save(context) {
            let again = restore(context, &old, newest.config.version);
            pager = pager.with_key('r', texts.get("configs.versions.restore"), again);
        }
        let text = Action::Make(Box::new(Text(old)));
        Action::Open(Box::new(pager.with_key('t', texts.get("configs.key.text"), text)))
    }
}

/// Saves an older version as the newest, after a question; not when somebody was quicker.
fn restore(context: &Context<'_>, old: &Shown, newest: u64) -> Action {
    let texts = context.texts;
    let (name, version) = (old.config.name.clone(), old.config.version.to_string());
    let shown = clean(&name).into_owned();
    let save = Save {
        name: name.clone(),
        text: old.text.clone(),
        note: format!("version {version} again"),
        was: Some(newest),
    };
    let done = texts.get("configs.saved");
    let what = texts.fill("configs.versions.what", &[&version, &shown]);
    let title = texts.fill("configs.versions.ask", &[&version, &shown]);
    let call = Action::call(what, None, save, move |saved| {
        let done = done.replacen("{}", &shown, 1).replacen("{}", &saved.version.to_string(), 1);
        (None, Action::All(vec![super::renewed(&name), Action::Say(done)]))
    });
    let lines = vec![texts.get("configs.no_host").to_owned()];
    let command = format!("cmdr config restore {} {version}", quoted(&old.config.name));
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}
