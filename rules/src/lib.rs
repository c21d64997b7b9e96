//! Alert rules and the life of alerts: logic without I/O and without a clock. The hub and its agents feed it and do
//! what it says.
//!
//! - [`text`] reads and writes rules as YAML; what is wrong has a place and a hint. [`Rule`] is the same as a struct,
//!   [`defaults`] the rules that come with the product.
//! - [`Engine`] is told figures and states of hosts, evaluates all rules over all hosts and returns what changed.
//! - [`told::Teller`] brings it what the product's hosts tell.
//! - [`alerts::Machine`] makes alerts of that: hold times, acknowledgement, silences, groups, repeats. It returns what
//!   is to be stored and which notices are to be sent.
//! - [`backtest`] tells how often a rule would have fired.

pub mod alerts;
pub mod backtest;
mod catalog;
mod check;
mod columns;
pub mod defaults;
mod engine;
mod glob;
mod lexer;
mod message;
mod parse;
mod problem;
mod program;
mod rule;
pub mod text;
pub mod told;
mod unit;
mod window;
mod words;

pub use catalog::{Catalog, HUB, Metric, Thing, base};
pub use check::{Compiled, Part};
pub use engine::{Cell, Change, Engine, Host, Reading, Verdict};
pub use problem::{Problem, Wrong};
pub use rule::{Rule, Severity};
pub use unit::{Flavour, Span, Unit, shown};
