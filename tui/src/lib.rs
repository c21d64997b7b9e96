//! The full-screen client.
//!
//! One queue brings everything that happens, in one order: keys, the link's state, items of feeds,
//! replies. [`store::Store::apply`] is the only place where what is known changes; panes read it and
//! answer keys with [`action::Action`]s; [`app::App`] performs those and draws, at most thirty times
//! a second and only when something changed.

pub mod action;
pub mod app;
pub mod browser;
pub mod config;
pub mod event;
pub mod finds;
pub mod i18n;
pub mod journal;
pub mod keymap;
pub mod link;
pub mod local;
pub mod memory;
pub mod overlays;
pub mod panes;
pub mod printed;
pub mod store;
mod subscription;
pub mod terminal;
pub mod theme;
pub mod view;
pub mod widgets;
