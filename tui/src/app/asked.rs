//! What the app asks the hub of its own accord: what may be done with the hosts at hand, so that
//! nothing else is offered; which requests for rights there are. And the way of something that was
//! refused until it was asked for: ask, wait, do again.

use super::App;
use super::screen::Wish;
use crate::action::{Action, Held, PATIENCE, Refused};
use crate::keymap::{Binding, Command, EVERYWHERE};
use crate::overlays::ask::Ask;
use crate::panes::Place;
use crate::panes::rights::RightsPane;
use crate::store::rights::{self, Offer};
use cmdr_protocol::approvals::{self, State};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Matrix, Mine};
use cmdr_protocol::{Call as _, HostId};

/// Hosts that are asked about at once.
const AT_HAND: usize = 1000;
/// Between two such questions: a cursor that runs down a list need not ask at each row.
const PAUSE_MS: u64 = 300;
/// Things that wait to be done again.
const HELD: usize = 16;

impl App {
    /// The hosts that an act would be about.
    fn at_hand(&self) -> Vec<HostId> {
        if let Place::Host(host, _) = self.place {
            return vec![host];
        }
        let mut hosts = self.pane.at_hand();
        hosts.truncate(AT_HAND);
        hosts
    }

    /// Whether a binding is offered here.
    pub(super) fn offer(&self, binding: &Binding) -> Offer {
        if binding.verb.is_empty() {
            return Offer::Yes;
        }
        self.store.offer(binding.verb, binding.danger, &self.at_hand())
    }

    /// Why something is not offered, if it is not.
    pub(super) fn refusal(&self, binding: &Binding) -> Option<String> {
        let texts = &self.face.texts;
        if self.offer(binding) != Offer::No {
            return None;
        }
        if binding.danger && self.store.read_only {
            return Some(texts.get("note.read_only").to_owned());
        }
        let key = match binding.verb {
            approvals::Ask::METHOD => "approvals.nothing_to_ask",
            _ => "approvals.nothing_to_end",
        };
        if self.store.has_nothing_to(binding.verb) {
            return Some(texts.get(key).to_owned());
        }
        let role = self.store.role().to_string();
        // On the fleet as a whole it may be allowed all the same.
        if self.store.offer(binding.verb, binding.danger, &[]) == Offer::No {
            return Some(texts.fill("note.role", &[&role]));
        }
        let denied =
            |host: &HostId| self.store.offer(binding.verb, binding.danger, &[*host]) == Offer::No;
        let host = self.at_hand().into_iter().find(denied)?;
        Some(texts.fill("note.role_here", &[&role, &self.store.hosts.name(host)]))
    }

    /// Asks what the pane and the key line need to know.
    pub(super) fn look_after(&mut self) {
        if !self.store.is_up() {
            return;
        }
        self.poll();
        self.with_others(Self::poll);
        self.look_at_runs();
        self.look_at_notifiers();
        // They may do everything everywhere.
        if self.store.role() == Role::ADMINISTRATOR {
            return;
        }
        let now_ms = (self.options.now_ms)();
        if now_ms.saturating_sub(self.asked_ms) < PAUSE_MS {
            return;
        }
        let hosts = self.store.rights.unknown(&self.at_hand(), now_ms);
        if !hosts.is_empty() {
            self.asked_ms = now_ms;
            self.store.apply(rights::asking());
            let asked = hosts.clone();
            self.perform(Action::fetch(None, Mine { hosts }, PATIENCE, |told| {
                (Some(rights::mine(asked, told.map(|told| told.hosts))), Action::None)
            }));
        }
        if !self.store.rights.asked_matrix {
            self.asked_ms = now_ms;
            self.store.apply(rights::asked_matrix());
            self.perform(Action::fetch(
                None,
                Matrix { host: None, packed: true },
                PATIENCE,
                |table| (Some(rights::on_request(table)), Action::None),
            ));
        }
    }

    fn poll(&mut self) {
        let context = self.face.context(&self.store);
        let action = self.pane.poll(&context);
        if !matches!(action, Action::None) {
            self.perform(action);
        }
    }

    /// Says the news that came.
    pub(super) fn tell(&mut self) {
        if std::mem::take(&mut self.store.rings) {
            self.wishes.push(Wish::Bell);
        }
        while let Some(toast) = self.store.toasts.pop_front() {
            let values: Vec<&str> = toast.values.iter().map(String::as_str).collect();
            self.say(&self.face.texts.fill(toast.text, &values), toast.bad);
        }
        let over = |id: u64| {
            let state = self.store.approvals.get(id).map(|approval| approval.state);
            state.is_some_and(|state| !matches!(state, State::Waiting | State::Active))
        };
        self.held.retain(|held| !over(held.id));
        let mut ready = None;
        for held in self.held.iter_mut().filter(|held| !held.is_ready) {
            let state = self.store.approvals.get(held.id).map(|approval| approval.state);
            if state == Some(State::Active) {
                held.is_ready = true;
                ready = Some((held.id, held.what.clone()));
            }
        }
        if let Some((id, what)) = ready {
            self.say_ready(id, &what);
        }
    }

    fn say_ready(&mut self, id: u64, what: &str) {
        let key = self.face.keys.of(&[EVERYWHERE], Command::Again);
        self.say(&self.face.texts.fill("again.ready", &[&id.to_string(), &key, what]), false);
    }

    /// Something was refused that may be done once it was asked for.
    pub(super) fn refused(&mut self, refused: Box<Refused>) {
        let mut refused = Some(refused);
        if let Some(overlay) = self.overlays.last_mut() {
            refused = refused.and_then(|refused| overlay.refused(refused));
        }
        let Some(refused) = refused else { return };
        if self.store.offer(approvals::Ask::METHOD, true, &[]) == Offer::No {
            return self.say(&format!("{}: {}", refused.what, refused.why), true);
        }
        let ask = Ask::refused(&self.context(), *refused);
        self.overlays.push(Box::new(ask));
    }

    /// Something was asked for that is to be done again.
    pub(super) fn hold(&mut self, held: Held) {
        if self.held.len() >= HELD {
            self.held.remove(0);
        }
        if held.is_ready {
            self.say_ready(held.id, &held.what);
        } else {
            let id = held.id.to_string();
            self.say(&self.face.texts.fill("ask.sent", &[&id]), false);
        }
        self.held.push(held);
        // Its approval may have come before the answer did.
        self.tell();
    }

    /// Does again what was refused, as soon as it is approved.
    pub(super) fn again(&mut self) -> Action {
        match self.held.iter().rposition(|held| held.is_ready) {
            Some(at) => self.held.remove(at).again,
            None => match self.held.last() {
                Some(held) => {
                    let id = held.id.to_string();
                    Action::Say(self.face.texts.fill("again.waits", &[&held.what, &id]))
                }
                None => Action::Say(self.face.texts.get("again.nothing").to_owned()),
            },
        }
    }

    /// A form for rights, about the hosts at hand.
    pub(super) fn ask(&self) -> Action {
        Action::Open(Box::new(Ask::new(&self.context(), &self.at_hand())))
    }

    /// Who may do what: on the host whose page this is, or in the fleet.
    pub(super) fn rights(&self) -> Action {
        match self.place {
            Place::Host(host, _) => {
                Action::Enter(Place::Rights, Box::new(RightsPane::of(Some(host))))
            }
            Place::Rights => Action::None,
            _ => Action::Go(Place::Rights),
        }
    }
}
