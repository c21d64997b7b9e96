//! The whole client against a far end that the test plays: one program, so that it is linked once.

#[macro_use]
mod support;

mod alerts;
mod app;
mod configs;
mod data;
mod desks;
mod docker;
mod docker_more;
mod edit;
mod files;
mod finder;
mod forwards;
mod gateways;
mod helpers;
mod history;
mod hosts_file;
mod idle;
mod lines;
mod links;
mod logs;
mod narrow;
mod pages;
mod pictures;
mod player;
mod probes;
mod recorder;
mod rights;
mod runs;
mod screens;
mod settings;
mod shell;
mod ssh;
