//! The form that makes a volume: a plain one, or one with a driver and options, which takes another right.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use crate::panes::docker::fill::{Fill, flags, pairs};
use crate::panes::hosts::quoted;
use cmdr_protocol::HostId;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::images::check_name;
use cmdr_protocol::volumes::{Create, CreateSpecial};

const NAME: usize = 0;
const LABELS: usize = 1;
const DRIVER: usize = 2;
const OPTIONS: usize = 3;

/// Asks for it, then makes it on these hosts.
pub(super) fn ask(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    if hosts.is_empty() {
        return Action::None;
    }
    let field = |name, hint| Field::new(name, hint, String::new());
    let fields = vec![
        field("volumes.make.name", "volumes.make.name_hint"),
        field("volumes.make.labels", "docker.labels_hint"),
        field("volumes.make.driver", "volumes.make.driver_hint"),
        field("volumes.make.options", "volumes.make.options_hint"),
    ];
    let names: Vec<_> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
    let on = names.join(",");
    let title = context.texts.fill("volumes.make.title", &[&clean_to_width(&names.join(", "), 40)]);
    Fill::open(Form::new(title, fields), move |context, form| {
        let texts = context.texts;
        let volume = form.text(NAME).to_owned();
        check_name("volume", &volume).map_err(|why| (NAME, texts.reason(&why)))?;
        let labels = pairs(context, form, LABELS)?;
        let options = pairs(context, form, OPTIONS)?;
        let driver = form.text(DRIVER).to_owned();
        let what = texts.fill("volumes.make.what", &[&clean(&volume)]);
        let done = texts.get("docker.done").replacen("{}", &what, 1);
        let is_plain = options.is_empty() && matches!(&*driver, "" | "local");
        let mut command = format!("cmdr docker volume create {} {}", quoted(&on), quoted(&volume));
        command.push_str(&flags("--label", &labels));
        let make = |host: &HostId| {
            let (host, what, done) = (Some(*host), what.clone(), Action::Say(done.clone()));
            let (volume, labels) = (volume.clone(), labels.clone());
            if is_plain {
                return Action::call(what, host, Create { volume, labels }, |_| (None, done));
            }
            let (driver, options) = (driver.clone(), options.clone());
            let create = CreateSpecial { volume, labels, driver, options };
            Action::call(what, host, create, |_| (None, done))
        };
        let calls = Action::All(hosts.iter().map(make).collect());
        if is_plain && hosts.len() == 1 {
            return Ok(calls);
        }
        // Such a volume can be any folder of the host.
        let mut about = Vec::new();
        if !is_plain {
            about.push(texts.get("volumes.make.special").to_owned());
            if !driver.is_empty() {
                command.extend([" --driver ", &quoted(&driver)]);
            }
            command.push_str(&flags("--opt", &options));
        }
        about.extend(hosts.iter().map(|host| context.store.hosts.name(*host)));
        let confirm = Confirm::one(what.clone(), calls).about(about).copying(command);
        Ok(Action::Open(Box::new(confirm)))
    })
}
