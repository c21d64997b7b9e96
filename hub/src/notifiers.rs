//! Notifiers: where alerts are told, and the queue of what is told there. How a place is spoken to is cmdr-notify's
//! business (decision 44); here places are kept, and notices until they were taken or are given up, in the store: no
//! crash forgets one. One that was on its way in a crash is sent again, with the same id.
//!
//! Told by [`crate::alerts`], asked by `services/notifiers.rs`.

mod means;
mod queue;

pub(crate) use queue::Letter;

use crate::alerts::Settings;
use crate::api::Callbacks;
use crate::outward::Outward;
use crate::records::{NoticeRecord, prefix};
use crate::runbooks::listed;
use crate::server::Hub;
use crate::shelf::{Item, Shelf, Sort};
use crate::store::{Store, StoreError};
use cmdr_link::clock;
use cmdr_notify::{Channel, Content, Entry, Place, Sent, Severity};
use cmdr_protocol::notifiers::{Checked, NoticeListing, Notifier, Save, Shown, Tested};
use cmdr_protocol::runbooks::{Problem, Saved, Version, check_name};
use cmdr_protocol::{CallError, display};
use means::Lent;
use queue::Queue;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

const SORT: Sort = Sort {
    prefix: prefix::NOTIFIER,
    texts: prefix::NOTIFIER_TEXT,
    signatures: None,
    sealed: None,
    what: "notifier",
    verb: "notifiers",
};

/// All notifiers, and what they are to tell.
#[derive(Debug)]
pub struct Notifiers {
    store: Store,
    shelf: Shelf,
    settings: Settings,
    callbacks: Callbacks,
    /// Made when it is needed first: it reads whom the system trusts.
    outward: OnceLock<Result<Outward, String>>,
    queue: Mutex<Queue>,
    wake: Notify,
}

/// The kind of a place, and where it leads without what is secret.
fn kind(place: &Place) -> (&'static str, String) {
    match &place.to {
        Channel::Email(email) => ("email", email.to.join(", ")),
        Channel::Dingtalk(to) => ("dingtalk", to.webhook.0.clone()),
        Channel::Slack(to) => ("slack", to.webhook.0.clone()),
        Channel::Feishu(to) => ("feishu", to.webhook.0.clone()),
        Channel::Wecom(to) => ("wecom", to.webhook.0.clone()),
        Channel::Telegram(to) => ("telegram", to.chat.clone()),
        Channel::Ntfy(to) => ("ntfy", to.topic.0.clone()),
        Channel::Webhook(to) => ("webhook", to.address.0.clone()),
        Channel::Command(command) => ("command", command.argv.join(" ")),
    }
}

/// A notice for a try.
fn example(name: &str) -> Content {
    let entry = Entry {
        severity: Severity::Info,
        alert: "try".to_owned(),
        rule: "try".to_owned(),
        host: "commander".to_owned(),
        message: format!("This is a try of the notifier {name}. Nothing is wrong."),
        since_ms: clock::now_ms(),
        ..Entry::default()
    };
    let id = format!("try-{}", clock::now_ms());
    Content { id, made_ms: clock::now_ms(), entries: vec![entry], ..Content::default() }
}

impl Notifiers {
    /// Reads what there is and what waits.
    pub fn load(
        store: Store,
        settings: &Settings,
        callbacks: &Callbacks,
    ) -> Result<Self, StoreError> {
        let shelf = Shelf::load(store.clone(), SORT)?;
        let mut queue = Queue::default();
        for record in store.scan::<NoticeRecord>(prefix::NOTICE)? {
            match record {
                Ok((key, record)) => queue.insert(key, record),
                Err(e) => tracing::error!("a notice is left out: {e}"),
            }
        }
        Ok(Self {
            store,
            shelf,
            settings: settings.clone(),
            callbacks: callbacks.clone(),
            outward: OnceLock::new(),
            queue: Mutex::new(queue),
            wake: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outward(&self) -> Result<&Outward, String> {
        let made = self.outward.get_or_init(|| Outward::new(&self.callbacks));
        made.as_ref().map_err(Clone::clone)
    }

    /// The names of all, each with whether it works as far as is known.
    pub(crate) fn standing(&self) -> Vec<(String, bool)> {
        let (held, queue) = (self.shelf.held(), self.lock());
        held.keys().map(|name| (name.clone(), queue.stands(name).failing_ms.is_none())).collect()
    }

    /// The names of all.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.shelf.held().keys().cloned().collect()
    }

    /// Reads a text: a place that this hub would go to.
    fn read(&self, text: &str) -> Result<Place, Vec<Problem>> {
        let whole = |what: String| vec![Problem { what, ..Problem::default() }];
        let place: Place = cmdr_rules::text::document(text).map_err(|problems| {
            let told =
                |p: cmdr_rules::Problem| Problem { line: p.line, column: p.column, what: p.what };
            problems.into_iter().map(told).collect::<Vec<_>>()
        })?;
        place.check().map_err(whole)?;
        if let Channel::Command(command) = &place.to {
            let program = command.argv.first().map(String::as_str).unwrap_or_default();
            if !self.settings.programs.iter().any(|allowed| allowed == program) {
                return Err(whole(format!(
                    "the hub does not run {}: its configuration has to name it ([alerts] programs)",
                    display::clean_to_width(program, 80)
                )));
            }
        }
        Ok(place)
    }

    /// A notifier that is kept.
    fn place(&self, name: &str) -> Result<Place, String> {
        let (_, text) = self.shelf.text(name, None).map_err(|e| e.message)?;
        self.read(&text).map_err(|problems| listed(&problems))
    }

    /// Whether a text is a notifier, and what it would say.
    pub(crate) fn check(&self, text: &str) -> Checked {
        let place = match self.read(text) {
            Ok(place) => place,
            Err(problems) => return Checked { problems, ..Checked::default() },
        };
        match cmdr_notify::preview(&place, &example("as an example")) {
            Ok((title, body)) => Checked { title, body, ..Checked::default() },
            Err(what) => Checked {
                problems: vec![Problem { what, ..Problem::default() }],
                ..Checked::default()
            },
        }
    }

    fn row(&self, hub: &Hub, name: &str, about: &Version) -> Notifier {
        let (kind, to, wrong) = match self.place(name) {
            Ok(place) => {
                let (kind, to) = kind(&place);
                (kind, to, String::new())
            }
            Err(why) => ("", String::new(), why),
        };
        let told = hub.alerts.told_by();
        let policies = told.into_iter().filter(|(to, _)| to == name).map(|(_, policy)| policy);
        let stands = self.lock().stands(name);
        Notifier {
            name: name.to_owned(),
            kind: kind.to_owned(),
            to,
            waiting: stands.waiting,
            taken_ms: stands.taken_ms,
            failing_ms: stands.failing_ms,
            last: if wrong.is_empty() { stands.last } else { wrong },
            policies: policies.collect(),
            version: about.version,
            saved_ms: about.saved_ms,
            saved_by: about.saved_by.clone(),
        }
    }

    /// All of them, by name.
    pub(crate) fn all(&self, hub: &Hub) -> Vec<Notifier> {
        let newest: Vec<(String, Version)> = self
            .shelf
            .held()
            .iter()
            .map(|(name, kept)| (name.clone(), kept.versions.last().cloned().unwrap_or_default()))
            .collect();
        newest.iter().map(|(name, about)| self.row(hub, name, about)).collect()
    }

    /// One with its text.
    pub(crate) fn show(&self, hub: &Hub, name: &str) -> Result<Shown, CallError> {
        let (about, text) = self.shelf.text(name, None)?;
        let problems = self.read(&text).err().unwrap_or_default();
        Ok(Shown { notifier: self.row(hub, name, &about), text, problems })
    }

    /// Keeps a text as the newest version.
    pub(crate) async fn save(&self, save: &Save, by: &str) -> Result<Saved, CallError> {
        check_name(&save.name).map_err(CallError::malformed)?;
        let place = self.read(&save.text).map_err(|p| CallError::malformed(listed(&p)))?;
        let (kind, _) = kind(&place);
        let item = Item {
            name: &save.name,
            text: &save.text,
            note: &save.note,
            description: kind,
            parts: 1,
            was: save.was,
            sealed: None,
            anew: false,
        };
        let saved = self.shelf.save(&item, by).await?;
        if !saved.unchanged {
            // What failed because of the text is tried again with the new one.
            self.lock().hurry(&save.name, clock::now_ms());
            self.wake.notify_one();
        }
        Ok(saved)
    }

    /// Removes one; what waits for it is given up.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), CallError> {
        if !self.shelf.delete(name).await? {
            return Err(self.shelf.missing(name));
        }
        self.give_up(name, "the notifier was deleted").await;
        Ok(())
    }

    /// Sends a notice for a try.
    pub(crate) async fn test(&self, hub: &Hub, name: &str) -> Result<Tested, CallError> {
        let (_, text) = self.shelf.text(name, None)?;
        let place = self.read(&text).map_err(|p| CallError::failed(listed(&p)))?;
        let began = Instant::now();
        let sent = self.send(hub, &place, &example(name)).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.lock().heard(name, sent.as_ref().err().map(ToString::to_string), clock::now_ms());
        match sent {
            Ok(sent) => Ok(Tested { took_ms, refused: sent.refused }),
            Err(failure) => Err(CallError::failed(failure.to_string())),
        }
    }

    async fn send(
        &self,
        hub: &Hub,
        place: &Place,
        content: &Content,
    ) -> Result<Sent, cmdr_notify::Failure> {
        let outward = self.outward().map_err(|what| cmdr_notify::Failure::Never { what })?;
        let lent = Lent { hub, outward, ca_file: self.callbacks.ca_file.as_deref() };
        cmdr_notify::send(place, content, &lent).await
    }

    /// The newest notices, of one or of all.
    pub(crate) fn notices(&self, name: &str) -> NoticeListing {
        NoticeListing { notices: self.lock().newest(name) }
    }
}

/// Sends what is due until it is dropped.
pub async fn serve(hub: Arc<Hub>) {
    queue::serve(hub).await;
}
