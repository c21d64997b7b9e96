//! How much is drawn, in the top line when that is wanted.

use super::App;
use crate::action::Action;
use crate::store::settled::Rate;
use crate::widgets::format;

/// What it shows.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) on: bool,
    rate: Rate,
    sent: u64,
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
        self.meter.on = !self.meter.on;
        Action::None
    }

    /// Bytes a second, and since the start. The total moves in steps, else it would be what is drawn.
    pub(super) fn meter_text(&self) -> Option<String> {
        let total = self.meter.sent - self.meter.sent % (self.meter.sent / 16).max(1024);
        let rate = format::bytes(self.meter.rate.get());
        self.meter.on.then(|| format!("✎{rate:>5}/s {:>5}  ", format::bytes(total)))
    }
}
