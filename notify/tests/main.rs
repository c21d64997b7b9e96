//! Sending to servers that behave as the real ones do, and to some that do not behave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod command;
mod config;
mod lent;
mod mail;
mod robots;
mod servers;
