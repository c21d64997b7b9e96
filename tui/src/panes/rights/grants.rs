//! A grant and a role in words.

use crate::i18n::Lang;
use crate::overlays::help::ASK;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::theme::Role as Style;
use cmdr_protocol::display::clean;
use cmdr_protocol::operators::Operator;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Allowed, Cell, Definition, Grant, Hours};

/// The sign of an answer, the key of its word, and its colour.
pub(super) const fn sign(allowed: Allowed) -> (&'static str, &'static str, Style) {
    match allowed {
        Allowed::Yes => ("●", "rights.yes", Style::Ok),
        Allowed::Some => ("◐", "rights.some", Style::Info),
        Allowed::OnRequest => (ASK, "rights.on_request", Style::Warn),
        Allowed::No => ("·", "rights.no", Style::Faint),
        Allowed::Unknown => ("?", "rights.unknown", Style::Faint),
    }
}

fn hours(context: &Context<'_>, hours: &Hours) -> String {
    const DAYS: [(&str, &str); 7] = [
        ("mon", "rights.day.mon"),
        ("tue", "rights.day.tue"),
        ("wed", "rights.day.wed"),
        ("thu", "rights.day.thu"),
        ("fri", "rights.day.fri"),
        ("sat", "rights.day.sat"),
        ("sun", "rights.day.sun"),
    ];
    let word = |day: &String| {
        let known = DAYS.iter().find(|(name, _)| name == day);
        known.map_or_else(|| day.clone(), |(_, key)| context.texts.get(key).to_owned())
    };
    let days: Vec<String> = hours.days.iter().map(word).collect();
    let days = days.join(" ");
    let gap = if days.is_empty() { "" } else { " " };
    format!("{days}{gap}{}–{} UTC", hours.from, hours.to)
}

/// What a grant allows, where, when, how often and how.
pub(super) fn words(context: &Context<'_>, grant: &Grant) -> String {
    let texts = context.texts;
    let mut parts = vec![grant.verbs.join(" ")];
    if !grant.resources.is_empty() {
        parts.push(texts.fill("rights.grant.resources", &[&grant.resources.join(" ")]));
    }
    if grant.hosts.is_empty() {
        parts.push(texts.get("rights.grant.all_hosts").to_owned());
    } else {
        parts.push(texts.fill("rights.grant.hosts", &[&grant.hosts]));
    }
    if let Some(when) = &grant.hours {
        parts.push(hours(context, when));
    }
    if let Some(limit) = grant.limit {
        let [hosts, minutes] = [limit.hosts, limit.minutes].map(|n| n.to_string());
        parts.push(texts.fill("rights.grant.limit", &[&hosts, &minutes]));
    }
    if let Some(request) = grant.on_request {
        let [approvals, minutes] =
            [request.approvals, request.longest_minutes].map(|n| n.to_string());
        let text = texts.fill("rights.grant.on_request", &[&approvals, &minutes]);
        parts.push(format!("{ASK} {text}"));
    }
    clean(&parts.join(" · ")).into_owned()
}

/// Why a cell says what it says: in the hub's words, which are English, or in ours.
pub(super) fn why(context: &Context<'_>, cell: &Cell) -> String {
    let texts = context.texts;
    if texts.lang == Lang::En {
        return cell.reason.clone();
    }
    let grant = cell.grants.first().map(ToString::to_string);
    let (plain, by_grant) = match cell.allowed {
        Allowed::Yes => ("rights.why.everybody", "rights.why.yes"),
        Allowed::Some => ("rights.some", "rights.why.some"),
        Allowed::OnRequest => ("rights.on_request", "rights.why.on_request"),
        Allowed::No => ("rights.why.no", "rights.why.no"),
        Allowed::Unknown => return cell.reason.clone(),
    };
    grant.map_or_else(|| texts.get(plain).to_owned(), |n| texts.fill(by_grant, &[&n]))
}

/// What a role is for. Of those that every hub has we know it ourselves.
fn description(context: &Context<'_>, definition: &Definition) -> String {
    let key = match definition.name {
        Role::ADMINISTRATOR => "rights.role.administrator",
        Role::OPERATOR => "rights.role.operator",
        Role::DEVELOPER => "rights.role.developer",
        Role::OBSERVER => "rights.role.observer",
        _ => return clean(&definition.description).into_owned(),
    };
    context.texts.get(key).to_owned()
}

/// A role whole: what it is for, its grants, and who has it.
pub(super) fn pager(context: &Context<'_>, role: Role, definition: Option<&Definition>) -> Pager {
    let texts = context.texts;
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    if let Some(definition) = definition {
        if !definition.description.is_empty() {
            let description = description(context, definition);
            lines.push(vec![(Style::Strong, description)]);
        }
        let built_in = if definition.built_in { "rights.built_in" } else { "rights.own" };
        let people = texts.fill("rights.operators", &[&definition.operators.to_string()]);
        lines.push(vec![(Style::Soft, format!("{} · {people}", texts.get(built_in)))]);
        lines.push(Vec::new());
        lines.push(vec![(Style::Accent, texts.get("rights.grants").to_owned())]);
        for (n, grant) in definition.grants.iter().enumerate() {
            let number = format!("{:>3}  ", n + 1);
            lines.push(vec![(Style::Soft, number), (Style::Text, words(context, grant))]);
        }
        if definition.grants.is_empty() {
            lines.push(vec![(Style::Warn, texts.get("rights.no_grants").to_owned())]);
        }
    }
    lines.push(Vec::new());
    lines.push(vec![(Style::Accent, texts.get("rights.members").to_owned())]);
    match &context.store.rights.operators {
        None => lines.push(vec![(Style::Soft, texts.get("rights.members_hidden").to_owned())]),
        Some(Err(error)) => lines.push(vec![(Style::Bad, crate::action::reason(error))]),
        Some(Ok(operators)) => {
            let has = |one: &&Operator| one.role == role || one.groups.iter().any(|g| g.1 == role);
            let members: Vec<_> = operators.iter().filter(has).collect();
            for member in &members {
                let here = member.devices.iter().any(|device| device.links > 0);
                let (sign, style) = if here { ("●", Style::Ok) } else { ("○", Style::Soft) };
                let groups = member.groups.iter().filter(|group| group.1 == role);
                let groups: Vec<_> = groups.map(|group| clean(&group.0)).collect();
                lines.push(vec![
                    (style, format!("  {sign} ")),
                    (Style::Text, clean(&member.name).into_owned()),
                    (Style::Soft, format!("  {}", clean(&member.full_name))),
                    (Style::Faint, format!("  {}", groups.join(" "))),
                ]);
            }
            if members.is_empty() {
                lines.push(vec![(Style::Soft, texts.get("rights.no_members").to_owned())]);
            }
        }
    }
    Pager::new(texts.fill("rights.role_title", &[&role.to_string()]), lines)
        .copying_command(format!("cmdr roles show {role}"))
}
