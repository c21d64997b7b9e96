//! Whether registries have something newer for the images of hosts: the hub asks them, and what it found is shown in the
//! list and to read.

use crate::action::{Action, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::gather::AT_ONCE;
use crate::store::{Update, engines};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::registries::Updates;
use futures::StreamExt as _;
use std::time::Duration;

/// Registries may be far away.
const PATIENCE: Duration = Duration::from_mins(2);
/// Names that are listed.
const LISTED: usize = 5000;

/// Asks for all images of these hosts.
pub(super) fn ask(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    if hosts.is_empty() {
        return Action::None;
    }
    let texts = context.texts.clone();
    let several = hosts.len() > 1;
    let hosts: Vec<_> =
        hosts.into_iter().map(|host| (host, context.store.hosts.name(host))).collect();
    let asking = Action::Say(texts.get("images.outdated.asking").to_owned());
    let selector: Vec<_> = hosts.iter().map(|(_, name)| name.as_str()).collect();
    let selector = crate::panes::hosts::quoted(&selector.join(","));
    let errand = Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let ask = |(host, on): (HostId, String)| {
                let link = link.clone();
                async move {
                    let updates = Updates { host, images: Vec::new() };
                    (host, on, link.call(None, updates, PATIENCE).await)
                }
            };
            let answers = futures::stream::iter(hosts).map(ask).buffered(AT_ONCE);
            let answers: Vec<_> = answers.collect().await;
            let (mut lines, mut newer) = (Vec::<(u8, Vec<Piece>)>::new(), 0);
            let mut told = Vec::new();
            for (host, on, answer) in answers {
                let compared = match answer {
                    Ok(compared) => compared,
                    Err(error) => {
                        lines.push((0, vec![(Role::Bad, format!("{on}: {}", reason(&error)))]));
                        continue;
                    }
                };
                for update in &compared.images {
                    let (rank, key, role) = match () {
                        () if update.available => (1, "images.newer.yes", Role::Warn),
                        () if !update.why.is_empty() => (2, "images.newer.unknown", Role::Soft),
                        () => (3, "images.newer.no", Role::Ok),
                    };
                    newer += usize::from(update.available);
                    let mut line = vec![(Role::Strong, clean(&update.image).into_owned())];
                    if several {
                        line.insert(0, (Role::Accent, format!("{on}  ")));
                    }
                    line.push((role, format!("  {}", texts.get(key))));
                    if !update.why.is_empty() {
                        line.push((Role::Soft, format!("  {}", texts.reason(&update.why))));
                    }
                    lines.push((rank, line));
                }
                told.push((host, compared.images));
            }
            lines.sort_by_key(|(rank, _)| *rank);
            let mut lines: Vec<_> = lines.into_iter().take(LISTED).map(|(_, line)| line).collect();
            let count = texts.fill("images.outdated.found", &[&newer.to_string()]);
            lines.splice(0..0, [vec![(Role::Title, count)], Vec::new()]);
            let title = texts.get("images.outdated.title").to_owned();
            let command = format!("cmdr docker outdated {selector} --all");
            let pager = Pager::new(title, lines).copying_command(command);
            let update = Update::new(move |store| {
                for (host, images) in told {
                    engines::compared(store, host, images);
                }
            });
            Event::Done(Some(update), Action::Open(Box::new(pager)))
        })
    }));
    Action::All(vec![asking, errand])
}
