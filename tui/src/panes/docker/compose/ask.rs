//! Asks the hosts of a project, so many at once: what they have of it, which containers it has there.

use super::Project;
use crate::action::{Action, Make, PATIENCE};
use crate::event::Event;
use crate::link::Link;
use crate::panes::logs::LogsPane;
use crate::panes::{Context, Place};
use crate::store::compose as store;
use crate::store::sheets::SheetKey;
use cmdr_protocol::compose::Look;
use cmdr_protocol::containers::{List, Listing};
use cmdr_protocol::hosts::Resolve;
use cmdr_protocol::inside::CONTAINER;
use cmdr_protocol::{Call, CallError, HostId};
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::time::Duration;

/// Hosts asked at once.
const AT_ONCE: usize = 8;
/// Hosts asked about one project; of more the first ones by name.
const MOST: usize = 64;
/// A compose program takes its time.
const LONG: Duration = Duration::from_mins(2);

/// The label that a compose program gives containers.
const LABEL: &str = "com.docker.compose.project";

/// Hosts that are meant, and how many more there are than are asked.
pub(super) struct Hosts {
    pub(super) hosts: Vec<HostId>,
    pub(super) beyond: usize,
}

/// Which hosts a project is for; where nothing says so, those of the page.
pub(super) async fn hosts(link: &Link, project: &Project) -> Result<Hosts, CallError> {
    let mut hosts = match (&project.within, project.kept.hosts.as_str()) {
        (within, "") => within.clone().unwrap_or_default(),
        (within, selector) => {
            let found = link.call_all(None, Resolve::of(selector), PATIENCE).await?.targets;
            let meant = |host: &HostId| within.as_ref().is_none_or(|these| these.contains(host));
            found.into_iter().map(|(host, ..)| host).filter(meant).collect()
        }
    };
    let beyond = hosts.len().saturating_sub(MOST);
    hosts.truncate(MOST);
    Ok(Hosts { hosts, beyond })
}

/// Asks each, and waits for all.
pub(super) async fn each<C: Call>(
    link: &Link,
    hosts: Vec<HostId>,
    make: impl Fn(HostId) -> (Option<HostId>, C),
) -> Vec<(HostId, Result<C::Reply, CallError>)> {
    let calls: Vec<_> = hosts.into_iter().map(|host| (host, make(host))).collect();
    let calls = calls.into_iter().map(|(host, (to, call))| {
        let link = link.clone();
        async move { (host, link.call(to, call, LONG).await) }
    });
    futures::stream::iter(calls).buffered(AT_ONCE).collect().await
}

/// Asks hosts what they have of it, for the list.
pub(super) fn look(key: SheetKey, project: Project) -> Action {
    let name = project.kept.name.clone();
    let asking = Action::Apply(store::asking(key, &name));
    let errand = Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let answers = match hosts(&link, &project).await {
                Ok(found) => Ok(looks(&link, &project, found.hosts).await),
                Err(error) => Err(error),
            };
            Event::Done(Some(store::came(key, name, answers)), Action::None)
        })
    }));
    Action::All(vec![asking, errand])
}

/// What hosts have of it.
pub(super) async fn looks(link: &Link, project: &Project, hosts: Vec<HostId>) -> store::Answers {
    let look = |host| (Some(host), Look { project: project.kept.name.clone() });
    each(link, hosts, look).await
}

/// The logs of its containers, over hosts.
pub(super) fn logs(project: &Project) -> Action {
    let project = project.clone();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let found = match hosts(&link, &project).await {
                Ok(found) => found.hosts,
                Err(error) => {
                    return Event::Done(None, Action::Complain(crate::action::reason(&error)));
                }
            };
            let label = format!("{LABEL}={}", project.kept.name);
            let filters = BTreeMap::from([("label".to_owned(), vec![label])]);
            let list = List { all: true, filters, ..List::default() };
            let answers = each(&link, found, |host| (Some(host), list.clone())).await;
            Event::Done(None, Action::Make(Box::new(Containers(answers))))
        })
    }))
}

/// Containers that came.
struct Containers(Vec<(HostId, Result<Listing, CallError>)>);

impl Make for Containers {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let (mut sources, mut failed) = (Vec::new(), None);
        for (host, answer) in self.0 {
            match answer {
                Ok(listing) => sources.extend(
                    listing.containers.iter().map(|c| (host, format!("{CONTAINER}{}", c.name))),
                ),
                Err(error) => failed = Some((host, error)),
            }
        }
        match (sources.is_empty(), failed) {
            (false, _) => Action::Enter(Place::Logs, Box::new(LogsPane::reading_all(sources))),
            (true, Some((host, error))) => {
                let name = context.store.hosts.name(host);
                Action::Complain(format!("{name}: {}", crate::action::reason(&error)))
            }
            (true, None) => Action::Say(context.texts.get("projects.no_containers").to_owned()),
        }
    }
}
