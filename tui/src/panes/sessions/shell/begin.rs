//! How a session is begun, and what becomes of one that could not be: it is said, asked for, or another way is
//! offered.

use super::super::far::{self, Asking, Far};
use super::super::line::How;
use super::super::opening::{self, Opening};
use super::super::{FAR, INSIDE, NEW, TAKE, WATCH, inside};
use super::ShellPane;
use crate::action::{Action, Refused, reason};
use crate::keymap::Command;
use crate::panes::{Context, Place, SHELL};
use crate::store::rights::Offer;
use cmdr_protocol::display::clean;
use cmdr_protocol::inside::Open as Inside;
use cmdr_protocol::sessions::{Attach, Join, Mode, Open, opener};
use cmdr_protocol::{ErrorKind, Feed as _, ssh};

impl ShellPane {
    pub(super) fn start(&mut self, context: &Context<'_>, open: Open) -> Action {
        if context.store.read_only {
            return Action::Say(context.texts.get("note.read_only").to_owned());
        }
        self.begin(How::New(open))
    }

    pub(super) fn start_inside(&mut self, context: &Context<'_>, open: Inside) -> Action {
        if context.store.read_only {
            return Action::Say(context.texts.get("note.read_only").to_owned());
        }
        self.begin(How::Inside(Box::new(open)))
    }

    pub(super) fn start_far(&mut self, context: &Context<'_>, far: Far) -> Action {
        if context.store.read_only {
            return Action::Say(context.texts.get("note.read_only").to_owned());
        }
        let places = context.store.sessions.places.clone();
        let via = context.store.hosts.name(self.host);
        self.begin(How::Far(Box::new(Far { places, via, ..far })))
    }

    /// What became of a session that could not be held.
    pub(super) fn failed(
        &mut self,
        context: &Context<'_>,
        error: &cmdr_protocol::CallError,
    ) -> Action {
        let Some(at) = &self.at else { return Action::None };
        let how = at.how.clone();
        let texts = context.texts;
        let (what, verb, resource, again) = match &how {
            How::New(open) => {
                let again = Action::Give(NEW, opening::written(open));
                (texts.get("shell.what.open").to_owned(), Open::METHOD, open.resource(), again)
            }
            How::Inside(open) => {
                let again = Action::Give(INSIDE, inside::written(open));
                let what = texts.fill("inside.what", &[&clean(&open.container)]);
                (what, Inside::METHOD, open.resource(), again)
            }
            How::Far(far) => {
                let again = Action::Give(FAR, far::written(far));
                let what = texts.fill("ssh.what", &[&far.open.target()]);
                (what, ssh::Open::METHOD, far.open.resource(), again)
            }
            How::Own(id, mode, opened) => {
                let attach = Attach { id: id.clone(), ..Attach::default() };
                let again = Action::Give(
                    if *mode == Mode::Drive { Command::Open } else { WATCH },
                    id.clone(),
                );
                // What is missing may be the right to open such a one.
                let may = context.store.offer(Attach::METHOD, false, &[self.host]) == Offer::Yes;
                let (verb, about) = if may && !opened.is_empty() {
                    (opener(opened), opened.clone())
                } else {
                    (Attach::METHOD, attach.resource())
                };
                (texts.fill("shell.what.attach", &[id]), verb, about, again)
            }
            How::Other(id, mode) => {
                let join = Join { id: id.clone(), mode: *mode, ..Join::default() };
                let again =
                    Action::Give(if *mode == Mode::Drive { TAKE } else { WATCH }, id.clone());
                (texts.fill("shell.what.join", &[id]), Join::METHOD, join.resource(), again)
            }
        };
        let left = self.leave();
        let why = reason(error);
        let told = match (error.kind, how) {
            (ErrorKind::OnRequest, _) => {
                let place = Action::Go(Place::Host(self.host, SHELL));
                let again = Action::All(vec![place, again]);
                let host = Some(self.host);
                Action::Refused(Box::new(Refused { verb, resource, host, what, why, again }))
            }
            // Another user may be allowed: which one?
            (ErrorKind::Denied, How::New(open)) => {
                Action::Open(Box::new(Opening::new(context, &open, Some(why))))
            }
            // There may be no such program in it: which one is there?
            (_, How::Inside(open)) if !open.argv.is_empty() => {
                inside::ask(context, self.host, &open, Some(why))
            }
            // Whoever has given up knows why.
            (ErrorKind::Cancelled, How::Far(_)) => Action::Say(why),
            (_, How::Far(far)) => Action::Open(Box::new(Asking::new(context, &far, Some(why)))),
            _ => Action::Complain(format!("{what}: {why}")),
        };
        Action::All(vec![left, told])
    }
}
