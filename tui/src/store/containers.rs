//! Containers as rows.

use super::lists::{Listed, number};
use super::sheets::{Record, Target, Value};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::containers::{Container, State, Watch};

impl Listed for Watch {
    type Row = Container;

    fn record(host: HostId, on: &str, container: &Container) -> Record {
        let (state, role) = match (container.state, container.health.as_str()) {
            (State::Running, "unhealthy") => ("containers.state.unhealthy", Role::Bad),
            (State::Running, "starting") => ("containers.state.starting", Role::Warn),
            (State::Running, _) => ("containers.state.running", Role::Ok),
            (State::Paused, _) => ("containers.state.paused", Role::Warn),
            (State::Restarting, _) => ("containers.state.restarting", Role::Warn),
            (State::Exited, _) => ("containers.state.exited", Role::Soft),
            (State::Created, _) => ("containers.state.created", Role::Soft),
            (State::Dead, _) => ("containers.state.dead", Role::Bad),
            _ => ("containers.state.other", Role::Soft),
        };
        let ports: Vec<String> = container.ports.iter().map(ToString::to_string).collect();
        Record {
            id: number::<Container>(host, &container.id),
            host,
            values: vec![
                Value::text(on, Role::Accent),
                Value::text(&container.name, Role::Strong),
                Value::Word(state, role),
                Value::text(&container.image, Role::Text),
                Value::soft(&ports.join(" ")),
                Value::soft(container.project()),
            ],
            more: Vec::new(),
            target: Target::Container { id: container.id.clone(), name: container.name.clone() },
        }
    }
}
