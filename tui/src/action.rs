//! What a pane or an overlay wants done. Panes never do it themselves: the app performs actions
//! one after the other, and calls come back as events. Does not grow with features.

use crate::event::Event;
use crate::link::{Items, Link};
use crate::overlays::Overlay;
use crate::panes::{Context, Pane, Place};
use crate::store::Update;
use crate::view::View;
use cmdr_protocol::pages::Paged;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, HostId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

/// How long a call may take; the operator waits at the screen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A call ready to be made over a link.
pub type Errand = Box<dyn FnOnce(Link) -> Pin<Box<dyn Future<Output = Event> + Send>> + Send>;

/// Something to do.
#[derive(Default)]
pub enum Action {
    /// Nothing; the key was used up all the same.
    #[default]
    None,
    /// The key means nothing here: let the next layer see it.
    Pass,
    /// One after the other.
    All(Vec<Action>),
    /// Make a call; its answer is an event.
    Errand(Errand),
    /// Change what is known, at once.
    Apply(Update),
    /// Show another place; the present one goes into the history.
    Go(Place),
    /// Show a place with this pane, even when one is at such a place already.
    Enter(Place, Box<dyn Pane>),
    /// What it makes of what is known now.
    Make(Box<dyn Make>),
    /// Go back to the place before.
    Back,
    /// Say what was refused, and offer to ask for it.
    Refused(Box<Refused>),
    /// Do something again as soon as it may be done.
    Hold(Box<Held>),
    /// Put an overlay on top.
    Open(Box<dyn Overlay>),
    /// Put the pane's cursor on the row of this number.
    Pick(u64),
    /// Hand the pane a text that was typed for one of its commands.
    Give(crate::keymap::Command, String),
    /// Take the top overlay away.
    Close,
    /// Take the top overlay away, then do this.
    CloseAnd(Box<Action>),
    /// Run a command as if its key had been pressed.
    Run(crate::keymap::Command),
    /// Hand text to the terminal's clipboard.
    Copy(String),
    /// Say something in the status line.
    Say(String),
    /// Say in the status line, and keep in the log, that something went wrong.
    Complain(String),
    /// Let the pane's table look like this.
    Look(View),
    /// Keep something in the settings file.
    Remember(Remember),
    /// Use this theme; with `true` also remember it.
    Theme(String, bool),
    /// What the app's own overlays want of it.
    Want(Wanted),
    /// End the program.
    Quit,
}

/// What the app's own overlays want of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Show the desk of this number.
    Desk(usize),
    /// Call the present desk so.
    NameDesk(String),
    /// Print the table: in which form, and to which file if not to the clipboard.
    Print(crate::printed::Form, Option<String>),
    /// The same into a file that is there already.
    PrintOver(crate::printed::Form, String),
    /// This was found and chosen: remember it.
    Found(String),
}

/// Something that needs to know what is known before it is an action.
pub trait Make: Send {
    /// The action.
    fn make(self: Box<Self>, context: &Context<'_>) -> Action;
}

/// Something that may be done once it was asked for.
pub struct Refused {
    /// The method.
    pub verb: &'static str,
    /// On what.
    pub resource: String,
    /// On which host.
    pub host: Option<HostId>,
    /// What it is, in words.
    pub what: String,
    /// What the hub said.
    pub why: String,
    /// Tries again.
    pub again: Action,
}

/// Something that was refused and has been asked for.
pub struct Held {
    /// The number of the request.
    pub id: u64,
    /// It was approved already.
    pub is_ready: bool,
    /// What it is, in words.
    pub what: String,
    /// Does it.
    pub again: Action,
}

/// What the settings file can keep of a table.
#[derive(Clone, Debug)]
pub enum Remember {
    /// The columns of this view, for its table from now on.
    Columns(View),
    /// The view, by its name.
    View(View),
    /// This view no longer.
    Forget(View),
}

impl Action {
    /// Makes a call. `what` names it in an error (`rename web1`); `done` says what to do when it
    /// succeeded. What has to be asked for first can be asked for and done again.
    pub fn call<C: Call + Clone>(
        what: String,
        host: Option<HostId>,
        call: C,
        done: impl FnOnce(C::Reply) -> (Option<Update>, Action) + Send + 'static,
    ) -> Self {
        Self::call_within(what, host, call, PATIENCE, done)
    }

    /// As [`Action::call`], for what takes its time.
    pub fn call_within<C: Call + Clone>(
        what: String,
        host: Option<HostId>,
        call: C,
        patience: Duration,
        done: impl FnOnce(C::Reply) -> (Option<Update>, Action) + Send + 'static,
    ) -> Self {
        Self::Errand(Box::new(move |link| {
            Box::pin(async move {
                match link.call(host, call.clone(), patience).await {
                    Ok(reply) => {
                        let (update, action) = done(reply);
                        Event::Done(update, action)
                    }
                    Err(error) if error.kind == ErrorKind::OnRequest => {
                        let refused = Refused {
                            verb: C::METHOD,
                            resource: call.resource(),
                            host,
                            what: what.clone(),
                            why: reason(&error),
                            again: Self::call_within(what, host, call, patience, done),
                        };
                        Event::Done(None, Self::Refused(Box::new(refused)))
                    }
                    Err(error) => {
                        Event::Done(None, Self::Complain(format!("{what}: {}", reason(&error))))
                    }
                }
            })
        }))
    }
}

impl Action {
    /// Asks for something to be shown; what came, or why nothing did, goes into the store.
    pub fn fetch<C: Call>(
        host: Option<HostId>,
        call: C,
        patience: Duration,
        done: impl FnOnce(Result<C::Reply, CallError>) -> (Option<Update>, Self) + Send + 'static,
    ) -> Self {
        Self::fetched(move |link| async move { link.call(host, call, patience).await }, done)
    }

    /// As [`Action::fetch`], of all pages of a list.
    pub fn fetch_all<C: Paged>(
        host: Option<HostId>,
        call: C,
        patience: Duration,
        done: impl FnOnce(Result<C::Reply, CallError>) -> (Option<Update>, Self) + Send + 'static,
    ) -> Self {
        Self::fetched(move |link| async move { link.call_all(host, call, patience).await }, done)
    }

    fn fetched<R: 'static, F: Future<Output = Result<R, CallError>> + Send>(
        ask: impl FnOnce(Link) -> F + Send + 'static,
        done: impl FnOnce(Result<R, CallError>) -> (Option<Update>, Self) + Send + 'static,
    ) -> Self {
        Self::Errand(Box::new(move |link| {
            Box::pin(async move {
                let (update, action) = done(ask(link).await);
                Event::Done(update, action)
            })
        }))
    }
}

impl Action {
    /// Follows a feed that is no part of what a pane always needs (a search): each item, then the error
    /// or the end, becomes an update. Ends early when nobody holds what `held` points to any more.
    pub fn follow<F: Feed>(
        feed: F,
        held: Weak<()>,
        take: impl FnMut(Option<Result<F::Item, CallError>>) -> Update + Send + 'static,
    ) -> Self {
        Self::Errand(Box::new(move |link| {
            Box::pin(async move {
                let mut take = take;
                match link.feed(None, feed).await {
                    Ok(items) => next(items, held, take).await,
                    Err(error) => Event::Done(Some(take(Some(Err(error)))), Self::None),
                }
            })
        }))
    }
}

/// Takes one item, and leaves the rest for when that was taken in: so a feed waits for the screen.
fn next<F: Feed>(
    mut items: Items<F>,
    held: Weak<()>,
    mut take: impl FnMut(Option<Result<F::Item, CallError>>) -> Update + Send + 'static,
) -> Pin<Box<dyn Future<Output = Event> + Send>> {
    Box::pin(async move {
        let item = items.next().await;
        if held.strong_count() == 0 {
            return Event::Done(None, Action::None);
        }
        let goes_on = matches!(item, Some(Ok(_)));
        let update = take(item);
        let rest = Action::Errand(Box::new(move |_| next(items, held, take)));
        Event::Done(Some(update), if goes_on { rest } else { Action::None })
    })
}

/// An error for people: its message, or its kind when it has none.
pub fn reason(error: &CallError) -> String {
    if error.message.is_empty() {
        error.kind.to_string()
    } else {
        cmdr_protocol::display::clean(&error.message).into_owned()
    }
}
