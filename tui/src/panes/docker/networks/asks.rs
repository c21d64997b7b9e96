//! What is asked before a network is made, and before a container is put into one or taken out.

use super::target;
use crate::action::{Action, Make, PATIENCE};
use crate::overlays::confirm::Confirm;
use crate::overlays::form::{Field, Form};
use crate::overlays::menu::Menu;
use crate::panes::Context;
use crate::panes::docker::fill::{Fill, flags, pairs};
use crate::panes::docker::inspect::ask;
use crate::panes::hosts::quoted;
use crate::store::sheets::{Record, Target};
use cmdr_protocol::HostId;
use cmdr_protocol::containers::{self, Listing};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::images::check_name;
use cmdr_protocol::networks::{Connect, Create, Created, Disconnect, Subnet};
use std::net::IpAddr;

const NAME: usize = 0;
const DRIVER: usize = 1;
const SUBNETS: usize = 2;
const GATEWAYS: usize = 3;
const RANGES: usize = 4;
const FLAGS: usize = 5;
const LABELS: usize = 6;
const OPTIONS: usize = 7;

const ADDRESSES: usize = 0;
const ALIASES: usize = 1;

/// Containers to choose from at most.
const CHOICES: usize = 2000;

/// Asks for a network, then makes it on these hosts.
pub(super) fn create(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    if hosts.is_empty() {
        return Action::None;
    }
    let field = |name, hint| Field::new(name, hint, String::new());
    let fields = vec![
        field("networks.make.name", "networks.make.name_hint"),
        field("networks.make.driver", "networks.make.driver_hint"),
        field("networks.make.subnet", "networks.make.subnet_hint"),
        field("networks.make.gateway", "networks.make.gateway_hint"),
        field("networks.make.range", "networks.make.range_hint"),
        field("networks.make.flags", "networks.make.flags_hint"),
        field("networks.make.labels", "docker.labels_hint"),
        field("networks.make.options", "networks.make.options_hint"),
    ];
    let names: Vec<_> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
    let title =
        context.texts.fill("networks.make.title", &[&clean_to_width(&names.join(", "), 40)]);
    Fill::open(Form::new(title, fields), move |context, form| {
        let create = wanted(context, form)?;
        let texts = context.texts;
        let what = texts.fill("networks.make.what", &[&clean(&create.network)]);
        let done = texts.get("docker.done").replacen("{}", &what, 1);
        let make = |host: &HostId| {
            let done = done.clone();
            Action::call(what.clone(), Some(*host), create.clone(), move |made: Created| {
                let warning = clean(&made.warning).into_owned();
                let said = if warning.is_empty() {
                    Action::Say(done)
                } else {
                    Action::Complain(format!("{done} {warning}"))
                };
                (None, said)
            })
        };
        let calls = Action::All(hosts.iter().map(make).collect());
        let lines: Vec<_> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
        let command = command(&lines.join(","), &create);
        let confirm = match hosts.len() {
            1 => Confirm::one(what, calls).about(lines),
            _ => Confirm::many(what, lines, calls),
        };
        Ok(Action::Open(Box::new(confirm.copying(command))))
    })
}

/// What is asked for, or which line is wrong and why: before anything is sent.
fn wanted(context: &Context<'_>, form: &Form) -> Result<Create, (usize, String)> {
    let texts = context.texts;
    let items = |at: usize| -> Vec<String> {
        let items = form.text(at).split(',').map(str::trim).map(str::to_owned);
        if form.text(at).is_empty() { Vec::new() } else { items.collect() }
    };
    let network = form.text(NAME).to_owned();
    check_name("network", &network).map_err(|why| (NAME, texts.reason(&why)))?;
    let (subnets, gateways, ranges) = (items(SUBNETS), items(GATEWAYS), items(RANGES));
    for (at, those) in [(GATEWAYS, &gateways), (RANGES, &ranges)] {
        if those.len() > subnets.len() {
            return Err((at, texts.get("networks.make.no_subnet").to_owned()));
        }
    }
    let part = |of: &[String], n: usize| of.get(n).cloned().unwrap_or_default();
    let subnet = |(n, subnet): (usize, String)| Subnet {
        subnet,
        gateway: part(&gateways, n),
        range: part(&ranges, n),
    };
    let subnets: Vec<Subnet> = subnets.into_iter().enumerate().map(subnet).collect();
    for subnet in &subnets {
        // Each line is looked at with what stands above it, so that the one that is wrong is named.
        let alone = Subnet { subnet: subnet.subnet.clone(), ..Subnet::default() };
        let reached = Subnet { gateway: subnet.gateway.clone(), ..alone.clone() };
        for (at, part) in [(SUBNETS, &alone), (GATEWAYS, &reached), (RANGES, subnet)] {
            part.check().map_err(|why| (at, texts.reason(&why)))?;
        }
    }
    let mut create = Create { network, subnets, ..Create::default() };
    form.text(DRIVER).clone_into(&mut create.driver);
    let words = form.text(FLAGS).split([',', ' ']).filter(|word| !word.is_empty());
    for word in words {
        match word {
            "internal" => create.internal = true,
            "attachable" => create.attachable = true,
            "ipv6" => create.ipv6 = true,
            _ => return Err((FLAGS, texts.fill("networks.make.bad_flag", &[&clean(word)]))),
        }
    }
    create.labels = pairs(context, form, LABELS)?;
    create.options = pairs(context, form, OPTIONS)?;
    Ok(create)
}

fn command(on: &str, create: &Create) -> String {
    let mut line = format!("cmdr docker network create {} {}", quoted(on), quoted(&create.network));
    let mut push = |flag: &str, value: &str| {
        if !value.is_empty() {
            line.extend([" ", flag, " ", &quoted(value)]);
        }
    };
    push("--driver", &create.driver);
    for net in &create.subnets {
        push("--subnet", &net.subnet);
        push("--gateway", &net.gateway);
        push("--ip-range", &net.range);
    }
    let flags_of = [
        (create.internal, " --internal"),
        (create.attachable, " --attachable"),
        (create.ipv6, " --ipv6"),
    ];
    line.extend(flags_of.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag));
    line + &flags("--label", &create.labels) + &flags("--opt", &create.options)
}

/// The network under the cursor, with who is in it.
fn one(row: Option<&Record>) -> Option<Network> {
    let row = row?;
    let Target::Network { users, .. } = &row.target else { return None };
    let act = target(row)?;
    Some(Network { host: act.host, id: act.id, name: act.name, users: users.clone() })
}

/// A network to put containers into.
#[derive(Clone)]
struct Network {
    host: HostId,
    id: String,
    name: String,
    users: Vec<String>,
}

/// Asks which container, and puts it in.
pub(super) fn connect(row: Option<&Record>) -> Action {
    let Some(network) = one(row) else { return Action::None };
    let what = clean(&network.name).into_owned();
    let list = containers::List { all: true, ..containers::List::default() };
    ask(Some(network.host), what, list, PATIENCE, move |listing| {
        Action::Make(Box::new(Choose { network, listing }))
    })
}

/// The containers that there are, to choose from.
struct Choose {
    network: Network,
    listing: Listing,
}

impl Make for Choose {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self { network, listing } = *self;
        let texts = context.texts;
        let outside = listing.containers.into_iter().filter(|c| !network.users.contains(&c.name));
        let mut outside: Vec<_> = outside.take(CHOICES).collect();
        outside.sort_by(|a, b| a.name.cmp(&b.name));
        let title = texts.fill("networks.connect.title", &[&clean(&network.name)]);
        if outside.is_empty() {
            return Action::Say(texts.get("networks.connect.nobody").to_owned());
        }
        let items = outside.iter();
        let items = items.map(|c| (clean(&c.name).into_owned(), clean(&c.image).into_owned()));
        let items = items.collect();
        let chosen: Vec<_> = outside.into_iter().map(|c| (c.id, c.name)).collect();
        let menu = Menu::new(title, items, 0, move |at| match chosen.get(at) {
            Some((id, name)) => Action::Make(Box::new(Enter {
                network: network.clone(),
                id: id.clone(),
                name: name.clone(),
            })),
            None => Action::None,
        });
        Action::Open(Box::new(menu))
    }
}

/// The container that goes in.
struct Enter {
    network: Network,
    id: String,
    name: String,
}

impl Make for Enter {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self { network, id, name } = *self;
        let texts = context.texts;
        let field = |name, hint| Field::new(name, hint, String::new());
        let fields = vec![
            field("networks.connect.addresses", "networks.connect.addresses_hint"),
            field("networks.connect.aliases", "networks.connect.aliases_hint"),
        ];
        let title = texts.fill("networks.connect.how", &[&clean(&name), &clean(&network.name)]);
        Fill::open(Form::new(title, fields), move |context, form| {
            let texts = context.texts;
            let items = |at: usize| -> Vec<String> {
                let items = form.text(at).split([',', ' ']).filter(|item| !item.is_empty());
                items.map(str::to_owned).collect()
            };
            let addresses = items(ADDRESSES);
            if let Some(wrong) = addresses.iter().find(|a| a.parse::<IpAddr>().is_err()) {
                let said = texts.fill("networks.connect.bad_address", &[&clean(wrong)]);
                return Err((ADDRESSES, said));
            }
            let connect = Connect {
                network: network.id.clone(),
                container: id.clone(),
                addresses,
                aliases: items(ALIASES),
            };
            let what = texts.fill("networks.connect.what", &[&clean(&name), &clean(&network.name)]);
            let done = Action::Say(texts.get("docker.done").replacen("{}", &what, 1));
            Ok(Action::call(what, Some(network.host), connect, move |_| (None, done)))
        })
    }
}

/// Asks which container, then whether, and takes it out.
pub(super) fn disconnect(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some(network) = one(row) else { return Action::None };
    let texts = context.texts.clone();
    if network.users.is_empty() {
        return Action::Say(texts.get("networks.disconnect.nobody").to_owned());
    }
    let title = texts.fill("networks.disconnect.title", &[&clean(&network.name)]);
    let items = network.users.iter().map(|name| (clean(name).into_owned(), String::new()));
    let items = items.collect();
    let on = context.store.hosts.name(network.host);
    let menu = Menu::new(title, items, 0, move |at| {
        let Some(container) = network.users.get(at).cloned() else { return Action::None };
        let (of, from) = (clean(&container), clean(&network.name));
        let what = texts.fill("networks.disconnect.what", &[&of, &from]);
        let title = texts.fill("networks.disconnect.ask", &[&of, &from, &on]);
        let done = Action::Say(texts.get("docker.done").replacen("{}", &what, 1));
        let [host, name, who] = [&on, &network.name, &container].map(|text| quoted(text));
        let command = format!("cmdr docker network disconnect {host} {name} {who}");
        let leave = Disconnect { network: network.id.clone(), container, force: false };
        let call = Action::call(what, Some(network.host), leave, move |_| (None, done));
        Action::Open(Box::new(Confirm::one(title, call).copying(command)))
    });
    Action::Open(Box::new(menu.dangerous()))
}
