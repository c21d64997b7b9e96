//! How much is drawn, in the top line when that is wanted: on a thin line without being asked.

use super::App;
use crate::action::Action;
use crate::store::settled::Rate;
use crate::widgets::format;

/// What it shows.
#[derive(Default)]
pub(super) struct Meter {
    on: bool,
    /// What the operator said about that with its key, now or at an earlier start.
    pub(super) asked: Option<bool>,
    rate: Rate,
    sent: u64,
}

impl Meter {
    pub(super) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// The operator has said whether it is to be shown.
    pub(super) fn asked(&mut self, asked: Option<bool>) {
        self.on = asked.unwrap_or(self.on);
        self.asked = asked;
    }
}

impl App {
    /// A second went by.
    pub(super) fn meter(&mut self, now_ms: u64) {
        let sent = self.flow.as_ref().map_or(0, crate::terminal::flow::Flow::sent);
        let went = sent.saturating_sub(self.meter.sent);
        self.meter.sent = sent;
        self.meter.rate.take(now_ms, went);
    }

    pub(super) fn toggle_meter(&mut self) -> Action {
        self.meter.asked(Some(!self.meter.on));
        Action::None
    }

    /// Bytes a second, and since the start where there is room. The total moves in steps, else it would be what is
    /// drawn.
    pub(super) fn meter_text(&self, whole: bool) -> Option<String> {
        let total = self.meter.sent - self.meter.sent % (self.meter.sent / 16).max(1024);
        let rate = format::bytes(self.meter.rate.get());
        let total = if whole { format!(" {:>5}", format::bytes(total)) } else { String::new() };
        self.meter.on.then(|| format!("✎{rate:>5}/s{total}  "))
    }
}
