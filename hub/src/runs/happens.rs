//! What happens to runs, for those who follow events; and what of that somebody would find in the lists.

use super::Runs;
use super::live::Live;
use crate::server::Hub;
use crate::who::Who;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::runs::{List, Run};
use cmdr_protocol::{Call as _, HostId, RunId, methods};

impl Runs {
    /// Tells that something happened to a run: what it does is not in that.
    pub(super) fn happened(&self, what: What, live: &Live) {
        let Some(hub) = self.hub() else { return };
        let event = {
            let inner = live.lock();
            Event {
                what,
                run: Some(live.id),
                operator: inner.record.author.operator.clone(),
                counts: (what == What::RunEnded).then_some(inner.counts),
                message: inner.record.why.clone(),
                ..Event::default()
            }
        };
        hub.fleet.events.tell(event);
    }

    /// A run as somebody would find it in a list; nothing when they would not.
    pub(crate) fn in_lists(&self, hub: &Hub, who: &Who, id: RunId) -> Option<Run> {
        self.in_list(hub, who, self.shown_in_list(id)?)
    }

    /// Whether a run has a target, of those that somebody would find in a list, on such a host.
    pub(crate) fn is_for(
        &self,
        hub: &Hub,
        who: &Who,
        id: RunId,
        is_one: impl Fn(HostId) -> bool,
    ) -> bool {
        let open = self.open(id);
        if let Some(live) = open {
            let Ok((live, sees)) = self.look(hub, who, live.id, List::METHOD) else { return false };
            let hosts: Vec<_> = live.lock().seats.iter().map(|seat| seat.host).collect();
            return hosts.into_iter().enumerate().any(|(at, host)| sees.has(at) && is_one(host));
        }
        let brief = match self.brief(id) {
            Some(brief) => brief,
            None => match self.read_brief(id) {
                Ok(Some(brief)) => brief,
                _ => return false,
            },
        };
        let (Some(method), Some((_, run))) = (methods::index(List::METHOD), self.shown_in_list(id))
        else {
            return false;
        };
        let all = who.program.is_none() && super::views::is_own(who, &run);
        let resource = format!("run:{id}");
        let may = |host| all || hub.decide(who, method, Some(&resource), Some(host)).is_ok();
        brief.iter().any(|(host, _)| may(*host) && is_one(*host))
    }
}
