//! What rules and alerts do, seen from outside.

#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test that cannot go on panics")]

mod alerts;
mod engine;
mod language;
mod properties;
mod world;
