//! The life of alerts. [`Machine`] takes what the engine says and what operators do, and answers with what is to be
//! stored and which notices are to be sent.
//!
//! It is told the time and knows no other, so the same inputs always give the same outputs. What it knows is the sum of
//! the [`Write`]s that it has given out: who stores those of one step together with its notices, and begins again with
//! [`Machine::resume`], goes on where it was. Each notice has an id that is never used for another, and what was told of
//! an alert is stored with the notice that told it. So after a crash none is given twice and none is lost.

mod life;
mod machine;
mod model;
mod policy;
mod tell;
pub mod text;

pub use machine::{Machine, Now, World};
pub use model::{
    Ack, Alert, Core, Group, Happening, Item, Key, Notice, Outcome, Phase, Said, State, Write,
};
pub use policy::{Hours, Level, Matcher, Policy, Silence};

/// An alert flaps when it fired or resolved this many times within [`FLAP_WITHIN_MS`].
pub const FLAPS: usize = 6;
/// Half an hour.
pub const FLAP_WITHIN_MS: u64 = 30 * 60_000;
/// It flaps no more after a quarter of an hour without a change.
pub const SETTLED_MS: u64 = 15 * 60_000;
/// Alerts that are known at once at most, pending ones included.
pub const MOST: usize = 100_000;
/// Alerts that one notice lists; how many there are besides it says.
pub const LISTED: usize = 100;
/// What somebody else has seen to hold counts for so long until it is heard of here: windows are empty at first.
pub const VOUCHED_MS: u64 = 10 * 60_000;
/// A pending alert of which nothing is known for so long is forgotten; for longer where its hold time is longer.
pub const FORGOTTEN_MS: u64 = 5 * 60_000;
