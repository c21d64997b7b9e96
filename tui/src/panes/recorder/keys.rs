//! The keys and the columns of the page of a recorder.

use crate::keymap::{Binding, Command, key};
use crate::panes::sheet::{column, figure, number, rest};
use crate::widgets::table::Column;

pub(super) const EARLIER: Command = Command::Own(0);
pub(super) const LATER: Command = Command::Own(1);
pub(super) const MINUTE_EARLIER: Command = Command::Own(2);
pub(super) const MINUTE_LATER: Command = Command::Own(3);
pub(super) const HOUR_EARLIER: Command = Command::Own(4);
pub(super) const HOUR_LATER: Command = Command::Own(5);
pub(super) const OLDEST: Command = Command::Own(6);
pub(super) const LIVE: Command = Command::Own(7);
pub(super) const GO: Command = Command::Own(8);
pub(super) const SPIKE_BEFORE: Command = Command::Own(9);
pub(super) const SPIKE_AFTER: Command = Command::Own(10);
pub(super) const IN: Command = Command::Own(11);
pub(super) const OUT: Command = Command::Own(12);
pub(super) const FIGURE: Command = Command::Own(13);
pub(super) const KINDS_OF: Command = Command::Own(14);
pub(super) const WINDOW_EARLIER: Command = Command::Own(15);
pub(super) const WINDOW_LATER: Command = Command::Own(16);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, ROWS];

const BINDINGS: &[Binding] = &[
    key(&["S-<left>", "("], MINUTE_EARLIER, "recorder.key.minute_earlier"),
    key(&["S-<right>", ")"], MINUTE_LATER, "recorder.key.minute_later"),
    key(&["<left>"], EARLIER, "recorder.key.earlier").hint(),
    key(&["<right>"], LATER, "recorder.key.later").hint(),
    key(&["<pageup>"], HOUR_EARLIER, "recorder.key.hour_earlier"),
    key(&["<pagedown>"], HOUR_LATER, "recorder.key.hour_later"),
    key(&["{"], SPIKE_BEFORE, "recorder.key.spike_before").hint(),
    key(&["}"], SPIKE_AFTER, "recorder.key.spike_after").hint(),
    key(&["g"], GO, "recorder.key.go").hint(),
    key(&["m"], FIGURE, "recorder.key.figure").hint(),
    key(&["f"], KINDS_OF, "recorder.key.kinds").hint(),
    key(&["<end>", "0"], LIVE, "recorder.key.live").hint(),
    key(&["<home>"], OLDEST, "recorder.key.oldest"),
    key(&["+", "="], IN, "history.key.in"),
    key(&["-"], OUT, "history.key.out"),
    key(&["["], WINDOW_EARLIER, "recorder.key.window_earlier"),
    key(&["]"], WINDOW_LATER, "recorder.key.window_later"),
    key(&["<enter>"], Command::Open, "recorder.key.open").row(),
];

/// As in every list; the keys of time are others here.
const ROWS: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["C-f"], Command::PageDown, "recorder.key.rows_down"),
    key(&["C-b"], Command::PageUp, "recorder.key.rows_up"),
    key(&["G"], Command::Bottom, "recorder.key.last_row"),
    key(&["/"], Command::Filter, "key.filter").hint(),
    key(&["n"], Command::NextMatch, "key.next_match"),
    key(&["N"], Command::PreviousMatch, "key.previous_match"),
    key(&[">"], Command::SortNext, "key.sort_next"),
    key(&["<"], Command::SortPrevious, "key.sort_previous"),
    key(&["r"], Command::SortReverse, "key.sort_reverse"),
    key(&["C"], Command::Columns, "key.columns"),
    key(&["V"], Command::Views, "key.views"),
    key(&["X"], Command::Print, "key.print"),
    key(&["y"], Command::CopyValue, "key.copy_value"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

pub(super) const COLUMNS: &[Column] = &[
    column("recorder.col.kind", 10, 1),
    figure("processes.col.cpu", 6, 0),
    figure("processes.col.memory", 6, 0),
    figure("processes.col.read", 6, 3),
    figure("processes.col.written", 6, 2),
    figure("recorder.col.received", 6, 6),
    figure("recorder.col.sent", 6, 7),
    number("processes.col.pid", 7, 4),
    column("processes.col.user", 10, 5),
    rest("recorder.col.name", 20, 0),
    column("recorder.col.place", 16, 8),
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}
