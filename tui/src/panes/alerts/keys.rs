//! The keys of the alerts page: a table for each of its lists.

use crate::keymap::{Binding, Command, LIST, key};
use cmdr_protocol::alerts::{
    Acknowledge, Dismiss, EndSilence, History, Policies, PutSilence, Show, Silences, Unacknowledge,
};
use cmdr_protocol::{Call as _, history};
use cmdr_protocol::{notifiers as asks, rules as laws};

pub(super) const NEXT: Command = Command::Own(0);
pub(super) const TO_ALERTS: Command = Command::Own(1);
pub(super) const TO_PAST: Command = Command::Own(2);
pub(super) const TO_SILENCES: Command = Command::Own(3);
/// Shows the rules.
pub(super) const TO_RULES: Command = Command::Own(4);
pub(super) const TO_NOTIFIERS: Command = Command::Own(5);
pub(super) const ACK: Command = Command::Own(6);
pub(super) const UNACK: Command = Command::Own(7);
pub(super) const SILENCE: Command = Command::Own(8);
pub(super) const DISMISS: Command = Command::Own(9);
pub(super) const ONLY: Command = Command::Own(10);
pub(super) const CHART: Command = Command::Own(11);
pub(super) const HOST: Command = Command::Own(12);
pub(super) const RULE: Command = Command::Own(13);
pub(super) const SPAN: Command = Command::Own(14);
pub(super) const END: Command = Command::Own(15);
pub(super) const WRITE: Command = Command::Own(16);
pub(super) const NEW: Command = Command::Own(17);
pub(super) const SWITCH: Command = Command::Own(18);
pub(super) const TRY: Command = Command::Own(19);
pub(super) const VERSIONS: Command = Command::Own(20);
pub(super) const DELETE: Command = Command::Own(21);
pub(super) const POLICIES: Command = Command::Own(22);
pub(super) const TEST: Command = Command::Own(23);

/// Given once alerts have been answered. No key has it.
pub(super) const ANSWERED: Command = Command::Own(200);

pub(super) static OF_ALERTS: &[&[Binding]] = &[ALERT_KEYS, TABS, LIST];
pub(super) static OF_PAST: &[&[Binding]] = &[PAST_KEYS, TABS, LIST];
pub(super) static OF_SILENCES: &[&[Binding]] = &[SILENCE_KEYS, TABS, LIST];
pub(super) static OF_RULES: &[&[Binding]] = &[RULE_KEYS, TABS, LIST];
pub(super) static OF_NOTIFIERS: &[&[Binding]] = &[NOTIFIER_KEYS, TABS, LIST];

/// The key tables of the lists that are not the first one.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 4] = [
    ("past_alerts", OF_PAST),
    ("silences", OF_SILENCES),
    ("rules", OF_RULES),
    ("notifiers", OF_NOTIFIERS),
];

const TABS: &[Binding] = &[
    key(&["<tab>"], NEXT, "alerts.key.next").hint(),
    key(&["1"], TO_ALERTS, "alerts.key.alerts"),
    key(&["2"], TO_PAST, "alerts.key.past").needs(History::METHOD),
    key(&["3"], TO_SILENCES, "alerts.key.silences").needs(Silences::METHOD),
    key(&["4"], TO_RULES, "alerts.key.rules").needs(laws::List::METHOD),
    key(&["5"], TO_NOTIFIERS, "alerts.key.notifiers").needs(asks::List::METHOD),
];

const ALERT_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "alerts.key.open").needs(Show::METHOD).row().hint(),
    key(&["a"], ACK, "alerts.key.ack").danger(Acknowledge::METHOD).row().hint(),
    key(&["s"], SILENCE, "alerts.key.silence").danger(PutSilence::METHOD).row().hint(),
    key(&["f"], ONLY, "alerts.key.only").hint(),
    key(&["c"], CHART, "alerts.key.chart").needs(history::Query::METHOD).row().hint(),
    key(&["o"], HOST, "alerts.key.host").row(),
    key(&["e"], RULE, "alerts.key.rule").needs(laws::Show::METHOD).row(),
    key(&["u"], UNACK, "alerts.key.unack").danger(Unacknowledge::METHOD).row(),
    key(&["x", "<delete>"], DISMISS, "alerts.key.dismiss").danger(Dismiss::METHOD).row(),
];

const PAST_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "alerts.key.open").needs(Show::METHOD).row().hint(),
    key(&["t"], SPAN, "alerts.key.span").hint(),
    key(&["f"], ONLY, "alerts.key.marks").hint(),
    key(&["c"], CHART, "alerts.key.chart").needs(history::Query::METHOD).row().hint(),
    key(&["o"], HOST, "alerts.key.host").row(),
    key(&["e"], RULE, "alerts.key.rule").needs(laws::Show::METHOD).row(),
];

const SILENCE_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "silences.key.open").row().hint(),
    key(&["s"], SILENCE, "silences.key.new").danger(PutSilence::METHOD).hint(),
    key(&["x", "<delete>"], END, "silences.key.end").danger(EndSilence::METHOD).row().hint(),
];

const RULE_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "rules.key.open")
        .needs(laws::Show::METHOD)
        .row()
        .hint(),
    key(&["e"], WRITE, "rules.key.write").needs(laws::Show::METHOD).row().hint(),
    key(&["t"], TRY, "rules.key.try").needs(laws::Try::METHOD).row().hint(),
    key(&["p"], SWITCH, "rules.key.switch").danger(laws::Switch::METHOD).row().hint(),
    key(&["a"], NEW, "rules.key.new").danger(laws::Save::METHOD).hint(),
    key(&["m"], POLICIES, "rules.key.policies").needs(Policies::METHOD).hint(),
    key(&["f"], ONLY, "rules.key.only"),
    key(&["u"], VERSIONS, "rules.key.versions").needs(laws::Versions::METHOD).row(),
    key(&["x", "<delete>"], DELETE, "rules.key.delete").danger(laws::Delete::METHOD).row(),
];

const NOTIFIER_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "notifiers.key.open")
        .needs(asks::Show::METHOD)
        .row()
        .hint(),
    key(&["t"], TEST, "notifiers.key.test").danger(asks::Test::METHOD).row().hint(),
    key(&["e"], WRITE, "notifiers.key.write").needs(asks::Show::METHOD).row().hint(),
    key(&["a"], NEW, "notifiers.key.new").danger(asks::Save::METHOD).hint(),
    key(&["m"], POLICIES, "rules.key.policies").needs(Policies::METHOD).hint(),
    key(&["x", "<delete>"], DELETE, "notifiers.key.delete").danger(asks::Delete::METHOD).row(),
];
