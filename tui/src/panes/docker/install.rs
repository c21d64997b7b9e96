//! A host without Docker: what its page offers instead of chapters.

use super::CHAPTER;
use super::follow::is_absent as says_absent;
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::compose::ComposePane;
use crate::panes::{Context, Place, Subscription};
use crate::store::FeedState;
use cmdr_protocol::Call as _;
use cmdr_protocol::HostId;
use cmdr_protocol::runs::Plan;

/// Opens the composer with the runbook that installs it.
pub(super) const INSTALL: Command = Command::Own(102);

/// The runbook.
const BOOK: &str = "docker";

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] =
    &[key(&["i"], INSTALL, "docker.key.install").needs(Plan::METHOD).hint()];

/// Whether what the chapter follows says that there is no engine.
pub(super) fn is_absent(context: &Context<'_>, feeds: &[Subscription]) -> bool {
    let mut states = feeds.iter().filter_map(|feed| context.store.feeds.get(&feed.key));
    states.any(|state| matches!(state, FeedState::Failed(error) if says_absent(error)))
}

/// Composes it over these hosts; nothing is begun before that is asked for there.
pub(super) fn compose(context: &Context<'_>, hosts: &[HostId]) -> Action {
    let pane = ComposePane::over(context, hosts);
    Action::All(vec![
        Action::Enter(Place::Compose, Box::new(pane)),
        Action::Give(Command::Open, BOOK.to_owned()),
    ])
}
