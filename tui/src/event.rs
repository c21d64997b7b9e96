//! Everything that can happen, in one type and one order. Does not grow with features: what a feed
//! or a call brought arrives as an [`Update`] that knows where in the store it belongs.

use crate::action::Action;
use crate::link::LinkState;
use crate::store::Update;
use crossterm::event::{KeyEvent, MouseEvent};

/// One thing that happened.
pub enum Event {
    /// A key went down.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal is, or is no longer, the one that is typed in.
    Focus(bool),
    /// The terminal has another size.
    Resize,
    /// The link to the hub changed.
    Link(LinkState),
    /// News for the store.
    Update(Update),
    /// A call came back: what it brought for the store, and what to do about it.
    Done(Option<Update>, Action),
    /// The terminal told the colour of its ground.
    Ground([u8; 3]),
    /// A second went by.
    Tick,
    /// The moment came that the pane waited for.
    Beat,
    /// The program goes on after it was stopped.
    Continued,
    /// The program is asked to end (SIGTERM, SIGHUP).
    Stop,
}

impl From<crossterm::event::Event> for Event {
    fn from(event: crossterm::event::Event) -> Self {
        use crossterm::event::Event as Raw;
        match event {
            Raw::Key(key) => Self::Key(key),
            Raw::Mouse(mouse) => Self::Mouse(mouse),
            Raw::Paste(text) => Self::Paste(text),
            Raw::FocusGained => Self::Focus(true),
            Raw::FocusLost => Self::Focus(false),
            Raw::Resize(..) => Self::Resize,
        }
    }
}
