//! What becomes of a form: it is asked about where that is due, sent to each host, and opened anew with what a host said
//! when it could not be.

use super::{Purpose, RunForm};
use crate::action::{Action, Errand, Make, Refused, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::panes::Context;
use cmdr_protocol::containers::change::Recreate;
use cmdr_protocol::containers::{Create, CreatePrivileged, Done, Spec};
use cmdr_protocol::display::clean;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use futures::StreamExt as _;
use std::time::Duration;

/// An engine may have to start it; another one in the place of one waits for a health check, too.
const PATIENCE: Duration = Duration::from_mins(2);
const REPLACING: Duration = Duration::from_mins(10);
/// Hosts that are at it at once.
const AT_ONCE: usize = 16;

/// What is to be made, and where.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) purpose: Purpose,
    pub(super) spec: Spec,
    /// Start it, too.
    pub(super) start: bool,
}

impl Order {
    /// What it is called in a sentence.
    fn what(&self, context: &Context<'_>) -> String {
        let texts = context.texts;
        let called = if self.spec.name.is_empty() { &self.spec.image } else { &self.spec.name };
        let key = match (&self.purpose, self.start) {
            (Purpose::Instead { .. }, _) => "containers.run.what_recreate",
            (Purpose::New(_), true) => "containers.run.what_run",
            (Purpose::New(_), false) => "containers.run.what_create",
        };
        texts.fill(key, &[&clean(called)])
    }

    /// Asks where that is due, with the form still below it; else sends at once.
    pub(super) fn asked(self, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let powers: Vec<String> =
            self.spec.powers().iter().map(|power| clean(power).into_owned()).collect();
        let hosts = self.purpose.hosts();
        let names: Vec<String> = hosts.iter().map(|host| context.store.hosts.name(*host)).collect();
        let what = self.what(context);
        let mut about = Vec::new();
        if !powers.is_empty() {
            about.push(texts.fill("containers.run.powers", &[&powers.join(", ")]));
        }
        let replaces = matches!(self.purpose, Purpose::Instead { .. });
        if replaces {
            about.push(texts.get("containers.run.replaces").to_owned());
        }
        // The question lies on top of the form: both are gone when it is sent.
        let send = |order: Self| Action::All(vec![Action::Close, order.send(context)]);
        let place = match names.as_slice() {
            [one] => one.clone(),
            many => texts.fill("processes.hosts", &[&many.len().to_string()]),
        };
        let title = texts.fill("containers.run.ask", &[&what, &place]);
        match names.len() {
            1 if about.is_empty() => send(self),
            1 => Action::Open(Box::new(Confirm::one(title, send(self)).about(about))),
            count => {
                about.extend(names);
                let confirm = Confirm::many(title, about, send(self)).counting(count);
                Action::Open(Box::new(confirm))
            }
        }
    }

    fn send(self, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let what = self.what(context);
        let making = texts.fill("containers.run.making", &[&what]);
        let sending = Sending {
            what,
            done: texts.get("docker.done"),
            names: self
                .purpose
                .hosts()
                .into_iter()
                .map(|host| (host, context.store.hosts.name(host)))
                .collect(),
            order: self,
        };
        Action::All(vec![Action::Say(making), Action::Errand(sending.errand())])
    }
}

/// An order on its way.
#[derive(Clone)]
struct Sending {
    order: Order,
    names: Vec<(HostId, String)>,
    what: String,
    done: &'static str,
}

async fn call<C>(link: &Link, host: HostId, call: C, patience: Duration) -> Result<Done, Failed>
where
    C: Call<Reply = Done>,
{
    let resource = call.resource();
    let failed = |error| Failed { host, verb: C::METHOD, resource, error };
    link.call(Some(host), call, patience).await.map_err(failed)
}

/// A host that could not.
struct Failed {
    host: HostId,
    verb: &'static str,
    resource: String,
    error: CallError,
}

impl Sending {
    fn errand(self) -> Errand {
        Box::new(move |link| {
            Box::pin(async move {
                let order = &self.order;
                let ask = async |host: HostId| {
                    let (spec, start) = (order.spec.clone(), order.start);
                    match &order.purpose {
                        Purpose::Instead { container, .. } => {
                            let recreate = Recreate { container: container.clone(), spec };
                            call(&link, host, recreate, REPLACING).await
                        }
                        Purpose::New(_) if spec.powers().is_empty() => {
                            call(&link, host, Create { spec, start }, PATIENCE).await
                        }
                        Purpose::New(_) => {
                            call(&link, host, CreatePrivileged { spec, start }, PATIENCE).await
                        }
                    }
                };
                let hosts = futures::stream::iter(order.purpose.hosts());
                let answers: Vec<_> = hosts.map(ask).buffered(AT_ONCE).collect().await;
                Event::Done(None, self.ended(answers))
            })
        })
    }

    /// What came of it, of all hosts together.
    fn ended(&self, answers: Vec<Result<Done, Failed>>) -> Action {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(answer) => done.push(answer),
                Err(error) => failed.push(error),
            }
        }
        let remarks: Vec<String> = done
            .iter()
            .flat_map(|done| &done.warnings)
            .map(|warning| clean(warning).into_owned())
            .collect();
        let mut actions = Vec::new();
        if failed.is_empty() {
            let told = self.done.replacen("{}", &self.what, 1);
            actions.push(if remarks.is_empty() {
                Action::Say(told)
            } else {
                Action::Complain(format!("{told} ({})", remarks.join("; ")))
            });
            return Action::All(actions);
        }
        if let [one] = failed.as_slice()
            && one.error.kind == ErrorKind::OnRequest
        {
            let purpose = self.order.purpose.only(&[one.host]);
            let order = Order { purpose, ..self.order.clone() };
            let again = Self { order, ..self.clone() };
            return Action::Refused(Box::new(Refused {
                verb: one.verb,
                resource: one.resource.clone(),
                host: Some(one.host),
                what: self.what.clone(),
                why: reason(&one.error),
                again: Action::Errand(again.errand()),
            }));
        }
        let name = |host| {
            let known = self.names.iter().find(|(known, _)| *known == host);
            known.map_or_else(String::new, |(_, name)| name.clone())
        };
        let why: Vec<String> = failed
            .iter()
            .map(|failed| format!("{}: {}", name(failed.host), reason(&failed.error)))
            .collect();
        let hosts: Vec<HostId> = failed.iter().map(|failed| failed.host).collect();
        actions.push(Action::Complain(format!("{}: {}", self.what, why.join("; "))));
        let order = Order { purpose: self.order.purpose.only(&hosts), ..self.order.clone() };
        actions.push(Action::Make(Box::new(Again { order, why })));
        Action::All(actions)
    }
}

/// The form once more, with all that stood in it, for the hosts that could not.
struct Again {
    order: Order,
    why: Vec<String>,
}

impl Make for Again {
    fn make(self: Box<Self>, _context: &Context<'_>) -> Action {
        let Self { order, why } = *self;
        let mut form = RunForm::new(order.purpose, &order.spec);
        form.why = why;
        form.touched = true;
        Action::Open(Box::new(form))
    }
}
