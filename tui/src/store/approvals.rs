//! Rights that were asked for, as far as we may know of them. The approvals pane shows them; the top
//! line counts those that wait for us.

use super::{Store, Stored, Toast};
use cmdr_protocol::HostId;
use cmdr_protocol::approvals::{Approval, Listing, State, Watch};
use cmdr_protocol::display::clean;

/// All requests, in the hub's order.
#[derive(Default)]
pub struct Approvals {
    /// Texts made harmless.
    pub rows: Vec<Approval>,
    /// What we have on request; none from a hub that does not say.
    pub may_ask: Option<Vec<String>>,
    /// False until the first item came.
    pub known: bool,
    /// Goes up with every change.
    pub version: u64,
}

impl Approvals {
    /// The request of this number.
    pub fn get(&self, id: u64) -> Option<&Approval> {
        self.rows.iter().find(|approval| approval.id == id)
    }

    /// How many wait for us to decide.
    pub fn to_decide(&self) -> usize {
        self.rows.iter().filter(|a| a.state == State::Waiting && a.may_decide).count()
    }

    /// Of those of ours that hold now the one that lapses last.
    pub fn elevated(&self, now_ms: u64) -> Option<&Approval> {
        let holds = |a: &&Approval| a.own && a.state == State::Active && a.until_ms > now_ms;
        self.rows.iter().filter(holds).max_by_key(|a| a.until_ms)
    }

    /// Whether something of ours that holds now has this verb.
    pub fn covers(&self, verb: &str, now_ms: u64) -> bool {
        let holds = |a: &&Approval| a.own && a.state == State::Active && a.until_ms > now_ms;
        self.rows.iter().filter(holds).any(|a| a.wanted.verbs.iter().any(|v| v == verb))
    }

    fn change(&mut self, listing: Listing) -> Vec<Toast> {
        let rows: Vec<Approval> = listing.approvals.into_iter().map(harmless).collect();
        let mut toasts = Vec::new();
        for row in rows.iter().filter(|_| self.known) {
            let before = self.get(row.id).map(|old| old.state);
            let id = row.id.to_string();
            let verbs = row.wanted.verbs.join(" ");
            let decided = row.decisions.last();
            let by = decided.map_or_else(String::new, |decision| decision.by.clone());
            let why = decided.map_or_else(String::new, |decision| decision.reason.clone());
            if row.may_decide && row.state == State::Waiting && before.is_none() {
                let values = vec![id, row.operator.clone(), verbs];
                toasts.push(Toast { text: "approvals.toast.new", values, bad: false });
            } else if row.own && before.is_some_and(|before| before != row.state) {
                let (text, values) = match row.state {
                    State::Active => ("approvals.toast.active", vec![id, verbs]),
                    State::Denied => ("approvals.toast.denied", vec![id, by, why]),
                    State::Expired => ("approvals.toast.expired", vec![id, verbs]),
                    State::Lapsed => ("approvals.toast.lapsed", vec![id, verbs]),
                    _ => continue,
                };
                let bad = matches!(row.state, State::Denied | State::Expired);
                toasts.push(Toast { text, values, bad });
            }
        }
        self.rows = rows;
        self.may_ask = listing.may_ask;
        self.known = true;
        self.version += 1;
        toasts
    }
}

fn harmless(mut row: Approval) -> Approval {
    let make = |text: &mut String| {
        if let std::borrow::Cow::Owned(harmless) = clean(text) {
            *text = harmless;
        }
    };
    make(&mut row.operator);
    make(&mut row.reason);
    make(&mut row.wanted.hosts);
    row.wanted.verbs.iter_mut().for_each(make);
    row.wanted.resources.iter_mut().for_each(make);
    for decision in &mut row.decisions {
        make(&mut decision.by);
        make(&mut decision.reason);
    }
    row
}

impl Stored for Watch {
    fn apply(store: &mut Store, _host: Option<HostId>, item: Listing) {
        let toasts = store.approvals.change(item);
        // What one may do depends on what holds.
        store.rights.forget();
        store.toasts.extend(toasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::approvals::Wanted;

    fn own(id: u64, state: State, until_ms: u64) -> Approval {
        let wanted = Wanted { verbs: vec!["exec.start".into()], ..Wanted::default() };
        Approval { id, state, until_ms, wanted, own: true, ..Approval::default() }
    }

    #[test]
    fn what_is_new_or_decided_is_told_once_and_what_was_there_at_first_is_not() {
        let mut approvals = Approvals::default();
        let list = |approvals| Listing { approvals, may_ask: None };
        assert_eq!(approvals.change(list(vec![own(1, State::Waiting, 9)])), []);
        let other = Approval {
            own: false,
            may_decide: true,
            operator: "ann\u{1b}".into(),
            ..own(2, State::Waiting, 9)
        };
        let both = vec![own(1, State::Active, 9), other];
        let toasts = approvals.change(list(both.clone()));
        let texts: Vec<_> = toasts.iter().map(|toast| toast.text).collect();
        assert_eq!(texts, ["approvals.toast.active", "approvals.toast.new"]);
        assert_eq!(toasts[1].values[1], "ann␛");
        assert_eq!(approvals.change(list(both)), []);
        assert_eq!(approvals.to_decide(), 1);
    }

    #[test]
    fn what_has_lapsed_by_the_clock_holds_no_more() {
        let mut approvals = Approvals::default();
        approvals.change(Listing { approvals: vec![own(1, State::Active, 100)], may_ask: None });
        assert!(approvals.covers("exec.start", 99) && !approvals.covers("exec.start", 100));
        assert!(!approvals.covers("processes.signal", 99));
        assert_eq!(approvals.elevated(100), None);
    }
}
