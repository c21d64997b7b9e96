//! The keys behind Ctrl-W: parts of the screen, and desks.

use super::{Binding, Command, key};

pub const SPLIT_RIGHT: Command = Command::Desk(0);
pub const SPLIT_BELOW: Command = Command::Desk(1);
pub const LEFT: Command = Command::Desk(2);
pub const DOWN: Command = Command::Desk(3);
pub const UP: Command = Command::Desk(4);
pub const RIGHT: Command = Command::Desk(5);
pub const NEXT_PART: Command = Command::Desk(6);
pub const CLOSE: Command = Command::Desk(7);
pub const ONLY: Command = Command::Desk(8);
pub const ZOOM: Command = Command::Desk(9);
pub const WIDER: Command = Command::Desk(10);
pub const NARROWER: Command = Command::Desk(11);
pub const HIGHER: Command = Command::Desk(12);
pub const LOWER: Command = Command::Desk(13);
pub const LEVEL: Command = Command::Desk(14);
pub const NEW: Command = Command::Desk(15);
pub const NEXT: Command = Command::Desk(16);
pub const PREVIOUS: Command = Command::Desk(17);
pub const LIST: Command = Command::Desk(18);
pub const RENAME: Command = Command::Desk(19);
pub const CLOSE_DESK: Command = Command::Desk(20);

/// All of them.
pub static CHORD: &[Binding] = &[
    key(&["v", "|"], SPLIT_RIGHT, "desk.key.split_right"),
    key(&["s", "_"], SPLIT_BELOW, "desk.key.split_below"),
    key(&["h", "<left>"], LEFT, "desk.key.left"),
    key(&["j", "<down>"], DOWN, "desk.key.down"),
    key(&["k", "<up>"], UP, "desk.key.up"),
    key(&["l", "<right>"], RIGHT, "desk.key.right"),
    key(&["w", "C-w", "<tab>"], NEXT_PART, "desk.key.next_part"),
    key(&["c", "q"], CLOSE, "desk.key.close"),
    key(&["o"], ONLY, "desk.key.only"),
    key(&["z"], ZOOM, "desk.key.zoom"),
    key(&[">"], WIDER, "desk.key.wider"),
    key(&["<"], NARROWER, "desk.key.narrower"),
    key(&["+"], HIGHER, "desk.key.higher"),
    key(&["-"], LOWER, "desk.key.lower"),
    key(&["="], LEVEL, "desk.key.level"),
    key(&["t"], NEW, "desk.key.new"),
    key(&["n"], NEXT, "desk.key.next"),
    key(&["p"], PREVIOUS, "desk.key.previous"),
    key(&["d"], LIST, "desk.key.list"),
    key(&["r"], RENAME, "desk.key.rename"),
    key(&["x"], CLOSE_DESK, "desk.key.close_desk"),
];
