//! What is asked before a registry is added or forgotten, and before a tag is deleted.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use crate::panes::docker::fill::{Fill, yes};
use crate::panes::hosts::quoted;
use crate::store::Update;
use crate::store::sheets::SheetKey;
use cmdr_protocol::display::clean;
use cmdr_protocol::images::check_registry;
use cmdr_protocol::registries::{Delete, DeleteTag, Gone, Put};
use std::time::Duration;

const NAME: usize = 0;
const USER: usize = 1;
const PASSWORD: usize = 2;
const PLAIN: usize = 3;

/// Registries may be far away.
const PATIENCE: Duration = Duration::from_mins(1);

/// A list is asked for anew: nothing of it came yet.
fn stale(key: SheetKey) -> Update {
    Update::new(move |store| store.sheet_mut(key).came_ms = 0)
}

/// Asks for a registry and who the hub is there.
pub(super) fn add(context: &Context<'_>, key: SheetKey) -> Action {
    let field = |name, hint| Field::new(name, hint, String::new());
    let fields = vec![
        field("registries.add.name", "registries.add.name_hint"),
        field("registries.add.user", "registries.add.user_hint"),
        field("registries.add.password", "registries.add.password_hint").secret(),
        Field::new("registries.add.plain", "registries.add.plain_hint", String::new()),
    ];
    let title = context.texts.get("registries.add.title").to_owned();
    Fill::open(Form::new(title, fields), move |context, form| {
        let texts = context.texts;
        let registry = form.text(NAME).to_owned();
        check_registry(&registry).map_err(|why| (NAME, texts.reason(&why)))?;
        let username = form.text(USER).to_owned();
        // Blanks may belong to it.
        let password = form.whole(PASSWORD).to_owned();
        if username.is_empty() && !password.is_empty() {
            return Err((USER, texts.get("registries.add.no_user").to_owned()));
        }
        let plain = yes(form, PLAIN)?;
        let what = texts.fill("registries.add.what", &[&clean(&registry)]);
        let done = texts.get("docker.done").replacen("{}", &what, 1);
        let put = Put { registry, username, password, plain };
        Ok(Action::call_within(what, None, put, PATIENCE, move |_| {
            (Some(stale(key)), Action::Say(done))
        }))
    })
}

/// Asks whether the hub is to forget a registry.
pub(super) fn forget(context: &Context<'_>, registry: &str, key: SheetKey) -> Action {
    let texts = context.texts;
    let title = texts.fill("registries.forget.ask", &[&clean(registry)]);
    let what = texts.fill("registries.forget.what", &[&clean(registry)]);
    let done = texts.get("docker.done").replacen("{}", &what, 1);
    let command = format!("cmdr docker registry rm {}", quoted(registry));
    let delete = Delete { registry: registry.to_owned() };
    let call = Action::call(what, None, delete, move |_| (Some(stale(key)), Action::Say(done)));
    let about = vec![texts.get("registries.forget.about").to_owned()];
    Action::Open(Box::new(Confirm::one(title, call).about(about).copying(command)))
}

/// Asks for the name of a tag before it is deleted with the image that it stands for.
pub(super) fn delete(context: &Context<'_>, gone: DeleteTag, image: &str, key: SheetKey) -> Action {
    let texts = context.texts;
    let name = clean(image).into_owned();
    let what = texts.fill("registries.delete.what", &[&name]);
    let done = texts.get("registries.delete.done");
    let about = if gone.force { "registries.delete.all" } else { "registries.delete.about" };
    let lines = vec![texts.get(about).to_owned()];
    let title = texts.fill("registries.delete.ask", &[&name]);
    let word = clean(&gone.tag).into_owned();
    let force = if gone.force { " --force" } else { "" };
    let command = format!("cmdr docker registry rmtag {}{force}", quoted(image));
    let call = Action::call_within(what, None, gone, PATIENCE, move |gone: Gone| {
        let tags: Vec<_> = gone.tags.iter().map(|tag| clean(tag).into_owned()).collect();
        let told = done.replacen("{}", &name, 1).replacen("{}", &tags.join(", "), 1);
        (Some(stale(key)), Action::Say(told))
    });
    Action::Open(Box::new(Confirm::word(title, lines, word, call).copying(command)))
}
