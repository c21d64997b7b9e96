//! The columns of the lists of the alerts page.

use crate::panes::sheet::{View, column, figure, number, rest};
use crate::store::alerts::ALERTS;
use crate::store::alerts::lists::{NOTIFIERS, PAST, RULES, SILENCES};
use crate::widgets::table::Column;

const ALERT_COLUMNS: &[Column] = &[
    column("alerts.col.severity", 10, 0),
    column("alerts.col.state", 14, 1),
    Column { most: 24, ..rest("alerts.col.host", 10, 0) },
    Column { most: 24, ..rest("alerts.col.instance", 8, 6) },
    Column { most: 24, ..rest("alerts.col.rule", 10, 4) },
    rest("alerts.col.message", 20, 0),
    Column { right: true, ..column("alerts.col.value", 8, 5) },
    Column { descending: true, ..column("alerts.col.since", 11, 2) },
    Column { most: 40, ..rest("alerts.col.who", 8, 3) },
];

const PAST_COLUMNS: &[Column] = &[
    Column { descending: true, ..column("alerts.col.when", 11, 0) },
    column("alerts.col.state", 14, 0),
    column("alerts.col.severity", 10, 3),
    Column { most: 24, ..rest("alerts.col.host", 10, 0) },
    Column { most: 24, ..rest("alerts.col.instance", 8, 5) },
    Column { most: 24, ..rest("alerts.col.rule", 10, 4) },
    rest("alerts.col.message", 16, 1),
    Column { most: 50, ..rest("alerts.col.why", 10, 2) },
];

const SILENCE_COLUMNS: &[Column] = &[
    number("silences.col.number", 4, 2),
    rest("silences.col.which", 20, 0),
    Column { right: true, ..column("silences.col.left", 7, 0) },
    column("silences.col.until", 11, 1),
    figure("silences.col.quiet", 6, 0),
    Column { most: 24, ..rest("silences.col.who", 8, 3) },
    Column { most: 50, ..rest("silences.col.why", 10, 0) },
];

const RULE_COLUMNS: &[Column] = &[
    Column { most: 36, ..rest("rules.col.name", 16, 0) },
    column("alerts.col.severity", 10, 0),
    column("alerts.col.state", 8, 0),
    figure("rules.col.firing", 6, 0),
    figure("rules.col.pending", 7, 6),
    figure("rules.col.hosts", 6, 4),
    Column { right: true, ..column("rules.col.for", 6, 3) },
    rest("rules.col.when", 20, 1),
    Column { most: 30, ..rest("rules.col.selector", 8, 7) },
    figure("rules.col.version", 4, 5),
    column("rules.col.from", 8, 5),
    Column { descending: true, ..column("rules.col.saved", 11, 8) },
    Column { most: 60, ..rest("rules.col.description", 12, 9) },
];

const NOTIFIER_COLUMNS: &[Column] = &[
    Column { most: 30, ..rest("notifiers.col.name", 10, 0) },
    column("notifiers.col.kind", 9, 1),
    column("alerts.col.state", 10, 0),
    figure("notifiers.col.waiting", 7, 0),
    Column { most: 50, ..rest("notifiers.col.to", 12, 3) },
    Column { descending: true, ..column("notifiers.col.taken", 11, 2) },
    Column { descending: true, ..column("notifiers.col.failing", 11, 4) },
    rest("notifiers.col.last", 12, 0),
    Column { most: 40, ..rest("notifiers.col.policies", 8, 5) },
    figure("rules.col.version", 4, 6),
];

/// The tables, in the order of the lists.
pub(super) fn views() -> [View; 5] {
    [
        View::new(ALERTS, ALERT_COLUMNS, 0),
        View::new(PAST, PAST_COLUMNS, 0),
        View::new(SILENCES, SILENCE_COLUMNS, 3),
        View::new(RULES, RULE_COLUMNS, 0),
        View::new(NOTIFIERS, NOTIFIER_COLUMNS, 2),
    ]
}

/// The columns of the alerts.
pub fn columns() -> Vec<Column> {
    ALERT_COLUMNS.to_vec()
}

/// The columns of what happened.
pub fn past_columns() -> Vec<Column> {
    PAST_COLUMNS.to_vec()
}

/// The columns of the silences.
pub fn silence_columns() -> Vec<Column> {
    SILENCE_COLUMNS.to_vec()
}

/// The columns of the rules.
pub fn rule_columns() -> Vec<Column> {
    RULE_COLUMNS.to_vec()
}

/// The columns of the notifiers.
pub fn notifier_columns() -> Vec<Column> {
    NOTIFIER_COLUMNS.to_vec()
}
