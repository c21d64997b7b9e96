//! A project host by host: its services there with their containers, or what bringing it up would do with each.

use super::ask::{self, Hosts};
use super::{Project, work};
use crate::action::{Action, Make};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::compose::{Answers, running};
use crate::store::rights::Offer;
use crate::theme::Role;
use cmdr_protocol::compose::kept::{Deploy, Plan};
use cmdr_protocol::compose::{Looked, Service, Will};
use cmdr_protocol::display::clean;
use cmdr_protocol::{Call as _, CallError, ErrorKind, Feed as _, HostId};

/// What bringing it up does with a service: key of the word, and how it is drawn.
fn word(will: Will) -> (&'static str, Role) {
    match will {
        Will::Leave => ("projects.will.leave", Role::Soft),
        Will::Create => ("projects.will.create", Role::Ok),
        Will::Recreate => ("projects.will.recreate", Role::Bad),
        Will::Start => ("projects.will.start", Role::Warn),
        Will::Scale => ("projects.will.scale", Role::Warn),
        Will::Remove => ("projects.will.remove", Role::Bad),
        Will::Unknown => ("projects.will.other", Role::Warn),
    }
}

/// What hosts said.
struct Came {
    project: Project,
    /// What would be, not what is.
    planned: bool,
    answers: Result<(Answers, usize), CallError>,
}

/// What hosts have of it.
pub(super) fn open(context: &Context<'_>, project: &Project) -> Action {
    fetch(context, project, false)
}

/// What bringing the newest version up would do; from there it is brought up.
pub(super) fn plan(context: &Context<'_>, project: &Project) -> Action {
    if context.store.offer(Plan::METHOD, false, &[]) == Offer::No {
        return Action::Say(context.texts.get("projects.no_plan").to_owned());
    }
    fetch(context, project, true)
}

fn fetch(context: &Context<'_>, project: &Project, planned: bool) -> Action {
    let project = project.clone();
    let asking = context.texts.fill("projects.looking", &[&clean(&project.kept.name)]);
    let errand = Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let answers = match ask::hosts(&link, &project).await {
                Ok(Hosts { hosts, beyond }) if planned => {
                    let (name, version) = (&project.kept.name, Some(project.kept.version));
                    let plan = |host| (None, Plan { host, name: name.clone(), version });
                    Ok((ask::each(&link, hosts, plan).await, beyond))
                }
                Ok(Hosts { hosts, beyond }) => {
                    Ok((ask::looks(&link, &project, hosts).await, beyond))
                }
                Err(error) => Err(error),
            };
            Event::Done(None, Action::Make(Box::new(Came { project, planned, answers })))
        })
    }));
    Action::All(vec![Action::Say(asking), errand])
}

fn padded(text: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthStr as _;
    format!("{text}{}  ", " ".repeat(width.saturating_sub(text.width())))
}

/// One service: what it is, what happens to it and why, then its containers.
fn service(context: &Context<'_>, service: &Service, lines: &mut Vec<Vec<Piece>>) {
    let texts = context.texts;
    let (key, role) = if service.drifted() || service.will != Will::Leave {
        word(service.will)
    } else {
        ("projects.will.leave", Role::Ok)
    };
    lines.push(vec![
        (Role::Text, "  ".to_owned()),
        (Role::Strong, padded(&clean(&service.name), 16)),
        (role, padded(texts.get(key), 12)),
        (Role::Text, padded(&clean(&service.why), 0)),
        (Role::Soft, clean(&service.image).into_owned()),
    ]);
    for member in &service.containers {
        let role = if member.state.runs() { Role::Text } else { Role::Warn };
        lines.push(vec![
            (Role::Soft, format!("    {}", padded(&clean(&member.name), 24))),
            (role, clean(&member.status).into_owned()),
        ]);
    }
}

fn host(
    context: &Context<'_>,
    (host, answer): &(HostId, Result<Looked, CallError>),
    lines: &mut Vec<Vec<Piece>>,
) {
    let texts = context.texts;
    let mut head = vec![(Role::Accent, padded(&clean(&context.store.hosts.name(*host)), 0))];
    let looked = match answer {
        Ok(looked) => looked,
        Err(error) => {
            let role = if error.kind == ErrorKind::NotFound { Role::Soft } else { Role::Bad };
            head.push((role, crate::action::reason(error)));
            return lines.extend([head, Vec::new()]);
        }
    };
    let (run, all) = running(looked);
    head.push((Role::Text, texts.fill("projects.run", &[&run.to_string(), &all.to_string()])));
    if looked.version > 0 {
        let version = texts.fill("configs.version", &[&looked.version.to_string()]);
        head.push((Role::Soft, format!("  {version}")));
    }
    head.push((Role::Soft, format!("  {}", clean(&looked.program))));
    lines.push(head);
    for one in &looked.services {
        service(context, one, lines);
    }
    if !looked.powers.is_empty() {
        let powers = clean(&looked.powers.join(" ")).into_owned();
        lines.push(vec![(Role::Warn, format!("  {}", texts.fill("projects.powers", &[&powers])))]);
    }
    let remarks = looked.remarks.iter();
    lines.extend(remarks.map(|remark| vec![(Role::Soft, format!("  {}", clean(remark)))]));
    lines.push(Vec::new());
}

/// What would be done, in short, for the question.
fn sums(context: &Context<'_>, planned: &[&Looked]) -> Vec<String> {
    let texts = context.texts;
    let wills = [Will::Create, Will::Recreate, Will::Start, Will::Scale, Will::Remove, Will::Leave];
    let services = || planned.iter().flat_map(|looked| &looked.services);
    let count = |will: Will| services().filter(|service| service.will == will).count();
    let sums: Vec<String> = wills
        .into_iter()
        .filter(|will| count(*will) > 0)
        .map(|will| format!("{} {}", texts.get(word(will).0), count(will)))
        .collect();
    let mut lines = vec![sums.join(" · ")];
    let mut powers: Vec<&String> = planned.iter().flat_map(|looked| &looked.powers).collect();
    powers.sort();
    powers.dedup();
    if !powers.is_empty() {
        let powers: Vec<String> = powers.into_iter().map(|p| clean(p).into_owned()).collect();
        lines.push(texts.fill("projects.powers", &[&powers.join(" ")]));
    }
    lines
}

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { project, planned, answers } = *self;
        let (answers, beyond) = match answers {
            Ok(answers) => answers,
            Err(error) => return Action::Complain(crate::action::reason(&error)),
        };
        let name = clean(&project.kept.name).into_owned();
        if answers.is_empty() {
            return Action::Say(texts.fill("projects.no_hosts", &[&name]));
        }
        let version = project.kept.version.to_string();
        let mut lines = Vec::new();
        for answer in &answers {
            host(context, answer, &mut lines);
        }
        if beyond > 0 {
            lines.push(vec![(Role::Warn, texts.fill("projects.beyond", &[&beyond.to_string()]))]);
        }
        let good: Vec<(HostId, &Looked)> = answers
            .iter()
            .filter_map(|(host, answer)| Some((*host, answer.as_ref().ok()?)))
            .collect();
        let hosts: Vec<HostId> = good.iter().map(|(host, _)| *host).collect();
        let on = quoted(&work::names(context, answers.iter().map(|(host, _)| *host)));
        let shell_name = quoted(&project.kept.name);
        let may = context.store.offer(Deploy::METHOD, true, &[]) != Offer::No;
        let (title, command) = if planned {
            let title = texts.fill("projects.plan.title", &[&name, &version]);
            (title, format!("cmdr docker compose diff {shell_name} {on} --version {version}"))
        } else {
            (name, format!("cmdr docker compose ps {shell_name} {on}"))
        };
        let pager = Pager::new(title, lines).with_wrap().copying_command(command);
        let pager = if !may {
            pager
        } else if planned && !hosts.is_empty() {
            let planned: Vec<&Looked> = good.iter().map(|(_, looked)| *looked).collect();
            let about = sums(context, &planned);
            let act = work::deploy(context, &project, &hosts, about);
            pager.with_key('u', texts.get("projects.key.do_up"), act)
        } else if planned {
            pager
        } else {
            pager.with_key('u', texts.get("projects.key.up"), plan(context, &project))
        };
        Action::Open(Box::new(pager))
    }
}
