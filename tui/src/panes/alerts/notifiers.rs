//! What is done with a notifier: look at what became of its notices, try it, write, delete.

use crate::action::{Action, Make, PATIENCE, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::panes::write::{Subject, WritePane};
use crate::store::alerts::lists::{NOTIFIERS, doing, stale};
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::notifiers::{
    Delete, Fate, Notice, NoticeListing, Notices, Notifier, Show, Shown, Test, Tested,
};
use cmdr_protocol::runbooks::check_name;
use cmdr_protocol::{Call as _, CallError};
use std::time::Duration;

/// How long a try may take: a mail server that does not answer is waited for.
const PATIENCE_TEST: Duration = Duration::from_mins(1);

/// A notifier, and what became of its notices.
struct Told(Result<Shown, CallError>, Result<NoticeListing, CallError>);

/// Shows one.
pub(super) fn open(_context: &Context<'_>, name: &str) -> Action {
    let name = name.to_owned();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let (show, notices) = (Show { name: name.clone() }, Notices { name });
            let (shown, notices) =
                tokio::join!(link.call(None, show, PATIENCE), link.call(None, notices, PATIENCE));
            Event::Done(None, Action::Make(Box::new(Told(shown, notices))))
        })
    }))
}

/// A notice in a line, and below it what went wrong.
pub(super) fn notice(context: &Context<'_>, notice: &Notice) -> Vec<Vec<Piece>> {
    let Context { texts, store, .. } = *context;
    let (word, role) = match notice.fate {
        Fate::Taken => ("notifiers.fate.taken", Role::Ok),
        Fate::GivenUp => ("notifiers.fate.given_up", Role::Bad),
        Fate::Waiting if notice.tries > 0 => ("notifiers.fate.again", Role::Warn),
        Fate::Waiting | Fate::Unknown => ("notifiers.fate.waiting", Role::Soft),
    };
    let when = format::moment(notice.made_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    let mut lines = vec![vec![
        (Role::Soft, format!("{when}  ")),
        (role, format!("{}  ", texts.get(word))),
        (Role::Strong, format!("{}  ", clean(&notice.notifier))),
        (Role::Text, clean(&notice.title).into_owned()),
    ]];
    if !notice.last.is_empty() && notice.fate != Fate::Taken {
        let tries = texts.fill("notifiers.tries", &[&notice.tries.to_string()]);
        let text = format!("    {tries}: {}", clean(&notice.last));
        lines.push(vec![(Role::Bad, text)]);
    }
    lines
}

impl Make for Told {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Context { texts, store, .. } = *context;
        let Self(shown, notices) = *self;
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => return Action::Complain(reason(&error)),
        };
        let notifier = &shown.notifier;
        let (_, word, role) = doing(notifier);
        let mut lines = vec![vec![
            (role, texts.get(word).to_owned()),
            (Role::Soft, format!("  {}  ", clean(&notifier.kind))),
            (Role::Text, clean(&notifier.to).into_owned()),
        ]];
        if let Some(since) = notifier.failing_ms {
            let when = format::moment(since / 1000, store.now_ms / 1000, store.utc_offset_s);
            let text = texts.fill("notifiers.since", &[&when, &clean(&notifier.last)]);
            lines.push(vec![(Role::Bad, text)]);
        }
        for problem in &shown.problems {
            lines.push(vec![(Role::Bad, clean(&problem.to_string()).into_owned())]);
        }
        lines.push(Vec::new());
        lines.extend(super::rules::yaml(&shown.text));
        lines.push(Vec::new());
        lines.push(vec![(Role::Title, texts.get("notifiers.notices").to_owned())]);
        match notices {
            Err(error) => lines.push(vec![(Role::Bad, reason(&error))]),
            Ok(listing) if listing.notices.is_empty() => {
                lines.push(vec![(Role::Soft, texts.get("notifiers.no_notices").to_owned())]);
            }
            Ok(listing) => lines.extend(listing.notices.iter().flat_map(|n| notice(context, n))),
        }
        let name = quoted(&notifier.name);
        let mut pager = Pager::new(clean(&notifier.name).into_owned(), lines)
            .with_wrap()
            .copying(shown.text.clone())
            .copying_command(format!("cmdr notifiers notices {name}"));
        if store.offer(Test::METHOD, true, &[]) != Offer::No {
            let text = texts.get("notifiers.key.test");
            pager = pager.with_key('t', text, test(context, &notifier.name));
        }
        let subject = Subject::Notifier(notifier.name.clone());
        if store.offer(subject.save_verb(), true, &[]) != Offer::No {
            let text = texts.get("notifiers.key.write");
            pager = pager.with_key('e', text, write(context, &notifier.name));
        }
        Action::Open(Box::new(pager))
    }
}

/// Writes its text: what was written and not saved, else what the hub has.
pub(super) fn write(context: &Context<'_>, name: &str) -> Action {
    let subject = Subject::Notifier(name.to_owned());
    if let Some(draft) = context.store.written.drafts.get(&subject.number()) {
        return WritePane::go_on(subject, draft.clone());
    }
    Action::fetch(None, Show { name: name.to_owned() }, PATIENCE, |shown| match shown {
        Err(error) => (None, Action::Complain(reason(&error))),
        Ok(shown) => {
            let version = shown.notifier.version;
            (None, WritePane::enter(subject, shown.text, version, shown.problems))
        }
    })
}

/// Asks for the name of a new one, and writes it.
pub(super) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts;
    let notifiers = context.store.alerts.lists.notifiers.values();
    let known: Vec<String> = notifiers.map(|notifier| notifier.name.clone()).collect();
    let drafts = context.store.written.drafts.clone();
    let (wrong, there) = (texts.get("configs.new.wrong"), texts.get("notifiers.new.there"));
    let title = texts.get("notifiers.new.title").to_owned();
    let prompt = Prompt::new(title, String::new(), "configs.new.hint", move |name| {
        let name = name.trim();
        if check_name(name).is_err() {
            return Err(wrong.to_owned());
        }
        if known.iter().any(|known| known == name) {
            return Err(there.to_owned());
        }
        let subject = Subject::Notifier(name.to_owned());
        let draft = drafts.get(&subject.number()).cloned().unwrap_or_else(|| subject.blank());
        Ok(WritePane::go_on(subject, draft))
    });
    Action::Open(Box::new(prompt))
}

/// Sends a notice for a try, after a question: people get it.
pub(super) fn test(context: &Context<'_>, name: &str) -> Action {
    let texts = context.texts;
    let shown = clean(name).into_owned();
    let what = texts.fill("notifiers.test.what", &[&shown]);
    let (done, some) = (texts.get("notifiers.test.done"), texts.get("notifiers.test.some"));
    let call = Test { name: name.to_owned() };
    let to = shown.clone();
    let call = Action::call_within(what, None, call, PATIENCE_TEST, move |tested: Tested| {
        let took = format::round_trip(u32::try_from(tested.took_ms * 1000).unwrap_or(u32::MAX));
        let action = if tested.refused.is_empty() {
            Action::Say(done.replacen("{}", &to, 1).replacen("{}", &took, 1))
        } else {
            let refused = clean(&tested.refused.join("; ")).into_owned();
            Action::Complain(some.replacen("{}", &to, 1).replacen("{}", &refused, 1))
        };
        (Some(stale(NOTIFIERS)), action)
    });
    let sending = Action::Say(texts.fill("notifiers.test.sending", &[&shown]));
    let notifier = quoted(name);
    let command = format!("cmdr notifiers test {notifier}");
    let title = texts.fill("notifiers.test.title", &[&shown]);
    let act = Action::All(vec![sending, call]);
    Action::Open(Box::new(Confirm::one(title, act).copying(command)))
}

/// Deletes one, after a question.
pub(super) fn delete(context: &Context<'_>, notifier: &Notifier) -> Action {
    let texts = context.texts;
    let shown = clean(&notifier.name).into_owned();
    let what = texts.fill("notifiers.delete.what", &[&shown]);
    let done = texts.fill("notifiers.delete.done", &[&shown]);
    let call = Action::call(what, None, Delete { name: notifier.name.clone() }, move |_| {
        (Some(stale(NOTIFIERS)), Action::Say(done))
    });
    let mut lines = Vec::new();
    if notifier.waiting > 0 {
        lines.push(texts.fill("notifiers.delete.waiting", &[&notifier.waiting.to_string()]));
    }
    if !notifier.policies.is_empty() {
        let policies = clean(&notifier.policies.join(", ")).into_owned();
        lines.push(texts.fill("notifiers.delete.policies", &[&policies]));
    }
    let name = quoted(&notifier.name);
    let command = format!("cmdr notifiers rm {name} --yes");
    let title = texts.fill("notifiers.delete.title", &[&shown]);
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}
